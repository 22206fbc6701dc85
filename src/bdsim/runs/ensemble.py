"""From scenarios to results: plan every branch, run every member, keep each part as it finishes.

Members run in parts, up to eight side by side, and in all worlds of all runs that are asked for at once: what these
have in common is lived once. How parts are shared out among threads or machines, in what order they finish, how often
a run was interrupted, and what ran beside it changes nothing that is kept, to the byte.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdsim.errors import MembersFailedError, ResultsError
from bdsim.files import durable
from bdsim.model import draws
from bdsim.model.categories import FIELDS, GROUPS
from bdsim.model.counts import TABLES, Counts, check_member, counts_of
from bdsim.model.engine.batch import Company, MemberInputs, grouped, simulated, simulated_worlds
from bdsim.model.engine.full_scale import at_full_scale, programme_at_full_scale
from bdsim.model.engine.state import Tally, new_tally
from bdsim.model.fates import Fates
from bdsim.model.machine_code import ENGINES, Engine
from bdsim.model.world import World
from bdsim.runs.identity import program_hash
from bdsim.runs.plan import Job, Recipe, Settings, manifest_of, plan_run
from bdsim.runs.results import Results, load_results
from bdsim.runs.store.manifest import folder_of
from bdsim.runs.store.members import (
    Crowd,
    distinct,
    failures_table,
    members_table,
    order_of,
    parts_of,
    people_table,
    worlds_of,
)
from bdsim.runs.store.parts import Failure, Key, Leavers, Part, PartStore, kept_on_disk
from bdsim.runs.store.written import PartsInOrder
from bdsim.runs.workers import Workers
from bdsim.study import DEFAULT_HORIZON
from bdsim.study.parameters import Parameters
from bdsim.study.scenario import Plan, Scenario

__all__ = ["Progress", "run", "run_job", "run_jobs", "run_member", "run_one"]

Progress = Callable[[int, int], None]  # members done, members in all
MEET = 6  # worlds in which a group of members runs at once: more would keep Ctrl-C waiting
MemberRun = tuple[Counts, Fates]  # a member's counts, and everyone's fate, shape (people,)


@dataclass(frozen=True)
class Place:
    """Members of one group in one world of one run: what comes of them is a part."""

    run: int  # among those that run together
    key: Key  # of the part: the world among the distinct ones of that run, and the first draw of the group
    recipe: Recipe
    rows: NDArray[np.uint32] | None  # of the world's people in order, among the people of the run; None: they are these
    members: dict[int, MemberInputs]  # by draw


@dataclass(frozen=True)
class Task:
    """Groups of members for one worker, wherever it is; each in all worlds that lack it and have the same people."""

    engine: Engine
    seed: int
    program: str
    groups: list[list[Place]]


class Made(NamedTuple):
    """What came of a place."""

    run: int
    key: Key
    members: int  # that were to run
    part: Part


def run(
    scenario: Scenario | Path | str,
    members: int = 32,
    seed: int = 0,
    researchers_per_agent: int = 10,
    engine: Engine = "compiled",
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
    `parameters` holds some at values. The engine `mesa` decides as `compiled` does, slowly; `float32` is in single
    precision with luck of its own, to explore with, and faster. With a `folder` every member goes to disk as it
    finishes, memory does not grow with their number, and a run that was interrupted goes on. A member that raises is a
    row of `failures`, and a warning says so; the rest go on. Raises UsageError for a number outside its range,
    ParameterError and EvidenceError for the study's files, ResultsError for a folder that holds another run,
    StorageError for a disk that refuses, MembersFailedError when no member is left.
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
    (results,) = run_jobs([job], [folder] if folder is not None else None, workers, progress, retry=retry)
    return results


def run_jobs(
    jobs: Sequence[Job], folders: Sequence[Path] | None = None, workers: Workers | None = None,
    progress: Progress | None = None, *, retry: bool = False,
) -> list[Results]:  # fmt: skip
    """Several runs at once, each as `run_job` has it: scenarios that share their past simulate it once.

    `folders`, one a job, are all different. A run that is complete is put in place though one after it cannot be.
    """
    at_work = workers or Workers()
    if folders is None:
        stores = [PartStore() for _ in jobs]
        _run_missing([(job, store, None) for job, store in zip(jobs, stores, strict=True)], at_work, progress)
        return [_assembled(job, store) for job, store in zip(jobs, stores, strict=True)]
    there = [_there(folder, job) for job, folder in zip(jobs, folders, strict=True)]
    to_run = [n for n, found in enumerate(there) if found is None or retry]
    with contextlib.ExitStack() as every:
        each = {n: every.enter_context(contextlib.ExitStack()) for n in to_run}
        kept = {n: each[n].enter_context(kept_on_disk(folders[n], jobs[n].fingerprint)) for n in to_run}
        tables = {
            n: each[n].enter_context(PartsInOrder(store, parts_of(jobs[n]), folder, jobs[n].fingerprint))
            for n, (store, folder) in kept.items()
        }
        if kept:
            _run_missing([(jobs[n], store, tables[n]) for n, (store, _) in kept.items()], at_work, progress)
        for n, (store, folder) in kept.items():
            results = _assembled(jobs[n], store)
            tables[n].finish()
            results.write_beside_parts(folder)
            each[n].close()
            there[n] = load_results(folders[n])
    return [found.described(manifest_of(job)) for found, job in zip(there, jobs, strict=True) if found is not None]


def _there(folder: Path, job: Job) -> Results | None:
    """The run in a folder, if it is there, whole. Raises ResultsError for another."""
    durable.restored(folder)
    if not folder.exists():
        return None
    found = _asked(folder, job)
    durable.tidied(folder)
    return found


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
    place = Place(0, Key(0, draw), job.recipe(plan), None, {draw: job.inputs(plan, draw)})
    (lived,) = _lived(Task(job.settings.engine, job.settings.seed, program_hash(), []), [place])
    return lived[draw]


def _run_missing(
    runs: Sequence[tuple[Job, PartStore, PartsInOrder | None]], workers: Workers, progress: Progress | None
) -> None:
    """Have every member run that a store lacks or that failed; keep each part as it comes, and have it written."""
    crowds = [Crowd.of(job) for job, _, _ in runs]
    plans = [[alike[0] for alike in distinct(job)] for job, _, _ in runs]
    lacking = {
        (run, key): draws_left
        for run, (job, store, _) in enumerate(runs)
        for key, draws_left in _lacking(job, store, len(crowds[run].recipes))
    }
    for run, key in lacking:
        if (tables := runs[run][2]) is not None:
            tables.awaited.add(key)
    total = sum(job.settings.members * len(crowd.recipes) for (job, _, _), crowd in zip(runs, crowds, strict=True))
    done = total - sum(map(len, lacking.values()))
    tell = progress or (lambda *_: None)
    tell(done, total)

    def place(run: int, key: Key) -> Place:
        job, crowd = runs[run][0], crowds[run]
        plan = plans[run][key.world]
        own = {draw: job.inputs(plan, draw) for draw in lacking[run, key]}
        rows = crowd.rows[key.world] if len(crowd.rows[key.world]) < len(crowd.identities) else None
        return Place(run, key, crowd.recipes[key.world], rows, own)

    def task(groups: list[list[tuple[int, Key]]]) -> Task:
        settings = runs[groups[0][0][0]][0].settings
        return Task(settings.engine, settings.seed, program_hash(), [[place(*one) for one in g] for g in groups])

    def keep(made: list[Made]) -> int:
        for one in made:
            _, store, tables = runs[one.run]
            there = store.part(one.key).completed(one.part) if store.has(one.key) else one.part  # what failed ran again
            store.keep(one.key, there)
            if tables is not None:
                tables.came(one.key, there)
        return sum(one.members for one in made)

    def alike(run: int, key: Key) -> Hashable:
        settings = runs[run][0].settings
        return settings.engine, settings.seed, crowds[run].people[key.world]

    width = min(job.settings.side_by_side for job, _, _ in runs)
    chunks = list(_chunks(lacking, alike, workers.parts_at_a_time(width)))
    for members in workers.each(_carried_out, keep, map(task, chunks), len(chunks)):
        done += members
        tell(done, total)


def _lacking(job: Job, store: PartStore, worlds: int) -> Iterator[tuple[Key, list[int]]]:
    """Each part that is not whole, and the draws that it lacks."""
    for world in range(worlds):
        for group in grouped(range(job.settings.members), job.settings.side_by_side):
            key = Key(world, group[0])
            draws_left = [failure.draw for failure in store.failed(key)] if store.has(key) else group
            if draws_left:
                yield key, draws_left


def _chunks(
    lacking: Iterable[tuple[int, Key]], alike: Callable[[int, Key], Hashable], size: int
) -> Iterator[list[list[tuple[int, Key]]]]:
    """Up to `size` groups of members at a time, each in all worlds, but no more than MEET, whose people are alike."""
    meeting: dict[Hashable, dict[int, list[tuple[int, Key]]]] = {}
    for run, key in lacking:
        meeting.setdefault(alike(run, key), {}).setdefault(key.first, []).append((run, key))
    for by_group in meeting.values():
        groups = [places[i : i + MEET] for places in by_group.values() for i in range(0, len(places), MEET)]
        for first in range(0, len(groups), size):
            yield groups[first : first + size]


def _carried_out(task: Task) -> list[Made]:
    """Every part of a task."""
    return [
        Made(place.run, place.key, len(place.members), _part(place, lived, failures))
        for places in task.groups
        for place, (lived, failures) in zip(places, _attempted(task, places), strict=True)
    ]


def _attempted(task: Task, places: list[Place]) -> list[tuple[dict[int, MemberRun], list[Failure]]]:
    """What each member gave in each place, and what the members that failed raised.

    Where members that run together raise, each world runs by itself, and then each member alone: one that fails stops
    no other. What the disk or the system refuses (OSError) is no member's failure, and is raised.
    """
    try:
        return [(lived, []) for lived in _lived(task, places)]
    except OSError:
        raise
    except (Exception, SystemExit) as error:
        if len(places) > 1:
            return [tried for place in places for tried in _attempted(task, [place])]
        members = places[0].members
        if len(members) == 1:
            return [({}, [Failure.of(next(iter(members)), error)])]
    lived: dict[int, MemberRun] = {}
    failures: list[Failure] = []
    for draw, own in members.items():
        ((alone, failed),) = _attempted(task, [replace(places[0], members={draw: own})])
        lived |= alone
        failures += failed
    return [(lived, failures)]


def _lived(task: Task, places: list[Place]) -> list[dict[int, MemberRun]]:
    """Every member run and checked. Raises InvariantError, and whatever a rule of one's own may raise."""
    if task.engine == "mesa":
        runs = [[_mesa_member(task, place, draw) for draw in place.members] for place in places]
    else:
        worlds = [Company(p.recipe.population, p.recipe.environment, list(p.members.values())) for p in places]
        runs = simulated_worlds(worlds, width=ENGINES[task.engine])
    return [
        {draw: _checked(place, draw, *run) for draw, run in zip(place.members, of_place, strict=True)}
        for place, of_place in zip(places, runs, strict=True)
    ]


