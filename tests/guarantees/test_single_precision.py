"""Single precision, to explore with: the same rule rounded more coarsely, other luck of the same law.

Every statistical test has fixed seeds, so it passes always or never; the false-alarm rate it states is the chance that
it would have failed on two engines of the same law when it was written.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import bdsim
from bdsim.errors import UsageError
from bdsim.model.engine.batch import Company, simulated, simulated_worlds
from bdsim.model.machine_code import SINGLE_WIDTH, WIDTH
from bdsim.runs.ensemble import run_job
from bdsim.runs.plan import Job, Settings, plan_run
from bdsim.runs.workers import Workers

ROUNDING = 5e-6  # relative: some ten roundings to 24 digits a year
FALSE_ALARM = 1e-4  # of each statistical test


def company(members: int, scenario: str = "initiative-revival", researchers_per_agent: int = 100) -> Company:
    """Members of a fit, each with parameters and shocks of its own."""
    job = plan_run(bdsim.load_scenario(scenario), Settings(members, 4, researchers_per_agent, "compiled", 2032))
    (plan,) = job.plans
    recipe = job.recipe(plan)
    return Company(recipe.population, recipe.environment, [job.inputs(plan, draw) for draw in range(members)])


def test_without_luck_the_precisions_differ_by_rounding_alone():
    """Expected runs draw nothing but who was here at the start, so every table must agree; the largest cell of a table
    is the measure, since rounding does not know how small another cell is."""
    few = company(3)
    double, single = (simulated(*few, sampled=False, width=width) for width in (WIDTH, SINGLE_WIDTH))
    for (ours, _), (exact, _) in zip(single, double, strict=True):
        for name, table, wanted in zip(ours._fields, ours, exact, strict=True):
            assert np.abs(table - wanted).max() <= ROUNDING * max(wanted.max(), 1.0), name
        assert exact.departures.sum() > 0.0


@pytest.fixture(scope="module")
def both():
    """128 members of the same parameters and shocks, by either precision: tallies."""
    many = company(128)
    return [[tally for tally, _ in simulated(*many, width=width)] for width in (WIDTH, SINGLE_WIDTH)]


STATISTICS = {
    "to China": lambda t: t.departures[..., 0].sum(),
    "elsewhere": lambda t: t.departures[..., 1].sum(),
    "under the Initiative": lambda t: t.departures[18:23, ..., 0].sum(),
    "under its revival": lambda t: t.departures[25:, ..., 0].sum(),
    "with a programme": lambda t: t.programme.sum(),
    "early": lambda t: t.departures[..., 0, :].sum(),
    "senior": lambda t: t.departures[..., 2, :].sum(),
    "by probability": lambda t: t.expected.sum(),
    "left before": lambda t: t.left_before.sum(),
    "here at last": lambda t: t.stocks[-1].sum(),
}


def test_departures_agree_in_law(both):
    """Member by member the parameters are the same and luck is not, so differences have mean 0: Student's t of each
    statistic, Bonferroni over all."""
    double, single = both
    for name, statistic in STATISTICS.items():
        differences = np.array([statistic(one) - statistic(other) for one, other in zip(single, double, strict=True)])
        assert stats.ttest_1samp(differences, 0.0).pvalue > FALSE_ALARM / len(STATISTICS), name


def test_departures_spread_as_their_probabilities_say(both):
    """Given 1 January, departures of a year have the mean `expected` and the variance `variance`; the standardised
    ones of different years and members are uncorrelated. Normal bounds for their mean and their mean square (whose
    variance is estimated), half of the false-alarm rate each."""
    for tallies in both:
        gaps = np.array([(t.departures - t.expected).sum(axis=(1, 2, 3)) for t in tallies])
        z = gaps / np.sqrt([t.variance.sum(axis=(1, 2, 3)) for t in tallies])
        bound = stats.norm.isf(FALSE_ALARM / 8.0)
        assert abs(z.mean()) * np.sqrt(z.size) < bound
        assert abs((z**2).mean() - 1.0) / ((z**2).std() / np.sqrt(z.size)) < bound


def test_the_two_tests_of_law_would_notice_a_wrong_one(both):
    """Every fiftieth departure lost: less than these tests have to guard against."""
    double, single = both
    kept = np.random.default_rng(0)
    lossy = [t._replace(departures=kept.binomial(t.departures.astype(int), 0.98).astype(float)) for t in single]
    with pytest.raises(AssertionError):
        test_departures_agree_in_law((double, lossy))
    with pytest.raises(AssertionError):
        test_departures_spread_as_their_probabilities_say((double, lossy))


@pytest.mark.parametrize("count", [3, 16, 19])  # lanes left empty, all taken, and a second group
def test_whom_a_member_runs_beside_is_no_matter(count):
    everyone = company(20)
    together = simulated(*everyone, width=SINGLE_WIDTH)[:count]
    fewer = simulated(*everyone._replace(members=everyone.members[:count]), width=SINGLE_WIDTH)
    for (ours, fates), (theirs, their_fates) in zip(together, fewer, strict=True):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True))
        assert np.array_equal(fates, their_fates)
    assert together[0][0].departures.sum() != together[1][0].departures.sum()  # members do differ


def test_worlds_that_share_their_past_have_the_bits_of_runs_of_their_own():
    worlds = [company(5, name) for name in ("baseline", "no-initiative", "initiative-revival", "student-visa-cut")]
    for world, together in zip(worlds, simulated_worlds(worlds, width=SINGLE_WIDTH), strict=True):
        for (tally, fates), (alone, alone_fates) in zip(together, simulated(*world, width=SINGLE_WIDTH), strict=True):
            assert all(a.tobytes() == b.tobytes() for a, b in zip(tally, alone, strict=True))
            assert np.array_equal(fates, alone_fates)


def job_of(members: int, engine: str = "float32", scenario: str = "initiative-revival") -> Job:
    return plan_run(bdsim.load_scenario(scenario), Settings(members, 4, 300, engine, 2030))


def test_a_run_of_fewer_members_is_the_beginning_of_one_of_more_whoever_works_at_it():
    more = run_job(job_of(37), workers=Workers(threads=2))
    fewer = run_job(job_of(18), workers=Workers(threads=1))
    for table in ("departures", "expected", "programme", "stocks"):
        assert np.array_equal(getattr(more.counts, table)[:18], getattr(fewer.counts, table)), table


def test_what_it_gives_is_paired_with_its_own_kind_only():
    """Luck is another, so people are not the same in both; Mesa's agents have the luck of double precision."""
    single, double = job_of(4), job_of(4, "compiled", "baseline")
    assert single.fingerprint != replace(single, settings=replace(single.settings, engine="compiled")).fingerprint
    run, other = run_job(single), run_job(double)
    with pytest.raises(UsageError, match="differ in engine, compiled against float32; run both with the same"):
        _ = bdsim.compare(other, run).summary
    paired = bdsim.compare(run_job(job_of(4, scenario="baseline")), run)
    early = paired.difference(run, [(2000, 2023)])
    assert not early.values.any()  # the same luck in both worlds
    assert paired.difference(run, [(2025, 2030)]).values.any()
