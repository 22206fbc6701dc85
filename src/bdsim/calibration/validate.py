"""Published sizes of effects beside what the model implies: none of them was fitted as a series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bdsim.calibration.problem import Problem, make_problem
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, ORIGINS, REFERENCE_YEAR, Floats
from bdsim.model.counts import Counts, selection
from bdsim.model.rule import CAREER, OFFERS_FROM, OFFERS_UNTIL
from bdsim.study.evidence import coverage_of, load_evidence
from bdsim.study.facts import Effect, TalentBatch
from bdsim.study.fit import Fit
from bdsim.study.layout import Study, find_study
from bdsim.study.parameters import Parameters

__all__ = ["DRAWS", "validate"]

DRAWS = 64  # of the posterior
SCALE = 50  # researchers per agent
LOST = 0.35  # of funding that is left when a laboratory's only NIH grant lapses: an assumption
DELAYED = (2001, 2013)  # cohorts of Kahn & MacGarvie
Progress = Callable[[int, int], None]
Period = tuple[int, int]


@dataclass(frozen=True)
class World:
    """What one draw of the posterior implies: a run as history was, and one with a year more of waiting."""

    counts: Counts
    waiting: Counts
    parameters: Parameters
    problem: Problem
    span: Period  # years whose departures are known
    recent: Period  # years of the last batches of offers


@dataclass(frozen=True)
class Implied:
    """A number that the model implies: how to read it off a world, and what to bear in mind beside it."""

    of: Callable[[World], float]
    note: str
    what: str = ""  # where it is not in effects.csv
    low: float | None = None  # a published range, where there is no value
    high: float | None = None


def validate(study: Study | None = None, fit: Fit | None = None, report: Progress | None = None) -> pd.DataFrame:
    """Each published effect of effects.csv, and other published ranges, beside what the model implies.

    `fit`: over DRAWS draws of its posterior, without shocks; without one, at the values of parameters.toml. One row a
    number: name, what, published, low, high, population, source; median, p05, p95 of the model; `agrees`: whether the
    90% interval and the published range, or the value give or take a twentieth, meet (empty where the two are not the
    same thing); note.
    """
    home = study or find_study()
    problem = make_problem(home, researchers_per_agent=SCALE)
    evidence = load_evidence(home)
    span = REFERENCE_YEAR, min(coverage_of(evidence).departures.last, problem.job.settings.horizon)
    recent = max((batch.first, batch.last) for batch in evidence.of(TalentBatch))
    worlds = _worlds(problem, _draws(problem.parameters, fit), (span, recent), report)
    published = {effect.name: effect for effect in evidence.of(Effect)}
    rows = []
    for name in dict.fromkeys((*published, *IMPLIED)):
        implied = IMPLIED.get(name)
        values = np.array([implied.of(w) for w in worlds]) if implied is not None else np.array([np.nan])
        rows.append(_row(name, published.get(name), implied, values))
    table, said = pd.DataFrame(rows), {"span": "{}-{}".format(*span), "recent": "{}-{}".format(*recent)}
    return table.assign(**{name: [_filled(text, said) for text in table[name]] for name in ("what", "note")})


def _filled(text: str, said: Mapping[str, str]) -> str:
    """A text with the years of the data in use."""
    for name, years in said.items():
        text = text.replace(f"{{{name}}}", years)
    return text


def _draws(parameters: Parameters, fit: Fit | None) -> list[Parameters]:
    if fit is None:
        return [parameters]
    centre = fit.centre(parameters)
    chosen = np.linspace(0, len(fit.draws) - 1, min(DRAWS, len(fit.draws))).round().astype(int)
    return [centre.with_values({str(k): float(v) for k, v in fit.draws.iloc[i].items()}) for i in chosen]


def _worlds(
    problem: Problem, several: Sequence[Parameters], years: tuple[Period, Period], report: Progress | None
) -> list[World]:
    tables = problem.timeline.tables
    longer = {**tables, "green_card_wait": tables["green_card_wait"] + 1.0}
    delayed = replace(problem, timeline=replace(problem.timeline, tables=longer))
    worlds: list[World] = []
    for start in range(0, len(several), 8):
        part = several[start : start + 8]
        both = zip(problem.counts_of_all(part), delayed.counts_of_all(part), part, strict=True)
        worlds += [World(counts, waiting, parameters, problem, *years) for counts, waiting, parameters in both]
        if report is not None:
            report(len(worlds), len(several))
    return worlds


def _row(name: str, effect: Effect | None, implied: Implied | None, values: Floats) -> Mapping[str, object]:
    low = effect.low if effect is not None else implied.low if implied is not None else None
    high = effect.high if effect is not None else implied.high if implied is not None else None
    p05, median, p95 = np.quantile(values, (0.05, 0.5, 0.95))
    comparable = implied is not None and name not in UNLIKE
    return {
        "name": name,
        "what": effect.what if effect is not None else implied.what if implied is not None else "",
        "published": effect.value if effect is not None else None,
        "low": low, "high": high,
        "population": effect.population if effect is not None else "",
        "source": effect.source if effect is not None else "",
        "median": median, "p05": p05, "p95": p95,
        "agrees": _agrees(effect, low, high, float(p05), float(p95)) if comparable else None,
        "note": implied.note if implied is not None else "the model has no number for this",
    }  # fmt: skip


def _agrees(effect: Effect | None, low: float | None, high: float | None, p05: float, p95: float) -> bool:
    """Whether the model's interval meets the published range."""
    value = effect.value if effect is not None else None
    least = low if low is not None else 0.95 * value if value is not None else -np.inf
    most = high if high is not None else 1.05 * value if value is not None else np.inf
    return bool(p05 <= most and p95 >= least)


