"""The command that opens the page."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated

import typer

from bdsim.errors import UsageError, shown

__all__ = ["register"]

LOOPBACK = "127.0.0.1"


def register(app: typer.Typer) -> None:
    """Add the command of this module to the command line."""
    app.command(epilog="Examples:  bdsim explore  |  bdsim explore my-study --no-browser --port 5007")(explore)


def explore(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="A folder of a study (default: the current folder).")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 chooses a free one.")] = 0,
    address: Annotated[str, typer.Option("--address", help="Where to listen.")] = (LOOPBACK),
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in a browser.")] = True,
) -> None:
    """Tune and explore live, in a browser on this machine.

    Sliders for every parameter against the facts, scenarios in a form, and people one by one. Works without a network;
    listens to this machine only. Ctrl-C stops it.
    """
    from bdsim.cli import terminal
    from bdsim.model.machine_code import is_compiled
    from bdsim.study.layout import find_study

    if importlib.util.find_spec("panel") is None:
        raise UsageError("needs Panel: where bdsim's sources are, pip install -e '.[explore]'", where="explore")
    if study is not None and not study.is_dir():
        raise UsageError("is not a folder", where=shown(study))
    home = find_study(study)
    if not is_compiled(sampled=False):
        terminal.note("compiling the model; this happens once and takes some five to twenty seconds ...")
    os.environ.setdefault("BOKEH_RESOURCES", "server")  # nothing from a network, whatever the environment is set to
    from bdsim.explore.page import serve
    from bdsim.explore.tune.tuning import Tuner

    Tuner(home)  # reports a broken study here, in one line
    if address != LOOPBACK:
        terminal.note(
            f"listening on {address}: anyone who can reach it can run simulations and write files in this study"
        )
    serve(home, port, address, lambda where: terminal.tell(f"{where}  (Ctrl-C stops it)"), open_browser=browser)
    terminal.note("stopped")
