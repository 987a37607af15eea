"""What a build says of its figures: on which samples they are, what is lost, and when a budget cannot be applied."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quantize_models import f32

from qedge.bundle import read_bundle
from qedge.cli.build import figure_rows, measured_on
from qedge.datasets import InputInfo, linter, open_dataset, values
from qedge.datasets.outputs import OutputInfo
from qedge.datasets.split import hold_out
from qedge.errors import AccuracyError, DataError, ModelError
from qedge.findings import Finding, condensed
from qedge.graph import Graph
from qedge.pipeline import BuildRequest, Prepared, build, prepare
from qedge.pipeline.existing import open_labelled, raw_samples
from qedge.pipeline.gate import stop
from qedge.pipeline.measure import figure_findings
from qedge.quantize import Comparison, QuantizeOptions, prove_full_integer, quantize
from qedge.quantize.figures import OutputTally
from qedge.quantize.tasks import task_of
from qedge.runtime import load
from qedge.target import resolve_all
from qedge.testing.opmodels import ModelBuilder, Spec, constant

MINMAX = QuantizeOptions(method="minmax", mixed=False)
KINDS = {"softmax": "SOFTMAX", "sigmoid": "LOGISTIC", "linear": None}


def dense(rows: np.ndarray, ending: str = "softmax", name: str = "scores") -> bytes:
    """Return a float model: one dense layer named ``dense`` and what ends it."""
    outputs, inputs = rows.shape
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, inputs), "float32", name="features"))
    weights = g.tensor(replace(constant(rows, "float32"), name="dense/weights"))
    bias = g.tensor(replace(constant(np.zeros(outputs), "float32"), name="dense/bias"))
    last = KINDS[ending] is None
    y = g.tensor(Spec((1, outputs), "float32", name=name if last else "dense"))
    g.operator("FULLY_CONNECTED", [x, weights, bias], [y])
    if not last:
        z = g.tensor(Spec((1, outputs), "float32", name=name))
        g.operator(str(KINDS[ending]), [y], [z], {"beta": 1.0} if ending == "softmax" else None)
        y = z
    g.output(y)
    return builder.pack()


def classes(count: int, sizes: Any = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return samples around the corners of four classes, six features of the given sizes, and their classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, count)
    x = 0.2 * rng.normal(size=(count, 6)) + np.eye(4, 6)[y]
    return (x * sizes).astype(np.float32), y


ROWS = 6 * np.eye(4, 6)


def built(folder: Path, model: bytes, **arrays: Any) -> Prepared:
    """Return what ``prepare`` makes of a model and the arrays of its data; keywords in capitals go to the request."""
    (folder / "m.tflite").write_bytes(model)
    np.savez(folder / "d.npz", **{k: v for k, v in arrays.items() if k.islower()})
    stated = {k.lower(): v for k, v in arrays.items() if not k.islower()}
    targets = stated.pop("targets", [])
    request = BuildRequest(
        folder / "m.tflite", targets, folder, folder / "d.npz", **{"options": MINMAX, **stated}
    )
    return prepare(request, lambda stage, share: None)


def rules(prepared: Prepared) -> list[str]:
    return [f.rule for f in prepared.findings if f.severity == "warning"]


def test_figures_are_of_samples_that_did_not_calibrate(tmp_path: Path) -> None:
    x, y = classes(400)
    prepared = built(tmp_path, dense(ROWS), x=x, y=y)
    assert (prepared.measured_on, prepared.calibration_samples) == ("held-out", 300)
    assert prepared.comparison is not None
    assert (prepared.comparison.samples, prepared.comparison.metric) == (100, "accuracy")
    data = open_dataset(tmp_path / "d.npz", [InputInfo("features", (1, 6), "float32")])
    parts = [p for p in hold_out(data) if p is not None]
    assert [len(p) for p in parts] == [300, 100]
    for part, moves in zip(parts, (True, False)):
        outside = np.where((x == part[7][0]).all(axis=1)[:, None], 50 * x, x)
        scale = _scale(built(tmp_path, dense(ROWS), x=outside, y=y))
        assert (scale > 2 * _scale(prepared)) == moves
        assert moves or scale == _scale(prepared)


def _scale(prepared: Prepared) -> float:
    quantization = prepared.graph.tensors[prepared.graph.inputs[0]].quantization
    assert quantization is not None
    return quantization.scalar[0]


def test_too_few_samples_to_hold_any_out_are_said(tmp_path: Path) -> None:
    x, y = classes(60)
    prepared = built(tmp_path, dense(ROWS), x=x, y=y)
    assert (prepared.measured_on, prepared.calibration_samples) == ("calibration", 60)
    assert prepared.comparison is not None
    assert prepared.comparison.samples == 60


def test_samples_of_ones_own_are_measured_on(tmp_path: Path) -> None:
    x, y = classes(400)
    np.savez(tmp_path / "own.npz", x=x[:50], y=(y[:50] + 1) % 4)  # three classes of four are wrong
    prepared = built(tmp_path, dense(ROWS), x=x, y=y, EVAL_DATA=tmp_path / "own.npz")
    assert (prepared.measured_on, prepared.calibration_samples) == ("eval-data", 400)
    assert prepared.comparison is not None
    assert prepared.comparison.samples == 50
    assert prepared.comparison.float_metric is not None
    assert prepared.comparison.float_metric < 0.1


def test_labels_no_better_than_a_guess_are_said_and_are_no_gate(tmp_path: Path) -> None:
    x, y = classes(400)
    assert rules(built(tmp_path, dense(ROWS), x=x, y=y)) == []
    assert rules(built(tmp_path, dense(ROWS), x=x, y=3 - y)) == ["labels"]
    gate = QuantizeOptions(method="minmax", max_drop=0.01)
    with pytest.raises(AccuracyError, match=r"cannot be applied.*no more than a guess"):
        built(tmp_path, dense(ROWS), x=x, y=3 - y, OPTIONS=gate)
    assert built(tmp_path, dense(ROWS), x=x, y=y, OPTIONS=gate).comparison is not None


def test_a_drop_of_accuracy_is_no_gate_for_numbers(tmp_path: Path) -> None:
    x, _ = classes(200)
    model = dense(ROWS[:1], "linear", "age")
    gate = QuantizeOptions(method="minmax", max_drop=0.01)
    for y in ({}, {"y": np.rint(50 * x[:, 0]).astype(int)}):
        with pytest.raises(AccuracyError, match="'age' is a number") as caught:
            built(tmp_path, model, x=x, OPTIONS=gate, **y)
        assert caught.value.exit_code == 6
        assert "--min-sqnr" in str(caught.value.hint)
    prepared = built(tmp_path, model, x=x, y=np.rint(50 * x[:, 0]).astype(int))
    assert prepared.comparison is not None
    (output,) = prepared.comparison.outputs
    assert output.metric == "mae"
    assert prepared.comparison.float_metric is None


def test_labels_that_are_not_used_are_no_gate(tmp_path: Path) -> None:
    x, y = classes(200)
    names = np.array(["up", "down", "left", "right"])[y]
    prepared = built(tmp_path, dense(ROWS), x=x, y=names)
    assert rules(prepared) == ["labels"]
    assert prepared.comparison is not None
    assert prepared.comparison.metric is None
    with pytest.raises(AccuracyError, match=r"cannot be applied: .*y.*order"):
        built(tmp_path, dense(ROWS), x=x, y=names, OPTIONS=QuantizeOptions(method="minmax", max_drop=0.01))
    with pytest.raises(DataError, match="row 0"):
        built(tmp_path, dense(ROWS), x=x, y=y + 4)


def test_a_loss_names_the_layer_and_the_features_and_is_exit_6_when_strict(tmp_path: Path) -> None:
    sizes = np.array([1e-2, 1e-2, 1, 1, 1e4, 1])
    x, y = classes(400, sizes)
    model = dense(ROWS / sizes)
    alone = replace(MINMAX, input_steps=False)
    prepared = built(tmp_path, model, x=x, y=y, OPTIONS=alone)
    assert rules(prepared) == ["coarse-features", "accuracy-loss"]
    coarse, loss = prepared.findings[-2:]
    assert "features 0, 1, 2, 3, 5" in coarse.message
    assert "dense" in loss.message
    assert "accuracy falls" in loss.message
    assert loss.hint
    assert rules(built(tmp_path, model, x=x, y=y)) == []  # one size in front of the model
    with pytest.raises(AccuracyError, match="strict") as caught:
        built(tmp_path, model, x=x, y=y, OPTIONS=alone, STRICT=True)
    assert caught.value.exit_code == 6
    assert built(tmp_path, dense(ROWS), x=classes(400)[0], y=y, STRICT=True).comparison is not None


def test_an_output_that_never_changes_is_a_finding(tmp_path: Path) -> None:
    x, _ = classes(100)
    prepared = built(tmp_path, dense(ROWS[:1], "softmax"), x=x)
    (finding,) = [f for f in prepared.findings if f.severity == "warning"]
    assert finding.rule == "constant-output"
    assert "sigmoid" in str(finding.hint)
    assert rules(built(tmp_path, dense(ROWS[:1], "sigmoid"), x=x)) == []


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers_name_their_layer(tmp_path: Path, wrong: float) -> None:
    rows = ROWS.copy()
    rows[1, 2] = wrong
    x, _ = classes(100)
    with pytest.raises(ModelError, match=r"the layer 'dense' .*1 of 24"):
        built(tmp_path, dense(rows), x=x)


def test_a_linter_that_fails_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(seen: object) -> list[Finding]:
        raise ValueError("out of luck")

    monkeypatch.setattr(values, "planar", broken)
    x, y = classes(100)
    prepared = built(tmp_path, dense(ROWS), x=x, y=y)
    (finding,) = [f for f in prepared.findings if f.rule == "linter-failed"]
    assert finding.severity == "info"
    assert "out of luck" in finding.message
    assert linter.EXAMINED > 0


def test_an_operator_in_float_is_the_cause_and_is_named_once() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 16), "float32", name="x"))
    for k in range(30):
        y = g.tensor(Spec((1, 16), "float32", name=f"waves_{k}"))
        g.operator("COS", [x], [y])
        x = y
    g.output(g_relu(g, x))
    found = prove_full_integer(Graph.from_bytes(builder.pack()))
    assert len(found) > 60
    with pytest.raises(
        ModelError, match=r"COS computes in float, in 'waves_0' \(and 29 more of the kind"
    ) as caught:
        stop(found, "the model is not full-integer")
    assert "waves_0" in str(caught.value.hint)
    assert len(caught.value.findings) <= 4
    assert "float-tensor" not in {f.rule for f in caught.value.findings}


def g_relu(g: Any, x: int) -> int:
    y = int(g.tensor(f32(1, 16)))
    g.operator("RELU", [x], [y])
    return y


def test_a_conversion_to_float_is_not_the_cause_of_it() -> None:
    found = [
        Finding(
            "error", "float-operator", "DEQUANTIZE computes in float, in 'x/float32'", op="#0 DEQUANTIZE"
        ),
        Finding("error", "float-operator", "COS computes in float, in 'waves'", op="#1 COS"),
    ]
    with pytest.raises(ModelError, match="COS computes in float, in 'waves'"):
        stop(found, "the model is not full-integer")


def test_one_cause_is_said_once_and_different_ones_each() -> None:
    def finding(message: str, rule: str = "a") -> Finding:
        return Finding("error", rule, message, "hint")

    same = [finding(f"tensor 't{k}' is float32") for k in range(5)]
    other = [finding("tensor 't9' has no scale"), finding("tensor 't0' is float32", "b")]
    found = condensed([*same, *other])
    assert [f.message for f in found] == [
        "tensor 't0' is float32 (and 4 more of the kind: 't1', 't2', 't3', 't4')",
        "tensor 't9' has no scale",
        "tensor 't0' is float32",
    ]
    assert condensed(other) == other


def test_quantising_alone_refuses_broken_weights_too() -> None:
    rows = ROWS.copy()
    rows[0, 0] = np.nan
    with pytest.raises(ModelError, match="'dense'"):
        quantize(dense(rows), _NOTHING, MINMAX)


_NOTHING: Any = []


def _two_heads() -> bytes:
    """Return a classifier of four and, from the same input, three numbers of unlike size."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 6), "float32", name="features"))

    def layer(rows: np.ndarray, name: str) -> int:
        y = g.tensor(Spec((1, len(rows)), "float32", name=name))
        weights, bias = constant(rows, "float32"), constant(np.zeros(len(rows)), "float32")
        g.operator("FULLY_CONNECTED", [x, g.tensor(weights), g.tensor(bias)], [y])
        return int(y)

    scores = g.tensor(Spec((1, 4), "float32", name="kind"))
    g.operator("SOFTMAX", [layer(ROWS, "logits")], [scores], {"beta": 1.0})
    g.output(scores)
    where = g.tensor(Spec((1, 3), "float32", name="where"))  # no scale and offset of columns at the end
    g.operator("ABS", [layer(np.eye(3, 6) * [[500.0], [400.0], [1.0]], "signed")], [where])
    g.output(where)
    return builder.pack()


