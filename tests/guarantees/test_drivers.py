"""Other people's tools can drive the model: SALib screens parameters, optimagic finds the same optimum."""

import numpy as np
import optimagic
import pytest
from SALib.analyze import morris as elementary_effects
from SALib.sample import morris as trajectories

import bdsim
from bdsim.calibration.optimum import optimise
from bdsim.calibration.problem import make_problem
from bdsim.errors import FitError
from bdsim.study.parameters import load_parameters

pytestmark = pytest.mark.one_python

COARSE = 200  # researchers per agent


@pytest.fixture(scope="module")
def problem(study):
    return make_problem(study, researchers_per_agent=COARSE)


def test_salib_screens_the_parameters_behind_a_target(problem):
    """Morris screening within a prior sd of the prior means, 8 trajectories of a fixed seed (nothing else is random).

    The rate of leaving for China moves departures most; what observers count and what US funding does after 2021 play
    no role in them, and their effects are exactly 0.
    """
    names = ["leave_china.china", "leave_elsewhere.india", "push", "funding", "rho", "stay_us", "mainland_stem"]
    entries = [problem.parameters.entries[name] for name in names]
    within = [
        [max(e.prior.mean - e.prior.sd, e.bounds[0]), min(e.prior.mean + e.prior.sd, e.bounds[1])] for e in entries
    ]
    space = {"num_vars": len(names), "names": names, "bounds": within}
    points = trajectories.sample(space, 8, seed=1)

    def departures(point):
        table = bdsim.score(dict(zip(names, point, strict=True)), problem=problem)
        return table.set_index("label").loc["all departures, 2010-2021", "model"]

    found = elementary_effects.analyze(space, points, np.array([departures(x) for x in points]), seed=1)
    effect = dict(zip(names, found["mu_star"], strict=True))
    assert max(effect, key=effect.get) == "leave_china.china"
    assert effect["push"] > 0
    assert effect["leave_elsewhere.india"] < 0.05 * effect["push"]  # only through the fear of colleagues
    assert effect["stay_us"] == effect["mainland_stem"] == 0


def test_optimagic_finds_the_optimum_of_optimise(study):
    """POUNDERS, which needs no derivatives, as an oracle for a problem of three parameters: the same values within a
    thousandth of a prior sd, the same cost within 1e-6."""
    small = make_problem(study, free=["push", "funding", "leave_china.china"], researchers_per_agent=COARSE)

    @optimagic.mark.least_squares
    def residuals(x):
        return small.residuals(np.asarray(x))

    bounds = optimagic.Bounds(lower=small.bounds[0], upper=small.bounds[1])
    oracle = optimagic.minimize(residuals, params=small.start, algorithm="pounders", bounds=bounds)
    ours = optimise(small, small.start)
    assert np.abs((oracle.params - ours.x) / small.sd).max() < 1e-3
    assert oracle.fun / 2 == pytest.approx(ours.cost, rel=1e-6)  # a cost is half the sum of squares
    at_optimum = bdsim.score(dict(zip(small.free, ours.x, strict=True)), problem=small)
    assert at_optimum.attrs["cost"] == pytest.approx(ours.cost, rel=1e-12)


SHAPING = {
    "funding_lag": 2.0,
    "past_growth": 0.1,
    "field_share.engineering_cs": 0.4,
    "field_share.math_physical": 0.2,
    "rewired": 0.5,
}


@pytest.mark.parametrize(("name", "value"), SHAPING.items())
def test_a_parameter_that_shapes_the_population_is_scored_or_refused_and_never_ignored(study, problem, name, value):
    """`score` alone makes the population anew; with a problem made once it says that it cannot."""
    cost = bdsim.score({name: value}, study=study).attrs["cost"]
    known = load_parameters(study.parameters)
    anew = make_problem(study, parameters=known.with_values({name: value}))
    assert cost == bdsim.score(problem=anew).attrs["cost"]
    assert cost != bdsim.score(study=study).attrs["cost"]
    with pytest.raises(FitError, match=name):
        bdsim.score({name: value}, problem=problem)
    assert bdsim.score({name: problem.parameters[name]}, problem=problem).attrs["cost"] > 0  # what it was made with
