"""Parts of an ensemble as tidy Parquet tables: written part by part, read back part by part.

One row group a part in every table, so that memory holds one part whatever the number of members.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bdsim.errors import ResultsError, UsageError, did_you_mean
from bdsim.model.categories import DESTINATIONS, FIELDS, FIRST_ENTRY, FIRST_YEAR, GROUPS, ORIGINS, Floats
from bdsim.model.counts import AXES, selection
from bdsim.model.fates import destination_of, fate_of, with_programme, year_left
from bdsim.model.rule import CAREER, PROGRAMME
from bdsim.runs.store.parts import Chosen, Leavers, Part
from bdsim.runs.workers import ahead

__all__ = [
    "COLUMNS",
    "PART_TABLES",
    "UNREADABLE",
    "StoredPart",
    "StoredParts",
    "cohort_rows",
    "collapse",
    "leaver_rows",
    "read_whole",
    "write_parts",
    "write_whole",
]

GROUP_LABELS = {"origin": [o for o, _ in GROUPS], "route": [r for _, r in GROUPS]}

UNREADABLE = (OSError, ValueError, KeyError, IndexError, OverflowError, MemoryError, pa.ArrowException)
RUN = b"bdsim run"  # key of a table's metadata
PART_TABLES = ("departures", "stocks", "expected", "flows", "cohorts", "leavers")
CELLS = {
    "departures": ("field", "stage", "destination"),
    "stocks": ("field", "stage"),
    "expected": ("field", "stage", "destination"),
    "flows": ("field",),
}
COLUMN_OF = {  # a part's table: the Parquet table, its column, the axes after years, groups and fields
    "departures": ("departures", "researchers", ("stage", "destination")),
    "expected": ("expected", "expected", ("stage", "destination")),
    "variance": ("expected", "variance", ("stage", "destination")),
    "full_scale": ("expected", "full_scale", ("stage", "destination")),
    "programme": ("departures", "with_programme", ("stage", "destination")),
    "programme_expected": ("expected", "with_programme", ("stage", "destination")),
    "programme_full_scale": ("expected", "full_scale_with_programme", ("stage", "destination")),
    "stocks": ("stocks", "researchers", ("stage",)),
    "entrants": ("flows", "entrants", ()),
    "retired": ("flows", "retired", ()),
}

COLUMNS = {
    "member": "number of the ensemble member",
    "branch": "way through the scenario's events",
    "draw": "members with the same draw share luck across scenarios and branches",
    "weight": "weight of the member; weights of a run add up to 1",
    "seed": "seed of the member's random numbers (64 bits, hexadecimal)",
    "own": "digest of all that the engine is given of the member alone: behaviour, agents, seed",
    "agent_doctorate": "researchers that an agent of the doctorate route stands for in this member",
    "agent_settled": "researchers that an agent of the settled route stands for in this member",
    "shock.SERIES.YEAR": "what moves everyone's log rate of leaving in a year and the model does not know",
    "parameter.NAME": "value of the parameter NAME in this member, of each that differs between members",
    "assumption.NAME": "what the member drew of the range NAME in the scenario file; days as years with a fraction",
    "year": "calendar year",
    "origin": "china (Chinese descent), india or other",
    "route": "doctorate (US doctorate on a temporary visa) or settled (of Chinese descent, other ways)",
    "field": "engineering_cs, math_physical or life",
    "stage": "early (0-5 years since entry), mid (6-14), senior (15 and more)",
    "destination": "china or elsewhere",
    "researchers": "number of researchers (departures: during the year; stocks: on 1 January)",
    "expected": "departures expected given the state of 1 January, in researchers",
    "full_scale": "departures drawn around what is expected, with the chance of single researchers",
    "with_programme": "those of them who left with a talent programme, all for China (summary.csv: their mean)",
    "full_scale_with_programme": "of the departures at full scale, those with a talent programme",
    "variance": "variance of the departures if each researcher chose alone, in researchers squared",
    "entrants": "researchers who entered on 1 January",
    "retired": "researchers who left research after 38 years, at the end of the year",
    "entry_year": "year of entry",
    "as_of": "on 1 January of this year",
    "entered": "researchers of the cohort (doctorate route)",
    "in_us": "of those, the ones who had not left the US (the retired count as here)",
    "person": "row number in people, from 0",
    "identity": "64-bit identity of a researcher (docs/ODD.md)",
    "prominence": "rank in (0, 1)",
    "ties": "ties to China at entry, in [0, 1]",
    "parameters": "of a member that failed, by name, as JSON",
    "error": "what it raised",
    "traceback": "where it raised it",
}


def write_parts(folder: Path, parts: Sequence[Part | StoredPart | Chosen], run: str) -> None:
    """Write the tables of all members of the run of this fingerprint into `folder`, one part at a time."""
    # Files close after the threads that write to them have ended, whatever ends this: the other way round crashes.
    with contextlib.ExitStack() as files, ThreadPoolExecutor() as pool:
        writers: dict[str, pq.ParquetWriter] = {}
        first_member = 0
        for members, tables in ahead(lambda number: _rows(parts[number]), range(len(parts))):
            for name in tables.keys() - writers.keys():
                schema = of_run(tables[name].schema, run)
                writers[name] = files.enter_context(_writer(folder / f"{name}.parquet", schema))
            numbered = (_numbered_from(first_member, table) for table in tables.values())
            list(pool.map(_write_group, (writers[name] for name in tables), numbered))
            first_member += members


def of_run(schema: pa.Schema, run: str) -> pa.Schema:
    """A schema that says to which run its table belongs, so that tables of two runs cannot be mixed unseen."""
    return schema.with_metadata({**(schema.metadata or {}), RUN: run.encode()})


def check_run(schema: pa.Schema, run: str, path: Path) -> None:
    """Raises ResultsError for a table of another run."""
    found = (schema.metadata or {}).get(RUN, b"").decode(errors="replace")
    if found != run:
        raise ResultsError(f"{path.name} belongs to another run ({found or 'unknown'}, not {run})", where=path.parent)


def write_whole(path: Path, table: pd.DataFrame, run: str) -> None:
    """A table that is not written part by part."""
    rows = pa.Table.from_pandas(table, preserve_index=False)
    rows = rows.replace_schema_metadata(of_run(rows.schema, run).metadata)
    pq.write_table(rows, path, compression="zstd", write_page_checksum=True)


def read_whole(path: Path, run: str) -> pd.DataFrame:
    """What `write_whole` wrote. Raises ResultsError for a table of another run, and what UNREADABLE names."""
    rows = pq.read_table(path, page_checksum_verification=True)
    check_run(rows.schema, run, path)
    return rows.to_pandas()


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Dictionaries pay for all but columns in which hardly a value comes twice; of leavers, all goes by small steps.

    Only members have statistics: nobody looks for rows by anything else. Nothing is ever missing.
    """
    apart = {"expected", "variance", "person", *(["with_programme"] if "variance" in schema.names else [])}
    steps = {"member", "person", "year"} if "person" in schema.names else set()
    return pq.ParquetWriter(
        path, pa.schema([column.with_nullable(False) for column in schema], schema.metadata),
        compression="zstd", write_page_checksum=True, write_statistics=["member"],
        use_dictionary=[name for name in schema.names if name not in apart | steps],
        column_encoding=dict.fromkeys(steps, "DELTA_BINARY_PACKED") or None,
    )  # fmt: skip


