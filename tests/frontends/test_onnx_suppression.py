"""A NonMaxSuppression at the end of an ONNX file: the model without it, and what is said of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qedge.errors import UnsupportedError
from qedge.frontends import load_model
from qedge.frontends.exported import noted_overlap
from qedge.quantize.interpreter import Runner

onnx = pytest.importorskip("onnx", reason="the ONNX front end is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the ONNX front end is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

PLACES, CLASSES = 16, 3


def detector(how: str, iou: float = 0.4) -> Any:
    """Return boxes and scores of 16 places with a suppression, and with the boxes that it keeps as output."""
    rng = np.random.default_rng(2)
    constants = {
        "wb": rng.normal(0, 1, (4, 3, 1, 1)), "ws": rng.normal(0, 2, (CLASSES, 3, 1, 1)), "wide": [640.0],
        "iou": [iou], "least": [0.3], "least0": 0.5, "wg": rng.normal(0, 1, (3, 4)),
    }  # fmt: skip
    shapes = {
        "sb": [1, 4, PLACES],
        "ss": [1, CLASSES, PLACES],
        "most": [50],
        "flat": [-1],
        "no": [2],
        "end": [3],
        "axis": [1],
        "first": 0,
    }
    stored = [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in constants.items()]
    stored += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in shapes.items()]
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "wb"], ["b0"]), node("Reshape", ["b0", "sb"], ["b1"]),
        node("Transpose", ["b1"], ["boxes"], perm=[0, 2, 1]),
        node("Conv", ["x", "ws"], ["s0"]), node("Reshape", ["s0", "ss"], ["s1"]), node("Sigmoid", ["s1"], ["scores"]),
    ]  # fmt: skip
    read = ["boxes", "scores"]
    if how == "apart":
        nodes += [
            node("ReduceMax", ["scores"], ["best"], axes=[1], keepdims=1),
            node("ArgMax", ["scores"], ["label0"], axis=1, keepdims=1),
            node("Transpose", ["label0"], ["label1"], perm=[0, 2, 1]), node("Cast", ["label1"], ["label"], to=1),
            node("Mul", ["label", "wide"], ["shift"]), node("Add", ["boxes", "shift"], ["moved"]),
        ]  # fmt: skip
        read = ["moved", "best"]
    elif how == "second stage":
        nodes += [
            node("NonZero", ["scores"], ["where"]), node("Cast", ["where"], ["found"], to=1),
            node("Transpose", ["found"], ["rows"], perm=[1, 0]), node("Gemm", ["rows", "wg"], ["sides"]),
            node("Unsqueeze", ["sides"], ["moved"], axes=[0]),
        ]  # fmt: skip
        read = ["moved", "scores"]
    elif how in ("threshold", "threshold, branch"):
        nodes += [
            node("Gather", ["scores", "first"], ["own"], axis=0),
            node("ReduceMax", ["own"], ["sure"], axes=[0], keepdims=0),
            node("Greater", ["sure", "least0"], ["on"]), node("NonZero", ["on"], ["where"]),
            node("Reshape", ["where", "flat"], ["places"]),
            node("Gather", ["boxes", "places"], ["moved"], axis=1),
            node("Gather", ["scores", "places"], ["kept"], axis=2), node("Sigmoid", ["kept"], ["surely"]),
        ]  # fmt: skip
        read = ["moved", "surely"]
    last = [
        node("NonMaxSuppression", [*read, "most", "iou", "least"], ["chosen"], name="nms"),
        node("Slice", ["chosen", "no", "end", "axis"], ["column"]), node("Reshape", ["column", "flat"], ["index"]),
        node("Gather", ["boxes", "index"], ["y"], axis=1),
    ]  # fmt: skip
    if "branch" in how:
        given = onnx.ValueInfoProto(name="y")
        none = [node("Identity", ["moved"], ["y"])]
        branches = {
            name: helper.make_graph(inner, name, [], [given])
            for name, inner in (("then_branch", none), ("else_branch", last))
        }
        nodes += [
            node("Size", ["moved"], ["count"]), node("Cast", ["count"], ["few0"], to=1),
            node("Less", ["few0", "least0"], ["few"]), node("If", ["few"], ["y"], **branches),
        ]  # fmt: skip
    else:
        nodes += last
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])
    graph = helper.make_graph(nodes, "g", [image], [onnx.ValueInfoProto(name="y")], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)


@pytest.mark.parametrize(
    ("how", "ends"),
    [
        ("plain", ["boxes", "scores"]),
        ("apart", ["boxes", "best", "label"]),
        ("threshold", ["scores", "boxes"]),
        ("threshold, branch", ["scores", "boxes"]),
    ],
)
def test_what_it_reads_is_what_the_model_gives(how: str, ends: list[str], tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = detector(how)
    path.write_bytes(model.SerializeToString())
    made = load_model(path, workdir=tmp_path)
    (said,) = [f for f in made.findings if f.rule == "suppression-left-out"]
    assert "'nms', which drops boxes that overlap by more than 0.4" in said.message
    assert noted_overlap(made.notes) == pytest.approx(0.4)
    for end in ends:
        model.graph.output.add().name = end
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(3).normal(0, 1, (1, 3, 4, 4)).astype(np.float32)
    wanted = session.run(ends, {"x": x})
    found = Runner(made.data).predict([x.transpose(0, 2, 3, 1)])
    assert len(found) == len(ends)
    for ours, theirs in zip(found, wanted):
        np.testing.assert_allclose(np.sort(ours.ravel()), np.sort(theirs.ravel()), rtol=1e-4, atol=1e-5)


def test_an_image_without_a_batch_gets_one(tmp_path: Path) -> None:
    """torchvision's detectors take (3, h, w): with a batch of one they are fed as all others are."""
    model, path = detector("plain"), tmp_path / "net.onnx"
    graph = model.graph
    graph.node.insert(0, helper.make_node("Unsqueeze", ["image"], ["x"], axes=[0]))
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, [3, 4, 4]))
    path.write_bytes(model.SerializeToString())
    made = load_model(path, workdir=tmp_path)
    whole = detector("plain")
    (tmp_path / "whole.onnx").write_bytes(whole.SerializeToString())
    other = load_model(tmp_path / "whole.onnx", workdir=tmp_path)
    x = np.random.default_rng(3).normal(0, 1, (1, 4, 4, 3)).astype(np.float32)
    for ours, theirs in zip(Runner(made.data).predict([x]), Runner(other.data).predict([x]), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_it_stays_refused_behind_a_second_stage(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(detector("second stage").SerializeToString())
    with pytest.raises(UnsupportedError, match=r"(NonZero|NonMaxSuppression)"):
        load_model(path, workdir=tmp_path)


def test_an_overlap_that_is_none_is_not_noted(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(detector("plain", iou=7.0).SerializeToString())
    made = load_model(path, workdir=tmp_path)
    assert noted_overlap(made.notes) is None
    assert any(f.rule == "suppression-left-out" for f in made.findings)
