"""Stage 3: the order of loops, vectors and tasks.

Passes over one kernel, in order:

    order      reduced dimensions from the slowest to the fastest in memory, so that the next pass can merge them
    merge      neighbouring dimensions that every map walks as one become one
    vector     the dimension along which most accesses are contiguous runs in lanes
    split      a reduction of few long rows may be cut into pieces, so that it has tasks enough (and sums stay accurate)
    grid       tasks: fixed by the shapes alone, never by the number of threads, so that results are too

None looks at sizes where it could help it: a kernel's code must be the same for the next batch size. Sizes decide only
how many tasks there are.
"""

from __future__ import annotations

from ..dtypes import float32, int64
from .emit.llvm import HALVES
from .loops import Kernel, Launch, Map, Op, Phase, Template, maps_of
from .lower import FAULT, Lowered
from .support import COSTS

TASK = 16384        # elements that a task should have at least
PIECES = 64         # at most, of a split reduction
_PIECE = 32768      # elements of a piece, at least


def optimise(lowered: Lowered, target, temporaries: list[int]) -> list[Launch]:
    """The launches of one kernel. New values for partial results are named from ``temporaries[0]`` on."""
    kernel = lowered.kernel
    for rule in PASSES:
        kernel = rule(kernel, target)
    return grid(lowered, kernel, target, temporaries)


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
    lanes = target.vector_bytes // max([_width(op) for op in kernel.ops], default=4)
    score = [0.0] * rank
    for op in kernel.ops:
        for m in maps_of(op):
            if op.name != "index":
                weight = 3 if op.name in ("store", "put") else 2
                for d in range(rank):
                    s = m.strides[d]
                    score[d] += weight if s == 1 else 1 if s == 0 else -weight
    has_reduction = any(op.name == "reduce" for op in kernel.ops)
    # Lanes must not add to one element.
    barred = {d for op in kernel.ops if op.name == "store" and op.attr[2] != "set" for d in range(rank)
              if op.attr[1].strides[d] == 0}
    if any(op.name == "put" for op in kernel.ops):
        barred |= set(range(kernel.kept, rank))
    if len(barred) == rank:
        return kernel
    for d in range(rank):
        if kernel.dims[d] < lanes // 2:
            score[d] -= 4
        if has_reduction and d >= kernel.kept:
            score[d] += 0.5  # rows in registers: one horizontal sum at the end
        if not has_reduction and d >= kernel.kept:
            score[d] -= 2
    best = max((d for d in range(rank) if d not in barred), key=lambda d: (score[d], d))
    if best < kernel.kept:
        dims = [d for d in range(kernel.kept) if d != best] + [best] + list(range(kernel.kept, rank))
    else:
        dims = [d for d in range(rank) if d != best] + [best]
    if dims != list(range(rank)):
        kernel = permute(kernel, dims)
    # A cheap reduction runs several vectors abreast, to hide the latency of its additions.
    if has_reduction and len(kernel.ops) <= 8 and lanes <= 16:
        lanes *= 4
    return kernel._replace(vector="kept" if best < kernel.kept else "reduced", lanes=lanes)


def split(kernel: Kernel, target) -> Kernel:
    reductions = [op for op in kernel.phases[0].full if op.name == "reduce"]
    able = reductions and not any(p.full for p in kernel.phases[1:])
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
    split,   # looks at what is outermost now
)


