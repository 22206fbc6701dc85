"""What a person reads in place of the program's own words for fields, stages, routes and destinations."""

from __future__ import annotations

__all__ = ["NAMES", "capital"]

NAMES = {
    "engineering_cs": "Engineering and computer science",
    "math_physical": "Mathematics and physical sciences",
    "life": "Life sciences",
    "early": "Early (0-5 years since entry)",
    "mid": "Mid (6-14 years)",
    "senior": "Senior (15 years and more)",
    "doctorate": "US doctorate on a visa",
    "settled": "Settled: came otherwise",
    "china": "To China and Hong Kong",
    "elsewhere": "To other countries",
}


def capital(text: str) -> str:
    """The text with a capital at its beginning and nothing else changed."""
    return text[:1].upper() + text[1:]
