"""Members of an ensemble side by side in one register, so that one source runs one member or many.

A *value* in the engine is a float, or, when members run together, the floats of all of them: `Lanes`. An array of
such values then has one axis more, the last, one number a member. `get`, `put` and `add` tell the two apart by the
number of an array's dimensions while the code is compiled, so neither pays for the other. Every operation is that of
IEEE 754 lane by lane, with nothing contracted or reordered: a lane has the bits of a run of its own.

A register of 512 bits holds eight members in double precision or sixteen in single: two families of lanes, told apart
by what an array holds.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from bdsim.model.machine_code import SINGLE_WIDTH, WIDTH

__all__ = [
    "DOUBLE", "SINGLE", "Lanes", "as_floats", "as_kind", "count_bits", "family_of", "first_of", "further",
    "mask_bits", "named_axes", "one_and_bits", "prefetch", "read", "scaled_by_bits", "select", "value_in", "write",
]  # fmt: skip


class Lanes(types.Type):
    """Numbers, words of as many bits, small counts or truth values, one a member."""

    def __init__(self, family: Family, kind: str, layout: Any) -> None:
        self.family, self.layout = family, layout
        super().__init__(name=f"Lanes({kind} x {family.members})")


class Family:
    """The kinds of lanes that go together: as many members, and numbers of one precision."""

    def __init__(self, members: int, real: Any, bits: int, mantissa: int) -> None:
        self.members, self.bits, self.mantissa = members, bits, mantissa
        self.bias = (1 << (bits - mantissa - 2)) - 1  # of the exponent
        # The bits of 1.5 * 2**mantissa, which rounds to whole numbers; its last ones count them: maths.ROUND_TO_INTEGER
        self.round_bits = (self.bias + mantissa << mantissa) + (1 << mantissa - 1)
        self.real, self.word = real, ir.IntType(bits)
        self.floats = Lanes(self, f"float{bits}", ir.VectorType(real, members))
        self.words = Lanes(self, f"uint{bits}", ir.VectorType(self.word, members))
        self.counts = Lanes(self, "uint8", ir.VectorType(ir.IntType(8), members))
        self.truths = Lanes(self, "bool", ir.VectorType(ir.IntType(1), members))


DOUBLE, SINGLE = Family(WIDTH, ir.DoubleType(), 64, 52), Family(SINGLE_WIDTH, ir.FloatType(), 32, 23)


def family_of(kind: Any) -> Family:
    """Of lanes, or of a scalar that has their precision."""
    if isinstance(kind, Lanes):
        return kind.family
    return SINGLE if kind in (types.float32, types.uint32) else DOUBLE


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """A Lanes value is an LLVM vector."""

    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, kind.layout)


def _constant(layout: Any, value: float) -> Any:
    """A number in the given layout, scalar or vector."""
    return ir.Constant(layout, [value] * layout.count if isinstance(layout, ir.VectorType) else value)


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
    if isinstance(kind, types.Float):
        layout = like.family.floats.layout
        value = _rounded(builder, value, layout.element)
    else:
        layout, width = like.layout, like.layout.element.width
        if isinstance(kind, types.Integer) and kind.bitwidth > width:
            value = builder.trunc(value, ir.IntType(width))
        elif isinstance(kind, types.Integer) and kind.bitwidth < width:
            value = builder.zext(value, ir.IntType(width))
    nothing = ir.Constant(layout, ir.Undefined)
    vector = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
    first = _constant(ir.VectorType(ir.IntType(32), layout.count), 0)
    return builder.shuffle_vector(vector, nothing, first)


def _rounded(builder: Any, value: Any, real: Any) -> Any:
    """A scalar in the precision of lanes."""
    if value.type == real:
        return value
    return builder.fptrunc(value, real) if real == SINGLE.real else builder.fpext(value, real)


def _float_add(family: Family) -> Callable[[Any, Any, Any], Any]:
    """Addition of floats, or of a float to words below 2**mantissa: their bits become the last of 2**mantissa."""
    words, floats = family.words.layout, family.floats.layout
    unit_bits, unit = family.bias + family.mantissa << family.mantissa, 2.0**family.mantissa

    def whole(builder: Any, bits: Any) -> Any:
        above = builder.bitcast(builder.or_(bits, _constant(words, unit_bits)), floats)
        return builder.fsub(above, _constant(floats, unit))

    return lambda builder, x, y: builder.fadd(*(whole(builder, v) if v.type == words else v for v in (x, y)))


def _teach(family: Family) -> None:
    """Teach Numba what the rule does with numbers, for the lanes of a family."""
    floats, words, counts, truths = family.floats, family.words, family.counts, family.truths
    real, word, count, truth = (
        (floats, types.Float), (words, types.Integer), (counts, types.Integer), (truths, types.Boolean)
    )  # fmt: skip
    _operation(operator.add, real, floats, _float_add(family))
    _operation(operator.add, (words, types.Float), floats, _float_add(family))  # draws.unit
    _operation(operator.sub, real, floats, lambda b, x, y: b.fsub(x, y))
    _operation(operator.mul, real, floats, lambda b, x, y: b.fmul(x, y))
    _operation(operator.truediv, real, floats, lambda b, x, y: b.fdiv(x, y))
    _operation(operator.lt, real, truths, lambda b, x, y: b.fcmp_ordered("<", x, y))
    _operation(operator.le, real, truths, lambda b, x, y: b.fcmp_ordered("<=", x, y))
    _operation(operator.gt, real, truths, lambda b, x, y: b.fcmp_ordered(">", x, y))
    _operation(operator.ge, real, truths, lambda b, x, y: b.fcmp_ordered(">=", x, y))
    for kind, result in ((word, words), (count, counts)):
        _operation(operator.add, kind, result, lambda b, x, y: b.add(x, y))
        _operation(operator.and_, kind, result, lambda b, x, y: b.and_(x, y))
        _operation(operator.rshift, kind, result, lambda b, x, y: b.lshr(x, y))
    _operation(operator.mul, word, words, lambda b, x, y: b.mul(x, y))
    _operation(operator.xor, word, words, lambda b, x, y: b.xor(x, y))
    _operation(operator.and_, truth, truths, lambda b, x, y: b.and_(x, y))
    _operation(operator.or_, truth, truths, lambda b, x, y: b.or_(x, y))


_teach(DOUBLE)
_teach(SINGLE)


@type_callable(operator.neg)
def _negative(_context: Any) -> Any:
    return lambda x: x if isinstance(x, Lanes) and x == x.family.floats else None


@lower_builtin(operator.neg, Lanes)
def _negate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return builder.fneg(args[0])


@intrinsic
def select(_context: Any, mask: Any, x: Any, y: Any) -> Any:
    floats = mask.family.floats

    def generate(_target: Any, builder: Any, signature: Any, args: Any) -> Any:
        yes, no = (_widened(builder, v, t, floats) for v, t in zip(args[1:], signature.args[1:], strict=True))
        return builder.select(args[0], yes, no)

    return floats(mask, x, y), generate


@intrinsic
def mask_bits(_context: Any, mask: Any) -> Any:
    bits = mask.family.members
    return types.Integer.from_bitwidth(bits, signed=False)(
        mask
    ), lambda _target, builder, _signature, args: builder.bitcast(args[0], ir.IntType(bits))


@intrinsic
def first_of(_context: Any, bits: Any) -> Any:
    """The number of the lowest of several bits."""

    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def _place(context: Any, builder: Any, of: Any, array: Any, index_type: Any, index: Any) -> Any:
    """Address of array[index], where an array of lanes is indexed by all axes but the last.

    The length of the last axis is known by construction; said here, it saves a multiplication an access.
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
        flat = builder.mul(flat, context.get_constant(types.intp, _kind_of(of).family.members))
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
    family = wanted.family
    value = _widened(builder, value, kind, family.floats)
    return builder.fptoui(value, wanted.layout) if wanted == family.counts else value


