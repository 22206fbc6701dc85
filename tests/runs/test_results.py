"""Results can be copied and sent on, and show themselves briefly."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

import bdsim
from bdsim.runs.plan import Settings


@pytest.fixture(scope="module", params=["memory", "folder"])
def results(request, study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "x" if request.param == "folder" else None
    few = {"members": 3, "researchers_per_agent": 1000, "horizon": 2024, "fit": "none", "folder": folder}
    return bdsim.run(bdsim.load_scenario("baseline", study), **few)


@pytest.mark.parametrize("again", [lambda r: pickle.loads(pickle.dumps(r)), copy.deepcopy, copy.copy])
def test_results_are_copied_and_pickled_with_all_they_hold(results, again):
    other = again(results)
    assert other.departures.equals(results.departures)
    assert other.leavers.equals(results.leavers)
    assert (other.fingerprint, other.title) == (results.fingerprint, results.title)


def test_tables_may_be_written_to(results):
    """What somebody does with a table of theirs is theirs; the run still has its own."""
    for name, column in (("cohorts", "origin"), ("leavers", "destination"), ("departures", "researchers")):
        table = getattr(results, name)
        kept = table[column].iloc[0]
        table.loc[table.index[0], column] = table[column].iloc[-1]
        table.loc[table.index[0], column] = kept
    assert (results.cohorts.groupby("member", observed=True).size() == len(results.cohorts) // 3).all()
    assert sorted(results.cohorts["member"].unique()) == [0, 1, 2]


def test_results_show_themselves_in_one_line_and_as_a_short_table(results):
    assert repr(results) == f"<Results of baseline-{results.fingerprint}: 1 x 3 members, 2000-2024>"
    assert results._repr_html_().count("<tr") <= 20
    assert len(results._repr_html_()) < 5000


def test_digests_tell_a_single_number(results):
    before = results.digests
    departures = results.gathered("departures").copy()
    departures[1, 7, 0, 0, 0, 0] = np.nextafter(departures[1, 7, 0, 0, 0, 0], np.inf)

    class Changed:
        members = 3

        def table(self, name):
            return departures if name == "departures" else results.gathered(name)

    after = replace(results, parts=[Changed()]).digests
    assert np.argwhere(before != after).tolist() == [[1, 7]]


def test_whole_numbers_of_numpy_are_whole_numbers():
    assert Settings(np.int64(2), np.uint8(1)) == Settings(2, 1)
    assert type(Settings(np.int64(2)).members) is int
