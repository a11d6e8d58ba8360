"""The demo: its data, its pictures, and that interrupting and resuming work."""

import argparse
import functools
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import diya
from diya.cli import UsageError
from diya.cli import demo as command
from diya.demo import data, pictures
from diya.demo.canvas import GLYPHS, Canvas, png, text_width
from diya.demo.train import Settings, Trainer

LOAD = functools.cache(data.load)


def small() -> data.Dataset:
    """200 images for training and 100 for testing."""
    d = LOAD()
    return data.Dataset(d.train_images[:200], d.train_labels[:200], d.test_images[:100], d.test_labels[:100])


def test_images_are_the_ones_that_were_chosen():
    d = data.load()
    assert [a.shape for a in d] == [(12000, 28, 28), (12000,), (2000, 28, 28), (2000,)]
    assert np.bincount(d.train_labels).tolist() == [1200] * 10 and np.bincount(d.test_labels).tolist() == [200] * 10
    digest = hashlib.sha256(b"".join(a.tobytes() for a in d)).hexdigest()
    assert digest == "4ccd870e00af5c9a9885d08ec8ed8478fd2aab6e7b5426ae253e8ce40e946a5f"


def test_file_is_small_and_carries_its_licence():
    assert data.PATH.stat().st_size <= 6_000_000
    text = data.PATH.with_suffix(".LICENSE").read_text()
    assert "Zalando" in text and "MIT License" in text and "fashion-mnist" in text


def test_residuals_restore_every_image():
    noise = np.random.default_rng(0).integers(0, 256, (5, 9, 7), dtype=np.uint8)
    assert np.array_equal(data.images(data.residuals(noise)), noise)


def decode(file: bytes) -> np.ndarray:
    """The pixels of a PNG file as `png` writes them, with every checksum checked."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(file):
        size, = struct.unpack(">I", file[at:at + 4])
        body = file[at + 4:at + 8 + size]
        assert struct.unpack(">I", file[at + 8 + size:at + 12 + size]) == (zlib.crc32(body),)
        chunks[body[:4]] = body[4:]
        at += 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    return np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)[:, 1:].reshape(height, width, 3)


def test_png_holds_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(decode(png(pixels)), pixels)


def test_drawing_is_cut_off_at_the_edges():
    canvas = Canvas(20, 10)
    canvas.rectangle(-5, -5, 8, 8, (0, 0, 0))
    canvas.line([(-10, 5), (40, 5)], (1, 0, 0))
    canvas.text(15, 6, "Edge")
    canvas.image(18, 8, np.full((4, 4), 255, np.uint8))
    assert canvas.pixels[:3, :3].max() == 0 and canvas.pixels[5, 10].tolist() == [1, 0, 0]


def test_font_has_what_the_pictures_say():
    assert set("".join(data.CLASSES)) <= set(GLYPHS)
    assert all(len(rows) <= 9 for rows in GLYPHS.values())
    assert text_width("ab", 2) == 22


def test_pictures(tmp_path):
    d = small()
    pictures.learning_curve(tmp_path / "curve.png", [2.0, 1.5, 1.0, 0.9], [60.0, 85.0], 2)
    pictures.predictions(tmp_path / "seen.png", d.test_images, d.test_labels, np.roll(d.test_labels, 1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.png", "seen.png"]
    for path in tmp_path.iterdir():
        pixels = decode(path.read_bytes())
        assert pixels.shape[0] > 400 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


def options(out: Path, **changed) -> argparse.Namespace:
    return argparse.Namespace(**{"epochs": 2, "lr": 4e-3, "batch_size": 50, "seed": 0, "out": out, "resume": None, **changed})


def test_whole_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "load", small)
    assert command.run(options(tmp_path / "out")) == 0
    out, err = capsys.readouterr()
    assert "Test accuracy" in out and "learning-curve.png" in out and "Try next" in out
    assert err.count("epoch ") == 2 and "test " in err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"checkpoint.pt", "learning-curve.png", "predictions.png"}


def test_interrupt_leaves_a_checkpoint_to_go_on_from(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "load", small)
    step = Trainer.run

    def interrupted(self, show):
        def stop_in_the_second_epoch(progress):
            show(progress)
            if progress.step == 6:
                raise KeyboardInterrupt
        step(self, stop_in_the_second_epoch)

    monkeypatch.setattr(Trainer, "run", interrupted)
    assert command.run(options(tmp_path)) == 130
    assert f"--resume {tmp_path / 'checkpoint.pt'} --out {tmp_path} --epochs 2 --batch-size 50" in capsys.readouterr().out
    assert diya.load(tmp_path / "checkpoint.pt")["epoch"] == 1
    monkeypatch.setattr(Trainer, "run", step)
    assert command.run(options(tmp_path, resume=tmp_path / "checkpoint.pt")) == 0
    assert capsys.readouterr().err.count("epoch ") == 1
    assert diya.load(tmp_path / "checkpoint.pt")["epoch"] == 2


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", small)
    diya.save({"weights": diya.ones(2)}, tmp_path / "other.pt")
    (tmp_path / "noise.pt").write_bytes(b"noise")
    for name in ("other.pt", "noise.pt"):
        with pytest.raises(UsageError, match="is no checkpoint of this demo"):
            command.run(options(tmp_path / "out", resume=tmp_path / name))


def test_resumed_run_learns_what_an_uninterrupted_one_learns(tmp_path):
    settings = Settings(epochs=2, batch_size=50)
    with diya.engine.Tier(0):  # one tier: the bits are the same
        whole = Trainer(settings, small())
        states = []

        def save_after_the_first(progress):
            if progress.tested is not None and not states:
                states.append(whole.save(tmp_path / "half.pt"))
        whole.run(save_after_the_first)
        resumed = Trainer(settings, small())
        resumed.resume(tmp_path / "half.pt")
        resumed.run(lambda progress: None)
    assert resumed.losses == whole.losses and resumed.accuracies == whole.accuracies


def test_resuming_with_more_epochs_goes_on_gently(tmp_path):
    first = Trainer(Settings(epochs=1, batch_size=100), small())
    first.run(lambda progress: None)
    first.save(tmp_path / "first.pt")
    longer = Trainer(Settings(epochs=3, batch_size=100), small())
    longer.resume(tmp_path / "first.pt")
    seen = []
    longer.run(lambda progress: seen.append((progress.step, progress.steps, longer.optimizer.param_groups[0]["lr"])))
    assert [s[:2] for s in seen if s[0] == 6][-1] == (6, 6)
    assert max(lr for *_, lr in seen) <= 1.001e-3 and min(lr for *_, lr in seen) < 1e-6
