"""A run is known by everything that determines its numbers, and by nothing else; so is machine code, and so is a fit.

Nothing is simulated here: fingerprints alone are compared.
"""

from __future__ import annotations

import ast
import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bdsim
from bdsim.calibration.problem import make_problem
from bdsim.errors import UsageError
from bdsim.files.digest import digest_of
from bdsim.model import machine_code
from bdsim.runs import identity
from bdsim.runs.plan import Settings, plan_run
from bdsim.study.evidence import load_evidence
from bdsim.study.fit import load_fit
from bdsim.study.parameters import WHOLE, load_parameters

pytestmark = pytest.mark.one_python

SMALL = Settings(2, 0, 1000, "compiled", 2026)
PACKAGE = Path(bdsim.__file__).parent
CODE = [path.relative_to(PACKAGE) for path in identity.sources_of("model", "study", "runs")]


def fingerprint(study, scenario="protect-act", settings=SMALL, held=None, fit=None):
    return plan_run(bdsim.load_scenario(scenario, study), settings, held, fit).fingerprint


def edited(path, old, new):
    """The first match of the pattern `old` replaced."""
    text, found = re.subn(old, new, path.read_text(), count=1, flags=re.M)
    assert found, (path, old)
    path.write_text(text)


def in_other_words(path):
    """Another title, question and reasons."""
    text = path.read_text()
    for pattern, words in ((r"^(title *= )", "Another"), (r"^(question *= )", "Another?"), (r"(\bwhy *= )", "Because")):
        text, found = re.subn(pattern + r'"[^"\n]*"', rf'\1"{words}"', text, flags=re.M)
        assert found, pattern
    path.write_text("# a remark\n" + text)


@pytest.fixture
def fitted(fresh_study):
    """A study with a small fit that says from what it was made."""
    folder = fresh_study.fitted / "default"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    entries = load_parameters(fresh_study.parameters).entries
    names = [name for name, entry in entries.items() if entry.prior is not None][:3]
    centre = [entries[name].value for name in names]
    rows = [[value + step * 1e-4 for value in centre] for step in range(-3, 4)]
    (folder / "draws.csv").write_text("\n".join(",".join(map(str, row)) for row in (names, *rows)) + "\n")
    modes = "".join(f"{name},{value!r}\n" for name, value in zip(names, centre, strict=True))
    (folder / "parameters.csv").write_text("parameter,mode\n" + modes)
    held = {name: entry.value for name, entry in entries.items() if entry.prior is not None and name not in names}
    manifest = {
        "held": held, "statement": "a test's", "fingerprint": "0", "cost": 0.0, "identifiability": [], "warnings": [],
        "basis": identity.basis_of(fresh_study).model_dump(),
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return fresh_study


# The program


def hashes():
    """Of the program and of machine code, taken anew."""
    return identity.program_hash.__wrapped__(), machine_code.source_hash.__wrapped__()


def constants(text):
    """Every number that a module's own lines give a name."""
    for node in ast.parse(text).body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Constant) and type(value.value) in (int, float):
            yield value


def test_every_constant_is_in_the_hash_of_the_program_and_those_of_the_model_in_the_key_of_machine_code(
    tmp_path, monkeypatch
):
    copy = tmp_path / "bdsim"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "PACKAGE", copy)
    monkeypatch.setattr(machine_code, "MODEL", copy / "model")
    program, machine = hashes()
    found = 0
    for path in CODE:
        text = (copy / path).read_text()
        for value in constants(text):
            lines = text.splitlines(keepends=True)
            line = lines[value.lineno - 1]
            lines[value.lineno - 1] = f"{line[: value.col_offset]}{value.value + 1}{line[value.end_col_offset :]}"
            (copy / path).write_text("".join(lines))
            now = hashes()
            assert now[0] != program, (path, line)
            assert path.parts[0] != "model" or now[1] != machine, (path, line)
            found += 1
        (copy / path).write_text(text)
    assert found > 50
    monkeypatch.undo()
    assert hashes() == (program, machine)  # where the files are does not count


@pytest.mark.parametrize("package", identity.NUMERIC)
def test_another_version_of_a_package_that_numbers_pass_is_another_run(study, monkeypatch, package):
    before, version = fingerprint(study), identity._version
    monkeypatch.setattr(identity, "_version", lambda name: "0.0" if name == package else version(name))
    assert fingerprint(study) != before


# The run


