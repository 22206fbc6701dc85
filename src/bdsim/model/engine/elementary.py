"""What stands for parts of maths.py and draws.py in machine code: operations on bits, and choices without branches."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bdsim.model import draws, maths
from bdsim.model.engine.lanes import ROUND_BITS, Lanes, one_and_bits, scaled_by_bits, select
from bdsim.model.engine.values import inlined_for

__all__: list[str] = []


@intrinsic
def _bits_of(_context: Any, x: Any) -> Any:
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
        bits = _bits_of(x)
        k = ((bits >> np.int64(52)) & np.int64(0x7FF)) - np.int64(1022)
        m = (bits & np.int64(0xFFFFFFFFFFFFF)) | np.int64(0x3FE0000000000000)
        return _float_of(m), _float_of(k + np.int64(ROUND_BITS)) - maths.ROUND_TO_INTEGER

    return implementation


@inlined_for(maths.where)
def _where(condition: Any, x: Any, y: Any) -> Any:
    if isinstance(condition, Lanes):
        return lambda condition, x, y: select(condition, x, y)
    return lambda condition, x, y: x if condition else y


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
