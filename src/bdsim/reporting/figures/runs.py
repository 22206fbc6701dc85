"""Figures of runs and comparisons: uncertainty shown, observed data distinct from the model.

Every function returns a Drawing: a Matplotlib figure and the table of the numbers in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bdsim.analysis.comparison import Comparison, first_difference
from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.model.counts import AXES
from bdsim.reporting.style import COLOURS, DASHES, NAMES, REFERENCE, Drawing, caption, styled, year_axis
from bdsim.runs.results import Results
from bdsim.study.history import Observed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COMPARISON_FIGURES", "comparison_drawing", "comparison_drawings", "run_drawings"]

COMPARISON_FIGURES = ("departures", "difference", "destination", "field", "stage", "cumulative")
LAST_OBSERVED = 2021  # the last year of the departure series
BAND, FANNED = "band: 90% of members", "bands: shares of members"
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
    figure, axes = _canvas(1, 2, width=10.5, height=4.6)
    starts = _starts(runs)
    rows = []
    for panel, (ax, destination) in enumerate(zip(axes, (None, "china"), strict=True)):
        for number, results in enumerate(runs):
            table, _ = results.by("destination")
            values = table.sum(axis=2) if destination is None else table[:, :, 0]
            _fan(ax, results, values, number, starts[number])
            rows.append(_band_rows(results, values, destination=destination or "all"))
        years, counts = observed.everywhere if destination is None else observed.to_china["all"]
        if destination is None:
            _points(ax, years, counts, "Published totals")
        else:
            _points(ax, years, counts, f"Published series / {_rescale(runs)}", hollow=True)
        ax.set_title("ab"[panel] + "  " + ("All destinations" if destination is None else NAMES["china"]))
        ax.set_ylim(bottom=0)
        _time_axis(ax, runs)
    axes[0].set_ylabel("Researchers leaving the US per year")
    axes[0].legend(loc="upper left")
    handles, labels = axes[1].get_legend_handles_labels()
    axes[1].legend(handles[-1:], labels[-1:], loc="upper left")
    _finish(figure, runs, "Departures of scientists of Chinese descent", rescaled=True)
    alt = "Departures of scientists of Chinese descent per year: " + "; ".join(
        f"{r.title} {_at(r, r.by()[0], r.years[-1])} in {r.years[-1]}" for r in runs
    )
    return Drawing("departures", figure, pd.concat(rows, ignore_index=True), alt)


@styled
def draw_fan(results: Results, observed: Observed) -> Drawing:
    """A fan of 50%, 80% and 95% of members around the median, published totals, and where the data end."""
    figure, (ax,) = _canvas(1, 1, width=7.2, height=4.4)
    values, _ = results.by()
    when = np.array(results.years) + 0.5
    levels = [0.5, *(edge for share in FAN for edge in ((1 - share) / 2, (1 + share) / 2))]
    lines = dict(zip(levels, results.band(values, levels), strict=True))
    for share, alpha in zip(FAN, (0.16, 0.22, 0.32), strict=True):
        low, high = lines[(1 - share) / 2], lines[(1 + share) / 2]
        ax.fill_between(when, low, high, color=COLOURS[0], alpha=alpha, lw=0, label=f"{share:.0%} of members")
    ax.plot(when, lines[0.5], color=COLOURS[0], label="Median")
    _points(ax, *observed.everywhere, "Published totals")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("Researchers leaving the US per year")
    _time_axis(ax, [results])
    ax.legend(loc="upper left")
    _finish(figure, [results], f"{results.title}: departures of scientists of Chinese descent", fan=True)
    numbers = {f"p{100 * level:04.1f}": line for level, line in sorted(lines.items())}
    table = pd.DataFrame({"year": list(results.years), "scenario": results.name, **numbers})
    alt = (
        f"Fan of departures per year: {results.title} {_at(results, values, results.years[-1])} in {results.years[-1]}"
    )
    return Drawing("fan", figure, table, alt)


@styled
def draw_difference(comparison: Comparison) -> Drawing:
    """Departures per year less the reference's, with paired intervals and a zero line."""
    figure, (ax,) = _canvas(1, 1, width=7.2, height=4.4)
    begin = max(FIRST_YEAR, min(_start(comparison, s) for s in comparison.others) - 3)
    numbers = []
    for number, scenario in enumerate(comparison.others, start=1):
        difference = comparison.difference(scenario)
        band = difference.band()
        if len(scenario.manifest["branches"]) > 1:
            band[1] = difference.mean()  # the expected value: the median of unlikely branches is 0
        shown = [i for i, year in enumerate(comparison.reference.years) if year >= begin]
        label = scenario.title + (" (expected value)" if len(scenario.manifest["branches"]) > 1 else "")
        _band(ax, [comparison.reference.years[i] for i in shown], band[:, shown], number, label)
        numbers.append(difference.table())
    ax.axhline(0, color=REFERENCE, lw=1)
    ax.set_ylabel(f"Additional departures per year, against {comparison.reference.title}")
    _time_axis(ax, comparison.all, begin)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0) if len(comparison.others) > 2 else None)
    _finish(figure, comparison.all, "Difference in departures of scientists of Chinese descent", observed=False)
    table = pd.concat(numbers, ignore_index=True)
    last = comparison.reference.years[-1]
    alt = "Difference from the reference: " + "; ".join(
        f"{s.title} {comparison.difference(s, [(FIRST_YEAR, last)]).mean()[0]:+,.0f} by {last}"
        for s in comparison.others
    )
    return Drawing("difference", figure, table, alt)


