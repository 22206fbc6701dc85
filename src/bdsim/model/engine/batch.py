"""Members of an ensemble through the compiled engine, WIDTH at a time; lanes that are left over repeat the last.

How members are grouped changes how fast they run and nothing else: each has the bits of a run of its own. Even one
member runs in lanes: that costs it about as much again, and saves everybody a second compilation of the engine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdsim.model.categories import FIELDS, Floats
from bdsim.model.engine import compiling, state
from bdsim.model.engine.before import settle_before
from bdsim.model.engine.lanes import WIDTH
from bdsim.model.engine.state import Tally
from bdsim.model.engine.year import simulate_years
from bdsim.model.fates import Fates
from bdsim.model.people import Population
from bdsim.model.world import Behaviour, Environment, Shocks, no_shocks

__all__ = ["MemberInputs", "grouped", "is_compiled", "simulated", "simulated_alone"]


class MemberInputs(NamedTuple):
    """What a member has of its own; people are shared, and yearly tables where it has none of its own."""

    behaviour: Behaviour
    agent_size: Floats  # (groups,) researchers an agent stands for
    seed: int  # draws.member_seed; no matter in an expected run
    shocks: Shocks | None = None  # none: zeros
    environment: Environment | None = None  # none: that of all members
    entrants: NDArray[np.int64] | None = None  # (cohorts, groups, fields) agents entering; none: as for all members


def grouped(members: Iterable[int]) -> Iterator[list[int]]:
    """Members in groups that run together."""
    waiting: list[int] = []
    for member in members:
        waiting.append(member)
        if len(waiting) == WIDTH:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def is_compiled(*, sampled: bool = True) -> bool:
    """Whether this user has the machine code that a run needs."""
    return _trace(WIDTH, sampled).exists()


def _trace(members: int, sampled: bool) -> Path:
    """A file beside the machine code that says which of its variants are there."""
    return compiling.cache_folder() / f"{members}-{'sampled' if sampled else 'expected'}"


def simulated(
    population: Population, environment: Environment, members: Sequence[MemberInputs], *, sampled: bool = True
) -> list[tuple[Tally, Fates]]:
    """Tally and fates, shape (rows,), of each member, in order."""
    if any(member.entrants is not None for member in members):  # who enters is one for all that run side by side
        alone = [(_people_of(population, member), member) for member in members]
        return [pair for people, member in alone for pair in _together(people, environment, [member], sampled)]
    groups = [members[first : first + WIDTH] for first in range(0, len(members), WIDTH)]
    return [pair for group in groups for pair in _together(population, environment, group, sampled)]


def simulated_alone(
    population: Population, environment: Environment, member: MemberInputs, *, sampled: bool = True
) -> tuple[Tally, Fates]:
    """One member without lanes: the same bits, for comparison; its machine code is compiled apart."""
    return _run(_people_of(population, member), environment, [member], sampled)


def _people_of(population: Population, member: MemberInputs) -> Population:
    return population if member.entrants is None else population.with_entrants(member.entrants)


def _together(
    population: Population, environment: Environment, members: Sequence[MemberInputs], sampled: bool
) -> list[tuple[Tally, Fates]]:
    """At most WIDTH members; empty lanes repeat the last."""
    full = [*members, *[members[-1]] * (WIDTH - len(members))]
    tally, fates = _run(population, environment, full, sampled)
    return [(tally.of_member(lane), np.ascontiguousarray(fates[:, lane])) for lane in range(len(members))]


def _run(
    population: Population, environment: Environment, members: Sequence[MemberInputs], sampled: bool
) -> tuple[Tally, Fates]:
    rows, years, n = len(population), len(environment.offers), len(members)
    people, block, start = population.people, state.new_block(n), state.new_state(rows, n, sampled=sampled)
    tally, keys = state.new_tally(years, len(FIELDS), n), state.keys_of([m.seed for m in members], years)
    world = state.environment_of([m.environment or environment for m in members])
    shocks = state.shocks_of([m.shocks or no_shocks(years) for m in members])
    behaviour = state.behaviour_of([m.behaviour for m in members])
    sizes = state.agent_sizes([m.agent_size for m in members])
    settle_before(people, world, behaviour, keys, start, block, tally)
    simulate_years(people, world, shocks, behaviour, sizes, keys, start, block, tally)
    trace = _trace(n, sampled)
    if trace.parent.exists() and not trace.exists():
        with contextlib.suppress(OSError):  # without a writable cache the "compiling" line is repeated
            trace.touch()
    return tally, start.fate
