"""What made the results in a folder: its manifest, read back with the care that any file gets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bdsim.errors import ResultsError, UsageError, in_plain_words
from bdsim.files.text import is_there, parsed_json, read_text
from bdsim.model.categories import FIRST_YEAR, LAST_POSSIBLE_YEAR
from bdsim.runs.plan import FORMAT
from bdsim.study.scenario_file import ScenarioFile

__all__ = ["MANIFEST", "folder_of", "read_manifest"]

MANIFEST = "manifest.json"
LARGEST = 50_000_000  # bytes: of the largest run that is allowed, one to two million


class _Shape(BaseModel):
    """What must be in a manifest for anybody to read it; more may be."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _ScenarioShape(_Shape):
    name: str
    title: str
    question: str
    extends: str | None
    notes: str
    policy: list[Any]
    lever: list[Any]
    event: list[Any]

    @model_validator(mode="after")
    def is_a_scenario(self) -> _ScenarioShape:
        if Path(self.name).name != self.name or not self.name.isprintable():  # it names folders
            raise ValueError("its name is not a valid file name")
        parts = {key: getattr(self, key) for key in ("title", "question", "policy", "lever", "event")}
        ScenarioFile.model_validate_json(json.dumps(parts))
        return self


class _BranchShape(_Shape):
    name: str
    chance: float
    outcomes: list[str]


class _ParametersShape(_Shape):
    status: str
    note: str
    held: list[str]
    values: dict[str, float]
    units: dict[str, str]

    @model_validator(mode="after")
    def complete(self) -> _ParametersShape:
        if not set(self.held) | {"mainland_stem"} <= set(self.values):
            raise ValueError("a value is missing")
        return self


class _FitShape(_Shape):
    name: str
    fingerprint: str
    draws: str


class _RebuiltShape(_Shape):
    years: list[int]


class _ManifestShape(_Shape):
    fingerprint: str
    scenario: _ScenarioShape
    branches: list[_BranchShape] = Field(min_length=1)
    ways: str
    members: int
    failed: int
    seed: int
    researchers_per_agent: int = Field(ge=1)
    engine: str
    horizon: int = Field(ge=FIRST_YEAR, le=LAST_POSSIBLE_YEAR)
    parameters: _ParametersShape
    fit: _FitShape | None
    uncertainty: str
    rebuilt: dict[str, _RebuiltShape]
    history: str
    inputs: dict[str, str]
    program: str
    versions: dict[str, str] = Field(min_length=1)


def folder_of(path: Path | str) -> Path:
    """The folder that a caller names. Raises UsageError for what no path can be."""
    if not isinstance(path, str | os.PathLike) or "\0" in os.fsdecode(path):
        raise UsageError(f"{path!r} is not a path", where="folder")
    return Path(path)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What made the results in a folder. Raises ResultsError when it is not a results folder of this version."""
    try:
        if not is_there(folder / MANIFEST):
            raise ResultsError(f"is not a results folder (no {MANIFEST})", where=folder)
        manifest = parsed_json(read_text(folder / MANIFEST, ResultsError, LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{MANIFEST} cannot be read: {error}", where=folder) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ResultsError("was written by another version of bdsim", where=folder)
    try:
        _ManifestShape.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ResultsError(in_plain_words(first), where=folder / MANIFEST, place=place) from None
    return manifest
