"""Members that draw what a scenario does not know: nothing else moves, and what each assumption explains is right."""

import numpy as np
import pytest
from SALib.analyze import sobol as analysis
from SALib.sample import sobol as sampling

import bdsim
from bdsim.analysis.futures.discover import discover, parse_threshold
from bdsim.analysis.quantity import Quantity
from bdsim.reporting.report import _assumptions
from bdsim.runs.expected import Request, answers_to
from bdsim.runs.plan import Settings, plan_run
from bdsim.runs.results import ASSUMPTION
from bdsim.study.scenario import load_scenario, plan_of
from bdsim.study.uncertainty.assumptions import Assumption, assumptions_of

pytestmark = pytest.mark.one_python

HEAD = 'title = "T"\nquestion = "Q?"\nextends = "baseline"\n'
PART = '[[{kind}]]\nname = "{name}"\n{rest}why = "W"\n'
COARSE = {"researchers_per_agent": 300, "horizon": 2030, "fit": "none"}
TABLES = ("departures", "expected", "stocks", "entrants", "retired", "full_scale", "variance")
FIVE = {
    "Revival: scrutiny": (0.0, 2.0),
    "Cut: multiply": (0.6, 1.1),
    "Offers: multiply": (0.0, 3.0),
    "Pull: add": (-1.0, 3.0),
    "Funding: multiply": (0.9, 1.3),
}


def between(low, high):
    return f'{{ low = {low}, high = {high}, why = "R" }}'


def policy(scrutiny, start="2026-01-01"):
    rest = f"from = {start}\nuntil = 2031-01-01\nscrutiny = {scrutiny}\n"
    return PART.format(kind="policy", name="Revival", rest=rest)


def lever(name, table, how, value):
    rest = f'table = "{table}"\nyears = [2026, 2030]\n{how} = {value}\n'
    return PART.format(kind="lever", name=name, rest=rest)


def five(value):
    """Five parts with a value each, or a range."""
    v = {name: value(name) for name in FIVE}
    return HEAD + policy(v["Revival: scrutiny"]) + "".join(
        lever(name, table, how, v[f"{name}: {how}"])
        for name, table, how in (("Cut", "us_funding", "multiply"), ("Offers", "offers", "multiply"),
                                 ("Pull", "pull", "add"), ("Funding", "funding_ratio", "multiply"))
    )  # fmt: skip


def scenario(study, text, name):
    path = study.scenarios / f"{name}.toml"
    path.write_text(text)
    return load_scenario(path, study)


def same(one, other):
    return all(np.array_equal(one.gathered(table), other.gathered(table)) for table in TABLES)


def test_ranges_of_width_zero_are_the_run_without_them_to_the_bit(fresh_study):
    middle = {name: (low + high) / 2.0 for name, (low, high) in FIVE.items()}
    plain = scenario(fresh_study, five(lambda name: middle[name]), "plain")
    zero = scenario(fresh_study, five(lambda name: between(middle[name], middle[name])), "zero")
    runs = [bdsim.run(s, 4, **COARSE) for s in (plain, zero)]
    assert same(*runs) and not len(runs[1].drawn.columns)


def test_another_assumption_re_rolls_none(fresh_study):
    one = scenario(fresh_study, HEAD + policy(between(0.2, 1.5)), "one")
    nothing = lever("Nothing", "us_funding", "multiply", between(0.999999, 1.0))
    two = scenario(fresh_study, HEAD + policy(between(0.2, 1.5)) + nothing, "two")
    first, second = (bdsim.run(s, 5, **COARSE) for s in (one, two))
    name = f"{ASSUMPTION}Revival: scrutiny"
    assert first.members[name].tolist() == second.members[name].tolist() and first.members[name].nunique() == 5
    assert np.array_equal(first.gathered("departures")[:, :26], second.gathered("departures")[:, :26])  # before 2026


def test_every_member_is_the_run_of_what_it_drew(fresh_study):
    """Side by side or alone, with people of its own or not: each has the bits of the scenario that it drew."""
    students = lever("Students", "inflow_china", "multiply", between(0.5, 1.5))
    ranged = scenario(
        fresh_study, HEAD + policy(between(0.0, 1.5), between("2026-01-01", "2027-12-31")) + students, "r"
    )
    run = bdsim.run(ranged, 3, **COARSE)
    for member in range(3):
        drew = run.members.iloc[member]
        job = plan_run(ranged, Settings(3, 0, 300, "compiled", 2030), None, "none")
        (plan,) = job.plans_of(member)
        start, value = plan.branch.policies[-1].start, plan.branch.policies[-1].scrutiny
        assert value == drew[f"{ASSUMPTION}Revival: scrutiny"]
        factor = drew[f"{ASSUMPTION}Students: multiply"]
        own = HEAD + policy(value, start) + lever("Students", "inflow_china", "multiply", repr(float(factor)))
        alone = bdsim.run(scenario(fresh_study, own, f"own{member}"), 3, **COARSE)
        for table in TABLES:
            assert np.array_equal(run.gathered(table)[member], alone.gathered(table)[member]), table


