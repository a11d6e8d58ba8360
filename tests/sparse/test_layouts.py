"""Compressed layouts (CSR, CSC, BSR, BSC) and what moves elements of COO tensors: against dense tensors, and PyTorch's texts."""

import copy
import io
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

import diya as torch

DENSE = torch.tensor([[0.0, 0, 1, 0], [2, 3, 0, 0], [0, 0, 0, 0], [4, 0, 0, 5]])
LAYOUTS = {"csr": {}, "csc": {}, "bsr": {"blocksize": (2, 2)}, "bsc": {"blocksize": (1, 2)}}

TEXTS = {
    "csr": (lambda: DENSE.to_sparse_csr(), """\
tensor(crow_indices=tensor([0, 1, 3, 3, 5]),
       col_indices=tensor([2, 0, 1, 0, 3]),
       values=tensor([1., 2., 3., 4., 5.]), size=(4, 4), nnz=5,
       layout=torch.sparse_csr)"""),
    "csc": (lambda: DENSE.to_sparse_csr().t().to_sparse_csr().t(), """\
tensor(ccol_indices=tensor([0, 2, 3, 4, 5]),
       row_indices=tensor([1, 3, 1, 0, 3]),
       values=tensor([2., 4., 3., 1., 5.]), size=(4, 4), nnz=5,
       layout=torch.sparse_csc)"""),
    "bsr": (lambda: torch.sparse_bsr_tensor([0, 1, 2], [0, 1], [[[1.0, 2], [3, 4]], [[5, 6], [7, 8]]]), """\
tensor(crow_indices=tensor([0, 1, 2]),
       col_indices=tensor([0, 1]),
       values=tensor([[[1., 2.],
                       [3., 4.]],

                      [[5., 6.],
                       [7., 8.]]]), size=(4, 4), nnz=2,
       layout=torch.sparse_bsr)"""),
    "batch": (lambda: torch.stack([DENSE, DENSE.t()]).to_sparse_csr(), """\
tensor(crow_indices=tensor([[0, 1, 3, 3, 5],
                            [0, 2, 3, 4, 5]]),
       col_indices=tensor([[2, 0, 1, 0, 3],
                           [1, 3, 1, 0, 3]]),
       values=tensor([[1., 2., 3., 4., 5.],
                      [2., 4., 3., 1., 5.]]), size=(2, 4, 4), nnz=5,
       layout=torch.sparse_csr)"""),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_pytorchs(name):
    make, text = TEXTS[name]
    assert repr(make()) == text


def made(layout, x=DENSE):
    return x.to_sparse(layout=getattr(torch, f"sparse_{layout}"), **LAYOUTS[layout])


def equal(a, b):
    assert_allclose(a.to_dense().numpy(), b.numpy(), atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_holds_the_dense_tensor(layout):
    batch = torch.stack([DENSE, DENSE.t() if layout in ("csr", "csc") else DENSE])
    for x, options in ((DENSE, {}), (batch, {}), (torch.stack([DENSE, 2 * DENSE], -1), {"dense_dim": 1})):
        s = x.to_sparse(layout=getattr(torch, f"sparse_{layout}"), **LAYOUTS[layout], **options)
        assert s.layout is getattr(torch, f"sparse_{layout}") and s.shape == x.shape and s.sparse_dim() == 2
        assert s.dense_dim() == options.get("dense_dim", 0)
        equal(s, x)
        equal(s.to_sparse(), x)
        equal(copy.deepcopy(s), x)
        equal(pickle.loads(pickle.dumps(s)), x)
        equal(s * 2, 2 * x)
    names = ("crow_indices", "col_indices") if layout in ("csr", "bsr") else ("ccol_indices", "row_indices")
    s = made(layout)
    parts = [getattr(s, name)() for name in names]
    again = getattr(torch, f"sparse_{layout}_tensor")(*parts, s.values(), s.shape, check_invariants=True)
    assert repr(again) == repr(s) == repr(torch.sparse_compressed_tensor(*parts, s.values(), layout=s.layout))
    with pytest.raises(RuntimeError, match="expected sparse"):
        getattr(s, "ccol_indices" if names[0] == "crow_indices" else "crow_indices")()
    equal(s.t(), DENSE.t())
    equal(s @ DENSE, DENSE @ DENSE)
    equal(DENSE @ s, DENSE @ DENSE)
    assert s.t().layout is not s.layout and s.t().t().layout is s.layout


def test_layouts_become_each_other():
    csr = DENSE.to_sparse_csr()
    for x in (csr, csr.to_sparse_csc(), csr.to_sparse_csc().to_sparse_csr(), csr.to_sparse_bsr((2, 2)), csr.to_sparse_bsr(2),
              csr.to_sparse_bsr((2, 2)).to_sparse_bsc((2, 2)), DENSE.to_sparse().to_sparse_csc(),
              DENSE.to_sparse().to_sparse_bsc((4, 1))):
        equal(x, DENSE)
    for call in (lambda: csr.to_sparse_bsr((3, 2)), lambda: csr.to_sparse_bsr((2, 2)).to_sparse_csr(),
                 lambda: DENSE.to_sparse(layout=torch.sparse_bsr),
                 lambda: DENSE.to_sparse(layout=torch.sparse_csr, blocksize=(2, 2)),
                 lambda: torch.stack([DENSE, 0 * DENSE]).to_sparse_csr(), lambda: DENSE.to_sparse().to_sparse(1)):
        with pytest.raises(RuntimeError):
            call()


@pytest.mark.parametrize("parts", [
    ([0, 1, 2], [2, 0, 2], [1.0, 2, 3]), ([1, 1, 3], [2, 0, 2], [1.0, 2, 3]), ([0, 1, 3], [2, 0, 3], [1.0, 2, 3]),
    ([0, 1, 3], [2, 0, -1], [1.0, 2, 3]), ([0, 1, 3, 3], [2, 0, 2], [1.0, 2, 3]), ([0, 3, 1], [0, 1, 2], [1.0, 2, 3]),
    ([0, 1, 3], [2, 0, 2], [1.0, 2]), ([0, 1, 3], [2, 0, 2], [[1.0], [2], [3]]), ([0.0, 1, 3], [2, 0, 2], [1.0, 2, 3])])
def test_elements_lie_inside(parts):
    with pytest.raises(RuntimeError):
        torch.sparse_csr_tensor(*parts, (2, 3))


def test_order_within_a_row_is_checked_when_asked():
    with pytest.raises(RuntimeError, match="sorted and distinct"):
        torch.sparse_csr_tensor([0, 1, 3], [2, 2, 0], [1.0, 2, 3], (2, 3), check_invariants=True)


def test_methods_of_dense_tensors():
    assert DENSE.sparse_dim() == 0 and DENSE.dense_dim() == 2 and DENSE.to_sparse(layout=torch.strided) is DENSE
    for name in ("indices", "values", "coalesce", "is_coalesced", "crow_indices", "row_indices"):
        with pytest.raises(RuntimeError, match="got Strided"):
            getattr(DENSE, name)()


def test_factories_take_a_layout():
    for make in (torch.zeros, torch.empty):
        for layout in (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc):
            x = make(2, 3, layout=layout, dtype=torch.float64)
            assert x.layout is layout and x._nnz() == 0 and x.dtype is torch.float64 and x.to_dense().tolist() == [[0.0] * 3] * 2
    assert torch.zeros(2, layout=torch.strided).layout is torch.strided
    for call in (lambda: torch.ones(2, layout=torch.sparse_coo), lambda: torch.zeros(2, 2, layout=torch.sparse_bsr)):
        with pytest.raises(RuntimeError, match="layout"):
            call()


def some(*shape, seed=0):
    a = np.random.default_rng(seed).random(shape)
    return torch.from_numpy(a * (a > 0.5))


def test_elements_are_moved_as_in_dense_tensors():
    x, y = some(3, 4, 2), some(3, 4, 2, seed=1)
    index = torch.tensor([2, 0, 2, 1])
    for dims in (1, 2, 3):
        a, b = x.to_sparse(dims), y.to_sparse(dims)
        for dim in range(3):
            equal(torch.stack([a, b], dim), torch.stack([x, y], dim))
            equal(torch.cat([a, b, a], dim), torch.cat([x, y, x], dim))
            equal(a.unsqueeze(dim), x.unsqueeze(dim))
            equal(a.unsqueeze(dim).squeeze(dim), x)
            at = index.clamp(max=x.shape[dim] - 1)
            equal(torch.index_select(a, dim, at), torch.index_select(x, dim, at))
            equal(torch.narrow_copy(a, dim, 1, 1), x.narrow(dim, 1, 1))
            equal(a.sum(dim, keepdim=True), x.sum(dim, keepdim=True))
            equal(a.select(dim, -1), x.select(dim, -1))
        equal(a * torch.arange(4.0).double()[:, None], x * torch.arange(4.0).double()[:, None])
    a = x.to_sparse()
    equal(a[1, :, 0], x[1, :, 0])
    assert a[1, 2, 0].item() == x[1, 2, 0].item() and a.any() and a.is_same_size(x)
    largest = torch.sparse.mm(DENSE.to_sparse_csr(), DENSE, "amax")
    equal(largest, torch.tensor([[0.0, 0, 0, 0], [6, 9, 2, 0], [0, 0, 0, 0], [20, 0, 4, 25]]))
    equal(torch.sparse.mm(DENSE.to_sparse_csr(), DENSE, "mean")[3], torch.tensor([10.0, 0, 2, 12.5]))
    with pytest.raises(IndexError):
        a.index_select(0, torch.tensor([3]))


def test_batched_products_and_masks():
    x, y = some(2, 3, 4), some(2, 4, 5, seed=1)
    equal(torch.bmm(x.to_sparse(), y), x @ y)
    equal(x @ y.to_sparse(), x @ y)
    sampled = torch.sparse.sampled_addmm(DENSE.to_sparse_csr(), DENSE, DENSE, beta=2.0, alpha=0.5)
    equal(sampled, (2 * DENSE + 0.5 * DENSE @ DENSE) * (DENSE != 0))
    weight, v = some(5, 4), some(7, 4, seed=2)
    equal(torch.nn.functional.linear(v, weight.to_sparse_csr()), v @ weight.t())
    for mask in (DENSE.to_sparse(), DENSE.to_sparse_csr(), DENSE.to_sparse_csc()):
        found = torch.ones(4, 4).sparse_mask(mask)
        assert found.layout is mask.layout
        equal(found, (DENSE != 0).float())
    diagonals = torch.arange(1.0, 10).reshape(3, 3)
    equal(torch.sparse.spdiags(diagonals, torch.tensor([0, -1, 2]), (3, 5)),
          torch.tensor([[1.0, 0, 9, 0, 0], [4, 2, 0, 0, 0], [0, 5, 3, 0, 0]]))  # PyTorch's


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_flow_through_a_layout(layout):
    def loss(x, d):
        return (made(layout, x) @ d).pow(2).sum() + (made(layout, x).to_sparse() * 3).to_dense().sum()
    x, d = DENSE.double().requires_grad_(), torch.rand(4, 3, dtype=torch.float64, requires_grad=True)
    loss(x, d).backward()
    expected = (2 * (DENSE.double() @ d.detach()) @ d.detach().t() + 3) * (DENSE != 0)
    assert_allclose((x.grad * (DENSE != 0)).numpy(), expected.numpy())
    check = torch.sparse.as_sparse_gradcheck(torch.autograd.gradcheck)
    assert check(lambda s: torch.sparse.mm(s, DENSE.double()), DENSE.double().to_sparse().requires_grad_(), masked=True)


def test_values_are_shared_but_not_the_handle():
    values = torch.tensor([1.0, 2.0])
    s = torch.sparse_coo_tensor([[0, 1]], values, (2,)).requires_grad_()
    assert s.requires_grad and not values.requires_grad
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    assert not torch.sparse_coo_tensor([[0, 1]], leaf, (2,)).is_leaf


def test_files_bring_checked_indices():
    good = io.BytesIO()
    torch.save(torch.sparse_coo_tensor([[5]], [1.0], (6,)), good)
    data = good.getvalue()
    bad = data.replace((5).to_bytes(8, "little"), (7).to_bytes(8, "little"))
    assert bad != data
    assert torch.load(io.BytesIO(data)).to_dense()[5] == 1
    with pytest.raises((RuntimeError, ValueError, pickle.UnpicklingError)):
        torch.load(io.BytesIO(bad))


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
def test_gradients_of_sparse_inputs_are_returned(layout):
    a = DENSE.to_sparse(layout=getattr(torch, f"sparse_{layout}")).requires_grad_()
    found, dense = torch.autograd.grad((a @ DENSE).sum(), [a, w := DENSE.clone().requires_grad_()], allow_unused=True)
    assert found.layout is a.layout and dense is None and w.grad is None
    equal(found, (torch.ones(4, 4) @ DENSE.t()) * (DENSE != 0))
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(DENSE.clone().requires_grad_().sum(), a)


def test_parameters_may_be_sparse():
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(DENSE.to_sparse())
    assert list(dict(module.named_parameters())) == ["weight"] and module.weight.requires_grad and module.weight.is_leaf
    assert not isinstance(module.weight * 2, torch.nn.Parameter)
    torch.sparse.mm(module.weight, DENSE).sum().backward()
    assert module.weight.grad.is_sparse and module.state_dict()["weight"].is_sparse
