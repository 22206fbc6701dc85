"""The programs that are compared, and the check that they decide the same."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import bdsim_engines
import c_engines
import mesa_idiomatic
import numpy_vectorised
from bdsim.model.categories import FIELDS, FIRST_ENTRY, FIRST_YEAR, GROUPS, ORIGINS
from bdsim.model.machine_code import SINGLE_WIDTH
from bdsim_engines import Tally, Workload
from machine import vector_bits

__all__ = ["PROGRAMS", "MismatchError", "Program", "Sizes", "chosen", "measured", "ratios"]

DECIDED = ("departures", "stocks", "entrants", "retired")  # whole numbers of agents: equal, or a decision differs
HISTORY = ("programme", "left", "left_before")  # likewise
SUMS = ("expected", "variance", "programme_expected")  # sums of probabilities, in an order that an engine may choose
SUM_TOLERANCE = 1e-11  # relative: sums of up to 10^6 terms in another order

Timed = tuple[float, list[Tally]]  # CPU seconds, one tally a member


class Sizes(NamedTuple):
    """How much work everyone is given."""

    fine: int  # researchers per agent
    coarse: int  # the same for models of objects, which would take minutes at the fine scale
    members: int


@dataclass(frozen=True)
class Program:
    """One bar of the figure. `tables` are compared with the engine's; none for a program that may differ."""

    name: str
    title: str
    run: Callable[[Workload, range], Timed]
    tables: tuple[str, ...] = (*DECIDED, *HISTORY, *SUMS)
    ensemble: bool = False  # many members, or member 0
    coarse: bool = False
    sampled: bool = True
    needs_gcc: bool = False

    def researchers_per_agent(self, sizes: Sizes) -> int:
        return sizes.coarse if self.coarse else sizes.fine

    def members(self, sizes: Sizes) -> range:
        return range(sizes.members if self.ensemble else 1)


def _clocked(work: Callable[[], list[Tally]]) -> Timed:
    gc.collect()
    begun = time.process_time()
    tallies = work()
    return time.process_time() - begun, tallies


def _engine(sampled: bool) -> Callable[[Workload, range], Timed]:
    return lambda work, members: _clocked(lambda: bdsim_engines.many(work, members, sampled=sampled))


def _single(work: Workload, members: range) -> Timed:
    return _clocked(lambda: bdsim_engines.many(work, members, width=SINGLE_WIDTH))


def _each(one: Callable[[Workload, int], Tally]) -> Callable[[Workload, range], Timed]:
    return lambda work, members: _clocked(lambda: [one(work, member) for member in members])


def _c_scalar(variant: str) -> Callable[[Workload, range], Timed]:
    def run(work: Workload, members: range) -> Timed:
        done = [c_engines.run_scalar(work, member, variant) for member in members]
        return sum(seconds for seconds, _ in done), [tally for _, tally in done]

    return run


def _c_lanes(variant: str) -> Callable[[Workload, range], Timed]:
    return lambda work, members: c_engines.run_lanes(work, members, variant)


PROGRAMS = (
    Program("bdsim-one", "bdsim, one member", _engine(True)),
    Program("bdsim-one-expected", "bdsim, one member, expected", _engine(False), sampled=False),
    Program("bdsim-many", "bdsim, ensemble", _engine(True), ensemble=True),
    Program("bdsim-many-expected", "bdsim, ensemble, expected", _engine(False), ensemble=True, sampled=False),
    Program("bdsim-many-float32", "bdsim, ensemble, single precision", _single, (), ensemble=True),
    Program("bdsim-mesa", "bdsim's Mesa model", _each(bdsim_engines.mesa), coarse=True),
    Program("mesa", "idiomatic Mesa", _each(mesa_idiomatic.run), DECIDED, coarse=True),
    Program("numpy", "NumPy, whole arrays", _each(numpy_vectorised.run)),
    Program("c-scalar", "C, one member", _c_scalar("exact"), needs_gcc=True),
    Program("c-scalar-lean", "C, one member, departures only", _c_scalar("lean"), (*DECIDED, *HISTORY), needs_gcc=True),
    Program("c-lanes", "C, eight members in lanes", _c_lanes("exact"), ensemble=True, needs_gcc=True),
    Program(
        "c-lanes-lean", "C, lanes, departures only", _c_lanes("lean"), (*DECIDED, *HISTORY),
        ensemble=True, needs_gcc=True,
    ),
    Program("c-lanes-fused", "C, lanes, fused multiply-add", _c_lanes("fused"), (), ensemble=True, needs_gcc=True),
)  # fmt: skip

