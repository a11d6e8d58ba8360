"""What libraries written for PyTorch ask of it, without the libraries."""

import pytest

import diya as torch


def test_directions_to_a_tracer_change_nothing():
    @torch.compiler.disable
    def double(x):
        return x * 2

    assert not torch.compiler.is_compiling() and not torch._dynamo.is_compiling()
    assert double(torch.ones(2)).tolist() == [2, 2]
    assert torch.compiler.allow_in_graph(double) is double
    with torch._dynamo.config.patch(verbose=True):
        assert torch._dynamo.config.verbose
    assert not torch._dynamo.config.verbose


def test_foreach_operators_follow_their_lists():
    a = [torch.ones(2), torch.zeros(3)]
    torch._foreach_maximum_(a, [torch.full((2,), 3.0), torch.ones(3)])
    torch._foreach_add_(a, a, alpha=2)
    torch._foreach_addcmul_(a, a, a, [1.0, 2.0])
    assert a[0].tolist() == [90, 90] and a[1].tolist() == [21, 21, 21]
    assert [n.item() for n in torch._foreach_norm([torch.tensor([3.0, 4.0])])] == [5]
    with pytest.raises(RuntimeError, match="same number of tensors"):
        torch._foreach_add(a, a[:1])
    with pytest.raises(AttributeError, match="_foreach_nonsense"):
        torch._foreach_nonsense(a)


def test_names_of_8_bit_floats_compare_and_refuse():
    assert torch.float32 != torch.float8_e4m3fn
    assert torch.finfo(torch.float8_e4m3fn).max == 448
    with pytest.raises(NotImplementedError, match="float8_e4m3fn"):
        torch.zeros(2, dtype=torch.float8_e4m3fn)


def test_groups_of_tensors_by_dtype():
    from diya.utils._foreach_utils import _group_tensors_by_device_and_dtype as group
    params = [torch.ones(1), torch.ones(1, dtype=torch.float64), torch.ones(2)]
    groups = group([params, params], with_indices=True)
    assert [indices for _, indices in groups.values()] == [[0, 2], [1]]


def test_custom_operator_has_its_gradient():
    @torch.library.custom_op("idioms::cube", mutates_args=())
    def cube(x: torch.Tensor) -> torch.Tensor:
        return x ** 3

    cube.register_autograd(lambda ctx, g: g * 3 * ctx.saved_tensors[0] ** 2,
                           setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
    x = torch.tensor([2.0], requires_grad=True)
    torch.ops.idioms.cube(x).sum().backward()
    assert x.grad.item() == 12


def test_distributions_densities_and_divergences():
    D = torch.distributions
    normal = D.Normal(torch.tensor(0.0), torch.tensor(2.0))
    assert normal.log_prob(torch.tensor(1.0)).item() == pytest.approx(-1.737086, abs=1e-5)
    assert D.kl_divergence(normal, D.Normal(1.0, 1.0)).item() == pytest.approx(1.306853, abs=1e-5)
    scale = torch.tensor(2.0, requires_grad=True)
    D.Normal(torch.tensor(0.0), scale).rsample().backward()
    assert scale.grad is not None
    assert D.Categorical(torch.tensor([0.2, 0.3, 0.5])).log_prob(torch.tensor(2)).exp().item() == pytest.approx(0.5)
    with pytest.raises(ValueError, match="scale"):
        D.Normal(0.0, -1.0)
    with pytest.raises(AssertionError, match="covariance_matrix"):
        D.Wishart(1.0)


@pytest.mark.parametrize("use", [lambda: torch.export.export(None, ()),
                                 lambda: torch.nested.nested_tensor([]), lambda: torch.onnx.export(None, ()),
                                 lambda: torch.distributed.init_process_group("gloo", world_size=2, rank=0)])
def test_what_is_missing_names_itself(use):
    with pytest.raises(NotImplementedError, match=r"torch\.\w+"):
        use()


def test_profile_counts_what_ran():
    with torch.profiler.profile() as p, torch.profiler.record_function("work"):
        torch.ones(3).add(1).sum()
    assert p.counts["nodes_recorded"] > 0 and p.seconds > 0
    assert "work" in p.key_averages().table()


def test_absent_names_are_those_of_pytorch():
    for module, there, not_there in [(torch.onnx, "export", "expor"), (torch.cuda, "Stream", "Streams"),
                                     (torch.distributed, "TCPStore", "nonsense"), (torch.hub, "load", "fetch")]:
        assert hasattr(module, there) and not hasattr(module, not_there)
    assert issubclass(torch.cuda.Stream, object) and not isinstance(1, torch.cuda.Stream)
    with pytest.raises(AssertionError, match="torch.cuda.current_device"):
        torch.cuda.current_device()


def test_a_world_of_one_process():
    dist = torch.distributed
    with pytest.raises(ValueError, match="initialized"):
        dist.get_rank()
    dist.init_process_group("gloo", rank=0, world_size=1)
    try:
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 1))
        loss = model(torch.ones(1, 2)).sum()
        loss.backward()
        dist.all_reduce(loss)
        gathered = [torch.zeros(())]
        dist.all_gather(gathered, loss.detach())
        assert gathered[0].item() == loss.item() and dist.get_world_size() == 1
        assert list(model.state_dict()) == ["module.weight", "module.bias"]
    finally:
        dist.destroy_process_group()


