"""Calls with one mistake each, made from recorded ones; and, run with PyTorch installed, a record of what it raises:

  python tests/ops/mistakes.py      writes mistakes.json beside this file
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from oracle.checker import by_operator, decode, function_of  # noqa: E402

PATH = os.path.join(HERE, "mistakes.json")


def tensors(args: tuple, T) -> list[int]:
    return [i for i, x in enumerate(args) if isinstance(x, T.Tensor)]


def mistakes(call: dict, T) -> Iterator[tuple[str, tuple, dict]]:
    """(name, args, kwargs) of each mistake that makes sense for a call."""
    args = tuple(decode(call["args"], T, []))
    kwargs: dict[str, Any] = decode(call["kwargs"], T, [])

    def changed(i: int, x) -> tuple:
        return (*args[:i], x, *args[i + 1:])
    at = tensors(args, T)
    for n, i in enumerate(at):
        yield f"string for tensor {n}", changed(i, "x"), kwargs
        yield f"list for tensor {n}", changed(i, [[1.0, 2.0]]), kwargs
        if len(at) > 1:
            yield f"size of tensor {n}", changed(i, T.ones((7, 11), dtype=args[i].dtype)), kwargs
        yield f"rank of tensor {n}", changed(i, T.ones((2, 1, 1, 1, 1, 1, 2), dtype=args[i].dtype)), kwargs
        for dtype in ("bool", "complex64", "int32"):
            yield f"{dtype} for tensor {n}", changed(i, T.ones(tuple(args[i].shape), dtype=getattr(T, dtype))), kwargs
    for i, x in enumerate(args):
        if type(x) is int and i > 0:
            yield f"argument {i} too large", changed(i, 99), kwargs
            yield f"argument {i} too small", changed(i, -99), kwargs
            yield f"string for argument {i}", changed(i, "x"), kwargs
    for k, x in kwargs.items():
        if type(x) is int:
            yield f"{k} too large", args, {**kwargs, k: 99}
            yield f"{k} too small", args, {**kwargs, k: -99}
        if isinstance(x, (int, float, str, tuple)):
            yield f"an object for {k}", args, {**kwargs, k: object()}
    yield "unknown keyword", args, {**kwargs, "nonsense": 1}
    yield "too many arguments", (*args, *[object()] * 12), kwargs
    if args:
        yield "no argument", (), {}


def outcome(function, args: tuple, kwargs: dict, T) -> str:
    """"ok", or the class of the exception that a call, and looking at what it gives, raises."""
    def look(x) -> None:
        if isinstance(x, T.Tensor):
            x.detach().tolist()
        elif isinstance(x, (tuple, list)):
            for v in x:
                look(v)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            look(function(*args, **kwargs))
        except Exception as error:
            return kind_of(error)
    return "ok"


def kind_of(error: Exception) -> str:
    """The built-in class that a program would catch it by."""
    for kind in (NotImplementedError, IndexError, TypeError, ValueError, AttributeError, RuntimeError):
        if isinstance(error, kind):
            return kind.__name__
    return type(error).__name__


def chosen() -> Iterator[tuple[str, dict]]:
    """One small float32 (or whatever there is) call of each operator."""
    for op, calls in by_operator().items():
        found = [c for c in calls if c["dtype"] == "float32"] or calls
        sized = [c for c in found if '"shape": []' not in json.dumps(c["args"]) and '"shape": [0' not in json.dumps(c["args"])]
        yield op, min(sized or found, key=lambda c: len(json.dumps(c)))


def recorded(op: str, call: dict, torch) -> dict[str, str]:
    """What PyTorch raises for each mistake, found in a process of its own: some make it crash."""
    read, write = os.pipe()
    if not os.fork():
        with os.fdopen(write, "w") as f:
            function = function_of(call["path"], torch)
            for name, args, kwargs in mistakes(call, torch):
                f.write(f"{name}=")
                f.flush()
                f.write(f"{outcome(function, args, kwargs, torch)}\n")
                f.flush()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as f:
        found = dict(line.rstrip("\n").split("=") for line in f)
    os.wait()
    return {name: kind or "crash" for name, kind in found.items()}


def main() -> None:
    import torch
    torch.set_num_threads(1)
    record = {op: recorded(op, call, torch) for op, call in chosen()}
    with open(PATH, "w") as f:
        json.dump(record, f, indent=0, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    main()
