"""Composable function transforms (``torch.func``): grad, vjp, jvp, Jacobians, Hessians, vmap.

Each is a few lines over the tape: operators' gradients are tensor operations themselves, so transforms nest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd import enable_grad
from ..autograd import grad as _grad
from ..autograd.tape import AccumulateGrad, edge_of
from ..tensor import Tensor


def _flatten(x: Any) -> tuple[list, Callable[[list], Any]]:
    """The tensors of nested tuples, lists and dicts, and how to put others in their places."""
    leaves: list = []

    def walk(x):
        if isinstance(x, Tensor):
            leaves.append(x)
            k = len(leaves) - 1
            return lambda new: new[k]
        if isinstance(x, dict):
            parts = {k: walk(v) for k, v in x.items()}
            return lambda new: {k: p(new) for k, p in parts.items()}
        if isinstance(x, (tuple, list)):
            items = [walk(v) for v in x]
            if hasattr(x, "_fields"):
                return lambda new: type(x)(*[p(new) for p in items])
            return lambda new: type(x)(p(new) for p in items)
        return lambda new: x
    return leaves, walk(x)


def _track(x: Tensor) -> Tensor:
    """``x`` as a variable of a new level: what outer levels want to know of it is kept."""
    return x.view_as(x) if x.requires_grad else x.detach().requires_grad_()


def _settle(result: Any, variables: list[Tensor]) -> Any:
    """A transform's result, off the tape where it depends on nothing but the transform's own variables."""
    for v in variables:
        v._settled = True  # type: ignore[attr-defined]
    leaves, build = _flatten(result)
    return build([x if not x.requires_grad or _depends_on_others(x) else x.detach() for x in leaves])


def _depends_on_others(x: Tensor) -> bool:
    edge = edge_of(x)
    stack, seen = [edge[0]] if edge else [], set()
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            if isinstance(node, AccumulateGrad) and not getattr(node.variable, "_settled", False):
                return True
            stack += [e[0] for e in node.edges if e is not None]
    return False


def _level(args: tuple, argnums) -> tuple[tuple, list[Tensor], Callable]:
    """Arguments with those of ``argnums`` as fresh variables, the variables, and how to shape results as those are."""
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise RuntimeError(f"Got argnum={n}, but only {len(args)} positional inputs")
    chosen = args[argnums] if isinstance(argnums, int) else tuple(args[n] for n in numbers)
    leaves, build = _flatten(chosen)
    fresh = [_track(x) for x in leaves]
    made = build(fresh)
    out = list(args)
    for n, x in zip(numbers, (made,) if isinstance(argnums, int) else made, strict=True):
        out[n] = x
    return tuple(out), fresh, build


def _gradients(outputs: list, inputs: list[Tensor], weights: list | None) -> list[Tensor]:
    pairs = [(o, None if weights is None else w) for o, w in zip(outputs, weights or outputs, strict=True) if o.requires_grad]
    if not pairs:
        return [x.new_zeros(x.shape) for x in inputs]
    found = _grad([o for o, _ in pairs], inputs, None if weights is None else [w for _, w in pairs], create_graph=True,
                  allow_unused=True)
    return [x.new_zeros(x.shape) if g is None else g for x, g in zip(inputs, found, strict=True)]


def grad_and_value(func: Callable, argnums=0, has_aux: bool = False) -> Callable:
    """A function that returns (gradient of ``func`` with respect to ``argnums``, its value)."""
    def call(*args, **kwargs):
        with enable_grad():
            inputs, fresh, build = _level(args, argnums)
            result = func(*inputs, **kwargs)
            value, aux = result if has_aux else (result, None)
            if not isinstance(value, Tensor) or value.dim():
                raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a scalar tensor, got "
                                   f"{f'one of {value.dim()} dims' if isinstance(value, Tensor) else type(value).__name__}")
            grads = build(_gradients([value], fresh, None))
        grads, value = _settle((grads, value), fresh)
        return (grads, (value, aux)) if has_aux else (grads, value)
    return call


def grad(func: Callable, argnums=0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of ``func`` (which returns a 0-dim tensor) with respect to ``argnums``."""
    both = grad_and_value(func, argnums, has_aux)

    def call(*args, **kwargs):
        grads, value = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads
    return call


