"""Policies against sampled futures: each member's own assumptions, parameters, shocks and way through the events.

Regret is what a policy misses against the best of them in the same future (Savage 1951, doi:10.2307/2280094); a policy
satisfices where it meets a threshold (Lempert & Collins 2007, doi:10.1111/j.1539-6924.2007.00940.x). Futures count by
their chances; intervals are from resampling members, whose branches hang together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim.analysis.futures.regret import combined
from bdsim.errors import UsageError
from bdsim.model import draws
from bdsim.model.draws import Purpose
from bdsim.runs.expected import Progress, Request, answers_to
from bdsim.runs.statistics import interval, quantile
from bdsim.study.scenario import Scenario, plan_of
from bdsim.study.uncertainty.assumptions import drawn_branches

if TYPE_CHECKING:
    from bdsim.analysis.quantity import Quantity
    from bdsim.model.categories import Floats
    from bdsim.runs.plan import Job

__all__ = ["Robust", "robust_choice"]

RESAMPLES = 200
SAME = 1e-9  # researchers: policies closer than this are as good


@dataclass(frozen=True)
class Robust:
    """`values` (futures, policies): the quantity; less is better unless `more`. `weights` add up to 1."""

    quantity: Quantity
    policies: tuple[str, ...]
    values: Floats
    weights: Floats  # (futures,)
    draws: NDArray[np.int64]  # (futures,) the member whose future it is
    more: bool
    threshold: float | None

    @property
    def regret(self) -> Floats:
        """What each policy misses against the best in the same future, shape (futures, policies)."""
        loss = -self.values if self.more else self.values
        return np.asarray(loss - loss.min(axis=1, keepdims=True))

    def table(self) -> pd.DataFrame:
        """One row a policy: mean of the quantity; mean, p95 and greatest regret; shares of futures, each with p05 and
        p95: `best`, `worst`, and with a threshold `meets`. The least mean regret comes first."""
        regret = self.regret
        loss = -self.values if self.more else self.values
        spread = np.ptp(loss, axis=1, keepdims=True) > SAME
        shares = {"best": regret <= SAME, "worst": (loss >= loss.max(axis=1, keepdims=True) - SAME) & spread}
        if self.threshold is not None:
            shares["meets"] = self.values >= self.threshold if self.more else self.values <= self.threshold
        members = len(np.unique(self.draws))  # one has no interval
        found = pd.DataFrame(
            {
                "policy": self.policies,
                "mean": self.weights @ self.values,
                "regret": self.weights @ regret,
                "regret_p95": quantile(regret, self.weights, 0.95, members) if members > 1 else np.nan,
                "regret_most": regret[self.weights > 0.0].max(axis=0),
            }
        )
        for name, holds in shares.items():
            found[name] = self.weights @ holds
            found[f"{name}_p05"], found[f"{name}_p95"] = self._interval(holds.astype(np.float64))
        return found.sort_values("regret", ignore_index=True, kind="stable")

    def never_worst(self) -> list[str]:
        """Policies that are worse than another in some future, but the worst of all in none."""
        worst = self.table().set_index("policy")["worst"]
        return [policy for policy in self.policies if worst[policy] <= 0.0]

    def _interval(self, holds: Floats) -> tuple[Floats, Floats]:
        """90% of the shares that resampled members give, each of shape (policies,); nan where there is one member."""
        members, of = np.unique(self.draws, return_inverse=True)
        mass = np.bincount(of, self.weights)
        held = np.stack([np.bincount(of, self.weights * column) for column in holds.T], axis=1)
        numbers = np.arange(len(members), dtype=np.uint64)
        found = []
        for number in range(RESAMPLES):
            chosen = (draws.uniform(number, numbers, 1, Purpose.HALF) * len(members)).astype(np.int64)
            found.append(held[chosen].sum(axis=0) / mass[chosen].sum())
        low, high = interval(np.array(found), (0.05, 0.95)) if len(members) > 1 else np.full((2, held.shape[1]), np.nan)
        return low, high


def robust_choice(
    base: Job, policies: Sequence[Scenario], future: Scenario, quantity: Quantity, *,
    more: bool = False, threshold: float | None = None, progress: Progress | None = None,
) -> Robust:  # fmt: skip
    """Every policy in the futures that the members of `base` draw of the scenario `future`, way by way.

    All scenarios change the one of `base`. Raises UsageError without at least two policies.
    """
    if len(policies) < 2:
        raise UsageError("needs at least two policies", where="--policies")
    members = range(base.settings.members)
    worlds = [combined(policy, base.scenario, future) for policy in policies]
    ways = [world.branches() for world in worlds]
    if any([way.outcomes for way in own] != [way.outcomes for way in ways[0]] for own in ways):
        raise UsageError("a policy has events of its own; only the future may have events", where="--policies")
    asked, weights = [], []
    for member in members:
        seed, own = draws.member_seed(base.settings.seed, member), [base.member_parameters(member)]
        drawn = [drawn_branches(world, way, seed) for world, way in zip(worlds, ways, strict=True)]
        for number, branch in enumerate(drawn[0]):
            weights.append(branch.chance / len(members))
            asked += [Request(plan_of(d[number], base.history).timeline, own, [member]) for d in drawn]
    values = np.concatenate(answers_to(base, asked, quantity.of, progress, quantity.last)).reshape(
        len(weights), len(policies)
    )
    of_member = np.repeat(np.arange(len(members)), len(ways[0]))
    titles = tuple(policy.title for policy in policies)
    return Robust(quantity, titles, values, np.array(weights), of_member, more, threshold)
