"""The walk: gradients flow from the roots along the tape, latest operation first."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from .. import engine, recording
from ..graph import Node
from ..tensor import from_node
from . import replay
from .modes import modes, set_grad_enabled
from .tape import AccumulateGrad, NodeBase


def _reachable(roots: list[NodeBase], create_graph: bool) -> dict[NodeBase, int]:
    """Every node that the roots reach, with the number of edges into it."""
    counts: dict[NodeBase, int] = dict.fromkeys(roots, 0)
    stack = list(counts)
    while stack:
        node = stack.pop()
        for edge in node.edges:
            if edge is not None and edge[0].captured:
                node.edges = tuple([e and _as_written(e, create_graph) for e in node.edges])
                break
        for edge in node.edges:
            if edge is not None:
                node = edge[0]
                if node not in counts:
                    counts[node] = 0
                    stack.append(node)
                counts[node] += 1
    return counts


def _as_written(edge: tuple[NodeBase, int], create_graph: bool) -> tuple[NodeBase, int]:
    """The edge, or where it leads in the tape that a captured call would have left."""
    node = edge[0]
    if node.captured and (create_graph or node.written is not None or node.changed()):  # type: ignore[attr-defined]
        return node.as_written(edge[1])
    return edge


def _on_path(nodes: dict[NodeBase, int], targets: set) -> set[NodeBase]:
    """The nodes from which a target can be reached."""
    useful = {n for n in nodes if n in targets}
    parents: dict[NodeBase, list[NodeBase]] = {}
    for n in nodes:
        for edge in n.edges:
            if edge is not None:
                parents.setdefault(edge[0], []).append(n)
    stack = list(useful)
    while stack:
        for p in parents.get(stack.pop(), ()):
            if p not in useful:
                useful.add(p)
                stack.append(p)
    return useful


def run(roots: list[tuple[NodeBase, int]], grads: list, create_graph: bool, retain_graph: bool,
        captures: dict[tuple[NodeBase, int], list[int]] | None = None, results: list | None = None,
        accumulate: bool = True, until: frozenset = frozenset()) -> None:
    """Runs backward from ``roots`` (edges) with their gradients.

    ``captures`` maps an edge to positions of ``results`` that want the gradient arriving there; with it only what leads
    to a capture is computed. Without ``accumulate`` leaves' ``.grad`` stay as they are. The rules of nodes in ``until`` do not run.
    """
    if modes.dual:
        create_graph = retain_graph = True
    if captures is None and not create_graph and len(roots) == 1 and not engine.batched and engine.capturing is None:
        tape = replay.read(*roots[0], grads[0])
        found = tape is not None and replay.find(tape)
        if tape is not None and found is not False:
            if found is None:
                gradients = _captured(tape, roots, retain_graph)
            else:
                gradients = replay.again(tape, found, retain_graph)
            _accumulate_values(gradients)
            return
    _walk(roots, grads, create_graph, retain_graph, captures, results, accumulate, until=until)


def _captured(tape: replay.Tape, roots, retain_graph: bool) -> list[tuple[AccumulateGrad, Node]]:
    """Walks a tape whose form is met for the second time, and remembers what that recorded."""
    grads = [from_node(next(iter(tape.inputs)))]  # a dense one: of a view, its base would be recorded, whatever it held
    gradients: list[tuple[AccumulateGrad, Node]] = []
    applied: list[NodeBase] = []
    with recording.Capture(list(tape.inputs)) as capture:
        _walk(roots, grads, False, retain_graph, None, None, True, lambda leaf, g: gradients.append((leaf, g._value())), applied)
    replay.keep(tape, capture, gradients, applied)
    return gradients


def _walk(roots, grads, create_graph: bool, retain_graph: bool, captures, results, accumulate: bool,
          deliver: Callable | None = None, applied: list[NodeBase] | None = None, until: frozenset = frozenset()) -> None:
    """The walk itself. ``deliver(leaf, g)`` takes what arrives at leaves, if it is not to be accumulated; ``applied`` gets the
    nodes whose rules ran."""
    if any(n.captured for n, _ in roots):
        roots = [_as_written(r, create_graph) for r in roots]
    if captures is not None and any(n.captured for n, _ in captures):
        captures = {_as_written(e, create_graph): places for e, places in captures.items()}
    counts = _reachable([n for n, _ in roots], create_graph)
    useful = None
    if captures is not None and not accumulate:
        useful = _on_path(counts, {n for n, _ in captures})
    pending: dict[NodeBase, list] = {}
    ready: list[tuple[int, int, NodeBase]] = []
    seen: set[NodeBase] = set()

    def arrive(node: NodeBase, nr: int, g) -> None:
        slots = pending.get(node)
        if slots is None:
            slots = pending[node] = [None] * node.outputs
        slots[nr] = g if slots[nr] is None else _sum(node, slots[nr], g)

    def push(node: NodeBase) -> None:
        if node not in seen and counts[node] == 0:
            seen.add(node)
            heapq.heappush(ready, (-node.sequence, id(node), node))

    with set_grad_enabled(create_graph):
        for (node, nr), g in zip(roots, grads, strict=True):
            arrive(node, nr, g)
        for node, _ in roots:
            push(node)
        while ready:
            node = heapq.heappop(ready)[2]
            slots = pending.pop(node, None)
            out: tuple = (None,) * len(node.edges)
            if slots is not None and any(g is not None for g in slots):
                slots = _tensor_hooks(node, slots)
                if node.pre_hooks:
                    for hook in list(node.pre_hooks.values()):  # type: ignore[attr-defined]
                        replaced = hook(tuple(slots))
                        if replaced is not None:
                            slots = list(replaced) if isinstance(replaced, (tuple, list)) else [replaced]
                if captures is not None and results is not None:
                    for k, g in enumerate(slots):
                        for position in captures.get((node, k), ()):
                            results[position] = g
                if useful is None or node in useful:
                    if isinstance(node, AccumulateGrad):
                        if accumulate and (captures is None or (node, 0) in captures):
                            if deliver is None:
                                _accumulate(node, slots[0], create_graph)
                            else:
                                deliver(node, slots[0])
                    elif node not in until and (useful is None or any(e is not None and e[0] in useful for e in node.edges)):
                        out = _apply(node, tuple(slots), retain_graph)
                        if applied is not None:
                            applied.append(node)
            for edge, g in zip(node.edges, out, strict=True):
                if edge is not None:
                    if g is not None:
                        arrive(edge[0], edge[1], g)
                    counts[edge[0]] -= 1
                    push(edge[0])

def _sum(node: NodeBase, a, b):
    """Of two gradients of a node's output."""
    if node.levels:
        with node.levels[-1].inside(node.levels):
            return a + b
    return a + b


