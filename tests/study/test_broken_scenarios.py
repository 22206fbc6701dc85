"""Whatever a person writes into a scenario file, a mistake is one line that says where and what it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bdsim.errors import InputError, ScenarioError, StudyError
from bdsim.study.layout import Study
from bdsim.study.scenario import load_scenario
from slips import mutated, mutations

pytestmark = pytest.mark.one_python

FOLDER = Path(__file__).with_name("broken_scenarios")
BROKEN = sorted(FOLDER.glob("[0-9][0-9]-*.toml"))
HEAD = 'title = "A test"\nquestion = "What is wrong here?"\n'
POLICY = '[[policy]]\nname = "P"\nfrom = 2025-01-01\nuntil = 2026-01-01\nwhy = "test"\nscrutiny = '


def expected(path: Path) -> str:
    """What the file's first line, `# expect: ...`, says of its error."""
    first = path.read_bytes().split(b"\n")[0].decode()
    assert first.startswith("# expect: "), f"{path.name} does not say what to expect"
    return first.removeprefix("# expect: ").strip()


def assert_one_line(error: InputError, name: str) -> None:
    text = str(error)
    assert len(text.splitlines()) == 1, repr(text)
    assert name in text
    assert "Traceback" not in text and "pydantic" not in text


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_scenario_is_refused_in_one_line(path: Path, study: Study) -> None:
    with pytest.raises((ScenarioError, StudyError)) as caught:
        load_scenario(path, study)
    assert_one_line(caught.value, path.name)
    assert expected(path) in str(caught.value)


def test_there_are_many_broken_scenarios_and_each_is_broken_in_its_own_way() -> None:
    assert len(BROKEN) >= 36
    assert [path.name[:2] for path in BROKEN] == [f"{i:02}" for i in range(1, len(BROKEN) + 1)]
    ways = [re.sub(r"^\d\d-", "", path.stem) for path in BROKEN]
    assert len(set(ways)) == len(ways)


def test_the_helper_of_the_two_level_case_is_sound(study: Study) -> None:
    """So that case is broken in one way only."""
    assert load_scenario(FOLDER / "helper-child.toml", study).extends == "baseline"


def refused(path: Path | str, study: Study, message: str, name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_scenario(path, study)
    assert_one_line(caught.value, name)
    assert message in str(caught.value)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "mine.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_an_empty_file_is_refused(tmp_path: Path, study: Study) -> None:
    refused(written(tmp_path, b""), study, "'title' is missing", "mine.toml")


def test_a_huge_file_is_refused_unread(tmp_path: Path, study: Study) -> None:
    path = written(tmp_path, HEAD + "#" * 250_001)
    refused(path, study, "larger than 250,000 bytes", "mine.toml")


def test_a_missing_file_is_refused_with_the_nearest_one(tmp_path: Path, study: Study) -> None:
    written(tmp_path, HEAD)
    refused(tmp_path / "mien.toml", study, "no such file; did you mean 'mine.toml'?", "mien.toml")


def test_a_missing_name_is_refused_with_the_nearest_one(study: Study) -> None:
    refused("no-initative", study, "did you mean 'no-initiative'?", "no-initative")


def test_a_missing_folder_is_refused(tmp_path: Path, study: Study) -> None:
    refused(tmp_path / "nowhere" / "mine.toml", study, "no such file", "mine.toml")


def test_a_directory_is_refused(tmp_path: Path, study: Study) -> None:
    (tmp_path / "mine.toml").mkdir()
    refused(tmp_path / "mine.toml", study, "", "mine.toml")


def test_a_directory_is_not_offered_as_the_nearest_file_to_itself(tmp_path: Path, study: Study) -> None:
    (tmp_path / "mine.toml").mkdir()
    with pytest.raises(InputError) as caught:
        load_scenario(tmp_path / "mine.toml", study)
    assert "did you mean 'mine.toml'?" not in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b", "a\nb", "a\nb.toml", "~", "scenarios/"])
def test_an_odd_name_is_refused_in_one_line(study: Study, name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_scenario(name, study)
    assert_one_line(caught.value, "")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".toml"], ids=["a name", "a file"])
def test_a_name_too_long_for_the_file_system_is_refused(study: Study, name: str) -> None:
    with pytest.raises(InputError):
        load_scenario(name, study)


def test_a_key_with_a_line_break_is_refused_in_one_line(tmp_path: Path, study: Study) -> None:
    refused(written(tmp_path, HEAD + '"a\\nb" = 1\n'), study, "unknown name", "mine.toml")


def test_a_number_of_5000_digits_is_refused(tmp_path: Path, study: Study) -> None:
    refused(written(tmp_path, HEAD + POLICY + "1" * 5000), study, "", "mine.toml")


