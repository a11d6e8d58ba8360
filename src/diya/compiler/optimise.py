"""Stage 3: the order of loops, vectors and tasks.

Passes over one kernel, in order:

    order      reduced dimensions from the slowest to the fastest in memory, so that the next pass can merge them
    merge      neighbouring dimensions that every map walks as one become one
    vector     the dimension along which most accesses are contiguous runs in lanes
    row_order  what is put at positions held in data goes there row by row, not column by column
    unroll     dimensions of a few elements (the window of a pool) are written out
    tile       where loads lie across the lanes, square tiles of them are transposed in registers
    reuse      what an earlier phase or another op has computed is not computed again (see `reuse`)
    split      a reduction of few long rows may be cut into pieces, so that it has tasks enough (and sums stay accurate)
    grid       tasks: fixed by the shapes alone, never by the number of threads, so that results are too

None looks at sizes where it could help it: a kernel's code must be the same for the next batch size. Sizes decide only
how many tasks there are.
"""

from __future__ import annotations

from functools import lru_cache
from math import copysign, prod

from ..dtypes import float32, int64
from .emit.llvm import HALVES, MEMORY, REGISTER
from .loops import ACCESSES, STORES, Kernel, Launch, Map, Op, Phase, Template, maps_of
from .lower import Lowered
from .reuse import reuse
from .support import COSTS

TASK = 16384        # elements that a task should have at least
SMALL = 4           # the longest dimension that is written out
UNROLLED = 96       # ops, at most, after that
KNOWN = 4096        # kernels that are remembered
PIECES = 64         # at most, of a split reduction
TILED = 10          # ops, at most, of a kernel that is written out for each row of a tile
MAX_TILE = 16       # elements of a tile's side, at most
ROWS = 16           # of a task, at least, of which columns are summed
_PIECE = 32768      # elements of a piece, at least


def optimise(lowered: Lowered, target, temporaries: list[int]) -> list[Launch]:
    """The launches of one kernel. New values for partial results are named from ``temporaries[0]`` on."""
    kernel = lowered.kernel
    assert kernel is not None
    zeros = tuple([copysign(1, op.attr) for op in kernel.ops if op.name == "const" and op.attr.__class__ is float and not op.attr])
    return grid(lowered, *_arranged(kernel, zeros, target), target, temporaries)


@lru_cache(KNOWN)
def _arranged(kernel: Kernel, zeros: tuple[float, ...], target) -> tuple[Kernel, Template, tuple]:
    """A kernel after all passes, its template and its effects: layers of a model, and the same step in another batch size, have
    many in common. ``zeros`` are the signs of its zeros, which are equal otherwise."""
    for rule in PASSES:
        kernel = rule(kernel, target)
    return kernel, Template(kernel), _effects(kernel)


def order(kernel: Kernel, target) -> Kernel:
    if len(kernel.dims) - kernel.kept < 2:
        return kernel
    # The access that varies along most reduced dimensions says how memory lies.
    best, most = None, 0
    for m in _maps(kernel):
        count = sum(1 for s in m.strides[kernel.kept:] if s)
        if count > most:
            best, most = m, count
    if best is None:
        return kernel
    reduced = sorted(range(kernel.kept, len(kernel.dims)), key=lambda d: -abs(best.strides[d]))
    return permute(kernel, [*range(kernel.kept), *reduced])


def merge(kernel: Kernel, target) -> Kernel:
    """Joins d and d + 1 where every map has strides[d] = strides[d + 1] · size[d + 1]."""
    dims, maps = kernel.dims, set(_maps(kernel))
    groups: list[list[int]] = []
    for d in range(len(dims)):
        if groups and d != kernel.kept and all(
                m.strides[d - 1] == m.strides[d] * dims[d] for m in maps):
            groups[-1].append(d)
        else:
            groups.append([d])
    if len(groups) == len(dims):
        return kernel
    sizes = []
    for g in groups:
        n = 1
        for d in g:
            n *= dims[d]
        sizes.append(n)
    last = [g[-1] for g in groups]
    kept = sum(1 for g in groups if g[0] < kernel.kept)
    kernel = kernel._replace(dims=tuple(sizes), kept=kept)
    return remap(kernel, lambda m: Map(tuple([m.strides[d] for d in last]), m.offset))


