"""Calls of a module with other parameters and buffers than its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from ...tensor import Tensor
from ..modules.module import Module

__all__ = ["functional_call"]


def functional_call(module: Module, parameters_and_buffers: Mapping[str, Tensor], args: Any | tuple | None = None,
                    kwargs: dict[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False) -> Any:
    """Deprecated name of `diya.func.functional_call`."""
    import warnings
    warnings.warn("This API is deprecated as of PyTorch 2.0 and will be removed in a future version of PyTorch. "
                  "Please use "
                  "torch.func.functional_call instead which is a drop-in replacement.", FutureWarning, stacklevel=2)
    return _functional_call(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)


_ABSENT = object()


def _functional_call(module: Module, parameters_and_buffers: Mapping[str, Tensor], args: Any | tuple | None = None,
                     kwargs: dict[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False) -> Any:
    """``module(*args, **kwargs)`` with the named tensors in the place of its parameters and buffers.

    With ``tie_weights`` a tensor given for one name serves all names of that parameter. ``strict`` wants every name
    given, and no other.
    """
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights=tie_weights, strict=strict):
        return module(*args, **(kwargs or {}))


@contextlib.contextmanager
def _reparametrize_module(module: Module, parameters_and_buffers: Mapping[str, Tensor], tie_weights: bool = False,
                          strict: bool = False) -> Iterator[None]:
    """Within the block the module's tensors are the given ones; in-place changes of buffers land in the mapping."""
    given = _with_ties(module, parameters_and_buffers) if tie_weights else dict(parameters_and_buffers)
    if strict:
        names = {n for n, _ in module.named_parameters(remove_duplicate=False)}
        names |= {n for n, _ in module.named_buffers(remove_duplicate=False)}
        missing, unexpected = sorted(names - given.keys()), sorted(given.keys() - names)
        problems = []
        if unexpected:
            problems.append(f"Unexpected key(s): {', '.join(map(repr, unexpected))}.")
        if missing:
            problems.append(f"Missing key(s): {', '.join(map(repr, missing))}.")
        if problems:
            raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t" + "\n\t".join(problems))
    replaced: list[tuple[dict[str, Any], str, Any, str]] = []
    try:
        for path, value in given.items():
            owner, name = _owner(module, path)
            table: dict[str, Any] = owner._parameters if name in owner._parameters else owner._buffers
            if name not in table:
                table = owner.__dict__  # also for names that the module does not have
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"{value} is not an instance of torch.Tensor")
            replaced.append((table, name, table.get(name, _ABSENT), path))
            table[name] = value
        yield
    finally:
        for table, name, old, path in reversed(replaced):
            now = table[name]
            if old is _ABSENT:
                del table[name]
            else:
                table[name] = old
            if now is not given[path] and path in parameters_and_buffers and isinstance(parameters_and_buffers, dict):
                parameters_and_buffers[path] = now


def _owner(module: Module, path: str) -> tuple[Module, str]:
    prefix, _, name = path.rpartition(".")
    return module.get_submodule(prefix), name


def _with_ties(module: Module, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``given``, with an entry for every further name of a tensor that has one."""
    groups: dict[Tensor, list[str]] = {}
    for name, tensor in [*module.named_parameters(remove_duplicate=False),
                         *module.named_buffers(remove_duplicate=False)]:
        groups.setdefault(tensor, []).append(name)
    out = dict(given)
    for names in groups.values():
        if len(names) < 2:
            continue
        values = {id(given[n]): given[n] for n in names if n in given}
        if len(values) > 1:
            raise ValueError(f"functional_call got multiple values for keys {sorted(n for n in names if n in given)}, "
                             "which are tied. Consider using tie_weights=False")
        if values:
            value = next(iter(values.values()))
            out.update(dict.fromkeys(names, value))
    return out
