"""One HTML file that answers a question offline: numbers, figures, assumptions, how far to trust it, how to repeat it.

Content is gathered here as plain sections; templates/report.html.j2 lays them out and escapes every text.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd

from bdsim.analysis.attribution import acts_through
from bdsim.reporting.figures.leavers import draw_who
from bdsim.reporting.figures.runs import comparison_drawings, draw_fan
from bdsim.reporting.headline import ALL_PRIORS
from bdsim.reporting.names import NAMES
from bdsim.reporting.page import Report, Section, Table, picture, plain
from bdsim.reporting.sentences import (
    AGREE,
    bounds,
    citation,
    count,
    digits_sentence,
    in_years,
    interval,
    precision_row,
    signed,
    who_blocks,
    who_sentence,
)
from bdsim.reporting.summary import Summary, fit_of, observed, priors_of, summaries
from bdsim.study.evidence import Coverage, Source, coverage_of, load_evidence
from bdsim.study.parameters import Parameters, load_parameters
from bdsim.study.scenario import changed_values, in_words
from bdsim.study.scenario_file import PARTS

if TYPE_CHECKING:
    from bdsim.analysis.comparison import Comparison, Period
    from bdsim.reporting.style import Drawing
    from bdsim.runs.plan import Job
    from bdsim.runs.results import Results
    from bdsim.study.fit import Fit
    from bdsim.study.history import Observed
    from bdsim.study.layout import Study

__all__ = ["UNFITTED", "Report", "Section", "Table", "caveats", "picture", "repeat_words", "report_page"]

CITE = "The program, the runs by their fingerprints, and the facts that the numbers rest on:"
UNFITTED = "Parameters are held at the values of parameters.toml: the intervals leave their uncertainty out."
CAVEATS = (
    "Differences between scenarios are differences of the model, paired person by person, not causal estimates.",
    "Published growth is not the Initiative's effect: departures were rising before, and the pre-trend decides the "
    "sign of any naive effect.",
    "What US funding or visas would do, colleagues' influence and offers rest on assumptions more than on data.",
    "How its forecasts have done beside naive rules: 'bdsim backtest'.",
    "Two populations: the departure series counts publishing authors by surname, stay rates count doctorates.",
    "After the last observed year the baseline holds every yearly table flat. It is a reference, not a forecast.",
    "Intervals hold what the parameters' posterior, chance and the stated events leave open, not the model's error.",
)


def report_page(
    comparison: Comparison, study: Study, jobs: Sequence[Job | None], years: Period | None = None
) -> str:  # fmt: skip
    """The report of a comparison as one HTML file.

    `jobs` are the plans of its runs, None for one whose files are no longer what was run; `years` those of the
    question. Raises InputError of the study's files.
    """
    return rendered(report_of(comparison, study, jobs, years))


def report_of(
    comparison: Comparison, study: Study, jobs: Sequence[Job | None], years: Period | None = None
) -> Report:  # fmt: skip
    """Gather the report of a comparison; as `report_page`."""
    priors = priors_of(study, comparison.reference)
    told, evidence = summaries(comparison, years, priors), load_evidence(study)
    others, fit = told[1:], fit_of(study, comparison.reference)
    seen = observed(study, comparison.reference)
    whos = [summary.who for summary in others if summary.who is not None]
    periods = [Table.of_block(summary.blocks()[0], note=False) for summary in told]
    sections = [
        Section("Departures and differences", tables=periods,
                figures=[picture(d, f"f{i}") for i, d in enumerate(_drawings(comparison, seen))]),
        Section("How sure the difference is", [" ".join(s.sentences()[:3]) for s in others],
                tables=_precision_tables(others)),
        Section("Where, in which field, at which stage", tables=[_axis_table(summary) for summary in others]),
        Section("Who leaves", [who_sentence(who) for who in whos],
                figures=[picture(draw_who(who), f"w{i}") for i, who in enumerate(whos)],
                tables=[Table.of_block(block) for who in whos for block in who_blocks(who)]),
        *_events(others),
        Section("Assumptions and their sources", tables=[_assumptions(r, evidence.sources) for r in comparison.all]),
        Section("What each scenario changes, resolved", tables=_changes(comparison.all, jobs)),
        *_calibration(fit, load_parameters(study.parameters)),
        Section("What it can and cannot tell", points=caveats(coverage_of(evidence), comparison.reference)),
        Section("Where the numbers come from", tables=[_provenance(comparison)]),
        Section("How to repeat it", ["Inside the study, with the same version of bdsim:"],
                commands=[repeat_words("report", comparison.all, years)]),
        Section("How to cite it", [CITE], commands=[_cited(comparison, coverage_of(evidence))]),
    ]  # fmt: skip
    title = " and ".join(s.title for s in comparison.others) + f" against {comparison.reference.title}"
    questions = [str(s.manifest["scenario"]["question"]) for s in comparison.others]
    return Report(title, questions, [sentence for summary in others for sentence in _answer(summary, fit)], sections)


def caveats(coverage: Coverage, reference: Results) -> list[str]:
    """What a comparison with `reference` cannot tell, whatever it compares, with the years of the data in use."""
    found = list(CAVEATS)
    policies = [p for p in reference.manifest["scenario"]["policy"] if p["scrutiny"] and isinstance(p["until"], str)]
    ended = [(p["until"], p["name"]) for p in policies]  # dates that are ranges aside
    if ended and coverage.ends_before(int(min(ended)[0][:4])):
        found.insert(2, f"How fast fear fades is not in the data: the series of departures ends in December "
                        f"{coverage.departures.last}, before the {min(ended)[1]} did.")  # fmt: skip
    return [*filter(None, [digits_sentence(reference.manifest["engine"])]), *found]


def rendered(report: Report) -> str:
    """The page: one self-contained HTML file. Every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bdsim.reporting"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.j2").render(report=report)


