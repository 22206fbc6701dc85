"""Everyone's fate under a reference and under scenarios, side by side: who decides differently, who leaves in both.

All runs are read once, part by part, by as many threads as there are cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim.model.categories import GROUPS, ORIGIN_OF_GROUP, ORIGINS, Floats
from bdsim.model.counts import AXES
from bdsim.model.fates import Fates
from bdsim.model.rule import EARLY_UNTIL, MID_UNTIL
from bdsim.model.two_worlds import Apart, Gone, Known, meet

if TYPE_CHECKING:
    from bdsim.runs.results import Results
    from bdsim.runs.store.parts import Leavers

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

    def rows_of(self, results: Results) -> NDArray[np.uint32]:
        """Where the people of a run are among these."""
        return np.asarray(np.searchsorted(self.identity, results.people["identity"].to_numpy()), np.uint32)

    def stage(self, person: NDArray[Any], year: NDArray[np.int64]) -> NDArray[np.int64]:
        """Career stages in these years, as positions among STAGES; rule.stage_of for many at once."""
        ages = year - self.entry_year[person]
        return np.asarray((ages >= EARLY_UNTIL).astype(np.int64) + (ages >= MID_UNTIL))

    def stand_for(self, scenario: Results, member: NDArray[Any], person: NDArray[Any]) -> Floats:
        """Researchers that each of these stands for, in that member of the scenario."""
        return np.asarray(scenario.agent_sizes[member, self.route[person]])

    @property
    def known(self) -> Known:
        """What is counted by, as compiled code has it."""
        starts = dict(zip(BY, accumulate([0, *map(len, BY.values())]), strict=False))
        lasting = np.column_stack([getattr(self, by) + start for by, start in starts.items() if by != "stage"])
        return Known(self.entry_year, ORIGIN_OF_GROUP[self.group], self.route, lasting, starts["stage"])


class Pairs(NamedTuple):
    """What became of everyone under two worlds with the same luck."""

    people: Everyone
    member: NDArray[np.uint32]  # of the scenario; one entry a member and person whose fates differ
    person: NDArray[np.uint32]  # row of `people`
    ours: Fates  # fate under the reference
    theirs: Fates  # fate under the scenario
    alike: Floats  # (members, years, origins, LABELS): researchers who leave in the same year and way under both


def pairs_of(reference: Results, scenarios: Sequence[Results]) -> list[Pairs]:
    """Of each scenario, member by member, with the members of the reference that have the same draws."""
    meetings = [_Meeting(reference, scenario) for scenario in scenarios]

    def met(part: int) -> list[tuple[Apart, Floats] | None]:
        before: dict[bytes, Leavers] = {}  # scenarios mostly ask for the same members of the reference
        return [meeting.of_part(part, before) if part < len(meeting.firsts) else None for meeting in meetings]

    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        parts = list(pool.map(met, range(max(len(meeting.firsts) for meeting in meetings))))
    return [meeting.pairs([of_part for of_part in found if of_part is not None])
            for meeting, found in zip(meetings, zip(*parts, strict=True), strict=True)]  # fmt: skip


class _Meeting:
    """A scenario on its way to be paired with the reference."""

    def __init__(self, reference: Results, scenario: Results) -> None:
        self.reference, self.scenario = reference, scenario
        self.people = Everyone.of(reference, scenario)
        self.known = self.people.known
        self.ours, self.theirs = self.people.rows_of(reference), self.people.rows_of(scenario)
        self.match = reference.positions(scenario.members["draw"].to_numpy())
        self.firsts = [0, *accumulate(part.members for part in scenario.parts)][: len(scenario.parts)]

    def of_part(self, number: int, before: dict[bytes, Leavers]) -> tuple[Apart, Floats]:
        """Whose fates differ, and `Pairs.alike`, of one part of the scenario; `before` keeps what was read of ours."""
        part, first = self.scenario.parts[number], self.firsts[number]
        match = self.match[first : first + part.members]
        if match.tobytes() not in before:
            before[match.tobytes()] = self.reference.leavers_of(match)
        one, other = _known_as(before[match.tobytes()], self.ours), _known_as(part.leavers, self.theirs)
        alike = np.zeros((part.members, len(self.scenario.years), len(ORIGINS), LABELS))
        sizes = np.ascontiguousarray(self.scenario.agent_sizes[first : first + part.members])
        apart = meet(one, other, self.known, sizes, alike)
        return apart._replace(member=apart.member + np.uint32(first)), alike

    def pairs(self, parts: Sequence[tuple[Apart, Floats]]) -> Pairs:
        """Of all members."""
        member, person, ours, theirs = (np.concatenate(c) for c in zip(*(one for one, _ in parts), strict=True))
        return Pairs(self.people, member, person, ours, theirs, np.concatenate([alike for _, alike in parts]))


def _known_as(leavers: Leavers, rows: NDArray[np.uint32]) -> Gone:
    """Those who leave, persons as rows of everyone."""
    return Gone(leavers.member, rows[leavers.person], leavers.fate)


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
