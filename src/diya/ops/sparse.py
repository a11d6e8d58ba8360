"""Methods of dense tensors that lead to sparse ones or belong to them; `diya.sparse` is imported when the first is called."""

from __future__ import annotations

from ..tensor import Tensor
from .record import operator


def _later(name: str, function: str):
    def call(self, *args, **kwargs):
        from ..sparse import tensor
        return getattr(tensor, function)(self, *args, **kwargs)
    call.__name__, call.__qualname__ = name, f"Tensor.{name}"
    call.__doc__ = f"See `diya.sparse.tensor.{function}`."
    setattr(Tensor, name, call)


for _name in ("to_sparse", "to_sparse_coo", "to_sparse_csr", "to_sparse_csc", "to_sparse_bsr", "to_sparse_bsc", "sparse_mask"):
    _later(_name, _name.removesuffix("_coo"))


def _of_layout(name: str, expected: str):
    def call(self):
        raise RuntimeError(f"{name} expected {expected} tensor layout but got {getattr(self, '_kind', 'Strided')}")
    call.__name__, call.__qualname__ = name, f"Tensor.{name}"
    call.__doc__ = f"What only a tensor of {expected} layout has."
    setattr(Tensor, name, call)


for _name, _expected in (
        ("indices", "sparse coordinate"), ("values", "sparse"), ("coalesce", "sparse coordinate"),
        ("is_coalesced", "sparse coordinate"), ("crow_indices", "sparse row compressed"), ("col_indices", "sparse row compressed"),
        ("ccol_indices", "sparse column compressed"), ("row_indices", "sparse column compressed")):
    _of_layout(_name, _expected)


def _of_sparse(name: str, doc: str):
    def call(input, *args, **kwargs):
        raise NotImplementedError(f"{name} is an operator of sparse tensors, got a dense one: use to_sparse()")
    call.__name__, call.__qualname__, call.__doc__ = name, name, doc
    operator(name, method=name != "hspmm", out=False, differentiable=False)(call)


for _name, _doc in (("hspmm", "A product of a sparse and a dense matrix, hybrid."), ("smm", "Such a product, sparse."),
                    ("sspaddmm", "The sum of a sparse matrix and such a product, sparse.")):
    _of_sparse(_name, _doc)


def _to_dense(self, dtype=None, *, masked_grad=None):
    """The tensor itself (of ``dtype``): it is dense."""
    return self if dtype is None else self.to(dtype)


Tensor.to_dense = _to_dense  # type: ignore[attr-defined]
Tensor.sparse_dim = lambda self: 0  # type: ignore[attr-defined]
Tensor.dense_dim = lambda self: self.dim()  # type: ignore[attr-defined]
