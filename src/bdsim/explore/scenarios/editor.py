"""The form in which a scenario is edited: its fields, undo, saving, and the file as it would be saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import panel as pn

from bdsim.errors import BdsimError, InputError, UsageError
from bdsim.explore.controls import Form, Html, Toolbar
from bdsim.explore.scenarios.editing import Editing
from bdsim.explore.session import Session
from bdsim.study.editing.draft import Draft

__all__ = ["Editor"]


class Editor:
    """Chooses a scenario and edits it. Calls `changed` with the draft's names before and after, whenever it changes."""

    def __init__(self, session: Session, changed: Callable[[str, str], None]) -> None:
        self._study, self._changed = session.study, changed
        self.editing: Editing | None = None
        self._new_name, self._errors = "", dict[str, str]()
        self._name, self._name_error, self._overwrite = "", "", ""
        self.ignored = self._from_address(session.asked)
        self.choosing = Form(heard=self.chosen)
        self.fields = Form(heard=self.edited)
        self.history = Toolbar(heard=self.pressed, label="Edits")
        self.naming, self.keep = Form(heard=self.named), Toolbar(heard=self.pressed, label="Save")
        self.said, self.text, self.saving = Html(live=True), Html(), Html()
        self.view = pn.Column(
            Html(html="<h2>Edit a scenario</h2>"), self.choosing, self.said, self.history, self.fields, self.saving,
            self.naming, self.keep, self.text, sizing_mode="stretch_width",
        )  # fmt: skip
        self._show()

    @property
    def draft(self) -> Draft | None:
        """The scenario that is being edited."""
        return self.editing.draft if self.editing is not None else None

    # --- the address -------------------------------------------------------------------------------------

    def _from_address(self, asked: Mapping[str, str]) -> list[str]:
        """Open what the address names; what of it was ignored, in words."""
        name, word = asked.get("edit", ""), asked.get("draft", "")
        if not name:
            return ["draft: names no scenario"] if word else []
        try:
            if not word:
                self.editing = Editing.open(name, self._study)
                return []
            self.editing = Editing.unpacked(name, word, self._study)
        except InputError as error:
            return [f"{'draft' if word else 'edit'}: {error.problem}"]
        finally:
            self._name = self.editing.name if self.editing is not None else ""
        return []

    def address(self) -> dict[str, str]:
        """Which scenario is edited, and the draft where it is not as its file."""
        if self.editing is None or (self.editing.is_new and not self.editing.packed):
            return {}
        word = self.editing.packed
        return {"edit": self.editing.name, **({"draft": word} if word else {})}

    # --- what somebody does ------------------------------------------------------------------------------

    def chosen(self, message: Mapping[str, Any]) -> None:
        """A scenario was chosen, or a new one named or begun."""
        asked = message.get("set", {})
        self._errors = {}
        if "new" in asked:
            self._new_name = str(asked["new"]).strip()
        try:
            if "edit" in asked and asked["edit"] != (self.editing.name if self.editing is not None else ""):
                self._check_that_nothing_is_lost("edit")
                self._open(Editing.open(str(asked["edit"]), self._study) if asked["edit"] else None)
            elif message.get("begin"):
                self._check_that_nothing_is_lost("new")
                self._open(Editing.new(self._new_name, self._study))
                self._new_name = ""
        except InputError as error:
            self._errors.setdefault("new" if message.get("begin") else "edit", error.problem)
        self._show()

    def take(self, name: str, content: bytes) -> None:
        """Edit a scenario that was put together elsewhere on the page. Raises UsageError where edits would be lost."""
        if self.editing is not None and self.editing.name != name:
            self._check_that_nothing_is_lost("edit")
        self._open(Editing.of(name, content, self._study))
        self._show()

    def _check_that_nothing_is_lost(self, field: str) -> None:
        if self.editing is not None and self.editing.unsaved:
            self._errors[field] = f"'{self.editing.name}' has changes that are not saved; save or revert them first"
            raise UsageError(self._errors[field])

    def _open(self, editing: Editing | None) -> None:
        before = self.editing.name if self.editing is not None else ""
        self.editing, self._name_error, self._overwrite = editing, "", ""
        self._name = editing.name if editing is not None else ""
        self._changed(before, self._name if editing is not None and editing.unsaved else "")

    def edited(self, message: Mapping[str, Any]) -> None:
        """A field was changed, a part added or removed."""
        if self.editing is not None:
            moved = self.editing.heard(message)
            self._overwrite = "" if moved else self._overwrite
            self._show()
            if moved:
                self._changed(self.editing.name, self.editing.name)

    def named(self, message: Mapping[str, Any]) -> None:
        """The name to save under was typed."""
        for words in message.get("set", {}).values():
            self._name, self._name_error, self._overwrite = str(words).strip(), "", ""
        self._show()

    def pressed(self, message: Mapping[str, Any]) -> None:
        """A button was pressed."""
        key, editing = message.get("pressed"), self.editing
        if editing is None:
            return
        if key in ("undo", "redo"):
            getattr(editing, key)()
        elif key == "revert":
            self._open(None if editing.is_new else Editing.open(editing.name, self._study))
        elif key == "save":
            self._save(overwrite=False)
        elif key == "overwrite" and self._overwrite == self._name:
            self._save(overwrite=True)
        self._show()
        if key in ("undo", "redo"):
            self._changed(editing.name, editing.name)

    def _save(self, *, overwrite: bool) -> None:
        """Over another file, or one that somebody else has changed, only once that was asked for by its name."""
        assert self.editing is not None
        before, self._name_error, self._overwrite = self.editing.name, "", ""
        try:
            self.editing.save(self._name, overwrite=overwrite)
        except InputError as error:
            self._name_error = error.problem if isinstance(error.where, Path) and not error.place else str(error)
            if isinstance(error, UsageError) and isinstance(error.where, Path):  # another file, or changed meanwhile
                self._overwrite = self._name
        except BdsimError as error:
            self._name_error = str(error)
        else:
            self._name = self.editing.name
            self._changed(before, self._name)

    # --- what is shown -----------------------------------------------------------------------------------

    def _show(self) -> None:
        editing = self.editing
        self.choosing.groups = [_choice(self._study.scenario_names(), editing, self._new_name, self._errors)]
        self.said.html = _state(editing)
        if editing is None:
            self.fields.groups, self.naming.groups, self.history.buttons, self.keep.buttons = [], [], [], []
            self.saving.html, self.text.html = "", ""
            return
        self.saving.html = "<h3>Save</h3>"
        self.fields.groups = editing.groups()
        self.history.buttons = [
            {"key": "undo", "text": "Undo", "disabled": not editing.can_undo},
            {"key": "redo", "text": "Redo", "disabled": not editing.can_redo},
            {"key": "revert", "text": "Discard" if editing.is_new else "Revert", "disabled": not editing.unsaved},
        ]
        place = {"place": "name", "label": "Save as scenarios/NAME.toml", "type": "text", "value": self._name}
        self.naming.groups = [{"title": "", "fields": [{**place, "error": self._name_error}]}]
        over = {"key": "overwrite", "text": f"Overwrite {self._overwrite}.toml"}
        self.keep.buttons = [{"key": "save", "text": "Save", "main": True}, *([over] if self._overwrite else [])]
        text = escape(editing.draft.text)
        self.text.html = f"<details><summary>The file as it would be saved</summary><pre>{text}</pre></details>"


