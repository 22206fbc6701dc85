"""The commands about futures that nobody knows: what must be true, how far two things may go together."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdsim.cli.options import Json, RunOptions, with_run_options
from bdsim.errors import UsageError, did_you_mean, shown
from bdsim.study import DEFAULT_HORIZON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bdsim.analysis.quantity import Quantity
    from bdsim.reporting.style import Drawing
    from bdsim.runs.plan import Job
    from bdsim.study.scenario import Scenario

__all__ = ["register", "regret_sampled"]

CUTS = (2016, 2018)  # last years known to the forecasts that the outlook's rule is tried on


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command(
        epilog="Examples:  bdsim discover results/protect-act-0c63e3fa9f77 --above departures:2030=3000  |  "
        "bdsim discover protect-act -m 500 --above departures=15000 --years 2027-2032"
    )(discover)
    app.command(
        epilog="Examples:  bdsim sweep --lever us_funding=0.6..1.2 --policy-scrutiny 0..1.5 --steps 7  |  "
        "bdsim sweep initiative-revival --lever offers=0..4 --of to_china:2035"
    )(sweep)
    app.command(epilog="Examples:  bdsim outlook > scenarios/outlook.toml  |  bdsim outlook --backtest")(outlook)


@with_run_options
def discover(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A results folder, or a scenario's name or file.")],
    how: RunOptions,
    above: Annotated[
        str | None, typer.Option("--above", metavar="QUANTITY=NUMBER", help="E.g. departures:2030=3000.")
    ] = None,
    below: Annotated[str | None, typer.Option("--below", metavar="QUANTITY=NUMBER", help="The same, below.")] = None,
    years: Annotated[
        str | None, typer.Option("--years", metavar="FROM-TO", help="Years of the quantity, where it names none.")
    ] = None,
    boxes: Annotated[int, typer.Option("--boxes", help="How many boxes at most.")] = 2,
    density: Annotated[
        float | None, typer.Option("--density", help="Least density of a box (default: balance with coverage).")
    ] = None,
    json: Json = False,
) -> None:
    """Say what must be true for a number to be large, or small.

    Boxes of parameters, assumptions and events that tell such futures from others (PRIM), each in one sentence, and
    the share of the variance that each input explains by itself. The more members, the surer the boxes.
    """
    from bdsim.analysis.futures.discover import discover as discovered
    from bdsim.analysis.futures.discover import parse_threshold
    from bdsim.cli import terminal
    from bdsim.cli.run import end_with_failures, runs_of
    from bdsim.reporting.figures.futures import draw_discovery, draw_scores

    text = above if above is not None else below
    if text is None or (above is not None and below is not None):
        raise UsageError("give either --above or --below, e.g. --above departures:2030=3000")
    if not 1 <= boxes <= 6:
        raise UsageError(f"{boxes} is not a number from 1 to 6", where="--boxes")
    if density is not None and not 0.0 < density <= 1.0:
        raise UsageError(f"{density:g} is not above 0 and at most 1", where="--density")
    parse_threshold(text, above is not None, years, 2100)  # before anything runs
    (results,), study = runs_of([run], how)
    threshold = parse_threshold(text, above is not None, years, results.years[-1])
    with terminal.progress_bar("discover", "boxes"):
        found = discovered(results, threshold, most=boxes, least_density=density)
    question = f"{results.fingerprint} {threshold} {threshold.number!r} {boxes} {density}"
    facts = {
        "run": results.fingerprint, "threshold": str(threshold), "share_of_futures": found.base,
        "in_words": found.sentences(),
    }  # fmt: skip
    drawings = [draw_discovery(found), draw_scores(found)]
    folder = _keep(f"discover-{results.name}", how.results or study.results, question, drawings, facts)
    if json:
        tables = {"limits": found.table().to_dict("records"), "scores": found.scores.to_dict("records")}
        terminal.print_json({**facts, **tables, "folder": str(folder)})
    else:
        _print_discovery(found)
        terminal.tell(f"Figures and numbers: {shown(folder)}")
    end_with_failures([results])


def sweep(
    scenario: Annotated[str, typer.Argument(metavar="[SCENARIO]", help="The world in which levers are turned.")] = (
        "baseline"
    ),
    lever: Annotated[
        list[str] | None, typer.Option("--lever", metavar="TABLE=LOW..HIGH", help="A yearly table; see docs/ODD.md.")
    ] = None,
    policy_scrutiny: Annotated[
        str | None,
        typer.Option(
            "--policy-scrutiny",
            metavar="LOW..HIGH",
            help="Scrutiny of researchers of Chinese descent in --years, whatever the scenario says.",
        ),
    ] = None,
    of: Annotated[str, typer.Option("--of", metavar="QUANTITY", help="E.g. departures:2035, to_china:2026-2035.")] = (
        "departures:2026-2035"
    ),
    how: Annotated[str, typer.Option("--as", help="What levers do: multiply, add or set.")] = "multiply",
    years: Annotated[str, typer.Option("--years", metavar="FROM-TO", help="Years of the levers.")] = "2026-2035",
    steps: Annotated[int, typer.Option("--steps", help="Points along each lever.")] = 7,
    draws: Annotated[int, typer.Option("--draws", help="Posterior draws behind the intervals.")] = 16,
    researchers_per_agent: Annotated[int, typer.Option("--researchers-per-agent", "-k", help="1 is full scale.")] = 50,
    horizon: Annotated[int, typer.Option("--horizon", help="Last simulated year.")] = DEFAULT_HORIZON,
    fit: Annotated[str | None, typer.Option("--fit", help="Fit to run on (none: parameters.toml).")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of people and draws.")] = 0,
    json: Json = False,
) -> None:
    """Show a number over the range of one lever, or of two together.

    Expected runs without chance at every point of a grid; a table, and a curve or a map with contours.
    """
    from bdsim.analysis.breakeven import NEUTRAL, Turned
    from bdsim.analysis.futures.sweep import sweep as swept
    from bdsim.analysis.quantity import parse_quantity, parse_window
    from bdsim.cli import terminal
    from bdsim.model.categories import FIRST_YEAR
    from bdsim.reporting.figures.futures import draw_sweep
    from bdsim.reporting.sentences import interval
    from bdsim.runs.plan import Settings, plan_run
    from bdsim.study.scenario import load_scenario

    if how not in NEUTRAL:
        raise UsageError(f"unknown way '{how}'{did_you_mean(how, NEUTRAL)}", where="--as")
    settings = Settings(draws, seed, researchers_per_agent, "compiled", horizon)
    window = parse_window(years, FIRST_YEAR, horizon)
    quantity = parse_quantity(of, horizon, "--of")
    axes = [Turned(table, how, window, *ends) for table, ends in map(_lever_range, lever or [])]
    if policy_scrutiny is not None:
        option = "--policy-scrutiny"
        axes.append(Turned("scrutiny_china", "set", window, *_ends(policy_scrutiny, option), option))
    job = plan_run(load_scenario(scenario), settings, None, fit)
    terminal.note_compiling(sampled=False)
    if job.assumptions:
        terminal.note(f"{job.scenario.name}: ranges of the file are held at their centres; bdsim run draws from them")
    with terminal.progress_bar("sweep", "runs") as report:
        found = swept(job, axes, quantity, steps, report)
    table = found.table()
    facts = {"of": str(quantity), "scenario": job.scenario.name, "years": list(window), "draws": len(found.values)}
    question = f"{job.fingerprint} {axes} {quantity} {steps}"
    folder = _keep(f"sweep-{job.scenario.name}", job.scenario.study.results, question, [draw_sweep(found)], facts)
    if json:
        terminal.print_json({**facts, "points": table.to_dict("records"), "folder": str(folder)})
        return
    names = [axis.table for axis in found.axes]
    if len(names) == 1:
        rows = [
            {names[0]: f"{r[names[0]]:.3g}", str(quantity): f"{r['mean']:,.0f} {interval(r['p05'], r['p95'])}"}
            for r in table.to_dict("records")
        ]
        many = len(found.values) > 1
        said = f"Mean and 90% of {len(found.values)} posterior draws." if many else "One draw: its interval is unknown."
    else:
        wide = table.pivot(index=names[0], columns=names[1], values="mean")
        rows = [
            {names[0]: f"{at:.3g}", **{f"{to:.3g}": f"{v:,.0f}" for to, v in row.items()}}
            for at, row in wide.iterrows()
        ]
        said = f"Across: {names[1]}. Mean of {len(found.values)} posterior draws; intervals are in the folder."
    terminal.print_table(f"{found.title}: {quantity.meaning}", rows, said)
    terminal.tell(f"Figure and numbers: {shown(folder)}")


def outlook(
    backtest: Annotated[
        bool, typer.Option("--backtest", help="How such forecasts would have done from 2016 and from 2018.")
    ] = False,
    results: Annotated[
        Path | None, typer.Option("--results", help="Folder for the figures of --backtest (default: the study's).")
    ] = None,
    json: Json = False,
) -> None:
    """Write the outlook's scenario file from the facts in use.

    Funding and doctorates go on as damped trends, as uncertain as their past. With --backtest: how such forecasts of
    the drivers would have done, beside their last values, and how the model with them would have forecast departures,
    beside naive rules.
    """
    from bdsim.cli import terminal
    from bdsim.cli.checks import looked_back, show_forecasts
    from bdsim.study.evidence import load_evidence
    from bdsim.study.history import rebuild_history
    from bdsim.study.layout import find_study
    from bdsim.study.parameters import load_parameters
    from bdsim.study.uncertainty.outlook import driver_forecasts, outlook_text

    study = find_study()
    history = rebuild_history(load_evidence(study), DEFAULT_HORIZON, load_parameters(study.parameters)["past_growth"])
    if not backtest:
        terminal.tell(outlook_text(history).rstrip("\n"))
        return
    table = driver_forecasts(history, CUTS)
    departures, summary, folder = looked_back(list(CUTS), None, "forecast", study, results)
    if json:
        found = {"drivers": table, "departures": departures, "summary": summary}
        terminal.print_json({name: rows.to_dict("records") for name, rows in found.items()})
        return
    rows = []
    for (driver, until), part in table.groupby(["driver", "until"], sort=False):
        fact = part["fact"]
        misses = ((part[rule] / fact - 1.0).abs().mean() for rule in ("median", "last"))
        trend, last = (f"{miss:.1%}" for miss in misses)
        held = f"{int(fact.between(part['p05'], part['p95']).sum())} of {len(part)}"
        rows.append({"driver": driver, "from": str(until), "90% held": held, "missed by": trend, "last value": last})
    held = table["fact"].between(table["p05"], table["p95"]).mean()
    terminal.print_table("Damped trends of the drivers", rows, f"90% intervals held {held:.0%} of {len(table)} years.")
    show_forecasts(departures, summary)
    terminal.tell(f"Figures and numbers: {shown(folder)}")


def regret_sampled(
    base: Job, policies: Sequence[Scenario], future: Scenario, quantity: Quantity, *, more: bool,
    threshold: float | None, results: Path | None, json: bool,
) -> None:  # fmt: skip
    """Policies against sampled futures: the table, the figure, and which policy is worst in none."""
    from bdsim.analysis.futures.robust import robust_choice
    from bdsim.cli import terminal
    from bdsim.reporting.figures.futures import draw_robust
    from bdsim.reporting.sentences import interval

    with terminal.progress_bar("regret", "runs") as report:
        found = robust_choice(base, policies, future, quantity, more=more, threshold=threshold, progress=report)
    table, never = found.table(), found.never_worst()
    names = [policy.name for policy in policies]
    facts = {
        "of": str(quantity), "future": future.name, "policies": names, "futures": len(found.weights),
        "members": base.settings.members, "more": more, "threshold": threshold, "never_worst": never,
    }  # fmt: skip
    question = f"{base.fingerprint} {names} {future.plain()} {quantity} {more} {threshold}"
    folder = _keep(
        f"regret-{future.name}", results or base.scenario.study.results, question, [draw_robust(found)], facts
    )
    if json:
        terminal.print_json({**facts, "table": table.to_dict("records"), "folder": str(folder)})
        return
    shares = ["best", "worst", *(["meets"] if threshold is not None else [])]
    rows = [
        {
            "policy": r["policy"], str(quantity): f"{r['mean']:,.0f}", "regret": f"{r['regret']:,.0f}",
            "95%": "unknown" if base.settings.members < 2 else f"{r['regret_p95']:,.0f}",
            "most": f"{r['regret_most']:,.0f}",
            **{f"{s} in": f"{r[s]:.0%} {interval(r[f'{s}_p05'], r[f'{s}_p95'], '{:.0%}'.format)}" for s in shares},
        }
        for r in table.to_dict("records")
    ]  # fmt: skip
    said = (
        f"{len(found.weights)} futures of {base.settings.members} members of {future.title}, by their chances; [90%]."
    )
    terminal.print_table(f"Policies in sampled futures; {'more' if more else 'less'} is better", rows, said)
    worst_in_none = f"Worst in no future: {', '.join(never)}." if never else "Each policy is the worst in some future."
    terminal.tell(
        f"Least mean regret, by the model: {table['policy'].iloc[0]}, {table['regret'].iloc[0]:,.0f}. {worst_in_none} "
        "“Better” counts researchers and nothing else: not what a policy costs, nor whom it harms."
    )
    terminal.tell(f"Figure and numbers: {shown(folder)}")


def _lever_range(text: str) -> tuple[str, tuple[float, float]]:
    table, _, values = text.partition("=")
    return table.strip(), _ends(values, "--lever")


def _ends(text: str, where: str) -> tuple[float, float]:
    """Read '0.6..1.2'. Raises UsageError."""
    parts = text.split("..")
    try:
        low, high = (float(part) for part in parts)
        if not all(map(math.isfinite, (low, high))):
            raise ValueError
    except ValueError:
        raise UsageError(f"'{text}' is not a range LOW..HIGH, e.g. 0.6..1.2", where=where) from None
    return low, high


def _print_discovery(found: Any) -> None:
    from bdsim.cli import terminal

    for sentence in found.sentences():
        terminal.tell(sentence)
    rows = [
        {
            "box": str(number), "limit": found.said(limit), "quasi-p": f"{limit.quasi_p:.1g}",
            "found again": f"{limit.found_again:.0%}", "coverage": f"{box.coverage:.0%}",
            "density": f"{box.density:.0%}", "on other halves": f"{box.held_out:.0%}",
        }
        for number, box in enumerate(found.boxes, start=1)
        for limit in box.limits
    ]  # fmt: skip
    if rows:
        said = "Found again: on random halves of the members. Density on other halves: what to expect of new members."
        terminal.print_table(f"{found.title}: {found.threshold}", rows, said)
    scores = [
        {"input": found.named(r.input), "share of variance": f"{r.share:.0%}"}
        for r in found.scores.head(8).itertuples()
        if r.share >= 0.005
    ]
    if scores:
        terminal.print_table(f"What {found.threshold.quantity} varies with", scores, "Each input by itself.")


def _keep(kind: str, results: Path, question: str, drawings: Sequence[Drawing], facts: dict[str, Any]) -> Path:
    """Figures, their numbers and the answer, in a folder of the study's results."""
    import json

    from bdsim.files.durable import new_folder, sealed
    from bdsim.reporting.style import save_drawing

    folder = results / f"{kind}-{hashlib.sha256(question.encode()).hexdigest()[:12]}"
    with new_folder(folder) as aside:
        for drawing in drawings:
            save_drawing(drawing, aside)
        (aside / "answer.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        sealed(aside)
    return folder
