"""First and second derivatives of every differentiable operator against differences, along random directions, on
PyTorch's recorded samples. With DIYA_FULL=1 whole Jacobians too, by gradcheck and gradgradcheck."""

import os
import warnings

import numpy as np
import pytest

import diya
from diya.engine import Tier

from .samples import built, calls, check_directional, direction, first_order, flatten, gradients, operators, replaced

_CAST = "rounds to fewer bits than differences need"
_TARGET = "its target is among what the sample differentiates: a choice, not a quantity"
SKIP: dict[str, str] = {
    "bfloat16": _CAST, "chalf": _CAST, "half": _CAST, "float": _CAST, "cfloat": _CAST, "to": _CAST,
    "resize_": "changes what requires gradients", "resize_as_": "changes what requires gradients",
    "zero_": "changes a leaf in place",
    "as_strided_scatter": "PyTorch's gradient, which ours follows, is not the derivative",
    "nn.functional.max_unpool1d": "indices of the sample repeat: which element wins is left open",
    "nn.functional.max_unpool2d": "indices of the sample repeat: which element wins is left open",
    "nn.functional.max_unpool3d": "indices of the sample repeat: which element wins is left open",
    "nn.functional.hinge_embedding_loss": _TARGET, "nn.functional.cosine_embedding_loss": _TARGET,
    "linalg.norm.subgradients_at_zero": "a subgradient, where there is no derivative",
    "linalg.pinv.hermitian": "its sample is not Hermitian: only a triangle of it is read",
    "linalg.eig": "eigenvectors are unique only up to a phase, which differences do not hold still",
}
SKIP_SECOND: dict[str, str] = {op: "the sample has a row that is masked whole: its result is NaN"
                              for op in ("masked.softmax", "masked.log_softmax", "masked.softmin")} | {
    "masked.logaddexp": "both operands are masked to -inf: NaN, as PyTorch has it"}
SKIP_COMPLEX: dict[str, str] = {
    op: "its factors are unique only up to a phase, which differences do not hold still"
    for op in ("linalg.svd", "svd", "linalg.eigh", "linalg.qr", "qr", "linalg.householder_product", "ormqr")
}
# What an operator assumes of its first matrix, so that directions keep to it.
SYMMETRIC = {"cholesky", "linalg.cholesky", "linalg.cholesky_ex", "linalg.eigh", "linalg.eigvalsh", "linalg.pinv.hermitian"}
TRIANGULAR = {"cholesky_inverse": 0, "cholesky_solve": 1}  # which argument


def keeping(op: str, call: dict, k: int, u: np.ndarray) -> np.ndarray:
    """A direction for the k-th leaf that keeps the operator's assumption."""
    if op in SYMMETRIC and k == 0:
        return u + np.swapaxes(u, -1, -2).conj()
    if TRIANGULAR.get(op) == k:
        return np.triu(u) if call["kwargs"]["dict"].get("upper") else np.tril(u)
    return u


def sampled(op: str, dtype: str) -> list[dict]:
    found = calls(op, dtype)
    if dtype == "float64":
        found = [c for c in found if "grads" in c]
    return found


def run(op: str, dtype: str, second: bool) -> None:
    rng = np.random.default_rng(0)
    for call in sampled(op, dtype):
        with Tier(0), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            made = first_order(call, dtype == "complex64")
            if made is None:
                continue
            f, leaves = made
            if second:
                cotangents = [diya.tensor(direction(rng, o)).requires_grad_() for o in f(leaves)]
                f = gradients(f)
                f.leaves = len(leaves)
                leaves = leaves + cotangents
                if not any(g.requires_grad for g in f(leaves)):
                    continue
            try:
                check_directional(f, leaves, rng, lambda k, u, call=call: keeping(op, call, k, u))
            except AssertionError as error:
                raise AssertionError(f"{op}, sample {call['sample']}: {error}") from None


@pytest.mark.parametrize("op", [op for op in operators() if sampled(op, "float64")])
def test_first(op):
    if op in SKIP:
        pytest.skip(SKIP[op])
    run(op, "float64", False)


@pytest.mark.parametrize("op", [op for op in operators() if sampled(op, "float64")])
def test_second(op):
    if op in SKIP | SKIP_SECOND:
        pytest.skip((SKIP | SKIP_SECOND)[op])
    run(op, "float64", True)


@pytest.mark.parametrize("op", [op for op in operators() if sampled(op, "complex64")])
def test_complex(op):
    if op in SKIP | SKIP_COMPLEX:
        pytest.skip((SKIP | SKIP_COMPLEX)[op])
    run(op, "complex64", False)


# What only holds for the directions that `keeping` chooses.
PARTIAL = SYMMETRIC | set(TRIANGULAR)
LARGEST = 64  # elements of all leaves, differenced one by one


def whole(call: dict):
    """(f, leaves, size): f maps leaves to the call's differentiable outputs, which are about as large as ``size``; None
    where there is nothing to difference."""
    function, args, kwargs, leaves = built(call)
    outs = list(flatten(function(*args, **kwargs)))
    which = [i for i, o in enumerate(outs) if o.requires_grad and o.dtype in (diya.float64, diya.complex128)]
    if not which or not 0 < sum(x.numel() for x in leaves) <= LARGEST or any(x.dtype is not diya.float64 for x in leaves):
        return None
    size = max((float(np.abs(outs[i].detach().numpy()).max(initial=1)) for i in which), default=1.0)

    def f(*xs):
        mapping = {id(a): b for a, b in zip(leaves, xs, strict=True)}
        found = list(flatten(function(*replaced(args, mapping), **replaced(kwargs, mapping))))  # pyright: ignore[reportOptionalIterable]
        return tuple(found[i] for i in which)
    return (f, tuple(leaves), size) if np.isfinite(size) else None


@pytest.mark.skipif(not os.environ.get("DIYA_FULL"), reason="whole Jacobians take minutes: DIYA_FULL=1")
@pytest.mark.parametrize("second", [False, True], ids=["gradcheck", "gradgradcheck"])
@pytest.mark.parametrize("op", [op for op in operators() if sampled(op, "float64")])
def test_whole(op, second):
    skipped = SKIP | (SKIP_SECOND if second else {})
    if op in skipped or op in PARTIAL:
        pytest.skip(skipped.get(op, "defined for matrices of one kind only"))
    check = diya.autograd.gradgradcheck if second else diya.autograd.gradcheck
    for call in sampled(op, "float64"):
        with Tier(0), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            made = whole(call)
            if made is not None:
                f, leaves, size = made
                check(f, leaves, atol=1e-4 * max(1.0, size), rtol=1e-3, check_undefined_grad=False)
