"""The parts of which a page is made: tables, figures as inline SVG, sections."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import markupsafe
import matplotlib as mpl

from bdsim.reporting.style import STYLE, Drawing, any_script, with_tips

if TYPE_CHECKING:
    from bdsim.reporting.sentences import Block

__all__ = ["Picture", "Report", "Section", "Table", "picture", "plain"]


@dataclass(frozen=True)
class Table:
    """Rows of text under a caption."""

    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""

    @classmethod
    def of(cls, caption: str, rows: Sequence[Mapping[str, Any]], note: str = "") -> Table:
        """From rows by column name."""
        columns = tuple(rows[0]) if rows else ()
        return cls(caption, columns, [tuple(str(row[c]) for c in columns) for row in rows], note)

    @classmethod
    def of_block(cls, block: Block, *, note: bool = True) -> Table:
        """A block of the summary, with its caption as a note."""
        return cls.of(block.title, block.rows, block.caption if note else "")

    @staticmethod
    def is_number(cell: str) -> bool:
        return bool(re.match(r"[-+]?\d[\d,.]*( ?%)?( \[.*\])?$", cell))


@dataclass(frozen=True)
class Picture:
    """A figure as inline SVG with its numbers as CSV."""

    svg: str
    numbers: str
    rows: int


@dataclass(frozen=True)
class Section:
    """A part of the report, in the order in which it is read."""

    title: str
    prose: Sequence[str] = ()
    points: Sequence[str] = ()
    figures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    commands: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Report:
    """Everything that the page says."""

    title: str
    questions: Sequence[str]
    answer: Sequence[str]
    sections: Sequence[Section] = field(default_factory=list)


def picture(drawing: Drawing, prefix: str) -> Picture:
    """A drawing as SVG whose identifiers no other figure of the page shares, with its alternative text."""
    file = io.StringIO()
    with mpl.rc_context(STYLE), any_script():
        drawing.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = with_tips(file.getvalue())
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\1{prefix}-", svg)
    label = f'<title id="{prefix}-title">{_escaped(drawing.alt)}</title>'
    opening = svg.index(">") + 1
    svg = f'{svg[: opening - 1]} role="img" aria-labelledby="{prefix}-title">{label}{svg[opening:]}'
    svg = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1), count=1
    )
    numbers = drawing.numbers.to_csv(index=False, float_format=plain)
    return Picture(svg, numbers, len(drawing.numbers))


def _escaped(text: str) -> str:
    return str(markupsafe.escape(text))


def plain(number: float) -> str:
    """Four digits, and large counts whole: never in powers of ten unless a number is next to nothing."""
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.4g}"
