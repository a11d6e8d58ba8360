"""Jacobians and Hessians: all rows, or all columns, as one batch of products with the Jacobian."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..ops.creation import eye
from ..tensor import Tensor
from .transforms import Differentiated, Linear, _differentiable
from .trees import flatten, only_tensors, transformed
from .vmap import over_rows


def _real(name: str, what: str, tensors: list[Tensor]) -> None:
    for x in tensors:
        if x.dtype.kind == "c":
            raise RuntimeError(f"{name}: Expected all {what} to be real but received complex tensor of dtype {x.dtype}")


def _basis(x: Tensor) -> Tensor:
    """The unit tensors of a shape, stacked."""
    n = x.numel()
    return eye(n, dtype=x.dtype).reshape(n, *x.shape)


def _differentiated(name: str, func: Callable, args, argnums, kwargs, has_aux: bool):
    """The function's run, its outputs and how to put them together again; inputs and outputs are real tensors."""
    found = Differentiated(func, args, argnums, kwargs, has_aux, name, name == "jacfwd")
    outs, rebuild = only_tensors(found.result, lambda kind: f"{name}: Expected f(*args) to return only tensors, got {kind}")
    _real(name, "inputs", found.variables)
    _real(name, "outputs", outs)
    return found, outs, rebuild


def jacrev(func: Callable, argnums=0, *, has_aux: bool = False, chunk_size: int | None = None,
           _preallocate_and_copy: bool = False) -> Callable:
    """The Jacobian by backward, an element of the output each: shape output.shape + input.shape.

    ``chunk_size``: how many rows are computed at a time.
    """
    def call(*args, **kwargs):
        found, outs, rebuild = _differentiated("jacrev", func, args, argnums, kwargs, has_aux)
        jacobians = []
        for out in outs:
            if not math.prod(out.shape):
                rows = [v.new_zeros((0, *v.shape)) for v in found.variables]
            else:
                tape = found.scope.depends_on_others([out])
                rows = over_rows(lambda w, out=out, tape=tape: found.gradients([out], [w], tape=tape), _basis(out), False,
                                 chunk_size)
            jacobians.append(found.rebuild([r.reshape(out.shape + v.shape) for r, v in zip(rows, found.variables, strict=True)]))
        made, aux = found.scope.settled((rebuild(jacobians), found.aux))
        return (made, aux) if has_aux else made
    return transformed(call, lambda f: jacrev(f, argnums, has_aux=has_aux, chunk_size=chunk_size), func)


def jacfwd(func: Callable, argnums=0, has_aux: bool = False, *, randomness: str = "error") -> Callable:
    """The Jacobian by forward mode, an element of the input each: shape output.shape + input.shape.

    ``func`` runs once, so random operators draw once whatever ``randomness`` says.
    """
    def call(*args, **kwargs):
        chosen = [args[n] for n in ((argnums,) if isinstance(argnums, int) else argnums) if -len(args) <= n < len(args)]
        _differentiable("primal", flatten(chosen)[0])
        found, outs, rebuild = _differentiated("jacfwd", func, args, argnums, kwargs, has_aux)
        push = Linear(found.scope, outs, found.edges)
        columns: list[list[Tensor]] = []
        for k, v in enumerate(found.variables):
            if not math.prod(v.shape):
                columns.append([o.new_zeros(o.shape + v.shape) for o in outs])
                continue
            made = over_rows(lambda t, k=k: push([t if i == k else x.new_zeros(x.shape) for i, x in enumerate(found.variables)]),
                             _basis(v), True)
            columns.append([c.reshape(o.shape + v.shape) for c, o in zip(made, outs, strict=True)])
        jacobians = [found.rebuild([c[j] for c in columns]) for j in range(len(outs))]
        made, aux = found.scope.settled((rebuild(jacobians), found.aux))
        return (made, aux) if has_aux else made
    return transformed(call, lambda f: jacfwd(f, argnums, has_aux, randomness=randomness), func)


def hessian(func: Callable, argnums=0) -> Callable:
    """The matrix of second derivatives of ``func``."""
    return jacfwd(jacrev(func, argnums), argnums)
