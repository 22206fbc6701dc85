"""Why, how far and what matters: shares add up, roots are roots, known functions are recovered."""

import json
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bdsim
from bdsim.analysis.attribution import CAUSES, TOTAL, attribute_effect, attribute_growth, shapley
from bdsim.analysis.breakeven import BreakEven, Turned, break_even
from bdsim.analysis.futures.regret import combined, regret_of
from bdsim.analysis.quantity import Quantity, parse_goal, parse_quantity
from bdsim.analysis.sensitivity import indices, make_inputs, sensitivity
from bdsim.errors import UsageError
from bdsim.reporting.questions import breakeven_answer
from bdsim.runs.expected import Request, answers_to, posterior_draws
from bdsim.runs.plan import Settings, plan_run

pytestmark = pytest.mark.one_python

FEW = Settings(3, 0, 200, "compiled", 2030)
PLAYERS = ("a", "b", "c", "d")


def job(name, settings=FEW, study=None):
    return plan_run(bdsim.load_scenario(name, study), settings)


def runs_of(world, draws, timeline=None):
    """What every draw makes of a world's first branch, with the shocks that go with the draw, as a run has them."""
    return Request(timeline or world.plans[0].timeline, draws, range(len(draws)))


def coalitions(players):
    return map(frozenset, chain.from_iterable(combinations(players, n) for n in range(len(players) + 1)))


@given(st.lists(st.floats(-1e3, 1e3), min_size=16, max_size=16))
def test_shapley_values_add_up_and_treat_equals_alike(numbers):
    game = {s: np.array([x]) for s, x in zip(coalitions(PLAYERS), numbers, strict=True)}
    values = shapley(game, PLAYERS)
    whole = game[frozenset(PLAYERS)] - game[frozenset()]
    assert values.sum(axis=1) == pytest.approx(whole, abs=1e-9)
    swapped = {frozenset({"a": "b", "b": "a"}.get(p, p) for p in s): x for s, x in game.items()}
    assert shapley(swapped, PLAYERS)[:, :2] == pytest.approx(values[:, 1::-1][:, :2], abs=1e-9)


@given(st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4))
def test_what_adds_the_same_to_every_world_has_that_share(each):
    worth = dict(zip(PLAYERS, each, strict=True))
    game = {s: np.array([sum(worth[p] for p in s)]) for s in coalitions(PLAYERS)}
    assert shapley(game, PLAYERS)[0] == pytest.approx(each, abs=1e-9)


def test_shares_of_growth_add_up_to_the_growth_that_the_model_has():
    world = job("baseline")
    found = attribute_growth(world, 2010, 2021)
    assert found.values.sum(axis=1) == pytest.approx(found.total, rel=1e-12)
    growth = [
        answers_to(world, [runs_of(world, posterior_draws(world))], Quantity("departures", y, y).of)[0]
        for y in (2010, 2021)
    ]
    assert found.total == pytest.approx(growth[1] - growth[0], rel=1e-12)
    table = found.table()
    assert table["share"][:-1].sum() == pytest.approx(1.0, abs=1e-12)
    assert table["cause"].iloc[-1] == TOTAL


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("initiative-revival", "scrutiny"),
        ("talent-surge", "talent offers"),
        ("china-funding-plateau", "Chinese funding"),
        ("us-funding-cut", "US conditions"),
        ("protect-act", "scrutiny"),
        ("student-visa-cut", "population growth"),
    ],
)
def test_only_what_a_scenario_changes_has_a_share_and_colleagues(name, changed):
    reference, world = job("baseline"), job(name)
    quantity = Quantity("departures", 2025, 2030)
    found = attribute_effect(world, reference, quantity)
    assert found.values.sum(axis=1) == pytest.approx(found.total, rel=1e-9)
    shares = dict(zip(found.causes, found.values.T, strict=True))
    for cause in found.causes:
        if cause not in (changed, "colleagues and ties"):
            assert (shares[cause] == 0.0).all(), cause
    assert (shares[changed] != 0.0).all()
    draws = posterior_draws(world)
    there = sum(
        p.branch.chance * answers_to(world, [runs_of(world, draws, p.timeline)], quantity.of)[0] for p in world.plans
    )  # fmt: skip
    here = answers_to(reference, [runs_of(reference, draws)], quantity.of)[0]
    assert found.total == pytest.approx(there - here, rel=1e-9)


def test_every_yearly_table_belongs_to_one_cause():
    from bdsim.model.world import TABLES

    assert sorted(chain.from_iterable(CAUSES.values())) == sorted(TABLES)


