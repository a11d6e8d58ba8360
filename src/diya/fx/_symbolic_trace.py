"""Tracing: a function or a module runs once on proxies, and what they record is its graph."""

from __future__ import annotations

import builtins
import collections
import copy
import functools
import inspect
import math
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from .._symbolic import _assert
from ..nn import Module, Parameter, Sequential
from ..tensor import Tensor
from .graph import Graph
from .graph_module import GraphModule
from .node import public_path
from .proxy import ParameterProxy, Proxy, TracerBase

_wrapped: list[tuple[dict, str]] = []   # what `wrap` was told: a module's namespace and a name in it
_tracing = 0


def is_fx_tracing() -> bool:
    return _tracing > 0


def wrap(fn_or_name: str | Callable) -> str | Callable:
    """Functions of a module, by name or as decorated, that are recorded as one call and not gone through."""
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__code__.co_name if hasattr(fn_or_name, "__code__") else \
        fn_or_name.__name__
    frame = inspect.currentframe().f_back  # type: ignore[union-attr]
    assert frame is not None
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    _wrapped.append((frame.f_globals, name))
    return fn_or_name


def _proxy_in(args: Any, kwargs: Any) -> Proxy | None:
    found: list[Proxy] = []

    def look(x: Any) -> None:
        if isinstance(x, Proxy):
            found.append(x)
        elif isinstance(x, (tuple, list)):
            for y in x:
                look(y)
        elif isinstance(x, dict):
            look(list(x.values()))
        elif isinstance(x, slice):
            look((x.start, x.stop, x.step))
    look(args)
    look(kwargs)
    return found[0] if found else None


def _recorded(function: Callable) -> Callable:
    """``function``, which is one node where an argument is a proxy."""
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        proxy = _proxy_in(args, kwargs)
        if proxy is None:
            return function(*args, **kwargs)
        return proxy.tracer.create_proxy("call_function", function, args, kwargs)
    call.__fx_recorded__ = True  # type: ignore[attr-defined]
    return call


class _Patches:
    """Replacements in namespaces and classes, undone together."""

    def __init__(self) -> None:
        self.undo: list[Callable[[], None]] = []

    def item(self, namespace: dict, name: str, value: Any) -> None:
        if name in namespace:
            old = namespace[name]
            self.undo.append(lambda: namespace.__setitem__(name, old))
        else:
            self.undo.append(lambda: namespace.__delitem__(name))
        namespace[name] = value

    def attribute(self, owner: Any, name: str, value: Any) -> None:
        if name in vars(owner):
            old = vars(owner)[name]
            self.undo.append(lambda: setattr(owner, name, old))
        else:
            self.undo.append(lambda: delattr(owner, name))
        setattr(owner, name, value)

    def revert(self) -> None:
        for back in reversed(self.undo):
            back()


class ScopeContextManager:
    """The module that is gone through at the moment."""

    def __init__(self, scope: Any, current_scope: Any):
        self.scope, self.saved = scope, copy.copy(scope)
        self.scope.module_path, self.scope.module_type = current_scope.module_path, current_scope.module_type

    def __enter__(self) -> Any:
        return self.scope

    def __exit__(self, *exc) -> None:
        self.scope.module_path, self.scope.module_type = self.saved.module_path, self.saved.module_type


class Scope:
    def __init__(self, module_path: str, module_type: Any):
        self.module_path, self.module_type = module_path, module_type


