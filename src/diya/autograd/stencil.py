"""The part of a tape that one call of an operator left, to be left again by calls like it without running their Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..graph import Node
from ..storage import Storage
from .tape import GradNode, NodeBase, SavedOutputs, SavedTensor, _sequence, edge_of, lasting

_new = object.__new__
_UNSHARED = Storage()  # of a value that no tensor shows: nobody writes to it
_USUAL = frozenset(("rule", "mask", "params", "types", "edges", "saved", "saved_out", "sequence"))  # what every node has
MAX_STEPS = 50


class NotRepeatable(Exception):
    """A tape holds what only one call can have left."""


def kept(fn: GradNode) -> list[SavedTensor]:
    """All that a node saves."""
    out = getattr(fn, "saved_out", None)
    return [s for _, s in fn.saved or ()] + ([] if out is None else out.items if isinstance(out, SavedOutputs) else [out])


def check_repeatable(fn: NodeBase) -> None:
    """Raises NotRepeatable for a node that cannot be made again for other values."""
    if type(fn) is not GradNode or fn.hooks or fn.pre_hooks or fn.tensor_hooks or fn.retained:
        raise NotRepeatable(f"leaves {fn.name()} on the tape, or hooks")
    rules = fn.rule.grad.values() if isinstance(fn.rule.grad, dict) else [fn.rule.grad]
    if _has_values((fn.params, [_variables(rule) for rule in rules])):
        raise NotRepeatable(f"leaves {fn.name()} on the tape, which holds values")


def _variables(rule: Callable) -> list:
    """What a function has from around it."""
    return [c.cell_contents for c in getattr(rule, "__closure__", None) or ()]


def _has_values(x: Any) -> bool:
    from ..tensor import Tensor
    if isinstance(x, dict):
        x = list(x.values())
    return any(map(_has_values, x)) if isinstance(x, (tuple, list)) else isinstance(x, (Tensor, Node))


class Stencil:
    """What a call that began at ``start`` left between ``inputs`` and ``outs``. ``values`` are those nodes that it keeps and that
    are neither inputs' nor outputs': whoever leaves it again gives their like."""

    __slots__ = ("steps", "roots", "values")

    def __init__(self, start: int, inputs: list, nodes: list[Node], outs: list, results: list[Node]):
        """``nodes`` are what the storages of ``inputs`` hold, ``results`` those of ``outs``. Raises NotRepeatable."""
        ends: dict = {edge_of(t): k for k, t in enumerate(inputs) if t._rg}
        fns = _between([t._fn for t in outs if t._fn is not None], ends, start)
        at = {fn: i for i, fn in enumerate(fns)}
        storages: dict[int, int] = {}
        for k, t in enumerate(inputs + outs):
            storages.setdefault(id(t._storage), k)
        places: dict[Node, int] = {}
        for k, n in enumerate(nodes + results):
            places.setdefault(n, k)
        known = len(places)

        def edge(e):
            return None if e is None else ends[e] if e in ends else (at[e[0]], e[1])

        def saved(s: SavedTensor):
            if s.hooks is not None or s.version != s.storage.version:
                raise NotRepeatable("it writes to what it saved, or hooks hold it")
            place = places.setdefault(s.node, len(nodes) + len(results) + len(places) - known)
            return place, storages.get(id(s.storage)), s.type, s.layout, edge(s.edge)

        self.steps = []
        for fn in fns:
            keeps, out = [(i, saved(s)) for i, s in fn.saved], fn.saved_out
            more = [(name, value) for name, value in fn.__dict__.items() if name not in _USUAL]
            keeps_out = None if out is None else [saved(s) for s in out.items] if isinstance(out, SavedOutputs) else saved(out)
            self.steps.append((fn.rule, fn.mask, lasting(fn.params), fn.types, more, [edge(e) for e in fn.edges], keeps, keeps_out))
        self.values = list(places)[known:]
        self.roots = [None if t._fn is None else (at[t._fn], t._nr) for t in outs]

    def take_values(self) -> list[Node]:
        """``values``, which are not kept: they have their memory."""
        values, self.values = self.values, []
        return values

    def leave(self, inputs: list, outs: list, values: list[Node]) -> None:
        """Puts a call on the tape: its inputs and fresh results, and the values of both, with the like of ``values``."""
        made: list[GradNode] = []
        tensors = inputs + outs
        ends = [None if not t._rg else (t._fn, t._nr) if t._fn is not None else edge_of(t) for t in inputs]

        def saved(spec) -> SavedTensor:
            place, owner, type, layout, edge = spec
            s = _new(SavedTensor)
            s.node, s.type, s.layout, s.hooks = values[place], type, layout, None
            s.edge = edge if edge is None else ends[edge] if edge.__class__ is int else (made[edge[0]], edge[1])
            s.storage = storage = _UNSHARED if owner is None else tensors[owner]._storage
            s.version, s.hidden = storage.version, storage.hidden
            return s

        for rule, mask, params, types, more, edges, keeps, keeps_out in self.steps:
            fn = _new(GradNode)
            made.append(fn)
            fn.rule, fn.mask, fn.params, fn.types = rule, mask, params, types
            fn.edges = tuple([e if e is None else ends[e] if e.__class__ is int else (made[e[0]], e[1]) for e in edges])
            fn.saved = [(i, saved(s)) for i, s in keeps] if keeps else []
            for name, value in more:
                setattr(fn, name, value)
            if keeps_out is not None:
                if keeps_out.__class__ is list:
                    fn.saved_out = _new(SavedOutputs)
                    fn.saved_out.items = [saved(s) for s in keeps_out]
                else:
                    fn.saved_out = saved(keeps_out)
            fn.sequence = next(_sequence)
        for t, root in zip(outs, self.roots, strict=True):
            if root is not None:
                t._rg = True
                t._fn = made[root[0]]
                if root[1]:
                    t._nr = root[1]


def _between(found: list, ends: dict, start: int) -> list:
    """The nodes from some down to ``ends``, in the order of their making, all of them made since ``start``."""
    fns: list[Any] = []
    while found:
        fn = found.pop()
        if fn not in fns:
            check_repeatable(fn)
            if fn.sequence < start or fn.levels or len(fns) > MAX_STEPS:
                raise NotRepeatable(f"goes on with {fn.name()} of an earlier call")
            fns.append(fn)
            found += [e[0] for e in fn.edges if e is not None and e not in ends]
    return sorted(fns, key=lambda fn: fn.sequence)
