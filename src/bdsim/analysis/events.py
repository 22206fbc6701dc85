"""What nobody knows: other chances for the same branches without a new run, and what each event carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bdsim.errors import UsageError, did_you_mean
from bdsim.model.categories import FIRST_YEAR

if TYPE_CHECKING:
    from bdsim.runs.results import Results

__all__ = ["outcomes_of", "reweighted", "shares_of_events"]

NOT_REACHED = "(not reached)"


def outcomes_of(results: Results) -> dict[str, float]:
    """The chance of each outcome of the run's events, given that its event is reached."""
    return {o["name"]: o["chance"] for event in results.manifest["scenario"]["event"] for o in event["outcomes"]}


def reweighted(results: Results, chances: Mapping[str, float]) -> Results:
    """The same members under other chances: nothing is simulated.

    Each outcome named in `chances` gets its chance; the other outcomes of its event share the rest as before. A
    branch weighs the product of the chances on its way; branches that were sampled keep how often they came up,
    corrected by the ratio of new and old. Raises UsageError for an unknown outcome, a chance outside [0, 1], an
    outcome that the run gave no chance (it has no members), and chances of one event that add up to more than 1.
    """
    before = outcomes_of(results)
    for name, chance in chances.items():
        if name not in before:
            raise UsageError(f"no outcome named '{name}'{did_you_mean(name, before)}", where="--chance")
        if not 0.0 <= chance <= 1.0:
            raise UsageError(f"{name} = {chance:g}: a chance lies between 0 and 1", where="--chance")
        if before[name] == 0.0 < chance:
            raise UsageError(
                f"'{name}' had no chance in the run, so it has no members; edit the file", where="--chance"
            )
    for event in results.manifest["scenario"]["event"]:
        named = [o["name"] for o in event["outcomes"] if "chance" in o.get("ranges", {})]
        if named and any(o["name"] in chances for o in event["outcomes"]):
            problem = f"the chance of '{named[0]}' has a range, and its members drew their own; edit the file"
            raise UsageError(problem, where="--chance")
    events = [_changed(event, chances) for event in results.manifest["scenario"]["event"]]
    after = {o["name"]: o["chance"] for event in events for o in event["outcomes"]}
    factor = {
        branch["name"]: float(np.prod([after[o] / before[o] for o in branch["outcomes"]]))
        for branch in results.manifest["branches"]
    }
    total = sum(branch["chance"] * factor[branch["name"]] for branch in results.manifest["branches"])
    branches = [{**b, "chance": b["chance"] * factor[b["name"]] / total} for b in results.manifest["branches"]]
    weights = results.weights * results.members["branch"].map(factor).to_numpy(np.float64) / total
    manifest = {
        **results.manifest,
        "scenario": {**results.manifest["scenario"], "event": events},
        "branches": branches,
        "reweighted": dict(chances),
        "fingerprint": f"{results.fingerprint}+" + ",".join(f"{n}={c:g}" for n, c in sorted(chances.items())),
    }
    return replace(results, manifest=manifest, members=results.members.assign(weight=weights))


def _changed(event: Mapping[str, Any], chances: Mapping[str, float]) -> dict[str, Any]:
    """An event with new chances; outcomes that are not named share what is left as they did."""
    named = {o["name"]: chances[o["name"]] for o in event["outcomes"] if o["name"] in chances}
    if not named:
        return dict(event)
    left = 1.0 - sum(named.values())
    others = sum(o["chance"] for o in event["outcomes"] if o["name"] not in named)
    if left < -1e-9 or (others == 0.0 and abs(left) > 1e-9):
        raise UsageError(f"the chances of '{event['name']}' add up to {1.0 - left:g}, not 1", where="--chance")
    return {
        **event,
        "outcomes": [
            {**o, "chance": named.get(o["name"], o["chance"] * max(left, 0.0) / others if others else 0.0)}
            for o in event["outcomes"]
        ],
    }


def shares_of_events(results: Results, first: int, last: int, origin: str = "china") -> pd.DataFrame:
    """How much of the variance of the departures of first..last each event carries: event, share, reached.

    The share is that of the variance between the means of the event's outcomes (not being reached is one), a
    first-order index: what knowing the outcome would take away. Shares of events that hang together (one is
    `given` another) overlap, so they need not add up to that of all events, which is the last row; the rest is
    parameters and chance. Raises UsageError for years outside the run.
    """
    if not results.years[0] <= first <= last <= results.years[-1]:
        raise UsageError(f"years {first}-{last} lie outside the run", where="years")
    table = results.by(origin=origin)[0]
    values, weights = table[:, first - FIRST_YEAR : last - FIRST_YEAR + 1].sum(axis=1), results.weights
    centred = values - results.mean(values)
    total = float(results.mean(centred**2))
    outcomes = {b["name"]: b["outcomes"] for b in results.manifest["branches"]}
    branch = results.members["branch"]

    def share(groups: pd.Series) -> float:
        means = pd.Series(weights * centred).groupby(groups).sum() ** 2 / pd.Series(weights).groupby(groups).sum()
        between = float(means.fillna(0.0).sum() / weights.sum())
        return between / total if between > 1e-12 * total else 0.0

    rows = []
    for event in results.manifest["scenario"]["event"]:
        names = {o["name"] for o in event["outcomes"]}
        decided = {b: next((o for o in way if o in names), NOT_REACHED) for b, way in outcomes.items()}
        groups = branch.map(decided)
        rows.append(
            {"event": event["name"], "share": share(groups), "reached": float(weights[groups != NOT_REACHED].sum())}
        )
    return pd.DataFrame([*rows, {"event": "all events together", "share": share(branch), "reached": 1.0}])
