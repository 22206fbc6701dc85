"""A scenario worked out: every branch, who there is in it, what they see; and the fingerprint of it all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import psutil
from numpy.typing import NDArray

from bdsim.errors import InvariantError, UsageError, did_you_mean, whole_number
from bdsim.files.digest import digest_of
from bdsim.model import draws
from bdsim.model.categories import (
    FIRST_YEAR,
    GROUPS,
    LAST_POSSIBLE_YEAR,
    ORIGIN_OF_GROUP,
    ORIGINS,
    REFERENCE_YEAR,
    Floats,
)
from bdsim.model.engine.batch import MemberInputs
from bdsim.model.machine_code import ENGINES, WIDTH, Engine
from bdsim.model.people import SETTLED_AGENTS_PER_DOCTORATE, Population, agents_entering, build_population
from bdsim.model.world import Environment, Shocks, Timeline, World
from bdsim.runs.identity import facts_digests, fingerprint_of, fit_remark, history_digest, program_hash, versions
from bdsim.study import DEFAULT_HORIZON
from bdsim.study.branches import MOST_BRANCHES
from bdsim.study.evidence import Evidence, load_evidence
from bdsim.study.fit import Fit, chosen_fit
from bdsim.study.history import History, rebuild_history
from bdsim.study.parameters import Parameters, load_parameters
from bdsim.study.scenario import Plan, Scenario, load_scenario, plan_of
from bdsim.study.shocks import ELSEWHERE
from bdsim.study.uncertainty.assumptions import Assumption, assumptions_of, drawn_branches, in_numbers

__all__ = ["Job", "Recipe", "Settings", "asked_for", "content", "manifest_of", "plan_run"]

FORMAT = 4  # of a results folder
MOST_MEMBERS, LARGEST_SEED = 100_000, 2**63 - 1
MOST_KEPT = 4096  # members whose yearly tables are kept

# Held against the peak of real runs by benchmarks/reliability.py.
BYTES_AT_LEAST = 100_000_000  # tables on their way to the disk, whatever the number of people
BYTES_PER_PERSON = 330  # people, and what is needed to make them
BYTES_PER_STATE = 50  # of each member that runs at the same time, on two threads

CONTAINER = Path("/sys/fs/cgroup")  # Linux: what a container may use


@dataclass(frozen=True)
class Settings:
    """How a scenario is run. Raises UsageError when a number is outside its range."""

    members: int = 32
    seed: int = 0
    researchers_per_agent: int = 10
    engine: Engine = "compiled"
    horizon: int = DEFAULT_HORIZON

    def __post_init__(self) -> None:
        for name, low, high in (
            ("members", 1, MOST_MEMBERS),
            ("seed", 0, LARGEST_SEED),
            ("researchers_per_agent", 1, 10_000),
            ("horizon", REFERENCE_YEAR, LAST_POSSIBLE_YEAR),
        ):
            object.__setattr__(self, name, whole_number(getattr(self, name), low, high, name))
        if self.engine not in ENGINES:
            raise UsageError(f"unknown engine '{self.engine}'{did_you_mean(self.engine, ENGINES)}", where="engine")

    @property
    def side_by_side(self) -> int:
        """How many members run together, and are kept together as a part of a run."""
        return ENGINES[self.engine]


@dataclass(frozen=True)
class Recipe:
    """What the people and the yearly tables of a branch are made from: small enough to send to another machine."""

    inflow: bytes  # doctorates by entry year and origin, as float64
    reference: bytes  # the same in history, by which colleagues are placed
    field_shares: bytes  # by group, as float64
    rewired: float
    researchers_per_agent: int
    seed: int
    sought: tuple[float, ...]  # by field: how much talent programmes look for it
    environment: Environment

    @property
    def population(self) -> Population:
        """Everyone who is ever here; made once in a process and shared."""
        return _population(*(getattr(self, f.name) for f in fields(self) if f.name != "environment"))


@dataclass(frozen=True, eq=False)
class _Members:
    """What members have of their own, by draw: worked out once for all scenarios of the same fit and settings."""

    owns: dict[int, MemberInputs]
    drawn: dict[int, Parameters]


_KNOWN: WeakValueDictionary[str, _Members] = WeakValueDictionary()  # kept as long as a job asks for them


@dataclass(frozen=True)
class Job:
    """A scenario with everything that determines its numbers; `fingerprint` names it."""

    scenario: Scenario
    settings: Settings
    parameters: Parameters
    history: History
    plans: list[Plan]
    evidence: Evidence
    written: Parameters  # as parameters.toml has them, before a fit or a hand changes any
    fit: Fit | None = None
    held: Mapping[str, float] = field(default_factory=dict)  # at these values, whatever the fit says

    @cached_property
    def fingerprint(self) -> str:
        """12 hexadecimal digits of everything that determines the numbers."""
        return fingerprint_of(self)

    @property
    def fit_remark(self) -> str:
        """One sentence when the fit was made from other things than those in use; else ''."""
        return fit_remark(self.fit, self.scenario.study, self.evidence, self.written) if self.fit is not None else ""

    def own(self, draw: int) -> MemberInputs:
        """What a member has of its own, by its draw."""
        owns = self._known.owns
        if draw not in owns:
            own, seed = self.member_parameters(draw), draws.member_seed(self.settings.seed, draw)
            owns[draw] = MemberInputs(own.behaviour(), self.agent_size(own), seed, self.member_shocks(draw))
        return owns[draw]

    def member_parameters(self, member: int) -> Parameters:
        """A member's parameters: its draw of the posterior, or the same values for all without a fit."""
        if self.fit is None:
            return self.parameters
        if member not in self._known.drawn:
            drawn = self.fit.member(draws.member_seed(self.settings.seed, member))
            self._known.drawn[member] = self.parameters.with_values({**drawn, **self.held})
        return self._known.drawn[member]

    @cached_property
    def _known(self) -> _Members:
        study, fit = str(self.scenario.study.root), self.fit.digest if self.fit is not None else ""
        key = digest_of(study, fit, self.held, self.parameters.values, self.settings)
        return _KNOWN.setdefault(key, _Members({}, {}))

    def member_shocks(self, member: int) -> Shocks | None:
        """What moves everyone in a member's years and the model does not know; none without a fit."""
        if self.fit is None:
            return None
        own_seed = draws.member_seed(self.settings.seed, member)
        table = self.fit.member_shocks(own_seed, self.member_parameters(member), self.settings.horizon)
        return Shocks(table[:, :ELSEWHERE], table[:, ELSEWHERE])

    def member_world(self, world: World, member: int) -> World:
        """The world with the member's own behaviour and sizes of agents; people and tables are shared."""
        if self.fit is None:
            return world
        own = self.member_parameters(member)
        return replace(
            world, behaviour=own.behaviour(), agent_size=self.agent_size(own), shocks=self.member_shocks(member)
        )

    def agent_size(self, parameters: Parameters | None = None) -> Floats:
        """Researchers an agent stands for, by group, shape (groups,)."""
        k = self.settings.researchers_per_agent
        settled = k * (parameters or self.parameters).settled_per_doctorate() / SETTLED_AGENTS_PER_DOCTORATE
        return np.array([settled if route == "settled" else float(k) for _, route in GROUPS])

    @cached_property
    def assumptions(self) -> list[Assumption]:
        """The ranges of the scenario, from which every member draws its own values."""
        return assumptions_of(self.scenario)

    def plans_of(self, draw: int) -> list[Plan]:
        """The branches as a member has them, in the order of `plans`: the same where the scenario has no range."""
        if not self.assumptions:
            return self.plans
        found = self._plans_of.get(draw)
        if found is None:
            seed = draws.member_seed(self.settings.seed, draw)
            branches = drawn_branches(self.scenario, [plan.branch for plan in self.plans], seed)
            found = [plan_of(branch, self.history) for branch in branches]
            if len(self._plans_of) < MOST_KEPT:
                self._plans_of[draw] = found
        return found

    @cached_property
    def _plans_of(self) -> dict[int, list[Plan]]:
        return {}

    def inputs(self, plan: Plan, draw: int) -> MemberInputs:
        """What a member has of its own in one branch."""
        own = self.own(draw)
        if not self.assumptions:
            return own
        timeline = self.plans_of(draw)[self._number(plan)].timeline
        agents = self._agents(timeline.inflow())
        entrants = None if (agents == self._agents(self._most_inflow(plan))).all() else agents
        return own._replace(environment=self._environment(timeline), entrants=entrants)

    def _agents(self, inflow: Floats) -> NDArray[np.int64]:
        shares = self.history.fields_of_entrants(self.parameters.field_shares())
        return agents_entering(inflow, shares, self.settings.researchers_per_agent, self.settings.seed)

    def _most_inflow(self, plan: Plan) -> Floats:
        """Doctorates by entry year and origin of whichever member has most: people are made for all of them."""
        most = plan.timeline.inflow()
        if not any(name.startswith("inflow_") for name in self._uncertain_tables):
            return most
        number = self._number(plan)
        if number not in self._inflows:
            for draw in range(self.settings.members):
                most = np.maximum(most, self.plans_of(draw)[number].timeline.inflow())
            self._inflows[number] = most
        return self._inflows[number]

    @cached_property
    def _inflows(self) -> dict[int, Floats]:
        return {}

    @cached_property
    def _uncertain_tables(self) -> set[str]:
        """The yearly tables of levers, where the scenario has a range at all."""
        return {v.table for plan in self.plans for v in plan.branch.levers} if self.assumptions else set()

    def _number(self, plan: Plan) -> int:
        return next(i for i, p in enumerate(self.plans) if p.branch.name == plan.branch.name)

    def _environment(self, timeline: Timeline) -> Environment:
        reference = self.history.timeline.at("funding_ratio", REFERENCE_YEAR)
        return timeline.environment(reference, self.parameters.funding_lag())

    def recipe(self, plan: Plan) -> Recipe:
        """What one branch is made from, with people for whichever member has most entrants."""
        return self.recipe_of(plan.timeline, self._most_inflow(plan))

    def recipe_of(self, timeline: Timeline, inflow: Floats | None = None) -> Recipe:
        """What any world is made from; `inflow` makes people for other doctorates than its own, shape (cohorts, 3)."""
        environment = self._environment(timeline)
        return Recipe(
            (timeline.inflow() if inflow is None else inflow).tobytes(), self.history.timeline.inflow().tobytes(),
            self.history.fields_of_entrants(self.parameters.field_shares()).tobytes(), self.parameters["rewired"],
            self.settings.researchers_per_agent, self.settings.seed, tuple(map(float, self.parameters.sought())),
            environment,
        )  # fmt: skip

    def world(self, plan: Plan) -> World:
        """One branch ready to run."""
        recipe = self.recipe_of(plan.timeline)
        return World(recipe.population, recipe.environment, self.parameters.behaviour(), self.agent_size())


