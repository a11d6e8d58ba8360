"""Corners where an operator's dtype, shape or last bits are easily got wrong: what PyTorch 2.13 gives."""

import math

import pytest

import diya
import diya.nn.functional as F

nan, inf = math.nan, math.inf
half, bhalf, f64, i64 = diya.float16, diya.bfloat16, diya.float64, diya.int64


def u8(*values):
    return diya.tensor(values, dtype=diya.uint8)


CASES = {  # call, dtype, shape, values
    "the next float16": (lambda: diya.tensor([1.0, 0, -1, 0], dtype=half).nextafter(diya.tensor([2.0, 1, -2, -1], dtype=half)),
                         half, (4,), [1.0009765625, 2**-24, -1.0009765625, -(2**-24)]),
    "the next bfloat16": (
        lambda: diya.nextafter(diya.tensor([1.0, 3.0, nan], dtype=bhalf), diya.tensor([0.0, 3.0, 1.0], dtype=bhalf)),
                          bhalf, (3,), [0.99609375, 3.0, nan]),
    "weights of no counts": (lambda: diya.bincount(diya.ones(0, dtype=diya.int64), diya.ones(0), 3), diya.int64, (3,), [0, 0, 0]),
    "a multiple in the result's type": (lambda: diya.sub(diya.tensor([3]), u8(200), alpha=2), i64, (1,), [-397]),
    "a multiple in the result's type, reversed": (lambda: diya.rsub(u8(200), diya.tensor([3]), alpha=2), i64, (1,), [-397]),
    "a tensor over a tensor of half precision": (
        lambda: diya.tensor([5.0], dtype=bhalf).__rdiv__(diya.tensor([4.0])), diya.float32, (1,), [0.80078125]),
    "an integer threshold": (
        lambda: F.threshold(diya.tensor([-7, -8], dtype=diya.int16), -7.9, -1.1), diya.int16, (2,), [-1, -1]),
    "none of a number": (lambda: diya.tensor(3).topk(0)[0], i64, (), [3]),
    "unsafe positions": (lambda: diya._unsafe_masked_index(
        diya.arange(6).reshape(2, 3), diya.tensor([[True, False, True]]),
        [diya.tensor([[0], [-1]]), diya.tensor([[0, 1, 9]])], 7), i64, (2, 3), [0, 7, 2, 3, 7, 5]),
    "as strides have it, in part of some memory": (
        lambda: diya.arange(12.0).reshape(3, 4)[:, ::2].as_strided_scatter(-diya.ones(2, 2), (2, 2), (1, 2)), diya.float32, (3, 2),
        [-1.0, -1.0, 4.0, 6.0, 8.0, 10.0]),
    "ends of zeta": (
        lambda: diya.special.zeta(diya.tensor([2.0, inf, inf, inf], dtype=f64), diya.tensor([inf, 0.5, 1, 2], dtype=f64)), f64,
        (4,), [nan, inf, 1.0, nan]),
    "a target of half precision": (
        lambda: F.kl_div(diya.ones(1, dtype=f64), diya.tensor([0.3], dtype=half), log_target=True, reduction="none"), f64, (1,),
        [-0.9446606636047363]),
    "sums in the type of out=": (
        lambda: diya.cumsum(diya.tensor([1.7, 1.7]), 0, out=diya.zeros(2, dtype=i64)), i64, (2,), [1, 2]),
    "an outer product of half precision": (
        lambda: diya.addr(diya.tensor([1.0], dtype=bhalf), diya.tensor([3.3], dtype=bhalf), diya.tensor([7.7], dtype=bhalf),
                          beta=0.6, alpha=0.2), bhalf, (1, 1), [5.65625]),
    "an end by name": (lambda: diya.arange(-1, end=3.1), diya.float32, (5,), [-1.0, 0.0, 1.0, 2.0, 3.0]),
    "a norm of order -1 with a mask": (
        lambda: diya.masked.norm(diya.ones(2), -1, 0, mask=diya.tensor([True, False])), diya.float32, (), [0.0]),
    "classes of a target that broadcasts": (
        lambda: F.multilabel_soft_margin_loss(diya.zeros(2), diya.ones(1, 2), reduction="sum"), diya.float32, (), [math.log(2)]),
    "integers under a curve": (lambda: diya.trapezoid(u8(255, 255, 3, 7, 128)), diya.float32, (), [584.5]),
    "no curve": (lambda: diya.trapezoid(diya.ones(3, 0, dtype=diya.int64)), diya.int64, (3,), [0, 0, 0]),
    "a sum over one element": (
        lambda: diya.einsum("...ik,...j->ij", u8(6, 2).reshape(1, 2, 1), u8(5)), diya.uint8, (2, 1), [30, 10]),
    "sums over one element": (lambda: diya.einsum("iji->j", diya.ones(1, 3, 1, dtype=diya.int32)), i64, (3,), [1, 1, 1]),
    "one power of ten": (lambda: diya.logspace(4.3, -3, 1, dtype=bhalf), bhalf, (1,), [19968]),
    "one whole power of ten": (lambda: diya.logspace(4.3, -3, 1, dtype=i64), i64, (1,), [19952]),
    "std of too few": (lambda: diya.arange(6.0).reshape(2, 3).std(0, correction=3), diya.float32, (3,), [inf] * 3),
    "var of none": (lambda: diya.ones(0, 3).var(0, correction=-1), diya.float32, (3,), [nan] * 3),
    "no probabilities": (lambda: F.cross_entropy(diya.ones(0, 3), diya.ones(0, 3)), diya.float32, (), [nan]),
    "equal angles of halves": (
        lambda: F.cosine_embedding_loss(diya.ones(3, 0, dtype=half), diya.ones(3, 0, dtype=half), diya.ones(3)),
                               half, (), [nan]),
    "mse of two dtypes": (lambda: F.mse_loss(diya.tensor([1.0, 2], dtype=half), diya.zeros(2)), diya.float32, (), [2.5]),
    "mse of a mask": (lambda: F.mse_loss(diya.tensor([1.0, 2]), diya.tensor([True, False])), diya.float32, (), [2.0]),
    "huber of two dtypes": (lambda: F.huber_loss(diya.tensor([3.0, 2]), diya.tensor([1.0, 2], dtype=diya.float64)),
                            diya.float32, (), [0.75]),
    "logits of two dtypes": (
        lambda: F.binary_cross_entropy_with_logits(diya.zeros(2, dtype=diya.float64), diya.ones(2), reduction="sum"),
                             diya.float32, (), [2 * math.log(2)]),
    "hinges of integers": (
        lambda: F.hinge_embedding_loss(diya.tensor([1, 2], dtype=diya.int32), diya.tensor([1, -1]), reduction="sum"),
                           diya.int64, (), [1]),
    "a margin too wide for halves": (lambda: F.soft_margin_loss(diya.tensor([-8.5], dtype=half), diya.tensor([3.6], dtype=half)),
                                     half, (), [inf]),
    "margins of NaN": (lambda: F.multi_margin_loss(diya.tensor([[nan, 1.0, 2], [3, 4, 5]]), diya.tensor([1, 1]), reduction="none"),
                       diya.float32, (2,), [2 / 3, 2 / 3]),
    "written into a mask": (lambda: diya.select_scatter(diya.zeros(2, 2, dtype=diya.bool), diya.tensor([0.5, 0.0]), 0, 1),
                            diya.bool, (2, 2), [0, 0, 1, 0]),
    "pixels of nothing": (lambda: F.pixel_unshuffle(diya.ones(1, 1, 0, 6), 3), diya.float32, (1, 1, 0, 6), []),
    "indices wrap around": (lambda: diya.take_along_dim(diya.arange(10.0).reshape(2, 5), diya.tensor([[7, -3]]), 1),
                            diya.float32, (2, 2), [2, 2, 7, 7]),
    "scaled sums of nothing": (lambda: diya.addmm(diya.ones(2, 1), diya.ones(2, 0), diya.ones(0, 1), beta=2, alpha=inf),
                               diya.float32, (2, 1), [2, 2]),
    "addbmm_ of a number": (lambda: diya.ones(()).addbmm_(diya.ones(2, 1, 3), diya.ones(2, 3, 2)), diya.float32, (1, 2), [7, 7]),
    "exponentials beside NaN": (lambda: diya.matrix_exp(diya.tensor([[[0.0]], [[nan]]])), diya.float32, (2, 1, 1), [1, nan]),
    "equal numbers of two dtypes": (lambda: diya.tensor(diya.ones(2).equal(diya.ones(2, dtype=diya.int64))), diya.bool, (), [1]),
    "halves and integers": (
        lambda: diya.logaddexp(diya.ones(1, dtype=half), diya.ones(1, dtype=diya.int64)), half, (1,), [1.693359375]),
    "even steps of float16": (
        lambda: diya.linspace(-1003.3, 7.7, 37, dtype=half)[[0, 1, 11]], half, (3,), [-1003.5, -975.5, -695.0]),
    "even steps of bfloat16": (lambda: diya.linspace(0.3, 7.7, 9, dtype=bhalf)[[1, 7]], bhalf, (2,), [1.21875, 6.75]),
    "powers of ten": (lambda: diya.logspace(4.3, -3, 12, dtype=half)[:3], half, (3,), [19984, 4336, 940.5]),
    "the ends of Bessel's functions": (lambda: diya.special.i0e(diya.tensor([1e308, 5e-324], dtype=f64)), f64, (2,),
                                       [3.989422804014327e-155, 1.0]),
    "scaled by a huge power": (
        lambda: diya.ldexp(diya.tensor([2.0**-100]), diya.tensor([200])), diya.float32, (1,), [2.0**100]),
    "a scaled half": (lambda: diya.ldexp(diya.tensor([60000.0], dtype=half), diya.tensor([-26])), half, (1,), [0.00089406967]),
    "common multiples of int8": (
        lambda: diya.tensor([127], dtype=diya.int8).lcm(diya.tensor([2], dtype=diya.int8)), diya.int8, (1,), [-2]),
    "a scale of integers": (lambda: diya.addcmul(diya.tensor([1]), diya.tensor([1]), diya.tensor([2]), value=2.5), i64, (1,), [5]),
    "integers filled with 2.5": (lambda: diya.tensor([1, 2]).masked_fill(diya.tensor([True, False]), 2.5), i64, (2,), [2, 2]),
    "bisection in no order": (lambda: diya.searchsorted(diya.tensor([5, 1, 3, 2, 8, 0]), diya.arange(10)), i64, (10,),
                             [0, 0, 2, 6, 6, 6, 6, 6, 6, 6]),
    "bisection with NaN": (
        lambda: diya.searchsorted(diya.tensor([1.0, 3, nan]), diya.tensor([nan, 1, 6, -inf]), right=True), i64, (4,),
                           [3, 1, 3, 0]),
    "singular values of infinity": (lambda: diya.linalg.svdvals(diya.tensor([[inf, 1], [1, 2]])), diya.float32, (2,), [nan, nan]),
}


