"""Every kind of model through the front ends, against the outputs of the framework that made it.

All conversions share one child process, because TensorFlow takes seconds to import.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from conversions import Outcome, convert_all

from qedge.errors import ModelError, ToolError, UnsupportedError
from qedge.frontends import load_model
from qedge.frontends.normalize import Normalized
from qedge.graph import Graph
from qedge.graph.layers import layer_of
from qedge.installing import install_command

MAKER = Path(__file__).parent.parent / "frontends" / "make_zoo.py"
SHAPES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "open_shaped": {"any": (1, 6, 5, 3)},
    "open_saved_shaped": {"": (6,)},
    "open_wrong": {"any": (1, 6, 5, 4)},
    "open_two_wrong": {"a": (1, 7, 4), "c": (1, 2)},
    "open_two_shaped": {"a": (1, 7, 4), "b": (1, 5, 6, 3)},
}
MODELS: Mapping[str, tuple[str, str]] = {
    "cnn3": ("cnn3.keras", "keras"),
    "cnn3_h5": ("cnn3.h5", "keras"),
    "exported": ("exported", "savedmodel"),
    "several": ("several.keras", "keras"),
    "lstm": ("lstm.keras", "keras"),
    "gru": ("gru.keras", "keras"),
    "both_ways": ("both_ways.keras", "keras"),
    "simple_rnn": ("simple_rnn.keras", "keras"),
    "nested": ("nested.keras", "keras"),
    "half": ("half.keras", "keras"),
    "embedding": ("embedding.keras", "keras"),
    "open": ("open.keras", "keras"),
    "open_shaped": ("open.keras", "keras"),
    "open_wrong": ("open.keras", "keras"),
    "custom": ("custom.keras", "keras"),
    "lambda": ("lambda.keras", "keras"),
    "stateful": ("stateful.keras", "keras"),
    "text": ("text.keras", "keras"),
    "only_weights": ("only.weights.h5", "keras"),
    "cut": ("cut.h5", "keras"),
    "cnn2": ("cnn2.h5", "keras"),
    "saved2": ("saved2", "savedmodel"),
    "recurrent2": ("recurrent2.h5", "keras"),
    "old": ("old.keras", "keras"),
    "recurrent_saved2": ("recurrent_saved2", "savedmodel"),
    "half2": ("half2.h5", "keras"),
    "two": ("two", "savedmodel"),
    "open_saved": ("open_saved", "savedmodel"),
    "open_saved_shaped": ("open_saved", "savedmodel"),
    "damaged_saved": ("damaged_saved", "savedmodel"),
    "not_in_tflite": ("not_in_tflite", "savedmodel"),
    "open_two": ("open_two.keras", "keras"),
    "open_two_wrong": ("open_two.keras", "keras"),
    "open_two_shaped": ("open_two.keras", "keras"),
    "largest": ("largest.keras", "keras"),
    "masked": ("masked.keras", "keras"),
    "exported_loop": ("exported_loop", "savedmodel"),
    "code2": ("code2.h5", "keras"),
    "code_saved2": ("code_saved2", "savedmodel"),
    "code2_trusted": ("code2.h5", "keras"),
    "reads": ("reads", "savedmodel"),
    "writes": ("writes", "savedmodel"),
}


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small models and ``truth.npz``."""
    folder = tmp_path_factory.mktemp("zoo")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    made = subprocess.run(
        [sys.executable, str(MAKER), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    (folder / "cut.h5").write_bytes((folder / "cnn3.h5").read_bytes()[:5000])
    (folder / "damaged_saved").mkdir()
    (folder / "damaged_saved" / "saved_model.pb").write_bytes(b"\xff" * 100)
    return folder


@pytest.fixture(scope="session")
def truth(zoo: Path) -> dict[str, np.ndarray]:
    """Inputs and the framework's outputs: ``<model>/in/<name>``, ``<model>/out/<name>``."""
    with np.load(zoo / "truth.npz") as file:
        return {k: file[k] for k in file}


@pytest.fixture(scope="session")
def converted(zoo: Path) -> dict[str, Outcome]:
    """What became of every model of :data:`MODELS`; ``cnn3_again`` is a second conversion of ``cnn3``."""
    models = {name: (zoo / file, kind) for name, (file, kind) in MODELS.items()}
    (zoo / "ran").unlink(missing_ok=True)
    safe = {name: model for name, model in models.items() if name != "code2_trusted"}
    found = convert_all({**safe, "cnn3_again": models["cnn3"]}, zoo / "results", SHAPES)
    assert not (zoo / "ran").exists(), "code of a model file ran"
    trusted = {"code2_trusted": models["code2_trusted"]}
    return {**found, **convert_all(trusted, zoo / "trusted", trusted=["code2_trusted"])}


def model(outcome: Outcome) -> Normalized:
    if not isinstance(outcome, Normalized):
        raise outcome
    return outcome


def run(data: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a float model by the names that :class:`Graph` gives."""
    graph = Graph.from_bytes(data)
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()
    assert len(details) == len(graph.inputs)
    for name, index in zip(graph.input_names, graph.inputs):
        interpreter.set_tensor(index, inputs[name])
    interpreter.invoke()
    return {n: interpreter.get_tensor(i) for n, i in zip(graph.output_names, graph.outputs)}


def truth_of(truth: Mapping[str, np.ndarray], name: str, side: str) -> dict[str, np.ndarray]:
    start = f"{name}/{side}/"
    return {k.removeprefix(start): v for k, v in truth.items() if k.startswith(start)}


def check(data: bytes, truth: Mapping[str, np.ndarray], name: str) -> Graph:
    """Compare a float model with the framework's outputs, and check that it is plain and static."""
    graph = Graph.from_bytes(data)
    assert all(t.is_static for t in graph.tensors)
    assert all(graph.tensors[t].shape[0] == 1 for t in graph.inputs)
    leftovers = {"SHAPE", "WHILE", "VAR_HANDLE", "READ_VARIABLE", "CALL_ONCE", "DEQUANTIZE"}
    assert not leftovers & {op.op for op in graph}
    expected = truth_of(truth, name, "out")
    assert expected
    found = run(data, truth_of(truth, name, "in"))
    assert sorted(found) == sorted(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-5)
    return graph


SAME = {"cnn3_h5": "cnn3", "open_shaped": "open", "open_saved_shaped": "open_saved"}
GOOD = [
    *(
        "cnn3",
        "cnn3_h5",
        "exported",
        "several",
        "lstm",
        "gru",
        "both_ways",
        "simple_rnn",
        "nested",
        "embedding",
    ),
    *(
        "open_shaped",
        "largest",
        "masked",
        "cnn2",
        "saved2",
        "recurrent2",
        "recurrent_saved2",
        "old",
        "open_saved_shaped",
    ),
]


@pytest.mark.parametrize("name", GOOD)
def test_the_float_model_computes_what_the_framework_does(name: str, converted, truth) -> None:
    check(model(converted[name]).data, truth, SAME.get(name, name))


@pytest.mark.parametrize("name", ["half", "half2"])
def test_half_precision_layers_compute_in_float32(name: str, converted, truth) -> None:
    graph = check(model(converted[name]).data, truth, name)
    assert {t.dtype for t in graph.tensors} == {"float32"}


@pytest.mark.parametrize("name", ["cnn3", "cnn2", "saved2", "exported"])
def test_a_convolutional_model_is_lean(name: str, converted) -> None:
    graph = Graph.from_bytes(model(converted[name]).data)
    assert {op.op for op in graph} <= {
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "RESHAPE",
        "FULLY_CONNECTED",
        "SOFTMAX",
    }
    assert len(graph.operators) <= 5


def test_names_and_order_are_the_authors(converted) -> None:
    graph = Graph.from_bytes(model(converted["several"]).data)
    assert graph.input_names == ("zeta", "alpha")
    assert graph.output_names == ("second", "first")
    assert [graph.tensors[t].shape for t in graph.outputs] == [(1, 2), (1, 5)]


def test_the_same_model_gives_the_same_bytes(converted, zoo: Path, tmp_path: Path) -> None:
    seen = []
    again = load_model(
        zoo / "cnn3.keras", workdir=tmp_path, progress=lambda what, fraction: seen.append((what, fraction))
    )
    assert again.data == model(converted["cnn3"]).data == model(converted["cnn3_again"]).data
    assert (again.kind, again.origin, again.name) == ("float", "keras", "cnn3")
    assert [f for _, f in seen] == sorted(f for _, f in seen)
    assert seen[-1][1] == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        (
            "open",
            r"'any' has the shape \[\?, \?, \?, 3\]: dimensions 1, 2 are not",
            "--input-shape any=1,224,224,3",
        ),
        ("open_wrong", r"which \[1, 6, 5, 4\] does not fit", "batch of 1"),
        ("custom", "the layer 'custom' uses the custom object.*Custom", "SavedModel"),
        ("lambda", "the Lambda layer 'lambda' holds Python code", "SavedModel"),
        ("stateful", "keeps its state between calls", "stateful=False"),
        ("text", "of type string", "text preprocessing"),
        ("only_weights", "weights only", "save the whole model"),
        ("cut", "damaged or truncated", "again"),
        ("two", r"2 signatures \(one, two\)", "serving_default"),
        (
            "open_two",
            r"'a' has the shape \[\?, \?, 4\]: dimension 1 is not fixed; the input 'b'.*1, 2 are",
            "--input-shape a=1,100,4 --input-shape b=1,224,224,3",
        ),
        ("open_two_wrong", "it has no input 'c'", r"a [?, ?, 4], b [?, ?, ?, 3]"),
        ("exported_loop", "a loop in place of each recurrent layer .*'reader", "pass the .keras file"),
        ("code2", "not only data.*nothing of it was run.*Lambda layer 'scale' holds Python", "--trust-model"),
        ("code_saved2", "not only data.*the Lambda layer 'scale' holds Python code", "--trust-model"),
        ("reads", "the operator ReadFile .*reaches files", "is the program's work"),
        ("writes", "the operator WriteFile .*reaches files", "--trust-model"),
        ("open_saved", "dimension 1 is not fixed", "--input-shape x=1,100"),
        ("damaged_saved", "saved_model.pb is damaged", "again"),
        ("not_in_tflite", "operators that TFLite does not have: MatrixInverse", "replace"),
    ],
)
def test_what_cannot_be_converted_is_explained(name: str, message: str, hint: str, converted) -> None:
    error = converted[name]
    assert isinstance(error, UnsupportedError if name == "not_in_tflite" else ModelError)
    with pytest.raises(type(error), match=message):
        raise error
    assert hint in str(error.hint)


def test_a_dynamic_batch_in_a_tflite_becomes_one(zoo: Path, truth, tmp_path: Path) -> None:
    source = load_model(zoo / "dynamic_batch.tflite", workdir=tmp_path)
    assert "SHAPE" in {op.op for op in Graph.from_file(zoo / "dynamic_batch.tflite")}
    check(source.data, truth, "dynamic_batch")
    assert (source.kind, source.origin) == ("float", "tflite")


def test_float16_weights_become_float32(zoo: Path, truth, tmp_path: Path) -> None:
    source = load_model(zoo / "half_weights.tflite", workdir=tmp_path)
    assert [f.rule for f in source.findings] == ["float16-weights"]
    graph = Graph.from_bytes(source.data)
    assert {t.dtype for t in graph.tensors} <= {"float32", "int32"}
    expected = truth_of(truth, "half_weights", "out")
    found = run(source.data, truth_of(truth, "half_weights", "in"))
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=2e-3)


