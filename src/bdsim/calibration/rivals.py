"""Naive rules that a forecast must beat, each with a spread that its own past errors bear out."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from bdsim.errors import FitError
from bdsim.model import draws
from bdsim.model.categories import Floats
from bdsim.model.draws import Purpose

__all__ = ["RULES", "forecast_by"]

RULES = ("last", "linear", "loglinear", "damped")
DRAWS = 2000
DAMPING, RECENT, PAST = 0.8, 5, 8  # of the damped trend: share of growth kept each year; years of growth and of spread


def forecast_by(rule: str, seen: Floats, ahead: int, seed: int = 0) -> Floats:
    """A rule's predictive sample, shape (DRAWS,), `ahead` years after the last one of the yearly series `seen`.

    - `last`: the last value; spread from the root mean square of yearly changes, times the root of the years ahead,
      with as many degrees of freedom as there are changes
    - `linear`, `loglinear`: least squares through all years; Student's t with n - 2 degrees of freedom, widened by how
      far the year lies from those seen
    - `damped`: growth of the last RECENT years on the log scale, fading by DAMPING each year (Gardner & McKenzie
      1985, doi:10.1287/mnsc.31.10.1237); spread from the sd of the last PAST changes, times the root of the years ahead
    """
    if len(seen) < 3:
        raise FitError(f"{len(seen)} years are too few for a trend", where="backtest")
    luck = draws.uniform(seed, np.arange(DRAWS, dtype=np.uint64), ahead, Purpose.POSTERIOR, 201)
    if rule == "last":
        changes = np.diff(seen)
        spread = np.sqrt((changes**2).mean() * ahead)
        return np.asarray(seen[-1] + spread * stdtrit(len(changes), luck))
    values = np.log(np.maximum(seen, 0.5)) if rule != "linear" else seen
    if rule == "damped":
        changes = np.diff(values)
        growth = changes[-RECENT:].mean() * (DAMPING ** np.arange(1, ahead + 1)).sum()
        spread = changes[-PAST:].std(ddof=1) * np.sqrt(ahead)
        return np.asarray(np.exp(values[-1] + growth + spread * ndtri(luck)))
    years = np.arange(len(seen), dtype=np.float64)
    slope, level = np.polyfit(years, values, 1)
    error = np.sqrt(((values - (level + slope * years)) ** 2).sum() / (len(seen) - 2))
    at = len(seen) - 1 + ahead
    widen = np.sqrt(1.0 + 1.0 / len(seen) + (at - years.mean()) ** 2 / ((years - years.mean()) ** 2).sum())
    sample = level + slope * at + error * widen * stdtrit(len(seen) - 2, luck)
    return np.asarray(np.exp(sample) if rule == "loglinear" else sample)
