"""What a scenario says that is allowed, and that its author may not have meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from bdsim.model.categories import Floats
from bdsim.model.world import TABLES, Timeline
from bdsim.study.branches import Branch
from bdsim.study.evidence import in_spans
from bdsim.study.scenario import Plan
from bdsim.study.scenario_file import GREATEST, LEAST, MOST, Lever, Policy
from bdsim.study.uncertainty.part import with_values

__all__ = ["remarks"]

MOST_PARTS = 40  # policies or levers of a branch whose overlaps are reported; nobody reads more


def remarks(plans: Sequence[Plan], history: Timeline) -> list[str]:
    """Sentences about parts that overlap, have no effect, go beyond what a table may be, or end early; each once.

    `history` are the yearly tables that the branches of the plans change.
    """
    found: dict[str, None] = {}
    for branch in (plan.branch for plan in plans):
        for remark in (*_of_policies(branch.policies, history), *_of_levers(branch.levers, history, branch)):
            found[remark] = None
    return list(found)


def _of_policies(policies: Sequence[Policy], history: Timeline) -> Iterator[str]:
    for one, other in combinations(policies[:MOST_PARTS], 2):
        start, until = max(one.start, other.start), min(one.until, other.until)
        both = [origin for origin in one.targets if origin in other.targets]
        if start < until and both:
            total = one.scrutiny + other.scrutiny
            yield (
                f"'{one.name}' and '{other.name}' overlap from {start} to {until}: they add up to scrutiny {total:g} "
                f"of {', '.join(both)}"
            )
    for policy in policies:
        if policy.start.year > history.horizon:
            yield _too_late("policy", policy.name, policy.start.year, history.horizon)
        elif policy.scrutiny == 0 and not policy.ranges:
            yield f"policy '{policy.name}' has scrutiny 0: it changes nothing"
        elif policy.until.year > history.horizon + 1:
            yield f"policy '{policy.name}' continues until {policy.until}; the horizon is {history.horizon}"


def _of_levers(levers: Sequence[Lever], history: Timeline, branch: Branch) -> Iterator[str]:
    horizon = history.horizon
    for one, other in combinations(levers[:MOST_PARTS], 2):
        first, last = max(one.years[0], other.years[0]), min(one.years[1], other.years[1], horizon)
        if one.table == other.table and first <= last and not (one.ranges or other.ranges):
            how = "the second replaces the first" if other.set is not None else "they are applied in this order"
            yield f"{_called(one)} and {_called(other)} both change {one.table} in {_years(first, last)}: {how}"
    tables = branch.with_policies(history)
    for lever in levers:
        first, last = lever.years
        if first > horizon:
            yield _too_late("lever", lever.name or lever.table, first, horizon)
            continue
        before = tables[lever.table]
        lever.apply(tables, horizon)
        span = range(first, min(last, horizon) + 1)
        for end in _ends(lever):
            yield from _beyond(lever, end.asked(before, horizon), span)
        if not lever.ranges and np.array_equal(before, tables[lever.table]):
            yield f"{_called(lever)} leaves {lever.table} as it is: it changes nothing"
        if last > horizon:
            yield f"{_called(lever)} continues until {last}; the horizon is {horizon}"
        elif last < horizon:
            yield f"{_called(lever)} ends in {last}: from {last + 1} on {lever.table} is as without it"
    yield from _too_much(tables, history)


def _ends(lever: Lever) -> Iterator[Lever]:
    """The lever as it stands, and with its ranges of values at either end."""
    yield lever
    for end in (0.0, 1.0) if lever.ranges else ():
        values = {at: known.at(end) for at, known in lever.ranges.items() if not at.startswith("years")}
        yield lever.model_copy(update={k: v for k, v in with_values(dict(lever), values).items() if k in LEAST})


def _too_much(tables: Mapping[str, Floats], history: Timeline) -> Iterator[str]:
    for name, table in tables.items():
        most = MOST.get(name, np.inf)
        if table.max() > most:
            years = [year for year, value in zip(history.years(name), table, strict=True) if value > most]
            yield f"{name} reaches {table.max():,.4g} in {in_spans(years)}, more than {most:g}; is that meant?"


def _beyond(lever: Lever, asked: Floats, years: range) -> Iterator[str]:
    """That a lever asks for less or more than its table may be, which then is all it gets."""
    least = TABLES[lever.table].least
    for held, outside in ((least, asked < least), (GREATEST, asked > GREATEST)):
        if outside.any():
            at = in_spans([year for year, out in zip(years, outside, strict=True) if out])
            worst = asked.min() if held == least else asked.max()
            yield f"{_called(lever)} would take {lever.table} to {worst:,.4g} in {at}; it is held at {held:,.4g}"


def _too_late(kind: str, name: str, year: int, horizon: int) -> str:
    return f"{kind} '{name}' begins in {year}, after the horizon {horizon}: it changes nothing"


def _called(lever: Lever) -> str:
    return f"lever '{lever.name or lever.table}'"


def _years(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
