"""What the part on people shows, worked out without a page: a world, a year of it, a life, the same life elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bdsim.analysis.lives import Life, Moment, Watch, Weighing, explain, network
from bdsim.errors import InputError, ScenarioError, StudyError, UsageError, did_you_mean
from bdsim.model.agents import WorldModel, release
from bdsim.model.categories import FIELDS, FIRST_YEAR, ORIGINS
from bdsim.model.world import World
from bdsim.runs.plan import Settings, plan_run
from bdsim.study.fit import DEFAULT_FIT, NO_FIT, chosen_fit
from bdsim.study.layout import Study
from bdsim.study.parameters import load_parameters
from bdsim.study.scenario import Scenario, load_scenario

__all__ = [
    "COLOURS",
    "Look",
    "Scene",
    "Twin",
    "Watching",
    "WorldChoice",
    "asked_from",
    "branches_of",
    "code_of",
    "differs",
    "first_look",
    "fits_of",
    "whole",
]

MOST_MEMBERS = 100_000  # of a run, so that this page shows every member that a run may have
SCALES = (100, 5000)  # researchers an agent: below, a year takes seconds; above, there is hardly anybody
COLOURS = ("fear", "left")
KEPT = 2  # worlds watched at a time: this one, and the other in which the same person lives


@dataclass(frozen=True)
class WorldChoice:
    """Which world: everything that its numbers depend on. '' is the first branch, and the study's default fit."""

    scenario: str = "baseline"
    branch: str = ""
    researchers_per_agent: int = 500
    seed: int = 0
    member: int = 0
    fit: str = ""
    horizon: int = Settings.horizon

    @property
    def last(self) -> int:
        """The last 1 January there is."""
        return self.horizon + 1


@dataclass(frozen=True)
class Look:
    """All that one looks at: the page follows from it."""

    world: WorldChoice
    year: int = FIRST_YEAR
    field: str = FIELDS[0]
    origin: str = ""  # '': all
    colour: str = COLOURS[0]
    person: int | str | None = None  # an identity, or what somebody typed for one
    other: str = ""  # scenario in which the same person is followed
    beside: str = ""  # branch of it
    moment: int | None = None  # year of the life that the bars are of; None: the last there is
    again: int = 0  # how often the world was asked for anew

    @property
    def elsewhere(self) -> WorldChoice | None:
        """The world beside: the other scenario, all else alike."""
        return replace(self.world, scenario=self.other, branch=self.beside) if self.other else None


def first_look(study: Study, world: WorldChoice) -> Look:
    """Where something happens: the second 1 January after scrutiny began, by which people are afraid and have left."""
    try:
        began = load_scenario(world.scenario, study).years_of_scrutiny()
    except InputError:  # told where the world is made
        began = None
    return Look(world, year=min(began[0] + 2, world.last) if began else FIRST_YEAR)


@dataclass(frozen=True)
class Twin:
    """The same person in another world."""

    life: Life | None
    now: Moment | None
    problem: str = ""  # why there is no life to show


@dataclass(frozen=True)
class Scene:
    """What there is to see."""

    look: Look
    title: str  # of the scenario
    reached: int  # the last 1 January that is worked out
    here: float  # researchers
    fear: float  # mean, of those of Chinese descent
    departed: Mapping[int, float] | None  # last year, researchers by CHINA and ELSEWHERE; None in the first year
    scrutiny: Mapping[str, float] | None  # in force this year by origin; None beyond the horizon
    nodes: pd.DataFrame
    links: pd.DataFrame
    leavers: pd.DataFrame  # nodes of those who left last year, of all fields and origins
    mine: Twin | None
    other: Twin | None


def whole(text: object, low: int, high: int, where: str) -> int:
    """A whole number as somebody typed it. Raises UsageError in the words of Settings."""
    value = _number(text)
    if not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{value!r} is not a whole number from {low} to {high}", where=where)
    return value


def _number(text: object) -> Any:
    """A number where the text is one; else the text, for a message to quote."""
    words = str(text).strip()
    digits = words.removeprefix("-")
    return int(words) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else words[:60]


def asked_from(study: Study, typed: Mapping[str, str]) -> tuple[WorldChoice, dict[str, str]]:
    """The world that the words of the address mean, and what is wrong with them by word; a wrong one is as usual."""
    asked = WorldChoice(scenario="baseline" if "baseline" in (names := study.scenario_names()) else (names or [""])[0])
    wrong: dict[str, str] = {}
    for word, taken in _TAKEN.items():
        if word in typed:
            try:
                asked = replace(asked, **taken(study, asked, typed[word]))
            except ScenarioError as error:
                wrong[word] = str(error)  # which file, and where in it
            except InputError as error:
                wrong[word] = error.problem
    return asked, wrong


