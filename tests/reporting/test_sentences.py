"""Numbers as text: nothing that rounds to nothing carries a sign, and no range has an end that nobody published."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdsim.reporting.sentences import bounds, percent, signed

pytestmark = pytest.mark.one_python


@given(st.floats(-1e7, 1e7))
def test_a_difference_reads_back_as_the_nearest_number_and_has_a_sign_where_it_is_one(number):
    text = signed(number)
    assert abs(float(text.replace(",", "")) - number) <= 0.5
    assert (text == "0") == (float(text.replace(",", "")) == 0.0)
    assert text == "0" or text[0] in "+-"


@given(st.floats(-10.0, 10.0))
def test_a_share_reads_back_and_is_never_minus_nothing(share):
    text = percent(share)
    assert float(text.rstrip("%")) / 100.0 == pytest.approx(share, abs=0.005 + 1e-12)
    assert text not in ("-0%", "+0%")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(180.0, 330.0, "180 to 330"), (None, 2.4, "up to 2.4"), (math.nan, 2.4, "up to 2.4"), (25.0, None, "from 25"),
     (25.0, math.nan, "from 25"), (None, None, ""), (math.nan, math.nan, "")],
)  # fmt: skip
def test_a_published_range_says_which_ends_it_has(low, high, said):
    assert bounds(low, high) == said
