"""Members of an ensemble through the compiled engine, WIDTH at a time where there are enough of them.

How members are grouped changes how fast they run and nothing else: each has the bits of a run of its own.
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
from bdsim.model.engine import year as engine
from bdsim.model.engine.lanes import WIDTH
from bdsim.model.engine.state import Tally
from bdsim.model.people import Population
from bdsim.model.world import Behaviour, Environment

__all__ = ["Own", "grouped", "is_compiled", "simulated"]

WORTH_LANES = 3  # so few members and more cost less side by side than one after the other


class Own(NamedTuple):
    """What a member has of its own; people and yearly tables are shared."""

    behaviour: Behaviour
    weights: Floats  # (groups,) researchers an agent stands for
    seed: int  # draws.member_seed; no matter in an expected run


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


def is_compiled(members: int, *, sampled: bool = True) -> bool:
    """Whether this user has the machine code that a run of so many members needs."""
    return all(_trace(n, sampled).exists() for n in _sizes(members))


def _sizes(members: int) -> set[int]:
    """How many run side by side: 1, WIDTH or, where some are left over, both."""
    rest = members % WIDTH
    return ({WIDTH} if members >= WORTH_LANES else set()) | ({1} if 0 < rest < WORTH_LANES else set())


def _trace(members: int, sampled: bool) -> Path:
    """A file beside the machine code that says which of its variants are there."""
    return compiling.cache_folder() / f"{members}-{'sampled' if sampled else 'expected'}"


def simulated(
    population: Population, environment: Environment, own: Sequence[Own], *, sampled: bool = True
) -> list[tuple[Tally, NDArray[np.uint8]]]:
    """Tally and fates, shape (rows,), of each member, in order."""
    if len(own) < WORTH_LANES:
        return [_run(population, environment, [one], sampled) for one in own]
    groups = [own[first : first + WIDTH] for first in range(0, len(own), WIDTH)]
    return [pair for group in groups for pair in _together(population, environment, group, sampled)]


def _together(
    population: Population, environment: Environment, own: Sequence[Own], sampled: bool
) -> list[tuple[Tally, NDArray[np.uint8]]]:
    """At most WIDTH members; empty lanes repeat the last."""
    full = [*own, *[own[-1]] * (WIDTH - len(own))]
    tally, fates = _run(population, environment, full, sampled)
    return [(tally.of_member(lane), np.ascontiguousarray(fates[:, lane])) for lane in range(len(own))]


def _run(
    population: Population, environment: Environment, own: Sequence[Own], sampled: bool
) -> tuple[Tally, NDArray[np.uint8]]:
    rows, years, n = len(population), len(environment.offers), len(own)
    start, tally = state.new_state(rows, n, sampled=sampled), state.new_tally(years, len(FIELDS), n)
    engine.simulate(
        population.people,
        environment,
        state.behaviour_of([o.behaviour for o in own]),
        state.weights_of_agents([o.weights for o in own]),
        state.keys_of([o.seed for o in own], years),
        sampled,
        start,
        state.new_block(n),
        tally,
    )
    trace = _trace(n, sampled)
    if trace.parent.exists() and not trace.exists():
        with contextlib.suppress(OSError):  # a cache that cannot be written only costs a word too many
            trace.touch()
    return tally, start.fate
