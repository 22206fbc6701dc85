"""The parts in a results folder, read back one at a time, so that memory holds one whatever the number of members."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bdsim.errors import ResultsError
from bdsim.model.categories import DESTINATIONS, FIELDS, FIRST_ENTRY, FIRST_YEAR, GROUPS, ORIGINS, Floats
from bdsim.model.counts import AXES
from bdsim.model.fates import fate_of
from bdsim.model.rule import PROGRAMME
from bdsim.runs.store.parts import Leavers
from bdsim.runs.store.tables import COLUMN_OF, PART_TABLES, check_run

__all__ = ["UNREADABLE", "StoredPart", "StoredParts", "read_whole"]

UNREADABLE = (OSError, ValueError, KeyError, IndexError, OverflowError, MemoryError, pa.ArrowException)


def read_whole(path: Path, run: str) -> pd.DataFrame:
    """What `write_whole` wrote. Raises ResultsError for a table of another run, and what UNREADABLE names."""
    rows = pq.read_table(path, page_checksum_verification=True)
    check_run(rows.schema, run, path)
    return rows.to_pandas()


class StoredParts(Sequence["StoredPart"]):
    """The parts in a results folder. Nothing but the tables' footers is read before it is asked for.

    Raises ResultsError for a table that is missing, damaged, of another number of members than `members`, or of another
    run than the one of the fingerprint `run`.
    """

    def __init__(self, folder: Path, years: int, members: int, run: str) -> None:
        self.folder, self.years, self.run = folder, years, run
        self._one_at_a_time = threading.Lock()  # Arrow does not promise that threads may read one file at once
        self._files = {name: _opened(folder / f"{name}.parquet", run) for name in PART_TABLES}
        sizes = self._files["departures"].metadata
        cells = years * len(GROUPS) * len(FIELDS) * len(AXES["stage"]) * len(DESTINATIONS)
        self._members: list[int] = [sizes.row_group(i).num_rows // cells for i in range(sizes.num_row_groups)]
        whole = all(file.num_row_groups == len(self._members) for file in self._files.values())
        if sum(self._members) != members or not whole:
            raise ResultsError("the tables do not belong together; run it again", where=folder)

    def __reduce__(self) -> tuple[type[StoredParts], tuple[Path, int, int, str]]:
        """Copied and pickled as where it is: open files cannot be."""
        return StoredParts, (self.folder.absolute(), self.years, sum(self._members), self.run)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, i: int) -> StoredPart:  # type: ignore[override]  # slices are not asked for
        return StoredPart(self, range(len(self))[i])

    def first_members(self) -> list[int]:
        """The number of the first member of each part."""
        return [0, *accumulate(self._members)][: len(self._members)]

    def columns(self, table: str, part: int, *names: str) -> list[NDArray[Any]]:
        """Columns of one part of a Parquet table; those of words as codes into AXES."""
        with _damage(self.folder / f"{table}.parquet"), self._one_at_a_time:
            rows = self._files[table].read_row_group(part, columns=list(names), use_threads=False)
            return [_codes(rows[name], AXES[name]) if name in AXES else rows[name].to_numpy() for name in names]

    def members(self, part: int) -> int:
        """How many members the part has."""
        return self._members[part]


class StoredPart:
    """One part of a results folder: what `Lived` offers, read when asked for."""

    def __init__(self, parts: StoredParts, number: int) -> None:
        self._parts, self._number = parts, number

    @property
    def members(self) -> int:
        return self._parts.members(self._number)

    def table(self, name: str) -> Floats:
        """As Lived.table."""
        if name in ("entered", "left"):
            return self._cohorts[name]
        table, column, more = COLUMN_OF[name]
        (values,) = self._parts.columns(table, self._number, column)
        shape = (self.members, self._parts.years, len(GROUPS), len(FIELDS))
        return np.asarray(values.reshape(*shape, *(len(AXES[axis]) for axis in more)), np.float64)

    @property  # not kept: a lock of all parts together would come with it
    def leavers(self) -> Leavers:
        names = ("member", "person", "year", "destination", "with_programme")
        member, person, year, destination, recruited = self._parts.columns("leavers", self._number, *names)
        fate = fate_of(year - FIRST_YEAR, np.where(recruited, PROGRAMME, destination))
        first = self._parts.first_members()[self._number]
        return Leavers((member - first).astype(np.uint32), person, fate.astype(np.uint16))

    @cached_property
    def _cohorts(self) -> dict[str, Floats]:
        names = ("member", "origin", "entry_year", "as_of", "entered", "in_us")
        member, origin, entry_year, as_of, entering, in_us = self._parts.columns("cohorts", self._number, *names)
        members, years = self.members, self._parts.years
        cohorts = FIRST_YEAR - FIRST_ENTRY + years
        entered = np.zeros((members, len(ORIGINS), cohorts))
        gone = np.zeros((members, years + 1, len(ORIGINS), cohorts))
        member, cohort = member - self._parts.first_members()[self._number], entry_year - FIRST_ENTRY
        entered[member, origin, cohort] = entering
        gone[member, as_of - FIRST_YEAR, origin, cohort] = entering - in_us
        gone = np.maximum.accumulate(gone, axis=1)
        return {"entered": entered, "left": np.diff(gone, axis=1, prepend=0.0)}


def _codes(words: pa.ChunkedArray, choices: Sequence[str]) -> NDArray[np.int64]:
    """Words as positions among the choices."""
    kept = words.combine_chunks()
    place = np.array([choices.index(word) for word in kept.dictionary.to_pylist()], np.int64)
    return np.asarray(place[kept.indices.to_numpy()])


def _opened(path: Path, run: str) -> pq.ParquetFile:
    if not path.is_file():
        raise ResultsError(f"{path.name} is missing", where=path.parent)
    with _damage(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        check_run(file.schema_arrow, run, path)
        return file


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """What cannot be read, as one line about the table."""
    try:
        yield
    except UNREADABLE as error:
        raise ResultsError(f"{path.name} cannot be read: {error}", where=path.parent) from None
