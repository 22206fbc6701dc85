"""What a form shows of a scenario file: the fields of each kind of part, read off the schema, and the parts it has.

Also what a person typed into a form as the value it stands for (text that stands for nothing stays text, so that the
loader says in its own words what is wrong with it), and what a new part is.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bdsim.study.editing.toml import Place, same
from bdsim.study.scenario_file import PARTS, ScenarioFile, spelled
from bdsim.study.uncertainty.part import FIRST_DAY, LAST_DAY
from bdsim.study.uncertainty.ranges import read_range

__all__ = [
    "KINDS",
    "Entry",
    "Field",
    "Kind",
    "PartInForce",
    "alike",
    "all_names",
    "dicts",
    "entries_of",
    "field_at",
    "fields_of",
    "from_form",
    "item_from_form",
    "kind_at",
    "lists_of",
    "named",
    "names_of",
    "offering",
    "part_of",
    "places_below",
    "places_of",
    "start_of",
    "with_outcomes_to_choose",
]

Kind = Literal["scenario", "policy", "lever", "event", "outcomes"]
Type = Literal["date", "number", "text", "choice", "years", "list"]
KINDS: tuple[Kind, ...] = ("policy", "lever", "event", "outcomes")
WHY = "An assumption"
BEGINS = dt.date(2026, 1, 1)  # as most of the scenarios that ship
YEARS_IN_FORCE, YEARS_CHANGED = 4, 10
UNCHANGED = "us_funding"  # the table of a new lever, which multiplies it by 1


@dataclass(frozen=True)
class Field:
    """What a form needs to know of one key."""

    key: str
    label: str
    help: str
    type: Type
    required: bool
    default: Any  # where the file has no such key; None: nothing
    least: float | str | None = None  # of a number, a year or a date (2000-01-01)
    most: float | str | None = None
    choices: tuple[str, ...] = ()  # of a choice, or of the items of a list
    longest: int | None = None  # of a text, in characters
    one_a_year: bool = False  # a number that may also be a list of numbers, one a year
    may_be_range: bool = False  # it, or an item of it, may be a range or distribution


@dataclass(frozen=True)
class Entry:
    """A value with its place and what a form needs to know of it."""

    field: Field
    place: str
    value: Any


@dataclass(frozen=True)
class PartInForce:
    """A policy, lever, event or outcome that a scenario has, its own or inherited."""

    kind: Kind
    name: str | None
    origin: Literal["own", "inherited"]
    place: str
    replaces: str  # the place of the inherited part whose place it takes, or nothing
    entries: tuple[Entry, ...]
    parts: tuple[PartInForce, ...]  # an event's outcomes, an outcome's policies and levers


@functools.cache
def fields_of(kind: Kind) -> tuple[Field, ...]:
    """The keys of a kind of part (or of the scenario itself) that have values, in the order of the schema."""
    schema = _schema(kind)
    required = schema.get("required", [])
    uncertain = PARTS[kind].UNCERTAIN if kind in PARTS else {}
    return tuple(
        replace(_field(key, node, key in required), may_be_range=key in uncertain)
        for key, node in schema["properties"].items()
        if key not in lists_of(kind)
    )


@functools.cache
def lists_of(kind: Kind) -> tuple[str, ...]:
    """The keys that have lists of parts."""
    return tuple(key for key, node in _schema(kind)["properties"].items() if "$ref" in node.get("items", {}))


def from_form(field: Field, value: Any) -> Any:
    """The value that something typed or chosen in a form stands for; None stands for no value at all."""
    if not isinstance(value, str):
        return item_from_form(field, value)
    text = value.replace("\r\n", "\n")
    if text == "" and field.default is None and not field.required:
        return None
    if "{" in text and (found := _range(text)) is not None:
        return found
    if field.type == "date":
        return _date(text)
    if field.type == "years" or (field.one_a_year and re.search(r"[\s,]", text.strip())):
        return _items(field, text)
    return _number(text, float) if field.type == "number" else text


def item_from_form(field: Field, value: Any) -> Any:
    """The same of one item of a field that has a list."""
    if isinstance(value, list | tuple):
        return [item_from_form(field, item) for item in value]
    if isinstance(value, str):
        number = {"years": int, "number": float}.get(field.type)
        return _number(value, number) if number else value.replace("\r\n", "\n")
    if isinstance(value, float | int) and not isinstance(value, bool):
        return float(value) if isinstance(value, float) else int(value)  # NumPy's are floats that TOML does not know
    return value


def alike(one: Any, other: Any) -> bool:
    """Whether a value means what is there already: 1 is as good as 1.0, but true is not."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    numbers = (int, float)
    if type(one) in numbers and type(other) in numbers:
        return one == other or same(one, other)
    return same(one, other)


