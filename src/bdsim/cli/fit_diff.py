"""The command that says what changed between two fits, and which facts pulled."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["register"]

NOTICEABLE = 0.1  # posterior standard deviations: smaller shifts and pulls are not listed
MOST_FACTS = 20
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def register(app: typer.Typer) -> None:
    """Add the command of this module to the command line."""
    app.command("fit-diff", epilog="Example:  bdsim fit-diff default tuned")(fit_diff)


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
