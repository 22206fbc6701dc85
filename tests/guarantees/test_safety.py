"""Loading a study executes nothing, no pickle comes from disk, and what a file says is shown, never run."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path

import pytest

import bdsim
from bdsim.cli.main import app
from bdsim.errors import InputError

pytestmark = pytest.mark.one_python

SOURCES = sorted(Path(bdsim.__file__).parent.rglob("*.py"))
DANGEROUS_CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "read_pickle", "to_pickle"}
PICKLE_MAY = {"workers.py"}  # between a scheduler's machines, over the network that the user names; never from disk


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_no_source_can_run_what_a_file_says(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] + [getattr(node, "module", "") or ""]
            allowed = {"pickle"} if path.name in PICKLE_MAY else set()
            banned = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "runpy", "imp"} - allowed
            assert not banned & {n.split(".")[0] for n in names}, path
        if isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            own = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
            if name == "compile" and own and function.value.id == "re":
                continue
            assert name not in DANGEROUS_CALLS, (path, node.lineno, name)
            if name == "load" and own and function.value.id == "np":
                assert any(k.arg == "allow_pickle" and k.value.value is False for k in node.keywords)


HOSTILE = """
title = "<script>alert(1)</script> $x_{$ & \\"quoted\\" {{ 7 * 7 }} {% raw %}"
question = "__import__('os').system('touch executed') <img src=x onerror=alert(2)>"
extends = "baseline"
notes = "${touch executed} `touch executed` $(touch executed)"

[[policy]]
name = "</text></svg><script>alert(3)</script>"
from = 2027-01-01
until = 2029-01-01
scrutiny = 1.0
why = "javascript:alert(4) <a href='javascript:alert(5)'>"

[[lever]]
name = "=cmd|' /C calc'!A0 [bold red]"
table = "offers"
years = [2027, 2028]
multiply = 1.5
why = "../../etc/passwd"
"""

WATCHED = """
    import sys
    sys.path.insert(0, SOURCES)  # these, wherever others are installed: -I leaves PYTHONPATH out
    import numpy, pandas, matplotlib, numba, scipy.special, scipy.stats, rich.table, pyarrow.parquet  # what we stand on
    import bdsim
    from bdsim.cli import main as cli
    from bdsim.cli import run as cli_run
    from bdsim.study import evidence
    from bdsim.study import fit as fits
    from bdsim.study import parameters
    from bdsim.runs import plan
    from bdsim.study import scenario
    from bdsim.study import layout as study
    from bdsim.calibration import target_file as targets
    from bdsim.cli import terminal
    found = []
    def hook(event, arguments):
        if event in ("exec", "compile", "marshal.loads", "pickle.find_class", "os.system", "os.exec", "os.posix_spawn",
                     "subprocess.Popen", "socket.connect", "socket.getaddrinfo", "ctypes.dlopen"):
            found.append((event, str(arguments)[:200]))
    folder = study.find_study()
    sys.addaudithook(hook)
    known = parameters.load_parameters(folder.parameters)
    facts = evidence.load_evidence(folder)
    targets.load_targets(folder.targets, facts, known)
    fits.load_fit(folder, "default", known)
    for name in folder.scenario_names():
        scenario.load_scenario(name, folder).branches()
    found = [f for f in found if "bdsim/scenarios" in f[1] or f[0] not in ("exec", "compile", "marshal.loads")]
    print(found)
"""


def test_loading_a_study_executes_nothing(here):
    """Python's own audit hooks report what is run, unpickled, spawned or connected to meanwhile: nothing is."""
    (here / "scenarios" / "hostile.toml").write_text(HOSTILE)
    for trap in ("sitecustomize.py", "usercustomize.py", "bdsim.py", "conftest.py", "numpy.py"):
        for folder in (here, here / "scenarios", here / "calibration"):
            (folder / trap).write_text("open('executed', 'w')\n")
    script = textwrap.dedent(WATCHED).replace("SOURCES", repr(str(Path(bdsim.__file__).parents[1])))
    command = [sys.executable, "-I", "-W", "ignore", "-c", script]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert not list(here.rglob("executed"))


class Elements(HTMLParser):
    """Every element and attribute of a page, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text += data


def test_a_title_with_a_script_is_shown_and_not_run(here, capsys):
    (here / "scenarios" / "hostile.toml").write_text(HOSTILE)
    words = ["report", "baseline", "hostile", "-m", "4", "-k", "500", "--horizon", "2030", "-o", str(here / "r.html")]
    app(words, standalone_mode=False)
    page = Elements((here / "r.html").read_text(encoding="utf-8"))
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert not {"script", "img", "iframe", "object", "embed"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not [v for name, v in page.attributes if name in ("href", "src") and v and "javascript" in v.lower()]
    app(["compare", "baseline", "hostile", "-m", "4", "-k", "500", "--horizon", "2030"], standalone_mode=False)
    for picture in here.glob("results/compare-*/*.svg"):
        assert "script" not in Elements(picture.read_text(encoding="utf-8")).tags
    assert "[bold red]" in capsys.readouterr().err  # the remark on its lever says the name as it is, without obeying it
    assert not list(here.rglob("executed"))


@pytest.mark.parametrize("text", ["\\u001b[31mred", "\\u0007", "\\u202e", "a\\u0000b", "\\u009b31m"])
@pytest.mark.parametrize("key", ["title", "question"])
def test_what_could_move_the_cursor_is_refused(here, key, text):
    words = {"title": "A", "question": "B", key: text}
    (here / "scenarios" / "mine.toml").write_text("".join(f'{k} = "{v}"\n' for k, v in words.items()))
    with pytest.raises(InputError, match=rf"{key}: .*character") as caught:
        bdsim.load_scenario("mine")
    assert str(caught.value).isprintable()


def test_results_from_elsewhere_hold_no_code(here):
    """Tables are Parquet, the manifest is JSON: read with nothing that could run."""
    bdsim.run(bdsim.load_scenario("baseline"), 3, 0, 1000, horizon=2012, folder=here / "results" / "run")
    kinds = {path.suffix for path in (here / "results" / "run").iterdir()}
    assert kinds == {".parquet", ".csv", ".json", ""}
    assert isinstance(json.loads((here / "results" / "run" / "manifest.json").read_text()), dict)
