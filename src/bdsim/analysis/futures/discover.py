"""What must be true for a number to be large, or small: boxes of parameters, assumptions and events (see boxes).

Beside them the share of the number's variance that each input explains by itself: the correlation ratio over ten
bins of equal weight, which estimates the first-order Sobol' index from a sample that is there already (Plischke,
Borgonovo & Smith 2013, doi:10.1016/j.ejor.2012.11.047), less what ten bins explain of noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim.analysis.events import NOT_REACHED
from bdsim.analysis.futures.boxes import Box, Limit, Sample, find_boxes
from bdsim.analysis.quantity import KINDS, Quantity, parse_quantity
from bdsim.errors import UsageError
from bdsim.model.categories import DESTINATIONS, FIRST_YEAR, Floats
from bdsim.model.counts import selection
from bdsim.runs.results import ASSUMPTION, PARAMETER, Results

__all__ = ["Discovery", "Threshold", "discover", "inputs_of", "parse_threshold", "scores", "values_of"]

BINS = 10
FEWEST = 40  # members of which a box is looked for
EVENT = "event "  # begins the name of an input that is an event


@dataclass(frozen=True)
class Threshold:
    """A quantity above, or below, a number of researchers."""

    quantity: Quantity
    above: bool
    number: float

    def __str__(self) -> str:
        return f"{self.quantity} {'above' if self.above else 'below'} {self.number:,.0f}"

    @property
    def meaning(self) -> str:
        """In words that follow 'futures with'."""
        q = self.quantity
        years = str(q.first) if q.first == q.last else f"{q.first}-{q.last}"
        mean = "on average " if q.kind == "stock" and q.last > q.first else ""
        return f"{mean}{'more' if self.above else 'fewer'} than {self.number:,.0f} {KINDS[q.kind]} in {years}"

    def holds(self, values: Floats) -> NDArray[np.bool_]:
        """For which of the values it holds."""
        return np.asarray(values > self.number if self.above else values < self.number)


@dataclass(frozen=True)
class Discovery:
    """The boxes, the members they were found among, and the scores of all inputs."""

    threshold: Threshold
    title: str  # of the run
    sample: Sample
    values: Floats  # (members,) of the quantity
    boxes: list[Box]
    scores: pd.DataFrame  # input, share
    labels: Mapping[str, str] = field(default_factory=dict)  # of parameters

    @property
    def base(self) -> float:
        """The chance of what is asked about, over all members."""
        return float(self.sample.weights[self.sample.of_interest].sum() / self.sample.weights.sum())

    def table(self) -> pd.DataFrame:
        """One row a limit: box, coverage, density, held_out, input, side, value, excluded, quasi_p, found_again."""
        rows = [
            {
                "box": number, "coverage": box.coverage, "density": box.density, "held_out": box.held_out,
                "mass": box.mass, "input": v.input, "side": v.side, "value": v.value,
                "excluded": ", ".join(v.excluded), "quasi_p": v.quasi_p, "found_again": v.found_again,
            }
            for number, box in enumerate(self.boxes, start=1)
            for v in box.limits
        ]  # fmt: skip
        names = ("box", "coverage", "density", "held_out", "mass", "input", "side", "value", "excluded", "quasi_p",
                 "found_again")  # fmt: skip
        return pd.DataFrame(rows, columns=list(names))

    def sentences(self) -> list[str]:
        """One sentence a box, as one would say it; one that says so where there is none."""
        asked = self.threshold.meaning
        if not self.boxes:
            return [f"No limits on the inputs separate the futures with {asked} from the others."]
        return [
            f"In {box.coverage:.0%} of the futures with {asked}, {_joined([self.said(v) for v in box.limits])}; "
            f"of the futures in which that holds, {box.density:.0%} are such futures, and {self.base:.0%} of all."
            for box in self.boxes
        ]

    def said(self, limit: Limit) -> str:
        """A limit in words."""
        if limit.side != "not":
            return f"{self.named(limit.input)} is {limit.side} {limit.value:,.4g}"
        left = sorted(set(self.sample.inputs[limit.input].tolist()) - set(limit.excluded))
        return f"{self.named(limit.input)} ends in {' or '.join(left)}"

    def named(self, name: str) -> str:
        """What a person reads in place of an input's name."""
        return f"'{name.removeprefix(EVENT)}'" if name.startswith(EVENT) else self.labels.get(name, name)


def discover(results: Results, threshold: Threshold, *, most: int = 2, least_density: float | None = None) -> Discovery:
    """Look for boxes of the run's inputs in which the threshold holds.

    Raises UsageError for too few members, a run whose members differ in nothing but chance, and a threshold that
    holds for all or for none.
    """
    if len(results.members) < FEWEST:
        problem = f"'{results.name}' has {len(results.members)} members; boxes need at least {FEWEST}"
        raise UsageError(problem, where="--members")
    inputs = inputs_of(results)
    if not inputs:
        problem = f"the members of '{results.name}' differ in nothing but chance, so there is nothing to discover"
        raise UsageError(problem, where="RUN")
    values = values_of(results, threshold.quantity)
    there = results.weights > 0.0
    holds = threshold.holds(values)
    if holds[there].all() or not holds[there].any():
        low, high = values[there].min(), values[there].max()
        often = "every" if holds[there].all() else "no"
        raise UsageError(
            f"{threshold} holds in {often} member, where it lies between {low:,.0f} and {high:,.0f}",
            where="--above" if threshold.above else "--below",
        )
    sample = Sample(inputs, holds, results.weights, results.members["draw"].to_numpy(np.int64)).where(there)
    boxes = find_boxes(sample, most=most, least_density=least_density)
    return Discovery(
        threshold, results.title, sample, values[there], boxes, scores(sample, values[there]), results.labels
    )


