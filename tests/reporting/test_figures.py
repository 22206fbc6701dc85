"""Every figure passes an art editor's look: nothing cut, nothing on anything, legible at the width of a page.

Judged by the boxes of the renderer (tests/looks.py), with a tolerance of 1.5 pixels at 100 dpi.
"""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import bdsim
from bdsim.analysis.attribution import Attribution
from bdsim.analysis.breakeven import BreakEven, Turned
from bdsim.analysis.futures.boxes import Sample, find_boxes
from bdsim.analysis.futures.discover import Discovery, Threshold, scores
from bdsim.analysis.futures.regret import Regret
from bdsim.analysis.futures.robust import Robust
from bdsim.analysis.futures.sweep import Sweep
from bdsim.analysis.leavers import who_leaves
from bdsim.analysis.quantity import parse_goal, parse_quantity
from bdsim.analysis.sensitivity import Sensitivity
from bdsim.calibration.backtest import RULES
from bdsim.calibration.problem import make_problem
from bdsim.reporting.figures import checks, fits, futures, leavers, questions, runs
from bdsim.reporting.figures.canvas import WIDTH, named_spans
from bdsim.reporting.style import save_drawing
from bdsim.reporting.summary import observed
from bdsim.runs.plan import Settings, plan_run
from bdsim.study.scenario import load_scenario
from looks import faults

pytestmark = pytest.mark.one_python
LONG = "A scenario whose title says everything about the policy that it is about and goes on"


@pytest.fixture(scope="module")
def comparison(study):
    names = ("baseline", "initiative-revival", "us-funding-cut", "protect-act")
    found = [bdsim.run(load_scenario(n, study), members=3, researchers_per_agent=200) for n in names]
    found[2].manifest["scenario"]["title"] = LONG
    return bdsim.compare(*found)


@pytest.fixture(scope="module")
def seen(study, comparison):
    return observed(study, comparison.reference)


def checked(drawing):
    assert faults(drawing.figure) == []
    assert drawing.figure.get_figwidth() <= WIDTH
    assert drawing.alt
    assert len(drawing.numbers)


@pytest.mark.parametrize("name", runs.COMPARISON_FIGURES)
def test_figures_of_a_comparison(name, comparison, seen):
    checked(runs.comparison_drawing(name, comparison, seen))


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_figures_of_a_run(number, comparison, seen):
    for drawing in runs.run_drawings(comparison.all[number], seen):
        checked(drawing)


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_names_of_many_policies_leave_room_for_the_data(panels):
    """However many overlap, half of the panel is the data's, and those that are not named are counted."""
    figure = Figure(figsize=(WIDTH, 3.9))
    for number in range(panels):
        ax = figure.add_subplot(1, panels, number + 1)
        ax.set_xlim(2003, 2036)
        ax.set_ylim(0.0, 100.0)
        spans = {(2026 + n / 10, 2030 + n / 10): f"A policy with a name of some length, number {n}" for n in range(20)}
        named_spans(ax, {**spans, (2005.0, 2008.0): " "}, WIDTH / panels)
        low, high = ax.get_ylim()
        assert low == 0.0
        assert 100.0 < high < 220.0
        assert re.fullmatch(r"and \d+ more, shaded", ax.texts[-1].get_text())
        named = sum(text.get_text().startswith("A policy") for text in ax.texts)
        assert named + int(ax.texts[-1].get_text().split()[1]) == 20


def test_figure_of_who_leaves(comparison):
    for scenario in comparison.others[:2]:
        who = who_leaves(comparison, scenario, (2025, 2035))
        checked(leavers.draw_who(who))


def test_no_line_rises_before_its_policy(comparison):
    """The steps of a scenario begin on the day of its policy, or with the first year in which it differs."""
    figure = runs.draw_difference(comparison).figure
    steps = [
        p
        for ax in figure.get_axes()
        for p in ax.patches
        if hasattr(p, "get_data") and p.get_label() == "Initiative revival"
    ]
    (edges,) = [step.get_data().edges for step in steps]
    assert edges[0] == pytest.approx(2025 + 19 / 365.25)


def test_text_of_an_svg_stays_text(comparison, seen, tmp_path):
    save_drawing(runs.draw_departures(comparison.all, seen), tmp_path)
    svg = (tmp_path / "departures.svg").read_text(encoding="utf-8")
    assert re.search(r"<text[^>]*>Initiative revival</text>", svg)
    assert "sans-serif" in svg


def test_a_title_in_any_script_is_drawn_without_a_warning(comparison, seen, tmp_path):
    named = [replace(r, manifest=copy.deepcopy(r.manifest)) for r in comparison.all]
    named[1].manifest["scenario"]["title"] = "中国行动计划 नीति"
    save_drawing(runs.draw_departures(named, seen), tmp_path)
    assert "中国行动计划 नीति</text>" in (tmp_path / "departures.svg").read_text(encoding="utf-8")


# --- figures of questions, of numbers made up to be awkward ------------------------------------------------------


