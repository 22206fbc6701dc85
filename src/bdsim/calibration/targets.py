"""What a calibrated model must reproduce: statistics of the model against facts of the evidence.

calibration/targets.toml is expanded into one Target a fact (target_file.py); `model_values` reads the model's side
off its counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.special import ndtr

from bdsim.model.categories import DESTINATIONS, FIELDS, FIRST_ENTRY, FIRST_YEAR, ORIGINS, Floats
from bdsim.model.counts import Counts, selection
from bdsim.model.rule import CAREER

__all__ = ["Role", "Target", "model_value", "model_values", "standardised", "yearly_to_china"]

EXPERIENCED = 25  # papers (Xie et al. 2023)
PUBLISHING_BEFORE = 4.0  # years before the doctorate in which one already publishes
SPREAD_OF_PAPERS = 0.9  # sd of the log of papers between people

Role = Literal["fitted", "held_out", "validation"]


@dataclass(frozen=True)
class Target:
    """One fact and the statistic of the model that is held against it."""

    entry: str
    label: str
    statistic: str
    fact: float
    error: float  # standard error on the scale of the residual (log or absolute)
    is_log: bool
    role: Role
    first: int  # years; for stay rates the cohorts
    last: int
    as_of: int  # the last year that the statistic needs
    origin: str
    field: str | None
    destination: str | None
    times: str | None
    bound: str | None
    denominator: tuple[int, int] | None
    counting: bool  # whether the error has a part 1 / fact, that of a count
    why: str

    def moved(self, value: float, by: float) -> float:
        """A statistic of the model after `by` on the scale of its error."""
        return value * math.exp(by) if self.is_log else value + by

    def held_out_after(self, year: int) -> Target:
        """This target as a forecast made at the end of `year` would see it: later facts are held out."""
        return replace(self, role="held_out") if self.role == "fitted" and self.as_of > year else self


def yearly_to_china(targets: Sequence[Target]) -> dict[tuple[int, str], int]:
    """Positions of the yearly series of departures to China by field: (year, field) to position."""
    return {
        (t.last, t.field): i for i, t in enumerate(targets)
        if t.statistic == "departures" and t.destination == "china" and t.field is not None and t.first == t.last
    }  # fmt: skip


def model_values(targets: Sequence[Target], counts: Counts, several: Sequence[Mapping[str, float]]) -> Floats:
    """The model's side of every target, from the expected departures of each member, shape (members, targets).

    `several` are the values of each member's parameters.
    """
    return np.column_stack([_statistic(t, counts) * _factor(t, counts, several) for t in targets])


def model_value(target: Target, counts: Counts, values: Mapping[str, float]) -> float:
    """The model's side of one target, from the expected departures of a run of one member."""
    return float(model_values([target], counts, [values])[0, 0])


def standardised(target: Target, value: float) -> float:
    """The residual in standard errors of the fact: positive where the model is above it."""
    gap = math.log(max(value, 1e-12) / target.fact) if target.is_log else value - target.fact
    return (min(gap, 0.0) if target.bound == "lower" else gap) / target.error


# What follows returns a number a member. Years are added first, then what is chosen of a year, each member's numbers
# side by side: so the last digit does not depend on how many members there are.


def _statistic(target: Target, counts: Counts) -> Floats:
    """What no parameter of observation enters, shape (members,)."""
    years = (target.first, target.last)
    if target.statistic == "stay_rate":
        return _stay_rate(target, counts)
    if target.statistic == "experienced":
        return np.ones(len(counts.expected))
    above = _departures(counts, target, years, target.destination)
    if target.statistic == "share":
        return above / _departures(counts, target, years, None)
    if target.denominator is None:
        return above
    below = _departures(counts, target, target.denominator, target.destination)
    spans = (years[1] - years[0] + 1, target.denominator[1] - target.denominator[0] + 1)
    return np.asarray((above / spans[0]) / (below / spans[1]))


def _factor(target: Target, counts: Counts, several: Sequence[Mapping[str, float]]) -> Floats:
    """What observing makes of it, shape (members,)."""
    factor = np.array([1.0 if target.times is None else values[target.times] for values in several])
    if target.statistic != "experienced":
        return factor
    has_papers = np.array([_has_papers(values["productivity"]) for values in several])
    return factor * _experienced(target, counts, has_papers)


def _departures(counts: Counts, target: Target, years: tuple[int, int], destination: str | None) -> Floats:
    span = slice(years[0] - FIRST_YEAR, years[1] - FIRST_YEAR + 1)
    table = counts.expected[:, span].sum(axis=1)[:, selection(target.origin)]
    if target.field is not None:
        table = table[:, :, FIELDS.index(target.field)]
    if destination is not None:
        table = table[..., DESTINATIONS.index(destination)]
    return _total(table)


def _total(table: Floats) -> Floats:
    """The sum of everything of each member."""
    return np.asarray(np.ascontiguousarray(table).reshape(len(table), -1).sum(axis=1))


def _stay_rate(target: Target, counts: Counts) -> Floats:
    which = (
        slice(None) if target.origin == "all" else slice(ORIGINS.index(target.origin), ORIGINS.index(target.origin) + 1)
    )
    span = slice(target.first - FIRST_ENTRY, target.last - FIRST_ENTRY + 1)
    gone = counts.left[:, : target.as_of - FIRST_YEAR + 1, which, span].sum(axis=1)
    return np.asarray(1.0 - _total(gone) / _total(counts.entered[:, which, span]))


def _experienced(target: Target, counts: Counts, has_papers: Floats) -> Floats:
    """The share of those leaving who have EXPERIENCED papers and more, if each has published for four years at entry.

    They publish `productivity` papers a year at the median, with a log sd of 0.9 between people (lognormal
    productivity of scientists: Shockley 1957, doi:10.1109/JRPROC.1957.278364). `has_papers`: (members, CAREER).
    """
    span = slice(target.first - FIRST_YEAR, target.last - FIRST_YEAR + 1)
    leaving = counts.by_age[:, span].sum(axis=1)[:, selection(target.origin)].sum(axis=1)
    if target.destination is not None:
        leaving = leaving[..., [DESTINATIONS.index(target.destination)]]
    by_age = leaving.sum(axis=2)
    return np.asarray(_total(by_age * has_papers) / _total(by_age))


@lru_cache(maxsize=256)
def _has_papers(productivity: float) -> Floats:
    """The share of people of each year since entry who have EXPERIENCED papers and more, shape (CAREER,)."""
    papers = productivity * (np.arange(CAREER) + PUBLISHING_BEFORE)
    return np.asarray(ndtr((np.log(papers) - np.log(EXPERIENCED)) / SPREAD_OF_PAPERS))
