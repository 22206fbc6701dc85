"""How one finds one's way: scenarios by question, a scenario of one's own, help by task, other words for a thing."""

from __future__ import annotations

import json
import re

import pytest
from test_cli import call

from bdsim.cli.main import app
from bdsim.cli.options import TASKS, completed
from bdsim.errors import OTHER_WORDS, did_you_mean
from bdsim.model.world import TABLES
from bdsim.study.scenario import load_scenario

pytestmark = pytest.mark.one_python


def test_scenarios_are_listed_with_their_questions_the_baseline_first(here, capsys):
    code, out, _ = call("scenarios", "--json", capsys=capsys)
    rows = json.loads(out)
    assert code == 0
    assert rows[0]["scenario"] == "baseline"
    assert {row["scenario"] for row in rows} == {p.stem for p in (here / "scenarios").glob("*.toml")}
    assert all(row["question"].endswith("?") for row in rows)


def test_a_new_scenario_is_the_one_it_extends_and_its_examples_are_valid_once_uncommented(here, capsys):
    code, _, _ = call("new", "half-revival", capsys=capsys)
    assert code == 0
    scenario = load_scenario("half-revival")
    assert (scenario.extends, scenario.title) == ("baseline", "Half revival")
    assert scenario.levers == load_scenario("baseline").levers
    text = scenario.path.read_text()
    assert all(f"#   {table}" in text for table in TABLES)
    head = text.split("# Tables that a lever")[0]
    uncommented = re.sub(
        r"^# (?=\[\[|(?:name|from|until|scrutiny|targets|why|table|years|multiply) )", "", head, flags=re.M
    )
    scenario.path.write_text(uncommented)
    live = load_scenario("half-revival")
    assert len(live.policies) == len(scenario.policies) + 1
    assert len(live.levers) == len(scenario.levers) + 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new", "baseline"), "exists already"),
        (("new", "My Scenario"), "'my-scenario'"),
        (("new", "../x"), "'x'"),
        (("new", "mine", "--extends", "protect-act"), "extend 'baseline'"),
        (("new", "mine", "--extends", "baselin"), "did you mean 'baseline'?"),
    ],
)
def test_what_cannot_be_a_new_scenario_is_one_line_and_writes_nothing(here, capsys, words, said):
    before = sorted(p.name for p in (here / "scenarios").iterdir())
    code, out, err = call(*words, capsys=capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert sorted(p.name for p in (here / "scenarios").iterdir()) == before


def test_every_command_stands_under_a_task_and_every_task_names_commands(capsys):
    known = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    named = [name for names in TASKS.values() for name in names]
    assert len(named) == len(set(named))
    assert known <= set(named), "give it a task in cli/options.py"
    assert set(named) <= known
    _, out, _ = call("--help", capsys=capsys)
    positions = [out.index(f"\n{task}:") for task in TASKS]
    assert positions == sorted(positions)


def test_technical_options_come_last(capsys):
    _, out, _ = call("compare", "--help", capsys=capsys)
    first, last = out.split("Technical options:")
    assert "--members" in first
    assert "--scheduler" in last
    assert "--members" not in last


def test_a_shell_completes_names_of_scenarios(here, monkeypatch, tmp_path):
    assert "initiative-revival" in completed("init")
    monkeypatch.chdir(tmp_path)
    assert completed("init") == []


@pytest.mark.parametrize("word", OTHER_WORDS)
def test_other_words_lead_to_names_that_exist(word):
    quantities = ("departures", "to_china", "to_elsewhere", "stock", "push")
    assert any(target in (*TABLES, *quantities) for target in OTHER_WORDS[word].split())


def test_nih_leads_to_the_funding_of_an_agency_where_there_is_one():
    assert did_you_mean("NIH", ["us_funding", "nih_funding"]) == "; did you mean 'nih_funding'?"
    assert did_you_mean("nih", ["us_funding", "offers"]) == "; did you mean 'us_funding'?"
