"""bdsim: an agent-based simulation of researcher migration, and what a policy would change.

>>> import bdsim
>>> baseline = bdsim.run(bdsim.load_scenario("baseline"))
>>> revival = bdsim.run(bdsim.load_scenario("initiative-revival"))
>>> bdsim.compare(baseline, revival).effect()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bdsim.agents import MigrationModel, Researcher
    from bdsim.calibration import score
    from bdsim.comparison import compare
    from bdsim.ensemble import run
    from bdsim.errors import BdsimError
    from bdsim.fitting import calibrate
    from bdsim.results import Results, load_results
    from bdsim.scenario import Scenario, load_scenario

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
    "MigrationModel": "agents",
    "Researcher": "agents",
    "Results": "results",
    "Scenario": "scenario",
    "calibrate": "fitting",
    "compare": "comparison",
    "load_results": "results",
    "load_scenario": "scenario",
    "run": "ensemble",
    "score": "calibration",
}


def __getattr__(name: str) -> Any:
    """Names are imported when first used: `bdsim --help` must not wait for Numba, pandas or Mesa."""
    if name not in HOMES:
        raise AttributeError(f"module 'bdsim' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"bdsim.{HOMES[name]}"), name)
