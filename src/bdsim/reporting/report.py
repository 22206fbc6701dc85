"""One HTML file that answers a question offline: numbers, figures, assumptions, how far to trust it, how to repeat it.

Content is gathered here as plain sections; templates/report.html.j2 lays them out and escapes every text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
import markupsafe
import matplotlib as mpl
import pandas as pd

from bdsim.analysis.comparison import Comparison, Period
from bdsim.analysis.leavers import SIDES
from bdsim.model.categories import FIRST_YEAR
from bdsim.model.counts import AXES
from bdsim.reporting.figures.leavers import draw_who
from bdsim.reporting.figures.runs import comparison_drawings, draw_fan
from bdsim.reporting.style import NAMES, STYLE, Drawing
from bdsim.reporting.summary import effect_period, event_rows, precision_row, precision_sentence, who_of, who_sentence
from bdsim.reporting.terminal import branch_rows, branch_text, period_rows, period_text
from bdsim.runs.results import Results
from bdsim.study.evidence import Source
from bdsim.study.fit import Fit
from bdsim.study.history import Observed

__all__ = ["Report", "Section", "Table", "rendered", "report_of"]

CAVEATS = (
    "Differences between scenarios are differences of the model, paired person by person, not causal estimates.",
    "Published growth is not the Initiative's effect: departures were rising before, and the pre-trend decides the "
    "sign of any naive effect.",
    "How fast fear fades is not in the data: the series ends in December 2021, before the Initiative did. So do "
    "colleagues' influence, offers, and what US funding or visas would do rest on assumptions.",
    "A naive trend forecast 2019-2021 better than this model fitted only to 2018 ('bdsim backtest --until 2018').",
    "Two populations: the departure series counts publishing authors by surname, stay rates count doctorates.",
    "After the last observed year the baseline holds every yearly table flat. It is a reference, not a forecast.",
    "Intervals hold what the parameters' posterior, chance and the stated events leave open, not the model's error.",
)


@dataclass(frozen=True)
class Table:
    """Rows of text under a caption."""

    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""

    @classmethod
    def of(cls, caption: str, rows: Sequence[Mapping[str, Any]], note: str = "") -> Table:
        """From rows by column name."""
        columns = tuple(rows[0]) if rows else ()
        return cls(caption, columns, [tuple(str(row[c]) for c in columns) for row in rows], note)

    @staticmethod
    def is_number(cell: str) -> bool:
        return bool(re.match(r"[-+]?\d[\d,.]*( ?%)?( \[.*\])?$", cell))


@dataclass(frozen=True)
class Picture:
    """A figure as inline SVG with its numbers as CSV."""

    svg: str
    numbers: str
    rows: int


@dataclass(frozen=True)
class Section:
    """A part of the report, in the order in which it is read."""

    title: str
    prose: Sequence[str] = ()
    points: Sequence[str] = ()
    figures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    commands: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Report:
    """Everything that the page says."""

    title: str
    questions: Sequence[str]
    answer: Sequence[str]
    sections: Sequence[Section] = field(default_factory=list)


def report_of(
    comparison: Comparison, observed: Observed, sources: Mapping[str, Source], fit: Fit | None,
    changes: Mapping[str, Sequence[Mapping[str, str]]], commands: Sequence[str],
) -> Report:  # fmt: skip
    """Gather the report of a comparison.

    `changes` has the yearly values that each scenario changes, by its name; `commands` repeat the runs.
    """
    others, titles = comparison.others, {r.name: r.title for r in comparison.all}
    answer = [sentence for scenario in others for sentence in _answer(comparison, scenario)]
    sections = [
        Section("Departures and differences", tables=[_periods(r, comparison) for r in comparison.all],
                figures=[picture(d, f"f{i}") for i, d in enumerate(_drawings(comparison, observed))]),
        Section("How sure the difference is", [_precision_words(comparison, s) for s in others],
                tables=[_precision_table(comparison)]),
        Section("Where, in which field, at which stage", tables=[_axis_table(comparison, s) for s in others]),
        Section("Who leaves", [who_sentence(w) for w in _whos(comparison)],
                figures=[picture(draw_who(w, titles), f"w{i}") for i, w in enumerate(_whos(comparison))],
                tables=[t for w in _whos(comparison) for t in _who_tables(w)]),
        *([events] if (events := _events(comparison)) else []),
        Section("Assumptions and their sources", tables=[_assumptions(r, sources) for r in comparison.all]),
        Section("What each scenario changes, resolved", tables=_changes(changes)),
        *_calibration(fit),
        Section("What it can and cannot tell", points=CAVEATS),
        Section("Where the numbers come from", tables=[_provenance(comparison)]),
        Section("How to repeat it", ["Inside the study, with the same version of bdsim:"], commands=list(commands)),
    ]  # fmt: skip
    title = " and ".join(s.title for s in others) + f" against {comparison.reference.title}"
    questions = [str(s.manifest["scenario"]["question"]) for s in others]
    return Report(title, questions, answer, sections)


def rendered(report: Report) -> str:
    """The page: one self-contained HTML file. Every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bdsim.reporting"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.j2").render(report=report)


