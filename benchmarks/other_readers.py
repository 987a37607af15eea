"""Our int8 files read by OpenVINO and by tf2onnx (ONNX Runtime): every tensor beside LiteRT's, byte for byte.

All activations of a small network are outputs here, so that each reader computes what the file says: by themselves
both fuse operators into float ones that round elsewhere. For each reader the operators are named whose values differ,
with the share of the values that do: XNNPACK, OpenVINO and ONNX Runtime all round a sum in float32, each after products
of its own, so that one value in a hundred thousand, which lies between two codes, goes to the other one; what reads it
follows. (tf2onnx 1.17 leaves out the bias of a FULLY_CONNECTED that reads more than two dimensions, which none of ours
does behind a mean.)
Needs the third-party models and data beside the project, and ``pip install openvino tf2onnx onnxruntime``.
``python benchmarks/other_readers.py [--json] [name ...]``; without names kws, ic and two recurrent networks.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import quantize as benchmark

from qedge.frontends import load_model
from qedge.graph import Graph
from qedge.graph.outputs import with_outputs
from qedge.quantize import QuantizeOptions, quantize
from qedge.quantize.interpreter import Runner

Array = npt.NDArray[Any]
NAMES = ("kws", "ic", "fs_gru")
SAMPLES = 60
MOST_TENSORS = 64


def with_openvino(path: Path, inputs: Sequence[Array]) -> list[list[Array]]:
    """Return OpenVINO's outputs, a list a sample; by itself it computes in bfloat16 where the CPU has it."""
    import openvino

    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [[np.asarray(found) for found in model([x]).values()] for x in inputs]


def with_tf2onnx(path: Path, inputs: Sequence[Array]) -> list[list[Array]]:
    """Return ONNX Runtime's outputs for what tf2onnx makes of the file, as it is: nothing is fused."""
    import onnxruntime
    from tf2onnx.convert import from_tflite

    model, _ = from_tflite(str(path), opset=18)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (name,) = (i.name for i in session.get_inputs())
    return [session.run(None, {name: x}) for x in inputs]


READERS: dict[str, Callable[[Path, Sequence[Array]], list[list[Array]]]] = {
    "openvino": with_openvino,
    "tf2onnx": with_tf2onnx,
}


def measure(name: str, scratch: Path) -> list[dict[str, Any]]:
    """Return a row for each reader: samples with equal bytes, and the largest difference."""
    source, read = benchmark.MODELS[name]
    calibration, test = read()
    float_model = load_model(benchmark.SHARED / source, workdir=scratch).data
    data = quantize(float_model, calibration, QuantizeOptions("minmax")).data
    graph = Graph.from_bytes(data)
    made = [t for op in graph.operators for t in op.outputs]
    made = made if len(made) <= MOST_TENSORS else list(graph.outputs)
    path = scratch / f"{name}.tflite"
    path.write_bytes(with_outputs(data, made))
    runner = Runner(path.read_bytes())
    scale, zero = runner.inputs[0]["quantization"]
    inputs, expected = [], []
    for i in range(min(SAMPLES, len(test))):
        codes = np.clip(np.rint(test[i][0] / np.float32(scale)) + zero, -128, 127).astype(np.int8)
        runner.run([(codes.astype(np.float32) - zero) * np.float32(scale)])
        inputs.append(codes)
        expected.append([runner.read(int(o["index"])) for o in runner.outputs])
    rows = []
    for reader, run in READERS.items():
        row: dict[str, Any] = {"model": name, "reader": reader, "samples": len(inputs), "tensors": len(made)}
        try:
            found = run(path, inputs)
        except Exception as error:  # another tool's refusal is a result
            row["note"] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"
        else:
            apart = [
                [np.abs(a.astype(int) - b.astype(int)) for a, b in zip(one, other)]
                for one, other in zip(found, expected)
            ]
            steps = [max(int(t.max()) for t in sample) for sample in apart]
            row |= {"equal": sum(s == 0 for s in steps), "largest_step": max(steps)}
            shares = [float(np.mean([(sample[k] > 0).mean() for sample in apart])) for k in range(len(made))]
            row["differ"] = {
                f"{graph.producer[t].label}": round(share, 6) for t, share in zip(made, shares) if share
            }
        rows.append(row)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"models: {', '.join(benchmark.MODELS)}")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not benchmark.SHARED.is_dir():
        sys.exit("needs the third-party models and data beside the project")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names or NAMES:
            found = measure(name, Path(folder))
            rows += found
            for row in found if not arguments.json else []:
                print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
