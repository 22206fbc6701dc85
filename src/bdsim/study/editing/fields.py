"""The keys of a scenario file as a form shows them: label, kind of value, bounds, choices, read off the schema.

Also what a person typed into a form as the value it stands for. Text that stands for nothing stays text, so that the
loader says in its own words what is wrong with it.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bdsim.study.editing.toml import same
from bdsim.study.scenario_file import PARTS, ScenarioFile

__all__ = ["Field", "Kind", "alike", "fields_of", "from_form", "item_from_form", "lists_of"]

Kind = Literal["scenario", "policy", "lever", "event", "outcomes"]
Type = Literal["date", "number", "text", "choice", "years", "list"]


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


@functools.cache
def fields_of(kind: Kind) -> tuple[Field, ...]:
    """The keys of a kind of part (or of the scenario itself) that have values, in the order of the schema."""
    schema = _schema(kind)
    required = schema.get("required", [])
    return tuple(
        _field(key, node, key in required) for key, node in schema["properties"].items() if key not in lists_of(kind)
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
