"""Facts with their sources: read, checked, listed; and history rebuilt from them where a year is missing.

Nothing in the files is interpolated. What the model needs beyond them is rebuilt here, by the rules of
docs/ODD.md, and flagged as rebuilt wherever it is shown.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bdsim.errors import EvidenceError, did_you_mean
from bdsim.files.text import read_text, read_toml
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, Floats
from bdsim.model.world import TABLES, Timeline
from bdsim.study.layout import Study

__all__ = [
    "Evidence",
    "History",
    "Observed",
    "Source",
    "load_evidence",
    "observed_departures",
    "rebuild_history",
]

CHINA_2001_2020 = 81_803.0  # doctorates, Indicators Table HED-5 (sources.toml: doctorates)


class Row(BaseModel):
    """One line of a facts file; no two lines may agree in all of `key`."""

    key: ClassVar[tuple[str, ...]] = ("year",)

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def blank_is_absent(cls, values: object) -> object:
        """An empty cell means that the file does not say."""
        return {k: v for k, v in values.items() if v != ""} if isinstance(values, dict) else values


Year = Field(ge=1900, le=2100)
MOST = 1e9  # of anything that is counted or spent
Count = Field(ge=0, le=MOST)
Share = Field(ge=0, le=1)
Origin = Literal["china", "india", "other", "all"]
Position = Literal["engineering_cs", "life", "math_physical", "social"]


class ChinaDepartures(Row):
    key = ("year", "field")
    year: int = Year
    field: Position
    departures: int = Count
    junior: int = Count
    experienced: int = Count


class Anchor(Row):
    key = ("statistic", "first", "last")
    statistic: str
    first: int = Field(alias="from", ge=1900, le=2100)
    last: int = Field(alias="to", ge=1900, le=2100)
    value: float = Count
    unit: str
    note: str = ""
    source: str


class Retention(Row):
    key = ("series", "origin", "cohort_from", "cohort_to", "as_of")
    series: str
    origin: Origin
    cohort_from: int = Year
    cohort_to: int = Year
    as_of: int = Year
    stay_rate: float = Share
    graduates: int | None = Field(default=None, ge=1)
    source: str


class Doctorates(Row):
    key = ("year", "origin")
    year: int = Year
    origin: Literal["china", "india", "all"]
    doctorates: float = Count


class Spending(Row):
    year: int = Year
    china: float = Field(ge=0.001, le=MOST)
    us: float = Field(ge=0.001, le=MOST)


class AgencyFunding(Row):
    year: int = Year
    nih: float = Count
    nsf: float = Count


class ScholarFlow(Row):
    year: int = Year
    us_to_china: int = Count
    us_to_hongkong: int = Count
    china_to_us: int = Count


class PolicyEvent(Row):
    key = ("date", "event")
    date: dt.date
    kind: Literal["push", "pull", "event"]
    event: str
    source: str = ""


class SurveyAnswer(Row):
    key = ("statement",)
    statement: str
    share: float = Share


class TalentOffers(Row):
    year: int = Year
    offers: float = Count
    source: str


class Source(BaseModel):
    """Where a file of facts comes from, and what it does not say."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    what: str = Field(min_length=1)
    cite: str = Field(min_length=1)
    doi: str = ""
    caveat: str = ""


FILES: dict[str, type[Row]] = {
    "departures_to_china": ChinaDepartures,
    "departures_anchors": Anchor,
    "retention": Retention,
    "doctorates": Doctorates,
    "rd_expenditure": Spending,
    "us_agency_funding": AgencyFunding,
    "scholar_flows": ScholarFlow,
    "policy_events": PolicyEvent,
    "survey_2022": SurveyAnswer,
    "talent_offers": TalentOffers,
}


@dataclass(frozen=True)
class Evidence:
    """Every fact of a study. `facts[file]` are its checked rows, `sources[file]` where they come from."""

    folder: Path
    facts: Mapping[str, tuple[Row, ...]]
    sources: Mapping[str, Source]

    def rows(self, name: str) -> tuple[Row, ...]:
        """The rows of one file. Raises EvidenceError with the nearest name."""
        if name not in self.facts:
            raise EvidenceError(f"no facts named '{name}'{did_you_mean(name, self.facts)}", where=self.folder)
        return self.facts[name]

    def departures_to_china(self) -> dict[tuple[int, str], int]:
        """Observed departures to mainland China, keyed by (year, field)."""
        rows = [r for r in self.rows("departures_to_china") if isinstance(r, ChinaDepartures)]
        return {(r.year, r.field): r.departures for r in rows}

    def anchors(self) -> list[Anchor]:
        """Published totals over all destinations."""
        return [r for r in self.rows("departures_anchors") if isinstance(r, Anchor)]


