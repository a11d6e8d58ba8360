"""Random programs that mix views, in-place writes, late reads, dtypes, empty sizes and gradients, run three ways.

A program is a list of steps. A step names tensors by number, so that the same program runs on diya (either tier, with or
without observation points) and on a model of storages that is nothing but numpy arrays and numpy views. ``generate``
takes its choices from a function ``choose(n) -> 0..n-1``: hypothesis' draws (which shrink), or a random number generator.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

DTYPES = ["float32", "float64", "int64", "int32", "bool", "uint8", "float16"]
SIZES = [0, 1, 2, 3, 4, 5]


class Step(NamedTuple):
    op: str
    args: tuple           # numbers of tensors, then parameters
    out: int | None = None


class Model:
    """Numpy's view of a program: tensor ``i`` is an array that shares memory as the tensor should."""

    def __init__(self):
        self.tensors: dict[int, np.ndarray] = {}

    def compute(self, a: np.ndarray):
        return a.astype(np.float32) if a.dtype == np.float16 else a

    def run(self, step: Step) -> Any:
        t, (op, args, out) = self.tensors, step
        with np.errstate(all="ignore"):
            result = getattr(self, "op_" + op)(*[t[a] if isinstance(a, Ref) else a for a in args])
        if out is not None:
            result = t[out] = np.asarray(result)
        return result

    def op_create(self, shape, dtype, seed):
        rng = np.random.default_rng(seed)
        if dtype == "bool":
            return rng.integers(0, 2, shape).astype(bool)
        if dtype.startswith("float"):
            return (rng.integers(-8, 9, shape) / 4).astype(dtype)
        return rng.integers(0, 7, shape).astype(dtype)

    # views
    def op_select(self, x, dim, i): return x[(slice(None),) * dim + (i, ...)]
    def op_slice(self, x, dim, a, b, step): return x[(slice(None),) * dim + (slice(a, b, step),)]
    def op_transpose(self, x, a, b): return np.swapaxes(x, a, b)
    def op_unsqueeze(self, x, dim): return np.expand_dims(x, dim)
    def op_expand(self, x, shape): return np.broadcast_to(x, shape)
    def op_flatten(self, x): return x.reshape(-1)
    def op_diagonal(self, x):
        n = min(x.shape[:2])
        if not n:
            return np.empty((0,) + x.shape[2:], x.dtype)
        return np.lib.stride_tricks.as_strided(x, (n,) + x.shape[2:], (sum(x.strides[:2]),) + x.strides[2:])

    # copies
    def op_clone(self, x): return x.copy()
    def op_contiguous(self, x): return x if x.flags.c_contiguous else x.copy()
    def op_cast(self, x, dtype):
        if x.dtype.kind == "f" and dtype in ("int64", "int32", "uint8"):
            return x.astype(np.int64).astype(dtype)
        return x.astype(dtype) if x.dtype != np.dtype(dtype) else x
    def op_flip(self, x): return np.flip(x).copy()
    def op_cat(self, x, y, dim): return np.concatenate([x, y], dim)
    # arithmetic
    def half(self, f, *xs):
        d = xs[0].dtype
        return np.asarray(f(*[self.compute(x) for x in xs])).astype(d)
    def op_add(self, x, y): return x | y if x.dtype == bool else self.half(np.add, x, y)
    def op_mul(self, x, y): return self.half(np.multiply, x, y)
    def op_scale(self, x, k): return self.half(lambda a: a * a.dtype.type(k), x) if x.dtype != bool else x.copy()
    def op_maximum(self, x, y): return np.maximum(x, y)
    def op_less(self, x, y): return x < y
    def op_where(self, c, x, y): return np.where(c, x, y)
    def op_sum(self, x, dims):
        d = np.int64 if x.dtype.kind in "bui" else x.dtype
        return np.asarray(self.compute(x).sum(axis=dims, dtype=np.float32 if x.dtype == np.float16 else d)).astype(d)
    def op_amax(self, x, dim): return x.max(axis=dim)
    def op_index(self, x, index): return x[np.asarray(index, np.int64)]
    def op_matmul(self, x, y): return self.half(np.matmul, x, y)
    # writes
    def op_fill_(self, x, value): x[...] = value
    def op_copy_(self, x, y): x[...] = np.array(y)
    def op_add_(self, x, y): x[...] = self.op_add(x, np.array(y))
    def op_scale_(self, x, k): x[...] = self.op_scale(x, k)
    def op_setitem(self, x, a, b, value): x[a:b] = value
    def op_put_(self, x, index, value): x[np.asarray(index, np.int64)] = value
    def op_masked_fill_(self, x, mask, value): x[mask] = value
    # observations and life
    def op_observe(self, x): return np.array(x)
    def op_item(self, x): return np.array(x).reshape(-1)[0]
    def op_flush(self): return None
    def op_drop(self, i): self.tensors.pop(i)
    def op_numpy_write(self, x, value):
        if x.size:
            x[(0,) * x.ndim] = value


