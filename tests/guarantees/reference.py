"""Thirty numbers of a small run, frozen beside this file: engines and oracles may move together, these do not.

`make freeze` (or `python tests/guarantees/reference.py`) freezes them anew, after a change of the model, of the facts
or of parameters.toml that is meant to change numbers, and prints what moved; the change and its reason belong in
CHANGELOG.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import bdsim
from bdsim.model.categories import FIRST_YEAR
from bdsim.study.layout import find_study

FROZEN = Path(__file__).with_suffix(".json")
RUN = {"members": 4, "seed": 1, "researchers_per_agent": 100, "horizon": 2032, "fit": "none"}
PERIODS = ((2000, 2009), (2010, 2017), (2018, 2021), (2022, 2032))


def reference() -> dict[str, float]:
    """The numbers, by name: researchers, or shares where the name says so; means over members by their weights."""
    study = find_study(Path(__file__))
    baseline, revival = (
        bdsim.run(bdsim.load_scenario(name, study), **RUN) for name in ("baseline", "initiative-revival")
    )
    found: dict[str, float] = {}

    def mean(results, table):
        return np.average(results.gathered(table), axis=0, weights=results.weights)

    departures, expected, stocks = (mean(baseline, name) for name in ("departures", "expected", "stocks"))
    full_scale, entrants = mean(baseline, "full_scale"), mean(baseline, "entrants")
    for first, last in PERIODS:
        span = slice(first - FIRST_YEAR, last - FIRST_YEAR + 1)
        for d, destination in enumerate(("china", "elsewhere")):
            found[f"departures to {destination}, {first}-{last}"] = departures[span, ..., d].sum()
            found[f"expected departures to {destination}, {first}-{last}"] = expected[span, ..., d].sum()
        found[f"departures at full scale, {first}-{last}"] = full_scale[span].sum()
    for year in (2000, 2016, 2032):
        found[f"stock on 1 January {year}"] = stocks[year - FIRST_YEAR].sum()
    found["entrants, 2000-2032"] = entrants.sum()
    for origin in ("china", "india"):
        rate = baseline.stay_rate(origin, (2000, 2010), 2020)
        found[f"share of {origin}'s doctorates of 2000-2010 here in 2020"] = rate.mean()
    difference = bdsim.compare(baseline, revival).difference(revival, [(2018, 2024), (2025, 2032)])
    for (first, last), value, apart in zip(
        difference.periods, difference.mean(), difference.discordant.mean(axis=0), strict=True
    ):
        found[f"effect of a revival, {first}-{last}"] = value
        found[f"who decide differently under a revival, {first}-{last}"] = apart
    return {name: float(value) for name, value in found.items()}


def freeze() -> None:
    """Write the numbers of today, and print those that moved."""
    before = json.loads(FROZEN.read_text(encoding="utf-8")) if FROZEN.exists() else {}
    now = reference()
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name):
            sys.stdout.write(f"{name}: {before.get(name)} -> {now.get(name)}\n")
    FROZEN.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    freeze()
