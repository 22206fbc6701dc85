"""The command line, as a person uses it: what it prints, what it leaves behind, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pandas as pd
import pytest

import bdsim
from bdsim.cli import main as cli

QUICK = ["--members", "3", "--researchers-per-agent", "200"]


def call(*words: str, capsys) -> tuple[int, str, str]:
    """Run the command in this process: exit code, standard output, standard error."""
    kept, sys.argv = sys.argv, ["bdsim", *words]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        code = cli.exit_code()
    finally:
        sys.argv = kept
        for number, handler in handlers.items():
            signal.signal(number, handler)
    done = capsys.readouterr()
    return code, done.out, done.err


def test_init_writes_a_study_that_checks_and_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("init", "mine", capsys=capsys)
    assert code == 0
    there = len(list((tmp_path / "mine" / "scenarios").glob("*.toml")))
    assert f"{there} scenarios" in out
    monkeypatch.chdir(tmp_path / "mine" / "scenarios")  # found by looking upwards
    code, out, _ = call("check", capsys=capsys)
    assert code == 0
    assert out.count(": ok") == there - 2  # all but the two that branch
    assert "protect-act: 6 branches" in out
    assert "outlook: 2 branches, " in out and " assumptions with a range" in out
    code, _, err = call("init", str(tmp_path / "mine"), capsys=capsys)
    assert code == 2
    assert err.count("\n") == 1


def test_every_command_has_help_with_an_example(capsys):
    commands = ("init", "evidence", "parameters", "check", "diff", "schema", "run", "compare")
    for command in (*commands, "calibrate", "fit-report", "profile", "backtest"):
        code, out, _ = call(command, "--help", capsys=capsys)
        assert code == 0
        assert "xample" in out, command


def test_numbers_are_told_before_figures_are_drawn(here, capsys, monkeypatch):
    """People have their answer whatever becomes of the figures; a script gets all or nothing."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bdsim.cli.run.draw_run", full)
    code, out, err = call("run", "baseline", *QUICK, capsys=capsys)
    assert code == 1 and "No space left" in err
    assert "2025-2029" in out and "Results: results/baseline-" in out
    code, out, err = call("run", "baseline", *QUICK, "--json", capsys=capsys)
    assert code == 1 and "No space left" in err and out == ""


