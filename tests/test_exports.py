"""What `import bdsim` offers, and what it must not cost."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bdsim
from bdsim.study.layout import Study

HEAVY = ("numba", "pandas", "mesa", "matplotlib", "numpy", "scipy", "pydantic", "pyarrow")
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(bdsim.__path__, "bdsim.")
    if not module.ispkg
    and not module.name.startswith(("bdsim.cli.", "bdsim.explore.", "bdsim.reporting.", "bdsim.model.agents"))
    and "\n__all__ = " in Path(bdsim.__path__[0], *module.name.split(".")[1:]).with_suffix(".py").read_text("utf-8")
)


def in_a_fresh_python(code: str) -> str:
    """What the code prints, in an interpreter that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_bdsim_waits_for_no_heavy_package() -> None:
    found = in_a_fresh_python(f"import sys, bdsim; print([name for name in {HEAVY} if name in sys.modules])")
    assert found.strip() == "[]"


def test_loading_a_scenario_needs_no_engine_no_tables_and_no_plots() -> None:
    found = in_a_fresh_python(
        "import sys; from bdsim import load_scenario, BdsimError;"
        "print([n for n in ('numba', 'pandas', 'mesa', 'matplotlib') if n in sys.modules])"
    )
    assert found.strip() == "[]"


def test_every_exported_name_can_be_imported() -> None:
    code = (
        "import json, bdsim\n"
        "from bdsim import *\n"
        "print(json.dumps({name: getattr(bdsim, name).__module__ for name in bdsim.__all__}))"
    )
    homes = json.loads(in_a_fresh_python(code).splitlines()[-1])
    assert homes == {name: f"bdsim.{home}" for name, home in bdsim.HOMES.items()}


def test_all_homes_and_type_hints_list_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(bdsim))
    hinted = {
        alias.name: (node.module or "").removeprefix("bdsim.")
        for block in ast.walk(tree)
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert hinted == bdsim.HOMES
    assert bdsim.__all__ == sorted(bdsim.HOMES)
    assert set(bdsim.HOMES) <= set(dir(bdsim))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'simulate'"):
        bdsim.simulate  # noqa: B018 - looking it up is the test
    assert not hasattr(bdsim, "simulate")


def test_the_version_is_that_of_the_package(study: Study) -> None:
    project = tomllib.loads((study.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert bdsim.__version__ == project["version"]


@pytest.mark.parametrize("name", MODULES)
def test_a_modules_all_can_be_imported(name: str) -> None:
    """The modules on Mesa, matplotlib and the command line are left to tests of their own."""
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    for exported in module.__all__:
        assert hasattr(module, exported), exported


@pytest.mark.parametrize("command", ["report", "export"])
def test_a_file_that_is_there_is_not_replaced_and_a_device_never(here, command):
    import os

    from bdsim.cli.main import app

    words = [command, "baseline", "no-initiative", "-m", "3", "-k", "1000", "--horizon", "2024"]
    (here / "notes.md").write_text("precious")
    with pytest.raises(bdsim.BdsimError, match="exists already; --force replaces it"):
        app([*words, "-o", str(here / "notes.md")], standalone_mode=False)
    os.mkfifo(here / "pipe")
    with pytest.raises(bdsim.BdsimError, match="not a regular file"):
        app([*words, "--force", "-o", str(here / "pipe")], standalone_mode=False)
    assert (here / "notes.md").read_text() == "precious"
    app([*words, "--force", "-o", str(here / "notes.md")], standalone_mode=False)
    assert (here / "notes.md").read_text() != "precious"
