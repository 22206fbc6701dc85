"""Has a change made bdsim slow? Ratios of speeds in one process, in about ten seconds; exit code 1 says yes.

Seconds depend on the machine, so each check is a ratio of two programs on the same work, in interleaved rounds,
each by its best round: whatever else the machine does only ever adds time, so the best round is the one nearest
the truth. A floor is about two thirds of the ratio that was measured when it was set. What it is there to catch
costs more than that: with NUMBA_LOOP_VECTORIZE=0 one member falls through its floor, and members that no longer run
side by side are no faster than one alone.

A false alarm would need every round of one program slowed by half and at least one round of the other not;
rounds take turns within a tenth of a second, so a busy machine slows both. A floor may need another value on a
processor with much wider or narrower vectors than those of the machines it was set on (AVX-512): vectors help
the engine more than they help NumPy.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from bdsim_engines import workload
from programs import PROGRAMS, Sizes, measured

ROUNDS = 5
SIZES = Sizes(fine=100, coarse=100, members=16)


class Floor(NamedTuple):
    """The speed of `of` must be at least `least` times that of `over`."""

    of: str
    over: str
    least: float


FLOORS = (
    Floor("bdsim-one", "numpy", 2.0),
    Floor("bdsim-one-expected", "numpy", 1.9),
    Floor("bdsim-many", "bdsim-one", 3.0),  # one member fills all lanes with itself, however wide they are
    Floor("bdsim-many-expected", "bdsim-many", 0.6),
    Floor("bdsim-many-float32", "bdsim-many", 1.2),
)


def best_speeds(rounds: int = ROUNDS) -> dict[str, float]:
    """Researcher-years per second of every program that a floor names, by its best round."""
    named = {name for floor in FLOORS for name in (floor.of, floor.over)}
    programs = [program for program in PROGRAMS if program.name in named]
    work = workload(SIZES.fine)
    best: dict[str, float] = {}
    for _ in range(rounds + 1):  # the first compiles, and never is the best
        for program in programs:
            seconds, years = measured(program, work, program.members(SIZES))
            best[program.name] = max(best.get(program.name, 0.0), years / seconds)
    return best


def broken(best: dict[str, float]) -> list[str]:
    """The floors that do not hold, in words."""
    return [
        f"{of} is {best[of] / best[over]:.2f} times as fast as {over}; at least {least:g} was expected"
        for of, over, least in FLOORS
        if best[of] < least * best[over]
    ]


def main() -> int:
    best = best_speeds()
    for of, over, least in FLOORS:
        print(f"{of:22} / {over:12} {best[of] / best[over]:6.2f}   at least {least:g}")
    alarms = broken(best)
    for alarm in alarms:
        print(f"regression.py: {alarm}", file=sys.stderr)
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main())
