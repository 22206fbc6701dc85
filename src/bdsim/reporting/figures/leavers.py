"""The figure of who leaves: those whom a scenario changes beside those who leave under both worlds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bdsim.analysis.leavers import BY, SIDES, Who
from bdsim.reporting.figures.canvas import canvas
from bdsim.reporting.sentences import digits_sentence
from bdsim.reporting.style import COLOURS, REFERENCE, Drawing, caption, styled

__all__ = ["draw_who"]

TITLES = {
    "field": "Field",
    "stage": "Career stage",
    "route": "Way of coming",
    "prominence": "Prominence",
    "ties": "Ties to China",
}
SHORT = {
    "engineering_cs": "Engineering", "math_physical": "Maths, physics", "life": "Life sciences",
    "early": "0-5 years", "mid": "6-14 years", "senior": "15 or more",
    "doctorate": "US doctorate", "settled": "Otherwise",
    "decile 1": "Least", "decile 10": "Most", "weakest third": "Weakest third", "middle third": "Middle third",
    "strongest third": "Strongest third",
    **{f"decile {n}": f"Tenth {n}" for n in range(2, 10)},
}  # fmt: skip
MARKS = {SIDES[0]: (COLOURS[1], "o"), SIDES[1]: (COLOURS[2], "s"), SIDES[2]: (REFERENCE, "D")}
LEAST = 0.5  # researchers: a side with fewer is left out


@styled
def draw_who(who: Who) -> Drawing:
    """Shares of each side by attribute with their intervals, one panel an attribute; empty sides are left out."""
    named = who.titles
    board = canvas(3, rows=2, height=5.0)
    totals = who.table[who.table["by"] == "field"].groupby("side", sort=False)["mean"].sum()
    shown = [side for side in SIDES if totals[side] >= LEAST]
    words = {SIDES[0]: f"Only under {named[0]}", SIDES[1]: f"Only under {named[1]}", SIDES[2]: "Under both"}
    for letter, ax, by in zip("abcde", board.axes, BY, strict=False):
        _panel(ax, who.table[who.table["by"] == by], by, {s: f"{words[s]}: {totals[s]:,.0f}" for s in shown})
        ax.set_title(f"{letter}  {TITLES[by]}")
    board.axes[-1].axis("off")
    board.legend()
    years = f"{who.period[0]}-{who.period[1]}"
    said = (
        "Point: share of those who leave, mean over members; line: 90% of members. Prominence and ties are those at "
        "entry, career stage that of leaving. Source: bdsim, by the model."
    )
    said = " ".join(filter(None, [said, digits_sentence(who.engine)]))
    caption(board.figure, f"Who leaves, {years}: {named[0]} against {named[1]}", said)
    alt = f"Who leaves in {years}: " + "; ".join(f"{side} {totals[side]:,.0f}" for side in SIDES)
    return Drawing(f"who-{who.scenario}", board.figure, who.table, alt)


def _panel(ax: Axes, table: pd.DataFrame, by: str, words: Mapping[str, str]) -> None:
    """One attribute: a row a label, a mark a side."""
    labels, table = BY[by], table[table["side"].isin(list(words))]
    at = np.arange(len(labels))[::-1]
    for offset, side in zip(np.linspace(0.18, -0.18, len(words)), words, strict=True):
        rows = table[table["side"] == side]
        colour, mark = MARKS[side]
        ax.hlines(at + offset, rows["share_p05"], rows["share_p95"], color=colour, lw=1.1)
        ax.plot(rows["share"], at + offset, mark, color=colour, ms=3.6, ls="none", label=words[side])
    ax.set_yticks(at, [SHORT.get(label, label) for label in labels], fontsize=7)
    ax.set_ylim(-0.6, len(labels) - 0.4)
    ax.set_xlim(0.0, max(0.2, 1.05 * float(table[["share", "share_p95"]].max().max())))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(visible=True, axis="both")
