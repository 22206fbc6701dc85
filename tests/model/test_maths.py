"""exp and log: accurate, and the same bits in Python and in compiled code."""

from __future__ import annotations

import math
import struct
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bdsim.model import maths
from bdsim.model.engine.compiling import compiled
from bdsim.model.engine.values import get, put
from bdsim.model.machine_code import SINGLE_WIDTH

TOLERATED = Decimal(2)  # units in the last place, as the docstrings promise
SMALLEST_NORMAL, LARGEST = 2.2250738585072014e-308, 1.7976931348623157e308

exponents = st.floats(-700.0, 700.0)
normals = st.floats(SMALLEST_NORMAL, LARGEST, allow_subnormal=False)


def bits(x: float) -> bytes:
    return struct.pack("<d", x)


def ulps(found: float, exact: Decimal) -> Decimal:
    """The distance from a 50-digit reference in units of the last place of the result."""
    return abs(Decimal(found) - exact) / Decimal(math.ulp(float(exact)))


def exact_exp(x: float) -> Decimal:
    with localcontext() as context:
        context.prec = 50
        return Decimal(x).exp()


def exact_log(x: float) -> Decimal:
    with localcontext() as context:
        context.prec = 50
        return Decimal(x).ln()


def exact_mean_decay(x: float) -> Decimal:
    if x == 0.0:
        return Decimal(1)
    with localcontext() as context:
        context.prec = 400  # 1 - exp(-x) loses as many digits as x has zeros behind the point
        return (1 - (-Decimal(x)).exp()) / Decimal(x)


@compiled
def exp_of_all(x: Any) -> None:
    """In place, side by side in single precision."""
    for row in range(len(x)):
        put(x, row, maths.exp(get(x, row)))


def test_exp_in_single_precision_is_within_two_units_in_the_last_place_and_clamped_outside() -> None:
    grid = np.concatenate([np.linspace(-87.0, 87.0, 100_000), np.linspace(-0.35, 0.35, 60_000)]).astype(np.float32)
    found = grid.reshape(-1, SINGLE_WIDTH).copy()
    exp_of_all(found)
    exact = np.exp(grid.astype(np.float64)).reshape(found.shape)
    assert (np.abs(found - exact) <= 2.0 * np.spacing(exact.astype(np.float32))).all()
    ends = np.repeat(np.array([[-1e30], [-100.0], [-87.0], [87.0], [100.0], [1e30]], np.float32), SINGLE_WIDTH, axis=1)
    exp_of_all(ends)
    assert (ends[:3] == ends[2]).all()
    assert (ends[3:] == ends[3]).all()


@pytest.fixture(scope="module")
def machine() -> dict[str, Any]:
    return {name: compiled(getattr(maths, name)) for name in ("exp", "log", "mean_decay")}


def test_exp_is_within_three_units_in_the_last_place_on_a_grid() -> None:
    grid = [-700.0 + 1400.0 * i / 1499 for i in range(1500)]
    grid += [0.5 * math.log(2.0) * (i / 250 - 1) for i in range(501)]  # around 0, where most rates' sums lie
    grid += [(k + 0.5) * math.log(2.0) for k in range(-1000, 1000, 7)]  # where the power of two changes
    assert max(ulps(maths.exp(x), exact_exp(x)) for x in grid) <= 3


@given(x=st.floats(0.0, 700.0) | st.floats(0.0, 0.5))
@example(x=0.0)
@example(x=0.25)
@example(x=math.nextafter(0.25, 1.0))
@example(x=1e-300)
def test_mean_decay_is_within_twelve_units_in_the_last_place_and_the_same_when_compiled(
    x: float, machine: dict[str, Any]
) -> None:
    found = maths.mean_decay(x)
    assert ulps(found, exact_mean_decay(x)) <= 12
    assert bits(machine["mean_decay"](x)) == bits(found)


@given(x=exponents)
@example(x=-700.0)
@example(x=700.0)
@example(x=5e-324)
@example(x=-5e-324)
def test_exp_is_within_three_units_in_the_last_place(x: float) -> None:
    assert ulps(maths.exp(x), exact_exp(x)) <= 3


