"""A TOML file as text, changed value by value and table by table; what is not touched stays as it is, to the byte.

The text is cut into lines, each with the place it belongs to: a header, a key with its value (however many lines of
the file that takes), a comment, an empty line. Tables come and go with their lines; a value is changed by tomlkit,
inside its line. What comes out is read again and compared before it is handed back. tomlkit is not given the whole
file: it writes the tables of one list in one run, which moves those that stand between tables of another list.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tomlkit
from tomlkit.exceptions import TOMLKitError

__all__ = [
    "EditError",
    "Place",
    "found_at",
    "has",
    "rendered",
    "same",
    "unfolded",
    "with_table",
    "with_value",
    "without",
]

Place = tuple[str | int, ...]  # ("event", 0, "outcomes", 1, "chance")
Edit = Callable[[Any, Any], None]  # changes nested dicts and lists in place, plain ones or tomlkit's

TOKENS = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # up to two quotes of a long text touch the three that end it
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{}\n]",
    re.DOTALL,
)
STYLE = re.compile(r"([ \t]*)([A-Za-z0-9_-]+)([ \t]*)=([ \t]*)")
WIDTH = 8  # of keys in the scenarios that ship


class EditError(Exception):
    """What was asked for has no line or header of its own, or could not be changed without something else."""


class Line(NamedTuple):
    """A piece of the text; `of` is the place of its header, () for what stands before the first one.

    `key` is that of a line with a value. `of` is None for comments set apart by an empty line at the end of a table:
    they belong to no table, and stay when it goes.
    """

    of: Place | None
    key: str | None
    text: str

    def under(self, place: Place) -> bool:
        """Whether the line goes when what is at `place` goes."""
        own = () if self.of is None else self.of if self.key is None else (*self.of, self.key)
        return own[: len(place)] == place


def with_value(text: str, place: Place, value: Any, before: Sequence[str] = ()) -> str:
    """The text with `value` at `place`. A new key stands after the last of those of `before` that are there.

    Raises EditError, and ValueError or TypeError when TOML has no such value.
    """
    rendered(value)
    lines = _lines(text)
    if not _edit_inside(lines, place, _setting, value):
        _add_line(lines, place, value, before)
    return _checked(text, lines, _setting(place), value)


def with_table(text: str, place: Place, table: dict[str, Any]) -> str:
    """The text with `table` at the end of the list at `place`: under a header, or in the line that has the list.

    Raises EditError.
    """
    lines = _lines(text)
    if not _edit_inside(lines, place, _appending, table):
        _add_table(lines, place, table)
    return _checked(text, lines, _appending(place), table)


def unfolded(text: str, place: Place) -> str:
    """The text with the list of tables at `place` under headers, if it had a line to itself and no comment in it."""
    number = _holder(_lines(text), place)
    line = None if number is None else _lines(text)[number]
    if line is None or (*(line.of or ()), line.key) != place or "#" in line.text:
        return text
    tables = found_at(tomllib.loads(text), place)
    text = without(text, place)
    for table in tables:
        text = with_table(text, place, table)
    return text


def without(text: str, place: Place) -> str:
    """The text without what is at `place`; comments set apart by an empty line stay. Raises EditError."""
    lines = _lines(text)
    kept = [line for line in lines if not line.under(place)]
    if len(kept) < len(lines):
        while lines[-1] is not kept[-1] and not kept[-1].text.strip():
            kept.pop()
    elif not _edit_inside(kept, place, _removing, None):
        raise EditError
    return _checked(text, kept, _removing(place, with_list=len(kept) < len(lines)), None)


def found_at(data: Any, place: Place) -> Any:
    """What nested dicts and lists have at a place. Raises KeyError, IndexError or TypeError."""
    for part in place:
        data = data[part]
    return data


def has(data: Any, place: Place) -> bool:
    """Whether nested dicts and lists have a place."""
    try:
        found_at(data, place)
    except (KeyError, IndexError, TypeError):
        return False
    return True


def rendered(value: Any) -> str:
    """A value as TOML has it, on one line. Raises ValueError or TypeError when TOML has no such value."""
    if isinstance(value, dict):
        inside = ", ".join(f"{tomlkit.key(key).as_string()} = {rendered(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(rendered(item) for item in value)}]"
    text: str = tomlkit.item(value).as_string()
    text.encode()  # half of a surrogate pair is text for Python alone
    return text


def same(one: Any, other: Any) -> bool:
    """Whether two values are alike in TOML, where 1, 1.0 and true are three things and nan is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def _checked(before: str, lines: Sequence[Line], edit: Edit, value: Any) -> str:
    """The text of the lines, when it says what `before` says but for the edit."""
    after = "".join(line.text for line in lines)
    try:
        wanted = tomllib.loads(before)
        edit(wanted, copy.deepcopy(value))
        if same(tomllib.loads(after), wanted):
            return after
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        pass  # a file of another form than a scenario's
    raise EditError


