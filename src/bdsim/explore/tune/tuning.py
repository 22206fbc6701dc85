"""Parameters against the facts, at once: what a value does to every target, and to the departures of each year."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bdsim.calibration import fitting
from bdsim.calibration.problem import SHAPING, Problem, make_problem, scored
from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.model.counts import Counts, selection
from bdsim.study.evidence import load_evidence
from bdsim.study.fit import NO_FIT, Fit, chosen_fit
from bdsim.study.history import Observed, observed_departures
from bdsim.study.layout import Study
from bdsim.study.parameters import Parameters, load_parameters, parse_setting

__all__ = ["GROUPS", "Tuned", "Tuner"]

GROUPS: dict[str, tuple[str, ...]] = {  # as a person looks for them; a name stands for all that begin with it
    "Leave: how often anybody does": ("leave_china", "leave_elsewhere", "settled", "settled_per_doctorate"),
    "Pull: what draws to China": (
        "field_china", "funding", "funding_lag", "pull_growth", "accept", "counted", "ties_weight", "gamma",
    ),
    "Push: scrutiny and fear": ("push", "spill", "rho", "fade", "kappa"),
    "Roots: what holds in the US": ("roots", "rooting", "standing", "stay_us", "wait"),
    "Observation and population": ("mainland_stem", "productivity", "past_growth", "field_share", "rewired"),
}  # fmt: skip
DRAWS = 64  # of the posterior, for the band
COUNTS = {"funding_lag": 1.0}  # parameters that go in whole steps


@dataclass(frozen=True)
class Tuned:
    """What follows from values of the parameters."""

    values: Mapping[str, float]
    table: pd.DataFrame  # calibration.target_table
    cost: float
    departures: Floats  # (years, 2) expected departures of scientists of Chinese descent to China and elsewhere
    observed: Observed  # the published series, on the scale of these values

    @property
    def years(self) -> range:
        return range(FIRST_YEAR, FIRST_YEAR + len(self.departures))


class Tuner:
    """The parameters of a study around one of its fits, at a scale.

    Raises FitError, ParameterError, EvidenceError and TargetError of the study's files.
    """

    def __init__(self, study: Study, fit: str | None = None, researchers_per_agent: int = 50) -> None:
        self.study, self.scale = study, researchers_per_agent
        known = load_parameters(study.parameters)
        self.fit: Fit | None = chosen_fit(study, fit, known)
        self.start: Parameters = known if self.fit is None else self.fit.centre(known)
        self.file = known
        self._free = list(self.fit.draws) if self.fit is not None else None
        self._problems: dict[tuple[float, ...], Problem] = {}
        self._evidence = load_evidence(study)
        self._making = threading.Lock()

    @property
    def name(self) -> str:
        """Of the fit that all starts from."""
        return self.fit.name if self.fit is not None else NO_FIT

    def groups(self) -> list[tuple[str, list[str]]]:
        """Every parameter, in groups."""
        rest = list(self.start)
        found = []
        for title, beginnings in GROUPS.items():
            own = [n for beginning in beginnings for n in rest if n == beginning or n.startswith(f"{beginning}.")]
            rest = [n for n in rest if n not in own]
            found.append((title, own))
        return [*found, ("Others", rest)] if rest else found

    def knob(self, name: str) -> dict[str, Any]:
        """All that a control shows of a parameter, as plain values."""
        entry = self.start.entries[name]
        posterior = self._posterior.get(name)
        prior = (entry.prior.mean, entry.prior.sd) if entry.prior else None
        about = [entry.meaning, f"({entry.unit})."]
        about += [f"Prior {prior[0]:.3g} ± {prior[1]:.3g}." if prior else "Fixed: no prior."]
        if posterior is not None:
            about += ["Posterior {1:.3g} [{0:.3g}, {2:.3g}].".format(*posterior)]
        low, high = entry.bounds
        return {
            "name": name, "label": entry.label, "about": " ".join(about), "low": low, "high": high,
            "step": COUNTS.get(name, "any"), "start": entry.value, "prior": prior, "posterior": posterior,
            "identified": entry.identified, "told": f"told by data: {entry.identified}",
            "fits": entry.prior is not None,
        }  # fmt: skip

    @cached_property
    def _posterior(self) -> dict[str, tuple[float, float, float]]:
        if self.fit is None:
            return {}
        rows = self.fit.table.to_dict("records")
        return {r["parameter"]: (float(r["p05"]), float(r["median"]), float(r["p95"])) for r in rows}

    def checked(self, name: str, text: str) -> float:
        """A value as somebody typed it. Raises ParameterError in the words of the command line."""
        value = parse_setting(f"{name}={text}")[1]
        self.start.with_values({name: value}, where="--set")
        return value

    def at(self, values: Mapping[str, float]) -> Tuned:
        """What follows from `values`; parameters that are not named stay where they start. Raises ParameterError."""
        parameters = self.start.with_values(dict(values), where="--set")
        table, counts = scored(self._problem(parameters), parameters)
        observed = observed_departures(self._evidence, parameters["mainland_stem"])
        return Tuned(parameters.values, table, float(table.attrs["cost"]), _departures(counts)[0], observed)

    def band(self) -> Floats | None:
        """5% and 95% of departures over draws of the fit, None without one: (2, years, 3), to China, elsewhere, all."""
        if self.fit is None:
            return None
        drawn = [self.start.with_values(self.fit.member(seed)) for seed in range(DRAWS)]
        problem = self._problem(self.start)
        both = _departures(Counts.stacked(problem.counts_of_all(drawn)))
        every = np.concatenate([both, both.sum(axis=2, keepdims=True)], axis=2)
        return np.asarray(np.quantile(every, (0.05, 0.95), axis=0))

    def _problem(self, parameters: Parameters) -> Problem:
        """People and tables are made once for all values that shape neither; shocks weigh as at the fit's centre."""
        key = tuple(parameters[name] for name in SHAPING)
        with self._making:
            if key not in self._problems:
                if len(self._problems) > 4:
                    self._problems.pop(next(iter(self._problems)))
                shaped = self.start.with_values({name: parameters[name] for name in SHAPING})
                self._problems[key] = make_problem(
                    self.study, parameters=shaped, free=self._free, researchers_per_agent=self.scale
                )
            return self._problems[key]

    def changed(self, values: Mapping[str, float]) -> dict[str, float]:
        """Those values that are not where they start."""
        return {name: value for name, value in values.items() if value != self.start[name]}

    def command(self, values: Mapping[str, float]) -> str:
        """The command line that prints the numbers of `at(values)`."""
        words = ["bdsim", "fit-report", "--fit", self.name, "-k", str(self.scale)]
        return shlex.join([*words, *(w for n, v in self.changed(values).items() for w in ("--set", f"{n}={v!r}"))])

    def problem_from(self, values: Mapping[str, float], free: Sequence[str]) -> dict[str, Any]:
        """The arguments of a calibration that starts at `values`, frees `free` and holds the others where they are."""
        here = self.start.with_values(dict(values)).values
        held = {n: v for n, v in here.items() if n not in free and v != self.file[n]}
        return {"free": list(free), "fix": held, "start": {n: here[n] for n in free}, "starts": 1}

    def fit_from(
        self, values: Mapping[str, float], free: Sequence[str], report: Callable[[str, int, int], None]
    ) -> fitting.Calibration:
        """Fit anew from here; nothing is kept. Raises FitError, and whatever `report` raises to call it off."""
        return fitting.calibrate(self.study, name=None, report=report, **self.problem_from(values, free))

    def fit_command(self, values: Mapping[str, float], free: Sequence[str], name: str) -> str:
        """The command line that makes and keeps the same fit."""
        asked = self.problem_from(values, free)
        words = ["bdsim", "calibrate", "--name", name, "--free", ",".join(asked["free"]), "--starts", "1"]
        for option in ("fix", "start"):
            words += [w for n, v in asked[option].items() for w in (f"--{option}", f"{n}={v!r}")]
        return shlex.join(words)


def _departures(counts: Counts) -> Floats:
    """Expected departures of scientists of Chinese descent, shape (members, years, destinations)."""
    return np.asarray(counts.expected[:, :, selection("china")].sum(axis=(2, 3, 4)))
