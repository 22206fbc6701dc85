"""How functions are compiled: Numba, without the interpreter lock, with a disk cache that cannot go stale.

Numba's own cache watches the one file that holds a function; after an edit to rule.py it would silently run the
old rule inside the engine's loop. So the cache folder is named by a hash of every source that is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

from bdsim.model import draws, fates, maths, rule
from bdsim.model.engine import values  # noqa: F401 - what stands for others must be known before they are compiled
from bdsim.model.engine.inlining import Compiled, inlined
from bdsim.model.machine_code import cache_folder

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., Any])
# No function makes an array, so none counts who refers to one; none is called from C.
OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True, "pipeline_class": Compiled}


class _MachineCode(FunctionCache):  # type: ignore[misc]  # Numba ships no types
    """Numba's cache, which would first import everything that Numba can compile; what is made already needs none."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def compiled(function: F) -> F:
    """Compile on first call; the result lives in `cache_folder()` and the lock is released while it runs."""
    made = numba.njit(**OPTIONS)(function)
    kept = numba.config.CACHE_DIR
    try:  # Numba reads the setting when a cache is made; other people's functions keep theirs.
        numba.config.CACHE_DIR = str(cache_folder())
        made._cache = _MachineCode(function)
    except RuntimeError:  # no writable cache folder: compile anew in each process
        pass
    finally:
        numba.config.CACHE_DIR = kept
    return made  # type: ignore[no-any-return]  # Numba ships no types


for _function in (
    maths.exp, maths.log, maths.mean_decay,
    draws.mix, draws.short_output,
    fates.fate_of,
    rule.stage_of, rule.feel, rule.hear, rule.may_be_offered, rule.offer_chance, rule.attraction, rule.on_visa,
    rule.retention, rule.shared, rule.weigh, rule.chances, rule.rings_after, rule.choose,
):  # fmt: skip
    inlined(_function)
