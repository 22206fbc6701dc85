"""What became of a researcher, as one number: 0 for those who never left, else when and for what they did.

A fate is 1 + 3 * (year - FIRST_YEAR) + choice, with the choices CHINA, ELSEWHERE and PROGRAMME of rule.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdsim.model.categories import FIRST_YEAR
from bdsim.model.rule import CHINA, ELSEWHERE, PROGRAMME

__all__ = ["WAYS", "Fates", "choice_of", "destination_of", "fate_of", "with_programme", "year_left"]

Fates = NDArray[np.uint16]
WAYS = 3  # of leaving


def fate_of(year: Any, choice: Any) -> Any:
    """The fate of one who made this choice in year number `year`, counted from FIRST_YEAR."""
    return 1 + WAYS * year + choice


def year_left(fate: Any) -> Any:
    """The calendar year in which those with these fates (not 0) left."""
    return FIRST_YEAR + (np.asarray(fate, np.int64) - 1) // WAYS


def choice_of(fate: Any) -> Any:
    """CHINA, ELSEWHERE or PROGRAMME, of fates that are not 0."""
    return (np.asarray(fate, np.int64) - 1) % WAYS


def destination_of(fate: Any) -> Any:
    """CHINA or ELSEWHERE, of fates that are not 0: a programme leads to China."""
    return np.where(choice_of(fate) == ELSEWHERE, ELSEWHERE, CHINA)


def with_programme(fate: Any) -> Any:
    """Whether those with these fates (not 0) left with a talent programme."""
    return choice_of(fate) == PROGRAMME