@pytest.mark.parametrize(
    "change", [{"members": 3}, {"seed": 1}, {"researchers_per_agent": 999}, {"engine": "mesa"}, {"horizon": 2027}]
)
def test_every_setting_is_part_of_a_run(study, change):
    assert fingerprint(study, settings=replace(SMALL, **change)) != fingerprint(study)


def test_settings_are_all_in_the_table_above():
    assert {*Settings.__dataclass_fields__} == {"members", "seed", "researchers_per_agent", "engine", "horizon"}


def test_a_value_held_at_the_mode_is_another_run(fitted):
    """The centre is the same, and the members are not."""
    known = load_parameters(fitted.parameters)
    modes = load_fit(fitted, "default", known).centre(known).values
    seen = {fingerprint(fitted)}
    for name, value in modes.items():
        seen.add(fingerprint(fitted, held={name: value}))
    assert len(seen) == 1 + len(modes)


def test_every_parameter_without_a_fit_is_part_of_a_run(study):
    seen = [fingerprint(study, fit="none")]
    for name, entry in load_parameters(study.parameters).entries.items():
        low, high = entry.bounds
        step = 1.0 if name in WHOLE else 1e-9
        value = entry.value + step * (1 if entry.value + step <= high else -1)
        parameters = load_parameters(study.parameters).with_values({name: value}).described("", "")
        seen.append(plan_run(bdsim.load_scenario("protect-act", study), SMALL, parameters).fingerprint)
        assert low <= value <= high
    assert len(set(seen)) == len(seen)


def test_every_draw_of_the_fit_and_every_value_it_holds_is_part_of_a_run(fitted):
    before = fingerprint(fitted)
    path = fitted.fitted / "default" / "draws.csv"
    text = path.read_text()
    lines = text.splitlines()
    path.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")  # who draws what
    assert fingerprint(fitted) != before
    for column in range(lines[0].count(",") + 1):
        cells = lines[5].split(",")
        cells[column] = repr(float(np.nextafter(float(cells[column]), 0.0)))
        path.write_text("\n".join([*lines[:5], ",".join(cells), *lines[6:]]) + "\n")
        assert fingerprint(fitted) != before, lines[0].split(",")[column]
    path.write_text(text)
    assert fingerprint(fitted) == before
    manifest = fitted.fitted / "default" / "manifest.json"
    content = json.loads(manifest.read_text())
    for name, value in content["held"].items():
        manifest.write_text(json.dumps({**content, "held": {**content["held"], name: value * (1 + 1e-9)}}))
        assert value == 0.0 or fingerprint(fitted) != before, name


