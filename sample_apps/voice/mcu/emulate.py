"""Hear WAV files on an emulated Cortex-M: ``python emulate.py build/digits/mcu clips/one/*.wav``.

Compiles the bundle's C with ``keyword.c``, feeds it the sound and prints the keywords as the Python app does, then
what a second of sound costs. Needs qedge[mcu].
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import qedge
from qedge.bundle import read_bundle
from qedge.emulate import Machine, compile_c

HERE = Path(__file__).parent
STEP = 960


class EmulatedSpotter:
    """The firmware's spotter on an emulated core; feed it int16 samples at 16 kHz."""

    def __init__(self, bundle: Path, core: str = "cortex-m4", *, count: bool = True) -> None:
        with read_bundle(bundle) as opened:
            self.labels = opened.manifest.labels
            folder = opened.folder() / "c" / "src"
            sources = sorted(folder.glob("*.c"))
            symbols = ["keyword_init", "keyword_push"]
            image = compile_c([*sources, HERE / "keyword.c"], core, includes=[folder, HERE], keep=symbols)
        self.sizes = image.sizes()
        self.machine = Machine(image, core, count=count)
        self._spotter = self.machine.allocate(64 << 10)
        self._pcm = self.machine.allocate(2 * STEP)
        self._pending = np.zeros(0, np.int16)
        self.seconds, self.instructions, self.stack_bytes = 0.0, 0, 0
        self.by_function: dict[str, int] = {}
        if self.machine.call("keyword_init", self._spotter).value != 0:
            raise RuntimeError("the model does not start")

    def push(self, pcm: npt.NDArray[np.int16]) -> Iterator[tuple[str, float]]:
        """Yield (label, seconds) of the keywords that the samples complete."""
        self._pending = np.concatenate([self._pending, pcm])
        while self._pending.size >= STEP:
            block, self._pending = self._pending[:STEP], self._pending[STEP:]
            self.machine.write(self._pcm, block.tobytes())
            run = self.machine.call("keyword_push", self._spotter, self._pcm)
            self.seconds += STEP / 16_000
            self.instructions += run.instructions
            self.stack_bytes = max(self.stack_bytes, run.stack_bytes)
            for name, number in run.by_function.items():
                self.by_function[name] = self.by_function.get(name, 0) + number
            if run.value < len(self.labels):
                yield self.labels[run.value], round(self.seconds, 3)

    def cost(self) -> dict[str, Any]:
        """Return instructions for a second of sound (front end, all), flash and stack."""
        front_end = sum(n for name, n in self.by_function.items() if "frontend" in name)
        return {
            "instructions_per_second": round(self.instructions / self.seconds),
            "instructions_per_second_front_end": round(front_end / self.seconds),
            "flash_bytes": {"code": self.sizes.code, "data": self.sizes.rodata + self.sizes.data},
            "stack_bytes": self.stack_bytes,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("sound", nargs="+", type=Path)
    parser.add_argument("--core", default="cortex-m4")
    options = parser.parse_args()
    try:
        spotter = EmulatedSpotter(options.bundle, options.core)
        with read_bundle(options.bundle) as opened:
            preprocess = opened.manifest.preprocess
        for path in options.sound:
            sound = np.clip(np.rint(preprocess.load(path) * 32768), -32768, 32767).astype(np.int16)
            for label, seconds in spotter.push(np.concatenate([sound, np.zeros(16_000, np.int16)])):
                print(json.dumps({"label": label, "seconds": seconds}), flush=True)
    except qedge.QedgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(spotter.cost()), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
