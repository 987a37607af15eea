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
    assert {f.severity for f in found.findings} == {"info"}
    assert found.findings[-1].message.endswith(
        "3 boxes of 2 classes on 3 photos, 1 of them without any object"
    )


def test_a_folder_of_photos_has_no_labels(tmp_path) -> None:
    assert read_objects(photos(tmp_path)) is None


def test_classes_are_matched_by_name(tmp_path) -> None:
    found = read_objects(yolo(tmp_path)).renumbered(("horse", "Dog", "cow"))
    assert [t.classes.tolist() for t in found.truths] == [[1], [], [1]]
    assert "1 classes of the labels are none of the model's: cat" in found.findings[-1].message
    with pytest.raises(DataError, match="none is the same"):
        found.renumbered(("x",))
    spare = read_objects(yolo(tmp_path / "spare", names="[cat, dog, pets]")).renumbered(("dog", "cat"))
    assert {f.severity for f in spare.findings} == {"info"}  # a class that no object is of is no loss


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


def numbered(
    root: Path, text: str, yaml: str = "val: images\nnames: [cat, dog]\n", photo: str = "a.png"
) -> Path:
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "images" / photo)
    (root / "labels" / Path(photo).with_suffix(".txt")).write_text(text)
    (root / "data.yaml").write_text(yaml)
    return root


def one_box(found, k: int = 0):
    (box,) = found.truths[k].boxes.tolist()
    return pytest.approx(box, abs=1e-6)


def test_a_list_of_photos_may_have_names_with_spaces(tmp_path) -> None:
    folder = numbered(
        tmp_path, "0 .5 .5 .2 .2", photo="a b.png", yaml="val: val.txt\nnames: {'0': cat, '1': dog}\n"
    )
    for line in ("./images/a b.png\r\n", "images\\a b.png", f"\ufeff{folder}/images/a b.png\n\n"):
        (folder / "val.txt").write_text(line, encoding="utf-8", newline="")
        assert [t.image.name for t in read_objects(folder).truths] == ["a b.png"]
    (folder / "val.txt").write_text("images/a b.png\nimages/gone.png\n")
    with pytest.raises(DataError, match=r"the photo images/gone.png is not there"):
        read_objects(folder)


def test_photos_are_found_above_data_yaml_too(tmp_path) -> None:
    numbered(tmp_path / "set", "0 .5 .5 .2 .2")
    (tmp_path / "cfg").mkdir()
    (tmp_path / "cfg/mine.yaml").write_text("val: ../set/images\nnames: [cat]\n")
    assert len(read_objects(tmp_path / "cfg/mine.yaml").truths) == 1


def test_another_part_than_the_stated_one_is_told(tmp_path) -> None:
    folder = numbered(tmp_path, "0 .5 .5 .2 .2", yaml="val: gone\ntrain: images\nnames: [cat]\n")
    told = [f for f in read_objects(folder).findings if f.severity == "warning"]
    assert "gone: the photos are those of train" in told[0].message


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("val: 5\nnames: [cat]\n", "names no folder with photos"),
        ("val: images\nnames: [yes, no]\n", "found True, expected a name"),
        ("val: images\nnc: 3\nnames: [cat, dog]\n", "found 2 names, expected 3"),
        ("val: images\nnames: [cat]\nkpt_shape: 17\n", "kpt_shape: found 17"),
    ],
)
def test_a_data_yaml_that_is_wrong_is_said(yaml, said, tmp_path) -> None:
    with pytest.raises(DataError, match=said):
        read_objects(numbered(tmp_path, "0 .5 .5 .2 .2", yaml))


@pytest.mark.parametrize("text", ["0 nan .5 .2 .2", "nan .5 .5 .2 .2", "inf .5 .5 .2 .2", "0.5 .5 .5 .2 .2"])
def test_numbers_of_yolo_that_are_none_are_said(text, tmp_path) -> None:
    with pytest.raises(DataError, match=r"line 1: found .*, expected class x y w h"):
        read_objects(numbered(tmp_path, text))
    (tmp_path / "labels/a.txt").write_bytes(b"\xff\xfe0")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_objects(tmp_path)


