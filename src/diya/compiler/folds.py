"""Stage 0: sums of values that are zero but for a part each become one value that is written part by part.

The gradient of a part of a tensor is a `fold`: the part's gradient amid zeros. Those of all parts (the chunks of a
projection, the steps of a sequence) are added up, one addition of whole tensors for each. Where the parts do not
overlap, that is one tensor with each of them written to its place, which the memory plan does in place.
"""

from __future__ import annotations

from math import prod
from typing import Any

from ..graph import PRIMITIVES, Graph, Instruction, contiguous_strides, type_of

MAX_PAIRS = 64      # parts, at most, that are compared each with each

Box = tuple[tuple[int, int], ...]   # of each dimension: first and end


def join_folds(graph: Graph) -> Graph:
    """The graph with such sums as writes; the graph itself if there are none."""
    code: Any = graph.code
    if sum(n.op.name == "fold" for n in code) == 0:
        return graph
    uses = [0] * len(code)
    for n in code:
        for j in n.inputs:
            uses[j] += 1
    for j in graph.outputs:
        uses[j] += 1
    sums: dict[int, tuple[list[int], list[int]]] = {}   # of the last addition: the folds, and what else it adds (one, at most)
    inner: set[int] = set()
    for i in range(len(code) - 1, -1, -1):
        if i not in inner and is_sum(code, i):
            found = terms(code, uses, i)
            if found is not None:
                folds, rest, dropped = found
                sums[i] = folds, rest
                inner |= dropped
    if not sums:
        return graph
    return rewritten(graph, sums, inner)


def is_sum(code, i: int) -> bool:
    n = code[i]
    return n.op.name == "add" and all(code[j].type is n.type for j in n.inputs)


def terms(code, uses, i: int) -> tuple[list[int], list[int], set[int]] | None:
    """The folds that a sum adds up, in their order, what else, and the instructions that go away; None if it stays."""
    folds, rest, dropped, todo = [], [], set(), [i]
    while todo:
        k = todo.pop()
        if k != i and uses[k] > 1:
            rest.append(k)
        elif k == i or is_sum(code, k):
            todo += reversed(code[k].inputs)
            dropped.add(k)
        elif code[k].op.name == "fold" and code[code[k].inputs[0]].type.shape == code[k].attrs[1][0]:
            folds.append(k)
            dropped.add(k)
        else:
            rest.append(k)
        if len(rest) > 1:
            return None
    boxes = [box(code[k].attrs) for k in folds]
    if len(folds) + len(rest) < 2 or None in boxes or not apart(boxes):
        return None
    return folds, rest, dropped - {i}


def box(attrs) -> Box | None:
    """The part of a fold's result that its operand makes up, if that is a box."""
    shape, (sizes, strides, offset) = attrs
    if 0 in shape or 0 in sizes:
        return None
    dense = contiguous_strides(shape)
    extent = {stride: n for n, stride in zip(sizes, strides, strict=True) if n > 1}
    if len(extent) != sum(n > 1 for n in sizes):
        return None
    out = []
    for n, stride in zip(shape, dense, strict=True):
        first, offset = divmod(offset, stride) if n > 1 else (0, offset)
        size = extent.pop(stride, 1) if n > 1 else 1
        if first + size > n:
            return None
        out.append((first, first + size))
    return None if extent or offset else tuple(out)


def apart(boxes: list) -> bool:
    """Whether no two boxes overlap."""
    varied = [d for d in range(len(boxes[0])) if any(b[d] != boxes[0][d] for b in boxes)] if boxes else []
    if len(varied) == 1:
        ranges = sorted(b[varied[0]] for b in boxes)
        return all(a[1] <= b[0] for a, b in zip(ranges, ranges[1:], strict=False))
    return len(boxes) <= MAX_PAIRS and all(any(a[1] <= b[0] or b[1] <= a[0] for a, b in zip(x, y, strict=True))
                                           for k, x in enumerate(boxes) for y in boxes[:k])


def rewritten(graph: Graph, sums, inner: set[int]) -> Graph:
    code: Any = graph.code
    out: list[Instruction] = []
    moved: list[int] = []

    def add(name: str, inputs, attrs, type) -> int:
        out.append(Instruction(PRIMITIVES[name], tuple(inputs), attrs, type))
        return len(out) - 1

    for i, n in enumerate(code):
        if i in inner:
            moved.append(-1)
            continue
        if i not in sums:
            out.append(n._replace(inputs=tuple([moved[j] for j in n.inputs])))
            moved.append(len(out) - 1)
            continue
        folds, rest = sums[i]
        if rest:
            value = moved[rest[0]]
        elif sum(prod(code[k].attrs[1][0]) for k in folds) == n.type.numel:
            value = add("empty", (), (n.type.shape, n.type.dtype), n.type)
        else:
            first, *folds = folds
            value = add("fold", [moved[code[first].inputs[0]]], code[first].attrs, n.type)
        for k in folds:
            where = code[k].attrs[1]
            part = moved[code[k].inputs[0]]
            if rest:
                type = type_of(where[0], n.type.dtype)
                part = add("add", [add("view", [value], where, type), part], None, type)
            value = add("write", [value, part], where, n.type)
        moved.append(value)
    return Graph(tuple(out), tuple([moved[j] for j in graph.outputs]), tuple([moved[j] for j in graph.donated]))
