"""Inputs for fuzz_loaders.py that are mostly still TOML, JSON or CSV."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable

from slips import SNIPPETS

__all__ = ["Mutator", "short", "words_of"]

PIECES = re.compile(r"(\s*[=:,\[\]{}]\s*)")  # between the keys, values and cells of TOML, JSON and CSV


def short(content: bytes) -> bytes:
    """An input without its prose, so that a change more often meets what matters."""
    text = re.sub(r"^#.*\n|[ \t]+# .*$|^ +", "", _text(content), flags=re.MULTILINE)
    return re.sub(r'"[^"\n]{25,}"', '"x"', text).encode("utf-8", "surrogateescape")


def words_of(seeds: Iterable[bytes]) -> list[str]:
    """The keys and names in some inputs, and what else may stand in their place."""
    found = {word for seed in seeds for word in re.findall(r"[A-Za-z_]\w{2,30}", seed.decode("utf-8", "replace"))}
    odd = ("1e308", "-1e308", "1e-320", "1" * 400, "0x" + "f" * 5000, "{a = 1}", "[[1]]", "true", '"""x\ny"""', "=== ")
    return [*sorted(found), *(s for s in SNIPPETS if s), *odd]


class Mutator:
    """Changes that leave most of a file in its language: of lines, and of the pieces of a line."""

    def __init__(self, seeds: list[bytes], words: list[str], bytewise: Callable[[bytes, int], bytes]) -> None:
        self.lines = [line for seed in seeds for line in _text(seed).split("\n")]
        self.words, self.bytewise = words, bytewise

    def __call__(self, content: bytes, largest: int, seed: int) -> bytes:
        luck = random.Random(seed)
        if luck.random() < 0.3:
            return self.bytewise(content, largest)
        lines = _text(content).split("\n")
        for _ in range(luck.choice((1, 1, 1, 2, 4))):
            i, j = luck.randrange(len(lines)), luck.randrange(len(lines))
            kind = luck.choice(("piece", "piece", "piece", "swap", "repeat", "cut", "take"))
            if kind == "piece":
                pieces = PIECES.split(lines[i])
                others = PIECES.split(luck.choice((lines[j], luck.choice(self.lines))))
                pieces[luck.randrange(len(pieces))] = luck.choice((luck.choice(others), luck.choice(self.words), ""))
                lines[i] = "".join(pieces)
            elif kind == "swap":
                lines[i], lines[j] = lines[j], lines[i]
            elif kind == "repeat":
                lines[j:j] = lines[i : i + luck.choice((1, 1, 6))]
            elif kind == "cut" and len(lines) > 1:
                del lines[i : i + luck.choice((1, 1, 6))]
                lines = lines or [""]
            elif kind == "take":
                lines.insert(i, luck.choice(self.lines))
        return "\n".join(lines).encode("utf-8", "surrogateescape")[:largest]


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
