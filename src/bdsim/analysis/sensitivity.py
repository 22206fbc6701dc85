"""Which parameters and levers a number depends on: Morris' elementary effects or Sobol' indices, by SALib.

Morris 1991 (doi:10.1080/00401706.1991.10484804) with mu* of Campolongo et al. 2007 (doi:10.1016/j.envsoft.2006.10.004);
Sobol' 2001 (doi:10.1016/S0378-4754(00)00270-6), total indices after Jansen 1999 (doi:10.1016/S0010-4655(98)00154-4).
Inputs vary independently over their ranges; correlations of the posterior are left out, and indices depend on ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bdsim.analysis.breakeven import Turned
from bdsim.errors import UsageError, did_you_mean
from bdsim.runs.expected import Progress, Request, answers_to

if TYPE_CHECKING:
    from bdsim.analysis.quantity import Quantity
    from bdsim.model.categories import Floats
    from bdsim.runs.plan import Job
    from bdsim.study.parameters import Parameters

__all__ = ["METHODS", "Inputs", "Sensitivity", "indices", "make_inputs", "sensitivity"]

METHODS = ("morris", "sobol")
LEVELS = 4  # of Morris' grid
CONFIDENCE = 0.9
WIDTH = 2.0  # prior standard deviations to either side of the mean


@dataclass(frozen=True)
class Inputs:
    """What varies, and between which values; a lever multiplies a yearly table in some years."""

    bounds: Mapping[str, tuple[float, float]]  # parameters and levers, in this order
    levers: frozenset[str]
    years: tuple[int, int]  # of the levers

    def problem(self) -> dict[str, Any]:
        """As SALib wants it."""
        bounds = [list(pair) for pair in self.bounds.values()]
        return {"num_vars": len(bounds), "names": list(self.bounds), "bounds": bounds}


@dataclass(frozen=True)
class Sensitivity:
    """`table`: input, low, high, index, conf (half of the 90% interval, bootstrap), and the method's other columns."""

    method: str
    quantity: Quantity
    of: str
    evaluations: int
    table: pd.DataFrame


def make_inputs(job: Job, levers: Mapping[str, tuple[float, float]], years: tuple[int, int], over: str) -> Inputs:
    """The free parameters over prior (mean +- 2 sd, inside the bounds) or posterior (90% interval), and levers.

    Raises UsageError for an unknown table or range, and for a posterior without a fit.
    """
    if over == "posterior" and job.fit is None:
        raise UsageError("there is no fit; use --over prior", where="--over")
    bounds: dict[str, tuple[float, float]] = {}
    for name, entry in job.parameters.entries.items():
        if entry.prior is None or name == "mainland_stem" or name in job.held:
            continue
        if over == "posterior" and job.fit is not None:
            if name in job.fit.draws:
                low, high = np.quantile(job.fit.draws[name], (0.05, 0.95))
                bounds[name] = float(low), float(high)
        else:
            wide = entry.prior.mean - WIDTH * entry.prior.sd, entry.prior.mean + WIDTH * entry.prior.sd
            bounds[name] = max(wide[0], entry.bounds[0]), min(wide[1], entry.bounds[1])
    tables = job.plans[0].timeline.tables
    for table, (low, high) in levers.items():
        if table not in tables:
            raise UsageError(f"unknown table '{table}'{did_you_mean(table, tables)}", where="--lever")
        if not 0.0 <= low < high:
            raise UsageError(f"the range {table} = {low:g}..{high:g} is empty or negative", where="--lever")
        for factor in (low, high):
            _multiplied(table, years).world(job.plans[0].timeline, factor)  # raises what no scenario file could say
        if years[0] > job.settings.horizon:
            problem = f"{years[0]}-{years[1]} begins after the horizon {job.settings.horizon}, so it changes nothing"
            raise UsageError(problem, where="--years")
        bounds[f"lever {table}"] = low, high
    return Inputs(bounds, frozenset(f"lever {t}" for t in levers), years)


