"""Derivatives of functions (``torch.autograd.functional``), over `diya.func`."""

from __future__ import annotations

from collections.abc import Callable

from ..tensor import Tensor


def _tuple(x) -> tuple:
    return x if isinstance(x, tuple) else (x,)


def _tensors(x, what: str, name: str) -> tuple[Tensor, ...]:
    for t in _tuple(x):
        if not isinstance(t, Tensor):
            raise TypeError(f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the given {what} has "
                            f"type {type(t)}.")
    return _tuple(x)


def _finish(x, create_graph: bool):
    if create_graph:
        return x
    return tuple(_finish(y, False) for y in x) if isinstance(x, tuple) else x.detach()


def _numbers(inputs):
    return 0 if isinstance(inputs, Tensor) else tuple(range(len(inputs)))


def _vector(v, like: tuple[Tensor, ...], message: str) -> tuple[Tensor, ...]:
    """The vector that multiplies a matrix of derivatives; 1 where that has one row or column and none is given."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(message)
        return (like[0].new_ones(like[0].shape),)
    given = _tuple(v)
    if len(given) != len(like):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(given)}.")
    for k, (a, b) in enumerate(zip(given, like, strict=True)):
        if a.shape != b.shape:
            raise RuntimeError(f"{f'Entry {k} in v' if len(like) > 1 else 'v'} has invalid size: should be {b.shape} but got "
                               f"{a.shape}.")
    return given


def _check_dependence(func: Callable, inputs, each: bool = True) -> None:
    """For strict mode: raises RuntimeError where an output does not depend on an input (with ``each``, on every one)."""
    from ..func.transforms import Differentiated
    args = _tuple(inputs)
    found = Differentiated(func, args, tuple(range(len(args))), {}, False, "strict mode")
    variables = [edge[0] for edge in found.edges if edge is not None]
    reached: set = set()
    for i, out in enumerate(_tuple(found.result)):
        own = found.scope.reached(out) if out.requires_grad else set()
        if not own:
            raise RuntimeError(f"Output {i} of the user-provided function does not require gradients. The outputs must be computed "
                               f"in a differentiable manner from the input when running in strict mode.")
        reached |= own
        for j, node in enumerate(variables):
            if each and node not in own:
                raise RuntimeError(f"Output {i} of the user-provided function is independent of input {j}. This is not allowed in "
                                   f"strict mode.")
    for j, node in enumerate(variables):
        if node not in reached:
            raise RuntimeError(f"The output of the user-provided function is independent of input {j}. This is not allowed in "
                               f"strict mode.")


def _check_curvature(func: Callable, inputs) -> None:
    """For strict mode: raises RuntimeError where a gradient does not depend on an input."""
    from ..func import grad
    from ..func.transforms import Differentiated
    args = _tuple(inputs)
    numbers = tuple(range(len(args)))
    found = Differentiated(grad(func, numbers), args, numbers, {}, False, "strict mode")
    reached: set = set().union(*[found.scope.reached(g) if g.requires_grad else set() for g in _tuple(found.result)])
    for j, edge in enumerate(found.edges):
        if edge is not None and edge[0] not in reached:
            raise RuntimeError(f"While computing the hessian, found that the jacobian of the user-provided function with respect "
                               f"to input {j} is independent of the input. This is not allowed in strict mode. You should ensure "
                               f"that your function is twice differentiable and that the jacobian depends on the inputs (this "
                               f"would be violated by a linear function for example).")


def _strategy(name: str, strategy: str, vectorize: bool, strict: bool) -> bool:
    """Whether it is forward mode."""
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more '
                             'outputs than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use '
                             '"reverse-mode".')
    if strict and vectorize:
        raise RuntimeError(f"torch.autograd.functional.{name}: `strict=True` and `vectorized=True` are not supported together. "
                           f"Please either set `strict=False` or `vectorize=False`.")
    if strategy == "forward-mode" and strict:
        raise NotImplementedError('torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not '
                                  'supported together (yet). Please either set `strict=False` or `strategy="reverse-mode"`.')
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError("Computing Jacobian using forward-AD or forward-over-reverse Hessian is only implemented for "
                                  "`vectorize=True`.")
    return strategy == "forward-mode"


def _checked(func: Callable, name: str) -> Callable:
    def call(*args):
        out = func(*args)
        _tensors(out, "outputs of the user-provided function", name)
        return out
    return call


def jacobian(func, inputs, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode"):
    """The Jacobian: a tensor, or for several outputs and inputs a tuple (of tuples) of them. Always vectorized."""
    from ..func import jacfwd, jacrev
    transform = jacfwd if _strategy("jacobian", strategy, vectorize, strict) else jacrev
    args = _tensors(inputs, "inputs", "jacobian")
    func = _checked(func, "jacobian")
    if strict:
        _check_dependence(func, inputs)
    return _finish(transform(func, _numbers(inputs))(*args), create_graph)


def hessian(func, inputs, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode"):
    """The Hessian of a scalar function: a tensor, or for several inputs a tuple of tuples. Always vectorized."""
    from ..func import jacfwd, jacrev
    transform = jacfwd if _strategy("hessian", outer_jacobian_strategy, vectorize, strict) else jacrev
    args = _tensors(inputs, "inputs", "hessian")
    func = _scalar(func, "hessian")
    if strict:
        _check_dependence(func, inputs)
        _check_curvature(func, inputs)
    return _finish(transform(jacrev(func, _numbers(inputs)), _numbers(inputs))(*args), create_graph)


def _scalar(func: Callable, name: str) -> Callable:
    def call(*args):
        out = func(*args)
        if not isinstance(out, Tensor):
            raise RuntimeError(f"The function given to {name} should return a single Tensor")
        if out.numel() != 1:
            raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a single element")
        return out.reshape(())
    return call


def vjp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(outputs, vᵀ · Jacobian)."""
    from ..func import vjp as pull
    args = _tensors(inputs, "inputs", "vjp")
    func = _checked(func, "vjp")
    if strict:
        _check_dependence(func, inputs, False)
    out, back = pull(func, *args)  # pyright: ignore[reportAssignmentType]
    v = _vector(v, _tuple(out), "The vector v can only be None if the user-provided function returns a single Tensor with a single "
                                "element.")
    grads = back(v[0] if isinstance(out, Tensor) else v)
    return _finish(out, create_graph), _finish(grads[0] if isinstance(inputs, Tensor) else grads, create_graph)


