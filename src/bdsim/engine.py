"""The compiled year: the rule of rule.py applied to every researcher, sampled or in expectation.

In a *sampled* run each researcher is here or not and clocks are drawn; in an *expected* run each carries the
probability of still being here and no choice is drawn. Both walk through the same functions below. The Mesa
agents of agents.py decide one by one with the same rule; `close_year` books what they decided.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdsim import draws
from bdsim.compiling import compiled
from bdsim.draws import Purpose
from bdsim.environment import FIRST_ENTRY, FIRST_YEAR, Environment, Floats
from bdsim.parameters import Behaviour
from bdsim.population import COLLEAGUES, GROUPS, ORIGIN_OF_GROUP, People
from bdsim.rule import (
    CAREER,
    CHINA,
    ELSEWHERE,
    STAY,
    Weights,
    chances,
    choose,
    feel,
    hear,
    offer_chance,
    stage_of,
    weigh,
)

__all__ = [
    "DESTINATIONS",
    "STAGES",
    "Decisions",
    "Keys",
    "State",
    "Tally",
    "new_state",
    "new_tally",
    "simulate",
]

STAGES = ("early", "mid", "senior")
DESTINATIONS = ("china", "elsewhere")
HERE, FEAR, TIES, MOVED = 0, 1, 2, 3  # columns of State.now and State.next
SETTLED = 1  # GROUPS[1]
SENIOR = 2
BLOCK = 512  # researchers decided together; their columns stay in the nearest cache
LEAST = 1e-300  # keeps 0 / 0 at 0


class Keys(NamedTuple):
    """Starts of this member's random sequences, by purpose (and year)."""

    survived: np.uint64
    offered: NDArray[np.uint64]  # (years,)
    clock_china: NDArray[np.uint64]  # (years,)
    clock_elsewhere: NDArray[np.uint64]  # (years,)


class State(NamedTuple):
    """What changes in a run. The last row is nobody: the colleague that one lacks.

    Columns of `now` and `next`: probability of being here (0 or 1 when sampled), fear, ties, probability of
    having moved to China last year. `fate` is 0 for those who never left, else 1 + 2 * (year - FIRST_YEAR) +
    destination (sampled runs only).
    """

    now: Floats  # (rows + 1, 4)
    next: Floats  # (rows + 1, 4)
    fate: NDArray[np.uint8]  # (rows,)


class Decisions(NamedTuple):
    """What researchers' years came to, by row; `choice` is STAY, CHINA or ELSEWHERE, always STAY in expectation."""

    fear: Floats  # (rows,)
    ties: Floats  # (rows,)
    to_china: Floats  # (rows,) probability
    to_elsewhere: Floats  # (rows,) probability
    choice: NDArray[np.int8]  # (rows,)


class Block(NamedTuple):
    """Work space for BLOCK researchers who are here, so that each stage is a short loop over plain columns."""

    row: NDArray[np.int64]
    scrutiny: Floats
    age: Floats
    chance: Floats  # of an offer
    leave_china: Floats
    leave_elsewhere: Floats
    settled: Floats
    field_china: Floats
    colleagues_fear: Floats
    share_moved: Floats
    fear: Floats
    ties: Floats
    china: Floats  # rate per year
    elsewhere: Floats  # rate per year
    to_china: Floats  # probability
    to_elsewhere: Floats  # probability
    pulled: Floats  # rate of leaving for China with an offer, and the probabilities then
    with_china: Floats
    with_elsewhere: Floats
    unused: Floats


class Tally(NamedTuple):
    """What is counted, in agents; the first axis of all but the last is the year from FIRST_YEAR."""

    departures: Floats  # (years, groups, fields, stages, destinations)
    expected: Floats  # same: sum of probabilities given 1 January
    variance: Floats  # same: sum of p (1 - p)
    stocks: Floats  # (years, groups, fields, stages): here on 1 January
    entrants: Floats  # (years, groups, fields)
    retired: Floats  # (years, groups, fields)
    left: Floats  # (years, origins, cohorts): departures of the doctorate route by entry year
    left_before: Floats  # (origins, cohorts): the same before FIRST_YEAR


