"""What the data leave open: the posterior around an optimum, and in words which parameters they cannot tell.

Laplace at the optimum proposes (a multivariate t with the Gauss-Newton covariance, cut at the bounds); importance
weights correct it, first with a quick stand-in for the model and then with the model itself; a systematic resample
keeps equally weighted draws. Parameters of which no fact says anything are drawn from their priors. Each draw brings
the shocks of the observed years, drawn given what the facts lie above its model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import ndtr, ndtri

from bdsim.calibration.problem import Problem
from bdsim.calibration.proposal import Proposal, Shear, Surrogate, coefficients, tempered_moments
from bdsim.calibration.shocks import conditioned, root_of
from bdsim.errors import FitError
from bdsim.model import draws
from bdsim.model.categories import Floats
from bdsim.model.draws import Purpose
from bdsim.study.shocks import normals, path

__all__ = ["Posterior", "explore", "laplace_covariance", "parameter_table", "sensitivity", "trade_offs"]

PROPOSALS = 1920
DRAWS = 400
CHUNK = 96  # points between two reports: whole groups of eight, an even number of them
UNTOLD = 1e-9  # residuals per prior sd: less is rounding
ROUNDS = 4
QUICK = 24_000  # points asked of the surrogate
SIZES = ("sigma_common", "sigma_field", "phi")  # they move what is made of residuals, and no statistic
TOLD, HALF_TOLD = 0.5, 0.2  # shrinkage of the sd from prior to posterior
STRONG = 0.6  # correlation


@dataclass(frozen=True)
class Posterior:
    """Equally weighted draws (draws, free), the model at each (draws, targets), without shocks and with those of each
    draw (draws, years x series), and how good the proposal was."""

    draws: Floats
    models: Floats
    shocks: Floats
    shocked: Floats
    effective: float  # effective sample size of the importance weights
    proposals: int


def laplace_covariance(problem: Problem, x: Floats) -> tuple[Floats, Floats]:
    """The Gauss-Newton covariance at `x`, shape (free, free), and the Jacobian it comes from."""
    jacobian = problem.jacobian(x, central=True)
    return np.asarray(np.linalg.inv(jacobian.T @ jacobian), np.float64), jacobian


def explore(
    problem: Problem,
    mode: Floats,
    covariance: Floats,
    jacobian: Floats,
    seed: int,
    report: Callable[[int, int], None] | None = None,
    proposals: int = PROPOSALS,
    models: Callable[[Floats], Floats] | None = None,
) -> Posterior:
    """Draw from the posterior by importance sampling in two steps.

    The model answers at points around the mode, and a quadratic learns from them (proposal.py). Under the quadratic,
    many points are drawn in rounds that adapt the proposal, each weighted against the mixture of all rounds (Cornuet et
    al. 2012, doi:10.1111/j.1467-9469.2011.00756.x), and resampled. At those the model answers itself, and what the
    quadratic got wrong is corrected by weights: draws are draws of the posterior of the model. Of `proposals` points
    of the model, one part teaches and the rest is corrected. `models` answers for points (points, free) in place of
    `problem.models`, as one that remembers does.
    """
    space = Space.of(problem, jacobian)
    teaching = max(proposals // 2, int(1.3 * coefficients(len(space.learned))))
    candidates = max(proposals - teaching, DRAWS // 2)
    done = 0

    def answered(points: Floats) -> Floats:
        nonlocal done
        rows = []
        for start in range(0, len(points), CHUNK):
            chunk = points[start : start + CHUNK]
            rows.append(models(chunk) if models is not None else problem.models(list(chunk)))
            done += len(chunk)
            if report is not None:
                report(done, teaching + candidates)
        return np.concatenate(rows)

    first = space.proposal(*space.around(mode, covariance), draws.member_seed(seed, 0), teaching)
    taught = space.whole(first.points, draws.member_seed(seed, 0))
    surrogate = Surrogate.of(space.seen(taught), problem.on_scale(answered(taught)))
    believed, log_believed, certain = _under_surrogate(problem, space, surrogate, mode, covariance, seed)
    places = _resampled(log_believed, candidates)
    points = believed[places]
    known = answered(points)
    cost = problem.costs(points, problem.on_scale(known), space.told)  # the rest is drawn from its prior
    weight = problem.costs(points, surrogate(space.seen(points)), space.told) - cost
    kept = _resampled(weight, DRAWS)
    shocks = shocks_of(problem, points[kept], known[kept], seed)
    effective = 1.0 / (1.0 / _effective(weight) + 1.0 / certain)
    return Posterior(
        points[kept], known[kept], shocks, shocked(problem, known[kept], shocks), effective, teaching + candidates
    )


def _under_surrogate(
    problem: Problem, space: Space, surrogate: Surrogate, mode: Floats, covariance: Floats, seed: int
) -> tuple[Floats, Floats, float]:
    """Points (points, free), their log weights under the surrogate, and how many independent ones they are worth."""
    centre, spread = space.around(mode, covariance)
    rounds: list[Proposal] = []
    points, log_target = np.empty((0, len(mode))), np.empty(0)
    for number in range(1, ROUNDS + 1):
        own_seed = draws.member_seed(seed, number)
        rounds.append(space.proposal(centre, spread, own_seed, QUICK // ROUNDS))
        fresh = space.whole(rounds[-1].points, own_seed)
        cost = problem.costs(fresh, surrogate(space.seen(fresh)), space.told)
        points, log_target = np.concatenate([points, fresh]), np.append(log_target, -cost)
        log_weight = log_target - np.logaddexp.reduce([r.log_density(points[:, space.told]) for r in rounds], axis=0)
        centre, spread = tempered_moments(space.shear.straighten(points[:, space.told]), log_weight)
    return points, log_weight, _effective(log_weight)


def _resampled(log_weight: Floats, wanted: int) -> NDArray[np.int64]:
    """Positions drawn systematically in proportion to the weights."""
    weight = np.exp(log_weight - log_weight.max())
    places = np.searchsorted(np.cumsum(weight / weight.sum()), (np.arange(wanted) + 0.5) / wanted)
    return np.minimum(places, len(log_weight) - 1)


def _effective(log_weight: Floats) -> float:
    """How many equally weighted points these weights are worth (Kish 1965)."""
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / (weight**2).sum())


@dataclass(frozen=True)
class Space:
    """Where the posterior is explored: the free parameters that facts tell, in straight coordinates."""

    problem: Problem
    told: NDArray[np.bool_]  # (free,)
    learned: NDArray[np.int64]  # positions of those that move the model's side of targets, among the told
    shear: Shear

    @classmethod
    def of(cls, problem: Problem, jacobian: Floats) -> Space:
        """Told is what moves a residual; learned, what moves a statistic. Raises FitError where nothing is told."""
        told = told_by_facts(jacobian, problem)
        if not told.any():
            asked = ", ".join(problem.free)
            raise FitError(f"no fact depends on {asked}: a fit would only repeat the prior", where="--free")
        names = [n for n, is_told in zip(problem.free, told, strict=True) if is_told]
        learned = np.array([i for i, n in enumerate(names) if n not in SIZES], np.int64)
        return cls(problem, told, learned, Shear.of(problem, told))

    def around(self, mode: Floats, covariance: Floats) -> tuple[Floats, Floats]:
        """Centre and covariance at a mode, in straight coordinates."""
        slope = self.shear.slope(mode[self.told])
        return (
            self.shear.straighten(mode[self.told][None])[0],
            slope @ covariance[np.ix_(self.told, self.told)] @ slope.T,
        )

    def proposal(self, centre: Floats, spread: Floats, seed: int, wanted: int) -> Proposal:
        """Points of the told parameters inside their bounds."""
        low, high = self.problem.bounds
        return Proposal.around(centre, spread, self.shear, (low[self.told], high[self.told]), seed, wanted)

    def whole(self, points: Floats, seed: int) -> Floats:
        """All free parameters, shape (points, free): what no fact tells is drawn from its prior."""
        full = from_prior(self.problem, len(points), seed)
        full[:, self.told] = points
        return full

    def seen(self, points: Floats) -> Floats:
        """The coordinates that the surrogate learns from, of points (points, free)."""
        return self.shear.straighten(points[:, self.told])[:, self.learned]


def told_by_facts(jacobian: Floats, problem: Problem) -> NDArray[np.bool_]:
    """Which free parameters any fact says anything of, shape (free,)."""
    facts = jacobian[: len(jacobian) - len(problem.free)] * problem.sd
    return np.asarray(np.abs(facts).max(axis=0) > UNTOLD)


def from_prior(problem: Problem, wanted: int, seed: int) -> Floats:
    """Independent draws of the priors inside the bounds, shape (wanted, free)."""
    low, high = (ndtr((bound - problem.mean) / problem.sd) for bound in problem.bounds)
    i = np.arange(wanted, dtype=np.uint64)
    uniform = np.column_stack([draws.uniform(seed, i, 1, Purpose.POSTERIOR, k) for k in range(len(problem.free))])
    inside = problem.mean + problem.sd * ndtri(low + uniform * (high - low))
    return np.asarray(np.clip(inside, *problem.bounds))


def shocks_of(problem: Problem, points: Floats, models: Floats, seed: int) -> Floats:
    """Shocks drawn given the facts for each draw, shape (draws, years x series): keyed by the draw's number."""
    whose = np.arange(len(points), dtype=np.uint64)
    z = normals(seed, whose, problem.shock_years)
    errors, fitted = problem.errors, problem.fitted
    facts = np.array([ndtri(draws.uniform(seed, whose, i, Purpose.SHOCK, 1)) for i in range(len(errors))])
    found = np.empty((len(points), problem.sway.shape[1]))
    for n, (x, model) in enumerate(zip(points, models, strict=True)):
        size = problem.size(x)
        prior = path(size, z[n]).ravel()
        gap = -problem.gaps(model)
        found[n] = conditioned(gap, errors, problem.sway[fitted], size, prior, errors * facts[:, n])
    return found


