"""Linear algebra on matrices: equations, inverses, determinants, norms, ranks, functions of a matrix.

LAPACK comes through numpy. What solves or inverts raises `LinAlgError` for a singular matrix when it runs, naming the
user's line.
"""

from __future__ import annotations

import math
from collections import namedtuple
from itertools import pairwise

import numpy as np

from .. import dtypes
from ..dtypes import bool_, int32, int64
from ..graph import Type, broadcast_shapes, type_of
from ..tensor import Tensor, wrap_dim
from . import elementwise as ew
from .compose import also
from .decomposition import (
    LinAlgError,
    _batch_message,
    by_columns,
    call,
    calls,
    eigh,
    eigvalsh,
    host,
    identity,
    linalg_svd,
    lu_array,
    lu_unpack,
    matrices,
    svdvals,
)
from .matmul import dot, matmul
from .movement import cat, stack
from .norm import vector_norm
from .record import _long_name, operator
from .reduce import amax, amin
from .shape import tril, triu

# -- equations ---------------------------------------------------------------------------------------------------------


def _same_dtype(name: str, a: Tensor, b: Tensor) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"{name}: Expected A and B to have the same dtype, but found A of type {_long_name(a.dtype)} and B of "
                           f"type {_long_name(b.dtype)} instead")


def _solve_batch(a: Type, b: Type) -> tuple[int, ...]:
    return broadcast_shapes(a.shape[:-2], b.shape[:-2])


def _infer_solve(attrs, a: Type, b: Type):
    return type_of((*_solve_batch(a, b), *b.shape[-2:]), b.dtype), type_of(a.shape[:-2], int32)


