"""How objects behave while a function is evaluated: attributes, items, truth, iteration and calls.

Operators run as they are, on stand-ins. Python functions are evaluated. Of everything else only what is known to do nothing but
return a value is called.
"""

from __future__ import annotations

import enum
import functools
import math
import operator
import os
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import MISSING
from types import (
    BuiltinFunctionType,
    FunctionType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from ..autograd.modes import modes, no_grad, set_grad_enabled
from ..device import device as Device
from ..dtypes import dtype as DType
from ..engine import NotCapturable
from ..graph import Size
from ..tensor import Tensor
from . import training, transformed
from .outside import CONTAINERS, Outside

ABSENT: Any = object()

# What cannot change, and whose methods only return values.
_CONSTANTS = (int, float, complex, bool, str, bytes, type(None), type(...), slice, range, DType, Device, enum.Enum, type)
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_OPERATORS = tuple(PACKAGE + part for part in (
    "ops" + os.sep, f"nn{os.sep}functional.py", f"nn{os.sep}attention{os.sep}", "functional.py", "linalg.py", "fft.py",
    "special.py", "tensor.py"))
_MODULES = tuple(PACKAGE + part for part in (f"nn{os.sep}modules{os.sep}", f"nn{os.sep}_composed.py", f"nn{os.sep}_recurrent.py",
                                              f"autograd{os.sep}modes.py", f"nn{os.sep}utils{os.sep}clip_grad.py"))
_TRANSFORMS = PACKAGE + "func" + os.sep
_OPTIMIZERS = PACKAGE + "optim" + os.sep
# Functions of the package that look at nothing that is not guarded.
_PURE = ("is_tensor", "is_floating_point", "is_complex", "numel", "can_cast", "is_grad_enabled", "get_default_dtype", "is_storage",
         "is_compiling", "is_dynamo_compiling", "is_exporting", "is_scripting", "is_tracing", "is_autocast_enabled", "result_type",
         "promote_types", "broadcast_shapes", "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic",
         "handle_torch_function", "is_inference_mode_enabled", "_assert", "_log_api_usage_once")
# Attributes of tensors whose value is what it is whatever the elements are.
_TENSOR = frozenset(("shape", "dtype", "device", "ndim", "requires_grad", "layout", "is_cuda", "is_cpu", "is_sparse",
                     "is_quantized", "is_nested", "is_meta", "is_mps", "itemsize", "nbytes", "T", "mT", "H", "mH", "real", "imag",
                     "data", "names", "is_xpu", "is_mkldnn", "is_leaf", "__class__", "is_complex", "is_floating_point"))
_READS = frozenset(("item", "tolist", "numpy", "data_ptr", "backward", "register_hook", "retain_grad", "untyped_storage", "storage",
                    "requires_grad_", "detach_", "share_memory_", "register_post_accumulate_grad_hook", "set_", "resize_",
                    "resize_as_", "__reduce_ex__", "__deepcopy__", "__array__", "__dlpack__", "storage_offset"))
_ITERATES = (list, tuple, set, frozenset, zip, enumerate, reversed, sorted, min, max, sum, any, all, map, filter, iter, next, deque,
             dict, OrderedDict, str.join)
_PURE_BUILTINS = frozenset((
    abs, round, divmod, pow, ord, chr, hex, bin, oct, str, repr, int, float, complex, bytes, range, slice, format,
    *(f for f in vars(math).values() if isinstance(f, BuiltinFunctionType)),
    *(f for name, f in vars(operator).items() if isinstance(f, BuiltinFunctionType) and not name.startswith(("i", "set", "del"))),
    operator.index, operator.inv, operator.invert))
_READ_ONLY = {"get", "items", "keys", "values", "copy", "index", "count"}


def _nn_module() -> type:
    from ..nn import Module
    return Module


class Inside:
    """A function that may be called as it is: one that the evaluator made."""

    def __init__(self, run: Callable):
        self.run = run

    def __call__(self, *args, **kwargs):
        return self.run(*args, **kwargs)


class Objects:
    """The rules for values. ``outside`` knows which are from outside."""

    def __init__(self, outside: Outside):
        self.outside = outside
        self.fresh: dict[int, Any] = {}  # objects of Python classes that were made inside
        self.training = training.Training.none()
        self.substituted: dict[tuple[int, str], Tensor] = {}  # by table and name: what `functional_call` gives to modules

    def evaluate(self, function: FunctionType, args: tuple, kwargs: dict) -> Any:
        raise NotImplementedError

    # -- values for native code ----------------------------------------------------------------------------------------

    def native(self, value: Any) -> Any:
        """A value for code that is not evaluated: containers from outside are copied, with stand-ins for their tensors."""
        if isinstance(value, Tensor) or isinstance(value, _CONSTANTS):
            return value
        kind = type(value)
        if self.outside.name_of(value):
            if kind is dict or kind is OrderedDict:
                return kind({k: self.native(v) for k, v in self.native_dict(value).items()})
            if kind in CONTAINERS:
                made: Any = kind
                return made([self.native(x) for x in self.iterate(value)])
            if isinstance(value, tuple) and hasattr(kind, "_make"):
                return kind._make([self.native(x) for x in self.iterate(value)])  # type: ignore[attr-defined]
        elif kind is tuple or kind is list:
            made = [self.native(x) for x in value]
            return value if all(map(operator.is_, made, value)) else kind(made)
        elif kind is dict:
            return {k: self.native(v) for k, v in value.items()}
        elif isinstance(value, (*CONTAINERS, Iterator, *_pure_kinds())):
            return value
        raise NotCapturable(f"hands on an object of class {kind.__name__}")

    def native_dict(self, value: Any) -> dict:
        """The items of a mapping."""
        if not isinstance(value, dict):
            raise NotCapturable(f"unpacks an object of class {type(value).__name__}")
        if not self.outside.name_of(value):
            return value
        return {k: self.item(value, k) for k in self.iterate(value)}

    # -- attributes ----------------------------------------------------------------------------------------------------

    def attribute(self, obj: Any, name: str) -> Any:
        """``obj.name``. Raises AttributeError, which is guarded too."""
        outside = self.outside
        if isinstance(obj, Tensor):
            return self._tensor_attribute(obj, name)
        if obj is modes:  # calls are only captured, and found again, where all but ``grad`` are as usual
            return getattr(obj, name)
        if isinstance(obj, ModuleType):
            value = getattr(obj, name)
            return outside.load(f"{outside.constant(obj)}.{name}", value, True)
        if isinstance(obj, type):
            if _is_computed(type(obj), name) or _is_computed(obj, name):
                raise NotCapturable(f"reads {obj.__name__}.{name}, which is computed")
            value = getattr(obj, name)
            if isinstance(value, (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType)):
                return value
            return outside.load(f"{outside.constant(obj)}.{name}", value, True)
        if isinstance(obj, enum.Enum) and name not in ("name", "value", "_name_", "_value_"):
            return self._instance_attribute(obj, name, (outside.constant(obj), True))
        if isinstance(obj, _CONSTANTS) or type(obj) is Size:
            return getattr(obj, name)
        if type(obj) is super:
            value = getattr(obj, name)
            if type(value) is MethodType and not isinstance(value.__self__, type):
                above: Any = obj
                text = f"super({outside.constant(above.__thisclass__)}, {outside.constant(above.__self_class__)})"
                return MethodType(outside.load(f"{text}.{name}", value.__func__, True), value.__self__)
            raise NotCapturable(f"reads super().{name}")
        known = outside.name_of(obj)
        if type(obj) in (*CONTAINERS, FunctionType, MethodType, BuiltinFunctionType):
            if type(obj) is FunctionType and name in ("__name__", "__qualname__", "__module__"):
                return getattr(obj, name)
            if known or not isinstance(obj, CONTAINERS):
                raise NotCapturable(f"reads the attribute {name} of a {type(obj).__name__} from outside")
            return getattr(obj, name)
        if isinstance(obj, tuple) and name in getattr(type(obj), "_fields", ()):
            return self.item(obj, type(obj)._fields.index(name))  # type: ignore[attr-defined]
        if not known and id(obj) not in self.fresh:
            value = getattr(obj, name)
            if isinstance(obj, _pure_kinds()):
                return value
            raise NotCapturable(f"reads the attribute {name} of an object of class {type(obj).__name__}")
        return self._instance_attribute(obj, name, known)

    def _tensor_attribute(self, t: Tensor, name: str) -> Any:
        source = self.outside.input_of(t)
        if name == "grad" and source is not None:
            return training.gradient(self, source)
        if name == "backward" and type(t) is Tensor:
            method = self.outside.load(f"{self.outside.constant(Tensor)}.backward", Tensor.backward, True)
            if not method.__code__.co_filename.startswith(PACKAGE):
                return MethodType(method, t)
            return Inside(functools.partial(training.backward, self, t))
        if name == "grad_fn" or name == "grad" or name == "_version" or name in _READS:
            raise NotCapturable(f"uses Tensor.{name}")
        if name == "is_leaf" and source is not None:
            leaf = source.tensor.is_leaf
            self.outside.check(f"{source.name}.is_leaf is {leaf}")
            return leaf
        if name in _TENSOR:
            return getattr(t, name)
        method = getattr(type(t), name, None)
        if name not in t.__dict__ and isinstance(method, (FunctionType, staticmethod)):
            self.outside.load(f"{self.outside.constant(type(t))}.{name}", method, True)
            return getattr(t, name)
        if source is not None and name not in ("_storage", "_type", "_rg", "_strides") and not hasattr(Tensor, name):
            own = source.tensor.__dict__
            if name in own:
                return self.outside.load(f"{source.name}.__dict__[{name!r}]", own[name], source.fixed)
            self.outside.check(f"not hasattr({source.name}, {name!r})")
            raise AttributeError(name)
        if not hasattr(Tensor, name):
            raise AttributeError(name)
        raise NotCapturable(f"uses Tensor.{name}")

    def _instance_attribute(self, obj: Any, name: str, known: tuple[str, bool] | None) -> Any:
        cls = type(obj)
        outside = self.outside
        if not isinstance(cls.__getattribute__, WrapperDescriptorType):
            raise NotCapturable(f"reads an attribute of {cls.__name__}, which computes its attributes")
        raw = next((vars(k)[name] for k in cls.__mro__ if name in vars(k)), ABSENT)
        if isinstance(raw, property):
            if raw.fget is None:
                raise AttributeError(name)
            outside.load(f"{outside.constant(cls)}.{name}", raw, True)
            return self.call(raw.fget, (obj,), {})
        text, fixed = known or ("", True)
        if known and fixed:
            outside.check(f"{text}.__class__ is {outside.constant(cls)}")
        if hasattr(type(raw), "__set__"):
            if type(raw) is not MemberDescriptorType:  # of a slot
                raise NotCapturable(f"reads {cls.__name__}.{name}, a {type(raw).__name__}")
            if known and not hasattr(obj, name):
                outside.check(f"not hasattr({text}, {name!r})")
            value = getattr(obj, name)
            return outside.load(f"{text}.{name}", value, fixed) if known else value
        own: Any = getattr(obj, "__dict__", None)
        table = self._table(text, own) if fixed and known and own is not None else f"{text}.__dict__"
        if own is not None and name in own:
            return outside.load(f"{table}[{name!r}]", own[name], fixed) if known else own[name]
        if raw is not ABSENT:
            if known and own is not None:
                outside.check(f"{name!r} not in {table}")
            if isinstance(raw, FunctionType):
                return MethodType(outside.load(f"{outside.constant(cls)}.{name}", raw, True), obj)
            if isinstance(raw, MethodDescriptorType) and isinstance(obj, _CONSTANTS):
                return getattr(obj, name)
            if isinstance(raw, staticmethod):
                return outside.load(f"{outside.constant(cls)}.{name}", raw.__func__, True)
            if isinstance(raw, classmethod):
                return MethodType(outside.load(f"{outside.constant(cls)}.{name}.__func__", raw.__func__, True), cls)
            if hasattr(type(raw), "__get__"):
                raise NotCapturable(f"reads {cls.__name__}.{name}, a {type(raw).__name__}")
            return outside.load(f"{outside.constant(cls)}.{name}", raw, True)
        if isinstance(obj, _nn_module()):
            for kept in ("_parameters", "_buffers", "_modules"):
                entries = own[kept]  # pyright: ignore[reportOptionalSubscript]
                if name in entries:
                    outside.check(f"{table}[{kept!r}] is {outside.constant(entries)} and {name!r} not in {table}")
                    if (id(entries), name) in self.substituted:
                        return self.substituted[id(entries), name]
                    return outside.load(f"{outside.constant(entries)}[{name!r}]", entries[name], True)
        hook = getattr(cls, "__getattr__", None)
        if hook is not None and hook is not _nn_module().__getattr__:
            return self.call(hook, (obj, name), {})
        if known:
            outside.check(f"not hasattr({text}, {name!r})")
        raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")

    def _table(self, text: str, own: dict) -> str:
        """The name of the attributes of an object that must be the same."""
        name = self.outside.constant(own)
        self.outside.check(f"{text}.__dict__ is {name}")
        return name

    def set_attribute(self, obj: Any, name: str, value: Any) -> None:
        source = self.outside.input_of(obj) if name == "grad" and isinstance(obj, Tensor) else None
        if source is not None:
            training.set_gradient(self, source, value)
            return
        if id(obj) not in self.fresh or type(obj).__setattr__ is not object.__setattr__ or _has_setter(type(obj), name):
            raise NotCapturable(f"writes the attribute {name} of an object of class {type(obj).__name__}")
        setattr(obj, name, value)

    def method(self, obj: Any, name: str) -> Any:
        """``obj.name``, to be called at once."""
        if isinstance(obj, CONTAINERS) and self.outside.name_of(obj) and not name.startswith("_"):
            if name not in _READ_ONLY:
                raise NotCapturable(f"calls {type(obj).__name__}.{name}() on an object from outside")
            if isinstance(obj, dict):
                return Inside({"get": lambda key, default=None: self.item(obj, key) if self.contains(obj, key) else default,
                        "items": lambda: [(k, self.item(obj, k)) for k in self.iterate(obj)],
                        "keys": lambda: list(self.iterate(obj)), "copy": lambda: self.native_dict(obj),
                        "values": lambda: [self.item(obj, k) for k in self.iterate(obj)]}[name])
            return getattr(self.native(obj), name)
        return self.attribute(obj, name)

    # -- items ---------------------------------------------------------------------------------------------------------

    def item(self, obj: Any, key: Any) -> Any:
        """``obj[key]``."""
        if isinstance(obj, Tensor):
            return obj[self.native(key)]
        known = self.outside.name_of(obj)
        if known and getattr(type(obj), "__getitem__", None) in (dict.__getitem__, list.__getitem__, tuple.__getitem__):
            if isinstance(key, slice):
                return list(self.iterate(obj))[key] if isinstance(obj, list) else tuple(self.iterate(obj))[key]
            parts = key if isinstance(key, tuple) else (key,)
            if all(isinstance(k, (int, str, type(None))) for k in parts):
                if hasattr(type(obj), "__missing__") and not self.contains(obj, key):
                    raise NotCapturable(f"looks up what is not in a {type(obj).__name__}")
                return self.outside.load(f"{known[0]}[{key!r}]", obj[key], known[1])
            raise NotCapturable(f"looks up a {type(key).__name__}")
        if known or id(obj) in self.fresh:
            return self.call(self.attribute(obj, "__getitem__"), (key,), {})
        if isinstance(obj, (*CONTAINERS, str, bytes, range)) and (not isinstance(obj, defaultdict) or key in obj):
            return obj[key]
        if isinstance(obj, type):
            return obj
        raise NotCapturable(f"indexes an object of class {type(obj).__name__}")

    def set_item(self, obj: Any, key: Any, value: Any) -> None:
        if isinstance(obj, Tensor):
            obj[self.native(key)] = self.native(value)
        elif type(obj) in (list, dict, OrderedDict, defaultdict, deque) and not self.outside.name_of(obj):
            obj[key] = value
        else:
            raise NotCapturable(f"writes an item of a {type(obj).__name__} from outside")

    def delete_item(self, obj: Any, key: Any) -> None:
        if type(obj) not in (list, dict, OrderedDict) or self.outside.name_of(obj):
            raise NotCapturable(f"deletes an item of a {type(obj).__name__} from outside")
        del obj[key]

    def contains(self, obj: Any, key: Any) -> bool:
        """``key in obj``."""
        if isinstance(obj, Tensor) or isinstance(key, Tensor):
            raise NotCapturable("looks for a tensor's value")
        known = self.outside.name_of(obj)
        if known and isinstance(obj, dict) and isinstance(key, (int, str, bool)):
            found = key in obj
            self.outside.check(f"({key!r} in {known[0]}) is {found}")
            return found
        if isinstance(obj, CONTAINERS) or isinstance(obj, (str, range, Iterator)):
            return self.native(key) in self.native(obj)
        return bool(self.call(self.attribute(obj, "__contains__"), (key,), {}))

    def iterate(self, obj: Any) -> Iterator:
        """``iter(obj)``."""
        if isinstance(obj, Tensor):
            return iter(obj)
        known = self.outside.name_of(obj)
        if known and isinstance(obj, CONTAINERS):
            text = known[0]
            if isinstance(obj, (dict, set, frozenset)):
                keys = tuple(obj)
                if not all(isinstance(k, (int, str, bool, type(None), DType)) for k in keys):
                    raise NotCapturable(f"iterates over a {type(obj).__name__} of objects")
                self.outside.check(f"tuple({text}) == {self.outside.constant(keys)}")
                if not all(type(k) is str for k in keys):  # of which some may be equal, and of other classes
                    self.outside.check(f"[*map(type, {text})] == {self.outside.constant([*map(type, keys)])}")
                return iter(keys)
            self.outside.check(f"len({text}) == {len(obj)}")
            return iter([self.outside.load(f"{text}[{i}]", x, known[1]) for i, x in enumerate(obj)])
        if known or id(obj) in self.fresh:
            return self.iterate(self.call(self.attribute(obj, "__iter__"), (), {}))
        if isinstance(obj, (*CONTAINERS, str, bytes, range, Iterator, type({}.items()), type({}.keys()), type({}.values()))):
            return iter(obj)
        raise NotCapturable(f"iterates over an object of class {type(obj).__name__}")

    def length(self, obj: Any) -> int:
        known = self.outside.name_of(obj)
        if isinstance(obj, CONTAINERS):
            if known:
                self.outside.check(f"len({known[0]}) == {len(obj)}")
            return len(obj)
        if known or id(obj) in self.fresh:
            return self.call(self.attribute(obj, "__len__"), (), {})
        return len(self.native(obj))

    def class_of(self, obj: Any) -> type:
        """``type(obj)``."""
        known = self.outside.name_of(obj)
        if known and known[1]:  # that of others is guarded where they are loaded
            self.outside.check(f"{known[0]}.__class__ is {self.outside.constant(type(obj))}")
        return type(obj)

    def truth(self, obj: Any) -> bool:
        """``bool(obj)``."""
        if isinstance(obj, Tensor):
            raise NotCapturable("branches on a tensor")
        known = self.outside.name_of(obj)
        if known and isinstance(obj, CONTAINERS):
            self.outside.check(f"bool({known[0]}) is {bool(obj)}")
            return bool(obj)
        if known or id(obj) in self.fresh:
            kind = type(obj)
            if hasattr(kind, "__bool__"):
                return self.call(self.attribute(obj, "__bool__"), (), {})
            return self.length(obj) != 0 if hasattr(kind, "__len__") else True
        return bool(obj)

    def same(self, a: Any, b: Any) -> bool:
        """``a is b``."""
        x, y = self._name(a), self._name(b)
        if x is not None and y is not None:
            self.outside.check(f"({x} is {y}) is {a is b}")
        return a is b

    def _name(self, x: Any) -> str | None:
        """The name of a tensor or an object from outside in the guards."""
        if isinstance(x, Tensor):
            source = self.outside.input_of(x)
            return None if source is None else source.name
        known = self.outside.name_of(x)
        return known and known[0]

    def binary(self, function: Callable, a: Any, b: Any, in_place: bool = False) -> Any:
        """An operator of the language on two values."""
        if in_place and isinstance(a, CONTAINERS) and not isinstance(a, tuple) and self.outside.name_of(a):
            raise NotCapturable(f"changes a {type(a).__name__} from outside")
        if id(a) in self.fresh or id(b) in self.fresh:
            raise NotCapturable("applies an operator to objects")
        if function in (operator.eq, operator.ne):
            if not isinstance(a, (Tensor, *CONTAINERS)):
                self.same(a, b)  # which is what objects are compared by
            a, b = self._comparable(a), self._comparable(b)
        elif function is operator.mod and isinstance(a, str):
            b = self.native(b)
        else:
            a, b = a if in_place else self.native(a), self.native(b)
        return function(a, b)

    def _comparable(self, x: Any) -> Any:
        if self.outside.name_of(x) and not isinstance(x, CONTAINERS):
            if type(x).__eq__ is object.__eq__:
                return x
            raise NotCapturable(f"compares objects of class {type(x).__name__}")
        if isinstance(x, (FunctionType, MethodType, BuiltinFunctionType, ModuleType)):
            return x
        return self.native(x)

    # -- calls ---------------------------------------------------------------------------------------------------------

    def call(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """``function(*args, **kwargs)``."""
        kind = type(function)
        if kind is MethodType:
            return self.call(function.__func__, (function.__self__, *args), kwargs)
        if kind is FunctionType:
            return self._function(function, args, kwargs)
        if isinstance(function, Inside):
            return function(*args, **kwargs)
        if isinstance(function, type):
            return self._instantiate(function, args, kwargs)
        if isinstance(function, _nn_module()):
            return self._module(function, args, kwargs)
        if isinstance(function, (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType, type([].__len__))):
            return self._builtin(function, args, kwargs)
        if kind is functools.partial:
            known = self.outside.name_of(function)
            if known:
                func, given, named = [self.outside.load(f"{known[0]}.{part}", getattr(function, part), known[1])
                                      for part in ("func", "args", "keywords")]
                function = functools.partial(func, *self.iterate(given), **self.native_dict(named))
            return self.call(function.func, (*function.args, *args), {**function.keywords, **kwargs})
        if self.outside.name_of(function) or id(function) in self.fresh:
            return self.call(self.attribute(function, "__call__"), args, kwargs)
        raise NotCapturable(f"calls an object of class {kind.__name__}")

    def _function(self, function: FunctionType, args: tuple, kwargs: dict) -> Any:
        if getattr(function, "_diya_disabled", False):
            raise NotCapturable(f"calls {function.__name__}, for which compiling is disabled")
        file = function.__code__.co_filename
        compiled = getattr(function, "_diya_compiled", None)
        if compiled is not None and file.startswith(PACKAGE):  # others have it from functools.wraps
            return self.call(compiled.function, args, kwargs)
        if file.startswith(PACKAGE) and not file.startswith(_MODULES):
            if file.startswith(_OPERATORS) and function.__name__ not in _READS or function.__name__ in _PURE:
                return function(*[self.native(x) for x in args], **{k: self.native(x) for k, x in kwargs.items()})
            if file.startswith(_TRANSFORMS):
                return transformed.call(self, function, args, kwargs)
            if file.startswith(_OPTIMIZERS):
                return training.call(self, function, args, kwargs)
            if not file.startswith(PACKAGE + "demo"):
                raise NotCapturable(f"calls {function.__module__}.{function.__qualname__}")
        if function is _nn_module().parameters:
            return iter(self._parameters(*args, **kwargs))
        return self.evaluate(function, args, kwargs)

    def _parameters(self, module: Any, recurse: bool = True) -> list[Tensor]:
        """``module.parameters()``, which is a generator: it is run whole, as every later call will."""
        outside = self.outside
        known = outside.name_of(module)
        if known is None:
            raise NotCapturable("goes over the parameters of a module that was made inside")
        found = list(module.parameters(recurse))
        name = outside.variable(f"list({known[0]}.parameters({recurse}))")
        outside.check(f"len({name}) == {len(found)}")
        return [outside.load(f"{name}[{i}]", p, True) for i, p in enumerate(found)]

    def _module(self, module: Any, args: tuple, kwargs: dict) -> Any:
        cls = type(module)
        if cls.__name__ == "OptimizedModule" and "compiled" in vars(module):
            return self.call(self.attribute(module, "_orig_mod"), args, kwargs)
        outside = self.outside
        call = outside.load(f"{outside.constant(cls)}.__call__", cls.__call__, True)
        if type(call) is not FunctionType or not call.__code__.co_filename.startswith(PACKAGE):
            return self.call(MethodType(call, module), args, kwargs)
        from ..nn.modules import module as hooks
        own = vars(module)
        table = self._table(outside.constant(module), own)
        for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            if own[name]:
                raise NotCapturable(f"calls a {cls.__name__} that has hooks")
            outside.check(f"not {table}[{name!r}]")
        if hooks.global_hooks():
            raise NotCapturable("runs under hooks of every module")
        return self.call(self.attribute(module, "forward"), args, kwargs)

    def _builtin(self, function: Any, args: tuple, kwargs: dict) -> Any:
        if function in _SPECIAL:
            return _SPECIAL[function](self, *args, **kwargs)
        owner = getattr(function, "__self__", None)
        if function in _ITERATES or isinstance(owner, str) and function.__name__ == "join":
            return self._iterating(function, args, kwargs)
        if function in _PURE_BUILTINS or owner is not None and isinstance(owner, _CONSTANTS) and not isinstance(owner, type):
            return function(*[self.native(x) for x in args], **{k: self.native(x) for k, x in kwargs.items()})
        if owner is not None and type(owner) in CONTAINERS and not self.outside.name_of(owner):
            if function.__name__ in ("extend", "update", "sort", "__contains__"):
                args = tuple([self._opened(x) for x in args])
                kwargs = {k: self._callable(x) for k, x in kwargs.items()}
            return function(*args, **kwargs)
        raise NotCapturable(f"calls {getattr(function, '__qualname__', function)}")

    def _iterating(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """A call of a built-in that goes over its arguments."""
        return function(*[self._callable(self._opened(x)) for x in args],
                        **{k: self._callable(self._opened(x)) for k, x in kwargs.items()})

    def _opened(self, x: Any) -> Any:
        if isinstance(x, dict):
            return self.native_dict(x)
        if self.outside.name_of(x) or id(x) in self.fresh:
            if isinstance(x, CONTAINERS) or hasattr(type(x), "__iter__"):
                return list(self.iterate(x))
            return x
        return x

    def _callable(self, x: Any) -> Any:
        """A function that native code may call."""
        if isinstance(x, (FunctionType, MethodType)):
            return lambda *args, **kwargs: self.call(x, args, kwargs)
        return x

    def _instantiate(self, cls: type, args: tuple, kwargs: dict) -> Any:
        if cls in _SPECIAL:
            return _SPECIAL[cls](self, *args, **kwargs)
        if cls in _ITERATES or cls in (OrderedDict, defaultdict):
            return self._iterating(cls, args, kwargs)
        if cls in _PURE_BUILTINS or cls in (Device, Size, *_pure_kinds()):
            return cls(*[self.native(x) for x in args], **{k: self.native(x) for k, x in kwargs.items()})
        if issubclass(cls, (no_grad, set_grad_enabled)):
            return cls(*args, **kwargs)
        if _is_namedtuple(cls):
            return cls(*args, **kwargs)
        plain = type(cls) is type and cls.__new__ is object.__new__ and not issubclass(cls, _nn_module()) and \
            not hasattr(cls, "__del__")
        if plain and _is_dataclass(cls):
            made = cls(*args, **kwargs)
        elif plain and isinstance(cls.__init__, FunctionType):
            made = object.__new__(cls)
            self.fresh[id(made)] = made
            self.call(cls.__init__, (made, *args), kwargs)
        else:
            raise NotCapturable(f"makes an object of class {cls.__name__}")
        self.fresh[id(made)] = made
        return made


def _is_namedtuple(cls: type) -> bool:
    """Whether making one runs nobody's code."""
    base = next((k for k in reversed(cls.__mro__) if "_fields" in vars(k)), None)
    return base is not None and issubclass(cls, tuple) and cls.__new__ is base.__new__ and cls.__init__ is object.__init__


def _is_dataclass(cls: type) -> bool:
    """Whether making one runs nobody's code: what the decorator wrote assigns the fields."""
    fields: Any = getattr(cls, "__dataclass_fields__", None)
    return fields is not None and not hasattr(cls, "__post_init__") and isinstance(cls.__init__, FunctionType) and \
        cls.__init__.__code__.co_filename == "<string>" and \
        (cls.__setattr__ is object.__setattr__ or cls.__dataclass_params__.frozen) and \
        all(f.default_factory in (MISSING, list, dict, set) and not _has_setter(cls, k) for k, f in fields.items())


def _has_setter(cls: type, name: str) -> bool:
    """Whether assigning an attribute runs a descriptor's code."""
    kind = type(getattr(cls, name, None))
    return hasattr(kind, "__set__") and kind is not MemberDescriptorType


@functools.cache
def _pure_kinds() -> tuple:
    """Classes of the package whose objects are constants."""
    from .._public import finfo, iinfo, layout
    from ..ops.movement import memory_format
    return finfo, iinfo, layout, memory_format


def _is_computed(cls: type, name: str) -> bool:
    """Whether reading a class's attribute from an instance runs Python code that is not the method itself."""
    kind = type(next((vars(k)[name] for k in cls.__mro__ if name in vars(k)), None))
    return kind is property and issubclass(cls, type) or isinstance(getattr(kind, "__get__", None), FunctionType) and \
        kind.__module__ not in ("enum", "types")


def _isinstance(objects: Objects, obj: Any, kinds: Any) -> bool:
    if isinstance(kinds, tuple) and objects.outside.name_of(kinds):
        kinds = objects.native(kinds)
    for kind in kinds if isinstance(kinds, tuple) else (kinds,):
        check = getattr(type(kind), "__instancecheck__", None)
        if isinstance(check, FunctionType) and check.__module__ not in ("abc", "typing") and \
                not check.__code__.co_filename.startswith(PACKAGE):
            raise NotCapturable(f"asks {type(kind).__name__} for its instances")
    objects.class_of(obj)
    return isinstance(obj, kinds)


def _getattr(objects: Objects, obj: Any, name: str, *default: Any) -> Any:
    try:
        return objects.attribute(obj, name)
    except AttributeError:
        if default:
            return default[0]
        raise


def _hasattr(objects: Objects, obj: Any, name: str) -> bool:
    return _getattr(objects, obj, name, ABSENT) is not ABSENT


def _type(objects: Objects, obj: Any, *rest: Any) -> type:
    if rest:
        raise NotCapturable("makes a class")
    return objects.class_of(obj)


def _next(objects: Objects, iterator: Any, *default: Any) -> Any:
    if objects.outside.name_of(iterator):
        raise NotCapturable("takes from an iterator from outside")
    return next(iterator, *default)


_SPECIAL: dict[Any, Callable] = {
    len: lambda objects, x: objects.length(x), isinstance: _isinstance, issubclass: lambda objects, a, b: issubclass(a, b),
    getattr: _getattr, hasattr: _hasattr, type: _type, bool: lambda objects, x=False: objects.truth(x),
    iter: lambda objects, x: objects.iterate(x), next: _next, callable: lambda objects, x: callable(x),
    operator.getitem: lambda objects, x, key: objects.item(x, key), operator.is_: lambda objects, a, b: objects.same(a, b),
    operator.is_not: lambda objects, a, b: not objects.same(a, b), operator.truth: lambda objects, x: objects.truth(x),
    operator.not_: lambda objects, x: not objects.truth(x),
    zip: lambda objects, *xs, strict=False: zip(*[objects.iterate(x) for x in xs], strict=strict),
    enumerate: lambda objects, x, start=0: enumerate(objects.iterate(x), start),
    map: lambda objects, f, *xs: (objects.call(f, values, {}) for values in zip(*[objects.iterate(x) for x in xs], strict=False)),
    filter: lambda objects, f, xs: (x for x in objects.iterate(xs) if objects.truth(x if f is None else objects.call(f, (x,), {}))),
    any: lambda objects, xs: any(objects.truth(x) for x in objects.iterate(xs)),
    all: lambda objects, xs: all(objects.truth(x) for x in objects.iterate(xs)),
    list: lambda objects, xs=(): list(objects.iterate(xs)), tuple: lambda objects, xs=(): tuple(objects.iterate(xs)),
    set: lambda objects, xs=(): set(objects.iterate(xs))}
