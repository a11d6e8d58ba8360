"""What PyTorch's own error inputs raise: the class, and a message that says what was wrong."""

import math

import pytest

import diya
import diya.nn.functional as F

x, matrix, empty = diya.ones(2, 3), diya.ones(3, 3), diya.ones(5, 0, 5)
CASES = {
    "a number for a tensor": (lambda: diya.maximum(x, 1), TypeError, "other"),
    "two numbers": (lambda: diya.pow(2, 2), TypeError, "Tensor"),
    "a number compared with": (lambda: diya.eq(1, x), TypeError, "input"),
    "logic of a number": (lambda: diya.logical_and(x, 1), TypeError, "other"),
    "gcd of a number": (lambda: diya.gcd(4, diya.tensor(2)), TypeError, "input"),
    "abs_ of complex": (lambda: diya.ones(2, dtype=diya.complex64).abs_(), RuntimeError, "complex"),
    "float_power_ of float32": (lambda: x.clone().float_power_(2), RuntimeError, "float64"),
    "a bool alpha": (lambda: diya.add(x, x, alpha=True), RuntimeError, "alpha"),
    "amax of nothing": (lambda: empty.amax(), RuntimeError, "dim"),
    "amax along nothing": (lambda: empty.amax(1), IndexError, "non-zero"),
    "aminmax of nothing": (lambda: empty.aminmax(dim=1), RuntimeError, "empty"),
    "cat of nothing": (lambda: diya.cat([]), ValueError, "non-empty"),
    "cat of a tensor": (lambda: diya.cat(x), TypeError, "tuple of Tensors"),
    "hstack of nothing": (lambda: diya.hstack([]), RuntimeError, "non-empty"),
    "vstack of nothing": (lambda: diya.vstack([]), RuntimeError, "non-empty"),
    "split in no parts": (lambda: diya.hsplit(x, 0), RuntimeError, "split_size 0"),
    "unbind of a number": (lambda: diya.tensor(1.0).unbind(), IndexError, "no dimensions"),
    "roll of a number": (lambda: diya.tensor(1.0).roll(1, 0), IndexError, "no dimensions"),
    "rot90 of a vector": (lambda: diya.ones(3).rot90(), RuntimeError, "dims >= 2"),
    "narrow from a bool": (lambda: x.narrow(1, diya.tensor(True), 1), RuntimeError, "integral"),
    "weights of cov": (lambda: matrix.cov(fweights=diya.tensor([1.0, 1, 1])), RuntimeError, "fweights.*integral"),
    "weights below 0": (lambda: matrix.cov(aweights=diya.tensor([-1.0, 1, 1])), RuntimeError, "aweights.*negative"),
    "a gradient's dims": (lambda: diya.gradient(matrix, dim=[1, 1]), RuntimeError, "multiple times"),
    "steps of 1.0": (lambda: diya.linspace(0, 3, 1.0), TypeError, "steps"),
    "a window of halves": (lambda: diya.signal.windows.hann(5, dtype=diya.float16), ValueError, "float32 or float64"),
    "a pool's rank": (lambda: F.adaptive_avg_pool2d(x, 2), ValueError, "Expected 3D or 4D"),
    "max of sparse rows": (lambda: F.embedding_bag(diya.tensor([[0]]), x, mode="max", sparse=True), ValueError, "sparse"),
}


@pytest.mark.parametrize("name", CASES)
def test_raises(name):
    call, kind, message = CASES[name]
    with pytest.raises(kind, match=message):
        call()


def test_what_is_right():
    assert diya.add(1, 2).item() == 3 and diya.pow(2, diya.tensor(3)).item() == 8
    assert diya.tensor(True).add(diya.tensor(True), alpha=True).item() is True
    t = diya.ones(2, dtype=diya.float64)
    assert t.float_power_(2) is t
    assert diya.einsum("ij->i", diya.ones(2, 3, dtype=diya.int32)).dtype is diya.int64  # as its sum
    assert math.isclose(diya.special.gammainc(diya.tensor(1e8, dtype=diya.float64), diya.tensor(1e8, dtype=diya.float64)).item(),
                        0.5000132980760141, rel_tol=1e-12)
    embedding = F.embedding(diya.tensor([1, 0]), x.clone().requires_grad_(), sparse=True)
    assert embedding.requires_grad and embedding.shape == (2, 3)


