"""Scenario files edited value by value: what is not touched is kept to the byte, mistakes are told as by the loader."""

from __future__ import annotations

import datetime as dt
import difflib
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bdsim.errors import InputError, ScenarioError, StorageError
from bdsim.model.world import TABLES
from bdsim.study.editing.draft import Draft
from bdsim.study.editing.fields import KINDS, Entry, Field, PartInForce, fields_of, lists_of, places_of
from bdsim.study.editing.toml import has, rendered, same
from bdsim.study.layout import Study, find_study
from bdsim.study.scenario import load_scenario
from bdsim.study.scenario_file import LARGEST_VALUE, problems_of

pytestmark = pytest.mark.one_python

Draw = Callable[[st.SearchStrategy[Any]], Any]
BROKEN = sorted(Path(__file__).with_name("broken_scenarios").glob("[0-9][0-9]-*.toml"))
NAMES = find_study(Path(__file__)).scenario_names()
# A file as a person may write it: remarks everywhere, no two parts in the same style, kinds in no order.
CHUNKS = {
    "head": """# top
title="Remarks" # t
question = '''
What "is"
[[this]]?''' # q
extends = 'baseline'  # e

# --- all ---

""",
    "P": """# about P
[[ policy ]] # hdr
  name = "P" # pn
  from = 2025-01-01
  # about until
  until = 2026-01-01 # pu
  scrutiny = 1
  why = "test"
# tail of P
""",
    "L": """
# --- levers ---

[[lever]]
name="L"
table="offers"
years=[2026,2028] # ly
multiply=[ 0.9, # m0
  0.8, # m1
  # m2
  0.7 ]
why='is # no remark'
""",
    "Q": """# about Q
[["policy"]]
"name" = "Q"
from=2025-01-01
until=2026-01-01
scrutiny=1.0
targets=["china",
"india",] # qt
why="w"
""",
    "E": """[[event]]
name = "E"
on = 2025-06-01
outcomes = [
  { name = "a", chance = 0.25 }, # oa
  { name = "b", chance = 0.75, lever = [ {table = "offers", years = [2026, 2026], set = 3, why = "s"} ] } # ob
] # oo
""",
    "F": """[[event]]
name = "F"
on = 2025-06-01
outcomes = [{ name = "c", chance = 0.5 }, { name = "d", chance = 0.5 }]

""",
    "G": """[[event]]
name = "G"
given = "c"
on = 2025-07-01
[[event.outcomes]]
name = "g"
chance = 1
# about GP
[[event.outcomes.policy]]
name = "GP"
from = 2025-07-01
until = 2026-01-01
scrutiny = 1
why = "test" # last

""",
    "M": """# about M
[[lever]]
name = "M"
table = "soft_power"
years = [2026, 2027]
add = -0.5
why = "test" # end""",
}
REMARKS = "".join(CHUNKS.values())


def draft_of(text: str, study: Study) -> Draft:
    return Draft(study.scenarios / "mine.toml", study, text.encode())


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in list(lines)[2:] if not line.startswith("@@")]


def flat(parts: Iterable[PartInForce]) -> list[PartInForce]:
    return [inner for part in parts for inner in (part, *flat(part.parts))]


def entries_of(draft: Draft) -> list[Entry]:
    return [*draft.head(), *(entry for part in flat(draft.parts()) for entry in part.entries)]


def unlike_entries_of(draft: Draft) -> list[Entry]:
    """The first and the last of each key with each shape of value: the outlook has 25 levers that differ in numbers."""
    first, last = dict[Any, Entry](), dict[Any, Entry]()
    for entry in entries_of(draft):
        where = entry.place.count("."), entry.place.startswith("extends.")
        keys = tuple(entry.value) if isinstance(entry.value, dict) else ()
        last[key := (entry.field.key, where, type(entry.value), keys)] = entry
        first.setdefault(key, entry)
    return list({entry.place: entry for entry in (*first.values(), *last.values())}.values())


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# --- opening and reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_scenario_is_opened_to_the_byte_and_is_what_load_scenario_gives(study: Study, name: str) -> None:
    draft = Draft.open(name, study)
    assert draft.content == study.scenario_file(name).read_bytes()
    assert draft.text == study.scenario_file(name).read_text(encoding="utf-8")
    assert draft.problems() == []
    assert draft.scenario() == load_scenario(name, study)


@pytest.mark.parametrize("name", NAMES)
def test_setting_what_holds_already_changes_nothing(study: Study, name: str) -> None:
    draft = Draft.open(name, study)
    before = draft.text
    for entry in unlike_entries_of(draft):
        assert draft.value(entry.place) == entry.value
        assert draft.set(entry.place, entry.value) == entry.place
        if entry.field.type in ("date", "number", "text", "choice") and entry.value is not None:
            assert draft.set(entry.place, as_a_form_sends(entry.value)) == entry.place
    assert draft.text == before


def as_a_form_sends(value: Any) -> str:
    """A range is typed as it stands in the file, also in a list; everything else without brackets."""
    ranges = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
    return rendered(value) if ranges else str(value).strip("[]")


@pytest.mark.parametrize("missing", ["no-initative", "scenarios/basline.toml", "scenarios", "", "a\0b", "x" * 300])
def test_what_is_not_there_is_refused_as_by_load_scenario(study: Study, missing: str) -> None:
    path = study.root / missing if "scenarios" in missing else missing
    assert refusal(lambda: Draft.open(path, study)) == refusal(lambda: load_scenario(path, study))


