"""Many expected runs at once: worlds times parameter vectors, without chance, so that small differences show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import joblib
import numpy as np

from bdsim.model.categories import Floats
from bdsim.model.counts import Counts, counts_of
from bdsim.model.engine.batch import MemberInputs, grouped, simulated
from bdsim.model.world import Shocks, Timeline
from bdsim.runs.plan import Job
from bdsim.study.parameters import Parameters

__all__ = ["Progress", "Request", "answers_to", "expected_runs", "posterior_draws"]

Progress = Callable[[int, int], None]  # runs done, runs in all
Place = tuple[int, int]  # of a request, and of a parameter vector in it


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
    job: Job, asked: Sequence[Request], of: Callable[[Counts], Floats], progress: Progress | None = None
) -> list[Floats]:
    """`of` the counts of every run, for each of `asked` an array whose first axis is its parameter vectors."""
    found = dict[Place, Floats]()
    for places, counts in expected_runs(job, asked, progress):
        found |= dict(zip(places, np.asarray(of(Counts.stacked(counts)), np.float64), strict=True))
    return [np.array([found[i, n] for n in range(len(a.parameters))]) for i, a in enumerate(asked)]


def expected_runs(
    job: Job, asked: Sequence[Request], progress: Progress | None = None
) -> Iterator[tuple[list[Place], list[Counts]]]:
    """The counts of every run, some at a time, each with the place of its request and of its parameter vector.

    Eight run side by side, on all cores, of whatever worlds have the same people; worlds are made from the job's people
    and history.
    """
    people: dict[bytes, list[Place]] = {}
    for i, one in enumerate(asked):
        places = people.setdefault(one.timeline.inflow().tobytes(), [])
        places += [(i, n) for n in range(len(one.parameters))]
    groups = [[alike[g] for g in group] for alike in people.values() for group in grouped(range(len(alike)))]
    done, total = 0, sum(map(len, groups))
    if progress is not None:
        progress(0, total)
    parallel = joblib.Parallel(n_jobs=joblib.cpu_count(), prefer="threads", return_as="generator", batch_size=1)
    work = (joblib.delayed(_run)(job, [_one(job, asked[i], n) for i, n in group]) for group in groups)
    for group, counts in zip(groups, parallel(work), strict=True):
        yield group, counts
        done += len(group)
        if progress is not None:
            progress(done, total)


def _one(job: Job, asked: Request, number: int) -> tuple[Timeline, Parameters, Shocks | None]:
    shocks = job.member_shocks(asked.members[number]) if asked.members else None
    return asked.timeline, asked.parameters[number], shocks


def _run(job: Job, runs: Sequence[tuple[Timeline, Parameters, Shocks | None]]) -> list[Counts]:
    """Runs of worlds with the same people."""
    recipes = [job.recipe_of(timeline) for timeline, _, _ in runs]
    population = recipes[0].population
    own = [
        MemberInputs(parameters.behaviour(), job.agent_size(parameters), 0, shocks, recipe.environment)
        for (_, parameters, shocks), recipe in zip(runs, recipes, strict=True)
    ]
    made = simulated(population, recipes[0].environment, own, sampled=False)
    return [counts_of(tally, o.agent_size, population) for (tally, _), o in zip(made, own, strict=True)]
