"""The commands with which one begins: which scenarios there are, a scenario of one's own, and a memo about it."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from bdsim.cli.options import Json, RunOptions, Years, completed, with_run_options, years_of
from bdsim.cli.run import end_with_failures, named_by, runs_of
from bdsim.errors import ScenarioError, UsageError, shown

__all__ = ["register"]

TEMPLATE = """# What-if of the scenario '{parent}'.  Check it: bdsim check {name}
# Run it beside the other: bdsim compare {parent} {name}
title    = "{title}"
question = "What would change if ...?"     # the one question that this scenario asks
extends  = "{parent}"
# notes  = "Where this comes from, and what it leaves out."

# A policy that makes researchers afraid, between two dates. Take the '#' away to use it.
# [[policy]]
# name     = "China Initiative, at half strength"
# from     = 2027-01-20
# until    = 2029-01-20
# scrutiny = 0.5                  # 1 = the China Initiative of 2019-2021
# targets  = ["china"]            # researchers of Chinese descent; also "india", "other"
# why      = "An assumption"      # a source, or that it is an assumption

# A lever moves one yearly table in some years, both included: exactly one of multiply, add, set.
# A number holds in every year; a list gives one a year.
# [[lever]]
# table    = "{table}"
# years    = [2027, 2032]
# multiply = 0.8                  # a cut by a fifth
# why      = "An assumption"

# Tables that a lever may move:
{tables}

# What nobody knows goes into an event with chances; see scenarios/protect-act.toml and 'bdsim schema'.
"""


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command(epilog="Example:  bdsim scenarios")(scenarios)
    app.command(epilog="Example:  bdsim new my-scenario --extends baseline")(new)
    app.command(epilog="Example:  bdsim memo baseline initiative-revival --years 2027-2032 --members 200")(memo)


def scenarios(json: Json = False) -> None:
    """List the scenarios of this study and what each asks."""
    from bdsim.cli import terminal
    from bdsim.study.layout import find_study
    from bdsim.study.scenario import load_scenario

    study = find_study()
    found = [load_scenario(name, study) for name in study.scenario_names()]
    found.sort(key=lambda s: (s.extends is not None, s.name))
    rows = [{"scenario": s.name, "title": s.title, "question": s.question, "extends": s.extends or ""} for s in found]
    if json:
        terminal.print_json(rows)
        return
    for row in rows:
        terminal.tell(f"{row['scenario']}: {row['title']}")
        terminal.tell(f"    {row['question']}")
    terminal.tell("Next: bdsim compare baseline NAME, or a scenario of your own: bdsim new NAME --extends baseline")


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and hyphens, e.g. half-revival.")],
    extends: Annotated[
        str, typer.Option("--extends", metavar="SCENARIO", help="The scenario that it changes.")
    ] = "baseline",
) -> None:
    """Write scenarios/NAME.toml: a commented file to fill in."""
    from bdsim.cli import terminal
    from bdsim.files.durable import publish
    from bdsim.study.layout import find_study
    from bdsim.study.scenario import load_scenario

    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower().removesuffix(".toml")).strip("-")
        raise UsageError(
            f"'{name}' is not of small letters, digits and hyphens; e.g. '{plain or 'mine'}'", where="NAME"
        )
    study = find_study()
    parent = load_scenario(extends, study)
    if parent.extends is not None:
        raise UsageError(
            f"'{parent.name}' itself extends '{parent.extends}', and that goes one level; "
            f"extend '{parent.extends}' and copy what you need of {shown(parent.path)}",
            where="--extends",
        )
    target = study.scenarios / f"{name}.toml"
    if target.exists():
        raise ScenarioError("exists already; choose another name", where=target)
    publish(target, _filled(name, parent.name).encode())
    terminal.tell(
        f"Written: {shown(target)}; fill it in, then: bdsim check {name} && bdsim compare {parent.name} {name}"
    )


@with_run_options
def memo(
    a: Annotated[str, typer.Argument(metavar="A", help="The reference.", autocompletion=completed)],
    b: Annotated[str, typer.Argument(metavar="B", help="The scenario.", autocompletion=completed)],
    how: RunOptions,
    years: Years = None,
    json: Json = False,
) -> None:
    """Say what B changes against A on one page: number, figure, caveat.

    HTML, PDF and text to paste, in a folder of the results. A and B are scenarios or results folders.
    """
    from bdsim.analysis.comparison import compare
    from bdsim.cli import terminal
    from bdsim.files.durable import new_folder, sealed
    from bdsim.reporting import memo as memos
    from bdsim.reporting.report import repeat_words
    from bdsim.reporting.style import save_drawing
    from bdsim.reporting.summary import fit_of, priors_of, summaries

    asked = years_of(years)
    found, study = runs_of([a, b], how, asked)
    summary = summaries(compare(found[0], found[1]), asked, priors_of(study, found[0]))[1]
    written = memos.memo_of(summary, repeat_words("memo", found, asked), fit_of(study, found[1]))
    target = (how.results or study.results) / f"memo-{named_by(found, asked)}"
    with new_folder(target) as aside:
        (aside / "memo.html").write_text(memos.as_html(written), encoding="utf-8")
        (aside / "memo.pdf").write_bytes(memos.as_pdf(written))
        (aside / "memo.txt").write_text(memos.as_text(written), encoding="utf-8")
        save_drawing(written.figure, aside)
        sealed(aside)
    if json:
        answer = summary.headline.plain() if summary.headline else None
        said = {"sentences": written.sentences, "caveat": written.caveat}
        terminal.print_json({"folder": str(target), "title": written.title, "answer": answer, **said})
    else:
        terminal.tell(memos.as_text(written))
        terminal.tell(f"Memo: {shown(target)} (memo.html, memo.pdf, memo.txt)")
    end_with_failures(found)


def _filled(name: str, parent: str) -> str:
    from bdsim.model.world import TABLES

    tables = "\n".join(f"#   {table:<16} {entry.meaning} ({entry.unit})" for table, entry in TABLES.items())
    title = name.replace("-", " ").capitalize()
    table = next(t for t in ("us_funding", *TABLES) if t in TABLES)
    return TEMPLATE.format(name=name, parent=parent, title=title, table=table, tables=tables)
