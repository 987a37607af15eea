"""Fused LSTM layers of a float ``.tflite``, written out: the values of LiteRT's own operator after a reset."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter

from qedge.frontends.normalize import normalize
from qedge.graph import Graph
from qedge.graph.edit import Editor

UNITS, FEATURES = 4, 3


def fused(*, steps: int = 5, time_major: bool = False, clip: float = 10.0, extra: int | None = None) -> bytes:
    """One fused layer in float, with something at the optional input ``extra``; large biases reach the clip."""
    rng, editor = np.random.default_rng(1), Editor.empty("test")
    shape = (steps, 1, FEATURES) if time_major else (1, steps, FEATURES)
    x = editor.tensor("x", shape, "float32")
    y = editor.tensor("y", (*shape[:2], UNITS), "float32")

    def constant(*sizes: int) -> int:
        return editor.constant((rng.normal(size=sizes) * 1.5).astype(np.float32))

    inputs = [x, *(constant(UNITS, FEATURES) for _ in range(4)), *(constant(UNITS, UNITS) for _ in range(4))]
    inputs += [-1, -1, -1, *(constant(UNITS) for _ in range(4)), -1, -1]
    inputs += [editor.tensor(name, (1, UNITS), "float32", variable=True) for name in ("h", "c")]
    inputs += [-1, -1, -1, -1]
    if extra is not None:
        inputs[extra] = constant(UNITS)
    options = {"fused_activation_function": "TANH", "cell_clip": clip, "time_major": time_major}
    editor.append(editor.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y], options))
    editor.inputs, editor.outputs = [x], [y]
    editor.sign([("x", x)], [("y", y)])
    return editor.pack()


def run(model: bytes, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what LiteRT gives, from a state of zeros."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


@pytest.mark.parametrize(
    "form", [{}, {"time_major": True}, {"steps": 1}, {"steps": 24, "clip": 1.5}, {"steps": 24, "clip": 0.0}]
)
def test_it_computes_what_the_operator_does(form: dict[str, Any]) -> None:
    model = fused(**form)
    written = normalize(model, "model.tflite")
    (told,) = written.findings
    assert (told.rule, told.severity) == ("fused-lstm", "info")
    graph = Graph.from_bytes(written.data)
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in {op.op for op in graph}
    assert ("MINIMUM" in {op.op for op in graph}) == (0 < form.get("clip", 10.0) < form.get("steps", 5))
    for scale in (1, 6):
        shape = graph.tensors[graph.inputs[0]].shape
        x = (np.random.default_rng(scale).normal(size=shape) * scale).astype(np.float32)
        np.testing.assert_allclose(run(written.data, x), run(model, x), atol=1e-5)


@pytest.mark.parametrize("extra", [9, 20])
def test_a_cell_with_more_than_gates_is_left_as_it_is(extra: int) -> None:
    written = normalize(fused(extra=extra), "model.tflite")
    assert written.findings == []
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in {op.op for op in Graph.from_bytes(written.data)}
