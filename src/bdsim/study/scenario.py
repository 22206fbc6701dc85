"""A scenario file becomes a Scenario, a Scenario becomes one Plan per branch of what nobody knows.

`extends` goes one level, so the reader of a scenario opens two files at most.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bdsim.errors import ScenarioError, UsageError, did_you_mean
from bdsim.model.world import TABLES, Timeline
from bdsim.study.branches import Branch, are_sampled, branches_of
from bdsim.study.history import History
from bdsim.study.layout import Study, find_study
from bdsim.study.scenario_file import Event, Lever, Policy, Problem, ScenarioFile, read_scenario_file
from bdsim.study.uncertainty.part import Part

__all__ = [
    "Plan",
    "Scenario",
    "changed_parts",
    "changed_values",
    "in_words",
    "inherit",
    "load_scenario",
    "located",
    "parent_of",
    "plan_of",
    "problems_between",
    "resolve",
]


class Named(Protocol):
    """Anything that can take the place of what bears the same name."""

    @property
    def name(self) -> str | None: ...


T = TypeVar("T", bound=Named)


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
        """Every way through the events that is run, with its chance; see branches_of."""
        return branches_of(self.policies, self.levers, self.events)

    @property
    def sampled(self) -> bool:
        """Whether there are too many ways through the events to run them all."""
        return are_sampled(self.events)

    def plans(self, history: History) -> list[Plan]:
        """One plan per branch: history with the branch's policies and levers applied, in the order of the file."""
        return [plan_of(branch, history) for branch in self.branches()]

    def years_of_scrutiny(self) -> tuple[int, int] | None:
        """The years in which the first scrutiny of its policies begins and the last ends; None without any."""
        found = [policy for policy in self.policies if policy.scrutiny > 0.0]
        return (min(p.start.year for p in found), max(p.until.year for p in found)) if found else None

    def plain(self) -> dict[str, Any]:
        """The resolved scenario as plain JSON values, for manifests."""

        def dump(parts: Sequence[Part]) -> list[dict[str, Any]]:
            return [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in parts]

        return {
            "name": self.name, "title": self.title, "question": self.question, "extends": self.extends,
            "notes": self.notes, "policy": dump(self.policies), "lever": dump(self.levers),
            "event": dump(self.events),
        }  # fmt: skip


def _timeline(branch: Branch, history: Timeline) -> Timeline:
    tables = branch.with_policies(history)
    for lever in branch.levers:
        lever.apply(tables, history.horizon)
    return Timeline(history.horizon, tables)


def plan_of(branch: Branch, history: History) -> Plan:
    """A branch with its yearly tables: history with its policies and levers applied."""
    return Plan(branch, _timeline(branch, history.timeline))


def load_scenario(path: Path | str | Scenario, study: Study | None = None) -> Scenario:
    """Read, check and resolve a scenario: a file, or the name of one in scenarios/. A Scenario is itself.

    Raises ScenarioError (file, place, problem, nearest valid choice), StudyError, or UsageError for anything else.
    """
    if isinstance(path, Scenario):
        return path
    if not isinstance(path, str | Path):
        raise UsageError(f"{path!r} is not a scenario: give its name, its file or a Scenario", where="scenario")
    given, study = located(path, study)
    return resolve(read_scenario_file(given), given, study)


def resolve(own: ScenarioFile, given: Path, study: Study) -> Scenario:
    """The scenario of a file and what it inherits. `given` is where the file is, or where it would be saved.

    Raises ScenarioError.
    """
    parent = parent_of(own.extends, given, study)
    for problem in problems_between(own, parent):
        raise ScenarioError(problem.message, where=given, place=problem.place)
    policies, levers, events = _in_force(own, parent)
    return Scenario(
        name=given.stem, path=given.resolve(), study=study, title=own.title, question=own.question,
        notes=own.notes, extends=own.extends, policies=tuple(policies), levers=tuple(levers), events=tuple(events),
    )  # fmt: skip


def parent_of(extends: str | None, given: Path, study: Study) -> ScenarioFile | None:
    """The scenario that the file `given` extends, read and checked. Raises ScenarioError, about either of the two."""
    if extends is None:
        return None
    parent = read_scenario_file(_parent(extends, given, study))
    if parent.extends is not None:
        problem = f"'{extends}' itself extends '{parent.extends}'; extends goes one level"
        raise ScenarioError(problem, where=given, place="extends")
    return parent


def problems_between(own: ScenarioFile, parent: ScenarioFile | None) -> Iterator[Problem]:
    """What is wrong only when a file is seen with what it inherits, and its events with one another."""
    if parent is not None:
        yield from _problems_of_drop(own, parent)
    elif own.drop:
        yield Problem("drop", "nothing to drop without extends", "drop")
    yield from _problems_of_events(_in_force(own, parent)[2], own, parent)


def _in_force(
    own: ScenarioFile, parent: ScenarioFile | None
) -> tuple[Sequence[Policy], Sequence[Lever], Sequence[Event]]:
    if parent is None:
        return own.policy, own.lever, own.event
    return (
        inherit(parent.policy, own.policy, own.drop),
        inherit(parent.lever, own.lever, own.drop),
        inherit(parent.event, own.event, own.drop),
    )


