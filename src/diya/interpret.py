"""Tier 0: a graph run node by node with numpy. It needs no compile and is what the compiler is tested against."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from .dtypes import load_array, store_array
from .graph import LEAF, SCALAR, Graph, Instruction, Primitive, Type, contiguous_strides
from .runtime.arrays import SMALL, copy, empty
from .runtime.buffer import Buffer
from .views import overlaps_itself

# Kinds whose interpret rule takes an ``overwrite`` flag: the first operand may be updated in place.
_UPDATES = ("write", "index_put", "scatter")


def scalar_array(value, type: Type) -> np.ndarray:
    """A scalar argument as a 0-dim array of the buffer's dtype."""
    d = type.dtype
    if value.__class__ is float and d.kind == "f" and d.plain and -1e38 < value < 1e38:
        return np.array(value, d.numpy)
    if d.kind in "ui" and isinstance(value, int):
        bits = d.itemsize * 8
        value = (value + (1 << (bits - 1) if d.kind == "i" else 0)) % (1 << bits) - (1 << (bits - 1) if d.kind == "i" else 0)
        return np.array(value, d.numpy)
    return store_array(np.asarray(value, d.compute if d.numpy != d.compute else None), d)


class Ufunc:
    """The rule of a primitive that a ufunc of numpy, or a function like one, computes: it may write its result where it is
    told to, over an operand, too."""

    __slots__ = ("function",)

    def __init__(self, function: Callable):
        self.function = function

    def __call__(self, attrs, *arrays, out: np.ndarray | None = None):
        return self.function(*arrays, out=out)


def _apply(op: Primitive, attrs, types, type, arrays, overwrite: bool, out: np.ndarray | None = None):
    """One primitive on buffers' arrays, to buffers' arrays of exactly the inferred types; in ``out``, if that is given."""
    if out is not None:
        return op.interpret(attrs, *arrays, out=out)  # pyright: ignore[reportOptionalCall]
    if op.kind == "elementwise" and type.__class__ is Type and type.numel >= 4 * PIECE and not op.raw \
            and op.name not in ("cast", "bitcast") and all(
                [a.ndim == 0 or a.shape == type.shape and a.flags.c_contiguous for a in arrays]):
        return _in_pieces(op, attrs, types, type, arrays)
    if not op.raw:
        for k, t in enumerate(types):
            if t.__class__ is Type and not t.dtype.plain:
                arrays = list(arrays)
                arrays[k] = load_array(arrays[k], t.dtype)
    if op.name in _UPDATES:
        out = op.interpret(attrs, *arrays, overwrite=overwrite)  # pyright: ignore[reportOptionalCall]
    elif op.kind in ("source", "view", "fold") or op.name in ("cast", "bitcast"):
        out = op.interpret(attrs, *arrays, type=type)  # pyright: ignore[reportOptionalCall]
    else:
        out = op.interpret(attrs, *arrays)  # pyright: ignore[reportOptionalCall]
    if isinstance(type, tuple):
        return tuple(_finish(o, t, op.raw) for o, t in zip(out, type, strict=True))
    return _finish(out, type, op.raw)


PIECE = 1 << 16  # elements: what a rule makes on the way to its result stays in the cache


def _in_pieces(op: Primitive, attrs, types, type, arrays) -> np.ndarray:
    """An elementwise primitive on large arrays."""
    out = np.empty(type.shape, type.dtype.numpy)
    flat, operands = out.reshape(-1), [a if a.ndim == 0 else a.reshape(-1) for a in arrays]
    for begin in range(0, flat.size, PIECE):
        part = slice(begin, begin + PIECE)
        pieces = [load_array(a if a.ndim == 0 else a[part], t.dtype) for a, t in zip(operands, types, strict=True)]
        flat[part] = _finish(op.interpret(attrs, *pieces), type, False)  # pyright: ignore[reportOptionalCall]
    return out


def _finish(out, type: Type, raw: bool) -> np.ndarray:
    out = np.asarray(out)
    if type.dtype.plain and out.dtype == type.dtype.numpy:
        return out
    if raw and out.dtype == type.dtype.numpy:
        return out
    return store_array(out, type.dtype)


def evaluate(op: Primitive, attrs, types, type, buffers: list[Buffer | int | float | complex | bool]):
    """One primitive on buffers (numbers, for scalars); returns a Buffer, or a list of them for several outputs."""
    arrays = [b.typed(t.shape, t.dtype.numpy) if isinstance(b, Buffer) else scalar_array(b, t)
              for b, t in zip(buffers, types, strict=True)]
    with np.errstate(all="ignore"):
        out = _apply(op, attrs, types, type, arrays, False)
    if isinstance(type, tuple):
        return [Buffer.of(_dense(o, t)) for o, t in zip(out, type, strict=True)]
    out = _dense(out, type)
    return Buffer.of(out.copy() if any(np.may_share_memory(out, a) for a in arrays) else out)


def _dense(a: np.ndarray, type: Type) -> np.ndarray:
    a = a.reshape(type.shape) if a.size == type.numel else np.broadcast_to(a, type.shape)
    return a if a.flags.c_contiguous else copy(a)


def _room(type: Type, types: list[Type], arrays, free: list[bool]) -> np.ndarray | None:
    """Where a ufunc may write its result: over an operand that nobody needs any more, or in memory from the pool. None
    where numpy's result might have another dtype."""
    if type.dtype.numpy.kind != "f" or any(t.dtype is not type.dtype for t in types) or type.nbytes < SMALL \
            or type.dtype.numpy != type.dtype.compute:
        return None
    for t, a, unused in zip(types, arrays, free, strict=True):
        if unused and t is type:
            return a
    return empty(type.shape, type.dtype.numpy)


