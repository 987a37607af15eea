"""Boxes in the photo's own pixels, however it is handed over: by the library, by ``qedge run``, turned by EXIF."""

from __future__ import annotations

import gc
import json
import weakref

import numpy as np
import pytest
from camera_models import color_bundle, square_bundle
from PIL import Image, ImageOps

import qedge
from qedge.errors import UsageError
from qedge.processing.image import ImagePreprocess
from qedge.runtime.objects import remembered
from tests import json_page

SQUARE = (60, 30, 90, 60)  # left, top, right, bottom in the file as it lies: a cell of 30 x 30 of 120 x 120
ORIENTATIONS = (1, 3, 6, 8)


def turned(folder, orientation: int):
    """Return a photo with one bright square, and where that is once EXIF has turned it."""
    low = np.zeros((120, 120, 3), np.uint8)
    low[SQUARE[1] : SQUARE[3], SQUARE[0] : SQUARE[2]] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = folder / f"{orientation}.png"
    Image.fromarray(low).save(path, exif=exif)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    rows, columns = np.flatnonzero(upright.any(axis=1)), np.flatnonzero(upright.any(axis=0))
    return path, [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def places(objects):
    return [[o.box[k] for k in (1, 0, 3, 2)] for o in objects]


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
def test_boxes_are_in_pixels_of_the_upright_photo(fit, cli, tmp_path) -> None:
    bundle = square_bundle(tmp_path / "bundle", preprocess=ImagePreprocess(16, 16, resize="area", fit=fit))
    photos = [turned(tmp_path, orientation) for orientation in ORIENTATIONS]
    if fit == "letterbox":
        document = cli.json("run", bundle, *(path for path, _ in photos))
        json_page.check("run", document)
        for (_, wanted), entry in zip(photos, document["results"]):
            (found,) = entry["objects"]
            assert (found["label"], found["box"]) == ("square", pytest.approx(wanted, abs=1))
    with qedge.load(bundle) as model:
        for path, wanted in photos:
            with Image.open(path) as image:
                assert places(model(image).objects) == [pytest.approx(wanted, abs=1)]
                upright = np.asarray(ImageOps.exif_transpose(image))
            assert places(model(path).objects) == places(model(upright).objects)
        streamed = model.stream([path for path, _ in photos])
        assert [places(result.objects)[0] for result in streamed] == [
            pytest.approx(wanted, abs=1) for _, wanted in photos
        ]


def test_boxes_outlive_the_file_of_their_photo(tmp_path) -> None:
    path, wanted = turned(tmp_path, 6)
    with qedge.load(square_bundle(tmp_path / "bundle")) as model:
        result = model(path)
        path.unlink()
        assert places(result.objects) == [pytest.approx(wanted, abs=1)]


def test_boxes_of_a_photo_of_any_shape(tmp_path) -> None:
    bundle = square_bundle(
        tmp_path / "bundle", preprocess=ImagePreprocess(16, 16, resize="area", fit="letterbox")
    )
    with qedge.load(bundle) as model:
        for size in ((1, 1), (4000, 7), (3, 900)):
            for mode in ("RGB", "L", "RGBA", "P", "CMYK"):
                for found in places(model(Image.new(mode, size, 0)).objects):
                    assert np.all(np.array(found) <= [*size, *size])


def test_a_result_does_not_hold_its_photo(tmp_path) -> None:
    bundle = square_bundle(tmp_path / "bundle", preprocess=ImagePreprocess(16, 16, resize="area"))
    path, wanted = turned(tmp_path, 6)
    with qedge.load(bundle) as model:
        image = Image.open(path)
        result, seen = model(image), weakref.ref(image)
        image.close()
        del image
        gc.collect()
        assert seen() is None
        assert places(result.objects) == [pytest.approx(wanted, abs=1)]


def test_what_run_prints_of_a_detector(cli, tmp_path) -> None:
    path, (left, top, right, bottom) = turned(tmp_path, 1)
    Image.new("RGB", (20, 20)).save(tmp_path / "dark.png")
    printed = cli("run", square_bundle(tmp_path / "bundle"), path, tmp_path / "dark.png").stdout
    assert f"({left}, {top}, {right}, {bottom})" in printed
    assert "nothing" in printed


def test_objects_of_what_is_no_detector(tmp_path) -> None:
    image = Image.new("RGB", (8, 8))
    with qedge.load(color_bundle(tmp_path / "colours")) as model, pytest.raises(UsageError, match="classify"):
        _ = model(image).objects
    bare = square_bundle(tmp_path / "bare", preprocess=None)
    with qedge.load(bare) as model, pytest.raises(UsageError, match="shares of that"):
        _ = model(np.zeros((1, 16, 16, 3), np.int8)).objects


def test_a_bundle_alone_is_evaluated_with_its_precision(cli, tmp_path) -> None:
    """Without the float model beside it nothing is compared, and what int8 finds is still told by size and class."""
    pytest.importorskip("pycocotools")
    bundle = square_bundle(tmp_path / "bundle")
    path, (left, top, right, bottom) = turned(tmp_path, 6)
    note = {
        "image_id": 1,
        "category_id": 1,
        "bbox": [int(v) for v in (left, top, right - left, bottom - top)],
    }
    labels = {"images": [{"id": 1, "file_name": path.name}], "categories": [{"id": 1, "name": "Square"}]}
    (tmp_path / "coco.json").write_text(json.dumps({**labels, "annotations": [note]}))
    said = cli.json("evaluate", bundle, "--data", tmp_path / "coco.json")
    assert (said["metric"], said["float"], said["quantized"]) == ("map", None, pytest.approx(1))
    assert said["outputs"][-1]["boxes"]["int8"]["by_class"] == {"square": pytest.approx(1)}
    assert said["outputs"][-1]["boxes"]["int8"]["by_size"]["small"] == pytest.approx(1)


def test_verify_takes_the_photos_of_a_file_of_labels(cli, tmp_path) -> None:
    path, _ = turned(tmp_path, 1)
    labels = {"images": [{"id": 1, "file_name": path.name}], "annotations": []}
    (tmp_path / "coco.json").write_text(json.dumps({**labels, "categories": [{"id": 1, "name": "other"}]}))
    said = cli.json("verify", square_bundle(tmp_path / "bundle"), "--data", tmp_path / "coco.json")
    assert (said["passed"], said["samples"]) == (True, 1)


def test_what_a_result_keeps_of_an_image_is_its_size() -> None:
    """Of several inputs the image is the first; an array is not looked at again."""
    spec = ImagePreprocess(16, 16)
    image = np.zeros((30, 40, 3), np.float32)
    for sample in (image, image[None], image[..., 0], [image, np.ones(2)], (Image.new("L", (40, 30)), 1)):
        assert remembered(sample, spec) == (30, 40)
    assert remembered(image, None) is None
