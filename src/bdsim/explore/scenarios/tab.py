"""The part of the page where scenarios are chosen, edited, run and compared."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from html import escape
from typing import Any

import panel as pn

from bdsim.errors import BdsimError, InputError
from bdsim.explore.controls import Form, Html, Job, Split, Toolbar
from bdsim.explore.scenarios.editor import Editor
from bdsim.explore.scenarios.worlds import FIGURES, NUMBERS, Choices, Compared, Worlds
from bdsim.explore.session import Latest, Session
from bdsim.model.machine_code import is_compiled
from bdsim.reporting.sentences import Block
from bdsim.runs.plan import Settings

__all__ = ["ScenariosPart"]

WORDS = {  # of the address; `fit` and `k` are those of another part
    "reference": "ref", "others": "runs", "members": "members", "researchers_per_agent": "agents",
    "horizon": "horizon", "seed": "seed", "fit": "runfit",
}  # fmt: skip
BETWEEN = ":"  # names in the address; no name that a draft can be saved under has one
LABELS = {
    "members": "Members", "researchers_per_agent": "Researchers per agent", "horizon": "Horizon", "seed": "Seed",
}  # fmt: skip
HELP = {
    "members": "simulated histories; --members", "researchers_per_agent": "1 is full scale; -k",
    "horizon": "last simulated year", "seed": "of people and luck",
}  # fmt: skip
EXPORTS = {"svg": "Figure (SVG)", "png": "Figure (PNG)", "csv": "Its numbers (CSV)", "report": "Report (HTML)"}
TYPES = {"svg": "image/svg+xml", "png": "image/png", "csv": "text/csv"}
FRANK = (
    "Intervals are of members of the model. Differences are differences of the model, paired person by person, not "
    "causal estimates."
)
DEFAULTS = (
    f"The page begins with {Choices().members} members at {Choices().researchers_per_agent} researchers an agent, to "
    f"be quick; the command line with {Settings().members} at {Settings().researchers_per_agent}. More members make an "
    "interval steadier, not narrower."
)
STALE = "settings or scenario have changed since; run again"
AT_WORK = "a comparison is at work: wait for it, or cancel it under Scenarios, then press again"


class ScenariosPart:
    """What is compared on the left, the results on the right."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.worlds = Worlds(session.study)
        self.editor = Editor(session, self._draft_changed)
        self.asked, self.errors = Choices(), dict[str, str]()
        self.figure = next(iter(FIGURES))
        ignored = [*self.editor.ignored, *self._from_address(session.asked)]
        self.compared: Compared | None = None
        self._ran: tuple[Any, ...] = ()
        self._stop = threading.Event()
        self.settings, self.choice = Form(heard=self.heard), Form(heard=self.chosen)
        self.job = Job(heard=self.worked, label="Run and compare")
        self.ignored = Html(html=_paragraphs([f"Ignored in the address: {i}" for i in ignored], "error"))
        self.said = Html(live=True)
        self.picture, self.tables, self.command, self.questions = Html(), Html(), Html(), Html()
        self.share = Toolbar(heard=self.pressed, label="Share")
        self._drawing = Latest(session, self._draw)
        self.view = Split(objects=[self._left(), self._right()])
        self._show_settings()
        self._show_choice()

    def _left(self) -> Any:
        head = Html(html="<h2>Compare</h2>")
        return pn.Column(
            head, self.ignored, self.settings, self.questions, self.job, self.said, self.editor.view,
            sizing_mode="stretch_width",
        )  # fmt: skip

    def _right(self) -> Any:
        return pn.Column(
            self.choice, self.picture, self.share, self.command, self.tables, sizing_mode="stretch_width",
        )  # fmt: skip

    # --- the address -------------------------------------------------------------------------------------

    def _from_address(self, words: Mapping[str, str]) -> list[str]:
        """Take over what the address asks; what of it was ignored, in words."""
        typed: dict[str, Any] = {name: words[word] for name, word in WORDS.items() if word in words}
        if "others" in typed:
            typed["others"] = typed["others"].split(BETWEEN)
        self.asked, wrong = self.worlds.checked(self.asked, typed, self.editor.draft)
        self.asked = _apart(self.asked, Choices())
        ignored = [f"{WORDS[name]}: {problem}" for name, problem in wrong.items()]
        figure = words.get("figure", self.figure)
        if figure not in FIGURES:
            return [*ignored, f"figure: no figure named '{figure}'"]
        self.figure = figure
        return ignored

    def address(self) -> Mapping[str, str]:
        """What is compared and shown, as far as it is not the usual, and the draft."""
        usual = Choices()
        words = {}
        for name, word in WORDS.items():
            value = getattr(self.asked, name)
            if value != getattr(usual, name):
                words[word] = BETWEEN.join(value) if isinstance(value, tuple) else str(value)
        if self.figure != next(iter(FIGURES)):
            words["figure"] = self.figure
        return {**words, **self.editor.address()}

    def shown(self) -> None:
        """The first time: compare what the address asks, or the revival with the baseline."""
        if not self._ran and not self.job.running:
            self._start()

    def take(self, name: str, content: bytes) -> str:
        """Compare a scenario that was put together elsewhere on the page with the baseline.

        Returns what stands against it, in words; else ''.
        """
        if self.job.running:
            return AT_WORK
        try:
            self.editor.take(name, content)
        except InputError as error:
            return error.problem
        self.asked = replace(self.asked, reference=Choices().reference, others=(name,))
        self._show_settings()
        self._session.moved()
        self._start()
        return ""

    # --- settings ----------------------------------------------------------------------------------------

    def heard(self, message: Mapping[str, Any]) -> None:
        """Settings were chosen or typed."""
        typed = message.get("set", {})
        before = self.asked
        self.asked, wrong = self.worlds.checked(before, typed, self.editor.draft)
        self.asked = _apart(self.asked, before)
        self.errors = {n: e for n, e in self.errors.items() if n not in typed} | wrong
        self._show_settings(typed)
        self._say_if_stale()
        self._session.moved()

    def _draft_changed(self, before: str, now: str) -> None:
        """The draft takes part under its name; one that was saved under another name goes on under that one."""
        known = self.worlds.names(self.editor.draft)
        others = [now if n == before and now else n for n in self.asked.others]
        reference = now if self.asked.reference == before and now else self.asked.reference
        if now and now not in (reference, *others):
            others.append(now)
        usual = Choices()
        reference = reference if reference in known else usual.reference
        others = [n for n in dict.fromkeys(others) if n in known and n != reference]
        others = others or [n for n in (*usual.others, *known) if n in known and n != reference][:1]
        asked = {f.name: getattr(self.asked, f.name) for f in fields(Choices)}
        self.asked = Choices(**{**asked, "reference": reference, "others": tuple(others)})
        self._show_settings()
        self._say_if_stale()
        self._session.moved()

    def _show_settings(self, typed: Mapping[str, Any] | None = None) -> None:
        """The form; what was typed wrongly stays to be seen, with what is wrong with it."""
        editing = self.editor.editing
        edited = editing.name if editing is not None and editing.unsaved else ""
        known = self.worlds.asks(self.editor.draft)
        names = [[n, f"{title} (edited)" if n == edited else title] for n, (title, _) in known.items()]
        self.questions.html = _questions([known[n] for n in self.asked.names if n in known])
        wrong = {n: str(v) for n, v in (typed or {}).items() if n in self.errors and n in NUMBERS}
        shown: list[dict[str, Any]] = [
            {"place": "reference", "label": "Reference", "type": "choice", "choices": names,
             "value": self.asked.reference},
            {"place": "fit", "label": "Fit", "type": "choice", "value": self.asked.fit,
             "help": "where parameters come from",
             "choices": [["", "the study's default"], *([n, n] for n in self.worlds.fits())]},
            {"place": "others", "wide": True, "label": "Compared with it (one or more)", "type": "several", "rows": 8,
             "choices": [n for n in names if n[0] != self.asked.reference], "value": list(self.asked.others),
             "help": "Ctrl or Shift for several"},
            *({"place": n, "label": LABELS[n], "help": HELP[n], "type": "number",
               "value": wrong.get(n, str(getattr(self.asked, n)))} for n in NUMBERS),
        ]  # fmt: skip
        self.settings.groups = [
            {"title": "", "note": DEFAULTS, "fields": [{**f, "error": self.errors.get(f["place"], "")} for f in shown]}
        ]

    def _key(self) -> tuple[Any, ...]:
        """Everything that determines the numbers of a run."""
        draft = self.editor.draft
        return (self.asked, draft.content if draft is not None and draft.path.stem in self.asked.names else b"")

    def _say_if_stale(self) -> None:
        if self._ran and not self.job.running:
            self.job.said = "" if self._key() == self._ran else STALE

    # --- running -----------------------------------------------------------------------------------------

    def worked(self, message: Mapping[str, Any]) -> None:
        """Run, or cancel."""
        if message.get("cancel"):
            self._stop.set()
            self.job.said = "stopping …"
        elif message.get("start") and not self.job.running:
            self._start()

    def _start(self) -> None:
        if self.errors:
            self.said.html = _paragraphs(["correct what is marked above first"], "error")
            return
        self._stop = threading.Event()
        sampled = self.asked.fit != "none"
        first = is_compiled(sampled=sampled)
        said = "starting …" if first else "compiling the model; this happens once and takes up to a minute …"
        self.said.html = ""
        self.job.param.update(running=True, done=0, total=1, said=said)
        # a copy: what somebody edits meanwhile is for the next run
        asked, draft, key, stop = self.asked, copy.copy(self.editor.draft), self._key(), self._stop
        self._session.begin(lambda: self._run(asked, draft, key, stop))

    def _run(self, asked: Choices, draft: Any, key: tuple[Any, ...], stop: threading.Event) -> None:
        """In the background. Every report is a chance to notice that nobody looks any more."""

        def report(name: str, done: int, total: int) -> None:
            if self._session.closed.is_set():
                stop.set()
            self._session.later(lambda: self._tell(name, done, total, stop))

        try:
            found = self.worlds.compared(asked, draft, stop=stop, progress=report)
            page = _told(found)
        except KeyboardInterrupt:
            self._session.later(lambda: self._ended(None, key, "cancelled; nothing was kept"))
        except BdsimError as error:
            problem = error
            self._session.later(lambda: self._refused(problem, key))
        except Exception as error:  # said on the page; else its progress would stand still for ever
            words = f"{type(error).__name__}: {error}"
            self._session.later(lambda: self._refused(BdsimError(words), key))
            raise
        else:
            self._session.later(lambda: self._ended(found, key, "done", page))

    def _tell(self, name: str, done: int, total: int, stop: threading.Event) -> None:
        if self.job.running and not stop.is_set():
            self.job.param.update(done=done, total=total, said=f"{name}: {done} of {total} members")

    def _refused(self, error: BdsimError, key: tuple[Any, ...]) -> None:
        """At the field that the error names, else below the button."""
        if isinstance(error, InputError) and error.where in NUMBERS:
            self.errors[str(error.where)] = error.problem
            self._show_settings()
        self.said.html = _paragraphs([str(error)], "error")
        self._ended(None, key, "not run")

    def _ended(self, found: Compared | None, key: tuple[Any, ...], said: str, page: str = "") -> None:
        """The work is over; said last, since whoever waits for it looks at the rest of the page then."""
        try:
            if found is not None:
                self._show_found(found, key, page)
        finally:
            self.job.param.update(running=False, said=said)
        if found is not None:
            self._say_if_stale()

    def _show_found(self, found: Compared, key: tuple[Any, ...], page: str) -> None:
        self.compared, self._ran = found, key
        self.said.html = _paragraphs(found.failures, "error") + _paragraphs(found.remarks, "small")
        self.tables.html = page
        self._show_command()
        self._show_choice()
        self._drawing.ask((found, self.figure))

    # --- what is shown -----------------------------------------------------------------------------------

    def chosen(self, message: Mapping[str, Any]) -> None:
        """Another figure; nothing runs again."""
        figure = message.get("set", {}).get("figure")
        if figure in FIGURES and figure != self.figure:
            self.figure = figure
            self._show_choice()
            if self.compared is not None:
                self._drawing.ask((self.compared, figure))
            self._session.moved()

    def _show_choice(self) -> None:
        choices = [[name, title] for name, title in FIGURES.items()]
        field = {"place": "figure", "label": "Figure", "type": "choice", "choices": choices, "value": self.figure}
        self.choice.groups = [{"title": "", "fields": [field]}]
        self._show_exports()

    def _show_exports(self, busy: bool = False) -> None:
        disabled = self.compared is None or busy
        self.share.buttons = [{"key": k, "text": text, "disabled": disabled} for k, text in EXPORTS.items()]

    def _draw(self, question: tuple[Compared, str]) -> None:
        """In the background: the newest figure that was asked for."""
        found, figure = question
        try:
            svg = f"<div style='margin-top: 8px'>{found.svg(figure)}</div>" + _paragraphs(
                [found.source(figure)], "small"
            )
        except (BdsimError, ValueError) as error:
            svg = _paragraphs([str(error)], "error")
        self._session.later(lambda: self._show_picture(found, figure, svg))

    def _show_picture(self, found: Compared, figure: str, svg: str) -> None:
        if found is self.compared and figure == self.figure:
            self.picture.html = svg

    def _show_command(self) -> None:
        assert self.compared is not None
        asked, unsaved = self.compared.asked, self.compared.unsaved
        editing = self.editor.editing
        unsaved = unsaved if editing is not None and editing.unsaved and editing.name == unsaved else ""
        warning = f"Save '{unsaved}' first: the command line reads its file." if unsaved else ""
        self.command.html = (
            f"<h3>The same on the command line</h3><pre>{escape(asked.command)}</pre>"
            f"<button type='button' data-copy='{escape(asked.command, quote=True)}'>Copy the command</button>"
            + _paragraphs([warning] if warning else [], "warning")
            + "<p class='small'>The address of this page holds its state: send it to show the same.</p>"
        )

    # --- sharing -----------------------------------------------------------------------------------------

    def pressed(self, message: Mapping[str, Any]) -> None:
        """Something is to be saved by the browser."""
        key, found, figure = message.get("pressed"), self.compared, self.figure
        if found is not None and key in EXPORTS:
            self._show_exports(busy=True)
            self._session.begin(lambda: self._export(str(key), found, figure))

    def _export(self, key: str, found: Compared, figure: str) -> None:
        """In the background: a report takes some seconds."""
        try:
            if key == "report":
                name, kind, content = "report.html", "text/html", found.report().encode()
            else:
                name, kind, content = f"{figure}.{key}", TYPES[key], found.files(figure)[f".{key}"]
        except (BdsimError, OSError) as error:
            words = str(error)
            self._session.later(lambda: setattr(self.said, "html", _paragraphs([words], "error")))
        else:
            self._session.later(lambda: self.share.save(name, kind, content))
        self._session.later(self._show_exports)


