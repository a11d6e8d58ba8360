"""A multi-layer perceptron tells the three arms of a spiral apart."""

import math
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

EPOCHS = 3 if "--quick" in sys.argv else 40


def spiral(per_arm: int = 300) -> TensorDataset:
    points, arms = [], []
    for arm in range(3):
        radius = torch.linspace(0.05, 1, per_arm)
        angle = radius * 4 + arm * 2 * math.pi / 3 + torch.randn(per_arm) * 0.15
        points.append(torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1))
        arms.append(torch.full((per_arm,), arm))
    return TensorDataset(torch.cat(points), torch.cat(arms))


torch.manual_seed(0)
train, test = random_split(spiral(), [0.8, 0.2])
model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
loss_of = nn.CrossEntropyLoss()

for epoch in range(1, EPOCHS + 1):
    for points, arms in DataLoader(train, batch_size=72, shuffle=True):
        loss = loss_of(model(points), arms)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 10 == 0 or epoch == EPOCHS:
        with torch.no_grad():
            points, arms = next(iter(DataLoader(test, batch_size=len(test))))
            right = (model(points).argmax(1) == arms).float().mean()
        print(f"epoch {epoch:3}  loss {loss:.4f}  test accuracy {right:.1%}")
