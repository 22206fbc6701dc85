"""Facts are read as published, checked line by line, and what no fact gives is rebuilt by rule and flagged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bdsim.errors import EvidenceError
from bdsim.model.categories import FIRST_ENTRY
from bdsim.model.world import TABLES
from bdsim.study.evidence import Evidence, in_spans, load_evidence
from bdsim.study.facts import FILES, Doctorates, TalentBatch
from bdsim.study.history import History, observed_departures, rebuild_history
from bdsim.study.layout import Study

pytestmark = pytest.mark.one_python

HORIZON = 2035
GROWTH = 0.03
MAINLAND_STEM = 0.885
FIELDS = ("engineering_cs", "math_physical", "life")


@pytest.fixture(scope="module")
def evidence(study: Study) -> Evidence:
    return load_evidence(study)


@pytest.fixture(scope="module")
def history(evidence: Evidence) -> History:
    return rebuild_history(evidence, HORIZON, GROWTH)


def doctorates(evidence: Evidence, origin: str) -> dict[int, float]:
    rows = evidence.rows("doctorates")
    return {r.year: r.doctorates for r in rows if isinstance(r, Doctorates) and r.origin == origin}


# --- what ships --------------------------------------------------------------------------------------------


def test_every_shipped_file_of_facts_loads_and_has_a_source(evidence: Evidence) -> None:
    for name in FILES:
        assert evidence.rows(name)
        assert evidence.sources[name].what and evidence.sources[name].cite


def test_every_csv_of_the_study_is_read_and_described(study: Study, evidence: Evidence) -> None:
    assert {path.stem for path in study.evidence.glob("*.csv")} == set(FILES) == set(evidence.sources)
    assert evidence.unread == ()


def test_the_published_numbers_are_in_the_files(evidence: Evidence) -> None:
    table = evidence.departures_to_china()
    assert sum(table[2010, field] for field in FIELDS) == 379
    assert sum(table[2021, field] for field in FIELDS) == 1569
    assert sum(table[year, field] for year in range(2018, 2022) for field in FIELDS) == 5361
    anchors = {(a.statistic, a.first, a.last): a.value for a in evidence.anchors()}
    assert anchors["departures", 2010, 2010] == 900
    assert anchors["departures", 2021, 2021] == 2621
    assert anchors["departures", 2010, 2021] == 19955


def test_nothing_is_interpolated_in_the_files(evidence: Evidence) -> None:
    """Only published years stand in the files of which some years are missing, in whole people; and no yearly
    series runs along a straight line, as filled-in years do."""
    batches = [(b.first, b.last, b.offers) for b in evidence.of(TalentBatch)]
    assert batches == [(2011, 2011, 143), (2011, 2013, 593), (2014, 2015, 1042), (2016, 2016, 565), (2016, 2017, 1257)]
    assert min(doctorates(evidence, "china")) == 2008
    assert min(doctorates(evidence, "india")) == 2008
    assert min(doctorates(evidence, "all")) == 1996
    for origin in ("china", "india", "all"):
        series = doctorates(evidence, origin)
        assert all(value == round(value) for value in series.values())
        assert list(series) == list(range(min(series), max(series) + 1))
        values = np.array(list(series.values()))
        straight = np.abs(np.diff(values, 2)) < 1.0
        assert not np.any(straight[1:] & straight[:-1])


def test_an_unknown_file_of_facts_is_answered_with_the_nearest(evidence: Evidence) -> None:
    with pytest.raises(EvidenceError, match="no facts named 'retentoin'; did you mean 'retention'"):
        evidence.rows("retentoin")


# --- history rebuilt ---------------------------------------------------------------------------------------


def test_china_2001_to_2007_adds_up_to_what_is_published_of_2001_to_2020(evidence: Evidence, history: History) -> None:
    """81,803 doctorates in 2001-2020 (Indicators Table HED-5) less 60,448 in 2008-2020."""
    assert sum(doctorates(evidence, "china")[year] for year in range(2008, 2021)) == 60_448
    rebuilt = sum(history.timeline.at("inflow_china", year) for year in range(2001, 2008))
    assert rebuilt == pytest.approx(21_355, abs=1e-6)


def test_china_before_2008_follows_the_shape_of_the_total(evidence: Evidence, history: History) -> None:
    total = doctorates(evidence, "all")
    shares = [history.timeline.at("inflow_china", year) / total[year] for year in range(1996, 2008)]
    assert shares == pytest.approx([shares[0]] * len(shares), rel=1e-12)


def test_india_before_2008_is_a_constant_share_of_the_total(evidence: Evidence, history: History) -> None:
    total, india = doctorates(evidence, "all"), doctorates(evidence, "india")
    share = sum(india[y] for y in (2008, 2009, 2010)) / sum(total[y] for y in (2008, 2009, 2010))
    for year in range(1996, 2008):
        assert history.timeline.at("inflow_india", year) == pytest.approx(share * total[year])


def test_published_doctorates_are_not_touched(evidence: Evidence, history: History) -> None:
    for origin in ("china", "india"):
        for year, value in doctorates(evidence, origin).items():
            assert history.timeline.at(f"inflow_{origin}", year) == value


def test_other_is_the_total_less_china_and_india_in_every_year(evidence: Evidence, history: History) -> None:
    total, at = doctorates(evidence, "all"), history.timeline.at
    for year in range(1996, 2024):
        others = total[year] - at("inflow_china", year) - at("inflow_india", year)
        assert at("inflow_other", year) == pytest.approx(others)
        assert others > 0
    assert at("inflow_other", 2019) == 15777 - 5755 - 1910


def test_before_1996_every_inflow_shrinks_by_the_stated_growth(history: History) -> None:
    for name in ("inflow_china", "inflow_india", "inflow_other"):
        for year in range(FIRST_ENTRY, 1996):
            growth = history.timeline.at(name, year + 1) / history.timeline.at(name, year)
            assert growth == pytest.approx(1 + GROWTH, rel=1e-9)


@pytest.mark.parametrize(
    ("table", "last"),
    [
        ("inflow_china", 2023),
        ("inflow_india", 2023),
        ("inflow_other", 2023),
        ("funding_ratio", 2024),
        ("pull", 2021),
    ],
)
def test_after_the_last_observed_year_a_table_stays_flat(history: History, table: str, last: int) -> None:
    for year in range(last, HORIZON + 1):
        assert history.timeline.at(table, year) == history.timeline.at(table, last)
        assert year == last or year in history.rebuilt[table][0]


def test_a_batch_of_several_years_is_one_total_spread_over_them(history: History) -> None:
    """61 % (347 of 565) of all 3,600 offers were made to people in the US; afterwards the mean of 2014-2017. Half of a
    year's offers are in hand in that year and half in the next."""
    in_us, at = 347 / 565, history.timeline.at
    made = {
        2010: 0.0, 2011: 143 + 593 / 3, 2012: 593 / 3, 2013: 593 / 3, 2014: 521.0, 2015: 521.0,
        2016: 565 + 1257 / 2, 2017: 1257 / 2, 2018: 716.0, 2019: 716.0,
    }  # fmt: skip
    for year in range(2011, 2020):
        assert at("offers", year) == pytest.approx(0.5 * (made[year - 1] + made[year]) * in_us)
    assert at("offers", 2010) == 0.0
    assert at("offers", 2035) == pytest.approx(716.0 * in_us)
    in_hand = sum(at("offers", year) for year in range(2000, 2018))
    assert in_hand == pytest.approx((3600 - 0.5 * made[2017]) * in_us)


