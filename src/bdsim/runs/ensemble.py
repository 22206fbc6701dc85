"""From a scenario to results: plan every branch, run every member, keep each part as it finishes.

Members run in parts, up to eight side by side. How parts are shared out among threads or machines, in what order they
finish, and how often the run was interrupted changes nothing that is kept, to the byte.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bdsim.errors import MembersFailedError, ResultsError
from bdsim.files import durable
from bdsim.model import draws
from bdsim.model.categories import FIELDS, GROUPS
from bdsim.model.counts import TABLES, Counts, check_member, counts_of
from bdsim.model.engine.batch import MemberInputs, grouped, simulated
from bdsim.model.engine.full_scale import at_full_scale, programme_at_full_scale
from bdsim.model.engine.lanes import WIDTH
from bdsim.model.engine.state import Tally, new_tally
from bdsim.model.fates import Fates
from bdsim.model.people import Population
from bdsim.model.world import World
from bdsim.runs.identity import program_hash
from bdsim.runs.plan import Job, Recipe, Settings, manifest_of, plan_run
from bdsim.runs.results import Results, load_results
from bdsim.runs.store.manifest import folder_of
from bdsim.runs.store.members import Crowd, distinct, failures_table, members_table, people_table
from bdsim.runs.store.parts import Failure, Key, Leavers, Part, PartStore, kept_on_disk
from bdsim.runs.workers import Workers
from bdsim.study import DEFAULT_HORIZON
from bdsim.study.parameters import Parameters
from bdsim.study.scenario import Plan, Scenario

__all__ = ["Progress", "run", "run_job", "run_member", "run_one"]

Progress = Callable[[int, int], None]  # members done, members in all
MemberRun = tuple[Counts, Fates]  # a member's counts, and everyone's fate, shape (people,)


@dataclass(frozen=True)
class Task:
    """Parts for one worker, wherever it is."""

    world: int
    recipe: Recipe
    engine: str
    seed: int
    parts: list[dict[int, MemberInputs]]  # by draw
    program: str
    rows: NDArray[np.uint32]  # everyone's row among the people of the run, shape (people of the world,)


def run(
    scenario: Scenario | Path | str,
    members: int = 32,
    seed: int = 0,
    researchers_per_agent: int = 10,
    engine: Literal["compiled", "mesa"] = "compiled",
    *,
    horizon: int = DEFAULT_HORIZON,
    parameters: Parameters | Mapping[str, float] | None = None,
    fit: str | None = None,
    folder: Path | str | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Results:
    """Run a scenario, or the one of a name or file: `members` histories of chance, each branch with the same luck.

    Each member draws its parameters from `fit` (default: fitted/default; 'none': the values of parameters.toml);
    `parameters` holds some at values. With a `folder` every member goes to disk as it finishes, memory does not grow
    with their number, and a run that was interrupted goes on. A member that raises is a row of `failures`, and a
    warning says so; the rest go on. Raises UsageError for a number outside its range, ParameterError and EvidenceError
    for the study's files, ResultsError for a folder that holds another run, StorageError for a disk that refuses,
    MembersFailedError when no member is left.
    """
    settings = Settings(members, seed, researchers_per_agent, engine, horizon)
    target = folder_of(folder) if folder is not None else None
    results = run_job(plan_run(scenario, settings, parameters, fit), folder=target, workers=workers, progress=progress)
    if len(results.failures):
        warnings.warn(results.failures_in_words, RuntimeWarning, stacklevel=2)
    return results


def run_job(
    job: Job, *, folder: Path | None = None, workers: Workers | None = None, progress: Progress | None = None,
    retry: bool = False,
) -> Results:  # fmt: skip
    """Run what `plan_run` worked out; the same run in `folder` is read back, or resumed. Arguments as in `run`.

    Title, question and reasons are always those of today's scenario. With `retry` the members of `folder` that failed
    run once more, and nothing else does. Raises ResultsError for a folder that holds another run, or something else.
    """
    at_work = workers or Workers()
    if folder is None:
        store = PartStore()
        _run_missing(job, store, at_work, progress)
        return _assembled(job, store)
    durable.restored(folder)
    there = _asked(folder, job) if folder.exists() else None
    if there is None or retry:
        with kept_on_disk(folder, job.fingerprint) as (store, tables):
            _run_missing(job, store, at_work, progress)
            _assembled(job, store).write(tables)
        there = load_results(folder)
    else:
        durable.tidied(folder)
    return there.described(manifest_of(job))


def _asked(folder: Path, job: Job) -> Results:
    """The results in a folder, if they are of this run. Raises ResultsError for those of another."""
    there = load_results(folder)
    if there.fingerprint != job.fingerprint:
        m = there.manifest
        raise ResultsError(
            f"holds another run ('{there.name}', {m['members']} members, seed {m['seed']}, fingerprint "
            f"{there.fingerprint}, not {job.fingerprint}); give another folder, or remove this one",
            where=folder,
        )
    return there


def run_member(world: World, seed: int, member: int, *, sampled: bool = True) -> tuple[Counts, Fates]:
    """One member by the compiled engine: its counts and the fate of every researcher, shape (rows,)."""
    own = MemberInputs(world.behaviour, world.agent_size, draws.member_seed(seed, member), world.shocks)
    ((tally, fates),) = simulated(world.population, world.environment, [own], sampled=sampled)
    return counts_of(tally, own.agent_size, world.population), fates


def run_one(job: Job, plan: Plan, draw: int) -> MemberRun:
    """One member of a run, as the run makes it: raises what made it fail there."""
    task = Task(0, job.recipe(plan), job.settings.engine, job.settings.seed, [], program_hash(), np.zeros(0, np.uint32))
    return _lived(task, task.recipe.population, {draw: job.inputs(plan, draw)})[draw]


def _run_missing(job: Job, store: PartStore, workers: Workers, progress: Progress | None) -> None:
    """Have every member run that the store lacks or that failed, and keep each part as it comes."""
    crowd = Crowd.of(job)
    first_of = [plans[0] for plans in distinct(job)]
    groups = list(grouped(range(job.settings.members)))
    missing: list[tuple[int, list[int]]] = []
    for world in range(len(crowd.recipes)):
        for group in groups:
            key = Key(world, group[0])
            draws_left = [failure.draw for failure in store.failed(key)] if store.has(key) else group
            missing += [(world, draws_left)] if draws_left else []
    total = job.settings.members * len(crowd.recipes)
    done = total - sum(len(group) for _, group in missing)
    tell = progress or (lambda *_: None)
    tell(done, total)

    def tasks() -> Iterator[Task]:
        for world, some in _chunks(missing, workers.parts_at_a_time):
            own = [{draw: job.inputs(first_of[world], draw) for draw in group} for group in some]
            recipe, rows = crowd.recipes[world], crowd.rows[world]
            yield Task(world, recipe, job.settings.engine, job.settings.seed, own, program_hash(), rows)

    for made in workers.each(_carried_out, tasks(), len(missing)):
        for key, size, part in made:
            store.keep(key, store.part(key).completed(part) if store.has(key) else part)  # there: what failed ran again
            done += size
            tell(done, total)


def _chunks(missing: Sequence[tuple[int, list[int]]], size: int) -> Iterator[tuple[int, list[list[int]]]]:
    """Up to `size` parts of the same world at a time."""
    for world in dict.fromkeys(w for w, _ in missing):
        groups = [group for w, group in missing if w == world]
        for first in range(0, len(groups), size):
            yield world, groups[first : first + size]


def _carried_out(task: Task) -> list[tuple[Key, int, Part]]:
    """Every part of a task, with its key and how many members were to run."""
    population = task.recipe.population
    made = []
    for members in task.parts:
        lived, failures = _attempted(task, population, members)
        part = _part(task, population, {draw: members[draw] for draw in lived}, lived, failures)
        made.append((Key(task.world, _first_of_group(members)), len(members), part))
    return made


def _first_of_group(draws_of: Mapping[int, MemberInputs]) -> int:
    """The draw by which the group of WIDTH that these belong to is known."""
    first = min(draws_of)
    return first - first % WIDTH


def _attempted(
    task: Task, population: Population, members: Mapping[int, MemberInputs]
) -> tuple[dict[int, MemberRun], list[Failure]]:
    """What each member gave, and what the members that failed raised.

    Where a group that runs side by side raises, each of it runs alone: one that fails stops no other. What the disk
    or the system refuses (OSError) is no member's failure, and is raised.
    """
    try:
        return _lived(task, population, members), []
    except OSError:
        raise
    except (Exception, SystemExit) as error:
        if len(members) == 1:
            return {}, [Failure.of(next(iter(members)), error)]
    lived: dict[int, MemberRun] = {}
    failures: list[Failure] = []
    for draw, own in members.items():
        alone, failed = _attempted(task, population, {draw: own})
        lived |= alone
        failures += failed
    return lived, failures


def _lived(task: Task, population: Population, members: Mapping[int, MemberInputs]) -> dict[int, MemberRun]:
    """Every member run and checked. Raises InvariantError, and whatever a rule of one's own may raise."""
    own = list(members.values())
    if task.engine == "mesa":
        runs = [_mesa_member(task, population, draw, o) for draw, o in members.items()]
    else:
        runs = simulated(population, task.recipe.environment, own)
    lived = {}
    for (draw, o), (tally, fates) in zip(members.items(), runs, strict=True):
        people = population if o.entrants is None else population.with_entrants(o.entrants)
        counts = counts_of(tally, o.agent_size, people)
        check_member(counts, tally, fates, people, draw)
        lived[draw] = counts, fates
    return lived


