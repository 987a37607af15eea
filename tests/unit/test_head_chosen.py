"""Detectors that choose their objects themselves, with key points or masks behind each: taken off and proved."""

from __future__ import annotations

import numpy as np
import pytest
from test_head_cut import BINS, CLASSES, SIDE, STRIDES, Net

from qedge.errors import DataError
from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.processing.detection.masks import mask_runs
from qedge.quantize.heads import cut_head
from qedge.quantize.interpreter import Runner

CHOSEN = 12


class Chooser(Net):
    """A net that ends as YOLO26 does: the best places, then their best classes, as rows."""

    def ints(self, op: str, inputs: list[int], shape: tuple[int, ...], options: dict | None = None) -> int:
        made = self.editor.tensor(f"i{len(self.editor.tensors)}", shape, "int32")
        self.editor.append(self.editor.operator(op, inputs, [made], options))
        return made

    def best(self, scores: int) -> tuple[int, int]:
        """Return the CHOSEN highest of (n,) and where they are."""
        values = self.editor.tensor(f"t{len(self.editor.tensors)}", (CHOSEN,), "float32")
        places = self.editor.tensor(f"i{len(self.editor.tensors) + 1}", (CHOSEN,), "int32")
        self.editor.append(
            self.editor.operator("TOPK_V2", [scores, self.value(CHOSEN, np.int32)], [values, places])
        )
        return values, places

    def chosen(self, classes: int, maps: int | None = None) -> bytes:
        (rows,) = (t for t in self.editor.outputs if t != maps)
        count, wide = self.editor.shape(rows)[1:]
        flat = self.reshape(rows, count, wide)
        scores = self.pick(flat, 4, classes)
        top = self.op("REDUCE_MAX", [scores, self.value([1], np.int32)], (count,), {"keep_dims": False})
        _, places = self.best(top)
        gather = {"axis": 0, "batch_dims": 0}
        kept = self.op("GATHER", [flat, places], (CHOSEN, wide), gather)
        values, which = self.best(self.reshape(self.pick(kept, 4, classes), CHOSEN * classes))
        number = self.value(classes, np.int32)
        place = self.ints("FLOOR_DIV", [which, number], (CHOSEN,))
        label = self.ints("FLOOR_MOD", [which, number], (CHOSEN,))
        kept = self.op("GATHER", [kept, place], (CHOSEN, wide), gather)
        centre, half = (
            self.pick(kept, 0, 2),
            self.both("MUL", self.pick(kept, 2, 2), self.value(0.5)),
        )
        label = self.op("CAST", [label], (CHOSEN,), {"in_data_type": 2, "out_data_type": 0})
        parts = [self.both("SUB", centre, half), self.both("ADD", centre, half)]
        parts += [self.reshape(t, CHOSEN, 1) for t in (values, label)]
        if wide > 4 + classes:
            parts.append(self.pick(kept, 4 + classes, wide - 4 - classes))
        joined = self.join(parts, 1)
        whole = self.reshape(joined, 1, *self.editor.shape(joined))
        outputs = [whole] if maps is None else [whole, maps]
        self.editor.outputs = outputs
        self.editor.sign([("image", self.image)], [(f"out{k}", t) for k, t in enumerate(outputs)])
        self.editor.sweep()
        return self.editor.pack()


def posed(doubled: bool) -> bytes:
    net = Chooser(5)
    net.anchor_free(CLASSES, BINS, STRIDES, marks=4, doubled=doubled)
    return net.chosen(CLASSES)


def segmented() -> bytes:
    net = Chooser(6)
    net.segmented(CLASSES, BINS, STRIDES, masks=6)
    return net.chosen(CLASSES, net.editor.outputs[1])


