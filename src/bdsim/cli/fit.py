"""The commands that fit, and that say how far to trust a fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdsim.cli.options import Json
from bdsim.errors import FitError, shown

if TYPE_CHECKING:
    from bdsim.study.fit import Fit
    from bdsim.study.layout import Study
    from bdsim.study.parameters import Parameters

__all__ = ["register"]

TUNED = "tuned"
Free = Annotated[
    list[str] | None, typer.Option("--free", metavar="A,B", help="Free only these; the others keep their values.")
]
Fix = Annotated[list[str] | None, typer.Option("--fix", metavar="NAME=VALUE", help="Hold a parameter at a value.")]


MANY = 9  # a fit runs parameter vectors eight side by side, and those left over alone


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command(epilog="Examples:  bdsim calibrate  |  bdsim calibrate --fix rho=0.8 --free push,funding --name mine")(
        calibrate
    )
    app.command("fit-report", epilog="Example:  bdsim fit-report --set push=0.6 --set roots.doctorate=1.2")(fit_report)
    app.command(epilog="Example:  bdsim profile push")(profile)


def calibrate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Targets (default: calibration/targets.toml).")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="Name of the fit, calibration/fitted/NAME (default: default; with FILE, --free, --fix: tuned).",
        ),
    ] = None,
    free: Free = None,
    fix: Fix = None,
    start: Annotated[
        list[str] | None, typer.Option("--start", metavar="NAME=VALUE", help="Value of a parameter in the first start.")
    ] = None,
    starts: Annotated[
        int, typer.Option("--starts", help="Starting points of the search; their results should agree.")
    ] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of the posterior's draws.")] = 0,
    json: Json = False,
) -> None:
    """Fit parameters to the targets; keep fit, posterior, figures.

    Writes calibration/fitted/NAME: parameters with intervals, every target, posterior draws, sensitivities, manifest.
    Scenarios run on fitted/default unless told otherwise. Interrupted, the same command goes on.
    """
    from bdsim.calibration import fitting
    from bdsim.cli import terminal
    from bdsim.reporting.figures.fits import fit_drawings
    from bdsim.reporting.style import save_all
    from bdsim.study.fit import DEFAULT_FIT
    from bdsim.study.layout import find_study

    study = find_study()
    if name is None:  # what scenarios run on is not replaced by a trial
        name = TUNED if file or free or fix or start else DEFAULT_FIT
    terminal.note_compiling(sampled=False)
    try:
        with terminal.stage_bar("calibrate") as report:
            result = fitting.calibrate(
                study, name=name, targets=file, free=_names(free), fix=_settings(fix, "--fix"),
                start=_settings(start, "--start"), starts=starts, seed=seed, report=report,
            )  # fmt: skip
    except KeyboardInterrupt:
        terminal.note("What is done so far is kept: the same command continues from here.")
        raise
    save_all(fit_drawings(result), study.fitted / name / "figures")
    manifest = result.manifest(name)
    if json:
        terminal.print_json({**manifest, "parameters": result.parameters.to_dict("records")})
        return
    _print_parameters(result.parameters)
    if manifest["held"]:
        terminal.tell("Held: " + ", ".join(f"{n} = {v:.3g}" for n, v in manifest["held"].items()))
    _print_targets(result.targets)
    terminal.tell("What the data can and cannot tell:")
    for sentence in result.said:
        terminal.tell(f"  - {sentence}")
    terminal.tell(f"Sizes of shocks: {manifest['shocks']}.")
    share = manifest["share_of_scrutiny_in_departures"]
    terminal.tell(
        f"Share of scrutiny in the departures of {share['years'][0]}-{share['years'][1]}: {share['median']:.0%} "
        f"[{share['p05']:.0%}, {share['p95']:.0%}]; "
        f"{manifest['caveat']}."
    )
    gap = result.mean_field_gap
    terminal.tell(
        f"Sampled runs lie {gap['departures']:+.2%} (standard error {gap['standard_error']:.2%}) from the "
        "expected run that is fitted: the mean-field gap of colleagues."
    )
    terminal.tell(f"Effective sample size {result.posterior.effective:.0f} of {result.posterior.proposals} proposals.")
    for warning in result.warnings or ([f"All {starts} starts agree."] if starts > 1 else []):
        terminal.tell(warning)
    use = "scenarios run on it" if name == DEFAULT_FIT else f"scenarios run on it with --fit {name}"
    terminal.tell(f"Kept: calibration/fitted/{name}; {use}")


def fit_report(
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Try a value.")] = None,
    fit: Annotated[str | None, typer.Option("--fit", help="Start from this fit (none: parameters.toml).")] = None,
    targets: Annotated[Path | None, typer.Option("--targets", help="Another targets.toml.")] = None,
    researchers_per_agent: Annotated[
        int,
        typer.Option(
            "--researchers-per-agent", "-k", min=1, max=10_000, help="Researchers an agent; fits are made with 25."
        ),
    ] = 25,
    figures: Annotated[
        bool, typer.Option("--figures", help="Draw the fit's figures into its folder, where they are missing or old.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what parameter values do to every target.

    Nothing is refitted: values of the fit, and what --set says.
    """
    from bdsim.calibration.posterior import rests_on_priors
    from bdsim.calibration.problem import SHAPING, make_problem, scored
    from bdsim.cli import terminal
    from bdsim.runs.identity import fit_remark
    from bdsim.study.layout import find_study
    from bdsim.study.parameters import load_parameters

    study = find_study()
    known, used = _centre(study, fit)
    if figures:
        from bdsim.reporting.figures.kept import draw_again

        if used is None:
            raise FitError("parameters.toml has no figures; name a fit", where="--figures")
        terminal.note("drawing the figures; this takes about a minute ...")
        terminal.tell(f"Figures: {shown(draw_again(study, used.name))}")
    free = list(used.draws) if used is not None else None  # the cost counts the priors that the fit's cost counts
    tried = known.with_values(_settings(set_), where="--set")
    shaped = known.with_values({name: tried[name] for name in SHAPING})  # shocks weigh as at the fit, whatever is tried
    problem = make_problem(
        study, targets=targets, parameters=shaped, free=free, researchers_per_agent=researchers_per_agent
    )
    terminal.note_compiling(sampled=False)
    table = scored(problem, tried)[0]
    remark = fit_remark(used, study, problem.job.evidence, load_parameters(study.parameters)) if used else ""
    terminal.note_once(remark)
    comparable = used is not None and targets is None and not remark  # else two costs are of two objectives
    best = used.manifest["cost"] if used is not None and comparable else None
    if json:
        terminal.print_json(
            {"cost": table.attrs["cost"], "cost_of_fit": best,
             "rests_on_priors": rests_on_priors(used.table) if used is not None else None,
             "targets": table.to_dict("records")}
        )  # fmt: skip
        return
    _print_targets(table)
    beside = f" (the fit itself: {best:.1f}); a difference above 2 is large" if best is not None else ""
    terminal.tell(f"Cost {table.attrs['cost']:.1f}{beside}.")
    if used is not None:
        terminal.tell(rests_on_priors(used.table))


