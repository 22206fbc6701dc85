"""Parts of an ensemble: up to eight members that ran together, what they counted and who left, in one package."""

from __future__ import annotations

import io
import json
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bdsim.errors import printable
from bdsim.model.categories import Floats
from bdsim.model.counts import TABLES, Counts
from bdsim.model.fates import Fates

__all__ = ["Chosen", "Failure", "Leavers", "Part"]

FULL_SCALE = "full_scale"
LONGEST_ERROR = 300  # characters of the line that stands for a failure


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
    def of(cls, fates: Fates) -> Leavers:
        """From a fate for everyone, shape (members, people), 0 for those who never left."""
        people = fates.shape[1]
        there = np.flatnonzero(fates)
        member = there // people
        return cls(member.astype(np.uint32), (there - member * people).astype(np.uint32), fates.ravel()[there])

    def of_members(self, chosen: NDArray[np.int64]) -> Leavers:
        """Of some members alone, in ascending order, numbered anew from 0."""
        place = np.full(int(self.member.max(initial=0)) + 1, -1)
        inside = chosen[chosen < len(place)]
        place[inside] = np.arange(len(inside))
        kept = place[self.member] >= 0
        return Leavers(place[self.member[kept]].astype(np.uint32), self.person[kept], self.fate[kept])

    def fates(self, members: int, people: int, rows: NDArray[np.int64] | None = None) -> Fates:
        """A fate for everyone, shape (members, people); `rows` gives everyone's row where `people` is a longer list."""
        everyone = np.zeros((members, people), np.uint16)
        everyone[self.member, self.person if rows is None else rows[self.person]] = self.fate
        return everyone


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
        cls, counts: Counts, full_scale: Floats, programme_full_scale: Floats, fates: Fates, draws: Sequence[int],
        failures: Sequence[Failure] = (),
    ) -> Part:  # fmt: skip
        """`fates` has shape (members, people)."""
        tables = {name: getattr(counts, name) for name in TABLES}
        tables |= {FULL_SCALE: full_scale, "programme_full_scale": programme_full_scale}
        members = np.array(draws, np.int64)
        return cls(tables, Leavers.of(fates), members, tuple(failures))

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
        """A table of these members: a field of Counts with its shape, or full_scale, shaped as departures."""
        return self.tables[name]

    @property
    def members(self) -> int:
        return len(self.tables["departures"])

    def renumbered(self, rows: NDArray[np.int64], people: int) -> Part:
        """The same with everyone's row in a longer list of `people`; `rows` gives the new row of each old one."""
        return replace(self, leavers=Leavers.of(self.leavers.fates(self.members, people, rows)))

    def packed(self) -> bytes:
        """As NumPy's own archive, with a checksum for each array, compressed."""
        archive = io.BytesIO()
        failed = np.frombuffer(json.dumps(self.failures).encode(), np.uint8)
        np.savez(
            archive, allow_pickle=False, **self.tables, **self.leavers._asdict(), draws=self.draws, failures=failed
        )
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
            leavers = Leavers(*(arrays.pop(name) for name in Leavers._fields))
            draws = arrays.pop("draws")
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
        """As Part.table."""
        return np.asarray(self._part.table(name)[self._chosen])

    @cached_property
    def leavers(self) -> Leavers:
        whole: Leavers = self._part.leavers
        return whole.of_members(self._chosen)
