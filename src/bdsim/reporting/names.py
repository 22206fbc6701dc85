"""What a person reads in place of the program's own words for fields, stages, routes, destinations and tables."""

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
    "scrutiny_china": "Scrutiny of researchers of Chinese descent",
    "scrutiny_india": "Scrutiny of researchers from India",
    "scrutiny_other": "Scrutiny of other researchers",
    "funding_ratio": "Chinese over US research spending",
    "pull": "Other pull of China",
    "us_funding": "US research funding",
    "nih_funding": "NIH funding",
    "nsf_funding": "NSF funding",
    "soft_power": "Attraction of the US",
    "green_card_wait": "Wait for a green card",
    "offers": "Offers of talent programmes",
    "inflow_china": "Doctorates from China",
    "inflow_india": "Doctorates from India",
    "inflow_other": "Doctorates from elsewhere",
}


def capital(text: str) -> str:
    """The text with a capital at its beginning and nothing else changed."""
    return text[:1].upper() + text[1:]
