"""Scenarios run in memory and compared: what `bdsim compare` would say of them, number by number. Knows no page."""

from __future__ import annotations

import shlex
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bdsim.analysis.comparison import Comparison, compare
from bdsim.errors import InputError, UsageError, did_you_mean
from bdsim.reporting.figures.runs import COMPARISON_FIGURES, comparison_drawing
from bdsim.reporting.page import picture
from bdsim.reporting.report import UNFITTED, caveats, report_page
from bdsim.reporting.sentences import Block
from bdsim.reporting.style import Drawing, save_drawing
from bdsim.reporting.summary import Summary, fit_of, observed, priors_of, summaries
from bdsim.runs.ensemble import run_job
from bdsim.runs.plan import Job, Settings, manifest_of, plan_run
from bdsim.runs.results import Results
from bdsim.runs.workers import Workers
from bdsim.study import DEFAULT_HORIZON
from bdsim.study.editing.draft import Draft
from bdsim.study.evidence import coverage_of, load_evidence
from bdsim.study.fit import NO_FIT, chosen_fit
from bdsim.study.layout import Study
from bdsim.study.parameters import load_parameters
from bdsim.study.remarks import remarks
from bdsim.study.scenario import Scenario, load_scenario
from bdsim.study.scenario_file import parse_scenario, read_scenario_file

__all__ = ["FIGURES", "NUMBERS", "Choices", "Compared", "Worlds"]

FIGURES = {
    "departures": "Departures with bands",
    "difference": "Difference from the reference",
    "destination": "Destination",
    "field": "By field",
    "stage": "By career stage",
    "cumulative": "Added up",
}
assert tuple(FIGURES) == COMPARISON_FIGURES
NUMBERS = ("members", "researchers_per_agent", "horizon", "seed")
MOST_KEPT = 40  # runs in memory; one of 16 members at 50 researchers an agent takes a few megabytes
DRAWING = threading.Lock()  # Matplotlib's style belongs to the whole process


@dataclass(frozen=True)
class Choices:
    """What is compared, and how: the arguments of `bdsim compare`."""

    reference: str = "baseline"
    others: tuple[str, ...] = ("initiative-revival",)
    members: int = 16
    researchers_per_agent: int = 50
    horizon: int = DEFAULT_HORIZON
    seed: int = 0
    fit: str = ""  # empty: the study's default, as without --fit

    @property
    def names(self) -> tuple[str, ...]:
        return (self.reference, *self.others)

    @property
    def settings(self) -> Settings:
        return Settings(self.members, self.seed, self.researchers_per_agent, "compiled", self.horizon)

    @property
    def command(self) -> str:
        """The command line that compares the same; inside the study."""
        words = ["bdsim", "compare", *self.names, "--members", str(self.members), "-k", str(self.researchers_per_agent)]
        usual = Settings()
        for option, value, default in (("seed", self.seed, usual.seed), ("horizon", self.horizon, usual.horizon)):
            words += [f"--{option}", str(value)] if value != default else []
        return shlex.join([*words, *(["--fit", self.fit] if self.fit else [])])


@dataclass(frozen=True)
class Compared:
    """A comparison, with everything that is shown of it."""

    asked: Choices
    study: Study
    jobs: tuple[Job, ...]
    comparison: Comparison
    unsaved: str = ""  # the scenario that is a draft, which no file has yet
    _drawn: dict[str, Drawing] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def told(self) -> list[Summary]:
        """What each run says; of each, `plain()` is what `bdsim compare --json` says."""
        return summaries(self.comparison, None, priors_of(self.study, self.comparison.reference))

    @cached_property
    def tables(self) -> list[Block]:
        """The tables of `bdsim compare`."""
        return [block for summary in self.told for block in summary.blocks()]

    @property
    def sentences(self) -> list[str]:
        """The answer of each run, how sure it is and whom it changes, in words."""
        return [sentence for summary in self.told for sentence in summary.sentences()]

    @property
    def remarks(self) -> list[str]:
        """What its scenarios say that their authors may not have meant."""
        return [
            f"{job.scenario.name}: {remark}" for job in self.jobs for remark in remarks(job.plans, job.history.timeline)
        ]

    @property
    def failures(self) -> list[str]:
        """Which runs lack members, in words."""
        return [r.failures_in_words for r in self.comparison.all if len(r.failures)]

    @cached_property
    def caveats(self) -> list[str]:
        """What the comparison cannot tell, and what the data cannot identify: as in the report."""
        fit = fit_of(self.study, self.comparison.reference)
        found = [*fit.manifest["identifiability"], *fit.manifest["warnings"]] if fit else [UNFITTED]
        return [*caveats(coverage_of(load_evidence(self.study)), self.comparison.reference), *map(str, found)]

    def drawing(self, figure: str) -> Drawing:
        """A figure in the house style, drawn once."""
        with DRAWING:
            if figure not in self._drawn:
                seen = observed(self.study, self.comparison.reference)
                self._drawn[figure] = comparison_drawing(figure, self.comparison, seen)
            return self._drawn[figure]

    def svg(self, figure: str) -> str:
        """A figure for a page, its text escaped, its alternative text as its name."""
        drawing = self.drawing(figure)
        with DRAWING:
            return picture(drawing, f"scenarios-{figure}").svg

    def source(self, figure: str) -> str:
        """The small print of a figure: what is drawn, and where it comes from."""
        return " ".join(self.drawing(figure).figure.get_supxlabel().split())

    def files(self, figure: str) -> dict[str, bytes]:
        """The PNG, SVG and CSV of a figure by their endings, as the command line writes them."""
        drawing = self.drawing(figure)
        with tempfile.TemporaryDirectory() as folder, DRAWING:
            return {path.suffix: path.read_bytes() for path in save_drawing(drawing, Path(folder))}

    def report(self) -> str:
        """The page that `bdsim report` writes. Raises InputError of the study's files."""
        with DRAWING:
            return report_page(self.comparison, self.study, self.jobs)


