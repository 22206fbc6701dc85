"""What can be drawn has a method `plot`: the one door through which what is asked of results reaches figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawn"]


class Drawn:
    """A run, a comparison or a calibration, for a notebook."""

    def plot(self, kind: str | None = None) -> Figure:
        """The figure of that name, as `bdsim.plot` draws it. Raises UsageError for an unknown name."""
        from bdsim.reporting.plot import plot  # figures are drawn only where somebody asks

        thing: Any = self
        return plot(thing, kind)