def _solve_array(attrs, a, b):
    """(X, info): info is the number of the first zero pivot, 0 where there is none."""
    if 0 in a.shape or 0 in b.shape:
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:])
        return np.zeros(shape, b.dtype), np.zeros(a.shape[:-2], np.int32)
    try:
        return np.linalg.solve(a, b), np.zeros(a.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        info = lu_array(a)[2]
        ok = (info == 0)[..., None, None]
        x = np.linalg.solve(np.where(ok, a, np.eye(a.shape[-1], dtype=a.dtype)), b)
        return np.where(ok, x, np.nan), info


def _infer_inverse(attrs, a: Type):
    return a, type_of(a.shape[:-2], int32)


def _inverse_array(attrs, a):
    try:
        return np.linalg.inv(a), np.zeros(a.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        info = lu_array(a)[2]
        ok = (info == 0)[..., None, None]
        return np.where(ok, np.linalg.inv(np.where(ok, a, np.eye(a.shape[-1], dtype=a.dtype))), np.nan), info


def _checked(name: str, what: str, compute):
    """The interpretation that raises where ``compute`` reports a zero pivot."""
    def run(attrs, *arrays):
        out, info = compute(attrs, *arrays)
        if info.any():
            where, code = _batch_message(info)
            raise LinAlgError(f"{name}: {where}The diagonal element {code} is zero, the {what} could not be completed because "
                              f"the input matrix is singular.")
        return out
    return run


SOLVE_EX = host("linalg.solve_ex", _infer_solve, _solve_array)
SOLVE = host("linalg.solve", lambda attrs, a, b: _infer_solve(attrs, a, b)[0],
             _checked("torch.linalg.solve", "solve", _solve_array), faults=True)
INVERSE_EX = host("linalg.inv_ex", _infer_inverse, _inverse_array)
INVERSE = host("linalg.inv", lambda attrs, a: a, _checked("linalg.inv", "inversion", _inverse_array), faults=True)


def _is_vector(a: Tensor, b: Tensor) -> bool:
    """Whether ``b`` is a (batch of) vector rather than matrix of right-hand sides."""
    return b.dim() == 1 or (b.dim() == a.dim() - 1 and tuple(b.shape) == tuple(a.shape[:-1]))


def _prepare_solve(name: str, A: Tensor, B: Tensor, left: bool) -> tuple[Tensor, Tensor, bool]:
    A = matrices(name, A, True)
    if not isinstance(B, Tensor):
        raise TypeError(f"{name}(): argument 'B' must be Tensor, not {type(B).__name__}")
    _same_dtype(name, A, B)
    vector = left and _is_vector(A, B)
    if not left and _is_vector(A, B) and B.dim() != A.dim():
        raise RuntimeError(f"{name}: Vector broadcasting of the left hand side is not supported for left=False. In this case "
                           f"linalg.solve is equivalent to B / A.squeeze(-1)")
    b = B.unsqueeze(-1) if vector else B
    if b.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor B must have at least 2 dimensions.")
    if b.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
                           f"({A.shape[-2]}x{A.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})")
    return A, b, vector


def _solve_grad(g, A, B, out, left):
    if isinstance(g, tuple):
        g, out = g[0], out[0]
    if g is None:
        return None, None
    vector = left and _is_vector(A, B)
    gb = solve(A.mH, g, left=left)
    if vector:
        ga = -(gb.unsqueeze(-1) @ out.conj().unsqueeze(-2))
    else:
        ga = -(gb @ out.mH) if left else -(out.mH @ gb)
    from ..autograd.tape import sum_to
    return sum_to(ga, A.shape), sum_to(gb, B.shape)


Solve = namedtuple("solve_ex", ["result", "info"])
Inverse = namedtuple("inv_ex", ["inverse", "info"])


def _as_matrix(x: Tensor) -> Tensor:
    """A batch of vectors, which lies in memory as a matrix does: by columns."""
    return by_columns(x) if x.dim() > 1 else x


@operator("linalg.solve", method=False, grad=_solve_grad, inputs=("A", "B"))
def solve(A, B, *, left=True):
    """X with A X = B, or X A = B with ``left=False``; B may be a (batch of) vector. Raises LinAlgError if A is singular."""
    a, b, vector = _prepare_solve("linalg.solve", A, B, left)
    if not left:
        return call(SOLVE, None, a.mT, b.mT, columns=True).mT
    x = call(SOLVE, None, a, b, columns=not vector)
    return _as_matrix(x.squeeze(-1)) if vector else x


@operator("linalg.solve_ex", method=False, grad=_solve_grad, inputs=("A", "B"))
def solve_ex(A, B, *, left=True, check_errors=False):
    a, b, vector = _prepare_solve("linalg.solve_ex", A, B, left)
    columns = () if vector else (0,)
    x, info = calls(SOLVE_EX, None, a, b, columns=columns) if left else calls(SOLVE_EX, None, a.mT, b.mT, columns=columns)
    return Solve((x if left else x.mT) if not vector else _as_matrix(x.squeeze(-1)), info)


def _inverse_grad(g, out):
    if isinstance(out, tuple):
        g, out = g[0], out[0]
    return (None if g is None else -(out.mH @ g @ out.mH),)


@operator("linalg.inv", method=False, grad=_inverse_grad, inputs=("A",))
def inv(A):
    """The inverse of square matrices. Raises LinAlgError for a singular one."""
    return call(INVERSE, None, matrices("linalg.inv", A, True), columns=True)


@operator("linalg.inv_ex", method=False, grad=_inverse_grad, inputs=("A",))
def inv_ex(A, *, check_errors=False):
    if check_errors:
        return Inverse(inv(A), A.new_zeros(A.shape[:-2], dtype=int32))
    return Inverse(*calls(INVERSE_EX, None, matrices("linalg.inv_ex", A, True), columns=(0,)))


@operator()
def inverse(input):
    return inv(input)


def _triangular_array(attrs, a, b):
    upper, unit = attrs
    a = np.triu(a, unit) if upper else np.tril(a, -unit)
    if unit:
        a = a + np.eye(a.shape[-1], dtype=a.dtype)
    if 0 in a.shape or 0 in b.shape:
        return np.zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]), b.dtype)
    if not upper:  # turned over, so that LU finds its pivots on the diagonal and substitutes exactly
        a, b = a[..., ::-1, ::-1], b[..., ::-1, :]
    try:
        x = np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        x = _substitute(a, b)
    return x if upper else x[..., ::-1, :]


def _substitute(a, b):
    """Back substitution that divides by zero where the diagonal is zero, as BLAS's trsm does."""
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, (*shape, *b.shape[-2:])))
    for i in reversed(range(a.shape[-1])):
        x[..., i, :] = x[..., i, :] / a[..., i, i, None]
        x[..., :i, :] -= a[..., :i, i, None] * x[..., None, i, :]
    return x


TRIANGULAR = host("linalg.solve_triangular", lambda attrs, a, b: _infer_solve(attrs, a, b)[0], _triangular_array)


