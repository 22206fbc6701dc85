"""Watching people in a small Mesa run: one year explained, a whole life, and the network of colleagues.

    explain   what one researcher feels, hears and weighs this year, and what the clocks say
    Watch     a model that steps year by year and can tell anyone's life so far
    network   who is here or has just gone, where they stand, and who is whose colleague (rings.py)

A description of what the model does, computed by the model; nobody's real reason to go. Nothing here changes a run.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdsim.analysis.network import network
from bdsim.errors import InvariantError, UsageError
from bdsim.model import draws, rule
from bdsim.model.agents import Researcher, WorldModel
from bdsim.model.categories import FIELDS, FIRST_YEAR, GROUPS, ORIGIN_OF_GROUP
from bdsim.model.engine import presence, state
from bdsim.model.engine.counting import SETTLED
from bdsim.model.fates import choice_of, year_left
from bdsim.model.maths import log
from bdsim.model.rule import CAREER, CHINA, ELSEWHERE, PROGRAMME, STAY, TYPICAL_TIES, Weights

__all__ = ["CHOICES", "Life", "Moment", "Watch", "Weighing", "explain", "network", "terms_of", "when"]

CHOICES = {
    STAY: "stayed",
    CHINA: "left for China",
    ELSEWHERE: "left for elsewhere",
    PROGRAMME: "left for China with a talent programme",
}
MINUS = "\N{MINUS SIGN}"

# Influences in plain words, and the inputs of the rule through which each acts.
INFLUENCES = {
    "usual": ("leave_china", "leave_elsewhere"),
    "settled": ("settled",),
    "field": ("field_china",),
    "Chinese funding": ("log_funding",),
    "other pull of China": ("pull",),
    "ties": ("ties",),
    "push": ("fear",),
    "standing": ("prominence",),
    "roots": ("roots", "career_age"),
    "US funding and soft power": ("log_us",),
    "longer wait for a green card": ("green_card_wait", "waits"),
    "shock of the year": ("shock_china", "shock_elsewhere"),
}
TO_CHINA_ALONE = ("field", "Chinese funding", "other pull of China", "ties")  # these do not act on elsewhere
BY_OFFER = ("ties", "push")  # what weighs in an offer, beside the offer itself
FIRST_TERMS = ("usual", "offer")  # are always shown
SETTLED_ONLY = "settled"
OTHERWISE = "own way of weighing"  # of a subclass that overrides weigh: what the rule does not account for
NOTHING = dict.fromkeys((name for names in INFLUENCES.values() for name in names), 0.0)
NOTHING |= {"ties": TYPICAL_TIES, "prominence": 0.5}


@dataclass(frozen=True)
class Weighing:
    """One way out as one researcher weighs it in a year: for China, for elsewhere, or by way of an offer."""

    terms: Mapping[str, float]  # by influence in plain words, log rate per year; they add up to ln(rate)
    rate: float  # per year
    chance: float  # of leaving so within the year, over both answers to the offer, in [0, 1]; China's holds the offer's
    rings_after: float  # years after which the clock rings at this rate

    def in_words(self) -> str:
        """'usual −3.10, ties +0.20, roots −2.60: 0.0041 a year'; what weighs next to nothing is left out."""
        shown = {name: f"{x:+.2f}".replace("-", MINUS) for name, x in self.terms.items()}
        kept = [f"{name} {x}" for name, x in shown.items() if name in FIRST_TERMS or x.strip("+0." + MINUS)]
        return f"{', '.join(kept)}: {_digits(self.rate, 2)} a year"


@dataclass(frozen=True)
class Moment:
    """One year of one researcher, explained. Fear, ties, shares and chances lie in [0, 1]."""

    year: int
    career_age: int  # years since entry
    stage: str  # early, mid or senior
    fear_before: float  # on 1 January
    fear: float  # this year's
    ties_before: float  # to China, on 1 January
    ties: float  # this year's
    colleagues_here: int  # of eight
    colleagues_fear: float  # their mean on 1 January; 0 where none is here
    share_moved: float  # movers to China last year among the colleagues who are here or have just moved there
    offer_chance: float  # of an offer from a talent programme
    offered: bool
    china: Weighing
    elsewhere: Weighing
    by_offer: Weighing | None  # the third clock, for those with an offer
    choice: int  # STAY, CHINA, ELSEWHERE or PROGRAMME, as in rule.py

    @property
    def chosen(self) -> str:
        """'stayed', 'left for China', 'left for elsewhere' or 'left for China with a talent programme'."""
        return CHOICES[self.choice]

    def in_words(self) -> str:
        """The year in a few sentences, numbers to two or three digits."""
        since = "in the year of entry" if self.career_age == 0 else f"{_count(self.career_age, 'year')} after entry"
        moved = f"; {_percent(self.share_moved)} moved to China last year" if self.share_moved > 0.0 else ""
        offer = f" {'An' if self.offered else 'No'} offer (its chance: {_percent(self.offer_chance)})."
        third = f"; by the offer: {self.by_offer.in_words()}" if self.by_offer else ""
        clocks = [f"that for elsewhere {when(self.elsewhere.rings_after)}"]
        clocks += [f"that of the offer {when(self.by_offer.rings_after)}"] if self.by_offer else []
        return (
            f"{self.year}, {since} ({self.stage}): fear {_changed(self.fear_before, self.fear)},"
            f" ties {_changed(self.ties_before, self.ties)}; {_count(self.colleagues_here, 'colleague')} here,"
            f" fear {self.colleagues_fear:.2f} on average{moved}.{offer if self.offer_chance > 0.0 else ''}"
            f" Weighed for China: {self.china.in_words()}; for elsewhere: {self.elsewhere.in_words()}{third}."
            f" The clock for China would ring {when(self.china.rings_after)}, {', '.join(clocks)}: {self.chosen}."
        )


@dataclass(frozen=True)
class Life:
    """One researcher from entry, or from the first simulated year, until leaving, retiring or now."""

    row: int  # of the model; tables of results number people otherwise, so meet them by identity
    identity: int
    origin: str  # china, india or other
    route: str  # doctorate or settled
    field: str  # engineering_cs, math_physical or life
    entry: int  # year
    prominence: float  # rank in (0, 1)
    moments: tuple[Moment, ...]  # one for each year lived so far, in order
    ending: str  # 'left for China in 2019', 'retired after 2020', 'here on 1 January 2036'

    def in_words(self) -> str:
        """A line on the person, one for each year, and how it ended."""
        person = f"{self.identity}: origin {self.origin}, route {self.route}, field {self.field}"
        first = f"{person}, entry {self.entry}, prominence {_digits(self.prominence)}."
        return "\n".join([first, *(moment.in_words() for moment in self.moments), f"Then: {self.ending}."])


def log_rates_of(w: Weights, inputs: Mapping[str, float]) -> tuple[float, float, float]:
    """What rule.weigh gives for all that enters one researcher's year: see INFLUENCES for the inputs."""
    usual = (
        inputs["leave_china"] + inputs["settled"] + inputs["field_china"],
        inputs["leave_elsewhere"] + inputs["settled"],
    )
    attracted = rule.attraction(inputs["log_funding"], inputs["pull"], w)
    retained = rule.retention(
        inputs["roots"], inputs["career_age"], inputs["log_us"], inputs["green_card_wait"], inputs["waits"], w
    )
    both = rule.shared(usual, attracted, retained, (inputs["shock_china"], inputs["shock_elsewhere"]))
    return rule.weigh(both, inputs["fear"], inputs["ties"], inputs["prominence"], w)


