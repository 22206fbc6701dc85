"""Policies in sampled futures: regrets of a table that is known, and the futures of a run are its members'."""

import numpy as np
import pytest

from bdsim.analysis.futures.robust import Robust, robust_choice
from bdsim.analysis.quantity import Quantity
from bdsim.errors import UsageError
from bdsim.reporting.figures.futures import draw_robust
from bdsim.runs.plan import Settings, plan_run
from bdsim.study.scenario import load_scenario

pytestmark = pytest.mark.one_python

OF = Quantity("departures", 2026, 2028)


def test_shares_are_those_of_the_table():
    values = np.array([[10.0, 12.0, 30.0], [20.0, 12.0, 5.0], [7.0, 9.0, 8.0], [1.0, 1.0, 1.0]])
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    found = Robust(OF, ("a", "b", "c"), values, weights, np.array([0, 0, 1, 1]), False, 10.0)
    table = found.table().set_index("policy")
    assert table["regret"].to_dict() == pytest.approx({"a": 4.5, "b": 0.8 + 2.1 + 0.4, "c": 8.2})
    assert table["best"].to_dict() == pytest.approx({"a": 0.7, "b": 0.1, "c": 0.4})  # the last is a tie
    assert table["worst"].to_dict() == pytest.approx({"a": 0.3, "b": 0.2, "c": 0.4})
    assert table["meets"].to_dict() == pytest.approx({"a": 0.7, "b": 0.3, "c": 0.6})
    assert (table["best_p05"] <= table["best"]).all() and (table["best"] <= table["best_p95"]).all()
    assert found.never_worst() == []
    assert draw_robust(found).numbers.equals(found.table())


def test_the_futures_of_a_run_are_those_that_its_members_draw(fresh_study):
    text = 'title = "{0}"\nquestion = "Q?"\nextends = "baseline"\n'
    revival = (
        '[[policy]]\nname = "Revival"\nfrom = 2026-01-01\nuntil = 2029-01-01\n'
        'scrutiny = { low = 0.0, high = 2.0, why = "R" }\nwhy = "W"\n'
    )
    lever = '[[lever]]\nname = "{0}"\ntable = "us_funding"\nyears = [2026, 2028]\nmultiply = {1}\nwhy = "W"\n'
    files = {"future": revival, "more": lever.format("more", 1.2), "less": lever.format("less", 0.8)}
    for name, part in files.items():
        (fresh_study.scenarios / f"{name}.toml").write_text(text.format(name) + part)
    scenarios = {name: load_scenario(name, fresh_study) for name in files}
    base = plan_run(load_scenario("baseline", fresh_study), Settings(4, 0, 400, "compiled", 2028), None, "none")
    policies = [load_scenario("baseline", fresh_study), scenarios["more"], scenarios["less"]]
    found = robust_choice(base, policies, scenarios["future"], OF)
    assert found.values.shape == (4, 3) and found.weights == pytest.approx([0.25] * 4)
    assert (found.regret[:, 1] == 0.0).all() and (found.regret[:, 2] > found.regret[:, 0]).all()
    assert len(np.unique(found.values[:, 0])) == 4  # every member its own scrutiny
    assert found.never_worst() == ["Baseline", "more"]
    drawn = plan_run(scenarios["future"], base.settings, None, "none")
    order = [drawn.plans_of(m)[0].branch.policies[-1].scrutiny for m in range(4)]
    assert np.argsort(order).tolist() == np.argsort(found.values[:, 0]).tolist()
    with pytest.raises(UsageError, match="at least two policies"):
        robust_choice(base, policies[:1], scenarios["future"], OF)
