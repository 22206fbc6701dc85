"""What the engine works on: random keys, state, work space, tallies, for one member or for WIDTH side by side.

Run together, members have one axis more, the last, in every array that holds numbers of their own (lanes.py).
Bytes per researcher and member: 28 in a sampled run (fear of this 1 January and the next, ties, and four bytes of
status and fate), 58 in an expected one, where probabilities take the place of 0 and 1.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bdsim.model import draws
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, GROUPS, ORIGIN_OF_GROUP, STAGES, Floats
from bdsim.model.draws import Purpose
from bdsim.model.fates import Fates
from bdsim.model.machine_code import WIDTH
from bdsim.model.rule import CAREER, CHINA, ELSEWHERE, PROGRAMME, STAY, Weights
from bdsim.model.world import Behaviour, Environment, Shocks

__all__ = [
    "Block",
    "Decisions",
    "Keys",
    "State",
    "Tally",
    "agent_sizes",
    "behaviour_of",
    "copied",
    "copied_state",
    "environment_of",
    "keep_no_spare",
    "keys_of",
    "new_block",
    "new_decisions",
    "new_state",
    "new_tally",
    "shocks_of",
    "spare",
    "turned",
]

BLOCK = 1536  # values in a column of work space: the columns of a block stay in the near caches
LINE = 64  # bytes of a cache line
SUMS = 6  # here; expected for China and elsewhere; their variances; expected with a programme
Shape = tuple[int, ...]
T = TypeVar("T", bound=tuple[NDArray[Any], ...])


class Keys(NamedTuple):
    """Starts of the members' random sequences, by purpose (and year)."""

    survived: NDArray[np.uint64]  # (1,) or (1, WIDTH)
    offered: NDArray[np.uint64]  # (years,) or (years, WIDTH)
    clock_china: NDArray[np.uint64]  # same
    clock_elsewhere: NDArray[np.uint64]  # same
    clock_programme: NDArray[np.uint64]  # same


class State(NamedTuple):
    """What changes in a run; `next_` columns are of next 1 January. The last row is nobody: the colleague one lacks.

    Shapes are (rows + 1,) or (rows + 1, WIDTH), of `ties` and `fate` (rows,) or (rows, WIDTH).
    """

    status: NDArray[Any]  # sampled: 1 for here, 16 for just moved to China; expected: both by turns, twice the length
    next_status: NDArray[Any]
    dread: Floats  # fear, times the probability of being here: what colleagues feel of one's fear
    next_dread: Floats
    ties: Floats  # ties to China
    fate: Fates  # sampled runs

    @property
    def shape(self) -> tuple[int, int, bool]:
        """Rows, members side by side, and whether sampled."""
        return len(self.ties), 1 if self.ties.ndim == 1 else self.ties.shape[1], self.status.dtype == np.uint8

    @property
    def here(self) -> NDArray[Any]:
        """Probability of being here, by row."""
        return self.status & 15 if self.status.dtype == np.uint8 else self.status[::2]

    @property
    def moved(self) -> NDArray[Any]:
        """Probability of having moved to China last year, by row."""
        return self.status >> 4 if self.status.dtype == np.uint8 else self.status[1::2]


class Decisions(NamedTuple):
    """What agents decided one by one, by row; `choice` is STAY, CHINA, ELSEWHERE or PROGRAMME."""

    fear: Floats  # (rows,)
    ties: Floats  # (rows,)
    to_china: Floats  # (rows,) probability, with a programme or without
    to_elsewhere: Floats  # (rows,) probability
    to_programme: Floats  # (rows,) probability of leaving with a programme
    choice: NDArray[np.int8]  # (rows,)


class Block(NamedTuple):
    """Work space for some researchers of one cohort who are here, so that each stage is a short loop over columns."""

    row: NDArray[np.uint64]  # one number a researcher, whatever the number of members: to `some`
    some: NDArray[np.uint64]  # places in the block
    identity: NDArray[np.uint64]
    ringing: NDArray[np.uint8]  # bits: in which lanes a clock may ring
    scrutiny: Floats  # (groups,); from here one value a member
    usual_china: Floats  # (groups,) log rates of one's origin, route and field
    usual_elsewhere: Floats  # (groups,)
    shared_china: Floats  # (groups,) log rates of a cohort, see rule.shared
    shared_elsewhere: Floats  # (groups,)
    lasting: Floats  # (groups,) years before FIRST_YEAR, each weighted by exp(-retention)
    sums: Floats  # (groups, SUMS)
    fear: Floats  # from here one value a researcher
    china: Floats  # rate per year, first its logarithm
    elsewhere: Floats  # rate per year, first its logarithm
    by_offer: Floats  # rate per year by way of an offer, first its logarithm
    to_china: Floats  # probability, with a programme or without
    to_elsewhere: Floats  # probability
    to_programme: Floats  # probability


