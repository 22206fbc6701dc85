"""The charts that follow a slider, as SVG written by hand: quick to make, sharp at any size, read out as text.

Colours are those of the figures (house_style): blue and vermilion for the model, grey for the fit, black for facts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import pandas as pd

from bdsim.explore.tune.tuning import Tuned
from bdsim.model.categories import Floats
from bdsim.reporting.style import COLOURS, REFERENCE

__all__ = ["departures_chart", "nice_ticks", "residuals_chart"]

ALL, TO_CHINA = COLOURS[0], COLOURS[1]
WIDTH = 760
FONT = 'font-family="system-ui, DejaVu Sans, Arial, sans-serif"'
FACT_ERROR = 0.05  # log error of a published count (MODEL.md); drawn as a bar


class Plot:
    """A rectangle of a drawing with axes: years or numbers to places, and what is drawn so far."""

    def __init__(self, box: tuple[float, float, float, float], x: tuple[float, float], y: tuple[float, float]) -> None:
        self.left, self.top, self.right, self.bottom = box
        self._x, self._y = x, y
        self.marks: list[str] = []

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * (value - self._x[0]) / (self._x[1] - self._x[0])

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * (value - self._y[0]) / (self._y[1] - self._y[0])

    def line(self, xs: Iterable[float], ys: Iterable[float], colour: str, more: str = "") -> None:
        points = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in zip(xs, ys, strict=True))
        self.marks.append(f'<polyline points="{points}" fill="none" stroke="{colour}" {more}/>')

    def band(self, xs: Sequence[float], low: Floats, high: Floats, colour: str) -> None:
        there = [*zip(xs, low, strict=True), *reversed(list(zip(xs, high, strict=True)))]
        points = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in there)
        self.marks.append(f'<polygon points="{points}" fill="{colour}" fill-opacity="0.18"/>')

    def dot(self, x: float, y: float, *, hollow: bool, colour: str = "#000", size: float = 3.6) -> None:
        fill = "#fff" if hollow else colour
        place = f'cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{size}"'
        self.marks.append(f'<circle {place} fill="{fill}" stroke="{colour}" stroke-width="1.2"/>')

    def text(self, x: float, y: float, words: str, more: str = "") -> None:
        self.marks.append(text(self.x(x), self.y(y), words, more))

    def years(self, first: int, last: int, step: int = 5) -> None:
        """The axis below, with ticks."""
        base = f'y1="{self.bottom}" y2="{self.bottom + 4}" stroke="#444"'
        self.marks.append(
            f'<line x1="{self.left}" x2="{self.right}" y1="{self.bottom}" y2="{self.bottom}" stroke="#444"/>'
        )
        for year in range(first, last + 1, step):
            at = self.x(year)
            self.marks.append(f'<line x1="{at:.1f}" x2="{at:.1f}" {base}/>')
            self.marks.append(text(at, self.bottom + 18, str(year), 'text-anchor="middle" fill="#444"'))

    def grid(self, ticks: Sequence[float]) -> None:
        """Horizontal lines with their numbers."""
        for tick in ticks:
            at = self.y(tick)
            self.marks.append(
                f'<line x1="{self.left}" x2="{self.right}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e3e3e3"/>'
            )
            self.marks.append(text(self.left - 6, at + 4, f"{tick:,.0f}", 'text-anchor="end" fill="#444"'))


def text(x: float, y: float, words: str, more: str = "") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>'


def nice_ticks(most: float) -> list[float]:
    """Four to eight round numbers from 0 to at least `most`."""
    raw = max(most, 1e-9) / 5.0
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(s * unit for s in (1.0, 2.0, 2.5, 5.0, 10.0) if s * unit >= raw)
    return [i * step for i in range(math.ceil(max(most, 1e-9) / step) + 1)]


def drawing(height: int, title: str, words: str, marks: Iterable[str]) -> str:
    """An SVG that says what it shows."""
    size = f'viewBox="0 0 {WIDTH} {height}" width="100%" font-size="12.5"'
    said = f'role="img" aria-label="{escape(words)}"'
    return f"<svg {size} {said} {FONT}><title>{escape(title)}</title>{''.join(marks)}</svg>"


def departures_chart(now: Tuned, fitted: Tuned, band: Floats | None) -> str:
    """Departures a year, model and facts: all destinations, and to China and Hong Kong.

    `band` is Tuner.band: 90% of the fit's posterior.
    """
    years = [y + 0.5 for y in now.years]  # a year's count stands at its middle
    everywhere, to_china = now.departures.sum(axis=1), now.departures[:, 0]
    facts = now.observed
    most = max(everywhere.max(), *facts.everywhere[1], 0.0 if band is None else float(band[1, :, 2].max()))
    ticks = nice_ticks(min(float(most), 1e9))
    plot = Plot((58, 62, WIDTH - 128, 318), (now.years[0], now.years[-1] + 1), (0.0, ticks[-1]))
    plot.grid(ticks)
    plot.years(now.years[0], now.years[-1])
    if band is not None:
        plot.band(years, band[0, :, 2], band[1, :, 2], ALL)
        plot.band(years, band[0, :, 0], band[1, :, 0], TO_CHINA)
    for line in (fitted.departures.sum(axis=1), fitted.departures[:, 0]):
        plot.line(years, line, REFERENCE, 'stroke-width="1.3" stroke-dasharray="2 3"')
    plot.line(years, everywhere, ALL, 'class="now-all" stroke-width="2.4"')
    plot.line(years, to_china, TO_CHINA, 'class="now-china" stroke-width="2.4" stroke-dasharray="7 3"')
    for year, count in zip(*facts.everywhere, strict=True):
        error = count * FACT_ERROR
        plot.line([year + 0.5] * 2, [count - error, count + error], "#000", 'stroke-width="1.2"')
        plot.dot(year + 0.5, count, hollow=False)
    for year, count in zip(*facts.to_china["all"], strict=True):
        if year in now.years:
            plot.dot(year + 0.5, count, hollow=True)
    labels = ((("All destinations",), everywhere, ALL), (("To China and", "Hong Kong"), to_china, TO_CHINA))
    for words, line, colour in labels:
        for number, part in enumerate(words):
            at = plot.y(float(line[-1])) + 4 + 15 * number
            plot.marks.append(text(WIDTH - 122, at, part, f'fill="{colour}" font-weight="600"'))
    plot.marks.append(
        text(12, 18, "Departures of scientists of Chinese descent, a year", 'font-weight="700" font-size="14"')
    )
    plot.marks += legend(58, 36, band is not None)
    plot.marks.append(
        text(
            12, 358, f"{facts.source} {facts.known.no_later} Model: bdsim, expected run.", 'fill="#555" font-size="11"'
        )
    )
    first, last = now.years[0], now.years[-1]
    model = "; ".join(
        f"{year}: {everywhere[year - first]:,.0f}, to China {to_china[year - first]:,.0f}"
        for year in facts.everywhere[0]
        if year in now.years
    )
    said = (
        f"Departures a year, {first} to {last}. Model now, {model}. "
        f"Published totals: {'; '.join(f'{y}: {v:,.0f}' for y, v in zip(*facts.everywhere, strict=True))}."
    )
    return drawing(366, "Departures a year", said, plot.marks)


def legend(x: float, y: float, band: bool) -> list[str]:
    """What the marks mean, on two lines."""
    model = [
        (f'<line x1="0" x2="22" y1="-4" y2="-4" stroke="{ALL}" stroke-width="2.4"/>', "these values"),
        (f'<line x1="0" x2="22" y1="-4" y2="-4" stroke="{REFERENCE}" stroke-dasharray="2 3"/>', "the fit"),
    ]
    if band:
        shade = f'<rect width="22" height="9" y="-9" fill="{ALL}" fill-opacity="0.25"/>'
        model.append((shade, "90% of its posterior"))
    facts = [
        ('<circle cx="11" cy="-4" r="3.6"/>', "published totals ± 5%"),
        ('<circle cx="11" cy="-4" r="3.6" fill="#fff" stroke="#000" stroke-width="1.2"/>', "mainland series, rescaled"),
    ]
    found = []
    for line, row in enumerate((model, facts)):
        for column, (mark, words) in enumerate(row):
            said = text(28, 0, words, 'fill="#333" font-size="11.5"')
            found.append(f'<g transform="translate({x + 180 * column},{y + 16 * line})">{mark}{said}</g>')
    return found


def residuals_chart(now: Tuned) -> str:
    """Every target's residual in standard errors of its fact, a row an entry of targets.toml."""
    entries = list(dict.fromkeys(now.table["target"]))
    row, top = 20, 52
    height = top + row * len(entries) + 40
    plot = Plot((330, top, WIDTH - 20, top + row * len(entries)), (-6.0, 6.0), (float(len(entries)), 0.0))
    plot.marks.append(
        f'<rect x="{plot.x(-2):.1f}" y="{top - 6}" width="{plot.x(2) - plot.x(-2):.1f}" '
        f'height="{row * len(entries) + 6}" fill="#eef3f7"/>'
    )
    for tick in (-6, -4, -2, 0, 2, 4, 6):
        at = plot.x(tick)
        colour = "#777" if tick == 0 else "#dcdcdc"
        ends = f'x1="{at:.1f}" x2="{at:.1f}" y1="{top - 6}" y2="{plot.bottom}"'
        plot.marks.append(f'<line {ends} stroke="{colour}"/>')
        plot.marks.append(
            text(
                at,
                plot.bottom + 16,
                f"{tick:+d}".replace("-", "\N{MINUS SIGN}") if tick else "0",
                'text-anchor="middle" fill="#444"',
            )
        )
    for number, entry in enumerate(entries):
        rows = now.table[now.table["target"] == entry]
        at = number + 0.5
        plot.marks.append(text(322, plot.y(at) + 4, entry, 'text-anchor="end" fill="#1b1b1b"'))
        for r in rows.to_dict("records"):
            _residual(plot, at, float(r["residual"]), r["role"] == "fitted", str(r["label"]))
    plot.marks.append(
        text(
            12,
            18,
            "How far the model is from each fact, in standard errors of the fact",
            'font-weight="700" font-size="14"',
        )
    )
    plot.marks.append(
        text(12, 36, "Right: the model is above it. Filled: fitted; hollow: for validation only. Shaded: within two.",
             'fill="#333" font-size="11.5"')
    )  # fmt: skip
    worst = now.table.loc[now.table["residual"].abs().idxmax()]
    words = (
        f"Residuals of {len(now.table)} facts. Root mean square of the fitted: {_rms(now.table):.2f} standard errors. "
        f"Farthest: {worst['label']}, {worst['residual']:+.1f}."
    )
    return drawing(height, "Residuals by target", words, plot.marks)


def _residual(plot: Plot, row: float, residual: float, fitted: bool, label: str) -> None:
    """A dot, or an arrow head at the edge for what lies beyond it."""
    colour = ALL if fitted else "#444"
    title = f"<title>{escape(label)}: {residual:+.2f}</title>"
    if abs(residual) <= 6.0:
        fill, opacity = (colour, 0.55) if fitted else ("#fff", 1.0)
        place = f'cx="{plot.x(residual):.1f}" cy="{plot.y(row):.1f}" r="4.2"'
        look = f'fill="{fill}" fill-opacity="{opacity}" stroke="{colour}"'
        plot.marks.append(f"<circle {place} {look}>{title}</circle>")
        return
    side = 1.0 if residual > 0 else -1.0
    x, y = plot.x(6.0 * side), plot.y(row)
    points = f"{x - 8 * side:.1f},{y - 5:.1f} {x - 8 * side:.1f},{y + 5:.1f} {x + 2 * side:.1f},{y:.1f}"
    plot.marks.append(f'<polygon points="{points}" fill="{colour}">{title}</polygon>')


def _rms(table: pd.DataFrame) -> float:
    fitted = table.loc[table["role"] == "fitted", "residual"].to_numpy()
    return float(np.sqrt((fitted**2).mean()))
