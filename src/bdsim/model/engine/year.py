"""The compiled year: the rule of rule.py applied to every researcher, sampled or in expectation.

In a *sampled* run each researcher is here or not and clocks are drawn; in an *expected* run each carries the
probability of still being here and no choice is drawn. Either is of one member or of several side by side: `get`,
`put` and `add` read and write a number or the numbers of all of them (lanes.py). All walk through the functions
below. The Mesa agents of agents.py decide one by one with the same rule; `close_year` books what they decided.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdsim.model import draws
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, ORIGIN_OF_GROUP, Floats
from bdsim.model.engine.compiling import compiled, inlined
from bdsim.model.engine.lanes import add, any_of, bits_of, fetch, get, lanes_of, number, one, put, real, set_one, where
from bdsim.model.engine.state import Block, Decisions, Keys, State, Tally
from bdsim.model.maths import at_least, log
from bdsim.model.people import COLLEAGUES, People
from bdsim.model.rule import (
    CAREER,
    CHINA,
    ELSEWHERE,
    LEAST,
    MID_UNTIL,
    STAY,
    Weights,
    chances,
    choose,
    feel,
    hear,
    may_ring,
    offer_chance,
    stage_of,
    weigh,
)
from bdsim.model.world import Behaviour, Environment

__all__ = [
    "appeal_here",
    "close_year",
    "colleagues_of",
    "mean_fear",
    "open_year",
    "settle_before",
    "share_moved",
    "simulate",
]

SETTLED = 1  # GROUPS[1]
AHEAD = 6  # researchers: long enough for memory to answer, short enough to stay in the nearest cache
NO_OFFER, OFFERED = 0.0, 1.0
CERTAIN = 1.0 + 1e-12  # two chances that add up to certainty, rounded


@inlined
def weights_of(w: Weights) -> Weights:
    """The weights of one member, or of all members side by side, ready for the rule."""
    return Weights(
        number(w.funding), number(w.offer), number(w.ties_weight), number(w.push), number(w.spill),
        number(w.roots), number(w.stay_us), number(w.rho), number(w.kappa), number(w.gamma),
    )  # fmt: skip


@compiled
def colleagues_of(row: int, colleagues: NDArray[np.uint32], state: State) -> tuple[Any, Any, Any]:
    """Of eight colleagues, how many are here, their fear added up, and how many moved to China last year."""
    first = colleagues[row, 0]
    here, dread, moved = get(state.here, first), get(state.dread, first), get(state.moved, first)
    for link in range(1, COLLEAGUES):
        other = colleagues[row, link]
        here = here + get(state.here, other)
        dread = dread + get(state.dread, other)
        moved = moved + get(state.moved, other)
    return real(here), dread, real(moved)


@inlined
def mean_fear(here: Any, dread: Any) -> Any:
    """Of colleagues; 0 where none is here."""
    return dread / at_least(here, LEAST)


@inlined
def share_moved(here: Any, moved: Any) -> Any:
    """Movers among the colleagues who are here or have just moved; 0 where there are none."""
    return moved / at_least(here + moved, LEAST)


@inlined
def luck_of(key: Any, identity: np.uint64) -> Any:
    """The draw of one researcher in the random sequence that starts at `key`."""
    return draws.unit(draws.output(key, identity))


@inlined
def call_up(first: int, end: int, year: int, people: People, state: State, block: Block) -> tuple[int, int]:
    """List who of rows [first, end) is here, first those whom a talent programme may pick.

    Returns the number of these, and of all. Who is not here stays away, and last year's move is news no longer.
    """
    row_of, waiting = block.row, block.waiting
    entry, appeal = people.entry, people.appeal
    picked = others = 0
    for row in range(first, end):
        here = any_of(real(get(state.here, row)) > 0.0)
        may_be_picked = (FIRST_YEAR + year - entry[row] < MID_UNTIL) & (appeal[row] > 0.0)
        row_of[picked] = row
        waiting[others] = row
        picked += here & may_be_picked
        others += here & (not may_be_picked)
        put(state.next_here, row, 0.0)
        put(state.next_moved, row, 0.0)
        put(state.next_dread, row, 0.0)
    for j in range(others):
        row_of[picked + j] = waiting[j]
    return picked, picked + others


@inlined
def look_up(n: int, year: int, people: People, scrutiny: Floats, b: Behaviour, block: Block) -> None:
    """What is known of everyone in the block; `scrutiny` is by origin."""
    row_of, identity, log_age, appeal = block.row, block.identity, block.log_age, block.appeal
    entry, group_of, field_of = people.entry, people.group, people.field
    for j in range(n):
        row = row_of[j]
        identity[j], appeal[j] = people.identity[row], people.appeal[row]
        log_age[j] = FIRST_YEAR + year - entry[row]
        group = group_of[row]
        origin = ORIGIN_OF_GROUP[group]
        block.scrutiny[j] = scrutiny[origin]
        put(block.leave_china, j, get(b.leave_china, origin))
        put(block.leave_elsewhere, j, get(b.leave_elsewhere, origin))
        put(block.settled, j, number(b.settled) * (1.0 if group == SETTLED else 0.0))
        put(block.field_china, j, get(b.field_china, field_of[row]))
    for j in range(n):
        log_age[j] = log(1.0 + log_age[j])


@inlined
def feel_and_hear(n: int, people: People, b: Behaviour, sampled: bool, state: State, block: Block) -> None:
    """This year's fear and ties of everyone in the block."""
    w, row_of, scrutiny, colleagues = weights_of(b.weights), block.row, block.scrutiny, people.colleagues
    known, dread, share, fear, ties = (
        block.colleagues, block.colleagues_dread, block.share_moved, block.fear, block.ties,
    )  # fmt: skip
    for j in range(n):
        row, soon = row_of[j], row_of[min(j + AHEAD, n - 1)]
        for link in range(COLLEAGUES):
            fetch(state.dread, colleagues[soon, link])
        of_eight = colleagues_of(row, colleagues, state)
        put(known, j, of_eight[0])
        put(dread, j, of_eight[1])
        put(share, j, 0.0)
        if any_of(of_eight[2] > 0.0):  # in most years none has, and divisions are slow
            put(share, j, share_moved(of_eight[0], of_eight[2]))
        own = get(state.dread, row)
        put(fear, j, own if sampled else mean_fear(real(get(state.here, row)), own))
        put(ties, j, get(state.ties, row))
    for j in range(n):
        colleagues_fear = mean_fear(get(known, j), get(dread, j))
        put(fear, j, feel(get(fear, j), get(ties, j), scrutiny[j], colleagues_fear, w))
    for j in range(n):
        put(ties, j, hear(get(ties, j), get(share, j), w))


