"""People have identities that no scenario can shift, and colleagues chosen by identity.

Every statistical test has fixed seeds, so it passes always or never; the false-alarm rate it states is the
chance that a correct program would have failed it when it was written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bdsim.model.categories import FIELDS, FIRST_ENTRY, GROUPS, ORIGIN_OF_GROUP
from bdsim.model.people import (
    COHORT_STEPS,
    COLLEAGUES,
    REWIRED_WITHIN,
    SETTLED_AGENTS_PER_DOCTORATE,
    Population,
    build_population,
    identity,
)
from bdsim.study.evidence import load_evidence
from bdsim.study.history import rebuild_history
from bdsim.study.layout import Study

SHARES = np.array([0.45, 0.25, 0.30])
REWIRED = 0.1
HORIZON = 2035
PER_DOCTORATE = np.array([SETTLED_AGENTS_PER_DOCTORATE if route == "settled" else 1.0 for _, route in GROUPS])


@pytest.fixture(scope="module")
def inflows(study: Study) -> dict[int, Any]:
    """Doctorates by entry year and origin, by horizon, shape (cohorts, 3)."""
    evidence = load_evidence(study)
    return {h: rebuild_history(evidence, h, 0.03).timeline.inflow() for h in (HORIZON, 2050)}


@pytest.fixture(scope="module")
def inflow(inflows: dict[int, Any]) -> Any:
    return inflows[HORIZON]


def build(inflow: Any, reference: Any = None, k: int = 50, seed: int = 0, rewired: float = REWIRED) -> Population:
    return build_population(inflow, inflow if reference is None else reference, SHARES, rewired, k, seed)


@pytest.fixture(scope="module")
def fifty(inflow: Any) -> Population:
    return build(inflow, k=50)


@pytest.fixture(scope="module")
def ten(inflow: Any) -> Population:
    return build(inflow, k=10)


@pytest.fixture(params=[10, 50])
def any_scale(request: pytest.FixtureRequest, ten: Population, fifty: Population) -> Population:
    return ten if request.param == 10 else fifty


def columns(population: Population) -> dict[str, Any]:
    return population.people._asdict() | {"prominence": population.prominence, "ordinal": population.ordinal}


def rows_of(population: Population, people: Any) -> Any:
    """Where these identities stand in the population's columns."""
    order = np.argsort(population.people.identity)
    found = order[np.searchsorted(population.people.identity, people, sorter=order)]
    np.testing.assert_array_equal(population.people.identity[found], people)
    return found


NOBODY = np.uint64(2**64 - 1)


def colleagues_by_identity(population: Population, people: Any) -> Any:
    """Identities of the colleagues of these people, shape (people, COLLEAGUES); NOBODY where there is none."""
    known = np.append(population.people.identity, NOBODY)
    return known[population.people.colleagues[rows_of(population, people)]]


def entry_of(people: Any) -> Any:
    return (people >> np.uint64(32)).astype(np.int64) % 4096


# --- identities --------------------------------------------------------------------------------------------


def test_the_same_seed_makes_the_same_people_to_the_last_bit(inflow: Any, fifty: Population) -> None:
    again = columns(build(inflow))
    for name, column in columns(fifty).items():
        assert again[name].dtype == column.dtype
        np.testing.assert_array_equal(again[name], column, err_msg=name)


def test_another_seed_makes_other_people(inflow: Any, fifty: Population) -> None:
    other = build(inflow, seed=1)
    shared = np.intersect1d(fifty.people.identity, other.people.identity)
    assert len(shared) > 0.99 * len(fifty)  # the same names...
    here, there = rows_of(fifty, shared), rows_of(other, shared)
    for name in ("ties", "prominence"):  # ...with other lives
        assert not np.any(columns(fifty)[name][here] == columns(other)[name][there])
    assert (fifty.entrants != other.entrants).any()


def test_an_identity_belongs_to_one_person(any_scale: Population) -> None:
    assert len(np.unique(any_scale.people.identity)) == len(any_scale)


