"""Stage 0: long sums with few results are cut into parts, so that threads can share them.

The gradient of a convolution's weight sums over a whole batch for a handful of results: one task, however many
threads there are. A row times a matrix is one, too, since the matrix's rows are read from end to end. Such a
contraction becomes one with a further output dimension, a part of the sum each, and a sum over the parts in their
order. How many parts there are follows from the shapes alone, so results do not depend on the number of threads.
"""

from __future__ import annotations

from math import prod

from ..graph import PRIMITIVES, Affine, Contraction, Graph, Instruction, type_of
from .contraction import reads_whole_rows, task_count

PARTS = 8
ROWS_PARTS = 2       # of a matrix that is multiplied by a few rows
WORTH = 60_000       # products a sample (an index of the sum's first variable) that make it worth while
LONG = 1 << 14       # the length of a sum over one variable that does


def split_sums(graph: Graph) -> Graph:
    """The graph with long sums in parts; the graph itself if there are none."""
    parts = {i: found for i, n in enumerate(graph.code) if n.op.name == "contract" and
             (found := parts_of(n, graph.code[n.inputs[1]].op.kind != "view"))}
    if not parts:
        return graph
    code: list[Instruction] = []
    moved: list[int] = []
    for i, n in enumerate(graph.code):
        n = n._replace(inputs=tuple([moved[j] for j in n.inputs]))
        if i in parts:
            var, count = parts[i]
            whole = n.type
            code.append(n._replace(attrs=cut(n.attrs, var, count), type=type_of((count, *whole.shape), whole.dtype)))  # pyright: ignore[reportAttributeAccessIssue]
            n = Instruction(PRIMITIVES["sum"], (len(code) - 1,), (0,), whole, n.where)
        moved.append(len(code))
        code.append(n)
    return Graph(tuple(code), tuple([moved[j] for j in graph.outputs]), tuple([moved[j] for j in graph.donated]))


def parts_of(n: Instruction, dense: bool = True) -> tuple[int, int] | None:
    """The index of a contraction's sum that is cut, and into how many parts; None to leave it whole.

    The first index of the sum, where there are others, is a batch as a rule: it has no say, so that another batch size
    needs no other code. ``dense``: whether b is no view; of a transposed matrix dot products are taken.
    """
    c = n.attrs
    if n.type.dtype.name not in ("float32", "float64") or len(c.sizes) == c.n_out:  # pyright: ignore[reportAttributeAccessIssue]
        return None
    first, *rest = range(c.n_out, len(c.sizes))
    if dense and reads_whole_rows(c):
        count = max(p for p in range(1, ROWS_PARTS + 1) if c.sizes[first] % p == 0)
        return (first, count) if count > 1 else None
    long = n.type.numel * prod(c.sizes[v] for v in rest) >= WORTH if rest else c.sizes[first] >= LONG  # pyright: ignore[reportAttributeAccessIssue]
    if not long or task_count(c) > 2:
        return None
    counts = {v: max(p for p in range(1, PARTS + 1) if c.sizes[v] % p == 0) for v in rest or [first]}
    var = max(counts, key=lambda v: (counts[v], -v))
    return (var, counts[var]) if counts[var] > 1 else None


def cut(c: Contraction, var: int, count: int) -> Contraction:
    """The contraction with ``count`` parts of the index ``var`` as the output's first dimension."""
    size = c.sizes[var] // count

    def rewritten(coordinates: tuple[Affine, ...]) -> tuple[Affine, ...]:
        out = []
        for terms, const in coordinates:
            part = [(0, q * size) for v, q in terms if v == var]
            out.append(Affine((*part, *[(v + 1, q) for v, q in terms]), const))
        return tuple(out)

    sizes = (count, *[size if v == var else n for v, n in enumerate(c.sizes)])
    return Contraction(sizes, c.n_out + 1, rewritten(c.a), rewritten(c.b))