@inlined
def weigh_one(j: int, year: int, offered: float, world: Environment, w: Weights, block: Block) -> tuple[Any, Any]:
    """Rates of leaving of number j of the block, with or without (`offered` 1 or 0) an offer."""
    return weigh(
        get(block.leave_china, j), get(block.leave_elsewhere, j), get(block.settled, j), get(block.field_china, j),
        world.log_funding[year], world.log_us[year], world.settlement[year],
        get(block.fear, j), get(block.ties, j), block.log_age[j], offered, w,
    )  # fmt: skip


@inlined
def weigh_all(n: int, year: int, world: Environment, b: Behaviour, block: Block) -> None:
    """Rates of leaving of everyone in the block without an offer."""
    w = weights_of(b.weights)
    for j in range(n):
        china, elsewhere = weigh_one(j, year, NO_OFFER, world, w, block)
        put(block.china, j, china)
        put(block.elsewhere, j, elsewhere)


@inlined
def all_chances(n: int, china: Floats, elsewhere: Floats, to_china: Floats, to_elsewhere: Floats) -> None:
    """Probabilities of leaving, from rates."""
    for j in range(n):
        p, q = chances(get(china, j), get(elsewhere, j))
        put(to_china, j, p)
        put(to_elsewhere, j, q)


@inlined
def be_offered(
    picked: int, year: int, total_appeal: Any, world: Environment, b: Behaviour, keys: Keys, sampled: bool,
    block: Block,
) -> None:  # fmt: skip
    """Rates and probabilities of the first of the block, over both answers to 'was there an offer?'."""
    w, china, pulled, chance, identity = (
        weights_of(b.weights), block.china, block.pulled, block.chance, block.identity,
    )  # fmt: skip
    for j in range(picked):
        put(pulled, j, weigh_one(j, year, OFFERED, world, w, block)[0])
    all_chances(picked, pulled, block.elsewhere, block.with_china, block.with_elsewhere)
    for j in range(picked):
        put(chance, j, offer_chance(world.offers[year], block.appeal[j], total_appeal))
    for usual, offered in ((block.to_china, block.with_china), (block.to_elsewhere, block.with_elsewhere)):
        for j in range(picked):
            p = get(chance, j)
            put(usual, j, (1.0 - p) * get(usual, j) + p * get(offered, j))
    if sampled:
        key = get(keys.offered, year)
        for j in range(picked):
            lucky = luck_of(key, identity[j]) < get(chance, j)
            put(china, j, where(lucky, get(pulled, j), get(china, j)))


