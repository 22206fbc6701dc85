"""The commands that fit, as a person uses them; a coarse population and few proposals keep them quick."""

from __future__ import annotations

import json
import re
from functools import partial

import pandas as pd
import pytest
from test_cli import call

from bdsim.calibration import backtest, fitting
from bdsim.calibration import problem as calibration

CARRIED = "carried from the prior"
COARSE = "400"  # researchers an agent


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    coarse = partial(calibration.make_problem, researchers_per_agent=int(COARSE))
    monkeypatch.setattr(calibration, "make_problem", coarse)
    monkeypatch.setattr(fitting, "make_problem", coarse)
    monkeypatch.setattr(fitting, "explore", partial(fitting.explore, proposals=400))
    monkeypatch.setattr(backtest, "SCALE", 400)
    monkeypatch.setattr(backtest, "PROPOSALS", 200)


def default_fit(root):
    return {p.name: p.read_bytes() for p in (root / "calibration" / "fitted" / "default").iterdir() if p.is_file()}


def test_a_trial_keeps_the_fit_that_scenarios_run_on(here, capsys):
    """What is held is said and recorded; free parameters may be given in one word or in several."""
    before = default_fit(here)
    trial = ("calibrate", "--fix", "rho=0.8", "--free", "push", "--free", "funding,stay_us", "--starts", "1")
    code, out, err = call(*trial, capsys=capsys)
    assert code == 0
    assert "posterior" in err
    assert default_fit(here) == before
    assert "--fit tuned" in out
    assert re.search(r"Held: .*rho = 0\.8", out)
    manifest = json.loads((here / "calibration" / "fitted" / "tuned" / "manifest.json").read_text())
    assert manifest["free"] == ["push", "funding", "stay_us"]
    assert manifest["held"]["rho"] == 0.8
    assert "kappa" in manifest["held"]
    code, out, _ = call("fit-report", "--fit", "tuned", "-k", COARSE, capsys=capsys)
    cost, best = re.search(r"Cost ([\d.]+) \(the fit itself: ([\d.]+)\)", out).groups()
    assert cost == best  # the same priors are counted


def test_what_the_data_cannot_tell_stands_in_the_terminal_the_figure_and_the_manifest(here, capsys):
    code, out, _ = call("calibrate", "--free", "push,rho,stay_us", "--starts", "1", "--name", "mine", capsys=capsys)
    assert code == 0
    folder = here / "calibration" / "fitted" / "mine"
    manifest = " ".join(json.loads((folder / "manifest.json").read_text())["identifiability"])
    figure = (folder / "figures" / "identifiability.svg").read_text()
    for said in (out, manifest):
        assert re.search(rf"{CARRIED}.*stay_us", said)
        assert "how fast fear fades after the Initiative's end is not in the data" in said
    assert re.search(rf"{CARRIED}: .*stay_us", figure)  # its description
    assert f">{CARRIED.capitalize()}</text>" in figure
    assert sorted(p.stem for p in (folder / "figures").glob("*.png")) == [
        "identifiability", "posterior", "residuals", "series",
    ]  # fmt: skip


def test_targets_without_the_yearly_series_are_fitted_and_drawn(here, capsys):
    file = here / "calibration" / "targets.toml"
    first, series, *rest = file.read_text().split("[[target]]")
    assert "departures_to_china" in series
    (here / "few.toml").write_text("[[target]]".join([first, *rest]))
    code, _, err = call("calibrate", "few.toml", "--free", "stay_us", "--starts", "1", capsys=capsys)
    assert code == 2 and "no fact depends on stay_us" in err.splitlines()[-1]
    code, out, _ = call("calibrate", "few.toml", "--free", "stay_us,push", "--starts", "1", capsys=capsys)
    assert code == 0
    assert "fitted/tuned" in out
    assert not (here / "calibration" / "fitted" / "tuned" / "figures" / "series.png").exists()


def test_profiles_of_two_fits_are_kept_apart(here, capsys):
    for fit in ("default", "none"):
        code, out, _ = call("profile", "push", "--points", "3", "--fit", fit, capsys=capsys)
        assert code == 0
        assert (here / "results" / f"profile-push-{fit}" / "profile-push.png").is_file()
    assert "cost above the least" in out


def test_a_backtest_shows_model_and_naive_rules_year_by_year(here, capsys):
    code, out, _ = call("backtest", "--rolling", "2019", capsys=capsys)
    assert code == 0
    assert max(map(len, out.splitlines()[:20])) <= 80
    table = pd.read_csv(here / "results" / "backtest-2019" / "backtest.csv")
    assert set(table["until"]) == {2019}
    for rule in ("last", "linear", "loglinear", "damped"):
        assert (table[f"p05_{rule}"] < table[f"median_{rule}"]).all()
        assert (table[f"median_{rule}"] < table[f"p95_{rule}"]).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("calibrate --free puhs", "did you mean 'push'"),
        ("calibrate --fix push", "--fix: 'push' is not of the form name=number"),
        ("calibrate --fix push=1 --free push", "it is fixed"),
        ("calibrate --starts 0", "not a number of starts"),
        ("calibrate nowhere.toml", "this file is missing"),
        ("fit-report --set push=99", "outside its bounds"),
        ("fit-report --fit nowhere", "no fit named 'nowhere'"),
        ("profile puhs", "did you mean 'push'"),
        ("profile past_growth", "is not free"),
        ("backtest --until 2030", "not a year from 2013 to 2020"),
        ("backtest --rolling 2018,x", "not a list of years"),
        ("backtest --rolling ,", "not a list of years"),
        ("backtest --until 2018 --drivers forcast", "did you mean 'forecast'"),
        ("backtest --until 2018 --rolling 2017", "either --until or --rolling"),
    ],
)
def test_mistakes_are_named_in_one_line(here, capsys, words, said):
    code, _, err = call(*words.split(), capsys=capsys)
    assert code == 2
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err