def test_a_draft_is_opened_by_path_and_finds_its_study(study: Study) -> None:
    path = study.scenario_file("baseline")
    assert Draft.open(path).scenario() == load_scenario(path)


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_windows_line_ends_and_a_byte_order_mark_are_kept(fresh_study: Study, bom: bytes) -> None:
    path = fresh_study.scenarios / "windows.toml"
    path.write_bytes(bom + REMARKS.replace("\n", "\r\n").encode())
    draft = Draft.open(path, fresh_study)
    assert draft.content == path.read_bytes()
    draft.set("policy[0].scrutiny", "0.5")
    draft.set("notes", "one\r\ntwo")
    draft.add("policy", "event[1].outcomes[0]")
    draft.remove("lever[0]")
    saved = draft.save("windows").read_bytes()
    assert saved.startswith(bom + b"# top\r\n") and saved.count(b"\xef\xbb\xbf") == len(bom) // 3
    assert saved.count(b"\n") == saved.count(b"\r\n") > 50
    assert load_scenario(path, fresh_study).notes == "one\ntwo"


def test_two_kinds_of_line_ends_are_refused(fresh_study: Study) -> None:
    path = fresh_study.scenarios / "mixed.toml"
    path.write_bytes(b'title = "Mixed"\r\nquestion = "Which?"\n')
    assert load_scenario(path, fresh_study).title == "Mixed"
    assert "mixes two kinds of line ends" in refusal(lambda: Draft.open(path, fresh_study))


def test_a_file_nested_too_deeply_is_refused(fresh_study: Study) -> None:
    text = f'title = "Deep"\nquestion = "How?"\n{".".join(["a"] * 2000)} = 1\n'
    assert "a key of more than 40 parts" in refusal(lambda: draft_of(text, fresh_study))


# --- a value at a time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_setting_a_value_changes_its_line_only(study: Study, name: str) -> None:
    before = Draft.open(name, study)
    for entry in unlike_entries_of(before):
        if entry.place.startswith("extends.") or entry.place not in given_places(before):
            continue
        draft = Draft.open(name, study)
        value = other_value(entry)
        assert draft.set(entry.place, value) == entry.place
        assert draft.value(entry.place) == (float(value) if value == "0.125" else value)
        old, new = changed_lines(before.text, draft.text)
        assert old[0] + new[0] == "-+" and old.partition("=")[0][1:] == new.partition("=")[0][1:]


def given_places(draft: Draft) -> set[str]:
    """The places of which the file itself has a value."""
    data = tomllib.loads(draft.text)
    return {place for place, path in places_of(data).items() if has(data, path)}


def other_value(entry: Entry) -> Any:
    if isinstance(entry.value, dict):  # a range
        return {**entry.value, "why": "Something else"}
    if entry.field.type == "date":
        return entry.value + dt.timedelta(1)
    if entry.field.type == "years":
        return [entry.value[0], entry.value[1] - 1]
    if entry.field.type == "number":
        return "0.125"
    return {"list": ["india"], "choice": "scrutiny_other", "text": "Something else"}[entry.field.type]


def test_remarks_and_style_stay(study: Study) -> None:
    draft = draft_of(REMARKS, study)
    for place, value in {
        "title": "Said otherwise",
        "policy[0].until": "2027-01-01",
        "policy[1].targets[1]": "other",
        "lever[0].years": "2026-2029",
        "lever[0].multiply": ["0.9", "0.7", "0.7", "0.6"],
        "event[0].outcomes[1].lever[0].set": "4",
        "event[2].outcomes[0].policy[0].why": 'as "said"',
    }.items():
        draft.set(place, value)
    assert changed_lines(REMARKS, draft.text) == [
        '-title="Remarks" # t', '+title="Said otherwise" # t',
        "-  until = 2026-01-01 # pu", "+  until = 2027-01-01 # pu",
        "-years=[2026,2028] # ly", "+years=[2026,2029] # ly",
        "-  0.8, # m1", "+  0.7, # m1",
        "-  0.7 ]", "+  0.7,", "+  0.6 ]",
        '-"india",] # qt', '+"other",] # qt',
        REMARKS_OF_B, REMARKS_OF_B.replace("-", "+", 1).replace("set = 3", "set = 4.0"),
        '-why = "test" # last', '+why = "as \\"said\\"" # last',
    ]  # fmt: skip


REMARKS_OF_B = (
    '-  { name = "b", chance = 0.75, lever = [ {table = "offers", years = [2026, 2026], set = 3, why = "s"} ] } # ob'
)


def test_a_new_key_stands_where_the_schema_has_it_in_the_style_of_its_neighbour(study: Study) -> None:
    draft = Draft.open("us-funding-cut", study)
    before = draft.text
    draft.set("lever[0].set", "0.5, 0.6 0.7, 0.8")
    draft.remove("lever[0].multiply")
    draft.set("drop", ["Noted"])
    assert changed_lines(before, draft.text) == [
        '+drop     = ["Noted"]',
        "-multiply = 0.75",
        "+set      = [0.5, 0.6, 0.7, 0.8]",
    ]
    draft = draft_of(REMARKS, study)
    draft.set("policy[0].targets", ["india"])
    draft.set("lever[0].add", 1)
    assert changed_lines(REMARKS, draft.text) == ['+  targets = ["india"]', "+add=1"]