def test_an_identity_is_origin_route_field_entry_year_and_ordinal(any_scale: Population) -> None:
    p = any_scale.people
    settled = (p.group == 1).astype(np.int64)
    made = identity(
        ORIGIN_OF_GROUP[p.group], settled, p.field.astype(np.int64), p.entry.astype(np.int64), any_scale.ordinal
    )
    np.testing.assert_array_equal(p.identity, made.astype(np.uint64))
    np.testing.assert_array_equal(entry_of(p.identity), p.entry)


def test_identities_of_different_people_differ_over_the_whole_range_of_each_part() -> None:
    parts = [
        (origin, route, field, entry, ordinal)
        for origin in range(3)
        for route in range(2)
        for field in range(3)
        for entry in (1965, 2000, 2100)
        for ordinal in (0, 1, 2**31)
    ]
    made = [identity(*part) for part in parts]
    assert len(set(made)) == len(parts)
    assert all(0 <= person < 2**64 for person in made)


def test_ordinals_of_a_cell_count_from_0_without_gaps(fifty: Population) -> None:
    p = fifty.people
    cells: dict[tuple[int, int, int], list[int]] = {}
    for group, field, entry, ordinal in zip(p.group, p.field, p.entry, fifty.ordinal, strict=True):
        cells.setdefault((int(group), int(field), int(entry)), []).append(int(ordinal))
    for ordinals in cells.values():
        assert sorted(ordinals) == list(range(len(ordinals)))


# --- how many ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [10, 50])
def test_the_number_of_researchers_is_unbiased(inflow: Any, k: int) -> None:
    """Total over 20 seeds against the inflow. Every cell is rounded by its own draw, p (1 - p) <= 1/4 agents, so
    the total lies within 4 standard deviations but for a false alarm of 6e-5 a scale."""
    seeds = 20
    expected = (inflow[:, ORIGIN_OF_GROUP] * PER_DOCTORATE).sum() / k
    totals = [len(build(inflow, k=k, seed=seed)) for seed in range(seeds)]
    cells = inflow.shape[0] * len(GROUPS) * len(SHARES)
    assert abs(np.mean(totals) - expected) < 4 * np.sqrt(cells / 4 / seeds)


@pytest.mark.parametrize("k", [10, 50])
def test_every_cell_has_its_number_rounded_up_or_down(inflow: Any, k: int) -> None:
    exact = (inflow[:, ORIGIN_OF_GROUP] * PER_DOCTORATE)[:, :, None] * SHARES / k
    counts = build(inflow, k=k).entrants
    assert counts.shape == exact.shape
    assert np.all(np.abs(counts - exact) < 1.0)


@pytest.mark.parametrize("k", [10, 50])
def test_a_cell_is_rounded_up_as_often_as_its_remainder_says(inflow: Any, k: int) -> None:
    """All cells of 20 seeds, standardised: the sum of up-roundings less remainders is within 4 standard
    deviations in every tenth of the remainder; false alarm 6e-4 a scale."""
    exact = (inflow[:, ORIGIN_OF_GROUP] * PER_DOCTORATE)[:, :, None] * SHARES / k
    remainder = exact - np.floor(exact)
    up = sum(build(inflow, k=k, seed=seed).entrants - np.floor(exact) for seed in range(20))
    for tenth in range(10):
        inside = np.floor(remainder * 10) == tenth
        p = remainder[inside]
        spread = np.sqrt(20 * np.sum(p * (1 - p)))
        assert abs(np.sum(up[inside]) - 20 * np.sum(p)) <= 4 * spread + 1e-9


def test_two_settled_agents_enter_for_each_doctorate_from_china(ten: Population) -> None:
    """Within the rounding of the cells, 4 standard deviations: false alarm 6e-5."""
    by_group = ten.entrants.sum(axis=(0, 2))
    cells = len(ten.entrants) * len(FIELDS)
    assert abs(by_group[1] - 2 * by_group[0]) < 4 * np.sqrt(cells / 4 * (1 + 4))


def test_entrants_counts_those_who_enter_and_no_one_else(fifty: Population) -> None:
    assert fifty.people.enters.all()
    assert fifty.entrants.sum() == len(fifty)