def _apart(asked: Choices, before: Choices) -> Choices:
    """A reference is not compared with itself: where it was, the one before it goes."""
    others = [n for n in asked.others if n != asked.reference]
    if not others:
        others = [n for n in (before.reference, *before.others, "baseline") if n != asked.reference][:1]
    values = {f.name: getattr(asked, f.name) for f in fields(Choices)}
    return Choices(**{**values, "others": tuple(others)})


def _questions(asked: Sequence[tuple[str, str]]) -> str:
    """What each scenario asks."""
    rows = "".join(f"<dt>{escape(title)}</dt><dd>{escape(question)}</dd>" for title, question in asked)
    return f"<dl class='small'>{rows}</dl>"


def _paragraphs(sentences: Sequence[str], kind: str) -> str:
    role = " role='alert'" if kind == "error" else ""
    return "".join(f"<p class='{kind}'{role}>{escape(sentence)}</p>" for sentence in sentences)


def _told(found: Compared) -> str:
    """Tables and sentences as the command line says them, and what none of it can tell."""
    sentences = "".join(f"<p>{escape(s)}</p>" for s in found.sentences)
    caveats = "".join(f"<li>{escape(c)}</li>" for c in found.caveats)
    return (
        "<h2>Departures by period</h2>" + "".join(_table(told) for told in found.tables)
        + f"<h2>In words</h2>{sentences}<p>{escape(FRANK)}</p>"
        + f"<h2>What it can and cannot tell</h2><ul class='small'>{caveats}</ul>"
    )  # fmt: skip


def _table(told: Block) -> str:
    """Rows of text as a table; numbers to the right, as on a terminal."""
    columns = list(told.rows[0]) if told.rows else []
    kinds = {c: " class='number'" if all(r[c][:1] in "0123456789+-" for r in told.rows) else "" for c in columns[1:]}
    head = "".join(f"<th scope='col'{kinds.get(c, '')}>{escape(c)}</th>" for c in columns)
    body = "".join(
        f"<tr><th scope='row'>{escape(row[columns[0]])}</th>"
        + "".join(f"<td{kinds[c]}>{escape(row[c])}</td>" for c in columns[1:]) + "</tr>"
        for row in told.rows
    )  # fmt: skip
    notes = _paragraphs(told.caption.split("\n") if told.caption else [], "small")
    title = f"<caption>{escape(told.title)}</caption>"
    rows = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f"<table style='min-width: min(100%, 560px); margin-top: 10px'>{title}{rows}</table>{notes}"