def test_key_points_behind_a_box_are_no_outline(tmp_path) -> None:
    line = "0 .5 .5 .2 .2 " + ".1 .1 1 " * 2
    stated = numbered(tmp_path / "stated", line, "val: images\nnames: [cat]\nkpt_shape: [2, 3]\n")
    assert read_objects(stated).truths[0].boxes.tolist() == [[40, 32, 60, 48]]
    with pytest.raises(DataError, match="found 14 numbers, expected class x y w h") as caught:
        read_objects(numbered(tmp_path / "odd", line + ".1 .1 1"))
    assert "kpt_shape" in caught.value.hint
    with pytest.raises(DataError, match="expected 11 by kpt_shape"):
        read_objects(
            numbered(tmp_path / "other", line + ".1", "val: images\nnames: [cat]\nkpt_shape: [2, 3]\n")
        )


def test_repeated_lines_missing_labels_and_spare_ones_are_told(tmp_path) -> None:
    folder = numbered(tmp_path, "0 .5 .5 .2 .2\n0 .5 .5 .2 .2\n")
    (folder / "labels/zz.txt").write_text("")
    (folder / "images/._a.png").write_bytes(b"what macOS leaves")
    found = read_objects(folder)
    assert [len(t.boxes) for t in found.truths] == [1]
    told = " ".join(f.message for f in found.findings if f.severity == "warning")
    assert "1 lines repeat another one" in told
    assert "1 files of labels have no photo: zz.txt" in told
    (folder / "labels/a.txt").unlink()
    assert any("none of 1 photos has labels" in f.message for f in read_objects(folder).findings)


def test_a_folder_with_labels_may_hold_other_photos_too(tmp_path) -> None:
    """Trainers leave pictures of their own beside `images`; a folder of photos alone has a layout to keep."""
    from qedge.datasets.headers import refuse_unreadable
    from qedge.datasets.objects.find import holds_labels

    folder = numbered(tmp_path / "set", "0 .5 .5 .2 .2", photo="a.tif")
    Image.new("RGB", (9, 9)).save(folder / "labels.jpg")
    assert holds_labels(folder)
    assert [t.image.name for t in read_objects(folder).truths] == ["a.tif"]
    refuse_unreadable(folder / "images")
    assert not holds_labels(folder / "images")
    (folder / "data.yaml").unlink()
    with pytest.raises(DataError, match="beside its subfolders"):
        refuse_unreadable(folder)


def test_labels_in_a_folder_are_found_or_asked_for(tmp_path) -> None:
    folder = numbered(tmp_path / "classes", "1 .5 .5 .2 .2")
    (folder / "data.yaml").unlink()
    with pytest.raises(DataError, match="nothing says what the classes are called"):
        read_objects(folder)
    (folder / "classes.txt").write_text("cat\ndog\n")
    (folder / "notes.json").write_text(
        '{"categories": [], "info": {}}'
    )  # as Label Studio's export to YOLO has it
    assert read_objects(folder).names == ("cat", "dog")
    assert read_objects(folder / "images") is None  # the photos alone
    other = numbered(tmp_path / "yaml", "0 .5 .5 .2 .2")
    (other / "data.yaml").rename(other / "shapes.yaml")
    (other / "args.yaml").write_text("epochs: 3\n")
    assert read_objects(other).form == "YOLO"
    (other / "more.yaml").write_text("val: images\nnames: [cat]\n")
    with pytest.raises(DataError, match=r"found labels in more.yaml, shapes.yaml"):
        read_objects(other)
    spare = photos(tmp_path / "spare")
    (spare / "pom.xml").write_text("<project/>")
    (spare / "camera.yaml").write_text("fps: 3\n")
    (spare / "a.json").write_text('{"taken": 2026}')
    assert read_objects(spare) is None


