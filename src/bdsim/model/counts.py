"""What was counted in a run, in researchers, as arrays; and what every count must hold to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from bdsim.errors import InvariantError, UsageError, did_you_mean
from bdsim.model.categories import (
    DESTINATIONS,
    FIELDS,
    FIRST_YEAR,
    GROUPS,
    ORIGIN_OF_GROUP,
    ORIGINS,
    STAGES,
    Floats,
)
from bdsim.model.engine.state import Tally
from bdsim.model.people import Population

__all__ = ["AXES", "Counts", "check_conservation", "check_member", "counts_of", "selection"]

AXES = {
    "origin": ORIGINS,
    "route": ("doctorate", "settled"),
    "field": FIELDS,
    "stage": STAGES,
    "destination": DESTINATIONS,
}


@dataclass(frozen=True)
class Counts:
    """What an ensemble counted, in researchers. Years run from FIRST_YEAR; groups are population.GROUPS."""

    departures: Floats  # (members, years, groups, fields, stages, destinations)
    expected: Floats  # same: expected departures given the state of 1 January
    variance: Floats  # same: variance of the count if each researcher chose alone (Poisson-binomial)
    stocks: Floats  # (members, years, groups, fields, stages): here on 1 January
    entrants: Floats  # (members, years, groups, fields)
    retired: Floats  # (members, years, groups, fields): at the end of the year
    entered: Floats  # (members, origins, cohorts): doctorates by entry year from FIRST_ENTRY
    left: Floats  # (members, years + 1, origins, cohorts): those who left in a year; first: before FIRST_YEAR

    @property
    def years(self) -> range:
        return range(FIRST_YEAR, FIRST_YEAR + self.departures.shape[1])

    @classmethod
    def stacked(cls, parts: Sequence[Counts]) -> Counts:
        """Several ensembles one after the other."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def counts_of(tally: Tally, weights: Floats, population: Population) -> Counts:
    """One member's tally in researchers; `weights` are researchers an agent stands for, shape (groups,)."""
    doctorates = [g for g, (_, route) in enumerate(GROUPS) if route == "doctorate"]
    agents = population.entrants
    entered = np.zeros((len(ORIGINS), agents.shape[0]))
    for group in doctorates:
        entered[ORIGIN_OF_GROUP[group]] = agents[:, group].sum(axis=1) * weights[group]
    left = np.concatenate([tally.left_before[None], tally.left]) * weights[doctorates[0]]

    def scaled(table: Floats) -> Floats:
        return table * weights.reshape(1, -1, *([1] * (table.ndim - 2)))

    return Counts(
        departures=scaled(tally.departures)[None],
        expected=scaled(tally.expected)[None],
        variance=scaled(tally.variance)[None],
        stocks=scaled(tally.stocks)[None],
        entrants=scaled(tally.entrants)[None],
        retired=scaled(tally.retired)[None],
        entered=entered[None],
        left=left[None],
    )


def check_member(counts: Counts, tally: Tally, fates: NDArray[np.uint8], population: Population, draw: int) -> None:
    """What every sampled member must hold to in every year: see docs/reliability.md.

    `counts` are the member's alone, `fates` has shape (rows,). Raises InvariantError naming the member, the year and
    the first promise that was broken.
    """
    unsound = np.flatnonzero(~(tally.breaches == 0.0))
    if len(unsound):
        year = int(unsound[0])
        raise InvariantError(
            f"member {draw}, {FIRST_YEAR + year}: fear or ties outside [0, 1], or chances that are none, of "
            f"{tally.breaches[year]:.0f} agents"
        )
    check_conservation(counts, draw)
    people, gone = population.people, np.flatnonzero(fates)
    years, groups, fields_, _, destinations = tally.departures.shape
    cell = ((fates[gone].astype(np.int64) - 1) * groups + people.group[gone]) * fields_ + people.field[gone]
    left = np.bincount(cell, minlength=years * destinations * groups * fields_)
    counted = left.reshape(years, destinations, groups, fields_).transpose(0, 2, 3, 1)
    if not np.array_equal(counted, tally.departures.sum(axis=3)):
        year = int(np.argwhere(counted != tally.departures.sum(axis=3))[0, 0])
        raise InvariantError(
            f"member {draw}, {FIRST_YEAR + year}: the people who left are not the departures that were counted"
        )


def check_conservation(counts: Counts, first_member: int = 0) -> None:
    """Start + entrants - departures - retired = end, for every group and field in every year.

    Raises InvariantError naming the member (counted from `first_member`), year, group and field of the first breach.
    """
    stocks, departures = counts.stocks.sum(axis=4), counts.departures.sum(axis=(4, 5))
    end = stocks[:, :-1] - departures[:, :-1] - counts.retired[:, :-1] + counts.entrants[:, 1:]
    tolerance = 1e-9 * max(1.0, float(stocks.max(initial=0.0)))
    breaches = np.argwhere(~(np.abs(end - stocks[:, 1:]) <= tolerance))
    if len(breaches):
        member, year, group, field = breaches[0]
        raise InvariantError(
            f"researchers were lost or doubled: member {first_member + member}, "
            f"{FIRST_YEAR + year} to {FIRST_YEAR + year + 1}, "
            f"{'/'.join(GROUPS[group])}, {FIELDS[field]}: {end[tuple(breaches[0])]:.6f} expected, "
            f"{stocks[member, year + 1, group, field]:.6f} found"
        )
    for table in (counts.departures, counts.expected, counts.stocks):
        if not (np.isfinite(table).all() and (table >= 0).all()):
            raise InvariantError("a count is negative or not a number")


def selection(origin: str) -> NDArray[np.int64]:
    """The groups of an origin; 'all' means everyone. Raises UsageError."""
    if origin != "all" and origin not in ORIGINS:
        raise UsageError(f"unknown origin '{origin}'{did_you_mean(origin, (*ORIGINS, 'all'))}", where="origin")
    return np.array([g for g, (o, _) in enumerate(GROUPS) if origin in ("all", o)])