def test_what_tomlkit_cannot_change_is_written_anew(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomlkit.parse", lambda _: {})
    draft = draft_of(REMARKS, study)
    draft.set("policy[0].until", "2027-01-01")
    draft.set("event[1].outcomes[0].name", "z")
    assert changed_lines(REMARKS, draft.text)[:2] == ["-  until = 2026-01-01 # pu", "+until = 2027-01-01"]
    assert draft.value("event[1].outcomes[0].name") == "z"


@pytest.mark.parametrize(
    ("place", "typed", "value"),
    [
        ("policy[0].from", "2025-01-20", dt.date(2025, 1, 20)),
        ("policy[0].from", " 2025-01-20 ", dt.date(2025, 1, 20)),
        ("policy[0].from", "20250120", "20250120"),
        ("policy[0].from", "2025-02-30", "2025-02-30"),
        ("policy[0].from", "", ""),
        ("policy[0].scrutiny", "0.5", 0.5),
        ("policy[0].scrutiny", "1", 1),
        ("policy[0].scrutiny", "0,5", "0,5"),
        ("policy[0].scrutiny", 2, 2),
        ("policy[0].scrutiny", np.float64(0.25), 0.25),
        ("policy[0].targets", ("china", "other"), ["china", "other"]),
        ("policy[0].targets", "china", "china"),
        ("policy[0].why", "one\r\ntwo", "one\ntwo"),
        ("policy[0].why", "2025", "2025"),
        ("lever[0].years", "2026, 2030", [2026, 2030]),
        ("lever[0].years", "2026-2030", [2026, 2030]),
        ("lever[0].years", "[2026 2030]", [2026, 2030]),
        ("lever[0].years", ["2026", "x"], [2026, "x"]),
        ("lever[0].years", "soon", "soon"),
        ("lever[0].years[1]", "2031", 2031),
        ("lever[0].multiply", "0.5", 0.5),
        ("lever[0].multiply", "0.5, 1", [0.5, 1.0]),
        ("lever[0].multiply", ["0.5", 1], [0.5, 1]),
        ("lever[0].multiply", "a lot", "a lot"),
        ("lever[0].multiply[0]", "0.25", 0.25),
        ("lever[0].name", "", None),
        ("extends", "", None),
        ("extends", None, None),
        ("notes", "", ""),
        ("drop", ["China Initiative"], ["China Initiative"]),
        ("event[1].outcomes[0].chance", "0.1", 0.1),
        ("event[2].given", "d", "d"),
    ],
)
def test_what_a_form_gives_becomes_what_it_stands_for(study: Study, place: str, typed: Any, value: Any) -> None:
    draft = draft_of(REMARKS, study)
    assert draft.set(place, typed) == place
    assert draft.value(place) == value
    assert isinstance(draft.value(place), str) == isinstance(value, str)


@pytest.mark.parametrize(
    ("place", "typed", "field", "message"),
    [
        ("policy[0].from", "abc", "policy[0].from", "'abc' is not a date such as 2025-01-20 (no quotes)"),
        ("policy[0].from", "", "policy[0].from", "'' is not a date such as 2025-01-20 (no quotes)"),
        ("policy[0].until", "2024-01-01", "policy[0].until", "until (2024-01-01) must come after from (2025-01-01)"),
        ("policy[0].from", "1999-01-01", "policy[0].from", "dates must lie in 2000-2100"),
        ("policy[0].until", "2101-01-01", "policy[0].until", "dates must lie in 2000-2100"),
        ("policy[0].targets", ["china"] * 2, "policy[0].targets", "targets names an origin twice"),
        ("policy[0].scrutiny", "much", "policy[0].scrutiny", "must be a valid number, not 'much'"),
        ("policy[1].name", "P", "policy[1].name", "two parts of one kind are named 'P'"),
        ("lever[0].table", "offer", "lever[0].table", "unknown table 'offer'; did you mean 'offers'?"),
        ("lever[0].years", "2030, 2026", "lever[0].years", "years [2030, 2026] must be in order and lie in 2000-2100"),
        ("lever[0].years", "2026", "lever[0].years", "List must have at least 2 items, not 1"),
        ("lever[0].multiply", "1, 2", "lever[0].multiply", "multiply lists 2 values for 3 years"),
        ("lever[0].add", "1", "lever[0].multiply", "give exactly one of set, add, multiply (found add, multiply)"),
        ("lever[0].multiply", None, "lever[0].set", "give exactly one of set, add, multiply (found none)"),
        ("lever[0].multiply", "-1", "lever[0].multiply", "multiply must not be negative"),
        ("lever[1].add", "-1e7", "lever[1].add", "add must not exceed 1,000,000"),
        ("event[0].on", "2101-01-01", "event[0].on", "on must lie in 2000-2100"),
        ("event[2].on", "2025-01-01", "event[2].on", "on (2025-01-01) lies before 'c' (2025-06-01)"),
        ("event[2].given", "h", "event[2].given", "no outcome named 'h' in an earlier event; choose from a, b, c, d"),
        ("event[1].outcomes[0].chance", "0.4", "event[1].outcomes", "the chances of the outcomes add up to 0.9, not 1"),
        ("event[1].outcomes[1].name", "a", "event[1].outcomes[1].name", "two outcomes are named 'a'"),
        (
            "event[2].outcomes[0].policy[0].from",
            "2025-06-01",
            "event[2].outcomes[0]",
            "'g' takes effect on 2025-06-01, before it is decided on 2025-07-01",
        ),
        ("extends", "baselin", "extends", "no scenario named 'baselin'; did you mean 'baseline'?"),
        ("extends", "no-initiative", "extends", "'no-initiative' itself extends 'baseline'; extends goes one level"),
        ("extends", "a\0b", "extends", "no scenario named 'a\\x00b'; did you mean 'baseline'?"),
        ("extends", "\U0001f600" * 100, "extends", "cannot be looked up: File name too long"),
        ("drop", ["x"], "drop[0]", "'baseline' has nothing named 'x'; choose from China Initiative"),
    ],
)
def test_a_mistake_is_shown_at_its_field_in_the_words_of_the_command_line(
    fresh_study: Study, place: str, typed: Any, field: str, message: str
) -> None:
    draft = draft_of(REMARKS, fresh_study)
    draft.path.write_bytes(draft.content)
    draft.set(place, typed)
    problem = draft.problems()[0]
    assert problem.field == field and field in draft.places()
    if "\\x00" not in message:
        assert problem.message == message
    draft.path.write_bytes(draft.content)
    line = refusal(lambda: load_scenario(draft.path, fresh_study))
    assert line == f"{draft.path}: {problem.place}: {problem.message}".replace(": : ", ": ")
    assert refusal(draft.scenario) == refusal(draft.save) == line


def test_a_number_too_long_to_be_written_is_a_mistake_like_others(study: Study) -> None:
    long = f"0x{'f' * 5000}"
    text = REMARKS.replace("  from = 2025-01-01", f"  from = {long}").replace("  scrutiny = 1", f"  scrutiny = {long}")
    draft = draft_of(text, study)
    assert draft.problems()[0].message == "a number of thousands of digits is not a date such as 2025-01-20 (no quotes)"
    assert refusal(draft.scenario).endswith("(and 1 more)")
    assert draft.parts()[1].entries[1].value == int(long, 16)
    draft.set("policy[0].from", "2025-01-01")
    draft.set("policy[0].scrutiny", "0.5")
    assert draft.problems() == []


def test_every_mistake_is_listed(study: Study) -> None:
    draft = draft_of(REMARKS, study)
    draft.set("policy[0].from", "abc")
    draft.set("event[0].outcomes[0].chance", "2")
    draft.remove("question")
    assert {problem.field for problem in draft.problems()} == {
        "policy[0].from",
        "event[0].outcomes[0].chance",
        "question",
    }
    draft = draft_of(REMARKS, study)
    draft.set("drop", ["x", "China Initiative", "y"])
    draft.set("event[1].outcomes[0].name", "a")
    assert [problem.field for problem in draft.problems()] == [
        "drop[0]",
        "drop[2]",
        "event[1].outcomes[0].name",
        "event[2].given",
    ]


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_scenario_has_the_line_of_the_command_line_first(study: Study, path: Path) -> None:
    line = refusal(lambda: load_scenario(path, study))
    try:
        draft = Draft.open(path, study)
    except ScenarioError as error:
        assert "is not TOML" in line or "is not UTF-8" in line
        assert str(error) == line
        return
    first, *others = draft.problems()
    more = f" (and {len(others)} more)" if others and problems_of(draft.content) else ""
    assert str(ScenarioError(first.message + more, where=path, place=first.place)) == line
    assert all(problem.field in ("", *draft.places()) for problem in (first, *others))
    assert refusal(draft.scenario) == line


def test_an_unknown_key_can_be_taken_away(study: Study) -> None:
    draft = draft_of(REMARKS.replace("scrutiny=1.0", "scrutiny=1.0\nseverity=2"), study)
    (problem,) = draft.problems()
    assert problem.place == "policy[1].severity"
    draft.remove(problem.place)
    assert draft.text == REMARKS


def test_a_broken_parent_is_a_problem_of_extends(fresh_study: Study) -> None:
    (fresh_study.scenarios / "parent.toml").write_text('title = "Parent"\n', encoding="utf-8")
    draft = Draft.new("child", fresh_study, extends="parent")
    (problem,) = draft.problems()
    assert problem.field == "extends" and problem.message.endswith("parent.toml: question: 'question' is missing")
    assert problem.message == refusal(draft.scenario)
    assert draft.parts() == []


# --- places ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "nearest"),
    [
        ("policy[0].untli", "policy[0].until"),
        ("policy[7].until", "policy[1].until"),
        ("polcy[0].until", "policy[0].until"),
        ("titel", "title"),
        ("extends.policy[0].scrutny", "extends.policy[0].scrutiny"),
    ],
)
def test_an_unknown_place_is_refused_with_the_nearest_one(study: Study, place: str, nearest: str) -> None:
    draft = draft_of(REMARKS, study)
    expected = f"{place}: no such place; did you mean '{nearest}'?"
    assert refusal(lambda: draft.value(place)) == expected
    assert refusal(lambda: draft.set(place, "1")) == expected
    assert refusal(lambda: draft.remove(place)) == expected
    assert refusal(lambda: draft.add("policy", place)) == expected
    assert draft.text == REMARKS


