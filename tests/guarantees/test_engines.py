"""Both engines make the same decision for every researcher in every year, to the last bit, in any order."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import bdsim
from bdsim.model import draws
from bdsim.model.agents import Researcher
from bdsim.model.categories import FIELDS, FIRST_YEAR
from bdsim.model.engine import batch
from bdsim.model.engine.batch import Company, MemberInputs, simulated, simulated_alone, simulated_worlds
from bdsim.model.engine.year import close_year
from bdsim.model.fates import with_programme
from bdsim.model.machine_code import SINGLE_WIDTH
from bdsim.model.world import Shocks
from bdsim.runs.ensemble import run_job, run_jobs, run_member
from bdsim.runs.mesa import MigrationModel
from bdsim.runs.plan import Settings, plan_run

TABLES = (
    "departures", "expected", "variance", "programme", "programme_expected", "stocks", "entrants", "retired", "left",
    "entered",
)  # fmt: skip


def both(scenario: str, seed: int, scale: int, horizon: int, **kwargs):
    settings = Settings(1, seed, scale, "mesa", horizon)
    job = plan_run(bdsim.load_scenario(scenario), settings)
    world = job.world(job.plans[0])
    world = job.member_world(world, 0)
    counts, fates = run_member(world, seed, 0)
    model = MigrationModel(world, seed=seed, member=0, **kwargs)
    model.run_model()
    return counts, fates, model, world


@pytest.mark.parametrize(
    ("scenario", "seed", "scale", "horizon", "shuffled"),
    [  # whoever decides as the loop does in a shuffled order does so in any; one is not shuffled all the same
        ("baseline", 0, 150, 2035, True),
        ("initiative-revival", 1, 80, 2030, True),
        ("student-visa-cut", 2, 150, 2032, False),
        ("talent-surge", 7, 37, 2013, True),
        ("us-retention-package", 11, 500, 2035, True),
    ],
)
def test_mesa_agents_and_the_compiled_loop_decide_alike(scenario, seed, scale, horizon, shuffled):
    _, fates, model, _ = both(scenario, seed, scale, horizon, shuffled=shuffled)
    assert fates.any()
    assert np.array_equal(fates, model.state.fate)


def test_all_tables_are_identical_to_the_bit():
    scenario = bdsim.load_scenario("initiative-revival")
    runs = [run_job(plan_run(scenario, Settings(2, 5, 200, engine, 2030))) for engine in ("compiled", "mesa")]
    for table in TABLES:
        assert np.array_equal(getattr(runs[0].counts, table), getattr(runs[1].counts, table)), table


class Braver(Researcher):
    """A subclass whose one changed line must show: the identity test would catch a drifting engine."""

    def feel(self, colleagues_fear):
        return super().feel(colleagues_fear) * 0.9


class BraverModel(MigrationModel):
    researcher_class = Braver


def test_the_identity_test_fails_when_one_side_is_altered():
    settings = Settings(1, 0, 150, "mesa", 2022)
    job = plan_run(bdsim.load_scenario("baseline"), settings, {"push": 1.0})
    world = job.world(job.plans[0])
    _, fates = run_member(world, 0, 0)
    model = BraverModel(world)
    model.run_model()
    assert not np.array_equal(fates, model.state.fate)


def with_push(world, push):
    return replace(world, behaviour=world.behaviour._replace(weights=world.behaviour.weights._replace(push=push)))


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("count", [3, 8, 11])  # lanes left empty, all taken, and a second group
def test_members_side_by_side_have_the_bits_of_runs_of_their_own(count, sampled):
    job = plan_run(bdsim.load_scenario("talent-surge"), Settings(count, 4, 300, "compiled", 2030))
    world = job.world(job.plans[0])
    worlds = [with_push(job.member_world(world, m), 0.1 * m) for m in range(count)]
    own = [MemberInputs(w.behaviour, w.agent_size, draws.member_seed(4, m)) for m, w in enumerate(worlds)]
    together = simulated(world.population, world.environment, own, sampled=sampled)
    assert len(together) == count
    for m, (tally, fates) in enumerate(together):
        alone, alone_fates = simulated_alone(world.population, world.environment, own[m], sampled=sampled)
        for name, side_by_side, one in zip(tally._fields, tally, alone, strict=True):
            assert side_by_side.tobytes() == one.tobytes(), (m, name)
        assert np.array_equal(fates, alone_fates)
    assert together[0][0].departures.sum() != together[1][0].departures.sum()  # members do differ


# They part from the first in 2018, in 2025, in 2026 (two), never, and in the year in which fewer doctorates arrive.
PARTING = (
    "baseline",
    "no-initiative",
    "initiative-revival",
    "nih-cut",
    "us-funding-cut",
    "baseline",
    "student-visa-cut",
)


@pytest.mark.parametrize("sampled", [True, False])
def test_worlds_that_share_their_past_have_the_bits_of_runs_of_their_own(sampled):
    jobs = [plan_run(bdsim.load_scenario(name), Settings(11, 4, 300, "compiled", 2032)) for name in PARTING]
    # A world with other members than the rest shares nothing, and one with fewer leaves a second group to the others.
    members = [range(11)] * 5 + [range(3, 11), range(8)]
    worlds = []
    for job, draws_of in zip(jobs, members, strict=True):
        recipe = job.recipe(job.plans[0])
        own = [job.inputs(job.plans[0], draw) for draw in draws_of]
        worlds.append(Company(recipe.population, recipe.environment, own))
    for name, world, together in zip(PARTING, worlds, simulated_worlds(worlds, sampled=sampled), strict=True):
        for (tally, fates), (alone, alone_fates) in zip(together, simulated(*world, sampled=sampled), strict=True):
            for table, ours, theirs in zip(tally._fields, tally, alone, strict=True):
                assert ours.tobytes() == theirs.tobytes(), (name, table)
            assert np.array_equal(fates, alone_fates), name


def test_a_past_in_common_is_lived_once(monkeypatch):
    years = []
    live_year = batch.live_year

    def counted(year, *rest):
        years.append(FIRST_YEAR + year)
        live_year(year, *rest)

    monkeypatch.setattr(batch, "live_year", counted)
    jobs = [plan_run(bdsim.load_scenario(name), Settings(8, 4, 300, "compiled", 2032)) for name in PARTING[:6]]
    recipes = [job.recipe(job.plans[0]) for job in jobs]
    own = [jobs[0].own(draw) for draw in range(8)]
    simulated_worlds([Company(recipe.population, recipe.environment, own) for recipe in recipes])
    lived = Counter(years)
    assert lived[2017] == 1 and lived[2018] == 2 and lived[2025] == 3 and lived[2026] == 5


def test_runs_together_leave_the_files_of_runs_alone(tmp_path):
    """To the byte: two scenarios with one way, one with several, and the first once more, done before."""
    settings = Settings(9, 2, 300, "compiled", 2030)
    jobs = [plan_run(bdsim.load_scenario(name), settings) for name in ("baseline", "talent-surge", "protect-act")]
    together, alone = ([tmp_path / side / job.fingerprint for job in jobs] for side in ("together", "alone"))
    run_job(jobs[1], folder=together[1])
    run_jobs(jobs, together)
    for job, folder, own in zip(jobs, together, alone, strict=True):
        run_job(job, folder=own)
        files = {path.relative_to(own): path.read_bytes() for path in own.rglob("*") if path.is_file()}
        assert files == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    in_memory = run_jobs(jobs)
    assert [one.leavers.equals(run_job(job).leavers) for one, job in zip(in_memory, jobs, strict=True)] == [True] * 3


@pytest.mark.parametrize("sampled", [True, False])
def test_members_with_shocks_and_tables_of_their_own_have_the_bits_of_runs_of_their_own(sampled):
    job = plan_run(bdsim.load_scenario("initiative-revival"), Settings(8, 0, 300, "compiled", 2030), fit="none")
    world, normal = job.world(job.plans[0]), np.random.default_rng(20).normal
    members = []
    for m in range(8):
        weights = world.behaviour.weights._replace(push=0.2 * m, standing=0.1 * m, fade=1.0 - 0.1 * m)
        environment = world.environment._replace(
            offers=world.environment.offers * (m % 3),
            scrutiny=world.environment.scrutiny * (m % 2),
            log_us=world.environment.log_us + normal(0.0, 0.1, world.environment.log_us.shape),
        )
        shocks = Shocks(normal(0.0, 0.1, (world.years, len(FIELDS))), normal(0.0, 0.1, world.years))
        behaviour = world.behaviour._replace(weights=weights)
        members.append(MemberInputs(behaviour, world.agent_size, draws.member_seed(0, m), shocks, environment))
    together = simulated(world.population, world.environment, members, sampled=sampled)
    for m in (0, 4, 5):
        alone, fates = simulated_alone(world.population, world.environment, members[m], sampled=sampled)
        for name, side_by_side, one in zip(alone._fields, together[m][0], alone, strict=True):
            assert side_by_side.tobytes() == one.tobytes(), (m, name)
        assert np.array_equal(together[m][1], fates)
    if sampled:
        own = replace(
            world, environment=members[5].environment, behaviour=members[5].behaviour, shocks=members[5].shocks
        )
        model = MigrationModel(own, seed=0, member=5)
        model.run_model()
        assert np.array_equal(model.state.fate, fates)
        assert with_programme(fates[fates > 0]).any()


@pytest.mark.parametrize("sampled", [True, False])
def test_rates_beyond_what_exp_takes_are_clamped_alike_alone_in_lanes_and_by_agents(sampled):
    """One member's shocks lie beyond +-700, where exp stops: it has its own bits, its neighbours have theirs."""
    job = plan_run(bdsim.load_scenario("baseline"), Settings(8, 0, 300, "compiled", 2020), fit="none")
    world = job.world(job.plans[0])
    members = [job.inputs(job.plans[0], m) for m in range(8)]
    china, elsewhere = np.zeros((world.years, len(FIELDS))), np.zeros(world.years)
    china[3:9, 0], china[9:12, 1], elsewhere[12:14], elsewhere[16] = -1500.0, 800.0, -900.0, 701.0
    members[2] = members[2]._replace(shocks=Shocks(china, elsewhere))
    together = simulated(world.population, world.environment, members, sampled=sampled)
    for m in (1, 2):
        alone, fates = simulated_alone(world.population, world.environment, members[m], sampled=sampled)
        for name, side_by_side, one in zip(alone._fields, together[m][0], alone, strict=True):
            assert side_by_side.tobytes() == one.tobytes(), (m, name)
        assert np.array_equal(together[m][1], fates)
    assert not any(tally.breaches.any() for tally, _ in together)
    tally = together[2][0]
    assert tally.departures[9, :, 1].sum() == pytest.approx(tally.stocks[9, :, 1].sum())  # all of that field leave
    if sampled:
        model = MigrationModel(replace(world, shocks=members[2].shocks, behaviour=members[2].behaviour), member=2)
        model.run_model()
        assert np.array_equal(model.state.fate, together[2][1])


