"""Derivatives of functions (``torch.autograd.functional``), over `diya.func`."""

from __future__ import annotations

from ..tensor import Tensor


def _tuple(x) -> tuple:
    return x if isinstance(x, tuple) else (x,)


def _shape_like(result: tuple, single: bool):
    return result[0] if single else result


def _finish(x, create_graph: bool):
    if create_graph:
        return x
    return tuple(_finish(y, False) for y in x) if isinstance(x, tuple) else x.detach()


def jacobian(func, inputs, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode"):
    """The Jacobian: a tensor, or for several outputs and inputs a tuple (of tuples) of them."""
    from ..func import jacfwd, jacrev
    single = isinstance(inputs, Tensor)
    args = _tuple(inputs)
    transform = jacfwd if strategy == "forward-mode" else jacrev
    found = transform(func, 0 if single else tuple(range(len(args))))(*args)
    return _finish(found, create_graph)


def hessian(func, inputs, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode"):
    """The Hessian of a scalar function: a tensor, or for several inputs a tuple of tuples."""
    from ..func import jacrev
    single = isinstance(inputs, Tensor)
    args = _tuple(inputs)
    numbers = 0 if single else tuple(range(len(args)))
    return _finish(jacrev(jacrev(func, numbers), numbers)(*args), create_graph)


def vjp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(outputs, vᵀ · Jacobian)."""
    from ..func import vjp as pull
    single = isinstance(inputs, Tensor)
    out, back = pull(func, *_tuple(inputs))  # pyright: ignore[reportAssignmentType]
    if v is None:
        if not isinstance(out, Tensor) or out.numel() != 1:
            raise RuntimeError("The vector v can only be None if the user-provided function returns a single Tensor with a single "
                               "element.")
        v = out.new_ones(out.shape)
    grads = _shape_like(back(*_tuple(v)), single)
    return _finish(out, create_graph), _finish(grads, create_graph)


def jvp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(outputs, Jacobian · v)."""
    from ..func import jvp as push
    args = _tuple(inputs)
    if v is None:
        if len(args) != 1 or args[0].numel() != 1:
            raise RuntimeError("The vector v can only be None if the input to the user-provided function is a single Tensor with a "
                               "single element.")
        v = args[0].new_ones(args[0].shape)
    out, derivative = push(func, args, _tuple(v))  # pyright: ignore[reportAssignmentType]
    return _finish(out, create_graph), _finish(derivative, create_graph)


def vhp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(output, vᵀ · Hessian) of a scalar function."""
    from ..func import grad
    from ..func import vjp as pull
    single = isinstance(inputs, Tensor)
    args = _tuple(inputs)
    numbers = 0 if single else tuple(range(len(args)))
    v = args[0].new_ones(args[0].shape) if v is None else v
    _, back = pull(grad(func, numbers), *args)  # pyright: ignore[reportAssignmentType]
    return _finish(func(*args), create_graph), _finish(_shape_like(back(*_tuple(v)), single), create_graph)


def hvp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(output, Hessian · v) of a scalar function; the Hessian is symmetric, so this is `vhp`."""
    return vhp(func, inputs, v, create_graph, strict)
