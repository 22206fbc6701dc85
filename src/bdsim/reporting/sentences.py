"""Numbers as text: rows of tables and sentences, the same on a terminal, in a report and on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bdsim.analysis.leavers import SIDES, Who
from bdsim.reporting.names import NAMES

if TYPE_CHECKING:
    from bdsim.analysis.comparison import Period, Precision
    from bdsim.runs.results import Centre

__all__ = [
    "AGREE",
    "Answer",
    "Block",
    "bounds",
    "branch_text",
    "citation",
    "count",
    "digits_sentence",
    "in_years",
    "interval",
    "percent",
    "period_text",
    "precision_row",
    "precision_sentence",
    "rounding",
    "rounding_sentence",
    "signed",
    "who_blocks",
    "who_sentence",
]

# Researchers an agent: relative standard deviation of departures 2026-2035, of a policy's effect on them (measured by
# benchmarks/rounding.py, seeds of the population).
ROUNDING = {100: (0.0024, 0.006), 1000: (0.0136, 0.025), 10_000: (0.1325, 0.162)}
AGREE = (  # the rule of calibration.validate
    "Agree: the model's 90% interval meets the published range, or where none is published the value give or take a "
    "twentieth; empty where the two are not the same thing."
)
TOO_COARSE = 0.005  # share of departures: rounding that is said beside results


@dataclass(frozen=True)
class Block:
    """Rows of text under a title."""

    title: str
    rows: list[dict[str, str]]
    caption: str = ""


@dataclass(frozen=True)
class Answer:
    """What a command found: tables and sentences in the order of reading, and the same as plain values for JSON."""

    said: Sequence[Block | str]
    plain: Any


def precision_row(precision: Precision) -> dict[str, Any]:
    """An effect and how well it is known, as plain values in researchers."""
    ratio = precision.variance_ratio
    return {
        "from": precision.period[0], "until": precision.period[1], "mean": precision.effect,
        "p05": precision.p05, "median": precision.median, "p95": precision.p95, "half_width": precision.half_width,
        "variance": precision.variance, "unpaired_variance": precision.unpaired_variance,
        "variance_ratio": ratio if math.isfinite(ratio) else None, "members": precision.members,
        "members_needed_for_5_percent": precision.members_needed(),
        "members_needed_unpaired": precision.members_needed(paired=False),
    }  # fmt: skip


def precision_sentence(precision: Precision) -> str:
    """How well the mean is known, and what pairing gains."""
    needed, unpaired = precision.members_needed(), precision.members_needed(paired=False)
    if math.isnan(precision.half_width):
        return "One member cannot show how well the mean is known."
    said = f"Its mean over members is known to within {precision.half_width:,.0f}."
    if needed is None or not precision.variance:
        return said
    ratio = precision.variance_ratio
    gain = (
        f"Pairing makes the variance {ratio:,.1f} times smaller than that of unpaired runs"
        if ratio >= 1.0
        else "Pairing does not make the variance smaller here"
    )
    return f"{said} {gain}; the mean to within 5% (90% confidence) needs {needed:,} members, unpaired {unpaired:,}."


def rounding(researchers_per_agent: int) -> tuple[float, float]:
    """How far the rounding of one population to agents moves departures of ten years, and a policy's effect on them.

    Relative standard deviations over populations, between the scales of ROUNDING and in proportion beyond them.
    """
    scales = list(ROUNDING)
    near = min(max(researchers_per_agent, scales[0]), scales[-1])
    measured = np.log(np.array(list(ROUNDING.values())))
    level, effect = (float(np.exp(np.interp(np.log(near), np.log(scales), column))) for column in measured.T)
    return level * researchers_per_agent / near, effect * researchers_per_agent / near


def rounding_sentence(researchers_per_agent: int) -> str:
    """That the intervals lack it, with its size; empty where it is less than half a percent of departures."""
    level, effect = rounding(researchers_per_agent)
    if level < TOO_COARSE:
        return ""
    return (
        f"Coarse: with {researchers_per_agent:,} researchers an agent, rounding the population moves departures by "
        f"about {level:.1%} and an effect by about {effect:.0%} (one standard deviation), which no interval "
        "here holds; -k 100 or less makes it small."
    )


def digits_sentence(engine: str) -> str:
    """That numbers were worked out with few digits; empty where they were not."""
    if engine != "float32":
        return ""
    return "Single precision (float32), to explore with: publish what the compiled engine gives."


def who_sentence(who: Who) -> str:
    """Who leaves only under the scenario, or only under the reference, whichever are more; and the most prominent."""
    table = who.table
    totals = {side: table[(table["side"] == side) & (table["by"] == "field")]["mean"].sum() for side in SIDES[:2]}
    side = max(totals, key=lambda s: totals[s])
    if totals[side] == 0.0:
        return f"{who.titles[0]}: at this scale no single agent decides otherwise, so it is unknown whom it changes."
    chosen = table[table["side"] == side].set_index(["by", "label"])["share"]
    best = who.top_decile.set_index("under")["mean"]
    return (
        f"{who.titles[0]}: of the {totals[side]:,.0f} who leave {side} in {in_years(who.period)}, "
        f"{chosen['stage', 'early']:.0%} are in their first six years, {chosen['field', 'life']:.0%} life scientists, "
        f"{chosen['ties', 'strongest third']:.0%} have the strongest ties to China. The most prominent tenth are "
        f"{best['scenario']:.1f}% of departures under the scenario, {best['reference']:.1f}% under {who.titles[1]}."
    )


def who_blocks(who: Who) -> list[Block]:
    """Leavers by side and attribute, and the share of the most prominent."""
    wide = who.table.pivot_table(index=["by", "label"], columns="side", values="mean", sort=False)[list(SIDES)]
    shares = who.table.set_index(["side", "by", "label"])["share"]
    rows = [
        {"by": by, "of": NAMES.get(label, label), **{side: count(row[side]) for side in SIDES},
         **{f"share of {side}": f"{shares[side, by, label]:.0%}" for side in SIDES[:2]}}
        for (by, label), row in wide.iterrows()
    ]  # fmt: skip
    totals = wide.loc["field"].sum()
    rows.append({"by": "all", "of": "everyone", **{s: count(totals[s]) for s in SIDES},
                 **{f"share of {s}": "100%" if totals[s] else "0%" for s in SIDES[:2]}})  # fmt: skip
    top = [
        {"under": r.under, "percent from the top tenth": f"{r.mean:.1f}",
         "90% of members": interval(r.p05, r.p95, lambda x: f"{x:.1f}")}
        for r in who.top_decile.itertuples()
    ]  # fmt: skip
    return [
        Block(f"Who leaves in {in_years(who.period)}: researchers, mean over members ({who.titles[0]})", rows,
              "Stage at the departure; prominence (decile 10 the most prominent) and ties at entry."),
        Block(f"Share of departures from the most prominent tenth, {in_years(who.period)} ({who.titles[0]})", top),
    ]  # fmt: skip


def period_text(row: Mapping[str, Any], centre: Centre, reference: str) -> dict[str, str]:
    """A row of Summary.periods as text."""
    text = {
        "years": in_years((row["from"], row["until"])),
        f"departures, {centre} [90%]": f"{count(row[centre])} {interval(row['p05'], row['p95'])}",
        "to China": "-" if math.isnan(row["share_china"]) else f"{row['share_china']:.0%}",
    }
    if "excess_mean" in row:
        excess = f"{signed(row[f'excess_{centre}'])} {interval(row['excess_p05'], row['excess_p95'], signed)}"
        same = row["excess_mean"] == 0.0 and not row["excess_p05"] and not row["excess_p95"]
        text[f"over {reference}, {centre} [90%]"] = "0 (identical)" if same else excess
    return text


def branch_text(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of Summary.branches as text."""
    return {
        "branch": str(row["branch"]),
        "chance": f"{row['chance']:.3f}",
        f"departures {in_years((row['from'], row['until']))}, mean": count(row["departures"]),
        **({"over the reference, mean": signed(row["excess_mean"])} if "excess_mean" in row else {}),
    }


