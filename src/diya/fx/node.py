"""A node of a graph: one call, with its arguments, and who uses its value."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Iterator
from typing import Any

from .immutable_collections import immutable_dict, immutable_list

Target = Callable | str
Argument = Any

OPS = ("placeholder", "call_method", "call_module", "call_function", "get_attr", "output", "root")


def map_aggregate(a: Any, fn: Callable[[Any], Any]) -> Any:
    """``fn`` of all leaves of nested tuples, lists, dicts and slices."""
    if isinstance(a, tuple):
        parts = [map_aggregate(x, fn) for x in a]
        return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
    if isinstance(a, list):
        return immutable_list(map_aggregate(x, fn) for x in a)
    if isinstance(a, dict):
        return immutable_dict((key, map_aggregate(x, fn)) for key, x in a.items())
    if isinstance(a, slice):
        return slice(*(map_aggregate(x, fn) for x in (a.start, a.stop, a.step)))
    return fn(a)


def map_arg(a: Any, fn: Callable[[Node], Any]) -> Any:
    """``fn`` of all nodes in nested arguments."""
    return map_aggregate(a, lambda x: fn(x) if isinstance(x, Node) else x)


def public_path(func: Callable) -> str | None:
    """The name of an operator below ``torch``; None for what is no operator."""
    global _paths
    from ..ops import OPERATORS
    if len(_paths) != len(OPERATORS):
        _paths = {id(OPERATORS[path].function): path for path in sorted(OPERATORS, key=len, reverse=True)}  # the shortest
    return _paths.get(id(func))


_paths: dict[int, str] = {}


def _get_qualified_name(func: Callable) -> str:
    """The name under which a function is imported: ``torch.nn.functional.relu``."""
    if getattr(builtins, getattr(func, "__name__", ""), None) is func:
        return func.__name__
    path = public_path(func)
    if path is not None:
        return f"torch.{path}"
    if isinstance(func, types.MethodDescriptorType | types.WrapperDescriptorType):
        return f"torch.Tensor.{func.__name__}"
    module, name = _module_of(func), func.__name__
    if isinstance(func, types.FunctionType) and "<lambda>" in name:
        return name
    return f"{module}.{name}"


def _module_of(func: Callable) -> str:
    """Where a function is found: its module, PyTorch's name for diya's, Python's public one for ``_operator``."""
    module = getattr(func, "__module__", None) or "builtins"
    own = __name__.partition(".")[0]
    if module == own or module.startswith(own + "."):
        module = "torch" + module[len(own):]
        if module == "torch.nn._composed":
            module = "torch.nn.functional"
    return {"_operator": "operator", "torch._symbolic": "torch"}.get(module, module)