def terms_of(w: Weights, **inputs: float) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """The terms of the log rates per year, to China, to elsewhere and by an offer, by influence.

    Each term is the log rate that the rule itself gives with one influence switched on and all others off. The log
    rates are sums, so terms add up; and they cannot drift from the rule, as products written here a second time could.
    """
    alone = {name: log_rates_of(w, {**NOTHING, **{i: inputs[i] for i in on}}) for name, on in INFLUENCES.items()}
    offer = log_rates_of(w, NOTHING)[2]
    china = {name: logs[0] for name, logs in alone.items()}
    elsewhere = {name: logs[1] for name, logs in alone.items() if name not in TO_CHINA_ALONE}
    return china, elsewhere, {"offer": offer} | {name: alone[name][2] - offer for name in BY_OFFER}


def explain(agent: Researcher) -> Moment:
    """This year of an agent, on the state of 1 January, before the model's step. Changes nothing.

    Raises UsageError where the agent is not here, or the run has ended.
    """
    m, row = agent.model, agent.row
    if m.year - FIRST_YEAR >= m.world.years or not m.state.here[row]:
        raise UsageError(f"researcher {row} decides nothing in {m.year}: not here, or the run has ended", where="agent")
    year = m.year - FIRST_YEAR
    booked = _decided_aside(agent)
    fear, ties = float(booked.fear[row]), float(booked.ties[row])
    here, dread, moved = presence.colleagues_of(row, m.world.population.people.colleagues, m.state)
    chance, offered = agent.chance_of_offer(), agent.is_offered()
    rates = [float(rate) for rate in agent.weigh(fear, ties)]
    terms = terms_of(m.world.behaviour.weights, **_inputs(agent, fear, ties))
    clocks = (m.keys.clock_china, m.keys.clock_elsewhere, m.keys.clock_programme)
    chances = (booked.to_china, booked.to_elsewhere, booked.to_programme)
    china, elsewhere, by_offer = (
        Weighing(_completed(agent, t, rate), rate, float(p[row]), _rings_after(key[year], agent, rate))
        for t, rate, p, key in zip(terms, rates, chances, clocks, strict=True)
    )
    return Moment(
        year=m.year, career_age=agent.career_age, stage=agent.stage,
        fear_before=agent.fear, fear=fear, ties_before=agent.ties, ties=ties,
        colleagues_here=int(here), colleagues_fear=float(presence.mean_fear(here, dread)),
        share_moved=float(presence.share_moved(here, moved)), offer_chance=chance, offered=offered,
        china=china, elsewhere=elsewhere, by_offer=by_offer if offered else None, choice=int(booked.choice[row]),
    )  # fmt: skip


