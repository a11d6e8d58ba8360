"""Tools around training, with the numbers that PyTorch gave for the same seeds."""

import multiprocessing
import sys

import pytest

import diya as torch
from diya import nn
from diya.nn import functional as F
from diya.nn.utils import prune


def net():
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))


def test_dropout_draws_what_pytorch_draws():
    torch.manual_seed(0)
    x = torch.arange(24.0).reshape(2, 3, 4)
    assert F.dropout(x, 0.5).sum().item() == 322.0
    assert F.dropout(x.permute(2, 0, 1), 0.25).sum().item() == pytest.approx(297.33333, abs=1e-4)
    assert F.dropout1d(x, 0.5).sum().item() == 248.0
    assert torch.rand(1).item() == pytest.approx(0.4724502, abs=1e-6)


def test_pruning():
    torch.manual_seed(0)
    x, y = torch.randn(32, 6), torch.randint(0, 3, (32,))
    m = net()
    prune.l1_unstructured(m[0], "weight", 0.3)
    prune.random_unstructured(m[3], "weight", amount=5)
    prune.ln_structured(m[0], "weight", 0.25, n=2, dim=0)
    assert sorted(dict(m[0].named_parameters())) == ["bias", "weight_orig"] and "0.weight_mask" in m.state_dict()
    zeros = m[0].weight.eq(0).sum().item()
    assert (zeros, m[0].weight_mask.nonzero().sum().item(), m[3].weight_mask.nonzero().sum().item()) == (30, 304, 193)
    optimizer = torch.optim.SGD(m.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(m(x), y).backward()
        optimizer.step()
    assert m[0].weight.eq(0).sum().item() == zeros and m[3].weight.eq(0).sum().item() == 5
    prune.remove(m[0], "weight")
    assert sorted(dict(m[0].named_parameters())) == ["bias", "weight"] and m[0].weight.eq(0).sum().item() == zeros
    prune.global_unstructured([(m[0], "weight"), (m[3], "weight")], prune.L1Unstructured, amount=0.5)
    assert prune.is_pruned(m) and m[0].weight.eq(0).sum().item() + m[3].weight.eq(0).sum().item() == 57
    with pytest.raises(ValueError, match="has to be pruned"):
        prune.remove(m[1], "weight")
    with pytest.raises(ValueError, match="amount"):
        prune.l1_unstructured(m[3], "weight", 1.5)


def add_in_child(model, queue):
    with torch.no_grad():
        model.weight.add_(1.0)
    queue.put(model.weight.sum().item())


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_processes_share_parameters():
    model = nn.Linear(2, 2)
    assert not model.weight.is_shared()
    before = model.share_memory().weight.sum().item()
    assert model.weight.is_shared()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=add_in_child, args=(model, queue))
    child.start()
    told = queue.get(timeout=60)
    child.join()
    assert told == pytest.approx(before + 4, abs=1e-5) and model.weight.sum().item() == pytest.approx(told)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_old_names():
    x = torch.arange(6.0).view(2, 3)
    assert x.type(torch.DoubleTensor).dtype is torch.float64 and isinstance(x, torch.FloatTensor)
    v = torch.autograd.Variable(x, requires_grad=True)
    assert v.requires_grad and v.data_ptr() == x.data_ptr() and isinstance(x, torch.autograd.Variable)
    traced = torch.jit.trace(nn.Linear(3, 2), x)
    assert traced(x).shape == (2, 2) and torch.jit.freeze(traced.eval()) is traced
    a, b = torch.ones(1), torch.zeros(2)
    torch.utils.swap_tensors(a, b)
    assert a.shape == (2,) and b.item() == 1
    assert torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(x)).sum().item() == 15
    assert nn.SyncBatchNorm(3)(torch.randn(4, 3)).mean().item() == pytest.approx(0, abs=1e-6)


def test_recurrent_functions():
    ones, state = torch.ones(2, 3), torch.zeros(2, 4)
    weights = [torch.full((16, n), 0.1) for n in (3, 4)]
    assert torch.lstm_cell(ones, (state, state), *weights)[0].sum().item() == pytest.approx(0.7619295, abs=1e-6)
    assert torch.gru_cell(ones, state, *(w[:12] for w in weights)).sum().item() == pytest.approx(0.9917622, abs=1e-6)
    for layer, function in [(nn.LSTM, torch.lstm), (nn.GRU, torch.gru)]:
        net = layer(3, 4, 2, bidirectional=True, batch_first=True)
        x, h = torch.randn(2, 5, 3), torch.zeros(4, 2, 4)
        start = (h, h) if layer is nn.LSTM else h
        own, expected = function(x, start, net._flat_weights, True, 2, 0.0, False, True, True), net(x, start)
        assert torch.allclose(own[0], expected[0], atol=1e-6)


def test_versions_compare_as_versions():
    from diya.torch_version import TorchVersion
    here = TorchVersion("2.13.0+diya.0.1.0")
    assert here >= "2.4" and here > (2, 1) and here < "10.0" and here >= "2.13" and not here < "2.13.0a0" and here != "2.13.1"
    assert TorchVersion("2.1.0rc1") < "2.1.0" and str(here).startswith("2.13.0") and here == "2.13.0+diya.0.1.0"


@pytest.mark.parametrize("result", [lambda x: F.cross_entropy(x[0, 0], torch.arange(3)), lambda x: F.max_pool2d(x, 2),
                                    lambda x: F.scaled_dot_product_attention(x, x, x)])
def test_what_backward_does_not_need_may_be_written_to(result):
    grads = []
    for write in (lambda y: y / 4, lambda y: y.div_(4)):
        x = torch.linspace(-1, 1, 12).reshape(1, 1, 3, 4).requires_grad_()
        write(result(x)).sum().backward()
        grads.append(x.grad)
    assert torch.allclose(grads[0], grads[1], atol=1e-6)
