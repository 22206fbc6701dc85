"""What one researcher does in a year, on one page.

Everyone reads the state of 1 January; nothing changes until all have decided. These are plain functions of
plain numbers: the compiled engine and the Mesa agents both call them, and nothing else decides anything. The
engine also calls them with the numbers of eight ensemble members at once, so all but `choose` do without `if`.

    feel    fear of scrutiny: memory of last year's, own exposure, and the mean fear of colleagues still here
    hear    ties to China, strengthened by the share of colleagues who moved there last year
    be offered  perhaps: talent programmes pick the prominent of Chinese descent in career years 2 to 12
    weigh   up to three rates: of leaving for China, for elsewhere and, with an offer, by way of the programme
    choose  a clock for each rate; the first to ring within the year wins, and if none rings, one stays

Colleagues are about eight others in the field (people.py); people enter on 1 January of their entry year and leave
research after CAREER years (engine/year.py).
"""

from __future__ import annotations

from typing import NamedTuple

from bdsim.model.maths import at_least, at_most, exp, log, mean_decay, where

STAY, CHINA, ELSEWHERE, PROGRAMME = -1, 0, 1, 2  # a programme's recruits leave for China, and are counted apart too
CAREER = 38  # years from entry to leaving research
EARLY_UNTIL, MID_UNTIL = 6, 15  # stages: early 0-5, mid 6-14, senior 15 and more years since entry
OFFERS_FROM, OFFERS_UNTIL = 2, 13  # most recruits are 33; the rule asks for under 40 and three years abroad
ON_VISA_UNTIL = 10  # years since entry in which those who came for a doctorate may still wait for a green card
TYPICAL_TIES = 0.4  # the mean of ties at entry, Beta(2, 3)
LEAST = 1e-30  # keeps 0 / 0 at 0


class Weights(NamedTuple):
    """How much each influence weighs; values, units, priors and sources stand in calibration/parameters.toml."""

    funding: float  # China's research spending relative to that of the US
    pull_growth: float  # all else that has drawn people to China more each year
    ties_weight: float  # ties to China
    push: float  # fear
    spill: float  # push towards elsewhere, as a share of that towards China
    standing: float  # prominence, which holds
    rooting: float  # years in which roots grow
    accept: float  # log rate of leaving by an offer in hand
    stay_us: float  # US funding and soft power
    wait: float  # each year more of waiting for a green card
    rho: float  # memory of fear while it rises
    fade: float  # memory of fear while it falls
    kappa: float  # weight of colleagues in new fear
    gamma: float  # what a colleague's move adds to ties


def stage_of(career_age: int) -> int:
    """0 early, 1 mid, 2 senior."""
    return (1 if career_age >= EARLY_UNTIL else 0) + (1 if career_age >= MID_UNTIL else 0)


def feel(fear: float, ties: float, scrutiny: float, colleagues_fear: float, w: Weights) -> float:
    """Fear in [0, 1] (Friedkin & Johnsen 1990, doi:10.1080/0022250X.1990.9990069, with memory).

    Scrutiny of one's own origin frightens in proportion to 0.5 + ties; colleagues weigh kappa in the new part. Trust
    is lost faster than it is regained (Slovic 1993, doi:10.1111/j.1539-6924.1993.tb01329.x): memory is rho while fear
    rises and fade while it falls.
    """
    exposure = 0.5 + ties
    new = (1.0 - w.kappa) * (exposure * scrutiny) + w.kappa * colleagues_fear
    memory = where(new > fear, w.rho, w.fade)
    return at_most(at_least(memory * fear + (1.0 - memory) * new, 0.0), 1.0)


def hear(ties: float, share_moved: float, w: Weights) -> float:
    """Ties to China in [0, 1]: movers make movers (Massey 1990, doi:10.2307/3644186)."""
    return at_most(ties + w.gamma * share_moved, 1.0)


def may_be_offered(career_age: int) -> bool:
    """Whether talent programmes look at one's career age; they look at origin China only."""
    return OFFERS_FROM <= career_age < OFFERS_UNTIL


def offer_chance(offers: float, appeal: float, total_appeal: float) -> float:
    """The chance of an offer this year: offers fall on people in proportion to their appeal (prominence^4)."""
    return at_most(offers * appeal / at_least(total_appeal, LEAST), 1.0)


def attraction(log_funding: float, pull: float, w: Weights) -> float:
    """What draws everybody to China in a year: research spending, and `pull` years of whatever else has grown."""
    return w.funding * log_funding + w.pull_growth * pull


def on_visa(settled: bool, career_age: int) -> float:
    """1 for those who came for a doctorate and may still wait for a green card, 0 for all others."""
    return 0.0 if settled or career_age >= ON_VISA_UNTIL else 1.0


def retention(
    roots: float, career_age: float, log_us: float, green_card_wait: float, waits: float, w: Weights
) -> float:
    """What keeps everybody of a route, field and career age in the US: roots, which grow and level off, and US
    conditions; a longer wait for a green card takes from it (`waits` is what `on_visa` gives)."""
    rooted = roots * (1.0 - exp(-career_age / w.rooting))
    return rooted + w.stay_us * log_us - w.wait * green_card_wait * waits


def shared(
    usual: tuple[float, float], attracted: float, retained: float, shocks: tuple[float, float]
) -> tuple[float, float]:
    """Both log rates as far as people of one origin, route, field and career age share them in a year.

    `usual` are those of their origin, route and field; `shocks` move everyone in a year, and nobody knows why.
    """
    return usual[0] + attracted - retained + shocks[0], usual[1] - retained + shocks[1]


def weigh(
    both: tuple[float, float], fear: float, ties: float, prominence: float, w: Weights
) -> tuple[float, float, float]:
    """Logarithms of the rates (per year) of leaving for China, for elsewhere and, with an offer, by way of it.

    `both` is what `shared` gives.
    """
    drawn = w.ties_weight * (ties - TYPICAL_TIES) + w.push * fear
    stature = w.standing * (prominence - 0.5)
    return both[0] + drawn - stature, both[1] + w.push * w.spill * fear - stature, w.accept + drawn


def chances(china: float, elsewhere: float, by_offer: float) -> tuple[float, float, float]:
    """The chances that correspond to three rates of leaving within the year: what `choose` gives on average."""
    total = china + elsewhere + by_offer
    share = mean_decay(total)
    return share * china, share * elsewhere, share * by_offer


def rings_after(rate: float, luck: float) -> float:
    """Years until a clock rings, luck uniform in (0, 1)."""
    return -log(luck) / at_least(rate, LEAST)


def choose(rates: tuple[float, float, float], luck: tuple[float, float, float]) -> int:
    """STAY, CHINA, ELSEWHERE or PROGRAMME: the first clock to ring within the year. Without an offer its rate is 0."""
    china, elsewhere = rings_after(rates[0], luck[0]), rings_after(rates[1], luck[1])
    by_offer = rings_after(rates[2], luck[2])
    first = min(china, elsewhere, by_offer)
    if first >= 1.0:
        return STAY
    return CHINA if first == china else ELSEWHERE if first == elsewhere else PROGRAMME
