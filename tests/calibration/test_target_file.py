"""A target says of its facts what the facts say of themselves; whatever has no effect or no meaning is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bdsim.calibration.target_file import load_targets
from bdsim.calibration.targets import Target
from bdsim.errors import EvidenceError, TargetError
from bdsim.study.evidence import load_evidence
from bdsim.study.layout import Study
from bdsim.study.parameters import load_parameters

pytestmark = pytest.mark.one_python
ERROR = "error = { log = 0.1 }"


def loaded(study: Study) -> list[Target]:
    return load_targets(study.targets, load_evidence(study), load_parameters(study.parameters))


def entry(facts: str, *lines: str, error: str = ERROR, name: str = "mine") -> str:
    body = "\n".join(lines)
    return f'[[target]]\nname = "{name}"\nfacts = {{ {facts} }}\n{body}\n{error}\nrole = "validation"\nwhy = "test"\n'


SERIES = 'file = "departures_to_china", value = "departures"'
ANCHORS = 'file = "departures_anchors", value = "value"'
RATES = 'file = "retention", value = "stay_rate"'
DEPARTURES, SHARE, RATE, RATIO = (f'statistic = "{s}"' for s in ("departures", "share", "stay_rate", "ratio"))
ENGINEERS = f'{SERIES}, where = {{ year = {{ from = 2010, to = 2012 }}, field = "engineering_cs" }}'
TOTALS = f'{ANCHORS}, where = {{ statistic = "departures" }}'
SHARES = f'{ANCHORS}, where = {{ unit = "share" }}'
MEANS = f'{ANCHORS}, where = {{ unit = "ratio" }}'
CSET = f'{RATES}, where = {{ series = "CSET" }}'

# What is wrong, and two pieces of the line that says so.
WRONG = {
    "denominator not simulated": (
        entry(MEANS, RATIO, "numerator = [2019, 2021]", "denominator = [1990, 1999]"),
        "denominator",
        "1990-1999",
    ),
    "denominator outside the fact": (
        entry(MEANS, RATIO, "numerator = [2019, 2021]", "denominator = [2022, 2040]"),
        "denominator",
        "2010-2021",
    ),
    "numerator outside the fact": (
        entry(MEANS, RATIO, "numerator = [2019, 2023]", "denominator = [2010, 2018]"),
        "numerator",
        "2010-2021",
    ),
    "denominator in disorder": (
        entry(MEANS, RATIO, "numerator = [2019, 2021]", "denominator = [2018, 2010]"),
        "denominator",
        "2018-2010",
    ),
    "one half of a ratio": (entry(MEANS, RATIO, "numerator = [2019, 2021]"), "target[0]", "denominator"),
    "numerator of what is no ratio": (
        entry(ENGINEERS, DEPARTURES, "numerator = [2019, 2021]"),
        "target[0]",
        "numerator",
    ),
    "field of a stay rate": (entry(CSET, RATE, 'field = "life"'), "target[0]", "'field' has no effect on a stay_rate"),
    "destination of a stay rate": (entry(CSET, RATE, 'destination = "china"'), "target[0]", "'destination' has no"),
    "field against the row's": (entry(ENGINEERS, DEPARTURES, 'field = "life"'), "field", "engineering_cs"),
    "field of a total": (entry(TOTALS, DEPARTURES, 'field = "life"'), "field", "'all'"),
    "origin against the row's": (
        entry(f'{RATES}, where = {{ series = "CSET", origin = "india" }}', RATE, 'origin = "china"'),
        "origin",
        "'india'",
    ),
    "origin against the file's": (entry(ENGINEERS, DEPARTURES, 'origin = "india"'), "origin", "'china'"),
    "destination against the file's": (
        entry(ENGINEERS, DEPARTURES, 'destination = "elsewhere"'),
        "destination",
        "china",
    ),
    "destination against the row's": (entry(SHARES, SHARE, 'destination = "elsewhere"'), "destination", "'china'"),
    "destination of a total": (entry(TOTALS, DEPARTURES, 'destination = "china"'), "destination", "'all'"),
    "spending as departures": (
        entry('file = "rd_expenditure", value = "us"', DEPARTURES),
        "facts.value",
        "holds values that a target of",
    ),
    "doctorates as departures": (
        entry('file = "doctorates", value = "doctorates"', DEPARTURES),
        "facts.value",
        "cannot use",
    ),
    "stay rates as departures": (entry(CSET, DEPARTURES), "facts.value", "holds stay_rate, not departures"),
    "juniors as a share": (entry('file = "departures_to_china", value = "junior"', SHARE), "facts.value", "cannot use"),
    "shares as departures": (entry(SHARES, DEPARTURES), "facts.value", "holds share, not departures"),
    "departures as a share": (entry(TOTALS, SHARE, 'destination = "china"'), "facts.value", "not share"),
    "a ratio as departures": (entry(MEANS, DEPARTURES), "facts.value", "holds ratio"),
    "a lower bound as a value": (
        entry(f'{ANCHORS}, where = {{ unit = "lower bound" }}', DEPARTURES),
        "bound",
        "lower bound",
    ),
    "counting error of a share": (
        entry(SHARES, SHARE, error="error = { log = 0.1, counting = true }"),
        "target[0]",
        "counting",
    ),
    "text as a value": (entry('file = "retention", value = "series"', RATE), "facts.value", "'series'"),
    "a range of text": (
        entry(f"{RATES}, where = {{ series = {{ from = 1, to = 2 }} }}", RATE),
        "facts.where.series",
        "holds text",
    ),
    "a number for text": (entry(f"{RATES}, where = {{ series = 3 }}", RATE), "facts.where.series", "holds text"),
    "text for a year": (
        entry(f'{SERIES}, where = {{ year = "2010" }}', DEPARTURES),
        "facts.where.year",
        "holds numbers",
    ),
    "texts for years": (entry(f'{SERIES}, where = {{ year = ["2010"] }}', DEPARTURES), "facts.where.year", "numbers"),
    "a truth value": (entry(f"{SERIES}, where = {{ year = true }}", DEPARTURES), "facts.where.year", "is not a number"),
    "a list of both": (entry(f'{SERIES}, where = {{ year = [2010, "x"] }}', DEPARTURES), "facts.where.year", "list of"),
    "a range in disorder": (
        entry(f"{SERIES}, where = {{ year = {{ from = 2012, to = 2010 }} }}", DEPARTURES),
        "facts.where.year",
        "is not",
    ),
    "a year without a row": (
        entry(f'{SERIES}, where = {{ year = {{ from = 2019, to = 2023 }}, field = "life" }}', DEPARTURES),
        "facts.where",
        "year = 2022",
    ),
    "a field without a row": (
        entry(f'{SERIES}, where = {{ year = 2010, field = ["life", "math"] }}', DEPARTURES),
        "facts.where",
        "field = math",
    ),
    "a unit without a row": (
        entry(f'{ANCHORS}, where = {{ unit = ["count", "Count"] }}', DEPARTURES),
        "facts.where",
        "unit = Count",
    ),
    "a factor that may be negative": (
        entry(ENGINEERS, DEPARTURES, 'times = "leave_china.china"'),
        "times",
        "must stay above 0",
    ),
    "a factor that may vanish": (entry(ENGINEERS, DEPARTURES, 'times = "push"'), "times", "must stay above 0"),
    "an unknown factor": (entry(ENGINEERS, DEPARTURES, 'times = "mainland_stm"'), "times", "mainland_stem"),
    "two of one name": (entry(ENGINEERS, DEPARTURES) + entry(CSET, RATE), "target[1].name", "two targets are named"),
    "a share without a destination": (
        entry(f'{SERIES}, of = ["departures"], where = {{ year = 2010 }}', SHARE, 'destination = "elsewhere"'),
        "destination",
        "china",
    ),
    "a stay rate of years": (entry(f'{SERIES}, of = ["departures"]', RATE), "facts.value", "holds share"),
    "a field that the model lacks": (
        entry(f'{SERIES}, where = {{ field = "social", year = 2012 }}', DEPARTURES),
        "",
        "social",
    ),
    "an unknown key": (
        entry(ENGINEERS, DEPARTURES, 'destinaton = "china"'),
        "destinaton",
        "did you mean 'destination'",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_target_without_meaning_is_refused_in_one_line(fresh_study: Study, what: str) -> None:
    text, place, problem = WRONG[what]
    fresh_study.targets.write_text(text, encoding="utf-8")
    with pytest.raises(TargetError) as caught:
        loaded(fresh_study)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert "targets.toml" in said and place in said and problem in said, said


def test_what_an_entry_leaves_out_the_facts_say(fresh_study: Study) -> None:
    """The same three targets whether the entry repeats origin, field and destination or not."""
    short = entry(ENGINEERS, DEPARTURES)
    long = entry(ENGINEERS, DEPARTURES, 'origin = "china"', 'field = "engineering_cs"', 'destination = "china"')
    found = []
    for text in (short, long):
        fresh_study.targets.write_text(text, encoding="utf-8")
        found.append(loaded(fresh_study))
    assert found[0] == found[1]
    assert [(t.last, t.fact, t.field, t.destination) for t in found[0]] == [
        (2010, 65, "engineering_cs", "china"),
        (2011, 77, "engineering_cs", "china"),
        (2012, 84, "engineering_cs", "china"),
    ]


def test_a_value_as_a_share_of_columns(fresh_study: Study) -> None:
    facts = SERIES.replace('value = "departures"', 'value = "experienced", of = ["junior", "experienced"]')
    fresh_study.targets.write_text(entry(f'{facts}, where = {{ year = 2010, field = "life" }}', SHARE))
    assert [t.fact for t in loaded(fresh_study)] == [69 / (122 + 69)]


def test_later_rows_of_the_series_become_targets_of_their_own(fresh_study: Study, study: Study) -> None:
    before = loaded(study)
    path = fresh_study.evidence / "departures_to_china.csv"
    path.write_text(path.read_text() + "2022,life,640\n2022,engineering_cs,310\n2022,math_physical,690\n")
    after = loaded(fresh_study)
    new = [t for t in after if t not in before]
    assert {(t.last, t.field, t.fact) for t in new} == {
        (2022, "engineering_cs", 310),
        (2022, "life", 640),
        (2022, "math_physical", 690),
    }


def test_a_unit_that_is_almost_right_is_refused_with_the_nearest(fresh_study: Study) -> None:
    path = fresh_study.evidence / "departures_anchors.csv"
    path.write_text(path.read_text() + "departures,2015,2015,1600,Count,,Mine\n", encoding="utf-8")
    with pytest.raises(EvidenceError, match=r"line 10, unit: 'Count' is not one of .*; did you mean 'count'\?"):
        loaded(fresh_study)


# --- facts of one's own ------------------------------------------------------------------------------------

SOURCE = '\n[my_series]\nwhat = "Researchers who left, counted by us"\ncite = "Own count"\n'


def own(study: Study, table: str, source: str = SOURCE) -> None:
    (study.evidence / "my_series.csv").write_text(table, encoding="utf-8")
    study.sources.write_text(study.sources.read_text(encoding="utf-8") + source, encoding="utf-8")


OWN = {
    "departures by field and destination": (
        "year,field,destination,leavers\n2022,life,china,700\n2023,life,china,720\n",
        entry('file = "my_series", value = "leavers"', DEPARTURES),
        [(700, 2022, "life", "china"), (720, 2023, "life", "china")],
    ),
    "departures over a span of years": (
        "from,to,leavers,note\n2022,2024,8100,all fields\n",
        entry('file = "my_series", value = "leavers"', DEPARTURES),
        [(8100, 2024, None, None)],
    ),
    "a share": (
        "year,percent\n2023,0.7\n",
        entry('file = "my_series", value = "percent"', SHARE, 'destination = "china"'),
        [(0.7, 2023, None, "china")],
    ),
    "a stay rate": (
        "origin,cohort_from,cohort_to,as_of,still_here\nindia,2012,2014,2024,0.79\n",
        entry('file = "my_series", value = "still_here"', RATE),
        [(0.79, 2014, None, None)],
    ),
    "a ratio": (
        "from,to,times\n2015,2024,1.4\n",
        entry('file = "my_series", value = "times"', RATIO, "numerator = [2020, 2024]", "denominator = [2015, 2019]"),
        [(1.4, 2024, None, None)],
    ),
}


@pytest.mark.parametrize("what", OWN)
def test_a_file_of_ones_own_can_be_a_target(fresh_study: Study, what: str) -> None:
    table, text, expected = OWN[what]
    own(fresh_study, table)
    fresh_study.targets.write_text(text, encoding="utf-8")
    assert [(t.fact, t.last, t.field, t.destination) for t in loaded(fresh_study)] == expected


@pytest.mark.parametrize(
    ("table", "text", "problem"),
    [
        (
            "year,leavers\n2022,0.87\n",
            entry('file = "my_series", value = "leavers"', DEPARTURES),
            "less than one person",
        ),
        (
            "year,share\n2022,87\n",
            entry('file = "my_series", value = "share"', SHARE, 'destination = "china"'),
            "more than 1",
        ),
        ("leavers\n700\n", entry('file = "my_series", value = "leavers"', DEPARTURES), "no column year"),
        (
            "year,rate\n2022,0.8\n",
            entry('file = "my_series", value = "rate"', RATE),
            "cohort_from, cohort_to and as_of",
        ),
        ("year,leavers\n2022,many\n", entry('file = "my_series", value = "leavers"', DEPARTURES), "is not a number"),
        (
            "year,leavers\n1990,90\n",
            entry('file = "my_series", value = "leavers"', DEPARTURES),
            "1990-1990 are not simulated",
        ),
    ],
)
def test_facts_of_ones_own_that_cannot_be_meant_are_refused(
    fresh_study: Study, table: str, text: str, problem: str
) -> None:
    own(fresh_study, table)
    fresh_study.targets.write_text(text, encoding="utf-8")
    with pytest.raises(TargetError, match=problem):
        loaded(fresh_study)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("year,year\n2022,2022\n", "two columns are named 'year'"),
        ("from,leavers\n2022,700\n", "'from' and 'to' go together"),
        ("year,field,leavers\n2022,biology,700\n", "line 2, field: 'biology' is not one of"),
        ("year,leavers\n2022,700\n2022,710\n", "line 3: gives 2022 a second time"),
        ("year,leavers\n22,700\n", "line 2, year: 22 is less than 1900"),
        ("year,leavers\n2022,700,\n", "line 2: 3 cells for 2 columns; a comma too many"),
        ("year,leavers,\n2022,700,\n", "column 3 has no name"),
        ("year,leavers\n,700\n", "line 2, year: the cell is empty"),
        ("year,leavers\n", "no facts below the header"),
    ],
)
def test_a_malformed_file_of_ones_own_is_refused(fresh_study: Study, table: str, problem: str) -> None:
    own(fresh_study, table)
    with pytest.raises(EvidenceError, match=problem):
        load_evidence(fresh_study)


def test_rows_of_commas_only_are_blank_lines(fresh_study: Study) -> None:
    own(fresh_study, "year,leavers\n2022,700\n,\n,\n")
    assert len(load_evidence(fresh_study).rows("my_series")) == 1


def test_notes_without_an_entry_in_sources_are_not_evidence_and_a_target_on_them_says_how(fresh_study: Study) -> None:
    (fresh_study.evidence / "my_notes.csv").write_text("year,value\n")
    evidence = load_evidence(fresh_study)
    assert evidence.unread == ("my_notes.csv",) and "my_notes" not in evidence.facts
    assert not any(path.stem == "my_notes" for path in evidence.files)
    fresh_study.targets.write_text(entry('file = "my_notes", value = "value"', DEPARTURES), encoding="utf-8")
    with pytest.raises(TargetError, match=r"my_notes.csv is not evidence yet: give it an entry in sources.toml"):
        loaded(fresh_study)


def test_a_source_without_its_file_is_refused(fresh_study: Study) -> None:
    fresh_study.sources.write_text(fresh_study.sources.read_text(encoding="utf-8") + SOURCE, encoding="utf-8")
    with pytest.raises(EvidenceError, match=r"sources.toml: my_series: describes my_series.csv, which does not exist"):
        load_evidence(fresh_study)


def test_a_fact_of_ones_own_beside_the_shipped_ones_changes_no_shipped_target(fresh_study: Study, study: Study) -> None:
    own(fresh_study, "year,leavers\n2023,2900\n")
    text = fresh_study.targets.read_text(encoding="utf-8")
    fresh_study.targets.write_text(text + entry('file = "my_series", value = "leavers"', DEPARTURES), encoding="utf-8")
    *shipped, mine = loaded(fresh_study)
    assert shipped == loaded(study)
    assert replace(mine, why="") == replace(mine, entry="mine", fact=2900.0, first=2023, last=2023, why="")


def test_targets_are_read_from_any_file(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "few.toml"
    path.write_text(entry(CSET, RATE), encoding="utf-8")
    found = load_targets(path, load_evidence(study), load_parameters(study.parameters))
    assert [t.origin for t in found] == ["all", "china", "india", "other"]