def located(path: Path | str, study: Study | None) -> tuple[Path, Study]:
    """The file meant by a path or a name, and the study it belongs to. Raises ScenarioError or StudyError."""
    given = Path(path)
    try:
        if given.is_file():
            if not given.stem.isprintable():  # half characters too: the name stands in tables, folders and terminals
                raise ScenarioError("a scenario's file needs a name that can be shown", where=given)
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


def _parent(name: str, child: Path, study: Study) -> Path:
    """The file that a scenario extends: beside it, else in the study's scenarios/."""
    if Path(name).name != name or name in ("", ".", ".."):
        raise ScenarioError(f"'{name}' must be the plain name of a scenario", where=child, place="extends")
    for folder in (child.parent, study.scenarios):
        path = folder / f"{name.removesuffix('.toml')}.toml"
        try:
            there = path.is_file()
        except OSError as error:  # a name that no file system takes
            raise ScenarioError(f"cannot be looked up: {error.strerror}", where=child, place="extends") from None
        if there:
            if path.resolve() == child.resolve():
                raise ScenarioError("a scenario cannot extend itself", where=child, place="extends")
            return path
    hint = did_you_mean(name, study.scenario_names())
    raise ScenarioError(f"no scenario named '{name}'{hint}", where=child, place="extends")


def inherit(inherited: Sequence[T], own: Sequence[T], drop: Sequence[str]) -> list[T]:
    """The parent's parts without those dropped; a part that bears an inherited name takes its place."""
    named = {part.name: part for part in own if part.name is not None}
    kept = [named.pop(part.name, part) if part.name else part for part in inherited if part.name not in drop]
    return kept + [part for part in own if part.name is None or part.name in named]


def _problems_of_drop(own: ScenarioFile, parent: ScenarioFile) -> Iterator[Problem]:
    inherited = [part.name for kind in (parent.policy, parent.lever, parent.event) for part in kind if part.name]
    for i, name in enumerate(own.drop):
        if name not in inherited:
            hint = did_you_mean(name, inherited)
            yield Problem(f"drop[{i}]", f"'{own.extends}' has nothing named '{name}'{hint}", f"drop[{i}]")
        elif inherited.count(name) > 1:
            problem = f"'{own.extends}' has several parts named '{name}'; give them different names there"
            yield Problem(f"drop[{i}]", problem, f"drop[{i}]")
        elif name in own.drop[:i]:
            yield Problem(f"drop[{i}]", f"'{name}' is dropped twice", f"drop[{i}]")


def _problems_of_events(events: Sequence[Event], own: ScenarioFile, parent: ScenarioFile | None) -> Iterator[Problem]:
    """That events refer to earlier ones, and decide before they take effect."""
    decided: dict[str, dt.date] = {}
    for event in events:
        place, field = _places_of(event, own, parent)
        if event.given is not None and event.given not in decided:
            problem = f"no outcome named '{event.given}' in an earlier event{did_you_mean(event.given, decided)}"
            yield Problem(f"{place}.given", problem, f"{field}.given")
        elif event.given is not None and _end(event, "on", event.on, 0.0) < decided[event.given]:
            problem = f"on ({event.said('on')}) lies before '{event.given}' ({decided[event.given]})"
            yield Problem(f"{place}.on", problem, f"{field}.on")
        for i, outcome in enumerate(event.outcomes):
            if outcome.name in decided:
                problem = f"two outcomes are named '{outcome.name}'"
                yield Problem(f"{place}.outcomes", problem, f"{field}.outcomes[{i}].name")
            decided[outcome.name] = _end(event, "on", event.on, 1.0)
            begins = [_end(p, "from", p.start, 0.0) for p in outcome.policy]
            first = [_end(v, "years[0]", v.years[0], 0.0) for v in outcome.lever]
            begins += [dt.date(year, 1, 1) for year in first if year < decided[outcome.name].year]
            if begins and min(begins) < decided[outcome.name]:
                problem = (
                    f"'{outcome.name}' takes effect on {min(begins)}, before it is decided on {decided[outcome.name]}"
                )
                yield Problem(f"{place}.outcomes", problem, f"{field}.outcomes[{i}]")


def _end(part: Part, key: str, value: Any, quantile: float) -> Any:
    """A value, or where it has a range the earliest (0) or the latest (1) that it may be."""
    return part.ranges[key].at(quantile) if key in part.ranges else value


def _places_of(event: Event, own: ScenarioFile, parent: ScenarioFile | None) -> tuple[str, str]:
    """What the command line calls the place of an event, and what a form does (see drafts)."""
    if event in own.event or parent is None:
        return (place := f"event[{own.event.index(event)}]"), place
    return f"event '{event.name}' of '{own.extends}'", f"extends.event[{parent.event.index(event)}]"


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
                how = in_words(after[name] if name in after else before[name])
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


def in_words(part: Part) -> str:
    """A part of a scenario on one line: what it does, and when."""
    if isinstance(part, Policy):
        dates = f"from {part.said('from')} until {part.said('until')}"
        return f"scrutiny {part.said('scrutiny')} of {', '.join(part.targets)}, {dates}"
    if isinstance(part, Lever):
        op = next(op for op in ("set", "add", "multiply") if getattr(part, op) is not None)
        return f"{op} {part.table} {part.said(op)} in {part.said('years[0]')}-{part.said('years[1]')}"
    assert isinstance(part, Event)  # outcomes are named by their events
    return f"{part.said('on')}: " + ", ".join(f"{o.name} {o.said('chance')}" for o in part.outcomes)