def test_table_report_and_json_have_every_output_and_say_of_which_samples(tmp_path: Path) -> None:
    x, y = classes(200)
    (tmp_path / "m.tflite").write_bytes(_two_heads())
    np.savez(tmp_path / "d.npz", x=x, y_kind=y, y_where=np.abs(x[:, :3] * [500, 400, 1]).astype(np.float32))
    options = replace(MINMAX, mixed=False)
    request = BuildRequest(
        tmp_path / "m.tflite", resolve_all(["rpi"]), tmp_path / "out", tmp_path / "d.npz",
        options=options,
    )  # fmt: skip
    result = build(request, lambda stage, share: None)
    document = result.report.to_json()
    assert document["data"]["measured_on"] == "held-out"
    kind, where = document["outputs"]
    assert (kind["name"], kind["metric"], kind["float_metric"]) == ("kind", "accuracy", 1.0)
    assert (where["name"], where["metric"]) == ("where", "mae")
    assert [p["columns"] for p in where["parts"]] == ["0-1", "2"]
    worst = min(p["sqnr_db"] for p in where["parts"])
    assert document["quantization"]["sqnr_db"] == worst
    assert document["quantization"]["worst_output"] == "where"
    (lost,) = [f for f in result.report.findings if f.rule == "accuracy-loss"]
    assert "columns 2" in lost.message
    assert "outputs of their own" in str(lost.hint)
    page = (result.bundles["rpi"] / "report.html").read_text()
    for words in ("Outputs", "50 held-out samples", "worst output: where", "columns 2", "95 % interval"):
        assert words in page
    rows = {what: (before, after) for what, before, after in figure_rows(document["outputs"])}
    assert set(rows) >= {"SQNR of kind", "same answer of kind", "accuracy of kind", "mean error of where"}
    assert rows["accuracy of kind"][0].startswith("100.0 % (")
    assert f"{worst:.1f} dB" in rows["SQNR of where, columns 2"][1]
    assert measured_on(60, "calibration") == "60 calibration samples (too few to hold any out)"


