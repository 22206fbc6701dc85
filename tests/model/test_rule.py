"""What one researcher does in a year: bounds, directions, competing risks, and single people in vignettes.toml."""

from __future__ import annotations

import inspect
import math
import struct
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import stats

from bdsim.model import draws, maths, rule
from bdsim.model.categories import FIELDS, ORIGINS
from bdsim.model.draws import Purpose
from bdsim.model.engine.compiling import compiled
from bdsim.model.rule import CHINA, ELSEWHERE, STAY, Weights
from bdsim.study.evidence import load_evidence
from bdsim.study.history import rebuild_history
from bdsim.study.layout import Study
from bdsim.study.parameters import load_parameters

COMPILED = ("stage_of", "feel", "hear", "offer_chance", "weigh", "chances", "may_ring", "choose")
VIGNETTES = tomllib.loads(Path(__file__).with_name("vignettes.toml").read_text(encoding="utf-8"))

shares = st.floats(0.0, 1.0)
ages = st.integers(0, 37)
logs = st.floats(-10.0, 2.0)
rates = st.one_of(st.floats(1e-9, 20.0), st.floats(-30.0, 5.0).map(math.exp))
lucks = st.integers(0, 2**64 - 1).map(draws.unit)
weights = st.builds(  # over all that the bounds of parameters.toml allow
    Weights,
    funding=st.floats(-3.0, 6.0),
    offer=st.floats(-1.0, 5.0),
    ties_weight=st.floats(-2.0, 5.0),
    push=st.floats(0.0, 5.0),
    spill=st.floats(0.0, 2.0),
    roots=st.floats(0.0, 6.0),
    stay_us=st.floats(0.0, 4.0),
    rho=st.floats(0.0, 0.99),
    kappa=shares,
    gamma=st.floats(0.0, 2.0),
)
people = st.fixed_dictionaries(
    {
        "leave_china": logs,
        "leave_elsewhere": logs,
        "settled": st.floats(-6.0, 4.0),
        "field_china": st.floats(-6.0, 6.0),
        "log_funding": st.floats(-3.0, 3.0),
        "log_us": st.floats(-3.0, 3.0),
        "settlement": st.floats(0.0, 3.0),
        "fear": shares,
        "ties": shares,
        "log_age": ages.map(lambda age: math.log(1 + age)),
        "offered": st.sampled_from([0.0, 1.0]),
    }
)


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
    assert rule.feel(fear, ties, 0.0, 0.0, w) == pytest.approx(w.rho * fear, abs=1e-15)


@given(
    fear=shares, ties=shares, scrutiny=st.floats(0.0, 2.0), colleagues=shares,
    more=st.floats(0.0, 1.0), w=weights,
)  # fmt: skip
def test_fear_never_falls_when_anything_that_frightens_grows(
    fear: float, ties: float, scrutiny: float, colleagues: float, more: float, w: Weights
) -> None:
    felt = rule.feel(fear, ties, scrutiny, colleagues, w) - 1e-12  # rounding
    assert rule.feel(min(fear + more, 1.0), ties, scrutiny, colleagues, w) >= felt
    assert rule.feel(fear, min(ties + more, 1.0), scrutiny, colleagues, w) >= felt
    assert rule.feel(fear, ties, scrutiny + more, colleagues, w) >= felt
    assert rule.feel(fear, ties, scrutiny, min(colleagues + more, 1.0), w) >= felt


def test_fear_under_the_initiative_is_what_the_equation_says() -> None:
    """rho 0.5, kappa 0.2, typical ties, full scrutiny: 0.5 x [0.8 x 0.9 + 0.2 x colleagues' fear] at first."""
    w = Weights(1.76, 1.0, 0.8, 0.27, 0.4, 1.65, 0.5, rho=0.5, kappa=0.2, gamma=0.2)
    assert rule.feel(0.0, 0.4, 1.0, 0.0, w) == pytest.approx(0.36)
    assert rule.feel(0.36, 0.4, 1.0, 0.36, w) == pytest.approx(0.18 + 0.5 * (0.72 + 0.072))
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


