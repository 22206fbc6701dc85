"""Facts with their sources: read, checked, listed, and what they cover. Nothing is interpolated here (see history.py).

Figures, texts, targets and backtests take years and publishers from `coverage_of`, so that they are true of a user's
data too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bdsim.errors import EvidenceError, did_you_mean, in_plain_words
from bdsim.files.text import read_toml
from bdsim.model.categories import FIELDS
from bdsim.study.facts import FILES, Anchor, ChinaDepartures, Effect, Row, own_row, read_rows, years_of
from bdsim.study.layout import Study

__all__ = ["Coverage", "Evidence", "Series", "Source", "coverage_of", "in_spans", "load_evidence"]

DEPARTURES = "departures_to_china"

Span = Annotated[list[int], Field(min_length=2, max_length=2)]
AnyRow = TypeVar("AnyRow", bound=Row)


class Source(BaseModel):
    """Where a file of facts comes from, and what it does not say."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    by: str = ""  # who is named beside a figure; `cite` where it is not given
    covers: Span | dict[str, Span] | None = None  # first and last year that `by` publishes, perhaps by origin
    what: str = Field(min_length=1)
    cite: str = Field(min_length=1)
    doi: str = ""
    caveat: str = ""

    @property
    def publisher(self) -> str:
        """Who is named beside a figure, with the DOI where there is one."""
        return (self.by or self.cite) + (f" (doi:{self.doi})" if self.doi else "")


@dataclass(frozen=True)
class Evidence:
    """Every fact of a study. `facts[file]` are its checked rows, `sources[file]` where they come from.

    `unread` are CSV files of the folder without an entry in sources.toml: notes, not evidence.
    """

    folder: Path
    facts: Mapping[str, tuple[Row, ...]]
    sources: Mapping[str, Source]
    unread: tuple[str, ...] = ()

    def rows(self, name: str) -> tuple[Row, ...]:
        """The rows of one file. Raises EvidenceError with the nearest name."""
        if name not in self.facts:
            raise EvidenceError(f"no facts named '{name}'{did_you_mean(name, self.facts)}", where=self.folder)
        return self.facts[name]

    def of(self, kind: type[AnyRow]) -> list[AnyRow]:
        """The rows of the one shipped file that holds rows of this kind."""
        name = next(name for name, model in FILES.items() if model is kind)
        return [row for row in self.rows(name) if isinstance(row, kind)]

    def departures_to_china(self) -> dict[tuple[int, str], int]:
        """Observed departures to mainland China, keyed by (year, field)."""
        return {(r.year, r.field): r.departures for r in self.of(ChinaDepartures)}

    def anchors(self) -> list[Anchor]:
        """Published totals over all destinations."""
        return self.of(Anchor)

    def effects(self) -> dict[str, Effect]:
        """Published sizes of effects by their short name."""
        return {r.name: r for r in self.of(Effect)}

    @property
    def files(self) -> list[Path]:
        """The files that the facts were read from, those of sources.toml without facts left out."""
        return [self.folder / f"{name}.csv" for name in self.facts]


def load_evidence(study: Study) -> Evidence:
    """Read and check sources.toml and every facts file that it names.

    Raises EvidenceError: file, line, column, problem.
    """
    sources = _read_sources(study.sources)
    for name in FILES:
        if name not in sources:
            raise EvidenceError(f"no source for the facts '{name}'", where=study.sources)
    facts = {}
    for name in (*FILES, *(n for n in sources if n not in FILES)):
        path = study.evidence / f"{name}.csv"
        if name not in FILES and not path.is_file():
            raise EvidenceError(f"describes {path.name}, which does not exist", where=study.sources, place=name)
        facts[name] = read_rows(path, FILES[name] if name in FILES else own_row(path))
        _check_coverage(name, facts[name], sources[name], study)
    unread = tuple(sorted(p.name for p in study.evidence.glob("*.csv") if p.stem not in sources))
    return Evidence(study.evidence, facts, sources, unread)


