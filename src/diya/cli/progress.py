"""A progress line for terminals, and now and then a plain line where there is none."""

from __future__ import annotations

import shutil
import sys
import time


class ProgressLine:
    """``update`` redraws one line at most ten times a second; ``end`` leaves it standing."""

    def __init__(self, out=None):
        self.out = out or sys.stderr
        self.live = self.out.isatty()
        self.last = 0.0
        self.width = 0

    def update(self, share: float, text: str, force: bool = False) -> None:
        """Shows a bar filled to ``share`` (0..1) and a text. Without a terminal only ``force`` prints."""
        now = time.monotonic()
        if not force and (not self.live or now - self.last < 0.1):
            return
        self.last = now
        if not self.live:
            print(text, file=self.out, flush=True)
            return
        room = shutil.get_terminal_size().columns - len(text) - 4
        bar = ""
        if room >= 10:
            cells = min(room, 30)
            full = int(share * cells)
            bar = "━" * full + "╺" + " " * max(cells - full - 1, 0) + "  " if full < cells else "━" * cells + "  "
            if "UTF" not in (self.out.encoding or "").upper():
                bar = "#" * full + "." * (cells - full) + "  "
        line = bar + text
        self.out.write("\r" + line + " " * max(self.width - len(line), 0))
        self.out.flush()
        self.width = len(line)

    def end(self) -> None:
        if self.live and self.width:
            self.out.write("\n")
            self.width = 0


def duration(seconds: float) -> str:
    """``75`` as ``1:15``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
