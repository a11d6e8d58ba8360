"""What recorded answers do not hold: strings and errors, state in place, sampling, second derivatives, names."""

import math

import numpy as np
import pytest

import diya as torch

F = torch.nn.functional


def sample(*shape, seed=0, grad=False):
    t = torch.tensor(np.random.default_rng(seed).standard_normal(shape))
    return t.requires_grad_() if grad else t


def close(a, b, **kwargs):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy() if isinstance(b, torch.Tensor) else b, **kwargs)


# -- convolution -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_keeps_the_size_and_pads_more_on_the_right(kernel, dilation):
    x, w = sample(2, 3, 9), sample(4, 3, kernel, seed=1)
    total = dilation * (kernel - 1)
    expected = F.conv1d(F.pad(x, (total // 2, total - total // 2)), w, dilation=dilation)
    out = F.conv1d(x, w, padding="same", dilation=dilation)
    assert out.shape[-1] == 9
    close(out, expected)


def test_convolution_errors():
    x, w = torch.ones(1, 3, 5, 5), torch.ones(4, 3, 3, 3)
    with pytest.raises(RuntimeError, match="expected input.* to have 3 channels, but got 2 channels"):
        F.conv2d(x[:, :2], w)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        F.conv2d(x[:, :, :2], w)
    with pytest.raises(RuntimeError, match="not supported for strided"):
        F.conv2d(x, w, stride=2, padding="same")
    with pytest.raises(RuntimeError, match="Invalid padding string"):
        F.conv2d(x, w, padding="full")
    with pytest.raises(RuntimeError, match="should be the same"):
        F.conv2d(x.double(), w)
    with pytest.raises(RuntimeError, match="output padding must be smaller"):
        F.conv_transpose2d(torch.ones(1, 4, 2, 2), w, stride=2, output_padding=2)


# -- pooling -----------------------------------------------------------------------------------------------------------


def test_the_first_maximum_wins():
    x = torch.tensor([[[1.0, 3.0, 3.0, 0.0, 2.0, 2.0]]], requires_grad=True)
    out, at = F.max_pool1d(x, 3, return_indices=True)
    assert at.tolist() == [[[1, 4]]]
    out.sum().backward()
    assert x.grad.tolist() == [[[0.0, 1.0, 0.0, 0.0, 1.0, 0.0]]]


def test_padding_is_never_the_maximum():
    x = torch.full((1, 1, 3), -math.inf)
    out, at = F.max_pool1d(x, 2, padding=1, return_indices=True)
    assert at.min().item() >= 0 and out.shape[-1] == 2


def test_pooling_errors():
    with pytest.raises(RuntimeError, match="at most half of effective kernel size"):
        F.max_pool2d(torch.ones(1, 1, 4, 4), 2, padding=2)
    with pytest.raises(RuntimeError, match="Output size is too small"):
        F.avg_pool2d(torch.ones(1, 1, 2, 2), 3)


# -- normalisation -----------------------------------------------------------------------------------------------------


def test_running_statistics_follow_in_place():
    x = sample(6, 3, 4)
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    kept = mean
    F.batch_norm(x, mean, var, training=True, momentum=0.25)
    a = x.numpy().transpose(1, 0, 2).reshape(3, -1)
    close(kept, 0.25 * a.mean(1))
    close(var, 0.75 + 0.25 * a.var(1, ddof=1))
    out = F.batch_norm(x, mean, var, training=False)
    close(out, (x.numpy() - mean.numpy()[:, None]) / np.sqrt(var.numpy()[:, None] + 1e-5))


def test_normalisation_errors():
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        F.batch_norm(torch.ones(1, 3), None, None, training=True)
    with pytest.raises(RuntimeError, match=r"expected input with shape \[\*, 4\]"):
        F.layer_norm(torch.ones(2, 3), (4,))
    with pytest.raises(RuntimeError, match="running_mean should contain 3 elements not 4"):
        F.batch_norm(torch.ones(2, 3, 2), torch.ones(4), torch.ones(3))


@pytest.mark.parametrize("norm", [lambda x, w: F.layer_norm(x, (5,), w), lambda x, w: F.rms_norm(x, (5,), w),
                                  lambda x, w: F.batch_norm(x, None, None, w, training=True)])
def test_norms_differentiate_twice(norm):
    x, w = sample(4, 5, grad=True), sample(5, seed=1, grad=True)
    assert torch.autograd.gradcheck(norm, (x, w))
    assert torch.autograd.gradgradcheck(norm, (x, w))


# -- losses ------------------------------------------------------------------------------------------------------------


def test_targets_out_of_bounds():
    with pytest.raises(IndexError, match="Target 5 is out of bounds"):
        F.cross_entropy(torch.ones(2, 5), torch.tensor([0, 5]))
    with pytest.raises(IndexError):  # known only when it runs
        F.cross_entropy(torch.ones(2, 5), torch.tensor([0, 2]) * 2 - 3).item()
    assert F.cross_entropy(torch.zeros(2, 5), torch.tensor([-100, 1])).item() == pytest.approx(math.log(5))
    with pytest.raises(ValueError, match=r"batch_size \(2\) to match target batch_size \(3\)"):
        F.cross_entropy(torch.ones(2, 5), torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="not a valid value for reduction"):
        F.mse_loss(torch.ones(2), torch.ones(2), reduction="median")
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        F.binary_cross_entropy(torch.tensor([1.5]), torch.tensor([1.0]))


def test_loss_of_extreme_logits_is_finite():
    x = torch.tensor([[1000.0, -1000.0]], requires_grad=True)
    loss = F.cross_entropy(x, torch.tensor([1]))
    loss.backward()
    assert loss.item() == 2000 and x.grad.tolist() == [[1.0, -1.0]]
    assert F.binary_cross_entropy_with_logits(torch.tensor([-500.0]), torch.tensor([1.0])).item() == 500


# -- embedding, attention ------------------------------------------------------------------------------------------------


def test_embedding():
    weight = sample(5, 2, grad=True)
    at = torch.tensor([[1, 2], [2, 4]])
    F.embedding(at, weight, padding_idx=1).sum().backward()
    assert weight.grad.tolist() == [[0, 0], [0, 0], [2, 2], [0, 0], [1, 1]]
    for bad in (5, -1):
        with pytest.raises(IndexError, match="index out of range in self"):
            F.embedding(torch.tensor([bad]), weight)
    table = torch.tensor([[3.0, 4.0], [0.3, 0.4], [30.0, 40.0]])
    F.embedding(torch.tensor([0, 1]), table, max_norm=1.0)
    close(table, [[0.6, 0.8], [0.3, 0.4], [30.0, 40.0]], rtol=1e-6)


def test_a_query_that_sees_nothing_gives_zeros():
    q, k, v = (sample(1, 3, 4, seed=s) for s in range(3))
    mask = torch.tensor([[True, True, True], [False, False, False], [True, False, False]])
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert out[0, 1].tolist() == [0.0] * 4
    close(out[0, 2], v[0, 0])
    with pytest.raises(RuntimeError, match="should not be set when is_causal=True"):
        F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=True)


# -- sampling ----------------------------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_repeats_under_a_seed():
    x = torch.ones(200, 200, requires_grad=True)
    torch.manual_seed(1)
    out = F.dropout(x, 0.3)
    kept = (out != 0).float().mean().item()
    assert abs(kept - 0.7) < 0.01
    assert set(np.unique(out.detach().numpy())) <= {np.float32(0), np.float32(1) / np.float32(0.7), np.float32(1 / 0.7)}
    out.sum().backward()
    close(x.grad, out)
    assert not torch.equal(F.dropout(x, 0.3), out)
    torch.manual_seed(1)
    assert torch.equal(F.dropout(x, 0.3), out)


def test_dropout_modes():
    x = sample(3, 4, 5, 5)
    assert F.dropout(x, 0.5, training=False) is x
    assert not F.dropout(x, 1.0).any()
    channels = F.dropout2d(x, 0.5)
    ratio = (channels / x).reshape(3, 4, -1)
    assert ((ratio == ratio[..., :1]).all()).item()
    y = torch.ones(100)
    assert F.dropout(y, 0.5, inplace=True) is y and 0 < int((y == 0).sum()) < 100
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.dropout(x, 1.5)
    torch.manual_seed(0)
    z = F.alpha_dropout(torch.randn(20000), 0.2, training=True)
    assert abs(z.mean().item()) < 0.05 and abs(z.std().item() - 1) < 0.05


# -- in place, names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "elu", "leaky_relu", "silu", "hardtanh", "selu", "celu", "mish", "hardswish"])
def test_in_place_activations_are_differentiable(name):
    x = sample(3, 4, grad=True)
    f = getattr(F, name)
    y = x * 1
    assert f(y, inplace=True) is y
    wanted, = torch.autograd.grad(f(x).sum(), x)
    got, = torch.autograd.grad(y.sum(), x)
    close(y, f(x))
    close(got, wanted)


def test_nodes_on_the_tape_go_by_pytorchs_names():
    x, y = torch.ones(2, 3, requires_grad=True), torch.tensor([0, 1])
    image, weight = torch.ones(1, 2, 4, 4, requires_grad=True), torch.ones(2, 2, 3, 3)
    for out, name in ((F.relu(x), "Relu"), (F.cross_entropy(x, y), "NllLoss"), (F.mse_loss(x, x.detach()), "MseLoss"),
                      (F.conv2d(image, weight, torch.ones(2)), "Convolution"), (F.softmax(x, 1), "Softmax"),
                      (F.max_pool2d(image, 2), "MaxPool2DWithIndices"), (F.layer_norm(x, (3,)), "NativeLayerNorm")):
        assert out.grad_fn.name() == name + "Backward0"
    assert "grad_fn=<NllLossBackward0>" in repr(F.cross_entropy(x, y))


def test_resampling_arguments():
    x = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert F.interpolate(x, scale_factor=2).shape == (1, 1, 4, 4)
    assert F.interpolate(x, size=(3, 5), mode="bilinear").shape == (1, 1, 3, 5)
    with pytest.raises(ValueError, match="only one of size or scale_factor"):
        F.interpolate(x, size=2, scale_factor=2)
    with pytest.raises(ValueError, match="align_corners option can only be set"):
        F.interpolate(x, size=2, align_corners=True)
    with pytest.raises(NotImplementedError):
        F.pad(x, (1, 1), mode="mirror")
    with pytest.raises(RuntimeError, match="less than the corresponding input dimension"):
        F.pad(x, (2, 0, 0, 0), mode="reflect")
