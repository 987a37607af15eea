"""Operators without an integer form are named with their layers before anything is calibrated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from quantize_models import cnn

from qedge.bundle import read_bundle
from qedge.errors import UnsupportedError
from qedge.graph import Graph
from qedge.pipeline import BuildRequest, BuildResult, build
from qedge.quantize.support import without_integer_form
from qedge.target import resolve_all
from qedge.testing.opmodels import ModelBuilder, Spec, constant


def f32(*shape: int, name: str = "") -> Spec:
    return Spec(shape, "float32", name=name)


def chain(*operators: tuple[str, str]) -> bytes:
    """A float model of operators of one input, each with the name of what it writes."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(f32(1, 4, name="x"))
    for op, name in operators:
        y = g.tensor(f32(1, 4, name=name))
        inputs = [x, g.tensor(constant([2.0], "float32"))] if op in ("DIV", "MUL") else [x]
        g.operator(op, inputs, [y])
        x = y
    g.output(x)
    return builder.pack()


def test_a_model_of_integer_kernels_passes() -> None:
    assert without_integer_form(cnn(), "m") is None
    assert without_integer_form(chain(("RELU", "first/Relu"), ("TANH", "second/Tanh")), "m") is None


def test_each_kind_is_named_once_with_its_layers() -> None:
    model = chain(
        ("RELU", "a/Relu"),
        ("SEGMENT_SUM", "b/Round"),
        ("SEGMENT_SUM", "b/Round_1"),
        ("SEGMENT_SUM", "c/Round"),
        ("MATRIX_DIAG", "d"),
    )
    said = without_integer_form(model, "m")
    assert said is not None
    assert str(said).endswith(": SEGMENT_SUM in 'b', 'c'; MATRIX_DIAG in 'd'")
    assert said.exit_code == 4
    assert "end the model ahead of it" in str(said.hint)


def test_a_mask_leads_to_the_layer_that_makes_it() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(f32(1, 4, name="x"))
    mask = g.tensor(Spec((1, 4), "bool", name="masking/NotEqual"))
    g.operator("NOT_EQUAL", [x, g.tensor(constant([0.0], "float32"))], [mask])
    y = g.tensor(f32(1, 4, name="gru/SelectV2"))
    g.operator("SELECT_V2", [mask, x, g.tensor(constant([[0.0, 1, 2, 3]], "float32"))], [y])
    g.output(y)
    said = without_integer_form(builder.pack(), "m")
    assert said is not None
    assert "NOT_EQUAL in 'masking'" in str(said)
    assert "Masking" in str(said.hint)


def test_steps_on_an_input_alone_may_leave_the_model() -> None:
    assert without_integer_form(chain(("DIV", "normalization/truediv"), ("RELU", "a/Relu")), "m") is None
    said = without_integer_form(chain(("DIV", "normalization/truediv"), ("SEGMENT_SUM", "a/Round")), "m")
    assert said is not None
    assert "SEGMENT_SUM in 'a'" in str(said)


def _build(folder: Path, *targets: str, all_or_nothing: bool = False) -> BuildResult:
    """Build a network that normalises within: what a RELU gives is divided by its own sum."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(f32(1, 4, name="x"))
    raised, total, share = (
        g.tensor(f32(1, n, name=f"norm/{op}")) for n, op in ((4, "Exp"), (1, "Sum"), (4, "Div"))
    )
    g.operator("EXP", [x], [raised])
    g.operator("SUM", [raised, g.tensor(constant([1], "int32"))], [total], {"keep_dims": True})
    g.operator("DIV", [raised, total], [share])
    g.output(share)
    (folder / "m.tflite").write_bytes(builder.pack())
    np.savez(folder / "d.npz", x=np.random.default_rng(0).normal(0, 1, (60, 4)).astype(np.float32))
    request = BuildRequest(
        folder / "m.tflite",
        resolve_all(targets),
        folder / "out",
        folder / "d.npz",
        all_or_nothing=all_or_nothing,
    )
    return build(request, lambda stage, share: None)


def test_what_has_no_integer_form_stays_float_where_a_target_runs_it(tmp_path: Path) -> None:
    result = _build(tmp_path, "rpi", "coral")
    graph = Graph.from_bytes(read_bundle(result.bundles["rpi"]).read("model.tflite"))
    assert {"DIV", "DEQUANTIZE", "QUANTIZE"} <= {op.op for op in graph}
    assert {graph.tensors[t].dtype for t in (*graph.inputs, *graph.outputs)} <= {"int8", "int16"}
    (told,) = [f for f in result.report.findings if f.rule == "stays-float"]
    assert told.severity == "warning"
    assert "DIV in 'norm'" in told.message
    assert list(result.bundles) == ["rpi"]
    assert isinstance(result.failures["coral"], UnsupportedError)
    assert "DIV in 'norm'" in result.failures["coral"].message


def test_a_build_of_all_or_nothing_is_refused_where_one_target_runs_no_floats(tmp_path: Path) -> None:
    for targets, whole in ((("coral",), False), (("rpi", "coral"), True)):
        with pytest.raises(UnsupportedError, match="DIV in 'norm'"):
            _build(tmp_path, *targets, all_or_nothing=whole)
    assert not (tmp_path / "out").exists()


def test_a_division_runs_in_float_on_a_microcontroller(tmp_path: Path) -> None:
    """The only operator there that does, of those without an integer form."""
    result = _build(tmp_path, "mcu", all_or_nothing=True)
    graph = Graph.from_bytes(read_bundle(result.bundles["mcu"]).read("model.tflite"))
    assert [op.op for op in graph].count("DIV") == 1
    assert any(f.rule == "stays-float" for f in result.report.findings)
    assert resolve_all(["mcu"])[0][0].verify(result.bundles["mcu"], None, {}).bit_exact