def test_the_share_of_offers_in_the_us_is_that_of_the_evidence(fresh_study: Study) -> None:
    spoil(fresh_study, "talent_batches", lambda text: text.replace(",565,347,", ",565,565,"))
    at = rebuild_history(load_evidence(fresh_study), HORIZON, GROWTH).timeline.at
    assert at("offers", 2035) == pytest.approx(716.0)


def test_pull_counts_the_years_of_trend_up_to_the_last_year_of_the_departure_series(history: History) -> None:
    assert [history.timeline.at("pull", year) for year in (2000, 2010, 2021, 2035)] == [-10, 0, 11, 11]
    assert history.rebuilt["pull"][0] == tuple(range(2022, HORIZON + 1))


def test_fields_of_doctorates_from_china_are_those_of_the_facts_and_others_are_assumed(history: History) -> None:
    """37,007 engineers and computer scientists, 19,354 in mathematics and physical, 13,496 in biological sciences."""
    assumed = np.array([0.45, 0.25, 0.3])
    shares = history.fields_of_entrants(assumed)
    np.testing.assert_allclose(shares[0], np.array([37007, 19354, 13496]) / 69857)
    assert (shares[1:] == assumed).all()
    assert shares.sum(axis=1) == pytest.approx(np.ones(4))


def test_fields_of_another_origin_are_taken_from_the_facts_when_they_are_there(fresh_study: Study) -> None:
    fields = ("engineering", "mathematics", "biological sciences")
    lines = "".join(f"india,2001,2020,{f},{n},mine\n" for f, n in zip(fields, (600, 100, 300), strict=True))
    spoil(fresh_study, "doctorates_by_field", lambda text: text + lines)
    shares = rebuild_history(load_evidence(fresh_study), HORIZON, GROWTH).fields_of_entrants(np.full(3, 1 / 3))
    assert shares[2] == pytest.approx([0.6, 0.1, 0.3])