def _triangular_grad(g, A, B, out, upper, left, unitriangular):
    gb = solve_triangular(A.mH, g, upper=not upper, left=left, unitriangular=unitriangular)
    ga = -(gb @ out.mH) if left else -(out.mH @ gb)
    ga = triu(ga, int(unitriangular)) if upper else tril(ga, -int(unitriangular))
    from ..autograd.tape import sum_to
    return sum_to(ga, A.shape), sum_to(gb, B.shape)


@operator("linalg.solve_triangular", method=False, grad=_triangular_grad, inputs=("A", "B"))
def solve_triangular(A, B, *, upper, left=True, unitriangular=False):
    """X with A X = B (X A = B), A triangular: the other triangle, and a unit diagonal, are not read."""
    A = matrices("linalg.solve_triangular", A, True)
    matrices("linalg.solve_triangular", B, argument="B")
    _same_dtype("linalg.solve_triangular", A, B)
    if B.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError(f"linalg.solve_triangular: Incompatible shapes of A and B for the equation "
                           f"{'AX = B' if left else 'XA = B'} ({A.shape[-2]}x{A.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})")
    if left:
        return call(TRIANGULAR, (bool(upper), bool(unitriangular)), A, B, columns=True)
    return call(TRIANGULAR, (not upper, bool(unitriangular)), A.mT, B.mT).mT


Triangular = namedtuple("triangular_solve", ["solution", "cloned_coefficient"])


@operator()
def triangular_solve(input, A, upper=True, transpose=False, unitriangular=False):
    a = A.mT if transpose else A
    x = solve_triangular(a, input, upper=upper != transpose, unitriangular=unitriangular)
    return Triangular(x, by_columns(A.expand([*x.shape[:-2], *A.shape[-2:]])).clone())


@operator("linalg.lu_solve", method=False)
def linalg_lu_solve(LU, pivots, B, *, left=True, adjoint=False):
    """X with A X = B (X A = B; Aᴴ in place of A) from the factors of `lu_factor`."""
    matrices("torch.linalg.lu_solve", LU, True, "LU")
    matrices("torch.linalg.lu_solve", B, argument="B")
    _same_dtype("torch.linalg.lu_solve", LU, B)
    if pivots.shape != LU.shape[:-1] or B.shape[-2 if left else -1] != LU.shape[-1]:
        raise RuntimeError(f"torch.linalg.lu_solve: incompatible shapes of LU {list(LU.shape)}, pivots {list(pivots.shape)} and B "
                           f"{list(B.shape)}")
    if not left:
        return linalg_lu_solve(LU, pivots, B.mH, adjoint=not adjoint).mH
    p, lower, upper = lu_unpack(LU, pivots)
    if adjoint:
        y = solve_triangular(upper.mH, B, upper=False)
        return by_columns(p @ solve_triangular(lower.mH, y, upper=True, unitriangular=True))
    y = solve_triangular(lower, p.mH @ B, upper=False, unitriangular=True)
    return solve_triangular(upper, y, upper=True)


@operator("lu_solve", method=False)
def lu_solve(b, LU_data, LU_pivots):
    return linalg_lu_solve(LU_data, LU_pivots, b)


Tensor.lu_solve = lu_solve  # type: ignore[attr-defined]


def _cholesky_solve_grad(g, L, out, upper):
    """As PyTorch has it: L's gradient is not cut to its triangle."""
    gi = cholesky_solve(g, L, upper)
    common = gi @ out.mH
    common = common + common.mH
    from ..autograd.tape import sum_to
    return sum_to(gi, tuple(g.shape)), sum_to(-(L @ common) if upper else -(common @ L), L.shape)


@operator(grad=_cholesky_solve_grad, inputs=("input", "L"))
def cholesky_solve(input, L, upper=False):
    """X with A X = input, where A = L Lᴴ (Lᴴ L with ``upper``)."""
    matrices("cholesky_solve", input, argument="input")
    lower = L.mH if upper else L
    return solve_triangular(lower.mH, solve_triangular(lower, input, upper=False), upper=True)


def _cholesky_inverse_grad(g, input, out, upper):
    common = out @ (g + g.mH) @ out
    return (-(input @ common) if upper else -(common @ input),)


@operator(grad=_cholesky_inverse_grad, inputs=("input",))
def cholesky_inverse(input, upper=False):
    """A⁻¹, where A = L Lᴴ (Lᴴ L with ``upper``)."""
    matrices("cholesky_inverse", input, True, "input")
    return cholesky_solve(identity(input).expand(input.shape), input, upper)


