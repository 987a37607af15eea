"""The graph editor: what it adds, replaces and sweeps, seen through the reader and the interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from quantize_models import cnn

from qedge.graph import Graph, schema
from qedge.graph.edit import Editor, affine


def run(data: bytes, *inputs: np.ndarray) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def scaled() -> Editor:
    """A new model: ``y = relu(x * 2)``, with a constant that nothing reads."""
    editor = Editor.empty("test")
    x = editor.tensor("x", (1, 3), "float32")
    y, z = editor.tensor("y", (1, 3), "float32"), editor.tensor("z", (1, 3), "float32")
    editor.constant(np.zeros(7, np.int8), "nobody")
    two = editor.constant(np.float32(2))
    editor.append(editor.operator("MUL", [x, two], [y], {"fused_activation_function": "RELU"}))
    editor.append(editor.operator("ABS", [y], [z]))
    editor.inputs, editor.outputs = [x], [z]
    editor.sign([("input", x)], [("result", z)])
    return editor


def test_a_model_written_anew_is_read_and_run() -> None:
    data = scaled().pack()
    graph = Graph.from_bytes(data)
    assert (graph.input_names, graph.output_names) == (("input",), ("result",))
    assert [op.op for op in graph] == ["MUL", "ABS"]
    assert graph.operators[0].options["fused_activation_function"] == "RELU"
    (found,) = run(data, np.array([[-1, 2, 3]], np.float32))
    np.testing.assert_array_equal(found, [[0, 4, 6]])


def test_a_replaced_operator_computes_in_its_place_and_the_rest_is_swept() -> None:
    editor = scaled()
    middle = editor.tensor_like(1, "middle")
    minus = editor.constant(np.float32(-1))
    old = editor.operators[0]
    new = [
        editor.operator("MUL", [0, minus], [middle]),
        editor.operator("SQUARE", [middle], [1]),
    ]
    editor.replace([old], new)
    assert not editor.holds([old])
    assert editor.holds(new)
    before = len(editor.tensors)
    editor.sweep()
    assert len(editor.tensors) == before - 2  # "nobody", and the factor 2
    assert [editor.op(node) for node in editor.operators] == ["MUL", "SQUARE", "ABS"]
    (found,) = run(editor.pack(), np.array([[-1, 2, 3]], np.float32))
    np.testing.assert_array_equal(found, [[1, 4, 9]])


def test_several_operators_become_one_where_the_last_stood() -> None:
    editor = scaled()
    first, second = editor.operators
    editor.replace([first, second], [editor.operator("NEG", [0], [2])])
    editor.sweep()
    (found,) = run(editor.pack(), np.array([[-1, 2, 3]], np.float32))
    np.testing.assert_array_equal(found, [[1, -2, -3]])
    assert len(editor.model.operatorCodes) == 1


def test_removed_operators_and_redirected_readers() -> None:
    editor = scaled()
    editor.remove(editor.operators[:1])
    editor.redirect({1: 0})
    editor.sweep()
    (found,) = run(editor.pack(), np.array([[-1, 2, 3]], np.float32))
    np.testing.assert_array_equal(found, [[1, 2, 3]])


def test_sweeping_changes_no_result_and_shares_equal_constants() -> None:
    data = cnn()
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    editor = Editor.from_bytes(data)
    ends = [editor.outputs[0]]
    for name in ("first", "second"):
        ends.append(editor.tensor_like(ends[0], name))
        editor.append(editor.operator("ADD", [ends[-2], editor.constant(np.float32(0))], [ends[-1]]))
    editor.outputs = ends[-1:]
    editor.sign([], [])
    editor.sweep()
    apart = len(editor.model.buffers)
    editor.sweep(share=True)
    assert len(editor.model.buffers) < apart
    np.testing.assert_array_equal(run(editor.pack(), x)[0], run(data, x)[0])


def test_a_set_constant_leaves_those_that_shared_its_buffer() -> None:
    editor = Editor.empty("test")
    first, second = editor.constant(np.arange(4)), editor.constant(np.arange(4))
    editor.tensors[second].buffer = editor.tensors[first].buffer
    editor.set_constant(second, np.ones((2, 2), np.int64))
    assert np.frombuffer(editor.raw(first) or b"", np.int64).tolist() == [0, 1, 2, 3]
    assert (editor.shape(second), editor.dtype(second)) == ((2, 2), "int64")


def test_a_part_runs_alone_and_leaves_the_whole_as_it_was() -> None:
    data = cnn()
    editor, graph = Editor.from_bytes(data), Graph.from_bytes(data)
    before = editor.pack()
    op = next(op for op in graph if op.op == "DEPTHWISE_CONV_2D")
    part = editor.part([editor.node(op.index)], [op.inputs[0]], op.outputs)
    assert editor.pack() == before
    found = Graph.from_bytes(part.pack())
    assert [o.op for o in found] == ["DEPTHWISE_CONV_2D"]
    shape = graph.tensors[op.inputs[0]].shape
    assert run(part.pack(), np.zeros(shape, np.float32))[0].shape == graph.tensors[op.outputs[0]].shape


def test_custom_operators_are_told_apart_by_name() -> None:
    editor = Editor.empty("test")
    t = editor.tensor("t", (1,), "float32")
    for name in ("Mine", "Yours", "Mine"):
        editor.append(editor.operator("CUSTOM", [t], [t], custom=name, custom_options=b"\x01"))
    editor.inputs = editor.outputs = [t]
    graph = Graph.from_bytes(editor.pack())
    assert [op.custom_name for op in graph] == ["Mine", "Yours", "Mine"]
    assert len(editor.model.operatorCodes) == 2
    assert graph.operators[0].custom_options == b"\x01"


def test_a_code_is_found_where_it_is_there() -> None:
    editor = Editor.empty("test")
    assert [editor.opcode("CONV_2D"), editor.opcode("CONV_2D", 3), editor.opcode("CONV_2D")] == [0, 1, 0]
    assert editor.opcode("GELU") == 2
    assert editor.model.operatorCodes[2].builtinCode == schema.generated().BuiltinOperator.GELU > 127
    assert editor.model.operatorCodes[2].deprecatedBuiltinCode == 127


def test_quantised_constants_keep_scale_and_axis() -> None:
    editor = Editor.empty("test")
    w = editor.constant(np.ones((2, 3), np.int8), "w", quantization=affine([0.5, 0.25, 1], axis=1))
    editor.append(editor.operator("ABS", [w], [editor.tensor("y", (2, 3), "int8")]))
    editor.outputs = [1]
    tensor = Graph.from_bytes(editor.pack()).tensors[w]
    assert tensor.quantization is not None
    assert (tensor.quantization.axis, tensor.quantization.scale.tolist()) == (1, [0.5, 0.25, 1])
    assert tensor.quantization.zero_point.tolist() == [0, 0, 0]


def test_an_option_that_the_operator_does_not_have_is_refused() -> None:
    editor = Editor.empty("test")
    with pytest.raises(ValueError, match="Conv2DOptions has no stride; it has"):
        editor.operator("CONV_2D", [], [], {"stride": 1})
    with pytest.raises(ValueError, match="TANH has no options"):
        editor.operator("TANH", [], [], {"axis": 1})
