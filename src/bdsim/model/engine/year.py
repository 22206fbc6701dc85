"""The compiled year: the rule of rule.py applied to every researcher, sampled or in expectation.

In a *sampled* run each researcher is here or not and clocks are drawn; in an *expected* run each carries the
probability of still being here and no choice is drawn. Either is of one member or of many side by side: `get`,
`put` and `add` read and write a number or the numbers of all of them (values.py). All walk through the functions
below. The Mesa agents of agents.py decide one by one with the same rule; `close_year` counts what they decided.

People are taken cohort by cohort: whatever depends on year, field, route and career age is worked out once for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdsim.model import draws
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, ORIGIN_OF_GROUP, Floats
from bdsim.model.engine.compiling import compiled
from bdsim.model.engine.counting import SETTLED, add_up, chances_at, count_block, count_offers, leave, retire
from bdsim.model.engine.inlining import inlined
from bdsim.model.engine.lanes import first_of
from bdsim.model.engine.presence import (
    both,
    dread_of,
    has_moved,
    here_of,
    is_here,
    mean_fear,
    moved_of,
    put_both,
    share_moved,
    status_of,
)  # fmt: skip
from bdsim.model.engine.state import Block, Decisions, Keys, State, Tally
from bdsim.model.engine.values import add, bits_of, fetch, get, is_count, number, one, put, slack, some
from bdsim.model.maths import any_of, at_least, at_most, exp, exp_within, reach, where
from bdsim.model.people import COLLEAGUES, People
from bdsim.model.rule import (
    CAREER,
    OFFERS_FROM,
    OFFERS_UNTIL,
    STAY,
    Weights,
    attraction,
    chances,
    choose,
    feel,
    hear,
    may_be_offered,
    offer_chance,
    on_visa,
    retention,
    shared,
    stage_of,
    weigh,
)
from bdsim.model.world import Behaviour, Environment, Shocks

__all__ = [
    "appeal_here",
    "close_year",
    "first_fear",
    "live_year",
    "luck_of",
    "open_year",
    "set_usual",
    "weights_of",
]

ONE, TWO = np.uint64(1), np.uint64(2)
# In researchers: long enough for memory to answer, short enough to stay in the nearest cache.
AHEAD, AHEAD_EXPECTED = np.uint64(16), np.uint64(12)
BEFORE_FIRST_YEAR = FIRST_YEAR - FIRST_ENTRY  # cohorts that entered before it


@inlined
def weights_of(w: Weights) -> Weights:
    """The weights of one member, or of all members side by side, ready for the rule."""
    return Weights(
        number(w.funding), number(w.pull_growth), number(w.ties_weight), number(w.push), number(w.spill),
        number(w.standing), number(w.rooting), number(w.accept), number(w.stay_us), number(w.wait),
        number(w.rho), number(w.fade), number(w.kappa), number(w.gamma),
    )  # fmt: skip


@inlined
def luck_of(key: Any, identity: np.uint64) -> Any:
    """The draw of one researcher in the random sequence that starts at `key`."""
    return draws.unit(draws.output(key, identity))


@inlined
def may_ring(rate: Any, key: Any, identity: np.uint64) -> Any:
    """Whether a clock may ring within the year: -log(u) > 1 - u, so most years need no logarithm to see none will."""
    return draws.nearly(draws.output(key, identity)) + rate * (1.0 + slack(rate)) > 2.0 - slack(rate)


@inlined
def list_present(first: int, end: int, state: State, block: Block) -> int:
    """List those of rows [first, end) who are here. The others stay away, and a move is news for one year."""
    n = 0
    for row in range(np.uint64(first), np.uint64(end)):
        block.row[n] = row
        here = some(here_of(both(state.status, row)))
        n += here
        if not here:
            put_both(state.next_status, row, 0.0, 0.0)
            put(state.next_dread, row, 0.0)
    return n


@inlined
def set_usual(field: int, b: Behaviour, block: Block) -> None:
    """Both log rates of the groups of a field."""
    for group in range(len(ORIGIN_OF_GROUP)):
        origin = ORIGIN_OF_GROUP[group]
        settled = number(b.settled) * (1.0 if group == SETTLED else 0.0)
        put(block.usual_china, group, get(b.leave_china, origin) + settled + get(b.field_china, field))
        put(block.usual_elsewhere, group, get(b.leave_elsewhere, origin) + settled)


@inlined
def set_shared(
    year: int, field: int, age: int, attracted: Any, world: Environment, shocks: Shocks, b: Behaviour, w: Weights,
    block: Block,
) -> None:  # fmt: skip
    """Both log rates that the groups of a field share at a career age."""
    log_us, waiting = get(world.log_us, (year, field)), get(world.green_card_wait, year)
    moved_by = get(shocks.china, (year, field)), get(shocks.elsewhere, year)
    for group in range(len(ORIGIN_OF_GROUP)):
        settled = group == SETTLED
        roots = get(b.roots, 1 if settled else 0)
        retained = retention(roots, float(age), log_us, waiting, on_visa(settled, age), w)
        usual = get(block.usual_china, group), get(block.usual_elsewhere, group)
        china, elsewhere = shared(usual, attracted, retained, moved_by)
        put(block.shared_china, group, china)
        put(block.shared_elsewhere, group, elsewhere)


@inlined
def size_of(x: Any) -> Any:
    """Without its sign."""
    return at_least(x, -x)


@inlined
def is_within_reach(w: Weights, block: Block) -> bool:
    """Whether the logarithm of every rate of a cohort, for any fear, ties and prominence in [0, 1], needs no clamp."""
    most = size_of(w.accept)
    for group in range(len(ORIGIN_OF_GROUP)):
        most = at_least(most, size_of(get(block.shared_china, group)))
        most = at_least(most, size_of(get(block.shared_elsewhere, group)))
    most = most + size_of(w.ties_weight) + size_of(w.push) + size_of(w.push * w.spill) + size_of(w.standing)
    return not any_of(where(most <= reach(most), 0.0, 1.0) > 0.0)


@inlined
def feel_and_hear(n: int, people: People, w: Weights, offers: bool, calm: bool, state: State, block: Block) -> None:
    """This year's fear and ties of everyone in the block, and the logarithms of the rates.

    In a `calm` year nobody has ever been afraid, so nobody will be.
    """
    row_of, colleagues, group_of, identity = block.row, people.colleagues, people.group, block.identity
    sampled = is_count(state.status)
    none, last = w.push * 0.0, np.uint64(len(group_of) - 1)
    ahead = AHEAD if sampled else AHEAD_EXPECTED
    for j in range(n):
        row = row_of[j]
        group = group_of[row]
        identity[j] = people.identity[row]
        ties = get(state.ties, row)
        soon = at_most(row + ahead, last)
        for link in range(COLLEAGUES):
            other = np.uint64(colleagues[soon, link])
            if sampled:
                fetch(state.status, other)
            else:
                fetch(state.status, TWO * other)
                fetch(state.status, TWO * other + ONE)
            if not calm:
                fetch(state.dread, other)
        status = status_of(row, colleagues, state.status)
        fear = none
        if not calm:
            dread, own = dread_of(row, colleagues, state.dread), get(state.dread, row)
            own = own if sampled else mean_fear(here_of(both(state.status, row)), own)
            fear = feel(own, ties, get(block.scrutiny, group), mean_fear(here_of(status), dread), w)
            put(block.fear, j, fear)
        if has_moved(status):  # in most years none has, and divisions are slow
            ties = hear(ties, share_moved(here_of(status), moved_of(status)), w)
            put(state.ties, row, ties)
        in_common = get(block.shared_china, group), get(block.shared_elsewhere, group)
        china, elsewhere, by_offer = weigh(in_common, fear, ties, people.prominence[row], w)
        put(block.china, j, china)
        put(block.elsewhere, j, elsewhere)
        if offers:
            put(block.by_offer, j, by_offer)


@inlined
def to_rates(n: int, within: bool, column: Any) -> None:
    """Rates of leaving of everyone in the block, from their logarithms; clamps are dear, and few need them."""
    if within:
        for j in range(n):
            put(column, j, exp_within(get(column, j)))
    else:
        for j in range(n):
            put(column, j, exp(get(column, j)))


@inlined
def be_offered(
    n: int, year: int, offers: Any, total_appeal: Any, people: People, keys: Keys, state: State, block: Block
) -> int:
    """Chances of everyone in the block: over both answers to 'was there an offer?' of those whom programmes look at.

    They are listed in `block.some`, and their rates by offers stand in the block; returns how many they are.
    """
    by_offer, picked, appeal = block.by_offer, block.some, people.appeal
    for j in range(n):
        p, q = chances_at(j, False, block)
        put(block.to_china, j, p)
        put(block.to_elsewhere, j, q)
    m = 0
    for j in range(n):
        picked[m] = j
        m += appeal[block.row[j]] > 0.0
    for i in range(m):
        put(by_offer, picked[i], exp(get(by_offer, picked[i])))
    key = get(keys.offered, year)
    for i in range(m):
        j = picked[i]
        chance = offer_chance(offers, appeal[block.row[j]], total_appeal)
        china, elsewhere, programme = chances(get(block.china, j), get(block.elsewhere, j), get(by_offer, j))
        programme = chance * programme
        put(block.to_programme, j, programme)
        put(block.to_china, j, (1.0 - chance) * get(block.to_china, j) + chance * china + programme)
        put(block.to_elsewhere, j, (1.0 - chance) * get(block.to_elsewhere, j) + chance * elsewhere)
        if is_count(state.status):
            put(by_offer, j, where(luck_of(key, block.identity[j]) < chance, get(by_offer, j), 0.0))
    count_offers(m, people, state, block)
    return m


@inlined
def listen(n: int, year: int, offered: int, keys: Keys, block: Block) -> None:
    """In which lanes a clock may ring; the first `offered` in `block.some` may have an offer."""
    identity, ringing = block.identity, block.ringing
    china, elsewhere = get(keys.clock_china, year), get(keys.clock_elsewhere, year)
    for j in range(n):
        rings = may_ring(get(block.china, j), china, identity[j])
        ringing[j] = bits_of(rings | may_ring(get(block.elsewhere, j), elsewhere, identity[j]))
    programme = get(keys.clock_programme, year)
    for i in range(offered):
        j = block.some[i]
        rate = get(block.by_offer, j)
        if any_of(rate > 0.0):
            ringing[j] |= bits_of(may_ring(rate, programme, identity[j]))


@inlined
def choose_all(
    n: int, year: int, field: int, stage: int, cohort: int, offers: bool, keys: Keys, people: People, state: State,
    block: Block, tally: Tally,
) -> None:  # fmt: skip
    """What the clocks say, for everyone in the block."""
    for j in range(n):
        if block.ringing[j] == 0:
            continue
        row, identity = block.row[j], block.identity[j]
        offered = offers and people.appeal[row] > 0.0
        ringing = np.uint64(block.ringing[j])
        while ringing:
            lane = first_of(ringing)
            ringing &= ringing - ONE
            if not is_here(state.status, row, lane):
                continue
            by_offer = one(block.by_offer, j, lane) if offered else 0.0
            choice = choose(
                (one(block.china, j, lane), one(block.elsewhere, j, lane), by_offer),
                (
                    luck_of(one(keys.clock_china, year, lane), identity),
                    luck_of(one(keys.clock_elsewhere, year, lane), identity),
                    luck_of(one(keys.clock_programme, year, lane), identity),
                ),
            )
            if choice != STAY:
                leave(row, lane, choice, year, field, stage, cohort, people, state, tally)


@inlined
def open_year(year: int, people: People, state: State, tally: Tally) -> None:
    """Entrants of year number `year` arrive: here, without fear, with the ties they came with."""
    cohort = BEFORE_FIRST_YEAR + year
    for field in range(people.starts.shape[0]):
        for row in range(people.starts[field, cohort], people.starts[field, cohort + 1]):
            if people.enters[row]:
                put_both(state.status, row, 1.0, 0.0)
                put(state.ties, row, people.ties[row])
                add(tally.entrants, (year, people.group[row], people.field[row]), 1.0)


@inlined
def appeal_here(year: int, people: People, status: NDArray[Any], sizes: Floats) -> Any:
    """Appeal to talent programmes of everyone here of the career years they look at, summed over researchers."""
    now = BEFORE_FIRST_YEAR + year
    total = get(sizes, 0) * 0.0  # zero, for one member or for each
    for field in range(people.starts.shape[0]):
        first, end = (
            people.starts[field, at_least(now - OFFERS_UNTIL + 1, 0)],
            people.starts[field, now - OFFERS_FROM + 1],
        )
        for row in range(np.uint64(first), np.uint64(end)):
            total = total + here_of(both(status, row)) * people.appeal[row] * get(sizes, people.group[row])
    return total


@inlined
def oldest_in(year: int) -> int:
    """The first cohort that matters in a year: one more than a career, as last year's movers are still news."""
    return at_least(BEFORE_FIRST_YEAR + year - (CAREER + 1), 0)


