"""The shocks of observed years: how they move statistics, what they add to errors, what the facts say of them.

A fact is the model's number, plus what the shocks of its years do to it, plus its own error. To first order a shock
moves the departures of its year and field alone: that it leaves fewer people to depart later, and what it does to
stay rates and to the age of those who leave, is left out. With sizes around 0.05 that is far below the errors of these
facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from bdsim.calibration.targets import Target, model_value
from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.model.counts import Counts
from bdsim.study.shocks import ELSEWHERE, SERIES, Discrepancy, covariance

__all__ = ["Likelihood", "conditioned", "expected_shocks", "root_of", "sway_of", "whitened"]

NUDGE = 1e-4  # of a log rate: statistics are smooth, so a difference this small is a derivative
TOGETHER = 500  # covariances at a time: some tens of megabytes
UNMOVED = ("stay_rate", "experienced")


def sway_of(targets: Sequence[Target], counts: Counts, values: Mapping[str, float], years: range) -> Floats:
    """How far each statistic moves with each shock, per unit of log rate: shape (targets, years x series).

    On the scale on which the target is compared (log or its own unit); `counts` of one expected run say what each
    year, field and destination weigh in a total or a share.
    """
    before = [model_value(t, counts, values) for t in targets]
    sway = np.zeros((len(targets), len(years), len(SERIES)))
    for i, target in enumerate(targets):
        if target.statistic in UNMOVED:
            continue
        ranges = [(target.first, target.last), *([target.denominator] if target.denominator else [])]
        for year in (y for y in years if any(first <= y <= last for first, last in ranges)):
            for series in range(len(SERIES)):
                after = model_value(target, _nudged(counts, year, series), values)
                gap = np.log(after / before[i]) if target.is_log else after - before[i]
                sway[i, year - years.start, series] = gap / NUDGE
    return sway.reshape(len(targets), -1)


def _nudged(counts: Counts, year: int, series: int) -> Counts:
    expected = counts.expected.copy()
    here = expected[:, year - FIRST_YEAR]
    if series == ELSEWHERE:
        here[..., 1] *= np.exp(NUDGE)
    else:
        here[:, :, series, :, 0] *= np.exp(NUDGE)
    return replace(counts, expected=expected)


def root_of(error: Floats, sway: Floats, size: Discrepancy) -> Floats:
    """The lower Cholesky factor of the covariance of facts around the model, shape (facts, facts): each fact's own
    error, and what shocks add to it and have in common."""
    years = sway.shape[1] // len(SERIES)
    return np.asarray(np.linalg.cholesky(np.diag(error**2) + sway @ covariance(size, years) @ sway.T))


def whitened(gap: Floats, error: Floats, sway: Floats, size: Discrepancy) -> Floats:
    """Residuals that are independent and of variance 1 under the model, and a last one for the log determinant.

    Half their sum of squares is minus the log likelihood, up to a constant: the last is the square root of how far
    shocks widen the facts' errors, ln det V - ln det diag(error^2), which is never below 0.
    """
    root = root_of(error, sway, size)
    wider = 2.0 * float(np.log(np.diag(root)).sum() - np.log(error).sum())
    return np.append(solve_triangular(root, gap, lower=True), np.sqrt(max(wider, 0.0)))


@dataclass(frozen=True)
class Likelihood:
    """Half the squares of `whitened` at many points at once.

    The covariance of facts is a sum over how many years apart two shocks are: what those have in common is worked out
    once, and the sizes of shocks only weigh it.
    """

    error: Floats  # (facts,)
    shared: Floats  # (years apart, facts, facts): covariance under a shared shock of variance 1 and memory 1
    own: Floats  # the same, under a field's own shock

    @classmethod
    def of(cls, error: Floats, sway: Floats) -> Likelihood:
        """`error` (facts,) and `sway` (facts, years x series) of the fitted facts."""
        by_year = sway.reshape(len(sway), -1, len(SERIES))
        kinds = []
        for size in (Discrepancy(1.0, 0.0, 1.0), Discrepancy(0.0, 1.0, 1.0)):
            pairs = np.einsum("fys,st,gzt->yzfg", by_year, size.within_a_year(), by_year, optimize=True)
            apart = [pairs.diagonal(k).sum(axis=-1) for k in range(by_year.shape[1])]
            kinds.append(
                np.array([a if not k else a + a.T for k, a in enumerate(apart)]).reshape(-1, *(len(sway),) * 2)
            )
        return cls(error, *kinds)

    def costs(self, gaps: Floats, sizes: Floats) -> Floats:
        """Minus the log likelihood, up to a constant, of gaps (points, facts) under sizes of shocks (points, 3)."""
        chunks = range(0, len(gaps), TOGETHER)
        found = [self._costs(gaps[i : i + TOGETHER], sizes[i : i + TOGETHER]) for i in chunks]
        return np.concatenate(found) if found else np.empty(0)

    def _costs(self, gaps: Floats, sizes: Floats) -> Floats:
        common, field, memory = sizes.T
        fading = memory[:, None] ** np.arange(len(self.shared))
        kinds = (common**2, self.shared), (field**2, self.own)
        wider = sum(np.tensordot(variance[:, None] * fading, kind, axes=1) for variance, kind in kinds)
        covariances = np.diag(self.error**2) + wider
        logs = np.log(np.diagonal(np.linalg.cholesky(covariances), axis1=1, axis2=2)).sum(axis=1)
        squares = (gaps * np.linalg.solve(covariances, gaps[..., None])[..., 0]).sum(axis=1)
        return np.asarray(0.5 * squares + np.maximum(logs - np.log(self.error).sum(), 0.0))


def conditioned(fact: Floats, error: Floats, sway: Floats, size: Discrepancy, drawn: Floats, noise: Floats) -> Floats:
    """Shocks given what the facts lie above the model, shape (years x series,).

    Matheron's rule (Journel & Huijbregts 1978): shocks `drawn` from their prior and facts' errors `noise` give facts
    that might have been; moving the shocks by what is expected of the difference from those that are makes them a draw
    given these. `fact` and `noise` have shape (facts,), as has `error`; `drawn` (years x series,).
    """
    root = root_of(error, sway, size)
    prior = covariance(size, sway.shape[1] // len(SERIES))
    apart = cho_solve((root, True), fact - sway @ drawn - noise)
    return np.asarray(drawn + prior @ sway.T @ apart)


def expected_shocks(fact: Floats, error: Floats, sway: Floats, size: Discrepancy) -> Floats:
    """The mean of `conditioned`, shape (years x series,)."""
    return conditioned(fact, error, sway, size, np.zeros(sway.shape[1]), np.zeros(len(error)))
