"""Makes src/diya/demo/fashion_mnist.npz: a fixed, class-balanced subset of Fashion-MNIST.

    python scripts/make_fashion_mnist.py [FOLDER]

FOLDER holds the four original ``*-ubyte.gz`` files; by default that is where Debian's package
``dataset-fashion-mnist`` puts them. From each class of the original training set 1,200 images are drawn without
replacement by ``numpy.random.RandomState(2017)``, then 200 of each class of the original test set; each set is then
shuffled by the same generator. The result is the same bytes on every machine with the same zlib.

Images are stored as residuals of the median predictor of JPEG-LS (`diya.demo.data.predict` says how), which is what
lets plain deflate hold 14,000 images in less than 6 MB: no xz, which some builds of Python lack.
"""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src" / "diya" / "demo"))

import data  # noqa: E402  (by path: making the data must not need an installed diya)

SOURCE = Path("/usr/share/datasets/fashion-mnist")
PER_CLASS = {"train": 1200, "t10k": 200}


def read_idx(path: Path) -> np.ndarray:
    """An array from an IDX file: two zero bytes, the type, the rank, each size as big-endian uint32, the bytes."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def subset(folder: Path, name: str, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    images = read_idx(folder / f"{name}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz")
    chosen = np.concatenate([random.choice(np.flatnonzero(labels == label), PER_CLASS[name], replace=False)
                             for label in range(10)])
    chosen = chosen[random.permutation(len(chosen))]
    return images[chosen], labels[chosen]


def main(folder: Path) -> None:
    random = np.random.RandomState(2017)
    arrays = {}
    for name, key in (("train", "train"), ("t10k", "test")):
        images, labels = subset(folder, name, random)
        arrays[f"{key}_residuals"], arrays[f"{key}_labels"] = data.residuals(images), labels
        if not np.array_equal(data.images(arrays[f"{key}_residuals"]), images):
            raise SystemExit(f"the predictor does not restore the {key} images")
    with zipfile.ZipFile(data.PATH, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for key, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array))
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)
    print(f"{data.PATH}: {data.PATH.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE)
