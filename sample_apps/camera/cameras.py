"""Cameras: the Raspberry Pi's by picamera2, USB cameras by OpenCV; read by a thread, and survived when unplugged."""

from __future__ import annotations

import glob
import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as Late
from typing import Any, Protocol

import numpy as np
from newest import Newest
from sources import Frame, Image, Wanted, load_cv2

from qedge.errors import ToolError

RETRY_SECONDS = 0.5
REST_SECONDS = 3.0
FRAME_SECONDS = 5.0  # a camera that gives no picture for so long is lost
HINT = "plug one in, or look at something else: a video file, a folder of images, or test"
# V4L2: linux/videodev2.h
VIDIOC_QUERYCAP = 0x80685600
CAPABILITY = struct.Struct("16s32s32s3I12x")
VIDEO_CAPTURE, STREAMING, DEVICE_CAPS = 0x1, 0x04000000, 0x80000000
# Parts of the Pi's camera and codec chain, which are no cameras by themselves.
NO_CAMERAS = ("bcm2835-isp", "bcm2835-codec", "unicam", "rp1-cfe", "pispbe", "rpi-hevc-dec")


class Camera(Protocol):
    """An open camera."""

    name: str

    def grab(self) -> bool:
        """Wait for the next picture; False when the camera is gone."""

    def picture(self) -> Image | None:
        """Return the picture that came; None when the camera is gone."""

    def close(self) -> None:
        """Let go of the camera."""


Opener = Callable[[], Camera]  # raises ToolError where there is no camera


class PiCamera:
    """A camera of libcamera, by picamera2: YUV420, as its image processor gives it without further work."""

    def __init__(self, size: tuple[int, int]) -> None:
        from libcamera import ColorSpace
        from picamera2 import Picamera2

        self._cv2 = load_cv2()
        self._request: Any = None
        try:
            self.name = f"Pi camera {Picamera2.global_camera_info()[0]['Model']}"
            self._camera = Picamera2()
            # OpenCV converts by BT.601, which picamera2 would leave at 720p and above.
            self._camera.configure(
                self._camera.create_video_configuration(
                    main={"format": "YUV420", "size": size}, colour_space=ColorSpace.Smpte170m(), queue=False
                )
            )
            self._width = self._camera.camera_configuration()["main"]["size"][0]
            self._camera.start()
        except (RuntimeError, IndexError) as problem:
            if hasattr(self, "_camera"):
                self._camera.close()
            raise ToolError(f"no camera: picamera2 cannot open it: {problem}", hint=HINT) from None

    def grab(self) -> bool:
        self._release()
        try:
            self._request = self._camera.wait(self._camera.capture_request(wait=False), timeout=FRAME_SECONDS)
        except (Late, RuntimeError):
            return False
        return True

    def picture(self) -> Image:
        planes = self._request.make_array(
            "main"
        )  # (height * 3 / 2, stride): Y, then U and V of half the size
        return rgb_of_i420(self._cv2, planes, self._width)

    def close(self) -> None:
        self._release()
        self._camera.stop()
        self._camera.close()

    def _release(self) -> None:
        if self._request is not None:
            self._request.release()
            self._request = None


def rgb_of_i420(cv2: Any, planes: Image, width: int) -> Image:
    """Return RGB (height, width, 3) of YUV420 planes (height * 3 / 2, stride), U before V, rows padded to ``stride``.

    ``COLOR_YUV420p2RGB``, in spite of its name, takes V before U. The padding is cut off after the conversion,
    where it is at the right of every row; in the planes, a row of U or V is only half of one.
    """
    return np.ascontiguousarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)[:, :width])


class UsbCamera:
    """A camera of the system, by OpenCV: V4L2 on Linux."""

    def __init__(self, device: str, size: tuple[int, int]) -> None:
        cv2 = self._cv2 = load_cv2()
        linux = sys.platform == "linux"
        self.name = f"{device_name(device) or 'camera'} ({device})" if linux else f"camera {device}"
        index = int(device.removeprefix("/dev/video"))
        self._device = cv2.VideoCapture(index, cv2.CAP_V4L2 if linux else cv2.CAP_ANY)
        if not self._device.isOpened():
            raise ToolError(f"no camera: {device} cannot be opened", hint=HINT)
        if size[0] * size[1] > 640 * 480:  # more than USB 2 carries at 30 pictures a second uncompressed
            self._device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))
        self._device.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        self._device.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        self._device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if not self._device.grab():
            self._device.release()
            raise ToolError(f"no camera: {device} gives no picture", hint="another program may be using it")

    def grab(self) -> bool:
        return bool(self._device.grab())

    def picture(self) -> Image | None:
        good, image = self._device.retrieve()
        return self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB) if good else None

    def close(self) -> None:
        self._device.release()


