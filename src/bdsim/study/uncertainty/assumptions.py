"""What a scenario does not know: its ranges one by one, and the scenario as one member draws it.

A draw has an address: the member's seed and what the assumption is called (`Revival: scrutiny`). So every member draws
the same in every scenario that assumes the same, and no assumption, however many there are, changes another's draw.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bdsim.model import draws
from bdsim.model.draws import Purpose
from bdsim.study.branches import Branch
from bdsim.study.scenario import Scenario
from bdsim.study.scenario_file import Event, Lever, Outcome, Policy
from bdsim.study.uncertainty.part import Part, with_values
from bdsim.study.uncertainty.ranges import Range

__all__ = ["Assumption", "assumptions_of", "drawn", "drawn_branches", "in_numbers", "luck"]

P = TypeVar("P", bound=Part)
Draw = Callable[[str, Range], Any]


@dataclass(frozen=True)
class Assumption:
    """One range of a scenario, by what it is called there."""

    name: str
    range: Range

    def number(self, seed: int) -> float:
        """What the member with this seed draws, as a number: see in_numbers."""
        return in_numbers(self.range.at(luck(seed, self.name)))


def assumptions_of(scenario: Scenario) -> list[Assumption]:
    """Every range of the scenario that leaves anything open, in the order of its parts."""
    found: list[Assumption] = []

    def note(name: str, uncertain: Range) -> Any:
        if not uncertain.is_known:
            found.append(Assumption(name, uncertain))
        return uncertain.centre

    _with_drawn(scenario, note)
    return found


def drawn(scenario: Scenario, seed: int) -> Scenario:
    """The scenario as the member with this seed (draws.member_seed) has it: every range is a value."""
    return _with_drawn(scenario, lambda name, uncertain: uncertain.at(luck(seed, name)))


def luck(seed: int, name: str) -> float:
    """Which quantile of an assumption a member draws, in (0, 1)."""
    identity = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return float(draws.uniform(seed, identity, 0, Purpose.ASSUMPTION))


def in_numbers(value: Any) -> float:
    """A drawn value as a number: days become years with a fraction, 2027-07-02 about 2027.5."""
    if isinstance(value, dt.date):
        first, after = (dt.date(value.year + n, 1, 1).toordinal() for n in (0, 1))
        return value.year + (value.toordinal() - first) / (after - first)
    return float(value)


def drawn_branches(scenario: Scenario, branches: Sequence[Branch], seed: int) -> list[Branch]:
    """The branches of the scenario as the member with this seed has them, each with its own chance; they add up to 1.

    Ways are those at the centres of the ranges; where they are sampled, a drawn chance changes what they weigh.
    """
    mine = drawn(scenario, seed)
    before = {o.name: o.chance for event in scenario.events for o in event.outcomes}
    ways = {o.name: o for event in mine.events for o in event.outcomes}
    found = []
    for branch in branches:
        way = [ways[name] for name in branch.outcomes]
        chance = branch.chance
        for outcome in way:
            if outcome.chance != before[outcome.name]:
                chance *= outcome.chance / before[outcome.name]
        policies = (*mine.policies, *(p for o in way for p in o.policy))
        levers = (*mine.levers, *(v for o in way for v in o.lever))
        found.append(replace(branch, chance=chance, policies=policies, levers=levers))
    total = sum(branch.chance for branch in found)
    return [replace(branch, chance=branch.chance / total) for branch in found]


def _with_drawn(scenario: Scenario, draw: Draw) -> Scenario:
    return replace(
        scenario,
        policies=tuple(_policies(scenario.policies, "", draw)),
        levers=tuple(_levers(scenario.levers, "", draw)),
        events=tuple(_event(event, draw) for event in scenario.events),
    )


def _policies(policies: Sequence[Policy], within: str, draw: Draw) -> Iterator[Policy]:
    for policy in policies:
        yield _part(policy, f"{within}{policy.name}", draw)


def _levers(levers: Sequence[Lever], within: str, draw: Draw) -> Iterator[Lever]:
    called: dict[str, int] = {}
    for lever in levers:
        name = lever.name or lever.table
        called[name] = called.get(name, 0) + 1
        yield _part(lever, f"{within}{name}" + (f" ({called[name]})" if called[name] > 1 else ""), draw)


def _event(event: Event, draw: Draw) -> Event:
    outcomes, ranged = [], set[int]()
    for number, outcome in enumerate(event.outcomes):
        own = _part(outcome, outcome.name, draw)
        policies = list(_policies(outcome.policy, f"{outcome.name}, ", draw))
        levers = list(_levers(outcome.lever, f"{outcome.name}, ", draw))
        outcomes.append(own.model_copy(update={"policy": policies, "lever": levers}))
        if outcome.ranges:
            ranged.add(number)
    made = _part(event, event.name, draw)
    return made.model_copy(update={"outcomes": _adding_up(outcomes, ranged) if ranged else outcomes})


def _adding_up(outcomes: Sequence[Outcome], ranged: set[int]) -> list[Outcome]:
    """Chances that add up to 1: what was drawn holds, and the outcomes without a range share the rest as before.

    Where drawn chances exceed 1, or no outcome is left to take the rest, all that were drawn are scaled.
    """
    taken = sum(o.chance for i, o in enumerate(outcomes) if i in ranged)
    others = sum(o.chance for i, o in enumerate(outcomes) if i not in ranged)
    if taken + others == 1.0:
        return list(outcomes)
    scale = 1.0 if others > 0.0 and taken <= 1.0 else 1.0 / taken if taken > 0.0 else 0.0
    rest = max(1.0 - scale * taken, 0.0) / others if others > 0.0 else 0.0
    return [
        o.model_copy(update={"chance": o.chance * (scale if i in ranged else rest)}) for i, o in enumerate(outcomes)
    ]


def _part(part: P, name: str, draw: Draw) -> P:
    """The part with a value for each of its ranges, and none left."""
    if not part.ranges:
        return part
    values = {key: draw(f"{name}: {key}", uncertain) for key, uncertain in part.ranges.items()}
    fields: Mapping[str, str] = {f.alias or field: field for field, f in type(part).model_fields.items()}
    own = {alias: getattr(part, field) for alias, field in fields.items()}
    changed = with_values(own, values)
    made = part.model_copy(update={fields[alias]: changed[alias] for alias in fields})
    made._ranges = {}
    return made
