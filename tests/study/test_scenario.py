"""A scenario file becomes a Scenario, a Scenario one Plan per branch: dates, levers, inheritance, event trees."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdsim.errors import ScenarioError
from bdsim.model.categories import FIRST_ENTRY
from bdsim.model.world import TABLES, Timeline
from bdsim.study.evidence import load_evidence
from bdsim.study.history import History, rebuild_history
from bdsim.study.layout import Study
from bdsim.study.scenario import Scenario, load_scenario
from bdsim.study.scenario_file import Policy

HORIZON = 2035
SHIPPED = (  # the worlds that the model's description names
    "baseline",
    "no-initiative",
    "initiative-revival",
    "initiative-revival-2027",
    "history-to-2026",
    "revival-report-language",
    "protect-act",
    "talent-surge",
    "china-funding-plateau",
    "us-funding-cut",
    "nih-cut",
    "us-retention-package",
    "soft-power-erosion",
    "student-visa-cut",
    "outlook",
)
HEAD = 'title = "A test"\nquestion = "Does it work?"\n'
Write = Callable[..., Scenario]


@pytest.fixture(scope="module")
def history(study: Study) -> History:
    """As the facts give it, with 558 offers in every year, so that a change is easily seen."""
    found = rebuild_history(load_evidence(study), HORIZON, 0.03)
    tables = {**found.timeline.tables, "offers": np.full(HORIZON - 1999, 558.0)}
    return replace(found, timeline=replace(found.timeline, tables=tables))


@pytest.fixture
def write(tmp_path: Path, study: Study) -> Write:
    """Write a scenario into a folder of its own (it finds parents there and in the study) and load it."""

    def written(text: str, name: str = "mine") -> Scenario:
        path = tmp_path / f"{name}.toml"
        path.write_text(HEAD + text, encoding="utf-8")
        return load_scenario(path, study)

    return written


def policy(start: str, until: str, scrutiny: float = 1.0, name: str = "P", targets: str = '["china"]') -> str:
    return (
        f'[[policy]]\nname = "{name}"\nfrom = {start}\nuntil = {until}\nscrutiny = {scrutiny}\n'
        f'targets = {targets}\nwhy = "test"\n'
    )


def lever(table: str, first: int, last: int, change: str, name: str = "") -> str:
    named = f'name = "{name}"\n' if name else ""
    return f'[[lever]]\n{named}table = "{table}"\nyears = [{first}, {last}]\n{change}\nwhy = "test"\n'


def only(scenario: Scenario, history: History) -> Timeline:
    """The tables of a scenario without events."""
    (plan,) = scenario.plans(history)
    return plan.timeline


def part(start: dt.date, until: dt.date, scrutiny: float = 1.0) -> Policy:
    return Policy(name="P", start=start, until=until, scrutiny=scrutiny, why="test")


# --- policies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "until", "year", "days", "length"),
    [
        ("2018-11-01", "2022-02-23", 2017, 0, 365),
        ("2018-11-01", "2022-02-23", 2018, 61, 365),  # 30 in November, 31 in December
        ("2018-11-01", "2022-02-23", 2019, 365, 365),
        ("2018-11-01", "2022-02-23", 2020, 366, 366),
        ("2018-11-01", "2022-02-23", 2022, 53, 365),  # 31 in January, 22 in February
        ("2018-11-01", "2022-02-23", 2023, 0, 365),
        ("2020-02-01", "2020-03-01", 2020, 29, 366),  # a leap year
        ("2021-02-01", "2021-03-01", 2021, 28, 365),
        ("2100-02-01", "2100-03-01", 2100, 28, 365),  # no leap year
        ("2000-02-01", "2000-03-01", 2000, 29, 366),  # one
        ("2025-01-01", "2026-01-01", 2025, 365, 365),
        ("2025-01-01", "2026-01-01", 2026, 0, 365),
        ("2025-12-31", "2026-01-02", 2025, 1, 365),
        ("2025-12-31", "2026-01-02", 2026, 1, 365),
        ("2025-06-01", "2025-06-02", 2025, 1, 365),
    ],
)
def test_a_policy_counts_for_the_share_of_the_years_days_on_which_it_is_in_force(
    start: str, until: str, year: int, days: int, length: int
) -> None:
    made = part(dt.date.fromisoformat(start), dt.date.fromisoformat(until), 0.5)
    assert made.exposure(year) == pytest.approx(0.5 * days / length, abs=1e-15)


@given(start=st.dates(dt.date(2000, 1, 1), dt.date(2040, 1, 1)), days=st.integers(1, 4000), cut=st.floats(0, 1))
def test_a_policy_cut_in_two_counts_as_much_as_in_one_piece(start: dt.date, days: int, cut: float) -> None:
    until = start + dt.timedelta(days)
    between = start + dt.timedelta(round(days * cut))
    for year in range(start.year, until.year + 1):
        pieces = sum(part(a, b).exposure(year) for a, b in ((start, between), (between, until)) if a < b)
        assert pieces == pytest.approx(part(start, until).exposure(year), abs=1e-12)


def test_overlapping_policies_add(write: Write, history: History) -> None:
    text = policy("2025-01-01", "2027-01-01", 0.5, "A") + policy("2026-01-01", "2028-01-01", 0.75, "B")
    tables = only(write(text), history)
    assert [tables.at("scrutiny_china", year) for year in range(2024, 2029)] == [0.0, 0.5, 1.25, 0.75, 0.0]


def test_a_policy_reaches_its_targets_and_nobody_else(write: Write, history: History) -> None:
    tables = only(write(policy("2025-01-01", "2026-01-01", targets='["india", "other"]')), history)
    assert [tables.at(f"scrutiny_{o}", 2025) for o in ("china", "india", "other")] == [0.0, 1.0, 1.0]


def test_a_policy_targets_china_unless_it_says_otherwise(write: Write) -> None:
    text = '[[policy]]\nname = "P"\nfrom = 2025-01-01\nuntil = 2026-01-01\nscrutiny = 1\nwhy = "test"\n'
    assert write(text).policies[0].targets == ["china"]


def test_a_policy_that_outlasts_the_horizon_is_cut_there(write: Write, history: History) -> None:
    tables = only(write(policy("2034-01-01", "2090-01-01")), history)
    assert len(tables.tables["scrutiny_china"]) == HORIZON - 2000 + 1
    assert [tables.at("scrutiny_china", year) for year in (2033, 2034, 2035)] == [0.0, 1.0, 1.0]


def test_a_policy_beyond_the_horizon_does_nothing(write: Write, history: History) -> None:
    tables = only(write(policy("2050-01-01", "2060-01-01")), history)
    assert not tables.tables["scrutiny_china"].any()


# --- levers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("set = 100", [558, 100, 100, 100, 558]),
        ("set = [1, 2, 3]", [558, 1, 2, 3, 558]),
        ("add = 10.5", [558, 568.5, 568.5, 568.5, 558]),
        ("add = [1, 0, -8]", [558, 559, 558, 550, 558]),
        ("multiply = 2", [558, 1116, 1116, 1116, 558]),
        ("multiply = [0.5, 1, 0]", [558, 279, 558, 0, 558]),
    ],
)
def test_a_lever_sets_adds_or_multiplies_by_one_number_or_one_a_year(
    write: Write, history: History, change: str, expected: list[float]
) -> None:
    tables = only(write(lever("offers", 2026, 2028, change)), history)
    assert [tables.at("offers", year) for year in range(2025, 2030)] == pytest.approx(expected)


@pytest.mark.parametrize("table", TABLES)
def test_a_lever_changes_its_table_in_its_years_and_nothing_else(write: Write, history: History, table: str) -> None:
    changed, before = only(write(lever(table, 2026, 2028, "set = 3.25")), history), history.timeline
    for name in TABLES:
        for year in before.years(name):
            inside = name == table and 2026 <= year <= 2028
            assert changed.at(name, year) == (3.25 if inside else before.at(name, year))


def test_a_lever_leaves_history_as_it_was(write: Write, history: History) -> None:
    before = {name: table.copy() for name, table in history.timeline.tables.items()}
    only(write(lever("inflow_china", 2000, 2035, "multiply = 0") + policy("2000-01-01", "2030-01-01")), history)
    for name, table in before.items():
        np.testing.assert_array_equal(history.timeline.tables[name], table)


def test_an_inflow_lever_counts_its_years_from_the_first_entry_year(write: Write, history: History) -> None:
    tables = only(write(lever("inflow_india", 2026, 2026, "set = 7")), history)
    assert tables.tables["inflow_india"][2026 - FIRST_ENTRY] == 7.0
    assert np.count_nonzero(tables.tables["inflow_india"] == 7.0) == 1


@pytest.mark.parametrize("change", ["set = 9", "set = [9, 9, 9, 9]"])
def test_a_lever_that_outlasts_the_horizon_is_cut_there(write: Write, history: History, change: str) -> None:
    tables = only(write(lever("offers", 2034, 2037, change)), history)
    assert [tables.at("offers", year) for year in (2033, 2034, 2035)] == [558.0, 9.0, 9.0]


def test_a_lever_beyond_the_horizon_does_nothing(write: Write, history: History) -> None:
    tables = only(write(lever("offers", 2036, 2040, "set = 9")), history)
    np.testing.assert_array_equal(tables.tables["offers"], history.timeline.tables["offers"])


def test_levers_act_in_the_order_of_the_file(write: Write, history: History) -> None:
    add, double = lever("offers", 2030, 2030, "add = 2"), lever("offers", 2030, 2030, "multiply = 2")
    assert only(write(add + double), history).at("offers", 2030) == 2 * (558 + 2)
    assert only(write(double + add), history).at("offers", 2030) == 2 * 558 + 2


def test_levers_act_after_policies(write: Write, history: History) -> None:
    text = lever("scrutiny_china", 2025, 2025, "multiply = 0.5") + policy("2025-01-01", "2026-01-01")
    assert only(write(text), history).at("scrutiny_china", 2025) == 0.5


@pytest.mark.parametrize(("table", "least"), [(name, table.least) for name, table in TABLES.items()])
def test_no_lever_takes_a_table_below_its_least_value(write: Write, history: History, table: str, least: float) -> None:
    assert only(write(lever(table, 2030, 2030, "add = -1e6")), history).at(table, 2030) == least


@pytest.mark.parametrize("table", ["offers", "funding_ratio"])
def test_no_lever_yields_a_number_that_is_not_finite(write: Write, history: History, table: str) -> None:
    """Every number in the file is finite, yet their product overflows: refuse it or stay finite."""
    text = lever(table, 2030, 2030, "add = 1e6") + 60 * lever(table, 2030, 2030, "multiply = 1e6")
    try:
        with np.errstate(all="ignore"):
            tables = only(write(text), history)
    except ScenarioError:
        return
    assert np.isfinite(tables.tables[table]).all()


# --- extends -----------------------------------------------------------------------------------------------

PARENT = (
    policy("2025-01-01", "2026-01-01", 1.0, "First")
    + policy("2026-01-01", "2027-01-01", 1.0, "Second")
    + lever("offers", 2030, 2030, "set = 1", "Offers")
    + lever("offers", 2031, 2031, "set = 1")
)


def test_a_part_that_bears_an_inherited_name_takes_its_place(write: Write) -> None:
    write(PARENT, "parent")
    child = write('extends = "parent"\n' + policy("2027-01-01", "2028-01-01", 0.5, "First"))
    assert [(p.name, p.scrutiny) for p in child.policies] == [("First", 0.5), ("Second", 1.0)]
    assert len(child.levers) == 2


def test_a_part_with_a_new_name_or_none_follows_what_is_inherited(write: Write) -> None:
    write(PARENT, "parent")
    text = policy("2027-01-01", "2028-01-01", 0.5, "Third") + lever("offers", 2032, 2032, "set = 2")
    child = write('extends = "parent"\n' + text)
    assert [p.name for p in child.policies] == ["First", "Second", "Third"]
    assert [x.years[0] for x in child.levers] == [2030, 2031, 2032]


def test_drop_leaves_out_what_it_names_and_nothing_else(write: Write) -> None:
    write(PARENT, "parent")
    child = write('extends = "parent"\ndrop = ["Second", "Offers"]\n')
    assert [p.name for p in child.policies] == ["First"]
    assert [x.years[0] for x in child.levers] == [2031]


def test_a_child_inherits_events(write: Write, history: History) -> None:
    write(EVENT, "parent")
    assert [e.name for e in write('extends = "parent"\n').events] == ["Vote"]
    assert len(write('extends = "parent"\ndrop = ["Vote"]\n').plans(history)) == 1


def test_a_child_states_its_own_title_and_question(write: Write) -> None:
    child = write('extends = "baseline"\n')
    assert (child.title, child.question, child.extends, child.name) == (
        "A test",
        "Does it work?",
        "baseline",
        "mine",
    )


def test_extends_goes_one_level_only(write: Write) -> None:
    write('extends = "baseline"\n', "parent")
    with pytest.raises(ScenarioError, match="extends goes one level"):
        write('extends = "parent"\n')


def test_a_parent_is_looked_for_beside_the_file_and_then_in_the_study(write: Write) -> None:
    assert [p.name for p in write('extends = "baseline"\n').policies] == ["China Initiative"]
    write(policy("2025-01-01", "2026-01-01", 1.0, "Beside"), "baseline")
    assert [p.name for p in write('extends = "baseline"\n').policies] == ["Beside"]
    assert [p.name for p in write('extends = "baseline.toml"\n').policies] == ["Beside"]


def test_a_childs_mistake_is_placed_where_the_child_has_it(write: Write) -> None:
    """The reader looks for event[0] in the child's file, wherever it stands after inheriting."""
    write(EVENT, "parent")
    text = '[[event]]\nname = "Late"\non = 2027-01-01\ngiven = "pases"\noutcomes = [{ name = "x", chance = 1 }]\n'
    with pytest.raises(ScenarioError) as caught:
        write('extends = "parent"\n' + text)
    assert caught.value.place == "event[0].given"
    assert "did you mean 'passes'?" in str(caught.value)