@pytest.fixture(scope="module")
def job(study):
    return plan_run(load_scenario("initiative-revival", study), Settings(researchers_per_agent=500))


def test_figure_of_an_attribution(job):
    rng = np.random.default_rng(1)
    causes = (
        "scrutiny",
        "Chinese funding",
        "talent offers",
        "colleagues and ties",
        "population growth",
        "under way before",
    )
    values = rng.normal([120_000, 0, -40_000, 3, 0, 12], [9000, 0, 5000, 1, 0, 3], (40, 6))
    of = f"{LONG} against Baseline: departures of scientists of Chinese descent, 2025-2035"
    checked(questions.draw_attribution(Attribution(of, causes, values, values.sum(axis=1), ()), job))


@pytest.mark.parametrize(
    ("how", "low", "high"),
    [("multiply", 0.25, 4.0), ("multiply", 0.0, 2.0), ("add", -500.0, 5000.0), ("set", 0.5, 1.5)],
)
def test_figure_of_a_break_even(job, how, low, high):
    grid = np.linspace(low, high, 13)
    response = 2500 + 1500 * np.linspace(1, -1, 13) * np.linspace(0.8, 1.2, 20)[:, None]
    turned = Turned("us_funding", how, (2026, 2035), low, high)
    roots = np.linspace(grid[5], grid[7], 20)
    found = BreakEven(turned, parse_goal("departures:2035<=2500", 2035, ""), grid, response, roots, roots < 0, True)
    checked(questions.draw_break_even(found, job))
    checked(
        questions.draw_break_even(BreakEven(turned, found.goal, grid, response, roots * np.nan, roots < 0, True), job)
    )


@pytest.mark.parametrize("method", ["morris", "sobol"])
def test_figure_of_what_matters(job, method):
    names = [*[n for n, entry in job.parameters.entries.items() if entry.prior is not None][:13], "lever us_funding"]
    index = np.geomspace(2000, 10, len(names))
    signs = np.where(np.arange(len(names)) % 3 == 0, -1.0, np.where(np.arange(len(names)) % 3 == 1, 1.0, 0.1))
    table = pd.DataFrame(
        {"input": names, "low": -1.234, "high": 12.34, "index": index, "conf": index / 5, "mean": signs * index}
    )
    of = f"{LONG} less Baseline"
    checked(
        questions.draw_tornado(
            Sensitivity(method, parse_quantity("departures:2026-2035", 2035, ""), of, 500, table), job
        )
    )


def test_figure_of_regret(job):
    values = np.random.default_rng(1).uniform(0, 40_000, (20, 4, 4))
    titles = ("Baseline", "US retention package", LONG, "Talent surge")
    found = Regret(parse_quantity("departures:2026-2035", 2035, ""), titles, titles, values, False)
    checked(questions.draw_regret(found, job))


# --- figures of uncertain futures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "axes",
    [
        (Turned("us_funding", "multiply", (2026, 2035), 0.6, 1.2),),
        (Turned("green_card_wait", "add", (2026, 2035), -5.0, 10.0),),
        (
            Turned("us_funding", "multiply", (2026, 2035), 0.6, 1.2),
            Turned("scrutiny_china", "set", (2027, 2031), 0.0, 1.5),
        ),
    ],
)
def test_figure_of_a_sweep(axes):
    grids = tuple(np.linspace(axis.low, axis.high, 7) for axis in axes)
    slope = sum(np.meshgrid(*((g - g[0]) / np.ptp(g) for g in grids), indexing="ij"))
    values = (30_000 + 8_000 * slope)[None] * np.linspace(0.9, 1.1, 9).reshape(-1, *(1,) * len(grids))
    checked(futures.draw_sweep(Sweep(parse_quantity("departures:2026-2035", 2035, ""), LONG, axes, grids, values)))


@pytest.fixture(scope="module")
def discovery():
    """Two inputs on which a number depends, an event on which it does too, and some that do not matter."""
    rng = np.random.default_rng(3)
    inputs = {name: rng.uniform(size=300) for name in ("push", "offers a year", "a", "b")}
    inputs |= {"event Revival of the Initiative": rng.choice(["a revival", "none"], 300)}
    revived = inputs["event Revival of the Initiative"] == "a revival"
    values = 2000 + 900 * inputs["push"] + 700 * inputs["offers a year"] + 900 * revived
    threshold = Threshold(parse_quantity("departures:2030", 2035, ""), True, 3600.0)
    sample = Sample(inputs, threshold.holds(values), rng.uniform(0.5, 1.0, 300), np.arange(300))
    labels = {"push": "Push of scrutiny"}
    return Discovery(threshold, LONG, sample, values, find_boxes(sample, most=2), scores(sample, values), labels)


def test_figures_of_a_discovery(discovery):
    assert discovery.boxes
    for found in (discovery, replace(discovery, boxes=[])):
        drawing = futures.draw_discovery(found)
        assert faults(drawing.figure) == []
        assert drawing.figure.get_figwidth() <= WIDTH
        checked(futures.draw_scores(found))
    texts = " ".join(text.get_text() for text in futures.draw_discovery(discovery).figure.findobj(Text))
    assert "Push of scrutiny" in texts
    assert "departures:2030" not in texts


