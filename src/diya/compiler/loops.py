"""Loop IR: one kernel as a loop nest over affine accesses.

    kernel   = dims (kept first, then reduced), buffers, phases
    phase    = kept ops, then a loop over the reduced dimensions of full ops
    op       = load | store | index | const | reduce | a primitive
    map      = per dimension a stride, and an offset: element offset + Σ i·stride

For every index of the kept dimensions a kernel runs its phases one after the other. A full op is evaluated for every
index of the reduced dimensions too; a ``reduce`` among them makes a kept value that later phases may use. Elementwise
kernels have one phase and no reduced dimension; a sum with what follows it has two; a softmax has three.

A `Kernel` holds the sizes and strides of one use. Its `Template` is what remains when numbers become arguments: only
the rank, dtypes, and per dimension whether an access is broadcast (0) or strided (*); in the vector dimension also
whether it is contiguous (1) or takes every other element (2). The template's text is the key of the compiled code, so
a new batch size compiles nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from ..dtypes import dtype

# What a reduction does with an empty range is its identity (see emit/kernel.py); argmax and argmin also carry an index.
REDUCTIONS = ("sum", "prod", "amax", "amin", "any", "all", "argmax", "argmin")


STORES = ("store", "put", "column")
ACCESSES = ("load", "gather", *STORES)


class Map(NamedTuple):
    """``offset + Σ i[d]·strides[d]``, in elements, over the kernel's dimensions."""

    strides: tuple[int, ...]
    offset: int = 0


class Op(NamedTuple):
    """``name`` on earlier ops (positions in the kernel, counted through all phases, kept before full).

    =========  =======================  ==================================================================
    load       attr (buffer, map)       an element
    gather     attr (buffer, map,       an element at the map plus Σ index·stride; inputs are the indices; ``wrap``
               ((size, stride, wrap),   (the size, or 0) is added to a negative one; outside of the size they are a
               ...))                    fault
    put        attr (buffer, map,       stores its first input where a gather with the other inputs would read
               where, how)
    store      attr (buffer, map, how)  how: "set", or "add", "prod", "amax", "amin" with what is there
    column     attr (buffer, map)       adds to a sum over the kept dimensions: of a task's rows, then over the tasks
    index      attr map                 the map's value itself, int64
    const      attr number              the number
    reduce     attr name                inputs (value,), or (value, index) for argmax and argmin
    philox     none                     inputs (seed, block, index): a uniform float32
    else       attr (primitive, attrs)  an elementwise primitive
    =========  =======================  ==================================================================
    """

    name: str
    dtype: dtype
    inputs: tuple[int, ...] = ()
    attr: Any = None


class Phase(NamedTuple):
    kept: tuple[Op, ...]
    full: tuple[Op, ...] = ()


