"""A whole model with 16-bit activations: keyword spotting as TensorFlow's converter writes it, exact on a Cortex-M4."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qedge.graph import Graph
from qedge.oracle import tflm
from qedge.testing.opmodels import Spec, constant, single_op
from qedge_mcu.cores import core
from qedge_mcu.emit import emit
from qedge_mcu.library import Library, describe
from qedge_mcu.program import build, check
from qedge_mcu.verify import compare_layers, compare_outputs

CONVERT = """
import sys, numpy as np, tensorflow as tf
x = np.load(sys.argv[2])["x"]
converter = tf.lite.TFLiteConverter.from_saved_model(sys.argv[1])
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([sample[None]] for sample in x)
kinds = tf.lite.OpsSet
converter.target_spec.supported_ops = [kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int16
open(sys.argv[3], "wb").write(converter.convert())
"""


@pytest.mark.long
@pytest.mark.shared
@pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")
def test_keyword_spotting_with_16_bit_activations_is_exact(shared: Path, tmp_path: Path) -> None:
    with np.load(shared / "data/kws01/kws01_1000.npz") as data:
        x = (data["x_int8"][:40].astype(np.float32) - 83) * np.float32(0.5847029)
    np.savez(tmp_path / "x.npz", x=x)
    made = tmp_path / "kws.tflite"
    model = shared / "models/mlperf_tiny/kws01_dscnn_saved_model"
    command = [sys.executable, "-c", CONVERT, str(model), str(tmp_path / "x.npz"), str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    graph = Graph.from_file(made)
    scale = graph.tensors[graph.inputs[0]].quantization
    assert scale is not None
    samples = [[np.clip(np.rint(s[None] / scale.scalar[0]), -32768, 32767).astype(np.int16)] for s in x[:2]]
    built = build(graph, core("cortex-m4"), "kws", tries=0)
    generated = emit(built)
    generated.write(tmp_path)
    library = Library(tmp_path, describe(built, generated.sources))
    expected = tflm.run(graph.data, samples, inner=True)
    assert compare_layers(library, samples, [r.tensors for r in expected]) == []
    assert compare_outputs(library, library.run(samples), [r.outputs for r in expected]) == []
    assert len(built.steps) == 13


def test_a_bias_that_the_kernel_does_not_have_is_refused_with_the_way_out() -> None:
    x, y = (Spec((1, 4, 4, 1), "int16", scale) for scale in (0.001, 0.01))
    weights = constant(np.ones((1, 1, 1, 1)), "int8", 0.01)
    bias = constant(np.ones(1), "float32")
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "depth_multiplier": 1}
    _, (finding,) = check(
        Graph.from_bytes(single_op("DEPTHWISE_CONV_2D", [x, weights, bias], [y], options)), core("cortex-m4")
    )
    assert finding.message == "the bias is float32, expected int64 or int32"
    assert "bias of 64 bits" in str(finding.hint)
