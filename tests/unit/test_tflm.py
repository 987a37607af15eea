"""The tflite-micro oracle: outputs, inner tensors, state, refusals and crashes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from qedge.errors import ModelError, ToolError
from qedge.oracle import tflm
from qedge.quantmath import multiply_double, quantize_multiplier
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op

needs_wheel = pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")


def _two_layers() -> bytes:
    builder = ModelBuilder()
    graph = builder.subgraph()
    x = graph.input(Spec((1, 4), scale=0.5))
    weights = graph.tensor(constant(np.eye(4) * 127, "int8", 1 / 127))
    inner = graph.tensor(Spec((1, 4), scale=0.75, zero_point=-3))
    y = graph.tensor(Spec((1, 4), scale=0.75, zero_point=-3))
    graph.operator("FULLY_CONNECTED", [x, weights, -1], [inner])
    graph.operator("RELU", [inner], [y])
    graph.output(y)
    return builder.pack()


@needs_wheel
def test_outputs_and_inner_tensors_follow_the_arithmetic() -> None:
    x = np.array([[-128, -5, 3, 127]], np.int8)
    first, second = tflm.run(_two_layers(), [[x], [x // 2]], inner=True)
    multiplier, shift = quantize_multiplier(float(np.float32(0.5)) * float(np.float32(1 / 127)) / 0.75)
    inner = np.clip(multiply_double(x.astype(np.int32) * 127, multiplier, shift) - 3, -128, 127)
    assert first.tensors[2].tolist() == inner.tolist()
    assert first.outputs[0].tolist() == np.maximum(inner, -3).tolist()
    assert first.tensors[3].tolist() == first.outputs[0].tolist()
    assert second.outputs[0].tolist() != first.outputs[0].tolist()
    (plain,) = tflm.run(_two_layers(), [[x]])
    assert plain.outputs[0].tolist() == first.outputs[0].tolist()
    assert plain.tensors == {}


@needs_wheel
def test_a_refused_model_gives_its_reason_and_spares_the_others() -> None:
    wrong = single_op("RELU", [Spec((1, 4), "bool")], [Spec((1, 4), scale=1.0)])
    x = np.zeros((1, 4), np.int8)
    refused, fine = tflm.run_many([tflm.Job(wrong, [[x > 0]]), tflm.Job(_two_layers(), [[x]])])
    assert isinstance(refused, ModelError)
    assert "RELU" in str(refused)
    assert not isinstance(fine, ModelError)
    with pytest.raises(ModelError, match="refuses"):
        tflm.run(wrong, [[x > 0]])


@needs_wheel
def test_an_arena_that_is_too_small_is_refused() -> None:
    with pytest.raises(ModelError, match="allocate"):
        tflm.run(_two_layers(), [[np.zeros((1, 4), np.int8)]], arena_bytes=1024)


@needs_wheel
def test_a_crash_is_the_error_of_its_model_alone() -> None:
    x = [[np.zeros((1, 4), np.int8)]]
    before, crashed, after = tflm.run_many(
        [tflm.Job(_two_layers(), x), tflm.Job(_two_layers(), x, arena_bytes=256), tflm.Job(_two_layers(), x)]
    )
    assert isinstance(crashed, ModelError)
    assert "status" in str(crashed)
    assert not isinstance(before, ModelError)
    assert not isinstance(after, ModelError)
    assert before[0].outputs[0].tolist() == after[0].outputs[0].tolist()


@needs_wheel
def test_the_version_is_known() -> None:
    found = tflm.version()
    assert found is not None
    assert found.startswith("0.")


def test_a_missing_wheel_is_a_tool_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "tflite_micro" else real(name, *a)
    )
    with pytest.raises(ToolError, match="tflite-micro") as caught:
        tflm.run(_two_layers(), [[np.zeros((1, 4), np.int8)]])
    assert caught.value.hint is not None
    assert "pip install tflite-micro" in caught.value.hint


@needs_wheel
def test_a_model_of_more_tensors_than_the_interpreter_preserves_shows_them_all() -> None:
    builder = ModelBuilder()
    graph = builder.subgraph()
    x = last = graph.input(Spec((1, 4), scale=0.5))
    made = []
    for k in range(1100):
        made.append(graph.tensor(Spec((1, 4), scale=0.5, zero_point=(k + 1) % 2)))
        graph.operator("QUANTIZE", [last], [made[-1]])
        last = made[-1]
    graph.output(last)
    values = np.array([[-100, -5, 3, 100]], np.int8)
    (run,) = tflm.run(builder.pack(), [[values]], inner=True)
    assert x == 0
    assert sorted(run.tensors) == made
    assert all((run.tensors[t] == values + t % 2).all() for t in made)
    assert run.outputs[0].tolist() == values.tolist()
