"""The commands that ask why, how far, and what a number depends on. All use expected runs: fast and without chance."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdsim.cli.futures import regret_sampled
from bdsim.cli.options import Json, Years, years_of
from bdsim.errors import UsageError, did_you_mean, shown
from bdsim.study import DEFAULT_HORIZON

if TYPE_CHECKING:
    from bdsim.reporting.sentences import Answer
    from bdsim.reporting.style import Drawing
    from bdsim.runs.plan import Job

__all__ = ["register"]

COARSE = 100  # researchers an agent: without chance, finer agents move an answer by far less than its interval
MANY = 9  # runs go eight side by side, and those left over alone
Draws = Annotated[int, typer.Option("--draws", help="Sets of parameters, drawn from the fit, behind the intervals.")]
Scale = Annotated[
    int, typer.Option("--researchers-per-agent", "-k", help="How many an agent stands for; 1 is full scale.")
]
Horizon = Annotated[int, typer.Option("--horizon", help="Last simulated year.")]
FitName = Annotated[str | None, typer.Option("--fit", help="Fit to run on (default: default; none: parameters.toml).")]
LeverYears = Annotated[str, typer.Option("--years", metavar="FROM-TO", help="Years of the levers, both included.")]
Folder = Annotated[Path | None, typer.Option("--results", help="Folder for the answer (default: the study's).")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of people and draws.")]


MOST_SAMPLES = 65_536


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command(epilog="Examples:  bdsim attribute  |  bdsim attribute initiative-revival --of departures:2025-2035")(
        attribute
    )
    app.command(epilog="Example:  bdsim breakeven --lever us_funding --target 'departures:2035<=2500'")(breakeven)
    app.command(
        epilog="Examples:  bdsim sensitivity --of departures:2035  |  "
        "bdsim sensitivity initiative-revival --excess --method sobol --samples 64"
    )(sensitivity)
    app.command(
        epilog="Examples:  bdsim regret --policies baseline,us-retention-package --futures baseline,initiative-revival"
        "  |  bdsim regret --policies baseline,us-retention-package --futures outlook --sampled --meets 40000"
    )(regret)


def attribute(
    scenario: Annotated[
        str | None,
        typer.Argument(metavar="[SCENARIO]", help="Explain its effect; without a scenario, the growth of departures."),
    ] = None,
    first: Annotated[
        int | None, typer.Option("--from", help="Growth from this year (default: the reference year of history).")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--until", help="Growth until this year (default: the last of the departure series).")
    ] = None,
    of: Annotated[str | None, typer.Option("--of", metavar="QUANTITY", help="E.g. departures:2025-2035.")] = None,
    years: Years = None,
    draws: Draws = 40,
    researchers_per_agent: Scale = COARSE,
    horizon: Horizon = DEFAULT_HORIZON,
    fit: FitName = None,
    seed: Seed = 0,
    results: Folder = None,
    json: Json = False,
) -> None:
    """Say why: shares of scrutiny, funding, offers, colleagues, people.

    Shapley shares of the growth of departures, or of a scenario's effect against the one it extends; they add up.
    """
    from bdsim.analysis.attribution import attribute_effect, attribute_growth
    from bdsim.analysis.quantity import parse_quantity
    from bdsim.reporting.questions import attribution_answer

    asked = years_of(years)
    if asked is not None and (":" in (of or "") or (first, last) != (None, None)):
        raise UsageError("names the years a second time; give them once", where="--years")
    if scenario is None and of is not None:
        raise UsageError("goes with a scenario; without one the growth of departures is explained", where="--of")
    if scenario is not None and (first, last) != (None, None):
        raise UsageError("go with growth; for the effect of a scenario give --years", where="--from, --until")
    if scenario is None:
        from bdsim.model.categories import REFERENCE_YEAR

        begin, end = asked or _growth(first, last)
        job = _job("baseline", draws, researchers_per_agent, max(end, REFERENCE_YEAR), fit, seed)
        with _progress("attribute") as report:
            found = attribute_growth(job, begin, end, report)
    else:
        job = _job(scenario, draws, researchers_per_agent, horizon, fit, seed)
        window = years or f"{min(job.history.projected, horizon)}-{horizon}"
        text = of if of is not None and ":" in of else f"{of or 'departures'}:{window}"
        quantity = parse_quantity(text, horizon, "--of")
        reference = _reference(job, fit)
        with _progress("attribute") as report:
            found = attribute_effect(job, reference, quantity, report)
    _answer(
        "attribute",
        job,
        found.of,
        lambda: _figures().draw_attribution(found, job),
        attribution_answer(found),
        results,
        json,
    )


def breakeven(
    scenario: Annotated[str, typer.Argument(metavar="[SCENARIO]", help="The world in which the lever is turned.")] = (
        "baseline"
    ),
    lever: Annotated[str, typer.Option("--lever", metavar="TABLE", help="A yearly table; see docs/ODD.md.")] = "",
    target: Annotated[str, typer.Option("--target", metavar="GOAL", help="E.g. 'departures:2035<=2500'.")] = "",
    how: Annotated[str, typer.Option("--as", help="multiply, add or set.")] = "multiply",
    years: LeverYears = "2026-2035",
    range_: Annotated[str, typer.Option("--range", metavar="LOW,HIGH", help="Where to search.")] = "0.25,4",
    draws: Draws = 40,
    researchers_per_agent: Scale = COARSE,
    horizon: Horizon = DEFAULT_HORIZON,
    fit: FitName = None,
    seed: Seed = 0,
    results: Folder = None,
    json: Json = False,
) -> None:
    """Find how far a lever must go to hold a number under, or over, a goal."""
    from bdsim.analysis.breakeven import NEUTRAL, Turned, break_even
    from bdsim.analysis.quantity import parse_goal
    from bdsim.reporting.questions import breakeven_answer

    if not lever or not target:
        raise UsageError("name a --lever and a --target, e.g. --lever us_funding --target 'departures:2035<=2500'")
    if how not in NEUTRAL:
        raise UsageError(f"unknown way '{how}'{did_you_mean(how, NEUTRAL)}", where="--as")
    low, high = _pair(range_, ",", float, "--range")
    turned = Turned(lever, how, _span(years), low, high)
    goal = parse_goal(target, horizon, "--target")
    job = _job(scenario, draws, researchers_per_agent, horizon, fit, seed)
    with _progress("breakeven") as report:
        found = break_even(job, turned, goal, report)
    answer = breakeven_answer(found, job)
    _answer("breakeven", job, f"{turned} {goal}", lambda: _figures().draw_break_even(found, job), answer, results, json)


def sensitivity(
    scenario: Annotated[str, typer.Argument(metavar="[SCENARIO]", help="Scenario name or file.")] = "baseline",
    of: Annotated[str, typer.Option("--of", metavar="QUANTITY", help="E.g. departures:2035, to_china:2026-2035.")] = (
        "departures:2026-2035"
    ),
    excess: Annotated[
        bool, typer.Option("--excess", help="Explain the difference from the scenario it extends.")
    ] = False,
    method: Annotated[str, typer.Option("--method", help="morris or sobol.")] = "morris",
    samples: Annotated[
        int | None, typer.Option("--samples", help="Morris: trajectories (16); Sobol: a power of two (64).")
    ] = None,
    over: Annotated[str, typer.Option("--over", help="posterior or prior ranges.")] = "posterior",
    lever: Annotated[
        list[str] | None, typer.Option("--lever", metavar="TABLE=LOW..HIGH", help="Factors on a yearly table.")
    ] = None,
    years: LeverYears = "2026-2035",
    researchers_per_agent: Scale = COARSE,
    horizon: Horizon = DEFAULT_HORIZON,
    fit: FitName = None,
    seed: Seed = 0,
    results: Folder = None,
    json: Json = False,
) -> None:
    """Rank parameters and levers by how much a number depends on them."""
    from bdsim.analysis.quantity import parse_quantity
    from bdsim.analysis.sensitivity import make_inputs
    from bdsim.analysis.sensitivity import sensitivity as analysed
    from bdsim.reporting.questions import sensitivity_answer

    if over not in ("posterior", "prior"):
        raise UsageError(f"unknown ranges '{over}'{did_you_mean(over, ('posterior', 'prior'))}", where="--over")
    quantity = parse_quantity(of, horizon, "--of")
    job = _job(scenario, 1, researchers_per_agent, horizon, fit, seed)
    reference = _reference(job, fit) if excess else None
    inputs = make_inputs(job, dict(map(_lever_range, lever or [])), _span(years), over)
    size = samples if samples is not None else (16 if method == "morris" else 64)
    if not 2 <= size <= MOST_SAMPLES:
        raise UsageError(f"{size} is not a number from 2 to {MOST_SAMPLES:,}", where="--samples")
    with _progress("sensitivity") as report:
        found = analysed(job, quantity, inputs, method, size, seed, reference, report)
    answer = sensitivity_answer(found, size, over, job.parameters.label)
    question = f"{quantity} {method} {size} {over} {inputs} {seed} {excess}"
    _answer("sensitivity", job, question, lambda: _figures().draw_tornado(found, job), answer, results, json)


def regret(
    policies: Annotated[str, typer.Option("--policies", metavar="A,B", help="Scenarios that one may choose.")] = "",
    futures: Annotated[str, typer.Option("--futures", metavar="C,D", help="Scenarios that may come.")] = "",
    of: Annotated[str, typer.Option("--of", metavar="QUANTITY", help="What to keep small.")] = "departures:2026-2035",
    more: Annotated[bool, typer.Option("--more", help="More is better, as with stock:2035.")] = False,
    sampled: Annotated[
        bool,
        typer.Option(
            "--sampled", help="Each draw meets a future of its own, from the ranges and events of one scenario."
        ),
    ] = False,
    meets: Annotated[
        float | None,
        typer.Option(
            "--meets",
            metavar="NUMBER",
            help="With --sampled: in what share of futures it is at most (with --more, at least) this.",
        ),
    ] = None,
    draws: Draws = 40,
    researchers_per_agent: Scale = COARSE,
    horizon: Horizon = DEFAULT_HORIZON,
    fit: FitName = None,
    seed: Seed = 0,
    results: Folder = None,
    json: Json = False,
) -> None:
    """Set policies against futures: what each would miss against the best."""
    from bdsim.analysis.futures.regret import regret_of
    from bdsim.analysis.quantity import parse_quantity
    from bdsim.reporting.questions import regret_answer
    from bdsim.study.scenario import load_scenario

    if not policies or not futures:
        raise UsageError(
            "name --policies and --futures, e.g. --policies baseline,us-retention-package --futures baseline"
        )
    quantity = parse_quantity(of, horizon, "--of")
    chosen, coming = ([load_scenario(n.strip()) for n in text.split(",")] for text in (policies, futures))
    parents = {s.extends or s.name for s in (*chosen, *coming)}
    if len(parents) > 1:
        raise UsageError(
            f"all policies must extend the same scenario; these extend {', '.join(sorted(parents))}", where="regret"
        )
    if not sampled and meets is not None:
        raise UsageError("needs --sampled", where="--meets")
    base = _job(parents.pop(), draws, researchers_per_agent, horizon, fit, seed)
    if sampled:
        if len(coming) != 1:
            raise UsageError(
                "with --sampled name one scenario, from whose ranges and events futures are drawn", where="--futures"
            )
        regret_sampled(base, chosen, coming[0], quantity, more=more, threshold=meets, results=results, json=json)
        return
    with _progress("regret") as report:
        found = regret_of(base, chosen, coming, quantity, more=more, progress=report)
    question = f"{policies} {futures} {of} {more}"
    _answer("regret", base, question, lambda: _figures().draw_regret(found, base), regret_answer(found), results, json)


def _growth(first: int | None, last: int | None) -> tuple[int, int]:
    """The years whose growth is asked for; else from the reference year of history to the end of the series."""
    from bdsim.model.categories import REFERENCE_YEAR
    from bdsim.study.evidence import coverage_of, load_evidence
    from bdsim.study.layout import find_study

    known = coverage_of(load_evidence(find_study())).departures
    return max(known.first, REFERENCE_YEAR) if first is None else first, known.last if last is None else last


def _job(name: str, draws: int, scale: int, horizon: int, fit: str | None, seed: int) -> Job:
    from bdsim.cli import terminal
    from bdsim.model.machine_code import compile_ahead
    from bdsim.runs.plan import Settings, plan_run
    from bdsim.study.scenario import load_scenario

    compile_ahead(sampled=False)
    job = plan_run(load_scenario(name), Settings(draws, seed, scale, "compiled", horizon), None, fit)
    terminal.note_compiling(sampled=False)
    if job.assumptions:
        terminal.note(f"{job.scenario.name}: ranges of the file are held at their centres; bdsim run draws from them")
    return job


def _reference(job: Job, fit: str | None) -> Job:
    """The scenario that the job's extends, on the same people and parameters."""
    from bdsim.runs.plan import plan_run
    from bdsim.study.scenario import load_scenario

    scenario = job.scenario
    if scenario.extends is None:
        raise UsageError(f"'{scenario.name}' extends no scenario that it could be compared with", where="SCENARIO")
    return plan_run(load_scenario(scenario.extends, scenario.study), job.settings, None, fit)


