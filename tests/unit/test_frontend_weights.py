"""Weights in half precision, sparse or as 8-bit codes, and custom operators that TFLite has under another name."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter
from mcu_models import residual_network

from qedge.errors import ModelError
from qedge.frontends.normalize import normalize
from qedge.graph import Graph, schema
from qedge.graph.edit import Editor, affine, pack_int4

RNG = np.random.default_rng(0)


def run(model: bytes, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def weights_of(graph: Graph) -> npt.NDArray[np.generic]:
    data = graph.tensors[graph.operators[0].inputs[1]].data
    assert data is not None
    return data


def dense_layer(weights: npt.NDArray[np.generic], stored: str = "", quantization: object = None) -> Editor:
    """One FULLY_CONNECTED, its weights behind the operator that a file would have between."""
    editor = Editor.empty("test")
    rows, columns = weights.shape
    x = editor.tensor("x", (1, columns), "float32")
    held = editor.constant(weights, "w", quantization=quantization)
    read = held
    if stored:
        read = editor.tensor("w/plain", weights.shape, "float32")
        editor.append(editor.operator(stored, [held], [read]))
    y = editor.tensor("y", (1, rows), "float32")
    bias = editor.constant(RNG.normal(size=rows).astype(np.float32), "b")
    editor.append(editor.operator("FULLY_CONNECTED", [x, read, bias], [y]))
    editor.inputs, editor.outputs = [x], [y]
    editor.sign([("x", x)], [("y", y)])
    return editor


def sparse(editor: Editor, levels: list[tuple[int, list[int], list[int]]], blocks: list[int]) -> None:
    """Say how the first constant is stored: a level is (size, (), ()) or (0, segments, indices)."""
    made = schema.generated()
    tensor = next(t for t in editor.tensors if t.name == "w")
    told = tensor.sparsity = made.SparsityParametersT()
    told.traversalOrder, told.dimMetadata = np.arange(len(levels), dtype=np.int32), []
    told.blockMap = np.asarray(blocks, np.int32) if blocks else None
    for size, segments, indices in levels:
        level = made.DimensionMetadataT()
        level.format, level.denseSize = int(not size), size
        if not size:
            for side, values in (("arraySegments", segments), ("arrayIndices", indices)):
                held = made.Int32VectorT()
                held.values = np.asarray(values, np.int32)
                setattr(level, side, held)
                setattr(level, f"{side}Type", made.SparseIndexVector.Int32Vector)
        told.dimMetadata.append(level)


def store(editor: Editor, values: npt.NDArray[Any]) -> None:
    """Keep only these bytes of the first constant."""
    tensor = next(t for t in editor.tensors if t.name == "w")
    editor.model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)


def assert_equal(editor: Editor, columns: int, rule: str, tolerance: float = 0.0) -> None:
    """The plain model gives what LiteRT gives for the file, and says what the weights were."""
    data = editor.pack()
    found = normalize(data, "m.tflite")
    graph = Graph.from_bytes(found.data)
    assert [op.op for op in graph] == ["FULLY_CONNECTED"]
    assert {t.dtype for t in graph.tensors} == {"float32"}
    assert [f.rule for f in found.findings] == [rule]
    x = RNG.normal(size=(1, columns)).astype(np.float32)
    np.testing.assert_allclose(run(found.data, x), run(data, x), rtol=tolerance, atol=tolerance)


def test_rows_with_some_of_their_values() -> None:
    weights = RNG.normal(size=(4, 6)).astype(np.float32)
    weights[RNG.random((4, 6)) < 0.6] = 0
    editor = dense_layer(weights, "DENSIFY")
    kept = [np.flatnonzero(row) for row in weights]
    segments = np.cumsum([0, *map(len, kept)]).tolist()
    sparse(editor, [(4, [], []), (0, segments, np.concatenate(kept).tolist())], [])
    store(editor, weights[weights != 0])
    assert_equal(editor, 6, "sparse-weights")


def test_blocks_within_rows() -> None:
    blocks = RNG.normal(size=(5, 4)).astype(np.float32)
    weights = np.zeros((4, 12), np.float32)
    places = [(0, 0), (0, 2), (1, 1), (3, 0), (3, 2)]
    for (row, block), values in zip(places, blocks):
        weights[row, 4 * block : 4 * block + 4] = values
    editor = dense_layer(weights, "DENSIFY")
    sparse(editor, [(4, [], []), (0, [0, 2, 3, 3, 5], [b for _, b in places]), (4, [], [])], [1])
    store(editor, blocks)
    assert_equal(editor, 12, "sparse-weights")
    found = Graph.from_bytes(normalize(editor.pack(), "m").data)
    np.testing.assert_array_equal(weights_of(found), weights)


def test_a_level_larger_than_the_tensor_is_damage() -> None:
    editor = dense_layer(np.ones((2, 2), np.float32), "DENSIFY")
    sparse(editor, [(1 << 30, [], []), (2, [], [])], [])
    with pytest.raises(ModelError, match="damaged"):
        normalize(editor.pack(), "m.tflite")


def test_half_precision_behind_dequantize() -> None:
    editor = dense_layer(RNG.normal(size=(3, 5)).astype(np.float16), "DEQUANTIZE")
    assert_equal(editor, 5, "float16-weights")


@pytest.mark.parametrize("channels", [1, 4])
def test_codes_that_the_kernel_reads_itself(channels: int) -> None:
    codes = RNG.integers(-127, 128, (4, 16)).astype(np.int8)
    scale = np.linspace(0.01, 0.03, channels)
    editor = dense_layer(codes, quantization=affine(scale, np.zeros(channels, int)))
    assert_equal(editor, 16, "dynamic-range", 0.05)  # LiteRT gives the input eight bits while it runs
    found = Graph.from_bytes(normalize(editor.pack(), "m").data)
    np.testing.assert_allclose(
        weights_of(found), codes * (scale[:, None] if channels > 1 else scale), rtol=1e-6
    )


def test_codes_of_four_bits() -> None:
    codes = RNG.integers(-7, 8, (3, 5)).astype(np.int8)
    editor = dense_layer(codes, quantization=affine([0.02], [0]))
    store(editor, np.frombuffer(pack_int4(codes), np.uint8))
    (held,) = [k for k, t in enumerate(editor.tensors) if t.name == "w"]
    editor.set_dtype(held, "int4")
    found = normalize(editor.pack(), "m.tflite")
    assert [f.rule for f in found.findings] == ["dynamic-range"]
    np.testing.assert_allclose(weights_of(Graph.from_bytes(found.data)), codes * np.float32(0.02), rtol=1e-6)


def test_codes_behind_dequantize() -> None:
    codes = RNG.integers(-127, 128, (4, 16)).astype(np.int8)
    assert_equal(dense_layer(codes, "DEQUANTIZE", affine([0.02], [3])), 16, "dynamic-range", 1e-6)


def transposed(options: bytes) -> bytes:
    editor = Editor.empty("test")
    x = editor.tensor("x", (1, 4, 4, 3), "float32")
    weights = editor.constant(RNG.normal(size=(2, 2, 2, 3)).astype(np.float32), "w")
    bias = editor.constant(np.array([0.5, -0.5], np.float32), "b")
    y = editor.tensor("mask", (1, 8, 8, 2), "float32")
    custom = "Convolution2DTransposeBias"
    editor.append(editor.operator("CUSTOM", [x, weights, bias], [y], custom=custom, custom_options=options))
    editor.inputs, editor.outputs = [x], [y]
    return editor.pack()


def test_a_transposed_convolution_with_a_bias_under_its_custom_name() -> None:
    data = transposed(struct.pack("<3i", 1, 2, 2))
    graph = Graph.from_bytes(normalize(data, "m.tflite").data)
    (op,) = graph.operators
    assert op.op == "TRANSPOSE_CONV"
    x = RNG.normal(size=(1, 4, 4, 3)).astype(np.float32)
    original = Graph.from_bytes(data)
    weights, bias = (original.tensors[t].data for t in original.operators[0].inputs[1:])
    # Stride and kernel are equal: each place of the input makes its own 2 x 2 of the output.
    expected = np.einsum("hwi,oabi->hawbo", x[0], weights).reshape(8, 8, 2) + bias
    np.testing.assert_allclose(run(graph.data, x)[0], expected, rtol=1e-5, atol=1e-5)


def test_its_options_must_make_sense() -> None:
    for options in (struct.pack("<3i", 7, 2, 2), b"\x01"):
        with pytest.raises(ModelError, match="damaged"):
            normalize(transposed(options), "m.tflite")


def test_a_bias_with_the_axis_of_its_weights() -> None:
    """Older converters wrote so, and LiteRT refuses it: TFLite Micro's person_detect is such a file."""
    plain = residual_network()
    graph, editor = Graph.from_bytes(plain), Editor.from_bytes(plain)
    for op in graph:
        if op.op == "CONV_2D":
            x, weights, bias = (graph.tensors[t] for t in op.inputs)
            scales = x.quantization.scale * weights.quantization.scale
            editor.graph.tensors[bias.index].quantization = affine(scales, np.zeros(len(scales), int), 3)
    old = editor.pack()
    with pytest.raises(ValueError, match="quantized_dimension"):
        Interpreter(model_content=old).allocate_tensors()
    found = normalize(old, "m.tflite")
    x = RNG.integers(-128, 128, (1, 9, 7, 3)).astype(np.int8)
    np.testing.assert_array_equal(run(found.data, x), run(plain, x))