@pytest.mark.parametrize("place", ["policy", "policy[0]", "event[0].outcomes", "event[0].outcomes[0]"])
def test_a_part_has_no_value_that_could_be_set(study: Study, place: str) -> None:
    draft = draft_of(REMARKS, study)
    assert "has no value that could be set" in refusal(lambda: draft.set(place, {"name": "x"}))


@pytest.mark.parametrize("value", [object(), {1}, b"bytes", "\ud800", 1j, {"a": object()}, [None]])
def test_a_value_that_toml_does_not_know_is_refused(study: Study, value: object) -> None:
    draft = draft_of(REMARKS, study)
    for place in ("policy[0].why", "extends.policy[0].why"):
        assert "TOML has no such value" in refusal(lambda place=place: draft.set(place, value))
        assert draft.text == REMARKS


# --- parts that come and go --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "at", "place"),
    [
        ("policy", None, "policy[2]"),
        ("lever", None, "lever[2]"),
        ("event", None, "event[3]"),
        ("outcomes", "event[0]", "event[0].outcomes[2]"),
        ("outcomes", "event[2]", "event[2].outcomes[1]"),
        ("policy", "event[0].outcomes[1]", "event[0].outcomes[1].policy[0]"),
        ("lever", "event[0].outcomes[1]", "event[0].outcomes[1].lever[1]"),
        ("policy", "event[1].outcomes[0]", "event[1].outcomes[0].policy[0]"),
        ("policy", "event[2].outcomes[0]", "event[2].outcomes[0].policy[1]"),
        ("lever", "event[2].outcomes[0]", "event[2].outcomes[0].lever[0]"),
    ],
)
def test_a_new_part_is_valid_and_goes_as_it_came(study: Study, kind: str, at: str | None, place: str) -> None:
    draft = draft_of(REMARKS, study)
    assert draft.add(kind, at) == place
    assert draft.problems() == []
    assert sorted(re.findall("#.*", draft.text)) == sorted(re.findall("#.*", REMARKS))
    if kind != "outcomes":
        assert draft.value(f"{place}.why") == "An assumption"
    values = tomllib.loads(draft.text)
    draft.remove(place)
    after, before = tomllib.loads(draft.text), tomllib.loads(REMARKS)
    assert draft.problems() == [] and set(values) == set(before)
    assert draft.scenario() == draft_of(REMARKS, study).scenario()
    assert sorted(re.findall("#.*", draft.text)) == sorted(re.findall("#.*", REMARKS))
    assert after == before or ".policy" in place or ".lever" in place  # which may leave an empty list


