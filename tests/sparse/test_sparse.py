"""Sparse COO and CSR tensors: against dense ones, and PyTorch's own texts and results."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import diya as torch

INDICES, VALUES = [[0, 1, 1, 0], [2, 0, 2, 2]], [3.0, 4.0, 5.0, 1.0]
DENSE = np.array([[0, 0, 4], [4, 0, 5]], np.float32)


def example(**options):
    return torch.sparse_coo_tensor(torch.tensor(INDICES), torch.tensor(VALUES), (2, 3), **options)


def some(*shape, seed=0):
    a = np.random.default_rng(seed).random(shape)
    return torch.from_numpy((a * (a > 0.6)).astype(np.float64))


TEXTS = {
    "example": (lambda: example(), """\
tensor(indices=tensor([[0, 1, 1, 0],
                       [2, 0, 2, 2]]),
       values=tensor([3., 4., 5., 1.]),
       size=(2, 3), nnz=4, layout=torch.sparse_coo)"""),
    "leaf": (lambda: example(requires_grad=True).coalesce().detach().requires_grad_(), """\
tensor(indices=tensor([[0, 1, 1],
                       [2, 0, 2]]),
       values=tensor([4., 4., 5.]),
       size=(2, 3), nnz=3, layout=torch.sparse_coo, requires_grad=True)"""),
    "history": (lambda: example(requires_grad=True) * 2, """\
tensor(indices=tensor([[0, 1, 1, 0],
                       [2, 0, 2, 2]]),
       values=tensor([ 6.,  8., 10.,  2.]),
       size=(2, 3), nnz=4, layout=torch.sparse_coo, grad_fn=<MulBackward0>)"""),
    "empty": (lambda: torch.sparse_coo_tensor((2, 3)), """\
tensor(indices=tensor([], size=(2, 0)),
       values=tensor([], size=(0,)),
       size=(2, 3), nnz=0, layout=torch.sparse_coo)"""),
    "dtype": (lambda: example().double(), """\
tensor(indices=tensor([[0, 1, 1, 0],
                       [2, 0, 2, 2]]),
       values=tensor([3., 4., 5., 1.]),
       size=(2, 3), nnz=4, dtype=torch.float64, layout=torch.sparse_coo)"""),
    "hybrid": (lambda: torch.sparse_coo_tensor(torch.tensor([[0, 2]]), torch.tensor([[1.0, 2], [3, 4]]), (3, 2)), """\
tensor(indices=tensor([[0, 2]]),
       values=tensor([[1., 2.],
                      [3., 4.]]),
       size=(3, 2), nnz=2, layout=torch.sparse_coo)"""),
    "csr": (lambda: example().to_sparse_csr(), """\
