"""Numba's compiler without what the engine has no use for, which is half of the time that compiling takes.

Numba treats every function that another calls as if it were also called by itself: it optimises it, makes machine code
of it and a wrapper for C. The engine has a hundred small functions of which none is: they are typed and translated, and
taken into the few that Python calls, which are optimised once, when all of that is linked to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering, NopythonRewrites
from numba.extending import overload, register_jitable

__all__ = ["Compiled", "inlined", "inlined_for"]

F = TypeVar("F", bound=Callable[..., Any])


class _Once(JITCodeLibrary):  # type: ignore[misc]  # Numba ships no types
    """Instructions that are optimised once, when all that they call is linked to them."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        with self._recorded_timings.record("Module passes", builder):
            passes.run(self._final_module, builder)


class _Linked(_Once):
    """Instructions that wait for those who link them: they will be optimised there."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):  # type: ignore[misc]  # Numba ships no types
    """Numba's last pass for what Python calls."""

    _name = "lowering_once"

    def run_pass(self, state: Any) -> bool:
        state.library = _Once(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class _LoweringToInline(NativeLowering):  # type: ignore[misc]  # Numba ships no types
    """The same without machine code; callers find the function by a stand-in that cannot be called."""

    _name = "lowering_to_inline"

    def run_pass(self, state: Any) -> bool:
        flags = state.flags
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        state.library = _Linked(state.targetctx.codegen(), state.func_id.func_qualname)
        super().run_pass(state)
        lowered = state.cr
        stand_in = _dynfunc.make_function(lowered.fndesc.lookup_module(), "", "", 0, lowered.env, (state.library,))
        state.targetctx.insert_user_function(stand_in, lowered.fndesc, [state.library])
        state.cr = lowered._replace(cfunc=stand_in)
        return True


class Compiled(Compiler):  # type: ignore[misc]  # Numba ships no types
    """Numba's compiler for what Python calls, without its search for expressions of whole arrays: we have none."""

    lowering: type[NativeLowering] = _Lowering

    def define_pipelines(self) -> list[PassManager]:
        (passes,) = super().define_pipelines()
        own = {NativeLowering: self.lowering}
        passes.passes = [(own.get(one, one), why) for one, why in passes.passes if one is not NopythonRewrites]
        passes.finalize()
        return [passes]


class _Inlined(Compiled):
    lowering = _LoweringToInline


_OPTIONS = {"forceinline": True, "pipeline_class": _Inlined}


def inlined(function: F) -> F:
    """Taken into the compiled functions that call it."""
    return register_jitable(**_OPTIONS)(function)  # type: ignore[no-any-return]  # Numba ships no types


def inlined_for(function: Any) -> Any:
    """What stands for a function in compiled code, chosen by the types of its arguments."""
    return overload(function, jit_options=_OPTIONS, strict=False)  # our lambdas bear no annotations
