"""Methods of dense tensors that lead to sparse ones; `diya.sparse` is imported when the first is called."""

from __future__ import annotations

from ..tensor import Tensor


def _later(name: str, function: str):
    def call(self, *args, **kwargs):
        from ..sparse import tensor
        return getattr(tensor, function)(self, *args, **kwargs)
    call.__name__, call.__qualname__ = name, f"Tensor.{name}"
    call.__doc__ = f"See `diya.sparse.tensor.{function}`."
    setattr(Tensor, name, call)


for _name in ("to_sparse", "to_sparse_coo", "to_sparse_csr", "sparse_mask"):
    _later(_name, _name.removesuffix("_coo"))


def _to_dense(self, dtype=None, *, masked_grad=None):
    """The tensor itself (of ``dtype``): it is dense."""
    return self if dtype is None else self.to(dtype)


Tensor.to_dense = _to_dense  # type: ignore[attr-defined]
