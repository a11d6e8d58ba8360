"""Work that is recorded again without the Python that recorded it gives what that Python would."""

from weakref import WeakSet

import numpy as np
import pytest

import diya as torch
from diya import recording
from diya.autograd import replay


@pytest.fixture
def walks(monkeypatch):
    """Counts how often a backward was recorded again (instead of walked)."""
    seen = []
    original = replay.again

    def again(*args):
        seen.append(args)
        return original(*args)
    monkeypatch.setattr(replay, "again", again)
    return seen


def gradients(f, *leaves):
    for t in leaves:
        t.grad = None
    f(*leaves).backward()
    return [t.grad.numpy().copy() for t in leaves]


def test_backward_is_recorded_again_with_other_values(walks):
    f = lambda x, y: (x * y + x.tanh()).sum()  # noqa: E731
    for k in range(5):
        x = torch.full((3,), float(k), dtype=torch.float64, requires_grad=True)
        y = torch.full((3,), k + 1.0, dtype=torch.float64, requires_grad=True)
        gx, gy = gradients(f, x, y)
        assert np.allclose(gx, k + 1 + 1 - np.tanh(k) ** 2) and np.allclose(gy, k)
    assert len(walks) == 3


def test_which_operands_are_one_is_part_of_a_tape(walks):
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = torch.tensor([5.0, 7.0], requires_grad=True)
    for _ in range(4):
        assert gradients(lambda x: (x * x).sum(), x)[0].tolist() == [4, 6]
        gx, gy = gradients(lambda x, y: (x * y).sum(), x, y)
        assert gx.tolist() == [5, 7] and gy.tolist() == [2, 3]
        z = x.detach().requires_grad_()  # the same values, not the same leaf
        assert [g.tolist() for g in gradients(lambda x, z: (x * z).sum(), x, z)] == [[2, 3], [2, 3]]
    assert walks


def test_parameters_are_part_of_a_tape():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for _ in range(3):
        assert gradients(lambda x: (x.sum(0) * torch.tensor([1.0, 10.0])).sum(), x)[0].tolist() == [[1, 10], [1, 10]]
        assert gradients(lambda x: (x.sum(1) * torch.tensor([1.0, 10.0])).sum(), x)[0].tolist() == [[1, 1], [10, 10]]
        assert gradients(lambda x: (x ** 2).sum(), x)[0].tolist() == [[2, 4], [6, 8]]
        assert gradients(lambda x: (x ** 3).sum(), x)[0].tolist() == [[3, 12], [27, 48]]


def test_gradients_accumulate_and_the_tape_is_released(walks):
    x = torch.ones(3, requires_grad=True)
    for k in range(1, 6):
        y = (x.exp() * 2).sum()
        y.backward(retain_graph=True)
        y.backward()
        assert np.allclose(x.grad.numpy(), 4 * k * np.e)
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()
    assert walks


def test_hooks_and_modified_values_are_seen_after_a_tape_is_known():
    x = torch.ones(3, requires_grad=True)
    for _ in range(3):
        gradients(lambda x: (x.exp() * 2).sum(), x)
    seen = []
    handle = x.register_hook(lambda g: seen.append(g) or g * 0)
    assert gradients(lambda x: (x.exp() * 2).sum(), x)[0].tolist() == [0, 0, 0] and len(seen) == 1
    handle.remove()
    y = x.exp()
    z = (y * 2).sum()
    y.register_hook(lambda g: g * 10)
    x.grad = None
    z.backward()
    assert np.allclose(x.grad.numpy(), 20 * np.e)
    y = x.exp()
    z = (y * 2).sum()
    with torch.no_grad():
        y.mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_dropout_draws_anew_each_time(walks):
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    masks = []
    for _ in range(4):
        out = torch.nn.functional.dropout(x, 0.5)
        x.grad = None
        out.sum().backward()
        assert (x.grad.numpy() == out.detach().numpy()).all()
        masks.append(tuple(x.grad.tolist()))
    assert len(set(masks)) == 4 and walks


def test_an_operator_with_a_rule_sees_types_layout_and_arguments():
    f = torch.nn.functional
    x = torch.arange(6.0).reshape(2, 3)
    for _ in range(3):
        assert f.linear(x, torch.ones(4, 3)).tolist() == [[3.0] * 4, [12.0] * 4]
        assert f.linear(x, torch.ones(4, 3), torch.ones(4)).tolist() == [[4.0] * 4, [13.0] * 4]
        assert f.linear(x.double(), torch.ones(4, 3, dtype=torch.float64)).dtype is torch.float64
        assert f.linear(x.t(), torch.ones(4, 2)).tolist() == [[3.0] * 4, [5.0] * 4, [7.0] * 4]
        assert f.leaky_relu(-x, 0.5).tolist() == (-x * 0.5).tolist()
        assert f.leaky_relu(-x, 0.25).tolist() == (-x * 0.25).tolist()
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            f.linear(x, torch.ones(4, 2))


