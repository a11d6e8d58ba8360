"""Matrix factorisations: LAPACK's through numpy, the others built on it, each with its gradient.

Gradients follow the matrix calculus that PyTorch documents, written with tensor operations so that they differentiate
again: M. Giles, "Collected matrix derivative results" (2008); Seeger et al., "Auto-differentiating linear algebra"
(2017); J. Townsend, "Differentiating the singular value decomposition" (2016). A gradient exists where the factors are
differentiable: distinct eigenvalues or singular values, full rank.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable

import numpy as np

from .. import dtypes, engine
from ..dtypes import int32, int64
from ..graph import Type, primitive, type_of
from ..tensor import Tensor, from_node, strided_from_node
from .compose import also
from .creation import arange, eye
from .record import _long_name, operator
from .shape import diag_embed, tril, triu
from .sort import pick_outputs


class LinAlgError(RuntimeError):
    """A matrix does not have what was asked for: it is singular, not positive definite, or an iteration diverged."""


# -- what all of them share --------------------------------------------------------------------------------------------


def host(name: str, infer: Callable, interpret: Callable, faults: bool = False):
    """A primitive that numpy computes; numpy's errors of linear algebra become ours."""
    def run(attrs, *arrays):
        try:
            return interpret(attrs, *arrays)
        except np.linalg.LinAlgError as error:
            raise LinAlgError(f"{name}: {error}") from None
    return primitive(name, "host", infer, interpret=run, faults=faults)


def call(op, attrs, *tensors: Tensor, columns: bool = False) -> Tensor:
    """Records a primitive; ``columns``: the result lies in memory by columns, as LAPACK leaves it."""
    node = engine.record(op, tuple(x._value() for x in tensors), attrs)
    return _by_columns(node) if columns else from_node(node)


def calls(op, attrs, *tensors: Tensor, columns: tuple[int, ...] = ()) -> list[Tensor]:
    """As ``call``, for a primitive of several outputs; ``columns`` numbers those that lie in memory by columns."""
    nodes = pick_outputs(engine.record(op, tuple(x._value() for x in tensors), attrs))
    return [_by_columns(n) if i in columns else from_node(n) for i, n in enumerate(nodes)]


def _by_columns(node) -> Tensor:
    rank = len(node.type.shape)
    return strided_from_node(node, (*range(rank - 2), rank - 1, rank - 2))


def by_columns(x: Tensor) -> Tensor:
    """The same matrices, lying in memory by columns."""
    return x.mT.contiguous().mT


def matrices(name: str, x: Tensor, square: bool = False, argument: str = "A") -> Tensor:
    """Checks that ``x`` is a (batch of) matrix of a type that LAPACK has."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(x).__name__}")
    if x.dtype.kind not in "fc":
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {_long_name(x.dtype)}")
    if x.dtype.itemsize == 2:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {_long_name(x.dtype)}")
    if x.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions, got size {list(x.shape)}.")
    if square and x.shape[-1] != x.shape[-2]:
        raise RuntimeError(f"{name}: {argument} must be batches of square matrices, but they are {x.shape[-2]} by "
                           f"{x.shape[-1]} matrices")
    return x


def identity(like: Tensor, n: int | None = None) -> Tensor:
    return eye(like.shape[-1] if n is None else n, dtype=like.dtype)


def _real(t: Type) -> dtypes.dtype:
    return t.dtype.to_real()


def _each(x: np.ndarray, rank: int = 2) -> np.ndarray:
    """The batch dimensions as one."""
    return x.reshape(math.prod(x.shape[:x.ndim - rank]), *x.shape[x.ndim - rank:])


def _batch_message(info: np.ndarray) -> tuple[str, int]:
    """Where the first failure is, as PyTorch says it, and its code."""
    at = int(np.flatnonzero(info.reshape(-1))[0])
    return (f"(Batch element {at}): " if info.ndim else ""), int(info.reshape(-1)[at])


# -- LU ----------------------------------------------------------------------------------------------------------------


def lu_array(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LU with partial pivoting, as LAPACK's getrf: (packed factors, 1-based row swaps, info)."""
    m, n = x.shape[-2:]
    k = min(m, n)
    a = _each(x).copy()
    rows = np.arange(len(a))
    pivots, info = np.empty((len(a), k), np.int32), np.zeros(len(a), np.int32)
    for j in range(k):
        column = a[:, j:, j]
        size = np.abs(column.real) + np.abs(column.imag) if a.dtype.kind == "c" else np.abs(column)
        p = size.argmax(1) + j
        pivots[:, j] = p + 1
        a[rows, j], a[rows, p] = a[rows, p], a[rows, j]
        pivot = a[:, j, j]
        info[(pivot == 0) & (info == 0)] = j + 1
        factor = a[:, j + 1:, j] / np.where(pivot == 0, 1, pivot)[:, None]
        a[:, j + 1:, j] = factor
        a[:, j + 1:, j + 1:] -= factor[:, :, None] * a[:, j, None, j + 1:]
    return a.reshape(x.shape), pivots.reshape(*x.shape[:-2], k), info.reshape(x.shape[:-2])


