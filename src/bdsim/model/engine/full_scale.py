"""Departures with the chance of single researchers, whatever the scale of the agents.

With k researchers an agent the variance of a sampled count is k times too large. So each cell is drawn anew around
its expected count from the binomial of the same mean and variance, the usual stand-in for the Poisson-binomial (a sum
of unlike Bernoulli trials; Choi & Xia 2002, doi:10.1214/aoap/1037125868), at the cell's own address.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdsim.model import draws
from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.model.draws import Purpose
from bdsim.model.engine.compiling import compiled

__all__ = ["at_full_scale", "programme_at_full_scale"]

TAIL = 12.0  # standard deviations below the mean where adding up starts: less than 1e-30 lies beneath
POISSON = 1e6  # trials beyond the mean where the variance is not below it: the binomial is a Poisson then
MOST_TRIALS = 1e9  # more would tell nothing: the binomial is a Poisson by then


def at_full_scale(expected: Floats, variance: Floats, seeds: list[int]) -> Floats:
    """Whole departures drawn around `expected` with `variance`.

    Both have shape (members, years, groups, fields, stages, destinations), in researchers and researchers squared;
    `seeds` are the members' own. Returns the same shape. The draw of a cell is the binomial's least count whose
    cumulative probability reaches the uniform number at the address (member, year, cell).
    """
    years = range(FIRST_YEAR, FIRST_YEAR + expected.shape[1])
    keys = np.array([[draws.key_of(seed, year, Purpose.CHANCE) for year in years] for seed in seeds], np.uint64)
    keys = keys.reshape(-1, len(years))
    drawn, shape = np.zeros(expected.shape), _by_cell(expected)
    _draw_all(keys, np.ascontiguousarray(expected).reshape(shape), variance.reshape(shape), drawn.reshape(shape))
    return drawn


def programme_at_full_scale(drawn: Floats, expected: Floats, programme: Floats, seeds: list[int]) -> Floats:
    """How many of the `drawn` departures leave with a programme: binomial with the share that is expected to.

    All have shape (members, years, groups, fields, stages, destinations), in researchers; `seeds` are the members' own.
    """
    years = range(FIRST_YEAR, FIRST_YEAR + expected.shape[1])
    keys = np.array([[draws.key_of(seed, year, Purpose.CHANCE, 1) for year in years] for seed in seeds], np.uint64)
    keys = keys.reshape(-1, len(years))
    recruited, shape = np.zeros(expected.shape), _by_cell(expected)
    share = np.divide(programme, expected, out=np.zeros(expected.shape), where=expected > 0.0)
    _thin_all(keys, drawn.reshape(shape), np.minimum(share, 1.0).reshape(shape), recruited.reshape(shape))
    return recruited


def _by_cell(table: Floats) -> tuple[int, int, int]:
    """Members, years, cells; members may be 0."""
    return table.shape[0], table.shape[1], math.prod(table.shape[2:])


@compiled
def _thin_all(keys: NDArray[np.uint64], drawn: Floats, share: Floats, recruited: Floats) -> None:
    for member in range(drawn.shape[0]):
        for year in range(drawn.shape[1]):
            for cell in range(drawn.shape[2]):
                if drawn[member, year, cell] > 0.0 and share[member, year, cell] > 0.0:
                    luck = draws.unit(draws.output(keys[member, year], np.uint64(cell)))
                    recruited[member, year, cell] = _quantile(
                        luck, drawn[member, year, cell], share[member, year, cell]
                    )


@compiled
def _draw_all(keys: NDArray[np.uint64], expected: Floats, variance: Floats, drawn: Floats) -> None:
    for member in range(expected.shape[0]):
        for year in range(expected.shape[1]):
            for cell in range(expected.shape[2]):
                mean = expected[member, year, cell]
                if mean > 0.0:
                    luck = draws.unit(draws.output(keys[member, year], np.uint64(cell)))
                    trials = _trials(mean, variance[member, year, cell])
                    drawn[member, year, cell] = _quantile(luck, trials, min(mean / trials, 1.0))


@compiled
def _trials(mean: Any, variance: Any) -> Any:
    """Trials of the binomial with this mean and, as nearly as whole trials can, this variance."""
    if variance >= mean:
        return math.ceil(mean) + POISSON
    return min(max(math.ceil(mean * mean / (mean - variance)), math.ceil(mean)), MOST_TRIALS)


@compiled
def _quantile(luck: Any, trials: Any, share: Any) -> Any:
    """The least count whose cumulative probability reaches `luck`, added up from far below the mean."""
    if share >= 1.0:
        return trials
    spread = math.sqrt(trials * share * (1.0 - share))
    count = max(0.0, math.floor(trials * share - TAIL * spread))
    odds = share / (1.0 - share)
    probability = math.exp(
        math.lgamma(trials + 1.0) - math.lgamma(count + 1.0) - math.lgamma(trials - count + 1.0)
        + count * math.log(share) + (trials - count) * math.log1p(-share)
    ) if count > 0.0 else math.exp(trials * math.log1p(-share))  # fmt: skip
    below = probability
    last = min(trials, math.ceil(trials * share + TAIL * spread) + TAIL)
    while below < luck and count < last:
        probability *= (trials - count) / (count + 1.0) * odds
        count += 1.0
        below += probability
    return count