def test_an_outcome_on_one_line_gets_headers_when_it_gets_a_policy(study: Study) -> None:
    draft = Draft.open("protect-act", study)
    before = draft.text
    draft.add("policy", "event[0].outcomes[0]")
    changed = changed_lines(before, draft.text)
    assert [line for line in changed if line.startswith("-")] == [
        '-outcomes = [ { name = "supporter wins", chance = 0.5 }, { name = "opponent wins", chance = 0.5 } ]'
    ]
    assert changed.count("+[[event.outcomes]]") == 2 and changed.count("+[[event.outcomes.policy]]") == 1


def test_a_new_outcome_gets_what_chance_is_left(study: Study) -> None:
    draft = draft_of(REMARKS, study)
    draft.set("event[1].outcomes[0].chance", "0.2")
    place = draft.add("outcomes", "event[1]")
    assert draft.value(f"{place}.chance") == 0.3
    assert draft.problems() == []
    assert draft.value(f"{draft.add('outcomes', 'event[1]')}.chance") == 0.0


def test_of_ranges_the_centre_is_the_chance_and_the_last_day_the_decision(study: Study) -> None:
    draft = draft_of(REMARKS, study)
    draft.set("event[1].outcomes[0].chance", '{ low = 0.1, high = 0.5, why = "w" }')
    assert draft.value(f"{draft.add('outcomes', 'event[1]')}.chance") == 0.2
    draft.set("event[2].on", '{ low = 2027-01-01, high = 2028-06-30, why = "w" }')
    draft.remove("event[2].outcomes[0].policy[0]")
    policy = draft.add("policy", "event[2].outcomes[0]")
    assert draft.value(f"{policy}.from") == dt.date(2028, 6, 30)
    assert draft.problems() == []
    draft.set("event[1].outcomes[0].chance", {"low": 0.1})  # a range that is not valid counts for nothing
    assert draft.value(f"{draft.add('outcomes', 'event[1]')}.chance") == 0.3


@pytest.mark.parametrize("on", ["2025-06-01", "2031-03-04", "2096-02-29", "2100-12-30"])
def test_what_an_outcome_brings_begins_when_it_is_decided_or_later(study: Study, on: str) -> None:
    draft = draft_of(REMARKS, study)
    draft.set("event[2].on", on)
    draft.remove("event[2].outcomes[0].policy[0]")
    policy = draft.add("policy", "event[2].outcomes[0]")
    draft.add("lever", "event[2].outcomes[0]")
    assert draft.value(f"{policy}.from") == max(dt.date.fromisoformat(on), dt.date(2026, 1, 1))
    assert draft.problems() == []


@pytest.mark.parametrize(
    ("kind", "at", "problem"),
    [
        ("polici", None, "polici: unknown kind of part; did you mean 'policy'?"),
        ("outcomes", None, "scenario: takes no 'outcomes'"),
        ("event", "event[0]", "event[0]: takes no 'event'"),
        ("policy", "event[0]", "event[0]: takes no 'policy'"),
        ("policy", "policy[0].why", "policy[0].why: takes no 'policy'"),
    ],
)
def test_a_part_goes_where_there_is_room_for_one(study: Study, kind: str, at: str | None, problem: str) -> None:
    assert refusal(lambda: draft_of(REMARKS, study).add(kind, at)) == problem


def test_a_table_where_a_list_belongs_is_left_to_whoever_wrote_it(study: Study) -> None:
    text = 'title = "T"\nquestion = "Q"\n[policy]\nname = "P"\n'
    draft = draft_of(text, study)
    assert "cannot be changed on its own" in refusal(lambda: draft.add("policy"))
    assert draft.text == text
    draft.remove("policy")
    assert draft.problems() == []


def test_a_part_goes_with_the_remarks_that_touch_it_and_no_others(study: Study) -> None:
    for place, gone in (
        ("policy[0]", CHUNKS["P"] + "\n"),
        ("policy[1]", CHUNKS["Q"]),
        ("event[0]", CHUNKS["E"]),
        ("event[2]", CHUNKS["G"]),
    ):
        draft = draft_of(REMARKS, study)
        draft.remove(place)
        assert draft.text == REMARKS.replace(gone, "")
    draft = draft_of(REMARKS, study)
    draft.remove("lever[1]")
    assert draft.text == REMARKS.replace("\n" + CHUNKS["M"], "")
    draft.remove("lever[0]")
    assert "# --- levers ---\n" in draft.text and "# ly" not in draft.text