def _scenario(study: Study, _asked: WorldChoice, text: str) -> dict[str, Any]:
    names = study.scenario_names()
    if text not in names:  # never a path: the address may come from anybody
        raise StudyError(f"no scenario named '{text}'{did_you_mean(text, names)}", where=study.scenarios)
    _ = scenario_of(study, text).branches()
    return {"scenario": text}


def _branch(study: Study, asked: WorldChoice, text: str) -> dict[str, Any]:
    names = branches_of(study, asked.scenario)
    if text and text not in names:
        raise UsageError(f"no branch named '{text}'{did_you_mean(text, names)}", where="branch")
    return {"branch": "" if text == names[0] else text}


def _fit(study: Study, _asked: WorldChoice, text: str) -> dict[str, Any]:
    if text and text not in fits_of(study):
        raise UsageError(f"no fit named '{text}'{did_you_mean(text, fits_of(study))}", where="fit")
    chosen_fit(study, text or None, load_parameters(study.parameters))
    return {"fit": text}


def _setting(name: str) -> Callable[[Study, WorldChoice, str], dict[str, Any]]:
    def taken(_study: Study, _asked: WorldChoice, text: str) -> dict[str, Any]:
        value = _number(text)
        Settings(**{name: value})
        return {name: value}

    return taken


_TAKEN: dict[
    str, Callable[[Study, WorldChoice, str], dict[str, Any]]
] = {  # in this order: a branch is one of a scenario
    "world": _scenario,
    "branch": _branch,
    "people_fit": _fit,
    "people_k": lambda _study, _asked, text: {"researchers_per_agent": whole(text, *SCALES, "researchers_per_agent")},
    "people_seed": _setting("seed"),
    "member": lambda _study, _asked, text: {"member": whole(text, 0, MOST_MEMBERS - 1, "member")},
    "people_horizon": _setting("horizon"),
}


def fits_of(study: Study) -> list[str]:
    """The names of the study's fits, the default first, and 'none'."""
    return [*sorted(study.fit_names(), key=lambda name: name != DEFAULT_FIT), NO_FIT]


def scenario_of(study: Study, name: str) -> Scenario:
    """A scenario of the study. Raises ScenarioError or StudyError."""
    return load_scenario(study.scenario_file(name), study)


def branches_of(study: Study, name: str) -> list[str]:
    """The names of a scenario's branches. Raises ScenarioError or StudyError."""
    return [branch.name for branch in scenario_of(study, name).branches()]


def world_of(study: Study, asked: WorldChoice) -> World:
    """The member's own world, as `bdsim run` gives it. Raises InputError of the file or setting at fault."""
    settings = Settings(1, asked.seed, asked.researchers_per_agent, "mesa", asked.horizon)
    job = plan_run(scenario_of(study, asked.scenario), settings, fit=asked.fit or None)
    plans = job.plans_of(asked.member)
    plan = next((p for p in plans if p.branch.name == asked.branch), plans[0])
    return job.member_world(job.world(plan), asked.member)