# Years that become known inside a span of which the sum is published.
KNOWN_LATER = [{2007: 4500}, {2005: 3600, 2006: 4400, 2007: 4500}, {2003: 2500}, {1999: 2000, 2001: 2100}]


@pytest.mark.parametrize("known", KNOWN_LATER)
def test_the_published_total_of_20_years_holds_whatever_single_years_become_known(
    fresh_study: Study, known: dict[int, int]
) -> None:
    spoil(fresh_study, "doctorates", lambda text: text + "".join(f"{y},china,{n}\n" for y, n in known.items()))
    found = rebuild_history(load_evidence(fresh_study), HORIZON, GROWTH)
    assert sum(found.timeline.at("inflow_china", year) for year in range(2001, 2021)) == pytest.approx(81_803)
    for year, doctorates in known.items():
        assert found.timeline.at("inflow_china", year) == doctorates
        assert year not in found.rebuilt["inflow_china"][0]
    unknown = [y for y in range(2001, 2008) if y not in known]
    assert set(unknown) <= set(found.rebuilt["inflow_china"][0])
    assert found.rebuilt["inflow_china"][1].startswith(f"{in_spans(unknown)} add up to what the total of 2001-2020")


@pytest.mark.parametrize(
    ("row", "china", "india", "other"),
    [
        ("2024,all,17000", 2023, 2023, 2024),
        ("2024,china,6000", 2024, 2023, 2024),
        ("2024,india,2600", 2023, 2024, 2024),
    ],
)
def test_the_note_on_each_table_names_its_own_last_year(
    fresh_study: Study, row: str, china: int, india: int, other: int
) -> None:
    spoil(fresh_study, "doctorates", lambda text: f"{text}{row}\n")
    found = rebuild_history(load_evidence(fresh_study), HORIZON, GROWTH)
    for origin, last in (("china", china), ("india", india), ("other", other)):
        name = f"inflow_{origin}"
        assert found.rebuilt[name][1].endswith(f"flat after {last}")
        assert (np.diff(found.timeline.tables[name][last - FIRST_ENTRY :]) == 0).all()
        assert found.timeline.at(name, last) != found.timeline.at(name, last - 1)


def test_the_funding_ratio_is_chinas_spending_over_that_of_the_us(history: History) -> None:
    assert history.timeline.at("funding_ratio", 2000) == pytest.approx(32.9 / 268.6)
    assert history.timeline.at("funding_ratio", 2010) == pytest.approx(212.2 / 408.5)
    assert history.timeline.at("funding_ratio", 2024) == pytest.approx(1028.3 / 1009.3)
    seen = history.timeline.environment(212.2 / 408.5, 1).log_funding  # a year later
    assert seen[11] == 0.0
    assert seen[25] == pytest.approx(np.log((1028.3 / 1009.3) / (212.2 / 408.5)))


def test_history_itself_has_no_scrutiny_and_every_index_at_1(history: History) -> None:
    for name, table in history.timeline.tables.items():
        if name.startswith("scrutiny_"):
            assert not table.any()
        if name in ("us_funding", "nih_funding", "nsf_funding", "soft_power"):
            assert (table == 1.0).all()
        if name == "green_card_wait":
            assert not table.any()


def test_history_has_every_table_over_all_its_years(history: History) -> None:
    assert set(history.timeline.tables) == set(TABLES)
    for name, table in history.timeline.tables.items():
        assert len(table) == len(history.timeline.years(name))
        assert np.isfinite(table).all() and table.min() >= TABLES[name].least


def test_every_year_that_no_fact_gives_is_flagged_as_rebuilt_and_no_other(history: History) -> None:
    before, after = set(range(FIRST_ENTRY, 2008)), set(range(2024, HORIZON + 1))
    for name in ("inflow_china", "inflow_india", "inflow_other"):
        assert set(history.rebuilt[name][0]) == before | after
    assert history.rebuilt["funding_ratio"][0] == tuple(range(2025, HORIZON + 1))
    assert history.rebuilt["offers"][0] == tuple(range(2011, HORIZON + 1))


