"""A scenario file being edited, for a form in whatever interface: values set, parts added and removed, mistakes shown.

A place is what the command line calls it: `policy[0].until`, `event[1].outcomes[0].chance`. What a scenario inherits is
found behind `extends.`: `extends.policy[0].until` is in the first policy of the file that this one extends. To
change it, the part is copied into this file under its name, and takes the inherited one's place; to remove it, its
name is added to `drop`.

>>> draft = Draft.open("initiative-revival", study)
>>> draft.set("policy[0].scrutiny", "0.5")
'policy[0].scrutiny'
>>> draft.problems()
[]
>>> draft.save("half-a-revival").name
'half-a-revival.toml'
"""

from __future__ import annotations

import contextlib
import copy
import functools
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bdsim.errors import ScenarioError, UsageError, did_you_mean
from bdsim.files.durable import write_file
from bdsim.study.editing import fields
from bdsim.study.editing.fields import Entry, Kind, PartInForce, dicts, fields_of, kind_at, named, names_of
from bdsim.study.editing.toml import (
    EditError,
    Place,
    found_at,
    has,
    rendered,
    unfolded,
    with_table,
    with_value,
    without,
)
from bdsim.study.layout import Study
from bdsim.study.scenario import Scenario, inherit, located, parent_of, problems_between, resolve
from bdsim.study.scenario_file import Problem, parse_scenario, problems_of, read_content, spelled, tables_of, text_of

__all__ = ["Draft"]

TOP: tuple[Kind, ...] = ("policy", "lever", "event")
INHERITED = -1  # at the front of a place in the file that this one extends; places in a file begin with a key
BOM = b"\xef\xbb\xbf"
NOT_IN_NAMES = frozenset('<>:"/\\|?*')  # one file system or another has another use for these


