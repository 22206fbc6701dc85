"""What every test may use: the study of this repository, a fresh copy of it, and repeatable examples."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from bdsim.study.layout import Study, create_study, find_study

# The same examples on every machine and every day: a test that fails once fails always.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def study() -> Study:
    """The study in this repository. Read only."""
    return find_study(Path(__file__))


@pytest.fixture
def fresh_study(tmp_path: Path) -> Study:
    """A copy that a test may spoil."""
    return create_study(tmp_path / "study")


@pytest.fixture
def here(fresh_study: Study, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a fresh study, as the current one."""
    monkeypatch.chdir(fresh_study.root)
    return fresh_study.root


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than there are cores: many tests wait for a browser or for another process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


ONE_PYTHON = ("analysis", "calibration", "cli", "docs", "explore", "fuzz", "reporting")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks our own logic, words and drawing more than Python and its packages is tried on one Python."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).parts[0] in ONE_PYTHON:
            item.add_marker("one_python")
