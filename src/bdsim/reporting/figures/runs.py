"""Figures of runs and comparisons: uncertainty shown, observed data distinct from the model.

Every function returns a Drawing: a Matplotlib figure and the table of the numbers in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bdsim.analysis.comparison import Comparison, centre_of, first_difference
from bdsim.model.categories import FIRST_YEAR, REFERENCE_YEAR, Floats
from bdsim.model.counts import AXES
from bdsim.reporting.figures.canvas import (
    canvas,
    centred,
    colour_of,
    dash_of,
    decimal,
    lines,
    points,
    steps,
    time_axis,
    ways,
)
from bdsim.reporting.names import NAMES
from bdsim.reporting.sentences import digits_sentence
from bdsim.reporting.style import COLOURS, REFERENCE, Drawing, caption, styled, year_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bdsim.runs.results import Centre, Results
    from bdsim.study.history import Observed

__all__ = ["COMPARISON_FIGURES", "comparison_drawing", "comparison_drawings", "run_drawings"]

COMPARISON_FIGURES = ("departures", "difference", "destination", "field", "stage", "cumulative")
BAND, FANNED = "band: 90% of members", "bands: shares of members"
SHORT = {
    "engineering_cs": "Engineering, computing",
    "math_physical": "Maths, physical sciences",
    "senior": "Senior (15 years or more)",
}
FAN = (0.95, 0.8, 0.5)  # shares of members, from the widest band to the narrowest


def run_drawings(results: Results, observed: Observed) -> list[Drawing]:
    """Figures of one scenario alone."""
    return [draw_departures([results], observed), draw_fan(results, observed), draw_destination([results], observed)]


def comparison_drawings(comparison: Comparison, observed: Observed) -> list[Drawing]:
    """Every figure of a comparison, in the order in which an analyst asks."""
    return [comparison_drawing(name, comparison, observed) for name in COMPARISON_FIGURES]


def comparison_drawing(name: str, comparison: Comparison, observed: Observed) -> Drawing:
    """The figure of that name among COMPARISON_FIGURES."""
    if name in ("departures", "destination"):
        return (draw_departures if name == "departures" else draw_destination)(comparison.all, observed)
    if name in ("field", "stage"):
        return draw_panels(comparison, name, observed if name == "field" else None)
    return (draw_difference if name == "difference" else draw_cumulative)(comparison)


@styled
def draw_departures(runs: Sequence[Results], observed: Observed) -> Drawing:
    """Departures per year to all destinations and to China, bands over members, observed data on top."""
    board = canvas(2, height=3.6)
    axes, starts, centre = board.axes, _starts(runs), centre_of(runs)
    rows = []
    for panel, (ax, destination) in enumerate(zip(axes, (None, "china"), strict=True)):
        for number, results in enumerate(runs):
            table, _ = results.by("destination")
            values = table.sum(axis=2) if destination is None else table[:, :, 0]
            _fan(ax, runs, values, number, starts[number], centre)
            rows.append(_band_rows(results, values, destination=destination or "all"))
        years, counts = observed.everywhere if destination is None else observed.to_china["all"]
        if destination is None:
            points(ax, years, counts, "Published totals")
        else:
            points(ax, years, counts, f"Published series / {_rescale(runs)}", hollow=True)
        ax.set_title("ab"[panel] + "  " + ("All destinations" if destination is None else NAMES["china"]))
        ax.set_ylim(bottom=0)
        time_axis(ax, runs, 2, known=observed.known)
    axes[0].set_ylabel("Researchers leaving the US per year")
    board.legend()
    _finish(board.figure, runs, "Departures of scientists of Chinese descent", observed, rescaled=True)
    alt = "Departures of scientists of Chinese descent per year: " + "; ".join(
        f"{r.title} {_at(r, r.by()[0], r.years[-1], centre)} in {r.years[-1]}" for r in runs
    )
    return Drawing("departures", board.figure, pd.concat(rows, ignore_index=True), alt)


@styled
def draw_fan(results: Results, observed: Observed) -> Drawing:
    """A fan of 50%, 80% and 95% of members around their centre, published totals, and where the data end."""
    board = canvas()
    (ax,) = board.axes
    values, _ = results.by()
    edges = [*results.years, results.years[-1] + 1]
    levels = [0.5, *(edge for share in FAN for edge in ((1 - share) / 2, (1 + share) / 2))]
    levels_at = dict(zip(levels, results.band(values, levels), strict=True))
    for share, alpha in zip(FAN, (0.16, 0.22, 0.32), strict=True):
        low, high = levels_at[(1 - share) / 2], levels_at[(1 + share) / 2]
        ax.stairs(
            high, edges, baseline=low, fill=True, color=COLOURS[0], alpha=alpha, lw=0, label=f"{share:.0%} of members"
        )
    line = results.middle(values)
    ax.stairs(line, edges, baseline=None, color=COLOURS[0], lw=1.5, label=results.centre.capitalize())
    points(ax, *observed.everywhere, "Published totals")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("Researchers leaving the US per year")
    time_axis(ax, [results], 1, known=observed.known)
    board.legend()
    title = f"{results.title}: departures of scientists of Chinese descent"
    _finish(board.figure, [results], title, observed, fan=True)
    numbers = {f"p{100 * level:04.1f}": line for level, line in sorted(levels_at.items())}
    columns = {"year": list(results.years), "scenario": results.name, "mean": results.mean(values), **numbers}
    table = pd.DataFrame(columns)
    last = results.years[-1]
    alt = f"Fan of departures per year: {results.title} {_at(results, values, last, results.centre)} in {last}"
    return Drawing("fan", board.figure, table, alt)


@styled
def draw_difference(comparison: Comparison) -> Drawing:
    """Departures per year less the reference's, with paired intervals and a zero line."""
    board = canvas()
    (ax,) = board.axes
    begin = max(FIRST_YEAR, min(_start(comparison, s) for s in comparison.others) - 3)
    numbers = []
    for number, scenario in enumerate(comparison.others, start=1):
        difference = comparison.difference(scenario)
        band = centred(difference.band(), difference.middle(comparison.centre))
        start = _start(comparison, scenario)
        shown = [i for i, year in enumerate(comparison.reference.years) if year >= start]
        since, years = _since(comparison.reference, scenario, start), [comparison.reference.years[i] for i in shown]
        steps(ax, years, band[:, shown], number, scenario.title, since)
        ways(ax, years, [way[shown] for way in difference.by_branch().values()], number, since)
        numbers.append(difference.table())
    ax.axhline(0, color=REFERENCE, lw=1)
    ax.set_ylabel(f"Additional departures per year, against {comparison.reference.title}")
    time_axis(ax, comparison.all, 1, begin)
    board.legend()
    title = "Difference in departures of scientists of Chinese descent"
    _finish(board.figure, comparison.all, title, thin=True)
    table = pd.concat(numbers, ignore_index=True)
    last = comparison.reference.years[-1]
    alt = "Difference from the reference: " + "; ".join(
        f"{s.title} {comparison.difference(s, [(FIRST_YEAR, last)]).middle(comparison.centre)[0]:+,.0f} by {last}"
        for s in comparison.others
    )
    return Drawing("difference", board.figure, table, alt)


