"""The meta device: tensors with a shape, a dtype and a place on the tape, and no data.

A `Meta` node stands for a value that never comes to be: whatever is computed from it is one too, with the type that the
operator infers, and looking at it raises. Nothing is recorded, drawn or allocated for it.
"""

from __future__ import annotations

from typing import Any

from . import engine, recording
from .autograd.modes import modes
from .autograd.tape import Rule, track
from .device import META, is_meta
from .dtypes import dtype as DType
from .func import batching
from .graph import Node, Primitive, Signature, Type
from .tensor import Tensor, from_node, strided_from_node


class Meta(Node):
    """A value without data. To the engine it is one whose computation failed, which is what observing it raises."""

    __slots__ = ()
    device = META

    def __init__(self, signature: Signature):
        error = NotImplementedError("Cannot copy out of meta tensor; no data! A tensor on device 'meta' has a shape and a dtype "
                                    "only: make real ones with torch.empty_like(t, device='cpu') or module.to_empty(device='cpu')")
        super().__init__(signature, signature.type, (), error)
        engine.batched.add(id(self))

    def __del__(self):
        engine.batched.discard(id(self))


def leaf(type: Type) -> Meta:
    """A value without data that nothing was computed for."""
    return Meta(engine.leaf_signature(type))


def of(t: Tensor) -> Tensor:
    """A leaf of the type and layout of ``t``, without data."""
    from .ops.movement import order_for
    node, order = leaf(t._type), order_for(t, None)
    return from_node(node) if order is None else strided_from_node(node, order)


_TO_COPY = Rule("ToCopy", ("input",), dict(input=lambda g: g))


def moved(input: Tensor, device: Any, dtype: DType | None, copy: bool) -> Tensor:
    """``input.to(device, dtype)`` where one of the devices is meta."""
    here = input.device is META
    if not is_meta(device):
        raise NotImplementedError("Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
                                  "torch.nn.Module.to() when moving module from meta to a different device.")
    if here and not copy and dtype in (None, input.dtype):
        return input
    out = of(input if dtype is None else input.to(dtype))
    if input._rg and modes.grad and out.dtype.kind in "fc":
        track(_TO_COPY, (out,), (input,), (input._value(),), {})
    return out


# -- what the engine asks about its special values: those here, and those of vmap ----------------------------------------


def _any(nodes) -> bool:
    return any(n.__class__ is Meta for n in nodes)


def _apply(op: Primitive, inputs: tuple[Node, ...], attrs) -> Node:
    if _any(inputs):
        try:
            return Meta(engine.signature(op, attrs, inputs))
        except engine.OutOfMemoryError:  # it takes none
            return Meta(Signature(op, attrs, op.infer(attrs, *[n.type for n in inputs])))
    return batching.apply(op, inputs, attrs)


def _replay(known: recording.Recording, inputs: list[Node]) -> list[Node]:
    if not _any(inputs):
        return batching.replay(known, inputs)
    made = inputs + known.constants
    for signature, operands, _ in known.steps:
        made.append(engine.append(signature.op, operands(made), signature.attrs))
    return [made[k] for k in known.results]


def _written(old: Node, new: Node) -> Node:
    """What a storage holds after ``new`` is written over ``old``: memory is on one device for good."""
    if old.__class__ is Meta:
        return new if new.__class__ is Meta else leaf(new.type)
    if new.__class__ is Meta:
        raise new.value.with_traceback(None)
    return batching.check_write(old, new)


engine.apply_batched, engine.replay_batched, engine.check_batched_write = _apply, _replay, _written
