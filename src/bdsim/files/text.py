"""Text that a person wrote, read with care: what is too large, of another kind or built to be slow is refused.

Loading a study reads text and nothing else: TOML, CSV and JSON cannot hold code, and nothing here runs any.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from bdsim.errors import InputError

__all__ = [
    "all_readable",
    "decoded",
    "is_there",
    "parsed_json",
    "parsed_toml",
    "read_bytes",
    "read_text",
    "read_toml",
    "readable",
]

LARGEST_TOML = 250_000  # bytes: thirty times the largest that is shipped, and still read within a second
LARGEST_TABLE = 2_000_000  # of CSV and JSON
AT_LINE = re.compile(r"at line (\d+), column")  # in what tomllib says
LIKE_A_DAY = re.compile(r"(?<!\d)\d{4}-\d{1,2}-\d{1,2}(?!\d)")
MOST_SHOWN = 60  # characters of a line in a message
MOST_KEY_PARTS = 40  # of a dotted key; tomllib takes minutes for one of 20,000
BLANKS = dict.fromkeys(map(ord, "\n\t\u00a0\u202f\u2009"))  # invisible but harmless white space
KEY_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
DOTTED = re.compile(rf"(?<![\w-]){KEY_PART}(?:[ \t]*+\.[ \t]*+{KEY_PART}){{{MOST_KEY_PARTS},}}")


def is_there(path: Path) -> bool:
    """Whether a file of this name exists; a name that the file system refuses counts as missing."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, error: type[InputError], largest: int = LARGEST_TOML) -> bytes:
    """The content of a regular file that is not too large. Raises `error`: file and problem."""
    try:
        if not path.is_file():  # a pipe or a device would never end
            problem = "is not a file" if path.exists() else "this file is missing"
            raise error(problem, where=path)
        if path.stat().st_size > largest:
            raise _too_large(path, error, largest)
        return path.read_bytes()
    except (OSError, ValueError) as problem:  # ValueError: a name with a NUL byte
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise error(f"cannot be read: {reason}", where=path) from None


def decoded(content: bytes, path: Path | None, error: type[InputError], largest: int = LARGEST_TOML) -> str:
    """UTF-8 text, with line ends as in Unix and no byte order mark. Raises `error` if it is not, or is too large."""
    if len(content) > largest:
        raise _too_large(path, error, largest)
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        raise error(f"cannot be read: it is not UTF-8 text (byte {problem.start})", where=path) from None


def read_text(path: Path, error: type[InputError], largest: int = LARGEST_TABLE) -> str:
    """The text of a file, with line ends as in Unix and no byte order mark. Raises `error`: file and problem."""
    text = decoded(read_bytes(path, error, largest), path, error, largest)
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            readable(line)
        except ValueError as problem:
            raise error(str(problem), where=path, place=f"line {number}") from None
    return text


def _too_large(path: Path | None, error: type[InputError], largest: int) -> InputError:
    return error(f"larger than {largest:,} bytes, which no file of a study is", where=path)


def read_toml(path: Path, error: type[InputError]) -> dict[str, Any]:
    """The tables of a TOML file. Raises `error`: file and problem."""
    tables = parsed_toml(decoded(read_bytes(path, error), path, error), path, error)
    try:
        all_readable(tables)
    except ValueError as problem:
        raise error(f"texts {problem}", where=path) from None
    return tables


def parsed_toml(text: str, path: Path | None, error: type[InputError]) -> dict[str, Any]:
    """The tables of TOML text. Raises `error`: file and problem."""
    if DOTTED.search(text):
        raise error(f"cannot be read: a key of more than {MOST_KEY_PARTS} parts", where=path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # TOMLDecodeError is a ValueError; so are numbers of 5,000 digits
        raise error(f"cannot be read: it is not TOML: {problem}{_line_of(problem, text)}", where=path) from None


def _line_of(problem: Exception, text: str) -> str:
    """The line that the parser stopped in, as it stands there; empty where it names none."""
    named = AT_LINE.search(str(problem))
    lines = text.split("\n")  # as the parser counts them
    line = lines[int(named[1]) - 1].strip() if named and int(named[1]) <= len(lines) else ""
    impossible = [day for day in LIKE_A_DAY.findall(line) if not _is_day(day)]
    return "".join([f": {line[:MOST_SHOWN]}" if line else "", *(f" ({day} is no day)" for day in impossible[:1])])


def _is_day(text: str) -> bool:
    """Whether a text names a day as TOML has it, such as 2025-01-20."""
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def parsed_json(text: str) -> Any:
    """The value that JSON text gives. Raises ValueError or RecursionError."""
    return all_readable(json.loads(text))


def readable(text: str) -> str:
    """Text without what could move the cursor, hide other text or end it: it is shown on terminals and in pages.

    Raises ValueError for any other, half a character (which JSON knows) included.
    """
    seen = text.translate(BLANKS)
    if not seen.isprintable():
        odd = next(character for character in seen if not character.isprintable())
        raise ValueError(f"must not contain the character {odd.encode('unicode_escape').decode()}")
    return text


def all_readable(value: Any) -> Any:
    """A value of TOML or JSON whose texts and keys are all readable. Raises ValueError."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            readable(one)
        elif isinstance(one, dict):
            left += [*one, *one.values()]
        elif isinstance(one, list):
            left += one
    return value
