"""What a fuzzed file must come to, for fuzz/fuzz_loaders.py and test_fuzz_corpus.py: an answer or one line, soon.

An input is the content of a loader's own file. From a line `=== NAME` on it is that of another file in the same
folder, so that one input can spoil several: both tables of a fit, or a scenario with what it extends.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bdsim.calibration.target_file import load_targets
from bdsim.calibration.targets import standardised, yearly_to_china
from bdsim.errors import InputError
from bdsim.files.text import all_readable
from bdsim.runs.results import Results, read_manifest
from bdsim.study.editing.draft import Draft
from bdsim.study.evidence import load_evidence
from bdsim.study.fit import load_fit
from bdsim.study.history import observed_departures, rebuild_history
from bdsim.study.layout import create_study
from bdsim.study.parameters import as_markdown, load_parameters
from bdsim.study.scenario import resolve
from bdsim.study.scenario_file import parse_scenario, read_content

__all__ = ["CORPUS", "FILES", "Fuzzed", "shape"]

CORPUS = Path(__file__).parent / "fuzz" / "corpus"
SECOND = 1.0
FILES = {
    "scenario": "scenarios/fuzzed.toml",
    "draft": "scenarios/fuzzed.toml",
    "parameters": "calibration/parameters.toml",
    "targets": "calibration/targets.toml",
    "sources": "calibration/sources.toml",
    "evidence": "calibration/evidence/doctorates.csv",
    "fit": "calibration/fitted/default/manifest.json",
    "manifest": "results/fuzzed/manifest.json",
}
ANOTHER_FILE = re.compile(rb"^=== ([\w.-]+)\n", re.MULTILINE)
TYPED = ("2030-01-20", "1", "x, y", "", None, "multiply", [1.0], True)  # what somebody may put into a form


class Fuzzed:
    """A study in a new folder whose files are spoilt by one input, asked for an answer, and mended."""

    def __init__(self, folder: Path, loader: str) -> None:
        folder.mkdir(exist_ok=True)
        self.study = create_study(folder / loader)
        fitted = self.study.fitted / "default"  # its first five draws: all 400 would take most of the time
        draws, shocks = pd.read_csv(fitted / "draws.csv", dtype=str), pd.read_csv(fitted / "shocks.csv", dtype=str)
        draws[:5].to_csv(fitted / "draws.csv", index=False)
        shocks[shocks["draw"].astype(int) < 5].to_csv(fitted / "shocks.csv", index=False)
        self.path = self.study.root / FILES[loader]
        self.path.parent.mkdir(exist_ok=True)
        self.path.touch()
        self.whole = {p.name.encode(): p.read_bytes() for p in self.path.parent.iterdir() if p.is_file()}
        self.known = load_parameters(self.study.parameters)
        self.facts = load_evidence(self.study)
        self.history = rebuild_history(self.facts, 2035, self.known["past_growth"])
        self.ask: Callable[[], None] = getattr(self, loader)

    def said(self, content: bytes) -> str:
        """The one line that is said of an input; '' where it is fine. Raises AssertionError, or what got through."""
        first, *others = ANOTHER_FILE.split(content)
        spoilt = {self.path.name.encode(): first} if first or not others else {}
        spoilt |= {name: text for name, text in zip(others[::2], others[1::2], strict=True) if name in self.whole}
        self._write(spoilt)
        started, said = time.process_time(), ""  # other processes are no fault of the loader
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # one would stand on the terminal beside the answer
                self.ask()
        except InputError as error:
            said = str(error)
            assert said and said.isprintable(), repr(said)
        finally:
            took = time.process_time() - started
            self._write({name: self.whole[name] for name in spoilt})
        assert took < SECOND, f"took {took:.1f} s"
        return said

    def _write(self, contents: dict[bytes, bytes]) -> None:
        for name, content in contents.items():
            (self.path.parent / name.decode()).write_bytes(content)

    # --- the loaders, each with what is asked of every answer ------------------------------------------------

    def scenario(self) -> None:
        found = resolve(parse_scenario(read_content(self.path), self.path), self.path, self.study)
        chances = sum(branch.chance for branch in found.branches())
        assert abs(chances - 1.0) < 1e-6, chances
        found.plans(self.history)
        json.dumps(found.plain(), allow_nan=False)

    def draft(self) -> None:
        """A draft keeps every byte, is told of the loader's mistakes, and stays one whatever is done to it."""
        content = read_content(self.path)
        draft = Draft.open(self.path, self.study)
        assert draft.content == content
        told = draft.problems()
        try:
            draft.scenario()
            assert not told, told
        except InputError as error:
            assert told, str(error)
        luck = zlib.crc32(content)
        for step in range(2):
            places = draft.places()
            place, value = places[(luck >> step) % len(places)], TYPED[(luck >> 4 * step) % len(TYPED)]
            kind = ("policy", "lever", "event", "outcomes")[(luck >> 9) % 4]
            with contextlib.suppress(InputError):
                draft.set(place, value)
            with contextlib.suppress(InputError):
                draft.add(kind, place if luck & 1 << 12 else None) if luck & 1 << 13 else draft.remove(place)
        for problem in draft.problems():
            assert problem.message.isprintable(), problem
        draft.head(), draft.parts()
        for place in draft.places()[::7]:  # all of them would take most of the time
            draft.value(place)

    def parameters(self) -> None:
        found = load_parameters(self.path)
        found.behaviour(), found.settled_per_doctorate(), all_readable(as_markdown(found))
        assert min(found.field_shares()) >= 0.0 and found.funding_lag() >= 0
        rebuild_history(self.facts, 2035, found["past_growth"])
        observed_departures(self.facts, found["mainland_stem"])

    def targets(self) -> None:
        found = load_targets(self.path, self.facts, self.known)
        yearly_to_china(found), all_readable([text for target in found for text in (target.label, target.why)])
        for target in found:
            standardised(target, 0.0), standardised(target.held_out_after(2015), 1e9)

    def sources(self) -> None:
        found = load_evidence(self.study)
        all_readable([source.model_dump() for source in found.sources.values()])

    def evidence(self) -> None:
        facts = load_evidence(self.study)
        all_readable([row.model_dump() for rows in facts.facts.values() for row in rows])
        rebuild_history(facts, 2035, self.known["past_growth"])
        observed_departures(facts, self.known["mainland_stem"])

    def fit(self) -> None:
        fit = load_fit(self.study, "default", self.known)
        self.known.with_values(fit.member(1))
        fit.centre(self.known).behaviour()
        assert len(fit.digest) == 16
        all_readable([fit.manifest, list(fit.table["parameter"])])

    def manifest(self) -> None:
        none = pd.DataFrame()
        run = Results(read_manifest(self.path.parent), none, none, ())
        all_readable(run.manifest)
        assert all(isinstance(text, str) for text in (run.name, run.title, run.fingerprint, run.held))
        assert len(run.years) >= 1


def shape(said: str) -> str:
    """What is said and where, without names and numbers: the same for the same mistake elsewhere in a file."""
    told = said.rpartition(": ")[2] if "unknown" in said else said.partition(": ")[2]
    return re.sub(r"'.*?'|[\d.,]+", "", told)[:60]
