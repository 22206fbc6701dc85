"""Fuzz a loader of the files that people write: whatever they hold, it answers or says one line, within a second.

    python tests/fuzz/fuzz_loaders.py scenario --seconds 60

Starts from what the study ships and what corpus/ keeps. What gets through is shrunk and written to corpus/, where
test_fuzz_corpus.py fails until it is mended. --keep adds inputs that reach what neither ships nor is kept.
Needs atheris, which make fuzz installs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from mutator import Mutator, short, words_of  # noqa: E402

STUDY = TESTS.parent
CORPUS = TESTS / "fuzz" / "corpus"
LOADERS = ("scenario", "draft", "parameters", "targets", "sources", "evidence", "fit", "manifest")
MOST_KEPT, LARGEST_KEPT, BYTES_KEPT = 35, 4000, 18_000  # of a loader; findings come on top
LARGEST = 12_000  # bytes of an input
WATCHED = ("bdsim", "tomllib", "csv")
COMPILED = ("model", "runs.plan")  # by Numba
A_RUN = (
    "import sys, bdsim; from pathlib import Path; from bdsim.study import find_study;"
    "scenario = bdsim.load_scenario('baseline', find_study(sys.argv[1]));"
    "bdsim.run(scenario, 1, 0, 2000, horizon=2012, folder=Path(sys.argv[2]))"
)


def shipped(loader: str, work: Path) -> list[bytes]:
    """The files that a loader reads every day, as inputs."""
    if loader in ("scenario", "draft"):
        return [p.read_bytes() for folder in ("scenarios", "tests/broken_scenarios") for p in files(STUDY / folder)]
    if loader == "manifest":
        subprocess.run([sys.executable, "-c", A_RUN, str(STUDY), str(work / "run")], check=True)
        return [(work / "run" / "manifest.json").read_bytes()]
    if loader in ("evidence", "fit"):
        folder = STUDY / "calibration" / ("evidence" if loader == "evidence" else "fitted/default")
        names = ("manifest.json", "parameters.csv", "draws.csv") if loader == "fit" else sorted(folder.glob("*.csv"))
        lines = {p.name: p.read_bytes().splitlines(keepends=True) for p in map(folder.joinpath, names)}
        rows = {"draws.csv": 6}  # of 401, as in the study that is fuzzed
        return [f"=== {name}\n".encode() + b"".join(found[: rows.get(name)]) for name, found in lines.items()]
    return [(STUDY / "calibration" / f"{loader}.toml").read_bytes()]


def fuzz(loader: str, seconds: int, work: Path, seeds: list[bytes]) -> None:
    """Run libFuzzer in this process, which it ends. Each new kind of finding is a file in work/found."""
    with (work / "log").open("wb") as log:
        os.dup2(log.fileno(), 2)
    import atheris

    for name in [n for n in sys.modules if n.partition(".")[0] in WATCHED]:
        del sys.modules[name]
    with atheris.instrument_imports(include=list(WATCHED), exclude=[f"bdsim.{name}" for name in COMPILED]):
        from fuzz_targets import Fuzzed, shape

    fuzzed = Fuzzed(work, loader)
    # pydantic is compiled and cannot be watched; that it says something new counts as reaching something new
    beacons = [atheris.instrument_func(lambda: None) for _ in range(2048)]
    kinds: set[str] = set()

    def one(content: bytes) -> None:
        try:
            beacons[zlib.crc32(shape(fuzzed.said(content)).encode()) % len(beacons)]()
        except Exception as error:
            if (kind := kind_of(error)) not in kinds:
                kinds.add(kind)
                (work / "found" / name_of(content)).write_bytes(content)

    words = words_of(seeds)
    entries = ('"' + "".join(f"\\x{b:02x}" for b in word.encode()) + '"\n' for word in words if len(word) < 60)
    (work / "words").write_text("".join(entries))
    options = [f"-max_total_time={seconds}", f"-dict={work / 'words'}", f"-max_len={LARGEST}", "-timeout=30"]
    mutator = Mutator(seeds, words, lambda content, largest: atheris.Mutate(content, largest))  # Fuzz() sets Mutate
    options += [
        f"-artifact_prefix={work / 'found'}/",
        "-print_final_stats=1",
        "-keep_seed=1",
        "-reload=0",
        str(work / "inputs"),
    ]
    atheris.Setup([loader, *options], one, custom_mutator=mutator)
    atheris.Fuzz()


def kind_of(error: Exception) -> str:
    """The same for the same mistake: the exception, and the last line of the package that it passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "bdsim" in f.filename or "fuzz_t" in f.filename]
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"


