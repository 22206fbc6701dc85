"""A policy made of a few numbers: the file that says the same, and what the model expects of it. Knows no page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bdsim.errors import UsageError
from bdsim.model.categories import DESTINATIONS, FIELDS, FIRST_YEAR, Floats
from bdsim.model.counts import Counts, selection
from bdsim.model.world import Timeline
from bdsim.reporting.names import NAMES
from bdsim.runs.expected import Request, answers_to, posterior_draws
from bdsim.runs.plan import Settings, plan_run
from bdsim.runs.statistics import interval
from bdsim.study import DEFAULT_HORIZON
from bdsim.study.editing.toml import rendered
from bdsim.study.evidence import load_evidence
from bdsim.study.history import Observed, observed_departures
from bdsim.study.layout import Study
from bdsim.study.scenario import load_scenario, plan_of, resolve
from bdsim.study.scenario_file import parse_scenario

__all__ = ["GROUPS", "NAME", "SLIDERS", "START", "Answer", "Policies", "Slider"]

NAME = "my-policy"  # of the scenario that the sliders make
DRAWS = 16  # of the posterior
SCALE = 50  # researchers an agent
FIRST_DAY, LAST_DAY = dt.date(2026, 1, 1), dt.date(DEFAULT_HORIZON, 12, 31)
WHY = "An assumption made with a slider, without a source"


class Slider(NamedTuple):
    """One slider: what it changes, from what to what, and the parameter that carries its effect."""

    name: str  # of a yearly table, or of a date
    label: str
    about: str
    low: float
    high: float
    step: float
    unchanged: float  # where it changes nothing
    carried_by: str = ""
    change: str = ""  # multiply or add, for yearly tables


def _day(date: dt.date) -> float:
    return float((date - FIRST_DAY).days)


LAST = _day(LAST_DAY)
SCRUTINY = Slider(
    "scrutiny", "Strength of scrutiny", "Of researchers of Chinese descent; 1 is the Initiative of 2019–2021.",
    0.0, 2.0, 0.05, 0.0, "push",
)  # fmt: skip
FROM = Slider("from", "From", "First day in force.", 0.0, LAST - 1.0, 1.0, _day(dt.date(2027, 1, 20)))
UNTIL = Slider("until", "Until", "First day no longer in force.", 1.0, LAST, 1.0, _day(dt.date(2031, 1, 20)))
GROUPS: dict[str, tuple[Slider, ...]] = {
    "When": (FROM, UNTIL),
    "Scrutiny": (SCRUTINY,),
    "Funding": (
        Slider("us_funding", "US research funding, all fields", "Times what the baseline has; 0.8 is a cut of 20%.",
              0.5, 1.5, 0.01, 1.0, "stay_us", "multiply"),
        Slider("nih_funding", "NIH funding, life sciences", "Times what the baseline has.",
              0.5, 1.5, 0.01, 1.0, "stay_us", "multiply"),
    ),
    "Talent programmes": (
        Slider("offers", "Offers from China", "Times what the baseline has; 0 ends the programmes, 2 doubles them.",
              0.0, 4.0, 0.05, 1.0, "accept", "multiply"),
    ),
    "Staying": (
        Slider("green_card_wait", "Wait for a green card", "Years more than today; below 0 is less.",
              -5.0, 10.0, 0.25, 0.0, "wait", "add"),
    ),
}  # fmt: skip
SLIDERS = {slider.name: slider for group in GROUPS.values() for slider in group}
START: dict[str, float] = {**{name: slider.unchanged for name, slider in SLIDERS.items()}, "scrutiny": 1.0}


@dataclass(frozen=True)
class Answer:
    """What the model expects of a policy, draw by draw of the fit, without the chance of single people.

    `reference` and `policy` are departures of scientists of Chinese descent, shape (draws, years, fields,
    destinations); years from FIRST_YEAR.
    """

    values: Mapping[str, float]
    reference: Floats
    policy: Floats
    fit: str  # name of the fit that draws come from; '' without one

    @property
    def years(self) -> range:
        return range(FIRST_YEAR, FIRST_YEAR + self.reference.shape[1])

    @property
    def span(self) -> tuple[dt.date, dt.date]:
        """First day in force, first day no longer."""
        return _date(self.values["from"]), _date(self.values["until"])

    @property
    def asked(self) -> range:
        """From the year in which the policy begins to the last of the model."""
        return range(self.span[0].year, self.years[-1] + 1)

    def a_year(self, departures: Floats) -> Floats:
        """5%, 50% and 95% of all departures of each year, shape (3, years)."""
        return interval(departures.sum(axis=(2, 3)))

    def rows(self) -> list[tuple[str, Floats, Floats, Floats]]:
        """Departures over the years asked: whose, and the 5%, 50% and 95% without and with the policy and of their
        difference, draw by draw."""
        at = slice(self.asked[0] - FIRST_YEAR, None)
        without, with_policy = (d[:, at].sum(axis=1) for d in (self.reference, self.policy))
        parts = {"All departures": (slice(None), slice(None))}
        parts |= {NAMES[name]: (slice(None), slice(d, d + 1)) for d, name in enumerate(DESTINATIONS)}
        parts |= {NAMES[name]: (slice(f, f + 1), slice(None)) for f, name in enumerate(FIELDS)}
        found = []
        for whose, (f, d) in parts.items():
            a, b = without[:, f, d].sum(axis=(1, 2)), with_policy[:, f, d].sum(axis=(1, 2))
            found.append((whose, interval(a), interval(b), interval(b - a)))
        return found


class Policies:
    """Policies on top of the study's baseline, with its default fit.

    Raises ScenarioError, FitError, ParameterError and EvidenceError of the study's files.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        settings = Settings(DRAWS, 0, SCALE, "compiled", DEFAULT_HORIZON)
        self._job = plan_run(load_scenario("baseline", study), settings)
        self._draws = posterior_draws(self._job)
        self._members = range(len(self._draws)) if self._job.fit is not None else ()

    def checked(self, name: str, text: str) -> float:
        """A value as somebody typed it, a date as YYYY-MM-DD or days from the first. Raises UsageError."""
        lever = SLIDERS[name]
        try:
            value = _day(dt.date.fromisoformat(text)) if "-" in text[1:] and name in ("from", "until") else float(text)
        except ValueError:
            kind = "a date such as 2027-01-20" if name in ("from", "until") else "a number"
            raise UsageError(f"'{text}' is not {kind}", where=name) from None
        if not lever.low <= value <= lever.high:
            low, high = (str(_date(x)) if name in ("from", "until") else f"{x:g}" for x in (lever.low, lever.high))
            raise UsageError(f"lies outside {low} to {high}", where=name)
        return value

    def knob(self, lever: Slider) -> dict[str, Any]:
        """All that a control shows of a slider, as plain values."""
        known = self._job.parameters.entries
        told = known[lever.carried_by].identified if lever.carried_by else ""
        carried = f" Its effect rests on “{known[lever.carried_by].label}”." if lever.carried_by else ""
        return {
            "name": lever.name, "label": lever.label, "about": lever.about + carried, "low": lever.low,
            "high": lever.high, "step": lever.step, "start": lever.unchanged, "prior": None, "posterior": None,
            "identified": told, "told": f"told by data: {told}" if told else "", "fits": None,
            "date": str(FIRST_DAY) if not lever.carried_by else "",
        }  # fmt: skip

    def text(self, values: Mapping[str, float]) -> str:
        """The scenario file that says the same."""
        start, until = _date(values["from"]), _date(values["until"])
        last = (until - dt.timedelta(days=1)).year
        parts = {
            "title": "My policy",
            "question": f"What would follow if this policy were in force from {start} until {until}?",
            "extends": "baseline",
        }
        lines = [f"{key.ljust(8)} = {rendered(value)}" for key, value in parts.items()]
        if values["scrutiny"] > 0.0:
            own = {"name": "My scrutiny", "from": start, "until": until, "scrutiny": values["scrutiny"], "why": WHY}
            lines += ["", "[[policy]]", *(f"{key.ljust(8)} = {rendered(value)}" for key, value in own.items())]
        for lever in (v for v in SLIDERS.values() if v.change and values[v.name] != v.unchanged):
            own = {
                "name": lever.label, "table": lever.name, "years": [start.year, last],
                lever.change: values[lever.name], "why": WHY,
            }  # fmt: skip
            lines += ["", "[[lever]]", *(f"{key.ljust(8)} = {rendered(value)}" for key, value in own.items())]
        return "\n".join(lines) + "\n"

    def at(self, values: Mapping[str, float]) -> Answer:
        """What the model expects of a policy. Raises ScenarioError for one that no scenario file may say."""
        path = self.study.scenarios / f"{NAME}.toml"
        scenario = resolve(parse_scenario(self.text(values).encode(), path), path, self.study)
        branch = scenario.branches()[0]  # the baseline and sliders have no events
        policy = self._departures(plan_of(branch, self._job.history).timeline)
        name = self._job.fit.name if self._job.fit is not None else ""
        return Answer(dict(values), self._baseline, policy, name)

    @cached_property
    def observed(self) -> Observed:
        """The published departures, on the scale of the fit's centre."""
        return observed_departures(load_evidence(self.study), self._job.parameters["mainland_stem"])

    @cached_property
    def _baseline(self) -> Floats:
        return self._departures(self._job.plans[0].timeline)

    def _departures(self, timeline: Timeline) -> Floats:
        asked = Request(timeline, self._draws, self._members)
        return answers_to(self._job, [asked], _by_field_and_destination)[0]


def _by_field_and_destination(counts: Counts) -> Floats:
    """Expected departures of scientists of Chinese descent, shape (members, years, fields, destinations)."""
    return np.asarray(counts.expected[:, :, selection("china")].sum(axis=(2, 4)))


def _date(days: float) -> dt.date:
    return FIRST_DAY + dt.timedelta(days=round(days))
