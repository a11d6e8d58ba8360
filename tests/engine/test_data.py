"""``x.data``: the same memory, whose writes are not counted; saved values follow them without a word, as PyTorch has it."""

import pytest

import diya as torch


def test_backward_sees_what_was_written_through_data():
    for _ in range(5):  # also when the calls are remembered
        y = torch.ones(3, requires_grad=True)
        z = y * 1
        loss = (z * z).sum()
        z.data[0] = 5.0
        assert z._version == 0
        loss.backward()
        assert y.grad.tolist() == [10, 2, 2]
        x = torch.ones(3, 4, requires_grad=True)
        z = x * 1
        w = z[..., :2] * z[..., :2]  # what is written is not what is read
        z.data[..., 2] = 5.0
        w.sum().backward()
        assert x.grad.tolist() == [[2, 2, 0, 0]] * 3
        p = torch.ones(2, requires_grad=True)
        out = p.exp()
        out.data[1] = 7.0
        out.sum().backward()
        assert p.grad[1].item() == 7 and out._version == 0


def test_other_writes_are_errors_all_the_same():
    for write in (lambda z: z.add_(1), lambda z: z.detach().add_(1), lambda z: z[0].fill_(2)):
        y = torch.ones(3, requires_grad=True)
        z = y * 1
        loss = (z * z).sum()
        z.data[1] = 4.0
        with torch.no_grad():
            write(z)
        with pytest.raises(RuntimeError, match=r"is at version 1; expected version 0"):
            loss.backward()


def test_versions_of_data_are_its_own():
    a = torch.ones(3)
    b = a.data
    b.add_(1)
    c = b[0:1]
    c.add_(1)
    assert (a._version, b._version, c._version) == (0, 2, 2) and a.tolist() == [3, 2, 2]
    a.add_(1)
    a.detach().add_(1)
    assert (a._version, b._version) == (2, 2)
    assert [torch.ones(2).data.unsqueeze(0).squeeze(0)._hidden for _ in range(5)] == [0] * 5


def test_a_leaf_made_of_data_counts_its_writes():
    p = torch.nn.Parameter(torch.ones(2).data)
    loss = (p * p).sum()
    with torch.no_grad():
        p.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_compiled_calls_see_what_is_written_through_data():
    f = torch.compile(lambda z: (z * z).sum())
    for _ in range(5):
        y = torch.ones(3, requires_grad=True)
        z = y * 1
        loss = f(z)
        z.data[0] = 5.0
        loss.backward()
        assert y.grad.tolist() == [10, 2, 2]