@inlined
def choose_all(n: int, year: int, keys: Keys, state: State, block: Block) -> None:
    """What the clocks say, for everyone in the block."""
    row_of, identity, ringing, fate = block.row, block.identity, block.ringing, state.fate
    china, elsewhere, went_china, went_elsewhere = block.china, block.elsewhere, block.went_china, block.went_elsewhere
    clock_china, clock_elsewhere = get(keys.clock_china, year), get(keys.clock_elsewhere, year)
    for j in range(n):
        luck_china, luck_elsewhere = luck_of(clock_china, identity[j]), luck_of(clock_elsewhere, identity[j])
        ringing[j] = bits_of(may_ring(get(china, j), get(elsewhere, j), luck_china, luck_elsewhere))
        put(went_china, j, 0.0)
        put(went_elsewhere, j, 0.0)
    for j in range(n):
        if ringing[j] == 0:
            continue
        row = row_of[j]
        for lane in range(lanes_of(get(china, j))):
            if (ringing[j] >> lane) & 1 == 0 or one(state.here, row, lane) == 0:
                continue
            choice = choose(
                one(china, j, lane), one(elsewhere, j, lane),
                luck_of(one(keys.clock_china, year, lane), identity[j]),
                luck_of(one(keys.clock_elsewhere, year, lane), identity[j]),
            )  # fmt: skip
            if choice != STAY:
                set_one(went_china if choice == CHINA else went_elsewhere, j, lane, 1.0)
                set_one(fate, row, lane, 1 + 2 * year + choice)


@inlined
def spread(n: int, state: State, block: Block) -> None:
    """Instead of choosing: everyone in the block leaves in part, by the chances."""
    row_of, went_china, went_elsewhere = block.row, block.went_china, block.went_elsewhere
    for j in range(n):
        here = real(get(state.here, row_of[j]))
        put(went_china, j, here * get(block.to_china, j))
        put(went_elsewhere, j, here * get(block.to_elsewhere, j))


@inlined
def book(n: int, year: int, people: People, state: State, block: Block, tally: Tally) -> None:
    """Count what everyone in the block decided and write their state of next 1 January."""
    departures, expected, variance = tally.departures[year], tally.expected[year], tally.variance[year]
    stocks, retired, left = tally.stocks[year], tally.retired[year], tally.left[year]
    for j in range(n):
        row = block.row[j]
        here, p, q = real(get(state.here, row)), get(block.to_china, j), get(block.to_elsewhere, j)
        china, elsewhere = get(block.went_china, j), get(block.went_elsewhere, j)
        group, field, entry = people.group[row], people.field[row], people.entry[row]
        age = FIRST_YEAR + year - entry
        stage = stage_of(age)
        to_china, to_elsewhere = here * p, here * q
        add(stocks, (group, field, stage), here)
        add(expected, (group, field, stage, CHINA), to_china)
        add(expected, (group, field, stage, ELSEWHERE), to_elsewhere)
        add(variance, (group, field, stage, CHINA), to_china * (1.0 - p))
        add(variance, (group, field, stage, ELSEWHERE), to_elsewhere * (1.0 - q))
        gone = china + elsewhere
        if any_of(gone > 0.0):
            add(departures, (group, field, stage, CHINA), china)
            add(departures, (group, field, stage, ELSEWHERE), elsewhere)
            if group != SETTLED:
                add(left, (ORIGIN_OF_GROUP[group], entry - FIRST_ENTRY), gone)
        remains = at_least(here - gone, 0.0)
        if age + 1 < CAREER:
            put(state.next_here, row, remains)
            put(state.next_dread, row, remains * get(block.fear, j))
        else:
            add(retired, (group, field), remains)
        put(state.next_moved, row, china)
        put(state.ties, row, get(block.ties, j))