class Ref(int):
    """The number of a tensor among a step's arguments."""


class Machine:
    """The same steps on diya."""

    def __init__(self, torch):
        self.torch = torch
        self.tensors: dict[int, Any] = {}

    def run(self, step: Step) -> Any:
        t, (op, args, out) = self.tensors, step
        result = getattr(self, "op_" + op)(*[t[a] if isinstance(a, Ref) else a for a in args])
        if out is not None:
            t[out] = result
        return result

    def dtype(self, name): return getattr(self.torch, name)
    def op_create(self, shape, dtype, seed):
        return self.torch.tensor(Model().op_create(shape, dtype, seed), dtype=self.dtype(dtype))
    def op_select(self, x, dim, i): return x.select(dim, i)
    def op_slice(self, x, dim, a, b, step): return x[(slice(None),) * dim + (slice(a, b, step),)]
    def op_transpose(self, x, a, b): return x.transpose(a, b)
    def op_unsqueeze(self, x, dim): return x.unsqueeze(dim)
    def op_expand(self, x, shape): return x.expand(shape)
    def op_flatten(self, x): return x.reshape(-1)
    def op_diagonal(self, x): return x.diagonal().movedim(-1, 0)
    def op_clone(self, x): return x.clone()
    def op_contiguous(self, x): return x.contiguous()
    def op_cast(self, x, dtype): return x.to(self.dtype(dtype))
    def op_flip(self, x): return self.torch.flip(x, tuple(range(x.dim())))
    def op_cat(self, x, y, dim): return self.torch.cat([x, y], dim)
    def op_add(self, x, y): return x + y
    def op_mul(self, x, y): return x * y
    def op_scale(self, x, k): return x * k if x.dtype is not self.torch.bool else x.clone()
    def op_maximum(self, x, y): return self.torch.maximum(x, y)
    def op_less(self, x, y): return x < y
    def op_where(self, c, x, y): return self.torch.where(c, x, y)
    def op_sum(self, x, dims): return x.sum(dims)
    def op_amax(self, x, dim): return x.amax(dim)
    def op_index(self, x, index): return x[list(index)]
    def op_matmul(self, x, y): return x @ y
    def op_fill_(self, x, value): x.fill_(value)
    def op_copy_(self, x, y): x.copy_(y)
    def op_add_(self, x, y): x.add_(y)
    def op_scale_(self, x, k):
        if x.dtype is not self.torch.bool:
            x.mul_(k)
    def op_setitem(self, x, a, b, value): x[a:b] = value
    def op_put_(self, x, index, value): x[list(index)] = value
    def op_masked_fill_(self, x, mask, value): x.masked_fill_(mask, value)
    def op_observe(self, x): return self.values(x)
    def op_item(self, x): return x.reshape(-1)[0].item()
    def op_flush(self): self.torch.engine.flush()
    def op_drop(self, i): self.tensors.pop(i)
    def op_numpy_write(self, x, value):
        if x.numel():
            x.detach().numpy()[(0,) * x.dim()] = value
    def values(self, x): return x.detach()._to_array()