def test_every_flag_says_how_the_years_were_rebuilt(history: History) -> None:
    assert "2001-2007 add up to" in history.rebuilt["inflow_china"][1]
    assert "3.0% a year" in history.rebuilt["inflow_china"][1]
    assert "flat after 2023" in history.rebuilt["inflow_india"][1]
    assert "total less China and India" in history.rebuilt["inflow_other"][1]
    offers = history.rebuilt["offers"][1]
    assert "after 2017 the mean of 2014-2017 (521 to 1,194 offers a year)" in offers and "0.614" in offers


@pytest.mark.parametrize("horizon", [2010, 2023, 2024, 2050, 2100])
def test_a_longer_horizon_changes_no_earlier_year(evidence: Evidence, history: History, horizon: int) -> None:
    other = rebuild_history(evidence, horizon, GROWTH)
    for name, table in other.timeline.tables.items():
        n = min(len(table), len(history.timeline.tables[name]))
        np.testing.assert_array_equal(table[:n], history.timeline.tables[name][:n])


# --- what is published of departures -----------------------------------------------------------------------


def test_the_mainland_table_on_the_models_scale_meets_the_published_shares(evidence: Evidence) -> None:
    """Within 3 %: 0.48 of 900 in 2010, 0.67 of 2,621 in 2021."""
    observed = observed_departures(evidence, MAINLAND_STEM)
    years, counts = observed.to_china["all"]
    scaled = dict(zip(years, counts, strict=True))
    totals = dict(zip(*observed.everywhere, strict=True))
    shares = dict(zip(*observed.share_china, strict=True))
    assert totals == {2010: 900, 2021: 2621}
    assert shares == {2010: 0.48, 2021: 0.67}
    for year in (2010, 2021):
        assert scaled[year] == pytest.approx(shares[year] * totals[year], rel=0.03)


def test_the_fields_add_up_to_all_without_the_social_sciences(evidence: Evidence) -> None:
    observed = observed_departures(evidence, MAINLAND_STEM)
    years, everyone = observed.to_china["all"]
    assert years == list(range(2000, 2022))
    by_field = np.sum([observed.to_china[field][1] for field in FIELDS], axis=0)
    np.testing.assert_allclose(everyone, by_field)
    assert everyone[10] == pytest.approx((65 + 168 + 146) / MAINLAND_STEM)


# --- malformed files ---------------------------------------------------------------------------------------

Change = Callable[[str], str]


def spoil(study: Study, name: str, change: Change) -> None:
    path = study.evidence / f"{name}.csv"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def refused(study: Study, *words: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        load_evidence(study)
    text = str(caught.value)
    assert len(text.splitlines()) == 1, repr(text)
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("name", "line", "column"),
    [
        ("survey_2022", "feel lonely,a third", "share"),
        ("survey_2022", "feel lonely,1.2", "share"),
        ("survey_2022", "feel lonely,-0.1", "share"),
        ("survey_2022", "feel lonely,nan", "share"),
        ("survey_2022", "feel lonely,", "share"),
        ("survey_2022", "feel lonely", "share"),
        ("doctorates", "2024,chine,5000", "origin"),
        ("doctorates", "twenty,china,5000", "year"),
        ("doctorates", "20240,china,5000", "year"),
        ("doctorates", "2024,china,-1", "doctorates"),
        ("doctorates", "2024,china,inf", "doctorates"),
        ("rd_expenditure", "2025,0,1000", "china"),
        ("rd_expenditure", "2025,1000.5", "us"),
        ("departures_to_china", "2022,life,12.5,1,1", "departures"),
        ("departures_to_china", "2022,life,,1,1", "departures: the cell is empty"),
        ("departures_to_china", '2022,life,"1,250",1,1', "departures: '1,250' is not a whole number"),
        ("departures_to_china", "2022,alchemy,12,1,1", "field"),
        ("policy_events", "2025-02-30,push,no such day,", "date"),
        ("policy_events", "2025-02-03,shove,no such kind,", "kind"),
    ],
)
def test_a_malformed_cell_is_refused_with_file_line_and_column(
    fresh_study: Study, name: str, line: str, column: str
) -> None:
    text = (fresh_study.evidence / f"{name}.csv").read_text(encoding="utf-8")
    spoil(fresh_study, name, lambda text: text.rstrip("\n") + f"\n{line}\n")
    refused(fresh_study, f"{name}.csv", f"line {len(text.splitlines()) + 1}, {column}")


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_named(fresh_study: Study, separator: str) -> None:
    spoil(fresh_study, "doctorates", lambda text: text.replace(",", separator))
    refused(fresh_study, "doctorates.csv: line 1: its columns are separated by", "save it with commas")