@compiled
def close_year(year: int, people: People, d: Decisions, state: State, block: Block, tally: Tally) -> None:
    """Count what agents decided one by one, in the order in which the compiled year would have."""
    size, now = len(block.row), BEFORE_FIRST_YEAR + year
    for field in range(people.starts.shape[0]):
        for cohort in range(oldest_in(year), now + 1):
            age, stop = now - cohort, people.starts[field, cohort + 1]
            for first in range(people.starts[field, cohort], stop, size):
                n = list_present(first, at_most(first + size, stop), state, block)
                for j in range(n):
                    row = block.row[j]
                    block.some[j] = j
                    block.fear[j], state.ties[row] = d.fear[row], d.ties[row]
                    block.to_china[j], block.to_elsewhere[j] = d.to_china[row], d.to_elsewhere[row]
                    block.to_programme[j] = d.to_programme[row]
                count_offers(n, people, state, block)
                count_block(n, year, False, True, people, state, block, tally)
                for j in range(n):
                    row = block.row[j]
                    if d.choice[row] != STAY:
                        leave(row, 0, d.choice[row], year, field, stage_of(age), cohort, people, state, tally)
                if age + 1 >= CAREER:
                    retire(n, year, field, people, state, block, tally)
            if age < CAREER:
                add_up(year, field, stage_of(age), cohort, age, True, block, tally)


