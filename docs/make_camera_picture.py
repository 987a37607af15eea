"""Picture the camera app's page at work: ``python docs/make_camera_picture.py`` writes pictures/camera.jpg.

The app looks at a film of a drawn ship with the model that comes along; Chromium shows its page on a desktop and on a
phone. Without Chromium the picture stays what it is.
"""

from __future__ import annotations

import io
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

PROJECT = Path(__file__).resolve().parents[1]
PICTURE = Path(__file__).with_name("pictures") / "camera.jpg"
SIZE = (640, 480)
FINE = 3  # times finer is it drawn
HORIZON = 0.58

Shape = list[tuple[float, float]]
# In parts of the picture's width and height, from the back to the front.
HULL: list[tuple[str, Shape]] = [
    ("#f6f6f3", [(0.24, 0.59), (0.24, 0.47), (0.62, 0.47), (0.645, 0.57)]),
    ("#e8e9e8", [(0.29, 0.47), (0.29, 0.395), (0.53, 0.395), (0.55, 0.47)]),
    ("#f6f6f3", [(0.34, 0.395), (0.345, 0.335), (0.47, 0.335), (0.48, 0.395)]),
    ("#32465a", [(0.355, 0.352), (0.465, 0.352), (0.465, 0.372), (0.355, 0.372)]),
    ("#c44826", [(0.375, 0.335), (0.38, 0.235), (0.435, 0.235), (0.445, 0.335)]),
    ("#222428", [(0.3785, 0.262), (0.38, 0.235), (0.435, 0.235), (0.4375, 0.262)]),
    ("#464a50", [(0.698, 0.57), (0.698, 0.33), (0.703, 0.33), (0.703, 0.57)]),
    ("#464a50", [(0.7, 0.345), (0.703, 0.345), (0.862, 0.55), (0.859, 0.55)]),
    ("#eeeeea", [(0.14, 0.585), (0.87, 0.545), (0.855, 0.585), (0.153, 0.622)]),
    ("#962624", [(0.153, 0.622), (0.855, 0.585), (0.80, 0.705), (0.205, 0.705)]),
    ("#3c1416", [(0.193, 0.677), (0.812, 0.677), (0.80, 0.705), (0.205, 0.705)]),
]
WINDOWS = [(0.265 + 0.04 * k, 0.503, 0.024, 0.026) for k in range(9)] + [
    (0.31 + 0.037 * k, 0.42, 0.022, 0.021) for k in range(6)
]


def sea(wide: int, high: int) -> Image.Image:
    """Return sky and water."""
    x, y = np.arange(wide)[None, :] / wide, np.arange(high)[:, None] / high
    up, down = np.clip(y / HORIZON, 0, 1)[..., None], np.clip((y - HORIZON) / (1 - HORIZON), 0, 1)
    sky = np.array([88, 140, 205]) + up**1.3 * np.array([138, 76, -9])
    water = np.array([52, 112, 140]) - down[..., None] ** 0.8 * np.array([42, 72, 68])
    rng = np.random.default_rng(3)
    waves = sum(
        np.sin((x - 0.5) * rng.uniform(8, 38) / (down * 1.6 + 0.18) + rng.uniform(0, 6))
        * np.sin(y * 130 / (down * 1.2 + 0.25) + rng.uniform(0, 18))
        for _ in range(14)
    )
    below = water + 3.2 * np.asarray(waves)[..., None]
    whole = np.where((y < HORIZON)[..., None], sky + np.zeros((1, wide, 1)), below)
    return Image.fromarray(np.clip(whole, 0, 255).astype(np.uint8))


def ship(wide: int, high: int) -> Image.Image:
    """Return the ship on nothing."""
    layer = Image.new("RGBA", (wide, high))
    draw = ImageDraw.Draw(layer)
    for color, shape in HULL:
        draw.polygon([(x * wide, y * high) for x, y in shape], fill=color)
    for x, y, w, h in WINDOWS:
        draw.rectangle((x * wide, y * high, (x + w) * wide, (y + h) * high), fill="#3c5468")
    return layer


