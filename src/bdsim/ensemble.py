"""From a scenario to results: plan every branch, run every member, keep each part as it finishes.

Members run in parts, up to eight side by side. How parts are shared out among threads or machines, in what order they
finish, and how often the run was interrupted changes nothing that is kept, to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim import draws, durable
from bdsim.chance import at_full_scale
from bdsim.keeping import InMemory, Keeper, KeptParts, Key, kept_on_disk
from bdsim.members import Own, grouped, simulated
from bdsim.observe import Counts, check_conservation, counts_of
from bdsim.parameters import FIELDS, Parameters
from bdsim.parts import Part
from bdsim.plan import DEFAULT_HORIZON, Job, Recipe, Settings, World, content, manifest_of, plan_run, program_hash
from bdsim.population import GROUPS, Population
from bdsim.results import Results, load_results
from bdsim.scenario import Plan, Scenario
from bdsim.workers import Workers

__all__ = ["Progress", "run", "run_job", "run_member"]

Progress = Callable[[int, int], None]  # members done, members in all


@dataclass(frozen=True)
class Task:
    """Parts for one worker, wherever it is."""

    world: int
    recipe: Recipe
    engine: str
    seed: int
    parts: list[dict[int, Own]]  # by draw
    program: str


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
    folder: Path | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Results:
    """Run a scenario: `members` histories of chance, each branch of its events with the same luck.

    Each member draws its parameters from `fit` (default: fitted/default; 'none': the values of parameters.toml);
    `parameters` holds some at values. With a `folder` every member goes to disk as it finishes, memory does not grow
    with their number, and a run that was interrupted goes on. Raises UsageError for a number outside its range,
    ParameterError and EvidenceError for the study's files, StorageError for a disk that refuses, InvariantError when
    the simulation breaks its own checks.
    """
    settings = Settings(members, seed, researchers_per_agent, engine, horizon)
    return run_job(plan_run(scenario, settings, parameters, fit), folder=folder, workers=workers, progress=progress)


def run_job(
    job: Job, *, folder: Path | None = None, workers: Workers | None = None, progress: Progress | None = None
) -> Results:
    """Run what `plan_run` worked out; what stands in `folder` already is read back. Arguments as in `run`."""
    at_work = workers or Workers()
    if folder is None:
        kept = InMemory()
        _run_missing(job, kept, at_work, progress)
        results = _assembled(job, kept)
        return replace(results, parts=list(results.parts))
    if not folder.exists():
        with kept_on_disk(folder) as (keeper, tables):
            _run_missing(job, keeper, at_work, progress)
            _assembled(job, keeper).write(tables)
    else:
        durable.tidied(folder)
    return load_results(folder)


def run_member(world: World, seed: int, member: int, *, sampled: bool = True) -> tuple[Counts, NDArray[np.uint8]]:
    """One member by the compiled engine: its counts and the fate of every researcher, shape (rows,)."""
    own = Own(world.behaviour, world.weights, draws.member_seed(seed, member))
    ((tally, fates),) = simulated(world.population, world.environment, [own], sampled=sampled)
    return counts_of(tally, own.weights, world.population), fates


def _distinct(job: Job) -> list[list[Plan]]:
    """Branches that come to the same yearly tables, together: they are simulated once."""
    found: dict[bytes, list[Plan]] = {}
    for plan in job.plans:
        found.setdefault(content(plan.timeline), []).append(plan)
    return list(found.values())


def _run_missing(job: Job, keeper: Keeper, workers: Workers, progress: Progress | None) -> None:
    """Have every part made that the keeper lacks, and keep each as it comes."""
    worlds = [job.recipe(plans[0]) for plans in _distinct(job)]
    groups = list(grouped(range(job.settings.members)))
    missing = [(w, g) for w in range(len(worlds)) for g in groups if Key(w, g[0]) not in keeper]
    total = job.settings.members * len(worlds)
    done = total - sum(len(group) for _, group in missing)
    tell = progress or (lambda *_: None)
    tell(done, total)

    def tasks() -> Iterator[Task]:
        for world, some in _chunks(missing, workers.parts_at_a_time):
            own = [{draw: _own(job, draw) for draw in group} for group in some]
            yield Task(world, worlds[world], job.settings.engine, job.settings.seed, own, program_hash())

    for made in workers.each(_carried_out, tasks(), len(missing)):
        for key, size, packed in made:
            keeper.keep(key, packed)
            done += size
            tell(done, total)


def _chunks(missing: Sequence[tuple[int, list[int]]], size: int) -> Iterator[tuple[int, list[list[int]]]]:
    """Up to `size` parts of the same world at a time."""
    for world in dict.fromkeys(w for w, _ in missing):
        groups = [group for w, group in missing if w == world]
        for first in range(0, len(groups), size):
            yield world, groups[first : first + size]


def _own(job: Job, draw: int) -> Own:
    """What a member has of its own."""
    parameters, seed = job.member_parameters(draw), draws.member_seed(job.settings.seed, draw)
    return Own(parameters.behaviour(), job.weights(parameters), seed)


def _carried_out(task: Task) -> list[tuple[Key, int, bytes]]:
    """Every part of a task: its key, its number of members, and itself, packed."""
    population = task.recipe.population
    made = []
    for members in task.parts:
        own, first = list(members.values()), next(iter(members))
        if task.engine == "mesa":
            runs = [_mesa_member(task, population, draw, o) for draw, o in members.items()]
        else:
            pairs = simulated(population, task.recipe.environment, own)
            runs = [(counts_of(t, o.weights, population), f) for (t, f), o in zip(pairs, own, strict=True)]
        counts = Counts.stacked([c for c, _ in runs])
        check_conservation(counts, first)
        drawn = at_full_scale(counts.expected, counts.variance, [o.seed for o in own])
        part = Part.of(counts, drawn, np.stack([fates for _, fates in runs]))
        made.append((Key(task.world, first), len(own), part.packed()))
    return made


def _mesa_member(task: Task, population: Population, draw: int, own: Own) -> tuple[Counts, NDArray[np.uint8]]:
    from bdsim.agents import MigrationModel  # Mesa takes a second to import; most runs never need it

    world = World(population, task.recipe.environment, own.behaviour, own.weights)
    model = MigrationModel(world, seed=task.seed, member=draw)
    model.run_model()
    return counts_of(model.tally, world.weights, population), model.state.fate


def _assembled(job: Job, keeper: Keeper) -> Results:
    """Members of all branches one after the other; people of all branches in one list."""
    world_of = {plan.branch.name: world for world, plans in enumerate(_distinct(job)) for plan in plans}
    populations = [job.recipe(plans[0]).population for plans in _distinct(job)]
    identities = np.unique(np.concatenate([p.people.identity for p in populations]))
    rows = [np.searchsorted(identities, p.people.identity) for p in populations]
    order = [
        (Key(world_of[plan.branch.name], group[0]), rows[world_of[plan.branch.name]])
        for plan in job.plans
        for group in grouped(range(job.settings.members))
    ]
    parts = KeptParts(keeper, order, len(identities))
    return Results(manifest_of(job), _members_table(job), _people_table(populations, rows, identities), parts)


def _members_table(job: Job) -> pd.DataFrame:
    m, plans = job.settings.members, job.plans
    weights = np.array([job.weights(job.member_parameters(draw)) for draw in range(m)])
    routes = [route for _, route in GROUPS]
    stands = {f"agent_{route}": weights[:, routes.index(route)] for route in ("doctorate", "settled")}
    return pd.DataFrame(
        {
            "member": np.arange(m * len(plans)),
            "branch": np.repeat([plan.branch.name for plan in plans], m),
            "draw": np.tile(np.arange(m), len(plans)),
            "weight": np.repeat([plan.branch.chance / m for plan in plans], m),
            "seed": [f"{draws.member_seed(job.settings.seed, draw):016x}" for draw in range(m)] * len(plans),
            **{name: np.tile(column, len(plans)) for name, column in stands.items()},
        }
    )


def _people_table(
    populations: Sequence[Population], rows: Sequence[NDArray[np.int64]], identities: NDArray[np.uint64]
) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for population, at in zip(populations, rows, strict=True):
        p = population.people
        own: dict[str, NDArray[Any]] = {"group": p.group, "field": p.field, "entry_year": p.entry.astype(np.int32)}
        for name, column in {**own, "prominence": population.prominence, "ties": p.ties}.items():
            columns.setdefault(name, np.zeros(len(identities), column.dtype))[at] = column
    group = columns.pop("group")
    labels = {name: pd.Categorical([g[i] for g in GROUPS])[group] for i, name in enumerate(("origin", "route"))}
    field = pd.Categorical.from_codes(columns.pop("field"), categories=FIELDS)
    return pd.DataFrame({"identity": identities, **labels, "field": field, **columns})
