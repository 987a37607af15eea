"""Labelled boxes in four forms, what is wrong with some, and mAP as COCO's own code has it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qedge.datasets.objects import read_objects
from qedge.datasets.objects.truth import Truth
from qedge.errors import DataError
from qedge.quantize.precision import Found, average_precision

BOXES = {"a": [("cat", (10, 20, 60, 70)), ("dog", (0, 0, 30, 40))], "b": [], "c": [("dog", (50, 10, 99, 59))]}
WIDTH, HEIGHT = 100, 80


def photos(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in BOXES:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{name}.png")
    return folder


def yolo(root: Path, names: str = "{0: cat, 1: dog}", first: int = 0, pixels: bool = False) -> Path:
    photos(root / "images" / "val")
    (root / "labels" / "val").mkdir(parents=True)
    for name, objects in BOXES.items():
        lines = []
        for label, (left, top, right, bottom) in objects:
            wide, tall = (1, 1) if pixels else (WIDTH, HEIGHT)
            centre = ((left + right) / 2 / wide, (top + bottom) / 2 / tall)
            size = ((right - left) / wide, (bottom - top) / tall)
            lines.append(
                f"{['cat', 'dog'].index(label) + first} {centre[0]} {centre[1]} {size[0]} {size[1]}\n"
            )
        (root / "labels" / "val" / f"{name}.txt").write_text("".join(lines))
    (root / "data.yaml").write_text(f"path: .\ntrain: images/train\nval: images/val\nnames: {names}\n")
    return root


def coco(root: Path, corners: bool = False) -> Path:
    photos(root / "images")
    images = [
        {"id": 7 + k, "file_name": f"{n}.png", "width": WIDTH, "height": HEIGHT} for k, n in enumerate(BOXES)
    ]
    notes = []
    for k, objects in enumerate(BOXES.values()):
        for label, (left, top, right, bottom) in objects:
            box = [left, top, right, bottom] if corners else [left, top, right - left, bottom - top]
            category = {"cat": 17, "dog": 18}[label]
            notes.append(
                {"id": len(notes), "image_id": 7 + k, "category_id": category, "bbox": box, "iscrowd": 0}
            )
    categories = [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}]
    text = json.dumps({"images": images, "annotations": notes, "categories": categories})
    (root / "labels.json").write_text(text)
    return root


def voc(root: Path) -> Path:
    photos(root / "JPEGImages")
    (root / "Annotations").mkdir()
    for name, objects in BOXES.items():
        entries = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{box[0] + 1}</xmin><ymin>{box[1] + 1}</ymin>"
            f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
            for label, box in objects
        )
        text = f"<annotation><filename>{name}.png</filename>{entries}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    return root


def label_studio(root: Path) -> Path:
    photos(root / "images")
    tasks = []
    for name, objects in BOXES.items():
        result = [
            {
                "type": "rectanglelabels",
                "value": {
                    "x": 100 * box[0] / WIDTH, "y": 100 * box[1] / HEIGHT, "width": 100 * (box[2] - box[0]) / WIDTH,
                    "height": 100 * (box[3] - box[1]) / HEIGHT, "rectanglelabels": [label],
                },
            }
            for label, box in objects
        ]  # fmt: skip
        url = f"/data/upload/1/3f9a1c2b-{name}.png"
        tasks.append({"data": {"image": url}, "annotations": [{"result": result}]})
    (root / "export.json").write_text(json.dumps(tasks))
    return root


@pytest.mark.parametrize("make", [yolo, coco, voc, label_studio])
def test_every_form_gives_the_same_boxes(make, tmp_path) -> None:
    found = read_objects(make(tmp_path))
    assert found is not None
    assert found.names == ("cat", "dog")
    assert [t.image.stem for t in found.truths] == list(BOXES)
    for truth, objects in zip(found.truths, BOXES.values()):
        assert (truth.height, truth.width) == (HEIGHT, WIDTH)
        assert [found.names[c] for c in truth.classes] == [label for label, _ in objects]
        assert truth.boxes == pytest.approx(np.array([b for _, b in objects], float).reshape(-1, 4), abs=1e-6)
    (told,) = found.findings
    assert told.message.endswith("3 boxes of 2 classes on 3 photos, 1 of them without any object")


def test_a_folder_of_photos_has_no_labels(tmp_path) -> None:
    assert read_objects(photos(tmp_path)) is None


def test_classes_are_matched_by_name(tmp_path) -> None:
    found = read_objects(yolo(tmp_path)).renumbered(("horse", "Dog", "cow"))
    assert [t.classes.tolist() for t in found.truths] == [[1], [], [1]]
    assert "1 classes of the labels are none of the model's: cat" in found.findings[-1].message
    with pytest.raises(DataError, match="none is the same"):
        found.renumbered(("x",))


def test_labels_that_do_not_fit_are_named(tmp_path) -> None:
    with pytest.raises(DataError, match="found 50, expected shares of the photo"):
        read_objects(yolo(tmp_path / "pixels", pixels=True))
    with pytest.raises(DataError, match="the class 2 of 2 has no name") as caught:
        read_objects(yolo(tmp_path / "one", first=1))
    assert caught.value.hint == "classes are numbered from 0"
    spare = read_objects(yolo(tmp_path / "spare", names="[cat, dog, cow]", first=1))
    assert any("numbered from one?" in f.message for f in spare.findings)
    with pytest.raises(DataError, match="corners, where left, top, width and height"):
        read_objects(coco(tmp_path / "corners", corners=True))
    folder = yolo(tmp_path / "word")
    (folder / "labels/val/a.txt").write_text("cat 0.1 0.1 0.1 0.1\n")
    with pytest.raises(DataError, match="line 1: found 'cat"):
        read_objects(folder)
    (folder / "data.yaml").write_text("names: [\n")
    with pytest.raises(DataError, match="cannot be read as YAML"):
        read_objects(folder)


def test_boxes_that_pass_the_edge_are_cut_and_told(tmp_path) -> None:
    folder = coco(tmp_path)
    data = json.loads((folder / "labels.json").read_text())
    for _ in range(12):
        data["annotations"].append(dict(data["annotations"][0]))
    data["annotations"][0]["bbox"] = [90, 10, 30, 20]
    data["annotations"][1]["bbox"] = [40, 10, 0, 20]
    (folder / "labels.json").write_text(json.dumps(data))
    found = read_objects(folder)
    assert found.truths[0].boxes.max() == 100
    told = [f.message for f in found.findings if f.severity == "warning"]
    assert told[0].startswith("1 of 15 boxes reach outside")
    assert told[1].startswith("1 of 15 boxes have no area")


def truth_of(boxes, classes, crowd=()) -> Truth:
    return Truth.of(Path("x"), (480, 640), boxes, classes, crowd)


def found_of(boxes, classes, scores) -> Found:
    return Found(np.asarray(boxes, float).reshape(-1, 4), np.asarray(classes, int), np.asarray(scores, float))


def test_average_precision_of_known_cases() -> None:
    box, other = (10, 10, 50, 50), (200, 200, 260, 260)
    truths = [truth_of([box, other], [0, 1]), truth_of([], [])]
    right = [found_of([box, other], [0, 1], [0.9, 0.8]), found_of([], [], [])]
    perfect = average_precision(truths, right, ("a", "b", "unused"))
    assert (perfect.map50_95, perfect.map50) == (pytest.approx(1), pytest.approx(1))
    assert perfect.by_class == {"a": pytest.approx(1), "b": pytest.approx(1), "unused": None}
    assert perfect.by_size == {"small": None, "medium": pytest.approx(1), "large": None}
    assert perfect.curve == pytest.approx((1.0,) * 101)
    # A box that overlaps by 0.6 counts at 0.5, 0.55 and 0.6: three of ten.
    shifted = [found_of([(10, 10, 34, 50), other], [0, 1], [0.9, 0.8]), found_of([], [], [])]
    half = average_precision(truths, shifted, ("a", "b"))
    assert half.map50 == pytest.approx(1)
    assert half.by_class["a"] == pytest.approx(0.3)
    # A false alarm that is surer than the only object halves its precision.
    alarm = [found_of([other, box], [0, 0], [0.95, 0.9]), found_of([], [], [])]
    assert average_precision(truths, alarm, ("a", "b")).by_class["a"] == pytest.approx(0.5)
    # Within a crowd a detection counts neither way.
    crowd = [truth_of([box, other], [0, 0], [False, True]), truths[1]]
    inside = [found_of([box, (210, 210, 230, 230)], [0, 0], [0.9, 0.95]), found_of([], [], [])]
    assert average_precision(crowd, inside, ("a",)).map50_95 == pytest.approx(1)
    nothing = average_precision([truths[1]], [found_of([box], [0], [0.9])], ("a",))
    assert (nothing.map50_95, nothing.curve) == (None, ())


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_coco_s(seed, tmp_path) -> None:
    """The same labels and detections as files, through COCO's own doors."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(seed)
    classes = (1, 3, 80, 5, 2)[seed]
    truths, found = [], []
    for _ in range(12):
        count = int(rng.integers(0, 8))
        low = rng.uniform(0, 400, (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(4, 200, (count, 2))], axis=1)
        labels = rng.integers(0, max(1, classes - 1), count)
        truths.append(truth_of(boxes, labels, rng.random(count) < 0.2 if count else ()))
        noisy = np.repeat(boxes, 2, axis=0) + rng.normal(0, 6, (2 * count, 4))
        scores = rng.integers(0, 5, 2 * count) / 4 if seed % 2 else rng.random(2 * count)  # with ties
        found.append(found_of(noisy, np.repeat(labels, 2), scores))
    names = [f"class {k}" for k in range(classes)]
    mine = average_precision(truths, found, names)
    images = [{"id": k, "height": 480, "width": 640} for k in range(12)]
    notes, lines = [], []
    for k, (truth, one) in enumerate(zip(truths, found)):
        for box, label, crowd, area in zip(truth.boxes, truth.classes, truth.crowd, truth.areas):
            bbox = [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]
            note = {"id": len(notes) + 1, "image_id": k, "category_id": int(label), "bbox": bbox}
            notes.append({**note, "iscrowd": int(crowd), "area": float(area)})
        for box, label, score in zip(one.boxes, one.classes, one.scores):
            bbox = [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]
            lines.append({"image_id": k, "category_id": int(label), "bbox": bbox, "score": float(score)})
    data = {
        "images": images,
        "annotations": notes,
        "categories": [{"id": k, "name": n} for k, n in enumerate(names)],
    }
    (tmp_path / "gt.json").write_text(json.dumps({"info": {}, **data}))
    (tmp_path / "dt.json").write_text(json.dumps(lines))
    wanted = COCO(str(tmp_path / "gt.json"))
    judge = COCOeval(wanted, wanted.loadRes(str(tmp_path / "dt.json")), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    ours = [mine.map50_95, mine.map50, *mine.by_size.values()]
    theirs = [judge.stats[k] for k in (0, 1, 3, 4, 5)]
    assert [-1 if v is None else v for v in ours] == pytest.approx(theirs, abs=1e-4)