@pytest.mark.parametrize(("age", "stage"), [(0, 0), (5, 0), (6, 1), (14, 1), (15, 2), (37, 2)])
def test_stages_are_early_to_5_mid_to_14_and_senior_from_15(age: int, stage: int) -> None:
    assert rule.stage_of(age) == stage


# --- weigh -------------------------------------------------------------------------------------------------


def as_published(p: dict[str, float], w: Weights) -> tuple[float, float]:
    """The two log rates of the model's description, written out anew."""
    roots = w.roots * p["settlement"] * p["log_age"]
    held = w.stay_us * p["log_us"]
    china = (
        p["leave_china"] + p["settled"] + p["field_china"] + w.funding * p["log_funding"]
        + w.offer * p["offered"] + w.ties_weight * (p["ties"] - 0.4) + w.push * p["fear"] - roots - held
    )  # fmt: skip
    elsewhere = p["leave_elsewhere"] + p["settled"] + w.push * w.spill * p["fear"] - roots - held
    return china, elsewhere


@given(p=people, w=weights)
def test_the_rates_are_those_of_the_models_description(p: dict[str, float], w: Weights) -> None:
    china, elsewhere = as_published(p, w)
    assume(max(abs(china), abs(elsewhere)) < 690.0)
    assert rule.weigh(**p, w=w) == pytest.approx((math.exp(china), math.exp(elsewhere)), rel=1e-11)


@given(p=people, w=weights)
def test_the_rates_are_positive_and_finite(p: dict[str, float], w: Weights) -> None:
    assert all(0.0 < rate < math.inf for rate in rule.weigh(**p, w=w))


@given(p=people, w=weights, more=st.floats(0.01, 1.0))
def test_push_raises_both_rates_with_fear_and_spill_says_how_much_elsewhere(
    p: dict[str, float], w: Weights, more: float
) -> None:
    calm, afraid = rule.weigh(**p, w=w), rule.weigh(**(p | {"fear": p["fear"] + more}), w=w)
    assert afraid[0] == pytest.approx(calm[0] * math.exp(w.push * more), rel=1e-11)
    assert afraid[1] == pytest.approx(calm[1] * math.exp(w.push * w.spill * more), rel=1e-11)
    if w.push > 1e-6:
        assert afraid[0] > calm[0]
        if w.spill > 1e-6:
            assert afraid[1] > calm[1]


@given(p=people, w=weights, more=st.floats(0.01, 1.0))
def test_without_spill_fear_leaves_the_other_countries_alone(p: dict[str, float], w: Weights, more: float) -> None:
    w = w._replace(spill=0.0)
    assert rule.weigh(**p, w=w)[1] == rule.weigh(**(p | {"fear": p["fear"] + more}), w=w)[1]


@given(p=people, w=weights, older=st.integers(1, 37))
def test_roots_lower_both_rates_with_age_and_with_easier_settlement(
    p: dict[str, float], w: Weights, older: int
) -> None:
    w = w._replace(roots=max(w.roots, 0.01))
    p = p | {"settlement": max(p["settlement"], 0.1)}
    now, later = rule.weigh(**p, w=w), rule.weigh(**(p | {"log_age": math.log(math.exp(p["log_age"]) + older)}), w=w)
    assert later[0] < now[0] and later[1] < now[1]
    if p["log_age"] > 0:
        easier = rule.weigh(**(p | {"settlement": p["settlement"] * 1.1}), w=w)
        assert easier[0] < now[0] and easier[1] < now[1]


@given(p=people, w=weights, less=st.floats(0.01, 1.0))
def test_losing_us_funding_or_soft_power_raises_both_rates_alike(p: dict[str, float], w: Weights, less: float) -> None:
    now, poorer = rule.weigh(**p, w=w), rule.weigh(**(p | {"log_us": p["log_us"] - less}), w=w)
    for before, after in zip(now, poorer, strict=True):
        assert after == pytest.approx(before * math.exp(w.stay_us * less), rel=1e-11)


