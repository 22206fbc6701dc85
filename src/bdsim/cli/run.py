"""The commands that run scenarios and compare them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdsim.cli.options import Json, RunOptions, Years, completed, finishing_first, with_run_options, years_of
from bdsim.errors import UsageError, check_years, did_you_mean, shown

if TYPE_CHECKING:
    from bdsim.reporting.summary import Summary
    from bdsim.runs.plan import Job
    from bdsim.runs.results import Results
    from bdsim.runs.workers import Workers
    from bdsim.study.layout import Study

__all__ = ["carry_out", "draw_run", "end_with_failures", "named_by", "register", "run_kept", "runs_of"]

DRAWN_FROM = "drawn-from.txt"  # beside figures: a digest of what they show apart from the numbers of the run


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
    from bdsim.analysis.comparison import compare as compare_runs
    from bdsim.cli import terminal
    from bdsim.reporting.sentences import Answer
    from bdsim.reporting.summary import Summary, priors_of
    from bdsim.study.scenario import load_scenario

    scenarios = [load_scenario(name) for name in files]
    references = [load_scenario(s.extends, s.study) if s.extends else None for s in scenarios]
    jobs = [how.plan(s) for s in scenarios]
    _check_chances(how, [event for s in scenarios for event in s.plain()["event"]])
    beside = [how.plan(r) if r is not None else None for r in references]
    made = iter(carry_out([job for pair in zip(beside, jobs, strict=True) for job in pair if job is not None], how))
    answers: list[Answer] = []
    every: list[Results] = []
    to_draw: list[tuple[Results, Study, Path]] = []
    for job, other in zip(jobs, beside, strict=True):
        reference = next(made)[0] if other is not None else None
        done, folder = next(made)
        if not how.chance:
            to_draw.append((done, job.scenario.study, folder))
        comparison = None
        if reference is not None and reference.members["branch"].nunique() == 1:
            comparison = compare_runs(reference, done)
        priors = priors_of(job.scenario.study, done)
        answers.append(Summary(done, comparison, folder=folder, priors=priors).answer)
        every += [done, *([reference] if reference is not None else [])]
    said = [part for answer in answers for part in answer.said]
    with terminal.shown_first(Answer(said, [answer.plain for answer in answers]), json=json):
        for of_run in to_draw:
            draw_run(*of_run)
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
    years: Years = None,
    json: Json = False,
) -> None:
    """Compare scenarios with a reference: figures, numbers.

    Paired person by person. Figures as PNG and SVG, the numbers behind each as CSV beside it.
    """
    from bdsim.analysis.comparison import compare as compare_runs
    from bdsim.cli import terminal
    from bdsim.reporting.sentences import Answer
    from bdsim.reporting.summary import priors_of, summaries

    asked = years_of(years)
    runs, study = runs_of([a, *others], how, asked)
    comparison = compare_runs(runs[0], *runs[1:])
    told = summaries(comparison, asked, priors_of(study, runs[0]))
    folder = (how.results or study.results) / f"compare-{named_by(comparison.all, asked)}"
    answers = [summary.answer for summary in told]
    said = [part for answer in answers for part in answer.said]
    plain = {"folder": str(folder), "runs": [answer.plain for answer in answers]}
    with terminal.shown_first(Answer(said, plain), json=json):
        terminal.note("drawing the figures ...")
        _draw_comparison(told, study, folder)
    if not json:
        terminal.tell(f"Figures and the numbers behind them: {shown(folder)}")
    end_with_failures(runs)


def runs_of(
    names: list[str], how: RunOptions, asked: tuple[int, int] | None = None, *, paired: bool = True
) -> tuple[list[Results], Study]:
    """The runs that are meant, each a results folder, a scenario's name or its file; and the study of the first.

    Where they are to be `paired`, the first is the reference: one that branches is refused before anything runs, and
    so are years that are `asked` for and that a run does not have.
    """
    from bdsim.files.text import is_there
    from bdsim.model.categories import FIRST_YEAR
    from bdsim.runs.identity import check_reference
    from bdsim.runs.results import load_results
    from bdsim.study.layout import find_study
    from bdsim.study.scenario import load_scenario

    sources: list[Job | Path] = []
    for name in names:
        is_folder = is_there(Path(name) / "manifest.json")
        sources.append(Path(name) if is_folder else how.plan(load_scenario(name)))
    if all(isinstance(s, Path) for s in sources):
        how.check_for_folders()
    there = {s: load_results(s) for s in sources if isinstance(s, Path)}
    if paired and len(sources) > 1 and not isinstance(sources[0], Path):
        check_reference(sources[0].scenario.name, len(sources[0].plans), "compare")
    if asked is not None:
        for s in sources:
            years = there[s].years if isinstance(s, Path) else range(FIRST_YEAR, s.settings.horizon + 1)
            check_years(*asked, years, "--years")
    plain = [there[s].manifest["scenario"] if isinstance(s, Path) else s.scenario.plain() for s in sources]
    _check_chances(how, [event for scenario in plain for event in scenario["event"]])
    study = next((s.scenario.study for s in sources if not isinstance(s, Path)), None)
    jobs = [s for s in sources if not isinstance(s, Path)]
    made = iter(carry_out(jobs, how) if jobs else [])
    runs = [_weighed(there[s], how) if isinstance(s, Path) else next(made)[0] for s in sources]
    return runs, study or find_study()


def carry_out(jobs: Sequence[Job], how: RunOptions) -> list[tuple[Results, Path]]:
    """The results and the folder of each job; those that are still to run do so together."""
    from bdsim.cli import terminal
    from bdsim.files.durable import restored
    from bdsim.study.remarks import remarks

    workers = how.at_work()
    once: dict[Path, Job] = {}
    folders = []
    for job in jobs:
        folders.append((how.results or job.scenario.study.results) / f"{job.scenario.name}-{job.fingerprint}")
        if folders[-1] in once:
            continue
        once[folders[-1]] = job
        for remark in remarks(job.plans, job.history.timeline):
            terminal.note(f"{job.scenario.name}: {remark}")
        restored(folders[-1])
    there = {folder: folder.exists() for folder in once}
    for folder, job in once.items():
        if there[folder]:
            terminal.note(f"{job.scenario.name}: already done, read from {shown(folder)}")
    if workers.scheduler is None and not all(there.values()):
        terminal.note_compiling(how.engine)
    found = dict(zip(once, run_kept(once, workers), strict=True))
    for folder, results in found.items():
        if len(results.failures):
            terminal.note(f"{results.failures_in_words}; the rest is in the tables; next: bdsim retry {shown(folder)}")
    return [(_weighed(found[folder], how), folder) for folder in folders]


def run_kept(jobs: Mapping[Path, Job], workers: Workers, *, retry: bool = False) -> list[Results]:
    """The results of each job in its folder, with progress, and Ctrl-C heard once before it is obeyed."""
    from bdsim.cli import terminal
    from bdsim.runs.ensemble import run_jobs

    names = ", ".join(job.scenario.name for folder, job in jobs.items() if retry or not folder.exists())
    with terminal.progress_bar(names) as report, finishing_first(workers.stop):
        return run_jobs(list(jobs.values()), list(jobs), workers, report, retry=retry)


def draw_run(results: Results, study: Study, target: Path) -> None:
    """The figures of one run, beside its tables, unless they were drawn from the same facts, words and program."""
    from bdsim.files.digest import digest_of, digest_of_files
    from bdsim.reporting.summary import observed
    from bdsim.runs.identity import sources_of

    seen, figures = observed(study, results), target / "figures"
    words = {key: results.manifest[key] for key in ("scenario", "parameters", "failed")}
    drawn_from = digest_of(words, seen, digest_of_files(sources_of("analysis", "reporting")))
    mark = figures / DRAWN_FROM
    if not mark.is_file() or mark.read_text(encoding="utf-8") != drawn_from:
        from bdsim.reporting.figures.runs import run_drawings
        from bdsim.reporting.style import save_all

        save_all(run_drawings(results, seen), figures, {DRAWN_FROM: drawn_from})


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
    from bdsim.cli import terminal

    known = [outcome["name"] for event in events for outcome in event["outcomes"]]
    for name in how.chances():
        if name not in known:
            raise UsageError(f"no outcome named '{name}'{did_you_mean(name, known)}", where="--chance")
        if known.count(name) > 1:
            terminal.note(f"--chance {name}: several of these scenarios have that outcome; it is weighed in each")


def named_by(runs: Sequence[Results], years: tuple[int, int] | None = None) -> str:
    """What a folder made of several runs is called: their names, and a digest of which runs they are."""
    asked = [f"{years[0]}-{years[1]}"] if years is not None else []
    digest = hashlib.sha256(" ".join([*(r.fingerprint for r in runs), *asked]).encode()).hexdigest()[:12]
    return "-vs-".join(r.name for r in runs)[:80] + f"-{digest}"


def _draw_comparison(told: Sequence[Summary], study: Study, target: Path) -> None:
    """The figures of a comparison and the numbers behind them, in a folder of their own."""
    import pandas as pd

    from bdsim.files.durable import new_folder, sealed
    from bdsim.reporting.figures.leavers import draw_who
    from bdsim.reporting.figures.runs import comparison_drawings
    from bdsim.reporting.style import save_drawing
    from bdsim.reporting.summary import observed

    comparison = told[0].comparison
    assert comparison is not None
    whos = [summary.who for summary in told if summary.who is not None]
    tables = {"effect-by-destination": comparison.effect(("destination",))}
    tables["answer"] = pd.DataFrame(
        [s.headline.row() | {"scenario": s.results.name, "warnings": " ".join(s.warnings)} for s in told if s.headline]
    )
    if whos:
        tables["who"] = pd.concat([w.table.assign(scenario=w.scenario) for w in whos])
        tables["top-decile"] = pd.concat([w.top_decile.assign(scenario=w.scenario) for w in whos])
    with new_folder(target) as aside:
        for drawing in [*comparison_drawings(comparison, observed(study, comparison.reference)), *map(draw_who, whos)]:
            save_drawing(drawing, aside)
        for name, table in tables.items():
            table.to_csv(aside / f"{name}.csv", index=False, float_format="%.4f")
        sealed(aside)
