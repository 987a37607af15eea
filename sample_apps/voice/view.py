"""What a person sees (level, scores, words heard) and what a program reads (JSON lines)."""

from __future__ import annotations

import json
import sys
from typing import TextIO

import numpy as np
from spotter import Heard, Spotter

_BLOCKS = " ▁▂▃▄▅▆▇█"


def drifted(changed: list[str] | None) -> str:
    """Return what is no longer as it was when the model was calibrated, in words."""
    return f"  ({' and '.join(changed)} changed)" if changed else ""


class Lines:
    """One JSON object a line, or one plain line a word."""

    def __init__(self, as_json: bool, out: TextIO = sys.stdout) -> None:
        self._as_json, self._out = as_json, out

    def update(self, spotter: Spotter) -> None:
        """Show nothing between words."""

    def heard(self, word: Heard, recording: str | None, changed: list[str] | None) -> None:
        entry = {"label": word.label, "score": word.score, "seconds": word.seconds}
        if recording:
            entry["recording"] = recording
        if changed is not None:
            entry["changed"] = changed
        plain = f"{word.seconds:9.2f} s  {word.label}  {word.score:.2f}{drifted(changed)}"
        text = json.dumps(entry) if self._as_json else plain
        print(text, file=self._out, flush=True)

    def close(self) -> None:
        """Leave nothing behind."""


class Screen:
    """A few lines that are drawn over and over: the level, a bar a label, the last words."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._words: list[Heard] = []
        self._changed: list[str] | None = None
        self._drawn = 0
        self._next = 0.0
        print("\x1b[?25l", end="", file=out)

    def update(self, spotter: Spotter) -> None:
        """Draw ten times a second of sound."""
        if spotter.seconds < self._next:
            return
        self._next = spotter.seconds + 0.1
        self._draw(spotter)

    def heard(self, word: Heard, recording: str | None, changed: list[str] | None) -> None:
        self._changed = changed
        self._words = [*self._words[-7:], word]
        self._next = 0.0

    def close(self) -> None:
        """Show the cursor again."""
        print("\x1b[?25h", file=self._out, flush=True)

    def _draw(self, spotter: Spotter) -> None:
        sound = spotter.recent[-spotter.sample_rate // 10 :].astype(np.float64)
        decibels = 20 * np.log10(max(1.0, float(np.sqrt(np.mean(sound**2)))) / 32768)
        filled = int(np.clip((decibels + 70) / 70, 0, 1) * 40)
        lines = [
            f"level {'█' * filled}{'░' * (40 - filled)} {decibels:4.0f} dB   {spotter.seconds:7.1f} s",
            "",
        ]
        names, bars = [], []
        for label, score in zip(spotter.labels, spotter.scores):
            names.append(f"{label[:7]:^7}")
            bars.append(f"{_BLOCKS[int(np.clip(score, 0, 1) * 8)] * 5:^7}")
        lines += [" ".join(bars), " ".join(names), ""]
        words = "  ".join(f"\x1b[1m{w.label}\x1b[0m" for w in self._words)
        lines.append(f"heard {words}{drifted(self._changed)}")
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        print(up + "\n".join(f"\x1b[2K{line}" for line in lines), file=self._out, flush=True)
        self._drawn = len(lines)