class Watch:
    """A model that steps year by year, and what became of everyone so far.

    Steps keep a still picture of every 1 January, so that a life is explained at once and by the agent's own rule.
    A picture takes about 60 bytes a person ever here: 5 MB in all at 500 researchers an agent. Running the member
    again would give the same life to the bit, but takes a second, and Mesa 3.3 keeps every model ever made alive.
    To start again, or elsewhere, make a new Watch of a new model; the same identity is the same person.
    """

    def __init__(self, model: WorldModel) -> None:
        """Raises UsageError for a model that has been stepped already."""
        if model.year != FIRST_YEAR:
            raise UsageError(f"the model is in {model.year}; give one that has not been stepped", where="model")
        self.model = model
        self._pictures = [_picture(model)]

    @property
    def year(self) -> int:
        """It is 1 January of this year."""
        return self.model.year

    @property
    def finished(self) -> bool:
        """Whether the horizon has been lived through."""
        return not self.model.running

    def step(self) -> None:
        """One calendar year; nothing when finished."""
        if not self.finished:
            self.model.step()
            self._pictures.append(_picture(self.model))

    def on_1_january(self, year: int) -> WorldModel:
        """The model as it was then: for `network`, for `explain` of its `agent_of_row`; never to step.

        Its AgentSet `agents` is that of now. Raises UsageError for a year not reached yet.
        """
        if self.year != FIRST_YEAR + len(self._pictures) - 1:
            raise UsageError("the model was stepped by itself; step its Watch instead", where="model")
        if not FIRST_YEAR <= year <= self.year:
            raise UsageError(f"{year} is not among the years {FIRST_YEAR} to {self.year} seen so far", where="year")
        return self._pictures[year - FIRST_YEAR]

    def row_of(self, identity: int) -> int:
        """The row of the person with this identity. Raises UsageError for someone who never enters in this world."""
        people = self.model.world.population.people
        known = people.identity.astype(np.int64)  # an identity takes 49 bits
        return _row_with(identity, known, people.enters, "identity")

    def life(self, row: int, year: int | None = None) -> Life:
        """The life of the person of a row as told on 1 January of `year` (default: now): this year's choice not in it.

        Raises UsageError for a row without a person, or of someone who never enters in this world, and for a year not
        reached yet; InvariantError where an explanation differs from what happened (an agent whose choices depend on
        more than the model's state).
        """
        population = self.model.world.population
        people = population.people
        row = _row_with(row, np.arange(len(population)), people.enters, "row")
        told_in = self.year if year is None else year
        self.on_1_january(told_in)
        then = [self.on_1_january(earlier) for earlier in range(FIRST_YEAR, told_in)]
        moments = tuple(explain(model.agent_of_row[row]) for model in then if row in model.agent_of_row)
        left = _left(int(self.model.state.fate[row]), told_in)
        told = "".join(f"{moment.chosen} in {moment.year}" for moment in moments if moment.choice != STAY)
        if moments and told != left:
            raise InvariantError(f"researcher {row} {left or 'stayed'}, but explained as: {told or 'stayed'}")
        origin, route = GROUPS[people.group[row]]
        entry = int(people.entry[row])
        return Life(
            row, int(people.identity[row]), origin, route, FIELDS[people.field[row]], entry,
            float(population.prominence[row]), moments, left or self._not_left(row, entry, told_in),
        )  # fmt: skip

    def _not_left(self, row: int, entry: int, year: int) -> str:
        if entry > year:
            return f"enters in {entry}"
        if row in self.on_1_january(year).agent_of_row:
            return f"here on 1 January {year}"
        if entry < FIRST_YEAR and row not in self._pictures[0].agent_of_row:
            return f"gone before {FIRST_YEAR}"
        return f"retired after {entry + CAREER - 1}"


class _AgentsThen(dict[int, Researcher]):
    """Agents by row, each taken out as a copy that reads the picture."""

    def __init__(self, picture: WorldModel) -> None:
        super().__init__(picture.agent_of_row)
        self.picture = picture

    def __getitem__(self, row: int) -> Researcher:
        return _reading(self.picture, super().__getitem__(row))


