"""Machine code of the engine: where it is kept, whether it is at hand, and having another process make it.

A command asks for it before it imports anything dear, so this module imports neither Numba nor NumPy.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import platformdirs

__all__ = [
    "ENGINES",
    "SINGLE_WIDTH",
    "WIDTH",
    "Engine",
    "await_ahead",
    "cache_folder",
    "compile_ahead",
    "is_ahead",
    "is_compiled",
    "note_compiled",
    "source_hash",
]

WIDTH = 8  # members that run side by side, one to a lane of a register
SINGLE_WIDTH = 16  # the same in single precision
Engine = Literal["compiled", "mesa", "float32"]
# Members that are side by side. In float32 the rule is the same, but luck and rounding are not.
ENGINES = {"compiled": WIDTH, "mesa": WIDTH, "float32": SINGLE_WIDTH}
MODEL = Path(__file__).parent  # the package bdsim.model
_at_work: dict[tuple[int, bool], subprocess.Popen[bytes]] = {}  # that compile ahead: by width, and whether sampled


def compiled_sources() -> list[Path]:
    """Every source of the model: what is compiled, and the constants that Numba freezes into it."""
    return sorted(MODEL.rglob("*.py"))


@cache
def source_hash() -> str:
    """16 hexadecimal digits that change when any compiled source, Numba or NumPy does."""
    digest = hashlib.sha256(f"{version('numba')} {version('numpy')}".encode())
    for path in compiled_sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path:
    """Where this version's machine code is kept, for this user."""
    return Path(platformdirs.user_cache_dir("bdsim")) / "compiled" / source_hash()


def is_compiled(members: int = WIDTH, *, sampled: bool = True) -> bool:
    """Whether this user has the machine code that a run with so many members side by side needs."""
    return _trace(members, sampled).exists()


def note_compiled(members: int, *, sampled: bool) -> None:
    """Leave a trace that the machine code for this many members side by side is there."""
    trace = _trace(members, sampled)
    if trace.parent.exists() and not trace.exists():
        with contextlib.suppress(OSError):  # without a writable cache the "compiling" line is repeated
            trace.touch()


def _trace(members: int, sampled: bool) -> Path:
    """A file beside the machine code that says which of its variants are there."""
    return cache_folder() / f"{members}-{'sampled' if sampled else 'expected'}"


def compile_ahead(members: int = WIDTH, *, sampled: bool = True) -> None:
    """Have another process compile the year, the larger part, while this one reads files and builds people.

    It leaves the machine code where this one finds it. Where it fails, or nothing can be kept, this one compiles.
    """
    if (members, sampled) in _at_work or is_compiled(members, sampled=sampled):
        return
    folder, nowhere = cache_folder(), subprocess.DEVNULL
    program = "import gc; gc.disable(); from bdsim.model.engine.batch import compile_year; "
    program += f"compile_year({sampled}, {members})"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):  # -P: nothing that lies where the person stands is taken for a module
            _at_work[members, sampled] = subprocess.Popen(
                [sys.executable, "-P", "-c", program], stdin=nowhere, stdout=nowhere, stderr=nowhere
            )


def is_ahead(members: int = WIDTH, *, sampled: bool) -> bool:
    """Whether a process is at work that compiles ahead."""
    return (members, sampled) in _at_work and _at_work[members, sampled].poll() is None


def await_ahead(members: int = WIDTH, *, sampled: bool) -> None:
    """Wait for the process that compiles ahead."""
    _at_work[members, sampled].wait()
