"""An edit to the rule is never answered by machine code of the old rule."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import bdsim
from bdsim.model import machine_code
from bdsim.model.engine import batch
from bdsim.model.engine.batch import MemberInputs, simulated
from bdsim.model.machine_code import is_compiled
from bdsim.runs.plan import Settings, plan_run

SCRIPT = """
import bdsim
r = bdsim.run(bdsim.load_scenario(SCENARIO), members=1, researchers_per_agent=500, horizon=2022)
print(int((r.fates() > 0).sum()))
"""


def leavers(folder: Path, cache: Path, scenario: Path) -> int:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("SCENARIO", repr(str(scenario)))],
        capture_output=True, text=True, env=environment, cwd=folder, check=True, timeout=300,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.one_python
def test_an_edit_of_the_rule_changes_the_run(tmp_path, study):
    package = tmp_path / "copy" / "bdsim"
    shutil.copytree(Path(bdsim.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    scenario = study.scenarios / "baseline.toml"
    before = leavers(package.parent, tmp_path / "cache", scenario)
    assert before == leavers(package.parent, tmp_path / "cache", scenario)  # from the cache
    rule = package / "model" / "rule.py"
    text = rule.read_text()
    edited = text.replace("both[1] + w.push", "0.7 + both[1] + w.push")  # twice the rate for elsewhere
    assert edited != text
    stamp = rule.stat()
    rule.write_text(edited)
    os.utime(rule, (stamp.st_atime, stamp.st_mtime))
    after = leavers(package.parent, tmp_path / "cache", scenario)
    assert after > 1.3 * before


def test_a_run_says_that_it_compiles_once_for_each_kind(tmp_path, monkeypatch):
    """Any number of members is compiled alike; what has been compiled is known to the next process."""
    monkeypatch.setattr(machine_code, "cache_folder", lambda: tmp_path)
    job = plan_run(bdsim.load_scenario("baseline"), Settings(9, 0, 1000, "compiled", 2012))
    world = job.world(job.plans[0])
    own = MemberInputs(world.behaviour, world.agent_size, 0)
    assert not is_compiled() and not is_compiled(sampled=False)
    one = simulated(world.population, world.environment, [own])
    assert is_compiled() and not is_compiled(sampled=False)
    nine = simulated(world.population, world.environment, [own] * 9)
    assert len(one) == 1 and len(nine) == 9


@pytest.mark.parametrize("sampled", [True, False])
def test_what_is_compiled_ahead_is_what_a_run_needs(sampled, monkeypatch):
    """The same kinds of arguments: otherwise the engine would be compiled twice, and nobody would know."""
    kinds = []
    monkeypatch.setattr(batch, "live_year", lambda *args: kinds.append([numba.typeof(a) for a in args]))
    batch.compile_year(sampled)
    job = plan_run(bdsim.load_scenario("baseline"), Settings(1, 0, 1000, "compiled", 2012))
    world = job.world(job.plans[0])
    simulated(
        world.population, world.environment, [MemberInputs(world.behaviour, world.agent_size, 0)], sampled=sampled
    )
    assert len(kinds) > 2 and all(kind == kinds[0] for kind in kinds)


def test_who_cannot_compile_ahead_is_not_waited_for(tmp_path, monkeypatch):
    """A process that fails, one that cannot be begun, and a cache that cannot be written stop nobody."""
    monkeypatch.setattr(machine_code, "_at_work", {})
    monkeypatch.setattr(machine_code, "cache_folder", lambda: tmp_path / "new")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    machine_code.compile_ahead(machine_code.SINGLE_WIDTH)
    assert not machine_code.is_ahead(machine_code.SINGLE_WIDTH, sampled=True)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    machine_code.compile_ahead()
    machine_code.await_ahead(sampled=True)
    assert not machine_code.is_ahead(sampled=True)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(machine_code, "cache_folder", lambda: tmp_path / "file" / "new")
    machine_code.compile_ahead(sampled=False)
    assert not machine_code.is_ahead(sampled=False)


def test_compiling_ahead_imports_nothing_that_lies_in_the_folder(tmp_path, monkeypatch):
    """Somebody else's study may hold files of any name; none is taken for a module of ours."""
    for name in ("bdsim", "numba", "numpy"):
        (tmp_path / f"{name}.py").write_text("import pathlib\npathlib.Path('was-imported').touch()\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine_code, "_at_work", {})
    monkeypatch.setattr(machine_code, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))  # with nothing to compile, it would end soon
    machine_code.compile_ahead()
    (process,) = machine_code._at_work.values()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=2.0)  # it would end at once
    at_work = machine_code.is_ahead(sampled=True)
    process.kill()
    process.wait()
    assert at_work and not (tmp_path / "was-imported").exists()
