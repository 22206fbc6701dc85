"""What became of the same people in two worlds: whose lives part, and who leaves alike in both; compiled.

Those who leave a world come member by member, then person by person, so one pass along both meets everyone once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.model.engine.compiling import compiled
from bdsim.model.engine.inlining import inlined
from bdsim.model.fates import WAYS, Fates
from bdsim.model.rule import stage_of

__all__ = ["Apart", "Gone", "Known", "meet"]

LAST = np.uint64(0xFFFFFFFFFFFFFFFF)


class Gone(NamedTuple):
    """Who left a world, one entry a departure, ascending by member, then person."""

    member: NDArray[np.uint32]
    person: NDArray[np.uint32]
    fate: Fates


class Known(NamedTuple):
    """What is known of everyone, by person. Labels are columns of the table in which leavers are counted."""

    entry_year: NDArray[np.int64]  # (people,)
    origin: NDArray[np.int64]  # (people,)
    route: NDArray[np.int64]  # (people,)
    labels: NDArray[np.int64]  # (people, attributes that last)
    first_stage: int  # the label of stage 0; later stages follow


class Apart(NamedTuple):
    """Whose fates differ, one entry a member and person; 0 where one did not leave."""

    member: NDArray[np.uint32]
    person: NDArray[np.uint32]
    ours: Fates  # in the first world
    theirs: Fates  # in the second


def meet(one: Gone, other: Gone, known: Known, sizes: Floats, alike: Floats) -> Apart:
    """Whose fates differ. Who leaves in the same year and way in both is added to `alike`.

    `sizes`, shape (members, routes): researchers an agent stands for; `alike`, shape (members, years, origins, labels):
    researchers, in each label of theirs.
    """
    most = len(one.member) + len(other.member)
    apart = Apart(
        np.empty(most, np.uint32), np.empty(most, np.uint32), np.empty(most, np.uint16), np.empty(most, np.uint16)
    )
    found = _meet(one, other, known, sizes, alike, apart)
    return Apart(
        apart.member[:found].copy(), apart.person[:found].copy(), apart.ours[:found].copy(), apart.theirs[:found].copy()
    )


@inlined
def _place(gone: Gone, i: int) -> Any:
    """Where a departure stands in the order of all: by member, then person."""
    if i >= len(gone.member):
        return LAST
    return (np.uint64(gone.member[i]) << np.uint64(32)) | np.uint64(gone.person[i])


@compiled
def _meet(one: Gone, other: Gone, known: Known, sizes: Floats, alike: Floats, apart: Apart) -> int:
    i, j, found = 0, 0, 0
    while i < len(one.member) or j < len(other.member):
        here, there = _place(one, i), _place(other, j)
        first = min(here, there)
        member, person = np.uint32(first >> np.uint64(32)), np.uint32(first & np.uint64(0xFFFFFFFF))
        ours = one.fate[i] if here == first else np.uint16(0)
        theirs = other.fate[j] if there == first else np.uint16(0)
        i, j = i + (here == first), j + (there == first)
        if ours != theirs:
            apart.member[found], apart.person[found] = member, person
            apart.ours[found], apart.theirs[found] = ours, theirs
            found += 1
            continue
        year, origin, size = (np.int64(ours) - 1) // WAYS, known.origin[person], sizes[member, known.route[person]]
        stage = stage_of(FIRST_YEAR + year - known.entry_year[person])
        alike[member, year, origin, known.first_stage + stage] += size
        for attribute in range(known.labels.shape[1]):
            alike[member, year, origin, known.labels[person, attribute]] += size
    return found
