"""What the engine counts of a year, cohort by cohort, and the state that it leaves for next 1 January."""

from __future__ import annotations

from typing import Any

from bdsim.model.categories import ORIGIN_OF_GROUP
from bdsim.model.engine.inlining import inlined
from bdsim.model.engine.lanes import further
from bdsim.model.engine.presence import MOVED, both, clear_here, here_of, put_both, without_moves
from bdsim.model.engine.state import SUMS, Block, State, Tally
from bdsim.model.engine.values import add, add_one, get, is_count, put, set_one, slack
from bdsim.model.fates import fate_of
from bdsim.model.maths import any_of, at_least, at_most, where
from bdsim.model.people import People
from bdsim.model.rule import CHINA, ELSEWHERE, PROGRAMME, chances

__all__ = ["SETTLED", "add_up", "count_block", "count_offers", "leave", "retire"]

SETTLED = 1  # GROUPS[1]
HERE, EXPECTED, VARIANCE, PROGRAMMES = 0, 1, 3, 5  # places in Block.sums; the second and third for each destination


@inlined
def is_sound(fear: Any, ties: Any, to_china: Any, to_elsewhere: Any) -> Any:
    """Whether fear and ties lie in [0, 1] and chances are chances; nothing that is not a number does."""
    least = at_most(at_most(fear, ties), at_most(to_china, to_elsewhere))
    return (least >= 0.0) & (at_least(fear, ties) <= 1.0) & (to_china + to_elsewhere <= 1.0 + slack(to_china))


@inlined
def chances_at(j: int, known: bool, block: Block) -> tuple[Any, Any]:
    """To China and elsewhere, of one of the block: as they stand there where they are `known`, else from the rates."""
    if known:
        return get(block.to_china, j), get(block.to_elsewhere, j)
    china, elsewhere, _ = chances(get(block.china, j), get(block.elsewhere, j), 0.0)
    return china, elsewhere


@inlined
def add_breaches(n: int, year: int, calm: bool, known: bool, state: State, block: Block, tally: Tally) -> None:
    """Count who of the block is not sound, in each lane."""
    none = get(tally.breaches, year) * 0.0
    for j in range(n):
        fear = none
        if not calm:
            fear = get(block.fear, j)
        p, q = chances_at(j, known, block)
        add(tally.breaches, year, where(is_sound(fear, get(state.ties, block.row[j]), p, q), 0.0, 1.0))


@inlined
def count_block(
    n: int, year: int, calm: bool, known: bool, people: People, state: State, block: Block, tally: Tally
) -> None:
    """Count what everyone in the block may do, and write next 1 January as if all who choose stayed.

    Whether everybody is sound is seen once a block, by the worst of all; only where somebody is not are they looked at.
    """
    sums, group_of = block.sums, people.group
    none = get(tally.breaches, year) * 0.0
    worst, most = none, none
    for j in range(n):
        row = block.row[j]
        group = group_of[row]
        status = both(state.status, row)
        here = here_of(status)
        p, q = chances_at(j, known, block)
        to_china, to_elsewhere = here * p, here * q
        add(sums, (group, HERE), here)
        add(sums, (group, EXPECTED + CHINA), to_china)
        add(sums, (group, EXPECTED + ELSEWHERE), to_elsewhere)
        add(sums, (group, VARIANCE + CHINA), to_china * (1.0 - p))
        add(sums, (group, VARIANCE + ELSEWHERE), to_elsewhere * (1.0 - q))
        fear = none
        if not calm:
            fear = get(block.fear, j)
        worst = further(worst, further(further(fear, get(state.ties, row)), further(p, q)))
        most = at_least(most, p + q)
        if is_count(state.status):
            put_both(state.next_status, row, without_moves(status), none)
            if not calm:
                put(state.next_dread, row, here * fear)
        else:
            remains = at_least(here - (to_china + to_elsewhere), 0.0)
            put_both(state.next_status, row, remains, to_china)
            if not calm:
                put(state.next_dread, row, remains * fear)
    top = further(worst, none + 1.0)  # 1 where nothing lies outside
    if any_of(where((top > 0.0) & (top <= 1.0) & (most <= 1.0 + slack(most)), 0.0, 1.0) > 0.0):
        add_breaches(n, year, calm, known, state, block, tally)


@inlined
def count_offers(n: int, people: People, state: State, block: Block) -> None:
    """Count who of the block's first `n` listed in `some` may leave with a programme."""
    for i in range(n):
        j = block.some[i]
        row = block.row[j]
        here = here_of(both(state.status, row))
        add(block.sums, (people.group[row], PROGRAMMES), here * get(block.to_programme, j))


@inlined
def leave(
    row: int, lane: int, choice: int, year: int, field: int, stage: int, cohort: int, people: People, state: State,
    tally: Tally,
) -> None:  # fmt: skip
    """One researcher of one member is gone."""
    group, to = people.group[row], ELSEWHERE if choice == ELSEWHERE else CHINA
    set_one(state.next_dread, row, lane, 0.0)
    set_one(state.next_status, row, lane, MOVED if to == CHINA else 0)
    set_one(state.fate, row, lane, fate_of(year, choice))
    add_one(tally.departures, (year, group, field, stage, to), lane)
    if choice == PROGRAMME:
        add_one(tally.programme, (year, group, field, stage), lane)
    if group != SETTLED:
        add_one(tally.left, (year, ORIGIN_OF_GROUP[group], cohort), lane)


@inlined
def retire(n: int, year: int, field: int, people: People, state: State, block: Block, tally: Tally) -> None:
    """Those who have stayed to the end of a career are here no more."""
    for j in range(n):
        row = block.row[j]
        add(tally.retired, (year, people.group[row], field), here_of(both(state.next_status, row)))
        clear_here(state.next_status, row)
        put(state.next_dread, row, 0.0)


@inlined
def add_up(
    year: int, field: int, stage: int, cohort: int, age: int, sampled: bool, block: Block, tally: Tally
) -> None:  # fmt: skip
    """A cohort's sums into the tables; an expected run's departures are what was expected."""
    sums = block.sums
    for group in range(len(ORIGIN_OF_GROUP)):
        add(tally.stocks, (year, group, field, stage), get(sums, (group, HERE)))
        add(tally.stocks_by_age, (year, group, age), get(sums, (group, HERE)))
        programme = get(sums, (group, PROGRAMMES))
        add(tally.programme_expected, (year, group, field, stage), programme)
        if not sampled:
            add(tally.programme, (year, group, field, stage), programme)
        for to in range(2):
            expected = get(sums, (group, EXPECTED + to))
            add(tally.expected, (year, group, field, stage, to), expected)
            add(tally.variance, (year, group, field, stage, to), get(sums, (group, VARIANCE + to)))
            add(tally.by_age, (year, group, age, to), expected)
            if not sampled:
                add(tally.departures, (year, group, field, stage, to), expected)
                if group != SETTLED:
                    add(tally.left, (year, ORIGIN_OF_GROUP[group], cohort), expected)
        for k in range(SUMS):
            put(sums, (group, k), 0.0)