# --- events ------------------------------------------------------------------------------------------------

EVENT = """
[[event]]
name = "Vote"
on = 2025-06-01
[[event.outcomes]]
name = "passes"
chance = 0.25
[[event.outcomes.policy]]
name = "The Act"
from = 2026-01-01
until = 2027-01-01
scrutiny = 1.0
why = "test"
[[event.outcomes.lever]]
table = "offers"
years = [2026, 2026]
multiply = 2
why = "test"
[[event.outcomes]]
name = "fails"
chance = 0.75
"""
COURT = """
[[event]]
name = "Court"
on = 2025-09-01
given = "passes"
outcomes = [{ name = "upheld", chance = 0.6 }, { name = "struck down", chance = 0.4 }]
"""


def test_without_events_there_is_one_branch_with_chance_1(study: Study) -> None:
    (branch,) = load_scenario("baseline", study).branches()
    assert (branch.name, branch.chance) == ("as stated", 1.0)


def test_each_outcome_brings_its_own_policies_and_levers(write: Write, history: History) -> None:
    passes, fails = write(EVENT).plans(history)
    assert passes.timeline.at("scrutiny_china", 2026) == 1.0
    assert passes.timeline.at("offers", 2026) == 2 * 558
    assert fails.timeline.at("scrutiny_china", 2026) == 0.0
    assert fails.timeline.at("offers", 2026) == 558


