"""``diya.explain``: every stage of the line for a tensor, or for what a function runs."""

from __future__ import annotations

import sys
from typing import Any

from . import engine
from .graph import CALL, Graph, Instruction

STAGES = ("graph", "schedule", "loops", "kernels", "memory", "llvm", "assembly")


class Explanation(dict):
    """Stage name to text, in the order of the line; prints as a document. ``timed``: the figures of each step (see
    `profiler.timing.Timed`), where they were asked for."""

    timed: Any = None

    def __str__(self) -> str:
        return "\n\n".join(f"── {name} " + "─" * max(0, 100 - len(name)) + f"\n{text}" for name, text in self.items())

    __repr__ = __str__


class Explanations(list):
    """Those of several programs; print one after the other."""

    def __str__(self) -> str:
        return "\n\n".join(f"{'═' * 40} program {k + 1} of {len(self)} {'═' * 40}\n{one}" for k, one in enumerate(self))

    __repr__ = __str__


def explain(what: Any, *args, stages: tuple[str, ...] | None = None, time: bool = False, **kwargs) -> Explanation | Explanations:
    """The stages of the program that would compute a tensor, or of each program that ``what(*args)`` runs.

    Nothing that is pending is run for a tensor. Without llvmlite only the graph is shown.

    ``time=True`` instead shows (``stages`` besides, if given) what every kernel takes: its time, GFLOP/s, GB/s, and the lines
    of a function that made it (of a tensor, only what was recorded under ``DIYA_DEBUG``). The function is called once; each
    program is then run several times, on copies of the data that it overwrites, all of it compiled.
    """
    from .tensor import Tensor
    stages = stages if stages is not None else () if time else STAGES
    if time and engine.compiler() is None:
        raise NotImplementedError("explain(time=True) times compiled kernels, and compiling needs llvmlite: pip install llvmlite")
    if isinstance(what, Tensor):
        if time and what._storage.node.value is None:
            return _timed(*time_tensor(what), 1, stages)
        return _stages(_graph_of(what._storage.node)[0], stages)
    if not callable(what):
        raise TypeError(f"explain() takes a tensor or a function, got {type(what).__name__}")
    if time:
        return _timed_function(lambda: what(*args, **kwargs), stages)
    seen: list = []
    engine.flush()
    engine.listeners.append(seen.append)
    try:
        result = what(*args, **kwargs)
        engine.flush()
        del result
    finally:
        engine.listeners.remove(seen.append)
    return _one_or_all([_stages(graph, stages) for graph in dict.fromkeys(seen)])


def _one_or_all(found: list[Explanation]) -> Explanation | Explanations:
    return found[0] if len(found) == 1 else Explanations(found)


def _timed_function(function, stages) -> Explanation | Explanations:
    from .profiler.timing import Watch
    with engine.Tier(1), engine.Lines(), Watch() as watch:
        result = function()
        engine.flush()
        del result
    return _one_or_all([_timed(program, timed, runs, stages) for program, (timed, runs) in watch.programs.items()])


def time_tensor(tensor, seconds: float | None = None) -> tuple[Any, Any]:
    """The compiled program that computes a pending tensor, and its `profiler.timing.Timed`."""
    from .profiler.timing import SECONDS, measure
    graph, arguments = _graph_of(tensor._storage.node)
    compile_graph = engine.compiler()
    assert compile_graph is not None
    program = compile_graph(graph)
    return program, measure(program, arguments, seconds or SECONDS)


def _timed(program, timed, runs: int, stages) -> Explanation:
    shown = Explanation(time=f"{timed}" + (f"\nit ran {runs} times" if runs > 1 else ""))
    shown.timed = timed
    if stages:
        texts = program.stages
        shown.update({name: texts[name] for name in STAGES if name in stages})
    return shown


def _graph_of(node) -> tuple[Graph, list]:
    """The graph that computes one node from what is materialised, and its arguments."""
    code: list[Instruction] = []
    arguments: list = []
    position: dict[int, int] = {}
    calls: dict[int, list] = {}

    def visit(root) -> int:
        stack = [root]
        while stack:
            n = stack[-1]
            if n.value is None and n.op.kind == "pick" and n.inputs[0].op is CALL:
                call = n.inputs[0]
                if id(call) not in calls:
                    calls[id(call)] = call.attrs.unfolded(call)
                inner = calls[id(call)][n.attrs]
                if id(inner) in position:
                    position[id(n)] = position[id(inner)]
                else:
                    stack.append(inner)
                    continue
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
                arguments.append(n.value)
        return position[id(root)]
    out = visit(node)
    return Graph(tuple(code), (out,)), arguments


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
