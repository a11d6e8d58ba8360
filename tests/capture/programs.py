"""A function of most statements and expressions (apart from the tests, whose asserts pytest rewrites)."""

import collections

import diya as torch

Pair = collections.namedtuple("Pair", "first second")


def language(x, *rest, scale=2, **named):
    """Most statements and expressions."""
    total = x * scale if scale > 1 and rest is not None else x + 0
    values = [v * i for i, v in enumerate(rest) if i % 2 == 0 or scale]
    for i in range(10):
        if i == 1:
            continue
        if i > 3:
            break
        total += i
    else:
        total = total * 100
    n = 0
    while n < 3:
        n += 1
    first, *middle = [n, 2, 3]
    table = {"a": total, **{k: v for k, v in named.items()}}
    table["b"] = sum(values, total)
    with torch.no_grad():
        extra = (lambda t, k=2: t * k)(total)
    if (half := n / 2) > 1:
        total = total + half

    def inner(a, *, b):
        nonlocal n
        n += 1
        return a - b + n
    total = inner(total, b=extra)
    assert first == 3 and middle == [2, 3], f"{first!r}"
    picked = total[..., :2] if total.dim() > 1 else total[:2]
    parts = [t for pair in zip(table.values(), (x,), strict=False) for t in pair]
    return Pair(total, picked.sum()), parts, table, f"{n:>3}|{scale}", max(1, n), not n, x.shape[0] - len(rest)
