"""What the members of a run counted: their tables, worked out part by part, in memory or from a results folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bdsim.model import draws
from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.model.counts import TABLES, Counts
from bdsim.model.fates import Fates
from bdsim.runs.store.parts import Leavers, Lived
from bdsim.runs.store.tables import cohort_rows, collapse, leaver_rows, tidy

__all__ = ["FAILURES", "Counted"]

FAILURES = ("branch", "draw", "seed", "parameters", "error", "traceback")


@dataclass(frozen=True, repr=False)
class Counted:
    """The members of a run, the people in it, and the parts that hold what was counted."""

    manifest: dict[str, Any]
    members: pd.DataFrame  # member, branch, draw, weight, seed, own, agent_doctorate, agent_settled, parameters
    people: pd.DataFrame  # identity, origin, route, field, entry_year, prominence, ties; one row a researcher's agent
    parts: Sequence[Lived]
    failures: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(FAILURES)))
    called: tuple[str, str] = ("", "")  # another name and title, where `distinct` gave them

    @property
    def years(self) -> range:
        return range(FIRST_YEAR, int(self.manifest["horizon"]) + 1)

    def gathered(self, table: str, reduce: Callable[[Floats], Floats] = lambda values: values) -> Floats:
        """A table of all members (a field of Counts, or full_scale), each part first taken through `reduce`.

        `reduce` must keep the first axis, which is members. Raises ResultsError where a table is damaged.
        """
        return np.concatenate([reduce(part.table(table)) for part in self.parts])

    def collapsed(self, table: str, axes: Sequence[str] = (), origin: str = "china") -> Floats:
        """A table shaped as departures summed down to (members, years, *axes); kept, since figures ask again."""
        key = (table, *axes, origin)
        if key not in self._collapsed:
            self._collapsed[key] = self.gathered(table, lambda values: collapse(values, axes, origin))
        return self._collapsed[key]

    @cached_property
    def _collapsed(self) -> dict[tuple[str, ...], Floats]:
        return {}

    @cached_property
    def digests(self) -> NDArray[np.uint64]:
        """A hash of everything counted in a year of a member, shape (members, years).

        Each number's 64 bits are stirred with its place, and all are added up: numbers that differ give another sum.
        """

        def of_part(part: Lived) -> NDArray[np.uint64]:
            total, place = np.zeros((part.members, len(self.years)), np.uint64), 0
            for name in ("departures", "expected", "stocks", "entrants", "retired"):
                cells = (part.table(name) + 0.0).reshape(*total.shape, -1).view(np.uint64)  # -0.0 is 0.0
                places = np.arange(place, place := place + cells.shape[2], dtype=np.uint64)
                total += draws.output(cells, places).sum(axis=2, dtype=np.uint64)
            return total

        return np.concatenate([of_part(part) for part in self.parts])

    @cached_property
    def counts(self) -> Counts:
        """Everything counted, for all members at once; large for large ensembles."""
        tables: dict[str, Any] = {name: self.gathered(name) for name in TABLES}
        return Counts(**tables)

    @cached_property
    def departures(self) -> pd.DataFrame:
        """member, year, origin, route, field, stage, destination, researchers, with_programme."""
        tables = {"researchers": self.gathered("departures"), "with_programme": self.gathered("programme")}
        return tidy(tables, ("field", "stage", "destination"))

    @cached_property
    def stocks(self) -> pd.DataFrame:
        """member, year, origin, route, field, stage, researchers, on 1 January."""
        return tidy({"researchers": self.gathered("stocks")}, ("field", "stage"))

    @cached_property
    def expected(self) -> pd.DataFrame:
        """Like departures, with columns expected, variance and full_scale."""
        tables = {name: self.gathered(name) for name in ("expected", "variance", "full_scale")}
        tables["with_programme"] = self.gathered("programme_expected")
        tables["full_scale_with_programme"] = self.gathered("programme_full_scale")
        return tidy(tables, ("field", "stage", "destination"))

    @cached_property
    def flows(self) -> pd.DataFrame:
        """member, year, origin, route, field, entrants, retired."""
        return tidy({name: self.gathered(name) for name in ("entrants", "retired")}, ("field",))

    @cached_property
    def cohorts(self) -> pd.DataFrame:
        """member, origin, entry_year, as_of, entered, in_us: the doctorate route."""
        parts = zip(self._firsts, self.parts, strict=True)
        return _frame([cohort_rows(part.table("entered"), part.table("left"), first) for first, part in parts])

    @cached_property
    def leavers(self) -> pd.DataFrame:
        """member, person (row of people), year, destination; one row a departure."""
        return _frame([leaver_rows(part.leavers, first) for first, part in zip(self._firsts, self.parts, strict=True)])

    def fates(self) -> Fates:
        """What became of everyone, as model/fates.py has it; shape (members, people)."""
        found = [part.leavers.fates(part.members, len(self.people)) for part in self.parts]
        return np.concatenate([np.zeros((0, len(self.people)), np.uint16), *found])

    def leavers_of(self, members: NDArray[np.int64]) -> Leavers:
        """Who left, of some members in ascending order, numbered anew from 0."""
        found, known = [Leavers.nobody()], 0
        for first, part in zip(self._firsts, self.parts, strict=True):
            start, end = np.searchsorted(members, (first, first + part.members))
            if end > start:
                leavers = part.leavers
                if end - start < part.members:
                    leavers = leavers.of_members(members[start:end] - first)
                found.append(leavers._replace(member=leavers.member + np.uint32(known)))
                known += int(end - start)
        return Leavers(*(np.concatenate(column) for column in zip(*found, strict=True)))

    @cached_property
    def _firsts(self) -> list[int]:
        """The number of the first member of each part."""
        return [0, *accumulate(part.members for part in self.parts)][: len(self.parts)]


def _frame(tables: Sequence[pa.Table]) -> pd.DataFrame:
    """Tables one after the other, to do with as one likes: what Arrow hands over may be read only."""
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame.copy()
