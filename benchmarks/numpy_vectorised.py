"""The same model as whole-array NumPy: every step of the rule at once for all who are here, year after year.

exp and log are the portable ones of bdsim.model.maths, written for arrays, so every decision is the engine's;
sums of probabilities differ in the last digits, as the engine adds cohort by cohort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdsim.model import draws, maths
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, ORIGIN_OF_GROUP
from bdsim.model.rule import (
    CAREER,
    CHINA,
    EARLY_UNTIL,
    ELSEWHERE,
    LEAST,
    MID_UNTIL,
    OFFERS_FROM,
    OFFERS_UNTIL,
    ON_VISA_UNTIL,
    PROGRAMME,
    TYPICAL_TIES,
)
from bdsim.model.world import no_shocks
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
    return np.ldexp(p, k.astype(np.int32))  # type: ignore[no-any-return]  # NumPy says Any


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
    return k * LN2_HIGH + (2.0 * s + (s * q * p + k * LN2_LOW))  # type: ignore[no-any-return]  # NumPy says Any


def mean_decay(x: Floats) -> Floats:
    """bdsim.maths.mean_decay of every element."""
    square = x * x
    fourth = square * square
    low = (1.0 - x * (1.0 / 2.0)) + square * (1.0 / 6.0 - x * (1.0 / 24.0))
    middle = (1.0 / 120.0 - x * (1.0 / 720.0)) + square * (1.0 / 5040.0 - x * (1.0 / 40320.0))
    high = (1.0 / 362880.0 - x * (1.0 / 3628800.0)) + square * (1.0 / 39916800.0 - x * (1.0 / 479001600.0))
    mean = low + fourth * (middle + fourth * high)
    beyond = x > 0.25
    mean[beyond] = (1.0 - exp(-x[beyond])) / x[beyond]
    return mean


def chances(china: Floats, elsewhere: Floats, by_offer: Floats | float = 0.0) -> tuple[Floats, Floats, Floats]:
    """rule.chances of every element."""
    total = china + elsewhere + by_offer
    share = mean_decay(total)
    return share * china, share * elsewhere, share * by_offer


def choose(rates: Sequence[Floats], luck: Sequence[Floats]) -> tuple[Rows, Rows]:
    """Positions of those who leave, and how (rule.choose)."""
    near = [1.0 - u < rate * (1.0 + 1e-9) for rate, u in zip(rates, luck, strict=True)]
    close = np.flatnonzero(np.logical_or.reduce(near))
    rings = np.stack([-log(u[close]) / np.maximum(r[close], LEAST) for r, u in zip(rates, luck, strict=True)])
    ring = rings.min(axis=0) < 1.0
    return close[ring], rings.argmin(axis=0)[ring]


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
        self.shocks = self.world.shocks or no_shocks(work.years)
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

    def held(self, year: int) -> Floats:
        """rule.retention by group, field and career age."""
        b, w, e = self.behaviour, self.behaviour.weights, self.environment
        age = np.arange(CAREER + 2.0)
        grown = 1.0 - exp(-age / w.rooting)
        settled = np.arange(len(ORIGIN_OF_GROUP)) == SETTLED
        waits = (age < ON_VISA_UNTIL) & ~settled[:, None]
        rooted = b.roots[settled.astype(int)][:, None] * grown
        waiting = w.wait * e.green_card_wait[year] * waits
        return rooted[:, None] + (w.stay_us * e.log_us[year])[:, None] - waiting[:, None]  # type: ignore[no-any-return]  # NumPy says Any

    def shared(self, year: int, held: Floats, shocked: bool = True) -> tuple[Floats, Floats]:
        """rule.shared by group, field and career age."""
        b, w, e, origin = self.behaviour, self.behaviour.weights, self.environment, ORIGIN_OF_GROUP
        settled = np.where(np.arange(len(origin)) == SETTLED, b.settled, 0.0)
        attracted = w.funding * e.log_funding[year] + w.pull_growth * e.pull[year]
        usual = b.leave_china[origin][:, None] + settled[:, None] + b.field_china
        shocks = (self.shocks.china[year], self.shocks.elsewhere[year]) if shocked else (np.zeros(len(usual[0])), 0.0)
        china = usual[:, :, None] + attracted - held + shocks[0][:, None]
        return china, (b.leave_elsewhere[origin] + settled)[:, None, None] - held + shocks[1]

    def weigh(
        self, rows: Rows, age: Rows, both: tuple[Floats, Floats], fear: Any, ties: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """rule.weigh of every row."""
        w, p = self.behaviour.weights, self.people
        cell = p.group[rows], p.field[rows], age
        drawn = w.ties_weight * (ties - TYPICAL_TIES) + w.push * fear
        stature = w.standing * (p.prominence[rows] - 0.5)
        china, elsewhere = both[0][cell] + drawn - stature, both[1][cell] + w.push * w.spill * fear - stature
        return exp(china), exp(elsewhere), w.accept + drawn

    def settle_before(self) -> None:
        """Who of the earlier cohorts is still here (engine/before.py)."""
        p = self.people
        lived = (FIRST_YEAR - p.entry).astype(np.int64)
        rows = np.flatnonzero(p.enters & (lived > 0) & (lived < CAREER))
        held = self.held(0)
        lasting = np.concatenate([np.zeros((*held.shape[:2], 1)), np.cumsum(exp(-held), axis=2)], axis=2)
        both = self.shared(0, np.zeros_like(held), shocked=False)
        china, elsewhere, _ = self.weigh(rows, np.zeros(len(rows), np.int64), both, 0.0, p.ties[rows])
        stays = exp(-((china + elsewhere) * lasting[p.group[rows], p.field[rows], lived[rows]]))
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
        memory = np.where(new > s.fear[rows], w.rho, w.fade)
        fear = np.clip(memory * s.fear[rows] + (1.0 - memory) * new, 0.0, 1.0)
        return fear, np.minimum(s.ties[rows] + w.gamma * share_moved, 1.0)

    def chance_of_offer(self, rows: Rows, age: Rows, year: int) -> Floats:
        """The chance of an offer. The sum runs in the order of rows, as the engine's does: cumsum, not sum."""
        looked_at = (age >= OFFERS_FROM) & (age < OFFERS_UNTIL)
        appeal = np.where(looked_at, self.people.appeal[rows], 0.0)
        total = np.cumsum(appeal * self.world.agent_size[self.people.group[rows]])[-1]
        if total <= 0.0:
            return np.zeros(len(rows))
        return np.minimum(self.environment.offers[year] * self.behaviour.counted * appeal / total, 1.0)

    def draw(self, start: np.uint64, rows: Rows) -> Floats:
        """Everyone's uniform number of the random sequence that starts at `start`."""
        return draws.unit(draws.output(start, self.people.identity[rows]))  # type: ignore[no-any-return]  # NumPy says Any

    def live(self, year: int) -> None:
        """One year of everyone."""
        self.enter(year)
        rows = np.flatnonzero(self.state.here > 0.0)
        age = FIRST_YEAR + year - self.people.entry[rows].astype(np.int64)
        fear, ties = self.hear_all(rows, year)
        china, elsewhere, by_offer = self.weigh(rows, age, self.shared(year, self.held(year)), fear, ties)
        to_china, to_elsewhere, to_programme = chances(china, elsewhere)
        to_programme = np.zeros(len(rows))
        chance, rate = self.chance_of_offer(rows, age, year), np.zeros(len(rows))
        may = np.flatnonzero(chance > 0.0)
        if len(may):
            offered = exp(by_offer[may])
            with_offer, p = chances(china[may], elsewhere[may], offered), chance[may]
            to_programme[may] = p * with_offer[2]
            to_china[may] = (1.0 - p) * to_china[may] + p * with_offer[0] + to_programme[may]
            to_elsewhere[may] = (1.0 - p) * to_elsewhere[may] + p * with_offer[1]
            rate[may] = np.where(self.draw(self.luck.offered[year], rows[may]) < p, offered, 0.0)
        clocks = (self.luck.clock_china, self.luck.clock_elsewhere, self.luck.clock_programme)
        luck = [self.draw(clock[year], rows) for clock in clocks]
        leavers, way = choose((china, elsewhere, rate), luck)
        self.book(year, rows, age, (to_china, to_elsewhere, to_programme), rows[leavers], way)
        self.close(rows, age, fear, ties, rows[leavers], way)

    def book(
        self, year: int, rows: Rows, age: Rows, chances: tuple[Floats, Floats, Floats], gone: Rows, way: Rows
    ) -> None:
        """Count the year."""
        p, t = self.people, self.tally
        to = np.where(way == ELSEWHERE, ELSEWHERE, CHINA)
        shape = t.stocks[year].shape
        stage = (age >= EARLY_UNTIL).astype(np.int64) + (age >= MID_UNTIL)
        cell = np.ravel_multi_index((p.group[rows], p.field[rows], stage), shape)
        cells = int(np.prod(shape))
        t.stocks[year] = np.bincount(cell, minlength=cells).reshape(shape)
        for destination, probability in ((CHINA, chances[0]), (ELSEWHERE, chances[1])):
            variance = probability * (1.0 - probability)
            t.expected[year, ..., destination] = np.bincount(cell, probability, cells).reshape(shape)
            t.variance[year, ..., destination] = np.bincount(cell, variance, cells).reshape(shape)
        t.programme_expected[year] = np.bincount(cell, chances[2], cells).reshape(shape)
        at = np.searchsorted(rows, gone)
        np.add.at(t.departures[year], (p.group[gone], p.field[gone], stage[at], to), 1.0)
        recruits = way == PROGRAMME
        np.add.at(t.programme[year], (p.group[gone], p.field[gone], stage[at]), recruits.astype(np.float64))
        trained = gone[p.group[gone] != SETTLED]
        np.add.at(t.left[year], (self.origin[trained], p.entry[trained] - FIRST_ENTRY), 1.0)
        old = rows[age + 1 >= CAREER]
        retired = old[~np.isin(old, gone)]
        np.add.at(t.retired[year], (p.group[retired], p.field[retired]), 1.0)

    def close(self, rows: Rows, age: Rows, fear: Floats, ties: Floats, gone: Rows, way: Rows) -> None:
        """The state of next 1 January."""
        s = self.state
        s.moved[:] = 0.0
        s.moved[gone] = way != ELSEWHERE
        s.fear[rows], s.ties[rows] = fear, ties
        s.here[gone] = 0.0
        s.here[rows[age + 1 >= CAREER]] = 0.0


def run(work: Workload, member: int) -> Tally:
    """One member."""
    return Model(work, member).run()