# --- attributes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ties_are_beta_2_3(inflow: Any, seed: int) -> None:
    """Kolmogorov-Smirnov: false alarm 1e-6 a seed."""
    ties = build(inflow, seed=seed).people.ties
    assert ties.min() > 0.0 and ties.max() < 1.0
    assert stats.kstest(ties, stats.beta(2, 3).cdf).pvalue > 1e-6


def test_prominence_is_a_uniform_rank_and_independent_of_ties(ten: Population) -> None:
    """Kolmogorov-Smirnov and correlation: false alarm 1e-6 each."""
    assert stats.kstest(ten.prominence, "uniform").pvalue > 1e-6
    r = np.corrcoef(ten.prominence, ten.people.ties)[0, 1]
    assert abs(r) < 4.9 / np.sqrt(len(ten))


def test_offers_appeal_to_the_prominent_of_chinese_descent_and_nobody_else(fifty: Population) -> None:
    china = ORIGIN_OF_GROUP[fifty.people.group] == 0
    np.testing.assert_allclose(fifty.people.appeal[china], fifty.prominence[china] ** 4, rtol=1e-14)
    assert not fifty.people.appeal[~china].any()


# --- the order of the rows ---------------------------------------------------------------------------------


def test_rows_are_ordered_by_field_and_within_a_field_by_entry_year(any_scale: Population) -> None:
    p = any_scale.people
    key = p.field.astype(np.int64) * 10_000 + p.entry
    assert np.all(np.diff(key) >= 0)


def test_starts_say_where_each_cohort_of_a_field_begins_and_ends(any_scale: Population) -> None:
    p, n = any_scale.people, len(any_scale)
    assert p.starts.shape == (len(FIELDS), HORIZON - FIRST_ENTRY + 2)
    assert p.starts[0, 0] == 0 and p.starts[-1, -1] == n
    for field in range(len(FIELDS)):
        for cohort in range(HORIZON - FIRST_ENTRY + 1):
            rows = slice(p.starts[field, cohort], p.starts[field, cohort + 1])
            assert np.all(p.field[rows] == field)
            assert np.all(p.entry[rows] == FIRST_ENTRY + cohort)
    assert np.all(p.starts[1:, 0] == p.starts[:-1, -1])  # nobody between the fields


def test_starts_hold_with_people_beyond_the_reference_and_absent_ones(inflow: Any) -> None:
    changed = inflow.copy()
    changed[2026 - FIRST_ENTRY :, 0] *= 1.5
    changed[2026 - FIRST_ENTRY :, 1] *= 0.5
    p = build(changed, inflow).people
    sizes = np.diff(p.starts, axis=1)
    for field in range(len(FIELDS)):
        counted = np.bincount(p.entry[p.field == field] - FIRST_ENTRY, minlength=sizes.shape[1])
        np.testing.assert_array_equal(sizes[field], counted)


# --- colleagues --------------------------------------------------------------------------------------------


def test_a_colleague_is_another_person_of_the_same_field_or_nobody(any_scale: Population) -> None:
    p, n = any_scale.people, len(any_scale)
    assert p.colleagues.shape == (n, COLLEAGUES)
    assert p.colleagues.max() <= n
    someone = p.colleagues < n
    assert not np.any(p.colleagues == np.arange(n)[:, None])
    row, link = np.nonzero(someone)
    assert np.all(p.field[p.colleagues[row, link]] == p.field[row])


def test_people_have_about_eight_colleagues(any_scale: Population) -> None:
    """Fewer only at the first and last cohorts, which miss those who entered before or will enter after."""
    p, n = any_scale.people, len(any_scale)
    number = np.count_nonzero(p.colleagues < n, axis=1)
    assert 7.5 < number.mean() <= 8.0
    inner = (p.entry >= FIRST_ENTRY + REWIRED_WITHIN) & (p.entry <= HORIZON - REWIRED_WITHIN)
    # a rewired link finds oneself once in 31 rings, which leaves nobody
    assert number[inner].mean() > 7.999
    assert number.min() >= 1