class Watching:
    """Worlds that are stepped as far as somebody looks, and let go of when nobody does."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._kept: dict[tuple[WorldChoice, int], Watch] = {}
        self._at_work = threading.Lock()

    def scene(self, look: Look, report: Callable[[str, int, int], None]) -> Scene:
        """What `look` shows. `report` hears what is done, how far it is and of how many; it may raise to call it off.

        Raises InputError of a file or setting at fault, of either world.
        """
        with self._at_work:
            return self._scene(look, report)

    def _scene(self, look: Look, report: Callable[[str, int, int], None]) -> Scene:
        watch = self._reached(look.world, look, report)
        then = watch.on_1_january(look.year)
        nodes, links = network(then, look.field, look.origin or None)
        everyone, _ = network(then)
        mine = _twin(watch, look) if look.person is not None else None
        other = None
        if look.elsewhere is not None and look.person is not None:
            other = _twin(self._reached(look.elsewhere, look, report), look)
        scrutiny = dict(zip(ORIGINS, then.scrutiny, strict=True)) if look.year < look.world.last else None
        return Scene(
            look, scenario_of(self.study, look.world.scenario).title, watch.year, then.researchers_here(),
            then.mean_fear(), dict(then.departed) if look.year > FIRST_YEAR else None, scrutiny, nodes, links,
            everyone[everyone["status"] != "here"], mine, other,
        )  # fmt: skip

    def _reached(self, asked: WorldChoice, look: Look, report: Callable[[str, int, int], None]) -> Watch:
        """The world stepped at least to the year one looks at."""
        key = (asked, look.again)
        watch = self._kept.pop(key, None)
        if watch is None:
            report(f"building the population of {asked.scenario}", 0, 1)
            world = world_of(self.study, asked)
            watch = Watch(WorldModel(world, seed=asked.seed, member=asked.member))
        self._kept[key] = watch  # as the newest
        while len(self._kept) > KEPT:
            release(self._kept.pop(next(iter(self._kept))).model)
        first = watch.year
        while watch.year < look.year:
            report(f"{asked.scenario}: {watch.year}", watch.year - first, look.year - first)
            watch.step()
        return watch

    def close(self) -> None:
        """Let go of all worlds, once nobody is at work on them."""
        with self._at_work:
            while self._kept:
                release(self._kept.popitem()[1].model)


def _twin(watch: Watch, look: Look) -> Twin:
    """The person's life in this world until the year one looks at, and the year that is not decided yet."""
    try:
        row = watch.row_of(look.person)  # type: ignore[arg-type]  # anything but a number is refused in the same words
    except UsageError as error:
        return Twin(None, None, error.problem)
    then = watch.on_1_january(look.year)
    undecided = row in then.agent_of_row and look.year < look.world.last
    return Twin(watch.life(row, look.year), explain(then.agent_of_row[row]) if undecided else None)


def differs(mine: Twin, other: Twin, name: str) -> str:
    """When and how a life differs from the same person's in the world `name`, in a sentence or two."""
    if mine.life is None or other.life is None:
        return other.problem or mine.problem
    here, there = ({m.year: m for m in [*t.life.moments, *([t.now] if t.now else [])]} for t in (mine, other) if t.life)
    decided = [m.year for m in mine.life.moments]
    years = [y for y in sorted(here) if y not in there or here[y] != there[y]]
    if not years:
        return f"So far the life is the same in {name}, to the last digit."
    first = years[0]
    before = f"The same in {name} until {first - 1}. " if first > min(here) else ""
    if first not in there:
        return f"{before}In {name} this life has ended: {other.life.ending}."
    a, b = here[first], there[first]
    pairs = [
        ("fear", f"{a.fear:.2f}", f"{b.fear:.2f}"), ("ties", f"{a.ties:.2f}", f"{b.ties:.2f}"),
        ("colleagues here", str(a.colleagues_here), str(b.colleagues_here)),
        ("offer", "yes" if a.offered else "no", "yes" if b.offered else "no"),
        ("weighed for China", _rate(a.china), _rate(b.china)),
        ("weighed for elsewhere", _rate(a.elsewhere), _rate(b.elsewhere)),
        *([("choice", a.chosen, b.chosen)] if first in decided else []),
    ]  # fmt: skip
    how = "; ".join(f"{what} {x} here, {y} there" for what, x, y in pairs if x != y)
    return f"{before}In {first} it differs: {how or 'by less than is shown'}."


def _rate(weighing: Weighing) -> str:
    """'0.0041 a year'."""
    return weighing.in_words().rsplit(": ", 1)[1]


def code_of(look: Look) -> str:
    """Lines of Python that print the life and make the network that are on screen, run where the study is."""
    w = look.world
    plans = f"job.plans_of({w.member})"
    chosen = f"next(p for p in {plans} if p.branch.name == {w.branch!r})" if w.branch else f"{plans}[0]"
    member = f"world, seed={w.seed}, member={w.member}"
    origin = f", origin={look.origin!r}" if look.origin else ""
    lines = [
        "from bdsim.analysis.lives import Watch",
        "from bdsim.analysis.network import network",
        "from bdsim.model.agents import WorldModel",
        "from bdsim.runs.plan import Settings, plan_run",
        "from bdsim.study.scenario import load_scenario",
        "",
        f"settings = Settings(seed={w.seed}, researchers_per_agent={w.researchers_per_agent}, horizon={w.horizon})",
        f"job = plan_run(load_scenario({w.scenario!r}), settings, fit={w.fit or None!r})",
        f"world = job.member_world(job.world({chosen}), {w.member})",
        f"watch = Watch(WorldModel({member}))",
        f"while watch.year < {look.year}:",
        "    watch.step()",
        f"nodes, links = network(watch.model, {look.field!r}{origin})",
    ]
    if isinstance(look.person, int):
        lines.append(f"print(watch.life(watch.row_of({look.person})).in_words())")
    return "\n".join(lines) + "\n"
