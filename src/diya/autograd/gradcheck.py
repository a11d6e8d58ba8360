"""Gradients checked against finite differences (https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class GradcheckError(RuntimeError):
    """A gradient that differs from the numerical one."""


def _differentiable(inputs) -> list:
    from ..tensor import Tensor
    return [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]


def _outputs(result) -> tuple:
    from ..tensor import Tensor
    outs = result if isinstance(result, (tuple, list)) else (result,)
    return tuple(o for o in outs if isinstance(o, Tensor) and o.dtype.kind in "fc")


def _real(a: np.ndarray) -> np.ndarray:
    """Complex numbers as pairs of reals, flat."""
    a = np.ascontiguousarray(a).reshape(-1)
    return a.view(a.real.dtype) if a.dtype.kind == "c" else a  # pyright: ignore[reportAttributeAccessIssue]


def _numerical(f: Callable, inputs: tuple, x, eps: float) -> list[np.ndarray]:
    """d(outputs)/dx by central differences: one (inputs × outputs) matrix of reals for each output."""
    from ..autograd import no_grad
    from ..tensor import _from_array
    place = next(i for i, y in enumerate(inputs) if y is x)
    base = x.detach()._to_array()
    flat = _real(base.copy())
    rows: list[list[np.ndarray]] = []

    def at(values: np.ndarray) -> list[np.ndarray]:
        moved = values.view(base.dtype).reshape(base.shape).copy()
        t = _from_array(moved, x.dtype)
        if x._strides is not None:  # the same layout
            wide = x.detach().clone()
            wide.copy_(t)
            t = wide
        args = list(inputs)
        args[place] = t.requires_grad_()
        with no_grad():
            detached = [a.detach().clone() if a is not t and hasattr(a, "detach") and a.requires_grad else a for a in args]
            detached[place] = t.detach()
            return [_real(o.detach()._to_array()).astype(np.float64) for o in _outputs(f(*detached))]
    for i in range(flat.size):
        up, down = flat.copy(), flat.copy()
        up[i] += eps
        down[i] -= eps
        rows.append([(a - b) / (2 * eps) for a, b in zip(at(up), at(down), strict=True)])
    count = len(rows[0]) if rows else len(at(flat))
    return [np.stack([r[k] for r in rows]) if rows else np.zeros((0, 0)) for k in range(count)]


def _analytical(f: Callable, inputs: tuple, x) -> list[np.ndarray]:
    from ..ops.creation import zeros
    from . import grad
    outs = _outputs(f(*inputs))
    result = []
    for o in outs:
        columns = []
        n = o.numel() * (2 if o.dtype.kind == "c" else 1)
        for j in range(n):
            seed = np.zeros(n)
            seed[j] = 1
            from ..tensor import _from_array
            g = _from_array(seed.view(o.dtype.numpy).reshape(o.shape).copy() if o.dtype.kind == "c"
                            else seed.astype(o.dtype.numpy).reshape(o.shape), o.dtype)
            d = grad(o, x, g, retain_graph=True, allow_unused=True)[0] if o.requires_grad else None
            d = zeros(x.shape, dtype=x.dtype) if d is None else d
            columns.append(_real(d.detach()._to_array()).astype(np.float64))
        result.append(np.stack(columns, 1) if columns else np.zeros((_real(x.detach()._to_array()).size, 0)))
    return result


def gradcheck(func: Callable, inputs, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
              check_grad_dtypes: bool = False, check_batched_grad: bool = False, fast_mode: bool = False,
              check_forward_ad: bool = False, check_backward_ad: bool = True, masked: bool | None = None) -> bool:
    """Whether ``func``'s gradients agree with central differences, for every input that requires one.

    Inputs should be float64 or complex128. Raises GradcheckError (or returns False) where they do not.
    """
    from ..tensor import Tensor
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if not _differentiable(inputs):
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of them have "
                         "requires_grad=True.")
    for k, x in enumerate(_differentiable(inputs)):
        numerical = _numerical(func, inputs, x, eps)
        analytical = _analytical(func, inputs, x)
        for j, (n, a) in enumerate(zip(numerical, analytical, strict=True)):
            if not n.size and not a.size:
                continue
            if not np.allclose(a, n, rtol=rtol, atol=atol, equal_nan=True):
                if not raise_exception:
                    return False
                raise GradcheckError(f"Jacobian mismatch for output {j} with respect to input {k},\nnumerical:{n}\n"
                                     f"analytical:{a}\n")
    return True


def gradgradcheck(func: Callable, inputs, grad_outputs=None, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
                  gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True, nondet_tol: float = 0.0,
                  check_undefined_grad: bool = True, check_grad_dtypes: bool = False, check_batched_grad: bool = False,
                  check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True, fast_mode: bool = False,
                  masked: bool = False) -> bool:
    """Whether second derivatives agree: `gradcheck` of the function that gives the gradients."""
    from ..tensor import Tensor
    from . import grad
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    outs = _outputs(func(*inputs))
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        from ..tensor import _from_array
        grad_outputs = []
        for o in outs:
            a = rng.standard_normal(o.shape)
            if o.dtype.kind == "c":
                a = a + 1j * rng.standard_normal(o.shape)
            grad_outputs.append(_from_array(np.asarray(a, o.dtype.numpy), o.dtype, True))
    grad_outputs = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)
    n = len(inputs)

    def first(*args):
        xs = list(args[:n])
        for x, y in zip(xs, inputs, strict=True):
            if isinstance(y, Tensor) and y.requires_grad and not x.requires_grad:
                x.requires_grad_()
        from . import enable_grad
        with enable_grad():
            produced = _outputs(func(*xs))
            wanted = [x for x, y in zip(xs, inputs, strict=True) if isinstance(y, Tensor) and y.requires_grad]
            pairs = [(o, g) for o, g in zip(produced, args[n:], strict=True) if o.requires_grad]
            grads = grad([o for o, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
        return tuple(g for g in grads if g is not None)
    return gradcheck(first, inputs + grad_outputs, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)
