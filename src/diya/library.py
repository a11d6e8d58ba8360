"""``torch.library``: operators of one's own, as Python functions. Names and schemas are kept under ``torch.ops``."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from . import ops
from .autograd.modes import modes
from .tensor import Tensor


class CustomOpDef:
    """A function under a qualified name. Its kernel is the function; `register_autograd` gives it a gradient."""

    def __init__(self, name: str, function: Callable):
        self._qualname, self._function = name, function
        self._fake: Callable | None = None
        self._backward: Callable | None = None
        self._setup_context: Callable | None = None
        self._autocast: Callable | None = None
        self.__name__, self.__doc__ = name.rpartition("::")[2], function.__doc__
        self.default = self

    def __call__(self, *args, **kwargs):
        if self._autocast is not None and modes.autocast is not None:
            return self._autocast(*args, **kwargs)
        if self._backward is None:
            return self._compute(*args, **kwargs)
        if kwargs:
            import inspect
            bound = inspect.signature(self._function).bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        return self._differentiable.apply(*args)

    def _compute(self, *args, **kwargs):
        """The kernel's result; that of `register_fake`'s function where an argument has no data."""
        if self._fake is not None and any(isinstance(x, Tensor) and x.is_meta for x in (*args, *kwargs.values())):
            return self._fake(*args, **kwargs)
        return self._function(*args, **kwargs)

    def register_autograd(self, backward: Callable, /, *, setup_context: Callable | None = None) -> None:
        """``backward(ctx, *grads)`` returns the gradients of the inputs; ``setup_context(ctx, inputs, output)`` saves."""
        from .autograd import Function
        kernel = self._compute

        class Differentiable(Function):
            @staticmethod
            def forward(ctx, *args):
                output = kernel(*args)
                if setup_context is not None:
                    setup_context(ctx, args, output)
                return output

            @staticmethod
            def backward(ctx, *grads):
                return backward(ctx, *grads)
        Differentiable.__name__ = self.__name__
        self._backward, self._setup_context, self._differentiable = backward, setup_context, Differentiable

    def register_kernel(self, device_types=None, func: Callable | None = None, /) -> Callable:
        """Another kernel: taken if it is for the CPU or for all devices."""
        def take(function: Callable) -> Callable:
            if device_types is None or "cpu" in ([device_types] if isinstance(device_types, str) else device_types):
                self._function = function
            return function
        return take if func is None else take(func)

    def register_fake(self, function: Callable, /) -> Callable:
        """A function that gives the shape and dtype of the results: taken where an argument is on the meta device."""
        self._fake = function
        return function


_defined: dict[str, CustomOpDef] = {}


def custom_op(name: str, fn: Callable | None = None, /, *, mutates_args: Any = (), device_types: Any = None,
              schema: str | None = None, tags: Any = None) -> Any:
    """Makes a function an operator ``namespace::name``, which ``torch.ops.namespace.name`` finds."""
    space, separator, short = name.partition("::")
    if not separator or not short:
        raise ValueError(f"expected a name of the form 'namespace::name', got {name!r}")

    return (lambda function: publish(name, function)) if fn is None else publish(name, fn)


def publish(name: str, function: Callable) -> CustomOpDef:
    """Puts a function under ``torch.ops`` as the operator ``namespace::name``."""
    space, _, short = name.partition("::")
    made = _defined[name] = CustomOpDef(name, function)
    if not hasattr(ops, space):
        setattr(ops, space, SimpleNamespace())
    setattr(getattr(ops, space), short, made)
    return made


triton_op = custom_op


def _find(op: Any) -> CustomOpDef:
    found = op if isinstance(op, CustomOpDef) else _defined.get(op)
    if found is None:
        raise NotImplementedError(f"operator {op!r} was not made by torch.library.custom_op: others cannot be changed")
    return found


def register_fake(op: Any, func: Callable | None = None, /, **options) -> Any:
    """Says what an operator of `custom_op` gives for tensors on the meta device; accepted for others."""
    def take(function: Callable) -> Callable:
        found = op if isinstance(op, CustomOpDef) else _defined.get(op)
        return function if found is None else found.register_fake(function)
    return take if func is None else take(func)


impl_abstract = register_fake


def register_autograd(op: Any, backward: Callable, /, *, setup_context: Callable | None = None, lib=None) -> None:
    """Gives an operator of `custom_op` a gradient."""
    _find(op).register_autograd(backward, setup_context=setup_context)


def register_kernel(op: Any, device_types=None, func: Callable | None = None, /, **options) -> Any:
    return _find(op).register_kernel(device_types, func)


_KERNELS = ("", "CPU", "CompositeImplicitAutograd", "CompositeExplicitAutograd")


class Library:
    """A group of operators under a namespace: `define` names one by its schema, `impl` says what computes it.

    There is no dispatcher: an implementation for the CPU or for all devices is taken, others are for devices, tracers and
    modes that are not here.
    """

    def __init__(self, ns: str, kind: str = "DEF", dispatch_key: str = ""):
        if kind not in ("DEF", "IMPL", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}: expected 'DEF', 'IMPL' or 'FRAGMENT'")
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Names an operator: ``"name(Tensor x) -> Tensor"``. It can be called once it has an implementation."""
        name = schema.partition("(")[0].strip()
        full = f"{self.ns}::{name}"

        def unimplemented(*args, **kwargs):
            raise NotImplementedError(f"Could not run '{full}': it has no implementation for the CPU")
        publish(full, unimplemented)
        return name

    def impl(self, op_name: Any, fn: Callable, dispatch_key: str = "", *, with_keyset: bool = False,
             allow_override: bool = False) -> None:
        key, name = dispatch_key or self.dispatch_key, getattr(op_name, "_qualname", op_name)
        if key in _KERNELS or key == "AutocastCPU":
            found = _find(name if "::" in name else f"{self.ns}::{name}")
            setattr(found, "_function" if key in _KERNELS else "_autocast", fn)


def define(qualname: str, schema: str, *, lib: Library | None = None, tags: Any = ()) -> None:
    """Names an operator ``namespace::name``."""
    space, _, name = qualname.partition("::")
    (lib or Library(space, "FRAGMENT")).define(name + schema)


def impl(qualname: str, types: Any, func: Callable | None = None, *, lib: Library | None = None) -> Any:
    """An implementation of an operator for devices or for "default"."""
    kinds = [types] if isinstance(types, str) else list(types)

    def take(function: Callable) -> Callable:
        if {"cpu", "default", "CPU", "CompositeImplicitAutograd", "CompositeExplicitAutograd"} & set(kinds):
            _find(qualname)._function = function
        return function
    return take if func is None else take(func)