class Node:
    """``op`` says how ``target`` is called with ``args`` and ``kwargs``: "placeholder", "get_attr", "call_function",
    "call_module", "call_method" or "output". ``users`` holds the nodes that read its value, ``meta`` what passes note."""

    def __init__(self, graph: Any, name: str, op: str, target: Target, args: tuple = (), kwargs: dict | None = None,
                 return_type: Any = None):
        if op not in OPS:
            raise AssertionError(f"op must be one of {OPS}, got {op!r}")
        if op == "call_function" and not callable(target):
            raise ValueError(f"Node [graph = {graph}, name = '{name}'] target {target} has type {type(target).__name__} but a "
                             f"Callable is expected")
        if op != "call_function" and not isinstance(target, str):
            raise ValueError(f"Node [graph = {graph}, name = '{name}'] target {target} has type {type(target).__name__} but a str "
                             f"is expected")
        self.graph, self.name, self.op, self.target, self.type = graph, name, op, target, return_type
        self._args: tuple = ()
        self._kwargs: dict = {}
        self._input_nodes: dict[Node, None] = {}
        self.users: dict[Node, None] = {}
        self._prev = self._next = self
        self._erased = False
        self.meta: dict[str, Any] = {}
        self._set(args, kwargs or {})

    # -- its place in the list of nodes ------------------------------------------------------------------------------

    @property
    def next(self) -> Node:
        return self._next

    @property
    def prev(self) -> Node:
        return self._prev

    def prepend(self, x: Node) -> None:
        """Moves ``x`` before this node."""
        if x.graph is not self.graph:
            raise AssertionError("Attempting to move a Node into a different Graph")
        if x is self:
            return
        x._remove_from_list()
        before = self._prev
        before._next, x._prev, x._next, self._prev = x, before, self, x

    def append(self, x: Node) -> None:
        """Moves ``x`` after this node."""
        self._next.prepend(x)

    def _remove_from_list(self) -> None:
        self._prev._next, self._next._prev = self._next, self._prev

    # -- arguments ---------------------------------------------------------------------------------------------------

    @property
    def args(self) -> tuple:
        return self._args

    @args.setter
    def args(self, a: tuple) -> None:
        self._set(a, self._kwargs)

    @property
    def kwargs(self) -> dict:
        return self._kwargs

    @kwargs.setter
    def kwargs(self, k: dict) -> None:
        self._set(self._args, k)

    def _set(self, args: tuple, kwargs: dict) -> None:
        for used in self._input_nodes:
            used.users.pop(self, None)
        self._input_nodes = {}

        def use(node: Node) -> Node:
            self._input_nodes[node] = node.users[self] = None
            return node
        self._args, self._kwargs = map_arg(tuple(args), use), map_arg(dict(kwargs), use)

    @property
    def all_input_nodes(self) -> list[Node]:
        return list(self._input_nodes)

    def update_arg(self, idx: int, arg: Argument) -> None:
        args = list(self.args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx: int, arg: Argument) -> None:
        if not 0 <= idx <= len(self.args):
            raise AssertionError("insert_args index must be between 0 and len(self.args)")
        self.args = (*self.args[:idx], arg, *self.args[idx:])

    def update_kwarg(self, key: str, arg: Argument) -> None:
        self.kwargs = {**self.kwargs, key: arg}

    def replace_all_uses_with(self, replace_with: Node, delete_user_cb: Callable[[Node], bool] = lambda user: True, *,
                              propagate_meta: bool = False) -> list[Node]:
        """All readers of this node read ``replace_with``. Returns the nodes that were changed."""
        if propagate_meta:
            replace_with.meta.update(self.meta)
        changed = [user for user in list(self.users) if delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        def swap(node: Node) -> Node:
            return new_input if node is old_input else node
        self._set(map_arg(self._args, swap), map_arg(self._kwargs, swap))

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def stack_trace(self) -> str | None:
        return self.meta.get("stack_trace")

    @stack_trace.setter
    def stack_trace(self, trace: str | None) -> None:
        self.meta["stack_trace"] = trace

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether it must stay though nobody reads it."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            return self.target in _side_effectful_functions or getattr(self.target, "__name__", "").startswith("_assert")
        if self.op == "call_module":
            module = self.graph.owning_module.get_submodule(self.target) if self.graph.owning_module is not None else None
            return getattr(module, "_is_impure", False)
        return self.op == "call_method" and str(self.target).endswith("_") and not str(self.target).endswith("__")

    def _pretty_print_target(self, target: object) -> str:
        if isinstance(target, str):
            return target
        if hasattr(target, "__module__") and hasattr(target, "__name__"):
            name = _get_qualified_name(target)  # type: ignore[arg-type]
            return name if "." in name else f"builtins.{name}"
        return repr(target)

    def format_node(self, placeholder_names: list[str] | None = None, maybe_return_typename: list[str] | None = None,
                    **options: Any) -> str:
        kind = f"num_users={len(self.users)}"
        if self.op == "placeholder":
            default = f"(default={self.args[0]})" if self.args else ""
            if placeholder_names is not None:
                placeholder_names.append(str(self.target))
            return f"%{self.name} : [{kind}] = placeholder[target={self.target}]{default}"
        if self.op == "get_attr":
            return f"%{self.name} : [{kind}] = get_attr[target={self.target}]"
        if self.op == "output":
            return f"return {self.args[0]}"
        target = self._pretty_print_target(self.target)
        return f"%{self.name} : [{kind}] = {self.op}[target={target}](args = {_shown(self.args)}, kwargs = {_shown(self.kwargs)})"

    def __repr__(self) -> str:
        return self.name

    def __lt__(self, other: Node) -> bool:
        return self._position() < other._position()

    def __gt__(self, other: Node) -> bool:
        return self._position() > other._position()

    def _position(self) -> int:
        return next(i for i, node in enumerate(self.graph.nodes) if node is self)

    def __iter__(self) -> Iterator:
        raise TypeError("a Node is no sequence: iterate over the value that it stands for")


def _shown(a: Any) -> str:
    """Arguments with nodes as ``%name`` and texts as they are."""
    if isinstance(a, Node):
        return f"%{a.name}"
    if isinstance(a, tuple) and not hasattr(a, "_fields"):
        return f"({', '.join(map(_shown, a))}{',' * (len(a) == 1)})"
    if isinstance(a, list):
        return f"[{', '.join(map(_shown, a))}]"
    if isinstance(a, dict):
        return f"{{{', '.join(f'{key}: {_shown(value)}' for key, value in a.items())}}}"
    return str(a)


_side_effectful_functions: set[Callable] = set()


def has_side_effect(fn: Callable) -> Callable:
    """Marks a function whose calls stay in a graph even if nobody reads their values."""
    _side_effectful_functions.add(fn)
    return fn