# --- cutting the text up -----------------------------------------------------------------------------------


def _lines(text: str) -> list[Line]:
    lines, of, lengths = list[Line](), Place(), dict[Place, int]()
    for piece in _pieces(text):
        if piece.lstrip(" \t").startswith("["):
            of = _place_of(piece, lengths)
            touching = len(lines) - _count_while(_is_comment, [line.text for line in reversed(lines)])
            _set_apart(lines, touching)
            lines[touching:] = [line._replace(of=of) for line in lines[touching:]]
            lines.append(Line(of, None, piece))
        else:
            key = None if not piece.strip() or _is_comment(piece) else next(iter(tomllib.loads(piece)))
            lines.append(Line(of, key, piece))
    _set_apart(lines, len(lines))
    return lines


def _pieces(text: str) -> list[str]:
    """The text cut at the ends of lines, but for those inside a value."""
    found, start, depth = [], 0, 0
    for token in TOKENS.finditer(text):
        sign = token.group()
        depth += (sign in ("[", "{")) - (sign in ("]", "}"))
        if sign == "\n" and depth == 0:
            found.append(text[start : token.end()])
            start = token.end()
    return [*found, text[start:]] if start < len(text) else found


def _set_apart(lines: list[Line], end: int) -> None:
    """Mark the comments that follow an empty line at the end of a table, and what is between them."""
    said = next((i for i in range(end - 1, -1, -1) if lines[i].text.strip() and not _is_comment(lines[i].text)), -1)
    said += 1 + _count_while(_is_comment, [line.text for line in lines[said + 1 : end]])
    apart = next((i for i in range(said, end) if _is_comment(lines[i].text)), end)
    lines[apart:end] = [line._replace(of=None) for line in lines[apart:end]]


def _place_of(header: str, lengths: dict[Place, int]) -> Place:
    """What [[event.outcomes]] stands for after the headers before it; `lengths` of lists are kept up to date."""
    place, table = Place(), tomllib.loads(header)
    while table:
        ((key, table),) = table.items()
        table = table[0] if isinstance(table, list) else table
        place = (*place, key)
        if table and place in lengths:
            place = (*place, lengths[place] - 1)
    if not header.lstrip(" \t").startswith("[["):
        return place
    lengths[place] = lengths.get(place, 0) + 1
    return (*place, lengths[place] - 1)


def _holder(lines: Sequence[Line], place: Place) -> int | None:
    """The number of the line with the value that has, or would have, what is at `place`."""
    within = [
        i
        for i, line in enumerate(lines)
        if line.key is not None and (*(line.of or ()), line.key) == place[: len(line.of or ()) + 1]
    ]
    return max(within, key=lambda i: has(tomllib.loads(lines[i].text), place[len(lines[i].of or ()) :]), default=None)


def _is_comment(text: str) -> bool:
    return text.lstrip(" \t").startswith("#")


def _count_while(test: Callable[[str], bool], texts: Sequence[str]) -> int:
    return next((i for i, text in enumerate(texts) if not test(text)), len(texts))


# --- changing a value --------------------------------------------------------------------------------------


def _setting(place: Place) -> Edit:
    def edit(data: Any, value: Any) -> None:
        holder, key = found_at(data, place[:-1]), place[-1]
        if isinstance(value, list) and has(holder, (key,)) and isinstance(holder[key], list):
            _refill(holder[key], _plain(value))
        else:
            holder[key] = value

    return edit


def _refill(items: Any, values: Sequence[Any]) -> None:
    """Make a list hold other values; items that stay keep the comments and spaces around them."""
    for i, value in enumerate(values[: len(items)]):
        if not same(_plain(items[i]), value):
            items[i] = value
    for value in values[len(items) :]:
        items.append(value)
    while len(items) > len(values):
        items.pop()


