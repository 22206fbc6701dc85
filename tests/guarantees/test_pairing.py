"""Scenarios share people and luck: nothing differs before the first year that differs, and pulls only pull."""

import numpy as np
import pytest

import bdsim
from bdsim.analysis.comparison import Z90, first_difference
from bdsim.model.categories import FIRST_YEAR
from bdsim.model.fates import destination_of, year_left
from bdsim.model.rule import CHINA, ELSEWHERE

pytestmark = pytest.mark.one_python

SCALE, MEMBERS = 40, 4
FIRST_YEARS = {
    "no-initiative": 2018,
    "initiative-revival": 2025,
    "initiative-revival-2027": 2027,
    "history-to-2026": 2022,
    "revival-report-language": 2025,
    "talent-surge": 2026,
    "china-funding-plateau": 2026,  # the spending of 2025 is seen a year later
    "us-funding-cut": 2026,
    "nih-cut": 2026,
    "us-retention-package": 2026,
    "soft-power-erosion": 2026,
    "student-visa-cut": 2026,
}


def run(name, **kwargs):
    return bdsim.run(bdsim.load_scenario(name), members=MEMBERS, researchers_per_agent=SCALE, **kwargs)


@pytest.fixture(scope="module")
def baseline():
    return run("baseline")


@pytest.mark.parametrize(("name", "year"), FIRST_YEARS.items())
def test_every_table_is_identical_before_the_first_year_that_differs(baseline, name, year):
    other = run(name)
    assert first_difference(baseline, other) == year
    for table in ("departures", "expected", "variance", "stocks", "entrants", "retired"):
        before = slice(0, year - FIRST_YEAR)
        assert np.array_equal(getattr(baseline.counts, table)[:, before], getattr(other.counts, table)[:, before])
    difference = bdsim.compare(baseline, other).difference(other)
    assert (difference.values[:, : year - FIRST_YEAR] == 0.0).all()


@pytest.mark.parametrize("name", ["talent-surge"])
def test_a_change_that_only_pulls_to_china_moves_nobody_to_elsewhere_in_its_first_year(baseline, name):
    pulled = run(name)
    year = FIRST_YEARS[name]

    def left_for(fates, destination):
        return (fates > 0) & (year_left(fates) == year) & (destination_of(fates) == destination)

    for one, other in zip(baseline.fates(), pulled.fates(), strict=True):
        elsewhere = left_for(other, ELSEWHERE)
        assert (one[elsewhere] == other[elsewhere]).all()
        assert left_for(other, CHINA)[left_for(one, CHINA)].all()  # and keeps nobody who went anyway
    assert left_for(pulled.fates(), CHINA).sum() > left_for(baseline.fates(), CHINA).sum()


def test_more_entrants_change_no_decision_of_anyone_else_in_the_year_they_come(tmp_path, fresh_study):
    path = fresh_study.scenarios / "more.toml"
    path.write_text(
        'title = "More"\nquestion = "More from India?"\nextends = "baseline"\n'
        '[[lever]]\ntable = "inflow_india"\nyears = [2026, 2035]\nmultiply = 2.0\nwhy = "test"\n'
    )
    load = bdsim.load_scenario
    one = bdsim.run(load("baseline", fresh_study), members=2, researchers_per_agent=SCALE)
    other = bdsim.run(load("more", fresh_study), members=2, researchers_per_agent=SCALE)
    at = np.searchsorted(other.people["identity"], one.people["identity"])
    assert (other.people["identity"].to_numpy()[at] == one.people["identity"].to_numpy()).all()
    assert len(other.people) > len(one.people)
    # Nobody from before is rewired to the new, so not one of them ever decides otherwise: Indians do not
    # compete for offers.
    assert np.array_equal(one.fates(), other.fates()[:, at])


def test_a_shorter_horizon_changes_nothing_before_it(baseline):
    short = run("baseline", horizon=2020)
    for table in ("departures", "expected", "stocks"):
        assert np.array_equal(getattr(short.counts, table), getattr(baseline.counts, table)[:, :21])


def test_branches_that_change_nothing_are_identical_to_the_baseline(baseline):
    act = run("protect-act")
    comparison = bdsim.compare(baseline, act)
    difference = comparison.difference(act)
    dies = act.members["branch"].str.contains("dies").to_numpy()
    signed = act.members["branch"].str.contains("signed all the same|, signed", regex=True).to_numpy()
    assert (difference.values[dies] == 0.0).all()
    assert (difference.expected[signed, 26:].sum(axis=1) > 0).all()
    assert act.members["weight"].sum() == pytest.approx(1.0, abs=1e-12)


def test_pairing_narrows_the_difference(baseline):
    revival = run("initiative-revival")
    assert bdsim.compare(baseline, revival).precision(revival, (2025, 2035)).variance_ratio > 5


def test_the_stated_precision_is_that_of_repeated_ensembles():
    """24 ensembles of 8 members: the variance of their mean effects against an eighth of the variance between members.
    With 23 degrees of freedom the ratio lies in (0.31, 2.2) but for one case in a thousand; seeds fixed. Twelve are too
    few: effects are skew, and the first twelve of these seeds give 3.3 where 48 give 0.99."""
    pairs = [[run(name, seed=seed) for name in ("baseline", "talent-surge")] for seed in range(24)]
    stated = [bdsim.compare(one, other).precision(other, (2026, 2035)) for one, other in pairs]
    expected = np.mean([p.variance / p.members for p in stated])
    found = np.var([p.effect for p in stated], ddof=1)
    assert 0.31 < found / expected < 2.2


def test_members_needed_are_those_that_narrow_the_mean_enough(baseline):
    surge = run("talent-surge")
    precision = bdsim.compare(baseline, surge).precision(surge, (2026, 2035))
    for within in (0.02, 0.05, 0.2):
        needed = precision.members_needed(within)
        width = Z90 * np.sqrt(precision.variance / needed)
        assert width <= within * abs(precision.effect)
        assert precision.members_needed(within, paired=False) >= needed
    nothing = bdsim.compare(baseline, run("baseline")).precision(baseline, (2026, 2035))
    assert nothing.effect == nothing.half_width == 0.0
    assert nothing.members_needed() is None
