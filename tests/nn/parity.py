"""Answers of PyTorch, recorded, and their comparison with ours.

A case is a name and a function of the framework (``torch``: PyTorch when recording, diya when testing) that returns
tensors, numbers, strings and containers of them. An exception is an answer too: its class and its message.
"""

from __future__ import annotations

import json
import lzma
import math
import re
import warnings
from pathlib import Path

KEPT = 24  # elements that are kept of a large tensor, evenly spaced


def plain(torch, value):
    """A value as JSON holds it. Tensors are thinned out."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        if value.is_complex():
            value = torch.view_as_real(value)
        flat = value.reshape(-1).tolist()
        step = max(1, math.ceil(len(flat) / KEPT))
        flat = [float(f"{x:.7g}") if isinstance(x, float) else x for x in flat[::step]]
        return {"shape": list(value.shape), "dtype": str(value.dtype).rpartition(".")[2], "data": flat}
    if isinstance(value, dict):
        return {str(k): plain(torch, v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) or hasattr(value, "__next__"):
        return [plain(torch, v) for v in value]
    if isinstance(value, str):
        return re.sub(r"\b(torch|diya)\.", "", value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"a case returned {type(value).__name__}")


def answer(torch, case):
    """What a case gives with one framework."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        try:
            return plain(torch, case())
        except Exception as error:
            return {"raises": type(error).__name__, "says": plain(torch, str(error))}


def difference(got, want, rtol: float = 1e-4, atol: float = 1e-5, at: str = "") -> str | None:
    """Where two answers differ, or None. A message of ours may say more after what PyTorch's says."""
    if isinstance(want, dict) and "raises" in want and isinstance(got, dict):
        if got.get("raises") != want["raises"]:
            return f"{at}: got {got}, expected {want}"
        return None if got["says"].startswith(want["says"]) else f"{at}:\n  got {got['says']!r}\n want {want['says']!r}"
    if isinstance(want, dict):
        if not isinstance(got, dict) or list(got) != list(want):
            return f"{at}: keys {list(got) if isinstance(got, dict) else got}, expected {list(want)}"
        return next(filter(None, (difference(got[k], v, rtol, atol, f"{at}.{k}") for k, v in want.items())), None)
    if isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want):
            return f"{at}: got {got}, expected {want}"
        return next(filter(None, (difference(g, w, rtol, atol, f"{at}[{i}]")
                                  for i, (g, w) in enumerate(zip(got, want, strict=True)))), None)
    if isinstance(want, float) and isinstance(got, (int, float)):
        same = (math.isnan(want) and math.isnan(got)) or math.isclose(got, want, rel_tol=rtol, abs_tol=atol)
        return None if same else f"{at}: got {got}, expected {want}"
    return None if got == want else f"{at}:\n  got {got!r}\n want {want!r}"


def load(path: Path) -> dict:
    with lzma.open(path, "rt") as f:
        return json.load(f)


def record(path: Path, cases) -> None:
    """Writes PyTorch's answers. Run where PyTorch is installed."""
    import torch
    torch.set_num_threads(1)
    answers = {name: answer(torch, case) for name, case in cases(torch)}
    with lzma.open(path, "wt", preset=9) as f:
        json.dump(answers, f)
    print(f"{path}: {len(answers)} answers, {path.stat().st_size >> 10} KiB")
