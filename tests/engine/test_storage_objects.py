"""`Tensor.untyped_storage()` and `Tensor.storage()`: the memory behind tensors, as bytes and as elements."""

import pytest

import diya as torch


def test_bytes():
    x = torch.arange(6.0)
    s = x.untyped_storage()
    assert s is x[2:].untyped_storage() and isinstance(s, torch.UntypedStorage) and s
    assert s.nbytes() == s.size() == len(s) == 24 and s.element_size() == 1 and s.device == torch.device("cpu")
    assert s.data_ptr() == x.data_ptr() and x[2:].data_ptr() == s.data_ptr() + 8
    assert s.tolist()[4:8] == [0, 0, 128, 63] and s[7] == 63 and len(s[:8]) == 8
    assert torch.empty(0).untyped_storage().data_ptr() == 0


def test_tensors_with_one_memory_are_told_by_its_address():
    x = torch.randn(4, 4)
    views = [x, x.t(), x[1:], x.view(-1)]
    tensors = [*views, x.clone(), torch.nn.Parameter(x.clone())]
    assert len({(v.untyped_storage().data_ptr(), v.untyped_storage().nbytes()) for v in tensors}) == 3
    assert len({v.untyped_storage().data_ptr() for v in tensors}) == 3 and torch.equal(tensors[-1], x)


def test_bytes_that_are_written():
    x = torch.tensor([1.0, 2.0])
    copied = x.untyped_storage().clone()
    version = x._version
    x.untyped_storage().fill_(0)
    assert x.tolist() == [0.0, 0.0] and x._version > version
    x.untyped_storage().copy_(copied)
    assert x.tolist() == [1.0, 2.0]
    x.untyped_storage()[3] = 64
    assert x.tolist() == [4.0, 2.0]
    with pytest.raises(RuntimeError, match="size"):
        x.untyped_storage().copy_(torch.ones(3).untyped_storage())
    with pytest.raises(NotImplementedError, match="resize_"):
        x.untyped_storage().resize_(0)
    assert len(torch.UntypedStorage(10)) == 10


def test_elements():
    x = torch.arange(6.0)
    s = x[1:].storage()
    assert s.size() == len(s) == 6 and s.nbytes() == 24 and s.dtype is torch.float32 and s.element_size() == 4
    assert s.tolist() == list(s) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] and s[2] == 2.0 and s[1:3].tolist() == [1.0, 2.0]
    s[0] = 7
    assert x[0] == 7 and s.untyped() is x.untyped_storage() and s.data_ptr() == x.data_ptr()
    assert s.clone().fill_(1).tolist() == [1.0] * 6 and x[1] == 1 and s.pickle_storage_type() == "FloatStorage"
    assert torch.ones(2, dtype=torch.bfloat16).storage().tolist() == [1.0, 1.0]
