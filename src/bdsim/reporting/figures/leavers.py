"""The figure of who leaves: those whom a scenario changes beside those who leave under both worlds."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bdsim.analysis.leavers import BY, SIDES, Who
from bdsim.reporting.style import COLOURS, NAMES, REFERENCE, Drawing, caption, styled

__all__ = ["draw_who"]

TITLES = {
    "field": "Field",
    "stage": "Career stage",
    "route": "Route",
    "prominence": "Prominence",
    "ties": "Ties to China",
}
SHORT = {"engineering_cs": "Engineering, CS", "math_physical": "Maths, physical", "life": "Life sciences",
         "early": "Early (0-5 years)", "mid": "Mid (6-14)", "senior": "Senior (15+)"}  # fmt: skip
MARKS = {SIDES[0]: (COLOURS[1], "o"), SIDES[1]: (COLOURS[2], "s"), SIDES[2]: (REFERENCE, "D")}


@styled
def draw_who(who: Who) -> Drawing:
    """Shares of each side by attribute, one panel an attribute; sides without anybody are left out."""
    figure = Figure(figsize=(10.5, 5.4), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    totals = who.table[who.table["by"] == "field"].groupby("side", sort=False)["mean"].sum()
    shown = [side for side in SIDES if totals[side] >= 0.5]
    for letter, ax, (by, labels) in zip("abcde", panels, BY.items(), strict=False):
        at = np.arange(len(labels))[::-1]
        for offset, side in zip(np.linspace(0.16, -0.16, len(shown)), shown, strict=True):
            rows = who.table[(who.table["by"] == by) & (who.table["side"] == side)]
            colour, mark = MARKS[side]
            ax.plot(rows["share"], at + offset, mark, color=colour, ms=5, label=side[:1].upper() + side[1:])
        ax.set_yticks(at, [SHORT.get(label, NAMES.get(label, label)) for label in labels], fontsize=8)
        ax.set_ylim(-0.6, len(labels) - 0.4)
        ax.set_xlim(0.0, max(0.2, 1.12 * float(who.table[who.table["by"] == by]["share"].max())))
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        ax.grid(visible=True, axis="both")
        ax.set_title(f"{letter}  {TITLES[by]}")
    panels[-1].axis("off")
    handles, names = panels[0].get_legend_handles_labels()
    counted = [f"{name}: {totals[side]:,.0f} researchers" for name, side in zip(names, shown, strict=True)]
    panels[-1].legend(handles, counted, loc="center left", title="Leaves", alignment="left")
    years = f"{who.period[0]}-{who.period[1]}"
    said = "Points: share of each group, mean over members; intervals in who.csv. Prominence, ties: at entry."
    caption(figure, f"Who leaves, {years}: {who.scenario} and {who.reference}", f"{said} Source: bdsim, by the model.")
    alt = f"Who leaves in {years}: " + "; ".join(f"{side} {totals[side]:,.0f}" for side in SIDES)
    return Drawing(f"who-{who.scenario}", figure, who.table, alt)