def shrunk(content: bytes, holds: Callable[[bytes], bool]) -> bytes:
    """A part of an input for which something still holds: first by lines, then by bytes, for two minutes at most."""
    end = time.monotonic() + 120
    for cut in (lambda c: c.splitlines(keepends=True), lambda c: [c[i : i + 1] for i in range(len(c))]):
        parts = cut(content)
        size = len(parts)
        while size := size // 2:
            at = 0
            while at < len(parts) and time.monotonic() < end:
                rest = parts[:at] + parts[at + size :]
                parts, at = (rest, at) if holds(b"".join(rest)) else (parts, at + size)
        content = b"".join(parts)
    return content


def reached(ask: Callable[[], str]) -> set[tuple[Any, ...]]:
    """The steps from line to line of what is watched that a call takes, and what it says in the end."""
    from fuzz_targets import shape

    steps: set[tuple[Any, ...]] = set()

    def enter(frame: FrameType, _event: str, _arg: object) -> Any:
        code, last = frame.f_code, 0

        def step(frame: FrameType, _event: str, _arg: object) -> Any:
            nonlocal last
            steps.add((code, last, frame.f_lineno))
            last = frame.f_lineno
            return step

        return step if str(frame.f_globals.get("__name__")).partition(".")[0] in WATCHED else None

    sys.settrace(enter)
    try:
        steps.add((shape(ask()),))
    finally:
        sys.settrace(None)
    return steps


def keep(said: Callable[[bytes], str], folder: Path, known: list[bytes], new: list[bytes]) -> None:
    """Write the new inputs that add most to what the known ones reach, as many as there is room for."""
    before = set().union(*(reached(partial(said, c)) for c in known))
    added = {content: reached(partial(said, content)) - before for content in new if len(content) <= LARGEST_KEPT}
    kept = [p.read_bytes() for p in files(folder)]
    while added and len(kept) < MOST_KEPT:
        best = max(added, key=lambda c: (len(added[c]) / (len(c) + 200), c))
        if added[best] and sum(map(len, kept)) + len(best) <= BYTES_KEPT:
            (folder / name_of(best)).write_bytes(best)
            kept.append(best)
            before |= added[best]
        added = {c: more for c, steps in added.items() if c != best and (more := steps - before)}


def report(loader: str, work: Path, folder: Path, known: list[bytes] | None) -> int:
    """Shrink and keep what was found, print it, and keep what reaches something new beyond the `known`, if given."""
    from fuzz_targets import Fuzzed

    fuzzed = Fuzzed(work / "again", loader)

    def got_through(content: bytes) -> str:
        try:
            fuzzed.said(content)
        except Exception as error:
            return kind_of(error)
        return ""

    kinds: set[str] = set()
    for content in map(Path.read_bytes, files(work / "found")):
        if (kind := got_through(content)) and kind not in kinds:  # else it was slow only because it was watched
            kinds.add(kind)
            least = shrunk(content, partial(lambda kind, c: got_through(c) == kind, kind))
            (folder / name_of(least)).write_bytes(least)
            print(f"  {kind}: {folder / name_of(least)}")
    if known is not None:
        new = [p.read_bytes() for p in files(work / "inputs")]
        keep(fuzzed.said, folder, known, [content for content in new if not got_through(content)])
    return int(bool(kinds))


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("loader", choices=LOADERS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="add inputs that reach something new to the corpus")
    chosen = parser.parse_args()
    folder = CORPUS / chosen.loader
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        given = shipped(chosen.loader, work)
        kept = [p.read_bytes() for p in files(folder)]
        seeds = [*given, *map(short, given), *kept]
        for part in ("inputs", "found"):
            (work / part).mkdir()
        for seed in seeds:
            (work / "inputs" / name_of(seed)).write_bytes(seed)
        if (child := os.fork()) == 0:
            try:
                fuzz(chosen.loader, chosen.seconds, work, seeds)
            except BaseException:
                (work / "log").open("a").write(traceback.format_exc())
            os._exit(1)
        status = os.waitpid(child, 0)[1]
        log = (work / "log").read_text(errors="replace")
        print(f"{chosen.loader}: {' '.join(re.findall(r'^#.*DONE.*|^Done .*', log, re.MULTILINE)) or log[-2000:]}")
        return report(chosen.loader, work, folder, [*given, *kept] if chosen.keep else None) or int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
