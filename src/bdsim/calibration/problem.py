"""Calibration: parameters that reproduce the facts, given what was believed of them before.

The objective is deterministic: expected runs on one fixed population. Residuals are standardised,
(model - fact) / error, and each free parameter adds (value - prior mean) / prior sd. Several starts are polished by
scipy's least_squares.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim.calibration.target_file import load_targets
from bdsim.calibration.targets import Target, model_value, standardised
from bdsim.errors import FitError, did_you_mean
from bdsim.files.digest import digest_of, digest_of_files
from bdsim.model.categories import FIELDS, Floats
from bdsim.model.counts import Counts, counts_of
from bdsim.model.engine.batch import MemberInputs, grouped, simulated
from bdsim.model.people import Population
from bdsim.model.world import Environment
from bdsim.runs.identity import sources_of
from bdsim.runs.plan import Job, Settings, plan_run
from bdsim.study.evidence import Evidence, load_evidence
from bdsim.study.layout import Study, find_study
from bdsim.study.parameters import Parameters, load_parameters
from bdsim.study.scenario import load_scenario

__all__ = [
    "SCALE",
    "SHAPING",
    "Optimum",
    "Problem",
    "Trace",
    "best_of",
    "make_problem",
    "optimise",
    "score",
    "scored",
]

LAST_QUESTION = 2022  # the share of scrutiny in the departures of 2019-2022 needs it
SCALE = 25  # researchers per agent of the objective's population
STEP = 1e-4  # of a prior sd: the objective is smooth and has no noise, so rounding alone sets the least step
SOBOL_POINTS = 64
SHAPING = ("funding_lag", "past_growth", "rewired", *(f"field_share.{f}" for f in FIELDS[:-1]))  # fixed in a problem
AGREE_COST, AGREE_DISTANCE = 0.1, 0.25  # half chi squares; posterior standard deviations
Trace = Callable[[str, int, int], None]  # stage, done, in all


@dataclass(frozen=True)
class Problem:
    """What is fitted to what: free parameters with priors, targets, and the population that answers."""

    parameters: Parameters
    free: tuple[str, ...]
    targets: tuple[Target, ...]
    job: Job
    population: Population
    environment: Environment
    targets_file: Path | None = None  # None: the study's own
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)

    @property
    def mean(self) -> Floats:
        """Prior means of the free parameters."""
        return np.array([self._prior(name)[0] for name in self.free])

    @property
    def sd(self) -> Floats:
        """Prior standard deviations of the free parameters."""
        return np.array([self._prior(name)[1] for name in self.free])

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of the free parameters."""
        pairs = np.array([self.parameters.entries[name].bounds for name in self.free])
        return pairs[:, 0], pairs[:, 1]

    @property
    def start(self) -> Floats:
        """The values of the parameters file."""
        return np.array([self.parameters[name] for name in self.free])

    @property
    def fitted(self) -> NDArray[np.bool_]:
        """Which targets are fitted, shape (targets,)."""
        return np.array([t.role == "fitted" for t in self.targets])

    def _prior(self, name: str) -> tuple[float, float]:
        prior = self.parameters.entries[name].prior
        assert prior is not None  # make_problem frees none without one
        return prior.mean, prior.sd

    def at(self, x: Floats) -> Parameters:
        """All parameters with the free ones at `x`, shape (free,)."""
        return self.parameters.with_values(dict(zip(self.free, map(float, x), strict=True)))

    def counts(self, parameters: Parameters) -> Counts:
        """One expected run."""
        return self.counts_of_all([parameters])[0]

    def counts_of_all(self, several: Sequence[Parameters]) -> list[Counts]:
        """Expected runs of several parameter vectors, side by side."""
        own = [MemberInputs(p.behaviour(), self.job.agent_size(p), 0) for p in several]
        runs = simulated(self.population, self.environment, own, sampled=False)
        return [counts_of(tally, o.agent_size, self.population) for (tally, _), o in zip(runs, own, strict=True)]

    def model(self, x: Floats) -> Floats:
        """The model's side of every target at `x`, shape (targets,)."""
        return self._models([x])[0]

    def _models(self, points: Sequence[Floats]) -> list[Floats]:
        several = [self.at(x) for x in points]
        return [
            np.array([model_value(t, counts, parameters.values) for t in self.targets])
            for counts, parameters in zip(self.counts_of_all(several), several, strict=True)
        ]

    def models(self, points: Sequence[Floats]) -> Floats:
        """`model` at many points, on all cores, shape (points, targets)."""
        groups = [[points[i] for i in group] for group in grouped(range(len(points)))]
        with ThreadPoolExecutor(self.workers) as pool:
            return np.array([model for group in pool.map(self._models, groups) for model in group])

    def residuals(self, x: Floats, model: Floats | None = None) -> Floats:
        """Standardised residuals of the fitted targets, then of the priors."""
        values = self.model(x) if model is None else model
        facts = [standardised(t, v) for t, v in zip(self.targets, values, strict=True) if t.role == "fitted"]
        return np.concatenate([facts, (x - self.mean) / self.sd])

    def jacobian(self, x: Floats, *, central: bool = False) -> Floats:
        """Derivatives of `residuals`, shape (residuals, free), by differences of STEP prior sds inside the bounds."""
        low, high = self.bounds
        step = STEP * self.sd
        step = np.where(x + step > high, -step, step)
        ahead = [x + step * (np.arange(len(x)) == i) for i in range(len(x))]
        inside = central & (x - step >= low) & (x - step <= high)
        behind = [x - step * (np.arange(len(x)) == i) if inside[i] else x for i in range(len(x))] if central else [x]
        models = self.models([*ahead, *behind])
        columns = []
        for i in range(len(x)):
            j = len(x) + (i if central else 0)
            back = behind[i] if central else x
            rise = self.residuals(ahead[i], models[i]) - self.residuals(back, models[j])
            columns.append(rise / (ahead[i][i] - back[i]))
        return np.column_stack(columns)

    def table(self, x: Floats) -> pd.DataFrame:
        """Target by target: fact, error, model, residual, role."""
        return target_table(self.targets, self.model(x))

    def fingerprint(self) -> str:
        """12 hexadecimal digits of what is fitted to what, by which program; how it is sought is not in it."""
        entries = self.parameters.entries.items()
        priors = {name: e.model_dump(mode="json", include={"value", "bounds", "prior"}) for name, e in entries}
        asked = [replace(target, why="") for target in self.targets]
        sources = digest_of_files(sources_of("calibration"))
        return digest_of(self.job.fingerprint, sources, priors, self.free, asked)[:12]