HALVES = (diya.float16, diya.bfloat16)
INTEGERS = (diya.uint8, diya.int8, diya.int16, diya.int32)
COMPLEX = (diya.complex64, diya.complex128)


@pytest.mark.parametrize(("call", "refused", "taken"), [
    (lambda x: diya.special.bessel_j0(x), HALVES, (diya.float32, diya.int64)),
    (lambda x: diya.matmul(x, x), (diya.bool,), (diya.int64, diya.uint8, diya.float16)),
    (lambda x: diya.nn.functional.avg_pool2d(x[None], 2), INTEGERS, (diya.int64, diya.bfloat16)),
    (lambda x: diya.nn.functional.conv_transpose2d(x[None, None], x[None, None]), (*INTEGERS, diya.bool), (diya.int64,)),
    (lambda x: diya.nn.functional.max_pool1d(x, 2), (*INTEGERS, diya.int64), (diya.float32,)),
    (lambda x: diya.nn.functional.binary_cross_entropy(x, x), (*INTEGERS, diya.int64), (diya.float32,)),
    (lambda x: diya.nn.functional.multi_margin_loss(x, diya.zeros(2, dtype=diya.int64)), HALVES, (diya.float64,)),
    (lambda x: diya.unique(x), COMPLEX, (diya.bool, diya.float16)),
    (lambda x: diya.round(x, decimals=1), (*INTEGERS, diya.int64), (diya.float16,)),
    (lambda x: diya.pow(x, x), (diya.bool,), (diya.int64,)),
    (lambda x: diya.clamp(x, x, x), (diya.bool,), (diya.int64,)),
    (lambda x: diya.logaddexp(x, x), (*INTEGERS, diya.bool), (diya.float16, diya.complex64)),
    (lambda x: diya.addr(x, x[0], x[0], beta=0.5), (*INTEGERS, diya.bool), (diya.float32,)),
])
def test_dtypes_that_pytorch_has_no_kernel_for(call, refused, taken):
    for d in taken:
        call(diya.ones(2, 2).to(d))
    for d in refused:
        with pytest.raises(RuntimeError):
            call(diya.ones(2, 2).to(d))