def test_log_is_within_two_units_in_the_last_place_on_a_grid() -> None:
    grid = [10.0 ** (-307 + 615 * i / 1499) for i in range(1500)]
    grid += [0.25 + 3.75 * i / 1000 for i in range(1001)]
    grid += [1.0 + sign * 2.0**-n for n in range(2, 53) for sign in (-1, 1)]  # near 1 the result is small
    grid += [math.sqrt(0.5) * (1 + i * 2.0**-52) for i in range(-8, 9)]  # where the power of two changes
    assert max(ulps(maths.log(x), exact_log(x)) for x in grid if x != 1.0) <= TOLERATED


@given(x=normals)
@example(x=SMALLEST_NORMAL)
@example(x=LARGEST)
def test_log_is_within_two_units_in_the_last_place(x: float) -> None:
    if x != 1.0:
        assert ulps(maths.log(x), exact_log(x)) <= TOLERATED


@given(x=st.floats(2.0**-53, 1.0 - 2.0**-53))
def test_the_log_of_luck_is_accurate_and_negative(x: float) -> None:
    assert maths.log(x) < 0.0
    assert ulps(maths.log(x), exact_log(x)) <= TOLERATED


def test_exp_of_0_is_1_and_log_of_1_is_0_exactly() -> None:
    assert bits(maths.exp(0.0)) == bits(1.0)
    assert bits(maths.exp(-0.0)) == bits(1.0)
    assert maths.log(1.0) == 0.0


@pytest.mark.parametrize("k", [-1021, -100, -1, 1, 2, 10, 1023])
def test_the_log_of_a_power_of_two_is_that_many_times_log_2(k: int) -> None:
    assert maths.log(2.0**k) == pytest.approx(k * math.log(2.0), rel=4e-16)


@pytest.mark.parametrize("x", [700.0000001, 710.0, 1e6, 1e300, LARGEST, math.inf])
def test_exp_is_clamped_above_and_below(machine: dict[str, Any], x: float) -> None:
    for exp in (maths.exp, machine["exp"]):
        assert exp(x) == maths.exp(700.0)
        assert exp(-x) == maths.exp(-700.0)


def test_a_clamped_exp_is_neither_zero_nor_infinite() -> None:
    """Rates are divided by and added up: both must stay possible."""
    low, high = maths.exp(-math.inf), maths.exp(math.inf)
    assert low >= SMALLEST_NORMAL
    assert math.isfinite(high + high)
    assert math.isfinite(40.0 / low)


@given(x=st.floats(allow_nan=False))
def test_exp_has_the_same_bits_in_python_and_compiled(machine: dict[str, Any], x: float) -> None:
    assert bits(machine["exp"](x)) == bits(maths.exp(x))


@settings(max_examples=300)
@given(x=exponents)
def test_exp_has_the_same_bits_where_it_is_not_clamped(machine: dict[str, Any], x: float) -> None:
    assert bits(machine["exp"](x)) == bits(maths.exp(x))


@settings(max_examples=300)
@given(x=normals)
@example(x=SMALLEST_NORMAL)
@example(x=LARGEST)
@example(x=1.0)
@example(x=maths.SQRT_HALF)
@example(x=math.nextafter(maths.SQRT_HALF, 0.0))
def test_log_has_the_same_bits_in_python_and_compiled(machine: dict[str, Any], x: float) -> None:
    assert bits(machine["log"](x)) == bits(maths.log(x))


@given(x=st.floats(-600.0, 600.0))
def test_log_undoes_exp(x: float) -> None:
    assert maths.log(maths.exp(x)) == pytest.approx(x, rel=1e-15, abs=1e-15)


@given(x=exponents, step=st.floats(1e-9, 10.0))
def test_exp_rises_over_any_step_that_matters(x: float, step: float) -> None:
    y = min(x + step, 700.0)
    if y > x + 1e-10:
        assert maths.exp(y) > maths.exp(x)
