"""The same model as one would write it from the Mesa tutorial: agents with attributes of their own, no Numba.

Colleagues are references to other agents, a year is `agents.do("decide")` and then `agents.do("advance")`, and
mathematics is Python's. Two things are not as in a tutorial: luck has bdsim's addresses instead of
`self.random`, so that the departures can be compared with the engine's, and nothing but departures, stocks,
entrants and retirements is counted, which makes this model quicker than one that keeps bdsim's whole tally.

math.exp and a sum over agents in another order differ from the engine in the last digit; that could turn one
decision in about 10^12, and run.py checks that it did not.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import mesa
import numpy as np

from bdsim.model import draws
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, ORIGIN_OF_GROUP
from bdsim.model.rule import (
    CAREER,
    CHINA,
    EARLY_UNTIL,
    ELSEWHERE,
    MID_UNTIL,
    OFFERS_FROM,
    OFFERS_UNTIL,
    ON_VISA_UNTIL,
    TYPICAL_TIES,
)
from bdsim.model.world import no_shocks
from bdsim_engines import Luck, Tally, Workload, luck, new_tally

__all__ = ["MigrationModel", "run"]

SETTLED = 1  # index into bdsim.population.GROUPS


class Researcher(mesa.Agent):
    """One researcher in the United States."""

    model: MigrationModel

    def __init__(
        self, model: MigrationModel, identity: int, group: int, field: int, entry: int, ties: float,
        prominence: float, appeal: float,
    ) -> None:  # fmt: skip
        super().__init__(model)
        self.identity = identity
        self.group = group
        self.origin = model.origin_of[group]
        self.field = field
        self.entry = entry
        self.ties = ties
        self.prominence = prominence
        self.appeal = appeal
        self.fear = 0.0
        self.here = True
        self.moved_in: int | None = None  # the year of a move to China
        self.colleagues: list[Researcher] = []

    @property
    def career_age(self) -> int:
        return self.model.year - self.entry

    @property
    def stage(self) -> int:
        """0 early, 1 mid, 2 senior."""
        age = self.career_age
        return (age >= EARLY_UNTIL) + (age >= MID_UNTIL)

    def luck(self, start: int) -> float:
        """The researcher's uniform number in (0, 1) of the random sequence that starts at `start`."""
        return float(draws.unit(draws.output(start, self.identity)))

    def ask_colleagues(self) -> tuple[float, float]:
        """Mean fear of the colleagues still here, and the share of colleagues who moved to China last year."""
        here = moved = 0
        fear = 0.0
        for other in self.colleagues:
            if other.here:
                here += 1
                fear += other.fear
            elif other.moved_in == self.model.year - 1:
                moved += 1
        return (fear / here if here else 0.0), (moved / (here + moved) if moved else 0.0)

    def rates(self, fear: float, ties: float, age: int, shocks: tuple[float, float]) -> tuple[float, float, float]:
        """Rates per year of leaving for China, for elsewhere and, with an offer, by way of it."""
        m, w, b = self.model, self.model.weights, self.model.behaviour
        is_settled = self.group == SETTLED
        waiting = 0.0 if is_settled or age >= ON_VISA_UNTIL else w.wait * m.green_card_wait
        kept = m.roots[is_settled] * (1.0 - math.exp(-age / w.rooting)) + w.stay_us * m.log_us[self.field] - waiting
        drawn = w.ties_weight * (ties - TYPICAL_TIES) + w.push * fear
        attracted = w.funding * m.log_funding + w.pull_growth * m.pull
        settled, stature = b.settled if is_settled else 0.0, w.standing * (self.prominence - 0.5)
        of_field, to_china, to_elsewhere = m.field_china[self.field], m.leave_china, m.leave_elsewhere
        china = to_china[self.origin] + settled + of_field + attracted - kept + shocks[0] + drawn - stature
        elsewhere = to_elsewhere[self.origin] + settled - kept + shocks[1] + w.push * w.spill * fear - stature
        return math.exp(china), math.exp(elsewhere), math.exp(w.accept + drawn)

    def survived(self) -> bool:
        """Whether someone who entered before the first year is still here (engine/before.py)."""
        stays = 1.0
        for age in range(FIRST_YEAR - self.entry):
            china, elsewhere, _ = self.rates(0.0, self.ties, age, (0.0, 0.0))
            stays *= math.exp(-(china + elsewhere))
        return self.luck(self.model.luck.survived) < stays

    def was_offered(self) -> bool:
        """Whether a talent programme makes an offer this year."""
        m = self.model
        if self.appeal <= 0.0 or not OFFERS_FROM <= self.career_age < OFFERS_UNTIL or m.offers <= 0.0:
            return False
        chance = min(m.offers * self.appeal / m.total_appeal, 1.0)
        return self.luck(m.offer_luck) < chance

    def decide(self) -> None:
        """Feel, hear, weigh and choose, on everyone's state of 1 January."""
        m, w = self.model, self.model.weights
        colleagues_fear, share_moved = self.ask_colleagues()
        exposure = 0.5 + self.ties
        new = (1.0 - w.kappa) * (exposure * m.scrutiny[self.origin]) + w.kappa * colleagues_fear
        memory = w.rho if new > self.fear else w.fade
        self.next_fear = min(max(memory * self.fear + (1.0 - memory) * new, 0.0), 1.0)
        self.next_ties = min(self.ties + w.gamma * share_moved, 1.0)
        shocks = m.shocks_china[self.field], m.shock_elsewhere
        china, elsewhere, by_offer = self.rates(self.next_fear, self.next_ties, self.career_age, shocks)
        rings_china = -math.log(self.luck(m.china_luck)) / china
        if self.was_offered():  # recruits of a programme go to China too
            rings_china = min(rings_china, -math.log(self.luck(m.programme_luck)) / by_offer)
        rings_elsewhere = -math.log(self.luck(m.elsewhere_luck)) / elsewhere
        self.goes_to: int | None = None
        if min(rings_china, rings_elsewhere) < 1.0:
            self.goes_to = CHINA if rings_china <= rings_elsewhere else ELSEWHERE

    def advance(self) -> None:
        """What was decided takes effect."""
        m = self.model
        cell = m.year - FIRST_YEAR, self.group, self.field
        m.stocks[*cell, self.stage] += 1
        self.fear, self.ties = self.next_fear, self.next_ties
        if self.goes_to is not None:
            m.departures[*cell, self.stage, self.goes_to] += 1
            self.leave(m.year if self.goes_to == CHINA else None)
        elif self.career_age + 1 >= CAREER:
            m.retired[cell] += 1
            self.leave(None)

    def leave(self, moved_in: int | None) -> None:
        self.here, self.moved_in = False, moved_in
        self.remove()


