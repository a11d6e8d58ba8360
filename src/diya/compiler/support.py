"""What the compiler runs as native code. All else is a host step: the interpreter's rule on the program's buffers."""

from __future__ import annotations

from typing import Any

from ..graph import LEAF, SCALAR, Graph
from .emit.llvm import SUPPORTED, Builder

# Costs of recomputing a value, in additions.
COSTS = {"div": 3, "sqrt": 4, "rsqrt": 5, "reciprocal": 3, "cast": 1, "where": 1, "philox": 60, "iota": 0, "gather": 6,
         "index": 6}
COSTS.update(dict.fromkeys("exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh "
                           "atanh erf erfc sigmoid pow atan2 hypot".split(), 12))
HEAVY = 40

_MATHS = frozenset("exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf "
                   "erfc sigmoid pow atan2 hypot".split())
# Instructions of the builder that hold for every supported dtype, and those that hold for floats alone.
_ANY = frozenset("neg abs sign floor ceil trunc round add sub mul maximum minimum fmax fmin eq ne lt le gt ge where cast "
                 "bitcast isnan isinf isfinite logical_not bitwise_and bitwise_or bitwise_xor bitwise_not shift_left "
                 "shift_right signbit".split())
_FLOAT = frozenset("div sqrt rsqrt reciprocal copysign nextafter".split()) | _MATHS
# Of integers alone: of floats they need the C library's exact remainder. A zero divisor is a fault.
DIVISIONS = frozenset("floor_divide trunc_divide remainder fmod".split())
_REDUCE = frozenset("sum prod amax amin any all argmax argmin".split())


def native(graph: Graph, i: int) -> bool:
    """Whether an instruction becomes (part of) a kernel."""
    code: Any = graph.code
    n = code[i]
    op, kind = n.op, n.op.kind
    if op is LEAF or op is SCALAR:
        return True
    if isinstance(n.type, tuple) or n.type.dtype not in SUPPORTED:
        return False
    for j in n.inputs:
        t = code[j].type
        if isinstance(t, tuple) or t.dtype not in SUPPORTED:
            return False
    if kind == "elementwise":
        return elementwise(op, code[n.inputs[-1]].type.dtype)
    if kind == "reduce":
        return op.name in _REDUCE
    if kind == "index":
        if op.name == "scatter":
            x, index, v = (code[j].type for j in n.inputs)
            if v.shape != index.shape and v.numel != 1 or x.shape and len(x.shape) != len(index.shape):
                return False
        return op.name in ("gather", "index", "scatter", "index_put")
    if kind == "source":
        return op.name in ("iota", "empty", "philox")
    if kind == "contract":
        return n.type.dtype.kind == "f"
    if kind == "scan":
        return op.name in ("cumsum", "cumprod") and bool(n.type.shape) and n.type.dtype.name in ("float32", "float64", "int64")
    return kind in ("view", "write", "fold")


def faults(graph: Graph, i: int) -> bool:
    """Whether a kernel may find fault with the data of an instruction."""
    n: Any = graph.code[i]
    return n.op.kind == "index" or n.op.name in DIVISIONS


def elementwise(op, d) -> bool:
    """Whether a primitive can be written for operands of a dtype."""
    if op.emit is not None:
        return True
    name = op.name
    if d.kind == "b" and name in ("signbit", "shift_left", "shift_right"):
        return False
    if name in _ANY or name in DIVISIONS and d.kind in "ui":
        return True
    return name in _FLOAT and d.kind == "f" and (name not in _MATHS or _has_maths(name))


def _has_maths(name: str) -> bool:
    try:
        from .emit import vector_math
    except ImportError:
        return False
    return hasattr(vector_math, name) or name in Builder.__dict__
