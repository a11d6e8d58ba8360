"""Trains a small convolutional network on the shipped images: the demo's main job, written as any PyTorch program is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import diya as torch
from diya import nn
from diya.nn import functional as F

from . import data

MEAN, STD = 0.286, 0.353  # of the training images' pixels, in 0..1
EVALUATED = 500           # images at a time


class Settings(NamedTuple):
    """What the command line can change."""

    epochs: int = 8
    batch_size: int = 100
    lr: float = 4e-3
    seed: int = 0


class Progress(NamedTuple):
    """Where training is: after ``step`` of ``steps``, in ``epoch`` (from 1)."""

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float       # on the last hundred or so training images
    images_per_second: float
    seconds_left: float
    tested: float | None = None  # accuracy on the test images, where an epoch has just ended


def network() -> nn.Module:
    """Two convolutions, two linear layers: 156,490 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * 7 * 7, 96), nn.ReLU(), nn.Linear(96, len(data.CLASSES)))


def tensors(images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Images as normalised float32 (N, 1, 28, 28), labels as int64 (N,)."""
    x = torch.tensor(images).unsqueeze(1).float() / 255
    return (x - MEAN) / STD, torch.tensor(labels).long()


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """The share of images that the model tells right, in percent."""
    model.eval()
    with torch.no_grad():
        right = [(model(x[i:i + EVALUATED]).argmax(1) == y[i:i + EVALUATED]).sum() for i in range(0, len(x), EVALUATED)]
        return 100 * sum(int(r) for r in right) / len(x)


class Trainer:
    """A model with its optimizer and schedule, and what was learned so far."""

    def __init__(self, settings: Settings, dataset: data.Dataset):
        self.settings = settings
        torch.manual_seed(settings.seed)
        self.x, self.y = tensors(dataset.train_images, dataset.train_labels)
        self.test_x, self.test_y = tensors(dataset.test_images, dataset.test_labels)
        self.model = network()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=settings.lr, weight_decay=1e-2)
        self.per_epoch = len(self.x) // settings.batch_size
        self.steps = settings.epochs * self.per_epoch
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, settings.lr, total_steps=self.steps)
        self.epoch = 0
        self.losses: list[float] = []          # of every step
        self.accuracies: list[float] = []      # on the test images, after every epoch

    def run(self, show: Callable[[Progress], None]) -> None:
        """Trains the epochs that are left; ``show`` is called after every step, and once more at the end of an epoch."""
        started, done = time.perf_counter(), 0
        size = self.settings.batch_size
        while self.epoch < self.settings.epochs:
            self.model.train()
            order = torch.randperm(len(self.x))
            for k in range(self.per_epoch):
                chosen = order[k * size:(k + 1) * size]
                x, y = self.x[chosen], self.y[chosen]
                mirrored = torch.rand(len(x), 1, 1, 1) < 0.5  # clothes look the same in a mirror
                x = torch.where(mirrored, x.flip(-1), x)
                scores = self.model(x)
                loss = F.cross_entropy(scores, y, label_smoothing=0.05)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self.schedule.step()
                self.losses.append(loss.item())
                done += 1
                elapsed = time.perf_counter() - started
                at = len(self.losses)
                progress = Progress(self.epoch + 1, at, self.steps, self.losses[-1],
                                    100 * float((scores.argmax(1) == y).float().mean()), done * size / elapsed,
                                    (self.steps - at) * elapsed / done)
                show(progress)
            tested = accuracy(self.model, self.test_x, self.test_y)
            self.accuracies.append(tested)
            self.epoch += 1
            show(progress._replace(tested=tested))

    def save(self, path: Path) -> None:
        """Writes all that is needed to go on; call it between epochs."""
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                    "schedule": self.schedule.state_dict(), "random": torch.get_rng_state(), "settings": self.settings._asdict(),
                    "epoch": self.epoch, "losses": list(self.losses), "accuracies": list(self.accuracies)}, path)

    def resume(self, path: Path) -> None:
        """Goes on from a checkpoint of `save`: with its settings, as the run would have gone on (to rounding: the
        first step of a process is interpreted, the later ones are compiled).

        Other settings than it was made with start a new, gentler cycle of the learning rate over the epochs that are left.
        """
        state: dict[str, Any] = torch.load(path)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.losses, self.accuracies = state["epoch"], list(state["losses"]), list(state["accuracies"])
        torch.set_rng_state(state["random"])
        if state["settings"] == self.settings._asdict():
            self.schedule.load_state_dict(state["schedule"])
            return
        left = (self.settings.epochs - self.epoch) * self.per_epoch
        self.steps = len(self.losses) + max(left, 0)
        if left > 0:
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, self.settings.lr / 4, total_steps=left)

    def predictions(self) -> np.ndarray:
        """The class that the model sees in every test image."""
        self.model.eval()
        with torch.no_grad():
            parts = [self.model(self.test_x[i:i + EVALUATED]).argmax(1) for i in range(0, len(self.test_x), EVALUATED)]
            return np.concatenate([p.numpy() for p in parts])
