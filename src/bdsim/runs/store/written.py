"""Tables on their way into a results folder, part by part: one row group a part in every table.

Parts are written as they come from the members, each once all before it are: that work goes on beside the engine's.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bdsim.runs.store.parts import Key, Lived, Part, PartStore
from bdsim.runs.store.tables import of_run, part_rows
from bdsim.runs.workers import ahead

__all__ = ["PartsInOrder", "write_parts", "write_whole"]

AT_ONCE = 8  # parts that one thread writes before it goes on: what lies there from before is no reason to wait long
Each = Callable[..., Iterable[None]]  # as `map`


class _Tables:
    """Files that are being written."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder, self._run, self._members = folder, run, 0
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._files = contextlib.ExitStack()

    def add(self, members: int, tables: dict[str, pa.Table], each: Each = map) -> None:
        """The rows of the next part, its members numbered from 0; `each` may be that of a pool of threads."""
        for name in tables.keys() - self._writers.keys():
            schema = of_run(tables[name].schema, self._run)
            self._writers[name] = self._files.enter_context(_writer(self._folder / f"{name}.parquet", schema))
        numbered = [_numbered_from(self._members, table) for table in tables.values()]
        list(each(_write_group, [self._writers[name] for name in tables], numbered))
        self._members += members

    def close(self) -> None:
        """Nothing comes any more."""
        self._files.close()


class PartsInOrder:
    """The parts of a run, written into a folder in the order of `order`, whatever the order in which they come.

    Whoever brings the next in order writes it, and some after it that are there; anybody else goes on at once.
    """

    def __init__(self, store: PartStore, order: Sequence[Key], folder: Path, run: str) -> None:
        self.awaited: set[Key] = set()  # those that will come, or come again
        self._store, self._order, self._done, self._closed = store, order, 0, False
        self._tables = _Tables(folder, run)
        self._turn = threading.Lock()

    def came(self, key: Key, part: Part) -> None:
        """A part that is in the store now, for good. Raises OSError."""
        self.awaited.discard(key)
        for _ in range(AT_ONCE):
            if self._next() is None or not self._turn.acquire(blocking=False):
                return  # whoever has the turn looks for the next when it is done
            try:
                self._write_next({key: part})
            finally:
                self._turn.release()

    def finish(self) -> None:
        """Write all that is left, and close. Raises OSError."""
        with self._turn, ThreadPoolExecutor() as pool:
            while self._next() is not None:
                self._write_next({}, pool.map)
        self.close()

    def close(self) -> None:
        """No more is written, though a thread that was given up may still bring something."""
        self._closed = True
        with self._turn:
            self._tables.close()

    def __enter__(self) -> PartsInOrder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> Key | None:
        """The part whose turn it is, if it is there."""
        done = self._done  # read once: another thread may go on meanwhile
        if self._closed or done == len(self._order):
            return None
        key = self._order[done]
        return key if key not in self.awaited and self._store.has(key) else None

    def _write_next(self, at_hand: dict[Key, Part], each: Each = map) -> None:
        """Only for whoever has the turn."""
        if (key := self._next()) is None:
            return
        part = at_hand.get(key) or self._store.part(key)
        if part.members:
            self._tables.add(*part_rows(part), each)
        self._done += 1


def write_parts(folder: Path, parts: Sequence[Lived], run: str) -> None:
    """Write the tables of all members of the run of this fingerprint into `folder`, one part at a time."""
    tables = _Tables(folder, run)
    # Files close after the threads that write to them have ended, whatever ends this: the other way round crashes.
    with contextlib.closing(tables), ThreadPoolExecutor() as pool:
        for rows in ahead(lambda number: part_rows(parts[number]), range(len(parts))):
            tables.add(*rows, pool.map)


def write_whole(path: Path, table: pd.DataFrame, run: str) -> None:
    """A table that is not written part by part."""
    rows = pa.Table.from_pandas(table, preserve_index=False)
    rows = rows.replace_schema_metadata(of_run(rows.schema, run).metadata)
    pq.write_table(rows, path, compression="zstd", write_page_checksum=True)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Whole numbers go by small steps; dictionaries pay for all else but columns in which hardly a value comes twice.

    Only members have statistics: nobody looks for rows by anything else. Nothing is ever missing.
    """
    steps = {column.name for column in schema if pa.types.is_integer(column.type)}
    apart = {"expected", "variance", *(["with_programme"] if "variance" in schema.names else [])}
    return pq.ParquetWriter(
        path, pa.schema([column.with_nullable(False) for column in schema], schema.metadata),
        compression="zstd", write_page_checksum=True, write_statistics=["member"],
        use_dictionary=[name for name in schema.names if name not in apart | steps],
        column_encoding=dict.fromkeys(steps, "DELTA_BINARY_PACKED") or None,
    )  # fmt: skip


def _write_group(writer: pq.ParquetWriter, rows: pa.Table) -> None:
    rows = pa.Table.from_arrays(rows.columns, schema=writer.schema)
    writer.write_table(rows, row_group_size=max(1, len(rows)))  # left to itself, it would split a large part


def _numbered_from(first: int, table: pa.Table) -> pa.Table:
    return table.set_column(0, table.schema.field(0), pc.add(table["member"], pa.scalar(first, pa.int32())))
