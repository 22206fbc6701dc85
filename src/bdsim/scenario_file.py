"""A scenario as a person writes it: the parts of a TOML file, and one line for what is wrong with it."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bdsim.environment import FIRST_ENTRY, FIRST_YEAR, LAST_POSSIBLE_YEAR, ORIGINS, TABLES
from bdsim.errors import ScenarioError, did_you_mean

__all__ = ["Event", "Lever", "Outcome", "Policy", "ScenarioFile", "read_scenario_file"]

LARGEST_FILE = 1_000_000  # bytes
MOST_EVENTS = 24
LARGEST_VALUE = 1e6  # of a lever
GREATEST = 1e9  # of any yearly table, whatever levers make of it
FIRST_DAY, LAST_DAY = dt.date(FIRST_YEAR, 1, 1), dt.date(LAST_POSSIBLE_YEAR, 12, 31)

Name = Annotated[str, Field(min_length=1, max_length=120)]
Why = Annotated[str, Field(min_length=1, description="Where this assumption comes from; say so when it is one")]
Origin = Literal["china", "india", "other"]


class Part(BaseModel):
    """Any part of a scenario file: unknown keys and lax types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)


class Policy(Part):
    """Scrutiny between two dates; a year partly covered counts for its share of days. Overlapping ones add."""

    name: Name
    start: dt.date = Field(alias="from", description="First day in force")
    until: dt.date = Field(description="First day no longer in force")
    scrutiny: float = Field(ge=0, le=10, description="1 = the Initiative of 2019-2021")
    targets: list[Origin] = Field(default=["china"], min_length=1, description="Origins that are scrutinised")
    why: Why

    @model_validator(mode="after")
    def dates_in_order(self) -> Policy:
        if not FIRST_DAY <= self.start < self.until <= LAST_DAY:
            if self.start >= self.until:
                raise ValueError(f"until ({self.until}) must come after from ({self.start})")
            raise ValueError(f"dates must lie in {FIRST_YEAR}-{LAST_POSSIBLE_YEAR}")
        if len(set(self.targets)) < len(self.targets):
            raise ValueError("targets names an origin twice")
        return self

    def exposure(self, year: int) -> float:
        """Scrutiny times the share of the year's days on which the policy is in force."""
        first, after = dt.date(year, 1, 1), dt.date(year + 1, 1, 1)
        days = (min(self.until, after) - max(self.start, first)).days
        return self.scrutiny * max(days, 0) / (after - first).days


class Lever(Part):
    """A change of one yearly table over some years: exactly one of set, add, multiply, a number or one a year."""

    name: Name | None = None
    table: str = Field(description=f"One of {', '.join(TABLES)}")
    years: list[int] = Field(min_length=2, max_length=2, description="First and last year, both included")
    set: float | list[float] | None = None
    add: float | list[float] | None = None
    multiply: float | list[float] | None = None
    why: Why

    @model_validator(mode="after")
    def makes_sense(self) -> Lever:
        if self.table not in TABLES:
            raise ValueError(f"unknown table '{self.table}'{did_you_mean(self.table, TABLES)}")
        first, last = self.years
        if not FIRST_YEAR <= first <= last <= LAST_POSSIBLE_YEAR:
            raise ValueError(f"years [{first}, {last}] must be in order and lie in {FIRST_YEAR}-{LAST_POSSIBLE_YEAR}")
        given = [name for name in ("set", "add", "multiply") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of set, add, multiply (found {', '.join(given) or 'none'})")
        values = getattr(self, given[0])
        if isinstance(values, list) and len(values) != last - first + 1:
            raise ValueError(f"{given[0]} lists {len(values)} values for {last - first + 1} years")
        if any(v < 0 for v in np.atleast_1d(values)) and given[0] != "add":
            raise ValueError(f"{given[0]} must not be negative")
        if any(abs(v) > LARGEST_VALUE for v in np.atleast_1d(values)):
            raise ValueError(f"{given[0]} must not exceed {LARGEST_VALUE:,.0f}")
        return self

    def apply(self, tables: dict[str, np.ndarray[Any, np.dtype[np.float64]]], horizon: int) -> None:
        """Change `tables` in place, as far as the years lie within the horizon."""
        first, last = self.years[0], min(self.years[1], horizon)
        if last < first:
            return
        base = FIRST_ENTRY if self.table.startswith("inflow_") else FIRST_YEAR
        span = slice(first - base, last - base + 1)
        n = last - first + 1
        values = {
            op: np.resize(np.atleast_1d(getattr(self, op)), self.years[1] - first + 1)[:n]
            for op in ("set", "add", "multiply")
            if getattr(self, op) is not None
        }
        table = tables[self.table] = tables[self.table].copy()
        for op, value in values.items():
            table[span] = {"set": value, "add": table[span] + value, "multiply": table[span] * value}[op]
        np.clip(table, TABLES[self.table].least, GREATEST, out=table)


class Outcome(Part):
    """One way an event can end, with its chance and what it brings."""

    name: Name
    chance: float = Field(ge=0, le=1)
    policy: list[Policy] = []
    lever: list[Lever] = []


class Event(Part):
    """What nobody knows: outcomes with chances. `given` names an earlier outcome without which it does not arise."""

    name: Name
    on: dt.date = Field(description="When it is decided")
    given: Name | None = Field(default=None, description="An outcome of an earlier event")
    outcomes: list[Outcome] = Field(min_length=1, max_length=12)
    why: Why | None = None

    @model_validator(mode="after")
    def chances_add_up(self) -> Event:
        if not FIRST_DAY <= self.on <= LAST_DAY:
            raise ValueError(f"on must lie in {FIRST_YEAR}-{LAST_POSSIBLE_YEAR}")
        total = sum(outcome.chance for outcome in self.outcomes)
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"the chances of the outcomes add up to {total:g}, not 1")
        return self


