"""The graph: what a program is before it is scheduled.

A node is one primitive applied to nodes. Its value is an immutable, dense, row-major array of its `Type`; tensors,
views, storages and gradients are above this level, kernels and buffers below it. Elementwise primitives broadcast as
numpy does and take operands of one dtype (casts are nodes); `view` and `write` say which elements move where:

    view(x; shape, strides, offset)          y[i] = flat(x)[offset + Σ i·strides]       (strides may be 0 or negative)
    write(x, v; shape, strides, offset)      a copy of x with flat(x)[offset + Σ i·strides] = v[i]
    fold(v; shape, (vshape, strides, offset))  zeros(shape) with flat[offset + Σ i·strides] += v[i]
    contract(a, b; Contraction)              Σ over the reduced indices of a[affine] · b[affine]
    sum|prod|amax|amin|any|all(x; dims)      dims are removed
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from . import dtypes
from .device import CPU
from .dtypes import dtype


class Size(tuple):
    """A shape. A tuple of ints with PyTorch's ``numel()`` and repr."""

    __slots__ = ()

    def __new__(cls, items=()):
        return tuple.__new__(cls, items)

    def numel(self) -> int:
        n = 1
        for s in self:
            n *= s
        return n

    def __repr__(self):
        return f"torch.Size([{', '.join(map(str, self))}])"

    __str__ = __repr__

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other):
        return Size(tuple(other) + tuple(self))

    def __mul__(self, n):
        return Size(tuple.__mul__(self, n))

    __rmul__ = __mul__

    def __getitem__(self, i):
        item = tuple.__getitem__(self, i)
        return Size(item) if isinstance(i, slice) else item

    def __reduce__(self):
        return Size, (tuple(self),)


class Type:
    """Shape and dtype of a value. Interned: equal types are one object, so they hash and compare by identity."""

    __slots__ = ("shape", "dtype", "numel", "nbytes", "strides", "__weakref__")

    def __init__(self, shape: Size, dtype: dtype):
        self.shape, self.dtype = shape, dtype
        self.numel = shape.numel()
        self.nbytes = self.numel * dtype.itemsize
        self.strides = contiguous_strides(shape)

    def __repr__(self):
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"

    def __reduce__(self):
        return type_of, (tuple(self.shape), self.dtype)


_types: WeakValueDictionary[tuple, Type] = WeakValueDictionary()
_lately: dict[tuple, Type] = {}  # of those, some that would otherwise die between one use and the next
MAX_LATELY = 4096


def type_of(shape: tuple[int, ...], dtype: dtype) -> Type:
    key = (shape if shape.__class__ is Size else tuple(shape), dtype)
    found = _lately.get(key)
    if found is None:
        found = _types.get(key)
        if found is None:
            found = _types.setdefault(key, Type(Size(shape), dtype))
        if len(_lately) >= MAX_LATELY:
            _lately.clear()
        _lately[key] = found
    return found


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides in elements; a dimension of size 0 counts as 1, as PyTorch has it."""
    strides, n = [], 1
    for s in reversed(shape):
        strides.append(n)
        n *= s if s > 1 else 1
    return tuple(reversed(strides))


class Affine(NamedTuple):
    """``const + Σ coeff · index[var]``: one coordinate of an operand of a contraction."""

    terms: tuple[tuple[int, int], ...]  # (var, coeff), var ascending
    const: int = 0


class Contraction(NamedTuple):
    """``out[i₀…] = Σ a[…] · b[…]``; the first ``n_out`` index variables are the output's dimensions, the rest are summed.

    ``a`` and ``b`` give a coordinate for each dimension of their operand; a coordinate outside the operand reads as 0
    (padding). A matrix product (m,k)·(k,n) is ``Contraction((m,n,k), 2, (v0,v2), (v2,v1))``; a 2-d convolution reads
    its input at ``oh·stride + kh·dilation − padding``.
    """

    sizes: tuple[int, ...]
    n_out: int
    a: tuple[Affine, ...]
    b: tuple[Affine, ...]


class Primitive:
    """One operator of the graph: all that the engine, the interpreter and the compiler know of it.

    ``kind``: ``elementwise`` | ``reduce`` | ``view`` | ``write`` | ``fold`` | ``contract`` | ``source`` (no inputs) |
    ``index`` (reads or writes at positions held in data) | ``scan`` | ``host`` (opaque: only ``interpret`` is known) |
    ``pick`` (one output of a node that has several) | ``leaf`` | ``scalar`` | ``call``.

    ``infer(attrs, *types)`` gives the result's `Type` (a tuple of them for several outputs) and raises for wrong input.
    ``interpret(attrs, *arrays)`` gives the result with numpy; arithmetic kinds get numbers (half precisions as
    float32), ``view``/``write``/``index`` kinds get the buffers' own bits. ``emit(b, *values)`` writes it for the
    compiler against an abstract builder `b` of vector instructions; none for kinds that the compiler lowers by itself.
    ``faults``: may raise while running (its user line is kept).
    """

    __slots__ = ("name", "kind", "infer", "interpret", "emit", "faults", "raw")

    def __init__(self, name: str, kind: str, infer: Callable, interpret: Callable | None = None,
                 emit: Callable | None = None, faults: bool = False, raw: bool = False):
        self.name, self.kind, self.infer, self.interpret = name, kind, infer, interpret
        self.emit, self.faults = emit, faults
        self.raw = raw or kind in ("view", "write", "index", "pick")

    def __repr__(self):
        return self.name


PRIMITIVES: dict[str, Primitive] = {}


def primitive(name: str, kind: str, infer: Callable, **rules: Any) -> Primitive:
    """Adds a primitive to the table."""
    if name in PRIMITIVES:
        raise ValueError(f"primitive {name!r} is defined twice")
    PRIMITIVES[name] = made = Primitive(name, kind, infer, **rules)
    return made


LEAF = primitive("leaf", "leaf", lambda attrs: attrs)
SCALAR = primitive("scalar", "scalar", lambda attrs: attrs)
CALL = primitive("call", "call", lambda recording, *types: recording.types)  # while pending alone: see recording.py


class Signature:
    """A primitive with its attributes on operands of given types, and the type that it infers. Interned by the engine:
    inference runs once for each, and a program's key is made of their ids."""

    __slots__ = ("op", "attrs", "type", "id")
    _count = 0

    def __init__(self, op: Primitive, attrs, type):
        self.op, self.attrs, self.type = op, attrs, type
        Signature._count += 1
        self.id = Signature._count


