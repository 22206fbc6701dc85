"""Members go to disk as they finish: nothing that is kept depends on who ran them, in what order, or how often."""

import contextlib
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bdsim
from bdsim.errors import StorageError, UsageError
from bdsim.files import durable
from bdsim.runs import ensemble
from bdsim.runs.ensemble import run_job
from bdsim.runs.plan import Settings, plan_run
from bdsim.runs.store.members import parts_of
from bdsim.runs.store.parts import Key, Part, PartStore
from bdsim.runs.store.written import PartsInOrder, write_parts
from bdsim.runs.workers import Workers

pytestmark = pytest.mark.one_python

SMALL = Settings(21, 3, 200, "compiled", 2027)


@pytest.fixture(scope="module", params=["compiled", "float32"])
def job(request):
    """Branches, and a number of members that does not fill its last part: of eight, or of sixteen."""
    return plan_run(bdsim.load_scenario("protect-act"), replace(SMALL, engine=request.param))


@pytest.fixture(scope="module")
def undisturbed(job, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run_job(job, folder=folder)
    return contents(folder)


@pytest.fixture(scope="module")
def parts(job):
    """The parts of the run, by their keys."""
    made: dict[Key, Part] = {}

    class Kept(PartStore):
        def keep(self, key, part):
            super().keep(key, part)
            made[key] = part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble, "PartStore", Kept)
        run_job(job)
    return made


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "workers", [Workers(1), Workers(2), Workers(3, members_at_a_time=1), Workers(2, members_at_a_time=20)]
)
def test_files_do_not_depend_on_workers_or_chunks(job, undisturbed, tmp_path, workers):
    run_job(job, folder=tmp_path / "run", workers=workers)
    assert contents(tmp_path / "run") == undisturbed


def test_files_do_not_depend_on_the_order_in_which_members_finish(job, undisturbed, tmp_path, monkeypatch):
    def backwards(self, work, keep, tasks, at_most):
        yield from [keep(work(task)) for task in reversed(list(tasks))]

    monkeypatch.setattr(Workers, "each", backwards)
    run_job(job, folder=tmp_path / "run")
    assert contents(tmp_path / "run") == undisturbed


@given(data=st.data())
@settings(max_examples=15)
def test_parts_that_come_in_any_order_are_written_in_theirs(job, parts, tmp_path_factory, data):
    """By several threads at once, some of the parts lying there from before; none is lost and none comes twice."""
    order = parts_of(job)
    came = data.draw(st.permutations(list(dict.fromkeys(order))))
    early = data.draw(st.integers(0, len(came)))
    store, folder = PartStore(), tmp_path_factory.mktemp("tables")
    for key in came[:early]:
        store.keep(key, parts[key])
    with PartsInOrder(store, order, folder, "run") as tables, ThreadPoolExecutor(3) as pool:
        tables.awaited |= set(came[early:])

        def bring(key):
            store.keep(key, parts[key])
            tables.came(key, parts[key])

        list(pool.map(bring, came[early:]))
        tables.finish()
        tables.came(came[0], parts[came[0]])  # of a thread that was given up: nothing happens
    whole = tmp_path_factory.mktemp("whole")
    write_parts(whole, [parts[key] for key in order], "run")
    assert contents(folder) == contents(whole)


def test_a_run_in_memory_is_saved_as_the_same_files(job, undisturbed, tmp_path):
    run_job(job).save(tmp_path / "run")
    assert contents(tmp_path / "run") == undisturbed


def test_what_is_read_back_answers_as_what_was_run(job, tmp_path):
    one, other = run_job(job), run_job(job, folder=tmp_path / "run")
    assert one.departures.equals(other.departures)
    assert one.cohorts.equals(other.cohorts)
    assert one.leavers.equals(other.leavers)
    assert one.variance_split(2010, 2020) == other.variance_split(2010, 2020)


@pytest.mark.parametrize(
    ("job", "stop_after"), [("compiled", 0), ("compiled", 1), ("compiled", 2), ("float32", 1)], indirect=["job"]
)
def test_an_interrupted_run_goes_on_and_makes_nothing_twice(job, undisturbed, tmp_path, monkeypatch, stop_after):
    made = []

    def counted(task):
        if len(made) == stop_after:
            raise KeyboardInterrupt
        made.append(task)
        return carried_out(task)

    carried_out = ensemble._carried_out
    monkeypatch.setattr(ensemble, "_carried_out", counted)
    with pytest.raises(KeyboardInterrupt):
        run_job(job, folder=tmp_path / "run", workers=Workers(1))
    assert not (tmp_path / "run").exists()
    before, stop_after = len(made), -1
    members = sum(len(place.members) for task in made for group in task.groups for place in group)
    seen = []
    run_job(job, folder=tmp_path / "run", workers=Workers(1), progress=lambda done, _: seen.append(done))
    assert contents(tmp_path / "run") == undisturbed
    assert seen[0] <= members
    assert len(made) <= before + len(seen)  # a part that was kept is not made again
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_damaged_part_is_made_again(job, undisturbed, tmp_path):
    with pytest.raises(ZeroDivisionError):
        run_job(job, folder=tmp_path / "run", progress=lambda done, total: 1 / (total - done))
    kept = sorted(tmp_path.glob(".run.unfinished/*/parts/*.part"))
    rng = random.Random(1)
    for path in kept[2:]:
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    kept[1].write_bytes(kept[1].read_bytes()[:1000])
    kept[0].write_bytes(b"")
    run_job(job, folder=tmp_path / "run")
    assert contents(tmp_path / "run") == undisturbed


