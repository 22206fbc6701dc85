"""The years before FIRST_YEAR, which are not simulated: who of the earlier cohorts is still here when it begins."""

from __future__ import annotations

from typing import Any

from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, ORIGIN_OF_GROUP
from bdsim.model.engine.compiling import compiled
from bdsim.model.engine.counting import SETTLED
from bdsim.model.engine.presence import put_both
from bdsim.model.engine.state import Block, Keys, State, Tally
from bdsim.model.engine.values import add, get, is_count, put
from bdsim.model.engine.year import luck_of, set_usual, weights_of
from bdsim.model.maths import exp, where
from bdsim.model.people import People
from bdsim.model.rule import CAREER, attraction, on_visa, retention, shared, weigh
from bdsim.model.world import Behaviour, Environment

__all__ = ["settle_before"]


@compiled
def settle_before(
    people: People, world: Environment, b: Behaviour, keys: Keys, state: State, block: Block, tally: Tally
) -> None:
    """Each is here with the probability that the same rule gives for the years lived in the world of FIRST_YEAR.

    That is: no fear, no offers, no shocks, ties as at entry. Rates of different years then differ by `retention`
    alone: the chance of having stayed through all is exp(-(rates at retention 0) * (sum of exp(-retention))).
    """
    w, key = weights_of(b.weights), get(keys.survived, 0)
    attracted = attraction(get(world.log_funding, 0), get(world.pull, 0), w)
    none: Any = attracted * 0.0
    for field in range(people.starts.shape[0]):
        log_us = get(world.log_us, (0, field))
        set_usual(field, b, block)
        for group in range(len(ORIGIN_OF_GROUP)):
            put(block.lasting, group, none)
            usual = get(block.usual_china, group), get(block.usual_elsewhere, group)
            china, elsewhere = shared(usual, attracted, none, (none, none))
            put(block.shared_china, group, china)
            put(block.shared_elsewhere, group, elsewhere)
        for lived in range(1, CAREER):
            cohort = FIRST_YEAR - FIRST_ENTRY - lived
            if cohort < 0:
                break
            for group in range(len(ORIGIN_OF_GROUP)):
                settled, waits = group == SETTLED, on_visa(group == SETTLED, lived - 1)
                roots = get(b.roots, 1 if settled else 0)
                retained = retention(roots, float(lived - 1), log_us, get(world.green_card_wait, 0), waits, w)
                add(block.lasting, group, exp(-retained))
            for row in range(people.starts[field, cohort], people.starts[field, cohort + 1]):
                if not people.enters[row]:
                    continue
                group = people.group[row]
                in_common = get(block.shared_china, group), get(block.shared_elsewhere, group)
                china, elsewhere, _ = weigh(in_common, none, none + people.ties[row], people.prominence[row], w)
                here = exp(-((exp(china) + exp(elsewhere)) * get(block.lasting, group)))
                if is_count(state.status):
                    here = where(luck_of(key, people.identity[row]) < here, none + 1.0, none)
                put_both(state.status, row, here, none)
                put(state.ties, row, people.ties[row])
                if group != SETTLED:
                    add(tally.left_before, (ORIGIN_OF_GROUP[group], cohort), 1.0 - here)
