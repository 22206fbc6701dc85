"""The commands that try a model or a fit: forecasts of years not seen, effects that others publish, another fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdsim.cli.options import Json

if TYPE_CHECKING:
    import pandas as pd

    from bdsim.study.layout import Study

__all__ = ["looked_back", "register", "show_forecasts"]

SHORT = {"last": "last", "linear": "linear", "loglinear": "loglin", "damped": "damped"}  # in narrow columns
ENOUGH = 100  # effective draws of a posterior
NOTICEABLE = 0.1  # posterior standard deviations: smaller shifts and pulls are not listed
MOST_FACTS = 20
MANY = 9  # parameter vectors run eight side by side, and those left over alone


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command(epilog="Examples:  bdsim backtest --until 2018  |  bdsim backtest --rolling 2014..2020")(backtest)
    app.command(epilog="Examples:  bdsim validate  |  bdsim validate --fit mine --json")(validate)
    app.command("fit-diff", epilog="Example:  bdsim fit-diff default tuned")(fit_diff)


def backtest(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Targets (default: calibration/targets.toml).")
    ] = None,
    until: Annotated[int | None, typer.Option("--until", help="Last year that the fit may see.")] = None,
    rolling: Annotated[
        str | None, typer.Option("--rolling", metavar="Y..Y", help="Several last years: 2014..2020, or 2014,2018.")
    ] = None,
    drivers: Annotated[
        str,
        typer.Option("--drivers", help="known: given later funding, inflow and policies; forecast: not even these."),
    ] = "known",
    results: Annotated[
        Path | None, typer.Option("--results", help="Folder for the figures (default: the study's).")
    ] = None,
    json: Json = False,
) -> None:
    """Refit without the later years and forecast them.

    Beside four naive rules (last value, linear, log-linear and damped trend), also where one of them wins. Every entry
    of the targets that counts departures year by year is forecast. With known drivers the forecast is conditional: it
    is given the later funding, inflow, offers and scrutiny, and not the later departures. With forecast drivers it is
    given nothing later, as a forecast published in that year.
    """
    from bdsim.cli import terminal
    from bdsim.study.layout import find_study

    study = find_study()
    table, summary, folder = looked_back(_cuts(until, rolling), file, drivers, study, results)
    if json:
        terminal.print_json({"forecasts": table.to_dict("records"), "summary": summary.to_dict("records")})
        return
    show_forecasts(table, summary)
    terminal.tell(f"Figures and numbers: {folder}")


def looked_back(
    cuts: list[int], file: Path | None, drivers: str, study: Study, results: Path | None
) -> tuple[pd.DataFrame, pd.DataFrame, Path]:
    """Forecasts of held-out years, their summary, and the folder of their figures."""
    from bdsim.calibration.backtest import backtest as look_back
    from bdsim.calibration.backtest import verdict
    from bdsim.cli import terminal
    from bdsim.reporting.figures.checks import backtest_drawings
    from bdsim.reporting.style import save_all

    terminal.note_compiling(sampled=False)
    with terminal.stage_bar("backtest") as report:
        # The type ignored: any word but the two is refused there, with the nearest.
        table = look_back(cuts, file, drivers=drivers, study=study, report=report)  # type: ignore[arg-type]
    ending = "" if drivers == "known" else f"-{drivers}-drivers"
    folder = (results or study.results) / f"backtest-{'-'.join(map(str, cuts))}{ending}"
    save_all(backtest_drawings(table), folder)
    return table, verdict(table), folder


def show_forecasts(table: pd.DataFrame, summary: pd.DataFrame) -> None:
    """Forecasts beside facts and naive rules, in the terminal."""
    from bdsim.calibration.backtest import TOTAL
    from bdsim.cli import terminal

    for name in dict.fromkeys(table["series"]):
        own = table[table["series"] == name]
        whole = own[own["field"] == TOTAL] if (own["field"] == TOTAL).any() else own
        terminal.print_table(f"{name}: forecast, then CRPS (less is better)", _forecasts(whole))
    shown = [
        {
            "until": r["until"], "of": r["of"], "n": r["forecasts"], "model": f"{r['model']:.1%}",
            **{label: f"{r[rule]:.1%}" for rule, label in SHORT.items()}, "best": SHORT.get(r["winner"], r["winner"]),
            "in 90%": f"{r['held_90']:.0%}",
        }
        for r in summary.to_dict("records")
    ]  # fmt: skip
    terminal.print_table("Mean CRPS over the fact, the best rule, and how often the 90% interval holds it", shown)
    for of, part in summary.groupby("of", sort=False):
        means, n = part[["model", *SHORT]].mean(), part["forecasts"]
        held = ", ".join(f"{(part[name] * n).sum() / n.sum():.0%}" for name in ("held_90", "held_80", "held_50"))
        rules = ", ".join(f"{label} {means[rule]:.1%}" for rule, label in SHORT.items())
        terminal.tell(
            f"Mean over the last years seen, {of}: model {means['model']:.1%}; {rules}. "
            f"Its 90%, 80%, 50% intervals hold {held} of all {n.sum()} numbers."
        )
    poor = [f"{r['until']} ({r['effective']:.0f})" for r in summary.to_dict("records") if r["effective"] < ENOUGH]
    if poor:
        terminal.tell(
            f"Effective sample size below {ENOUGH}, read intervals with care: {', '.join(dict.fromkeys(poor))}"
        )


def _forecasts(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "until": r["until"], "year": r["year"], "fact": f"{r['fact']:,.0f}",
            "forecast [90%]": f"{r['median']:,.0f} [{r['p05']:,.0f}, {r['p95']:,.0f}]", "model": f"{r['crps']:.0f}",
            **{label: f"{r[f'crps_{rule}']:.0f}" for rule, label in SHORT.items()},
        }
        for r in table.to_dict("records")
    ]  # fmt: skip


def validate(
    fit: Annotated[str | None, typer.Option("--fit", help="The fit to try (none: parameters.toml).")] = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Folder for the figure (default: the study's).")
    ] = None,
    json: Json = False,
) -> None:
    """Show published sizes of effects beside what the model implies.

    Acceptance of offers, hazards by career age, the effect of a lapsed grant and of a year of waiting, and others
    (calibration/evidence/effects.csv). None was fitted as a series; some are where a prior is from, and are marked. The
    table is kept with the fit, and reports show it.
    """
    from bdsim.calibration.validate import validate as published_effects
    from bdsim.cli import terminal
    from bdsim.files.durable import write_file
    from bdsim.reporting.figures.checks import draw_validation
    from bdsim.reporting.sentences import AGREE
    from bdsim.reporting.style import save_all
    from bdsim.study.fit import NO_FIT, VALIDATION, chosen_fit
    from bdsim.study.layout import find_study
    from bdsim.study.parameters import load_parameters

    study = find_study()
    used = chosen_fit(study, fit, load_parameters(study.parameters))
    terminal.note_compiling(sampled=False)
    with terminal.stage_bar("validate") as report:
        table = published_effects(study, used, lambda done, total: report("worlds", done, total))
    folder = (results or study.results) / f"validate-{used.name if used is not None else NO_FIT}"
    save_all([draw_validation(table)], folder)
    if used is not None:  # a report shows it
        write_file(used.path / VALIDATION, table.to_csv(index=False, float_format="%.4g").encode())
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    if json:
        terminal.print_json(records)
        return
    rows = [
        {
            "what": r["what"], "published": _published(r), "model [90%]": _model(r),
            "agree": {True: "yes", False: "no", None: ""}[r["agrees"]],
        }
        for r in records
    ]  # fmt: skip
    terminal.print_table("Published effects beside what the model implies", rows, AGREE)
    for r in records:
        terminal.tell(f"  {r['name']}: {r['note']}" + (f". {r['source']}" if r["source"] else ""))
    terminal.tell(f"Figure and numbers: {folder}")


def _published(row: dict[str, Any]) -> str:
    from bdsim.reporting.sentences import bounds

    around = bounds(row["low"], row["high"])
    if row["published"] is None:
        return around
    return f"{row['published']:g}" + (f" [{around}]" if around else "")


def _model(row: dict[str, Any]) -> str:
    if row["median"] is None:
        return ""
    return f"{row['median']:.3g} [{row['p05']:.3g}, {row['p95']:.3g}]"


def _before_scrutiny() -> int:
    """The year in which the baseline's scrutiny begins: few of its departures know of it. Raises UsageError."""
    from bdsim.errors import UsageError
    from bdsim.study.scenario import load_scenario

    years = load_scenario("baseline").years_of_scrutiny()
    if years is None:
        raise UsageError("is needed: the baseline has no scrutiny before which a fit could end", where="--until")
    return years[0]


