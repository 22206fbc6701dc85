"""Researchers as columns, with identities that no scenario can shift, and the colleagues of each.

A researcher is (origin, route, field, entry year, ordinal), packed into one 64-bit identity. Attributes and
colleagues are drawn from the identity, so the same person is the same in every scenario, and adding entrants
re-rolls nobody and rewires nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdsim.model import draws
from bdsim.model.categories import FIELDS, FIRST_ENTRY, GROUPS, ORIGIN_OF_GROUP, Floats
from bdsim.model.draws import Purpose

__all__ = [
    "COLLEAGUES",
    "SETTLED_AGENTS_PER_DOCTORATE",
    "People",
    "Population",
    "agents_entering",
    "build_population",
    "identity",
]

SETTLED_AGENTS_PER_DOCTORATE = 2.0  # their number; `settled_per_doctorate` scales their weight
APPEAL_EXPONENT = 4  # offers go to the prominent: appeal = prominence^4, times how much the field is sought

# A place on a field's ring is an institution. Colleagues are four of one's own cohort beside one on the ring,
# and the four in the same place who entered 3 and 8 years before and after.
SEAT_STEPS = np.array([-2, -1, 1, 2, 0, 0, 0, 0])
COHORT_STEPS = np.array([0, 0, 0, 0, -3, 3, -8, 8])
COLLEAGUES = len(SEAT_STEPS)
REWIRED_WITHIN = 15  # years of entry between rewired colleagues


class People(NamedTuple):
    """The columns that the engine reads. Rows: fields one after the other, within a field by entry year."""

    identity: NDArray[np.uint64]  # (rows,)
    group: NDArray[np.uint8]  # (rows,) index into GROUPS
    field: NDArray[np.uint8]  # (rows,) index into FIELDS
    entry: NDArray[np.int16]  # (rows,) year
    enters: NDArray[np.bool_]  # (rows,) whether this scenario has the person at all
    ties: Floats  # (rows,) ties to China at entry, in [0, 1]
    prominence: Floats  # (rows,) rank in (0, 1)
    appeal: Floats  # (rows,) prominence^4, more in fields that programmes seek; 0 for other origins than china
    colleagues: NDArray[np.uint32]  # (rows, COLLEAGUES) row numbers; `rows` itself means nobody
    starts: NDArray[np.int64]  # (fields, cohorts + 1) first row of each cohort


@dataclass(frozen=True)
class Population:
    """Everyone who is ever here, at a scale; immutable and shared by all members of an ensemble."""

    people: People
    ordinal: NDArray[np.int64]  # (rows,)
    researchers_per_agent: int
    seed: int
    horizon: int

    def __len__(self) -> int:
        return len(self.people.identity)

    @property
    def prominence(self) -> Floats:
        """Rank in (0, 1), shape (rows,)."""
        return self.people.prominence

    def with_entrants(self, agents: NDArray[np.int64]) -> Population:
        """The same rows where so many agents enter by entry year, group and field, shape (cohorts, groups, fields).

        Everyone whose number in the cell is lower enters: who is here with fewer is here with more. Needs rows for all.
        """
        p = self.people
        enters = self.ordinal < agents[p.entry - FIRST_ENTRY, p.group, p.field]
        return replace(self, people=p._replace(enters=enters))

    @cached_property
    def entrants(self) -> NDArray[np.int64]:
        """Agents entering by entry year, group and field, shape (cohorts, groups, fields)."""
        p = self.people
        counts = np.zeros((self.horizon - FIRST_ENTRY + 1, len(GROUPS), p.starts.shape[0]), np.int64)
        here = p.enters
        np.add.at(counts, (p.entry[here] - FIRST_ENTRY, p.group[here], p.field[here]), 1)
        return counts


def identity(origin: Any, route: Any, field: Any, entry: Any, ordinal: Any) -> Any:
    """The 64-bit identity of a researcher: origin, route (0 doctorate, 1 settled), field, entry year, ordinal."""
    return ((((origin * 2 + route) * 4 + field) * 4096 + entry) << 32) + ordinal


def build_population(
    inflow: Floats,
    reference: Floats,
    field_shares: Floats,
    rewired: float,
    researchers_per_agent: int,
    seed: int,
    sought: Floats | None = None,
) -> Population:
    """Everyone who is ever here under `inflow`, with colleagues as `reference` places them.

    Both inflows are doctorates by entry year and origin, shape (cohorts, 3); `field_shares` are shares of the fields
    among entrants, shape (fields,) or by group (groups, fields). `sought`, shape (fields,): how much more often
    programmes look for people of one field than of another (default: alike). A person of the reference who is
    absent under `inflow` keeps a row that never enters; one beyond the reference takes a row at the end of
    the cohort, hears the colleagues around their place, and is heard by none of them.
    """
    here = agents_entering(inflow, field_shares, researchers_per_agent, seed)
    planned = agents_entering(reference, field_shares, researchers_per_agent, seed)
    rows = _rows(np.maximum(here, planned), planned, seed)
    cell = (rows.entry - FIRST_ENTRY, rows.group, rows.field)
    people_id = rows.identity
    prominence = draws.uniform(seed, people_id, 0, Purpose.PROMINENCE)
    eligible = ORIGIN_OF_GROUP[rows.group] == 0
    of_field = np.ones(len(FIELDS)) if sought is None else sought
    people = People(
        identity=people_id,
        group=rows.group.astype(np.uint8),
        field=rows.field.astype(np.uint8),
        entry=rows.entry.astype(np.int16),
        enters=rows.ordinal < here[cell],
        ties=_ties(people_id, seed),
        prominence=prominence,
        appeal=np.where(eligible, prominence * prominence * prominence * prominence * of_field[rows.field], 0.0),
        colleagues=_colleagues(rows, rewired, seed),
        starts=rows.starts,
    )
    horizon = FIRST_ENTRY + len(inflow) - 1
    return Population(people, rows.ordinal, researchers_per_agent, seed, horizon)


class _Rows(NamedTuple):
    identity: NDArray[np.uint64]
    group: NDArray[np.int64]
    field: NDArray[np.int64]
    entry: NDArray[np.int64]
    ordinal: NDArray[np.int64]
    seat: NDArray[np.int64]  # place on the ring of one's cohort
    placed: NDArray[np.int64]  # (fields, cohorts) people on that ring
    starts: NDArray[np.int64]


def agents_entering(inflow: Floats, field_shares: Floats, researchers_per_agent: int, seed: int) -> NDArray[np.int64]:
    """Agents by entry year, group and field, as build_population makes them; arguments as there.

    Rounding is by a draw at the cell's own address: unbiased, and a
    change of one year's inflow changes no other year."""
    cohorts = len(inflow)
    per_doctorate = np.array([SETTLED_AGENTS_PER_DOCTORATE if route == "settled" else 1.0 for _, route in GROUPS])
    researchers = (inflow[:, ORIGIN_OF_GROUP] * per_doctorate)[:, :, None] * field_shares
    year, group, field = np.indices(researchers.shape)
    cells = identity(ORIGIN_OF_GROUP[group], group == 1, field, year + FIRST_ENTRY, 0).astype(np.uint64)
    dither = draws.uniform(seed, cells, 0, Purpose.COUNT)
    counts: NDArray[np.int64] = np.floor(researchers / researchers_per_agent + dither).astype(np.int64)
    assert counts.shape == (cohorts, len(GROUPS), len(FIELDS))
    return counts


