"""Ranges in scenario files: read strictly, drawn by address, and values of width zero are those values."""

import datetime as dt
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdsim.errors import ScenarioError
from bdsim.model import draws
from bdsim.study.evidence import load_evidence
from bdsim.study.history import rebuild_history
from bdsim.study.parameters import load_parameters
from bdsim.study.scenario import changed_parts, load_scenario
from bdsim.study.scenario_file import ScenarioFile, parse_scenario
from bdsim.study.uncertainty.assumptions import assumptions_of, drawn, in_numbers, luck
from bdsim.study.uncertainty.foresight import timelines_foreseen
from bdsim.study.uncertainty.outlook import TRENDS, damped_trend, driver_forecasts, outlook_text
from bdsim.study.uncertainty.ranges import read_range

pytestmark = pytest.mark.one_python

HEAD = 'title = "T"\nquestion = "Q?"\n'
POLICY = HEAD + '[[policy]]\nname = "Revival"\nfrom = {0}\nuntil = {1}\nscrutiny = {2}\nwhy = "W"\n'
LEVER = HEAD + '[[lever]]\nname = "Cut"\ntable = "us_funding"\nyears = {0}\nmultiply = {1}\nwhy = "W"\n'
EVENT = (
    HEAD
    + """
[[event]]
name = "Vote"
on = {0}
[[event.outcomes]]
name = "passed"
chance = {1}
[[event.outcomes.policy]]
name = "Law"
from = {2}
until = 2034-01-01
scrutiny = 1.0
why = "W"
[[event.outcomes]]
name = "amended"
chance = 0.15
[[event.outcomes]]
name = "failed"
chance = 0.45
"""
)
DAY, LATER = "2027-01-01", "2033-01-01"


def uniform(low, high):
    return f'{{ low = {low}, high = {high}, why = "R" }}'


def scenario(study, text, name="mine"):
    path = study.scenarios / f"{name}.toml"
    path.write_text(text)
    return load_scenario(path, study)


def seeds(number):
    return [draws.member_seed(0, member) for member in range(number)]


@pytest.mark.parametrize(
    "text, problem",
    [
        (POLICY.format(DAY, LATER, uniform(1.0, 0.5)), "high (0.5) must not be less than low (1.0)"),
        (POLICY.format(DAY, LATER, uniform(1.0, 11.0)), "high must lie between 0 and 10"),
        (POLICY.format(DAY, LATER, '{ low = 0.2, why = "R" }'), "a range is { low, high }"),
        (POLICY.format(DAY, LATER, "{ low = 0.2, high = 1.0 }"), "a range needs a why"),
        (POLICY.format(DAY, LATER, '{ low = 0.2, hihg = 1.0, why = "R" }'), "did you mean 'high'"),
        (POLICY.format(DAY, LATER, '{ mean = 1.0, sd = -0.1, why = "R" }'), "sd (-0.1) must lie between 0"),
        (POLICY.format(DAY, LATER, '{ low = 0.2, mode = 2.0, high = 1.0, why = "R" }'), "mode (2.0) must lie between"),
        (POLICY.format(DAY, LATER, uniform("true", 1.0)), "low is not a number"),
        (POLICY.format(DAY, LATER, uniform(0.1, "nan")), "high is not a number"),
        (POLICY.format(uniform(0.1, 1.0), LATER, 1.0), "low is not a date"),
        (POLICY.format(uniform("1999-01-01", DAY), LATER, 1.0), "low must lie between 2000-01-01"),
        (POLICY.format(uniform(DAY, "2034-01-01"), LATER, 1.0), "where a range ends: until (2033-01-01) must come"),
        (LEVER.format(f"[{uniform(2027.5, 2028)}, 2030]", 0.9), "low is not a whole year"),
        (LEVER.format(f"[{uniform(2027, 2031)}, 2030]", 0.9), "where a range ends: years [2031, 2030]"),
        (LEVER.format("[2027, 2030]", uniform(-0.5, 1.0)), "low must lie between 0"),
        (EVENT.format("2026-11-03", uniform(0.2, 1.2), DAY), "high must lie between 0 and 1"),
        (EVENT.format("2026-11-03", uniform(0.2, 0.4), DAY), "add up to 0.9, not 1"),
        (EVENT.format(uniform("2026-11-03", "2027-06-01"), 0.4, DAY), "before it is decided on 2027-06-01"),
        (EVENT.format("2026-11-03", 0.4, uniform("2026-06-01", DAY)), "takes effect on 2026-06-01"),
    ],
)  # fmt: skip
def test_what_is_not_a_range_is_refused_in_one_line(fresh_study, text, problem):
    with pytest.raises(ScenarioError) as refused:
        scenario(fresh_study, text)
    assert problem in str(refused.value) and "\n" not in str(refused.value)