def _write_group(writer: pq.ParquetWriter, rows: pa.Table) -> None:
    rows = pa.Table.from_arrays(rows.columns, schema=writer.schema)
    writer.write_table(rows, row_group_size=max(1, len(rows)))  # left to itself, it would split a large part


def _rows(part: Part | StoredPart | Chosen) -> tuple[int, dict[str, pa.Table]]:
    """How many members a part has, and their rows of every table, members numbered from 0."""
    rows = {}
    for name, axes in CELLS.items():
        values = {column: part.table(table) for table, (of, column, _) in COLUMN_OF.items() if of == name}
        table = _cells(next(iter(values.values())).shape, axes)
        for column, array in values.items():
            table = table.append_column(column, pa.array(array.ravel()))
        rows[name] = table
    rows["cohorts"] = cohort_rows(part.table("entered"), part.table("left"))
    rows["leavers"] = leaver_rows(part.leavers)
    return part.members, rows


def _numbered_from(first: int, table: pa.Table) -> pa.Table:
    return table.set_column(0, table.schema.field(0), pc.add(table["member"], pa.scalar(first, pa.int32())))


@lru_cache(maxsize=2 * len(CELLS))
def _cells(shape: tuple[int, ...], axes: tuple[str, ...]) -> pa.Table:
    """What stands beside the values of `tidy`: the same for all parts of a size."""
    frame = tidy({"value": np.zeros(shape)}, axes).drop(columns="value")
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def leaver_rows(leavers: Leavers, first_member: int = 0) -> pa.Table:
    """member, person (row of people), year, destination, with_programme; one row a departure."""
    return pa.table(
        {
            "member": leavers.member.astype(np.int32) + np.int32(first_member),
            "person": leavers.person,
            "year": year_left(leavers.fate).astype(np.int32),
            "destination": pa.DictionaryArray.from_arrays(
                destination_of(leavers.fate).astype(np.int8), list(DESTINATIONS)
            ),
            "with_programme": with_programme(leavers.fate),
        }
    )


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
    """One part of a results folder: what `Part` offers, read when asked for."""

    def __init__(self, parts: StoredParts, number: int) -> None:
        self._parts, self._number = parts, number

    @property
    def members(self) -> int:
        return self._parts.members(self._number)

    def table(self, name: str) -> Floats:
        """As Part.table."""
        if name in ("entered", "left"):
            return self._cohorts[name]
        table, column, more = COLUMN_OF[name]
        (values,) = self._parts.columns(table, self._number, column)
        shape = (self.members, self._parts.years, len(GROUPS), len(FIELDS))
        return np.asarray(values.reshape(*shape, *(len(AXES[axis]) for axis in more)), np.float64)

    @cached_property
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


