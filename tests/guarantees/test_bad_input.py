"""Whatever stands in the files of a study: an answer or one line, within a second, and nothing written."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bdsim.calibration.target_file import load_targets
from bdsim.cli.main import app
from bdsim.errors import InputError
from bdsim.runs.results import load_results
from bdsim.runs.store.manifest import read_manifest
from bdsim.study.evidence import load_evidence
from bdsim.study.fit import load_fit
from bdsim.study.history import rebuild_history
from bdsim.study.layout import Study, create_study
from bdsim.study.parameters import load_parameters
from bdsim.study.scenario import load_scenario
from slips import mutated, mutations

pytestmark = pytest.mark.one_python

SECOND = 5.0  # far below what a reader takes whose work grows with the square of such a file, on a slow machine too
PATIENT = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def load_everything(study: Study) -> None:
    """Parameters, facts, targets, the fit and a scenario: what a command reads before it does anything."""
    known = load_parameters(study.parameters)
    facts = load_evidence(study)
    rebuild_history(facts, 2035, known["past_growth"])
    load_targets(study.targets, facts, known)
    fit = load_fit(study, "default", known)
    fit.centre(known)
    known.with_values(fit.member(1))
    load_scenario("baseline", study).branches()


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A study whose files are spoilt and mended again."""
    return create_study(tmp_path_factory.mktemp("spoilt") / "study")


FILES = {
    "parameters": "calibration/parameters.toml",
    "targets": "calibration/targets.toml",
    "sources": "calibration/sources.toml",
    "doctorates": "calibration/evidence/doctorates.csv",
    "spending": "calibration/evidence/rd_expenditure.csv",
    "fit": "calibration/fitted/default/manifest.json",
    "fitted values": "calibration/fitted/default/parameters.csv",
    "scenario": "scenarios/baseline.toml",
}


def assert_one_line_or_fine(study: Study, path: Path, content: bytes) -> str:
    """Load the study with `content` in one of its files: the error in words, or '' without one."""
    before = path.read_bytes()
    path.write_bytes(content)
    started = time.process_time()
    try:
        load_everything(study)
        said = ""
    except InputError as error:
        said = str(error)
        assert len(said.splitlines()) == 1, repr(said)
    finally:
        path.write_bytes(before)
    assert time.process_time() - started < SECOND
    return said


@pytest.mark.parametrize("name", FILES)
@PATIENT
@given(changes=mutations)
def test_no_slip_of_the_hand_raises_anything_but_an_input_error(spoilt, name, changes):
    path = spoilt.root / FILES[name]
    text = path.read_text(encoding="utf-8")
    assert_one_line_or_fine(spoilt, path, mutated(text, changes).encode("utf-8", "surrogatepass"))


VALUES = st.sampled_from(
    [
        "nan", "inf", "-inf", "-1", "0", "1e308", "1e-308", "true", "'text'", "[]", "{}", "[[]]", "2025-01-20",
        "99999999999999999999", "null", "NaN", "-Infinity", '"x"', "1e400", "{ a = 1 }", "[1, 2, 3]", "",
    ]
)  # fmt: skip


@pytest.mark.parametrize("name", ["parameters", "targets", "fit"])
@PATIENT
@given(line=st.integers(0, 400), value=VALUES)
def test_no_wrong_value_raises_anything_but_an_input_error(spoilt, name, line, value):
    path = spoilt.root / FILES[name]
    sign = ": " if path.suffix == ".json" else "= "
    lines = path.read_text(encoding="utf-8").split("\n")
    line %= len(lines)
    key, found, _ = lines[line].partition(sign)
    lines[line] = f"{key}{sign}{value}{',' if path.suffix == '.json' else ''}" if found else lines[line]
    assert_one_line_or_fine(spoilt, path, "\n".join(lines).encode())


@pytest.mark.parametrize("name", FILES)
@settings(PATIENT, max_examples=20)
@given(content=st.binary(max_size=300))
def test_no_bytes_at_all_raise_anything_but_an_input_error(spoilt, name, content):
    assert_one_line_or_fine(spoilt, spoilt.root / FILES[name], content)