class Node:
    """A recorded value. ``value`` is None while pending, then its Buffer (the number, for a scalar; the exception, if
    running it failed). ``type`` is a tuple where the primitive has several outputs; ``pick`` nodes select one."""

    __slots__ = ("signature", "type", "inputs", "value", "index", "__weakref__")
    where: tuple[str, int, str] | None = None  # the user's line
    device = CPU  # where the value is

    def __init__(self, signature, type, inputs, value=None):
        self.signature, self.type, self.inputs, self.value = signature, type, inputs, value

    @property
    def op(self) -> Primitive:
        return self.signature.op

    @property
    def attrs(self):
        return self.signature.attrs

    def __repr__(self):
        return f"<{self.type} = {self.op}>"


class LocatedNode(Node):
    """A pending node that keeps the user's line that recorded it."""

    __slots__ = ("where",)

    def __init__(self, signature, inputs, where):
        super().__init__(signature, signature.type, inputs)
        self.where = where


class Instruction(NamedTuple):
    """A node of a frozen `Graph`; operands are positions of earlier instructions."""

    op: Primitive
    inputs: tuple[int, ...]
    attrs: Any
    type: Type | tuple[Type, ...]
    where: tuple[str, int, str] | None = None


class Graph(NamedTuple):
    """A program: instructions in topological order, leaves and scalars among them as the arguments, in order.

    ``outputs`` are the positions whose values are wanted. ``donated`` are leaf positions whose old value nobody reads
    after the program: their buffers may be overwritten and become outputs.
    """

    code: tuple[Instruction, ...]
    outputs: tuple[int, ...]
    donated: tuple[int, ...] = ()

    @property
    def arguments(self) -> tuple[int, ...]:
        return tuple(i for i, n in enumerate(self.code) if n.op is LEAF or n.op is SCALAR)

    def verify(self) -> Graph:
        """Checks that the graph is well-formed and that every type is what its primitive infers; returns it."""
        for i, n in enumerate(self.code):
            if any(not 0 <= j < i for j in n.inputs):
                raise AssertionError(f"%{i} = {n.op}: operands {n.inputs} do not come before it")
            if n.op not in (LEAF, SCALAR):
                got = n.op.infer(n.attrs, *(self.code[j].type for j in n.inputs))
                if got != n.type:
                    raise AssertionError(f"%{i} = {n.op}{n.attrs}: type {n.type}, but it infers {got}")
            elif n.inputs:
                raise AssertionError(f"%{i}: a {n.op} takes no operands")
        for j in self.outputs:
            if not 0 <= j < len(self.code) or isinstance(self.code[j].type, tuple):
                raise AssertionError(f"output %{j} is not a single value of the graph")
        for j in self.donated:
            if self.code[j].op is not LEAF:
                raise AssertionError(f"donated %{j} is not a leaf")
        return self

    def __str__(self) -> str:
        lines = []
        for i, n in enumerate(self.code):
            attrs = "" if n.attrs is None or n.op in (LEAF, SCALAR) else f"; {n.attrs}"
            args = ", ".join(f"%{j}" for j in n.inputs)
            where = f"    # {n.where[0]}:{n.where[1]}" if n.where else ""
            given = "  (donated)" if i in self.donated else ""
            lines.append(f"%{i}: {n.type} = {n.op}({args}{attrs}){given}{where}")
        return "\n".join(lines) + "\nreturn " + ", ".join(f"%{j}" for j in self.outputs)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape under numpy's rule. Raises RuntimeError as PyTorch words it."""
    rank = max(map(len, shapes), default=0)
    out = [1] * rank
    for shape in shapes:
        for d, s in enumerate(shape, rank - len(shape)):
            if s != 1:
                if out[d] != 1 and out[d] != s:
                    raise RuntimeError(
                        f"The size of tensor a ({out[d]}) must match the size of tensor b ({s}) at non-singleton "
                        f"dimension {d}: shapes {', '.join(str(list(x)) for x in shapes)} do not broadcast")
                out[d] = s
    return tuple(out)


def infer_elementwise(attrs, *types: Type) -> Type:
    """Broadcast shape, the operands' dtype."""
    first = types[0]
    if all(t is first for t in types):
        return first
    return type_of(broadcast_shapes(*(t.shape for t in types)), first.dtype)


def infer_predicate(attrs, *types: Type) -> Type:
    """Broadcast shape, bool."""
    return type_of(broadcast_shapes(*(t.shape for t in types)), dtypes.bool_)