def _infer_lu(attrs, x: Type):
    *batch, m, n = x.shape
    return x, type_of((*batch, min(m, n)), int32), type_of(batch, int32)


def _refusing(name: str, interpret: Callable) -> Callable:
    """``interpret``, whose last result counts zero pivots from 1; it raises where there is one."""
    def run(attrs, x):
        out = interpret(attrs, x)
        code = int(np.max(out[-1], initial=0))
        if code:
            raise LinAlgError(f"{name}: the diagonal element {code} of the factor is zero, so that solving with it divides by "
                              f"zero; {name}_ex gives the factors nevertheless.")
        return out
    return run


LU = host("linalg.lu_factor_ex", _infer_lu, lambda attrs, x: lu_array(x))
LU_CHECKED = host("linalg.lu_factor", _infer_lu, _refusing("linalg.lu_factor", lambda attrs, x: lu_array(x)), faults=True)


def _interpret_permutation(m, pivots):
    """Row swaps as a permutation: row i of the product is row perm[i] of the input."""
    if pivots.size and not 1 <= pivots.min() <= pivots.max() <= m:
        raise RuntimeError(f"pivots must be between 1 and {m}, the number of rows, inclusive, got {pivots.min()} to {pivots.max()}")
    out = np.tile(np.arange(m), (int(np.prod(pivots.shape[:-1])), 1))
    rows = np.arange(len(out))
    for j, swaps in enumerate(_each(pivots, 1).T):
        out[rows, j], out[rows, swaps - 1] = out[rows, swaps - 1], out[rows, j]
    return out.reshape(*pivots.shape[:-1], m)


PERMUTATION = host("linalg.permutation", lambda m, p: type_of((*p.shape[:-1], m), int64), _interpret_permutation)


def permutation_matrix(pivots: Tensor, m: int, dtype) -> Tensor:
    """The P of A = P L U."""
    order = call(PERMUTATION, m, pivots.detach())
    return (order.unsqueeze(-2) == arange(m).unsqueeze(-1)).to(dtype)


def _lu_grad(g, out):
    g = g[0]
    if g is None:
        return (None,)
    lu, pivots = out[0], out[1].detach()
    m, n = lu.shape[-2:]
    k = min(m, n)
    p = permutation_matrix(pivots, m, lu.dtype)
    lower, upper = tril(lu, -1)[..., :k] + eye(m, k, dtype=lu.dtype), triu(lu)[..., :k, :]
    g_lower, g_upper = tril(g, -1)[..., :k], triu(g)[..., :k, :]
    square_l, square_u = lower[..., :k, :], upper[..., :k]
    gl, gu = g_lower[..., :k, :], g_upper[..., :k]
    from .linalg import solve_triangular
    rest = None
    if m < n:  # A = P L [U₁ U₂], and U₂ = L⁻¹ Pᵀ A₂
        rest = solve_triangular(square_l.mH, g_upper[..., k:], upper=True, unitriangular=True)
        gl = gl - rest @ upper[..., k:].mH
    elif m > n:  # A = P [L₁; L₂] U, and L₂ = A₂ U⁻¹
        rest = solve_triangular(square_u.mH, g_lower[..., k:, :], upper=False, left=False)
        gu = gu - lower[..., k:, :].mH @ rest
    inner = tril(square_l.mH @ gl, -1) + triu(gu @ square_u.mH)
    inner = solve_triangular(square_l.mH, inner, upper=True, unitriangular=True)
    inner = solve_triangular(square_u.mH, inner, upper=False, left=False)
    from .movement import cat
    if rest is not None:
        inner = cat([inner, rest], -1 if m < n else -2)
    return (p @ inner,)


LUFactor = namedtuple("lu_factor", ["LU", "pivots"])
LUFactorEx = namedtuple("lu_factor_ex", ["LU", "pivots", "info"])
PLU = namedtuple("lu", ["P", "L", "U"])


def _pivoting(name: str, pivot: bool) -> None:
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented on the CPU")


