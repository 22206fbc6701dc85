"""What a scenario changes against a reference, person by person: paired differences with their intervals.

Both runs give every researcher the same luck, so a difference comes from people whose choice differs and from
nobody else. Its chance part is theirs too: the expected difference plus a draw whose variance is the number of
people who decide differently, much as if one agent stood for one researcher.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from bdsim.analysis.pairs import Everyone, Pairs, pairs_of
from bdsim.errors import UsageError, check_years
from bdsim.model import draws
from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.model.counts import AXES, selection
from bdsim.model.draws import Purpose
from bdsim.model.fates import Fates, destination_of, year_left
from bdsim.runs.drawn import Drawn
from bdsim.runs.identity import apart, check_reference
from bdsim.runs.results import Centre, Results

__all__ = [
    "Comparison", "Difference", "Period", "Precision", "centre_of", "compare", "distinct",
    "first_difference", "unique",
]  # fmt: skip

Z90 = float(ndtri(0.95))  # half the width of a normal variable's central 90%, in standard deviations
Period = tuple[int, int]  # first and last year, both included


@dataclass(frozen=True)
class Difference:
    """Departures under a scenario less those under the reference, paired by luck.

    `values` (members of the scenario, periods, *axes) in researchers, with chance at full scale; `expected` the
    same without the chance part; `discordant` (same shape) the people whose choice differs, on average over the
    members of a branch.
    """

    scenario: Results
    periods: list[Period]
    axes: tuple[str, ...]
    values: Floats
    expected: Floats
    discordant: Floats
    reference: Results

    def band(self) -> Floats:
        """5%, 50% and 95% over members, shape (3, periods, *axes)."""
        return self.scenario.band(self.values)

    def mean(self) -> Floats:
        """The expected difference, shape (periods, *axes)."""
        return self.scenario.mean(self.expected)

    def middle(self, centre: Centre) -> Floats:
        """The centre of the difference, shape (periods, *axes): its expected value, or its median over members."""
        return self.mean() if centre == "mean" else self.band()[1]

    def by_branch(self) -> dict[str, Floats]:
        """The expected difference on each way that has a chance, by its name, each of shape (periods, *axes)."""
        chances = {b["name"]: b["chance"] for b in self.scenario.manifest["branches"]}
        ways = self.scenario.each_branch(self.expected)
        return {name: way for name, way in ways.items() if chances[name] > 0.0}

    def variance_split(self, period: int = 0) -> dict[str, float]:
        """Shares of the variance over members that parameters, shocks, chance and events carry, without axes."""
        years, match = self.periods[period], self.reference.positions(self.scenario.members["draw"].to_numpy())
        unmoved = self.scenario.unmoved(*years) - self.reference.unmoved(*years)[match]
        return self.scenario.variance_parts(self.expected[:, period], self.discordant[:, period], unmoved)

    def table(self) -> pd.DataFrame:
        """Tidy: scenario, from, until, *axes, mean, p05, median, p95."""
        low, median, high = self.band()
        index = np.indices(low.shape)
        columns: dict[str, object] = {
            "scenario": self.scenario.name,
            "from": np.array([p[0] for p in self.periods])[index[0].ravel()],
            "until": np.array([p[1] for p in self.periods])[index[0].ravel()],
        }
        for axis, codes in zip(self.axes, index[1:], strict=True):
            columns[axis] = np.array(AXES[axis])[codes.ravel()]
        columns |= {
            "mean": self.mean().ravel(),
            "p05": low.ravel(),
            "median": median.ravel(),
            "p95": high.ravel(),
        }
        return pd.DataFrame(columns)


@dataclass(frozen=True)
class Precision:
    """How well an ensemble tells an effect: the paired differences' variance beside that of unpaired runs.

    All in researchers or researchers squared. The interval p05-p95 holds 90% of members and branches; variances
    are between members, each the expected value over its branches; `half_width` is of the 90% interval of the
    mean over members, which more of them narrow. With one member, how well it is known is not known: nan.
    """

    scenario: str
    period: Period
    effect: float
    p05: float
    median: float
    p95: float
    variance: float  # of the difference between a member and its pair
    unpaired_variance: float  # of the difference between two members of unpaired runs
    members: int

    @property
    def variance_ratio(self) -> float:
        """How many times as many members unpaired runs need for the same interval; infinite without differences."""
        return float("inf") if self.variance == 0.0 else self.unpaired_variance / self.variance

    @property
    def half_width(self) -> float:
        """Of the 90% interval of the mean effect, by Student's t."""
        return float(stdtrit(self.members - 1, 0.95) * np.sqrt(self.variance / self.members))

    def members_needed(self, within: float = 0.05, *, paired: bool = True) -> int | None:
        """Members that tell the mean effect to within a share of itself, 90% confidence, by the normal approximation.

        None without an effect, or with one member.
        """
        variance = self.variance if paired else self.unpaired_variance
        if self.effect == 0.0 or not np.isfinite(variance):
            return None
        return max(2, int(np.ceil(variance * (Z90 / (within * self.effect)) ** 2)))