class Draft:
    """A scenario file being edited. What is not touched is kept to the byte, comments and line ends included."""

    def __init__(self, path: Path, study: Study, content: bytes) -> None:
        """A draft of `content`, to be saved as `path`, where there may be no file yet.

        Raises ScenarioError when it is not TOML or mixes two kinds of line ends.
        """
        tables_of(content, path)
        self.path, self.study = path, study
        self._opened: tuple[Path, bytes] | None = None
        self._text = text_of(content, path)
        self._bom = BOM if content.startswith(BOM) else b""
        self._end = "\r\n" if b"\r\n" in content else "\n"
        if self.content != content:
            raise ScenarioError("mixes two kinds of line ends; save it with one kind to edit it here", where=path)
        try:
            self._places()
        except RecursionError:
            raise ScenarioError("is nested too deeply to be edited here", where=path) from None

    @classmethod
    def open(cls, path: Path | str, study: Study | None = None) -> Draft:
        """A draft of a file, or of the scenario of that name.

        Raises ScenarioError or StudyError, as load_scenario does, when it cannot be read or is not TOML, and when it
        mixes two kinds of line ends; other mistakes are among the draft's problems.
        """
        given, study = located(path, study)
        content = read_content(given)
        draft = cls(given, study, content)
        draft._opened = given, content
        return draft

    @classmethod
    def new(cls, name: str, study: Study, extends: str | None = "baseline") -> Draft:
        """A draft of a scenario that is not there yet, which says what is to be written. Raises UsageError."""
        path = study.scenarios / f"{_plain(name)}.toml"
        title = path.stem.replace("-", " ").replace("_", " ").strip().capitalize() or "Untitled"
        start = {"title": title[:120], "question": "To be written: what does this scenario ask?", "extends": extends}
        lines = [f"{key.ljust(8)} = {rendered(value)}\n" for key, value in start.items() if value is not None]
        return cls(path, study, "".join(lines).encode())

    # --- what it says ------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The file as text, with the line ends that it has."""
        return self._text.replace("\n", self._end)

    @property
    def content(self) -> bytes:
        """The file as it would be saved."""
        return self._bom + self.text.encode()

    def places(self) -> list[str]:
        """Every place that has a value or may have one."""
        return list(self._places())

    def value(self, place: str) -> Any:
        """What is at a place, or what holds where the file has nothing; None: nothing. Raises UsageError."""
        return copy.deepcopy(self._in_force(self._path(place)))

    def head(self) -> tuple[Entry, ...]:
        """Title, question and the other values of the scenario itself."""
        inherited = self._inherited()
        choices = {
            "extends": [name for name in self.study.scenario_names() if name != self.path.stem],
            "drop": [name for kind in TOP for name in names_of(inherited, kind)],
        }
        return fields.offering(fields.entries_of("scenario", self._data(), ""), choices)

    def parts(self) -> list[PartInForce]:
        """All policies, levers and events in force, in their order, those of an event's outcomes inside them."""
        data, inherited = self._data(), self._inherited()
        found: list[PartInForce] = []
        for kind in TOP:
            at = {part.get("name"): f"extends.{kind}[{i}]" for i, part in dicts(inherited, kind)}
            theirs = [
                fields.part_of(kind, part, f"extends.{kind}[{i}]", "inherited") for i, part in dicts(inherited, kind)
            ]
            ours = [fields.part_of(kind, part, f"{kind}[{i}]", "own") for i, part in dicts(data, kind)]
            ours = [replace(part, replaces=at.get(part.name, "") if part.name else "") for part in ours]
            found += inherit(theirs, ours, _drop_of(data))
        return fields.with_outcomes_to_choose(found)

    def problems(self) -> list[Problem]:
        """Every mistake, in the words of the command line; the first is the one that it tells."""
        found = self._problems()
        return [replace(problem, message=str(ScenarioError(problem.message))) for problem in found]  # one line each

    def scenario(self) -> Scenario:
        """The scenario that the file would be. Raises ScenarioError as load_scenario would."""
        return resolve(parse_scenario(self.content, self.path), self.path, self.study)

    # --- changing it -------------------------------------------------------------------------------------

    def set(self, place: str, value: Any) -> str:
        """Put a value, or the text that somebody typed for it, at a place.

        None removes what is there, as does empty text where a value may be missing.

        Text that should be a date, number or list and is not stays text, and the loader says so. Returns where the
        value stands now: another place when the part was inherited. Raises UsageError for a place that is none or has
        parts, and for a value that TOML does not know.
        """
        path = self._path(place)
        field = fields.field_at(_inside(path))
        if field is None:
            raise UsageError("has no value that could be set", where=place)
        whole = path[-1] == field.key
        value = fields.from_form(field, value) if whole else fields.item_from_form(field, value)
        if value is None:
            return self.remove(place)
        if fields.alike(self._in_force(path), value):
            return place
        with self._editing(place):
            path = self._own(path)
            keys = [f.key for f in fields_of(kind_at(path[:-1]) or "scenario")]  # a new one goes after those before it
            with self._renaming(path):
                self._text = with_value(self._text, path, value, keys[: keys.index(field.key)] if whole else ())
        return _spelled(path)

    def add(self, kind: str, at: str | None = None) -> str:
        """Add a part that is valid as it is, and return its place.

        A policy, lever or event; outcomes `at` an event; a policy or lever `at` an outcome. Raises UsageError.
        """
        known = next((k for k in fields.KINDS if k == kind), None)
        if known is None:
            raise UsageError(f"unknown kind of part{did_you_mean(kind, fields.KINDS)}", where=str(kind))
        path = () if at is None else self._path(at)
        holder = kind_at(_inside(path))
        if holder is None or known not in fields.lists_of(holder):
            raise UsageError(f"takes no '{kind}'", where=at or "scenario")
        with self._editing(at or kind):
            path = (*self._own(path), kind)
            taken = [*fields.all_names(self._data()), *fields.all_names(self._inherited())]
            start = fields.start_of(known, taken, found_at(self._data(), path[:-1][:2]))
            folded = path[:3] if path[2:3] == ("outcomes",) and len(path) > 3 else None
            self._text = with_table(unfolded(self._text, folded) if folded else self._text, path, start)
            return _spelled((*path, len(found_at(self._data(), path)) - 1))

    def remove(self, place: str) -> str:
        """Take away a part, a value or an item of a list; the name of an inherited part gets into `drop`.

        A part that took the place of an inherited one gives it back. Returns where it was: another place when an
        inherited part was copied to take something from it. Raises UsageError.
        """
        path = self._path(place)
        with self._editing(place):
            data, inside = self._where(path)
            if _is_inherited(path) and len(path) == 3:
                name = self._name_of(path)
                if (copied := self._copy_of(path)) is not None:
                    self._text = without(self._text, copied)
                self._drop(name)
            elif has(data, inside):
                path = self._own(path)
                with self._renaming(path):
                    self._text = without(self._text, path)
        return _spelled(path)

    def save(self, name: str | None = None, *, overwrite: bool = False) -> Path:
        """Write it as NAME.toml beside the file that was opened (a new one: in scenarios/), or under the name it has.

        Raises ScenarioError when it has problems, UsageError when the name is not valid or belongs to another file,
        or of one that was changed since it was opened (unless overwrite=True), and StorageError.
        """
        target = self.path if name is None else self.path.with_name(f"{_plain(name)}.toml")
        content = self.content
        resolve(parse_scenario(content, target), target, self.study)
        if not overwrite:
            self._check_that_it_is_ours(target)
        write_file(target, content)
        self.path, self._opened = target, (target, content)
        return target

    # --- inside ------------------------------------------------------------------------------------------

    def _data(self) -> dict[str, Any]:
        return _tables(self._text)

    def _inherited(self) -> dict[str, Any]:
        """What the file that this one extends has, as plain values; nothing when it cannot be read."""
        extends = self._data().get("extends")
        try:
            parent = parent_of(extends, self.path, self.study) if isinstance(extends, str) else None
        except ScenarioError:
            return {}
        dumped = parent.model_dump(by_alias=True, exclude_unset=True) if parent is not None else {}
        return {kind: dumped[kind] for kind in TOP if kind in dumped}

    def _problems(self) -> list[Problem]:
        if found := problems_of(self.content):
            return found
        own = parse_scenario(self.content, self.path)
        try:
            parent = parent_of(own.extends, self.path, self.study)
        except ScenarioError as error:
            message = error.problem if error.where == self.path else str(error)  # which names the other file
            return [Problem("extends", message, "extends")]
        return list(problems_between(own, parent))

    def _places(self) -> dict[str, Place]:
        data, inherited = self._data(), self._inherited()
        found = fields.places_of(data)
        for kind in TOP:
            for i, part in dicts(inherited, kind):
                copied = named(data, kind, part.get("name"))
                if copied is not None or part.get("name") not in _drop_of(data):
                    shown = part if copied is None else found_at(data, (kind, copied))
                    there = fields.places_below(shown, (kind, i))
                    found |= {f"extends.{spelled(path)}": (INHERITED, *path) for path in there}
        return found

    def _path(self, place: str) -> Place:
        places = self._places()
        if place not in places:
            raise UsageError(f"no such place{did_you_mean(place, places)}", where=str(place))
        return places[place]

    def _where(self, path: Place) -> tuple[dict[str, Any], Place]:
        """The file that has what holds at a place, as plain values, and the place in it."""
        if not _is_inherited(path):
            return self._data(), path
        copied = self._copy_of(path)
        return (self._inherited(), path[1:]) if copied is None else (self._data(), (*copied, *path[3:]))

    def _in_force(self, path: Place) -> Any:
        data, inside = self._where(path)
        field = fields.field_at(inside)
        default = field.default if field is not None and inside[-1] == field.key else None
        return found_at(data, inside) if has(data, inside) else default

    def _copy_of(self, path: Place) -> Place | None:
        """The part of this file that takes the place of an inherited one."""
        name = found_at(self._inherited(), path[1:3]).get("name")
        number = named(self._data(), str(path[1]), name)
        return None if number is None else (path[1], number)

    def _own(self, path: Place) -> Place:
        """The place in this file of what may be inherited, after copying the part it lies in."""
        if not _is_inherited(path):
            return path
        copied = self._copy_of(path)
        if copied is None:
            self._name_of(path)
            part = found_at(self._inherited(), path[1:3])
            self._text = with_table(self._text, path[1:2], part)
            copied = path[1], len(self._data()[str(path[1])]) - 1
        return (*copied, *path[3:])

    def _name_of(self, path: Place) -> str:
        name = found_at(self._inherited(), path[1:3]).get("name")
        if name is None:
            parent = self._data()["extends"]
            raise UsageError(f"has no name to replace or drop it by; name it in '{parent}'", where=_spelled(path[:3]))
        return str(name)

    def _drop(self, name: str) -> None:
        inherited, drop = self._inherited(), _drop_of(self._data())
        if sum(names_of(inherited, kind).count(name) for kind in TOP) > 1:
            parent = self._data()["extends"]
            raise UsageError(f"'{parent}' has several parts named '{name}', and drop takes them all", where="drop")
        if name not in drop:
            self._text = with_value(self._text, ("drop",), [*drop, name], ("title", "question", "extends"))

    @contextlib.contextmanager
    def _renaming(self, path: Place) -> Iterator[None]:
        """A part that is called otherwise no longer takes an inherited one's place, so that one is dropped."""
        before = found_at(self._data(), path[:2]).get("name") if path[2:] == ("name",) else None
        yield
        if before is not None and before in names_of(self._inherited(), str(path[0])):
            self._drop(before)

    @contextlib.contextmanager
    def _editing(self, place: str) -> Iterator[None]:
        """All of an edit or none of it."""
        before = self._text
        try:
            yield
        except EditError:
            self._text = before
            raise UsageError("cannot be changed on its own; change it in the file", where=place) from None
        except (ValueError, TypeError, RecursionError):
            self._text = before
            raise UsageError("TOML has no such value", where=place) from None
        except BaseException:  # an interrupt too leaves the text as it was, and goes on
            self._text = before
            raise

    def _check_that_it_is_ours(self, target: Path) -> None:
        try:
            if not target.exists():
                return
            if self._opened is None or not target.samefile(self._opened[0]):
                raise UsageError("exists already; choose another name, or overwrite it", where=target)
            if target.read_bytes() != self._opened[1]:
                raise UsageError("has changed since it was opened; choose another name, or overwrite it", where=target)
        except OSError as error:
            raise UsageError(f"cannot be looked up: {error.strerror}", where=target) from None


@functools.lru_cache(maxsize=4)
def _tables(text: str) -> dict[str, Any]:
    """The text as plain values, which nobody changes."""
    return tomllib.loads(text)


def _plain(name: str) -> str:
    """The name without an ending, when it is one that a file may have anywhere."""
    stem = name.removesuffix(".toml")
    plain = stem == stem.strip() and stem.isprintable() and not NOT_IN_NAMES & set(stem)
    if not stem or not plain or stem.startswith((".", "-")):
        raise UsageError(f"'{name}' is not a plain name for a scenario, such as visa-cut-2027")
    return stem


def _is_inherited(path: Place) -> bool:
    return path[:1] == (INHERITED,)


def _inside(path: Place) -> Place:
    """A place as seen from the file it is in."""
    return path[1:] if _is_inherited(path) else path


def _spelled(path: Place) -> str:
    return f"extends.{spelled(path[1:])}" if _is_inherited(path) else spelled(path)


def _drop_of(data: dict[str, Any]) -> list[str]:
    drop = data.get("drop")
    return [name for name in drop if isinstance(name, str)] if isinstance(drop, list) else []
