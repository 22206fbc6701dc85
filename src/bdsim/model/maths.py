"""exp and log from IEEE additions, multiplications and one division: the same bits on every machine.

The C library's versions differ between platforms in the last digit, and one digit can turn a researcher's
decision. Written for plain numbers; the engine compiles these same lines.
"""

from __future__ import annotations

import math
from typing import TypeVar

__all__ = [
    "any_of", "at_least", "at_most", "exp", "exp_within", "log", "mean_decay", "reach", "scaled_by_power_of_two",
    "split_power_of_two", "where",
]  # fmt: skip

Real = TypeVar("Real", int, float)
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # Cody & Waite, as in fdlibm
ROUND_TO_INTEGER = 6755399441055744.0  # 1.5 * 2**52: adding and subtracting it rounds to the nearest integer
SQRT_HALF = 0.7071067811865476


def at_least(x: Real, low: Real) -> Real:
    """x, or `low` where x is less."""
    return low if x < low else x


def at_most(x: Real, high: Real) -> Real:
    """x, or `high` where x is more."""
    return high if x > high else x


def where(condition: bool, x: float, y: float) -> float:
    """x where the condition holds, y elsewhere."""
    return x if condition else y


def any_of(condition: bool) -> bool:
    """The condition itself; in the engine, whether it holds for any of the members side by side."""
    return condition


def scaled_by_power_of_two(x: float, rounded: float) -> float:
    """x * 2**k with k = rounded - ROUND_TO_INTEGER; the engine replaces it by a shift of the exponent bits."""
    return math.ldexp(x, int(rounded - ROUND_TO_INTEGER))


def split_power_of_two(x: float) -> tuple[float, float]:
    """(m, k) with x = m * 2**k and 0.5 <= m < 1; the engine replaces it by bit operations."""
    m, k = math.frexp(x)
    return m, float(k)


def reach(_x: float) -> float:
    """How far from 0 `exp_within` goes; less in single precision."""
    return 700.0


def exp(x: float) -> float:
    """e**x, within 3 units in the last place on [-700, 700]; clamped outside."""
    return exp_within(at_most(at_least(x, -reach(x)), reach(x)))


def exp_within(x: float) -> float:
    """e**x where x is known to lie within reach, which saves the clamps."""
    rounded = x * LOG2_E + ROUND_TO_INTEGER
    k = rounded - ROUND_TO_INTEGER
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    # Taylor's 1 + r + r^2/2! + ... + r^12/12!, |r| <= ln(2)/2, in groups worked out side by side (Estrin)
    square = r * r
    fourth = square * square
    low = r + square * (0.5 + r * (1.0 / 6.0))
    middle = (1.0 / 24.0 + r * (1.0 / 120.0)) + square * (1.0 / 720.0 + r * (1.0 / 5040.0))
    high = (1.0 / 40320.0 + r * (1.0 / 362880.0)) + square * (1.0 / 3628800.0 + r * (1.0 / 39916800.0))
    high = high + fourth * (1.0 / 479001600.0)
    p = 1.0 + (low + fourth * (middle + fourth * high))
    return scaled_by_power_of_two(p, rounded)


def mean_decay(x: float) -> float:
    """(1 - e**-x) / x, the mean of e**-t over t from 0 to x, within 12 units in the last place on [0, 700]; 1 at 0.

    Up to 1/4 the series 1/1! - x/2! + x^2/3! - ... - x^11/12!, which loses no digits where x is small.
    """
    square = x * x
    fourth = square * square
    low = (1.0 - x * (1.0 / 2.0)) + square * (1.0 / 6.0 - x * (1.0 / 24.0))
    middle = (1.0 / 120.0 - x * (1.0 / 720.0)) + square * (1.0 / 5040.0 - x * (1.0 / 40320.0))
    high = (1.0 / 362880.0 - x * (1.0 / 3628800.0)) + square * (1.0 / 39916800.0 - x * (1.0 / 479001600.0))
    mean = low + fourth * (middle + fourth * high)
    if any_of(x > 0.25):
        mean = where(x > 0.25, (1.0 - exp(-x)) / x, mean)
    return mean


def log(x: float) -> float:
    """The natural logarithm of a normal x > 0, within 2 units in the last place."""
    m, k = split_power_of_two(x)
    if m < SQRT_HALF:
        m = m + m
        k = k - 1.0
    s = (m - 1.0) / (m + 1.0)  # log m = 2 atanh(s), |s| <= 0.172
    q = s * s
    p = 2.0 / 21.0
    p = p * q + 2.0 / 19.0
    p = p * q + 2.0 / 17.0
    p = p * q + 2.0 / 15.0
    p = p * q + 2.0 / 13.0
    p = p * q + 2.0 / 11.0
    p = p * q + 2.0 / 9.0
    p = p * q + 2.0 / 7.0
    p = p * q + 2.0 / 5.0
    p = p * q + 2.0 / 3.0
    return k * LN2_HIGH + (2.0 * s + (s * q * p + k * LN2_LOW))
