"""Documents that say what to type are typed."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from bdsim.model.world import TABLES
from bdsim.runs.results import COLUMNS
from bdsim.runs.tables import PART_TABLES
from bdsim.study.parameters import as_markdown, load_parameters

ROOT = Path(__file__).parents[2]


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


def test_the_readme_python_runs(monkeypatch, study):
    monkeypatch.chdir(study.root)
    code = "\n".join(blocks("README.md", "python"))
    assert "bdsim.run(" in code
    quick = code.replace("members=32", "members=3, researchers_per_agent=200")
    exec(quick, {})


def test_every_command_that_the_readme_names_exists():
    from bdsim.cli.main import app

    known = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    lines = [*blocks("README.md", "sh"), *blocks("docs/calibration.md", "sh")]
    named = set(re.findall(r"^bdsim ([a-z-]+)\b", "\n".join(lines), re.MULTILINE))
    assert named
    assert named <= known


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


def test_documents_link_only_to_files_that_exist():
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
