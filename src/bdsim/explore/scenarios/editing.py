"""A scenario file being edited, as fields for a form: what to show, what somebody did, and how to take it back.

Knows no page. Groups and fields are plain values, as controls/form.js draws them.
"""

from __future__ import annotations

import base64
import binascii
import copy
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bdsim.errors import InputError, ScenarioError, UsageError
from bdsim.study.editing.draft import Draft
from bdsim.study.editing.fields import Entry, Field, PartInForce
from bdsim.study.editing.toml import rendered
from bdsim.study.layout import Study
from bdsim.study.scenario_file import Problem

__all__ = ["Editing"]

KINDS = {"policy": "policy", "lever": "lever", "event": "event", "outcomes": "outcome"}
PROSE = ("question", "notes", "why")
LONGEST = 200_000  # bytes of a file that an address may bring
LONGEST_WORD = 12_000  # characters of an address that a draft may take; servers and browsers cut longer ones


class Editing:
    """A draft with its past, so that edits can be taken back. Raises what Draft does for files that cannot be read."""

    def __init__(self, draft: Draft, kept: bytes | None) -> None:
        """`kept` is the content of the file, or None if the file does not exist yet."""
        self.draft, self._kept = draft, kept
        self._past: list[Draft] = []
        self._future: list[Draft] = []
        self.refused: dict[str, str] = {}  # what an edit was refused for, by place
        self._packed: tuple[bytes, str] = (b"", "")

    @classmethod
    def open(cls, name: str, study: Study) -> Editing:
        """Edit the scenario of that name. Raises ScenarioError or StudyError."""
        draft = Draft.open(study.scenario_file(name), study)
        return cls(draft, draft.content)

    @classmethod
    def new(cls, name: str, study: Study) -> Editing:
        """A scenario that does not exist yet. Raises UsageError for a name that is not valid, or is taken."""
        draft = Draft.new(name, study)
        if draft.path.exists():
            raise UsageError(f"'{draft.path.stem}' exists already; choose it above to edit it")
        return cls(draft, None)

    @classmethod
    def unpacked(cls, name: str, word: str, study: Study) -> Editing:
        """What `packed` made of a draft. Raises UsageError for anything else, ScenarioError for no TOML."""
        try:
            worker = zlib.decompressobj()
            content = worker.decompress(base64.b64decode(word.encode("ascii"), altchars=b"-_", validate=True), LONGEST)
        except (ValueError, binascii.Error, zlib.error):
            raise UsageError("is not a draft of a scenario") from None
        if not worker.eof:
            raise UsageError("is not a draft of a scenario, or is incomplete")
        return cls.of(name, content, study)

    @classmethod
    def of(cls, name: str, content: bytes, study: Study) -> Editing:
        """A scenario of that name with a content of its own, whether or not there is a file.

        Raises UsageError, and ScenarioError for no TOML.
        """
        path = Draft.new(name, study).path
        try:
            kept = path.read_bytes() if path.is_file() else None
        except OSError:
            kept = None
        return cls(Draft(path, study, content), kept)

    @property
    def packed(self) -> str:
        """The draft as a word of an address; empty when it is as its file, or too long for one."""
        if not self.unsaved:
            return ""
        content = self.draft.content
        if self._packed[0] != content:
            word = base64.urlsafe_b64encode(zlib.compress(content, 9)).decode("ascii")
            self._packed = content, word if len(word) <= LONGEST_WORD else ""
        return self._packed[1]

    @property
    def name(self) -> str:
        return self.draft.path.stem

    @property
    def unsaved(self) -> bool:
        return self._kept != self.draft.content

    @property
    def is_new(self) -> bool:
        return self._kept is None

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    # --- what somebody does ------------------------------------------------------------------------------

    def heard(self, message: Mapping[str, Any]) -> bool:
        """Carry out what a form says: `set`, `add` or `remove`. Returns whether the draft has changed.

        What cannot be done is among `refused`, at its place.
        """
        before = copy.copy(self.draft)
        self.refused = {}
        for place, value in dict(message.get("set", {})).items():
            self._try(place, lambda place=place, value=value: self.draft.set(place, value))
        for kind, at in message.get("add", []):
            self._try(at or "", lambda kind=kind, at=at: self.draft.add(kind, at))
        for place in message.get("remove", []):
            self._try(place, lambda place=place: self.draft.remove(place))
        if self.draft.content == before.content:
            return False
        self._past.append(before)
        self._future.clear()
        return True

    def _try(self, place: str, change: Any) -> None:
        try:
            change()
        except InputError as error:
            self.refused[place] = error.problem

    def undo(self) -> None:
        """Take back the last edit."""
        self._step(self._past, self._future)

    def redo(self) -> None:
        """Do again what was taken back."""
        self._step(self._future, self._past)

    def _step(self, there: list[Draft], back: list[Draft]) -> None:
        if there:
            back.append(self.draft)
            self.draft = there.pop()
            self.refused = {}

    def save(self, name: str, *, overwrite: bool = False) -> Path:
        """Write it under a name. Raises as Draft.save does."""
        path = self.draft.save(name, overwrite=overwrite)
        self._kept = self.draft.content
        self._past.clear()  # of another file, or of what the file no longer is
        self._future.clear()
        return path

    # --- what a form shows -------------------------------------------------------------------------------

    def problem(self) -> str:
        """The line in which the command line refuses the draft; empty when it does not."""
        try:
            self.draft.scenario()
        except ScenarioError as error:
            return str(error)
        return ""

    def groups(self) -> list[dict[str, Any]]:
        """The form: the scenario itself, its parts in force, and buttons that add parts."""
        problems = self.draft.problems()
        head, parts = self.draft.head(), self.draft.parts()
        errors = _at_fields(problems, [*head, *_entries(parts)]) | self.refused
        parent = str(self.draft.value("extends") or "")
        shown = [_group(part, parent, errors, f"{i}") for i, part in enumerate(parts)]
        return [
            {"title": "Scenario", "fields": [_shown(entry, errors, "head") for entry in head], "error": _loose(errors)},
            *shown,
            {"title": "", "actions": [_adding(kind, None, "") for kind in ("policy", "lever", "event")]},
        ]


