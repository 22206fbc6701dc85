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
from bdsim.model.engine.inlining import inlined
from bdsim.model.maths import at_least, at_most

__all__ = ["at_full_scale", "compile_draws", "programme_at_full_scale"]

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
    trials = _trials(expected, variance)
    share = np.divide(expected, trials, out=np.zeros(expected.shape), where=expected > 0.0)
    return _drawn(keys, trials, np.minimum(share, 1.0))


def programme_at_full_scale(drawn: Floats, expected: Floats, programme: Floats, seeds: list[int]) -> Floats:
    """How many of the `drawn` departures leave with a programme: binomial with the share that is expected to.

    All have shape (members, years, groups, fields, stages, destinations), in researchers; `seeds` are the members' own.
    """
    years = range(FIRST_YEAR, FIRST_YEAR + expected.shape[1])
    keys = np.array([[draws.key_of(seed, year, Purpose.CHANCE, 1) for year in years] for seed in seeds], np.uint64)
    share = np.divide(programme, expected, out=np.zeros(expected.shape), where=expected > 0.0)
    return _drawn(keys, drawn, np.minimum(share, 1.0))


def compile_draws() -> None:
    """Compile what draws whole counts, on none."""
    none = np.zeros((0, 0, 0))
    _draw_all(np.zeros((0, 0), np.uint64), none, none, none.copy())


def _trials(mean: Floats, variance: Floats) -> Floats:
    """Trials of the binomial with this mean and, as nearly as whole trials can, this variance."""
    least = np.ceil(mean)
    trials = np.divide(mean * mean, mean - variance, out=least + POISSON, where=variance < mean)
    return np.where(variance < mean, np.minimum(np.maximum(np.ceil(trials), least), MOST_TRIALS), trials)


def _drawn(keys: NDArray[np.uint64], trials: Floats, share: Floats) -> Floats:
    """Binomial counts, shape that of `trials` and `share`, whose first axes are members and years, as of `keys`."""
    shape = (*trials.shape[:2], math.prod(trials.shape[2:]))  # members may be 0
    counts = np.zeros(shape)
    _draw_all(keys.reshape(shape[:2]), trials.reshape(shape), share.reshape(shape), counts)
    return counts.reshape(trials.shape)


@compiled
def _draw_all(keys: NDArray[np.uint64], trials: Floats, share: Floats, counts: Floats) -> None:
    for member in range(trials.shape[0]):
        for year in range(trials.shape[1]):
            for cell in range(trials.shape[2]):
                if trials[member, year, cell] > 0.0 and share[member, year, cell] > 0.0:
                    luck = draws.unit(draws.output(keys[member, year], np.uint64(cell)))
                    counts[member, year, cell] = _quantile(luck, trials[member, year, cell], share[member, year, cell])


@inlined
def _quantile(luck: Any, trials: Any, share: Any) -> Any:
    """The least count whose cumulative probability reaches `luck`, added up from far below the mean."""
    if share >= 1.0:
        return trials
    spread = math.sqrt(trials * share * (1.0 - share))
    count = at_least(math.floor(trials * share - TAIL * spread), 0.0)
    odds = share / (1.0 - share)
    probability = math.exp(
        math.lgamma(trials + 1.0) - math.lgamma(count + 1.0) - math.lgamma(trials - count + 1.0)
        + count * math.log(share) + (trials - count) * math.log1p(-share)
    ) if count > 0.0 else math.exp(trials * math.log1p(-share))  # fmt: skip
    below = probability
    last = at_most(math.ceil(trials * share + TAIL * spread) + TAIL, trials)
    while below < luck and count < last:
        probability *= (trials - count) / (count + 1.0) * odds
        count += 1.0
        below += probability
    return count
