"""What common calls cost before they do anything: recording in diya beside PyTorch's eager calls on the same small tensors.

    python calls.py [--torch PYTHON] [--gradients]

Microseconds of CPU time a call, the least of rounds of 50 calls, in the order of what is lost; what diya records runs between
rounds and is not counted, while PyTorch computes at once.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import subprocess
import sys
import time

CALLS, ROUNDS = 50, 12


def calls(torch, gradients: bool) -> dict:
    F = torch.nn.functional
    torch.manual_seed(0)
    a, b, x3, v = torch.rand(8, 16), torch.rand(8, 16), torch.rand(2, 8, 16), torch.rand(16)
    w, bias, image = torch.rand(32, 16), torch.rand(32), torch.rand(2, 3, 8, 8)
    if gradients:
        for t in (a, b, x3, v, w, bias, image):
            t.requires_grad_()
    rows, labels, column = torch.tensor([0, 3, 2]), torch.randint(0, 16, (8,)), torch.randint(0, 16, (8, 1))
    mask = torch.rand(8, 16) > 0.5
    linear, norm, table = torch.nn.Linear(16, 32), torch.nn.LayerNorm(16), torch.nn.Embedding(10, 16)
    cell, h = torch.nn.GRUCell(16, 16), torch.rand(8, 16)
    mlp = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    return {
        "a + b": lambda: a + b, "a - b": lambda: a - b, "a * 2.0": lambda: a * 2.0, "1 - a": lambda: 1 - a,
        "a ** 2": lambda: a ** 2,
        "exp": lambda: a.exp(), "tanh": lambda: torch.tanh(a), "relu": lambda: F.relu(a), "gelu": lambda: F.gelu(a),
        "clamp": lambda: a.clamp(0, 1), "clamp(min)": lambda: a.clamp(min=0), "maximum": lambda: torch.maximum(a, b),
        "where": lambda: torch.where(mask, a, b), "masked_fill": lambda: a.masked_fill(mask, 0.0),
        "lerp": lambda: torch.lerp(a, b, 0.1),
        "addcmul": lambda: torch.addcmul(a, a, b), "a < b": lambda: a < b, "sum": lambda: a.sum(), "sum(-1)": lambda: a.sum(-1),
        "sum(keepdim)": lambda: a.sum(-1, keepdim=True), "mean": lambda: a.mean(), "max(1)": lambda: a.max(1),
        "argmax": lambda: a.argmax(-1), "std(0)": lambda: a.std(0), "norm": lambda: a.norm(), "cumsum": lambda: a.cumsum(0),
        "topk": lambda: a.topk(3), "sort": lambda: a.sort(), "a @ w.t()": lambda: a @ w.t(),
        "bmm": lambda: torch.bmm(x3, x3.mT),
        "addmm": lambda: torch.addmm(bias, a, w.t()), "einsum": lambda: torch.einsum("bij,bkj->bik", x3, x3),
        "linear": lambda: F.linear(a, w, bias), "Linear": lambda: linear(a), "LayerNorm": lambda: norm(a),
        "Embedding": lambda: table(rows), "GRUCell": lambda: cell(a, h), "Sequential": lambda: mlp(a),
        "softmax": lambda: F.softmax(a, -1), "log_softmax": lambda: F.log_softmax(a, -1),
        "cross_entropy": lambda: F.cross_entropy(a, labels), "mse_loss": lambda: F.mse_loss(a, b),
        "smooth_l1_loss": lambda: F.smooth_l1_loss(a, b), "attention": lambda: F.scaled_dot_product_attention(x3, x3, x3),
        "max_pool2d": lambda: F.max_pool2d(image, 2), "interpolate": lambda: F.interpolate(image, scale_factor=2),
        "pad": lambda: F.pad(a, (1, 1)), "normalize": lambda: F.normalize(a),
        "cosine_similarity": lambda: F.cosine_similarity(a, b),
        "view": lambda: a.view(16, 8), "reshape": lambda: a.reshape(-1), "t": lambda: a.t(),
        "transpose": lambda: x3.transpose(0, 1),
        "permute": lambda: x3.permute(2, 0, 1), "unsqueeze": lambda: a.unsqueeze(0), "expand": lambda: v.expand(8, 16),
        "a[1:3]": lambda: a[1:3], "a[:, 1:3]": lambda: a[:, 1:3], "a[2]": lambda: a[2], "a[:, None]": lambda: a[:, None],
        "a[rows]": lambda: a[rows], "gather": lambda: a.gather(1, column), "index_select": lambda: a.index_select(0, rows),
        "chunk": lambda: a.chunk(2, 1), "unbind": lambda: a.unbind(0), "cat": lambda: torch.cat([a, b]),
        "stack": lambda: torch.stack([a, b], 1), "zeros": lambda: torch.zeros(8, 16), "arange": lambda: torch.arange(10),
        "tensor": lambda: torch.tensor([1.0, 2.0, 3.0]), "randn": lambda: torch.randn(8, 16), "detach": lambda: a.detach(),
        "clone": lambda: a.clone(), "long": lambda: a.long(), "dropout": lambda: F.dropout(a, 0.1)}


def measure(module: str, gradients: bool) -> dict[str, float]:
    torch = importlib.import_module(module)
    torch.set_num_threads(1)
    flush = importlib.import_module("diya.engine").flush if module == "diya" else lambda: None
    found = {}
    with torch.set_grad_enabled(gradients):
        for name, call in calls(torch, gradients).items():
            least = math.inf
            for _ in range(ROUNDS):
                flush()
                began = time.thread_time()
                for _ in range(CALLS):
                    call()
                least = min(least, time.thread_time() - began)
            found[name] = least / CALLS * 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", metavar="PYTHON", default=sys.executable, help="an interpreter that has PyTorch (this one)")
    parser.add_argument("--gradients", action="store_true", help="with arguments that require gradients")
    parser.add_argument("--side", choices=("diya", "torch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.gradients)))
        return
    more = ["--gradients"] if options.gradients else []
    ours, theirs = (json.loads(subprocess.run([python, __file__, "--side", side, *more], check=True, capture_output=True).stdout)
                    for side, python in (("diya", sys.executable), ("torch", options.torch)))
    for name in sorted(ours, key=lambda k: theirs[k] - ours[k]):
        print(f"{name:18} diya {ours[name]:7.2f}   torch {theirs[name]:7.2f}   x{ours[name] / theirs[name]:.2f}")
    mean = math.exp(sum(math.log(ours[k] / theirs[k]) for k in ours) / len(ours))
    print(f"{len(ours)} calls: geometric mean x{mean:.2f}; in all {sum(ours.values()):.0f} and {sum(theirs.values()):.0f} us")


if __name__ == "__main__":
    main()
