"""How far the rounding of one population to agents moves numbers that no interval holds.

    python benchmarks/rounding.py

Expected runs of the baseline and of a revival of the Initiative with the values of parameters.toml, over seeds of the
population: nothing differs between them but who the agents are. Prints, for each number of researchers that an agent
stands for, the standard deviation over seeds in percent of the mean: of departures, and of the policy's effect.
"""

from __future__ import annotations

import numpy as np

import bdsim
from bdsim.analysis.quantity import Quantity
from bdsim.runs.expected import Request, answers_to, posterior_draws
from bdsim.runs.plan import Settings, plan_run

SEEDS = {100: 12, 1000: 30, 10_000: 40}  # researchers an agent: populations
YEARS = Quantity("departures", 2026, 2035)


def totals(scale: int, seeds: int) -> np.ndarray:
    """Departures of YEARS of both scenarios, shape (seeds, scenarios)."""
    found = []
    for seed in range(seeds):
        row = []
        for name in ("baseline", "initiative-revival"):
            job = plan_run(bdsim.load_scenario(name), Settings(1, seed, scale, "compiled", 2035), None, "none")
            asked = Request(job.plans[0].timeline, posterior_draws(job)[:1])
            row.append(float(answers_to(job, [asked], YEARS.of)[0][0]))
        found.append(row)
    return np.array(found)


def main() -> None:
    print("researchers an agent | populations | departures, sd in % | effect, sd in %")
    for scale, seeds in SEEDS.items():
        values = totals(scale, seeds)
        effect = values[:, 1] - values[:, 0]
        level = 100.0 * values[:, 0].std(ddof=1) / values[:, 0].mean()
        print(f"{scale:,} | {seeds} | {level:.2f} | {100.0 * effect.std(ddof=1) / effect.mean():.1f}")


if __name__ == "__main__":
    main()
