"""Modules as functions of their parameters and buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops.movement import stack
from ..tensor import Tensor


def functional_call(module, parameter_and_buffer_dicts, args=None, kwargs=None, *, tie_weights: bool = True, strict: bool = False):
    """Calls a module with other parameters and buffers (a dict, or a sequence of dicts without common names) than its own."""
    from ..nn.utils.stateless import _functional_call
    given = parameter_and_buffer_dicts
    if not isinstance(given, dict):
        if not isinstance(given, Sequence):
            raise ValueError(f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(given)}")
        if not all(isinstance(d, dict) for d in given):
            raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
        names = [k for d in given for k in d]
        repeated = sorted({k for k in names if names.count(k) > 1})
        if repeated:
            raise ValueError(f"{repeated} appear in multiple dictionaries; behavior of functional call is ambiguous")
        given = {k: v for d in given for k, v in d.items()}
    return _functional_call(module, given, args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models) -> tuple[dict[str, Any], dict[str, Any]]:
    """(parameters, buffers) of several equal modules, each stacked along a new first dimension."""
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    params = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return ({k: _stacked([p[k] for p in params]) for k in params[0]}, {k: _stacked([b[k] for b in buffers]) for k in buffers[0]})


def _stacked(tensors: list[Tensor]) -> Tensor:
    wanted = tensors[0].requires_grad
    if any(t.requires_grad is not wanted for t in tensors):
        raise RuntimeError(f"Expected {'parameters' if wanted else 'tensors'} from each model to have the same .requires_grad")
    if not all(t.is_leaf for t in tensors):
        return stack(tensors)
    return stack([t.detach() for t in tensors]).requires_grad_(wanted)


def replace_all_batch_norm_modules_(root):
    """Makes every batch normalisation below ``root`` forget its running statistics and use the batch's; returns ``root``."""
    from ..nn.modules.batchnorm import _BatchNorm
    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