def member_keys(seed: int, years: int) -> Keys:
    """The keys of the member whose own seed is `seed` (see draws.member_seed)."""
    calendar = range(FIRST_YEAR, FIRST_YEAR + years)

    def by_year(purpose: int, alternative: int = 0) -> NDArray[np.uint64]:
        return np.array([draws.key_of(seed, year, purpose, alternative) for year in calendar], np.uint64)

    return Keys(
        survived=np.uint64(draws.key_of(seed, FIRST_YEAR, Purpose.SURVIVED)),
        offered=by_year(Purpose.OFFERED),
        clock_china=by_year(Purpose.CLOCK, CHINA),
        clock_elsewhere=by_year(Purpose.CLOCK, ELSEWHERE),
    )


def new_state(rows: int) -> State:
    """An empty state for `rows` researchers."""
    return State(np.zeros((rows + 1, 4)), np.zeros((rows + 1, 4)), np.zeros(rows, np.uint8))


def new_decisions(rows: int) -> Decisions:
    """Everyone stays."""
    zeros = np.zeros((4, rows))
    return Decisions(zeros[0], zeros[1], zeros[2], zeros[3], np.full(rows, STAY, np.int8))


def new_block() -> Block:
    """Work space for one thread."""
    return Block(np.zeros(BLOCK, np.int64), *np.zeros((len(Block._fields) - 1, BLOCK)))


def new_tally(years: int, fields: int) -> Tally:
    """Zeros for `years` years and `fields` fields."""
    cells = (years, len(GROUPS), fields, len(STAGES))
    origins, cohorts = int(ORIGIN_OF_GROUP[-1]) + 1, FIRST_YEAR - FIRST_ENTRY + years
    return Tally(
        departures=np.zeros((*cells, 2)),
        expected=np.zeros((*cells, 2)),
        variance=np.zeros((*cells, 2)),
        stocks=np.zeros(cells),
        entrants=np.zeros(cells[:3]),
        retired=np.zeros(cells[:3]),
        left=np.zeros((years, origins, cohorts)),
        left_before=np.zeros((origins, cohorts)),
    )


@compiled
def peers_of(row: int, colleagues: NDArray[np.uint32], now: Floats) -> tuple[float, float]:
    """Mean fear of the colleagues still here, and the share of colleagues who moved to China last year.

    The share is of those here and those just moved. Someone without colleagues hears nothing: (0, 0).
    """
    here = fear = moved = 0.0
    for link in range(COLLEAGUES):
        other = colleagues[row, link]
        here += now[other, HERE]
        fear += now[other, HERE] * now[other, FEAR]
        moved += now[other, MOVED]
    known = here + moved
    return fear / max(here, LEAST), moved / max(known, LEAST)


@compiled
def luck_of(key: np.uint64, identity: np.uint64) -> float:
    """The draw of one researcher in the random sequence that starts at `key`."""
    return draws.unit(draws.output(key, identity))  # type: ignore[no-any-return]


