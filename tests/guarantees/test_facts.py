"""What the baseline must reproduce on the shipped fit; parameters.toml holds where a fit starts and claims no facts."""

import pytest

import bdsim


@pytest.fixture(scope="module")
def baseline():
    return bdsim.run(bdsim.load_scenario("baseline"), members=16, horizon=2021)


def test_the_baseline_reproduces_the_published_totals_within_ten_percent(baseline):
    by_year = baseline.departures.query("origin == 'china'").groupby(["member", "year"])["researchers"].sum().unstack()
    assert by_year[2010].mean() == pytest.approx(900, rel=0.10)
    assert by_year[2021].mean() == pytest.approx(2621, rel=0.10)
    assert by_year.loc[:, 2010:2021].sum(axis=1).mean() == pytest.approx(19955, rel=0.10)


def test_retention_is_near_the_published_rates(baseline):
    published = {"china": 0.90, "india": 0.87, "other": 0.66, "all": 0.77}
    for origin, rate in published.items():
        assert baseline.stay_rate(origin, (2000, 2015), 2017).mean() == pytest.approx(rate, abs=0.04)
