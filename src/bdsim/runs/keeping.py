"""Where the parts of an ensemble are kept until all are there: in memory, or each in a file of its own.

A part on disk is whole or not there, and survives whatever ends the program: the same run goes on from it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bdsim.files import durable
from bdsim.runs.parts import Failure, Part

__all__ = ["InMemory", "Keeper", "KeptParts", "Key", "OnDisk", "kept_on_disk"]

PARTS = "parts"


class Key(NamedTuple):
    """Which part: the number of the world among the distinct ones of a run, and its first draw."""

    world: int
    first: int


class Keeper(Protocol):
    """What holds parts."""

    def __contains__(self, key: Key) -> bool: ...
    def keep(self, key: Key, packed: bytes, failures: tuple[Failure, ...]) -> None: ...
    def part(self, key: Key) -> Part: ...
    def failed(self, key: Key) -> tuple[Failure, ...]: ...


class InMemory:
    """Parts as long as somebody holds them."""

    def __init__(self) -> None:
        self._parts: dict[Key, Part] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._parts

    def keep(self, key: Key, packed: bytes, failures: tuple[Failure, ...]) -> None:  # noqa: ARG002 - a Keeper's
        self._parts[key] = Part.unpacked(packed)

    def part(self, key: Key) -> Part:
        return self._parts[key]

    def failed(self, key: Key) -> tuple[Failure, ...]:
        """Failed members of a part that is kept."""
        return self._parts[key].failures


class OnDisk:
    """Parts as files of a folder. One that is damaged counts as not there, and is made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._there: dict[Key, tuple[Failure, ...]] = {}
        for path in sorted(folder.glob("*.part")):
            name = re.fullmatch(r"(\d+)-(\d{6,})", path.stem, re.ASCII)
            if name is None:
                continue  # somebody's copy
            key = Key(int(name[1]), int(name[2]))
            try:
                self._there[key] = self.part(key).failures
            except ValueError:
                path.unlink()

    def _path(self, key: Key) -> Path:
        return self.folder / f"{key.world}-{key.first:06d}.part"

    def __contains__(self, key: Key) -> bool:
        return key in self._there

    def keep(self, key: Key, packed: bytes, failures: tuple[Failure, ...]) -> None:
        """Raises StorageError."""
        durable.write_file(self._path(key), packed)
        self._there[key] = failures

    def part(self, key: Key) -> Part:
        return Part.unpacked(self._path(key).read_bytes())

    def failed(self, key: Key) -> tuple[Failure, ...]:
        """As InMemory.failed."""
        return self._there[key]

    def hand_on(self, folder: Path) -> None:
        """Leave the parts in the results folder as long as a member of them is still to be run again."""
        if any(self._there.values()):
            _linked(self.folder, folder)
            durable.sealed(folder)


@contextlib.contextmanager
def kept_on_disk(target: Path, run: str) -> Iterator[tuple[OnDisk, Path]]:
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
        keeper = OnDisk(aside / PARTS)
        yield keeper, tables
        keeper.hand_on(tables / PARTS)
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


class KeptParts(Sequence[Part]):
    """The parts of a run in order, with everyone's row in the run's one list of people."""

    def __init__(self, keeper: Keeper, order: Sequence[tuple[Key, NDArray[np.int64]]], people: int) -> None:
        self._keeper, self._order, self._people = keeper, order, people

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, i: int) -> Part:  # type: ignore[override]  # slices are not asked for
        key, rows = self._order[i]
        return self._keeper.part(key).renumbered(rows, self._people)