def test_figure_of_robust_policies():
    values = np.random.default_rng(1).uniform(20_000, 40_000, (60, 3))
    titles = ("Baseline", "US retention package", LONG)
    quantity = parse_quantity("departures:2026-2035", 2035, "")
    checked(futures.draw_robust(Robust(quantity, titles, values, np.full(60, 1 / 60), np.arange(60), False, None)))


def test_figures_of_how_far_to_trust(study):
    rng = np.random.default_rng(1)
    fields = np.where(np.arange(80) % 4 == 0, checks.TOTAL, "life")
    table = pd.DataFrame({"field": fields, "pit": rng.uniform(size=80), "until": 2014 + np.arange(80) % 7})
    table.attrs["drivers"] = "known"
    checked(checks.draw_calibration(table))
    kept = pd.read_csv(study.fitted / "default" / "validation.csv")
    checked(checks.draw_validation(kept.astype({"agrees": object}).where(kept["agrees"].notna(), None)))


# --- figures of a fit -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibration(study):
    """A calibration of made-up draws: how it looks does not depend on how well it fits."""
    problem = make_problem(study)
    rng = np.random.default_rng(1)
    facts = np.array([t.fact for t in problem.targets])
    draws = problem.mean + problem.sd * rng.normal(size=(200, len(problem.free)))
    models = facts * np.exp(0.05 * rng.normal(size=(200, len(facts))))
    verdicts = ["informed by the data", "partly", "prior"]
    shrinkage = np.linspace(0.98, 0.01, len(problem.free))
    low, median, high = np.quantile(draws, (0.05, 0.5, 0.95), axis=0)
    told = [verdicts[i % 3] for i in range(len(problem.free))]
    columns = {"parameter": list(problem.free), "shrinkage": shrinkage, "verdict": told}
    parameters = pd.DataFrame({**columns, "median": median, "p05": low, "p95": high})
    targets = pd.DataFrame({"target": [t.entry for t in problem.targets], "role": [t.role for t in problem.targets],
                            "residual": rng.normal(size=len(facts)) * 2})  # fmt: skip
    posterior = SimpleNamespace(draws=draws, models=models, shocked=models)
    return SimpleNamespace(
        problem=problem, fingerprint="0123456789ab", posterior=posterior, parameters=parameters, targets=targets
    )


@pytest.mark.parametrize(
    "draw", [fits.draw_series, fits.draw_residuals, fits.draw_identifiability, fits.draw_corner, fits.draw_trade_off]
)
def test_figures_of_a_fit(draw, calibration):
    checked(draw(calibration))


def test_figure_of_a_profile(calibration):
    values = np.linspace(0, 1.6, 9)
    for name in ("push", "leave_china.china"):
        table = pd.DataFrame(
            {"parameter": name, "value": values, "cost": 8 * (values - 0.5) ** 2, "facts": 7 * (values - 0.6) ** 2}
        )
        checked(fits.draw_profile(table, calibration.problem.parameters.entries[name], "default"))


def test_figure_of_a_backtest():
    rows = []
    for cut in (2015, 2016, 2017, 2018):
        for year in range(cut + 1, 2022):
            row = {"series": "s", "until": cut, "field": checks.TOTAL, "year": year, "median": 1500.0, "p05": 1000.0}
            naive = {f"{q}_{rule}": v for rule in RULES for q, v in (("median", 1400), ("p05", 900), ("p95", 2100))}
            rows.append(row | {"p95": 2200.0} | naive)
    table = pd.DataFrame(rows)
    table.attrs["drivers"] = "known"
    table.attrs["observed"] = {"s": {year: 400.0 + 100 * (year - 2010) for year in range(2010, 2022)}}
    checked(checks.draw_backtest(table, "s"))


def test_the_judge_sees_what_is_wrong():
    figure = Figure(figsize=(3, 2))
    figure.text(0.5, 0.5, "one")
    figure.text(0.5, 0.52, "two")
    figure.text(0.9, 0.1, "a long text that runs off the page")
    figure.text(0.1, 0.9, "small", fontsize=4)
    said = " ".join(faults(figure))
    assert all(words in said for words in ("'one' lies on 'two'", "cut off", "4 points"))


def test_values_are_under_the_mouse(comparison, tmp_path):
    drawing = runs.draw_difference(comparison)
    save_drawing(drawing, tmp_path)
    svg = (tmp_path / "difference.svg").read_text(encoding="utf-8")
    assert "tip-" not in svg
    mine = drawing.numbers.query("scenario == 'initiative-revival' and `from` == 2030").iloc[0]
    (said,) = set(re.findall(r"<title>(Initiative revival, 2030: [^<]*)</title>", svg))
    assert f"[{mine['p05']:,.0f}, {mine['p95']:,.0f}]" in said