@operator("linalg.tensorsolve", method=False)
def tensorsolve(A, B, dims=None):
    if dims is not None:
        A = A.movedim(list(dims), list(range(A.dim() - len(dims), A.dim())))
    shape = A.shape[B.dim():]
    if math.prod(shape) != B.numel():
        raise RuntimeError(f"Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
                           f"prod(self.shape[:other.ndim]), but got {math.prod(shape)} != {B.numel()}")
    return solve(A.reshape(B.numel(), -1), B.reshape(-1)).reshape(shape)


@operator("linalg.tensorinv", method=False)
def tensorinv(A, ind=2):
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    rows, columns = A.shape[:ind], A.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise RuntimeError(f"Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
                           f"{math.prod(columns)} != {math.prod(rows)}")
    return inv(A.reshape(math.prod(rows), -1)).reshape([*columns, *rows])


# -- determinants ------------------------------------------------------------------------------------------------------


def _empty_safe(f, empty):
    return lambda attrs, x: f(x) if x.shape[-1] else empty(x)


DET = host("linalg.det", lambda attrs, x: type_of(x.shape[:-2], x.dtype),
           _empty_safe(np.linalg.det, lambda x: np.ones(x.shape[:-2], x.dtype)))
SLOGDET = host("linalg.slogdet", lambda attrs, x: (DET.infer(None, x), type_of(x.shape[:-2], x.dtype.to_real())),
               _empty_safe(np.linalg.slogdet, lambda x: (np.ones(x.shape[:-2], x.dtype), np.zeros(x.shape[:-2], x.real.dtype))))


