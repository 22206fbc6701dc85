"""Figures of a fit on disk, made on demand: the fit that is shipped comes without them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bdsim.calibration.fitting import Calibration
from bdsim.calibration.optimum import Optimum
from bdsim.calibration.posterior import Posterior, shocked
from bdsim.calibration.problem import make_problem
from bdsim.errors import FitError
from bdsim.files.text import read_text
from bdsim.reporting.figures.fits import fit_drawings
from bdsim.reporting.style import save_all
from bdsim.study.fit import Fit, load_fit
from bdsim.study.parameters import load_parameters
from bdsim.study.shocks import SERIES

if TYPE_CHECKING:
    from bdsim.study.layout import Study

__all__ = ["draw_again", "read_back"]

MOST_DRAWS = 200  # whose expected runs the band of the series shows


@dataclass(frozen=True)
class KeptCalibration(Calibration):
    """A calibration read back from disk; it goes by the fingerprint under which it was kept."""

    kept_as: str = ""

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits of everything that determined the fit."""
        return self.kept_as


def draw_again(study: Study, name: str) -> Path:
    """Draw every figure of fitted/NAME from what is kept of it; the folder. Raises FitError, StorageError."""
    folder = study.fitted / name / "figures"
    save_all(fit_drawings(read_back(study, name)), folder)
    return folder


def read_back(study: Study, name: str) -> KeptCalibration:
    """The calibration that fitted/NAME was saved from, its posterior run anew on the facts in use.

    Raises FitError when the targets in use are not those of the fit.
    """
    known = load_parameters(study.parameters)
    fit = load_fit(study, name, known)
    made = fit.manifest
    problem = make_problem(
        study, parameters=fit.centre(known), free=list(fit.draws), researchers_per_agent=made["researchers_per_agent"]
    )
    targets, trace = (pd.read_csv(_file(fit, file)) for file in ("targets.csv", "trace.csv"))
    if [t.label for t in problem.targets] != list(targets["label"]):
        problem_said = f"was fitted to other targets than those in use; 'bdsim calibrate --name {name}' fits anew"
        raise FitError(problem_said, where=fit.path)
    draws = fit.draws.to_numpy(np.float64)[:MOST_DRAWS]
    shocks = np.zeros((len(draws), len(problem.shock_years) * len(SERIES)))
    for column, (year, series) in enumerate((y, s) for y in problem.shock_years for s in SERIES):
        own = fit.shocks[fit.shocks["year"] == year] if len(fit.shocks) else fit.shocks
        if len(own):
            shocks[:, column] = own.sort_values("draw")[series].to_numpy(np.float64)[: len(draws)]
    models = problem.models(list(draws))
    share, effective = made["share_of_scrutiny_in_departures"], float(made["effective_sample_size"])
    return KeptCalibration(
        problem=problem, seed=made["seed"], starts=made["starts"],
        optimum=Optimum(fit.table["mode"].to_numpy(np.float64), made["cost"], 0, True, "read back"),
        posterior=Posterior(draws, models, shocks, shocked(problem, models, shocks), effective, made["proposals"]),
        parameters=fit.table, targets=targets,
        sensitivity=pd.read_csv(_file(fit, "sensitivity.csv"), index_col="target"),
        trace=trace, said=made["identifiability"], warnings=made["warnings"], mean_field_gap=made["mean_field_gap"],
        scrutiny_share=(share["p05"], share["median"], share["p95"]), kept_as=made["fingerprint"],
    )  # fmt: skip


def _file(fit: Fit, name: str) -> str:
    read_text(fit.path / name, FitError)  # one line where it is missing
    return str(fit.path / name)