def plan_run(
    scenario: Scenario | Path | str,
    settings: Settings,
    parameters: Parameters | Mapping[str, float] | None = None,
    fit: str | None = None,
) -> Job:
    """Read what the scenario stands on and work out every branch. Raises InputError of the file at fault.

    Members draw their parameters from the fit (default: fitted/default where there is one; 'none': the values of
    parameters.toml); `parameters` holds some at values for all members. A Parameters object is taken as it is.
    """
    scenario = load_scenario(scenario)
    study = scenario.study
    used: Fit | None = None
    held: dict[str, float] = {}
    if isinstance(parameters, Parameters):
        known = written = parameters
    else:
        if not isinstance(parameters, Mapping | None):
            raise UsageError(
                f"{parameters!r} is not names with their values, such as {{'push': 0.5}}", where="parameters"
            )
        known, held = load_parameters(study.parameters), dict(parameters or {})
        written = known
        used = chosen_fit(study, fit, known)
        if used is not None:
            known = used.centre(known)
        known = known.with_values(held, where="--set")
    evidence = load_evidence(study)
    history = rebuild_history(evidence, settings.horizon, known["past_growth"])
    plans = scenario.plans(history)
    _check_memory(scenario.name, settings, plans)
    return Job(scenario, settings, known, history, plans, evidence, written, used, held)


