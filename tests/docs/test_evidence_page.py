"""The page on evidence of one's own is done step by step, as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bdsim.calibration.target_file import load_targets
from bdsim.cli import terminal
from bdsim.cli.main import app
from bdsim.study.evidence import load_evidence
from bdsim.study.layout import Study
from bdsim.study.parameters import load_parameters

pytestmark = pytest.mark.one_python
PAGE = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text(encoding="utf-8")
STEPS = re.findall(r'```(\w+)(?: title="(\S+)")?\n(.*?)```', PAGE, re.DOTALL)


def test_every_step_of_the_page_works(
    fresh_study: Study, study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(fresh_study.root)
    # A console made under pytest-xdist keeps the width that it found there, whatever COLUMNS says later.
    monkeypatch.setattr(terminal, "out", terminal.Terminal(width=200, highlight=False))
    said = []
    published = {path: path.read_bytes() for path in fresh_study.evidence.glob("*.csv")}
    for language, file, text in STEPS:
        if file:
            path = fresh_study.root / file
            before = path.read_text(encoding="utf-8") + "\n" if path.exists() else ""
            path.write_text(before + text, encoding="utf-8")
        elif language == "sh":
            for line in text.splitlines():
                coarse = ["-k", "400"] if "fit-report" in line else []  # quick; the page itself is as fine as a fit
                app([*line.split()[1:], *coarse], standalone_mode=False)
                said.append(capsys.readouterr().out)
    listed, report = said
    assert "2750" in listed and "Researchers of Chinese descent who left the US" in listed
    assert "departures of 2022 and 2023" in report
    parameters = load_parameters(fresh_study.parameters)
    *shipped, first, second = load_targets(fresh_study.targets, load_evidence(fresh_study), parameters)
    assert shipped == load_targets(study.targets, load_evidence(study), parameters)
    assert [(t.last, t.fact, t.field, t.destination, t.role) for t in (first, second)] == [
        (2022, 2750, None, None, "validation"), (2023, 2800, None, None, "validation"),
    ]  # fmt: skip
    assert all(path.read_bytes() == content for path, content in published.items())


def test_the_commands_that_the_page_names_exist() -> None:
    known = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    assert set(re.findall(r"^bdsim ([a-z-]+)", PAGE, re.MULTILINE)) <= known
