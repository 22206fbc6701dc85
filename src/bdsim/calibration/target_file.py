"""targets.toml: which facts the model is held against, read and checked against the facts themselves.

Whatever an entry says must agree with what the rows say of themselves, and have an effect.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bdsim.calibration.targets import Role, Target
from bdsim.errors import TargetError, did_you_mean, in_plain_words
from bdsim.files.text import read_toml
from bdsim.model.categories import FIELDS, FIRST_ENTRY, FIRST_YEAR, LAST_POSSIBLE_YEAR
from bdsim.study.evidence import Evidence
from bdsim.study.facts import FILES, years_of
from bdsim.study.parameters import Parameters

__all__ = ["load_targets"]

Statistic = Literal["departures", "share", "stay_rate", "ratio", "experienced"]

# What the columns of the shipped files hold; of a file of one's own, the values have to make sense.
HOLDS = {
    ("departures_to_china", "departures"): "departures",
    ("retention", "stay_rate"): "stay_rate",
    ("scholar_flows", "us_to_china"): "departures",
}
UNITS = {
    "count": "departures",
    "count, summed over years": "departures",
    "lower bound": "departures",
    "approximate": "departures",
    "share": "share",
    "ratio": "ratio",
}
# What every row of a shipped file is about, beside its own columns.
ABOUT = {
    "departures_to_china": {"origin": "china", "destination": "china"},
    "departures_anchors": {"origin": "china"},
    "scholar_flows": {"origin": "all", "destination": "china"},
}
ONLY_FOR = {  # keys that have no meaning for another statistic
    "numerator": ("ratio",),
    "denominator": ("ratio",),
    "destination": ("departures", "share", "ratio", "experienced"),
    "field": ("departures", "share", "ratio"),
}


class Part(BaseModel):
    """Any part of targets.toml: unknown keys and lax types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)


class Range(Part):
    """A range of whole numbers such as years, both ends included; without `to` up to the last there is."""

    first: int = Field(alias="from")
    last: int | None = Field(default=None, alias="to")

    @model_validator(mode="after")
    def in_order(self) -> Range:
        if self.last is not None and self.first > self.last:
            raise ValueError(f"from ({self.first}) lies after to ({self.last})")
        return self


Wanted = int | float | str | list[int] | list[str] | Range


class Facts(Part):
    """Rows of one file of facts and the column that holds the value, or its share `of` the sum of some columns.

    `pooled` adds up rows before: those of each year ("fields"), or all of them ("all").
    """

    file: str
    value: str
    of: list[str] | None = Field(default=None, min_length=1)
    pooled: Literal["fields", "all"] | None = None
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


Span = Field(default=None, min_length=2, max_length=2)


class Entry(Part):
    """One entry of targets.toml."""

    name: str = Field(min_length=1)
    facts: Facts
    statistic: Statistic
    destination: Literal["china", "elsewhere"] | None = None
    field: Literal["engineering_cs", "math_physical", "life"] | None = None
    origin: Literal["china", "india", "other", "all"] | None = None
    numerator: list[int] | None = Span
    denominator: list[int] | None = Span
    times: str | None = None
    error: Error
    role: Role
    bound: Literal["lower"] | None = None
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def complete(self) -> Entry:
        for key, statistics in ONLY_FOR.items():
            if getattr(self, key) is not None and self.statistic not in statistics:
                raise ValueError(f"'{key}' has no effect on a {self.statistic}: it goes with {', '.join(statistics)}")
        if self.statistic == "ratio" and (self.numerator is None or self.denominator is None):
            raise ValueError("a ratio needs numerator and denominator")
        if self.error.counting and self.statistic != "departures":
            raise ValueError(f"counting goes with departures, not with a {self.statistic}")
        return self


class TargetFile(Part):
    """targets.toml."""

    target: list[Entry] = Field(min_length=1)


