"""Programs that share no loop with the engine decide as it does, and the engine has not become slow."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import c_engines
import regression
from bdsim_engines import new_tally, one, workload
from programs import PROGRAMS, MismatchError, Sizes, first_difference, measured

SMALL = Sizes(fine=400, coarse=1000, members=8)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_program_decides_as_the_engine(program):
    if program.needs_gcc and c_engines.compiler_version() is None:
        pytest.skip("gcc is missing")
    _, years = measured(program, workload(program.researchers_per_agent(SMALL)), program.members(SMALL))
    assert years > 0.0


def test_a_program_that_decides_otherwise_is_caught_and_the_cell_named():
    def wrong(work, members):
        tally = one(work, members[0])
        tally.departures[13, 0, 2, 1, 0] += 1.0
        return 1.0, [tally]

    with pytest.raises(MismatchError, match=r"departures of 2013, china doctorate, life, mid, to china: .* in bdsim"):
        measured(dataclasses.replace(PROGRAMS[0], run=wrong), workload(400), range(1))


def test_equal_tallies_have_no_difference():
    tally = new_tally(workload(400))
    assert first_difference("stocks", tally.stocks, tally.stocks) is None


def test_no_ratio_of_speeds_has_fallen():
    """See benchmarks/regression.py on false alarms; a second try makes them rarer still."""
    alarms = regression.broken(regression.best_speeds())
    if alarms:
        alarms = regression.broken(regression.best_speeds())
    assert not alarms


def test_the_performance_page_shows_what_was_measured(tmp_path):
    """The tables of docs/performance.md are those of benchmarks/results.json, and its figure can be drawn."""
    import plot

    report = json.loads((Path(plot.ROOT) / "benchmarks" / "results.json").read_text())
    page = tmp_path / "performance.md"
    page.write_text(plot.PAGE.read_text())
    plot.write_page(report, page)
    assert page.read_text() == plot.PAGE.read_text()
    plot.draw(report).savefig(tmp_path / "performance.png")
