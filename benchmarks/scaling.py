"""How bdsim scales: researchers, years, members, cores, memory; and how long a person waits.

Each point is a process of its own, so that its peak memory is its own. `run.py --scaling` measures all of them;
this file alone measures one point and prints it as JSON:

    python benchmarks/scaling.py --researchers-per-agent 10 --members 8 --threads 1,2
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple

from waiting import waits

__all__ = ["everything"]


class Points(NamedTuple):
    """What is measured."""

    scales: tuple[int, ...]  # researchers per agent
    base: int  # the scale at which years, members and cores are varied
    horizons: tuple[int, ...]
    members: tuple[int, ...]
    cores_members: int
    rounds: int


FULL = Points((100, 50, 25, 10, 5, 2, 1), 10, (2010, 2020, 2035, 2050, 2075, 2100), (1, 8, 32, 128), 32, 3)
QUICK = Points((1000, 500, 200), 200, (2010, 2035), (1, 8), 16, 2)


def everything(*, quick: bool = False) -> dict[str, Any]:
    """All points, as plain JSON values; starts one process after the other."""
    p = QUICK if quick else FULL
    scales = [_point(k, members=m, rounds=p.rounds if k > 2 else 1) for m in (1, 8) for k in _fitting(p.scales, m)]
    return {
        "researchers": [row for point in scales for row in point],
        "years": [row for h in p.horizons for row in _point(p.base, horizon=h, rounds=p.rounds)],
        "members": [row for m in p.members for row in _point(p.base, members=m, rounds=p.rounds)],
        "cores": _point(p.base, members=p.cores_members, threads=_threads(), rounds=p.rounds + 2),
        "waiting": waits(1 if quick else 5),
    }


def _threads() -> tuple[int, ...]:
    """1, 2, 4, ... up to the number of cores."""
    cores = os.cpu_count() or 1
    return tuple(n for n in (1, 2, 4, 8, 16, 32, 64) if n <= max(cores, 1))


def _fitting(scales: tuple[int, ...], members: int) -> list[int]:
    """The scales whose people and state fit into memory, by a generous guess of 2 kB an agent and member."""
    agents_at_full_scale = 1_200_000
    room = _available_bytes()
    found = [k for k in scales if agents_at_full_scale / k * (1000 + 200 * members) < room]
    if len(found) < len(scales):
        _say(f"too little memory for {set(scales) - set(found)} researchers per agent, {members} members")
    return found


def _available_bytes() -> float:
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return 4e9


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _point(
    scale: int, *, horizon: int = 2035, members: int = 1, threads: tuple[int, ...] = (1,), rounds: int = 3
) -> list[dict[str, Any]]:
    """One process; a row for each number of threads."""
    options = {
        "--researchers-per-agent": scale,
        "--horizon": horizon,
        "--members": members,
        "--threads": ",".join(map(str, threads)),
        "--rounds": rounds,
    }
    command = [sys.executable, __file__, *(str(part) for option in options.items() for part in option)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    for row in rows:
        _say(
            f"scaling  1 agent = {scale:<4} horizon {horizon}  members {members:<3} threads {row['threads']}  "
            f"{row['million_researcher_years_per_second']:8.2f} million researcher-years/s  "
            f"{row['peak_megabytes']:6.0f} MB"
        )
    return rows


def _peak_megabytes() -> float:
    """The most memory that this process ever had."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(scale: int, horizon: int, members: int, threads: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """This process measures itself: medians of wall seconds, rounds interleaved over numbers of threads."""
    import bdsim_engines as engines

    engines.threaded(engines.workload(1000, horizon=2010), range(members), 1)  # compiles
    before = _peak_megabytes()
    begun = time.perf_counter()
    work = engines.workload(scale, horizon)
    preparing = time.perf_counter() - begun
    walls: dict[int, list[float]] = {n: [] for n in threads}
    years = 0.0
    for _ in range(rounds):
        for n in threads:
            begun = time.perf_counter()
            years = engines.threaded(work, range(members), n)
            walls[n].append(time.perf_counter() - begun)
    return [
        {
            "researchers_per_agent": scale,
            "horizon": horizon,
            "members": members,
            "threads": n,
            "rows": work.rows,
            "years": work.years,
            "researcher_years": years,
            "seconds": wall,
            "median_seconds": statistics.median(wall),
            "million_researcher_years_per_second": years / statistics.median(wall) / 1e6,
            "preparing_seconds": preparing,
            "megabytes_before": before,
            "peak_megabytes": _peak_megabytes(),
        }
        for n, wall in walls.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--researchers-per-agent", type=int, default=10)
    parser.add_argument("--horizon", type=int, default=2035)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--threads", default="1", help="numbers of threads, e.g. 1,2")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    threads = tuple(int(n) for n in asked.threads.split(","))
    points = measure(asked.researchers_per_agent, asked.horizon, asked.members, threads, asked.rounds)
    print(json.dumps(points))
    return 0


if __name__ == "__main__":
    sys.exit(main())