def device_name(path: str) -> str | None:
    """Return what a V4L2 device calls itself where it is a camera, else None."""
    import fcntl

    data = bytearray(CAPABILITY.size)
    try:
        with open(path, "rb", buffering=0) as device:
            fcntl.ioctl(device, VIDIOC_QUERYCAP, data)
    except OSError:
        return None
    driver, card, _, _, capabilities, device_capabilities = CAPABILITY.unpack(data)
    able = device_capabilities if capabilities & DEVICE_CAPS else capabilities
    if not (able & VIDEO_CAPTURE and able & STREAMING) or _text(driver) in NO_CAMERAS:
        return None
    return _text(card)


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode(errors="replace")


def _first_usb_camera(size: tuple[int, int]) -> Camera:
    devices = ["0"]
    if sys.platform == "linux":
        found = sorted(glob.glob("/dev/video[0-9]*"), key=lambda path: int(path[len("/dev/video") :]))
        devices = [path for path in found if device_name(path) is not None]
    if not devices:
        raise ToolError("no camera", hint=HINT)
    return UsbCamera(devices[0], size)


def find_camera(text: str | None, size: tuple[int, int]) -> Opener:
    """Return what opens the camera ``text`` (a number or ``/dev/videoN``), or the first one: picamera2's, then USB."""
    if text is not None:
        device = f"/dev/video{text}" if text.isdigit() and sys.platform == "linux" else text
        return lambda: UsbCamera(device, size)
    reason = ""
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")
    try:
        from picamera2 import Picamera2

        if Picamera2.global_camera_info():
            return lambda: PiCamera(size)
        reason = "picamera2 finds none, and "
    except ModuleNotFoundError as problem:
        if problem.name != "picamera2":
            reason = f"picamera2 lacks {problem.name}, and "
    except (ImportError, ValueError) as problem:  # ValueError: built for another numpy
        reason = f"picamera2 cannot be imported ({problem}), and "

    def first() -> Camera:
        try:
            return _first_usb_camera(size)
        except ToolError:
            raise ToolError(f"no camera: {reason}there is none that V4L2 knows", hint=HINT) from None

    return first


class Live:
    """A camera, read by a thread of its own: whoever asks gets the next picture, and nothing is queued.

    A camera that is lost is waited for. While nobody wants pictures it is let go of.
    """

    live = True

    def __init__(self, opener: Opener, wanted: Wanted) -> None:
        self._open, self._wanted = opener, wanted
        self._camera: Camera | None = opener()
        self.name = self._camera.name
        self._asked, self._closed = threading.Event(), threading.Event()
        self._next: Newest[Frame | BaseException] = Newest()
        self._number = self._dropped = 0
        self._lost = False
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def frames(self) -> Iterator[Frame]:
        self._thread.start()
        while not self._closed.is_set():
            self._asked.set()
            found = self._next.take(0.5)
            if isinstance(found, BaseException):
                raise found
            if found is not None:
                yield found

    def close(self) -> None:
        self._closed.set()
        self._next.close()
        if self._thread.is_alive():
            self._thread.join(timeout=2)
        elif self._camera is not None:
            self._camera.close()
            self._camera = None

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as problem:
            self._next.put(problem)
        finally:
            self._let_go()

    def _read(self) -> None:
        begun = last_wanted = time.monotonic()
        while not self._closed.is_set():
            wanted = self._wanted(0)
            if wanted:
                last_wanted = time.monotonic()
            elif time.monotonic() - last_wanted > REST_SECONDS:
                self._let_go()
                while not self._closed.is_set() and not self._wanted(0.5):
                    pass
                last_wanted = time.monotonic()
                continue
            if self._camera is None and not self._reopen():
                self._closed.wait(RETRY_SECONDS)
                continue
            if not self._grab():
                self._lose()
                continue
            self._number += 1
            if not (wanted and self._asked.is_set()):
                self._dropped += wanted
                continue
            seconds, began = time.monotonic() - begun, time.perf_counter()
            image = self._camera.picture()
            if image is None:
                self._lose()
                continue
            if self._lost:
                print(f"{self.name}: back", file=sys.stderr, flush=True)
                self._lost = False
            self._asked.clear()
            read_ms = 1000 * (time.perf_counter() - began)
            self._next.put(Frame(image, self._number, seconds, read_ms, self._dropped))

    def _lose(self) -> None:
        """Let go of a camera that gives nothing any more, and say so once."""
        if not self._lost:
            print(f"{self.name}: lost, waiting for it to come back", file=sys.stderr, flush=True)
        self._lost = True
        self._let_go()
        self._closed.wait(RETRY_SECONDS)

    def _grab(self) -> bool:
        return self._camera is not None and self._camera.grab()

    def _reopen(self) -> bool:
        try:
            self._camera = self._open()
        except ToolError:
            return False
        return True

    def _let_go(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None
