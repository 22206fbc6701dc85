"""The commands that ask why, how far, and what a number depends on. All use expected runs: fast and without chance."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdsim.cli.options import Json
from bdsim.errors import UsageError, did_you_mean, shown

if TYPE_CHECKING:
    from bdsim.reporting.style import Drawing
    from bdsim.runs.plan import Job

__all__ = ["register"]

MANY = 9  # runs go eight side by side, and those left over alone
HORIZON = 2035
Draws = Annotated[int, typer.Option("--draws", help="Sets of parameters, drawn from the fit, behind the intervals.")]
Scale = Annotated[
    int, typer.Option("--researchers-per-agent", "-k", help="How many an agent stands for; 1 is full scale.")
]
Horizon = Annotated[int, typer.Option("--horizon", help="Last simulated year.")]
FitName = Annotated[str | None, typer.Option("--fit", help="Fit to run on (default: default; none: parameters.toml).")]
Years = Annotated[str, typer.Option("--years", metavar="FROM-TO", help="Years of the levers, both included.")]
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
        epilog="Example:  bdsim regret --policies baseline,us-retention-package --futures baseline,initiative-revival"
    )(regret)


def attribute(
    scenario: Annotated[
        str | None, typer.Argument(metavar="[SCENARIO]", help="Its effect; without one, the growth of departures.")
    ] = None,
    first: Annotated[int, typer.Option("--from", help="Growth from this year.")] = 2010,
    last: Annotated[int, typer.Option("--until", help="Growth until this year.")] = 2021,
    of: Annotated[str | None, typer.Option("--of", metavar="QUANTITY", help="E.g. departures:2025-2035.")] = None,
    draws: Draws = 40,
    researchers_per_agent: Scale = 25,
    horizon: Horizon = HORIZON,
    fit: FitName = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Say why: shares of scrutiny, funding, offers, colleagues, people.

    Shapley shares of the growth of departures, or of a scenario's effect against the one it extends; they add up.
    """
    from bdsim.analysis.attribution import attribute_effect, attribute_growth
    from bdsim.analysis.quantity import parse_quantity
    from bdsim.cli import terminal
    from bdsim.reporting.figures.questions import draw_attribution

    if scenario is None:
        job = _job("baseline", draws, researchers_per_agent, max(last, 2010), fit, seed)
        with _progress("attribute") as report:
            found = attribute_growth(job, first, last, report)
    else:
        job = _job(scenario, draws, researchers_per_agent, horizon, fit, seed)
        reference = _reference(job, fit)
        quantity = parse_quantity(of or f"departures:2025-{horizon}", horizon, "--of")
        with _progress("attribute") as report:
            found = attribute_effect(job, reference, quantity, report)
    table = found.table()
    folder = _keep("attribute", job, found.of, [draw_attribution(found)], {"cannot_tell": list(found.cannot_tell)})
    if json:
        rows = table.to_dict("records")
        terminal.print_json({"of": found.of, "shares": rows, "cannot_tell": found.cannot_tell, "folder": str(folder)})
        return
    rows = [
        {
            "cause": r.cause, "researchers, mean [90%]": f"{r.mean:+,.0f} [{r.p05:+,.0f}, {r.p95:+,.0f}]",
            "share [90%]": f"{r.share:.0%} [{r.share_p05:.0%}, {r.share_p95:.0%}]",
        }
        for r in table.itertuples()
    ]  # fmt: skip
    said = f"Shapley shares over {len(found.total)} posterior draws add up exactly"
    caption = f"{said}; they are shares of the model, not measured effects."
    terminal.print_table(f"Why: {found.of}", rows, caption)
    _tell_what_data_cannot(found.cannot_tell)
    terminal.tell(f"Figure and numbers: {shown(folder)}")


