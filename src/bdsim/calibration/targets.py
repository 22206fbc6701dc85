"""What a calibrated model must reproduce: statistics of the model against facts of the evidence.

calibration/targets.toml is expanded into one Target a fact (target_file.py); `model_value` reads the model's side off
its counts.
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

__all__ = ["Role", "Target", "model_value", "standardised", "yearly_to_china"]

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


def model_value(target: Target, counts: Counts, values: Mapping[str, float], member: int = 0) -> float:
    """The model's side of a target, from the expected departures of one member."""
    if target.statistic == "stay_rate":
        value = _stay_rate(target, counts, member)
    elif target.statistic == "experienced":
        value = _experienced(target, counts, values["productivity"], member)
    elif target.statistic == "share":
        everywhere = _departures(counts, target, (target.first, target.last), None, member)
        value = _departures(counts, target, (target.first, target.last), target.destination, member) / everywhere
    elif target.denominator is not None:
        above = _departures(counts, target, (target.first, target.last), target.destination, member)
        below = _departures(counts, target, target.denominator, target.destination, member)
        spans = (target.last - target.first + 1, target.denominator[1] - target.denominator[0] + 1)
        value = (above / spans[0]) / (below / spans[1])
    else:
        value = _departures(counts, target, (target.first, target.last), target.destination, member)
    return value * (values[target.times] if target.times is not None else 1.0)


def standardised(target: Target, value: float) -> float:
    """The residual in standard errors of the fact: positive where the model is above it."""
    gap = math.log(max(value, 1e-12) / target.fact) if target.is_log else value - target.fact
    return (min(gap, 0.0) if target.bound == "lower" else gap) / target.error


def _departures(counts: Counts, target: Target, years: tuple[int, int], destination: str | None, member: int) -> float:
    span = slice(years[0] - FIRST_YEAR, years[1] - FIRST_YEAR + 1)
    table = counts.expected[member, span].sum(axis=0)[selection(target.origin)]
    if target.field is not None:
        table = table[:, FIELDS.index(target.field)]
    if destination is not None:
        table = table[..., DESTINATIONS.index(destination)]
    return float(table.sum())


def _stay_rate(target: Target, counts: Counts, member: int) -> float:
    which = (
        slice(None) if target.origin == "all" else slice(ORIGINS.index(target.origin), ORIGINS.index(target.origin) + 1)
    )
    span = slice(target.first - FIRST_ENTRY, target.last - FIRST_ENTRY + 1)
    gone = counts.left[member, : target.as_of - FIRST_YEAR + 1, which, span].sum()
    return float(1.0 - gone / counts.entered[member, which, span].sum())


def _experienced(target: Target, counts: Counts, productivity: float, member: int) -> float:
    """The share of those leaving who have EXPERIENCED papers and more, if each has published for four years at entry.

    They publish `productivity` papers a year at the median, with a log sd of 0.9 between people (lognormal
    productivity of scientists: Shockley 1957, doi:10.1109/JRPROC.1957.278364).
    """
    span = slice(target.first - FIRST_YEAR, target.last - FIRST_YEAR + 1)
    leaving = counts.by_age[member, span].sum(axis=0)[selection(target.origin)].sum(axis=0)
    if target.destination is not None:
        leaving = leaving[:, [DESTINATIONS.index(target.destination)]]
    by_age = leaving.sum(axis=1)
    return float(by_age @ _has_papers(productivity) / by_age.sum())


@lru_cache(maxsize=256)
def _has_papers(productivity: float) -> Floats:
    """The share of people of each year since entry who have EXPERIENCED papers and more, shape (CAREER,)."""
    papers = productivity * (np.arange(CAREER) + PUBLISHING_BEFORE)
    return np.asarray(ndtr((np.log(papers) - np.log(EXPERIENCED)) / SPREAD_OF_PAPERS))
