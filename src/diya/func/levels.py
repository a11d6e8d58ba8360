"""Levels of ``vmap`` on the tape.

Inside of a level a tensor has the shape of one element, and its gradient is that of one element. What passes between inside
and outside is on the tape: `entered` takes a dimension as the level's batch, `left` gives it back, each the other's gradient.
A tensor from outside that is simply used inside counts for every element, so its gradient is the sum of theirs; `Level.cross`
puts that sum on its edge.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager

from ..autograd.modes import modes
from ..autograd.tape import NodeBase, _sequence, edge_of
from ..engine import DataDependent
from ..ops.movement import stack
from ..tensor import Tensor, from_node
from ..utils._pytree import tree_flatten, tree_unflatten
from .batching import enter, leave, levels_of, union

_depths = itertools.count()


class Level:
    """One running ``vmap``: its batch size, and what its random operators do. Inner levels have a greater ``depth``."""

    __slots__ = ("size", "randomness", "depth")

    def __init__(self, size: int, randomness: str = "error"):
        self.size, self.randomness, self.depth = size, randomness, next(_depths)

    def __repr__(self):
        return f"<vmap level {self.depth}: batch of {self.size}>"

    @staticmethod
    def cross(edges: tuple) -> tuple:
        """The edges of a node that is made now; those that lead out of a level sum over its batch."""
        here = modes.levels
        if all(e is None or e[0].levels is here for e in edges):
            return edges
        return tuple([None if e is None else _crossing(e, here) for e in edges])

    @staticmethod
    @contextmanager
    def inside(levels: tuple):
        """Operations in the block are made inside of ``levels``, too."""
        before = modes.levels
        modes.levels = union(before, levels)
        try:
            yield
        finally:
            modes.levels = before


def _crossing(edge: tuple, here: tuple) -> tuple:
    crossed = tuple([level for level in here if level not in edge[0].levels])
    return (SumOverBatch(edge, crossed, tuple([level for level in here if level not in crossed])), 0) if crossed else edge


@contextmanager
def at_levels(levels: tuple):
    before, modes.levels = modes.levels, levels
    try:
        yield
    finally:
        modes.levels = before


class SumOverBatch(NodeBase):
    """On the tape between a use inside of ``crossed`` levels and the tensor outside that is used."""

    def __init__(self, edge: tuple, crossed: tuple, levels: tuple):
        self.edges, self.crossed, self.levels = (edge,), crossed, levels
        self.sequence = next(_sequence)

    def name(self) -> str:
        return "SumOverBatchBackward"

    def apply(self, grads: tuple) -> tuple:
        g, = grads
        if any(level in modes.levels for level in self.crossed):
            raise RuntimeError("vmap: a gradient with respect to a tensor from outside of vmap was asked for inside of it, where "
                               "it would be the sum over the batch. Use torch.func.grad, or compute the gradient outside")
        for level in self.crossed:
            g = left(g, 0, level).sum(0)
        return (g,)

    def release(self) -> None:
        pass


class Passage(NodeBase):
    """On the tape where a tensor enters a level, or leaves it: the other way is the gradient."""

    def __init__(self, edge: tuple, dim: int, level: Level, entering: bool):
        self.edges, self.dim, self.level, self.entering = (edge,), dim, level, entering
        self.levels = modes.levels
        self.sequence = next(_sequence)

    def name(self) -> str:
        return "EnterVmapBackward" if self.entering else "LeaveVmapBackward"

    def apply(self, grads: tuple) -> tuple:
        g, = grads
        return (left(g, self.dim, self.level) if self.entering else entered(g, self.dim, self.level),)

    def release(self) -> None:
        pass


def entered(t: Tensor, dim: int, level: Level) -> Tensor:
    """Each element of a batch that lies along dimension ``dim`` of ``t``."""
    out = from_node(enter(t._value(), dim, level))
    if t.requires_grad and modes.grad:
        edge = edge_of(t)
        assert edge is not None
        outside = tuple([x for x in modes.levels if x is not level])
        edge = _crossing(edge, outside)
        with at_levels(union(outside, (level,))):
            _put(out, Passage(edge, dim, level, True))
    return out


def left(t: Tensor, dim: int, level: Level) -> Tensor:
    """All elements of a batch, along a new dimension ``dim``."""
    out = from_node(leave(t._value(), dim, level))
    if t.requires_grad and modes.grad:
        edge = edge_of(t)
        assert edge is not None
        outside = tuple([x for x in modes.levels if x is not level])
        with at_levels(union(outside, (level,))):
            edge = _crossing(edge, modes.levels)
        with at_levels(outside):
            _put(out, Passage(edge, dim, level, False))
    return out


def one_by_one(call, args: tuple, kwargs: dict, error: DataDependent):
    """An operator that must look at its operands: called for each element of the innermost level's batch. Raises ``error``
    where the results do not have one shape, or are no tensors."""
    leaves, spec = tree_flatten((args, kwargs))
    found = union(*[levels_of(x._value()) for x in leaves if isinstance(x, Tensor)], ())
    if not found:
        raise error
    level = found[-1]
    results = []
    with at_levels(tuple([x for x in modes.levels if x is not level])):
        batches = [left(x, 0, level) if isinstance(x, Tensor) and level in levels_of(x._value()) else None for x in leaves]
        for i in range(level.size):
            element = [x if b is None else b.select(0, i) for x, b in zip(leaves, batches, strict=True)]
            own_args, own_kwargs = tree_unflatten(element, spec)
            results.append(tree_flatten(call(*own_args, **own_kwargs)))
        outs = [r[0] for r in results]
        if not outs or any(not isinstance(x, Tensor) for out in outs for x in out) \
                or any([x.shape for x in out] != [x.shape for x in outs[0]] for out in outs):
            raise error
        stacked = [stack(list(column)) for column in zip(*outs, strict=True)]
    return tree_unflatten([entered(x, 0, level) for x in stacked], results[0][1])


def _put(t: Tensor, node: NodeBase) -> None:
    t._rg, t._fn, t._nr = True, node, 0
