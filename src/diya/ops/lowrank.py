"""Decompositions of low rank by random projection (Halko, Martinsson & Tropp, "Finding structure with randomness", 2011)."""

from __future__ import annotations

from ..tensor import Tensor
from .decomposition import linalg_qr, linalg_svd, matrices
from .random import randn
from .record import operator


def _range_finder(A: Tensor, q: int, niter: int) -> Tensor:
    """An orthonormal basis that nearly spans the range of ``A`` (their algorithm 4.4)."""
    basis = linalg_qr(A @ randn(A.shape[-1], q, dtype=A.dtype))[0]
    for _ in range(niter):
        basis = linalg_qr(A @ linalg_qr(A.mH @ basis)[0])[0]
    return basis


@operator("svd_lowrank", method=False, out=False)
def svd_lowrank(A, q=6, niter=2, M=None):
    """The ``q`` largest singular values of ``A`` (of ``A − M``) with their vectors, approximately: (U, S, V)."""
    A = matrices("svd_lowrank", A)
    if not 0 <= q <= min(A.shape[-2:]):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(A.shape[-2:])}")
    if M is not None:
        A = A - M.expand(A.shape)
    if A.shape[-2] < A.shape[-1]:
        v, s, u = svd_lowrank(A.mH, q, niter)
        return u, s, v
    basis = _range_finder(A, q, niter)
    u, s, vh = linalg_svd(basis.mH @ A, False)
    return basis @ u, s, vh.mH


@operator("pca_lowrank", method=False, out=False)
def pca_lowrank(A, q=None, center=True, niter=2):
    """The principal components of the rows of ``A``: `svd_lowrank` of the matrix less its column means."""
    m, n = matrices("pca_lowrank", A).shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)
