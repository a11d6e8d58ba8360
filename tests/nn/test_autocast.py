"""Mixed precision: which operators compute in which dtype, and the scaling of losses."""

import pytest

import diya as torch
from diya.nn import functional as F

A, B = torch.linspace(-1, 1, 16).reshape(4, 4), torch.linspace(2, 0, 16).reshape(4, 4)
HALF = A.bfloat16()
CASES = [
    ("bfloat16", lambda: A @ B), ("bfloat16", lambda: F.linear(A, B)), ("bfloat16", lambda: torch.einsum("ij,jk->ik", A, B)),
    ("bfloat16", lambda: F.conv1d(A[None], B[..., None])), ("bfloat16", lambda: A @ B.half()), ("bfloat16", lambda: HALF.relu()),
    ("bfloat16", lambda: HALF.softmax(-1)), ("bfloat16", lambda: torch.nn.MultiheadAttention(4, 2)(A, A, A)[0]),
    ("bfloat16", lambda: torch.nn.LSTM(4, 3)(A)[0]), ("float32", lambda: torch.nn.GRU(4, 3)(A)[0]),
    ("float32", lambda: A * B), ("float32", lambda: torch.einsum("i,j->ij", A[0], B[0])), ("float32", lambda: A @ B + A),
    ("float32", lambda: F.cross_entropy(HALF, torch.arange(4))), ("float32", lambda: F.mse_loss(HALF, HALF)),
    ("float32", lambda: HALF.prod()), ("float32", lambda: F.layer_norm(A, (4,))), ("float64", lambda: A.double() @ B.double()),
]


@pytest.mark.parametrize("dtype, compute", CASES)
def test_dtypes_are_pytorchs(dtype, compute):
    with torch.autocast("cpu"):
        assert compute().dtype is getattr(torch, dtype)
    with torch.autocast("cpu"), torch.autocast("cpu", enabled=False):
        assert not torch.is_autocast_enabled("cpu")
        assert (A @ B).dtype is torch.float32


def test_products_are_rounded_once_and_gradients_are_of_the_parameters_dtype():
    weight = torch.linspace(-2, 3, 12).reshape(3, 4).requires_grad_()
    bias = torch.linspace(0, 1, 3).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = F.linear(A, weight, bias)
        out = out + F.linear(A, weight)  # its cast is kept: the two gradients are summed in bfloat16
    out.float().sum().backward()
    assert out.dtype is torch.bfloat16 and weight.grad.dtype is torch.float32
    exact = A.bfloat16().float() @ weight.detach().bfloat16().float().T
    once = (exact + bias.detach().bfloat16().float()).bfloat16() + exact.bfloat16()
    assert out.tolist() == once.tolist()


def test_decorators():
    class Product(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        @torch.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g @ b.T, a.T @ g

    @torch.autocast("cpu")
    def run(a):
        return Product.apply(a.bfloat16(), a), a @ a

    a = A.clone().requires_grad_()
    full, half = run(a)
    assert full.dtype is torch.float32 and half.dtype is torch.bfloat16
    full.sum().backward()
    assert a.grad.dtype is torch.float32


def test_what_is_not_there_warns_and_is_off():
    with pytest.warns(UserWarning, match="CUDA is not available"), torch.autocast("cuda"):
        assert (A @ B).dtype is torch.float32
    with pytest.warns(UserWarning, match="not supported"), torch.autocast("cpu", dtype=torch.float32):
        assert (A @ B).dtype is torch.float32
    with pytest.warns(UserWarning, match="not available"):
        assert not torch.cuda.amp.GradScaler().is_enabled()


def test_scaler_skips_infinite_steps_and_shrinks():
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    for factor, scale, value in [(1.0, 8.0, 0.5), (float("inf"), 4.0, 0.5), (1.0, 4.0, 0.0), (1.0, 8.0, -0.5)]:
        optimizer.zero_grad()
        scaler.scale((w * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert (scaler.get_scale(), w[0].item()) == (scale, value)
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    again = torch.amp.GradScaler("cpu")
    again.load_state_dict(scaler.state_dict())
    assert again.get_scale() == 8.0
