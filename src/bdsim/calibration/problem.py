"""Calibration: parameters that reproduce the facts, given what was believed of them before.

The objective is deterministic: expected runs on one fixed population, minus the log posterior up to a constant.
Facts scatter around the model by their own errors and by shocks that facts of the same and of near years share
(shocks.py: generalised least squares, with the log determinant); each free parameter adds
(value - prior mean) / prior sd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim.calibration.shocks import Likelihood, expected_shocks, sway_of, whitened
from bdsim.calibration.target_file import load_targets
from bdsim.calibration.targets import Target, model_values, standardised
from bdsim.errors import FitError, did_you_mean
from bdsim.files.digest import digest_of, digest_of_files
from bdsim.model.categories import FIELDS, REFERENCE_YEAR, Floats
from bdsim.model.counts import Counts
from bdsim.model.world import Timeline
from bdsim.runs.expected import Request, expected_runs
from bdsim.runs.identity import sources_of
from bdsim.runs.plan import Job, Recipe, Settings, plan_run
from bdsim.study.evidence import Evidence, load_evidence
from bdsim.study.layout import Study, find_study
from bdsim.study.parameters import Parameters, load_parameters
from bdsim.study.scenario import load_scenario
from bdsim.study.shocks import Discrepancy

__all__ = [
    "SCALE",
    "SHAPING",
    "Problem",
    "Trace",
    "make_problem",
    "score",
    "scored",
]

SCALE = 25  # researchers per agent of the objective's population
SWAYED = ("departures", "share", "ratio")  # statistics that shocks move
OBSERVING = (
    "mainland_stem",
    "productivity",
    "sigma_common",
    "sigma_field",
    "phi",
)  # how one observes, not what happens
STEP = 1e-4  # of a prior sd: the objective is smooth and has no noise, so rounding alone sets the least step
# What shapes people and yearly tables is fixed in a problem.
SHAPING = (
    "funding_lag",
    "past_growth",
    "rewired",
    *(f"{of}.{f}" for of in ("field_share", "sought") for f in FIELDS[:-1]),
)
Trace = Callable[[str, int, int], None]  # stage, done, in all


@dataclass(frozen=True)
class Problem:
    """What is fitted to what: free parameters with priors, targets, and the population that answers."""

    parameters: Parameters
    free: tuple[str, ...]
    targets: tuple[Target, ...]
    job: Job
    timeline: Timeline  # the yearly tables of the world that answers
    targets_file: Path | None = None  # None: the study's own
    shock_years: range = range(0)  # from the first to the last year that a fact says something of
    sway: Floats = field(default_factory=lambda: np.zeros((0, 0)))  # (targets, years x series): shocks.sway_of

    @cached_property
    def mean(self) -> Floats:
        """Prior means of the free parameters."""
        return np.array([self._prior(name)[0] for name in self.free])

    @cached_property
    def sd(self) -> Floats:
        """Prior standard deviations of the free parameters."""
        return np.array([self._prior(name)[1] for name in self.free])

    @cached_property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of the free parameters."""
        pairs = np.array([self.parameters.entries[name].bounds for name in self.free])
        return pairs[:, 0], pairs[:, 1]

    @property
    def start(self) -> Floats:
        """The values of the parameters file."""
        return np.array([self.parameters[name] for name in self.free])

    @cached_property
    def fitted(self) -> NDArray[np.bool_]:
        """Which targets are fitted, shape (targets,)."""
        return np.array([t.role == "fitted" for t in self.targets])

    @cached_property
    def errors(self) -> Floats:
        """Standard errors of the fitted facts, shape (fitted,)."""
        return np.array([t.error for t in self.targets if t.role == "fitted"])

    @property
    def observed_years(self) -> range:
        """The shock years up to the last one that a fitted fact counts."""
        fitted = [t.last for t in self.targets if t.role == "fitted" and t.statistic in SWAYED]
        return range(self.shock_years.start, max(fitted, default=self.shock_years.start - 1) + 1)

    def size(self, x: Floats) -> Discrepancy:
        """How large shocks are at `x`."""
        values = [
            float(x[self.free.index(name)]) if name in self.free else self.parameters[name]
            for name in ("sigma_common", "sigma_field", "phi")
        ]
        return Discrepancy(*values)

    def anchored(self, x: Floats) -> Problem:
        """The same problem, with what shocks do to totals and shares worked out at `x`; elsewhere it is taken to be
        the same. Every problem is anchored once; a fit is anchored at its own optimum."""
        parameters = self.at(x)
        counts = self.counts(parameters)
        return replace(self, sway=sway_of(self.targets, counts, parameters.values, self.shock_years))

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
        """Expected runs of several parameter vectors, side by side and on all cores."""
        found = dict[int, Counts]()
        for places, counts in expected_runs(self.job, [Request(self.timeline, several)]):
            found |= dict(zip((n for _, n in places), counts, strict=True))
        return [found[n] for n in range(len(several))]

    def model(self, x: Floats) -> Floats:
        """The model's side of every target at `x`, shape (targets,)."""
        return np.asarray(self.models([x])[0])

    def models(self, points: Sequence[Floats]) -> Floats:
        """`model` at many points, shape (points, targets).

        Points that differ in how one observes alone, and not in what happens, share an expected run.
        """
        behaves = np.array([name not in OBSERVING for name in self.free])
        alike: dict[bytes, list[int]] = {}
        for i, x in enumerate(points):
            alike.setdefault(np.asarray(x, np.float64)[behaves].tobytes(), []).append(i)
        groups, several = list(alike.values()), [self.at(x) for x in points]
        asked = Request(self.timeline, [several[group[0]] for group in groups])
        found = np.empty((len(points), len(self.targets)))
        for places, runs in expected_runs(self.job, [asked]):
            of = [(i, counts) for (_, run), counts in zip(places, runs, strict=True) for i in groups[run]]
            here = [i for i, _ in of]
            found[here] = self.read_off([counts for _, counts in of], [several[i] for i in here])
        return found

    def read_off(self, runs: Sequence[Counts], several: Sequence[Parameters]) -> Floats:
        """The model's side of every target, off the counts of runs with these parameters, shape (runs, targets)."""
        return model_values(self.targets, Counts.stacked(runs), [p.values for p in several])

    @cached_property
    def recipe(self) -> Recipe:
        """The people and the yearly tables of the world that answers."""
        return self.job.recipe_of(self.timeline)

    def on_scale(self, models: Floats) -> Floats:
        """The model's side of targets (..., targets) on the scale of each fact's error: logs where that is a log."""
        logs = np.array([t.is_log for t in self.targets])
        return np.where(logs, np.log(np.maximum(models, 1e-12)), models)

    def gaps_on_scale(self, model: Floats) -> Floats:
        """How far the model, on the scale of the errors (..., targets), lies above the fitted facts (..., fitted)."""
        gap = (model - self._facts)[..., self.fitted]
        return np.where(self._is_lower_bound, np.minimum(gap, 0.0), gap)

    @cached_property
    def _facts(self) -> Floats:
        return self.on_scale(np.array([t.fact for t in self.targets]))

    @cached_property
    def _is_lower_bound(self) -> NDArray[np.bool_]:
        return np.array([t.bound == "lower" for t in self.targets if t.role == "fitted"])

    def gaps(self, model: Floats) -> Floats:
        """How far the model (targets,) lies above the fitted facts, on the scale of each fact's error."""
        return self.gaps_on_scale(self.on_scale(model))

    def residuals(self, x: Floats, model: Floats | None = None) -> Floats:
        """Residuals of the fitted targets made independent and of variance 1, one of the log determinant, and those of
        the priors: half their sum of squares is the cost."""
        return self.residuals_of(x, self.gaps(self.model(x) if model is None else model))

    def cost(self, x: Floats) -> float:
        """Half the sum of squares of `residuals`: minus the log posterior, up to a constant."""
        return 0.5 * float((self.residuals(x) ** 2).sum())

    def residuals_of(self, x: Floats, gaps: Floats) -> Floats:
        """`residuals`, from the gaps of the fitted facts."""
        facts = whitened(gaps, self.errors, self.sway[self.fitted], self.size(x))
        return np.concatenate([facts, (x - self.mean) / self.sd])

    @cached_property
    def likelihood(self) -> Likelihood:
        """Of the fitted facts, at many points at once."""
        return Likelihood.of(self.errors, self.sway[self.fitted])

    def costs(self, points: Floats, models: Floats, priors: NDArray[np.bool_]) -> Floats:
        """`cost` at many points (points, free), of the model on the scale of the errors (points, targets).

        `priors` (free,) says of which parameters the prior counts.
        """
        sizes = np.array([self.size(x) for x in points])
        away = ((points - self.mean) / self.sd)[:, priors]
        return np.asarray(self.likelihood.costs(self.gaps_on_scale(models), sizes) + 0.5 * (away**2).sum(axis=1))

    def jacobian(self, x: Floats, *, central: bool = False) -> Floats:
        """Derivatives of `residuals`, shape (residuals, free), by differences of STEP prior sds inside the bounds."""
        return self.with_jacobian(x, central=central)[1]

    def with_jacobian(self, x: Floats, *, central: bool = False) -> tuple[Floats, Floats]:
        """`residuals` and `jacobian`: together they take no longer than the derivatives alone."""
        low, high = self.bounds
        step = STEP * self.sd
        step = np.where(x + step > high, -step, step)
        ahead = [x + step * (np.arange(len(x)) == i) for i in range(len(x))]
        inside = central & (x - step >= low) & (x - step <= high)  # a bool and two arrays: none where not central
        behind = [x - step * (np.arange(len(x)) == i) if inside[i] else x for i in range(len(x))]
        points = [x, *ahead, *(behind if central else [])]
        found = [self.residuals(at, model) for at, model in zip(points, self.models(points), strict=True)]
        columns = []
        for i in range(len(x)):
            rise = found[1 + i] - (found[1 + len(x) + i] if central else found[0])
            columns.append(rise / (ahead[i][i] - behind[i][i]))
        return found[0], np.column_stack(columns)

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
    baseline = load_scenario("baseline", study)
    scrutiny = baseline.years_of_scrutiny() or ()  # its share in departures is asked for as well
    horizon = max(*scrutiny, *(t.as_of - (t.statistic == "stay_rate") for t in found), REFERENCE_YEAR)
    settings = Settings(members=1, researchers_per_agent=researchers_per_agent, horizon=horizon)
    job = plan_run(baseline, settings, known)
    years = _shock_years(found)
    problem = Problem(known, tuple(chosen), tuple(found), job, job.plans[0].timeline, targets, years)
    return problem.anchored(problem.start)


def _shock_years(targets: Sequence[Target]) -> range:
    """From the first to the last year whose departures a target counts; there are no shocks before the first."""
    counted = [t for t in targets if t.statistic in SWAYED]
    return range(min((t.first for t in counted), default=0), max((t.last for t in counted), default=-1) + 1)


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
    model = problem.read_off([counts], [parameters])[0]
    x = np.array([parameters[name] for name in problem.free])
    asked = replace(problem, parameters=parameters)
    table = target_table(problem.targets, model)
    shocks = expected_shocks(-asked.gaps(model), asked.errors, asked.sway[asked.fitted], asked.size(x))
    with_shocks = [t.moved(v, float(s @ shocks)) for t, v, s in zip(asked.targets, model, asked.sway, strict=True)]
    table.insert(table.columns.get_loc("residual"), "with_shocks", with_shocks)
    table.attrs["cost"] = 0.5 * float((asked.residuals(x, model) ** 2).sum())
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
