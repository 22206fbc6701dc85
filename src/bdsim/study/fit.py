"""A fit on disk: calibration/fitted/NAME/, what scenarios run on."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from bdsim.errors import FitError, did_you_mean, in_plain_words
from bdsim.files import durable
from bdsim.files.digest import digest_of
from bdsim.files.text import is_there, parsed_json, read_text
from bdsim.model import draws
from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.model.draws import Purpose
from bdsim.study.layout import Study
from bdsim.study.parameters import Parameters
from bdsim.study.shocks import SERIES, continued

__all__ = ["DEFAULT_FIT", "NO_FIT", "VALIDATION", "Fit", "chosen_fit", "load_fit"]

DEFAULT_FIT = "default"
NO_FIT = "none"
VALIDATION = "validation.csv"


class _FitManifest(BaseModel):
    """What must be in a fit's manifest for a run to stand on it; more is."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    held: dict[str, float]
    statement: str
    fingerprint: str
    cost: float
    identifiability: list[str]
    warnings: list[str]


@dataclass(frozen=True)
class Fit:
    """Posterior draws of the free parameters, the most probable values, and how they came about."""

    name: str
    path: Path
    draws: pd.DataFrame  # one row a draw, one column a free parameter
    table: pd.DataFrame  # parameters.csv
    shocks: pd.DataFrame  # shocks.csv: draw, year, one column a series; empty where a fit has none
    manifest: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Fit '{self.name}': {len(self.draws.columns)} parameters, {len(self.draws)} draws of their posterior>"

    def _repr_html_(self) -> str:
        """What parameters.csv says, as notebooks show it."""
        said = f"{self.name}: {self.manifest['statement']}"
        return f"<p>{html.escape(said)}</p>{self.table.to_html(index=False)}"

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the draws, their shocks and the values held fixed."""
        return digest_of(self.draws, self.shocks, self.manifest["held"])

    def centre(self, parameters: Parameters) -> Parameters:
        """The study's parameters at the most probable values of this fit."""
        modes = dict(zip(self.table["parameter"], self.table["mode"].astype(float), strict=True))
        return parameters.with_values({**self.manifest["held"], **modes}, where=str(self.path)).described(
            f"fitted/{self.name}", f"Calibrated: {self.manifest['statement']}"
        )

    def member(self, seed: int) -> dict[str, float]:
        """The posterior draw of the member whose own seed is `seed`."""
        return dict(zip(map(str, self.draws), self._values[self._row(seed)].tolist(), strict=True))

    def member_shocks(self, seed: int, parameters: Parameters, horizon: int) -> Floats:
        """The shocks of the member whose own seed is `seed`, shape (years from FIRST_YEAR, series of study.shocks).

        Those of the observed years are its draw's; before them there are none; after them they run on, drawn at
        addresses of `seed`, so that members of paired scenarios share them whatever else differs.
        """
        shocks = np.zeros((horizon - FIRST_YEAR + 1, len(SERIES)))
        if self.shocks.empty:
            return shocks
        first, observed = self._observed(self._row(seed))
        run_on = continued(parameters.discrepancy(), observed, first, horizon, seed)
        shocks[first - FIRST_YEAR :] = run_on
        return shocks

    @cached_property
    def targets(self) -> pd.DataFrame:
        """targets.csv: what the fit was held against, and how it met it."""
        return pd.read_csv(io.StringIO(read_text(self.path / "targets.csv", FitError)))

    @cached_property
    def _values(self) -> Floats:
        """The draws, shape (draws, parameters)."""
        return np.asarray(self.draws, np.float64)

    def _observed(self, draw: int) -> tuple[int, Floats]:
        """The first observed year, and a draw's shocks of the observed years, shape (years, series)."""
        of_draw, years, shocks = self._shocks
        own = slice(*np.searchsorted(of_draw, (draw, draw + 1)))
        return int(years[own.start]), shocks[own]

    @cached_property
    def _shocks(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Draw and year, shape (rows,), and shocks, shape (rows, series), by draw."""
        of_draw, years = (self.shocks[name].to_numpy(np.int64) for name in ("draw", "year"))
        order = np.argsort(of_draw, kind="stable")
        return of_draw[order], years[order], np.asarray(self.shocks[list(SERIES)], np.float64)[order]

    @property
    def validation(self) -> pd.DataFrame | None:
        """validation.csv: published effects beside what the fit implies, as `bdsim validate` keeps it; None without."""
        path = self.path / VALIDATION
        return pd.read_csv(io.StringIO(read_text(path, FitError))) if is_there(path) else None

    def _row(self, seed: int) -> int:
        return int(draws.uniform(seed, 0, 0, Purpose.POSTERIOR) * len(self.draws))


def chosen_fit(study: Study, name: str | None, parameters: Parameters) -> Fit | None:
    """The fit that is meant: by name, fitted/default where there is one, or None for 'none'. Raises FitError."""
    default = DEFAULT_FIT if (study.fitted / DEFAULT_FIT).is_dir() else NO_FIT
    wanted = name or default
    return None if wanted == NO_FIT else load_fit(study, wanted, parameters)


def load_fit(study: Study, name: str, parameters: Parameters) -> Fit:
    """Read a fit back. Raises FitError when it is not there, or was made for other parameters."""
    folder = study.fitted
    path = folder / name
    if is_there(path.parent / f".{name}.before" / "manifest.json"):
        durable.restored(path)
    if not is_there(path / "manifest.json"):
        raise FitError(f"no fit named '{name}'{did_you_mean(name, [*study.fit_names(), NO_FIT])}", where=folder)
    try:
        manifest = parsed_json(read_text(path / "manifest.json", FitError))
        _FitManifest.model_validate(manifest)
        table = pd.read_csv(io.StringIO(read_text(path / "parameters.csv", FitError)))
        rows = pd.read_csv(io.StringIO(read_text(path / "draws.csv", FitError))).astype(np.float64)
        modes = table["mode"].astype(np.float64)
        shocks = _read_shocks(path / "shocks.csv", len(rows))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise FitError(in_plain_words(error.errors()[0]), where=path / "manifest.json", place=place) from None
    except KeyError as error:
        raise FitError(f"parameters.csv has no column {error}", where=path) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise FitError(f"cannot be read: {error}", where=path) from None
    if rows.empty or list(rows) != list(table.get("parameter", [])) or not np.isfinite(modes).all():
        raise FitError("is not a fit of this program", where=path)
    unknown = [n for n in rows if n not in parameters.entries]
    if unknown or not np.isfinite(rows.to_numpy()).all():
        raise FitError(f"was made for other parameters ({', '.join(unknown) or 'not finite'})", where=path)
    for parameter in rows:
        low, high = parameters.entries[str(parameter)].bounds
        if not rows[parameter].between(low, high).all():
            problem = f"a draw lies outside its bounds {low:g} to {high:g}"
            raise FitError(problem, where=path / "draws.csv", place=str(parameter))
    return Fit(name, path, rows, table, shocks, manifest)


def _read_shocks(path: Path, draws_: int) -> pd.DataFrame:
    """The shocks of each draw in the observed years, checked; an empty table where there is no such file."""
    if not is_there(path):
        return pd.DataFrame(columns=["draw", "year", *SERIES])
    table = pd.read_csv(io.StringIO(read_text(path, FitError)))
    if list(table) != ["draw", "year", *SERIES]:
        raise FitError(f"the columns are not draw, year, {', '.join(SERIES)}", where=path)
    years = table["year"].unique()
    expected = pd.MultiIndex.from_product([range(draws_), years])
    whole = pd.MultiIndex.from_frame(table[["draw", "year"]]).equals(expected)
    if not whole or (np.diff(years) != 1).any() or not np.isfinite(table[list(SERIES)].to_numpy()).all():
        raise FitError("not every draw has a finite shock for each of consecutive years", where=path)
    return table
