"""bdsim: an agent-based simulation of researcher migration, and what a policy would change.

>>> import bdsim
>>> baseline = bdsim.run(bdsim.load_scenario("baseline"))
>>> revival = bdsim.run(bdsim.load_scenario("initiative-revival"))
>>> bdsim.compare(baseline, revival).effect()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bdsim.analysis.comparison import compare
    from bdsim.calibration.fitting import calibrate
    from bdsim.calibration.problem import score
    from bdsim.errors import BdsimError
    from bdsim.model.agents import Researcher
    from bdsim.runs.ensemble import run
    from bdsim.runs.mesa import MigrationModel
    from bdsim.runs.results import Results, load_results
    from bdsim.study.scenario import Scenario, load_scenario

__version__ = "0.1.0"
__all__ = [
    "BdsimError",
    "MigrationModel",
    "Researcher",
    "Results",
    "Scenario",
    "calibrate",
    "compare",
    "load_results",
    "load_scenario",
    "run",
    "score",
]
HOMES = {
    "BdsimError": "errors",
    "MigrationModel": "runs.mesa",
    "Researcher": "model.agents",
    "Results": "runs.results",
    "Scenario": "study.scenario",
    "calibrate": "calibration.fitting",
    "compare": "analysis.comparison",
    "load_results": "runs.results",
    "load_scenario": "study.scenario",
    "run": "runs.ensemble",
    "score": "calibration.problem",
}


def __getattr__(name: str) -> Any:
    """Names are imported when first used: `bdsim --help` must not wait for Numba, pandas or Mesa."""
    if name not in HOMES:
        raise AttributeError(f"module 'bdsim' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"bdsim.{HOMES[name]}"), name)
