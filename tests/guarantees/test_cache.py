"""An edit to the rule is never answered by machine code of the old rule."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import bdsim
from bdsim.model.engine import compiling
from bdsim.model.engine.batch import MemberInputs, is_compiled, simulated
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
    monkeypatch.setattr(compiling, "cache_folder", lambda: tmp_path)
    job = plan_run(bdsim.load_scenario("baseline"), Settings(9, 0, 1000, "compiled", 2012))
    world = job.world(job.plans[0])
    own = MemberInputs(world.behaviour, world.agent_size, 0)
    assert not is_compiled() and not is_compiled(sampled=False)
    one = simulated(world.population, world.environment, [own])
    assert is_compiled() and not is_compiled(sampled=False)
    nine = simulated(world.population, world.environment, [own] * 9)
    assert len(one) == 1 and len(nine) == 9
