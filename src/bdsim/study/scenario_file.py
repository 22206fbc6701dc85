"""A scenario as a person writes it: the parts of a TOML file, and one line for what is wrong with it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from bdsim.errors import ScenarioError, UsageError, did_you_mean, in_plain_words
from bdsim.files.text import decoded, parsed_toml, read_bytes, readable
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, LAST_POSSIBLE_YEAR, ORIGINS, Floats
from bdsim.model.world import TABLES
from bdsim.study.uncertainty.part import FIRST_DAY, LARGEST_VALUE, LAST_DAY, Part, RuleError
from bdsim.study.uncertainty.ranges import Kind, schema_of_range

__all__ = [
    "PARTS",
    "Event",
    "Lever",
    "Outcome",
    "Policy",
    "Problem",
    "ScenarioFile",
    "lever_of",
    "parse_scenario",
    "problems_of",
    "read_content",
    "read_scenario_file",
    "scenario_schema",
    "spelled",
    "tables_of",
    "text_of",
]

MOST_EVENTS = 24
MOST_PARTS = 500  # policies, or levers
MOST_PROBLEMS = 1000  # that are counted: the file of more is another kind of file
GREATEST = 1e9  # of any yearly table, whatever levers make of it
LEAST = {"set": -LARGEST_VALUE, "add": -LARGEST_VALUE, "multiply": 0.0}  # value of a lever
MOST_SCRUTINY = 10.0
# What a lever may set a table to, and beyond which what levers and policies make of it together is told.
MOST = {
    **{f"scrutiny_{origin}": MOST_SCRUTINY for origin in ORIGINS},
    "funding_ratio": 100.0,
    **dict.fromkeys(("us_funding", "nih_funding", "nsf_funding", "soft_power"), 10.0),
    **dict.fromkeys(("pull", "green_card_wait"), 100.0),
}

# Bounds that the checks below enforce in words of their own; here so that the schema and a form know them too.
DAYS: dict[str, Any] = {"formatMinimum": str(FIRST_DAY), "formatMaximum": str(LAST_DAY)}
Year = Annotated[int, Field(json_schema_extra={"minimum": FIRST_YEAR, "maximum": LAST_POSSIBLE_YEAR})]

READABLE = AfterValidator(readable)


def not_blank(text: str) -> str:
    """The text itself. Raises ValueError where it shows nothing."""
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Name = Annotated[str, Field(min_length=1, max_length=120), READABLE, AfterValidator(not_blank)]
Sentence = Annotated[str, Field(min_length=1), READABLE, AfterValidator(not_blank)]
Why = Annotated[Sentence, Field(description="Where this number comes from; say so if it is an assumption")]
Origin = Literal["china", "india", "other"]


@dataclass(frozen=True)
class Problem:
    """One mistake: where the command line says it is, in what words, and the value to show it beside.

    `field` is `place`, unless a rule over several values is broken: then `place` is what holds them.
    """

    place: str
    message: str
    field: str


class Policy(Part):
    """Scrutiny between two dates; a year partly covered counts for its share of days. Overlapping ones add."""

    name: Name
    start: dt.date = Field(alias="from", description="First day in force", json_schema_extra=DAYS)
    until: dt.date = Field(description="First day no longer in force", json_schema_extra=DAYS)
    scrutiny: float = Field(ge=0, le=MOST_SCRUTINY, description="1 = the Initiative of 2019-2021")
    targets: list[Origin] = Field(default=["china"], min_length=1, description="Origins that are scrutinised")
    why: Why
    UNCERTAIN: ClassVar[Mapping[str, Kind]] = {"from": "date", "until": "date", "scrutiny": "number"}

    @classmethod
    def limits(cls, key: str, given: Mapping[str, Any]) -> tuple[float, float]:
        """As for every part, but scrutiny has a limit of its own."""
        return (0.0, MOST_SCRUTINY) if key == "scrutiny" else super().limits(key, given)

    @model_validator(mode="after")
    def dates_in_order(self) -> Policy:
        if not FIRST_DAY <= self.start < self.until <= LAST_DAY:
            if self.start >= self.until:
                raise RuleError("until", f"until ({self.until}) must come after from ({self.start})")
            outside = "from" if self.start < FIRST_DAY else "until"
            raise RuleError(outside, f"dates must lie in {FIRST_YEAR}-{LAST_POSSIBLE_YEAR}")
        if len(set(self.targets)) < len(self.targets):
            raise RuleError("targets", "targets names an origin twice")
        return self

    def exposure(self, year: int) -> float:
        """Scrutiny times the share of the year's days on which the policy is in force."""
        first, after = dt.date(year, 1, 1), dt.date(year + 1, 1, 1)
        days = (min(self.until, after) - max(self.start, first)).days
        return self.scrutiny * max(days, 0) / (after - first).days