def jvp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(outputs, Jacobian · v)."""
    from ..func import jvp as push
    args = _tensors(inputs, "inputs", "jvp")
    func = _checked(func, "jvp")
    if strict:
        _check_dependence(func, inputs, False)
    v = _vector(v, args, "The vector v can only be None if the input to the user-provided function is a single Tensor with a "
                         "single element.")
    out, derivative = push(func, args, v)  # pyright: ignore[reportAssignmentType]
    return _finish(out, create_graph), _finish(derivative, create_graph)


def vhp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(output, vᵀ · Hessian) of a scalar function."""
    return _hessian_product("vhp", func, inputs, v, create_graph, strict, False)


def hvp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(output, Hessian · v) of a scalar function."""
    return _hessian_product("hvp", func, inputs, v, create_graph, strict, True)


def _hessian_product(name: str, func, inputs, v, create_graph: bool, strict: bool, forward: bool):
    from ..func import grad
    from ..func import jvp as push
    from ..func import vjp as pull
    args = _tensors(inputs, "inputs", name)
    func = _scalar(func, name)
    numbers = tuple(range(len(args)))
    if strict:
        _check_dependence(func, inputs, False)
        _check_curvature(func, inputs)
    v = _vector(v, args, "The vector v can only be None if the input to the user-provided function is a single Tensor with a "
                         "single element.")
    values: list[Tensor] = []

    def gradient(*xs):
        def keeping(*ys):
            values.append(func(*ys))
            return values[-1]
        return grad(keeping, numbers)(*xs)
    product = push(gradient, args, v)[1] if forward else pull(gradient, *args)[1](v)  # pyright: ignore
    out = func(*args) if create_graph else values[-1]
    return _finish(out, create_graph), _finish(product[0] if isinstance(inputs, Tensor) else product, create_graph)
