"""Parts of an ensemble as tidy tables: their rows and columns, and what each column says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bdsim.errors import ResultsError, UsageError, did_you_mean
from bdsim.model.categories import DESTINATIONS, FIRST_ENTRY, FIRST_YEAR, GROUPS, ORIGINS, Floats
from bdsim.model.counts import AXES, selection
from bdsim.model.fates import Fates, destination_of, with_programme, year_left
from bdsim.model.rule import CAREER
from bdsim.runs.store.parts import Leavers, Lived

__all__ = [
    "COLUMNS",
    "COLUMN_OF",
    "PART_TABLES",
    "check_run",
    "cohort_rows",
    "collapse",
    "leaver_rows",
    "of_run",
    "part_rows",
    "tidy",
]

GROUP_LABELS = {"origin": [o for o, _ in GROUPS], "route": [r for _, r in GROUPS]}

RUN = b"bdsim run"  # key of a table's metadata
PART_TABLES = ("departures", "stocks", "expected", "flows", "cohorts", "leavers")
CELLS = {
    "departures": ("field", "stage", "destination"),
    "stocks": ("field", "stage"),
    "expected": ("field", "stage", "destination"),
    "flows": ("field",),
}
COLUMN_OF = {  # a part's table: the Parquet table, its column, the axes after years, groups and fields
    "departures": ("departures", "researchers", ("stage", "destination")),
    "expected": ("expected", "expected", ("stage", "destination")),
    "variance": ("expected", "variance", ("stage", "destination")),
    "full_scale": ("expected", "full_scale", ("stage", "destination")),
    "programme": ("departures", "with_programme", ("stage", "destination")),
    "programme_expected": ("expected", "with_programme", ("stage", "destination")),
    "programme_full_scale": ("expected", "full_scale_with_programme", ("stage", "destination")),
    "stocks": ("stocks", "researchers", ("stage",)),
    "entrants": ("flows", "entrants", ()),
    "retired": ("flows", "retired", ()),
}

COLUMNS = {
    "member": "number of the ensemble member",
    "branch": "way through the scenario's events",
    "draw": "members with the same draw share luck across scenarios and branches",
    "weight": "weight of the member; weights of a run add up to 1",
    "seed": "seed of the member's random numbers (64 bits, hexadecimal)",
    "own": "digest of all that the engine is given of the member alone: behaviour, agents, seed",
    "agent_doctorate": "researchers that an agent of the doctorate route stands for in this member",
    "agent_settled": "researchers that an agent of the settled route stands for in this member",
    "shock.SERIES.YEAR": "what moves everyone's log rate of leaving in a year and the model does not know",
    "parameter.NAME": "value of the parameter NAME in this member, of each that differs between members",
    "assumption.NAME": "what the member drew of the range NAME in the scenario file; days as years with a fraction",
    "year": "calendar year",
    "origin": "china (Chinese descent), india or other",
    "route": "doctorate (US doctorate on a temporary visa) or settled (of Chinese descent, other ways)",
    "field": "engineering_cs, math_physical or life",
    "stage": "early (0-5 years since entry), mid (6-14), senior (15 and more)",
    "destination": "china or elsewhere",
    "researchers": "number of researchers (departures: during the year; stocks: on 1 January)",
    "expected": "departures expected given the state of 1 January, in researchers",
    "full_scale": "departures drawn around what is expected, with the chance of single researchers",
    "with_programme": "those of them who left with a talent programme, all for China (summary.csv: their mean)",
    "full_scale_with_programme": "of the departures at full scale, those with a talent programme",
    "variance": "variance of the departures if each researcher chose alone, in researchers squared",
    "entrants": "researchers who entered on 1 January",
    "retired": "researchers who left research after 38 years, at the end of the year",
    "entry_year": "year of entry",
    "as_of": "on 1 January of this year",
    "entered": "researchers of the cohort (doctorate route)",
    "in_us": "of those, the ones who had not left the US (the retired count as here)",
    "person": "row number in people, from 0",
    "identity": "64-bit identity of a researcher (docs/ODD.md)",
    "prominence": "rank in (0, 1)",
    "ties": "ties to China at entry, in [0, 1]",
    "parameters": "of a member that failed, by name, as JSON",
    "error": "what it raised",
    "traceback": "where it raised it",
}


def of_run(schema: pa.Schema, run: str) -> pa.Schema:
    """A schema that says to which run its table belongs, so that tables of two runs cannot be mixed unseen."""
    return schema.with_metadata({**(schema.metadata or {}), RUN: run.encode()})


def check_run(schema: pa.Schema, run: str, path: Path) -> None:
    """Raises ResultsError for a table of another run."""
    found = (schema.metadata or {}).get(RUN, b"").decode(errors="replace")
    if found != run:
        raise ResultsError(f"{path.name} belongs to another run ({found or 'unknown'}, not {run})", where=path.parent)


def part_rows(part: Lived) -> tuple[int, dict[str, pa.Table]]:
    """How many members a part has, and their rows of every table, members numbered from 0."""
    rows = {}
    for name, axes in CELLS.items():
        values = {column: part.table(table) for table, (of, column, _) in COLUMN_OF.items() if of == name}
        table = _cells(next(iter(values.values())).shape, axes)
        for column, array in values.items():
            table = table.append_column(column, pa.array(array.ravel()))
        rows[name] = table
    rows["cohorts"] = cohort_rows(part.table("entered"), part.table("left"))
    rows["leavers"] = leaver_rows(part.leavers)
    return part.members, rows


@lru_cache(maxsize=2 * len(CELLS))
def _cells(shape: tuple[int, ...], axes: tuple[str, ...]) -> pa.Table:
    """What stands beside the values of `tidy`: the same for all parts of a size."""
    frame = tidy({"value": np.zeros(shape)}, axes).drop(columns="value")
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def leaver_rows(leavers: Leavers, first_member: int = 0) -> pa.Table:
    """member, person (row of people), year, destination, with_programme; one row a departure."""
    fate = leavers.fate
    return pa.table(
        {
            "member": leavers.member.astype(np.int32) + np.int32(first_member),
            "person": leavers.person,
            "year": _told(year_left, fate, np.int32),
            "destination": pa.DictionaryArray.from_arrays(_told(destination_of, fate, np.int8), list(DESTINATIONS)),
            "with_programme": _told(with_programme, fate, np.bool_),
        }
    )


def _told(what: Callable[[Any], Any], fates: Fates, kind: type) -> NDArray[Any]:
    """What each of many fates says, worked out once for each fate that there can be."""
    return np.take(what(np.arange(int(fates.max(initial=0)) + 1)).astype(kind), fates)


def tidy(tables: dict[str, Floats], axes: Sequence[str], first_member: int = 0) -> pd.DataFrame:
    """Arrays of shape (members, years, groups, ...) as one row per cell, groups split into origin and route.

    `axes` names what follows the groups: field, stage, destination. Members are numbered from `first_member`.
    """
    shape = next(iter(tables.values())).shape
    index = np.indices(shape, dtype=np.int32).reshape(len(shape), -1)
    columns: dict[str, object] = {
        "member": index[0] + np.int32(first_member),
        "year": (index[1] + FIRST_YEAR).astype(np.int32),
    }
    for name, labels in GROUP_LABELS.items():
        codes = np.array([AXES[name].index(label) for label in labels])[index[2]]
        columns[name] = pd.Categorical.from_codes(codes, categories=AXES[name])
    for axis, codes in zip(axes, index[3:], strict=True):
        columns[axis] = pd.Categorical.from_codes(codes, categories=AXES[axis])
    columns |= {name: table.ravel() for name, table in tables.items()}
    return pd.DataFrame(columns)


def cohort_rows(entering: Floats, left: Floats, first_member: int = 0) -> pa.Table:
    """Doctorate cohorts: how many entered and how many had not left by each 1 January (the retired have not).

    `entering` and `left` are Counts.entered and Counts.left; members are numbered from `first_member`.
    """
    gone = np.cumsum(left, axis=1)  # (members, as_of, origins, cohorts); as_of from FIRST_YEAR
    entered = np.broadcast_to(entering[:, None], gone.shape)
    there, labels = _cohort_cells(gone.shape)
    began = entered.ravel()[there]
    rows = {name: labels[name] for name in labels.column_names}
    rows["member"] = pa.array(labels["member"].to_numpy() + np.int32(first_member))
    return pa.table(rows | {"entered": pa.array(began), "in_us": pa.array(began - gone.ravel()[there])})


@lru_cache(maxsize=2)
def _cohort_cells(shape: tuple[int, ...]) -> tuple[NDArray[np.int64], pa.Table]:
    """Which cells of (members, as_of, origins, cohorts) are told, those of a career; and what stands beside them."""
    as_of, entry = FIRST_YEAR + np.arange(shape[1]), FIRST_ENTRY + np.arange(shape[3])
    lived = as_of[:, None] - entry[None, :]
    there = np.broadcast_to(((lived >= 1) & (lived <= CAREER))[:, None, :], shape).ravel().nonzero()[0]
    member, when, origin, cohort = np.unravel_index(there, shape)
    labels = {
        "member": pa.array(member.astype(np.int32)),
        "origin": pa.DictionaryArray.from_arrays(origin.astype(np.int8), list(ORIGINS)),
        "entry_year": pa.array(entry[cohort].astype(np.int32)),
        "as_of": pa.array(as_of[when].astype(np.int32)),
    }
    return there, pa.table(labels)


def collapse(table: Floats, axes: Sequence[str], origin: str) -> Floats:
    """(members, years, groups, fields, stages, destinations) summed down to (members, years, *axes)."""
    names = ("field", "stage", "destination")
    for axis in axes:
        if axis not in names:
            raise UsageError(f"unknown axis '{axis}'{did_you_mean(axis, names)}", where="by")
    chosen = table[:, :, selection(origin)].sum(axis=2)
    drop = tuple(2 + i for i, name in enumerate(names) if name not in axes)
    kept = [name for name in names if name in axes]
    summed = chosen.sum(axis=drop)
    return np.moveaxis(summed, [2 + kept.index(a) for a in axes], range(2, 2 + len(axes)))