@given(
    p=people, w=weights,
    pull=st.sampled_from([("offered", 1.0), ("ties", 1.0), ("log_funding", 3.5), ("field_china", 7.0)]),
)  # fmt: skip
def test_what_only_pulls_to_china_leaves_the_other_clock_alone_to_the_last_bit(
    p: dict[str, float], w: Weights, pull: tuple[str, float]
) -> None:
    name, value = pull
    assert bits(rule.weigh(**p, w=w)[1]) == bits(rule.weigh(**(p | {name: value}), w=w)[1])


# --- chances and choose ------------------------------------------------------------------------------------


@given(a=rates, b=rates)
@example(a=5e-324, b=5e-324)
@example(a=1e-304, b=1e-304)
@example(a=1e300, b=1e-300)
def test_chances_are_probabilities_that_add_up_to_at_most_1(a: float, b: float) -> None:
    china, elsewhere = rule.chances(a, b)
    assert china >= 0.0 and elsewhere >= 0.0
    assert china + elsewhere <= 1.0


@given(a=rates, b=rates)
def test_chances_are_those_of_competing_risks(a: float, b: float) -> None:
    china, elsewhere = rule.chances(a, b)
    leave = -math.expm1(-(a + b))
    assert china + elsewhere == pytest.approx(leave, rel=1e-12, abs=1e-15)
    assert china == pytest.approx(leave * a / (a + b), rel=1e-12, abs=1e-15)
    assert elsewhere == pytest.approx(leave * b / (a + b), rel=1e-12, abs=1e-15)


@given(a=rates, b=rates)
def test_chances_do_not_depend_on_the_length_of_the_step(a: float, b: float) -> None:
    """Two half years come to one year."""
    china, elsewhere = rule.chances(a, b)
    half = rule.chances(a / 2, b / 2)
    stay = 1.0 - sum(half)
    assert half[0] * (1 + stay) == pytest.approx(china, rel=1e-12, abs=1e-15)
    assert half[1] * (1 + stay) == pytest.approx(elsewhere, rel=1e-12, abs=1e-15)


def naive_choice(rate_china: float, rate_elsewhere: float, luck_china: float, luck_elsewhere: float) -> int:
    """Two clocks, written as one would say it."""
    rings = {
        CHINA: -maths.log(luck_china) / rate_china,
        ELSEWHERE: -maths.log(luck_elsewhere) / rate_elsewhere,
    }
    first = min(rings, key=lambda choice: rings[choice])
    return first if rings[first] < 1.0 else STAY


near_misses = st.tuples(rates, st.floats(-1e-6, 1e-6)).map(
    # a rate, and luck with which the clock rings about one year later
    lambda pair: (pair[0], min(max(math.exp(-pair[0] * (1 + pair[1])), 2.0**-53), 1 - 2.0**-53))
)
tiny = st.floats(1e-16, 1e-6)


@settings(max_examples=500)
@given(a=rates, b=rates, u=lucks, v=lucks)
def test_choosing_agrees_with_two_plain_clocks(a: float, b: float, u: float, v: float) -> None:
    assert rule.choose(a, b, u, v) == naive_choice(a, b, u, v)


@settings(max_examples=500)
@given(china=near_misses, elsewhere=near_misses)
def test_choosing_agrees_with_two_plain_clocks_at_the_end_of_the_year(
    china: tuple[float, float], elsewhere: tuple[float, float]
) -> None:
    arguments = china[0], elsewhere[0], china[1], elsewhere[1]
    assert rule.choose(*arguments) == naive_choice(*arguments)


@settings(max_examples=500)
@given(a=tiny, b=tiny, d=st.floats(0.999999, 1.000001))
def test_choosing_agrees_with_two_plain_clocks_where_rates_and_clocks_are_tiny(a: float, b: float, d: float) -> None:
    u, v = min(1.0 - a * d, 1.0 - 2.0**-53), min(1.0 - b / d, 1.0 - 2.0**-53)
    assert rule.choose(a, b, u, v) == naive_choice(a, b, u, v)


