"""The most probable parameters: several starts, each polished by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bdsim.calibration.problem import Problem
from bdsim.model.categories import Floats

__all__ = ["SOBOL_POINTS", "Optimum", "at_bounds", "best_of", "optimise", "sobol_starts"]

SOBOL_POINTS = 64
AGREE_COST, AGREE_DISTANCE = 0.1, 0.25  # half chi squares; posterior standard deviations
AT_BOUND = 1e-4  # of the width between the bounds


@dataclass(frozen=True)
class Optimum:
    """Where one start ended."""

    x: Floats
    cost: float  # half the sum of squared residuals
    evaluations: int
    converged: bool
    message: str


def sobol_starts(problem: Problem, points: int) -> list[Floats]:
    """Points that fill the prior evenly, inside the bounds."""
    from scipy.stats import qmc, truncnorm  # half a second to import, and scoring needs neither

    low, high = problem.bounds
    prior = truncnorm((low - problem.mean) / problem.sd, (high - problem.mean) / problem.sd, problem.mean, problem.sd)
    sequence = qmc.Sobol(len(problem.free), scramble=False).fast_forward(1)  # the first point is the corner
    return list(prior.ppf(np.clip(sequence.random(points), 0.02, 0.98)))


def optimise(problem: Problem, start: Floats) -> Optimum:
    """Polish one start by trust-region least squares inside the bounds."""
    from scipy import optimize  # slow to import, and scoring does without

    low, high = problem.bounds
    margin = 1e-9 * (high - low)
    found = optimize.least_squares(
        problem.residuals, np.clip(start, low + margin, high - margin), jac=problem.jacobian, bounds=(low, high),
        x_scale=problem.sd, method="trf", ftol=1e-7, xtol=1e-7, gtol=1e-6, max_nfev=60,
    )  # fmt: skip
    return Optimum(found.x, float(found.cost), int(found.nfev), bool(found.success), str(found.message))


def best_of(optima: Sequence[Optimum], spread: Floats) -> tuple[Optimum, list[str]]:
    """The best optimum, and what is to be said when starts disagree. `spread`: posterior sds, shape (free,)."""
    best = min(optima, key=lambda o: o.cost)
    warnings = []
    for number, other in enumerate(optima, start=1):
        apart = float(np.max(np.abs(other.x - best.x) / spread))
        if not other.converged:
            warnings.append(f"start {number} did not converge: {other.message}")
        elif other.cost - best.cost > AGREE_COST:
            warnings.append(f"start {number} ended {other.cost - best.cost:.1f} above the best: a local optimum")
        elif apart > AGREE_DISTANCE:
            warnings.append(f"start {number} fits as well {apart:.2f} posterior sd away: the optimum is flat")
    return best, warnings


def at_bounds(problem: Problem, x: Floats) -> list[str]:
    """Which parameters ended at a bound, in sentences: the facts may want them beyond it."""
    said = []
    for name, value, low, high in zip(problem.free, x, *problem.bounds, strict=True):
        for side, bound in (("lower", low), ("upper", high)):
            if abs(value - bound) <= AT_BOUND * (high - low):
                said.append(f"{name} is at its {side} bound, {bound:g}: the facts may want it beyond")
    return said
