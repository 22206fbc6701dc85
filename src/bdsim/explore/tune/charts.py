"""The charts that follow a slider of a parameter.

Colours are those of the figures (house_style): blue and vermilion for the model, grey for the fit, black for facts.
"""

from __future__ import annotations

from html import escape

import numpy as np
import pandas as pd

from bdsim.explore.drawing import WIDTH, Plot, drawing, nice_ticks, text
from bdsim.explore.tune.tuning import Tuned
from bdsim.model.categories import Floats
from bdsim.reporting.style import COLOURS, REFERENCE

__all__ = ["departures_chart", "residuals_chart"]

ALL, TO_CHINA = COLOURS[0], COLOURS[1]
FACT_ERROR = 0.05  # log error of a published count (MODEL.md); drawn as a bar


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
    published = dict(zip(*facts.everywhere, strict=True))
    for year, total, china, fit in zip(now.years, everywhere, to_china, fitted.departures.sum(axis=1), strict=True):
        fact = f"; published {published[year]:,.0f}" if year in published else ""
        plot.hover(year, f"these values {total:,.0f}, {china:,.0f} of them to China; the fit {fit:,.0f}{fact}")
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