def grid(lowered: Lowered, kernel: Kernel, target, temporaries: list[int]) -> list[Launch]:
    kernel.verify() if VERIFY else None
    template = Template(kernel)
    dims, kept = kernel.dims, kernel.kept
    reduced = 1
    for n in dims[kept:]:
        reduced *= n
    vector_kept = kernel.vector == "kept"
    inner = dims[kept - 1] if vector_kept else 1
    rows = 1
    for n in dims[:kept - vector_kept]:
        rows *= n
    cost = sum(COSTS.get(op.name, 1) for op in kernel.ops)
    weight = max(1, cost // 8)
    most = max(1, TASK // weight)      # elements of a task
    chunk = inner
    if vector_kept:
        step = max(kernel.lanes, 64)
        chunk = min(inner, max(step, -(-max(1, most // reduced) // step) * step))
    chunks = -(-inner // chunk) if inner else 1
    per_row = chunk * reduced
    block = 1 if chunks > 1 else max(1, min(rows, most // max(per_row, 1)))
    if kernel.vector == "none":
        block = rows
    tasks = -(-rows // block) * chunks
    elements = rows * inner * reduced
    work = elements * cost / (8 * max(1, kernel.lanes // 2)) + 20
    values = lowered.values
    writes, inplace = _effects(kernel)
    common = dict(key=template.text, text=_Text(template, target), writes=writes, inplace=inplace,
                  step=lowered.step)
    if not kernel.split:
        return [Launch(values=values, args=template.arguments(block, chunks, chunk), tasks=tasks, work=work, **common)]
    length = dims[kept]
    pieces = min(PIECES, length, elements // _PIECE)
    if tasks >= 32 or pieces < 2:
        # The partial buffers are not touched: any value will do.
        values += (values[0],) * len(kernel.partials)
        return [Launch(values=values, args=template.arguments(block, chunks, chunk), tasks=tasks, work=work, **common)]
    piece = -(-length // pieces)
    pieces = -(-length // piece)
    kept_size = rows * inner
    made = []
    for b in kernel.partials:
        made.append((temporaries[0], pieces * kept_size * kernel.buffers[b].itemsize))
        temporaries[0] += 1
    partial = tuple([t for t, _ in made])
    common["inplace"] = ()
    full_stores = tuple([op.attr[0] for op in kernel.phases[0].full if op.name == "store"])
    first = Launch(values=values + partial, args=template.arguments(block, chunks, chunk, 1, pieces, piece),
                   tasks=tasks * pieces, work=work, temporaries=tuple(made),
                   **{**common, "writes": full_stores + kernel.partials})
    second = Launch(values=values + partial, args=template.arguments(block, chunks, chunk, 2, pieces, piece),
                    tasks=tasks, work=kept_size * pieces * 0.2 + 20,
                    **{**common, "writes": tuple([w for w in writes if w not in full_stores])})
    return [first, second]


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
    nothing reads after the store (one phase only)."""
    maps: dict[int, set] = {}
    writes: dict[int, None] = {}
    for op in kernel.ops:
        if op.name in ("load", "store", "gather", "put"):
            maps.setdefault(op.attr[0], set()).add(op.attr[1] if op.name in ("load", "store") else None)
            if op.name in ("store", "put"):
                writes[op.attr[0]] = None
    pairs = []
    if len(kernel.phases) == 1:
        for w in writes:
            for r, found in maps.items():
                if r not in writes and found == maps[w] and len(found) == 1 and \
                        kernel.buffers[r].itemsize == kernel.buffers[w].itemsize and None not in found and \
                        all(s for s, n in zip(next(iter(found)).strides, kernel.dims, strict=True)):
                    pairs.append((w, r))
    return tuple(writes), tuple(pairs)


def _width(op: Op) -> int:
    """Bytes of an element of an op's value in a register."""
    if op.dtype.kind == "b" or op.name in ("const", "store", "put"):
        return 1
    if op.name == "load" and not any(op.attr[1].strides):
        return 1
    return max(4, op.dtype.itemsize) if op.dtype.kind == "f" else op.dtype.itemsize


def _maps(kernel: Kernel) -> list[Map]:
    return [m for op in kernel.ops for m in maps_of(op)]


def permute(kernel: Kernel, dims: list[int]) -> Kernel:
    kernel = kernel._replace(dims=tuple([kernel.dims[d] for d in dims]))
    return remap(kernel, lambda m: Map(tuple([m.strides[d] for d in dims]), m.offset))


def remap(kernel: Kernel, change) -> Kernel:
    """The kernel with every map changed."""
    def new(op: Op) -> Op:
        if op.name in ("load", "store", "gather", "put"):
            return op._replace(attr=(op.attr[0], change(op.attr[1]), *op.attr[2:]))
        return op._replace(attr=change(op.attr)) if op.name == "index" else op
    return kernel._replace(phases=tuple([Phase(tuple([new(op) for op in p.kept]), tuple([new(op) for op in p.full]))
                                         for p in kernel.phases]))