@dataclass(frozen=True)
class Optimum:
    """Where one start ended."""

    x: Floats
    cost: float  # half the sum of squared residuals
    evaluations: int
    converged: bool
    message: str


def make_problem(
    study: Study,
    *,
    targets: Path | None = None,
    free: Sequence[str] | None = None,
    fix: Mapping[str, float] | None = None,
    until: int | None = None,
    researchers_per_agent: int = SCALE,
    parameters: Parameters | None = None,
) -> Problem:
    """What `calibrate` solves: by default every parameter with a prior is free.

    `fix` holds parameters at values; `until` holds out every fact that needs a later year. Raises FitError,
    ParameterError, TargetError, EvidenceError.
    """
    known = parameters or load_parameters(study.parameters)
    known = known.with_values(dict(fix or {}), where="--fix")
    evidence: Evidence = load_evidence(study)
    found = load_targets(targets or study.root / "calibration" / "targets.toml", evidence, known)
    if until is not None:
        found = [t.held_out_after(until) for t in found]
    able = [n for n, e in known.entries.items() if e.prior is not None and n not in (fix or {})]
    chosen = able if free is None else list(dict.fromkeys(free))
    for name in chosen:
        if name not in able:
            hint = "; it is fixed" if name in known.entries else did_you_mean(name, able)
            raise FitError(f"'{name}' cannot be freed{hint}", where="--free")
    if not chosen:
        raise FitError("no parameter is free", where="--free")
    if not any(t.role == "fitted" for t in found):
        raise FitError("no target is fitted", where=targets or "calibration/targets.toml")
    horizon = max(LAST_QUESTION, *(t.as_of - (t.statistic == "stay_rate") for t in found))
    settings = Settings(members=1, researchers_per_agent=researchers_per_agent, horizon=horizon)
    job = plan_run(load_scenario("baseline", study), settings, known)
    world = job.world(job.plans[0])
    return Problem(known, tuple(chosen), tuple(found), job, world.population, world.environment, targets)