@dataclass(frozen=True)
class Observed:
    """What is published of departures of scientists of Chinese descent, on the scale of the model.

    `to_china[field]` and `to_china["all"]` are (years, counts): the mainland table divided by the share of
    departures to China and Hong Kong that it counts. `everywhere` are published totals of all destinations,
    `share_china` published shares to China, both (years, values).
    """

    to_china: Mapping[str, tuple[list[int], list[float]]]
    everywhere: tuple[list[int], list[float]]
    share_china: tuple[list[int], list[float]]


def observed_departures(evidence: Evidence, mainland_stem: float) -> Observed:
    """The published series, for figures. Social sciences are left out, as in the model."""
    table = evidence.departures_to_china()
    fields = ("engineering_cs", "math_physical", "life")
    years = sorted({year for year, _ in table})
    for year in years:
        for field in fields:
            if (year, field) not in table:
                path = evidence.folder / "departures_to_china.csv"
                raise EvidenceError(f"no departures of {field} in {year}", where=path)
    to_china = {f: (years, [table[y, f] / mainland_stem for y in years]) for f in fields}
    to_china["all"] = (years, [sum(table[y, f] for f in fields) / mainland_stem for y in years])

    def anchors(start: str) -> tuple[list[int], list[float]]:
        rows = [a for a in evidence.anchors() if a.statistic.startswith(start) and a.first == a.last]
        return [a.first for a in rows], [a.value for a in rows]

    # "departures, life sciences" and the like are bounds for one field, not totals
    totals = [a for a in evidence.anchors() if a.statistic == "departures" and a.first == a.last]
    return Observed(to_china, ([a.first for a in totals], [a.value for a in totals]), anchors("share going"))


@dataclass(frozen=True)
class History:
    """The yearly tables as the facts give them; `rebuilt[table]` are the years that no fact gives, with the rule."""

    timeline: Timeline
    rebuilt: Mapping[str, tuple[tuple[int, ...], str]]


def load_evidence(study: Study) -> Evidence:
    """Read and check every facts file and sources.toml. Raises EvidenceError: file, line, column, problem."""
    facts = {name: _read(study.evidence / f"{name}.csv", row) for name, row in FILES.items()}
    sources = _read_sources(study.sources)
    for name in facts:
        if name not in sources:
            raise EvidenceError(f"no source for the facts '{name}'", where=study.sources)
    return Evidence(study.evidence, facts, sources)


def _read(path: Path, model: type[Row]) -> tuple[Row, ...]:
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, EvidenceError)), strict=True)
        rows = [(reader.line_num, row) for row in reader]
        header = list(reader.fieldnames or [])
    except csv.Error as error:
        raise EvidenceError(f"cannot be read: {error}", where=path) from error
    for column in header:
        if column not in (names := [f.alias or n for n, f in model.model_fields.items()]):
            raise EvidenceError(f"unknown column '{column}'{did_you_mean(column, names)}", where=path)
        if header.count(column) > 1:
            raise EvidenceError(f"two columns are named '{column}'", where=path)
    if not rows:
        raise EvidenceError("no facts below the header", where=path)
    checked: dict[tuple[object, ...], Row] = {}
    for line, row in rows:
        try:
            fact = model.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            place = f"line {line}" + "".join(f", {part}" for part in first["loc"][:1])
            raise EvidenceError(first["msg"], where=path, place=place) from None
        what = tuple(getattr(fact, name) for name in model.key)
        if what in checked:
            raise EvidenceError(f"gives {', '.join(map(str, what))} a second time", where=path, place=f"line {line}")
        checked[what] = fact
    return tuple(checked.values())


def _read_sources(path: Path) -> dict[str, Source]:
    tables = read_toml(path, EvidenceError)
    sources = {}
    for name, table in tables.items():
        try:
            sources[name] = Source.model_validate(table)
        except ValidationError as error:
            first = error.errors()[0]
            raise EvidenceError(first["msg"], where=path, place=".".join(map(str, (name, *first["loc"])))) from None
    return sources


