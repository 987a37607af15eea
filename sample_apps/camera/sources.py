"""Where pictures come from: a camera, a video file, images, a test pattern."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from qedge.errors import DataError, ToolError

Image = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
CAMERA = re.compile(r"(/dev/video)?\d{1,3}")
HINT = "expected a camera (0, /dev/video0), a video file, a folder of images, or test"


class Frame(NamedTuple):
    """One picture.

    Args:
        image: RGB, uint8 (height, width, 3).
        number: which picture of the source it is, from 1; those that were dropped count.
        seconds: when it was taken, since the source began; in a file, the file's own time.
        read_ms: what reading and decoding it took.
        dropped: pictures that were passed over so far, as nobody was ready for them.
    """

    image: Image
    number: int
    seconds: float
    read_ms: float
    dropped: int


class Source(Protocol):
    """What the app looks at."""

    name: str
    live: bool

    def frames(self) -> Iterator[Frame]:
        """Yield frames until the source ends or is closed."""

    def close(self) -> None:
        """Stop; may be called from another thread."""


Wanted = Callable[[float], bool]  # waits for at most so many seconds; whether anybody wants pictures


def always(seconds: float) -> bool:
    """Want pictures at any time."""
    return True


def is_camera(text: str | None) -> bool:
    """Whether ``text`` names a camera; None is the first one."""
    return text is None or bool(CAMERA.fullmatch(text))


def is_source(text: str) -> bool:
    """Whether ``text`` can be a source; a file must be there."""
    return text == "test" or is_camera(text) or os.path.exists(text)


def open_source(
    text: str | None,
    *,
    size: tuple[int, int] | None = None,
    realtime: bool = False,
    loop: bool = False,
    wanted: Wanted = always,
) -> Source:
    """Return the source called ``text``, None for the first camera.

    Args:
        size: (width, height) to ask a camera or the test pattern for.
        realtime: files are played no faster than at their own rate, and pictures are dropped to keep it.
        loop: files are played over and over.

    Raises:
        DataError: a file that is missing or holds no picture.
        ToolError: no such camera, or opencv-python is missing.
    """
    if is_camera(text):
        from cameras import Live, find_camera

        return Live(find_camera(text, size or (640, 480)), wanted)
    pictures: Pictures
    if text == "test":
        pictures = TestPattern(*(size or (640, 480)))
    elif os.path.isdir(text) or Path(text).suffix.lower() in IMAGE_SUFFIXES:
        pictures = Images(text)
    else:
        pictures = Video(text)
    return Playback(pictures, realtime, loop, wanted)


def load_cv2() -> Any:
    """Return OpenCV, told to leave error messages to us and cores to the model."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError:
        raise ToolError(
            "the package opencv-python-headless is not installed",
            hint="pip install opencv-python-headless (Debian: apt-get install python3-opencv)",
        ) from None
    cv2.setNumThreads(1)
    return cv2


class Pictures(Protocol):
    """Pictures in a fixed order, with a rate of their own."""

    name: str
    rate: float

    def skip(self) -> bool:
        """Go to the next picture; whether there is one."""

    def picture(self) -> Image | None:
        """Return the picture that was gone to; None where it cannot be read."""

    def rewind(self) -> None:
        """Go before the first picture."""

    def close(self) -> None:
        """Free what is open."""


class Video:
    """A video file, by OpenCV."""

    def __init__(self, path: str) -> None:
        if not os.path.isfile(path):
            raise DataError(f"{path}: no such file", hint=HINT)
        self._cv2 = load_cv2()
        self._path, self.name = path, os.path.basename(path)
        self._file = self._cv2.VideoCapture(path, self._cv2.CAP_FFMPEG)
        if not self._file.isOpened() or not self._file.grab():
            raise DataError(f"{path}: no video that OpenCV can read", hint=HINT)
        self.rewind()
        rate = self._file.get(self._cv2.CAP_PROP_FPS)
        self.rate = float(rate) if 0.1 <= rate <= 1000 else 30.0

    def skip(self) -> bool:
        return bool(self._file.grab())

    def picture(self) -> Image | None:
        good, image = self._file.retrieve()
        return self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB) if good else None

    def rewind(self) -> None:
        self._file.release()
        self._file.open(self._path, self._cv2.CAP_FFMPEG)

    def close(self) -> None:
        self._file.release()