ODD = {
    "10 MB": b"#" * 10_000_000,
    "10 MB of keys": b"a = 1\n" * 1_700_000,
    "240 kB of tables": b"".join(b"[a%d]\n" % i for i in range(28_000)),
    "240 kB of keys": b"".join(b"a%d=1\n" % i for i in range(28_000)),
    "a key of 100,000 parts": b".".join([b"a"] * 100_000) + b" = 1\n",
    "a table of 100,000 parts": b"[" + b".".join([b"a"] * 100_000) + b"]\n",
    "100,000 brackets": b"x = " + b"[" * 100_000,
    "10,000 policies": b'title = "a"\nquestion = "b"\n' + b'[[policy]]\nname = "x"\n' * 10_000,
    "UTF-16": 'title = "a"\n'.encode("utf-16"),
    "UTF-32": 'title = "a"\n'.encode("utf-32"),
    "Latin-1": 'title = "naïve"\n'.encode("latin-1"),
    "a NUL": b'title = "a\0b"\n',
    "only a mark": b"\xef\xbb\xbf",
    "nothing": b"",
    "blanks": b" \t\r\n" * 100,
    "JSON": json.dumps({"title": "a"}).encode(),
    "an archive": b"PK\x03\x04" + bytes(range(256)),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ODD)
def test_files_of_another_kind_are_refused(spoilt, name, kind):
    said = assert_one_line_or_fine(spoilt, spoilt.root / FILES[name], ODD[kind])
    assert Path(FILES[name]).name in said or "fitted/default" in said


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_windows_line_ends_and_a_byte_order_mark_change_nothing(spoilt, name, mark):
    path = spoilt.root / FILES[name]
    assert assert_one_line_or_fine(spoilt, path, mark + path.read_bytes().replace(b"\n", b"\r\n")) == ""


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["missing", "a folder", "a pipe", "a link to itself", "a link to nothing"])
def test_what_is_no_file_is_refused_without_waiting(fresh_study, name, kind):
    path = fresh_study.root / FILES[name]
    path.unlink()
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link to itself":
        path.symlink_to(path.name)
    elif kind == "a link to nothing":
        path.symlink_to("nothing")
    started = time.perf_counter()
    with pytest.raises(InputError) as caught:
        load_everything(fresh_study)
    assert len(str(caught.value).splitlines()) == 1
    assert time.perf_counter() - started < SECOND


def test_a_link_to_a_file_elsewhere_is_read(fresh_study, tmp_path):
    """Studies may share files; a link is the owner's choice, while `extends` cannot leave the folder."""
    kept = tmp_path / "kept.toml"
    kept.write_bytes(fresh_study.parameters.read_bytes())
    fresh_study.parameters.unlink()
    fresh_study.parameters.symlink_to(kept)
    load_everything(fresh_study)


