"""The camera app with its page, as people use the two: the app as a process, the page in Chromium."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_models import color_bundle, square_bundle
from chromium import live, near, pixel, says, until
from PIL import Image

from qedge.bundle import Manifest, write_bundle
from qedge.processing.image import ImagePreprocess
from qedge.processing.keypoints import Keypoints
from qedge.runtime.litert import tensor_specs

cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
pytest.importorskip("websockets", reason="needs websockets, as the camera app does")

APP = Path(__file__).parents[2] / "sample_apps" / "camera"
COLORS = {"red": (250, 20, 20), "green": (20, 200, 20), "blue": (30, 30, 250)}
# The right label of each picture, as ImageNet's list has it: a cat of three kinds that nobody tells apart for sure, the
# one bird, the one parrot.
IMAGENET = {
    "cat": {"Egyptian cat", "tabby, tabby cat", "tiger cat"},
    "bird": {"chickadee"},
    "parrot": {"macaw"},
}
# Which label is on the page, and the picture on the canvas in so few pixels that they name it; in one go, so that both
# are of the same frame.
GLANCE = """() => {
    const small = new OffscreenCanvas(16, 16).getContext("2d", {willReadFrequently: true});
    small.imageSmoothingQuality = "high";
    small.drawImage(canvas, 0, 0, 16, 16);
    return {label: document.querySelector("#best").textContent, frame: seen.frame, seen: seen.labels[0].label,
        row: document.querySelector("#rows .first span").textContent,
        picture: [...small.getImageData(0, 0, 16, 16).data]};
}"""


class App:
    """The camera app as a process, with a page on any free port."""

    def __init__(self, *arguments: object, host: str = "127.0.0.1") -> None:
        command = [sys.executable, str(APP), *map(str, arguments), "--web", f"{host}:0"]
        clean = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
        self.process = subprocess.Popen(
            command, env=clean, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("open "):
                break
        else:
            raise AssertionError("".join(self.said))
        self.url = line.removeprefix("open ").strip()

    def get(self, path: str) -> bytes:
        port = re.search(r":(\d+)/", self.url)
        assert port
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}{path}", timeout=60) as answer:
            return bytes(answer.read())

    def number(self) -> int:
        """Return the number of frames that were shown so far."""
        return int(json.loads(self.get("/health"))["frame"])

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, said
        assert "Traceback" not in said


@pytest.fixture
def start() -> Iterator[Callable[..., App]]:
    """Start apps; those that still run when the test ends are stopped, and must stop well."""
    apps = []

    def run(*arguments: object, **options: Any) -> App:
        apps.append(App(*arguments, **options))
        return apps[-1]

    yield run
    for app in apps:
        if app.process.poll() is None:
            app.stop()
        if app.process.stderr:
            app.process.stderr.close()


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return color_bundle(tmp_path_factory.mktemp("bundles") / "colors")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of each colour, ten frames a second."""
    path = tmp_path_factory.mktemp("videos") / "colors.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (320, 240))
    assert writer.isOpened()
    for color in COLORS.values():
        for _ in range(10):
            writer.write(np.full((240, 320, 3), color[::-1], np.uint8))
    writer.release()
    return path


def bundle_of(place: Path, model: Path, preprocess: ImagePreprocess, **fields: Any) -> Path:
    data = model.read_bytes()
    inputs, outputs = tensor_specs(data)
    manifest = Manifest(model.stem, "0" * 64, "rpi", inputs, outputs, preprocess=preprocess, **fields)
    write_bundle(place, manifest, {"model.tflite": data})
    return place


def thumbnail(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((16, 16), Image.Resampling.BOX), np.float64)


def glances(window: Any, pictures: dict[str, np.ndarray], count: int = 40) -> list[tuple[str, str]]:
    """Return picture and label of ``count`` different frames; which picture it is follows from the canvas alone."""
    found: list[tuple[str, str]] = []
    last = -1
    while len(found) < count:
        window.wait_for_function("(last) => seen.frame !== last", arg=last)
        glance = window.evaluate(GLANCE)
        last = glance["frame"]
        assert glance["label"] == glance["seen"] == glance["row"]
        shown = np.array(glance["picture"], np.float64).reshape(16, 16, 4)[..., :3]
        distance = {name: float(np.abs(shown - picture).mean()) for name, picture in pictures.items()}
        name = min(distance, key=lambda name: distance[name])
        assert distance[name] < 12, distance
        found.append((name, glance["label"]))
    return found


def test_the_page_names_the_color_of_a_video(
    start: Callable[..., App], look: Callable[..., Any], colors: Path, video: Path
) -> None:
    app = start(colors, video)
    window = look(app.url, quiet=False)
    live(window)
    pictures = {name: thumbnail(Image.new("RGB", (16, 16), color)) for name, color in COLORS.items()}
    found = glances(window, pictures)
    assert {name for name, _ in found} == set(COLORS)
    assert [name for name, _ in found] == [label for _, label in found]
    says(window, "#name", "tiny")
    facts = window.inner_text("#facts")
    assert all(text in facts for text in ("colors.mp4", "320 × 240 → 8 × 8", "rpi"))
    assert 5 < float(window.inner_text("#fps")) < 15  # the rate of the video
    assert all(
        re.fullmatch(r"[\d.]+ ms", window.inner_text(f"#{s}")) for s in ("read", "pre", "invoke", "post")
    )
    app.stop(signal.SIGINT)
    says(window, "#status", "connection lost, trying again")


