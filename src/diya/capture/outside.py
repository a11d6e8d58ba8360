"""What a capture looks at outside of itself: as guards for later calls, and stand-ins for tensors.

Every value is loaded from a place (an argument, an attribute, an item) and leaves a line of Python that loads it again and
compares. Numbers and strings are compared, functions and classes must be the same; containers are followed into. Objects that
are reached from arguments are followed by their attributes, modules and what is reached from globals must be the same.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict, defaultdict, deque
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from .. import engine, views
from ..device import device as Device
from ..dtypes import dtype as DType
from ..engine import NotCapturable
from ..graph import PRIMITIVES, Node, Size, Type, type_of
from ..runtime.buffer import Buffer
from ..storage import Storage
from ..tensor import Tensor

CONTAINERS = (tuple, list, dict, set, frozenset, OrderedDict, defaultdict, deque, Size)
_SAME = (FunctionType, BuiltinFunctionType, type, ModuleType, DType, enum.Enum, type(len.__call__), type(str.join), property,
         type(None), bool, type(...), type(NotImplemented))
_VALUES = (str, bytes, int, float, complex, np.float64, Device)
# What the rules take to be that of a container's class.
_METHODS = ("__iter__", "__len__", "__bool__", "__contains__", "__getitem__", "__missing__", "__eq__", "get", "items", "keys",
            "values", "copy", "index", "count")


class Layout(NamedTuple):
    """What a later tensor must share with the one that was captured. ``strides`` are None for a contiguous one; ``content`` is
    the type of its part of the memory."""

    type: Type
    strides: tuple[int, ...] | None
    requires_grad: bool
    content: Type


class Input(NamedTuple):
    """A tensor from outside. ``name`` is its name in the guards, ``regular`` whether it is the whole of its memory."""

    name: str
    tensor: Tensor
    fixed: bool
    stand_in: Tensor
    node: Node
    layout: Layout
    regular: bool


def content(t: Tensor) -> Node | None:
    """The part of its memory that a tensor spans, as a dense value; None for strided memory that numpy sees, too."""
    type = t._type
    if t._strides is None or views.is_contiguous(type.shape, t._strides):
        return t._value()
    storage = t._storage
    if storage.exports is not None and storage.exported():
        return None
    node = storage.node
    if node.type.dtype is not type.dtype or not type.numel:
        return None
    span = views.extent(type.shape, t._strides, 0)[1] + 1
    if span == node.type.numel:
        return node
    part = type_of((span,), type.dtype)
    if isinstance(node.value, Buffer):
        return engine.leaf_of(node, t._offset, part)
    return engine.append(PRIMITIVES["view"], (node,), ((span,), (1,), t._offset))


def strides_of(t: Tensor) -> tuple[int, ...] | None:
    """A tensor's strides, if they are not those of a dense one."""
    return None if t._strides is None or tuple(t._strides) == t._type.strides else tuple(t._strides)


def content_like(t: Any, layout: Layout) -> Node | None:
    """The content of a tensor, if it has that layout."""
    if t._type is not layout.type or t.requires_grad is not layout.requires_grad:
        return None
    if strides_of(t) != layout.strides:
        return None
    node = content(t)
    return node if node is not None and node.type is layout.content else None


def whole_like(t: Any, layout: Layout) -> Node | None:
    """The content of a tensor, if it has that layout and is the whole of a memory that only tensors see."""
    node = content_like(t, layout)
    return node if t._strides is None and node is t._storage.node and not t._storage.exported() else None


