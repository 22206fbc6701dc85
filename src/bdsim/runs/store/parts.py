"""Parts of an ensemble: up to eight members that ran together, what they counted and who left, in one package."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bdsim.errors import printable
from bdsim.files import durable
from bdsim.model.categories import Floats
from bdsim.model.counts import TABLES, Counts
from bdsim.model.fates import Fates

__all__ = ["Chosen", "Failure", "Key", "Leavers", "Lived", "Part", "PartStore", "kept_on_disk"]

PARTS = "parts"

FULL_SCALE = "full_scale"
LONGEST_ERROR = 300  # characters of the line that stands for a failure
WRITING = threading.Condition()  # of all stores, and no part of one, which can be copied and pickled; held for moments


class Failure(NamedTuple):
    """A member that failed: which draw, and what it raised."""

    draw: int
    error: str  # kind and message, on one line
    traceback: str

    @classmethod
    def of(cls, draw: int, error: BaseException) -> Failure:
        """What a member's run raised, in text that any file and terminal takes."""
        try:
            said = str(error)
        except Exception:  # a user's exception whose str() fails
            said = "(its message cannot be shown)"
        line = " ".join(f"{type(error).__name__}: {said}".split())
        return cls(draw, printable(line)[:LONGEST_ERROR], printable("".join(traceback.format_exception(error)), "\n"))


class Leavers(NamedTuple):
    """Who left, one entry a departure, by member, then person. Everyone else stayed, or retired."""

    member: NDArray[np.uint32]  # from 0 within the part
    person: NDArray[np.uint32]  # row among the people
    fate: Fates

    @classmethod
    def nobody(cls) -> Leavers:
        """None at all."""
        return cls(np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.uint16))

    @classmethod
    def of(cls, fates: Fates, order: NDArray[np.uint32], rows: NDArray[np.uint32] | None) -> Leavers:
        """From a fate for everyone of a world, shape (members, people), 0 for those who never left.

        `order` sorts these people by identity; `rows` are then their rows among the people of the run, (people,) both;
        None where they are all there are.
        """
        in_order = np.take(fates, order, axis=1)
        member, place = np.divmod(np.flatnonzero(in_order != 0), max(1, len(order)))
        person = place.astype(np.uint32) if rows is None else rows[place]
        return cls(member.astype(np.uint32), person, in_order[member, place])

    def of_members(self, chosen: NDArray[np.int64]) -> Leavers:
        """Of some members alone, in ascending order, numbered anew from 0."""
        place = np.full(int(self.member.max(initial=0)) + 1, -1)
        inside = chosen[chosen < len(place)]
        place[inside] = np.arange(len(inside))
        kept = place[self.member] >= 0
        return Leavers(place[self.member[kept]].astype(np.uint32), self.person[kept], self.fate[kept])

    def fates(self, members: int, people: int) -> Fates:
        """A fate for everyone, shape (members, people)."""
        everyone = np.zeros((members, people), np.uint16)
        everyone[self.member, self.person] = self.fate
        return everyone


class Lived(Protocol):
    """Some members of a run: what they counted, and who left."""

    @property
    def members(self) -> int:
        """How many they are."""
        ...

    @property
    def leavers(self) -> Leavers: ...

    def table(self, name: str) -> Floats:
        """A table of these members: a field of Counts with its shape, or full_scale, shaped as departures."""
        ...


