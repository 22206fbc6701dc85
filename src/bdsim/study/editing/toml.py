"""A TOML file as text, changed value by value and table by table; what is not touched stays as it is, to the byte.

The text is cut into statements (a header, a key with its value, a comment, an empty line) and these into blocks (a
header with what stands under it). Tables come and go as blocks; a value is changed inside its statement, by tomlkit.
So a change reaches no further than it means to, and what comes out is read again before it is handed back.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass
class Block:
    """A header with the comments right above it and what stands under it; the first has no header and no place."""

    place: Place
    statements: list[str]

    def end(self) -> int:
        """Where the block's own statements end and empty lines, or comments set apart by one, begin."""
        last = max((i + 1 for i, s in enumerate(self.statements) if s.strip() and not _is_comment(s)), default=0)
        while last < len(self.statements) and _is_comment(self.statements[last]):
            last += 1
        return last

    def holder(self, place: Place) -> int | None:
        """The number of the statement that holds what is at `place`, seen from the block."""
        for number, statement in enumerate(self.statements):
            if _is_value(statement) and has(tomllib.loads(statement), place):
                return number
        return None


def with_value(text: str, place: Place, value: Any, before: Sequence[str] = ()) -> str:
    """The text with `value` at `place`. A new key stands after the last of those of `before` that are there.

    Raises EditError, and ValueError or TypeError when TOML has no such value.
    """
    rendered(value)
    blocks = _blocks(text)
    block, inside = _block_of(blocks, place)
    number = block.holder(inside)
    if number is not None:
        block.statements[number] = _edited(block.statements[number], _setting(inside), value)
    elif len(inside) == 1:
        _add_line(block, str(inside[0]), value, before)
    else:
        number = _needed(block.holder(inside[:-1]))
        block.statements[number] = _edited(block.statements[number], _setting(inside), value)
    return _checked(text, _joined(blocks), _setting(place), value)


def with_table(text: str, place: Place, table: dict[str, Any]) -> str:
    """The text with `table` at the end of the list at `place`: under a header, or in the line that has the list.

    Raises EditError.
    """
    blocks = _blocks(text)
    block, inside = _block_of(blocks, place)
    number = block.holder(inside)
    if number is None and len(inside) > 1:
        return with_value(text, place, [table])
    if number is not None:
        block.statements[number] = _edited(block.statements[number], _appending(inside), table)
    else:
        _add_block(blocks, place, table)
    return _checked(text, _joined(blocks), _appending(place), table)


def unfolded(text: str, place: Place) -> str:
    """The text with the list of tables at `place` under headers, if it had a line to itself and no comment in it."""
    block, inside = _block_of(_blocks(text), place)
    number = block.holder(inside)
    if number is None or len(inside) > 1 or "#" in block.statements[number]:
        return text
    tables = found_at(tomllib.loads(text), place)
    text = without(text, place)
    for table in tables:
        text = with_table(text, place, table)
    return text


def without(text: str, place: Place) -> str:
    """The text without what is at `place`; comments set apart by an empty line stay. Raises EditError."""
    blocks = _blocks(text)
    if any(_under(block.place, place) for block in blocks):
        _drop_blocks(blocks, place)
        return _checked(text, _joined(blocks), _removing(place, with_list=True), None)
    block, inside = _block_of(blocks, place)
    number = _needed(block.holder(inside))
    if len(inside) == 1:
        del block.statements[number]
    else:
        block.statements[number] = _edited(block.statements[number], _removing(inside), None)
    return _checked(text, _joined(blocks), _removing(place), None)


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


def _checked(before: str, after: str, edit: Edit, value: Any) -> str:
    """`after`, when it says what `before` says but for the edit."""
    try:
        wanted = tomllib.loads(before)
        edit(wanted, copy.deepcopy(value))
        if same(tomllib.loads(after), wanted):
            return after
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        pass  # a file of another form than a scenario's
    raise EditError


# --- cutting the text up -----------------------------------------------------------------------------------


def _statements(text: str) -> list[str]:
    found, start, depth = [], 0, 0
    for token in TOKENS.finditer(text):
        sign = token.group()
        depth += (sign in ("[", "{")) - (sign in ("]", "}"))
        if sign == "\n" and depth == 0:
            found.append(text[start : token.end()])
            start = token.end()
    return [*found, text[start:]] if start < len(text) else found


def _blocks(text: str) -> list[Block]:
    blocks, lengths = [Block((), [])], dict[Place, int]()
    for statement in _statements(text):
        if statement.lstrip(" \t").startswith("["):
            above = blocks[-1].statements
            lead = len(above)
            while lead and _is_comment(above[lead - 1]):
                lead -= 1
            blocks.append(Block(_place_of(statement, lengths), [*above[lead:], statement]))
            del above[lead:]
        else:
            blocks[-1].statements.append(statement)
    return blocks


