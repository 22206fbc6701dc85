"""The members of an ensemble on a Dask cluster: real scheduler and workers, each a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import bdsim
from bdsim.errors import BdsimError, UsageError
from bdsim.runs import ensemble
from bdsim.runs.ensemble import run_job
from bdsim.runs.plan import Settings, plan_run
from bdsim.runs.workers import Workers

pytestmark = pytest.mark.one_python

pytest.importorskip("distributed", reason="Dask is an optional dependency (bdsim-migration[dask])")
QUIET = {**os.environ, "PYTHONWARNINGS": "ignore", "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10"}


def start(module, *arguments, log):
    command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
    return subprocess.Popen(command, env=QUIET, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler's address, and a way to start a worker; everything is stopped at the end."""
    folder = tmp_path_factory.mktemp("cluster")
    running = []
    with (folder / "log").open("w") as log:
        where = ("--scheduler-file", str(folder / "scheduler.json"))
        running.append(start("dask_scheduler", *where, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", log=log))
        for _ in range(600):
            if (folder / "scheduler.json").exists():
                break
            time.sleep(0.05)

        def worker():
            running.append(
                start("dask_worker", *where, "--nthreads", "1", "--no-nanny", "--no-dashboard",
                      "--local-directory", str(folder), log=log)
            )  # fmt: skip
            return running[-1]

        address = json.loads((folder / "scheduler.json").read_text())["address"]
        yield address, worker
        for process in reversed(running):
            process.kill()
            process.wait()


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::ResourceWarning")
def test_a_worker_that_dies_midway_changes_no_byte(cluster, tmp_path):
    address, worker = cluster
    job = plan_run(bdsim.load_scenario("protect-act"), Settings(200, 1, 100, "compiled", 2027))
    run_job(job, folder=tmp_path / "here", workers=Workers(2))
    doomed, _ = worker(), worker()
    deaths = []

    def kill_once(done, total):
        if not deaths and done > total // 4:
            os.kill(doomed.pid, signal.SIGKILL)
            deaths.append((done, total))

    run_job(job, folder=tmp_path / "there", workers=Workers(scheduler=address), progress=kill_once)
    assert deaths
    assert deaths[0][0] < deaths[0][1]
    assert doomed.wait() == -signal.SIGKILL
    assert files(tmp_path / "here") == files(tmp_path / "there")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::ResourceWarning")
def test_a_worker_with_another_program_is_refused(cluster, tmp_path, monkeypatch):
    address, worker = cluster
    worker()
    monkeypatch.setattr(ensemble, "program_hash", lambda: "0123456789abcdef")
    job = plan_run(bdsim.load_scenario("baseline"), Settings(3, 1, 500, "compiled", 2015))
    with pytest.raises(BdsimError, match="another version of bdsim than this machine"):
        run_job(job, workers=Workers(scheduler=address))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::ResourceWarning")
def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch):
    monkeypatch.setattr("bdsim.runs.workers.PATIENCE", 1)
    job = plan_run(bdsim.load_scenario("baseline"), Settings(3, 1, 500, "compiled", 2015))
    with pytest.raises(UsageError, match=r"--scheduler: no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run_job(job, workers=Workers(scheduler="tcp://127.0.0.1:9"))
