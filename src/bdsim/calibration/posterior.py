"""What the data leave open: the posterior around an optimum, and in words which parameters they cannot tell.

Laplace at the optimum proposes (a multivariate t with the Gauss-Newton covariance, cut at the bounds); importance
weights correct it with the true objective, in rounds that adapt the proposal; a systematic resample keeps equally
weighted draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import solve_triangular
from scipy.special import gammaincinv, ndtri

from bdsim.calibration.problem import Problem
from bdsim.errors import FitError
from bdsim.model import draws
from bdsim.model.categories import Floats
from bdsim.model.draws import Purpose

__all__ = ["Posterior", "explore", "laplace_covariance", "parameter_table", "sensitivity", "trade_offs"]

PROPOSALS = 3000
DRAWS = 400
TAIL = 12.0  # degrees of freedom of the proposal: tails wider than a normal's
CHUNK = 100
AGES = np.arange(1.0, 13.0)  # 1 + years since entry
ROUNDS = 4
TOLD, HALF_TOLD = 0.5, 0.2  # shrinkage of the sd from prior to posterior
STRONG = 0.6  # correlation


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
    return np.asarray(np.linalg.inv(jacobian.T @ jacobian), np.float64), jacobian


def explore(
    problem: Problem,
    mode: Floats,
    covariance: Floats,
    seed: int,
    report: Callable[[int, int], None] | None = None,
    proposals: int = PROPOSALS,
    models: Callable[[Floats], Floats] | None = None,
) -> Posterior:
    """Draw from the posterior by adaptive importance resampling.

    The first round proposes around the mode; each later one around the tempered moments of all points so far. Every
    point is weighted against the mixture of all rounds (Cornuet et al. 2012, doi:10.1111/j.1467-9469.2011.00756.x).
    `models` answers for points (points, free) in place of `problem.models`, as one that remembers does.
    """
    answer = models or (lambda chunk: problem.models(list(chunk)))
    shear = Shear.of(problem)
    rounds: list[Proposal] = []
    points, known = np.empty((0, len(mode))), np.empty((0, len(problem.targets)))
    log_target = np.empty(0)
    slope = shear.slope(mode)
    centre, spread = shear.straighten(mode[None])[0], slope @ covariance @ slope.T
    for number in range(ROUNDS):
        wanted = proposals // ROUNDS
        proposal = Proposal.around(centre, spread, shear, problem.bounds, draws.member_seed(seed, number), wanted)
        rounds.append(proposal)
        for start in range(0, wanted, CHUNK):
            chunk = proposal.points[start : start + CHUNK]
            rows = answer(chunk)
            cost = [0.5 * float((problem.residuals(x, m) ** 2).sum()) for x, m in zip(chunk, rows, strict=True)]
            known, log_target = np.concatenate([known, rows]), np.append(log_target, -np.array(cost))
            if report is not None:
                report(len(known), wanted * ROUNDS)
        points = np.concatenate([points, proposal.points])
        log_weight = log_target - np.logaddexp.reduce([r.log_density(points) for r in rounds], axis=0)
        centre, spread = _tempered_moments(shear.straighten(points), log_weight)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    chosen = np.searchsorted(np.cumsum(weight), (np.arange(DRAWS) + 0.5) / DRAWS)
    chosen = np.minimum(chosen, len(points) - 1)
    return Posterior(points[chosen], known[chosen], float(1.0 / (weight**2).sum()), len(points))


@dataclass(frozen=True)
class Shear:
    """Coordinates in which the posterior is nearly a normal: leave_* + ln S(roots) in place of leave_*.

    S(roots) sums (1 + age)^-roots over a dozen years: those who leave within them, not the first year's rate, are
    what the data fix. A shear keeps volumes, so densities need no correction.
    """

    roots: int | None  # position among the free parameters
    leaving: tuple[int, ...]

    @classmethod
    def of(cls, problem: Problem) -> Shear:
        """The shear of a problem's free parameters; none where roots is held."""
        roots = problem.free.index("roots") if "roots" in problem.free else None
        return cls(roots, tuple(i for i, name in enumerate(problem.free) if name.startswith("leave_")))

    def straighten(self, points: Floats) -> Floats:
        """Parameters (points, free) in the straight coordinates."""
        return self._moved(points, 1.0)

    def bend(self, points: Floats) -> Floats:
        """The inverse of `straighten`."""
        return self._moved(points, -1.0)

    def slope(self, x: Floats) -> Floats:
        """The derivative of `straighten` at `x`, shape (free, free)."""
        matrix = np.eye(len(x))
        if self.roots is not None:
            weight = AGES ** -x[self.roots]
            matrix[list(self.leaving), self.roots] = -(weight * np.log(AGES)).sum() / weight.sum()
        return matrix

    def _moved(self, points: Floats, sign: float) -> Floats:
        moved = np.array(points)
        if self.roots is not None:
            lived = np.log((AGES[None, :] ** -points[:, self.roots, None]).sum(axis=1))
            moved[:, list(self.leaving)] += sign * lived[:, None]
        return moved


