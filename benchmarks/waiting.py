"""How long a person waits: commands as they are typed, until the first line of the answer and until the end.

    python benchmarks/waiting.py             # a minute
    python benchmarks/waiting.py --rounds 5  # medians of five

Every command is a process of its own and answers into a folder of its own, so that nothing is read back. With an empty
cache the engine is compiled first, and Matplotlib lists the fonts of the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

__all__ = ["waits"]

ROOT = Path(__file__).parents[1]
BDSIM = Path(sys.executable).with_name("bdsim")
FIRST = "run baseline"  # what somebody types who has just installed bdsim
COMMANDS = (
    FIRST,
    "attribute initiative-revival",
    "attribute",
    "breakeven --lever us_funding --target departures:2035<=2500",
    "sensitivity initiative-revival",
)
WITHOUT_FOLDER = ("--help", "fit-report")


def waits(rounds: int) -> list[dict[str, Any]]:
    """For each command seconds until the first line and until the end, medians over rounds; one round without cache."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bdsim-waiting-") as cache:
        empty = {**os.environ, "XDG_CACHE_HOME": cache}
        rows.append({"command": FIRST, "cache": "empty", **_median([_clocked(FIRST, empty)])})
    for command in (*WITHOUT_FOLDER, *COMMANDS):
        _clocked(command, dict(os.environ))  # whatever is compiled, is compiled here
        rows.append(
            {
                "command": command,
                "cache": "full",
                **_median([_clocked(command, dict(os.environ)) for _ in range(rounds)]),
            }
        )
    for row in rows:
        _say(f"waiting  {row['first_line']:6.2f} s, {row['end']:6.2f} s  {row['command']}  ({row['cache']} cache)")
    return rows


def _median(clocked: list[tuple[float, float]]) -> dict[str, float]:
    first, end = (statistics.median(column) for column in zip(*clocked, strict=True))
    return {"first_line": first, "end": end}


def _clocked(command: str, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds from the start of the process until it says something on standard output, and until it ends."""
    with tempfile.TemporaryDirectory(prefix="bdsim-waiting-") as folder:
        own = [] if command in WITHOUT_FOLDER else ["--results", folder]
        begun = time.perf_counter()
        running = subprocess.Popen(
            [BDSIM, *command.split(), *own], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert running.stdout is not None
        running.stdout.read(1)
        first = time.perf_counter() - begun
        running.communicate()
        end = time.perf_counter() - begun
    if running.returncode != 0:
        raise SystemExit(f"waiting.py: bdsim {command} ended with {running.returncode}")
    return first, end


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="rounds whose median is told (1)")
    waits(max(1, parser.parse_args().rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