def inputs_of(results: Results) -> dict[str, NDArray[np.generic]]:
    """What differs between members and is not chance, by name: parameters, assumptions, and how events end."""
    members = results.members
    found: dict[str, NDArray[np.generic]] = {}
    for column in members:
        if str(column).startswith((PARAMETER, ASSUMPTION)):
            values = members[column].to_numpy(np.float64)
            if np.ptp(values) > 0.0:
                found[str(column).removeprefix(PARAMETER).removeprefix(ASSUMPTION)] = values
    ways = {b["name"]: b["outcomes"] for b in results.manifest["branches"]}
    for event in results.manifest["scenario"]["event"]:
        names = {o["name"] for o in event["outcomes"]}
        ends = {branch: next((o for o in way if o in names), NOT_REACHED) for branch, way in ways.items()}
        decided = np.array([ends[branch] for branch in members["branch"]], np.str_)
        if len(np.unique(decided)) > 1:
            found[EVENT + event["name"]] = decided
    return found


def values_of(results: Results, quantity: Quantity) -> Floats:
    """The quantity in every member of a run, chance of single researchers included, shape (members,)."""
    span = slice(quantity.first - FIRST_YEAR, quantity.last - FIRST_YEAR + 1)
    if quantity.kind == "stock":
        groups = selection("china")
        stocks = results.gathered("stocks", lambda t: t[:, span][:, :, groups].sum(axis=(2, 3, 4)))
        return np.asarray(stocks.mean(axis=1))
    table = results.collapsed("full_scale", ("destination",))[:, span].sum(axis=1)
    chosen = quantity.kind.removeprefix("to_")
    return np.asarray(table[:, DESTINATIONS.index(chosen)] if chosen in DESTINATIONS else table.sum(axis=1))


def scores(sample: Sample, values: Floats) -> pd.DataFrame:
    """input, share: of the variance of `values` (members,) that each input explains by itself, the greatest first."""
    total = _spread(values, sample.weights)
    rows = []
    for name, column in sample.inputs.items():
        bins = _bins(column, sample.weights)
        masses = np.bincount(bins, sample.weights)
        means = np.bincount(bins, sample.weights * values) / np.where(masses > 0.0, masses, 1.0)
        within = _spread(values - means[bins], sample.weights)
        size = sample.independent(np.ones(len(values), bool))
        free = max(size - np.count_nonzero(masses), 1.0)
        share = 1.0 - within * (size - 1.0) / (total * free) if total > 0.0 else 0.0
        rows.append((name, max(share, 0.0)))
    table = pd.DataFrame(rows, columns=["input", "share"])
    return table.sort_values("share", ascending=False, ignore_index=True, kind="stable")


def _bins(column: NDArray[np.generic], weights: Floats) -> NDArray[np.int64]:
    """The bin of each member: its category, or which tenth of the weight its number lies in."""
    distinct, position = np.unique(column, return_inverse=True)
    if column.dtype.kind != "f" or len(distinct) <= BINS:
        return np.asarray(position, np.int64)
    reached = np.cumsum(np.bincount(position, weights))
    middle = reached - np.bincount(position, weights) / 2.0
    tenth = np.minimum((middle / reached[-1] * BINS).astype(np.int64), BINS - 1)
    return np.asarray(tenth[position], np.int64)


def _spread(values: Floats, weights: Floats) -> float:
    centre = np.average(values, weights=weights)
    return float(np.average((values - centre) ** 2, weights=weights))


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def parse_threshold(text: str, above: bool, window: str | None, horizon: int) -> Threshold:
    """Read 'departures:2030=3000', or 'departures=3000' with a window of years. Raises UsageError."""
    where = "--above" if above else "--below"
    left, equals, right = text.partition("=")
    try:
        number = float(right)
    except ValueError:
        number = np.nan
    if not equals or not 0.0 <= number < np.inf:
        raise UsageError(f"'{text}' is not QUANTITY=NUMBER, e.g. departures:2030=3000", where=where)
    if window is not None:
        if ":" in left:
            raise UsageError(f"'{text}' names years already; leave out --years or the years there", where="--years")
        left = f"{left.strip()}:{window}"
    elif ":" not in left and left.strip() in KINDS:
        raise UsageError(f"'{text}' lacks years; write e.g. {left.strip()}:2030={right}, or --years", where=where)
    return Threshold(parse_quantity(left, horizon, where), above, number)
