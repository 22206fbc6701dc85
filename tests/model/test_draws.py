"""Draws have addresses: the published generator, the same numbers everywhere, and no pattern between neighbours.

Every statistical test has fixed addresses, so it passes always or never; the false-alarm rate it states is the
chance that an ideal generator would have failed it when it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bdsim.model import draws
from bdsim.model.draws import Purpose
from bdsim.model.engine.compiling import compiled
from bdsim.model.engine.values import get, one, put, set_one
from bdsim.model.machine_code import SINGLE_WIDTH
from bdsim.model.people import identity

PUBLISHED = [  # SplitMix64, seed 1234567
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]
words = st.integers(0, 2**64 - 1)
PEOPLE = identity(0, 0, 2, 2010, np.arange(100_000, dtype=np.uint64)).astype(np.uint64)


@pytest.fixture(scope="module")
def machine() -> dict[str, Any]:
    """The functions as the engine compiles them."""
    return {name: compiled(getattr(draws, name)) for name in ("mix", "output", "short_output", "unit")}


def short_uniform(seed: int, researcher: Any, year: int, purpose: int, alternative: int = 0) -> Any:
    """As draws.uniform, in single precision: the engine gives it the upper half of a key."""
    key = draws.key_of(seed, year, purpose, alternative) >> 32
    return draws.short_unit(draws.short_output(key, researcher))


UNIFORM = {"double": draws.uniform, "single": short_uniform}
Uniform = Callable[..., Any]


@pytest.fixture(params=UNIFORM)
def uniform(request: pytest.FixtureRequest) -> Uniform:
    return UNIFORM[request.param]


def test_the_published_vectors_come_out_of_python_integers() -> None:
    assert [draws.output(1234567, i) for i in range(5)] == PUBLISHED


def test_the_published_vectors_come_out_of_numpy_arrays() -> None:
    found = draws.output(1234567, np.arange(5, dtype=np.uint64))
    assert found.dtype == np.uint64
    assert found.tolist() == PUBLISHED


def test_the_published_vectors_come_out_of_compiled_code(machine: dict[str, Any]) -> None:
    assert [int(machine["output"](np.uint64(1234567), np.uint64(i))) for i in range(5)] == PUBLISHED


@given(key=words, i=words)
def test_python_numpy_and_compiled_code_agree_on_every_word(machine: dict[str, Any], key: int, i: int) -> None:
    expected = draws.output(key, i)
    assert 0 <= expected < 2**64
    assert draws.output(key, np.array([i], np.uint64)).tolist() == [expected]
    assert int(machine["output"](np.uint64(key), np.uint64(i))) == expected
    assert int(machine["mix"](np.uint64(i))) == draws.mix(i)
    bits = draws.unit(expected)
    assert draws.unit(np.array([expected], np.uint64)).tolist() == [bits]
    assert machine["unit"](np.uint64(expected)) == bits


@given(key=st.integers(0, 2**32 - 1), i=words)
def test_python_numpy_and_compiled_code_agree_on_every_short_word(machine: dict[str, Any], key: int, i: int) -> None:
    expected = draws.short_output(key, i)
    assert 0 <= expected < 2**32
    assert draws.short_output(key, np.array([i], np.uint64)).tolist() == [expected]
    assert int(machine["short_output"](np.uint64(key), np.uint64(i))) == expected


@compiled
def luck_of_each(keys: Any, identity: np.uint64, together: Any, alone: Any) -> None:
    """The engine's luck of one researcher under several keys: in lanes, and lane by lane."""
    put(together, 0, draws.unit(draws.output(get(keys, 0), identity)))
    for lane in range(together.shape[1]):
        set_one(alone, 0, lane, draws.unit(draws.output(one(keys, 0, lane), identity)))


@pytest.mark.parametrize("person", PEOPLE[::33_333].tolist())
def test_lanes_in_single_precision_have_the_short_luck_exactly(person: int) -> None:
    keys = [draws.key_of(member, 2019, Purpose.CLOCK) >> 32 for member in range(SINGLE_WIDTH)]
    together, alone = np.zeros((1, SINGLE_WIDTH), np.float32), np.zeros((1, SINGLE_WIDTH))
    luck_of_each(np.array([keys], np.uint32), np.uint64(person), together, alone)
    assert together[0].tolist() == alone[0].tolist() == [draws.short_unit(draws.short_output(k, person)) for k in keys]


@given(bits=words)
def test_a_unit_number_lies_strictly_between_0_and_1(bits: int) -> None:
    assert 0.0 < draws.unit(bits) < 1.0
    assert 0.0 < draws.short_unit(bits >> 32) < 1.0


@pytest.mark.parametrize("bits", [0, 1, 2**12 - 1, 2**12, 2**63, 2**64 - 2**12, 2**64 - 1])
def test_a_unit_number_stays_inside_at_the_extremes_in_all_three_forms(machine: dict[str, Any], bits: int) -> None:
    value = draws.unit(bits)
    assert 0.0 < value < 1.0
    assert draws.unit(np.array([bits], np.uint64))[0] == value
    assert machine["unit"](np.uint64(bits)) == value


def test_the_unit_numbers_are_symmetric_around_one_half() -> None:
    assert draws.unit(0) == 2.0**-53
    assert draws.unit(2**64 - 1) == 1.0 - 2.0**-53


def test_one_address_always_has_one_number_whether_asked_alone_or_in_company() -> None:
    together = draws.uniform(7, PEOPLE[:50], 2019, Purpose.CLOCK, 1)
    alone = [draws.uniform(7, int(person), 2019, Purpose.CLOCK, 1) for person in PEOPLE[:50]]
    assert together.tolist() == alone