def generate(choose, length: int, numpy_writes: bool = True, only: str | None = None) -> list[Step]:
    """A program of about ``length`` steps that is valid on the model (which is run along to know shapes)."""
    model, steps = Model(), []
    count = 0

    def emit(op, *args, out=False):
        nonlocal count
        number = None
        if out:
            number, count = count, count + 1
        step = Step(op, args, number)
        model.run(step)
        steps.append(step)
        return number

    def create(shape=None, dtype=None):
        if shape is None:
            shape = tuple(SIZES[choose(len(SIZES))] for _ in range(choose(4)))
        return emit("create", shape, dtype or only or DTYPES[choose(len(DTYPES))], choose(1000), out=True)

    def pick():
        alive = sorted(model.tensors)
        return alive[choose(len(alive))] if alive else create()

    def like(i):
        """Another tensor of the same shape and dtype: an old one, or a new one."""
        x = model.tensors[i]
        found = [j for j, y in model.tensors.items() if y.shape == x.shape and y.dtype == x.dtype]
        k = choose(len(found) + 1)
        return sorted(found)[k] if k < len(found) else create(x.shape, x.dtype.name)

    def value(x):
        return bool(choose(2)) if x.dtype == bool else choose(5)
    create()
    while len(steps) < length:
        i = pick()
        x = model.tensors[i]
        r, w = Ref(i), x.flags.writeable
        kind = KINDS[choose(len(KINDS))]
        if kind == "create":
            create()
        elif kind == "view" and x.ndim < 5:
            v = choose(7)
            if v == 0 and x.ndim:
                d = choose(x.ndim)
                if x.shape[d]:
                    emit("select", r, d, choose(x.shape[d]), out=True)
            elif v == 1 and x.ndim:
                d = choose(x.ndim)
                a = choose(x.shape[d] + 1)
                emit("slice", r, d, a, a + choose(x.shape[d] - a + 1), 1 + choose(2), out=True)
            elif v == 2 and x.ndim:
                emit("transpose", r, choose(x.ndim), choose(x.ndim), out=True)
            elif v == 3:
                emit("unsqueeze", r, choose(x.ndim + 1), out=True)
            elif v == 4:
                shape = tuple(2 + choose(2) if s == 1 and choose(2) else s for s in x.shape)
                shape = (2,) * choose(2) + shape
                emit("expand", r, shape, out=True)
            elif v == 5:
                emit("flatten", r, out=True)
            elif v == 6 and x.ndim >= 2:
                emit("diagonal", r, out=True)
        elif kind == "copy":
            v = choose(5)
            if v == 0:
                emit("clone", r, out=True)
            elif v == 1:
                emit("contiguous", r, out=True)
            elif v == 2:
                emit("cast", r, DTYPES[choose(len(DTYPES))] if only is None else only, out=True)
            elif v == 3:
                emit("flip", r, out=True)
            elif v == 4 and x.ndim:
                emit("cat", r, Ref(like(i)), choose(x.ndim), out=True)
        elif kind == "compute":
            v = choose(9)
            if v == 0:
                emit("add", r, Ref(like(i)), out=True)
            elif v == 1:
                emit("mul", r, Ref(like(i)), out=True)
            elif v == 2:
                emit("scale", r, choose(3), out=True)
            elif v == 3:
                emit("maximum", r, Ref(like(i)), out=True)
            elif v == 4 and only is None:
                emit("less", r, Ref(like(i)), out=True)
            elif v == 5:
                dims = tuple(d for d in range(x.ndim) if choose(2))
                if dims or not x.ndim:
                    emit("sum", r, dims, out=True)
            elif v == 6 and x.ndim and x.shape[d := choose(x.ndim)]:
                emit("amax", r, d, out=True)
            elif v == 7 and x.ndim and x.shape[0]:
                emit("index", r, tuple(choose(x.shape[0]) for _ in range(choose(4))) or (0,), out=True)
            elif v == 8 and x.ndim == 2 and x.dtype.kind == "f":
                emit("matmul", r, Ref(create((x.shape[1], choose(4)), x.dtype.name)), out=True)
        elif kind == "write" and w:
            v = choose(8)
            if v == 0:
                emit("fill_", r, value(x))
            elif v == 1:
                emit("copy_", r, Ref(like(i)))
            elif v == 2:
                emit("add_", r, Ref(like(i)))
            elif v == 3:
                emit("scale_", r, choose(3))
            elif v == 4 and x.ndim and x.shape[0]:
                a = choose(x.shape[0])
                emit("setitem", r, a, a + 1 + choose(x.shape[0] - a), value(x))
            elif v == 5 and x.ndim and x.shape[0]:
                emit("put_", r, (choose(x.shape[0]),), value(x))
            elif v == 6 and only is None:
                mask = create(x.shape, "bool")
                emit("masked_fill_", r, Ref(mask), value(x))
            elif v == 7 and numpy_writes:
                emit("numpy_write", r, value(x))
        elif kind == "observe":
            v = choose(4)
            if v == 0:
                emit("observe", r)
            elif v == 1 and x.size:
                emit("item", r)
            elif v == 2:
                emit("flush")
            elif len(model.tensors) > 3:
                emit("drop", i)
    return steps


