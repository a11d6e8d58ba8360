"""``diya demo``: train, watch, look at the results."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from . import UsageError
from .progress import ProgressLine, duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, default=8, help="times through the 12,000 training images (8)")
    parser.add_argument("--lr", type=float, default=4e-3, help="highest learning rate (0.004)")
    parser.add_argument("--batch-size", type=int, default=100, help="images in a step (100)")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal runs (0)")
    parser.add_argument("--out", type=Path, default=Path("diya-demo"), help="folder for the results (diya-demo)")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="go on from a checkpoint")
    parser.epilog = "Ctrl-C stops; what was learned up to the last whole epoch is kept and can be resumed."


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
    checkpoint = options.out / "checkpoint.pt"
    line = ProgressLine()
    saved = trainer.epoch

    def show(p) -> None:
        nonlocal saved
        if trainer.epoch != saved:  # an epoch has ended
            trainer.save(checkpoint)
            saved = trainer.epoch
        tested = f"  test {trainer.accuracies[-1]:4.1f}%" if trainer.accuracies else ""
        line.update(p.step / p.steps, f"epoch {p.epoch}/{options.epochs}  loss {p.loss:.3f}  acc {p.accuracy:3.0f}%{tested}  "
                    f"{p.images_per_second:,.0f} images/s  {duration(p.seconds_left)} left",
                    force=p.step % trainer.per_epoch == 0)
    interrupted = False
    try:
        trainer.run(show)
    except KeyboardInterrupt:
        interrupted = True
    line.end()
    if not interrupted or not checkpoint.exists():
        trainer.save(checkpoint)
    if interrupted:
        print(f"\nStopped. To go on:  diya demo --resume {checkpoint} --out {options.out}")
        return 130
    curve, seen = options.out / "learning-curve.png", options.out / "predictions.png"
    pictures.learning_curve(curve, trainer.losses, trainer.accuracies, trainer.per_epoch)
    pictures.predictions(seen, images.test_images, images.test_labels, trainer.predictions())
    print(f"Test accuracy {trainer.accuracies[-1]:.2f} % after {time.perf_counter() - started:.1f} s. Written:\n"
          f"  {curve}\n  {seen}\n  {checkpoint}\n"
          "Try next:\n"
          f"  diya demo --resume {checkpoint} --epochs {options.epochs + 4}     learn on\n"
          "  diya demo --lr 0.02                                        watch what too large a step does\n"
          "  diya run your_script.py                                    a PyTorch program of yours, unmodified\n"
          "  diya explain \"torch.randn(8, 8).softmax(-1)\"               what becomes of an expression")
    sys.stdout.flush()
    return 0
