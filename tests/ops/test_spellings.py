"""Calls in PyTorch's other spellings."""

import pytest

import diya as torch

x = torch.arange(24.0).reshape(4, 6)


@pytest.mark.parametrize("given, wanted", [
    (lambda: torch.tensor_split(x, indices=(1,), dim=1), lambda: torch.tensor_split(x, (1,), 1)),
    (lambda: x.tensor_split(sections=2), lambda: x.tensor_split(2)),
    (lambda: torch.hsplit(x, indices=(2,)), lambda: torch.hsplit(x, (2,))),
    (lambda: x.split(split_size=3), lambda: x.split(3)),
    (lambda: x.repeat(repeats=(2, 1)), lambda: x.repeat(2, 1)),
    (lambda: x.expand(size=(2, 4, 6)), lambda: x.expand(2, 4, 6)),
    (lambda: x.view(size=(6, 4)), lambda: x.view(6, 4)),
    (lambda: torch.reshape(x, shape=(6, 4)), lambda: x.reshape(6, 4)),
    (lambda: torch.permute(input=x, dims=(1, 0)), lambda: x.t()),
    (lambda: torch.tile(x, dims=(2,)), lambda: torch.tile(x, (2,))),
    (lambda: torch.swapaxes(x, axis0=0, axis1=1), lambda: x.t()),
    (lambda: torch.pow(self=2, exponent=x), lambda: torch.pow(2, x)),
    (lambda: torch.repeat_interleave(repeats=torch.tensor([1, 2])), lambda: torch.tensor([0, 1, 1])),
])
def test_other_names(given, wanted):
    got, want = given(), wanted()
    for a, b in zip(got if isinstance(got, tuple) else (got,), want if isinstance(want, tuple) else (want,), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("given, wanted", [
    (lambda: torch.add(x, 2, x), lambda: torch.add(x, x, alpha=2)), (lambda: x.clone().sub_(3, x), lambda: x.sub(x, alpha=3)),
    (lambda: x.clone().addcmul_(0.5, x, x), lambda: torch.addcmul(x, x, x, value=0.5)),
    (lambda: torch.addcdiv(x, 2, x, x + 1), lambda: torch.addcdiv(x, x, x + 1, value=2)),
    (lambda: torch.addmm(2, x @ x.t(), 3, x, x.t()), lambda: torch.addmm(x @ x.t(), x, x.t(), beta=2, alpha=3)),
    (lambda: (x @ x.t()).addmm_(2, 3, x, x.t()), lambda: torch.addmm(x @ x.t(), x, x.t(), beta=2, alpha=3)),
])
def test_deprecated_forms(given, wanted):
    with pytest.warns(UserWarning, match="deprecated"):
        got = given()
    assert torch.equal(got, wanted())


def test_what_fits_no_spelling():
    with pytest.raises(TypeError, match="sizes"):
        x.permute(sizes=(1, 0))
    with pytest.raises(TypeError):
        torch.add(x, 1, 2, 3)


def test_a_tensor_of_one_int_is_an_int():
    x, one, two = torch.arange(24.0).reshape(4, 6), torch.tensor(1), torch.tensor(2)
    assert torch.diag(x, one).tolist() == [1, 8, 15, 22] and torch.linspace(0, 1, two).tolist() == [0, 1]
    assert torch.triu(x, one).tolist() == torch.triu(x, 1).tolist() and x.sum(one).shape == (4,)
    assert torch.nn.functional.max_pool2d(x[None], two).shape == (1, 2, 3) and torch.rot90(x, one).shape == (6, 4)
    assert x[None].squeeze(torch.tensor(0)).shape == (4, 6) and torch.hann_window(two).shape == (2,)
    with pytest.raises(TypeError, match="must be int, not Tensor"):
        torch.diag(x, torch.tensor(1.0))
