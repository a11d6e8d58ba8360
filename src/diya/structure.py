"""From what is pending to a program: which nodes must be computed, which are wanted, and under which key.

A flush describes what is pending by its *structure* (signatures, who reads whom, types of leaves), all of it gathered by
loops that run in C. Structures met before are `Trace`s, which know how often the graph itself refers to each node: a
higher reference count says that somebody outside holds it, so dropping a tensor is all it takes to drop its work. What is
held and what dies then says what is to be done (a `Run`). Only a combination that was never met is worked out node by node.
"""

from __future__ import annotations

from operator import gt
from sys import getrefcount
from typing import Any, NamedTuple

from .graph import CALL, LEAF, SCALAR, Graph, Instruction, Node, Signature

MAX_RUNS = 16  # of one trace

# What getrefcount says of an object that only a list holds, when asked directly and through `map`.
_box = [object()]
IN_LIST = getrefcount(_box[0])
IN_MAP = list(map(getrefcount, _box))[0]
del _box


class Run(NamedTuple):
    """What to do with a structure: positions of the leaves that the program takes, of the nodes that it gives, and of the
    views that stay pending. ``live``: how many nodes are computed; ``donates``: whether it may overwrite arguments."""

    program: Any
    arguments: tuple[int, ...]
    outputs: tuple[int, ...]
    deferred: tuple[int, ...]
    live: int
    donates: bool


class Trace:
    """What is known of one structure. ``nodes`` and ``leaves`` are the reference counts of those that nobody else holds;
    ``buffers`` the positions of leaves that are no scalars."""

    __slots__ = ("nodes", "leaves", "buffers", "runs")

    def __init__(self, nodes: list[Node], leaves: list[Node]):
        self.nodes, self.leaves = [IN_MAP] * len(nodes), [IN_MAP] * len(leaves)
        for n in nodes:
            for x in n.inputs:
                if x.index < 0:
                    self.leaves[~x.index] += 1
                else:
                    self.nodes[x.index] += 1
        self.buffers = [k for k, x in enumerate(leaves) if x.signature.op is not SCALAR]
        self.runs: dict[tuple, Run] = {}


def structure(nodes: list[Node], wanted: Node | None, keep_views: bool) -> tuple[tuple, list[Node]]:
    """What is pending as a key, and its leaves in the order of their first use. Numbers nodes from 0 and leaves from -1."""
    for i, n in enumerate(nodes):
        n.index = i
    operands = [x for n in nodes for x in n.inputs]
    leaves = list(dict.fromkeys([x for x in operands if x.value is not None]))
    for i, x in enumerate(leaves):
        x.index = ~i
    return (keep_views, -1 if wanted is None else wanted.index, tuple([n.signature for n in nodes]),
            tuple([x.index for x in operands]),
            tuple([x.type if x.signature.op is not SCALAR else x.signature for x in leaves])), leaves  # `_leaf_key`, spelled out


def _leaf_key(x: Node):
    """What of a leaf is part of a key: its type, and whether it is a scalar."""
    return x.signature if x.signature.op is SCALAR else x.type


def held_outside(nodes: list[Node], trace: Trace) -> tuple[bool, ...]:
    """Which nodes somebody other than the list and its nodes holds."""
    return tuple(map(gt, map(getrefcount, nodes), trace.nodes))


def dying(leaves: list[Node], trace: Trace) -> tuple[int, ...]:
    """Positions of the leaves that nobody needs after the program, with memory of their own: it may overwrite them."""
    counts = list(map(getrefcount, leaves))
    return tuple([k for k in trace.buffers if counts[k] <= trace.leaves[k] and _owned(leaves[k])])


def _owned(x: Node) -> bool:
    return x.value.whole is None and getrefcount(x.value) <= IN_LIST


_CALLS = 1 << 40  # calls are numbered from here on