def _items(field: Field, text: str) -> Any:
    """'2026, 2030' or '2026-2030' as a list; text of which no piece is a number stays text."""
    pieces = re.split(r"[\s,]+" if field.one_a_year else r"[\s,-]+", text.strip().strip("[]").strip())
    items = [item_from_form(field, piece) for piece in pieces]
    return text if all(isinstance(item, str) for item in items) else items


def _range(text: str) -> Any:
    """A range, or a list with ranges, as it stands in a file: '{ low = 0.3, high = 1.0, why = "..." }'."""
    try:
        found = tomllib.loads(f"value = {text.strip()}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return None
    return found if isinstance(found, dict | list) else None


def _date(text: str) -> dt.date | str:
    try:
        return dt.date.fromisoformat(text.strip()) if re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip()) else text
    except ValueError:
        return text


def _number(text: str, number: Callable[[str], float]) -> float | str:
    try:
        return number(text)
    except ValueError:
        return text


def _schema(kind: Kind) -> Mapping[str, Any]:
    model = ScenarioFile if kind == "scenario" else PARTS[kind]
    return model.model_json_schema(by_alias=True)


def _field(key: str, node: Mapping[str, Any], required: bool) -> Field:
    shapes = [shape for shape in node.get("anyOf", [node]) if shape.get("type") != "null"]
    shape = {**shapes[0], **node}
    items = shape.get("items", {})
    bounds = {**items, **shape}
    return Field(
        key=key,
        label=node["title"],
        help=bounds.get("description", ""),
        type=_type(shape, items),
        required=required,
        default=node.get("default"),
        least=bounds.get("minimum", bounds.get("formatMinimum")),
        most=bounds.get("maximum", bounds.get("formatMaximum")),
        choices=tuple(bounds.get("enum", ())),
        longest=bounds.get("maxLength"),
        one_a_year=len(shapes) > 1,
    )


def _type(shape: Mapping[str, Any], items: Mapping[str, Any]) -> Type:
    if shape["type"] == "array":
        return "years" if items.get("type") == "integer" else "list"
    if shape["type"] in ("number", "integer"):
        return "number"
    if shape.get("format") == "date":
        return "date"
    return "choice" if "enum" in shape else "text"


# --- the parts of a file ---------------------------------------------------------------------------------


def with_outcomes_to_choose(parts: Sequence[PartInForce]) -> list[PartInForce]:
    """The parts, each event with the outcomes of those before it as what it may be given."""
    found, decided = [], list[str]()
    for part in parts:
        if part.kind == "event":
            part = replace(part, entries=offering(part.entries, {"given": decided}))
            decided = [*decided, *(outcome.name for outcome in part.parts if outcome.name)]
        found.append(part)
    return found


def kind_at(place: Place) -> Kind | None:
    """What kind of part is at a place; None where it is something else."""
    if not place:
        return "scenario"
    above = kind_at(place[:-2]) if len(place) > 1 else None
    if above is None or not isinstance(place[-1], int) or place[-2] not in lists_of(above):
        return None
    return next(kind for kind in KINDS if kind == place[-2])


def field_at(place: Place) -> Field | None:
    """The field that a place is a value of, or an item of a value."""
    for end in (len(place) - 1, len(place) - 2):
        kind = kind_at(place[:end]) if end >= 0 else None
        found = [field for field in fields_of(kind) if field.key == place[end]] if kind else []
        if found:
            return found[0]
    return None


def places_of(data: Mapping[str, Any]) -> dict[str, Place]:
    """Every place in a file, as the command line spells it: those that it has, and those of keys that it may have."""
    return {spelled(place): place for place in places_below(data, ()) if place}


