"""History as the yearly tables of the model: facts as published, other years rebuilt by rule and flagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bdsim.errors import EvidenceError
from bdsim.model.categories import (
    FIELDS,
    FIRST_ENTRY,
    FIRST_YEAR,
    GROUPS,
    LAST_POSSIBLE_YEAR,
    ORIGINS,
    REFERENCE_YEAR,
    Floats,
)
from bdsim.model.world import TABLES, Timeline
from bdsim.study.evidence import Coverage, Evidence, coverage_of, in_spans
from bdsim.study.facts import Doctorates, DoctoratesByField, Spending, TalentBatch

__all__ = ["History", "Observed", "observed_departures", "offers_known", "rebuild_history", "untold_from"]

EVERY_FIELD = "all science and engineering"
FIELD_OF = {
    "engineering": "engineering_cs",
    "computer sciences": "engineering_cs",
    "physical sciences": "math_physical",
    "mathematics": "math_physical",
    "biological sciences": "life",
}
LATEST = 4  # years of offers whose mean goes on after the last of them
SHAPE_YEARS = 3  # first years of an origin whose share of all doctorates holds before them

Years = Mapping[int, float]
Rebuilt = dict[str, tuple[tuple[int, ...], str]]


@dataclass(frozen=True)
class History:
    """The yearly tables as the facts give them; `rebuilt[table]` are the years that no fact gives, with the rule."""

    timeline: Timeline
    rebuilt: Mapping[str, tuple[tuple[int, ...], str]]
    doctorates: Mapping[str, Floats]  # by origin: shares of the fields among doctorates, where facts tell them

    @property
    def projected(self) -> int:
        """The first year of which no fact tells any table; the year after the horizon where there is none."""
        return untold_from([years for years, _ in self.rebuilt.values()], self.timeline.horizon)

    def fields_of_entrants(self, otherwise: Floats) -> Floats:
        """Shares of the fields among entrants by group, shape (groups, fields); each row adds up to 1.

        `otherwise`, shape (fields,), holds where no fact tells: for those who settle, and for origins whose
        doctorates by field are not in the evidence.
        """
        told = [self.doctorates.get(origin) if route == "doctorate" else None for origin, route in GROUPS]
        return np.array([otherwise if shares is None else shares for shares in told])


def untold_from(rebuilt: Sequence[Sequence[int]], horizon: int) -> int:
    """The first year after everything told, of tables given by their rebuilt years; the year after the horizon where
    the last year is told."""
    year = horizon + 1
    while rebuilt and year > FIRST_YEAR and all(year - 1 in years for years in rebuilt):
        year -= 1
    return year


def rebuild_history(evidence: Evidence, horizon: int, past_growth: float) -> History:
    """The tables of history as it happened, without any policy, FIRST_YEAR (inflow: FIRST_ENTRY) to `horizon`.

    `past_growth` (per year) carries the total inflow backwards from its first published year. After the last
    observed year everything stays flat. Raises EvidenceError when a needed year is missing.
    """
    years = range(FIRST_YEAR, horizon + 1)
    tables, rebuilt = _inflow(evidence, horizon, past_growth)
    for part in (_funding_ratio(evidence, years), _offers(evidence, years), _pull(evidence, years)):
        name, tables[name], rebuilt[name] = part
    for name in TABLES:
        if name not in tables:  # a scenario's to change: scrutiny and waiting 0, indices 1
            as_it_was = 0.0 if name.startswith("scrutiny_") or name == "green_card_wait" else 1.0
            tables[name] = np.full(len(years), as_it_was)
    kept = {name: tables[name] for name in TABLES}
    flagged = {name: rebuilt[name] for name in TABLES if name in rebuilt}
    return History(Timeline(horizon, kept), flagged, _doctorates_by_field(evidence))


Part = tuple[str, Floats, tuple[tuple[int, ...], str]]


def _funding_ratio(evidence: Evidence, years: range) -> Part:
    """Chinese over US research spending; flat after the last year."""
    spending = {r.year: r.china / r.us for r in evidence.of(Spending)}
    last = max(spending)
    missing = [year for year in range(FIRST_YEAR, last) if year not in spending]
    if missing:
        problem = f"a year of R&D spending is missing: {in_spans(missing)}"
        raise EvidenceError(problem, where=evidence.folder / "rd_expenditure.csv")
    table = np.array([spending[min(y, last)] for y in years])
    return "funding_ratio", table, (tuple(y for y in years if y > last), f"flat after {last}")


def offers_known(evidence: Evidence, until: int, years: range) -> Floats:
    """The table of offers as the batches that ended by `until` give it, shape (years,): 0 where none had ended.

    Raises EvidenceError.
    """
    if not any(batch.last <= until for batch in evidence.of(TalentBatch)):
        return np.zeros(len(years))
    return _offers(evidence, years, until)[1]


def _offers(evidence: Evidence, years: range, until: int = LAST_POSSIBLE_YEAR) -> Part:
    """Offers in hand of people with a post in the US: batches spread over their years, then the mean of the last.

    Lists come out within a year and posts are taken up in it or in the next, so half of a year's offers count in each.
    """
    batches = evidence.of(TalentBatch)
    counted = [(b.in_us, b.offers) for b in batches if b.in_us is not None]
    if not counted or sum(offers for _, offers in counted) == 0:
        problem = "no batch says how many had a post in the US (in_us)"
        raise EvidenceError(problem, where=evidence.folder / "talent_batches.csv")
    in_us = sum(here for here, _ in counted) / sum(offers for _, offers in counted)
    made: dict[int, float] = {}
    for batch in (b for b in batches if b.last <= until):
        span = range(batch.first, batch.last + 1)
        for year in span:
            made[year] = made.get(year, 0.0) + batch.offers / len(span)
    last = max(made)
    latest = [made.get(year, 0.0) for year in range(last - LATEST + 1, last + 1)]
    after = sum(latest) / len(latest)
    announced = {y: made.get(y, 0.0) if y <= last else after for y in range(min(made) - 1, max(*years, last) + 1)}
    table = in_us * np.array([0.5 * (announced.get(y - 1, 0.0) + announced.get(y, 0.0)) for y in years])
    spread = sorted(y for b in batches if b.last > b.first for y in range(b.first, b.last + 1) if y >= FIRST_YEAR)
    how = (
        f"sums of several years spread evenly over them; after {last} the mean of {last - LATEST + 1}-{last} "
        f"({min(latest):,.0f} to {max(latest):,.0f} offers a year); half of each year's offers count in the next; "
        f"all times {in_us:.3f}, the share with a post in the US"
    )
    return "offers", table, (tuple(sorted({*spread, *(y for y in years if y > last)})), how)


def _pull(evidence: Evidence, years: range) -> Part:
    """Years of trend since REFERENCE_YEAR, to the last year of the departure series."""
    last = max(year for year, _ in evidence.departures_to_china())
    table = np.array([float(min(y, last) - REFERENCE_YEAR) for y in years])
    how = f"the trend stops after {last}, the last year of the departure series"
    return "pull", table, (tuple(y for y in years if y > last), how)


def _inflow(evidence: Evidence, horizon: int, past_growth: float) -> tuple[dict[str, Floats], Rebuilt]:
    """Doctorates a year by origin from FIRST_ENTRY to `horizon`, and what had to be rebuilt."""
    known: dict[str, dict[int, float]] = {"china": {}, "india": {}, "all": {}}
    for row in evidence.of(Doctorates):
        known[row.origin][row.year] = row.doctorates
    sums = [r for r in evidence.of(DoctoratesByField) if r.field == EVERY_FIELD]
    try:
        tables, rebuilt = {}, {}
        for origin in ("china", "india"):
            spans = [(r.first, r.last, r.doctorates) for r in sums if r.origin == origin]
            name = f"inflow_{origin}"
            tables[name], rebuilt[name] = _of_origin(origin, known, spans, horizon, past_growth)
        every = np.array([_total(known["all"], y, past_growth) for y in range(FIRST_ENTRY, horizon + 1)])
        other = every - tables["inflow_china"] - tables["inflow_india"]
        if other.min() < 0:
            raise ValueError(f"China and India exceed the total of {FIRST_ENTRY + int(np.argmin(other))}")
    except (KeyError, ValueError, ZeroDivisionError) as missing:
        path = evidence.folder / "doctorates.csv"
        raise EvidenceError(f"the inflow cannot be built; missing or contradictory: {missing}", where=path) from None
    tables["inflow_other"] = other
    last = max(max(series) for series in known.values())
    absent = [y for y in range(FIRST_ENTRY, horizon + 1) if any(y not in series for series in known.values())]
    how = f"the total less China and India; {_before(known, past_growth)}; flat after {last}"
    rebuilt["inflow_other"] = (tuple(absent), how)
    return tables, rebuilt


def _total(known: Years, year: int, past_growth: float) -> float:
    first, last = min(known), max(known)
    if year < first:
        return known[first] * float((1.0 + past_growth) ** (year - first))
    return known[min(year, last)]


def _before(known: Mapping[str, Years], past_growth: float) -> str:
    return (
        "other years before the last a constant share of the total; "
        f"the total before {min(known['all'])} grows {past_growth:.1%} a year"
    )


def _of_origin(
    origin: str,
    known: Mapping[str, Years],
    sums: Sequence[tuple[int, int, float]],
    horizon: int,
    past_growth: float,
) -> tuple[Floats, tuple[tuple[int, ...], str]]:
    """Doctorates of one origin; KeyError or ValueError where a year that the rules need is missing.

    Years inside a span of which the sum is published share what the published years leave of it, in the shape of
    the total. Other years before the last have the same share of the total, or that of the first years published.
    """
    own = known[origin]
    filled = dict(own)
    notes, share = [], None
    for first, last, whole in sums:
        unknown = [y for y in range(first, last + 1) if y not in own]
        rest = whole - sum(own.get(y, 0.0) for y in range(first, last + 1))
        if rest < 0:
            problem = f"the published years of {origin} exceed its total of {first}-{last}, {whole:,.0f}"
            raise ValueError(problem)
        if unknown:
            share = rest / sum(_total(known["all"], y, past_growth) for y in unknown)
            filled |= {y: share * _total(known["all"], y, past_growth) for y in unknown}
            notes.append(
                f"{in_spans(unknown)} add up to what the total of {first}-{last} leaves, in the shape of the total"
            )
    if share is None:
        shape = sorted(own)[:SHAPE_YEARS]
        share = sum(own[y] for y in shape) / sum(known["all"][y] for y in shape)
    last = max(filled)
    table = [
        filled[min(y, last)] if y >= last or y in filled else share * _total(known["all"], y, past_growth)
        for y in range(FIRST_ENTRY, horizon + 1)
    ]
    absent = tuple(y for y in range(FIRST_ENTRY, horizon + 1) if y not in own)
    return np.array(table), (absent, "; ".join([*notes, _before(known, past_growth), f"flat after {last}"]))


def _doctorates_by_field(evidence: Evidence) -> dict[str, Floats]:
    """Shares of the fields among doctorates, by origin, where the facts tell them: shape (fields,), adding up to 1."""
    counts = {origin: np.zeros(len(FIELDS)) for origin in ORIGINS}
    for row in evidence.of(DoctoratesByField):
        if row.field != EVERY_FIELD:
            counts[row.origin][FIELDS.index(FIELD_OF[row.field])] += row.doctorates
    found = {origin: table for origin, table in counts.items() if table.any()}
    for origin, table in found.items():
        if not table.all():
            problem = f"doctorates of {origin} in {FIELDS[int(np.argmin(table))]} are missing"
            raise EvidenceError(problem, where=evidence.folder / "doctorates_by_field.csv")
    return {origin: table / table.sum() for origin, table in found.items()}


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
    known: Coverage  # years of every series, and whom to name for them

    @property
    def source(self) -> str:
        """'Observed: Xie et al., PNAS 2023 (doi:...).', for the caption of a figure."""
        return f"Observed: {self.known.credits('departures_to_china', 'departures_anchors')}."


def observed_departures(evidence: Evidence, mainland_stem: float) -> Observed:
    """The published series, for figures. Social sciences are left out, as in the model.

    "all" has the years in which every field is known.
    """
    table = evidence.departures_to_china()
    to_china = {}
    for field in FIELDS:
        years = sorted(year for year, f in table if f == field)
        to_china[field] = (years, [table[y, field] / mainland_stem for y in years])
    whole = sorted(y for y in {year for year, _ in table} if all((y, field) in table for field in FIELDS))
    to_china["all"] = (whole, [sum(table[y, f] for f in FIELDS) / mainland_stem for y in whole])

    def anchors(start: str) -> tuple[list[int], list[float]]:
        rows = [a for a in evidence.anchors() if a.statistic.startswith(start) and a.first == a.last]
        return [a.first for a in rows], [a.value for a in rows]

    # "departures, life sciences" and the like are bounds for one field, not totals
    totals = [a for a in evidence.anchors() if a.statistic == "departures" and a.first == a.last]
    everywhere = ([a.first for a in totals], [a.value for a in totals])
    return Observed(to_china, everywhere, anchors("share going"), coverage_of(evidence))