def _drawings(comparison: Comparison, observed: Observed) -> list[Drawing]:
    return [*comparison_drawings(comparison, observed), *(draw_fan(s, observed) for s in comparison.others)]


def _answer(summary: Summary, fit: Fit | None) -> list[str]:
    """The number to quote and what it is made of; every number in it stands in a table, written the same way."""
    if summary.headline is None or summary.against is None or summary.precision is None:
        return [*summary.sentences(), *summary.warnings]
    cells = {row["label"]: row for row in summary.along("destination")}
    reference = summary.against.reference
    total = float(reference.middle(summary.total(reference), summary.centre))
    return [
        summary.headline.sentence,
        f"{reference.title} has {count(total)} departures in these years; the difference is "
        f"{signed(cells['china']['difference'])} to China and {signed(cells['elsewhere']['difference'])} to other "
        "countries.",
        f"{summary.headline.grounds} How far fear outlasts a policy is not in the data, and this is a difference of "
        "the model, not a causal estimate.",
        *filter(None, [acts_through(fit, summary.results.manifest["scenario"], summary.results.labels)]),
        *summary.warnings,
    ]


def _precision_tables(others: Sequence[Summary]) -> list[Table]:
    """The difference with what it rests on, and how well its mean is known: two tables that fit a printed page."""
    answers, means = [], []
    for summary in others:
        precision, headline = summary.precision, summary.headline
        if precision is None or headline is None or summary.against is None:
            continue
        row, reference = precision_row(precision), summary.against.reference
        total = float(reference.middle(summary.total(reference), summary.centre))
        paired, unpaired = (row[f"members_needed_{name}"] for name in ("for_5_percent", "unpaired"))
        answers.append(
            {
                "scenario": summary.results.title, "years": in_years(headline.years),
                "departures under the reference": count(total),
                f"difference, {headline.statistic}": signed(headline.value),
                "90%": interval(headline.low, headline.high, signed),
                **{f"rests on {name}": f"{share:.0%}" for name, share in headline.carries.items()},
                **({"told by priors alone": f"{headline.priors[ALL_PRIORS]:.0%}"} if headline.priors else {}),
            }
        )  # fmt: skip
        means.append(
            {
                "scenario": summary.results.title, "members": f"{headline.members}",
                "mean known to within": _or_dash(precision.half_width, count),
                "variance, paired": _or_dash(precision.variance, count),
                "unpaired": _or_dash(precision.unpaired_variance, count),
                "ratio": f"{row['variance_ratio']:.1f}" if row["variance_ratio"] else "-",
                "members for 5%": f"{paired:,}" if paired else "-",
                "unpaired for 5%": f"{unpaired:,}" if unpaired else "-",
            }
        )  # fmt: skip
    rests = "Rests on: shares of the variance of the difference over members."
    pairing = "Both worlds have the same people with the same luck. 5%: the mean to within 5% of itself, 90% sure."
    return [
        Table.of("The difference, and what it rests on", answers, rests),
        Table.of("How well the mean of the difference is known, with pairing and without", means, pairing),
    ]