def _cuts(until: int | None, rolling: str | None) -> list[int]:
    """The last years that fits may see. Raises FitError."""
    from bdsim.errors import FitError

    if rolling is None:
        return [until if until is not None else _before_scrutiny()]
    if until is not None:
        raise FitError("give either --until or --rolling", where="--rolling")
    try:
        first, dots, last = rolling.partition("..")
        years = list(range(int(first), int(last) + 1)) if dots else sorted({int(year) for year in rolling.split(",")})
    except ValueError:
        years = []
    if not years or len(years) > 100:
        raise FitError(f"'{rolling}' is not a list of years such as 2014..2020 or 2015,2017", where="--rolling")
    return years


def fit_diff(
    a: Annotated[str, typer.Argument(metavar="A", help="Name of a fit in calibration/fitted.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Name of another.")],
    json: Json = False,
) -> None:
    """Say what changed from fit A to fit B, and which facts pulled.

    Shifts are in posterior standard deviations of A. Pulls are first-order: what the sensitivities of the fits say that
    facts which changed, came or went did to a parameter.
    """
    from bdsim.calibration.fit_diff import fit_difference
    from bdsim.cli import terminal
    from bdsim.study.layout import find_study

    found = fit_difference(find_study(), a, b)
    if json:
        terminal.print_json(
            {
                "a": a, "b": b, "notes": list(found.notes),
                **{name: getattr(found, name).to_dict("records") for name in ("parameters", "facts", "pulls")},
            }
        )  # fmt: skip
        return
    moved = found.parameters[found.parameters["shift"].abs() >= NOTICEABLE]
    if len(moved):
        rows = []
        for row in moved.itertuples():
            pulls = found.strongest(str(row.parameter))
            said = [f"{p.label} {p.pull:+.2f}" for p in pulls.itertuples() if abs(float(p.pull)) >= NOTICEABLE]
            rows.append(
                {
                    "parameter": row.parameter, "from": f"{row.a:.4g}", "to": f"{row.b:.4g}",
                    "shift": f"{row.shift:+.2f}", "by facts": f"{row.predicted:+.2f}",
                    "sd": f"x {row.sd_ratio:.2f}", "pulled by": "; ".join(said),
                }
            )  # fmt: skip
        terminal.print_table(f"Parameters that moved from {a} to {b}, in posterior sds of {a}", rows)
    else:
        terminal.tell(f"No parameter moved by as much as {NOTICEABLE:g} posterior sd from {a} to {b}.")
    if len(found.facts):
        rows = [
            {"fact": f.label, "change": f.change, "from": _number(f.a), "to": _number(f.b)}
            for f in found.facts.head(MOST_FACTS).itertuples()
        ]
        more = len(found.facts) - len(rows)
        terminal.print_table("Facts that differ", rows, caption=f"and {more} more; --json has all" if more > 0 else "")
    else:
        terminal.tell("Both were fitted to the same facts.")
    for note in found.notes:
        terminal.tell(f"Also: {note}.")


def _number(value: object) -> str:
    return "" if value != value else f"{value:g}"  # a fact that a fit lacks is not a number
