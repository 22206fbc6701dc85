"""The commands that run scenarios and compare them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdsim.cli.options import Json, RunOptions, completed, finishing_first, with_run_options
from bdsim.errors import UsageError, did_you_mean, shown

if TYPE_CHECKING:
    from bdsim.analysis.comparison import Comparison
    from bdsim.runs.plan import Job
    from bdsim.runs.results import Results
    from bdsim.runs.workers import Workers
    from bdsim.study.layout import Study

__all__ = ["carry_out", "draw_run", "end_with_failures", "register", "run_kept", "runs_of"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command(
        epilog="Examples:  bdsim run initiative-revival  |  "
        "bdsim run scenarios/mine.toml --members 200 --set push=0.5  |  "
        "bdsim run baseline -m 1000 --backend dask --scheduler tcp://10.0.0.1:8786"
    )(run)
    app.command(epilog="Examples:  bdsim compare baseline initiative-revival  |  bdsim compare results/A results/B")(
        compare
    )


@with_run_options
def run(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Scenario names or files.", autocompletion=completed)
    ],
    how: RunOptions,
    json: Json = False,
) -> None:
    """Run scenarios beside the one they extend.

    Keeps tables, summary, figures and manifest in results/; what is there already is read back, not run again, and
    a run that was interrupted goes on.
    """
    from bdsim.analysis.comparison import compare as pair
    from bdsim.reporting import terminal
    from bdsim.reporting.telling import answer_of
    from bdsim.study.scenario import load_scenario

    scenarios = [load_scenario(name) for name in files]
    references = [load_scenario(s.extends, s.study) if s.extends else None for s in scenarios]
    jobs = [how.plan(s) for s in scenarios]
    _check_chances(how, [event for s in scenarios for event in s.plain()["event"]])
    beside = [how.plan(r) if r is not None else None for r in references]
    answers, every = [], []
    for job, other in zip(jobs, beside, strict=True):
        reference = carry_out(other, how)[0] if other is not None else None
        done, folder = carry_out(job, how, figures=not how.chance)
        comparison = None
        if reference is not None and reference.members["branch"].nunique() == 1:
            comparison = pair(reference, done)
        answers.append(answer_of(done, folder, comparison))
        every += [done, *([reference] if reference is not None else [])]
    if json:
        terminal.print_json(answers)
    else:
        for answer in answers:
            _print_answer(answer)
    end_with_failures(every)


@with_run_options
def compare(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="The reference: scenario name, file, or results folder.", autocompletion=completed
        ),
    ],
    others: Annotated[
        list[str], typer.Argument(metavar="B...", help="What to compare with it.", autocompletion=completed)
    ],
    how: RunOptions,
    json: Json = False,
) -> None:
    """Compare scenarios with a reference: figures, numbers.

    Paired person by person. Figures as PNG and SVG, the numbers behind each as CSV beside it.
    """
    from bdsim.analysis.comparison import compare as pair
    from bdsim.reporting import terminal
    from bdsim.reporting.telling import answer_of

    runs, study = runs_of([a, *others], how)
    comparison = pair(runs[0], *runs[1:])
    folder = _draw_comparison(comparison, study, how.results or study.results)
    answers = [answer_of(r, None, comparison if r is not runs[0] else None) for r in runs]
    if json:
        terminal.print_json({"folder": str(folder), "runs": answers})
    else:
        for answer in answers:
            _print_answer(answer)
        terminal.tell(f"Figures and the numbers behind them: {shown(folder)}")
    end_with_failures(runs)


def runs_of(names: list[str], how: RunOptions) -> tuple[list[Results], Study]:
    """The runs that are meant, each a results folder, a scenario's name or its file; and the study of the first."""
    from bdsim.files.text import is_there
    from bdsim.runs.results import load_results
    from bdsim.study.layout import find_study
    from bdsim.study.scenario import load_scenario

    sources: list[Job | Path] = []
    for name in names:
        is_folder = is_there(Path(name) / "manifest.json")
        sources.append(Path(name) if is_folder else how.plan(load_scenario(name)))
    there = {s: load_results(s) for s in sources if isinstance(s, Path)}
    plain = [there[s].manifest["scenario"] if isinstance(s, Path) else s.scenario.plain() for s in sources]
    _check_chances(how, [event for scenario in plain for event in scenario["event"]])
    study = next((s.scenario.study for s in sources if not isinstance(s, Path)), None)
    runs = [_weighed(there[s], how) if isinstance(s, Path) else carry_out(s, how)[0] for s in sources]
    return runs, study or find_study()