def test_shares_of_variance_agree_with_sobol_indices(fresh_study):
    """Five ranges, 500 members, against SALib's first-order indices of expected runs: within 0.05."""
    ranged = scenario(fresh_study, five(lambda name: between(*FIVE[name])), "ranged")
    run = bdsim.run(ranged, 500, **{**COARSE, "researchers_per_agent": 1500})
    split, alone = run.variance_split(2026, 2030), run.assumption_shares(2026, 2030)
    assert set(alone) == set(FIVE) and sum(split.values()) == pytest.approx(1.0)
    assert sum(alone.values()) == pytest.approx(split["assumptions"], abs=0.02)
    job = plan_run(ranged, Settings(1, 0, 1500, "compiled", 2030), None, "none")
    problem = {"num_vars": 5, "names": list(FIVE), "bounds": [list(b) for b in FIVE.values()]}
    points = sampling.sample(problem, 256, calc_second_order=False, seed=1)
    plans = [plan_of(_with(job.plans[0].branch, dict(zip(FIVE, p, strict=True))), job.history) for p in points]
    asked = [Request(plan.timeline, [job.parameters]) for plan in plans]
    values = np.concatenate(answers_to(job, asked, Quantity("departures", 2026, 2030).of))
    found = analysis.analyze(problem, values, calc_second_order=False, seed=1)
    for name, index in zip(FIVE, found["S1"], strict=True):
        assert alone[name] / split["assumptions"] == pytest.approx(index, abs=0.05), name


def _with(branch, values):
    """The branch with these values in place of its ranges."""
    policies = [
        p.model_copy(update={"scrutiny": values["Revival: scrutiny"]}) if p.name == "Revival" else p
        for p in branch.policies
    ]
    levers = []
    for v in branch.levers:
        how = "add" if v.name == "Pull" else "multiply"
        key = f"{v.name}: {how}"
        levers.append(v.model_copy(update={how: values[key]}) if key in values else v)
    return type(branch)(branch.name, branch.chance, tuple(policies), tuple(levers), branch.outcomes)


def test_what_must_be_true_is_found_where_an_outcome_depends_on_two_assumptions(fresh_study):
    text = HEAD + policy(between(0.0, 2.0)) + lever("Cut", "us_funding", "multiply", between(0.6, 1.1))
    text += lever("Students", "inflow_india", "multiply", 1.0) + lever(
        "Offers", "offers", "multiply", between(0.99, 1.01)
    )
    run = bdsim.run(scenario(fresh_study, text, "two"), 300, **COARSE)
    level = float(np.quantile(run.by()[0][:, 2030 - 2000], 0.8))
    found = discover(run, parse_threshold(f"departures:2030={level}", True, None, 2030), most=1)
    limits = {(v.input, v.side) for v in found.boxes[0].limits}
    assert {("Revival: scrutiny", "above"), ("Cut: multiply", "below")} == limits
    assert found.boxes[0].density > 0.6 and found.boxes[0].coverage > 0.5
    assert set(found.scores["input"][:2]) == {"Revival: scrutiny", "Cut: multiply"}


def test_a_drawn_chance_is_the_members_weight(fresh_study):
    outcome = '[[event.outcomes]]\nname = "{0}"\nchance = {1}\n'
    event = '[[event]]\nname = "Vote"\non = 2026-01-01\nwhy = "W"\n'
    text = HEAD + event + outcome.format("passed", between(0.2, 0.6)) + outcome.format("failed", 0.6)
    run = bdsim.run(scenario(fresh_study, text, "vote"), 6, **COARSE)
    members = run.members
    assert run.weights.sum() == pytest.approx(1.0)
    passed = members[members["branch"] == "passed"]
    assert (passed["weight"] * 6).tolist() == pytest.approx(passed[f"{ASSUMPTION}passed: chance"].tolist())
    both = members.groupby("draw")["weight"].sum()
    assert both.tolist() == pytest.approx([1.0 / 6.0] * 6)


def test_results_name_their_assumptions(fresh_study, tmp_path):
    ranged = scenario(fresh_study, HEAD + policy(between(0.2, 1.5)), "one")
    run = bdsim.run(ranged, 8, **COARSE, folder=tmp_path / "run")
    (assumption,) = assumptions_of(ranged)
    assert isinstance(assumption, Assumption)
    assert run.manifest["assumptions"] == [
        {"name": "Revival: scrutiny", "says": "0.2 to 1.5", "why": "R", "centre": pytest.approx(0.85)}
    ]
    assert set(run.manifest["variance_of_departures"]["each_assumption"]) == {"Revival: scrutiny"}
    other = scenario(fresh_study, HEAD + policy(between(0.2, 1.6)), "one")
    jobs = [plan_run(s, Settings(8, 0, 300, "compiled", 2030), None, "none") for s in (ranged, other)]
    assert jobs[0].fingerprint != jobs[1].fingerprint


def test_too_few_members_for_so_many_assumptions_tell_nothing_and_say_so(fresh_study):
    run = bdsim.run(scenario(fresh_study, five(lambda name: between(*FIVE[name])), "ranged"), 6, **COARSE)
    assert run.assumption_shares(2026, 2030) == {}
    split = run.variance_split(2026, 2030)
    assert "parameters and assumptions" in split and sum(split.values()) == pytest.approx(1.0)


def test_a_report_names_ranges_with_their_reasons_and_an_event_that_gives_none(fresh_study):
    outcome = '[[event.outcomes]]\nname = "{0}"\nchance = {1}\n'
    event = '[[event]]\nname = "Vote"\non = 2026-01-01\n'
    text = HEAD + policy(between(0.2, 1.5)) + event + outcome.format("passed", 0.4) + outcome.format("failed", 0.6)
    run = bdsim.run(scenario(fresh_study, text, "one"), 2, **COARSE)
    table = _assumptions(run, {})
    rows = {row[table.columns.index("name")]: " | ".join(row) for row in table.rows}
    assert "scrutiny 0.2 to 1.5" in rows["Revival"] and "W; scrutiny: R" in rows["Revival"]
    assert "not stated" in rows["Vote"]
