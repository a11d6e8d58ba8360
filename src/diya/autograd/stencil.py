"""The part of a tape that one call of an operator left, to be left again by calls like it without running their Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..graph import Node
from ..recording import frozen
from ..storage import Storage
from .tape import GradNode, NodeBase, Parameters, SavedOutputs, SavedTensor, _sequence, edge_of

_new = object.__new__
_UNSHARED = Storage()  # of a value that no tensor shows: nobody writes to it
_OWN = frozenset(("edges", "saved", "saved_out", "sequence", "params"))  # what differs from call to call; and parameters


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
        found = [t._fn for t in outs if t._fn is not None]
        fns: list[Any] = []
        while found:
            fn = found.pop()
            if fn in fns:
                continue
            check_repeatable(fn)
            if fn.sequence < start or fn.levels or len(fns) > 50:
                raise NotRepeatable(f"begins with {fn.name()} of an earlier call")
            fns.append(fn)
            found += [e[0] for e in fn.edges if e is not None and e not in ends]
        fns.sort(key=lambda fn: fn.sequence)
        self.values: list[Node] = []
        at = {fn: i for i, fn in enumerate(fns)}
        storages = {id(t._storage): ~k for k, t in enumerate(outs)} | {id(t._storage): k for k, t in enumerate(inputs)}
        places = {n: ("out", k) for k, n in enumerate(results)} | {n: ("in", k) for k, n in enumerate(nodes)}

        def edge(e):
            return None if e is None else (ends[e], None) if e in ends else (at[e[0]], e[1])

        def saved(s: SavedTensor):
            if s.hooks is not None:
                raise NotRepeatable("hooks hold what it saved")
            if s.node not in places:
                places[s.node] = "value", len(self.values)
                self.values.append(s.node)
            k = storages.get(id(s.storage))
            if k is not None and s.version != s.storage.version:
                raise NotRepeatable("it writes to what it saved")
            return (*places[s.node], k, s.type, edge(s.edge))

        self.steps = []
        for fn in fns:
            params = fn.params
            if params and params.__class__ is not Parameters and frozen(tuple(params.items())) is not None:
                params = Parameters(params)
            out = fn.saved_out
            self.steps.append((
                [(name, value) for name, value in fn.__dict__.items() if name not in _OWN] + [("params", params)],
                [edge(e) for e in fn.edges], [(i, saved(s)) for i, s in fn.saved],
                None if out is None else [saved(s) for s in out.items] if isinstance(out, SavedOutputs) else saved(out)))
        self.roots = [None if t._fn is None else (at[t._fn], t._nr) if t._fn in at else self._passed(t, ends) for t in outs]

    @staticmethod
    def _passed(t, ends: dict):
        raise NotRepeatable("a result has the history of an input")

    def leave(self, inputs: list, nodes: list[Node], outs: list, values: list[Node]) -> None:
        """Puts a call on the tape: its inputs and their values, its fresh results, and the like of ``values``."""
        made: list[GradNode] = []

        def saved(spec) -> SavedTensor:
            place, k, owner, type, edge = spec
            s = _new(SavedTensor)
            s.node = nodes[k] if place == "in" else values[k] if place == "value" else outs[k]._storage.node
            s.type, s.hooks = type, None
            s.edge = None if edge is None else edge_of(inputs[edge[0]]) if edge[1] is None else (made[edge[0]], edge[1])
            s.storage = storage = _UNSHARED if owner is None else inputs[owner]._storage if owner >= 0 else outs[~owner]._storage
            s.version = storage.version
            return s

        for attributes, edges, keeps, keeps_out in self.steps:
            fn = _new(GradNode)
            made.append(fn)
            fn.edges = tuple([None if e is None else edge_of(inputs[e[0]]) if e[1] is None else (made[e[0]], e[1]) for e in edges])
            for name, value in attributes:
                setattr(fn, name, value)
            fn.saved = [(i, saved(s)) for i, s in keeps]
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
