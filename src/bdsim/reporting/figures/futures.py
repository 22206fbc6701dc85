"""Figures of uncertain futures: boxes and scores. Each with the numbers in it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from bdsim.analysis.breakeven import NEUTRAL, Turned
from bdsim.model.world import TABLES
from bdsim.reporting.names import NAMES
from bdsim.reporting.style import COLOURS, DASHES, REFERENCE, Drawing, caption, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    from bdsim.analysis.futures.boxes import Box, Limit
    from bdsim.analysis.futures.discover import Discovery
    from bdsim.analysis.futures.robust import Robust
    from bdsim.analysis.futures.sweep import Sweep

__all__ = ["draw_discovery", "draw_robust", "draw_scores", "draw_sweep"]

THOUSANDS = FuncFormatter(lambda x, _: f"{x:,.0f}")
MOST_BARS = 10
SOURCE = "Source: bdsim, members of one run, weighted by their chance."


@styled
def draw_discovery(found: Discovery) -> Drawing:
    """The limits of every box on the range of its inputs; below, members by the two that matter most."""
    limits = [(number, box, limit) for number, box in enumerate(found.boxes) for limit in box.limits]
    plane = _plane(found)
    height = 0.6 * len(limits)
    figure = Figure(figsize=(7.2, height + 1.7 + (3.4 if plane else 0.0)), layout="constrained")
    if plane:
        top, below = figure.subplots(2, 1, height_ratios=(height + 0.4, 3.4))
        _draw_members(below, found, plane)
    else:
        top = figure.subplots()
    _draw_limits(top, found, limits)
    said = (
        "Thick: where the box lies in the range of each input. Coverage: share of the futures in question that lie in "
        "the box; density: share of the box that is in question. Quasi-p: the chance that a limit means nothing."
    )
    said = f"{found.title}. {said if found.boxes else ''} {SOURCE}"
    caption(figure, f"What must be true for {found.threshold.meaning}", " ".join(said.split()))
    return Drawing("discover", figure, found.table(), " ".join(found.sentences()))


@styled
def draw_scores(found: Discovery) -> Drawing:
    """The inputs that explain most of the quantity by themselves."""
    table = found.scores.head(MOST_BARS)
    figure = Figure(figsize=(7.2, 0.32 * len(table) + 1.5), layout="constrained")
    ax = figure.subplots()
    at = np.arange(len(table))[::-1]
    ax.barh(at, table["share"], color=COLOURS[0], height=0.62)
    for y, share in zip(at, table["share"], strict=True):
        ax.annotate(f"{share:.0%}", (share, y), (4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(at, [found.named(name) for name in table["input"]], fontsize=8)
    ax.set_xlim(0.0, max(1.15 * float(table["share"].max()), 0.02))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    ax.set_xlabel("Share of the variance that the input explains by itself")
    ax.grid(visible=False, axis="y")
    caption(
        figure,
        f"{found.title}: what {found.threshold.quantity.meaning} vary with",
        f"Inputs that hang together share what they explain. {SOURCE}",
    )
    alt = "; ".join(f"{found.named(str(r.input))} {r.share:.0%}" for r in table.itertuples())
    return Drawing("scores", figure, found.scores, f"Shares of the variance of {found.threshold.quantity}: {alt}")


@styled
def draw_sweep(found: Sweep) -> Drawing:
    """A curve with its band over one lever, or contours of the mean over two."""
    table, names = found.table(), [axis.table for axis in found.axes]
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    ax = figure.subplots()
    meaning = found.quantity.meaning[:1].upper() + found.quantity.meaning[1:]
    if len(names) == 1:
        ax.fill_between(table[names[0]], table["p05"], table["p95"], color=COLOURS[0], alpha=0.22, lw=0)
        ax.plot(table[names[0]], table["mean"], color=COLOURS[0], marker="o", ms=3.5)
        ax.set_ylabel(meaning, fontsize=8)
        ax.yaxis.set_major_formatter(THOUSANDS)
        said = (
            f"Line: mean of {len(found.values)} posterior draws; band: 90% of them."
            if len(found.values) > 1
            else "One draw: how sure this is, is unknown."
        )
    else:
        mean = found.values.mean(axis=0).T
        areas = ax.contourf(*found.grids, mean, levels=9, cmap="Blues")
        if np.ptp(mean) > 0.0:
            lines = ax.contour(*found.grids, mean, levels=areas.levels, colors="black", linewidths=0.7)
            _keep_inside(ax, ax.clabel(lines, fmt=THOUSANDS, fontsize=7.5))
        figure.colorbar(areas, ax=ax, format=THOUSANDS).set_label(meaning, fontsize=8)
        ax.set_ylabel(_axis_label(found.axes[1]))
        ax.grid(visible=False)
        said = f"Contours: mean of {len(found.values)} posterior draws, researchers."
    ax.set_xlabel(_axis_label(found.axes[0]))
    neutral = [NEUTRAL[axis.how] for axis in found.axes]
    if neutral[0] is not None and found.axes[0].low <= neutral[0] <= found.axes[0].high:
        ax.axvline(neutral[0], color=REFERENCE, lw=1.0, ls=":")
        said += " Dotted: no change."
    caption(figure, f"{found.title}: {found.quantity.meaning}", f"{said} Source: bdsim, expected runs of the model.")
    least, most = table.loc[table["mean"].idxmin()], table.loc[table["mean"].idxmax()]
    ends = [", ".join(f"{name} {row[name]:.3g}" for name in names) for row in (least, most)]
    alt = f"{found.quantity}: from {least['mean']:,.0f} ({ends[0]}) to {most['mean']:,.0f} ({ends[1]})"
    return Drawing("sweep", figure, table, alt)


@styled
def draw_robust(found: Robust) -> Drawing:
    """For each policy how regret is distributed over the futures: the share of futures in which it is at most so."""
    table = found.table()
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    ax = figure.subplots()
    regret, most = found.regret, float(found.regret.max())
    for number, policy in enumerate(table["policy"]):
        column = regret[:, found.policies.index(policy)]
        order = np.argsort(column, kind="stable")
        share = np.cumsum(found.weights[order]) / found.weights.sum()
        across = np.concatenate([[0.0], column[order], [most]])
        ax.step(across, np.concatenate([[0.0], share, [1.0]]), where="post",
                color=COLOURS[number % len(COLOURS)], ls=DASHES[number % len(DASHES)], label=policy)  # fmt: skip
    ax.set_xlabel("Regret, researchers")
    ax.set_ylabel("Share of futures with at most this regret")
    ax.xaxis.set_major_formatter(THOUSANDS)
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    ax.set_ylim(0.0, 1.02)
    ax.legend(loc="lower right")
    said = "Regret: what a policy misses against the best of them in the same future. Higher lines are better."
    caption(
        figure,
        f"Policies in sampled futures: {found.quantity.meaning}",
        f"{said} Source: bdsim, expected runs of the model.",
    )
    alt = "; ".join(f"{r.policy}: mean regret {r.regret:,.0f}, best in {r.best:.0%}" for r in table.itertuples())
    return Drawing("robust", figure, table, alt)


def _keep_inside(ax: Axes, labels: Sequence[Text]) -> None:
    """Numbers on contours that would be cut off by the edge are left to the scale beside."""
    for label in labels:
        across, up = ax.transAxes.inverted().transform(ax.transData.transform(label.get_position()))
        if not (0.06 < across < 0.94 and 0.05 < up < 0.95):
            label.set_visible(False)


def _axis_label(axis: Turned) -> str:
    first, last = axis.years
    done = {"multiply": "multiplied by", "add": "plus", "set": "set to"}[axis.how]
    unit = "" if axis.how == "multiply" else f"\n({TABLES[axis.table].unit})"
    return f"{NAMES[axis.table]} {done}, {first}-{last}{unit}"


def _draw_limits(ax: Axes, found: Discovery, limits: list[tuple[int, Box, Limit]]) -> None:
    at = np.arange(len(limits))[::-1]
    for y, (number, _, limit) in zip(at, limits, strict=True):
        colour = COLOURS[number % len(COLOURS)]
        ax.plot((0.0, 1.0), (y, y), color=REFERENCE, lw=1.0)
        ax.plot(_thick(found, limit), (y, y), color=colour, lw=6.0, solid_capstyle="butt")
        text = f"{found.said(limit)} (quasi-p {limit.quasi_p:.1g}; again in {limit.found_again:.0%} of halves)"
        ax.annotate(text, (0.0, y), (0, 7), textcoords="offset points", fontsize=7.5)
        for end, said, side in zip((0.0, 1.0), _range(found, limit), ("left", "right"), strict=True):
            ax.annotate(said, (end, y), (0, -12), textcoords="offset points", fontsize=7, ha=side, color=REFERENCE)
    names = [f"Box {number + 1}: {found.named(limit.input)}" for number, _, limit in limits]
    ax.set_yticks(at, names, fontsize=8)
    ax.set_ylim(-0.6, len(limits) - 0.1)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(left=False)
    ax.grid(visible=False)
    titles = [
        f"Box {n}: coverage {b.coverage:.0%}, density {b.density:.0%} ({b.held_out:.0%} on other halves)"
        for n, b in enumerate(found.boxes, start=1)
    ]
    said = "\n".join(titles) or textwrap.fill(found.sentences()[0], 100)
    ax.set_title(said, fontsize=8, fontweight="normal")


def _thick(found: Discovery, limit: Limit) -> tuple[float, float]:
    """Which part of the input's range the limit leaves, both ends in [0, 1]; of categories, how many."""
    values = found.sample.inputs[limit.input]
    if limit.side == "not":
        return 0.0, 1.0 - len(limit.excluded) / len(np.unique(values))
    low, high = float(values.min()), float(values.max())
    edge = (limit.value - low) / (high - low)
    return (edge, 1.0) if limit.side == "above" else (0.0, edge)


