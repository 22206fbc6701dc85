"""Figures of why: shares by cause, break-even, what matters most, regret. Each with the numbers in it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bdsim.analysis.attribution import TOTAL, Attribution
from bdsim.analysis.breakeven import NEUTRAL, BreakEven
from bdsim.model.world import TABLES
from bdsim.reporting.figures.canvas import WIDTH, canvas
from bdsim.reporting.names import capital
from bdsim.reporting.questions import reach_text
from bdsim.reporting.sentences import interval, percent, signed
from bdsim.reporting.style import COLOURS, REFERENCE, VERDICTS, Drawing, caption, styled
from bdsim.runs.statistics import interval as spread

if TYPE_CHECKING:
    from bdsim.analysis.futures.regret import Regret
    from bdsim.analysis.sensitivity import Sensitivity
    from bdsim.runs.plan import Job

__all__ = ["draw_attribution", "draw_break_even", "draw_regret", "draw_tornado"]

THOUSANDS = FuncFormatter(lambda x, _: f"{x:,.0f}")
MOST_BARS = 14
LEAST = 0.002  # of the longest bar: less would not be seen
ONE_WAY = 0.8  # |mean effect| / mean absolute effect: below it an input raises the number here and lowers it there
FACTORS = (0.1, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0)
WAY_COLOURS = {"raises it": COLOURS[0], "lowers it": COLOURS[1], "either way": COLOURS[4], "": COLOURS[0]}
WAYS = {"multiply": "times what it is", "add": "added to what it is", "set": "set to"}


def _source(job: Job) -> str:
    """Where the numbers come from: runs at the scale of this one."""
    k = job.settings.researchers_per_agent
    people = f"{k:,} researchers" if k > 1 else "one researcher"
    return f"Source: bdsim, expected runs of the model on posterior draws; one agent stands for {people}."


@styled
def draw_attribution(found: Attribution, job: Job) -> Drawing:
    """Shares in researchers with their intervals, zero line, causes from the top."""
    table = found.table()
    figure = Figure(figsize=(WIDTH, 0.34 * len(table) + 1.7), layout="constrained")
    ax = figure.subplots()
    at = np.arange(len(table))[::-1]
    colours = [REFERENCE if cause == TOTAL else COLOURS[0] for cause in table["cause"]]
    ax.barh(at, table["mean"], color=colours, height=0.6)
    ax.hlines(at, table["p05"], table["p95"], color="black", lw=1.1)
    beside = ax.get_yaxis_transform()
    for y, row in zip(at, table.itertuples(), strict=True):
        text = f"{signed(row.mean)} {interval(row.p05, row.p95, signed)}, {percent(row.share)}" if row.mean else "0"
        ax.text(1.02, y, text, transform=beside, va="center", fontsize=7.5)
    ax.axvline(0.0, color="black", lw=0.8)
    ax.set_yticks(at, [capital(cause) for cause in table["cause"]])
    ax.xaxis.set_major_formatter(THOUSANDS)
    ax.margins(x=0.06)
    ax.set_xlabel("Researchers")
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    said = (
        f"Bar: mean over {len(found.total)} posterior draws; line: 90% of draws; at the right both, and the share of "
        "the total. Shapley shares add up to the total. Shares of the model, not measured effects."
    )
    caption(figure, capital(found.of), f"{said} {_source(job)}")
    alt = f"{found.of}: " + "; ".join(f"{r.cause} {signed(r.mean)}" for r in table.itertuples())
    return Drawing("attribution", figure, table, alt)


@styled
def draw_break_even(found: BreakEven, job: Job) -> Drawing:
    """The response to the lever with its band, the goal, and where they meet."""
    table, turned, goal = found.table(), found.turned, found.goal
    board = canvas()
    (ax,) = board.axes
    ax.fill_between(table["value"], table["p05"], table["p95"], color=COLOURS[0], alpha=0.2, lw=0, label="90% of draws")
    ax.plot(table["value"], table["median"], color=COLOURS[0], label="Median")
    words = f"Goal: {goal.number:,.0f} at {'most' if goal.under else 'least'}"
    ax.axhline(goal.number, color="black", lw=1.2, ls="--", label=words)
    low, median, high = found.interval()
    middle, band = reach_text(found)
    label = f"Goal just met: {middle} {band}"
    if not np.isnan(low) and found.reachable:
        ends, beyond = (max(low, turned.low), min(high, turned.high)), not np.isfinite(median)
        ax.axvspan(*ends, color=COLOURS[1], alpha=0.16, lw=0, label=label if beyond else None)
    if np.isfinite(median):
        ax.axvline(median, color=COLOURS[1], lw=1.4, label=label)
    neutral = NEUTRAL[turned.how]
    if neutral is not None:
        ax.axvline(neutral, color=REFERENCE, lw=1.0, ls=":", label="No change")
    if turned.how == "multiply":
        _factor_axis(ax, turned.low, turned.high)
    name = TABLES[turned.table]
    unit = "" if turned.how == "multiply" else f" ({name.unit})"
    ax.set_xlim(turned.low, turned.high)
    ax.set_xlabel(f"{capital(name.meaning)}, {turned.years[0]}-{turned.years[1]}: {WAYS[turned.how]}{unit}")
    ax.set_ylabel(textwrap.fill(capital(goal.quantity.meaning), 30))
    ax.yaxis.set_major_formatter(THOUSANDS)
    top = max(table["p95"].iloc[len(table) // 2], goal.number) * 2.5
    ax.set_ylim(0.0, min(table["p95"].max() * 1.05, top))
    board.legend()
    reach = (
        f"In {found.reachable:.0%} of draws a value within the range just meets the goal, in {found.throughout:.0%} "
        f"each meets it, in {max(0.0, 1.0 - found.reachable - found.throughout):.0%} none."
    )
    title = f"How far {name.meaning.split(',')[0]} would have to go, by the model"
    caption(board.figure, title, f"{reach} {_source(job)}")
    met = f"{middle}, 90% {band}" if found.reachable else "in none of the draws"
    alt = f"Break-even of {turned.table} for {goal}: {met}"
    return Drawing("breakeven", board.figure, table, alt)


def _factor_axis(ax: Axes, low: float, high: float) -> None:
    """Factors as one says them: a half, the same, twice; on a logarithmic scale unless it begins at 0."""
    if low > 0.0:
        ax.set_xscale("log")
        shown = [f for f in FACTORS if low <= f <= high]
        if len(shown) >= 3:
            ax.xaxis.set_major_locator(FixedLocator(shown))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}\u00d7"))


@styled
def draw_tornado(found: Sensitivity, job: Job) -> Drawing:
    """The inputs that matter most, from the top: which way they move the number, and whether the data tell them.

    `job`: the run whose parameters give the names, and whose fit says what the data tell.
    """
    table = found.table[found.table["index"] > LEAST * found.table["index"].max()].head(MOST_BARS)
    verdicts = dict(zip(job.fit.table["parameter"], job.fit.table["verdict"], strict=True)) if job.fit else {}
    figure = Figure(figsize=(WIDTH, 0.27 * len(table) + 1.9), layout="constrained")
    inner = figure.add_subfigure(figure.add_gridspec(1, 1)[0])
    ax = inner.subplots()
    at = np.arange(len(table))[::-1]
    ways = [_way(row, found.method) for _, row in table.iterrows()]
    sign = np.array([-1.0 if way == "lowers it" else 1.0 for way in ways])
    ax.barh(at, sign * table["index"], color=[WAY_COLOURS[way] for way in ways], height=0.62)
    ax.errorbar(sign * table["index"], at, xerr=table["conf"], fmt="none", ecolor="black", elinewidth=1.0)
    beside = ax.get_yaxis_transform()
    for y, row in zip(at, table.itertuples(), strict=True):
        told = f", {VERDICTS[verdicts[row.input]][0].lower()}" if row.input in verdicts else ""
        ax.text(1.02, y, f"{row.low:.3g} to {row.high:.3g}{told}", transform=beside, va="center", fontsize=7)
    head = "Range" + (", and how it is known" if verdicts else "")
    ax.text(1.02, len(table) - 0.45, head, transform=beside, va="bottom", fontsize=7, fontweight="bold")
    ax.set_yticks(at, [_named(name, job) for name in table["input"]], fontsize=7.5)
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.axvline(0.0, color="black", lw=0.8)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    for way in dict.fromkeys(ways):
        ax.barh(
            [0],
            [0],
            color=WAY_COLOURS[way],
            label=f"More of it {way}" if way != "either way" else "More of it does either",
        )
    if found.method == "morris":
        ax.set_xlabel("Mean absolute effect of going through the range, researchers; to the left where it lowers")
        ax.xaxis.set_major_formatter(THOUSANDS)
        inner.legend(loc="outside upper left", ncols=3)
    else:
        ax.set_xlabel("Total Sobol' index: share of the variance, interactions included")
    said = f"{found.evaluations} runs; black: 90% bootstrap intervals; inputs vary independently over their ranges."
    caption(figure, f"{found.of}: what matters for {found.quantity.meaning}", f"{said} {_source(job)}")
    ranked = zip(table["input"], table["index"], strict=True)
    alt = f"Sensitivity of {found.quantity}: " + "; ".join(f"{name} {index:.3g}" for name, index in ranked)
    return Drawing("sensitivity", figure, found.table, alt)


def _way(row: pd.Series, method: str) -> str:
    """Whether more of an input raises or lowers the number; empty where the method does not tell."""
    if method != "morris":
        return ""
    if abs(row["mean"]) < ONE_WAY * row["index"]:
        return "either way"
    return "raises it" if row["mean"] > 0 else "lowers it"


def _named(name: str, job: Job) -> str:
    """A parameter or a lever in plain words, on two lines where it is long."""
    if name.startswith("lever "):
        plain = f"{capital(TABLES[name.removeprefix('lever ')].meaning)}, times"
    else:
        plain = job.parameters.label(name)
    return textwrap.fill(plain, 40)


@styled
def draw_regret(found: Regret, job: Job) -> Drawing:
    """Mean regret of every policy in every future as a shaded table."""
    mean = found.regret.mean(axis=0)
    width = min(WIDTH, 2.6 + 1.7 * len(found.futures))
    figure = Figure(figsize=(max(width, 5.0), 1.8 + 0.5 * len(found.policies)), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(mean, cmap="Blues", aspect="auto", vmin=0.0, vmax=max(float(mean.max()), 1.0))
    for p in range(len(found.policies)):
        for f in range(len(found.futures)):
            dark = mean[p, f] > 0.55 * mean.max()
            low, high = spread(found.regret[:, p, f], (0.05, 0.95))
            text = f"{mean[p, f]:,.0f}" + ("" if np.isnan(low) else f"\n[{low:,.0f}, {high:,.0f}]")
            ax.text(f, p, text, ha="center", va="center", fontsize=7.5, color="white" if dark else "black")
    room = max(10, int(60 / len(found.futures)))
    ax.set_xticks(
        range(len(found.futures)), [textwrap.fill(f"If: {name}", room) for name in found.futures], fontsize=7.5
    )
    ax.set_yticks(range(len(found.policies)), [textwrap.fill(name, 24) for name in found.policies])
    ax.grid(visible=False)
    figure.colorbar(image, ax=ax, label="Regret, researchers", format=THOUSANDS)
    said = "Regret: what a policy misses against the best of them in that future; mean and 90% of posterior draws."
    caption(figure, f"Regret by policy and future: {found.quantity.meaning}", f"{said} {_source(job)}")
    table = found.table()
    alt = "Greatest regret: " + "; ".join(f"{r.policy} {r.greatest_regret:,.0f}" for r in found.worst().itertuples())
    return Drawing("regret", figure, table, alt)