def test_an_outcomes_levers_follow_those_that_are_certain(write: Write, history: History) -> None:
    passes, fails = write(EVENT + lever("offers", 2026, 2026, "set = 100")).plans(history)
    assert (passes.timeline.at("offers", 2026), fails.timeline.at("offers", 2026)) == (200.0, 100.0)


def test_chances_multiply_along_a_branch_and_add_up_to_1(write: Write) -> None:
    branches = {b.name: b.chance for b in write(EVENT + COURT).branches()}
    assert branches == pytest.approx({"passes, upheld": 0.25 * 0.6, "passes, struck down": 0.25 * 0.4, "fails": 0.75})
    assert sum(branches.values()) == pytest.approx(1.0, abs=1e-12)


def test_events_that_do_not_depend_on_each_other_cross(write: Write) -> None:
    free = COURT.replace('given = "passes"\n', "")
    branches = {b.name: b.chance for b in write(EVENT + free).branches()}
    assert branches == pytest.approx(
        {
            "passes, upheld": 0.15,
            "passes, struck down": 0.1,
            "fails, upheld": 0.45,
            "fails, struck down": 0.3,
        }
    )


def test_an_outcome_with_chance_0_has_no_branch(write: Write) -> None:
    text = EVENT.replace("0.25", "0.0").replace("0.75", "1.0")
    assert [(b.name, b.chance) for b in write(text).branches()] == [("fails", 1.0)]