def shocked(problem: Problem, models: Floats, shocks: Floats) -> Floats:
    """The model's side of every target with the shocks of each draw, shape (draws, targets)."""
    by = shocks @ problem.sway.T
    logs = np.array([t.is_log for t in problem.targets])
    return np.where(logs, models * np.exp(np.where(logs, by, 0.0)), models + by)


def parameter_table(problem: Problem, mode: Floats, posterior: Posterior) -> pd.DataFrame:
    """Parameter by parameter: mode, posterior and prior, how far the data shrink the sd, and a verdict."""
    from scipy.stats import truncnorm  # half a second to import

    low, high = problem.bounds
    mean, sd = problem.mean, problem.sd
    prior = truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
    spread = posterior.draws.std(axis=0, ddof=1)
    shrinkage = 1.0 - spread / prior.std()
    p05, median, p95 = np.quantile(posterior.draws, (0.05, 0.5, 0.95), axis=0)
    verdict = np.where(shrinkage >= TOLD, "informed by the data", np.where(shrinkage >= HALF_TOLD, "partly", "prior"))
    return pd.DataFrame(
        {
            "parameter": problem.free, "mode": mode, "median": median, "p05": p05, "p95": p95,
            "sd": spread, "prior_mean": prior.mean(), "prior_sd": prior.std(), "shrinkage": shrinkage,
            "verdict": verdict, "unit": [problem.parameters.entries[n].unit for n in problem.free],
        }
    )  # fmt: skip


