"""FCOS: distances, class scores and how central a place is; against a loop over its published code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_detection import COMMON, HEIGHT, STRIDES, WIDTH, cells, levels, same, squash
from test_head_cut import CLASSES, Net
from test_head_shapes import IMAGE, ended, squashed

from qedge.errors import UsageError
from qedge.processing.detect import Detect
from qedge.quantize.heads.shapes import read_shapes
from qedge.quantize.interpreter import Runner


@pytest.mark.parametrize("root", [True, False])
def test_scores_are_products_with_how_central_a_place_is(root: bool) -> None:
    """torchvision's ``fcos.py``: the root of both sigmoids, distances from the corner of the cell; else the product."""
    rng = np.random.default_rng(17)
    boxes = [np.abs(v) for v in levels(rng, 4, 0)]
    centred, scores = levels(rng, 1, 0), levels(rng, CLASSES, 0)
    spec = Detect(
        "yolov8", **COMMON, bins=1, threshold=0.6, root=root, cell_middle=0.0 if root else 0.5,
        box_outputs=(0, 1, 2), object_outputs=(3, 4, 5), score_outputs=(6, 7, 8),
    )  # fmt: skip
    wanted = []
    for level, row, column, stride in cells():
        left, top, right, bottom = (v * stride for v in boxes[level][0, row, column].tolist())
        x, y = ((v + spec.cell_middle) * stride for v in (column, row))
        for label in range(CLASSES):
            both = squash(scores[level][0, row, column, label]) * squash(centred[level][0, row, column, 0])
            score = math.sqrt(both) if root else both
            if score >= 0.6:
                wanted.append((str(label), score, [x - left, y - top, x + right, y + bottom]))
    same(spec.apply([*boxes, *centred, *scores], ()), wanted)
    with pytest.raises(UsageError, match="object_outputs"):
        Detect("yolov8", **COMMON, box_outputs=(0, 1, 2), object_outputs=(3,), score_outputs=(6, 7, 8))
    assert spec.input_size == (HEIGHT, WIDTH)
    assert spec.strides == STRIDES


def fcos(how: str) -> bytes:
    """Return a net's levels as FCOS gives them, in rows as torchvision's exporter leaves them; ``how``: in words."""
    net, rows = Net(4), []
    for level, stride in zip(net.levels, (8, 16)):
        box = net.conv(level, 4)
        box = net.op("EXP" if "exponents" in how else "RELU", [box], net.editor.shape(box))
        if "strides" in how:
            box = net.both("MUL", box, net.value(float(stride)))
        rows.append((net.conv(level, CLASSES), box, net.conv(level, 1)))
    parts = [net.flat(list(kind), n) for kind, n in zip(zip(*rows), (CLASSES, 4, 1))]
    if "squashed" in how:
        parts = [squashed(net, parts[0]), parts[1], squashed(net, parts[2])]
    return ended(net, parts)


@pytest.mark.parametrize("how", ["plain", "squashed", "strides", "strides, squashed"])
def test_it_is_told_by_distances_that_are_none_below_0(how: str) -> None:
    model = fcos(how)
    reading = read_shapes(model)
    assert reading is not None
    post = reading.postprocess
    assert post is not None
    assert ("mmdetection's" if "strides" in how else "torchvision's") in reading.what
    assert (post.form, post.root, post.cell_middle) == (
        "yolov8",
        "strides" not in how,
        0.5 * ("strides" in how),
    )
    scores, boxes, centred = Runner(model).predict([IMAGE])
    if "squashed" not in how:
        scores, centred = (1 / (1 + np.exp(-part)) for part in (scores, centred))
    found = post.replace(threshold=0.0).decode(Runner(reading.data).predict([IMAGE]))
    both = (scores * centred)[0].max(axis=1)
    np.testing.assert_allclose(found.scores, np.sqrt(both) if post.root else both, atol=1e-5)
    steps = 1 if "strides" in how else np.repeat([8, 16], [64, 16])[:, None]
    sides = (boxes[0] * steps)[:, :2] + (boxes[0] * steps)[:, 2:]
    np.testing.assert_allclose((found.boxes[:, 2:] - found.boxes[:, :2])[:, ::-1] * 64, sides, atol=1e-3)


def test_exponents_are_not_guessed() -> None:
    reading = read_shapes(fcos("exponents"))
    assert reading is not None
    assert reading.postprocess is None
    assert "how central" in reading.what