def _rows(counts: NDArray[np.int64], planned: NDArray[np.int64], seed: int) -> _Rows:
    """One row a person, ordered by field, cohort, ring."""
    year, group, field = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    ordinal = np.arange(len(year)) - np.repeat(np.cumsum(counts.ravel()) - counts.ravel(), counts.ravel())
    entry = year + FIRST_ENTRY
    people = identity(ORIGIN_OF_GROUP[group], group == 1, field, entry, ordinal).astype(np.uint64)
    beyond = ordinal >= planned[year, group, field]
    place = draws.uniform(seed, people, 0, Purpose.SEAT)
    order = np.lexsort((people, place, beyond, year, field))
    cohorts, fields = counts.shape[0], counts.shape[2]
    sizes = np.zeros((fields, cohorts), np.int64)
    np.add.at(sizes, (field, year), 1)
    ends = np.cumsum(sizes).reshape(fields, cohorts)
    starts = np.column_stack([ends - sizes, ends[:, -1]])
    placed = planned.sum(axis=1).T  # (fields, cohorts)
    within = np.arange(len(order)) - starts[field[order], year[order]]
    on_ring = placed[field[order], year[order]]
    seat = np.where(beyond[order], np.floor(place[order] * on_ring).astype(np.int64), within)
    return _Rows(people[order], group[order], field[order], entry[order], ordinal[order], seat, placed, starts)


def _ties(people: NDArray[np.uint64], seed: int) -> Floats:
    """Beta(2, 3), as the second smallest of four uniforms."""
    four = np.stack([draws.uniform(seed, people, 0, Purpose.TIES, i) for i in range(4)])
    low, high = np.minimum(four[0], four[1]), np.maximum(four[0], four[1])
    low2, high2 = np.minimum(four[2], four[3]), np.maximum(four[2], four[3])
    second: Floats = np.minimum(np.maximum(low, low2), np.minimum(high, high2))
    return second


def _colleagues(rows: _Rows, rewired: float, seed: int) -> NDArray[np.uint32]:
    """Row numbers of the colleagues, shape (rows, COLLEAGUES). People beyond the horizon are nobody yet."""
    n, cohorts = len(rows.identity), rows.placed.shape[1]
    found = np.full((n, COLLEAGUES), n, np.uint32)
    own_cohort = rows.entry - FIRST_ENTRY
    own_ring = rows.placed[rows.field, own_cohort]
    for link in range(COLLEAGUES):
        away = draws.uniform(seed, rows.identity, 0, Purpose.REWIRED, 3 * link) < rewired
        years = draws.uniform(seed, rows.identity, 0, Purpose.REWIRED, 3 * link + 1)
        place = draws.uniform(seed, rows.identity, 0, Purpose.REWIRED, 3 * link + 2)
        far = np.floor(years * (2 * REWIRED_WITHIN + 1)).astype(np.int64) - REWIRED_WITHIN
        cohort = own_cohort + np.where(away, far, COHORT_STEPS[link])
        exists = (cohort >= 0) & (cohort < cohorts)
        cohort = np.where(exists, cohort, 0)
        ring = rows.placed[rows.field, cohort]
        exists &= ring > 0
        ring = np.maximum(ring, 1)
        if COHORT_STEPS[link] == 0:
            near = (rows.seat + SEAT_STEPS[link]) % ring
        else:
            near = (2 * rows.seat + 1) * ring // np.maximum(2 * own_ring, 1) % ring  # the same place
        seat = np.where(away, np.floor(place * ring).astype(np.int64), near)
        row = rows.starts[rows.field, cohort] + seat
        exists &= row != np.arange(n)
        found[exists, link] = row[exists]
    return found
