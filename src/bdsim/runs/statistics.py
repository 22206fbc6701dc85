"""Statistics over the members of a run, each by its weight: they depend on the weighted distribution and nothing else.

Splitting a member in two, a member of weight 0 and the order of members change no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdsim.model.categories import Floats
from bdsim.runs.explained import explained_together

__all__ = ["BAND", "explained", "interval", "mean", "quantile", "ratio", "variance_parts"]

BAND = (0.05, 0.5, 0.95)  # the ends and the middle of an interval that holds 90% of the members' weight
SAME = 1e-9  # shares of the weight closer than this are one share


def mean(values: Floats, weights: Floats) -> Floats:
    """Weighted mean over the first axis (members)."""
    return np.asarray(np.average(values, axis=0, weights=weights))


def ratio(part: Floats, whole: Floats, weights: Floats) -> Floats:
    """The expected part of the expected whole, over the first axis (members); nan where nothing is expected."""
    above, below = mean(part, weights), mean(whole, weights)
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below != 0.0)


def quantile(values: Floats, weights: Floats, q: float, draws: int | None = None) -> Floats:
    """Weighted quantile over the first axis (members), for 0 < q < 1; `weights` add up to any positive number.

    The inverse of the weighted distribution, averaged over a window around q that is as wide as one of `draws` equal
    members, and reaches at most half of the way from q to 0 or 1. For equal weights and 20 draws or more the 5%, 50%
    and 95% are those of Hazen's definition (Hyndman & Fan 1996, doi:10.1080/00031305.1996.10473566, their fifth).
    Members beyond the window count for nothing, however far away they lie. Values that are nan count for nothing; nan
    where all are.
    """
    there = ~np.isnan(values)
    order = np.argsort(values, axis=0, kind="stable")  # nan last
    column = np.reshape(np.asarray(weights, np.float64), (len(values), *(1,) * (values.ndim - 1)))
    ranked, held = (
        np.take_along_axis(a, order, axis=0) for a in (np.where(there, values, 0.0), np.where(there, column, 0.0))
    )
    total = held.sum(axis=0)
    until = np.cumsum(held, axis=0) / np.where(total > 0.0, total, np.nan)
    half = max(0.5 * min(1.0 / (draws or np.inf), q, 1.0 - q), SAME)
    inside = np.diff(np.clip(until, q - half, q + half), axis=0, prepend=q - half)
    return np.asarray((inside * ranked).sum(axis=0) / inside.sum(axis=0))


def interval(values: Floats, levels: Sequence[float] = BAND) -> Floats:
    """Quantiles of draws that weigh the same, over the first axis; shape (levels, ...).

    One draw has no interval: nan for all but its median.
    """
    found = np.quantile(values, levels, axis=0)
    if len(values) < 2:
        found[np.array(levels) != 0.5] = np.nan
    return np.asarray(found)


def explained(values: Floats, columns: Floats) -> float:
    """The share of the variance of `values` (draws,) that goes with `columns` (draws, k), by linear regression.

    Adjusted for the number of columns (Ezekiel 1930), from 0 to 1; draws weigh the same.
    """
    draws, k = columns.shape
    scaled = (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), 1e-300)
    design = np.column_stack([np.ones(draws), scaled])
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    total = float(values.var(ddof=1))
    if total <= 0.0 or draws <= k + 1:
        return 0.0
    return float(np.clip(1.0 - (left**2).sum() / (draws - k - 1) / total, 0.0, 1.0))


def variance_parts(
    expected: Floats,
    chance: Floats,
    unmoved: Floats,
    weights: Floats,
    branch: NDArray[Any],
    fitted: bool,
    drawn: Floats | None = None,
) -> dict[str, float]:
    """Shares of the variance over members that parameters, shocks, chance and events carry; 1 together, or all 0.

    All of shape (members,): `expected` a number without the chance of single researchers, `chance` the variance of
    that, `unmoved` the number without shocks, `branch` the way through events. Within a branch, parameters carry the
    covariance of the number with `unmoved`, shocks that with the rest. Where members are not `fitted` all have the
    same parameters, and what differs is chance. `drawn` (members, assumptions) is what they drew of the ranges of their
    scenario: what that explains within the branches is a part of its own, taken from that of parameters.
    """
    own = weights if drawn is not None else np.ones(len(weights))  # else members of a branch weigh the same
    inside, alone = (values - _of_branch(values, branch, own) for values in (expected, unmoved))
    spread = float(mean(inside**2, weights))
    parameters = float(np.clip(mean(inside * alone, weights), 0.0, spread))
    between = _of_branch(expected, branch, own)
    parts = {
        "parameters": parameters,
        "shocks": spread - parameters,
        "chance": float(mean(chance, weights)),
        "events": float(mean((between - mean(between, weights)) ** 2, weights)),
    }
    held = 0.0
    if drawn is not None:
        ways = [branch == name for name in dict.fromkeys(branch)]
        found = sum(weights[w].sum() * explained_together(expected[w], weights[w], drawn[w]) for w in ways)
        if np.isnan(found):  # too few members to tell one from the other
            if not fitted:
                parts |= {"parameters": spread, "shocks": 0.0}
            return _shares({"parameters and assumptions": parts.pop("parameters"), **parts})
        held = parts["assumptions"] = min(float(found / weights.sum()), spread)
        parts["parameters"] = max(parts["parameters"] - held, 0.0)
        parts["shocks"] = spread - held - parts["parameters"]
    if not fitted:
        parts |= {"parameters": 0.0, "shocks": 0.0, "chance": parts["chance"] + spread - held}
    return _shares(parts)


def _shares(parts: dict[str, float]) -> dict[str, float]:
    total = sum(parts.values())
    return {name: value / total if total > 0 else 0.0 for name, value in parts.items()}


def _of_branch(values: Floats, branch: NDArray[Any], own: Floats) -> Floats:
    """The mean of each member's branch, whose members weigh what is their own; 0 where all of them weigh nothing."""
    names, which = np.unique(branch, return_inverse=True)
    sums, mass = np.bincount(which, own * values, len(names)), np.bincount(which, own, len(names))
    return np.asarray((sums / np.where(mass > 0.0, mass, 1.0))[which])
