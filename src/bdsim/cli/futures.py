"""The commands about futures that nobody knows: what must be true, how far two things may go together."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdsim.cli.options import Json, RunOptions, with_run_options
from bdsim.errors import UsageError, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bdsim.reporting.style import Drawing

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command(
        epilog="Examples:  bdsim discover results/protect-act-0c63e3fa9f77 --above departures:2030=3000  |  "
        "bdsim discover protect-act -m 500 --above departures=15000 --years 2027-2032"
    )(discover)


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
    from bdsim.analysis.discover import discover as discovered
    from bdsim.analysis.discover import parse_threshold
    from bdsim.cli.run import end_with_failures, runs_of
    from bdsim.reporting import terminal
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


def _print_discovery(found: Any) -> None:
    from bdsim.reporting import terminal

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
        {"input": r.input, "share of variance": f"{r.share:.0%}"}
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
