"""The commands that hand results on: a report to read, tables for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bdsim.cli.options import Json, RunOptions, Years, completed, with_run_options, years_of
from bdsim.cli.run import draw_run, end_with_failures, named_by, run_kept, runs_of
from bdsim.errors import ResultsError, UsageError, shown

if TYPE_CHECKING:
    from bdsim.runs.plan import Job
    from bdsim.runs.results import Results
    from bdsim.study.layout import Study

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command(
        epilog="Examples:  bdsim report baseline initiative-revival --members 200  |  bdsim report results/A results/B"
    )(report)
    app.command(epilog="Example:  bdsim verify results/baseline-*")(verify)
    app.command(epilog="Examples:  bdsim retry results/baseline-0c63e3fa9f77  |  bdsim retry results/A --draw 17")(
        retry
    )
    app.command(epilog="Example:  bdsim reproduce results/baseline-0c63e3fa9f77")(reproduce)
    app.command(epilog="Example:  bdsim export baseline initiative-revival --format iamc --output departures.csv")(
        export
    )


@with_run_options
def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Scenarios or results folders; first the reference.", autocompletion=completed
        ),
    ],
    how: RunOptions,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File (default: results/report-.../report.html).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    years: Years = None,
    json: Json = False,
) -> None:
    """Write one self-contained HTML file: answer, figures, assumptions.

    Says how far to trust it and how to repeat it. Opens offline in any browser, and prints well.
    """
    from bdsim.analysis.comparison import compare
    from bdsim.cli import terminal
    from bdsim.files.durable import publish
    from bdsim.reporting.report import report_page

    if output is not None and output.exists() and not force:
        raise ResultsError("exists already; --force replaces it", where=output)  # before anything runs
    if len(runs) < 2:
        raise UsageError("name the reference and at least one run to compare with it", where="RUN")
    asked = years_of(years)
    found, study = runs_of(runs, how, asked)
    comparison = compare(found[0], *found[1:])
    terminal.note("report ...")
    page = report_page(comparison, study, [_job_of(study, results) for results in found], asked)
    folder = how.results or study.results
    target = output or folder / f"report-{named_by(comparison.all, asked)}" / "report.html"
    publish(target, page.encode())
    if json:
        terminal.print_json({"report": str(target), "bytes": len(page.encode())})
    else:
        terminal.tell(f"Report: {shown(target)}")
    end_with_failures(found)


@with_run_options
def export(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Scenarios or results folders.", autocompletion=completed)
    ],
    how: RunOptions,
    format_: Annotated[
        str, typer.Option("--format", help="csv, parquet, xlsx (a sheet a table), or iamc (long form that pyam reads).")
    ] = "csv",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File (default: departures.ENDING here).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write departures by year for other tools: CSV, Excel, Parquet, IAMC."""
    from bdsim.cli import terminal
    from bdsim.reporting import export as exports

    target = output or Path(f"departures{exports.FORMATS.get(format_, '')}")
    exports.check_format(format_)
    if target.exists() and not force:
        raise ResultsError("exists already; --force replaces it", where=target)  # before anything runs
    found, _ = runs_of(runs, how, paired=False)
    terminal.tell(f"Written: {shown(exports.export(found, format_, target, force=force))}")
    end_with_failures(found)


def verify(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Results folders.")],
    json: Json = False,
) -> None:
    """Check every table of a results folder against its manifest.

    Names each file that is missing or is not what was written; exit code 1 then.
    """
    from bdsim.cli import terminal
    from bdsim.runs.verify import verified

    found = {folder: verified(folder) for folder in folders}
    if json:
        terminal.print_json([{"folder": str(f), "ok": not p, "problems": p} for f, p in found.items()])
    for folder, problems in found.items():
        for problem in problems:
            terminal.note(f"{shown(folder)}: {problem}")
        if not problems and not json:
            terminal.tell(f"{shown(folder)}: every table is unchanged")
    if any(found.values()):
        raise SystemExit(1)


def retry(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A results folder with members that failed.")],
    draw: Annotated[
        int | None, typer.Option("--draw", help="Run only this draw again, save nothing, and show its error.")
    ] = None,
    json: Json = False,
) -> None:
    """Run the members of a results folder that failed once more.

    Nothing else runs; members that now succeed join the tables. Exit code 1 while any still fails.
    """
    from bdsim.cli import terminal
    from bdsim.runs.results import load_results
    from bdsim.runs.verify import job_of, replayed
    from bdsim.runs.workers import Workers
    from bdsim.study.layout import find_study

    results, study = load_results(folder), find_study()
    job = job_of(results.manifest, study)
    if job.fingerprint != results.fingerprint:
        raise ResultsError("the program or the study has changed since the run; run the scenario again", where=folder)
    if draw is not None:
        text = replayed(job, results, draw)
        terminal.tell(text or f"draw {draw} succeeded")
        raise SystemExit(1 if text else 0)
    before = len(results.failures)
    if before:
        (results,) = run_kept({folder: job}, Workers(), retry=True)
        draw_run(results, study, folder)
    left = len(results.failures)
    if json:
        terminal.print_json({"failed_before": before, "failed": left, "failures": results.failures.to_dict("records")})
    elif not before:
        terminal.tell(f"{shown(folder)}: no member failed")
    else:
        terminal.tell(f"{shown(folder)}: {before - left} of {before} failed members now succeeded")
        rows = [
            {"branch": f["branch"], "draw": f["draw"], "error": f["error"]} for f in results.failures.to_dict("records")
        ]
        if rows:
            terminal.print_table("Still failing (traceback: --draw N)", rows)
    end_with_failures([results])


def reproduce(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A results folder.")],
    json: Json = False,
) -> None:
    """Run a results folder's manifest again and compare every byte.

    Says which versions or files are not what they were; exit code 1 when a table differs.
    """
    from bdsim.cli import terminal
    from bdsim.runs.verify import reproduced
    from bdsim.study.layout import find_study

    with terminal.progress_bar("reproduce") as report:
        found = reproduced(folder, find_study(), progress=report)
    if json:
        terminal.print_json({"same": found.same, "differing": found.differing, "changed": found.changed})
    else:
        if found.same:
            terminal.tell(f"{shown(folder)}: the same, to the byte")
        else:
            terminal.tell(f"{shown(folder)}: {', '.join(found.differing)} differ")
        for line in found.changed:
            terminal.tell(f"  not as it was: {line}")
    if not found.same:
        raise SystemExit(1)


def _job_of(study: Study, results: Results) -> Job | None:
    """The run worked out again from its manifest, if it still gives the same run."""
    from bdsim.errors import InputError
    from bdsim.runs.verify import job_of

    try:
        job = job_of(results.manifest, study)
    except InputError:
        return None
    return job if job.fingerprint == results.fingerprint.split("+")[0] else None