def _part(
    task: Task,
    population: Population,
    own: Mapping[int, MemberInputs],
    lived: Mapping[int, MemberRun],
    failures: list[Failure],
) -> Part:
    """The members that succeeded, stacked; shape (0, ...) if none did."""
    if lived:
        counts = Counts.stacked([counts for counts, _ in lived.values()])
        fates = np.stack([fates for _, fates in lived.values()])
    else:
        nobody = new_tally(len(task.recipe.environment.offers), len(FIELDS))
        empty = counts_of(nobody, np.zeros(len(GROUPS)), population)
        counts = Counts(**{name: getattr(empty, name)[:0] for name in TABLES})
        fates = np.zeros((0, len(population)), np.uint16)
    seeds = [o.seed for o in own.values()]
    drawn = recruited = counts.expected  # of nobody, if all failed
    if seeds:
        drawn = at_full_scale(counts.expected, counts.variance, seeds)
        recruited = programme_at_full_scale(drawn, counts.expected, counts.programme_expected, seeds)
    return Part.of(counts, drawn, recruited, Leavers.of(fates, task.rows), list(lived), failures)


def _mesa_member(task: Task, population: Population, draw: int, own: MemberInputs) -> tuple[Tally, Fates]:
    from bdsim.model.agents import WorldModel  # Mesa takes a second to import; most runs never need it

    people = population if own.entrants is None else population.with_entrants(own.entrants)
    world = World(people, own.environment or task.recipe.environment, own.behaviour, own.agent_size, own.shocks)
    model = WorldModel(world, seed=task.seed, member=draw)
    model.run_model()
    return model.tally, model.state.fate


