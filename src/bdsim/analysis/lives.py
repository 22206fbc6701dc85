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
from bdsim.model.engine import state
from bdsim.model.engine import year as engine
from bdsim.model.engine.year import SETTLED
from bdsim.model.maths import log
from bdsim.model.rule import CAREER, CHINA, ELSEWHERE, STAY, TYPICAL_TIES, Weights

__all__ = ["CHOICES", "Life", "Moment", "Watch", "Weighing", "explain", "network", "terms_of", "when"]

CHOICES = {STAY: "stayed", CHINA: "left for China", ELSEWHERE: "left for elsewhere"}
MINUS = "\N{MINUS SIGN}"

# Influences in plain words, and the inputs of rule.weigh through which each acts.
INFLUENCES = {
    "usual": ("leave_china", "leave_elsewhere"),
    "settled": ("settled",),
    "field": ("field_china",),
    "Chinese funding": ("log_funding",),
    "offer": ("offered",),
    "ties": ("ties",),
    "push": ("fear",),
    "roots": ("settlement", "log_age"),
    "US funding and soft power": ("log_us",),
}
TO_ELSEWHERE = ("usual", "settled", "push", "roots", "US funding and soft power")
SETTLED_ONLY = "settled"
OTHERWISE = "own way of weighing"  # of a subclass that overrides weigh: what the rule does not account for
NOTHING = dict.fromkeys((name for names in INFLUENCES.values() for name in names), 0.0) | {"ties": TYPICAL_TIES}


@dataclass(frozen=True)
class Weighing:
    """One destination as one researcher weighs it in a year."""

    terms: Mapping[str, float]  # by influence in plain words, log rate per year; they add up to ln(rate)
    rate: float  # per year, with this year's answer to the offer
    chance: float  # of leaving for it within the year, over both answers to the offer, in [0, 1]
    rings_after: float  # years after which the clock rings at this rate

    def in_words(self) -> str:
        """'usual −3.10, ties +0.20, roots −2.60: 0.0041 a year'; what weighs next to nothing is left out."""
        shown = {name: f"{x:+.2f}".replace("-", MINUS) for name, x in self.terms.items()}
        kept = [f"{name} {x}" for name, x in shown.items() if name == "usual" or x.strip("+0." + MINUS)]
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
    choice: int  # STAY, CHINA or ELSEWHERE, as in rule.py

    @property
    def chosen(self) -> str:
        """'stayed', 'left for China' or 'left for elsewhere'."""
        return CHOICES[self.choice]

    def in_words(self) -> str:
        """The year in a few sentences, numbers to two or three digits."""
        since = "in the year of entry" if self.career_age == 0 else f"{_count(self.career_age, 'year')} after entry"
        moved = f"; {_percent(self.share_moved)} moved to China last year" if self.share_moved > 0.0 else ""
        offer = f" {'An' if self.offered else 'No'} offer (its chance: {_percent(self.offer_chance)})."
        return (
            f"{self.year}, {since} ({self.stage}): fear {_changed(self.fear_before, self.fear)},"
            f" ties {_changed(self.ties_before, self.ties)}; {_count(self.colleagues_here, 'colleague')} here,"
            f" fear {self.colleagues_fear:.2f} on average{moved}.{offer if self.offer_chance > 0.0 else ''}"
            f" Weighed for China: {self.china.in_words()}; for elsewhere: {self.elsewhere.in_words()}."
            f" The clock for China would ring {when(self.china.rings_after)},"
            f" that for elsewhere {when(self.elsewhere.rings_after)}: {self.chosen}."
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


def terms_of(w: Weights, **inputs: float) -> tuple[dict[str, float], dict[str, float]]:
    """The terms of both log rates per year, to China and to elsewhere, by influence.

    `inputs` are all that rule.weigh takes. Each term is the log of the rates that rule.weigh itself gives with one
    influence switched on and all others off. The log rates are sums, so terms add up; and they cannot drift from
    the rule, as products written here a second time could.
    """
    alone = {name: rule.weigh(**{**NOTHING, **{i: inputs[i] for i in on}}, w=w) for name, on in INFLUENCES.items()}
    return {name: log(rates[0]) for name, rates in alone.items()}, {name: log(alone[name][1]) for name in TO_ELSEWHERE}


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
    here, dread, moved = engine.colleagues_of(row, m.world.population.people.colleagues, m.state)
    chance = agent.chance_of_offer()
    offered = chance > 0.0 and _luck(m.keys.offered[year], agent) < chance
    inputs = _inputs(agent, fear, ties, float(offered))
    china, elsewhere = (float(rate) for rate in agent.weigh(fear, ties, float(offered)))
    to_china, to_elsewhere = terms_of(m.world.behaviour.weights, **inputs)
    return Moment(
        year=m.year, career_age=agent.career_age, stage=agent.stage,
        fear_before=agent.fear, fear=fear, ties_before=agent.ties, ties=ties,
        colleagues_here=int(here), colleagues_fear=float(engine.mean_fear(here, dread)),
        share_moved=float(engine.share_moved(here, moved)), offer_chance=chance, offered=offered,
        china=Weighing(
            _completed(agent, to_china, china), china, float(booked.to_china[row]),
            _rings_after(m.keys.clock_china[year], agent, china),
        ),
        elsewhere=Weighing(
            _completed(agent, to_elsewhere, elsewhere), elsewhere, float(booked.to_elsewhere[row]),
            _rings_after(m.keys.clock_elsewhere[year], agent, elsewhere),
        ),
        choice=int(booked.choice[row]),
    )  # fmt: skip


class Watch:
    """A model that steps year by year, and what became of everyone so far.

    Steps keep a still picture of every 1 January, so that a life is explained at once and by the agent's own rule.
    A picture takes about 60 bytes a person ever here: 5 MB in all at 500 researchers an agent. Running the member
    again would give the same life to the bit, but takes a second, and Mesa 3.3 keeps every model ever made alive.
    To start again, or elsewhere, make a new Watch of a new model; whoever has the same identity is the same person.
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
            raise UsageError("the model was stepped behind the back of its Watch", where="model")
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
    kept = {name: getattr(model.state, name).copy() for name in ("here", "moved", "dread", "ties")}
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
    """'left for China in 2019', or '' for who has not left before 1 January of `year` (state.py)."""
    left_in = FIRST_YEAR + (fate - 1) // 2
    return f"{CHOICES[(fate - 1) % 2]} in {left_in}" if fate and left_in < year else ""


def _decided_aside(agent: Researcher) -> state.Decisions:
    """What the agent's own step decides, booked where the model will not look."""
    aside, row = copy.copy(agent.model), agent.row
    aside.decisions = state.new_decisions(len(aside.world.population))
    aside.decisions.fear[row], aside.decisions.ties[row] = agent.fear, agent.ties  # kept by one who decides nothing
    _reading(aside, agent).step()
    return aside.decisions


def _inputs(agent: Researcher, fear: float, ties: float, offered: float) -> dict[str, float]:
    """What Researcher.weigh gives to rule.weigh."""
    m, b, origin = agent.model, agent.model.world.behaviour, ORIGIN_OF_GROUP[agent.group]
    return {
        "leave_china": float(b.leave_china[origin]), "leave_elsewhere": float(b.leave_elsewhere[origin]),
        "settled": b.settled if agent.group == SETTLED else 0.0, "field_china": float(b.field_china[agent.field_code]),
        "log_funding": m.log_funding, "log_us": m.log_us, "settlement": m.settlement,
        "fear": fear, "ties": ties, "log_age": log(1.0 + agent.career_age), "offered": offered,
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