def profile(
    name: Annotated[str, typer.Argument(metavar="PARAMETER", help="Which parameter, e.g. push.")],
    points: Annotated[int, typer.Option("--points", min=3, max=41, help="Values to try.")] = 9,
    fit: Annotated[str | None, typer.Option("--fit", help="The fit to start from.")] = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Folder for the figure (default: the study's).")
    ] = None,
    json: Json = False,
) -> None:
    """Show how the best fit worsens as one parameter moves.

    All other parameters are fitted anew at each value: a flat profile means that the data cannot tell.
    """
    import numpy as np

    from bdsim.calibration import fitting
    from bdsim.calibration.problem import make_problem
    from bdsim.cli import terminal
    from bdsim.reporting.figures.fits import draw_profile, facts_of
    from bdsim.reporting.style import save_all
    from bdsim.study.fit import NO_FIT
    from bdsim.study.layout import find_study

    study = find_study()
    known, used = _centre(study, fit)
    problem = make_problem(study, parameters=known, free=list(used.draws) if used is not None else None)
    mode = np.array([known[n] for n in problem.free])
    terminal.note_compiling(sampled=False)
    with terminal.stage_bar(f"profile of {name}") as report:
        table = fitting.profile(problem, name, mode, points, report)
    base = used.name if used is not None else NO_FIT
    folder = (results or study.results) / f"profile-{name}-{base}"
    save_all([draw_profile(table, known.entries[name], base, facts_of(problem))], folder)
    if json:
        terminal.print_json(table.to_dict("records"))
        return
    least = table[["cost", "facts"]].min()
    rows = [
        {
            name: f"{r['value']:.3f}", "cost above the least": f"{r['cost'] - least['cost']:.2f}",
            "of which facts": f"{r['facts'] - least['facts']:.2f}",
        }
        for r in table.to_dict("records")
    ]  # fmt: skip
    terminal.print_table(f"Profile of {name} (an interval of 90%: cost less than 1.35 above the least)", rows)
    terminal.tell(f"Figure: {folder}")


def _names(texts: list[str] | None) -> list[str] | None:
    """`--free a,b --free c` as names."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()] if texts else None


def _settings(texts: list[str] | None, option: str = "--set") -> dict[str, float]:
    from bdsim.study.parameters import parse_settings

    return parse_settings(texts or [], option)


def _centre(study: Study, fit: str | None) -> tuple[Parameters, Fit | None]:
    """The parameters at a fit's most probable values, and the fit (None: the values of parameters.toml)."""
    from bdsim.study.fit import chosen_fit
    from bdsim.study.parameters import load_parameters

    known = load_parameters(study.parameters)
    used = chosen_fit(study, fit, known)
    return (known if used is None else used.centre(known)), used


def _print_parameters(table: Any) -> None:
    from bdsim.cli import terminal

    rows = [
        {
            "parameter": r["parameter"], "median [90%]": f"{r['median']:.2f} [{r['p05']:.2f}, {r['p95']:.2f}]",
            "prior": f"{r['prior_mean']:.2f} +- {r['prior_sd']:.2f}", "shrinkage": f"{r['shrinkage']:.2f}",
            "verdict": r["verdict"],
        }
        for r in table.to_dict("records")
    ]  # fmt: skip
    terminal.print_table("Parameters: posterior, prior, and how far the data shrink the standard deviation", rows)


def _print_targets(table: Any) -> None:
    from bdsim.cli import terminal

    rows = [
        {
            "target": r["label"], "role": r["role"].replace("_", " "), "fact": _number(r["fact"]),
            "model": _number(r["model"]), "with shocks": _number(r.get("with_shocks", r.get("median"))),
            "residual": f"{r['residual']:+.1f}",
        }
        for r in table.to_dict("records")
    ]  # fmt: skip
    terminal.print_table("Targets (residual in standard errors of the fact, before shocks)", rows)


def _number(x: float) -> str:
    return f"{x:.3f}" if abs(x) < 10 else f"{x:,.0f}"