def _checked(place: Place, draw: int, tally: Tally, fates: Fates) -> MemberRun:
    """A member's counts and fates, once they hold to what every run must. Raises InvariantError."""
    own = place.members[draw]
    people = own.people_of(place.recipe.population)
    counts = counts_of(tally, own.agent_size, people)
    check_member(counts, tally, fates, people, draw)
    return counts, fates


def _part(place: Place, lived: Mapping[int, MemberRun], failures: list[Failure]) -> Part:
    """The members that succeeded, stacked; shape (0, ...) if none did."""
    if lived:
        counts = Counts.stacked([counts for counts, _ in lived.values()])
        fates = np.stack([fates for _, fates in lived.values()])
    else:
        population = place.recipe.population
        nobody = new_tally(len(place.recipe.environment.offers), len(FIELDS))
        empty = counts_of(nobody, np.zeros(len(GROUPS)), population)
        counts = Counts(**{name: getattr(empty, name)[:0] for name in TABLES})
        fates = np.zeros((0, len(population)), np.uint16)
    seeds = [place.members[draw].seed for draw in lived]
    drawn = recruited = counts.expected  # of nobody, if all failed
    if seeds:
        drawn = at_full_scale(counts.expected, counts.variance, seeds)
        recruited = programme_at_full_scale(drawn, counts.expected, counts.programme_expected, seeds)
    return Part.of(
        counts, drawn, recruited, Leavers.of(fates, order_of(place.recipe), place.rows), list(lived), failures
    )