@dataclass(frozen=True)
class Part:
    """Tables by name (the fields of Counts, and full_scale), first axis members; who left; and the members that failed.

    `draws` are the members' numbers, ascending.
    """

    tables: Mapping[str, Floats]
    leavers: Leavers
    draws: NDArray[np.int64]  # (members,)
    failures: tuple[Failure, ...] = ()

    @classmethod
    def of(
        cls, counts: Counts, full_scale: Floats, programme_full_scale: Floats, leavers: Leavers, draws: Sequence[int],
        failures: Sequence[Failure] = (),
    ) -> Part:  # fmt: skip
        """Of the members with these draws, and of those of their group that failed."""
        tables = {name: getattr(counts, name) for name in TABLES}
        tables |= {FULL_SCALE: full_scale, "programme_full_scale": programme_full_scale}
        members = np.array(draws, np.int64)
        return cls(tables, leavers, members, tuple(failures))

    def completed(self, again: Part) -> Part:
        """With the members that have run again where they had failed, as if nothing had been."""
        draws = np.concatenate([self.draws, again.draws])
        order = np.argsort(draws)
        tables = {name: np.concatenate([table, again.tables[name]])[order] for name, table in self.tables.items()}
        ours, theirs = self.leavers, again.leavers
        member = np.argsort(order)[np.concatenate([ours.member, theirs.member + np.uint32(self.members)])]
        by_member = np.argsort(member, kind="stable")
        person, fate = np.concatenate([ours.person, theirs.person]), np.concatenate([ours.fate, theirs.fate])
        leavers = Leavers(member[by_member].astype(np.uint32), person[by_member], fate[by_member])
        return Part(tables, leavers, draws[order], again.failures)

    def table(self, name: str) -> Floats:
        """As Lived.table."""
        return self.tables[name]

    @property
    def members(self) -> int:
        return len(self.tables["departures"])

    def __reduce__(self) -> tuple[Callable[[bytes], Part], tuple[bytes]]:
        """Between machines a part goes packed."""
        return Part.unpacked, (self.packed(),)

    def packed(self) -> bytes:
        """As NumPy's own archive, with a checksum for each array, compressed."""
        archive = io.BytesIO()
        failed = np.frombuffer(json.dumps(self.failures).encode(), np.uint8)
        _, person, fate = self.leavers
        leaving = np.bincount(self.leavers.member, minlength=self.members)  # by member, in the order of the rest
        np.savez(
            archive, allow_pickle=False, **self.tables, leaving=leaving, person=person, fate=fate, draws=self.draws,
            failures=failed,
        )  # fmt: skip
        packed = pa.BufferOutputStream()
        with pa.CompressedOutputStream(packed, "zstd") as stream:
            stream.write(archive.getvalue())
        return bytes(packed.getvalue())

    @classmethod
    def unpacked(cls, packed: bytes) -> Part:
        """What `packed` made. Raises ValueError for anything else, a flipped bit included."""
        try:
            with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
                archive = np.load(io.BytesIO(stream.read()), allow_pickle=False)
            arrays = {name: archive[name] for name in archive.files}
            leaving, person, fate, draws = (arrays.pop(name) for name in ("leaving", "person", "fate", "draws"))
            leavers = Leavers(np.repeat(np.arange(len(leaving), dtype=np.uint32), leaving), person, fate)
            failures = tuple(Failure(*entry) for entry in json.loads(arrays.pop("failures").tobytes()))
        except Exception as error:  # a flipped bit can raise any kind of error, deep in an archive's reader
            raise ValueError(f"not a part of an ensemble: {error}") from error
        return cls(arrays, leavers, draws, failures)


class Chosen:
    """Some members of a part, as `Part` offers them."""

    def __init__(self, part: Any, chosen: NDArray[np.int64]) -> None:
        self._part, self._chosen = part, chosen

    @property
    def members(self) -> int:
        return len(self._chosen)

    def table(self, name: str) -> Floats:
        """As Lived.table."""
        return np.asarray(self._part.table(name)[self._chosen])

    @cached_property
    def leavers(self) -> Leavers:
        whole: Leavers = self._part.leavers
        return whole.of_members(self._chosen)


class Key(NamedTuple):
    """Which part: the number of the world among the distinct ones of a run, and its first draw."""

    world: int
    first: int


