"""Members of an ensemble through the compiled engine, many at a time; lanes that are left over repeat the last.

`width` members run side by side: WIDTH in double precision, or SINGLE_WIDTH in single, where the rule is the same but
luck and rounding are not. Otherwise, how members are grouped changes how fast they run and nothing else: each has the
bits of a run of its own. Even one member runs in lanes: that costs it about as much again, and saves everybody a second
compilation of the engine.

Scenarios mostly differ from some year on. What the same members lived before it is the same, to the bit, in all of
them: it is simulated once, and each world goes on from a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdsim.model.categories import FIELDS, FIRST_ENTRY, FIRST_YEAR, GROUPS, ORIGINS, Floats
from bdsim.model.engine import state
from bdsim.model.engine.before import settle_before
from bdsim.model.engine.full_scale import compile_draws
from bdsim.model.engine.state import Block, Keys, State, Tally, turned
from bdsim.model.engine.year import first_fear, live_year
from bdsim.model.fates import Fates
from bdsim.model.machine_code import WIDTH, await_ahead, is_ahead, note_compiled
from bdsim.model.people import People, Population, build_population
from bdsim.model.rule import Weights
from bdsim.model.world import Behaviour, Environment, Shocks, no_shocks

__all__ = [
    "Company", "MemberInputs", "compile_year", "grouped", "simulated", "simulated_alone",
    "simulated_worlds",
]  # fmt: skip

NEVER = 10_000  # the number of no year


class MemberInputs(NamedTuple):
    """What a member has of its own; people are shared, and yearly tables where it has none of its own."""

    behaviour: Behaviour
    agent_size: Floats  # (groups,) researchers an agent stands for
    seed: int  # draws.member_seed; no matter in an expected run
    shocks: Shocks | None = None  # none: zeros
    environment: Environment | None = None  # none: that of all members
    entrants: NDArray[np.int64] | None = None  # (cohorts, groups, fields) agents entering; none: as for all members

    def people_of(self, everyone: Population) -> Population:
        """Those whom the member has of the people of its world."""
        return everyone if self.entrants is None else everyone.with_entrants(self.entrants)


class Company(NamedTuple):
    """Members, and the world in which they live."""

    population: Population
    environment: Environment
    members: Sequence[MemberInputs]


def grouped(members: Iterable[int], width: int = WIDTH) -> Iterator[list[int]]:
    """Members in groups that run together."""
    waiting: list[int] = []
    for member in members:
        waiting.append(member)
        if len(waiting) == width:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def compile_year(sampled: bool, width: int = WIDTH) -> None:
    """Compile `live_year` for members side by side, on a world of one year and nobody."""
    inflow = np.zeros((FIRST_YEAR - FIRST_ENTRY + 1, len(ORIGINS)))
    nobody = build_population(inflow, inflow, np.full(len(FIELDS), 1.0 / len(FIELDS)), 0.0, 1, 0)
    year, fields, origins = np.zeros(1), np.zeros((1, len(FIELDS))), np.zeros((1, len(ORIGINS)))
    log_rates = np.zeros(len(ORIGINS))
    behaviour = Behaviour(
        log_rates, log_rates, fields[0], np.zeros(2), 0.0, 0.0, Weights(*[0.0] * len(Weights._fields))
    )
    member = MemberInputs(behaviour, np.ones(len(GROUPS)), 0)
    inputs = _Inputs.of(Company(nobody, Environment(origins, year, year, fields, year, year), [member] * width))
    _live({0: inputs}, 0, state.new_state(len(nobody), width, sampled=sampled), state.new_block(width),
          state.new_tally(1, len(FIELDS), width))  # fmt: skip


def simulated(
    population: Population, environment: Environment, members: Sequence[MemberInputs], *, sampled: bool = True,
    width: int = WIDTH,
) -> list[tuple[Tally, Fates]]:  # fmt: skip
    """Tally and fates, shape (rows,), of each member, in order."""
    (made,) = simulated_worlds([Company(population, environment, members)], sampled=sampled, width=width)
    return made


def simulated_worlds(
    worlds: Sequence[Company], *, sampled: bool = True, width: int = WIDTH
) -> list[list[tuple[Tally, Fates]]]:
    """The same of each of several worlds; those with the same members live the years that they have in common once.

    Each has, to the bit, what it would have by itself.
    """
    made: list[list[tuple[Tally, Fates]]] = [[] for _ in worlds]
    for met in zip_longest(
        *(_batches(world, width) for world in worlds)
    ):  # a world's batches meet those of the same members elsewhere
        there = {number: batch for number, batch in enumerate(met) if batch is not None}
        lived = _lived([_filled(batch, width) for batch in there.values()], sampled)
        for (number, batch), (tally, fates) in zip(there.items(), lived, strict=True):
            each = zip(tally.by_member(), np.ascontiguousarray(fates.T), strict=True)
            made[number] += islice(each, len(batch.members))  # lanes that repeat the last member are left out
    state.keep_no_spare()
    return made


def simulated_alone(
    population: Population, environment: Environment, member: MemberInputs, *, sampled: bool = True
) -> tuple[Tally, Fates]:
    """One member without lanes: the same bits, for comparison; its machine code is compiled apart."""
    (made,) = _lived([Company(member.people_of(population), environment, [member])], sampled)
    state.keep_no_spare()
    return made


def _batches(world: Company, width: int) -> list[Company]:
    """Members in batches of at most `width`; who enters is one for all of a batch."""
    population, environment, members = world
    if any(member.entrants is not None for member in members):
        return [Company(member.people_of(population), environment, [member]) for member in members]
    return [Company(population, environment, members[i : i + width]) for i in range(0, len(members), width)]


def _filled(batch: Company, width: int) -> Company:
    """A batch with all lanes in use: those that are left over repeat the last member."""
    return batch._replace(members=[*batch.members, *[batch.members[-1]] * (width - len(batch.members))])


class _Inputs(NamedTuple):
    """A batch as the engine reads it."""

    people: People
    world: Environment
    shocks: Shocks
    behaviour: Behaviour
    sizes: Floats
    keys: Keys

    @classmethod
    def of(cls, batch: Company) -> _Inputs:
        population, environment, members = batch
        years = len(environment.offers)
        return cls(
            population.people, state.environment_of([m.environment or environment for m in members]),
            state.shocks_of([m.shocks or no_shocks(years) for m in members]),
            state.behaviour_of([m.behaviour for m in members]), state.agent_sizes([m.agent_size for m in members]),
            state.keys_of([m.seed for m in members], years),
        )  # fmt: skip

    @property
    def years(self) -> int:
        return len(self.world.offers)


def _lived(batches: Sequence[Company], sampled: bool) -> list[tuple[Tally, Fates]]:
    """Tally and fates of each batch, with a last axis of members, or of none for one member without lanes."""
    made: dict[int, tuple[Tally, Fates]] = {}
    waiting = {number: _Inputs.of(batch) for number, batch in enumerate(batches)}
    lanes = len(batches[0].members)
    while waiting:
        first = next(iter(waiting.values()))
        together = {n: inputs for n, inputs in waiting.items() if inputs is first or _parting(first, inputs) > 0}
        rows, fields = len(first.people.identity), first.people.starts.shape[0]
        block, start = state.new_block(lanes), state.new_state(rows, lanes, sampled=sampled)
        tally = state.new_tally(first.years, fields, lanes)
        settle_before(first.people, first.world, first.behaviour, first.keys, start, block, tally)
        if is_ahead(lanes, sampled=sampled):
            compile_draws()  # meanwhile
            await_ahead(lanes, sampled=sampled)
        made |= _live(together, 0, start, block, tally)
        waiting = {n: inputs for n, inputs in waiting.items() if n not in together}
    note_compiled(lanes, sampled=sampled)
    return [made[number] for number in range(len(batches))]


def _live(
    together: Mapping[int, _Inputs], first: int, now: State, block: Block, tally: Tally
) -> dict[int, tuple[Tally, Fates]]:
    """All batches from year number `first`, in which they are alike but for what that year brings.

    One leads; in the year in which others part from it they go on by themselves, from a copy of what there is.
    """
    made: dict[int, tuple[Tally, Fates]] = {}
    lead = next(iter(together.values()))
    parting = {number: _parting(lead, inputs) for number, inputs in together.items()}
    afraid = first_fear(lead.world.scrutiny)
    for year in range(first, lead.years):
        if leaving := {n: together[n] for n, when in parting.items() if when == year}:
            made |= _live(leaving, year, state.copied_state(now), block, state.copied(tally))
        live_year(
            year, lead.people, lead.world, lead.shocks, lead.behaviour, lead.sizes, lead.keys, year < afraid, now,
            block, tally,
        )  # fmt: skip
        now = turned(now)
    fates = now.fate.copy()
    state.spare(now)
    return made | {number: (tally, fates) for number, when in parting.items() if when == lead.years}


def _parting(one: _Inputs, other: _Inputs) -> int:
    """The number of the first year in which two batches see, or are, anything else; their years, if in none.

    0 where nothing is shared: other people, other behaviour, other luck.
    """
    if one is other:
        return one.years
    if not (_alike(one.behaviour, other.behaviour) and _alike(one.keys, other.keys)):
        return 0
    if one.years != other.years or not np.array_equal(one.sizes, other.sizes):
        return 0
    yearly = zip((*one.world, *one.shocks), (*other.world, *other.shocks), strict=True)
    return min(_entering_alike(one.people, other.people), one.years, *(_first_unlike(a, b) for a, b in yearly))


def _entering_alike(one: People, other: People) -> int:
    """The number of the first year in which somebody enters in one and not in the other; 0 for other rows."""
    if one is other:
        return NEVER
    if not all(np.array_equal(getattr(one, f), getattr(other, f)) for f in People._fields if f != "enters"):
        return 0
    years = one.entry[one.enters != other.enters]
    return max(int(years.min()) - FIRST_YEAR, 0) if len(years) else NEVER


def _first_unlike(one: NDArray[Any], other: NDArray[Any]) -> int:
    """The number of the first row of two tables that differs."""
    unlike = np.flatnonzero((one != other).reshape(len(one), -1).any(axis=1))
    return int(unlike[0]) if len(unlike) else NEVER


def _alike(one: Any, other: Any) -> bool:
    """Whether two tuples of tables hold the same values."""
    if isinstance(one, tuple):
        return all(_alike(a, b) for a, b in zip(one, other, strict=True))
    return np.array_equal(one, other)