def sensitivity(
    job: Job, quantity: Quantity, inputs: Inputs, method: str = "morris", size: int = 16, seed: int = 0,
    reference: Job | None = None, progress: Progress | None = None,
) -> Sensitivity:  # fmt: skip
    """Indices of a quantity of the job's scenario, or with a `reference` of its difference from it.

    `size` is the number of Morris' trajectories or of Sobol' base samples (a power of two). Raises UsageError.
    """
    if method not in METHODS:
        raise UsageError(f"unknown method '{method}'{did_you_mean(method, METHODS)}", where="--method")

    def model(points: Floats) -> Floats:
        values = _values(job, quantity, inputs, points, progress)
        return values - _values(reference, quantity, inputs, points, progress) if reference is not None else values

    table, evaluations = indices(model, inputs.problem(), method, size, seed)
    table.insert(1, "low", [low for low, _ in inputs.bounds.values()])
    table.insert(2, "high", [high for _, high in inputs.bounds.values()])
    of = job.scenario.title + (f" less {reference.scenario.title}" if reference is not None else "")
    ranked = table.sort_values("index", ascending=False, ignore_index=True)
    return Sensitivity(method, quantity, of, evaluations, ranked)


def indices(
    model: Callable[[Floats], Floats], problem: dict[str, Any], method: str, size: int, seed: int
) -> tuple[pd.DataFrame, int]:
    """Indices of any function of points, shape (points, inputs), and how often it was asked."""
    if method == "morris":
        from SALib.analyze import morris as analysis
        from SALib.sample import morris as sampling

        points = sampling.sample(problem, size, num_levels=LEVELS, seed=seed)
        values = model(points)
        found = analysis.analyze(problem, points, values, conf_level=CONFIDENCE, num_levels=LEVELS, seed=seed)
        named = {"index": "mu_star", "conf": "mu_star_conf", "mean": "mu", "sigma": "sigma"}
    else:
        from SALib.analyze import sobol as analysis
        from SALib.sample import sobol as sampling

        if size < 2 or size & (size - 1):
            raise UsageError(f"{size} is not a power of two, which Sobol' samples need", where="--samples")
        points = sampling.sample(problem, size, calc_second_order=False, seed=seed)
        values = model(points)
        spread = values.std()
        scaled = (values - values.mean()) / spread if spread > 0.0 else np.zeros_like(values)
        found = (
            analysis.analyze(problem, scaled, calc_second_order=False, conf_level=CONFIDENCE, seed=seed)
            if spread > 0.0
            else dict.fromkeys(("ST", "ST_conf", "S1", "S1_conf"), np.zeros(problem["num_vars"]))
        )
        named = {"index": "ST", "conf": "ST_conf", "first": "S1", "first_conf": "S1_conf"}
    arrays = {name: np.asarray(found[column], np.float64) for name, column in named.items()}
    return pd.DataFrame({"input": problem["names"], **arrays}), len(points)


def _values(job: Job, quantity: Quantity, inputs: Inputs, points: Floats, progress: Progress | None) -> Floats:
    """The quantity at every point, events by their chances; points with the same levers run side by side."""
    names = list(inputs.bounds)
    lever_columns = [i for i, name in enumerate(names) if name in inputs.levers]
    settings, group = np.unique(points[:, lever_columns], axis=0, return_inverse=True)
    vectors = [_parameters(job, names, point, inputs) for point in points]
    asked, where = [], []
    for number, factors in enumerate(settings):
        rows = np.flatnonzero(group.ravel() == number)
        for plan in job.plans:
            world = plan.timeline
            for column, factor in zip(lever_columns, factors, strict=True):
                world = _multiplied(names[column], inputs.years).world(world, float(factor))
            asked.append(Request(world, [vectors[i] for i in rows]))
            where.append((rows, plan.branch.chance))
    values = np.zeros(len(points))
    for (rows, chance), found in zip(where, answers_to(job, asked, quantity.of, progress, quantity.last), strict=True):
        values[rows] += chance * found
    return values


def _parameters(job: Job, names: list[str], point: Floats, inputs: Inputs) -> Parameters:
    own = {name: float(v) for name, v in zip(names, point, strict=True) if name not in inputs.levers}
    return job.parameters.with_values(own)


def _multiplied(name: str, years: tuple[int, int]) -> Turned:
    """The lever that an input stands for."""
    return Turned(name.removeprefix("lever "), "multiply", years, 0.0, np.inf)