def _cofactor_array(attrs, x):
    """The conjugate of det(A) A⁻ᵀ, by singular values, so that a singular A has one too."""
    if 0 in x.shape:
        return np.zeros_like(x)
    u, s, vh = np.linalg.svd(x)
    n = s.shape[-1]
    others = np.stack([np.prod(np.delete(s, i, -1), -1) for i in range(n)], -1)
    phase = (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return phase.conj() * ((u * others[..., None, :]) @ vh)


COFACTOR = host("linalg.cofactor", lambda attrs, x: x, _cofactor_array)


def _cofactor_grad(g, input):
    """Of C = conj(d) B with d = det A and B = A⁻ᴴ: conj(d) (tr(GᴴB) B − B Gᴴ B)."""
    b = inv(input).mH
    trace = (g.conj() * b).sum((-2, -1), keepdim=True)
    return (det(input).conj()[..., None, None] * (trace * b - b @ g.mH @ b),)


@operator("linalg.det.cofactor", method=False, out=False, grad=_cofactor_grad, inputs=("input",))
def _cofactor(input):
    return call(COFACTOR, None, input)


@operator("linalg.det", method=("det",), grad=dict(A=lambda g, A: g[..., None, None] * _cofactor(A)), inputs=("A",))
def det(A):
    return call(DET, None, matrices("linalg.det", A, True))


also("det", det)


def _slogdet_grad(g, A, out):
    gs, gl = g
    if gs is None and gl is None:
        return (None,)
    inverse_h = inv(A).mH
    if A.dtype.kind != "c":
        return (None if gl is None else gl[..., None, None] * inverse_h,)
    weight = gl.to(A.dtype) if gl is not None else None
    if gs is not None:
        turn = (gs.conj() * out[0]).imag * -1j
        weight = turn if weight is None else weight + turn
    return (weight[..., None, None] * inverse_h,)  # pyright: ignore[reportOptionalSubscript]


SLogDet = namedtuple("slogdet", ["sign", "logabsdet"])


@operator("linalg.slogdet", method=("slogdet",), grad=_slogdet_grad, inputs=("A",))
def slogdet(A):
    """(sign, log |det|), which neither overflow nor underflow."""
    return SLogDet(*calls(SLOGDET, None, matrices("linalg.slogdet", A, True)))


also("slogdet", slogdet)


@operator(out=False)
def logdet(input):
    sign, size = slogdet(matrices("logdet", input, True, "input"))
    return sign.log() + size


# -- least squares -------------------------------------------------------------------------------------------------------


def _lstsq_array(attrs, a, b):
    """(solution, rank, singular values) of each problem, by numpy's gelsd."""
    (cutoff,) = attrs
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, n = a.shape[-2:]
    k = b.shape[-1]
    x = np.zeros((*batch, n, k), b.dtype)
    rank, values = np.zeros(batch, np.int64), np.zeros((*batch, min(m, n)), a.real.dtype)
    aa, bb = np.broadcast_to(a, (*batch, m, n)), np.broadcast_to(b, (*batch, m, k))
    for at in np.ndindex(*batch):
        if m and n:
            if not np.isfinite(aa[at]).all():  # LAPACK may not come to an end
                raise LinAlgError("torch.linalg.lstsq: The least squares solution could not be computed because the input "
                                  "matrix has NaN or inf")
            x[at], _, rank[at], s = np.linalg.lstsq(aa[at], bb[at], rcond=cutoff)
            values[at] = s
    return x, rank, values


def _infer_lstsq(attrs, a: Type, b: Type):
    batch = _solve_batch(a, b)
    m, n = a.shape[-2:]
    return (type_of((*batch, n, b.shape[-1]), b.dtype), type_of(batch, int64), type_of((*batch, min(m, n)), a.dtype.to_real()))


LSTSQ = host("linalg.lstsq", _infer_lstsq, _lstsq_array)
LeastSquares = namedtuple("lstsq", ["solution", "residuals", "rank", "singular_values"])


def _lstsq_grad(g, A, B):
    g = g[0] if isinstance(g, tuple) else g
    if g is None:
        return None, None
    p = pinv(A)
    gb = p.mH @ g
    ga = _pinv_grad(g @ B.mH, A, p)[0]
    from ..autograd.tape import sum_to
    return sum_to(ga, A.shape), sum_to(gb, B.shape)


@operator("linalg.lstsq.solution", method=False, out=False, grad=_lstsq_grad, inputs=("A", "B"))
def _lstsq(A, B, cutoff):
    return tuple(calls(LSTSQ, (cutoff,), A, B, columns=(0,)))


@operator("linalg.lstsq", method=False)
def lstsq(A, B, rcond=None, *, driver=None):
    """The least-squares solution of minimal norm of A X = B, with residuals, rank and, for gelsd and gelss, singular
    values."""
    name = "torch.linalg.lstsq"
    A = matrices(name, A)
    driver = "gelsy" if driver is None else driver
    if driver not in ("gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), but got {driver!r}")
    _same_dtype(name, A, B)
    if not B.dim():
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    if not 0 <= A.dim() - B.dim() <= 1:
        raise RuntimeError(f"{name}: input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1, got "
                           f"{A.dim()} and {B.dim()}")
    vector = _is_vector(A, B)
    b = B.unsqueeze(-1) if vector else B
    m, n = A.shape[-2:]
    if b.shape[-2] != m:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size({-1 if vector else -2}): got {m} and {b.shape[-2]}")
    cutoff = float(np.finfo(A.dtype.to_real().numpy).eps) * max(m, n) if rcond is None else float(rcond)
    x, rank, values = _lstsq(A, b, cutoff)
    residuals = A.reshape(-1)[:0].abs()  # empty, on the tape
    if m > n and driver in ("gelss", "gelsd"):
        if bool((rank.detach() == n).all()):
            residuals = _squares(A @ x - b).sum(-2)
    elif m > n and driver == "gels":
        residuals = _squares(A @ x - b).sum(-2)
    if m > n:  # in the place of B, as LAPACK leaves it
        below = x.new_zeros((*x.shape[:-2], m - n, x.shape[-1]))
        x = by_columns(cat([x, below], -2)).narrow(-2, 0, n)
    x = x.squeeze(-1) if vector else x
    empty = A.new_empty(0, dtype=int64)
    return LeastSquares(x, residuals, rank if driver != "gels" else empty,
                        values.detach() if driver in ("gelsd", "gelss") else A.new_empty(0, dtype=A.dtype.to_real()))


def _squares(x: Tensor) -> Tensor:
    return x.real * x.real + x.imag * x.imag if x.dtype.kind == "c" else x * x


# -- rank, pseudo-inverse ------------------------------------------------------------------------------------------------


def _tolerance(name: str, A: Tensor, top: Tensor, atol, rtol) -> Tensor:
    """max(atol, rtol · largest singular value), shaped like the batch; rtol defaults to eps · max(m, n) without atol."""
    real = A.dtype.to_real()
    eps = float(np.finfo(real.numpy).eps) * max(A.shape[-2:])
    for what, x in (("atol", atol), ("rtol", rtol)):
        if isinstance(x, Tensor) and x.dtype.kind == "c":
            raise RuntimeError(f"torch.{name}: {what} tensor of complex type is not supported. Got {x.dtype}")

    def number(x) -> Tensor:
        return x if isinstance(x, Tensor) else top.new_full((), float(x))
    absolute = number(0.0 if atol is None else atol)
    if rtol is None:
        relative = number(eps)
        if isinstance(atol, Tensor):
            relative = ew.where(atol > 0, relative * 0, relative)
        elif atol is not None and atol > 0:
            relative = number(0.0)
    else:
        relative = number(rtol)
    return ew.maximum(absolute.to(real), relative.to(real) * top)


def _spectrum(A: Tensor, hermitian: bool) -> Tensor:
    return eigvalsh(A).abs() if hermitian else svdvals(A)


@operator("linalg.matrix_rank", method=False, differentiable=False)
def matrix_rank(A, *, atol=None, rtol=None, hermitian=False, tol=None):
    """How many singular values exceed max(atol, rtol · the largest)."""
    A = matrices("linalg.matrix_rank", A.detach(), hermitian)
    if tol is not None:
        atol, rtol = tol, 0.0
    s = _spectrum(A, hermitian)
    if not s.shape[-1]:
        return A.new_zeros(A.shape[:-2], dtype=int64)
    bound = _tolerance("linalg.matrix_rank", A, amax(s, -1), atol, rtol)
    return (s > bound.unsqueeze(-1)).sum(-1)


def _pinv_grad(g, A, out):
    """Golub & Pereyra (1973)."""
    p, ph = out, out.mH
    m, n = A.shape[-2:]
    left = identity(A, m) - A @ p
    right = identity(A, n) - p @ A
    return (-(ph @ g @ ph) + left @ g.mH @ p @ ph + ph @ p @ g.mH @ right,)


@operator("linalg.pinv", method=False, grad=_pinv_grad, inputs=("A",))
def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None):
    """The Moore–Penrose inverse; singular values up to max(atol, rtol · the largest) count as zero."""
    A = matrices("linalg.pinv", A, hermitian)
    rtol = rcond if rcond is not None else rtol
    if 0 in A.shape:
        return A.new_empty([*A.shape[:-2], A.shape[-1], A.shape[-2]])
    if hermitian:
        values, v = eigh(A)
        size = values.abs()
        bound = _tolerance("linalg.pinv", A, amax(size, -1), atol, rtol).unsqueeze(-1)
        inverse = ew.where(size > bound, 1 / ew.where(size > bound, values, values.new_ones(())), values.new_zeros(()))
        return (v * inverse.unsqueeze(-2).to(v.dtype)) @ v.mH
    u, s, vh = linalg_svd(A, False)
    bound = _tolerance("linalg.pinv", A, amax(s, -1), atol, rtol).unsqueeze(-1)
    inverse = ew.where(s > bound, 1 / ew.where(s > bound, s, s.new_ones(())), s.new_zeros(()))
    return (vh.mH * inverse.unsqueeze(-2).to(vh.dtype)) @ u.mH