SCENARIO = """
title = "A"
question = "Q?"
extends = "baseline"

[[policy]]
name = "P"
start = 2025-03-01
until = 2026-07-01
targets = ["china"]
scrutiny = 0.5
why = "W"

[[lever]]
name = "L"
table = "us_funding"
years = [2025, 2026]
multiply = 0.9
why = "W"

[[event]]
name = "E"
on = 2025-01-01
why = "W"

[[event.outcomes]]
name = "yes"
chance = 0.25
lever = [ { table = "soft_power", years = [2026, 2026], set = 0.8, why = "W" } ]

[[event.outcomes]]
name = "no"
chance = 0.75
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2025-03-01", "2025-03-02"), ("2026-07-01", "2026-07-02"), ('["china"]', '["china", "india"]'),
        ("scrutiny = 0.5", "scrutiny = 0.5001"), ("[2025, 2026]", "[2026, 2026]"),
        ("multiply = 0.9", "multiply = 0.9001"), ("us_funding", "soft_power"), ("multiply = 0.9", "set = 0.91"),
        ("chance = 0.25", "chance = 0.2"), ("set = 0.8", "set = 0.801"),
        ("[2026, 2026]", "[2025, 2026]"), ('name = "yes"', 'name = "certainly"'),
    ],
)  # fmt: skip
def test_every_value_of_a_scenario_is_part_of_a_run(fresh_study, old, new):
    """The names of outcomes too, since tables call their rows by them."""
    path = fresh_study.scenarios / "s.toml"
    seen = set()
    for text in (SCENARIO, SCENARIO.replace(old, new).replace("0.75", "0.8" if "= 0.2" in new else "0.75")):
        path.write_text(text)
        seen.add(fingerprint(fresh_study, "s"))
    assert len(seen) == 2


def test_words_are_no_part_of_a_run(fresh_study):
    """Titles, questions, reasons, remarks and the order of facts: numbers that are there are used."""
    before = fingerprint(fresh_study)
    in_other_words(fresh_study.scenarios / "protect-act.toml")
    edited(fresh_study.parameters, "\n", "\n# a remark\n")
    edited(fresh_study.sources, r"^\[", "# a remark\n[")
    (fresh_study.evidence / "my_notes.txt").write_text("read this\n")
    for facts in fresh_study.evidence.glob("*.csv"):
        header, *lines = facts.read_text().splitlines()
        facts.write_text("\n".join([header, *reversed(lines)]) + "\n\n")
    assert fingerprint(fresh_study) == before


def test_every_fact_that_history_is_rebuilt_from_is_part_of_a_run(fresh_study):
    evidence = load_evidence(fresh_study)
    read = identity._files_of_history(evidence, load_parameters(fresh_study.parameters))
    assert {"doctorates", "rd_expenditure"} <= read < {*evidence.facts}
    before, unused = fingerprint(fresh_study), 0
    for name in sorted(read):
        path = fresh_study.evidence / f"{name}.csv"
        text = path.read_text()
        rows = list(csv.reader(text.splitlines()))
        for column, cell in enumerate(rows[-1]):
            if re.fullmatch(r"[0-9.]+", cell) and rows[0][column] != "year":
                changed = [*rows[:-1], [*rows[-1][:column], f"{float(cell) * 1.01:.6g}", *rows[-1][column + 1 :]]]
                path.write_text("\n".join(",".join(row) for row in changed) + "\n")
                try:
                    unused += fingerprint(fresh_study) == before
                except bdsim.BdsimError:  # another kind of number, or no longer one total
                    continue
                finally:
                    path.write_text(text)
    assert unused == 0


# The fit


def remark(study):
    return plan_run(bdsim.load_scenario("baseline", study), SMALL).fit_remark


def test_a_fit_that_was_made_from_what_is_in_use_is_not_remarked_upon(fitted):
    assert remark(fitted) == ""
    for path in (fitted.parameters, fitted.targets, fitted.sources):
        path.write_text("# a remark\n" + path.read_text())
    edited(fitted.targets, r'why *= "', 'why = "To say it otherwise: ')
    assert remark(fitted) == ""


def test_a_fit_that_was_made_from_other_things_is(fitted):
    edited(fitted.targets, r"log = 0\.", "log = 0.9")
    assert re.match(r"the fit 'default' was made before calibration/targets\.toml changed; .*bdsim cal", remark(fitted))
    path = fitted.evidence / "retention.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    assert "before retention.csv, calibration/targets.toml changed" in remark(fitted)


def test_a_value_of_parameters_toml_that_the_fit_overrules_is_told_of(fitted):
    edited(fitted.parameters, r"^(push *= .*value = |\[.*push\]\n(?:(?!\[).*\n)*?value *= )([\d.]+)", r"\g<1>\g<2>1")
    assert "push in parameters.toml changed" in remark(fitted)


def test_a_program_that_was_edited_is_told_of_and_a_comment_in_it_is_not(fitted, tmp_path, monkeypatch):
    copy = tmp_path / "bdsim"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "PACKAGE", copy)
    for name in ("_fit_sources", "_code", "program_hash"):
        monkeypatch.setattr(identity, name, getattr(identity, name).__wrapped__)
    rule = copy / "model" / "rule.py"
    rule.write_text(rule.read_text() + "\n# a remark\n")
    assert remark(fitted) == ""
    rule.write_text(rule.read_text() + "\nMORE = 1\n")
    assert "before the program changed" in remark(fitted)


def test_a_problem_is_known_by_what_is_fitted_to_what(fresh_study):
    def known(**options):
        return make_problem(fresh_study, researchers_per_agent=200, **options).fingerprint()

    before = known()
    assert known(free=["push"]) != before
    assert known(fix={"push": 0.5}) != before
    assert known(until=2015) != before
    edited(fresh_study.targets, r'why *= "', 'why = "To say it otherwise: ')
    assert known() == before
    edited(fresh_study.targets, r"log = 0\.", "log = 0.9")
    assert known() != before


# What is read back, resumed or paired is asked what it is


def test_a_folder_of_another_run_is_refused_and_left_alone(study, tmp_path):
    baseline, revival = (bdsim.load_scenario(name, study) for name in ("baseline", "initiative-revival"))
    few = {"researchers_per_agent": 2000, "horizon": 2026, "folder": tmp_path / "x"}
    bdsim.run(baseline, members=2, **few)
    with pytest.raises(bdsim.BdsimError, match=r"holds another run \('baseline', 2 members, seed 0"):
        bdsim.run(revival, members=2, **few)
    with pytest.raises(bdsim.BdsimError, match="holds another run"):
        bdsim.run(baseline, members=2, seed=1, **few)
    assert bdsim.run(baseline, members=2, **few).name == "baseline"
    (tmp_path / "notes").mkdir()
    with pytest.raises(bdsim.BdsimError, match="is not a results folder"):
        bdsim.run(baseline, members=2, **{**few, "folder": tmp_path / "notes"})


def test_an_unfinished_run_of_another_scenario_is_not_gone_on_with(study, tmp_path):
    def stop(done, _total):
        if done:
            raise KeyboardInterrupt

    baseline, revival = (bdsim.load_scenario(name, study) for name in ("baseline", "initiative-revival"))
    few = {"members": 24, "researchers_per_agent": 2000, "horizon": 2026}
    with pytest.raises(KeyboardInterrupt):
        bdsim.run(baseline, folder=tmp_path / "x", progress=stop, **few)
    assert list(tmp_path.glob(".x.unfinished/*/parts/*.part"))
    kept = bdsim.run(revival, folder=tmp_path / "x", **few)
    assert kept.departures.equals(bdsim.run(revival, **few).departures)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_words_are_today_s_where_numbers_are_read_back(fresh_study):
    few = {"members": 2, "researchers_per_agent": 2000, "horizon": 2026, "folder": fresh_study.results / "x"}
    bdsim.run(bdsim.load_scenario("initiative-revival", fresh_study), **few)
    in_other_words(fresh_study.scenarios / "initiative-revival.toml")
    found = bdsim.run(bdsim.load_scenario("initiative-revival", fresh_study), **few)
    assert found.title == "Another"
    assert "Because" in json.dumps(found.manifest["scenario"])


def test_runs_are_paired_by_what_their_members_were_given(fitted):
    few = {"members": 2, "researchers_per_agent": 2000, "horizon": 2026}
    baseline, revival = (bdsim.load_scenario(name, fitted) for name in ("baseline", "initiative-revival"))
    reference = bdsim.run(baseline, **few)
    known = load_parameters(fitted.parameters)
    fit = load_fit(fitted, "default", known)
    name = str(next(iter(fit.draws)))
    with pytest.raises(UsageError, match=rf"differ in {name}: .* held; run both with the same --set"):
        bdsim.compare(reference, bdsim.run(revival, parameters={name: fit.centre(known)[name]}, **few))
    with pytest.raises(UsageError, match=r"differ in seed, 0 against 1; run both with the same"):
        bdsim.compare(reference, bdsim.run(revival, seed=1, **few))
    edited(fitted.sources, r"^\[", "# a remark\n[")
    (fitted.evidence / "my_notes.txt").write_text("read this\n")
    bdsim.compare(reference, bdsim.run(revival, **few))
    draws = fitted.fitted / "default" / "draws.csv"
    header, *rows = draws.read_text().splitlines()
    draws.write_text("\n".join([header, *reversed(rows)]) + "\n")
    with pytest.raises(UsageError, match=r"draw from two states of the fit 'default'; run 'baseline' again"):
        bdsim.compare(reference, bdsim.run(revival, **few))
    spending = fitted.evidence / "rd_expenditure.csv"
    *lines, last = spending.read_text().splitlines()
    spending.write_text("\n".join([*lines, last.replace(last.split(",")[1], "1.5")]) + "\n")
    with pytest.raises(UsageError, match=r"rest on different facts; run 'baseline' again"):
        bdsim.compare(reference, bdsim.run(revival, **few))


# The digest itself


def test_a_digest_is_of_values():
    assert digest_of({"a": 1.0, "b": 2.0}) == digest_of({"b": 2.0, "a": 1.0})
    assert digest_of(np.float64(0.1)) == digest_of(0.1)
    different = [("ab", "c"), ("a", "bc"), (1, 2), (1.0, 2), ("1", 2), ([1], 2), (None, 2), (np.zeros(2), 2)]
    assert len({digest_of(*values) for values in different}) == len(different)
    with pytest.raises(TypeError):
        digest_of(lambda: 0)
