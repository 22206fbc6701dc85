"""`bdsim.calibrate`: from targets to a fit on disk, with everything that says how far to trust it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bdsim.calibration.optimum import FINELY, ROUGHLY, Optimum, at_bounds, best_of, optimise, refitted, sobol_starts
from bdsim.calibration.posterior import Posterior, explore, laplace_covariance, parameter_table, sensitivity, trade_offs
from bdsim.calibration.problem import Problem, make_problem
from bdsim.errors import FitError, did_you_mean
from bdsim.files.digest import digest_of
from bdsim.files.durable import locked, new_folder, refusals, unfinished, write_file
from bdsim.model import draws
from bdsim.model.categories import FIRST_YEAR, REFERENCE_YEAR, Floats
from bdsim.model.counts import Counts, counts_of, selection
from bdsim.model.engine.batch import MemberInputs, simulated
from bdsim.model.world import Timeline
from bdsim.runs.drawn import Drawn
from bdsim.runs.expected import Request, answers_to
from bdsim.runs.identity import basis_of, versions
from bdsim.study.fit import DEFAULT_FIT, Fit, load_fit
from bdsim.study.layout import Study, find_study
from bdsim.study.parameters import load_parameters
from bdsim.study.shocks import SERIES

__all__ = ["Calibration", "calibrate", "checked_name", "profile"]

STARTS = 4
MOST_STARTS = 1000
LONGEST_NAME = 100
GAP_MEMBERS = 16
SHARE_DRAWS = 100
CAVEAT = (
    "a share of the model, not a causal estimate: what scrutiny adds to the trend that funding and inflow imply. "
    "Departures were rising before: a linear trend through the years before under-predicts those to China since then, "
    "a log-linear one over-predicts them, so the pre-trend decides the sign of a naive effect"
)
Report = Callable[[str, int, int], None]  # stage, done, in all


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Memory:
    """What a calibration has paid for, one file an answer, so that it goes on after an interruption.

    An answer is found by its question: the problem's fingerprint and the points asked about. Numbers come back to
    the last digit. No folder, no memory.
    """

    folder: Path | None
    fingerprint: str

    def recall(self, kind: str, points: Floats, answer: Callable[[], Any]) -> Any:
        """`answer()`, as plain JSON values; read back where it was given before."""
        if self.folder is None:
            return answer()
        question = f"{self.fingerprint} {kind} ".encode() + np.ascontiguousarray(points).tobytes()
        path = self.folder / f"{hashlib.sha256(question).hexdigest()[:16]}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = answer()
        with refusals(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_file(path, json.dumps(found).encode())
        return found

    def models(self, problem: Problem, points: Floats) -> Floats:
        """`problem.models`, shape (points, targets)."""
        return np.array(self.recall("models", points, lambda: problem.models(list(points)).tolist()))

    def optimum(self, problem: Problem, start: Floats, tolerance: float) -> Optimum:
        """`optimise`; the question is where it starts, what shocks do there and when it ends."""

        def plain() -> dict[str, Any]:
            found = optimise(problem, start, tolerance)
            return {**vars(found), "x": found.x.tolist()}

        kept = self.recall("optimum", np.append(start, [*problem.sway.ravel(), tolerance]), plain)
        return Optimum(**{**kept, "x": np.array(kept["x"])})

    def forget(self) -> None:
        """Nothing is left to go on with."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Calibration(Drawn):
    """A calibration with all that is known of it; `save` keeps it where scenarios find it."""

    problem: Problem
    seed: int
    starts: int
    optimum: Optimum
    posterior: Posterior
    parameters: pd.DataFrame  # posterior.parameter_table
    targets: pd.DataFrame  # fact, error, model at the mode without shocks, its residual; posterior with shocks
    sensitivity: pd.DataFrame
    trace: pd.DataFrame  # one row a start
    said: list[str]  # what trades off, what the data cannot tell
    warnings: list[str]  # disagreeing starts, a poor effective sample size
    mean_field_gap: dict[str, float]
    scrutiny_share: tuple[float, float, float]  # 5%, 50%, 95% of draws

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits of everything that determines the fit: the problem, the seed, the starts."""
        return digest_of(self.problem.fingerprint(), self.seed, self.starts)[:12]

    def shocks(self) -> pd.DataFrame:
        """Tidy: draw, year, and the shock of each series to its log rate of leaving."""
        years, drawn = self.problem.observed_years, len(self.posterior.draws)
        table = self.posterior.shocks.reshape(drawn, -1, len(SERIES))[:, : len(years)].reshape(-1, len(SERIES))
        keys = {"draw": np.repeat(np.arange(drawn), len(years)), "year": np.tile(np.array(years), drawn)}
        return pd.DataFrame({**keys, **dict(zip(SERIES, table.T, strict=True))})

    def manifest(self, name: str) -> dict[str, Any]:
        """How the fit came about and what it is worth, as plain JSON values."""
        problem, low_median_high = self.problem, [round(x, 4) for x in self.scrutiny_share]
        entries, changed = problem.parameters.entries, problem.parameters.held
        held = {
            n: e.value for n, e in entries.items() if n not in problem.free and (e.prior is not None or n in changed)
        }
        fitted = int(problem.fitted.sum())
        of = f"{len(problem.free)} parameter{'s' if len(problem.free) > 1 else ''}"
        return {
            "name": name,
            "fingerprint": self.fingerprint,
            "basis": basis_of(problem.job.scenario.study, problem.targets_file).model_dump(),
            "seed": self.seed,
            "starts": self.starts,
            "statement": f"posterior of {of} given {fitted} facts, "
            f"{len(self.posterior.draws)} draws (effective {self.posterior.effective:.0f}).",
            "held": held,
            "free": list(problem.free),
            "shocks": shocks_in_words(problem),
            "cost": self.optimum.cost,
            "effective_sample_size": round(self.posterior.effective, 1),
            "proposals": self.posterior.proposals,
            "researchers_per_agent": problem.job.settings.researchers_per_agent,
            "identifiability": self.said,
            "warnings": self.warnings,
            "mean_field_gap": {k: round(v, 5) for k, v in self.mean_field_gap.items()},
            "share_of_scrutiny_in_departures": {
                "years": list(years_after_scrutiny(problem)),
                **dict(zip(("p05", "median", "p95"), low_median_high, strict=True)),
            },
            "caveat": CAVEAT,
            "versions": versions(),
        }

    def save(self, study: Study, name: str) -> Fit:
        """Write calibration/fitted/NAME whole, in place of an older one, and read it back. Raises StorageError."""
        with new_folder(study.fitted / name) as aside:
            drawn = pd.DataFrame(self.posterior.draws, columns=list(self.problem.free))
            drawn.to_csv(aside / "draws.csv", index=False, float_format="%.10g")
            drawn.corr().to_csv(aside / "correlations.csv", float_format="%.4f")
            self.parameters.to_csv(aside / "parameters.csv", index=False, float_format="%.10g")
            self.targets.to_csv(aside / "targets.csv", index=False, float_format="%.6g")
            self.sensitivity.to_csv(aside / "sensitivity.csv", float_format="%.4f")
            self.shocks().to_csv(aside / "shocks.csv", index=False, float_format="%.6g")
            self.trace.to_csv(aside / "trace.csv", index=False, float_format="%.10g")
            (aside / "manifest.json").write_text(json.dumps(self.manifest(name), indent=1) + "\n", encoding="utf-8")
        return load_fit(study, name, self.problem.parameters)


def calibrate(
    study: Study | Path | str | None = None,
    *,
    name: str | None = DEFAULT_FIT,
    targets: Path | None = None,
    free: Sequence[str] | None = None,
    fix: Mapping[str, float] | None = None,
    start: Mapping[str, float] | None = None,
    starts: int = STARTS,
    seed: int = 0,
    report: Report = _silent,
) -> Calibration:
    """Fit the study's parameters to its targets; keep the fit as calibration/fitted/NAME (name=None: keep nothing).

    The first of the starts is at the values of parameters.toml, or where `start` says otherwise. After an interruption
    the same call goes on: finished starts and posterior points are not done again. Raises FitError and what
    `make_problem` raises.
    """
    home = study if isinstance(study, Study) else find_study(study)
    if not 1 <= starts <= MOST_STARTS:
        raise FitError(f"{starts} is not a number of starts", where="starts")
    if name is not None:
        checked_name(name)
    from_here = load_parameters(home.parameters).with_values(dict(start or {}), where="--start")
    problem = make_problem(home, targets=targets, free=free, fix=fix, parameters=from_here)
    for given in start or {}:
        if given not in problem.free:
            raise FitError(f"'{given}' is not free, so it starts nowhere; hold it with --fix", where="--start")
    if name is None:
        return _calibrated(problem, Memory(None, problem.fingerprint()), starts, seed, report)
    kept = unfinished(home.fitted / name)
    with locked(kept):  # two that fit under one name at once would each spoil what the other remembers
        memory = Memory(kept, problem.fingerprint())
        result = _calibrated(problem, memory, starts, seed, report)
        result.save(home, name)
        memory.forget()
    return result


def checked_name(name: str) -> None:
    """Raises FitError for a name that a fit cannot have."""
    plain = name == name.strip() and name.isprintable() and len(name) <= LONGEST_NAME
    if not name or not plain or Path(name).name != name or name.startswith((".", "-")):
        raise FitError(f"'{name}' is not a plain name", where="--name")


def _calibrated(problem: Problem, memory: Memory, starts: int, seed: int, report: Report) -> Calibration:
    optima = _optima(problem, starts, memory, report)
    covariance, _ = laplace_covariance(problem, min(optima, key=lambda o: o.cost).x)
    best, warnings = best_of(optima, np.sqrt(np.diag(covariance)))
    problem = problem.anchored(best.x)  # shocks now do to totals what they do at the best fit; one polish more there
    best = memory.optimum(problem, best.x, FINELY)
    best = replace(best, cost=problem.anchored(best.x).cost(best.x))  # as `score` gives it at these values
    covariance, jacobian = laplace_covariance(problem, best.x)
    warnings += at_bounds(problem, best.x)
    posterior = explore(
        problem, best.x, covariance, jacobian, seed, lambda done, total: report("posterior", done, total),
        models=lambda points: memory.models(problem, points),
    )  # fmt: skip
    if posterior.effective < 100:
        warnings.append(f"effective sample size {posterior.effective:.0f}: read intervals with care")
    table = parameter_table(problem, best.x, posterior)
    report("checks", 0, 1)
    result = Calibration(
        problem=problem, optimum=best, posterior=posterior, parameters=table,
        targets=_target_table(problem, best, posterior), sensitivity=sensitivity(problem, best.x, covariance, jacobian),
        trace=_trace(problem, optima), said=trade_offs(problem, table, posterior), warnings=warnings,
        mean_field_gap=mean_field_gap(problem, best.x), scrutiny_share=scrutiny_share(problem, posterior),
        seed=seed, starts=starts,
    )  # fmt: skip
    report("checks", 1, 1)
    return result


def _optima(problem: Problem, starts: int, memory: Memory, report: Report) -> list[Optimum]:
    """The optima of the parameters file's values and of the best Sobol points."""
    report("starts", 0, starts)
    points = [problem.start]
    if starts > 1:
        candidates = sobol_starts(problem)
        models = memory.models(problem, np.array(candidates))
        cost = [float((problem.residuals(x, m) ** 2).sum()) for x, m in zip(candidates, models, strict=True)]
        points += [candidates[i] for i in np.argsort(cost)[: starts - 1]]
    optima = []
    for number, point in enumerate(points):
        optima.append(memory.optimum(problem, point, ROUGHLY))
        report("starts", number + 1, starts)
    return optima