@dataclass(frozen=True)
class Comparison(Drawn):
    """A reference and the scenarios compared with it."""

    reference: Results
    others: tuple[Results, ...]
    _found: dict[str, Pairs] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        others = ", ".join(other.name for other in self.others)
        years = self.reference.years
        return f"<Comparison of {others} with {self.reference.name}, {years[0]}-{years[-1]}>"

    def _repr_html_(self) -> str:
        """The differences over each band of years, as notebooks show them."""
        bands = self.reference.year_bands
        table = pd.concat([self.difference(other, bands).table() for other in self.others], ignore_index=True)
        title = f"Departures of scientists of Chinese descent, difference from {html.escape(self.reference.name)}"
        return f"<p>{title}</p>{table.round(1).to_html(index=False)}"

    @property
    def all(self) -> tuple[Results, ...]:
        return (self.reference, *self.others)

    @property
    def centre(self) -> Centre:
        """One statistic for all runs and differences: the mean where ways through events branch, else the median."""
        return centre_of(self.all)

    def difference(
        self,
        scenario: Results,
        periods: Sequence[Period] | None = None,
        axes: Sequence[str] = (),
        origin: str = "china",
    ) -> Difference:
        """Departures of `scenario` less the reference's, in each period (default: each year)."""
        spans = list(periods) if periods is not None else [(y, y) for y in self.reference.years]
        for first, last in spans:
            check_years(first, last, self.reference.years, "periods")
        match = self.reference.positions(scenario.members["draw"].to_numpy())
        here, there = (_over(r.collapsed("expected", axes, origin), spans) for r in (scenario, self.reference))
        expected = here - there[match]
        apart = self._discordant(scenario, spans, tuple(axes), origin)
        means = scenario.each_branch(apart)  # members of a branch that changes nothing differ by nothing
        variance = np.stack([means[branch] for branch in scenario.members["branch"]])
        values = expected + np.sqrt(variance) * _noise(scenario, spans, expected.shape[2:])
        return Difference(scenario, spans, tuple(axes), values, expected, variance, self.reference)

    def effect(
        self, axes: Sequence[str] = (), origin: str = "china", cumulative_from: int | None = None
    ) -> pd.DataFrame:
        """Every scenario's difference from the reference by year, or added up from a year, as a tidy table."""
        periods = None
        if cumulative_from is not None:
            check_years(cumulative_from, cumulative_from, self.reference.years, "cumulative_from")
            periods = [(cumulative_from, year) for year in self.reference.years if year >= cumulative_from]
        tables = [self.difference(s, periods, axes, origin).table() for s in self.others]
        return pd.concat(tables, ignore_index=True)

    def precision(self, scenario: Results, period: Period, origin: str = "china") -> Precision:
        """How well the members tell the effect summed over `period`, and how unpaired runs would have told it."""
        difference = self.difference(scenario, [period], (), origin)
        totals = [_over(r.by(origin=origin)[0], [period])[:, 0] for r in (scenario, self.reference)]
        there, here = (_by_draw(r, values) for r, values in zip((scenario, self.reference), totals, strict=True))
        low, median, high = (float(x) for x in difference.band()[:, 0])
        return Precision(
            scenario.name, period, float(difference.mean()[0]), low, median, high,
            _variance(_by_draw(scenario, difference.values[:, 0])), _variance(there) + _variance(here), len(there),
        )  # fmt: skip

    def _discordant(self, scenario: Results, spans: list[Period], axes: tuple[str, ...], origin: str) -> Floats:
        """Researchers counted on one side and not the other, shape (members, periods, *axes)."""
        pairs = self.pairs(scenario)
        people = pairs.people
        chosen = np.isin(people.group, selection(origin))[pairs.person]
        member, row = pairs.member[chosen].astype(np.int64), pairs.person[chosen].astype(np.int64)
        weight = people.stand_for(scenario, member, row)
        cells = tuple(len(AXES[a]) for a in axes)
        size = int(np.prod(cells))
        members = len(scenario.members)
        total = np.zeros((members, len(spans), size))
        sides = [_fate(codes[chosen], people, row, axes) for codes in (pairs.ours, pairs.theirs)]
        for p, (first, last) in enumerate(spans):
            at = [np.where((year >= first) & (year <= last), cell, -1) for year, cell in sides]
            for cell in at:
                counted = (at[0] != at[1]) & (cell >= 0)
                flat = member[counted] * size + cell[counted]
                total[:, p] += np.bincount(flat, weight[counted], members * size).reshape(members, size)
        return total.reshape(members, len(spans), *cells)

    def pairs(self, scenario: Results) -> Pairs:
        """Who decides differently under `scenario` and under the reference, member by member."""
        if scenario.fingerprint not in self._found:
            known = scenario.fingerprint in {other.fingerprint for other in self.others}
            asked = self.others if known else (scenario,)  # all at once: the reference is read once
            for one, pairs in zip(asked, pairs_of(self.reference, asked), strict=True):
                self._found[one.fingerprint] = pairs
        return self._found[scenario.fingerprint]


