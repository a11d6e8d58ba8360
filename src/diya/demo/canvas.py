"""Just enough drawing for the demo's pictures: anti-aliased lines, a bitmap font, images, and PNG files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

Color = tuple[float, float, float]

# Glyphs of 5 x 9 pixels, the last two rows for descenders: a row is a digit in base 32, blank rows at the end are left out.
GLYPHS = {
    "A": "ehhvhhh", "B": "uhhuhhu", "C": "ehggghe", "D": "uhhhhhu", "E": "vgguggv", "F": "vgguggg", "G": "ehgnhhf",
    "H": "hhhvhhh", "I": "e44444e", "J": "72222ic", "K": "hikokih", "L": "ggggggv", "M": "hrllhhh", "N": "hhpljhh",
    "O": "ehhhhhe", "P": "uhhuggg", "Q": "ehhhlid", "R": "uhhukih", "S": "fgge11u", "T": "v444444", "U": "hhhhhhe",
    "V": "hhhhha4", "W": "hhhllla", "X": "hha4ahh", "Y": "hhha444", "Z": "v1248gv",
    "a": "00e1fhf", "b": "ggmphhu", "c": "00eggge", "d": "11djhhf", "e": "00ehvge", "f": "698s888", "g": "00fhhhf1e",
    "h": "ggmphhh", "i": "40c444e", "j": "20622222s", "k": "ggikoki", "l": "c44444e", "m": "00qlllh", "n": "00mphhh",
    "o": "00ehhhe", "p": "00uhhhugg", "q": "00fhhhf11", "r": "00mpggg", "s": "00fge1u", "t": "88s8896", "u": "00hhhjd",
    "v": "00hhha4", "w": "00hllla", "x": "00ha4ah", "y": "00hhhhf1e", "z": "00v248v",
    "0": "ehjlphe", "1": "4c4444e", "2": "eh1248v", "3": "v2421he", "4": "26aiv22", "5": "vgu11he", "6": "68guhhe",
    "7": "v124888", "8": "ehhehhe", "9": "ehhf12c", ".": "00000cc", ",": "00000cc48", "-": "000v", "/": "01248g",
    "%": "op248j3", ":": "0cc0cc", "(": "2488842", ")": "8422248", " ": "", "?": "eh12404", "=": "00v0v",
}


class Canvas:
    """A picture in the making: red, green and blue from 0 to 1, the origin at the top left."""

    def __init__(self, width: int, height: int, color: Color = (1, 1, 1)):
        self.pixels = np.empty((height, width, 3), np.float32)
        self.pixels[:] = color

    def blend(self, x: int, y: int, coverage: np.ndarray, color: Color) -> None:
        """Paints ``color`` where ``coverage`` (H, W), in 0..1, says so; what lies outside of the picture is cut off."""
        left, top = max(x, 0), max(y, 0)
        target = self.pixels[top:y + coverage.shape[0], left:x + coverage.shape[1]]
        part = coverage[top - y:top - y + target.shape[0], left - x:left - x + target.shape[1], None]
        target += part * (np.asarray(color, np.float32) - target)

    def rectangle(self, x: int, y: int, width: int, height: int, color: Color) -> None:
        self.blend(x, y, np.ones((height, width), np.float32), color)

    def line(self, points: list[tuple[float, float]], color: Color, width: float = 2) -> None:
        """A line through the points, with smooth edges: a pixel's share is its distance to the nearest segment."""
        height, total = self.pixels.shape[:2]
        distance = np.full((height, total), np.inf, np.float32)
        for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
            reach = width + 1
            left, right = max(int(min(x0, x1) - reach), 0), min(int(max(x0, x1) + reach) + 1, total)
            top, bottom = max(int(min(y0, y1) - reach), 0), min(int(max(y0, y1) + reach) + 1, height)
            y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
            dx, dy = x1 - x0, y1 - y0
            along = np.clip(((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
            near = np.hypot(x - x0 - along * dx, y - y0 - along * dy)
            np.minimum(distance[top:bottom, left:right], near, out=distance[top:bottom, left:right])
        self.blend(0, 0, np.clip(width / 2 + 0.5 - distance, 0, 1), color)

    def dot(self, x: float, y: float, color: Color, width: float = 6) -> None:
        self.line([(x, y), (x, y)], color, width)

    def text(self, x: int, y: int, text: str, color: Color = (0.15, 0.15, 0.2), scale: int = 2, align: str = "left") -> None:
        """A line of text whose capitals start at ``y``; ``align`` says what ``x`` is: its left, center or right."""
        x -= {"left": 0, "center": text_width(text, scale) // 2, "right": text_width(text, scale)}[align]
        for character in text:
            rows = [int(row, 32) for row in GLYPHS.get(character, GLYPHS["?"])]
            bits = np.array([[row >> (4 - column) & 1 for column in range(5)] for row in rows], np.float32).reshape(-1, 5)
            self.blend(x, y, bits.repeat(scale, 0).repeat(scale, 1), color)
            x += 6 * scale

    def image(self, x: int, y: int, gray: np.ndarray, scale: int = 1) -> None:
        """A picture (H, W) of uint8, black on white as in print."""
        self.blend(x, y, (gray / np.float32(255)).repeat(scale, 0).repeat(scale, 1), (0, 0, 0))

    def save(self, path: Path) -> None:
        """Writes a PNG file, under a temporary name first, so that there is never half of one."""
        part = path.with_name(path.name + ".part")
        part.write_bytes(png((self.pixels * 255 + 0.5).astype(np.uint8)))
        part.replace(path)


def text_width(text: str, scale: int = 2) -> int:
    return max(6 * len(text) - 1, 0) * scale


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of (H, W, 3) uint8 pixels (https://www.w3.org/TR/png/: 8-bit RGB, no filter)."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], 1)  # filter type 0, then a row
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
            + chunk(b"IEND", b""))
