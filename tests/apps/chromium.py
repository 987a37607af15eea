"""What tests of a page in Chromium share: where the browser is, waiting, reading the picture."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

from PIL import ImageColor

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-quic"]


def until(holds: Callable[[], object], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def live(window: Any, timeout: int = 90_000) -> None:
    window.wait_for_selector("body[data-state=live]", timeout=timeout)


def says(window: Any, selector: str, text: str, timeout: int = 90_000) -> None:
    window.wait_for_function(
        "([at, text]) => document.querySelector(at)?.textContent === text",
        arg=[selector, text],
        timeout=timeout,
    )


def pixel(window: Any, x: float, y: float) -> tuple[int, int, int]:
    """Return the colour of the canvas; x and y from 0 to 1."""
    script = """([x, y]) => {
        const copy = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
        copy.drawImage(canvas, -Math.floor(x * canvas.width), -Math.floor(y * canvas.height));
        return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3)}"""
    red, green, blue = window.evaluate(script, [x, y])
    return red, green, blue


def near(found: tuple[int, int, int], colour: str) -> bool:
    return max(abs(a - b) for a, b in zip(found, ImageColor.getrgb(colour))) < 12