def _mesa_member(task: Task, place: Place, draw: int) -> tuple[Tally, Fates]:
    from bdsim.model.agents import WorldModel  # Mesa takes a second to import; most runs never need it

    own, environment = place.members[draw], place.recipe.environment
    people = own.people_of(place.recipe.population)
    world = World(people, own.environment or environment, own.behaviour, own.agent_size, own.shocks)
    model = WorldModel(world, seed=task.seed, member=draw)
    model.run_model()
    return model.tally, model.state.fate


def _assembled(job: Job, store: PartStore) -> Results:
    """Members of all branches one after the other; people of all branches in one list.

    Raises MembersFailedError if every member of a branch failed.
    """
    world_of, order = worlds_of(job), parts_of(job)
    failed: list[list[Failure]] = [[] for _ in distinct(job)]
    for key in dict.fromkeys(order):
        failed[key.world] += store.failed(key)
    for plan in job.plans:
        lost = failed[world_of[plan.branch.name]]
        if len(lost) == job.settings.members:
            raise MembersFailedError(
                f"{job.scenario.name}: all {len(lost)} members of '{plan.branch.name}' failed; first: {lost[0].error}"
            )
    crowd = Crowd.of(job)
    settings = job.settings
    store.order = [k for k in order if len(store.failed(k)) < min(settings.side_by_side, settings.members - k.first)]
    failures = failures_table(job, [failed[world_of[plan.branch.name]] for plan in job.plans])
    lost_draws = [{f.draw for f in failed[world_of[plan.branch.name]]} for plan in job.plans]
    return Results(
        {**manifest_of(job), "failed": len(failures)},
        members_table(job, lost_draws),
        people_table(crowd),
        store,
        failures,
    )