def tidy(tables: dict[str, Floats], axes: Sequence[str], first_member: int = 0) -> pd.DataFrame:
    """Arrays of shape (members, years, groups, ...) as one row per cell, groups split into origin and route.

    `axes` names what follows the groups: field, stage, destination. Members are numbered from `first_member`.
    """
    shape = next(iter(tables.values())).shape
    index = np.indices(shape, dtype=np.int32).reshape(len(shape), -1)
    columns: dict[str, object] = {
        "member": index[0] + np.int32(first_member),
        "year": (index[1] + FIRST_YEAR).astype(np.int32),
    }
    for name, labels in GROUP_LABELS.items():
        codes = np.array([AXES[name].index(label) for label in labels])[index[2]]
        columns[name] = pd.Categorical.from_codes(codes, categories=AXES[name])
    for axis, codes in zip(axes, index[3:], strict=True):
        columns[axis] = pd.Categorical.from_codes(codes, categories=AXES[axis])
    columns |= {name: table.ravel() for name, table in tables.items()}
    return pd.DataFrame(columns)


def cohort_rows(entering: Floats, left: Floats) -> pa.Table:
    """Doctorate cohorts: how many entered and how many had not left by each 1 January (the retired have not).

    `entering` and `left` are Counts.entered and Counts.left; members are numbered from 0.
    """
    gone = np.cumsum(left, axis=1)  # (members, as_of, origins, cohorts); as_of from FIRST_YEAR
    entered = np.broadcast_to(entering[:, None], gone.shape)
    there, labels = _cohort_cells(gone.shape)
    began = entered.ravel()[there]
    values = {"entered": pa.array(began), "in_us": pa.array(began - gone.ravel()[there])}
    return pa.table({name: labels[name] for name in labels.column_names} | values)


@lru_cache(maxsize=2)
def _cohort_cells(shape: tuple[int, ...]) -> tuple[NDArray[np.int64], pa.Table]:
    """Which cells of (members, as_of, origins, cohorts) are told, those of a career; and what stands beside them."""
    as_of, entry = FIRST_YEAR + np.arange(shape[1]), FIRST_ENTRY + np.arange(shape[3])
    lived = as_of[:, None] - entry[None, :]
    there = np.broadcast_to(((lived >= 1) & (lived <= CAREER))[:, None, :], shape).ravel().nonzero()[0]
    member, when, origin, cohort = np.unravel_index(there, shape)
    labels = {
        "member": pa.array(member.astype(np.int32)),
        "origin": pa.DictionaryArray.from_arrays(origin.astype(np.int8), list(ORIGINS)),
        "entry_year": pa.array(entry[cohort].astype(np.int32)),
        "as_of": pa.array(as_of[when].astype(np.int32)),
    }
    return there, pa.table(labels)


def collapse(table: Floats, axes: Sequence[str], origin: str) -> Floats:
    """(members, years, groups, fields, stages, destinations) summed down to (members, years, *axes)."""
    names = ("field", "stage", "destination")
    for axis in axes:
        if axis not in names:
            raise UsageError(f"unknown axis '{axis}'{did_you_mean(axis, names)}", where="by")
    chosen = table[:, :, selection(origin)].sum(axis=2)
    drop = tuple(2 + i for i, name in enumerate(names) if name not in axes)
    kept = [name for name in names if name in axes]
    summed = chosen.sum(axis=drop)
    return np.moveaxis(summed, [2 + kept.index(a) for a in axes], range(2, 2 + len(axes)))
