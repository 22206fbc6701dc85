"""The labels and years that everything counts by: one place for what a researcher can be and where they can go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DESTINATIONS",
    "FIELDS",
    "FIRST_ENTRY",
    "FIRST_YEAR",
    "GROUPS",
    "LAST_POSSIBLE_YEAR",
    "ORIGINS",
    "ORIGIN_OF_GROUP",
    "REFERENCE_YEAR",
    "ROUTES",
    "STAGES",
    "Floats",
]

Floats = NDArray[np.float64]

ORIGINS = ("china", "india", "other")
ROUTES = ("doctorate", "settled")
GROUPS = (("china", "doctorate"), ("china", "settled"), ("india", "doctorate"), ("other", "doctorate"))
ORIGIN_OF_GROUP = np.array([0, 0, 1, 2], np.int64)
FIELDS = ("engineering_cs", "math_physical", "life")
STAGES = ("early", "mid", "senior")
DESTINATIONS = ("china", "elsewhere")

FIRST_YEAR = 2000
FIRST_ENTRY = 1965  # the oldest cohort still at work in 2000 or nearly so
LAST_POSSIBLE_YEAR = 2100
REFERENCE_YEAR = 2010  # the funding ratio is measured against this year, the first of the calibration window