def _picture(model: WorldModel) -> WorldModel:
    """The model with a copy of what its next steps overwrite; people, tables and fates are shared."""
    picture = copy.copy(model)
    kept = {name: getattr(model.state, name).copy() for name in ("status", "dread", "ties")}
    picture.state = model.state._replace(**kept)
    picture.decisions = model.decisions._replace(fear=model.decisions.fear.copy())
    picture.agent_of_row = _AgentsThen(picture)
    return picture


def _reading(model: WorldModel, agent: Researcher) -> Researcher:
    """A copy of the agent that reads `model` and is not among its agents."""
    twin = copy.copy(agent)
    twin.model = model
    return twin


def _left(fate: int, year: int) -> str:
    """'left for China in 2019', or '' for those who have not left before 1 January of `year`."""
    return f"{CHOICES[int(choice_of(fate))]} in {year_left(fate)}" if fate and year_left(fate) < year else ""


def _decided_aside(agent: Researcher) -> state.Decisions:
    """What the agent's own step decides, booked where the model will not look."""
    aside, row = copy.copy(agent.model), agent.row
    aside.decisions = state.new_decisions(len(aside.world.population))
    aside.decisions.fear[row], aside.decisions.ties[row] = agent.fear, agent.ties  # kept by one who decides nothing
    _reading(aside, agent).step()
    return aside.decisions


def _inputs(agent: Researcher, fear: float, ties: float) -> dict[str, float]:
    """What Researcher.weigh gives to the rule."""
    m, b, origin, settled = (
        agent.model,
        agent.model.world.behaviour,
        ORIGIN_OF_GROUP[agent.group],
        agent.group == SETTLED,
    )
    return {
        "leave_china": float(b.leave_china[origin]), "leave_elsewhere": float(b.leave_elsewhere[origin]),
        "settled": b.settled if settled else 0.0, "field_china": float(b.field_china[agent.field_code]),
        "log_funding": m.log_funding, "pull": m.pull, "log_us": m.log_us[agent.field_code],
        "fear": fear, "ties": ties, "prominence": agent.prominence,
        "roots": float(b.roots[int(settled)]), "career_age": float(agent.career_age),
        "green_card_wait": m.green_card_wait, "waits": rule.on_visa(settled, agent.career_age),
        "shock_china": m.shocks_china[agent.field_code], "shock_elsewhere": m.shock_elsewhere,
    }  # fmt: skip


def _completed(agent: Researcher, terms: dict[str, float], rate: float) -> dict[str, float]:
    """The terms without what does not concern the agent, and with what the agent's own weigh adds to the rule."""
    kept = {name: x for name, x in terms.items() if name != SETTLED_ONLY or agent.group == SETTLED}
    rest = (log(rate) if rate > 0.0 else -np.inf) - sum(kept.values())
    if abs(rest) > 1e-9 * (1.0 + sum(abs(x) for x in kept.values())):
        kept[OTHERWISE] = rest
    return kept


def _luck(key: np.uint64, agent: Researcher) -> float:
    return float(draws.unit(draws.output(int(key), agent.identity)))


def _rings_after(key: np.uint64, agent: Researcher, rate: float) -> float:
    """Years; as in rule.choose."""
    return -log(_luck(key, agent)) / rate if rate > 0.0 else np.inf


def _row_with(wanted: int, known: NDArray[np.int64], enters: NDArray[np.bool_], what: str) -> int:
    """The row where `known` is `wanted`. Raises UsageError, with the nearest choice, for someone who never enters."""
    try:
        number = operator.index(wanted)
    except TypeError:
        raise UsageError(f"{wanted!r} is not a whole number", where=what) from None
    found = np.flatnonzero((known == number) & enters)
    if len(found) == 0:
        near = min((int(x) for x in known[enters]), key=lambda x: abs(x - number))
        raise UsageError(f"nobody in this world has {what} {number}; the nearest is {near}", where=what)
    return int(found[0])


def _digits(x: Any, digits: int = 3) -> str:
    """Without powers of ten: 0.00451, 12.3, 2,310."""
    rounded = np.format_float_positional(x, precision=digits, unique=False, fractional=False, trim="-")
    return f"{float(rounded):,.0f}" if x >= 1000.0 else rounded


def _percent(x: float) -> str:
    return f"{_digits(100.0 * x, 2)}%"


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}{'' if n == 1 else 's'}"


def _changed(before: float, now: float) -> str:
    return f"{now:.2f}" if f"{before:.2f}" == f"{now:.2f}" else f"{now:.2f} ({before:.2f} on 1 January)"


def when(years: float) -> str:
    """'after 12.3 years' or 'never'."""
    return f"after {_digits(years)} years" if np.isfinite(years) else "never"
