"""How much of the variance over members each assumption explains: a regression on polynomials of what was drawn.

For independent assumptions a component's variance over the whole is the first-order Sobol' index (Sudret 2008,
doi:10.1016/j.ress.2007.04.002), here from the members that are there already, less what as many columns of noise would
explain. Members count by their weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bdsim.model.categories import Floats

__all__ = ["explained_alone", "explained_together"]

DEGREE = 3
MEMBERS_A_COLUMN = 4  # where there are fewer, degrees are lower
LEAST_MEMBERS = 2  # for each assumption: fewer tell nothing


def explained_alone(values: Floats, weights: Floats, draws: NDArray[np.int64], drawn: Floats) -> Floats:
    """The variance of `values` (members,) that each assumption explains by itself, shape (assumptions,).

    `drawn` (members, assumptions) is what each member drew; members of one draw in several branches drew the same, and
    their mean over branches is what is explained. Nan where there are too few members for so many assumptions.
    """
    _, first, position = np.unique(draws, return_index=True, return_inverse=True)
    mass = np.bincount(position, weights).astype(np.float64)
    there = mass > 0.0
    means = np.bincount(position, weights * values)[there] / mass[there]
    parts, _ = _components(means, mass[there], drawn[first][there])
    return parts


def explained_together(values: Floats, weights: Floats, drawn: Floats) -> float:
    """The variance of `values` (members of one branch,) that assumptions explain in sum; nan for too few members."""
    there = weights > 0.0
    return _components(values[there], weights[there], drawn[there])[1] if there.any() else 0.0


def _components(values: Floats, weights: Floats, drawn: Floats) -> tuple[Floats, float]:
    """Variance by assumption, and of their sum; nan where there are too few members to tell."""
    share = weights / weights.sum()
    centred = values - share @ values
    blocks = _columns(drawn, share)
    width = sum(block.shape[1] for block in blocks)
    size = 1.0 / float((share**2).sum())
    if size < LEAST_MEMBERS * (drawn.shape[1] + 1):
        return np.full(drawn.shape[1], np.nan), np.nan
    if not width or float(share @ centred**2) <= 0.0:
        return np.zeros(drawn.shape[1]), 0.0
    root = np.sqrt(share)[:, None]
    every = np.hstack(blocks)
    found, *_ = np.linalg.lstsq(root * every, root[:, 0] * centred, rcond=None)
    residual = float(share @ (centred - every @ found) ** 2) * size / (size - width - 1.0)
    parts, at, fitted = [], 0, np.zeros(len(values))
    for block in blocks:
        part = block @ found[at : at + block.shape[1]]
        parts.append(max(float(share @ part**2) - residual * block.shape[1] / size, 0.0))
        fitted, at = fitted + part, at + block.shape[1]
    return np.array(parts), max(float(share @ fitted**2) - residual * width / size, 0.0)


def _columns(drawn: Floats, share: Floats) -> list[Floats]:
    """For each assumption its orthonormal polynomials, shape (members, degrees); none where all drew the same."""
    most = max(int(1.0 / float((share**2).sum()) / MEMBERS_A_COLUMN / max(drawn.shape[1], 1)), 1)
    blocks = []
    for column in drawn.T:
        centre = column - share @ column
        scale = np.sqrt(share @ centre**2)
        degree = min(DEGREE, most, len(np.unique(column)) - 1)
        found: list[Floats] = [np.ones(len(column))]
        for _ in range(degree):
            new = found[-1] * centre / scale
            for _ in range(2):  # twice is enough (Kahan)
                for known in found:
                    new = new - (share @ (new * known)) * known
            found.append(new / np.sqrt(share @ new**2))
        blocks.append(np.column_stack(found[1:]) if degree > 0 else np.zeros((len(column), 0)))
    return blocks
