"""LLVM IR as text: the writer of one function, and the builder of vector instructions that emit rules are written for.

A `Value` is an operand: its text, its dtype, and how many lanes it has (1 for a scalar). In registers a bool is an
``i1`` and half precisions are ``float``, rounded after every operation so that fusing never changes a result. An
instruction whose operands mix one lane and many splats the single ones, so what does not vary along the vector
dimension is computed once.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ...dtypes import (
    bfloat16,
    bool_,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .text import Function

REGISTER = {bool_: "i1", uint8: "i8", int8: "i8", int16: "i16", uint16: "i16", int32: "i32", uint32: "i32",
             int64: "i64", uint64: "i64", float16: "float", bfloat16: "float", float32: "float", float64: "double"}
MEMORY = {**REGISTER, bool_: "i8", float16: "i16", bfloat16: "i16"}
_INTRINSIC = {"i1": "i1", "i8": "i8", "i16": "i16", "i32": "i32", "i64": "i64", "half": "f16", "float": "f32",
              "double": "f64", "ptr": "p0"}
HALVES = (float16, bfloat16)
SUPPORTED = frozenset(REGISTER)


class Value(NamedTuple):
    """An operand. A constant is its literal and has one lane."""

    text: str
    dtype: dtype
    lanes: int = 1
    constant: bool = False


def literal(value, d: dtype) -> str:
    """A constant in LLVM's syntax; floats as the bits of a double, which is exact."""
    if d.kind == "b":
        return "true" if value else "false"
    if d.kind in "ui":
        bits = d.itemsize * 8
        value = int(value) & ((1 << bits) - 1)
        return str(value - (1 << bits) if value >> (bits - 1) else value)
    value = float(value)
    if d is not float64 and abs(value) != float("inf"):
        try:
            value = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            value = float("inf") if value > 0 else float("-inf")
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Builder:
    """Writes straight-line vector code into a function; ``lanes`` is the width of its vector dimension.

    Emit rules of primitives and vector maths take one as ``b``. Methods take and return `Value`s of one width. Names
    that are not methods (``b.exp``) are looked up in `vector_math`.
    """

    def __init__(self, function: Function, lanes: int = 1, gathers: bool = True, halves: bool = True):
        """``gathers``, ``halves``: whether the target has vector gathers, and conversions of float16."""
        self.f, self.lanes, self.gathers, self.halves = function, lanes, gathers, halves

    def type(self, d: dtype, lanes: int) -> str:
        return REGISTER[d] if lanes == 1 else f"<{lanes} x {REGISTER[d]}>"

    def operand(self, x: Value, lanes: int) -> str:
        """The operand's text with that many lanes."""
        if x.lanes == lanes:
            return x.text
        if x.lanes != 1:
            raise AssertionError(f"a value of {x.lanes} lanes where {lanes} are wanted")
        if x.constant:
            return f"splat ({REGISTER[x.dtype]} {x.text})"
        return self.splat(x, lanes).text

    def splat(self, x: Value, lanes: int | None = None) -> Value:
        lanes = lanes or self.lanes
        if x.lanes == lanes:
            return x
        ty = REGISTER[x.dtype]
        if x.constant:
            return Value(f"splat ({ty} {x.text})", x.dtype, lanes)
        one = self.f(f"insertelement <{lanes} x {ty}> poison, {ty} {x.text}, i32 0")
        return Value(self.f(f"shufflevector <{lanes} x {ty}> {one}, <{lanes} x {ty}> poison, "
                             f"<{lanes} x i32> zeroinitializer"), x.dtype, lanes)

    def _n(self, op: str, *xs: Value, result: dtype | None = None) -> Value:
        """An instruction of operands of one type: ``op type a, b``."""
        lanes = max(x.lanes for x in xs)
        ty = self.type(xs[0].dtype, lanes)
        text = self.f(f"{op} {ty} " + ", ".join([self.operand(x, lanes) for x in xs]))
        return Value(text, result or xs[0].dtype, lanes)

    def intrinsic(self, name: str, *xs: Value) -> Value:
        """``llvm.name`` on operands of one type."""
        lanes = max(x.lanes for x in xs)
        ty = self.type(xs[0].dtype, lanes)
        mangled = _INTRINSIC[REGISTER[xs[0].dtype]]
        full = f"llvm.{name}.{mangled}" if lanes == 1 else f"llvm.{name}.v{lanes}{mangled}"
        self.f.declared.add(f"declare {ty} @{full}({', '.join([ty] * len(xs))})")
        args = ", ".join([f"{ty} {self.operand(x, lanes)}" for x in xs])
        return Value(self.f(f"call {ty} @{full}({args})"), xs[0].dtype, lanes)

    # -- constants and conversions ------------------------------------------------------------------------------------
    def const(self, value, d: dtype) -> Value:
        return Value(literal(value, d), d, 1, True)

    def bits(self, x: Value) -> Value:
        """The bits of a float as an integer of its width (half precisions are float32 in registers)."""
        d = {float32: int32, float64: int64, float16: int32, bfloat16: int32}.get(x.dtype)
        return x if d is None else self._convert("bitcast", x, d)

    def from_bits(self, x: Value, d: dtype) -> Value:
        return self._convert("bitcast", x, d)

    def _convert(self, op: str, x: Value, d: dtype, lanes: int | None = None) -> Value:
        lanes = lanes or x.lanes
        if x.constant:
            x = Value(x.text, x.dtype, 1)
        return Value(self.f(f"{op} {self.type(x.dtype, lanes)} {self.operand(x, lanes)} to {self.type(d, lanes)}"),
                     d, lanes)

    def convert(self, x: Value, d: dtype) -> Value:
        """`cast` of any number: a float that does not fit an integer goes through int64, as in the interpreter."""
        if x.dtype.kind == "f" and d.kind in "ui":
            return self._float_to_int(Value(x.text, float32, x.lanes) if x.dtype in HALVES else x, d)
        return self.cast(x, d)

    def cast(self, x: Value, d: dtype) -> Value:
        """C's conversion: floats (which must fit) truncate, integers wrap, anything but zero is true; halves round to
        nearest even."""
        s = x.dtype
        if s is d:
            return x
        if d.kind == "b":
            zero = self.const(0, s)
            return self._n("fcmp une" if s.kind == "f" else "icmp ne", x, zero, result=bool_)
        if d in HALVES:
            wide = x if s in HALVES else self.cast(x, float32)
            return self.round_half(Value(wide.text, float32, wide.lanes), d)
        if s in HALVES:
            return self.cast(Value(x.text, float32, x.lanes), d)
        if s.kind == "b":
            return self._convert("uitofp" if d.kind == "f" else "zext", x, d)
        if s.kind == "f" and d.kind == "f":
            return self._convert("fpext" if d is float64 else "fptrunc", x, d)
        if d.kind == "f":
            return self._convert("sitofp" if s.kind == "i" else "uitofp", x, d)
        if s.kind == "f":
            return self._convert("fptosi" if d.kind == "i" else "fptoui", x, d)
        if s.itemsize == d.itemsize:
            return Value(x.text, d, x.lanes, x.constant)
        if s.itemsize > d.itemsize:
            return self._convert("trunc", x, d)
        return self._convert("sext" if s.kind == "i" else "zext", x, d)

    def _float_to_int(self, x: Value, d: dtype) -> Value:
        """Through int32 or, for wider and unsigned types, int64: what does not fit becomes the smallest of them, then
        wraps, as PyTorch has it on x86."""
        if d.kind == "i" and d.itemsize <= 4:
            fits = self.lt(self.abs(x), self.const(2.0**31, x.dtype))
            whole = self._convert("fptosi", self.where(fits, x, self.const(0, x.dtype)), int32)
            return self.cast(self.where(fits, whole, self.const(-2**31, int32)), d)
        fits = self.lt(self.abs(x), self.const(2.0**63, x.dtype))
        whole = self._convert("fptosi", self.where(fits, x, self.const(0, x.dtype)), int64)
        whole = self.where(fits, whole, self.const(-2**63, int64))
        if d is uint64:  # the upper half of uint64 is out of int64's range
            big = self.const(2.0**63, x.dtype)
            high = self.and_(self.ge(x, big), self.lt(x, self.const(2.0**64, x.dtype)))
            rest = self._convert("fptosi", self.where(high, self.sub(x, big), self.const(0, x.dtype)), int64)
            return self.cast(self.where(high, self.xor(rest, self.const(-2**63, int64)), whole), uint64)
        return self.cast(whole, d)

    def round_half(self, x: Value, d: dtype) -> Value:
        """A float32 rounded to half precision; it stays in a float32 register."""
        return self.widen(self.narrow(x, d), d)

    def narrow(self, x: Value, d: dtype) -> Value:
        """The bits of a float32 rounded to a half precision (nearest even), in an int16."""
        x = Value(x.text, float32, x.lanes, x.constant)
        if d is float16 and self.halves:
            ty, half = self.type(float32, x.lanes), "half" if x.lanes == 1 else f"<{x.lanes} x half>"
            small = self.f(f"fptrunc {ty} {x.text} to {half}")
            return Value(self.f(f"bitcast {half} {small} to {self.type(int16, x.lanes)}"), int16, x.lanes)

        def word(n):
            return self.const(n, int32)
        u = self.bits(x)
        if d is bfloat16:  # every NaN becomes the canonical one
            odd = self.and_(self.shr(u, 16), word(1))
            bits = self.where(self.isnan(x), word(0x7FC0), self.shr(self.add(self.add(u, word(0x7FFF)), odd), 16))
            return self.cast(bits, int16)
        sign = self.and_(u, word(0x80000000))
        a = self.xor(u, sign)
        # Numbers below 2**-14 are rounded by an addition that shifts their bits into place.
        low = self.sub(self.bits(self.add(self.from_bits(a, float32), self.const(0.5, float32))), word(0x3F000000))
        odd = self.and_(self.shr(a, 13), word(1))
        normal = self.shr(self.add(self.add(a, word(((15 - 127) << 23) + 0xFFF)), odd), 13)
        top = self.where(self.gt(a, word(0x7F800000)), word(0x7E00), word(0x7C00))
        bits = self.where(self.lt(a, word(113 << 23)), low, self.where(self.ge(a, word(143 << 23)), top, normal))
        return self.cast(self.or_(bits, self.shr(sign, 16)), int16)

    def widen(self, x: Value, d: dtype) -> Value:
        """A half precision's bits (int16) as a number, in a float32 register."""
        if d is float16 and self.halves:
            half = "half" if x.lanes == 1 else f"<{x.lanes} x half>"
            small = self.f(f"bitcast {self.type(int16, x.lanes)} {x.text} to {half}")
            return Value(self.f(f"fpext {half} {small} to {self.type(float32, x.lanes)}"), d, x.lanes)
        u = self._convert("zext", x, int32)
        if d is bfloat16:
            return Value(self.from_bits(self.shl(u, 16), float32).text, d, x.lanes)
        magnitude = self.and_(u, self.const(0x7FFF, int32))
        scaled = self.mul(self.from_bits(self.shl(magnitude, 13), float32), self.const(2.0**112, float32))
        bits = self.bits(scaled)
        special = self.ge(magnitude, self.const(0x7C00, int32))
        bits = self.where(special, self.or_(bits, self.const(0x7F800000, int32)), bits)
        sign = self.shl(self.xor(u, magnitude), 16)
        return Value(self.from_bits(self.or_(bits, sign), float32).text, d, x.lanes)

    def transpose(self, rows: list[Value]) -> list[Value]:
        """The columns of as many vectors as they have lanes: blocks of twice the size each time swap their corners."""
        f, w, d = self.f, len(rows), rows[0].dtype
        texts, ty, half = [x.text for x in rows], self.type(d, w), 1
        while half < w:
            low = ", ".join(f"i32 {n + w - half if n & half else n}" for n in range(w))
            high = ", ".join(f"i32 {n + w if n & half else n + half}" for n in range(w))
            for i in range(w):
                if not i & half:
                    x, y = texts[i], texts[i + half]
                    for at, picks in ((i, low), (i + half, high)):
                        texts[at] = f(f"shufflevector {ty} {x}, {ty} {y}, <{w} x i32> <{picks}>")
            half *= 2
        return [Value(text, d, w) for text in texts]

    def bitcast(self, x: Value, d: dtype) -> Value:
        """The bits of a value as another type of the same size."""
        s = x.dtype
        if s in HALVES:
            x = self.narrow(x, s)
            s = int16
        if d in HALVES:
            return self.widen(x, d)
        if s.kind == "b" or d.kind == "b":
            return self.cast(x, d)
        if (s.kind == "f") == (d.kind == "f"):
            return Value(x.text, d, x.lanes, x.constant)
        return self._convert("bitcast", x, d)

    # -- arithmetic ---------------------------------------------------------------------------------------------------
    def add(self, a, b):
        return self._n("fadd" if a.dtype.kind == "f" else "or" if a.dtype.kind == "b" else "add", a, b)

    def sub(self, a, b):
        return self._n("fsub" if a.dtype.kind == "f" else "sub", a, b)

    def mul(self, a, b):
        return self._n("fmul" if a.dtype.kind == "f" else "and" if a.dtype.kind == "b" else "mul", a, b)

    def div(self, a, b):
        """True division of floats; of integers, C's, with 0 for a zero divisor (which would trap)."""
        if a.dtype.kind == "f":
            return self._n("fdiv", a, b)
        return self._divide("div", a, b)

    def rem(self, a, b):
        """C's remainder of integers, 0 for a zero divisor. Of floats, fmod (exact)."""
        if a.dtype.kind == "f":
            return self.fmod(a, b)
        return self._divide("rem", a, b)

    def _divide(self, op, a, b):
        zero, one = self.const(0, b.dtype), self.const(1, b.dtype)
        unsafe = self.eq(b, zero)
        if a.dtype.kind == "i":  # the smallest integer by -1 traps as well: divide by 1 and negate
            minus = self.eq(b, self.const(-1, b.dtype))
            safe = self.where(self.or_(unsafe, minus), one, b)
            result = self._n("s" + op, a, safe)
            result = self.where(minus, self.neg(a) if op == "div" else zero, result)
        else:
            result = self._n("u" + op, a, self.where(unsafe, one, b))
        return self.where(unsafe, zero, result)

    def fma(self, a, b, c):
        return self.intrinsic("fma", a, b, c)

    def neg(self, a):
        if a.dtype.kind == "f":
            return self._n("fneg", a)
        return self._n("sub", self.const(0, a.dtype), a)

    def abs(self, a):
        if a.dtype.kind == "f":
            return self.intrinsic("fabs", a)
        if a.dtype.kind == "i":
            return self.where(self.lt(a, self.const(0, a.dtype)), self.neg(a), a)
        return a

    def sqrt(self, a):
        return self.intrinsic("sqrt", a)

    def _rounding(self, name, a):
        return self.intrinsic(name, a) if a.dtype.kind == "f" else a

    def floor(self, a):
        return self._rounding("floor", a)

    def ceil(self, a):
        return self._rounding("ceil", a)

    def trunc(self, a):
        return self._rounding("trunc", a)

    def round(self, a):
        return self._rounding("roundeven", a)

    def copysign(self, a, b):
        return self.intrinsic("copysign", a, b)

    def maximum(self, a, b):
        """The larger; a NaN in either operand is the result."""
        if a.dtype.kind == "b":
            return self.or_(a, b)
        larger = self.where(self.gt(a, b), a, b)
        return self.where(self.isnan(a), a, larger) if a.dtype.kind == "f" else larger

    def minimum(self, a, b):
        """The smaller; a NaN in either operand is the result."""
        if a.dtype.kind == "b":
            return self.and_(a, b)
        smaller = self.where(self.lt(a, b), a, b)
        return self.where(self.isnan(a), a, smaller) if a.dtype.kind == "f" else smaller

    # -- comparisons and choice ---------------------------------------------------------------------------------------
    def _compare(self, f, s, u, a, b):
        kind = a.dtype.kind
        op = f"fcmp {f}" if kind == "f" else f"icmp {s}" if kind == "i" else f"icmp {u}"
        return self._n(op, a, b, result=bool_)

    def eq(self, a, b):
        return self._compare("oeq", "eq", "eq", a, b)

    def ne(self, a, b):
        return self._compare("une", "ne", "ne", a, b)

    def lt(self, a, b):
        return self._compare("olt", "slt", "ult", a, b)

    def le(self, a, b):
        return self._compare("ole", "sle", "ule", a, b)

    def gt(self, a, b):
        return self._compare("ogt", "sgt", "ugt", a, b)

    def ge(self, a, b):
        return self._compare("oge", "sge", "uge", a, b)

    def isnan(self, a):
        if a.dtype.kind != "f":
            return self.const(False, bool_)
        return self._n("fcmp uno", a, a, result=bool_)

    def where(self, c, a, b):
        lanes = max(c.lanes, a.lanes, b.lanes)
        if c.constant:
            return a if c.text == "true" else b
        ty = self.type(a.dtype, lanes)
        cond = f"i1 {c.text}" if c.lanes == 1 else f"<{lanes} x i1> {self.operand(c, lanes)}"
        return Value(self.f(f"select {cond}, {ty} {self.operand(a, lanes)}, {ty} {self.operand(b, lanes)}"),
                     a.dtype, lanes)

    def rarely(self, condition, rare, common):
        """The values of ``rare()`` in lanes where the condition holds, those of ``common`` in the others (tuples). What
        ``rare`` writes is jumped over unless some lane needs it."""
        lanes = max(condition.lanes, *(v.lanes for v in common))
        test = condition.text
        if condition.lanes > 1:
            mask = self.f(f"bitcast <{condition.lanes} x i1> {condition.text} to i{condition.lanes}")
            test = self.f(f"icmp ne i{condition.lanes} {mask}, 0")
        common = [self.splat(v, lanes) for v in common]
        before, number = self.f.block, self.f.name()[1:]
        self.f.do(f"br i1 {test}, label %rare{number}, label %on{number}")
        self.f.label(f"rare{number}")
        chosen = [self.splat(self.where(condition, r, c), lanes) for r, c in zip(rare(), common, strict=True)]
        after = self.f.block
        self.f.do(f"br label %on{number}")
        self.f.label(f"on{number}")
        return tuple(Value(self.f(f"phi {self.type(c.dtype, lanes)} [{r.text}, %{after}], [{c.text}, %{before}]"),
                           c.dtype, lanes) for r, c in zip(chosen, common, strict=True))

    # -- bits ---------------------------------------------------------------------------------------------------------
    def and_(self, a, b):
        return self._n("and", a, b)

    def or_(self, a, b):
        return self._n("or", a, b)

    def xor(self, a, b):
        return self._n("xor", a, b)

    def not_(self, a):
        return self._n("xor", a, self.const(-1 if a.dtype.kind != "b" else True, a.dtype))

    def _count(self, a, b):
        return self.const(b, a.dtype) if isinstance(b, int) else b

    def shl(self, a, b):
        return self._n("shl", a, self._count(a, b))

    def shr(self, a, b):
        """Shifts zeros in."""
        return self._n("lshr", a, self._count(a, b))

    def sar(self, a, b):
        """Shifts the sign in."""
        return self._n("ashr", a, self._count(a, b))

    # -- what is built on the above -----------------------------------------------------------------------------------
    def sign(self, a):
        zero, one = self.const(0, a.dtype), self.const(1, a.dtype)
        if a.dtype.kind == "b":
            return a
        up = self.where(self.gt(a, zero), one, zero)
        return up if a.dtype.kind == "u" else self.where(self.lt(a, zero), self.const(-1, a.dtype), up)

    def rsqrt(self, a):
        return self.div(self.const(1, a.dtype), self.sqrt(a))

    def reciprocal(self, a):
        return self.div(self.const(1, a.dtype), a)

    def fmax(self, a, b):
        """The larger; a NaN loses to a number."""
        larger = self.where(self.gt(a, b), a, b)
        return self.where(self.isnan(b), a, larger) if a.dtype.kind == "f" else larger

    def fmin(self, a, b):
        """The smaller; a NaN loses to a number."""
        smaller = self.where(self.lt(a, b), a, b)
        return self.where(self.isnan(b), a, smaller) if a.dtype.kind == "f" else smaller

    def fmod(self, a, b):
        """C's remainder. Of floats it must be exact, so it is a call of the C library for each lane."""
        if a.dtype.kind != "f":
            return self._divide("rem", a, b)
        return self._n("frem", a, b)

    def remainder(self, a, b):
        """Python's remainder: the sign of the divisor."""
        r = self.rem(a, b)
        if a.dtype.kind == "u":
            return r
        zero = self.const(0, a.dtype)
        wrong = self.and_(self.ne(r, zero), self.ne(self.lt(r, zero), self.lt(b, zero)))
        return self.where(wrong, self.add(r, b), r)

    def floor_divide(self, a, b):
        """Python's ``//``. Of floats as numpy and PyTorch compute it: from the exact remainder, then snapped."""
        if a.dtype.kind == "u":
            return self._divide("div", a, b)
        zero, one = self.const(0, a.dtype), self.const(1, a.dtype)
        if a.dtype.kind == "i":
            q, r = self._divide("div", a, b), self._divide("rem", a, b)
            down = self.and_(self.ne(r, zero), self.ne(self.lt(r, zero), self.lt(b, zero)))
            return self.where(down, self.sub(q, one), q)
        r = self.fmod(a, b)
        q = self.div(self.sub(a, r), b)
        down = self.and_(self.ne(r, zero), self.ne(self.lt(r, zero), self.lt(b, zero)))
        q = self.where(down, self.sub(q, one), q)
        whole = self.floor(q)
        whole = self.where(self.gt(self.sub(q, whole), self.const(0.5, a.dtype)), self.add(whole, one), whole)
        snapped = self.where(self.eq(q, zero), self.copysign(zero, self.div(a, b)), whole)
        return self.where(self.eq(b, zero), self.div(a, b), snapped)

    trunc_divide = div

    def isinf(self, a):
        if a.dtype.kind != "f":
            return self.const(False, bool_)
        return self.eq(self.abs(a), self.const(float("inf"), a.dtype))

    def isfinite(self, a):
        if a.dtype.kind != "f":
            return self.const(True, bool_)
        return self.lt(self.abs(a), self.const(float("inf"), a.dtype))

    def signbit(self, a):
        x = self.bits(a)
        return self.lt(x, self.const(0, x.dtype))

    def logical_not(self, a):
        return self.not_(self.cast(a, bool_))

    bitwise_and, bitwise_or, bitwise_xor, bitwise_not = and_, or_, xor, not_

    def _shift(self, op, a, b, over):
        bits = a.dtype.itemsize * 8
        count = Value(b.text, {8: uint8, 16: uint16, 32: uint32, 64: uint64}[bits], b.lanes, b.constant)
        fits = self.lt(count, self.const(bits, count.dtype))
        shifted = self._n(op, a, self.where(fits, b, self.const(0, b.dtype)))
        return self.where(fits, shifted, over)

    def shift_left(self, a, b):
        return self._shift("shl", a, b, self.const(0, a.dtype))

    def shift_right(self, a, b):
        if a.dtype.kind == "u":
            return self._shift("lshr", a, b, self.const(0, a.dtype))
        return self._shift("ashr", a, b, self._n("ashr", a, self.const(a.dtype.itemsize * 8 - 1, a.dtype)))

    def nextafter(self, a, b):
        """One step in the order of the bits, which for floats of one sign is the order of the numbers."""
        x = self.bits(a)
        zero, one = self.const(0, a.dtype), self.const(1, x.dtype)
        away = self.eq(self.gt(b, a), self.gt(a, zero))  # the magnitude grows
        step = self.where(away, self.add(x, one), self.sub(x, one))
        tiny = self.copysign(self.from_bits(one, a.dtype), b)
        moved = self.where(self.eq(a, zero), tiny, self.from_bits(step, a.dtype))
        still = self.where(self.eq(a, b), b, moved)
        return self.where(self.or_(self.isnan(a), self.isnan(b)), self.add(a, b), still)

    def __getattr__(self, name):
        from . import vector_math
        rule = getattr(vector_math, name, None)
        if rule is None or name.startswith("_"):
            raise AttributeError(f"the builder has no instruction {name!r}, and vector_math no function of that name")
        return lambda *values: rule(self, *values)

    # -- memory -------------------------------------------------------------------------------------------------------
    def load(self, pointer: str, d: dtype, lanes: int, mask: str | None = None) -> Value:
        """``lanes`` neighbouring elements; lanes outside the mask are zero."""
        elem = MEMORY[d]
        if lanes == 1:
            return self._loaded(self.f(f"load {elem}, ptr {pointer}, align {d.itemsize}"), d, 1)
        ty = f"<{lanes} x {elem}>"
        if mask is None:
            raw = self.f(f"load {ty}, ptr {pointer}, align {d.itemsize}")
        else:
            name = f"llvm.masked.load.v{lanes}{_INTRINSIC[elem]}.p0"
            self.f.declared.add(f"declare {ty} @{name}(ptr, <{lanes} x i1>, {ty})")
            raw = self.f(f"call {ty} @{name}(ptr align {d.itemsize} {pointer}, <{lanes} x i1> {mask}, "
                          f"{ty} zeroinitializer)")
        return self._loaded(raw, d, lanes)

    def gather(self, pointer: str, offsets: Value, d: dtype, mask: str | None = None) -> Value:
        """Elements at ``pointer`` plus int64 offsets counted in elements; lanes outside the mask are zero."""
        elem, lanes = MEMORY[d], offsets.lanes
        if lanes == 1:
            at = self.f(f"getelementptr {elem}, ptr {pointer}, i64 {offsets.text}")
            return self.load(at, d, 1)
        if d.itemsize >= 4 and self.gathers:
            at = self.f(f"getelementptr {elem}, ptr {pointer}, <{lanes} x i64> {offsets.text}")
            ty = f"<{lanes} x {elem}>"
            name = f"llvm.masked.gather.v{lanes}{_INTRINSIC[elem]}.v{lanes}p0"
            self.f.declared.add(f"declare {ty} @{name}(<{lanes} x ptr>, <{lanes} x i1>, {ty})")
            raw = self.f(f"call {ty} @{name}(<{lanes} x ptr> align {d.itemsize} {at}, <{lanes} x i1> "
                          f"{mask or 'splat (i1 true)'}, {ty} zeroinitializer)")
            return self._loaded(raw, d, lanes)
        if mask is not None:  # lane by lane: lanes outside the mask read the first element
            zero = self.const(0, int64)
            offsets = self.where(Value(mask, bool_, lanes), offsets, zero)
        raw = "poison"
        for k in range(lanes):
            offset = self.f(f"extractelement <{lanes} x i64> {offsets.text}, i32 {k}")
            at = self.f(f"getelementptr {elem}, ptr {pointer}, i64 {offset}")
            one = self.f(f"load {elem}, ptr {at}, align {d.itemsize}")
            raw = self.f(f"insertelement <{lanes} x {elem}> {raw}, {elem} {one}, i32 {k}")
        return self._loaded(raw, d, lanes)

    def _loaded(self, raw: str, d: dtype, lanes: int) -> Value:
        """Memory's form of a dtype in its register form."""
        if d is bool_:
            ty = "i8" if lanes == 1 else f"<{lanes} x i8>"
            return Value(self.f(f"icmp ne {ty} {raw}, {'0' if lanes == 1 else 'zeroinitializer'}"), d, lanes)
        if d in HALVES:
            return self.widen(Value(raw, int16, lanes), d)
        return Value(raw, d, lanes)

    def _stored(self, x: Value, lanes: int) -> str:
        """A register as memory holds it. Values of half precision are rounded already."""
        d = x.dtype
        text = self.operand(x, lanes)
        if d is bool_:
            return self._convert("zext", Value(text, bool_, lanes), int8).text
        if d in HALVES:
            return self.narrow(Value(text, float32, lanes), d).text
        return text

    def store(self, x: Value, pointer: str, lanes: int, mask: str | None = None) -> None:
        d, elem = x.dtype, MEMORY[x.dtype]
        raw = self._stored(x, lanes)
        ty = elem if lanes == 1 else f"<{lanes} x {elem}>"
        if mask is None:
            self.f.do(f"store {ty} {raw}, ptr {pointer}, align {d.itemsize}")
        else:
            name = f"llvm.masked.store.v{lanes}{_INTRINSIC[elem]}.p0"
            self.f.declared.add(f"declare void @{name}({ty}, ptr, <{lanes} x i1>)")
            self.f.do(f"call void @{name}({ty} {raw}, ptr align {d.itemsize} {pointer}, <{lanes} x i1> {mask})")

    def scatter(self, x: Value, pointer: str, offsets: Value, mask: str | None = None) -> None:
        """Stores lanes at ``pointer`` plus int64 offsets counted in elements, in the order of the lanes."""
        d, elem, lanes = x.dtype, MEMORY[x.dtype], offsets.lanes
        if lanes == 1:
            at = self.f(f"getelementptr {elem}, ptr {pointer}, i64 {offsets.text}")
            self.store(x, at, 1)
            return
        raw, ty = self._stored(x, lanes), f"<{lanes} x {elem}>"
        at = self.f(f"getelementptr {elem}, ptr {pointer}, <{lanes} x i64> {offsets.text}")
        name = f"llvm.masked.scatter.v{lanes}{_INTRINSIC[elem]}.v{lanes}p0"
        self.f.declared.add(f"declare void @{name}({ty}, <{lanes} x ptr>, <{lanes} x i1>)")
        self.f.do(f"call void @{name}({ty} {raw}, <{lanes} x ptr> align {d.itemsize} {at}, <{lanes} x i1> "
                  f"{mask or 'splat (i1 true)'})")

    def accumulate(self, a: Value, b: Value, how: str = "add") -> Value:
        """An element of memory combined with a new one, in memory's precision."""
        rule = {"add": self.add, "prod": self.mul, "amax": self.maximum, "amin": self.minimum}[how]
        if a.dtype in HALVES:
            wide = rule(Value(a.text, float32, a.lanes), Value(b.text, float32, b.lanes, b.constant))
            return self.round_half(wide, a.dtype)
        return rule(a, b)

    def philox(self, seed: Value, offset: Value, index: Value) -> Value:
        """Uniform float32 in [0, 1): word ``index`` of the stream of a seed, from a block on (see `diya.philox`)."""
        def word(n):
            return self.const(n, int64)
        low, half = word(0xFFFFFFFF), word(32)
        block = self.add(offset, self.shr(index, word(2)))
        c0, c1 = self.and_(block, low), self.shr(block, half)
        c2 = c3 = word(0)
        k0, k1 = self.and_(seed, low), self.shr(seed, half)
        for _ in range(10):
            first, second = self.mul(c0, word(0xD2511F53)), self.mul(c2, word(0xCD9E8D57))
            c0 = self.xor(self.xor(self.shr(second, half), c1), k0)
            c2 = self.xor(self.xor(self.shr(first, half), c3), k1)
            c1, c3 = self.and_(second, low), self.and_(first, low)
            k0 = self.and_(self.add(k0, word(0x9E3779B9)), low)
            k1 = self.and_(self.add(k1, word(0xBB67AE85)), low)
        at = self.and_(index, word(3))
        high = self.where(self.eq(at, word(2)), c2, c3)
        bits = self.where(self.eq(at, word(0)), c0, self.where(self.eq(at, word(1)), c1, high))
        whole = self.cast(self.shr(bits, word(8)), int32)
        return self.mul(self.cast(whole, float32), self.const(2.0**-24, float32))

    # -- primitives ---------------------------------------------------------------------------------------------------
    def apply(self, op, attrs, values: list[Value]) -> Value:
        """An elementwise primitive: its emit rule, or the instruction of its name. Halves compute in float32."""
        if op.name == "cast":
            return self.convert(values[0], attrs)
        if op.name == "bitcast":
            return self.bitcast(values[0], attrs)
        half = next((v.dtype for v in values if v.dtype in HALVES), None)
        if half is not None:
            if op.name == "where" or op.name in _EXACT:
                return getattr(self, op.name)(*values)
            values = [Value(v.text, float32, v.lanes, v.constant) if v.dtype in HALVES else v for v in values]
        rule = op.emit
        result = rule(self, *values) if rule is not None else getattr(self, op.name)(*values)
        if half is not None and result.dtype is float32:
            if result.constant:
                result = Value(self.operand(result, self.lanes), float32, self.lanes)
            return self.round_half(result, half)
        return result


# Operations of half precision whose result needs no rounding.
_EXACT = frozenset(("neg", "abs", "maximum", "minimum", "copysign"))

