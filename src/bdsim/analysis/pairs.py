"""Everyone's fate under a reference and under a scenario, side by side: who decides differently, who leaves in both.

Both runs are read once, part by part; a thread reads the next part while one is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim.model.categories import FIRST_YEAR, GROUPS, ORIGIN_OF_GROUP, ORIGINS, Floats
from bdsim.model.counts import AXES
from bdsim.model.fates import Fates, year_left
from bdsim.model.rule import EARLY_UNTIL, MID_UNTIL
from bdsim.runs.workers import ahead

if TYPE_CHECKING:
    from bdsim.runs.results import Results

__all__ = ["BY", "DECILES", "LABELS", "Everyone", "Pairs", "by_label", "pairs_of"]

DECILES = tuple(f"decile {n}" for n in range(1, 11))
TIES = ("weakest third", "middle third", "strongest third")
BY: dict[str, tuple[str, ...]] = {
    "field": AXES["field"],
    "stage": AXES["stage"],
    "route": AXES["route"],
    "prominence": DECILES,
    "ties": TIES,
}
LABELS = sum(map(len, BY.values()))  # of all attributes, one after the other


class Everyone(NamedTuple):
    """Everyone of two runs, by identity; attributes as positions among the labels of BY, each of shape (people,)."""

    identity: NDArray[np.uint64]
    group: NDArray[np.int64]  # position in GROUPS
    entry_year: NDArray[np.int64]
    field: NDArray[np.int64]
    route: NDArray[np.int64]
    prominence: NDArray[np.int64]  # of entry, as are ties
    ties: NDArray[np.int64]

    @classmethod
    def of(cls, one: Results, other: Results) -> Everyone:
        """The people of both runs, each once."""
        both = pd.concat([one.people, other.people])
        identity, first = np.unique(both["identity"].to_numpy(), return_index=True)
        both = both.iloc[first]
        codes = {
            name: pd.Categorical(both[name], categories=AXES[name]).codes.astype(np.int64)
            for name in ("origin", "route", "field")
        }
        group_of = np.zeros((len(ORIGINS), len(AXES["route"])), np.int64)
        for number, (origin, route) in enumerate(GROUPS):
            group_of[ORIGINS.index(origin), AXES["route"].index(route)] = number
        decile = np.minimum((both["prominence"].to_numpy() * len(DECILES)).astype(np.int64), len(DECILES) - 1)
        ties = both["ties"].to_numpy()
        third = np.searchsorted(np.quantile(ties, (1 / 3, 2 / 3)), ties).astype(np.int64)
        group = group_of[codes["origin"], codes["route"]]
        entry_year = both["entry_year"].to_numpy(np.int64)
        return cls(identity, group, entry_year, codes["field"], codes["route"], decile, third)

    def rows_of(self, results: Results) -> NDArray[np.int64]:
        """Where the people of a run are among these."""
        return np.asarray(np.searchsorted(self.identity, results.people["identity"].to_numpy()))

    def stage(self, person: NDArray[Any], year: NDArray[np.int64]) -> NDArray[np.int64]:
        """Career stages in these years, as positions among STAGES; rule.stage_of for many at once."""
        ages = year - self.entry_year[person]
        return np.asarray((ages >= EARLY_UNTIL).astype(np.int64) + (ages >= MID_UNTIL))

    def stand_for(self, scenario: Results, member: NDArray[Any], person: NDArray[Any]) -> Floats:
        """Researchers that each of these stands for, in that member of the scenario."""
        return np.asarray(scenario.agent_sizes[member, self.route[person]])


class Pairs(NamedTuple):
    """What became of everyone under two worlds with the same luck."""

    people: Everyone
    member: NDArray[np.uint32]  # of the scenario; one entry a member and person whose fates differ
    person: NDArray[np.uint32]  # row of `people`
    ours: Fates  # fate under the reference
    theirs: Fates  # fate under the scenario
    alike: Floats  # (members, years, origins, LABELS): researchers who leave in the same year and way under both


def pairs_of(reference: Results, scenario: Results) -> Pairs:
    """Member by member of the scenario, with the members of the reference that have the same draws."""
    people = Everyone.of(reference, scenario)
    origin, years = ORIGIN_OF_GROUP[people.group], len(scenario.years)
    differing, alike, first = [], [], 0
    for before, after in _fates_of_both(reference, scenario, people):
        member, person = _places(before != after)
        differing.append((member + first, person, before[member, person], after[member, person]))
        member, person = _places((before == after) & (after > 0))
        year = year_left(after[member, person])
        cell = (member * years + year - FIRST_YEAR) * len(ORIGINS) + origin[person]
        weight = people.stand_for(scenario, member + first, person)
        counted = by_label(people, person, year, weight, cell, len(after) * years * len(ORIGINS))
        alike.append(counted.reshape(len(after), years, len(ORIGINS), LABELS))
        first += len(after)
    member, person, ours, theirs = (np.concatenate(column) for column in zip(*differing, strict=True))
    return Pairs(people, member.astype(np.uint32), person.astype(np.uint32), ours, theirs, np.concatenate(alike))


def by_label(
    people: Everyone, person: NDArray[Any], year: NDArray[np.int64], weight: Floats, cell: NDArray[np.int64], cells: int
) -> Floats:
    """Leavers in researchers by cell and label of every attribute, shape (cells, LABELS).

    One entry a leaver: row of `people`, year of leaving, researchers they stand for, and the cell in which they count.
    """
    tables = []
    for by, labels in BY.items():
        label = people.stage(person, year) if by == "stage" else getattr(people, by)[person]
        tables.append(np.bincount(cell * len(labels) + label, weight, cells * len(labels)).reshape(cells, -1))
    return np.concatenate(tables, axis=1, dtype=np.float64)  # bincount of nobody gives integers


def _fates_of_both(reference: Results, scenario: Results, people: Everyone) -> Iterator[tuple[Fates, Fates]]:
    """Fates under the reference and under the scenario, each of shape (members, people), part by part."""
    match, parts = reference.positions(scenario.members["draw"].to_numpy()), scenario.parts
    firsts = [0, *accumulate(part.members for part in parts)]
    ours, theirs, everyone = people.rows_of(reference), people.rows_of(scenario), len(people.identity)

    def before(part: int) -> Fates:
        return reference.fates_of(match[firsts[part] : firsts[part + 1]], ours, everyone)

    def after(part: int) -> Fates:
        return parts[part].leavers.fates(parts[part].members, everyone, theirs)

    numbers = range(len(parts))
    return zip(ahead(before, numbers), ahead(after, numbers), strict=True)


def _places(where: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Member and person of everything that is true; several times as fast as np.nonzero of two axes."""
    member, person = np.divmod(np.flatnonzero(where), where.shape[1])
    return member, person
