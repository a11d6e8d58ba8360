"""``diya.explain``: every stage of the line for a tensor, or for what a function runs."""

from __future__ import annotations

import sys
from typing import Any

from . import engine
from .graph import Graph, Instruction

STAGES = ("graph", "schedule", "loops", "kernels", "memory", "llvm", "assembly")


class Explanation(dict):
    """Stage name to text, in the order of the line; prints as a document."""

    def __str__(self) -> str:
        return "\n\n".join(f"── {name} " + "─" * max(0, 100 - len(name)) + f"\n{text}" for name, text in self.items())

    __repr__ = __str__


def explain(what: Any, *args, stages: tuple[str, ...] = STAGES, **kwargs) -> Explanation | list[Explanation]:
    """The stages of the program that would compute a tensor, or of each program that ``what(*args)`` runs.

    Nothing that is pending is run for a tensor. Without llvmlite only the graph is shown.
    """
    from .tensor import Tensor
    if isinstance(what, Tensor):
        return _stages(_graph_of(what._storage.node), stages)
    if not callable(what):
        raise TypeError(f"explain() takes a tensor or a function, got {type(what).__name__}")
    seen: list = []
    engine.flush()
    engine.listeners.append(seen.append)
    try:
        result = what(*args, **kwargs)
        engine.flush()
        del result
    finally:
        engine.listeners.remove(seen.append)
    found = [_stages(graph, stages) for graph in dict.fromkeys(seen)]
    return found[0] if len(found) == 1 else found


def _graph_of(node) -> Graph:
    """The graph that computes one node from what is materialised."""
    code: list[Instruction] = []
    position: dict[int, int] = {}

    def visit(root) -> int:
        stack = [root]
        while stack:
            n = stack[-1]
            if id(n) in position:
                stack.pop()
                continue
            waiting = [x for x in n.inputs if id(x) not in position] if n.value is None else []
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            position[id(n)] = len(code)
            if n.value is None:
                code.append(Instruction(n.op, tuple(position[id(x)] for x in n.inputs), n.attrs, n.type,
                                        getattr(n, "where", None)))
            else:
                from .graph import LEAF, SCALAR
                code.append(Instruction(SCALAR if n.op is SCALAR else LEAF, (), None, n.type))
        return position[id(root)]
    out = visit(node)
    return Graph(tuple(code), (out,))


def _stages(graph: Graph, stages) -> Explanation:
    compile_graph = engine.compiler()
    if compile_graph is None or len(graph.code) == 1:
        return Explanation(graph=str(graph))
    texts = compile_graph(graph).stages
    return Explanation({name: texts[name] for name in STAGES if name in texts and name in stages})


def show(program, compiled, level: int) -> None:
    """Prints the first ``level`` stages of a program to standard error (``DIYA_DEBUG``)."""
    texts = compiled.stages
    print(Explanation({name: texts[name] for name in STAGES[:level] if name in texts}), file=sys.stderr)
