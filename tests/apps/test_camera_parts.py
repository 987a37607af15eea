"""The parts of the camera app: cameras as their drivers give them, playing, drawing, the window."""

from __future__ import annotations

import fcntl
import importlib
import io
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageGrab

from qedge.errors import ToolError

cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")

APP = Path(__file__).parents[2] / "sample_apps" / "camera"
DOUBLES = Path(__file__).parent / "camera_doubles"
MODULES = ("newest", "sources", "cameras", "task", "draw", "view")


@pytest.fixture(scope="module")
def app() -> Iterator[SimpleNamespace]:
    """The app's modules, which go again: other apps have modules of the same name."""
    sys.path.insert(0, str(APP))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(APP))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture
def quadrants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[np.ndarray]:
    """A picture of four colours that a Pi camera shows: RGB (240, 328, 3)."""
    picture = np.empty((240, 328, 3), np.uint8)
    picture[:120, :164], picture[:120, 164:] = (230, 30, 40), (40, 200, 60)
    picture[120:, :164], picture[120:, 164:] = (30, 50, 220), (220, 210, 60)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    monkeypatch.setenv("CAMERA_DOUBLE", str(tmp_path))
    monkeypatch.syspath_prepend(str(DOUBLES))
    yield picture
    for name in ("picamera2", "libcamera"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("size", [(328, 240), (320, 240), (322, 238)])
def test_a_pi_camera_gives_the_colours_of_the_picture_up_to_its_edges(app, quadrants, size) -> None:
    camera = app.cameras.PiCamera(size)
    assert camera.name == "Pi camera imx708"
    expected = np.asarray(Image.fromarray(quadrants).resize(size, Image.Resampling.NEAREST)).astype(int)
    for _ in range(10):  # more than there are buffers: each must be given back
        assert camera.grab()
    image = camera.picture()
    camera.close()
    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    # Only where two colours meet is one that neither of them has: chroma has half the resolution.
    wrong = np.abs(image.astype(int) - expected).max(axis=2) > 4
    assert not wrong[:, [0, 1, -2, -1]][[10, -10]].any()
    assert wrong.mean() < 0.02


def test_a_pi_camera_that_gives_no_picture_any_more_is_lost(app, quadrants, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(app.cameras, "FRAME_SECONDS", 0.05)
    camera = app.cameras.PiCamera((320, 240))
    assert camera.grab()
    (tmp_path / "unplugged").touch()
    assert not camera.grab()
    camera.close()
    with pytest.raises(ToolError, match="no camera"):
        app.cameras.PiCamera((320, 240))
    (tmp_path / "unplugged").unlink()
    first, second = app.cameras.PiCamera((320, 240)), None
    with pytest.raises(ToolError, match="sequence did not complete"):
        second = app.cameras.PiCamera((320, 240))
    assert second is None
    first.close()


@pytest.mark.parametrize(
    ("driver", "card", "capabilities", "name"),
    [
        (b"uvcvideo", b"HD Pro Webcam C920", 0x04200001, "HD Pro Webcam C920"),
        (b"uvcvideo", b"HD Pro Webcam C920", 0x04A00000, None),  # its node of metadata
        (b"bcm2835-isp", b"bcm2835-isp", 0x04000001, None),
        (b"bcm2835-codec", b"bcm2835-codec-decode", 0x04004000, None),
    ],
)
def test_a_camera_is_what_v4l2_says_captures_video(
    app, tmp_path, monkeypatch, driver, card, capabilities, name
) -> None:
    def ioctl(file: object, request: int, data: bytearray) -> int:
        assert request == 0x80685600
        assert len(data) == 104
        # struct v4l2_capability: what all nodes of the device can do comes before what this one can.
        everything = (0x84A00001).to_bytes(4, "little")
        data[:] = (
            driver.ljust(16, b"\0")
            + card.ljust(32, b"\0")
            + b"usb-1".ljust(32, b"\0")
            + (0x060600).to_bytes(4, "little")
            + everything
            + capabilities.to_bytes(4, "little")
            + bytes(12)
        )
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    (tmp_path / "video0").touch()
    assert app.cameras.device_name(str(tmp_path / "video0")) == name
    assert app.cameras.device_name(str(tmp_path / "none")) is None


class Counter:
    """A camera whose pictures are their own number; ``go`` lets so many come."""

    name = "counter"

    def __init__(self) -> None:
        self.grabbed = 0
        self.open = True
        self.ticks = threading.Semaphore(0)
        self.fails = False

    def grab(self) -> bool:
        if self.fails:
            return False
        self.ticks.acquire(timeout=0.2)
        self.grabbed += 1
        return True

    def picture(self) -> np.ndarray:
        return np.full((4, 4, 3), self.grabbed % 256, np.uint8)

    def close(self) -> None:
        self.open = False

    def go(self, count: int) -> None:
        until, deadline = self.grabbed + count, time.monotonic() + 300
        while self.open and self.grabbed < until and time.monotonic() < deadline:
            self.ticks.release()
            time.sleep(0.001)


def test_a_live_frame_is_taken_after_it_was_asked_for(app) -> None:
    camera = Counter()
    live = app.cameras.Live(lambda: camera, app.sources.always)
    frames = live.frames()
    threading.Thread(target=camera.go, args=(1,), daemon=True).start()
    first = next(frames)
    assert first.dropped == first.number - 1
    camera.go(50)  # nobody asks for these, but for the one that was asked for when the first was handed out
    asked_at = camera.grabbed
    threading.Thread(target=camera.go, args=(5,), daemon=True).start()
    found = next(frames)
    while found.number <= first.number + 1:
        found = next(frames)
    assert found.number > asked_at
    assert int(found.image[0, 0, 0]) == found.number
    assert 40 <= found.dropped < found.number
    live.close()
    assert not camera.open


def test_a_camera_is_let_go_of_while_nobody_looks(app, monkeypatch) -> None:
    monkeypatch.setattr(app.cameras, "REST_SECONDS", 0.05)
    opened: list[Counter] = []
    looked_at = threading.Event()
    looked_at.set()

    def opener() -> Counter:
        opened.append(Counter())
        opened[-1].ticks.release(1000)
        return opened[-1]

    def wanted(seconds: float) -> bool:
        return looked_at.wait(seconds)

    live = app.cameras.Live(opener, wanted)
    frames = live.frames()
    next(frames)
    looked_at.clear()
    deadline = time.monotonic() + 300
    while opened[0].open and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [camera.open for camera in opened] == [False]
    looked_at.set()
    while next(frames).number <= opened[0].grabbed:
        pass
    assert [camera.open for camera in opened] == [False, True]
    live.close()
    assert [camera.open for camera in opened] == [False, False]


@pytest.mark.parametrize("at", ["grab", "picture"])
def test_a_camera_that_is_lost_is_opened_again_and_said_so_once(app, monkeypatch, capsys, at) -> None:
    monkeypatch.setattr(app.cameras, "RETRY_SECONDS", 0.01)
    opened: list[Counter] = []

    class Fails(Counter):
        def picture(self) -> np.ndarray | None:
            return None if self.fails and at == "picture" else super().picture()

        def grab(self) -> bool:
            return not (self.fails and at == "grab") and super().grab()

    def opener() -> Counter:
        if 1 <= len(opened) < 4:
            opened.append(None)
            raise ToolError("no camera")
        opened.append(Fails())
        opened[-1].ticks.release(1000)
        return opened[-1]

    live = app.cameras.Live(opener, app.sources.always)
    frames = live.frames()
    next(frames)
    opened[0].fails = True
    found = next(frames)
    while len(opened) < 5 or found.number <= opened[0].grabbed:
        found = next(frames)
    live.close()
    assert not opened[0].open
    assert capsys.readouterr().err.splitlines() == [
        "counter: lost, waiting for it to come back",
        "counter: back",
    ]


def test_an_error_of_the_reader_reaches_who_asks(app) -> None:
    class Broken(Counter):
        def picture(self) -> np.ndarray:
            raise ToolError("the driver is gone")

    camera = Broken()
    camera.ticks.release(10)
    live = app.cameras.Live(lambda: camera, app.sources.always)
    with pytest.raises(ToolError, match="the driver is gone"):
        next(live.frames())
    live.close()
    assert not camera.open


def test_files_wait_while_nobody_looks_and_go_on_where_they_were(app) -> None:
    looked_at = threading.Event()
    source = app.sources.Playback(app.sources.TestPattern(32, 32), True, False, looked_at.wait)
    found: list[Any] = []

    def read() -> None:
        found.extend(frame for frame, _ in zip(source.frames(), range(5)))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    time.sleep(0.3)
    assert not found
    looked_at.set()
    reader.join(timeout=120)
    assert (found[0].number, found[0].dropped) == (1, 0)
    assert len(found) == 5


def test_a_newest_value_replaces_the_one_before(app) -> None:
    slot = app.newest.Newest()
    assert slot.take(0.01) is None
    slot.put(1)
    slot.put(2)
    assert slot.take(1) == 2
    assert slot.take(0.01) is None
    slot.close()
    began = time.monotonic()
    assert slot.take(600) is None
    assert time.monotonic() - began < 300


@pytest.mark.parametrize("size", [(64, 48), (640, 480), (4000, 3000)])
@pytest.mark.parametrize(
    "seen",
    [
        {"labels": [{"label": "cat", "score": 0.9}]},
        {"boxes": [{"label": "cat", "score": 0.9, "box": [0.0, 0.0, 0.5, 1.0]}]},
        {"boxes": []},
        {
            "boxes": [
                {
                    "label": "cat",
                    "score": 0.9,
                    "box": [0.0, 0.0, 9.0, 9.0],
                    "mask": [[0, 0, 9, 4]],
                    "track": 3,
                }
            ]
        },
        {
            "boxes": [
                {"label": "cat", "score": 0.9, "box": [0.0, 0.0, 9.0, 9.0], "points": [[4, 4, 0.9]] * 17}
            ]
        },
        {"points": [{"name": str(k), "x": -5.0, "y": 1e4, "score": k / 17} for k in range(17)]},
    ],
)
def test_anything_that_is_seen_can_be_drawn_at_any_size(app, size, seen) -> None:
    figures = {"fps": 29.9, "latency_ms": {"invoke": 12.3}}
    gray = Image.new("RGB", size, (128, 128, 128))
    drawn = np.asarray(app.draw.overlay(gray.copy(), {**figures, **seen}, app.task.SKELETON, 0.3))
    assert drawn.shape == (size[1], size[0], 3)
    assert (drawn != 128).any()


def test_lines_say_what_is_no_longer_as_in_calibration(app) -> None:
    from view import drifted

    assert [drifted(seen) for seen in ({}, {"changed": []}, {"changed": ["inputs"]})] == [
        "",
        "",
        "  inputs changed",
    ]


def test_a_jpeg_for_the_page_is_at_most_1280_wide(app) -> None:
    picture = np.zeros((1080, 1920, 3), np.uint8)
    with Image.open(io.BytesIO(app.view.jpeg(picture))) as wide:
        assert wide.size == (1280, 720)
    with Image.open(io.BytesIO(app.view.jpeg(picture[:480, :640]))) as small:
        assert small.size == (640, 480)


@pytest.fixture
def display() -> Iterator[str]:
    """A display of its own, without a screen."""
    pytest.importorskip("tkinter", reason="needs tkinter: apt-get install python3-tk")
    if not shutil.which("Xvfb"):
        pytest.skip("needs a display: apt-get install xvfb")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as number:
            yield f":{number.readline().strip()}"
    finally:
        server.terminate()
        server.wait(timeout=120)


def test_the_window_shows_the_picture_and_what_is_seen(tmp_path, display) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from camera_models import color_bundle

    bundle = color_bundle(tmp_path / "bundle")
    Image.new("RGB", (320, 240), (30, 30, 250)).save(tmp_path / "blue.png")
    command = [sys.executable, str(APP), str(bundle), str(tmp_path / "blue.png")]
    window = subprocess.Popen(
        command,
        env={**os.environ, "DISPLAY": display},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    blue = np.zeros(0)
    while blue.size < 320 * 200 and time.monotonic() < deadline:
        assert window.poll() is None
        time.sleep(0.1)
        screen = np.asarray(ImageGrab.grab(xdisplay=display).convert("RGB")).astype(int)
        blue = screen[(np.abs(screen - (30, 30, 250)) < 3).all(axis=2)]
    assert blue.size >= 320 * 200
    assert ((screen > 200).all(axis=2)).sum() > 20  # letters
    window.terminate()
    output, said = window.communicate(timeout=120)
    assert window.returncode == 0, said
    assert "Traceback" not in said
    assert "blue 1.00" in output


def test_closing_the_window_ends_the_app(app, display, tmp_path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(APP)!r})\n"
        "import threading, time\n"
        "from view import Window\n"
        "window = Window('a title', None)\n"
        "window._root.after(100, lambda: window._root.event_generate('<Escape>'))\n"
        "window._root.update()\n"
        "window._root.focus_force()\n"
        "thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)\n"
        "thread.start()\n"
        "window.run(thread)\n"
        "window.close()\n"
        "print('left')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    assert done.stdout == "left\n", done.stderr
