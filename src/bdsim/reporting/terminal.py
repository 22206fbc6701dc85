"""What the commands print: tables for people, JSON for scripts, progress on stderr."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from bdsim.analysis.comparison import Comparison
    from bdsim.runs.ensemble import Progress as Report
    from bdsim.runs.results import Results

__all__ = ["branch_rows", "note", "period_rows", "print_json", "print_table", "progress_bar", "tell"]

QUIET = 10.0  # seconds without a word where there is no bar
out, err = Console(highlight=False), Console(stderr=True, highlight=False)


def tell(text: str) -> None:
    """A line for the person, on standard output."""
    out.print(plain(text), markup=False, soft_wrap=True)


def note(text: str) -> None:
    """A line about progress, on standard error."""
    err.print(plain(text), markup=False, soft_wrap=True)


def plain(text: str) -> str:
    """Text that cannot move the cursor, whatever a file, a name or an exception says."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def note_compiling(members: int, *, sampled: bool = True) -> None:
    """Say so where machine code for a run of so many members is still to be made."""
    from bdsim.model.engine.batch import is_compiled  # imports Numba, which commands that only read do without

    if not is_compiled(members, sampled=sampled):
        note("compiling the model; this happens once and takes some ten seconds to half a minute ...")


def print_json(value: Any) -> None:
    """JSON on standard output, for scripts."""
    sys.stdout.write(json.dumps(_finite(value), indent=1, default=str, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: null stands for them."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(title: str, rows: Sequence[Mapping[str, Any]], caption: str = "") -> None:
    """Rows of text as a table; numbers to the right."""
    out.print(plain(title), style="bold", markup=False)
    table = Table()
    for name in rows[0]:
        numeric = all(str(row[name])[:1] in "0123456789+-" for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(plain(str(cell))) for cell in row.values()))
    out.print(table)
    if caption:
        out.print(plain(caption), markup=False)


@contextmanager
def progress_bar(title: str, what: str = "members") -> Iterator[Report]:
    """How many are done, their rate and the time left: a bar on a terminal, a line now and then elsewhere."""
    if not err.is_terminal:
        yield _progress_lines(title, what)
        return
    text, rate = TextColumn("{task.description}"), TextColumn("{task.fields[rate]:.3g} " + what + " a second")
    columns = (text, BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn(), TimeRemainingColumn())
    pace = Pace()
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(title, total=None, rate=0.0)
        yield lambda done, total: bar.update(task, completed=done, total=total, rate=pace.rate(done))


class Pace:
    """How fast members come, those that were there at the first word not counted."""

    def __init__(self) -> None:
        self.since, self.had = time.monotonic(), -1

    def rate(self, done: int) -> float:
        """Members a second until now."""
        if self.had < 0:
            self.had = done
        return (done - self.had) / max(time.monotonic() - self.since, 1e-9)


def _progress_lines(title: str, what: str) -> Report:
    """A line at the start, and one whenever QUIET seconds have passed without."""
    pace, spoken = Pace(), 0.0

    def report(done: int, total: int) -> None:
        nonlocal spoken
        rate, now = pace.rate(done), time.monotonic()
        if not spoken:
            note(f"{title}: {done} of {total} {what} are there, going on ..." if done else f"{title} ...")
        elif now - spoken > QUIET and rate > 0:
            note(f"{title}: {done} of {total} {what}, {rate:.3g} a second, {(total - done) / rate:.0f} s left")
        else:
            return
        spoken = now

    return report


@contextmanager
def stage_bar(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Progress through named stages: a bar on a terminal, a line a stage elsewhere."""
    seen: set[str] = set()
    if not err.is_terminal:

        def line(stage: str, _done: int, total: int) -> None:
            if stage not in seen:
                seen.add(stage)
                note(f"{title}: {stage}{f' ({total})' if total > 1 else ''} ...")

        yield line
        return
    text = TextColumn("{task.description}")
    with Progress(
        text,
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    ) as bar:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(f"{title}: {stage}", total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield update


def period_rows(results: Results, comparison: Comparison | None) -> list[dict[str, Any]]:
    """Departures of scientists of Chinese descent by band of years, as numbers."""
    from bdsim.analysis.comparison import year_bands  # brings SciPy and joblib, which a fit report does not need

    periods = year_bands(results.years[-1])
    table, _ = results.by("destination")
    effect = comparison.difference(results, periods) if comparison is not None else None
    rows = []
    for number, (first, last) in enumerate(periods):
        span = table[:, first - results.years[0] : last - results.years[0] + 1].sum(axis=1)
        low, median, high = (float(x) for x in results.band(span.sum(axis=1)))
        mean = float(results.mean(span.sum(axis=1)))
        row: dict[str, Any] = {"from": first, "until": last, "mean": mean, "median": median, "p05": low, "p95": high}
        row["share_china"] = float(results.share(span[:, 0], span.sum(axis=1)))
        if effect is not None:
            row["excess_mean"] = float(effect.mean()[number])
            low, median, high = (float(x) for x in effect.band()[:, number])
            row |= {"excess_p05": low, "excess_median": median, "excess_p95": high}
        rows.append(row)
    return rows


def branch_rows(results: Results, comparison: Comparison | None) -> list[dict[str, Any]]:
    """Each way through the events: chance, departures in the projection, excess; last, the expectation."""
    first, last = 2025, results.years[-1]
    if last < first:
        return []
    values = results.by()[0][:, first - results.years[0] :].sum(axis=1)
    excess = comparison.difference(results, [(first, last)]).expected[:, 0] if comparison is not None else None
    rows = []
    for branch in results.manifest["branches"]:
        of = (results.members["branch"] == branch["name"]).to_numpy()
        row = {"branch": branch["name"], "chance": branch["chance"], "departures": float(values[of].mean())}
        if excess is not None:
            row["excess_mean"] = float(excess[of].mean())
        rows.append(row)
    expected = {"branch": "expected value", "chance": sum(r["chance"] for r in rows)}
    for key in rows[0].keys() - {"branch", "chance"}:
        expected[key] = sum(r["chance"] * r[key] for r in rows)
    return [*rows, expected]


def period_text(rows: Sequence[Mapping[str, Any]], reference: str, *, events: bool) -> list[dict[str, str]]:
    """`period_rows` as text for a table: medians, or expected values where events make medians misleading."""
    shown = []
    middle = "mean" if events else "median"
    for row in rows:
        text = {
            "years": f"{row['from']}-{row['until']}",
            f"departures, {middle} [90%]": f"{row[middle]:,.0f} [{row['p05']:,.0f}, {row['p95']:,.0f}]",
            "to China": f"{row['share_china']:.0%}",
        }
        if "excess_mean" in row:
            excess = f"{row[f'excess_{middle}']:+,.0f} [{row['excess_p05']:+,.0f}, {row['excess_p95']:+,.0f}]"
            same = row["excess_mean"] == row["excess_p05"] == row["excess_p95"] == 0.0
            text[f"over {reference}, {middle} [90%]"] = "0 (identical)" if same else excess
        shown.append(text)
    return shown


def branch_text(rows: Sequence[Mapping[str, Any]], last: int) -> list[dict[str, str]]:
    """`branch_rows` as text for a table."""
    return [
        {
            "branch": row["branch"],
            "chance": f"{row['chance']:.3f}",
            f"departures 2025-{last}": f"{row['departures']:,.0f}",
            **({"over the reference": f"{row['excess_mean']:+,.0f}"} if "excess_mean" in row else {}),
        }
        for row in rows
    ]


def event_text(rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[dict[str, str]]]:
    """`answers.event_rows` as a title and text for a table."""
    title = f"What each event carries of the variance of departures {rows[0]['from']}-{rows[0]['until']}"
    shown = [
        {"event": row["event"], "share of variance": f"{row['share']:.0%}", "reached": f"{row['reached']:.0%}"}
        for row in rows
    ]
    return title, shown
