"""bdsim: an agent-based simulation of researcher migration, and what a policy would change.

>>> import bdsim
>>> baseline = bdsim.run("baseline")
>>> revival = bdsim.run("initiative-revival")
>>> bdsim.compare(baseline, revival).effect()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bdsim.analysis.comparison import compare as compare
    from bdsim.calibration.backtest import backtest as backtest
    from bdsim.calibration.fitting import calibrate as calibrate
    from bdsim.calibration.problem import score as score
    from bdsim.calibration.validate import validate as validate
    from bdsim.errors import BdsimError as BdsimError
    from bdsim.model.agents import Researcher as Researcher
    from bdsim.reporting.plot import plot as plot
    from bdsim.runs.ensemble import run as run
    from bdsim.runs.mesa import MigrationModel as MigrationModel
    from bdsim.runs.results import Results as Results
    from bdsim.runs.results import load_results as load_results
    from bdsim.study.scenario import Scenario as Scenario
    from bdsim.study.scenario import load_scenario as load_scenario

__version__ = "0.1.0"
HOMES = {
    "BdsimError": "errors",
    "MigrationModel": "runs.mesa",
    "Researcher": "model.agents",
    "Results": "runs.results",
    "Scenario": "study.scenario",
    "backtest": "calibration.backtest",
    "calibrate": "calibration.fitting",
    "compare": "analysis.comparison",
    "load_results": "runs.results",
    "load_scenario": "study.scenario",
    "plot": "reporting.plot",
    "run": "runs.ensemble",
    "score": "calibration.problem",
    "validate": "calibration.validate",
}
__all__ = list(HOMES)


def __dir__() -> list[str]:
    """The public names, for completing `bdsim.` in a notebook."""
    return ["__version__", *HOMES]


def __getattr__(name: str) -> Any:
    """Names are imported when first used: `bdsim --help` must not wait for Numba, pandas or Mesa."""
    if name not in HOMES:
        raise AttributeError(f"module 'bdsim' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"bdsim.{HOMES[name]}"), name)