def test_break_even_finds_a_root_that_was_planted():
    """What the model gives at 1.3 is asked for: 1.3 must come back, for every draw."""
    world = job("baseline", Settings(1, 0, 200, "compiled", 2030))
    turned = Turned("us_funding", "multiply", (2026, 2030), 0.5, 2.0)
    draws = posterior_draws(world)
    assert len(draws) == 1
    quantity = Quantity("departures", 2030, 2030)
    there = turned.world(world.plans[0].timeline, 1.3)
    (planted,) = answers_to(world, [runs_of(world, draws, there)], quantity.of)
    found = break_even(world, turned, parse_goal(f"departures:2030<={float(planted[0])!r}", 2030, "x"))
    assert found.roots == pytest.approx([1.3], abs=1e-3)
    assert found.monotone
    assert found.reachable == 1.0
    assert not found.held_before.any()


def test_a_goal_out_of_reach_is_said_to_be_so():
    found = break_even(
        job("protect-act"),
        Turned("us_funding", "multiply", (2026, 2030), 0.9, 1.1),
        parse_goal("to_china:2030<=1", 2030, "x"),
    )
    assert found.reachable == 0.0
    assert found.throughout == 0.0
    assert found.interval() == (np.inf, np.inf, np.inf)  # more than any value of the range


def planted_break_even(roots, low, high, *, under=True, rises=False, how="set"):
    """Straight responses that cross the goal where they are told to, looked for between `low` and `high` alone."""
    goal = parse_goal(f"departures:2030{'<=' if under else '>='}1000", 2030, "x")
    grid = np.linspace(low, high, 13)
    response = 1000.0 + (1.0 if rises else -1.0) * 100.0 * (grid - np.asarray(roots)[:, None])
    inside = np.where((np.asarray(roots) >= low) & (np.asarray(roots) <= high), roots, np.nan)
    turned = Turned("us_funding", how, (2026, 2030), low, high)
    held = response[:, 6] <= 1000.0 if under else response[:, 6] >= 1000.0
    return BreakEven(turned, goal, grid, response, inside, held, True)


@given(
    st.lists(st.floats(0.1, 9.9), min_size=2, max_size=40), st.floats(0.5, 4.0), st.floats(4.5, 9.0), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_a_break_even_does_not_depend_on_where_it_was_looked_for(roots, low, high, under, rises):
    """Every draw counts: what lies beyond the range is said to, and what lies within it is where it would be anyway."""
    everywhere = np.quantile(roots, (0.05, 0.5, 0.95), method="inverted_cdf")
    found = planted_break_even(roots, low, high, under=under, rises=rises)
    for here, there in zip(found.interval(), everywhere, strict=True):
        if np.isfinite(found.roots).all():
            continue  # then between draws, as everywhere else in the program
        assert here == (there if low <= there <= high else -np.inf if there < low else np.inf)
    assert found.side == ("at most" if under == rises else "at least")
    assert found.reachable + found.throughout <= 1.0 + 1e-12


@pytest.mark.parametrize(
    ("roots", "said"),
    [
        (np.full(20, 1.0), ["set us_funding in 2026-2030 to at least 1 90% [1, 1] of 20 posterior draws",
                            "Where nothing changes it holds in 20 of the 20 draws."]),
        (np.repeat([0.2, 1.0, 1.2], [6, 10, 4]), ["to at least 1 90% [less than 0.5, 1.2]", "one just meets it in 14, "
                                                  "each does in 6, none in 0"]),
        (np.repeat([1.0, 1.7], [4, 16]), ["to more than 1.5 90% [1, more than 1.5]", "one just meets it in 4, each "
                                          "does in 0, none in 16"]),
        (np.full(20, 0.3), ["no value of us_funding from 0.5 to 1.5 just meets the goal in any of 20",
                            "each does in 20"]),
    ],
)  # fmt: skip
def test_a_break_even_is_said_of_all_draws(roots, said):
    world = job("baseline", Settings(1, 0, 200, "compiled", 2030))
    answer = breakeven_answer(planted_break_even(roots, 0.5, 1.5), world)
    words = " ".join(str(part) for part in answer.said)
    for part in said:
        assert part in words
    assert answer.plain["in_words"] == list(answer.said[:2])


def test_a_break_even_below_nothing_says_on_which_side_the_goal_holds():
    world = job("baseline", Settings(1, 0, 200, "compiled", 2030))
    found = planted_break_even(np.full(20, -2.0), -5.0, 5.0, how="add")
    assert "by at least -2 90% [-2, -2]" in str(breakeven_answer(found, world).said[0])


def test_a_break_even_of_a_response_that_turns_says_of_how_many_draws_it_is():
    """Where draws that cross nowhere have no place, a value of some is none of the others'."""
    world = job("baseline", Settings(1, 0, 200, "compiled", 2030))
    for met, said in ((12, "That is of the 12 of 20 posterior draws"), (4, "in only 4 of 20 posterior draws")):
        found = planted_break_even(np.where(np.arange(20) < met, 1.0, 5.0), 0.5, 1.5)
        words = " ".join(map(str, breakeven_answer(replace(found, monotone=False), world).said))
        assert said in words
        assert ("no number to quote" in words) == (met == 4)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("departures:2030", "is not a goal; write e.g."),
        ("departures:2030<=", "is not a goal"),
        ("departures:2030<=nan", "is not a goal"),
        ("departures:2030<=-1", "is not a goal"),
        ("departure:2030<=5", "unknown quantity 'departure'; did you mean 'departures'?"),
        ("departures:2031<=5", "does not lie within 2000-2030"),
        ("departures:2030-2025<=5", "does not lie within 2000-2030 in order"),
        ("departures<=5", "is not a quantity"),
    ],
)
def test_bad_goals_get_one_line(text, problem):
    with pytest.raises(UsageError) as caught:
        parse_goal(text, 2030, "--target")
    assert problem in str(caught.value)
    assert str(caught.value).startswith("--target: ")


