"""``--min-sqnr 30`` on networks that miss it in int8: what a build moves to 16 bits or float, and what that reaches.

Each network is built by the command line for a target, with calibration samples and ``--eval-data``. Prints plain int8
there and on samples that the build has not been given, and the file in the bundle on the latter, run by LiteRT, or the
error (exit 6) with the layers that it names. Needs the third-party models, data and cases beside the project, and
TensorFlow; ``python benchmarks/rescue.py [--work FOLDER] [--demand DB] [name ...]``. The work folder is that of
``cases.py``, ``against.py`` and ``waveform.py``, each in a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import against
import cases
import numpy as np
import quantize as benchmark
import waveform

from qedge.bundle import read_bundle
from qedge.frontends import load_model
from qedge.quantize import QuantizeOptions, compare, quantize

NETWORKS = {
    "ic": "rpi",
    "waveform": "rpi",
    "tabular_raw": "rpi",
    "fs_lstm": "rpi",
    "softmax_many_classes": "coral",
}
"""By name the target that each is built for; the Edge TPU computes in 8 bits alone."""
MOST_TESTED = 300


def converted(source: Path) -> bytes:
    """Return the float ``.tflite`` of a Keras file."""
    with tempfile.TemporaryDirectory() as scratch:
        return load_model(source, workdir=Path(scratch)).data


def read(name: str, work: Path) -> tuple[bytes, benchmark.Samples, benchmark.Samples]:
    """Return a float model, samples to choose with and others."""
    if name in benchmark.MODELS:
        (work / "against").mkdir(parents=True, exist_ok=True)
        calibration, test = against.samples_of(name)
        return against.float_model(name, work / "against").read_bytes(), calibration, test
    folder = work / "waveform" if name == "waveform" else work / "cases" / name
    if name == "waveform" and not (folder / "waveform.keras").exists():
        command = [sys.executable, waveform.__file__, "--work", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
    elif name != "waveform" and not (folder / "model.keras").exists():
        source = cases.shared_cases()
        assert source is not None
        command = [sys.executable, str(source / "make_cases.py"), str(folder.parent), name]
        subprocess.run(command, check=True, capture_output=True)
    model = "waveform.keras" if name == "waveform" else "model.keras"
    data = "calibration.npz" if name == "waveform" else "data.npz"
    sets = []
    for file in (data, "test.npz"):
        with np.load(folder / file) as z:
            sets.append(benchmark.Samples(z["x"]))
    return converted(folder / model), sets[0], sets[1]


def measure(name: str, target: str, demand: float, work: Path) -> None:
    """Print what becomes of one network."""
    model, calibration, test = read(name, work)
    evaluated, fresh = (range(k, min(2 * MOST_TESTED, len(test)), 2) for k in (0, 1))
    plain = quantize(model, benchmark.Samples(calibration.values), QuantizeOptions())
    samples = benchmark.Samples(test.values)
    before, unseen = (compare(model, plain.data, samples, indices=i).sqnr_db for i in (evaluated, fresh))
    print(
        f"{name:22} int8    {before:5.1f} dB on --eval-data, {unseen:.1f} on others {len(plain.data):8} bytes"
        f"  {plain.method}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "model.tflite").write_bytes(model)
        np.savez(folder / "data.npz", x=calibration.values)
        np.savez(folder / "eval.npz", x=test.values[list(evaluated)])
        command = [sys.executable, "-m", "qedge", "build", "model.tflite", "--data", "data.npz", "--json"]
        command += ["--eval-data", "eval.npz", "--min-sqnr", str(demand), "--target", target]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        seconds = time.perf_counter() - started
        document = json.loads(done.stdout or "{}")
        if done.returncode:
            error = document.get("error", {"message": done.stderr[-300:]})
            print(
                f"{'':22} {target}: exit {done.returncode}: {error['message']}  {seconds:.0f} s", flush=True
            )
            return
        data = read_bundle(folder / document["targets"][target]["bundle"]).read("model.tflite")
    after = compare(model, data, samples, indices=fresh)
    said, more = "met" if after.sqnr_db >= demand else "MISSED", len(data) / len(plain.data) - 1
    how = document["quantization"]
    print(
        f"{'':22} {target}: {said:7} {after.sqnr_db:5.1f} dB ({how['sqnr_db']:.1f} in the report) {len(data):8} bytes"
        f" ({more:+.1%})  {how['method']}  {seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    """Print two lines a network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name[:target]", help=" ".join(NETWORKS))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "qedge-rescue")
    parser.add_argument("--demand", type=float, default=30.0)
    arguments = parser.parse_args()
    if not benchmark.SHARED.is_dir():
        sys.exit("needs the third-party models and data beside the project")
    for each in arguments.names or NETWORKS:
        name, _, target = each.partition(":")
        measure(name, target or NETWORKS.get(name, "rpi"), arguments.demand, arguments.work.resolve())


if __name__ == "__main__":
    main()
