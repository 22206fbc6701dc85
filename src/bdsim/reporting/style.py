"""The house style of figures: fonts, colours, captions, and how a figure is kept with its numbers."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bdsim.files.durable import new_folder, sealed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "COLOURS",
    "DASHES",
    "REFERENCE",
    "VERDICTS",
    "Drawing",
    "any_script",
    "caption",
    "save_all",
    "save_drawing",
    "styled",
    "tip",
    "with_tips",
    "year_axis",
]

P = ParamSpec("P")

# Okabe & Ito (2008), safe for colour-blind readers; the reference is grey, observed data black.
REFERENCE = "#6e6e6e"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (6, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)))
TIP = "tip-"  # begins the ids of artists that say something under the mouse
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],  # a reader of the SVG takes the first that he has
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "svg.fonttype": "none",  # text stays text: it can be searched, selected and set anew
    "svg.hashsalt": "bdsim",
    "text.parse_math": False,  # a title is a title, whatever dollars it names
    "figure.dpi": 100,
}
# What the data say of a parameter: in words, and in a colour.
VERDICTS = {
    "informed by the data": ("Informed by the data", COLOURS[0]),
    "partly": ("Partly told", COLOURS[4]),
    "prior": ("Carried from the prior", REFERENCE),
}


@dataclass(frozen=True)
class Drawing:
    """A figure, the numbers in it, and what it shows for those who cannot see it."""

    name: str
    figure: Figure
    numbers: pd.DataFrame
    alt: str

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        file = io.BytesIO()
        with mpl.rc_context(STYLE), any_script():
            self.figure.savefig(file, format="png", dpi=110)
        return file.getvalue()


def styled(draw: Callable[P, Drawing]) -> Callable[P, Drawing]:
    """Draw in the house style, whatever style the caller's session has."""

    @functools.wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Drawing:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            with any_script():
                return draw(*args, **kwargs)

    return in_style


@contextlib.contextmanager
def any_script() -> Iterator[None]:
    """Characters that no font here has are boxes in a PNG, without a warning: the text of an SVG stays text."""
    with warnings.catch_warnings():
        for said in (r"Glyph \d+ ", "Matplotlib currently does not support"):
            warnings.filterwarnings("ignore", said, UserWarning)
        yield


def save_drawing(drawing: Drawing, folder: Path) -> list[Path]:
    """Write NAME.png (200 dpi), NAME.svg and NAME.csv; returns the paths. The same drawing gives the same bytes."""
    paths = [folder / f"{drawing.name}{ending}" for ending in (".png", ".svg", ".csv")]
    with mpl.rc_context(STYLE), any_script():
        _lay_out(drawing.figure)
        drawing.figure.savefig(paths[0], dpi=200, metadata={"Software": "bdsim"})
        file = io.StringIO()
        drawing.figure.savefig(file, format="svg", metadata={"Date": None, "Description": drawing.alt})
        paths[1].write_text(with_tips(file.getvalue()), encoding="utf-8")
    drawing.numbers.to_csv(paths[2], index=False, float_format="%.4f")
    return paths


def _lay_out(figure: Figure) -> None:
    """Place everything once: every file of the figure then has it there, and none works it out again."""
    figure.draw_without_rendering()
    with mpl.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)  # not "none", for which Matplotlib draws everything once more before it saves


def tip(text: str) -> str:
    """The id of an artist that says `text` under the mouse, once `with_tips` has put it into the SVG."""
    return TIP + quote(text, safe="")


def with_tips(svg: str) -> str:
    """The SVG with a title, which browsers show under the mouse, in place of every id made by `tip`."""

    def titled(found: re.Match[str]) -> str:
        return f"<g><title>{escape(unquote(found[1]))}</title>"

    return re.sub(rf'<g id="{TIP}([^"]*)">', titled, svg)


def save_all(drawings: Sequence[Drawing], folder: Path, texts: Mapping[str, str] | None = None) -> None:
    """Write drawings, and texts by file name, into `folder`, whole or not at all, in place of what was there.

    Raises StorageError.
    """
    with new_folder(folder) as aside:
        for drawing in drawings:
            save_drawing(drawing, aside)
        for name, text in (texts or {}).items():
            (aside / name).write_text(text, encoding="utf-8")
        sealed(aside)


def caption(figure: Figure, title: str, source: str) -> None:
    """The title above, and below what is drawn and where it comes from; both as wide as the figure at most."""
    width = figure.get_figwidth()
    heading = textwrap.fill(title, width=int(width * 11.8), break_on_hyphens=False)
    wrapped = textwrap.fill(source, width=int(width * 21.5), break_on_hyphens=False)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=10, fontweight="bold")
    figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=6.2, color="#555555")


def year_axis(ax: Axes) -> None:
    """Round years below, thousands with commas beside."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.set_xlabel("Year")
