"""complex32: two float16 an element, stored as bits, computed in complex64."""

import pytest

import diya

X = [1 + 2j, 3.5 - 4j, 0.1j]


@pytest.fixture(params=[0, 1], autouse=True)
def tier(request):
    with diya.engine.Tier(request.param):
        yield


def half(values):
    return diya.tensor(values, dtype=diya.complex32)


def test_made_and_read():
    x = half(X)
    assert x.dtype is diya.complex32 is diya.chalf and x.element_size() == 4
    assert x.tolist() == [1 + 2j, 3.5 - 4j, pytest.approx(0.1j, rel=1e-3)]
    assert half([70000.0]).tolist() == [complex("inf")] and half(1j).item() == 1j
    assert repr(x[:2]) == "tensor([1.0000+2.j, 3.5000-4.j], dtype=torch.complex32)"
    with pytest.raises(TypeError, match="ComplexHalf"):
        x.numpy()


def test_views_and_parts():
    x = half(X)
    parts = diya.view_as_real(x)
    assert parts.dtype is diya.float16 and parts.shape == (3, 2) and x.real.dtype is diya.float16
    parts[0, 0] = 7
    assert x[0].item() == 7 + 2j
    assert diya.view_as_complex(parts).tolist() == x.tolist()
    assert diya.complex(diya.ones(1).half(), diya.ones(1).half()).tolist() == [1 + 1j]


def test_arithmetic():
    x = half(X[:2])
    assert (x + x).tolist() == [2 + 4j, 7 - 8j] and (x * x).dtype is diya.complex32
    assert (x @ x).item() == (1 + 2j) ** 2 + (3.5 - 4j) ** 2
    assert x.sum().item() == 4.5 - 2j and x.conj().tolist() == [1 - 2j, 3.5 + 4j] and x.abs().dtype is diya.float16
    assert diya.cat([x, x]).t()[2:].tolist() == x.tolist()
    at = (diya.tensor([0, 0]),)
    assert half([0, 0]).index_put(at, x, accumulate=True).tolist() == [4.5 - 2j, 0]
    assert half([0, 0]).scatter_add(0, at[0], x).tolist() == [4.5 - 2j, 0]


def test_promotion():
    for other, want in ((diya.int64, diya.complex32), (diya.float16, diya.complex32), (diya.bfloat16, diya.complex64),
                        (diya.float32, diya.complex64), (diya.float64, diya.complex128), (diya.complex64, diya.complex64)):
        assert diya.promote_types(other, diya.complex32) is want is diya.promote_types(diya.complex32, other)
    assert (diya.ones(2).half() * 1j).dtype is diya.complex32


def test_gradient():
    x = diya.ones(2, dtype=diya.float64, requires_grad=True)
    (x.chalf() * 2).cfloat().real.sum().backward()
    assert x.grad.tolist() == [2, 2]