def test_every_shape_has_the_distribution_that_it_says():
    """Means and standard deviations of 2,000 even quantiles, by their formulas."""
    cases = [
        ({"low": 1.0, "high": 3.0}, 2.0, 2.0 / math.sqrt(12.0)),
        ({"low": 0.0, "mode": 1.0, "high": 2.0}, 1.0, 1.0 / math.sqrt(6.0)),
        ({"low": 0.0, "mode": 0.0, "high": 3.0}, 1.0, 3.0 / math.sqrt(18.0)),
        ({"mean": 5.0, "sd": 0.5}, 5.0, 0.5),
    ]
    quantiles = (np.arange(2000) + 0.5) / 2000
    for shape, mean, sd in cases:
        uncertain = read_range({**shape, "why": "R"}, "number", -100.0, 100.0)
        values = np.array([uncertain.at(q) for q in quantiles])
        assert values.mean() == pytest.approx(mean, abs=2e-3) and values.std() == pytest.approx(sd, rel=6e-3)
        assert (np.diff(values) >= 0.0).all()
    years = read_range({"low": 2027, "high": 2030, "why": "R"}, "year", 2000, 2100)
    assert np.bincount([years.at(q) - 2027 for q in quantiles]).tolist() == [500, 500, 500, 500]
    day = read_range({"low": dt.date(2027, 1, 1), "high": dt.date(2027, 1, 2), "why": "R"}, "date", 1, 10**6)
    assert {day.at(q) for q in quantiles} == {dt.date(2027, 1, 1), dt.date(2027, 1, 2)}


@given(st.floats(0.0, 10.0), st.floats(0.001, 0.999))
def test_a_range_of_width_zero_is_its_value(value, quantile):
    for shape in ({"low": value, "high": value}, {"mean": value, "sd": 0.0}):
        uncertain = read_range({**shape, "why": "R"}, "number", 0.0, 10.0)
        assert uncertain.at(quantile) == uncertain.centre == value and uncertain.is_known


def test_a_member_draws_by_its_seed_and_the_name_of_the_assumption(fresh_study):
    one = scenario(fresh_study, POLICY.format(uniform(DAY, "2029-12-31"), LATER, uniform(0.3, 1.0)))
    more = LEVER.format(f"[{uniform(2026, 2028)}, 2035]", uniform(0.7, 0.9)).removeprefix(HEAD)
    both = scenario(fresh_study, POLICY.format(DAY, LATER, uniform(0.3, 1.0)) + more, "both")
    assert [a.name for a in assumptions_of(one)] == ["Revival: from", "Revival: scrutiny"]
    assert [a.name for a in assumptions_of(both)] == ["Revival: scrutiny", "Cut: years[0]", "Cut: multiply"]
    values = []
    for seed in seeds(50):
        mine, theirs = drawn(one, seed), drawn(both, seed)
        assert mine.policies[0].scrutiny == theirs.policies[0].scrutiny  # others re-roll nothing
        assert not mine.policies[0].ranges and not assumptions_of(mine)
        assert mine.policies[0].scrutiny == assumptions_of(one)[1].number(seed)
        values.append((mine.policies[0].scrutiny, theirs.levers[0].multiply, mine.policies[0].start.toordinal()))
    table = np.array(values)
    assert (np.ptp(table, axis=0) > 0.8 * np.array([0.7, 0.2, 1094])).all()
    # Independent draws: each correlation of 50 lies beyond 0.36 once in a hundred times; seeds are fixed.
    assert np.abs(np.corrcoef(table.T) - np.eye(3)).max() < 0.36


def test_ranges_in_values_of_no_width_are_the_scenario_without(fresh_study):
    plain = scenario(fresh_study, EVENT.format("2026-11-03", 0.4, DAY), "plain")
    ranged = scenario(
        fresh_study, EVENT.format("2026-11-03", uniform(0.4, 0.4), '{ mean = 2027-01-01, sd = 0.0, why = "R" }')
    )
    assert assumptions_of(ranged) == []
    for seed in seeds(3):
        assert drawn(ranged, seed).events == plain.events and drawn(plain, seed).events == plain.events


def test_chances_that_are_drawn_add_up_and_the_others_share_the_rest_as_before(fresh_study):
    mine = scenario(fresh_study, EVENT.format("2026-11-03", uniform(0.1, 0.7), DAY))
    for seed in seeds(40):
        passed, amended, failed = (o.chance for o in drawn(mine, seed).events[0].outcomes)
        assert passed + amended + failed == pytest.approx(1.0, abs=1e-12)
        assert passed == pytest.approx(0.1 + 0.6 * luck(seed, "passed: chance"))
        assert amended / failed == pytest.approx(1.0 / 3.0)


