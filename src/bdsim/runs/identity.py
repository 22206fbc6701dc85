"""What a run is: everything that determines its numbers, and nothing that does not.

Whatever reads back, resumes or pairs runs asks here first. Titles, reasons and paths do not count.
"""

from __future__ import annotations

import ast
import platform
from dataclasses import fields, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bdsim.errors import TargetError, UsageError, shown
from bdsim.files.digest import digest_of, digest_of_files
from bdsim.files.text import read_toml
from bdsim.model import machine_code
from bdsim.model.categories import FIRST_YEAR
from bdsim.model.engine.batch import MemberInputs
from bdsim.study.evidence import Evidence, load_evidence
from bdsim.study.fit import DEFAULT_FIT, Fit
from bdsim.study.history import History, rebuild_history
from bdsim.study.layout import Study
from bdsim.study.parameters import Parameters, load_parameters

if TYPE_CHECKING:
    from bdsim.runs.plan import Job
    from bdsim.runs.results import Results
    from bdsim.study.scenario import Plan

__all__ = [
    "Basis", "apart", "basis_of", "facts_digests", "fingerprint_of", "fit_remark", "history_digest", "own_digest",
    "packages", "program_hash", "sources_of", "versions",
]  # fmt: skip

PACKAGE = Path(__file__).parents[1]  # bdsim itself
DETERMINING = ("model", "study", "runs")  # the packages of bdsim whose sources determine numbers
FITTING = ("model", "study", "calibration")  # and those that determine a fit
NUMERIC = ("mesa", "numba", "numpy", "pandas", "pyarrow", "scipy")  # through which numbers pass
MOST_NAMED = 3  # of what a fit was made before; the rest are counted
PARAMETERS = "parameters.toml"
OTHERS = ("bdsim-migration", "pydantic")


def sources_of(*names: str) -> list[Path]:
    """The Python files of these packages of bdsim; what edits files of a study determines no number."""
    root = PACKAGE
    found = (path for name in names for path in (root / name).rglob("*.py"))
    return sorted(path for path in found if "editing" not in path.parts)


@cache
def program_hash() -> str:
    """16 hexadecimal digits of the sources that determine numbers, and of what compiles them."""
    return digest_of(machine_code.source_hash(), digest_of_files(sources_of(*DETERMINING)))


def packages() -> dict[str, str]:
    """The versions of the packages through which numbers pass."""
    return {name: _version(name) for name in NUMERIC}


def versions() -> dict[str, str]:
    """Of Python and of the packages that a run passes through."""
    return {"python": platform.python_version(), **packages()} | {name: _version(name) for name in OTHERS}


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def fingerprint_of(job: Job) -> str:
    """12 hexadecimal digits of everything that determines the numbers of a run."""
    held = {name: job.parameters[name] for name in (*job.parameters.held, *job.held)}
    return digest_of(
        program_hash(), packages(), job.settings, job.parameters.values, held,
        job.fit.digest if job.fit is not None else None, history_digest(job.history), [_of_plan(p) for p in job.plans],
        [(a.name, str(a.range.plain() | {"why": ""})) for a in job.assumptions],
    )[:12]  # fmt: skip


def history_digest(history: History) -> str:
    """16 hexadecimal digits of history as the facts give it, without the words about what had to be rebuilt."""
    return digest_of({f.name: getattr(history, f.name) for f in fields(history) if f.name != "rebuilt"})


def _of_plan(plan: Plan) -> list[object]:
    """A branch without its words: its name, by which tables call it, its chance, and all else that its plan holds."""
    more = {f.name: getattr(plan, f.name) for f in fields(plan) if f.name != "branch"}
    return [plan.branch.name, plan.branch.chance, more]


def own_digest(own: MemberInputs) -> str:
    """16 hexadecimal digits of what a member has of its own: behaviour, seed, and whatever else the engine is given."""
    return digest_of(list(own))


def facts_digests(evidence: Evidence) -> dict[str, str]:
    """A digest of the facts of each file, whatever the order of lines and columns."""
    return {name: digest_of(frozenset(rows)) for name, rows in sorted(evidence.facts.items())}


