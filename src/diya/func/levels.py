"""Levels of ``vmap`` on the tape.

Inside of a level a tensor has the shape of one element, and its gradient is that of one element. What passes between inside
and outside is on the tape: `entered` takes a dimension as the level's batch, `left` gives it back, each the other's gradient.
A tensor from outside that is simply used inside counts for every element, so its gradient is the sum of theirs; `Level.cross`
puts that sum on its edge.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

from .. import engine
from ..autograd.modes import modes, no_grad
from ..autograd.tape import NodeBase, SavedTensor, _sequence, edge_of
from ..engine import DataDependent
from ..ops.creation import zeros
from ..ops.movement import stack
from ..tensor import Tensor, from_node
from ..utils._pytree import tree_flatten, tree_unflatten
from .batching import enter, leave, levels_of, union
from .transforms import vjp

_depths = itertools.count()


class at_levels:
    """Operations in the block are made inside of exactly these levels."""

    __slots__ = ("levels", "before")

    def __init__(self, levels: tuple):
        self.levels = levels

    def __enter__(self) -> None:
        self.before, modes.levels = modes.levels, self.levels

    def __exit__(self, *_) -> None:
        modes.levels = self.before


class Level:
    """One running ``vmap``: its batch size, and what its random operators do. Inner levels have a greater ``depth``."""

    __slots__ = ("size", "randomness", "depth", "start")

    def __init__(self, size: int, randomness: str = "error"):
        self.size, self.randomness, self.depth = size, randomness, next(_depths)
        self.start = engine.position()

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
    def inside(levels: tuple) -> at_levels:
        """Operations in the block are made inside of ``levels``, too."""
        return at_levels(union(modes.levels, levels))


def _crossing(edge: tuple, here: tuple) -> tuple:
    crossed = tuple([level for level in here if level not in edge[0].levels])
    return (SumOverBatch(edge, crossed, tuple([level for level in here if level not in crossed])), 0) if crossed else edge


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
        levels = union(modes.levels, self.crossed)
        for level in reversed(self.crossed):  # out of one after the other
            levels = tuple([x for x in levels if x is not level])
            with at_levels(levels):
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


def one_by_one(call: Callable, args: tuple, kwargs: dict, error: DataDependent):
    """An operator that must look at its operands: called for each element of the innermost level's batch. Raises ``error``
    where the results do not have one shape, or are no tensors."""
    leaves, spec = tree_flatten((args, kwargs))
    places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]
    structures = []

    def function(*tensors) -> list[Tensor]:
        filled = list(leaves)
        for i, x in zip(places, tensors, strict=True):
            filled[i] = x
        own_args, own_kwargs = tree_unflatten(filled, spec)
        outs, structure = tree_flatten(call(*own_args, **own_kwargs))
        if any(not isinstance(x, Tensor) for x in outs):
            raise error
        structures.append(structure)
        return outs
    return tree_unflatten(_each(function, [leaves[i] for i in places], error), structures[-1])


def _each(function: Callable, tensors: list[Tensor], error: DataDependent) -> list[Tensor]:
    """``function`` on each element of the innermost level among the tensors; on the tape as one operation."""
    found = union(*[levels_of(x._value()) for x in tensors], ())
    if not found:
        raise error
    level = found[-1]
    with no_grad(), at_levels(tuple([x for x in modes.levels if x is not level])):
        batches = [left(x, 0, level) if level in levels_of(x._value()) else None for x in tensors]
        results = [function(*[x.detach() if b is None else b.select(0, i) for x, b in zip(tensors, batches, strict=True)])
                   for i in range(level.size)]
        if not results or any([x.shape for x in r] != [x.shape for x in results[0]] for r in results):
            raise error
        outs = [entered(stack(list(column)), 0, level) for column in zip(*results, strict=True)]
    if modes.grad and any(x.requires_grad for x in tensors):
        node = EachElement(function, tensors, outs, error)
        for k, out in enumerate(outs):
            if out.dtype.kind in "fc":
                out._rg, out._fn, out._nr = True, node, k
    return outs


class VmapInfo(NamedTuple):
    """What ``autograd.Function.vmap`` is told of the batch."""

    batch_size: int
    randomness: str


def by_rule(rule: Callable, forward: Callable, args: tuple):
    """A custom function's ``forward`` by its rule for batches, off the tape."""
    found = union(*[levels_of(x._value()) for x in args if isinstance(x, Tensor)], ())
    if not found:
        return forward(*args)
    level = found[-1]
    dims = tuple([0 if isinstance(x, Tensor) and level in levels_of(x._value()) else None for x in args])
    with at_levels(tuple([x for x in modes.levels if x is not level])):
        whole = [x if dim is None else left(x, 0, level) for x, dim in zip(args, dims, strict=True)]
        result, out_dims = rule(VmapInfo(level.size, level.randomness), dims, *whole)
        outs, spec = tree_flatten(result)
        places = tree_flatten(out_dims)[0] if isinstance(out_dims, (tuple, list)) else [out_dims] * len(outs)
        final = [x if dim is None else entered(x, dim % x.dim(), level) for x, dim in zip(outs, places, strict=True)]
    return tree_unflatten(final, spec)


class EachElement(NodeBase):
    """On the tape for an operator that was called for each element: so is its gradient."""

    def __init__(self, function: Callable, tensors: list[Tensor], outs: list[Tensor], error: DataDependent):
        self.function, self.error = function, error
        edges = tuple([edge_of(x) if x.requires_grad else None for x in tensors])
        self.saved = [SavedTensor(x, x._value(), edge) for x, edge in zip(tensors, edges, strict=True)]
        self.types = [x._type for x in outs]
        self.levels, self.edges, self.outputs = modes.levels, Level.cross(edges), len(outs)
        self.sequence = next(_sequence)

    def name(self) -> str:
        return "EachElementBackward"

    def apply(self, grads: tuple) -> tuple:
        inputs = [s.unpack(self, False) for s in self.saved]  # type: ignore[arg-type]
        count = len(inputs)
        wanted = [i for i, edge in enumerate(self.edges) if edge is not None]
        slopes = [k for k, t in enumerate(self.types) if t.dtype.kind in "fc"]
        given = [zeros(self.types[k].shape, dtype=self.types[k].dtype) if grads[k] is None else grads[k] for k in slopes]

        def pull(*values) -> list[Tensor]:
            def chosen(*variables) -> list[Tensor]:
                filled = list(values[:count])
                for i, x in zip(wanted, variables, strict=True):
                    filled[i] = x
                outs = self.function(*filled)
                return [outs[k] for k in slopes]
            _, back = vjp(chosen, *[values[i] for i in wanted])  # pyright: ignore[reportAssignmentType]
            return list(back(list(values[count:])))
        found = dict(zip(wanted, _each(pull, [*inputs, *given], self.error), strict=True))
        return tuple([found.get(i) for i in range(count)])

    def release(self) -> None:
        pass


def _put(t: Tensor, node: NodeBase) -> None:
    t._rg, t._fn, t._nr = True, node, 0


def batched_str(t: Tensor) -> str:
    """How a tensor prints inside of vmap: with its whole batch."""
    level = levels_of(t._value())[-1]
    with at_levels(tuple([x for x in modes.levels if x is not level])):
        value = str(left(t.detach(), 0, level)).replace("\n", "\n    ")
    return f"BatchedTensor(lvl={len([x for x in modes.levels if x.depth <= level.depth])}, bdim=0, value=\n    {value}\n)"
