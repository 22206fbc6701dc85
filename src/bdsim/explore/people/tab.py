"""The part of the page where people are looked at: a small Mesa run stepped year by year, and one life in it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

from bdsim.errors import BdsimError, InputError
from bdsim.explore.controls import Form, Html, Network, Split, Toolbar
from bdsim.explore.people import forms
from bdsim.explore.people import html as drawn
from bdsim.explore.people.watching import (
    COLOURS,
    Look,
    Scene,
    Watching,
    asked_from,
    code_of,
    differs,
    first_look,
    whole,
)
from bdsim.explore.session import Cancelled, Latest, Session
from bdsim.model.categories import FIELDS, FIRST_YEAR, ORIGINS

__all__ = ["PeoplePart"]

LOOK_WORDS = ("year", "field", "origin", "colour", "person", "other", "beside")  # a branch after its scenario
PATIENCE = 0.3  # seconds before progress is shown
PACE = 1.0  # seconds a year lasts while it plays
# A word of the address for what an error is about, by what it says of itself.
FIELD_OF = {"researchers_per_agent": "people_k", "seed": "people_seed", "horizon": "people_horizon"}


class PeoplePart:
    """A world above; the network and the year's numbers; one life below."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.watching = Watching(session.study)
        self.typed: dict[str, str] = {}  # what differs from the usual in the form of the world
        self.errors: dict[str, str] = {}
        self.notes: list[str] = []  # what the address asked for in vain
        self.look = self._from_address(session.asked)
        self.scene: Scene | None = None
        self.answered: Look | None = None  # what is on screen, or could not be worked out
        self._begun = False
        self._failed_at = ""  # the field that shows why a world could not be made
        self._turn = 0  # of playing; another number stops what plays
        self._playing = False
        self._latest = Latest(session, self._work_out)
        session.at_end(self.watching.close)
        self.world = Form(heard=self._asked)
        self.steps = Toolbar(heard=self._pressed, label="Years")
        self.year, self.looks, self.who = Form(heard=self._seen), Form(heard=self._seen), Form(heard=self._seen)
        self.status, self.numbers = Html(live=True), Html(live=True)
        self.network = Network(heard=self._chosen)
        self.legend, self.life, self.bars, self.table = Html(), Html(), Html(), Html(heard=self._seen)
        self.exports = Toolbar(heard=self._pressed, label="Share")
        self.code = Html()
        self.view = self._laid_out()
        self._show_controls()

    def _laid_out(self) -> Any:
        import panel as pn

        head = Html(html=f"<h2>Look at people</h2><p class='small'>{escape(drawn.NOBODY)}</p>")
        beside = pn.Column(self.steps, self.year, self.numbers, self.looks, self.legend, sizing_mode="stretch_width")
        return pn.Column(
            head, self.world, self.status, Split(objects=[self.network, beside], kind="even"), self.who, self.life,
            self.bars, self.table, self.exports, self.code, sizing_mode="stretch_width",
        )  # fmt: skip

    @property
    def settled(self) -> bool:
        """Whether what is asked for is on screen."""
        return self.answered is self.look

    # --- the address -------------------------------------------------------------------------------------

    def _from_address(self, asked: Mapping[str, str]) -> Look:
        """What the address asks for; what is wrong in it is left out, with a word."""
        world, wrong = asked_from(self._session.study, asked)
        self.notes = [f"{word}={asked[word]} in the address: {problem}" for word, problem in wrong.items()]
        self.typed = {w: asked[w] for w in forms.WORLD_WORDS if w in asked and w not in wrong}
        look = first_look(self._session.study, world)
        for word in LOOK_WORDS:
            try:
                look = self._looked(look, word, asked[word]) if word in asked else look
            except InputError as error:
                self.notes.append(f"{word}={asked[word]} in the address: {error.problem}")
        return look

    def _looked(self, look: Look, word: str, words: str) -> Look:
        """With one thing looked at otherwise. Raises InputError."""
        if word == "year":
            return replace(look, year=whole(words, FIRST_YEAR, look.world.last, "year"))
        if word == "person":
            text = words.strip()
            number = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else text[:60]
            return replace(look, person=number if text else None, moment=None)
        if word == "other":
            if words:
                asked_from_one(self._session, {"world": words})
            return replace(look, other=words, beside="")
        if word == "beside":
            if words:
                asked_from_one(self._session, {"world": look.other or look.world.scenario, "branch": words})
            return replace(look, beside=words)
        choices = {"field": FIELDS, "origin": ("", *ORIGINS), "colour": COLOURS}.get(word)
        if choices is None:
            return look
        forms.check_choice(word, words, choices)
        changed: dict[str, Any] = {word: words}
        return replace(look, **changed)

    def address(self) -> Mapping[str, str]:
        """What is not as it usually is."""
        look, usual = self.look, first_look(self._session.study, self.look.world)
        words = {w: text for w, text in self.typed.items() if w not in self.errors and text != forms.usual(w)}
        words |= {name: str(getattr(look, name)) for name in LOOK_WORDS if getattr(look, name) != getattr(usual, name)}
        return words

    # --- what is asked for -------------------------------------------------------------------------------

    def shown(self) -> None:
        """The part has come to the front: make the world, unless it is there."""
        if not self._begun:
            self._begun = True
            self._latest.ask(self.look)
        self._show_controls()

    def _go_to(self, look: Look) -> None:
        """Look at something else."""
        self.look, self.notes = look, []
        self._session.moved()
        if self._begun:
            self._latest.ask(look)

    def _asked(self, message: Mapping[str, Any]) -> None:
        """From the form of the world: what was typed, or to start again."""
        if message.get("again"):
            self._stop()
            self._go_to(replace(self.look, year=FIRST_YEAR, again=self.look.again + 1, moment=None))
        typed = {w: str(x).strip() for w, x in message.get("set", {}).items() if w in forms.WORLD_WORDS}
        if not typed:
            self._show_controls()
            return
        self.typed |= typed
        if "world" in typed:
            self.typed.pop("branch", None)
        world, self.errors = asked_from(self._session.study, self.typed)
        if not self.errors:
            self._go_to(replace(self.look, world=world, year=min(self.look.year, world.last), moment=None))
        self._show_controls()

    def _seen(self, message: Mapping[str, Any]) -> None:
        """From the other forms and the table: what one looks at in this world."""
        look = self.look
        if isinstance(message.get("moment"), int):
            look = replace(look, moment=message["moment"])
        for word, words in message.get("set", {}).items():
            try:
                look = self._looked(look, "person" if word == "leaver" else word, str(words))
            except InputError as error:
                self.errors[word] = error.problem
            else:
                self.errors.pop(word, None)
        self._go_to(look)
        self._show_controls()

    def _chosen(self, message: Mapping[str, Any]) -> None:
        """On the picture."""
        row = message.get("chosen")
        if self.scene is not None and isinstance(row, int):
            found = self.scene.nodes.loc[self.scene.nodes["row"] == row, "identity"]
            if len(found):
                self._go_to(replace(self.look, person=int(found.iloc[0]), moment=None))

    # --- years -------------------------------------------------------------------------------------------

    def _pressed(self, message: Mapping[str, Any]) -> None:
        key = message.get("pressed")
        if key == "play" and not self._playing:
            self._turn, self._playing = self._turn + 1, True
            turn = self._turn
            self._session.begin(lambda: self._play(turn))
        elif key in ("pause", "play"):
            self._stop()
        elif key == "on":
            self._stop()
            self._step(1)
        elif key == "back":
            self._stop()
            self._step(-1)
        elif self.scene is not None and self.scene.look is self.look:
            forms.save(self.exports, str(key), self.scene)
        self._show_controls()

    def _step(self, by: int) -> None:
        year = self.look.year + by
        if FIRST_YEAR <= year <= self.look.world.last:
            self._go_to(replace(self.look, year=year))

    def _stop(self) -> None:
        self._turn, self._playing = self._turn + 1, False

    def _play(self, turn: int) -> None:
        """In the background: a year a beat, once the last is on screen."""
        while self._turn == turn and not self._session.closed.wait(PACE):
            self._session.later(lambda: self._beat(turn))

    def _beat(self, turn: int) -> None:
        if self._turn != turn or not self.settled:
            return
        self._step(1)
        if self.look.year >= self.look.world.last:
            self._stop()
            self._show_controls()

    # --- in the background -------------------------------------------------------------------------------

    def _work_out(self, look: Look) -> None:
        """The newest question; left off as soon as there is a newer one."""

        begun = time.monotonic()

        def report(what: str, done: int, total: int) -> None:
            if look is not self.look or self._session.closed.is_set():
                raise Cancelled
            said = f"{escape(what)} <progress max='{total}' value='{done}' aria-label='Progress'></progress>"
            if time.monotonic() - begun > PATIENCE:
                self._session.later(lambda: setattr(self.status, "html", f"<p class='small'>{said}</p>"))

        try:
            scene = self.watching.scene(look, report)
        except Cancelled:
            return
        except BdsimError as error:
            where, problem = getattr(error, "where", None), error
            self._session.later(lambda: self._failed(look, FIELD_OF.get(str(where), "world"), str(problem)))
        except Exception as error:
            logging.getLogger(__name__).exception("people could not be looked at")
            problem_text = f"unexpected: {error}"
            self._session.later(lambda: self._failed(look, "world", problem_text))
        else:
            self._session.later(lambda: self._show(look, scene))
        finally:
            if self._session.closed.is_set():
                self.watching.close()

    def _failed(self, look: Look, word: str, problem: str) -> None:
        self._stop()
        self.errors[word], self._failed_at = problem, word
        self.status.html = ""
        self._show_controls()
        self.answered = look

    def _show(self, look: Look, scene: Scene) -> None:
        """Everything that follows from a scene."""
        if look is not self.look:
            return
        self.scene = scene
        mine = scene.mine
        self.errors.pop(self._failed_at, None)
        self._failed_at = ""
        if mine is not None and mine.problem:
            self.errors["person"] = mine.problem
        else:
            self.errors.pop("person", None)
        self.network.picture = drawn.picture(scene)
        self.numbers.html, self.legend.html = drawn.numbers(scene), drawn.legend(look)
        moments = [*mine.life.moments, *([mine.now] if mine.now else [])] if mine and mine.life else []
        chosen = next((m for m in moments if m.year == look.moment), moments[-1] if moments else None)
        self.life.html = _life(scene)
        self.table.html = drawn.life_table(scene, chosen.year if chosen else None)
        decided = mine is None or chosen is not mine.now
        self.bars.html = drawn.terms_chart(chosen, decided) if chosen else ""
        self.code.html = forms.code(code_of(look))
        self.status.html = "".join(f"<p class='error'>{escape(note)}; ignored</p>" for note in self.notes)
        self._show_controls()
        self.answered = look

    def _show_controls(self) -> None:
        look, study = self.look, self._session.study
        busy = self.scene is None
        self.world.groups = [forms.world(study, look, self.typed, self.errors)]
        self.steps.buttons = [
            {"key": "back", "text": "Back", "disabled": busy or look.year <= FIRST_YEAR},
            {"key": "on", "text": "One year on", "disabled": busy or look.year >= look.world.last, "main": True},
            {"key": "pause", "text": "Pause"}
            if self._playing
            else {"key": "play", "text": "Play", "disabled": busy or look.year >= look.world.last},
        ]
        self.year.groups = [forms.years(look)]
        self.looks.groups = [forms.looks(look)]
        self.who.groups = [forms.who(study, look, self.scene, self.errors)]
        self.exports.buttons = forms.exports(self.scene)


def _life(scene: Scene) -> str:
    """Who it is, how it ended so far, and how that differs in another world."""
    if scene.mine is None or scene.mine.life is None:
        return ""
    said = ""
    if scene.other is not None:
        name = scene.look.other + (f" ({scene.look.beside})" if scene.look.beside else "")
        ending = f" There: {scene.other.life.ending}." if scene.other.life else ""
        said = f"<p>{escape(differs(scene.mine, scene.other, name) + ending)} The luck is the same in both.</p>"
    return drawn.life_heading(scene.mine) + said


def asked_from_one(session: Session, typed: Mapping[str, str]) -> None:
    """Raises UsageError for a world that the study has not."""
    forms.refuse(asked_from(session.study, typed)[1])
