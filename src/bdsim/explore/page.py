"""The page on the loopback address: started, opened, stopped."""

from __future__ import annotations

import logging
import signal
import socket
import webbrowser
from collections.abc import Callable
from html import escape
from types import FrameType
from typing import Any

import panel as pn

from bdsim.errors import InputError, StorageError
from bdsim.explore.controls import Html, Tabs
from bdsim.explore.people.tab import PeoplePart
from bdsim.explore.policy.tab import PolicyPart
from bdsim.explore.scenarios.tab import ScenariosPart
from bdsim.explore.session import Part, Session
from bdsim.explore.tune.tab import TunePart
from bdsim.study.layout import Study

__all__ = ["page", "serve"]

LOOPBACK = "127.0.0.1"
TITLE = "bdsim explore"
PARTS = {"scenarios": "Scenarios", "policy": "Policy", "tune": "Parameters", "people": "People"}


def page(study: Study) -> Any:
    """One session's page: what Panel shows; one line where the study's files have become wrong meanwhile."""
    try:
        return _page(study)
    except InputError as error:
        return Html(html=f"<h1>{TITLE}</h1><p class='error' role='alert'>{escape(str(error))}</p>")


def _page(study: Study) -> Any:
    session = Session(study)
    scenarios = ScenariosPart(session)

    def compared(name: str, content: bytes) -> str:
        """A policy put together with sliders goes to the scenarios, and the page with it."""
        problem = scenarios.take(name, content)
        if not problem:
            tabs.active = keys.index("scenarios")
        return problem

    parts: list[Part] = [scenarios, PolicyPart(session, compared), TunePart(session), PeoplePart(session)]
    keys = list(PARTS)
    asked = session.asked.get("tab", keys[0])
    tabs = Tabs(
        objects=[part.view for part in parts], names=list(PARTS.values()),
        active=keys.index(asked) if asked in keys else 0,
    )  # fmt: skip
    session.of(parts, lambda: {"tab": keys[tabs.active]} if tabs.active else {})

    def turned(_event: Any) -> None:
        parts[tabs.active].shown()
        session.moved()

    tabs.param.watch(turned, "active")
    parts[tabs.active].shown()
    head = Html(
        html="<header role='banner'><h1>bdsim explore</h1><p class='small'>Who leaves, why, and what a policy would "
        "change, in the model. Everything runs on this machine; the address of this page holds what it shows.</p>"
        "</header>"
    )
    return pn.Column(head, tabs, sizing_mode="stretch_width", max_width=1440, margin=(4, 16))


def serve(study: Study, port: int, address: str, tell: Callable[[str], None], *, open_browser: bool) -> None:
    """Serve the page until Ctrl-C or SIGTERM. `port` 0 takes a free one. Raises StorageError for one that is taken."""
    for name in ("tornado.access", "bokeh", "panel"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with socket.socket() as probe:  # Bokeh would leave its own one open where it cannot listen
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        raise StorageError(f"cannot listen there: {error.strerror or error}", where=f"{address}:{port}") from None
    server = pn.serve(
        {"/": lambda: page(study)}, port=port, address=address, show=False, start=False, verbose=False, title=TITLE
    )
    server.start()
    where = f"http://{address}:{server.port}/"
    tell(where)

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.io_loop.add_callback_from_signal(server.io_loop.stop)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if open_browser:
            webbrowser.open(where)
        server.io_loop.start()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        server.stop()