def vector(kernel: Kernel, target) -> Kernel:
    rank = len(kernel.dims)
    if not rank:
        return kernel
    lanes = _lanes(kernel, target)
    reduces = any(op.name == "reduce" for op in kernel.ops)
    # Lanes must not change one element together.
    barred = {d for op in kernel.ops if op.name == "store" and op.attr[2] != "set" for d in range(rank)
              if op.attr[1].strides[d] == 0}
    if any(op.name == "put" for op in kernel.ops):
        barred |= set(range(kernel.kept, rank))
    if kernel.columns:
        barred |= set(range(kernel.kept))
    allowed = [d for d in range(rank) if d not in barred]
    if not allowed:
        return kernel
    best = min(allowed, key=lambda d: (_cost(kernel, d, lanes, reduces), -d))
    if best < kernel.kept:
        dims = [d for d in range(kernel.kept) if d != best] + [best] + list(range(kernel.kept, rank))
    else:
        dims = [d for d in range(rank) if d != best] + [best]
    if dims != list(range(rank)):
        kernel = permute(kernel, dims)
    # A cheap reduction runs several vectors abreast, to hide the latency of its additions (see `emit.kernel` for those
    # along the lanes).
    if reduces and best < kernel.kept and len(kernel.ops) <= 8 and kernel.dims[dims.index(best)] > 2 * lanes:
        lanes *= 4 if lanes <= 16 else 1
    return kernel._replace(vector="kept" if best < kernel.kept else "reduced", lanes=lanes)


def _lanes(kernel: Kernel, target) -> int:
    """Elements per vector: of the widest float, or where there are none of the widest integer."""
    floats = [max(4, op.dtype.itemsize) for op in kernel.ops if op.dtype.kind == "f"]
    widths = floats or [op.dtype.itemsize for op in kernel.ops if op.name != "index"] or [8]
    return target.vector_bytes // max(widths)


