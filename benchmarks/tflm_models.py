"""How many of a folder's models become verified C, for instance TFLite Micro's integration tests.

    python benchmarks/tflm_models.py FOLDER [--core cortex-m4] [--samples 2] [--json]

Each ``.tflite`` below FOLDER is generated for the core, compiled, run on random inputs and compared with TFLite Micro,
inner tensors included. A model that is refused is listed with the reason; one that differs makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "targets")]

from qedge.errors import QedgeError  # noqa: E402
from qedge.graph import Graph, Tensor  # noqa: E402
from qedge.oracle import tflm  # noqa: E402
from qedge_mcu import oracle  # noqa: E402
from qedge_mcu.cores import core  # noqa: E402
from qedge_mcu.emit import emit  # noqa: E402
from qedge_mcu.library import Library, describe  # noqa: E402
from qedge_mcu.program import build  # noqa: E402
from qedge_mcu.verify import compare_layers, compare_outputs  # noqa: E402


def random_values(generator: np.random.Generator, tensor: Tensor) -> np.ndarray:
    """Return values over the whole range of the tensor's type."""
    if tensor.dtype == "float32":
        return generator.standard_normal(tensor.shape).astype(np.float32)
    info = np.iinfo(tensor.dtype)
    return generator.integers(info.min, info.max, tensor.shape, np.dtype(tensor.dtype), endpoint=True)


def verdict(path: Path, core_name: str, samples: int) -> tuple[str, str]:
    """Return ``exact``, ``refused`` or ``differs``, and why."""
    try:
        graph = Graph.from_file(path)
        program = build(graph, core(core_name), path.stem)
        generator = np.random.default_rng(1)
        inputs = [[random_values(generator, graph.tensors[t]) for t in graph.inputs] for _ in range(samples)]
        expected = oracle.run(graph.data, inputs, inner=True)
        generated = emit(program)
        with tempfile.TemporaryDirectory() as folder:
            generated.write(Path(folder))
            library = Library(Path(folder), describe(program, generated.sources))
            differing = compare_layers(library, inputs, [r.tensors for r in expected])
            differing += compare_outputs(library, library.run(inputs), [r.outputs for r in expected])
    except QedgeError as problem:
        return "refused", str(problem)
    return ("differs", "; ".join(differing)) if differing else ("exact", "")


def main() -> int:
    """Print a line for each model that is not exact, and the count; exit with 1 when a byte differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--core", default="cortex-m4")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    models = sorted(args.folder.rglob("*.tflite"))
    if not models or not tflm.available():
        print("needs a folder with .tflite files and the tflite-micro wheel", file=sys.stderr)
        return 8
    rows = []
    for path in models:
        name = str(path.relative_to(args.folder))
        found, why = verdict(path, args.core, args.samples)
        rows.append({"model": name, "verdict": found, "why": why})
        if found != "exact" and not args.json:
            print(f"{name}: {found}: {why}", flush=True)
    exact = sum(row["verdict"] == "exact" for row in rows)
    if args.json:
        print(json.dumps({"schema_version": 1, "core": args.core, "exact": exact, "rows": rows}, indent=2))
    else:
        print(f"{exact} of {len(rows)} models verified exact on the {args.core}, inner tensors too")
    return int(any(row["verdict"] == "differs" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
