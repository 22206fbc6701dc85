"""The model as Mesa agents: a Researcher is a handle on one row of the state, and decides by rule.py.

Use it to watch, select and subclass: AgentSet, DataCollector, mesa.batch_run and SolaraViz all work on
WorldModel. For many members at a fine scale use the compiled engine, which makes the same decisions.
"""

from __future__ import annotations

from typing import Any, ClassVar

import mesa
import numpy as np

from bdsim.model import draws, rule
from bdsim.model.categories import FIELDS, FIRST_YEAR, GROUPS, ORIGIN_OF_GROUP, STAGES
from bdsim.model.engine import presence, state
from bdsim.model.engine import year as engine
from bdsim.model.engine.before import settle_before
from bdsim.model.engine.compiling import compiled
from bdsim.model.engine.counting import SETTLED
from bdsim.model.maths import exp
from bdsim.model.rule import CHINA, ELSEWHERE, STAY
from bdsim.model.world import World, no_shocks

__all__ = ["Researcher", "WorldModel", "release"]

# The rule, compiled function by function: the very lines that the engine compiles into its loops.
feel, hear, weigh, shared = compiled(rule.feel), compiled(rule.hear), compiled(rule.weigh), compiled(rule.shared)
attraction, retention, rate = compiled(rule.attraction), compiled(rule.retention), compiled(exp)
offer_chance, chances, choose = compiled(rule.offer_chance), compiled(rule.chances), compiled(rule.choose)
open_year, appeal_here = compiled(engine.open_year), compiled(engine.appeal_here)