def test_colleagues_are_hardly_ever_the_same_person_twice(any_scale: Population) -> None:
    p, n = any_scale.people, len(any_scale)
    ordered = np.sort(p.colleagues, axis=1)
    twice = np.count_nonzero((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] < n))
    assert twice < 0.001 * p.colleagues.size


def test_without_rewiring_colleagues_are_of_ones_own_cohort_and_3_and_8_years_away(inflow: Any) -> None:
    population = build(inflow, rewired=0.0)
    p, n = population.people, len(population)
    for link, years in enumerate(COHORT_STEPS):
        someone = p.colleagues[:, link] < n
        assert np.all(p.entry[p.colleagues[someone, link]] - p.entry[someone] == years)
        assert someone.mean() > 0.7


def test_colleagues_of_ones_own_cohort_are_mutual_without_rewiring(inflow: Any) -> None:
    population = build(inflow, rewired=0.0)
    links = population.people.colleagues
    for back, forth in ((0, 3), (1, 2)):  # two places to the left and right, one place
        someone = np.flatnonzero(links[:, back] < len(population))
        np.testing.assert_array_equal(links[links[someone, back], forth], someone)


def test_about_a_tenth_of_the_links_is_rewired(inflow: Any, ten: Population) -> None:
    """Share of links that differ from those without rewiring, among people whose every link could exist:
    binomial within 4 standard deviations of 0.1 (a rewired link falls on the old colleague about once in ten
    thousand), false alarm 6e-5."""
    near = build(inflow, k=10, rewired=0.0).people.colleagues
    p = ten.people
    inner = (p.entry >= FIRST_ENTRY + REWIRED_WITHIN) & (p.entry <= HORIZON - REWIRED_WITHIN)
    differ = (near != p.colleagues)[inner]
    assert abs(differ.mean() - REWIRED) < 4 * np.sqrt(REWIRED * (1 - REWIRED) / differ.size) + 1e-4


def test_rewired_colleagues_entered_within_15_years_and_anywhere_in_that_range(inflow: Any) -> None:
    """Chi-square of the years between, 31 values: false alarm 1e-6."""
    population = build(inflow, rewired=1.0)
    p, n = population.people, len(population)
    inner = (p.entry >= FIRST_ENTRY + REWIRED_WITHIN) & (p.entry <= HORIZON - REWIRED_WITHIN)
    links = p.colleagues[inner]
    someone = links < n
    assert someone.mean() > 0.999  # one in 31 of a ring of a hundred finds oneself, who is no colleague
    apart = (p.entry[np.where(someone, links, 0)] - p.entry[inner][:, None])[someone]
    assert apart.min() == -REWIRED_WITHIN and apart.max() == REWIRED_WITHIN
    assert stats.chisquare(np.bincount(apart + REWIRED_WITHIN)).pvalue > 1e-6


# --- what a scenario cannot shift --------------------------------------------------------------------------

ATTRIBUTES = ("identity", "group", "field", "entry", "ties", "appeal", "prominence", "ordinal")


def assert_same_lives(before: Population, after: Population, people: Any) -> None:
    """These people have the same attributes and the same colleagues, by identity, in both populations."""
    here, there = rows_of(before, people), rows_of(after, people)
    one, two = columns(before), columns(after)
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(one[name][here], two[name][there], err_msg=name)
    np.testing.assert_array_equal(colleagues_by_identity(before, people), colleagues_by_identity(after, people))


@pytest.mark.parametrize("k", [10, 50])
@pytest.mark.parametrize("origin", [0, 1, 2])
@pytest.mark.parametrize("factor", [1.001, 1.5, 4.0])
def test_more_entrants_of_one_origin_and_year_change_nobody_who_was_there(
    inflow: Any, k: int, origin: int, factor: float
) -> None:
    more = inflow.copy()
    more[2027 - FIRST_ENTRY, origin] *= factor
    before, after = build(inflow, k=k), build(more, inflow, k=k)
    assert len(after) >= len(before)
    assert_same_lives(before, after, before.people.identity)
    assert after.people.enters.all()
    new = np.setdiff1d(after.people.identity, before.people.identity)
    assert np.all(entry_of(new) == 2027)
    if factor > 1.1:
        assert len(new) > 0


