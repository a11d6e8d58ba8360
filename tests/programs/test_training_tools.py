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