@settings(max_examples=500)
@given(a=rates, b=rates, u=lucks, v=lucks, factor=st.floats(1.0, 1e6))
def test_a_stronger_pull_to_china_never_sends_anyone_elsewhere(
    a: float, b: float, u: float, v: float, factor: float
) -> None:
    before, after = rule.choose(a, b, u, v), rule.choose(a * factor, b, u, v)
    if before in (STAY, CHINA):
        assert after in (before, CHINA)
    else:
        assert after in (ELSEWHERE, CHINA)


@settings(max_examples=500)
@given(a=rates, b=rates, u=lucks, v=lucks, factor=st.floats(1.0, 1e6))
def test_whoever_leaves_still_leaves_when_both_rates_rise(
    a: float, b: float, u: float, v: float, factor: float
) -> None:
    if rule.choose(a, b, u, v) != STAY:
        assert rule.choose(a * factor, b * factor, u, v) != STAY


@pytest.mark.parametrize(("a", "b"), [(0.02, 0.01), (0.3, 0.5), (2.0, 0.1), (1e-4, 0.05)])
def test_choices_are_as_frequent_as_their_chances(machine: dict[str, Any], a: float, b: float) -> None:
    """Chi-square on 200,000 draws: false alarm 1e-6 for each pair of rates."""
    n = 200_000
    researchers = np.arange(n, dtype=np.uint64)
    u, v = (draws.uniform(11, researchers, 2019, Purpose.CLOCK, clock) for clock in (CHINA, ELSEWHERE))
    choose = machine["choose"]
    choices = np.array([choose(a, b, x, y) for x, y in zip(u, v, strict=True)])
    found = [np.count_nonzero(choices == choice) for choice in (CHINA, ELSEWHERE, STAY)]
    china, elsewhere = rule.chances(a, b)
    expected = n * np.array([china, elsewhere, 1.0 - china - elsewhere])
    assert stats.chisquare(found, expected).pvalue > 1e-6


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
    in_order = [p[name] for name in inspect.signature(rule.weigh).parameters if name != "w"]
    assert bits(*machine["weigh"](*in_order, w)) == bits(*rule.weigh(*in_order, w))


@settings(max_examples=300)
@given(a=rates, b=rates, u=lucks, v=lucks)
def test_chances_and_choices_are_the_same_compiled(
    machine: dict[str, Any], a: float, b: float, u: float, v: float
) -> None:
    assert bits(*machine["chances"](a, b)) == bits(*rule.chances(a, b))
    assert machine["choose"](a, b, u, v) == rule.choose(a, b, u, v)


# --- vignettes ---------------------------------------------------------------------------------------------

PERSON = {"origin", "route", "field", "years", "fear", "ties", "offer", "world", "settlement"}
WORLD = {"us_funding", "soft_power"}


@pytest.fixture(scope="module")
def leaving(study: Study) -> dict[str, tuple[float, float]]:
    """(any destination, China) within the year, for every vignette, with the parameters of the study."""
    parameters = load_parameters(study.parameters)
    behaviour = parameters.behaviour()
    history = rebuild_history(load_evidence(study), 2035, parameters["past_growth"])
    funding_of_2010 = history.timeline.at("funding_ratio", 2010)
    log_funding = history.timeline.environment(funding_of_2010, parameters.funding_lag()).log_funding
    found = {}
    for v in VIGNETTES["vignette"]:
        origin = ORIGINS.index(v["origin"])
        rates = rule.weigh(
            leave_china=float(behaviour.leave_china[origin]),
            leave_elsewhere=float(behaviour.leave_elsewhere[origin]),
            settled=behaviour.settled if v.get("route", "doctorate") == "settled" else 0.0,
            field_china=float(behaviour.field_china[FIELDS.index(v["field"])]),
            log_funding=float(log_funding[v.get("world", 2010) - 2000]),
            log_us=math.log(v.get("us_funding", 1.0) * v.get("soft_power", 1.0)),
            settlement=v.get("settlement", 1.0),
            fear=v.get("fear", 0.0),
            ties=v.get("ties", rule.TYPICAL_TIES),
            log_age=math.log(1.0 + v["years"]),
            offered=float(v.get("offer", False)),
            w=behaviour.weights,
        )
        china, elsewhere = rule.chances(*rates)
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
