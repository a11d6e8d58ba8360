"""Strides of results are PyTorch's: which operators keep an input's memory format, and which are row-major."""

import pytest

import diya
import diya.nn.functional as F


def image(channels: int = 4):
    return diya.randn(2, channels, 8, 8).to(memory_format=diya.channels_last)


def volume():
    return diya.randn(2, 3, 4, 6, 8).to(memory_format=diya.channels_last_3d)


def turned():
    return diya.randn(4, 5, 6).permute(2, 0, 1)


CHANNELS_LAST = {
    "conv2d": lambda x: F.conv2d(x, diya.randn(4, 4, 3, 3)),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, diya.randn(4, 2, 3, 3)),
    "depthwise": lambda x: F.conv2d(x, diya.randn(4, 1, 3, 3), groups=4),
    "weight": lambda x: F.conv2d(x.contiguous(), diya.randn(5, 4, 3, 3).to(memory_format=diya.channels_last)),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True), "group_norm": lambda x: F.group_norm(x, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2), "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "max_pool2d indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[1],
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 3), "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 3),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "area": lambda x: F.interpolate(x, size=4, mode="area"), "pad": lambda x: F.pad(x, (1, 1, 1, 1)),
    "reflect": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 2), "relu": F.relu, "add": lambda x: x + 1,
    "mul": lambda x: x * x.contiguous(),
    "clone": lambda x: x.clone(), "to": lambda x: x.to(diya.float64), "zeros_like": diya.zeros_like, "flip": lambda x: x.flip(2),
    "roll": lambda x: x.roll(1, 2), "sort": lambda x: x.sort(1)[0], "cat": lambda x: diya.cat([x, x], 1),
    "complex": lambda x: diya.complex(x, x), "mse_loss": lambda x: F.mse_loss(x, x, reduction="none"),
}
ROW_MAJOR = {
    "softmax": lambda x: x.softmax(1), "log_softmax": lambda x: x.log_softmax(3),
    "masked_fill": lambda x: x.masked_fill(x > 0, 1.0),
    "tril": lambda x: x.tril(), "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "index_select": lambda x: x.index_select(1, diya.tensor([0])),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2), "circular": lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"),
    "contiguous": lambda x: x.contiguous(), "renorm": lambda x: x.renorm(2, 0, 1.0),
}
KEPT = {
    "clone": lambda x: x.clone(), "flip": lambda x: x.flip(0), "sort": lambda x: x.sort(1)[0],
    "sort's indices": lambda x: x.sort(1)[1],
    "index_put": lambda x: x.index_put((diya.tensor([0]),), diya.tensor(1.0)), "polar": lambda x: diya.polar(x, x),
    "select_scatter": lambda x: x.select_scatter(diya.ones(4, 5), 0, 0), "lgamma": lambda x: x.lgamma(),
    "comparison": lambda x: x > 0,
    "diagonal_scatter": lambda x: x.diagonal_scatter(diya.ones(5, 4)), "isreal": lambda x: x.isreal(),
    "polygamma": lambda x: x.polygamma(1),
}


@pytest.mark.parametrize("name", CHANNELS_LAST)
def test_channels_last(name):
    out = CHANNELS_LAST[name](image())
    assert out.is_contiguous(memory_format=diya.channels_last) and not out.is_contiguous(), out.stride()


def test_channels_last_on_the_tape():
    out = F.max_pool2d(image().requires_grad_(), 2)
    assert out.requires_grad and out.is_contiguous(memory_format=diya.channels_last)


@pytest.mark.parametrize("name", ROW_MAJOR)
def test_row_major(name):
    assert ROW_MAJOR[name](image()).is_contiguous()


@pytest.mark.parametrize("name", KEPT)
def test_kept(name):
    x = turned()
    assert KEPT[name](x).stride() == x.stride()


def test_channels_last_3d():
    x = volume()
    for f in (lambda x: F.conv3d(x, diya.randn(2, 3, 2, 2, 2)), lambda x: F.max_pool3d(x, 2),
              lambda x: F.interpolate(x, scale_factor=2)):
        assert f(x).is_contiguous(memory_format=diya.channels_last_3d)
    assert F.avg_pool3d(x, 2).is_contiguous()


def test_values_do_not_depend_on_the_format():
    for name, f in {**CHANNELS_LAST, **ROW_MAJOR}.items():
        x = image()
        diya.manual_seed(0)
        a = f(x)
        diya.manual_seed(0)
        b = f(x.contiguous())
        assert diya.allclose(a.abs(), b.abs(), rtol=1e-5, atol=1e-6), name


def test_copies_of_what_is_not_dense():
    x = diya.randn(17)
    assert x.as_strided((5, 6, 2), (1, 1, 7)).double().stride() == (1, 5, 30)
    assert x[:3].expand(4, 3).t().clone().stride() == (4, 1)
    assert x.as_strided((2, 3), (6, 2)).float().stride() == (6, 2)  # the same dtype: the tensor itself


def test_layouts_that_do_not_follow_the_input():
    gaps, turned = diya.arange(24.0).reshape(4, 6)[:, ::2], diya.arange(30.0).reshape(5, 6).t()
    assert diya.select_scatter(gaps, diya.zeros(3), 0, 1).stride() == diya.diagonal_scatter(gaps, diya.zeros(3)).stride() == (6, 2)
    assert diya.slice_scatter(gaps, gaps).stride() == (6, 2) and diya.rot90(turned, 4).is_contiguous()
    assert diya.nn.functional.logsigmoid(turned).is_contiguous() and diya.nn.functional.rrelu(turned).is_contiguous()
    assert diya.argsort(turned).stride() == turned.stride()
    assert diya.fft.fft(diya.ones(5, 6), dim=0, out=diya.empty(0, dtype=diya.complex64)).is_contiguous()
    assert diya.nonzero(turned, out=diya.empty(0, dtype=diya.int64)).shape == (29, 2)