def _choice(names: list[str], editing: Editing | None, new: str, errors: Mapping[str, str]) -> dict[str, Any]:
    """The form in which a scenario is chosen or begun."""
    now = editing.name if editing is not None else ""
    every = sorted({*names, *([now] if now else [])})
    fields = [
        {"place": "edit", "label": "Scenario", "type": "choice", "choices": [["", "(none)"], *([n, n] for n in every)],
         "value": now, "error": errors.get("edit", "")},
        {"place": "new", "label": "Or a new one, named", "type": "text", "value": new, "error": errors.get("new", "")},
    ]  # fmt: skip
    return {"title": "", "fields": fields, "actions": [{"text": "Begin a new scenario", "message": {"begin": True}}]}


def _state(editing: Editing | None) -> str:
    """How the draft stands to its file, and how the command line would refuse it."""
    if editing is None:
        return ""
    name, problem = escape(editing.name), editing.problem()
    state = "as its file" if not editing.unsaved else "not saved yet" if editing.is_new else "changed, not saved"
    said = f"<p class='small'><b>{name}</b>: {state}."
    if editing.unsaved:
        said += " It takes part in the comparison as it stands here; scenarios that extend it do so as saved."
        said += "" if editing.packed else " It is too long for the address of the page."
    return f"{said}</p>" + (f"<p class='error' role='alert'>{escape(problem)}</p>" if problem else "")