def _assembled(job: Job, store: PartStore) -> Results:
    """Members of all branches one after the other; people of all branches in one list.

    Raises MembersFailedError if every member of a branch failed.
    """
    groups = list(grouped(range(job.settings.members)))
    world_of = {plan.branch.name: world for world, plans in enumerate(distinct(job)) for plan in plans}
    failed = [[f for g in groups for f in store.failed(Key(w, g[0]))] for w in range(len(distinct(job)))]
    for plan in job.plans:
        lost = failed[world_of[plan.branch.name]]
        if len(lost) == job.settings.members:
            raise MembersFailedError(
                f"{job.scenario.name}: all {len(lost)} members of '{plan.branch.name}' failed; first: {lost[0].error}"
            )
    crowd = Crowd.of(job)
    store.order = [
        key
        for key in (Key(world_of[plan.branch.name], group[0]) for plan in job.plans for group in groups)
        if len(store.failed(key)) < min(WIDTH, job.settings.members - key.first)
    ]
    failures = failures_table(job, [failed[world_of[plan.branch.name]] for plan in job.plans])
    lost_draws = [{f.draw for f in failed[world_of[plan.branch.name]]} for plan in job.plans]
    return Results(
        {**manifest_of(job), "failed": len(failures)},
        members_table(job, lost_draws),
        people_table(crowd),
        store,
        failures,
    )
