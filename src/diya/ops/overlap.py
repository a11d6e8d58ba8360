"""What ``out=`` may be: PyTorch refuses to write where the operator still reads, and some element types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .. import dtypes, views
from ..dtypes import dtype as DType
from ..tensor import Tensor

# Operators that read their operands in another order than they write: these may not even be the same tensor as ``out``.
APART = frozenset(("cat", "cross", "gather", "index_select", "kthvalue", "linalg.cross", "masked_select", "take",
                   "take_along_dim"))

# Operators whose ``out=`` must have the result's element type; others write what can be cast to it. Of those that have several
# outputs nearly all are so.
EXACT = frozenset((
    "abs", "addbmm", "addmm", "addmv", "alias_copy", "amax", "amin", "arange", "argmax", "argmin", "as_strided_copy",
    "baddbmm", "bitwise_not", "bmm", "bucketize", "ceil", "clamp", "clamp_max", "clamp_min", "complex", "conj_physical",
    "cross", "cumprod", "cumsum", "diag", "diagonal_copy", "diff", "dot", "empty", "expand_copy", "eye", "fft.ihfft",
    "float_power", "floor", "frac", "full", "gather", "hash_tensor", "heaviside", "histc", "index_add", "index_copy",
    "index_reduce", "index_select", "inner", "isin", "isneginf", "isposinf", "linalg.cholesky", "linalg.cross", "linalg.det",
    "linalg.eigvalsh", "linalg.inv", "linalg.ldl_solve", "linalg.lu_solve", "linalg.matrix_norm", "linalg.multi_dot",
    "linalg.norm", "linalg.solve", "linalg.solve_triangular", "linalg.svdvals", "linalg.vecdot", "linalg.vector_norm",
    "linspace", "log_softmax", "logcumsumexp", "logspace", "lu_solve", "masked_select", "matmul", "mm", "msort", "multinomial",
    "mv", "nan_to_num", "nanquantile", "narrow_copy", "neg", "nn.functional.avg_pool2d", "nn.functional.avg_pool3d",
    "nn.functional.gelu", "nn.functional.hardshrink", "nn.functional.linear", "nn.functional.logsigmoid",
    "nn.functional.softplus", "nn.functional.softshrink", "nonzero", "nonzero_static", "norm", "ones", "ormqr", "permute_copy",
    "polar", "quantile", "randn", "renorm", "round", "scatter", "scatter_add", "scatter_reduce", "searchsorted", "sgn", "sign",
    "signbit", "softmax", "squeeze_copy", "t_copy", "take", "take_along_dim", "tensordot", "transpose_copy", "tril", "triu",
    "trunc", "unfold_copy", "unsqueeze_copy", "vdot", "view_copy", "zeros"))
CASTING = frozenset(("geqrf", "linalg.eig", "linalg.lstsq"))
JOINING = frozenset(("cat", "column_stack", "dstack", "hstack", "stack", "vstack"))  # where PyTorch raises TypeError
# Operators that write any real element type, and those whose element type is that of ``out=`` unless it is given.
ANY = frozenset(("bernoulli",))
TYPED_BY_OUT = frozenset(("arange", "cumprod", "cumsum", "empty", "eye", "full", "linspace", "logspace", "normal", "ones", "prod",
                          "rand", "randint", "randn", "randperm", "sum", "zeros"))


def may_write(name: str, result: DType, out: DType, several: bool) -> bool:
    """Whether PyTorch writes a result (one of ``several``) of one element type into an ``out=`` of another."""
    if name in ("all", "any"):
        return out is result or out is dtypes.uint8
    if name in EXACT or several and name not in CASTING:
        return out is result
    return dtypes.can_cast(result, out) or name in ANY


def refuse_overlap(name: str, out, operands: Iterable) -> None:
    """Raises RuntimeError where ``out`` (a tensor, or several) shows an element of its own memory twice, or one that an operand
    of as many elements shows at another place. (A reduction may write into what it reduced.)"""
    for o in _tensors((out,)):
        if views.overlaps_itself(o.shape, o.stride()):
            raise RuntimeError(f"unsupported operation: more than one element of the written-to tensor refers to a single memory "
                               f"location: {name}() got an expanded out=. Please clone() it first.")
        for x in _tensors(operands):
            if x._storage is o._storage and (name in APART or x.numel() == o.numel() and not _alike(x, o)) and _overlap(x, o):
                raise RuntimeError(f"unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
                                   f"single memory location: {name}() got an out= that shares memory with an operand. Please "
                                   f"clone() it first.")


def _tensors(values: Iterable) -> Iterator[Tensor]:
    for x in values:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (tuple, list)):
            yield from _tensors(x)


def _alike(x: Tensor, o: Tensor) -> bool:
    return x._offset == o._offset and x.shape == o.shape and x.stride() == o.stride()


def _overlap(x: Tensor, o: Tensor) -> bool:
    """Whether two blocks of one memory have elements in common; of tensors that are not dense it is not decided, as in PyTorch."""
    if not (x.numel() and o.numel() and views.is_dense(x.shape, x.stride()) and views.is_dense(o.shape, o.stride())):
        return False
    (a, b), (c, d) = ((low * t.element_size(), (high + 1) * t.element_size())
                      for t in (x, o) for low, high in (views.extent(t.shape, t.stride(), t._offset),))
    return a < d and c < b