def test_run_keeps_tables_summary_manifest_and_figures(here, capsys):
    code, out, err = call("run", "initiative-revival", *QUICK, capsys=capsys)
    assert code == 0
    assert "over Baseline" in out
    assert "0 (identical)" in out
    folder = next(here.glob("results/initiative-revival-*"))
    names = {p.name for p in folder.iterdir()}
    assert {"departures.parquet", "stocks.parquet", "summary.csv", "manifest.json", "figures"} <= names
    assert {p.suffix for p in (folder / "figures").iterdir() if p.name != "SHA256SUMS"} == {
        ".png",
        ".svg",
        ".csv",
        ".txt",
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["parameters"]["status"] == "fitted/default"
    split = manifest["variance_of_departures"]
    assert sum(split[of] for of in ("parameters", "shocks", "chance", "events")) == pytest.approx(1.0)
    departures = pd.read_parquet(folder / "departures.parquet")
    assert list(departures) == [
        "member",
        "year",
        "origin",
        "route",
        "field",
        "stage",
        "destination",
        "researchers",
        "with_programme",
    ]
    assert set(departures) <= set(manifest["columns"])
    code, _, err = call("run", "initiative-revival", *QUICK, capsys=capsys)
    assert code == 0
    assert "already done" in err


def test_json_is_all_that_a_script_reads_from_standard_output(here, capsys):
    code, out, _ = call("run", "initiative-revival", "protect-act", *QUICK, "--json", capsys=capsys)
    assert code == 0
    revival, act = json.loads(out)
    assert revival["reference"] == "baseline"
    assert [p["from"] for p in revival["periods"]] == [2000, 2010, 2022, 2025, 2030]
    assert revival["periods"][0]["excess_mean"] == 0.0
    branches = {b["branch"]: b for b in act["branches"]}
    assert sum(b["chance"] for n, b in branches.items() if n != "expected value") == pytest.approx(1.0)
    expected = sum(b["chance"] * b["excess_mean"] for n, b in branches.items() if n != "expected value")
    assert branches["expected value"]["excess_mean"] == pytest.approx(expected)


def test_compare_draws_every_figure_with_its_numbers(here, capsys):
    code, out, _ = call("compare", "baseline", "initiative-revival", *QUICK, capsys=capsys)
    assert code == 0
    folder = here / out.rsplit(": ", 1)[1].strip()
    for name in ("departures", "difference", "destination", "field", "stage", "cumulative"):
        assert (folder / f"{name}.png").stat().st_size > 10_000
        assert "<svg" in (folder / f"{name}.svg").read_text()[:1000]
        numbers = pd.read_csv(folder / f"{name}.csv")
        assert {"p05", "median", "p95"} <= set(numbers)
        assert (numbers["p05"] <= numbers["p95"]).all()
    difference = pd.read_csv(folder / "difference.csv")
    assert (difference.loc[difference["until"] < 2025, ["mean", "p05", "p95"]] == 0).all(axis=None)
    assert difference.loc[difference["until"] == 2027, "mean"].item() > 0


def test_compare_reads_results_folders_too(here, capsys):
    call("compare", "baseline", "initiative-revival", *QUICK, capsys=capsys)
    folders = [str(next(here.glob(f"results/{n}-*"))) for n in ("baseline", "initiative-revival")]
    code, out, err = call("compare", *folders, "--json", capsys=capsys)
    assert code == 0
    assert [r["scenario"] for r in json.loads(out)["runs"]] == ["baseline", "initiative-revival"]
    code, _, err = call("compare", folders[0], "no-initiative", "--seed", "9", *QUICK, capsys=capsys)
    assert code == 2
    assert "differ in seed" in err


def test_set_changes_a_parameter_and_the_fingerprint(here, capsys):
    call("run", "baseline", *QUICK, capsys=capsys)
    call("run", "baseline", *QUICK, "--set", "push=1.5", "--set", "leave_china.china=-2.8", capsys=capsys)
    folders = sorted(here.glob("results/baseline-*"))
    assert len(folders) == 2
    values = [json.loads((f / "manifest.json").read_text())["parameters"] for f in folders]
    assert 1.5 in [v["values"]["push"] for v in values]
    assert [v["held"] for v in values if v["values"]["push"] == 1.5] == [["leave_china.china", "push"]]


def test_results_can_go_elsewhere(here, tmp_path, capsys):
    code, _, _ = call("run", "baseline", *QUICK, "--results", str(tmp_path / "out"), capsys=capsys)
    assert code == 0
    assert len(list((tmp_path / "out").glob("baseline-*"))) == 1
    assert [p.name for p in (here / "results").iterdir()] == ["README.md"]


def test_the_mesa_engine_answers_the_same(here, capsys):
    answers = []
    for engine in ("compiled", "mesa"):
        words = ("run", "baseline", "--engine", engine, "-m", "1", "-k", "400", "--horizon", "2015", "--json")
        answers.append(json.loads(call(*words, capsys=capsys)[1])[0]["periods"])
    assert answers[0] == answers[1]


def test_single_precision_says_that_it_is_for_exploring(here, capsys):
    words = ("run", "baseline", "--engine", "float32", "-m", "2", "-k", "400", "--horizon", "2026")
    code, said, _ = call(*words, capsys=capsys)
    assert code == 0
    assert "Single precision (float32), to explore with" in " ".join(said.split())
    answer = json.loads(call(*words, "--json", capsys=capsys)[1])[0]
    assert answer["engine"] == "float32"
    assert answer["answer"]["value"] > 0
    (manifest,) = (here / "results").glob("baseline-*/manifest.json")
    assert json.loads(manifest.read_text())["engine"] == "float32"


MISTAKES = [
    (("run", "baseline", "--engine", "float16"), "did you mean 'float32'?"),
    (("run", "basline"), "did you mean 'baseline'?"),
    (("run", "baseline", "--set", "pusj=1"), "did you mean 'push'?"),
    (("run", "baseline", "--set", "push"), "not of the form name=number"),
    (("run", "baseline", "--set", "push=-1"), "outside its bounds 0 to 5"),
    (("run", "baseline", "--set", "push=nan"), "outside its bounds"),
    (("run", "baseline", "--members", "0"), "members: 0 is not a whole number from 1"),
    (("run", "baseline", "--members", "many"), "valid integer"),
    (("run", "baseline", "--horizon", "1999"), "horizon: 1999"),
    (("run", "baseline", "--horizon", "9999"), "horizon: 9999"),
    (("run", "baseline", "-k", "0"), "researchers_per_agent"),
    (("run", "baseline", "--seed", "-1"), "seed: -1"),
    (("run", "baseline", "--engine", "meza"), "did you mean 'mesa'?"),
    (("run", "missing/file.toml"), "no such file"),
    (("run",), "Missing argument"),
    (("compare", "baseline"), "Missing argument"),
    (("compare", "protect-act", "baseline", "-m", "1", "-k", "400"), "a reference must not"),
    (("compare", "baseline", "baseline", "--years", "2030-2040"), "2030-2040 does not lie within 2000-2035"),
    (("backtest", "--until", "2018", "--drivers", "knwon"), "--drivers: unknown drivers 'knwon'"),
    (("diff", "baseline", "talent-surg"), "did you mean 'talent-surge'?"),
    (("evidence", "retentoin"), "did you mean 'retention'?"),
    (("ru", "baseline"), "No such command"),
    (("run", "baseline", "--memebrs", "3"), "No such option"),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_a_mistake_gets_one_line_and_exit_code_2(here, capsys, words, expected):
    code, out, err = call(*words, capsys=capsys)
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if not line.endswith("...")]  # progress of the runs before it
    assert len(lines) == 1
    assert expected in lines[0]


def test_a_broken_scenario_leaves_no_folder(here, capsys):
    (here / "scenarios" / "mine.toml").write_text(
        'title = "x"\nquestion = "y"\nextends = "baseline"\n[[lever]]\ntabel = 1\n'
    )
    code, _, err = call("run", "baseline", "mine", *QUICK, capsys=capsys)
    assert code == 2
    assert err.startswith("scenarios/mine.toml: lever[0].tabel: unknown name 'tabel'; did you mean 'table'?")
    assert err.count("\n") == 1
    assert [p.name for p in (here / "results").iterdir()] == ["README.md"]
    code, _, err = call("check", capsys=capsys)
    assert code == 2
    assert err.count("\n") == 1


def test_outside_a_study_commands_say_how_to_begin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = call("run", "baseline", capsys=capsys)
    assert code == 2
    assert "bdsim init DIR" in err


def test_diff_shows_parts_and_yearly_values(here, capsys):
    code, out, _ = call("diff", "baseline", "no-initiative", "--json", capsys=capsys)
    assert code == 0
    found = json.loads(out)
    assert [(p["change"], p["name"]) for p in found["parts"]] == [("removed", "China Initiative")]
    assert {v["table"] for v in found["values"]} == {"scrutiny_china"}
    assert [v["years"] for v in found["values"]] == ["2018", "2019-2021", "2022"]
    _, out, _ = call("diff", "baseline", "baseline", capsys=capsys)
    assert "changes nothing" in out


def test_schema_is_json_schema_that_names_the_keys(capsys):
    code, out, _ = call("schema", capsys=capsys)
    assert code == 0
    document = json.loads(out)
    assert {"title", "question", "extends", "policy", "lever", "event", "drop"} <= set(document["properties"])
    assert "from" in document["$defs"]["Policy"]["properties"]


def test_evidence_lists_facts_with_sources_and_flags_what_is_rebuilt(here, capsys):
    _, out, _ = call("evidence", "--json", capsys=capsys)
    assert all(row["source"] for row in json.loads(out))
    _, out, _ = call("evidence", "retention", "--json", capsys=capsys)
    assert {"origin": "china", "stay_rate": 0.9}.items() <= json.loads(out)[1].items()
    _, out, _ = call("evidence", "--rebuilt", "--json", capsys=capsys)
    rebuilt = {row["table"]: row["rebuilt years"] for row in json.loads(out)}
    assert rebuilt["inflow_china"].startswith("1965-2007")
    assert rebuilt["offers"] == "2011-2035"  # batches are of spans of years, and of none after 2017


def test_results_survive_the_disk(here, capsys):
    call("run", "protect-act", *QUICK, capsys=capsys)
    folder = next(here.glob("results/protect-act-*"))
    read = bdsim.load_results(folder)
    again = bdsim.run(bdsim.load_scenario("protect-act"), 3, 0, 200)
    assert read.departures.equals(again.departures)
    assert read.stocks.equals(again.stocks)
    assert (read.stay_rate("all", (2000, 2015), 2017) == again.stay_rate("all", (2000, 2015), 2017)).all()
    assert (read.fates() == again.fates()).all()
    (folder / "stocks.parquet").unlink()
    with pytest.raises(bdsim.BdsimError, match="stocks"):
        bdsim.load_results(folder)


def test_a_closed_pipe_is_no_error(here):
    line = f"{sys.executable} -m bdsim.cli evidence departures_to_china --json | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=here, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
