"""Forecasts of years that the fit has not seen, beside naive rules that see as much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from bdsim.calibration.optimum import optimise
from bdsim.calibration.posterior import Posterior, explore, laplace_covariance, shocked
from bdsim.calibration.problem import Problem, make_problem
from bdsim.calibration.targets import Target
from bdsim.errors import FitError, UsageError, did_you_mean
from bdsim.model import draws
from bdsim.model.categories import Floats
from bdsim.model.draws import Purpose
from bdsim.runs.expected import Request, expected_runs
from bdsim.study.layout import Study, find_study
from bdsim.study.uncertainty.foresight import timelines_foreseen

__all__ = ["DRIVERS", "LEVELS", "RULES", "TOTAL", "backtest", "coverage", "crps", "forecast_by", "verdict"]

LEAST_SEEN = 4  # years: a trend needs some
PROPOSALS = 1600
SCALE = 50  # researchers per agent: a backtest fits several times
LEVELS = {"p05": 0.05, "p10": 0.10, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.90, "p95": 0.95}
TOTAL = "total"
RULES = ("last", "linear", "loglinear", "damped")
DRIVERS = ("known", "forecast")
DRAWS = 2000
DAMPING, RECENT, PAST = 0.8, 5, 8  # of the damped trend: share of growth kept each year; years of growth and of spread
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Series:
    """A yearly series of departures among the targets: `places[year, field]` are positions of its targets."""

    name: str
    fields: tuple[str, ...]
    years: range
    places: Mapping[tuple[int, str], int]

    @property
    def rows(self) -> dict[str, tuple[str, ...]]:
        """What is forecast: each field, and their total where there are several."""
        return {f: (f,) for f in self.fields} | ({TOTAL: self.fields} if len(self.fields) > 1 else {})


def backtest(
    cuts: Sequence[int],
    targets: Path | str | None = None,
    *,
    drivers: Literal["known", "forecast"] = "known",
    study: Study | Path | str | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> pd.DataFrame:
    """For each last year in `cuts`: refit without any later fact, and forecast every yearly series of departures.

    The forecast sees no later departures; it is a weighted ensemble of the posterior with its shocks, running on as
    AR(1), and the facts' own errors. With drivers "known" it is given later funding, inflow, offers and scrutiny; with
    "forecast" every draw has its own future of them, by the outlook's rule from the last year seen (foresight.py), and
    the policies that had begun by then: what somebody could have published in that year. `targets` is a targets.toml
    (default: the study's); any entry of yearly departures in it is forecast, up to its own last year.

    One row a (series, until, year, field), field "total" the sum over fields: fact; p05, p10, p25, median, p75, p90,
    p95, pit (the forecast's probability of at most the fact) and crps of the forecast; crps_RULE and p05, median, p95
    _RULE for each rule of rivals.RULES (last, linear, loglinear, damped); `effective`, the posterior's effective sample
    size. Raises FitError for a year that leaves too little, or without any such series; UsageError for other drivers.
    """
    if drivers not in DRIVERS:
        raise UsageError(f"unknown drivers '{drivers}'{did_you_mean(drivers, DRIVERS)}", where="--drivers")
    home = study if isinstance(study, Study) else find_study(study)
    file = Path(targets) if targets is not None else None
    tables: list[pd.DataFrame] = []
    for number, cut in enumerate(cuts):
        if report is not None:
            report("fits", number, len(cuts))
        problem = make_problem(home, targets=file, until=cut, researchers_per_agent=SCALE)
        several = series_of(problem.targets)
        for series in several:
            first, last = series.years.start + LEAST_SEEN - 1, series.years.stop - 2
            if not first <= cut <= last:
                raise FitError(f"{cut} is not a year from {first} to {last} ('{series.name}')", where="--until")
        tables.append(_one(problem, several, cut, seed, drivers))
    if report is not None:
        report("fits", len(cuts), len(cuts))
    table = pd.concat(tables, ignore_index=True)
    table.attrs["drivers"] = drivers
    table.attrs["observed"] = {
        s.name: {y: sum(problem.targets[s.places[y, f]].fact for f in s.fields) for y in s.years} for s in several
    }
    return table


def series_of(targets: Sequence[Target]) -> list[Series]:
    """The entries that count departures year by year without a gap, at least LEAST_SEEN + 1 of them."""
    found = []
    for name in dict.fromkeys(t.entry for t in targets if t.role != "validation" and t.statistic == "departures"):
        places = {(t.last, t.field or "all"): i for i, t in enumerate(targets) if t.entry == name and t.first == t.last}
        years, fields = sorted({y for y, _ in places}), tuple(dict.fromkeys(f for _, f in places))
        whole = len(places) == len(years) * len(fields) and years == list(range(years[0], years[-1] + 1))
        if places and whole and len(years) > LEAST_SEEN:
            found.append(Series(name, fields, range(years[0], years[-1] + 1), places))
    if not found:
        problem = "no target counts departures year by year without a gap; a backtest needs such a series"
        raise FitError(problem, where="targets.toml")
    return found


def verdict(table: pd.DataFrame) -> pd.DataFrame:
    """Mean relative CRPS (over the fact) of the forecast and of each rule, the winner, how often the 90%, 80% and 50%
    intervals hold the fact, and effective sample size: by series, last year seen, and field or total."""
    rows = []
    for (name, until, is_total), part in table.groupby(["series", "until", table["field"].eq(TOTAL)], sort=False):
        relative = {"model": part["crps"], **{rule: part[f"crps_{rule}"] for rule in RULES}}
        scores = {who: float((values / part["fact"]).mean()) for who, values in relative.items()}
        rows.append(
            {
                "series": name, "until": int(until), "of": "total" if is_total else "by field", "forecasts": len(part),
                **scores, "winner": min(scores, key=lambda k: scores[k]), **_held(part),
                "effective": float(part["effective"].iloc[0]),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def coverage(table: pd.DataFrame) -> pd.DataFrame:
    """How often central intervals hold the facts, all cuts together: nominal, by field, total."""
    nominal = np.arange(0.05, 1.0, 0.05)
    is_total = table["field"].eq(TOTAL)
    rows = {"nominal": nominal}
    for of, part in (("by field", table[~is_total]), ("total", table[is_total])):
        rows[of] = np.array([(2.0 * (part["pit"] - 0.5).abs() <= level).mean() for level in nominal])
    return pd.DataFrame(rows)


def _held(part: pd.DataFrame) -> dict[str, float]:
    pairs = {"held_90": ("p05", "p95"), "held_80": ("p10", "p90"), "held_50": ("p25", "p75")}
    return {name: float(part["fact"].between(part[low], part[high]).mean()) for name, (low, high) in pairs.items()}


def crps(sample: Floats, fact: float) -> float:
    """The continuous ranked probability score of a sample, in the unit of the fact (Gneiting & Raftery 2007,
    doi:10.1198/016214506000001437): mean |x - fact| less half the mean distance of two members."""
    x = np.sort(sample)
    n = len(x)
    spread = float(((2 * np.arange(1, n + 1) - n - 1) * x).sum()) / n**2
    return float(np.abs(x - fact).mean()) - spread


def _one(problem: Problem, several: Sequence[Series], cut: int, seed: int, drivers: str) -> pd.DataFrame:
    """The forecasts of one cut."""
    best = optimise(problem, problem.start)
    problem = problem.anchored(best.x)
    covariance, jacobian = laplace_covariance(problem, best.x)
    posterior = explore(problem, best.x, covariance, jacobian, seed, proposals=PROPOSALS)
    models = _foreseen(problem, posterior, cut, seed) if drivers == "forecast" else posterior.shocked
    rows: list[dict[str, object]] = []
    for series in several:
        facts = {key: problem.targets[i].fact for key, i in series.places.items()}
        for field, parts in series.rows.items():
            seen = np.array([sum(facts[y, f] for f in parts) for y in range(series.years.start, cut + 1)])
            for year in range(cut + 1, series.years.stop):
                fact = sum(facts[year, f] for f in parts)
                places = [series.places[year, f] for f in parts]
                sample = np.sum([_observed(models[:, i], problem, i, seed) for i in places], axis=0)
                naive = {rule: forecast_by(rule, seen, year - cut, seed) for rule in RULES}
                rows.append(
                    {
                        "series": series.name, "until": cut, "year": year, "field": field, "fact": fact,
                        **dict(zip(LEVELS, map(float, np.quantile(sample, list(LEVELS.values()))), strict=True)),
                        "pit": float((sample <= fact).mean()), "crps": crps(sample, fact),
                        **{f"crps_{rule}": crps(values, fact) for rule, values in naive.items()},
                        **{
                            f"{name}_{rule}": float(np.quantile(values, LEVELS[name]))
                            for rule, values in naive.items() for name in ("p05", "median", "p95")
                        },
                        "effective": posterior.effective,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def _foreseen(problem: Problem, posterior: Posterior, cut: int, seed: int) -> Floats:
    """The model's side of every target (draws, targets) where each draw has a future of its own after the cut."""
    job = problem.job
    futures = timelines_foreseen(job.scenario, job.history, job.evidence, cut, seed, len(posterior.draws))

    several = [problem.at(x) for x in posterior.draws]
    asked = [Request(timeline, [parameters]) for timeline, parameters in zip(futures, several, strict=True)]
    models = np.empty((len(asked), len(problem.targets)))
    for places, runs in expected_runs(job, asked):
        drawn = [draw for draw, _ in places]
        models[drawn] = problem.read_off(runs, [several[draw] for draw in drawn])
    return shocked(problem, models, posterior.shocks)


def _observed(model: Floats, problem: Problem, place: int, seed: int) -> Floats:
    """The model's draws as they would be observed: with the fact's own error.

    The counting part of the error is that of the forecast, for the fact is not known yet.
    """
    target = problem.targets[place]
    noise = ndtri(draws.uniform(seed, np.arange(len(model), dtype=np.uint64), place, Purpose.POSTERIOR, 200))
    if not target.is_log:
        return np.asarray(model + target.error * noise)
    counted = (1.0 / np.maximum(model, 1.0) - 1.0 / target.fact) if target.counting else 0.0
    return np.asarray(model * np.exp(np.sqrt(target.error**2 + counted) * noise))


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