class Tracer(TracerBase):
    """Goes through a module or a function. A subclass says which modules are leaves: called, not gone through."""

    def __init__(self, autowrap_modules: tuple[ModuleType, ...] = (math,), autowrap_functions: tuple[Callable, ...] = (),
                 param_shapes_constant: bool = False):
        self._wrapped_ids = {id(value) for module in autowrap_modules for name, value in module.__dict__.items()
                             if not name.startswith("_") and callable(value)} | {id(f) for f in autowrap_functions}
        self._autowrap_search, self._searched = list(autowrap_modules), bool(autowrap_functions)
        self.param_shapes_constant = param_shapes_constant
        self.scope = Scope("", None)
        self.module_stack: dict = collections.OrderedDict()
        self.tensor_attrs: dict = {}
        self.root: Module | Any = None

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """By default, modules of ``torch.nn`` but `Sequential`."""
        inside = f"{__name__.partition('.')[0]}."
        return m.__module__.startswith((f"{inside}nn", f"{inside}ao.nn")) and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        """The path of a submodule of the root. Raises NameError if it is none."""
        for name, module in self.root.named_modules():
            if module is mod:
                return name
        raise NameError("module is not installed as a submodule")

    def call_module(self, m: Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        """A call of a submodule: a node if it is a leaf, else what its ``forward`` records."""
        path = self.path_of_module(m)
        with ScopeContextManager(self.scope, Scope(path, type(m))):
            if not self.is_leaf_module(m, path):
                return forward(*args, **kwargs)
            return self.create_proxy("call_module", path, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """What an attribute of a module is while it is traced: parameters are proxies, one each."""
        if not (isinstance(attr_val, Parameter) or self.proxy_buffer_attributes and isinstance(attr_val, Tensor)):
            return attr_val
        named = self.root.named_parameters() if isinstance(attr_val, Parameter) else self.root.named_buffers()
        for name, value in named:
            if value is attr_val:
                if name not in parameter_proxy_cache:
                    options: dict[str, Any] = {}  # those of a subclass may take none
                    if self.param_shapes_constant and isinstance(attr_val, Parameter):
                        options["proxy_factory_fn"] = functools.partial(ParameterProxy, self, name=name, param=attr_val)
                    parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {}, **options)
                return parameter_proxy_cache[name]
        return attr_val

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Parameter):
            for name, value in self.root.named_parameters():
                if value is a:
                    return self.create_node("get_attr", name, (), {})
            raise NameError("parameter is not a member of this module")
        if isinstance(a, Tensor):
            for name, value in self.root.named_buffers():
                if value is a:
                    return self.create_node("get_attr", name, (), {})
            for value, name in self.tensor_attrs.values():
                if value is a:
                    return self.create_node("get_attr", name, (), {})
            return self.create_node("get_attr", self._constant("_tensor_constant", a), (), {})
        if isinstance(a, Module) and a is not self.root:
            try:
                return self.create_node("get_attr", self.path_of_module(a), (), {})
            except NameError:
                pass
        return super().create_arg(a)

    def _constant(self, stem: str, value: Any) -> str:
        number = 0
        while hasattr(self.root, f"{stem}{number}"):
            number += 1
        name = f"{stem}{number}"
        self.tensor_attrs[id(value)] = value, name
        setattr(self.root, name, value)
        return name

    def get_fresh_qualname(self, prefix: str) -> str:
        number = 0
        while hasattr(self.root, f"{prefix}{number}"):
            number += 1
        return f"{prefix}{number}"

    def create_args_for_root(self, root_fn: Callable, is_module: bool, concrete_args: Any = None) -> tuple[Callable, list]:
        """Placeholders for the parameters of the function; those of ``concrete_args`` are values."""
        signature = inspect.signature(inspect.unwrap(root_fn))
        args: list[Any] = [self.root] if is_module else []
        parameters = list(signature.parameters.values())[int(is_module):]
        if isinstance(concrete_args, tuple):
            concrete_args = {p.name: value for p, value in zip(parameters, concrete_args, strict=False)}
        given = concrete_args or {}
        keywords: dict[str, Any] = {}
        for p in parameters:
            if p.name in given and not isinstance(given[p.name], (tuple, list, dict)):
                value: Any = given[p.name]
                proxy = self._placeholder(p.name, p)
                if value is PH:
                    value = proxy
                else:
                    self._specialized(p.name, proxy, value)
            elif p.name in given:
                raise NotImplementedError(f"torch.fx.symbolic_trace: concrete_args with a {type(given[p.name]).__name__} is not "
                                          f"supported ({p.name}): give numbers, strings or None")
            elif p.kind is p.VAR_POSITIONAL:
                args.append(self._placeholder(f"*{p.name}", p))
                continue
            elif p.kind is p.VAR_KEYWORD:
                keywords["**"] = self._placeholder(f"**{p.name}", p)
                continue
            else:
                value = self._placeholder(p.name, p)
            if p.kind is p.KEYWORD_ONLY:
                keywords[p.name] = value
            else:
                args.append(value)
        rest = keywords.pop("**", None)
        starred = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        if not keywords and rest is None and not starred:
            return root_fn, args
        code = inspect.unwrap(root_fn).__code__  # *args and **kwargs are one proxy each: plain parameters of a copy
        flags = code.co_flags & ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
        count = code.co_argcount + code.co_kwonlyargcount
        names = list(code.co_varnames[:count])
        if starred:
            names.append(code.co_varnames[count])
        values = dict(zip([p.name for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY
                           and p.kind is not p.VAR_KEYWORD], args, strict=True)) | keywords
        if rest is not None:
            names.append(code.co_varnames[count + int(starred)])
            values[names[-1]] = rest
        flat = FunctionType(code.replace(co_flags=flags, co_argcount=len(names), co_kwonlyargcount=0, co_posonlyargcount=0),
                            inspect.unwrap(root_fn).__globals__, root_fn.__name__, None, inspect.unwrap(root_fn).__closure__)
        return flat, [values[name] for name in names]

    def _specialized(self, name: str, proxy: Proxy, value: Any) -> None:
        """Says in the graph that it was traced for one value of an argument."""
        told = f"{name} has been specialized to have value {value} but got another value"
        if value is None:
            self.create_proxy("call_function", _assert_is_none, (proxy, told), {})
        elif isinstance(value, (bool, int, float, str)):
            _assert(proxy == value, told)

    def _placeholder(self, name: str, parameter: inspect.Parameter) -> Proxy:
        default = () if parameter.default is parameter.empty or name.startswith("*") else (parameter.default,)
        return self.create_proxy("placeholder", name, default, {}, type_expr=None)

    def trace(self, root: Module | Callable, concrete_args: dict[str, Any] | None = None) -> Graph:
        """The graph of a module's ``forward`` or of a function."""
        global _tracing
        is_module = isinstance(root, Module)
        self.root = root if is_module else Module()
        function = getattr(type(root), self.traced_func_name) if is_module else root
        if is_module and self.traced_func_name in root.__dict__:
            bound = root.__dict__[self.traced_func_name]
            function = lambda self, *args, **kwargs: bound(*args, **kwargs)  # noqa: E731
            functools.update_wrapper(function, getattr(bound, "__func__", bound))
        tracer_cls = getattr(self, "__class__", None)
        self.graph = Graph(tracer_cls=tracer_cls)
        self.tensor_attrs = {}
        if is_module:
            self._collect(root, "")
        patches = _Patches()
        cache: dict[str, Any] = {}
        tracer = self
        plain_call, plain_getattr = Module.__call__, Module.__getattr__

        def module_call(mod: Module, *args: Any, **kwargs: Any) -> Any:
            return tracer.call_module(mod, lambda *a, **k: plain_call(mod, *a, **k), args, kwargs) if _proxy_in(args, kwargs) \
                is not None or tracer._inside(mod) else plain_call(mod, *args, **kwargs)

        def module_getattr(mod: Module, attr: str) -> Any:
            return tracer.getattr(attr, plain_getattr(mod, attr), cache)
        _tracing += 1
        try:
            function, args = self.create_args_for_root(function, is_module, concrete_args)
            patches.attribute(Module, "__call__", module_call)
            patches.attribute(Module, "__getattr__", module_getattr)
            self._wrap_functions(patches, getattr(function, "__globals__", {}))
            result = function(*args)
            self.create_node("output", "output", (self.create_arg(result),), {})
        finally:
            patches.revert()
            _tracing -= 1
        return self.graph

    def _inside(self, mod: Module) -> bool:
        return any(m is mod for m in self.root.modules())

    def _collect(self, module: Module, prefix: str) -> None:
        for name, value in module.__dict__.items():
            if isinstance(value, Tensor):
                self.tensor_attrs[id(value)] = value, prefix + name
        for name, child in module.named_children():
            self._collect(child, f"{prefix}{name}.")

    def _wrap_functions(self, patches: _Patches, namespace: dict) -> None:
        """Functions that are one node each: those of `wrap`, those of ``autowrap_...``, PyTorch's that are written in Python."""
        for names, name in _wrapped:
            original = names.get(name) or getattr(builtins, name, None)
            if original is not None and not hasattr(original, "__fx_recorded__"):
                patches.item(names, name, _recorded(original))
        for module in self._autowrap_search:
            for name, value in list(module.__dict__.items()):
                if not name.startswith("_") and callable(value) and id(value) in self._wrapped_ids:
                    patches.item(module.__dict__, name, _recorded(value))
        for name, value in list(namespace.items()):
            if id(value) in self._wrapped_ids and not hasattr(value, "__fx_recorded__"):
                patches.item(namespace, name, _recorded(value))
        for module in list(sys.modules.values()) if self._searched else ():  # wrapped functions that were imported elsewhere
            if isinstance(module, ModuleType) and module.__dict__ is not namespace:
                for name, value in list(getattr(module, "__dict__", {}).items()):
                    if isinstance(value, FunctionType) and id(value) in self._wrapped_ids:
                        patches.item(module.__dict__, name, _recorded(value))
        from ..nn import functional
        for name, value in list(functional.__dict__.items()):
            if isinstance(value, FunctionType) and not name.startswith("_") and public_path(value) is None:
                patches.item(functional.__dict__, name, _recorded(value))


def _assert_is_none(value: Any, message: str) -> None:
    assert value is None, message


class _Placeholder:
    """``PH``: an argument that stays one."""

    def __repr__(self) -> str:
        return "PH"


PH = _Placeholder()


def symbolic_trace(root: Module | Callable, concrete_args: dict[str, Any] | None = None) -> GraphModule:
    """The module that computes what ``root`` does, from the graph of one run of it on proxies."""
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else root.__name__
    return GraphModule(tracer.root, graph, name)


__all__ = ["PH", "Scope", "ScopeContextManager", "Tracer", "is_fx_tracing", "symbolic_trace", "wrap"]
