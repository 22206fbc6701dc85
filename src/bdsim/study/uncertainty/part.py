"""What every part of a scenario file is: known keys, strict types, and values of which some may be ranges."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from bdsim.model.categories import FIRST_YEAR, LAST_POSSIBLE_YEAR
from bdsim.study.uncertainty.ranges import Kind, Range, read_range

__all__ = ["FIRST_DAY", "LARGEST_VALUE", "LAST_DAY", "Part", "RuleError", "with_values"]

MOST_ENDS = 6  # ranges of one part whose ends are tried together
LARGEST_VALUE = 1e6  # of a lever
FIRST_DAY, LAST_DAY = dt.date(FIRST_YEAR, 1, 1), dt.date(LAST_POSSIBLE_YEAR, 12, 31)


class RuleError(ValueError):
    """A rule over several values is broken; `at` is the one to look at first, seen from where the rule holds."""

    def __init__(self, at: str, problem: str) -> None:
        super().__init__(problem)
        self.at = at


class Part(BaseModel):
    """Any part of a scenario file: unknown keys and lax types are refused.

    A value named in `UNCERTAIN` may be a range. Then the field has its centre, and `ranges` the range itself, by key
    (`from`, `years[0]`): whatever asks for one value has one, and whatever draws knows from what. Every rule holds at
    the ends of the ranges as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)
    UNCERTAIN: ClassVar[Mapping[str, Kind]] = {}
    _ranges: dict[str, Range] = PrivateAttr(default_factory=dict)

    @property
    def ranges(self) -> Mapping[str, Range]:
        """What is not known of it."""
        return self._ranges

    @classmethod
    def limits(cls, key: str, given: Mapping[str, Any]) -> tuple[float, float]:  # noqa: ARG003 a lever asks its table
        """Between what the values of a range may lie, days as ordinals."""
        kind = cls.UNCERTAIN[key]
        if kind == "date":
            return float(FIRST_DAY.toordinal()), float(LAST_DAY.toordinal())
        return (float(FIRST_YEAR), float(LAST_POSSIBLE_YEAR)) if kind == "year" else (0.0, LARGEST_VALUE)

    @model_serializer(mode="wrap")
    def plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The values, ranges by their centres, and what the ranges are."""
        ranges = {key: uncertain.plain() for key, uncertain in self._ranges.items()}
        return {**handler(self), **({"ranges": ranges} if ranges else {})}

    def said(self, key: str) -> str:
        """A value in words, a range as one; `key` as in the file, e.g. `from` or `years[0]`."""
        if key in self._ranges:
            return str(self._ranges[key])
        name, _, number = key.partition("[")
        field = next(field for field, f in type(self).model_fields.items() if name in (field, f.alias))
        value = getattr(self, field)
        value = value[int(number.rstrip("]"))] if number else value
        return f"{value:g}" if isinstance(value, float) else str(value)

    @model_validator(mode="wrap")
    @classmethod
    def ranges_apart(cls, given: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if not isinstance(given, dict):
            return handler(given)
        if in_json := info.mode == "json" or bool(info.context):
            given = cls._from_json(given)
        found = cls._found(given)
        centres = with_values(given, {key: r.centre for key, r in found.items()})
        made = handler(centres if found else given)
        free = [key for key, r in found.items() if not r.is_known][:MOST_ENDS]
        for ends in itertools.product((0.0, 1.0), repeat=len(free)) if free else ():
            at_ends = {k: found[k].at(end) for k, end in zip(free, ends, strict=True)}
            cls._check_ends(with_values(centres, at_ends), in_json)
        made._ranges = found
        return made

    @classmethod
    def _from_json(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """What `plain` wrote: days are texts, ranges are apart."""

        def read(value: Any) -> Any:
            return dt.date.fromisoformat(value) if isinstance(value, str) else value

        found = with_values({k: v for k, v in given.items() if k != "ranges"}, given.get("ranges", {}))
        for key in (key for key, kind in cls.UNCERTAIN.items() if kind == "date" and key in found):
            value = found[key]
            is_range = isinstance(value, dict)
            found[key] = {k: v if k == "why" else read(v) for k, v in value.items()} if is_range else read(value)
        return found

    @classmethod
    def _check_ends(cls, given: Mapping[str, Any], in_json: bool) -> None:
        """That every rule holds where ranges end. Raises RuleError."""
        try:
            cls.model_validate(given, context={"json": True} if in_json else None)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            reason = first.get("ctx", {}).get("error")
            at = reason.at if isinstance(reason, RuleError) else str(first["loc"][0])
            raise RuleError(at, f"where a range ends: {first['msg'].removeprefix('Value error, ')}") from None

    @classmethod
    def _found(cls, given: Mapping[str, Any]) -> dict[str, Range]:
        """The ranges among the values, by key. Raises RuleError."""
        found = {}
        for key, kind in cls.UNCERTAIN.items():
            value = given.get(key)
            items = value if isinstance(value, list) else [value]
            for number, item in enumerate(items):
                if isinstance(item, dict):
                    at = f"{key}[{number}]" if isinstance(value, list) else key
                    try:
                        found[at] = read_range(item, kind, *cls.limits(key, given))
                    except ValueError as error:
                        raise RuleError(key, f"{at}: {error}") from None
        return found


def with_values(given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a part with some replaced, by key (`scrutiny`) or place in a list (`years[0]`)."""
    found = dict(given)
    for at, value in values.items():
        key, _, number = at.partition("[")
        if number:
            found[key] = list(found[key])
            found[key][int(number.rstrip("]"))] = value
        else:
            found[key] = value
    return found