def _kind_of(array: Any) -> Lanes:
    """What lanes an array holds: bytes with a sign are the counts of single precision."""
    return {
        types.float64: DOUBLE.floats, types.uint64: DOUBLE.words, types.uint8: DOUBLE.counts,
        types.float32: SINGLE.floats, types.uint32: SINGLE.words, types.int8: SINGLE.counts,
    }[array.dtype]  # fmt: skip


@intrinsic
def as_floats(_context: Any, x: Any) -> Any:
    floats = x.family.floats
    return floats(x), lambda _target, builder, _signature, args: builder.uitofp(args[0], floats.layout)


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
    """Not 0 where any count is not."""
    halves = count.family.members * 8 // 64

    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        each = builder.bitcast(args[0], ir.VectorType(ir.IntType(64), halves))
        first, *others = (builder.extract_element(each, ir.Constant(ir.IntType(32), i)) for i in range(halves))
        for other in others:
            first = builder.or_(first, other)
        return first

    return types.uint64(count), generate


@intrinsic
def one_and_bits(_context: Any, bits: Any) -> Any:
    family, many = family_of(bits), isinstance(bits, Lanes)

    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integer, real = _layouts(family, many)
        last = builder.lshr(args[0], _constant(integer, family.bits - family.mantissa))
        return builder.bitcast(builder.or_(last, _constant(integer, family.bias << family.mantissa)), real)

    return (family.floats if many else types.float64 if family is DOUBLE else types.float32)(bits), generate


@intrinsic
def further(_context: Any, x: Any, y: Any) -> Any:
    """Of two floats the one whose bits are the larger whole number: one that is negative or none beats all others."""
    family, many = family_of(x), isinstance(x, Lanes)

    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integer, real = _layouts(family, many)
        one, other = (builder.bitcast(arg, integer) for arg in args)
        return builder.bitcast(builder.select(builder.icmp_unsigned(">", one, other), one, other), real)

    return x(x, y), generate


@intrinsic
def scaled_by_bits(_context: Any, x: Any, rounded: Any) -> Any:
    """maths.scaled_by_power_of_two of a normal x, where the result is one: k is added to the exponent's bits."""
    family, many = family_of(x), isinstance(x, Lanes)

    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integer, real = _layouts(family, many)
        scale, k = (builder.bitcast(arg, integer) for arg in args)
        # of the bits of `rounded` the last ones are k, and those of the number that rounds are 0 there
        exponent = builder.shl(k, _constant(integer, family.mantissa))
        return builder.bitcast(builder.add(scale, exponent), real)

    return x(x, rounded), generate


def _layouts(family: Family, many: bool) -> tuple[Any, Any]:
    """Of words and floats: of all lanes, or of one."""
    return (family.words.layout, family.floats.layout) if many else (family.word, family.real)
