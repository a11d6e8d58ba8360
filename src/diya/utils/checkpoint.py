"""Activation checkpointing: keep a function's inputs, and run it again in backward
(https://docs.pytorch.org/docs/stable/checkpoint.html)."""

from __future__ import annotations

import contextlib
from enum import Enum
from typing import Any

from ..autograd import Function, backward, enable_grad
from ..autograd.graph import saved_tensors_hooks
from ..autograd.modes import modes
from ..tensor import Tensor


def _rng_state():
    from ..random import get_rng_state
    return get_rng_state()


@contextlib.contextmanager
def _with_rng(state):
    if state is None:
        yield
        return
    from ..random import get_rng_state, set_rng_state
    now = get_rng_state()
    set_rng_state(state)
    try:
        yield
    finally:
        set_rng_state(now)


def get_device_states(*args) -> tuple[list[int], list[Tensor]]:
    """The random states of the GPUs that tensors are on: of none."""
    return [], []


def set_device_states(devices, states, *, device_type: str | None = None) -> None:
    """Accepted for no devices. Raises RuntimeError for others."""
    if len(devices):
        raise RuntimeError(f"this build of diya computes on the CPU and has no device of index {devices[0]}")


def noop_context_fn() -> tuple:
    return contextlib.nullcontext(), contextlib.nullcontext()


class CheckpointPolicy(Enum):
    """What to do with an operator's result in a region that is computed again: a hint about memory."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


class SelectiveCheckpointContext:
    """What a policy function is called with in PyTorch."""

    def __init__(self, *, is_recompute: bool):
        self.is_recompute = is_recompute


def create_selective_checkpoint_contexts(policy_fn_or_list, allow_cache_entry_mutation: bool = False) -> tuple:
    """For ``checkpoint(..., context_fn=...)``. What a policy would save is computed again like the rest: results are the same."""
    if not callable(policy_fn_or_list) and not isinstance(policy_fn_or_list, list):
        raise TypeError(f"policy_fn_or_list must be either a function or a list of ops, got {type(policy_fn_or_list).__name__}")
    return noop_context_fn()


class CheckpointError(RuntimeError):
    """The second run saved other tensors than the first."""


class CheckpointFunction(Function):
    """The reentrant form: backward runs a backward inside."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        ctx.run_function = run_function
        ctx.rng = _rng_state() if preserve_rng_state else None
        ctx.args = args
        ctx.save_for_backward(*[a for a in args if isinstance(a, Tensor)])
        return run_function(*args)

    @staticmethod
    def backward(ctx, *grads):
        saved = iter(ctx.saved_tensors)
        inputs = []
        for a in ctx.args:
            if isinstance(a, Tensor):
                x = next(saved).detach()
                x.requires_grad = a.requires_grad
                inputs.append(x)
            else:
                inputs.append(a)
        with enable_grad(), _with_rng(ctx.rng):
            outputs = ctx.run_function(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *[x.grad if isinstance(x, Tensor) else None for x in inputs])


class _Holder:
    """Stands on the tape for a saved tensor that is made again when it is needed."""


def checkpoint(function, *args, use_reentrant: bool | None = None, context_fn=None, determinism_check: str = "default",
               debug: bool = False, early_stop: bool = True, preserve_rng_state: bool = True, **kwargs) -> Any:
    """Runs ``function(*args)`` without keeping what its backward needs; backward computes that again.

    Random numbers are drawn again from the same state unless ``preserve_rng_state`` is False. Raises RuntimeError
    in backward if the second run saves other tensors than the first.
    """
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        return CheckpointFunction.apply(function, preserve_rng_state, *args)
    state = _rng_state() if preserve_rng_state else None
    first, again = context_fn() if context_fn is not None else (contextlib.nullcontext(), contextlib.nullcontext())
    holders: list[_Holder] = []
    kept: list[tuple] = []
    values: dict[int, Tensor] = {}

    def pack(t: Tensor):
        holder = _Holder()
        holders.append(holder)
        kept.append((t.shape, t.dtype))
        return holder

    def unpack(holder: _Holder) -> Tensor:
        if id(holder) not in values:
            count = 0

            def fill(t: Tensor):
                nonlocal count
                if count < len(holders):
                    if determinism_check != "none" and (t.shape, t.dtype) != kept[count]:
                        raise CheckpointError(f"torch.utils.checkpoint: Recomputed values for the following tensors have different "
                                              f"metadata than during the forward pass: tensor {count} was {kept[count]}, now "
                                              f"{(t.shape, t.dtype)}")
                    values[id(holders[count])] = t.detach()
                count += 1
                return t
            with enable_grad(), _with_rng(state), saved_tensors_hooks(fill, lambda t: t), again:
                function(*args, **kwargs)
            if count < len(holders):
                raise CheckpointError(f"torch.utils.checkpoint: A different number of tensors was saved during the original "
                                      f"forward and recomputation: {len(holders)} and {count}")
        return values.pop(id(holder)) if not debug else values[id(holder)]
    if not modes.grad:
        return function(*args, **kwargs)
    with saved_tensors_hooks(pack, unpack), first:
        return function(*args, **kwargs)


def checkpoint_sequential(functions, segments: int, input, use_reentrant: bool | None = None, **kwargs):
    """Runs a Sequential (or list) in ``segments`` parts, each but the last checkpointed."""
    parts = list(functions.children()) if hasattr(functions, "children") else list(functions)

    def run(start: int, end: int):
        def forward(x):
            for part in parts[start:end]:
                x = part(x)
            return x
        return forward
    size = len(parts) // segments
    end = 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(run(start, end), input, use_reentrant=use_reentrant, **kwargs)
    return run(end, len(parts))(input)
