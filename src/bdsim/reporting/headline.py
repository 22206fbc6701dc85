"""The one number to quote, with all that belongs to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bdsim.reporting.sentences import count, in_years, interval, signed

if TYPE_CHECKING:
    from bdsim.analysis.comparison import Period
    from bdsim.runs.results import Centre

__all__ = ["ALL_PRIORS", "Headline"]

ALL_PRIORS = "all"  # the key of what goes with all parameters together that only a prior tells


@dataclass(frozen=True)
class Headline:
    """The one number to quote, in researchers: what it is, its years, its statistic, its 90% interval.

    `carries` are shares of its variance over members, by what varies; `low` and `high` are nan for a single draw.
    """

    what: str
    years: Period
    statistic: Centre
    value: float
    low: float
    high: float
    members: int
    carries: Mapping[str, float]
    is_difference: bool
    priors: Mapping[str, float] | None = None  # see Summary.from_priors

    @property
    def number(self) -> str:
        """'+2,529 [+1,285, +4,126]'."""
        write = signed if self.is_difference else count
        return f"{write(self.value)} {interval(self.low, self.high, write)}"

    @property
    def sentence(self) -> str:
        """The number with all that belongs to it."""
        unknown = "; one draw has no interval" if math.isnan(self.low) else f" and 90% of {self.members} members"
        return f"{self.what}, by the model in {in_years(self.years)}: {self.number} ({self.statistic}{unknown})."

    @property
    def grounds(self) -> str:
        """What carries the interval, the greatest share first; empty where nothing varies."""
        shares = sorted(self.carries.items(), key=lambda item: -item[1])
        said = [f"{share:.0%} {name}" for name, share in shares if share >= 0.005]
        if not said:
            return ""
        found = f"What its variance rests on: {', '.join(said)}."
        if self.priors:
            most = max((share, name) for name, share in self.priors.items() if name != ALL_PRIORS)[1]
            found += (
                f" Of its spread between draws, {self.priors[ALL_PRIORS]:.0%} goes with parameters that only a prior "
                f"tells, most with '{most}'."
            )
        return found

    def plain(self) -> dict[str, Any]:
        """As values for JSON."""
        return {
            "what": self.what, "from": self.years[0], "until": self.years[1], "statistic": self.statistic,
            "value": self.value, "p05": self.low, "p95": self.high, "carries": dict(self.carries),
            "rests_on_priors": dict(self.priors) if self.priors else None,
            "sentence": self.sentence,
        }  # fmt: skip

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        plain = self.plain()
        return {**plain, "carries": "; ".join(f"{name} {share:.4f}" for name, share in self.carries.items())}