class Tally(NamedTuple):
    """What is counted, in agents; the first axis of all but `left_before` is the year from FIRST_YEAR.

    Members side by side add a last axis of length WIDTH.
    """

    departures: Floats  # (years, groups, fields, stages, destinations)
    expected: Floats  # same: sum of probabilities given 1 January
    variance: Floats  # same: sum of p (1 - p)
    programme: Floats  # (years, groups, fields, stages): departures with a talent programme, all for China
    programme_expected: Floats  # same: sum of probabilities
    by_age: Floats  # (years, groups, CAREER, destinations): expected, by years since entry
    stocks_by_age: Floats  # (years, groups, CAREER): here on 1 January
    stocks: Floats  # (years, groups, fields, stages): here on 1 January
    entrants: Floats  # (years, groups, fields)
    retired: Floats  # (years, groups, fields)
    left: Floats  # (years, origins, cohorts): departures of the doctorate route by entry year
    left_before: Floats  # (origins, cohorts): the same before FIRST_YEAR
    breaches: Floats  # (years,): researchers whose fear or ties left [0, 1], or whose chances are no chances

    def by_member(self) -> list[Tally]:
        """Those of the members that ran side by side, one by one."""
        every = [np.ascontiguousarray(np.moveaxis(table, -1, 0)) for table in self]
        return [Tally(*tables) for tables in zip(*every, strict=True)]


def _zeros(shape: Shape, kind: Any = np.float64) -> NDArray[Any]:
    """Zeros that start on a cache line, so that no register of lanes straddles two."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    room = np.zeros(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    made: NDArray[Any] = room[start : start + size].view(kind).reshape(shape)
    return made


def _last_axis(members: int) -> Shape:
    if members not in (1, WIDTH):
        raise ValueError(f"{members} members cannot run side by side; 1 or {WIDTH} can")
    return () if members == 1 else (members,)


def _side_by_side(tables: Sequence[Any]) -> Any:
    """One member's table as it is, or those of WIDTH members with a last axis."""
    return np.ascontiguousarray(tables[0] if len(tables) == 1 else np.stack(tables, axis=-1))


def keys_of(seeds: Sequence[int], years: int) -> Keys:
    """The keys of the members with these seeds of their own (see draws.member_seed). Not to be written to."""
    return _keys_of(tuple(seeds), years)


@lru_cache(maxsize=64)  # the same in every world
def _keys_of(seeds: tuple[int, ...], years: int) -> Keys:
    calendar = range(FIRST_YEAR, FIRST_YEAR + years)

    def by_year(purpose: int, alternative: int = 0) -> NDArray[np.uint64]:
        return np.array(
            _side_by_side(
                [np.array([draws.key_of(s, y, purpose, alternative) for y in calendar], np.uint64) for s in seeds]
            )
        )

    return Keys(
        survived=_side_by_side([np.array([draws.key_of(s, FIRST_YEAR, Purpose.SURVIVED)], np.uint64) for s in seeds]),
        offered=by_year(Purpose.OFFERED),
        clock_china=by_year(Purpose.CLOCK, CHINA),
        clock_elsewhere=by_year(Purpose.CLOCK, ELSEWHERE),
        clock_programme=by_year(Purpose.CLOCK, PROGRAMME),
    )


def behaviour_of(members: Sequence[Behaviour]) -> Behaviour:
    """One member's behaviour as it is, or those of WIDTH members side by side."""
    if len(members) == 1:
        return members[0]
    each: Any = [np.array(values) for values in zip(*(b.weights for b in members), strict=True)]
    weights = Weights(*each)
    tables = {f: _side_by_side([np.asarray(getattr(b, f)) for b in members]) for f in Behaviour._fields[:-1]}
    return Behaviour(**tables, weights=weights)


def environment_of(members: Sequence[Environment]) -> Environment:
    """One member's tables as they are, or those of WIDTH members side by side."""
    return Environment(*(_side_by_side(tables) for tables in zip(*members, strict=True)))


def shocks_of(members: Sequence[Shocks]) -> Shocks:
    """One member's shocks as they are, or those of WIDTH members side by side."""
    return Shocks(*(_side_by_side(tables) for tables in zip(*members, strict=True)))


