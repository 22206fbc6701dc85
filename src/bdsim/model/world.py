"""A world: who there is, how they behave, and what everyone can see: yearly tables, which scenarios change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bdsim.model.categories import FIELDS, FIRST_ENTRY, FIRST_YEAR, ORIGINS, Floats
from bdsim.model.maths import log
from bdsim.model.people import Population
from bdsim.model.rule import Weights

__all__ = [
    "TABLES",
    "Behaviour",
    "Environment",
    "Shocks",
    "Table",
    "Timeline",
    "World",
    "no_shocks",
]


class Table(NamedTuple):
    """One yearly table: its unit, what it means, the least value it may take."""

    unit: str
    meaning: str
    least: float = 0.0


TABLES: dict[str, Table] = {
    "scrutiny_china": Table("index, 1 = the Initiative of 2019-2021", "scrutiny of researchers of Chinese descent"),
    "scrutiny_india": Table("index, 1 = the Initiative of 2019-2021", "scrutiny of researchers from India"),
    "scrutiny_other": Table("index, 1 = the Initiative of 2019-2021", "scrutiny of other researchers"),
    "funding_ratio": Table("ratio", "Chinese over US research spending, purchasing power parity", 0.001),
    "pull": Table("years", "all else that draws people to China and grows year by year: 2010 is 0", -1000.0),
    "us_funding": Table("index, 1 = as observed or on trend", "US public research funding, every field", 0.001),
    "nih_funding": Table("index, 1 = as observed or on trend", "NIH funding, which life sciences feel", 0.001),
    "nsf_funding": Table("index, 1 = as observed or on trend", "NSF funding, which the other fields feel", 0.001),
    "soft_power": Table("index, 1 = as observed or on trend", "attraction of the US as a place to live", 0.001),
    "green_card_wait": Table("years more than today", "waiting for a green card", -50.0),
    "offers": Table("offers a year", "talent-programme offers to researchers of Chinese descent in the US"),
    "inflow_china": Table("doctorates a year", "US doctorates to temporary-visa holders from China"),
    "inflow_india": Table("doctorates a year", "US doctorates to temporary-visa holders from India"),
    "inflow_other": Table("doctorates a year", "US doctorates to temporary-visa holders from elsewhere"),
}


AGENCY_OF_FIELD = {"engineering_cs": "nsf_funding", "math_physical": "nsf_funding", "life": "nih_funding"}


class Environment(NamedTuple):
    """The tables as the engine reads them; first axis: years from FIRST_YEAR to the horizon."""

    scrutiny: Floats  # (years, origins)
    log_funding: Floats  # (years,) ln of the funding ratio over that of 2010
    pull: Floats  # (years,) years of trend
    log_us: Floats  # (years, fields) ln of US funding x soft power x funding by the field's agency
    green_card_wait: Floats  # (years,) years more than today's
    offers: Floats  # (years,) offers


class Shocks(NamedTuple):
    """What moves everyone's log rates in a year and the model does not know: one member's."""

    china: Floats  # (years, fields)
    elsewhere: Floats  # (years,)


def no_shocks(years: int) -> Shocks:
    """Zeros."""
    return Shocks(np.zeros((years, len(FIELDS))), np.zeros(years))


@dataclass(frozen=True)
class Timeline:
    """Every yearly table of one world, FIRST_YEAR to horizon; inflow starts in FIRST_ENTRY.

    `tables[name]` has shape (horizon - FIRST_YEAR + 1,), except inflow: (horizon - FIRST_ENTRY + 1,).
    """

    horizon: int
    tables: Mapping[str, Floats]

    def first_year(self, name: str) -> int:
        return FIRST_ENTRY if name.startswith("inflow_") else FIRST_YEAR

    def years(self, name: str) -> range:
        return range(self.first_year(name), self.horizon + 1)

    def at(self, name: str, year: int) -> float:
        return float(self.tables[name][year - self.first_year(name)])

    def environment(self, funding_of_2010: float, funding_lag: int) -> Environment:
        """The tables as the engine reads them, logarithms taken.

        The funding ratio is measured against history's 2010 and seen `funding_lag` years later; years before
        the first see that of the first.
        """
        known = self.tables["funding_ratio"]
        ratio = np.concatenate([np.repeat(known[:1], funding_lag), known])[: len(known)]
        us = self.tables["us_funding"] * self.tables["soft_power"]
        by_field = np.column_stack([us * self.tables[AGENCY_OF_FIELD[field]] for field in FIELDS])
        return Environment(
            scrutiny=np.column_stack([self.tables[f"scrutiny_{origin}"] for origin in ORIGINS]),
            log_funding=np.array([log(float(r) / funding_of_2010) for r in ratio]),
            pull=self.tables["pull"].astype(np.float64),
            log_us=np.array([[log(float(x)) for x in row] for row in by_field]),
            green_card_wait=self.tables["green_card_wait"].astype(np.float64),
            offers=self.tables["offers"].astype(np.float64),
        )

    def inflow(self) -> Floats:
        """Doctorates by entry year and origin, shape (horizon - FIRST_ENTRY + 1, 3)."""
        return np.column_stack([self.tables[f"inflow_{origin}"] for origin in ORIGINS])


class Behaviour(NamedTuple):
    """The parameters as the engine reads them."""

    leave_china: Floats  # (origins,) log rate per year
    leave_elsewhere: Floats  # (origins,) log rate per year
    field_china: Floats  # (fields,) log rate ratio; life is the reference, 0
    roots: Floats  # (routes,) what holds those who have put down roots
    settled: float  # log rate
    counted: float  # share of offers made to people who are counted here
    weights: Weights


@dataclass(frozen=True)
class World:
    """One branch ready to run: who there is, what they see, how they behave, whom an agent stands for."""

    population: Population
    environment: Environment
    behaviour: Behaviour
    agent_size: Floats  # (groups,) researchers an agent stands for
    shocks: Shocks | None = None  # of one member; none: zeros

    @property
    def years(self) -> int:
        return len(self.environment.offers)