def carry_out(job: Job, how: RunOptions, *, figures: bool = False) -> tuple[Results, Path]:
    """The job's results and their folder: read back where this exact run was done before, else run and kept."""
    from bdsim.files.durable import restored
    from bdsim.reporting import terminal
    from bdsim.study.remarks import remarks

    for remark in remarks(job.plans, job.history.timeline):
        terminal.note(f"{job.scenario.name}: {remark}")
    workers = how.at_work()
    target = (how.results or job.scenario.study.results) / f"{job.scenario.name}-{job.fingerprint}"
    restored(target)
    if target.exists():
        terminal.note(f"{job.scenario.name}: already done, read from {shown(target)}")
    elif workers.scheduler is None:
        terminal.note_compiling(job.settings.members)
    results = run_kept(job, target, workers)
    if len(results.failures):
        terminal.note(f"{results.failures_in_words}; the rest is in the tables; next: bdsim retry {shown(target)}")
    if figures:
        draw_run(results, job.scenario.study, target)
    return _weighed(results, how), target


def run_kept(job: Job, target: Path, workers: Workers, *, retry: bool = False) -> Results:
    """The job's results in the folder `target`, with progress, and Ctrl-C heard once before it is obeyed."""
    from bdsim.reporting import terminal
    from bdsim.runs.ensemble import run_job

    with terminal.progress_bar(job.scenario.name) as report, finishing_first(workers.stop):
        return run_job(job, folder=target, workers=workers, progress=report, retry=retry)


def draw_run(results: Results, study: Study, target: Path) -> None:
    """The figures of one run, beside its tables, where they are not there yet."""
    from bdsim.reporting.figures.runs import run_drawings
    from bdsim.reporting.style import save_all
    from bdsim.reporting.telling import observed

    if not (target / "figures").exists():
        save_all(run_drawings(results, observed(study, results)), target / "figures")


def end_with_failures(runs: Iterable[Results]) -> None:
    """Exit code 1 when a member of any of the runs failed: what was said stands, and is not the whole."""
    if any(len(results.failures) for results in runs):
        raise SystemExit(1)


def _weighed(results: Results, how: RunOptions) -> Results:
    """The run under the chances of --chance, as far as they are of its events."""
    from bdsim.analysis.events import outcomes_of, reweighted

    known = outcomes_of(results)
    chances = {name: chance for name, chance in how.chances().items() if name in known}
    return reweighted(results, chances) if chances else results


def _check_chances(how: RunOptions, events: list[dict[str, Any]]) -> None:
    """Before anything runs: --chance names outcomes that there are."""
    known = [outcome["name"] for event in events for outcome in event["outcomes"]]
    for name in how.chances():
        if name not in known:
            raise UsageError(f"no outcome named '{name}'{did_you_mean(name, known)}", where="--chance")


def _draw_comparison(comparison: Comparison, study: Study, folder: Path) -> Path:
    import pandas as pd

    from bdsim.files.durable import new_folder, sealed
    from bdsim.reporting.figures.leavers import draw_who
    from bdsim.reporting.figures.runs import comparison_drawings
    from bdsim.reporting.style import save_drawing
    from bdsim.reporting.summary import who_of
    from bdsim.reporting.telling import observed

    names = "-vs-".join(r.name for r in comparison.all)
    digest = hashlib.sha256(" ".join(r.fingerprint for r in comparison.all).encode()).hexdigest()[:12]
    target = folder / f"compare-{names[:80]}-{digest}"
    with new_folder(target) as aside:
        for drawing in comparison_drawings(comparison, observed(study, comparison.reference)):
            save_drawing(drawing, aside)
        effect = comparison.effect(("destination",))
        effect.to_csv(aside / "effect-by-destination.csv", index=False, float_format="%.4f")
        found = [who for who in (who_of(comparison, s) for s in comparison.others) if who is not None]
        if found:
            table = pd.concat([w.table.assign(scenario=w.scenario) for w in found])
            table.to_csv(aside / "who.csv", index=False, float_format="%.4f")
            prominent = pd.concat([w.top_decile.assign(scenario=w.scenario) for w in found])
            prominent.to_csv(aside / "top-decile.csv", index=False, float_format="%.4f")
        for who in found:
            save_drawing(draw_who(who, {r.name: r.title for r in comparison.all}), aside)
        sealed(aside)
    return target


def _print_answer(answer: dict[str, Any]) -> None:
    from bdsim.reporting import terminal
    from bdsim.reporting.telling import tables_of

    for told in tables_of(answer):
        terminal.print_table(told.title, told.rows, told.caption)
    for sentence in answer["in_words"]:
        terminal.tell(sentence)
    if answer["folder"]:
        terminal.tell(f"Results: {shown(Path(answer['folder']))}\n")
