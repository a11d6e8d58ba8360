"""The tape as users see it (``torch.autograd.graph``)."""

from __future__ import annotations

from typing import NamedTuple

from .modes import modes
from .tape import NodeBase as Node
from .tape import edge_of


class GradientEdge(NamedTuple):
    """A place on the tape: ``(node, output number)``."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor) -> GradientEdge:
    """Where the tensor's gradient will arrive. Raises RuntimeError for a tensor that needs none."""
    edge = edge_of(tensor)
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(*edge)


class saved_tensors_hooks:
    """Within the block, what is saved for backward passes through ``pack_hook`` and comes back by ``unpack_hook``."""

    def __init__(self, pack_hook, unpack_hook):
        self.hooks = pack_hook, unpack_hook

    def __enter__(self):
        modes.saved_hooks = (*modes.saved_hooks, self.hooks)

    def __exit__(self, *_):
        modes.saved_hooks = modes.saved_hooks[:-1]


class save_on_cpu(saved_tensors_hooks):
    """Accepted: everything is on the CPU already."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda t: t, lambda t: t)


class disable_saved_tensors_hooks:
    """Within the block, using saved-tensor hooks raises ``error_message``."""

    def __init__(self, error_message: str):
        self.message = error_message

    def __enter__(self):
        if modes.saved_hooks:
            raise RuntimeError(self.message)

    def __exit__(self, *_):
        return None


__all__ = ["GradientEdge", "Node", "get_gradient_edge", "save_on_cpu", "saved_tensors_hooks"]