@pytest.mark.parametrize("name", CASES)
def test_corner(name):
    call, dtype, shape, values = CASES[name]
    got = call()
    assert got.dtype is dtype and tuple(got.shape) == shape
    wide = got.double() if got.dtype.is_floating_point else got
    assert wide.reshape(-1).tolist() == pytest.approx(values, rel=1e-6, nan_ok=True)


ERRORS = {
    "a curve of masks": (lambda: diya.trapezoid(diya.ones(3, dtype=diya.bool)), RuntimeError, "bool"),
    "an end beyond the dtype": (lambda: diya.linspace(-1, 7, 3, dtype=diya.uint8), RuntimeError, "overflow"),
    "whole targets": (
        lambda: F.binary_cross_entropy_with_logits(diya.ones(2), diya.ones(2, dtype=diya.int64)), RuntimeError, "cast"),
    "mse of integers": (
        lambda: F.mse_loss(diya.ones(2, dtype=diya.int64), diya.ones(2, dtype=diya.int64)), NotImplementedError, "mse"),
    "too much for a mask": (lambda: u8(1).masked_fill(diya.tensor([True]), 300), RuntimeError, "overflow"),
    "singular values of NaN": (lambda: diya.linalg.svd(diya.tensor([[nan, 1], [1, 2]])).S.tolist(), RuntimeError, "non-finite"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


def test_random_slopes():
    """rrelu draws as PyTorch does: for each element not above 0, one after the other."""
    diya.manual_seed(0)
    x = diya.tensor([-1.0, 1, -1, 0, -1], requires_grad=True)
    y = F.rrelu(x, training=True)
    assert y.tolist() == pytest.approx([-0.3270943760871887, 1.0, -0.27246248722076416, 0.0, -0.31682243943214417], rel=1e-6)
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx([0.32709438, 1.0, 0.27246249, 0.22070478, 0.31682244])


def test_samples_like_a_transpose():
    diya.manual_seed(0)
    t = diya.rand_like(diya.ones(2, 3).t())
    assert t.stride() == (1, 3)
    diya.manual_seed(0)
    assert t.t().flatten().tolist() == diya.rand(6).tolist()


OVERLAPS = {
    "an expanded out": lambda: diya.add(diya.ones(3), 1, out=diya.empty(1).expand(3)),
    "a shifted out": lambda: (lambda b: diya.add(b[:4], 1, out=b[1:]))(diya.arange(5.0)),
    "a transposed out": lambda: (lambda x: diya.exp(x.t(), out=x))(diya.ones(3, 3)),
    "gathered over itself": lambda: (lambda x: diya.gather(x, 0, diya.tensor([[0, 0]]), out=x))(diya.ones(2, 2)),
    "taken over itself": lambda: (lambda x: diya.take(x, diya.arange(4), out=x))(diya.arange(4.0)),
    "joined over itself": lambda: (lambda x: diya.cat([x[:2], x[2:]], out=x))(diya.arange(4.0)),
}


@pytest.mark.parametrize("name", OVERLAPS)
def test_out_overlaps(name):
    with pytest.raises(RuntimeError, match="unsupported operation"):
        OVERLAPS[name]()


def test_out_may_be_an_operand():
    x = diya.arange(4.0)
    assert diya.add(x, 1, out=x) is x and x.tolist() == [1, 2, 3, 4]
    assert diya.sum(x.reshape(2, 2), 0, out=x[:2]).tolist() == [4, 6]
    assert diya.mm(x.reshape(2, 2), diya.eye(2), out=x.view(2, 2)).tolist() == [[4, 6], [3, 4]]


HALVES = {  # beside a half-precision tensor a number is not rounded first, where PyTorch's kernels multiply or divide
    "a product": (lambda x: x * 1.1, [-12.25, 3.296875, 7.75]),
    "of a number": (lambda x: 1.1 * x, [-12.25, 3.296875, 7.75]),
    "by a tensor": (lambda x: x * diya.tensor(1.1, dtype=f64), [-12.25, 3.296875, 7.75]),
    "a quotient": (lambda x: x / 1.1, [-10.125, 2.734375, 6.40625]),
    "over a tensor": (lambda x: 1.1 / x, [-0.0986328125, 0.3671875, 0.1572265625]),
    "rounded down": (lambda x: x // 1.1, [-11.0, 2.0, 6.0]),
    "scaled first": (lambda x: x.add(x, alpha=1.1), [-23.375, 6.3125, 14.75]),
    "decimals": (lambda x: x.round(decimals=1), [-11.125, 3.0, 7.0]),
    "softsign": (F.softsign, [-0.91796875, 0.75, 0.87890625]),
}


@pytest.mark.parametrize("name", HALVES)
def test_numbers_beside_halves(name):
    call, want = HALVES[name]
    x = diya.tensor([-11.125, 3.0, 7.03], dtype=bhalf)
    got = call(x)
    assert got.dtype is bhalf and got.tolist() == want


def test_steps_of_kernels():
    """Operators of ``torch.ops.aten`` that are whole operators."""
    x = diya.arange(12.0).reshape(2, 3, 2)
    mean, var = diya.zeros(3), diya.ones(3)
    out, saved, scale, reserve = diya.ops.aten._batch_norm_with_update(x, diya.ones(3), diya.zeros(3), mean, var, 0.5, 0.0)
    assert saved.tolist() == [3.5, 5.5, 7.5] and mean.tolist() == [1.75, 2.75, 3.75] and reserve.shape == (0,)
    assert out[0, 0].tolist() == pytest.approx([-3.5 * scale[0].item(), -2.5 * scale[0].item()])
    image = diya.arange(16.0).reshape(1, 1, 4, 4)
    got = diya.ops.aten._upsample_bilinear2d_aa(image, (2, 2), False)
    assert got.tolist() == F.interpolate(image, (2, 2), mode="bilinear", antialias=True).tolist()


def test_strides_of_solutions():
    a = diya.eye(3).expand(2, 3, 3)
    assert diya.linalg.solve(a, diya.ones(2, 3)).stride() == (1, 2)
    assert diya.linalg.solve_triangular(a[0], diya.ones(2, 3), upper=True, left=False).stride() == (1, 2)
    assert diya.linalg.lstsq(diya.eye(4, 3), diya.ones(4, 3))[0].stride() == (1, 4)
    assert diya.stft(diya.ones(100), 10, return_complex=False, window=diya.ones(10)).stride() == (2, 12, 1)


def test_flip_of_a_number():
    assert diya.tensor(3.0).flip(0).item() == 3


def test_second_gradient_of_eigenvalues():
    a = diya.tensor([[4.0, 1, 2], [1, 5, 3], [2, 3, 6.5]], dtype=f64, requires_grad=True)
    b = diya.tensor([[0.3, -0.2, 1], [2, 0.7, 0.1], [0.4, 0.6, -0.9]], dtype=f64)
    first, = diya.autograd.grad(diya.linalg.eigvalsh(a), a, diya.tensor([1.0, -2, 0.5], dtype=f64), create_graph=True)
    second, = diya.autograd.grad((first * b).sum(), a)
    want = [[0.358, 0.075, -0.1388], [0.075, -0.4274, 0.1099], [-0.1388, 0.1099, 0.0694]]  # symmetric, as PyTorch's
    assert diya.allclose(second, diya.tensor(want, dtype=f64), atol=1e-4)


def test_windows_apart():
    """What is infinite in one window of a pool or a filter is none of the others' business."""
    x = diya.arange(5.0).reshape(1, 1, 5)
    x[0, 0, 0] = inf
    assert F.adaptive_avg_pool1d(x, 3).tolist() == [[[inf, 2.0, 3.5]]]
    image = diya.arange(20.0).reshape(1, 1, 4, 5)
    image[0, 0, 0, 0] = nan
    assert F.adaptive_avg_pool2d(image, (3, 3)).flatten().tolist() == pytest.approx(
        [nan, 4.5, 6.0, 8.0, 9.5, 11.0, 13.0, 14.5, 16.0], nan_ok=True)
    assert not F.interpolate(image, (2, 2), mode="bilinear", antialias=True)[0, 0, 0, 1].isnan()


@pytest.mark.parametrize(("values", "want"), [([1.0, 2, 2, 2, 3], [0, 1 / 3, 1 / 3, 1 / 3, 0]), ([1.0, nan, nan], [0, 0.5, 0.5])])
def test_gradient_of_equal_medians(values, want):
    x = diya.tensor(values, requires_grad=True)
    x.median().backward()
    assert x.grad.tolist() == pytest.approx(want)


def test_losses_at_their_ends():
    x = diya.tensor([1.0, 5.0], requires_grad=True)
    F.huber_loss(x, diya.zeros(2), delta=inf).backward()
    assert x.grad.tolist() == [0.5, 2.5]
    got = F.kl_div(diya.tensor([-1.0, -2.0]), diya.tensor([-0.3, 0.0]), reduction="none")
    assert got.tolist() == pytest.approx([nan, 0.0], nan_ok=True)
    assert diya.block_diag(diya.ones(1, 1), diya.tensor(3.0, dtype=f64)).dtype is diya.float32


def test_numbers_are_searched_for_in_the_type_of_the_edges():
    edges = diya.tensor([0.1, 0.2], dtype=diya.float64)  # as float32 they are others
    assert diya.searchsorted(edges, 0.1).item() == 0 and diya.searchsorted(edges, 0.1, right=True).item() == 1


def test_maxima_of_padding_alone_have_a_position():
    x = diya.arange(6.0).reshape(2, 3, 1)
    out, at = diya.nn.functional.max_pool2d(x, (3, 2), (2, 1), 1, (1, 2), ceil_mode=True, return_indices=True)
    assert (out == -math.inf).all() and at.flatten().tolist() == [1, 2, 1, 2]


def test_degrees_of_polynomials_may_be_floats():
    x = diya.tensor([0.5], dtype=diya.float64)
    assert diya.special.chebyshev_polynomial_t(x, 2.0).item() == diya.special.chebyshev_polynomial_t(x, 2.7).item() == -0.5