def test_an_array_of_people_draws_the_same_in_any_order() -> None:
    forward = draws.uniform(7, PEOPLE, 2019, Purpose.CLOCK)
    backward = draws.uniform(7, PEOPLE[::-1].copy(), 2019, Purpose.CLOCK)
    np.testing.assert_array_equal(forward, backward[::-1])


def test_no_two_addresses_of_a_run_share_a_key() -> None:
    """Years, purposes and alternatives of a whole run, two seeds: false alarm below 1e-9 (birthdays among
    1e5 words of 64 bits)."""
    keys = [
        draws.key_of(seed, year, purpose, alternative)
        for seed in (0, 1)
        for year in (0, *range(2000, 2101))
        for purpose in range(10)
        for alternative in range(24)
    ]
    assert len(set(keys)) == len(keys)


def test_no_two_of_a_hundred_thousand_people_draw_the_same_number() -> None:
    """False alarm below 2e-6: birthdays among 1e5 numbers of 52 bits."""
    assert len(np.unique(draws.uniform(0, PEOPLE, 2019, Purpose.CLOCK))) == len(PEOPLE)


def test_purposes_are_never_reused() -> None:
    numbers = [value for name, value in vars(Purpose).items() if name.isupper()]
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < 256 for number in numbers)  # key_of gives a purpose eight bits


NEIGHBOURS = {
    "the next researcher": (PEOPLE + np.uint64(1), (0, 2019, Purpose.CLOCK, 0)),
    "the same ordinal a year later": (PEOPLE + np.uint64(1 << 32), (0, 2019, Purpose.CLOCK, 0)),
    "the same ordinal of another field": (PEOPLE - np.uint64(4096 << 32), (0, 2019, Purpose.CLOCK, 0)),
    "the next seed": (PEOPLE, (1, 2019, Purpose.CLOCK, 0)),
    "the next year": (PEOPLE, (0, 2020, Purpose.CLOCK, 0)),
    "the next purpose": (PEOPLE, (0, 2019, Purpose.CLOCK + 1, 0)),
    "the other clock": (PEOPLE, (0, 2019, Purpose.CLOCK, 1)),
    "a far seed": (PEOPLE, (2**63 - 1, 2019, Purpose.CLOCK, 0)),
}


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_neighbouring_addresses_give_different_and_uncorrelated_numbers(neighbour: str, uniform: Uniform) -> None:
    """|r| < 4.9 / sqrt(n): false alarm 1e-6 for each neighbour."""
    people, (seed, year, purpose, alternative) = NEIGHBOURS[neighbour]
    here = uniform(0, PEOPLE, 2019, Purpose.CLOCK, 0)
    there = uniform(seed, people, year, purpose, alternative)
    n = len(PEOPLE)
    assert np.count_nonzero(here == there) <= 3  # of 23 bits, more than 3 in 1e5 have a chance below 1e-9
    assert abs(np.corrcoef(here, there)[0, 1]) < 4.9 / np.sqrt(n)
    # a pattern in the small numbers, which decide who leaves, would not show in r
    both_small = int(np.count_nonzero((here < 0.02) & (there < 0.02)))
    assert stats.binomtest(both_small, n, 0.02 * 0.02).pvalue > 1e-6


def test_one_researchers_years_are_uncorrelated(uniform: Uniform) -> None:
    """Lag-1 correlation over 30 years of 3,000 people: |r| < 4.9 / sqrt(n), false alarm 1e-6."""
    life = np.stack([uniform(3, PEOPLE[:3000], year, Purpose.CLOCK) for year in range(2000, 2030)])
    r = np.corrcoef(life[:-1].ravel(), life[1:].ravel())[0, 1]
    assert abs(r) < 4.9 / np.sqrt(life[1:].size)


@pytest.mark.parametrize("seed", [0, 1, 2024, 2**63 - 1])
@pytest.mark.parametrize("purpose", [Purpose.PROMINENCE, Purpose.CLOCK])
def test_numbers_are_uniform_over_people(seed: int, purpose: int, uniform: Uniform) -> None:
    """Kolmogorov-Smirnov on 100,000 people: false alarm 1e-6 for each case."""
    assert stats.kstest(uniform(seed, PEOPLE, 2019, purpose), "uniform").pvalue > 1e-6


def test_numbers_are_uniform_over_years_and_seeds_for_one_researcher(uniform: Uniform) -> None:
    """Kolmogorov-Smirnov on 20,000 keys: false alarm 1e-6."""
    luck = [uniform(seed, int(PEOPLE[0]), year, Purpose.CLOCK) for seed in range(200) for year in range(2000, 2100)]
    assert stats.kstest(luck, "uniform").pvalue > 1e-6


def test_small_numbers_are_as_frequent_as_they_should_be(uniform: Uniform) -> None:
    """Share below 1 in 100, 1,000 and 10,000 of a million draws: binomial, false alarm 1e-6 each."""
    luck = np.concatenate([uniform(0, PEOPLE, year, Purpose.CLOCK) for year in range(2010, 2020)])
    for share in (1e-2, 1e-3, 1e-4):
        assert stats.binomtest(int(np.count_nonzero(luck < share)), len(luck), share).pvalue > 1e-6


def test_a_member_has_the_same_seed_whatever_the_size_of_the_ensemble() -> None:
    small, large = ([draws.member_seed(5, m) for m in range(size)] for size in (4, 64))
    assert large[:4] == small
    assert len(set(large)) == 64
    assert all(0 <= seed < 2**64 for seed in large)