def agent_sizes(members: Sequence[Floats]) -> Floats:
    """Researchers an agent stands for, (groups,) or (groups, WIDTH)."""
    return np.asarray(_side_by_side(members))


class _Spare(threading.local):
    """States of one shape that this thread is done with. Fresh memory is dear: the system clears it page by page."""

    def __init__(self) -> None:
        self.shape: tuple[int, int, bool] = (0, 0, True)
        self.states: list[State] = []

    def one(self, rows: int, members: int, sampled: bool) -> State | None:
        if self.shape != (rows, members, sampled):
            self.shape, self.states = (rows, members, sampled), []
        return self.states.pop() if self.states else None


_spare = _Spare()


def new_state(rows: int, members: int = 1, *, sampled: bool = True) -> State:
    """An empty state for `rows` researchers."""
    if there := _spare.one(rows, members, sampled):
        for column in there:
            column.fill(0)
        return there
    last = _last_axis(members)
    kind = np.uint8 if sampled else np.float64
    one_more = (rows + 1, *last)
    two = one_more if sampled else (2 * (rows + 1), *last)
    return State(
        _zeros(two, kind), _zeros(two, kind), _zeros(one_more), _zeros(one_more), _zeros((rows, *last)),
        _zeros((rows, *last), np.uint16),
    )  # fmt: skip


def copied_state(state: State) -> State:
    """The same numbers in memory of their own."""
    there = _spare.one(*state.shape)
    if there is None:
        return copied(state)
    columns: Iterator[tuple[NDArray[Any], NDArray[Any]]] = zip(there, state, strict=True)
    for column, source in columns:
        column[...] = source
    return there


def spare(state: State) -> None:
    """Leave a state that nobody will read again to what this thread does next."""
    if _spare.shape == state.shape:
        _spare.states.append(state)


def keep_no_spare() -> None:
    """Give spare states back, unless this thread belongs to a pool: those end some time, and their memory with them."""
    if threading.current_thread() is threading.main_thread():
        _spare.states.clear()


def turned(state: State) -> State:
    """The state when next 1 January has come."""
    status, next_status, dread, next_dread, ties, fate = state
    return State(next_status, status, next_dread, dread, ties, fate)


def copied(tables: T) -> T:
    """The same numbers in memory of their own: of a state, or of a tally."""
    made = []
    for table in tables:
        made.append(_zeros(table.shape, table.dtype))
        made[-1][...] = table
    return type(tables)(*made)


def new_decisions(rows: int) -> Decisions:
    """Everyone stays."""
    fear, ties, *chances = np.zeros((5, rows))
    return Decisions(fear, ties, chances[0], chances[1], chances[2], np.full(rows, STAY, np.int8))


def new_block(members: int = 1) -> Block:
    """Work space for one thread."""
    last, n = _last_axis(members), BLOCK // members
    single: list[Any] = [np.zeros(n, np.uint64), np.zeros(n, np.uint64), np.zeros(n, np.uint64), np.zeros(n, np.uint8)]
    groups = len(GROUPS)
    tables = [*(_zeros((groups, *last)) for _ in range(6)), _zeros((groups, SUMS, *last))]
    # One line more a column: columns a power of two apart would share the same few places of the nearest cache.
    columns = _zeros((len(Block._fields) - len(single) - len(tables), n + LINE // 8 // members, *last))
    return Block(*single, *tables, *columns[:, :n])


def new_tally(years: int, fields: int, members: int = 1) -> Tally:
    """Zeros for `years` years and `fields` fields."""
    last = _last_axis(members)
    cells = (years, len(GROUPS), fields, len(STAGES))
    origins, cohorts = int(ORIGIN_OF_GROUP[-1]) + 1, FIRST_YEAR - FIRST_ENTRY + years
    return Tally(
        departures=_zeros((*cells, 2, *last)),
        expected=_zeros((*cells, 2, *last)),
        variance=_zeros((*cells, 2, *last)),
        programme=_zeros((*cells, *last)),
        programme_expected=_zeros((*cells, *last)),
        by_age=_zeros((years, len(GROUPS), CAREER, 2, *last)),
        stocks_by_age=_zeros((years, len(GROUPS), CAREER, *last)),
        stocks=_zeros((*cells, *last)),
        entrants=_zeros((*cells[:3], *last)),
        retired=_zeros((*cells[:3], *last)),
        left=_zeros((years, origins, cohorts, *last)),
        left_before=_zeros((origins, cohorts, *last)),
        breaches=_zeros((years, *last)),
    )
