"""Eight members of an ensemble side by side in one register, so that one source runs one member or eight.

A *value* in engine.py is a float, or, when WIDTH members run together, the floats of all of them: `Lanes`. An
array of such values then has one axis more, the last, of length WIDTH. `get`, `put` and `add` tell the two apart
by the number of an array's dimensions while the code is compiled, so neither pays for the other. Every operation
is that of IEEE 754 lane by lane, with nothing contracted or reordered: a lane has the bits of a run of its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from bdsim.model.machine_code import WIDTH

__all__ = [
    "BYTES", "FLOATS", "ROUND_BITS", "WORDS",
    "Lanes", "as_floats", "as_kind", "count_bits", "counts", "floats", "mask_bits", "named_axes", "one_and_bits",
    "prefetch", "read", "scaled_by_bits", "select", "value_in", "write",
]  # fmt: skip

ROUND_BITS = 0x4338000000000000  # the bits of maths.ROUND_TO_INTEGER; its last 51 bits count integers
TWO_52, TWO_52_BITS = 2.0**52, 0x4330000000000000

FLOATS = ir.VectorType(ir.DoubleType(), WIDTH)
WORDS = ir.VectorType(ir.IntType(64), WIDTH)
BYTES = ir.VectorType(ir.IntType(8), WIDTH)
BITS = ir.VectorType(ir.IntType(1), WIDTH)


class Lanes(types.Type):
    """WIDTH numbers, 64-bit words, small counts or truth values, one a member."""

    def __init__(self, kind: str, layout: Any) -> None:
        self.layout = layout
        super().__init__(name=f"Lanes({kind})")


floats, words = Lanes("float64", FLOATS), Lanes("uint64", WORDS)
counts, truths = Lanes("uint8", BYTES), Lanes("bool", BITS)


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """A Lanes value is an LLVM vector."""

    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, kind.layout)


def _constant(layout: Any, value: float) -> Any:
    """A number in the given layout, scalar or vector."""
    return ir.Constant(layout, [value] * WIDTH if isinstance(layout, ir.VectorType) else value)


_EMITTERS: dict[tuple[Any, Lanes], Callable[[Any, Any, Any], Any]] = {}  # by operation and kind of the result


def _operation(op: Any, kinds: tuple[Lanes, type], result: Lanes, emit: Callable[[Any, Any, Any], Any]) -> None:
    """Teach Numba `op` for lanes with lanes, lanes with a scalar, and a scalar with lanes."""
    kind, scalar = kinds
    if (op, result) not in _EMITTERS:
        _EMITTERS[op, result] = emit

    def fits(x: Any) -> bool:
        return x == kind or isinstance(x, scalar)

    @type_callable(op)
    def typed(_context: Any) -> Any:
        return lambda x, y: result if kind in (x, y) and fits(x) and fits(y) else None

    for x, y in ((Lanes, Lanes), (Lanes, scalar), (scalar, Lanes)):

        @lower_builtin(op, x, y)
        def lowered(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
            of = next(a for a in signature.args if isinstance(a, Lanes))
            pair = [_widened(builder, v, t, of) for v, t in zip(args, signature.args, strict=True)]
            return _EMITTERS[op, signature.return_type](builder, *pair)


def _widened(builder: Any, value: Any, kind: Any, like: Lanes) -> Any:
    """The vector itself, or a scalar repeated in every lane."""
    if isinstance(kind, Lanes):
        return value
    if isinstance(kind, types.Integer):
        width = like.layout.element.width
        if kind.bitwidth > width:
            value = builder.trunc(value, ir.IntType(width))
        elif kind.bitwidth < width:
            value = builder.zext(value, ir.IntType(width))
    layout = FLOATS if isinstance(kind, types.Float) else like.layout
    vector = builder.insert_element(ir.Constant(layout, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    first = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(vector, ir.Constant(layout, ir.Undefined), first)


def _whole(builder: Any, bits: Any) -> Any:
    """Words below 2**52 as floats, exactly: their bits become the last of the mantissa of 2**52."""
    above = builder.bitcast(builder.or_(bits, _constant(WORDS, TWO_52_BITS)), FLOATS)
    return builder.fsub(above, _constant(FLOATS, TWO_52))


def _float_add(builder: Any, x: Any, y: Any) -> Any:
    x, y = (_whole(builder, v) if v.type == WORDS else v for v in (x, y))
    return builder.fadd(x, y)


REAL, WORD, TRUTH = (floats, types.Float), (words, types.Integer), (truths, types.Boolean)
COUNT = (counts, types.Integer)
_operation(operator.add, REAL, floats, _float_add)
_operation(operator.add, (words, types.Float), floats, _float_add)  # draws.unit: words below 2**52
_operation(operator.sub, REAL, floats, lambda b, x, y: b.fsub(x, y))
_operation(operator.mul, REAL, floats, lambda b, x, y: b.fmul(x, y))
_operation(operator.truediv, REAL, floats, lambda b, x, y: b.fdiv(x, y))
_operation(operator.lt, REAL, truths, lambda b, x, y: b.fcmp_ordered("<", x, y))
_operation(operator.le, REAL, truths, lambda b, x, y: b.fcmp_ordered("<=", x, y))
_operation(operator.gt, REAL, truths, lambda b, x, y: b.fcmp_ordered(">", x, y))
_operation(operator.ge, REAL, truths, lambda b, x, y: b.fcmp_ordered(">=", x, y))
_operation(operator.add, WORD, words, lambda b, x, y: b.add(x, y))
_operation(operator.add, COUNT, counts, lambda b, x, y: b.add(x, y))
_operation(operator.and_, COUNT, counts, lambda b, x, y: b.and_(x, y))
_operation(operator.rshift, COUNT, counts, lambda b, x, y: b.lshr(x, y))
_operation(operator.mul, WORD, words, lambda b, x, y: b.mul(x, y))
_operation(operator.xor, WORD, words, lambda b, x, y: b.xor(x, y))
_operation(operator.and_, WORD, words, lambda b, x, y: b.and_(x, y))
_operation(operator.rshift, WORD, words, lambda b, x, y: b.lshr(x, y))
_operation(operator.and_, TRUTH, truths, lambda b, x, y: b.and_(x, y))
_operation(operator.or_, TRUTH, truths, lambda b, x, y: b.or_(x, y))


@type_callable(operator.neg)
def _negative(_context: Any) -> Any:
    return lambda x: floats if x == floats else None


@lower_builtin(operator.neg, Lanes)
def _negate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return builder.fneg(args[0])


@intrinsic
def select(_context: Any, mask: Any, x: Any, y: Any) -> Any:
    def generate(_target: Any, builder: Any, signature: Any, args: Any) -> Any:
        yes, no = (_widened(builder, v, t, floats) for v, t in zip(args[1:], signature.args[1:], strict=True))
        return builder.select(args[0], yes, no)

    return floats(mask, x, y), generate


@intrinsic
def mask_bits(_context: Any, mask: Any) -> Any:
    return types.uint8(mask), lambda _target, builder, _signature, args: builder.bitcast(args[0], ir.IntType(8))


def _place(context: Any, builder: Any, of: Any, array: Any, index_type: Any, index: Any) -> Any:
    """Address of array[index], where an array of WIDTH lanes is indexed by all axes but the last.

    The length of the last axis is WIDTH by construction; said here, it saves a multiplication an access.
    """
    held = context.make_array(of)(context, builder, array)
    several = isinstance(index_type, types.BaseTuple)
    kinds, values = (list(index_type), cgutils.unpack_tuple(builder, index)) if several else ([index_type], [index])
    wide = [context.cast(builder, v, kind, types.intp) for v, kind in zip(values, kinds, strict=True)]
    flat = wide[0] if wide else context.get_constant(types.intp, 0)
    lengths = cgutils.unpack_tuple(builder, held.shape)
    for value, length in zip(wide[1:], lengths[1:], strict=False):
        flat = builder.add(builder.mul(flat, length), value)
    if of.ndim > len(wide):
        flat = builder.mul(flat, context.get_constant(types.intp, WIDTH))
    return builder.gep(held.data, [flat])


def named_axes(index: Any) -> int:
    """How many axes of an array an index names."""
    return len(index) if isinstance(index, types.BaseTuple) else 1


def value_in(array: Any, index: Any) -> Any:
    """The kind of value at an index: a number where it names all axes, lanes where it leaves the last out."""
    return array.dtype if array.ndim == named_axes(index) else _kind_of(array)


def read(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
    """The instruction that reads a value; `kinds` and `args` begin with the array and the index."""
    pointer, kind = _place(context, builder, kinds[0], args[0], kinds[1], args[1]), value_in(*kinds[:2])
    if isinstance(kind, Lanes):
        return builder.load(builder.bitcast(pointer, kind.layout.as_pointer()), align=8)
    return builder.load(pointer)


def write(context: Any, builder: Any, kinds: Any, args: Any) -> None:
    """The instruction that writes a value: array, index, value."""
    pointer, kind = _place(context, builder, kinds[0], args[0], kinds[1], args[1]), value_in(*kinds[:2])
    value = as_kind(context, builder, args[2], kinds[2], kind)
    if isinstance(kind, Lanes):
        builder.store(value, builder.bitcast(pointer, kind.layout.as_pointer()), align=8)
    else:
        builder.store(value, pointer)


def as_kind(context: Any, builder: Any, value: Any, kind: Any, wanted: Any) -> Any:
    """A value as the kind that an array holds: a number in every lane, floats as small counts."""
    if not isinstance(wanted, Lanes):
        return context.cast(builder, value, kind, wanted)
    if kind == wanted:
        return value
    value = _widened(builder, value, kind, floats)
    return builder.fptoui(value, BYTES) if wanted == counts else value


def _kind_of(array: Any) -> Lanes:
    return {types.float64: floats, types.uint64: words, types.uint8: counts}[array.dtype]


@intrinsic
def as_floats(_context: Any, x: Any) -> Any:
    return floats(x), lambda _target, builder, _signature, args: builder.uitofp(args[0], FLOATS)


@intrinsic
def prefetch(_context: Any, array: Any, row: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _place(context, builder, signature.args[0], args[0], signature.args[1], args[1])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, keep, data = (ir.Constant(number, n) for n in (0, 3, 1))
        builder.call(call, [builder.bitcast(pointer, byte), to_read, keep, data])
        return context.get_dummy_value()

    return types.void(array, row), generate


@intrinsic
def count_bits(_context: Any, count: Any) -> Any:
    return types.uint64(count), lambda _target, builder, _signature, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic
def one_and_bits(_context: Any, bits: Any) -> Any:
    def generate(_target: Any, builder: Any, signature: Any, args: Any) -> Any:
        many = isinstance(signature.args[0], Lanes)
        integer, real = (WORDS, FLOATS) if many else (ir.IntType(64), ir.DoubleType())
        last = builder.lshr(args[0], _constant(integer, 12))
        return builder.bitcast(builder.or_(last, _constant(integer, 0x3FF0000000000000)), real)

    return (floats if isinstance(bits, Lanes) else types.float64)(bits), generate


@intrinsic
def scaled_by_bits(_context: Any, x: Any, rounded: Any) -> Any:
    def generate(_target: Any, builder: Any, signature: Any, args: Any) -> Any:
        many = isinstance(signature.args[0], Lanes)
        integer, real = (WORDS, FLOATS) if many else (ir.IntType(64), ir.DoubleType())
        k = builder.sub(builder.bitcast(args[1], integer), _constant(integer, ROUND_BITS))
        exponent = builder.shl(builder.add(k, _constant(integer, 1023)), _constant(integer, 52))
        return builder.fmul(args[0], builder.bitcast(exponent, real))

    return x(x, rounded), generate