def _entries(parts: Sequence[PartInForce]) -> list[Entry]:
    return [entry for part in parts for entry in (*part.entries, *_entries(part.parts))]


def _at_fields(problems: Sequence[Problem], entries: Sequence[Entry]) -> dict[str, str]:
    """Each problem at a field that is shown: its own, else the first inside what it names, else at none (loose)."""
    places = [entry.place for entry in entries]
    errors: dict[str, str] = {}
    for problem in problems:
        at = next((p for p in places if p == problem.field), None)
        # an item of a list belongs to its field; a rule over several parts to the first chance or value in them
        at = at or next((p for p in places if problem.field.startswith((f"{p}[", f"{p}."))), None)
        inside = [p for p in places if problem.field and p.startswith((f"{problem.field}[", f"{problem.field}."))]
        at = at or next((p for p in inside if p.endswith(".chance")), None) or (inside[0] if inside else None)
        message = problem.message if at is not None else f"{problem.place}: {problem.message}".removeprefix(": ")
        errors[at or ""] = " ".join(filter(None, (errors.get(at or ""), message)))
    return errors


def _loose(errors: Mapping[str, str]) -> str:
    """What is wrong and has no field."""
    return errors.get("", "")


def _group(part: PartInForce, parent: str, errors: Mapping[str, str], at: str) -> dict[str, Any]:
    """A part as a group of fields, with the parts in it and what can be done to it."""
    kind, own = KINDS[part.kind], part.origin == "own"
    origin = f"inherited from {parent}" if not own else f"in place of {parent}'s" if part.replaces else ""
    name = part.name or "without a name"
    inside = [_group(inner, parent, errors, f"{at}.{i}") for i, inner in enumerate(part.parts)]
    more = {"event": ("outcomes",), "outcomes": ("policy", "lever")}.get(part.kind, ())
    verb = "Restore the inherited" if part.replaces else "Remove" if own else "Leave out"
    removing = {"text": f"{verb} {kind}", "label": f"{verb} {kind} {name}", "message": {"remove": [part.place]}}
    return {
        "title": f"{kind.capitalize()}: {name}" + (f" ({origin})" if origin else ""),
        "kind": part.origin,
        "note": "" if own else "Changing it copies it into this scenario.",
        "error": errors.get(part.place, ""),
        "fields": [_shown(entry, errors, at) for entry in part.entries],
        "groups": inside,
        "actions": [*(_adding(key, part.place, name) for key in more), removing],
    }


def _adding(kind: str, at: str | None, of: str) -> dict[str, Any]:
    text = f"Add {KINDS[kind]}"
    return {"text": text, "label": f"{text} to {of}" if of else text, "message": {"add": [[kind, at]]}}


def _shown(entry: Entry, errors: Mapping[str, str], at: str) -> dict[str, Any]:
    """A value as a field: its label, help and bounds come from the schema."""
    known, value = entry.field, entry.value
    shown: dict[str, Any] = {
        "place": entry.place, "focus": f"{at}/{known.key}", "label": known.label, "help": _help(known),
        "error": errors.get(entry.place, ""),
    }  # fmt: skip
    if known.type == "list":
        chosen = [_text(item) for item in value] if isinstance(value, list) else []
        choices = list(dict.fromkeys([*known.choices, *chosen]))
        return {**shown, "type": "several", "choices": choices, "value": chosen, "disabled": not choices, "rows": 3}
    if known.type == "choice":
        text = _text(value)
        none = [] if known.required else [["", "(none)"]]
        choices = list(dict.fromkeys([*known.choices, *([text] if text else [])]))
        return {**shown, "type": "choice", "choices": [*none, *([c, c] for c in choices)], "value": text}
    kind = "prose" if known.key in PROSE else "text" if _has_range(value) else known.type
    return {**shown, "type": kind, "value": _text(value)}


def _help(known: Field) -> str:
    bounds = (
        f"{_text(known.least)} to {_text(known.most)}" if known.least is not None and known.most is not None else ""
    )
    words = [known.help.rstrip("."), bounds, "a number, or one a year" if known.one_a_year else ""]
    words.append('or a range such as { low = ..., high = ..., why = "..." }' if known.may_be_range else "")
    return "; ".join(word for word in words if word)


def _has_range(value: Any) -> bool:
    """Whether a value is a range, or a list with one: it is typed as it stands in the file."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def _text(value: Any) -> str:
    """A value as somebody would type it."""
    if value is None:
        return ""
    if _has_range(value):
        return rendered(value)
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)
