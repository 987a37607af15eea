"""Image pre-processing against pillow, stored TensorFlow results and plain arithmetic."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from qedge import quantmath
from qedge.errors import DataError, IntegrityError, UsageError
from qedge.processing import resize as resizing
from qedge.processing.image import ImagePreprocess
from qedge.processing.spec import preprocess_from_json
from qedge.quantize.interpreter import Runner
from qedge.testing.opmodels import ModelBuilder, Spec


def picture(height: int = 48, width: int = 64, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(20, 30), (96, 96), (48, 17), (1, 1), (133, 64)])
def test_antialiased_resize_is_pillows_in_the_classic_order_of_passes(method, size) -> None:
    how = Image.Resampling[method.upper()]
    source = Image.fromarray(picture())
    if method == "nearest":
        expected = source.resize(size[::-1], how)
    else:
        expected = source.resize((size[1], 48), how).resize(size[::-1], how)
    assert np.array_equal(resizing.resize(picture(), *size, method), np.asarray(expected))
    assert np.abs(np.int16(np.asarray(source.resize(size[::-1], how))) - np.asarray(expected)).mean() < 1


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_without_pillow_the_bytes_are_the_same(method, monkeypatch) -> None:
    rng = np.random.default_rng(1)
    for _ in range(8):
        height, width, new_height, new_width = rng.integers(1, 150, 4)
        image = picture(height, width, int(rng.choice([1, 3])))
        with_pillow = resizing.resize(image, new_height, new_width, method)
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "PIL", None)
            assert np.array_equal(resizing.resize(image, new_height, new_width, method), with_pillow)


@pytest.fixture(scope="module")
def tensorflow_results(project):
    """Made by tests/golden/make_resize.py."""
    stored = json.loads((project / "tests" / "golden" / "tf_resize.json").read_text())
    assert stored.pop("made_with").startswith("TensorFlow")
    return {key: np.array(value)[:, :, None] for key, value in stored.items()}


def test_resize_is_tensorflows(tensorflow_results) -> None:
    image = tensorflow_results.pop("image").astype(np.uint8)
    seen = set()
    for key, expected in tensorflow_results.items():
        method, antialias, height, width = key.split("_")
        # TensorFlow's own bicubic takes its weights from a table of 1024 steps.
        close = 0.25 if (method, antialias) == ("bicubic", "0") else 0.005
        found = resizing.resize(image.astype(np.float32), int(height), int(width), method, antialias == "1")
        assert np.abs(found - expected).max() < close, key
        levels = resizing.resize(image, int(height), int(width), method, antialias == "1")
        if antialias == "0":
            assert np.abs(levels - np.clip(expected, 0, 255)).max() < 0.5 + close, key
        seen.add(method)
    assert seen == {"nearest", "bilinear", "bicubic", "area"}


@pytest.mark.parametrize("sizes", [(58, 113), (113, 224), (206, 113), (7, 49), (640, 96)])
def test_nearest_pixels_are_tensorflow_s_where_a_centre_falls_between_two(sizes) -> None:
    """Its kernel multiplies in float32, and so does LiteRT's."""
    height, target = sizes
    builder = ModelBuilder()
    graph = builder.subgraph()
    source = graph.input(Spec((1, height, 1, 1), "float32"))
    wanted = graph.tensor(Spec((2,), "int32", data=[target, 1]))
    result = graph.tensor(Spec((1, target, 1, 1), "float32"))
    options = {"align_corners": False, "half_pixel_centers": True}
    graph.operator("RESIZE_NEAREST_NEIGHBOR", [source, wanted], [result], options, version=3)
    graph.output(result)
    rows = np.arange(height, dtype=np.float32).reshape(height, 1, 1)
    (expected,) = Runner(builder.pack()).predict([rows[None]])
    assert np.array_equal(resizing.resize(rows, target, 1, "nearest", antialias=False), expected[0])


def test_normalisation_is_the_documented_formula() -> None:
    image = picture(4, 5)
    spec = ImagePreprocess(5, 4, range=(-1, 1), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2))
    expected = (-1 + image / 255 * 2 - [0.1, 0.2, 0.3]) / [0.5, 0.25, 2]
    assert spec.shape == (1, 4, 5, 3)
    assert np.allclose(spec.apply(image)[0], expected, atol=1e-6)
    assert np.allclose(spec.apply(image.astype(np.float32))[0], expected, atol=1e-6)


def test_colours() -> None:
    image = picture(4, 5)
    assert np.array_equal(ImagePreprocess(5, 4, "bgr").apply(image)[0], image[:, :, ::-1])
    gray = np.asarray(Image.fromarray(image).convert("L"))[:, :, None]
    assert np.array_equal(ImagePreprocess(5, 4, "gray").apply(image)[0], gray)
    assert np.array_equal(ImagePreprocess(5, 4).apply(gray[:, :, 0])[0], np.repeat(gray, 3, 2))
    rgba = np.concatenate([image, gray], axis=2)
    assert np.array_equal(ImagePreprocess(5, 4).apply(rgba)[0], image)


