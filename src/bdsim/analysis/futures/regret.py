"""Policies against futures: what one would have missed by a policy, had one known which future comes (Savage 1951,
doi:10.2307/2280094). Expected runs, each pair of a policy and a future with the same parameters, draw by draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from bdsim.analysis.comparison import unique
from bdsim.errors import UsageError
from bdsim.runs.expected import Progress, Request, answers_to, posterior_draws
from bdsim.runs.statistics import interval

if TYPE_CHECKING:
    from bdsim.analysis.quantity import Quantity
    from bdsim.model.categories import Floats
    from bdsim.runs.plan import Job
    from bdsim.study.scenario import Scenario

__all__ = ["Regret", "combined", "regret_of"]

LEVELS = (0.05, 0.95)
T = TypeVar("T")


@dataclass(frozen=True)
class Regret:
    """`values` (draws, policies, futures): the quantity; less is better unless `more`."""

    quantity: Quantity
    policies: tuple[str, ...]
    futures: tuple[str, ...]
    values: Floats
    more: bool

    @property
    def regret(self) -> Floats:
        """What the policy misses against the best of them in that future, shape (draws, policies, futures)."""
        loss = -self.values if self.more else self.values
        return np.asarray(loss - loss.min(axis=1, keepdims=True))

    def table(self) -> pd.DataFrame:
        """policy, future, mean, p05, p95 of the quantity; regret, its p05 and p95; best: share of draws it is best."""
        rows = []
        regret = self.regret
        for p, policy in enumerate(self.policies):
            for f, future in enumerate(self.futures):
                value, missed = self.values[:, p, f], regret[:, p, f]
                rows.append((policy, future, value.mean(), *interval(value, LEVELS), missed.mean(),
                             *interval(missed, LEVELS), float((missed <= 0.0).mean())))  # fmt: skip
        names = ("policy", "future", "mean", "p05", "p95", "regret", "regret_p05", "regret_p95", "best")
        return pd.DataFrame(rows, columns=names)

    def worst(self) -> pd.DataFrame:
        """policy, greatest mean regret over the futures, and the future where it is; the least comes first."""
        mean = self.regret.mean(axis=0)
        rows = [(p, float(mean[i].max()), self.futures[int(mean[i].argmax())]) for i, p in enumerate(self.policies)]
        return pd.DataFrame(rows, columns=["policy", "greatest_regret", "in"]).sort_values(
            "greatest_regret", ignore_index=True
        )


def combined(policy: Scenario, base: Scenario, future: Scenario) -> Scenario:
    """The future with what the policy adds to the base, takes from it, or changes in it."""

    def parts(of_base: Sequence[T], of_policy: Sequence[T], of_future: Sequence[T]) -> tuple[T, ...]:
        gone = [part for part in of_base if part not in of_policy]
        return (*(p for p in of_future if p not in gone), *(p for p in of_policy if p not in (*of_base, *of_future)))

    return replace(
        future,
        policies=parts(base.policies, policy.policies, future.policies),
        levers=parts(base.levers, policy.levers, future.levers),
        events=parts(base.events, policy.events, future.events),
    )


def regret_of(
    base: Job, policies: Sequence[Scenario], futures: Sequence[Scenario], quantity: Quantity, *,
    more: bool = False, progress: Progress | None = None,
) -> Regret:  # fmt: skip
    """The table of policies against futures, all of which change the base's scenario.

    Raises UsageError without at least two policies and a future.
    """
    if len(policies) < 2 or not futures:
        raise UsageError("needs at least two policies and a future", where="regret")
    draws = posterior_draws(base)
    asked, chances = [], []
    for policy in policies:
        for future in futures:
            plans = combined(policy, base.scenario, future).plans(base.history)
            asked += [Request(plan.timeline, draws, range(len(draws))) for plan in plans]
            chances.append([plan.branch.chance for plan in plans])
    answers = iter(answers_to(base, asked, quantity.of, progress, quantity.last))
    values = [sum((c * next(answers) for c in of_pair), np.zeros(len(draws))) for of_pair in chances]
    shape = (len(policies), len(futures), len(draws))
    found = np.moveaxis(np.array(values).reshape(shape), 2, 0)
    names = [tuple(unique([s.title for s in of], [s.name for s in of], "{} ({})")) for of in (policies, futures)]
    return Regret(quantity, names[0], names[1], found, more)
