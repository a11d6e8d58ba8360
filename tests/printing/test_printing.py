"""Tensors print to the character as PyTorch printed them (`record_golden.py` recorded it)."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

import diya
from diya import dtypes, printing
from diya.tensor import _from_array

CASES = json.loads(Path(__file__).with_name("golden.json").read_text())


@pytest.fixture(autouse=True)
def default_options():
    printing.set_printoptions(profile="default")
    yield
    printing.set_printoptions(profile="default")


def make(case):
    if "expression" in case:
        return eval(case["expression"], {"torch": diya})
    dtype = dtypes.BY_NAME[case["dtype"]]
    raw = np.frombuffer(base64.b64decode(case["data"]), np.uint8)
    return _from_array(raw.view(dtype.numpy).reshape(case["shape"]).copy(), dtype)


def name(case):
    return f"{case.get('expression') or case['dtype'] + str(case['shape'])} {case['options'] or ''}"


@pytest.mark.parametrize("case", [c for c in CASES if "expression" in c], ids=name)
def test_expression(case):
    tensor = make(case)
    printing.set_printoptions(**case["options"])
    assert repr(tensor) == case["text"]


def test_random_numbers():
    for case in CASES:
        if "data" in case:
            printing.set_printoptions(profile="default")
            printing.set_printoptions(**case["options"])
            assert repr(make(case)) == case["text"], case


def test_options_stay_until_set_except_sci_mode():
    printing.set_printoptions(precision=2, sci_mode=True)
    printing.set_printoptions(linewidth=100)
    assert printing.get_printoptions() == {"precision": 2, "threshold": 1000, "edgeitems": 3, "linewidth": 100,
                                           "sci_mode": None}
    with printing.printoptions(precision=7):
        assert repr(diya.tensor(1 / 3)) == "tensor(0.3333333)"
    assert repr(diya.tensor(1 / 3)) == "tensor(0.33)"


def test_unknown_profile():
    with pytest.raises(ValueError, match="profile must be one of default, short, full"):
        printing.set_printoptions(profile="long")


def test_default_dtype_needs_no_suffix():
    diya.set_default_dtype(diya.float64)
    try:
        assert repr(diya.tensor([1.5])) == "tensor([1.5000])"
        assert repr(diya.tensor([1.5], dtype=diya.float32)) == "tensor([1.5000], dtype=torch.float32)"
        assert repr(diya.tensor([1j], dtype=diya.complex64)) == "tensor([0.+1.j], dtype=torch.complex64)"
    finally:
        diya.set_default_dtype(diya.float32)


def test_a_huge_expanded_tensor_prints_without_being_made():
    text = repr(diya.ones(1).expand(1 << 20, 1 << 20))
    assert text.startswith("tensor([[1., 1., 1.,  ..., 1., 1., 1.],\n")


def test_format_of_a_single_number():
    assert f"{diya.tensor(1.5)}" == "1.5"
    assert f"{diya.tensor(1.5):.3f}" == "1.500"
    assert f"{diya.tensor([1.5])}" == "tensor([1.5000])"
    assert str(diya.tensor(1.5)) == "tensor(1.5000)"


def test_parameter_and_subclass():
    parameter = diya.nn.Parameter(diya.ones(2))
    assert repr(parameter) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"

    class Image(diya.Tensor):
        pass

    assert repr(diya.ones(2).as_subclass(Image)) == "Image([1., 1.])"