def _one_large_channel() -> bytes:
    """Return a classifier whose hidden layer has one channel a thousand times larger than the others."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.eye(6), 1000 * rng.normal(size=(1, 6))])
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 6), "float32", name="features"))

    def tensor(name: str, *shape: int) -> int:
        return int(g.tensor(Spec(shape, "float32", name=name)))

    def const(values: Any, dtype: str = "float32") -> int:
        return int(g.tensor(constant(np.asarray(values), dtype) if dtype == "float32" else constant(values)))

    image, hidden = tensor("image", 1, 1, 1, 6), tensor("hidden", 1, 1, 1, 7)
    flat, logits, scores = tensor("flat", 1, 7), tensor("logits", 1, 4), tensor("scores", 1, 4)
    g.operator("RESHAPE", [x, const([1, 1, 1, 6], "int32")], [image])
    conv = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    conv |= {"fused_activation_function": "RELU"}  # type: ignore[dict-item]
    g.operator("CONV_2D", [image, const(rows.reshape(7, 1, 1, 6)), const(np.zeros(7))], [hidden], conv)
    g.operator("RESHAPE", [hidden, const([1, 7], "int32")], [flat])
    back = np.concatenate([6 * np.eye(4, 6), np.full((4, 1), 1e-6)], axis=1)
    g.operator("FULLY_CONNECTED", [flat, const(back), const(np.zeros(4))], [logits])
    g.operator("SOFTMAX", [logits], [scores], {"beta": 1.0})
    g.output(scores)
    return builder.pack()


def test_a_result_under_the_floor_is_lifted_where_the_targets_run_it(tmp_path: Path) -> None:
    x, y = classes(400)
    mixed = QuantizeOptions(method="minmax")
    lost = built(tmp_path, _one_large_channel(), x=x, y=y)
    assert rules(lost) == ["accuracy-loss"]
    lifted = built(tmp_path, _one_large_channel(), x=x, y=y, OPTIONS=mixed, TARGETS=_targets("rpi"))
    assert rules(lifted) == []
    assert lifted.comparison is not None
    assert lost.comparison is not None
    assert lifted.comparison.quantized_metric == 1.0
    assert lost.comparison.quantized_metric is not None
    assert lost.comparison.quantized_metric < 0.5
    (said,) = [f for f in lifted.findings if f.rule == "lifted"]
    assert "CONV_2D" in said.message
    assert "more bytes" in said.message
    assert not prove_full_integer(lifted.graph)


def test_a_target_that_runs_int8_only_is_named_with_the_way_out(tmp_path: Path) -> None:
    x, y = classes(400)
    mixed = QuantizeOptions(method="minmax")
    prepared = built(
        tmp_path, _one_large_channel(), x=x, y=y, OPTIONS=mixed, TARGETS=_targets("rpi", "coral")
    )
    assert rules(prepared) == []
    assert any(t.dtype == "int16" for t in prepared.graph.tensors)
    assert prepared.of("rpi") is prepared
    apart = prepared.of("coral")
    assert rules(apart) == ["not-lifted", "accuracy-loss"]
    (said,) = [f for f in apart.findings if f.rule == "not-lifted"]
    assert "coral" in said.message
    assert "does not run them as well" in said.message
    assert {t.dtype for t in apart.graph.tensors} <= {"int8", "int32"}
    alone = built(tmp_path, _one_large_channel(), x=x, y=y, OPTIONS=mixed, TARGETS=_targets("coral"))
    (said,) = [f for f in alone.findings if f.rule == "not-lifted"]
    assert "a target that runs them" in str(said.hint)
    assert alone.of("coral") is alone
    assert {t.dtype for t in alone.graph.tensors} <= {"int8", "int32"}


def test_each_target_gets_the_most_exact_form_that_it_runs(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(_one_large_channel())
    x, y = classes(400)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    request = BuildRequest(
        tmp_path / "m.tflite",
        _targets("rpi", "coral"),
        tmp_path / "out",
        tmp_path / "d.npz",
        options=QuantizeOptions("minmax"),
    )
    result = build(request, lambda stage, share: None)
    models = {
        name: Graph.from_bytes(read_bundle(path).read("model.tflite"))
        for name, path in result.bundles.items()
    }
    assert {name: any(t.dtype == "int16" for t in g.tensors) for name, g in models.items()} == {
        "rpi": True,
        "coral": False,
    }
    own = json.loads(read_bundle(result.bundles["coral"]).read("report.json"))
    assert own["int8"]["sha256"] == models["coral"].sha256
    assert list(own["targets"]) == ["coral"]
    form = result.report.to_json()["targets"]["coral"]["form"]
    assert (form["sha256"], form["method"]) == (models["coral"].sha256, "minmax")
    assert result.report.to_json()["targets"]["rpi"]["form"] is None
    with load(result.bundles["rpi"]) as model:
        assert (np.argmax([np.ravel(model(row[None]).outputs[0]) for row in x[:40]], axis=1) == y[:40]).all()
    request = replace(request, options=QuantizeOptions("minmax", max_drop=0.05))
    gated = build(request, lambda stage, share: None)
    assert list(gated.bundles) == ["rpi"]
    assert isinstance(gated.failures["coral"], AccuracyError)
    assert "16x8" not in gated.failures["coral"].message
    with pytest.raises(AccuracyError):
        build(replace(request, all_or_nothing=True), lambda stage, share: None)


def _targets(*names: str) -> list[Any]:
    return resolve_all(names)


def test_a_check_asks_where_operators_run_and_judges_nothing(tmp_path: Path) -> None:
    x, y = classes(400)
    asked = built(
        tmp_path, _one_large_channel(), x=x, y=y, OPTIONS=QuantizeOptions(method="minmax"), JUDGE=False
    )
    assert rules(asked) == []
    assert {t.dtype for t in asked.graph.tensors} <= {"int8", "int32"}


def test_labels_are_looked_at_where_they_are_measured_and_nowhere_else(tmp_path: Path) -> None:
    x, y = classes(100)
    (tmp_path / "m.tflite").write_bytes(dense(ROWS))
    np.savez(tmp_path / "d.npz", x=x, y=y)
    np.savez(tmp_path / "wrong.npz", x=x, y=y + 9)
    np.savez(tmp_path / "text.npz", x=x, y=np.array(["a", "b", "c", "d"])[y])
    request = BuildRequest(
        tmp_path / "m.tflite", _targets("rpi"), tmp_path / "out", tmp_path / "d.npz", options=MINMAX
    )
    with read_bundle(build(request, lambda stage, share: None).bundles["rpi"]) as bundle:
        dataset, findings = open_labelled(bundle, tmp_path / "d.npz", 30)
        assert dataset.labels is not None
        assert (len(dataset), len(dataset.labels), findings) == (30, 30, [])
        with pytest.raises(DataError, match="row 0"):
            open_labelled(bundle, tmp_path / "wrong.npz", None)
        assert [f.rule for f in open_labelled(bundle, tmp_path / "text.npz", None)[1]] == ["labels"]
        assert len(raw_samples(bundle, tmp_path / "wrong.npz", 5)) == 5


def test_a_model_that_answers_all_samples_alike_is_told_of() -> None:
    rng = np.random.default_rng(0)
    info = OutputInfo("kind", (1, 3), "softmax")
    for last, told in ((0.1, ["one-answer"]), (0.9, [])):
        tally = OutputTally(info, task_of(info))
        for k in range(30):
            scores = np.array([[0.6, 0.1, last if k == 29 else 0.1]]) + 0.01 * rng.random((1, 3))
            tally.add(scores, scores + 0.001, None)
        assert [f.rule for f in figure_findings(Comparison(30, (tally.result(),)))] == told