@styled
def draw_destination(runs: Sequence[Results], observed: Observed) -> Drawing:
    """Share of departures that go to China, with the two published shares."""
    figure, (ax,) = _canvas(1, 1, width=7.2, height=4.2)
    starts = _starts(runs)
    rows = []
    for number, results in enumerate(runs):
        table, _ = results.by("destination")
        total = table.sum(axis=2)
        share = np.divide(table[:, :, 0], total, out=np.full_like(total, np.nan), where=total > 0)
        shown = np.nan_to_num(share) * 100.0
        _fan(ax, results, shown, number, starts[number])
        rows.append(_band_rows(results, shown, unit="percent to China"))
    years, shares = observed.share_china
    _points(ax, years, np.array(shares) * 100.0, "Published shares")
    ax.set_ylim(0, 100)
    ax.set_ylabel("Share going to China or Hong Kong, %")
    _time_axis(ax, runs)
    ax.legend(loc="lower right")
    _finish(figure, runs, "Destination of departing scientists of Chinese descent")
    alt = "Share of departures going to China: " + "; ".join(f"{r.title} {_last_share(r)}" for r in runs)
    return Drawing("destination", figure, pd.concat(rows, ignore_index=True), alt)


def _last_share(results: Results) -> str:
    last = results.by("destination")[0][:, -1]
    share = results.share(last[:, 0], last.sum(axis=1))
    return f"{share:.0%} in {results.years[-1]}" if share == share else f"has no departures in {results.years[-1]}"


@styled
def draw_panels(comparison: Comparison, axis: str, observed: Observed | None) -> Drawing:
    """Departures per year as small multiples by field (to China, with the published series) or career stage."""
    labels = AXES[axis]
    figure, axes = _canvas(1, len(labels), width=11.0, height=4.2, share_y=axis == "field")
    starts = _starts(comparison.all)
    rows = []
    for number, results in enumerate(comparison.all):
        table = results.by(axis, "destination")[0]
        values = table[..., 0] if observed is not None else table.sum(axis=3)
        for position, (ax, label) in enumerate(zip(axes, labels, strict=True)):
            _fan(ax, results, values[:, :, position], number, starts[number])
            destination = "china" if observed is not None else "all"
            rows.append(_band_rows(results, values[:, :, position], None, destination=destination, **{axis: label}))
    for position, (ax, label) in enumerate(zip(axes, labels, strict=True)):
        if observed is not None:
            years, counts = observed.to_china[label]
            _points(ax, years, counts, f"Published series / {_rescale(comparison.all)}", hollow=True)
        ax.set_title("abc"[position] + "  " + NAMES[label])
        ax.set_ylim(bottom=0)
        _time_axis(ax, comparison.all)
    where = "to China per year" if observed is not None else "leaving the US per year"
    axes[0].set_ylabel(f"Researchers {where}")
    axes[0].legend(loc="upper left")
    by = "field" if axis == "field" else "career stage"
    title = f"Departures of scientists of Chinese descent by {by}"
    _finish(figure, comparison.all, title, observed=observed is not None, rescaled=observed is not None)
    return Drawing(axis, figure, pd.concat(rows, ignore_index=True), f"Departures by {by}, one panel each")