class MigrationModel(mesa.Model):
    """One member; a step is a year."""

    def __init__(self, work: Workload, member: int) -> None:
        super().__init__(rng=work.seed)
        world = work.member(member)
        self.environment, self.behaviour, self.weights = world.environment, world.behaviour, world.behaviour.weights
        self.leave_china = self.behaviour.leave_china.tolist()
        self.leave_elsewhere = self.behaviour.leave_elsewhere.tolist()
        self.field_china = self.behaviour.field_china.tolist()
        self.roots: list[float] = self.behaviour.roots.tolist()
        self.agent_size: list[float] = world.agent_size.tolist()
        self.shocks = world.shocks or no_shocks(world.years)
        self.luck: Luck = luck(work, member)
        self.year, self.last_year = FIRST_YEAR, FIRST_YEAR + work.years - 1
        self.origin_of: list[int] = ORIGIN_OF_GROUP.tolist()
        self.of_row: dict[int, Researcher] = {}
        self.columns = _columns(work)
        self.rows_of_entry = _rows_of_entry(work)
        self.knows_of: dict[int, list[int]] = {}  # row of someone not yet come -> rows of those who will know them
        # in agents; keys: (year, group, field), then stage and destination where there is one
        self.departures, self.stocks = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
        self.entrants, self.retired = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
        self._look_around()
        for entry in range(FIRST_YEAR - CAREER + 1, FIRST_YEAR + 1):
            self._welcome(entry)
        self._link(list(self.of_row))
        self.datacollector = mesa.DataCollector(
            model_reporters={
                "departures": lambda m: m.departures.total(),
                "researchers": lambda m: len(m.agents),
            }
        )

    def step(self) -> None:
        """One calendar year."""
        if self.year > FIRST_YEAR:
            self._link(self._welcome(self.year))
            self._look_around()
        self.total_appeal = sum(
            a.appeal * self.agent_size[a.group] for a in self.agents if OFFERS_FROM <= a.career_age < OFFERS_UNTIL
        )
        self.agents.do("decide")
        self.agents.do("advance")
        self.datacollector.collect(self)
        self.running = self.year < self.last_year
        self.year += 1

    def _look_around(self) -> None:
        """What everyone sees this year."""
        e, t = self.environment, self.year - FIRST_YEAR
        self.scrutiny = e.scrutiny[t].tolist()
        self.log_funding, self.pull = float(e.log_funding[t]), float(e.pull[t])
        self.log_us, self.green_card_wait = e.log_us[t].tolist(), float(e.green_card_wait[t])
        self.offers = float(e.offers[t]) * self.behaviour.counted
        self.shocks_china, self.shock_elsewhere = self.shocks.china[t].tolist(), float(self.shocks.elsewhere[t])
        self.offer_luck, self.programme_luck = int(self.luck.offered[t]), int(self.luck.clock_programme[t])
        self.china_luck, self.elsewhere_luck = int(self.luck.clock_china[t]), int(self.luck.clock_elsewhere[t])

    def _welcome(self, entry: int) -> list[int]:
        """Agents for those who entered in a year and, if that is past, are still here; returns their rows."""
        come = []
        for row in self.rows_of_entry.get(entry, ()):
            agent = Researcher(self, *(column[row] for column in self.columns[:-1]))
            if entry < FIRST_YEAR and not agent.survived():
                agent.remove()
                continue
            if entry >= FIRST_YEAR:
                self.entrants[entry - FIRST_YEAR, agent.group, agent.field] += 1
            self.of_row[row] = agent
            come.append(row)
        return come

    def _link(self, come: list[int]) -> None:
        """Newcomers know their colleagues, and those whose colleague they are get to know them."""
        colleagues = self.columns[-1]
        anew = set(come)
        for row in come:
            for other in colleagues[row]:
                if other not in self.of_row:
                    self.knows_of.setdefault(other, []).append(row)
            anew.update(self.knows_of.pop(row, ()))
        for row in anew:
            self.of_row[row].colleagues = [self.of_row[other] for other in colleagues[row] if other in self.of_row]


def _columns(work: Workload) -> tuple[list[Any], ...]:
    """Identity, group, field, entry, ties, appeal and rows of colleagues of everyone, by row."""
    p = work.world.population.people
    return tuple(
        c.tolist() for c in (p.identity, p.group, p.field, p.entry, p.ties, p.prominence, p.appeal, p.colleagues)
    )


def _rows_of_entry(work: Workload) -> dict[int, list[int]]:
    """Rows of those who enter, by year."""
    p = work.world.population.people
    years = range(FIRST_ENTRY, FIRST_YEAR + work.years)
    return {year: np.flatnonzero(p.enters & (p.entry == year)).tolist() for year in years}


def run(work: Workload, member: int) -> Tally:
    """One member: departures, stocks, entrants and retired are counted; the rest of the tally stays zero."""
    model = MigrationModel(work, member)
    model.run_model()
    tally = new_tally(work)
    for name in ("departures", "stocks", "entrants", "retired"):
        for cell, agents in getattr(model, name).items():
            getattr(tally, name)[cell] = agents
    model.remove_all_agents()
    getattr(mesa.Agent, "_ids", {}).pop(model, None)  # Mesa before 3.5 keeps a reference to every model ever made
    return tally
