"""Nobody is lost and nobody is counted twice."""

import numpy as np
import pytest

import bdsim
from bdsim.errors import InvariantError
from bdsim.model.counts import check_conservation
from bdsim.model.fates import destination_of, with_programme, year_left


@pytest.mark.parametrize("name", ["baseline", "student-visa-cut", "protect-act"])
def test_start_plus_entrants_less_departures_less_retired_is_end(name):
    results = bdsim.run(bdsim.load_scenario(name), members=2, researchers_per_agent=50, horizon=2032)
    start = results.stocks.groupby(["member", "year"])["researchers"].sum().unstack()
    gone = results.departures.groupby(["member", "year"])["researchers"].sum().unstack()
    flows = results.flows.groupby(["member", "year"])[["entrants", "retired"]].sum().unstack()
    end = start.to_numpy()[:, :-1] - gone.to_numpy()[:, :-1] - flows["retired"].to_numpy()[:, :-1]
    assert np.allclose(end + flows["entrants"].to_numpy()[:, 1:], start.to_numpy()[:, 1:], rtol=1e-12)


def test_fates_and_departures_tell_the_same_story():
    results = bdsim.run(bdsim.load_scenario("baseline"), members=2, researchers_per_agent=50, horizon=2025)
    settled = (results.people["route"] == "settled").to_numpy()
    counted = results.departures.groupby(["member", "year", "destination"], observed=True)["researchers"].sum()
    recruits = results.departures.groupby(["member", "year"])["with_programme"].sum()
    for member, fates in enumerate(results.fates()):
        stands = results.members.loc[member, ["agent_doctorate", "agent_settled"]]
        weight = np.where(settled, stands["agent_settled"], stands["agent_doctorate"])
        for year in (2000, 2013, 2025):
            then = (fates > 0) & (year_left(fates) == year)
            for code, destination in enumerate(("china", "elsewhere")):
                left = weight[then & (destination_of(fates) == code)].sum()
                assert counted[member, year, destination] == pytest.approx(left, rel=1e-12)
            recruited = weight[then & with_programme(fates)].sum()
            assert recruits[member, year] == pytest.approx(recruited, rel=1e-12)


def test_a_breach_is_refused_by_name():
    results = bdsim.run(bdsim.load_scenario("baseline"), members=1, researchers_per_agent=200, horizon=2015)
    results.counts.stocks[0, 7, 1, 2, 0] += 200.0
    with pytest.raises(InvariantError, match="member 0, 2006 to 2007, china/settled, life"):
        check_conservation(results.counts)


def test_stay_rates_are_consistent_with_the_cohort_table():
    results = bdsim.run(bdsim.load_scenario("baseline"), members=3, researchers_per_agent=50, horizon=2020)
    rates = results.stay_rate("india", (2000, 2015), 2017)
    table = results.cohorts.query("origin == 'india' and 2000 <= entry_year <= 2015 and as_of == 2017")
    sums = table.groupby("member")[["in_us", "entered"]].sum()
    assert np.allclose(rates, sums["in_us"] / sums["entered"])
    assert ((rates > 0) & (rates < 1)).all()
    everyone = results.stay_rate("all", (2000, 2015), 2017)
    assert ((everyone > 0.6) & (everyone < 0.9)).all()
