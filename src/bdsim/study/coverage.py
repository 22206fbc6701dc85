"""What the data in use cover: first and last year of each file of facts, and who published them.

Figures, texts, targets and backtests take years and names from here, so that they are true of a user's data too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bdsim.errors import EvidenceError
from bdsim.model.categories import FIELDS
from bdsim.study.evidence import Evidence, Source, in_spans
from bdsim.study.facts import years_of

__all__ = ["Coverage", "Series", "coverage_of"]

DEPARTURES = "departures_to_china"


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
