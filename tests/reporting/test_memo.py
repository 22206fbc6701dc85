"""A memo: one page whose number is the comparison's own."""

from __future__ import annotations

import re

import pytest

import bdsim
from bdsim.errors import UsageError
from bdsim.reporting import memo as memos
from bdsim.reporting.summary import Summary, fit_of, priors_of, summaries

pytestmark = pytest.mark.one_python
PERIOD = (2027, 2032)


@pytest.fixture(scope="module")
def comparison(study):
    runs = [
        bdsim.run(bdsim.load_scenario(name, study), members=6, researchers_per_agent=200)
        for name in ("baseline", "initiative-revival")
    ]
    return bdsim.compare(*runs)


@pytest.fixture(scope="module")
def memo(study, comparison):
    summary = summaries(comparison, PERIOD, priors_of(study, comparison.reference))[1]
    return memos.memo_of(summary, "bdsim memo ...")


def test_the_number_is_that_of_the_summary_everywhere(memo, comparison):
    headline = summaries(comparison, PERIOD)[1].headline
    for said in (memo.number, memos.as_text(memo), memos.as_html(memo)):
        assert headline.number in said
    assert headline.sentence in memos.as_text(memo)


def test_the_pdf_is_one_sheet_even_with_long_texts(memo):
    import dataclasses

    long = dataclasses.replace(memo, question=memo.question * 4, sentences=tuple(s * 2 for s in memo.sentences))
    for one in (memo, long):
        pdf = memos.as_pdf(one)
        assert pdf.startswith(b"%PDF")
        assert len(re.findall(rb"/Type /Page\b(?!s)", pdf)) == 1


def test_a_scenario_that_changes_nothing_says_so(comparison):
    memo = memos.memo_of(summaries(comparison, (2010, 2012))[1], "")  # before the policy
    assert "changes nothing" in memo.sentences[0]
    assert len(memo.sentences) == 1


def test_what_warns_of_a_number_stands_wherever_the_number_does(study, comparison, tmp_path):
    """A number of few digits or coarse agents can be copied from anywhere: its warnings are there too."""
    from dataclasses import replace

    runs = [replace(r, manifest={**r.manifest, "engine": "float32", "researchers_per_agent": 1000})
            for r in comparison.all]  # fmt: skip
    summary = summaries(replace(comparison, reference=runs[0], others=tuple(runs[1:])), PERIOD)[1]
    memo = memos.memo_of(summary, "")
    told = memos.as_text(memo), memos.as_html(memo), summary.caption, " ".join(summary.plain()["in_words"])
    assert [w.split()[0] for w in summary.warnings] == ["Single", "Coarse:"]
    for warning in summary.warnings:
        assert all(warning in text.replace("&#39;", "'") for text in told)


def test_a_reference_with_more_members_is_said_to_have_them(study, comparison):
    """Its own departures are of all its members, the difference is of those that have a pair."""
    fewer = bdsim.run(bdsim.load_scenario("initiative-revival", study), members=4, researchers_per_agent=200)
    summary = summaries(bdsim.compare(comparison.reference, fewer), PERIOD)[1]
    assert summary.warnings[-1].endswith("whose own numbers are of 6.")
    assert "of the 4 members" in summary.caption
    assert not summaries(comparison, PERIOD)[1].warnings


def test_a_memo_of_few_members_says_how_many_would_tell_what_rests_on_priors(memo, study, comparison):
    known = priors_of(study, comparison.reference)
    assert f"{len(known)} parameters that only a prior tells is not known from so few members (100 tell)" in memo.caveat


def test_a_memo_says_nothing_of_a_spread_that_there_is_not(study, comparison):
    known = priors_of(study, comparison.reference)
    nothing = memos.memo_of(summaries(comparison, (2010, 2012), known)[1], "")
    assert nothing.caveat == "Nothing varies in this number."
    assert "spread" not in memos.memo_of(summaries(comparison, PERIOD, {})[1], "").caveat


def test_a_memo_says_through_what_the_scenario_acts_in_words(study, comparison):
    summary = summaries(comparison, PERIOD)[1]
    caveat = memos.memo_of(summary, "", fit_of(study, summary.results)).caveat
    assert "The scenario acts through “Memory of fear while it rises”" in caveat
    assert "“Push of scrutiny” (the data inform partly)" in caveat


def test_runs_that_share_a_name_stand_under_the_names_of_their_folders(comparison):
    same = bdsim.compare(comparison.reference, comparison.reference)
    memo = memos.memo_of(summaries(same)[1], "")
    assert memo.runs == f"{comparison.reference.mark}, {comparison.reference.mark}"


def test_the_page_escapes_what_a_scenario_says(memo):
    import dataclasses

    page = memos.as_html(dataclasses.replace(memo, question="<script>x</script>?"))
    assert "<script>" not in page


def test_a_memo_needs_a_reference(comparison):
    with pytest.raises(UsageError):
        memos.memo_of(Summary(comparison.reference), "")


def test_a_workbook_has_a_sheet_a_table_and_no_formula(comparison, tmp_path):
    import openpyxl

    from bdsim.reporting.export import export

    runs = list(comparison.all)
    runs[1].manifest["scenario"]["title"], kept = "=1+1", runs[1].manifest["scenario"]["title"]
    try:
        book = openpyxl.load_workbook(export(runs, "xlsx", tmp_path / "runs.xlsx"))
    finally:
        runs[1].manifest["scenario"]["title"] = kept
    assert book.sheetnames == ["summary", "members", "columns", "runs"]
    assert book["summary"].max_row == 1 + sum(len(run.summary()) for run in runs)
    assert all(cell.data_type != "f" for sheet in book for row in sheet.iter_rows() for cell in row)
    assert book["runs"]["B3"].value == "=1+1"