def sensitivity(problem: Problem, x: Floats, covariance: Floats, jacobian: Floats) -> pd.DataFrame:
    """Andrews, Gentzkow & Shapiro (2017, doi:10.1093/qje/qjx023): how far each parameter moves, in posterior sds,
    when a fact is raised by one of its standard errors. Rows: fitted targets; columns: parameters."""
    fitted = [t.label for t in problem.targets if t.role == "fitted"]
    root = root_of(problem.errors, problem.sway[problem.fitted], problem.size(x))
    raised = solve_triangular(root, np.diag(problem.errors), lower=True)  # residuals by facts
    moves = (covariance @ jacobian[: len(fitted)].T @ raised) / np.sqrt(np.diag(covariance))[:, None]
    return pd.DataFrame(moves.T, index=pd.Index(fitted, name="target"), columns=list(problem.free))


def _tied_together(correlation: Floats) -> list[list[int]]:
    """Groups of parameters linked by strong correlations, as lists of positions."""
    groups: list[set[int]] = []
    for i, j in zip(*np.nonzero(np.triu(np.abs(correlation) >= STRONG, k=1)), strict=True):
        joined = {int(i), int(j)}.union(*(g for g in groups if i in g or j in g))
        groups = [g for g in groups if not g & joined] + [joined]
    return [sorted(g) for g in groups]