def coco_of(
    root: Path, photo: str = "a.png", size=(WIDTH, HEIGHT), image: dict | None = None, **note
) -> Path:
    place = root / "images" / photo.replace("\\", "/").rpartition("/")[2]
    place.parent.mkdir(parents=True)
    Image.new("RGB", size).save(place)
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40], **note}
    data = {
        "images": [{"id": 1, "file_name": photo, **(image or {})}],
        "annotations": [{k: v for k, v in entry.items() if v != "gone"}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (root / "labels.json").write_text(json.dumps(data))
    return root


@pytest.mark.parametrize("name", ["set\\a.png", "C:\\me\\a.png", "[1]a.png", "there/is/no/such/a.png"])
def test_photos_are_found_by_their_last_parts(name, tmp_path) -> None:
    assert one_box(read_objects(coco_of(tmp_path, name))) == [10, 20, 40, 60]


def test_photos_of_one_name_are_told_apart_by_their_folders(tmp_path) -> None:
    for part in ("one", "two"):
        (tmp_path / part).mkdir()
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / part / "a.png")
        text = "<annotation><filename>a.png</filename></annotation>"
        (tmp_path / part / "a.xml").write_text(text)
    assert [t.image.parent.name for t in read_objects(tmp_path).truths] == ["one", "two"]
    folder = coco_of(tmp_path / "coco")
    data = json.loads((folder / "labels.json").read_text())
    data["images"] = [{"id": 1, "file_name": "one/a.png"}, {"id": 2, "file_name": "two/a.png"}]
    (folder / "labels.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"a.png is there more than once"):
        read_objects(folder)


def test_of_coco_s_own_set_objects_to_validate_on_are_taken(tmp_path) -> None:
    folder = coco_of(tmp_path)
    (folder / "annotations").mkdir()
    text = (folder / "labels.json").read_text()
    (folder / "labels.json").rename(folder / "annotations/instances_val2017.json")
    for name in ("captions_val2017", "person_keypoints_val2017", "instances_train2017"):
        (folder / f"annotations/{name}.json").write_text(text.replace("cat", name))
    assert read_objects(folder).names == ("cat",)
    (folder / "annotations/instances_val2014.json").write_text(text)
    with pytest.raises(
        DataError, match=r"instances_val2014.json, annotations/instances_val2017.json, expected one"
    ):
        read_objects(folder)


def test_photos_that_are_not_there_are_left_out_and_told(tmp_path) -> None:
    folder = coco_of(tmp_path)
    data = json.loads((folder / "labels.json").read_text())
    data["images"].append({"id": 2, "file_name": "b.png"})
    (folder / "labels.json").write_text(json.dumps(data))
    found = read_objects(folder)
    assert len(found.truths) == 1
    assert "1 of 2 labelled photos are not there, and are left out: b.png" in found.findings[0].message
    (folder / "images/a.png").unlink()
    with pytest.raises(DataError, match=r"none of its 2 photos is there"):
        read_objects(folder)


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ({"bbox": [float("nan"), 1, 2, 3]}, "bbox: found a list"),
        ({"bbox": [10**400, 1, 2, 3]}, "bbox: found a list"),
        ({"bbox": "gone"}, "bbox: found null"),
        ({"bbox": [0.1, 0.1, 0.3, 0.3]}, "shares of the photo, where pixels are expected"),
        ({"bbox": [10, 10, 40, 30], "area": 600}, "are corners, where left, top, width and height"),
    ],
)
def test_boxes_of_coco_that_are_none_are_said(note, said, tmp_path) -> None:
    with pytest.raises(DataError, match=said):
        read_objects(coco_of(tmp_path, **note))