class Outside:
    """Guards under construction. Names are ``c0``... for constants and ``v0``... for what is loaded on the way."""

    def __init__(self):
        self.lines: list[str] = []
        self.scope: dict[str, Any] = {"content_like": content_like, "whole_like": whole_like, "copysign": math.copysign}
        self.inputs: list[Input] = []
        self.sealed: set[Node] = set()
        self.numbers: list[str] = []  # expressions: more inputs, made by the guards
        self.counts: list[str] = []   # names of what counters of steps hold afterwards
        self._constants: dict[int, str] = {}
        self._known: dict[int, tuple[Any, str, bool]] = {}
        self._loaded: dict[str, Any] = {}
        self._checked: set[str] = set()
        self._by_tensor: dict[int, Input] = {}
        self._by_stand_in: dict[int, Input] = {}
        self._variables = 0

    def placeholder(self, type: Type) -> Node:
        """A value that never comes to be."""
        node = Node(engine.leaf_signature(type), type, (), None)
        self.sealed.add(node)
        return node

    def constant(self, value: Any) -> str:
        """The name of an object in the guards."""
        name = self._constants.get(id(value))
        if name is None:
            name = self._constants[id(value)] = f"c{len(self._constants)}"
            self.scope[name] = value
        return name

    def check(self, condition: str) -> None:
        if condition not in self._checked:
            self._checked.add(condition)
            self.lines.append(f"if not ({condition}): return")

    def variable(self, access: str) -> str:
        name = f"v{self._variables}"
        self._variables += 1
        self.lines.append(f"{name} = {access}")
        return name

    def name_of(self, value: Any) -> tuple[str, bool] | None:
        """(name in the guards, whether it must be the same object) of an object from outside; None for one made inside."""
        known = self._known.get(id(value))
        return known and known[1:]

    def input_of(self, tensor: Tensor) -> Input | None:
        """The input that a tensor stands for."""
        return self._by_stand_in.get(id(tensor))

    def load(self, access: str, value: Any, fixed: bool) -> Any:
        """The value that is found at ``access`` (an expression over names), as the evaluator sees it. ``fixed``: objects must
        be the same then."""
        if access not in self._loaded:
            self._loaded[access] = self._load(access, value, fixed)
        return self._loaded[access]

    def _load(self, access: str, value: Any, fixed: bool) -> Any:
        kind = type(value)
        if isinstance(kind.__getattribute__, FunctionType):  # looking at its class would run that
            raise NotCapturable(f"reads a {kind.__name__}, which computes its attributes")
        if isinstance(value, Tensor):
            return self._tensor(access, value, fixed)
        if isinstance(value, _SAME):
            self.check(f"{access} is {value if value is None or kind is bool else self.constant(value)}")
        elif kind in _VALUES or isinstance(value, _VALUES) and _adds_nothing(kind) and not getattr(value, "__dict__", None):
            self._constant_at(access, value)
        elif isinstance(value, _VALUES):
            raise NotCapturable(f"reads a {kind.__name__}, which may behave otherwise than what it inherits from")
        elif kind is slice or kind is range:
            name = self.variable(access)
            self.check(f"{name}.__class__ is {self.constant(kind)}")
            parts = [self.load(f"{name}.{part}", getattr(value, part), fixed) for part in ("start", "stop", "step")]
            return slice(*parts) if kind is slice else value
        elif kind is MethodType:
            name = self.variable(access)
            self.check(f"{name}.__class__ is {self.constant(MethodType)}")
            return MethodType(self.load(f"{name}.__func__", value.__func__, True),
                              self.load(f"{name}.__self__", value.__self__, fixed))
        else:
            self._object(access, value, fixed)
        return value

    def _constant_at(self, access: str, value: Any) -> None:
        """Guards a number, a string or the like: its class first, so that comparing runs nobody's code."""
        if value != value:
            raise NotCapturable(f"reads the number {value}")
        name, kind, it = self.variable(access), type(value), self.constant(value)
        same = f"{name} == {it}"
        if isinstance(value, complex):
            same += f" and repr({name}) == {repr(value)!r}"
        elif isinstance(value, float) and value == 0:
            same += f" and copysign(1, {name}) == {math.copysign(1, value)}"
        self.check(f"{name} is {it} or {name}.__class__ is {self.constant(kind)} and {same}")

    def _object(self, access: str, value: Any, fixed: bool) -> None:
        known = self._known.get(id(value))
        if known is not None:
            self.check(f"{access} is {known[1]}")
            return
        kind = type(value)
        if _has_own_methods(kind):
            raise NotCapturable(f"reads a {kind.__name__}, a container with methods of its own")
        if kind in CONTAINERS or isinstance(value, tuple) and hasattr(value, "_fields"):
            fixed = False
        elif _is_module(value):
            fixed = True
        if fixed:
            name = self.constant(value)
            self.check(f"{access} is {name}")
        else:
            name = self.variable(access)
            self.check(f"{name}.__class__ is {self.constant(kind)}")
        self._known[id(value)] = value, name, fixed

    def _tensor(self, access: str, t: Tensor, fixed: bool) -> Tensor:
        known = self._by_tensor.get(id(t)) or self._by_stand_in.get(id(t))
        if known is not None:
            self.check(f"{access} is {known.name}")
            return known.stand_in
        kind = type(t)
        if kind is not Tensor and not (kind.__name__ == "Parameter" and kind.__module__ == "diya.nn.parameter"):
            raise NotCapturable(f"reads a tensor of class {kind.__name__}")
        if t._inference:
            raise NotCapturable("reads an inference tensor")
        found = content(t)
        if found is None:
            raise NotCapturable("reads a strided view of memory that numpy sees, too")
        if fixed:
            name = self.constant(t)
            self.check(f"{access} is {name}")
        else:
            name = self.variable(access)
            self.check(f"{name}.__class__ is {self.constant(kind)} and not {name}._inference")
        layout = Layout(t._type, strides_of(t), t.requires_grad, found.type)
        node = self.placeholder(found.type)
        stand_in = object.__new__(kind)
        stand_in._storage, stand_in._type, stand_in._rg = Storage(node), t._type, t.requires_grad
        if layout.strides is not None:
            stand_in._strides = layout.strides
        made = Input(name, t, fixed, stand_in, node, layout, t._strides is None and found is t._storage.node)
        self._by_tensor[id(t)] = self._by_stand_in[id(stand_in)] = made
        i = len(self.inputs)
        self.inputs.append(made)
        n, s, kept, it = f"n{i}", f"s{i}", self.constant(t._type), self.constant(layout)
        if made.regular and found.type is t._type:
            self.lines += [f"{s} = {name}._storage", f"{n} = {s}.node",
                           f"if {n}.type is not {kept} or {name}._type is not {kept} or "
                           f"{name}._rg is not {layout.requires_grad} or "
                           f"{name}._strides is not None or {s}.exports is not None or {name}._base is not None:"]
        else:
            self.lines.append("if 1:")
        self.lines += [f"    {n} = content_like({name}, {it})", f"    if {n} is None: return"]
        return stand_in

    def whole(self, x: Input) -> None:
        """Guards that an input is the whole of a memory that only tensors see."""
        otherwise = f"    n{self.inputs.index(x)} = content_like("
        at = next(k for k, line in enumerate(self.lines) if line.startswith(otherwise))
        self.lines[at] = self.lines[at].replace("content_like", "whole_like")

    def guard(self):
        """``guard(args, kwargs)``: (contents of the inputs, and numbers; the tensors; counts), or None where something differs."""
        body = "\n        ".join(self.lines)
        nodes = "".join([*[f"n{i}, " for i in range(len(self.inputs))], *[f"{x}, " for x in self.numbers]])
        tensors = "".join(f"{x.name}, " for x in self.inputs)
        counts = "".join(f"{x}, " for x in self.counts)
        text = (f"def guard(args, kwargs):\n    try:\n        {body}\n        return [{nodes}], ({tensors}), ({counts})\n"
                f"    except Exception: return None")  # the call as it is written then says what is wrong
        exec(compile(text, "<guards>", "exec"), self.scope)
        return self.scope["guard"]


def _adds_nothing(kind: type) -> bool:
    """Whether a class of values behaves as the built-in one that it inherits from."""
    own = {name for k in kind.__mro__[:-1] if k not in _VALUES for name in vars(k)}
    return own <= {"__module__", "__doc__", "__dict__", "__weakref__", "__slots__", "__firstlineno__", "__static_attributes__"}


def _has_own_methods(kind: type) -> bool:
    """Whether a class of containers behaves otherwise than the one that it inherits from."""
    base = next((k for k in kind.__mro__ if k in CONTAINERS), None)
    return base is not None and any(getattr(kind, m, None) is not getattr(base, m, None) for m in _METHODS)


def _is_module(value: Any) -> bool:
    from ..nn import Module
    return isinstance(value, Module)
