"""What one researcher does in a year: bounds, directions, competing risks, and single people in vignettes.toml."""

from __future__ import annotations

import math
import struct
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from bdsim.model import draws, maths, rule
from bdsim.model.categories import FIELDS, ORIGINS
from bdsim.model.draws import Purpose
from bdsim.model.engine.compiling import compiled
from bdsim.model.rule import CHINA, ELSEWHERE, PROGRAMME, STAY, Weights
from bdsim.study.evidence import load_evidence
from bdsim.study.history import rebuild_history
from bdsim.study.layout import Study
from bdsim.study.parameters import load_parameters

COMPILED = (
    "stage_of", "feel", "hear", "may_be_offered", "offer_chance", "attraction", "on_visa", "retention", "shared",
    "weigh", "chances", "choose",
)  # fmt: skip
VIGNETTES = tomllib.loads(Path(__file__).with_name("vignettes.toml").read_text(encoding="utf-8"))

shares = st.floats(0.0, 1.0)
ages = st.integers(0, 37)
logs = st.floats(-10.0, 2.0)
rates = st.one_of(st.floats(1e-9, 20.0), st.floats(-30.0, 5.0).map(math.exp))
lucks = st.integers(0, 2**64 - 1).map(draws.unit)
weights = st.builds(  # over all that the bounds of parameters.toml allow
    Weights,
    funding=st.floats(-3.0, 6.0),
    pull_growth=st.floats(-0.3, 0.3),
    ties_weight=st.floats(-2.0, 5.0),
    push=st.floats(0.0, 5.0),
    spill=st.floats(0.0, 2.0),
    standing=st.floats(-2.0, 3.0),
    rooting=st.floats(0.3, 15.0),
    accept=st.floats(-3.0, 3.0),
    stay_us=st.floats(0.0, 4.0),
    wait=st.floats(-1.0, 2.0),
    rho=st.floats(0.0, 0.99),
    fade=st.floats(0.0, 0.99),
    kappa=shares,
    gamma=st.floats(0.0, 2.0),
)
ORDINARY = Weights(
    funding=0.5, pull_growth=0.04, ties_weight=0.8, push=0.2, spill=0.4, standing=0.3, rooting=3.0, accept=0.27,
    stay_us=0.25, wait=0.16, rho=0.5, fade=0.8, kappa=0.2, gamma=0.2,
)  # fmt: skip
people = st.fixed_dictionaries(
    {
        "leave_china": logs,
        "leave_elsewhere": logs,
        "settled": st.floats(-6.0, 4.0),
        "field_china": st.floats(-6.0, 6.0),
        "log_funding": st.floats(-3.0, 3.0),
        "pull": st.floats(-10.0, 30.0),
        "log_us": st.floats(-3.0, 3.0),
        "roots": st.floats(-2.0, 6.0),
        "career_age": ages.map(float),
        "green_card_wait": st.floats(-5.0, 10.0),
        "waits": st.sampled_from([0.0, 1.0]),
        "shock_china": st.floats(-0.5, 0.5),
        "shock_elsewhere": st.floats(-0.5, 0.5),
        "fear": shares,
        "ties": shares,
        "prominence": shares,
    }
)


def weighed(p: dict[str, float], w: Weights, by: Any = rule) -> tuple[float, float, float]:
    """The three log rates that the functions of the rule give, one after the other, for China, elsewhere, an offer."""
    usual = p["leave_china"] + p["settled"] + p["field_china"], p["leave_elsewhere"] + p["settled"]
    attracted = by.attraction(p["log_funding"], p["pull"], w)
    retained = by.retention(p["roots"], p["career_age"], p["log_us"], p["green_card_wait"], p["waits"], w)
    both = by.shared(usual, attracted, retained, (p["shock_china"], p["shock_elsewhere"]))
    return by.weigh(both, p["fear"], p["ties"], p["prominence"], w)