def rebuild_history(evidence: Evidence, horizon: int, past_growth: float) -> History:
    """The tables of history as it happened, without any policy, FIRST_YEAR (inflow: FIRST_ENTRY) to `horizon`.

    `past_growth` (per year) carries the total inflow backwards from its first published year. After the last
    observed year everything stays flat. Raises EvidenceError when a needed year is missing.
    """
    years = np.arange(FIRST_YEAR, horizon + 1)
    inflow, rebuilt = _inflow(evidence, horizon, past_growth)
    spending = {r.year: r.china / r.us for r in evidence.rows("rd_expenditure") if isinstance(r, Spending)}
    offers = dict(sorted((r.year, r.offers) for r in evidence.rows("talent_offers") if isinstance(r, TalentOffers)))
    if min(spending) > FIRST_YEAR or any(y not in spending for y in range(FIRST_YEAR, max(spending))):
        raise EvidenceError("a year of R&D spending is missing", where=evidence.folder / "rd_expenditure.csv")
    tables: dict[str, Floats] = {name: np.zeros(len(years)) for name in TABLES if name.startswith("scrutiny_")}
    tables["funding_ratio"] = np.array([spending[min(int(y), max(spending))] for y in years])
    for index in ("us_funding", "soft_power", "settlement"):
        tables[index] = np.ones(len(years))
    tables["offers"] = np.interp(years, list(offers), list(offers.values()), left=0.0)
    tables |= inflow
    flat = tuple(int(y) for y in years if y > max(spending))
    rebuilt["funding_ratio"] = (flat, f"flat after {max(spending)}")
    rebuilt["offers"] = (
        tuple(int(y) for y in years if y > min(offers) and y not in offers),
        f"straight lines between the published years, flat after {max(offers)}",
    )
    return History(Timeline(horizon, tables), rebuilt)


def _inflow(
    evidence: Evidence, horizon: int, past_growth: float
) -> tuple[dict[str, Floats], dict[str, tuple[tuple[int, ...], str]]]:
    """Doctorates a year by origin from FIRST_ENTRY to `horizon`, and what had to be rebuilt."""
    known: dict[str, dict[int, float]] = {"china": {}, "india": {}, "all": {}}
    for row in evidence.rows("doctorates"):
        if isinstance(row, Doctorates):
            known[row.origin][row.year] = row.doctorates
    try:
        tables = _inflow_tables(known, horizon, past_growth)
    except (KeyError, ValueError, ZeroDivisionError) as missing:
        path = evidence.folder / "doctorates.csv"
        raise EvidenceError(f"the inflow cannot be built; missing or contradictory: {missing}", where=path) from None
    first, last = min(known["all"]), max(known["all"])
    entry_years = range(FIRST_ENTRY, horizon + 1)
    before = f"earlier years a constant share of the total; the total before {first} grows {past_growth:.1%} a year"
    after = f"flat after {last}"
    rebuilt = {
        "inflow_china": (
            _absent(known["china"], entry_years),
            f"2001-2007 add up to what the total of 2001-2020 leaves, in the shape of the total; {before}; {after}",
        ),
        "inflow_india": (_absent(known["india"], entry_years), f"{before}; {after}"),
        "inflow_other": (
            _absent(known["china"], entry_years),
            f"the total less China and India; {before}; {after}",
        ),
    }
    return tables, rebuilt


def _inflow_tables(known: Mapping[str, Mapping[int, float]], horizon: int, past_growth: float) -> dict[str, Floats]:
    """Inflow by origin; KeyError or ValueError where a year that the rules need is missing."""
    first, last = min(known["all"]), max(known["all"])

    def total(year: int) -> float:
        if year < first:
            return known["all"][first] * float((1.0 + past_growth) ** (year - first))
        return known["all"][min(year, last)]

    published = sum(known["china"][y] for y in range(2008, 2021))
    china_share = (CHINA_2001_2020 - published) / sum(total(y) for y in range(2001, 2008))
    start = min(known["india"])
    three = range(start, start + 3)
    india_share = sum(known["india"][y] for y in three) / sum(total(y) for y in three)

    def of(origin: str, share: float, year: int) -> float:
        years = known[origin]
        return share * total(year) if year < min(years) else years[min(year, max(years))]

    entry_years = range(FIRST_ENTRY, horizon + 1)
    china = np.array([of("china", china_share, y) for y in entry_years])
    india = np.array([of("india", india_share, y) for y in entry_years])
    every = np.array([total(y) for y in entry_years])
    if min(china.min(), india.min()) < 0:
        raise ValueError(f"China's published years exceed its total of 2001-2020, {CHINA_2001_2020:,.0f}")
    if (every - china - india).min() < 0:
        year = entry_years[int(np.argmin(every - china - india))]
        raise ValueError(f"China and India exceed the total of {year}")
    return {"inflow_china": china, "inflow_india": india, "inflow_other": every - china - india}


def _absent(known: Mapping[int, float], years: range) -> tuple[int, ...]:
    return tuple(year for year in years if year not in known)