tensor(crow_indices=tensor([0, 1, 3]),
       col_indices=tensor([2, 0, 2]),
       values=tensor([4., 4., 5.]), size=(2, 3), nnz=3,
       layout=torch.sparse_csr)"""),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_pytorchs(name):
    make, text = TEXTS[name]
    assert repr(make()) == text


def test_a_sparse_tensor_says_what_it_is():
    s = example()
    assert isinstance(s, torch.Tensor) and s.is_sparse and s.layout is torch.sparse_coo and not s.is_coalesced()
    assert (s.shape, s.dim(), s.numel(), s._nnz(), s.sparse_dim(), s.dense_dim()) == ((2, 3), 2, 6, 4, 2, 0)
    c = s.coalesce()
    assert c.is_coalesced() and c.indices().tolist() == [[0, 1, 1], [2, 0, 2]] and c.values().tolist() == [4, 4, 5]
    assert s._values().tolist() == VALUES and s._indices().tolist() == INDICES
    for member in (s.values, s.indices):
        with pytest.raises(RuntimeError, match="coalesce"):
            member()
    csr = c.to_sparse_csr()
    assert csr.is_sparse_csr and not csr.is_sparse and csr.layout is torch.sparse_csr
    assert csr.crow_indices().tolist() == [0, 1, 3] and csr.col_indices().tolist() == [2, 0, 2]
    for x in (s, c, csr, csr.to_sparse(), torch.sparse_csr_tensor([0, 1, 3], [2, 0, 2], [4.0, 4, 5], (2, 3))):
        assert np.array_equal(x.to_dense().numpy(), DENSE)


def test_old_names():
    s = torch.sparse.FloatTensor(torch.tensor(INDICES), torch.tensor(VALUES), torch.Size((2, 3)))
    assert isinstance(s, torch.sparse.FloatTensor) and not isinstance(s.double(), torch.sparse.FloatTensor)
    assert not isinstance(torch.ones(2), torch.sparse.FloatTensor) and s.data.is_sparse
    assert np.array_equal(s.to_dense().numpy(), DENSE)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_dense_to_sparse_and_back(dims):
    x = some(4, 3, 5)
    s = x.to_sparse(dims)
    assert s.sparse_dim() == dims and s.dense_dim() == 3 - dims and s.is_coalesced()
    assert np.array_equal(s.to_dense().numpy(), x.numpy())


def test_arithmetic_is_that_of_dense_tensors():
    x, y, d = some(6, 5), some(6, 5, seed=1), torch.rand(6, 5, dtype=torch.float64)
    a, b = x.to_sparse(), y.to_sparse()
    twice = torch.sparse_coo_tensor(torch.cat([a._indices()] * 2, 1), torch.cat([a._values()] * 2), (6, 5))
    for sparse, dense in ((a + b, x + y), (a - b, x - y), (a * b, x * y), (a * 2, x * 2), (3 * a, x * 3), (a / 2, x / 2), (-a, -x),
                          (twice, 2 * x), (twice * twice, 4 * x * x), (twice.abs(), 2 * x), (a * d, x * d), (a.sin(), x.sin()),
                          (torch.add(a, b, alpha=2), x + 2 * y), (a.t(), x.t()), (a.T + b.T, (x + y).T), (a.pow(2), x * x),
                          (torch.cat([a, b], 1), torch.cat([x, y], 1)), (torch.zeros_like(a), x * 0), (a[2], x[2]),
                          (a.clone().add_(b), x + y), (a.clone().mul_(2), 2 * x), (a.to_sparse_csr() * 2, 2 * x)):
        assert isinstance(sparse, torch.Tensor) and sparse.layout is not torch.strided
        assert_allclose(sparse.to_dense().numpy(), dense.numpy(), atol=1e-14)
    for dense, expected in ((d + a, d + x), (d - a, d - x), (torch.add(d, a, alpha=2), d + 2 * x),
                            (d.clone().add_(a, alpha=-1), d - x)):
        assert_allclose(dense.numpy(), expected.numpy(), atol=1e-14)
    assert (a + b).is_coalesced() and not twice.is_coalesced()


def test_products_are_those_of_dense_matrices():
    x, y = some(6, 5), some(5, 4, seed=1)
    a, b, v = x.to_sparse(), y.to_sparse(), torch.rand(5, dtype=torch.float64)
    for result in (a @ y, torch.mm(a, y), torch.sparse.mm(a, y), a.matmul(y), x @ b, a.to_sparse_csr() @ y,
                   torch.sparse.mm(a, b).to_dense(), (a @ b).to_dense(), torch.addmm(torch.zeros(6, 4, dtype=torch.float64), a, y)):
        assert_allclose(result.numpy(), (x @ y).numpy(), atol=1e-14)
    assert torch.sparse.mm(a, b).is_sparse and not (a @ y).is_sparse
    assert_allclose((a @ v).numpy(), (x @ v).numpy())
    assert_allclose(torch.mv(a.to_sparse_csr(), v).numpy(), (x @ v).numpy())


def test_reductions_and_softmax():
    x = some(6, 5)
    a = x.to_sparse()
    assert_allclose(torch.sparse.sum(a).item(), x.sum().item())
    assert_allclose(torch.sparse.sum(a, 0).to_dense().numpy(), x.sum(0).numpy())
    assert_allclose(torch.sparse.sum(a, [0, 1]).item(), x.sum().item())
    hybrid = some(3, 4, 2).to_sparse(1)
    assert_allclose(torch.sparse.sum(hybrid, 0).numpy(), some(3, 4, 2).sum(0).numpy())
    assert_allclose(torch.sparse.sum(hybrid, [1]).to_dense().numpy(), some(3, 4, 2).sum(1).numpy())
    for dim in (0, 1):
        expected = torch.where(x == 0, -float("inf"), x).softmax(dim).nan_to_num()
        assert_allclose(torch.sparse.softmax(a, dim).to_dense().numpy(), expected.numpy(), atol=1e-14)
        got = torch.sparse.log_softmax(a, dim)
        assert_allclose(got._like(got.values().exp()).to_dense().numpy(), expected.numpy(), atol=1e-14)


@pytest.mark.parametrize("function", [
    lambda s, d: torch.sparse.mm(s, d).pow(2).sum(), lambda s, d: (torch.sparse.sum(s, 0).to_dense() ** 2).sum(),
    lambda s, d: (torch.sparse.softmax(s, 1).to_dense() * d[:2, :3]).sum(), lambda s, d: (s.t() @ d[:2]).pow(2).sum(),
    lambda s, d: (d[:2, :3] + s * 3 + s).pow(2).sum(), lambda s, d: torch.sparse.sum(torch.sparse.mm(s, s.t()) * 2),
    lambda s, d: s.coalesce().values().pow(2).sum(), lambda s, d: (s.to_sparse_csr() @ d).pow(2).sum()])
def test_gradients_flow_to_values_and_to_dense_tensors(function):
    def loss(values, dense):
        return function(torch.sparse_coo_tensor(torch.tensor(INDICES), values, (2, 3)), dense)
    values = torch.tensor(VALUES, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (values, torch.rand(3, 4, dtype=torch.float64, requires_grad=True)))


def test_gradients_of_a_sparse_leaf_are_sparse():
    s = example(requires_grad=True)
    torch.sparse.mm(s, torch.arange(12.0).reshape(3, 4)).sum().backward()
    assert s.is_leaf and s.grad.is_sparse
    assert np.array_equal(s.grad.to_dense().numpy(), [[0, 0, 38], [6, 0, 38]])  # PyTorch's


def trained(optimizer, sparse, steps=4, **options):
    table = torch.nn.Embedding(6, 3, sparse=sparse)
    with torch.no_grad():
        table.weight.copy_(torch.arange(18.0).reshape(6, 3) / 10)
    made = optimizer(table.parameters(), lr=0.1, **options)
    for step in range(steps):
        made.zero_grad()
        (table(torch.tensor([[1, 1, 3], [2, step, 5]])) ** 2).sum().backward()
        assert table.weight.grad.is_sparse is sparse
        made.step()
    return table.weight.detach().numpy()


@pytest.mark.parametrize("optimizer, options", [(torch.optim.SGD, {}), (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
                                                (torch.optim.Adagrad, {"lr_decay": 0.1})])
def test_sparse_gradients_train_as_dense_ones(optimizer, options):
    assert_allclose(trained(optimizer, True, **options), trained(optimizer, False, **options), rtol=1e-5, atol=1e-6)


def test_sparse_adam_updates_the_rows_in_use():
    assert_allclose(trained(torch.optim.SparseAdam, True, 1), trained(torch.optim.Adam, False, 1), atol=1e-5)
    after = trained(torch.optim.SparseAdam, True)  # as PyTorch has it
    assert_allclose(after[4], [1.2, 1.3, 1.4])
    assert (after[3] < [0.7, 0.8, 0.9]).all()
    with pytest.raises(RuntimeError, match="dense"):
        trained(torch.optim.SparseAdam, False)


def test_embedding_gradients():
    table = torch.nn.Embedding(5, 2, sparse=True, padding_idx=0)
    table(torch.tensor([1, 1, 3, 0])).sum().backward()
    assert table.weight.grad._indices().tolist() == [[1, 1, 3]]
    assert table.weight.grad.coalesce().values().tolist() == [[2, 2], [1, 1]]
    table(torch.tensor([2])).sum().backward()
    assert table.weight.grad._nnz() == 4
    table.zero_grad()
    tied = table(torch.tensor([1, 2])) @ table.weight.t()
    tied.sum().backward()
    assert not table.weight.grad.is_sparse  # dense and sparse parts add up to dense
    for _ in range(4):  # backward over a known tape accumulates on its own way
        table.zero_grad()
        table(torch.tensor([1])).sum().backward()
        (table.weight * 2).sum().backward()
        assert table.weight.grad.tolist() == [[2, 2], [3, 3], [2, 2], [2, 2], [2, 2]]
    bag = torch.nn.EmbeddingBag(5, 2, sparse=True, mode="sum")
    bag(torch.tensor([[1, 1], [3, 0]])).sum().backward()
    assert bag.weight.grad.is_sparse and bag.weight.grad.to_dense().tolist() == [[1, 1], [2, 2], [0, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("call, error", [
    (lambda: torch.sparse_coo_tensor(torch.tensor(INDICES), torch.tensor(VALUES), (2, 2)), RuntimeError),
    (lambda: torch.sparse_coo_tensor(-torch.tensor(INDICES), torch.tensor(VALUES), (2, 3)), RuntimeError),
    (lambda: torch.sparse_coo_tensor(torch.tensor(INDICES), torch.tensor(VALUES[:2]), (2, 3)), RuntimeError),
    (lambda: torch.sparse_coo_tensor(torch.tensor([1, 2]), torch.tensor(VALUES[:2]), (2, 3)), RuntimeError),
    (lambda: torch.sparse_csr_tensor([0, 1, 2], [2, 0, 2], [1.0, 2, 3], (2, 3)), RuntimeError),
    (lambda: torch.sparse_csr_tensor([0, 1, 3], [2, 0, 7], [1.0, 2, 3], (2, 3)), RuntimeError),
    (lambda: example() @ torch.rand(4, 2), RuntimeError), (lambda: example() + example().t(), RuntimeError),
    (lambda: example().exp(), NotImplementedError), (lambda: example().view(6), NotImplementedError),
    (lambda: example() + 1, NotImplementedError), (lambda: torch.rand(2, 3) > example(), NotImplementedError),
    (lambda: example().numpy(), TypeError), (lambda: example().stride(), RuntimeError),
    (lambda: torch.sparse.mm(torch.rand(2, 2), torch.rand(2, 2)), RuntimeError),
    (lambda: torch.sparse.spsolve(example(), torch.rand(2)), NotImplementedError),
    (lambda: torch.rand(3, 2).sparse_mask(example()), RuntimeError),
    (lambda: example(requires_grad=True).mul_(2), RuntimeError),
    (lambda: trained(torch.optim.Adam, True), RuntimeError),
    (lambda: trained(torch.optim.SGD, True, weight_decay=0.1), RuntimeError),
])
def test_wrong_or_unsupported(call, error):
    with pytest.raises(error):
        call()


def test_products_that_stay_sparse():
    dense, b = torch.tensor([[1.0, 0, 2], [0, 0, 0], [4, 0, 5]]), torch.arange(6.0).reshape(3, 2)
    a = dense.to_sparse()
    hybrid = torch.hspmm(a, b)
    assert (hybrid.sparse_dim(), hybrid.dense_dim()) == (1, 1)
    assert hybrid.to_dense().tolist() == torch.smm(a, b).to_dense().tolist() == (dense @ b).tolist()
    assert a.smm(b).layout is torch.sparse_coo
    got = torch.sspaddmm(b.to_sparse(), a, b, beta=2, alpha=3)
    assert got.layout is torch.sparse_coo and got.to_dense().tolist() == (2 * b + 3 * (dense @ b)).tolist()
    with pytest.raises(RuntimeError, match="mat2"):
        torch.smm(a, b.to_sparse())
    with pytest.raises(NotImplementedError, match="smm"):
        torch.smm(dense, b)


def test_triangular_solve_with_a_compressed_matrix():
    u, b = torch.tensor([[1.0, 2, 0], [0, 3, 0], [0, 0, 5]]), torch.arange(6.0).reshape(3, 2)
    got = torch.triangular_solve(b, u.to_sparse_csr()).solution
    assert got.tolist() == torch.triangular_solve(b, u).solution.tolist()
    with pytest.raises(NotImplementedError, match="triangular_solve"):
        torch.triangular_solve(b, u.to_sparse())


def test_backward_from_entries():
    v = torch.tensor([1.0, 2.0], requires_grad=True)
    s = torch.sparse_coo_tensor([[0, 1], [1, 0]], v, (2, 2))
    (s * 3).backward(torch.tensor([[9.0, 10.0], [20.0, 9.0]]))
    assert v.grad.tolist() == [30.0, 60.0]
    v.grad = None
    s = torch.sparse_coo_tensor([[0, 1], [1, 0]], v, (2, 2))
    s.backward(s.detach())
    assert v.grad.tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match="scalar outputs"):
        s.backward()


def test_layouts_of_new_tensors():
    x = torch.ones(2, 2)
    assert torch.zeros_like(x, layout=torch.sparse_coo).layout is torch.sparse_coo
    assert torch.randn_like(x.to_sparse_csr()).layout is torch.sparse_csr
    for make in (torch.rand, torch.full, torch.ones):
        with pytest.raises(RuntimeError, match="sparse layout"):
            make((2, 2), *([1.0] if make is torch.full else []), layout=torch.sparse_coo)


def test_a_sparse_tensor_is_on_its_values_device():
    x = torch.eye(2).to_sparse()
    assert x.device == x.to_sparse_csr().device == torch.device("cpu")
