"""The graph view on models made here with TensorFlow Lite's own schema."""

from __future__ import annotations

import numpy as np
import pytest

from qedge.errors import ModelError
from qedge.graph import Graph
from qedge.graph.outputs import outputs_of, tensor_named, with_outputs
from qedge.quantize.interpreter import Runner
from qedge.testing.opmodels import ModelBuilder, Spec


@pytest.mark.parametrize("data", [b"", b"TFL3", b"PK\x03\x04" * 8, b"\x00" * 64])
def test_bytes_that_are_no_model_are_refused_with_what_was_found(data: bytes) -> None:
    with pytest.raises(ModelError, match="not a TFLite model") as caught:
        Graph.from_bytes(data, "x.tflite")
    assert caught.value.exit_code == 3
    assert caught.value.hint


def test_a_missing_file_is_a_model_error(tmp_path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        Graph.from_file(tmp_path / "none.tflite")


def test_other_outputs_show_the_same_values_as_the_model_gives() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 3), "float32", name="x"))
    a, b = (g.tensor(Spec((1, 3), "float32", name=n)) for n in "ab")
    g.operator("RELU", [x], [a])
    g.operator("ADD", [a, a], [b], {"fused_activation_function": "NONE"})
    g.output(b)
    data = builder.pack()
    shown = with_outputs(data, [b, tensor_named(data, "a")])
    assert (outputs_of(data), outputs_of(shown)) == ((b,), (b, a))
    sample = [np.array([[-1, 2, 3]], np.float32)]
    np.testing.assert_array_equal(Runner(shown).predict(sample)[0], Runner(data).predict(sample)[0])
    np.testing.assert_array_equal(Runner(shown).predict(sample)[1], [[0, 2, 3]])
    with pytest.raises(KeyError):
        tensor_named(data, "c")
