"""The ONNX front end as a user meets it: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qedge.errors import ModelError, UnsupportedError
from qedge.frontends import load_model
from qedge.frontends.protocol import Refusal
from qedge.graph import Graph
from tests.frontends.onnx_cases import chain, f, i, model_of, one

onnx = pytest.importorskip("onnx", reason="the ONNX front end is not installed")
pytest.importorskip("onnxruntime", reason="the ONNX front end is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

NET = chain(
    "net",
    [("Conv", ["x", "w", "b"], ["a"], {"pads": [1, 1, 1, 1]}), ("Relu", ["a"], ["r"]),
     ("MaxPool", ["r"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Conv", ["p", "v"], ["y"])],
    {"x": (1, 3, 8, 6)}, {"w": f(4, 3, 3, 3), "b": f(4), "v": f(5, 4, 1, 1)},
)  # fmt: skip


def _value(name: str, shape: Sequence[Any] | None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(
    nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[str] = ("y",), constants: Any = None,
    opset: int = 17,
) -> Any:  # fmt: skip
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    ends = [onnx.ValueInfoProto(name=o) for o in outputs]
    graph = helper.make_graph(nodes, "g", inputs, ends, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def _converted(model: Any, shapes: Any = None, values: Any = None) -> Any:
    from qedge.frontends.onnx import convert_proto

    return convert_proto(model, shapes or {}, values or {})


def _ops(data: bytes) -> list[str]:
    return [op.op for op in Graph.from_bytes(data, "converted")]


def test_a_file_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "My Net.onnx"
    path.write_bytes(model_of(NET))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    source = load_model(path, workdir=tmp_path)
    assert (source.origin, source.kind, source.name) == ("onnx", "float", "my_net")
    assert source.sha256 == before == hashlib.sha256(path.read_bytes()).hexdigest()
    graph = Graph.from_bytes(source.data, "net")
    assert graph.input_names == ("x",)
    assert graph.tensors[graph.inputs[0]].shape == (1, 8, 6, 3)
    assert {k: tuple(v) for k, v in source.orders.items()} == {"x": (0, 2, 3, 1), "y": (0, 2, 3, 1)}
    assert any(finding.rule == "compared" for finding in source.findings)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["My Net.onnx"]


def test_no_framework_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_of(NET))
    script = (
        "import sys, pathlib; from qedge.frontends.onnx import convert; convert(pathlib.Path(sys.argv[1]));"
        "import json; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"tensorflow", "torch", "jax", "keras", "tf_keras", "onnxscript"}
    assert {"onnx", "onnxruntime"} <= loaded


def test_nodes_without_a_form_are_all_named(tmp_path: Path) -> None:
    model = _model(
        [helper.make_node("NonZero", ["c"], ["n"]), helper.make_node("Relu", ["x"], ["r"]),
         helper.make_node("Det", ["r"], ["d"], name="the_det"),
         helper.make_node("Bernoulli", ["d"], ["e"], name="dice"),
         helper.make_node("Add", ["d", "e"], ["y"])],
        [_value("x", [1, 3, 3])], constants={"c": np.ones(2, np.float32)},
    )  # fmt: skip
    path = tmp_path / "odd.onnx"
    onnx.save(model, path)
    with pytest.raises(UnsupportedError, match="2 nodes have no form in TFLite") as caught:
        load_model(path, workdir=tmp_path)
    assert "Det 'the_det'" in caught.value.message
    assert "Bernoulli 'dice'" in caught.value.message
    assert [finding.op for finding in caught.value.findings] == ["Det 'the_det'", "Bernoulli 'dice'"]


@pytest.mark.parametrize("op", ["NonZero", "NonMaxSuppression"])
def test_shapes_that_depend_on_data_are_refused(op: str) -> None:
    nodes = [helper.make_node(op, ["x"] if op == "NonZero" else ["x", "s"], ["y"], name="here")]
    inputs = [_value("x", [1, 4, 4]), *([] if op == "NonZero" else [_value("s", [1, 2, 4])])]
    with pytest.raises(Refusal, match=f"{op} 'here'.*depends on the data"):
        _converted(_model(nodes, inputs))


def test_operators_that_a_family_is_built_on_lead_out_of_it() -> None:
    constants = {"grid": np.zeros((1, 2, 2, 2), np.float32)}
    nodes = [helper.make_node("GridSample", ["x", "grid"], ["y"])]
    with pytest.raises(Refusal, match="no form in TFLite: GridSample") as told:
        _converted(_model(nodes, [_value("x", (1, 3, 8, 6))], constants=constants))
    assert "deformable attention" in str(told.value.hint)


def test_what_is_no_operator_of_onnx_is_named_with_its_node() -> None:
    nodes = [
        helper.make_node("Fancy", ["x"], ["a"], "first", domain="my.ops"),
        helper.make_node("Relux", ["a"], ["y"], "second"),
    ]
    with pytest.raises(Refusal, match="2 nodes have no form in TFLite") as caught:
        _converted(_model(nodes, [_value("x", (1, 3))]))
    assert "my.ops.Fancy 'first': an operator of 'my.ops'" in caught.value.message
    assert "Relux 'second': no operator of ONNX's opset 17" in caught.value.message


def test_a_sequence_is_refused_with_the_node_that_gives_it() -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["s"], "cut", axis=1),
        helper.make_node("SequenceAt", ["s", "k"], ["y"], "take"),
    ]
    with pytest.raises(Refusal, match="SplitToSequence 'cut': what it gives, 's', is no tensor"):
        _converted(_model(nodes, [_value("x", (1, 4, 3))], constants={"k": np.int64(1)}))


def test_dynamic_dimensions_are_asked_for() -> None:
    weights = f(4, 3, 3, 3)

    def net() -> Any:
        nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
        return _model(nodes, [_value("x", ["N", 3, "height", "width"])], constants={"w": weights})

    with pytest.raises(Refusal, match="x has 1, 3, height, width") as caught:
        _converted(net())
    assert caught.value.hint == (
        "state the shape: --input-shape x=1,3,?,? with numbers for the question marks"
    )
    made = _converted(net(), {"x": [1, 3, 8, 9]})
    assert Graph.from_bytes(made.data, "net").tensors[0].shape == (1, 8, 9, 3)
    assert _converted(net(), {"": [1, 3, 8, 9]}).data == made.data
    with pytest.raises(Refusal, match="no input 'z'"):
        _converted(net(), {"z": [1, 3, 8, 9]})
    with pytest.raises(Refusal, match="does not fit"):
        _converted(net(), {"x": [1, 4, 8, 9]})


def _branches(condition: Any) -> Any:
    """A model whose If reads a value that only its branches use."""
    then = helper.make_graph([helper.make_node("Add", ["h", "one"], ["t"])], "t", [], [_value("t", None)])
    other = helper.make_graph([helper.make_node("Mul", ["h", "h"], ["e"])], "e", [], [_value("e", None)])
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        *condition,
        helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other, name="choice"),
    ]
    inputs = [_value("x", [1, 4]), _value("sr", [], TensorProto.INT64)]
    return _model(nodes, inputs, constants={"one": np.float32(1), "rate": np.array(16000)})


def test_an_input_fixed_to_a_value_chooses_the_branch() -> None:
    def net() -> Any:
        return _branches([helper.make_node("Equal", ["sr", "rate"], ["c"])])

    made = _converted(net(), values={"sr": [16000]})
    assert list(made.inputs) == ["x"]
    assert _ops(made.data) == ["RELU", "ADD"]
    assert _ops(_converted(net(), values={"sr": [8000]}).data) == ["RELU", "MUL"]
    with pytest.raises(Refusal, match="no input 'rate'"):
        _converted(net(), values={"rate": [1]})


def test_a_branch_that_data_choose_becomes_a_choice_of_values() -> None:
    made = _converted(
        _branches([helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
                   helper.make_node("Greater", ["m", "one"], ["c"])])
    )  # fmt: skip
    assert "SELECT_V2" in _ops(made.data)


@pytest.mark.parametrize("opset", [11, 17])
def test_a_loop_of_known_length_is_written_out(opset: int) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["s", "step"], ["s2"]),
         helper.make_node("Mul", ["s2", "s2"], ["out"])],
        "body", [_value("k", [], TensorProto.INT64), _value("go", [], TensorProto.BOOL), _value("s", None)],
        [_value("on", [], TensorProto.BOOL), _value("s2", None), _value("out", None)],
    )  # fmt: skip
    nodes = [helper.make_node("Loop", ["n", "", "x"], ["last", "y"], body=body)]
    model = _model(nodes, [_value("x", [1, 3])], ["last", "y"], {"n": np.array(3), "step": f(1, 3)}, opset)
    made = _converted(model)
    assert list(made.outputs) == ["last", "y"]
    assert _ops(made.data).count("ADD") == 3


def test_a_scan_is_written_out() -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "v"], ["s2"]), helper.make_node("Identity", ["s2"], ["o"])],
        "body", [_value("s", None), _value("v", None)], [_value("s2", None), _value("o", None)],
    )  # fmt: skip
    nodes = [helper.make_node("Scan", ["h", "x"], ["last", "y"], body=body, num_scan_inputs=1)]
    made = _converted(
        _model(nodes, [_value("x", [4, 2, 3])], ["last", "y"], {"h": np.zeros((2, 3), np.float32)})
    )
    assert _ops(made.data).count("ADD") == 4


def test_local_functions_are_inlined() -> None:
    function = helper.make_function(
        "own",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    graph = helper.make_graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="own")],
        "g",
        [_value("x", [1, 3])],
        [_value("y", None)],
    )
    model = helper.make_model(
        graph, functions=[function], opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        ir_version=9,
    )  # fmt: skip
    assert _through_file(model) == ["ADD"]


def _through_file(model: Any) -> list[str]:
    import tempfile

    from qedge.frontends.onnx import convert

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(model.SerializeToString())
        return _ops(convert(path).data)


def test_half_precision_becomes_float32() -> None:
    weights = f(4, 3, 3, 3).astype(np.float16)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Cast", ["a"], ["y"], to=TensorProto.FLOAT16),
    ]
    model = _model(nodes, [_value("x", [1, 3, 6, 6], TensorProto.FLOAT16)], constants={"w": weights})
    assert _through_file(model) == ["CONV_2D"]


def test_a_quantised_file_is_named_as_that(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="q0"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    path = tmp_path / "q.onnx"
    onnx.save(_model(nodes, [_value("x", [1, 3])]), path)
    with pytest.raises(ModelError, match="quantised already: 1 nodes DynamicQuantizeLinear, the first 'q0'"):
        load_model(path, workdir=tmp_path)


def _external(folder: Path, location: str, **fields: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    weights = f(4, 3, 3, 3)
    model = _model(
        [helper.make_node("Conv", ["x", "w"], ["y"])], [_value("x", [1, 3, 6, 6])], constants={"w": weights}
    )
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **fields}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    (folder / "net.data").write_bytes(b"\0" * 16 + weights.tobytes())
    (folder.parent / "outside.data").write_bytes(weights.tobytes())
    return path


def test_external_data_are_read_from_the_models_folder(tmp_path: Path) -> None:
    from qedge.frontends.onnx import convert

    assert _ops(convert(_external(tmp_path / "m", "net.data", offset=16, length=432)).data) == ["CONV_2D"]


@pytest.mark.parametrize(
    ("location", "fields", "said"),
    [
        ("../outside.data", {}, "folder"),
        ("/etc/passwd", {}, "folder"),
        ("link.data", {}, "folder"),
        ("gone.data", {}, "not there"),
        ("net.data", {"offset": 400}, "432"),
        ("net.data", {"length": 1 << 40}, "432"),
        ("net.data", {"offset": -4}, "432"),
    ],
)
def test_external_data_elsewhere_or_of_another_size_are_refused(
    tmp_path: Path, location: str, fields: dict[str, int], said: str
) -> None:
    from qedge.frontends.onnx import convert

    path = _external(tmp_path / "m", location, **fields)
    (path.parent / "link.data").symlink_to(tmp_path / "outside.data")
    with pytest.raises((Refusal, ModelError), match=said):
        convert(path)


def _in_a_function(folder: Path, location: str) -> Path:
    """A model whose weights lie in a local function, outside the file."""
    model = onnx.load(_external(folder, location), load_external_data=False)
    opset = helper.make_opsetid("", 17)
    body = [
        helper.make_node("Constant", [], ["w"], value=model.graph.initializer[0]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    function = helper.make_function("local", "Layer", ["x"], ["y"], body, [opset])
    graph = helper.make_graph(
        [helper.make_node("Layer", ["x"], ["y"], domain="local")], "g", model.graph.input, model.graph.output
    )
    made = helper.make_model(
        graph, functions=[function], opset_imports=[opset, helper.make_opsetid("local", 1)], ir_version=9
    )
    path = folder / "function.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_external_data_of_a_function_lie_in_the_models_folder_too(tmp_path: Path, monkeypatch) -> None:
    from qedge.frontends.onnx import convert

    monkeypatch.chdir(tmp_path)  # a file of that name where qedge runs is not the model's
    for location, said in (("../outside.data", "own folder"), ("outside.data", "not there")):
        with pytest.raises((Refusal, ModelError), match=said):
            convert(_in_a_function(tmp_path / "m", location))
    (tmp_path / "m" / "outside.data").write_bytes((tmp_path / "outside.data").read_bytes())
    assert _ops(convert(_in_a_function(tmp_path / "m", "outside.data")).data) == ["CONV_2D"]


def test_sparse_tensors_are_named_as_that() -> None:
    sparse = onnx.SparseTensorProto(dims=[1 << 36])
    sparse.values.CopyFrom(numpy_helper.from_array(f(1), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(i(0), "at"))
    stored = _model([helper.make_node("Mul", ["x", "w"], ["y"])], [_value("x", [1, 4])])
    constant = helper.make_node("Constant", [], ["w"], sparse_value=sparse)
    attribute = _model([constant, *stored.graph.node], [_value("x", [1, 4])])
    stored.graph.sparse_initializer.append(sparse)
    from qedge.frontends.onnx.reading import proto_of

    for model in (stored, attribute):
        with pytest.raises(Refusal, match="stores 'w' as a sparse tensor"):
            proto_of(model.SerializeToString())


def test_sizes_are_checked_before_anything_is_allocated() -> None:
    huge = helper.make_node("ConstantOfShape", ["n"], ["c"])
    model = _model(
        [huge, helper.make_node("Add", ["x", "c"], ["y"])], [_value("x", [1])], constants={"n": i(1 << 40)}
    )
    with pytest.raises(Refusal, match="expected at most"):
        _converted(model)
    with pytest.raises(Refusal, match="expected at most"):
        _converted(_model([helper.make_node("Relu", ["x"], ["y"])], [_value("x", [1, 1 << 40])]))


def test_a_wrong_conversion_is_refused_and_the_first_wrong_value_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qedge.frontends.onnx import ops
    from qedge.frontends.onnx.lower import Lowering
    from qedge.frontends.onnx.net import Node

    def wrong(g: Lowering, node: Node) -> None:
        g.unary(node, "TANH")

    monkeypatch.setitem(ops.table(), "Sigmoid", wrong)
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Sigmoid", ["a"], ["s"], name="gate"),
             helper.make_node("Neg", ["s"], ["y"])]  # fmt: skip
    with pytest.raises(Refusal, match="first value that differs is 's', which Sigmoid 'gate' writes"):
        _converted(_model(nodes, [_value("x", [1, 5])]))


def test_small_scores_beside_large_coordinates_are_compared() -> None:
    from qedge.frontends.onnx.prove import agrees

    theirs = np.concatenate([np.full((1, 4, 9), 300.0), np.full((1, 2, 9), 0.2)], 1).astype(np.float32)
    ours = theirs.copy()
    assert agrees(ours, theirs)
    ours[:, 4:] += 0.02
    assert not agrees(ours, theirs)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(model_of(NET)[:200])
    with pytest.raises(ModelError, match="damaged"):
        load_model(path, workdir=tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="empty"):
        load_model(path, workdir=tmp_path)


def test_a_model_is_told_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(model_of(one("Relu", (1, 3))))
    assert load_model(path, workdir=tmp_path).origin == "onnx"


def test_state_goes_in_and_out() -> None:
    nodes = [helper.make_node("LSTM", ["x", "w", "r", "", "", "h", "c"], ["", "hn", "cn"], hidden_size=3)]
    inputs = [_value("x", ["time", "batch", 4]), _value("h", [1, "batch", 3]), _value("c", [1, "batch", 3])]
    made = _converted(
        _model(nodes, inputs, ["hn", "cn"], {"w": f(1, 12, 4), "r": f(1, 12, 3)}), {"x": [2, 1, 4]}
    )
    assert (list(made.inputs), list(made.outputs)) == (["x", "h", "c"], ["hn", "cn"])


def test_only_what_says_batch_becomes_one() -> None:
    add = [helper.make_node("Add", ["x", "x"], ["y"])]
    for dims, missing in (
        (["N", "C"], "1, C"),  # N in front is the batch; what comes behind is not known
        (["batch", "N"], "1, N"),
        (["unk__1", "unk__2", 4], "1, unk__2, 4"),
        (["time", "batch", 4], "time, 1, 4"),
    ):
        with pytest.raises(Refusal, match=f"x has {missing}"):
            _converted(_model(add, [_value("x", dims)]))
    for dims in (["N", 4], ["unk__7", 4], ["rows", 4], [None, 4], [3, "batch_size"]):
        made = _converted(_model(add, [_value("x", dims)]))
        assert set(Graph.from_bytes(made.data).tensors[0].shape) <= {1, 3, 4}


def test_the_size_that_an_exporter_noted_fills_the_shape() -> None:
    relu = [helper.make_node("Relu", ["images"], ["y"])]
    models = [_model(relu, [_value("images", ["batch", 3, "height", "width"])]) for _ in range(2)]
    with pytest.raises(Refusal, match="images has 1, 3, height, width"):
        _converted(models[0])
    helper.set_model_props(models[1], {"task": "detect", "names": "{0: 'cat'}", "imgsz": "[64, 96]"})
    graph = Graph.from_bytes(_converted(models[1]).data)
    assert sorted(graph.tensors[graph.inputs[0]].shape) == [1, 3, 64, 96]


def _choosing(factor: float) -> Any:
    """A model that gives the rows of a table whose scores, its input, are the highest."""
    nodes = [
        helper.make_node("TopK", ["x", "k"], ["v", "i"]),
        helper.make_node("Gather", ["table", "i"], ["rows"]),
        helper.make_node("Mul", ["rows", "factor"], ["y"]),
    ]
    table = np.random.default_rng(3).random((40, 4)).astype(np.float32)
    constants = {"k": i(40), "table": table, "factor": np.float32([factor])}
    return _converted(_model(nodes, [_value("x", [1, 40])], constants=constants))


def test_rows_that_change_places_hide_no_fault() -> None:
    equal = [{"x": np.ones((1, 40), np.float32)}]  # the last digits decide which row comes first
    made = _choosing(1.0)
    assert made.prover.compare(equal, "equal scores").samples == 1
    made.prover.data = _choosing(1.01).data
    with pytest.raises(Refusal, match="differs from onnxruntime on equal scores: output 'y'"):
        made.prover.compare(equal, "equal scores")


def test_rows_that_a_model_chose_may_change_places() -> None:
    from qedge.frontends.onnx.prove import same_rows

    rng = np.random.default_rng(3)
    rows = rng.random((1, 300, 6)).astype(np.float32) * (320, 320, 320, 320, 1, 79)
    turned = rows[:, rng.permutation(300)] * (1 + 2e-5 * rng.standard_normal((1, 300, 6)))
    assert same_rows(turned.astype(np.float32), rows.astype(np.float32))
    for lost, fine in ((slice(-3, None), True), (slice(None, 6), True), (slice(None, 7), False)):
        for value in (0.0, np.nan):
            others = turned.copy()
            others[:, lost] = value
            assert same_rows(others.astype(np.float32), turned.astype(np.float32)) == fine
    assert not same_rows((turned * 1.001).astype(np.float32), rows.astype(np.float32))
    shifted = rows + np.array([20, 0, 0, 0, 0, 0])
    assert not same_rows(shifted.astype(np.float32), rows.astype(np.float32))
    assert not same_rows(rows[0, 0], rows[0, 0])
    assert not same_rows(np.zeros((1, 5000, 6), np.float32), np.zeros((1, 5000, 6), np.float32))


def test_of_equal_scores_any_may_be_chosen() -> None:
    from qedge.frontends.onnx.prove import same_rows

    rng = np.random.default_rng(5)
    rows = np.concatenate(
        [rng.random((1, 300, 4)) * 320, np.ones((1, 300, 1)), rng.integers(1, 9, (1, 300, 1))], 2
    )
    others = rows.copy()
    others[:, 260:, :4] = rng.random((1, 40, 4)) * 320  # as many others with the same score
    for last, fine in ((1.0, True), (0.9, False)):
        others[:, 260:, 4] = last
        assert same_rows(others.astype(np.float32), rows.astype(np.float32)) == fine
    others[..., 4] = 1
    others[:, 100:, :4] += 5  # most are others: no proof of anything
    assert not same_rows(others.astype(np.float32), rows.astype(np.float32))
    zeros = rows.copy()
    zeros[..., 4:] = np.linspace(1, 0.5, 300)[:, None] * (1, 0)  # one class, number 0
    moved = zeros.copy()
    moved[:, 260:, :4] += 5
    assert not same_rows(moved.astype(np.float32), zeros.astype(np.float32))


def test_nodes_in_any_order_are_taken(tmp_path: Path) -> None:
    """Converters to half precision put the casts of inputs and constants at the end; onnxruntime takes such files."""
    from qedge.frontends.onnx.reading import proto_of

    model = onnx.load_model_from_string(model_of(NET))
    plain = proto_of(model.SerializeToString())
    for order in ([3, 1, 0, 2], [2, 3, 0, 1], [3, 2, 1, 0]):
        turned = onnx.ModelProto.FromString(model.SerializeToString())
        nodes = [turned.graph.node[k] for k in order]
        copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
        del turned.graph.node[:]
        turned.graph.node.extend(copies)
        read = proto_of(turned.SerializeToString())
        assert [n.output[0] for n in read.graph.node] == ["a", "r", "p", "y"]
        assert read.graph.SerializeToString() == plain.graph.SerializeToString()
    path = tmp_path / "turned.onnx"
    path.write_bytes(turned.SerializeToString())
    assert _ops(load_model(path, workdir=tmp_path).data)
    circle = onnx.ModelProto.FromString(model.SerializeToString())
    circle.graph.node[0].input[0] = "y"
    path.write_bytes(circle.SerializeToString())
    with pytest.raises(ModelError):
        load_model(path, workdir=tmp_path)


@pytest.mark.parametrize("batched", [True, False])
def test_an_image_that_is_taken_out_of_its_batch_is_still_fed_as_people_have_it(batched: bool) -> None:
    """torchvision's detectors normalise and resize each image by itself, and put a batch together again."""
    steps = [
        ("Split", ["x"], ["s"], {"axis": 0}), ("Squeeze", ["s", "zero"], ["u"], {}), ("Sub", ["u", "mean"], ["m"], {}),
        ("Unsqueeze", ["m", "zero"], ["k"], {}), ("Conv", ["k", "w"], ["y"], {}),
    ]  # fmt: skip
    if batched:
        steps[0:2] = [("Gather", ["x", "none"], ["u"], {"axis": 0})]
    constants = {
        "mean": f(3, 1, 1), "w": f(4, 3, 1, 1), "zero": np.array([0], np.int64), "none": np.array(0, np.int64),
    }  # fmt: skip
    nodes = [helper.make_node(op, inputs, outputs, **fields) for op, inputs, outputs, fields in steps]
    made = _converted(_model(nodes, [_value("x", (1, 3, 8, 6))], constants=constants))
    graph = Graph.from_bytes(made.data)
    assert [graph.tensors[t].shape for t in graph.inputs] == [(1, 8, 6, 3)]
    assert made.error < 1e-5
    assert "TRANSPOSE" not in {op.op for op in graph}
