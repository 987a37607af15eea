"""Run a program with a USB camera that OpenCV would open by its number: ``usb.py PROGRAM ARGUMENTS``.

Only ``cv2.VideoCapture`` of a number is a stand-in; files are read by OpenCV itself. ``CAMERA_DOUBLE`` names a folder:
the camera shows ``picture.png``, is gone while ``unplugged`` is there, and gives ``CAMERA_RATE`` frames a second.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

FOLDER = Path(os.environ["CAMERA_DOUBLE"])
RATE = float(os.environ.get("CAMERA_RATE", "30"))
Real = cv2.VideoCapture


class UsbCamera:
    """``cv2.VideoCapture`` of a V4L2 device."""

    def __init__(self, index: int, backend: int) -> None:
        assert backend == cv2.CAP_V4L2
        self._open = self._plugged()
        self._size = {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}
        self._next = time.monotonic()

    @staticmethod
    def _plugged() -> bool:
        return not (FOLDER / "unplugged").exists()

    def isOpened(self) -> bool:
        return self._open

    def set(self, key: int, value: float) -> bool:
        self._size[key] = value
        return True

    def grab(self) -> bool:
        if not (self._open and self._plugged()):
            self._open = False
            return False
        self._next = max(self._next + 1 / RATE, time.monotonic())
        time.sleep(max(0.0, self._next - time.monotonic()))
        return True

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        if not self._open:
            return False, None
        size = int(self._size[cv2.CAP_PROP_FRAME_WIDTH]), int(self._size[cv2.CAP_PROP_FRAME_HEIGHT])
        with Image.open(FOLDER / "picture.png") as picture:
            return True, np.ascontiguousarray(np.asarray(picture.convert("RGB").resize(size))[:, :, ::-1])

    def release(self) -> None:
        self._open = False


def capture(place: object, *arguments: object) -> object:
    return UsbCamera(place, *arguments) if isinstance(place, int) else Real(place, *arguments)


if __name__ == "__main__":
    cv2.VideoCapture = capture
    sys.argv = sys.argv[1:]
    sys.path[0] = sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