def test_fields_of_coco_that_are_not_there_follow_from_others(tmp_path) -> None:
    for k, area in enumerate((None, "400", float("nan"), -1, 5.0)):
        (truth,) = read_objects(
            coco_of(tmp_path / str(k), area=area, iscrowd=(None, "0", 0, "1", True)[k])
        ).truths
        assert (truth.areas.tolist(), truth.crowd.tolist()) == ([5.0 if area == 5 else 1200.0], [k > 2])
    outline = coco_of(tmp_path / "outline", bbox=[], segmentation=[[10, 20, 40, 20, 40, 60]])
    assert one_box(read_objects(outline)) == [10, 20, 40, 60]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_photos_that_exif_turns(orientation, tmp_path) -> None:
    """A bright rectangle, labelled in the file as it lies or in the upright photo, is where pillow turns it."""
    from PIL import ImageOps

    low = np.zeros((HEIGHT, WIDTH), np.uint8)
    low[20:60, 10:40] = 255
    folder = coco_of(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(low).save(folder / "images/a.png", exif=exif)
    with Image.open(folder / "images/a.png") as image:
        turned = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.flatnonzero(turned.any(axis=1)), np.flatnonzero(turned.any(axis=0))
    wanted = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    data = json.loads((folder / "labels.json").read_text())
    data["images"][0] |= {"width": turned.shape[1], "height": turned.shape[0]}
    data["annotations"][0]["bbox"] = [
        int(v) for v in (*wanted[:2], wanted[2] - wanted[0], wanted[3] - wanted[1])
    ]
    (folder / "labels.json").write_text(json.dumps(data))
    found = read_objects(folder)
    assert one_box(found) == wanted
    assert (found.truths[0].width, found.truths[0].height) == turned.shape[::-1]
    if orientation < 5:
        return  # the file's own size says nothing there
    data["images"][0] |= {"width": WIDTH, "height": HEIGHT}
    data["annotations"][0]["bbox"] = [10, 20, 30, 40]
    (folder / "labels.json").write_text(json.dumps(data))
    assert one_box(read_objects(folder)) == wanted


def test_boxes_of_photos_that_were_labelled_at_another_size(tmp_path) -> None:
    double = {"width": 2 * WIDTH, "height": 2 * HEIGHT}
    found = read_objects(coco_of(tmp_path / "double", image=double, bbox=[20, 40, 60, 80], area=4000))
    assert one_box(found) == [10, 20, 40, 60]
    assert found.truths[0].areas.tolist() == [1000]
    assert "labelled at another size" in found.findings[0].message
    other = read_objects(coco_of(tmp_path / "other", image={"width": HEIGHT, "height": WIDTH}))
    assert (other.truths[0].width, one_box(other)) == (WIDTH, [10, 20, 40, 60])
    assert "have another size than the labels say" in other.findings[0].message


def test_photos_without_any_object_and_name_fit_every_model(tmp_path) -> None:
    folder = label_studio(tmp_path)
    tasks = json.loads((folder / "export.json").read_text())
    for task in tasks:
        task["annotations"] = [{"result": []}]
    (folder / "export.json").write_text(json.dumps(tasks))
    found = read_objects(folder).renumbered(("cat", "dog"))
    assert (found.names, [len(t.boxes) for t in found.truths]) == (("cat", "dog"), [0, 0, 0])


def test_what_label_studio_holds_beside_rectangles(tmp_path) -> None:
    folder = label_studio(tmp_path)
    tasks = json.loads((folder / "export.json").read_text())
    value = tasks[0]["annotations"][0]["result"][0]["value"]
    value |= {
        "x": 50,
        "y": 50,
        "width": 20,
        "height": 25,
        "rotation": 90,
    }  # about its first corner: to the left
    tasks[1] |= {"annotations": [{"result": [], "was_cancelled": True}]}
    points = [[10, 10], [30, 10], [20, 50]]
    tasks[2]["annotations"][0]["result"] = [
        {"type": "polygonlabels", "value": {"points": points, "polygonlabels": ["dog"]}},
        {"type": "brushlabels", "value": {"rle": [1], "brushlabels": ["dog"]}},
        {"type": "choices", "value": {"choices": ["blurred"]}},
    ]
    (folder / "export.json").write_text(json.dumps(tasks))
    found = read_objects(folder)
    assert [t.image.stem for t in found.truths] == ["a", "c"]
    assert found.truths[0].boxes[0] == pytest.approx([30, 40, 50, 60])
    assert one_box(found, 1) == [10, 8, 30, 40]
    told = [f.message for f in found.findings]
    assert told[0].startswith("1 of 3 tasks were skipped")
    assert told[1].endswith("left out: 1 brushlabels")
    (folder / "export.json").write_text(json.dumps(tasks[1:2]))
    with pytest.raises(DataError, match="none of its 1 tasks is annotated"):
        read_objects(folder / "export.json")


def test_objects_of_voc_without_name_or_area(tmp_path) -> None:
    folder = voc(tmp_path)
    text = (folder / "Annotations/a.xml").read_text()
    (folder / "Annotations/a.xml").write_text(text.replace("<name>cat</name>", "<name/>"))
    with pytest.raises(DataError, match="an object has no name"):
        read_objects(folder)
    sizes = "".join(
        f"<object><name>cat</name><bndbox><xmin>{60 + k}</xmin><ymin>50</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
        "</object>" for k in range(4)
    )  # fmt: skip
    (folder / "Annotations/a.xml").write_text(f"<annotation>{sizes}</annotation>")
    with pytest.raises(DataError, match="have no area: sizes, where corners are expected"):
        read_objects(folder)


def test_the_order_of_classes_is_the_model_s(tmp_path) -> None:
    """Labels that name classes and do not number them say nothing of a model's order, and are told so."""
    from test_head_cut import SIDE, yolo_like

    import qedge

    rng = np.random.default_rng(0)
    for k, name in enumerate(("dog", "cat", "ant", "bee", "cow")):
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)).save(tmp_path / f"{k}.png")
        box = "<bndbox><xmin>3</xmin><ymin>3</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
        text = f"<annotation><object><name>{name}</name>{box}</object></annotation>"
        (tmp_path / f"{k}.xml").write_text(text)
    (tmp_path / "net.tflite").write_bytes(yolo_like())

    def built(**more):
        return qedge.build(
            tmp_path / "net.tflite", tmp_path, out=tmp_path / "build", method="minmax", range=(0, 1), **more
        )

    held = numbered(tmp_path / "held", "", yaml="val: images\nnames: [cow, Ant]\n")
    (held / "labels/a.txt").unlink()
    findings = built(eval_data=held).report.findings
    (said,) = [f.message for f in findings if f.rule == "labels"]
    assert "alphabetical order (ant, bee, cat, cow, dog)" in said
    assert any(f.message.startswith("--eval-data: none of 1 photos has labels") for f in findings)
    (tmp_path / "4.xml").unlink()
    with pytest.raises(DataError, match="found 4 labels, the detector has 5 classes"):
        built()