def test_a_manifest_keeps_the_ranges(fresh_study):
    text = EVENT.format(uniform("2026-11-03", "2026-12-03"), uniform(0.1, 0.7), uniform(DAY, LATER))
    mine = scenario(fresh_study, text)
    plain = mine.plain()
    again = ScenarioFile.model_validate_json(json.dumps({k: v for k, v in plain.items() if k != "name"}))
    assert tuple(again.event) == mine.events
    outcome = plain["event"][0]["outcomes"][0]
    assert outcome["chance"] == pytest.approx(0.4) and outcome["ranges"]["chance"]["why"] == "R"


def test_a_difference_names_the_range(fresh_study):
    one = scenario(fresh_study, POLICY.format(DAY, LATER, 1.0), "one")
    other = scenario(fresh_study, POLICY.format(DAY, LATER, '{ low = 0.3, mode = 0.5, high = 1.0, why = "R" }'))
    (row,) = changed_parts(one, other)
    assert "scrutiny 0.3 to 1, most likely 0.5" in row["how"]


def test_days_become_years_with_a_fraction():
    assert in_numbers(dt.date(2027, 1, 1)) == 2027.0
    assert in_numbers(dt.date(2028, 7, 1)) == pytest.approx(2028.4973, abs=1e-4)


def test_the_outlook_is_what_the_facts_give(study):
    """The shipped file is the one that `bdsim outlook` writes, and 90% intervals of its drivers held 80% and more."""
    history = rebuild_history(load_evidence(study), 2035, load_parameters(study.parameters)["past_growth"])
    assert (study.scenarios / "outlook.toml").read_text() == outlook_text(history)
    table = driver_forecasts(history, (2016, 2018))
    assert table["fact"].between(table["p05"], table["p95"]).mean() >= 0.8
    assert {(d, u) for d, u in zip(table["driver"], table["until"], strict=True)} == {
        (driver, until) for driver in TRENDS for until in (2016, 2018)
    }


@pytest.mark.parametrize("cut", [2014, 2016, 2018])
def test_a_forecast_knows_nothing_later_than_its_last_year(study, cut):
    """Whatever came later is changed threefold: every future stays the same, and more futures change none."""
    evidence = load_evidence(study)
    history = rebuild_history(evidence, 2021, load_parameters(study.parameters)["past_growth"])
    baseline, timeline = load_scenario("baseline", study), history.timeline
    later = {n: np.where(np.array(timeline.years(n)) > cut, 3.0 * t, t) for n, t in timeline.tables.items()}
    other = replace(history, timeline=replace(timeline, tables=later))
    ones, others, more = (
        timelines_foreseen(baseline, h, evidence, cut, 1, wanted)
        for h, wanted in ((history, 20), (other, 20), (history, 40))
    )
    known = baseline.plans(history)[0].timeline
    for one, second, third in zip(ones, others, more, strict=False):
        for name, table in one.tables.items():
            if name not in ("soft_power", "us_funding", "nih_funding", "nsf_funding", "green_card_wait"):
                assert np.array_equal(table, second.tables[name]), name
            assert np.array_equal(table, third.tables[name]), name
            until = cut + 1 - known.first_year(name)
            if name != "scrutiny_china" or cut < 2018:  # the Initiative of 2018 goes on; it began in November
                assert np.array_equal(table[:until], known.tables[name][:until]), name
    scrutiny = np.array([t.tables["scrutiny_china"][-1] for t in ones])
    assert (scrutiny == 1.0).all() if cut == 2018 else 0 < (scrutiny > 0.0).sum() < 15


def test_a_damped_trend_grows_less_each_year_and_levels_off():
    values = 100.0 * 1.05 ** np.arange(10)
    path, sd = damped_trend(values, 60)
    growth = np.diff(np.log(np.concatenate([values[-1:], path])))
    assert growth == pytest.approx(np.log(1.05) * 0.8 ** np.arange(1, 61)) and sd == pytest.approx(0.0, abs=1e-12)
    assert path[-1] == pytest.approx(values[-1] * 1.05**4.0, rel=1e-4)  # 0.8 + 0.8^2 + ... = 4


def test_a_file_without_ranges_has_none(study):
    for path in sorted(set(study.scenarios.glob("*.toml")) - {study.scenarios / "outlook.toml"}):
        own = parse_scenario(path.read_bytes(), path)
        assert not any(part.ranges for part in (*own.policy, *own.lever, *own.event)), path