@pytest.mark.parametrize(  # who hears of a mover has at most 1 afterwards, and in expectation everybody does
    ("ties", "sampled"), [(-0.25, True), (np.nan, True), (1e6, True), (-np.inf, False), (np.nan, False), (-0.25, False)]
)
def test_whoever_is_not_sound_is_counted_in_the_year_and_in_every_lane(ties, sampled):
    """One of thousands is planted with ties outside [0, 1]: looked for once a block, and then one by one."""
    job = plan_run(bdsim.load_scenario("baseline"), Settings(3, 0, 200, "compiled", 2012), fit="none")
    world = job.world(job.plans[0])
    planted = int(np.flatnonzero((world.population.people.entry == 2006) & world.population.people.enters)[-1])
    people = world.population.people._replace(ties=world.population.people.ties.copy())
    members = [job.inputs(job.plans[0], m) for m in range(3)]
    sound = simulated(world.population, world.environment, members, sampled=sampled)
    assert not any(tally.breaches.any() for tally, _ in sound)
    people.ties[planted] = ties
    for tally, _ in simulated(replace(world.population, people=people), world.environment, members, sampled=sampled):
        assert tally.breaches[: 2006 - FIRST_YEAR].sum() == 0.0
        assert tally.breaches[2006 - FIRST_YEAR] == 1.0


