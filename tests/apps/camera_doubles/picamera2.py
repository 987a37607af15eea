"""A stand-in for the camera hardware behind picamera2: the same calls, frames as a Pi's image processor gives them.

``CAMERA_DOUBLE`` names a folder: the camera shows ``picture.png`` of it (stretched), and is gone while ``unplugged``
is there. Frames are YUV420 (U before V) whose rows are padded to 64 bytes with noise, 30 a second.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from libcamera import ColorSpace
from PIL import Image

ALIGN = 64


def folder() -> Path:
    return Path(os.environ["CAMERA_DOUBLE"])


def i420(rgb: np.ndarray, stride: int) -> np.ndarray:
    """Return (height * 3 / 2, stride) of RGB by ITU-R BT.601, limited range; padding is noise."""
    red, green, blue = (rgb[:, :, k].astype(np.float64) / 255 for k in range(3))
    luma = 16 + 65.481 * red + 128.553 * green + 24.966 * blue
    u = 128 - 37.797 * red - 74.203 * green + 112.0 * blue
    v = 128 + 112.0 * red - 93.786 * green - 18.214 * blue
    height, width = luma.shape
    noise = np.random.default_rng(0).integers(0, 256, height * stride * 3 // 2, np.uint8)
    rows = noise[: height * stride].reshape(height, stride)
    rows[:, :width] = np.rint(luma)
    halves = noise[height * stride :].reshape(2, height // 2, stride // 2)
    for plane, values in zip(halves, (u, v)):
        plane[:, : width // 2] = np.rint(values.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)))
    return noise.reshape(height * 3 // 2, stride)


class CompletedRequest:
    def __init__(self, array: np.ndarray, release) -> None:
        self._array, self._release = array, release

    def make_array(self, name: str) -> np.ndarray:
        assert name == "main"
        return self._array.copy()

    def release(self) -> None:
        self._release()


class Picamera2:
    _open = False

    @staticmethod
    def global_camera_info() -> list[dict[str, object]]:
        if (folder() / "unplugged").exists():
            return []
        return [
            {"Model": "imx708", "Location": 2, "Rotation": 180, "Id": "/base/soc/i2c0mux/imx708", "Num": 0}
        ]

    def __init__(self, camera_num: int = 0) -> None:
        if Picamera2._open:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        self.global_camera_info()[camera_num]
        Picamera2._open = True
        self._held = 0

    def create_video_configuration(self, main={}, colour_space=None, buffer_count=6, queue=True):  # noqa: B006
        assert isinstance(colour_space, ColorSpace)
        return {
            "main": dict(main),
            "colour_space": colour_space,
            "buffer_count": buffer_count,
            "queue": queue,
        }

    def configure(self, config) -> None:
        width, height = config["main"]["size"]
        assert config["main"]["format"] == "YUV420"
        assert config["colour_space"].name == "smpte170m"
        stride = -(-width // ALIGN) * ALIGN
        config["main"] |= {"stride": stride, "framesize": stride * height * 3 // 2}
        self._config = config
        with Image.open(folder() / "picture.png") as picture:
            rgb = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.NEAREST))
        self._array = i420(rgb, stride)

    def camera_configuration(self):
        return self._config

    def start(self) -> None:
        self._next = time.monotonic()

    def capture_request(self, wait=None) -> Future:
        assert wait is False
        assert self._held < self._config["buffer_count"], "requests were not released"
        job: Future = Future()
        if (folder() / "unplugged").exists():
            return job  # the frame never comes
        self._next = max(self._next + 1 / 30, time.monotonic())
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._held += 1
        job.set_result(CompletedRequest(self._array, self._release))
        return job

    def wait(self, job: Future, timeout=None) -> CompletedRequest:
        return job.result(timeout=timeout)

    def stop(self) -> None:
        assert self._held == 0

    def close(self) -> None:
        Picamera2._open = False

    def _release(self) -> None:
        self._held -= 1
