"""The images that ship with diya: 12,000 for training and 2,000 for testing, of Fashion-MNIST.

``fashion_mnist.LICENSE`` holds their licence and provenance, ``scripts/make_fashion_mnist.py`` makes the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

PATH = Path(__file__).with_name("fashion_mnist.npz")
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


class Dataset(NamedTuple):
    """Images are uint8 (N, 28, 28), labels uint8 (N,) that index `CLASSES`."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load() -> Dataset:
    """The shipped images and labels, the same on every call."""
    with np.load(PATH, allow_pickle=False) as file:
        return Dataset(images(file["train_residuals"]), file["train_labels"],
                       images(file["test_residuals"]), file["test_labels"])


def predict(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """JPEG-LS's median predictor (ITU-T T.87): a pixel from its neighbours, or the plane through them between edges."""
    low, high = np.minimum(left, above), np.maximum(left, above)
    return np.where(corner >= high, low, np.where(corner <= low, high, left + above - corner))


def residuals(pixels: np.ndarray) -> np.ndarray:
    """What the predictor misses, modulo 256: the form in which images (N, H, W) compress best."""
    p = np.pad(pixels.astype(np.int16), ((0, 0), (1, 0), (1, 0)))
    return (p[:, 1:, 1:] - predict(p[:, 1:, :-1], p[:, :-1, 1:], p[:, :-1, :-1])).astype(np.uint8)


def images(residuals: np.ndarray) -> np.ndarray:
    """Images (N, H, W) from their residuals: pixel by pixel, all images at once."""
    count, height, width = residuals.shape
    rest = np.ascontiguousarray(residuals.transpose(1, 2, 0)).astype(np.int16)
    p = np.zeros((height + 1, width + 1, count), np.int16)
    for y in range(height):
        for x in range(width):
            p[y + 1, x + 1] = (rest[y, x] + predict(p[y + 1, x], p[y, x + 1], p[y, x])) & 255
    return np.ascontiguousarray(p[1:, 1:].transpose(2, 0, 1).astype(np.uint8))
