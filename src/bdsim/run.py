"""From a scenario to results: plan every branch, run every member, check what came out."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim import compiling, draws, engine
from bdsim.environment import FIRST_YEAR, LAST_POSSIBLE_YEAR, TABLES, Environment, Floats, Timeline
from bdsim.errors import UsageError, did_you_mean
from bdsim.evidence import History, load_evidence, rebuild_history
from bdsim.observe import Counts, check_conservation, counts_of
from bdsim.parameters import FIELDS, Behaviour, Parameters, load_parameters
from bdsim.population import (
    GROUPS,
    ORIGIN_OF_GROUP,
    SETTLED_AGENTS_PER_DOCTORATE,
    Population,
    build_population,
)
from bdsim.results import FORMAT, Results
from bdsim.scenario import Plan, Scenario
from bdsim.study import Study

__all__ = ["DEFAULT_HORIZON", "Job", "Progress", "Settings", "World", "plan_run", "run"]

DEFAULT_HORIZON = 2035
FIRST_HORIZON = 2010
ENGINES = ("compiled", "mesa")
RULE_SOURCES = ("environment.py", "evidence.py", "observe.py", "population.py", "run.py", "scenario.py")
PACKAGES = ("bdsim-migration", "mesa", "numba", "numpy", "pandas", "pyarrow", "pydantic", "scipy")
Progress = Callable[[int, int], None]  # members done, members in all


@dataclass(frozen=True)
class Settings:
    """How a scenario is run. Raises UsageError when a number is outside its range."""

    members: int = 32
    seed: int = 0
    researchers_per_agent: int = 10
    engine: Literal["compiled", "mesa"] = "compiled"
    horizon: int = DEFAULT_HORIZON

    def __post_init__(self) -> None:
        for name, low, high in (
            ("members", 1, 100_000),
            ("seed", 0, 2**63 - 1),
            ("researchers_per_agent", 1, 10_000),
            ("horizon", FIRST_HORIZON, LAST_POSSIBLE_YEAR),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise UsageError(f"{value!r} is not a whole number from {low} to {high}", where=name)
        if self.engine not in ENGINES:
            raise UsageError(f"unknown engine '{self.engine}'{did_you_mean(self.engine, ENGINES)}", where="engine")


@dataclass(frozen=True)
class World:
    """One branch ready to run: who there is, what they see, how they behave, whom an agent stands for."""

    population: Population
    environment: Environment
    behaviour: Behaviour
    weights: Floats  # (groups,) researchers an agent stands for

    @property
    def years(self) -> int:
        return len(self.environment.offers)


@dataclass(frozen=True)
class Job:
    """A scenario with everything that determines its numbers; `fingerprint` names it."""

    scenario: Scenario
    settings: Settings
    parameters: Parameters
    history: History
    plans: list[Plan]
    fingerprint: str

    def world(self, plan: Plan) -> World:
        return make_world(plan.timeline, self.history.timeline, self.parameters, self.settings)


def plan_run(
    scenario: Scenario, settings: Settings, parameters: Parameters | Mapping[str, float] | None = None
) -> Job:
    """Read what the scenario stands on and work out every branch. Raises InputError of the file at fault."""
    if not isinstance(parameters, Parameters):
        parameters = load_parameters(scenario.study.parameters).with_values(parameters or {})
    evidence = load_evidence(scenario.study)
    history = rebuild_history(evidence, settings.horizon, parameters["past_growth"])
    plans = scenario.plans(history)
    return Job(scenario, settings, parameters, history, plans, _fingerprint(settings, parameters, history, plans))


def run(
    scenario: Scenario,
    members: int = 32,
    seed: int = 0,
    researchers_per_agent: int = 10,
    engine: Literal["compiled", "mesa"] = "compiled",
    *,
    horizon: int = DEFAULT_HORIZON,
    parameters: Parameters | Mapping[str, float] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Results:
    """Run a scenario: `members` histories of chance, each branch of its events with the same luck.

    `parameters` replaces values by name. Raises UsageError for a number outside its range, ParameterError and
    EvidenceError for the study's files, InvariantError when the simulation breaks its own checks.
    """
    settings = Settings(members, seed, researchers_per_agent, engine, horizon)
    return run_job(plan_run(scenario, settings, parameters), workers=workers, progress=progress)


def run_job(job: Job, *, workers: int | None = None, progress: Progress | None = None) -> Results:
    """Run what `plan_run` worked out. Branches that come to the same tables are simulated once."""
    distinct: dict[bytes, list[Plan]] = {}
    for plan in job.plans:
        distinct.setdefault(_content(plan.timeline), []).append(plan)
    total, done = job.settings.members * len(distinct), 0
    outcome: dict[str, tuple[Counts, Population, NDArray[np.uint8]]] = {}
    for plans in distinct.values():
        world = job.world(plans[0])
        counts, fates = [], []
        for count, fate in _members(world, job.settings, workers):
            counts.append(count)
            fates.append(fate)
            done += 1
            if progress is not None:
                progress(done, total)
        stacked = Counts.stacked(counts)
        check_conservation(stacked)
        for plan in plans:
            outcome[plan.branch.name] = stacked, world.population, np.stack(fates)
    return _assemble(job, outcome)


def make_world(timeline: Timeline, history: Timeline, parameters: Parameters, settings: Settings) -> World:
    """The population and tables of one branch."""
    k = settings.researchers_per_agent
    population = _population(
        timeline.inflow().tobytes(), history.inflow().tobytes(), tuple(parameters.field_shares()),
        parameters["rewired"], k, settings.seed,
    )  # fmt: skip
    settled = k * parameters.settled_per_doctorate() / SETTLED_AGENTS_PER_DOCTORATE
    weights = np.array([settled if route == "settled" else float(k) for _, route in GROUPS])
    return World(population, timeline.environment(), parameters.behaviour(), weights)


@lru_cache(maxsize=4)
def _population(
    inflow: bytes, reference: bytes, shares: tuple[float, ...], rewired: float, k: int, seed: int
) -> Population:
    origins = int(ORIGIN_OF_GROUP[-1]) + 1
    tables = (np.frombuffer(table).reshape(-1, origins) for table in (inflow, reference))
    return build_population(*tables, np.array(shares), rewired, k, seed)


def _members(
    world: World, settings: Settings, workers: int | None
) -> Iterator[tuple[Counts, NDArray[np.uint8]]]:
    """Every member in order, as they finish. Threads share the population; Mesa holds the lock, so it takes one."""
    one = run_member if settings.engine == "compiled" else _mesa_member
    jobs = 1 if settings.engine == "mesa" else min(workers or os.cpu_count() or 1, settings.members)
    parallel = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator", pre_dispatch="2*n_jobs")
    yield from parallel(joblib.delayed(one)(world, settings.seed, m) for m in range(settings.members))


def run_member(
    world: World, seed: int, member: int, *, sampled: bool = True
) -> tuple[Counts, NDArray[np.uint8]]:
    """One member by the compiled engine: its counts and the fate of every researcher, shape (rows,)."""
    rows = len(world.population)
    state, tally = engine.new_state(rows), engine.new_tally(world.years, len(FIELDS))
    keys = engine.member_keys(draws.member_seed(seed, member), world.years)
    engine.simulate(
        world.population.people, world.environment, world.behaviour, world.weights, keys, sampled,
        state, engine.new_block(), engine.new_decisions(rows), tally,
    )  # fmt: skip
    return counts_of(tally, world.weights, world.population), state.fate


def _mesa_member(world: World, seed: int, member: int) -> tuple[Counts, NDArray[np.uint8]]:
    from bdsim.agents import MigrationModel  # Mesa takes a second to import; most runs never need it

    model = MigrationModel(world, seed=seed, member=member)
    model.run_model()
    return counts_of(model.tally, world.weights, world.population), model.state.fate


def _assemble(job: Job, outcome: Mapping[str, tuple[Counts, Population, NDArray[np.uint8]]]) -> Results:
    """Members of all branches one after the other; people of all branches in one list."""
    m = job.settings.members
    identities = np.unique(np.concatenate([pop.people.identity for _, pop, _ in outcome.values()]))
    fates = np.zeros((m * len(job.plans), len(identities)), np.uint8)
    people: dict[str, Any] = {}
    for number, plan in enumerate(job.plans):
        _, population, own = outcome[plan.branch.name]
        at = np.searchsorted(identities, population.people.identity)
        fates[number * m : (number + 1) * m, at] = own
        for name, column in _people_columns(population).items():
            people.setdefault(name, np.zeros(len(identities), column.dtype))[at] = column
    people["identity"] = identities
    for name, labels in (("origin", 0), ("route", 1)):
        people[name] = pd.Categorical([g[labels] for g in GROUPS])[people["group"]]
    people["field"] = pd.Categorical.from_codes(people["field"], categories=FIELDS)
    columns = ["identity", "origin", "route", "field", "entry_year", "prominence"]
    seeds = [f"{draws.member_seed(job.settings.seed, draw):016x}" for draw in range(m)]
    members = pd.DataFrame(
        {
            "member": np.arange(m * len(job.plans)),
            "branch": np.repeat([plan.branch.name for plan in job.plans], m),
            "draw": np.tile(np.arange(m), len(job.plans)),
            "weight": np.repeat([plan.branch.chance / m for plan in job.plans], m),
            "seed": seeds * len(job.plans),
        }
    )
    counts = Counts.stacked([outcome[plan.branch.name][0] for plan in job.plans])
    return Results(_manifest(job), counts, members, pd.DataFrame(people)[columns], fates)


def _people_columns(population: Population) -> dict[str, NDArray[Any]]:
    p = population.people
    return {
        "group": p.group,
        "field": p.field,
        "entry_year": p.entry.astype(np.int32),
        "prominence": population.prominence,
    }


def _content(timeline: Timeline) -> bytes:
    digest = hashlib.sha256(str(timeline.horizon).encode())
    for name in TABLES:
        digest.update(name.encode() + timeline.tables[name].tobytes())
    return digest.digest()


def _fingerprint(settings: Settings, parameters: Parameters, history: History, plans: list[Plan]) -> str:
    """12 hexadecimal digits of what determines the numbers: plans, parameters, settings, rule. No titles, no paths."""
    digest = hashlib.sha256(compiling.source_hash().encode())
    for name in RULE_SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    digest.update(repr(settings).encode() + json.dumps(parameters.values, sort_keys=True).encode())
    digest.update(_content(history.timeline))
    for plan in plans:
        digest.update(f"{plan.branch.name} {plan.branch.chance!r}".encode() + _content(plan.timeline))
    return digest.hexdigest()[:12]


def _manifest(job: Job) -> dict[str, Any]:
    s, p = job.settings, job.parameters
    study: Study = job.scenario.study
    inputs = [study.parameters, study.sources, *sorted(study.evidence.glob("*.csv"))]
    return {
        "format": FORMAT,
        "fingerprint": job.fingerprint,
        "scenario": job.scenario.plain(),
        "branches": [{"name": plan.branch.name, "chance": plan.branch.chance} for plan in job.plans],
        "members": s.members,
        "seed": s.seed,
        "researchers_per_agent": s.researchers_per_agent,
        "engine": s.engine,
        "first_year": FIRST_YEAR,
        "horizon": s.horizon,
        "parameters": {
            "status": p.status,
            "note": p.note,
            "set_by_hand": list(p.changed),
            "values": p.values,
            "units": {name: entry.unit for name, entry in p.entries.items()},
        },
        "uncertainty": "chance and events only; parameters are held at their values",
        "rebuilt": {name: {"years": list(y), "how": how} for name, (y, how) in job.history.rebuilt.items()},
        "inputs": {
            str(path.relative_to(study.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in inputs
        },
        "rule": compiling.source_hash(),
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
