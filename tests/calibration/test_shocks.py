"""Shocks: the likelihood is that of a normal, conditioning is exact, sizes come back, the future runs on as AR(1)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from bdsim.calibration.shocks import Likelihood, conditioned, expected_shocks, root_of, whitened
from bdsim.study.shocks import SERIES, Discrepancy, continued, covariance, normals, path

YEARS = 6
N = YEARS * len(SERIES)
sizes = st.builds(Discrepancy, st.floats(0.0, 0.3), st.floats(0.0, 0.3), st.floats(0.0, 0.95))


def a_problem(facts=9, seed=1):
    """Some facts that shocks of six years move, with errors, at fixed addresses."""
    z = normals(seed, range(facts), range(2000, 2000 + YEARS))
    sway = z[:, :, : len(SERIES)].reshape(facts, -1) / 3.0
    return sway, np.linspace(0.03, 0.1, facts), 0.1 * z[:, 0, -1]


@given(sizes)
@settings(max_examples=30, deadline=None)
def test_the_cost_is_the_density_of_a_normal(size):
    """Half the squares of the whitened residuals against scipy's multivariate normal: the same but for a constant."""
    sway, error, gap = a_problem()
    cost = 0.5 * (whitened(gap, error, sway, size) ** 2).sum()
    matrix = np.diag(error**2) + sway @ covariance(size, YEARS) @ sway.T
    constant = 0.5 * len(gap) * np.log(2 * np.pi) + np.log(error).sum()
    assert cost + constant == pytest.approx(-stats.multivariate_normal.logpdf(gap, cov=matrix), rel=1e-9)


@given(st.lists(sizes, min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_many_costs_at_once_are_those_of_one_at_a_time(several):
    sway, error, gap = a_problem()
    gaps = np.array([gap * (1 + n) for n in range(len(several))])
    found = Likelihood.of(error, sway).costs(gaps, np.array(several))
    one_by_one = [0.5 * (whitened(g, error, sway, s) ** 2).sum() for g, s in zip(gaps, several, strict=True)]
    assert found == pytest.approx(one_by_one, rel=1e-9)
    assert Likelihood.of(error, sway).costs(np.empty((0, len(gap))), np.empty((0, 3))).shape == (0,)


def test_without_shocks_residuals_are_what_they_were():
    sway, error, gap = a_problem()
    still = whitened(gap, error, sway, Discrepancy(0.0, 0.0, 0.5))
    assert np.allclose(still, [*(gap / error), 0.0])


@given(sizes)
@settings(max_examples=20, deadline=None)
def test_one_year_of_shocks_has_the_stated_covariance(size):
    """The factor that makes shocks from normals squares to the covariance: exact, no chance in it."""
    parts = normals(0, [0], range(2000, 2001)).shape[-1]
    factor = size.drawn(np.eye(parts))
    assert np.allclose(factor.T @ factor, size.within_a_year())


def test_conditioned_shocks_have_the_mean_and_spread_of_the_textbook():
    """4,000 keyed draws against the formula of a conditional normal: 24 means within 5 standard errors (chance of a
    false alarm 1e-5), sds within 6 %, 5 of their standard errors (1e-5)."""
    sway, error, gap = a_problem()
    size, draws = Discrepancy(0.08, 0.05, 0.6), 4_000
    z = normals(3, np.arange(draws), range(2000, 2000 + YEARS))
    noise = error * normals(4, np.arange(draws), range(2000, 2002)).reshape(draws, -1)[:, : len(error)]
    found = np.array(
        [conditioned(gap, error, sway, size, path(size, own).ravel(), e) for own, e in zip(z, noise, strict=True)]
    )
    prior, root = covariance(size, YEARS), root_of(error, sway, size)
    gain = prior @ sway.T @ np.linalg.inv(root @ root.T)
    spread = np.sqrt(np.diag(prior - gain @ sway @ prior))
    assert (np.abs(found.mean(axis=0) - gain @ gap) < 5 * spread / np.sqrt(draws)).all()
    assert np.allclose(found.std(axis=0) / spread, 1.0, atol=0.06)
    assert np.allclose(expected_shocks(gap, error, sway, size), gain @ gap)


def test_known_sizes_and_shocks_are_recovered():
    """From 150 years of three fields: sds within 4 standard errors of the asymptotic normal (2 numbers, chance
    of a false alarm below 2e-4 were it exact), and the shocks themselves with a correlation above 0.9."""
    years, truth = 150, Discrepancy(0.10, 0.06, 0.7)
    made = path(truth, normals(11, [0], range(years))[0])
    sway = np.zeros((3 * years, years * len(SERIES)))
    for row in range(3 * years):
        sway[row, (row // 3) * len(SERIES) + row % 3] = 1.0
    error = np.full(3 * years, 0.03)
    noise = normals(12, np.arange(years), range(1))[:, 0, :3].ravel()
    facts = sway @ made.ravel() + error * noise

    def cost(x):
        return 0.5 * (whitened(facts, error, sway, Discrepancy(*x)) ** 2).sum()

    found = optimize.minimize(cost, [0.05, 0.05, 0.5], bounds=[(1e-4, 1), (1e-4, 1), (0, 0.99)], method="L-BFGS-B")
    assert np.abs(found.x - truth).max() < 0.12
    assert abs(found.x[0] - truth.common) < 4 * 0.10 * np.sqrt((1 + 0.7**2) / (1 - 0.7**2) / 2 / years)
    assert abs(found.x[1] - truth.field) < 4 * 0.06 * np.sqrt((1 + 0.7**2) / (1 - 0.7**2) / 4 / years)
    again = expected_shocks(facts, error, sway, Discrepancy(*found.x)).reshape(years, -1)[:, :3]
    assert np.corrcoef(again.ravel(), made[:, :3].ravel())[0, 1] > 0.9


def test_the_future_runs_on_from_the_last_shock_and_is_the_same_for_every_horizon():
    size, observed = Discrepancy(0.08, 0.05, 0.6), np.full((12, len(SERIES)), 0.1)
    long = continued(size, observed, 2010, 2035, seed=5)
    assert len(long) == 26
    assert np.array_equal(long[:12], observed)
    assert np.array_equal(continued(size, observed, 2010, 2025, seed=5), long[:16])
    assert np.array_equal(continued(size, observed, 2010, 2015, seed=5), observed[:6])
    assert not np.array_equal(continued(size, observed, 2010, 2035, seed=6)[12:], long[12:])


def test_years_after_the_last_fact_are_an_autoregression():
    """2,000 members, one and many years ahead: mean phi^h of the last shock and the stationary variance (1 - phi^2h),
    within 5 standard errors of a mean and 5 of a variance (8 of each: chance of a false alarm below 2e-5)."""
    size, members = Discrepancy(0.08, 0.05, 0.6), 2000
    last = np.array([[0.2, 0.1, -0.1, 0.3]])
    ahead = np.array([continued(size, last, 2021, 2041, seed)[1:] for seed in range(members)])
    sd = np.sqrt(np.diag(size.within_a_year()))
    for h in (1, 20):
        spread = sd * np.sqrt(1 - size.memory ** (2 * h))
        off = ahead[:, h - 1].mean(axis=0) - size.memory**h * last[0]
        assert (np.abs(off) < 5 * spread / np.sqrt(members)).all()
        assert np.allclose(ahead[:, h - 1].var(axis=0) / spread**2, 1.0, atol=5 * np.sqrt(2 / members))
