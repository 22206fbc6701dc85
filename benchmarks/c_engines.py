"""The same rule in C (c/scalar.c, c/lanes.c), compiled here by gcc and called through ctypes.

The C programs get bdsim's own arrays, so population, environment, parameters and random sequences are the same;
they fill a Tally of the engine's shape. Identity to the last digit needs -ffp-contract=off: a fused
multiply-add rounds once where the rule rounds twice.
"""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from bdsim.model import rule
from bdsim.model.categories import FIRST_ENTRY, FIRST_YEAR, ORIGIN_OF_GROUP
from bdsim.model.engine.counting import SETTLED
from bdsim.model.world import no_shocks
from bdsim_engines import Luck, Tally, Workload, luck, new_tally

__all__ = ["LANES", "VARIANTS", "compiler_version", "run_lanes", "run_scalar"]

HERE = Path(__file__).parent / "c"
LANES = 8
FLAGS = (
    "-std=gnu11",
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wall",
    "-Wno-psabi",
    "-shared",
    "-fPIC",
)
EXACT, FUSED = "-ffp-contract=off", "-ffp-contract=fast"
VARIANTS = {
    "exact": (EXACT,),
    "lean": (EXACT, "-DLEAN"),  # departures and stocks only
    "fused": (FUSED,),  # fused multiply-adds: not the same bits, for the record
}
CONSTANTS = {
    "FIRST_YEAR": FIRST_YEAR,
    "FIRST_ENTRY": FIRST_ENTRY,
    "CAREER": rule.CAREER,
    "EARLY_UNTIL": rule.EARLY_UNTIL,
    "MID_UNTIL": rule.MID_UNTIL,
    "OFFERS_FROM": rule.OFFERS_FROM,
    "OFFERS_UNTIL": rule.OFFERS_UNTIL,
    "ON_VISA_UNTIL": rule.ON_VISA_UNTIL,
    "TYPICAL_TIES": rule.TYPICAL_TIES,
    "SETTLED": SETTLED,
}
Pointer, Double, Long, Word = ctypes.c_void_p, ctypes.c_double, ctypes.c_int64, ctypes.c_uint64
Weights = rule.Weights._fields
UNCOUNTED = ("breaches", "by_age", "stocks_by_age")


class People(ctypes.Structure):
    """c/bdsim.h: People."""

    _fields_ = (
        *((name, Long) for name in ("rows", "fields", "cohorts")),
        *(
            (name, Pointer)
            for name in ("identity", "group", "field", "entry", "enters", "ties", "prominence", "appeal")
        ),
        *((name, Pointer) for name in ("colleagues", "starts", "origin_of")),
    )


class World(ctypes.Structure):
    """c/bdsim.h: World."""

    _fields_ = (
        ("years", Long),
        *((name, Pointer) for name in ("scrutiny", "log_funding", "pull", "log_us", "green_card_wait", "offers")),
    )


class Member(ctypes.Structure):
    """c/bdsim.h: Member."""

    _fields_ = (
        ("leave_china", Double * 3),
        ("leave_elsewhere", Double * 3),
        ("field_china", Double * 8),
        ("roots", Double * 2),
        ("settled", Double),
        ("counted", Double),
        *((name, Double) for name in Weights),
        ("agents", Double * 4),
        ("survived", Word),
        *((name, Pointer) for name in ("offered", "clock_china", "clock_elsewhere", "clock_programme")),
        *((name, Pointer) for name in ("shock_china", "shock_elsewhere")),
    )


class Counts(ctypes.Structure):
    """c/bdsim.h: Tally. C does without the yearly invariants that bdsim checks, and without counts by age."""

    _fields_ = tuple((name, Pointer) for name in (*(n for n in Tally._fields if n not in UNCOUNTED), "fate"))


