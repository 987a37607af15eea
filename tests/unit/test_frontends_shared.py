"""The models that others trained, unmodified, against the float ``.tflite`` of the same weights beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from conversions import convert_all

from qedge.errors import ModelError
from qedge.frontends import load_model
from qedge.frontends.normalize import Normalized
from qedge.graph import Graph

pytestmark = [pytest.mark.shared, pytest.mark.slow]

# model, kind, the reference beside it, and the scale of its inputs
MODELS = {
    "mlperf_tiny/ic01_resnet8.h5": ("keras", "mlperf_tiny/ic01_resnet8_float.tflite", 128.0),
    "mlperf_tiny/vww01_mobilenet.h5": ("keras", "mlperf_tiny/vww01_mobilenet_float.tflite", 1.0),
    "mlperf_tiny/ad01.h5": ("keras", None, 10.0),  # its .tflite holds other weights
    "mlperf_tiny/sww01.h5": ("keras", None, 0.1),
    "mlperf_tiny/kws01_dscnn_saved_model": ("savedmodel", None, 30.0),  # its .tflite is dynamic-range
    "hard/fs_lstm.keras": ("keras", "hard/fs_lstm_float.tflite", 1.0),
    "hard/fs_gru.keras": ("keras", "hard/fs_gru_float.tflite", 1.0),
    "hard/fs_mbv3.keras": ("keras", "hard/fs_mbv3_float.tflite", 1.0),
}
UNDERSTOOD = {
    *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SOFTMAX", "ADD", "MUL", "SUB", "MEAN", "RESHAPE"),
    *("AVERAGE_POOL_2D", "LOGISTIC", "TANH", "HARD_SWISH", "SPLIT", "SPLIT_V", "PACK"),
}


@pytest.fixture(scope="module")
def converted(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    models = {name: (shared / "models" / name, kind) for name, (kind, _, _) in MODELS.items()}
    outcomes = convert_all(models, tmp_path_factory.mktemp("converted"))
    found = {}
    for name, outcome in outcomes.items():
        assert isinstance(outcome, Normalized), outcome
        found[name] = outcome.data
    return found


def run(model: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("name", list(MODELS))
def test_a_trained_model_becomes_a_lean_static_one(name: str, converted, shared: Path) -> None:
    _, reference, scale = MODELS[name]
    graph = Graph.from_bytes(converted[name])
    assert {op.op for op in graph} <= UNDERSTOOD
    assert all(t.is_static for t in graph.tensors)
    shape = graph.tensors[graph.inputs[0]].shape
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=shape).astype(np.float32) * np.float32(scale) for _ in range(3)]
    found = np.concatenate([run(converted[name], x) for x in samples])
    assert np.isfinite(found).all()
    assert found.std(axis=0).max() > 0
    if reference is not None:
        original = (shared / "models" / reference).read_bytes()
        expected = np.concatenate([run(original, x) for x in samples])
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_wake_word_and_keyword_models_know_their_words(converted, shared: Path) -> None:
    with np.load(shared / "data/kws01/kws01_1000.npz") as file:
        x = (file["x_int8"][:100].astype(np.float32) - 83) * np.float32(0.5847029)
        labels = file["y"][:100]
    found = [run(converted["mlperf_tiny/kws01_dscnn_saved_model"], v[None]).argmax() for v in x]
    assert np.mean(found == labels) > 0.85
    with np.load(shared / "data/sww01/calibration_samples.npz") as file:
        x, labels = file["specs"].astype(np.float32), file["labels"]
    found = [run(converted["mlperf_tiny/sww01.h5"], v[None]).argmax() for v in x]
    assert np.mean(found == labels) > 0.8


def test_the_dynamic_range_model_is_told(shared: Path, tmp_path: Path) -> None:
    source = load_model(shared / "models/mlperf_tiny/kws01_dscnn_float.tflite", workdir=tmp_path)
    assert [f.rule for f in source.findings] == ["dynamic-range"]


def test_a_loop_is_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="WHILE") as caught:
        load_model(shared / "models/hard/fs_lstm_float.tflite", workdir=tmp_path)
    assert ".keras" in str(caught.value.hint)


@pytest.mark.parametrize(
    "name", ["mlperf_tiny/ad01_int8", "mlperf_tiny/kws01_dscnn_int8", "coral/mobilenet_v2_1.0_224_quant"]
)
def test_full_integer_models_compute_as_before(name: str, shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / f"{name}.tflite"
    source = load_model(path, workdir=tmp_path)
    assert source.kind == "quantized"
    graph = Graph.from_bytes(source.data)
    tensor = graph.tensors[graph.inputs[0]]
    assert all(t.is_static for t in graph.tensors)
    x = np.random.default_rng(0).integers(0, 100, tensor.shape).astype(tensor.dtype)
    np.testing.assert_array_equal(run(source.data, x), run(path.read_bytes(), x))
