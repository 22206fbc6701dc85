"""A small run comes to the numbers that were frozen; see reference.py for how and when they are frozen anew."""

import json

import pytest
from reference import FROZEN, reference


def test_the_reference_run_comes_to_its_frozen_numbers():
    """To one in a million: decisions are the same to the bit everywhere; sums may be taken in any order."""
    assert reference() == pytest.approx(json.loads(FROZEN.read_text(encoding="utf-8")), rel=1e-6, abs=1e-6)
