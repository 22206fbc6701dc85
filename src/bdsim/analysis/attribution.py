"""Why departures grow, or differ: shares of scrutiny, funding, offers, colleagues and ties, and numbers of people.

Shapley values (Shapley 1953, doi:10.1515/9781400881970-018): each cause's share is what it adds to the others'
worlds, on average over all orders in which causes can come; shares add up exactly. Causes are parts of the model that
are taken away one by one, so a share is a statement about the model, not an effect that was measured.

What "away" means. Of growth from one year to another: a table stays what researchers saw of it in the first year; the
number of doctorates stays that of the first year; colleagues and ties: fear does not pass between colleagues
(kappa = 0) and nobody's ties grow when they move (gamma = 0), in all years. What grows with all causes away was under
way before: cohorts that are already here grow older, and fear fades; with it goes what each draw's shocks of the two
years differ by, which no cause explains. Of a scenario's effect: the table is the reference's; colleagues and ties are
away in both worlds, so that their share is what they add to the others'; both worlds have the same shocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bdsim.errors import UsageError
from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.model.counts import Counts, selection
from bdsim.model.world import TABLES, Timeline
from bdsim.runs.expected import Progress, Request, answers_to, posterior_draws
from bdsim.runs.identity import check_reference
from bdsim.runs.statistics import interval

if TYPE_CHECKING:
    from bdsim.analysis.quantity import Quantity
    from bdsim.runs.plan import Job
    from bdsim.study.fit import Fit

__all__ = [
    "CAUSES", "Attribution", "acts_through", "attribute_effect", "attribute_growth", "by_verdict", "cannot_tell",
    "cause_of", "shapley",
]  # fmt: skip

CAUSES: dict[str, tuple[str, ...]] = {  # the yearly tables of each; colleagues and ties have parameters instead
    "scrutiny": ("scrutiny_china", "scrutiny_india", "scrutiny_other"),
    "Chinese funding": ("funding_ratio",),
    "talent offers": ("offers",),
    "colleagues and ties": (),
    "population growth": ("inflow_china", "inflow_india", "inflow_other"),
    "other pull of China": ("pull",),
    "US conditions": ("us_funding", "nih_funding", "nsf_funding", "soft_power", "green_card_wait"),
}
COLLEAGUES = "colleagues and ties"
ALONE = {"kappa": 0.0, "gamma": 0.0}
RESTS_ON = {  # the parameters through which a cause acts
    "scrutiny": ("push", "rho", "fade", "spill"),
    "Chinese funding": ("funding",),
    "talent offers": ("accept", "counted"),
    "other pull of China": ("pull_growth",),
    "colleagues and ties": ("kappa", "gamma", "ties_weight"),
    "population growth": (),
    "US conditions": ("stay_us", "wait"),
}
ALWAYS = ("scrutiny", "Chinese funding", "talent offers", "population growth")  # named even where they change nothing
UNDER_WAY, TOTAL = "under way before", "total"
Coalition = frozenset[str]


@dataclass(frozen=True)
class Attribution:
    """Shares of a change by cause: `values` (draws, causes) in researchers add up to `total` (draws,)."""

    of: str
    causes: tuple[str, ...]
    values: Floats
    total: Floats
    cannot_tell: tuple[str, ...]  # what the data cannot identify, in words
    by_verdict: Mapping[str, float] = field(
        default_factory=dict
    )  # share of the change by what the data say of each cause's parameter; empty: no fit

    @property
    def rests_on(self) -> str:
        """How much of the change rests on parameters that only a prior informs, in a sentence; empty without a fit."""
        if not self.by_verdict:
            return ""
        shares = {verdict: self.by_verdict.get(verdict, 0.0) for verdict in ("prior", "partly", "informed by the data")}
        return (
            f"Of what is attributed to causes, {shares['prior']:.0%} acts through parameters that only a prior "
            "informs, "
            f"{shares['partly']:.0%} through some that the data inform partly, "
            f"{shares['informed by the data']:.0%} through some that they inform."
        )

    def table(self) -> pd.DataFrame:
        """cause, mean, p05, median, p95 (researchers), share, share_p05, share_p95 (of the total, over draws)."""
        rows = []
        columns = [*self.values.T, self.total]
        for cause, values in zip((*self.causes, TOTAL), columns, strict=True):
            low, median, high = interval(values)
            share = np.divide(values, self.total, out=np.zeros_like(values), where=self.total != 0.0)
            mean = values.mean() / self.total.mean() if self.total.mean() != 0.0 else 0.0
            first, _, last = interval(share)
            rows.append((cause, values.mean(), low, median, high, mean, first, last))
        names = ("cause", "mean", "p05", "median", "p95", "share", "share_p05", "share_p95")
        return pd.DataFrame(rows, columns=names)


def shapley(worth: Mapping[Coalition, Floats], players: Sequence[str]) -> Floats:
    """Shapley values, shape (draws, players), of a game that gives every coalition a worth for each draw.

    They add up to the worth of all less that of none.
    """
    n = len(players)
    values = []
    for player in players:
        others = [p for p in players if p != player]
        value = np.zeros_like(worth[frozenset()])
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for some in combinations(others, size):
                without = frozenset(some)
                value = value + weight * (worth[without | {player}] - worth[without])
        values.append(value)
    return np.stack(values, axis=1)


def attribute_growth(job: Job, first: int, last: int, progress: Progress | None = None) -> Attribution:
    """Shares of the growth of yearly departures from `first` to `last` in the job's own world.

    Raises UsageError for years outside the run or out of order, or for a scenario with events.
    """
    if not FIRST_YEAR < first < last <= job.settings.horizon:
        raise UsageError(
            f"{first} to {last}: need {FIRST_YEAR} < from < until <= {job.settings.horizon}", where="years"
        )
    if len(job.plans) > 1:
        raise UsageError(f"'{job.scenario.name}' branches; growth is attributed in one world", where="attribute")
    players = tuple(name for name in CAUSES if name != "US conditions")
    history = job.plans[0].timeline
    lag = job.parameters.funding_lag()

    def world(present: Coalition) -> Timeline:
        tables = dict(history.tables)
        for cause in players:
            for name in CAUSES[cause] if cause not in present else ():
                tables[name] = _held(history, name, first - (lag if name == "funding_ratio" else 0))
        return Timeline(history.horizon, tables)

    span = slice(first - FIRST_YEAR, last - FIRST_YEAR + 1)

    def growth(counts: Counts) -> Floats:
        yearly = counts.expected[:, span][:, :, selection("china")].sum(axis=(2, 3, 4, 5))
        return np.asarray(yearly[:, -1] - yearly[:, 0])

    worth = _worths(job, players, lambda present: [(1.0, world(present))], growth, last, progress)
    values = shapley(worth, players)
    under_way = worth[frozenset()]
    return Attribution(
        f"growth of yearly departures of scientists of Chinese descent, {first} to {last}",
        (*players, UNDER_WAY), np.column_stack([values, under_way]), worth[frozenset(players)],
        cannot_tell(job, players), by_verdict(job.fit, players, values),
    )  # fmt: skip


def attribute_effect(job: Job, reference: Job, quantity: Quantity, progress: Progress | None = None) -> Attribution:
    """Shares of what the job's scenario changes of a quantity against the reference's; events by their chances.

    Only causes whose tables differ, and colleagues and ties, have shares other than 0. Raises UsageError for a
    reference that branches.
    """
    check_reference(reference.scenario.name, len(reference.plans), "attribute")
    base = reference.plans[0].timeline
    changed = {
        name for plan in job.plans for name in TABLES
        if not np.array_equal(plan.timeline.tables[name], base.tables[name])
    }  # fmt: skip
    players = tuple(c for c, tables in CAUSES.items() if c == COLLEAGUES or changed & set(tables) or c in ALWAYS)

    def worlds(present: Coalition) -> list[tuple[float, Timeline]]:
        mixed: dict[bytes, tuple[float, Timeline]] = {}
        for plan in job.plans:
            tables = {name: (plan.timeline if cause_of(name) in present else base).tables[name] for name in base.tables}
            key = b"".join(tables[name].tobytes() for name in TABLES)
            chance = mixed[key][0] if key in mixed else 0.0
            mixed[key] = (chance + plan.branch.chance, Timeline(base.horizon, tables))
        return list(mixed.values())

    worth = _worths(job, players, worlds, quantity.of, quantity.last, progress)
    alone = worth[frozenset({COLLEAGUES})], worth[frozenset()]
    effect = {s: value - (alone[0] if COLLEAGUES in s else alone[1]) for s, value in worth.items()}
    values = shapley(effect, players)
    return Attribution(
        f"{job.scenario.title} against {reference.scenario.title}: {quantity.meaning}",
        players, values, effect[frozenset(players)], cannot_tell(job, players),
        by_verdict(job.fit, players, values),
    )  # fmt: skip


def _worths(
    job: Job,
    players: Sequence[str],
    worlds: Callable[[Coalition], list[tuple[float, Timeline]]],
    of: Callable[[Counts], Floats],
    until: int,
    progress: Progress | None,
) -> dict[Coalition, Floats]:
    """The quantity under every coalition, for each draw; equal worlds are run once."""
    draws = posterior_draws(job)
    alone = [p.with_values(ALONE) for p in draws]
    asked: dict[tuple[bytes, bool], Request] = {}
    needed: dict[Coalition, list[tuple[float, tuple[bytes, bool]]]] = {}
    for size in range(len(players) + 1):
        for some in combinations(players, size):
            present = frozenset(some)
            needed[present] = []
            for chance, timeline in worlds(present):
                key = b"".join(timeline.tables[name].tobytes() for name in TABLES), COLLEAGUES in present
                asked.setdefault(key, Request(timeline, draws if key[1] else alone, range(len(draws))))
                needed[present].append((chance, key))
    answers = dict(zip(asked, answers_to(job, list(asked.values()), of, progress, until), strict=True))
    return {s: sum((c * answers[key] for c, key in parts), np.zeros(len(draws))) for s, parts in needed.items()}


def _held(history: Timeline, name: str, year: int) -> Floats:
    """A table that stays what it was in `year`."""
    table = history.tables[name].copy()
    at = max(0, year - history.first_year(name))
    table[at:] = table[at]
    return table


def cause_of(table: str) -> str:
    """The cause that a yearly table belongs to."""
    return next(cause for cause, tables in CAUSES.items() if table in tables)


def cannot_tell(job: Job, causes: Sequence[str], what: str = "the share of") -> tuple[str, ...]:
    """Which shares rest on the prior, by the fit's verdicts on the parameters behind them."""
    if job.fit is None:
        return ("parameters are held at their values, so there are no intervals",)
    verdict = dict(zip(job.fit.table["parameter"], job.fit.table["verdict"], strict=True))
    label = job.parameters.label
    said = []
    for cause in causes:
        weak = [
            f"“{label(name)}” ({verdict[name]})" for name in RESTS_ON[cause] if verdict.get(name) in ("prior", "partly")
        ]
        if weak:
            said.append(f"{what} {cause} rests on {', '.join(weak)}, which the data inform only partly or not at all")
    return tuple(said)


