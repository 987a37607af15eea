"""The shape detector of the examples: its mAP in int8, and detectors' boxes on the camera app's page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_models import square_bundle
from chromium import live, near, pixel
from flatbuffers import flexbuffers
from PIL import Image, ImageDraw
from test_camera_page import App

import qedge
from qedge.graph import Graph
from qedge.processing.detect import in_pixels
from qedge.quantize.heads.own import OPERATOR, own_operator

pytest.importorskip("keras", reason="needs qedge[keras]")
pytest.importorskip("pycocotools", reason="needs qedge[detection]")
pytest.importorskip("websockets", reason="needs websockets, as the camera app does")
pytestmark = pytest.mark.long

Boxes = list[tuple[str, tuple[float, ...]]]


@pytest.fixture(scope="module")
def scenes(project: Path) -> Any:
    """Return the module that draws scenes."""
    sys.path.insert(0, str(project / "examples" / "detector"))
    try:
        import scenes
    finally:
        sys.path.pop(0)
    return scenes


@pytest.fixture(scope="module")
def built(
    scenes: Any, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """Return the bundle for a Raspberry Pi, and what the build said."""
    place = tmp_path_factory.mktemp("detector")
    scenes.write(place / "data", 24, 1)
    scenes.write(place / "held", 60, 99)
    command = [sys.executable, "-m", "qedge", "build", "--data", str(place / "data"), "--target", "rpi"]
    command += ["--eval-data", str(place / "held"), "--method", "minmax", "--out", str(place), "--json"]
    folder = project / "examples" / "detector"
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return place / "detector" / "rpi", json.loads(done.stdout)


def test_int8_stays_near_float(built: tuple[Path, dict[str, Any]]) -> None:
    objects = built[1]["outputs"][-1]
    assert objects["metric"] == "map"
    assert objects["float_metric"] > 0.6
    assert abs(objects["drop"]) < 0.02
    assert built[1]["int8"]["bytes"] < 700_000


def test_boxes_of_scenes_are_on_the_page(
    built: tuple[Path, dict[str, Any]], look: Callable[..., Any], scenes: Any, tmp_path: Path
) -> None:
    """Three scenes: the boxes on the page are those that Python gets, in the same pixels, and around the shapes."""
    rng = np.random.default_rng(321)
    right = total = 0
    for k in range(3):
        image, shapes = scenes.scene(rng)
        while not 1 <= len(shapes) <= 3:
            image, shapes = scenes.scene(rng)
        path = tmp_path / f"{k}.png"
        Image.fromarray(image).save(path)
        boxes = shown(built[0], path, look)
        total += len(shapes)
        right += sum(is_there(boxes, scenes.LABELS[shape.label], shape.box) for shape in shapes)
    assert right > 0.7 * total


@pytest.mark.shared
@pytest.mark.parametrize("model", ["shapes", "squares", "ssd"])
def test_boxes_on_photos_are_on_the_page(
    model: str,
    built: tuple[Path, dict[str, Any]],
    look: Callable[..., Any],
    scenes: Any,
    shared: Path,
    tmp_path: Path,
) -> None:
    """Three photos with a shape drawn on each, by the shape detector and SSDs without and with their own decoding."""
    bundle = built[0] if model == "shapes" else square_bundle(tmp_path / model, own=model == "ssd")
    for photo, label, colour in (
        ("cat.bmp", "cross", (30, 160, 60)),
        ("bird.bmp", "circle", (220, 40, 40)),
        ("parrot.jpg", "triangle", (250, 240, 60)),
    ):
        with Image.open(shared / "data" / "images" / photo) as opened:
            image = opened.convert("RGB")
        image.thumbnail((320, 320))
        side = 0.5 * min(image.size)
        points = scenes.outline(label, 0.2, 0.95) * side / 2 + np.array(image.size) * 0.6
        ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in points], fill=colour)
        path = tmp_path / f"{photo}.png"
        image.save(path)
        boxes = shown(bundle, path, look)
        if model == "shapes":
            assert is_there(boxes, label, (*points.min(axis=0), *points.max(axis=0))), (photo, boxes)


@pytest.mark.shared
def test_an_ssd_finds_what_is_on_photos_on_the_page(
    look: Callable[..., Any], shared: Path, tmp_path: Path, cli: Any
) -> None:
    """Every trained SSD that lies beside the project, built as a person builds it."""
    models = {path: detector for path in sorted(shared.rglob("*.tflite")) if (detector := ssd(path))}
    if not models:
        pytest.skip("needs a model that ends with TFLite_Detection_PostProcess beside the project")
    images = shared / "data" / "images"
    names = (images / "coco_labels.txt").read_text().splitlines()
    for number, (model, count) in enumerate(models.items()):
        labels = tmp_path / f"{number}.txt"
        labels.write_text("\n".join(names[:count]) + "\n")
        built = cli(
            *("build", model, "--target", "rpi", "--labels", labels, "--range=-1,1", "--data", images),
            *("--method", "minmax", "--name", "ssd", "--out", tmp_path / str(number)),
        )
        assert built.returncode == 0, built.stderr
        for photo, label in (("cat.bmp", "cat"), ("grace_hopper.bmp", "person"), ("bird.bmp", "bird")):
            found = {name for name, _ in shown(tmp_path / str(number) / "ssd" / "rpi", images / photo, look)}
            wanted = {label} if label in names[:count] else set()
            assert found >= wanted, (model, photo)
            assert wanted or "person" not in found, (model, photo)


def ssd(path: Path) -> int:
    """Return how many classes a model's own SSD post-processing tells apart; 0 for other models."""
    data = path.read_bytes()
    if OPERATOR.encode() not in data or b"edgetpu-custom-op" in data:
        return 0
    op = own_operator(Graph.from_bytes(data))
    return 0 if op is None else int(flexbuffers.Loads(op.custom_options)["num_classes"])


def shown(bundle: Path, path: Path, look: Callable[..., Any]) -> Boxes:
    """Return the boxes of a picture on the page, after holding them to those that Python gets."""
    with Image.open(path) as image:
        width, height = image.size
    with qedge.load(bundle) as model:
        found = in_pixels(model(path).value, model.preprocess, height, width)
    app = App(bundle, path)
    try:
        window = look(app.url)
        live(window)
        boxes = window.evaluate("seen.boxes")
        assert [b["label"] for b in boxes] == [d.label for d in found]
        for box, wanted in zip(boxes, found, strict=True):
            top, left, bottom, right = wanted.box
            assert box["box"] == pytest.approx([left, top, right, bottom], abs=0.11)
        if boxes:
            tint = window.evaluate(f"tint('{boxes[0]['label']}')")
            left, top, _, bottom = boxes[0]["box"]
            edge = [pixel(window, (left + k) / width, (top + bottom) / 2 / height) for k in (-1, 0, 1)]
            assert left < 2 or any(near(colour, tint) for colour in edge)
        window.close()
    finally:
        app.stop()
        if app.process.stderr:
            app.process.stderr.close()
    return [(box["label"], tuple(box["box"])) for box in boxes]


def is_there(boxes: Boxes, label: str, wanted: tuple[float, ...]) -> bool:
    return any(name == label and overlap(box, wanted) > 0.5 for name, box in boxes)


def overlap(box: tuple[float, ...], wanted: tuple[float, ...]) -> float:
    wide = min(box[2], wanted[2]) - max(box[0], wanted[0])
    tall = min(box[3], wanted[3]) - max(box[1], wanted[1])
    shared = max(0.0, wide) * max(0.0, tall)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, wanted)]
    return shared / (sum(areas) - shared)
