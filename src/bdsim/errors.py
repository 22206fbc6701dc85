"""Every error that bdsim raises on purpose.

BdsimError
├── InputError          a file, option or argument is wrong; the command line exits with 2
│   ├── StudyError        no study here, or one that lacks a file
│   ├── EvidenceError     a fact file is malformed
│   ├── ParameterError    parameters.toml, or a --set
│   ├── ScenarioError     a scenario file
│   ├── TargetError       targets.toml
│   ├── FitError          a fit that is missing, of another kind, or cannot be made
│   ├── ResultsError      a results folder that cannot be read
│   └── UsageError        an argument outside its range
├── StorageError        the disk refused, or another process is at work there; exit code 1
├── MembersFailedError  every member of a branch raised, so that there is nothing to tabulate; exit code 1
└── InvariantError      the simulation broke its own promise (nobody lost, nobody twice); exit code 1

An InputError is one line: file, place in the file, what is wrong, the nearest valid choice.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "BdsimError",
    "EvidenceError",
    "FitError",
    "InputError",
    "InvariantError",
    "MembersFailedError",
    "ParameterError",
    "ResultsError",
    "ScenarioError",
    "StorageError",
    "StudyError",
    "TargetError",
    "UsageError",
    "check_years",
    "did_you_mean",
    "in_plain_words",
    "printable",
    "shown",
    "whole_number",
]


class BdsimError(Exception):
    """The root of every error that bdsim raises on purpose."""


class InputError(BdsimError):
    """Something a person wrote is wrong.

    `where` is the file (or option), `place` the position inside it, `problem` one sentence.
    """

    def __init__(self, problem: str, *, where: Path | str | None = None, place: str = "") -> None:
        self.where, self.place, self.problem = where, place, " ".join(problem.split())
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [shown(self.where) if self.where is not None else "", self.place, self.problem]
        return ": ".join(printable(str(part)) for part in parts if part)


class StudyError(InputError):
    """There is no study where one is needed, or it lacks a file."""


class EvidenceError(InputError):
    """A file of facts is malformed."""


class ParameterError(InputError):
    """A parameter is unknown, out of bounds or badly described."""


class ScenarioError(InputError):
    """A scenario file cannot be understood."""


class TargetError(InputError):
    """targets.toml cannot be understood, or names facts that are not there."""


class FitError(InputError):
    """A fit is missing, of another kind, or cannot be made from what it was given."""


class ResultsError(InputError):
    """A results folder is missing, incomplete or of another kind."""


class UsageError(InputError):
    """An argument of a function or command is outside its range."""


class StorageError(BdsimError):
    """The disk refused: full, read-only, no permission; or another process is at work on the same folder."""

    def __init__(self, problem: str, *, where: Path | str) -> None:
        super().__init__(f"{printable(shown(where))}: {problem}")


class MembersFailedError(BdsimError):
    """Every member of a branch failed; the message has the first reason."""


class InvariantError(BdsimError):
    """The simulation broke a promise that it checks every year."""


# What people say for a thing that has another name here, small letters, and the names it may have.
OTHER_WORDS = {
    "nih": "nih_funding us_funding", "nsf": "nsf_funding us_funding", "grants": "us_funding",
    "research_funding": "us_funding", "federal_funding": "us_funding", "china_funding": "funding_ratio",
    "chinese_funding": "funding_ratio", "rd": "funding_ratio", "visa": "green_card_wait settlement",
    "visas": "green_card_wait settlement", "green_card": "green_card_wait settlement",
    "immigration": "green_card_wait settlement", "residence": "green_card_wait settlement", "talent": "offers",
    "talent_programmes": "offers", "thousand_talents": "offers", "recruitment": "offers",
    "china_initiative": "scrutiny_china", "scrutiny": "scrutiny_china", "fear": "scrutiny_china push",
    "students": "inflow_china", "doctorates": "inflow_china", "phds": "inflow_china", "leavers": "departures",
    "emigration": "departures", "stayers": "stock", "returnees": "to_china", "investigations": "scrutiny_china",
}  # fmt: skip


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """The nearest valid choice as the tail of a sentence, or the list of choices where none is near.

    A thing that people call otherwise is known by its other words too: 'nih' is nih_funding.
    """
    choices = sorted(choices)
    spoken = str(name).strip().lower().replace(" ", "_").replace("-", "_")
    for other in OTHER_WORDS.get(spoken, "").split():
        if other in choices:
            return f"; did you mean '{other}'?"
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{near[0]}'?"
    if not choices:
        return ""
    listed = ", ".join(choices) if len(choices) <= 14 else ", ".join(choices[:14]) + ", ..."
    return f"; choose from {listed}"


def in_plain_words(found: Mapping[str, Any]) -> str:
    """What pydantic says of a value, as a sentence about it: 'must be greater than or equal to 0'."""
    said = str(found["msg"]).partition("\n")[0]
    if found["type"] == "value_error":  # ours
        return said.removeprefix("Value error, ")
    said = said.replace("Input should", "must").replace(" should ", " must ")
    return said.replace(" after validation,", ",").removesuffix(" after validation")


def whole_number(value: Any, least: int, most: int, where: str) -> int:
    """Any kind of whole number (NumPy has several) from least to most, as an int. Raises UsageError."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        long = number is not None and abs(number) > 10**40  # Python writes no number of thousands of digits
        said = "a number that long" if long else repr(value) if isinstance(value, str) else str(value)
        raise UsageError(f"{said[:80]} is not a whole number from {least} to {most}", where=where)
    return number


def check_years(first: Any, last: Any, years: range, where: str) -> None:
    """Raises UsageError unless both are years of a run, in order."""
    if not (first in years and last in years and first <= last):
        span = f"{first}-{last}" if first != last else f"{first}"
        raise UsageError(f"{span} does not lie within {years[0]}-{years[-1]} in order", where=where)


def shown(path: Path | str) -> str:
    """A path as the person typed it: relative to where they stand when it lies below."""
    try:
        text = str(Path(path).resolve().relative_to(Path.cwd())) if isinstance(path, Path) else path
    except (ValueError, OSError, RuntimeError):  # a link that leads to itself is a RuntimeError until Python 3.13
        text = str(path)
    return printable(text)


def printable(text: str, but: str = "") -> str:
    """Text that cannot move the cursor, whatever a file or a key is called; on one line, unless `but` has others."""
    return "".join(c if c.isprintable() or c in but else c.encode("unicode_escape").decode() for c in text)