def _or_dash(number: float, write: Callable[[float], str]) -> str:
    return "-" if math.isnan(number) else write(number)


def _axis_table(summary: Summary) -> Table:
    title = summary.results.title
    if summary.years is None or summary.against is None:
        return Table(f"{title} changes nothing", (), [])
    rows = [
        {
            "by": axis, "of": NAMES[row["label"]], summary.against.reference.title: count(row["reference"]),
            title: count(row["scenario"]), "difference": signed(row["difference"]),
            "90% of members": "unknown" if math.isnan(row["p05"]) else f"{signed(row['p05'])} to {signed(row['p95'])}",
        }
        for axis in ("destination", "field", "stage")
        for row in summary.along(axis)
    ]  # fmt: skip
    return Table.of(f"{title}, {in_years(summary.years)}: {summary.centre} departures", rows)


def _events(others: Sequence[Summary]) -> list[Section]:
    note = "Other chances: bdsim compare ... --chance OUTCOME=CHANCE."
    events = [Table.of_block(block) for summary in others for block in summary.event_blocks()]
    ranges = [Table.of_block(block) for summary in others for block in summary.assumption_blocks()]
    notes = [note] if events else []
    return [Section("What nobody knows", notes, tables=[*events, *ranges])] if events or ranges else []


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
    reasons = [part.get("why"), *(f"{key}: {known['why']}" for key, known in part.get("ranges", {}).items())]
    for outcome in part.get("outcomes", ()):
        reasons += [f"{outcome['name']}: {known['why']}" for known in outcome.get("ranges", {}).values()]
    why = "; ".join(str(reason) for reason in reasons if reason) or "not stated"
    files = [f"{name}.csv: {sources[name].cite}" for name in re.findall(r"(\w+)\.csv", why) if name in sources]
    assumed = re.search(r"assum", why, re.IGNORECASE)
    source = "; ".join(files) or "none: an assumption"
    if files and assumed:
        source += "; what goes beyond it is an assumption without a source"
    what = in_words(PARTS[kind.split(",")[0]].model_validate_json(json.dumps(part)))
    return {"part": kind, "name": str(part.get("name") or "-"), "what": what, "why": why, "source": source}


def _changes(runs: Sequence[Results], jobs: Sequence[Job | None]) -> list[Table]:
    """The yearly values that each scenario changes; none where its file is no longer what was run."""
    tables = []
    for results, job in zip(runs[1:], jobs[1:], strict=True):
        if job is None or jobs[0] is None:
            tables.append(Table(f"{results.title}: its file has changed since the run", (), []))
            continue
        rows = [
            {**({"branch": plan.branch.name} if len(job.plans) > 1 else {}), **row}
            for plan in job.plans
            for row in changed_values(jobs[0].plans[0].timeline, plan.timeline)
        ]
        same = f"{results.title}: no yearly value differs from the reference"
        differ = f"{results.title}: yearly values that differ from the reference"
        tables.append(Table.of(differ, rows) if rows else Table(same, (), []))
    return tables


def _three(number: float) -> str:
    """Three digits; what is next to nothing is nothing."""
    return f"{number:.3g}" if abs(number) >= 1e-6 else "0"