def places_below(value: Any, at: Place) -> Iterator[Place]:
    """The place of a value, and those of all that is in it or may be."""
    yield at
    if isinstance(value, Mapping):
        kind = kind_at(at)
        possible = [field.key for field in fields_of(kind)] if kind else []
        for key in dict.fromkeys([*value, *possible]):
            yield from places_below(value.get(key), (*at, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places_below(item, (*at, number))


def dicts(data: Mapping[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    """The parts that a file has under a key, with their numbers; anything else is left out."""
    found = data.get(key)
    return [(i, part) for i, part in enumerate(found) if isinstance(part, dict)] if isinstance(found, list) else []


def names_of(data: Mapping[str, Any], key: str) -> list[str]:
    return [part["name"] for _, part in dicts(data, key) if isinstance(part.get("name"), str)]


def named(data: Mapping[str, Any], key: str, name: str | None) -> int | None:
    """The number of the part under a key that has a name."""
    return next((i for i, part in dicts(data, key) if name is not None and part.get("name") == name), None)


def all_names(data: Mapping[str, Any]) -> list[str]:
    """The names of all parts, at whatever depth."""
    found = []
    for kind in KINDS:
        found += names_of(data, kind)
        found += [name for _, part in dicts(data, kind) for name in all_names(part)]
    return found


def entries_of(kind: Kind, data: Mapping[str, Any], place: str) -> tuple[Entry, ...]:
    """The values of a part that lies at `place`, or what holds where it has none."""
    known = ((field, f"{place}.{field.key}".lstrip(".")) for field in fields_of(kind))
    return tuple(Entry(field, at, copy.deepcopy(data.get(field.key, field.default))) for field, at in known)


def offering(entries: Sequence[Entry], choices: Mapping[str, Sequence[str]]) -> tuple[Entry, ...]:
    """The entries, with choices that the schema cannot know: names of what else there is."""
    found = []
    for entry in entries:
        if entry.field.key in choices:
            kind: Literal["list", "choice"] = "list" if entry.field.type == "list" else "choice"
            field = replace(entry.field, type=kind, choices=tuple(choices[entry.field.key]))
            found.append(replace(entry, field=field))
        else:
            found.append(entry)
    return tuple(found)


def part_of(
    kind: Kind, data: Mapping[str, Any], place: str, origin: Literal["own", "inherited"], replaces: str = ""
) -> PartInForce:
    """A part that lies at `place`, with the parts in it."""
    name = data.get("name")
    inside = [
        part_of(key, item, f"{place}.{key}[{i}]", origin)
        for key in KINDS
        if key in lists_of(kind)
        for i, item in dicts(data, key)
    ]
    named = name if isinstance(name, str) else None
    return PartInForce(kind, named, origin, place, replaces, entries_of(kind, data, place), tuple(inside))


def start_of(kind: Kind, taken: Collection[str], holder: Mapping[str, Any]) -> dict[str, Any]:
    """A new part that is valid where `holder` is: the scenario, an event, or for an outcome's parts their event.

    `taken` are names that it must not have.
    """
    if kind == "event":
        names = [_free("New outcome", taken)]
        names.append(_free("New outcome", [*taken, *names]))
        outcomes = [{"name": name, "chance": 0.5} for name in names]
        return {"name": _free("New event", taken), "on": BEGINS, "outcomes": outcomes, "why": WHY}
    if kind == "outcomes":
        return {"name": _free("New outcome", taken), "chance": _what_is_left(holder)}
    first = _first_day(holder)
    if kind == "lever":
        years = [first.year, min(first.year + YEARS_CHANGED - 1, LAST_DAY.year)]
        return {"name": _free("New lever", taken), "table": UNCHANGED, "years": years, "multiply": 1.0, "why": WHY}
    until = min(_later(first, YEARS_IN_FORCE), LAST_DAY)
    name = _free("New policy", taken)
    return {"name": name, "from": first, "until": until, "scrutiny": 1.0, "targets": ["china"], "why": WHY}


def _free(name: str, taken: Collection[str]) -> str:
    number = 1
    while (free := name if number == 1 else f"{name} {number}") in taken:
        number += 1
    return free


def _what_is_left(event: Mapping[str, Any]) -> float:
    """The chance that an event's outcomes leave over; of a range its centre counts, as when the file is read."""
    chances = [_or_range(outcome.get("chance"), "number", "centre") for _, outcome in dicts(event, "outcomes")]
    left = round(1.0 - sum(chance for chance in chances if isinstance(chance, float | int)), 10)
    return left if 0.0 < left <= 1.0 else 0.0


def _first_day(event: Mapping[str, Any]) -> dt.date:
    """Not before the event is decided, and early enough for a day to follow."""
    on = _or_range(event.get("on"), "date", "last")
    decided = on if type(on) is dt.date else FIRST_DAY  # a datetime is a date too, but none that a file may have
    return min(max(BEGINS, decided), LAST_DAY - dt.timedelta(1))


def _or_range(value: Any, kind: Literal["number", "date"], which: Literal["centre", "last"]) -> Any:
    """A value as it is; of a range its centre or its last value, and nothing when it is not a valid one."""
    if not isinstance(value, Mapping):
        return value
    least, most = (FIRST_DAY.toordinal(), LAST_DAY.toordinal()) if kind == "date" else (0.0, 1.0)
    try:
        found = read_range(value, kind, least, most)
    except ValueError:
        return None
    return found.centre if which == "centre" else found.at(1.0)


def _later(day: dt.date, years: int) -> dt.date:
    if day.year + years > LAST_DAY.year:
        return LAST_DAY
    return day.replace(year=day.year + years, day=min(day.day, 28) if day.month == 2 else day.day)