@operator("linalg.lu_factor_ex", method=False, grad=_lu_grad, inputs=("A",))
def lu_factor_ex(A, *, pivot=True, check_errors=False):
    """LU packed in one matrix, with LAPACK's pivots and, where a pivot is zero, its number in ``info``."""
    _pivoting("linalg.lu_factor", pivot)
    return LUFactorEx(*calls(LU, None, matrices("linalg.lu_factor", A), columns=(0,)))


@operator("linalg.lu_factor", method=False, grad=_lu_grad, inputs=("A",))
def lu_factor(A, *, pivot=True):
    """`lu_factor_ex` without ``info``; raises LinAlgError where a pivot is zero."""
    _pivoting("linalg.lu_factor", pivot)
    return LUFactor(*calls(LU_CHECKED, None, matrices("linalg.lu_factor", A), columns=(0,))[:2])


PLUnpacked = namedtuple("lu_unpack", ["P", "L", "U"])


@operator(method=False)
def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True):
    """(P, L, U) from packed factors; what is not asked for is empty."""
    if LU_data.dim() < 2:
        raise RuntimeError(f"torch.lu_unpack: LU_data must have at least 2 dimensions, got size {list(LU_data.shape)}")
    m, n = LU_data.shape[-2:]
    if LU_pivots.dtype is not int32:
        raise RuntimeError(f"torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype, got "
                           f"{LU_pivots.dtype}")
    k = min(m, n)
    if LU_pivots.shape != (*LU_data.shape[:-2], k):
        raise RuntimeError(f"torch.lu_unpack: LU_pivots is expected to be of size {[*LU_data.shape[:-2], k]} for LU_data of size "
                           f"{list(LU_data.shape)}, got {list(LU_pivots.shape)}")
    empty = LU_data.new_empty(0)
    p = permutation_matrix(LU_pivots, m, LU_data.dtype) if unpack_pivots else empty
    if not unpack_data:
        return PLUnpacked(p, empty, empty)
    return PLUnpacked(p, tril(LU_data[..., :k].contiguous(), -1) + eye(m, k, dtype=LU_data.dtype),
                      triu(LU_data[..., :k, :].contiguous()))


@operator("linalg.lu", method=False)
def linalg_lu(A, *, pivot=True):
    packed = lu_factor_ex(A, pivot=pivot)
    return PLU(*lu_unpack(packed[0], packed[1]))


@operator("lu", out=False)
def lu(A, pivot=True, get_infos=False):
    packed = lu_factor_ex(A, pivot=pivot)
    return tuple(packed) if get_infos else tuple(packed[:2])


# -- Cholesky ----------------------------------------------------------------------------------------------------------