class PartStore(Sequence[Part]):
    """The parts of a run, found by their keys: in memory, or each in a file of a folder.

    A file is whole or not there, and survives whatever ends the program: the same run goes on from it. One that is
    damaged counts as not there, and is made again. As a sequence, the store holds the parts that `order` names.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder, self.order = folder, list[Key]()
        self._in_memory: dict[Key, Part] = {}
        self._failed: dict[Key, tuple[Failure, ...]] = {}
        self._writing, self._closed = 0, False
        for path in sorted(folder.glob("*.part")) if folder is not None else []:
            name = re.fullmatch(r"(\d+)-(\d{6,})", path.stem, re.ASCII)
            if name is None:
                continue  # somebody's copy
            key = Key(int(name[1]), int(name[2]))
            try:
                self._failed[key] = self.part(key).failures
            except ValueError:
                path.unlink()

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> Part:  # type: ignore[override]  # slices are not asked for
        return self.part(self.order[i])

    def has(self, key: Key) -> bool:
        """Whether the part is there, whole."""
        return key in self._failed

    def keep(self, key: Key, part: Part) -> None:
        """A part that is complete but for its failures, in place of what was there. Raises StorageError.

        What a thread of a run that was given up brings after `close` is let go of.
        """
        with WRITING:
            if self._closed:
                return
            self._writing += 1
        try:
            if self.folder is None:
                self._in_memory[key] = part
            else:
                durable.write_file(_file(self.folder, key), part.packed())
            self._failed[key] = part.failures
        finally:
            with WRITING:
                self._writing -= 1
                WRITING.notify_all()

    def close(self) -> None:
        """Nothing is kept any more, nor half-way to be: from here on another run may work on the folder."""
        with WRITING:
            self._closed = True
            WRITING.wait_for(lambda: not self._writing)

    def part(self, key: Key) -> Part:
        """Raises ValueError when its file is damaged."""
        return self._in_memory[key] if self.folder is None else Part.unpacked(_file(self.folder, key).read_bytes())

    def failed(self, key: Key) -> tuple[Failure, ...]:
        """Members that failed, of a part that is there."""
        return self._failed[key]

    def hand_on(self, folder: Path) -> None:
        """Leave the parts in the results folder as long as a member of them is still to be run again."""
        if self.folder is not None and any(self._failed.values()):
            _linked(self.folder, folder)
            durable.sealed(folder)


def _file(folder: Path, key: Key) -> Path:
    return folder / f"{key.world}-{key.first:06d}.part"


@contextlib.contextmanager
def kept_on_disk(target: Path, run: str) -> Iterator[tuple[PartStore, Path]]:
    """Parts of the run of fingerprint `run` on their way to the folder `target`, and an empty folder for its tables.

    Parts lie below the fingerprint of their run, so that no other run goes on from them.

    Left with `target` in place, or with the parts as they are for the next try. A `target` that is there already, with
    members that failed, gives the parts to start from, and stays until its successor is whole. Raises StorageError
    when the disk refuses or another process is at work on it.
    """
    with durable.locked(target), durable.refusals(target):
        aside = durable.unfinished(target) / run
        (aside / PARTS).mkdir(parents=True, exist_ok=True)
        if (target / PARTS).is_dir():
            _linked(target / PARTS, aside / PARTS)
        tables = aside / "tables"
        shutil.rmtree(tables, ignore_errors=True)
        tables.mkdir()
        with contextlib.closing(PartStore(aside / PARTS)) as store:
            yield store, tables
            store.hand_on(tables / PARTS)
            durable.put_in_place(tables, target)
            shutil.rmtree(aside.parent, ignore_errors=True)


def _linked(source: Path, folder: Path) -> None:
    """The parts of `source` in `folder` too, those apart that are there; as second names where the disk has such."""
    folder.mkdir(exist_ok=True)
    for path in sorted(source.glob("*-*.part")):
        other = folder / path.name
        if other.exists():
            continue
        try:
            os.link(path, other)
        except OSError:
            shutil.copyfile(path, other)