class Researcher(mesa.Agent):
    """One researcher (or the k that the agent stands for). State lives in the model's arrays, at `row`.

    Override `feel`, `hear`, `weigh` or `choose` to try another behaviour; `step` puts them together.
    """

    model: WorldModel

    def __init__(self, model: WorldModel, row: int) -> None:
        super().__init__(model)
        people = model.world.population.people
        self.row = row
        self.identity = int(people.identity[row])
        self.entry = int(people.entry[row])
        self.group = int(people.group[row])
        self.field_code = int(people.field[row])

    @property
    def origin(self) -> str:
        """china, india or other."""
        return GROUPS[self.group][0]

    @property
    def route(self) -> str:
        """doctorate or settled."""
        return GROUPS[self.group][1]

    @property
    def field(self) -> str:
        """engineering_cs, math_physical or life."""
        return FIELDS[self.field_code]

    @property
    def career_age(self) -> int:
        """Years since entry."""
        return self.model.year - self.entry

    @property
    def stage(self) -> str:
        """early, mid or senior."""
        return STAGES[rule.stage_of(self.career_age)]

    @property
    def prominence(self) -> float:
        """Rank in (0, 1)."""
        return float(self.model.world.population.prominence[self.row])

    @property
    def fear(self) -> float:
        """Fear of scrutiny on 1 January, in [0, 1]."""
        return float(self.model.state.dread[self.row])

    @property
    def ties(self) -> float:
        """Ties to China on 1 January, in [0, 1]."""
        return float(self.model.state.ties[self.row])

    @property
    def colleagues(self) -> list[Researcher]:
        """The colleagues who are here."""
        rows = self.model.world.population.people.colleagues[self.row]
        return [self.model.agent_of_row[int(row)] for row in rows if int(row) in self.model.agent_of_row]

    def feel(self, colleagues_fear: float) -> float:
        """This year's fear."""
        m = self.model
        scrutiny = m.scrutiny[ORIGIN_OF_GROUP[self.group]]
        return float(feel(self.fear, self.ties, scrutiny, colleagues_fear, m.world.behaviour.weights))

    def hear(self, share_moved: float) -> float:
        """This year's ties to China."""
        return float(hear(self.ties, share_moved, self.model.world.behaviour.weights))

    def shared(self) -> tuple[float, float]:
        """Both log rates as far as people of one's origin, route, field and career age share them this year."""
        m, b, settled = self.model, self.model.world.behaviour, self.group == SETTLED
        origin, field, w = ORIGIN_OF_GROUP[self.group], self.field_code, b.weights
        own = b.settled if settled else 0.0
        usual = b.leave_china[origin] + own + b.field_china[field], b.leave_elsewhere[origin] + own
        waits = rule.on_visa(settled, self.career_age)
        retained = retention(
            b.roots[int(settled)], float(self.career_age), m.log_us[field], m.green_card_wait, waits, w
        )
        attracted = attraction(m.log_funding, m.pull, w)
        return shared(usual, attracted, retained, (m.shocks_china[field], m.shock_elsewhere))

    def weigh(self, fear: float, ties: float) -> tuple[float, float, float]:
        """Rates per year of leaving for China, for elsewhere and, were there an offer, by way of it."""
        prominence = self.model.world.population.people.prominence[self.row]
        logs = weigh(self.shared(), fear, ties, prominence, self.model.world.behaviour.weights)
        return rate(logs[0]), rate(logs[1]), rate(logs[2])

    def choose(self, china: float, elsewhere: float, by_offer: float) -> int:
        """STAY, CHINA, ELSEWHERE or PROGRAMME, given the three rates; the last is 0 without an offer."""
        keys, year = self.model.keys, self.model.year - FIRST_YEAR
        luck = tuple(
            draws.unit(draws.output(int(clock[year]), self.identity))
            for clock in (keys.clock_china, keys.clock_elsewhere, keys.clock_programme)
        )
        return int(choose((china, elsewhere, by_offer), luck))

    def chance_of_offer(self) -> float:
        """The chance that a talent programme makes an offer this year."""
        if not rule.may_be_offered(self.career_age):
            return 0.0
        m = self.model
        return float(offer_chance(m.offers, m.world.population.people.appeal[self.row], m.total_appeal))

    def is_offered(self) -> bool:
        """Whether a talent programme makes an offer this year."""
        luck = draws.unit(draws.output(int(self.model.keys.offered[self.model.year - FIRST_YEAR]), self.identity))
        return bool(luck < self.chance_of_offer())

    def step(self) -> None:
        """Decide on the state of 1 January; the model counts the decision once everyone has decided."""
        m, row = self.model, self.row
        here, dread, moved = presence.colleagues_of(row, m.world.population.people.colleagues, m.state)
        fear, ties = self.feel(presence.mean_fear(here, dread)), self.hear(presence.share_moved(here, moved))
        china, elsewhere, by_offer = self.weigh(fear, ties)
        to_china, to_elsewhere, to_programme = chances(china, elsewhere, 0.0)
        chance, offered = self.chance_of_offer(), self.is_offered()
        if chance > 0.0:
            with_offer = chances(china, elsewhere, by_offer)
            to_programme = chance * with_offer[2]
            to_china = (1.0 - chance) * to_china + chance * with_offer[0] + to_programme
            to_elsewhere = (1.0 - chance) * to_elsewhere + chance * with_offer[1]
        d = m.decisions
        d.fear[row], d.ties[row] = fear, ties
        d.to_china[row], d.to_elsewhere[row], d.to_programme[row] = to_china, to_elsewhere, to_programme
        d.choice[row] = self.choose(china, elsewhere, by_offer if offered else 0.0)