def _tensor_hooks(node: NodeBase, slots: list) -> list:
    if node.tensor_hooks:
        for nr, hooks in node.tensor_hooks.items():
            for hook in list(hooks.values()):
                if slots[nr] is not None:
                    replaced = hook(slots[nr])
                    if replaced is not None:
                        slots[nr] = replaced
    if node.retained:
        for nr, ref in node.retained.items():
            t = ref()
            if t is not None and slots[nr] is not None:
                t._grad = slots[nr]
    return slots


def _apply(node: NodeBase, grads: tuple, retain_graph: bool) -> tuple:
    try:
        if node.where is not None:
            file, line, function = node.where
            engine.forward_line = file, line, function.removesuffix(" (backward)") + " (backward)"
        if node.levels:
            with node.levels[-1].inside(node.levels):
                out = node.apply(grads)  # type: ignore[attr-defined]
        else:
            out = node.apply(grads)  # type: ignore[attr-defined]
        if modes.anomaly and modes.check_nan:
            for k, g in enumerate(out):
                if g is not None and g.dtype.kind in "fc" and bool((g != g).any()):
                    raise RuntimeError(f"Function '{node.name()}' returned nan values in its {k}th output.")
    except RuntimeError as error:
        if modes.anomaly and node.where is not None and not getattr(error, "diya_forward", False):
            file, line, function = node.where
            error.args = (f"{error}\nthe forward operation was recorded at {file}:{line}, in {function}",)
            error.diya_forward = True  # type: ignore[attr-defined]
        raise
    finally:
        engine.forward_line = None
    if not retain_graph:
        node.release()  # type: ignore[attr-defined]
    if node.hooks:
        for hook in list(node.hooks.values()):
            replaced = hook(out, grads)
            if replaced is not None:
                out = tuple(replaced) if isinstance(replaced, (tuple, list)) else (replaced,)
    return out


def _accumulate_values(gradients: list[tuple[AccumulateGrad, Node]]) -> None:
    """Adds gradients, as values, to leaves that have no hooks."""
    for leaf, value in gradients:
        t = leaf.variable
        if t._grad is None:
            t._grad = from_node(value)
        elif t._grad.is_sparse:
            t._grad = t._grad + from_node(value)
        else:
            t._grad.add_(from_node(value))


def _accumulate(node: AccumulateGrad, g, create_graph: bool) -> None:
    t = node.variable
    if t._hooks:
        for hook in list(t._hooks.values()):
            replaced = hook(g)
            if replaced is not None:
                g = replaced
    if t._grad is None:
        t._grad = g if create_graph or g.is_sparse else from_node(g._value())  # a storage of its own: g may go to several leaves
    elif create_graph or t._grad.is_sparse:
        t._grad = t._grad + g
    else:
        t._grad.add_(g)
    if t._post_accumulate_hooks:
        for hook in list(t._post_accumulate_hooks.values()):
            hook(t)
