"""Memory that numpy shares: writes by either side are seen by the other, and copies stay copies."""

import numpy as np
import pytest

import diya


@pytest.mark.parametrize("shape", [(4,), (1, 3), (3000, 1100)])
def test_copies_of_numpys_memory_are_copies(shape):
    memory = np.ones(shape, np.float32)
    t = diya.from_numpy(memory)
    row = diya.tensor([0])
    kept = [t.clone(), t.reshape(-1).clone(), diya.empty(shape).copy_(t), t[row], t * 1, t.unsqueeze(0).clone()]
    memory[:] = 5
    assert all(float(k.min()) == float(k.max()) == 1 for k in kept)
    assert float(t.min()) == 5
    t.fill_(7)
    assert (memory == 7).all()


def test_a_copy_of_a_view_survives_numpys_writes():
    t = diya.arange(4.0)
    other = t.reshape(2, 2).clone()
    other.numpy()[:] = 9
    assert t.tolist() == [0, 1, 2, 3] and other.tolist() == [[9, 9], [9, 9]]
    copy = t.unsqueeze(0).clone()
    part = t[1:3].clone()
    t.tolist()
    view = t[1:].clone()
    t.numpy()[:] = -1
    assert copy.tolist() == [[0, 1, 2, 3]] and part.tolist() == [1, 2] and view.tolist() == [1, 2, 3]
    assert t.tolist() == [-1] * 4


def test_gradients_of_numpys_memory():
    memory = np.full(3, 2.0)
    x = diya.from_numpy(memory).requires_grad_()
    y = (x * x).sum()
    y.backward()
    assert x.grad.tolist() == [4, 4, 4]


def test_writes_of_an_array_that_is_gone_are_seen_by_a_strided_tensor():
    t = diya.arange(4.0).view(2, 2).t()
    for k in range(4):
        assert [(t * 1).tolist() for _ in range(2)] == [[[0, 2 << k], [1 << k, 3 << k]]] * 2
        np.multiply(t.numpy(), 2, out=t.numpy())