class RefusedError(Exception):
    """A mistake in one entry: place below it, and problem."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(problem)
        self.place = place


def load_targets(path: Path, evidence: Evidence, parameters: Parameters) -> list[Target]:
    """Read and check targets.toml, and look up its facts. Raises TargetError: file, place, problem."""
    tables = read_toml(path, TargetError)
    try:
        file = TargetFile.model_validate(tables)
    except ValidationError as error:
        raise _first_problem(error, path) from None
    found: list[Target] = []
    names: set[str] = set()
    for number, entry in enumerate(file.target):
        try:
            if entry.name in names:
                raise RefusedError("name", f"two targets are named '{entry.name}'")
            names.add(entry.name)
            _check_factor(entry, parameters)
            found += [_target(entry, row) for row in _rows(entry, evidence)]
        except RefusedError as refused:
            place = f"target[{number}].{refused.place}".rstrip(".")
            raise TargetError(str(refused), where=path, place=place) from None
    return found


def _first_problem(error: ValidationError, path: Path) -> TargetError:
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = first["loc"]
    if "where" in where:  # which of several shapes was meant cannot be known
        where = where[: where.index("where") + 2]
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in where).lstrip(".")
    key = str(where[-1]) if where else ""
    if "where" in where:
        problem = "is not a number, a text, a list of these, or { from = ..., to = ... }"
        return TargetError(problem, where=path, place=place)
    if first["type"] == "extra_forbidden":
        models: dict[str, type[Part]] = {"facts": Facts, "error": Error}
        model = models.get(str(where[-2]), Entry) if len(where) > 1 else TargetFile
        return TargetError(f"unknown name '{key}'{did_you_mean(key, _names(model))}", where=path, place=place)
    return TargetError(in_plain_words(first), where=path, place=place)


def _names(model: type[Part]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _check_factor(entry: Entry, parameters: Parameters) -> None:
    """`times` names a parameter that cannot turn a count negative or make it vanish."""
    if entry.times is None:
        return
    if entry.times not in parameters.entries:
        raise RefusedError("times", f"unknown parameter '{entry.times}'{did_you_mean(entry.times, parameters.entries)}")
    low = parameters.entries[entry.times].bounds[0]
    if low <= 0:
        problem = f"'{entry.times}' may be {low:g} by its bounds; a factor must stay above 0"
        raise RefusedError("times", problem)


# --- which rows ------------------------------------------------------------------------------------------------


def _rows(entry: Entry, evidence: Evidence) -> list[dict[str, Any]]:
    """The rows of the evidence that an entry selects, as dictionaries."""
    facts = entry.facts
    if facts.file not in evidence.facts:
        if f"{facts.file}.csv" in evidence.unread:
            problem = f"{facts.file}.csv is not evidence yet: give it an entry in sources.toml"
            raise RefusedError("facts.file", problem)
        raise RefusedError("facts.file", f"no facts named '{facts.file}'{did_you_mean(facts.file, evidence.facts)}")
    rows = [row.model_dump(by_alias=True) for row in evidence.rows(facts.file)]
    for column in (facts.value, *(facts.of or ()), *facts.where):
        if column not in rows[0]:
            raise RefusedError("facts", f"'{facts.file}' has no column '{column}'{did_you_mean(column, rows[0])}")
    for column, wanted in facts.where.items():
        _check_kind(column, wanted, rows)
    chosen = [row for row in rows if all(_agrees(row[c], wanted) for c, wanted in facts.where.items())]
    if not chosen:
        raise RefusedError("facts.where", f"no row of '{facts.file}' agrees with where")
    _check_complete(facts, chosen)
    return _pooled([row for row in chosen if row[facts.value] is not None], facts)  # an empty cell is no fact


def _pooled(rows: list[dict[str, Any]], facts: Facts) -> list[dict[str, Any]]:
    """Rows added up, of each year or of all: what is left of them are the values and the years."""
    if facts.pooled is None:
        return rows
    columns = (facts.value, *(facts.of or ()))
    if any(years_of(row) is None or not all(isinstance(row[c], int | float) for c in columns) for row in rows):
        raise RefusedError("facts.pooled", "only numbers of rows with years can be added up")
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(_years_of(row)[0] if facts.pooled == "fields" else 0, []).append(row)
    return [
        {c: sum(row[c] for row in group) for c in columns}
        | {"from": min(_years_of(row)[0] for row in group), "to": max(_years_of(row)[1] for row in group)}
        for group in groups.values()
    ]


def _years_of(row: Mapping[str, Any]) -> tuple[int, int]:
    known = years_of(row)
    assert known is not None  # pooled rows have years
    return known


def _check_kind(column: str, wanted: Wanted, rows: list[dict[str, Any]]) -> None:
    """A column of text is selected by text, one of numbers by numbers or a range."""
    kinds = {type(row[column]) for row in rows if row[column] is not None}
    values = wanted if isinstance(wanted, list) else [wanted]
    if kinds & {dt.date}:
        raise RefusedError(f"facts.where.{column}", "rows cannot be selected by their date")
    if kinds <= {str} and not all(isinstance(value, str) for value in values):
        raise RefusedError(f"facts.where.{column}", f"'{column}' holds text, such as '{rows[0][column]}'")
    if not kinds & {str} and any(isinstance(value, str) for value in values):
        raise RefusedError(f"facts.where.{column}", f"'{column}' holds numbers, such as {rows[0][column]}")


def _agrees(value: Any, wanted: Wanted) -> bool:
    if value is None:
        return False
    if isinstance(wanted, Range):
        return bool(wanted.first <= value and (wanted.last is None or value <= wanted.last))
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


def _check_complete(facts: Facts, chosen: list[dict[str, Any]]) -> None:
    """Every value that a list names and every year of a range has its row, in all combinations."""
    lists = {c: w for c, w in facts.where.items() if isinstance(w, list)}
    years = facts.where.get("year")
    for combination in itertools.product(*lists.values()):
        wanted = dict(zip(lists, combination, strict=True))
        rows = [row for row in chosen if all(row[c] == v for c, v in wanted.items())]
        said = ", ".join(f"{c} = {v}" for c, v in wanted.items())
        if not rows:
            raise RefusedError("facts.where", f"no row of '{facts.file}' has {said}")
        if isinstance(years, Range):
            known = {row["year"] for row in rows}
            missing = set(range(years.first, (years.last or max(known)) + 1)) - known
            if missing:
                problem = f"no row of '{facts.file}' has year = {min(missing)}" + (f", {said}" if said else "")
                raise RefusedError("facts.where", problem)


# --- one fact --------------------------------------------------------------------------------------------------


def _target(entry: Entry, row: Mapping[str, Any]) -> Target:
    fact = _fact(entry, row)
    about = {key: _label(entry, row, key) for key in ("origin", "field", "destination")}
    field = None if about["field"] in (None, "all") else about["field"]
    destination = None if about["destination"] in (None, "all") else about["destination"]
    if field is not None and field not in FIELDS:
        raise RefusedError("facts.where", f"the model has no field '{field}'")
    if entry.statistic == "share" and destination is None:
        raise RefusedError("destination", "a share needs a destination")
    first, last, as_of = _years(entry, row)
    origin = about["origin"] or "china"
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
        as_of=as_of, origin=origin, field=field, destination=destination, times=entry.times,
        bound=entry.bound, why=entry.why,
        denominator=(entry.denominator[0], entry.denominator[1]) if entry.denominator else None,
        counting=entry.error.counting,
    )  # fmt: skip


def _fact(entry: Entry, row: Mapping[str, Any]) -> float:
    """The value of a row, of the kind that the statistic is."""
    facts = entry.facts
    for column in (facts.value, *(facts.of or ())):
        if isinstance(row[column], str | dt.date):
            raise RefusedError("facts.value", f"'{column}' of '{facts.file}' is not a number")
    fact = float(row[facts.value])
    if facts.of is not None:
        whole = sum(float(row[column] or 0.0) for column in facts.of)
        fact = fact / whole if whole > 0 else math.nan
        holds: str | None = "experienced" if entry.statistic == "experienced" else "share"
    elif facts.file == "departures_anchors" and facts.value == "value":
        holds = UNITS[row["unit"]]
    else:
        holds = HOLDS.get((facts.file, facts.value)) if facts.file in FILES else entry.statistic
    if holds != entry.statistic:
        what = f"{holds}, not {entry.statistic}" if holds else f"values that a target of {entry.statistic} cannot use"
        raise RefusedError("facts.value", f"'{facts.value}' of '{facts.file}' holds {what}")
    if row.get("unit") == "lower bound" and entry.bound != "lower":
        raise RefusedError("bound", "the fact is a lower bound: say bound = 'lower'")
    if not fact > 0:
        raise RefusedError("facts.value", f"the fact {fact:g} must be positive")
    if entry.statistic in ("share", "stay_rate", "experienced") and fact > 1:
        raise RefusedError("facts.value", f"{fact:g} is not a {entry.statistic}: it is more than 1")
    if entry.statistic == "departures" and fact < 1:
        raise RefusedError("facts.value", f"{fact:g} is not a number of departures: it is less than one person")
    return fact


def _label(entry: Entry, row: Mapping[str, Any], key: str) -> str | None:
    """Origin, field or destination: what the row says of itself and what the entry says must agree."""
    own = row.get(key) or ABOUT.get(entry.facts.file, {}).get(key)
    said: str | None = getattr(entry, key)
    if own is not None and said is not None and own != said:
        raise RefusedError(key, f"'{said}', but the facts of '{entry.facts.file}' are of {key} '{own}'")
    return said if own is None else str(own)


def _years(entry: Entry, row: Mapping[str, Any]) -> tuple[int, int, int]:
    """First and last year (of a stay rate: cohort), and the last year that the statistic needs."""
    if entry.statistic == "stay_rate":
        cells = [row.get(column) for column in ("cohort_from", "cohort_to", "as_of")]
        if None in cells:
            problem = "a stay rate needs the columns cohort_from, cohort_to and as_of"
            raise RefusedError("facts.file", problem)
        first, last, as_of = (int(cell) for cell in cells if cell is not None)
        _check_years(first, last, FIRST_ENTRY, "cohorts")
        if not last < as_of <= LAST_POSSIBLE_YEAR:
            raise RefusedError("facts.where", f"cohorts {first}-{last} as of {as_of}: the date must come later")
        return first, last, as_of
    known = years_of(row)
    if known is None or "as_of" in row or "date" in row:
        raise RefusedError("facts.file", f"'{entry.facts.file}' has no column year, nor from and to")
    if entry.numerator is None or entry.denominator is None:
        _check_years(*known, FIRST_YEAR, "years")
        return *known, known[1]
    for key, span in (("numerator", entry.numerator), ("denominator", entry.denominator)):
        _check_years(span[0], span[1], FIRST_YEAR, "years", key)
        if not known[0] <= span[0] <= span[1] <= known[1]:
            problem = f"years {span[0]}-{span[1]} lie outside those of the fact, {known[0]}-{known[1]}"
            raise RefusedError(key, problem)
    return entry.numerator[0], entry.numerator[1], max(entry.numerator[1], entry.denominator[1])


def _check_years(first: int, last: int, earliest: int, what: str, place: str = "facts.where") -> None:
    if not earliest <= first <= last <= LAST_POSSIBLE_YEAR:
        raise RefusedError(place, f"{what} {first}-{last} are not simulated")
