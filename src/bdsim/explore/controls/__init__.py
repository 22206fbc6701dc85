"""The controls of the page: native inputs with labels, drawn by small scripts beside this file.

Panel carries their values between the browser and Python. Each lives in a shadow root of its own, which is why the
page's style comes along with every one of them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import param
from panel.custom import Children, JSComponent

__all__ = ["Form", "Html", "Job", "Knobs", "Network", "Split", "Tabs", "Toolbar"]

HERE = Path(__file__).parent
STYLE = (HERE / "page.css").read_text(encoding="utf-8")


def script(name: str) -> str:
    """The script of a control."""
    return (HERE / f"{name}.js").read_text(encoding="utf-8")


class Control(JSComponent):
    """A control that hears messages of its script as keyword arguments of `heard`."""

    heard: Callable[[Mapping[str, Any]], None]

    def __init__(self, heard: Callable[[Mapping[str, Any]], None] | None = None, **values: Any) -> None:
        super().__init__(**{"sizing_mode": "stretch_width", **values})
        self.heard = heard or (lambda _message: None)

    def _handle_msg(self, msg: Mapping[str, Any]) -> None:
        self.heard(msg)


class Tabs(Control):
    """Parts of the page, one shown at a time."""

    objects = Children()
    names = param.List()
    active = param.Integer(0)
    _esm = script("tabs")
    _stylesheets: ClassVar[list[str]] = [
        STYLE,
        "[role=tabpanel] > * { width: 100% !important; }"
        "[role=tablist] { display: flex; gap: 4px; border-bottom: 2px solid #0b5394; margin: 6px 0 10px; }"
        "[role=tab] { border: 1px solid #b9b9b9; border-bottom: none; border-radius: 5px 5px 0 0; padding: 6px 16px; }"
        "[role=tab][aria-selected=true], [role=tab][aria-selected=true]:hover:not(:disabled) "
        "{ background: #0b5394; border-color: #0b5394; color: #fff; font-weight: 600; }",
    ]


class Split(Control):
    """Two columns where there is room for them, by kind: `docked` keeps both in sight, `even` gives both one width."""

    objects = Children()
    kind = param.Selector(default="", objects=["", "docked", "even"])
    _esm = script("split")
    _stylesheets: ClassVar[list[str]] = [STYLE, (HERE / "split.css").read_text(encoding="utf-8")]


class Html(Control):
    """Text and figures made in Python; a button with data-copy copies, one with data-say is heard."""

    html = param.String("")
    live = param.Boolean(False, doc="whether a screen reader says what changes")
    _esm = script("html")
    _stylesheets: ClassVar[list[str]] = [STYLE]


class Knobs(Control):
    """Sliders in groups. Hears `live` (while dragging), `commit` (after it: text by name) and `free` (names)."""

    groups = param.List()
    values = param.Dict(default={})
    errors = param.Dict(default={})
    free = param.List()
    _esm = script("knobs")
    _stylesheets: ClassVar[list[str]] = [STYLE, (HERE / "knobs.css").read_text(encoding="utf-8")]


class Form(Control):
    """Fields in groups, from a description. Hears `set`, `add` and `remove`, each with a place."""

    groups = param.List()
    _esm = script("form")
    _stylesheets: ClassVar[list[str]] = [STYLE, (HERE / "form.css").read_text(encoding="utf-8")]


class Network(Control):
    """People and who is whose colleague. Hears `chosen`, with a row."""

    picture = param.Dict(default={})
    _esm = script("network")
    _stylesheets: ClassVar[list[str]] = [STYLE, (HERE / "network.css").read_text(encoding="utf-8")]


class Toolbar(Control):
    """Buttons in a row. Hears `pressed`, with a key."""

    label = param.String("Actions")
    buttons = param.List()
    _esm = script("toolbar")
    _stylesheets: ClassVar[list[str]] = [STYLE, ".buttons { display: flex; flex-wrap: wrap; gap: 6px; margin: 6px 0; }"]

    def save(self, name: str, kind: str, content: bytes) -> None:
        """Have the browser save a file."""
        self._send_msg({"name": name, "type": kind, "base64": base64.b64encode(content).decode("ascii")})


class Job(Control):
    """Long work. Hears `start` and `cancel`."""

    label = param.String("")
    done = param.Integer(0)
    total = param.Integer(1)
    running = param.Boolean(False)
    disabled = param.Boolean(False)
    said = param.String("")
    _esm = script("job")
    _stylesheets: ClassVar[list[str]] = [
        STYLE,
        ".work { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 6px 0; }"
        "progress { accent-color: #0b5394; width: 160px; }",
    ]
