"""Slips of the hand: a text with a few places changed, cut, repeated or swapped."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["SNIPPETS", "mutated", "mutations"]

SNIPPETS = (
    "", "\n", "\r", "\t", " ", "=", "[", "]", "[[", "]]", "{", "}", '"', "'", '"""', "#", ",", ".", "-", "+",
    "\\", "\0", "\x7f", "\u2028", "\ufeff", "é", "😀", "nan", "inf", "-inf", "true", "0", "-1", "1e400",
    "1e-400", "99999999999999999999", "0x10", "2025-01-20", "2025-13-45", "07:00:00", "0001-01-01",
    "9999-12-31", '"2025"', "[]", "{}", "null", "[[policy]]", "[policy]", "[[event.outcomes]]", "[[lever]]",
    "drop = 1", "extends = 'Fuzz'", "given = 'upheld'", "set = 1", '"\\n" = 1', "name = ''", "targets = [1]",
    "years = [2026]", "[event]", "\\u0000", "\\ud800", "a.b.c = 1", "''' \n '''",
)  # fmt: skip
mutations = st.lists(
    st.tuples(
        st.sampled_from(["replace", "insert", "cut", "repeat", "swap"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 40),
        st.one_of(st.sampled_from(SNIPPETS), st.text(st.characters(exclude_categories=["Cs"]), max_size=6)),
    ),
    min_size=1,
    max_size=5,
)


def mutated(text: str, changes: list[tuple[str, float, int, str]]) -> str:
    for kind, where, length, snippet in changes:
        at = int(where * (len(text) + 1))
        if kind == "replace":
            text = text[:at] + snippet + text[at + length :]
        elif kind == "insert":
            text = text[:at] + snippet + text[at:]
        elif kind == "cut":
            text = text[:at] + text[at + length :]
        elif kind == "repeat":
            text = text[: at + length] + text[at:]
        else:  # two lines change places
            lines = text.split("\n")
            i, j = int(where * len(lines)), length % len(lines)
            lines[i], lines[j] = lines[j], lines[i]
            text = "\n".join(lines)
    return text
