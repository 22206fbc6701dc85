"""What one researcher does in a year, on one page.

Everyone reads the state of 1 January; nothing changes until all have decided. These are plain functions of
plain numbers: the compiled engine and the Mesa agents both call them, and nothing else decides anything. The
engine also calls them with the numbers of eight ensemble members at once, so all but `choose` do without `if`.

    feel    fear of scrutiny: memory of last year's, own exposure, and the mean fear of colleagues still here
    hear    ties to China, strengthened by the share of colleagues who moved there last year
    be offered  perhaps: talent programmes pick the prominent of Chinese descent at early and mid stage
    weigh   two rates: of leaving for China, of leaving for elsewhere, with this year's fear and ties
    choose  two clocks; the first to ring within the year wins, and if none rings, one stays

Colleagues are about eight others in the field (population.py); people enter on 1 January of their entry year and leave
research after CAREER years (engine.py).
"""

from __future__ import annotations

from typing import NamedTuple

from bdsim.model.maths import at_least, at_most, exp, log

STAY, CHINA, ELSEWHERE = -1, 0, 1
CAREER = 38  # years from entry to leaving research
EARLY_UNTIL, MID_UNTIL = 6, 15  # stages: early 0-5, mid 6-14, senior 15 and more years since entry
TYPICAL_TIES = 0.4  # the mean of ties at entry, Beta(2, 3)
LEAST = 1e-300  # keeps 0 / 0 at 0


class Weights(NamedTuple):
    """How much each influence weighs; values, units, priors and sources stand in calibration/parameters.toml."""

    funding: float  # China's research spending relative to that of the US
    offer: float  # an offer from a talent programme
    ties_weight: float  # ties to China
    push: float  # fear
    spill: float  # push towards elsewhere, as a share of that towards China
    roots: float  # years since entry
    stay_us: float  # US funding and soft power
    rho: float  # memory of fear
    kappa: float  # weight of colleagues in new fear
    gamma: float  # what a colleague's move adds to ties


def stage_of(career_age: int) -> int:
    """0 early, 1 mid, 2 senior."""
    return (1 if career_age >= EARLY_UNTIL else 0) + (1 if career_age >= MID_UNTIL else 0)


def feel(fear: float, ties: float, scrutiny: float, colleagues_fear: float, w: Weights) -> float:
    """Fear in [0, 1] (Friedkin & Johnsen 1990, doi:10.1080/0022250X.1990.9990069, with memory rho).

    Scrutiny of one's own origin frightens in proportion to 0.5 + ties; colleagues weigh kappa in the new part.
    """
    exposure = 0.5 + ties
    new = (1.0 - w.kappa) * (exposure * scrutiny) + w.kappa * colleagues_fear
    felt = w.rho * fear + (1.0 - w.rho) * new
    return at_most(at_least(felt, 0.0), 1.0)


def hear(ties: float, share_moved: float, w: Weights) -> float:
    """Ties to China in [0, 1]: movers make movers (Massey 1990, doi:10.2307/3644186)."""
    return at_most(ties + w.gamma * share_moved, 1.0)


def offer_chance(offers: float, appeal: float, total_appeal: float) -> float:
    """The chance of an offer this year: offers fall on people in proportion to their appeal (prominence^4)."""
    return at_most(offers * appeal / at_least(total_appeal, LEAST), 1.0)


def weigh(
    leave_china: float,
    leave_elsewhere: float,
    settled: float,
    field_china: float,
    log_funding: float,
    log_us: float,
    settlement: float,
    fear: float,
    ties: float,
    log_age: float,
    offered: float,
    w: Weights,
) -> tuple[float, float]:
    """The rates (per year) of leaving for China and for elsewhere.

    The first four are constants of one's origin, route and field (`settled` is 0 on the doctorate route);
    `settlement` is the visa index, `offered` 1 or 0; `log_funding` is ln(R / R in 2010) of the
    ratio R of Chinese to US research spending, `log_us` is ln(US funding index x soft power index), `log_age`
    is ln(1 + years since entry).
    """
    rooted = (w.roots * settlement) * log_age + w.stay_us * log_us
    pulled = w.funding * log_funding + w.offer * offered + w.ties_weight * (ties - TYPICAL_TIES)
    china = leave_china + settled + field_china + pulled + w.push * fear - rooted
    elsewhere = leave_elsewhere + settled + w.push * w.spill * fear - rooted
    return exp(china), exp(elsewhere)


def chances(rate_china: float, rate_elsewhere: float) -> tuple[float, float]:
    """The chances of leaving within the year for China and for elsewhere: what `choose` comes to on average."""
    total = rate_china + rate_elsewhere
    leave = 1.0 - exp(-total)
    to_china = leave * (rate_china / total)
    return to_china, leave - to_china


def may_ring(rate_china: float, rate_elsewhere: float, luck_china: float, luck_elsewhere: float) -> bool:
    """Whether a clock may ring within the year: -log(u) > 1 - u, so most years need no logarithm to see none will."""
    near = 1.0 + 1e-9
    return (1.0 - luck_china < rate_china * near) | (1.0 - luck_elsewhere < rate_elsewhere * near)


def choose(rate_china: float, rate_elsewhere: float, luck_china: float, luck_elsewhere: float) -> int:
    """CHINA, ELSEWHERE or STAY. A clock rings after -log(luck) / rate years, luck uniform in (0, 1)."""
    if not may_ring(rate_china, rate_elsewhere, luck_china, luck_elsewhere):
        return STAY
    rings_china = -log(luck_china) / rate_china
    rings_elsewhere = -log(luck_elsewhere) / rate_elsewhere
    if rings_china >= 1.0 and rings_elsewhere >= 1.0:
        return STAY
    return CHINA if rings_china <= rings_elsewhere else ELSEWHERE