@cache
def compiler_version() -> str | None:
    """First line of `gcc --version`, or None where there is no gcc."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    return subprocess.run([gcc, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


@cache
def library(source: str, variant: str) -> ctypes.CDLL:
    """c/SOURCE.c as a shared library, compiled once per process into a folder that lives as long."""
    folder = _build_folder()
    made = folder / f"{source}-{variant}.so"
    flags = (*FLAGS, *VARIANTS[variant], *(f"-D{name}={value}" for name, value in CONSTANTS.items()))
    subprocess.run(["gcc", *flags, "-o", str(made), str(HERE / f"{source}.c")], check=True)
    loaded = ctypes.CDLL(str(made))
    loaded.run.restype = ctypes.c_double
    loaded.run.argtypes = [ctypes.c_void_p] * 4
    return loaded


@cache
def _build_folder() -> Path:
    _kept.append(tempfile.TemporaryDirectory(prefix="bdsim-benchmarks-"))
    return Path(_kept[-1].name)


_kept: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def source_hash() -> str:
    """16 hexadecimal digits of the C sources, for the record."""
    digest = hashlib.sha256()
    for path in sorted(HERE.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run_scalar(work: Workload, member: int, variant: str = "exact") -> tuple[float, Tally]:
    """CPU seconds that C needed for one member, and its tally."""
    seconds, (tally,) = _run("scalar", variant, work, range(member, member + 1))
    return seconds, tally


def run_lanes(work: Workload, members: range, variant: str = "exact") -> tuple[float, list[Tally]]:
    """CPU seconds that C needed for the members, LANES at a time, and their tallies."""
    seconds, tallies = 0.0, []
    for first in range(members.start, members.stop, LANES):
        took, some = _run("lanes", variant, work, range(first, first + LANES))
        seconds += took
        tallies += some
    return seconds, tallies


def _run(source: str, variant: str, work: Workload, members: range) -> tuple[float, list[Tally]]:
    kept: list[object] = []  # arrays that C reads stay alive until it returns
    people, world = _people(work, kept), _world(work, kept)
    tallies = [new_tally(work) for _ in members]
    own = (Member * len(members))(*(_member(work, member, kept) for member in members))
    counts = (Counts * len(members))(*(_counts(work, tally, kept) for tally in tallies))
    seconds = library(source, variant).run(
        ctypes.byref(people), ctypes.byref(world), ctypes.byref(own), ctypes.byref(counts)
    )
    if seconds == -1.0:
        raise MemoryError(f"{source}.c: no memory for {work.rows:,} rows")
    if seconds < 0.0:
        raise ValueError(f"{source}.c: a rate of leaving goes beyond what exp takes there")
    return float(seconds), tallies


def _pointer(array: np.ndarray, dtype: type, kept: list[object]) -> int:
    """Address of the array's data in C order; a copy is made only if the array is not laid out so."""
    laid_out: np.ndarray = np.ascontiguousarray(array, dtype)
    kept.append(laid_out)
    return laid_out.ctypes.data


def _people(work: Workload, kept: list[object]) -> People:
    p = work.world.population.people
    columns = {
        "identity": np.uint64, "group": np.uint8, "field": np.uint8, "entry": np.int16, "enters": np.uint8,
        "ties": np.float64, "prominence": np.float64, "appeal": np.float64, "colleagues": np.uint32, "starts": np.int64,
    }  # fmt: skip
    return People(
        rows=work.rows,
        fields=p.starts.shape[0],
        cohorts=p.starts.shape[1] - 1,
        origin_of=_pointer(ORIGIN_OF_GROUP, np.int64, kept),
        **{name: _pointer(getattr(p, name), dtype, kept) for name, dtype in columns.items()},
    )


def _world(work: Workload, kept: list[object]) -> World:
    e = work.world.environment
    return World(work.years, *(_pointer(getattr(e, name), np.float64, kept) for name, _ in World._fields_[1:]))


def _member(work: Workload, member: int, kept: list[object]) -> Member:
    world = work.member(member)
    own: Luck = luck(work, member)
    b = world.behaviour
    return Member(
        (Double * 3)(*b.leave_china),
        (Double * 3)(*b.leave_elsewhere),
        (Double * 8)(*b.field_china),
        (Double * 2)(*b.roots),
        b.settled,
        b.counted,
        *b.weights,
        (Double * 4)(*world.agent_size),
        own.survived,
        *(_pointer(column, np.uint64, kept) for column in own[1:]),
        *(_pointer(table, np.float64, kept) for table in world.shocks or no_shocks(work.years)),
    )


def _counts(work: Workload, tally: Tally, kept: list[object]) -> Counts:
    fate = np.zeros(work.rows, np.uint16)
    kept.append(fate)
    return Counts(*(getattr(tally, name).ctypes.data for name, _ in Counts._fields_[:-1]), fate.ctypes.data)
