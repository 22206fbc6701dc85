"""Where the posterior is looked for: coordinates in which it is straight, a proposal in them, and a quadratic stand-in
for the model near its optimum, quick enough to be asked tens of thousands of times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import gammaincinv, ndtri

from bdsim.calibration.problem import Problem
from bdsim.errors import FitError
from bdsim.model import draws
from bdsim.model.categories import Floats
from bdsim.model.draws import Purpose

__all__ = ["Proposal", "Shear", "Surrogate", "coefficients", "tempered_moments"]

RIDGE = 1e-6  # of the largest: where points are few, the smoothest polynomial
TAIL = 12.0  # degrees of freedom of the proposal: tails wider than a normal's
AGES = np.arange(0.0, 12.0)  # years since entry
ROOTS, ROOTING = "roots.doctorate", "rooting"


@dataclass(frozen=True)
class Shear:
    """Coordinates in which the posterior is nearly a normal: leave_* + ln S(roots, rooting) in place of leave_*.

    S sums exp(-r(age)) over a dozen years (rule.py: r): those who leave within them, not the first year's rate, are
    what the data fix. A shear keeps volumes, so densities need no correction.
    """

    roots: int | None  # positions among the coordinates; None where held
    rooting: int | None
    held: tuple[float, float]  # roots and rooting where they are held
    leaving: tuple[int, ...]

    @classmethod
    def of(cls, problem: Problem, told: NDArray[np.bool_] | None = None) -> Shear:
        """The shear of those of a problem's free parameters that are `told` (default: all)."""
        chosen = np.ones(len(problem.free), bool) if told is None else told
        names = [n for n, is_told in zip(problem.free, chosen, strict=True) if is_told]
        roots, rooting = (names.index(n) if n in names else None for n in (ROOTS, ROOTING))
        held = (problem.parameters[ROOTS], problem.parameters[ROOTING])
        return cls(roots, rooting, held, tuple(i for i, name in enumerate(names) if name.startswith("leave_")))

    def straighten(self, points: Floats) -> Floats:
        """Parameters (points, coordinates) in the straight coordinates."""
        return self._moved(points, 1.0)

    def bend(self, points: Floats) -> Floats:
        """The inverse of `straighten`."""
        return self._moved(points, -1.0)

    def slope(self, x: Floats) -> Floats:
        """The derivative of `straighten` at `x`, shape (coordinates, coordinates)."""
        step = 1e-6 * np.eye(len(x))
        return np.asarray((self.straighten(x + step) - self.straighten(x - step)).T / 2e-6)

    def _moved(self, points: Floats, sign: float) -> Floats:
        moved = np.array(points)
        roots = points[:, self.roots] if self.roots is not None else np.full(len(points), self.held[0])
        rooting = points[:, self.rooting] if self.rooting is not None else np.full(len(points), self.held[1])
        years = np.maximum(rooting, 1e-3)  # proposals beyond the bounds are bent before they are dropped
        lived = np.log(np.exp(-roots[:, None] * (1.0 - np.exp(-AGES / years[:, None]))).sum(axis=1))
        moved[:, list(self.leaving)] += sign * lived[:, None]
        return moved


@dataclass(frozen=True)
class Proposal:
    """A multivariate t in straight coordinates, cut at the bounds, and points drawn from it."""

    shear: Shear
    centre: Floats
    root: Floats  # lower Cholesky factor of the scale matrix
    log_inside: float  # log of the share of the t inside the bounds
    points: Floats

    @classmethod
    def around(
        cls, centre: Floats, covariance: Floats, shear: Shear, bounds: tuple[Floats, Floats], seed: int, wanted: int
    ) -> Proposal:
        """`wanted` points; coordinates and chi squares are drawn at addresses of `seed`."""
        d, root = len(centre), np.asarray(np.linalg.cholesky(covariance), np.float64)
        found, tried, batch = np.empty((0, d)), 0, 0
        while len(found) < wanted:
            i = np.arange(batch * wanted, (batch + 1) * wanted, dtype=np.uint64)
            normal = ndtri(np.column_stack([draws.uniform(seed, i, 0, Purpose.POSTERIOR, k) for k in range(d)]))
            chi2 = 2.0 * gammaincinv(TAIL / 2.0, draws.uniform(seed, i, 0, Purpose.POSTERIOR, d))
            candidates = shear.bend(centre + (normal * np.sqrt(TAIL / chi2)[:, None]) @ root.T)
            inside = ((candidates >= bounds[0]) & (candidates <= bounds[1])).all(axis=1)
            found, tried, batch = np.concatenate([found, candidates[inside]]), tried + wanted, batch + 1
            if batch > 200:
                raise FitError("the optimum lies outside what the bounds allow", where="posterior")
        return cls(shear, centre, root, float(np.log(len(found) / tried)), found[:wanted])

    def log_density(self, points: Floats) -> Floats:
        """The log density at points inside the bounds, up to a constant shared by all proposals."""
        steps = solve_triangular(self.root, (self.shear.straighten(points) - self.centre).T, lower=True)
        distance = (steps**2).sum(axis=0)
        shape = -0.5 * (TAIL + len(self.centre)) * np.log1p(distance / TAIL)
        return np.asarray(shape - np.log(np.diag(self.root)).sum() - self.log_inside)


def tempered_moments(points: Floats, log_weight: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance under weights whose few greatest are cut, so that no single point decides."""
    weight = np.exp(log_weight - log_weight.max())
    weight = np.minimum(weight, np.quantile(weight, 1.0 - 30.0 / len(weight)))
    weight /= weight.sum()
    mean = weight @ points
    apart = points - mean
    return mean, (weight[:, None] * apart).T @ apart


def coefficients(dimensions: int) -> int:
    """How many coefficients a full quadratic has: so many points at least must be known."""
    return (dimensions + 1) * (dimensions + 2) // 2


@dataclass(frozen=True)
class Surrogate:
    """Every statistic as a full quadratic of the coordinates, fitted by least squares to points of the model."""

    centre: Floats  # (coordinates,)
    scale: Floats  # (coordinates,)
    weights: Floats  # (coefficients, statistics)

    @classmethod
    def of(cls, points: Floats, values: Floats) -> Surrogate:
        """From points (points, coordinates) at which the statistics (points, statistics) are known."""
        centre, scale = points.mean(axis=0), np.maximum(points.std(axis=0), 1e-12)
        terms = _terms((points - centre) / scale)
        left, size, right = np.linalg.svd(terms, full_matrices=False)
        damped = size / (size**2 + (RIDGE * size[0]) ** 2)
        return cls(centre, scale, (right.T * damped) @ (left.T @ values))

    def __call__(self, points: Floats) -> Floats:
        """The statistics at points (points, coordinates), shape (points, statistics)."""
        return np.asarray(_terms((points - self.centre) / self.scale) @ self.weights)


def _terms(z: Floats) -> Floats:
    """1, the coordinates, and their products two by two."""
    i, j = np.triu_indices(z.shape[1])
    return np.column_stack([np.ones(len(z)), z, z[:, i] * z[:, j]])
