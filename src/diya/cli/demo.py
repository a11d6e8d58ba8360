"""``diya demo``: train, watch, look at the results."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from . import UsageError
from .progress import ProgressLine, duration

DEFAULTS = {"epochs": 8, "batch_size": 100, "lr": 4e-3, "seed": 0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, default=DEFAULTS["epochs"], help="times through the 12,000 training images (8)")
    parser.add_argument("--lr", type=float, default=DEFAULTS["lr"], help="highest learning rate (0.004)")
    parser.add_argument("--batch-size", type=int, default=DEFAULTS["batch_size"], help="images in a step (100)")
    parser.add_argument("--seed", type=int, default=DEFAULTS["seed"], help="equal seeds give equal runs (0)")
    parser.add_argument("--out", type=Path, default=Path("diya-demo"), help="folder for the results (diya-demo)")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="go on from a checkpoint")
    parser.epilog = "Ctrl-C stops; the checkpoint of the last whole epoch stays, to go on from."


def run(options: argparse.Namespace) -> int:
    if options.epochs < 1 or not 1 <= options.batch_size <= 12_000 or not options.lr > 0:
        raise UsageError("--epochs and --batch-size must be at least 1 (--batch-size at most 12000) and --lr above 0")
    if options.resume is not None and not options.resume.is_file():
        raise UsageError(f"there is no checkpoint {options.resume}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {options.out}: {error.strerror}") from None
    started = time.perf_counter()
    from .. import engine
    from ..demo import data, pictures
    from ..demo.train import Settings, Trainer

    images = data.load()
    trainer = Trainer(Settings(options.epochs, options.batch_size, options.lr, options.seed), images)
    if options.resume is not None:
        from ..serialization import CheckpointError

        try:
            trainer.resume(options.resume)
        except (CheckpointError, KeyError, RuntimeError) as error:
            raise UsageError(f"{options.resume} is no checkpoint of this demo: {error}") from None
    count = sum(p.numel() for p in trainer.model.parameters())
    print(f"A network of {count:,} parameters learns {len(data.CLASSES)} kinds of clothing from {len(trainer.x):,} images.")
    if engine.compiler() is None:
        print("llvmlite is not installed, so all of it runs on numpy: expect minutes. `pip install llvmlite` makes it fast.")
    if trainer.epoch >= options.epochs:
        print(f"It has seen them {trainer.epoch} times already; --epochs {trainer.epoch + 4} teaches it more.")
    checkpoint = options.out / "checkpoint.pt"
    trainer.save(checkpoint)  # from now on there is one to go on from, whenever Ctrl-C comes
    line = ProgressLine()

    def show(p) -> None:
        text = (f"epoch {p.epoch}/{options.epochs}  loss {p.loss:.3f}  accuracy {p.accuracy:3.0f}%  "
                f"{p.images_per_second:,.0f} images/s  {duration(p.seconds_left)} left")
        if p.tested is None:
            line.update(p.step / p.steps, text)
        else:
            trainer.save(checkpoint)
            line.keep(f"{text}  test {p.tested:.1f}%")
    try:
        trainer.run(show)
    except KeyboardInterrupt:
        line.end()
        print(f"Stopped after {trainer.epoch} of {options.epochs} epochs. To go on:\n"
              f"  diya demo --resume {checkpoint} --out {options.out}{_changed(options)}")
        return 130
    curve, seen = options.out / "learning-curve.png", options.out / "predictions.png"
    pictures.learning_curve(curve, trainer.losses, trainer.accuracies, trainer.per_epoch)
    pictures.predictions(seen, images.test_images, images.test_labels, trainer.predictions())
    print(f"Test accuracy {trainer.accuracies[-1]:.2f} % after {time.perf_counter() - started:.1f} s. Written:\n"
          f"  {curve}\n  {seen}\n  {checkpoint}\n"
          "Try next:\n"
          f"  diya demo --resume {checkpoint} --epochs {trainer.epoch + 4}     learn on\n"
          "  diya demo --lr 0.02                                        watch what too large a step does\n"
          "  diya run your_script.py                                    a PyTorch program of yours, unmodified\n"
          "  diya explain \"torch.randn(8, 8).softmax(-1)\"               what becomes of an expression")
    return 0


def _changed(options: argparse.Namespace) -> str:
    """The settings that are not the defaults, as arguments."""
    return "".join(f" --{name.replace('_', '-')} {getattr(options, name)}" for name, value in DEFAULTS.items()
                   if getattr(options, name) != value)
