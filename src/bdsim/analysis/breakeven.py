"""How far a lever must go: the value of a yearly table that holds a number of researchers under, or over, a goal.

Expected runs without chance, one root a posterior draw (Brent's method, doi:10.1093/comjnl/14.4.422, by SciPy), so that
the answer comes with what is not known of the parameters. Says what the model would need, not what would happen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from bdsim.analysis.quantity import Goal
from bdsim.errors import UsageError, did_you_mean
from bdsim.model.categories import Floats
from bdsim.model.world import Timeline
from bdsim.runs.expected import Progress, Request, answers_to, posterior_draws
from bdsim.runs.plan import Job
from bdsim.runs.statistics import interval as spread
from bdsim.study.scenario_file import lever_of

__all__ = ["NEUTRAL", "BreakEven", "Turned", "break_even"]

NEUTRAL = {"multiply": 1.0, "add": 0.0, "set": None}  # the value that changes nothing
POINTS = 13  # of the grid that brackets a root and shows the response
PRECISION = 1e-4  # of the search range


@dataclass(frozen=True)
class Turned:
    """A yearly table turned by a lever: how (multiply, add or set), in which years, and how far it may go."""

    table: str
    how: str
    years: tuple[int, int]
    low: float
    high: float
    where: str = "--lever"  # what asked for it

    def world(self, timeline: Timeline, value: float) -> Timeline:
        """The timeline with the lever at `value`. Raises UsageError for what no scenario file could say."""
        change: dict[str, Any] = {"table": self.table, "years": list(self.years), self.how: value}
        lever = lever_of(self.where, **change, why="asked on the command line")
        tables = dict(timeline.tables)
        lever.apply(tables, timeline.horizon)
        return Timeline(timeline.horizon, tables)


@dataclass(frozen=True)
class BreakEven:
    """Where each draw meets the goal, and how it responds on the way there."""

    turned: Turned
    goal: Goal
    grid: Floats  # (points,) values of the lever
    response: Floats  # (draws, points) the quantity
    roots: Floats  # (draws,) the lever's value; nan where none within the range meets the goal
    held_before: Floats  # (draws,) bool: the goal holds already where the lever changes nothing
    monotone: bool

    @property
    def reachable(self) -> float:
        """Share of draws in which some value within the range meets the goal exactly."""
        return float(np.isfinite(self.roots).mean())

    def interval(self) -> tuple[float, float, float]:
        """5%, 50% and 95% of the lever's value over the draws that reach it; nan without any."""
        found = self.roots[np.isfinite(self.roots)]
        if not len(found):
            return (np.nan, np.nan, np.nan)
        low, median, high = spread(found)
        return float(low), float(median), float(high)

    def table(self) -> pd.DataFrame:
        """The response: value of the lever, p05, median, p95 of the quantity over draws."""
        low, median, high = spread(self.response)
        return pd.DataFrame({"value": self.grid, "p05": low, "median": median, "p95": high})


def break_even(job: Job, turned: Turned, goal: Goal, progress: Progress | None = None) -> BreakEven:
    """Turn a lever of the job's scenario until the goal is just met, for every posterior draw.

    Events count by their chances. Of several crossings the one nearest to the value that changes nothing is taken
    (`monotone` is False then). Raises UsageError for an unknown table, or an empty range.
    """
    tables = job.plans[0].timeline.tables
    if turned.table not in tables:
        raise UsageError(f"unknown table '{turned.table}'{did_you_mean(turned.table, tables)}", where="--lever")
    if not turned.low < turned.high:
        raise UsageError(f"the range {turned.low:g},{turned.high:g} is empty", where="--range")
    if turned.how == "multiply" and turned.low > 0.0:
        grid = np.geomspace(turned.low, turned.high, POINTS)
    else:
        grid = np.linspace(turned.low, turned.high, POINTS)
    draws = posterior_draws(job)
    chances = [plan.branch.chance for plan in job.plans]

    def asked(values: Floats, members: Sequence[int]) -> list[Request]:
        own = [draws[m] for m in members]
        return [Request(turned.world(plan.timeline, float(v)), own, members) for v in values for plan in job.plans]

    answers = np.stack(answers_to(job, asked(grid, range(len(draws))), goal.quantity.of, progress))
    response = np.einsum("gbd,b->dg", answers.reshape(len(grid), len(chances), -1), chances)

    def root(draw: int) -> float:
        def miss(value: float) -> float:
            found = answers_to(job, asked(np.array([value]), [draw]), goal.quantity.of)
            return float(sum(c * f[0] for c, f in zip(chances, found, strict=True))) - goal.number

        return _root(miss, grid, response[draw] - goal.number, NEUTRAL[turned.how])

    roots = []
    for number in range(len(draws)):
        roots.append(root(number))
        if progress is not None:
            progress(answers.size + number + 1, answers.size + len(draws))
    steps = np.diff(response, axis=1)
    now = np.concatenate(
        answers_to(job, [Request(p.timeline, draws, range(len(draws))) for p in job.plans], goal.quantity.of)
    )
    before = np.einsum("bd,b->d", now.reshape(len(chances), -1), chances)
    held = before <= goal.number if goal.under else before >= goal.number
    same_way = (steps >= -1e-9).all(axis=1) | (steps <= 1e-9).all(axis=1)
    return BreakEven(turned, goal, grid, response, np.array(roots), held, bool(same_way.all()))


def _root(miss: Callable[[float], float], grid: Floats, at_grid: Floats, neutral: float | None) -> float:
    """The crossing nearest to `neutral`, or nan where the grid shows none."""
    crossings = [i for i in range(len(grid) - 1) if at_grid[i] * at_grid[i + 1] <= 0.0 and at_grid[i] != at_grid[i + 1]]
    if not crossings:
        return float("nan")
    middle = grid[len(grid) // 2] if neutral is None else neutral
    i = min(crossings, key=lambda i: min(abs(grid[i] - middle), abs(grid[i + 1] - middle)))
    ends = grid[i], grid[i + 1]
    known = {float(ends[0]): float(at_grid[i]), float(ends[1]): float(at_grid[i + 1])}
    return float(brentq(lambda v: known[v] if v in known else miss(v), *ends, xtol=PRECISION * (grid[-1] - grid[0])))
