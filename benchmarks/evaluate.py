"""How much faster several processes evaluate, and whether they give the same: keyword spotting, many samples.

    python benchmarks/evaluate.py [--shared ../shared] [--samples 200000] [--workers 2]

The 1,000 samples of the keyword data, over and over with a little noise, in float as a user has them; both models, all
figures. By the clock where the machine does nothing else; the CPU of all processes together says what it could be.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
from commands import cpu_seconds

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from qedge.datasets.protocol import Subset  # noqa: E402
from qedge.quantize import compare  # noqa: E402
from qedge.shards import executor_of  # noqa: E402


class Repeated:
    """Keyword samples over and over; each time with other noise, the same for the same index."""

    class_names = None

    def __init__(self, shared: Path, count: int) -> None:
        with np.load(shared / "data/kws01/kws01_1000.npz", allow_pickle=False) as found:
            self._real = (found["x_int8"].astype(np.float32) - 83) * np.float32(0.5847029)
            y = found["y"]
        self._noise = np.random.default_rng(0).normal(0, 0.3, (1 << 16,)).astype(np.float32)
        self._count = count
        self.labels = np.resize(y.astype(np.int64), count)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> list[np.ndarray]:
        base = self._real[i % len(self._real)]
        start = (i * 7919) % (len(self._noise) - base.size)
        return [(base + self._noise[start : start + base.size].reshape(base.shape))[None]]

    def subset(self, indices: np.ndarray) -> Subset:
        return Subset(self, indices)

    def source(self, i: int) -> str:
        return f"row {i}"


def parser_of(text: str | None, samples: int) -> argparse.ArgumentParser:
    """Return the arguments that every evaluation of many samples has: where the models are, how many samples."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--samples", type=int, default=samples)
    parser.add_argument("--workers", type=int, default=2)
    return parser


def models_in(shared: Path) -> tuple[bytes, bytes]:
    """Return the keyword model, float and int8; end with a word where it is not there."""
    folder = shared / "models" / "mlperf_tiny"
    if not folder.is_dir():
        print(f"skipped: no models in {folder}")
        sys.exit()
    one, other = ((folder / f"kws01_dscnn_{kind}.tflite").read_bytes() for kind in ("float", "int8"))
    return one, other


def main() -> None:
    arguments = parser_of(__doc__, samples=200_000).parse_args()
    models = models_in(arguments.shared)
    dataset = Repeated(arguments.shared, arguments.samples)
    found, seconds, cpus = [], [], []
    for workers in (1, arguments.workers):
        began, cpu = time.perf_counter(), cpu_seconds()
        found.append(compare(*models, dataset, executor=executor_of(workers), threads=1))
        seconds.append(time.perf_counter() - began)
        cpus.append(cpu_seconds() - cpu)
        print(
            f"{workers} process{'es' if workers > 1 else ''}: {seconds[-1]:.1f} s by the clock, "
            f"{cpus[-1]:.1f} s of CPU in all, load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    np.testing.assert_equal(dataclasses.asdict(found[1]), dataclasses.asdict(found[0]))
    print(f"the same to the last bit over {arguments.samples:,} samples")
    possible = arguments.workers * cpus[0] / cpus[1]
    print(
        f"{seconds[0] / seconds[1]:.2f} times as fast; {possible:.2f} times, had it as many cores to itself"
    )


if __name__ == "__main__":
    main()