def _change(op: str) -> Any:
    """The field of one way to change a table; json_schema_extra as in DAYS."""
    return Field(default=None, json_schema_extra={"minimum": LEAST[op], "maximum": LARGEST_VALUE})


class Lever(Part):
    """A change of one yearly table over some years: exactly one of set, add, multiply, a number or one a year."""

    name: Name | None = None
    table: str = Field(description=f"One of {', '.join(TABLES)}", json_schema_extra={"enum": list(TABLES)})
    years: list[Year] = Field(min_length=2, max_length=2, description="First and last year, both included")
    set: float | list[float] | None = _change("set")
    add: float | list[float] | None = _change("add")
    multiply: float | list[float] | None = _change("multiply")
    why: Why
    UNCERTAIN: ClassVar[Mapping[str, Kind]] = {"years": "year", **dict.fromkeys(LEAST, "number")}

    @classmethod
    def limits(cls, key: str, given: Mapping[str, Any]) -> tuple[float, float]:
        """As for every part; what is set lies where its table may, what is added may be negative."""
        table = given.get("table")
        if key == "set" and isinstance(table, str) and table in TABLES:
            return TABLES[table].least, MOST.get(table, LARGEST_VALUE)
        return (-LARGEST_VALUE, LARGEST_VALUE) if key == "add" else super().limits(key, given)

    @model_validator(mode="after")
    def makes_sense(self) -> Lever:
        if self.table not in TABLES:
            raise RuleError("table", f"unknown table '{self.table}'{did_you_mean(self.table, TABLES)}")
        first, last = self.years
        if not FIRST_YEAR <= first <= last <= LAST_POSSIBLE_YEAR:
            span = f"{FIRST_YEAR}-{LAST_POSSIBLE_YEAR}"
            raise RuleError("years", f"years [{first}, {last}] must be in order and lie in {span}")
        given = [name for name in LEAST if getattr(self, name) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise RuleError(given[-1] if given else "set", f"give exactly one of set, add, multiply (found {found})")
        op, values = given[0], getattr(self, given[0])
        if isinstance(values, list) and len(values) != last - first + 1:
            raise RuleError(op, f"{op} lists {len(values)} values for {last - first + 1} years")
        if op == "multiply" and any(v < 0 for v in np.atleast_1d(values)):
            raise RuleError(op, f"{op} must not be negative")
        low, high = TABLES[self.table].least, MOST.get(self.table, LARGEST_VALUE)
        for value in np.atleast_1d(values) if op == "set" else ():
            if not low <= value <= high:
                raise RuleError(op, f"{self.table} cannot be {value:g}: it lies between {low:g} and {high:,g}")
        if any(abs(v) > LARGEST_VALUE for v in np.atleast_1d(values)):
            raise RuleError(op, f"{op} must not exceed {LARGEST_VALUE:,.0f}")
        return self

    def within(self, horizon: int) -> slice:
        """The places of the lever's years in its table, as far as they lie within the horizon."""
        base = FIRST_ENTRY if self.table.startswith("inflow_") else FIRST_YEAR
        return slice(self.years[0] - base, max(min(self.years[1], horizon) + 1, self.years[0]) - base)

    def asked(self, table: Floats, horizon: int) -> Floats:
        """What the lever asks of its years within the horizon, whether or not the table may take such values."""
        before = table[self.within(horizon)]
        op = next(op for op in LEAST if getattr(self, op) is not None)
        value = np.resize(np.atleast_1d(getattr(self, op)), self.years[1] - self.years[0] + 1)[: len(before)]
        return np.asarray({"set": value, "add": before + value, "multiply": before * value}[op], np.float64)

    def apply(self, tables: dict[str, Floats], horizon: int) -> None:
        """Change `tables` in place, as far as the years lie within the horizon and values within what they may be."""
        table = tables[self.table].copy()
        values = self.asked(table, horizon)
        table[self.within(horizon)] = np.clip(values, TABLES[self.table].least, GREATEST)
        tables[self.table] = table


class Outcome(Part):
    """One way an event can end, with its chance and what it brings."""

    name: Name
    chance: float = Field(ge=0, le=1)
    policy: list[Policy] = Field(default=[])
    lever: list[Lever] = Field(default=[])
    UNCERTAIN: ClassVar[Mapping[str, Kind]] = {"chance": "number"}

    @classmethod
    def limits(cls, key: str, given: Mapping[str, Any]) -> tuple[float, float]:
        """A chance lies between 0 and 1."""
        return (0.0, 1.0) if key == "chance" else super().limits(key, given)


class Event(Part):
    """What nobody knows: outcomes with chances. `given` names an earlier outcome without which it does not arise."""

    name: Name
    on: dt.date = Field(description="When it is decided", json_schema_extra=DAYS)
    given: Name | None = Field(default=None, description="An outcome of an earlier event")
    outcomes: list[Outcome] = Field(min_length=1, max_length=12)
    why: Why | None = None
    UNCERTAIN: ClassVar[Mapping[str, Kind]] = {"on": "date"}

    @model_validator(mode="after")
    def chances_add_up(self) -> Event:
        if not FIRST_DAY <= self.on <= LAST_DAY:
            raise RuleError("on", f"on must lie in {FIRST_YEAR}-{LAST_POSSIBLE_YEAR}")
        total = sum(outcome.chance for outcome in self.outcomes)
        if abs(total - 1.0) > 1e-9:
            raise RuleError("outcomes", f"the chances of the outcomes add up to {total:g}, not 1")
        return self


class ScenarioFile(Part):
    """A scenario as a person writes it."""

    title: Name
    question: Sentence = Field(description="What the scenario asks, in one sentence")
    extends: Name | None = Field(default=None, description="Name of the scenario this one changes; one level only")
    drop: list[Name] = Field(default=[], description="Names of inherited policies, levers or events to leave out")
    notes: Annotated[str, READABLE] = ""
    policy: list[Policy] = Field(default=[], max_length=MOST_PARTS)
    lever: list[Lever] = Field(default=[], max_length=MOST_PARTS)
    event: list[Event] = Field(default=[], max_length=MOST_EVENTS)

    @model_validator(mode="after")
    def names_are_unique(self) -> ScenarioFile:
        for kind in ("policy", "lever", "event"):
            names = [part.name for part in getattr(self, kind)]
            for name in names:
                if name is not None and names.count(name) > 1:
                    second = names.index(name, names.index(name) + 1)
                    raise RuleError(f"{kind}[{second}].name", f"two parts of one kind are named '{name}'")
        return self


PARTS: dict[str, type[Part]] = {"policy": Policy, "lever": Lever, "event": Event, "outcomes": Outcome}


def scenario_schema() -> dict[str, Any]:
    """JSON Schema of a scenario file, for editors: the parts, and ranges where a value may be one."""
    document = ScenarioFile.model_json_schema(by_alias=True)
    for model in PARTS.values():
        properties = document["$defs"][model.__name__]["properties"]
        for key, kind in model.UNCERTAIN.items():
            node, a_range = properties[key], {"$ref": f"#/$defs/RangeOf{kind.capitalize()}s"}
            if node.get("type") == "array":
                properties[key] = {**node, "items": {"anyOf": [node["items"], a_range]}}
                continue
            said = {k: node[k] for k in ("title", "description", "default") if k in node}
            shapes = node.get("anyOf") or [{k: v for k, v in node.items() if k not in said}]
            limits = {k: v for k, v in node.items() if k not in said and k != "anyOf"} if "anyOf" in node else {}
            properties[key] = {**said, "anyOf": [*({**shape, **limits} for shape in shapes), a_range]}
    document["$defs"] |= {f"RangeOf{kind.capitalize()}s": schema_of_range(kind) for kind in ("number", "year", "date")}
    return document


def read_scenario_file(path: Path) -> ScenarioFile:
    """Parse and check one file, without what it inherits. Raises ScenarioError."""
    return parse_scenario(read_content(path), path)


def read_content(path: Path) -> bytes:
    """The bytes of a file that may be a scenario. Raises ScenarioError when it is too large or cannot be read."""
    return read_bytes(path, ScenarioError)


def parse_scenario(content: bytes, path: Path) -> ScenarioFile:
    """Parse and check the content of a file, on disk or not; `path` is what errors call it.

    Raises ScenarioError with the first of its problems and the number of the others.
    """
    try:
        return ScenarioFile.model_validate(tables_of(content, path))
    except ValidationError as error:
        first, *others = _problems(error)
        more = f" (and {len(others)} more)" if others else ""
        raise ScenarioError(first.message + more, where=path, place=first.place) from None


def problems_of(content: bytes) -> list[Problem]:
    """Every problem that the content of a file has by itself, the one to show first at the front."""
    try:
        ScenarioFile.model_validate(tables_of(content, None))
    except ScenarioError as error:
        return [Problem("", error.problem, "")]
    except ValidationError as error:
        return _problems(error)
    return []


def lever_of(where: str, **keys: Any) -> Lever:
    """A lever that no file has. Raises UsageError about the option `where`, in the words of a file's own mistakes."""
    try:
        return Lever.model_validate(keys)
    except ValidationError as error:
        raise UsageError(_problems(error)[0].message, where=where) from None


def text_of(content: bytes, path: Path | None) -> str:
    """Content as text, lines ending in LF, without a byte order mark. Raises ScenarioError."""
    return decoded(content, path, ScenarioError)


def tables_of(content: bytes, path: Path | None) -> dict[str, Any]:
    """Content as plain values, before any of them is checked. Raises ScenarioError when it is not TOML."""
    return parsed_toml(text_of(content, path), path, ScenarioError)


def _problems(error: ValidationError) -> list[Problem]:
    """What pydantic found, one problem a place."""
    # A misspelt key explains the one that is then missing, so it goes first.
    found = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    problems: dict[str, Problem] = {}
    for one in found[:MOST_PROBLEMS]:
        place, reason = spelled(one["loc"]), one.get("ctx", {}).get("error")
        inside = reason.at if isinstance(reason, RuleError) else ""
        problems.setdefault(place, Problem(place, _message(one), ".".join(p for p in (place, inside) if p)))
    return list(problems.values())


def _message(error: ErrorDetails) -> str:
    """Pydantic's words where they are plain, ours where they are not."""
    key, kind, given = str(error["loc"][-1]) if error["loc"] else "", error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown name '{key}'{did_you_mean(key, _names_at(error['loc'][:-1]))}"
    if kind == "missing":
        return f"'{key}' is missing"
    if kind == "literal_error":
        nearest = did_you_mean(given if isinstance(given, str) else _quoted(given), ORIGINS)
        return f"unknown value {_quoted(given)}{nearest}"
    if kind.startswith("date_") and isinstance(given, dt.datetime):
        return f"{given.isoformat()} has a time: write the day alone, {given.date()}"
    if kind.startswith("date_"):
        return f"{_quoted(given)} is not a date such as 2025-01-20 (no quotes)"
    said = in_plain_words(error)
    short = isinstance(given, (str, float)) or (isinstance(given, int) and abs(given) < 10**18)
    return said + (f", not {given!r}"[:60] if short and kind != "value_error" else "")


def _quoted(value: object) -> str:
    """A value as its repr; Python writes no numbers of more than 4,300 digits, which TOML has as hexadecimal ones."""
    try:
        return repr(value)
    except ValueError:
        return "a number of thousands of digits"


def spelled(location: Sequence[int | str]) -> str:
    """lever[0].years for ("lever", 0, "years"); the arms of a union are left out."""
    parts = [part for part in location if part not in ("float", "list[float]")]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def _names_at(place: Sequence[int | str]) -> list[str]:
    """The keys that a scenario file may have at a place."""
    model: type[Part] = ScenarioFile
    for part in place:
        model = PARTS.get(str(part), model)
    return [f.alias or name for name, f in model.model_fields.items()]