class Basis(BaseModel):
    """From what a fit was made, each thing by its name and digest: kept in the fit's manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    facts: dict[str, str]  # files that targets and history read
    targets: dict[str, str]
    parameters: dict[str, str]  # value, bounds and prior as parameters.toml has them
    sources: str
    code: str  # sources without comments and docstrings


def basis_of(study: Study, targets: Path | None = None) -> Basis:
    """From what a fit of this study would be made now. Raises InputError of the file at fault."""
    evidence, written = load_evidence(study), load_parameters(study.parameters)
    facts = facts_digests(evidence)
    path = targets or study.targets
    tables = read_toml(path, TargetError)
    read = {t["facts"]["file"] for t in tables["target"]} | _files_of_history(evidence, written)
    return Basis(
        facts={name: facts[name] for name in sorted(read)},
        targets={_name(path, study): _of_targets(path)},
        parameters={name: _of_parameter(written, name) for name in written},
        sources=_fit_sources(),
        code=_code(),
    )


def fit_remark(fit: Fit, study: Study, evidence: Evidence, written: Parameters) -> str:
    """One sentence when a fit was made from other things than those in use, with what to do about it; else ''."""
    try:
        basis = Basis.model_validate(fit.manifest.get("basis"))
    except ValidationError:
        return f"the fit '{fit.name}' does not say from what it was made; {_again(fit)}"
    facts = facts_digests(evidence)
    changed = [f"{name}.csv" for name, digest in basis.facts.items() if facts.get(name) != digest]
    changed += [name for name, digest in basis.targets.items() if _of_targets(study.root / name) != digest]
    changed += [
        f"{name} in {study.parameters.name}"
        for name, digest in basis.parameters.items()
        if _of_parameter(written, name) != digest
    ]
    changed += ["the program"] if basis.sources != _fit_sources() and basis.code != _code() else []
    if not changed:
        return ""
    more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
    return f"the fit '{fit.name}' was made before {', '.join(changed[:MOST_NAMED])}{more} changed; {_again(fit)}"


def _files_of_history(evidence: Evidence, written: Parameters) -> set[str]:
    """The files of facts that history is rebuilt from."""
    asked: set[str] = set()

    class Noting(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            asked.add(name)
            return super().__getitem__(name)

    rebuild_history(replace(evidence, facts=Noting(evidence.facts)), FIRST_YEAR, written["past_growth"])
    return asked


def _of_parameter(written: Parameters, name: str) -> str:
    if name not in written.entries:
        return ""
    return digest_of(written.entries[name].model_dump(mode="json", include={"value", "bounds", "prior"}))


def _of_targets(path: Path) -> str:
    """A digest of targets without their reasons; '' if there is no file."""
    if not path.is_file():
        return ""
    tables = read_toml(path, TargetError)
    return digest_of([{k: v for k, v in t.items() if k != "why"} for t in tables.get("target", [])])


def _name(path: Path, study: Study) -> str:
    return path.relative_to(study.root).as_posix() if path.is_relative_to(study.root) else str(path.absolute())


def _again(fit: Fit) -> str:
    name = "" if fit.name == DEFAULT_FIT else f" --name {fit.name}"
    return f"to fit anew: bdsim calibrate{name}; to run on {PARAMETERS}: --fit none"


@cache
def _fit_sources() -> str:
    return digest_of(machine_code.source_hash(), digest_of_files(sources_of(*FITTING)))


@cache
def _code() -> str:
    """A digest of sources without comments and docstrings: dear, and asked for only where their bytes differ."""
    return digest_of([_bare(path.read_bytes()) for path in sources_of(*FITTING)])


def _bare(source: bytes) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree).replace(", type_params=[]", "")  # which Python 3.12 adds


_LUCK = {"mesa": "compiled"}  # engines with the luck, and the digits, of another


def apart(one: Results, other: Results) -> str:
    """What keeps two runs from being paired, which of them is old, and what removes the obstacle; '' for nothing.

    Paired members must have been given the same, whatever it is called: people, facts, and what each has of its own.
    The two engines in double precision take the same decisions, so which of them ran does not matter.
    """
    a, b = (r.manifest | {"engine": _LUCK.get(r.manifest["engine"], r.manifest["engine"])} for r in (one, other))
    both = f"'{one.name}' and '{other.name}'"
    for key in ("seed", "researchers_per_agent", "horizon", "engine"):
        if a[key] != b[key]:
            return f"{both} differ in {key}, {a[key]} against {b[key]}; run both with the same"
    if a["program"] != b["program"] or any(a["versions"].get(name) != b["versions"].get(name) for name in packages()):
        old = [r for r in (one, other) if not _is_of_this_program(r)] or [_older(one, other)]
        return f"{both} were run by two versions of the program; {' and '.join(map(_run_again, old))}"
    if a["history"] != b["history"]:
        return f"{both} rest on different facts; {_run_again(_older(one, other))}"
    return _members_apart(one, other)


def check_reference(name: str, ways: int, where: str) -> None:
    """Raise UsageError where a reference goes several ways through events: nobody could be paired with it."""
    if ways > 1:
        raise UsageError(f"'{name}' branches; a reference must not", where=where)


def _members_apart(one: Results, other: Results) -> str:
    """As `apart`, of parameters: those of the centre, and all that each member was given."""
    both = f"'{one.name}' and '{other.name}'"
    fits = [r.manifest["fit"] or {"name": "none", "draws": ""} for r in (one, other)]
    owns = [dict(zip(r.members["draw"], r.members["own"], strict=True)) for r in (one, other)]
    different = [draw for draw, own in owns[1].items() if owns[0].get(draw, own) != own]
    if different and fits[0]["name"] != fits[1]["name"]:
        return f"{both} draw from two fits, '{fits[0]['name']}' and '{fits[1]['name']}'; run both with the same --fit"
    if different and fits[0]["draws"] != fits[1]["draws"]:
        return f"{both} draw from two states of the fit '{fits[0]['name']}'; {_run_again(_older(one, other))}"
    ours, theirs = (r.manifest["parameters"] for r in (one, other))
    for name, value in ours["values"].items():
        by_hand = bool(different) and (name in ours["held"]) != (name in theirs["held"])
        if value != theirs["values"].get(name) or by_hand:
            said = [f"{p['values'].get(name)}{' held' if name in p['held'] else ''}" for p in (ours, theirs)]
            return f"{both} differ in {name}: {said[0]} against {said[1]}; run both with the same --set"
    if different:
        old = _run_again(_older(one, other))
        return f"{both} have members of different parameters (first: draw {different[0]}); {old}"
    return ""


def _is_of_this_program(results: Results) -> bool:
    of_now = packages()
    return results.manifest["program"] == program_hash() and all(
        results.manifest["versions"].get(name) == version for name, version in of_now.items()
    )


def _older(one: Results, other: Results) -> Results:
    """The run whose folder was written first; one in memory is the newer."""
    written = [(r.folder / "members.parquet").stat().st_mtime if r.folder else float("inf") for r in (one, other)]
    return one if written[0] <= written[1] else other


def _run_again(results: Results) -> str:
    """What to do about an old run."""
    if results.folder is None:
        return f"run '{results.name}' again"
    return f"'{results.name}' is the older: remove {shown(results.folder)} and run it again"