def test_a_hexadecimal_number_of_5000_digits_is_refused(tmp_path: Path, study: Study) -> None:
    refused(written(tmp_path, HEAD + POLICY + "0x" + "f" * 5000), study, "", "mine.toml")


def test_a_deeply_nested_file_is_refused(tmp_path: Path, study: Study) -> None:
    refused(written(tmp_path, HEAD + "x = " + "[" * 5000), study, "is not TOML", "mine.toml")
    refused(written(tmp_path, HEAD + ".".join(["a"] * 39) + " = 1"), study, "unknown name", "mine.toml")
    refused(written(tmp_path, HEAD + ".".join(["a"] * 2000) + " = 1"), study, "more than 40 parts", "mine.toml")


def test_a_chain_of_1500_events_is_refused_or_loads(tmp_path: Path, study: Study) -> None:
    """Each has one outcome, so they make one branch; no interpreter's limit may show."""
    event = '[[event]]\nname = "e{0}"\non = 2025-01-01\noutcomes = [{{ name = "o{0}", chance = 1 }}]\n'
    path = written(tmp_path, HEAD + "".join(event.format(i) for i in range(1500)))
    try:
        branches = load_scenario(path, study).branches()
    except InputError as error:
        assert_one_line(error, "mine.toml")
    else:
        assert len(branches) == 1


def test_one_mistake_is_counted_as_one(tmp_path: Path, study: Study) -> None:
    """`set` takes a number or a list; failing to be either is one mistake of the person who wrote it."""
    lever = '[[lever]]\ntable = "offers"\nyears = [2026, 2027]\nwhy = "test"\nset = "many"\n'
    with pytest.raises(ScenarioError) as caught:
        load_scenario(written(tmp_path, HEAD + lever), study)
    assert "more)" not in str(caught.value)


def test_several_mistakes_are_reported_one_at_a_time_with_their_number(tmp_path: Path, study: Study) -> None:
    refused(written(tmp_path, "titel = 1\nqestion = 2\n"), study, "(and 3 more)", "mine.toml")


# --- fuzz --------------------------------------------------------------------------------------------------

VALID = """title    = "Fuzz"
question = "What can a slip of the hand do?"
extends  = "baseline"
drop     = ["China Initiative"]
notes    = "none"

[[policy]]
name     = "Revived"
from     = 2025-01-20
until    = 2029-01-20
scrutiny = 1.0
targets  = ["china", "india"]
why      = "test"

[[lever]]
name     = "Cut"
table    = "us_funding"
years    = [2026, 2028]
multiply = [0.9, 0.8, 0.7]
why      = "test"

[[event]]
name     = "Vote"
on       = 2025-06-01
outcomes = [ { name = "passes", chance = 0.25 }, { name = "fails", chance = 0.75 } ]

[[event]]
name     = "Court"
on       = 2025-09-01
given    = "passes"

[[event.outcomes]]
name     = "upheld"
chance   = 1.0

[[event.outcomes.policy]]
name     = "The Act"
from     = 2026-01-01
until    = 2030-01-01
scrutiny = 0.5
why      = "test"
"""


def test_what_the_fuzzing_starts_from_is_valid(tmp_path: Path, study: Study) -> None:
    assert len(load_scenario(written(tmp_path, VALID), study).branches()) == 2


def load_or_refuse(path: Path, study: Study) -> None:
    try:
        load_scenario(path, study).branches()
    except InputError as error:
        assert len(str(error).splitlines()) == 1, repr(str(error))


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(changes=mutations)
def test_no_slip_of_the_hand_raises_anything_but_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, study: Study, changes: list[tuple[str, float, int, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "slip.toml"
    path.write_bytes(mutated(VALID, changes).encode())
    load_or_refuse(path, study)


VALUES = st.sampled_from(
    [
        "nan", "inf", "-inf", "-1", "0", "1.5", "1e308", "true", "'text'", "''", "[]", "{}", "[[]]", "[{}]",
        "2025-01-20", "1999-01-01", "9999-12-31", "07:00:00", "2025-01-20T00:00:00Z", "[1]", "['china']",
        "['china', 'china']", "[2026, 2028]", "[2028, 2026]", "[0, 0]", "[nan, 1]", "{ a = 1 }",
        "99999999999999999999", "'passes'", "'baseline'", "'../x'", "[true, false]", "'\\u0000'", '"\\u2028"',
    ]
)  # fmt: skip


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(line=st.integers(0, VALID.count("\n")), value=VALUES)
def test_no_wrong_value_raises_anything_but_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, study: Study, line: int, value: str
) -> None:
    lines = VALID.split("\n")
    key, equals, _ = lines[line].partition("=")
    lines[line] = f"{key}= {value}" if equals else lines[line]
    path = tmp_path_factory.getbasetemp() / "value.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    load_or_refuse(path, study)


@settings(max_examples=100)
@given(content=st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_but_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, study: Study, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(content)
    load_or_refuse(path, study)
