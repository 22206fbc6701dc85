"""Functions that are only ever taken into others: typed and translated, but not made into machine code of their own.

Numba treats every function that another calls as if it were also called by itself: it optimises it, makes machine code
of it and a wrapper for C. The engine has a hundred small functions of which none is. Without all that, and with the
optimiser asked once for each function that is called from Python, compiling takes about half the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering
from numba.extending import overload, register_jitable

__all__ = ["inlined", "inlined_for"]

F = TypeVar("F", bound=Callable[..., Any])


class _Linked(JITCodeLibrary):  # type: ignore[misc]  # Numba ships no types
    """Instructions that wait for those who link them: they will be optimised there."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):  # type: ignore[misc]  # Numba ships no types
    """Numba's last pass without machine code; callers find the function by a stand-in that cannot be called."""

    _name = "lowering_to_be_inlined"

    def run_pass(self, state: Any) -> bool:
        flags, name = state.flags, state.func_id.func_qualname
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        state.library = _Linked(state.targetctx.codegen(), name)
        super().run_pass(state)
        lowered = state.cr
        stand_in = _dynfunc.make_function(lowered.fndesc.lookup_module(), name, "", 0, lowered.env, (state.library,))
        state.targetctx.insert_user_function(stand_in, lowered.fndesc, [state.library])
        state.cr = lowered._replace(cfunc=stand_in)
        return True


class _Inlined(Compiler):  # type: ignore[misc]  # Numba ships no types
    """Numba's compiler with that last pass."""

    def define_pipelines(self) -> list[PassManager]:
        (passes,) = super().define_pipelines()
        passes.passes = [(_Lowering if made_by is NativeLowering else made_by, why) for made_by, why in passes.passes]
        passes.finalize()
        return [passes]


_OPTIONS = {"forceinline": True, "pipeline_class": _Inlined}


def inlined(function: F) -> F:
    """Taken into the compiled functions that call it."""
    return register_jitable(**_OPTIONS)(function)  # type: ignore[no-any-return]  # Numba ships no types


def inlined_for(function: Any) -> Any:
    """What stands for a function in compiled code, chosen by the types of its arguments."""
    return overload(function, jit_options=_OPTIONS, strict=False)  # our lambdas bear no annotations
