"""What survives what: kills, interrupts, full disks, flipped bits and broken files, each at random, many times.

    make reliability                                   # the figures of docs/reliability.md
    python benchmarks/reliability.py --only kills --times 50 --seed 3

Every trial runs the real command line in a process of its own, forked from one that has the machine code loaded, and
then holds what is left against an undisturbed run, byte by byte. Disks that are full need Linux and root (a tmpfs of a
few kilobytes); elsewhere a limit on the size of a file takes their place, and the row says so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bdsim
import machine
from bdsim.errors import BdsimError
from bdsim.runs.verify import verified
from bdsim.study.layout import create_study

PARTS = ".*.unfinished/parts/*.part"
RUN = ["run", "protect-act", "--members", "21", "--researchers-per-agent", "200", "--horizon", "2027"]
SERVER = """
    import json, os, resource, signal, sys
    import bdsim
    from bdsim.cli import main as cli
    from bdsim.cli import results as cli_report
    from bdsim.cli import run as cli_run
    from bdsim.analysis import comparison
    from bdsim.reporting.figures import runs as plots
    from bdsim.runs.ensemble import run_job
    from bdsim.runs.plan import Settings, plan_run
    from bdsim.runs.workers import Workers

    for members in (1, 8):  # the machine code is there before the first fork
        job = plan_run(bdsim.load_scenario("baseline"), Settings(members, 3, 1000, "compiled", 2010))
        run_job(job, workers=Workers(1))
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if asked["largest_file"]:
                resource.setrlimit(resource.RLIMIT_FSIZE, (asked["largest_file"],) * 2)
            os.chdir(asked["cwd"])
            sys.argv = ["bdsim", *asked["words"]]
            cli.main()
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
"""


@dataclass
class Tally:
    """What was tried and what was lost; `notes` are the first few losses in words."""

    what: str
    tried: int = 0
    lost: int = 0
    reached: int = 0  # trials in which the disturbance met a run at work
    notes: tuple[str, ...] = ()

    def lose(self, note: str) -> None:
        self.lost += 1
        self.notes = (*self.notes, note)[:5]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def fault(self, *codes: int) -> str:
        """What is wrong with this end: a traceback, another exit code, or no clear last line; '' when nothing is."""
        if "Traceback" in self.err + self.out:
            return "a traceback: " + self.err[-200:]
        if self.code not in codes:
            return f"exit code {self.code}, not one of {codes}: {self.err[-200:]}"
        if self.code and not self.err.strip():
            return "no word on stderr"
        return ""


class Commands:
    """A process that has bdsim and its machine code loaded, and forks a command line whenever it is asked."""

    def __init__(self, study: Path) -> None:
        self.study = study
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SERVER)], cwd=study, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._answer() == "ready"

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()

    def call(
        self, words: list[str], disturb: Callable[[int], None] = lambda _pid: None, *, largest_file: int = 0
    ) -> Ended:
        """Run a command, with `disturb` called with its process id meanwhile."""
        files = {name: str(self.study / f".{name}") for name in ("out", "err")}
        for file in files.values():
            Path(file).write_text("")
        asked = {"words": words, "cwd": str(self.study), "largest_file": largest_file, **files}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        pid = int(self._answer())
        disturb(pid)
        code = int(self._answer())
        return Ended(code, *(Path(files[name]).read_text() for name in ("out", "err")))

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.communicate()


@contextlib.contextmanager
def workplace() -> Iterator[Commands]:
    """A fresh study to try things in."""
    folder = Path(tempfile.mkdtemp(prefix="bdsim-"))
    commands = Commands(create_study(folder / "study").root)
    try:
        yield commands
    finally:
        commands.close()
        shutil.rmtree(folder, ignore_errors=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run_folder(results: Path) -> Path | None:
    """The folder of the one run in `results`, if it is there."""
    return next(iter(results.glob("protect-act-*")), None)


def forgotten(results: Path) -> None:
    """An empty folder of results."""
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()


def undisturbed(commands: Commands) -> tuple[dict[str, bytes], float]:
    """What the run and the one it extends leave when nobody disturbs them, and how many seconds that takes."""
    results = commands.study / "results"
    forgotten(results)
    started = time.perf_counter()
    assert commands.call(RUN).code == 0
    seconds = time.perf_counter() - started
    found = contents(results)
    forgotten(results)
    return found, seconds


def half_written(results: Path, whole: dict[str, bytes]) -> str:
    """A file of a folder that looks finished and is not what an undisturbed run leaves; '' when there is none."""
    for name, content in contents(results).items():
        if not name.startswith("."):
            parts = Path(name).parts
            if any(part.startswith(".") for part in parts):
                continue
            if whole.get(name) != content:
                return f"{name} is not what an undisturbed run leaves"
    return ""


def signals(
    commands: Commands, times: int, rng: random.Random, what: str, send: list[tuple[int, float]], codes: tuple[int, ...]
) -> Tally:
    """Send signals at a random moment of a run, each after a pause; then let the same command finish."""
    tally = Tally(what)
    whole, seconds = undisturbed(commands)
    results = commands.study / "results"
    kept = (0, 0)  # runs that are finished, and parts of the one that is not: never fewer than before

    def disturb(pid: int) -> None:
        time.sleep(rng.uniform(0.0, rng.choice([0.2, 1.0]) * seconds))
        for number, pause in send:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            time.sleep(pause)

    for _ in range(times):
        ended = commands.call(RUN, disturb)
        tally.tried += 1
        tally.reached += ended.code != 0
        fault = "" if ended.code == -signal.SIGKILL else ended.fault(0, *codes)
        fault = fault or half_written(results, whole)
        had, kept = kept, (len(list(results.glob("[!.]*/manifest.json"))), len(list(results.glob(PARTS))))
        if not fault and kept < had:
            fault = f"finished runs and parts were {had}, are {kept}"
        if not fault and ended.code == 0:
            left = contents(results)
            fault = "" if left == whole else f"differs: {sorted(set(left) ^ set(whole)) or 'bytes'}"
            forgotten(results)
            kept = (0, 0)
        if fault:
            tally.lose(fault)
            forgotten(results)
            kept = (0, 0)
    ended = commands.call(RUN)
    if ended.code or contents(results) != whole:
        tally.lose(f"the last undisturbed try: exit code {ended.code}")
    forgotten(results)
    return tally


def kills(commands: Commands, times: int, rng: random.Random) -> Tally:
    return signals(commands, times, rng, "kill -9 at a random moment", [(signal.SIGKILL, 0)], ())


def interrupts(commands: Commands, times: int, rng: random.Random) -> Tally:
    return signals(commands, times, rng, "Ctrl-C once", [(signal.SIGINT, 0)], (130,))


def double_interrupts(commands: Commands, times: int, rng: random.Random) -> Tally:
    return signals(commands, times, rng, "Ctrl-C twice", [(signal.SIGINT, 0.05), (signal.SIGINT, 0)], (130,))


def terminations(commands: Commands, times: int, rng: random.Random) -> Tally:
    return signals(commands, times, rng, "SIGTERM", [(signal.SIGTERM, 0)], (143,))


@contextlib.contextmanager
def small_disk() -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A folder on a disk of its own, and a function that changes it: 'size=100k', 'ro', 'rw'."""
    folder = Path(tempfile.mkdtemp(prefix="bdsim-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True, capture_output=True)

    def change(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True, capture_output=True)

    try:
        yield folder, change
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
        folder.rmdir()


def can_mount() -> bool:
    """Whether this user may make a small disk here."""
    try:
        with small_disk():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def full_disks(commands: Commands, times: int, rng: random.Random) -> Tally:
    """Runs on a disk that fills at a random moment; then there is room, and the same command goes on."""
    whole, _ = undisturbed(commands)
    size = sum(map(len, whole.values())) // 1024
    results = commands.study / "results"
    if not can_mount():
        tally = Tally("a limit on the size of files, at random (no right to make a small disk)")
        largest = max(map(len, whole.values()))
        for _ in range(times):
            tally.tried += 1
            ended = commands.call(RUN, largest_file=rng.randrange(1, largest))
            tally.reached += ended.code != 0
            _after_refusal(commands, tally, ended, results, RUN, whole)
            forgotten(results)
        return tally
    tally = Tally("a disk that fills at a random moment")
    for _ in range(times):
        tally.tried += 1
        with small_disk() as (disk, change):
            change(f"size={rng.randrange(40, int(1.2 * size))}k")
            words = [*RUN, "--results", str(disk)]
            ended = commands.call(words)
            tally.reached += ended.code != 0
            change("size=64m")
            _after_refusal(commands, tally, ended, disk, words, whole)
    return tally


def _after_refusal(
    commands: Commands, tally: Tally, ended: Ended, results: Path, words: list[str], whole: dict[str, bytes]
) -> None:
    fault = ended.fault(0, 1) or half_written(results, whole)
    again = commands.call(words)
    if not fault and (again.code or contents(results) != whole):
        fault = f"with room again: exit code {again.code}, {again.err[-200:]}"
    if fault:
        tally.lose(fault)


def read_only(commands: Commands, times: int, rng: random.Random) -> Tally:
    """A results folder that may not be written to."""
    tally = Tally("a results folder that is read-only")
    options = RUN[2:]
    several = (RUN, ["compare", "baseline", "protect-act", *options], ["report", "baseline", "protect-act", *options])
    with contextlib.ExitStack() as stack:
        if can_mount():
            folder, change = stack.enter_context(small_disk())
            change("ro")
        else:  # root may write wherever it likes, and whoever is not root meets the mode
            folder = commands.study / "locked"
            folder.mkdir(mode=0o555)
        for words in several[: max(1, times)]:
            tally.tried += 1
            ended = commands.call([*words, "--results", str(folder)])
            tally.reached += ended.code != 0
            fault = ended.fault(1) or ("something was written" if list(folder.iterdir()) else "")
            if not fault and ended.err.count("\n") > 2:  # the run's own name, then one line
                fault = f"more than a line: {ended.err}"
            if fault:
                tally.lose(fault)
    return tally


def two_at_once(commands: Commands, times: int, rng: random.Random) -> Tally:
    """Four of the same command at the same moment: one works, the others say who does, or read what it left."""
    tally = Tally("four of the same command at once")
    whole, _ = undisturbed(commands)
    results = commands.study / "results"
    for _ in range(times):
        tally.tried += 1
        several = [
            subprocess.Popen(
                [sys.executable, "-m", "bdsim", *RUN],
                cwd=commands.study,
                text=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            for _ in range(4)
        ]
        ends = [Ended(p.returncode, "", err) for p in several for err in [p.communicate()[1]]]
        fault = next((f for f in (e.fault(0, 1) for e in ends) if f), "")
        refused = [e for e in ends if e.code == 1]
        tally.reached += bool(refused)
        if not fault and not all("is writing it" in e.err for e in refused):
            fault = f"refused without saying who is at work: {refused[0].err[-200:]}"
        if not fault and not any(e.code == 0 for e in ends):
            fault = "none of them finished"
        fault = fault or half_written(results, whole)
        if fault:
            tally.lose(fault)
        forgotten(results)
    return tally


def flips(commands: Commands, times: int, rng: random.Random) -> Tally:
    """One flipped bit anywhere in a results folder: `verify` names the file; what is read is right or refused."""
    tally = Tally("one bit flipped in a results folder")
    results = commands.study / "results"
    forgotten(results)
    assert commands.call(RUN).code == 0
    folder = run_folder(results)
    assert folder is not None
    before = _answers(folder)
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    for _ in range(times):
        tally.tried += 1
        path = rng.choice(files)
        content = path.read_bytes()
        at, bit = rng.randrange(len(content)), 1 << rng.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        tally.reached += 1
        fault = ""
        try:
            named = verified(folder)
            if not any(path.name in line for line in named):
                fault = f"{path.name} at {at}: verify says {named}"
        except BdsimError as error:
            fault = "" if path.name in str(error) else f"{path.name} at {at}: verify raises {error}"
        with contextlib.suppress(BdsimError):
            fault = fault or ("" if _same(before, _answers(folder)) else f"{path.name} at {at}: read without a word")
        if fault:
            tally.lose(fault)
        path.write_bytes(content)
    forgotten(results)
    return tally


def _answers(folder: Path) -> list[Any]:
    """What is read of a results folder: every table that a figure or a summary stands on."""
    results = bdsim.load_results(folder)
    names = ("departures", "expected", "variance", "full_scale", "stocks", "entered", "left")
    return [*(results.gathered(name) for name in names), results.fates(), results.weights]


def _same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def memory(commands: Commands, times: int, rng: random.Random) -> Tally:
    """Runs at the finest scale stay below what `plan_run` says that they need."""
    tally = Tally("peak memory below what is asked for")
    script = """
        import sys, bdsim
        from bdsim.runs.plan import asked_for
        from bdsim.runs.plan import Settings, plan_run
        from bdsim.runs.ensemble import run_job
        job = plan_run(bdsim.load_scenario("baseline"), Settings(int(sys.argv[1]), 0, int(sys.argv[2])))
        run_job(plan_run(bdsim.load_scenario("baseline"), Settings(int(sys.argv[1]), 0, 1000)))
        def high(): return int(next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmHWM"))) * 1024
        before = high()
        run_job(job)
        agents = len(job.recipe(job.plans[0]).population)
        print(high() - before, round(asked_for(agents, 8)))
    """
    for members, scale in ((1, 1), (8, 1), (16, 2))[: max(1, times)]:
        tally.tried += 1
        tally.reached += 1
        command = [sys.executable, "-c", textwrap.dedent(script), str(members), str(scale)]
        done = subprocess.run(command, cwd=commands.study, capture_output=True, text=True, check=True)
        used, asked = map(int, done.stdout.split())
        if used > asked:
            tally.lose(f"{members} members at scale {scale}: {used / 1e6:.0f} MB used, {asked / 1e6:.0f} MB asked for")
    return tally


TRIALS = {
    "kills": (kills, 100),
    "interrupts": (interrupts, 30),
    "double_interrupts": (double_interrupts, 30),
    "terminations": (terminations, 30),
    "full_disks": (full_disks, 40),
    "read_only": (read_only, 3),
    "two_at_once": (two_at_once, 6),
    "flips": (flips, 400),
    "memory": (memory, 3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=TRIALS, action="append", help="only these trials")
    parser.add_argument("--times", type=int, help="how often (default: as in docs/reliability.md)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments, bits and sizes")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--page", type=Path, help="put the table into this page")
    asked = parser.parse_args()
    rows = []
    with workplace() as commands:
        for name in asked.only or TRIALS:
            trial, usual = TRIALS[name]
            started = time.perf_counter()
            tally = trial(commands, asked.times or usual, random.Random(f"{asked.seed} {name}"))
            seconds = time.perf_counter() - started
            met = f"{tally.tried} tried, {tally.reached} met it at work"
            print(f"{tally.what}: {met}, {tally.lost} lost ({seconds:.0f} s)")
            for note in tally.notes:
                print(f"    {note}")
            rows.append({"trial": name, **asdict(tally)})
    if asked.json:
        found = {"seed": asked.seed, "machine": machine.described(), "trials": rows}
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if asked.page:
        asked.page.write_text(with_table(asked.page.read_text(encoding="utf-8"), rows), encoding="utf-8")
    sys.exit(any(row["lost"] for row in rows))


def with_table(page: str, rows: list[dict[str, Any]]) -> str:
    """The page with the figures between its two marks."""
    begin, end = "<!-- reliability:begin -->", "<!-- reliability:end -->"
    lines = ["| what was tried | how often | met it at work | lost |", "|---|---:|---:|---:|"]
    lines += [f"| {row['what']} | {row['tried']} | {row['reached']} | {row['lost']} |" for row in rows]
    head, tail = page.split(begin)[0], page.split(end)[1]
    command = "Measured with `make reliability`."
    return "\n".join([f"{head}{begin}", command, "", *lines, f"{end}{tail}"])


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
