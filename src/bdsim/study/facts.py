"""The rows of files of facts: what each column holds, and one line for what is wrong with a cell."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from bdsim.errors import EvidenceError, did_you_mean, in_plain_words
from bdsim.files.text import read_text

__all__ = ["FILES", "Row", "own_row", "read_rows", "years_of"]


class Row(BaseModel):
    """One line of a facts file; no two lines may agree in all of `key`."""

    key: ClassVar[tuple[str, ...]] = ("year",)

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def blank_is_absent(cls, values: object) -> object:
        """An empty cell means that the file does not say."""
        return {k: v for k, v in values.items() if v != ""} if isinstance(values, dict) else values


MOST = 1e9  # of anything that is counted or spent
Year = Annotated[int, Field(ge=1900, le=2100)]
Count = Annotated[float, Field(ge=0, le=MOST)]
Whole = Annotated[int, Field(ge=0, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]
Origin = Literal["china", "india", "other", "all"]
Position = Literal["engineering_cs", "life", "math_physical", "social"]
AnyField = Literal["engineering_cs", "math_physical", "life", "social", "all"]
Destination = Literal["china", "elsewhere", "all"]


class Spanning(Row):
    """A row about the years `from` to `to`, both included."""

    first: Year = Field(alias="from")
    last: Year = Field(alias="to")

    @model_validator(mode="after")
    def in_order(self) -> Spanning:
        if self.first > self.last:
            raise ValueError(f"from ({self.first}) lies after to ({self.last})")
        return self


class ChinaDepartures(Row):
    key = ("year", "field")
    year: Year
    field: Position
    departures: Whole
    junior: Whole | None = None
    experienced: Whole | None = None
    source: str = ""

    @model_validator(mode="after")
    def part_of_the_whole(self) -> ChinaDepartures:
        for name, count in (("junior", self.junior), ("experienced", self.experienced)):
            if count is not None and count > self.departures:
                raise ValueError(f"{name} ({count}) is more than departures ({self.departures})")
        return self


class Anchor(Spanning):
    key = ("statistic", "first", "last")
    statistic: str
    value: Count
    unit: Literal["count", "count, summed over years", "ratio", "share", "lower bound", "approximate"]
    note: str = ""
    source: str
    field: AnyField | None = None
    destination: Destination | None = None


class Retention(Row):
    key = ("series", "origin", "cohort_from", "cohort_to", "as_of")
    series: str
    origin: Origin
    cohort_from: Year
    cohort_to: Year
    as_of: Year
    stay_rate: Share
    graduates: Annotated[int, Field(ge=1)] | None = None
    source: str


class Doctorates(Row):
    key = ("year", "origin")
    year: Year
    origin: Literal["china", "india", "all"]
    doctorates: Count
    source: str = ""


class DoctoratesByField(Spanning):
    key = ("origin", "field", "first", "last")
    origin: Literal["china", "india", "other"]
    field: Literal[
        "engineering", "computer sciences", "physical sciences", "mathematics", "biological sciences",
        "all science and engineering",
    ]  # fmt: skip
    doctorates: Count
    source: str


class Spending(Row):
    year: Year
    china: float = Field(ge=0.001, le=MOST)
    us: float = Field(ge=0.001, le=MOST)
    source: str = ""


class AgencyFunding(Row):
    year: Year
    nih: Count
    nsf: Count
    source: str = ""


class ScholarFlow(Row):
    year: Year
    us_to_china: Whole
    us_to_hongkong: Whole
    china_to_us: Whole
    source: str = ""


class PolicyEvent(Row):
    key = ("date", "event")
    date: dt.date
    kind: Literal["push", "pull", "event"]
    event: str
    source: str = ""


class SurveyAnswer(Row):
    key = ("statement",)
    statement: str
    share: Share


class TalentBatch(Spanning):
    """Offers of one or several batches; of a span of years it is the sum. `in_us` had a post in the US."""

    key = ("batches",)
    batches: str
    offers: Count
    in_us: Count | None = None
    source: str

    @model_validator(mode="after")
    def part_of_the_whole(self) -> TalentBatch:
        if self.in_us is not None and self.in_us > self.offers:
            raise ValueError(f"in_us ({self.in_us:g}) is more than offers ({self.offers:g})")
        return self


class Effect(Row):
    key = ("name",)
    name: str
    what: str
    value: float
    low: float | None = None
    high: float | None = None
    population: str
    source: str

    @model_validator(mode="after")
    def within(self) -> Effect:
        if not (self.low is None or self.low <= self.value) or not (self.high is None or self.value <= self.high):
            raise ValueError(f"value ({self.value:g}) lies outside low to high")
        return self


FILES: dict[str, type[Row]] = {
    "departures_to_china": ChinaDepartures,
    "departures_anchors": Anchor,
    "retention": Retention,
    "doctorates": Doctorates,
    "doctorates_by_field": DoctoratesByField,
    "rd_expenditure": Spending,
    "us_agency_funding": AgencyFunding,
    "scholar_flows": ScholarFlow,
    "policy_events": PolicyEvent,
    "survey_2022": SurveyAnswer,
    "talent_batches": TalentBatch,
    "effects": Effect,
}

# Columns that mean the same in every file, so that a file of one's own can be a target.
YEARS = ("year", "from", "to", "cohort_from", "cohort_to", "as_of")
LABELS: dict[str, Any] = {
    "origin": Origin,
    "field": AnyField,
    "destination": Destination,
}
REMARKS = ("note", "source")  # about a fact, not part of what it is
PAIRS = (("from", "to"), ("cohort_from", "cohort_to"))


def years_of(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """First and last year that a row (with the names of its columns) speaks of; None if of no year."""
    if row.get("year") is not None:
        return row["year"], row["year"]
    if row.get("from") is not None:
        return row["from"], row["to"]
    if row.get("as_of") is not None:
        return row["as_of"], row["as_of"]
    if row.get("date") is not None:
        return row["date"].year, row["date"].year
    return None


def own_row(path: Path) -> type[Row]:
    """The rows of a file of one's own: years and labels as everywhere, other columns numbers or text.

    A column is one of numbers when every cell that is not empty is a number. Raises EvidenceError.
    """
    header, lines = _cells(path)
    for pair in PAIRS:
        if (pair[0] in header) != (pair[1] in header):
            raise EvidenceError(f"'{pair[0]}' and '{pair[1]}' go together", where=path, place="header")
    fields: dict[str, Any] = {}
    key = []
    for column in header:
        cells = [cell for _, row in lines if (cell := row.get(column, "")) != ""]
        name = f"column_{len(fields)}"
        numbers = column not in (*YEARS, *LABELS) and bool(cells) and all(_is_number(cell) for cell in cells)
        if not numbers and column not in REMARKS:
            key.append(name)
        if column in YEARS:
            fields[name] = (Year, Field(alias=column))
        elif column in LABELS:
            fields[name] = (LABELS[column], Field(alias=column))
        elif numbers:
            fields[name] = (float | None, Field(default=None, alias=column))
        else:
            fields[name] = (str, Field(default="", alias=column))
    model: type[Row] = create_model("OwnRow", __base__=Row, **fields)
    model.key = tuple(key)
    return model


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_rows(path: Path, model: type[Row]) -> tuple[Row, ...]:
    """The checked rows of a file. Raises EvidenceError: file, line, column, problem."""
    header, lines = _cells(path)
    names = [f.alias or n for n, f in model.model_fields.items()]
    for column in header:
        if column not in names:
            raise EvidenceError(f"unknown column '{column}'{did_you_mean(column, names)}", where=path)
    if not lines:
        raise EvidenceError("no facts below the header", where=path)
    checked: dict[tuple[object, ...], Row] = {}
    for line, row in lines:
        try:
            fact = model.model_validate(row)
        except ValidationError as error:
            column, problem = _in_words(error, header)
            place = f"line {line}, {column}" if column else f"line {line}"
            raise EvidenceError(problem, where=path, place=place) from None
        what = tuple(getattr(fact, name) for name in model.key)
        if what in checked:
            said = ", ".join(str(part) for part in what if part != "")
            raise EvidenceError(f"gives {said} a second time", where=path, place=f"line {line}")
        checked[what] = fact
    return tuple(checked.values())


def _cells(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Header, and number and cells of every line that is not empty, as a spreadsheet writes them."""
    reader = csv.reader(io.StringIO(read_text(path, EvidenceError)), strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise EvidenceError(f"cannot be read: {error}", where=path) from error
    if not lines:
        raise EvidenceError("no facts: the file is empty", where=path)
    header = [cell.strip() for cell in lines[0][1]]
    if len(header) == 1 and (found := next((c for c in ";\t|" if c in header[0]), None)):
        problem = f"its columns are separated by {found!r}; save it with commas"
        raise EvidenceError(problem, where=path, place=f"line {lines[0][0]}")
    for column in header:
        if header.count(column) > 1 and column:
            raise EvidenceError(f"two columns are named '{column}'", where=path)
    if "" in header:
        raise EvidenceError(f"column {header.index('') + 1} has no name", where=path, place=f"line {lines[0][0]}")
    for line, cells in lines[1:]:
        if len(cells) > len(header):
            problem = f"{len(cells)} cells for {len(header)} columns; a comma too many?"
            raise EvidenceError(problem, where=path, place=f"line {line}")
    return header, [
        (line, {c: cell.strip() for c, cell in zip(header, cells, strict=False)}) for line, cells in lines[1:]
    ]


def _in_words(error: ValidationError, header: Sequence[str]) -> tuple[str, str]:
    """Column and problem of the first mistake."""
    first = error.errors()[0]
    column, kind, given = str(first["loc"][0]) if first["loc"] else "", first["type"], first["input"]
    limits = first.get("ctx", {})
    if kind == "missing":
        return column, "the cell is empty" if column in header else "the column is missing"
    words = {
        "int_parsing": f"'{given}' is not a whole number",
        "int_from_float": f"'{given}' is not a whole number",
        "float_parsing": f"'{given}' is not a number",
        "finite_number": f"'{given}' is not a finite number",
        "greater_than_equal": f"{given} is less than {limits.get('ge')}",
        "less_than_equal": f"{given} is more than {limits.get('le')}",
        "value_error": in_plain_words(first),
    }
    if kind == "literal_error":
        allowed = str(limits["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        near = did_you_mean(str(given), allowed)
        return column, f"'{given}' is not one of {limits['expected']}{near}"
    if kind.startswith("date"):
        return column, f"'{given}' is not a date such as 2018-11-01"
    return column, words.get(kind, in_plain_words(first))
