"""The C engine beside LiteRT on this machine: latency of one thread, cold start, and size.

Run: python benchmarks/engine_c.py [--json] [--runs N]. The digit spotter, and where the third-party models lie beside
the project two of MLPerf Tiny. Calls and starts are taken by turns in one run. A start is a fresh Python from nothing
to the first result, in CPU milliseconds, numpy included (and without it): ours with the digests of a bundle
checked, the bare binding's with a model file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from cold_start import BARE, OURS, compare

import qedge
from qedge.runtime.bench import bench_bundle
from qedge.runtime.golden import run_golden
from qedge.runtime.machines import loadable

HERE = Path(__file__).resolve().parent.parent
MODELS = {"kws": "kws01_dscnn_int8.tflite", "ic": "ic01_resnet8_int8.tflite"}


def models() -> dict[str, Path]:
    """Return the models to measure, by name."""
    found = {"digits": HERE / "sample_apps" / "voice" / "bundle" / "model.tflite"}
    for folder in (HERE.parent / "shared", HERE.parent.parent / "shared"):
        if (folder / "models").is_dir():
            return {
                **found,
                **{name: folder / "models" / "mlperf_tiny" / path for name, path in MODELS.items()},
            }
    return found


def measured(model: Path, name: str, folder: Path, runs: int, starts: int) -> dict[str, Any]:
    """Return the figures of one model: latency and cold start of both engines in ms, bytes of the library."""
    here = loadable()[0]
    built = qedge.build(model, targets="rpi", out=folder, name=name, engine="c", arch=here)
    bundle = Path(built.bundles["rpi"])
    with qedge.load(bundle, engine="c") as loaded:
        exact = run_golden(loaded).bit_exact
    found = bench_bundle(bundle, runs=runs, threads=1, engine="c", cold_starts=0)
    bare = (BARE, str(bundle / "model.tflite"))
    litert = compare(bare, (OURS, str(bundle)), starts)
    c = compare(bare, (OURS.replace("threads=1", 'threads=1, engine="c"'), str(bundle)), starts)
    return {
        "model": name,
        "machine": here,
        "bit_exact": exact,
        "c_ms": found["latency_ms"]["median"],
        "litert_ms": found["bare"]["latency_ms"]["median"],
        "c_start_ms": 1e3 * c["qedge_s"],
        "litert_start_ms": 1e3 * litert["qedge_s"],
        "bare_start_ms": 1e3 * c["bare_s"],
        "c_to_bare": c["ratio"],
        "c_own_ms": 1e3 * c["qedge_own_s"],
        "bare_own_ms": 1e3 * c["bare_own_s"],
        "own_c_to_bare": c["own_ratio"],
        "library_bytes": (bundle / "lib" / f"{here}.so").stat().st_size,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--starts", type=int, default=15)
    options = parser.parse_args()
    if not loadable():
        sys.exit("no C library can be loaded on this system")
    with tempfile.TemporaryDirectory(prefix="qedge-") as folder:
        rows = [
            measured(path, name, Path(folder), options.runs, options.starts)
            for name, path in models().items()
        ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for r in rows:
        print(
            f"{r['model']:8} {r['machine']}: {r['c_ms']:.3f} ms by the C library, {r['litert_ms']:.3f} ms by LiteRT; "
            f"library {r['library_bytes']:,} bytes, {'bit-exact' if r['bit_exact'] else 'DIFFERS'}\n"
            f"{'':8} start to first result {r['c_start_ms']:.1f} ms, {r['litert_start_ms']:.1f} by qedge.load of "
            f"LiteRT, {r['bare_start_ms']:.1f} by the bare binding (ratio of C to it {r['c_to_bare']:.3f})\n"
            f"{'':8} without Python and numpy {r['c_own_ms']:.2f} ms and {r['bare_own_ms']:.2f} by the bare binding "
            f"(ratio {r['own_c_to_bare']:.2f})"
        )


if __name__ == "__main__":
    main()
