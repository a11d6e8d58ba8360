"""`torch.func` in a capture: transforms run as they are, on functions that are evaluated; a module is evaluated with the tensors
that `functional_call` gives it."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..engine import NotCapturable
from ..tensor import Tensor

if TYPE_CHECKING:
    from .objects import Objects

_TRANSFORMS = ("vmap", "grad", "grad_and_value", "vjp", "jvp", "linearize", "jacrev", "jacfwd", "hessian", "functionalize")


def call(objects: Objects, function: FunctionType, args: tuple, kwargs: dict) -> Any:
    """Calls a function of ``diya.func``, or one that a transform made."""
    made = function.__dict__.get("_diya_transform")
    if made is not None:
        transform, inner = made
        return transform(_evaluated(objects, inner))(*map(objects.native, args), **_natives(objects, kwargs))
    if function.__name__ == "functional_call":
        return _functional_call(objects, *args, **kwargs)
    if function.__name__ in _TRANSFORMS and args:
        made = function(_evaluated(objects, args[0]), *map(objects.native, args[1:]), **_natives(objects, kwargs))
        objects.fresh |= {id(f): f for f in made if isinstance(f, FunctionType)} if isinstance(made, tuple) else {}
        return made
    if id(function) in objects.fresh:  # what vjp and linearize made inside
        return function(*map(objects.native, args), **_natives(objects, kwargs))
    raise NotCapturable(f"calls {function.__module__}.{function.__qualname__}")


def _natives(objects: Objects, kwargs: dict) -> dict:
    return {k: objects.native(x) for k, x in kwargs.items()}


def _evaluated(objects: Objects, function: Any) -> Callable:
    """A function that native code may call."""
    from .objects import Inside
    return function if isinstance(function, Inside) else Inside(lambda *args, **kwargs: objects.call(function, args, kwargs))


def _functional_call(objects: Objects, module: Any, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: Any = None, *,
                     tie_weights: bool = True, strict: bool = False) -> Any:
    """Evaluates a module whose parameters and buffers are looked up among the given ones first."""
    outside = objects.outside
    given = objects.native(parameter_and_buffer_dicts)
    if isinstance(given, (tuple, list)) and all(isinstance(d, dict) for d in given):
        several, given = given, {k: v for d in given for k, v in d.items()}
        if len(given) != sum(map(len, several)):
            raise NotCapturable("calls functional_call with one name in several dicts")
    if not isinstance(given, dict) or strict or not outside.name_of(module):
        raise NotCapturable("calls functional_call with strict=True, or a module that was made inside")
    _check_apart(objects, module)
    places: dict[tuple[int, str], Tensor] = {}
    for path, value in given.items():
        *owners, name = path.split(".")
        owner = module
        for part in owners:
            owner = objects.attribute(owner, part)
        entries = next((e for e in (owner._parameters, owner._buffers) if name in e), None)
        if entries is None or not isinstance(value, Tensor):
            raise NotCapturable(f"calls functional_call with {path}, which is no parameter or buffer")
        places[id(entries), name] = value
    before, objects.substituted = objects.substituted, {**objects.substituted, **places}
    try:
        given_args = objects.native(args) if args is not None else ()
        given_args = given_args if isinstance(given_args, tuple) else (given_args,)
        return objects.call(module, given_args, objects.native(kwargs) if kwargs else {})
    finally:
        objects.substituted = before


def _check_apart(objects: Objects, module: Any) -> None:
    """Guards that no two names of the module mean one tensor, which `functional_call` would give to both."""
    outside = objects.outside
    found: list[str] = []
    for owner in module.modules():
        for entries in (owner._parameters, owner._buffers):
            names = tuple(entries)
            table = outside.constant(entries)
            outside.check(f"tuple({table}) == {outside.constant(names)}")
            found += [f"id({table}[{name!r}])" for name in names if entries[name] is not None]
    ids = eval(f"[{', '.join(found)}]", outside.scope)
    if len(set(ids)) != len(ids):
        raise NotCapturable("calls functional_call of a module with tied weights")
    if found:
        outside.check(f"len({{{', '.join(found)}}}) == {len(found)}")
