"""A value in a scenario file that nobody knows: a range or a distribution, from which every member draws its own.

`{ low, high, why }` is uniform, `{ low, mode, high, why }` triangular, `{ mean, sd, why }` normal, cut at four standard
deviations and at what the value may be. Values are numbers, whole years or days.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scipy.special import ndtr, ndtri

from bdsim.errors import did_you_mean

__all__ = ["SHAPES", "Kind", "Range", "read_range", "schema_of_range"]

Kind = Literal["number", "year", "date"]
Value = float | int | dt.date
SHAPES = {("low", "high"): "uniform", ("low", "mode", "high"): "triangular", ("mean", "sd"): "normal"}
KEYS = ("low", "mode", "high", "mean", "sd", "why")
CUT = 4.0  # standard deviations of a normal distribution to either side
LONGEST_SPREAD = 36_525.0  # days of a date's standard deviation


@dataclass(frozen=True)
class Range:
    """What a value may be. Days count as their ordinal, `spread` in days; `least` and `most` bound what is drawn."""

    kind: Kind
    shape: str
    low: float  # of a normal distribution, its cut
    high: float
    centre_at: float  # mode of a triangle, mean of the others
    spread: float  # standard deviation of a normal distribution, else 0
    why: str

    @property
    def centre(self) -> Value:
        """What stands for it where one value must: the middle, the mode of a triangle, the mean of a normal."""
        return self._value(self.centre_at)

    @property
    def is_known(self) -> bool:
        """Whether only one value is possible."""
        return self.low == self.high

    def at(self, quantile: float) -> Value:
        """The value of which this share of draws is lower; 0 and 1 give the ends."""
        if self.is_known:
            return self._value(self.centre_at)
        if self.shape == "normal":
            first, last = (float(ndtr((end - self.centre_at) / self.spread)) for end in (self.low, self.high))
            drawn = self.centre_at + self.spread * float(ndtri(first + quantile * (last - first)))
        elif self.shape == "triangular":
            drawn = self._of_triangle(quantile)
        elif self.kind == "number":
            drawn = self.low + quantile * (self.high - self.low)
        else:  # every whole year or day is as likely
            drawn = self.low + math.floor(quantile * (self.high - self.low + 1.0))
        return self._value(min(max(drawn, self.low), self.high))

    def _of_triangle(self, quantile: float) -> float:
        width, left = self.high - self.low, self.centre_at - self.low
        if quantile * width < left:
            return self.low + math.sqrt(quantile * width * left)
        return self.high - math.sqrt((1.0 - quantile) * width * (width - left))

    def _value(self, number: float) -> Value:
        if self.kind == "number":
            return float(number)
        whole = math.floor(number + 0.5)
        return dt.date.fromordinal(whole) if self.kind == "date" else whole

    def plain(self) -> dict[str, Any]:
        """As it stands in a file, but days as texts: for JSON."""

        def shown(number: float) -> Any:
            value = self._value(number)
            return str(value) if isinstance(value, dt.date) else value

        if self.shape == "normal":
            return {"mean": shown(self.centre_at), "sd": self.spread, "why": self.why}
        mode = {"mode": shown(self.centre_at)} if self.shape == "triangular" else {}
        return {"low": shown(self.low), **mode, "high": shown(self.high), "why": self.why}

    def __str__(self) -> str:
        if self.shape == "normal":
            unit = " days" if self.kind == "date" else ""
            return f"{_short(self.centre)} ± {self.spread:g}{unit}"
        most_likely = f", most likely {_short(self.centre)}" if self.shape == "triangular" else ""
        return f"{_short(self._value(self.low))} to {_short(self._value(self.high))}{most_likely}"


def read_range(given: Mapping[str, Any], kind: Kind, least: float, most: float) -> Range:
    """A range as it stands in a file; `least` and `most` bound its values. Raises ValueError in plain words."""
    for key in given:
        if key not in KEYS:
            raise ValueError(f"unknown name '{key}'{did_you_mean(key, KEYS)}")
    shape = SHAPES.get(tuple(key for key in KEYS if key in given and key != "why"))
    if shape is None:
        raise ValueError("a range is { low, high }, { low, mode, high } or { mean, sd }, each with why")
    why = given.get("why")
    if not isinstance(why, str) or not why.strip():
        raise ValueError("a range needs a why: where this assumption comes from")
    if shape == "normal":
        centre = _number(given["mean"], kind, "mean")
        spread = _number(given["sd"], "number", "sd")
        if not 0.0 <= spread <= LONGEST_SPREAD:
            raise ValueError(f"sd ({spread:g}) must lie between 0 and {LONGEST_SPREAD:,.0f}")
        _check(centre, kind, least, most, "mean")
        low, high = max(least, centre - CUT * spread), min(most, centre + CUT * spread)
        return Range(kind, shape, low, high, centre, spread, why)
    low, high = (_number(given[key], kind, key) for key in ("low", "high"))
    for key, number in (("low", low), ("high", high)):
        _check(number, kind, least, most, key)
    if low > high:
        raise ValueError(f"high ({given['high']}) must not be less than low ({given['low']})")
    centre = _number(given["mode"], kind, "mode") if shape == "triangular" else low + (high - low) / 2.0
    if not low <= centre <= high:
        raise ValueError(f"mode ({given['mode']}) must lie between low ({given['low']}) and high ({given['high']})")
    return Range(kind, shape, low, high, centre, 0.0, why)


def schema_of_range(kind: Kind) -> dict[str, Any]:
    """JSON Schema of a range whose values are numbers, years or days."""
    shapes: dict[Kind, dict[str, str]] = {
        "number": {"type": "number"}, "year": {"type": "integer"}, "date": {"type": "string", "format": "date"},
    }  # fmt: skip
    value, why = shapes[kind], {"type": "string", "minLength": 1, "description": "Where this assumption comes from"}
    return {
        "title": f"Range of {kind}s",
        "description": "Every member draws its own: uniform, triangular or normal",
        "oneOf": [
            {
                "type": "object", "required": [*keys, "why"], "additionalProperties": False,
                "properties": {**{k: {"type": "number"} if k == "sd" else value for k in keys}, "why": why},
            }
            for keys in SHAPES
        ],
    }  # fmt: skip


def _number(value: Any, kind: Kind, key: str) -> float:
    if kind == "date":
        if type(value) is not dt.date:
            raise ValueError(f"{key} is not a date such as 2027-01-20 (no quotes)")
        return float(value.toordinal())
    wanted = int if kind == "year" else (int, float)
    if isinstance(value, bool) or not isinstance(value, wanted) or not abs(value) < 1e18:
        raise ValueError(f"{key} is not a {'whole year' if kind == 'year' else 'number'}")
    return float(value)


def _check(number: float, kind: Kind, least: float, most: float, key: str) -> None:
    if not least <= number <= most:
        ends = (dt.date.fromordinal(int(e)) if kind == "date" else f"{e:,.6g}" for e in (least, most))
        if kind == "year":
            ends = (str(int(e)) for e in (least, most))
        raise ValueError("{} must lie between {} and {}".format(key, *ends))


def _short(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
