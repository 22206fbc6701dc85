"""Whether a results folder is what was written, and whether running it again gives the same."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bdsim.errors import ResultsError, UsageError
from bdsim.files.durable import SEAL, hash_of
from bdsim.files.text import is_there, read_bytes
from bdsim.runs.ensemble import Progress, run_job, run_one
from bdsim.runs.manifest import MANIFEST, read_manifest
from bdsim.runs.parts import Failure
from bdsim.runs.plan import Job, Settings, manifest_of, plan_run
from bdsim.runs.results import Results
from bdsim.runs.workers import Workers
from bdsim.study.layout import Study
from bdsim.study.scenario import Scenario
from bdsim.study.scenario_file import ScenarioFile

__all__ = ["Reproduction", "job_of", "replayed", "reproduced", "verified"]

LARGEST_SEAL = 10_000_000  # bytes: a hundred thousand files


def verified(folder: Path) -> list[str]:
    """What is wrong with the files of a results folder, one line a file; nothing when all are as they were written.

    Tables are held against two records, the manifest and SHA256SUMS, so that a record that was touched is found too;
    figures against the SHA256SUMS beside them. Raises ResultsError when there is no results folder.
    """
    if not is_there(folder / MANIFEST):
        read_manifest(folder)  # says what is there instead
    sums, problems = _read_seal(folder)
    found = {name: _hash(folder / name) for name in sums}
    damaged = [name for name, digest in sums.items() if found[name] != digest]
    recorded = {} if MANIFEST in damaged else read_manifest(folder)["tables"]
    for name in damaged:
        if name == MANIFEST and found[name] is not None:
            problems.append(f"{name} is not what {SEAL} says; one of the two is not what was written")
        elif found[name] is not None and found[name] == recorded.get(name):
            problems.append(f"{SEAL} is not what was written (what it says of {name} is not what the manifest says)")
        else:
            problems.append(_damage(name, sums[name], found[name]))
    for name, digest in recorded.items():
        if name not in damaged and sums.get(name) != digest:
            was = _hash(folder / name) if name not in sums else found[name]
            problems.append(f"{SEAL} lacks {name}" if was == digest else _damage(name, digest, was))
    known = {SEAL, *sums, *recorded}
    problems += [
        f"{p.name} is not in {SEAL}" for p in sorted(folder.iterdir()) if p.name not in known and not p.is_dir()
    ]
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        problems += [f"{below.name}/{line}" for line in _unsealed(below)]
    return problems


def _unsealed(folder: Path) -> list[str]:
    """What is wrong with a folder that has no record beside its list of hashes: file and list disagree."""
    sums, problems = _read_seal(folder)
    for name, digest in sums.items():
        if _hash(folder / name) is None:
            problems.append(f"{name} is missing, or {SEAL} is not what was written")
        elif _hash(folder / name) != digest:
            problems.append(f"{name} is not what {SEAL} says; one of the two is not what was written")
    there = {path.name for path in folder.iterdir()} - {SEAL}
    return problems + [f"{name} is not in {SEAL}" for name in sorted(there - set(sums))]


def _damage(name: str, was: str, found: str | None) -> str:
    if found is None:
        return f"{name} is missing"
    return f"{name} is not what was written (SHA-256 {found[:16]}, was {was[:16]})"


def _hash(path: Path) -> str | None:
    return hash_of(path) if path.is_file() else None


def _read_seal(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The hashes of a folder's files by name, and what is wrong with the list itself."""
    try:
        *lines, rest = read_bytes(folder / SEAL, ResultsError, LARGEST_SEAL).decode("utf-8").split("\n")
    except ResultsError as error:
        return {}, [f"{SEAL}: {error.problem}"]
    except UnicodeDecodeError:
        return {}, [f"{SEAL} is not what was written (not plain text)"]
    lines += [rest] if rest else []
    entries = [re.fullmatch(r"([0-9a-f]{64})  ([^/\0]+)", line) for line in lines]
    problems = [f"{SEAL} is not what was written (line {i})" for i, e in enumerate(entries, start=1) if e is None]
    return {entry[2]: entry[1] for entry in entries if entry is not None}, problems


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
        raise ResultsError(error.errors()[0]["msg"], where=MANIFEST, place=f"scenario.{place}") from None
    scenario = Scenario(
        plain["name"], study.scenarios / f"{plain['name']}.toml", study, plain["title"], plain["question"],
        plain["notes"], plain["extends"], tuple(parts.policy), tuple(parts.lever), tuple(parts.event),
    )  # fmt: skip
    names = ("members", "seed", "researchers_per_agent", "engine", "horizon")
    held = {name: manifest["parameters"]["values"][name] for name in manifest["parameters"]["set_by_hand"]}
    fit = manifest["fit"]["name"] if manifest["fit"] else "none"
    return plan_run(scenario, Settings(*(manifest[name] for name in names)), held, fit)


def reproduced(
    folder: Path, study: Study, *, workers: Workers | None = None, progress: Progress | None = None
) -> Reproduction:
    """Run a results folder's manifest again, aside, and compare every table to the byte. Raises ResultsError."""
    manifest = read_manifest(folder)
    job = job_of(manifest, study)
    with tempfile.TemporaryDirectory() as name:
        again = Path(name) / "again"
        run_job(job, folder=again, workers=workers, progress=progress)
        hashes = read_manifest(again)["tables"]
    differing = [table for table, digest in manifest["tables"].items() if hashes.get(table) != digest]
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