@pytest.mark.parametrize("line", ["2022,life,10,11,1", "2022,life,10,1,11"])
def test_a_part_of_departures_is_not_more_than_all_of_them(fresh_study: Study, line: str) -> None:
    spoil(fresh_study, "departures_to_china", lambda text: f"{text}{line}\n")
    refused(fresh_study, "departures_to_china.csv: line 90: ", "is more than departures (10)")


@pytest.mark.parametrize("lines", [",,,,\n", "2022,life,640,1,1\n,,,,\n", " , , , , \n"])
def test_rows_of_commas_are_blank_lines(fresh_study: Study, lines: str) -> None:
    spoil(fresh_study, "departures_to_china", lambda text: text + lines)
    assert len(load_evidence(fresh_study).rows("departures_to_china")) == 88 + lines.count("life")


def test_a_comma_too_many_is_said_so(fresh_study: Study) -> None:
    spoil(fresh_study, "departures_to_china", lambda text: text + "2022,life,640,1,1,\n")
    refused(fresh_study, "departures_to_china.csv: line 90: 6 cells for 5 columns; a comma too many?")


def test_a_cell_too_many_is_refused_with_file_and_line(fresh_study: Study) -> None:
    spoil(fresh_study, "survey_2022", lambda text: text + "feel lonely,0.3,0.4\n")
    refused(fresh_study, "survey_2022.csv", "line 8")


def test_the_line_is_that_of_the_file_even_below_blank_lines(fresh_study: Study) -> None:
    """Seven lines as shipped, two blank ones, then the mistake: line 10 in any editor."""
    spoil(fresh_study, "survey_2022", lambda text: text + "\n\nfeel lonely,a third\n")
    refused(fresh_study, "survey_2022.csv", "line 10, share")


def test_an_unknown_column_is_refused_with_the_nearest_name(fresh_study: Study) -> None:
    spoil(fresh_study, "survey_2022", lambda text: text.replace("share", "shrae", 1))
    refused(fresh_study, "survey_2022.csv", "unknown column 'shrae'; did you mean 'share'?")


def test_a_column_too_many_is_refused(fresh_study: Study) -> None:
    spoil(fresh_study, "survey_2022", lambda text: "statement,share,n\nfeel lonely,0.3,5\n")
    refused(fresh_study, "survey_2022.csv", "unknown column 'n'")


def test_a_column_given_twice_is_refused(fresh_study: Study) -> None:
    spoil(fresh_study, "survey_2022", lambda text: "statement,share,share\nfeel lonely,0.3,0.6\n")
    refused(fresh_study, "survey_2022.csv", "share")


def test_a_missing_column_is_refused(fresh_study: Study) -> None:
    spoil(fresh_study, "survey_2022", lambda text: "statement\nfeel lonely\n")
    refused(fresh_study, "survey_2022.csv", "line 2, share: the column is missing")


@pytest.mark.parametrize("content", ["", "statement,share\n", "\n\n\n"])
def test_a_file_without_facts_is_refused(fresh_study: Study, content: str) -> None:
    spoil(fresh_study, "survey_2022", lambda text: content)
    refused(fresh_study, "survey_2022.csv", "no facts")


def test_an_unclosed_quote_is_refused(fresh_study: Study) -> None:
    spoil(fresh_study, "survey_2022", lambda text: text + '"feel lonely,0.3\n')
    refused(fresh_study, "survey_2022.csv", "cannot be read")


def test_a_file_that_is_not_utf_8_is_refused(fresh_study: Study) -> None:
    path = fresh_study.evidence / "survey_2022.csv"
    path.write_bytes(path.read_bytes() + b"na\xefve,0.3\n")
    refused(fresh_study, "survey_2022.csv", "cannot be read")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(fresh_study: Study, name: str) -> None:
    (fresh_study.evidence / f"{name}.csv").unlink()
    refused(fresh_study, f"{name}.csv", "missing")


def test_a_fact_given_twice_is_refused(fresh_study: Study) -> None:
    """Two values for one year of one origin: either could win in silence."""
    spoil(fresh_study, "doctorates", lambda text: text + "2010,china,9999\n")
    refused(fresh_study, "doctorates.csv", "2010")


