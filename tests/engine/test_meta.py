"""The meta device: shapes, dtypes and the tape without data."""

import copy

import pytest

import diya as torch
from diya import nn


def test_operators_give_meta_tensors_of_the_inferred_type():
    t = torch.empty(3, 4, device="meta")
    assert t.is_meta and not t.is_cpu and t.device == torch.device("meta") and t.untyped_storage().device.type == "meta"
    for result, shape, dtype in ((t @ t.t(), (3, 3), torch.float32), (t.sum(1).long(), (3,), torch.int64),
                                 (t.topk(2).indices, (3, 2), torch.int64), (t[:, 1:], (3, 3), torch.float32),
                                 (torch.zeros_like(t, dtype=torch.bool), (3, 4), torch.bool), (t.new_ones(2), (2,), torch.float32),
                                 (torch.cat([t, t]), (6, 4), torch.float32), (t.view(2, 6).half(), (2, 6), torch.float16)):
        assert result.is_meta and result.shape == shape and result.dtype is dtype
    assert repr(t) == "tensor(..., device='meta', size=(3, 4))"
    assert t.to("meta") is t and torch.ones(2).to("meta").is_meta and t.data_ptr() == 0
    assert torch.zeros_like(t, device="cpu").tolist() == [[0.0] * 4] * 3


def test_data_are_refused():
    t = torch.empty(2, 2, device="meta")
    for look in (t.tolist, t.cpu, t.nonzero, lambda: t.sum().item(), lambda: bool((t > 0).all()), lambda: t.to("cpu"),
                 lambda: torch.ones(2, 2).copy_(t), lambda: torch.ones(2, 2).add_(t),
                 lambda: nn.Linear(2, 2, device="meta").to("cpu")):
        with pytest.raises(NotImplementedError, match="no data"):
            look()
    with pytest.raises(TypeError, match="meta"):
        t.numpy()


def test_memory_stays_on_its_device():
    t = torch.empty(2, 2, device="meta")
    t.copy_(torch.ones(2, 2)).zero_().normal_()
    t += 1
    t[0] = torch.ones(2)
    assert t.is_meta and t._version == 5
    t.data = torch.ones(2, 2)
    assert t.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_nothing_is_drawn():
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    with torch.device("meta"):
        for layer in (nn.Linear(3, 4), nn.Conv2d(3, 4, 3), nn.Embedding(4, 5), nn.LSTM(3, 4), nn.MultiheadAttention(4, 2)):
            assert all(p.is_meta for p in layer.parameters())
        nn.init.trunc_normal_(nn.init.orthogonal_(torch.randn(4, 4)))
        assert nn.Dropout(0.5)(torch.rand(3)).is_meta
    assert torch.equal(torch.rand(2), wanted)


def test_a_model_runs_and_gets_its_memory_later():
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
        with torch.device("cpu"):
            assert torch.ones(1).is_cpu
        x = torch.randn(2, 3, 4, 4)
        assert torch.get_default_device().type == "meta" and torch.tensor([1.0]).is_meta and torch.as_tensor([1]).is_meta
    assert torch.get_default_device().type == "cpu" and torch.ones(1).is_cpu
    out = model(x)
    assert out.is_meta and out.shape == (2, 2)
    out.sum().backward()
    assert model[0].weight.grad.is_meta and model[0].weight.grad.shape == (4, 3, 3, 3)
    assert copy.deepcopy(model)[0].weight.is_meta
    real = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    model.load_state_dict(real.state_dict(), assign=True)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(model(x), real(x))
    assert all(p.is_cpu for p in nn.Linear(2, 2, device="meta").to_empty(device="cpu").parameters())


def test_what_meta_taught_the_operators_holds_for_data():
    for device in ("meta", "cpu"):
        a, b = torch.full((5, 7), 2.0, device=device), torch.full((5, 7), 3.0, device=device)
        c = ((a - b) * a + b).softmax(1)
    assert torch.allclose(c, torch.full((5, 7), 1 / 7))


def test_more_than_the_machine_holds():
    big = torch.empty(300_000, 300_000, device="meta")
    assert (big @ big).nbytes == 360_000_000_000


def test_default_device():
    torch.set_default_device("meta")
    try:
        assert torch.ones(2).is_meta and nn.Linear(2, 2).weight.is_meta and torch.ones(2, device="cpu").is_cpu
    finally:
        torch.set_default_device(None)
    assert torch.ones(2).is_cpu


def test_a_file_is_a_storage(tmp_path):
    values = torch.arange(6, dtype=torch.float32)
    (tmp_path / "x").write_bytes(b"\0" * 8 + values.numpy().tobytes())
    storage = torch.UntypedStorage.from_file(str(tmp_path / "x"), False, 32)
    t = torch.asarray(storage[8:], dtype=torch.uint8).view(dtype=torch.float32).reshape([2, 3])
    assert torch.equal(t, values.view(2, 3))
    t += 1
    assert (tmp_path / "x").read_bytes()[8:] == values.numpy().tobytes()
    shared = torch.UntypedStorage.from_file(str(tmp_path / "y"), True, 4)
    shared[0] = 7
    assert (tmp_path / "y").read_bytes() == b"\7\0\0\0"


def test_files(tmp_path):
    path = str(tmp_path / "x.pt")
    torch.save({"w": torch.arange(6.0).view(2, 3).t()}, path)
    for where in ("meta", torch.device("meta")):
        w = torch.load(path, map_location=where)["w"]
        assert w.is_meta and w.shape == (3, 2) and w.stride() == (1, 3)
    model = nn.Linear(2, 3, device="meta", dtype=torch.float64)
    torch.save(model.state_dict(), path)
    state = torch.load(path)
    assert state["weight"].is_meta and state["weight"].dtype is torch.float64 and state["weight"].shape == (3, 2)
    torch.save(model.weight, path)
    assert isinstance(torch.load(path), nn.Parameter) and torch.load(path).requires_grad
