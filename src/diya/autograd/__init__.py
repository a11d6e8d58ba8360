"""Automatic differentiation (https://docs.pytorch.org/docs/stable/autograd.html)."""

from __future__ import annotations

from typing import Any

from .. import engine
from .. import tensor as _tensor  # which imports this package's modules: it is whole when a function here runs
from . import graph as graph
from .modes import detect_anomaly as detect_anomaly
from .modes import enable_grad as enable_grad
from .modes import inference_mode as inference_mode
from .modes import is_grad_enabled as is_grad_enabled
from .modes import modes
from .modes import no_grad as no_grad
from .modes import set_detect_anomaly as set_detect_anomaly
from .modes import set_grad_enabled as set_grad_enabled
from .tape import AccumulateGrad, edge_of


def _roots(tensors, grads) -> tuple[list, list]:
    edges, out = [], []
    for t, g in zip(tensors, grads, strict=True):
        edge = edge_of(t)
        if edge is None:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        if g is None:
            if t.numel() != 1:
                raise RuntimeError(f"grad can be implicitly created only for scalar outputs, got a tensor of size "
                                   f"{list(t.shape)}: pass its gradient, or reduce it to a number first")
            if t.dtype.kind == "c":
                raise RuntimeError(f"grad can be computed only for real scalar outputs but got {t.dtype}")
            g = _tensor.from_node(engine.scalar(1, t.dtype) if not t.shape else _ones(tuple(t.shape), t.dtype))
        elif not isinstance(g, _tensor.Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif g.shape != t.shape:
            raise RuntimeError(f"Mismatch in shape: grad_output[0] has a shape of {g.shape} and output[0] has a shape of "
                               f"{t.shape}.")
        edges.append(edge)
        out.append(g)
    return edges, out


def _ones(shape, dtype):
    from ..ops.movement import constant
    return constant(shape, 1, dtype)


def _sequence(x) -> tuple:
    return (x,) if isinstance(x, _tensor.Tensor) or x is None or isinstance(x, graph.GradientEdge) else tuple(x)


def backward(tensors, grad_tensors=None, retain_graph: bool | None = None, create_graph: bool = False,
             grad_variables=None, inputs=None) -> None:
    """Adds the gradients of ``tensors`` (weighted by ``grad_tensors``) to the ``grad`` of the leaves, or of ``inputs``."""
    from .walk import run
    tensors = _sequence(tensors)
    grads = _sequence(grad_tensors) if grad_tensors is not None else (None,) * len(tensors)
    edges, grads = _roots(tensors, grads)
    captures = None
    if inputs is not None:
        inputs = _sequence(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        _backward_inputs(edges, grads, inputs, retain_graph, create_graph)
        return
    run(edges, grads, create_graph, create_graph if retain_graph is None else retain_graph, captures)


def _backward_inputs(edges, grads, inputs, retain_graph, create_graph) -> None:
    from .walk import _accumulate, run
    captures: dict = {}
    results = [None] * len(inputs)
    for k, t in enumerate(inputs):
        edge = edge_of(t)
        if edge is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        captures.setdefault(edge, []).append(k)
    run(edges, grads, create_graph, create_graph if retain_graph is None else retain_graph, captures, results, False)
    for t, g in zip(inputs, results, strict=True):
        if g is not None:
            holder = AccumulateGrad.__new__(AccumulateGrad)
            holder.variable = t
            with set_grad_enabled(create_graph):
                _accumulate(holder, g, create_graph)


def grad(outputs, inputs, grad_outputs=None, retain_graph: bool | None = None, create_graph: bool = False,
         only_inputs: bool = True, allow_unused: bool | None = None, is_grads_batched: bool = False,
         materialize_grads: bool = False) -> tuple:
    """Gradients of ``outputs`` with respect to ``inputs``, returned; no ``.grad`` changes.

    Raises RuntimeError where an input does not need a gradient, or (unless ``allow_unused``) no output depends on it.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
                         "allow_unused=False.")
    from .walk import run
    outputs, inputs = _sequence(outputs), _sequence(inputs)
    if any(t.layout.name != "strided" for t in inputs):  # the gradient of a sparse tensor is that of its values
        values = tuple([t if t.layout.name == "strided" else t._data for t in inputs])
        found = grad(outputs, values, grad_outputs, retain_graph, create_graph, only_inputs, allow_unused, is_grads_batched,
                     materialize_grads)
        return tuple([g if v is t or g is None else t._gradient(g) for g, v, t in zip(found, values, inputs, strict=True)])
    if is_grads_batched:
        return _batch_of_grads(outputs, inputs, _sequence(grad_outputs), create_graph, allow_unused, materialize_grads)
    grads = _sequence(grad_outputs) if grad_outputs is not None else (None,) * len(outputs)
    edges, grads = _roots(outputs, grads)
    captures: dict = {}
    results: list = [None] * len(inputs)
    for k, t in enumerate(inputs):
        edge = edge_of(t)
        if edge is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        captures.setdefault(edge, []).append(k)
    run(edges, grads, create_graph, create_graph if retain_graph is None else retain_graph, captures, results, False)
    return _whole(results, inputs, allow_unused, materialize_grads)


def _batch_of_grads(outputs: tuple, inputs: tuple, batches: tuple, create_graph: bool, allow_unused: bool | None,
                    materialize_grads: bool) -> tuple:
    """`grad` for each element of a batch of ``grad_outputs``."""
    from ..func import vmap
    used: list[int] = []

    def pull(*weights):
        found = grad(outputs, inputs, weights, True, create_graph, allow_unused=True)
        used[:] = [k for k, g in enumerate(found) if g is not None]
        return [found[k] for k in used]
    made = vmap(pull)(*batches)
    results: list = [None] * len(inputs)
    for k, g in zip(used, made, strict=True):
        results[k] = g
    return _whole(results, inputs, allow_unused, materialize_grads)


def _whole(results: list, inputs: tuple, allow_unused: bool | None, materialize_grads: bool) -> tuple:
    """The gradients, with zeros or an error where an input was not used."""
    for k, g in enumerate(results):
        if g is None:
            if materialize_grads:
                results[k] = inputs[k].new_zeros(inputs[k].shape)
            elif not allow_unused:
                raise RuntimeError("One of the differentiated Tensors appears to not have been used in the graph. Set "
                                   "allow_unused=True if this is the desired behavior.")
    return tuple(results)


def __getattr__(name: str) -> Any:
    import importlib
    if name in ("Function", "once_differentiable"):
        return getattr(importlib.import_module(".function", __name__), name)
    if name in ("gradcheck", "gradgradcheck", "GradcheckError"):
        module = importlib.import_module(".gradcheck", __name__)
        globals().update(gradcheck=module.gradcheck, gradgradcheck=module.gradgradcheck, GradcheckError=module.GradcheckError)
        return globals()[name]
    if name in ("functional", "forward_ad", "profiler", "variable"):
        return importlib.import_module("." + name, __name__)
    if name == "Variable":
        return importlib.import_module(".variable", __name__).Variable
    raise AttributeError(f"module 'torch.autograd' has no attribute {name!r}")


__all__ = ["backward", "grad", "modes"]
