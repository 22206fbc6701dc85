"""Values of the engine, read and written: a number, or the numbers of WIDTH members, told apart by an array's axes.

Each function stands for one of two ways, chosen while the code is compiled, so neither pays for the other.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic, overload

from bdsim.model.engine.lanes import (
    WIDTH,
    Lanes,
    as_floats,
    as_kind,
    count_bits,
    counts,
    floats,
    mask_bits,
    named_axes,
    prefetch,
    read,
    value_in,
    write,
)

__all__ = [
    "add", "add_one", "any_of", "bits_of", "fetch", "get", "inlined_for", "is_count", "lanes_of", "number", "one",
    "put", "real", "set_one", "some",
]  # fmt: skip


# Those that the engine says a hundred times are written as instructions: to Numba a function is dear for each kind of
# arguments, an instruction is not.


@intrinsic
def get(_context: Any, array: Any, index: Any) -> Any:
    """The value at `index` of an array of values."""
    return value_in(array, index)(array, index), lambda context, builder, signature, args: read(
        context, builder, signature.args, args
    )


@intrinsic
def put(_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a value, or one number for all lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write(context, builder, signature.args, args)
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@intrinsic
def add(_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Add a value to the one at `index`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, index, kind = signature.args
        value = as_kind(context, builder, args[2], kind, value_in(array, index))
        there = read(context, builder, (array, index), args)
        write(context, builder, (array, index, value_in(array, index)), [*args[:2], builder.fadd(there, value)])
        return context.get_dummy_value()

    return types.void(array, index, value), generate


# Python has no use for these: in compiled code, what `inlined_for` names further down stands in their place.


def fetch(array: Any, row: Any) -> None:
    """Ask memory for a value that will be read soon."""
    raise NotImplementedError("compiled code only")


def one(array: Any, index: Any, lane: int) -> Any:
    """The number of one lane."""
    raise NotImplementedError("compiled code only")


def set_one(array: Any, index: Any, lane: int, number: Any) -> None:
    """Write the number of one lane."""
    raise NotImplementedError("compiled code only")


def lanes_of(value: Any) -> int:
    """1 for a float, WIDTH for lanes."""
    raise NotImplementedError("compiled code only")


def number(value: Any) -> Any:
    """A float itself, or the lanes that an array of length WIDTH holds."""
    raise NotImplementedError("compiled code only")


def real(count: Any) -> Any:
    """A small count as a float; a float as it is."""
    raise NotImplementedError("compiled code only")


def is_count(array: Any) -> bool:
    """Whether an array is of small counts; known while the code is compiled."""
    raise NotImplementedError("compiled code only")


def some(value: Any) -> bool:
    """Whether a count, or a number that is not negative, is above 0 in any lane."""
    raise NotImplementedError("compiled code only")


def add_one(array: Any, index: Any, lane: int) -> None:
    """Add 1 to the number of one lane at an index of several axes."""
    raise NotImplementedError("compiled code only")


def bits_of(condition: Any) -> int:
    """A condition as bits, lane 0 the lowest."""
    raise NotImplementedError("compiled code only")


def any_of(condition: Any) -> bool:
    """Whether the condition holds in any lane."""
    raise NotImplementedError("compiled code only")


def inlined_for(function: Any) -> Any:
    """What stands for a function in compiled code, chosen by the types of its arguments."""
    return overload(function, jit_options={"forceinline": True}, strict=False)  # our lambdas bear no annotations


@inlined_for(fetch)
def _fetch(array: Any, row: Any) -> Any:
    return lambda array, row: prefetch(array, row)


@inlined_for(one)
def _one(array: Any, index: Any, lane: Any) -> Any:
    if array.ndim == 1:
        return lambda array, index, lane: array[index]
    return lambda array, index, lane: array[index, lane]


@inlined_for(set_one)
def _set_one(array: Any, index: Any, lane: Any, number: Any) -> Any:
    def alone(array: Any, index: Any, lane: Any, number: Any) -> None:
        array[index] = number

    def together(array: Any, index: Any, lane: Any, number: Any) -> None:
        array[index, lane] = number

    return alone if array.ndim == 1 else together


@inlined_for(lanes_of)
def _lanes_of(value: Any) -> Any:
    width = WIDTH if isinstance(value, Lanes) else 1
    return lambda value: width


@inlined_for(number)
def _number(value: Any) -> Any:
    if isinstance(value, types.Array):
        return lambda value: get(value, ())
    return lambda value: value


@inlined_for(real)
def _as_real(count: Any) -> Any:
    if count == counts:
        return lambda count: as_floats(count)
    if count == floats:
        return lambda count: count
    return lambda count: types.float64(count)


@inlined_for(bits_of)
def _bits_of(condition: Any) -> Any:
    if isinstance(condition, Lanes):
        return lambda condition: mask_bits(condition)
    return lambda condition: types.uint8(condition)


@inlined_for(any_of)
def _any_of(condition: Any) -> Any:
    if isinstance(condition, Lanes):
        return lambda condition: mask_bits(condition) != 0
    return lambda condition: condition


@inlined_for(some)
def _some(value: Any) -> Any:
    if value == counts:
        return lambda value: count_bits(value) != 0
    if value == floats:
        return lambda value: any_of(value > 0.0)
    return lambda value: value > 0


@inlined_for(is_count)
def _is_count(array: Any) -> Any:
    if array.dtype == types.uint8:
        return lambda array: True
    return lambda array: False


@inlined_for(add_one)
def _add_one(array: Any, index: Any, lane: Any) -> Any:
    def alone(array: Any, index: Any, lane: Any) -> None:
        array[index] += 1.0

    def together(array: Any, index: Any, lane: Any) -> None:
        array[(*index, lane)] += 1.0

    return alone if array.ndim == named_axes(index) else together
