"""What changed between two fits: parameters, facts, priors, and which facts pulled the parameters.

Pulls are first-order: a fit's sensitivities say how far each parameter moves, in posterior standard deviations, when
a fact is raised by one of its standard errors (Andrews, Gentzkow & Shapiro 2017, doi:10.1093/qje/qjx023). A fact that
only one fit has pulls by its residual without it, residual / (1 - leverage), with the leverage that sensitivities and
correlations imply (Cook & Weisberg 1982, Residuals and Influence in Regression, section 2.2).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bdsim.errors import FitError, did_you_mean
from bdsim.files.text import is_there, parsed_json, read_text
from bdsim.model.categories import Floats
from bdsim.study.layout import Study

__all__ = ["FitDifference", "fit_difference"]

MOST_LEVERAGE = 0.95  # of one fact: beyond it the approximation says nothing about its pull


@dataclass(frozen=True)
class _Kept:
    """The tables of a fit on disk."""

    name: str
    manifest: dict[str, Any]
    parameters: pd.DataFrame  # by parameter
    targets: pd.DataFrame  # by label
    sensitivity: pd.DataFrame  # by label of a fitted fact; columns: parameters
    correlations: pd.DataFrame

    @property
    def fitted(self) -> pd.DataFrame:
        return self.targets[self.targets["role"] == "fitted"]

    def leverage(self, label: str) -> float:
        """How far the fitted value of a fact follows the fact itself, from 0 to MOST_LEVERAGE."""
        moves = self.sensitivity.loc[label].to_numpy(np.float64)
        implied = float(moves @ np.linalg.pinv(self.correlations.to_numpy(np.float64)) @ moves)
        return min(max(implied, 0.0), MOST_LEVERAGE)

    def pull_of_presence(self, label: str) -> Floats:
        """How far a fact has moved each parameter from where it would be without it, in posterior sds."""
        residual = float(self.fitted.at[label, "residual"]) / (1.0 - self.leverage(label))
        return np.asarray(-residual * self.sensitivity.loc[label].to_numpy(np.float64))


@dataclass(frozen=True)
class FitDifference:
    """`parameters`: a, b, shift (b - a in posterior sds of a), sd_ratio, predicted. `facts`: label, change, a, b.

    `pulls`: parameter, label, change, pull (in posterior sds of a; of b where only b frees the parameter).
    `notes`: sentences about what else differs.
    """

    a: str
    b: str
    parameters: pd.DataFrame
    facts: pd.DataFrame
    pulls: pd.DataFrame
    notes: tuple[str, ...]

    def strongest(self, parameter: str, most: int = 3) -> pd.DataFrame:
        """The facts that pulled a parameter most, first the strongest."""
        own = self.pulls[self.pulls["parameter"] == parameter]
        return own.reindex(own["pull"].abs().sort_values(ascending=False, kind="stable").index).head(most)


def fit_difference(study: Study, a: str, b: str) -> FitDifference:
    """Compare two fits of a study by name. Raises FitError."""
    one, other = _read(study, a), _read(study, b)
    facts = _facts(one, other)
    pulls = _pulls(one, other, facts)
    return FitDifference(a, b, _parameters(one, other, pulls), facts, pulls, tuple(_notes(one, other)))


def _read(study: Study, name: str) -> _Kept:
    folder = study.fitted / name
    if not is_there(folder / "manifest.json"):
        raise FitError(f"no fit named '{name}'{did_you_mean(name, study.fit_names())}", where=study.fitted)

    def table(file: str, index: str | int, *needed: str) -> pd.DataFrame:
        path = folder / file
        try:
            read = pd.read_csv(io.StringIO(read_text(path, FitError)), index_col=index)
        except (ValueError, TypeError) as error:
            raise FitError(f"cannot be read: {error}", where=path) from None
        for column in needed:
            if column not in read:
                raise FitError(f"has no column '{column}'", where=path)
        return read

    parameters = table("parameters.csv", "parameter", "mode", "sd", "prior_mean", "prior_sd", "verdict")
    targets = table("targets.csv", "label", "role", "fact", "error", "scale", "residual")
    moves = table("sensitivity.csv", "target", *parameters.index)
    correlations = table("correlations.csv", 0, *parameters.index)
    manifest = parsed_json(read_text(folder / "manifest.json", FitError))
    try:
        moves = moves.loc[targets.index[targets["role"] == "fitted"], parameters.index]
        correlations = correlations.loc[parameters.index, parameters.index]
    except KeyError as error:
        raise FitError(f"its tables do not agree: {error}", where=folder) from None
    return _Kept(name, manifest, parameters, targets, moves, correlations)


def _facts(one: _Kept, other: _Kept) -> pd.DataFrame:
    """Facts that were added, removed or changed, or whose role changed."""
    rows = []
    for label in dict.fromkeys([*one.targets.index, *other.targets.index]):
        a = one.targets.loc[label] if label in one.targets.index else None
        b = other.targets.loc[label] if label in other.targets.index else None
        if a is None or b is None:
            change = "added" if a is None else "removed"
        elif a["role"] != b["role"]:
            change = f"{a['role']} to {b['role']}".replace("_", " ")
        elif a["fact"] != b["fact"]:
            change = "value"
        elif not np.isclose(a["error"], b["error"], rtol=1e-4):
            change = "error"
        else:
            continue
        rows.append(
            {
                "label": label, "change": change,
                "a": np.nan if a is None else a["fact"], "b": np.nan if b is None else b["fact"],
                "error_a": np.nan if a is None else a["error"], "error_b": np.nan if b is None else b["error"],
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["label", "change", "a", "b", "error_a", "error_b"])


def _pulls(one: _Kept, other: _Kept, facts: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for fact in facts.itertuples():
        label = str(fact.label)
        in_one, in_other = label in one.fitted.index, label in other.fitted.index
        if in_one and in_other and fact.change == "value":
            logs = one.targets.at[label, "scale"] == "log"
            raised = (np.log(fact.b / fact.a) if logs else fact.b - fact.a) / fact.error_a
            pull, names = raised * one.sensitivity.loc[label].to_numpy(np.float64), one.parameters.index
        elif in_other and not in_one:
            names = other.parameters.index
            wider = other.parameters["sd"] / one.parameters["sd"].reindex(names).fillna(other.parameters["sd"])
            pull = other.pull_of_presence(label) * wider.to_numpy(np.float64)
        elif in_one and not in_other:
            pull, names = -one.pull_of_presence(label), one.parameters.index
        else:
            continue
        rows += [
            {"parameter": name, "label": label, "change": fact.change, "pull": float(value)}
            for name, value in zip(names, pull, strict=True)
        ]
    return pd.DataFrame(rows, columns=["parameter", "label", "change", "pull"])


def _parameters(one: _Kept, other: _Kept, pulls: pd.DataFrame) -> pd.DataFrame:
    both = [name for name in one.parameters.index if name in other.parameters.index]
    a, b = one.parameters.loc[both], other.parameters.loc[both]
    predicted = pulls.groupby("parameter")["pull"].sum().reindex(both).fillna(0.0)
    table = pd.DataFrame(
        {
            "parameter": both,
            "a": a["mode"].to_numpy(),
            "b": b["mode"].to_numpy(),
            "shift": ((b["mode"] - a["mode"]) / a["sd"]).to_numpy(),
            "sd_ratio": (b["sd"] / a["sd"]).to_numpy(),
            "predicted": predicted.to_numpy(),
            "verdict_a": a["verdict"].to_numpy(),
            "verdict_b": b["verdict"].to_numpy(),
        }
    )
    order = table["shift"].abs().sort_values(ascending=False, kind="stable").index
    return table.reindex(order).reset_index(drop=True)


def _notes(one: _Kept, other: _Kept) -> list[str]:
    """What differs beside the facts, in sentences."""
    notes = []
    for left, right in ((one, other), (other, one)):
        alone = [name for name in left.parameters.index if name not in right.parameters.index]
        if alone:
            notes.append(f"only '{left.name}' frees {', '.join(alone)}")
    held = {fit.name: fit.manifest.get("held", {}) for fit in (one, other)}
    if held[one.name] != held[other.name]:
        said = (
            f"'{name}' holds " + (", ".join(f"{n} = {v:g}" for n, v in values.items()) or "nothing")
            for name, values in held.items()
        )
        notes.append("; ".join(said))
    both = [name for name in one.parameters.index if name in other.parameters.index]
    columns = ["prior_mean", "prior_sd"]
    near = np.isclose(one.parameters.loc[both, columns], other.parameters.loc[both, columns], rtol=1e-6).all(axis=1)
    changed = [name for name, same in zip(both, near, strict=True) if not same]
    if changed:
        notes.append(f"the prior differs: {', '.join(changed)}")
    versions = {fit.name: fit.manifest.get("versions", {}) for fit in (one, other)}
    names = dict.fromkeys([*versions[one.name], *versions[other.name]])
    moved = [n for n in names if versions[one.name].get(n) != versions[other.name].get(n)]
    if moved:
        notes.append(f"made with other versions of {', '.join(moved)}")
    return notes