@pytest.mark.parametrize("ties", [-0.25, np.nan, 1e6])
def test_whoever_is_not_sound_is_counted_in_single_precision_too(ties):
    job = plan_run(bdsim.load_scenario("baseline"), Settings(3, 0, 200, "compiled", 2010), fit="none")
    world = job.world(job.plans[0])
    planted = int(np.flatnonzero((world.population.people.entry == 2006) & world.population.people.enters)[-1])
    people = world.population.people._replace(ties=world.population.people.ties.copy())
    members = [job.inputs(job.plans[0], m) for m in range(3)]
    for value, count in ((people.ties[planted], 0.0), (ties, 1.0)):
        people.ties[planted] = value
        population = replace(world.population, people=people)
        for tally, _ in simulated(population, world.environment, members, width=SINGLE_WIDTH):
            assert tally.breaches[2006 - FIRST_YEAR] == count


@pytest.mark.parametrize(
    ("planted", "sound"),
    [
        ({"fear": 1.0, "ties": 1.0, "to_china": 0.4, "to_elsewhere": 0.6}, True), ({"fear": 1.5}, False),
        ({"fear": np.nan}, False), ({"to_china": -0.1}, False), ({"to_elsewhere": np.nan}, False),
        ({"to_china": 0.6, "to_elsewhere": 0.6}, False), ({"to_china": np.inf}, False), ({"ties": -1e-9}, False),
        ({"fear": -0.0}, True),
    ],
)  # fmt: skip
def test_whatever_of_a_decision_is_not_sound_is_counted_once(planted, sound):
    """Of one researcher among thousands; the rest stay where they are, with chances of nothing."""
    job = plan_run(bdsim.load_scenario("baseline"), Settings(1, 0, 200, "mesa", 2010), fit="none")
    model = MigrationModel(job.world(job.plans[0]), member=0)
    model._stay_by_default()
    row = int(np.flatnonzero(model.state.here)[1000])
    for name, value in planted.items():
        getattr(model.decisions, name)[row] = value
    close_year(0, model.world.population.people, model.decisions, model.state, model.block, model.tally)
    assert model.tally.breaches[0] == (0.0 if sound else 1.0)


def test_a_member_is_the_same_whatever_the_size_of_its_ensemble():
    scenario = bdsim.load_scenario("baseline")
    few = bdsim.run(scenario, members=2, researchers_per_agent=100, horizon=2015)
    many = bdsim.run(scenario, members=5, researchers_per_agent=100, horizon=2015)
    assert np.array_equal(few.fates(), many.fates()[:2])
