"""How functions are compiled: Numba, without the interpreter lock, with a disk cache that cannot go stale.

Numba's own cache watches the one file that holds a function; after an edit to rule.py it would silently run the
old rule inside the engine's loop. So the cache folder is named by a hash of every source that is compiled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
import platformdirs

from bdsim.model import draws, fates, maths, rule
from bdsim.model.engine import values  # noqa: F401 - what stands for others must be known before they are compiled
from bdsim.model.engine.inlining import inlined

__all__ = ["cache_folder", "compiled", "compiled_sources", "source_hash"]

F = TypeVar("F", bound=Callable[..., Any])
# No function makes an array, so none counts who refers to one; none is called from C.
OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}
MODEL = Path(__file__).parents[1]  # the package bdsim.model


def compiled_sources() -> list[Path]:
    """Every source of the model: what is compiled, and the constants that Numba freezes into it."""
    return sorted(MODEL.rglob("*.py"))


@cache
def source_hash() -> str:
    """16 hexadecimal digits that change when any compiled source, Numba or NumPy does."""
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__}".encode())
    for path in compiled_sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path:
    """Where this version's machine code is kept, for this user."""
    return Path(platformdirs.user_cache_dir("bdsim")) / "compiled" / source_hash()


def compiled(function: F) -> F:
    """Compile on first call; the result lives in `cache_folder()` and the lock is released while it runs."""
    kept = numba.config.CACHE_DIR
    try:  # Numba reads the setting while it decorates; other people's functions keep theirs.
        numba.config.CACHE_DIR = str(cache_folder())
        try:
            made = numba.njit(**OPTIONS, cache=True)(function)
        except RuntimeError:  # no writable cache folder: compile anew in each process
            made = numba.njit(**OPTIONS)(function)
    finally:
        numba.config.CACHE_DIR = kept
    return made  # type: ignore[no-any-return]  # Numba ships no types


for _function in (
    maths.exp, maths.log,
    draws.mix, draws.output, draws.unit,
    fates.fate_of,
    rule.stage_of, rule.feel, rule.hear, rule.may_be_offered, rule.offer_chance, rule.attraction, rule.on_visa,
    rule.retention, rule.shared, rule.weigh, rule.chances, rule.rings_after, rule.choose,
):  # fmt: skip
    inlined(_function)
