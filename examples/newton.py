"""Derivatives of derivatives: Newton's method goes down Rosenbrock's valley in a handful of steps."""

import torch


def valley(p: torch.Tensor) -> torch.Tensor:
    """Rosenbrock's function; its only minimum, 0, is at (1, 1)."""
    x, y = p
    return (1 - x) ** 2 + 100 * (y - x ** 2) ** 2


p = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
for step in range(8):
    height = valley(p)
    print(f"step {step}  at ({p[0].item():8.5f}, {p[1].item():8.5f})  height {height.item():.3e}")
    slope, = torch.autograd.grad(height, p, create_graph=True)
    curvature = torch.stack([torch.autograd.grad(s, p, retain_graph=True)[0] for s in slope])
    with torch.no_grad():
        p -= torch.linalg.solve(curvature, slope)