def bits(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


@pytest.fixture(scope="module")
def machine() -> dict[str, Any]:
    """The rule as the engine compiles it."""
    return {name: compiled(getattr(rule, name)) for name in COMPILED}


# --- feel and hear -----------------------------------------------------------------------------------------


@given(fear=shares, ties=shares, scrutiny=st.floats(0.0, 100.0), colleagues=shares, w=weights)
def test_fear_stays_between_0_and_1(fear: float, ties: float, scrutiny: float, colleagues: float, w: Weights) -> None:
    assert 0.0 <= rule.feel(fear, ties, scrutiny, colleagues, w) <= 1.0


@given(ties=shares, moved=shares, w=weights)
def test_ties_stay_between_0_and_1_and_never_weaken(ties: float, moved: float, w: Weights) -> None:
    assert ties <= rule.hear(ties, moved, w) <= 1.0


@given(ties=shares, w=weights)
def test_ties_do_not_change_when_nobody_moved(ties: float, w: Weights) -> None:
    assert rule.hear(ties, 0.0, w) == ties


@given(fear=shares, ties=shares, w=weights)
def test_without_scrutiny_and_frightened_colleagues_fear_only_fades(fear: float, ties: float, w: Weights) -> None:
    assert rule.feel(fear, ties, 0.0, 0.0, w) == pytest.approx(w.fade * fear, abs=1e-15)


@given(fear=shares, ties=shares, scrutiny=st.floats(0.0, 2.0), colleagues=shares, w=weights)
def test_fear_goes_part_of_the_way_to_what_is_new_with_one_memory_up_and_another_down(
    fear: float, ties: float, scrutiny: float, colleagues: float, w: Weights
) -> None:
    new = (1.0 - w.kappa) * (0.5 + ties) * scrutiny + w.kappa * colleagues
    memory = w.rho if new > fear else w.fade
    expected = min(memory * fear + (1.0 - memory) * new, 1.0)
    assert rule.feel(fear, ties, scrutiny, colleagues, w) == pytest.approx(expected, abs=1e-12)


@given(
    fear=shares, ties=shares, scrutiny=st.floats(0.0, 2.0), colleagues=shares,
    more=st.floats(0.0, 1.0), w=weights,
)  # fmt: skip
def test_fear_never_falls_when_anything_that_frightens_grows(
    fear: float, ties: float, scrutiny: float, colleagues: float, more: float, w: Weights
) -> None:
    felt = rule.feel(fear, ties, scrutiny, colleagues, w) - 1e-12  # rounding
    assert rule.feel(fear, min(ties + more, 1.0), scrutiny, colleagues, w) >= felt
    assert rule.feel(fear, ties, scrutiny + more, colleagues, w) >= felt
    assert rule.feel(fear, ties, scrutiny, min(colleagues + more, 1.0), w) >= felt


def test_fear_under_the_initiative_is_what_the_equation_says() -> None:
    """rho 0.5, kappa 0.2, typical ties, full scrutiny: 0.5 x [0.8 x 0.9 + 0.2 x colleagues' fear] at first."""
    w = ORDINARY
    assert rule.feel(0.0, 0.4, 1.0, 0.0, w) == pytest.approx(0.36)
    assert rule.feel(0.36, 0.4, 1.0, 0.36, w) == pytest.approx(0.18 + 0.5 * (0.72 + 0.072))
    assert rule.feel(0.6, 0.4, 0.0, 0.0, w) == pytest.approx(0.48)  # a fifth is forgotten a year once it is over
    assert rule.hear(0.4, 0.25, w) == pytest.approx(0.45)


# --- be offered --------------------------------------------------------------------------------------------


@given(offers=st.floats(0.0, 1e6), appeal=st.floats(0.0, 1.0), others=st.floats(0.0, 1e6))
def test_the_chance_of_an_offer_is_a_probability(offers: float, appeal: float, others: float) -> None:
    chance = rule.offer_chance(offers, appeal, appeal + others)
    assert 0.0 <= chance <= 1.0
    if appeal == 0.0:
        assert chance == 0.0


@given(appeals=st.lists(st.floats(0.01, 1.0), min_size=20, max_size=60), offers=st.floats(0.0, 0.1))
def test_as_many_offers_are_expected_as_are_made(appeals: list[float], offers: float) -> None:
    total = sum(appeals)
    assert sum(rule.offer_chance(offers, a, total) for a in appeals) == pytest.approx(offers, abs=1e-12)


def test_nobody_gets_an_offer_where_nobody_has_appeal() -> None:
    assert rule.offer_chance(100.0, 0.0, 0.0) == 0.0


def test_offers_are_made_in_career_years_2_to_12() -> None:
    assert [age for age in range(38) if rule.may_be_offered(age)] == list(range(2, 13))


@pytest.mark.parametrize(("age", "stage"), [(0, 0), (5, 0), (6, 1), (14, 1), (15, 2), (37, 2)])
def test_stages_are_early_to_5_mid_to_14_and_senior_from_15(age: int, stage: int) -> None:
    assert rule.stage_of(age) == stage


# --- weigh -------------------------------------------------------------------------------------------------


def as_published(p: dict[str, float], w: Weights) -> tuple[float, float, float]:
    """The three log rates of the model's description, written out anew."""
    held = (
        p["roots"] * (1 - math.exp(-p["career_age"] / w.rooting)) + w.stay_us * p["log_us"]
        - w.wait * p["green_card_wait"] * p["waits"] + w.standing * (p["prominence"] - 0.5)
    )  # fmt: skip
    drawn = w.ties_weight * (p["ties"] - 0.4) + w.push * p["fear"]
    china = (
        p["leave_china"] + p["settled"] + p["field_china"] + w.funding * p["log_funding"] + w.pull_growth * p["pull"]
        + drawn - held + p["shock_china"]
    )  # fmt: skip
    elsewhere = p["leave_elsewhere"] + p["settled"] + w.push * w.spill * p["fear"] - held + p["shock_elsewhere"]
    return china, elsewhere, w.accept + drawn


@given(p=people, w=weights)
def test_the_rates_are_those_of_the_models_description(p: dict[str, float], w: Weights) -> None:
    assert weighed(p, w) == pytest.approx(as_published(p, w), abs=1e-11)


@given(p=people, w=weights)
def test_the_rates_are_positive_and_finite(p: dict[str, float], w: Weights) -> None:
    assert all(0.0 < maths.exp(log_rate) < math.inf for log_rate in weighed(p, w))


@given(p=people, w=weights, more=st.floats(0.01, 1.0))
def test_push_raises_all_rates_with_fear_and_spill_says_how_much_elsewhere(
    p: dict[str, float], w: Weights, more: float
) -> None:
    calm, afraid = weighed(p, w), weighed(p | {"fear": p["fear"] + more}, w)
    assert afraid[0] == pytest.approx(calm[0] + w.push * more, abs=1e-11)
    assert afraid[1] == pytest.approx(calm[1] + w.push * w.spill * more, abs=1e-11)
    assert afraid[2] == pytest.approx(calm[2] + w.push * more, abs=1e-11)


@given(p=people, w=weights, more=st.floats(0.01, 1.0))
def test_without_spill_fear_leaves_the_other_countries_alone(p: dict[str, float], w: Weights, more: float) -> None:
    w = w._replace(spill=0.0)
    assert weighed(p, w)[1] == weighed(p | {"fear": p["fear"] + more}, w)[1]


@given(p=people, w=weights, older=st.integers(1, 37))
def test_roots_lower_both_rates_with_age_and_level_off(p: dict[str, float], w: Weights, older: int) -> None:
    p = p | {"roots": max(p["roots"], 0.01), "waits": 0.0}
    now, later = weighed(p, w), weighed(p | {"career_age": p["career_age"] + older}, w)
    for before, after in zip(now[:2], later[:2], strict=True):
        assert before - p["roots"] - 1e-9 <= after <= before + 1e-9
    whole = weighed(p | {"career_age": 1000.0 * w.rooting}, w)[0] - weighed(p | {"career_age": 0.0}, w)[0]
    assert whole == pytest.approx(-p["roots"], abs=1e-9)


@given(p=people, w=weights, more=st.floats(0.01, 5.0))
def test_a_longer_wait_drives_out_those_who_wait_and_nobody_else(p: dict[str, float], w: Weights, more: float) -> None:
    now, longer = weighed(p, w), weighed(p | {"green_card_wait": p["green_card_wait"] + more}, w)
    for before, after in zip(now[:2], longer[:2], strict=True):
        assert after == pytest.approx(before + w.wait * more * p["waits"], abs=1e-11)
    assert [rule.on_visa(False, age) for age in (0, 9, 10)] == [1.0, 1.0, 0.0]
    assert rule.on_visa(True, 0) == 0.0


@given(p=people, w=weights, higher=st.floats(0.01, 0.5))
def test_standing_holds_the_prominent_and_has_no_say_about_an_offer(
    p: dict[str, float], w: Weights, higher: float
) -> None:
    now, eminent = weighed(p, w), weighed(p | {"prominence": p["prominence"] + higher}, w)
    for before, after in zip(now[:2], eminent[:2], strict=True):
        assert after == pytest.approx(before - w.standing * higher, abs=1e-11)
    assert eminent[2] == now[2]


@given(p=people, w=weights, less=st.floats(0.01, 1.0))
def test_losing_us_funding_or_soft_power_raises_both_rates_alike(p: dict[str, float], w: Weights, less: float) -> None:
    now, poorer = weighed(p, w), weighed(p | {"log_us": p["log_us"] - less}, w)
    for before, after in zip(now[:2], poorer[:2], strict=True):
        assert after == pytest.approx(before + w.stay_us * less, abs=1e-11)


@given(
    p=people, w=weights,
    pull=st.sampled_from([("pull", 40.0), ("ties", 1.0), ("log_funding", 3.5), ("field_china", 7.0)]),
)  # fmt: skip
def test_what_only_pulls_to_china_leaves_the_other_clock_alone_to_the_last_bit(
    p: dict[str, float], w: Weights, pull: tuple[str, float]
) -> None:
    name, value = pull
    assert bits(weighed(p, w)[1]) == bits(weighed(p | {name: value}, w)[1])


# --- chances and choose ------------------------------------------------------------------------------------

offers = st.one_of(st.just(0.0), rates)


@given(a=rates, b=rates, c=offers)
@example(a=5e-324, b=5e-324, c=0.0)
@example(a=1e-304, b=1e-304, c=1e-304)
@example(a=1e300, b=1e-300, c=0.0)
def test_chances_are_probabilities_that_add_up_to_at_most_1(a: float, b: float, c: float) -> None:
    found = rule.chances(a, b, c)
    assert min(found) >= 0.0
    assert sum(found) <= 1.0 + 1e-15


@given(a=rates, b=rates, c=offers)
def test_chances_are_those_of_competing_risks(a: float, b: float, c: float) -> None:
    found, total = rule.chances(a, b, c), a + b + c
    leave = -math.expm1(-total)
    assert sum(found) == pytest.approx(leave, rel=1e-12, abs=1e-15)
    for chance, rate in zip(found, (a, b, c), strict=True):
        assert chance == pytest.approx(leave * rate / total, rel=1e-12, abs=1e-15)


@given(a=rates, b=rates, c=offers)
def test_chances_do_not_depend_on_the_length_of_the_step(a: float, b: float, c: float) -> None:
    """Two half years come to one year."""
    whole, half = rule.chances(a, b, c), rule.chances(a / 2, b / 2, c / 2)
    stay = 1.0 - sum(half)
    for one, two in zip(whole, half, strict=True):
        assert two * (1 + stay) == pytest.approx(one, rel=1e-12, abs=1e-15)


def naive_choice(rates: tuple[float, ...], luck: tuple[float, ...]) -> int:
    """Three clocks, written as one would say it; without an offer there are two."""
    ways = dict(zip((CHINA, ELSEWHERE, PROGRAMME), zip(rates, luck, strict=True), strict=True))
    rings = {way: -maths.log(u) / rate for way, (rate, u) in ways.items() if rate > 0.0}
    first = min(rings, key=lambda way: rings[way])
    return first if rings[first] < 1.0 else STAY


near_misses = st.tuples(rates, st.floats(-1e-6, 1e-6)).map(
    # a rate, and luck with which the clock rings about one year later
    lambda pair: (pair[0], min(max(math.exp(-pair[0] * (1 + pair[1])), 2.0**-53), 1 - 2.0**-53))
)
tiny = st.floats(1e-16, 1e-6)
clocks = st.tuples(rates, rates, offers)
three_lucks = st.tuples(lucks, lucks, lucks)


@settings(max_examples=500)
@given(rate=clocks, luck=three_lucks)
def test_choosing_agrees_with_three_plain_clocks(rate: tuple[float, ...], luck: tuple[float, ...]) -> None:
    assert rule.choose(rate, luck) == naive_choice(rate, luck)


@settings(max_examples=500)
@given(clocks=st.tuples(near_misses, near_misses, near_misses))
def test_choosing_agrees_with_three_plain_clocks_at_the_end_of_the_year(clocks: Any) -> None:
    rate, luck = zip(*clocks, strict=True)
    assert rule.choose(rate, luck) == naive_choice(rate, luck)


@settings(max_examples=500)
@given(rate=clocks, luck=three_lucks)
def test_nobody_leaves_whom_the_engine_does_not_hear(rate: tuple[float, ...], luck: tuple[float, ...]) -> None:
    """The engine asks first whether a clock may ring: it must never miss one that does."""
    heard = [1.0 + u + r * (1.0 + 1e-12) > 2.0 - 1e-12 for r, u in zip(rate, luck, strict=True)]
    choice = rule.choose(rate, luck)
    assert choice == STAY or heard[choice]


@settings(max_examples=500)
@given(
    rate=clocks,
    late=st.tuples(*[st.integers(-3, 3)] * 3),
    luck=st.tuples(*[st.integers(0, 2**23 - 1)] * 3),
    near=st.booleans(),
)
def test_nor_whom_it_does_not_hear_in_single_precision(rate: Any, late: Any, luck: Any, near: bool) -> None:
    """As luck has few digits, the numbers about which a clock rings just in time are tried."""
    rate = tuple(float(np.float32(r)) for r in rate)
    if near:
        luck = tuple(min(max(int(math.exp(-r) * 2**23) + d, 0), 2**23 - 1) for r, d in zip(rate, late, strict=True))
    one, slack = np.float32(1.0), 1e-6
    nearly = [one + np.float32(bits * 2.0**-23) for bits in luck]
    heard = [
        n + np.float32(r) * np.float32(1.0 + slack) > np.float32(2.0 - slack) for n, r in zip(nearly, rate, strict=True)
    ]
    choice = rule.choose(rate, tuple((bits + 0.5) * 2.0**-23 for bits in luck))
    assert choice == STAY or heard[choice]


@settings(max_examples=500)
@given(a=tiny, b=tiny, d=st.floats(0.999999, 1.000001))
def test_choosing_agrees_with_plain_clocks_where_rates_and_clocks_are_tiny(a: float, b: float, d: float) -> None:
    luck = min(1.0 - a * d, 1.0 - 2.0**-53), min(1.0 - b / d, 1.0 - 2.0**-53), 0.5
    assert rule.choose((a, b, 0.0), luck) == naive_choice((a, b, 0.0), luck)


@settings(max_examples=500)
@given(rate=clocks, luck=three_lucks, factor=st.floats(1.0, 1e6))
def test_a_stronger_pull_to_china_never_sends_anyone_elsewhere(
    rate: tuple[float, ...], luck: tuple[float, ...], factor: float
) -> None:
    before, after = rule.choose(rate, luck), rule.choose((rate[0] * factor, *rate[1:]), luck)
    assert after in (before, CHINA)


@settings(max_examples=500)
@given(rate=clocks, luck=three_lucks)
def test_an_offer_only_ever_turns_somebody_towards_its_programme(
    rate: tuple[float, ...], luck: tuple[float, ...]
) -> None:
    without, with_offer = rule.choose((*rate[:2], 0.0), luck), rule.choose(rate, luck)
    assert with_offer in (without, PROGRAMME)
    assert without != PROGRAMME


@settings(max_examples=500)
@given(rate=clocks, luck=three_lucks, factor=st.floats(1.0, 1e6))
def test_those_who_leave_still_leave_when_all_rates_rise(
    rate: tuple[float, ...], luck: tuple[float, ...], factor: float
) -> None:
    if rule.choose(rate, luck) != STAY:
        assert rule.choose(tuple(r * factor for r in rate), luck) != STAY


@pytest.mark.parametrize("rate", [(0.02, 0.01, 0.0), (0.3, 0.5, 1.3), (2.0, 0.1, 0.0), (1e-4, 0.05, 0.7)])
def test_choices_are_as_frequent_as_their_chances(machine: dict[str, Any], rate: tuple[float, ...]) -> None:
    """Chi-square on 200,000 draws: false alarm 1e-6 for each set of rates."""
    n = 200_000
    researchers = np.arange(n, dtype=np.uint64)
    ways = (CHINA, ELSEWHERE, PROGRAMME)
    luck = [draws.uniform(11, researchers, 2019, Purpose.CLOCK, clock) for clock in ways]
    choose = machine["choose"]
    choices = np.array([choose(rate, each) for each in zip(*luck, strict=True)])
    chances = rule.chances(*rate)
    found = [np.count_nonzero(choices == choice) for choice in (*ways, STAY)]
    expected = n * np.array([*chances, 1.0 - sum(chances)])
    possible = expected > 0.0
    assert not np.array(found)[~possible].any()
    assert stats.chisquare(np.array(found)[possible], expected[possible]).pvalue > 1e-6


# --- one rule, two ways to run it --------------------------------------------------------------------------


@given(age=ages)
def test_stages_are_the_same_compiled(machine: dict[str, Any], age: int) -> None:
    assert machine["stage_of"](age) == rule.stage_of(age)


@given(fear=shares, ties=shares, scrutiny=st.floats(0.0, 30.0), colleagues=shares, w=weights)
def test_feeling_and_hearing_have_the_same_bits_compiled(
    machine: dict[str, Any], fear: float, ties: float, scrutiny: float, colleagues: float, w: Weights
) -> None:
    arguments = fear, ties, scrutiny, colleagues, w
    assert bits(machine["feel"](*arguments)) == bits(rule.feel(*arguments))
    assert bits(machine["hear"](ties, colleagues, w)) == bits(rule.hear(ties, colleagues, w))


@given(offers=st.floats(0.0, 1e5), appeal=shares, total=st.floats(0.0, 1e5))
def test_the_chance_of_an_offer_has_the_same_bits_compiled(
    machine: dict[str, Any], offers: float, appeal: float, total: float
) -> None:
    arguments = offers, appeal, total
    assert bits(machine["offer_chance"](*arguments)) == bits(rule.offer_chance(*arguments))


@settings(max_examples=300)
@given(p=people, w=weights)
def test_weighing_has_the_same_bits_compiled(machine: dict[str, Any], p: dict[str, float], w: Weights) -> None:
    assert bits(*weighed(p, w, SimpleNamespace(**machine))) == bits(*weighed(p, w))


@given(age=ages, settled=st.booleans())
def test_who_waits_and_who_may_be_offered_is_the_same_compiled(
    machine: dict[str, Any], age: int, settled: bool
) -> None:
    assert machine["on_visa"](settled, age) == rule.on_visa(settled, age)
    assert machine["may_be_offered"](age) == rule.may_be_offered(age)


@settings(max_examples=300)
@given(rate=clocks, luck=three_lucks)
def test_chances_and_choices_are_the_same_compiled(
    machine: dict[str, Any], rate: tuple[float, ...], luck: tuple[float, ...]
) -> None:
    assert bits(*machine["chances"](*rate)) == bits(*rule.chances(*rate))
    assert machine["choose"](rate, luck) == rule.choose(rate, luck)


# --- vignettes ---------------------------------------------------------------------------------------------

PERSON = {"origin", "route", "field", "years", "fear", "ties", "prominence", "offer", "world"}
WORLD = {"us_funding", "soft_power", "green_card_wait"}


@pytest.fixture(scope="module")
def leaving(study: Study) -> dict[str, tuple[float, float]]:
    """(any destination, China) within the year, for every vignette, with the parameters of the study."""
    parameters = load_parameters(study.parameters)
    behaviour = parameters.behaviour()
    history = rebuild_history(load_evidence(study), 2035, parameters["past_growth"])
    funding_of_2010 = history.timeline.at("funding_ratio", 2010)
    environment = history.timeline.environment(funding_of_2010, parameters.funding_lag())
    found = {}
    for v in VIGNETTES["vignette"]:
        origin, settled, year = ORIGINS.index(v["origin"]), v.get("route") == "settled", v.get("world", 2010) - 2000
        person = {
            "leave_china": float(behaviour.leave_china[origin]),
            "leave_elsewhere": float(behaviour.leave_elsewhere[origin]),
            "settled": behaviour.settled if settled else 0.0,
            "field_china": float(behaviour.field_china[FIELDS.index(v["field"])]),
            "log_funding": float(environment.log_funding[year]),
            "pull": float(environment.pull[year]),
            "log_us": math.log(v.get("us_funding", 1.0) * v.get("soft_power", 1.0)),
            "roots": float(behaviour.roots[int(settled)]),
            "career_age": float(v["years"]),
            "green_card_wait": v.get("green_card_wait", 0.0),
            "waits": rule.on_visa(settled, v["years"]),
            "shock_china": 0.0,
            "shock_elsewhere": 0.0,
            "fear": v.get("fear", 0.0),
            "ties": v.get("ties", rule.TYPICAL_TIES),
            "prominence": v.get("prominence", 0.5),
        }
        logs = weighed(person, behaviour.weights)
        rates = [math.exp(log_rate) for log_rate in logs]
        china, elsewhere, by_offer = rule.chances(rates[0], rates[1], rates[2] if v.get("offer") else 0.0)
        china += by_offer
        found[v["name"]] = (china + elsewhere, china)
    return found


@pytest.mark.parametrize("vignette", VIGNETTES["vignette"], ids=lambda v: v["name"])
def test_a_vignette_comes_out_as_it_says(leaving: dict[str, tuple[float, float]], vignette: dict[str, Any]) -> None:
    unknown = vignette.keys() - PERSON - WORLD - {"name", "says", "leaves", "to_china"}
    assert not unknown, f"vignettes.toml: '{vignette['name']}' has the unknown keys {sorted(unknown)}"
    assert "leaves" in vignette or "to_china" in vignette
    anywhere, china = leaving[vignette["name"]]
    for name, chance in (("leaves", anywhere), ("to_china", china)):
        low, high = vignette.get(name, (0.0, 1.0))
        assert low <= chance <= high, f"{vignette['says']} The model says {name} {chance:.2%}."


@pytest.mark.parametrize("comparison", VIGNETTES["comparison"], ids=lambda c: c["says"])
def test_a_comparison_comes_out_as_it_says(leaving: dict[str, tuple[float, float]], comparison: dict[str, Any]) -> None:
    column = 1 if comparison.get("to_china", False) else 0
    more, less = (leaving[comparison[key]][column] for key in ("more", "less"))
    assert more >= comparison["times"] * less, f"{comparison['says']} The model says {more:.2%}, {less:.2%}."


def test_the_vignettes_have_different_names_and_cover_what_they_should() -> None:
    told = VIGNETTES["vignette"]
    assert len({v["name"] for v in told}) == len(told) >= 10
    assert {v["origin"] for v in told} == set(ORIGINS)
    assert {v["field"] for v in told} == set(FIELDS)
    assert any(v.get("fear", 0) > 0.5 for v in told)
    assert any(v.get("offer") for v in told)
    assert any(v["years"] >= rule.MID_UNTIL for v in told)
