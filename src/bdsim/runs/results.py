"""Results of one scenario: tidy tables, what made them, and a folder that keeps both."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdsim.errors import ResultsError, UsageError, check_years
from bdsim.files.durable import new_folder, sealed
from bdsim.model.categories import FIELDS, FIRST_ENTRY, FIRST_YEAR, ORIGINS, REFERENCE_YEAR, Floats
from bdsim.model.counts import AXES, selection
from bdsim.runs import statistics
from bdsim.runs.drawn import Drawn
from bdsim.runs.explained import explained_alone
from bdsim.runs.store.counted import Counted
from bdsim.runs.store.manifest import MANIFEST, folder_of, read_manifest
from bdsim.runs.store.parts import Chosen
from bdsim.runs.store.stored import UNREADABLE, StoredParts, read_whole
from bdsim.runs.store.tables import COLUMNS
from bdsim.runs.store.written import write_parts, write_whole
from bdsim.study.history import untold_from

__all__ = ["ASSUMPTION", "PARAMETER", "SHOCK", "Centre", "Results", "load_results"]

PARAMETER = "parameter."  # begins the columns of members that say what each drew of the fit
ASSUMPTION = "assumption."  # and of the ranges in the scenario file
SHOCK = "shock."  # and what moves everyone in a year, by series and year

Centre = Literal["mean", "median"]
PIECES = {2030, 2036, 2041, 2051, 2076}  # years in which bands of a projection begin
SHOWN = 16  # rows of a table in a notebook


@dataclass(frozen=True, repr=False)
class Results(Drawn, Counted):
    """One scenario's ensemble. `departures` and `stocks` are the contract; the rest is there to be asked.

    Members lie in parts, in memory or in a results folder; what is asked of them is worked out part by part.
    """

    def __repr__(self) -> str:
        years = self.years
        return (
            f"<Results of {self.mark}: {len(self.manifest['branches'])} x "
            f"{self.manifest['members']} members, {years[0]}-{years[-1]}>"
        )

    def _repr_html_(self) -> str:
        """Departures of scientists of Chinese descent a year, as notebooks show them."""
        table = self.summary().query("origin == 'china' and destination == 'all'")
        shown = table[["year", "mean", "p05", "median", "p95"]].round(0).astype(int)
        said = f"{self.title}: departures of scientists of Chinese descent a year, {len(self.members)} members"
        return f"<p>{html.escape(said)}</p>{shown.to_html(index=False, max_rows=SHOWN)}"

    @property
    def failures_in_words(self) -> str:
        """How many members failed, of how many, and the first reason."""
        tried = len(self.members) + len(self.failures)
        return f"{self.name}: {len(self.failures)} of {tried} members failed; first: {self.failures['error'].iloc[0]}"

    @property
    def folder(self) -> Path | None:
        """Where the tables are, unless they are in memory."""
        return self.parts.folder if isinstance(self.parts, StoredParts) else None

    @property
    def name(self) -> str:
        """What files and rows call the run: its scenario's name, made unique among runs shown together."""
        return self.called[0] or str(self.manifest["scenario"]["name"])

    @property
    def title(self) -> str:
        """What people call the run: its scenario's title, made unique among runs shown together."""
        return self.called[1] or str(self.manifest["scenario"]["title"])

    @property
    def labels(self) -> Mapping[str, str]:
        """What a person reads in place of a parameter's name; of a run that was kept before there were labels, none."""
        return dict(self.manifest["parameters"].get("labels", {}))

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    @property
    def mark(self) -> str:
        """What a folder of the run is called: its scenario and its fingerprint, whatever it is called beside others."""
        return f"{self.manifest['scenario']['name']}-{self.fingerprint}"

    @property
    def held(self) -> str:
        """Parameters that --set held at a value, e.g. 'push = 0.5'; empty without any."""
        p = self.manifest["parameters"]
        return ", ".join(f"{name} = {p['values'][name]:g}" for name in p["held"])

    @property
    def weights(self) -> Floats:
        return np.asarray(self.members["weight"], np.float64)

    def rebuilt_from(self, *tables: str) -> int:
        """The year from which no fact tells any of these tables of history (default: of all tables that facts tell).

        "pull" follows the departure series. The year after the horizon where all years are told.
        """
        rebuilt = self.manifest["rebuilt"]
        return untold_from([rebuilt[name]["years"] for name in tables or rebuilt if name in rebuilt], self.years[-1])

    @property
    def year_bands(self) -> list[tuple[int, int]]:
        """The bands of years of a summary: the data's years, then the projection in pieces."""
        data = {FIRST_YEAR, REFERENCE_YEAR, self.rebuilt_from("pull"), self.rebuilt_from()}
        starts = [year for year in sorted(data | PIECES) if year in self.years]
        return [(a, b - 1) for a, b in pairwise([*starts, self.years[-1] + 1])]

    def described(self, today: Mapping[str, Any]) -> Results:
        """The same numbers with the scenario's words and the parameters' notes as they are today."""
        words = {key: today[key] for key in ("scenario", "parameters", "fit")}
        return replace(self, manifest={**self.manifest, **words})

    def positions(self, draws: NDArray[np.int64]) -> NDArray[np.int64]:
        """The members with these draws, in a run of one branch. Raises UsageError for a draw that is not there."""
        known = self.members["draw"].to_numpy()  # ascending
        found = np.searchsorted(known, draws)
        inside = np.minimum(found, len(known) - 1)
        if not (known[inside] == draws).all():
            raise UsageError(f"'{self.name}' lacks a member", where="draw")
        return np.asarray(found, np.int64)

    def without(self, draws: Iterable[int]) -> Results:
        """The same run without some draws; the chance of each branch stays what it is."""
        keep = ~self.members["draw"].isin(list(draws)).to_numpy()
        if keep.all():
            return self
        parts = [
            Chosen(part, np.flatnonzero(keep[first : first + part.members]))
            for first, part in zip(self._firsts, self.parts, strict=True)
        ]
        members = self.members[keep].reset_index(drop=True)
        before, after = (m.groupby("branch", observed=True)["weight"].sum() for m in (self.members, members))
        weight = members["weight"] * members["branch"].map(before / after)
        members = members.assign(member=np.arange(len(members)), weight=weight)
        return replace(self, members=members, parts=[part for part in parts if part.members])

    def stay_rate(self, origin: str, cohorts: tuple[int, int], as_of: int) -> pd.Series:
        """Share of the doctorates who entered in cohorts[0]..cohorts[1] and had not left by 1 January of `as_of`.

        One value a member; origin may be 'all'. Raises UsageError for years that the run does not cover.
        """
        selection(origin)
        first, last = cohorts
        until = self.years[-1] + 1
        if not (FIRST_ENTRY <= first <= last < as_of and FIRST_YEAR <= as_of <= until):
            raise UsageError(
                f"cohorts {first}-{last} as of {as_of}: need {FIRST_ENTRY} <= first <= last < as_of <= {until}",
                where="stay_rate",
            )
        which = slice(None) if origin == "all" else slice(ORIGINS.index(origin), ORIGINS.index(origin) + 1)
        span = slice(first - FIRST_ENTRY, last - FIRST_ENTRY + 1)
        entered = self.gathered("entered", lambda t: t[:, which, span].sum(axis=(1, 2)))
        gone = self.gathered("left", lambda t: t[:, : as_of - FIRST_YEAR + 1, which, span].sum(axis=(1, 2, 3)))
        if not (entered > 0).all():
            raise UsageError(f"nobody of origin {origin} entered in {first}-{last}", where="stay_rate")
        return pd.Series(1.0 - gone / entered, index=self.members["member"].to_numpy(), name="stay_rate")

    def by(self, *axes: str, origin: str = "china", cumulative_from: int | None = None) -> tuple[Floats, list[str]]:
        """Departures at full scale by year and `axes` (of field, stage, destination).

        Returns (members, years, *axes) in researchers, and the axes. `cumulative_from` adds up from that year.
        """
        table = self.collapsed("full_scale", axes, origin)
        if cumulative_from is not None:
            check_years(cumulative_from, cumulative_from, self.years, "cumulative_from")
            table = table[:, cumulative_from - FIRST_YEAR :].cumsum(axis=1)
        return table, list(axes)

    @cached_property
    def agent_sizes(self) -> Floats:
        """How many researchers an agent stands for, by member and route, shape (members, routes)."""
        return np.asarray(self.members[[f"agent_{route}" for route in AXES["route"]]], np.float64)

    @cached_property
    def draws(self) -> int:
        """How many independent members there are: those of one draw share luck and parameters across branches."""
        return int(self.members["draw"].nunique())

    @property
    def branches_out(self) -> bool:
        """Whether more than one way through events has a chance."""
        return len([b for b in self.manifest["branches"] if b["chance"] > 0.0]) > 1

    @property
    def centre(self) -> Centre:
        """What stands for the members: the mean where ways branch, since a median hides ways that are unlikely."""
        return "mean" if self.branches_out else "median"

    def mean(self, values: Floats) -> Floats:
        """Expected value over members (first axis), branches by their chances."""
        return statistics.mean(values, self.weights)

    def each_branch(self, values: Floats) -> dict[str, Floats]:
        """The mean over the members of each way through events, by its name; members by their weights there."""
        branch, weights = self.members["branch"].to_numpy(), self.weights
        found = {}
        for name in dict.fromkeys(branch):
            at = branch == name
            own = weights[at] if weights[at].sum() > 0.0 else np.ones(int(at.sum()))
            found[str(name)] = statistics.mean(values[at], own)
        return found

    def share(self, part: Floats, whole: Floats) -> Floats:
        """The expected part of the expected whole over members (first axis); nan where nothing is expected."""
        return statistics.ratio(part, whole, self.weights)

    def middle(self, values: Floats, centre: Centre | None = None) -> Floats:
        """The centre over members (first axis): the run's own, or the one that a comparison has for all its runs."""
        return self.mean(values) if (centre or self.centre) == "mean" else self.band(values, (0.5,))[0]

    def band(self, values: Floats, levels: Sequence[float] = statistics.BAND) -> Floats:
        """Weighted quantiles over members (first axis), shape (levels, ...); nan is left out.

        All but the median are nan, unknown, where there is only one draw.
        """
        lines = [statistics.quantile(values, self.weights, q, self.draws) for q in levels]
        if self.draws < 2:
            lines = [line if q == 0.5 else np.full_like(line, np.nan) for q, line in zip(levels, lines, strict=True)]
        return np.stack(lines)

    def variance_split(self, first: int, last: int, origin: str = "china") -> dict[str, float]:
        """Shares of the variance of departures over first..last: parameters, shocks, chance, events, assumptions.

        Chance is the Poisson-binomial variance of single researchers; events the spread of the branches' means;
        shocks what moves everyone in a year; parameters the rest of the spread of members' expected departures within
        a branch, which at a coarse scale holds a little of the chance of earlier years. The shares add up to 1 (all 0
        where nothing varies, or where there is one draw).
        """
        check_years(first, last, self.years, "variance_split")
        span = slice(first - FIRST_YEAR, last - FIRST_YEAR + 1)
        expected, variance = (
            self.collapsed(name, (), origin)[:, span].sum(axis=1) for name in ("expected", "variance")
        )
        return self.variance_parts(expected, variance, self.unmoved(first, last, origin))

    def variance_parts(self, expected: Floats, chance: Floats, unmoved: Floats) -> dict[str, float]:
        """As `variance_split`, of any number of the members, each of shape (members,).

        `expected`, the variance that `chance` adds to it, and what it would be without shocks.
        """
        branch, fitted = self.members["branch"].to_numpy(), self.manifest["fit"] is not None
        drawn = self.drawn.to_numpy() if len(self.drawn.columns) else None
        parts = statistics.variance_parts(expected, chance, unmoved, self.weights, branch, fitted, drawn)
        return parts if self.draws > 1 else dict.fromkeys(parts, 0.0)  # one draw does not tell how draws differ

    def unmoved(self, first: int, last: int, origin: str = "china") -> Floats:
        """Expected departures of first..last without the shocks of these years, to first order, shape (members,).

        A shock to a log rate multiplies departures; that fewer or more are left to leave later is not undone.
        """
        span = slice(first - FIRST_YEAR, last - FIRST_YEAR + 1)
        table = self.collapsed("expected", ("field", "destination"), origin)[:, span]
        return np.asarray((table * np.exp(-self.shocks[:, span])).sum(axis=(1, 2, 3)))

    @cached_property
    def shocks(self) -> Floats:
        """What moves everyone's log rates, shape (members, years, fields, destinations); zeros without a fit."""
        shape = (len(self.members), len(self.years), len(FIELDS))
        if f"{SHOCK}elsewhere.{FIRST_YEAR}" not in self.members:
            return np.zeros((*shape, 2))
        series = [
            self.members[[f"{SHOCK}{name}.{year}" for year in self.years]].to_numpy(np.float64)
            for name in (*FIELDS, "elsewhere")
        ]
        china, elsewhere = np.stack(series[:-1], axis=2), np.broadcast_to(series[-1][:, :, None], shape)
        return np.stack([china, elsewhere], axis=3)

    @property
    def drawn(self) -> pd.DataFrame:
        """What every member drew of the ranges in the scenario file, by the assumption's name; no columns without."""
        names = [str(name) for name in self.members if str(name).startswith(ASSUMPTION)]
        return self.members[names].rename(columns=lambda name: str(name).removeprefix(ASSUMPTION))

    def assumption_shares(self, first: int, last: int, origin: str = "china") -> dict[str, float]:
        """Share of the variance of departures summed over first..last that each assumption explains by itself.

        Shares of the whole variance, chance included: what is known once the assumption is. What assumptions explain
        only together with an event (a law that is uncertain only where it passes) is in none of them. Empty without
        assumptions, and where there are too few members to tell.
        """
        check_years(first, last, self.years, "assumption_shares")
        span = slice(first - FIRST_YEAR, last - FIRST_YEAR + 1)
        expected, chance = (self.collapsed(name, (), origin)[:, span].sum(axis=1) for name in ("expected", "variance"))
        return self.assumption_parts(expected, chance)

    def assumption_parts(self, expected: Floats, chance: Floats) -> dict[str, float]:
        """As `assumption_shares`, of any number of the members: expected, and the variance that chance adds to it."""
        if not len(self.drawn.columns):
            return {}
        centred = expected - self.mean(expected)
        total = float(self.mean(centred**2) + self.mean(chance))
        draws = self.members["draw"].to_numpy(np.int64)
        parts = explained_alone(expected, self.weights, draws, self.drawn.to_numpy())
        if np.isnan(parts).any():
            return {}
        return {name: part / total if total > 0.0 else 0.0 for name, part in zip(self.drawn, parts, strict=True)}

    def save(self, folder: Path | str) -> Results:
        """Write the tables, summary.csv and manifest.json into a new folder, whole or not at all; read it back.

        Raises ResultsError when the folder exists already, StorageError when it cannot be written.
        """
        target = folder_of(folder)
        if target.exists():
            raise ResultsError("exists already; results are never overwritten", where=target)
        with new_folder(target) as aside:
            self.write(aside)
        return load_results(target)

    def write(self, aside: Path) -> None:
        """Fill an empty folder with all that a results folder holds. Raises OSError."""
        write_parts(aside, self.parts, self.fingerprint)
        self.write_beside_parts(aside)

    def write_beside_parts(self, aside: Path) -> None:
        """All that a results folder holds but the tables of parts, which are there. Raises OSError."""
        whole = {"members": self.members, "people": self.people}
        whole |= {"failures": self.failures} if len(self.failures) else {}
        for name, table in whole.items():
            write_whole(aside / f"{name}.parquet", table, self.fingerprint)
        parts = StoredParts(aside, len(self.years), len(self.members), self.fingerprint)
        written = replace(self, parts=parts)  # what was worked out once is read from here
        written.summary().to_csv(aside / "summary.csv", index=False)
        first = min(self.rebuilt_from("pull"), self.years[-1])
        split: dict[str, Any] = {"years": [first, self.years[-1]], **written.variance_split(first, self.years[-1])}
        if alone := written.assumption_shares(first, self.years[-1]):
            split["each_assumption"] = alone
        manifest = {**self.manifest, "columns": COLUMNS, "variance_of_departures": split}
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        sealed(aside)

    def summary(self) -> pd.DataFrame:
        """Departures a year by origin and destination: median and 90% band over members, at full scale.

        `with_programme` is the mean number of those who left with a talent programme.
        """
        parts = []
        for origin in (*ORIGINS, "all"):
            table, _ = self.by("destination", origin=origin)
            every = np.concatenate([table, table.sum(axis=2, keepdims=True)], axis=2)
            low, median, high = self.band(every)
            mean = self.mean(every)
            recruited = self.mean(self.collapsed("programme_full_scale", ("destination",), origin))
            recruited = np.column_stack([recruited, recruited.sum(axis=1)])
            for d, destination in enumerate((*AXES["destination"], "all")):
                parts.append(
                    pd.DataFrame(
                        {
                            "year": list(self.years), "origin": origin, "destination": destination,
                            "mean": mean[:, d], "p05": low[:, d], "median": median[:, d], "p95": high[:, d],
                            "with_programme": recruited[:, d],
                        }
                    )
                )  # fmt: skip
        return pd.concat(parts, ignore_index=True).round(3)


def load_results(folder: Path | str) -> Results:
    """Read a results folder back. Raises ResultsError when it is not one, or when a table does not fit."""
    path = folder_of(folder)
    manifest = read_manifest(path)
    try:
        names = ("members", "people", *(("failures",) if manifest["failed"] else ()))
        run = manifest["fingerprint"]
        members, people, *failed = (read_whole(path / f"{name}.parquet", run) for name in names)
        years = int(manifest["horizon"]) - FIRST_YEAR + 1
    except UNREADABLE as error:
        raise ResultsError(f"a table cannot be read: {error}", where=path) from None
    if not {"member", "branch", "draw", "weight", "seed", "own"} <= set(members) or not {"identity"} <= set(people):
        raise ResultsError("a table lacks a column", where=path)
    return Results(manifest, members, people, StoredParts(path, years, len(members), run), *failed)
