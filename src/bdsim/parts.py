"""Parts of an ensemble: up to eight members that ran together, what they counted and who left, in one package."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bdsim.environment import Floats
from bdsim.observe import Counts

__all__ = ["Leavers", "Part"]

FULL_SCALE = "full_scale"


class Leavers(NamedTuple):
    """Who left, one entry a departure, by member, then person. Everyone else stayed, or retired."""

    member: NDArray[np.uint32]  # from 0 within the part
    person: NDArray[np.uint32]  # row among the people
    fate: NDArray[np.uint8]  # 1 + 2 (year - FIRST_YEAR) + destination

    @classmethod
    def of(cls, fates: NDArray[np.uint8]) -> Leavers:
        """From a fate for everyone, shape (members, people), 0 for those who never left."""
        people = fates.shape[1]
        there = np.flatnonzero(fates)
        member = there // people
        return cls(member.astype(np.uint32), (there - member * people).astype(np.uint32), fates.ravel()[there])

    def fates(self, members: int, people: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """A fate for everyone, shape (members, people); `rows` gives everyone's row where `people` is a longer list."""
        everyone = np.zeros((members, people), np.uint8)
        everyone[self.member, self.person if rows is None else rows[self.person]] = self.fate
        return everyone


@dataclass(frozen=True)
class Part:
    """Tables by name (the fields of Counts, and full_scale), first axis members; and who left."""

    tables: Mapping[str, Floats]
    leavers: Leavers

    @classmethod
    def of(cls, counts: Counts, full_scale: Floats, fates: NDArray[np.uint8]) -> Part:
        """`fates` has shape (members, people)."""
        tables = {name: getattr(counts, name) for name in Counts.__dataclass_fields__}
        return cls({**tables, FULL_SCALE: full_scale}, Leavers.of(fates))

    def table(self, name: str) -> Floats:
        """A table of these members: a field of Counts with its shape, or full_scale, shaped as departures."""
        return self.tables[name]

    @property
    def members(self) -> int:
        return len(self.tables["departures"])

    def renumbered(self, rows: NDArray[np.int64], people: int) -> Part:
        """The same with everyone's row in a longer list of `people`; `rows` gives the new row of each old one."""
        return Part(self.tables, Leavers.of(self.leavers.fates(self.members, people, rows)))

    def packed(self) -> bytes:
        """As NumPy's own archive, with a checksum for each array, compressed."""
        archive = io.BytesIO()
        np.savez(archive, allow_pickle=False, **self.tables, **self.leavers._asdict())
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
        except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"not a part of an ensemble: {error}") from error
        return cls(arrays, leavers)
