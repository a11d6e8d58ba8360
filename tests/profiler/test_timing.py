"""``explain(time=True)``: what a step has to do is counted right, and timing it changes no result."""

import numpy as np
import pytest

import diya as torch
from diya import engine, nn

pytest.importorskip("llvmlite")


def timed(function, *args):
    return torch.explain(function, *args, time=True).timed


def only(shown, kind="contract"):
    (found,) = [w for w in shown.work if w.kind == kind]
    return found


def test_a_matrix_product_is_counted_by_its_sizes():
    a, b = torch.randn(32, 48), torch.randn(48, 16)
    w = only(timed(lambda: (a @ b).numpy()))
    assert w.flops == 2 * 32 * 48 * 16 and w.sizes == "32×48·48×16"
    assert w.nbytes == 4 * (32 * 48 + 48 * 16 + 32 * 16)


def test_a_convolution_is_counted_by_its_sizes():
    x, w = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3)
    found = only(timed(lambda: nn.functional.conv2d(x, w, padding=1).numpy()))
    assert found.flops == 2 * 2 * 4 * 8 * 8 * 3 * 3 * 3
    assert found.nbytes == 4 * (x.numel() + w.numel() + 2 * 4 * 8 * 8)


def test_a_strided_transposed_convolution_never_multiplies_zeros():
    x, w = torch.randn(2, 3, 8, 8), torch.randn(3, 4, 4, 4)
    shown = timed(lambda: nn.functional.conv_transpose2d(x, w, stride=2, padding=1).numpy())
    assert sum(k.flops for k in shown.work if k.kind == "contract") == 2 * 2 * 4 * 16 * 16 * 3 * 2 * 2


def test_elementwise_work_reads_what_it_touches():
    x, y = torch.randn(1000), torch.randn(4, 1000)
    w = only(timed(lambda: (x + y * 2).numpy()), "loops")
    assert w.flops == 8000 and w.nbytes == 4 * (1000 + 4000 + 4000 + 1)


def test_long_sums_are_counted_once():
    x = torch.randn(1 << 20)
    shown = timed(lambda: x.sum().numpy())
    assert 1 << 20 <= sum(w.flops for w in shown.work) < 1.01 * (1 << 20)
    assert 4 << 20 <= sum(w.nbytes for w in shown.work) < 1.01 * (4 << 20)


def test_lines_of_the_user_and_time():
    x = torch.randn(64, 64)

    def step():
        h = (x @ x).relu()
        return h.sum(1).exp().tolist()
    step()
    step()  # known by now, recorded without lines
    shown = torch.explain(step, time=True)
    assert list(shown) == ["time"] and "h = (x @ x).relu()" in str(shown) and "return h.sum(1).exp()" in str(shown)
    assert len(shown.timed.seconds) == len(shown.timed.work) and sum(shown.timed.seconds) > 0
    assert not engine.debug_lines


def test_host_steps_are_named():
    x = torch.randn(100)
    assert only(timed(lambda: (x + 1).sort().values.numpy()), "host").name


def test_timing_a_step_takes_it_once():
    def train(explained):
        torch.manual_seed(3)
        model = nn.Linear(5, 3)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        x = torch.randn(8, 5)

        def step():
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
        for i in range(4):
            torch.explain(step, time=True) if explained and i == 2 else step()
        return model.weight.detach().numpy()
    with engine.Tier(1):
        assert np.array_equal(train(True), train(False))


def test_a_tensor_stays_pending():
    y = torch.randn(50).exp() + 1
    shown = torch.explain(y, time=True, stages=("graph",))
    assert list(shown) == ["time", "graph"] and y._storage.node.value is None
    with pytest.raises(TypeError, match="a tensor or a function"):
        torch.explain(3, time=True)


def test_data_at_fault_is_reported_as_ever():
    table, index = torch.randn(5, 4), torch.tensor([1, 9])
    with pytest.raises(IndexError, match="9"):
        torch.explain(lambda: (table[index] * 2).tolist(), time=True)
    assert (table[index.clamp(max=4)] * 2).shape == (2, 4)


def test_backward_is_on_the_lines_of_forward():
    w = torch.randn(8, 8, requires_grad=True)
    x = torch.randn(4, 8)

    def step():
        h = x @ w
        loss = h.square().sum()
        loss.backward()
        found, w.grad = w.grad.tolist(), None
        return found
    step()
    step()  # a tape like one met before is recorded again without a walk, which would know the lines of backward() alone
    shown = str(torch.explain(step, time=True))
    assert "backward  h = x @ w" in shown and engine.forward_line is None
