"""Facts with their sources: read, checked, listed. Nothing is interpolated here (see history.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bdsim.errors import EvidenceError, did_you_mean
from bdsim.files.text import read_toml
from bdsim.study.facts import FILES, Anchor, ChinaDepartures, Effect, Row, own_row, read_rows
from bdsim.study.layout import Study

__all__ = ["Evidence", "Source", "in_spans", "load_evidence"]

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
            problem = f"unknown name '{key}'{did_you_mean(key, Source.model_fields)}" if unknown else first["msg"]
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
