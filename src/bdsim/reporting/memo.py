"""A memo: what a scenario changes in some years, on one page, as HTML, PDF and text to paste.

The numbers are those of the report and the terminal: the paired difference of reporting.summary, its mean and the 90%
of members. What carries it is the input that by itself explains most of its spread (analysis.discover).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
from fpdf import FPDF

from bdsim.analysis.boxes import Sample
from bdsim.analysis.comparison import Comparison, Period
from bdsim.analysis.discover import inputs_of, scores
from bdsim.analysis.leavers import SIDES, who_leaves
from bdsim.errors import UsageError
from bdsim.reporting.figures.runs import draw_difference
from bdsim.reporting.report import picture
from bdsim.reporting.style import NAMES, STYLE, VERDICTS, Drawing
from bdsim.reporting.summary import precision_row
from bdsim.runs.results import Results
from bdsim.study.fit import Fit

__all__ = ["Memo", "as_html", "as_pdf", "as_text", "memo_of"]

WHO = "scientists of Chinese descent"
ENOUGH = 100  # members: fewer do not tell which input carries the spread
ONE = 0.5  # researchers: a smaller effect changes nobody
STANDING = (
    "A difference between two runs of the model, not a measured effect; the intervals hold chance and what is not "
    "known of the parameters, not whether the model is right."
)
SIZES = (10.0, 9.5, 9.0, 8.5, 8.0)  # of the letters in points: the first with which the page holds all


@dataclass(frozen=True)
class Memo:
    """Everything that the page says."""

    title: str
    question: str
    number: str
    sentences: tuple[str, ...]
    caveat: str
    figure: Drawing
    command: str
    runs: str
    cite: str


def memo_of(comparison: Comparison, period: Period, fit: Fit | None, label: Callable[[str], str], command: str) -> Memo:
    """What the one scenario of a comparison changes in the years of `period`, both included.

    `label`: the plain name of a parameter; `command`: what makes the memo again. Raises UsageError for a comparison
    of more than two runs, or a period outside them.
    """
    if len(comparison.others) != 1:
        raise UsageError("a memo has one scenario and its reference", where="memo")
    scenario, reference = comparison.others[0], comparison.reference
    row = precision_row(comparison.precision(scenario, period))
    versions = scenario.manifest["versions"]["bdsim-migration"]
    return Memo(
        title=f"{scenario.title} against {reference.title}, {period[0]}-{period[1]}",
        question=str(scenario.manifest["scenario"]["question"]),
        number=f"{row['effect']:+,.0f} departures{_interval(row, ' [{:+,.0f}, {:+,.0f}]')}",
        sentences=tuple(
            s for s in (_how_many(comparison, row), _where(comparison, period), _who(comparison, period)) if s
        ),
        caveat=_carried(comparison, period, fit, label),
        figure=draw_difference(comparison),
        command=command,
        runs=", ".join(f"{r.name}-{r.fingerprint}" for r in comparison.all),
        cite=f"bdsim {versions}: an agent-based simulation of researcher migration; {_facts(scenario)}",
    )


def _facts(scenario: Results) -> str:
    fit = scenario.manifest["fit"]
    return f"fitted to published facts (fit {fit['name']})" if fit else "parameters not fitted"


def _how_many(comparison: Comparison, row: dict[str, Any]) -> str:
    """The difference with its interval, and what it is a share of."""
    scenario, reference = comparison.others[0], comparison.reference
    span = slice(row["from"] - reference.years[0], row["until"] - reference.years[0] + 1)
    base = float(np.average(reference.collapsed("expected")[:, span].sum(axis=1), weights=reference.weights))
    effect, low, high = row["effect"], row["p05"], row["p95"]
    if abs(effect) < ONE:
        return f"In {row['from']}-{row['until']} {scenario.title} changes nobody's leaving, by the model."
    way = "more" if effect > 0 else "fewer"
    within = _interval(row, f"; 90% of {row['members']} members: " + "{:+,.0f} to {:+,.0f}")
    share = f", {abs(effect) / base:.0%} of the {base:,.0f} under {reference.title}" if base > 0 else ""
    both = "; the interval holds both signs" if low < 0 < high else ""
    return (
        f"From {row['from']} to {row['until']}, {abs(effect):,.0f} {way} {WHO} leave the US under {scenario.title} "
        f"than under {reference.title} (mean{within}{both}){share}."
    )


def _interval(row: dict[str, Any], form: str) -> str:
    """The interval in this form; empty where there are too few members to have one."""
    low, high = row["p05"], row["p95"]
    return form.format(low, high) if np.isfinite(low) and np.isfinite(high) else ""


def _where(comparison: Comparison, period: Period) -> str:
    """Fields and destination of the difference."""
    scenario = comparison.others[0]
    fields = comparison.difference(scenario, [period], ("field",)).mean()[0]
    places = comparison.difference(scenario, [period], ("destination",)).mean()[0]
    if abs(places.sum()) < ONE:
        return ""
    named = zip(("engineering_cs", "math_physical", "life"), fields, strict=True)
    told = ", ".join(f"{NAMES[f].lower()} {value:+,.0f}" for f, value in sorted(named, key=lambda p: -abs(p[1])))
    return f"By field: {told}; {places[0]:+,.0f} go to China or Hong Kong, {places[1]:+,.0f} to other countries."


def _who(comparison: Comparison, period: Period) -> str:
    """Whom it changes: those who leave under one of the two only."""
    scenario = comparison.others[0]
    table = who_leaves(comparison, scenario, period).table
    totals = table[table["by"] == "field"].groupby("side")["mean"].sum()
    side = max(SIDES[:2], key=lambda s: totals[s])
    if totals[side] < ONE:
        return ""
    share = table[table["side"] == side].set_index(["by", "label"])["share"]
    title = scenario.title if side == SIDES[0] else comparison.reference.title
    return (
        f"Of those who leave only under {title}, {share['stage', 'early']:.0%} are in their first six years and "
        f"{share['ties', 'strongest third']:.0%} belong to the third with the strongest ties to China."
    )


def _carried(comparison: Comparison, period: Period, fit: Fit | None, label: Callable[[str], str]) -> str:
    """The input that carries most of the spread of the difference, and whether the data tell it."""
    scenario = comparison.others[0]
    if fit is None:
        return "Parameters are held at assumed values: the interval holds chance alone."
    values = comparison.difference(scenario, [period]).values[:, 0]
    groups = scenario.members["draw"].to_numpy(np.int64)
    sample = Sample(inputs_of(scenario), np.ones(len(values), bool), scenario.weights, groups)
    if len(np.unique(groups)) < ENOUGH or not sample.inputs or np.ptp(values) == 0.0:
        prior = ", ".join(label(n).lower() for n in fit.table.loc[fit.table["verdict"] == "prior", "parameter"])
        return (
            f"Carried from the prior, not told by the data: {prior}." if prior else "Every parameter is told by data."
        )
    top = scores(sample, values).iloc[0]
    verdicts = dict(zip(fit.table["parameter"], fit.table["verdict"], strict=True))
    name = str(top["input"])
    known = VERDICTS[verdicts[name]][0].lower() if name in verdicts else "an assumption"
    return (
        f"What carries it most is '{label(name)}' ({known}): by itself it explains {top['share']:.0%} of the spread of "
        "this number between members."
    )


def as_text(memo: Memo) -> str:
    """To paste into a mail or a document."""
    lines = [
        memo.title,
        memo.question,
        "",
        f"{memo.number}, by the model",
        "",
        *memo.sentences,
        memo.caveat,
        STANDING,
        "",
    ]
    return "\n".join([*lines, f"To repeat: {memo.command}", f"Runs: {memo.runs}", f"Cite: {memo.cite}", ""])


def as_html(memo: Memo) -> str:
    """One self-contained page that prints on one sheet. Every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bdsim.reporting"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    svg = picture(memo.figure, "memo").svg
    return environment.get_template("memo.html.j2").render(memo=memo, svg=svg, standing=STANDING, text=as_text(memo))


