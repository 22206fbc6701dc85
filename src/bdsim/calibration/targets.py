"""What a calibrated model must reproduce: statistics of the model against facts of the evidence.

calibration/targets.toml is expanded into one Target a fact; `statistic_of` reads the model's side off its counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bdsim.errors import TargetError, did_you_mean
from bdsim.files.text import read_toml
from bdsim.model.categories import DESTINATIONS, FIELDS, FIRST_ENTRY, FIRST_YEAR, ORIGINS
from bdsim.model.counts import Counts, selection
from bdsim.study.evidence import Evidence

__all__ = ["Role", "Target", "load_targets", "model_value", "standardised", "yearly_to_china"]

Role = Literal["fitted", "held_out", "validation"]


class Part(BaseModel):
    """Any part of targets.toml: unknown keys and lax types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)


class Range(Part):
    """A range of years, both included."""

    first: int = Field(alias="from")
    last: int = Field(alias="to")


Wanted = int | float | str | list[int] | list[str] | Range


class Facts(Part):
    """Rows of one file of facts and the column that holds the value."""

    file: str
    value: str
    where: dict[str, Wanted] = {}


class Error(Part):
    """How far a fact may be off: on the log scale (with or without counting error) or in its own unit."""

    log: float | None = Field(default=None, gt=0)
    counting: bool = False
    absolute: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def one_scale(self) -> Error:
        if (self.log is None) == (self.absolute is None):
            raise ValueError("give exactly one of log, absolute")
        if self.counting and self.log is None:
            raise ValueError("counting goes with log")
        return self


class Entry(Part):
    """One entry of targets.toml."""

    name: str = Field(min_length=1)
    facts: Facts
    statistic: Literal["departures", "share", "stay_rate", "ratio"]
    destination: Literal["china", "elsewhere"] | None = None
    field: Literal["engineering_cs", "math_physical", "life"] | None = None
    origin: Literal["china", "india", "other", "all"] = "china"
    numerator: list[int] | None = Field(default=None, min_length=2, max_length=2)
    denominator: list[int] | None = Field(default=None, min_length=2, max_length=2)
    times: str | None = None
    error: Error
    role: Role
    bound: Literal["lower"] | None = None
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def complete(self) -> Entry:
        if (self.statistic == "ratio") != (self.numerator is not None and self.denominator is not None):
            raise ValueError("numerator and denominator go with statistic = 'ratio', and it needs both")
        if self.statistic == "share" and self.destination is None:
            raise ValueError("a share needs a destination")
        return self


class TargetFile(Part):
    """targets.toml."""

    target: list[Entry] = Field(min_length=1)


@dataclass(frozen=True)
class Target:
    """One fact and the statistic of the model that is held against it."""

    entry: str
    label: str
    statistic: str
    fact: float
    error: float  # standard error on the scale of the residual (log or absolute)
    is_log: bool
    role: Role
    first: int  # years; for stay rates the cohorts
    last: int
    as_of: int  # the last year that the statistic needs
    origin: str
    field: str | None
    destination: str | None
    times: str | None
    bound: str | None
    denominator: tuple[int, int] | None
    why: str

    def held_out_after(self, year: int) -> Target:
        """This target as a forecast made at the end of `year` would see it: later facts are held out."""
        return replace(self, role="held_out") if self.role == "fitted" and self.as_of > year else self


def load_targets(path: Path, evidence: Evidence, parameters: Sequence[str]) -> list[Target]:
    """Read and check targets.toml, and look up its facts. Raises TargetError: file, place, problem."""
    tables = read_toml(path, TargetError)
    try:
        file = TargetFile.model_validate(tables)
    except ValidationError as error:
        raise _first_problem(error, path) from None
    found: list[Target] = []
    for number, entry in enumerate(file.target):
        place = f"target[{number}]"
        if entry.times is not None and entry.times not in parameters:
            hint = did_you_mean(entry.times, parameters)
            raise TargetError(f"unknown parameter '{entry.times}'{hint}", where=path, place=f"{place}.times")
        found += [_target(entry, row, path, place) for row in _rows(entry.facts, evidence, path, place)]
    return found


def _first_problem(error: ValidationError, path: Path) -> TargetError:
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"]).lstrip(".")
    key = str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        models: dict[str, type[Part]] = {"facts": Facts, "error": Error}
        model = models.get(str(first["loc"][-2]), Entry) if len(first["loc"]) > 1 else TargetFile
        return TargetError(f"unknown name '{key}'{did_you_mean(key, model.model_fields)}", where=path, place=place)
    return TargetError(first["msg"].removeprefix("Value error, "), where=path, place=place)


def _rows(facts: Facts, evidence: Evidence, path: Path, place: str) -> list[dict[str, Any]]:
    """The rows of the evidence that an entry selects, as dictionaries."""
    if facts.file not in evidence.facts:
        hint = did_you_mean(facts.file, evidence.facts)
        raise TargetError(f"no facts named '{facts.file}'{hint}", where=path, place=f"{place}.facts.file")
    rows = [row.model_dump(by_alias=True) for row in evidence.rows(facts.file)]
    for column in (facts.value, *facts.where):
        if column not in rows[0]:
            hint = did_you_mean(column, rows[0])
            raise TargetError(f"'{facts.file}' has no column '{column}'{hint}", where=path, place=f"{place}.facts")
    chosen = [row for row in rows if all(_agrees(row[c], wanted) for c, wanted in facts.where.items())]
    if not chosen:
        raise TargetError(f"no row of '{facts.file}' agrees with where", where=path, place=f"{place}.facts.where")
    return chosen