def test_a_path_a_pillow_image_and_an_array_give_the_same(tmp_path) -> None:
    image = picture()
    Image.fromarray(image).save(tmp_path / "x.png")
    spec = ImagePreprocess(32, 32)
    expected = spec.apply(image)
    assert np.array_equal(spec.apply(Image.fromarray(image)), expected)
    assert np.array_equal(spec.apply(tmp_path / "x.png"), expected)
    assert np.array_equal(spec.apply(image[None]), expected)


def test_an_image_is_turned_upright(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(8, 6)).save(tmp_path / "x.png", exif=exif)
    found = ImagePreprocess(8, 6).apply(tmp_path / "x.png")
    assert np.array_equal(found[0], np.rot90(picture(8, 6), -1))


def test_crop_keeps_the_middle_and_letterbox_the_whole() -> None:
    image = picture(40, 80)
    assert np.array_equal(ImagePreprocess(40, 40, fit="crop").apply(image)[0], image[:, 20:60])
    half = ImagePreprocess(20, 20, fit="crop", crop_fraction=0.5)
    assert np.array_equal(half.apply(image)[0], image[10:30, 30:50])
    boxed = ImagePreprocess(80, 80, fit="letterbox", fill=7).apply(image)[0]
    assert np.array_equal(boxed[20:60], image)
    assert (boxed[:20] == 7).all()
    assert (boxed[60:] == 7).all()


QUANTIZATIONS = [
    (1.0, -128, np.int8, {}),
    (1 / 127.5, 0, np.int8, {"range": (-1, 1)}),
    (1 / 255, -128, np.int8, {"range": (0, 1)}),
    (1.0, 0, np.uint8, {}),
    (0.02, -3, np.int8, {"range": (0, 1), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}),
    (0.01, 5, np.uint8, {"range": (0, 1), "mean": (0.5,), "std": (0.25,)}),
]


@pytest.mark.parametrize(("scale", "zero_point", "dtype", "fields"), QUANTIZATIONS)
def test_encode_gives_the_bytes_of_the_way_over_float(scale, zero_point, dtype, fields) -> None:
    spec = ImagePreprocess(16, 16, **fields)
    levels = np.arange(256 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    for image in (levels, levels.astype(np.float32) + np.float32(0.25)):
        expected = quantmath.quantize(spec.apply(image), scale, zero_point, dtype)
        found = spec.encode(image, scale, zero_point, dtype)
        assert found.dtype == dtype
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(("scale", "zero_point", "dtype", "fields"), QUANTIZATIONS[2:])
@pytest.mark.parametrize("size", [(16, 16), (15, 15), (5, 6), (6, 5), (1, 2), (1, 1)])
@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
def test_encode_gives_the_same_bytes_for_every_size(scale, zero_point, dtype, fields, size, color) -> None:
    width, height = size
    if color == "gray":
        fields = {k: v for k, v in fields.items() if len(v) < 3}
    spec = ImagePreprocess(width, height, color, **fields)
    wide = picture(width * 2, height * 3)
    for image in (wide[:height, :width], wide[::3, ::2], np.ascontiguousarray(wide[:height, :width])):
        expected = quantmath.quantize(spec.apply(image), scale, zero_point, dtype)
        assert np.array_equal(spec.encode(image, scale, zero_point, dtype), expected)


def test_every_pair_of_levels_in_every_channel() -> None:
    scale, zero_point, dtype, fields = QUANTIZATIONS[4]
    pairs = np.arange(1 << 16, dtype=np.uint16).view(np.uint8)
    image = np.concatenate([pairs] * 6)[: 512 * 256 * 3].reshape(512, 256, 3)
    spec = ImagePreprocess(256, 512, **fields)
    expected = quantmath.quantize(spec.apply(image), scale, zero_point, dtype)
    assert np.array_equal(spec.encode(image, scale, zero_point, dtype), expected)


def test_plain_levels_take_one_xor() -> None:
    from qedge.processing.image import _quantized_table

    assert _quantized_table(ImagePreprocess(4, 4), 1.0, -128, "int8")[1] == 0x80
    assert _quantized_table(ImagePreprocess(4, 4, range=(0, 1)), 1 / 255, -128, "int8")[1] == 0x80
    assert _quantized_table(ImagePreprocess(4, 4), 1.0, 0, "uint8")[1] == 0
    assert _quantized_table(ImagePreprocess(4, 4), 0.5, 0, "int8")[1] is None


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.zeros((3, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 4, 3), np.int32), "int32"),
        (np.full((4, 4, 3), np.nan, np.float32), "NaN"),
        (np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 4, 3), "0 to 255"),
        (np.eye(4, dtype=np.float32), "0 to 255"),
        (np.linspace(-1, 1, 48, dtype=np.float32).reshape(4, 4, 3), "0 to 255"),
        (np.linspace(-2.1, 2.6, 48).reshape(4, 4, 3), "0 to 255"),
        (np.linspace(0, 2.6, 48).reshape(4, 4, 3), "0 to 255"),
        (np.linspace(-123, 151, 48).reshape(4, 4, 3), "0 to 255"),
        (np.linspace(0, 65535, 48).reshape(4, 4, 3), "0 to 255"),
        (np.linspace(-3, 258, 48).reshape(4, 4, 3), "0 to 255"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((4, 4, 3), np.int8), "int8"),
        (np.zeros((4, 4, 3), bool), "bool"),
        (17, "int"),
        ("none.png", "no such file"),
        (__file__, "no image"),
    ],
)
def test_what_is_no_image_is_refused_in_words(sample, message) -> None:
    for spec in (
        ImagePreprocess(4, 4),
        ImagePreprocess(4, 4, range=(-1, 1)),
        ImagePreprocess(2, 2, std=(58,)),
    ):
        for call in (spec.apply, lambda image, spec=spec: spec.encode(image, 0.01, 3, "int8")):
            with pytest.raises(DataError, match=message):
                call(sample)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3)), np.arange(48.0).reshape(4, 4, 3), np.full((4, 4), 3.0)]
)
def test_float_levels_are_taken(image) -> None:
    expected = ImagePreprocess(4, 4, range=(0, 1)).apply(image.astype(np.uint8))
    assert np.allclose(ImagePreprocess(4, 4, range=(0, 1)).apply(image), expected, atol=1e-6)


