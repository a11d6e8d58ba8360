"""Stage 0: long sums with few results are cut into parts, so that threads can share them.

The gradient of a convolution's weight sums over a whole batch for a handful of results: one task, however many
threads there are. Such a contraction becomes one with a further output dimension, a part of the sum each, and a sum
over the parts in their order. How many parts there are follows from the shapes alone, so results do not depend on the
number of threads.
"""

from __future__ import annotations

from ..graph import PRIMITIVES, Affine, Contraction, Graph, Instruction, type_of
from .contraction import task_count

PARTS = 8
WORTH = 4_000_000    # products that make it worth while
LEAST = 512          # products of one result that make a part


def split_sums(graph: Graph) -> Graph:
    """The graph with long sums in parts; the graph itself if there are none."""
    parts = {i: found for i, n in enumerate(graph.code) if n.op.name == "contract" and (found := parts_of(n))}
    if not parts:
        return graph
    code: list[Instruction] = []
    moved: list[int] = []
    for i, n in enumerate(graph.code):
        n = n._replace(inputs=tuple([moved[j] for j in n.inputs]))
        if i in parts:
            var, count = parts[i]
            whole = n.type
            code.append(n._replace(attrs=cut(n.attrs, var, count), type=type_of((count, *whole.shape), whole.dtype)))
            n = Instruction(PRIMITIVES["sum"], (len(code) - 1,), (0,), whole, n.where)
        moved.append(len(code))
        code.append(n)
    return Graph(tuple(code), tuple([moved[j] for j in graph.outputs]), tuple([moved[j] for j in graph.donated]))


def parts_of(n: Instruction) -> tuple[int, int] | None:
    """The index of a contraction's sum that is cut, and into how many parts; None to leave it whole."""
    c, products = n.attrs, 1
    for size in c.sizes:
        products *= size
    if products < WORTH or n.type.dtype.name not in ("float32", "float64") or task_count(c) > 2:
        return None
    for var in range(c.n_out, len(c.sizes)):
        most = min(PARTS, products // n.type.numel // LEAST)
        count = max((p for p in range(1, most + 1) if c.sizes[var] % p == 0), default=1)
        if count > 1:
            return var, count
    return None


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
