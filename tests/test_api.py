"""The edges of what `import bdsim` offers: what may stand for a scenario or a number, and one line for what may not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bdsim
from bdsim.errors import InputError, UsageError
from bdsim.runs.plan import Settings, plan_run
from bdsim.study.fit import Fit
from bdsim.study.layout import Study
from bdsim.study.parameters import load_parameters

QUICK: dict[str, Any] = {"members": 2, "researchers_per_agent": 1000, "horizon": 2024}
pytestmark = pytest.mark.one_python


def refusal(call: Any) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 400
    return str(caught.value)


def test_a_scenario_may_be_named_or_loaded_at_either_door(here: Path) -> None:
    loaded = bdsim.load_scenario("baseline")
    by_name, by_object = (bdsim.run(which, **QUICK) for which in ("baseline", loaded))
    assert by_name.fingerprint == by_object.fingerprint
    assert bdsim.run(here / "scenarios" / "baseline.toml", **QUICK).fingerprint == by_name.fingerprint
    models = [bdsim.MigrationModel(which, researchers_per_agent=2000, horizon=2012) for which in ("baseline", loaded)]
    assert models[0].researchers_here() == models[1].researchers_here() > 0
    for other in (None, 3, ["baseline"], {"title": "x"}):
        assert "is not a scenario: give its name, its file or a Scenario" in refusal(lambda o=other: bdsim.run(o))
        assert "is not a scenario" in refusal(lambda o=other: bdsim.MigrationModel(o))


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.array])
def test_any_kind_of_whole_number_is_one(kind: Any) -> None:
    settings = Settings(members=kind(2), seed=kind(3), researchers_per_agent=kind(100))
    assert settings == Settings(members=2, seed=3, researchers_per_agent=100)
    assert type(settings.members) is type(settings.seed) is int
    assert repr(settings) == repr(Settings(members=2, seed=3, researchers_per_agent=100))  # it is in the fingerprint


@pytest.mark.parametrize("value", [2.0, "2", True, np.float64(2), None, 0, -1, math.nan, np.array([2]), 10**30])
def test_what_is_not_a_whole_number_within_range_is_refused(value: object) -> None:
    assert refusal(lambda: Settings(members=value)).endswith("is not a whole number from 1 to 100000")  # type: ignore[arg-type]


def test_numbers_of_parameters_are_numbers(study: Study) -> None:
    known = load_parameters(study.parameters)
    for value in (0.5, np.float32(0.5), np.float64(0.5)):
        assert known.with_values({"push": value})["push"] == 0.5
    assert known.with_values({"push": np.int8(1)})["push"] == 1.0
    for value in ("0.5", True, None, [0.5], 1j, np.array([0.5, 1])):
        assert "push: " in refusal(lambda v=value: known.with_values({"push": v}))
        assert "is not a number" in refusal(lambda v=value: known.with_values({"push": v}))
    for value in (math.nan, math.inf, -math.inf, 10**400, np.float64("nan")):
        assert "is outside its bounds" in refusal(lambda v=value: known.with_values({"push": v}))


@pytest.mark.parametrize("held", ["push=0.5", ["push"], 0.5, {"pushh": 0.5}, {1: 0.5}])
def test_what_holds_no_parameters_is_refused(study: Study, held: Any) -> None:
    scenario = bdsim.load_scenario("baseline", study)
    assert refusal(lambda: plan_run(scenario, Settings(**QUICK), held))


def test_a_world_has_its_own_people_years_and_parameters(study: Study) -> None:
    job = plan_run(bdsim.load_scenario("baseline", study), Settings(1, 0, 2000, "mesa", 2012))
    world = job.world(job.plans[0])
    assert bdsim.MigrationModel(world).researchers_here() > 0
    for given in ({"push": 0}, {"pushh": 3}, {"horizon": 2050}, {"researchers_per_agent": 100}):
        (name,) = given.keys()
        said = refusal(lambda g=given: bdsim.MigrationModel(world, **g))
        assert said == f"{name}: a World has its own; give a scenario to choose {name}"
    assert "unknown parameter 'pushh'; did you mean 'push'?" in refusal(
        lambda: bdsim.MigrationModel("baseline", pushh=3)
    )
    for wrong in ({"member": -1}, {"member": 1.5}, {"seed": -1}, {"seed": "a"}, {"horizon": 1990}):
        assert refusal(lambda w=wrong: bdsim.MigrationModel("baseline", **w))


def test_years_that_a_run_does_not_have_are_refused(here: Path) -> None:
    reference, scenario = (bdsim.run(name, **QUICK) for name in ("baseline", "no-initiative"))
    both = bdsim.compare(reference, scenario)
    for first, last in ((1990, 1995), (2020, 2010), (2020, 2030), (2030, 2040)):
        said = refusal(lambda a=first, b=last: both.difference(scenario, [(a, b)]))
        assert said == f"periods: {first}-{last} does not lie within 2000-2024 in order"
        assert refusal(lambda a=first, b=last: both.precision(scenario, (a, b))) == said
        assert refusal(lambda a=first, b=last: reference.variance_split(a, b))
    for year in (1990, 2025, 2200):
        assert refusal(lambda y=year: both.effect(cumulative_from=y))
        assert refusal(lambda y=year: reference.by(cumulative_from=y))
    assert "did you mean 'field'?" in refusal(lambda: both.effect(axes=["feild"]))
    assert "did you mean 'china'?" in refusal(lambda: both.effect(origin="chinna"))
    assert "did you mean 'field'?" in refusal(lambda: reference.by("feild"))
    assert "did you mean 'china'?" in refusal(lambda: reference.by(origin="chinna"))
    assert "nothing to compare with" in refusal(lambda: bdsim.compare(reference))
    with pytest.raises(UsageError, match="is not a run"):
        bdsim.compare("baseline", scenario)  # type: ignore[arg-type]


def test_what_a_notebook_shows_is_short_and_says_what_it_is(here: Path, study: Study) -> None:
    reference, scenario = (bdsim.run(name, **QUICK) for name in ("baseline", "no-initiative"))
    both = bdsim.compare(reference, scenario)
    assert repr(both) == "<Comparison of no-initiative with baseline, 2000-2024>"
    shown = both._repr_html_()
    mean = both.difference(scenario, [(2010, 2021)]).mean()[0]
    assert f"<td>{mean:.1f}</td>" in shown and len(shown) < 10_000
    draws, table = (
        pd.DataFrame({"push": [0.1, 0.2], "roots": [1.0, 2.0]}),
        pd.DataFrame({"parameter": ["push", "roots"]}),
    )
    fit = Fit("mine", study.fitted / "mine", draws, table, pd.DataFrame(), {"statement": "<b>"})
    assert repr(fit) == "<Fit 'mine': 2 parameters, 2 draws of their posterior>"
    assert "<td>push</td>" in fit._repr_html_() and "&lt;b&gt;" in fit._repr_html_()


@pytest.mark.parametrize("folder", [3, b"\0", "a\0b", ["x"]])
def test_what_is_no_path_is_refused(here: Path, folder: Any) -> None:
    assert "is not a path" in refusal(lambda: bdsim.load_results(folder))
    assert "is not a path" in refusal(lambda: bdsim.run("baseline", folder=folder, **QUICK))
    assert not list(here.glob("*unfinished*"))