@given(
    st.sampled_from(["departures", "to_china", "to_elsewhere", "stock"]), st.integers(2000, 2035), st.integers(0, 30)
)
def test_a_quantity_reads_as_it_is_written(kind, first, more):
    quantity = Quantity(kind, first, min(first + more, 2035))
    assert parse_quantity(str(quantity), 2035, "x") == quantity


def test_to_china_and_to_elsewhere_make_up_departures():
    world = job("baseline")
    asked = [runs_of(world, posterior_draws(world))]
    values = {
        k: answers_to(world, asked, Quantity(k, 2020, 2025).of)[0] for k in ("departures", "to_china", "to_elsewhere")
    }
    assert values["to_china"] + values["to_elsewhere"] == pytest.approx(values["departures"])


PROBLEM = {"num_vars": 3, "names": ["x", "y", "idle"], "bounds": [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]}


def test_morris_recovers_a_linear_function():
    table, _ = indices(lambda p: 3.0 * p[:, 0] - 2.0 * p[:, 1], PROBLEM, "morris", 20, 1)
    found = table.set_index("input")
    assert found["index"].to_dict() == pytest.approx({"x": 3.0, "y": 2.0, "idle": 0.0}, abs=1e-9)
    assert found["mean"]["y"] == pytest.approx(-2.0)
    assert found["sigma"].to_numpy() == pytest.approx(0.0, abs=1e-9)


def test_sobol_recovers_the_shares_of_variance():
    """3 x - 2 y has 9/13 of its variance from x; 1,024 samples, fixed seed: within 0.05."""
    table, _ = indices(lambda p: 3.0 * p[:, 0] - 2.0 * p[:, 1], PROBLEM, "sobol", 1024, 1)
    assert table.set_index("input")["index"].to_dict() == pytest.approx(
        {"x": 9 / 13, "y": 4 / 13, "idle": 0.0}, abs=0.05
    )


def test_a_function_that_never_changes_depends_on_nothing():
    for method in ("morris", "sobol"):
        table, _ = indices(lambda p: np.ones(len(p)), PROBLEM, method, 8, 1)
        assert (table["index"] == 0.0).all()


def test_what_the_model_cannot_depend_on_has_no_index():
    """Departures of 2020 do not know of a lever in 2026."""
    world = job("baseline", Settings(1, 0, 400, "compiled", 2030))
    inputs = make_inputs(world, {"us_funding": (0.5, 1.5)}, (2026, 2030), "posterior")
    found = sensitivity(world, Quantity("departures", 2020, 2020), inputs, "morris", 3).table.set_index("input")
    assert found["index"]["lever us_funding"] == 0.0
    assert found["index"]["leave_china.china"] > 100


def test_wrong_inputs_are_refused():
    world = job("baseline")
    with pytest.raises(UsageError, match="did you mean 'us_funding'"):
        make_inputs(world, {"us_fundin": (0.5, 1.5)}, (2026, 2030), "prior")
    with pytest.raises(UsageError, match="is empty or negative"):
        make_inputs(world, {"us_funding": (1.5, 0.5)}, (2026, 2030), "prior")
    with pytest.raises(UsageError, match="not a power of two"):
        indices(lambda p: p[:, 0], PROBLEM, "sobol", 48, 1)