@operator("pinverse", out=False)
def pinverse(input, rcond=1e-15):
    return pinv(input, rtol=rcond)


# -- norms ---------------------------------------------------------------------------------------------------------------


@operator("linalg.matrix_norm", method=False)
def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    """Frobenius ("fro"), nuclear ("nuc"), spectral (±2), and the largest or smallest row (±inf) or column (±1) sums."""
    if A.dim() < 2:
        raise RuntimeError(f"linalg.matrix_norm: The input tensor A must have at least 2 dimensions, got size {list(A.shape)}.")
    if A.dtype.kind not in "fc":
        raise RuntimeError(f"linalg.matrix_norm: Expected a floating point or complex tensor as input. Got {_long_name(A.dtype)}")
    dims = [wrap_dim(d, A.dim()) for d in dim]
    if len(dims) != 2 or dims[0] == dims[1]:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple of different dimensions. Got {tuple(dim)}")
    if dtype is not None:
        A = A.to(dtype)
    if ord == "fro":
        return vector_norm(A, 2, dims, keepdim)
    if ord == "nuc" or ord in (2, -2):
        x = A.movedim(dims, (-2, -1))
        s = svdvals(x)
        out = s.sum(-1) if ord == "nuc" or not s.shape[-1] and ord == 2 else (amax if ord == 2 else amin)(s, -1)
        return out.reshape([1 if d in dims else n for d, n in enumerate(A.shape)]) if keepdim else out
    if ord not in (1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    along, across = dims if ord in (1, -1) else dims[::-1]
    sums = vector_norm(A, 1, along, True)
    out = sums.sum(across, True) if not A.shape[across] and ord > 0 else (amax if ord > 0 else amin)(sums, across, True)
    return out if keepdim else out.squeeze(dims)


@operator("linalg.norm", method=False)
def linalg_norm(A, ord=None, dim=None, keepdim=False, *, dtype=None):
    """The norm of a vector or a matrix, by the number of dimensions (that ``dim`` names)."""
    if dim is not None:
        dims = [dim] if isinstance(dim, int) else list(dim)
        if len(dims) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {dims}")
    elif ord is not None and A.dim() not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                           f"{A.dim()}D.")
    else:
        dims = None
    if ord is not None and ((dims is not None and len(dims) == 2) or (dims is None and A.dim() == 2)):
        return matrix_norm(A, ord, dims if dims is not None else (0, 1), keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: Order {ord} not supported for vectors.")
    return vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype)


