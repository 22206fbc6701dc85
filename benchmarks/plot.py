"""The figure and the tables of docs/performance.md, from the JSON that run.py --scaling --json wrote.

    python benchmarks/run.py --scaling --json benchmarks/results.json
    python benchmarks/plot.py benchmarks/results.json

Writes docs/figures/performance.png and .svg, and what stands between the markers of docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from bdsim.reporting.style import COLOURS, REFERENCE, STYLE

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- performance:begin -->", "<!-- performance:end -->"
BLUE, ORANGE = COLOURS[0], COLOURS[1]
PALE = "#b9b9b9"
MESA = "mesa"
Report = dict[str, Any]


def colour_of(name: str) -> str:
    """bdsim blue, C dark, everything else pale."""
    return BLUE if name.startswith("bdsim") else REFERENCE if name.startswith("c-") else PALE


def draw(report: Report) -> Figure:
    """Speeds beside each other, and how bdsim scales where that was measured."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "bdsim"}):
        scaled = "scaling" in report
        figure = Figure(figsize=(9.6, 5.0) if scaled else (6.4, 4.6), layout="constrained")
        grid = figure.add_gridspec(2, 2 if scaled else 1, width_ratios=[1.55, 1] if scaled else None)
        draw_bars(figure.add_subplot(grid[:, 0]), report)
        if scaled:
            draw_scales(figure.add_subplot(grid[0, 1]), report["scaling"]["researchers"])
            draw_memory(figure.add_subplot(grid[1, 1]), report["scaling"]["researchers"])
        figure.supxlabel(source_line(report), fontsize=7, color=REFERENCE, x=0.01, ha="left")
    return figure


def source_line(report: Report) -> str:
    machine = report["machine"]
    return (
        f"{report['command']}; medians of {report['rounds']} interleaved rounds on one core: {machine['processor']}, "
        f"Python {machine['versions']['python']}. Every program but * gave the same departures."
    )