class Images:
    """An image file, or all images of a folder by name; one a second."""

    rate = 1.0

    def __init__(self, path: str) -> None:
        self.name = os.path.basename(os.path.abspath(path))
        place = Path(path)
        if not place.exists():
            raise DataError(f"{path}: no such file", hint=HINT)
        self._paths = _images_in(place) if place.is_dir() else [place]
        if not self._paths:
            raise DataError(
                f"{path}: no image in the folder", hint=f"known: {' '.join(sorted(IMAGE_SUFFIXES))}"
            )
        self._at = -1

    def skip(self) -> bool:
        self._at += 1
        return self._at < len(self._paths)

    def picture(self) -> Image | None:
        from PIL import Image as pillow
        from PIL import ImageOps

        path = self._paths[self._at]
        try:
            with pillow.open(path) as opened:
                return np.array(ImageOps.exif_transpose(opened).convert("RGB"))
        except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError):
            print(f"{path}: no image that pillow can read, left out", file=sys.stderr, flush=True)
            return None

    def rewind(self) -> None:
        self._at = -1

    def close(self) -> None:
        """Nothing is open."""


def _images_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())


class TestPattern:
    """Colour bars with a white square on its way round; it never ends."""

    __test__ = False  # no test, whatever pytest thinks
    name, rate = "test pattern", 30.0
    BARS = (
        (192, 192, 192),
        (192, 192, 0),
        (0, 192, 192),
        (0, 192, 0),
        (192, 0, 192),
        (192, 0, 0),
        (0, 0, 192),
    )

    def __init__(self, width: int, height: int) -> None:
        self._still = np.empty((height, width, 3), np.uint8)
        self._still[:] = np.array(self.BARS, np.uint8)[np.arange(width) * len(self.BARS) // width]
        self._still[height * 3 // 4 :] = (np.arange(width) * 255 // width).astype(np.uint8)[:, None]
        self._at = -1

    def skip(self) -> bool:
        self._at += 1
        return True

    def picture(self) -> Image:
        image = self._still.copy()
        height, width = image.shape[:2]
        side, angle = max(1, min(height, width) // 6), self._at * 0.05
        top = int((height - side) * (0.5 + 0.4 * np.sin(angle)))
        left = int((width - side) * (0.5 + 0.4 * np.cos(angle)))
        image[top : top + side, left : left + side] = 255
        return image

    def rewind(self) -> None:
        self._at = -1

    def close(self) -> None:
        """Nothing is open."""


class Playback:
    """Pictures one after the other, all of them, or in real time those that there is time for."""

    live = False

    def __init__(self, pictures: Pictures, realtime: bool, loop: bool, wanted: Wanted) -> None:
        self.name = pictures.name
        self._pictures, self._realtime, self._loop, self._wanted = pictures, realtime, loop, wanted
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def frames(self) -> Iterator[Frame]:
        try:
            yield from self._play()
        finally:
            self._pictures.close()

    def _play(self) -> Iterator[Frame]:
        pictures, period = self._pictures, 1 / self._pictures.rate
        number = dropped = shown = passed_over = 0
        start = time.monotonic()
        while not self._closed.is_set():
            if not self._wanted(0):
                rested = time.monotonic()
                while not self._wanted(0.5):
                    if self._closed.is_set():
                        return
                start += time.monotonic() - rested
            began = time.perf_counter()
            if not pictures.skip():
                if not shown:
                    raise DataError(f"{self.name}: no picture in it can be read", hint=HINT)
                if not self._loop:
                    return
                pictures.rewind()
                continue
            read = time.perf_counter() - began
            seconds, number = number * period, number + 1
            if self._realtime:
                late = time.monotonic() - start - seconds
                if late > period and passed_over < self._pictures.rate:
                    dropped, passed_over = dropped + 1, passed_over + 1
                    continue
                if late > 1:  # the clock of a machine that slept, or that cannot keep up at all
                    start += late
                self._closed.wait(max(0.0, -late))
            began = time.perf_counter()
            image = pictures.picture()
            if image is not None:
                shown, passed_over = shown + 1, 0
                read += time.perf_counter() - began
                yield Frame(image, number, seconds, 1000 * read, dropped)