@operator("linalg.cond", method=False)
def cond(A, p=None):
    """The condition number ‖A‖ · ‖A⁻¹‖ in a matrix norm (2 by default)."""
    A = matrices("linalg.cond", A)
    if p is None or p in (2, -2):
        if 0 in A.shape[-2:]:
            return A.new_zeros(A.shape[:-2], dtype=A.dtype.to_real())
        s = svdvals(A)
        high, low = s[..., 0], s[..., -1]
        return low / high if p == -2 else high / low
    matrices("linalg.cond", A, True)
    if not A.numel():
        return A.new_zeros(A.shape[:-2], dtype=A.dtype.to_real())
    inverse, info = inv_ex(A)
    out = matrix_norm(A, p) * matrix_norm(inverse, p)
    return ew.where(info == 0, out, out.new_full((), math.inf))


@operator(out=False)
def frobenius_norm(input, dim=(), keepdim=False):
    return vector_norm(input, 2, list(dim) if not isinstance(dim, int) else [dim], keepdim)


@operator(out=False)
def nuclear_norm(input, dim=(-2, -1), keepdim=False):
    return matrix_norm(input, "nuc", dim, keepdim)


# -- products ------------------------------------------------------------------------------------------------------------


@operator("linalg.matmul", method=False)
def linalg_matmul(input, other):
    return matmul(input, other)


@operator("linalg.vecdot", method=False)
def vecdot(x, y, *, dim=-1):
    if x.dtype.kind not in "fc":
        raise RuntimeError(f"linalg.vecdot: Expected a floating point or complex tensor as input. Got {_long_name(x.dtype)}")
    _same_dtype("linalg.vecdot", x, y)
    if x.dim() == y.dim() == 1 and x.shape != y.shape:
        raise RuntimeError(f"inconsistent tensor size, expected tensor {list(x.shape)} and src {list(y.shape)} to have the same "
                           f"number of elements")
    return (x.conj() * y).sum(dim)


def _chain_order(sizes: list[int]) -> list[list[int]]:
    """Where to split each product of a chain for the fewest multiplications (Cormen et al., §15.2)."""
    n = len(sizes) - 1
    cost = [[0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for span in range(1, n):
        for i in range(n - span):
            j = i + span
            cost[i][j], split[i][j] = min((cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                                          for k in range(i, j))
    return split


@operator("linalg.multi_dot", method=False)
def multi_dot(tensors):
    """The product of two or more matrices (the first and last may be vectors), in the cheapest order."""
    xs = list(tensors)
    if len(xs) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(xs)}")
    for i, x in enumerate(xs):
        ends = i in (0, len(xs) - 1)
        if x.dim() != 2 and not (ends and x.dim() == 1):
            raise RuntimeError(f"multi_dot(): tensor {i} must be {'1D or 2D' if ends else '2D'} but got {x.dim()}D")
    first, last = xs[0].dim() == 1, xs[-1].dim() == 1
    if first and last and len(xs) == 2:
        return dot(*xs)
    xs[0] = xs[0].unsqueeze(0) if first else xs[0]
    xs[-1] = xs[-1].unsqueeze(1) if last else xs[-1]
    for i, (a, b) in enumerate(pairwise(xs)):
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a.shape)} and {list(b.shape)} cannot be "
                               f"multiplied")
    split = _chain_order([xs[0].shape[0], *[x.shape[1] for x in xs]])

    def product(i: int, j: int) -> Tensor:
        return xs[i] if i == j else matmul(product(i, split[i][j]), product(split[i][j] + 1, j))
    out = product(0, len(xs) - 1)
    out = out.squeeze(0) if first else out
    return out.squeeze(-1) if last else out


