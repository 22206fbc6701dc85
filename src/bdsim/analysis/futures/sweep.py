"""A number over the whole range of one lever, or of two at once: expected runs on a grid, for every posterior draw."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bdsim.errors import UsageError, did_you_mean
from bdsim.runs.expected import Progress, Request, answers_to, posterior_draws
from bdsim.runs.statistics import interval

if TYPE_CHECKING:
    from bdsim.analysis.breakeven import Turned
    from bdsim.analysis.quantity import Quantity
    from bdsim.model.categories import Floats
    from bdsim.runs.plan import Job

__all__ = ["Sweep", "sweep"]

LEVELS = (0.05, 0.95)
MOST_STEPS = 50


@dataclass(frozen=True)
class Sweep:
    """`values` (draws, points of the first axis[, points of the second]): the quantity, events by their chances."""

    quantity: Quantity
    title: str  # of the scenario
    axes: tuple[Turned, ...]
    grids: tuple[Floats, ...]
    values: Floats

    def table(self) -> pd.DataFrame:
        """One row a point of the grid: the value of each axis by name, mean, p05 and p95 of the quantity over draws.

        One draw has no interval: nan.
        """
        points = pd.DataFrame(itertools.product(*self.grids), columns=[axis.table for axis in self.axes])
        flat = self.values.reshape(len(self.values), -1)
        low, high = interval(flat, LEVELS)
        return points.assign(mean=flat.mean(axis=0), p05=low, p95=high)


def sweep(job: Job, axes: Sequence[Turned], quantity: Quantity, steps: int, progress: Progress | None = None) -> Sweep:
    """Run the job's scenario at every point of a grid of `steps` values an axis, ends included.

    Raises UsageError for an unknown table, one named twice, a range that is empty, and a number of axes or steps that
    cannot be drawn.
    """
    if not 1 <= len(axes) <= 2:
        raise UsageError(f"{len(axes)} levers were given; a sweep has one or two", where="--lever")
    if not 2 <= steps <= MOST_STEPS:
        raise UsageError(f"{steps} is not a number from 2 to {MOST_STEPS}", where="--steps")
    tables = job.plans[0].timeline.tables
    for axis in axes:
        if axis.table not in tables:
            raise UsageError(f"unknown table '{axis.table}'{did_you_mean(axis.table, tables)}", where="--lever")
        if not axis.low < axis.high:
            raise UsageError(f"the range {axis.low:g}..{axis.high:g} of {axis.table} is empty", where=axis.where)
    if len({axis.table for axis in axes}) < len(axes):
        raise UsageError(f"{axes[0].table} is named twice", where="--lever")
    grids = tuple(np.linspace(axis.low, axis.high, steps) for axis in axes)
    draws = posterior_draws(job)
    asked = []
    for point in itertools.product(*grids):
        for plan in job.plans:
            world = plan.timeline
            for axis, value in zip(axes, point, strict=True):
                world = axis.world(world, float(value))
            asked.append(Request(world, draws, range(len(draws))))
    answers = np.array(answers_to(job, asked, quantity.of, progress, quantity.last))
    chances = [plan.branch.chance for plan in job.plans]
    values = np.einsum("pbd,b->dp", answers.reshape(-1, len(chances), len(draws)), chances)
    return Sweep(quantity, job.scenario.title, tuple(axes), grids, values.reshape(len(draws), *map(len, grids)))
