"""A captured step that is one program every time: run at once, without being recorded first.

The first time, what was recorded says which program that is. Later calls give it its arguments themselves, as long as nothing
else is pending, every argument is there, and those that the program writes over belong to nobody else.
"""

from __future__ import annotations

from operator import attrgetter
from sys import getrefcount
from typing import Any

from .. import engine
from ..graph import Node
from ..runtime.buffer import Buffer
from ..structure import IN_MAP

_whole = attrgetter("whole")


class Direct:
    """``places``: of each argument, the input that it is, with the other arguments in ``known``; ``donated``: inputs that the
    program writes over; ``results``: the output that each result is (~k: input k), the input whose node gets it, and its type."""

    def __init__(self, made: list[Node], inputs: list[Node], writes: list[tuple[int, int]]):
        """What is pending leads from ``inputs`` to ``made``. ``writes``: which input is to hold which result."""
        self.work, leaves = engine.planned(made, [inputs[i] for i, _ in writes])
        at = {id(n): k for k, n in enumerate(inputs)}
        graph = self.work.program.graph
        taken = [leaves[k] for k in self.work.arguments]
        self.places = [(a, at[id(n)]) for a, n in enumerate(taken) if id(n) in at]
        self.known = [None if id(n) in at else n.value for n in taken]
        self.donated = [at[id(taken[graph.arguments.index(i)])] for i in graph.donated]
        output = {i: k for k, i in enumerate(self.work.outputs)}
        over = {k: i for i, k in writes if i in self.donated and inputs[i].type is made[k].type}
        self.results = [(~at[id(n)] if id(n) in at else output[n.index], over.get(k), n.type) for k, n in enumerate(made)]

    def run(self, inputs: list[Node]) -> list[Node] | None:
        """The results, as nodes that have run; none if one has failed, None if the work must be recorded."""
        with engine._lock:
            if engine.position()[1] or engine.capturing is not None or len(set(inputs)) < len(inputs):
                return None
            arguments: list[Any] = self.known[:]
            for a, k in self.places:
                arguments[a] = inputs[k].value
            if None in arguments or not self._unshared(inputs):
                return None
            outputs = engine.run_alone(self.work, arguments)
        if {v.__class__ for v in outputs} != {Buffer}:
            return []
        made = []
        for k, place, type in self.results:
            if k < 0:
                made.append(inputs[~k])
            elif place is None:
                made.append(Node(engine.leaf_signature(type), type, (), outputs[k]))
            else:  # what was written over: its node is the storage's alone
                n = inputs[place]
                n.value = outputs[k]
                made.append(n)
        return made

    def _unshared(self, inputs: list[Node]) -> bool:
        """Whether what is donated belongs to one storage each."""
        nodes = [inputs[k] for k in self.donated]
        buffers = [n.value for n in nodes]
        # A node is in two lists and its storage; a buffer in a list, the arguments and its node.
        return not nodes or max(map(getrefcount, nodes)) <= IN_MAP + 2 and max(map(getrefcount, buffers)) <= IN_MAP + 2 \
            and not any(map(_whole, buffers))
