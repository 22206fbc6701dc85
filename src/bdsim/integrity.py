"""Whether a results folder is what was written, and whether running it again gives the same."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bdsim.ensemble import Progress, run_job
from bdsim.errors import ResultsError
from bdsim.plan import Job, Settings, manifest_of, plan_run
from bdsim.results import hash_of, read_manifest
from bdsim.scenario import Scenario
from bdsim.scenario_file import ScenarioFile
from bdsim.study import Study
from bdsim.workers import Workers

__all__ = ["Reproduction", "job_of", "reproduced", "verified"]


def verified(folder: Path) -> list[str]:
    """What is wrong with the files of a results folder, one line a file; nothing when all are as they were written.

    Raises ResultsError when the folder has no manifest that can be read.
    """
    manifest = read_manifest(folder)
    problems = []
    for name, digest in manifest["tables"].items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif hash_of(path) != digest:
            problems.append(f"{name} is not what was written (SHA-256 {hash_of(path)[:16]}, was {digest[:16]})")
    return problems


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
    parts = ScenarioFile.model_validate_json(
        json.dumps({key: plain[key] for key in ("title", "question", "policy", "lever", "event")})
    )
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
