"""The part of the page on people shows what bdsim.lives says, keeps its state in the address, and lets go of models."""

import contextlib
import csv
import io
import re
import time
from html import unescape

import mesa
import pytest

pytest.importorskip("panel")

from bdsim.analysis.lives import Watch, network
from bdsim.errors import InputError
from bdsim.explore.people import html as people_html
from bdsim.explore.people import tab as people
from bdsim.explore.people import watching
from bdsim.explore.people.tab import PeoplePart
from bdsim.explore.people.watching import Look, Watching, WorldChoice, asked_from
from bdsim.explore.session import Session
from bdsim.model.categories import FIRST_YEAR
from bdsim.model.rule import STAY
from bdsim.runs.mesa import MigrationModel
from bdsim.runs.plan import Settings, plan_run
from bdsim.study.scenario import load_scenario

K = 1000  # researchers an agent: few people, and some of them leave
SMALL = {"people_k": str(K), "people_horizon": "2024"}
LUCK = {"people_seed": "5", "member": "3"}


class OnePart(Session):
    """A session without a browser, with an address to look at."""

    def __init__(self, study, asked):
        super().__init__(study)
        self.asked = asked
        self.words = {}

    def moved(self):
        for part in self._parts:
            self.words = dict(part.address())


@pytest.fixture
def opened(study):
    """Opens the part with an address; all are closed in the end."""
    sessions = []

    def open_part(asked=SMALL, where=study):
        session = OnePart(where, dict(asked))
        sessions.append(session)
        part = PeoplePart(session)
        session.of([part], dict)
        return part

    yield open_part
    for session in sessions:
        session.close()


def settled(part):
    end = time.monotonic() + 60.0
    while not part.settled:
        assert time.monotonic() < end, "the part did not come to rest"
        time.sleep(0.005)
    return part.scene


def shown(part):
    part.shown()
    return settled(part)


def by_hand(study, year, scenario="baseline", seed=0, member=0, horizon=2024):
    """A Watch of the same world, made as `bdsim run` makes it."""
    job = plan_run(load_scenario(scenario, study), Settings(seed=seed, researchers_per_agent=K, horizon=horizon))
    world = job.member_world(job.world(job.plans[0]), member)
    watch = Watch(MigrationModel(world, seed=seed, member=member))
    while watch.year < year:
        watch.step()
    return watch


def text_of(html):
    return unescape(re.sub(r"<[^>]+>", " ", html))


def test_nothing_is_made_before_the_part_comes_to_the_front(opened):
    part = opened()
    time.sleep(0.05)
    assert part.scene is None and not part.watching._kept
    assert shown(part).look.year == 2020  # two years after scrutiny began: people are afraid, and some have left


def test_what_is_shown_is_what_lives_says(opened, study):
    part = opened(SMALL | LUCK | {"year": "2021", "field": "life"})
    scene = shown(part)
    watch = by_hand(study, 2021, seed=5, member=3)
    nodes, links = network(watch.model, "life")
    assert scene.nodes.equals(nodes) and scene.links.equals(links)
    assert (scene.here, scene.fear) == (watch.model.researchers_here(), watch.model.mean_fear())
    assert scene.departed == watch.model.departed
    here = nodes[nodes["status"] == "here"].iloc[3]
    part.network.heard({"chosen": int(here["row"])})
    mine = settled(part).mine
    assert mine.life == watch.life(int(here["row"]))
    table = text_of(part.table.html)
    for moment in mine.life.moments:
        assert moment.china.in_words() in table and moment.elsewhere.in_words() in table
    assert watch.life(int(here["row"])).in_words().split("\n")[0] in text_of(part.life.html)


def test_the_undecided_year_is_weighed_and_gives_nothing_away(opened, study):
    part = opened(SMALL | {"year": "2019"})
    scene = shown(part)
    watch = by_hand(study, 2020)
    leaver = next(int(i) for i in network(watch.model)[0].query("status != 'here'")["identity"])
    part.who.heard({"set": {"person": str(leaver)}})
    scene = settled(part)
    assert scene.mine.now.choice != STAY  # leaves in the year that is not decided yet
    last = text_of(part.table.html.split("<tr")[-1])
    assert people_html.UNDECIDED in last and scene.mine.now.china.in_words() in last
    assert "left" not in last and "ring" not in last and people_html.UNDECIDED in part.bars.html
    assert "left" not in text_of(part.life.html)
    part.steps.heard({"pressed": "on"})
    settled(part)
    assert "left for" in text_of(part.life.html) and part.scene.mine.now is None


