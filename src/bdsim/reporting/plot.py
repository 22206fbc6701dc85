"""Figures from a notebook: what a run, a comparison or a calibration looks like, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from bdsim.analysis.comparison import Comparison
from bdsim.calibration.fitting import Calibration
from bdsim.errors import UsageError, did_you_mean
from bdsim.reporting.figures import fits, runs
from bdsim.reporting.summary import observed
from bdsim.runs.results import Results
from bdsim.study.layout import find_study

if TYPE_CHECKING:
    from bdsim.reporting.style import Drawing

__all__ = ["KINDS", "plot"]

KINDS: dict[type, tuple[str, ...]] = {
    Results: ("departures", "fan", "destination"),
    Comparison: ("difference", *(name for name in runs.COMPARISON_FIGURES if name != "difference")),
    Calibration: ("posterior", "identifiability", "residuals", "series"),
}


def plot(thing: Results | Comparison | Calibration, kind: str | None = None) -> Figure:
    """Draw a run, a comparison or a calibration; `kind` names one of its figures (default: the first of KINDS).

    Needs the study around the present folder for the published series. Raises UsageError for an unknown kind or
    thing, StudyError outside a study.
    """
    kinds = next((names for of, names in KINDS.items() if isinstance(thing, of)), None)
    if kinds is None:
        raise UsageError(f"a {type(thing).__name__} has no figures; a run, a comparison or a calibration has")
    name = kinds[0] if kind is None else kind
    if name not in kinds:
        raise UsageError(f"unknown figure '{kind}'{did_you_mean(kind, kinds)}", where="plot")
    drawing = _drawing(thing, name)
    # What a notebook shows, also where nobody has loaded pyplot.
    setattr(drawing.figure, "_repr_png_", drawing._repr_png_)  # noqa: B010  Figure declares no such attribute
    return drawing.figure


def _drawing(thing: Results | Comparison | Calibration, name: str) -> Drawing:
    if isinstance(thing, Results):
        seen = observed(find_study(), thing)
        draw: dict[str, Callable[[], Drawing]] = {
            "departures": lambda: runs.draw_departures([thing], seen),
            "fan": lambda: runs.draw_fan(thing, seen),
            "destination": lambda: runs.draw_destination([thing], seen),
        }
        return draw[name]()
    if isinstance(thing, Comparison):
        return runs.comparison_drawing(name, thing, observed(find_study(), thing.reference))
    of: dict[str, Any] = {
        "posterior": fits.draw_corner, "identifiability": fits.draw_identifiability, "residuals": fits.draw_residuals,
        "series": fits.draw_series,
    }  # fmt: skip
    drawing: Drawing = of[name](thing)
    return drawing
