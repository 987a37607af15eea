"""Scores that reach far below any threshold: they end where none is any more, and int8 keeps those that count."""

from __future__ import annotations

import numpy as np
import pytest
from test_head_cut import SIDE, Net
from test_head_shapes import IMAGE, ended, squashed

import qedge
from qedge.errors import UsageError
from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.quantize.heads.floor import FAR, FLOOR, floored
from qedge.quantize.heads.shapes import read_shapes
from qedge.quantize.interpreter import Runner


def detector(scale: float, how: str = "") -> bytes:
    """Return a net as MediaPipe's, whose logits are ``scale`` times as far below 0; ``how``: what is done to them."""
    net, rows = Net(10), []
    for level, each in zip(net.levels, (2, 6)):
        scores = net.conv(level, each)
        scores = net.op("RELU", [scores], net.editor.shape(scores))
        scores = net.conv(scores, each, weights=-scale * np.eye(each).reshape(each, 1, 1, each))
        boxes = net.conv(level, 16 * each)
        rows.append([net.reshape(t, 1, each * net.count(level), n) for t, n in ((boxes, 16), (scores, 1))])
    boxes, scores = (net.join(list(parts), 1) for parts in zip(*rows))
    if how == "squashed":
        scores = squashed(net, scores)
    outputs = [boxes, scores]
    if how == "read":
        outputs.append(net.op("TANH", [scores], net.editor.shape(scores)))
    return ended(net, outputs)


def test_what_counts_is_the_same() -> None:
    model = detector(300)
    reading = read_shapes(model)
    assert reading is not None
    assert reading.postprocess is not None
    found = floored(model, reading.postprocess)
    assert found is not None
    assert found.lowest < -FAR
    assert found.postprocess.score_shift == FLOOR
    before, after = (Runner(data).predict([IMAGE]) for data in (model, found.data))
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_allclose(after[1], np.maximum(before[1] + FLOOR, 0), rtol=1e-5, atol=1e-4)
    assert after[1].min() == 0
    few = {"threshold": 0.4, "limit": 500}
    wanted, boxes = (
        post.replace(**few).apply(outputs, ())
        for post, outputs in ((reading.postprocess, before), (found.postprocess, after))
    )
    assert len(wanted) > 5
    np.testing.assert_allclose([d.box for d in boxes], [d.box for d in wanted])
    np.testing.assert_allclose([d.score for d in boxes], [d.score for d in wanted], atol=1e-5)
    assert {op.op for op in Graph.from_bytes(found.data)} == {op.op for op in Graph.from_bytes(model)}
    assert floored(found.data, found.postprocess) is None  # once is enough


@pytest.mark.parametrize(("scale", "how"), [(1, ""), (300, "squashed"), (300, "read")])
def test_others_are_left_alone(scale: float, how: str) -> None:
    """Scores that go no further, that a sigmoid ends already, or that something else reads too."""
    post = Detect(
        "anchors", boxes=0, scores_output=1, score_form="probabilities" if how == "squashed" else "sigmoid"
    )
    assert floored(detector(scale, how), post) is None


def test_int8_has_small_steps_for_what_counts(tmp_path) -> None:
    (tmp_path / "net.tflite").write_bytes(detector(300))
    data = np.random.default_rng(0).normal(0, 1, (8, SIDE, SIDE, 3)).astype(np.float32)
    made = qedge.build(tmp_path / "net.tflite", data, targets="rpi", out=tmp_path / "build", method="minmax")
    rules = {f.rule: f.message for f in made.report.findings}
    assert "They end at -12" in rules["score-floor"]
    all_of = {"threshold": 0.0, "candidates": 1 << 20}
    post = read_shapes(detector(300)).postprocess.replace(**all_of)
    wanted = post.decode(Runner(detector(300)).predict([data[:1]])).scores
    with qedge.load(made.bundles["rpi"]) as model:
        assert model.outputs[1].scale < 0.2
        found = model.postprocess.replace(**all_of).decode(model(data[0])._real).scores
    assert wanted.max() > 0.4
    assert (
        np.mean(np.abs(found - wanted) > 0.05) < 0.03
    )  # where a step of the layer ahead is 300 times a step too


def test_a_shift_below_0_is_refused() -> None:
    with pytest.raises(UsageError, match="score_shift"):
        Detect("anchors", score_shift=-1.0)
