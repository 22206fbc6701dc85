"""Statistics over members depend on the weighted distribution and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdsim.runs.statistics import explained, mean, quantile, ratio, variance_parts

LEVELS = (0.025, 0.05, 0.5, 0.95, 0.975)
some_members = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.floats(0.01, 1.0)), min_size=1, max_size=40
).map(lambda rows: tuple(np.array(column) for column in zip(*rows, strict=True)))  # fmt: skip


def told(values, weights, draws):
    return [float(quantile(values, weights, q, draws)) for q in LEVELS] + [float(mean(values, weights))]


@given(some_members, st.data())
def test_splitting_a_member_one_of_weight_0_and_another_order_change_nothing(members, data):
    values, weights = members
    draws = data.draw(st.sampled_from([None, 1, 2, 8, 32]))
    before = told(values, weights, draws)
    which = data.draw(st.integers(0, len(values) - 1))
    halved = weights.copy()
    halved[which] /= 2
    order = data.draw(st.permutations(range(len(values))))
    for v, w in (
        (np.append(values, values[which]), np.append(halved, halved[which])),
        (np.append(values, data.draw(st.floats(-1e9, 1e9))), np.append(weights, 0.0)),
        (values[order], weights[order]),
    ):
        assert told(v, w, draws) == pytest.approx(before, rel=1e-7, abs=1e-3)


@given(some_members, st.sampled_from([8, 32, 1000]))
def test_members_of_next_to_no_weight_do_not_move_an_interval(members, draws):
    values, weights = members
    more = np.append(values, [1e12, -1e12]), np.append(weights, [1e-9 * weights.sum()] * 2)
    for q in (0.05, 0.95):
        before = float(quantile(values, weights, q, draws))
        assert float(quantile(*more, q, draws)) == pytest.approx(before, rel=1e-6, abs=1.0)


@given(st.lists(st.floats(-1e3, 1e3), min_size=20, max_size=60))
def test_equal_members_have_the_quantiles_of_hazen(values):
    values = np.array(values)
    for q in (0.05, 0.5, 0.95):
        expected = np.quantile(values, q, method="hazen")
        assert float(quantile(values, np.ones(len(values)), q, len(values))) == pytest.approx(expected, abs=1e-9)


def test_a_quantile_never_reaches_over_to_a_member_without_weight():
    assert quantile(np.array([10.0, 20.0, 1000.0]), np.array([0.5, 0.5, 0.0]), 0.95) == 20.0
    assert quantile(np.array([1.0, 10.0, 20.0]), np.array([0.0, 0.5, 0.5]), 0.05) == 10.0
    assert quantile(np.array([0.0, 1346.0]), np.array([0.999, 0.001]), 0.95, 8) == 0.0
    assert quantile(np.array([10.0, 20.0]), np.array([1.0, 1.0]), 0.5) == pytest.approx(15.0)


def test_what_is_not_a_number_counts_for_nothing():
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    found = quantile(values, np.array([0.2, 0.7, 0.1]), 0.95)
    assert found[0] == 3.0
    assert np.isnan(found[1])


def test_a_share_is_that_of_expected_numbers():
    part, whole = np.array([90.0, 10.0, 0.0]), np.array([100.0, 100.0, 0.0])
    assert ratio(part, whole, np.array([0.25, 0.25, 0.5])) == pytest.approx(0.5)
    assert ratio(part, whole, np.array([0.9, 0.1, 0.0])) == pytest.approx(0.82)
    assert np.isnan(ratio(np.zeros(2), np.zeros(2), np.ones(2)))


def test_the_variance_of_members_is_split_into_what_was_put_in():
    """Parameters and shocks drawn apart, of variances 9 and 4 around branches 0 and 10 (25), chance of variance 2; with
    4,000 members a branch the shares lie within 0.02 (more than four standard errors; the seed is fixed)."""
    luck = np.random.default_rng(1)
    branch = np.repeat(["a", "b"], 4000)
    own, moved = luck.normal(0, 3, 8000), luck.normal(0, 2, 8000)
    unmoved = own + np.where(branch == "a", 0.0, 10.0)
    args = (unmoved + moved, np.full(8000, 2.0), unmoved, np.full(8000, 1 / 8000), branch)
    found = variance_parts(*args, fitted=True)
    assert sum(found.values()) == pytest.approx(1.0)
    for name, variance in {"parameters": 9, "shocks": 4, "chance": 2, "events": 25}.items():
        assert found[name] == pytest.approx(variance / 40, abs=0.02)
    alike = variance_parts(*args, fitted=False)
    assert alike["parameters"] == alike["shocks"] == 0.0


def test_what_is_explained_is_what_was_put_in_and_nothing_by_noise():
    """1,000 draws: 16 of 25 parts of the variance come from two of seven columns; the other five explain nothing.
    Standard errors are below 0.02, bounds four times that; the seed is fixed."""
    luck = np.random.default_rng(2)
    columns = luck.normal(size=(1000, 7))
    values = 4 * (0.6 * columns[:, 0] + 0.8 * columns[:, 1]) + luck.normal(0, 3, 1000)
    assert explained(values, columns) == pytest.approx(16 / 25, abs=0.08)
    assert explained(values, columns[:, 2:]) < 0.08
    assert explained(values[:5], columns[:5]) == 0.0
    assert explained(np.ones(1000), columns) == 0.0
