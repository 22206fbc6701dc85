"""Bands do not depend on how many researchers an agent stands for, and sampled runs agree with expected ones."""

import numpy as np
import pytest

import bdsim
from bdsim.model.counts import Counts
from bdsim.runs.ensemble import run_member
from bdsim.runs.plan import Settings, plan_run

pytestmark = pytest.mark.one_python


def run(**settings):
    """Without a fit, so that bands hold chance alone."""
    return bdsim.run(bdsim.load_scenario("baseline"), fit="none", **settings)


def yearly(results):
    return results.by()[0][:, 10:]  # (members, years from 2010)


def test_bands_agree_at_1_10_and_50_researchers_per_agent():
    """Pooled over 11 years and 24 members a variance is known within a factor 1.4 with 99 % confidence (F test on
    about 240 degrees of freedom): false-alarm rate of all three comparisons together below 2 %, seeds fixed."""
    runs = {k: yearly(run(members=24, researchers_per_agent=k, horizon=2020)) for k in (1, 10, 50)}
    variance = {k: values.var(axis=0, ddof=1).mean() for k, values in runs.items()}
    for k in (10, 50):
        assert 1 / 1.45 < variance[k] / variance[1] < 1.45
        assert abs(runs[k].mean() / runs[1].mean() - 1) < 0.015


def test_sampled_counts_of_coarse_agents_would_exaggerate_chance():
    """Why bands are drawn at full scale: the sampled counts themselves spread about sqrt(50) times as much."""
    results = run(members=24, researchers_per_agent=50, horizon=2020)
    sampled = results.counts.departures[:, 10:, :2].sum(axis=(2, 3, 4, 5)).var(axis=0, ddof=1).mean()
    assert sampled / yearly(results).var(axis=0, ddof=1).mean() > 15


@pytest.mark.parametrize("colleagues", [False, True])
def test_sampled_means_agree_with_expected_values(colleagues):
    """Without influence of colleagues the means agree within Monte Carlo error (5 standard errors on 3 sums:
    false-alarm rate below 1e-5). With it, the mean-field gap stays below half a percent."""
    quiet = {} if colleagues else {"kappa": 0.0, "gamma": 0.0}
    settings = Settings(48, 4, 25, "compiled", 2022)
    job = plan_run(bdsim.load_scenario("baseline"), settings, {"push": 1.0, **quiet}, "none")
    world = job.world(job.plans[0])
    expected, _ = run_member(world, 4, 0, sampled=False)
    sampled = Counts.stacked([run_member(world, 4, m)[0] for m in range(settings.members)])
    for years in (slice(0, 10), slice(10, 18), slice(19, 23)):
        values = sampled.departures[:, years].sum(axis=(1, 2, 3, 4, 5))
        gap = values.mean() - expected.departures[0, years].sum()
        error = values.std(ddof=1) / np.sqrt(len(values))
        assert abs(gap) < 5 * error + (0.005 * values.mean() if colleagues else 0.0)


def test_full_scale_draws_have_the_mean_and_variance_of_the_poisson_binomial():
    """240 member-years pooled: mean within 5 standard errors, variance within a factor 1.4 (false alarms < 1e-3)."""
    results = run(members=24, researchers_per_agent=50, horizon=2020)
    noise = (results.gathered("full_scale") - results.counts.expected)[:, 10:].sum(axis=(2, 3, 4, 5))
    variance = results.counts.variance[:, 10:].sum(axis=(2, 3, 4, 5))
    assert abs((noise / np.sqrt(variance)).mean()) < 5 / np.sqrt(noise.size)
    assert 1 / 1.4 < (noise**2).mean() / variance.mean() < 1.4
