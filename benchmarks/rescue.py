"""``--min-sqnr 30`` on networks that miss it in int8: what the rescue moves to 16 bits, and what that reaches.

Prints the int8 choice and the rescued file, both run by LiteRT on samples that neither has seen, or the error (exit 6)
with the layers that it names. Needs the third-party models, data and cases beside the project, and TensorFlow;
``python benchmarks/rescue.py [--work FOLDER] [--demand DB] [name ...]``. The work folder is that of ``cases.py``,
``against.py`` and ``waveform.py``, each in a folder of its own.
"""

from __future__ import annotations

import argparse
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

from qedge.errors import AccuracyError
from qedge.frontends import load_model
from qedge.quantize import QuantizeOptions, compare, quantize

NAMES = ("ic", "waveform", "tabular_raw", "fs_gru", "fs_lstm")
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


def measure(name: str, demand: float, work: Path) -> None:
    """Print what becomes of one network."""
    model, calibration, test = read(name, work)
    calibration = benchmark.Samples(calibration.values)
    some = range(min(MOST_TESTED, len(test)))
    plain = quantize(model, calibration, QuantizeOptions())
    before = compare(model, plain.data, test, indices=some)
    print(f"{name:22} int8    {before.sqnr_db:5.1f} dB {len(plain.data):8} bytes  {plain.method}", flush=True)
    started = time.process_time()
    try:
        found = quantize(model, calibration, QuantizeOptions(min_sqnr=demand))
    except AccuracyError as error:
        print(f"{'':22} exit {error.exit_code}: {error}", flush=True)
        return
    after = compare(model, found.data, test, indices=some)
    said = "met" if after.sqnr_db >= demand else "MISSED"
    more = len(found.data) / len(plain.data) - 1
    print(
        f"{'':22} {said:7} {after.sqnr_db:5.1f} dB {len(found.data):8} bytes ({more:+.1%})  {found.method}"
        f"  {time.process_time() - started:.0f} CPU s",
        flush=True,
    )


def main() -> None:
    """Print two lines a network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=" ".join(NAMES))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "qedge-rescue")
    parser.add_argument("--demand", type=float, default=30.0)
    arguments = parser.parse_args()
    if not benchmark.SHARED.is_dir():
        sys.exit("needs the third-party models and data beside the project")
    for name in arguments.names or NAMES:
        measure(name, arguments.demand, arguments.work.resolve())


if __name__ == "__main__":
    main()
