"""Records PyTorch's samples by rejection and their derivatives: ``python record_rejection.py`` where torch is installed."""

import json
import lzma
import pathlib

import torch

SAMPLERS = {
    "poisson": lambda torch, a, g: torch.poisson(a, generator=g),
    "binomial": lambda torch, a, g: torch.binomial(a.round(), (a / 80).clamp(0, 1), generator=g),
    "_standard_gamma": lambda torch, a, g: torch._standard_gamma(a, generator=g),
    "_sample_dirichlet": lambda torch, a, g: torch._sample_dirichlet(a, generator=g),
}


def parameters(torch, scale, dtype, transposed):
    a = (torch.arange(1, 25, dtype=torch.float64) / 24 * scale).reshape(12, 2).to(dtype)
    return a.t().contiguous().t() if transposed else a


def grid(torch):
    """Pairs of concentrations and samples (of both gradients) through all of their regions."""
    alpha = torch.tensor([0.05, 0.5, 0.9, 3.0, 7.5, 9.0, 40.0, 200.0], dtype=torch.float64)[:, None, None]
    beta = torch.tensor([0.1, 2.0, 6.5, 30.0], dtype=torch.float64)[None, :, None]
    quantile = torch.tensor([0.001, 0.2, 0.5, 0.8, 0.999], dtype=torch.float64)[None, None]
    return [x.expand(8, 4, 5).contiguous() for x in (quantile, alpha, alpha + beta, alpha * (quantile * 2))]


def main() -> None:
    samples = []
    for name, sampler in SAMPLERS.items():
        for dtype in ["float32", "float64"] + ["float16", "bfloat16"] * (name == "poisson"):
            for scale in (1, 9, 70):
                for transposed in (False, True):
                    g = torch.Generator().manual_seed(scale)
                    torch.randn(1, generator=g)
                    a = parameters(torch, scale, getattr(torch, dtype), transposed)
                    numbers = sampler(torch, a, g).double().tolist()
                    samples.append([name, dtype, scale, transposed, numbers, torch.randn(3, generator=g).tolist()])
    x, alpha, total, y = grid(torch)
    gradients = {"gamma": torch._standard_gamma_grad(alpha, y).tolist(), "beta": torch._dirichlet_grad(x, alpha, total).tolist()}
    data = json.dumps({"made with": f"PyTorch {torch.__version__}", "samples": samples, "gradients": gradients},
                      separators=(",", ":"))
    pathlib.Path(__file__).with_name("rejection.json.xz").write_bytes(lzma.compress(data.encode(), preset=9))


if __name__ == "__main__":
    main()
