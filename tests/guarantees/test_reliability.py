"""What docs/reliability.md promises, tried a few times each; `make reliability` tries it often.

No false alarms: every trial must come out right, and the moments, bits and sizes follow from a fixed seed (how far a
run has come at a moment does not, so a failure here names what happened).
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

import reliability

pytestmark = [
    pytest.mark.one_python,
    pytest.mark.skipif(sys.platform == "win32", reason="forks and signals are of Unix"),
]
FIGURES = Path(reliability.__file__).with_name("reliability.json")
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


@pytest.fixture(scope="module")
def commands():
    with reliability.workplace() as found:
        yield found


@pytest.mark.parametrize(
    ("trial", "times"),
    [
        ("kills", 2), ("interrupts", 1), ("double_interrupts", 1), ("terminations", 1), ("full_disks", 2),
        ("read_only", 3), ("two_at_once", 1), ("flips", 60),
    ],
)  # fmt: skip
def test_nothing_is_lost_and_nothing_is_silent(commands, trial, times):
    tally = reliability.TRIALS[trial][0](commands, times, random.Random(f"test {trial}"))
    assert tally.lost == 0, tally.notes
    assert tally.tried == times


def test_the_page_says_what_was_measured():
    rows = json.loads(FIGURES.read_text())["trials"]
    assert {row["trial"] for row in rows} == set(reliability.TRIALS)
    page = PAGE.read_text()
    for row in rows:
        assert row["lost"] == 0, row
        assert f"| {row['what']} | {row['tried']} | {row['reached']} | {row['lost']} |" in page, row["what"]
