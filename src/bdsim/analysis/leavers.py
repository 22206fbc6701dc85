"""Who leaves only under a scenario, only under the reference, and under both: numbers alone miss whom they are.

A description of the model's pairs of lives, person by person with the same luck; nobody's real reason to go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bdsim.analysis.pairs import BY, DECILES, LABELS, by_label
from bdsim.errors import UsageError
from bdsim.model.categories import FIRST_YEAR, ORIGIN_OF_GROUP, Floats
from bdsim.model.counts import selection
from bdsim.model.fates import fate_of, year_left
from bdsim.model.rule import CHINA

if TYPE_CHECKING:
    from bdsim.analysis.comparison import Comparison, Period
    from bdsim.runs.results import Results

__all__ = ["BY", "SIDES", "Who", "who_leaves"]

SIDES = ("only under the scenario", "only under the reference", "under both")
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True)
class Who:
    """Leavers of a period by side and attribute, and how prominent they are.

    `table`: side, by, label, mean, p05, p95 (researchers), share, share_p05, share_p95 (of the side, per attribute).
    `top_decile`: under (the scenario or the reference, and their difference), mean, p05, p95: percent of departures
    that the most prominent tenth of researchers makes up.
    """

    scenario: str
    reference: str
    titles: tuple[str, str]  # of the two
    period: Period
    table: pd.DataFrame
    top_decile: pd.DataFrame
    engine: str  # that the runs were made with


def who_leaves(comparison: Comparison, scenario: Results, period: Period, origin: str = "china") -> Who:
    """Whom a scenario changes, in the years of `period` (both included).

    Stage is that of the departure (under the scenario where there are two), prominence and ties those of entry.
    Intervals hold 90% of members, without the excess chance of agents that stand for several researchers. Raises
    UsageError for a period outside the run.
    """
    first, last = period
    if not comparison.reference.years[0] <= first <= last <= comparison.reference.years[-1]:
        raise UsageError(f"period {first}-{last} lies outside the run", where="period")
    counts = _counted(comparison, scenario, period, origin)
    weights = scenario.weights
    scale = float(scenario.manifest["researchers_per_agent"])
    rows = []
    start = 0
    for by, labels in BY.items():
        values = counts[:, :, start : start + len(labels)]
        start += len(labels)
        mean = scenario.mean(values)
        spread = _without_excess(values, weights, scale)
        low, high = scenario.band(spread, (LOW, HIGH))
        share = mean / np.maximum(mean.sum(axis=1, keepdims=True), 1e-300)
        shares = np.maximum(spread, 0.0) / np.maximum(np.maximum(spread, 0.0).sum(axis=2, keepdims=True), 1e-300)
        share_low, share_high = scenario.band(shares, (LOW, HIGH))
        rows += [
            {
                "side": side, "by": by, "label": label, "mean": mean[s, i], "p05": low[s, i], "p95": high[s, i],
                "share": share[s, i], "share_p05": share_low[s, i], "share_p95": share_high[s, i],
            }
            for s, side in enumerate(SIDES)
            for i, label in enumerate(labels)
        ]  # fmt: skip
    reference = comparison.reference
    titles = (scenario.title, reference.title)
    engine = str(scenario.manifest["engine"])
    return Who(scenario.name, reference.name, titles, period, pd.DataFrame(rows), _caliber(counts, scenario), engine)


def _counted(comparison: Comparison, scenario: Results, period: Period, origin: str) -> Floats:
    """Leavers in researchers by side and label of every attribute, shape (members, sides, labels of all attributes)."""
    pairs, members = comparison.pairs(scenario), len(scenario.members)
    people, groups = pairs.people, selection(origin)
    low, high = (fate_of(year - FIRST_YEAR, CHINA) for year in (period[0], period[1] + 1))
    inside = [(low <= fates) & (fates < high) for fates in (pairs.theirs, pairs.ours)]
    at = (inside[0] | inside[1]) & np.isin(people.group[pairs.person], groups)
    there, here = (one[at] for one in inside)
    side = np.where(there & here, 2, np.where(there, 0, 1))
    member, person = pairs.member[at].astype(np.int64), pairs.person[at]
    year = year_left(np.where(side == 1, pairs.ours[at], pairs.theirs[at]))
    weight = people.stand_for(scenario, member, person)
    counts = by_label(people, person, year, weight, member * len(SIDES) + side, members * len(SIDES))
    counts = counts.reshape(members, len(SIDES), LABELS)
    span = slice(period[0] - FIRST_YEAR, period[1] - FIRST_YEAR + 1)
    counts[:, 2] += pairs.alike[:, span][:, :, np.unique(ORIGIN_OF_GROUP[groups])].sum(axis=(1, 2))
    return counts


def _without_excess(values: Floats, weights: Floats, scale: float) -> Floats:
    """Values drawn together so that their variance lacks what coarse agents add to it.

    The count of independent departures has the variance of its mean; counted in agents of k researchers it has k
    times that. What goes is (k - 1) times the mean, and never more than there is.
    """
    mean = np.average(values, axis=0, weights=weights)
    variance = np.average((values - mean) ** 2, axis=0, weights=weights)
    least = np.minimum(mean, variance)
    kept = np.divide(
        np.maximum(variance - (scale - 1.0) * mean, least), variance, out=np.ones_like(mean), where=variance > 0
    )
    return mean + (values - mean) * np.sqrt(kept)


def _caliber(counts: Floats, scenario: Results) -> pd.DataFrame:
    """Percent of departures by the top decile of prominence, under either world and their difference.

    The mean is that of the expected numbers; a member without departures has no share.
    """
    start = sum(len(labels) for by, labels in list(BY.items())[: list(BY).index("prominence")])
    deciles = counts[:, :, start : start + len(DECILES)]
    worlds = {"scenario": deciles[:, 0] + deciles[:, 2], "reference": deciles[:, 1] + deciles[:, 2]}
    means = {name: 100.0 * float(scenario.share(d[:, -1], d.sum(axis=1))) for name, d in worlds.items()}
    with np.errstate(invalid="ignore"):
        shares = {name: 100.0 * d[:, -1] / d.sum(axis=1) for name, d in worlds.items()}
    means["difference"] = means["scenario"] - means["reference"]
    shares["difference"] = shares["scenario"] - shares["reference"]
    bands = {name: scenario.band(values, (LOW, HIGH)) for name, values in shares.items()}
    return pd.DataFrame(
        [{"under": name, "mean": means[name], "p05": float(b[0]), "p95": float(b[1])} for name, b in bands.items()]
    )
