"""What a run or a comparison tells, worked out once: numbers as plain values, rows of text, sentences.

Terminal, JSON, report, page, figures and memo all say what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bdsim.analysis.comparison import Comparison, Difference, Period, Precision, first_difference
from bdsim.analysis.events import shares_of_events
from bdsim.analysis.leavers import Who, who_leaves
from bdsim.errors import UsageError, shown
from bdsim.model.counts import AXES
from bdsim.reporting.headline import ALL_PRIORS, Headline
from bdsim.reporting.sentences import (
    Answer,
    Block,
    branch_text,
    digits_sentence,
    in_years,
    period_text,
    precision_row,
    precision_sentence,
    rounding,
    rounding_sentence,
    who_sentence,
)
from bdsim.runs.identity import fit_remark
from bdsim.runs.results import PARAMETER, Centre, Results
from bdsim.runs.statistics import explained
from bdsim.study.evidence import load_evidence
from bdsim.study.fit import Fit, load_fit
from bdsim.study.history import Observed, observed_departures
from bdsim.study.parameters import load_parameters

if TYPE_CHECKING:
    from bdsim.study.layout import Study

__all__ = ["ENOUGH", "PEOPLE", "Headline", "Summary", "fit_of", "observed", "priors_of", "summaries"]

PEOPLE = "scientists of Chinese descent"
ENOUGH = 100  # draws: fewer do not tell what a number's spread goes with


@dataclass(frozen=True)
class Summary:
    """What one run says, alone or beside the reference of a comparison; everything is worked out once, when asked.

    `asked` are the years of the question; without them a difference is told from the first year in which the runs
    differ, to the horizon.
    """

    results: Results
    comparison: Comparison | None = None
    asked: Period | None = None
    folder: Path | None = None
    priors: Mapping[str, str] = field(default_factory=dict)  # parameters that only a prior tells: name and label

    @property
    def against(self) -> Comparison | None:
        """The comparison, unless the run is its reference."""
        return None if self.comparison is None or self.results is self.comparison.reference else self.comparison

    @property
    def centre(self) -> Centre:
        """Which statistic stands for the members in every table and figure: one for all runs that are compared."""
        return self.comparison.centre if self.comparison is not None else self.results.centre

    @cached_property
    def years(self) -> Period | None:
        """The years of the answer; None where the run differs from the reference in none of them."""
        last = self.results.years[-1]
        if self.asked is not None and not self.results.years[0] <= self.asked[0] <= self.asked[1] <= last:
            raise UsageError(f"{in_years(self.asked)} lies outside the run, which ends in {last}", where="--years")
        if self.against is None:
            return self.asked or (min(self.results.rebuilt_from(), last), last)
        first = first_difference(self.against.reference, self.results)
        if first is None or (self.asked is not None and self.asked[1] < first):
            return None
        return self.asked or (first, last)

    @cached_property
    def difference(self) -> Difference | None:
        """The paired difference over the years of the answer."""
        return self.against.difference(self.results, [self.years]) if self.against and self.years else None

    @cached_property
    def precision(self) -> Precision | None:
        """How well the difference is known."""
        return self.against.precision(self.results, self.years) if self.against and self.years else None

    @cached_property
    def headline(self) -> Headline | None:
        """The number to quote; None where the run changes nothing."""
        if self.years is None:
            return None
        title, members = self.results.title, int(self.results.manifest["members"])
        if self.against is not None and self.difference is not None:
            low, _, high = (float(x) for x in self.difference.band()[:, 0])
            what = f"Additional departures of {PEOPLE}, {title} against {self.against.reference.title}"
            value = float(self.difference.middle(self.centre)[0])
            carries = self.difference.variance_split()
        else:
            totals = self.total(self.results)
            low, _, high = (float(x) for x in self.results.band(totals))
            what, value = f"Departures of {PEOPLE}, {title}", float(self.results.middle(totals, self.centre))
            carries = self.results.variance_split(*self.years)
        difference = self.against is not None
        return Headline(what, self.years, self.centre, value, low, high, members, carries, difference, self.from_priors)

    @property
    def from_prior_alone(self) -> list[str]:
        """The parameters that differ between members and that only a prior tells."""
        return [name for name in self.priors if PARAMETER + name in self.results.members]

    @cached_property
    def from_priors(self) -> dict[str, float] | None:
        """Shares of the number's variance between draws that go with parameters that only a prior tells.

        ALL_PRIORS first: all of them together; then each alone, by its label. None with fewer than ENOUGH draws.
        """
        names = self.from_prior_alone
        if self.years is None or self.results.draws < ENOUGH or not names:
            return None
        if self.difference is not None:
            values = self.difference.expected[:, 0]
        else:
            first, last = (year - self.results.years[0] for year in self.years)
            values = self.results.collapsed("expected")[:, first : last + 1].sum(axis=1)
        members = self.results.members.assign(value=values * self.results.weights).groupby("draw")
        by_draw = (members["value"].sum() / members["weight"].sum()).to_numpy(np.float64)
        columns = members[[PARAMETER + name for name in names]].first().to_numpy(np.float64)
        alone = {self.priors[n]: explained(by_draw, columns[:, [i]]) for i, n in enumerate(names)}
        return {ALL_PRIORS: explained(by_draw, columns), **alone}

    def total(self, results: Results, *axes: str) -> Any:
        """Departures of a run in the years of the answer, shape (members, *axes)."""
        first, last = self.years or (results.years[0], results.years[-1])
        return results.by(*axes)[0][:, first - results.years[0] : last - results.years[0] + 1].sum(axis=1)

    @cached_property
    def who(self) -> Who | None:
        """Whom the scenario changes; None where it changes nobody."""
        return who_leaves(self.against, self.results, self.years) if self.against and self.years else None

    @cached_property
    def periods(self) -> list[dict[str, Any]]:
        """Departures by band of years, the years that are asked for last."""
        bands = self.results.year_bands
        if self.asked is not None and self.asked not in bands:
            bands = [*bands, self.asked]
        table = self.results.by("destination")[0]
        effect = self.against.difference(self.results, bands) if self.against is not None else None
        rows = []
        for number, (first, last) in enumerate(bands):
            span = table[:, first - self.results.years[0] : last - self.results.years[0] + 1].sum(axis=1)
            every = span.sum(axis=1)
            row: dict[str, Any] = {"from": first, "until": last, "mean": float(self.results.mean(every))}
            row |= dict(zip(("p05", "median", "p95"), map(float, self.results.band(every)), strict=True))
            row["share_china"] = float(self.results.share(span[:, 0], every))
            if effect is not None:
                row["excess_mean"] = float(effect.mean()[number])
                names = ("excess_p05", "excess_median", "excess_p95")
                row |= dict(zip(names, map(float, effect.band()[:, number]), strict=True))
            rows.append(row)
        return rows

    @cached_property
    def branches(self) -> list[dict[str, Any]]:
        """Each way through the events: chance, mean departures since the first event, excess; last, the expectation."""
        since = first_event(self.results)
        if len(self.results.manifest["branches"]) < 2 or since is None:
            return []
        first, last = since
        values = self.results.by()[0][:, first - self.results.years[0] :].sum(axis=1)
        columns = {"departures": values}
        if self.against is not None:
            columns["excess_mean"] = self.against.difference(self.results, [(first, last)]).expected[:, 0]
        means = {name: self.results.each_branch(column) for name, column in columns.items()}
        rows = [
            {"from": first, "until": last, "branch": b["name"], "chance": b["chance"],
             **{name: float(each[b["name"]]) for name, each in means.items()}}
            for b in self.results.manifest["branches"]
        ]  # fmt: skip
        expected = {name: float(self.results.mean(column)) for name, column in columns.items()}
        whole = {"from": first, "until": last, "branch": "expected value", "chance": sum(r["chance"] for r in rows)}
        return [*rows, {**whole, **expected}]

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Share of the variance of departures since the first event that each event carries; empty without events."""
        since = first_event(self.results)
        if since is None:
            return []
        rows = shares_of_events(self.results, *since).to_dict("records")
        return [{"from": since[0], "until": since[1], **row} for row in rows]

    def along(self, axis: str) -> list[dict[str, Any]]:
        """By label of an axis: both runs' departures, and the difference, over the years of the answer."""
        if self.against is None or self.years is None:
            return []
        difference = self.against.difference(self.results, [self.years], (axis,))
        low, _, high = difference.band()[:, 0]
        middle = difference.middle(self.centre)[0]
        runs = [r.middle(self.total(r, axis), self.centre) for r in (self.against.reference, self.results)]
        return [
            {"axis": axis, "label": label, "reference": float(runs[0][i]), "scenario": float(runs[1][i]),
             "difference": float(middle[i]), "p05": float(low[i]), "p95": float(high[i])}
            for i, label in enumerate(AXES[axis])
        ]  # fmt: skip

    @property
    def warnings(self) -> list[str]:
        """That the numbers have few digits, rest on coarse agents or on some members: goes wherever one stands."""
        m = self.results.manifest
        said = digits_sentence(m["engine"]), rounding_sentence(m["researchers_per_agent"]), self._pairing
        return [sentence for sentence in said if sentence]

    @property
    def _pairing(self) -> str:
        """That the reference has members beside those that are paired; empty where it has none."""
        if self.against is None or self.results.draws == self.against.reference.draws:
            return ""
        ours, reference = self.results.draws, self.against.reference
        return (
            f"Differences are of the {ours} members of {self.results.title} and the same {ours} of "
            f"{reference.title}, whose own numbers are of {reference.draws}."
        )

    @property
    def caption(self) -> str:
        """What the intervals hold, and what the numbers rest on."""
        m = self.results.manifest
        sentences = [
            (f"Intervals: 90% of {m['members']} members" if self.results.draws > 1 else "One draw has no interval")
            + (f", less {m['failed']} that failed" if m["failed"] else "")
            + f"; {m['uncertainty']}. {m['parameters']['note']}"
        ]
        if self.results.draws < 2:
            sentences.append("For an interval, run more members.")
        if self.results.held:
            sentences.append(f"Held at a value: {self.results.held}.")
        return " ".join([*sentences, *self.warnings])

    def blocks(self) -> list[Block]:
        """Departures by period, and where events branch, their ways and what each carries."""
        reference = self.against.reference.title if self.against is not None else ""
        question = str(self.results.manifest["scenario"]["question"])
        rows = [period_text(row, self.centre, reference) for row in self.periods]
        found = [Block(f"{self.results.title}: departures of {PEOPLE}", rows, f"{question}\n{self.caption}")]
        return found + self.event_blocks() + self.assumption_blocks()

    def event_blocks(self) -> list[Block]:
        """The ways through the events and what each event carries; empty without events."""
        if not self.branches:
            return []
        m = self.results.manifest
        chances = "".join(f"; {name} = {chance:g} by --chance" for name, chance in m.get("reweighted", {}).items())
        shares = [
            {"event": r["event"], "share of variance": f"{r['share']:.0%}", "reached": f"{r['reached']:.0%}"}
            for r in self.events
        ]
        years = in_years((self.events[0]["from"], self.events[0]["until"]))
        return [
            Block(f"Ways through the events of {self.results.title} ({m['ways']}{chances})",
                  [branch_text(row) for row in self.branches]),
            Block(f"What each event carries of the variance of departures {years}", shares),
        ]  # fmt: skip

    @cached_property
    def assumptions(self) -> list[dict[str, Any]]:
        """Each range of the scenario: what it says, and the share of the variance it explains by itself."""
        ranges = self.results.manifest.get("assumptions", [])
        if not ranges or self.years is None:
            return []
        if self.difference is not None:
            shares = self.results.assumption_parts(self.difference.expected[:, 0], self.difference.discordant[:, 0])
        else:
            shares = self.results.assumption_shares(*self.years)
        return [{"assumption": a["name"], "says": a["says"], "share": shares.get(a["name"])} for a in ranges]

    def assumption_blocks(self) -> list[Block]:
        """What is not known of the scenario, and what each assumption explains; empty without ranges."""
        if not self.assumptions or self.years is None:
            return []
        what = "of the difference" if self.against is not None else "of departures"
        rows = [
            {
                "assumption": r["assumption"],
                "range": r["says"],
                "share of variance": "too few members" if r["share"] is None else f"{r['share']:.0%}",
            }
            for r in sorted(self.assumptions, key=lambda r: -(r["share"] or 0.0))
        ]
        title = f"What each assumption explains by itself {what}, {in_years(self.years)}"
        return [Block(title, rows, "Every member draws its own values.")]

    def sentences(self) -> list[str]:
        """The answer first: the number, what it rests on, how well it is known, whom it changes."""
        if self.headline is None:
            among = f" in {in_years(self.asked)}" if self.asked is not None else ""
            reference = self.against.reference.title if self.against is not None else ""
            return [f"By the model, {self.results.title} changes nothing against {reference}{among}."]
        found = [self.headline.sentence, self.headline.grounds]
        if self.precision is not None:
            found.append(precision_sentence(self.precision))
        if self.who is not None:
            found.append(who_sentence(self.who))
        return [sentence for sentence in found if sentence]

    @property
    def answer(self) -> Answer:
        """Tables and sentences for people, the same for scripts."""
        where = [f"Results: {shown(self.folder)}\n"] if self.folder else []
        return Answer([*self.blocks(), *self.sentences(), *where], self.plain())

    def plain(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        m = self.results.manifest
        return {
            "scenario": self.results.name, "title": self.results.title, "question": m["scenario"]["question"],
            "population": PEOPLE, "members": m["members"], "failed": m["failed"],
            "researchers_per_agent": m["researchers_per_agent"], "engine": m["engine"],
            "rounding": dict(zip(("departures", "effect"), rounding(m["researchers_per_agent"]), strict=True)),
            "folder": str(self.folder) if self.folder else None,
            "reference": self.against.reference.name if self.against else None,
            "answer": self.headline.plain() if self.headline else None, "centre": self.centre,
            "uncertainty": m["uncertainty"], "parameters": m["parameters"]["status"], "note": m["parameters"]["note"],
            "held": self.results.held,
            "periods": self.periods, "branches": self.branches, "events": self.events, "ways": m["ways"],
            "reweighted": m.get("reweighted", {}),
            "precision": precision_row(self.precision) if self.precision else None,
            "who": self.who.table.to_dict("records") if self.who else [],
            "top_decile": self.who.top_decile.to_dict("records") if self.who else [],
            "warnings": self.warnings, "in_words": [*self.sentences(), *self.warnings],
        }  # fmt: skip


def summaries(
    comparison: Comparison, asked: Period | None = None, priors: Mapping[str, str] | None = None
) -> list[Summary]:
    """Of every run that is compared, the reference first; `priors` as `priors_of` gives them."""
    return [Summary(results, comparison, asked, None, priors or {}) for results in comparison.all]


def priors_of(study: Study, results: Results) -> dict[str, str]:
    """The parameters of the run's fit that only a prior tells, with their labels. Raises FitError without the fit."""
    if not (used := results.manifest["fit"]):
        return {}
    known = load_parameters(study.parameters)
    table = load_fit(study, used["name"], known).table
    return {name: known.label(name) for name in table.loc[table["verdict"] == "prior", "parameter"]}


def first_event(results: Results) -> Period | None:
    """From the year of the first event to the horizon; None without events."""
    events = results.manifest["scenario"]["event"]
    if not events:
        return None
    first = int(min(event["on"] for event in events)[:4])
    return max(results.years[0], min(results.years[-1], first)), results.years[-1]


def observed(study: Study, results: Results) -> Observed:
    """What is published of departures, on the scale of the run."""
    return observed_departures(load_evidence(study), results.manifest["parameters"]["values"]["mainland_stem"])


def fit_of(study: Study, results: Results) -> Fit | None:
    """The fit that a run drew its parameters from; its warnings say what has changed since. Raises FitError."""
    used = results.manifest["fit"]
    if not used:
        return None
    written = load_parameters(study.parameters)
    fit = load_fit(study, used["name"], written)
    found = [fit_remark(fit, study, load_evidence(study), written)]
    if fit.digest != used["draws"]:
        found.append(
            f"the fit '{fit.name}' was made again after this run, which used the old one; run the scenario again"
        )
    return replace(fit, manifest={**fit.manifest, "warnings": [*fit.manifest["warnings"], *filter(None, found)]})
