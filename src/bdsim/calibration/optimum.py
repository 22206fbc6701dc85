"""The most probable parameters: several starts, each polished by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bdsim.calibration.problem import Problem
from bdsim.model.categories import Floats

__all__ = ["FINELY", "ROUGHLY", "Optimum", "at_bounds", "best_of", "optimise", "refitted", "sobol_starts"]

SOBOL_POINTS = 64
ROUGHLY, FINELY = 1e-4, 1e-7  # tolerances: of starts, enough to tell which ends best; of the best
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


def sobol_starts(problem: Problem, points: int = SOBOL_POINTS) -> list[Floats]:
    """Points that fill the prior evenly, inside the bounds."""
    from scipy.stats import qmc, truncnorm  # half a second to import, and scoring needs neither

    low, high = problem.bounds
    prior = truncnorm((low - problem.mean) / problem.sd, (high - problem.mean) / problem.sd, problem.mean, problem.sd)
    sequence = qmc.Sobol(len(problem.free), scramble=False).fast_forward(1)  # the first point is the corner
    return list(prior.ppf(np.clip(sequence.random(points), 0.02, 0.98)))


class Slopes:
    """Residuals with their derivatives at the point last asked about: a step is nearly always taken, and the two
    together take no longer than the derivatives alone."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._last: tuple[bytes, Floats, Floats] = (b"", np.empty(0), np.empty(0))

    def _at(self, x: Floats) -> tuple[bytes, Floats, Floats]:
        key = x.tobytes()
        if self._last[0] != key:
            self._last = (key, *self._problem.with_jacobian(x))
        return self._last

    def residuals(self, x: Floats) -> Floats:
        """Problem.residuals"""
        return self._at(x)[1]

    def jacobian(self, x: Floats) -> Floats:
        """Problem.jacobian"""
        return self._at(x)[2]


def optimise(problem: Problem, start: Floats, tolerance: float = FINELY) -> Optimum:
    """Polish one start by trust-region least squares inside the bounds, until a step gains less than `tolerance` of
    the cost or of the values."""
    from scipy import optimize  # slow to import, and scoring does without

    low, high = problem.bounds
    margin, slopes = 1e-9 * (high - low), Slopes(problem)
    found = optimize.least_squares(
        slopes.residuals, np.clip(start, low + margin, high - margin), jac=slopes.jacobian, bounds=(low, high),
        x_scale=problem.sd, method="trf", ftol=tolerance, xtol=tolerance, gtol=1e-6, max_nfev=60,
    )  # fmt: skip
    return Optimum(found.x, float(found.cost), int(found.nfev), bool(found.success), str(found.message))


def refitted(problem: Problem, mode: Floats, held: int, value: float) -> tuple[float, float]:
    """The least cost with one parameter held at a value, and the part of it that facts have."""
    from scipy import optimize

    low, high = problem.bounds
    others, slopes = np.arange(len(mode)) != held, Slopes(problem)

    def full(rest: Floats) -> Floats:
        return np.insert(rest, held, value)

    found = optimize.least_squares(
        lambda rest: slopes.residuals(full(rest)), np.clip(mode[others], low[others] + 1e-9, high[others] - 1e-9),
        jac=lambda rest: slopes.jacobian(full(rest))[:, others], bounds=(low[others], high[others]),
        x_scale=problem.sd[others], ftol=1e-5, xtol=1e-5, max_nfev=15,
    )  # fmt: skip
    return float(found.cost), 0.5 * float((found.fun[: -len(mode)] ** 2).sum())


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
