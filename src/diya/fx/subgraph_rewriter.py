"""Replacing each occurrence of a pattern in a graph."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

from ..nn import Module
from ._symbolic_trace import symbolic_trace
from .graph import Graph
from .graph_module import GraphModule
from .node import Node, map_arg


class Match(NamedTuple):
    """Where a pattern was found: the node that is its result, and what each node of the pattern is there."""

    anchor: Node
    nodes_map: dict[Node, Node]


def _graph_of(part: Any) -> Graph:
    return part if isinstance(part, Graph) else part.graph if isinstance(part, GraphModule) else symbolic_trace(part).graph


def _attribute(module: Module | None, target: Any) -> Any:
    at: Any = module
    for part in str(target).split("."):
        at = getattr(at, part, None)
    return at


class _Matcher:
    """Compares a pattern with the nodes that a node is computed from."""

    def __init__(self, pattern: Graph):
        self.pattern = pattern
        self.result = pattern.output_node().args[0]
        if not isinstance(self.result, Node):
            raise NotImplementedError("torch.fx.replace_pattern: a pattern must return one value")

    def match(self, node: Node) -> dict[Node, Any] | None:
        found: dict[Node, Any] = {}
        if not self._same(self.result, node, found):
            return None
        inner = {n for p, n in found.items() if p.op != "placeholder" and p is not self.result and isinstance(n, Node)}
        whole = inner | {node}
        return found if all(set(n.users) <= whole for n in inner) else None

    def _same(self, p: Any, n: Any, found: dict[Node, Any]) -> bool:
        if isinstance(p, Node):
            if p in found:
                return found[p] is n
            if p.op == "placeholder":
                found[p] = n
                return True
            if not isinstance(n, Node) or p.op != n.op or not self._same_target(p, n):
                return False
            found[p] = n
            return self._same(p.args, n.args, found) and self._same(dict(p.kwargs), dict(n.kwargs), found)
        if isinstance(p, (tuple, list)):
            return isinstance(n, (tuple, list)) and len(p) == len(n) and all(self._same(a, b, found) for a, b in
                                                                            zip(p, n, strict=True))
        if isinstance(p, dict):
            return isinstance(n, dict) and p.keys() == n.keys() and all(self._same(p[k], n[k], found) for k in p)
        if isinstance(p, slice):
            return isinstance(n, slice) and self._same((p.start, p.stop, p.step), (n.start, n.stop, n.step), found)
        return type(p) is type(n) and p == n

    def _same_target(self, p: Node, n: Node) -> bool:
        if p.op == "call_module":
            return type(_attribute(p.graph.owning_module, p.target)) is type(_attribute(n.graph.owning_module, n.target))
        return p.target == n.target


def replace_pattern(gm: GraphModule, pattern: Callable | GraphModule, replacement: Callable | GraphModule) -> list[Match]:
    """Replaces what computes as ``pattern`` does by ``replacement``; both are functions or modules of the same arguments.
    Occurrences that share nodes with one before, or whose inner values are read elsewhere, stay."""
    wanted, new = _graph_of(pattern), _graph_of(replacement)
    matcher = _Matcher(wanted)
    inputs = [n for n in wanted.nodes if n.op == "placeholder"]
    new_inputs = [n for n in new.nodes if n.op == "placeholder"]
    if len(inputs) != len(new_inputs):
        raise AssertionError(f"a pattern and its replacement take the same arguments, got {len(inputs)} and {len(new_inputs)}")
    found, taken = [], set()
    for node in reversed(gm.graph.nodes):
        places = matcher.match(node)
        if places is None:
            continue
        inner = {n for p, n in places.items() if p.op not in ("placeholder", "get_attr")}
        if not inner & taken:
            taken |= inner
            found.append((node, places))
    for node, places in reversed(found):
        values: dict[Node, Any] = {b: places.get(a) for a, b in zip(inputs, new_inputs, strict=True)}
        with gm.graph.inserting_before(node):
            result = gm.graph.graph_copy(new, values)
        for made in values.values():
            if isinstance(made, Node) and made.op in ("get_attr", "call_module") and _attribute(gm, made.target) is None:
                held = _attribute(new.owning_module, made.target)
                if held is not None:
                    from .graph_module import _assign_attr
                    _assign_attr(copy.deepcopy(held), gm, str(made.target))
        if isinstance(result, Node):
            node.replace_all_uses_with(result)
        else:
            for user in list(node.users):
                user._set(map_arg(user.args, lambda n: result if n is node else n),  # noqa: B023
                          map_arg(user.kwargs, lambda n: result if n is node else n))  # noqa: B023
        for n in [n for n in reversed(gm.graph.nodes) if n in {m for p, m in places.items() if p.op != "placeholder"}]:
            if not n.users:
                gm.graph.erase_node(n)
    gm.recompile()
    return [Match(node, places) for node, places in reversed(found)]
