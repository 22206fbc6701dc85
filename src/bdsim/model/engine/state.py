"""What the engine works on: random keys, state, work space, tallies, for one member or for many side by side.

Run together, members have one axis more, the last, in every array that holds numbers of their own (lanes.py). How
many there are says how precise these are: up to WIDTH in double precision, SINGLE_WIDTH in single, in half the room.
Bytes per researcher and member: 28 in a sampled run (fear of this 1 January and the next, ties, and four bytes of
status and fate), 58 in an expected one, where probabilities take the place of 0 and 1.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bdsim.model import draws
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, GROUPS, ORIGIN_OF_GROUP, STAGES, Floats
from bdsim.model.draws import Purpose
from bdsim.model.fates import Fates
from bdsim.model.machine_code import SINGLE_WIDTH, WIDTH
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
PAGE, APART = 4096, 640  # bytes: what the nearest cache tells places apart by, and ten lines
SUMS = 6  # here; expected for China and elsewhere; their variances; expected with a programme
Shape = tuple[int, ...]
T = TypeVar("T", bound=tuple[NDArray[Any], ...])


class Keys(NamedTuple):
    """Starts of the members' random sequences, by purpose (and year)."""

    survived: NDArray[np.uint64]  # (1,) or (1, members)
    offered: NDArray[np.uint64]  # (years,) or (years, members)
    clock_china: NDArray[np.uint64]  # same
    clock_elsewhere: NDArray[np.uint64]  # same
    clock_programme: NDArray[np.uint64]  # same


class State(NamedTuple):
    """What changes in a run; `next_` columns are of next 1 January. The last row is nobody: the colleague one lacks.

    Shapes are (rows + 1,) or (rows + 1, members), of `ties` and `fate` (rows,) or (rows, members).
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
        return len(self.ties), 1 if self.ties.ndim == 1 else self.ties.shape[1], self.sampled

    @property
    def sampled(self) -> bool:
        """Whether everybody is here or not, rather than with a probability."""
        return self.status.dtype.itemsize == 1

    @property
    def here(self) -> NDArray[Any]:
        """Probability of being here, by row."""
        return self.status & 15 if self.sampled else self.status[::2]

    @property
    def moved(self) -> NDArray[Any]:
        """Probability of having moved to China last year, by row."""
        return self.status >> 4 if self.sampled else self.status[1::2]


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
    to_china: Floats  # probability, with a programme or without; of this block only where offers are made
    to_elsewhere: Floats  # probability; likewise
    to_programme: Floats  # probability


class Tally(NamedTuple):
    """What is counted, in agents; the first axis of all but `left_before` is the year from FIRST_YEAR.

    Members side by side add a last axis.
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
        every = [np.ascontiguousarray(np.moveaxis(table, -1, 0), np.float64) for table in self]
        return [Tally(*tables) for tables in zip(*every, strict=True)]


def _zeros(shape: Shape, kind: Any = np.float64) -> NDArray[Any]:
    """Zeros that start on a cache line, so that no register of lanes straddles two."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    room = np.zeros(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    made: NDArray[Any] = room[start : start + size].view(kind).reshape(shape)
    return made


class _Kinds(NamedTuple):
    """Of what the arrays of members side by side are; by them compiled code tells the precisions apart."""

    real: Any
    word: Any  # random keys
    count: Any  # who is here, and who has moved
    lanes: Any  # a bit a member


_DOUBLE, _SINGLE = _Kinds(np.float64, np.uint64, np.uint8, np.uint8), _Kinds(np.float32, np.uint32, np.int8, np.uint16)


def _kinds(members: int) -> _Kinds:
    return _SINGLE if members == SINGLE_WIDTH else _DOUBLE


def _last_axis(members: int) -> Shape:
    if members not in (1, WIDTH, SINGLE_WIDTH):
        raise ValueError(f"{members} members cannot run side by side; 1, {WIDTH} or {SINGLE_WIDTH} can")
    return () if members == 1 else (members,)


def _side_by_side(tables: Sequence[Any]) -> Any:
    """One member's table as it is, or those of members side by side with a last axis; of keys the upper half, where
    that is all that fits."""
    made = np.ascontiguousarray(tables[0] if len(tables) == 1 else np.stack(tables, axis=-1))
    kinds = _kinds(len(tables))
    if made.dtype == np.uint64:
        return made if kinds.word == np.uint64 else (made >> np.uint64(32)).astype(kinds.word)
    return made.astype(kinds.real, copy=False)


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
    """One member's behaviour as it is, or those of members side by side."""
    if len(members) == 1:
        return members[0]
    real = _kinds(len(members)).real
    each: Any = [np.array(values, real) for values in zip(*(b.weights for b in members), strict=True)]
    weights = Weights(*each)
    tables = {f: _side_by_side([np.asarray(getattr(b, f)) for b in members]) for f in Behaviour._fields[:-1]}
    return Behaviour(**tables, weights=weights)


