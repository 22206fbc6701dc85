"""A scenario file becomes a Scenario, a Scenario becomes one Plan per branch of what nobody knows.

`extends` goes one level, so the reader of a scenario opens two files at most.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bdsim.branches import Branch, are_sampled, branches_of
from bdsim.environment import TABLES, Timeline
from bdsim.errors import ScenarioError, did_you_mean
from bdsim.evidence import History
from bdsim.scenario_file import Event, Lever, Part, Policy, ScenarioFile, read_scenario_file
from bdsim.study import Study, find_study

__all__ = ["Plan", "Scenario", "changed_parts", "changed_values", "load_scenario"]

T = TypeVar("T", bound="Policy | Lever | Event")


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
    """That events refer to earlier ones, and decide before they take effect."""
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
