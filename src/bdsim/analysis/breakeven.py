"""How far a lever must go: the value of a yearly table that holds a number of researchers under, or over, a goal.

Expected runs without chance, one root a posterior draw (Chandrupatla's method, doi:10.1016/s0965-9978(96)00051-8, by
SciPy), so that the answer comes with what is not known of the parameters. Says what the model would need, not what
would happen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim.errors import UsageError, did_you_mean
from bdsim.model.world import Timeline
from bdsim.runs.expected import Progress, Request, answers_to, posterior_draws
from bdsim.runs.statistics import BAND
from bdsim.runs.statistics import interval as spread
from bdsim.study.scenario_file import lever_of

if TYPE_CHECKING:
    from bdsim.analysis.quantity import Goal
    from bdsim.model.categories import Floats
    from bdsim.runs.plan import Job

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

    @property
    def _holds(self) -> NDArray[np.bool_]:
        """Where on the grid the goal holds, (draws, points)."""
        return self.response <= self.goal.number if self.goal.under else self.response >= self.goal.number

    @property
    def throughout(self) -> float:
        """Share of draws in which the goal holds at every value that was looked at, the grid."""
        return float((np.isnan(self.roots) & self._holds.all(axis=1)).mean())

    @property
    def _from_root_up(self) -> NDArray[np.bool_]:
        """In which draws a larger value helps the goal, (draws,)."""
        rises = self.response[:, -1] > self.response[:, 0]
        return rises ^ self.goal.under

    @property
    def side(self) -> str:
        """'at least' or 'at most': on which side of the value that just meets the goal it holds; '' if draws differ."""
        if not self.monotone or self._from_root_up.min() != self._from_root_up.max():
            return ""
        return "at least" if self._from_root_up.all() else "at most"

    def values(self) -> Floats:
        """The lever's value in every draw, (draws,); infinite where the goal is just met beyond the range, if at all.

        Where a response only rises or only falls, and the goal holds at every value of the range or at none, the value
        lies below the range or above it, by which way the response goes. Otherwise, without a root, nan.
        """
        values = self.roots.copy()
        if not self.monotone:
            return values
        flat = self.response[:, -1] == self.response[:, 0]
        always, never = self._holds.all(axis=1), ~self._holds.any(axis=1)
        beyond = np.isnan(values) & ~flat & (always | never)
        values[beyond] = np.where(always == self._from_root_up, -np.inf, np.inf)[beyond]
        return values

    def interval(self) -> tuple[float, float, float]:
        """5%, 50% and 95% of the lever's value over all draws, or over those that have one where others have no place.

        Infinite where that many draws lie beyond the range; nan without any draw.
        """
        values = self.values()
        known = values[~np.isnan(values)]
        if not len(known):
            return (np.nan, np.nan, np.nan)
        # between a number and infinity there is nothing to interpolate
        found = spread(known) if np.isfinite(known).all() else np.quantile(known, BAND, method="inverted_cdf")
        low, median, high = map(float, found)
        return low, median, high

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
    chances, until = [plan.branch.chance for plan in job.plans], goal.quantity.last

    worlds = [plan.timeline for plan in job.plans]  # first as they are: what worlds have in common is lived once
    worlds += [turned.world(plan.timeline, float(value)) for value in grid for plan in job.plans]
    everyone = range(len(draws))
    asked = [Request(world, draws, everyone) for world in worlds]
    answers = np.stack(answers_to(job, asked, goal.quantity.of, progress, until))
    of_worlds = np.einsum("wbd,b->dw", answers.reshape(1 + len(grid), len(chances), -1), chances)
    before, response = of_worlds[:, 0], of_worlds[:, 1:]

    def miss(values: Floats, members: NDArray[np.int64]) -> Floats:
        """By how much each of these draws misses the goal with the lever at its own value."""
        own = [Request(turned.world(plan.timeline, float(v)), [draws[m]], [m])
               for v, m in zip(values, map(int, members), strict=True) for plan in job.plans]  # fmt: skip
        found = np.array(answers_to(job, own, goal.quantity.of, until=until)).reshape(len(values), len(chances))
        return np.asarray(found @ np.array(chances)) - goal.number

    roots = _roots(miss, grid, response - goal.number, NEUTRAL[turned.how])
    if progress is not None:
        progress(answers.size + len(draws), answers.size + len(draws))
    steps = np.diff(response, axis=1)
    held = before <= goal.number if goal.under else before >= goal.number
    same_way = (steps >= -1e-9).all(axis=1) | (steps <= 1e-9).all(axis=1)
    return BreakEven(turned, goal, grid, response, roots, held, bool(same_way.all()))


def _roots(
    miss: Callable[[Floats, NDArray[np.int64]], Floats], grid: Floats, at_grid: Floats, neutral: float | None
) -> Floats:
    """For each draw the crossing nearest to `neutral`, or nan where the grid shows none; all are sought at once.

    `at_grid` (draws, points) is what `miss` gives on the grid.
    """
    from scipy.optimize.elementwise import find_root  # dear to import, and others import this module for its levers

    found = np.full(len(at_grid), np.nan)
    first = {draw: i for draw, values in enumerate(at_grid) if (i := _crossing(grid, values, neutral)) is not None}
    if not first:
        return found
    which, at = np.array(list(first)), np.array(list(first.values()))
    low, high = grid[at], grid[at + 1]
    known = {(draw, x): y for d, i in first.items() for draw, x, y in ((d, grid[j], at_grid[d, j]) for j in (i, i + 1))}

    def missed(values: Floats, members: NDArray[Any]) -> Floats:
        members = members.astype(np.int64)
        new = np.array([(d, x) not in known for d, x in zip(members.tolist(), values.tolist(), strict=True)])
        result = np.array([known.get((d, x), np.nan) for d, x in zip(members.tolist(), values.tolist(), strict=True)])
        if new.any():
            result[new] = miss(values[new], members[new])
        return result

    tolerances = {"xatol": PRECISION * (grid[-1] - grid[0]), "xrtol": 0.0}
    found[which] = find_root(missed, (low, high), args=(which,), tolerances=tolerances).x
    return found


def _crossing(grid: Floats, values: Floats, neutral: float | None) -> int | None:
    """Where the grid shows the crossing of 0 that is nearest to `neutral`: the number of the point before it."""
    crossings = [i for i in range(len(grid) - 1) if values[i] * values[i + 1] <= 0.0 and values[i] != values[i + 1]]
    middle = grid[len(grid) // 2] if neutral is None else neutral
    return min(crossings, key=lambda i: min(abs(grid[i] - middle), abs(grid[i + 1] - middle)), default=None)
