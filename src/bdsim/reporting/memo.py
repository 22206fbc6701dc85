"""A memo: what a scenario changes in some years, on one page, as HTML, PDF and text to paste.

The number, what it rests on and how much of it only priors tell are those of the report and the terminal: the headline
of reporting.summary.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import matplotlib as mpl
from fpdf import FPDF

from bdsim.analysis.attribution import acts_through
from bdsim.analysis.leavers import SIDES
from bdsim.errors import UsageError
from bdsim.reporting.figures.runs import draw_difference
from bdsim.reporting.names import NAMES
from bdsim.reporting.page import picture
from bdsim.reporting.sentences import citation, in_years, signed
from bdsim.reporting.style import STYLE, Drawing, any_script
from bdsim.reporting.summary import ENOUGH

if TYPE_CHECKING:
    from bdsim.reporting.summary import Summary
    from bdsim.study.fit import Fit

__all__ = ["Memo", "as_html", "as_pdf", "as_text", "memo_of"]

ONE = 0.5  # researchers: fewer are nobody
STANDING = (
    "A difference between two runs of the model, not a measured effect. What an interval holds is chance, shocks and "
    "what is not known of the parameters, and not whether the model is right."
)
SIZES = (10.0, 9.5, 9.0, 8.5, 8.0)  # of the letters in points: the first with which the page holds all


@dataclass(frozen=True)
class Memo:
    """Everything that the page says."""

    title: str
    question: str
    number: str
    statistic: str
    sentences: tuple[str, ...]
    caveat: str
    figure: Drawing
    command: str
    runs: str
    cite: str


def memo_of(summary: Summary, command: str, fit: Fit | None = None) -> Memo:
    """What a scenario changes against its reference in the years of the summary, both included.

    `command`: what makes the memo again; `fit`: that of the runs, to say through what the scenario acts. Raises
    UsageError for a summary of a run alone, or years outside it.
    """
    comparison, scenario = summary.against, summary.results
    if comparison is None:
        raise UsageError("a memo needs a reference", where="memo")
    headline, years = summary.headline, summary.years or summary.asked
    span = f", {in_years(years)}" if years else ""
    return Memo(
        title=f"{scenario.title} against {comparison.reference.title}{span}",
        question=f"The scenario asks: {scenario.manifest['scenario']['question']}",
        number=f"{headline.number} departures" if headline else "Not one departure more or fewer",
        statistic=f"{headline.statistic} and 90% of {headline.members} members" if headline else "",
        sentences=(*summary.sentences()[:1], *_where(summary), *_who(summary)),
        caveat=" ".join([*summary.warnings, _carried(summary, fit)]),
        figure=draw_difference(comparison),
        command=command,
        runs=", ".join(r.mark for r in comparison.all),
        cite=citation(scenario.manifest),
    )


def _where(summary: Summary) -> list[str]:
    """Fields and destination of the difference."""
    if summary.headline is None:
        return []
    fields, places = ({r["label"]: r["difference"] for r in summary.along(axis)} for axis in ("field", "destination"))
    ranked = sorted(fields.items(), key=lambda pair: -abs(pair[1]))
    told = ", ".join(f"{NAMES[name].lower()} {signed(value)}" for name, value in ranked)
    said = f"By field: {told}; {signed(places['china'])} to China or Hong Kong, {signed(places['elsewhere'])} elsewhere"
    return [f"{said} ({summary.centre}s, which need not add up)." if summary.centre == "median" else f"{said}."]


def _who(summary: Summary) -> list[str]:
    """Whom it changes: those who leave under one of the two only."""
    if summary.who is None or summary.against is None:
        return []
    table = summary.who.table
    totals = table[table["by"] == "field"].groupby("side")["mean"].sum()
    side = max(SIDES[:2], key=lambda s: totals[s])
    if totals[side] < ONE:
        return []
    share = table[table["side"] == side].set_index(["by", "label"])["share"]
    title = summary.results.title if side == SIDES[0] else summary.against.reference.title
    return [
        f"Of those who leave only under {title}, {share['stage', 'early']:.0%} are in their first six years and "
        f"{share['ties', 'strongest third']:.0%} belong to the third with the strongest ties to China."
    ]


def _carried(summary: Summary, fit: Fit | None) -> str:
    """What the number rests on, how much of it only priors tell, and through what the scenario acts."""
    if summary.results.manifest["fit"] is None:
        return "Parameters are held at assumed values: the interval holds chance alone."
    grounds = summary.headline.grounds if summary.headline is not None else ""
    if not grounds:
        return "Nothing varies in this number."
    if summary.results.draws < ENOUGH and summary.from_prior_alone:
        grounds += (
            f" How much of its spread goes with the {len(summary.from_prior_alone)} parameters that only a prior "
            f"tells is not known from so few members ({ENOUGH} tell)."
        )
    return " ".join(
        filter(None, [grounds, acts_through(fit, summary.results.manifest["scenario"], summary.results.labels)])
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
        if page.page_no() == 1 or size == SIZES[-1]:
            break
        _close(page)
    written = bytes(page.output())
    _close(page)
    return written


def _close(page: FPDF) -> None:
    """Close the files of the fonts, which the library leaves open."""
    for font in page.fonts.values():
        font.ttfont.close()


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
    write([memo.number], "B", 1.6, 20, 0.5)
    write([f"by the model; {memo.statistic}" if memo.statistic else "by the model"], "", 0.9, 80, 3)
    write(memo.sentences, after=3)
    file = io.BytesIO()
    with mpl.rc_context(STYLE), any_script():
        memo.figure.figure.savefig(file, format="png", dpi=300)
    page.image(file, w=page.epw, alt_text=memo.figure.alt)
    page.ln(3)
    write([memo.caveat], "B")
    write([STANDING], after=3)
    write([f"To repeat: {memo.command}", f"Runs: {memo.runs}", f"Cite: {memo.cite}"], "", 0.75, 90)
    return page
