"""What figures over years share: panels under one legend, yearly counts as steps, policies as named spans.

A count belongs to its whole year, so it is drawn from 1 January to 31 December: no line rises before its year.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure, SubFigure
from matplotlib.patheffects import Stroke, withStroke

from bdsim.reporting.style import COLOURS, DASHES, REFERENCE, tip, year_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bdsim.model.categories import Floats
    from bdsim.runs.results import Results
    from bdsim.study.evidence import Coverage

__all__ = [
    "WIDTH",
    "Canvas",
    "canvas",
    "centred",
    "colour_of",
    "dash_of",
    "decimal",
    "lines",
    "named_spans",
    "points",
    "steps",
    "time_axis",
    "ways",
]

WIDTH = 7.2  # inches: both columns of a journal's page
BAND = 0.14  # how opaque a band is: three of them over each other leave a line readable
HALO: list[Any] = [withStroke(linewidth=2.8, foreground="white")]
SPAN, SPAN_NAME = "#f0e9d2", "#6f5f2a"
SLIVER = 0.03  # of the axis: a span of which less is seen has no name
LETTER, ROW = 0.044, 0.078  # of a policy's name: inches a letter, share of the panel's height a line
GAP = 0.06  # inches between two names in a row
MOST_ROWS = 5  # of names: more would leave the data half of the panel


@dataclass(frozen=True)
class Canvas:
    """A figure, the part of it between title and source, and its panels."""

    figure: Figure
    inner: SubFigure
    axes: list[Axes]

    def legend(self) -> None:
        """One legend above all panels: every name once."""
        named: dict[str, Any] = {}
        for ax in self.axes:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                named.setdefault(label, handle)
        if not named:
            return
        each = 0.62 + 0.062 * max(map(len, named))
        columns = max(1, min(len(named), int(self.figure.get_figwidth() / each)))
        self.inner.legend(named.values(), named.keys(), loc="outside upper left", ncols=columns, handlelength=2.4)


def canvas(columns: int = 1, *, rows: int = 1, height: float = 3.9, share_y: bool = False) -> Canvas:
    """Panels side by side, as wide as a journal's page."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    inner = figure.add_subfigure(figure.add_gridspec(1, 1)[0])
    axes = inner.subplots(rows, columns, squeeze=False, sharey=share_y)
    return Canvas(figure, inner, list(axes.ravel()))


def colour_of(number: int) -> str:
    """The reference (0) is grey; scenarios take the house's colours in turn."""
    return REFERENCE if number == 0 else COLOURS[(number - 1) % len(COLOURS)]


def dash_of(number: int) -> Any:
    """Scenarios differ in dash as well as in colour."""
    return "-" if number == 0 else DASHES[(number - 1) % len(DASHES)]


def steps(ax: Axes, years: Sequence[int], band: Floats, number: int, label: str, since: float | None = None) -> None:
    """A count a year: its centre in its 90% band, each over the whole year.

    `band`: 5%, centre, 95%, shape (3, years). `since`: where within the first year it begins, for a policy that does.
    """
    if not len(years):
        return
    low, middle, high = band
    edges = np.array([*years, years[-1] + 1], np.float64)
    edges[0] = edges[0] if since is None else since
    ax.stairs(high, edges, baseline=low, fill=True, color=colour_of(number), alpha=BAND, lw=0)
    ax.stairs(
        middle, edges, baseline=None, color=colour_of(number), ls=dash_of(number), lw=1.5, label=label,
        path_effects=HALO, zorder=3 + 0.01 * number,
    )  # fmt: skip
    for year, least, value, most in zip(years, low, middle, high, strict=True):
        said = f"{label}, {year}: {_number(value)}" + (f" [{_number(least)}, {_number(most)}]" if most > least else "")
        ax.plot([year + 0.5], [value], "o", ms=7, alpha=0.0, gid=tip(said), zorder=6)  # unseen, but under the mouse


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"


def ways(ax: Axes, years: Sequence[int], each: Sequence[Floats], number: int, since: float | None = None) -> None:
    """A count a year on each way through events, as thin steps where there are several."""
    edges = np.array([*years, years[-1] + 1] if years else [], np.float64)
    edges[:1] = edges[:1] if since is None else since
    for way in each if len(each) > 1 and len(years) else ():
        ax.stairs(way, edges, baseline=None, color=colour_of(number), lw=0.6, alpha=0.8, zorder=2.5)


def centred(band: Floats, line: Floats) -> Floats:
    """A band of 5%, 50% and 95% with another line in its middle."""
    return np.stack([band[0], line, band[2]])