def test_windows_line_ends_and_a_byte_order_mark_change_no_fact(fresh_study: Study, evidence: Evidence) -> None:
    for name in FILES:
        path = fresh_study.evidence / f"{name}.csv"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_evidence(fresh_study).facts == evidence.facts


# --- malformed sources -------------------------------------------------------------------------------------


def spoil_sources(study: Study, change: Change) -> None:
    study.sources.write_text(change(study.sources.read_text(encoding="utf-8")), encoding="utf-8")


def test_facts_without_a_source_are_refused(fresh_study: Study) -> None:
    spoil_sources(fresh_study, lambda text: text.replace("[doctorates]", "[diplomas]"))
    refused(fresh_study, "sources.toml", "no source for the facts 'doctorates'")


def test_a_missing_sources_file_is_refused(fresh_study: Study) -> None:
    fresh_study.sources.unlink()
    refused(fresh_study, "sources.toml")


def test_sources_that_are_not_toml_are_refused(fresh_study: Study) -> None:
    spoil_sources(fresh_study, lambda text: text + "\n[doctorates\n")
    refused(fresh_study, "sources.toml", "cannot be read")


@pytest.mark.parametrize(
    "table", ['what = "x"', 'what = ""\ncite = "x"', 'what = "x"\ncite = "x"\ncaveet = "x"', "what = 5\ncite = 6"]
)
def test_a_malformed_source_is_refused_and_named(fresh_study: Study, table: str) -> None:
    spoil_sources(fresh_study, lambda text: text + f"\n[my_source]\n{table}\n")
    refused(fresh_study, "sources.toml", "my_source")


# --- missing years -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row", ["1999,all", "2005,all", "2012,all", "2010,china", "2012,china", "2022,china", "2009,india", "2015,india"]
)
def test_a_missing_year_of_doctorates_is_refused_when_history_is_rebuilt(fresh_study: Study, row: str) -> None:
    def without(text: str) -> str:
        return "".join(line for line in text.splitlines(True) if not line.startswith(row + ","))

    spoil(fresh_study, "doctorates", without)
    with pytest.raises(EvidenceError, match=rf"doctorates\.csv: .*{row[:4]}"):
        rebuild_history(load_evidence(fresh_study), HORIZON, GROWTH)


@pytest.mark.parametrize("origin", ["china", "india", "all"])
def test_a_missing_origin_of_doctorates_is_refused_when_history_is_rebuilt(fresh_study: Study, origin: str) -> None:
    spoil(
        fresh_study,
        "doctorates",
        lambda text: "".join(line for line in text.splitlines(True) if f",{origin}," not in line),
    )
    with pytest.raises(EvidenceError, match=r"doctorates\.csv: "):
        rebuild_history(load_evidence(fresh_study), HORIZON, GROWTH)


@pytest.mark.parametrize("year", [2000, 2010, 2023])
def test_a_missing_year_of_spending_is_refused_when_history_is_rebuilt(fresh_study: Study, year: int) -> None:
    spoil(
        fresh_study,
        "rd_expenditure",
        lambda text: "".join(line for line in text.splitlines(True) if not line.startswith(f"{year},")),
    )
    with pytest.raises(
        EvidenceError, match=rf"rd_expenditure\.csv: no row for {year}: NCSES; OECD publishes 2000-2024"
    ):
        rebuild_history(load_evidence(fresh_study), HORIZON, GROWTH)


def test_a_missing_field_of_departures_is_refused_when_they_are_shown(fresh_study: Study) -> None:
    spoil(
        fresh_study,
        "departures_to_china",
        lambda text: "".join(line for line in text.splitlines(True) if not line.startswith("2010,life")),
    )
    with pytest.raises(EvidenceError, match=r"departures_to_china\.csv"):
        observed_departures(load_evidence(fresh_study), MAINLAND_STEM)


def test_the_order_of_the_lines_does_not_matter(fresh_study: Study, history: History) -> None:
    def reversed_lines(text: str) -> str:
        header, *lines = text.splitlines(True)
        return header + "".join(reversed(lines))

    for name in ("talent_batches", "doctorates", "rd_expenditure"):
        spoil(fresh_study, name, reversed_lines)
    again = rebuild_history(load_evidence(fresh_study), HORIZON, GROWTH)
    for name, table in history.timeline.tables.items():
        np.testing.assert_allclose(again.timeline.tables[name], table, err_msg=name)