class Kernel(NamedTuple):
    """``vector``: the dimension that lanes run along: "kept" or "reduced" (the last of its kind), or "none".

    ``split``: whether the first reduced dimension may be cut into pieces. Such a kernel runs in one of three modes
    that its arguments choose: 0 reduces everything; 1 reduces one piece and writes the partial results to the buffers
    ``partials``; 2 reduces those instead of the elements, and goes on as mode 0 does.
    ``unrolled``: dimensions of a few elements that are written out instead of looped over; their sizes are code.
    ``lanes``: elements per vector. ``fault``: the buffer whose first word is set when an index is out of range, or -1.
    ``tile``: the kept dimension before the vectorised one is walked in square tiles, in which loads that lie along it
    are transposed. ``ordered``: how many kept dimensions before the vectorised one are walked in order by one task.
    ``rows``: how many buffers, the last ones, are rows in the thread's workspace, of ``row_bytes`` in all
    (see `reuse`).
    """

    dims: tuple[int, ...]
    kept: int
    buffers: tuple[dtype, ...]
    phases: tuple[Phase, ...]
    vector: str = "none"
    split: bool = False
    lanes: int = 1
    fault: int = -1
    partials: tuple[int, ...] = ()
    unrolled: tuple[int, ...] = ()
    tile: bool = False
    ordered: int = 0
    rows: int = 0
    row_bytes: int = 0

    @property
    def ops(self) -> list[Op]:
        return [op for phase in self.phases for part in phase for op in part]

    @property
    def columns(self) -> list[int]:
        """The buffers that are sums over the kept dimensions."""
        return [op.attr[0] for op in self.ops if op.name == "column"]

    @property
    def vector_dim(self) -> int:
        return {"kept": self.kept - 1, "reduced": len(self.dims) - 1, "none": -1}[self.vector]

    def verify(self) -> Kernel:
        """Checks the form that the emitter relies on; returns the kernel."""
        rank = len(self.dims)
        _check(0 <= self.kept <= rank, "more kept dimensions than dimensions")
        _check(self.vector != "kept" or self.kept > 0, "no kept dimension to vectorise")
        _check(self.vector != "reduced" or self.kept < rank, "no reduced dimension to vectorise")
        full_ops: set[int] = set()
        position = 0
        for p, phase in enumerate(self.phases):
            local: set[int] = set()
            for full, part in enumerate(phase):
                for op in part:
                    for j in op.inputs:
                        _check(j < position, f"%{position} reads %{j}, which is not before it")
                        _check(j not in full_ops or j in local, f"%{position} reads %{j} of another loop")
                        _check(full or j not in local, f"%{position} is kept but reads the full %{j}")
                    _check(op.name != "reduce" or full, f"%{position}: a reduction outside of a loop")
                    if full and op.name != "reduce":
                        local.add(position)
                    for m in maps_of(op):
                        _check(len(m.strides) == rank, f"%{position}: a map of rank {len(m.strides)} in rank {rank}")
                        _check(full or not any(m.strides[self.kept:]), f"%{position}: kept but varies along the loop")
                    position += 1
            full_ops |= local
            _check(self.kept < rank or not phase.full, f"phase {p} loops over no dimension")
        return self

    def __str__(self):
        return "\n".join(_print(self, lambda m: f"[{', '.join(map(str, m.strides))}; {m.offset}]", self.dims))

    def template(self) -> Template:
        """The kernel without its numbers, and the numbers in the order of the template's arguments."""
        return Template(self)


def _check(ok, message: str) -> None:
    if not ok:
        raise AssertionError("loop IR: " + message)


def maps_of(op: Op) -> tuple[Map, ...]:
    if op.name in ACCESSES:
        return (op.attr[1],)
    return (op.attr,) if op.name == "index" else ()


def _print(kernel: Kernel, show, dims) -> list[str]:
    """The lines of a kernel or template; ``show`` prints a map."""
    names = [f"k{d}" for d in range(kernel.kept)] + [f"r{d}" for d in range(len(kernel.dims) - kernel.kept)]
    shape = ", ".join(f"{n}={s}" if d in kernel.unrolled else n if dims is None else f"{n}<{s}"
                      for d, (n, s) in enumerate(zip(names, kernel.dims, strict=True)))
    buffers = ", ".join(f"b{i} {d.name}" for i, d in enumerate(kernel.buffers))
    split = ", partials " + " ".join([f"b{i}" for i in kernel.partials]) if kernel.split else ""
    fault = f", fault b{kernel.fault}" if kernel.fault >= 0 else ""
    more = (f", rows {kernel.rows}" if kernel.rows else "") + (", tiles" if kernel.tile else "") + \
        (f", ordered {kernel.ordered}" if kernel.ordered else "")
    lines = [f"kernel ({shape}) vector {kernel.vector} x{kernel.lanes}{split}{fault}{more}", f"  buffers {buffers}"]
    n = 0
    for p, phase in enumerate(kernel.phases):
        for full, part in enumerate(phase):
            if part:
                lines.append(f"  {'loop' if full else 'kept'} {p}:")
            for op in part:
                args = [f"%{j}" for j in op.inputs]
                if op.name in ("load", "store", "column"):
                    text = f"b{op.attr[0]}{show(op.attr[1])}"
                    if op.name == "store" and op.attr[2] != "set":
                        text += f" {op.attr[2]}"
                elif op.name in ("gather", "put"):
                    where = ", ".join(["*" if dims is None else f"<{a} *{b}" + " wraps" * bool(c) for a, b, c in op.attr[2]])
                    text = f"b{op.attr[0]}{show(op.attr[1])} at {where}" + (f" {op.attr[3]}" if op.name == "put" else "")
                elif op.name == "index":
                    text = show(op.attr)
                elif op.name in ("const", "reduce"):
                    text = str(op.attr)
                else:
                    text = "" if op.attr is None or op.attr[1] is None else str(op.attr[1])
                body = " ".join([op.name, op.dtype.name, *([text] if text else []), *args])
                lines.append(f"    {body}" if op.name in STORES else f"    %{n} = {body}")
                n += 1
    return lines


