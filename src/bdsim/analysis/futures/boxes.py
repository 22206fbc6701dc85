"""PRIM, the patient rule induction method: boxes of inputs in which what is asked about happens often.

Friedman & Fisher 1999 (doi:10.1023/A:1008894516817); as scenario discovery, with coverage, density and quasi-p values,
Bryant & Lempert 2010 (doi:10.1016/j.techfore.2009.08.002). A peel takes a twentieth of the members by a number,
or all of one category; so that the two compete fairly (Kwakkel & Jaxa-Rozen 2016, doi:10.1016/j.envsoft.2015.11.020),
the one is made for which it is surest that density differs between what stays and what goes (two-sample z).
Members may have weights, which neither ema_workbench nor prim allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from bdsim.model import draws
from bdsim.model.draws import Purpose

if TYPE_CHECKING:
    from bdsim.model.categories import Floats

__all__ = ["Box", "Limit", "Sample", "find_boxes"]

PEEL = 0.05  # share of a box that one peel takes away
SMALLEST = 0.05  # least share of all members, by weight, that a box holds
FEWEST = 10  # least number of independent members that a box holds
SIGNIFICANT = 0.05  # a limit with a greater quasi-p value is given up
LEAST_ODDS = 3.0  # of a box, against the odds over all members: less tells little
HALVES = 20  # random halves on which a box is looked for again

Bools = NDArray[np.bool_]
Inputs = Mapping[str, NDArray[Any]]  # by name, one value a member: numbers, or categories as text


@dataclass(frozen=True)
class Sample:
    """Members with inputs (numbers or categories), whether each is `of_interest`, a weight, and a group.

    Members of one group (the same draw in several branches) share luck and count as one where independence matters.
    """

    inputs: Inputs
    of_interest: Bools  # (members,)
    weights: Floats  # (members,)
    groups: NDArray[np.int64]  # (members,)

    def where(self, chosen: Bools) -> Sample:
        """Only the members that are chosen."""
        inputs = {name: values[chosen] for name, values in self.inputs.items()}
        return Sample(inputs, self.of_interest[chosen], self.weights[chosen], self.groups[chosen])

    def density(self, inside: Bools) -> float:
        """Share of the members inside, by weight, that are of interest; 0 for nobody."""
        mass = float(self.weights[inside].sum())
        return float(self.weights[inside & self.of_interest].sum()) / mass if mass > 0.0 else 0.0

    def coverage(self, inside: Bools) -> float:
        """Share of all that is of interest, by weight, that lies inside."""
        return float(self.weights[inside & self.of_interest].sum() / self.weights[self.of_interest].sum())

    def independent(self, inside: Bools) -> float:
        """How many equally weighted groups the members inside are worth (Kish 1965)."""
        _, position = np.unique(self.groups[inside], return_inverse=True)
        masses = np.bincount(position, self.weights[inside])
        return float(masses.sum() ** 2 / (masses**2).sum()) if len(masses) else 0.0


@dataclass(frozen=True)
class Limit:
    """One side of a box: the input above or below a number, or not one of some categories."""

    input: str
    side: str  # above, below or not
    value: float = math.nan
    excluded: tuple[str, ...] = ()
    quasi_p: float = math.nan  # chance that the limit gains as much density without meaning anything
    found_again: float = math.nan  # share of random halves of the members in which the same side is limited

    def holds(self, inputs: Inputs) -> Bools:
        """Which members keep to it, shape (members,)."""
        values = inputs[self.input]
        if self.side == "not":
            return ~np.isin(values, self.excluded)
        return np.asarray(values > self.value if self.side == "above" else values < self.value)


@dataclass(frozen=True)
class Box:
    """Limits that hold together, and how well they tell what is of interest from the rest.

    `held_out` is the mean density of boxes found on random halves, judged on the other halves: what `density`
    promises too much, since the same members drew the box, shows in the difference.
    """

    limits: tuple[Limit, ...]
    coverage: float
    density: float
    mass: float  # share of all members, by weight, that lie inside
    held_out: float = math.nan

    def holds(self, inputs: Inputs) -> Bools:
        """Which members lie inside, shape (members,)."""
        return _inside(self.limits, inputs)


def find_boxes(sample: Sample, *, most: int = 2, least_density: float | None = None) -> list[Box]:
    """Up to `most` boxes, each looked for among the members that lie in none before; none where no limit means much
    or the odds inside are less than three times those over all members.

    Of the boxes on the way inwards the one with the greatest harmonic mean of coverage and density is taken, or with
    `least_density` the one with the greatest coverage at that density or more, where there is one.
    Needs somebody of interest and somebody who is not.
    """
    boxes: list[Box] = []
    free = np.ones(len(sample.weights), bool)
    total = float(sample.weights.sum())
    while len(boxes) < most:
        rest = sample.where(free)
        if not rest.of_interest.any() or rest.of_interest.all():
            break
        limits = _one_box(rest, SMALLEST * total, least_density)
        if not limits:
            break
        inside = _inside(limits, sample.inputs) & free
        if _odds(sample.density(inside)) < LEAST_ODDS * _odds(sample.density(np.ones(len(free), bool))):
            break
        again, held_out = _repeated(rest, SMALLEST * total, least_density)
        limits = tuple(replace(v, found_again=again.get((v.input, v.side), 0.0)) for v in limits)
        mass = float(sample.weights[inside].sum()) / total
        boxes.append(Box(limits, sample.coverage(inside), sample.density(inside), mass, held_out))
        free &= ~inside
    return boxes


def _one_box(sample: Sample, smallest: float, least_density: float | None) -> tuple[Limit, ...]:
    """Peel, choose, paste, and give up what means little."""
    way = list(_peeled(sample, smallest))

    def worth(limits: tuple[Limit, ...]) -> tuple[bool, float]:
        inside = _inside(limits, sample.inputs)
        coverage, density = sample.coverage(inside), sample.density(inside)
        if least_density is not None and density >= least_density:
            return True, coverage
        return False, 2.0 * coverage * density / (coverage + density) if coverage > 0.0 else 0.0

    return _meaningful(sample, _pasted(sample, max(way, key=worth)))


def _peeled(sample: Sample, smallest: float) -> Iterator[tuple[Limit, ...]]:
    """Boxes from all members inwards; each lacks what is surest to be thinner than the rest."""
    limits: tuple[Limit, ...] = ()
    inside = np.ones(len(sample.weights), bool)
    while True:
        yield limits
        mass, density = float(sample.weights[inside].sum()), sample.density(inside)
        if density >= 1.0:
            return
        peels = []
        for limit in _possible_peels(sample, inside):
            kept = inside & limit.holds(sample.inputs)
            left = float(sample.weights[kept].sum())
            if smallest <= left < mass:
                # two-sample z, but for a factor that all peels share
                gain = (sample.density(kept) - density) * math.sqrt(left / (mass - left))
                peels.append((gain, limit, kept))
        peels.sort(key=lambda peel: -peel[0])
        best = next((p for p in peels if sample.independent(p[2]) >= FEWEST), None)
        if best is None:
            return
        limits, inside = _with(limits, best[1]), best[2]


def _possible_peels(sample: Sample, inside: Bools) -> Iterator[Limit]:
    for name, every in sample.inputs.items():
        values = every[inside]
        if values.dtype.kind != "f":
            present = np.unique(values)
            if len(present) > 1:
                yield from (Limit(name, "not", excluded=(str(c),)) for c in present)
            continue
        order = np.argsort(values, kind="stable")
        ranked = values[order]
        if ranked[0] == ranked[-1]:
            continue
        reached = np.cumsum(sample.weights[inside][order])
        low = ranked[min(int(np.searchsorted(reached, PEEL * reached[-1])), len(ranked) - 1)]
        high = ranked[min(int(np.searchsorted(reached, (1.0 - PEEL) * reached[-1])), len(ranked) - 1)]
        if (above := ranked[ranked > low]).size:
            yield Limit(name, "above", float(low + above[0]) / 2.0)
        if (below := ranked[ranked < high]).size:
            yield Limit(name, "below", float(high + below[-1]) / 2.0)


def _with(limits: tuple[Limit, ...], new: Limit) -> tuple[Limit, ...]:
    """The limits with a new one, which takes the place of the same side of the same input."""
    same = next((v for v in limits if (v.input, v.side) == (new.input, new.side)), None)
    if same is None:
        return (*limits, new)
    if new.side == "not":
        new = replace(new, excluded=(*same.excluded, *new.excluded))
    return tuple(new if v is same else v for v in limits)


def _without(limits: tuple[Limit, ...], gone: Limit) -> tuple[Limit, ...]:
    return tuple(v for v in limits if v is not gone)


def _pasted(sample: Sample, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """Limits moved outwards again, one at a time, as long as no density is lost."""
    while True:
        inside = _inside(limits, sample.inputs)
        density, mass = sample.density(inside), float(sample.weights[inside].sum())
        best, gain = None, -1.0
        for limit in limits:
            wider = _widened(sample, limits, limit, inside, PEEL * mass)
            if wider is None:
                continue
            now = _inside(wider, sample.inputs)
            added = float(sample.weights[now].sum()) - mass
            if added > 0.0 and (gained := (sample.density(now) - density) / added) >= 0.0 and gained > gain:
                best, gain = wider, gained
        if best is None:
            return limits
        limits = best


def _widened(
    sample: Sample, limits: tuple[Limit, ...], limit: Limit, inside: Bools, mass: float
) -> tuple[Limit, ...] | None:
    """The limits with one moved outwards past members of about `mass`, or taken away; None where nobody is outside."""
    beyond = _inside(_without(limits, limit), sample.inputs) & ~inside
    if not beyond.any():
        return None
    if limit.side == "not":
        return _without(limits, limit)
    values = sample.inputs[limit.input][beyond]
    order = np.argsort(values if limit.side == "below" else -values, kind="stable")
    reached = np.cumsum(sample.weights[beyond][order])
    last = int(np.searchsorted(reached, mass))
    if last + 1 >= len(order):
        return _without(limits, limit)
    edge = values[order][last]
    further = values[order][values[order] != edge]
    further = further[further > edge] if limit.side == "below" else further[further < edge]
    if not further.size:
        return _without(limits, limit)
    moved = replace(limit, value=float(edge + further[0]) / 2.0)
    return tuple(moved if v is limit else v for v in limits)


def _meaningful(sample: Sample, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """The limits with their quasi-p values, without those that might as well be chance, the weakest first."""
    while limits:
        judged = tuple(replace(v, quasi_p=_quasi_p(sample, limits, v)) for v in limits)
        weakest = max(judged, key=lambda v: v.quasi_p)
        if weakest.quasi_p <= SIGNIFICANT:
            return judged
        limits = _without(judged, weakest)
    return limits


def _quasi_p(sample: Sample, limits: tuple[Limit, ...], limit: Limit) -> float:
    """The chance of as many of interest in the box if its density were that without this limit (binomial)."""
    inside = _inside(limits, sample.inputs)
    looser = sample.density(_inside(_without(limits, limit), sample.inputs))
    size = sample.independent(inside)
    return float(binom.sf(math.ceil(sample.density(inside) * size - 1e-9) - 1, round(size), looser))


def _repeated(
    sample: Sample, smallest: float, least_density: float | None
) -> tuple[Mapping[tuple[str, str], float], float]:
    """How often each side of an input is limited on random halves of the groups, and the density on other halves."""
    times: dict[tuple[str, str], int] = {}
    densities = []
    for number in range(HALVES):
        luck = draws.uniform(number, sample.groups.astype(np.uint64), 0, Purpose.HALF)
        chosen = np.asarray(luck < 0.5)
        half, other = sample.where(chosen), sample.where(~chosen)
        if not half.of_interest.any() or half.of_interest.all():
            continue
        limits = _one_box(half, smallest / 2.0, least_density)
        for limit in limits:
            times[limit.input, limit.side] = times.get((limit.input, limit.side), 0) + 1
        inside = _inside(limits, other.inputs)
        if limits and inside.any():
            densities.append(other.density(inside))
    held_out = float(np.mean(densities)) if densities else math.nan
    return {side: n / HALVES for side, n in times.items()}, held_out


def _odds(share: float) -> float:
    return share / (1.0 - share) if share < 1.0 else math.inf


def _inside(limits: tuple[Limit, ...], inputs: Inputs) -> Bools:
    inside = np.ones(len(next(iter(inputs.values()))), bool)
    for limit in limits:
        inside &= limit.holds(inputs)
    return inside
