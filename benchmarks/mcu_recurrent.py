"""LSTM(16) and GRU(16) over 50 steps as C: their constants byte by byte, and the loop beside the unrolled form.

    python benchmarks/mcu_recurrent.py [--core cortex-m4] [--units 16] [--steps 50] [--features 8] [--json]

The models are Keras', built and quantised as ``qedge build`` does. "Unrolled" is the same program without its loops.
Instructions are exact, counted on the emulated core; both forms are compared with TFLite Micro, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "targets")]

import qedge  # noqa: E402
from qedge.graph import Graph  # noqa: E402
from qedge_mcu import oracle  # noqa: E402
from qedge_mcu.constants import Constants  # noqa: E402
from qedge_mcu.cores import core  # noqa: E402
from qedge_mcu.emit import emit  # noqa: E402
from qedge_mcu.library import Library, describe  # noqa: E402
from qedge_mcu.program import Program, build  # noqa: E402
from qedge_mcu.verify import compare_layers  # noqa: E402


@dataclass(frozen=True)
class Row:
    """One layer on one core; bytes, and instructions of one run."""

    layer: str
    exact: bool
    code: int
    constants: int
    weights_and_biases: int
    tables: int
    requantisation: int
    parameters: int
    instructions: int
    unrolled_code: int
    unrolled_instructions: int


def model(kind: str, units: int, steps: int, features: int, folder: Path) -> bytes:
    """Return the int8 model of one layer, calibrated on noise."""
    import keras

    keras.utils.set_random_seed(1)
    net = keras.Sequential([keras.Input((steps, features)), getattr(keras.layers, kind)(units)])
    samples = np.random.default_rng(1).normal(size=(60, steps, features)).astype(np.float32)
    built = qedge.build(net, samples, targets=["mcu"], out=folder, name=kind.lower())
    return (built.bundles["mcu"] / "model.tflite").read_bytes()


def constants(program: Program) -> Counter[str]:
    """Return the bytes of constant arrays by what they are for; parameters are not among them."""
    found: Counter[str] = Counter()
    for array, _ in Constants(program).arrays.values():
        own = 0 if array.role == "other" else array.values.nbytes - array.overhead
        kind = "tables" if array.name.startswith("table") else "requantisation"
        found["weights_and_biases"] += own
        found["parameters" if array.name == "steps" else kind] += array.values.nbytes - own
    return found


def measure(kind: str, options: argparse.Namespace, folder: Path) -> Row:
    """Return the figures of one layer."""
    data = model(kind, options.units, options.steps, options.features, folder / kind)
    program = build(Graph.from_bytes(data), core(options.core), kind)
    shape = program.graph.tensors[program.graph.inputs[0]].shape
    samples = [[np.random.default_rng(2).integers(-128, 128, shape, np.int8)]]
    expected = [run.tensors for run in oracle.run(data, samples, inner=True)]
    exact, found = [], []
    for form in (program, replace(program, runs=())):
        generated = emit(form)
        place = folder / f"{kind}{len(found)}"
        generated.write(place)
        library = Library(place, describe(form, generated.sources))
        exact.append(compare_layers(library, samples, expected) == [])
        found.append(library.measure(samples[0]))
    by_kind, (loop, unrolled) = constants(program), found
    other = emit(program).constant_bytes - by_kind.total()
    return Row(
        kind,
        all(exact),
        loop.code_bytes,
        emit(program).constant_bytes,
        by_kind["weights_and_biases"],
        by_kind["tables"],
        by_kind["requantisation"],
        by_kind["parameters"] + other,
        loop.instructions,
        unrolled.code_bytes,
        unrolled.instructions,
    )


def main() -> None:
    """Print both layers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--core", default="cortex-m4")
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [asdict(measure(kind, options, Path(folder))) for kind in ("LSTM", "GRU")]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for key in rows[0]:
        print(f"{key.replace('_', ' '):24}", *(f"{row[key]!s:>12}" for row in rows))


if __name__ == "__main__":
    main()