def _place_of(header: str, lengths: dict[Place, int]) -> Place:
    """What [[event.outcomes]] stands for after the headers before it; `lengths` of lists are kept up to date."""
    keys, table = [], tomllib.loads(header)
    while table:
        key, table = next(iter(table.items()))
        table = table[0] if isinstance(table, list) else table
        keys.append(key)
    place: Place = ()
    for key in keys[:-1]:
        place = (*place, key)
        place = (*place, lengths[place] - 1) if place in lengths else place
    place = (*place, keys[-1])
    if not header.lstrip(" \t").startswith("[["):
        return place
    lengths[place] = lengths.get(place, 0) + 1
    return (*place, lengths[place] - 1)


def _block_of(blocks: Sequence[Block], place: Place) -> tuple[Block, Place]:
    """The innermost block that a place lies in, and the place as seen from there."""
    holding = [block for block in blocks if len(block.place) < len(place) and _under(place, block.place)]
    block = max(holding, key=lambda b: len(b.place))
    return block, place[len(block.place) :]


def _under(place: Place, above: Place) -> bool:
    return place[: len(above)] == above


def _needed(number: int | None) -> int:
    if number is None:
        raise EditError
    return number


def _is_comment(statement: str) -> bool:
    return statement.lstrip(" \t").startswith("#")


def _is_value(statement: str) -> bool:
    return bool(statement.strip()) and not statement.lstrip(" \t").startswith(("#", "["))


def _joined(blocks: Sequence[Block]) -> str:
    return "".join(statement for block in blocks for statement in block.statements)


# --- changing a statement ----------------------------------------------------------------------------------


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
            found_at(data, place[:-1])[place[-1]] = [value]  # under headers

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


def _edited(statement: str, edit: Edit, value: Any) -> str:
    """The statement changed by tomlkit, which keeps comments and spaces; written anew where tomlkit fails."""
    wanted = tomllib.loads(statement)
    try:
        edit(wanted, copy.deepcopy(value))
    except (KeyError, IndexError, TypeError, AttributeError):
        raise EditError from None
    try:
        document = tomlkit.parse(statement)
        edit(document, value if value is None else tomlkit.value(rendered(value)))
        changed = document.as_string()
        if same(tomllib.loads(changed), wanted):
            return changed
    except (TOMLKitError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        pass
    ((key, whole),) = wanted.items()
    return f"{tomlkit.key(key).as_string()} = {rendered(whole)}\n"


# --- lines and blocks that come and go -----------------------------------------------------------------------


def _add_line(block: Block, key: str, value: Any, before: Sequence[str]) -> None:
    """A line for a key, in the style of its neighbour; in one column with the others where they have one."""
    values = [i for i, statement in enumerate(block.statements) if _is_value(statement)]
    earlier = [i for i in values if next(iter(tomllib.loads(block.statements[i]))) in before]
    at = earlier[-1] + 1 if earlier else values[0] if values else block.end()
    neighbour = STYLE.match(block.statements[at - 1 if earlier else values[0]]) if values else None
    indent, known, gap, after = neighbour.groups() if neighbour else ("", " " * WIDTH, " ", " ")
    styles = [style for i in values if (style := STYLE.match(block.statements[i]))]
    column = len(known + gap) - 1 if not styles or any(len(style[3]) > 1 for style in styles) else 0
    _end_line(block.statements, at)
    line = f"{indent}{key.ljust(column)}{gap and ' '}={after}{rendered(value)}\n"
    block.statements.insert(at, line)


def _add_block(blocks: list[Block], place: Place, table: dict[str, Any]) -> None:
    """After the last item of the list, else after the last of what is to have it."""
    within = [i for i, block in enumerate(blocks) if _under(block.place, place)]
    within = within or [i for i, block in enumerate(blocks) if _under(block.place, place[:-1])]
    previous = blocks[_needed(within[-1] if within else None)]
    at = previous.end()
    _end_line(previous.statements, at)
    new = _as_blocks(".".join(part for part in place if isinstance(part, str)), table)
    apart = ["\n"] if "".join(previous.statements[:at]) else []
    follows = blocks[-1] is not previous and len(previous.statements) == at
    previous.statements[at:at] = [*apart, new, *(["\n"] if follows else [])]


def _as_blocks(name: str, table: dict[str, Any]) -> str:
    """A table under its header; lists of tables in it under headers of their own."""
    lines, below = [f"[[{name}]]\n"], []
    for key, value in table.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            below += [f"\n{_as_blocks(f'{name}.{key}', item)}" for item in value]
        else:
            lines.append(f"{key.ljust(WIDTH)} = {rendered(value)}\n")
    return "".join(lines + below)


def _drop_blocks(blocks: list[Block], place: Place) -> None:
    kept: list[Block] = []
    for block in blocks:
        if not _under(block.place, place):
            kept.append(block)
            continue
        loose = block.statements[block.end() :]
        comments = [i for i, statement in enumerate(loose) if _is_comment(statement)]
        kept[-1].statements += loose[comments[0] :] if comments else []
    last = kept[-1].statements
    while blocks[-1] is not kept[-1] and last and not last[-1].strip():
        last.pop()
    blocks[:] = kept


def _end_line(statements: list[str], at: int) -> None:
    """So that something can follow: the last line of a file may lack its end."""
    if at and not statements[at - 1].endswith("\n"):
        statements[at - 1] += "\n"
