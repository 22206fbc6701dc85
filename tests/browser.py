"""The page in a real browser: started as a person would, watched for errors and for requests beyond this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "FLAGS", "Visit", "served", "visited"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
LOOPBACK = re.compile(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|data:|blob:|about:")
NOISE = re.compile(r"bokeh|Bokeh|WebSocket|Websocket")  # its own words when it starts


@contextlib.contextmanager
def served(study: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`bdsim explore` in a study: the process, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bdsim", "explore", "--no-browser", *more], cwd=study, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = ""
        while (found := re.search(r"http://[\d.]+:\d+/", said)) is None:
            line = process.stdout.readline()
            assert line, f"it ended before it told its address: {said}"
            said += line
        yield process, found[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=30)


@dataclass
class Visit:
    """A page and what the browser complained of."""

    page: Any
    errors: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)


@contextlib.contextmanager
def visited(browser: Any, address: str, width: int = 1280, height: int = 1000) -> Iterator[Visit]:
    """A page of the browser at an address; nothing beyond loopback is let through."""
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    visit = Visit(page)

    def watched(route: Any) -> None:
        if LOOPBACK.match(route.request.url):
            route.continue_()
        else:
            visit.beyond.append(route.request.url)
            route.abort()

    context.route("**/*", watched)
    page.on("websocket", lambda socket: None if LOOPBACK.match(socket.url) else visit.beyond.append(socket.url))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on(
        "console",
        lambda message: (
            visit.errors.append(message.text)
            if message.type in ("error", "warning") and not NOISE.search(message.text)
            else None
        ),
    )
    page.goto(address)
    try:
        yield visit
    finally:
        context.close()
