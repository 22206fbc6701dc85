"""Who lives apart in two worlds, and who leaves alike in both: as a plain comparison of everyone has it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bdsim.model.categories import FIRST_YEAR, ORIGINS
from bdsim.model.fates import year_left
from bdsim.model.rule import stage_of
from bdsim.model.two_worlds import Gone, Known, meet

PEOPLE, YEARS, FIRST_STAGE, LABELS = 5, 3, 2, 6
MOST = 3 * YEARS  # the last fate of the last year
fates = st.lists(st.lists(st.integers(0, MOST), min_size=PEOPLE, max_size=PEOPLE), min_size=1, max_size=3)


def gone(everyone: np.ndarray) -> Gone:
    member, person = (axis.astype(np.uint32) for axis in np.nonzero(everyone))
    return Gone(member, person, everyone[member, person])


def known() -> Known:
    """Entry years that make all three stages; one lasting attribute, with labels 0, 1 and 5."""
    return Known(
        np.array([FIRST_YEAR, FIRST_YEAR - 5, FIRST_YEAR - 14, FIRST_YEAR - 30, FIRST_YEAR]),
        np.array([0, 1, 2, 0, 0]), np.array([0, 0, 0, 1, 1]), np.array([[0], [1], [5], [0], [1]]), FIRST_STAGE,
    )  # fmt: skip


@given(ours=fates, data=st.data())
def test_one_pass_along_both_finds_what_a_comparison_of_everyone_finds(
    ours: list[list[int]], data: st.DataObject
) -> None:
    theirs = data.draw(
        st.lists(st.sampled_from(ours) | fates.map(lambda f: f[0]), min_size=len(ours), max_size=len(ours))
    )
    one, other = np.array(ours, np.uint16), np.array(theirs, np.uint16)
    people, members = known(), len(one)
    sizes = np.arange(1.0, 2 * members + 1).reshape(members, 2) / 7.0
    alike = np.zeros((members, YEARS, len(ORIGINS), LABELS))
    apart = meet(gone(one), gone(other), people, sizes, alike)

    assert np.argwhere(one != other).tolist() == np.column_stack([apart.member, apart.person]).tolist()
    assert (apart.ours == one[apart.member, apart.person]).all()
    assert (apart.theirs == other[apart.member, apart.person]).all()
    expected = np.zeros_like(alike)
    for member, person in np.argwhere((one == other) & (one > 0)):
        year = int(year_left(one[member, person]))
        stage = FIRST_STAGE + stage_of(year - int(people.entry_year[person]))
        for label in (stage, people.labels[person, 0]):
            expected[member, year - FIRST_YEAR, people.origin[person], label] += sizes[member, people.route[person]]
    assert np.array_equal(alike, expected)