@pytest.mark.parametrize(("error", "call"), [
    (RuntimeError, lambda: F.conv1d(diya.ones(1, 1, 4, 5), diya.ones(1, 1, 4, 3))),  # of two spatial dimensions
    (RuntimeError, lambda: F.conv2d(diya.ones(()), diya.ones(()))),
    (ValueError, lambda: F.interpolate(diya.ones(1, 1, 4), (2, 2))),
    (TypeError, lambda: diya.cat([diya.ones(2)], out=diya.ones(2, dtype=diya.int64))),
    (RuntimeError, lambda: diya.empty_strided((2, -1), (1, 1))),
    (RuntimeError, lambda: diya.empty_permuted((2, -1), (0, 1))),
    (RuntimeError, lambda: diya.ones(4).as_strided((2, -1), (1, 1))),
    (RuntimeError, lambda: diya.chunk(diya.ones(()), 2)),
    (RuntimeError, lambda: diya.split(diya.ones(()), 1, 1)),
    (RuntimeError, lambda: diya.tensor_split(diya.ones(4), diya.tensor(2, dtype=diya.int32))),
    (RuntimeError, lambda: diya.unflatten(diya.ones(()), 0, (1, 1))),
    (RuntimeError, lambda: diya.constant_pad_nd(diya.ones(()), (1, 1))),
    (ValueError, lambda: F.nll_loss(diya.ones(()), diya.zeros((), dtype=diya.int64))),
    (RuntimeError, lambda: diya.searchsorted(diya.ones(2, 2), diya.tensor(1.0))),
    (RuntimeError, lambda: diya.bincount(diya.tensor([1, 2]), diya.ones(2, 2))),
    (RuntimeError, lambda: F.dropout(diya.ones(2), math.nan)),
    (NotImplementedError, lambda: diya.masked.amin(diya.ones(2, dtype=diya.complex64), 0)),
    (RuntimeError, lambda: diya.linspace(diya.ones(1), 2, 3)),
    (ValueError, lambda: diya.arange(0, 2, 0.2, dtype=diya.int64)),
    (TypeError, lambda: diya.logaddexp(diya.ones(2), 1)),
    (TypeError, lambda: diya.polar(diya.ones(2), 1)),
    (RuntimeError, lambda: diya.polar(diya.ones(2, dtype=diya.float16), diya.ones(2, dtype=diya.float16))),
    (RuntimeError, lambda: diya.cross(diya.ones(3), diya.ones(2, 3), dim=-1)),
    (RuntimeError, lambda: diya.isclose(diya.ones(2), diya.ones(2), rtol=math.nan)),
    (TypeError, lambda: diya.real(1)),
    (TypeError, lambda: F.pairwise_distance(diya.ones(2), 1)),
    (RuntimeError, lambda: diya.ones(3).index_copy(0, diya.zeros(1, dtype=diya.int32), diya.ones(1))),
    (IndexError, lambda: diya.ones(3).index_fill(0, diya.zeros(1, dtype=diya.int32), 1)),
    (TypeError, lambda: diya.unravel_index(diya.ones(1), (2, 2))),
    (RuntimeError, lambda: diya.repeat_interleave(diya.ones(2), diya.ones(2))),
    (RuntimeError, lambda: diya.quantile(diya.ones(2), diya.ones(1, 1))),
    (RuntimeError, lambda: diya.unique(diya.ones(2, 0), dim=0)),
    (NotImplementedError, lambda: F.pad(diya.ones(1, 3, dtype=diya.bool), (1, 1), mode="reflect")),
    (RuntimeError, lambda: F.interpolate(diya.ones(1, 1, 4, dtype=diya.uint8), 2, mode="linear")),
])
def test_what_python_or_numpy_would_say_otherwise(error, call):
    with pytest.raises(error):
        call()


def test_some_refusals_depend_on_more_than_the_first_argument():
    short = diya.ones(1, 1, 4, 4, dtype=diya.int16)
    assert F.conv2d(short, short[..., :2, :2]).dtype is diya.int16
    with pytest.raises(NotImplementedError, match="dilated"):
        F.conv2d(short, short[..., :2, :2], dilation=2)
    assert F.max_pool1d(short[0], 2, return_indices=True)[0].dtype is diya.int16
    assert diya.logaddexp(diya.tensor([True]), diya.tensor([0.5])).dtype is diya.float32
    assert F.gaussian_nll_loss(diya.ones(2, dtype=diya.int64), diya.ones(2), diya.ones(2)).item() == 0
    assert F.adaptive_max_pool2d(diya.ones(0, 3, 4, 4), 2).shape == (0, 3, 2, 2)
    assert F.max_unpool1d(diya.ones(0, 2, 2), diya.ones(0, 2, 2, dtype=diya.int64), 3).shape == (0, 2, 6)


@pytest.mark.parametrize("call", [
    lambda: diya.addmm(diya.ones(2, 2, dtype=diya.int64), diya.ones(2, 2, dtype=diya.int64), diya.ones(2, 2, dtype=diya.int64),
                       alpha=math.nan),
    lambda: diya.full((2,), 1j, dtype=diya.float32),
    lambda: diya.full_like(diya.ones(2), 1 + 1j),
    lambda: diya.linspace(1j, 2, 3, dtype=diya.int64),
    lambda: diya.linalg.lstsq(diya.ones(2, 2), diya.ones(())),
    lambda: F.interpolate(diya.ones(1, 1, 4), scale_factor=math.inf),
    lambda: diya.normal(0.0, 1.0, (2, -1)),
    lambda: diya.multinomial(diya.ones(3, 0), 2, replacement=True),
    lambda: diya.lu_unpack(diya.ones(3, 3), diya.tensor([0, 1, 2], dtype=diya.int32))[0].tolist(),
])
def test_values_that_are_none(call):
    with pytest.raises(RuntimeError):
        call()


