"""A quadratic stand-in for the model near its optimum: quick enough to be asked tens of thousands of times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bdsim.model.categories import Floats

__all__ = ["Surrogate", "coefficients"]

RIDGE = 1e-6  # of the largest: where points are few, the smoothest polynomial


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