def picture(drawing: Drawing, prefix: str) -> Picture:
    """A drawing as SVG whose identifiers no other figure of the page shares, with its alternative text."""
    file = io.StringIO()
    with mpl.rc_context(STYLE):
        drawing.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\1{prefix}-", svg)
    label = f'<title id="{prefix}-title">{_escaped(drawing.alt)}</title>'
    opening = svg.index(">") + 1
    svg = f'{svg[: opening - 1]} role="img" aria-labelledby="{prefix}-title">{label}{svg[opening:]}'
    svg = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1), count=1
    )
    numbers = drawing.numbers.to_csv(index=False, float_format="%.4g")
    return Picture(svg, numbers, len(drawing.numbers))


def _escaped(text: str) -> str:
    return str(markupsafe.escape(text))


def _drawings(comparison: Comparison, observed: Observed) -> list[Drawing]:
    return [*comparison_drawings(comparison, observed), *(draw_fan(s, observed) for s in comparison.others)]


def _answer(comparison: Comparison, scenario: Results) -> list[str]:
    """Three sentences; every number in them stands in a table below, written the same way."""
    period = effect_period(comparison, scenario)
    reference = comparison.reference.title
    if period is None:
        return [f"By the model, {scenario.title} changes nothing against {reference}."]
    row = precision_row(comparison.precision(scenario, period))
    total = _total(comparison.reference, period)
    cells = {r["destination"]: r for r in _axis_rows(comparison, scenario, period, "destination")}
    first = (
        f"By the model, {scenario.title} comes to {row['effect']:+,.0f} departures of scientists of Chinese descent in "
        f"{period[0]}-{period[1]} against {reference}, "
        f"90% of members between {row['p05']:+,.0f} and {row['p95']:+,.0f}."
    )
    second = (
        f"{reference} has {total:,.0f} departures in these years; the difference is {cells['china']['mean']:+,.0f} "
        f"to China and {cells['elsewhere']['mean']:+,.0f} to other countries."
    )
    third = (
        f"The mean difference is known to within {row['half_width']:,.0f} with {row['members']} members; how far fear "
        "outlasts a policy is not in the data, and this is a difference of the model, not a causal estimate."
    )
    return [first, second, third]


def _total(results: Results, period: Period) -> float:
    span = slice(period[0] - FIRST_YEAR, period[1] - FIRST_YEAR + 1)
    return float(results.mean(results.collapsed("expected")[:, span].sum(axis=1)))


def _periods(results: Results, comparison: Comparison) -> Table:
    other = comparison if results is not comparison.reference else None
    events = len(results.manifest["branches"]) > 1
    rows = period_text(period_rows(results, other), comparison.reference.title, events=events)
    return Table.of(f"{results.title}: departures of scientists of Chinese descent", rows)


def _precision_words(comparison: Comparison, scenario: Results) -> str:
    period = effect_period(comparison, scenario)
    if period is None:
        return f"{scenario.title} changes nothing."
    row = precision_row(comparison.precision(scenario, period))
    return f"{scenario.title}. {precision_sentence(row, comparison.reference.title)}"


def _precision_table(comparison: Comparison) -> Table:
    rows = []
    for scenario in comparison.others:
        period = effect_period(comparison, scenario)
        if period is None:
            continue
        row = precision_row(comparison.precision(scenario, period))
        rows.append(
            {
                "scenario": scenario.title, "years": f"{period[0]}-{period[1]}",
                "departures under the reference": f"{_total(comparison.reference, period):,.0f}",
                "difference": f"{row['effect']:+,.0f}", "from": f"{row['p05']:+,.0f}", "to": f"{row['p95']:+,.0f}",
                "mean known to within": f"{row['half_width']:,.0f}", "members": f"{row['members']}",
                "variance, paired": f"{row['variance']:,.0f}", "unpaired": f"{row['unpaired_variance']:,.0f}",
                "ratio": f"{row['variance_ratio']:.1f}" if row["variance_ratio"] else "-",
                "members for 5%": f"{row['members_needed_for_5_percent']:,}" if row["effect"] else "-",
                "unpaired for 5%": f"{row['members_needed_unpaired']:,}" if row["effect"] else "-",
            }
        )  # fmt: skip
    note = (
        "Pairing: both worlds have the same people with the same luck; 5%: the mean to within 5% of itself, 90% sure."
    )
    return Table.of("The difference, and what pairing gains", rows, note)