def count(number: float) -> str:
    """'12,345'."""
    return f"{number:,.0f}"


def signed(number: float) -> str:
    """'+1,285', '-3', and '0' without a sign for what rounds to nobody."""
    return "0" if abs(number) <= 0.5 else f"{number:+,.0f}"


def percent(share: float) -> str:
    """'12%', and '0%' without a sign for what rounds to nothing."""
    return "0%" if abs(share) <= 0.005 else f"{share:.0%}"


def interval(low: float, high: float, write: Any = count) -> str:
    """'[1, 2]', or that it is unknown where a single draw was run."""
    return "[unknown]" if math.isnan(low) or math.isnan(high) else f"[{write(low)}, {write(high)}]"


def bounds(low: float | None, high: float | None) -> str:
    """A published range: '180 to 330', 'up to 2.4', 'from 25', and '' where none is known. None or nan is unknown."""
    least, most = ("" if x is None or math.isnan(x) else f"{x:g}" for x in (low, high))
    if least and most:
        return f"{least} to {most}"
    return f"from {least}" if least else f"up to {most}" if most else ""


def citation(manifest: Mapping[str, Any]) -> str:
    """How to cite the program that made a run, and what its parameters rest on."""
    fit = manifest["fit"]
    rest = f"fitted to published facts (fit {fit['name']})" if fit else "parameters not fitted"
    version = manifest["versions"]["bdsim-migration"]
    return f"bdsim {version}: an agent-based simulation of researcher migration; {rest}"


def in_years(years: Period) -> str:
    """'2026-2035' or '2026'."""
    return str(years[0]) if years[0] == years[1] else f"{years[0]}-{years[1]}"