def test_weights_of_eight_bits_become_float32_and_are_told(zoo: Path, tmp_path: Path) -> None:
    source = load_model(zoo / "dynamic_range.tflite", workdir=tmp_path)
    (told,) = source.findings
    assert (told.rule, told.severity, source.kind) == ("dynamic-range", "warning", "float")
    graph = Graph.from_bytes(source.data)
    assert {t.dtype for t in graph.tensors} <= {"float32", "int32"}
    rng = np.random.default_rng(0)
    inputs = {
        n: rng.normal(size=graph.tensors[t].shape).astype(np.float32)
        for n, t in zip(graph.input_names, graph.inputs)
    }
    original = run((zoo / "dynamic_range.tflite").read_bytes(), inputs)
    for found, expected in zip(run(source.data, inputs).values(), original.values()):
        np.testing.assert_allclose(found, expected, atol=0.05 * float(np.abs(expected).max()))


def test_a_full_integer_tflite_is_taken_as_it_is(zoo: Path, tmp_path: Path) -> None:
    source = load_model(zoo / "int8.tflite", workdir=tmp_path)
    assert source.kind == "quantized"
    graph = Graph.from_bytes(source.data)
    assert all(t.is_static for t in graph.tensors)
    inputs = {graph.input_names[0]: np.full((1, 8, 8, 3), 0.5, np.float32)}
    original = (zoo / "int8.tflite").read_bytes()
    for found, expected in zip(run(source.data, inputs).values(), run(original, inputs).values()):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("loop.tflite", r"control flow.*WHILE"),
        ("flex.tflite", r"no target runs: FlexMatrixInverse in '"),
    ],
)
def test_tflites_that_cannot_be_quantised_are_refused(
    file: str, message: str, zoo: Path, tmp_path: Path
) -> None:
    with pytest.raises((ModelError, UnsupportedError), match=message) as caught:
        load_model(zoo / file, workdir=tmp_path)
    assert caught.value.hint


