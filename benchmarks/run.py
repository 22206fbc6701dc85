"""How fast bdsim is, beside other ways to write the same model, in one command.

Every program simulates the same people with the same luck; its departures must equal those of bdsim's engine in
every cell, or the command ends with exit code 1 and names the first cell that differs. Rounds are interleaved:
round 1 of all programs, round 2 of all, ..., so that whatever else the machine does meets all of them alike;
figures are medians. A researcher-year is one agent here on 1 January of one year.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import c_engines
from bdsim_engines import Workload, fit_of, workload
from machine import described, pin
from programs import MismatchError, Program, Sizes, chosen, measured, ratios

FULL, QUICK = Sizes(fine=10, coarse=100, members=32), Sizes(fine=50, coarse=500, members=8)
ROUNDS, QUICK_ROUNDS = 5, 2
EXAMPLES = """examples:
  python benchmarks/run.py                        all programs, five rounds (about three minutes)
  python benchmarks/run.py --quick                smaller and fewer, for a first look (about half a minute)
  python benchmarks/run.py --only bdsim-many,c-lanes --rounds 9
  python benchmarks/run.py --scaling --json benchmarks/results.json
  python benchmarks/plot.py benchmarks/results.json        the figure and the tables of docs/performance.md
"""


def main() -> int:
    """Exit codes: 0 measured, 1 a program decided otherwise than bdsim, 2 the command was wrong."""
    asked = _arguments()
    try:
        programs = chosen(asked.only)
    except ValueError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    sizes, rounds = (QUICK, QUICK_ROUNDS) if asked.quick else (FULL, ROUNDS)
    report: dict[str, Any] = {"command": _command(), "machine": described()}
    if asked.scaling:
        import scaling  # before pinning: it starts processes that use all cores

        report["scaling"] = scaling.everything(quick=asked.quick)
    report["machine"]["pinned_to_core"] = pin()
    try:
        report |= _compare(_runnable(programs), sizes, asked.rounds or rounds, asked.fit)
    except MismatchError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    print(table(report))
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1) + "\n")
        _say(f"written: {asked.json}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less work and fewer rounds")
    parser.add_argument("--only", metavar="A,B", help="these programs only")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"interleaved rounds (default {ROUNDS})")
    parser.add_argument("--fit", help="fit to run on (default: default; none: the values of parameters.toml)")
    parser.add_argument("--scaling", action="store_true", help="also scale, years, members, cores, memory, waiting")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    asked = parser.parse_args()
    if asked.rounds is not None and asked.rounds < 1:
        parser.error("--rounds: at least 1")
    return asked


def _command() -> str:
    """What was typed, with folders left out of file names."""
    return " ".join(["python benchmarks/run.py", *(Path(word).name for word in sys.argv[1:])])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _runnable(programs: list[Program]) -> list[Program]:
    """Those that this machine can run."""
    if c_engines.compiler_version() is not None:
        return programs
    left_out = [program.name for program in programs if program.needs_gcc]
    if left_out:
        _say(f"gcc is missing, so left out: {', '.join(left_out)}")
    return [program for program in programs if not program.needs_gcc]


def _compare(programs: list[Program], sizes: Sizes, rounds: int, fit: str | None) -> dict[str, Any]:
    """Every program in every round, as plain JSON values. Raises MismatchError."""
    work = {program.name: workload(program.researchers_per_agent(sizes), fit=fit) for program in programs}
    seconds: dict[str, list[float]] = {program.name: [] for program in programs}
    years: dict[str, float] = {}
    for program in programs:
        _warm_up(program)
    for number in range(1, rounds + 1):
        for program in programs:
            took, done = measured(program, work[program.name], program.members(sizes))
            seconds[program.name].append(took)
            years[program.name] = done
            _say(f"round {number}/{rounds}  {program.name:20} {done / took / 1e6:9.3f} million researcher-years/s")
    speeds = {name: [years[name] / s / 1e6 for s in each] for name, each in seconds.items()}
    return {
        "rounds": rounds,
        "fit": fit_of(work[programs[0].name]),
        "programs": [
            _described(program, work[program.name], program.members(sizes), years[program.name], seconds[program.name])
            for program in programs
        ],
        "ratios": ratios(speeds),
    }


def _warm_up(program: Program) -> None:
    """Compile before any clock runs, on a small workload."""
    _say(f"preparing  {program.name}")
    measured(program, workload(1000, horizon=2010), range(c_engines.LANES if program.ensemble else 1))


def _described(program: Program, work: Workload, members: range, years: float, seconds: list[float]) -> dict[str, Any]:
    return {
        "name": program.name,
        "title": program.title,
        "researchers_per_agent": work.researchers_per_agent,
        "members": len(members),
        "years": work.years,
        "rows": work.rows,
        "researcher_years": years,
        "seconds": seconds,
        "median_seconds": statistics.median(seconds),
        "million_researcher_years_per_second": years / statistics.median(seconds) / 1e6,
        "compared_tables": list(program.tables),
    }


def table(report: dict[str, Any]) -> str:
    """What was measured, as text."""
    lines = [f"{'program':34}{'1 agent =':>10}{'members':>9}{'CPU s':>9}{'million researcher-years/s':>28}"]
    for p in report["programs"]:
        lines.append(
            f"{p['title']:34}{p['researchers_per_agent']:>10}{p['members']:>9}{p['median_seconds']:>9.3f}"
            f"{p['million_researcher_years_per_second']:>28.3f}"
        )
    for r in report["ratios"]:
        verdict = "reached" if r["ratio"] >= r["at_least"] else "missed"
        lines.append(
            f"{r['meaning']}: {r['ratio']:.2f} ({r['lowest']:.2f}-{r['highest']:.2f}), at least {r['at_least']:g}: "
            f"{verdict}"
        )
    lines.append(f"Same departures in all {report['rounds']} rounds; fit: {report['fit']}.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