@inlined
def is_sound(fear: Any, ties: Any, to_china: Any, to_elsewhere: Any) -> Any:
    """Whether fear and ties lie in [0, 1] and chances are chances; nothing that is not a number does."""
    feels = (fear >= 0.0) & (fear <= 1.0) & (ties >= 0.0) & (ties <= 1.0)
    return feels & (to_china >= 0.0) & (to_elsewhere >= 0.0) & (to_china + to_elsewhere <= CERTAIN)


@inlined
def watch(n: int, year: int, block: Block, tally: Tally) -> None:
    """Count everyone in the block whose state is none that the rule can come to: it costs a few comparisons each."""
    breaches = get(tally.breaches, year)
    for j in range(n):
        p, q = get(block.to_china, j), get(block.to_elsewhere, j)
        breaches = breaches + where(is_sound(get(block.fear, j), get(block.ties, j), p, q), 0.0, 1.0)
    put(tally.breaches, year, breaches)


@compiled
def window(year: int, field: int, people: People) -> tuple[int, int]:
    """First row, and the one after the last, of the field's people who may be here in year number `year`."""
    cohort = FIRST_YEAR - FIRST_ENTRY + year
    oldest = max(cohort - (CAREER + 1), 0)  # one more than a career: last year's movers are still news
    return people.starts[field, oldest], people.starts[field, cohort + 1]


@compiled
def open_year(year: int, people: People, state: State, tally: Tally) -> None:
    """Entrants of year number `year` arrive: here, without fear, with the ties they came with."""
    cohort = FIRST_YEAR - FIRST_ENTRY + year
    entrants = tally.entrants[year]
    for field in range(people.starts.shape[0]):
        for row in range(people.starts[field, cohort], people.starts[field, cohort + 1]):
            if people.enters[row]:
                put(state.here, row, 1.0)
                put(state.ties, row, people.ties[row])
                add(entrants, (people.group[row], people.field[row]), 1.0)


@compiled
def appeal_here(year: int, people: People, here: NDArray[Any], weights: Floats) -> Any:
    """Appeal to talent programmes of everyone here who is not senior, summed over researchers."""
    cohort = FIRST_YEAR - FIRST_ENTRY + year
    oldest = max(cohort - (MID_UNTIL - 1), 0)
    total = get(weights, 0) * 0.0  # zero, for one member or for each
    for field in range(people.starts.shape[0]):
        for row in range(people.starts[field, oldest], people.starts[field, cohort + 1]):
            if people.appeal[row] > 0.0:
                total = total + real(get(here, row)) * people.appeal[row] * get(weights, people.group[row])
    return total


@compiled
def settle_cohort(
    first: int, end: int, people: People, world: Environment, b: Behaviour, keys: Keys, sampled: bool,
    state: State, block: Block, tally: Tally,
) -> None:  # fmt: skip
    """Who of rows [first, end), of one cohort, is still here in FIRST_YEAR."""
    row_of, stays, identity = block.row, block.chance, block.identity
    entry = people.entry[first]
    n = 0
    for row in range(first, end):
        row_of[n] = row
        n += people.enters[row]
    look_up(n, 0, people, world.scrutiny[0], b, block)
    for j in range(n):
        put(stays, j, 1.0)
        put(block.fear, j, 0.0)
        put(block.ties, j, people.ties[row_of[j]])
    for lived in range(FIRST_YEAR - entry):
        block.log_age[:n] = log(1.0 + lived)
        weigh_all(n, 0, world, b, block)
        for j in range(n):
            to_china, to_elsewhere = chances(get(block.china, j), get(block.elsewhere, j))
            put(stays, j, get(stays, j) * (1.0 - (to_china + to_elsewhere)))
    for j in range(n):
        row = row_of[j]
        here = get(stays, j)
        if sampled:
            here = where(luck_of(get(keys.survived, 0), identity[j]) < here, here * 0.0 + 1.0, here * 0.0)
        put(state.here, row, here)
        put(state.ties, row, people.ties[row])
        group = people.group[row]
        if group != SETTLED:
            add(tally.left_before, (ORIGIN_OF_GROUP[group], entry - FIRST_ENTRY), 1.0 - here)