def lines(ax: Axes, when: Sequence[float] | Floats, band: Floats, number: int, label: str) -> None:
    """What is added up until a moment: a line in its 90% band."""
    low, middle, high = band
    ax.fill_between(when, low, high, color=colour_of(number), alpha=BAND, lw=0)
    ax.plot(
        when, middle, color=colour_of(number), ls=dash_of(number), lw=1.5, label=label,
        path_effects=[Stroke(linewidth=2.8, foreground="white"), *HALO],
    )  # fmt: skip


def points(ax: Axes, years: Sequence[int], values: Any, label: str, *, hollow: bool = False) -> None:
    """Observed values, at the middle of their years; hollow where they were rescaled."""
    fill = "white" if hollow else "black"
    ax.plot(
        np.array(years) + 0.5, values, "o", mfc=fill, mec="black", mew=0.7, ms=3.2, ls="none", label=label, zorder=5
    )


def time_axis(
    ax: Axes, runs: Sequence[Results], panels: int, first: int | None = None, *,
    known: Coverage | None = None, raised: bool = False,
) -> None:  # fmt: skip
    """Years, thousands with commas, policies as named spans, and the end of the observed series.

    `known`: what the data cover, where they are drawn. `raised`: a panel that shares its scale has made room for the
    names already.
    """
    last = runs[0].years[-1] + 1
    ax.set_xlim(first if first is not None else runs[0].years[0], last)
    year_axis(ax)
    named_spans(ax, policies_of(runs), (WIDTH - 0.5) / panels - 0.45, raised=raised)
    if known is not None and last > known.departures.last + 2 and ax.get_xlim()[0] < known.departures.last:
        end = known.departures.last + 1
        ax.axvline(end, ymax=0.85, color="#999999", lw=0.9, ls=":", zorder=1)
        ax.annotate(
            f"no departure\ndata after {known.departures.last}", (end, 0.015), xycoords=("data", "axes fraction"),
            xytext=(3, 0), textcoords="offset points", fontsize=6, color="#555555", va="bottom",
        )  # fmt: skip


def policies_of(runs: Iterable[Results]) -> dict[tuple[float, float], str]:
    """Begin and end of every scrutiny policy of the runs, in years, with its name."""
    found = {}
    for results in runs:
        for policy in results.manifest["scenario"]["policy"]:
            found[decimal(policy["from"]), decimal(policy["until"])] = str(policy["name"])
    return found


def named_spans(ax: Axes, spans: dict[tuple[float, float], str], inches: float, *, raised: bool = False) -> None:
    """Shade each span; above, in as many rows as keep them apart, a bar over its years with its name below the bar.

    A name begins or ends where its bar does, so that it cannot be taken for another's. Where there are too many, the
    last ones are counted and not named. `inches`: the panel's width.
    """
    first, last = ax.get_xlim()
    cut = ((max(a, first), min(b, last), name) for (a, b), name in spans.items())
    shown = sorted(span for span in cut if span[1] - span[0] > SLIVER * (last - first))
    if not shown:
        return
    year = inches / (last - first)
    ends: list[float] = []  # of each row: what is taken of it
    placed, unnamed = [], 0
    for begin, end, name in shown:
        ax.axvspan(begin, end, color=SPAN, alpha=0.6, lw=0, zorder=0)
        to_right = begin + LETTER * len(name) / year <= last or last - begin >= end - first
        room = (last - begin if to_right else end - first) * year
        written = textwrap.wrap(name, max(6, int(room / LETTER))) or [name]
        wide = LETTER * max(map(len, written)) / year
        left, right = (begin, max(end, begin + wide)) if to_right else (min(begin, end - wide), end)
        height = len(written)
        row = next(r for r in range(len(ends) + 1) if all(taken <= left for taken in ends[r : r + height]))
        if row + height > MOST_ROWS:
            unnamed += 1
            continue
        ends[row : row + height] = [right + GAP / year] * height
        placed.append((begin, end, row, "\n".join(written), to_right))
    if unnamed:
        placed.append((first, first, len(ends), f"and {unnamed} more, shaded", True))
        ends.append(last)
    low, high = ax.get_ylim()
    if not raised:
        ax.set_ylim(low, low + (high - low) / (1.0 - ROW * len(ends) - 0.01))
    above = ax.get_xaxis_transform()
    for begin, end, row, text, to_right in placed:
        top = 0.99 - ROW * row
        ax.plot([begin, end], [top, top], transform=above, color=SPAN_NAME, lw=1.6, solid_capstyle="butt")
        x, side = (begin, "left") if to_right else (end, "right")
        ax.text(x, top - 0.014, text, transform=above, fontsize=6, color=SPAN_NAME, va="top", ha=side, linespacing=1.1)


def decimal(date: str) -> float:
    """A date as a number of years: 2025-07-02 as 2025.5."""
    stamp = pd.Timestamp(date)
    return float(stamp.year + (stamp.day_of_year - 1) / 365.25)