def _apart(a: np.ndarray, arrays) -> bool:
    """Whether an array, made of others, has memory of its own, and each element a place of its own in it."""
    flags = a.flags
    if not flags.writeable or arrays and arrays[0].__class__ is tuple:  # a pick is one of several results
        return False
    if not flags.c_contiguous and overlaps_itself(a.shape, a.strides):
        return False
    return a.base is None or not any(np.may_share_memory(a, x) for x in arrays)


class Fault(Exception):
    """A node failed while its program ran: ``position`` says which, ``__cause__`` why."""

    def __init__(self, position: int, error: BaseException):
        self.position, self.error = position, error


def _contract_spread(attrs, a, b):
    from .numerics.contract import contract_spread
    return contract_spread(attrs, a, b)


_CONTRACT_SPREAD = Primitive("contract.spread", "contract", lambda attrs, a, b: None, interpret=_contract_spread)


def _without_spreads(code: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    """The instructions with contractions looking through the zeros that strided convolutions' gradients put between the
    elements of an operand."""
    steps = {i: found for i, n in enumerate(code) if n.op.name == "fold" and (found := _spread_steps(n))}
    if not steps:
        return code
    made = list(code)
    for i, n in enumerate(code):
        if n.op.name == "contract" and any(j in steps for j in n.inputs):
            ranks = [len(code[j].type.shape) for j in n.inputs]  # pyright: ignore[reportAttributeAccessIssue]
            each = [steps.get(j, (1,) * rank) for j, rank in zip(n.inputs, ranks, strict=True)]
            inputs = tuple([code[j].inputs[0] if j in steps else j for j in n.inputs])
            made[i] = n._replace(op=_CONTRACT_SPREAD, inputs=inputs, attrs=(n.attrs, *each))
    return tuple(made)


def _spread_steps(n: Instruction) -> tuple[int, ...] | None:
    """How far apart a fold puts the elements of each dimension, if that is all that it does."""
    shape, (inner, strides, offset) = n.attrs
    dense = contiguous_strides(shape)
    if offset or len(inner) != len(shape) or 0 in shape:
        return None
    steps = tuple([st // d if s > 1 else 1 for s, st, d in zip(inner, strides, dense, strict=True)])
    exact = all(step > 0 and (s == 1 or st == d * step) and n == (s - 1) * step + 1
                for s, st, d, n, step in zip(inner, strides, dense, shape, steps, strict=True))
    return steps if exact and any(step > 1 for step in steps) else None


def run(graph: Graph, arguments: list) -> list[Buffer | Exception]:
    """Runs every instruction in order; arguments are never overwritten.

    An instruction that raises gives its exception as the value of every output that depends on it; the others are
    computed all the same. Buffers of intermediate values are released after their last use.
    """
    code = _without_spreads(graph.code)
    last = {}
    for i, n in enumerate(code):
        for j in n.inputs:
            last[j] = i
    for j in graph.outputs:
        last[j] = len(code)
    values: list = [None] * len(code)
    owned = [False] * len(code)
    out, failures = None, False
    given = iter(arguments)
    with np.errstate(all="ignore"):
        for i, n in enumerate(code):
            if n.op is LEAF:
                values[i] = next(given).typed(n.type.shape, n.type.dtype.numpy)  # pyright: ignore[reportAttributeAccessIssue]
            elif n.op is SCALAR:
                values[i] = scalar_array(next(given), n.type)
            elif i in last:
                arrays = [values[j] for j in n.inputs]
                failed = next((a for a in arrays if isinstance(a, Exception)), None) if failures else None
                # In place only where it pays, and nobody else holds the array: neither a later reader nor a numpy view of it
                # (which holds what the memory belongs to).
                free = [] if isinstance(n.type, Type) and n.type.nbytes < SMALL else [
                    owned[j] and last[j] == i and sys.getrefcount(arrays[k]) <= 3
                    and (arrays[k].base is None or sys.getrefcount(arrays[k].base) <= 2) for k, j in enumerate(n.inputs)]
                overwrite = bool(free) and free[0]
                if failed is None:
                    try:
                        types = [code[j].type for j in n.inputs]
                        out = _room(n.type, types, arrays, free) if free and n.op.interpret.__class__ is Ufunc else None
                        values[i] = _apply(n.op, n.attrs, types, n.type, arrays, overwrite, out)
                    except Exception as error:
                        values[i] = failed = error
                        failures = True
                        error.__dict__.setdefault("diya_where", n.where)
                else:
                    values[i] = failed
                if values[i].__class__ is np.ndarray:
                    owned[i] = values[i] is out or overwrite and values[i] is arrays[0] or _apart(values[i], arrays)
            for j in n.inputs:
                if last[j] == i:
                    values[j] = None
    results: list[Buffer | Exception] = []
    handed: list[np.ndarray] = []
    for j in graph.outputs:
        v = values[j]
        if isinstance(v, Exception):
            results.append(v)
            continue
        try:
            dense = _dense(v, code[j].type)
            if np.may_share_memory(dense, v) and (not owned[j] or any(v is h for h in handed)):
                dense = copy(dense)  # an output never shares memory with an argument or another output
        except MemoryError as error:
            results.append(error)
            continue
        handed.append(v)
        results.append(Buffer.of(dense))
    return results
