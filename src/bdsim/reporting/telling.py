"""What runs and comparisons tell: command line, report and page say the same in the same words."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bdsim.analysis.comparison import Comparison
from bdsim.reporting import summary as answers
from bdsim.reporting import terminal
from bdsim.runs.plan import Job
from bdsim.runs.results import Results
from bdsim.study.evidence import load_evidence
from bdsim.study.fit import Fit, load_fit
from bdsim.study.history import Observed, observed_departures
from bdsim.study.layout import Study
from bdsim.study.parameters import load_parameters
from bdsim.study.scenario import changed_values

__all__ = ["Told", "answer_of", "fit_of", "observed", "repeat_words", "report_page", "tables_of"]


@dataclass(frozen=True)
class Told:
    """Rows of text under a title."""

    title: str
    rows: list[dict[str, str]]
    caption: str = ""


def answer_of(results: Results, folder: Path | None, comparison: Comparison | None) -> dict[str, Any]:
    """What a run says, as plain values; `comparison` is None for the reference."""
    m = results.manifest
    period = answers.effect_period(comparison, results) if comparison else None
    precision = answers.precision_row(comparison.precision(results, period)) if comparison and period else None
    who = answers.who_of(comparison, results) if comparison else None
    return {
        "scenario": results.name, "title": results.title, "question": m["scenario"]["question"],
        "population": "scientists of Chinese descent", "members": m["members"], "failed": m["failed"],
        "researchers_per_agent": m["researchers_per_agent"], "folder": str(folder) if folder else None,
        "reference": comparison.reference.name if comparison else None,
        "uncertainty": m["uncertainty"], "parameters": m["parameters"]["status"], "note": m["parameters"]["note"],
        "held_by_hand": results.held_by_hand,
        "periods": terminal.period_rows(results, comparison),
        "branches": terminal.branch_rows(results, comparison) if len(m["branches"]) > 1 else [],
        "events": answers.event_rows(results), "ways": m["ways"], "reweighted": m.get("reweighted", {}),
        "precision": precision, "who": who.table.to_dict("records") if who else [],
        "top_decile": who.top_decile.to_dict("records") if who else [],
        "in_words": [
            *([answers.precision_sentence(precision, comparison.reference.title)] if comparison and precision else []),
            *([answers.who_sentence(who)] if who else []),
        ],
    }  # fmt: skip


def tables_of(answer: dict[str, Any]) -> list[Told]:
    """The tables of `answer_of`: departures by period, and where events branch, their ways and what each carries."""
    caption = (
        f"{answer['question']}\n"
        f"Intervals: 90% of {answer['members']} members"
        + (f", less {answer['failed']} that failed" if answer["failed"] else "")
        + f"; {answer['uncertainty']}. {answer['note']}"
        + (f" Held by hand: {answer['held_by_hand']}." if answer["held_by_hand"] else "")
    )
    periods = terminal.period_text(answer["periods"], answer["reference"] or "", events=bool(answer["branches"]))
    told = [Told(f"{answer['title']}: departures of {answer['population']}", periods, caption)]
    if answer["branches"]:
        last = answer["periods"][-1]["until"]
        chances = "".join(f"; {name} = {chance:g} by --chance" for name, chance in answer["reweighted"].items())
        title = f"Ways through the events ({answer['ways']}{chances})"
        told.append(Told(title, terminal.branch_text(answer["branches"], last)))
        told.append(Told(*terminal.event_text(answer["events"])))
    return told


def observed(study: Study, results: Results) -> Observed:
    """What is published of departures, on the scale of the run."""
    return observed_departures(load_evidence(study), results.manifest["parameters"]["values"]["mainland_stem"])


def fit_of(study: Study, results: Results) -> Fit | None:
    """The fit that a run drew its parameters from. Raises FitError when it is gone."""
    used = results.manifest["fit"]
    return load_fit(study, used["name"], load_parameters(study.parameters)) if used else None


def report_page(comparison: Comparison, study: Study, jobs: Sequence[Job | None]) -> str:
    """The report of a comparison as one HTML file.

    `jobs` are the plans of its runs, None for one whose files are no longer what was run. Raises InputError of the
    study's files.
    """
    from bdsim.reporting.report import rendered, report_of  # brings Jinja, which commands without a report do without

    return rendered(
        report_of(
            comparison, observed(study, comparison.reference), load_evidence(study).sources,
            fit_of(study, comparison.reference), _changes(comparison.all, jobs),
            [repeat_words("report", comparison.all)],
        )
    )  # fmt: skip


def repeat_words(command: str, runs: Sequence[Results]) -> str:
    """The command line that makes these runs again and hands them to `command`: report or compare."""
    m = runs[0].manifest
    words: list[Any] = ["bdsim", command, *(r.name for r in runs), "--members", m["members"], "--seed", m["seed"]]
    words += ["--researchers-per-agent", m["researchers_per_agent"], "--horizon", m["horizon"], "--engine", m["engine"]]
    words += ["--fit", m["fit"]["name"] if m["fit"] else "none"]
    for name in m["parameters"]["set_by_hand"]:
        words += ["--set", f"{name}={m['parameters']['values'][name]!r}"]
    for results in runs:
        for name, chance in results.manifest.get("reweighted", {}).items():
            words += ["--chance", f"{name}={chance!r}"]
    return shlex.join(map(str, words))


def _changes(runs: Sequence[Results], jobs: Sequence[Job | None]) -> dict[str, list[dict[str, str]]]:
    """The yearly values that each scenario changes; none where its file is no longer what was run."""
    base = jobs[0]
    if base is None:
        return {r.title: [] for r in runs[1:]}
    changes: dict[str, list[dict[str, str]]] = {}
    for results, job in zip(runs[1:], jobs[1:], strict=True):
        rows: list[dict[str, str]] = []
        for plan in job.plans if job is not None else []:
            branch = {"branch": plan.branch.name} if job is not None and len(job.plans) > 1 else {}
            rows += [{**branch, **row} for row in changed_values(base.plans[0].timeline, plan.timeline)]
        changes[results.title] = rows
    return changes