def test_stepping_back_and_on_shows_the_same(opened):
    part = opened(SMALL | {"year": "2012"})
    shown(part)
    part.who.heard({"set": {"leaver": str(part.scene.leavers["identity"].iloc[0])}})
    settled(part)
    seen = {}
    for year in (2012, 2013, 2014):
        seen[year] = (part.network.picture, part.numbers.html, part.table.html, part.code.html)
        part.steps.heard({"pressed": "on"})
        settled(part)
    for year in (2014, 2013, 2012):
        part.steps.heard({"pressed": "back"})
        settled(part)
        assert seen[year] == (part.network.picture, part.numbers.html, part.table.html, part.code.html)


def test_playing_goes_on_to_the_horizon_and_stops(opened, monkeypatch):
    monkeypatch.setattr(people, "PACE", 0.01)
    part = opened(SMALL | {"year": "2022"})
    shown(part)
    part.steps.heard({"pressed": "play"})
    end = time.monotonic() + 20.0
    while part._playing and time.monotonic() < end:
        time.sleep(0.01)
    scene = settled(part)
    assert scene.look.year == 2025 and not part._playing and scene.scrutiny is None
    assert [b["disabled"] for b in part.steps.buttons] == [False, True, True]


def test_the_address_brings_everything_back(opened):
    part = opened({})
    part.shown()
    part.world.heard({"set": {"world": "protect-act", "people_k": str(K)}})
    part.world.heard({"set": {"people_seed": "5", "member": "2"}})
    part.world.heard({"set": {"branch": watching.branches_of(part.watching.study, "protect-act")[2]}})
    part.year.heard({"set": {"year": "2027"}})
    part.looks.heard({"set": {"field": "life", "colour": "left", "origin": "china"}})
    settled(part)
    part.network.heard({"chosen": int(part.scene.nodes["row"].iloc[0])})
    part.who.heard({"set": {"other": "protect-act"}})
    part.who.heard({"set": {"beside": watching.branches_of(part.watching.study, "protect-act")[1]}})
    settled(part)
    words = part._session.words
    assert set(words) == {"world", "branch", "people_k", "people_seed", "member", "year", "field", "origin", "colour",
                          "person", "other", "beside"}  # fmt: skip
    again = opened(words)
    shown(again)
    assert not again.notes and again.look == part.look and again.address() == words
    for control in ("numbers", "life", "bars", "table", "legend", "code"):
        assert getattr(again, control).html == getattr(part, control).html
    assert again.network.picture == part.network.picture


def test_what_the_address_asks_in_vain_is_ignored_with_a_word(opened):
    bad = {"world": "../../etc/passwd", "people_k": "99", "people_seed": "x", "member": "-1", "people_horizon": "1999",
           "people_fit": "../default", "year": "1066", "field": "alchemy", "origin": "mars", "colour": "<b>",
           "other": "nowhere", "beside": "no", "branch": "no"}  # fmt: skip
    part = opened(bad)
    assert part.look == Look(WorldChoice(), year=2020)  # two years after scrutiny began
    shown(part)
    assert len(part.notes) == len(bad)
    assert all(f"{word}=" in text_of(part.status.html) for word in bad)
    assert "<b>" not in part.status.html and part.address() == {}


@pytest.mark.parametrize(
    ("word", "text", "setting", "value"),
    [
        ("people_seed", "-1", "seed", -1),
        ("people_seed", "many", "seed", "many"),
        ("people_horizon", "3000", "horizon", 3000),
    ],
)
def test_bad_numbers_are_told_at_the_field_in_the_words_of_the_command_line(opened, word, text, setting, value):
    part = opened()
    part.world.heard({"set": {word: text}})
    field = next(f for f in part.world.groups[0]["fields"] if f["place"] == word)
    with pytest.raises(InputError) as told:
        Settings(**{setting: value})
    assert field["error"] == told.value.problem and field["value"] == text
    assert part.look.world == asked_from(part.watching.study, SMALL)[0]
    part.world.heard({"set": {word: "7" if setting == "seed" else "2024"}})
    assert not part.errors


def test_an_identity_that_nobody_has(opened, study):
    part = opened()
    shown(part)
    for text, number in (("12", 12), ("somebody", "somebody")):
        part.who.heard({"set": {"person": text}})
        settled(part)
        with pytest.raises(InputError) as told:
            by_hand(study, FIRST_YEAR).row_of(number)
        assert next(f for f in part.who.groups[0]["fields"] if f["place"] == "person")["error"] == told.value.problem
        assert not part.life.html
    part.network.heard({"chosen": int(part.scene.nodes["row"].iloc[0])})
    settled(part)
    assert not part.errors and part.life.html


