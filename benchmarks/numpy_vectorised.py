"""The same model as whole-array NumPy: every step of the rule at once for all who are here, year after year.

exp and log are the portable ones of bdsim.elementary, written for arrays, so the whole tally has the engine's bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdsim.model import draws, maths
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, ORIGIN_OF_GROUP
from bdsim.model.rule import CAREER, CHINA, EARLY_UNTIL, ELSEWHERE, MID_UNTIL, TYPICAL_TIES
from bdsim_engines import Luck, Tally, Workload, luck, new_tally

__all__ = ["exp", "log", "run"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
SETTLED = 1  # index into bdsim.population.GROUPS
BEFORE = FIRST_YEAR - FIRST_ENTRY
LN2_HIGH, LN2_LOW = maths.LN2_HIGH, maths.LN2_LOW


def exp(x: Floats) -> Floats:
    """bdsim.maths.exp of every element."""
    x = np.clip(x, -700.0, 700.0)
    rounded = x * maths.LOG2_E + maths.ROUND_TO_INTEGER
    k = rounded - maths.ROUND_TO_INTEGER
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    square = r * r
    fourth = square * square
    low = r + square * (0.5 + r * (1.0 / 6.0))
    middle = (1.0 / 24.0 + r * (1.0 / 120.0)) + square * (1.0 / 720.0 + r * (1.0 / 5040.0))
    high = (1.0 / 40320.0 + r * (1.0 / 362880.0)) + square * (1.0 / 3628800.0 + r * (1.0 / 39916800.0))
    high += fourth * (1.0 / 479001600.0)
    p = 1.0 + (low + fourth * (middle + fourth * high))
    return np.ldexp(p, k.astype(np.int32))  # type: ignore[no-any-return]


def log(x: Floats) -> Floats:
    """bdsim.maths.log of every element."""
    m, exponent = np.frexp(x)
    small = m < maths.SQRT_HALF
    m, k = np.where(small, m + m, m), np.where(small, exponent - 1.0, exponent)
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    p = np.full_like(q, 2.0 / 21.0)
    for odd in (19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0):
        p = p * q + 2.0 / odd
    return k * LN2_HIGH + (2.0 * s + (s * q * p + k * LN2_LOW))  # type: ignore[no-any-return]


def chances(china: Floats, elsewhere: Floats) -> tuple[Floats, Floats]:
    """rule.chances of every element."""
    total = china + elsewhere
    leave = 1.0 - exp(-total)
    to_china = leave * (china / total)
    return to_china, leave - to_china


def choose(china: Floats, elsewhere: Floats, luck_china: Floats, luck_elsewhere: Floats) -> tuple[Rows, Rows]:
    """Positions of those who leave, and for where (rule.choose)."""
    near = 1.0 + 1e-9
    close = np.flatnonzero((1.0 - luck_china < china * near) | (1.0 - luck_elsewhere < elsewhere * near))
    rings_china = -log(luck_china[close]) / china[close]
    rings_elsewhere = -log(luck_elsewhere[close]) / elsewhere[close]
    ring = (rings_china < 1.0) | (rings_elsewhere < 1.0)
    return close[ring], np.where(rings_china <= rings_elsewhere, CHINA, ELSEWHERE)[ring]


@dataclass
class State:
    """On 1 January, by row; the last row is nobody."""

    here: Floats  # (rows + 1,) 0 or 1
    fear: Floats  # (rows + 1,)
    ties: Floats  # (rows + 1,)
    moved: Floats  # (rows + 1,) 1 for those who moved to China last year


class Model:
    """One member."""

    def __init__(self, work: Workload, member: int) -> None:
        self.world, self.people = work.member(member), work.world.population.people
        self.environment, self.behaviour = self.world.environment, self.world.behaviour
        self.luck: Luck = luck(work, member)
        self.tally = new_tally(work)
        self.origin = ORIGIN_OF_GROUP[self.people.group]
        self.settled = np.where(self.people.group == SETTLED, self.behaviour.settled, 0.0)
        self.state = State(*np.zeros((4, work.rows + 1)))

    def run(self) -> Tally:
        self.settle_before()
        for year in range(len(self.environment.offers)):
            self.live(year)
        return self.tally

    def weigh(self, rows: Rows, year: int, age: Any, fear: Any, ties: Floats, offered: float) -> tuple[Floats, Floats]:
        """rule.weigh of every row."""
        b, w, e = self.behaviour, self.behaviour.weights, self.environment
        ages = log(1.0 + np.arange(CAREER + 1.0))
        rooted = (w.roots * e.settlement[year]) * ages[age] + w.stay_us * e.log_us[year]
        pulled = w.funding * e.log_funding[year] + w.offer * offered + w.ties_weight * (ties - TYPICAL_TIES)
        origin, settled, of_field = self.origin[rows], self.settled[rows], b.field_china[self.people.field[rows]]
        china = b.leave_china[origin] + settled + of_field + pulled + w.push * fear - rooted
        elsewhere = b.leave_elsewhere[origin] + settled + w.push * w.spill * fear - rooted
        return exp(china), exp(elsewhere)

    def settle_before(self) -> None:
        """Who of the earlier cohorts is still here (engine.settle_before)."""
        p = self.people
        lived = FIRST_YEAR - p.entry
        rows = np.flatnonzero(p.enters & (lived > 0) & (lived < CAREER))
        stays = np.ones(len(rows))
        for age in range(CAREER - 1):
            still = np.flatnonzero(lived[rows] > age)
            to_china, to_elsewhere = chances(*self.weigh(rows[still], 0, age, 0.0, p.ties[rows[still]], 0.0))
            stays[still] *= 1.0 - (to_china + to_elsewhere)
        here = draws.unit(draws.output(np.uint64(self.luck.survived), p.identity[rows])) < stays
        self.state.here[rows], self.state.ties[rows] = here, p.ties[rows]
        gone = rows[~here & (p.group[rows] != SETTLED)]
        np.add.at(self.tally.left_before, (self.origin[gone], p.entry[gone] - FIRST_ENTRY), 1.0)

    def enter(self, year: int) -> None:
        """This year's entrants arrive."""
        p, s = self.people, self.state
        rows = np.flatnonzero(p.enters & (p.entry == FIRST_YEAR + year))
        s.here[rows], s.ties[rows] = 1.0, p.ties[rows]
        np.add.at(self.tally.entrants[year], (p.group[rows], p.field[rows]), 1.0)

    def hear_all(self, rows: Rows, year: int) -> tuple[Floats, Floats]:
        """This year's fear and ties."""
        s, w = self.state, self.behaviour.weights
        here, afraid, moved = np.zeros((3, len(rows)))
        for colleague in self.people.colleagues[rows].T:
            here += s.here[colleague]
            afraid += s.here[colleague] * s.fear[colleague]
            moved += s.moved[colleague]
        colleagues_fear, share_moved = afraid / np.maximum(here, 1e-300), moved / np.maximum(here + moved, 1e-300)
        exposure = 0.5 + s.ties[rows]
        scrutiny = self.environment.scrutiny[year][self.origin[rows]]
        new = (1.0 - w.kappa) * (exposure * scrutiny) + w.kappa * colleagues_fear
        fear = np.clip(w.rho * s.fear[rows] + (1.0 - w.rho) * new, 0.0, 1.0)
        return fear, np.minimum(s.ties[rows] + w.gamma * share_moved, 1.0)

    def chance_of_offer(self, rows: Rows, age: Rows, year: int) -> Floats:
        """The chance of an offer. The sum runs in the order of rows, as the engine's does: cumsum, not sum."""
        appeal = np.where(age < MID_UNTIL, self.people.appeal[rows], 0.0)
        total = np.cumsum(appeal * self.world.weights[self.people.group[rows]])[-1]
        if total <= 0.0:
            return np.zeros(len(rows))
        return np.minimum(self.environment.offers[year] * appeal / total, 1.0)

    def draw(self, start: np.uint64, rows: Rows) -> Floats:
        """Everyone's uniform number of the random sequence that starts at `start`."""
        return draws.unit(draws.output(start, self.people.identity[rows]))  # type: ignore[no-any-return]

    def live(self, year: int) -> None:
        """One year of everyone."""
        self.enter(year)
        rows = np.flatnonzero(self.state.here > 0.0)
        age = FIRST_YEAR + year - self.people.entry[rows].astype(np.int64)
        fear, ties = self.hear_all(rows, year)
        china, elsewhere = self.weigh(rows, year, age, fear, ties, 0.0)
        to_china, to_elsewhere = chances(china, elsewhere)
        chance = self.chance_of_offer(rows, age, year)
        may = np.flatnonzero(chance > 0.0)
        if len(may):
            pulled, _ = self.weigh(rows[may], year, age[may], fear[may], ties[may], 1.0)
            with_china, with_elsewhere = chances(pulled, elsewhere[may])
            to_china[may] = (1.0 - chance[may]) * to_china[may] + chance[may] * with_china
            to_elsewhere[may] = (1.0 - chance[may]) * to_elsewhere[may] + chance[may] * with_elsewhere
            offered = self.draw(self.luck.offered[year], rows[may]) < chance[may]
            china[may[offered]] = pulled[offered]
        luck_china = self.draw(self.luck.clock_china[year], rows)
        luck_elsewhere = self.draw(self.luck.clock_elsewhere[year], rows)
        leavers, destination = choose(china, elsewhere, luck_china, luck_elsewhere)
        self.book(year, rows, age, to_china, to_elsewhere, rows[leavers], destination)
        self.close(rows, age, fear, ties, rows[leavers], destination)

    def book(
        self, year: int, rows: Rows, age: Rows, to_china: Floats, to_elsewhere: Floats, gone: Rows, to: Rows
    ) -> None:
        """Count the year. bincount adds in the order of rows, as the engine does."""
        p, t = self.people, self.tally
        shape = t.stocks[year].shape
        stage = (age >= EARLY_UNTIL).astype(np.int64) + (age >= MID_UNTIL)
        cell = np.ravel_multi_index((p.group[rows], p.field[rows], stage), shape)
        cells = int(np.prod(shape))
        t.stocks[year] = np.bincount(cell, minlength=cells).reshape(shape)
        for destination, probability in ((CHINA, to_china), (ELSEWHERE, to_elsewhere)):
            variance = probability * (1.0 - probability)
            t.expected[year, ..., destination] = np.bincount(cell, probability, cells).reshape(shape)
            t.variance[year, ..., destination] = np.bincount(cell, variance, cells).reshape(shape)
        at = np.searchsorted(rows, gone)
        np.add.at(t.departures[year], (p.group[gone], p.field[gone], stage[at], to), 1.0)
        trained = gone[p.group[gone] != SETTLED]
        np.add.at(t.left[year], (self.origin[trained], p.entry[trained] - FIRST_ENTRY), 1.0)
        old = rows[age + 1 >= CAREER]
        retired = old[~np.isin(old, gone)]
        np.add.at(t.retired[year], (p.group[retired], p.field[retired]), 1.0)

    def close(self, rows: Rows, age: Rows, fear: Floats, ties: Floats, gone: Rows, to: Rows) -> None:
        """The state of next 1 January."""
        s = self.state
        s.moved[:] = 0.0
        s.moved[gone] = to == CHINA
        s.fear[rows], s.ties[rows] = fear, ties
        s.here[gone] = 0.0
        s.here[rows[age + 1 >= CAREER]] = 0.0


def run(work: Workload, member: int) -> Tally:
    """One member."""
    return Model(work, member).run()
