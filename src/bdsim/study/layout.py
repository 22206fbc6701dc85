"""A study: a folder with scenarios/, calibration/ and results/, found by looking upwards, as git does."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bdsim.errors import StudyError, did_you_mean, shown
from bdsim.files.durable import new_folder

__all__ = ["Study", "create_study", "find_study"]

MARK = Path("calibration") / "parameters.toml"
SHIPPED = ("scenarios", "calibration", "results/README.md")


@dataclass(frozen=True)
class Study:
    """Where the files of one study are."""

    root: Path

    @property
    def scenarios(self) -> Path:
        return self.root / "scenarios"

    @property
    def evidence(self) -> Path:
        return self.root / "calibration" / "evidence"

    @property
    def sources(self) -> Path:
        return self.root / "calibration" / "sources.toml"

    @property
    def parameters(self) -> Path:
        return self.root / MARK

    @property
    def fitted(self) -> Path:
        return self.root / "calibration" / "fitted"

    @property
    def targets(self) -> Path:
        return self.root / "calibration" / "targets.toml"

    @property
    def results(self) -> Path:
        return self.root / "results"

    def scenario_names(self) -> list[str]:
        return sorted(path.stem for path in self.scenarios.glob("[!.]*.toml"))

    def fit_names(self) -> list[str]:
        """The fits that are finished; what an interrupted one keeps is hidden beside them."""
        return sorted(path.parent.name for path in self.fitted.glob("[!.]*/manifest.json"))

    def scenario_file(self, name: str) -> Path:
        """The file of a scenario named without folder or ending. Raises StudyError with the nearest name."""
        path = self.scenarios / f"{name}.toml"
        if not path.is_file():
            hint = did_you_mean(name, self.scenario_names())
            raise StudyError(f"no scenario named '{name}'{hint}", where=self.scenarios)
        return path


def find_study(start: Path | str | None = None) -> Study:
    """The study that `start` (a file or folder; default: where you stand) lies in. Raises StudyError."""
    here = Path(start).resolve() if start is not None else Path.cwd()
    for folder in (here, *here.parents):
        if (folder / MARK).is_file():
            return Study(folder)
    raise StudyError(
        f"no study here or in any folder above (a study has {MARK}); 'bdsim init DIR' writes one",
        where=here,
    )


def template() -> Path:
    """The study that bdsim ships: beside the sources in a checkout, inside the package in a wheel."""
    packaged = Path(__file__).parents[1] / "study_template"
    return packaged if packaged.is_dir() else Path(__file__).parents[3]


def shipped() -> list[Path]:
    """The files of the study that bdsim ships, as seen from its folder.

    In a checkout, which is a study to work in, they are those that git keeps: a scenario or a fit of one's own that
    is not committed is not shipped. Without git all files count.
    """
    root = template()
    try:
        listed = ["git", "-C", str(root), "ls-files", "-z", "--", *SHIPPED]
        names = subprocess.run(listed, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = []
    if not any(names):
        names = [str(path.relative_to(root)) for part in SHIPPED for path in _files(root / part)]
    return [Path(name) for name in sorted(names) if name and (root / name).is_file()]


def _files(path: Path) -> list[Path]:
    """A file, or all in a folder but hidden ones."""
    if path.is_file():
        return [path]
    return [p for p in path.rglob("*") if p.is_file() and not any(part[0] == "." for part in p.relative_to(path).parts)]


def create_study(folder: Path | str) -> Study:
    """Write a fresh study into `folder`, which must be new or empty.

    Raises StudyError when it is not, StorageError when it cannot be written; nothing is written then.
    """
    target = Path(folder).resolve()  # `.` has a name by which it can be replaced
    try:
        taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except OSError as error:  # a name that the file system refuses
        raise StudyError(f"cannot be made: {error.strerror}", where=shown(target)[:80]) from None
    if taken:
        raise StudyError("exists and is not an empty folder; choose a new one", where=shown(target))
    with new_folder(target) as aside:
        for file in shipped():
            (aside / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(template() / file, aside / file)
    return Study(target.resolve())
