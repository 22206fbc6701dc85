"""Documents that say what to type are typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib.figure
import pytest
import typer.main

from bdsim.cli.main import app
from bdsim.model.world import TABLES
from bdsim.runs.store.tables import COLUMNS, PART_TABLES
from bdsim.study.parameters import as_markdown, load_parameters
from bdsim.study.scenario import load_scenario

ROOT = Path(__file__).parents[2]
SCENARIO_PAGES = ("docs/scenario.md", "docs/start/analyst.md")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_the_mesa_page_runs():
    """Every block, in order; the last draws the SolaraViz page on the server side, and its slider is moved."""
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Solara warns of its own use of deprecated names
        import ipyvuetify
        import solara

        for block in blocks("docs/mesa.md", "python"):
            exec(block, names)
        page = solara.AppLayout(children=[names["page"]])  # which has the sidebar with the model's parameters
        _, context = solara.render(page, handle_error=False)
        (slider,) = (found for found in context.find(ipyvuetify.Slider).widgets if found.label == "push")
        slider.v_model = 1.0
        assert not context.find(ipyvuetify.Alert).widgets
        context.close()


def test_the_python_of_the_calibration_page_runs(monkeypatch, study):
    monkeypatch.chdir(study.root)
    code = "\n".join(blocks("docs/calibration.md", "python"))
    assert "bdsim.score(" in code
    exec(code, {})


def test_the_python_of_the_python_page_runs(monkeypatch, study):
    monkeypatch.chdir(study.root)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    code = "\n".join(blocks("docs/python.md", "python"))
    assert "bdsim.run(" in code
    quick = code.replace("members=32", "members=3, researchers_per_agent=200")
    names: dict[str, object] = {}
    exec(quick, names)
    assert isinstance(names["figure"], matplotlib.figure.Figure)


def test_the_scenarios_of_the_pages_are_valid(fresh_study):
    shown = [block for page in SCENARIO_PAGES for block in blocks(page, "toml") if "extends" in block]
    assert len(shown) == len(SCENARIO_PAGES)
    for number, block in enumerate(shown):
        path = fresh_study.scenarios / f"shown-{number}.toml"
        path.write_text(block, encoding="utf-8")
        assert load_scenario(path, fresh_study).extends == "baseline"


def command_lines() -> list[tuple[str, str]]:
    """Every line of a block of the shell, in README and docs, that calls bdsim."""
    found = []
    for page in ["README.md", *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("docs/**/*.md")))]:
        for block in [*blocks(page, "sh"), *blocks(page, "console")]:
            for line in block.splitlines():
                for part in line.split("&&"):
                    words = part.strip().removeprefix("$ ").removeprefix(".venv/bin/")
                    if words.startswith("bdsim "):
                        found.append((page, words))
    return found


@pytest.mark.parametrize(("page", "line"), command_lines(), ids=lambda text: text[:60])
def test_every_command_line_of_the_documents_is_one_that_the_program_takes(page, line):
    words = shlex.split(re.split(r"[|>&]\s", line, maxsplit=1)[0], comments=True)[1:]
    group = typer.main.get_command(app)
    assert words[0] in group.commands, f"{page}: {line}"
    group.commands[words[0]].make_context(words[0], words[1:])  # raises a usage error


@pytest.mark.one_python
def test_the_site_is_built_without_a_warning(tmp_path):
    """Every page, every link and anchor between pages, every reference made from the code; some ten seconds."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # a notice about the generator, not about our pages
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=quiet)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    commands = (tmp_path / "site" / "reference" / "commands.html").read_text(encoding="utf-8")
    assert all(f"bdsim {name}" in commands for name in typer.main.get_command(app).commands)


def test_the_parameter_table_of_the_odd_is_the_file(study):
    text = (ROOT / "docs" / "ODD.md").read_text()
    table = re.search(r"<!-- parameters:begin -->\n(.*?)<!-- parameters:end -->", text, re.DOTALL)
    assert table is not None
    assert table.group(1).strip() == as_markdown(load_parameters(study.parameters)).strip(), (
        "run: bdsim parameters --markdown, and put it between the markers of docs/ODD.md"
    )


@pytest.mark.parametrize("name", [*TABLES, *PART_TABLES, "members", "people", *COLUMNS])
def test_the_odd_explains_every_table_and_column(name):
    assert f"`{name}`" in (ROOT / "docs" / "ODD.md").read_text()


MADE = re.compile(r"docs/(?:reference/\w+|tutorial|decisions/index)\.md")  # by docs/site/hooks.py, for the site alone


def test_documents_link_only_to_files_that_exist():
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            there = (page.parent / target).resolve()
            assert there.exists() or MADE.fullmatch(str(there.relative_to(ROOT))), f"{page.name}: {target}"