def environment_of(members: Sequence[Environment]) -> Environment:
    """One member's tables as they are, or those of members side by side."""
    return Environment(*(_side_by_side(tables) for tables in zip(*members, strict=True)))


def shocks_of(members: Sequence[Shocks]) -> Shocks:
    """One member's shocks as they are, or those of members side by side."""
    return Shocks(*(_side_by_side(tables) for tables in zip(*members, strict=True)))


def agent_sizes(members: Sequence[Floats]) -> Floats:
    """Researchers an agent stands for, (groups,) or (groups, members)."""
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
    return _fresh_state(rows, members, sampled)


def _fresh_state(rows: int, members: int, sampled: bool) -> State:
    """Zeros in one piece of memory, which the system hands out with less ado than six, and in larger pages.

    Columns do not begin at the same place of a page: where they do, the processor takes a row of one for that of
    another, and waits.
    """
    last, kinds = _last_axis(members), _kinds(members)
    status = kinds.count if sampled else kinds.real
    one_more = (rows + 1, *last)
    two = one_more if sampled else (2 * (rows + 1), *last)
    asked = [(two, status), (two, status), (one_more, kinds.real), (one_more, kinds.real), ((rows, *last), kinds.real),
             ((rows, *last), np.uint16)]  # fmt: skip
    pages = [-(-int(np.prod(shape)) * np.dtype(kind).itemsize // PAGE) for shape, kind in asked]
    starts = list(accumulate((PAGE * n + APART for n in pages), initial=0))
    room = _zeros((starts[-1],), np.uint8)
    columns = zip(asked, starts, strict=False)
    return State(*(np.ndarray(shape, kind, room.data, start) for (shape, kind), start in columns))


def copied_state(state: State) -> State:
    """The same numbers in memory of their own."""
    there = _spare.one(*state.shape) or _fresh_state(*state.shape)
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
    """The same numbers in memory of their own."""
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
    last, kinds = _last_axis(members), _kinds(members)
    n, size = BLOCK * (2 if members == 16 else 1) // members, np.dtype(kinds.real).itemsize
    single: list[Any] = [*(np.zeros(n, np.uint64) for _ in range(3)), np.zeros(n, kinds.lanes)]
    groups = len(GROUPS)
    tables = [*(_zeros((groups, *last), kinds.real) for _ in range(6)), _zeros((groups, SUMS, *last), kinds.real)]
    # One line more a column: columns a power of two apart would share the same few places of the nearest cache.
    each = len(Block._fields) - len(single) - len(tables)
    columns = _zeros((each, n + LINE // size // members, *last), kinds.real)
    return Block(*single, *tables, *columns[:, :n])


def new_tally(years: int, fields: int, members: int = 1) -> Tally:
    """Zeros for `years` years and `fields` fields."""
    last, real = _last_axis(members), _kinds(members).real
    cells = (years, len(GROUPS), fields, len(STAGES))
    origins, cohorts = int(ORIGIN_OF_GROUP[-1]) + 1, FIRST_YEAR - FIRST_ENTRY + years

    def zeros(*shape: int) -> NDArray[Any]:
        return _zeros((*shape, *last), real)

    return Tally(
        departures=zeros(*cells, 2),
        expected=zeros(*cells, 2),
        variance=zeros(*cells, 2),
        programme=zeros(*cells),
        programme_expected=zeros(*cells),
        by_age=zeros(years, len(GROUPS), CAREER, 2),
        stocks_by_age=zeros(years, len(GROUPS), CAREER),
        stocks=zeros(*cells),
        entrants=zeros(*cells[:3]),
        retired=zeros(*cells[:3]),
        left=zeros(years, origins, cohorts),
        left_before=zeros(origins, cohorts),
        breaches=zeros(years),
    )