def by_verdict(fit: Fit | None, causes: Sequence[str], values: Floats) -> dict[str, float]:
    """Shares of the causes' mean sizes by the fit's verdict on the first parameter through which each acts.

    `values` (draws, causes) in researchers. Causes that act through no parameter, such as the number of doctorates, are
    left out; a parameter that is held counts as told by a prior.
    """
    if fit is None:
        return {}
    verdict = dict(zip(fit.table["parameter"], fit.table["verdict"], strict=True))
    sizes: dict[str, float] = {}
    for cause, size in zip(causes, np.abs(values.mean(axis=0)), strict=True):
        if RESTS_ON[cause]:
            of = verdict.get(RESTS_ON[cause][0], "prior")
            sizes[of] = sizes.get(of, 0.0) + float(size)
    total = sum(sizes.values())
    return {of: size / total for of, size in sizes.items()} if total > 0.0 else {}


def acts_through(fit: Fit | None, scenario: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Through which parameters a scenario acts and what the data say of them, in a sentence; empty without a fit.

    `scenario` is the plain form that a manifest keeps; `labels` are what people read in place of a parameter's name.
    """
    if fit is None:
        return ""
    outcomes = [outcome for event in scenario["event"] for outcome in event["outcomes"]]
    parts = [scenario, *outcomes]
    tables = {lever["table"] for part in parts for lever in part.get("lever", ())}
    causes = {cause_of(table) for table in tables} | ({"scrutiny"} if any(p.get("policy") for p in parts) else set())
    verdict = dict(zip(fit.table["parameter"], fit.table["verdict"], strict=True))
    said: dict[str, list[str]] = {}
    for cause in CAUSES:
        for name in RESTS_ON[cause] if cause in causes else ():
            said.setdefault(verdict.get(name, "prior"), []).append(f"“{labels.get(name, name)}”")
    words = {
        "prior": "only a prior informs",
        "partly": "the data inform partly",
        "informed by the data": "the data inform",
    }
    found = [f"{', '.join(said[of])} ({words[of]})" for of in ("prior", "partly", "informed by the data") if of in said]
    return f"The scenario acts through {'; '.join(found)}." if found else ""