@dataclass(frozen=True)
class Proposal:
    """A multivariate t in straight coordinates, cut at the bounds, and points drawn from it."""

    shear: Shear
    centre: Floats
    root: Floats  # lower Cholesky factor of the scale matrix
    log_inside: float  # log of the share of the t inside the bounds
    points: Floats

    @classmethod
    def around(
        cls, centre: Floats, covariance: Floats, shear: Shear, bounds: tuple[Floats, Floats], seed: int, wanted: int
    ) -> Proposal:
        """`wanted` points; coordinates and chi squares are drawn at addresses of `seed`."""
        d, root = len(centre), np.asarray(np.linalg.cholesky(covariance), np.float64)
        found, tried, batch = np.empty((0, d)), 0, 0
        while len(found) < wanted:
            i = np.arange(batch * wanted, (batch + 1) * wanted, dtype=np.uint64)
            normal = ndtri(np.column_stack([draws.uniform(seed, i, 0, Purpose.POSTERIOR, k) for k in range(d)]))
            chi2 = 2.0 * gammaincinv(TAIL / 2.0, draws.uniform(seed, i, 0, Purpose.POSTERIOR, d))
            candidates = shear.bend(centre + (normal * np.sqrt(TAIL / chi2)[:, None]) @ root.T)
            inside = ((candidates >= bounds[0]) & (candidates <= bounds[1])).all(axis=1)
            found, tried, batch = np.concatenate([found, candidates[inside]]), tried + wanted, batch + 1
            if batch > 200:
                raise FitError("the optimum lies outside what the bounds allow", where="posterior")
        return cls(shear, centre, root, float(np.log(len(found) / tried)), found[:wanted])

    def log_density(self, points: Floats) -> Floats:
        """The log density at points inside the bounds, up to a constant shared by all proposals."""
        steps = solve_triangular(self.root, (self.shear.straighten(points) - self.centre).T, lower=True)
        distance = (steps**2).sum(axis=0)
        shape = -0.5 * (TAIL + len(self.centre)) * np.log1p(distance / TAIL)
        return np.asarray(shape - np.log(np.diag(self.root)).sum() - self.log_inside)


def _tempered_moments(points: Floats, log_weight: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance under weights whose few greatest are cut, so that no single point decides."""
    weight = np.exp(log_weight - log_weight.max())
    weight = np.minimum(weight, np.quantile(weight, 1.0 - 30.0 / len(weight)))
    weight /= weight.sum()
    mean = weight @ points
    apart = points - mean
    return mean, (weight[:, None] * apart).T @ apart


def parameter_table(problem: Problem, mode: Floats, posterior: Posterior) -> pd.DataFrame:
    """Parameter by parameter: mode, posterior and prior, how far the data shrink the sd, and a verdict."""
    from scipy.stats import truncnorm  # half a second to import

    low, high = problem.bounds
    mean, sd = problem.mean, problem.sd
    prior = truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
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
        said.append(f"best told is {' '.join(named)}, each in prior sds: its posterior sd is {np.sqrt(size[0]):.3f}")
    prior_only = table.loc[table["verdict"] == "prior", "parameter"].tolist()
    if prior_only:
        said.append(f"carried from the prior, not told by the data: {', '.join(prior_only)}")
    rests = (
        "so rho is told by how fear built up at most, and projections carry its prior"
        if "rho" in problem.free
        else f"so projections rest on the value at which rho is held, {problem.parameters['rho']:g}"
    )
    said.append(
        f"how fast fear fades after the Initiative's end is not in the data: the series ends before it, {rests}"
    )
    return said