def trade_offs(problem: Problem, table: pd.DataFrame, posterior: Posterior) -> list[str]:
    """What the data cannot tell apart, and what they cannot tell at all, in sentences."""
    said = []
    correlation = np.atleast_2d(np.corrcoef(posterior.draws.T))
    units = [problem.parameters.entries[name].unit for name in problem.free]
    logs = [unit.startswith("log") and "per unit of" not in unit for unit in units]  # of a rate or a number, no slope
    for group in _tied_together(correlation):
        names = [problem.free[i] for i in group]
        strength = [abs(correlation[i, j]) for i in group for j in group if i < j and abs(correlation[i, j]) >= STRONG]
        if len(group) > 2:
            said.append(
                f"{', '.join(names)} move together (|r| {min(strength):.2f} to {max(strength):.2f}); the data fix "
                "combinations of them better than any one"
            )
        else:
            i, j = group
            negative, both = correlation[i, j] < 0, logs[i] and logs[j]
            of_logs, of_others = ("product", "weighted sum") if negative else ("ratio", "weighted difference")
            fixed = of_logs if both else of_others
            said.append(
                f"{names[0]} and {names[1]} trade off (r = {correlation[i, j]:+.2f}); the data fix their {fixed} "
                "better than either"
            )
    scaled = posterior.draws / table["prior_sd"].to_numpy()
    size, direction = np.linalg.eigh(np.atleast_2d(np.cov(scaled.T)))
    best = direction[:, 0] * np.sign(direction[np.argmax(np.abs(direction[:, 0])), 0])
    named = [f"{best[k]:+.2f} {problem.free[k]}" for k in np.argsort(-np.abs(best))[:4] if abs(best[k]) > 0.2]
    if len(problem.free) > 1:
        said.append(
            f"best informed is {' '.join(named)}, each in prior sds: its posterior sd is {np.sqrt(size[0]):.3f}"
        )
    prior_only = table.loc[table["verdict"] == "prior", "parameter"].tolist()
    if prior_only:
        said.append(f"carried from the prior, not informed by the data: {', '.join(prior_only)}")
    rests = (
        "so fade is carried from its prior, and so is what projections make of it"
        if "fade" in problem.free
        else f"so projections rest on the value at which fade is held, {problem.parameters['fade']:g}"
    )
    said.append(
        f"how fast fear fades after the Initiative's end is not in the data: the series ends before it, {rests}"
    )
    return said


def rests_on_priors(table: pd.DataFrame) -> str:
    """Which parameters of a fit only a prior tells, in a sentence; `table` is parameters.csv."""
    prior = table.loc[table["verdict"] == "prior", "parameter"].tolist()
    if not prior:
        return f"The facts inform all {len(table)} parameters at least partly."
    return f"Of {len(table)} parameters, {len(prior)} rest on their priors alone: {', '.join(prior)}."
