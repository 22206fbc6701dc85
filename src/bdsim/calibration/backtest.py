"""Forecasts of years that the fit has not seen, beside naive rules that see as much."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri

from bdsim.calibration.posterior import explore, laplace_covariance
from bdsim.calibration.problem import Problem, make_problem, optimise
from bdsim.calibration.targets import yearly_to_china
from bdsim.errors import FitError
from bdsim.model import draws
from bdsim.model.categories import FIELDS, Floats
from bdsim.model.draws import Purpose
from bdsim.study.layout import Study

__all__ = ["backtest", "crps", "verdict"]

FIRST, LAST = 2010, 2021
EARLIEST_CUT = 2013  # a trend needs some years
PROPOSALS = 1200
SCALE = 50  # researchers per agent: a backtest fits several times
RULES = ("last", "linear", "loglinear")
NAIVE_DRAWS = 2000
LEVELS = {"p05": 0.05, "median": 0.5, "p95": 0.95}
Report = Callable[[str, int, int], None]


def backtest(study: Study, cuts: Sequence[int], *, seed: int = 0, report: Report | None = None) -> pd.DataFrame:
    """For each last year in `cuts`: refit without any later fact, forecast departures to mainland China.

    One row a (until, year, field), field 'all' the three STEM fields: fact, median, p05, p95, crps of the forecast
    and of each naive rule, whether the 90% interval holds the fact, the posterior's effective sample size.
    `attrs["observed"]`: year to fact of the three fields. Raises FitError for a year that leaves too little, or
    without the yearly series.
    """
    for cut in cuts:
        if not EARLIEST_CUT <= cut < LAST:
            raise FitError(f"{cut} is not a year from {EARLIEST_CUT} to {LAST - 1}", where="--until")
    rows: list[dict[str, object]] = []
    facts: dict[tuple[int, str], float] = {}
    for number, cut in enumerate(cuts):
        if report is not None:
            report("fits", number, len(cuts))
        problem = make_problem(study, until=cut, researchers_per_agent=SCALE)
        facts = _series(problem)
        rows += _one(problem, facts, cut, seed)
    if report is not None:
        report("fits", len(cuts), len(cuts))
    table = pd.DataFrame(rows)
    table.attrs["observed"] = {y: sum(facts[y, f] for f in FIELDS) for y in range(FIRST, LAST + 1)}
    return table


def verdict(table: pd.DataFrame) -> pd.DataFrame:
    """Mean CRPS of the forecast and of each rule, the winner, interval coverage and effective sample size, by last
    year seen and series."""
    rows = []
    for (until, kind), part in table.groupby(["until", table["field"].eq("all")]):
        scores = {"model": part["crps"].mean(), **{rule: part[f"crps_{rule}"].mean() for rule in RULES}}
        rows.append(
            {
                "until": int(until), "series": "total" if kind else "by field", "forecasts": len(part),
                **{k: float(v) for k, v in scores.items()}, "winner": min(scores, key=lambda k: float(scores[k])),
                "coverage": float(part["inside"].mean()), "effective": float(part["effective"].iloc[0]),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def crps(sample: Floats, fact: float) -> float:
    """The continuous ranked probability score of a sample, in the unit of the fact (Gneiting & Raftery 2007,
    doi:10.1198/016214506000001437): mean |x - fact| less half the mean distance of two members."""
    x = np.sort(sample)
    n = len(x)
    spread = float(((2 * np.arange(1, n + 1) - n - 1) * x).sum()) / n**2
    return float(np.abs(x - fact).mean()) - spread


def _series(problem: Problem) -> dict[tuple[int, str], float]:
    """The facts to forecast: departures to mainland China by (year, field)."""
    facts = {key: problem.targets[i].fact for key, i in yearly_to_china(problem.targets).items()}
    missing = [f"{y} {f}" for y in range(FIRST, LAST + 1) for f in FIELDS if (y, f) not in facts]
    if missing:
        raise FitError(f"departures to China lack {missing[0]}; a backtest needs the series", where="targets.toml")
    return facts


def _one(problem: Problem, facts: dict[tuple[int, str], float], cut: int, seed: int) -> list[dict[str, object]]:
    best = optimise(problem, problem.start)
    covariance, _ = laplace_covariance(problem, best.x)
    posterior = explore(problem, best.x, covariance, seed, proposals=PROPOSALS)
    index = yearly_to_china(problem.targets)
    rows: list[dict[str, object]] = []
    for field in ("all", *FIELDS):
        parts = FIELDS if field == "all" else (field,)
        seen = np.array([sum(facts[y, f] for f in parts) for y in range(FIRST, cut + 1)])
        for year in range(cut + 1, LAST + 1):
            fact = sum(facts[year, f] for f in parts)
            sample = sum(_observed(posterior.models[:, index[year, f]], problem, index[year, f], seed) for f in parts)
            forecast = np.asarray(sample, np.float64)
            low, median, high = np.quantile(forecast, list(LEVELS.values()))
            naive = {rule: _naive(rule, seen, year - cut, seed) for rule in RULES}
            rows.append(
                {
                    "until": cut, "year": year, "field": field, "fact": fact, "median": median, "p05": low, "p95": high,
                    "inside": bool(low <= fact <= high), "effective": posterior.effective, "crps": crps(forecast, fact),
                    **{f"crps_{rule}": crps(values, fact) for rule, values in naive.items()},
                    **{
                        f"{name}_{rule}": float(np.quantile(values, level))
                        for rule, values in naive.items() for name, level in LEVELS.items()
                    },
                }
            )  # fmt: skip
    return rows


def _observed(model: Floats, problem: Problem, target: int, seed: int) -> Floats:
    """The model's draws as they would be observed: with the fact's own error on the log scale."""
    noise = ndtri(draws.uniform(seed, np.arange(len(model), dtype=np.uint64), target, Purpose.POSTERIOR, 200))
    return np.asarray(model * np.exp(problem.targets[target].error * noise), np.float64)


def _naive(rule: str, seen: Floats, ahead: int, seed: int) -> Floats:
    """A naive rule's predictive sample `ahead` years after the last one seen; spread from its own past errors."""
    years = np.arange(len(seen), dtype=np.float64)
    noise = ndtri(draws.uniform(seed, np.arange(NAIVE_DRAWS, dtype=np.uint64), ahead, Purpose.POSTERIOR, 201))
    if rule == "last":
        return np.asarray(seen[-1] + np.std(np.diff(seen), ddof=1) * np.sqrt(ahead) * noise)
    values = np.log(seen) if rule == "loglinear" else seen
    slope, level = np.polyfit(years, values, 1)
    error = np.sqrt(((values - (level + slope * years)) ** 2).sum() / (len(seen) - 2))
    at = len(seen) - 1 + ahead
    widen = np.sqrt(1.0 + 1.0 / len(seen) + (at - years.mean()) ** 2 / ((years - years.mean()) ** 2).sum())
    sample = level + slope * at + error * widen * noise
    return np.asarray(np.exp(sample) if rule == "loglinear" else sample)
