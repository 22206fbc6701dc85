"""What the questions about causes, goals, inputs and choices answer: tables and sentences, the same as plain values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bdsim.analysis.attribution import Attribution, cannot_tell, cause_of
from bdsim.reporting.sentences import Answer, Block, count, in_years, interval, percent, signed

if TYPE_CHECKING:
    from bdsim.analysis.breakeven import BreakEven
    from bdsim.analysis.futures.regret import Regret
    from bdsim.analysis.sensitivity import Sensitivity
    from bdsim.runs.plan import Job

__all__ = ["attribution_answer", "breakeven_answer", "reach_text", "regret_answer", "sensitivity_answer"]

HALF = 0.5  # share of draws: the median of fewer is none of all


def attribution_answer(found: Attribution) -> Answer:
    """Shares of a change by cause."""
    table = found.table()
    rows = [
        {
            "cause": str(r.cause), "researchers, mean [90%]": f"{signed(r.mean)} {interval(r.p05, r.p95, signed)}",
            "share [90%]": f"{percent(r.share)} {interval(r.share_p05, r.share_p95, percent)}",
        }
        for r in table.itertuples()
    ]  # fmt: skip
    draws = f"{len(found.total)} posterior draws" if len(found.total) > 1 else "one draw"
    caption = f"Shapley shares over {draws} add up exactly; they are shares of the model, not measured effects."
    plain = {"of": found.of, "shares": table.to_dict("records"), "cannot_tell": list(found.cannot_tell),
             "by_verdict": dict(found.by_verdict)}  # fmt: skip
    rests = [found.rests_on] if found.rests_on else []
    return Answer([Block(f"Why: {found.of}", rows, caption), *rests, *_limits(found.cannot_tell)], plain)


def breakeven_answer(found: BreakEven, job: Job) -> Answer:
    """How far a lever must go to meet a goal."""
    turned, goal = found.turned, found.goal
    low, median, high = (x if math.isfinite(x) else None for x in found.interval())  # JSON knows no infinity
    sentences = [_just_met(found), _elsewhere(found)]
    if not found.monotone:
        sentences.append(
            "The response is not monotone: the crossing nearest to no change is given, there may be others."
        )
    limits = cannot_tell(job, [cause_of(turned.table)], "what the model makes of")
    plain = {
        "lever": turned.table, "as": turned.how, "range": [turned.low, turned.high], "years": list(turned.years),
        "goal": str(goal), "median": median, "cannot_tell": list(limits),
        "p05": low, "p95": high, "reachable": found.reachable, "holds_throughout": found.throughout,
        "held_before": float(found.held_before.mean()), "side": found.side, "in_words": sentences,
        "monotone": found.monotone, "draws": len(found.roots),
    }  # fmt: skip
    return Answer([*sentences, *_limits(limits)], plain)


def reach_text(found: BreakEven) -> tuple[str, str]:
    """The lever's median and its 90% interval: '1.59', '[0.924, more than 4]'."""

    def write(value: float) -> str:
        turned = found.turned
        if math.isinf(value):
            return f"more than {turned.high:g}" if value > 0.0 else f"less than {turned.low:g}"
        return f"{value:.3g}"

    low, median, high = found.interval()
    return write(median), interval(low, high, write)


def _just_met(found: BreakEven) -> str:
    """Where the goal is just met, over all draws; or that only some have a value, which is then none of the others'."""
    turned, goal, draws = found.turned, found.goal, len(found.roots)
    aim = f"{goal.quantity.meaning}, {'at most' if goal.under else 'at least'} {count(goal.number)}"
    lever = f"{turned.table} from {turned.low:g} to {turned.high:g}"
    if not found.reachable:
        return f"By the model, no value of {lever} just meets the goal in any of {draws:,} posterior draws ({aim})."
    median, band = reach_text(found)
    side = f" {found.side}" if found.side and math.isfinite(found.interval()[1]) else ""
    way = f"{turned.how} {turned.table} in {in_years(turned.years)} {'to' if turned.how == 'set' else 'by'}{side}"
    placed = int((~np.isnan(found.values())).sum())
    if placed == draws:
        return f"By the model, {aim}: {way} {median} 90% {band} of {draws:,} posterior draws."
    among = f"{placed:,} of {draws:,} posterior draws"
    if placed < HALF * draws:
        return (
            f"By the model, a value of {lever} just meets the goal in only {among} ({aim}): no number to quote. In "
            f"these draws alone: {way} {median} 90% {band}."
        )
    return f"By the model, {aim}: {way} {median} 90% {band}. That is of the {among} for which it can be said."