@styled
def draw_destination(runs: Sequence[Results], observed: Observed) -> Drawing:
    """Share of departures that go to China, with the two published shares."""
    board = canvas()
    (ax,) = board.axes
    starts, centre = _starts(runs), centre_of(runs)
    rows = []
    for number, results in enumerate(runs):
        table, _ = results.by("destination")
        total = table.sum(axis=2)
        share = np.divide(table[:, :, 0], total, out=np.full_like(total, np.nan), where=total > 0)
        shown = share * 100.0  # nan, which counts for nothing, where nobody leaves
        means = results.share(table[:, :, 0], total) * 100.0
        _fan(ax, runs, shown, number, starts[number], centre, means)
        rows.append(_band_rows(results, shown, means=means, unit="percent to China"))
    years, shares = observed.share_china
    points(ax, years, np.array(shares) * 100.0, "Published shares")
    ax.set_ylim(0, 100)
    ax.set_ylabel("Share going to China or Hong Kong, %")
    time_axis(ax, runs, 1, known=observed.known)
    ax.set_yticks(range(0, 101, 20))
    board.legend()
    _finish(board.figure, runs, "Destination of departing scientists of Chinese descent", observed)
    alt = "Share of departures going to China: " + "; ".join(f"{r.title} {_last_share(r)}" for r in runs)
    return Drawing("destination", board.figure, pd.concat(rows, ignore_index=True), alt)


