"""Events: other chances are exact without a new run, shares say what knowing an outcome would take away."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bdsim
from bdsim.analysis.events import outcomes_of, reweighted, shares_of_events
from bdsim.errors import UsageError
from bdsim.study.branches import MOST_BRANCHES, are_sampled, branches_of
from bdsim.study.scenario_file import Event, Outcome

SMALL = {"members": 6, "researchers_per_agent": 200, "horizon": 2030}


@pytest.fixture(scope="module")
def act():
    return bdsim.run(bdsim.load_scenario("protect-act"), **SMALL)


def test_other_chances_are_what_a_run_with_these_chances_gives(act, fresh_study):
    path = fresh_study.scenarios / "protect-act.toml"
    text = path.read_text()
    for old, new in (
        ('name = "supporter wins", chance = 0.5', 'name = "supporter wins", chance = 0.2'),
        ('name = "opponent wins", chance = 0.5', 'name = "opponent wins", chance = 0.8'),
        ('name     = "signed"\nchance   = 0.9', 'name     = "signed"\nchance   = 0.4'),
        ('name     = "not signed"\nchance   = 0.1', 'name     = "not signed"\nchance   = 0.6'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text)
    run = bdsim.run(bdsim.load_scenario("protect-act", fresh_study), **SMALL)
    weighed = reweighted(act, {"supporter wins": 0.2, "signed": 0.4})
    assert weighed.weights == pytest.approx(run.weights, abs=1e-15)
    assert weighed.departures.equals(run.departures)
    assert weighed.summary().equals(run.summary())
    assert weighed.variance_split(2024, 2030) == pytest.approx(run.variance_split(2024, 2030))
    ours, theirs = (shares_of_events(r, 2024, 2030)["share"].to_numpy() for r in (weighed, run))
    assert ours == pytest.approx(theirs, abs=1e-12)


@given(
    st.dictionaries(
        st.sampled_from(["supporter wins", "signed", "vetoed", "dies in the Senate (opponent)"]), st.floats(0, 1)
    )
)
def test_chances_add_up_to_one_whatever_is_said(act, chances):
    weighed = reweighted(act, chances)
    assert weighed.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert (weighed.weights >= 0.0).all()
    assert sum(b["chance"] for b in weighed.manifest["branches"]) == pytest.approx(1.0, abs=1e-12)
    for event in weighed.manifest["scenario"]["event"]:
        assert sum(o["chance"] for o in event["outcomes"]) == pytest.approx(1.0, abs=1e-12)
    for name, chance in chances.items():
        assert outcomes_of(weighed)[name] == pytest.approx(chance)


def test_saying_the_same_chances_changes_nothing(act):
    assert reweighted(act, outcomes_of(act)).weights == pytest.approx(act.weights, abs=1e-15)


@pytest.mark.parametrize(
    ("chances", "problem"),
    [
        ({"sined": 0.4}, "no outcome named 'sined'; did you mean 'signed'?"),
        ({"signed": 1.2}, "a chance lies between 0 and 1"),
        ({"signed": math.nan}, "a chance lies between 0 and 1"),
        ({"signed": 0.7, "not signed": 0.7}, "add up to 1.4, not 1"),
        ({"signed": 0.2, "not signed": 0.2}, "add up to 0.4, not 1"),
    ],
)
def test_impossible_chances_are_refused(act, chances, problem):
    with pytest.raises(UsageError) as caught:
        reweighted(act, chances)
    assert problem in str(caught.value)


def test_an_event_that_decides_everything_carries_what_all_carry(act):
    """With the election decided and the Senate certain, only the signature is open."""
    certain = {"supporter wins": 1.0, "Senate passes it (supporter)": 1.0, "signed": 0.5}
    shares = shares_of_events(reweighted(act, certain), 2026, 2030).set_index("event")["share"]
    assert shares["President, a supporter"] == pytest.approx(shares["all events together"])
    assert shares["Presidential election"] == 0.0
    assert shares["Senate, under a supporter"] == 0.0
    assert 0.5 < shares["all events together"] <= 1.0


def test_shares_lie_between_0_and_1_and_none_exceeds_all(act):
    shares = shares_of_events(act, 2025, 2030).set_index("event")["share"]
    assert ((shares >= 0.0) & (shares <= shares["all events together"] + 1e-12)).all()
    assert shares["all events together"] <= 1.0
    assert (shares_of_events(act, 2000, 2023)["share"] == 0.0).all()  # nothing is decided before


def coins(number, chance=0.3):
    return [
        Event(
            name=f"Vote {i}",
            on=dt.date(2025, 6, 1),
            why="test",
            outcomes=[Outcome(name=f"yes {i}", chance=chance), Outcome(name=f"no {i}", chance=1 - chance)],
        )
        for i in range(number)
    ]


def test_few_ways_are_all_run_and_many_are_sampled():
    assert not are_sampled(coins(6))
    assert len(branches_of((), (), coins(6))) == MOST_BRANCHES
    assert are_sampled(coins(7))
    found = branches_of((), (), coins(24))
    assert len(found) <= MOST_BRANCHES
    assert sum(b.chance for b in found) == pytest.approx(1.0)
    assert found == branches_of((), (), coins(24))


def test_sampled_ways_follow_the_chances():
    """24 events of chance 0.3, 64 ways: 1,536 draws; the share of 'yes' lies within 4.5 standard errors of 0.3
    (false alarms below 1e-5; the draws are fixed)."""
    found = branches_of((), (), coins(24))
    yes = sum(b.chance * sum(o.startswith("yes") for o in b.outcomes) for b in found) / 24
    assert abs(yes - 0.3) < 4.5 * np.sqrt(0.3 * 0.7 / (24 * MOST_BRANCHES))


def test_a_scenario_with_many_ways_runs_and_says_that_it_sampled(fresh_study):
    text = 'title = "Votes"\nquestion = "What if?"\nextends = "baseline"\n'
    for i in range(8):
        text += (
            f'[[event]]\nname = "Vote {i}"\non = 2025-06-01\nwhy = "test"\n'
            f'[[event.outcomes]]\nname = "yes {i}"\nchance = 0.5\n'
            '[[event.outcomes.lever]]\ntable = "us_funding"\nyears = [2026, 2026]\nmultiply = 0.99\nwhy = "test"\n'
            f'[[event.outcomes]]\nname = "no {i}"\nchance = 0.5\n'
        )
    (fresh_study.scenarios / "votes.toml").write_text(text)
    scenario = bdsim.load_scenario("votes", fresh_study)
    results = bdsim.run(scenario, members=1, researchers_per_agent=500, horizon=2026, fit="none")
    assert results.manifest["ways"] == "64 sampled by their chances"
    assert results.weights.sum() == pytest.approx(1.0)
    assert len(results.members) == len(scenario.branches()) <= MOST_BRANCHES