def test_people_beyond_the_reference_hear_colleagues_and_are_heard_by_nobody(inflow: Any, fifty: Population) -> None:
    more = inflow.copy()
    more[2010 - FIRST_ENTRY, 0] *= 2
    after = build(more, inflow)
    new = np.setdiff1d(after.people.identity, fifty.people.identity)
    heard = colleagues_by_identity(after, after.people.identity)
    assert not np.isin(heard, new).any()
    theirs = colleagues_by_identity(after, new)
    assert np.count_nonzero(theirs != NOBODY) > 7.9 * len(new)


@pytest.mark.parametrize("k", [10, 50])
@pytest.mark.parametrize("factor", [0.0, 0.667, 0.999])
def test_fewer_entrants_change_nobody_who_is_still_there(inflow: Any, k: int, factor: float) -> None:
    fewer = inflow.copy()
    fewer[2027 - FIRST_ENTRY, 0] *= factor
    before, after = build(inflow, k=k), build(fewer, inflow, k=k)
    np.testing.assert_array_equal(after.people.identity, before.people.identity)  # the absent keep their rows
    assert_same_lives(before, after, before.people.identity)
    absent = ~after.people.enters
    assert np.all(after.people.entry[absent] == 2027)
    assert np.all(ORIGIN_OF_GROUP[after.people.group[absent]] == 0)
    if factor == 0.0:
        gone = (before.people.entry == 2027) & (ORIGIN_OF_GROUP[before.people.group] == 0)
        np.testing.assert_array_equal(absent, gone)


def test_those_who_stay_of_a_smaller_cohort_are_the_first_by_ordinal(inflow: Any) -> None:
    fewer = inflow.copy()
    fewer[2027 - FIRST_ENTRY, 0] *= 0.5
    after = build(fewer, inflow)
    exact = (fewer[:, ORIGIN_OF_GROUP] * PER_DOCTORATE)[:, :, None] * SHARES / 50
    p = after.people
    entering = after.entrants
    assert np.all(np.abs(entering - exact) < 1.0)
    np.testing.assert_array_equal(
        p.enters, after.ordinal < entering[p.entry.astype(int) - FIRST_ENTRY, p.group, p.field]
    )


def test_one_origins_inflow_re_rolls_no_other_count(inflow: Any, fifty: Population) -> None:
    more = inflow.copy()
    more[2027 - FIRST_ENTRY :, 1] *= 3
    changed = build(more, inflow).entrants != fifty.entrants
    assert set(np.nonzero(changed)[0]) <= set(range(2027 - FIRST_ENTRY, len(inflow)))
    assert set(np.nonzero(changed)[1]) == {2}


@pytest.mark.parametrize("k", [10, 50])
def test_a_longer_horizon_changes_nobody_and_no_colleague_who_was_there(inflows: dict[int, Any], k: int) -> None:
    """A colleague who enters after the shorter horizon is nobody there, and that is the only difference."""
    short, long = build(inflows[HORIZON], k=k), build(inflows[2050], k=k)
    people = short.people.identity
    here, there = rows_of(short, people), rows_of(long, people)
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(columns(short)[name][here], columns(long)[name][there], err_msg=name)
    one, two = colleagues_by_identity(short, people), colleagues_by_identity(long, people)
    later = (two != NOBODY) & (entry_of(two) > HORIZON)
    np.testing.assert_array_equal(one, np.where(later, NOBODY, two))
    assert later.any()
    assert np.all(entry_of(np.setdiff1d(long.people.identity, people)) > HORIZON)


def test_who_somebody_is_does_not_depend_on_the_scale(ten: Population, fifty: Population) -> None:
    shared = np.intersect1d(ten.people.identity, fifty.people.identity)
    assert len(shared) == len(fifty)
    for name in ("ties", "prominence"):
        np.testing.assert_array_equal(
            columns(ten)[name][rows_of(ten, shared)], columns(fifty)[name][rows_of(fifty, shared)]
        )
