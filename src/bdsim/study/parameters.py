"""Every number that shapes behaviour, as data: value, unit, bounds, prior, source (calibration/parameters.toml)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bdsim.errors import ParameterError, did_you_mean, in_plain_words
from bdsim.files.text import read_toml
from bdsim.model.categories import FIELDS, ORIGINS, ROUTES, Floats
from bdsim.model.rule import Weights
from bdsim.model.world import Behaviour
from bdsim.study.shocks import Discrepancy

__all__ = [
    "Parameter",
    "Parameters",
    "Prior",
    "as_markdown",
    "load_parameters",
    "parse_setting",
    "parse_settings",
]

# A file may give narrower bounds, no wider ones: beyond these the model has no meaning, or its arithmetic no number.
WIDEST = {
    "rho": (0.0, 1.0),
    "fade": (0.0, 1.0),
    "rooting": (0.001, 1000.0),
    "counted": (0.0, 1.0),
    "settled_per_doctorate": (-10.0, 10.0),
    "funding_lag": (0.0, 30.0),
    "past_growth": (-0.5, 1.0),
    "field_share.engineering_cs": (0.0, 1.0),
    "field_share.math_physical": (0.0, 1.0),
    "rewired": (0.0, 1.0),
    "sought.engineering_cs": (0.0, 100.0),
    "sought.math_physical": (0.0, 100.0),
    "sigma_common": (0.0, 2.0),
    "sigma_field": (0.0, 2.0),
    "phi": (0.0, 0.99),
    "mainland_stem": (0.01, 1.0),
}
WHOLE = ("funding_lag",)  # numbers of years
WIDEST_OF_OTHERS = (-100.0, 100.0)


class Prior(BaseModel):
    """A normal prior, cut at the bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    mean: float
    sd: float = Field(gt=0)


class Parameter(BaseModel):
    """One number: what it means, what it may be, what was believed of it, and on what ground."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    label: str = Field(min_length=1, max_length=60)
    value: float
    unit: str
    bounds: tuple[float, float] = Field(strict=False)
    prior: Prior | None = None
    identified: Literal["strong", "weak", "none"]
    meaning: str = Field(min_length=1)
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def value_lies_within_bounds(self) -> Parameter:
        low, high = self.bounds
        if not low < high:
            raise ValueError(f"bounds {low:g}, {high:g} are not in order")
        if not low <= self.value <= high:
            raise ValueError(f"value {self.value:g} is outside its bounds {low:g} to {high:g}")
        return self


@dataclass(frozen=True)
class Parameters:
    """All parameters of a study by name, e.g. `push`, `leave_china.china`; `held` names those held at a value."""

    path: Path
    status: str
    note: str
    entries: Mapping[str, Parameter]
    held: tuple[str, ...] = field(default=())

    def __getitem__(self, name: str) -> float:
        if name not in self.entries:
            raise ParameterError(f"unknown parameter '{name}'{did_you_mean(name, self.entries)}")
        return self.entries[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def label(self, name: str) -> str:
        """What figures and tables call the parameter; its own name where the file knows nothing of it."""
        return self.entries[name].label if name in self.entries else name

    @cached_property
    def values(self) -> dict[str, float]:
        return {name: entry.value for name, entry in self.entries.items()}

    def with_values(self, values: Mapping[str, float], *, where: str | None = None) -> Parameters:
        """A copy with some values replaced. Raises ParameterError for an unknown name or a value out of bounds."""
        entries = dict(self.entries)
        for name, value in values.items():
            if name not in entries:
                raise ParameterError(
                    f"unknown parameter '{name}'{did_you_mean(name, entries)}", where=where, place=name
                )
            if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
                raise ParameterError(f"{value!r} is not a number", where=where, place=name)
            low, high = entries[name].bounds
            number = _as_float(value)
            if not low <= number <= high:  # nan is not between any two numbers
                raise ParameterError(f"{number:g} is outside its bounds {low:g} to {high:g}", where=where, place=name)
            _check_whole(name, number, where, name)
            entries[name] = entries[name].model_copy(update={"value": number})
        _check_field_shares(entries, where)
        held = tuple(sorted({*self.held, *values}))
        return Parameters(self.path, self.status, self.note, entries, held)

    def described(self, status: str, note: str) -> Parameters:
        """The same values under another status; nothing counts as held."""
        return Parameters(self.path, status, note, self.entries)

    def behaviour(self) -> Behaviour:
        """The numbers that rule.py takes, in the engine's layout."""
        return Behaviour(
            leave_china=np.array([self[f"leave_china.{origin}"] for origin in ORIGINS]),
            leave_elsewhere=np.array([self[f"leave_elsewhere.{origin}"] for origin in ORIGINS]),
            field_china=np.array([self[f"field_china.{f}"] for f in FIELDS[:-1]] + [0.0]),
            roots=np.array([self[f"roots.{route}"] for route in ROUTES]),
            settled=self["settled"],
            counted=self["counted"],
            weights=Weights(**{name: self[name] for name in Weights._fields}),
        )

    def field_shares(self) -> Floats:
        """Share of entrants by field, shape (fields,), adding up to 1."""
        first, second = (self[f"field_share.{f}"] for f in FIELDS[:-1])
        return np.array([first, second, 1.0 - first - second])

    def sought(self) -> Floats:
        """How much talent programmes look for each field, against life sciences, shape (fields,)."""
        return np.array([*(self[f"sought.{f}"] for f in FIELDS[:-1]), 1.0])

    def discrepancy(self) -> Discrepancy:
        """How large and how lasting the shocks of a year are."""
        return Discrepancy(self["sigma_common"], self["sigma_field"], self["phi"])

    def funding_lag(self) -> int:
        """Years between Chinese and US spending and its being seen."""
        return int(self["funding_lag"])

    def settled_per_doctorate(self) -> float:
        """Settled scientists of Chinese descent entering for each doctorate from China."""
        return math.exp(self["settled_per_doctorate"])


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf


def parse_setting(text: str, where: str = "--set") -> tuple[str, float]:
    """`name=value` of the option `where` of the command line. Raises ParameterError."""
    name, equals, value = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return name.strip(), float(value)
    except ValueError:
        raise ParameterError(f"'{text}' is not of the form name=number", where=where) from None


def parse_settings(texts: Iterable[str], where: str = "--set") -> dict[str, float]:
    """All `name=value` of an option. Raises ParameterError, also for a name that is given twice."""
    found: dict[str, float] = {}
    for name, value in (parse_setting(text, where) for text in texts):
        if name in found:
            raise ParameterError(f"{name}: given twice, {found[name]:g} and {value:g}", where=where)
        found[name] = value
    return found


def load_parameters(path: Path) -> Parameters:
    """Read and check parameters.toml. Raises ParameterError: file, place, problem."""
    tables = read_toml(path, ParameterError)
    status, note = str(tables.pop("status", "")), str(tables.pop("note", ""))
    entries: dict[str, Parameter] = {}
    for section, content in tables.items():
        if section not in ("behaviour", "population", "observation") or not isinstance(content, dict):
            hint = did_you_mean(section, ("behaviour", "population", "observation"))
            raise ParameterError(f"unknown section '{section}'{hint}", where=path, place=section)
        for name, table in _leaves(content):
            if name in entries:
                raise ParameterError("given in two sections", where=path, place=f"{section}.{name}")
            entries[name] = _parameter(table, path, f"{section}.{name}")
    _check_names(entries, path)
    _check_bounds(entries, path)
    for name, entry in entries.items():
        _check_whole(name, entry.value, path, f"{name}.value")
    _check_field_shares(entries, path)
    return Parameters(path, status, note, entries)


def required_names() -> list[str]:
    """The names that parameters.toml must give, no more and no less."""
    return [
        *(f"leave_china.{origin}" for origin in ORIGINS),
        *(f"leave_elsewhere.{origin}" for origin in ORIGINS),
        *(f"field_china.{f}" for f in FIELDS[:-1]),
        *(f"roots.{route}" for route in ROUTES),
        "settled",
        *Weights._fields,
        "settled_per_doctorate",
        "counted",
        "funding_lag",
        "past_growth",
        *(f"field_share.{f}" for f in FIELDS[:-1]),
        *(f"sought.{f}" for f in FIELDS[:-1]),
        "rewired",
        "mainland_stem",
        "productivity",
        "sigma_common",
        "sigma_field",
        "phi",
    ]


def _leaves(tables: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, table in tables.items():
        if isinstance(table, dict) and table and all(isinstance(v, dict) for v in table.values()):
            yield from _leaves(table, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", table


def _parameter(table: Any, path: Path, place: str) -> Parameter:
    try:
        return Parameter.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        inner = ".".join(map(str, first["loc"]))
        hint = did_you_mean(inner, Parameter.model_fields) if first["type"] == "extra_forbidden" else ""
        message = in_plain_words(first) + hint
        raise ParameterError(message, where=path, place=f"{place}.{inner}".rstrip(".")) from None


def _check_names(entries: Mapping[str, Parameter], path: Path) -> None:
    required = required_names()
    for name in entries:
        if name not in required:
            raise ParameterError(f"unknown parameter{did_you_mean(name, required)}", where=path, place=name)
    for name in required:
        if name not in entries:
            raise ParameterError(f"parameter '{name}' is missing", where=path)


def _check_bounds(entries: Mapping[str, Parameter], path: Path) -> None:
    for name, entry in entries.items():
        (low, high), (least, most) = entry.bounds, WIDEST.get(name, WIDEST_OF_OTHERS)
        if low < least or high > most:
            problem = f"bounds {low:g} to {high:g} are wider than {least:g} to {most:g}"
            raise ParameterError(problem, where=path, place=f"{name}.bounds")


def _check_whole(name: str, value: float, where: Path | str | None, place: str) -> None:
    if name in WHOLE and value != round(value):
        raise ParameterError(f"{value:g} is not a whole number", where=where, place=place)


def _check_field_shares(entries: Mapping[str, Parameter], where: Path | str | None) -> None:
    total = sum(entries[f"field_share.{f}"].value for f in FIELDS[:-1])
    if total >= 1.0:
        raise ParameterError(
            f"the shares add up to {total:g} and leave nothing for the life sciences",
            where=where,
            place="field_share",
        )


def as_markdown(parameters: Parameters) -> str:
    """The table of docs/ODD.md."""
    lines = [
        f"Status: {parameters.status}. {parameters.note}",
        "",
        "| name | label | value | unit | bounds | prior (mean, sd) | informed by the data | meaning | source |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in parameters.entries.items():
        prior = f"{entry.prior.mean:.4g}, {entry.prior.sd:g}" if entry.prior else "fixed"
        bounds = f"{entry.bounds[0]:g} to {entry.bounds[1]:g}"
        cells = (
            f"`{name}`",
            entry.label,
            f"{entry.value:.4g}",
            entry.unit,
            bounds,
            prior,
            entry.identified,
            entry.meaning,
            entry.source,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
