"""What could have been known in an earlier year: the yearly tables as the outlook's rule would have continued them.

Until the year `cut` everything is as it was. Afterwards spending and doctorates go on as damped trends with the error
of their own past, a random walk that every member draws; pull goes on between not at all and PULL_KEPT of a year's
trend for PULL_YEARS years; offers are OFFERS_SPREAD times the mean of their last years; policies in force at the cut
stay in force, and where there is none, one that nobody has announced may come, as a revival may in the outlook. Who
the doctorates of a field are, and what parameters.toml says, is taken as known.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from bdsim.model import draws
from bdsim.model.categories import Floats
from bdsim.model.draws import Purpose
from bdsim.model.world import Timeline
from bdsim.study.evidence import Evidence
from bdsim.study.history import History, offers_known
from bdsim.study.scenario import Scenario
from bdsim.study.scenario_file import Policy
from bdsim.study.uncertainty.outlook import (
    OFFERS_SPREAD,
    POLICY_CHANCE,
    POLICY_FROM,
    POLICY_STRENGTH,
    POLICY_TO,
    PULL_KEPT,
    PULL_YEARS,
    TRENDS,
    damped_trend,
    observed,
)
from bdsim.study.uncertainty.part import LAST_DAY

__all__ = ["timelines_foreseen"]

SCRUTINY = "scrutiny_china"
PULL, OFFERS, POLICY = (
    len(TRENDS),
    len(TRENDS) + 1,
    len(TRENDS) + 2,
)  # addresses of what each member draws, after those of the trends


def timelines_foreseen(
    scenario: Scenario, history: History, evidence: Evidence, cut: int, seed: int, wanted: int
) -> list[Timeline]:
    """`wanted` futures from the end of the year `cut` to history's horizon, each drawn by its own number.

    Batches of offers that ended by the cut are those known; one that was under way is not.

    Raises EvidenceError where fewer years are known by the cut than a trend needs.
    """
    begun = [p for p in scenario.policies if p.start.year <= cut]
    in_force = [p if p.until.year <= cut else p.model_copy(update={"until": LAST_DAY}) for p in begun]
    known = replace(scenario, policies=tuple(in_force), levers=(), events=()).plans(history)[0].timeline
    ahead = np.arange(1, history.timeline.horizon - cut + 1)
    own = {name: np.repeat(known.tables[name][None], wanted, axis=0) for name in (*TRENDS, "pull", "offers", SCRUTINY)}
    later = {name: slice(cut + 1 - known.first_year(name), None) for name in own}
    for number, name in enumerate(TRENDS):
        last, values = observed(history, name)
        path, sd = damped_trend(values[: len(values) - max(last - cut, 0)], len(ahead))
        steps = ndtri(np.column_stack([_drawn(seed, wanted, int(n), number) for n in ahead]))
        own[name][:, later[name]] = path * np.exp(sd * np.cumsum(steps, axis=1))
    share = _drawn(seed, wanted, 0, PULL)
    own["pull"][:, later["pull"]] = known.at("pull", cut) + np.outer(share, PULL_KEPT * np.minimum(ahead, PULL_YEARS))
    offers = offers_known(evidence, cut, known.years("offers"))[later["offers"]]
    own["offers"][:, later["offers"]] = np.outer(_triangular(_drawn(seed, wanted, 0, OFFERS)), offers)
    if not any(p.until == LAST_DAY for p in in_force):
        own[SCRUTINY] += _unannounced(cut, known.years(SCRUTINY), seed, wanted)
    return [Timeline(known.horizon, {**known.tables, **{n: t[i] for n, t in own.items()}}) for i in range(wanted)]


def _unannounced(cut: int, years: range, seed: int, wanted: int) -> Floats:
    """Scrutiny by a policy that may begin after the cut, shape (wanted, years)."""
    chance, happens, day, strength = (_drawn(seed, wanted, n, POLICY) for n in range(4))
    first, last = dt.date(cut + POLICY_FROM, 1, 20), dt.date(cut + POLICY_TO, 12, 31)
    found = np.zeros((wanted, len(years)))
    for i in np.flatnonzero(happens < _between(POLICY_CHANCE, chance)):
        policy = Policy.model_validate({
            "name": "Unannounced", "from": first + (last - first) * float(day[i]), "until": LAST_DAY,
            "scrutiny": float(_between(POLICY_STRENGTH, strength[i])), "why": "as a revival in the outlook",
        })  # fmt: skip
        found[i] = [policy.exposure(year) for year in years]
    return found


def _between(ends: tuple[float, float], uniform: Floats) -> Floats:
    return np.asarray(ends[0] + (ends[1] - ends[0]) * uniform)


def _drawn(seed: int, wanted: int, year: int, what: int) -> Floats:
    """One uniform number a member, shape (wanted,)."""
    return np.asarray(draws.uniform(seed, np.arange(wanted, dtype=np.uint64), year, Purpose.ASSUMPTION, what))


def _triangular(uniform: Floats) -> Floats:
    """Values of the triangular distribution between the ends of OFFERS_SPREAD, its peak between them."""
    low, mode, high = OFFERS_SPREAD
    rises = uniform < (mode - low) / (high - low)
    up = low + np.sqrt(uniform * (high - low) * (mode - low))
    down = high - np.sqrt((1.0 - uniform) * (high - low) * (high - mode))
    return np.where(rises, up, down)
