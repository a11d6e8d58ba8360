"""Machine code for a generator's words and for what `diya.sampling` makes of them: normal numbers of float32, permutations.

All give what the numpy code there gives (and PyTorch); polynomials are really fused here, where numpy rounds a product and
a sum of doubles, which differs in one of some 10**8 numbers by its last bit.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ...compiler.emit.text import Function
from ...numerics import cephes
from . import load

LANES = 8  # a block of normal numbers is made of two vectors of uniform ones
_REAL, _INT = f"<{LANES} x float>", f"<{LANES} x i32>"
_N, _M = 624, 397  # words in MT19937's state, and how far apart those are that are mixed


def words(state: int, n: int) -> np.ndarray:
    """The next ``n`` words (uint32) of the MT19937 whose state is at an address: 624 words and the position of the next."""
    out = np.empty(n, np.uint32)
    call, _ = _loaded("words", _words, 3)
    call(state, out.ctypes.data, n)
    return out


def floats(words: np.ndarray) -> np.ndarray:
    """24 bits of each word as a float32 in [0, 1)."""
    out = np.empty(words.size, np.float32)
    call, _ = _loaded("floats", _floats, 3)
    call(words.ctypes.data, out.ctypes.data, words.size)
    return out


def normals(words: np.ndarray) -> np.ndarray:
    """Standard normal float32 of as many words (uint32, a multiple of 16)."""
    out = np.empty(words.size, np.float32)
    call, _ = _loaded("normals", _normals, 3)
    call(words.ctypes.data, out.ctypes.data, words.size // (2 * LANES))
    return out


def shuffled(words: np.ndarray) -> np.ndarray:
    """0 .. len(words) after the shuffle of Fisher and Yates by the words (uint32)."""
    order = np.arange(words.size + 1)
    call, _ = _loaded("shuffle", _shuffle, 3)
    call(words.ctypes.data, order.ctypes.data, words.size)
    return order


_known: dict[str, tuple[Any, Any]] = {}


def _loaded(name: str, text: Any, parameters: int) -> tuple[Any, Any]:
    """A function to call, and what keeps its code mapped."""
    if name not in _known:
        (entry,) = load.load([(name, text())])
        _known[name] = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (parameters - 1), ctypes.c_int64)(entry), entry
    return _known[name]


@cache
def _splat(x: float) -> str:
    """A vector of equal floats; ``x`` is rounded to float32."""
    bits = struct.pack(">d", float(np.float32(x))).hex().upper()
    return "<" + ", ".join([f"float 0x{bits}"] * LANES) + ">"


def _ints(n: int) -> str:
    return "<" + ", ".join([f"i32 {n}"] * LANES) + ">"


class _Vectors:
    """Arithmetic on vectors of float32, as instructions of a function."""

    def __init__(self, f: Function):
        self.f = f

    def add(self, a: str, b: str) -> str:
        return self.f(f"fadd {_REAL} {a}, {b}")

    def mul(self, a: str, b: str) -> str:
        return self.f(f"fmul {_REAL} {a}, {b}")

    def fma(self, a: str, b: str, c: str) -> str:
        return self._intrinsic("fma", a, b, c)

    def sqrt(self, a: str) -> str:
        return self._intrinsic("sqrt", a)

    def _intrinsic(self, name: str, *values: str) -> str:
        called = f"{_REAL} @llvm.{name}.v{LANES}f32"
        self.f.declared.add(f"declare {called}({', '.join([_REAL] * len(values))})")
        return self.f(f"call {called}({', '.join([f'{_REAL} {x}' for x in values])})")

    def horner(self, x: str, coefficients: Sequence[float]) -> str:
        first, *rest = coefficients
        y = _splat(first)
        for c in rest:
            y = self.fma(y, x, _splat(c))
        return y

    def real(self, i: str) -> str:
        return self.f(f"sitofp {_INT} {i} to {_REAL}")

    def bitwise(self, op: str, a: str, n: int) -> str:
        return self.f(f"{op} {_INT} {a}, {_ints(n)}")

    def select(self, condition: str, a: str, b: str) -> str:
        return self.f(f"select <{LANES} x i1> {condition}, {_REAL} {a}, {_REAL} {b}")

    def bit(self, i: str, n: int) -> str:
        return self.f(f"icmp ne {_INT} {self.bitwise('and', i, n)}, zeroinitializer")

    def uniform(self, pointer: str) -> str:
        """24 bits of each word as a number in [0, 1)."""
        word = self.bitwise("and", self.f.load(_INT, pointer, 4), 2**24 - 1)
        return self.mul(self.f(f"uitofp {_INT} {word} to {_REAL}"), _splat(2.0**-24))


def _normals() -> str:
    """The Box-Muller transform of blocks of 8 + 8 words."""
    f = Function("normals", [("ptr", "words"), ("ptr", "out"), ("i64", "blocks")])
    v = _Vectors(f)
    with f.loop(0, "%blocks") as turn:
        first = f.mul(turn.i, 2 * LANES)
        second = f.add(first, LANES)
        u = v.uniform(f.at("i32", "%words", first))
        log = _log(v, f(f"fsub {_REAL} {_splat(1)}, {u}"))
        radius = v.sqrt(v.mul(log, _splat(-2)))
        sine, cosine = _sine_cosine(v, v.mul(v.uniform(f.at("i32", "%words", second)), _splat(2 * np.pi)))
        f.store(_REAL, v.mul(radius, cosine), f.at("float", "%out", first), 4)
        f.store(_REAL, v.mul(radius, sine), f.at("float", "%out", second), 4)
    f.do("ret void")
    return _module(f)


def _log(v: _Vectors, x: str) -> str:
    f = v.f
    bits = f(f"bitcast {_REAL} {x} to {_INT}")
    exponent = v.bitwise("sub", v.bitwise("ashr", bits, 23), 126)
    m = f(f"bitcast {_INT} {v.bitwise('or', v.bitwise('and', bits, 0x007FFFFF), 0x3F000000)} to {_REAL}")
    small = f(f"fcmp olt {_REAL} {m}, {_splat(0.707106781186547524)}")
    exponent = v.real(f(f"add {_INT} {exponent}, {f(f'sext <{LANES} x i1> {small} to {_INT}')}"))
    m = v.add(v.add(m, _splat(-1)), v.select(small, m, "zeroinitializer"))
    square = v.mul(m, m)
    tail = v.mul(v.horner(m, cephes.LOG), m)
    tail = v.fma(tail, square, v.mul(exponent, _splat(cephes.LN2_LOW)))
    tail = v.fma(square, _splat(-0.5), tail)
    return v.fma(exponent, _splat(cephes.LN2_HIGH), v.add(m, tail))


def _sine_cosine(v: _Vectors, x: str) -> tuple[str, str]:
    f = v.f
    octant = f(f"fptosi {_REAL} {v.mul(x, _splat(4 / np.pi))} to {_INT}")
    octant = v.bitwise("and", v.bitwise("add", octant, 1), -2)
    y = v.real(octant)
    for part in cephes.PI_4:
        x = v.fma(y, _splat(-part), x)
    square = v.mul(x, x)
    cosine = v.mul(v.horner(square, cephes.COS), square)
    cosine = v.add(v.fma(cosine, square, v.mul(square, _splat(-0.5))), _splat(1))
    sine = v.mul(v.horner(square, cephes.SIN), square)
    sine = v.fma(sine, x, x)
    swap = v.bit(octant, 2)
    sine, cosine = v.select(swap, cosine, sine), v.select(swap, sine, cosine)
    sine = v.select(v.bit(octant, 4), f(f"fneg {_REAL} {sine}"), sine)
    return sine, v.select(v.bit(v.bitwise("add", octant, 2), 4), f(f"fneg {_REAL} {cosine}"), cosine)


def _words() -> str:
    f = Function("words", [("ptr", "state"), ("ptr", "out"), ("i64", "n")])
    position = f.at("i32", "%state", _N)
    first = f(f"sext i32 {f.load('i32', position)} to i64")
    with f.repeat([("i64", first), ("i64", "0")]) as turn:
        at, done = turn.state
        spent = f.compare("sge", at, _N)
        with f.when(spent):
            _twist(f)
        at = f.select(spent, "i64", 0, at)
        count = f.min(f.sub(_N, at), f.sub("%n", done))
        _in_vectors(f, 0, count, lambda i, kind: f.store(
            kind, _tempered(f, kind, f.load(kind, f.at("i32", "%state", f.add(at, i)), 4)), f.at("i32", "%out", f.add(done, i)), 4))
        turn.next = [f.add(at, count), f.add(done, count)]
        turn.again = f.compare("slt", turn.next[1], "%n")
    f.store("i32", f(f"trunc i64 {turn.state[0]} to i32"), position)
    f.do("ret void")
    return _module(f)


def _in_vectors(f: Function, begin: int, end: Any, body: Any) -> None:
    """``body(index, type)`` over a range: on vectors, then on single words."""
    whole = f.sub(end, f.rem(f.sub(end, begin), LANES))
    with f.loop(begin, whole, LANES) as turn:
        body(turn.i, _INT)
    with f.loop(whole, end) as turn:
        body(turn.i, "i32")


def _of(kind: str, n: int) -> str:
    return str(n) if kind == "i32" else _ints(n)


def _mixed(f: Function, kind: str, upper: str, lower: str, far: str) -> str:
    """The recurrence of MT19937 (Matsumoto and Nishimura, 1998): the top bit of a word, the rest of the next, and one far off."""
    y = f(f"or {kind} {f(f'and {kind} {upper}, {_of(kind, -2**31)}')}, {f(f'and {kind} {lower}, {_of(kind, 2**31 - 1)}')}")
    odd = f(f"sub {kind} zeroinitializer, {f(f'and {kind} {y}, {_of(kind, 1)}')}")
    mask = f(f"and {kind} {odd}, {_of(kind, 0x9908B0DF - 2**32)}")
    return f(f"xor {kind} {f(f'xor {kind} {far}, {mask}')}, {f(f'lshr {kind} {y}, {_of(kind, 1)}')}")


def _twist(f: Function) -> None:
    """The next 624 words."""
    def word(kind: str, i: Any) -> str:
        return f.load(kind, f.at("i32", "%state", i), 4)

    def mix(offset: int):
        return lambda i, kind: f.store(kind, _mixed(f, kind, word(kind, i), word(kind, f.add(i, 1)), word(kind, f.add(i, offset))),
                                       f.at("i32", "%state", i), 4)
    _in_vectors(f, 0, _N - _M, mix(_M))
    _in_vectors(f, _N - _M, _N - 1, mix(_M - _N))
    last = _mixed(f, "i32", word("i32", _N - 1), word("i32", 0), word("i32", _M - 1))
    f.store("i32", last, f.at("i32", "%state", _N - 1), 4)


def _tempered(f: Function, kind: str, y: str) -> str:
    steps = ("lshr", 11, -1), ("shl", 7, 0x9D2C5680 - 2**32), ("shl", 15, 0xEFC60000 - 2**32), ("lshr", 18, -1)
    for shift, amount, mask in steps:
        moved = f(f"{shift} {kind} {y}, {_of(kind, amount)}")
        moved = moved if mask == -1 else f(f"and {kind} {moved}, {_of(kind, mask)}")
        y = f(f"xor {kind} {y}, {moved}")
    return y


def _floats() -> str:
    f = Function("floats", [("ptr", "words"), ("ptr", "out"), ("i64", "n")])

    def make(i: Any, kind: str) -> None:
        real = _REAL if kind == _INT else "float"
        bits = f(f"and {kind} {f.load(kind, f.at('i32', '%words', i), 4)}, {_of(kind, 2**24 - 1)}")
        scale = _splat(2.0**-24) if kind == _INT else "0x3E70000000000000"
        f.store(real, f(f"fmul {real} {f(f'uitofp {kind} {bits} to {real}')}, {scale}"), f.at("float", "%out", i), 4)
    _in_vectors(f, 0, "%n", make)
    f.do("ret void")
    return _module(f)


def _shuffle() -> str:
    """For i in 0 .. n - 1: swap order[i] with order[i + words[i] % (n + 1 - i)]."""
    f = Function("shuffle", [("ptr", "words"), ("ptr", "order"), ("i64", "n")])
    with f.loop(0, "%n") as turn:
        word = f.load("i32", f.at("i32", "%words", turn.i))
        left = f(f"trunc i64 {f.sub(f.add('%n', 1), turn.i)} to i32")
        step = f(f"urem i32 {word}, {left}")
        other = f.at("i64", "%order", f.add(turn.i, f(f"zext i32 {step} to i64")))
        here = f.at("i64", "%order", turn.i)
        a, b = f.load("i64", here), f.load("i64", other)
        f.store("i64", a, other)
        f.store("i64", b, here)
    f.do("ret void")
    return _module(f)


def _module(f: Function) -> str:
    return "\n".join([*sorted(f.declared), str(f)])