def test_for_input_takes_the_size_from_the_model() -> None:
    spec = ImagePreprocess.for_input((1, 96, 64, 1), resize="area")
    assert (spec.height, spec.width, spec.color, spec.resize) == (96, 64, "gray", "area")
    with pytest.raises(DataError, match="expected"):
        ImagePreprocess.for_input((1, 49, 10))


def test_json_round_trip() -> None:
    spec = ImagePreprocess(224, 160, "bgr", "area", False, "letterbox", 0.875, 114, (0, 1), (0.5,), (1, 2, 3))
    assert preprocess_from_json(spec.to_json()) == spec
    assert preprocess_from_json(None) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, r"^\$\.preprocess\.width: found 0"),
        ({"width": "9"}, r"\$\.preprocess\.width"),
        ({"width": [9]}, r"\$\.preprocess\.width"),
        ({"std": [1, 0, 1]}, r"\$\.preprocess\.std"),
        ({"mean": [1, 2]}, r"\$\.preprocess\.mean"),
        ({"mean": [float("nan")]}, r"\$\.preprocess\.mean"),
        ({"range": [1, 1]}, r"\$\.preprocess\.range"),
        ({"color": "rbg"}, r"\$\.preprocess\.color"),
        ({"colour": "rgb"}, r"\$\.preprocess\.colour: unknown key"),
        ({"kind": "imagee"}, r"\$\.preprocess\.kind"),
        ({"fit": None}, r"\$\.preprocess\.fit"),
        ({"crop_fraction": 0}, r"\$\.preprocess\.crop_fraction"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(change, message) -> None:
    with pytest.raises(IntegrityError, match=message):
        preprocess_from_json({**ImagePreprocess(4, 4).to_json(), **change}, "$.preprocess", IntegrityError)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(UsageError, match=r"\$\.height: missing"):
        preprocess_from_json({"kind": "image", "width": 4})


@pytest.mark.parametrize(
    "size", [(480, 640), (333, 517), (100, 80), (301, 299), (97, 131), (320, 320), (1080, 1920)]
)
def test_a_letterbox_is_ultralytics_s_to_the_pixel(size) -> None:
    """Its package: one factor, rounded sides, OpenCV's linear resize, bars of 114."""
    cv2 = pytest.importorskip("cv2")
    photo = np.random.default_rng(size[0]).integers(0, 256, (*size, 3)).astype(np.uint8)
    factor = min(320 / size[0], 320 / size[1])
    width, height = round(size[1] * factor), round(size[0] * factor)
    wide, tall = (320 - width) / 2, (320 - height) / 2
    inner = (
        photo
        if (height, width) == size
        else cv2.resize(photo, (width, height), interpolation=cv2.INTER_LINEAR)
    )
    bars = (round(tall - 0.1), round(tall + 0.1), round(wide - 0.1), round(wide + 0.1))
    wanted = cv2.copyMakeBorder(inner, *bars, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    spec = ImagePreprocess(320, 320, fit="letterbox", fill=114, resize="opencv", range=(0.0, 1.0))
    assert np.array_equal(spec.pixels(photo), wanted)
    assert np.array_equal(spec.apply(photo)[0], (wanted / np.float64(255)).astype(np.float32))
