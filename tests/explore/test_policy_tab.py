"""A policy of sliders, without a browser: the numbers of the scenario file that it shows, mistakes in one line."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdsim.errors import UsageError
from bdsim.model.counts import selection
from bdsim.runs.expected import Request, answers_to, posterior_draws
from bdsim.runs.plan import Settings, plan_run
from bdsim.study import DEFAULT_HORIZON
from bdsim.study.parameters import load_parameters
from bdsim.study.scenario import load_scenario, resolve
from bdsim.study.scenario_file import parse_scenario

pytest.importorskip("panel", reason="bdsim explore is an extra: pip install -e '.[explore]'")

from bdsim.explore.policy.chart import answer_table, policy_chart
from bdsim.explore.policy.policies import DRAWS, NAME, SCALE, SLIDERS, START, Policies
from bdsim.explore.policy.tab import PolicyPart
from bdsim.explore.scenarios.tab import AT_WORK, WORDS, ScenariosPart
from bdsim.explore.session import Session

UNCHANGED = {name: slider.unchanged for name, slider in SLIDERS.items()}
MUCH = {**START, "scrutiny": 0.5, "nih_funding": 0.8, "offers": 2.0, "green_card_wait": -1.0}


@pytest.fixture(scope="module")
def policies(study):
    return Policies(study)


@pytest.fixture
def part_of(fresh_study):
    """Makes the part for the words of an address, with what it hands over; ends what it began."""
    sessions = []

    def made(words="", hand_over=lambda name, content: ""):
        session = Session(fresh_study)
        session.asked = dict(parse_qsl(words))
        sessions.append(session)
        return PolicyPart(session, hand_over)

    yield made
    for session in sessions:
        session.closed.set()


def test_the_numbers_are_those_of_the_file_that_it_shows(fresh_study):
    policies = Policies(fresh_study)
    answer = policies.at(MUCH)
    (fresh_study.scenarios / f"{NAME}.toml").write_text(policies.text(MUCH))
    job = plan_run(load_scenario(NAME, fresh_study), Settings(DRAWS, 0, SCALE, "compiled", DEFAULT_HORIZON))
    request = Request(job.plans[0].timeline, posterior_draws(job), range(DRAWS))
    found = answers_to(job, [request], lambda c: c.expected[:, :, selection("china")].sum(axis=(2, 3, 4, 5)))[0]
    np.testing.assert_allclose(answer.policy.sum(axis=(2, 3)), found, rtol=1e-12)


def test_a_policy_that_changes_nothing_changes_no_number(policies):
    answer = policies.at(UNCHANGED)
    assert (answer.policy == answer.reference).all()
    assert all((difference == 0.0).all() for _, _, _, difference in answer.rows())


def test_nothing_changes_before_a_policy_begins_and_more_scrutiny_drives_more_away(policies):
    answers = [policies.at({**START, "scrutiny": strength}) for strength in (0.25, 0.5, 1.0, 2.0)]
    before = answers[0].asked[0] - answers[0].years[0]
    for answer in answers:
        np.testing.assert_array_equal(answer.policy[:, :before], answer.reference[:, :before])
    more = [np.median((a.policy - a.reference).sum(axis=(1, 2, 3))) for a in answers]
    assert more == sorted(more)
    assert more[0] > 0.0


@given(st.fixed_dictionaries({n: st.floats(s.low, s.high, allow_nan=False) for n, s in SLIDERS.items()}))
def test_every_position_of_the_sliders_is_a_scenario_file_that_is_taken(study, policies, values):
    values["from"], values["until"] = sorted((round(values["from"]), round(values["until"])))
    values["until"] = max(values["until"], values["from"] + 1)
    path = study.scenarios / f"{NAME}.toml"
    scenario = resolve(parse_scenario(policies.text(values).encode(), path), path, study)
    assert len(scenario.branches()) == 1
    assert {lever.table for lever in scenario.levers} >= {
        n for n, s in SLIDERS.items() if s.change and values[n] != s.unchanged
    }


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("scrutiny", "9", "lies outside 0 to 2"),
        ("scrutiny", "much", "'much' is not a number"),
        ("scrutiny", "nan", "lies outside 0 to 2"),
        ("from", "2027-13-01", "'2027-13-01' is not a date such as 2027-01-20"),
        ("until", "2051-01-01", "lies outside 2026-01-02 to 2035-12-31"),
    ],
)
def test_what_is_typed_wrongly_is_told_at_the_slider_and_changes_nothing(policies, part_of, name, typed, said):
    with pytest.raises(UsageError) as caught:
        policies.checked(name, typed)
    assert caught.value.problem == said
    part = part_of()
    part._turned({"commit": {name: typed}})
    assert part.knobs.errors == {name: said}
    assert part.values == START
    assert part_of(urlencode({name: typed})).knobs.errors == {name: said}


def test_a_policy_ends_after_it_begins(part_of):
    part = part_of()
    part._turned({"commit": {"from": "2033-05-01"}})
    assert part.values["until"] == part.values["from"] + 1.0
    part._turned({"commit": {"until": "2028-05-01"}})
    assert part.values["from"] == part.values["until"] - 1.0


def test_the_address_holds_the_policy_and_its_words_are_nobody_elses(part_of, study):
    part = part_of()
    part._turned({"commit": {n: str(v) for n, v in MUCH.items()}})
    again = part_of(urlencode(part.address()))
    assert again.values == part.values == MUCH
    assert part_of().address() == {}
    others = {*load_parameters(study.parameters).entries, *WORDS.values(), "tab", "fit", "k", "free", "edit", "draft"}
    assert not others & set(SLIDERS)


def test_it_is_handed_over_and_compared_in_full(fresh_study, part_of):
    session = Session(fresh_study)
    scenarios = ScenariosPart(session)
    scenarios.asked = type(scenarios.asked)(members=2, researchers_per_agent=1000, horizon=2028)
    part = part_of(hand_over=scenarios.take)
    part._pressed({"pressed": "compare"})
    part._pressed({"pressed": "compare"})  # while it is at work
    assert AT_WORK in part.said.html
    part.said.html = ""
    until = time.monotonic() + 120
    while scenarios.job.running:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert scenarios.asked.names == ("baseline", NAME)
    assert scenarios.compared.comparison.others[0].title == "My policy"
    assert part.said.html == ""
    assert not (fresh_study.scenarios / f"{NAME}.toml").exists()
    scenarios.editor.pressed({"pressed": "revert"})
    scenarios.editor.take("other", part.policies.text(MUCH).encode().replace(b"My policy", b"Another"))
    part._pressed({"pressed": "compare"})
    assert "has changes that are not saved" in part.said.html
    session.closed.set()


def test_the_chart_and_the_table_tell_the_answer_and_its_interval(policies):
    answer = policies.at(START)
    whose, without, _, more = answer.rows()[0]
    assert whose == "All departures"
    assert more[0] < more[1] < more[2]
    table = answer_table(answer)
    assert f"<b>{more[1]:+,.0f}</b>" in table
    assert f"beside {without[1]:,.0f} if nothing changes" in table
    assert "not causal estimates" in table
    chart = policy_chart(answer, policies.observed)
    assert chart.count("<title>") == 1 + len(range(2015, DEFAULT_HORIZON + 1))
    assert 'class="span"' in chart