@compiled
def settle_before(
    people: People, world: Environment, b: Behaviour, keys: Keys, sampled: bool, state: State, block: Block,
    tally: Tally,
) -> None:  # fmt: skip
    """Who of the earlier cohorts is still here in FIRST_YEAR.

    They have lived years that are not simulated; each is here with the probability that the same rule gives
    for those years in the world of FIRST_YEAR: no fear, no offers, ties as at entry.
    """
    size = len(block.row)
    for field in range(people.starts.shape[0]):
        for cohort in range(max(FIRST_YEAR - FIRST_ENTRY - (CAREER - 1), 0), FIRST_YEAR - FIRST_ENTRY):
            begin, stop = people.starts[field, cohort], people.starts[field, cohort + 1]
            for first in range(begin, stop, size):
                end = min(first + size, stop)
                settle_cohort(first, end, people, world, b, keys, sampled, state, block, tally)


@compiled
def close_year(year: int, people: People, d: Decisions, state: State, block: Block, tally: Tally) -> None:
    """Book what agents decided one by one, in the order in which the compiled year would have."""
    size = len(block.row)
    for field in range(people.starts.shape[0]):
        begin, stop = window(year, field, people)
        for first in range(begin, stop, size):
            _, n = call_up(first, min(first + size, stop), year, people, state, block)
            for j in range(n):
                row = block.row[j]
                block.fear[j], block.ties[j] = d.fear[row], d.ties[row]
                block.to_china[j], block.to_elsewhere[j] = d.to_china[row], d.to_elsewhere[row]
                block.went_china[j] = 1.0 if d.choice[row] == CHINA else 0.0
                block.went_elsewhere[j] = 1.0 if d.choice[row] == ELSEWHERE else 0.0
                if d.choice[row] != STAY:
                    state.fate[row] = 1 + 2 * year + d.choice[row]
            watch(n, year, block, tally)
            book(n, year, people, state, block, tally)


@compiled
def live_year(
    year: int, people: People, world: Environment, b: Behaviour, weights: Floats, keys: Keys, sampled: bool,
    state: State, block: Block, tally: Tally,
) -> None:  # fmt: skip
    """One year of everyone: all decide on the state of 1 January, block by block."""
    size = len(block.row)
    open_year(year, people, state, tally)
    total_appeal = appeal_here(year, people, state.here, weights)
    for field in range(people.starts.shape[0]):
        begin, stop = window(year, field, people)
        for first in range(begin, stop, size):
            picked, n = call_up(first, min(first + size, stop), year, people, state, block)
            look_up(n, year, people, world.scrutiny[year], b, block)
            feel_and_hear(n, people, b, sampled, state, block)
            weigh_all(n, year, world, b, block)
            all_chances(n, block.china, block.elsewhere, block.to_china, block.to_elsewhere)
            if world.offers[year] > 0.0:
                be_offered(picked, year, total_appeal, world, b, keys, sampled, block)
            if sampled:
                choose_all(n, year, keys, state, block)
            else:
                spread(n, state, block)
            watch(n, year, block, tally)
            book(n, year, people, state, block, tally)


@compiled
def simulate(
    people: People, world: Environment, b: Behaviour, weights: Floats, keys: Keys, sampled: bool,
    state: State, block: Block, tally: Tally,
) -> None:  # fmt: skip
    """All years of one member or of WIDTH. `weights` are researchers an agent stands for, by group (and member)."""
    settle_before(people, world, b, keys, sampled, state, block, tally)
    for year in range(world.offers.size):
        live_year(year, people, world, b, weights, keys, sampled, state, block, tally)
        state = State(
            state.next_here, state.here, state.next_moved, state.moved, state.next_dread, state.dread,
            state.ties, state.fate,
        )  # fmt: skip
