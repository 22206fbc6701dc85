"""What the parts of one page share: its document, its address, and work in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

import panel as pn

from bdsim.study.layout import Study

__all__ = ["Cancelled", "Latest", "Part", "Session", "are_at_work"]


THREAD = "bdsim-explore"  # name of the threads that work for pages


def are_at_work() -> bool:
    """Whether a thread still works for a page, closed or not."""
    return any(thread.name == THREAD for thread in threading.enumerate())


class Cancelled(Exception):  # noqa: N818 - no error: somebody asked for it
    """Raised inside long work that somebody called off."""


class Part(Protocol):
    """A part of the page."""

    view: Any  # what Panel shows

    def address(self) -> Mapping[str, str]:
        """The part's state as words of the page's address; what is as usual is left out."""
        ...

    def shown(self) -> None:
        """The part has come to the front: time to work out what nobody needed before."""
        ...


class Session:
    """One page in one browser tab."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.asked = dict(parse_qsl((pn.state.location.search or "").lstrip("?"))) if pn.state.location else {}
        self.closed = threading.Event()
        self._document = pn.state.curdoc
        self._location = pn.state.location
        self._parts: list[Part] = []
        self._own: Callable[[], Mapping[str, str]] = dict
        self._ends: list[Callable[[], None]] = []
        self._loading = threading.Lock()
        self._held: list[Callable[[], None]] | None = None  # changes until the page has loaded
        if self._document is not None:
            self._held = []
            pn.state.onload(self._loaded)
            pn.state.on_session_destroyed(lambda _context: self.close())

    def of(self, parts: list[Part], own: Callable[[], Mapping[str, str]]) -> None:
        """The parts whose state the address holds, and what else it holds."""
        self._parts, self._own = parts, own

    def at_end(self, act: Callable[[], None]) -> None:
        """Have something done when the page is closed."""
        self._ends.append(act)

    def close(self) -> None:
        """The page is closed: work in the background ends, and what was kept for it is let go of."""
        self.closed.set()
        for act in self._ends:
            act()

    def later(self, change: Callable[[], None]) -> None:
        """Let `change` happen on the page: the only way in from another thread.

        Until the page has loaded, changes are held back: one that comes between the browser's asking for the page and
        its listening is lost now and then, and what it should have shown never comes.
        """
        if self._document is None:
            change()
            return
        with self._loading:
            if self._held is not None:
                self._held.append(change)
                return
        if not self.closed.is_set():
            self._document.add_next_tick_callback(change)

    def _loaded(self) -> None:
        """The browser listens."""
        with self._loading:
            held, self._held = self._held or [], None
        for change in held:
            self.later(change)

    def begin(self, work: Callable[[], None]) -> None:
        """Have work done in the background."""
        threading.Thread(target=work, daemon=True, name=THREAD).start()

    def moved(self) -> None:
        """Something that the address tells has changed."""
        words: dict[str, str] = dict(self._own())
        for part in self._parts:
            words |= part.address()
        if self._location is not None:
            self._location.search = f"?{urlencode(words)}" if words else ""


class Latest:
    """Work for which only the newest question counts: an older one that has not been begun never is."""

    def __init__(self, session: Session, work: Callable[[Any], None]) -> None:
        self._session, self._work = session, work
        self._ready = threading.Condition()
        self._question: list[Any] = []
        session.begin(self._loop)

    def ask(self, question: Any) -> None:
        """Ask; `work` is called with the question in the background."""
        with self._ready:
            self._question = [question]
            self._ready.notify()

    def _loop(self) -> None:
        while not self._session.closed.is_set():
            with self._ready:
                if not self._ready.wait_for(lambda: self._question, timeout=1.0):
                    continue
                question = self._question.pop()
            self._work(question)
