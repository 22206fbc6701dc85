"""A scenario file becomes a Scenario, a Scenario becomes one Plan per branch of what nobody knows.

`extends` goes one level, so the reader of a scenario opens two files at most.
"""

from __future__ import annotations

import datetime as dt
import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bdsim.environment import FIRST_ENTRY, FIRST_YEAR, LAST_POSSIBLE_YEAR, ORIGINS, TABLES, Timeline
from bdsim.errors import ScenarioError, did_you_mean
from bdsim.evidence import History
from bdsim.study import Study, find_study

__all__ = [
    "Branch",
    "Event",
    "Lever",
    "Outcome",
    "Plan",
    "Policy",
    "Scenario",
    "ScenarioFile",
    "load_scenario",
]

LARGEST_FILE = 1_000_000  # bytes
MOST_BRANCHES = 64
MOST_EVENTS = 24
LARGEST_VALUE = 1e6  # of a lever
GREATEST = 1e9  # of any yearly table, whatever levers make of it
FIRST_DAY, LAST_DAY = dt.date(FIRST_YEAR, 1, 1), dt.date(LAST_POSSIBLE_YEAR, 12, 31)

Name = Annotated[str, Field(min_length=1, max_length=120)]
Why = Annotated[str, Field(min_length=1, description="Where this assumption comes from; say so when it is one")]
Origin = Literal["china", "india", "other"]
T = TypeVar("T", bound="Policy | Lever | Event")


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


@dataclass(frozen=True)
class Branch:
    """One way through the events: its outcomes, its chance, and every policy and lever in force."""

    name: str
    chance: float
    policies: tuple[Policy, ...]
    levers: tuple[Lever, ...]


@dataclass(frozen=True)
class Plan:
    """A branch with every yearly table worked out."""

    branch: Branch
    timeline: Timeline


@dataclass(frozen=True)
class Scenario:
    """A scenario, resolved: what it inherits is in it."""

    name: str
    path: Path
    study: Study
    title: str
    question: str
    notes: str
    extends: str | None
    policies: tuple[Policy, ...]
    levers: tuple[Lever, ...]
    events: tuple[Event, ...]

    def branches(self) -> list[Branch]:
        """Every way through the events with a chance above 0; chances add up to 1. One branch without events."""
        found = []
        for outcomes, chance in _ways(self.events, {}, 1.0):
            if chance > 0.0:
                policies = itertools.chain(self.policies, *(o.policy for o in outcomes))
                levers = itertools.chain(self.levers, *(o.lever for o in outcomes))
                name = ", ".join(o.name for o in outcomes) or "as stated"
                found.append(Branch(name, chance, tuple(policies), tuple(levers)))
        return found

    def plans(self, history: History) -> list[Plan]:
        """One plan per branch: history with the branch's policies and levers applied, in the order of the file."""
        return [Plan(branch, _timeline(branch, history.timeline)) for branch in self.branches()]

    def plain(self) -> dict[str, Any]:
        """The resolved scenario as plain JSON values, for manifests."""

        def dump(parts: Sequence[Part]) -> list[dict[str, Any]]:
            return [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in parts]

        return {
            "name": self.name, "title": self.title, "question": self.question, "extends": self.extends,
            "notes": self.notes, "policy": dump(self.policies), "lever": dump(self.levers),
            "event": dump(self.events),
        }  # fmt: skip


def _ways(
    events: Sequence[Event], happened: Mapping[str, Outcome], chance: float
) -> Iterator[tuple[list[Outcome], float]]:
    if not events:
        yield list(happened.values()), chance
        return
    event, later = events[0], events[1:]
    if event.given is not None and event.given not in happened:
        yield from _ways(later, happened, chance)
        return
    for outcome in event.outcomes:
        yield from _ways(later, {**happened, outcome.name: outcome}, chance * outcome.chance)


