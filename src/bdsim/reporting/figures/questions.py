"""Figures of why: shares by cause, break-even, tornado, regret. Each with the numbers in it."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from bdsim.analysis.attribution import TOTAL, Attribution
from bdsim.analysis.breakeven import NEUTRAL, BreakEven
from bdsim.analysis.regret import Regret
from bdsim.analysis.sensitivity import Sensitivity
from bdsim.model.world import TABLES
from bdsim.reporting.style import COLOURS, REFERENCE, Drawing, caption, styled

__all__ = ["draw_attribution", "draw_break_even", "draw_regret", "draw_tornado"]

SOURCE = "Source: bdsim, expected runs of the model on posterior draws."
THOUSANDS = FuncFormatter(lambda x, _: f"{x:,.0f}")
MOST_BARS = 14
LEAST = 0.002  # of the longest bar: less would not be seen


@styled
def draw_attribution(found: Attribution) -> Drawing:
    """Shares in researchers with their intervals, zero line, causes from the top."""
    table = found.table()
    figure = Figure(figsize=(7.2, 0.42 * len(table) + 1.9), layout="constrained")
    ax = figure.subplots()
    at = np.arange(len(table))[::-1]
    colours = [REFERENCE if cause == TOTAL else COLOURS[0] for cause in table["cause"]]
    ax.barh(at, table["mean"], color=colours, height=0.62)
    ax.hlines(at, table["p05"], table["p95"], color="black", lw=1.2)
    for y, row in zip(at, table.itertuples(), strict=True):
        text = f"{row.mean:+,.0f} ({row.share:.0%})"
        ax.annotate(text, (max(row.p95, row.mean, 0.0), y), (5, 0), textcoords="offset points", va="center", fontsize=8)
    ax.axvline(0.0, color="black", lw=0.8)
    ax.set_yticks(at, list(table["cause"]))
    ax.xaxis.set_major_formatter(THOUSANDS)
    ax.margins(x=0.22)
    ax.set_xlabel("Researchers")
    ax.grid(visible=False, axis="y")
    said = (
        f"Bars: mean over {len(found.total)} posterior draws; lines: 90% of draws; Shapley shares add up to the total."
    )
    caption(figure, found.of[:1].upper() + found.of[1:], f"{said} Shares of the model, not measured effects. {SOURCE}")
    alt = f"{found.of}: " + "; ".join(f"{r.cause} {r.mean:+,.0f}" for r in table.itertuples())
    return Drawing("attribution", figure, table, alt)


@styled
def draw_break_even(found: BreakEven) -> Drawing:
    """The response to the lever with its band, the goal, and where they meet."""
    table = found.table()
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    ax = figure.subplots()
    ax.fill_between(
        table["value"], table["p05"], table["p95"], color=COLOURS[0], alpha=0.22, lw=0, label="90% of draws"
    )
    ax.plot(table["value"], table["median"], color=COLOURS[0], label="Median")
    ax.axhline(found.goal.number, color=COLOURS[1], lw=1.4, label=f"Goal: {found.goal.number:,.0f}")
    low, median, high = found.interval()
    if np.isfinite(median):
        ax.axvspan(low, high, color=COLOURS[1], alpha=0.14, lw=0, label="Break-even, 90% of draws that reach it")
        ax.axvline(median, color=COLOURS[1], lw=1.2, ls="--", label=f"Break-even, median {median:.3g}")
    neutral = NEUTRAL[found.turned.how]
    if neutral is not None:
        ax.axvline(neutral, color=REFERENCE, lw=1.0, ls=":", label="No change")
    if found.turned.how == "multiply" and found.turned.low > 0.0:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    first, last = found.turned.years
    ax.set_xlabel(f"{found.turned.table}, {found.turned.how} by, {first}-{last} ({TABLES[found.turned.table].unit})")
    ax.set_ylabel(found.goal.quantity.meaning[:1].upper() + found.goal.quantity.meaning[1:])
    ax.yaxis.label.set_fontsize(8)
    ax.yaxis.set_major_formatter(THOUSANDS)
    top = max(table["p95"].iloc[len(table) // 2], found.goal.number) * 2.5
    ax.set_ylim(0.0, min(table["p95"].max() * 1.05, top))
    ax.legend(loc="best")
    reach = f"{found.reachable:.0%} of draws reach the goal within the range."
    caption(figure, f"What {found.turned.table} would need, by the model", f"{reach} {SOURCE}")
    alt = f"Break-even of {found.turned.table} for {found.goal}: {median:.3g}, 90% {low:.3g} to {high:.3g}"
    return Drawing("breakeven", figure, table, alt)


@styled
def draw_tornado(found: Sensitivity) -> Drawing:
    """The inputs that matter most, from the top, with bootstrap intervals."""
    table = found.table[found.table["index"] > LEAST * found.table["index"].max()].head(MOST_BARS)
    figure = Figure(figsize=(7.2, 0.34 * len(table) + 1.9), layout="constrained")
    ax = figure.subplots()
    at = np.arange(len(table))[::-1]
    ax.barh(at, table["index"], xerr=table["conf"], color=COLOURS[0], height=0.62, error_kw={"lw": 1.1})
    names = [f"{row.input}  [{row.low:.3g}, {row.high:.3g}]" for row in table.itertuples()]
    ax.set_yticks(at, names, fontsize=8)
    ax.set_xlim(left=0.0)
    ax.grid(visible=False, axis="y")
    if found.method == "morris":
        ax.set_xlabel("Mean absolute elementary effect over the range, researchers")
        ax.xaxis.set_major_formatter(THOUSANDS)
    else:
        ax.set_xlabel("Total Sobol' index: share of the variance, interactions included")
    said = f"{found.evaluations} runs; lines: 90% bootstrap intervals; inputs vary independently over their [ranges]."
    caption(figure, f"{found.of}: what {found.quantity} depends on", f"{said} {SOURCE}")
    ranked = zip(table["input"], table["index"], strict=True)
    alt = f"Sensitivity of {found.quantity}: " + "; ".join(f"{name} {index:.3g}" for name, index in ranked)
    return Drawing("sensitivity", figure, found.table, alt)


@styled
def draw_regret(found: Regret) -> Drawing:
    """Mean regret of every policy in every future as a shaded table."""
    mean = found.regret.mean(axis=0)
    figure = Figure(figsize=(2.6 + 1.7 * len(found.futures), 1.8 + 0.55 * len(found.policies)), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(mean, cmap="Blues", aspect="auto", vmin=0.0, vmax=max(float(mean.max()), 1.0))
    for p in range(len(found.policies)):
        for f in range(len(found.futures)):
            dark = mean[p, f] > 0.55 * mean.max()
            low, high = np.quantile(found.regret[:, p, f], (0.05, 0.95))
            text = f"{mean[p, f]:,.0f}\n[{low:,.0f}, {high:,.0f}]"
            ax.text(f, p, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    ax.set_xticks(range(len(found.futures)), [f"If: {name}" for name in found.futures], fontsize=8)
    ax.set_yticks(range(len(found.policies)), found.policies)
    ax.grid(visible=False)
    figure.colorbar(image, ax=ax, label="Regret, researchers", format=THOUSANDS)
    said = "Regret: what a policy misses against the best of them in that future; mean and 90% of posterior draws."
    caption(figure, f"Regret by policy and future: {found.quantity}", f"{said} {SOURCE}")
    table = found.table()
    alt = "Greatest regret: " + "; ".join(f"{r.policy} {r.greatest_regret:,.0f}" for r in found.worst().itertuples())
    return Drawing("regret", figure, table, alt)
