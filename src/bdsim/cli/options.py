"""Options that several commands share and what they mean; help by task, in the order in which one needs commands."""

from __future__ import annotations

import contextlib
import functools
import inspect
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from bdsim.errors import UsageError, did_you_mean
from bdsim.study import DEFAULT_HORIZON

if TYPE_CHECKING:
    from bdsim.runs.plan import Job
    from bdsim.runs.workers import Workers
    from bdsim.study.scenario import Scenario

__all__ = [
    "TASKS", "TECHNICAL", "ByTask", "ForMost", "Json", "RunOptions", "Years", "completed", "finishing_first",
    "with_run_options", "years_of",
]  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Years = Annotated[
    str | None, typer.Option("--years", metavar="FROM-TO", help="Years of the question, e.g. 2027-2032, both included.")
]
FOR_FOLDERS = {"chance", "results"}  # options that apply to runs that are finished
BACKENDS = ("threads", "dask")


def completed(incomplete: str) -> list[str]:
    """Names of scenarios that begin so, for the completion of a shell; none outside a study."""
    from bdsim.errors import BdsimError
    from bdsim.study.layout import find_study

    try:
        names = find_study(Path.cwd()).scenario_names()
    except (BdsimError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]


@dataclass(frozen=True)
class RunOptions:
    """How scenarios are run: the options of every command that runs some."""

    members: Annotated[
        int, typer.Option("--members", "-m", help="How many histories to run, each with its own luck and parameters.")
    ] = 32
    seed: Annotated[int, typer.Option("--seed", help="Seed of people and luck.")] = 0
    researchers_per_agent: Annotated[
        int, typer.Option("--researchers-per-agent", "-k", help="How many an agent stands for; 1 is full scale.")
    ] = 10
    horizon: Annotated[int, typer.Option("--horizon", help="Last simulated year.")] = DEFAULT_HORIZON
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            help="compiled; mesa (slow; same decisions); or float32 (faster, with luck of its own; for exploring).",
        ),
    ] = "compiled"
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Replace a parameter, e.g. --set push=0.5."),
    ] = None
    fit: Annotated[
        str | None, typer.Option("--fit", help="Fit to run on (default: default; none: parameters.toml).")
    ] = None
    chance: Annotated[
        list[str] | None,
        typer.Option(
            "--chance", metavar="OUTCOME=CHANCE", help="Give an event's outcome another chance, without a new run."
        ),
    ] = None
    results: Annotated[Path | None, typer.Option("--results", help="Folder for results (default: the study's).")] = None
    workers: Annotated[int | None, typer.Option("--workers", help="Threads (default: one per core).")] = None
    chunk: Annotated[int, typer.Option("--chunk", help="Members per task, in multiples of eight.")] = 8
    backend: Annotated[str, typer.Option("--backend", help="threads, or dask with --scheduler.")] = "threads"
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, e.g. tcp://10.0.0.1:8786.")
    ] = None

    given = frozenset[str]()  # the names of those that stand on the command line

    def compile_ahead(self) -> None:
        """Have the engine compiled, where it is not, while this process imports what it needs."""
        from bdsim.model.machine_code import ENGINES, compile_ahead

        if self.engine in ENGINES and self.engine != "mesa" and self.scheduler is None:
            compile_ahead(ENGINES[self.engine])

    def check_for_folders(self) -> None:
        """Runs that are finished take no options of how to run. Raises UsageError for one that is given."""
        for name in sorted(self.given - FOR_FOLDERS):
            option = "--" + name.rstrip("_").replace("_", "-")
            raise UsageError("does not apply to results folders: their runs are finished", where=option)

    def plan(self, scenario: Scenario) -> Job:
        """The scenario worked out under these options; a fit made from other things is told of. Raises InputError."""
        from bdsim.cli import terminal
        from bdsim.runs.plan import Settings, plan_run
        from bdsim.study.parameters import parse_settings

        engine: Any = self.engine  # Settings checks the name
        settings = Settings(self.members, self.seed, self.researchers_per_agent, engine, self.horizon)
        job = plan_run(scenario, settings, parse_settings(self.set_ or []), self.fit)
        terminal.note_once(job.fit_remark)
        return job

    def chances(self) -> dict[str, float]:
        """What --chance says, by outcome. Raises UsageError."""
        found: dict[str, float] = {}
        for text in self.chance or []:
            outcome, _, value = text.rpartition("=")
            name = outcome.strip()
            if name in found:
                raise UsageError(f"{name}: given twice", where="--chance")
            try:
                found[name] = float(value)
            except ValueError:
                raise UsageError(f"'{text}' is not OUTCOME=CHANCE, e.g. signed=0.4", where="--chance") from None
        return found

    def at_work(self) -> Workers:
        """Who runs the members. Raises UsageError."""
        from bdsim.runs.workers import Workers

        if self.backend not in BACKENDS:
            raise UsageError(
                f"unknown backend '{self.backend}'{did_you_mean(self.backend, BACKENDS)}", where="--backend"
            )
        if (self.backend == "dask") != (self.scheduler is not None):
            raise UsageError("--backend dask and --scheduler ADDRESS need each other", where="--backend")
        return Workers(self.workers, self.scheduler, self.chunk)


