"""A GRU reads two numbers digit by digit, lowest first, and learns to write down their sum."""

import sys

import torch
from torch import nn

DIGITS = 5
STEPS = 20 if "--quick" in sys.argv else 500


def digits_of(numbers: torch.Tensor, count: int) -> torch.Tensor:
    """The decimal digits of whole numbers, lowest first, as a new last dimension."""
    return numbers.unsqueeze(-1) // 10 ** torch.arange(count) % 10


def batch(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of digits (size, DIGITS + 1, 2), and the digits of their sums (size, DIGITS + 1)."""
    a, b = torch.randint(0, 10 ** DIGITS, (2, size))
    return torch.stack([digits_of(a, DIGITS + 1), digits_of(b, DIGITS + 1)], -1), digits_of(a + b, DIGITS + 1)


class Adder(nn.Module):
    def __init__(self, width: int = 48):
        super().__init__()
        self.embed = nn.Embedding(10, width)
        self.read = nn.GRU(2 * width, width, batch_first=True)
        self.write = nn.Linear(width, 10)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        state, _ = self.read(self.embed(pairs).flatten(2))
        return self.write(state)


torch.manual_seed(0)
model = Adder()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for step in range(1, STEPS + 1):
    pairs, sums = batch(64)
    loss = nn.functional.cross_entropy(model(pairs).flatten(0, 1), sums.flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 100 == 0 or step == STEPS:
        with torch.no_grad():
            pairs, sums = batch(500)
            right = (model(pairs).argmax(-1) == sums).all(-1).float().mean()
        print(f"step {step:5}  loss {loss:.4f}  sums that are right {right:.1%}")