COMMANDS = {
    "parameters": ["run", "baseline", "-m", "1", "-k", "1000"],
    "sources": ["compare", "baseline", "no-initiative", "-m", "1", "-k", "1000"],
    "doctorates": ["report", "baseline", "no-initiative", "-m", "1", "-k", "1000"],
    "targets": ["calibrate", "--name", "mine", "--starts", "1"],
    "fit": ["breakeven", "--lever", "us_funding", "--target", "departures:2035<=2500"],
    "scenario": ["check"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_broken_file_ends_a_command_with_code_2_and_nothing_written(here, capsys, name):
    (here / FILES[name]).write_text("x = [1,\n")
    before = sorted(map(str, here.rglob("*")))
    try:
        app(COMMANDS[name], standalone_mode=False)
    except InputError as error:
        said = str(error)
    except SystemExit as ended:  # `check` says every mistake, then leaves
        assert ended.code == 2
        said = capsys.readouterr().err.splitlines()[0]
    assert len(said.splitlines()) == 1
    assert Path(FILES[name]).name in said or "fitted/default" in said
    assert sorted(map(str, here.rglob("*"))) == before


def test_circular_extends_is_refused(here):
    for one, other in (("a", "b"), ("b", "a"), ("c", "c")):
        (here / "scenarios" / f"{one}.toml").write_text(f'title = "x"\nquestion = "y"\nextends = "{other}"\n')
    for name in ("a", "b"):
        with pytest.raises(InputError, match="extends goes one level"):
            load_scenario(name)
    with pytest.raises(InputError, match="cannot extend itself"):
        load_scenario("c")


def test_overlapping_policies_add_up_and_that_is_said(here, capsys):
    policy = '[[policy]]\nname = "{}"\nfrom = {}\nuntil = {}\nscrutiny = 0.5\nwhy = "test"\n'
    (here / "scenarios" / "two.toml").write_text(
        'title = "x"\nquestion = "y"\nextends = "baseline"\n'
        + policy.format("One", "2027-01-01", "2029-01-01")
        + policy.format("Other", "2028-01-01", "2030-01-01")
        + policy.format("Late", "2050-01-01", "2051-01-01")
    )
    app(["check", "two"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "'One' and 'Other' overlap from 2028-01-01 to 2029-01-01: they add up to scrutiny 1 of china" in said
    assert "policy 'Late' begins in 2050, after the horizon 2035: it changes nothing" in said
    app(["diff", "baseline", "two", "--json"], standalone_mode=False)
    values = {row["years"]: row["to"] for row in json.loads(capsys.readouterr().out)["values"]}
    assert values == {"2027": "0.5", "2028": "1", "2029": "0.5"}
    app(["run", "two", "-m", "1", "-k", "1000"], standalone_mode=False)
    assert "they add up to scrutiny 1" in capsys.readouterr().err


# --- results folders ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    import bdsim

    folder = tmp_path_factory.mktemp("run") / "run"
    bdsim.run(bdsim.load_scenario("baseline"), 2, 0, 2000, horizon=2012, folder=folder)
    return folder


@settings(PATIENT, max_examples=60)
@given(changes=mutations)
def test_no_manifest_raises_anything_but_an_input_error(run_folder, changes):
    path = run_folder / "manifest.json"
    before = path.read_bytes()
    path.write_bytes(mutated(before.decode(), changes).encode("utf-8", "surrogatepass"))
    try:
        load_results(run_folder).summary()
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    "key", ["scenario", "branches", "parameters", "rebuilt", "versions", "horizon", "members", "fit"]
)
@pytest.mark.parametrize("value", [None, 0, -1, "x", [], {}, 1e9])
def test_a_manifest_with_a_key_of_another_kind_is_refused(run_folder, tmp_path, key, value):
    manifest = json.loads((run_folder / "manifest.json").read_text())
    if key == "fit" and value is None:
        pytest.skip("a run without a fit is one")
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, key: value}))
    if (key, value) in (("members", 0), ("members", -1), ("rebuilt", {}), ("versions", {})):
        return  # of the right kind; the tables tell
    with pytest.raises(InputError, match=rf"manifest\.json: {key}"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("odd", ["\\ud800", "\\u001b[2J", "\\u202e"])
def test_what_no_terminal_should_show_is_refused_in_every_file(run_folder, fresh_study, tmp_path, odd):
    """Half a character, which JSON can hold, raises where it is shown; others move the cursor or turn the text."""
    text = (run_folder / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text.replace('"title": "', f'"title": "{odd}'))
    with pytest.raises(InputError, match="must not contain the character"):
        read_manifest(tmp_path)
    for name, start in (("fit", '"statement": "'), ("parameters", '= "'), ("sources", '= "')):
        path = fresh_study.root / FILES[name]
        said = assert_one_line_or_fine(fresh_study, path, path.read_text().replace(start, start + odd, 1).encode())
        assert "must not contain the character" in said or "it is not TOML" in said, name


def test_a_table_that_moves_the_cursor_is_refused_with_its_line(fresh_study):
    path = fresh_study.evidence / "policy_events.csv"
    lines = path.read_text().split("\n")
    lines[2] += "\x1b[2J"
    said = assert_one_line_or_fine(fresh_study, path, "\n".join(lines).encode())
    assert said.endswith("policy_events.csv: line 3: must not contain the character \\x1b")