@compiled
def look_up(
    first: int, end: int, year: int, total_appeal: float, people: People, world: Environment, b: Behaviour,
    now: Floats, block: Block,
) -> int:  # fmt: skip
    """Put those of rows [first, end) who are here into the block, with what is known of them; returns how many."""
    row_of, age_of, chance = block.row, block.age, block.chance
    leave_china, leave_elsewhere = block.leave_china, block.leave_elsewhere
    settled, field_china, scrutiny = block.settled, block.field_china, block.scrutiny
    entry, group_of, field_of, appeal = people.entry, people.group, people.field, people.appeal
    of_china, of_elsewhere, of_field, offers = (
        b.leave_china,
        b.leave_elsewhere,
        b.field_china,
        world.offers[year],
    )
    scrutinised = world.scrutiny
    n = 0
    for row in range(first, end):
        row_of[n] = row
        n += now[row, HERE] > 0.0
    for j in range(n):
        row = row_of[j]
        group = group_of[row]
        origin = ORIGIN_OF_GROUP[group]
        age = FIRST_YEAR + year - entry[row]
        age_of[j] = age
        scrutiny[j] = scrutinised[year, origin]
        leave_china[j] = of_china[origin]
        leave_elsewhere[j] = of_elsewhere[origin]
        settled[j] = b.settled if group == SETTLED else 0.0
        field_china[j] = of_field[field_of[row]]
        chance[j] = offer_chance(offers, appeal[row], total_appeal) if stage_of(age) != SENIOR else 0.0
    return n


@compiled
def feel_and_hear(n: int, people: People, w: Weights, now: Floats, block: Block) -> None:
    """This year's fear and ties of everyone in the block."""
    row_of, scrutiny, colleagues = block.row, block.scrutiny, people.colleagues
    fear, ties, colleagues_fear, share_moved = block.fear, block.ties, block.colleagues_fear, block.share_moved
    for j in range(n):
        row = row_of[j]
        colleagues_fear[j], share_moved[j] = peers_of(row, colleagues, now)
        fear[j], ties[j] = now[row, FEAR], now[row, TIES]
    for j in range(n):
        fear[j] = feel(fear[j], ties[j], scrutiny[j], colleagues_fear[j], w)
    for j in range(n):
        ties[j] = hear(ties[j], share_moved[j], w)


@compiled
def weigh_all(
    n: int, year: int, offered: float, world: Environment, w: Weights, block: Block, china: Floats, elsewhere: Floats
) -> None:
    """Rates of leaving of everyone in the block, had everyone or no one (`offered` 1 or 0) an offer."""
    age, fear, ties = block.age, block.fear, block.ties
    leave_china, leave_elsewhere = block.leave_china, block.leave_elsewhere
    settled, field_china = block.settled, block.field_china
    funding, us, settlement = world.log_funding[year], world.log_us[year], world.settlement[year]
    for j in range(n):
        china[j], elsewhere[j] = weigh(
            leave_china[j], leave_elsewhere[j], settled[j], field_china[j],
            funding, us, settlement, fear[j], ties[j], age[j], offered, w,
        )  # fmt: skip


@compiled
def chances_all(n: int, china: Floats, elsewhere: Floats, to_china: Floats, to_elsewhere: Floats) -> None:
    """Probabilities of leaving of everyone in the block."""
    for j in range(n):
        to_china[j], to_elsewhere[j] = chances(china[j], elsewhere[j])


@compiled
def weigh_up(
    n: int, year: int, people: People, world: Environment, w: Weights, key: np.uint64, sampled: bool, block: Block
) -> None:
    """Rates and probabilities of leaving of everyone in the block, over both answers to 'was there an offer?'."""
    row_of, chance, identity = block.row, block.chance, people.identity
    china, to_china, to_elsewhere = block.china, block.to_china, block.to_elsewhere
    weigh_all(n, year, 0.0, world, w, block, china, block.elsewhere)
    chances_all(n, china, block.elsewhere, to_china, to_elsewhere)
    if world.offers[year] <= 0.0:
        return
    pulled, with_china, with_elsewhere = block.pulled, block.with_china, block.with_elsewhere
    weigh_all(n, year, 1.0, world, w, block, pulled, block.unused)
    chances_all(n, pulled, block.elsewhere, with_china, with_elsewhere)
    for j in range(n):
        to_china[j] = (1.0 - chance[j]) * to_china[j] + chance[j] * with_china[j]
        to_elsewhere[j] = (1.0 - chance[j]) * to_elsewhere[j] + chance[j] * with_elsewhere[j]
    if sampled:
        for j in range(n):
            if chance[j] > 0.0 and luck_of(key, identity[row_of[j]]) < chance[j]:
                china[j] = pulled[j]