def test_attention_with_functions_for_scores_and_mask():
    from diya.nn.attention.flex_attention import and_masks, create_block_mask, flex_attention
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, 10, 8) for _ in range(3))
    bias = torch.randn(4, 20)
    mask = create_block_mask(and_masks(lambda b, h, i, j: i >= j, lambda b, h, i, j: (i - j).abs() < 3), None, None, 10, 10,
                             device="cpu", BLOCK_SIZE=4)
    out = flex_attention(q, k, v, score_mod=lambda s, b, h, i, j: s + bias[h, i - j + 10], block_mask=mask)
    assert out.sum().item() == pytest.approx(-12.26994, abs=1e-4)  # as PyTorch's
    out, lse = flex_attention(q, k[:, :2], v[:, :2], enable_gqa=True, return_lse=True)
    assert (out.sum().item(), lse.sum().item()) == pytest.approx((24.16692, 221.06693), abs=1e-4)


def test_parameters_by_numpys_names():
    x = torch.arange(6.0).view(2, 3)
    assert x.sum(axis=1).tolist() == [3, 12] and torch.max(x, axis=0, keepdims=True).values.tolist() == [[3, 4, 5]]
    assert x.argmax(axis=-1).tolist() == [2, 2] and torch.cat([x, x], axis=1).shape == (2, 6)
    assert torch.add(x=x, x2=x).sum(axis=(0, 1)).item() == 30
    with pytest.raises(TypeError, match="axis"):
        torch.relu(x, axis=0)


def test_names_that_programs_annotate_with():
    from diya import jit

    class Scaled(jit.ScriptModule):
        __constants__ = ["by"]

        def __init__(self):
            super().__init__()
            self.by, self.weight = 2, torch.nn.Parameter(torch.ones(2))

        @jit.script_method
        def forward(self, x):
            return x * self.weight * self.by
    assert Scaled()(torch.ones(2)).tolist() == [2, 2] and isinstance(Scaled(), torch.nn.Module)
    assert not isinstance(torch.nn.Linear(1, 1), jit.ScriptModule)
    assert torch.futures.Future[int] and torch.Future is torch.futures.Future
    assert torch._C.Graph and torch.TensorType
    with pytest.raises(NotImplementedError, match="TensorType"):
        torch.TensorType()
    with pytest.raises(NotImplementedError, match="scatter"):
        torch.nn.parallel.scatter(torch.ones(2), [0])
    with torch._inductor.config.patch("triton", 3), torch._dynamo.config.patch({"new": 1}):
        assert torch._inductor.config.triton == 3 and torch._dynamo.config.new == 1
    assert torch._inductor.config.triton != 3 and not hasattr(torch._dynamo.config, "new")


