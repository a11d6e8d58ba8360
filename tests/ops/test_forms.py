"""The forms of an operator agree: function, method, in place and ``out=``, on PyTorch's recorded samples."""

import warnings

import numpy as np
import pytest
from oracle.checker import flatten

import diya
from diya.engine import Tier
from diya.ops import OPERATORS

from .samples import built, calls

DTYPES = ("float32", "int64", "bool", "complex64")
RANDOM = {"bernoulli", "multinomial", "normal", "poisson", "rand", "randn", "randint", "randperm", "rand_like", "randn_like",
          "randint_like", "dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "rrelu", "binomial",
          "empty", "empty_like", "empty_strided", "empty_permuted", "new_empty"}

SAME_DTYPE = {"abs", "float_power"}  # whose in-place forms refuse a result of another dtype


def same(a, b, what: str) -> None:
    for x, y in zip(flatten(a), flatten(b), strict=True):
        assert x.shape == y.shape and x.dtype is y.dtype, (what, x.shape, y.shape, x.dtype, y.dtype)
        assert np.array_equal(x.detach()._to_array(), y.detach()._to_array(), equal_nan=x.dtype.kind in "fc"), what


def samples(path: str):
    for dtype in DTYPES:
        for call in calls(path, dtype)[:2]:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield call, built(call)


def with_record(kind):
    return sorted(p for p, r in OPERATORS.items() if kind(r) and p not in RANDOM and any(calls(p, d) for d in DTYPES))


@pytest.fixture(autouse=True)
def interpreted():
    with Tier(0), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("path", with_record(lambda r: r.methods))
def test_method(path):
    for call, (function, args, kwargs, _) in samples(path):
        if args and isinstance(args[0], diya.Tensor):
            for name in OPERATORS[path].methods:
                if not name.endswith("_"):
                    same(function(*args, **kwargs), getattr(args[0], name)(*args[1:], **kwargs), f"{name} {call['sample']}")


@pytest.mark.parametrize("path", with_record(lambda r: r.out))
def test_out(path):
    for call, (function, args, kwargs, _) in samples(path):
        if call["path"].startswith("Tensor."):  # a method takes no out=
            continue
        with diya.no_grad():
            want = function(*args, **kwargs)
            if not all(isinstance(w, diya.Tensor) for w in (want if isinstance(want, tuple) else (want,))):
                continue
            sequence = isinstance(want, (tuple, list))
            # empty: resized; of the right size but strided: written into
            for make in (lambda w: diya.empty(0, dtype=w.dtype),
                         lambda w: diya.zeros((*w.shape[::-1], 2), dtype=w.dtype)[..., 0].permute(*range(w.dim() - 1, -1, -1))):
                out = tuple(make(w) for w in want) if sequence else make(want)
                got = function(*args, **kwargs, out=out)
                for o, g in zip(flatten(out), flatten(got), strict=True):
                    assert o is g, path
                same(want, got, f"{path} {call['sample']}")


@pytest.mark.parametrize("path", with_record(lambda r: r.inplace))
def test_in_place(path):
    tried = 0
    for call, (function, args, kwargs, _) in samples(path):
        if not (args and isinstance(args[0], diya.Tensor)):
            continue
        with diya.no_grad():
            want = function(*args, **kwargs)
            for name in OPERATORS[path].inplace:
                target = args[0].detach().clone()
                view = target.view(-1) if target.is_contiguous() else None
                keeps = want.dtype is target.dtype or path not in SAME_DTYPE
                if want.shape != target.shape and path == "addbmm":
                    continue  # it resizes, as PyTorch's does: test_corners.py
                if want.shape != target.shape or not diya.can_cast(want.dtype, target.dtype) or not keeps:
                    with pytest.raises(RuntimeError):
                        getattr(target, name)(*args[1:], **kwargs)
                    continue
                got = getattr(target, name)(*args[1:], **kwargs)
                tried += 1
                assert got is target, name
                same(want.to(target.dtype), target, f"{name} {call['sample']}")
                if view is not None:  # the memory was written, not replaced
                    same(target.reshape(-1), view, name)