@compiled
def choose_all(n: int, year: int, people: People, keys: Keys, block: Block, choice: NDArray[np.int8]) -> None:
    """What this member's clocks say, for everyone in the block."""
    row_of, china, elsewhere, identity = block.row, block.china, block.elsewhere, people.identity
    clock_china, clock_elsewhere = keys.clock_china[year], keys.clock_elsewhere[year]
    for j in range(n):
        row = row_of[j]
        luck_china, luck_elsewhere = (
            luck_of(clock_china, identity[row]),
            luck_of(clock_elsewhere, identity[row]),
        )
        choice[row] = choose(china[j], elsewhere[j], luck_china, luck_elsewhere)


@compiled
def put_down(n: int, block: Block, d: Decisions) -> None:
    """The block's decisions at everyone's own row."""
    row_of, fear, ties, to_china, to_elsewhere = block.row, d.fear, d.ties, d.to_china, d.to_elsewhere
    for j in range(n):
        row = row_of[j]
        fear[row], ties[row] = block.fear[j], block.ties[j]
        to_china[row], to_elsewhere[row] = block.to_china[j], block.to_elsewhere[j]


@compiled
def book(
    first: int, end: int, year: int, people: People, d: Decisions, sampled: bool, state: State, tally: Tally
) -> None:
    """Count what rows [first, end) decided and write their state of next 1 January."""
    now, following, fate = state.now, state.next, state.fate
    group_of, field_of, entry = people.group, people.field, people.entry
    fear, ties, to_china, to_elsewhere, choice = d.fear, d.ties, d.to_china, d.to_elsewhere, d.choice
    departures, expected, variance = tally.departures[year], tally.expected[year], tally.variance[year]
    stocks, retired, left = tally.stocks[year], tally.retired[year], tally.left[year]
    for row in range(first, end):
        here = now[row, HERE]
        if here <= 0.0:  # someone who is not here stays away, and last year's move is no longer news
            following[row, HERE] = 0.0
            following[row, MOVED] = 0.0
            continue
        group, field = group_of[row], field_of[row]
        age = FIRST_YEAR + year - entry[row]
        stage = stage_of(age)
        p, q = to_china[row], to_elsewhere[row]
        stocks[group, field, stage] += here
        expected[group, field, stage, CHINA] += here * p
        expected[group, field, stage, ELSEWHERE] += here * q
        variance[group, field, stage, CHINA] += here * p * (1.0 - p)
        variance[group, field, stage, ELSEWHERE] += here * q * (1.0 - q)
        china, elsewhere = here * p, here * q
        if sampled:
            china = 1.0 if choice[row] == CHINA else 0.0
            elsewhere = 1.0 if choice[row] == ELSEWHERE else 0.0
        gone = china + elsewhere
        if gone > 0.0:
            departures[group, field, stage, CHINA] += china
            departures[group, field, stage, ELSEWHERE] += elsewhere
            if group != SETTLED:
                left[ORIGIN_OF_GROUP[group], entry[row] - FIRST_ENTRY] += gone
            if sampled:
                fate[row] = 1 + 2 * year + choice[row]
        remains = max(here - gone, 0.0)
        if age + 1 >= CAREER:
            retired[group, field] += remains
            remains = 0.0
        following[row, HERE] = remains
        following[row, FEAR] = fear[row]
        following[row, TIES] = ties[row]
        following[row, MOVED] = china


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
    for field in range(people.starts.shape[0]):
        for row in range(people.starts[field, cohort], people.starts[field, cohort + 1]):
            if people.enters[row]:
                state.now[row, HERE] = 1.0
                state.now[row, TIES] = people.ties[row]
                tally.entrants[year, people.group[row], people.field[row]] += 1.0