def _appending(place: Place) -> Edit:
    def edit(data: Any, value: Any) -> None:
        if has(data, place):
            found_at(data, place).append(value)
        else:
            found_at(data, place[:-1])[place[-1]] = [value]

    return edit


def _removing(place: Place, *, with_list: bool = False) -> Edit:
    """Lists of tables under headers go with their last table."""

    def edit(data: Any, _: Any) -> None:
        holder = found_at(data, place[:-1])
        del holder[place[-1]]
        if with_list and holder == []:
            del found_at(data, place[:-2])[place[-2]]

    return edit


def _plain(value: Any) -> Any:
    return value.unwrap() if hasattr(value, "unwrap") else value


def _edit_inside(lines: list[Line], place: Place, edit_of: Callable[[Place], Edit], value: Any) -> bool:
    """Change the line that has the value at `place`, if there is one; by tomlkit, or written anew where that fails."""
    number = _holder(lines, place)
    if number is None:
        return False
    line, edit = lines[number], edit_of(place[len(lines[number].of or ()) :])
    wanted = tomllib.loads(line.text)
    try:
        edit(wanted, copy.deepcopy(value))
    except (KeyError, IndexError, TypeError, AttributeError):
        raise EditError from None
    ((key, whole),) = wanted.items()
    changed = f"{tomlkit.key(key).as_string()} = {rendered(whole)}\n"
    try:
        document = tomlkit.parse(line.text)
        edit(document, value if value is None else tomlkit.value(rendered(value)))
        if same(tomllib.loads(document.as_string()), wanted):
            changed = document.as_string()
    except (TOMLKitError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        pass
    lines[number] = line._replace(text=changed)
    return True


# --- lines that come ---------------------------------------------------------------------------------------


def _add_line(lines: list[Line], place: Place, value: Any, before: Sequence[str]) -> None:
    """A line for a key, in the style of its neighbour; in one column with the others where they have one."""
    of, key = place[:-1], str(place[-1])
    if not any(line.of == of for line in lines) and of:
        raise EditError
    values = [i for i, line in enumerate(lines) if line.of == of and line.key is not None]
    earlier = [i for i in values if lines[i].key in before]
    at = earlier[-1] + 1 if earlier else values[0] if values else _end(lines, of)
    neighbour = STYLE.match(lines[at - 1 if earlier else values[0]].text) if values else None
    indent, known, gap, after = neighbour.groups() if neighbour else ("", " " * WIDTH, " ", " ")
    styles = [style for i in values if (style := STYLE.match(lines[i].text))]
    column = len(known + gap) - 1 if not styles or any(len(style[3]) > 1 for style in styles) else 0
    _insert(lines, at, of, f"{indent}{key.ljust(column)}{gap and ' '}={after}{rendered(value)}\n")


def _add_table(lines: list[Line], place: Place, table: dict[str, Any]) -> None:
    """After the last item of the list, else after the last of what is to have it."""
    at = _end(lines, place) or _end(lines, place[:-1])
    if at == 0 and place[:-1]:
        raise EditError
    text = _under_header(".".join(part for part in place if isinstance(part, str)), table)
    follows = at < len(lines) and bool(lines[at].text.strip())
    _insert(lines, at, place[:-1], ("\n" if at else "") + text + ("\n" if follows else ""))


def _end(lines: Sequence[Line], place: Place) -> int:
    """The number after the last line under a place; 0 where there is none."""
    return max(
        (i + 1 for i, line in enumerate(lines) if line.of is not None and line.text.strip() and line.under(place)),
        default=0,
    )


def _under_header(name: str, table: dict[str, Any]) -> str:
    """A table under its header; lists of tables in it under headers of their own."""
    lines, below = [f"[[{name}]]\n"], []
    for key, value in table.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            below += [f"\n{_under_header(f'{name}.{key}', item)}" for item in value]
        else:
            lines.append(f"{key.ljust(WIDTH)} = {rendered(value)}\n")
    return "".join(lines + below)


def _insert(lines: list[Line], at: int, of: Place, text: str) -> None:
    """Put text at a place among the lines; the last line of a file may lack its end."""
    if at and not lines[at - 1].text.endswith("\n"):
        lines[at - 1] = lines[at - 1]._replace(text=lines[at - 1].text + "\n")
    lines.insert(at, Line(of, None, text))