def test_a_scenario_that_cannot_be_read_is_told_at_its_field(opened, fresh_study):
    (fresh_study.scenarios / "broken.toml").write_text("title = 3\n")
    part = opened(where=fresh_study)
    shown(part)
    before = part.scene
    part.world.heard({"set": {"world": "broken"}})
    field = part.world.groups[0]["fields"][0]
    assert field["value"] == "broken" and "broken.toml: title: " in field["error"]
    assert part.scene is before


def test_titles_are_escaped(opened, fresh_study):
    evil = "<script>alert(1)</script><b onclick='x'>&"
    text = (fresh_study.scenarios / "baseline.toml").read_text()
    (fresh_study.scenarios / "evil.toml").write_text(re.sub(r"^title .*$", f'title = "{evil}"', text, flags=re.M))
    part = opened(SMALL | {"world": "evil", "year": "2010"}, fresh_study)
    shown(part)
    assert evil in unescape(part.numbers.html)
    for html in (part.numbers.html, part.status.html, part.code.html, people_html.network_svg(part.scene)):
        assert "<script" not in html and "<b onclick" not in html


def test_the_same_person_in_another_world(opened, study):
    here, there = by_hand(study, 2025), by_hand(study, 2025, "no-initiative")
    identities = [int(i) for i in here.model.world.population.people.identity]
    fates = zip(here.model.state.fate, there.model.state.fate, strict=True)
    differ = next(i for i, (a, b) in zip(identities, fates, strict=True) if a != b)
    part = opened(SMALL | {"year": "2025", "person": str(differ), "other": "no-initiative"})
    scene = shown(part)
    assert scene.mine.life == here.life(here.row_of(differ)) and scene.other.life == there.life(there.row_of(differ))
    said = text_of(part.life.html)
    assert scene.other.life.ending in said and "The luck is the same in both" in said
    first = next(a.year for a, b in zip(scene.mine.life.moments, scene.other.life.moments, strict=False) if a != b)
    assert f"In {first} it differs" in said
    same = opened(SMALL | {"year": "2010", "person": str(differ), "other": "no-initiative"})
    shown(same)
    assert "the same in no-initiative, to the last digit" in text_of(same.life.html)


def test_the_lines_of_python_print_the_life_that_is_shown(opened, study, monkeypatch):
    monkeypatch.chdir(study.root)
    part = opened(SMALL | LUCK | {"world": "initiative-revival", "year": "2021", "origin": "china"})
    shown(part)
    part.who.heard({"set": {"leaver": str(part.scene.leavers["identity"].iloc[0])}})
    scene = settled(part)
    space = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(unescape(re.search(r"<pre>(.*)</pre>", part.code.html, re.S)[1]), space)
    assert printed.getvalue() == scene.mine.life.in_words() + "\n"
    assert space["nodes"].equals(scene.nodes)


def test_what_is_saved_is_what_is_shown(opened, monkeypatch):
    part = opened(SMALL | {"year": "2020"})
    shown(part)
    part.who.heard({"set": {"leaver": str(part.scene.leavers["identity"].iloc[0])}})
    scene = settled(part)
    saved = {}
    monkeypatch.setattr(part.exports, "save", lambda name, kind, content: saved.update({name: content.decode()}))
    for button in part.exports.buttons:
        assert not button["disabled"]
        part.exports.heard({"pressed": button["key"]})
    life = scene.mine.life
    assert saved[f"life-{life.identity}.txt"] == life.in_words() + "\n"
    rows = list(csv.DictReader(io.StringIO(saved[f"life-{life.identity}.csv"])))
    assert [float(r["china: rate"]) for r in rows] == [m.china.rate for m in life.moments]
    network_name = "network-baseline-engineering_cs-2020"
    assert saved[f"{network_name}.csv"].count("\n") == len(scene.nodes) + 1
    drawing = saved[f"{network_name}.svg"]
    in_legend = 3
    assert drawing.count("<circle") + drawing.count("<polygon") == len(scene.nodes) + in_legend


def test_models_are_let_go_of(study):
    known = getattr(mesa.Agent, "_ids", {})
    before = set(map(id, known))
    watched = Watching(study)
    for again in range(6):
        watched.scene(Look(WorldChoice(researchers_per_agent=5000, horizon=2010), again=again), lambda *_: None)
        assert len(set(map(id, known)) - before) <= watching.KEPT
    watched.close()
    assert not set(map(id, known)) - before