class Template:
    """What of a `Kernel` its code depends on. ``args`` are the kernel's own numbers, laid out as

        rows per task, chunks, chunk length, mode, pieces, piece length, sizes of dims, then for each map: offset and
        "*" strides, then for each gather: size, stride and wrap of each index.

    ``maps`` are the distinct maps: the pattern of each, a character a dimension.
    """

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self._maps: dict[Map, int] = {}
        self.patterns: list[str] = []
        vector = kernel.vector_dim
        known = (vector - 1,) if kernel.tile else [d for d in kernel.unrolled if d < kernel.kept]
        for op in kernel.ops:
            for m in maps_of(op):
                if m not in self._maps:
                    self._maps[m] = len(self.patterns)
                    self.patterns.append("".join(
                        ["0" if s == 0 else str(s) if d == vector and 0 < s < 3 or s == 1 and d in known else "*"
                         for d, s in enumerate(m.strides)]))

    def map(self, m: Map) -> int:
        return self._maps[m]

    @cached_property
    def text(self) -> str:
        return "\n".join(_print(self.kernel, lambda m: f"[m{self._maps[m]} {self.patterns[self._maps[m]]}]", None))

    def arguments(self, rows: int, chunks: int, chunk: int, mode: int = 0, pieces: int = 1, piece: int = 0):
        out = [rows, chunks, chunk, mode, pieces, piece, *self.kernel.dims]
        for m, pattern in zip(self._maps, self.patterns, strict=True):
            out.append(m.offset)
            out += [s for s, c in zip(m.strides, pattern, strict=True) if c == "*"]
        for op in self.kernel.ops:
            if op.name in ("gather", "put"):
                for index in op.attr[2]:
                    out += index
        return tuple(out)

    def layout(self) -> tuple[list[int], int]:
        """Where each map's numbers start among the arguments, and where the gathers' do."""
        at, starts = HEAD + len(self.kernel.dims), []
        for pattern in self.patterns:
            starts.append(at)
            at += 1 + pattern.count("*")
        return starts, at


HEAD = 6  # arguments before the sizes


class Launch(NamedTuple):
    """One use of a kernel: what of it is code, and what is argument.

    ``key`` names the code (equal keys, equal code) and ``text(symbol)`` writes it as LLVM IR. ``values`` are the
    program's values behind the kernel's buffers; ``reads``, ``writes`` the positions among them that it does. ``work``
    is an estimate of its time in nanoseconds on one core. ``inplace`` are pairs (written, read) of positions that may
    be one buffer.
    """

    key: str
    text: Callable[[str], str]
    values: tuple[int, ...]
    args: tuple[int, ...]
    tasks: int
    writes: tuple[int, ...]
    work: float = 0.0
    scratch: int = 0
    inplace: tuple[tuple[int, int], ...] = ()
    step: Any = None
    temporaries: tuple[tuple[int, int], ...] = ()