ones = diya.ones
AT = diya.tensor([0])
FILLING = {  # operators that take a number as an element of the dtype of a tensor of one
    "full": lambda d, v: diya.full((1,), v, dtype=d), "full_like": lambda d, v: diya.full_like(ones(1, dtype=d), v),
    "fill_": lambda d, v: ones(1, dtype=d).fill_(v), "new_full": lambda d, v: ones(1).new_full((1,), v, dtype=d),
    "masked_fill": lambda d, v: ones(1, dtype=d).masked_fill(diya.tensor([True]), v),
    "index_fill": lambda d, v: ones(1, dtype=d).index_fill(0, AT, v), "scatter": lambda d, v: ones(1, dtype=d).scatter(0, AT, v),
    "setitem": lambda d, v: ones(1, dtype=d).__setitem__(0, v), "threshold": lambda d, v: F.threshold(ones(1, dtype=d), 3, v),
    "clamp": lambda d, v: diya.clamp(ones(1, dtype=d), v), "where": lambda d, v: diya.where(ones(1) > 0, ones(1, dtype=d), v),
    "add": lambda d, v: diya.add(ones(1, dtype=d), ones(1, dtype=d), alpha=v),
    "addmm": lambda d, v: diya.addmm(ones(1, 1, dtype=d), ones(1, 1, dtype=d), ones(1, 1, dtype=d), alpha=v),
}


@pytest.mark.parametrize("name", FILLING)
def test_numbers_that_do_not_fit(name):
    call = FILLING[name]
    for d, value in ((diya.uint8, 300), (diya.uint8, -300), (diya.int8, 200), (diya.int32, 2**40)):
        with pytest.raises(RuntimeError, match="overflow"):
            call(d, value)
    with pytest.raises(OverflowError):
        call(diya.int64, 2**70)
    call(diya.uint8, -1)
    if name not in ("where", "clamp"):  # these promote
        for d, value in ((diya.float32, 1e300), (diya.float32, 1 + 2j)):
            with pytest.raises(RuntimeError):
                call(d, value)


square, double = ones(2, 2), ones(2, dtype=diya.float64)


@pytest.mark.parametrize("call", [
    lambda: F.linear(square, square, double), lambda: diya.cdist(square, square.double()),
    lambda: diya.lerp(square, square, square.double()), lambda: F.nll_loss(square, diya.tensor([0, 1]), double),
    lambda: F.cross_entropy(square, diya.tensor([0, 1]), double), lambda: F.cross_entropy(square, diya.tensor([0, 1]).int()),
    lambda: F.batch_norm(square, double, double), lambda: F.batch_norm(square, None, None, double, training=True),
    lambda: F.layer_norm(square, (2,), double), lambda: F.group_norm(square[..., None], 1, double),
    lambda: F.huber_loss(square.int(), square), lambda: F.l1_loss(square, square > 0),
    lambda: F.kl_div(square, square.int(), reduction="sum"),
    lambda: F.gaussian_nll_loss(square, square, square.int()), lambda: F.soft_margin_loss(square, 1j * square),
    lambda: F.bilinear(square, square, ones(3, 2, 2), double), lambda: diya.isin(square, square > 0),
    lambda: diya.ldexp(square, square > 0), lambda: F.cosine_similarity(square, square.to(diya.complex64)),
    lambda: diya.linalg.lu_factor(square)[0].tolist(), lambda: diya.linalg.ldl_factor(square - square)[0].tolist(),
    lambda: diya.searchsorted(ones(2), 1.0, sorter=diya.tensor([0, 1]).int()), lambda: diya.masked.cumsum(square > 0, 0),
    lambda: diya.native_group_norm(square, None, None, 2, 3, 1, 1, 1e-5), lambda: diya.tensordot(square, square, 3),
    lambda: diya.slice_scatter(square, square, step=-1), lambda: diya.renorm(square, 2, 0, math.nan),
])
def test_operands_that_do_not_agree(call):
    with pytest.raises(RuntimeError):
        call()