def test_the_app_rests_while_nobody_looks(
    start: Callable[..., App], look: Callable[..., Any], colors: Path, video: Path
) -> None:
    app = start(colors, video)
    window = look(app.url)
    live(window)
    before = app.number()
    assert until(lambda: app.number() > before)
    window.close()

    def rests() -> bool:
        before = app.number()
        until(lambda: False, 0.7)  # seven frames of the video
        return app.number() == before

    assert until(rests), "frames are still made"
    picture = app.get("/snapshot.jpg")  # wakes it for one picture
    assert picture[:2] == b"\xff\xd8"
    assert until(rests)
    live(look(app.url))


def test_a_page_for_the_network_has_a_token(
    start: Callable[..., App], look: Callable[..., Any], colors: Path, video: Path
) -> None:
    app = start(colors, video, host="0.0.0.0")
    token = re.search(r"\?token=[\w-]{12,}$", app.url)
    assert token
    for query, code in (("", 401), ("?token=guess", 403)):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            app.get("/" + query)
        assert refusal.value.code == code
        refusal.value.close()
    port = re.search(r":\d+/", app.url)
    assert port
    live(look(f"http://127.0.0.1{port[0]}{token[0]}"))


def test_a_taken_port_is_one_clear_error(start: Callable[..., App], colors: Path, video: Path) -> None:
    taken = re.search(r"[\d.]+:\d+", start(colors, video).url)
    assert taken
    command = [sys.executable, str(APP), str(colors), str(video), "--web", taken[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    kinds = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert [kind for kind in kinds if kind != "INFO"] == ["error", "hint"]  # LiteRT says its own


@pytest.mark.parametrize("own", [False, True], ids=["anchors", "ssd"])
def test_a_box_lies_around_what_was_found(
    own: bool, start: Callable[..., App], look: Callable[..., Any], tmp_path: Path
) -> None:
    image = np.zeros((320, 320, 3), np.uint8)
    image[80:160, 160:240] = 255  # one of the 16 cells of the detector
    Image.fromarray(image).save(tmp_path / "square.png")
    window = look(start(square_bundle(tmp_path / "bundle", own), tmp_path / "square.png").url)
    live(window)
    says(window, "#rows li span", "square")
    (box,) = window.evaluate("seen.boxes")
    np.testing.assert_allclose(box["box"], [160, 80, 240, 160], atol=3)
    assert near(pixel(window, 200 / 320, 120 / 320), "white")
    tint = window.evaluate("tint('square')")
    for x, y in ((160, 140), (240, 140), (200, 160)):
        assert near(pixel(window, x / 320, y / 320), tint), (x, y)
    assert near(pixel(window, 100 / 320, 250 / 320), "black")


@pytest.mark.shared
def test_imagenet_pictures_get_their_labels_on_the_page(
    start: Callable[..., App], look: Callable[..., Any], shared: Path, tmp_path: Path, cli: Any
) -> None:
    images = shared / "data" / "images"
    model = shared / "models" / "coral" / "tf2_mobilenet_v2_1.0_224_ptq.tflite"
    built = cli(
        *("build", model, "--target", "rpi", "--labels", images / "imagenet_labels.txt", "--range=-1,1"),
        *("--post", "classify", "--data", images, "--name", "mobilenet", "--out", tmp_path),
    )
    assert built.returncode == 0, built.stderr
    folder = tmp_path / "images"
    folder.mkdir()
    pictures = {}
    for name in IMAGENET:
        (path,) = images.glob(f"{name}.*")
        (folder / path.name).symlink_to(path)
        with Image.open(path) as opened:
            pictures[name] = thumbnail(opened)
    window = look(start(tmp_path / "mobilenet" / "rpi", folder).url)
    live(window)
    found = glances(window, pictures, count=6)  # a picture a second, twice round
    assert {name for name, _ in found} == set(IMAGENET)
    wrong = [(name, label) for name, label in found if label not in IMAGENET[name]]
    assert wrong == []


@pytest.mark.shared
def test_a_person_has_points_on_the_page(
    start: Callable[..., App], look: Callable[..., Any], shared: Path, tmp_path: Path
) -> None:
    model = shared / "models" / "coral" / "movenet_single_pose_lightning_ptq.tflite"
    picture = shared / "data" / "images" / "grace_hopper.bmp"
    preprocess = ImagePreprocess(192, 192, fit="letterbox")
    window = look(start(bundle_of(tmp_path / "b", model, preprocess, postprocess=Keypoints()), picture).url)
    live(window)
    points = {p["name"]: p for p in window.evaluate("seen.points")}
    sure = [p for p in points.values() if p["score"] >= 0.3]
    assert len(sure) >= 5
    says(window, "#sum", f"{len(sure)} of 17 points")
    with Image.open(picture) as opened:
        width, height = opened.size
    by_eye = {"right_eye": (225, 198, "right"), "left_eye": (307, 192, "left"), "nose": (266, 233, "middle")}
    sides = window.evaluate("SIDES")
    for name, (x, y, side) in by_eye.items():
        point = points[name]
        assert (point["x"], point["y"]) == (pytest.approx(x, abs=15), pytest.approx(y, abs=15))
        assert near(pixel(window, point["x"] / width, point["y"] / height), sides[side]), name
    between = [(points["nose"][at] + points["left_eye"][at]) / 2 for at in ("x", "y")]
    assert near(pixel(window, between[0] / width, between[1] / height), sides["middle"]), "no skeleton"