# --- what is inherited -------------------------------------------------------------------------------------

EVENTS = """title = "Parent"
question = "What is inherited?"

# kept here
[[policy]]
name = "First"
from = 2025-01-01
until = 2026-01-01
scrutiny = 1
why = "test"

[[lever]]
table = "offers"
years = [2030, 2030]
set = 1
why = "no name"

[[event]]
name = "Vote"
on = 2025-06-01
outcomes = [{ name = "passes", chance = 0.25 }, { name = "fails", chance = 0.75 }]

[[event]]
name = "Court"
on = 2025-09-01
given = "passes"
outcomes = [{ name = "upheld", chance = 0.5 }, { name = "struck down", chance = 0.5 }]
"""


@pytest.fixture
def child(fresh_study: Study) -> Draft:
    (fresh_study.scenarios / "parent.toml").write_text(EVENTS, encoding="utf-8")
    return Draft.new("child", fresh_study, extends="parent")


def test_parts_in_force_are_those_of_the_scenario(child: Draft) -> None:
    child.add("policy")
    child.set("extends.event[0].outcomes[0].chance", "0.5")
    child.set("event[0].outcomes[1].chance", "0.5")
    child.remove("extends.event[1]")
    parts, scenario = child.parts(), child.scenario()
    expected = [("policy", p.name) for p in scenario.policies] + [("lever", p.name) for p in scenario.levers]
    assert [(part.kind, part.name) for part in parts] == expected + [("event", p.name) for p in scenario.events]
    assert [(part.origin, part.place, part.replaces) for part in parts] == [
        ("inherited", "extends.policy[0]", ""),
        ("own", "policy[0]", ""),
        ("inherited", "extends.lever[0]", ""),
        ("own", "event[0]", "extends.event[0]"),
    ]
    assert [part.place for part in parts[3].parts] == ["event[0].outcomes[0]", "event[0].outcomes[1]"]
    for entry in entries_of(child):
        assert entry.value == child.value(entry.place)


def test_an_inherited_part_is_copied_when_it_is_changed(child: Draft) -> None:
    before = child.text
    assert child.value("extends.policy[0].scrutiny") == 1
    assert child.set("extends.policy[0].scrutiny", "1.0") == "extends.policy[0].scrutiny"
    assert child.text == before
    assert child.set("extends.policy[0].scrutiny", "0.5") == "policy[0].scrutiny"
    assert child.value("extends.policy[0].scrutiny") == 0.5
    assert child.set("extends.policy[0].until", "2027-01-01") == "policy[0].until"
    (policy,) = child.scenario().policies
    assert (policy.name, policy.scrutiny, policy.until) == ("First", 0.5, dt.date(2027, 1, 1))
    child.remove("policy[0]")  # gives the inherited one back
    assert child.text == before


def test_what_lies_deep_in_an_inherited_event_is_changed_in_a_copy(child: Draft) -> None:
    assert child.set("extends.event[0].outcomes[0].chance", "0.5") == "event[0].outcomes[0].chance"
    assert child.add("policy", "extends.event[0].outcomes[0]") == "event[0].outcomes[0].policy[0]"
    assert child.remove("extends.event[0].outcomes[1]") == "event[0].outcomes[1]"
    assert child.set("extends.event[0].outcomes[0].chance", "1") == "event[0].outcomes[0].chance"
    assert child.problems() == []
    assert [[o.name for o in event.outcomes] for event in child.scenario().events] == [
        ["passes"],
        ["upheld", "struck down"],
    ]


def test_an_inherited_part_is_dropped_when_it_is_removed(child: Draft) -> None:
    child.set("extends.policy[0].scrutiny", "0.5")
    child.remove("extends.policy[0]")
    assert child.value("drop") == ["First"]
    assert child.scenario().policies == ()
    assert "no such place" in refusal(lambda: child.value("extends.policy[0].until"))
    child.remove("drop[0]")
    assert [policy.scrutiny for policy in child.scenario().policies] == [1.0]


@pytest.mark.parametrize("first", [None, "0.5"])
def test_an_inherited_part_that_is_renamed_is_not_in_force_twice(child: Draft, first: str | None) -> None:
    child.set("extends.policy[0].scrutiny", first) if first else None
    assert child.set("extends.policy[0].name", "Renamed") == "policy[0].name"
    assert [policy.name for policy in child.scenario().policies] == ["Renamed"]
    assert child.value("drop") == ["First"]


def test_a_problem_of_an_inherited_event_is_shown_there(child: Draft) -> None:
    child.remove("extends.event[0]")
    (problem,) = child.problems()
    assert (problem.place, problem.field) == ("event 'Court' of 'parent'.given", "extends.event[1].given")
    assert problem.field in child.places()
    assert refusal(child.scenario).endswith(f"child.toml: {problem.place}: {problem.message}")


def test_an_inherited_part_without_a_name_stays_as_it_is(child: Draft) -> None:
    before = child.text
    assert child.value("extends.lever[0].set") == 1.0
    for refused in (lambda: child.set("extends.lever[0].set", "2"), lambda: child.remove("extends.lever[0]")):
        assert refusal(refused) == "extends.lever[0]: has no name to replace or drop it by; name it in 'parent'"
    assert child.text == before