def test_results_do_not_share_memory_between_calls():
    f = torch.nn.functional
    x = torch.ones(4)
    a = f.relu(x)
    b = f.relu(x)
    a.add_(1)
    assert b.tolist() == [1] * 4 and x.tolist() == [1] * 4


def test_the_default_dtype_is_not_remembered():
    f = torch.nn.functional
    x = torch.arange(3)
    for _ in range(2):
        assert f.softmax(x, 0, dtype=torch.float32).dtype is torch.float32
        assert (x / 2).dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert (x / 2).dtype is torch.float64 and torch.nn.functional.one_hot(x).dtype is torch.int64
    finally:
        torch.set_default_dtype(torch.float32)
    assert not any(len(m) for m in recording._memories if not isinstance(m, WeakSet))  # which know who remembers


def test_keys_tell_numbers_apart():
    assert len({recording.frozen(v) for v in (1, 1.0, True, 0.0, -0.0, "1", None, (1,), [1])}) == 9
    assert recording.frozen(torch.ones(1)) is None and recording.frozen((1, object())) is None


def test_much_work_is_one_node_that_programs_never_see(walks):
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4).requires_grad_()

    def f(x):
        for _ in range(12):
            x = torch.nn.functional.gelu(torch.nn.functional.layer_norm(x, (4,)) * 1.5 + x)
        return x.sin().sum()
    first = gradients(f, x)[0]
    met = [gradients(f, x)[0] for _ in range(8)]
    assert all((g == met[-1]).all() for g in met[5:]) and all(np.allclose(g, first) for g in met) and walks
    x.grad = None
    f(x).backward()
    from diya import engine
    assert any(n.op.name == "call" for n in engine._pending)
    assert "layer" not in str(torch.explain(x.grad)) and "call" not in str(torch.explain(x.grad)["graph"])
    half = x.grad * 0.5  # reads one of the call's results before it runs
    assert np.allclose(half.numpy(), first / 2)


def test_parts_of_a_call_that_nobody_wants_are_not_computed(walks):
    from diya import engine
    a = torch.ones(2, 3, requires_grad=True)
    b = torch.ones(3, 5, requires_grad=True)

    def products(wanted):
        """How many matrix products a step takes of which one gradient is looked at."""
        a.grad = b.grad = None
        y = a
        for _ in range(6):
            y = (y.tanh() @ b).sum(1, keepdim=True) + a
        y.sum().backward()
        if not wanted:
            b.grad = None
        seen = []
        engine.listeners.append(seen.append)
        try:
            a.grad.tolist()
        finally:
            engine.listeners.remove(seen.append)
        return sum(n.op.name == "contract" for graph in seen for n in graph.code)
    for _ in range(3):
        products(True)
    assert walks
    assert products(False) < products(True)


def test_an_operator_that_draws_random_numbers_draws_once():
    from diya.autograd.tape import Rule
    from diya.ops.ruled import with_rule
    drawn = []

    def noisy(input, scale):
        drawn.append(1)
        return input + torch.rand(input.shape) * scale
    f = with_rule(noisy, Rule("Noisy", ("input",), {"input": lambda g: g}))
    x = torch.zeros(4, requires_grad=True)
    torch.manual_seed(3)
    found = [f(x, 2.0).tolist() for _ in range(3)]
    torch.manual_seed(3)
    assert found == [(torch.rand(4) * 2).tolist() for _ in range(3)] and len(drawn) == 3


def test_pending_calls_are_bounded(monkeypatch):
    from diya import engine
    monkeypatch.setattr(engine, "MAX_PENDING", 100)
    x = torch.linspace(-1, 1, 8, dtype=torch.float64).requires_grad_()

    def step():
        y = x
        for _ in range(6):
            y = torch.nn.functional.gelu(y) + x
        x.grad = None
        y.sum().backward()
        return x.grad.clone()
    first = step().numpy()
    kept = [step() for _ in range(20)]  # nothing is looked at meanwhile
    assert len(engine._pending) <= 101 and engine._folded <= 100
    assert all(np.allclose(g.numpy(), first) for g in kept)


def test_a_gradient_that_is_a_view_of_a_number_is_not_kept():
    w = torch.ones(3, requires_grad=True)
    for k in (1.0, 1.0, 1.0, 5.0, 7.0):
        w.grad = None
        (w * 2).backward(torch.tensor(k).expand(3))
        assert w.grad.tolist() == [2 * k] * 3