@operator("chain_matmul", method=False)
def chain_matmul(*matrices):
    xs = list(matrices[0]) if len(matrices) == 1 and isinstance(matrices[0], (tuple, list)) else list(matrices)
    return xs[0] if len(xs) == 1 else multi_dot(xs)


@operator("linalg.matrix_power", method=("matrix_power",))
def matrix_power(A, n):
    """A to an integer power, by squaring; of the inverse for a negative one."""
    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"linalg.matrix_power: A must be batches of square matrices, but they are of size {list(A.shape)}")
    if n == 0:
        return ew.where(A.new_zeros((), dtype=bool_), A, identity(A))  # on the tape, with no gradient
    base = inv(A) if n < 0 else A
    n, out = abs(n), None
    while n:
        if n & 1:
            out = base if out is None else out @ base
        n >>= 1
        if n:
            base = base @ base
    return out.clone() if out is A else out


also("matrix_power", matrix_power)

_PADE = (64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0, 10559470521600.0,
         670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0)


def _expm_array(attrs, x):
    """Scaling and squaring around the Padé approximant of order 13 (Higham, "The scaling and squaring method for the
    matrix exponential revisited", 2005)."""
    if 0 in x.shape:
        return x
    a = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    norm = np.abs(a).sum(-2).max(-1)
    with np.errstate(divide="ignore"):
        steps = np.maximum(0, np.ceil(np.log2(np.where(np.isfinite(norm) & (norm > 0), norm, 1) / 5.371920351148152))).astype(int)
    a = a / (2.0 ** steps)[..., None, None]
    eye = np.eye(a.shape[-1])
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    b = _PADE
    u = a @ (a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * eye)
    v = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * eye
    finite = np.isfinite(a).all((-2, -1), keepdims=True)
    r = np.linalg.solve(np.where(finite, v - u, eye), np.where(finite, v + u, np.nan))
    for k in range(int(steps.max()) if steps.size else 0):
        r = np.where((steps > k)[..., None, None], r @ r, r)
    return r.astype(x.dtype)


EXPM = host("linalg.matrix_exp", lambda attrs, x: x, _expm_array)


def _expm_grad(g, A):
    """The derivative at Aᴴ in the direction g: the corner of exp([[Aᴴ, g], [0, Aᴴ]]) (Al-Mohy & Higham, 2009)."""
    a, n = A.mH, A.shape[-1]
    block = cat([cat([a, g], -1), cat([a.new_zeros(a.shape), a], -1)], -2)
    return (matrix_exp(block)[..., :n, n:],)


@operator("linalg.matrix_exp", method=("matrix_exp",), out=False, grad=_expm_grad, inputs=("A",))
def matrix_exp(A):
    """The matrix exponential Σ Aᵏ/k!."""
    if A.dtype in (dtypes.float16, dtypes.bfloat16):
        return matrix_exp(A.to(dtypes.float32)).to(A.dtype)
    return call(EXPM, None, matrices("linalg.matrix_exp", A, True))


also("matrix_exp", matrix_exp)


@operator("linalg.diagonal", method=False, out=False)
def linalg_diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    return A.diagonal(offset, dim1, dim2)


@operator("linalg.vander", method=False, out=False, takes="uiwc")
def linalg_vander(x, *, N=None):
    """The Vandermonde matrix 1, x, x², …"""
    if x.dtype is bool_:
        raise RuntimeError("linalg.vander: not implemented for 'Bool'")
    if not x.dim():
        x = x.reshape(1)
    n = x.shape[-1] if N is None else N
    if N is not None and N <= 0:
        raise RuntimeError(f"N must be greater than 0, got {N}.")
    if n <= 1:
        raise RuntimeError(f"N must be greater than 1, got {n} for a vector of {list(x.shape)}")
    x = x if x.dtype.kind in "fc" else x.to(int64)
    columns = [x.new_ones(x.shape)]
    for _ in range(n - 1):
        columns.append(columns[-1] * x)
    return stack(columns, -1)


@operator("vander", method=False, out=False)
def vander(x, N=None, increasing=False):
    """The Vandermonde matrix of a vector, highest power first unless ``increasing``."""
    if x.dim() != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.shape[0] if N is None else N
    if n == 0:
        return x.new_ones((x.shape[0], 0))
    out = linalg_vander(x, N=n)
    return out if increasing else out.flip(-1)