KINDS = ["create", "view", "view", "view", "copy", "compute", "compute", "compute", "write", "write", "write", "observe"]


def agree(a, b) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    tolerance = 4e-3 if a.dtype == np.float16 else 1e-5
    with np.errstate(all="ignore"):
        return np.allclose(a.astype(np.float64), b.astype(np.float64), rtol=tolerance, atol=tolerance, equal_nan=True)


def check(steps: list[Step], torch, tier: int | None) -> None:
    """Runs a program on the model and on diya at a tier; raises AssertionError at the first difference."""
    model, machine = Model(), Machine(torch)
    with torch.engine.Tier(tier):
        for at, step in enumerate(steps):
            want, got = model.run(step), machine.run(step)
            if step.op in ("observe", "item") and not agree(np.asarray(want), np.asarray(got).astype(np.asarray(want).dtype)):
                raise AssertionError(f"step {at}, {step}: {got!r}, expected {want!r}\n{show(steps[:at + 1])}")
        for i in sorted(model.tensors):
            got = machine.values(machine.tensors[i])
            if not agree(model.tensors[i], got):
                raise AssertionError(f"tensor {i} at the end: {got!r}, expected {model.tensors[i]!r}\n{show(steps)}")
        for i, t in machine.tensors.items():
            assert tuple(t.shape) == model.tensors[i].shape


def show(steps: list[Step]) -> str:
    def line(s: Step) -> str:
        arguments = ", ".join(f"t{a}" if isinstance(a, Ref) else repr(a) for a in s.args)
        return f"  {'' if s.out is None else f't{s.out} = '}{s.op}({arguments})"
    return "\n".join(map(line, steps))


def check_gradients(steps: list[Step], torch) -> None:
    """Gradients of a float64 program with respect to everything it created, on both tiers and with every value forced
    as it is made, agree with one another, and with a finite difference along a random direction."""
    results = [_gradients(steps, torch, tier, force) for tier, force in ((0, False), (1, False), (0, True))]
    if None in results:  # a saved value was written over, which must be said whenever and wherever it runs
        assert results == [None] * 3, show(steps)
        return
    first = results[0]
    for other in results[1:]:
        assert first[0] == other[0] or abs(first[0] - other[0]) <= 1e-9 * (1 + abs(first[0])), (first[0], other[0], show(steps))
        for a, b in zip(first[1], other[1], strict=True):
            assert (a is None) == (b is None) and (a is None or agree(a, b)), f"{a!r}\n{b!r}\n{show(steps)}"
    rng = np.random.default_rng(0)
    directions = [rng.standard_normal(s.args[0]) for s in steps if s.op == "create"]
    slope = sum(float((g * d).sum()) for g, d in zip(first[1], directions, strict=True) if g is not None)
    eps = 1e-6
    up, down = (_gradients(steps, torch, 0, False, [sign * eps * d for d in directions])[0] for sign in (1, -1))
    numeric = (up - down) / (2 * eps)
    assert abs(slope - numeric) <= 1e-4 * (1 + abs(numeric)), f"slope {slope}, numerically {numeric}\n{show(steps)}"


def _gradients(steps, torch, tier, force, moved=None):
    machine = Machine(torch)
    leaves = []
    with torch.engine.Tier(tier):
        for step in steps:
            if step.op == "create":
                shape, _, seed = step.args
                a = np.random.default_rng(seed).standard_normal(shape)  # no ties, where a maximum has no derivative
                if moved is not None:
                    a = a + moved[len(leaves)]
                leaf = torch.tensor(np.asarray(a), dtype=torch.float64).requires_grad_()
                leaves.append(leaf)
                machine.tensors[step.out] = leaf * 1.0  # not a leaf: may be written in place
            else:
                machine.run(step)
            if force:
                for t in machine.tensors.values():
                    machine.values(t)
        loss = None
        for k in sorted(machine.tensors):
            t = machine.tensors[k]
            term = (t * t).sum() * (0.1 + 0.01 * k)
            loss = term if loss is None else loss + term
        if loss is None:
            return 0.0, [None] * len(leaves)
        value = loss.item() if force else None
        if not loss.requires_grad:
            return loss.item(), [None] * len(leaves)
        try:
            loss.backward()
        except RuntimeError as error:
            if "modified by an inplace operation" in str(error):
                return None
            raise
        return loss.item() if value is None else value, [None if x.grad is None else machine.values(x.grad) for x in leaves]