def _agrees(value: Any, wanted: Wanted) -> bool:
    if isinstance(wanted, Range):
        return bool(wanted.first <= value <= wanted.last)
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


def _target(entry: Entry, row: Mapping[str, Any], path: Path, place: str) -> Target:
    try:
        fact = float(row[entry.facts.value])
    except (TypeError, ValueError):
        problem = f"'{entry.facts.value}' of '{entry.facts.file}' is no number"
        raise TargetError(problem, where=path, place=f"{place}.facts.value") from None
    first = int(row.get("cohort_from") or row.get("from") or row.get("year") or 0)
    last = int(row.get("cohort_to") or row.get("to") or row.get("year") or 0)
    if entry.numerator is not None:
        first, last = entry.numerator
    as_of = int(row.get("as_of", last))
    field = entry.field or row.get("field")
    origin = str(row.get("origin", entry.origin))
    problem = ""
    if fact <= 0:
        problem = f"the fact {fact:g} must be positive"
    elif field is not None and field not in FIELDS:
        problem = f"the model has no field '{field}'"
    elif not (FIRST_ENTRY if entry.statistic == "stay_rate" else FIRST_YEAR) <= first <= last:
        problem = f"years {first}-{last} are not simulated"
    elif entry.statistic == "stay_rate" and not last < as_of:
        problem = f"cohorts {first}-{last} as of {as_of}: the date must come later"
    if problem:
        raise TargetError(problem, where=path, place=place)
    if entry.error.log is not None:
        error = math.sqrt(entry.error.log**2 + (1.0 / fact if entry.error.counting else 0.0))
    else:
        error = float(entry.error.absolute or 0.0)
    years = f"{first}" if first == last else f"{first}-{last}"
    bits = [field or "", origin if entry.statistic == "stay_rate" else "", years]
    if entry.statistic == "stay_rate":
        bits.append(f"as of {as_of}")
    return Target(
        entry=entry.name, label=", ".join([entry.name, *(b for b in bits if b)]), statistic=entry.statistic,
        fact=fact, error=error, is_log=entry.error.log is not None, role=entry.role, first=first, last=last,
        as_of=as_of, origin=origin, field=field, destination=entry.destination, times=entry.times,
        bound=entry.bound, why=entry.why,
        denominator=(entry.denominator[0], entry.denominator[1]) if entry.denominator else None,
    )  # fmt: skip


def yearly_to_china(targets: Sequence[Target]) -> dict[tuple[int, str], int]:
    """Positions of the yearly series of departures to China by field: (year, field) to position."""
    return {
        (t.last, t.field): i for i, t in enumerate(targets)
        if t.statistic == "departures" and t.destination == "china" and t.field is not None and t.first == t.last
    }  # fmt: skip


def model_value(target: Target, counts: Counts, values: Mapping[str, float], member: int = 0) -> float:
    """The model's side of a target, from the expected departures of one member."""
    if target.statistic == "stay_rate":
        value = _stay_rate(target, counts, member)
    elif target.statistic == "share":
        everywhere = _departures(counts, target, (target.first, target.last), None, member)
        value = _departures(counts, target, (target.first, target.last), target.destination, member) / everywhere
    elif target.denominator is not None:
        above = _departures(counts, target, (target.first, target.last), target.destination, member)
        below = _departures(counts, target, target.denominator, target.destination, member)
        spans = (target.last - target.first + 1, target.denominator[1] - target.denominator[0] + 1)
        value = (above / spans[0]) / (below / spans[1])
    else:
        value = _departures(counts, target, (target.first, target.last), target.destination, member)
    return value * (values[target.times] if target.times is not None else 1.0)


def standardised(target: Target, value: float) -> float:
    """The residual in standard errors of the fact: positive where the model is above it."""
    gap = math.log(max(value, 1e-12) / target.fact) if target.is_log else value - target.fact
    return (min(gap, 0.0) if target.bound == "lower" else gap) / target.error


def _departures(counts: Counts, target: Target, years: tuple[int, int], destination: str | None, member: int) -> float:
    span = slice(years[0] - FIRST_YEAR, years[1] - FIRST_YEAR + 1)
    table = counts.expected[member, span][:, selection(target.origin)]
    if target.field is not None:
        table = table[:, :, FIELDS.index(target.field)]
    if destination is not None:
        table = table[..., DESTINATIONS.index(destination)]
    return float(table.sum())


def _stay_rate(target: Target, counts: Counts, member: int) -> float:
    which = (
        slice(None) if target.origin == "all" else slice(ORIGINS.index(target.origin), ORIGINS.index(target.origin) + 1)
    )
    span = slice(target.first - FIRST_ENTRY, target.last - FIRST_ENTRY + 1)
    gone = counts.left[member, : target.as_of - FIRST_YEAR + 1, which, span].sum()
    return float(1.0 - gone / counts.entered[member, which, span].sum())
