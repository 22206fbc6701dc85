"""The outlook: what drives departures goes on as damped trends, as uncertain as its own past says.

A driver grows on as it did in its last RECENT years on the log scale, fading by DAMPING each year (Gardner & McKenzie
1985, doi:10.1287/mnsc.31.10.1237); its error grows with the root of the years ahead, from the sd of its last PAST
changes. That is the damped trend of the backtest's rivals. `outlook_text` writes it as a scenario file whose numbers
are ranges, so that every member draws its own future; `driver_forecasts` says how such forecasts would have done.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bdsim.errors import EvidenceError
from bdsim.model.categories import FIRST_YEAR, REFERENCE_YEAR, Floats
from bdsim.study import DEFAULT_HORIZON
from bdsim.study.history import LATEST, History

__all__ = ["TRENDS", "damped_trend", "driver_forecasts", "observed", "outlook_text"]

DAMPING, RECENT, PAST = 0.8, 5, 8
UNTIL = DEFAULT_HORIZON  # last year of the paths
STEPS = (3, 3, 6)  # years ahead after which another error is drawn: 1 to 3, 4 to 6, 7 and later
PULL_KEPT, PULL_YEARS = 0.8, 10  # of a year's trend at most, for so many years
OFFERS_SPREAD = (0.5, 1.0, 1.7)  # times the mean of the last years: batches of 2014-2017 lay so around their mean
POLICY_CHANCE, POLICY_STRENGTH = (0.05, 0.35), (0.33, 1.0)  # of scrutiny that nobody has announced
POLICY_FROM, POLICY_TO = (
    2,
    4,
)  # it begins from 20 January of so many years after the last known year to the end of so many
NORMAL_90 = 1.6449  # of a normal distribution, the half width of its 90 % interval in sd
TRENDS = {
    "funding_ratio": "Chinese over US research spending",
    "inflow_china": "doctorates to visa holders from China",
    "inflow_india": "doctorates to visa holders from India",
    "inflow_other": "doctorates to visa holders from elsewhere",
}


def observed(history: History, table: str) -> tuple[int, Floats]:
    """The last year that facts give, and the values up to it without a gap, the latest last."""
    rebuilt = set(history.rebuilt[table][0])
    known = [year for year in history.timeline.years(table) if year >= FIRST_YEAR and year not in rebuilt]
    last = max(known)
    first = next(year for year in range(last, FIRST_YEAR - 2, -1) if year - 1 not in known)
    if last - first < PAST:
        raise EvidenceError(f"{table}: {last - first + 1} years are too few for a trend; {PAST + 1} are needed")
    return last, np.array([history.timeline.at(table, year) for year in range(first, last + 1)])


def damped_trend(values: Floats, ahead: int) -> tuple[Floats, float]:
    """Values of the next `ahead` years, shape (ahead,), and the sd of a year's error on the log scale."""
    changes = np.diff(np.log(values))
    fading = np.cumsum(DAMPING ** np.arange(1, ahead + 1))
    path = values[-1] * np.exp(changes[-RECENT:].mean() * fading)
    return np.asarray(path), float(changes[-PAST:].std(ddof=1))


def driver_forecasts(history: History, cuts: Sequence[int]) -> pd.DataFrame:
    """Every driver forecast from every cut: driver, until, year, fact, median, p05, p95, and `last`, the value of the
    cut: the naive rule. One row a year that came after."""
    rows = []
    for table in TRENDS:
        last, values = observed(history, table)
        for cut in cuts:
            seen, later = values[: len(values) - (last - cut)], values[len(values) - (last - cut) :]
            if len(seen) < RECENT + 1:
                raise EvidenceError(f"{table}: {len(seen)} years until {cut} are too few for a trend")
            path, sd = damped_trend(seen, len(later))
            for ahead, (fact, middle) in enumerate(zip(later, path, strict=True), start=1):
                half = NORMAL_90 * sd * np.sqrt(ahead)
                low, high = middle * np.exp(-half), middle * np.exp(half)
                rows.append((table, cut, cut + ahead, fact, middle, low, high, seen[-1]))
    return pd.DataFrame(rows, columns=["driver", "until", "year", "fact", "median", "p05", "p95", "last"])


def outlook_text(history: History) -> str:
    """The scenario file of the outlook by the facts in use; its events and their chances are assumptions."""
    parts = [HEAD]
    for table, meaning in TRENDS.items():
        last, values = observed(history, table)
        path, sd = damped_trend(values, UNTIL - last)
        growth = ", ".join(f"{factor:.3f}" for factor in path / values[-1])
        recent, past = f"{last - RECENT}-{last}", f"{last - PAST}-{last}"
        parts.append(
            f'\n[[lever]]\nname     = "Trend of {table}"\ntable    = "{table}"\nyears    = [{last + 1}, {UNTIL}]\n'
            f"multiply = [{growth}]\n"
            f'why      = "{meaning}: the mean growth of {recent}, fading by a fifth each year"\n'
        )
        first = last + 1
        for number, step in enumerate(STEPS, start=1):
            spread = sd * np.sqrt(step)
            parts.append(
                f'\n[[lever]]\nname     = "Error of {table}, {number}"\ntable    = "{table}"\n'
                f"years    = [{first}, {UNTIL}]\n"
                f'multiply = {{ mean = 1.0, sd = {spread:.3f}, why = "sd of yearly changes {past} ({sd:.3f}) '
                f'times the root of {step} years" }}\n'
                f'why      = "The past errors of such trends; drawn anew for the years that follow"\n'
            )
            first += step
    return "".join([*parts, _pull_text(history), _offers_text(history), REST])