class WorldModel(mesa.Model):
    """One member of an ensemble as a Mesa model; a step is a calendar year, and `running` ends at the horizon.

    The member's luck comes from (seed, member) alone: Mesa's own generator, which `rng` seeds, decides only the
    order of activation, which cannot matter.
    """

    researcher_class: ClassVar[type[Researcher]] = Researcher

    def __init__(
        self,
        world: World,
        *,
        seed: int = 0,
        member: int = 0,
        shuffled: bool = False,
        rng: Any = None,
    ) -> None:
        super().__init__(rng=seed if rng is None else rng)
        self.world = world
        self.shuffled = shuffled
        self.year = FIRST_YEAR
        rows = len(world.population)
        self.state, self.tally = state.new_state(rows), state.new_tally(world.years, len(FIELDS))
        self.decisions, self.block = state.new_decisions(rows), state.new_block()
        self.keys = state.keys_of([draws.member_seed(seed, member)], world.years)
        self.agent_of_row: dict[int, Researcher] = {}
        self.departed = {CHINA: 0.0, ELSEWHERE: 0.0}
        self.on_1_january = (0.0, 0.0)  # researchers here and mean fear when the collected year began
        self.shocks = world.shocks or no_shocks(world.years)
        people, tables = world.population.people, world.environment
        settle_before(people, tables, world.behaviour, self.keys, self.state, self.block, self.tally)
        self._welcome()
        self.datacollector = mesa.DataCollector(
            model_reporters={
                "year": lambda m: m.year - 1,
                "here": lambda m: m.on_1_january[0],
                "mean_fear": lambda m: m.on_1_january[1],
                "departures_china": lambda m: m.departed[CHINA],
                "departures_elsewhere": lambda m: m.departed[ELSEWHERE],
            }
        )

    def step(self) -> None:
        """One calendar year: everyone decides on the state of 1 January, then all decisions take effect."""
        year = self.year - FIRST_YEAR
        if year >= self.world.years:
            self.running = False
            return
        people = self.world.population.people
        self.on_1_january = self.researchers_here(), self.mean_fear()
        self._stay_by_default()
        if self.shuffled:
            self.agents.shuffle_do("step")
        else:
            self.agents.do("step")
        engine.close_year(year, people, self.decisions, self.state, self.block, self.tally)
        by_destination = self.tally.departures[year].sum(axis=(1, 2)) * self.world.agent_size[:, None]
        self.departed = {
            CHINA: float(by_destination[:, CHINA].sum()),
            ELSEWHERE: float(by_destination[:, ELSEWHERE].sum()),
        }
        self.state = state.turned(self.state)
        self.year += 1
        here = self.state.here
        for row in [row for row in self.agent_of_row if not here[row]]:
            self.agent_of_row.pop(row).remove()
        self.running = self.year - FIRST_YEAR < self.world.years
        if self.running:
            self._welcome()
        self.datacollector.collect(self)

    def researchers_here(self) -> float:
        """Researchers in the US on 1 January of `year`."""
        rows = np.fromiter(self.agent_of_row, np.int64, len(self.agent_of_row))
        return float(self.world.agent_size[self.world.population.people.group[rows]].sum())

    def mean_fear(self) -> float:
        """Mean fear of the researchers of Chinese descent in the US on 1 January of `year`."""
        rows = [row for row, agent in self.agent_of_row.items() if agent.origin == "china"]
        sizes = self.world.agent_size[self.world.population.people.group[rows]]
        return float(np.average(self.state.dread[rows], weights=sizes)) if rows else 0.0

    def _welcome(self) -> None:
        """Agents for everyone who is here on 1 January and has none yet, and what they all see this year."""
        year, people, world = self.year - FIRST_YEAR, self.world.population.people, self.world.environment
        open_year(year, people, self.state, self.tally)
        self.total_appeal = float(appeal_here(year, people, self.state.status, self.world.agent_size))
        self.scrutiny = [float(s) for s in world.scrutiny[year]]
        self.log_funding, self.pull = float(world.log_funding[year]), float(world.pull[year])
        self.log_us, self.green_card_wait = [float(x) for x in world.log_us[year]], float(world.green_card_wait[year])
        self.offers = float(world.offers[year]) * self.world.behaviour.counted
        self.shocks_china = [float(x) for x in self.shocks.china[year]]
        self.shock_elsewhere = float(self.shocks.elsewhere[year])
        for row in np.flatnonzero(self.state.here[:-1]):
            if int(row) not in self.agent_of_row:
                self.agent_of_row[int(row)] = self.researcher_class(self, int(row))

    def _stay_by_default(self) -> None:
        """Someone whose step decides nothing keeps fear and ties, and stays."""
        d = self.decisions
        d.fear[:], d.ties[:] = self.state.dread[:-1], self.state.ties
        d.to_china[:], d.to_elsewhere[:], d.to_programme[:], d.choice[:] = 0.0, 0.0, 0.0, STAY


def release(model: WorldModel) -> None:
    """Have Mesa forget a model that nobody will step again: before 3.5 it keeps every model ever made."""
    getattr(mesa.Agent, "_ids", {}).pop(model, None)