def _timeline(branch: Branch, history: Timeline) -> Timeline:
    tables = dict(history.tables)
    years = history.years("scrutiny_china")
    for policy in branch.policies:
        exposure = np.array([policy.exposure(year) for year in years])
        for origin in policy.targets:
            tables[f"scrutiny_{origin}"] = tables[f"scrutiny_{origin}"] + exposure
    for lever in branch.levers:
        lever.apply(tables, history.horizon)
    return Timeline(history.horizon, tables)


def load_scenario(path: Path | str, study: Study | None = None) -> Scenario:
    """Read, check and resolve a scenario: a file, or the name of one in scenarios/.

    Raises ScenarioError (file, place, problem, nearest valid choice) or StudyError.
    """
    given, study = _located(Path(path), study)
    own = read_scenario_file(given)
    parts = own.policy, own.lever, own.event
    if own.extends is not None:
        parent_path = _parent(own.extends, given, study)
        parent = read_scenario_file(parent_path)
        if parent.extends is not None:
            raise ScenarioError(
                f"'{own.extends}' itself extends '{parent.extends}'; extends goes one level",
                where=given,
                place="extends",
            )
        _check_drop(own, parent, given)
        parts = (
            _inherit(parent.policy, own.policy, own.drop),
            _inherit(parent.lever, own.lever, own.drop),
            _inherit(parent.event, own.event, own.drop),
        )
    elif own.drop:
        raise ScenarioError("nothing to drop without extends", where=given, place="drop")
    _check_events(parts[2], own, given)
    return Scenario(
        name=given.stem, path=given.resolve(), study=study, title=own.title, question=own.question,
        notes=own.notes, extends=own.extends, policies=tuple(parts[0]), levers=tuple(parts[1]),
        events=tuple(parts[2]),
    )  # fmt: skip


def _located(given: Path, study: Study | None) -> tuple[Path, Study]:
    """The file meant by a path or a name, and the study it belongs to."""
    try:
        if given.is_file():
            return given, study or find_study(given.parent)
        if given.suffix != ".toml" and len(given.parts) == 1 and not given.exists():
            study = study or find_study()
            return study.scenario_file(str(given)), study
        if given.is_dir():
            raise ScenarioError("is a folder, not a scenario file", where=given)
        there = [p.name for p in given.parent.glob("*.toml") if p.is_file()] if given.parent.is_dir() else []
    except OSError as error:  # a name that no file system takes
        raise ScenarioError(f"cannot be looked up: {error.strerror}", where=str(given)[:80]) from None
    raise ScenarioError(f"no such file{did_you_mean(given.name, there) if there else ''}", where=given)


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


def _parent(name: str, child: Path, study: Study) -> Path:
    """The file that a scenario extends: beside it, else in the study's scenarios/."""
    if Path(name).name != name or name in ("", ".", ".."):
        raise ScenarioError(f"'{name}' must be the plain name of a scenario", where=child, place="extends")
    for folder in (child.parent, study.scenarios):
        path = folder / f"{name.removesuffix('.toml')}.toml"
        if path.is_file():
            if path.resolve() == child.resolve():
                raise ScenarioError("a scenario cannot extend itself", where=child, place="extends")
            return path
    hint = did_you_mean(name, study.scenario_names())
    raise ScenarioError(f"no scenario named '{name}'{hint}", where=child, place="extends")


def _inherit(inherited: Sequence[T], own: Sequence[T], drop: Sequence[str]) -> list[T]:
    """The parent's parts without those dropped; a part that bears an inherited name takes its place."""
    named = {part.name: part for part in own if part.name is not None}
    kept = [named.pop(part.name, part) if part.name else part for part in inherited if part.name not in drop]
    return kept + [part for part in own if part.name is None or part.name in named]


def _check_drop(own: ScenarioFile, parent: ScenarioFile, path: Path) -> None:
    inherited = [part.name for kind in (parent.policy, parent.lever, parent.event) for part in kind if part.name]
    for i, name in enumerate(own.drop):
        if name not in inherited:
            hint = did_you_mean(name, inherited)
            raise ScenarioError(f"'{own.extends}' has nothing named '{name}'{hint}", where=path, place=f"drop[{i}]")