def test_a_name_that_several_inherited_parts_have_is_not_dropped(child: Draft) -> None:
    path = child.path.with_name("parent.toml")
    path.write_text(EVENTS.replace("[[lever]]\n", '[[lever]]\nname = "First"\n'), encoding="utf-8")
    before = child.text
    assert "several parts named 'First', and drop takes them all" in refusal(lambda: child.remove("extends.policy[0]"))
    assert child.text == before


# --- what a form needs to know -----------------------------------------------------------------------------


def test_fields_know_bounds_and_choices_from_the_schema() -> None:
    known = {(kind, field.key): field for kind in ("scenario", *KINDS) for field in fields_of(kind)}
    assert known["policy", "from"].label == "From" and known["policy", "from"].help == "First day in force"
    bounds = {key: (f.type, f.least, f.most) for key, f in known.items() if f.least is not None}
    assert bounds == {
        ("policy", "from"): ("date", "2000-01-01", "2100-12-31"),
        ("policy", "until"): ("date", "2000-01-01", "2100-12-31"),
        ("policy", "scrutiny"): ("number", 0, 10),
        ("lever", "years"): ("years", 2000, 2100),
        ("lever", "set"): ("number", -LARGEST_VALUE, LARGEST_VALUE),
        ("lever", "add"): ("number", -LARGEST_VALUE, LARGEST_VALUE),
        ("lever", "multiply"): ("number", 0, LARGEST_VALUE),
        ("event", "on"): ("date", "2000-01-01", "2100-12-31"),
        ("outcomes", "chance"): ("number", 0, 1),
    }
    assert known["lever", "table"].type == "choice" and known["lever", "table"].choices == tuple(TABLES)
    assert known["policy", "targets"].type == "list" and known["policy", "targets"].choices == (
        "china",
        "india",
        "other",
    )
    assert [key for key, field in known.items() if field.one_a_year] == [
        ("lever", op) for op in ("set", "add", "multiply")
    ]
    assert {key[1] for key, field in known.items() if key[0] == "lever" and field.required} == {"table", "years", "why"}
    assert {kind: lists_of(kind) for kind in ("event", "outcomes", "policy")} == {
        "event": ("outcomes",), "outcomes": ("policy", "lever"), "policy": (),
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_bounds_are_where_the_loader_has_them(study: Study, name: str) -> None:
    """The least and the most are taken, what lies beyond is not."""
    for entry in unlike_entries_of(Draft.open(name, study)):
        field = entry.field
        if field.least is None or entry.value is None or entry.place.startswith("extends."):
            continue
        for value, ok in ((field.least, True), (field.most, True), beyond(field, -1), beyond(field, 1)):
            draft = Draft.open(name, study)
            draft.set(entry.place, [value, value] if field.type == "years" else value)
            wrong = [p for p in draft.problems() if p.field.startswith(entry.place) and "after from" not in p.message]
            if ok and field.key in ("set", "add", "multiply"):  # a table may have narrower bounds of its own
                wrong = [problem for problem in wrong if "it lies between" not in problem.message]
            assert (not wrong) == ok or field.type == "date", (entry.place, value, wrong)


def beyond(field: Field, sign: int) -> tuple[Any, bool]:
    end = field.least if sign < 0 else field.most
    return (
        (str(dt.date.fromisoformat(end) + dt.timedelta(sign)), False) if isinstance(end, str) else (end + sign, False)
    )


def test_names_of_what_else_there_is_are_offered(child: Draft) -> None:
    choices = {entry.place: entry.field.choices for entry in entries_of(child)}
    assert "baseline" in choices["extends"] and "child" not in choices["extends"]
    assert choices["drop"] == ("First", "Vote", "Court")
    assert choices["extends.event[0].given"] == ()
    assert choices["extends.event[1].given"] == ("passes", "fails")


# --- new ones, and saving ----------------------------------------------------------------------------------


def test_a_new_draft_is_a_valid_file_that_says_what_is_to_be_written(fresh_study: Study) -> None:
    draft = Draft.new("visa-cut-2027", fresh_study)
    assert draft.text == (
        'title    = "Visa cut 2027"\nquestion = "To be written: what does this scenario ask?"\nextends  = "baseline"\n'
    )
    path = draft.save()
    assert path == fresh_study.scenarios / "visa-cut-2027.toml"
    assert load_scenario("visa-cut-2027", fresh_study) == draft.scenario()
    assert "extends" not in Draft.new("alone", fresh_study, extends=None).text


def test_what_was_opened_is_saved_and_saved_again(fresh_study: Study) -> None:
    draft = Draft.open("initiative-revival", fresh_study)
    for scrutiny in ("0.5", "0.25"):
        draft.set("policy[0].scrutiny", scrutiny)
        assert draft.save("initiative-revival") == fresh_study.scenario_file("initiative-revival")
        assert load_scenario("initiative-revival", fresh_study) == draft.scenario()
    assert draft.save("a-quarter.toml") == fresh_study.scenarios / "a-quarter.toml"
    assert draft.scenario().name == "a-quarter"
    draft.set("title", "A quarter")
    draft.save()
    assert load_scenario("initiative-revival", fresh_study).title == "Initiative revival"
    assert not [path for path in fresh_study.scenarios.iterdir() if path.suffix != ".toml"]


def test_a_file_that_is_not_the_one_that_was_opened_is_not_overwritten(fresh_study: Study) -> None:
    draft, before = Draft.open("talent-surge", fresh_study), fresh_study.scenario_file("baseline").read_bytes()
    draft.remove("extends")
    assert "exists already; choose another name, or overwrite it" in refusal(lambda: draft.save("baseline"))
    assert "exists already" in refusal(Draft.new("talent-surge", fresh_study).save)
    assert fresh_study.scenario_file("baseline").read_bytes() == before
    draft.save("baseline", overwrite=True)
    assert load_scenario("baseline", fresh_study).title == "Talent surge"


def test_a_file_that_changed_since_it_was_opened_is_not_overwritten(fresh_study: Study) -> None:
    draft = Draft.open("talent-surge", fresh_study)
    path = fresh_study.scenario_file("talent-surge")
    path.write_text(path.read_text(encoding="utf-8") + "# by somebody else\n", encoding="utf-8")
    draft.set("title", "Mine")
    assert "has changed since it was opened" in refusal(draft.save)
    assert "# by somebody else" in path.read_text(encoding="utf-8")
    draft.save(overwrite=True)
    draft.save()


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../up",
        "a/b",
        "a\\b",
        ".hidden",
        "-x",
        " x",
        "x ",
        "a\nb",
        "a\0b",
        "c:d",
        "what?",
        ".toml",
        "x\u202e",
    ],
)
def test_a_name_that_is_no_plain_one_is_refused(fresh_study: Study, name: str) -> None:
    draft = Draft.open("baseline", fresh_study)
    assert "is not a plain name for a scenario" in refusal(lambda: draft.save(name))
    assert "is not a plain name for a scenario" in refusal(lambda: Draft.new(name, fresh_study))