def _target_table(problem: Problem, best: Optimum, posterior: Posterior) -> pd.DataFrame:
    table = problem.table(best.x)
    low, median, high = np.quantile(posterior.shocked, (0.05, 0.5, 0.95), axis=0)
    residual = table.pop("residual")
    return table.assign(median=median, p05=low, p95=high, residual=residual)


def _trace(problem: Problem, optima: Sequence[Optimum]) -> pd.DataFrame:
    rows = [
        {
            "start": number, "cost": o.cost, "evaluations": o.evaluations, "converged": o.converged,
            **dict(zip(problem.free, o.x, strict=True)),
        }
        for number, o in enumerate(optima)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def mean_field_gap(problem: Problem, x: Floats) -> dict[str, float]:
    """How far sampled runs lie from the expected one, which lets colleagues act by their mean: relative, with its
    standard error, for departures of scientists of Chinese descent in the years that targets count."""
    parameters = problem.at(x)
    recipe, size = problem.recipe, problem.job.agent_size(parameters)
    years = counted_years(problem)
    expected = _departures(problem.counts(parameters), *years)[0]
    own = [MemberInputs(parameters.behaviour(), size, draws.member_seed(0, m)) for m in range(GAP_MEMBERS)]
    made = simulated(recipe.population, recipe.environment, own)
    sampled = Counts.stacked([counts_of(tally, size, recipe.population) for tally, _ in made])
    ratio = _departures(sampled, *years) / expected - 1.0
    return {
        "departures": float(ratio.mean()),
        "standard_error": float(ratio.std(ddof=1) / np.sqrt(len(ratio))),
    }


def counted_years(problem: Problem) -> tuple[int, int]:
    """The first and last year whose departures a target counts; those to the horizon where none does."""
    years = problem.shock_years
    return (years[0], years[-1]) if years else (REFERENCE_YEAR, problem.job.settings.horizon)


def years_after_scrutiny(problem: Problem) -> tuple[int, int]:
    """From the year after scrutiny begins in the baseline to that in which it ends; the counted years without any."""
    scrutiny = problem.job.scenario.years_of_scrutiny()
    return (min(scrutiny[0] + 1, scrutiny[1]), scrutiny[1]) if scrutiny else counted_years(problem)


def scrutiny_share(problem: Problem, posterior: Posterior) -> tuple[float, float, float]:
    """Share of the departures of years_after_scrutiny that would not be there without it, 5%, 50%, 95% over draws."""
    years = years_after_scrutiny(problem)
    several = [problem.at(x) for x in posterior.draws[:: max(1, len(posterior.draws) // SHARE_DRAWS)]]
    asked = [Request(timeline, several) for timeline in (problem.timeline, _without_scrutiny(problem.timeline))]
    with_it, without = answers_to(problem.job, asked, lambda counts: _departures(counts, *years))
    low, median, high = np.quantile(1.0 - without / with_it, (0.05, 0.5, 0.95))
    return float(low), float(median), float(high)


def _without_scrutiny(timeline: Timeline) -> Timeline:
    calm = {name: np.zeros_like(t) for name, t in timeline.tables.items() if name.startswith("scrutiny_")}
    return replace(timeline, tables={**timeline.tables, **calm})


def shocks_in_words(problem: Problem) -> str:
    """Which of the sizes of shocks are estimated and which are held."""
    names = ("sigma_common", "sigma_field", "phi")
    free = [n for n in names if n in problem.free]
    held = [f"{n} = {problem.parameters[n]:g}" for n in names if n not in problem.free]
    parts = [f"estimated: {', '.join(free)}"] if free else []
    return "; ".join([*parts, *([f"held: {', '.join(held)}"] if held else [])])


def _departures(counts: Counts, first: int, last: int) -> Floats:
    span = slice(first - FIRST_YEAR, last - FIRST_YEAR + 1)
    return np.asarray(counts.expected[:, span][:, :, selection("china")].sum(axis=(1, 2, 3, 4, 5)))


def profile(problem: Problem, name: str, mode: Floats, points: int = 9, report: Report = _silent) -> pd.DataFrame:
    """The least cost at values of one parameter, all others fitted anew: value, cost, cost of the facts alone.

    The grid spans two prior sds around the mode, inside the bounds. Raises FitError for a parameter that is not free.
    """
    if name not in problem.free:
        raise FitError(f"'{name}' is not free{did_you_mean(name, problem.free)}", where="profile")
    i = problem.free.index(name)
    low, high = problem.bounds
    width = 2.0 * problem.sd[i]
    grid = np.linspace(max(low[i] + 1e-6, mode[i] - width), min(high[i] - 1e-6, mode[i] + width), points)
    rows = []
    report("refits", 0, points)
    for number, value in enumerate(map(float, grid)):
        cost, facts = refitted(problem, mode, i, value)
        rows.append({"parameter": name, "value": value, "cost": cost, "facts": facts})
        report("refits", number + 1, points)
    return pd.DataFrame(rows)