DRIVER = """
    import os, sys
    from pathlib import Path
    import bdsim
    from bdsim.runs.ensemble import run_job
    from bdsim.runs.plan import Settings, plan_run
    from bdsim.runs.workers import Workers

    job = plan_run(bdsim.load_scenario("protect-act"), Settings(42, 3, 60, "compiled", 2027))
    tiny = plan_run(bdsim.load_scenario("baseline"), Settings(9, 3, 1000, "compiled", 2010))
    run_job(tiny, workers=Workers(1))  # the machine code is there before the first fork
    job.recipe(job.plans[0]).population
    folder = Path(sys.argv[1])
    for line in sys.stdin:  # a fork a try: nothing that a killed one held is left to the next
        child = os.fork()
        if child == 0:
            run_job(job, folder=folder, workers=Workers(1))
            os._exit(0)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)
"""


def test_kill_at_50_moments_loses_nothing_that_was_finished(tmp_path):
    """Each try is killed at a random moment; parts only grow in number, and the end is as if nothing had been."""
    rng = random.Random(7)
    run_job(
        plan_run(bdsim.load_scenario("protect-act"), Settings(42, 3, 60, "compiled", 2027)), folder=tmp_path / "run"
    )
    undisturbed = contents(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    driver = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(DRIVER), str(tmp_path / "run")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    kills, had, resumed = 0, 0, 0
    with driver:
        while kills < 50:
            driver.stdin.write("go\n")
            driver.stdin.flush()
            child = int(driver.stdout.readline())
            time.sleep(rng.uniform(0.0, rng.choice([0.3, 1.0])))
            with contextlib.suppress(ProcessLookupError):  # it was quicker
                os.kill(child, signal.SIGKILL)
            assert driver.stdout.readline() == "ended\n"
            kills += 1
            if (tmp_path / "run").exists():
                assert contents(tmp_path / "run") == undisturbed
                shutil.rmtree(tmp_path / "run")
                had = 0
                continue
            parts = list(tmp_path.glob(".run.unfinished/*/parts/*.part"))
            assert len(parts) >= had
            resumed += bool(had)
            had = len(parts)
        driver.communicate("go\n")
    assert resumed >= 10, resumed
    assert contents(tmp_path / "run") == undisturbed
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_two_at_once_on_the_same_run(job, tmp_path):
    """The second is told who is at work."""

    def second(_done, _total):
        with pytest.raises(StorageError, match=rf"process {os.getpid()} is writing it"):
            run_job(job, folder=tmp_path / "run")

    run_job(job, folder=tmp_path / "run", progress=second)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_what_a_thread_of_a_run_that_was_given_up_brings_late_reaches_no_disk(job, parts, tmp_path, monkeypatch):
    """What is half-way is waited for, what comes after is let go of: the next run has the folder to itself."""
    begun, may_end, write = threading.Event(), threading.Event(), durable.write_file

    def slow(path, content):
        begun.set()
        assert may_end.wait(60)
        write(path, content)

    monkeypatch.setattr(durable, "write_file", slow)
    first, second = parts_of(job)[:2]
    with contextlib.closing(PartStore(tmp_path)) as store, ThreadPoolExecutor(2) as pool:
        half_way = pool.submit(store.keep, first, parts[first])
        assert begun.wait(60)
        closing = pool.submit(store.close)
        time.sleep(0.05)
        assert not closing.done()
        may_end.set()
        closing.result(60), half_way.result(60)
        store.keep(second, parts[second])
    left = PartStore(tmp_path)
    assert (left.has(first), left.has(second)) == (True, False)


def test_a_lock_whose_owner_is_gone_is_no_obstacle(job, undisturbed, tmp_path):
    (tmp_path / ".run.lock").write_text("999999\n")
    run_job(job, folder=tmp_path / "run")
    assert contents(tmp_path / "run") == undisturbed


def test_parts_are_told_from_anything_else(tmp_path):
    (tmp_path / "0-000000.part").write_bytes(b"PK not an archive")
    assert not PartStore(tmp_path).has(Key(0, 0))


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"members_at_a_time": 0}, {"threads": 2, "scheduler": "tcp://x:1"}])
def test_impossible_workers_are_refused(wrong):
    with pytest.raises(UsageError):
        Workers(**wrong)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_5000_members_take_less_than_a_gibibyte(tmp_path):
    """The bound of docs/performance.md, whatever the number of members."""
    script = """
        import sys
        from pathlib import Path
        import bdsim
        results = bdsim.run(bdsim.load_scenario("baseline"), 5000, 0, 10, folder=Path(sys.argv[1]))
        assert results.by()[0].shape[0] == 5000
        status = Path("/proc/self/status").read_text()  # getrusage would count the parent's peak before the exec
        print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "run")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 2**20  # KiB


def test_people_are_not_sent_to_workers_and_parts_travel_packed(monkeypatch):
    sent, came = [], []

    def watched(task):
        sent.append(pickle.dumps(task))
        came.extend(made := carried_out(task))
        return made

    carried_out = ensemble._carried_out
    monkeypatch.setattr(ensemble, "_carried_out", watched)
    results = run_job(plan_run(bdsim.load_scenario("baseline"), Settings(8, 0, 100, "compiled", 2030)))
    assert len(results.people) > 8_000
    assert [len(task) < 3_000 * 8 for task in sent] == [True]
    (part,) = (made.part for made in came)
    again = pickle.loads(pickle.dumps(part))
    assert again.packed() == part.packed()
    assert len(pickle.dumps(part)) < sum(table.nbytes for table in part.tables.values()) / 3
