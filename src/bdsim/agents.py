"""The model as Mesa agents: a Researcher is a handle on one row of the state, and decides by rule.py.

Use it to watch, select and subclass: AgentSet, DataCollector, mesa.batch_run and SolaraViz all work on
MigrationModel. For many members at a fine scale use the compiled engine, which makes the same decisions.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mesa
import numpy as np

from bdsim import draws, engine, rule
from bdsim.compiling import compiled
from bdsim.engine import FEAR, HERE, MOVED, SETTLED, TIES
from bdsim.environment import FIRST_YEAR
from bdsim.parameters import FIELDS
from bdsim.population import GROUPS, ORIGIN_OF_GROUP
from bdsim.rule import CAREER, CHINA, ELSEWHERE, STAY

__all__ = ["MigrationModel", "Researcher"]
