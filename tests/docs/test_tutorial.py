"""The tutorial runs from question to report, in a fresh study."""

import pytest

from bdsim.study.layout import Study, find_study

pytestmark = pytest.mark.one_python

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient", reason="notebooks are run where nbclient is installed")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning:zmq")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_tutorial_runs_in_a_fresh_study(fresh_study: Study) -> None:
    source = find_study(__file__).root / "docs" / "tutorial.ipynb"
    notebook = nbformat.read(source, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(fresh_study.root)}})
    client.execute()
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if cell.cell_type == "code"
    )
    assert "How many more researchers leave by 2035" in printed
    assert "carried from the prior" in printed
    assert (fresh_study.results / "report.html").stat().st_size > 100_000
    pictures = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == 2
    assert "milder" not in fresh_study.scenario_names()
