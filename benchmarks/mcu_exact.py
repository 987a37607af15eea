"""Byte-exactness of the generated C on every emulated core: the five MLPerf Tiny models against TFLite Micro.

    python benchmarks/mcu_exact.py [--shared ../shared] [--core cortex-m4] [--samples 2] [--json]

Inputs are real ones (keywords, CIFAR images, spectrograms) and random bytes; outputs and
every inner tensor are compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "targets"), str(ROOT / "benchmarks")]

from mcu import FILES  # noqa: E402

from qedge.graph import Graph  # noqa: E402
from qedge.oracle import tflm  # noqa: E402
from qedge.quantmath import quantize  # noqa: E402
from qedge_mcu.cores import core  # noqa: E402
from qedge_mcu.emit import emit  # noqa: E402
from qedge_mcu.library import Library, describe  # noqa: E402
from qedge_mcu.program import build  # noqa: E402
from qedge_mcu.verify import compare_layers, compare_outputs  # noqa: E402

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33")


def real_inputs(model: str, graph: Graph, data: Path, count: int) -> list[np.ndarray]:
    """Return real inputs in the model's input type."""
    tensor = graph.tensors[graph.inputs[0]]
    assert tensor.quantization is not None
    if model == "kws":
        return list(np.load(data / "kws01" / "kws01_1000.npz")["x_int8"][:count, None])
    if model in ("ic", "vww"):
        from PIL import Image

        _, height, width, _ = tensor.shape
        files = sorted((data / "cifar10" / "test").glob("*/*.jpg"))[:: max(1, 2000 // count)][:count]
        images = [np.asarray(Image.open(f).convert("RGB").resize((width, height))) for f in files]
        # Both models take pixels minus 128.
        return [(i.astype(np.int16) - 128).astype(np.int8)[None] for i in images]
    scale, zero_point = tensor.quantization.scalar
    if model == "ad":
        spectrogram = np.fromfile(next((data / "ad01").glob("*.bin")), np.float32).reshape(-1, 128)
        frames = [spectrogram[5 * k : 5 * k + 5].reshape(tensor.shape) for k in range(count)]
        return [quantize(f, scale, zero_point) for f in frames]
    with np.load(data / "sww01" / "calibration_samples.npz") as samples:
        spectra = samples[samples.files[0]][:count]
    return [quantize(s.reshape(tensor.shape), scale, zero_point) for s in spectra]


def main() -> int:
    """Print the table; exit with 1 when a byte differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=None, help="folder with the third-party models")
    parser.add_argument("--core", action="append", choices=CORES)
    parser.add_argument("--model", action="append", choices=sorted(FILES))
    parser.add_argument("--samples", type=int, default=2, help="real ones, and as many random ones")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    shared = args.shared or next(
        (p / "shared" for p in (ROOT.parent, ROOT.parent.parent) if (p / "shared" / "models").is_dir()), None
    )
    if shared is None or not tflm.available():
        print("needs the third-party models beside the project and the tflite-micro wheel", file=sys.stderr)
        return 8
    rows = []
    for model in args.model or FILES:
        graph = Graph.from_file(shared / "models" / "mlperf_tiny" / FILES[model])
        shape = graph.tensors[graph.inputs[0]].shape
        generator = np.random.default_rng(1)
        samples = [[x] for x in real_inputs(model, graph, shared / "data", args.samples)]
        samples += [[generator.integers(-128, 128, shape, np.int8)] for _ in range(args.samples)]
        expected = tflm.run(graph.data, samples, inner=True)
        for name in args.core or CORES:
            program = build(graph, core(name), model)
            generated = emit(program)
            with tempfile.TemporaryDirectory() as folder:
                generated.write(Path(folder))
                library = Library(Path(folder), describe(program, generated.sources))
                differing = compare_layers(library, samples, [r.tensors for r in expected])
                differing += compare_outputs(library, library.run(samples), [r.outputs for r in expected])
            tensors = sum(len(s.tensors) for s in library.description.steps if s.function)
            rows.append({"model": model, "core": name, "samples": len(samples), "differing": differing})
            if not args.json:
                verdict = "; ".join(differing) or "every byte is equal"
                print(f"{model:5}{name:15}{len(samples)} samples, {tensors} tensors: {verdict}", flush=True)
    if args.json:
        print(
            json.dumps(
                {"schema_version": 1, "oracle": f"tflite-micro {tflm.version()}", "rows": rows}, indent=2
            )
        )
    return int(any(row["differing"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
