"""A results folder that was touched is told from one that was not, and a run can be made again from its manifest."""

import json
import random

import pytest

import bdsim
from bdsim.cli.main import app
from bdsim.errors import ResultsError
from bdsim.runs.verify import job_of, reproduced, verified

pytestmark = pytest.mark.one_python

SMALL = {"members": 9, "researchers_per_agent": 400, "horizon": 2026}


@pytest.fixture
def folder(fresh_study, monkeypatch):
    monkeypatch.chdir(fresh_study.root)
    target = fresh_study.results / "run"
    bdsim.run(bdsim.load_scenario("protect-act"), folder=target, parameters={"push": 0.5}, **SMALL)
    return target


def test_what_was_not_touched_is_as_it_was_written(folder):
    assert verified(folder) == []


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_anywhere_is_named(folder, seed):
    rng = random.Random(seed)
    path = rng.choice(sorted(p for p in folder.iterdir() if p.name != "manifest.json"))
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    (problem,) = verified(folder)
    assert problem.startswith(path.name) and "has changed since it was written" in problem


def test_a_missing_table_and_a_cut_one_are_named(folder, capsys):
    (folder / "stocks.parquet").unlink()
    (folder / "summary.csv").write_bytes((folder / "summary.csv").read_bytes()[:-1])
    with pytest.raises(SystemExit) as caught:
        app(["verify", str(folder)], standalone_mode=False)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert "stocks.parquet is missing" in said
    assert "summary.csv has changed since it was written" in said


def test_a_run_is_made_again_from_its_manifest_alone(folder, fresh_study, capsys):
    for path in fresh_study.scenarios.iterdir():
        path.unlink()
    assert reproduced(folder, fresh_study).same
    app(["reproduce", str(folder)], standalone_mode=False)
    assert "the same, to the byte" in capsys.readouterr().out


def test_what_is_not_as_it_was_is_said(folder, fresh_study):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["versions"]["numpy"] = "1.0"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rates = fresh_study.evidence / "retention.csv"
    lines = rates.read_text().splitlines()[:-1]
    rates.write_text("\n".join(lines) + "\n")
    dates = fresh_study.evidence / "policy_events.csv"
    dates.write_text(dates.read_text() + "\n")
    found = reproduced(folder, fresh_study)
    assert found.same  # retention is a target, nothing that a run stands on
    assert not any("policy_events" in line for line in found.changed)  # it reads the same
    assert any(line.startswith("numpy was 1.0, is ") for line in found.changed)
    assert "calibration/evidence/retention.csv has changed" in found.changed


def test_a_manifest_comes_to_the_fingerprint_that_it_states(folder, fresh_study):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert job_of(manifest, fresh_study).fingerprint == manifest["fingerprint"]


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"format": 99}'])
def test_what_is_no_results_folder_is_said_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ResultsError):
        verified(tmp_path)


def test_tables_of_two_runs_are_not_mixed_unseen(folder, fresh_study):
    """Every table says to which run it belongs, and the manifest which run that is."""
    other = fresh_study.results / "other"
    bdsim.run(bdsim.load_scenario("protect-act"), folder=other, parameters={"push": 0.6}, **SMALL)
    for path in sorted(folder.glob("*.parquet")):
        kept = path.read_bytes()
        path.write_bytes((other / path.name).read_bytes())
        with pytest.raises(ResultsError, match=rf"{path.name} belongs to another run"):
            bdsim.load_results(folder)
        path.write_bytes(kept)
    (folder / "manifest.json").write_bytes((other / "manifest.json").read_bytes())
    with pytest.raises(ResultsError, match="belongs to another run"):
        bdsim.load_results(folder)


@pytest.mark.parametrize("name", ["../climbs/out", "a\u0007b", "/root", "a\nb"])
def test_a_manifest_cannot_name_a_folder_elsewhere(folder, name):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["scenario"]["name"] = name
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ResultsError, match=r"manifest\.json"):
        bdsim.load_results(folder)


def test_what_was_added_taken_away_or_cut_off_is_named(folder):
    (folder / "stray.txt").write_text("")
    assert verified(folder) == ["stray.txt is not in SHA256SUMS"]
    (folder / "stray.txt").unlink()
    seal = folder / "SHA256SUMS"
    whole = seal.read_bytes()
    seal.write_bytes(whole + b"junk")
    assert any("SHA256SUMS" in line for line in verified(folder))
    seal.write_bytes(whole)
    (folder / "figures").mkdir()
    assert verified(folder) == ["figures/SHA256SUMS: this file is missing"]


def test_a_pipe_where_a_record_belongs_is_refused_without_waiting(folder):
    import os

    (folder / "SHA256SUMS").unlink()
    os.mkfifo(folder / "SHA256SUMS")
    assert "SHA256SUMS: is not a file" in verified(folder)
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(ResultsError):
        verified(folder)