def _span(first: int, last: int) -> slice:
    return slice(first - FIRST_YEAR, last - FIRST_YEAR + 1)


def _recruits(world: World, first: int, last: int) -> Floats:
    """Expected departures with a programme, shape (years,)."""
    return np.asarray(world.counts.programme_expected[0, _span(first, last)].sum(axis=(1, 2, 3, 4)))


def _accepted(world: World) -> float:
    offers = world.problem.recipe.environment.offers[_span(*world.span)].sum() * world.parameters["counted"]
    return float(_recruits(world, *world.span).sum() / offers)


def _rank(world: World) -> float:
    """The median rank from the top, in percent, of those to whom offers go (all accept alike)."""
    people = world.problem.recipe.population.people
    age = world.recent[0] - people.entry
    eligible = (age >= OFFERS_FROM) & (age < OFFERS_UNTIL) & people.enters
    order = np.argsort(people.prominence[eligible])
    weight = np.cumsum(people.appeal[eligible][order])
    middle = people.prominence[eligible][order][np.searchsorted(weight, 0.5 * weight[-1])]
    return float(100.0 * (1.0 - middle))


def _left_within(years: int) -> Callable[[World], float]:
    """The share of doctorates of all origins who have left so many years after entry, of cohorts seen for 15."""

    def share(world: World) -> float:
        cohorts = range(FIRST_YEAR, world.span[1] - 14)
        gone = sum(
            world.counts.left[0, 1 + c - FIRST_YEAR : 1 + c - FIRST_YEAR + years, :, c - FIRST_ENTRY].sum()
            for c in cohorts
        )
        span = slice(cohorts[0] - FIRST_ENTRY, cohorts[-1] - FIRST_ENTRY + 1)
        return float(gone / world.counts.entered[0, :, span].sum())

    return share


def _stay(counts: Counts, origin: str, cohorts: tuple[int, int], as_of: int) -> float:
    which, span = ORIGINS.index(origin), slice(cohorts[0] - FIRST_ENTRY, cohorts[1] - FIRST_ENTRY + 1)
    gone = counts.left[0, : as_of - FIRST_YEAR + 1, which, span].sum()
    return float(1.0 - gone / counts.entered[0, which, span].sum())


def _lost_to_waiting(world: World) -> float:
    """Percentage points of the stay rate of Chinese doctorates, as of ten years after the middle cohort."""
    as_of = sum(DELAYED) // 2 + 10
    before, after = (_stay(c, "china", DELAYED, as_of) for c in (world.counts, world.waiting))
    return 100.0 * (before - after)


def _by_age(world: World) -> tuple[Floats, Floats]:
    """Departures of scientists of Chinese descent and those here by career age, shape (CAREER,), span together."""
    groups = selection("china")
    leaving = world.counts.by_age[0, _span(*world.span)][:, groups].sum(axis=(0, 1, 3))
    here = world.counts.stocks_by_age[0, _span(*world.span)][:, groups].sum(axis=(0, 1))
    return np.asarray(leaving), np.asarray(here)


def _later(world: World) -> float:
    leaving, _ = _by_age(world)
    return float(leaving[6:CAREER].sum() / leaving.sum())


def _hazard(ages: slice) -> Callable[[World], float]:
    def mean(world: World) -> float:
        leaving, here = _by_age(world)
        return float(leaving[ages].sum() / here[ages].sum())

    return mean


def _fall(world: World) -> float:
    return _hazard(slice(0, 5))(world) / _hazard(slice(5, 15))(world)


OTHER = "another population (publishing, all origins and US-born among them): compare how fast it grows, not how high"
UNLIKE = ("left_within_5", "left_within_15", "in_us", "hazard_0_4", "hazard_5_14", "hazard_falls")
IMPLIED: dict[str, Implied] = {
    "accepted": Implied(
        _accepted, "recruits over offers to people counted here, {span}; its prior is from this study"
    ),
    "accepters_rank": Implied(_rank, "median rank of those who get offers; prominence^4 was chosen to meet it"),
    "left_within_5": Implied(_left_within(5), OTHER),
    "left_within_15": Implied(_left_within(15), OTHER),
    "lapsed_grant": Implied(
        lambda w: float(LOST ** -w.parameters["stay_us"]),
        f"US funding at {LOST:g} of what it was, an assumption; its prior is from this study",
    ),
    "year_of_waiting": Implied(
        _lost_to_waiting, f"cohorts {DELAYED[0]}-{DELAYED[1]} after ten years on average; its prior is from this study"
    ),
    "stay_china_2021": Implied(lambda w: _stay(w.counts, "china", (2010, 2012), 2021), "a fitted target"),
    "stay_india_2021": Implied(lambda w: _stay(w.counts, "india", (2010, 2012), 2021), "a fitted target"),
    "recruits": Implied(
        lambda w: float(_recruits(w, *w.recent).mean()),
        "published: all recruits from the US, including those who began a career elsewhere",
        "recruits through programmes a year, {recent}", 180.0, 330.0,
    ),
    "later_leavers": Implied(
        _later, "a third of the authors' leavers have 25 papers and more",
        "share of departures {span} in career years 6 and more", 0.25, 0.50,
    ),
    "hazard_0_4": Implied(_hazard(slice(0, 5)), "both destinations", "hazard of leaving a year, career years 0-4"),
    "hazard_5_14": Implied(_hazard(slice(5, 15)), "both destinations", "hazard of leaving a year, career years 5-14"),
    "hazard_falls": Implied(
        _fall, "published: 2.1 % a year in the first five years, 1.8 % in the next ten, a ratio of 1.2 (publishing "
        "doctorates of all origins, US-born among them)", "hazard in career years 0-4 over that in 5-14",
    ),
}  # fmt: skip