def test_a_child_that_takes_too_long_is_ended(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"took more than 0 s"):
        load_model(zoo / "cnn3.keras", workdir=tmp_path, timeout_s=0.05)


def test_a_child_that_dies_is_a_model_error_with_its_last_words(
    zoo: Path, tmp_path: Path, monkeypatch
) -> None:
    # A module that shadows TensorFlow and dies as a native crash does.
    (tmp_path / "tensorflow.py").write_text(
        "import os, sys\nprint('the last words', file=sys.stderr, flush=True)\nos.abort()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"crashed with SIGABRT[\s\S]*the last words") as caught:
        load_model(zoo / "saved2", workdir=tmp_path)
    assert caught.value.exit_code == 3


def test_a_missing_framework_is_a_tool_error_with_the_command(zoo: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copy(zoo / "saved2" / "saved_model.pb", tmp_path)
    (tmp_path / "tensorflow.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ToolError, match="needs TensorFlow, which is not installed") as caught:
        load_model(tmp_path, workdir=tmp_path)
    assert caught.value.hint == install_command("keras")


def test_tensors_are_named_after_layers(converted) -> None:
    graph = Graph.from_bytes(model(converted["cnn3"]).data)
    names = [t.name for t in graph.tensors]
    assert len(set(names)) == len(names)
    assert {"picture", "conv2d", "conv2d/weights", "conv2d/bias", "depthwise_conv2d", "class"} <= set(names)
    recurrent = Graph.from_bytes(model(converted["lstm"]).data)
    assert {t.name.partition("/")[0] for t in recurrent.tensors} <= {"steps", "lstm", "d"}


def test_what_computes_a_mask_is_named_after_its_layer(converted) -> None:
    graph = Graph.from_bytes(model(converted["masked"]).data)
    masks = [op for op in graph if op.op in ("NOT_EQUAL", "REDUCE_ANY")]
    assert masks
    assert {layer_of(graph, op) for op in masks} == {"holes"}
    assert {t.name.partition("/")[0] for t in graph.tensors} <= {"x", "holes", "reader"}


def test_a_recurrence_takes_few_operators(converted) -> None:
    for name, per_step in (("lstm", 11), ("gru", 11)):
        assert len(Graph.from_bytes(model(converted[name]).data).operators) <= 5 * per_step + 4


def test_two_open_inputs_are_settled_by_their_names(converted) -> None:
    graph = Graph.from_bytes(model(converted["open_two_shaped"]).data)
    assert [graph.tensors[t].shape for t in graph.inputs] == [(1, 7, 4), (1, 5, 6, 3)]


def test_a_file_that_the_user_vouches_for_is_read(converted, zoo: Path) -> None:
    graph = Graph.from_bytes(model(converted["code2_trusted"]).data)
    assert [graph.tensors[t].shape for t in graph.inputs] == [(1, 4, 3)]
    assert (zoo / "ran").exists()  # its code ran, as the user said
    assert not (zoo / "reached").exists()


def test_a_child_that_takes_too_much_memory_is_ended(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"took more than the 0\.1 GiB of memory|ran out of memory"
    ) as caught:
        load_model(zoo / "cnn3.keras", workdir=tmp_path, memory_bytes=100 << 20)
    assert "larger machine" in str(caught.value.hint)
