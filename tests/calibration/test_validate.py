"""Published effects stand beside the model's own, and nothing does where the model has no such number."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bdsim.analysis.attribution import acts_through, by_verdict
from bdsim.calibration import validate as module
from bdsim.calibration.validate import validate


@pytest.fixture(scope="module")
def table(study):
    scale, module.SCALE = module.SCALE, 400
    try:
        return validate(study).set_index("name")
    finally:
        module.SCALE = scale


def test_every_published_effect_has_a_row_and_says_what_the_model_implies(table):
    assert {"accepted", "year_of_waiting", "lapsed_grant", "hazard_falls", "recruits", "later_leavers"} <= set(
        table.index
    )
    assert 0.0 < table.loc["accepted", "median"] < 1.0
    assert table.loc["year_of_waiting", "median"] > 0.0  # waiting longer, fewer stay
    assert table.loc["hazard_falls", "median"] > 1.0
    assert table.loc["in_us", "agrees"] is None and np.isnan(table.loc["in_us", "median"])


def test_what_an_effect_rests_on_is_attribution_times_verdict():
    fit = SimpleNamespace(
        table=pd.DataFrame({"parameter": ["push", "rho", "accept", "funding"],
                            "verdict": ["partly", "prior", "prior", "informed by the data"]})
    )  # fmt: skip
    values = np.array([[30.0, -10.0, 10.0, 500.0], [50.0, -10.0, 10.0, 500.0]])
    causes = ("scrutiny", "talent offers", "Chinese funding", "population growth")
    shares = by_verdict(fit, causes, values)  # 40, 10, 10 of 60; doctorates act through no parameter
    assert shares == pytest.approx({"partly": 40 / 60, "prior": 10 / 60, "informed by the data": 10 / 60})
    assert by_verdict(None, causes, values) == {}
    plain = {"policy": [{"name": "Initiative"}], "lever": [], "event": []}
    assert (
        acts_through(fit, plain, {"fade": "Memory of fear while it falls"})
        == "The scenario acts through “rho”, “Memory of fear while it falls”, “spill” (only a prior informs); “push” "
        "(the data inform partly)."
    )
