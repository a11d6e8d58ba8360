"""Running sums and products against the interpreter's."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from compiler.graphs import Maker, check

import diya as torch
from diya import engine
from diya.runtime.cpu import features

SHAPES = [(7,), (1,), (1000,), (5, 9), (4, 1000), (33, 70), (2, 3, 5), (2, 100, 65), (3, 7, 64), (0, 4), (6, 1), (9, 130, 3),
          (16, 16), (37, 100), (70, 1)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int32, torch.float16])
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_scan(name, dtype):
    for shape in SHAPES:
        x = torch.randn(*shape).to(dtype) if dtype.is_floating_point else torch.randint(-3, 4, shape).to(dtype)
        for dim in range(len(shape)):
            results = []
            for tier in (0, 1):
                with engine.Tier(tier):
                    results.append((getattr(x * 1, name)(dim) + 1).double().numpy())
            np.testing.assert_allclose(*results, rtol=1e-6, err_msg=f"{shape}, {dim}")


@pytest.mark.parametrize("width", [w for w in (16, 32, 64) if features.host().vector_bytes >= w])
def test_scan_on_vectors_of_every_width(width):
    m = Maker()
    outputs = [m(name, m.data(shape, d), attrs=1) for name in ("cumsum", "cumprod")
               for d in (torch.float32, torch.float64, torch.int64) for shape in ((35, 35), (3, 35, 70), (17, 129))]
    check(m.graph(*outputs), m.arguments, features.host().narrowed(width))
