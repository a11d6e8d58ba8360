"""What flows through a function while it is traced: a proxy records what is done to it as nodes."""

from __future__ import annotations

import bisect
import dis
import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any

from ..nn import Parameter
from ..ops import record
from ..tensor import Tensor
from .graph import Graph
from .immutable_collections import immutable_dict, immutable_list
from .node import Node, Target, map_aggregate


class TraceError(ValueError):
    """The function does what cannot be recorded: it asks a proxy for a value."""


class TracerBase:
    """Makes nodes for what is done to proxies. `Tracer` adds how a module is gone through."""

    graph: Graph
    record_stack_traces = False
    check_mutable_operations = False
    trace_asserts = False
    proxy_buffer_attributes = False
    traced_func_name = "forward"

    def create_node(self, kind: str, target: Target, args: tuple, kwargs: dict, name: str | None = None,
                    type_expr: Any = None) -> Node:
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def proxy(self, node: Node) -> Proxy:
        return Proxy(node, self)

    def create_proxy(self, kind: str, target: Target, args: tuple, kwargs: dict, name: str | None = None, type_expr: Any = None,
                     proxy_factory_fn: Callable[[Node], Proxy] | None = None) -> Proxy:
        """A node for a call, and the proxy for its value."""
        args_, kwargs_ = self.create_arg(args), self.create_arg(kwargs)
        node = self.create_node(kind, target, args_, kwargs_, name, type_expr)
        return (proxy_factory_fn or self.proxy)(node)

    def create_arg(self, a: Any) -> Any:
        """What a node holds for a value: nodes for proxies, in what they are nested in."""
        if isinstance(a, Proxy):
            return a.node
        if hasattr(a, "__fx_create_arg__"):
            return a.__fx_create_arg__(self)
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            parts = tuple(self.create_arg(x) for x in a)
            return self.create_node("call_function", type(a), parts, {})
        if isinstance(a, tuple):
            return tuple(self.create_arg(x) for x in a)
        if isinstance(a, list):
            return immutable_list(self.create_arg(x) for x in a)
        if isinstance(a, dict):
            return immutable_dict((self.create_arg(k), self.create_arg(v)) for k, v in a.items())
        if isinstance(a, slice):
            return slice(*(self.create_arg(x) for x in (a.start, a.stop, a.step)))
        if isinstance(a, range):
            return range(*(self.create_arg(x) for x in (a.start, a.stop, a.step)))
        return a

    def to_bool(self, obj: Proxy) -> bool:
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj: Proxy) -> Iterator:
        raise TraceError("Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args or "
                         "**kwargs function argument. See the torch.fx docs on pytorch.org for a more detailed explanation of what "
                         "types of control flow can be traced, and check out the Proxy docstring for help troubleshooting Proxy "
                         "iteration errors")

    def keys(self, obj: Proxy) -> Any:
        return Attribute(obj, "keys")()


class GraphAppendingTracer(TracerBase):
    """Adds nodes to a graph that is made by hand."""

    def __init__(self, graph: Graph):
        self.graph = graph


_asked = False


def _ask_proxies() -> None:
    """From the first proxy on, operators look whether an argument is one."""
    global _asked
    if not _asked:
        _asked = True
        record.subclass_overrides()


class Proxy:
    """Stands for the value of a node. Python's operators, methods and functions of ``torch`` on it make further nodes."""

    def __init__(self, node: Node, tracer: TracerBase | None = None):
        _ask_proxies()
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        self.node = node

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, k: str) -> Any:
        if k.startswith("__") and k.endswith("__"):  # questions of Python's and of libraries, not of the program
            raise AttributeError(k)
        return Attribute(self, k)

    def __call__(self, *args: Any, **kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator:
        frame = inspect.currentframe().f_back  # type: ignore[union-attr]
        assert frame is not None
        steps = list(dis.get_instructions(frame.f_code))
        at = bisect.bisect_left([step.offset for step in steps], frame.f_lasti)
        if steps[at].opname == "UNPACK_SEQUENCE":  # a, b = x
            return iter([self[i] for i in range(steps[at].argval)])
        return self.tracer.iter(self)

    def __bool__(self) -> bool:
        return self.tracer.to_bool(self)

    def __len__(self) -> int:
        raise RuntimeError("'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please "
                           "call torch.fx.wrap('len') at module scope")

    def __contains__(self, item: Any) -> bool:
        raise TraceError("'in' asks a symbolically traced variable for a value")

    def __abs__(self) -> Proxy:
        return self.tracer.create_proxy("call_function", abs, (self,), {})

    def keys(self) -> Any:
        return self.tracer.keys(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(f"'{type(self).__name__}' object does not support item assignment")

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        tracers: list[TracerBase] = []

        def look(x: Any) -> None:
            if isinstance(x, Proxy) and all(x.tracer is not t for t in tracers):
                tracers.append(x.tracer)
        map_aggregate((args, kwargs), look)
        if len(args) == 2 and isinstance(args[0], str) and isinstance(args[1], (tuple, list)):  # einsum of a list of operands
            args = args[0], *args[1]
        if len(tracers) > 1:
            raise RuntimeError(f"Found multiple different tracers {tracers} while trying to trace operations {func}")
        name = getattr(func, "__name__", "")
        if Tensor.__dict__.get(name) is func and record.OPERATORS.get(name) is None and name.startswith(("__", "new_", "detach")):
            return tracers[0].create_proxy("call_method", name, args, kwargs)
        return tracers[0].create_proxy("call_function", func, args, kwargs)


class Attribute(Proxy):
    """``x.name`` of a proxy: a method if it is called, else a value."""

    def __init__(self, root: Proxy, attr: str):
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """A parameter in a traced function, whose shape and size are known."""

    def __init__(self, tracer: TracerBase, node: Node, *, name: str, param: Parameter):
        super().__init__(node, tracer)
        self.param, self.name = param, name

    @property
    def shape(self) -> Any:
        return self.param.shape

    def size(self, *args: Any) -> Any:
        return self.param.size(*args)

    def dim(self) -> int:
        return self.param.dim()

    @property
    def ndim(self) -> int:
        return self.param.ndim

    def numel(self) -> int:
        return self.param.numel()


def _record_operators() -> None:
    def forward(target: Callable) -> Callable:
        def call(self: Proxy, *args: Any) -> Proxy:
            return self.tracer.create_proxy("call_function", target, (self, *args), {})
        return call

    def reflected(target: Callable) -> Callable:
        def call(self: Proxy, other: Any) -> Proxy:
            return self.tracer.create_proxy("call_function", target, (other, self), {})
        return call
    both = ("add", "sub", "mul", "floordiv", "truediv", "mod", "pow", "lshift", "rshift", "and", "or", "xor", "matmul")
    for name in (*both, "eq", "ne", "lt", "gt", "le", "ge", "getitem", "pos", "neg", "invert"):
        target = getattr(operator, name, None) or getattr(operator, f"{name}_")
        setattr(Proxy, f"__{name}__", forward(target))
        if name in both:
            setattr(Proxy, f"__r{name}__", reflected(target))
    Proxy.__hash__ = object.__hash__  # type: ignore[method-assign]


_record_operators()

__all__ = ["Attribute", "GraphAppendingTracer", "ParameterProxy", "Proxy", "TraceError", "TracerBase"]