@compiled
def live_year(
    year: int, people: People, world: Environment, shocks: Shocks, b: Behaviour, sizes: Floats, keys: Keys,
    calm: bool, state: State, block: Block, tally: Tally,
) -> None:  # fmt: skip
    """One year of everyone: all decide on the state of 1 January, cohort by cohort, block by block."""
    open_year(year, people, state, tally)
    size, now, w, sampled = len(block.row), BEFORE_FIRST_YEAR + year, weights_of(b.weights), is_count(state.status)
    attracted = attraction(get(world.log_funding, year), get(world.pull, year), w)
    offers, total_appeal = get(world.offers, year) * number(b.counted), appeal_here(year, people, state.status, sizes)
    for group in range(len(ORIGIN_OF_GROUP)):
        put(block.scrutiny, group, get(world.scrutiny, (year, ORIGIN_OF_GROUP[group])))
    for field in range(people.starts.shape[0]):
        set_usual(field, b, block)
        for cohort in range(oldest_in(year), now + 1):
            age, stop = now - cohort, people.starts[field, cohort + 1]
            stage, offering = stage_of(age), may_be_offered(age) & any_of(offers > 0.0)
            set_shared(year, field, age, attracted, world, shocks, b, w, block)
            within = is_within_reach(w, block)
            for first in range(people.starts[field, cohort], stop, size):
                n, offered = list_present(first, at_most(first + size, stop), state, block), 0
                feel_and_hear(n, people, w, offering, calm, state, block)
                to_rates(n, within, block.elsewhere)
                to_rates(n, within, block.china)
                if offering:
                    offered = be_offered(n, year, offers, total_appeal, people, keys, state, block)
                count_block(n, year, calm, offering, people, state, block, tally)
                if sampled:
                    listen(n, year, offered, keys, block)
                    choose_all(n, year, field, stage, cohort, offering, keys, people, state, block, tally)
                if age + 1 >= CAREER:
                    retire(n, year, field, people, state, block, tally)
            if age < CAREER:
                add_up(year, field, stage, cohort, age, sampled, block, tally)


def first_fear(scrutiny: Floats) -> int:
    """The number of the first year in which anybody is scrutinised; before it nobody has been afraid."""
    years = np.flatnonzero(scrutiny.reshape(len(scrutiny), -1).any(axis=1))
    return int(years[0]) if len(years) else len(scrutiny)
