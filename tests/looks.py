"""What an art editor would strike out: text that is cut off, lies on other text, or is too small to read in print."""

from __future__ import annotations

from itertools import combinations

from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

TOLERANCE = 1.5  # pixels at 100 dpi by which two boxes may touch: the boxes are a little larger than the letters
SMALLEST = 5.5  # points


def faults(figure: Figure) -> list[str]:
    """Every fault of a figure in words; empty where it passes."""
    FigureCanvasAgg(figure).draw()
    boxes = [(text, text.get_window_extent()) for text in texts_of(figure)]
    page = figure.bbox
    found = []
    for text, box in boxes:
        if text.get_fontsize() < SMALLEST:
            found.append(f"{_said(text)} is set in {text.get_fontsize():g} points")
        if (
            box.x0 < page.x0 - TOLERANCE or box.y0 < page.y0 - TOLERANCE
            or box.x1 > page.x1 + TOLERANCE or box.y1 > page.y1 + TOLERANCE
        ):  # fmt: skip
            found.append(f"{_said(text)} is cut off")
    for (one, box), (other, beside) in combinations(boxes, 2):
        if _overlap(box, beside):
            found.append(f"{_said(one)} lies on {_said(other)}")
    return found


def texts_of(figure: Figure) -> list[Text]:
    """All text that is drawn: titles, labels of axes and ticks, legends, notes."""
    found: list[Text] = []
    parts = [figure, *figure.subfigs]
    for part in parts:
        found += part.texts
        found += [text for legend in part.legends for text in legend.get_texts()]
    for ax in figure.get_axes():
        found += ax.texts
        if ax.get_legend() is not None:
            found += ax.get_legend().get_texts()
        if not ax.axison:
            continue
        found += [ax.title, ax._left_title, ax._right_title]
        for axis in (ax.xaxis, ax.yaxis):
            found += [axis.label, axis.offsetText, *_tick_labels(axis)]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def _tick_labels(axis: Axis) -> list[Text]:
    """The labels of the ticks within the view."""
    return [tick.label1 for tick in axis._update_ticks() if tick.label1.get_visible()]


def _overlap(one: Bbox, other: Bbox) -> bool:
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return wide > TOLERANCE and high > TOLERANCE


def _said(text: Text) -> str:
    return repr(" ".join(text.get_text().split())[:40])
