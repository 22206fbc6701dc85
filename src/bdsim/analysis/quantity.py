"""A number that one can ask of a run: departures, to China or elsewhere, in a year or a span of years."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from bdsim.errors import UsageError, did_you_mean
from bdsim.model.categories import DESTINATIONS, FIRST_YEAR, Floats
from bdsim.model.counts import Counts, selection

__all__ = ["Goal", "Quantity", "parse_goal", "parse_quantity", "parse_window"]

KINDS = {
    "departures": "departures of scientists of Chinese descent",
    "to_china": "departures of scientists of Chinese descent to China",
    "to_elsewhere": "departures of scientists of Chinese descent to elsewhere",
    "stock": "scientists of Chinese descent here on 1 January",
}
EXAMPLE = "departures:2035 or to_china:2026-2035"


@dataclass(frozen=True)
class Quantity:
    """What is asked of a run, in researchers: summed over years, but a stock is the mean over them."""

    kind: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.first}" + (f"-{self.last}" if self.last > self.first else "")

    @property
    def meaning(self) -> str:
        years = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{KINDS[self.kind]}, {years}" + (", mean" if self.kind == "stock" and self.last > self.first else "")

    def of(self, counts: Counts) -> Floats:
        """Its value for every member, shape (members,), expected departures where they count."""
        span = slice(self.first - FIRST_YEAR, self.last - FIRST_YEAR + 1)
        groups = selection("china")
        if self.kind == "stock":
            return np.asarray(counts.stocks[:, span][:, :, groups].sum(axis=(2, 3, 4)).mean(axis=1))
        table = counts.expected[:, span][:, :, groups].sum(axis=(1, 2, 3, 4))
        chosen = self.kind.removeprefix("to_")
        return np.asarray(table[:, DESTINATIONS.index(chosen)] if chosen in DESTINATIONS else table.sum(axis=1))


@dataclass(frozen=True)
class Goal:
    """A quantity held at or under (or at or over) a number of researchers."""

    quantity: Quantity
    under: bool
    number: float

    def __str__(self) -> str:
        return f"{self.quantity}{'<=' if self.under else '>='}{self.number:g}"


def parse_quantity(text: str, horizon: int, where: str) -> Quantity:
    """Read 'departures:2035' or 'to_china:2026-2035'. Raises UsageError."""
    found = re.fullmatch(r"\s*(\w+)\s*:\s*(\d{4})(?:\s*-\s*(\d{4}))?\s*", text)
    if found is None:
        raise UsageError(f"'{text}' is not a quantity; write e.g. {EXAMPLE}", where=where)
    kind, first, last = found[1], int(found[2]), int(found[3] or found[2])
    if kind not in KINDS:
        raise UsageError(f"unknown quantity '{kind}'{did_you_mean(kind, KINDS)}", where=where)
    if not FIRST_YEAR <= first <= last <= horizon:
        raise UsageError(f"{first}-{last} does not lie within {FIRST_YEAR}-{horizon} in order", where=where)
    return Quantity(kind, first, last)


def parse_goal(text: str, horizon: int, where: str) -> Goal:
    """Read 'departures:2035<=2500'. Raises UsageError."""
    left, sign, right = next((text.partition(s) for s in ("<=", ">=") if s in text), ("", "", ""))
    try:
        number = float(right)
    except ValueError:
        number = float("nan")
    if not sign or not 0.0 <= number < float("inf"):
        raise UsageError(f"'{text}' is not a goal; write e.g. 'departures:2035<=2500'", where=where)
    return Goal(parse_quantity(left, horizon, where), sign == "<=", number)


def parse_window(text: str, first: int, last: int, where: str = "--years") -> tuple[int, int]:
    """Read a window of years, '2027-2032' or '2030', that lies within first..last. Raises UsageError."""
    found = re.fullmatch(r"\s*(\d{4})(?:\s*-\s*(\d{4}))?\s*", text)
    if found is None:
        raise UsageError(f"'{text}' is not a window of years; write e.g. 2027-2032 or 2030", where=where)
    start, end = int(found[1]), int(found[2] or found[1])
    if not first <= start <= end <= last:
        raise UsageError(f"{text.strip()} does not lie within {first}-{last} in order", where=where)
    return start, end