def _check_events(events: Sequence[Event], own: ScenarioFile, path: Path) -> None:
    """That events refer to earlier ones, decide before they take effect, and do not branch without end."""
    decided: dict[str, dt.date] = {}
    for event in events:
        mine = event in own.event
        place = f"event[{own.event.index(event)}]" if mine else f"event '{event.name}' of '{own.extends}'"
        if event.given is not None and event.given not in decided:
            problem = f"no outcome named '{event.given}' in an earlier event{did_you_mean(event.given, decided)}"
            raise ScenarioError(problem, where=path, place=f"{place}.given")
        if event.given is not None and event.on < decided[event.given]:
            problem = f"on ({event.on}) lies before '{event.given}' ({decided[event.given]})"
            raise ScenarioError(problem, where=path, place=f"{place}.on")
        for outcome in event.outcomes:
            if outcome.name in decided:
                problem = f"two outcomes are named '{outcome.name}'"
                raise ScenarioError(problem, where=path, place=f"{place}.outcomes")
            decided[outcome.name] = event.on
            begins = [p.start for p in outcome.policy]
            begins += [dt.date(v.years[0], 1, 1) for v in outcome.lever if v.years[0] < event.on.year]
            if begins and min(begins) < event.on:
                problem = f"'{outcome.name}' takes effect on {min(begins)}, before it is decided on {event.on}"
                raise ScenarioError(problem, where=path, place=f"{place}.outcomes")
    ways = sum(1 for _ in itertools.islice(_ways(events, {}, 1.0), MOST_BRANCHES + 1))
    if ways > MOST_BRANCHES:
        raise ScenarioError(f"the events branch into more than {MOST_BRANCHES} ways", where=path, place="event")


def changed_parts(one: Scenario, other: Scenario) -> list[dict[str, str]]:
    """Policies, levers and events that `other` adds, removes or changes against `one`, as rows of text."""
    rows = []
    kinds = (
        ("policy", one.policies, other.policies),
        ("lever", one.levers, other.levers),
        ("event", one.events, other.events),
    )
    for kind, ours, theirs in kinds:
        before, after = _named(ours), _named(theirs)
        for name in dict.fromkeys([*before, *after]):
            if before.get(name) != after.get(name):
                change = "added" if name not in before else "removed" if name not in after else "changed"
                how = _in_words(after[name] if name in after else before[name])
                rows.append({"change": change, "part": kind, "name": name, "how": how})
    return rows


def _named(parts: Sequence[Policy | Lever | Event]) -> dict[str, Policy | Lever | Event]:
    return {part.name or f"(unnamed {number})": part for number, part in enumerate(parts, start=1)}


def changed_values(one: Timeline, other: Timeline) -> list[dict[str, str]]:
    """Every table and run of years whose values differ between two timelines, as rows of text."""
    rows: list[dict[str, str]] = []
    for name, table in TABLES.items():
        for year in one.years(name):
            before, after = one.at(name, year), other.at(name, year)
            if before == after:
                continue
            row = {
                "table": name,
                "years": str(year),
                "from": f"{before:.4g}",
                "to": f"{after:.4g}",
                "unit": table.unit,
            }
            last = rows[-1] if rows else {}
            follows = last.get("years", "").split("-")[-1] == str(year - 1)
            if follows and {**last, "years": ""} == {**row, "years": ""}:
                last["years"] = f"{last['years'].split('-')[0]}-{year}"
            else:
                rows.append(row)
    return rows


def _in_words(part: Policy | Lever | Event) -> str:
    if isinstance(part, Policy):
        return f"scrutiny {part.scrutiny:g} of {', '.join(part.targets)}, {part.start} to {part.until}"
    if isinstance(part, Lever):
        op = next(op for op in ("set", "add", "multiply") if getattr(part, op) is not None)
        return f"{op} {part.table} {getattr(part, op)} in {part.years[0]}-{part.years[1]}"
    return f"{part.on}: " + ", ".join(f"{o.name} {o.chance:g}" for o in part.outcomes)
