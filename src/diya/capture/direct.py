"""A captured step that is one program every time: run at once, without being recorded first.

The first time that a region's work is all that a flush runs, the flush says which program that is. Later calls give it its
arguments themselves, as long as nothing else is pending, every argument is there, and those that the program writes over
belong to nobody else.
"""

from __future__ import annotations

from operator import attrgetter
from sys import getrefcount
from typing import Any

from .. import engine
from ..graph import Node, Type
from ..structure import IN_MAP, Run

_whole = attrgetter("whole")


class Direct:
    """``places``: of each argument, the input that it is, with the other arguments in ``known``; ``donated``: inputs that the
    program writes over; ``results``: the output that each result is (~k: input k), the input whose node gets it, and its type."""

    def __init__(self, run: Run, leaves: list[Node], pending: list[int], inputs: list[int], results: list[tuple[int, Type]],
                 writes: list[tuple[int, int]]):
        """Nodes that ran are given by their ids; ``writes``: which input a result is written to. Raises LookupError if the program
        is not all of the region."""
        if run.deferred:
            raise LookupError
        self.work = run
        at = {n: k for k, n in enumerate(inputs)}
        taken = [leaves[k] for k in run.arguments]
        self.places = [(a, at[id(n)]) for a, n in enumerate(taken) if id(n) in at]
        self.known = [None if id(n) in at else n.value for n in taken]
        arguments = run.program.graph.arguments
        self.donated = [at[id(taken[arguments.index(i)])] for i in run.program.graph.donated]
        output = {pending[i]: k for k, i in enumerate(run.outputs)}
        known = {id(n): n.type for n in leaves}
        over = {k: i for i, k in writes if i in self.donated and known[inputs[i]] is results[k][1]}
        self.results = [(output[n], over.get(k), type) if n in output else (~at[n], None, type)
                        for k, (n, type) in enumerate(results)]

    def run(self, inputs: list[Node]) -> list[Node] | None:
        """The results, as nodes that have run; None if the work must be recorded."""
        with engine._lock:
            if engine.position()[1] or engine.capturing is not None or len(set(inputs)) < len(inputs):
                return None
            arguments: list[Any] = self.known[:]
            for a, k in self.places:
                arguments[a] = inputs[k].value
            if None in arguments or not self._unshared(inputs):
                return None
            outputs = engine.run_alone(self.work, arguments)
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