def _elsewhere(found: BreakEven) -> str:
    """Whether anything need change; and how many draws have such a value within the range, need none, or have none."""
    turned, draws = found.turned, len(found.roots)
    just, always, before = (round(s * draws) for s in (found.reachable, found.throughout, found.held_before.mean()))
    already = f"Where nothing changes it holds in {before:,} of the {draws:,} draws."
    if just == draws:
        return already
    return (
        f"{already} Of the values from {turned.low:g} to {turned.high:g} one just meets it in {just:,}, each does in "
        f"{always:,}, none in {draws - just - always:,}."
    )


def sensitivity_answer(found: Sensitivity, samples: int, over: str, label: Callable[[str], str] = str) -> Answer:
    """What a number depends on, the strongest input first. `label`: the plain name of a parameter."""

    def named(name: str) -> str:
        return name if label(name) == name else f"{label(name)} ({name})"

    morris = found.method == "morris"
    rows = [
        {
            "input": named(str(r["input"])), "range": f"{r['low']:.3g} to {r['high']:.3g}",
            "index [90%]": f"{_short(r['index'])} ± {_short(r['conf'])}",
            **({"mean effect": _short(r["mean"])} if morris else {"alone": f"{r['first']:.2f}"}),
        }
        for r in found.table.to_dict("records")
    ]  # fmt: skip
    what = "mu*: mean absolute effect over the range, researchers" if morris else "total Sobol' index"
    title = f"{found.of}: what {found.quantity} depends on"
    plain = {
        "of": str(found.quantity), "method": found.method, "samples": samples, "over": over,
        "evaluations": found.evaluations, "inputs": found.table.to_dict("records"),
    }  # fmt: skip
    independent = f"Ranges: {over}; inputs vary independently, so correlations of the posterior are left out."
    return Answer([Block(title, rows, f"Index: {what}. {found.evaluations} runs."), independent], plain)


def regret_answer(found: Regret) -> Answer:
    """What each policy would miss against the best, in each future."""
    table, worst = found.table(), found.worst()
    rows = [
        {
            "policy": str(r.policy), "future": str(r.future),
            str(found.quantity): f"{count(r.mean)} {interval(r.p05, r.p95)}",
            "regret": f"{count(r.regret)} {interval(r.regret_p05, r.regret_p95)}", "best in": f"{r.best:.0%}",
        }
        for r in table.itertuples()
    ]  # fmt: skip
    best = worst.iloc[0]
    said = (
        f"Least greatest regret, by the model: {best['policy']}, {count(best['greatest_regret'])} (in {best['in']}). "
        "“Better” counts researchers and nothing else: not what a policy costs, nor whom it harms."
    )
    caption = f"Mean and 90% of posterior draws; {'more' if found.more else 'less'} is better."
    plain = {
        "of": str(found.quantity), "more": found.more, "table": table.to_dict("records"),
        "greatest": worst.to_dict("records"),
    }  # fmt: skip
    return Answer([Block("Policies against futures", rows, caption), said], plain)


def _limits(said: Sequence[str]) -> list[Any]:
    """What the data cannot tell, as lines under a heading."""
    return ["What the data cannot tell:", *(f"  - {sentence}" for sentence in said)] if said else []


def _short(number: float) -> str:
    return count(number) if abs(number) >= 100 else f"{number:.2g}"