@styled
def draw_cumulative(comparison: Comparison) -> Drawing:
    """Departures added up from the first year in which any scenario differs, and their difference."""
    figure, axes = _canvas(1, 2, width=10.5, height=4.4)
    start = min((_start(comparison, s) for s in comparison.others), default=LAST_OBSERVED + 1)
    years = [y for y in comparison.reference.years if y >= start]
    rows = []
    for number, results in enumerate(comparison.all):
        values = results.by(cumulative_from=start)[0]
        _band(axes[0], years, results.band(values), number, results.title, at=1.0)
        rows.append(_band_rows(results, values, years=years, quantity=f"departures since 1 January {start}"))
    for number, scenario in enumerate(comparison.others, start=1):
        difference = comparison.difference(scenario, [(start, y) for y in years])
        band = difference.band()
        _band(axes[1], years, band, number, scenario.title, at=1.0)
        rows.append(
            _table(
                years, band, difference.mean(), scenario=scenario.name, quantity=f"difference since 1 January {start}"
            )
        )
    axes[1].axhline(0, color=REFERENCE, lw=1)
    axes[0].set_title(f"a  Departures from {start} to the end of the year")
    axes[1].set_title(f"b  Additional, against {comparison.reference.title}")
    axes[0].set_ylabel("Researchers, added up")
    axes[1].set_ylabel("Additional researchers, added up")
    axes[0].set_ylim(bottom=0)
    for ax in axes:
        ax.set_xlim(start, years[-1] + 1.05)
        year_axis(ax)
    axes[0].legend(loc="upper left")
    _finish(
        figure, comparison.all, "Departures of scientists of Chinese descent, added up", observed=False, spans=False
    )
    return Drawing("cumulative", figure, pd.concat(rows, ignore_index=True), f"Departures added up since {start}")


def _start(comparison: Comparison, scenario: Results) -> int:
    moved = np.flatnonzero((comparison.difference(scenario).discordant > 0).any(axis=0))
    return int(comparison.reference.years[int(moved[0])]) if len(moved) else comparison.reference.years[-1]