def breakeven(
    scenario: Annotated[str, typer.Argument(metavar="[SCENARIO]", help="The world in which the lever is turned.")] = (
        "baseline"
    ),
    lever: Annotated[str, typer.Option("--lever", metavar="TABLE", help="A yearly table; see docs/ODD.md.")] = "",
    target: Annotated[str, typer.Option("--target", metavar="GOAL", help="E.g. 'departures:2035<=2500'.")] = "",
    how: Annotated[str, typer.Option("--as", help="multiply, add or set.")] = "multiply",
    years: Years = "2026-2035",
    range_: Annotated[str, typer.Option("--range", metavar="LOW,HIGH", help="Where to search.")] = "0.25,4",
    draws: Draws = 40,
    researchers_per_agent: Scale = 25,
    horizon: Horizon = HORIZON,
    fit: FitName = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Find how far a lever must go to hold a number under, or over, a goal."""
    from bdsim.analysis.breakeven import NEUTRAL, Turned, break_even
    from bdsim.analysis.quantity import parse_goal
    from bdsim.cli import terminal
    from bdsim.reporting.figures.questions import draw_break_even

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
    low, median, high = found.interval()
    answer = {
        "lever": lever, "as": how, "years": list(turned.years), "goal": str(goal), "median": median, "p05": low,
        "p95": high, "reachable": found.reachable, "held_before": float(found.held_before.mean()),
        "monotone": found.monotone, "draws": len(found.roots),
    }  # fmt: skip
    folder = _keep("breakeven", job, f"{turned} {goal}", [draw_break_even(found)], answer)
    if json:
        terminal.print_json({**answer, "folder": str(folder)})
        return
    said = (
        f"{goal.quantity.meaning} {'at most' if goal.under else 'at least'} {goal.number:,.0f}: {how} {lever} in "
        f"{turned.years[0]}-{turned.years[1]} by {median:.3g} [90% {low:.3g}, {high:.3g}]"
        if found.reachable > 0.0
        else f"no value of {lever} from {turned.low:g} to {turned.high:g} comes to {goal}, in any draw"
    )
    terminal.tell(f"By the model, {said}.")
    terminal.tell(
        f"{found.reachable:.0%} of {len(found.roots)} posterior draws meet the goal within {turned.low:g} to "
        f"{turned.high:g}; in {found.held_before.mean():.0%} it holds already where nothing changes."
    )
    if not found.monotone:
        terminal.tell("The response is not monotone: the crossing nearest to no change is given, there may be others.")
    _tell_what_data_cannot(_levers_rest_on(job, [lever]))
    terminal.tell(f"Figure and numbers: {shown(folder)}")


def sensitivity(
    scenario: Annotated[str, typer.Argument(metavar="[SCENARIO]", help="Scenario name or file.")] = "baseline",
    of: Annotated[str, typer.Option("--of", metavar="QUANTITY", help="E.g. departures:2035, to_china:2026-2035.")] = (
        "departures:2026-2035"
    ),
    excess: Annotated[bool, typer.Option("--excess", help="Of the difference from the scenario it extends.")] = False,
    method: Annotated[str, typer.Option("--method", help="morris or sobol.")] = "morris",
    samples: Annotated[
        int | None, typer.Option("--samples", help="Morris: trajectories (16); Sobol: a power of two (64).")
    ] = None,
    over: Annotated[str, typer.Option("--over", help="posterior or prior ranges.")] = "posterior",
    lever: Annotated[
        list[str] | None, typer.Option("--lever", metavar="TABLE=LOW..HIGH", help="Factors on a yearly table.")
    ] = None,
    years: Years = "2026-2035",
    researchers_per_agent: Scale = 50,
    horizon: Horizon = HORIZON,
    fit: FitName = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Rank parameters and levers by how much a number depends on them."""
    from bdsim.analysis.quantity import parse_quantity
    from bdsim.analysis.sensitivity import make_inputs
    from bdsim.analysis.sensitivity import sensitivity as analysed
    from bdsim.cli import terminal
    from bdsim.reporting.figures.questions import draw_tornado

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
    facts = {"of": str(quantity), "method": method, "samples": size, "over": over, "evaluations": found.evaluations}
    folder = _keep("sensitivity", job, f"{facts} {inputs} {seed} {excess}", [draw_tornado(found, job)], facts)
    if json:
        terminal.print_json({**facts, "inputs": found.table.to_dict("records"), "folder": str(folder)})
        return
    rows = [
        {
            "input": r["input"], "range": f"{r['low']:.3g} to {r['high']:.3g}",
            "index [90%]": f"{_short(r['index'])} ± {_short(r['conf'])}",
            **({"mean effect": f"{_short(r['mean'])}"} if method == "morris" else {"alone": f"{r['first']:.2f}"}),
        }
        for r in found.table.to_dict("records")
    ]  # fmt: skip
    what = "mu*: mean absolute effect over the range, researchers" if method == "morris" else "total Sobol' index"
    terminal.print_table(f"{found.of}: what {quantity} depends on", rows, f"Index: {what}. {found.evaluations} runs.")
    terminal.tell(f"Ranges: {over}; inputs vary independently, so correlations of the posterior are left out.")
    terminal.tell(f"Figure and numbers: {shown(folder)}")


def regret(
    policies: Annotated[str, typer.Option("--policies", metavar="A,B", help="Scenarios that one may choose.")] = "",
    futures: Annotated[str, typer.Option("--futures", metavar="C,D", help="Scenarios that may come.")] = "",
    of: Annotated[str, typer.Option("--of", metavar="QUANTITY", help="What should be small.")] = "departures:2026-2035",
    more: Annotated[bool, typer.Option("--more", help="More is better, as with stock:2035.")] = False,
    draws: Draws = 40,
    researchers_per_agent: Scale = 25,
    horizon: Horizon = HORIZON,
    fit: FitName = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Set policies against futures: what each would miss against the best."""
    from bdsim.analysis.quantity import parse_quantity
    from bdsim.analysis.regret import regret_of
    from bdsim.cli import terminal
    from bdsim.reporting.figures.questions import draw_regret
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
            f"all must change the same scenario; these change {', '.join(sorted(parents))}", where="regret"
        )
    base = _job(parents.pop(), draws, researchers_per_agent, horizon, fit, seed)
    with _progress("regret") as report:
        found = regret_of(base, chosen, coming, quantity, more=more, progress=report)
    worst = found.worst()
    folder = _keep("regret", base, f"{policies} {futures} {of} {more}", [draw_regret(found)], {"of": of, "more": more})
    if json:
        answer = {"table": found.table().to_dict("records"), "greatest": worst.to_dict("records")}
        terminal.print_json({"of": of, **answer, "folder": str(folder)})
        return
    rows = [
        {
            "policy": r.policy, "future": r.future, str(quantity): f"{r.mean:,.0f} [{r.p05:,.0f}, {r.p95:,.0f}]",
            "regret": f"{r.regret:,.0f} [{r.regret_p05:,.0f}, {r.regret_p95:,.0f}]", "best in": f"{r.best:.0%}",
        }
        for r in found.table().itertuples()
    ]  # fmt: skip
    goal = "more" if more else "less"
    terminal.print_table("Policies against futures", rows, f"Mean and 90% of posterior draws; {goal} is better.")
    best = worst.iloc[0]
    terminal.tell(
        f"Least greatest regret, by the model: {best['policy']}, {best['greatest_regret']:,.0f} (in {best['in']}). "
        "Better counts researchers and nothing else: not what a policy costs, nor whom it harms."
    )
    terminal.tell(f"Figure and numbers: {shown(folder)}")


def _job(name: str, draws: int, scale: int, horizon: int, fit: str | None, seed: int) -> Job:
    from bdsim.cli import terminal
    from bdsim.runs.plan import Settings, plan_run
    from bdsim.study.scenario import load_scenario

    job = plan_run(load_scenario(name), Settings(draws, seed, scale, "compiled", horizon), None, fit)
    terminal.note_compiling(MANY, sampled=False)
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


def _keep(kind: str, job: Job, question: str, drawings: Sequence[Drawing], facts: dict[str, Any]) -> Path:
    """Figures, their numbers and what made them, in a folder of the study's results."""
    import json

    from bdsim.files.durable import new_folder, sealed
    from bdsim.reporting.style import save_drawing
    from bdsim.runs.plan import manifest_of

    digest = hashlib.sha256(f"{job.fingerprint} {question}".encode()).hexdigest()[:12]
    folder = job.scenario.study.results / f"{kind}-{job.scenario.name}-{digest}"
    with new_folder(folder) as aside:
        for drawing in drawings:
            save_drawing(drawing, aside)
        manifest = {**manifest_of(job), "question": question, "answer": facts}
        (aside / "manifest.json").write_text(json.dumps(manifest, indent=1, default=str), encoding="utf-8")
        sealed(aside)
    return folder


def _levers_rest_on(job: Job, tables: Sequence[str]) -> tuple[str, ...]:
    from bdsim.analysis.attribution import cannot_tell, cause_of

    return cannot_tell(job.fit, [cause_of(table) for table in tables], "what the model makes of")


def _tell_what_data_cannot(said: Sequence[str]) -> None:
    from bdsim.cli import terminal

    if said:
        terminal.tell("What the data cannot tell:")
        for sentence in said:
            terminal.tell(f"  - {sentence}")


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
    first, last = _pair(text, "-", int, "--years")
    return first, last


def _lever_range(text: str) -> tuple[str, tuple[float, float]]:
    table, _, values = text.partition("=")
    return table.strip(), _pair(values, "..", float, "--lever")


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.2g}"