@pytest.mark.parametrize("call", [
    lambda: diya.dist(square, 1), lambda: diya.inner(ones(()), 2), lambda: diya.diff(square, append=2.5), lambda: diya.isin(1, 2),
    lambda: square.scatter_add(0, diya.zeros(2, 2, dtype=diya.int64), 1), lambda: diya.flip(square, 0, dims=(1,)),
    lambda: diya.nan_to_num(square, 1j), lambda: F.avg_pool2d(square[None], "2"),
])
def test_numbers_and_strings_where_others_are_due(call):
    with pytest.raises(TypeError):
        call()


@pytest.mark.parametrize(("error", "call"), [
    (RuntimeError, lambda: F.scaled_dot_product_attention(ones(1, 3, 4), ones(1, 7, 4), ones(1, 6, 4), is_causal=True)),
    (RuntimeError, lambda: diya.index_reduce(ones(7, 2), 1, AT, ones(5, 1), "amax")),
    (RuntimeError, lambda: diya.addmm(ones(1, 2, 2), square, square)),
    (RuntimeError, lambda: F.conv_transpose1d(ones(1, 1, 4), ones(1, 1, 2), stride=2, output_padding=-1)),
    (RuntimeError, lambda: diya.ormqr(square, ones(3), square)),
    (RuntimeError, lambda: diya.linalg.vecdot(ones(1), ones(0))),
    (RuntimeError, lambda: F.multi_margin_loss(square, diya.zeros(1, 2, dtype=diya.int64))),
    (RuntimeError, lambda: F.linear(ones(3), ones(3), ones(2))),
    (RuntimeError, lambda: F.batch_norm(ones(2, 2), ones(1, 2), ones(2))),
    (RuntimeError, lambda: diya.searchsorted(ones(3), ones(2), sorter=AT)),
    (RuntimeError, lambda: diya.squeeze(square, (0, 0))),
    (IndexError, lambda: diya.index_select(ones(()), 3, AT)),
    (IndexError, lambda: ones(3)[diya.tensor([0], dtype=diya.int8)]),
    (RuntimeError, lambda: diya.masked_fill(square.int(), square > 0, diya.tensor(1j))),
    (RuntimeError, lambda: diya.linalg.vander(ones(1))), (RuntimeError, lambda: F.avg_pool3d(ones(1, 1, 2, 2, 2), 3, padding=1)),
    (RuntimeError, lambda: diya.clamp(square > 0, True)), (RuntimeError, lambda: diya.quantile(ones(0, 3), 0.5, dim=1)),
    (RuntimeError, lambda: diya.rsub(square, True)), (RuntimeError, lambda: F.dropout2d(ones(3))),
    (RuntimeError, lambda: diya.addmm(ones(5), square, square, beta=0)),
    (ValueError, lambda: F.batch_norm(square, None, None, eps=-1)),
    (RuntimeError, lambda: diya.as_strided_scatter(ones(9), square, (2, 2), (1, 0))),
    (RuntimeError, lambda: diya.cumsum(ones(3), 0, dtype=diya.float32, out=ones(3, dtype=diya.float64))),
    (TypeError, lambda: F.pad(square, (1.0, 1.0))), (TypeError, lambda: F.avg_pool1d(square, (2.0,))),
    (TypeError, lambda: F.layer_norm(square, (2.0,))), (TypeError, lambda: square.split([1.0, 1.0])),
    (TypeError, lambda: diya.sum(square, True)), (TypeError, lambda: diya.tril(square, 0.5)),
    (TypeError, lambda: diya.sum(square, 0, keepdim="yes")), (TypeError, lambda: diya.topk(ones(3), 2.0)),
    (TypeError, lambda: ones(9).unfold(0, 3, 1.5)), (TypeError, lambda: diya.istft(1j * ones(9, 5), 16, hop_length=2.5)),
])
def test_sizes_and_kinds_of_arguments(error, call):
    with pytest.raises(error):
        call()