def as_pdf(memo: Memo) -> bytes:
    """One sheet of A4, in letters as large as fit."""
    for size in SIZES:
        page = _page(memo, size)
        if page.page_no() == 1:
            break
    return bytes(page.output())


def _page(memo: Memo, size: float) -> FPDF:
    """The memo in letters of `size` points; more than one page where they are too large."""
    page = FPDF(format="A4", unit="mm")
    page.set_title(memo.title)
    page.set_margin(18)
    page.set_auto_page_break(True, 14)
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for style, name in (("", "DejaVuSans"), ("B", "DejaVuSans-Bold"), ("I", "DejaVuSans-Oblique")):
        page.add_font("DejaVu", style, fonts / f"{name}.ttf")
    page.add_page()

    def write(texts: Sequence[str], style: str = "", scale: float = 1.0, colour: int = 30, after: float = 1.5) -> None:
        page.set_text_color(colour)
        page.set_font("DejaVu", style, size * scale)
        for text in texts:
            page.multi_cell(0, size * scale * 0.5, text, align="L", new_x="LMARGIN", new_y="NEXT")
        page.ln(after)

    write([memo.title], "B", 1.5)
    write([memo.question], "I", 1.0, 80, 3)
    write([f"{memo.number}, by the model"], "B", 1.6, 20, 3)
    write(memo.sentences, after=3)
    file = io.BytesIO()
    with mpl.rc_context(STYLE):
        memo.figure.figure.savefig(file, format="png", dpi=300)
    page.image(file, w=page.epw, alt_text=memo.figure.alt)
    page.ln(3)
    write([memo.caveat], "B")
    write([STANDING], after=3)
    write([f"To repeat: {memo.command}", f"Runs: {memo.runs}", f"Cite: {memo.cite}"], "", 0.75, 90)
    return page
