"""The command line: one command a question. Heavy imports wait until a command needs them."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from bdsim import __version__
from bdsim.cli import checks as cli_checks
from bdsim.cli import explore as cli_explore
from bdsim.cli import fit as cli_fit
from bdsim.cli import futures as cli_futures
from bdsim.cli import questions as cli_why
from bdsim.cli import results as cli_report
from bdsim.cli import run as cli_run
from bdsim.cli import study as cli_study
from bdsim.cli.options import ByTask, ForMost, Json
from bdsim.errors import BdsimError, InputError, printable, shown
from bdsim.study import DEFAULT_HORIZON

__all__ = ["app", "main"]

# Typer before 0.20 stands on click, later ones carry their own copy; this is the root of either's usage errors.
COMMAND_LINE_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

KEPT = "nothing is left half-written; the same command continues with the members that are still missing"

app = typer.Typer(
    name="bdsim",
    cls=ByTask,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Who leaves, why, and what a policy would change: a simulation of researcher migration.\n\n"
    "Start with:  bdsim scenarios, then  bdsim compare baseline initiative-revival\n\n"
    "A run is an ensemble: many members, each a history of the same world with its own luck and its own parameters, "
    "drawn from the fit. Intervals hold 90% of members.",
)

for _module in (cli_study, cli_run, cli_report, cli_fit, cli_checks, cli_why, cli_futures, cli_explore):
    _module.register(app)


class Ended(BaseException):
    """A signal that asks the program to end: SIGTERM, or SIGHUP when its terminal closes."""


def main() -> NoReturn:
    """The command `bdsim`, in a process of its own."""
    _leave(exit_code())


def exit_code() -> int:
    """Run the command line.

    0 done, 1 the run failed, 2 the input is wrong, 130 interrupted, 128 + n ended by signal n.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process, which is allowed
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    _speak_utf8()
    gc.set_threshold(100_000)  # what is imported lives as long as the command: searching it takes a tenth of the time
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, _end)
    try:
        code = int(app(standalone_mode=False) or 0)  # Typer turns Ctrl-C into a returned 130
        if code == 130:
            raise KeyboardInterrupt
        sys.stdout.flush()
    except COMMAND_LINE_ERROR as error:
        message = error.format_message()
        _complain(message if message.startswith("Usage:") else "bdsim: " + " ".join(message.split()))
        code = 2
    except InputError as error:
        _complain(str(error))
        code = 2
    except BdsimError as error:
        _complain(f"bdsim: {error}")
        code = 1
    except (KeyboardInterrupt, typer.Abort):
        _complain(f"interrupted; {KEPT}")
        code = 130
    except Ended as signalled:
        code = int(str(signalled))
        _complain(f"ended by signal {code - 128}; {KEPT}")
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        code = 0
    except SystemExit as stop:
        # Of a broken pipe Typer makes an exit of its own, with 1.
        code = 0 if isinstance(stop.__context__, BrokenPipeError) else int(stop.code or 0)
    except OSError as error:
        _complain(f"bdsim: {shown(Path(error.filename)) + ': ' if error.filename else ''}{error.strerror or error}")
        code = 1
    except UnicodeError:
        _complain("bdsim: a path or an argument has bytes that are not UTF-8 text; rename the folder or file")
        code = 2
    except MemoryError:
        _complain("bdsim: not enough memory; fewer --members or more researchers an agent (-k) need less")
        code = 1
    return code


def _speak_utf8() -> None:
    """Start again in UTF-8 where Python was told to read paths otherwise; print what a terminal lacks as an escape.

    The libraries that write tables and figures take paths as UTF-8, whatever the locale says.
    """
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1" and os.name != "nt":
        encoding = streams[0].encoding if streams else "ascii"
        os.environ |= {"PYTHONUTF8": "1", "PYTHONIOENCODING": f"{encoding}:backslashreplace"}
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")


def _end(number: int, _frame: object) -> None:
    raise Ended(128 + number)