def vjp(func: Callable, *primals, has_aux: bool = False):
    """(output, function from cotangents to gradients of the primals[, aux])."""
    with enable_grad():
        inputs, fresh, build = _level(primals, tuple(range(len(primals))))
        result = func(*inputs)
    out, aux = result if has_aux else (result, None)
    outs, _ = _flatten(out)

    def pull(*cotangents, retain_graph=True, create_graph=True):
        weights, _ = _flatten(cotangents[0] if len(cotangents) == 1 else cotangents)
        with enable_grad():
            grads = build(_gradients(outs, fresh, weights))
        return grads
    return (out, pull, aux) if has_aux else (out, pull)


def jvp(func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False):
    """(output, directional derivative along ``tangents``[, aux]), by differentiating the (linear) vjp."""
    with enable_grad():
        inputs, fresh, _ = _level(tuple(primals), tuple(range(len(primals))))
        result = func(*inputs)
        out, aux = result if has_aux else (result, None)
        outs, build = _flatten(out)
        directions, _ = _flatten(tuple(tangents))
        dummies = [o.new_zeros(o.shape).requires_grad_() for o in outs]
        pulled = _gradients(outs, fresh, dummies)
        pushed = _gradients(pulled, dummies, directions)
    out, derivative = _settle((out, build(pushed)), [*fresh, *dummies])
    return (out, derivative, aux) if has_aux else (out, derivative)


def jacrev(func: Callable, argnums=0, *, has_aux: bool = False, chunk_size=None) -> Callable:
    """The Jacobian of ``func``, a row of the output at a time: shape output.shape + input.shape."""
    def call(*args, **kwargs):
        with enable_grad():
            inputs, fresh, build = _level(args, argnums)
            result = func(*inputs, **kwargs)
            out, aux = result if has_aux else (result, None)
            outs, rebuild = _flatten(out)
            jacobians = []
            for o in outs:
                rows = []
                basis = _basis(o)
                for k in range(o.numel()):
                    rows.append(_gradients([o], fresh, [basis[k].reshape(o.shape)]))
                jacobians.append(build([_stack([r[i] for r in rows], o, x) for i, x in enumerate(fresh)]))
        made = _settle(rebuild(jacobians), fresh)
        return (made, aux) if has_aux else made
    return call


def jacfwd(func: Callable, argnums=0, has_aux: bool = False, *, randomness: str = "error") -> Callable:
    """The Jacobian of ``func``, a column of the input at a time: shape output.shape + input.shape."""
    def call(*args, **kwargs):
        with enable_grad():
            inputs, fresh, build = _level(args, argnums)
            result = func(*inputs, **kwargs)
            out, aux = result if has_aux else (result, None)
            outs, rebuild = _flatten(out)
            dummies = [o.new_zeros(o.shape).requires_grad_() for o in outs]
            pulled = _gradients(outs, fresh, dummies)
            columns: list[list[list[Tensor]]] = [[[] for _ in fresh] for _ in outs]
            for i, x in enumerate(fresh):
                basis = _basis(x)
                for k in range(x.numel()):
                    pushed = _gradients([pulled[i]], dummies, [basis[k].reshape(x.shape)])
                    for j, p in enumerate(pushed):
                        columns[j][i].append(p)
            from .. import stack  # type: ignore[attr-defined]
            count, fresh = len(fresh), [*fresh, *dummies]
            jacobians = [build([stack(columns[j][i], -1).reshape(o.shape + x.shape) if x.numel() else o.new_zeros(o.shape + x.shape)
                                for i, x in enumerate(fresh[:count])]) for j, o in enumerate(outs)]
        made = _settle(rebuild(jacobians), fresh)
        return (made, aux) if has_aux else made
    return call


def _basis(x: Tensor) -> Tensor:
    from .. import eye  # type: ignore[attr-defined]
    return eye(x.numel(), dtype=x.dtype)


