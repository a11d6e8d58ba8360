"""The interpreter's contraction against its definition, on random specifications, through each of its paths."""

from __future__ import annotations

import numpy as np
import pytest

from diya.graph import Affine, Contraction
from diya.numerics import contract as module


def defined(spec, a, b):
    index = np.indices(spec.sizes).reshape(len(spec.sizes), -1)

    def read(x, coordinates):
        at = [sum((c * index[v] for v, c in terms), np.full(index.shape[1], const)) for terms, const in coordinates]
        inside = np.ones(index.shape[1], bool)
        for i, n in zip(at, x.shape, strict=True):
            inside &= (i >= 0) & (i < n)
        return np.where(inside, x[tuple(np.where(inside, i, 0) for i in at)], 0)
    products = (read(a, spec.a) * read(b, spec.b)).reshape(spec.sizes)
    return products.sum(axis=tuple(range(spec.n_out, len(spec.sizes))))


def operand(rng, sizes):
    coordinates, shape = [], []
    free = [v for v in range(len(sizes)) if rng.random() < 0.65]
    rng.shuffle(free)
    while free:
        count = 2 if len(free) > 1 and rng.random() < 0.25 else 1
        terms = tuple(sorted((free.pop(), int(rng.choice([1, 1, 1, 2, -1]))) for _ in range(count)))
        const = int(rng.integers(-2, 3)) if rng.random() < 0.4 else 0
        coordinates.append(Affine(terms, const))
        shape.append(int(rng.integers(1, 7)) if const or count > 1 else sizes[terms[0][0]])
    return tuple(coordinates), rng.integers(-3, 4, shape).astype(np.float32)


@pytest.mark.parametrize("product", [1, 8, 1 << 17])
@pytest.mark.parametrize("copied, part", [(4, 1), (1 << 20, 1 << 20)])
def test_random_contractions(monkeypatch, product, copied, part):
    monkeypatch.setattr(module, "MIN_PRODUCT", product)
    monkeypatch.setattr(module, "MAX_COPY", copied)
    monkeypatch.setattr(module, "MIN_PART", part)
    rng = np.random.default_rng(product + copied)
    for _ in range(150):
        sizes = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 6)))
        (a_at, a), (b_at, b) = operand(rng, sizes), operand(rng, sizes)
        spec = Contraction(sizes, int(rng.integers(0, len(sizes) + 1)), a_at, b_at)
        np.testing.assert_array_equal(module.contract(spec, a, b), defined(spec, a, b), err_msg=str(spec))


@pytest.mark.parametrize("seed", range(4))
def test_operands_with_zeros_between_their_elements(seed):
    rng = np.random.default_rng(seed)
    for _ in range(80):
        sizes = tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 5)))
        (a_at, a), (b_at, b) = operand(rng, sizes), operand(rng, sizes)
        spec = Contraction(sizes, int(rng.integers(0, len(sizes) + 1)), a_at, b_at)
        steps = [tuple(int(k) for k in rng.integers(1, 4, x.ndim)) for x in (a, b)]
        thin = [x[tuple(slice(None, None, k) for k in each)] for x, each in zip((a, b), steps, strict=True)]
        wide = []
        for x, t, each in zip((a, b), thin, steps, strict=True):
            z = np.zeros_like(x)
            z[tuple(slice(None, None, k) for k in each)] = t
            wide.append(z)
        np.testing.assert_array_equal(module.contract_spread((spec, *steps), *thin), defined(spec, *wide), err_msg=str(spec))
