"""The ways through what nobody knows: events with chances, run one by one while they are few, else sampled."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bdsim.model import draws
from bdsim.model.categories import Floats
from bdsim.model.draws import Purpose
from bdsim.model.world import Timeline
from bdsim.study.scenario_file import Event, Lever, Outcome, Policy

__all__ = ["MOST_BRANCHES", "Branch", "are_sampled", "branches_of"]

MOST_BRANCHES = 64  # that are all run; of more, as many are sampled


@dataclass(frozen=True)
class Branch:
    """One way through the events: its outcomes, its chance, and every policy and lever in force."""

    name: str
    chance: float
    policies: tuple[Policy, ...]
    levers: tuple[Lever, ...]
    outcomes: tuple[str, ...] = ()  # names, in the order of the events

    def with_policies(self, history: Timeline) -> dict[str, Floats]:
        """The yearly tables of history with the scrutiny of this branch's policies added, before any lever."""
        tables = dict(history.tables)
        years = history.years("scrutiny_china")
        for policy in self.policies:
            exposure = np.array([policy.exposure(year) for year in years])
            for origin in policy.targets:
                tables[f"scrutiny_{origin}"] = tables[f"scrutiny_{origin}"] + exposure
        return tables


def branches_of(policies: Sequence[Policy], levers: Sequence[Lever], events: Sequence[Event]) -> list[Branch]:
    """Every way through the events with a chance above 0; chances add up to 1. One branch without events.

    Where there are more than MOST_BRANCHES ways, as many are sampled by their chances, the same on every call; a
    way that comes up n times is one branch that weighs n of them. `policies` and `levers` hold in all of them.
    """
    found: list[Branch] = []
    for outcomes, chance in _sampled(events) if are_sampled(events) else _ways(events, {}, 1.0):
        if chance > 0.0:
            own_policies = (*policies, *(p for o in outcomes for p in o.policy))
            own_levers = (*levers, *(v for o in outcomes for v in o.lever))
            names = tuple(o.name for o in outcomes)
            name = ", ".join(names) or "as stated"
            if any(branch.name == name for branch in found):  # outcomes with commas in their names
                name = f"{name} ({len(found) + 1})"
            found.append(Branch(name, chance, own_policies, own_levers, names))
    return found


def are_sampled(events: Sequence[Event]) -> bool:
    """Whether there are too many ways through the events to run them all."""
    return sum(1 for _ in itertools.islice(_ways(events, {}, 1.0), MOST_BRANCHES + 1)) > MOST_BRANCHES


def _sampled(events: Sequence[Event]) -> Iterator[tuple[list[Outcome], float]]:
    drawn: dict[tuple[str, ...], list[Outcome]] = {}
    times: dict[tuple[str, ...], int] = {}
    for number in range(MOST_BRANCHES):
        outcomes = _sampled_way(events, number)
        key = tuple(o.name for o in outcomes)
        drawn[key], times[key] = outcomes, times.get(key, 0) + 1
    for key, outcomes in drawn.items():
        yield outcomes, times[key] / MOST_BRANCHES


def _ways(
    events: Sequence[Event], happened: Mapping[str, Outcome], chance: float
) -> Iterator[tuple[list[Outcome], float]]:
    if not events:
        yield list(happened.values()), chance
        return
    event, later = events[0], events[1:]
    if event.given is not None and event.given not in happened:
        yield from _ways(later, happened, chance)
        return
    for outcome in event.outcomes:
        yield from _ways(later, {**happened, outcome.name: outcome}, chance * outcome.chance)


def _sampled_way(events: Sequence[Event], number: int) -> list[Outcome]:
    """Way number `number`: at each event an outcome by its chance, from the luck at the event's own address."""
    happened: dict[str, Outcome] = {}
    for place, event in enumerate(events):
        if event.given is None or event.given in happened:
            luck = float(draws.uniform(0, number, place, Purpose.EVENT))
            reached = list(itertools.accumulate(outcome.chance for outcome in event.outcomes))
            chosen = event.outcomes[min(bisect.bisect_right(reached, luck), len(reached) - 1)]
            happened[chosen.name] = chosen
    return list(happened.values())
