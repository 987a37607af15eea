"""The error function reaches TFLite in operators that it has."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qedge.graph import Graph
from qedge.quantize.interpreter import Runner

CONVERT = """
import sys, tensorflow as tf
from qedge.frontends._tensorflow import to_tflite
weight = tf.Variable([[2.0], [0.5]])

def call(a, b):
    return {"output_000": tf.math.erf(a) @ weight, "output_001": tf.math.erf(b * 3.0)}

specs = [tf.TensorSpec((1, 2), tf.float32, "input_000"), tf.TensorSpec((1, 41), tf.float32, "input_001")]
function = tf.function(call, autograph=False).get_concrete_function(*specs)
open(sys.argv[1], "wb").write(to_tflite(function, None))
"""


@pytest.mark.long
def test_erf_becomes_a_polynomial_and_an_exponential(tmp_path: Path) -> None:
    path = tmp_path / "erf.tflite"
    done = subprocess.run([sys.executable, "-c", CONVERT, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    graph = Graph.from_file(path)
    wanted = ["ABS", "ADD", "BATCH_MATMUL", "DIV", "EXP", "FULLY_CONNECTED", "MUL", "NEG", "SIGN", "SUB"]
    assert {op.op for op in graph} <= set(wanted)
    b = np.linspace(-2, 2, 41, dtype=np.float32)[None]
    a = np.array([[-0.7, 1.3]], np.float32)
    first, second = Runner(path.read_bytes(), threads=1).predict([a, b])
    expected = [math.erf(3 * v) for v in b[0].tolist()]
    assert np.abs(second[0] - expected).max() < 1e-6
    assert abs(float(first[0, 0]) - (2 * math.erf(-0.7) + 0.5 * math.erf(1.3))) < 2e-6