def test_a_policy_joined_to_a_future_changes_what_both_change():
    load = bdsim.load_scenario
    both = combined(load("us-retention-package"), load("baseline"), load("initiative-revival"))
    assert [p.name for p in both.policies] == ["China Initiative", "China Initiative, revived"]
    assert len(both.levers) == 2
    assert combined(load("no-initiative"), load("baseline"), load("talent-surge")).policies == ()
    assert combined(load("baseline"), load("baseline"), load("protect-act")).events == load("protect-act").events


def test_regret_is_what_is_missed_against_the_best():
    names = ("baseline", "us-retention-package", "us-funding-cut")
    policies = [bdsim.load_scenario(n) for n in names]
    futures = [bdsim.load_scenario(n) for n in ("baseline", "protect-act")]
    world = job("baseline")
    found = regret_of(world, policies, futures, Quantity("departures", 2026, 2030))
    assert (found.regret >= 0.0).all()
    assert (found.regret.min(axis=1) == 0.0).all()
    assert found.regret == pytest.approx(found.values - found.values.min(axis=1, keepdims=True))
    alone = job("us-funding-cut")
    asked = [runs_of(alone, posterior_draws(alone))]
    assert found.values[:, 2, 0] == pytest.approx(answers_to(alone, asked, found.quantity.of)[0])
    more = regret_of(world, policies, futures, Quantity("stock", 2030, 2030), more=True)
    assert (more.regret[:, 1] == 0.0).all()  # the package keeps most people here


@pytest.mark.parametrize(
    "command",
    [
        ["attribute", "--from", "2010", "--until", "2014"],
        ["attribute", "initiative-revival", "--of", "departures:2025-2026", "--horizon", "2026"],
        ["breakeven", "--lever", "soft_power", "--target", "departures:2028<=2300", "--years", "2026-2028",
         "--horizon", "2028"],
        ["sensitivity", "--of", "departures:2012", "--samples", "2", "--horizon", "2012", "--years", "2010-2012"],
        ["regret", "--policies", "baseline,us-retention-package", "--futures", "baseline", "--of", "stock:2027",
         "--more", "--horizon", "2027"],
    ],
)  # fmt: skip
def test_commands_answer_in_json_and_keep_figure_numbers_and_manifest(here, capsys, command):
    from bdsim.cli.main import app

    few = [] if command[0] == "sensitivity" else ["--draws", "2"]
    app([*command, *few, "-k", "500", "--json"], standalone_mode=False)
    answer = json.loads(capsys.readouterr().out)
    folder = here / answer["folder"]
    kept = {path.suffix for path in folder.iterdir() if path.name != "SHA256SUMS"}
    assert kept == {".png", ".svg", ".csv", ".json"}
    assert json.loads((folder / "manifest.json").read_text())["fingerprint"]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["attribute", "baseline"], "extends no scenario"),
        (["attribute", "--from", "2021", "--until", "2010"], "need 2000 < from < until"),
        (["breakeven"], "name a --lever and a --target"),
        (["breakeven", "--lever", "us_fund", "--target", "departures:2035<=1"], "did you mean 'us_funding'"),
        (
            ["breakeven", "--lever", "offers", "--target", "departures:2035<=1", "--as", "multiplied"],
            "did you mean 'multiply'",
        ),
        (["breakeven", "--lever", "offers", "--target", "departures:2035<=1", "--range", "3"], "two numbers"),
        (
            ["breakeven", "--lever", "offers", "--target", "departures:2035<=1", "--range", "-2,3"],
            "must not be negative",
        ),
        (["sensitivity", "--method", "moris", "-k", "500"], "did you mean 'morris'"),
        (["sensitivity", "--over", "priors"], "did you mean 'prior'"),
        (["sensitivity", "--lever", "offers=1"], "two numbers with '..' between"),
        (["regret"], "name --policies and --futures"),
        (["regret", "--policies", "baseline", "--futures", "baseline"], "at least two policies"),
    ],
)
def test_mistakes_get_one_line_and_write_nothing(here, command, problem):
    from bdsim.cli.main import app

    with pytest.raises(bdsim.BdsimError) as caught:
        app(command, standalone_mode=False)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in (here / "results").iterdir()] == ["README.md"]
