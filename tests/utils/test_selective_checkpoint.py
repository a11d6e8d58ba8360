"""Checkpointing as libraries ask for it: with policies, as wrapped modules."""

from functools import partial

import pytest

import diya as torch
from diya import nn
from diya.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointImpl,
    apply_activation_checkpointing,
    checkpoint_wrapper,
)
from diya.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts


def test_policies_change_no_number():
    torch.manual_seed(0)
    layer, x = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Tanh()), torch.randn(3, 4, requires_grad=True)
    contexts = partial(create_selective_checkpoint_contexts, lambda ctx, op, *args, **kwargs: CheckpointPolicy.PREFER_RECOMPUTE)
    grads = []
    for call in (layer, lambda x: checkpoint(layer, x, use_reentrant=False, context_fn=contexts)):
        torch.manual_seed(1)
        grads.append(torch.autograd.grad(call(x).sum(), [x, *layer.parameters()]))
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    with pytest.raises(TypeError):
        create_selective_checkpoint_contexts(3)


@pytest.mark.parametrize("kind", list(CheckpointImpl))
def test_wrapped_modules(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    x = torch.randn(3, 4)
    plain, names = model(x), list(model.state_dict())
    plain.sum().backward()
    wanted = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    apply_activation_checkpointing(model, partial(checkpoint_wrapper, checkpoint_impl=kind), lambda m: isinstance(m, nn.Sequential))
    x.requires_grad_()
    out = model(x)
    out.sum().backward()
    assert torch.equal(out, plain) and all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), wanted, strict=True))
    assert list(model.state_dict()) == names and [n for n, _ in model[1].named_parameters()] == ["0.weight", "0.bias"]
    assert model.load_state_dict(model.state_dict()).missing_keys == [] and model[1][0].in_features == 4


def test_names_of_several_processes_are_refused_where_used():
    from diya.distributed.checkpoint import FileSystemReader
    from diya.distributed.fsdp.fully_sharded_data_parallel import FullyShardedDataParallel
    from diya.distributed.tensor.parallel import parallelize_module
    assert not isinstance(nn.Linear(1, 1), FullyShardedDataParallel)
    for make in (FileSystemReader, FullyShardedDataParallel, parallelize_module):
        with pytest.raises(NotImplementedError, match="one process"):
            make()


def test_parameters_take_what_another_holds():
    p = nn.Parameter(torch.ones(2))
    assert nn.Parameter(p.to("meta"), **{**p.__dict__, "requires_grad": False}).is_meta
    with pytest.raises(TypeError, match="colour"):
        nn.Parameter(torch.ones(2), colour=1)  # type: ignore[call-arg]
