"""torchvision's image codecs, by Pillow, which torchvision depends on. An image is a uint8 tensor (channels, height, width)."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ..dtypes import uint8
from ..library import publish
from ..ops.movement import stack
from ..tensor import Tensor, from_numpy

_UNCHANGED, _GRAY, _GRAY_ALPHA, _RGB, _RGBA = range(5)  # torchvision.io.ImageReadMode
_MODES = {_GRAY: "L", _GRAY_ALPHA: "LA", _RGB: "RGB", _RGBA: "RGBA"}
_ORIENTATION = 0x0112


def _operator(function: Callable) -> Callable:
    publish(f"image::{function.__name__}", function)
    return function


def _pillow(name: str) -> Any:
    """A module of Pillow, which is no dependency of diya's: whoever has torchvision has it."""
    return import_module(f"PIL.{name}")


@_operator
def read_file(path: str) -> Tensor:
    """The bytes of a file."""
    try:
        return from_numpy(np.fromfile(path, np.uint8))
    except OSError as error:
        raise RuntimeError(f"read_file: {error}") from error


@_operator
def write_file(path: str, data: Tensor) -> None:
    """Writes bytes to a file."""
    _bytes("write_file", data).tofile(path)


def _bytes(name: str, data: Tensor) -> np.ndarray:
    if data.dtype is not uint8 or data.dim() != 1:
        raise RuntimeError(f"{name}: expected a tensor of bytes, 1-D and uint8, got {data.dim()}-D and {data.dtype}")
    return data.detach().numpy()


def _open(name: str, data: Tensor, formats: tuple[str, ...]):
    Image = _pillow("Image")
    raw = _bytes(name, data)
    if not raw.size:
        raise RuntimeError(f"{name}: expected a non-empty tensor of the image's bytes, got no bytes")
    try:
        return Image.open(io.BytesIO(raw.tobytes()), formats=formats)
    except OSError as error:
        raise RuntimeError(f"{name}: the bytes are no {' or '.join(formats)} image: {error}") from None


def _decode(name: str, data: Tensor, mode: int, turned: bool, formats: tuple[str, ...]) -> Tensor:
    with _open(name, data, formats) as image:
        if image.format == "JPEG":
            if mode in (_GRAY_ALPHA, _RGBA):
                raise RuntimeError(f"{name}: the provided mode is not supported for JPEG files: {_MODES[mode]}")
            if mode == _GRAY:
                image.draft("L", image.size)  # the luma as it is stored
        elif image.mode.startswith("I"):  # a PNG of 16 bits
            grey = np.asarray(image).astype(np.uint16)
            channels = [grey] * (3 if mode in (_RGB, _RGBA) else 1) + [np.full_like(grey, 65535)] * (mode in (_GRAY_ALPHA, _RGBA))
            return from_numpy(np.stack(channels))
        try:
            image.load()
        except OSError as error:
            raise RuntimeError(f"{name}: {error}") from None
        if turned and image.getexif().get(_ORIENTATION):
            image = _pillow("ImageOps").exif_transpose(image)
        return _as_tensor(image, mode)


def _as_tensor(image, mode: int) -> Tensor:
    if image.mode == "P" and image.format == "PNG" and mode == _UNCHANGED:
        return from_numpy(np.array(image)[None])  # positions in the palette
    if image.mode in ("P", "PA", "1", "CMYK", "YCbCr"):
        alpha = image.mode == "PA" or "transparency" in image.info
        image = image.convert("L" if image.mode == "1" else "RGBA" if alpha else "RGB")
    if mode == _UNCHANGED or _MODES[mode] == image.mode:
        pixels = np.asarray(image)
    elif mode in (_GRAY, _GRAY_ALPHA) and image.mode in ("RGB", "RGBA"):
        whole = np.asarray(image)
        pixels = _luma(whole[..., :3])
        if mode == _GRAY_ALPHA:
            alpha = whole[..., 3] if image.mode == "RGBA" else np.full_like(pixels, 255)
            pixels = np.stack([pixels, alpha], -1)
    else:
        pixels = np.asarray(image.convert(_MODES[mode]))
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return from_numpy(np.array(pixels, order="C"))  # of its own: Pillow's memory is read-only


