"""Questions about a tensor, and small methods that need no rule of their own."""

from __future__ import annotations

from collections.abc import Callable

from ..tensor import Tensor, assign, check_inplace
from .compose import also
from .movement import constant, split, write
from .private import _segment_reduce
from .record import OPERATORS, operator, snapshot


def _query(name: str, ask: Callable, method: bool = True) -> None:
    """``torch.name(input)``, and a method where Tensor has none of this name yet."""
    def query(input, *args):
        return ask(input, *args)
    query.__name__ = query.__qualname__ = name
    query.__doc__ = ask.__doc__
    operator(name, method=method and name not in Tensor.__dict__, out=False, differentiable=False)(query)


_query("is_signed", lambda input: input.dtype.is_signed)
_query("is_conj", lambda input: input.is_conj())
_query("is_neg", lambda input: input.is_neg())
_query("is_inference", lambda input: input._inference)
_query("is_distributed", lambda input: False)
_query("is_same_size", lambda input, other: input.shape == other.shape)
_query("get_device", lambda input: -1)  # PyTorch's number of the CPU

for _name in ("is_ipu", "is_maia", "is_mtia", "is_vulkan", "is_xla"):
    setattr(Tensor, _name, property(lambda self: False))


@operator("detach", method=False, out=False)
def detach(input):
    return input.detach()


@operator("detach_", method=False, out=False)
def detach_(input):
    return input.detach_()


@operator(out=False)
def unsafe_split_with_sizes(input, split_sizes, dim=0):
    return split(input, list(split_sizes), dim)


also("segment_reduce", _segment_reduce)


def _fill_diagonal_(self, fill_value, wrap=False):
    """Writes a number on the main diagonal; with ``wrap``, of a tall matrix again after every block of columns."""
    if self.dim() < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.dim() > 2 and len(set(self.shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    check_inplace(self)
    old = snapshot(self).contiguous()
    rows, columns = self.shape[0], self.shape[-1]
    step = sum(old.stride())
    count = min(self.shape) if self.dim() > 2 or not wrap or rows <= columns else 0
    count = count or -(-old.numel() // step) if self.numel() else 0
    from ..tensor import from_node
    value = from_node(constant((count,), fill_value, self.dtype))
    return assign(self, write(old, value, ((count,), (step,), 0)))


def _map_(self, *tensors_and_callable):
    """Each element replaced by what a Python function gives for it and its counterparts."""
    *others, function = tensors_and_callable
    check_inplace(self)
    if self.requires_grad:
        raise RuntimeError("Can't call map_() on Variable that requires grad. Use var.detach().map_() instead.")
    columns = [self.reshape(-1).tolist(), *[x.expand(self.shape).reshape(-1).tolist() for x in others]]
    return self.copy_(self.new_tensor([function(*values) for values in zip(*columns, strict=True)]).reshape(self.shape))


def _dim_order(self) -> tuple[int, ...]:
    """The dimensions from the one of the largest stride to that of the smallest."""
    strides = self.stride()
    return tuple(sorted(range(self.dim()), key=lambda d: -strides[d]))


def _resize(self, *sizes):
    """The deprecated ``resize``: a view of another shape with as many elements."""
    return self.contiguous().view(*sizes)


for _name, _method in (("fill_diagonal_", _fill_diagonal_), ("map_", _map_), ("map2_", _map_), ("dim_order", _dim_order),
                       ("resize", _resize), ("resize_as", lambda self, other: _resize(self, other.shape)),
                       ("const_data_ptr", Tensor.data_ptr), ("record_stream", lambda self, stream: None),
                       ("__nonzero__", Tensor.__bool__), ("__long__", Tensor.__int__),
                       ("__reversed__", lambda self: OPERATORS["flip"].function(self, 0) if self.dim() else self)):
    setattr(Tensor, _name, _method)
