"""Values of the engine, read and written: a number, or those of members side by side, told apart by an array's axes.

Each function stands for one of two ways, chosen while the code is compiled, so neither pays for the other. At the end
stands what takes the place of parts of maths.py and draws.py: operations on bits, choices without branches, and what
is shorter in single precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bdsim.model import draws, maths
from bdsim.model.engine.inlining import inlined_for
from bdsim.model.engine.lanes import (
    DOUBLE,
    SINGLE,
    Lanes,
    as_floats,
    as_kind,
    count_bits,
    family_of,
    mask_bits,
    named_axes,
    one_and_bits,
    prefetch,
    read,
    scaled_by_bits,
    select,
    value_in,
    write,
)

__all__ = [
    "add", "add_one", "bits_of", "fetch", "get", "is_count", "number", "one",
    "put", "real", "set_one", "slack", "some",
]  # fmt: skip


COUNTS = (types.uint8, types.int8)  # of double and of single precision

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


def number(value: Any) -> Any:
    """A float itself, or the lanes that an array of one axis holds."""
    raise NotImplementedError("compiled code only")


def real(count: Any) -> Any:
    """A small count as a float; a float as it is."""
    raise NotImplementedError("compiled code only")


def is_count(array: Any) -> bool:
    """Whether an array is of small counts; known while the code is compiled."""
    raise NotImplementedError("compiled code only")


def slack(value: Any) -> float:
    """What rounding may add to, or take from, a sum of a few numbers about 1."""
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


@inlined_for(slack)
def _slack(value: Any) -> Any:
    rounding = 1e-12 if family_of(value) is DOUBLE else 1e-6
    return lambda value: rounding


@inlined_for(number)
def _number(value: Any) -> Any:
    if isinstance(value, types.Array):
        return lambda value: get(value, ())
    return lambda value: value


def _is_counts(kind: Any) -> bool:
    return isinstance(kind, Lanes) and kind == kind.family.counts


@inlined_for(real)
def _as_real(count: Any) -> Any:
    if _is_counts(count):
        return lambda count: as_floats(count)
    if isinstance(count, Lanes):
        return lambda count: count
    return lambda count: types.float64(count)


@inlined_for(bits_of)
def _bits_of(condition: Any) -> Any:
    if isinstance(condition, Lanes):
        return lambda condition: mask_bits(condition)
    return lambda condition: types.uint8(condition)


@inlined_for(maths.any_of)
def _any_of(condition: Any) -> Any:
    if isinstance(condition, Lanes):
        return lambda condition: mask_bits(condition) != 0
    return lambda condition: condition


@inlined_for(some)
def _some(value: Any) -> Any:
    if _is_counts(value):
        return lambda value: count_bits(value) != 0
    if isinstance(value, Lanes):
        return lambda value: maths.any_of(value > 0.0)
    return lambda value: value > 0


@inlined_for(is_count)
def _is_count(array: Any) -> Any:
    known = array.dtype in COUNTS
    return lambda array: known


@inlined_for(add_one)
def _add_one(array: Any, index: Any, lane: Any) -> Any:
    def alone(array: Any, index: Any, lane: Any) -> None:
        array[index] += 1.0

    def together(array: Any, index: Any, lane: Any) -> None:
        array[(*index, lane)] += 1.0

    return alone if array.ndim == named_axes(index) else together


# What stands for parts of maths.py and draws.py.

ROUND_BITS = np.int64(DOUBLE.round_bits)


@intrinsic
def _bits_of_float(_context: Any, x: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def _float_of(_context: Any, x: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), generate


@inlined_for(maths.split_power_of_two)
def _split(x: Any) -> Any:
    def implementation(x: Any) -> Any:
        bits = _bits_of_float(x)
        k = ((bits >> np.int64(52)) & np.int64(0x7FF)) - np.int64(1022)
        m = (bits & np.int64(0xFFFFFFFFFFFFF)) | np.int64(0x3FE0000000000000)
        return _float_of(m), _float_of(k + ROUND_BITS) - maths.ROUND_TO_INTEGER

    return implementation


@inlined_for(maths.where)
def _where(condition: Any, x: Any, y: Any) -> Any:
    if isinstance(condition, Lanes):
        return lambda condition, x, y: select(condition, x, y)
    return lambda condition, x, y: x if condition else y


@inlined_for(draws.output)
def _output(key: Any, i: Any) -> Any:
    if family_of(key) is DOUBLE:
        return draws.output
    if isinstance(key, Lanes):
        return draws.short_output
    return lambda key, i: np.uint32(draws.short_output(np.uint64(key), i))


@inlined_for(draws.unit)
def _unit(bits: Any) -> Any:
    return draws.unit if family_of(bits) is DOUBLE else draws.short_unit


@inlined_for(draws.nearly)
def _nearly(bits: Any) -> Any:
    return lambda bits: one_and_bits(bits)


@inlined_for(maths.at_least)
def _at_least(x: Any, low: Any) -> Any:
    return lambda x, low: maths.where(x < low, low, x)


@inlined_for(maths.at_most)
def _at_most(x: Any, high: Any) -> Any:
    return lambda x, high: maths.where(x > high, high, x)


@inlined_for(maths.scaled_by_power_of_two)
def _scaled(x: Any, rounded: Any) -> Any:
    return lambda x, rounded: scaled_by_bits(x, rounded)


@inlined_for(maths.reach)
def _reach(x: Any) -> Any:
    far = 700.0 if family_of(x) is DOUBLE else 87.0
    return lambda x: far


@inlined_for(maths.exp_within)
def _exp_within(x: Any) -> Any:
    if x != SINGLE.floats:
        return maths.exp_within

    def exp(x: Any) -> Any:
        """As maths.exp_within, with half the terms, within 2 units in the last place."""
        rounded = x * maths.LOG2_E + ROUND_TO_INTEGER
        k = rounded - ROUND_TO_INTEGER
        r = (x - k * LN2_HIGH) - k * LN2_LOW
        square = r * r
        low = r + square * (0.5 + r * (1.0 / 6.0))
        high = (1.0 / 24.0 + r * (1.0 / 120.0)) + square * (1.0 / 720.0 + r * (1.0 / 5040.0))
        return maths.scaled_by_power_of_two(1.0 + (low + square * square * high), rounded)

    return exp


ROUND_TO_INTEGER = 12582912.0  # 1.5 * 2**23
LN2_HIGH, LN2_LOW = 0.693359375, -2.1219444e-4  # Cody & Waite, as in Cephes' expf: k * LN2_HIGH is exact
