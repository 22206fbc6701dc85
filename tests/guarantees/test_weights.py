"""What a run tells rests on the weights of its members: the same numbers however branches are cut or ordered."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bdsim
from bdsim.analysis.comparison import distinct, unique
from bdsim.analysis.events import reweighted
from bdsim.cli.terminal import as_json
from bdsim.errors import UsageError
from bdsim.reporting.summary import Summary
from bdsim.runs.store.parts import Chosen

SETTINGS = {"members": 4, "researchers_per_agent": 200, "horizon": 2030, "fit": "none"}


@pytest.fixture(scope="module")
def runs():
    return [bdsim.run(bdsim.load_scenario(name), **SETTINGS) for name in ("baseline", "protect-act")]


def picked(results, branches):
    """The same run with its members in another order of branches: (name, new name, factor on its chance) of each."""
    chances = {b["name"]: b for b in results.manifest["branches"]}
    ways = [{**chances[old], "name": new, "chance": chances[old]["chance"] * f} for old, new, f in branches]
    firsts = np.cumsum([0, *(part.members for part in results.parts)])
    parts, tables = [], []
    for old, new, factor in branches:
        at = np.flatnonzero((results.members["branch"] == old).to_numpy())
        for first, part in zip(firsts[:-1], results.parts, strict=True):
            inside = at[(at >= first) & (at < first + part.members)]
            if len(inside):
                parts.append(Chosen(part, inside - first))
                rows = results.members.iloc[inside]
                tables.append(rows.assign(branch=new, weight=rows["weight"] * factor))
    members = pd.concat(tables, ignore_index=True)
    members = members.assign(member=np.arange(len(members)))
    return replace(results, manifest={**results.manifest, "branches": ways}, members=members, parts=parts)


def told(reference, results):
    """Every number that is told of a run, but the list of its branches."""
    comparison = bdsim.compare(reference, results)
    plain = Summary(comparison.others[0], comparison).plain()
    return {name: value for name, value in plain.items() if name not in ("branches", "fingerprint")}


def numbers(value):
    """All numbers in nested values, in their order."""
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_halves_of_a_branch_another_order_and_no_chance_change_no_number(runs):
    reference, act = runs
    names = [b["name"] for b in act.manifest["branches"]]
    before = told(reference, act)
    whole = [(name, name, 1.0) for name in names]
    halves = [(names[0], names[0], 0.5), (names[0], f"{names[0]} again", 0.5), *whole[1:]]
    for branches in (halves, whole[::-1]):
        after = told(reference, picked(act, branches))
        assert after["in_words"] == before["in_words"]
        assert numbers(after) == pytest.approx(numbers(before), rel=1e-9, abs=1e-6)


def test_a_branch_without_a_chance_is_as_if_it_were_not_there(runs):
    reference, act = runs
    weighed = reweighted(act, {"supporter wins": 0.0})
    there = [(b["name"], b["name"], 1.0) for b in weighed.manifest["branches"] if b["chance"] > 0.0]
    with_it, without = told(reference, weighed), told(reference, picked(weighed, there))
    assert with_it["in_words"] == without["in_words"]
    assert numbers(with_it) == pytest.approx(numbers(without), rel=1e-9, abs=1e-6)


def test_the_share_to_china_is_that_by_chances(runs):
    _, act = runs
    table = act.by("destination")[0][:, 25:30].sum(axis=1)
    expected = np.average(table, axis=0, weights=act.weights)
    (row,) = [p for p in Summary(act).periods if p["from"] == 2025]
    assert row["share_china"] == pytest.approx(expected[0] / expected.sum(), rel=1e-12)


def test_nothing_that_cannot_happen_changes_a_reference(runs):
    reference, act = runs
    never = reweighted(act, {"Senate passes it (supporter)": 0.0, "Senate passes it (opponent)": 0.0})
    comparison = bdsim.compare(reference, never)
    summary = Summary(comparison.others[0], comparison)
    assert summary.headline is None
    assert summary.sentences() == ["By the model, Protect Act changes nothing against Baseline."]


def test_one_member_has_no_interval(runs):
    one = [bdsim.run(bdsim.load_scenario(n), **{**SETTINGS, "members": 1}) for n in ("baseline", "talent-surge")]
    comparison = bdsim.compare(*one)
    summary = Summary(comparison.others[0], comparison)
    assert "[unknown]" in summary.headline.number
    assert "One member cannot show how well the mean is known." in " ".join(summary.sentences())
    assert "[unknown]" in summary.blocks()[0].rows[0]["departures, median [90%]"]
    assert "NaN" not in as_json(summary.plain())
    for told in (summary, Summary(comparison.reference, comparison)):
        assert told.headline.grounds == ""  # one draw does not tell what a variance rests on
        assert "90% of 1" not in told.caption
    assert np.isnan(summary.precision.half_width)
    assert summary.precision.members_needed() is None


def test_the_years_of_the_question_are_the_years_of_the_answer(runs):
    comparison = bdsim.compare(*runs)
    summary = Summary(comparison.others[0], comparison, asked=(2027, 2029))
    assert summary.headline.years == (2027, 2029)
    assert (summary.periods[-1]["from"], summary.periods[-1]["until"]) == (2027, 2029)
    effect = comparison.difference(comparison.others[0], [(2027, 2029)])
    assert summary.headline.value == pytest.approx(float(effect.mean()[0]))
    before = Summary(comparison.others[0], comparison, asked=(2005, 2010))
    assert before.headline is None
    with pytest.raises(UsageError, match="lies outside the run"):
        Summary(comparison.others[0], comparison, asked=(2027, 2040)).years  # noqa: B018  (asked for its error)


def test_runs_that_share_a_name_and_a_title_are_told_apart(runs):
    reference, act = runs
    other = replace(act, manifest={**act.manifest, "fingerprint": "ffffffffffff"})
    names = [r.name for r in distinct([reference, act, other])]
    assert names == ["baseline", f"protect-act-{act.fingerprint[:6]}", "protect-act-ffffff"]
    comparison = bdsim.compare(reference, act, other)
    assert len({r.name for r in comparison.all}) == len({r.title for r in comparison.all}) == 3
    assert set(comparison.effect()["scenario"]) == set(names[1:])


def test_labels_are_unique_whatever_is_shared():
    assert unique(["a", "b"], ["x", "y"], "{} ({})") == ["a", "b"]
    assert unique(["a", "a"], ["x", "y"], "{} ({})") == ["a (x)", "a (y)"]
    assert len(set(unique(["a", "a", "a", "a (x)"], ["x", "x", "x", "z"], "{} ({})"))) == 4