def _range(found: Discovery, limit: Limit) -> tuple[str, str]:
    """What stands at the ends of the input's range."""
    values = found.sample.inputs[limit.input]
    if limit.side == "not":
        ways = len(np.unique(values))
        return f"{ways - len(limit.excluded)} of {ways} ways to end", ""
    return f"{values.min():,.4g}", f"{values.max():,.4g}"


def _plane(found: Discovery) -> list[str]:
    """The two numeric inputs of the first box whose limits are surest; fewer than two give none."""
    numeric = [v for box in found.boxes[:1] for v in sorted(box.limits, key=lambda v: v.quasi_p) if v.side != "not"]
    names = list(dict.fromkeys(v.input for v in numeric))
    others = [n for n in found.scores["input"] if found.sample.inputs[n].dtype.kind == "f" and n not in names]
    return [*names, *others][:2] if names and len(names) + len(others) > 1 else []


def _draw_members(ax: Axes, found: Discovery, plane: list[str]) -> None:
    across, up = (found.sample.inputs[name] for name in plane)
    hit = found.sample.of_interest
    area = 8.0 + 24.0 * found.sample.weights / found.sample.weights.max()
    ax.scatter(across[~hit], up[~hit], s=area[~hit], facecolors="none", edgecolors=REFERENCE, lw=0.6, label="not")
    label = "above" if found.threshold.above else "below"
    ax.scatter(across[hit], up[hit], s=area[hit], color=COLOURS[1], alpha=0.75, lw=0, label=label)
    for number, box in enumerate(found.boxes):
        (x0, x1), (y0, y1) = (_ends(box, name, found) for name in plane)
        edge = COLOURS[number % len(COLOURS)]
        ax.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=edge, lw=1.8, label=f"Box {number + 1}")
        )
    ax.set_xlabel(found.named(plane[0]))
    ax.set_ylabel(found.named(plane[1]))
    ax.margins(0.03)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=2 + len(found.boxes))


def _ends(box: Box, name: str, found: Discovery) -> tuple[float, float]:
    """The box's ends along one input, the input's own where the box does not limit it."""
    values = found.sample.inputs[name]
    sides = {v.side: v.value for v in box.limits if v.input == name}
    return sides.get("above", float(values.min())), sides.get("below", float(values.max()))