# The C program has vectors of 512 bits by hand, which a compiler from Python matches less well than those of 256.
OF_LANES = 0.9 if vector_bits() == 512 else 1.0
# (of, over, at least, what for): speed of `of` over that of `over`, in the same round
JUDGED = (
    ("bdsim-many", "mesa", 450.0, "an ensemble against idiomatic Mesa"),
    ("bdsim-many", "c-lanes", OF_LANES, "an ensemble against C in lanes"),
    ("bdsim-one", "mesa", 60.0, "one member against idiomatic Mesa"),
    ("bdsim-one", "c-scalar", 1.0, "one member against scalar C"),
    ("bdsim-many-expected", "bdsim-many", 0.9, "expected against sampled"),
    ("bdsim-many-float32", "bdsim-many", 1.5, "single against double precision"),
)


def chosen(only: str | None) -> list[Program]:
    """The programs named in a comma-separated list (all without one). Raises ValueError for an unknown name."""
    if only is None:
        return list(PROGRAMS)
    names = [name.strip() for name in only.split(",")]
    known = {program.name: program for program in PROGRAMS}
    for name in names:
        if name not in known:
            raise ValueError(f"no program '{name}'; there are {', '.join(known)}")
    return [known[name] for name in names]


class MismatchError(Exception):
    """A program decided otherwise than bdsim's engine."""


_reference: dict[tuple[int, int, int, bool], Tally] = {}


def reference(work: Workload, member: int, sampled: bool) -> Tally:
    """What bdsim's engine makes of one member alone; kept."""
    key = work.researchers_per_agent, work.years, member, sampled
    if key not in _reference:
        _reference[key] = bdsim_engines.one(work, member, sampled=sampled)
    return _reference[key]


def measured(program: Program, work: Workload, members: range) -> tuple[float, float]:
    """CPU seconds and researcher-years of one round. Raises MismatchError."""
    seconds, tallies = program.run(work, members)
    years = 0.0
    for member, tally in zip(members, tallies, strict=True):
        expected = reference(work, member, program.sampled)
        years += bdsim_engines.researcher_years(expected)
        for table in program.tables:
            difference = first_difference(table, getattr(tally, table), getattr(expected, table), program.sampled)
            if difference:
                raise MismatchError(
                    f"{program.name}, member {member}, 1 agent = {work.researchers_per_agent}: {difference}"
                )
    return seconds, years


def first_difference(table: str, ours: np.ndarray, engine: np.ndarray, sampled: bool = True) -> str | None:
    """The first cell in which a table differs from the engine's, in words; None when there is none."""
    exact = sampled and table not in SUMS
    same = (ours == engine) if exact else np.isclose(ours, engine, rtol=SUM_TOLERANCE, atol=SUM_TOLERANCE)
    if same.all():
        return None
    cell = tuple(int(i) for i in np.argwhere(~same)[0])
    return f"{table} of {_place(table, cell)}: {ours[cell]!r}, but {engine[cell]!r} in bdsim"


def _place(table: str, cell: tuple[int, ...]) -> str:
    """A cell's labels."""
    if table == "left_before":
        return f"{ORIGINS[cell[0]]}, entry {FIRST_ENTRY + cell[1]}"
    year = FIRST_YEAR + cell[0]
    if table == "left":
        return f"{year}, {ORIGINS[cell[1]]}, entry {FIRST_ENTRY + cell[2]}"
    labels = [str(year), " ".join(GROUPS[cell[1]]), FIELDS[cell[2]]]
    labels += [("early", "mid", "senior")[cell[3]]] if len(cell) > 3 else []
    labels += ["to " + ("china", "elsewhere")[cell[4]]] if len(cell) > 4 else []
    return ", ".join(labels)


def ratios(speeds: dict[str, list[float]]) -> list[dict[str, object]]:
    """Medians over rounds of the ratios that are judged, for the programs that were run."""
    found: list[dict[str, object]] = []
    for of, over, least, meaning in JUDGED:
        if speeds.get(of) and speeds.get(over):
            each = [a / b for a, b in zip(speeds[of], speeds[over], strict=True)]
            found.append(
                {
                    "of": of,
                    "over": over,
                    "meaning": meaning,
                    "ratio": float(np.median(each)),
                    "lowest": min(each),
                    "highest": max(each),
                    "at_least": least,
                }
            )
    return found