def _calibration(fit: Fit | None, known: Parameters) -> list[Section]:
    if fit is None:
        return [Section("Calibration", [UNFITTED])]
    m = fit.manifest
    rows = [
        {
            "parameter": known.label(r.parameter), "name": r.parameter, "most probable": _three(r.mode),
            "90%": f"{_three(r.p05)} to {_three(r.p95)}", "prior": f"{r.prior_mean:.3g} ± {r.prior_sd:.2g}",
            "verdict": r.verdict, "unit": r.unit,
        }
        for r in fit.table.itertuples()
    ]  # fmt: skip
    targets = pd.read_csv(fit.path / "targets.csv")
    facts = [
        {
            "fact": r.label, "role": r.role.replace("_", " "), "observed": plain(r.fact), "model": plain(r.median),
            "90%": f"{plain(r.p05)} to {plain(r.p95)}", "residual, errors": f"{r.residual:+.1f}",
        }
        for r in targets.itertuples()
    ]  # fmt: skip
    share = m["share_of_scrutiny_in_departures"]
    prose = [
        f"Fit '{fit.name}': {m['statement']} Share of scrutiny in the departures of "
        f"{share['years'][0]}-{share['years'][1]}: {share['median']:.0%} "
        f"[{share['p05']:.0%}, {share['p95']:.0%}]: {m['caveat']}.",
    ]
    return [
        Section("What the data can and cannot identify", prose, points=[*m["identifiability"], *m["warnings"]],
                tables=[Table.of("Parameters: prior, posterior, and whether the data inform them", rows)]),
        Section("Calibration quality", tables=[Table.of("Every fact, fitted or held out, beside the model", facts)]),
        *_validation(fit),
    ]  # fmt: skip


def _validation(fit: Fit) -> list[Section]:
    """Published effects beside the model, where `bdsim validate` has kept them with the fit."""
    table = fit.validation
    if table is None:
        return []
    known = table[table["median"].notna()]
    rows = [
        {
            "what": r.what,
            "published": "" if pd.isna(r.published) else f"{r.published:g}",
            "range": bounds(r.low, r.high),
            "model": f"{r.median:.3g}", "90%": f"{r.p05:.3g} to {r.p95:.3g}",
            "agree": "" if pd.isna(r.agrees) else "yes" if str(r.agrees) == "True" else "no", "note": r.note,
        }
        for r in known.itertuples()
    ]  # fmt: skip
    caption = "Published effects beside what the model implies; none was fitted as a series"
    return [Section("Validation", tables=[Table.of(caption, rows, AGREE)])]


def _cited(comparison: Comparison, known: Coverage) -> str:
    """The program, the runs, and whoever published the departures that they are fitted to."""
    runs = ", ".join(r.mark for r in comparison.all)
    return f"{citation(comparison.reference.manifest)}. Runs: {runs}. Facts: {known.departures.credit}."


def _provenance(comparison: Comparison) -> Table:
    m = comparison.reference.manifest
    rows = [{"what": f"run of {r.title}", "value": r.mark} for r in comparison.all]
    rows += [
        {"what": name.replace("_", " "), "value": str(m[name])}
        for name in ("members", "seed", "researchers_per_agent", "engine", "horizon", "uncertainty", "program")
    ]
    rows.append({"what": "fit", "value": f"{m['fit']['name']} ({m['fit']['fingerprint']})" if m["fit"] else "none"})
    if comparison.reference.held:
        rows.append({"what": "held at a value (--set)", "value": comparison.reference.held})
    rows += [{"what": package, "value": version} for package, version in m["versions"].items()]
    rows += [{"what": f"{path} (SHA-256)", "value": digest[:16]} for path, digest in m["inputs"].items()]
    return Table.of("Provenance", rows)


def repeat_words(command: str, runs: Sequence[Results], years: Period | None = None) -> str:
    """The command line that makes these runs again and hands them to `command`: report or compare."""
    m = runs[0].manifest
    names = [r.manifest["scenario"]["name"] for r in runs]
    words: list[Any] = ["bdsim", command, *names, "--members", m["members"], "--seed", m["seed"]]
    words += ["--researchers-per-agent", m["researchers_per_agent"], "--horizon", m["horizon"], "--engine", m["engine"]]
    words += ["--fit", m["fit"]["name"] if m["fit"] else "none"]
    for name in m["parameters"]["held"]:
        words += ["--set", f"{name}={m['parameters']['values'][name]!r}"]
    for results in runs:
        for name, chance in results.manifest.get("reweighted", {}).items():
            words += ["--chance", f"{name}={chance!r}"]
    words += ["--years", f"{years[0]}-{years[1]}"] if years is not None else []
    return shlex.join(map(str, words))
