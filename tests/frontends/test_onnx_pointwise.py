"""Products of constant weights with the pixels of a flattened image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qedge.graph import Graph
from tests.frontends.onnx_cases import f

onnx = pytest.importorskip("onnx", reason="the ONNX front end is not installed")
pytest.importorskip("onnxruntime", reason="the ONNX front end is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

HEIGHT, WIDTH, DEEP, TEXTS = 4, 6, 5, 3


def converted(nodes: list[Any], constants: dict[str, np.ndarray]) -> Any:
    from qedge.frontends.onnx import convert_proto

    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", [image], [onnx.ValueInfoProto(name="y")], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return convert_proto(model, {}, {})


@pytest.mark.parametrize("again", ["an image again", "left flat"])
@pytest.mark.parametrize("batched", [True, False])
def test_pixels_are_compared_with_texts_by_a_convolution(again: str, batched: bool) -> None:
    """The class head of YOLO-World: pixels times texts, scaled and shifted, which folds into the weights."""
    node = helper.make_node
    constants = {
        "v": f(DEEP, 3, 1, 1), "w": f(*([1] if batched else []), TEXTS, DEEP), "scale": np.float32(1.5),
        "shift": np.float32(-2.0), "flat": np.array([1, DEEP, -1], np.int64),
        "image": np.array([1, TEXTS, HEIGHT, WIDTH], np.int64),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "v"], ["a"]), node("Relu", ["a"], ["r"]), node("Reshape", ["r", "flat"], ["p"]),
        node("MatMul", ["w", "p"], ["q"]),
    ]  # fmt: skip
    if again == "an image again":
        nodes.append(node("Reshape", ["q", "image"], ["s"]))
    scaled = "s" if again == "an image again" else "q"
    nodes += [node("Mul", [scaled, "scale"], ["m"]), node("Add", ["m", "shift"], ["y"])]
    made = converted(nodes, constants)
    ops = [op.op for op in Graph.from_bytes(made.data)]
    assert made.error < 1e-5
    assert "BATCH_MATMUL" not in ops
    assert ops.count("CONV_2D") == 2
    if again == "an image again":
        assert ops == ["CONV_2D", "CONV_2D"]


def test_products_that_mix_pixels_or_batches_stay_products() -> None:
    node = helper.make_node
    places = HEIGHT * WIDTH
    flat = np.array([1, 3, -1], np.int64)
    mixing = {"w": f(2, TEXTS, 3), "flat": flat}  # two products
    made = converted([node("Reshape", ["x", "flat"], ["p"]), node("MatMul", ["w", "p"], ["y"])], mixing)
    assert made.error < 1e-5
    assert "BATCH_MATMUL" in [op.op for op in Graph.from_bytes(made.data)]
    turned = {"w": f(TEXTS, places), "flat": flat}
    nodes = [
        node("Reshape", ["x", "flat"], ["p"]), node("Transpose", ["p"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["w", "t"], ["y"]),
    ]  # fmt: skip
    made = converted(nodes, turned)
    assert made.error < 1e-5
    assert "CONV_2D" not in [op.op for op in Graph.from_bytes(made.data)]
