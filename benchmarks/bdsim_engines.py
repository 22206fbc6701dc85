"""bdsim's own engines behind three functions, and the workload that every program of this folder is given.

Everything here that knows how the compiled engine is called stands below the line in the middle: a change of
engine.py is answered here and nowhere else in benchmarks/.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdsim.model import draws
from bdsim.model.categories import FIELDS
from bdsim.model.engine import state
from bdsim.model.engine.batch import simulated, simulated_alone
from bdsim.model.machine_code import WIDTH
from bdsim.model.world import World
from bdsim.runs.plan import Job, Settings, plan_run
from bdsim.study import DEFAULT_HORIZON
from bdsim.study.layout import find_study
from bdsim.study.scenario import load_scenario

__all__ = [
    "Luck",
    "Tally",
    "Workload",
    "fit_of",
    "luck",
    "many",
    "mesa",
    "new_tally",
    "one",
    "researcher_years",
    "workload",
]

SEED = 0
TOGETHER = 8  # members that a thread takes at a time
MEMBERS_DRAWN = 100_000  # members of a plan are drawn one by one, so planning more than are run costs nothing

Tally = state.Tally  # arrays of counts in agents; see the class for their shapes


@dataclass(frozen=True)
class Workload:
    """A planned scenario: who there is, what they see, and each member's own parameters and luck."""

    job: Job
    world: World

    @property
    def seed(self) -> int:
        return self.job.settings.seed

    @property
    def years(self) -> int:
        return self.world.years

    @property
    def rows(self) -> int:
        """Agents who are ever here."""
        return len(self.world.population)

    @property
    def researchers_per_agent(self) -> int:
        return self.job.settings.researchers_per_agent

    def member(self, member: int) -> World:
        """The world with this member's draw of the parameters; people and tables are shared."""
        return _member_world(self, member)

    def __hash__(self) -> int:
        return hash(self.job.fingerprint)


@lru_cache(maxsize=512)
def _member_world(work: Workload, member: int) -> World:
    return work.job.member_world(work.world, member)


@cache
def workload(researchers_per_agent: int, horizon: int = DEFAULT_HORIZON, fit: str | None = None) -> Workload:
    """The baseline of this study at a scale. `fit` 'none' gives all members the values of parameters.toml."""
    settings = Settings(MEMBERS_DRAWN, SEED, researchers_per_agent, "compiled", horizon)
    job = plan_run(load_scenario("baseline", find_study(__file__)), settings, fit=fit)
    return Workload(job, job.world(job.plans[0]))


def fit_of(work: Workload) -> str:
    """The name of the fit that members draw their parameters from."""
    return work.job.fit.name if work.job.fit is not None else "none"


def researcher_years(tally: Tally) -> float:
    """Agents here on 1 January, summed over years: the unit of work."""
    return float(tally.stocks.sum())


class Luck(NamedTuple):
    """Starts of one member's random sequences (see draws.key_of), for engines that draw by themselves."""

    survived: int
    offered: NDArray[np.uint64]  # (years,)
    clock_china: NDArray[np.uint64]  # (years,)
    clock_elsewhere: NDArray[np.uint64]  # (years,)
    clock_programme: NDArray[np.uint64]  # (years,)


# ---------------------------------------------------------------- how engine.py and agents.py are called today


def luck(work: Workload, member: int) -> Luck:
    """The member's random sequences."""
    keys = state.keys_of([draws.member_seed(work.seed, member)], work.years)
    return Luck(int(keys.survived[0]), keys.offered, keys.clock_china, keys.clock_elsewhere, keys.clock_programme)


def new_tally(work: Workload) -> Tally:
    """A tally of zeros."""
    return state.new_tally(work.years, len(FIELDS))


def one(work: Workload, member: int, *, sampled: bool = True) -> Tally:
    """One member by the compiled engine without lanes, with the memory it needs."""
    inputs = work.job.own(member)
    return simulated_alone(work.world.population, work.world.environment, inputs, sampled=sampled)[0]


def many(work: Workload, members: range, *, sampled: bool = True, width: int = WIDTH) -> list[Tally]:
    """Several members by the compiled engine, on one core; sixteen side by side are in single precision."""
    own = [work.job.own(member) for member in members]
    runs = simulated(work.world.population, work.world.environment, own, sampled=sampled, width=width)
    return [tally for tally, _ in runs]


def mesa(work: Workload, member: int) -> Tally:
    """One member by bdsim's Mesa model."""
    from bdsim.runs.mesa import MigrationModel  # Mesa's memory is no part of what scaling.py measures

    model: Any = MigrationModel(work.member(member), seed=work.seed, member=member)
    model.run_model()
    return model.tally  # type: ignore[no-any-return]  # Mesa ships no types


def threaded(work: Workload, members: range, threads: int) -> float:
    """Researcher-years of the members, simulated by the compiled engine on some threads that share the people."""
    chunks = [range(at, min(at + TOGETHER, members.stop)) for at in range(members.start, members.stop, TOGETHER)]

    def simulate(chunk: range) -> float:
        return sum(researcher_years(tally) for tally in many(work, chunk))

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(simulate, chunks))
