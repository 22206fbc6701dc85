"""What a Dask cluster costs beside threads: seconds and bytes a member, workers as processes on this machine.

    python benchmarks/cluster.py --members 160 --rounds 3

Prints JSON. Both ways run the same members on the same number of cores, in turn, and must keep the same files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bdsim
from bdsim.runs import ensemble
from bdsim.runs.plan import Job, Settings, plan_run
from bdsim.runs.workers import Workers


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """A scheduler with `workers` workers of one thread each, on this machine; its address."""
    file = folder / "scheduler.json"
    where = ["--scheduler-file", str(file), "--no-dashboard"]
    with (folder / "log").open("w") as log:

        def start(module: str, *more: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *where, *more]
            return subprocess.Popen(command, stdout=log, stderr=log)

        running = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0")]
        while not file.exists():
            time.sleep(0.05)
        own = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
        running += [start("dask_worker", *own) for _ in range(workers)]
        try:
            yield json.loads(file.read_text())["address"]
        finally:
            for process in reversed(running):
                process.kill()
                process.wait()


def timed(job: Job, folder: Path, workers: Workers) -> tuple[float, str]:
    """Seconds to run and keep every member, and a hash of the files."""
    started = time.perf_counter()
    ensemble.run_job(job, folder=folder, workers=workers)
    seconds = time.perf_counter() - started
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(folder.iterdir()))).hexdigest()
    shutil.rmtree(folder)
    return seconds, digest


def bytes_and_tables(job: Job, members_at_a_time: int, folder: Path) -> dict[str, float]:
    """Bytes a member to a worker and back, and seconds to put a member into the tables."""
    sent, received = [], []

    class Counting(Workers):
        def each(self, work, keep, tasks, at_most):  # type: ignore[no-untyped-def]  # typed as in Workers  # noqa: ARG002 - asked for as in Workers
            for task in tasks:
                sent.append(len(pickle.dumps((work, task))))
                made = work(task)
                received.append(len(pickle.dumps(made)))
                yield keep(made)

    results = ensemble.run_job(job, workers=Counting(members_at_a_time=members_at_a_time))
    started = time.perf_counter()
    results.save(folder)
    members = job.settings.members
    return {
        "bytes_sent_per_member": sum(sent) / members,
        "bytes_received_per_member": sum(received) / members,
        "seconds_of_tables_per_member": (time.perf_counter() - started) / members,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=160)
    parser.add_argument("--researchers-per-agent", "-k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    settings = Settings(options.members, 0, options.researchers_per_agent)
    job = plan_run(bdsim.load_scenario("baseline"), settings)
    seconds: dict[str, list[float]] = {"threads": [], "dask": []}
    hashes = set()
    with tempfile.TemporaryDirectory() as name, cluster(Path(name), cores) as address:
        ways = {"threads": Workers(cores), "dask": Workers(scheduler=address)}
        for number in range(options.rounds + 1):  # the first warms every process up
            for way, workers in ways.items():
                took, digest = timed(job, Path(name) / "run", workers)
                hashes.add(digest)
                if number:
                    seconds[way].append(took)
        moved = bytes_and_tables(job, 8, Path(name) / "tables")
    median = {way: statistics.median(times) for way, times in seconds.items()}
    overhead = (median["dask"] - median["threads"]) * cores / options.members
    report = {
        "members": options.members,
        "researchers_per_agent": options.researchers_per_agent,
        "cores": cores,
        "seconds": seconds,
        "same_files": len(hashes) == 1,
        "ratio_dask_to_threads": median["dask"] / median["threads"],
        "core_seconds_more_per_member": overhead,
        **moved,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