def _axis_rows(comparison: Comparison, scenario: Results, period: Period, axis: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = comparison.difference(scenario, [period], (axis,)).table().to_dict("records")
    return rows


def _axis_table(comparison: Comparison, scenario: Results) -> Table:
    period = effect_period(comparison, scenario)
    if period is None:
        return Table(f"{scenario.title} changes nothing", (), [])
    rows = []
    for axis in ("destination", "field", "stage"):
        span = slice(period[0] - FIRST_YEAR, period[1] - FIRST_YEAR + 1)
        totals = [
            r.mean(r.collapsed("expected", (axis,))[:, span].sum(axis=1)) for r in (comparison.reference, scenario)
        ]
        for i, row in enumerate(_axis_rows(comparison, scenario, period, axis)):
            rows.append(
                {
                    "by": axis, "of": NAMES[AXES[axis][i]], comparison.reference.title: f"{totals[0][i]:,.0f}",
                    scenario.title: f"{totals[1][i]:,.0f}", "difference": f"{row['mean']:+,.0f}",
                    "90% of members": f"{row['p05']:+,.0f} to {row['p95']:+,.0f}",
                }
            )  # fmt: skip
    return Table.of(f"{scenario.title}, {period[0]}-{period[1]}: mean departures", rows)


def _whos(comparison: Comparison) -> list[Any]:
    return [who for who in (who_of(comparison, s) for s in comparison.others) if who is not None]


def _who_tables(who: Any) -> list[Table]:
    wide = who.table.pivot_table(index=["by", "label"], columns="side", values="mean", sort=False)[list(SIDES)]
    rows = [
        {"by": by, "of": NAMES.get(label, label), **{side: f"{row[side]:,.0f}" for side in SIDES}}
        for (by, label), row in wide.iterrows()
    ]
    shares = who.table.set_index(["side", "by", "label"])["share"]
    first = who.table[["by", "label"]].drop_duplicates().itertuples(index=False)
    for row, (by, label) in zip(rows, first, strict=True):
        row |= {f"share of {side}": f"{shares[side, by, label]:.0%}" for side in SIDES[:2]}
    totals = wide.loc["field"].sum()
    rows.append({"by": "all", "of": "everyone", **{s: f"{totals[s]:,.0f}" for s in SIDES},
                 **{f"share of {s}": "100%" if totals[s] else "0%" for s in SIDES[:2]}})  # fmt: skip
    years = f"{who.period[0]}-{who.period[1]}"
    caliber = [
        {
            "under": r.under,
            "percent from the top tenth": f"{r.mean:.1f}",
            "90% of members": f"{r.p05:.1f} to {r.p95:.1f}",
        }
        for r in who.top_decile.itertuples()
    ]
    return [
        Table.of(f"Who leaves in {years}: researchers, mean over members ({who.scenario})", rows,
                 "Stage at the departure; prominence (decile 10 the most prominent) and ties at entry."),
        Table.of(f"Share of departures from the most prominent tenth, {years} ({who.scenario})", caliber),
    ]  # fmt: skip


def _events(comparison: Comparison) -> Section | None:
    tables = []
    for scenario in comparison.others:
        rows = event_rows(scenario)
        if not rows:
            continue
        last = comparison.reference.years[-1]
        note = f"Ways: {scenario.manifest['ways']}. Other chances: bdsim compare ... --chance OUTCOME=CHANCE."
        tables.append(Table.of(f"{scenario.title}: ways through its events",
                               branch_text(branch_rows(scenario, comparison), last), note))  # fmt: skip
        shares = [
            {"event": r["event"], "share of variance": f"{r['share']:.0%}", "reached": f"{r['reached']:.0%}"}
            for r in rows
        ]
        tables.append(
            Table.of(f"What each event carries of the variance, {rows[0]['from']}-{rows[0]['until']}", shares)
        )
    return Section("What nobody knows", tables=tables) if tables else None


def _assumptions(results: Results, sources: Mapping[str, Source]) -> Table:
    rows = []
    scenario = results.manifest["scenario"]
    for kind in ("policy", "lever", "event"):
        for part in scenario[kind]:
            rows.append(_assumption(kind, part, sources))
            for outcome in part.get("outcomes", ()):
                for inner in ("policy", "lever"):
                    rows += [_assumption(f"{inner}, if {outcome['name']}", p, sources) for p in outcome[inner]]
    if not rows:
        rows = [{"part": "none", "name": "-", "what": "history as it was", "why": "-", "source": "-"}]
    return Table.of(f"{results.title}: what is assumed, and on what grounds", rows)


def _assumption(kind: str, part: Mapping[str, Any], sources: Mapping[str, Source]) -> dict[str, str]:
    why = str(part["why"])
    files = [f"{name}.csv: {sources[name].cite}" for name in re.findall(r"(\w+)\.csv", why) if name in sources]
    assumed = re.search(r"assum", why, re.IGNORECASE)
    source = "; ".join(files) or "none: an assumption"
    if files and assumed:
        source += "; what goes beyond it is an assumption without a source"
    return {"part": kind, "name": str(part.get("name") or "-"), "what": _in_words(part), "why": why, "source": source}


def _in_words(part: Mapping[str, Any]) -> str:
    if "outcomes" in part:
        return f"{part['on']}: " + ", ".join(f"{o['name']} {o['chance']:g}" for o in part["outcomes"])
    if "table" in part:
        op = next(op for op in ("set", "add", "multiply") if op in part)
        return f"{op} {part['table']} {part[op]} in {part['years'][0]}-{part['years'][1]}"
    return f"scrutiny {part['scrutiny']:g} of {', '.join(part['targets'])}, {part['from']} to {part['until']}"


def _changes(changes: Mapping[str, Sequence[Mapping[str, str]]]) -> list[Table]:
    return [
        Table.of(f"{name}: yearly values that differ from the reference", rows)
        if rows
        else Table(f"{name}: no yearly value differs from the reference, or its file has changed since the run", (), [])
        for name, rows in changes.items()
    ]


def _calibration(fit: Fit | None) -> list[Section]:
    if fit is None:
        return [Section("Calibration", ["Parameters are held at the values of parameters.toml: intervals hold none of "
                                        "their uncertainty."])]  # fmt: skip
    m = fit.manifest
    rows = [
        {
            "parameter": r.parameter, "most probable": f"{r.mode:.3g}", "90%": f"{r.p05:.3g} to {r.p95:.3g}",
            "prior": f"{r.prior_mean:.3g} ± {r.prior_sd:.2g}", "verdict": r.verdict, "unit": r.unit,
        }
        for r in fit.table.itertuples()
    ]  # fmt: skip
    targets = pd.read_csv(fit.path / "targets.csv")
    facts = [
        {
            "fact": r.label, "role": r.role.replace("_", " "), "observed": f"{r.fact:.4g}", "model": f"{r.median:.4g}",
            "90%": f"{r.p05:.4g} to {r.p95:.4g}", "residual, errors": f"{r.residual:+.1f}",
        }
        for r in targets.itertuples()
    ]  # fmt: skip
    share = m["share_of_scrutiny_in_departures_2019_2022"]
    prose = [
        f"Fit '{fit.name}': {m['statement']} Share of scrutiny in the departures of 2019-2022: {share['median']:.0%} "
        f"[{share['p05']:.0%}, {share['p95']:.0%}]: {m['caveat']}.",
    ]
    return [
        Section("What the data can and cannot identify", prose, points=[*m["identifiability"], *m["warnings"]],
                tables=[Table.of("Parameters: prior, posterior, and whether the data tell them", rows)]),
        Section("Calibration quality", tables=[Table.of("Every fact, fitted or held out, beside the model", facts)]),
    ]  # fmt: skip


def _provenance(comparison: Comparison) -> Table:
    m = comparison.reference.manifest
    rows = [{"what": f"run of {r.title}", "value": f"{r.name}-{r.fingerprint}"} for r in comparison.all]
    rows += [
        {"what": name.replace("_", " "), "value": str(m[name])}
        for name in ("members", "seed", "researchers_per_agent", "engine", "horizon", "uncertainty", "program")
    ]
    rows.append({"what": "fit", "value": f"{m['fit']['name']} ({m['fit']['fingerprint']})" if m["fit"] else "none"})
    if comparison.reference.held_by_hand:
        rows.append({"what": "held by hand", "value": comparison.reference.held_by_hand})
    rows += [{"what": package, "value": version} for package, version in m["versions"].items()]
    rows += [{"what": f"{path} (SHA-256)", "value": digest[:16]} for path, digest in m["inputs"].items()]
    return Table.of("Provenance", rows)