@pytest.mark.parametrize(
    ("turn", "shift", "rule"), [(0, 0, None), (1, 0, "labels"), (0, 50, "few-found"), (1, 50, "few-found")]
)
def test_a_float_model_that_finds_little_is_told_of(turn, shift, rule, tmp_path) -> None:
    """Whether it calls what it finds otherwise, or finds nothing where the labels are."""
    from qedge.datasets import InputInfo
    from qedge.datasets.objects import open_objects
    from qedge.pipeline.measure import figure_findings
    from qedge.processing.detect import Detect
    from qedge.processing.image import ImagePreprocess
    from qedge.quantize.boxes import ObjectTally
    from qedge.quantize.compare import Comparison

    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for k in range(20):
        Image.new("RGB", (WIDTH, WIDTH)).save(tmp_path / f"images/{k:02d}.png")
        (tmp_path / f"labels/{k:02d}.txt").write_text(f"{k % 3} .25 .25 .2 .3\n")
    (tmp_path / "data.yaml").write_text("val: images\nnames: [a, b, c]\n")
    spec = ImagePreprocess(WIDTH, WIDTH)
    photos = open_objects(tmp_path, [InputInfo("x", spec.shape, "float32")], spec, None)
    tally = ObjectTally(Detect("top_k", decoded=True, input_size=(WIDTH, WIDTH)), photos)
    for k in range(20):
        box = np.array([15, 10, 35, 40]) + shift
        rows = np.array([[*box, 0.9, (k + turn) % 3]], np.float32)[None]
        tally.add([rows], [rows], k)
    figures = tally.result()
    found = [f.rule for f in figure_findings(Comparison(20, (figures,)))]
    assert found == ([rule] if rule else [])
    assert figures.boxes["float"]["map50"] == pytest.approx(0 if rule else 1)