def _pull_text(history: History) -> str:
    """Pull as it may go on: steps of a year's trend, times a share that each member draws, from where it was."""
    last = min(history.rebuilt["pull"][0], default=UNTIL + 1) - 1
    if last >= UNTIL:
        return ""
    steps = ", ".join(f"{PULL_KEPT * min(year - last, PULL_YEARS):.1f}" for year in range(last + 1, UNTIL + 1))
    years = f"[{last + 1}, {UNTIL}]"
    parts = (
        ("Pull of China, if its trend goes on", f"set      = [{steps}]",
         f"{PULL_KEPT:g} of a year's trend each year for {PULL_YEARS} years, then none"),
        ("Pull of China, how much of that", 'multiply = { low = 0.0, high = 1.0, why = "The series ends in '
         f"{last}; whether the trend that is not research spending went on nobody has published" '" }',
         "Between no further growth and all of it, all as likely: an assumption"),
        ("Pull of China, from where it was", f"add      = {history.timeline.at('pull', last):.1f}",
         f"Years of trend from {REFERENCE_YEAR} to {last}"),
    )  # fmt: skip
    return "".join(
        f'\n[[lever]]\nname     = "{name}"\ntable    = "pull"\nyears    = {years}\n{change}\nwhy      = "{why}"\n'
        for name, change, why in parts
    )


def _offers_text(history: History) -> str:
    """Offers after the last published batch, half of which are taken up in the year after it."""
    table = history.timeline.tables["offers"]
    last = FIRST_YEAR + int(np.flatnonzero(table != table[-1])[-1]) - 1
    low, mode, high = OFFERS_SPREAD
    return (
        f'\n[[lever]]\nname     = "Offers"\ntable    = "offers"\nyears    = [{last + 1}, {UNTIL}]\n'
        f'multiply = {{ low = {low}, mode = {mode}, high = {high}, why = "batches of {last - LATEST + 1}-{last} lay '
        f'between these around their mean" }}\n'
        f'why      = "Nothing is published after the batches of {last} (talent_batches.csv)"\n'
    )


HEAD = """# Written by `bdsim outlook`, from the facts in calibration/evidence; docs/outlook.md says what it rests on.
title    = "Outlook"
question = "What should we expect to 2035, with drivers that go on as uncertain trends and a revival that may come?"
extends  = "baseline"
notes    = "A forecast by rule, not a plan of anyone. Funding here stays on its trend: cuts and shorter waits are scenarios of their own."

[[policy]]
name     = "Research security after the Initiative"
from     = 2022-02-23
until    = 2026-01-12
scrutiny = { low = 0.1, high = 0.4, why = "0.2 in history-to-2026, from one half to twice as much" }
targets  = ["china"]
why      = "NIH inquiries went on until December 2024 (policy_events.csv); intensity is an assumption"

[[policy]]
name     = "Revocation of student visas announced"
from     = 2025-05-28
until    = 2025-06-15
scrutiny = 0.5
targets  = ["china"]
why      = "Announced on 28 May 2025, softened in the middle of June (policy_events.csv); intensity is an assumption"

[[policy]]
name     = "Revival language before Congress"
from     = 2025-09-09
until    = 2026-01-12
scrutiny = 0.1
targets  = ["china"]
why      = "Advanced on 9 September 2025, removed on 12 January 2026 (policy_events.csv); intensity is an assumption"
"""  # noqa: E501 a scenario's note is one line

REST = f"""
[[event]]
name = "Revival of the Initiative"
on   = 2027-01-20
why  = "Language to revive it was removed from the appropriations of FY2024 and of FY2026 (policy_events.csv)"

[[event.outcomes]]
name   = "revived"
chance = {{ low = {POLICY_CHANCE[0]}, high = {POLICY_CHANCE[1]}, why = "Two attempts in three years, both failed; nobody has published a forecast: an assumption" }}

[[event.outcomes.policy]]
name     = "China Initiative, revived"
from     = {{ low = 2027-01-20, high = 2029-12-31, why = "Any time in the rest of the term and the year after" }}
until    = 2033-01-20
scrutiny = {{ low = {POLICY_STRENGTH[0]}, high = {POLICY_STRENGTH[1]}, why = "From a third to full strength" }}
targets  = ["china"]
why      = "As the Initiative of 2018-2022; that it lasts until 2033 is an assumption"

[[event.outcomes]]
name   = "not revived"
chance = 0.8
"""  # noqa: E501 reasons stand on one line
