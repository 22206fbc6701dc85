"""The network of colleagues as a picture: everyone here or just gone, where they stand, who is whose colleague."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim.errors import UsageError, did_you_mean
from bdsim.model import draws, rule
from bdsim.model.categories import FIELDS, FIRST_ENTRY, GROUPS, ORIGIN_OF_GROUP, ORIGINS, STAGES, Floats
from bdsim.model.draws import Purpose
from bdsim.model.fates import destination_of, year_left
from bdsim.model.rule import CAREER, CHINA, ELSEWHERE

if TYPE_CHECKING:
    from bdsim.model.agents import WorldModel
    from bdsim.model.people import Population

__all__ = ["STATUSES", "network"]

STATUSES = ("here", "left for China last year", "left for elsewhere last year")
INNERMOST = 0.15  # radius of the oldest circle, so that its people do not fall into one point
GAP = 0.06  # share of a field's sector left empty where several fields are drawn


def network(
    model: WorldModel, field: str | None = None, origin: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Those here or just gone on 1 January of `model.year`, of one field and origin or of all: (nodes, links).

    `nodes`: row, identity, origin, route, field, stage, entry_year, fear, ties (both in [0, 1]), status ('here',
    'left for China last year', 'left for elsewhere last year'), x, y. Of those just gone, stage, fear and ties are
    those they left with. `links`: from, to (rows of nodes, from < to), one for each pair of which at least one has
    the other as a colleague.

    Where someone stands means something, and changes with no scenario and no luck. The angle, clockwise from above,
    is the place on the field's ring: people of the same institution stand on one ray, neighbours on neighbouring
    rays. The radius, at most 1, is the entry year: a cohort is a circle, entrants are on the rim, the oldest
    innermost, and everyone moves inwards by one circle a year. With several fields each has a sector of its own,
    whose two edges are neighbours on the ring. Raises UsageError for an unknown field or origin.
    """
    for name, chosen, choices in (("field", field, FIELDS), ("origin", origin, ORIGINS)):
        if chosen is not None and chosen not in choices:
            raise UsageError(f"unknown {name} '{chosen}'{did_you_mean(chosen, choices)}", where=name)
    people = model.world.population.people
    status = _status(model)
    shown = status != ""
    if field is not None:
        shown &= people.field == FIELDS.index(field)
    if origin is not None:
        shown &= ORIGIN_OF_GROUP[people.group] == ORIGINS.index(origin)
    rows = np.flatnonzero(shown)
    return _nodes(model, rows, status[rows], together=field is None), _links(people.colleagues, shown)


def _status(model: WorldModel) -> NDArray[np.str_]:
    """Of every row, '' for those who are neither here nor just gone, shape (rows,)."""
    fate = model.state.fate.astype(np.int64)
    just_gone = (fate > 0) & (year_left(fate) == model.year - 1)
    gone = [just_gone & (destination_of(fate) == choice) for choice in (CHINA, ELSEWHERE)]
    return np.select([model.state.here[:-1] > 0, *gone], STATUSES, "")


def _nodes(model: WorldModel, rows: NDArray[np.int64], status: NDArray[np.str_], together: bool) -> pd.DataFrame:
    people = model.world.population.people
    entry, field, group = (column[rows].astype(np.int64) for column in (people.entry, people.field, people.group))
    gone = status != STATUSES[0]
    stage = [STAGES[rule.stage_of(int(age))] for age in model.year - gone - entry]
    around = _around(model.world.population)[rows]
    if together:
        around = (field + GAP / 2 + (1.0 - GAP) * around) / len(FIELDS)
    circle = (entry - (model.year - CAREER)) / CAREER  # 0 for who left in the last year of a career, 1 for entrants
    radius = INNERMOST + (1.0 - INNERMOST) * circle
    return pd.DataFrame(
        {
            "row": rows, "identity": people.identity[rows],
            "origin": [GROUPS[g][0] for g in group], "route": [GROUPS[g][1] for g in group],
            "field": [FIELDS[f] for f in field], "stage": stage, "entry_year": entry,
            "fear": np.where(gone, model.decisions.fear[rows], model.state.dread[rows]),
            "ties": model.state.ties[rows], "status": status,
            "x": radius * np.sin(2.0 * np.pi * around), "y": radius * np.cos(2.0 * np.pi * around),
        }
    )  # fmt: skip


def _links(colleagues: NDArray[np.uint32], shown: NDArray[np.bool_]) -> pd.DataFrame:
    pairs = np.column_stack([np.repeat(np.arange(len(shown)), colleagues.shape[1]), colleagues.ravel()])
    both = np.append(shown, False)[pairs].all(axis=1)  # the row after the last is nobody
    each = np.unique(np.sort(pairs[both], axis=1), axis=0)
    return pd.DataFrame(each, columns=["from", "to"])


def _around(population: Population) -> Floats:
    """Everyone's place on the ring of their cohort as a share of the way round, shape (rows,) in (0, 1).

    Rows of a cohort are ordered by place, so the position in the cohort is the seat. People beyond history's
    inflow come after the ring and are heard by nobody (population.py), which tells how long the ring is; they stand
    at the number by which their place was drawn.
    """
    people, n = population.people, len(population)
    cohort = people.entry.astype(np.int64) - FIRST_ENTRY
    seat = np.arange(n) - people.starts[people.field, cohort]
    heard = np.zeros(n + 1, bool)
    heard[people.colleagues] = True
    length = np.zeros((len(people.starts), people.starts.shape[1] - 1), np.int64)
    np.maximum.at(length, (people.field, cohort), np.where(heard[:n], seat + 1, 0))
    ring = length[people.field, cohort]
    drawn = draws.uniform(population.seed, people.identity, 0, Purpose.SEAT)
    around: Floats = np.where(seat < ring, (seat + 0.5) / np.maximum(ring, 1), drawn)
    return around