@compiled
def appeal_here(year: int, people: People, now: Floats, weights: Floats) -> float:
    """Appeal to talent programmes of everyone here who is not senior, summed over researchers."""
    total = 0.0
    for field in range(people.starts.shape[0]):
        first, end = window(year, field, people)
        for row in range(first, end):
            if stage_of(FIRST_YEAR + year - people.entry[row]) != SENIOR:
                total += now[row, HERE] * people.appeal[row] * weights[people.group[row]]
    return total


@compiled
def settle_before(
    people: People, world: Environment, b: Behaviour, keys: Keys, sampled: bool, state: State, tally: Tally
) -> None:
    """Who of the earlier cohorts is still here in FIRST_YEAR.

    They have lived years that are not simulated; each is here with the probability that the same rule gives
    for those years in the world of FIRST_YEAR: no fear, no offers, ties as at entry.
    """
    for field in range(people.starts.shape[0]):
        for row in range(people.starts[field, 0], people.starts[field, FIRST_YEAR - FIRST_ENTRY]):
            lived = FIRST_YEAR - people.entry[row]
            if not people.enters[row] or lived >= CAREER:
                continue
            group = people.group[row]
            origin = ORIGIN_OF_GROUP[group]
            stays = 1.0
            for age in range(lived):
                china, elsewhere = weigh(
                    b.leave_china[origin], b.leave_elsewhere[origin], b.settled if group == SETTLED else 0.0,
                    b.field_china[field], world.log_funding[0], world.log_us[0], world.settlement[0],
                    0.0, people.ties[row], float(age), 0.0, b.weights,
                )  # fmt: skip
                to_china, to_elsewhere = chances(china, elsewhere)
                stays *= 1.0 - (to_china + to_elsewhere)
            if sampled:
                stays = 1.0 if luck_of(keys.survived, people.identity[row]) < stays else 0.0
            state.now[row, HERE] = stays
            state.now[row, TIES] = people.ties[row]
            if group != SETTLED:
                tally.left_before[origin, people.entry[row] - FIRST_ENTRY] += 1.0 - stays


@compiled
def close_year(year: int, people: People, d: Decisions, sampled: bool, state: State, tally: Tally) -> None:
    """Book what agents decided one by one, in the order of rows."""
    for field in range(people.starts.shape[0]):
        first, end = window(year, field, people)
        book(first, end, year, people, d, sampled, state, tally)


@compiled
def live_year(
    year: int, people: People, world: Environment, b: Behaviour, weights: Floats, keys: Keys, sampled: bool,
    state: State, block: Block, d: Decisions, tally: Tally,
) -> None:  # fmt: skip
    """One year of everyone: all decide on the state of 1 January, block by block."""
    open_year(year, people, state, tally)
    total_appeal = appeal_here(year, people, state.now, weights)
    for field in range(people.starts.shape[0]):
        begin, stop = window(year, field, people)
        for first in range(begin, stop, BLOCK):
            end = min(first + BLOCK, stop)
            n = look_up(first, end, year, total_appeal, people, world, b, state.now, block)
            feel_and_hear(n, people, b.weights, state.now, block)
            weigh_up(n, year, people, world, b.weights, keys.offered[year], sampled, block)
            if sampled:
                choose_all(n, year, people, keys, block, d.choice)
            put_down(n, block, d)
            book(first, end, year, people, d, sampled, state, tally)


@compiled
def simulate(
    people: People, world: Environment, b: Behaviour, weights: Floats, keys: Keys, sampled: bool,
    state: State, block: Block, d: Decisions, tally: Tally,
) -> None:  # fmt: skip
    """All years of one member. `weights` are researchers an agent stands for, by group, shape (groups,)."""
    settle_before(people, world, b, keys, sampled, state, tally)
    now, following = state.now, state.next
    for year in range(world.offers.size):
        this = State(now, following, state.fate)
        live_year(year, people, world, b, weights, keys, sampled, this, block, d, tally)
        now, following = following, now