def film(path: Path, count: int = 60) -> None:
    """Write two seconds of the ship, rolling, at 30 frames a second."""
    import cv2

    wide, high = SIZE[0] * FINE, SIZE[1] * FINE
    water, vessel = sea(wide, high), ship(wide, high)
    foam = Image.new("RGBA", (wide, high))
    draw = ImageDraw.Draw(foam)
    draw.ellipse((0.2 * wide, 0.71 * high, 0.82 * wide, 0.8 * high), fill=(20, 24, 40, 110))
    draw.ellipse((0.16 * wide, 0.69 * high, 0.85 * wide, 0.73 * high), fill=(240, 246, 248, 150))
    foam = foam.filter(ImageFilter.GaussianBlur(6 * FINE))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, SIZE)
    for number in range(count):
        roll = 1.2 * math.sin(2 * math.pi * number / count)
        rolled = vessel.rotate(roll, Image.Resampling.BILINEAR, center=(wide / 2, 0.69 * high))
        frame = water.copy()
        for layer in (rolled, foam):
            frame.paste(layer, (0, 0), layer)
        writer.write(np.asarray(frame.resize(SIZE, Image.Resampling.LANCZOS))[..., ::-1])
    writer.release()


def photograph(url: str, chromium: str) -> list[Image.Image]:
    """Return the page on a desktop in the dark and on a phone in the light."""
    from playwright.sync_api import sync_playwright

    screens = ((1040, 640, 1.0, "dark"), (360, 711, 0.9, "light"))
    pictures = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-quic"]
        )
        for width, height, scale, scheme in screens:
            window = browser.new_page(
                viewport={"width": width, "height": height}, device_scale_factor=scale, color_scheme=scheme
            )
            window.goto(url)
            window.wait_for_selector("body[data-state=live]")
            window.wait_for_timeout(4000)
            pictures.append(Image.open(io.BytesIO(window.screenshot())).convert("RGB"))
            window.close()
        browser.close()
    return pictures


def mount(desktop: Image.Image, phone: Image.Image) -> Image.Image:
    """Return both side by side on a plain ground, each with a shadow."""
    edge = 28
    sheet = Image.new("RGB", (desktop.width + phone.width + 3 * edge, desktop.height + 2 * edge), "#d9ddd9")
    for picture, x, radius in ((desktop, edge, 14), (phone, desktop.width + 2 * edge, 26)):
        mask = Image.new("L", (4 * picture.width, 4 * picture.height))
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), 4 * radius, fill=255)
        mask = mask.resize(picture.size, Image.Resampling.BOX)
        shadow = Image.new("L", sheet.size)
        shadow.paste(mask.point(lambda v: v * 2 // 5), (x, edge + 6))
        sheet.paste("#101418", (0, 0), shadow.filter(ImageFilter.GaussianBlur(12)))
        sheet.paste(picture, (x, edge), mask)
    return sheet


def main() -> int:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        print(f"left as it is: {PICTURE} (needs chromium: apt-get install chromium)")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        film(Path(folder) / "ship.mp4")
        command = [sys.executable, PROJECT / "sample_apps" / "camera", Path(folder) / "ship.mp4"]
        with subprocess.Popen(
            [*map(str, command), "--web", "127.0.0.1:0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as app:
            assert app.stderr is not None
            said = []
            for line in app.stderr:
                said.append(line)
                if line.startswith("open "):
                    desktop, phone = photograph(line.split()[1], chromium)
                    break
            else:
                print("".join(said), file=sys.stderr)
                return 1
            app.terminate()
    PICTURE.parent.mkdir(exist_ok=True)
    mount(desktop, phone).save(PICTURE, quality=86, optimize=True)
    print(f"wrote {PICTURE}, {PICTURE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