def years_of(text: str | None) -> tuple[int, int] | None:
    """The first and last year of --years, None where it is not given. Raises UsageError."""
    from bdsim.analysis.quantity import parse_window
    from bdsim.model.categories import FIRST_YEAR, LAST_POSSIBLE_YEAR

    return None if text is None else parse_window(text, FIRST_YEAR, LAST_POSSIBLE_YEAR)


def with_run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all of RunOptions on the command line; it receives them as its argument `how`."""

    @functools.wraps(command)
    def called(context: typer.Context, **arguments: Any) -> Any:
        own = {name: arguments.pop(name) for name in list(arguments) if name not in shared}
        how = RunOptions(**arguments)
        sources = {name: context.get_parameter_source(name) for name in shared}
        written = (name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE")
        object.__setattr__(how, "given", frozenset(written))
        how.compile_ahead()
        return command(**own, how=how)

    hints = get_type_hints(command, include_extras=True)
    shared = get_type_hints(RunOptions, include_extras=True)
    own = [
        p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(command).parameters.values()
        if p.name != "how"
    ]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(RunOptions, name), annotation=hint)
        for name, hint in shared.items()
    ]
    asked = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    # The type ignored: functions may bear a signature of their own, which Typer reads.
    called.__signature__ = inspect.Signature([asked, *own, *more])  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in (asked, *own, *more)}
    return called


@contextlib.contextmanager
def finishing_first(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C sets `stop`, so that members at work are finished and kept; the second stops at once."""

    def first(_number: int, _frame: Any) -> None:
        from bdsim.cli import terminal

        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop.set()
        terminal.note("finishing the members that are at work; Ctrl-C again stops at once")

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield  # somebody else decides what Ctrl-C does here
        return
    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


TASKS = {
    "Start": ("scenarios", "compare", "memo", "new", "init", "explore"),
    "Scenarios": ("check", "diff", "schema"),
    "Run and report": ("run", "report", "export"),
    "Ask": ("attribute", "breakeven", "sensitivity", "discover", "sweep", "outlook", "regret"),
    "Facts and fit": (
        "evidence",
        "parameters",
        "calibrate",
        "fit-report",
        "fit-diff",
        "profile",
        "backtest",
        "validate",
    ),
    "Keep": ("verify", "reproduce", "retry"),
}
OTHERS = "More"
TECHNICAL = {
    "--seed", "--researchers-per-agent", "--engine", "--fit", "--results", "--workers", "--chunk", "--backend",
    "--scheduler", "--samples", "--method", "--over",
}  # fmt: skip


class ByTask(TyperGroup):
    """The list of commands under the headings of TASKS; what no task names comes last."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section a task."""
        left = dict.fromkeys(self.list_commands(ctx))
        told = {task: [name for name in names if name in left] for task, names in TASKS.items()}
        for names in told.values():
            for name in names:
                left.pop(name)
        for task, names in {**told, OTHERS: list(left)}.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, c.get_short_help_str(formatter.width - 24)) for name, c in commands if c and not c.hidden]
            if rows:
                with formatter.section(task):
                    formatter.write_dl(rows, col_max=16)


class ForMost(TyperCommand):
    """A command whose help has the technical options last, under a heading of their own."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options, technical options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], "Technical options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            if param.param_type_name == "argument":
                sections["Arguments"].append(record)
            else:
                technical = not TECHNICAL.isdisjoint(param.opts)
                sections["Technical options" if technical else "Options"].append(record)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