def _luma(pixels: np.ndarray) -> np.ndarray:
    """libpng's grey of RGB: 0.2989 red + 0.587 green + the rest blue, in 15 bits; greys as they are."""
    red, green = 29890 * 32768 // 100000, 58700 * 32768 // 100000
    weights = np.array([red, green, 32768 - red - green], np.uint32)
    grey = ((pixels * weights).sum(-1, dtype=np.uint32) >> 15).astype(np.uint8)
    same = (pixels[..., 0] == pixels[..., 1]) & (pixels[..., 0] == pixels[..., 2])
    return np.where(same, pixels[..., 0], grey)


@_operator
def decode_png(data: Tensor, mode: int = _UNCHANGED, apply_exif_orientation: bool = False) -> Tensor:
    return _decode("decode_png", data, mode, apply_exif_orientation, ("PNG",))


@_operator
def decode_jpeg(data: Tensor, mode: int = _UNCHANGED, apply_exif_orientation: bool = False) -> Tensor:
    return _decode("decode_jpeg", data, mode, apply_exif_orientation, ("JPEG",))


@_operator
def decode_webp(data: Tensor, mode: int = _UNCHANGED) -> Tensor:
    """RGB, or RGBA where that is asked for or stored: torchvision decodes no greys of this format."""
    return _decode("decode_webp", data, mode if mode in (_UNCHANGED, _RGBA) else _RGB, False, ("WEBP",))


@_operator
def decode_gif(data: Tensor) -> Tensor:
    """RGB; several frames stand before the channels."""
    with _open("decode_gif", data, ("GIF",)) as image:
        frames = [_as_tensor(frame.convert("RGB"), _RGB) for frame in _pillow("ImageSequence").Iterator(image)]
    return frames[0] if len(frames) == 1 else stack(frames)


@_operator
def decode_image(data: Tensor, mode: int = _UNCHANGED, apply_exif_orientation: bool = False) -> Tensor:
    """Decodes by the format that the bytes say."""
    with _open("decode_image", data, ("PNG", "JPEG", "GIF", "WEBP")) as image:
        kind = image.format
    if kind == "GIF":
        return decode_gif(data)
    if kind == "WEBP":
        return decode_webp(data, mode)
    return _decode("decode_image", data, mode, apply_exif_orientation, (kind,))


def _encode(name: str, image: Tensor, kind: str, **options) -> Tensor:
    if image.dtype is not uint8:
        raise RuntimeError(f"{name}: Input tensor dtype should be uint8, got {image.dtype}")
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        raise RuntimeError(f"{name}: The number of channels should be 1 or 3 in a 3-dimensional tensor, got {list(image.shape)}")
    pixels = image.detach().permute(1, 2, 0).contiguous().numpy()
    out = io.BytesIO()
    _pillow("Image").fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(out, kind, **options)
    return from_numpy(np.frombuffer(bytearray(out.getvalue()), np.uint8))


@_operator
def encode_png(image: Tensor, compression_level: int = 6) -> Tensor:
    if not 0 <= compression_level <= 9:
        raise RuntimeError(f"Compression level should be between 0 and 9, got {compression_level}")
    return _encode("encode_png", image, "PNG", compress_level=compression_level)


@_operator
def encode_jpeg(image: Tensor, quality: int = 75) -> Tensor:
    if not 1 <= quality <= 100:
        raise RuntimeError(f"Image quality should be a positive number between 1 and 100, got {quality}")
    return _encode("encode_jpeg", image, "JPEG", quality=quality)


def _without_cuda(*args):
    raise NotImplementedError("torchvision's JPEG codecs for CUDA are not supported: images are decoded on the CPU")


for _name in ("decode_jpegs_cuda", "encode_jpegs_cuda"):
    publish(f"image::{_name}", _without_cuda)
