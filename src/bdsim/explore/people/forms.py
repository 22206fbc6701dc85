"""The forms, files and lines of code of the part on people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bdsim.errors import InputError, UsageError, did_you_mean
from bdsim.explore.controls import Toolbar
from bdsim.explore.people import html as drawn
from bdsim.explore.people.watching import Look, Scene, branches_of, fits_of
from bdsim.model.categories import FIELDS, FIRST_YEAR, ORIGINS
from bdsim.reporting.names import NAMES
from bdsim.study import DEFAULT_HORIZON
from bdsim.study.layout import Study

__all__ = [
    "WORLD_WORDS",
    "check_choice",
    "code",
    "exports",
    "looks",
    "refuse",
    "save",
    "usual",
    "who",
    "world",
    "years",
]

# Words of the address for what makes a world, with what they are called, and what is usual.
WORLD_WORDS = {
    "world": ("Scenario", "baseline"),
    "branch": ("Branch", ""),
    "people_fit": ("Fit", ""),
    "people_k": ("Researchers per agent", "500"),
    "people_seed": ("Seed", "0"),
    "member": ("Member", "0"),
    "people_horizon": ("Horizon", str(DEFAULT_HORIZON)),
}


def usual(word: str) -> str:
    """What a word of the world says where the address does not."""
    return WORLD_WORDS[word][1]


def check_choice(word: str, text: str, choices: Sequence[str]) -> None:
    """Raises UsageError, with the nearest choice."""
    if text not in choices:
        raise UsageError(f"unknown {word} '{text}'{did_you_mean(text, [c for c in choices if c])}", where=word)


def refuse(wrong: Mapping[str, str]) -> None:
    """Raises UsageError where anything is wrong."""
    for word, problem in wrong.items():
        raise UsageError(problem, where=word)


def _branches(study: Study, scenario: str) -> list[str]:
    try:
        return branches_of(study, scenario)
    except InputError:  # told at the field of the scenario
        return []


def world(study: Study, look: Look, typed: Mapping[str, str], errors: Mapping[str, str]) -> dict[str, Any]:
    """The form of the world."""
    scenario = typed.get("world", look.world.scenario)
    names = study.scenario_names()
    branches = _branches(study, scenario) if scenario in names else []
    choices: dict[str, list[Any]] = {
        "world": names if scenario in names else [scenario, *names],
        "branch": [("" if i == 0 else name, name) for i, name in enumerate(branches)],
        "people_fit": [("", f"{fits_of(study)[0]} (as usual)"), *fits_of(study)[1:]],
    }
    fields = []
    for word, (label, ordinary) in WORLD_WORDS.items():
        if word == "branch" and len(branches) < 2:
            continue
        value = scenario if word == "world" else typed.get(word, ordinary)
        field = {"place": word, "label": label, "value": value, "error": errors.get(word, "")}
        kind = {"type": "choice", "choices": choices[word]} if word in choices else {"type": "number"}
        fields.append({**field, **kind})
    again = {"text": "Start again", "message": {"again": True}, "label": "Start again in the first year"}
    return {"title": "World", "fields": fields, "actions": [again]}


def years(look: Look) -> dict[str, Any]:
    """The year, to choose."""
    choices = [str(year) for year in range(FIRST_YEAR, look.world.last + 1)]
    field = {"place": "year", "label": "1 January of", "type": "choice", "choices": choices, "value": str(look.year)}
    return {"title": "", "fields": [field]}


def looks(look: Look) -> dict[str, Any]:
    """Who is drawn, and how they are coloured."""
    fields = [(f, NAMES[f]) for f in FIELDS]
    origins = [("", "all"), *((o, drawn.ORIGIN_WORDS[o]) for o in ORIGINS)]
    colours = [("fear", "fear"), ("left", "who left")]
    asked = (("field", "Field", fields), ("origin", "Origin", origins), ("colour", "Coloured by", colours))
    return {
        "title": "The picture",
        "fields": [
            {"place": word, "label": label, "type": "choice", "choices": choices, "value": getattr(look, word)}
            for word, label, choices in asked
        ],
    }


def who(study: Study, look: Look, scene: Scene | None, errors: Mapping[str, str]) -> dict[str, Any]:
    """Whose life, and in which other world."""
    leavers: list[Any] = [("", "choose …")]
    if scene is not None:
        leavers += [(str(n["identity"]), drawn.title_of(n)) for n in scene.leavers.to_dict("records")]
    known = {value for value, _ in leavers}
    person = "" if look.person is None else str(look.person)
    others = [("", "nowhere else"), *(n for n in study.scenario_names())]
    fields: list[dict[str, Any]] = [
        {"place": "leaver", "label": f"Who left in {look.year - 1}" if look.year > FIRST_YEAR else "Who left last year",
         "type": "choice", "choices": leavers, "value": person if person in known else ""},
        {"place": "person", "label": "Identity", "type": "text", "value": person,
         "help": "or click somebody on the picture"},
        {"place": "other", "label": "The same person in …", "type": "choice", "choices": others, "value": look.other},
    ]  # fmt: skip
    branches = _branches(study, look.other) if look.other else []
    if len(branches) > 1:
        beside = [("" if i == 0 else name, name) for i, name in enumerate(branches)]
        fields.append(
            {"place": "beside", "label": "Its branch", "type": "choice", "choices": beside, "value": look.beside}
        )
    for field in fields:
        field["error"] = errors.get(field["place"], "")
    return {"title": "Whose life", "fields": fields}


def exports(scene: Scene | None) -> list[dict[str, Any]]:
    """What can be saved."""
    lived = scene is not None and scene.mine is not None and scene.mine.life is not None
    return [
        {"key": "life_text", "text": "Life (text)", "disabled": not lived},
        {"key": "life_csv", "text": "Life (CSV)", "disabled": not lived},
        {"key": "svg", "text": "Network (SVG)", "disabled": scene is None},
        {"key": "nodes", "text": "Its people (CSV)", "disabled": scene is None},
    ]


def save(bar: Toolbar, key: str, scene: Scene) -> None:
    """Have the browser save what a button stands for."""
    life = scene.mine.life if scene.mine is not None else None
    network = f"network-{scene.look.world.scenario}-{scene.look.field}-{scene.look.year}"
    if key == "svg":
        bar.save(f"{network}.svg", "image/svg+xml", drawn.network_svg(scene).encode())
    elif key == "nodes":
        bar.save(f"{network}.csv", "text/csv", scene.nodes.to_csv(index=False).encode())
    elif life is not None and key == "life_text":
        bar.save(f"life-{life.identity}.txt", "text/plain", (life.in_words() + "\n").encode())
    elif life is not None and key == "life_csv":
        bar.save(f"life-{life.identity}.csv", "text/csv", drawn.life_csv(life))


def code(lines: str) -> str:
    """Lines of Python, with a button that copies them."""
    return (
        "<h3>The same in Python</h3><p class='small'>Run it in the folder of the study.</p>"
        f"<pre>{escape(lines)}</pre><button type='button' data-copy='{escape(lines, quote=True)}'>Copy</button>"
    )
