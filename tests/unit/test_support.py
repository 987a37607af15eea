"""Operators without an integer form are named with their layers before anything is calibrated."""

from __future__ import annotations

import pytest
from quantize_models import cnn

from qedge.errors import UnsupportedError
from qedge.quantize.support import require_integer_forms
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
    require_integer_forms(cnn(), "m")
    require_integer_forms(chain(("RELU", "first/Relu"), ("TANH", "second/Tanh")), "m")


def test_each_kind_is_named_once_with_its_layers() -> None:
    model = chain(
        ("RELU", "a/Relu"),
        ("SEGMENT_SUM", "b/Round"),
        ("SEGMENT_SUM", "b/Round_1"),
        ("SEGMENT_SUM", "c/Round"),
        ("MATRIX_DIAG", "d"),
    )
    with pytest.raises(
        UnsupportedError, match=r"^m has .*: SEGMENT_SUM in 'b', 'c'; MATRIX_DIAG in 'd'$"
    ) as caught:
        require_integer_forms(model, "m")
    assert caught.value.exit_code == 4
    assert "end the model ahead of it" in str(caught.value.hint)


def test_a_mask_leads_to_the_layer_that_makes_it() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(f32(1, 4, name="x"))
    mask = g.tensor(Spec((1, 4), "bool", name="masking/NotEqual"))
    g.operator("NOT_EQUAL", [x, g.tensor(constant([0.0], "float32"))], [mask])
    y = g.tensor(f32(1, 4, name="gru/SelectV2"))
    g.operator("SELECT_V2", [mask, x, g.tensor(constant([[0.0, 1, 2, 3]], "float32"))], [y])
    g.output(y)
    with pytest.raises(UnsupportedError, match=r"NOT_EQUAL in 'masking'") as caught:
        require_integer_forms(builder.pack(), "m")
    assert "Masking" in str(caught.value.hint)


def test_steps_on_an_input_alone_may_leave_the_model() -> None:
    require_integer_forms(chain(("DIV", "normalization/truediv"), ("RELU", "a/Relu")), "m")
    with pytest.raises(UnsupportedError, match="SEGMENT_SUM in 'a'"):
        require_integer_forms(chain(("DIV", "normalization/truediv"), ("SEGMENT_SUM", "a/Round")), "m")