def _last_share(results: Results) -> str:
    last = results.by("destination")[0][:, -1]
    share = results.share(last[:, 0], last.sum(axis=1))
    return f"{share:.0%} in {results.years[-1]}" if share == share else f"has no departures in {results.years[-1]}"


@styled
def draw_panels(comparison: Comparison, axis: str, observed: Observed | None) -> Drawing:
    """Departures per year as small multiples by field (to China, with the published series) or career stage."""
    labels = AXES[axis]
    board = canvas(len(labels), height=3.5, share_y=axis == "field")
    axes = board.axes
    starts, centre = _starts(comparison.all), comparison.centre
    rows = []
    for number, results in enumerate(comparison.all):
        table = results.by(axis, "destination")[0]
        values = table[..., 0] if observed is not None else table.sum(axis=3)
        for position, (ax, label) in enumerate(zip(axes, labels, strict=True)):
            _fan(ax, comparison.all, values[:, :, position], number, starts[number], centre)
            told = {"destination": "china" if observed is not None else "all", axis: label}
            rows.append(_band_rows(results, values[:, :, position], None, None, **told))
    for position, (ax, label) in enumerate(zip(axes, labels, strict=True)):
        if observed is not None:
            years, counts = observed.to_china[label]
            points(ax, years, counts, f"Published series / {_rescale(comparison.all)}", hollow=True)
        ax.set_title("abc"[position] + "  " + SHORT.get(label, NAMES[label]))
        ax.set_ylim(bottom=0)
    for ax in axes if axis != "field" else axes[:1]:
        ax.set_ylim(bottom=0)
    for ax in axes:
        shared = axis == "field" and ax is not axes[0]
        first = None if axis == "field" else REFERENCE_YEAR
        known = observed.known if observed is not None else None
        time_axis(ax, comparison.all, len(labels), first, known=known, raised=shared)
    where = "to China per year" if observed is not None else "leaving the US per year"
    axes[0].set_ylabel(f"Researchers {where}")
    board.legend()
    by = "field" if axis == "field" else "career stage"
    title = f"Departures of scientists of Chinese descent by {by}"
    _finish(board.figure, comparison.all, title, observed, rescaled=observed is not None)
    return Drawing(axis, board.figure, pd.concat(rows, ignore_index=True), f"Departures by {by}, one panel each")


@styled
def draw_cumulative(comparison: Comparison) -> Drawing:
    """Departures added up from the first year in which any scenario differs, and their difference."""
    board = canvas(2, height=3.5)
    axes = board.axes
    start = min((_start(comparison, s) for s in comparison.others), default=comparison.reference.years[-1])
    years = [y for y in comparison.reference.years if y >= start]
    when = [start, *(year + 1 for year in years)]
    rows = []
    for number, results in enumerate(comparison.all):
        values = results.by(cumulative_from=start)[0]
        band = centred(results.band(values), results.middle(values, comparison.centre))
        lines(axes[0], when, _from_zero(band), number, results.title)
        rows.append(_band_rows(results, values, years=years, quantity=f"departures since 1 January {start}"))
    for number, scenario in enumerate(comparison.others, start=1):
        difference = comparison.difference(scenario, [(start, y) for y in years])
        band = difference.band()
        middle = centred(band, difference.middle(comparison.centre))
        lines(axes[1], when, _from_zero(middle), number, scenario.title)
        quantity = f"difference since 1 January {start}"
        rows.append(_table(years, band, difference.mean(), scenario=scenario.name, quantity=quantity))
    axes[1].axhline(0, color=REFERENCE, lw=1)
    axes[0].set_title("a  Departures")
    axes[1].set_title(f"b  Additional, against {comparison.reference.title}")
    axes[0].set_ylabel(f"Researchers since 1 January {start}")
    axes[0].set_ylim(bottom=0)
    for ax in axes:
        ax.set_xlim(start, years[-1] + 1.05)
        year_axis(ax)
        ax.set_xlabel("1 January of the year")
    board.legend()
    title = f"Departures of scientists of Chinese descent, added up from {start}"
    _finish(board.figure, comparison.all, title, spans=False)
    table = pd.concat(rows, ignore_index=True)
    return Drawing("cumulative", board.figure, table, f"Departures added up since {start}")


