"""A QDQ model keeps the ranges and grids that it was trained with, all the way to int8."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qedge.errors import ModelError, UnsupportedError
from qedge.graph import Graph
from qedge.quantize import QuantizeOptions, quantize
from qedge.quantize.interpreter import Runner
from tests.frontends.onnx_cases import Case, model_of
from tests.unit.quantize_models import ArrayDataset

pytest.importorskip("onnx", reason="the ONNX front end is not installed")
pytest.importorskip("onnxruntime", reason="the ONNX front end is not installed")

RNG = np.random.default_rng(11)
SHAPE = (1, 3, 8, 8)


def _pair(name: str, source: str, scale: float, zero: int, constants: dict[str, Any]) -> list[Any]:
    constants |= {f"{name}_s": np.float32(scale), f"{name}_z": np.int8(zero)}
    grid = [f"{name}_s", f"{name}_z"]
    return [
        ("QuantizeLinear", [source, *grid], [f"{name}_q"], {}),
        ("DequantizeLinear", [f"{name}_q", *grid], [name], {}),
    ]


def _layer(name: str, source: str, outputs: int, inputs: int, constants: dict[str, Any]) -> list[Any]:
    constants[f"{name}_c"] = RNG.integers(-127, 128, (outputs, inputs, 3, 3)).astype(np.int8)
    constants[f"{name}_ws"] = RNG.uniform(0.5, 1.5, outputs).astype(np.float32) * 0.002
    constants[f"{name}_b"] = (0.1 * RNG.normal(size=outputs)).astype(np.float32)
    return [
        ("DequantizeLinear", [f"{name}_c", f"{name}_ws"], [f"{name}_w"], {"axis": 0}),
        ("Conv", [source, f"{name}_w", f"{name}_b"], [f"{name}_y"], {"pads": [1, 1, 1, 1]}),
    ]


def _network() -> bytes:
    constants: dict[str, Any] = {}
    nodes = [
        *_pair("x_h", "x", 0.02, -5, constants),
        *_layer("one", "x_h", 6, 3, constants),
        ("Relu", ["one_y"], ["one_r"], {}),
        *_pair("one_h", "one_r", 0.01, -128, constants),
        *_layer("two", "one_h", 4, 6, constants),
        *_pair("y", "two_y", 0.03, 7, constants),
    ]
    return model_of(Case("qdq", nodes, {"x": SHAPE}, constants, ["y"]))


def test_int8_says_what_onnxruntime_says_of_the_simulation() -> None:
    import onnx
    import onnxruntime

    from qedge.frontends.onnx import convert_proto

    model = _network()
    data = ArrayDataset(RNG.normal(size=(24, 8, 8, 3)))
    converted = convert_proto(onnx.load_model_from_string(model), {}, {})
    runner = Runner(quantize(converted.data, data, QuantizeOptions(io="int8")).data, threads=1)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    scale, zero = runner.outputs[0]["quantization"]
    assert (scale, zero) == (pytest.approx(0.03), 7)
    steps = []
    for i in range(len(data)):
        (wanted,) = session.run(None, {"x": data[i][0].transpose(0, 3, 1, 2)})
        steps.append(np.abs(runner.predict(data[i])[0] - wanted.transpose(0, 2, 3, 1)) / scale)
    assert (np.stack(steps) < 1.01).mean() >= 0.99


def test_the_weights_keep_their_codes() -> None:
    import onnx

    from qedge.frontends.onnx import convert_proto

    proto = onnx.load_model_from_string(_network())
    codes = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    data = ArrayDataset(RNG.normal(size=(24, 8, 8, 3)))
    made = quantize(convert_proto(proto, {}, {}).data, data, QuantizeOptions(method="mse+round", io="int8"))
    graph = Graph.from_bytes(made.data)
    found = [graph.tensors[op.inputs[1]].data for op in graph if op.op == "CONV_2D"]
    for name, kept in zip(("one", "two"), found):
        assert np.array_equal(kept, codes[f"{name}_c"].transpose(0, 2, 3, 1))


@pytest.mark.parametrize("case", ["integers used", "other scale", "sixteen bits"])
def test_integers_that_are_not_turned_back_are_refused(case: str) -> None:
    import onnx

    from qedge.frontends.onnx import convert_proto

    kind = np.int16 if case == "sixteen bits" else np.int8
    constants = {"s": np.float32(0.1), "t": np.float32(0.2), "z": kind(0)}
    scale = "t" if case == "other scale" else "s"
    nodes = [
        ("QuantizeLinear", ["x", "s", "z"], ["q"], {}),
        ("DequantizeLinear", ["q", scale, "z"], ["y"], {}),
    ]
    outputs = ["y", "q"] if case == "integers used" else ["y"]
    model = model_of(Case(case, nodes, {"x": SHAPE}, constants, outputs, opset=21))
    with pytest.raises((ModelError, UnsupportedError, Exception), match="QuantizeLinear"):
        convert_proto(onnx.load_model_from_string(model), {}, {})
