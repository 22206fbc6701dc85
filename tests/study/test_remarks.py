"""What a scenario says and may not have meant is told in one line each: overlaps, limits, early ends, no effect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bdsim.errors import ScenarioError
from bdsim.study.evidence import load_evidence
from bdsim.study.history import History, rebuild_history
from bdsim.study.layout import Study
from bdsim.study.remarks import remarks
from bdsim.study.scenario import Scenario, load_scenario

pytestmark = pytest.mark.one_python
HORIZON = 2035
HEAD = 'title = "A test"\nquestion = "Does it tell?"\n'
Write = Callable[[str], Scenario]


@pytest.fixture(scope="module")
def history(study: Study) -> History:
    return rebuild_history(load_evidence(study), HORIZON, 0.03)


@pytest.fixture
def write(tmp_path: Path, study: Study) -> Write:
    def written(text: str) -> Scenario:
        path = tmp_path / "mine.toml"
        path.write_text(HEAD + text, encoding="utf-8")
        return load_scenario(path, study)

    return written


def lever(table: str, first: int, last: int, change: str, name: str = "L") -> str:
    named = f'name = "{name}"\n' if name else ""
    return f'[[lever]]\n{named}table = "{table}"\nyears = [{first}, {last}]\n{change}\nwhy = "test"\n'


def policy(start: str, until: str, scrutiny: float, name: str = "P") -> str:
    return f'[[policy]]\nname = "{name}"\nfrom = {start}\nuntil = {until}\nscrutiny = {scrutiny}\nwhy = "test"\n'


TOLD = {
    "overlapping levers, the second multiplies": (
        lever("offers", 2026, 2035, "multiply = 2", "A") + lever("offers", 2030, 2035, "multiply = 2", "B"),
        ["lever 'A' and lever 'B' both change offers in 2030-2035: they are applied in this order"],
    ),
    "overlapping levers, the second sets": (
        lever("offers", 2026, 2035, "multiply = 2", "A") + lever("offers", 2035, 2035, "set = 9", "B"),
        ["lever 'A' and lever 'B' both change offers in 2035: the second replaces the first"],
    ),
    "overlapping policies": (
        policy("2026-01-01", "2028-01-01", 8, "A") + policy("2027-01-01", "2029-01-01", 8, "B"),
        [
            "'A' and 'B' overlap from 2027-01-01 to 2028-01-01: they add up to scrutiny 16 of china",
            "scrutiny_china reaches 16 in 2027, more than 10; is that meant?",
        ],
    ),
    "more taken than there is": (
        lever("inflow_china", 2030, 2035, "add = -6000"),
        ["lever 'L' would take inflow_china to -19 in 2030-2035; it is held at 0"],
    ),
    "less than no scrutiny": (
        lever("scrutiny_china", 2030, 2035, "add = -5"),
        [
            "lever 'L' would take scrutiny_china to -5 in 2030-2035; it is held at 0",
            "lever 'L' leaves scrutiny_china as it is: it changes nothing",
        ],
    ),
    "75 for 0.75": (
        lever("us_funding", 2026, 2035, "multiply = 75"),
        ["us_funding reaches 75 in 2026-2035, more than 10; is that meant?"],
    ),
    "nothing multiplied": (
        lever("offers", 2026, 2035, "multiply = 1"), ["lever 'L' leaves offers as it is: it changes nothing"],
    ),
    "nothing added": (
        lever("offers", 2026, 2035, "add = 0", ""), ["lever 'offers' leaves offers as it is: it changes nothing"],
    ),
    "a policy without scrutiny": (
        policy("2026-01-01", "2028-01-01", 0), ["policy 'P' has scrutiny 0: it changes nothing"],
    ),
    "an early end": (
        lever("us_funding", 2026, 2029, "multiply = 0.75"),
        ["lever 'L' ends in 2029: from 2030 on us_funding is as without it"],
    ),
    "a late end": (
        lever("us_funding", 2026, 2040, "multiply = 0.75"), ["lever 'L' continues until 2040; the horizon is 2035"],
    ),
    "a late policy end": (
        policy("2030-01-01", "2040-01-01", 1), ["policy 'P' continues until 2040-01-01; the horizon is 2035"],
    ),
    "all of it too late": (
        lever("us_funding", 2040, 2041, "multiply = 0.75") + policy("2050-01-01", "2051-01-01", 1),
        [
            "policy 'P' begins in 2050, after the horizon 2035: it changes nothing",
            "lever 'L' begins in 2040, after the horizon 2035: it changes nothing",
        ],
    ),
    "nothing to tell": (lever("us_funding", 2026, 2035, "multiply = 0.75"), []),
    "more taken than there is at one end of a range": (
        lever("inflow_china", 2030, 2035, 'add = { low = -7000, high = 0, why = "test" }'),
        ["lever 'L' would take inflow_china to -1,019 in 2030-2035; it is held at 0"],
    ),
    "a policy until the horizon's end": (policy("2026-01-01", "2036-01-01", 1), []),
}  # fmt: skip


@pytest.mark.parametrize("what", TOLD)
def test_it_is_told_in_one_line_each(write: Write, history: History, what: str) -> None:
    text, lines = TOLD[what]
    assert remarks(write(text).plans(history), history.timeline) == lines


@pytest.mark.parametrize(
    ("table", "value"),
    [("scrutiny_china", 500), ("scrutiny_china", -1), ("us_funding", 75), ("us_funding", 0), ("soft_power", 11),
     ("funding_ratio", 101), ("offers", -1)],
)  # fmt: skip
def test_no_lever_sets_a_table_to_what_it_cannot_be(write: Write, table: str, value: float) -> None:
    with pytest.raises(ScenarioError, match=rf"lever\[0\]: {table} cannot be {value:g}: it lies between"):
        write(lever(table, 2026, 2035, f"set = {value}"))


def test_a_lever_touches_its_own_years_alone(write: Write, history: History) -> None:
    """A value of another year that lies outside what the table may be stays as it was."""
    tables = dict(history.timeline.tables)
    tables["us_funding"] = np.where(np.arange(2000, HORIZON + 1) == 2005, 0.0, 1.0)
    made = write(lever("us_funding", 2026, 2035, "multiply = 0.5")).levers[0]
    made.apply(tables, HORIZON)
    assert tables["us_funding"][5] == 0.0
    assert tables["us_funding"][25:28].tolist() == [1.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("parent", "drop", "problem"),
    [
        (policy("2026-01-01", "2028-01-01", 1, "Same") + lever("offers", 2026, 2035, "set = 1", "Same"), '["Same"]',
         r"drop\[0\]: 'parent' has several parts named 'Same'; give them different names there"),
        (lever("offers", 2026, 2035, "set = 1", "Once"), '["Once", "Once"]', r"drop\[1\]: 'Once' is dropped twice"),
    ],
)  # fmt: skip
def test_what_is_dropped_is_one_part(tmp_path: Path, write: Write, parent: str, drop: str, problem: str) -> None:
    (tmp_path / "parent.toml").write_text(HEAD + parent, encoding="utf-8")
    with pytest.raises(ScenarioError, match=problem):
        write(f'extends = "parent"\ndrop = {drop}\n')


def test_a_date_with_a_time_is_answered_with_the_day(write: Write) -> None:
    with pytest.raises(ScenarioError) as caught:
        write(policy("2026-01-01T00:00:00Z", "2028-01-01", 1))
    assert str(caught.value).endswith(
        "policy[0].from: 2026-01-01T00:00:00+00:00 has a time: write the day alone, 2026-01-01"
    )