def test_pruning_what_is_pruned_looks_at_what_is_left():
    from diya.nn.utils import prune
    layer = torch.nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[9.0, 0.1, 0.1], [1.0, 1.0, 1.0]]))
    prune.custom_from_mask(layer, "weight", torch.tensor([[0.0, 1, 1], [1, 1, 1]]))
    prune.ln_structured(layer, "weight", amount=1, n=2, dim=0)
    assert layer.weight.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_dual_parameters_are_no_parameters():
    import diya.autograd.forward_ad as fwad
    with fwad.dual_level():
        layer = torch.nn.Linear(2, 2)
        tangents = {name: torch.ones_like(p) for name, p in layer.named_parameters()}
        for name, p in list(layer.named_parameters()):
            delattr(layer, name)
            setattr(layer, name, fwad.make_dual(p, tangents[name]))
        assert fwad.unpack_dual(layer(torch.tensor([[1.0, 2.0]]))).tangent.tolist() == [[4, 4]]


def test_custom_operators_on_the_meta_device():
    @torch.library.custom_op("programs::flat_sine", mutates_args=())
    def flat_sine(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(x.detach().numpy().reshape(-1)).sin()

    @flat_sine.register_fake
    def _(x):
        return x.new_empty(x.numel())
    assert flat_sine(torch.empty(2, 3, device="meta")).shape == (6,) and flat_sine(torch.zeros(2, 3)).tolist() == [0] * 6


def test_causal_masks_of_two_corners():
    from diya.nn.attention.bias import causal_lower_right, causal_upper_left
    q, k = torch.randn(1, 1, 2, 4), torch.randn(1, 1, 3, 4)
    sdpa = torch.nn.functional.scaled_dot_product_attention
    assert torch.equal(sdpa(q, k, k, attn_mask=causal_upper_left(2, 3)), sdpa(q, k, k, is_causal=True))
    assert torch.allclose(sdpa(q, k, k, attn_mask=causal_lower_right(2, 3))[..., 1:, :], sdpa(q, k, k)[..., 1:, :])


def test_dispatch_below_autograd_is_refused():
    class Wrapped(torch.Tensor):
        @classmethod
        def __torch_dispatch__(cls, func, types, args, kwargs):
            raise AssertionError
    with pytest.raises(NotImplementedError, match="__torch_dispatch__"):
        torch.ones(2).as_subclass(Wrapped)
    with pytest.raises(NotImplementedError, match="__torch_dispatch__"):
        torch.Tensor._make_wrapper_subclass(Wrapped, (2,))
    from diya.utils._python_dispatch import TorchDispatchMode
    with pytest.raises(NotImplementedError, match="TorchDispatchMode"):
        TorchDispatchMode()


def test_a_parameter_is_written_as_it_is():
    into, leaf = torch.zeros(2, 2), torch.nn.Parameter(torch.ones(2, 2))
    into[:] = leaf
    (into * 3).sum().backward()
    assert leaf.grad.eq(3).all() and into.eq(1).all() and into.grad_fn is not None
    weight = torch.nn.Parameter(torch.zeros(1, 4))
    weight.data[:] = torch.nn.Parameter(torch.arange(4.0).view(1, 4))
    assert weight.tolist() == [[0, 1, 2, 3]]


def test_names_that_libraries_borrow():
    import pickle
    found = torch.ones(3).max(0)
    assert isinstance(found, torch.return_types.max) and type(torch.ones(2).sort()) is torch.return_types.sort
    assert pickle.loads(pickle.dumps(torch.ones(2).topk(1)._asdict()))["values"].tolist() == [1]
    assert torch._convert_indices_from_coo_to_csr(torch.tensor([0, 0, 2, 3]), 5).tolist() == [0, 2, 2, 3, 4, 4]
    rows = torch._convert_indices_from_csr_to_coo(torch.tensor([0, 2, 2, 3]), torch.tensor([1, 0, 2]))
    assert rows.tolist() == [[0, 0, 2], [1, 0, 2]]
    assert torch._shape_as_tensor(torch.ones(2, 3)).tolist() == [2, 3]
