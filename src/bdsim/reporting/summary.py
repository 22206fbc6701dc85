"""What a comparison answers beside its tables: how sure the effect is, whom it changes, which event matters."""

from __future__ import annotations

from typing import Any

from bdsim.analysis.comparison import Comparison, Period, Precision, first_difference
from bdsim.analysis.events import shares_of_events
from bdsim.analysis.leavers import SIDES, Who, who_leaves
from bdsim.runs.results import Results

__all__ = ["effect_period", "event_rows", "precision_row", "precision_sentence", "who_of", "who_sentence"]


def effect_period(comparison: Comparison, scenario: Results) -> Period | None:
    """From the first year in which the scenario differs from the reference to the horizon; None if it never does."""
    first = first_difference(comparison.reference, scenario)
    return None if first is None else (first, comparison.reference.years[-1])


def precision_row(precision: Precision) -> dict[str, Any]:
    """An effect and how well it is known, as plain values in researchers."""
    ratio = precision.variance_ratio
    return {
        "from": precision.period[0], "until": precision.period[1], "effect": precision.effect,
        "p05": precision.p05, "median": precision.median, "p95": precision.p95, "half_width": precision.half_width,
        "variance": precision.variance, "unpaired_variance": precision.unpaired_variance,
        "variance_ratio": ratio if ratio != float("inf") else None, "members": precision.members,
        "members_needed_for_5_percent": precision.members_needed(),
        "members_needed_unpaired": precision.members_needed(paired=False),
    }  # fmt: skip


def precision_sentence(row: dict[str, Any], reference: str) -> str:
    """`precision_row` in words."""
    said = (
        f"Effect {row['from']}-{row['until']} by the model: {row['effect']:+,.0f} over {reference} "
        f"[{row['p05']:+,.0f}, {row['p95']:+,.0f}], the mean known to within {row['half_width']:,.0f}."
    )
    ratio, needed, unpaired = (
        row[name] for name in ("variance_ratio", "members_needed_for_5_percent", "members_needed_unpaired")
    )
    if ratio is None or needed is None:
        return said
    return (
        f"{said} Pairing makes its variance {ratio:.1f} times smaller than that of unpaired runs; "
        f"the mean to within 5% (90% confidence) needs {needed:,} members, unpaired {unpaired:,}."
    )


def who_of(comparison: Comparison, scenario: Results) -> Who | None:
    """Whom the scenario changes, from its first different year on; None where it changes nobody."""
    period = effect_period(comparison, scenario)
    return None if period is None else who_leaves(comparison, scenario, period)


def who_sentence(who: Who) -> str:
    """Who leaves only under the scenario, or only under the reference, whichever are more; and the most prominent."""
    table = who.table
    totals = {side: table[(table["side"] == side) & (table["by"] == "field")]["mean"].sum() for side in SIDES[:2]}
    side = max(totals, key=lambda s: totals[s])
    chosen = table[table["side"] == side].set_index(["by", "label"])["share"]
    best = who.top_decile.set_index("under")["mean"]
    return (
        f"{who.scenario}: of the {totals[side]:,.0f} who leave {side} in {who.period[0]}-{who.period[1]}, "
        f"{chosen['stage', 'early']:.0%} are in their first six years, {chosen['field', 'life']:.0%} life scientists, "
        f"{chosen['ties', 'strongest third']:.0%} have the strongest ties to China. The most prominent tenth are "
        f"{best['scenario']:.1f}% of departures under the scenario, {best['reference']:.1f}% under {who.reference}."
    )


def event_rows(results: Results) -> list[dict[str, Any]]:
    """Share of the variance of departures since the first event that each event carries; empty without events."""
    events = results.manifest["scenario"]["event"]
    if not events:
        return []
    first = max(results.years[0], min(results.years[-1], int(min(e["on"] for e in events)[:4])))
    rows: list[dict[str, Any]] = shares_of_events(results, first, results.years[-1]).to_dict("records")
    return [{"from": first, "until": results.years[-1], **row} for row in rows]