def test_a_name_that_is_too_long_is_refused(fresh_study: Study) -> None:
    assert "cannot be looked up" in refusal(lambda: Draft.open("baseline", fresh_study).save("x" * 300))


def test_a_draft_with_problems_is_not_saved(fresh_study: Study) -> None:
    draft = Draft.open("talent-surge", fresh_study)
    before = draft.content
    draft.set("lever[0].years", "2035, 2026")
    assert "must be in order" in refusal(draft.save)
    assert "must be in order" in refusal(lambda: draft.save("other", overwrite=True))
    assert fresh_study.scenario_file("talent-surge").read_bytes() == before
    draft = Draft.open("talent-surge", fresh_study)
    assert "a scenario cannot extend itself" in refusal(lambda: draft.save("baseline", overwrite=True))


def test_a_draft_that_grew_too_large_is_a_problem_and_can_shrink_again(fresh_study: Study) -> None:
    draft = Draft.open("talent-surge", fresh_study)
    draft.set("notes", "x" * 250_001)
    assert [problem.message for problem in draft.problems()] == [
        "larger than 250,000 bytes, which no file of a study is"
    ]
    assert "larger than" in refusal(draft.save)
    draft.set("notes", "x")
    assert draft.problems() == []


def test_a_folder_in_the_way_is_no_file_to_save_to(fresh_study: Study) -> None:
    (fresh_study.scenarios / "mine.toml").mkdir()
    draft = Draft.new("mine", fresh_study)
    assert "exists already" in refusal(draft.save)
    with pytest.raises(StorageError):
        draft.save(overwrite=True)


# --- any edits at all --------------------------------------------------------------------------------------


def typed(field: Field, draw: Draw) -> Any:
    """Something that a form may give for a field, valid by itself."""
    if field.type == "date":
        return str(draw(st.dates(dt.date(2000, 1, 1), dt.date(2100, 12, 31))))
    if field.type == "number":
        return repr(draw(st.floats(field.least, field.most)))  # type: ignore[arg-type]  # no dates here
    if field.type == "years":
        return ", ".join(str(draw(st.integers(2000, 2100))) for _ in range(2))
    if field.choices:
        one = draw(st.sampled_from(field.choices))
        return [one] if field.type == "list" else one
    return [] if field.type == "list" else draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))


def edit(draft: Draft, draw: Draw) -> None:
    kind = draw(st.sampled_from(["set", "set", "add", "remove"]))
    if kind == "set":
        entry = draw(st.sampled_from(entries_of(draft)))
        draft.set(entry.place, typed(entry.field, draw))
    elif kind == "add":
        room = [(known, part.place) for part in flat(draft.parts()) for known in lists_of(part.kind)]
        draft.add(*draw(st.sampled_from([("policy", None), ("lever", None), ("event", None), *room])))
    else:
        draft.remove(draw(st.sampled_from([place for place in draft.places() if place != "extends"])))


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from([*NAMES, *["remarks"] * 10]), data=st.data())
def test_after_any_edits_the_file_is_what_the_draft_says_and_the_rest_is_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, study: Study, name: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "edited.toml"
    text = REMARKS if name == "remarks" else study.scenario_file(name).read_text(encoding="utf-8")
    draft = Draft(path, study, text.encode())
    for _ in range(data.draw(st.integers(1, 5))):
        edit(draft, data.draw)
    path.write_bytes(draft.content)
    assert Draft.open(path, study).content == draft.content
    if problems := draft.problems():
        line = refusal(lambda: load_scenario(path, study))
        assert problems[0].message in line and line == refusal(draft.scenario)
    else:
        assert draft.scenario() == load_scenario(path, study)
    if name == "remarks":
        assert_the_rest_is_as_it_was(draft.text)


def assert_the_rest_is_as_it_was(text: str) -> None:
    """Parts that say what they said are written as they were, remarks and all."""
    before, after = tomllib.loads(REMARKS), tomllib.loads(text)
    for kind in ("policy", "lever", "event"):
        for part in before[kind]:
            unfolded = part["name"] == "F" and '[[event.outcomes]]\nname     = "c"' in text
            if any(same(part, other) for other in after.get(kind, [])) and not unfolded:
                assert CHUNKS[part["name"]].strip() in text
    assert text.startswith("# top\n") and "\n# --- all ---\n" in text and "\n# --- levers ---\n" in text
