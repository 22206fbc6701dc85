"""Figures of how far to trust a model: forecasts of years not seen, their calibration, published effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bdsim.calibration.backtest import RULES, TOTAL, coverage
from bdsim.reporting.figures.canvas import canvas
from bdsim.reporting.sentences import bounds
from bdsim.reporting.style import COLOURS, REFERENCE, Drawing, caption, styled, year_axis
from bdsim.runs.identity import versions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["backtest_drawings", "draw_backtest", "draw_calibration", "draw_validation"]

MOST_COLUMNS = 4
# Colour and mark: either alone tells them apart.
NAIVE = {
    "last": ("Last value", COLOURS[1], "s"),
    "linear": ("Linear trend", COLOURS[2], "^"),
    "loglinear": ("Log-linear trend", COLOURS[3], "D"),
    "damped": ("Damped trend", COLOURS[4], "v"),
}
GIVEN = {
    "known": "is given their funding, inflow, offers and scrutiny, not their departures",
    "forecast": "forecasts their funding, inflow and offers as well, and knows no later policy",
}


def backtest_drawings(table: pd.DataFrame) -> list[Drawing]:
    """The forecasts of every series, and their calibration."""
    series = list(dict.fromkeys(table["series"]))
    return [*(draw_backtest(table, name, alone=len(series) == 1) for name in series), draw_calibration(table)]


@styled
def draw_backtest(table: pd.DataFrame, series: str, *, alone: bool = True) -> Drawing:
    """Forecasts of years not seen, beside naive rules, one panel a last year seen."""
    own = table[table["series"] == series]
    whole = own[own["field"] == TOTAL] if (own["field"] == TOTAL).any() else own
    cuts = sorted(set(whole["until"]))
    columns = min(MOST_COLUMNS, len(cuts))
    rows = -(-len(cuts) // columns)
    board = canvas(columns, rows=rows, height=1.3 + 2.4 * rows, share_y=True)
    for ax, cut in zip(board.axes, cuts, strict=False):
        _backtest_panel(ax, whole[whole["until"] == cut], table.attrs["observed"][series], cut)
    for ax in board.axes[len(cuts) :]:
        ax.axis("off")
    for ax in board.axes[::columns]:
        ax.set_ylabel("Departures a year")
    board.axes[0].set_ylim(bottom=0)
    board.legend()
    given = (
        f"'{series}', all fields together. Shaded: years not seen; the model {GIVEN[table.attrs['drivers']]}. "
        "Model: median and 90%. Naive rules: medians, and at the right 90% in the last year."
    )
    title = "Backtest: forecasts of years that the fit has not seen"
    caption(board.figure, title, f"{given} Model: {_version()}.")
    name = "backtest" if alone else f"backtest-{series.replace(' ', '-')}"
    return Drawing(name, board.figure, own, "Forecasts of held-out years beside naive rules")


def _backtest_panel(ax: Axes, part: pd.DataFrame, observed: Mapping[int, float], cut: int) -> None:
    """The facts seen and not seen, the model's forecast, and the naive rules; `part`: rows of one last year seen."""
    years, last = part["year"].to_numpy(), int(part["year"].max())
    ax.axvspan(cut + 0.5, last + 2.3, color="#f1f1f1", lw=0, zorder=0)
    for number, rule in enumerate(RULES):
        label, colour, mark = NAIVE[rule]
        ax.plot(years, part[f"median_{rule}"], "--", marker=mark, ms=2.6, color=colour, lw=1.0, label=label)
        end = part.iloc[-1]
        ax.plot([last + 0.6 + 0.4 * number] * 2, [end[f"p05_{rule}"], end[f"p95_{rule}"]], color=colour, lw=1.8)
    spread = [part["median"] - part["p05"], part["p95"] - part["median"]]
    ax.errorbar(
        years, part["median"], spread, fmt="o", color=COLOURS[0], capsize=2, ms=3.5, elinewidth=1.2,
        label="Model, 90%",
    )  # fmt: skip
    for seen, fill, label in ((True, "black", "Observed, seen"), (False, "white", "Observed, not seen")):
        shown = {y: x for y, x in observed.items() if (y <= cut) == seen}
        ax.plot(list(shown), list(shown.values()), "o", mfc=fill, mec="black", mew=0.7, ms=3.2, label=label, zorder=5)
    ax.set_title(f"Seen until {cut}")
    ax.set_xlim(min(observed) - 0.5, last + 2.3)
    year_axis(ax)
    ax.set_xticks(range(min(observed), last + 1, 5))


