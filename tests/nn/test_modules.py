"""Modules, initialisers and utilities give what PyTorch gives."""

from __future__ import annotations

from pathlib import Path

import pytest

import diya
from nn import module_cases, parity

RECORDED = parity.load(Path(__file__).with_name("recorded.json.xz"))
CASES = dict(module_cases.cases(diya))
# Sums of many terms in another order than PyTorch's.
LOOSE = {"Conv3d same": 1e-3}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_pytorch(name):
    got = parity.answer(diya, CASES[name])
    differs = parity.difference(got, RECORDED[name], atol=LOOSE.get(name, 2e-5))
    assert differs is None, differs
