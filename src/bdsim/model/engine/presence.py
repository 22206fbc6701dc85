"""Who is here and who has just moved to China, of all and of one's colleagues: a byte a researcher and member, or two
probabilities.

Of eight colleagues both are added up at once: 1 stands for being here, MOVED for having moved to China last year.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from bdsim.model.categories import Floats
from bdsim.model.engine.compiling import compiled
from bdsim.model.engine.inlining import inlined, inlined_for
from bdsim.model.engine.state import State
from bdsim.model.engine.values import COUNTS, get, one, put, real, some
from bdsim.model.maths import at_least
from bdsim.model.people import COLLEAGUES
from bdsim.model.rule import LEAST

__all__ = [
    "MOVED", "both", "clear_here", "colleagues_of", "dread_of", "has_moved", "here_of", "is_here", "mean_fear",
    "moved_of", "plus", "put_both", "share_moved", "status_of", "without_moves",
]  # fmt: skip

MOVED = 16  # more than eight colleagues can add up to

# Python has no use for these: in compiled code, what `inlined_for` names further down stands in their place.


def both(status: Any, row: Any) -> Any:
    """Of one row of State.status, who is here and who has moved: packed in small counts, or a pair of numbers."""
    raise NotImplementedError("compiled code only")


def plus(x: Any, y: Any) -> Any:
    """Two of what `both` gives, added up."""
    raise NotImplementedError("compiled code only")


def here_of(x: Any) -> Any:
    """How many are here, of what `both` and `plus` give."""
    raise NotImplementedError("compiled code only")


def without_moves(x: Any) -> Any:
    """Of what `both` gives of one row, who is here, as `put_both` takes it."""
    raise NotImplementedError("compiled code only")


def moved_of(x: Any) -> Any:
    """How many have moved, of what `both` and `plus` give."""
    raise NotImplementedError("compiled code only")


def has_moved(x: Any) -> bool:
    """Whether anybody has, in any lane."""
    raise NotImplementedError("compiled code only")


def is_here(status: Any, row: Any, lane: int) -> bool:
    """Whether the researcher of one lane is here."""
    raise NotImplementedError("compiled code only")


def clear_here(status: Any, row: Any) -> None:
    """Nobody of a row is here; who has moved has."""
    raise NotImplementedError("compiled code only")


def put_both(status: Any, row: Any, here: Any, moved: Any) -> None:
    """Write what `both` reads."""
    raise NotImplementedError("compiled code only")


@inlined_for(both)
def _both(status: Any, row: Any) -> Any:
    if status.dtype in COUNTS:
        return lambda status, row: get(status, row)
    return lambda status, row: (get(status, 2 * row), get(status, 2 * row + 1))


@inlined_for(plus)
def _plus(x: Any, y: Any) -> Any:
    if isinstance(x, types.BaseTuple):
        return lambda x, y: (x[0] + y[0], x[1] + y[1])
    return lambda x, y: x + y


@inlined_for(here_of)
def _here_of(x: Any) -> Any:
    if isinstance(x, types.BaseTuple):
        return lambda x: x[0]
    return lambda x: real(x & types.uint8(15))


@inlined_for(without_moves)
def _without_moves(x: Any) -> Any:
    if isinstance(x, types.BaseTuple):
        return lambda x: x[0]
    return lambda x: x & types.uint8(15)


@inlined_for(moved_of)
def _moved_of(x: Any) -> Any:
    if isinstance(x, types.BaseTuple):
        return lambda x: x[1]
    return lambda x: real(x >> types.uint8(4))


@inlined_for(has_moved)
def _has_moved(x: Any) -> Any:
    if isinstance(x, types.BaseTuple):
        return lambda x: some(x[1])
    return lambda x: some(x & types.uint8(240))


@inlined_for(is_here)
def _is_here(status: Any, row: Any, lane: Any) -> Any:
    if status.dtype in COUNTS:
        return lambda status, row, lane: one(status, row, lane) & 1 != 0
    return lambda status, row, lane: one(status, 2 * row, lane) > 0.0


@inlined_for(clear_here)
def _clear_here(status: Any, row: Any) -> Any:
    if status.dtype not in COUNTS:
        return lambda status, row: put(status, 2 * row, 0.0)
    if status.ndim == 2:
        return lambda status, row: put(status, row, get(status, row) & types.uint8(240))

    def alone(status: Any, row: Any) -> None:
        status[row] &= 240

    return alone


@inlined_for(put_both)
def _put_both(status: Any, row: Any, here: Any, moved: Any) -> Any:
    if status.dtype in COUNTS:
        return lambda status, row, here, moved: put(status, row, here)  # a move is written by `set_one`

    def pair(status: Any, row: Any, here: Any, moved: Any) -> None:
        put(status, 2 * row, here)
        put(status, 2 * row + 1, moved)

    return pair


@inlined
def status_of(row: int, colleagues: NDArray[np.uint32], status: Any) -> Any:
    """Which of eight colleagues are here, and which have moved."""
    total = both(status, np.uint64(colleagues[row, 0]))
    for link in range(1, COLLEAGUES):
        total = plus(total, both(status, np.uint64(colleagues[row, link])))
    return total


@inlined
def dread_of(row: int, colleagues: NDArray[np.uint32], dread: Floats) -> Any:
    """The fear of eight colleagues, added up."""
    total = get(dread, colleagues[row, 0])
    for link in range(1, COLLEAGUES):
        total = total + get(dread, colleagues[row, link])
    return total


@compiled
def colleagues_of(row: int, colleagues: NDArray[np.uint32], state: State) -> tuple[Any, Any, Any]:
    """Of eight colleagues, how many are here, their fear added up, and how many moved to China last year."""
    status = status_of(row, colleagues, state.status)
    return here_of(status), dread_of(row, colleagues, state.dread), moved_of(status)


@inlined
def mean_fear(here: Any, dread: Any) -> Any:
    """Of colleagues; 0 where none is here."""
    return dread / at_least(here, LEAST)


@inlined
def share_moved(here: Any, moved: Any) -> Any:
    """Movers among the colleagues who are here or have just moved; 0 where there are none."""
    return moved / at_least(here + moved, LEAST)
