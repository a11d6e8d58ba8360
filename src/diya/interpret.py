"""Tier 0: a graph run node by node with numpy. It needs no compile and is what the compiler is tested against."""

from __future__ import annotations

import sys

import numpy as np

from .dtypes import load_array, store_array
from .graph import LEAF, SCALAR, Graph, Primitive, Type
from .runtime.arrays import copy
from .runtime.buffer import Buffer

# Kinds whose interpret rule takes an ``overwrite`` flag: the first operand may be updated in place.
_UPDATES = ("write", "index_put", "scatter")


def scalar_array(value, type: Type) -> np.ndarray:
    """A scalar argument as a 0-dim array of the buffer's dtype."""
    d = type.dtype
    if d.kind in "ui" and isinstance(value, int):
        bits = d.itemsize * 8
        value = (value + (1 << (bits - 1) if d.kind == "i" else 0)) % (1 << bits) - (1 << (bits - 1) if d.kind == "i" else 0)
        return np.array(value, d.numpy)
    return store_array(np.asarray(value, np.float32 if d.numpy != d.compute else None), d)


def _apply(op: Primitive, attrs, types, type, arrays, overwrite: bool):
    """One primitive on buffers' arrays, to buffers' arrays of exactly the inferred types."""
    if not op.raw:
        arrays = [load_array(a, t.dtype) for a, t in zip(arrays, types, strict=True)]
    if op.name in _UPDATES:
        out = op.interpret(attrs, *arrays, overwrite=overwrite)  # pyright: ignore[reportOptionalCall]
    elif op.kind in ("source", "view", "fold") or op.name in ("cast", "bitcast"):
        out = op.interpret(attrs, *arrays, type=type)  # pyright: ignore[reportOptionalCall]
    else:
        out = op.interpret(attrs, *arrays)  # pyright: ignore[reportOptionalCall]
    if isinstance(type, tuple):
        return tuple(_finish(o, t, op.raw) for o, t in zip(out, type, strict=True))
    return _finish(out, type, op.raw)


def _finish(out, type: Type, raw: bool) -> np.ndarray:
    out = np.asarray(out)
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
    return np.ascontiguousarray(np.broadcast_to(a, type.shape))


def _apart(a: np.ndarray, arrays) -> bool:
    """Whether an array, made of others, has memory of its own."""
    if not a.flags.writeable or any(isinstance(x, tuple) for x in arrays):  # a pick is one of several results
        return False
    return a.base is None or not any(np.may_share_memory(a, x) for x in arrays)


class Fault(Exception):
    """A node failed while its program ran: ``position`` says which, ``__cause__`` why."""

    def __init__(self, position: int, error: BaseException):
        self.position, self.error = position, error


def run(graph: Graph, arguments: list) -> list[Buffer | Exception]:
    """Runs every instruction in order; arguments are never overwritten.

    An instruction that raises gives its exception as the value of every output that depends on it; the others are
    computed all the same. Buffers of intermediate values are released after their last use.
    """
    code = graph.code
    last = {}
    for i, n in enumerate(code):
        for j in n.inputs:
            last[j] = i
    for j in graph.outputs:
        last[j] = len(code)
    values: list = [None] * len(code)
    owned = [False] * len(code)
    given = iter(arguments)
    with np.errstate(all="ignore"):
        for i, n in enumerate(code):
            if n.op is LEAF:
                values[i] = next(given).typed(n.type.shape, n.type.dtype.numpy)  # pyright: ignore[reportAttributeAccessIssue]
            elif n.op is SCALAR:
                values[i] = scalar_array(next(given), n.type)
            elif i in last:
                arrays = [values[j] for j in n.inputs]
                failed = next((a for a in arrays if isinstance(a, Exception)), None)
                # In place only where nobody else holds the array: neither a later reader nor a numpy view of it (which
                # holds what the memory belongs to).
                overwrite = bool(arrays) and owned[n.inputs[0]] and last[n.inputs[0]] == i \
                    and sys.getrefcount(arrays[0]) <= 3 and (arrays[0].base is None or sys.getrefcount(arrays[0].base) <= 2)
                if failed is None:
                    try:
                        values[i] = _apply(n.op, n.attrs, [code[j].type for j in n.inputs], n.type, arrays, overwrite)
                    except Exception as error:
                        values[i] = failed = error
                        error.__dict__.setdefault("diya_where", n.where)
                else:
                    values[i] = failed
                if isinstance(values[i], np.ndarray):
                    owned[i] = overwrite and values[i] is arrays[0] or _apart(values[i], arrays)
            for j in n.inputs:
                if last[j] == i:
                    values[j] = None
    out = []
    handed: list[np.ndarray] = []
    for j in graph.outputs:
        v = values[j]
        if isinstance(v, Exception):
            out.append(v)
            continue
        try:
            dense = _dense(v, code[j].type)
            if np.may_share_memory(dense, v) and (not owned[j] or any(v is h for h in handed)):
                dense = copy(dense)  # an output never shares memory with an argument or another output
        except MemoryError as error:
            out.append(error)
            continue
        handed.append(v)
        out.append(Buffer.of(dense))
    return out
