"""Scenarios on the page, without a browser: the numbers and words of the command line, files kept as they are."""

from __future__ import annotations

import json
import re
import threading
import time
from urllib.parse import parse_qsl, urlencode

import pytest

from bdsim.analysis.comparison import compare
from bdsim.cli.main import app
from bdsim.cli.terminal import as_json
from bdsim.errors import InputError
from bdsim.reporting.figures.runs import COMPARISON_FIGURES
from bdsim.runs.ensemble import run
from bdsim.study.editing.draft import Draft
from bdsim.study.scenario import load_scenario

pytest.importorskip("panel", reason="bdsim explore is an extra: pip install -e '.[explore]'")

from bdsim.explore.scenarios.editing import Editing
from bdsim.explore.scenarios.tab import ScenariosPart
from bdsim.explore.scenarios.worlds import FIGURES, Choices, Worlds
from bdsim.explore.session import Session

pytestmark = pytest.mark.one_python

SMALL = Choices(members=4, researchers_per_agent=400, horizon=2028)
WORDS = ("--members", "4", "-k", "400", "--horizon", "2028")


@pytest.fixture
def part_of():
    """Makes the part of a page for a study and the words of an address; ends what it began."""
    sessions = []

    def made(study, words=""):
        session = Session(study)
        session.asked = dict(parse_qsl(words))
        sessions.append(session)
        part = ScenariosPart(session)
        part.asked = SMALL if not words else part.asked
        return part

    yield made
    for session in sessions:
        session.closed.set()


def waited(part):
    until = time.monotonic() + 120
    while part.job.running:
        assert time.monotonic() < until
        time.sleep(0.01)


def errors_of(groups):
    """Every message at a field, by place."""
    found = {f["place"]: f["error"] for group in groups for f in group.get("fields", []) if f["error"]}
    for group in groups:
        found |= errors_of(group.get("groups", []))
    return found


def called(*words, capsys):
    code = app(list(words), standalone_mode=False)
    return code, capsys.readouterr().out


def test_numbers_are_those_of_the_command_line_and_of_the_library(here, fresh_study, capsys):
    found = Worlds(fresh_study).compared(SMALL)
    _, out = called("compare", "baseline", "initiative-revival", *WORDS, "--json", capsys=capsys)
    told = json.loads(out)
    assert json.loads(as_json([summary.plain() for summary in found.told])) == told["runs"]
    runs = [run(load_scenario(n, fresh_study), 4, 0, 400, horizon=2028) for n in ("baseline", "initiative-revival")]
    assert found.comparison.effect().equals(compare(*runs).effect())
    for ending, content in found.files("difference").items():
        assert content == (here / told["folder"] / f"difference{ending}").read_bytes()
    assert found.asked.command == f"bdsim compare baseline initiative-revival {' '.join(WORDS)}"


def test_the_report_is_the_one_of_the_command_line(here, fresh_study, capsys):
    found = Worlds(fresh_study).compared(SMALL)
    called("report", "baseline", "initiative-revival", *WORDS, "--output", "page.html", capsys=capsys)
    assert found.report() == (here / "page.html").read_text()


def test_nothing_runs_twice(fresh_study):
    worlds, heard = Worlds(fresh_study), []
    worlds.compared(SMALL, progress=lambda name, done, total: heard.append(name))
    assert set(heard) == set(SMALL.names)
    heard.clear()
    draft = Draft.open(fresh_study.scenario_file("initiative-revival"), fresh_study)
    draft.set("title", "Another name")
    again = worlds.compared(SMALL, draft, progress=lambda name, done, total: heard.append(name))
    assert heard == []
    assert again.comparison.others[0].title == "Another name"


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("members", "0", "0 is not a whole number from 1 to 100000"),
        ("members", "x", "'x' is not a whole number from 1 to 100000"),
        ("horizon", "1990", "1990 is not a whole number from 2010 to 2100"),
        ("reference", "basline", "no scenario named 'basline'; did you mean 'baseline'?"),
        ("others", ["nobody"], "no scenario named 'nobody'"),
        ("others", [], "nothing to compare with"),
        ("fit", "defualt", "no fit named 'defualt'; did you mean 'default'?"),
    ],
)
def test_a_wrong_setting_is_told_at_its_field(fresh_study, part_of, name, typed, said):
    part = part_of(fresh_study)
    part.heard({"set": {name: typed}})
    assert errors_of(part.settings.groups)[name].startswith(said)
    assert part.asked == SMALL
    part.shown()
    assert not part.job.running
    assert part.compared is None


def test_an_edited_draft_is_saved_with_its_comments(here, fresh_study, part_of, capsys):
    path = fresh_study.scenario_file("initiative-revival")
    path.write_text("# why this file\n" + path.read_text().replace("scrutiny = 1.0", "scrutiny = 1.0  # as then"))
    part = part_of(fresh_study)
    editor = part.editor
    editor.chosen({"set": {"edit": "initiative-revival"}})
    editor.edited({"set": {"policy[0].scrutiny": "0.5"}})
    editor.edited({"add": [["lever", None]]})
    editor.edited({"set": {"lever[0].multiply": "0.9"}})
    editor.edited({"set": {"extends.policy[0].until": "2022-06-01"}})
    editor.pressed({"pressed": "undo"})
    part.shown()
    waited(part)
    assert part.compared.unsaved == "initiative-revival"
    assert "Save 'initiative-revival' first" in part.command.html.replace("&#x27;", "'")
    editor.named({"set": {"name": "half-a-revival"}})
    editor.pressed({"pressed": "save"})
    text = (here / "scenarios" / "half-a-revival.toml").read_text()
    assert "# why this file\n" in text
    assert "scrutiny = 0.5  # as then" in text
    assert "2022-06-01" not in text
    assert part.asked.others == ("half-a-revival",)
    called("check", "half-a-revival", capsys=capsys)
    before = part.compared.told[1].periods
    assert Worlds(fresh_study).compared(part.asked).told[1].periods == before