class ScenarioFile(Part):
    """A scenario as a person writes it."""

    title: Name
    question: Annotated[str, Field(min_length=1)] = Field(description="What the scenario asks, in one sentence")
    extends: Name | None = Field(default=None, description="Name of the scenario this one changes; one level only")
    drop: list[Name] = Field(default=[], description="Names of inherited policies, levers or events to leave out")
    notes: str = ""
    policy: list[Policy] = []
    lever: list[Lever] = []
    event: list[Event] = Field(default=[], max_length=MOST_EVENTS)

    @model_validator(mode="after")
    def names_are_unique(self) -> ScenarioFile:
        for kind in (self.policy, self.lever, self.event):
            names = [part.name for part in kind if part.name is not None]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"two parts of one kind are named '{name}'")
        return self


PARTS: dict[str, type[Part]] = {"policy": Policy, "lever": Lever, "event": Event, "outcomes": Outcome}


def read_scenario_file(path: Path) -> ScenarioFile:
    """Parse and check one file, without what it inherits. Raises ScenarioError."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ScenarioError(f"larger than {LARGEST_FILE:,} bytes; this is no scenario", where=path)
        tables = tomllib.loads(path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise ScenarioError(f"is not UTF-8 text (byte {error.start})", where=path) from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError; so are numbers of 5,000 digits
        raise ScenarioError(f"is not TOML: {error}", where=path) from None
    except OSError as error:
        raise ScenarioError(f"cannot be read: {error.strerror}", where=path) from None
    try:
        return ScenarioFile.model_validate(tables)
    except ValidationError as error:
        raise _one_line(error, path) from None


def _one_line(error: ValidationError, path: Path) -> ScenarioError:
    """The first problem of a file as one line; pydantic's words where they are plain, ours where they are not."""
    # A misspelt key explains the one that is then missing, so it goes first.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    place = _place(first["loc"])
    more = len({_place(e["loc"]) for e in error.errors()}) - 1
    key, kind = str(first["loc"][-1]) if first["loc"] else "", first["type"]
    if kind == "extra_forbidden":
        message = f"unknown name '{key}'{did_you_mean(key, _names_at(first['loc'][:-1]))}"
    elif kind == "missing":
        message = f"'{key}' is missing"
    elif kind == "literal_error":
        message = f"unknown value {first['input']!r}{did_you_mean(first['input'], ORIGINS)}"
    elif kind.startswith("date_"):
        message = f"{first['input']!r} is not a date such as 2025-01-20 (no quotes)"
    else:
        given = first["input"]
        short = isinstance(given, (str, float)) or (isinstance(given, int) and abs(given) < 10**18)
        shown_input = f", not {given!r}"[:60] if short else ""
        message = first["msg"].removeprefix("Value error, ")
        message = message + (shown_input if kind != "value_error" else "")
    return ScenarioError(message + (f" (and {more} more)" if more else ""), where=path, place=place)


def _place(location: Sequence[int | str]) -> str:
    """lever[0].years for ("lever", 0, "years"); the arms of a union are no places in a file."""
    parts = [part for part in location if part not in ("float", "list[float]")]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def _names_at(place: Sequence[int | str]) -> list[str]:
    """The keys that a scenario file may have at a place."""
    model: type[Part] = ScenarioFile
    for part in place:
        model = PARTS.get(str(part), model)
    return [f.alias or name for name, f in model.model_fields.items()]
