"""From a scenario to results: plan every branch, run every member, check what came out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim import draws
from bdsim.members import Own, grouped, simulated
from bdsim.observe import Counts, check_conservation, counts_of
from bdsim.parameters import FIELDS, Parameters
from bdsim.plan import DEFAULT_HORIZON, Job, Settings, World, content, manifest_of, plan_run
from bdsim.population import GROUPS, Population
from bdsim.results import Results
from bdsim.scenario import Plan, Scenario

__all__ = ["Progress", "run", "run_job", "run_member"]

Progress = Callable[[int, int], None]  # members done, members in all


def run(
    scenario: Scenario,
    members: int = 32,
    seed: int = 0,
    researchers_per_agent: int = 10,
    engine: Literal["compiled", "mesa"] = "compiled",
    *,
    horizon: int = DEFAULT_HORIZON,
    parameters: Parameters | Mapping[str, float] | None = None,
    fit: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Results:
    """Run a scenario: `members` histories of chance, each branch of its events with the same luck.

    Each member draws its parameters from `fit` (default: fitted/default; 'none': the values of parameters.toml);
    `parameters` holds some at values. Raises UsageError for a number outside its range, ParameterError and
    EvidenceError for the study's files, InvariantError when the simulation breaks its own checks.
    """
    settings = Settings(members, seed, researchers_per_agent, engine, horizon)
    return run_job(plan_run(scenario, settings, parameters, fit), workers=workers, progress=progress)


def run_job(job: Job, *, workers: int | None = None, progress: Progress | None = None) -> Results:
    """Run what `plan_run` worked out. Branches that come to the same tables are simulated once."""
    distinct: dict[bytes, list[Plan]] = {}
    for plan in job.plans:
        distinct.setdefault(content(plan.timeline), []).append(plan)
    total, done = job.settings.members * len(distinct), 0
    outcome: dict[str, tuple[Counts, Population, NDArray[np.uint8]]] = {}
    for plans in distinct.values():
        world = job.world(plans[0])
        counts, fates = [], []
        for count, fate in _members(job, world, workers):
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


def _members(job: Job, world: World, workers: int | None) -> Iterator[tuple[Counts, NDArray[np.uint8]]]:
    """Every member in order, as they finish. Threads share the population; Mesa holds the lock, so it takes one."""
    settings = job.settings
    if settings.engine == "mesa":
        for m in range(settings.members):
            yield _mesa_member(job.member_world(world, m), settings.seed, m)
        return
    groups = list(grouped(range(settings.members)))
    jobs = min(workers or os.cpu_count() or 1, len(groups))
    parallel = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator", pre_dispatch="2*n_jobs")
    own = ([(m, job.member_world(world, m)) for m in group] for group in groups)
    for finished in parallel(joblib.delayed(_together)(group, settings.seed) for group in own):
        yield from finished


def run_member(world: World, seed: int, member: int, *, sampled: bool = True) -> tuple[Counts, NDArray[np.uint8]]:
    """One member by the compiled engine: its counts and the fate of every researcher, shape (rows,)."""
    return _together([(member, world)], seed, sampled=sampled)[0]


def _together(
    members: Sequence[tuple[int, World]], seed: int, *, sampled: bool = True
) -> list[tuple[Counts, NDArray[np.uint8]]]:
    """Members by number, each with its own world of the same people, side by side."""
    shared = members[0][1]
    own = [Own(world.behaviour, world.weights, draws.member_seed(seed, member)) for member, world in members]
    runs = simulated(shared.population, shared.environment, own, sampled=sampled)
    return [
        (counts_of(tally, o.weights, shared.population), fates) for (tally, fates), o in zip(runs, own, strict=True)
    ]


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
            **{name: np.tile(column, len(job.plans)) for name, column in _agent_weights(job).items()},
        }
    )
    counts = Counts.stacked([outcome[plan.branch.name][0] for plan in job.plans])
    return Results(manifest_of(job), counts, members, pd.DataFrame(people)[columns], fates)


def _agent_weights(job: Job) -> dict[str, NDArray[np.float64]]:
    """Researchers that an agent of either route stands for, by draw."""
    weights = np.array([job.weights(job.member_parameters(m)) for m in range(job.settings.members)])
    routes = [route for _, route in GROUPS]
    return {f"agent_{route}": weights[:, routes.index(route)] for route in ("doctorate", "settled")}


def _people_columns(population: Population) -> dict[str, NDArray[Any]]:
    p = population.people
    return {
        "group": p.group,
        "field": p.field,
        "entry_year": p.entry.astype(np.int32),
        "prominence": population.prominence,
    }