def _check_coverage(name: str, rows: Iterable[Row], source: Source, study: Study) -> None:
    """A year that the publisher gives may not be missing from the file. Raises EvidenceError."""
    if source.covers is None:
        return
    series: dict[tuple[str, str], set[int]] = {}
    for row in rows:
        cells = row.model_dump(by_alias=True)
        if "year" not in cells:
            return
        series.setdefault((cells.get("origin", ""), cells.get("field", "")), set()).add(cells["year"])
    origins = {origin for origin, _ in series}
    if isinstance(source.covers, dict):
        spans = source.covers
        for origin in spans:
            if origin not in origins:
                hint = did_you_mean(origin, sorted(origins))
                raise EvidenceError(f"no rows of '{origin}'{hint}", where=study.evidence / f"{name}.csv")
    else:
        spans = dict.fromkeys(origins, source.covers)
    for (origin, field), years in series.items():
        if origin in spans:
            first, last = spans[origin]
            gone = [year for year in range(first, last + 1) if year not in years]
            if gone:
                what = " ".join(part for part in (origin, field) if part)
                problem = f"no row for {in_spans(gone)}{f' of {what}' if what else ''}: {source.by or 'its source'} "
                problem += f"publishes {first}-{last} (sources.toml, {name}.covers)"
                raise EvidenceError(problem, where=study.evidence / f"{name}.csv")


def _read_sources(path: Path) -> dict[str, Source]:
    tables = read_toml(path, EvidenceError)
    sources = {}
    for name, table in tables.items():
        try:
            sources[name] = Source.model_validate(table)
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0]) if first["loc"] else ""
            unknown = first["type"] == "extra_forbidden"
            problem = (
                f"unknown name '{key}'{did_you_mean(key, Source.model_fields)}" if unknown else in_plain_words(first)
            )
            raise EvidenceError(problem, where=path, place=".".join(map(str, (name, *first["loc"])))) from None
    return sources


def in_spans(years: Iterable[int]) -> str:
    """2000, 2001, 2002, 2008 as '2000-2002, 2008'."""
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and year == runs[-1][1] + 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


@dataclass(frozen=True)
class Series:
    """One file of facts: the years it speaks of and whom to name for them."""

    file: str
    first: int
    last: int
    credit: str  # 'Xie et al., PNAS 2023 (doi:...)', and who gave the years that these did not publish

    @property
    def years(self) -> str:
        """'2000-2021'."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True)
class Coverage:
    """`series[file]` for every file of facts that speaks of years."""

    series: Mapping[str, Series]

    def __getitem__(self, file: str) -> Series:
        return self.series[file]

    @property
    def departures(self) -> Series:
        """The yearly series of departures to China, of the fields that the model has."""
        return self.series[DEPARTURES]

    @property
    def no_later(self) -> str:
        """'No departure data after 2021.', for the caption of a figure."""
        return f"No departure data after {self.departures.last}."

    def ends_before(self, year: int) -> bool:
        """Whether the departure series ends before `year`."""
        return self.departures.last < year

    def credits(self, *files: str) -> str:
        """Whom to name for several files, each once: 'Xie et al., PNAS 2023 (doi:...); CSET 2022; NCSES'."""
        return "; ".join(dict.fromkeys(part for f in files for part in self.series[f].credit.split("; ")))


def coverage_of(evidence: Evidence) -> Coverage:
    """Read off the facts themselves what they cover. Raises EvidenceError when there is no departure series."""
    series = {}
    for file in evidence.facts:
        spans = list(_spans(evidence, file))
        if spans:
            first, last = min(s[0] for s in spans), max(s[1] for s in spans)
            series[file] = Series(file, first, last, _credit(file, evidence.sources[file], spans))
    if DEPARTURES not in series:
        problem = f"no departures in any field of the model ({', '.join(FIELDS)})"
        raise EvidenceError(problem, where=evidence.folder / f"{DEPARTURES}.csv")
    return Coverage(series)


def _spans(evidence: Evidence, file: str) -> Iterator[tuple[int, int, str, str]]:
    """First year, last year, origin and own source of every row that counts."""
    for row in evidence.rows(file):
        cells = row.model_dump(by_alias=True)
        years = years_of(cells)
        if years is not None and (file != DEPARTURES or cells["field"] in FIELDS):
            yield *years, str(cells.get("origin", "")), str(cells.get("source", ""))


def _credit(file: str, source: Source, spans: list[tuple[int, int, str, str]]) -> str:
    """The publisher, and for rows of other years than `covers` their own source or that they have none."""
    others: dict[str, set[int]] = {}
    for first, last, origin, own in spans:
        covered = source.covers.get(origin) if isinstance(source.covers, dict) else source.covers
        if covered is not None and not covered[0] <= first <= last <= covered[1]:
            others.setdefault(own or f"added to {file}.csv without a source", set()).update(range(first, last + 1))
    return "; ".join([source.publisher, *(f"{in_spans(years)}: {who}" for who, years in others.items())])
