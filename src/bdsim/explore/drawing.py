"""Drawings of the page, as SVG written by hand: quick to make, sharp at any size, read out as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from bdsim.model.categories import Floats

__all__ = ["FONT", "WIDTH", "Plot", "drawing", "nice_ticks", "standalone", "text"]

WIDTH = 760
FONT = 'font-family="system-ui, DejaVu Sans, Arial, sans-serif"'


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

    def hover(self, year: int, words: str) -> None:
        """What a year says under the mouse, over its whole width; drawn last, so that nothing hides it."""
        left, right = self.x(year), self.x(year + 1)
        place = f'x="{left:.1f}" y="{self.top}" width="{right - left:.1f}" height="{self.bottom - self.top}"'
        self.marks.append(f'<rect {place} fill="transparent"><title>{year}: {escape(words)}</title></rect>')

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


def standalone(svg: str) -> str:
    """The drawing as a file of its own."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