def score(
    values: Mapping[str, float] | None = None, *, study: Study | None = None, problem: Problem | None = None
) -> pd.DataFrame:
    """What parameter values do to every target, without refitting: fact, error, model, residual, role.

    The table's `attrs["cost"]` is half the sum of squares of fitted residuals and priors. Pass a `problem` made
    once when scoring many values, as a sensitivity analysis does. Raises FitError for a value that a problem made
    once cannot take, because its people and yearly tables were made with another.
    """
    if problem is None:
        home = study or find_study()
        problem = make_problem(home, parameters=load_parameters(home.parameters).with_values(dict(values or {})))
    for name in SHAPING:
        if (values or {}).get(name, problem.parameters[name]) != problem.parameters[name]:
            raise FitError(f"'{name}' shapes the population: give it to make_problem", where="score")
    return scored(problem, problem.parameters.with_values(dict(values or {})))[0]


def scored(problem: Problem, parameters: Parameters) -> tuple[pd.DataFrame, Counts]:
    """What `score` returns, and the expected run that it was read off."""
    counts = problem.counts(parameters)
    table = target_table(
        problem.targets, np.array([model_value(t, counts, parameters.values) for t in problem.targets])
    )
    x = np.array([parameters[name] for name in problem.free])
    fitted = table.loc[table["role"] == "fitted", "residual"].to_numpy()
    table.attrs["cost"] = float(0.5 * ((fitted**2).sum() + (((x - problem.mean) / problem.sd) ** 2).sum()))
    return table, counts


def target_table(targets: Sequence[Target], model: Floats) -> pd.DataFrame:
    """Tidy: target, label, role, fact, error, model, residual."""
    return pd.DataFrame(
        {
            "target": [t.entry for t in targets],
            "label": [t.label for t in targets],
            "role": [t.role for t in targets],
            "fact": [t.fact for t in targets],
            "error": [t.error for t in targets],
            "scale": ["log" if t.is_log else "absolute" for t in targets],
            "model": model,
            "residual": [standardised(t, float(v)) for t, v in zip(targets, model, strict=True)],
        }
    )


def sobol_starts(problem: Problem, points: int) -> list[Floats]:
    """Points that fill the prior evenly, inside the bounds."""
    from scipy.stats import qmc, truncnorm  # half a second to import, and scoring needs neither

    low, high = problem.bounds
    prior = truncnorm((low - problem.mean) / problem.sd, (high - problem.mean) / problem.sd, problem.mean, problem.sd)
    sequence = qmc.Sobol(len(problem.free), scramble=False).fast_forward(1)  # the first point is the corner
    return list(prior.ppf(np.clip(sequence.random(points), 0.02, 0.98)))


def optimise(problem: Problem, start: Floats) -> Optimum:
    """Polish one start by trust-region least squares inside the bounds."""
    from scipy import optimize  # slow to import, and scoring does without

    low, high = problem.bounds
    margin = 1e-9 * (high - low)
    found = optimize.least_squares(
        problem.residuals, np.clip(start, low + margin, high - margin), jac=problem.jacobian, bounds=(low, high),
        x_scale=problem.sd, method="trf", ftol=1e-7, xtol=1e-7, gtol=1e-6, max_nfev=60,
    )  # fmt: skip
    return Optimum(found.x, float(found.cost), int(found.nfev), bool(found.success), str(found.message))


def best_of(optima: Sequence[Optimum], spread: Floats) -> tuple[Optimum, list[str]]:
    """The best optimum, and what is to be said when starts disagree. `spread`: posterior sds, shape (free,)."""
    best = min(optima, key=lambda o: o.cost)
    warnings = []
    for number, other in enumerate(optima, start=1):
        apart = float(np.max(np.abs(other.x - best.x) / spread))
        if not other.converged:
            warnings.append(f"start {number} did not converge: {other.message}")
        elif other.cost - best.cost > AGREE_COST:
            warnings.append(f"start {number} ended {other.cost - best.cost:.1f} above the best: a local optimum")
        elif apart > AGREE_DISTANCE:
            warnings.append(f"start {number} fits as well {apart:.2f} posterior sd away: the optimum is flat")
    return best, warnings
