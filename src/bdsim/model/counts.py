"""What was counted in a run, in researchers, as arrays; and what every count must hold to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

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
from bdsim.model.fates import WAYS, Fates
from bdsim.model.people import Population
from bdsim.model.rule import CHINA, ELSEWHERE, PROGRAMME

__all__ = ["AXES", "TABLES", "Ages", "Counts", "check_conservation", "check_member", "counts_of", "selection"]

AXES = {
    "origin": ORIGINS,
    "route": ("doctorate", "settled"),
    "field": FIELDS,
    "stage": STAGES,
    "destination": DESTINATIONS,
}


COHORTS = ("entered", "left")  # tables by entry year


class Ages(NamedTuple):
    """By years since entry, in researchers."""

    expected: Floats  # (members, years, groups, CAREER, destinations): expected departures
    stocks: Floats  # (members, years, groups, CAREER): here on 1 January


@dataclass(frozen=True)
class Counts:
    """What an ensemble counted, in researchers. Years run from FIRST_YEAR; groups are population.GROUPS."""

    departures: Floats  # (members, years, groups, fields, stages, destinations)
    expected: Floats  # same: expected departures given the state of 1 January
    variance: Floats  # same: variance of the count if each researcher chose alone (Poisson-binomial)
    programme: Floats  # same as departures: those of them with a talent programme; 0 for elsewhere
    programme_expected: Floats  # same: expected given the state of 1 January
    stocks: Floats  # (members, years, groups, fields, stages): here on 1 January
    entrants: Floats  # (members, years, groups, fields)
    retired: Floats  # (members, years, groups, fields): at the end of the year
    entered: Floats  # (members, origins, cohorts): doctorates by entry year from FIRST_ENTRY
    left: Floats  # (members, years + 1, origins, cohorts): those who left in a year; first: before FIRST_YEAR
    ages: Ages | None = None  # of a run just made; results that are kept have stages only

    @property
    def years(self) -> range:
        return range(FIRST_YEAR, FIRST_YEAR + self.departures.shape[1])

    @property
    def by_age(self) -> Floats:
        """Expected departures by years since entry, shape (members, years, groups, CAREER, destinations)."""
        return self._of_ages().expected

    @property
    def stocks_by_age(self) -> Floats:
        """Those here on 1 January by years since entry, shape (members, years, groups, CAREER)."""
        return self._of_ages().stocks

    def _of_ages(self) -> Ages:
        if self.ages is None:
            raise UsageError("results keep stages, not ages: run the member anew", where="by_age")
        return self.ages

    @classmethod
    def stacked(cls, parts: Sequence[Counts]) -> Counts:
        """Several ensembles one after the other."""
        tables = {name: np.concatenate([getattr(part, name) for part in parts]) for name in TABLES}
        known = [part.ages for part in parts if part.ages is not None]
        ages = Ages(*(np.concatenate(each) for each in zip(*known, strict=True))) if known else None
        return cls(**tables, ages=ages if len(known) == len(parts) else None)


TABLES = tuple(f.name for f in fields(Counts) if f.name != "ages")


def counts_of(tally: Tally, agent_size: Floats, population: Population) -> Counts:
    """One member's tally in researchers; `agent_size` is how many an agent stands for, shape (groups,)."""
    doctorates = [g for g, (_, route) in enumerate(GROUPS) if route == "doctorate"]
    agents = population.entrants
    entered = np.zeros((len(ORIGINS), agents.shape[0]))
    for group in doctorates:
        entered[ORIGIN_OF_GROUP[group]] = agents[:, group].sum(axis=1) * agent_size[group]
    left = np.concatenate([tally.left_before[None], tally.left]) * agent_size[doctorates[0]]

    def scaled(table: Floats) -> Floats:
        return table * agent_size.reshape(1, -1, *([1] * (table.ndim - 2)))

    by_group = {name: scaled(getattr(tally, name))[None] for name in TABLES if name not in COHORTS}
    for name in ("programme", "programme_expected"):  # all for China
        by_group[name] = np.stack([by_group[name], np.zeros_like(by_group[name])], axis=-1)
    ages = Ages(scaled(tally.by_age)[None], scaled(tally.stocks_by_age)[None])
    return Counts(**by_group, entered=entered[None], left=left[None], ages=ages)


def check_member(counts: Counts, tally: Tally, fates: Fates, population: Population, draw: int) -> None:
    """What every sampled member must hold to in every year: see docs/reliability.md.

    `counts` are the member's alone, `fates` has shape (rows,). Raises InvariantError naming the member, the year and
    the first promise that was broken.
    """
    unsound = np.flatnonzero(~(tally.breaches == 0.0))
    if len(unsound):
        year = int(unsound[0])
        raise InvariantError(
            f"member {draw}, {FIRST_YEAR + year}: {tally.breaches[year]:.0f} agents with fear or ties outside [0, 1], "
            "or with chances outside [0, 1]"
        )
    check_conservation(counts, draw)
    years, groups, fields_ = tally.departures.shape[:3]
    cell = population.people.group.astype(np.int64) * fields_ + population.people.field
    by_fate = np.bincount(
        fates.astype(np.int64) * (groups * fields_) + cell, minlength=(1 + WAYS * years) * groups * fields_
    )
    chose = by_fate.reshape(1 + WAYS * years, groups, fields_)[1:].reshape(years, WAYS, groups, fields_)
    recruited = chose[:, PROGRAMME]
    left = np.stack([chose[:, CHINA] + recruited, chose[:, ELSEWHERE]], axis=-1)
    for found, counted in (
        (left, tally.departures.sum(axis=3)),
        (recruited, tally.programme.sum(axis=3)),
    ):
        if not np.array_equal(found, counted):
            year = int(np.argwhere(found != counted)[0, 0])
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
    for table in (counts.departures, counts.expected, counts.programme, counts.programme_expected, counts.stocks):
        if not (np.isfinite(table).all() and (table >= 0).all()):
            raise InvariantError("a count is negative or not a number")
    if not (counts.programme <= counts.departures + tolerance).all():
        raise InvariantError("more researchers left with a programme than for China")


def selection(origin: str) -> NDArray[np.int64]:
    """The groups of an origin; 'all' means everyone. Raises UsageError."""
    if origin != "all" and origin not in ORIGINS:
        raise UsageError(f"unknown origin '{origin}'{did_you_mean(origin, (*ORIGINS, 'all'))}", where="origin")
    return np.array([g for g, (o, _) in enumerate(GROUPS) if origin in ("all", o)])