def _stack(rows: list[Tensor], o: Tensor, x: Tensor) -> Tensor:
    from .. import stack  # type: ignore[attr-defined]
    return stack(rows, 0).reshape(o.shape + x.shape) if rows else x.new_zeros(o.shape + x.shape)


def hessian(func: Callable, argnums=0) -> Callable:
    """The matrix of second derivatives of ``func``."""
    return jacfwd(jacrev(func, argnums), argnums)


# -- vmap ------------------------------------------------------------------------------------------------------------------


def _axes(spec: Any, x: Any, what: str) -> list:
    """The batch dimension (or None) of each tensor of ``x``; ``spec`` may be given for a whole subtree."""
    if isinstance(x, Tensor):
        if spec is not None and not isinstance(spec, int):
            raise ValueError(f"vmap: {what} must be an int or None for a tensor, got {spec!r}")
        return [spec]
    if isinstance(x, (tuple, list)):
        parts = [spec] * len(x) if spec is None or isinstance(spec, int) else list(spec)
        if len(parts) != len(x):
            raise ValueError(f"vmap: {what} has a different structure ({len(parts)} entries) from the inputs ({len(x)})")
        return [a for p, v in zip(parts, x, strict=True) for a in _axes(p, v, what)]
    if isinstance(x, dict):
        return [a for k, v in x.items() for a in _axes(spec if spec is None or isinstance(spec, int) else spec[k], v, what)]
    return []


def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
         chunk_size: int | None = None) -> Callable:
    """Maps ``func`` over a batch dimension of its inputs and stacks the results.

    Runs ``func`` once for each element of the batch, recorded as one program; correct for every operator. ``randomness``
    "same" draws the same numbers for each. Raises ValueError where batch sizes differ or no input has a batch dimension.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")

    def call(*args, **kwargs):
        leaves, build = _flatten(args)
        axes = _axes(in_dims, args, "in_dims")
        sizes = {x.shape[a] for x, a in zip(leaves, axes, strict=True) if a is not None}
        if not sizes:
            raise ValueError("vmap: at least one input must have a batch dimension (in_dims is None for all of them)")
        if len(sizes) > 1:
            raise ValueError(f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sorted(sizes)} "
                             f"for the mapped dimension")
        n = sizes.pop()
        results, rebuild = [], None
        from ..random import get_rng_state, set_rng_state
        state = get_rng_state() if randomness == "same" else None
        for i in range(n):
            if state is not None:
                set_rng_state(state)
            out = func(*build([x if a is None else x.select(a, i) for x, a in zip(leaves, axes, strict=True)]), **kwargs)
            flat, rebuild = _flatten(out)
            results.append(flat)
        if rebuild is None:
            raise ValueError("vmap: the batch is empty, and what func returns for it is not known")
        from .. import stack  # type: ignore[attr-defined]
        count = len(results[0])
        dims = [out_dims] * count if isinstance(out_dims, int) else list(out_dims)
        return rebuild([stack([r[k] for r in results], dims[k] if dims[k] >= 0 else dims[k]) for k in range(count)])
    return call


def functional_call(module, parameter_and_buffer_dicts, args=None, kwargs=None, *, tie_weights: bool = True, strict: bool = False):
    """Calls a module with other parameters and buffers (a dict, or a tuple of dicts) in place of its own."""
    from ..nn.utils.stateless import _functional_call
    given = parameter_and_buffer_dicts
    if isinstance(given, (tuple, list)):
        given = {k: v for d in given for k, v in d.items()}
    return _functional_call(module, given, args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models):
    """(parameters, buffers) of several equal modules, each stacked along a new first dimension."""
    from .. import stack  # type: ignore[attr-defined]
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    params = {k: stack([dict(m.named_parameters())[k].detach() for m in models]).requires_grad_(p.requires_grad)
              for k, p in models[0].named_parameters()}
    buffers = {k: stack([dict(m.named_buffers())[k].detach() for m in models]) for k, _ in models[0].named_buffers()}
    return params, buffers


def linearize(func: Callable, *primals):
    """(output, function from tangents to the directional derivative at ``primals``)."""
    out = func(*primals)
    return out, lambda *tangents: jvp(func, primals, tangents)[1]