def _cholesky_array(attrs, x):
    """The lower factor of the lower triangle, and the order of the first minor that is not positive (0: none)."""
    try:
        return np.linalg.cholesky(x), np.zeros(x.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        out, info = np.zeros_like(_each(x)), np.zeros(x.shape[:-2], np.int32)
        for i, a in enumerate(_each(x)):
            for j in range(len(a)):
                d = a[j, j].real - (np.abs(out[i, j, :j]) ** 2).sum()
                if not d > 0:
                    info.reshape(-1)[i] = j + 1
                    break
                out[i, j, j] = np.sqrt(d)
                out[i, j + 1:, j] = (a[j + 1:, j] - out[i, j + 1:, :j] @ out[i, j, :j].conj()) / out[i, j, j]
        return out.reshape(x.shape), info


CHOLESKY = host("linalg.cholesky_ex", lambda attrs, x: (x, type_of(x.shape[:-2], int32)), _cholesky_array)


def _must_factor(attrs, x):
    out, info = _cholesky_array(attrs, x)
    if info.any():
        where, code = _batch_message(info)
        raise LinAlgError(f"linalg.cholesky: {where}The factorization could not be completed because the input is not "
                          f"positive-definite (the leading minor of order {code} is not positive-definite).")
    return out


CHOLESKY_CHECKED = host("linalg.cholesky", lambda attrs, x: x, _must_factor, faults=True)


def _cholesky_grad(g, out, upper):
    from .linalg import solve_triangular
    g = g[0] if isinstance(g, tuple) else g
    if g is None:
        return (None,)
    lower = out[0] if isinstance(out, tuple) else out
    if upper:
        lower, g = lower.mH, g.mH
    inner = tril(lower.mH @ g)
    inner = (inner + tril(inner, -1).mH) * 0.5
    inner = solve_triangular(lower.mH, inner, upper=True)
    return (solve_triangular(lower, inner, upper=False, left=False),)


CholeskyEx = namedtuple("cholesky_ex", ["L", "info"])


@operator("linalg.cholesky", method=False, grad=_cholesky_grad, inputs=("A",))
def linalg_cholesky(A, *, upper=False):
    """L with A = L Lᴴ (or U with A = Uᴴ U); raises LinAlgError unless A is positive definite."""
    A = matrices("linalg.cholesky", A, True)
    out = call(CHOLESKY_CHECKED, None, A.mH if upper else A, columns=not upper)
    return out.mH if upper else out


@operator("linalg.cholesky_ex", method=False, grad=_cholesky_grad, inputs=("A",))
def cholesky_ex(A, *, upper=False, check_errors=False):
    if check_errors:
        out = linalg_cholesky(A, upper=upper)
        return CholeskyEx(out, arange(0, 1, dtype=int32).expand(A.shape[:-2]).clone())
    A = matrices("linalg.cholesky_ex", A, True)
    out, info = calls(CHOLESKY, None, A.mH if upper else A, columns=() if upper else (0,))
    return CholeskyEx(out.mH if upper else out, info)


@operator()
def cholesky(input, upper=False):
    return linalg_cholesky(input, upper=upper)


# -- QR ----------------------------------------------------------------------------------------------------------------


def _infer_qr(mode, x: Type):
    *batch, m, n = x.shape
    k = m if mode == "complete" else min(m, n)
    return type_of((*batch, m, k), x.dtype), type_of((*batch, k, n), x.dtype)


def _interpret_qr(mode, x):
    if 0 in x.shape:
        m, n = x.shape[-2:]
        k = m if mode == "complete" else min(m, n)
        q = np.broadcast_to(np.eye(m, k, dtype=x.dtype), (*x.shape[:-2], m, k))
        return q, np.zeros((*x.shape[:-2], k, n), x.dtype)
    return np.linalg.qr(x, mode)


QR = host("linalg.qr", _infer_qr, _interpret_qr)
QRResult = namedtuple("linalg_qr", ["Q", "R"])


def _qr_grad(g, A, out, mode):
    gq, gr = g
    q, r = out
    m, n = A.shape[-2:]
    if mode == "r":
        raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
                           "linalg.qr(A, mode='reduced') if you are going to require gradients.")
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")
    if gq is None and gr is None:
        return (None,)
    gq = q.new_zeros(q.shape) if gq is None else gq
    gr = r.new_zeros(r.shape) if gr is None else gr
    rest = None
    if m < n:  # A = Q [R₁ R₂], and R₂ = Qᴴ A₂
        rest = q @ gr[..., m:]
        gq = gq + A[..., m:] @ gr[..., m:].mH
        r, gr = r[..., :m], gr[..., :m]
    from .linalg import solve_triangular
    inner = triu(gr @ r.mH - q.mH @ gq)
    diagonal = inner.diagonal(0, -2, -1)
    inner = inner + inner.mH - diag_embed((diagonal.real if diagonal.dtype.kind == "c" else diagonal).to(inner.dtype))
    ga = solve_triangular(r.mH, gq + q @ inner, upper=False, left=False)
    if rest is not None:
        from .movement import cat
        ga = cat([ga, rest], -1)
    return (ga,)


@operator("linalg.qr", method=False, grad=_qr_grad, inputs=("A",))
def linalg_qr(A, mode="reduced"):
    """Q with orthonormal columns and upper triangular R; ``mode``: "reduced", "complete", or "r" (R alone)."""
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    q, r = calls(QR, "complete" if mode == "complete" else "reduced", matrices("linalg.qr", A), columns=(0, 1))
    return QRResult(q if mode != "r" else A.new_empty(0), r)


@operator()
def qr(input, some=True):
    return linalg_qr(input, "reduced" if some else "complete")


def _interpret_geqrf(attrs, x):
    k = min(x.shape[-2:])
    if 0 in x.shape:
        return x, np.zeros((*x.shape[:-2], k), x.dtype)
    h, tau = np.linalg.qr(x, "raw")
    return np.swapaxes(h, -1, -2), tau


GEQRF = host("geqrf", lambda attrs, x: (x, type_of((*x.shape[:-2], min(x.shape[-2:])), x.dtype)), _interpret_geqrf)
Geqrf = namedtuple("geqrf", ["a", "tau"])


@operator(differentiable=False)
def geqrf(input):
    """QR as LAPACK holds it: R above, reflectors below the diagonal, and their scales."""
    return Geqrf(*calls(GEQRF, None, matrices("geqrf", input.detach(), argument="input"), columns=(0,)))


