"""Many expected runs at once: worlds times parameter vectors, without chance, so that small differences show."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple, TypeVar, cast

import joblib
import numpy as np

from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.model.counts import Counts, counts_of
from bdsim.model.engine.batch import Company, MemberInputs, grouped, simulated_worlds
from bdsim.model.machine_code import WIDTH
from bdsim.model.world import Environment, Shocks, Timeline
from bdsim.runs.plan import Job
from bdsim.study.parameters import Parameters

__all__ = ["Progress", "Request", "answers_to", "expected_runs", "posterior_draws"]

R = TypeVar("R")
Progress = Callable[[int, int], None]  # runs done, runs in all
Place = tuple[int, int]  # of a request, and of a parameter vector in it
One = tuple[Timeline, Parameters, Shocks | None]  # an expected run
MEET = 8  # worlds in which a batch runs at once: more would make few tasks for many cores


class Request(NamedTuple):
    """Expected runs that are wanted: a world, and the parameter vectors under which it is run.

    `members` are those of the job whose shocks go with them.
    """

    timeline: Timeline
    parameters: Sequence[Parameters]
    members: Sequence[int] = ()  # as many as parameter vectors; none: runs without shocks


def posterior_draws(job: Job) -> list[Parameters]:
    """The parameters of the job's members; only one where all are the same."""
    return [job.member_parameters(m) for m in range(job.settings.members if job.fit is not None else 1)]


def answers_to(
    job: Job,
    asked: Sequence[Request],
    of: Callable[[Counts], Floats],
    progress: Progress | None = None,
    until: int | None = None,
) -> list[Floats]:
    """`of` the counts of every run, for each of `asked` an array whose first axis is its parameter vectors.

    Where `of` looks at no year after `until`, none is run.
    """
    found = dict[Place, Floats]()
    for places, answers in _each(job, asked, lambda counts: np.asarray(of(counts), np.float64)[0], progress, until):
        found |= dict(zip(places, answers, strict=True))
    return [np.array([found[i, n] for n in range(len(a.parameters))]) for i, a in enumerate(asked)]


def expected_runs(
    job: Job, asked: Sequence[Request], progress: Progress | None = None
) -> Iterator[tuple[list[Place], list[Counts]]]:
    """The counts of every run, some at a time, each with the place of its request and of its parameter vector."""
    return _each(job, asked, lambda counts: counts, progress)


def _each(
    job: Job,
    asked: Sequence[Request],
    read: Callable[[Counts], R],
    progress: Progress | None,
    until: int | None = None,
) -> Iterator[tuple[list[Place], list[R]]]:
    """What is read off the counts of every run to the end of `until`, some at a time.

    Eight run side by side, on all cores; worlds are made from the job's people and history, and those with the same
    people under the same parameters live together what they have in common.
    """
    groups = _groups(asked)
    done, total = 0, sum(len(batch) for group in groups for batch in group)
    if progress is not None:
        progress(0, total)

    def run(group: list[list[Place]]) -> list[R]:
        return _run(job, [[_one(job, asked[i], n) for i, n in batch] for batch in group], read, until)

    with (
        ThreadPoolExecutor(joblib.cpu_count()) as pool,
        closing(cast(Generator[list[R]], pool.map(run, groups))) as made,
    ):
        for group, found in zip(groups, made, strict=True):  # left early, closing takes back what has not begun
            places = [place for batch in group for place in batch]
            yield places, found
            done += len(places)
            if progress is not None:
                progress(done, total)


def _groups(asked: Sequence[Request]) -> list[list[list[Place]]]:
    """What runs together: batches of up to WIDTH places, all of worlds with the same people.

    Where several worlds are asked for under the same WIDTH parameter vectors, these are a batch in each of the worlds;
    whatever is left over is one batch after the other, in lanes side by side.
    """
    meeting: dict[tuple[bytes, tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for i, one in enumerate(asked):
        alike = (one.timeline.inflow().tobytes(), tuple(map(id, one.parameters)), tuple(one.members))
        meeting.setdefault(alike, []).append(i)
    groups: list[list[list[Place]]] = []
    left_over: dict[bytes, list[Place]] = {}
    for (people, vectors, _), requests in meeting.items():
        whole = len(vectors) - len(vectors) % WIDTH if len(requests) > 1 else 0
        for first in range(0, whole, WIDTH):
            batches = [[(i, n) for n in range(first, first + WIDTH)] for i in requests]
            groups += [batches[at : at + MEET] for at in range(0, len(batches), MEET)]
        left_over.setdefault(people, []).extend((i, n) for i in requests for n in range(whole, len(vectors)))
    return groups + [
        [[places[n] for n in some]] for places in left_over.values() for some in grouped(range(len(places)))
    ]


def _one(job: Job, asked: Request, number: int) -> One:
    shocks = job.member_shocks(asked.members[number]) if asked.members else None
    return asked.timeline, asked.parameters[number], shocks


def _run(job: Job, batches: Sequence[Sequence[One]], read: Callable[[Counts], R], until: int | None = None) -> list[R]:
    """What is read off runs of worlds with the same people, batch after batch."""
    worlds, years = [], None if until is None else until - FIRST_YEAR + 1
    for batch in batches:
        worlds_asked = {id(timeline): timeline for timeline, _, _ in batch}  # mostly one
        made_of = {which: job.recipe_of(timeline) for which, timeline in worlds_asked.items()}
        recipes = [made_of[id(timeline)] for timeline, _, _ in batch]
        own = [
            MemberInputs(
                parameters.behaviour(),
                job.agent_size(parameters),
                0,
                _first(years, shocks),
                _first(years, recipe.environment),
            )
            for (_, parameters, shocks), recipe in zip(batch, recipes, strict=True)
        ]
        worlds.append(Company(recipes[0].population, _first(years, recipes[0].environment), own))
    made = simulated_worlds(worlds, sampled=False)
    return [
        read(counts_of(tally, one.agent_size, world.population))
        for world, runs in zip(worlds, made, strict=True)
        for (tally, _), one in zip(runs, world.members, strict=True)
    ]


Yearly = TypeVar("Yearly", Environment, Shocks, Shocks | None)


def _first(years: int | None, tables: Yearly) -> Yearly:
    """The first years of yearly tables."""
    return tables if tables is None or years is None else type(tables)(*(table[:years] for table in tables))