def _progress(title: str) -> Any:
    from bdsim.cli import terminal

    return terminal.progress_bar(title, "runs")


def _figures() -> Any:
    """The figures of this module's commands; drawing takes half a second to import, so answers are told before."""
    from bdsim.reporting.figures import questions

    return questions


def _answer(
    kind: str, job: Job, question: str, draw: Callable[[], Drawing], answer: Answer, results: Path | None, json: bool
) -> None:  # fmt: skip
    """Say what was found; keep it with its figure, its numbers and what made them in a folder."""
    from bdsim.cli import terminal
    from bdsim.files.durable import new_folder, sealed
    from bdsim.reporting.sentences import Answer
    from bdsim.runs.plan import manifest_of

    digest = hashlib.sha256(f"{job.fingerprint} {question}".encode()).hexdigest()[:12]
    folder = (results or job.scenario.study.results) / f"{kind}-{job.scenario.name}-{digest}"
    with terminal.shown_first(Answer(answer.said, {**answer.plain, "folder": str(folder)}), json=json):
        from bdsim.reporting.style import save_drawing

        with new_folder(folder) as aside:
            save_drawing(draw(), aside)
            manifest = {**manifest_of(job), "question": question, "answer": answer.plain}
            (aside / "manifest.json").write_text(terminal.as_json(manifest), encoding="utf-8")
            sealed(aside)
    if not json:
        terminal.tell(f"Figure and numbers: {shown(folder)}")


def _pair(text: str, mark: str, kind: Any, where: str) -> tuple[Any, Any]:
    parts = text.split(mark)
    try:
        low, high = (kind(part) for part in parts)
        if not all(map(math.isfinite, (low, high))):
            raise ValueError
    except ValueError:
        raise UsageError(f"'{text}' is not two numbers with '{mark}' between", where=where) from None
    return low, high


def _span(text: str) -> tuple[int, int]:
    found = years_of(text)
    assert found is not None  # of a text
    return found


def _lever_range(text: str) -> tuple[str, tuple[float, float]]:
    table, _, values = text.partition("=")
    return table.strip(), _pair(values, "..", float, "--lever")