def _reflectors(input: Tensor, tau: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(v, tau) of each Householder reflector 1 − tau·v·vᴴ, v as a column."""
    out = []
    m = input.shape[-2]
    for i in range(tau.shape[-1]):
        column = tril(input, -1)[..., i:i + 1] + (arange(m) == i).to(input.dtype).unsqueeze(-1)
        out.append((column, tau[..., i:i + 1].unsqueeze(-1)))
    return out


@operator("linalg.householder_product", method=False)
def householder_product(input, tau):
    """The first columns of the product of Householder reflectors, as geqrf gives them."""
    matrices("torch.linalg.householder_product", input, argument="input")
    m, n = input.shape[-2:]
    if tau.dtype is not input.dtype or tau.shape[:-1] != input.shape[:-2]:
        raise RuntimeError(f"torch.linalg.householder_product: expected tau of dtype {input.dtype} and batch "
                           f"{list(input.shape[:-2])}, got {tau.dtype} of size {list(tau.shape)}")
    if m < n:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if n < tau.shape[-1]:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    out = eye(m, n, dtype=input.dtype).expand([*input.shape[:-2], m, n])
    for v, t in reversed(_reflectors(input, tau)):
        out = out - t * v @ (v.mH @ out)
    return by_columns(out)


also("orgqr", householder_product)
Tensor.orgqr = householder_product  # type: ignore[attr-defined]


@operator()
def ormqr(input, tau, other, left=True, transpose=False):
    """The product of Householder reflectors (all of its columns) with ``other``, without forming it."""
    matrices("torch.ormqr", input, argument="input")
    matrices("torch.ormqr", other, argument="other")
    if tau.dtype is not input.dtype or other.dtype is not input.dtype or tau.shape[:-1] != input.shape[:-2]:
        raise RuntimeError(f"torch.ormqr: expected tau and other of dtype {input.dtype}, and tau of batch "
                           f"{list(input.shape[:-2])}, got {tau.dtype} of size {list(tau.shape)} and {other.dtype}")
    if other.shape[-2 if left else -1] != input.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{-2 if left else -1}] must be equal to input.shape[-2], got "
                           f"{other.shape[-2 if left else -1]} and {input.shape[-2]}")
    if tau.shape[-1] > min(input.shape[-2:]) or other.dim() != input.dim():
        raise RuntimeError(f"torch.ormqr: expected tau of at most {min(input.shape[-2:])} reflectors and other with "
                           f"as many dimensions as input, got tau {list(tau.shape)}, other {list(other.shape)} and input "
                           f"{list(input.shape)}")
    if not left:
        return by_columns(ormqr(input, tau, other.mH, True, not transpose).mH)
    reflectors = _reflectors(input, tau)
    out = other
    for v, t in reflectors if transpose else reversed(reflectors):
        out = out - (t.conj() if transpose else t) * v @ (v.mH @ out)
    return by_columns(out)


# -- eigenvalues -------------------------------------------------------------------------------------------------------


def _mirrored(x: np.ndarray, uplo: str) -> np.ndarray:
    """The Hermitian matrix that one triangle stands for."""
    part = np.tril(x, -1) if uplo == "L" else np.triu(x, 1)
    diagonal = np.einsum("...ii->...i", x).real
    return part + np.swapaxes(part, -1, -2).conj() + diagonal[..., None] * np.eye(x.shape[-1], dtype=diagonal.dtype)


def _infer_eigh(attrs, x: Type):
    return type_of(x.shape[:-1], _real(x)), x


EIGH = host("linalg.eigh", _infer_eigh, lambda uplo, x: np.linalg.eigh(_mirrored(x, uplo)))


def _gaps(values: Tensor) -> Tensor:
    """λⱼ − λᵢ, with 1 on the diagonal."""
    e = values.unsqueeze(-2) - values.unsqueeze(-1)
    return e + eye(values.shape[-1], dtype=values.dtype)


def _eigh_grad(g, out):
    gl, gv = g
    values, v = out
    if gv is None:
        return (None if gl is None else (v * gl.unsqueeze(-2).to(v.dtype)) @ v.mH,)
    inner = _skew(v.mH @ gv) * 0.5  # the directions that keep the vectors orthonormal: the gradient is Hermitian
    inner = (inner - diag_embed(inner.diagonal(0, -2, -1))) / _gaps(values)
    if gl is not None:
        inner = inner + diag_embed(gl.to(v.dtype))
    return (v @ inner @ v.mH,)


Eigh = namedtuple("linalg_eigh", ["eigenvalues", "eigenvectors"])


def _uplo(name: str, UPLO: str) -> str:
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper()


@operator("linalg.eigh", method=False, grad=_eigh_grad, inputs=("A",))
def eigh(A, UPLO="L"):
    """Eigenvalues, ascending, and orthonormal eigenvectors of a Hermitian matrix given by one triangle."""
    return Eigh(*calls(EIGH, _uplo("linalg.eigh", UPLO), matrices("linalg.eigh", A, True), columns=(1,)))


@operator("linalg.eigvalsh", method=False)
def eigvalsh(A, UPLO="L"):
    return eigh(A, UPLO)[0]


def _infer_eig(attrs, x: Type):
    c = x.dtype.to_complex()
    return type_of(x.shape[:-1], c), type_of(x.shape, c)


def _interpret_eig(attrs, x):
    if not np.isfinite(x).all():
        raise LinAlgError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    values, vectors = np.linalg.eig(x)
    c = np.complex64 if x.dtype in (np.float32, np.complex64) else np.complex128
    return values.astype(c), vectors.astype(c)


EIG = host("linalg.eig", _infer_eig, _interpret_eig, faults=True)


def _eig_grad(g, out):
    gl, gv = g
    values, v = out
    if gl is None and gv is None:
        return (None,)
    from .linalg import solve
    inner = None
    if gv is not None:
        vg = v.mH @ gv
        scale = vg.diagonal(0, -2, -1).real.to(v.dtype)
        inner = vg - (v.mH @ v) * scale.unsqueeze(-2)
        inner = (inner - diag_embed(inner.diagonal(0, -2, -1))) / _gaps(values).conj()
    if gl is not None:
        inner = diag_embed(gl) if inner is None else inner + diag_embed(gl)
    return (solve(v.mH, inner @ v.mH),)


Eig = namedtuple("linalg_eig", ["eigenvalues", "eigenvectors"])


@operator("linalg.eig", method=False, grad=_eig_grad, inputs=("A",))
def eig(A):
    """Eigenvalues and eigenvectors (columns of norm 1), complex."""
    return Eig(*calls(EIG, None, matrices("linalg.eig", A, True), columns=(1,)))


@operator("linalg.eigvals", method=False)
def eigvals(A):
    return eig(A)[0]


# -- singular values -----------------------------------------------------------------------------------------------------


def _infer_svd(full, x: Type):
    *batch, m, n = x.shape
    k = min(m, n)
    return (type_of((*batch, m, m if full else k), x.dtype), type_of((*batch, k), _real(x)),
            type_of((*batch, n if full else k, n), x.dtype))


def _interpret_svd(full, x):
    if 0 in x.shape:
        *batch, m, n = x.shape
        k = min(m, n)
        u = np.broadcast_to(np.eye(m, m if full else k, dtype=x.dtype), (*batch, m, m if full else k))
        v = np.broadcast_to(np.eye(n if full else k, n, dtype=x.dtype), (*batch, n if full else k, n))
        return u, np.zeros((*batch, k), x.real.dtype), v
    finite = np.isfinite(x).all((-2, -1))
    if finite.all():
        return np.linalg.svd(x, full_matrices=full)
    if np.isnan(x).any():
        raise LinAlgError("linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values.")
    u, s, v = np.linalg.svd(np.where(finite[..., None, None], x, 0), full_matrices=full)  # of infinities LAPACK may not come back
    return u, np.where(finite[..., None], s, np.nan).astype(s.dtype), v


SVD = host("linalg.svd", _infer_svd, _interpret_svd)
SVDResult = namedtuple("linalg_svd", ["U", "S", "Vh"])


def _skew(x: Tensor) -> Tensor:
    return x - x.mH


def _svd_grad(g, A, out):
    gu, gs, gvh = g
    if gu is None and gs is None and gvh is None:
        return (None,)
    u, s, vh = out
    m, n = A.shape[-2:]
    k = min(m, n)
    u, vh = u[..., :k], vh[..., :k, :]
    gu, gvh = (x if x is None else x[..., :k] if x is gu else x[..., :k, :] for x in (gu, gvh))
    if gu is None and gvh is None:
        return ((u * gs.to(u.dtype).unsqueeze(-2)) @ vh,)
    e = (s.unsqueeze(-2) - s.unsqueeze(-1)) * (s.unsqueeze(-2) + s.unsqueeze(-1)) + eye(k, dtype=s.dtype)
    inner = None
    if gu is not None:
        ug = _skew(u.mH @ gu)
        inner = ug / e * s.unsqueeze(-2)
        if u.dtype.kind == "c" and gvh is not None:  # the phase that both factors share
            diagonal = ug.diagonal(0, -2, -1)
            inner = inner - diag_embed(inner.diagonal(0, -2, -1)) + diag_embed(diagonal / (s * 2))
    if gvh is not None:
        vg = _skew(vh @ gvh.mH)
        vg = vg - diag_embed(vg.diagonal(0, -2, -1))
        part = vg / e * s.unsqueeze(-1)
        inner = part if inner is None else inner + part
    if gs is not None:
        inner = inner + diag_embed(gs.to(inner.dtype))
    ga = u @ inner @ vh
    if m > k and gu is not None:
        scaled = gu / s.unsqueeze(-2)
        ga = ga + (scaled - u @ (u.mH @ scaled)) @ vh
    if n > k and gvh is not None:
        scaled = gvh / s.unsqueeze(-1)
        ga = ga + u @ (scaled - (scaled @ vh.mH) @ vh)
    return (ga,)


@operator("linalg.svd", method=False, grad=_svd_grad, inputs=("A",))
def linalg_svd(A, full_matrices=True, *, driver=None):
    """U, S, Vh with A = U diag(S) Vh, S descending."""
    if driver is not None:
        raise RuntimeError("torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.")
    return SVDResult(*calls(SVD, bool(full_matrices), matrices("linalg.svd", A), columns=(0, 2)))


@operator("linalg.svdvals", method=False)
def svdvals(A, *, driver=None):
    return linalg_svd(A, False, driver=driver)[1]


LegacySVD = namedtuple("svd", ["U", "S", "V"])


@operator()
def svd(input, some=True, compute_uv=True):
    """U, S, V with input = U diag(S) Vᴴ (`linalg.svd` with V instead of Vᴴ); U and V are zeros without ``compute_uv``."""
    u, s, vh = linalg_svd(input, not some)
    if not compute_uv:
        m, n = input.shape[-2:]
        return LegacySVD(input.new_zeros([*input.shape[:-2], m, m]), s, input.new_zeros([*input.shape[:-2], n, n]))
    return LegacySVD(u, s, vh.mH)


# -- LDL ---------------------------------------------------------------------------------------------------------------


def _ldl_one(a: np.ndarray, hermitian: bool, pivots: np.ndarray) -> int:
    """Bunch–Kaufman on the lower triangle, in place, as LAPACK's sytf2 and hetf2; returns info."""
    n, alpha, info, k = len(a), (1 + 17 ** 0.5) / 8, 0, 0
    flip = np.conj if hermitian else (lambda x: x)
    while k < n:
        step, p = 1, k
        size = abs(a[k, k].real) if hermitian else abs(a[k, k])
        worst = k + 1 + int(np.abs(a[k + 1:, k]).argmax()) if k + 1 < n else k
        most = abs(a[worst, k]) if k + 1 < n else 0
        if max(size, most) == 0:
            info = info or k + 1
            pivots[k] = k + 1
            k += 1
            continue
        if size < alpha * most:
            row = max(np.abs(a[worst, k:worst]).max(), np.abs(a[worst + 1:, worst]).max() if worst + 1 < n else 0)
            if size < alpha * most * (most / row):
                p = worst
                if abs(a[worst, worst]) < alpha * row:
                    step = 2
        q = k + step - 1
        if p != q:  # swap rows and columns q and p of the trailing matrix
            a[p + 1:, [q, p]] = a[p + 1:, [p, q]]
            column, row_p = a[q + 1:p, q].copy(), a[p, q + 1:p].copy()
            a[q + 1:p, q], a[p, q + 1:p] = flip(row_p), flip(column)
            a[p, q] = flip(a[p, q])
            a[q, q], a[p, p] = a[p, p], a[q, q]
            if step == 2:
                a[q, k], a[p, k] = a[p, k], a[q, k]
        if step == 1:
            below = a[k + 1:, k] / a[k, k]
            a[k + 1:, k + 1:] -= np.tril(np.outer(below, flip(a[k + 1:, k])))
            a[k + 1:, k] = below
            pivots[k] = p + 1
        else:
            d = np.array([[a[k, k], flip(a[k + 1, k])], [a[k + 1, k], a[k + 1, k + 1]]])
            columns = a[k + 2:, k:k + 2].copy()
            below = columns @ np.linalg.inv(d)
            a[k + 2:, k + 2:] -= np.tril(below @ flip(columns).T)
            a[k + 2:, k:k + 2] = below
            pivots[k] = pivots[k + 1] = -(p + 1)
        k += step
    return info


def _interpret_ldl(hermitian, x):
    out = np.tril(_each(x)).copy()
    pivots, info = np.zeros((len(out), x.shape[-1]), np.int32), np.zeros(len(out), np.int32)
    for i, a in enumerate(out):
        info[i] = _ldl_one(a, hermitian and x.dtype.kind == "c", pivots[i])
    return out.reshape(x.shape), pivots.reshape(x.shape[:-1]), info.reshape(x.shape[:-2])


def _infer_ldl(attrs, x: Type) -> tuple[Type, Type, Type]:
    return x, type_of(x.shape[:-1], int32), type_of(x.shape[:-2], int32)


LDL = host("linalg.ldl_factor_ex", _infer_ldl, _interpret_ldl)
LDL_CHECKED = host("linalg.ldl_factor", _infer_ldl, _refusing("linalg.ldl_factor", _interpret_ldl), faults=True)
LDLFactor = namedtuple("ldl_factor", ["LD", "pivots"])
LDLFactorEx = namedtuple("ldl_factor_ex", ["LD", "pivots", "info"])


@operator("linalg.ldl_factor_ex", method=False, differentiable=False)
def ldl_factor_ex(A, *, hermitian=False, check_errors=False):
    """The Bunch–Kaufman factors of a symmetric or Hermitian matrix, packed as LAPACK packs them."""
    return LDLFactorEx(*calls(LDL, bool(hermitian), matrices("torch.linalg.ldl_factor_ex", A.detach(), True), columns=(0,)))


@operator("linalg.ldl_factor", method=False, differentiable=False)
def ldl_factor(A, *, hermitian=False):
    """`ldl_factor_ex` without ``info``; raises LinAlgError where a pivot is zero."""
    packed = calls(LDL_CHECKED, bool(hermitian), matrices("torch.linalg.ldl_factor", A.detach(), True), columns=(0,))
    return LDLFactor(*packed[:2])


def _interpret_ldl_solve(hermitian, ld, pivots, b):
    hermitian = hermitian and ld.dtype.kind == "c"
    batch = np.broadcast_shapes(ld.shape[:-2], b.shape[:-2])
    n = ld.shape[-1]
    out = np.broadcast_to(b, (*batch, *b.shape[-2:])).astype(b.dtype)
    lds, ps = np.broadcast_to(ld, (*batch, n, n)), np.broadcast_to(pivots, (*batch, n))
    flip = np.conj if hermitian else (lambda x: x)
    for at in np.ndindex(*batch):
        a, p, x = lds[at], ps[at], out[at]
        blocks, k = [], 0
        while k < n:
            step = 2 if p[k] < 0 else 1
            blocks.append((k, step))
            k += step
        for k, step in blocks:
            q, r = k + step - 1, abs(int(p[k])) - 1
            x[[q, r]] = x[[r, q]]
            x[k + step:] -= a[k + step:, k:k + step] @ x[k:k + step]
        for k, step in blocks:
            d = a[k:k + step, k:k + step]
            d = d if step == 1 else np.array([[d[0, 0], flip(d[1, 0])], [d[1, 0], d[1, 1]]])
            x[k:k + step] = np.linalg.solve(d, x[k:k + step])
        for k, step in reversed(blocks):
            x[k:k + step] -= flip(a[k + step:, k:k + step]).T @ x[k + step:]
            q, r = k + step - 1, abs(int(p[k])) - 1
            x[[q, r]] = x[[r, q]]
    return out


LDL_SOLVE = host("linalg.ldl_solve", lambda attrs, ld, p, b: type_of(
    (*np.broadcast_shapes(ld.shape[:-2], b.shape[:-2]), *b.shape[-2:]), b.dtype), _interpret_ldl_solve)


@operator("linalg.ldl_solve", method=False, differentiable=False)
def ldl_solve(LD, pivots, B, *, hermitian=False):
    """Solves A X = B from the factors of `ldl_factor`."""
    matrices("torch.linalg.ldl_solve", B, argument="B")
    if LD.dtype is not B.dtype or pivots.dtype is not int32 or pivots.shape != LD.shape[:-1] or B.shape[-2] != LD.shape[-1]:
        raise RuntimeError(f"torch.linalg.ldl_solve: expected B of dtype {LD.dtype} with {LD.shape[-1]} rows and int32 pivots of "
                           f"size {list(LD.shape[:-1])}, got {B.dtype} of size {list(B.shape)} and {pivots.dtype} of size "
                           f"{list(pivots.shape)}")
    factors = matrices("torch.linalg.ldl_solve", LD.detach(), True, "LD")
    return call(LDL_SOLVE, bool(hermitian), factors, pivots, B.detach(), columns=True)
