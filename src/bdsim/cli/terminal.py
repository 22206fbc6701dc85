"""What the commands print: tables for people, JSON for scripts, progress on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bdsim.errors import printable

if TYPE_CHECKING:
    from bdsim.reporting.sentences import Answer
    from bdsim.runs.ensemble import Progress as Report

__all__ = ["as_json", "note", "print_json", "print_table", "progress_bar", "show", "shown_first", "stage_bar", "tell"]

QUIET = 10.0  # seconds without a word where there is no bar
ENOUGH = 1.0  # seconds that tell a pace: threads that began together end together


class Terminal(Console):
    """A console that falls silent, and ends nothing, when its reader goes away as `| head` does."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


out, err = Terminal(highlight=False), Terminal(stderr=True, highlight=False)


SAID_ONCE = set[str]()  # emptied when a command begins


def tell(text: str) -> None:
    """A line for the person, on standard output."""
    out.print(printable(text, "\n\t"), markup=False, soft_wrap=True)


def note(text: str) -> None:
    """A line about progress, on standard error."""
    err.print(printable(text, "\n\t"), markup=False, soft_wrap=True)


def note_once(text: str) -> None:
    """As `note`, once in a command however often it is asked for; nothing for ''."""
    if text and text not in SAID_ONCE:
        SAID_ONCE.add(text)
        note(text)


def note_compiling(engine: str = "compiled", *, sampled: bool = True) -> None:
    """Say so where machine code is still to be made."""
    from bdsim.model.machine_code import ENGINES, is_compiled

    if not is_compiled(ENGINES[engine], sampled=sampled):
        note("compiling the model; this happens once and takes some five to twenty seconds ...")


def print_json(value: Any) -> None:
    """JSON on standard output, for scripts."""
    sys.stdout.write(as_json(value) + "\n")


def show(answer: Answer, *, json: bool) -> None:
    """What a command found: for scripts, or its tables and sentences in their order."""
    if json:
        print_json(answer.plain)
        return
    for part in answer.said:
        if isinstance(part, str):
            tell(part)
        elif part.rows:
            print_table(part.title, part.rows, part.caption)


@contextmanager
def shown_first(answer: Answer, *, json: bool) -> Iterator[None]:
    """People see what was found before what goes with it is made; a script gets it when all is there."""
    if not json:
        show(answer, json=False)
    yield
    if json:
        show(answer, json=True)


def as_json(value: Any) -> str:
    """JSON as files and scripts get it; null stands for what is not a finite number."""
    return json.dumps(_finite(value), indent=1, default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: null stands for them."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(title: str, rows: Sequence[Mapping[str, Any]], caption: str = "") -> None:
    """Rows of text as a table; numbers to the right."""
    out.print(printable(title, "\n\t"), style="bold", markup=False)
    table = Table()
    for name in rows[0]:
        numeric = all(str(row[name])[:1] in "0123456789+-" for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(str(cell), "\n\t")) for cell in row.values()))
    out.print(table)
    if caption:
        out.print(printable(caption, "\n\t"), markup=False)


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
    """How fast members come once the first are there: what was there at the first word is not counted, nor what the
    first had to wait for, which is machine code and people."""

    def __init__(self) -> None:
        self._starts, self._since, self._had = 0, time.monotonic(), 0

    def rate(self, done: int) -> float:
        """Members a second until now; 0 until more than the first are there, and have been for a while."""
        now = time.monotonic()
        if self._starts == 0 or (self._starts == 1 and done > self._had):
            self._starts, self._since, self._had = self._starts + 1, now, done
        passed = now - self._since
        return (done - self._had) / passed if passed >= ENOUGH else 0.0


def _progress_lines(title: str, what: str) -> Report:
    """A line at the start, and one whenever QUIET seconds have passed without."""
    pace, spoken = Pace(), 0.0

    def report(done: int, total: int) -> None:
        nonlocal spoken
        rate, now = pace.rate(done), time.monotonic()
        if not spoken:
            note(f"{title}: {done} of {total} {what} are already done, continuing ..." if done else f"{title} ...")
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