class Worlds:
    """The scenarios of a study, run once for each set of settings and kept by fingerprint."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._runs: dict[str, Results] = {}
        self._running = threading.Lock()

    def names(self, draft: Draft | None = None) -> list[str]:
        """Every scenario that can be compared, the one being edited too."""
        return sorted({*self.study.scenario_names(), *([draft.path.stem] if draft is not None else [])})

    def asks(self, draft: Draft | None = None) -> dict[str, tuple[str, str]]:
        """Title and question of every scenario that can be compared, by name; of one that cannot be read, its name."""
        found = {}
        for name in self.names(draft):
            own = draft is not None and draft.path.stem == name
            try:
                path = self.study.scenarios / f"{name}.toml"
                said = parse_scenario(draft.content, path) if own and draft else read_scenario_file(path)
                found[name] = said.title, said.question
            except InputError:
                found[name] = name, "cannot be read"
        return dict(sorted(found.items(), key=lambda each: each[1][0].casefold()))

    def fits(self) -> list[str]:
        """The fits that the study has, and 'none'."""
        return [*self.study.fit_names(), NO_FIT]

    def checked(
        self, asked: Choices, typed: Mapping[str, Any], draft: Draft | None = None
    ) -> tuple[Choices, dict[str, str]]:
        """The settings with what somebody typed or chose, by field, and what is wrong with each that was not taken."""
        errors: dict[str, str] = {}
        for name in (f.name for f in fields(Choices) if f.name in typed):
            try:
                asked = replace(asked, **{name: self._value(name, typed[name], draft)})
            except InputError as error:
                errors[name] = error.problem
        return asked, errors

    def _value(self, name: str, given: Any, draft: Draft | None) -> Any:
        """One setting, checked as the command line does. Raises InputError."""
        if name in NUMBERS:
            text = str(given).strip()
            value: Any = int(text) if text.isascii() and text.lstrip("-").isdigit() and len(text) < 20 else str(given)
            Settings(**{name: value})
            return value
        if name == "fit":
            if given:
                chosen_fit(self.study, str(given), load_parameters(self.study.parameters))
            return str(given)
        names = [str(given)] if name == "reference" else [str(n) for n in given]
        known = self.names(draft)
        for one in names:
            if one not in known:
                raise UsageError(f"no scenario named '{one}'{did_you_mean(one, known)}")
        if not names:
            raise UsageError("nothing to compare with")
        return names[0] if name == "reference" else tuple(dict.fromkeys(names))

    def jobs(self, asked: Choices, draft: Draft | None = None) -> tuple[Job, ...]:
        """Every run, planned; the draft stands for the scenario whose name it has. Raises InputError."""
        return tuple(plan_run(self._scenario(n, draft), asked.settings, None, asked.fit or None) for n in asked.names)

    def _scenario(self, name: str, draft: Draft | None) -> Scenario:
        if draft is not None and draft.path.stem == name:
            return draft.scenario()
        return load_scenario(self.study.scenario_file(name), self.study)

    def compared(
        self,
        asked: Choices,
        draft: Draft | None = None,
        *,
        stop: threading.Event | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Compared:
        """Run what has not been run, and compare.

        `progress` hears the name of a run, its members done and all of them. Raises InputError as the command line
        would, MembersFailedError, and KeyboardInterrupt once `stop` is set: nothing of the run at work is kept then.
        """
        stop = stop or threading.Event()
        jobs = self.jobs(asked, draft)
        with self._running:  # two sessions of a page share cores as they share results
            runs = [self._run(job, stop, progress) for job in jobs]
        if stop.is_set():
            raise KeyboardInterrupt
        name = draft.path.stem if draft is not None else ""
        return Compared(asked, self.study, jobs, compare(runs[0], *runs[1:]), name if name in asked.names else "")

    def _run(self, job: Job, stop: threading.Event, progress: Callable[[str, int, int], None] | None) -> Results:
        """The results of a job, from memory where the same numbers were worked out before."""
        found = self._runs.pop(job.fingerprint, None)
        if found is None:
            name = job.scenario.name
            tell = (lambda done, total: progress(name, done, total)) if progress else None
            found = run_job(job, workers=Workers(stop=stop), progress=tell)
            if len(self._runs) >= MOST_KEPT:
                self._runs.pop(next(iter(self._runs)))
        self._runs[job.fingerprint] = found  # the newest last
        # The fingerprint is of numbers alone: titles and names may be others than when it was run.
        return found.described(manifest_of(job))