def available() -> int:
    """Bytes that this process may still take: what the system has free, or what its container leaves, if less."""
    free = int(psutil.virtual_memory().available)
    try:
        most, used = ((CONTAINER / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        return min(free, max(int(most) - int(used), 0)) if most != "max" else free
    except (OSError, ValueError):  # no container, or one of another kind
        return free


def asked_for(agents: float, side_by_side: int) -> float:
    """Bytes that a run of so many agents needs, with so many members side by side."""
    return BYTES_AT_LEAST + agents * (BYTES_PER_PERSON + BYTES_PER_STATE * side_by_side)


def _check_memory(name: str, settings: Settings, plans: list[Plan]) -> None:
    """Refuse what this machine cannot hold before any of it is allocated. Raises UsageError."""
    per_doctorate = np.array([1.0 + (SETTLED_AGENTS_PER_DOCTORATE if o == "china" else 0.0) for o in ORIGINS])
    agents = max(float((p.timeline.inflow() @ per_doctorate).sum()) for p in plans) / settings.researchers_per_agent
    needed = asked_for(agents, WIDTH)  # twice as many members in single precision take as much
    free = available()
    if needed > free:
        enough = math.ceil(settings.researchers_per_agent * (needed / free) * 1.5)
        raise UsageError(
            f"'{name}' has {agents:,.0f} agents, which need about {needed / 1e9:,.1f} GB of memory, and "
            f"{free / 1e9:,.1f} GB are free; {enough:,} researchers an agent would do",
            where="researchers_per_agent",
        )


@lru_cache(maxsize=4)
def _population(
    inflow: bytes, reference: bytes, shares: bytes, rewired: float, k: int, seed: int, sought: tuple[float, ...]
) -> Population:
    origins = int(ORIGIN_OF_GROUP[-1]) + 1
    here, planned = (np.frombuffer(table).reshape(-1, origins) for table in (inflow, reference))
    by_group = np.frombuffer(shares).reshape(len(GROUPS), -1)
    made = build_population(here, planned, by_group, rewired, k, seed, np.array(sought))
    if (np.diff(np.sort(made.people.identity)) == 0).any():
        raise InvariantError("two researchers have the same identity")
    return made


def content(timeline: Timeline) -> str:
    """A digest of every yearly table: equal for branches that have the same world."""
    return digest_of(timeline)


def manifest_of(job: Job) -> dict[str, Any]:
    """What made the numbers, as plain JSON values."""
    s, p = job.settings, job.parameters
    study = job.scenario.study
    facts = {f"{study.evidence.relative_to(study.root)}/{n}.csv": d for n, d in facts_digests(job.evidence).items()}
    return {
        "format": FORMAT,
        "fingerprint": job.fingerprint,
        "scenario": job.scenario.plain(),
        "branches": [
            {"name": b.name, "chance": b.chance, "outcomes": list(b.outcomes)} for b in (p.branch for p in job.plans)
        ],
        "ways": f"{MOST_BRANCHES} sampled by their chances" if job.scenario.sampled else "all, by their chances",
        "members": s.members,
        "seed": s.seed,
        "researchers_per_agent": s.researchers_per_agent,
        "engine": s.engine,
        "first_year": FIRST_YEAR,
        "horizon": s.horizon,
        "parameters": {
            "status": p.status,
            "note": p.note,
            "held": list(p.held),
            "values": p.values,
            "units": {name: entry.unit for name, entry in p.entries.items()},
            "labels": {name: entry.label for name, entry in p.entries.items()},
        },
        "fit": {"name": job.fit.name, "fingerprint": job.fit.manifest["fingerprint"], "draws": job.fit.digest}
        if job.fit
        else None,
        "assumptions": [
            {"name": a.name, "says": str(a.range), "why": a.range.why, "centre": in_numbers(a.range.centre)}
            for a in job.assumptions
        ],
        "uncertainty": (
            f"parameters and shocks (posterior of fitted/{job.fit.name}), chance and events"
            + (", and the scenario's assumptions" if job.assumptions else "")
            if job.fit
            else "chance, events and the scenario's assumptions; parameters are held at their values"
            if job.assumptions
            else "chance and events only; parameters are held at their values"
        ),
        "rebuilt": {name: {"years": list(y), "how": how} for name, (y, how) in job.history.rebuilt.items()},
        "history": history_digest(job.history),
        "inputs": {str(study.parameters.relative_to(study.root)): digest_of(job.written.values), **facts},
        "program": program_hash(),
        "versions": versions(),
    }
