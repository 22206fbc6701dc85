"""The chart and the table that follow a slider of a policy."""

from __future__ import annotations

import datetime as dt
from html import escape

from bdsim.explore.drawing import WIDTH, Plot, drawing, nice_ticks, text
from bdsim.explore.policy.policies import DRAWS, SCALE, Answer
from bdsim.model.categories import FIRST_YEAR, Floats
from bdsim.reporting.style import COLOURS, REFERENCE
from bdsim.study.history import Observed

__all__ = ["answer_table", "policy_chart"]

FIRST_SHOWN = 2015
POLICY = COLOURS[1]


def policy_chart(answer: Answer, observed: Observed) -> str:
    """Departures a year without and with the policy, with the span in which it is in force."""
    at = slice(FIRST_SHOWN - FIRST_YEAR, None)
    without, with_policy = (answer.a_year(d)[:, at] for d in (answer.reference, answer.policy))
    years = list(answer.years)[at]
    facts = [(y, float(v)) for y, v in zip(*observed.everywhere, strict=True) if y >= FIRST_SHOWN]
    ticks = nice_ticks(min(max(float(without[2].max()), float(with_policy[2].max()), *(v for _, v in facts)), 1e9))
    plot = Plot((58, 62, WIDTH - 128, 318), (years[0], years[-1] + 1), (0.0, ticks[-1]))
    _span(plot, answer)
    plot.grid(ticks)
    plot.years(years[0], years[-1])
    steps = [edge for year in years for edge in (float(year), year + 1.0)]  # so that no line rises before its policy
    lines = (
        ("Nothing changes", without, REFERENCE, ""),
        ("This policy", with_policy, POLICY, ' stroke-dasharray="7 3"'),
    )
    for _, band, colour, _ in lines:
        plot.band(steps, band[0].repeat(2), band[2].repeat(2), colour)
    for _, band, colour, dash in lines:
        kind = "now-policy" if colour == POLICY else "now-reference"
        plot.line(steps, band[1].repeat(2), colour, f'class="{kind}" stroke-width="2.4"{dash}')
    for year, count in facts:
        plot.dot(year + 0.5, count, hollow=False)
    ends = sorted(((float(band[1, -1]), words, colour) for words, band, colour, _ in lines), reverse=True)
    above = plot.y(ends[0][0]) + 4
    for number, (value, words, colour) in enumerate(ends):
        place = above if not number else max(plot.y(value) + 4, above + 16)
        plot.marks.append(text(WIDTH - 122, place, words, f'fill="{colour}" font-weight="600"'))
    _values(plot, years, without, with_policy)
    title = "Departures of scientists of Chinese descent, a year"
    plot.marks.append(text(12, 18, title, 'font-weight="700" font-size="14"'))
    words = "Lines: median of the fit’s draws; bands: 90% of them. Dots: published. Shaded years: in force."
    plot.marks.append(text(12, 38, words, 'fill="#333" font-size="11.5"'))
    plot.marks.append(text(12, 358, f"{observed.source} Model: bdsim, expected runs.", 'fill="#555" font-size="11"'))
    last = years[-1]
    said = (
        f"Departures a year, {years[0]} to {last}. In {last}: {without[1, -1]:,.0f} if nothing changes, "
        f"{with_policy[1, -1]:,.0f} with this policy."
    )
    return drawing(366, "Departures a year with and without the policy", said, plot.marks)


def _span(plot: Plot, answer: Answer) -> None:
    """The time in which the policy is in force, to the day."""
    left, right = (plot.x(min(_year(day), answer.years[-1] + 1)) for day in answer.span)
    width = max(right - left, 1.0)
    plot.marks.append(
        f'<rect class="span" x="{left:.1f}" y="{plot.top - 6}" width="{width:.1f}" '
        f'height="{plot.bottom - plot.top + 6}" fill="#fbf0dc"/>'
    )


def _values(plot: Plot, years: list[int], without: Floats, with_policy: Floats) -> None:
    """What each year says under the mouse."""
    for i, year in enumerate(years):
        parts = [
            f"{words} {band[1, i]:,.0f} ({band[0, i]:,.0f} to {band[2, i]:,.0f})"
            for words, band in (("nothing changes", without), ("this policy", with_policy))
        ]
        plot.hover(year, "; ".join(parts))


def _year(day: dt.date) -> float:
    first, after = dt.date(day.year, 1, 1), dt.date(day.year + 1, 1, 1)
    return day.year + (day - first).days / (after - first).days


def answer_table(answer: Answer) -> str:
    """The answer in a sentence, and whom it is made of."""
    rows = answer.rows()
    first, last = answer.asked[0], answer.asked[-1]
    _, without, _, more = rows[0]
    sentence = (
        f"With this policy <b>{more[1]:+,.0f}</b> departures over {first}–{last}, 90% from {more[0]:+,.0f} to "
        f"{more[2]:+,.0f}, beside {without[1]:,.0f} if nothing changes."
    )
    body = "".join(
        f"<tr><th scope='row'>{escape(whose)}</th>"
        + "".join(f"<td class='number'>{cell}</td>" for cell in (_cell(a), _cell(b), _cell(d, "+")))
        + "</tr>"
        for whose, a, b, d in rows
    )
    rests = f"{DRAWS} draws of fitted/{answer.fit}" if answer.fit else "the values of parameters.toml, with no fit"
    return (
        f"<h2>What would follow</h2><p>{sentence}</p><div class='wide' tabindex='0' role='region' "
        f"aria-label='Departures by destination and field'><table><caption>Departures {first}–{last}: median, 90%"
        f"</caption><thead><tr><td></td><th scope='col' class='number'>nothing changes</th><th scope='col' "
        f"class='number'>this policy</th><th scope='col' class='number'>difference</th></tr></thead><tbody>{body}"
        f"</tbody></table></div><p class='small'>Expected departures under {escape(rests)}, at {SCALE} researchers an "
        "agent: uncertain are parameters and shared shocks; the chance of single people is averaged away. Differences "
        "of a model, not causal estimates.</p>"
    )


def _cell(band: Floats, sign: str = "") -> str:
    low, middle, high = (f"{x:{sign},.0f}".replace("-", "\N{MINUS SIGN}") for x in band)
    return f"{middle} <small>({low} to {high})</small>"