@styled
def draw_calibration(table: pd.DataFrame) -> Drawing:
    """How often intervals hold what happened, and where in the forecasts the facts lie."""
    held = coverage(table)
    board = canvas(2, height=3.5)
    left, right = board.axes
    left.plot([0, 1], [0, 1], color=REFERENCE, lw=1, ls=":", label="As stated")
    for number, (of, mark) in enumerate((("by field", "o"), ("total", "s"))):
        if held[of].notna().any():
            left.plot(held["nominal"], held[of], mark, ls="-", ms=3, color=COLOURS[number], label=f"Forecasts {of}")
    left.set_xlabel("Stated probability of a central interval")
    left.set_ylabel("Share of facts that it holds")
    left.set_title("a  Coverage")
    is_total = table["field"].eq(TOTAL)
    parts = [table.loc[~is_total, "pit"], table.loc[is_total, "pit"]]
    right.hist(
        [p for p in parts if len(p)], bins=list(np.linspace(0, 1, 11)), density=True, rwidth=0.9,
        color=[c for c, p in zip(COLOURS, parts, strict=False) if len(p)],
    )  # fmt: skip
    right.axhline(1.0, color=REFERENCE, lw=1, ls=":")
    right.set_xlabel("Forecast probability of at most the fact (PIT)")
    right.set_ylabel("Density")
    right.set_title("b  Where facts lie in their forecasts")
    board.legend()
    cuts = ", ".join(map(str, sorted(set(table["until"]))))
    said = (
        f"{len(table)} forecasts from {cuts}, drivers {table.attrs['drivers']}; forecasts from one year share their "
        f"errors, so a few numbers tell less than they seem to. Model: {_version()}."
    )
    caption(board.figure, "Are forecasts as sure as they say?", said)
    return Drawing("calibration", board.figure, held, "Coverage of intervals against the stated probability, and PIT")


@styled
def draw_validation(table: pd.DataFrame) -> Drawing:
    """Published sizes beside what the model implies, each on its own scale."""
    shown = table[table["median"].notna() & (table["published"].notna() | table["low"].notna())].reset_index(drop=True)
    board = canvas(height=1.5 + 0.42 * len(shown))
    ax = board.axes[0]
    for i, row in shown.iterrows():
        y = len(shown) - 1 - int(i)
        scale = np.nanmax([row["p95"], row["high"], row["published"]]) * 1.05
        if pd.notna(row["low"]) or pd.notna(row["high"]):
            ends = [row["low"] if pd.notna(row["low"]) else row["published"],
                    row["high"] if pd.notna(row["high"]) else row["published"]]  # fmt: skip
            label = "Published range" if i == 0 else None
            ax.plot(np.array(ends) / scale, [y + 0.15] * 2, color="black", lw=3.5, alpha=0.3, label=label)
        if pd.notna(row["published"]):
            ax.plot(row["published"] / scale, y + 0.15, "o", color="black", ms=4, label="Published" if i == 0 else None)
        colour = REFERENCE if row["agrees"] is None else COLOURS[0] if row["agrees"] else COLOURS[1]
        ax.plot([row["p05"] / scale, row["p95"] / scale], [y - 0.15] * 2, color=colour, lw=2)
        ax.plot(row["median"] / scale, y - 0.15, "s", color=colour, ms=4, label="Model, 90%" if i == 0 else None)
        published = f"{row['published']:.3g}" if pd.notna(row["published"]) else bounds(row["low"], row["high"])
        text = f"{published} | {row['median']:.3g} [{row['p05']:.3g}, {row['p95']:.3g}]"
        ax.text(1.02, y, text, va="center", fontsize=7, transform=ax.get_yaxis_transform())
    ax.set_yticks(range(len(shown)), [_broken(w) for w in reversed(shown["what"].tolist())], fontsize=7)
    ax.set_xticks([])
    ax.set_xlim(0, 1.02)
    ax.set_xlabel("Each line on its own scale from 0; at the right published | model")
    board.legend()
    said = (
        "Blue: the model's interval meets the published range, or the value give or take a twentieth; orange: it does "
        f"not; grey: not the same thing. Model: {_version()}."
    )
    caption(board.figure, "Published effects beside what the model implies", said)
    return Drawing("validation", board.figure, table, "Published effects and the model's own, side by side")


def _broken(text: str, width: int = 38) -> str:
    """A long name on two lines."""
    if len(text) <= width:
        return text
    at = text.rfind(" ", 0, width)
    return f"{text[:at]}\n{text[at + 1 :]}"


def _version() -> str:
    return f"bdsim {versions()['bdsim-migration']}"
