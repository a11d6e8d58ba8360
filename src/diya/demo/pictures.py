"""The demo's two pictures: how the loss fell, and what the network sees in test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .canvas import Canvas, Color
from .data import CLASSES

INK: Color = (0.15, 0.15, 0.2)
GRID: Color = (0.88, 0.88, 0.9)
FLAME: Color = (0.86, 0.36, 0.1)
LEAF: Color = (0.12, 0.5, 0.3)


def learning_curve(path: Path, losses: list[float], accuracies: list[float], per_epoch: int) -> None:
    """Training loss (smoothed, left axis) and test accuracy (right axis) over the epochs."""
    canvas = Canvas(900, 520)
    left, right, top, bottom = 90, 810, 70, 440
    canvas.text(left, 24, "Fashion-MNIST", INK, 3)
    canvas.text(left + 290, 30, "training loss", FLAME)
    canvas.text(left + 480, 30, "test accuracy", LEAF)
    epochs = max(len(losses) / per_epoch, 1)
    highest = max(np.ceil(max(losses, default=1.0) * 2) / 2, 0.5)

    def at(epoch: float, share: float) -> tuple[float, float]:
        return left + (right - left) * epoch / epochs, bottom - (bottom - top) * share
    for k in range(6):
        y = at(0, k / 5)[1]
        canvas.line([(left, y), (right, y)], GRID, 1)
        canvas.text(left - 12, int(y) - 6, f"{highest * k / 5:.1f}", FLAME, align="right")
        canvas.text(right + 12, int(y) - 6, f"{50 + 10 * k}%", LEAF)
    for epoch in range(0, int(epochs) + 1, max(1, int(epochs) // 10)):
        canvas.text(int(at(epoch, 0)[0]), bottom + 16, str(epoch), INK, align="center")
    canvas.text((left + right) // 2, bottom + 46, "epochs", INK, align="center")
    window = max(per_epoch // 10, 1)
    smooth = [float(np.mean(losses[max(0, i - window):i + 1])) for i in range(len(losses))]
    if len(smooth) > 1:
        canvas.line([at((i + 1) / per_epoch, min(v / highest, 1)) for i, v in enumerate(smooth)][::max(1, len(smooth) // 400)],
                    FLAME, 2)
    points = [at(i + 1, float(np.clip((a - 50) / 50, 0, 1))) for i, a in enumerate(accuracies)]
    if len(points) > 1:
        canvas.line(points, LEAF, 2)
    for x, y in points:
        canvas.dot(x, y, LEAF, 8)
    canvas.save(path)


def predictions(path: Path, images: np.ndarray, labels: np.ndarray, seen: np.ndarray, rows: int = 4, columns: int = 8) -> None:
    """Test images with what the network sees in them; where it is wrong, in red with what it is."""
    cell, title = 150, 60
    canvas = Canvas(columns * cell + 20, title + rows * (cell + 30) + 10)
    right = 100 * float((labels == seen).mean())
    canvas.text(24, 22, f"{right:.1f}% of {len(labels)} test images are right", INK, 3)
    for k in range(min(rows * columns, len(images))):
        x, y = 10 + k % columns * cell, title + k // columns * (cell + 30)
        wrong = labels[k] != seen[k]
        canvas.rectangle(x + 12, y, 126, 126, (0.97, 0.9, 0.89) if wrong else (0.94, 0.96, 0.94))
        canvas.image(x + 19, y + 7, images[k], 4)
        canvas.text(x + 75, y + 132, CLASSES[seen[k]], (0.75, 0.15, 0.12) if wrong else LEAF, align="center")
        if wrong:
            canvas.text(x + 75, y + 152, "is " + CLASSES[labels[k]], INK, 1, align="center")
    canvas.save(path)