def _cost(kernel: Kernel, d: int, lanes: int, reduces: bool) -> float:
    """Roughly the cycles of an element when lanes run along dimension ``d``."""
    size = kernel.dims[d]
    active = size / -(-size // lanes) if size else 1   # lanes that do something, on average
    rest = 1
    for n in kernel.dims[kernel.kept:]:
        rest *= n
    total = 0.0
    for p in kernel.phases:
        for full, part in enumerate(p):
            share = 1 if full or not rest else 1 / rest  # of kept ops, an element of the loop pays its part
            for op in part:
                total += share * _access(op, d, lanes)
    if reduces and d >= kernel.kept:
        total += 12 / max(size, 1) * lanes
    return total / active


def _access(op: Op, d: int, lanes: int) -> float:
    """Cycles of an op on one vector."""
    maps = maps_of(op)
    if not maps or op.name == "index":
        return 1
    s = maps[0].strides[d]
    return 1 if s in (0, 1) else 3 if s == 2 and op.name == "load" else lanes * (1 if op.name in ("load", "gather") else 2)


def row_order(kernel: Kernel, target) -> Kernel:
    """The loop over elements that may meet in one place goes outside of the lanes, where those are contiguous: a row at a
    time is read and written, in order within one task."""
    v, rank = kernel.vector_dim, len(kernel.dims)
    if kernel.vector != "kept" or kernel.kept == rank or not any(op.name == "put" for op in kernel.ops) or \
            any(op.name == "reduce" for op in kernel.ops) or any(m.strides[v] not in (0, 1) for m in _maps(kernel)):
        return kernel
    kernel = permute(kernel, [*range(v), *range(kernel.kept, rank), v])
    ordered = rank - kernel.kept
    return kernel._replace(kept=rank, phases=(Phase(tuple(kernel.ops)),), ordered=ordered)


def unroll(kernel: Kernel, target) -> Kernel:
    rank, kept = len(kernel.dims), kernel.kept
    vector_dim = kernel.vector_dim
    if vector_dim < 0 or kernel.ordered:
        return kernel
    small = [d for d in (range(kept, rank) if kept < rank else range(kept))
             if d != vector_dim and kernel.dims[d] <= SMALL and not _outermost(kernel, d)]
    copies, chosen = len(kernel.ops), []
    for d in sorted(small, key=lambda d: kernel.dims[d]):
        if copies * kernel.dims[d] <= UNROLLED and kernel.dims[vector_dim] <= 16 * kernel.lanes:
            copies *= kernel.dims[d]
            chosen.append(d)
    if not chosen:
        return kernel
    if kept < rank:  # innermost of the reduced ones, so that what may be cut into pieces is outermost
        tail = [vector_dim] if kernel.vector == "reduced" else []
        dims = [*range(kept), *[d for d in range(kept, rank) if d not in chosen and d not in tail], *sorted(chosen), *tail]
        kernel = permute(kernel, dims)
        chosen = [dims.index(d) for d in chosen]
    return kernel._replace(unrolled=tuple(sorted(chosen)))


def _outermost(kernel: Kernel, d: int) -> bool:
    """Whether a dimension is the one along which the widest access strides farthest: a batch, larger the next time."""
    widest = max(_maps(kernel), key=lambda m: (sum(map(bool, m.strides)), max(map(abs, m.strides), default=0)))
    return abs(widest.strides[d]) == max(map(abs, widest.strides))


def tile(kernel: Kernel, target) -> Kernel:
    v = kernel.vector_dim
    if kernel.vector != "kept" or kernel.kept < len(kernel.dims) or kernel.kept < 2 or kernel.unrolled or \
            len(kernel.ops) > TILED or any(op.name in ("gather", "put") for op in kernel.ops):
        return kernel
    across = [op.attr[1].strides for op in kernel.ops if op.name == "load" and op.attr[1].strides[v] not in (0, 1) and
              MEMORY[op.dtype] == REGISTER[op.dtype]]
    along = [d for d in range(v) if any(strides[d] == 1 for strides in across)]
    if not along:
        return kernel
    d = along[0]
    kernel = permute(kernel, [*[x for x in range(v) if x != d], d, v])
    return kernel._replace(tile=True, lanes=min(kernel.lanes, MAX_TILE))


def split(kernel: Kernel, target) -> Kernel:
    reductions = [op for op in kernel.phases[0].full if op.name == "reduce"]
    able = reductions and not kernel.columns and not any(p.full for p in kernel.phases[1:]) and kernel.kept not in kernel.unrolled
    if not able:
        return kernel
    # The map of a partial result: the kept dimensions, densely.
    types: list = []
    ops = kernel.ops
    for op in reductions:
        d = ops[op.inputs[0]].dtype
        types.append(float32 if d in HALVES else d)
        if op.attr.startswith("arg"):
            types.append(int64)
    first = len(kernel.buffers)
    return kernel._replace(split=True, buffers=kernel.buffers + tuple(types),
                           partials=tuple(range(first, first + len(types))))


# Each with why it stands where it does.
PASSES = (
    order,   # before merge, which joins neighbours only
    merge,   # before vector, so that the vector dimension is as long as it can be
    vector,  # moves the vector dimension last of its kind
    row_order,  # needs to know the lanes
    unroll,  # looks at what is left beside the vector dimension
    tile,    # only where nothing is written out
    reuse,   # keeps rows only where lanes run along them
    split,   # looks at what is outermost now
)


def grid(lowered: Lowered, kernel: Kernel, template: Template, effects: tuple, target, temporaries: list[int]) -> list[Launch]:
    kernel.verify() if VERIFY else None
    dims, kept = kernel.dims, kernel.kept
    reduced = 1
    for n in dims[kept:]:
        reduced *= n
    vector_kept = kernel.vector == "kept"
    inner = dims[kept - 1] if vector_kept else 1
    if kernel.tile:     # it is the tiles' other dimension that is cut into chunks
        inner, reduced = dims[kept - 2], dims[kept - 1]
    rows, written = 1, 1
    for d, n in enumerate(dims[:kept - vector_kept - kernel.tile]):
        if d in kernel.unrolled:
            written *= n
        else:
            rows *= n
    cost = sum(COSTS.get(op.name, 1) for op in kernel.ops)
    weight = max(1, cost // 8)
    most = max(1, TASK // weight)      # elements of a task
    chunk = inner
    in_order = prod(dims[kept - 1 - kernel.ordered:kept - 1])    # rows that are one task's
    if vector_kept:
        step = max(kernel.lanes, 256 if kernel.ordered else 64)
        chunk = min(inner, max(step, -(-max(1, most // (reduced * written * in_order)) // step) * step))
    chunks = -(-inner // chunk) if inner else 1
    per_row = chunk * reduced * written
    block = 1 if chunks > 1 else max(1, min(rows, most // max(per_row, 1)))
    block = -(-block // in_order) * in_order
    if kernel.vector == "none":
        block = rows
    if kernel.columns:
        block = max(block, ROWS, -(-rows // PIECES))
    tasks = -(-rows // block) * chunks
    elements = rows * inner * reduced * written
    work = elements * cost / (8 * max(1, kernel.lanes // 2)) + 20
    values = lowered.values
    writes, inplace = effects
    one = Launch(template.text, _Text(template, target), values, template.arguments(block, chunks, chunk), tasks, writes,
                 work, kernel.row_bytes, inplace, lowered.step)
    if kernel.columns:
        return summed(lowered, kernel, one, target, temporaries)
    if not kernel.split:
        return [one]
    length = dims[kept]
    pieces = min(PIECES, length, elements // _PIECE)
    if tasks >= 32 or pieces < 2:
        return [one._replace(values=values + (values[0],) * len(kernel.partials))]  # which it does not touch
    piece = -(-length // pieces)
    pieces = -(-length // piece)
    kept_size = rows * inner
    made = []
    for b in kernel.partials:
        made.append((temporaries[0], pieces * kept_size * kernel.buffers[b].itemsize))
        temporaries[0] += 1
    one = one._replace(values=values + tuple([t for t, _ in made]), inplace=())
    early = tuple([op.attr[0] for op in kernel.phases[0].full if op.name in ("store", "put")])
    return [one._replace(args=template.arguments(block, chunks, chunk, 1, pieces, piece), tasks=tasks * pieces,
                         writes=early + kernel.partials, temporaries=tuple(made)),
            one._replace(args=template.arguments(block, chunks, chunk, 2, pieces, piece),
                         writes=tuple([w for w in writes if w not in early]), work=kept_size * pieces * 0.2 + 20)]


def summed(lowered: Lowered, kernel: Kernel, one: Launch, target, temporaries: list[int]) -> list[Launch]:
    """The launch of a kernel with column sums, which leaves those of each task, and the launches that add them up."""
    size = prod(kernel.dims[kernel.kept:])
    values, made, after = list(one.values), [], []
    for b in kernel.columns:
        d, whole = kernel.buffers[b], values[b]
        values[b] = temporaries[0]
        temporaries[0] += 1
        made.append((values[b], one.tasks * size * d.itemsize))
        total = Kernel((size, one.tasks), 1, (d, d), (
            Phase((), (Op("load", d, (), (0, Map((1, size)))), Op("reduce", d, (0,), "sum"))),
            Phase((Op("store", d, (1,), (1, Map((1, 0)), "set")),))))
        after += optimise(Lowered(lowered.step, total, (values[b], whole)), target, temporaries)
    return [one._replace(values=tuple(values), temporaries=tuple(made)), *after]


VERIFY = False  # tests turn it on


class _Text:
    """Writes a template's code when asked, for a symbol."""

    __slots__ = ("template", "target")

    def __init__(self, template: Template, target):
        self.template, self.target = template, target

    def __call__(self, symbol: str) -> str:
        from .emit.kernel import emit
        wide = self.target.vector_bytes >= 32   # AVX2 and up: processors that have it convert float16, too
        return emit(self.template, symbol, wide, wide or self.target.arch == "aarch64")


def _effects(kernel: Kernel) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Which buffers are written, and the (written, read) pairs that may be one: every access of both is at one map, and
    no phase after the one that stores reads."""
    maps: dict[int, set] = {}
    writes: dict[int, int] = {}     # the phase that stores first
    reads: dict[int, int] = {}      # the phase that loads last
    for p, phase in enumerate(kernel.phases):
        for op in (*phase.kept, *phase.full):
            if op.name in ACCESSES:
                maps.setdefault(op.attr[0], set()).add(op.attr[1] if op.name in ("load", "store") else None)
                if op.name not in STORES:
                    reads[op.attr[0]] = p
                elif op.attr[0] < len(kernel.buffers) - kernel.rows:
                    writes.setdefault(op.attr[0], p)
    pairs = []
    for w, first in writes.items():
        for r, last in reads.items():
            found = maps[r]
            if r not in writes and last <= first and found == maps[w] and len(found) == 1 and None not in found and \
                    r < len(kernel.buffers) - kernel.rows and kernel.buffers[r].itemsize == kernel.buffers[w].itemsize and \
                    all(s for s, n in zip(next(iter(found)).strides, kernel.dims, strict=True)):
                pairs.append((w, r))
    return tuple(writes), tuple(pairs)


def _maps(kernel: Kernel) -> list[Map]:
    return [m for op in kernel.ops for m in maps_of(op)]


def permute(kernel: Kernel, dims: list[int]) -> Kernel:
    kernel = kernel._replace(dims=tuple([kernel.dims[d] for d in dims]))
    return remap(kernel, lambda m: Map(tuple([m.strides[d] for d in dims]), m.offset))


def remap(kernel: Kernel, change) -> Kernel:
    """The kernel with every map changed."""
    def new(op: Op) -> Op:
        if op.name in ACCESSES:
            return op._replace(attr=(op.attr[0], change(op.attr[1]), *op.attr[2:]))
        return op._replace(attr=change(op.attr)) if op.name == "index" else op
    return kernel._replace(phases=tuple([Phase(tuple([new(op) for op in p.kept]), tuple([new(op) for op in p.full]))
                                         for p in kernel.phases]))