def _leave(code: int) -> NoReturn:
    """Exit, whatever became of the streams.

    At once: to take Python apart takes longer than some commands, and threads that still compute members which nobody
    waits for would abort the process meanwhile.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # all is done: a signal now would only spoil the exit code
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # full, or closed
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if not _at_work(code):
        atexit._run_exitfuncs()  # what libraries want done, such as removing files of theirs
    os._exit(code)


def _at_work(code: int) -> bool:
    """Whether threads compute what nobody waits for: members of an interrupted run, a page that was closed."""
    workers, pages = (sys.modules.get(f"bdsim.{name}") for name in ("runs.workers", "explore.session"))
    return bool((code >= 128 and workers and workers.are_at_work()) or (pages and pages.are_at_work()))


def _complain(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody listens
        sys.stderr.write(printable(line, "\n") + "\n")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"bdsim {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001 - its callback has answered
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""
    from bdsim.cli import terminal

    terminal.SAID_ONCE.clear()


@app.command(epilog="Example:  bdsim init my-study && cd my-study && bdsim compare baseline initiative-revival")
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]) -> None:
    """Write a fresh study into DIR: scenarios, calibration, results."""
    from bdsim.study.layout import create_study

    study = create_study(folder)
    typer.echo(
        f"{shown(study.root)}: {len(study.scenario_names())} scenarios; next: "
        f"cd {shown(study.root)} && bdsim compare baseline initiative-revival"
    )


@app.command(epilog="Examples:  bdsim evidence  |  bdsim evidence retention  |  bdsim evidence --rebuilt")
def evidence(
    name: Annotated[str | None, typer.Argument(metavar="[FILE]", help="Show the rows of one file of facts.")] = None,
    rebuilt: Annotated[bool, typer.Option("--rebuilt", help="Show the years that no fact covers.")] = False,
    json: Json = False,
) -> None:
    """List the facts with their sources, and what was rebuilt."""
    from bdsim.cli import terminal
    from bdsim.study.evidence import coverage_of, in_spans, load_evidence
    from bdsim.study.history import rebuild_history
    from bdsim.study.layout import find_study
    from bdsim.study.parameters import load_parameters

    study = find_study()
    facts = load_evidence(study)
    if rebuilt:
        history = rebuild_history(facts, DEFAULT_HORIZON, load_parameters(study.parameters)["past_growth"])
        rows: list[dict[str, Any]] = [
            {"table": table, "rebuilt years": in_spans(years), "how": how}
            for table, (years, how) in history.rebuilt.items()
        ]
        title = "Rebuilt, not observed"
    elif name is not None:
        rows = [row.model_dump(mode="json", by_alias=True, exclude_none=True) for row in facts.rows(name)]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        rows = [{column: row.get(column, "") for column in columns} for row in rows]
        title = f"{name}: {facts.sources[name].what}"
    else:
        known = coverage_of(facts)
        rows = [
            {
                "file": file,
                "rows": len(facts.facts[file]),
                "years": known[file].years if file in known.series else "",
                "what": source.what,
                "source": source.cite,
                "beware": source.caveat,
            }
            for file, source in facts.sources.items()
            if file in facts.facts
        ]
        title = "Facts and their sources (calibration/evidence, calibration/sources.toml)"
    if json:
        terminal.print_json(rows)
    elif name is None and not rebuilt:
        for row in rows:
            years = f", {row['years']}" if row["years"] else ""
            terminal.tell(f"{row['file']} ({row['rows']} rows{years}): {row['what']}")
            terminal.tell(f"    source: {row['source']}\n    beware: {row['beware']}")
        for file in facts.unread:
            terminal.tell(f"{file} is not read: it has no entry in calibration/sources.toml")
        terminal.tell(
            "Years that no fact covers are not in the files; 'bdsim evidence --rebuilt' lists what the model rebuilds."
        )
    else:
        terminal.print_table(title, rows)


@app.command(epilog="Example:  bdsim parameters --markdown")
def parameters(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of docs/ODD.md.")] = False,
    json: Json = False,
) -> None:
    """List every parameter: value, unit, prior, source."""
    from bdsim.cli import terminal
    from bdsim.study.fit import chosen_fit
    from bdsim.study.layout import find_study
    from bdsim.study.parameters import as_markdown, load_parameters

    study = find_study()
    known = load_parameters(study.parameters)
    if json:
        entries = {name: entry.model_dump(mode="json") for name, entry in known.entries.items()}
        terminal.print_json({"status": known.status, "note": known.note, "parameters": entries})
    elif markdown:
        typer.echo(as_markdown(known))
    else:
        rows = [
            {
                "name": name, "value": f"{entry.value:g}",
                "prior": f"{entry.prior.mean:g}, {entry.prior.sd:g}" if entry.prior else "fixed",
                "told by data": entry.identified, "meaning": entry.meaning,
            }
            for name, entry in known.entries.items()
        ]  # fmt: skip
        terminal.print_table(f"Parameters ({known.status})", rows, caption=known.note)
        used = chosen_fit(study, None, known)
        if used is not None:
            terminal.tell(
                f"Runs use fitted/{used.name}: what it freed ({len(list(used.draws))} parameters) they draw from "
                "its posterior. The values above count for the rest, and for all under --fit none."
            )


@app.command(epilog="Examples:  bdsim check  |  bdsim check scenarios/mine.toml")
def check(
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILES]", help="Default: all of scenarios/.")] = None,
    json: Json = False,
) -> None:
    """Validate scenarios: one line for each mistake.

    Also checks the facts and parameters they stand on and, where no file is named, the targets. Exit code 2 when
    anything is wrong.
    """
    from bdsim.calibration.target_file import load_targets
    from bdsim.cli import terminal
    from bdsim.runs.plan import Settings, plan_run
    from bdsim.study.evidence import load_evidence
    from bdsim.study.layout import find_study
    from bdsim.study.parameters import load_parameters
    from bdsim.study.remarks import remarks
    from bdsim.study.scenario import load_scenario
    from bdsim.study.uncertainty.assumptions import assumptions_of

    names = files or find_study().scenario_names()
    verdicts: list[dict[str, Any]] = []
    if not files:
        study = find_study()
        try:
            load_targets(study.targets, load_evidence(study), load_parameters(study.parameters))
        except InputError as error:
            verdicts.append({"scenario": "", "ok": False, "message": str(error)})
    for name in map(str, names):
        try:
            scenario = load_scenario(name)
            job = plan_run(scenario, Settings())
            verdict = f"{len(job.plans)} branches" if len(job.plans) > 1 else "ok"
            if ranges := len(assumptions_of(scenario)):
                verdict += f", {ranges} assumption{'s' if ranges > 1 else ''} with a range"
            verdicts.append(
                {
                    "scenario": name,
                    "ok": True,
                    "message": "; ".join([verdict, *remarks(job.plans, job.history.timeline)]),
                }
            )
        except InputError as error:
            verdicts.append({"scenario": name, "ok": False, "message": str(error)})
    if json:
        terminal.print_json(verdicts)
    for wrong in dict.fromkeys(found["message"] for found in verdicts if not found["ok"]):
        _complain(wrong)  # once, however many scenarios stand on the file at fault
    for found in verdicts:
        if found["ok"] and not json:
            terminal.tell(f"{found['scenario']}: {found['message']}")
    if not all(found["ok"] for found in verdicts):
        raise SystemExit(2)


@app.command(epilog="Example:  bdsim diff baseline protect-act")
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="Scenario name or file.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Scenario name or file.")],
    horizon: Annotated[int, typer.Option("--horizon", help="Last simulated year.")] = DEFAULT_HORIZON,
    json: Json = False,
) -> None:
    """Print what B changes against A, resolved.

    Parts added, removed or changed, and every yearly value that differs.
    """
    from bdsim.cli import terminal
    from bdsim.runs.plan import Settings, plan_run
    from bdsim.study.remarks import remarks
    from bdsim.study.scenario import changed_parts, changed_values, load_scenario

    settings = Settings(horizon=horizon)
    one, other = (plan_run(load_scenario(name), settings) for name in (a, b))
    for remark in remarks(other.plans, other.history.timeline):
        terminal.note(f"{other.scenario.name}: {remark}")
    parts = changed_parts(one.scenario, other.scenario)
    values = [
        {"branch": plan.branch.name, **row}
        for plan in other.plans
        for row in changed_values(one.plans[0].timeline, plan.timeline)
    ]
    if json:
        terminal.print_json({"parts": parts, "values": values})
        return
    if not parts and not values:
        terminal.tell(f"{b} changes nothing against {a}")
    if parts:
        terminal.print_table(f"Parts that {b} changes against {a}", parts)
    if values:
        branching = len(other.plans) > 1
        rows = [{k: v for k, v in row.items() if branching or k != "branch"} for row in values]
        terminal.print_table(f"Yearly values that {b} changes", rows)


@app.command(epilog="Example:  bdsim schema > scenario.schema.json   (then: #:schema ./scenario.schema.json in a file)")
def schema() -> None:
    """Print the JSON Schema of scenario files."""
    from bdsim.cli import terminal
    from bdsim.study.scenario_file import scenario_schema

    terminal.print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **scenario_schema()})


for _command in app.registered_commands:
    _command.cls = ForMost

if __name__ == "__main__":
    main()