def test_another_file_is_overwritten_only_when_asked_to(fresh_study, part_of):
    part, path = part_of(fresh_study), fresh_study.scenario_file("talent-surge")
    kept, editor = path.read_bytes(), part.editor
    editor.chosen({"set": {"new": "mine"}})
    editor.chosen({"begin": True})
    assert part.asked.others == ("initiative-revival", "mine")
    editor.named({"set": {"name": "talent-surge"}})
    editor.pressed({"pressed": "overwrite"})
    editor.pressed({"pressed": "save"})
    assert path.read_bytes() == kept
    assert "exists already" in errors_of(editor.naming.groups)["name"]
    assert [b["key"] for b in editor.keep.buttons] == ["save", "overwrite"]
    editor.chosen({"set": {"edit": "baseline"}})
    assert "save or revert them first" in errors_of(editor.choosing.groups)["edit"]
    editor.pressed({"pressed": "overwrite"})
    assert path.read_bytes() != kept
    assert part.asked.others == ("initiative-revival", "talent-surge")


def test_mistakes_stand_at_their_field_in_the_words_of_the_loader(fresh_study, part_of, tmp_path):
    part = part_of(fresh_study)
    editor = part.editor
    editor.chosen({"set": {"edit": "initiative-revival"}})
    for place, typed in (("policy[0].until", "2020-01-01"), ("policy[0].until", "soon"), ("policy[0].scrutiny", "11")):
        editor.edited({"set": {place: typed}})
        copy = fresh_study.scenarios / "copy.toml"
        copy.write_bytes(editor.draft.content)
        with pytest.raises(InputError) as refused:
            load_scenario(copy)
        assert errors_of(editor.fields.groups)[place] == refused.value.problem.split(" (and ")[0]
        editor.pressed({"pressed": "undo"})
    editor.edited({"add": [["event", None]]})
    editor.edited({"set": {"event[0].outcomes[0].chance": "0.7"}})
    assert errors_of(editor.fields.groups) == {
        "event[0].outcomes[0].chance": "the chances of the outcomes add up to 1.2, not 1"
    }
    part.shown()
    waited(part)
    assert part.compared is None
    assert "add up to 1.2" in part.said.html


def test_the_address_brings_the_same_state_back(fresh_study, part_of):
    part = part_of(fresh_study)
    part.editor.chosen({"set": {"edit": "us-funding-cut"}})
    part.editor.edited({"set": {"title": "<b>Mine & yours</b>"}})
    part.heard({"set": {"others": ["talent-surge", "us-funding-cut"], "seed": "7", "fit": "none"}})
    part.chosen({"set": {"figure": "stage"}})
    words = urlencode(part.address())
    again = part_of(fresh_study, words)
    assert again.asked == part.asked
    assert again.figure == "stage"
    assert again.editor.draft.content == part.editor.draft.content
    assert urlencode(again.address()) == words
    assert again.ignored.html == ""
    assert part_of(fresh_study).editor.address() == {}


@pytest.mark.parametrize(
    "words",
    ["ref=nobody", "runs=", "members=many", "figure=moon", "runfit=none2", "edit=../x", "edit=a&draft=AAAA", "draft=x",
     "edit=baseline&draft=%ff", "members=<script>"],
)  # fmt: skip
def test_what_is_wrong_in_an_address_is_ignored_with_a_word(fresh_study, part_of, words):
    part = part_of(fresh_study, words)
    assert part.asked == Choices()
    assert part.editor.editing is None
    assert "Ignored in the address" in part.ignored.html or words == "runs="
    assert "<script" not in part.ignored.html


def test_an_address_cannot_blow_up(fresh_study):
    import base64
    import zlib

    word = base64.urlsafe_b64encode(zlib.compress(b"#" * 50_000_000)).decode()
    with pytest.raises(InputError, match="is not a draft of a scenario, or is incomplete"):
        Editing.unpacked("mine", word, fresh_study)


def test_cancelling_leaves_no_results(fresh_study, part_of):
    part = part_of(fresh_study)
    begun, go_on = threading.Event(), threading.Event()
    compared = part.worlds.compared

    def slow(*asked, **how):
        begun.set()
        assert go_on.wait(60)
        return compared(*asked, **how)

    part.worlds.compared = slow
    part.worked({"start": True})
    assert begun.wait(60)
    part.worked({"cancel": True})
    go_on.set()
    waited(part)
    assert part.compared is None
    assert part.worlds._runs == {}
    assert part.job.said == "cancelled; nothing was kept"
    assert part.picture.html == ""


def test_text_of_a_file_is_shown_as_text(fresh_study, part_of):
    part = part_of(fresh_study)
    hostile = '<script>alert(\'$x^2$ "&")</script>'
    part.editor.chosen({"set": {"edit": "initiative-revival"}})
    part.editor.edited({"set": {"title": hostile}})
    part.editor.edited({"set": {"question": hostile}})
    part.shown()
    waited(part)
    found = part.compared
    assert found.comparison.others[0].title == hostile
    assert tuple(FIGURES) == COMPARISON_FIGURES
    drawn = [re.sub(r"<!--.*?-->", "", found.svg(figure)) for figure in ("departures", "difference")]
    for html in (*drawn, part.tables.html, part.command.html, part.editor.text.html, part.editor.said.html):
        assert "<script" not in html
        assert not re.search(r"<[^>]*alert\('", html)
    assert "&lt;script&gt;" in part.tables.html
    assert part.editor.fields.groups[0]["fields"][0]["value"] == hostile  # put into its field as text