@pytest.mark.parametrize("path", with_record(lambda r: r.inplace and r.differentiable))
def test_in_place_gradient(path):
    """In place and out of place leave the same gradients."""
    for call in [c for c in calls(path, "float64") if "grads" in c][:2]:
        function, args, kwargs, leaves = built(call)
        if not (args and isinstance(args[0], diya.Tensor) and args[0].requires_grad):
            continue
        want = function(*args, **kwargs)
        if want.shape != args[0].shape or want.dtype is not args[0].dtype or not want.requires_grad:
            continue
        seed = diya.ones(want.shape, dtype=want.dtype)
        expected = diya.autograd.grad(want, leaves, seed, allow_unused=True)
        target = args[0].clone()
        getattr(target, OPERATORS[path].inplace[0])(*args[1:], **kwargs)
        got = diya.autograd.grad(target, leaves, seed, allow_unused=True)
        for e, g in zip(expected, got, strict=True):
            assert (e is None) == (g is None), path
            if e is not None:
                same(e, g, path)


ELEMENTS = ("float32", "float64", "bfloat16", "complex64", "int64", "uint8", "bool")


@pytest.mark.parametrize("call, accepted", [
    (lambda out: diya.exp(diya.ones(2), out=out), ("float32", "float64", "bfloat16", "complex64")),
    (lambda out: diya.neg(diya.ones(2), out=out), ("float32",)),
    (lambda out: diya.argmax(diya.ones(2, 2), 1, out=out), ("int64",)),
    (lambda out: diya.any(diya.ones(2, 2), 1, out=out), ("bool", "uint8")),
    (lambda out: diya.cumsum(diya.ones(2), 0, out=out), ELEMENTS),
    (lambda out: diya.zeros(2, out=out), ELEMENTS),
    (lambda out: diya.zeros(2, dtype=diya.float32, out=out), ("float32",)),
    (lambda out: diya.max(diya.ones(2, 2), 1, out=(diya.ones(2), out)), ("int64",)),
    (lambda out: diya.linalg.eig(diya.ones(2, 2), out=(out, diya.ones(2, 2, dtype=diya.complex64))), ("complex64",)),
])
def test_out_is_of_the_element_types_that_pytorch_takes(call, accepted):
    for name in ELEMENTS:
        out = diya.ones(2, dtype=getattr(diya, name))
        if name in accepted:
            call(out)
        else:
            with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
                call(out)


@pytest.mark.parametrize("call", [
    lambda x, y: diya.add(x, y, out=y), lambda x, y: diya.maximum(x, y, out=y),  # what is read is not resized
    lambda x, y: x.view(-1)[:4].add_(x.view(-1)[1:5]), lambda x, y: x.view(-1)[1:5].mul_(x.view(-1)[:4]),
    lambda x, y: diya.abs(x, out=diya.empty(2, 3, dtype=diya.float64)),
    lambda x, y: diya.clamp(x, 0, out=diya.empty(2, 3, dtype=diya.float64)),
])
def test_writes_that_pytorch_refuses(call):
    x, y = diya.ones(2, 3), diya.ones(3)
    with pytest.raises(RuntimeError):
        call(x, y)
    assert (x == 1).all() and y.shape == (3,)


def test_sums_are_of_the_type_of_out():
    out = diya.empty(2, dtype=diya.int32)
    assert diya.sum(diya.tensor([[1.5, 1.5], [2.0, 2.0]]), 1, out=out).tolist() == [2, 4]


def test_a_copy_asked_for_by_position():
    x = diya.ones(2)
    assert x.to("cpu", diya.float32, False, True) is not x and x.to(diya.float32, True, True) is not x
    assert x.to("cpu", diya.float32, True) is x and x.to(diya.float32) is x
