"""At the ends of every range: finite results, or a refusal in one line."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

import bdsim
from bdsim.cli.main import app
from bdsim.errors import InputError
from bdsim.model.categories import FIRST_ENTRY, LAST_POSSIBLE_YEAR
from bdsim.model.world import TABLES
from bdsim.study.layout import find_study
from bdsim.study.parameters import load_parameters

pytestmark = pytest.mark.one_python

PARAMETERS = load_parameters(find_study().parameters).entries
BOUNDS = [(name, bound) for name, entry in PARAMETERS.items() for bound in entry.bounds]
HEAD = 'title = "Extreme"\nquestion = "What is left?"\nextends = "baseline"\n'
INFLOW = [name for name in TABLES if name.startswith("inflow_")]


def assert_finite(results):
    assert not len(results.failures), results.failures_in_words
    for name in ("departures", "expected", "variance", "full_scale", "stocks"):
        table = results.gathered(name)
        assert np.isfinite(table).all(), name
        assert (table >= 0).all(), name
    numbers = results.summary()[["mean", "p05", "median", "p95"]].to_numpy()
    assert np.isfinite(numbers).all()
    assert all(np.isfinite(share) for share in results.variance_split(2010, results.years[-1]).values())


@pytest.mark.parametrize(("name", "bound"), BOUNDS, ids=lambda v: f"{v:g}" if isinstance(v, float) else v)
def test_every_parameter_at_each_bound(name, bound):
    """By the compiled engine; Mesa's agents decide alike (test_engines), and meet all bounds at once below."""
    try:
        results = bdsim.run(
            bdsim.load_scenario("initiative-revival"), 3, 0, 2000, horizon=2030, parameters={name: bound}, fit="none",
        )  # fmt: skip
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        assert name.startswith("field_share")  # two shares at their ends leave nothing for the third
    else:
        assert_finite(results)


@pytest.mark.parametrize("engine", ["compiled", "mesa"])
def test_all_parameters_at_their_lower_and_upper_bounds(engine):
    for end in (0, 1):
        values = {n: e.bounds[end] for n, e in PARAMETERS.items() if not n.startswith("field_share")}
        results = bdsim.run(
            bdsim.load_scenario("initiative-revival"), 2, 0, 4000, engine, horizon=2030, parameters=values, fit="none"
        )
        assert_finite(results)


def levers(tables, change, years="[2000, 2100]"):
    return "".join(f'[[lever]]\ntable = "{t}"\nyears = {years}\n{change}\nwhy = "test"\n' for t in tables)


EXTREMES = {
    "every table at its least": "".join(
        levers([t], f"set = {max(TABLES[t].least, -20.0)}") for t in TABLES if t not in INFLOW
    ),
    "every table at 100 times": levers([t for t in TABLES if t not in INFLOW], "multiply = 100.0"),
    "inflow at 100 times for a year": levers(INFLOW, "multiply = 100.0", "[2010, 2010]"),
    "everything at its least": "".join(levers([t], f"set = {max(TABLES[t].least, -20.0)}") for t in TABLES),
    "nobody enters any more": levers(INFLOW, "set = 0.0", "[2012, 2100]"),
    "only from India": levers(["inflow_china", "inflow_other"], "set = 0.0"),
    "scrutiny of everyone, ten times the Initiative": (
        '[[policy]]\nname = "P"\nfrom = 2000-01-01\nuntil = 2100-12-31\nscrutiny = 10.0\n'
        'targets = ["china", "india", "other"]\nwhy = "test"\n'
    ),
}


@pytest.mark.parametrize("title", EXTREMES)
def test_extreme_worlds_run_compare_and_draw_without_a_warning(here, capsys, title):
    """Through the command line, figures and report included; warnings are errors."""
    (here / "scenarios" / "extreme.toml").write_text(HEAD + EXTREMES[title])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        how = ["-m", "4", "-k", "1000", "--horizon", "2030"]
        app(["report", "baseline", "extreme", *how], standalone_mode=False)  # draws every figure of a comparison
        app(["run", "extreme", *how, "--json"], standalone_mode=False)
    out = capsys.readouterr().out
    assert "nan" not in out.lower().replace("financ", "")
    assert_finite(bdsim.load_results(next(here.glob("results/extreme-*"))))


def people_only_in(year, number, horizon=LAST_POSSIBLE_YEAR):
    """`number` doctorates from India in one year, and nobody else ever; before 2000 the facts decide."""
    return levers(INFLOW, "set = 0.0") + levers(["inflow_india"], f"set = {number}.0", f"[{year}, {year}]")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_handful_of_researchers(here, number):
    """One agent, or none, after the people of before 2000 have retired: nobody to be a colleague of."""
    (here / "scenarios" / "few.toml").write_text(HEAD + people_only_in(2005, number * 10_000))
    results = bdsim.run(bdsim.load_scenario("few"), 4, 0, 10_000, horizon=2060)
    assert_finite(results)
    entered = results.gathered("entrants").sum(axis=(1, 2, 3))
    assert (entered >= 0).all()
    assert FIRST_ENTRY < 2000  # they who entered before are history, not the scenario's
    summary = json.loads(results.summary().to_json(orient="records"))
    assert all(row["mean"] is not None for row in summary)


def test_a_world_without_anybody(fresh_study):
    """Facts without a single doctorate: a refusal that names the file, or a run of nobody."""
    path = fresh_study.evidence / "doctorates.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *(f"{','.join(line.split(',')[:2])},0" for line in lines)]) + "\n")
    try:
        results = bdsim.run(bdsim.load_scenario("baseline", fresh_study), 4, 0, 1000)
    except InputError as error:
        assert "doctorates.csv" in str(error)
        assert len(str(error).splitlines()) == 1
    else:
        assert_finite(results)


@pytest.mark.parametrize(
    ("lever", "options"),
    [("set = 1e6", ["-k", "1"]), ("multiply = 1e6", ["-k", "1"]), ("multiply = 1e6", ["-k", "1", "--horizon", "2100"])],
)
def test_what_no_memory_holds_is_refused_before_it_is_allocated(here, lever, options):
    (here / "scenarios" / "huge.toml").write_text(HEAD + levers(INFLOW, lever))
    with pytest.raises(InputError, match=r"agents, which need about [\d.,]+ GB of memory, and .* would do"):
        app(["run", "huge", *options], standalone_mode=False)
    assert [p.name for p in (here / "results").iterdir()] == ["README.md"]
