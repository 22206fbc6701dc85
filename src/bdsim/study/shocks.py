"""Shocks: what moves everyone in a year and the model does not know.

They add to the log rates of leaving: one to China for each field, made of a part that all fields share and a part of
the field's own, and one to elsewhere. Each part is a stationary AR(1) process: a good year is followed by a better than
usual one. A fit brings the shocks of the years that were observed; after them the processes run on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bdsim.model import draws
from bdsim.model.categories import FIELDS, Floats
from bdsim.model.draws import Purpose

__all__ = ["ELSEWHERE", "SERIES", "Discrepancy", "continued", "covariance", "normals", "path"]

SERIES = (*FIELDS, "elsewhere")
PARTS = 2 + len(FIELDS)  # standard normals a year: shared by all fields, each field's own, elsewhere
ELSEWHERE = len(FIELDS)


class Discrepancy(NamedTuple):
    """How large and how lasting shocks are (parameters sigma_common, sigma_field, phi)."""

    common: float  # sd of the part that all fields share, and of the shock to elsewhere; log rate
    field: float  # sd of a field's own part; log rate
    memory: float  # correlation of one year's shock with that of the year before

    def within_a_year(self) -> Floats:
        """The covariance of one year's shocks, shape (series, series)."""
        shared = np.zeros((len(SERIES), len(SERIES)))
        shared[:ELSEWHERE, :ELSEWHERE] = self.common**2
        return np.asarray(shared + np.diag([*[self.field**2] * len(FIELDS), self.common**2]))

    def drawn(self, z: Floats) -> Floats:
        """Shocks of one year with that covariance from standard normals, shape (..., PARTS) to (..., series)."""
        to_china = self.common * z[..., :1] + self.field * z[..., 1:-1]
        return np.concatenate([to_china, self.common * z[..., -1:]], axis=-1)


def covariance(size: Discrepancy, years: int) -> Floats:
    """The covariance of the shocks of consecutive years, shape (years x series, years x series), year by year."""
    apart = np.abs(np.subtract.outer(np.arange(years), np.arange(years)))
    return np.asarray(np.kron(np.power(size.memory, apart), size.within_a_year()))


def normals(seed: int, whose: NDArray[np.uint64] | Sequence[int], years: range) -> Floats:
    """Standard normals at the addresses of `seed`, shape (whose, years, PARTS)."""
    numbers = np.asarray(whose, np.uint64)[:, None] * np.uint64(PARTS) + np.arange(PARTS, dtype=np.uint64)
    luck = [draws.uniform(seed, numbers, year, Purpose.SHOCK) for year in years]
    return np.asarray(ndtri(np.stack(luck, axis=1)))


def path(size: Discrepancy, z: Floats, before: Floats | None = None) -> Floats:
    """Shocks year by year from standard normals (years, PARTS); shape (years, series).

    `before`: the shocks of the year before the first, shape (series,); without it the process starts anywhere.
    """
    fresh = size.drawn(z)
    shocks = np.empty_like(fresh)
    for year, new in enumerate(fresh):
        if before is None:
            shocks[year] = new
        else:
            shocks[year] = size.memory * before + np.sqrt(1.0 - size.memory**2) * new
        before = shocks[year]
    return shocks


def continued(size: Discrepancy, observed: Floats, first: int, horizon: int, seed: int) -> Floats:
    """`observed` shocks (years from `first`, series) and what follows to `horizon`, drawn at addresses of `seed`."""
    after = range(first + len(observed), horizon + 1)
    if not after:
        return observed[: max(0, horizon + 1 - first)]
    ahead = path(size, normals(seed, [0], after)[0], observed[-1] if len(observed) else None)
    return np.concatenate([observed, ahead])