@given(chances=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=3))
def test_the_chances_of_every_event_tree_add_up_to_1(
    tmp_path_factory: pytest.TempPathFactory, study: Study, chances: list[list[int]]
) -> None:
    text, given_line = HEAD, ""
    for i, parts in enumerate(chances):
        outcomes = ", ".join(f'{{ name = "{i}-{j}", chance = {n / sum(parts)!r} }}' for j, n in enumerate(parts))
        text += f'[[event]]\nname = "{i}"\non = 2025-06-01\n{given_line}outcomes = [{outcomes}]\n'
        given_line = f'given = "{i}-0"\n'
    path = tmp_path_factory.mktemp("trees") / "tree.toml"
    path.write_text(text, encoding="utf-8")
    branches = load_scenario(path, study).branches()
    assert sum(b.chance for b in branches) == pytest.approx(1.0, abs=1e-9)
    assert len(branches) == 1 + sum(len(parts) - 1 for parts in chances)


# --- what ships --------------------------------------------------------------------------------------------


def test_every_world_of_the_models_description_ships_and_no_other(study: Study) -> None:
    assert study.scenario_names() == sorted(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_loads_plans_and_says_what_it_asks(study: Study, history: History, name: str) -> None:
    scenario = load_scenario(name, study)
    assert scenario.name == name
    assert scenario.question.endswith("?")
    assert name == "baseline" or scenario.extends == "baseline"
    plans = scenario.plans(history)
    assert sum(plan.branch.chance for plan in plans) == pytest.approx(1.0, abs=1e-12)
    for plan in plans:
        for table, values in plan.timeline.tables.items():
            assert np.isfinite(values).all()
            assert values.min() >= TABLES[table].least
    json.dumps(scenario.plain(), allow_nan=False)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_is_history_up_to_2022(study: Study, history: History, name: str) -> None:
    # the first never was, the others go on where it ended, and where its series do
    if name in ("no-initiative", "history-to-2026", "outlook"):
        return
    reference = only(load_scenario("baseline", study), history)
    for plan in load_scenario(name, study).plans(history):
        for table in TABLES:
            same = [plan.timeline.at(table, y) == reference.at(table, y) for y in range(2000, 2023)]
            assert all(same), table


def test_the_baselines_scrutiny_is_the_initiative_as_it_was(study: Study, history: History) -> None:
    tables = only(load_scenario("baseline", study), history)
    expected = {2018: 61 / 365, 2019: 1.0, 2020: 1.0, 2021: 1.0, 2022: 53 / 365}
    for year in range(2000, HORIZON + 1):
        assert tables.at("scrutiny_china", year) == pytest.approx(expected.get(year, 0.0), abs=1e-15)
        assert tables.at("scrutiny_india", year) == tables.at("scrutiny_other", year) == 0.0


def test_without_the_initiative_there_is_no_scrutiny_and_all_else_is_the_baseline(
    study: Study, history: History
) -> None:
    without = only(load_scenario("no-initiative", study), history)
    baseline = only(load_scenario("baseline", study), history)
    assert not without.tables["scrutiny_china"].any()
    for name in TABLES:
        if name != "scrutiny_china":
            np.testing.assert_array_equal(without.tables[name], baseline.tables[name])


def test_the_revival_lasts_from_20_january_2025_to_20_january_2029(study: Study, history: History) -> None:
    full = only(load_scenario("initiative-revival", study), history)
    half = only(load_scenario("revival-report-language", study), history)
    expected = {2024: 0.0, 2025: 346 / 365, 2026: 1.0, 2028: 1.0, 2029: 19 / 365, 2030: 0.0}
    for year, scrutiny in expected.items():
        assert full.at("scrutiny_china", year) == pytest.approx(scrutiny, abs=1e-15)
        assert half.at("scrutiny_china", year) == pytest.approx(scrutiny / 2, abs=1e-15)


def test_what_happened_after_the_initiative_counts_from_its_end_to_january_2026(study: Study, history: History) -> None:
    tables = only(load_scenario("history-to-2026", study), history)
    expected = {2021: 1.0, 2023: 0.2, 2024: 0.2, 2026: 0.3 * 11 / 365, 2027: 0.0, 2035: 0.0}
    expected[2022] = 53 / 365 + 0.2 * 312 / 365
    expected[2025] = 0.2 + 0.5 * 18 / 365 + 0.1 * 114 / 365
    for year, scrutiny in expected.items():
        assert tables.at("scrutiny_china", year) == pytest.approx(scrutiny, abs=1e-12)


def test_a_cut_at_one_agency_moves_that_agency_alone(study: Study, history: History) -> None:
    cut, baseline = (only(load_scenario(name, study), history) for name in ("nih-cut", "baseline"))
    changed = {name for name in TABLES if not np.array_equal(cut.tables[name], baseline.tables[name])}
    assert changed == {"nih_funding"}


def test_the_act_has_six_ways_to_end_and_the_chance_that_its_file_implies(study: Study, history: History) -> None:
    plans = load_scenario("protect-act", study).plans(history)
    assert len(plans) == 6
    in_force = sum(p.branch.chance for p in plans if p.timeline.at("scrutiny_china", 2026) > 0)
    assert in_force == pytest.approx(0.5 * 0.3 * 0.9 + 0.5 * 0.1 * 0.2)


# --- how files are read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize(("bom", "newline"), [(b"", b"\r\n"), (b"\xef\xbb\xbf", b"\n"), (b"\xef\xbb\xbf", b"\r\n")])
def test_windows_line_ends_and_a_byte_order_mark_change_nothing(
    study: Study, tmp_path: Path, name: str, bom: bytes, newline: bytes
) -> None:
    text = study.scenario_file(name).read_bytes()
    path = tmp_path / f"{name}.toml"
    path.write_bytes(bom + text.replace(b"\n", newline))
    assert load_scenario(path, study).plain() == load_scenario(name, study).plain()


def test_a_scenario_is_the_same_by_name_and_by_path(study: Study) -> None:
    by_name, by_path = load_scenario("baseline", study), load_scenario(study.scenario_file("baseline"))
    assert by_name == by_path


def test_a_scenario_is_found_by_name_from_inside_a_fresh_study(
    fresh_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh_study.scenarios)
    scenario = load_scenario("no-initiative")
    assert scenario.study == fresh_study
    assert scenario.path == fresh_study.scenarios / "no-initiative.toml"


def test_a_scenario_cannot_be_changed_after_loading(study: Study) -> None:
    scenario = load_scenario("baseline", study)
    with pytest.raises(AttributeError):
        scenario.title = "other"  # type: ignore[misc]  # frozen: that it fails is the test
    with pytest.raises(ValueError, match="frozen"):
        scenario.policies[0].scrutiny = 0.0  # type: ignore[misc]  # as above