@pytest.mark.parametrize(
    ("make", "outputs", "parts"),
    [(lambda: posed(True), 6, (4, 2, 0)), (lambda: posed(False), 6, (4, 1, 0)), (segmented, 7, (0, 2, 6))],
)
def test_the_choice_is_taken_off_with_the_parts_of_objects(make, outputs, parts) -> None:
    model = make()
    found = cut_head(model)
    assert found is not None
    post = found.postprocess
    assert (post.points, post.point_scale, post.masks) == parts
    assert (post.form, post.suppress, found.whole.form) == ("yolov8", False, "top_k")
    graph = Graph.from_bytes(found.data)
    assert len(graph.outputs) == outputs
    assert not {op.op for op in graph} & {"TOPK_V2", "GATHER", "CONCATENATION"}
    real, ended = Runner(model), Runner(found.data)
    for seed in range(3):
        image = [np.random.default_rng(seed).normal(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)]
        rows = real.predict(image)
        objects = post.replace(threshold=0.0, limit=CHOSEN, iou=1.0).apply(ended.predict(image), ())
        assert len(objects) == CHOSEN
        for row, one in zip(rows[0][0].astype(np.float64), objects):
            assert one.score == pytest.approx(row[4], abs=1e-5)
            assert one.label == str(int(row[5]))
            box = row[[1, 0, 3, 2]] / SIDE
            assert np.allclose(one.box, np.clip(box, 0, 1), atol=1e-5)
            if post.points:
                marks = row[6:].reshape(-1, 3)[:, [1, 0, 2]] / (SIDE, SIDE, 1)
                assert np.allclose(one.points, marks, atol=1e-5)
            if post.masks:
                wanted = mask_runs(row[6:].astype(np.float32), rows[1][0], box.astype(np.float32))
                assert one.mask == wanted


def test_rows_with_parts_are_decoded_as_they_stand() -> None:
    """Where the decoding stays in the model: key points in pixels behind the class, or the weights of a mask."""
    rows = np.zeros((1, 2, 6 + 3 * 2), np.float32)
    rows[0, 0] = [10, 20, 30, 60, 0.9, 1, 15, 25, 0.8, 20, 40, 0.3]
    spec = Detect("top_k", input_size=(80, 40), points=2)
    (one,) = spec.apply([rows], ("a", "b"))
    assert (one.label, one.box) == ("b", pytest.approx((0.25, 0.25, 0.75, 0.75)))
    assert np.allclose(one.points, [(25 / 80, 15 / 40, 0.8), (0.5, 0.5, 0.3)])
    with pytest.raises(DataError, match="rows of 12, expected 6"):
        Detect("top_k", input_size=(80, 40)).apply([rows], ("a", "b"))
    maps = np.full((1, 8, 4, 6), -1, np.float32)
    maps[0, 2:4, 1:3, 0] = 9
    masked = Detect("top_k", input_size=(80, 40), masks=6)
    rows[0, 0, 6:] = [1, 0, 0, 0, 0, 0]
    (one,) = masked.apply([rows, maps], ("a", "b"))
    assert one.mask == ((2 / 8, 1 / 4, 4 / 8, 3 / 4),)


def test_rows_of_corners_with_masks_behind_them_are_put_together() -> None:
    """What an export with its own suppression leaves where that is left out."""
    plain = Net(6).segmented(CLASSES, BINS, STRIDES, masks=6)
    net = Net(6)
    net.segmented(CLASSES, BINS, STRIDES, masks=6)
    rows, maps = net.editor.outputs
    wide = net.editor.shape(rows)[2]
    centre, half = net.pick(rows, 0, 2), net.both("MUL", net.pick(rows, 2, 2), net.value(0.5))
    box = [net.both("SUB", centre, half), net.both("ADD", centre, half)]
    turned = net.join([*box, net.pick(rows, 4, wide - 4)], 2)
    for outputs in ([turned, maps], [maps, turned]):
        net.editor.outputs = outputs
        net.editor.sign([("image", net.image)], [(f"out{k}", t) for k, t in enumerate(outputs)])
        found, wanted = cut_head(net.editor.pack()), cut_head(plain)
        assert found is not None
        assert wanted is not None
        assert found.view is not None
        assert found.postprocess == wanted.postprocess
        image = [np.random.default_rng(1).normal(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)]
        for a, b in zip(Runner(found.data).predict(image), Runner(wanted.data).predict(image), strict=True):
            np.testing.assert_array_equal(a, b)
