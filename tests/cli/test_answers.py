"""What commands answer: the same number wherever it stands, scenarios told apart, options that do nothing refused."""

import json
import re

import pandas as pd
import pytest

from bdsim.cli.main import app
from bdsim.errors import UsageError

QUICK = ["-m", "2", "-k", "400", "--horizon", "2029", "--fit", "none"]


def run(*arguments):
    app([*map(str, arguments)], standalone_mode=False)


@pytest.fixture
def shared(here):
    """Two files of one name and one title, whose policies differ."""
    text = (here / "scenarios" / "initiative-revival.toml").read_text()
    for folder, scrutiny in (("a", "0.5"), ("b", "2.0")):
        (here / folder).mkdir()
        (here / folder / "mine.toml").write_text(re.sub(r"(?m)^scrutiny(\s*)=.*$", rf"scrutiny\1= {scrutiny}", text))
    return here


def test_the_answer_is_the_same_everywhere_and_scenarios_are_told_apart(shared, capsys):
    names = ["baseline", "a/mine.toml", "b/mine.toml"]
    run("compare", *names, *QUICK, "--years", "2026-2028", "--json")
    told = json.loads(capsys.readouterr().out)
    answers = [one["answer"] for one in told["runs"]]
    assert [(a["from"], a["until"]) for a in answers] == [(2026, 2028)] * 3
    assert len({one["scenario"] for one in told["runs"]}) == len({one["title"] for one in told["runs"]}) == 3
    assert answers[1]["value"] < answers[2]["value"]  # half as much scrutiny, and twice
    folder = shared / told["folder"] if not told["folder"].startswith("/") else told["folder"]
    table = pd.read_csv(f"{folder}/answer.csv")
    assert table["value"].to_list() == pytest.approx([a["value"] for a in answers], abs=1e-3)
    for name in ("difference.csv", "who.csv"):
        rows = pd.read_csv(f"{folder}/{name}")
        assert rows["scenario"].nunique() == 2, name
    run("compare", *names, *QUICK, "--years", "2026-2028")
    text = capsys.readouterr().out
    assert all(a["sentence"] in text for a in answers)
    run("report", *names, *QUICK, "--years", "2026-2028", "-o", "out.html")
    page = (shared / "out.html").read_text()
    assert all(a["sentence"] in page for a in answers[1:])
    assert page.count("yearly values that differ from the reference</caption>") == 2
    run("export", "a/mine.toml", "b/mine.toml", *QUICK, "--format", "iamc", "-o", "out.csv")
    rows = pd.read_csv("out.csv")
    assert not rows.duplicated(["model", "scenario", "region", "variable", "unit", "year"]).any()


def test_options_of_how_to_run_are_refused_for_runs_that_are_finished(here, capsys):
    run("run", "baseline", *QUICK)
    folder = next(here.glob("results/baseline-*"))
    for option in (["--horizon", "2029"], ["-m", "2"], ["--set", "push=0.5"], ["--fit", "none"], ["--workers", "1"]):
        with pytest.raises(UsageError, match="does not apply to results folders"):
            run("compare", folder, folder, *option)
    with pytest.raises(UsageError, match="no outcome named 'x'"):
        run("compare", folder, folder, "--chance", "x=0.5")  # this one does apply


@pytest.mark.parametrize("years", ["2032-2027", "27-32", "2026..2030", "1990-1995", ""])
def test_years_that_are_none_are_refused_before_anything_runs(here, years):
    for command in (["compare", "baseline", "initiative-revival"], ["report", "baseline", "initiative-revival"]):
        with pytest.raises(UsageError):
            run(*command, *QUICK, f"--years={years}")
    with pytest.raises(UsageError):
        run("attribute", "initiative-revival", f"--years={years}")
    assert [p.name for p in (here / "results").iterdir()] == ["README.md"]


def test_years_given_twice_are_refused(here):
    with pytest.raises(UsageError, match="a second time"):
        run("attribute", "initiative-revival", "--of", "departures:2026-2030", "--years", "2026-2030")
    with pytest.raises(UsageError, match="a second time"):
        run("attribute", "--from", "2011", "--years", "2012-2020")


def test_growth_is_explained_without_a_word_about_years(here, capsys):
    run("attribute", "--draws", "1", "-k", "200", "--json")
    told = json.loads(capsys.readouterr().out)
    assert str(told).count("2010") and str(told).count("2021")