class _Unfolded:
    """What is pending, with every call (see `diya.recording`) replaced by what it stands for. Values are numbered anew;
    leaves keep their negative numbers. ``at`` says which value each node is."""

    def __init__(self, nodes: list[Node]):
        self.signatures: list[Signature] = []
        self.reads: list[tuple[int, ...]] = []
        self.where: list[tuple | None] = []
        self.calls: list[list[int]] = []   # what each gives
        self.at: list[int] = []
        for n in nodes:
            self.at.append(self.put(n.signature, tuple([x.index if x.index < 0 else self.at[x.index] for x in n.inputs]), n.where))

    def put(self, signature: Signature, reads: tuple[int, ...], where) -> int:
        if signature.op is CALL:
            made = list(reads)
            for step, operands, _ in signature.attrs.steps:
                made.append(self.put(step, operands(made), where))
            self.calls.append([made[k] for k in signature.attrs.made])
            return _CALLS + len(self.calls) - 1
        if signature.op.kind == "pick" and reads[0] >= _CALLS:
            return self.calls[reads[0] - _CALLS][signature.attrs]
        self.signatures.append(signature)
        self.reads.append(reads)
        self.where.append(where)
        return len(self.signatures) - 1


def work_out(nodes: list[Node], leaves: list[Node], held: tuple[bool, ...], dying: tuple[int, ...], wanted: Node | None,
             keep_views: bool, program_of) -> Run:
    """The run for a structure. ``program_of(key, graph)`` finds or makes the program.

    Views of something that stays are kept as views: they are cheap to read, and copying them is not.
    """
    if wanted is not None and not held[wanted.index]:
        raise RuntimeError("internal error: a value is wanted that is not pending; please report this")
    wants = list(held)
    deferred: list[int] = []
    if keep_views:
        for i, n in enumerate(nodes):
            if held[i] and n.signature.op.name == "view" and n is not wanted:
                base = n.inputs[0]
                if base.index < 0 or wants[base.index]:
                    wants[i] = False
                    deferred.append(i)
    outputs = tuple([i for i, w in enumerate(wants) if w and nodes[i].signature.op is not CALL])  # its picks are what counts
    if not outputs:
        return Run(None, (), (), tuple(deferred), 0, False)

    values = _Unfolded(nodes)
    signatures, reads = values.signatures, values.reads
    needed = [False] * len(signatures)
    for i in outputs:
        needed[values.at[i]] = True
    for v in range(len(signatures) - 1, -1, -1):
        if needed[v]:
            for x in reads[v]:
                if x >= 0:
                    needed[x] = True
    place: dict[int, int] = {}  # in the program
    key: list = []
    for v, signature in enumerate(signatures):
        if needed[v]:
            for x in reads[v]:
                if x < 0 and x not in place:
                    place[x] = len(place)
                    key.append(_leaf_key(leaves[~x]))
            place[v] = len(place)
            key.append(signature)
            key += [place[x] for x in reads[v]]
    kept = {x.index for i in deferred for x in nodes[i].inputs}  # a deferred view goes on reading its base
    # In the order of the program, whoever recorded it: a call lists its results in an order of its own.
    donated = tuple(sorted([place[~k] for k in dying if ~k in place and ~k not in kept]))
    outputs = tuple(sorted(outputs, key=lambda i: place[values.at[i]]))
    out = tuple([place[values.at[i]] for i in outputs])

    def graph() -> Graph:
        code = []
        for v in place:
            if v < 0:
                x = leaves[~v]
                code.append(Instruction(SCALAR if x.signature.op is SCALAR else LEAF, (), None, x.type))
            else:
                s = signatures[v]
                code.append(Instruction(s.op, tuple([place[x] for x in reads[v]]), s.attrs, s.type, values.where[v]))
        return Graph(tuple(code), out, donated)
    return Run(program_of((*key, None, *out, None, *donated), graph), tuple([~v for v in place if v < 0]), outputs,
               tuple(deferred), sum(needed), bool(donated))
