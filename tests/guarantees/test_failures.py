"""A member that raises is a row: the rest go on, and only it runs again."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import bdsim
from bdsim.cli.main import app
from bdsim.errors import InvariantError, MembersFailedError, UsageError
from bdsim.model import draws
from bdsim.model.agents import Researcher
from bdsim.model.people import Population
from bdsim.runs import ensemble
from bdsim.runs.ensemble import run_job
from bdsim.runs.plan import Settings, plan_run
from bdsim.runs.verify import replayed, verified
from bdsim.runs.workers import Workers

pytestmark = pytest.mark.one_python

SMALL = Settings(21, 3, 200, "compiled", 2027)


def job_named(name, engine="compiled"):
    return plan_run(bdsim.load_scenario(name), replace(SMALL, engine=engine))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def fragile(monkeypatch):
    """The set of draws whose members raise, however they are grouped; a test may change it."""
    bad: set[int] = set()
    whole = ensemble.simulated_worlds
    draw_of = {draws.member_seed(SMALL.seed, draw): draw for draw in range(SMALL.members)}

    def breaking(worlds, width):
        for one in (member for world in worlds for member in world.members):
            if draw_of[one.seed] in bad:
                raise ZeroDivisionError(f"planted in draw {draw_of[one.seed]}\nsecond line")
        return whole(worlds, width=width)

    monkeypatch.setattr(ensemble, "simulated_worlds", breaking)
    return bad


@pytest.mark.parametrize(
    ("engine", "workers"),
    [("compiled", Workers(1)), ("compiled", Workers(2, members_at_a_time=16)), ("float32", Workers(2))],
)
def test_a_member_that_raises_is_a_row_and_the_rest_are_as_they_would_have_been(fragile, tmp_path, engine, workers):
    job = job_named("protect-act", engine)
    sound = run_job(job)
    fragile |= {2, 3, 17}
    results = run_job(job, folder=tmp_path / "run", workers=workers)
    branches = [plan.branch.name for plan in job.plans]
    assert set(zip(results.failures["branch"], results.failures["draw"], strict=True)) == {
        (branch, draw) for branch in branches for draw in (2, 3, 17)
    }
    row = results.failures.iloc[0]
    assert row["error"] == "ZeroDivisionError: planted in draw 2 second line"
    assert "breaking" in row["traceback"]
    assert json.loads(row["parameters"]) == job.member_parameters(int(row["draw"])).values
    assert int(row["seed"], 16) == draws.member_seed(SMALL.seed, int(row["draw"]))
    keep = ~sound.members["draw"].isin([2, 3, 17]).to_numpy()
    assert results.members["draw"].tolist() == sound.members["draw"][keep].tolist()
    for name in ("departures", "full_scale", "left"):
        assert np.array_equal(results.gathered(name), sound.gathered(name)[keep])
    assert np.array_equal(results.fates(), sound.fates()[keep])
    chances = results.members.groupby("branch", observed=True)["weight"].sum()
    assert all(chances[p.branch.name] == pytest.approx(p.branch.chance) for p in job.plans)
    assert verified(tmp_path / "run") == []


@pytest.mark.parametrize("engine", ["compiled", "float32"])
def test_retry_runs_only_what_failed_and_ends_as_if_nothing_had_been(fragile, tmp_path, monkeypatch, engine):
    job = job_named("protect-act", engine)
    run_job(job, folder=tmp_path / "sound")
    fragile |= {0, 9, 20}
    run_job(job, folder=tmp_path / "run")
    ran = []
    lived = ensemble._lived

    def watched(task, places):
        ran.extend(draw for place in places for draw in place.members)
        return lived(task, places)

    monkeypatch.setattr(ensemble, "_lived", watched)
    fragile -= {9}
    assert set(run_job(job, folder=tmp_path / "run", retry=True).failures["draw"]) == {0, 20}
    fragile.clear()
    assert not len(run_job(job, folder=tmp_path / "run", retry=True).failures)
    assert set(ran) == {0, 9, 20}
    assert contents(tmp_path / "run") == contents(tmp_path / "sound")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "sound"]
    assert not (tmp_path / "run" / "parts").exists()


def test_a_retry_that_is_interrupted_leaves_the_run_as_it_was(fragile, tmp_path):
    job = job_named("baseline")
    fragile |= {1, 12}
    run_job(job, folder=tmp_path / "run")
    before = contents(tmp_path / "run")
    fragile.clear()

    def stop(done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job, folder=tmp_path / "run", retry=True, progress=stop)
    assert contents(tmp_path / "run") == before
    assert not len(run_job(job, folder=tmp_path / "run", retry=True).failures)


def test_an_interrupted_run_with_failures_goes_on_to_the_same_files(fragile, tmp_path):
    job = job_named("baseline")
    fragile |= {4, 13}
    run_job(job, folder=tmp_path / "whole")

    def stop(done, _total):
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job, folder=tmp_path / "run", workers=Workers(1), progress=stop)
    run_job(job, folder=tmp_path / "run")
    ours, theirs = contents(tmp_path / "run"), contents(tmp_path / "whole")
    ours.pop("failures.parquet"), theirs.pop("failures.parquet")  # tracebacks tell who called
    for both in (ours, theirs):
        both.pop("manifest.json"), both.pop("SHA256SUMS")  # which hold its hash
    assert ours == theirs


def test_comparisons_pair_whom_both_runs_have(fragile):
    baseline, act = job_named("baseline"), job_named("protect-act")
    whole = bdsim.compare(run_job(baseline), run_job(act))
    fragile |= {5, 6}
    few = run_job(baseline)
    fragile.clear()
    fragile |= {7}
    comparison = bdsim.compare(few, run_job(act))
    kept = ~whole.others[0].members["draw"].isin([5, 6, 7]).to_numpy()
    ours, theirs = (c.difference(c.others[0]).expected for c in (comparison, whole))
    assert np.array_equal(ours, theirs[kept])
    assert comparison.precision(comparison.others[0], (2025, 2027)).members == SMALL.members - 3


def test_a_branch_without_any_member_is_said_and_nothing_looks_finished(fragile, tmp_path):
    fragile |= set(range(SMALL.members))
    job = job_named("baseline")
    with pytest.raises(MembersFailedError, match="all 21 members of 'as stated' failed; first: ZeroDivisionError"):
        run_job(job, folder=tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir()] == [".run.unfinished"]
    fragile.clear()
    assert not len(run_job(job, folder=tmp_path / "run").failures)  # the same command tries again


def test_the_library_warns(fragile):
    fragile |= {1}
    with pytest.warns(RuntimeWarning, match="baseline: 1 of 21 members failed; first: ZeroDivisionError"):
        bdsim.run(bdsim.load_scenario("baseline"), 21, 3, 200, horizon=2027)


def test_what_the_disk_refuses_is_no_member_s_failure(tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ensemble, "simulated_worlds", full)
    with pytest.raises(bdsim.BdsimError, match="No space left on device"):
        run_job(job_named("baseline"), folder=tmp_path / "run")


class Headless(Researcher):
    """Raises in the middle of a run, in one member."""

    def step(self):
        if self.model.year == 2010 and self.row % 50 == 0:
            raise RuntimeError("lost their head")
        super().step()


def test_a_rule_of_one_s_own_may_fail_too(monkeypatch, here, capsys):
    """On the command line: exit code 1, how many, and what to do; retry and its traceback."""
    from bdsim.model import agents

    monkeypatch.setattr(agents.WorldModel, "researcher_class", Headless)
    words = ["run", "baseline", "--engine", "mesa", "-m", "2", "-k", "2000", "--horizon", "2012"]
    with pytest.raises(MembersFailedError, match="RuntimeError: lost their head"):
        app(words, standalone_mode=False)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    app(words, standalone_mode=False)
    assert next(here.glob("results/baseline-*")).is_dir()


def test_the_command_line_says_how_many_failed_and_what_to_do(fragile, here, capsys):
    fragile |= {2, 3}
    words = ["run", "baseline", "-m", "21", "--seed", "3", "-k", "200", "--horizon", "2027"]
    for _ in range(2):  # read back, it is no less incomplete
        with pytest.raises(SystemExit) as caught:
            app(words, standalone_mode=False)
        assert caught.value.code == 1
        said = capsys.readouterr()
        assert "baseline: 2 of 21 members failed; first: ZeroDivisionError: planted in draw 2" in said.err
        assert "bdsim retry results/baseline-" in said.err
        assert "less 2 that failed" in " ".join(said.out.split())
    folder = next(here.glob("results/baseline-*"))
    with pytest.raises(SystemExit) as caught:
        app(["retry", str(folder), "--draw", "2"], standalone_mode=False)
    assert caught.value.code == 1
    assert "planted in draw 2" in capsys.readouterr().out
    with pytest.raises(UsageError, match="4 did not fail; those that did: 2, 3"):
        app(["retry", str(folder), "--draw", "4"], standalone_mode=False)
    fragile -= {2}
    with pytest.raises(SystemExit):
        app(["retry", str(folder)], standalone_mode=False)
    assert "1 of 2 failed members now succeeded" in capsys.readouterr().out
    fragile.clear()
    app(["retry", str(folder), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["failed"] == 0
    assert (folder / "figures" / "departures.png").is_file()
    app(["retry", str(folder)], standalone_mode=False)
    assert "no member failed" in capsys.readouterr().out


# --- invariants --------------------------------------------------------------------------------------------


def spoil(monkeypatch, change, draw):
    """The tally and fates of one draw pass through `change` before they are checked."""
    whole, seed = ensemble.simulated_worlds, draws.member_seed(SMALL.seed, draw)

    def spoiled(worlds, width):
        made = whole(worlds, width=width)
        for world, runs in zip(worlds, made, strict=True):
            for one, (tally, fates) in zip(world.members, runs, strict=True):
                if one.seed == seed:
                    change(tally, fates)
        return made

    monkeypatch.setattr(ensemble, "simulated_worlds", spoiled)


def lose_somebody(tally, _fates):
    tally.stocks[20, 0, 0, 1] -= 1.0


def double_somebody(tally, _fates):
    tally.entrants[12, 1, 2] += 1.0


def forget_a_departure(_tally, fates):
    fates[np.flatnonzero(fates)[10]] = 0


def tell_another_year(_tally, fates):
    fates[np.flatnonzero(fates == 41)[0]] = 43


def be_too_afraid(tally, _fates):
    tally.breaches[19] = 3.0


def be_no_number(tally, _fates):
    tally.breaches[19] = np.nan


@pytest.mark.parametrize(
    "change",
    [lose_somebody, double_somebody, forget_a_departure, tell_another_year, be_too_afraid, be_no_number],
    ids=lambda f: f.__name__,
)
def test_a_broken_promise_stops_its_member_and_leaves_what_reproduces_it(monkeypatch, tmp_path, change):
    """Its row holds all that it takes to run it again; the others are as they would have been."""
    job = job_named("baseline")
    spoil(monkeypatch, change, 2)
    results = run_job(job, folder=tmp_path / "run")
    (row,) = results.failures.to_dict("records")
    assert row["draw"] == 2
    assert row["error"].startswith("InvariantError: ") and "member 2, 2" in row["error"]
    assert len(results.members) == 20
    assert "InvariantError" in replayed(job, results, 2)
    monkeypatch.undo()
    assert replayed(job, results, 2) == ""


def test_fear_beyond_its_bounds_is_counted_by_the_engine():
    """The engine itself, given people whose ties break the bounds."""
    job = job_named("baseline")
    world = job.world(job.plans[0])
    people = world.population.people
    ties = people.ties.copy()
    entered = np.flatnonzero(people.enters & (people.entry == 2005))
    ties[entered[:3]] = (1.5, -0.25, np.nan)
    broken = Population(people._replace(ties=ties), world.population.ordinal, 200, 3, 2027)
    recipe = SimpleNamespace(population=broken, environment=world.environment)
    place = ensemble.Place(0, 0, recipe, None, {0: job.own(0)})
    with pytest.raises(InvariantError, match=r"member 0, 2005: 3 agents with fear or ties outside \[0, 1\]"):
        ensemble._lived(ensemble.Task("compiled", 3, "", []), [place])


class UntoldError(Exception):
    def __str__(self):
        raise RuntimeError("cannot be told")


@pytest.mark.parametrize(
    "error", [SystemExit(0), UntoldError(), ValueError("bad \udcff \x1b[2J name"), ValueError("x" * 10**6)]
)
def test_whatever_a_member_raises_is_a_row_that_can_be_shown(monkeypatch, tmp_path, error):
    whole = ensemble.simulated_worlds
    seed = draws.member_seed(SMALL.seed, 4)

    def breaking(worlds, width):
        if any(one.seed == seed for world in worlds for one in world.members):
            raise error
        return whole(worlds, width=width)

    monkeypatch.setattr(ensemble, "simulated_worlds", breaking)
    results = run_job(job_named("baseline"), folder=tmp_path / "run")
    (row,) = results.failures.to_dict("records")
    assert row["draw"] == 4
    assert row["error"].isprintable()
    assert len(results.failures_in_words) < 400


def test_damaged_parts_and_copies_of_them_do_not_end_a_retry(fragile, tmp_path):
    job = job_named("baseline")
    fragile |= {4}
    run_job(job, folder=tmp_path / "run")
    parts = sorted((tmp_path / "run" / "parts").glob("*.part"))
    (tmp_path / "run" / "parts" / "0-000000 (copy).part").write_bytes(parts[0].read_bytes())
    content = bytearray(parts[1].read_bytes())
    content[5] ^= 8
    parts[1].write_bytes(content)
    assert any("parts/" in line for line in verified(tmp_path / "run"))
    fragile.clear()
    assert not len(run_job(job, folder=tmp_path / "run", retry=True).failures)
