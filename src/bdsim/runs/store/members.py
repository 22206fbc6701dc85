"""Who ran: one row a member, one a member that failed, one a researcher; known from the plan and from who failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim.files.digest import digest_of
from bdsim.model import draws
from bdsim.model.categories import FIELDS, FIRST_YEAR, GROUPS, Floats
from bdsim.model.engine.batch import grouped
from bdsim.runs.identity import own_digest
from bdsim.runs.plan import Job, Recipe, content
from bdsim.runs.results import ASSUMPTION, PARAMETER, SHOCK
from bdsim.runs.store.counted import FAILURES
from bdsim.runs.store.parts import Failure, Key
from bdsim.study.scenario import Plan

__all__ = ["Crowd", "distinct", "failures_table", "members_table", "order_of", "parts_of", "people_table", "worlds_of"]

MOST_ORDERS = 8
_ORDERS: dict[tuple[Any, ...], NDArray[np.uint32]] = {}  # by what the people are made of


def distinct(job: Job) -> list[list[Plan]]:
    """Branches that come to the same yearly tables, together: they are simulated once.

    Where members draw tables of their own, each branch is by itself.
    """
    if job.assumptions:
        return [[plan] for plan in job.plans]
    found: dict[str, list[Plan]] = {}
    for plan in job.plans:
        found.setdefault(content(plan.timeline), []).append(plan)
    return list(found.values())


def worlds_of(job: Job) -> dict[str, int]:
    """The number of each branch's world among the distinct ones."""
    return {plan.branch.name: world for world, plans in enumerate(distinct(job)) for plan in plans}


def parts_of(job: Job) -> list[Key]:
    """The parts of a run in the order of its members: branch by branch."""
    world_of, groups = worlds_of(job), list(grouped(range(job.settings.members), job.settings.side_by_side))
    return [Key(world_of[plan.branch.name], group[0]) for plan in job.plans for group in groups]


class Crowd(NamedTuple):
    """Everyone of all worlds of a run, by identity."""

    recipes: list[Recipe]  # of each distinct world
    identities: NDArray[np.uint64]
    rows: list[NDArray[np.uint32]]  # of each world: its people's rows among the identities, ascending
    people: list[str]  # of each world: a digest of who they are

    @classmethod
    def of(cls, job: Job) -> Crowd:
        """The people of a job; known before anybody runs."""
        recipes = [job.recipe(plans[0]) for plans in distinct(job)]
        each = [recipe.population.people.identity for recipe in recipes]
        merged = np.sort(np.concatenate(each))
        identities = merged[np.diff(merged, prepend=~merged[:1]) != 0]  # as np.unique, in a tenth of its time
        rows = [np.searchsorted(identities, np.sort(one)).astype(np.uint32) for one in each]
        return cls(recipes, identities, rows, [digest_of(one) for one in each])


def order_of(recipe: Recipe) -> NDArray[np.uint32]:
    """What sorts the people of a world by identity, (people,): known to every worker that has the people."""
    made_of = tuple(getattr(recipe, f.name) for f in fields(recipe) if f.name != "environment")
    order = _ORDERS.get(made_of)
    if order is None:
        if len(_ORDERS) >= MOST_ORDERS:
            _ORDERS.clear()
        order = _ORDERS[made_of] = np.argsort(recipe.population.people.identity).astype(np.uint32)
    return order


def members_table(job: Job, lost: Sequence[set[int]]) -> pd.DataFrame:
    """One row per member that succeeded, branch by branch; `lost` are the draws of each branch that failed."""
    every = range(job.settings.members)
    own = [job.member_parameters(draw) for draw in every]
    weights = np.array([job.own(draw).agent_size for draw in every])
    owns = np.array([own_digest(job.own(draw)) for draw in every])
    seeds = np.array([_seed_text(job, draw) for draw in every])
    draws_of = [np.array([draw for draw in every if draw not in gone], np.int64) for gone in lost]
    draw = np.concatenate(draws_of)
    sizes = [len(d) for d in draws_of]
    routes = [route for _, route in GROUPS]
    stands = {f"agent_{route}": weights[draw, routes.index(route)] for route in ("doctorate", "settled")}
    drawn = {name: np.array([parameters[name] for parameters in own]) for name in job.parameters}
    varied = {f"{PARAMETER}{name}": values[draw] for name, values in drawn.items() if np.ptp(values) > 0.0}
    for assumption in job.assumptions:
        numbers = [assumption.number(draws.member_seed(job.settings.seed, m)) for m in every]
        varied[f"{ASSUMPTION}{assumption.name}"] = np.array(numbers)[draw]
    moved = [job.own(d).shocks for d in every]
    by_series = {
        **{name: [s.china[:, i] for s in moved if s is not None] for i, name in enumerate(FIELDS)},
        "elsewhere": [s.elsewhere for s in moved if s is not None],
    }
    shocks = {
        f"{SHOCK}{series}.{FIRST_YEAR + year}": values[draw]
        for series, of_draws in by_series.items()
        for year, values in enumerate(np.array(of_draws).T)
    }
    return pd.DataFrame(
        {
            "member": np.arange(len(draw)),
            "branch": np.repeat([plan.branch.name for plan in job.plans], sizes),
            "draw": draw,
            "weight": np.concatenate(_weights(job, draws_of)),
            "seed": seeds[draw],
            "own": owns[draw],
            **stands,
            **varied,
            **shocks,
        }
    )


def _weights(job: Job, draws_of: Sequence[NDArray[np.int64]]) -> list[Floats]:
    """What each member weighs, branch by branch: the chance of its branch, shared out among its draws.

    Where a chance has a range, a member has its own; a branch as a whole weighs the mean over all members.
    """
    if not job.assumptions:
        return [np.repeat(p.branch.chance / len(d), len(d)) for p, d in zip(job.plans, draws_of, strict=True)]
    chances = [[plan.branch.chance for plan in job.plans_of(draw)] for draw in range(job.settings.members)]
    every = np.array(chances)
    found = []
    for branch, there in enumerate(draws_of):
        own = every[there, branch]
        found.append(own / own.sum() * every[:, branch].mean() if own.sum() > 0.0 else own)
    return found


def failures_table(job: Job, failed: Sequence[Sequence[Failure]]) -> pd.DataFrame:
    """One row per branch and draw that failed, with everything needed to run it again."""
    rows = [
        {
            "branch": plan.branch.name, "draw": failure.draw, "seed": _seed_text(job, failure.draw),
            "parameters": json.dumps(job.member_parameters(failure.draw).values), "error": failure.error,
            "traceback": failure.traceback,
        }
        for plan, failures in zip(job.plans, failed, strict=True)
        for failure in failures
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(FAILURES))


def _seed_text(job: Job, draw: int) -> str:
    return f"{draws.member_seed(job.settings.seed, draw):016x}"


def people_table(crowd: Crowd) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for recipe, rows in zip(crowd.recipes, crowd.rows, strict=True):
        population, identities = recipe.population, crowd.identities
        p = population.people
        own: dict[str, NDArray[Any]] = {"group": p.group, "field": p.field, "entry_year": p.entry.astype(np.int32)}
        for name, column in {**own, "prominence": population.prominence, "ties": p.ties}.items():
            columns.setdefault(name, np.zeros(len(identities), column.dtype))[rows] = column[order_of(recipe)]
    group = columns.pop("group")
    labels = {name: pd.Categorical([g[i] for g in GROUPS])[group] for i, name in enumerate(("origin", "route"))}
    field = pd.Categorical.from_codes(columns.pop("field"), categories=FIELDS)
    return pd.DataFrame({"identity": crowd.identities, **labels, "field": field, **columns})
