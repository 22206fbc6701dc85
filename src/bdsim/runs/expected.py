"""Many expected runs at once: worlds times parameter vectors, without chance, so that small differences show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import joblib
import numpy as np

from bdsim.model.categories import Floats
from bdsim.model.counts import Counts, counts_of
from bdsim.model.engine.batch import MemberInputs, grouped, simulated
from bdsim.model.world import Shocks, Timeline
from bdsim.runs.plan import Job
from bdsim.study.parameters import Parameters

__all__ = ["Asked", "Progress", "answers_to", "posterior_draws"]

Progress = Callable[[int, int], None]  # runs done, runs in all


class Asked(NamedTuple):
    """A world, the parameter vectors under which it is run, and the members of the job whose shocks go with them."""

    timeline: Timeline
    parameters: Sequence[Parameters]
    members: Sequence[int] = ()  # as many as parameter vectors; none: runs without shocks


def posterior_draws(job: Job) -> list[Parameters]:
    """The parameters of the job's members; only one where all are the same."""
    return [job.member_parameters(m) for m in range(job.settings.members if job.fit is not None else 1)]


def answers_to(
    job: Job, asked: Sequence[Asked], of: Callable[[Counts], Floats], progress: Progress | None = None
) -> list[Floats]:
    """`of` the counts of every run, for each of `asked` an array whose first axis is its parameter vectors.

    Runs are expected ones, eight side by side on all cores; worlds are made from the job's people and history.
    """
    groups = [(i, group) for i, a in enumerate(asked) for group in grouped(range(len(a.parameters)))]
    total, done = sum(len(a.parameters) for a in asked), 0
    found: list[list[Floats]] = [[] for _ in asked]
    if progress is not None:
        progress(0, total)
    parallel = joblib.Parallel(n_jobs=joblib.cpu_count(), prefer="threads", return_as="generator", batch_size=1)
    work = (
        joblib.delayed(_run)(
            job,
            asked[i].timeline,
            [asked[i].parameters[n] for n in group],
            [job.member_shocks(asked[i].members[n]) if asked[i].members else None for n in group],
        )
        for i, group in groups
    )
    for (i, group), counts in zip(groups, parallel(work), strict=True):
        found[i].append(np.asarray(of(counts), np.float64))
        done += len(group)
        if progress is not None:
            progress(done, total)
    return [np.concatenate(parts) for parts in found]


def _run(job: Job, timeline: Timeline, parameters: Sequence[Parameters], shocks: Sequence[Shocks | None]) -> Counts:
    recipe = job.recipe(replace(job.plans[0], timeline=timeline))
    population = recipe.population
    own = [MemberInputs(p.behaviour(), job.agent_size(p), 0, s) for p, s in zip(parameters, shocks, strict=True)]
    runs = simulated(population, recipe.environment, own, sampled=False)
    return Counts.stacked([counts_of(tally, o.agent_size, population) for (tally, _), o in zip(runs, own, strict=True)])
