"""Who leaves under which world: everyone is counted once, and sums are the departures that the tables give."""

import numpy as np
import pytest

import bdsim
from bdsim.analysis.leavers import BY, SIDES, _without_excess, who_leaves
from bdsim.errors import UsageError
from bdsim.model.categories import FIRST_YEAR
from bdsim.model.fates import year_left

PERIOD = (2024, 2030)


def by_label(who, by):
    """Mean leavers with labels of one attribute as rows and sides as columns."""
    table = who.table[who.table["by"] == by]
    wide = table.pivot_table(index="label", columns="side", values="mean", sort=False)
    return wide.reindex(index=list(BY[by]), columns=list(SIDES))


def run(name, **more):
    settings = {"members": 11, "researchers_per_agent": 100, "horizon": 2031, **more}
    return bdsim.run(bdsim.load_scenario(name), **settings)


@pytest.fixture(scope="module")
def baseline():
    return run("baseline")


@pytest.fixture(
    scope="module", params=["initiative-revival", "us-retention-package", "student-visa-cut", "protect-act"]
)
def pair(baseline, request):
    other = run(request.param)
    comparison = bdsim.compare(baseline, other)
    return comparison, other, who_leaves(comparison, other, PERIOD)


def departures(results, origin="china"):
    span = slice(PERIOD[0] - FIRST_YEAR, PERIOD[1] - FIRST_YEAR + 1)
    return np.average(
        results.collapsed("departures", (), origin)[:, span].sum(axis=1), weights=results.weights
    )  # fmt: skip


@pytest.mark.parametrize("by", BY)
def test_every_attribute_counts_every_departure_once(pair, by):
    comparison, other, who = pair
    sides = by_label(who, by).sum()
    assert sides[SIDES[0]] + sides[SIDES[2]] == pytest.approx(departures(other), rel=1e-12)
    draws = other.members["draw"].to_numpy()
    here = comparison.reference.collapsed("departures")[draws][:, 24:31].sum(axis=1)
    assert sides[SIDES[1]] + sides[SIDES[2]] == pytest.approx(np.average(here, weights=other.weights), rel=1e-12)
    shares = who.table[who.table["by"] == by].groupby("side")["share"].sum()
    assert all(share == pytest.approx(1.0) or share == 0.0 for share in shares)


def test_fields_and_stages_are_those_of_the_table_of_departures(pair):
    _, other, who = pair
    for by in ("field", "stage"):
        table = other.collapsed("departures", (by,))[:, 24:31].sum(axis=1)
        expected = np.average(table, axis=0, weights=other.weights)
        wide = by_label(who, by)
        if by == "stage" and other.name != "initiative-revival":
            continue  # one who leaves in another year under both counts at the scenario's stage
        assert (wide[SIDES[0]] + wide[SIDES[2]]).to_numpy() == pytest.approx(expected, rel=1e-9)


def test_it_agrees_with_counting_one_by_one(baseline):
    other = run("talent-surge")
    comparison = bdsim.compare(baseline, other)
    who = who_leaves(comparison, other, PERIOD)
    found = dict.fromkeys(SIDES, 0.0)
    people = baseline.people
    assert people["identity"].equals(other.people["identity"])
    for member in range(len(other.members)):
        here, there = baseline.fates()[member], other.fates()[member]
        for person in np.flatnonzero((people["origin"] == "china") & ((here > 0) | (there > 0))):
            inside = [f > 0 and PERIOD[0] <= int(year_left(f)) <= PERIOD[1] for f in (there[person], here[person])]
            if any(inside):
                route = people["route"].iloc[person]
                side = SIDES[2] if all(inside) else SIDES[0] if inside[0] else SIDES[1]
                found[side] += float(other.members[f"agent_{route}"].iloc[member]) / len(other.members)
    assert by_label(who, "ties").sum().to_dict() == pytest.approx(found)


def test_nobody_leaves_under_one_world_only_when_both_are_the_same(baseline):
    who = who_leaves(bdsim.compare(baseline, run("baseline", horizon=2031)), baseline, PERIOD)
    only = who.table[who.table["side"] != SIDES[2]]
    assert (only[["mean", "p05", "p95"]] == 0.0).all().all()
    assert who.top_decile.set_index("under").loc["difference"].abs().max() == 0.0


def test_the_share_of_the_most_prominent_is_that_of_its_row(pair):
    _, _, who = pair
    wide = by_label(who, "prominence")
    under = wide[SIDES[0]] + wide[SIDES[2]]
    stated = who.top_decile.set_index("under").loc["scenario", "mean"]
    assert stated == pytest.approx(100 * under.iloc[-1] / under.sum(), abs=1.0)  # a mean of ratios, not of sums


@pytest.mark.parametrize("scale", [1, 10, 100])
def test_intervals_lose_what_coarse_agents_add_to_chance(scale):
    """40,000 members whose means spread by 20%, counted in agents: the variance is known to within 3%, so a false
    alarm lies beyond 4 standard errors; the seed is fixed."""
    rng = np.random.default_rng(5)
    means = 2000.0 * np.exp(rng.normal(0.0, 0.2, 40_000))
    counted = scale * rng.poisson(means / scale).astype(float)
    weights = np.full(len(means), 1.0 / len(means))
    shown = _without_excess(counted[:, None], weights, float(scale))[:, 0]
    assert shown.mean() == pytest.approx(counted.mean())
    assert shown.var() == pytest.approx(means.var() + means.mean(), rel=0.05)


def test_a_period_outside_the_run_is_refused(pair):
    comparison, other, _ = pair
    with pytest.raises(UsageError, match="2030-2040 lies outside the run"):
        who_leaves(comparison, other, (2030, 2040))