def compare(reference: Results, *others: Results) -> Comparison:
    """Pair scenarios with a reference run; a member whose pair failed is left out.

    Raises UsageError, with what to do, when they do not share luck, scale, facts or their members' parameters.
    """
    for run in (reference, *others):
        if not isinstance(run, Results):
            raise UsageError(
                f"{run!r} is not a run: give what bdsim.run or bdsim.load_results returns", where="compare"
            )
    if not others:
        raise UsageError("nothing to compare with", where="compare")
    check_reference(reference.name, reference.members["branch"].nunique(), "compare")
    reference, *called = distinct([reference, *others])
    paired: list[Results] = []
    for other in called:
        if obstacle := apart(reference, other):
            raise UsageError(obstacle, where="compare")
        lacking = set(other.members["draw"]) - set(reference.members["draw"])
        if not lacking <= set(reference.failures["draw"]):
            raise UsageError(f"'{other.name}' has members that '{reference.name}' lacks", where="compare")
        paired.append(other.without(lacking))
        if not len(paired[-1].members):
            raise UsageError(f"no member of '{other.name}' has its pair in '{reference.name}'", where="compare")
    return Comparison(reference, tuple(paired))


def centre_of(runs: Iterable[Results]) -> Centre:
    """One statistic for all runs that are shown together: the mean where ways branch in any, else the median."""
    return "mean" if any(r.branches_out for r in runs) else "median"


def distinct(runs: Sequence[Results]) -> list[Results]:
    """The same runs, each under a name and a title that no other of them has.

    Where two share a name, the start of the fingerprint goes with it; where two share a title, the name does.
    """
    names = unique([r.name for r in runs], [r.fingerprint[:6] for r in runs], "{}-{}")
    titles = unique([r.title for r in runs], names, "{} ({})")
    called = list(zip(names, titles, strict=True))
    return [r if c == (r.name, r.title) else replace(r, called=c) for r, c in zip(runs, called, strict=True)]


def unique(labels: Sequence[str], beside: Sequence[str], joined: str) -> list[str]:
    """Labels made unique: by what stands beside them, and by a number where that is the same too."""
    found: list[str] = []
    for label, more in zip(labels, beside, strict=True):
        new = label if labels.count(label) == 1 else joined.format(label, more)
        number = 1
        while new in found or (new != label and new in labels):
            number += 1
            new = joined.format(label, f"{more}, {number}" if " " in joined else f"{more}-{number}")
        found.append(new)
    return found


def first_difference(reference: Results, other: Results) -> int | None:
    """The first year in which any yearly table of the two runs differs, or None; branches without a chance aside."""
    match = reference.positions(other.members["draw"].to_numpy())
    differs = (reference.digests[match] != other.digests)[other.weights > 0.0].any(axis=0)
    return reference.years[int(differs.argmax())] if differs.any() else None


def _by_draw(results: Results, values: Floats) -> Floats:
    """Expected value over the branches for each draw, shape (draws,): branches are weighed, not sampled."""
    _, draw = np.unique(results.members["draw"], return_inverse=True)
    weights = results.weights
    return np.asarray(np.bincount(draw, weights * values) / np.bincount(draw, weights))


def _variance(values: Floats) -> float:  # between draws, which weigh the same; nan of one
    return float(values.var(ddof=1)) if len(values) > 1 else float("nan")


def _over(table: Floats, spans: list[Period]) -> Floats:
    """(members, years, ...) summed over each span of years."""
    sums = [table[:, first - FIRST_YEAR : last - FIRST_YEAR + 1].sum(axis=1) for first, last in spans]
    return np.stack(sums, axis=1)


def _noise(scenario: Results, spans: list[Period], cells: tuple[int, ...]) -> Floats:
    """Standard normal numbers at the addresses of (member, span, cell)."""
    n = np.arange(int(np.prod(cells)), dtype=np.uint64)
    keys = _keys(tuple(scenario.members["seed"]), tuple(spans))
    luck = draws.unit(draws.output(keys[:, :, None], n))
    return np.asarray(ndtri(luck).reshape(*keys.shape, *cells))


@lru_cache(maxsize=32)
def _keys(seeds: tuple[str, ...], spans: tuple[Period, ...]) -> NDArray[np.uint64]:
    """Where the numbers of each member and span begin, shape (members, spans): the same for every table."""
    addresses = [last * 10_000 + first for first, last in spans]
    keys = [[draws.key_of(int(seed, 16), at, Purpose.CHANCE, 1) for at in addresses] for seed in dict.fromkeys(seeds)]
    each = dict(zip(dict.fromkeys(seeds), keys, strict=True))  # branches share their members' seeds
    return np.array([each[seed] for seed in seeds], np.uint64).reshape(len(seeds), len(spans))


def _fate(
    codes: Fates, people: Everyone, row: NDArray[np.int64], axes: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The year in which each left (0: never) and the cell over `axes` in which that is counted."""
    year = np.where(codes > 0, year_left(codes), 0)
    position = {"field": people.field[row], "stage": people.stage(row, year), "destination": destination_of(codes)}
    cell = np.zeros(len(codes), np.int64)
    for axis in axes:
        cell = cell * len(AXES[axis]) + position[axis]
    return year, cell
