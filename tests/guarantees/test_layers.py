"""Imports go one way: the contract in pyproject.toml holds, and it would notice an import that goes up."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bdsim

pytestmark = pytest.mark.one_python
CONTRACT = Path(__file__).parents[2] / "pyproject.toml"
UPWARD = {
    "model/maths.py": "from bdsim.study import layout",
    "study/layout.py": "from bdsim.runs import plan",
    "runs/plan.py": "from bdsim.analysis import quantity",
    "analysis/quantity.py": "from bdsim.reporting import style",
    "reporting/style.py": "from bdsim.cli import main",
    "model/draws.py": "import pandas",
}


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    """The contract, checked on the package in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources and the contract in a folder of their own."""
    pytest.importorskip("importlinter")
    folder = tmp_path_factory.mktemp("layers")
    shutil.copytree(Path(bdsim.__file__).parent, folder / "bdsim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CONTRACT, folder)
    return folder


def test_the_contract_has_at_most_ten_rows() -> None:
    contracts = tomllib.loads(CONTRACT.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c["type"] == "layers")
    assert len(layers) <= 10


def test_the_contract_holds(copy: Path) -> None:
    done = linted(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", UPWARD)
def test_an_import_that_goes_up_is_noticed(copy: Path, module: str) -> None:
    path = copy / "bdsim" / module
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(f"{text}\n{UPWARD[module]}\n", encoding="utf-8")
        done = linted(copy)
    finally:
        path.write_text(text, encoding="utf-8")
    assert done.returncode == 1 and "not allowed to import" in done.stdout, done.stdout


def test_the_house_has_rooms() -> None:
    """At the root a few files and nine folders; no folder is a corridor, no file a drawer."""
    root = Path(bdsim.__file__).parent
    assert {p.name for p in root.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}
    folders = [p for p in root.rglob("*") if p.is_dir() and p.name != "__pycache__"]
    assert len([p for p in folders if p.parent == root]) == 9
    assert {p for p in folders if len(list(p.glob("*.py"))) > 12} == set()
    assert {p.name: n for p in root.rglob("*.py") if (n := p.read_text("utf-8").count("\n")) > 400} == {}
