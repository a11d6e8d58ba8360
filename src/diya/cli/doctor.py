"""``diya doctor``: what diya finds on this machine, and whether it works."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exits with 1 if something does not work."


def run(options: argparse.Namespace) -> int:
    import numpy

    import diya
    from diya import engine, version

    rows: list[tuple[str, str]] = [
        ("diya", f"{version.__version__}, after PyTorch {version.torch_version}, in {os.path.dirname(diya.__file__)}"),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("system", platform.platform()),
        ("numpy", numpy.__version__),
    ]
    healthy = True
    compiler = engine.compiler()
    if compiler is None:
        rows.append(("llvmlite", "not installed: everything runs interpreted, on numpy. `pip install llvmlite` makes it fast"))
    else:
        from importlib.metadata import version as installed

        from ..runtime.cpu import features, store

        host = features.host()
        rows += [("llvmlite", installed("llvmlite")),
                 ("processor", f"{host.cpu}, {host.arch}, vectors of {host.vector_bytes} bytes"),
                 ("caches", ", ".join(f"L{k + 1} {n >> 10:,} KiB" for k, n in enumerate(features.caches()) if n)),
                 ("threads", f"{diya.get_num_threads()} (cores that this process may use: {features.cores()})"),
                 ("code cache", _cache(store.directory()))]
    rows.append(("interpreter", _check(0)))
    if compiler is not None:
        rows.append(("compiler", _check(1)))
    healthy = all("wrong" not in text and "failed" not in text for name, text in rows if name in ("interpreter", "compiler"))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
    print("\nAll is well." if healthy else "\nSomething does not work: please report the lines above.")
    return 0 if healthy else 1


def _cache(directory: str) -> str:
    try:
        sizes = [entry.stat().st_size for entry in os.scandir(directory) if entry.is_file()]
    except OSError:
        return f"{directory} (empty)"
    writable = "" if os.access(directory, os.W_OK) else ", read-only"
    return f"{directory} ({len(sizes):,} entries, {sum(sizes) / 1e6:.1f} MB{writable})"


def _check(tier: int) -> str:
    """Runs a product, a sum and a gradient on one tier and compares with numpy."""
    import numpy as np

    import diya
    from diya import engine

    started = time.perf_counter()
    try:
        with engine.Tier(tier):
            a = np.random.default_rng(0).standard_normal((33, 17)).astype(np.float32)
            x = diya.tensor(a).requires_grad_()
            y = (x @ x.t()).tanh().sum()
            y.backward()
            got, slope = y.item(), x.grad.numpy()
        p = (a @ a.T).astype(np.float64)
        d = 1 - np.tanh(p) ** 2
        right = abs(got - np.tanh(p).sum()) < 1e-2 and np.allclose(slope, (d + d.T) @ a, atol=1e-3)
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"
    return f"works ({(time.perf_counter() - started) * 1e3:.0f} ms)" if right else "gives wrong numbers"
