"""Sweeps: the point where nothing is changed is the scenario itself, and mistakes are one line."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import bdsim
from bdsim.analysis.breakeven import Turned
from bdsim.analysis.futures.sweep import sweep
from bdsim.analysis.quantity import Quantity
from bdsim.cli.main import app
from bdsim.errors import UsageError
from bdsim.reporting.figures.futures import draw_sweep
from bdsim.runs.expected import Request, answers_to, posterior_draws
from bdsim.runs.plan import Settings, plan_run

pytestmark = pytest.mark.one_python

YEARS = (2026, 2028)
OF = Quantity("departures", *YEARS)


@pytest.fixture(scope="module")
def job(study):
    return plan_run(bdsim.load_scenario("initiative-revival", study), Settings(2, 0, 300, "compiled", 2028))


def test_where_nothing_is_changed_it_is_the_scenario(job):
    us, offers = Turned("us_funding", "multiply", YEARS, 0.5, 1.5), Turned("offers", "add", YEARS, 0.0, 500.0)
    found = sweep(job, [us, offers], OF, 3)
    (now,) = answers_to(job, [Request(job.plans[0].timeline, posterior_draws(job), range(2))], OF.of)
    assert found.values.shape == (2, 3, 3)
    assert np.array_equal(found.values[:, 1, 0], now)
    table = found.table()
    assert len(table) == 9
    here = table[(table["us_funding"] == 1.0) & (table["offers"] == 0.0)]
    assert here["mean"].item() == pytest.approx(now.mean())
    assert (np.diff(found.values[:, :, 0], axis=1) < 0.0).all()  # more funding here, fewer leave
    assert draw_sweep(found).numbers.equals(table)


@pytest.mark.parametrize(
    "axes, steps, message",
    [
        ([], 3, "one or two"),
        ([Turned("us_fundin", "multiply", YEARS, 0.5, 1.5)], 3, "did you mean 'us_funding'"),
        ([Turned("offers", "add", YEARS, 5.0, 5.0)], 3, "is empty"),
        ([Turned("offers", "add", YEARS, 0.0, 5.0)] * 2, 3, "named twice"),
        ([Turned("offers", "add", YEARS, 0.0, 5.0)], 1, "not a number from 2"),
    ],
)
def test_what_cannot_be_swept_is_refused(job, axes, steps, message):
    with pytest.raises(UsageError, match=message):
        sweep(job, axes, OF, steps)


def test_the_command_gives_points_and_refuses_nonsense(here):
    options = ["--draws", "1", "-k", "400", "--horizon", "2026", "--years", "2026", "--of", "departures:2026"]
    done = CliRunner().invoke(app, ["sweep", "--policy-scrutiny", "0..1", "--steps", "2", *options, "--json"])
    assert done.exit_code == 0, done.output
    points = json.loads(done.stdout)["points"]
    assert [p["scrutiny_china"] for p in points] == [0.0, 1.0] and points[0]["mean"] < points[1]["mean"]
    for wrong in (["--lever", "offers=1"], ["--lever", "offers=a..b"], ["--lever", "offers=0..inf"], ["--as", "plus"]):
        with pytest.raises(UsageError):
            CliRunner().invoke(app, ["sweep", *wrong, *options], catch_exceptions=False)