def _canvas(
    rows: int, columns: int, *, width: float, height: float, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    return figure, list(axes.ravel())


def _starts(runs: Sequence[Results]) -> list[int | None]:
    """The first year in which each run differs from the first one."""
    return [None, *(first_difference(runs[0], other) for other in runs[1:])]


def _colour(number: int) -> str:
    return REFERENCE if number == 0 else COLOURS[(number - 1) % len(COLOURS)]


def _fan(ax: Axes, results: Results, values: Floats, number: int, start: int | None = None) -> None:
    """A scenario's band from the year before it first differs; what is shared is drawn once, as the reference."""
    skip = max(0, start - 1 - results.years[0]) if start is not None else 0
    _band(ax, list(results.years)[skip:], results.band(values)[:, skip:], number, results.title)


def _band(ax: Axes, years: Sequence[int], band: Floats, number: int, label: str, at: float = 0.5) -> None:
    """A median line in its 90% band; scenarios differ in colour and dash, the reference is grey.

    `at`: where in its year a value stands; a year's count at its middle, what is added up until its end at 1.
    """
    low, median, high = band
    when = np.array(years) + at
    ax.fill_between(when, low, high, color=_colour(number), alpha=0.22, lw=0)
    dash: Any = "-" if number == 0 else DASHES[(number - 1) % len(DASHES)]
    ax.plot(when, median, color=_colour(number), label=label, ls=dash, lw=1.8)


def _time_axis(ax: Axes, runs: Sequence[Results], first: int | None = None) -> None:
    """Years, thousands with commas, the end of the observed series, policies as spans."""
    last = runs[0].years[-1] + 1
    ax.set_xlim(first if first is not None else runs[0].years[0], last)
    year_axis(ax)
    spans: dict[tuple[float, float], str] = {}
    for results in runs:
        for policy in results.manifest["scenario"]["policy"]:
            begin, end = (_decimal(policy[key]) for key in ("from", "until"))
            spans[begin, min(end, last)] = policy["name"]
    for begin, end in spans:
        ax.axvspan(begin, end, color="#f0e9d2", alpha=0.55, lw=0, zorder=0)
    if last > LAST_OBSERVED + 2 and ax.get_xlim()[0] < LAST_OBSERVED:
        ax.axvline(LAST_OBSERVED + 1, color="#999999", lw=0.9, ls=":")
        ax.annotate(
            "no departure\ndata after 2021", (LAST_OBSERVED + 1, 0.015), xycoords=("data", "axes fraction"),
            xytext=(3, 0), textcoords="offset points", fontsize=6.5, color="#666666", va="bottom",
        )  # fmt: skip


def _points(ax: Axes, years: Sequence[int], values: Any, label: str, *, hollow: bool = False) -> None:
    """Observed values, at the middle of their years; hollow where they were rescaled."""
    fill = "white" if hollow else "black"
    ax.plot(np.array(years) + 0.5, values, "o", mfc=fill, mec="black", mew=0.8, ms=4, label=label, zorder=5)


def _rescale(runs: Sequence[Results]) -> str:
    return f"{runs[0].manifest['parameters']['values']['mainland_stem']:.3g}"


def _decimal(date: str) -> float:
    stamp = pd.Timestamp(date)
    return float(stamp.year + (stamp.day_of_year - 1) / 365.25)


def _finish(
    figure: Figure, runs: Sequence[Results], title: str, *, observed: bool = True, spans: bool = True,
    rescaled: bool = False, fan: bool = False,
) -> None:  # fmt: skip
    """Title, and a source line that says what is drawn, what the bands hold and what the parameters are worth."""
    m = runs[0].manifest
    parts = [
        f"Line: median; {FANNED if fan else BAND}; {m['uncertainty']}. {m['members']} members, one agent stands for "
        f"{m['researchers_per_agent']} researchers."
    ]
    if spans and any(r.manifest["scenario"]["policy"] for r in runs):
        parts.append("Tan: scrutiny policies in force.")
    if m["parameters"]["status"] == "provisional":
        parts.append("Provisional parameters: illustration only.")
    if runs[0].held_by_hand:
        parts.append(f"Held by hand: {runs[0].held_by_hand}.")
    if observed:
        parts.append("Observed: Xie et al., PNAS 2023 (doi:10.1073/pnas.2216248120).")
    if rescaled:
        parts.append(f"Hollow: the series of mainland China, divided by the share {_rescale(runs)} that it counts.")
    names = ", ".join(f"{r.name}-{r.fingerprint}" for r in runs)
    parts.append(f"Model: bdsim {m['versions']['bdsim-migration']}; {names}.")
    caption(figure, title, " ".join(parts))


def _band_rows(results: Results, values: Floats, years: Sequence[int] | None = None, **labels: str) -> pd.DataFrame:
    band, mean = results.band(values), results.mean(values)
    return _table(years or list(results.years), band, mean, scenario=results.name, **labels)


def _table(years: Sequence[int], band: Floats, mean: Floats, **labels: str) -> pd.DataFrame:
    low, median, high = band
    columns: dict[str, Any] = {"year": list(years), **labels}
    return pd.DataFrame({**columns, "mean": mean, "p05": low, "median": median, "p95": high})


def _at(results: Results, values: Floats, year: int) -> str:
    low, median, high = results.band(values)[:, year - FIRST_YEAR]
    return f"{median:,.0f} ({low:,.0f} to {high:,.0f})"