def _from_zero(band: Floats) -> Floats:
    """A band that begins with nothing, shape (3, years + 1)."""
    return np.concatenate([np.zeros((3, 1)), band], axis=1)


def _start(comparison: Comparison, scenario: Results) -> int:
    """The first year in which the scenario differs, as the answer counts it; the last year where it never does."""
    found = first_difference(comparison.reference, scenario)
    return comparison.reference.years[-1] if found is None else found


def _since(reference: Results, scenario: Results, start: int) -> float | None:
    """Where within its first different year a scenario begins to differ: with the first policy of its own there."""
    policies = [results.manifest["scenario"]["policy"] for results in (reference, scenario)]
    own = [policy for policy in policies[1] if policy not in policies[0]]
    begins = [decimal(p["from"]) for p in own]
    return min((b for b in begins if start <= b < start + 1), default=None)


def _starts(runs: Sequence[Results]) -> list[int | None]:
    """The first year in which each run differs from the first one."""
    return [None, *(first_difference(runs[0], other) for other in runs[1:])]


def _fan(
    ax: Axes, runs: Sequence[Results], values: Floats, number: int, start: int | None, centre: Centre,
    means: Floats | None = None,
) -> None:  # fmt: skip
    """A run's band from the year in which it first differs from the first run; what they share is drawn once.

    `means` stands for the mean of `values` where that is another, as of shares.
    """
    results = runs[number]
    line = means if means is not None and centre == "mean" else results.middle(values, centre)
    band = centred(results.band(values), line)
    if number and start is None:
        ax.plot([], [], color=colour_of(number), ls=dash_of(number), label=f"{results.title} (as {runs[0].title})")
        return
    skip = start - results.years[0] if start is not None else 0
    since = _since(runs[0], results, start) if start is not None else None
    steps(ax, list(results.years)[skip:], band[:, skip:], number, results.title, since)


def _rescale(runs: Sequence[Results]) -> str:
    return f"{runs[0].manifest['parameters']['values']['mainland_stem']:.3g}"


def _finish(
    figure: Figure, runs: Sequence[Results], title: str, observed: Observed | None = None, *, spans: bool = True,
    rescaled: bool = False, fan: bool = False, thin: bool = False,
) -> None:  # fmt: skip
    """Title, and a source line that says what is drawn, what the bands hold and what the parameters are worth."""
    m = runs[0].manifest
    each = ", thin lines: ways through the events" if thin and any(r.branches_out for r in runs) else ""
    parts = [
        f"Line: {centre_of(runs)}{each}; {FANNED if fan else BAND}; {m['uncertainty']}. {m['members']} members, one "
        f"agent stands for {m['researchers_per_agent']} researchers."
    ]
    if spans and any(r.manifest["scenario"]["policy"] for r in runs):
        parts.append("Shaded: scrutiny policies in force, by name.")
    if m["parameters"]["status"] == "provisional":
        parts.append("Provisional parameters: illustration only.")
    parts += filter(None, [digits_sentence(m["engine"])])
    if runs[0].held:
        parts.append(f"Held at a value: {runs[0].held}.")
    if observed is not None:
        parts.append(observed.source)
    if rescaled:
        parts.append(f"Hollow: the series of mainland China, divided by the share {_rescale(runs)} that it counts.")
    names = ", ".join(r.mark for r in runs)
    parts.append(f"Model: bdsim {m['versions']['bdsim-migration']}; {names}.")
    caption(figure, title, " ".join(parts))


def _band_rows(
    results: Results, values: Floats, years: Sequence[int] | None = None, means: Floats | None = None, **labels: str
) -> pd.DataFrame:
    mean = results.mean(values) if means is None else means
    return _table(years or list(results.years), results.band(values), mean, scenario=results.name, **labels)


def _table(years: Sequence[int], band: Floats, mean: Floats, **labels: str) -> pd.DataFrame:
    low, median, high = band
    columns: dict[str, Any] = {"year": list(years), **labels}
    return pd.DataFrame({**columns, "mean": mean, "p05": low, "median": median, "p95": high})


def _at(results: Results, values: Floats, year: int, centre: Centre) -> str:
    of_year = values[:, year - FIRST_YEAR]
    low, _, high = results.band(of_year)
    middle = results.middle(of_year, centre)
    return f"{middle:,.0f}" if np.isnan(low) else f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"
