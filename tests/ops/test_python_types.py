"""Python's own types stand for dtypes."""

import pytest

import diya as torch


@pytest.mark.parametrize(("kind", "dtype"), [(bool, torch.bool), (int, torch.int64), (float, torch.float64),
                                             (complex, torch.complex128)])
def test_python_types_as_dtypes(kind, dtype):
    x = torch.arange(4).float()
    for made in (torch.zeros(2, dtype=kind), torch.full((2,), 1, dtype=kind), torch.tensor([1, 2], dtype=kind), x.to(kind),
                 torch.as_tensor([1, 2], dtype=kind), x.to(dtype=kind), x.new_zeros(2, dtype=kind), x.sum(dtype=kind),
                 torch.zeros_like(x, dtype=kind), torch.eye(2, dtype=kind), torch.asarray([1], dtype=kind)):
        assert made.dtype is dtype
    if kind in (float, complex):
        assert torch.nn.Linear(2, 2).to(kind).weight.dtype is dtype and torch.nn.Linear(2, 2, dtype=kind).weight.dtype is dtype
    with pytest.raises(TypeError):
        torch.zeros(2, dtype=str)
