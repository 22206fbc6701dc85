"""What the data leave open: the posterior around an optimum, and in words which parameters they cannot tell.

Laplace at the optimum proposes (a multivariate t with the Gauss-Newton covariance, cut at the bounds); importance
weights correct it with the true objective; a systematic resample keeps equally weighted draws. Drawn at addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import gammaincinv, ndtri

from bdsim import draws
from bdsim.calibration import Problem
from bdsim.draws import Purpose
from bdsim.environment import Floats

__all__ = ["Posterior", "explore", "laplace_covariance", "parameter_table", "sensitivity", "trade_offs"]

PROPOSALS = 1500
DRAWS = 400
TAIL = 12.0  # degrees of freedom of the proposal: tails wider than a normal's
CHUNK = 100
TOLD, HALF_TOLD = 0.5, 0.2  # shrinkage of the sd from prior to posterior
STRONG_CORRELATION = 0.6


@dataclass(frozen=True)
class Posterior:
    """Equally weighted draws (draws, free), the model at each (draws, targets), and how good the proposal was."""

    draws: Floats
    models: Floats
    effective: float  # effective sample size of the importance weights
    proposals: int


def laplace_covariance(problem: Problem, x: Floats) -> tuple[Floats, Floats]:
    """The Gauss-Newton covariance at `x`, shape (free, free), and the Jacobian it comes from."""
    jacobian = problem.jacobian(x, central=True)
    return np.linalg.inv(jacobian.T @ jacobian), jacobian


def explore(
    problem: Problem, mode: Floats, covariance: Floats, seed: int, report: Callable[[int, int], None] | None = None
) -> Posterior:
    """Draw from the posterior by importance resampling of the Laplace approximation."""
    low, high = problem.bounds
    points, log_proposal = _propose(mode, covariance, low, high, seed)
    models, costs = [], []
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        rows = problem.models(list(chunk))
        models.append(rows)
        costs += [0.5 * float((problem.residuals(x, m) ** 2).sum()) for x, m in zip(chunk, rows, strict=True)]
        if report is not None:
            report(min(start + CHUNK, len(points)), len(points))
    log_weight = -np.array(costs) - log_proposal
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    chosen = np.searchsorted(np.cumsum(weight), (np.arange(DRAWS) + 0.5) / DRAWS)
    chosen = np.minimum(chosen, len(points) - 1)
    return Posterior(points[chosen], np.concatenate(models)[chosen], float(1.0 / (weight**2).sum()), len(points))


def _propose(mode: Floats, covariance: Floats, low: Floats, high: Floats, seed: int) -> tuple[Floats, Floats]:
    """Points of a multivariate t inside the bounds, and the log of their density up to a constant."""
    d, root = len(mode), np.linalg.cholesky(covariance)
    points: list[Floats] = []
    distances: list[float] = []
    batch = 0
    while len(points) < PROPOSALS:
        i = np.arange(batch * PROPOSALS, (batch + 1) * PROPOSALS, dtype=np.uint64)
        normal = ndtri(np.column_stack([draws.uniform(seed, i, 0, Purpose.POSTERIOR, k) for k in range(d)]))
        chi2 = 2.0 * gammaincinv(TAIL / 2.0, draws.uniform(seed, i, 0, Purpose.POSTERIOR, d))
        steps = normal * np.sqrt(TAIL / chi2)[:, None]
        candidates = mode + steps @ root.T
        inside = ((candidates >= low) & (candidates <= high)).all(axis=1)
        points += list(candidates[inside])
        distances += list((steps[inside] ** 2).sum(axis=1))
        batch += 1
    log_density = -0.5 * (TAIL + d) * np.log1p(np.array(distances[:PROPOSALS]) / TAIL)
    return np.array(points[:PROPOSALS]), log_density


def parameter_table(problem: Problem, mode: Floats, posterior: Posterior) -> pd.DataFrame:
    """Parameter by parameter: mode, posterior and prior, how far the data shrink the sd, and a verdict."""
    low, high = problem.bounds
    mean, sd = problem.mean, problem.sd
    prior = stats.truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
    spread = posterior.draws.std(axis=0, ddof=1)
    shrinkage = 1.0 - spread / prior.std()
    p05, median, p95 = np.quantile(posterior.draws, (0.05, 0.5, 0.95), axis=0)
    verdict = np.where(shrinkage >= TOLD, "told by the data", np.where(shrinkage >= HALF_TOLD, "partly", "prior"))
    return pd.DataFrame(
        {
            "parameter": problem.free, "mode": mode, "median": median, "p05": p05, "p95": p95,
            "sd": spread, "prior_mean": prior.mean(), "prior_sd": prior.std(), "shrinkage": shrinkage,
            "verdict": verdict, "unit": [problem.parameters.entries[n].unit for n in problem.free],
        }
    )  # fmt: skip


def sensitivity(problem: Problem, covariance: Floats, jacobian: Floats) -> pd.DataFrame:
    """Andrews, Gentzkow & Shapiro (2017, doi:10.1093/qje/qjx023): how far each parameter moves, in posterior sds,
    when a fact is raised by one of its standard errors. Rows: fitted targets; columns: parameters."""
    fitted = [t.label for t in problem.targets if t.role == "fitted"]
    moves = (covariance @ jacobian[: len(fitted)].T) / np.sqrt(np.diag(covariance))[:, None]
    return pd.DataFrame(moves.T, index=pd.Index(fitted, name="target"), columns=list(problem.free))


def trade_offs(problem: Problem, table: pd.DataFrame, posterior: Posterior) -> list[str]:
    """What the data cannot tell apart, and what they cannot tell at all, in sentences."""
    said = []
    correlation = np.corrcoef(posterior.draws.T)
    logs = [problem.parameters.entries[name].unit.startswith("log") for name in problem.free]
    for i, one in enumerate(problem.free):
        for j in range(i + 1, len(problem.free)):
            r, other = correlation[i, j], problem.free[j]
            if abs(r) >= STRONG_CORRELATION:
                fixed = (
                    ("product" if logs[i] and logs[j] else "sum")
                    if r < 0
                    else ("ratio" if logs[i] and logs[j] else "difference")
                )
                said.append(
                    f"{one} and {other} trade off (r = {r:+.2f}); the data fix their {fixed} better than either"
                )
    scaled = posterior.draws / table["prior_sd"].to_numpy()
    size, direction = np.linalg.eigh(np.cov(scaled.T))
    best = direction[:, 0]
    named = [f"{best[k]:+.2f} {problem.free[k]}" for k in np.argsort(-np.abs(best))[:4] if abs(best[k]) > 0.2]
    said.append(f"best told (sd {np.sqrt(size[0]):.3f} of the prior's): {', '.join(named)} in prior sds")
    prior_only = table.loc[table["verdict"] == "prior", "parameter"].tolist()
    if prior_only:
        said.append(f"carried from the prior, not told by the data: {', '.join(prior_only)}")
    if "rho" in prior_only:
        said.append(
            "how fast fear fades after the Initiative's end (rho) is outside the data: the series ends before it"
        )
    return said