def draw_bars(axes: Axes, report: Report) -> None:
    """Speed of every program as a multiple of idiomatic Mesa's, which is where bars begin."""
    programs = sorted(report["programs"], key=lambda p: p["million_researcher_years_per_second"])
    speeds = [p["million_researcher_years_per_second"] for p in programs]
    base = next(p["million_researcher_years_per_second"] for p in programs if p["name"] == MESA)
    times = [speed / base for speed in speeds]
    colours = [colour_of(p["name"]) for p in programs]
    axes.barh(range(len(programs)), [t - 1.0 for t in times], left=1.0, color=colours, height=0.68)
    for at, (speed, ratio) in enumerate(zip(speeds, times, strict=True)):
        text = f"{digits(ratio)} times  ({digits(speed)} million/s)"
        axes.annotate(text, (max(ratio, 1.0), at), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(programs)), [bar_label(p) for p in programs])
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 1.3, max(times) * 200)
    axes.xaxis.set_major_locator(FixedLocator([10.0**n for n in range(6) if 10.0**n <= max(times) * 2]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(
        "times the speed of idiomatic Mesa, logarithmic\n(million/s: million researcher-years per second and core)"
    )
    axes.set_title("Speed")


def digits(x: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def bar_label(program: Report) -> str:
    members = program["members"]
    return (
        program["title"]
        + (f" ({members} members)" if members > 1 else "")
        + ("" if program["compared_tables"] else "*")
    )


def draw_scales(axes: Axes, points: list[Report]) -> None:
    """Speed over the number of agents."""
    for members, style, colour in ((1, "o-", BLUE), (8, "s--", ORANGE)):
        some = [p for p in points if p["members"] == members]
        if some:
            label = f"{members} member{'s' if members > 1 else ''}"
            speed = [p["million_researcher_years_per_second"] for p in some]
            axes.plot([p["rows"] for p in some], speed, style, color=colour, markersize=4, label=label)
    over_agents(axes)
    axes.set_ylim(0, max(p["million_researcher_years_per_second"] for p in points) * 1.25)
    axes.set_ylabel("million/s")
    axes.set_title("Speed over scale")
    axes.legend(frameon=False, fontsize=8, loc="upper center", ncols=2)  # above all points


def draw_memory(axes: Axes, points: list[Report]) -> None:
    """Peak memory over the number of agents."""
    for members, style, colour in ((1, "o-", BLUE), (8, "s--", ORANGE)):
        some = [p for p in points if p["members"] == members]
        gigabytes = [p["peak_megabytes"] / 1024 for p in some]
        axes.plot([p["rows"] for p in some], gigabytes, style, color=colour, markersize=4)
    over_agents(axes)
    axes.set_ylim(0, max(p["peak_megabytes"] for p in points) / 1024 * 1.15)
    axes.set_xlabel("agents who are ever here\n(right end: one agent a researcher)")
    axes.set_ylabel("GiB")
    axes.set_title("Peak memory of the process")


def over_agents(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def tables(report: Report) -> str:
    """Everything measured, as Markdown."""
    machine = report["machine"]
    parts = [
        f"Measured with `{report['command']}`: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['gcc'] or 'no gcc'}, Python {machine['versions']['python']}, "
        f"NumPy {machine['versions']['numpy']}, Numba {machine['versions']['numba']}, "
        f"Mesa {machine['versions']['mesa']}; {report['rounds']} interleaved rounds, medians, CPU seconds of one core.",
        _speed_table(report),
        _ratio_table(report),
    ]
    if "scaling" in report:
        parts += [_scaling_tables(report["scaling"])]
    return "\n\n".join(parts) + "\n"


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _speed_table(report: Report) -> str:
    speed = {p["name"]: p["million_researcher_years_per_second"] for p in report["programs"]}
    rows = [
        [
            p["title"],
            f"{p['researchers_per_agent']}",
            f"{p['members']}",
            f"{p['researcher_years'] / 1e6:.3g}",
            f"{p['median_seconds']:.3g}",
            digits(speed[p["name"]]),
            digits(speed[p["name"]] / speed[MESA]) if MESA in speed else "",
        ]
        for p in report["programs"]
    ]
    heads = ["program", "researchers per agent", "members", "million researcher-years", "CPU seconds",
             "million researcher-years per second", "times idiomatic Mesa"]  # fmt: skip
    return _markdown(heads, rows)


def _ratio_table(report: Report) -> str:
    rows = [
        [r["meaning"], f"{r['ratio']:.2f}", f"{r['lowest']:.2f}-{r['highest']:.2f}", f"{r['at_least']:g}",
         "yes" if r["ratio"] >= r["at_least"] else "no"]
        for r in report["ratios"]
    ]  # fmt: skip
    return _markdown(["ratio of speeds in one round", "median", "range", "at least", "reached"], rows)


def _scaling_tables(scaling: Report) -> str:
    heads = ["researchers per agent", "years to", "members", "threads", "agents ever here", "seconds",
             "million researcher-years per second", "peak MB"]  # fmt: skip
    rows = [
        [
            f"{p['researchers_per_agent']}",
            f"{p['horizon']}",
            f"{p['members']}",
            f"{p['threads']}",
            f"{p['rows']:,}",
            f"{p['median_seconds']:.3g}",
            f"{p['million_researcher_years_per_second']:.3g}",
            f"{p['peak_megabytes']:.0f}",
        ]
        for kind in ("researchers", "years", "members", "cores")
        for p in scaling[kind]
    ]
    lines = _markdown(
        ["waiting for", "first line, seconds", "end, seconds"],
        [
            [
                f"`bdsim {row['command']}`" + (", first use" if row["cache"] == "empty" else ""),
                f"{row['first_line']:.2f}",
                f"{row['end']:.2f}",
            ]
            for row in scaling["waiting"]
        ],
    )
    return _markdown(heads, rows) + "\n\n" + lines


def write_page(report: Report, page: Path = PAGE) -> None:
    """Replace what stands between the markers."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"plot.py: {page}: the markers {BEGIN} and {END} are missing")
    page.write_text(f"{before}{BEGIN}\n{tables(report)}{END}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="what run.py --json wrote")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures", help="folder for the figure")
    parser.add_argument("--only-figure", action="store_true", help="leave docs/performance.md as it is")
    asked = parser.parse_args()
    report: Report = json.loads(asked.report.read_text())
    figure = draw(report)
    for ending, options in (("png", {"dpi": 160}), ("svg", {"metadata": {"Date": None}})):
        with mpl.rc_context({"svg.hashsalt": "bdsim"}):
            figure.savefig(asked.figures / f"performance.{ending}", **options)
    if not asked.only_figure:
        write_page(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
