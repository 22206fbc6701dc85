"""Whether a results folder is what was written, and whether running it again gives the same."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bdsim.errors import ResultsError, UsageError, in_plain_words
from bdsim.files.durable import SEAL, hash_of, signed
from bdsim.files.text import is_there, read_bytes
from bdsim.runs.ensemble import Progress, run_job, run_one
from bdsim.runs.plan import Job, Settings, manifest_of, plan_run
from bdsim.runs.results import Results
from bdsim.runs.store.manifest import MANIFEST, read_manifest
from bdsim.runs.store.parts import Failure
from bdsim.runs.workers import Workers
from bdsim.study.layout import Study
from bdsim.study.scenario import Scenario
from bdsim.study.scenario_file import ScenarioFile

__all__ = ["Reproduction", "job_of", "replayed", "reproduced", "verified"]

LARGEST_SEAL = 10_000_000  # bytes: a hundred thousand files


def verified(folder: Path) -> list[str]:
    """What is wrong with the files of a results folder, one line a file; nothing when all are as they were written.

    Each folder's files are held against its SHA256SUMS, and that against its own first line. Raises ResultsError when
    there is no results folder.
    """
    if not (is_there(folder / MANIFEST) and is_there(folder / SEAL)):
        read_manifest(folder)  # says what is there instead
    return _problems(folder)


def _problems(folder: Path) -> list[str]:
    try:
        sums = hashes_in(folder)
    except ResultsError as error:
        problems = [f"{SEAL}: {error.problem}"]
    else:
        found = {name: hash_of(folder / name) if (folder / name).is_file() else None for name in sums}
        problems = [_damage(name, sums[name], now) for name, now in found.items() if now != sums[name]]
        loose = (path for path in sorted(folder.iterdir()) if path.name not in {*sums, SEAL} and not path.is_dir())
        problems += [f"{path.name} is not in {SEAL}" for path in loose]
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        problems += [f"{below.name}/{line}" for line in _problems(below)]
    return problems


def _damage(name: str, was: str, found: str | None) -> str:
    if found is None:
        return f"{name} is missing"
    return f"{name} has changed since it was written (SHA-256 {found[:16]}, was {was[:16]})"


def hashes_in(folder: Path) -> dict[str, str]:
    """The hashes that a folder's SHA256SUMS gives, by file. Raises ResultsError when it is not what was written."""
    text = read_bytes(folder / SEAL, ResultsError, LARGEST_SEAL).decode("utf-8", "surrogateescape")
    _, _, lines = text.partition("\n")
    if text != signed(lines):
        raise ResultsError("has changed since it was written", where=folder / SEAL)
    return {line[66:]: line[:64] for line in lines.split("\n") if line}


@dataclass(frozen=True)
class Reproduction:
    """A run made again from its manifest: which files differ, and what is not as it was then."""

    differing: list[str]
    changed: list[str]  # versions, inputs, program or fit, in words

    @property
    def same(self) -> bool:
        return not self.differing


def job_of(manifest: Mapping[str, Any], study: Study) -> Job:
    """The run that a manifest describes, worked out from the manifest, the study's facts and its fits.

    Raises InputError of the file at fault.
    """
    plain = manifest["scenario"]
    try:
        parts = ScenarioFile.model_validate_json(
            json.dumps({key: plain[key] for key in ("title", "question", "policy", "lever", "event")})
        )
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise ResultsError(in_plain_words(error.errors()[0]), where=MANIFEST, place=f"scenario.{place}") from None
    scenario = Scenario(
        plain["name"], study.scenarios / f"{plain['name']}.toml", study, plain["title"], plain["question"],
        plain["notes"], plain["extends"], tuple(parts.policy), tuple(parts.lever), tuple(parts.event),
    )  # fmt: skip
    names = ("members", "seed", "researchers_per_agent", "engine", "horizon")
    held = {name: manifest["parameters"]["values"][name] for name in manifest["parameters"]["held"]}
    fit = manifest["fit"]["name"] if manifest["fit"] else "none"
    return plan_run(scenario, Settings(*(manifest[name] for name in names)), held, fit)


def reproduced(
    folder: Path, study: Study, *, workers: Workers | None = None, progress: Progress | None = None
) -> Reproduction:
    """Run a results folder's manifest again, aside, and compare every table to the byte. Raises ResultsError."""
    manifest, was = read_manifest(folder), hashes_in(folder)
    job = job_of(manifest, study)
    with tempfile.TemporaryDirectory() as name:
        again = Path(name) / "again"
        run_job(job, folder=again, workers=workers, progress=progress)
        now = hashes_in(again)
    differing = [name for name in was if name != MANIFEST and now.get(name) != was[name]]
    return Reproduction(differing, _changed(manifest, manifest_of(job)))


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not as it was: versions of packages, the program's sources, the study's files, the fit."""
    said = [
        f"{package} was {version}, is {now['versions'].get(package)}"
        for package, version in then["versions"].items()
        if now["versions"].get(package) != version
    ]
    if then["program"] != now["program"]:
        said.append(f"bdsim's sources were {then['program']}, are {now['program']}")
    said += [f"{path} has changed" for path, digest in then["inputs"].items() if now["inputs"].get(path) != digest]
    if then["fit"] != now["fit"]:
        said.append(f"the fit was {then['fit']}, is {now['fit']}")
    if then["fingerprint"] != now["fingerprint"] and not said:
        raise ResultsError("the manifest does not describe a run of this study", where="reproduce")
    return said


def replayed(job: Job, results: Results, draw: int) -> str:
    """Run a member that failed once more, alone and by the parameters of its row: the traceback, or '' without one.

    Raises UsageError for a draw that did not fail.
    """
    rows = results.failures[results.failures["draw"] == draw]
    if not len(rows):
        there = ", ".join(map(str, sorted(set(results.failures["draw"])))) or "none"
        raise UsageError(f"{draw} did not fail; those that did: {there}", where="--draw")
    row = rows.iloc[0]
    plan = next(plan for plan in job.plans if plan.branch.name == row["branch"])
    own = replace(job, parameters=job.parameters.with_values(json.loads(row["parameters"])), fit=None)
    try:
        run_one(own, plan, draw)
    except Exception as error:
        return Failure.of(draw, error).traceback
    return ""
