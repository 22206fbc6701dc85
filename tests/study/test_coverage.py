"""What the data in use cover is read off the data: a user's rows change years and names wherever they are told."""

from __future__ import annotations

import pytest
from matplotlib.text import Text

import bdsim
from bdsim.errors import EvidenceError
from bdsim.model.categories import FIELDS
from bdsim.reporting.figures.runs import run_drawings
from bdsim.study.evidence import coverage_of, load_evidence
from bdsim.study.facts import FILES
from bdsim.study.history import observed_departures
from bdsim.study.layout import Study

pytestmark = pytest.mark.one_python
PNAS = "Xie et al., PNAS 2023 (doi:10.1073/pnas.2216248120)"


def add(study: Study, file: str, *lines: str) -> None:
    path = study.evidence / f"{file}.csv"
    path.write_text("\n".join([path.read_text(encoding="utf-8").rstrip("\n"), *lines, ""]), encoding="utf-8")


def test_the_shipped_series_is_that_of_2000_to_2021_and_its_authors_are_named(study: Study) -> None:
    known = coverage_of(load_evidence(study))
    assert known.departures.years == "2000-2021"
    assert known.departures.credit == PNAS
    assert known.no_later == "No departure data after 2021."
    assert known.ends_before(2022) and not known.ends_before(2021)
    assert known.credits("departures_to_china", "departures_anchors", "retention") == f"{PNAS}; CSET 2022; NCSES"
    assert set(known.series) == set(FILES) - {"survey_2022", "effects"}  # these speak of no years


def test_later_rows_move_the_end_and_are_not_said_to_be_the_authors(fresh_study: Study) -> None:
    add(fresh_study, "departures_to_china", "2022,life,640", "2023,life,650", "2024,life,660")
    known = coverage_of(load_evidence(fresh_study))
    assert known.departures.years == "2000-2024"
    assert known.no_later == "No departure data after 2024."
    assert known.departures.credit == f"{PNAS}; 2022-2024: added to departures_to_china.csv without a source"


def test_rows_that_name_their_source_are_credited_to_it(fresh_study: Study) -> None:
    path = fresh_study.evidence / "departures_to_china.csv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([f"{header},source", *(f"{r}," for r in rows), "2022,life,640,,,Own count", ""]))
    assert coverage_of(load_evidence(fresh_study)).departures.credit == f"{PNAS}; 2022: Own count"


def test_a_field_that_the_model_lacks_does_not_move_the_end(fresh_study: Study) -> None:
    add(fresh_study, "departures_to_china", "2022,social,80")
    assert coverage_of(load_evidence(fresh_study)).departures.last == 2021


@pytest.mark.parametrize("year", [2000, 2015, 2021])
def test_a_year_that_the_authors_publish_may_not_vanish(fresh_study: Study, year: int) -> None:
    path = fresh_study.evidence / "departures_to_china.csv"
    lines = path.read_text(encoding="utf-8").splitlines(True)
    path.write_text("".join(line for line in lines if not line.startswith(str(year))), encoding="utf-8")
    with pytest.raises(EvidenceError, match=rf"no row for {year} of engineering_cs: Xie et al., PNAS 2023 publishes"):
        load_evidence(fresh_study)


def test_figures_take_the_end_of_the_series_and_its_source_from_the_data(fresh_study: Study) -> None:
    """With rows of 2022-2024 in the series, no figure says that there are none or that they are the authors'."""
    run = bdsim.run(
        bdsim.load_scenario(fresh_study.scenario_file("baseline")), members=2, researchers_per_agent=1000, fit="none"
    )
    for last in (2021, 2024):
        for year in range(2022, last + 1):
            add(fresh_study, "departures_to_china", *(f"{year},{field},600" for field in FIELDS))
        observed = observed_departures(load_evidence(fresh_study), 0.885)
        for drawing in run_drawings(run, observed):
            words = " ".join(t.get_text() for t in drawing.figure.findobj(Text))
            assert f"no departure\ndata after {last}" in words
            assert "Observed: Xie et al., PNAS 2023" in " ".join(words.split())
            told = "2022-2024: added to departures_to_china.csv without a source" in " ".join(words.split())
            assert told == (last == 2024)
