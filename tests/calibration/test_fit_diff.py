"""What pulled between two fits, against least squares where the answer is known exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bdsim.calibration.fit_diff import fit_difference
from bdsim.cli import terminal
from bdsim.cli.main import app
from bdsim.errors import FitError
from bdsim.study.layout import Study

pytestmark = pytest.mark.one_python
NAMES = ["funding", "push", "roots"]
FACTS = 12


def linear_fit(folder: Path, design: np.ndarray, facts: np.ndarray, keep: list[int], error: float = 0.5) -> None:
    """A fit of facts = design @ x with prior N(0, 1), in closed form, as `bdsim calibrate` keeps one."""
    jacobian = np.vstack([design[keep] / error, np.eye(len(NAMES))])
    covariance = np.linalg.inv(jacobian.T @ jacobian)
    mode = covariance @ (design[keep] / error).T @ (facts[keep] / error)
    sd = np.sqrt(np.diag(covariance))
    folder.mkdir(parents=True)
    pd.DataFrame(
        {
            "parameter": NAMES,
            "mode": mode,
            "sd": sd,
            "prior_mean": 0.0,
            "prior_sd": 1.0,
            "verdict": "informed by the data",
        }
    ).to_csv(folder / "parameters.csv", index=False)
    labels = [f"fact {i}" for i in keep]
    pd.DataFrame(
        {
            "target": "series", "label": labels, "role": "fitted", "fact": facts[keep], "error": error,
            "scale": "absolute", "residual": (design[keep] @ mode - facts[keep]) / error,
        }
    ).to_csv(folder / "targets.csv", index=False)  # fmt: skip
    moves = (covariance @ (design[keep] / error).T) / sd[:, None]
    pd.DataFrame(moves.T, index=pd.Index(labels, name="target"), columns=NAMES).to_csv(folder / "sensitivity.csv")
    correlation = covariance / np.outer(sd, sd)
    pd.DataFrame(correlation, index=NAMES, columns=NAMES).to_csv(folder / "correlations.csv")
    (folder / "manifest.json").write_text(json.dumps({"held": {}, "versions": {}}))


@pytest.fixture
def fits(tmp_path: Path) -> Study:
    random = np.random.default_rng(7)
    design, facts = random.normal(size=(FACTS, 3)), random.normal(size=FACTS)
    facts[4] += 3.0  # a fact that does not fit the others
    fitted, everything = tmp_path / "calibration" / "fitted", list(range(FACTS))
    linear_fit(fitted / "whole", design, facts, everything)
    linear_fit(fitted / "without", design, facts, [i for i in everything if i != 4])
    moved = facts.copy()
    moved[4] += 2.0
    linear_fit(fitted / "moved", design, moved, everything)
    linear_fit(fitted / "surer", design, facts, everything, error=0.25)
    return Study(tmp_path)


@pytest.mark.parametrize(
    ("a", "b", "change"),
    [("whole", "moved", "value"), ("without", "whole", "added"), ("whole", "without", "removed")],
)
def test_in_a_linear_model_the_pull_of_a_fact_is_the_whole_shift(fits: Study, a: str, b: str, change: str) -> None:
    found = fit_difference(fits, a, b)
    assert found.facts[["label", "change"]].to_numpy().tolist() == [["fact 4", change]]
    np.testing.assert_allclose(found.parameters["predicted"], found.parameters["shift"], atol=1e-9)
    assert found.parameters["shift"].abs().max() > 0.1
    assert set(found.pulls["label"]) == {"fact 4"} and found.notes == ()


def test_a_fit_differs_in_nothing_from_itself(fits: Study) -> None:
    found = fit_difference(fits, "whole", "whole")
    assert found.facts.empty and found.pulls.empty and not found.parameters["shift"].any() and found.notes == ()


def test_another_error_is_a_change_without_a_pull(fits: Study) -> None:
    found = fit_difference(fits, "whole", "surer")
    assert set(found.facts["change"]) == {"error"} and len(found.facts) == FACTS and found.pulls.empty
    assert (found.parameters["sd_ratio"] < 1).all()


def test_priors_held_values_and_freed_parameters_are_told(fits: Study) -> None:
    folder = fits.fitted / "moved"
    table = pd.read_csv(folder / "parameters.csv")
    table.loc[0, "prior_sd"] = 2.0
    table.to_csv(folder / "parameters.csv", index=False)
    (folder / "manifest.json").write_text(json.dumps({"held": {"rho": 0.5}, "versions": {"numpy": "9"}}))
    assert fit_difference(fits, "whole", "moved").notes == (
        "'whole' holds nothing; 'moved' holds rho = 0.5",
        "the prior differs: funding",
        "made with other versions of numpy",
    )


def test_a_fit_that_is_not_there_is_answered_with_the_nearest(fits: Study) -> None:
    with pytest.raises(FitError, match="no fit named 'hole'; did you mean 'whole'"):
        fit_difference(fits, "hole", "whole")


@pytest.mark.parametrize("file", ["parameters.csv", "targets.csv", "sensitivity.csv", "correlations.csv"])
def test_a_table_that_lacks_a_column_is_refused(fits: Study, file: str) -> None:
    (fits.fitted / "moved" / file).write_text("parameter,label,target,x\n1,2,3,4\n")
    with pytest.raises(FitError, match=file):
        fit_difference(fits, "whole", "moved")


def test_the_command_names_the_fact_that_pulled(
    fits: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (fits.root / "calibration" / "parameters.toml").write_text("")
    monkeypatch.chdir(fits.root)
    # A console made under pytest-xdist keeps the width that it found there, whatever COLUMNS says later.
    monkeypatch.setattr(terminal, "out", terminal.Terminal(width=200, highlight=False))
    app(["fit-diff", "without", "whole"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "fact 4" in said and "added" in said and "by facts" in said
    app(["fit-diff", "whole", "whole"], standalone_mode=False)
    assert "Both were fitted to the same facts." in capsys.readouterr().out
    app(["fit-diff", "without", "whole", "--json"], standalone_mode=False)
    assert {row["label"] for row in json.loads(capsys.readouterr().out)["pulls"]} == {"fact 4"}
