"""Progress: a live line on a terminal, a plain line now and then where there is none."""

from __future__ import annotations

import shutil
import sys
import time


class ProgressLine:
    """``update`` redraws a bar and a text in place, ``keep`` leaves a text standing and goes to the next line.

    Without a terminal only what is kept is printed.
    """

    def __init__(self, out=None):
        self.out = out or sys.stderr
        self.live = self.out.isatty()
        self.last = 0.0
        self.width = 0

    def update(self, share: float, text: str) -> None:
        """Shows a bar filled to ``share`` (0..1) and a text, at most ten times a second."""
        now = time.monotonic()
        if self.live and now - self.last >= 0.1:
            self.last = now
            self._draw(self._bar(share, shutil.get_terminal_size().columns - len(text) - 3) + text)

    def keep(self, text: str) -> None:
        """Shows a text in place of the bar, for good."""
        if self.live:
            self._draw(text)
        else:
            self.out.write(text)
        self.out.write("\n")
        self.out.flush()
        self.width = 0

    def end(self) -> None:
        """Goes to the next line if the bar stands on this one."""
        if self.width:
            self.out.write("\n")
            self.width = 0

    def _bar(self, share: float, room: int) -> str:
        cells = min(room, 30)
        if cells < 10:
            return ""
        full = round(min(max(share, 0), 1) * cells)
        if "UTF" in (self.out.encoding or "").upper():
            return "━" * full + "╺" * (full < cells) + " " * (cells - full - 1) + "  "
        return "#" * full + "." * (cells - full) + "  "

    def _draw(self, line: str) -> None:
        line = line[:shutil.get_terminal_size().columns - 1]  # a longer one would wrap and could not be redrawn
        self.out.write("\r" + line.ljust(self.width))
        self.out.flush()
        self.width = len(line)


def duration(seconds: float) -> str:
    """``75`` as ``1:15``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
