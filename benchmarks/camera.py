"""The camera app on a 640x480 video with MobileNetV2: frame rate beside bare invoke, CPU, memory, latency, start.

Run: python benchmarks/camera.py [--frames N] [--rounds N] [--json]; needs the models beside the project, or
python benchmarks/camera.py --boxes BUNDLE PHOTO...: the boxes that the page shows in Chromium for each photo, beside
those of ``qedge.load(BUNDLE)``, in the photo's pixels, and whether the canvas has their colour there. Frame rates
are taken by turns in one process: so many frames through the app's loop, as many bare invokes (set_tensor, invoke,
get_tensor of the same binding), both with one thread, then both with all cores. CPU, memory and latency are those of
the app as a process of its own, over all frames.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / "sample_apps" / "camera"
sys.path.insert(0, str(APP))

from runtime_overhead import MODELS, shared_models  # noqa: E402

import qedge  # noqa: E402
from qedge.bundle import Manifest, write_bundle  # noqa: E402
from qedge.processing.classify import Classify  # noqa: E402
from qedge.processing.image import ImagePreprocess  # noqa: E402
from qedge.runtime import cores  # noqa: E402
from qedge.runtime.litert import find_binding, tensor_specs  # noqa: E402

SIZE = (640, 480)
BLOCK = 100
WARM_UP = 1000


def write_video(path: Path, seconds: int = 10) -> Path:
    """Write 30 frames a second of a real picture that moves."""
    import cv2
    from PIL import Image

    with Image.open(shared_models().parent / "data" / "images" / "parrot.jpg") as picture:
        still = np.asarray(picture.convert("RGB").resize(SIZE))[:, :, ::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, SIZE)
    for number in range(30 * seconds):
        writer.write(np.ascontiguousarray(np.roll(still, 3 * number, axis=1)))
    writer.release()
    return path


def write_model(place: Path) -> Path:
    """Write an rpi bundle of MobileNetV2."""
    data = (shared_models() / MODELS["MobileNetV2"]).read_bytes()
    labels = (shared_models().parent / "data" / "images" / "imagenet_labels.txt").read_text().splitlines()
    inputs, outputs = tensor_specs(data)
    manifest = Manifest(
        "mobilenet_v2", "0" * 64, "rpi", inputs, outputs,
        preprocess=ImagePreprocess(224, 224, range=(-1, 1)), postprocess=Classify(), labels=tuple(labels),
    )  # fmt: skip
    write_bundle(place, manifest, {"model.tflite": data})
    return place


class Clock:
    """A view that notes when each frame was done."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def show(self, frame: Any, seen: Any) -> None:
        self.times.append(time.perf_counter())

    def close(self) -> None:
        """Nothing is open."""


def app_rate(model: qedge.Model, video: Path) -> float:
    """Return frames a second of the app's loop, from the first result on."""
    import runpy

    from sources import open_source
    from task import Task

    look = runpy.run_path(str(APP / "__main__.py"), run_name="camera")["look"]
    clock = Clock()
    look(model, open_source(str(video), loop=True), Task(model, None, None), [clock], BLOCK)
    return (BLOCK - 1) / (clock.times[-1] - clock.times[0])


def bare_rate(interpreter: Any) -> float:
    """Return inferences a second of the plain binding."""
    detail = interpreter.get_input_details()[0]
    x, y = detail["index"], interpreter.get_output_details()[0]["index"]
    array = np.random.default_rng(0).integers(0, 256, detail["shape"]).astype(detail["dtype"])
    began = time.perf_counter()
    for _ in range(BLOCK):
        interpreter.set_tensor(x, array)
        interpreter.invoke()
        interpreter.get_tensor(y)
    return BLOCK / (time.perf_counter() - began)


def rates(
    bundle: Path, video: Path, rounds: int, app_threads: int | None, bare_threads: int
) -> dict[str, float]:
    """Return the two frame rates by turns, and the median of their ratios.

    Args:
        app_threads: None runs as the app does on files: one thread for each of as many streams as there are cores.
    """
    interpreter = find_binding().module.Interpreter(
        model_content=(bundle / "model.tflite").read_bytes(), num_threads=bare_threads
    )
    interpreter.allocate_tensors()
    options = {"threads": app_threads} if app_threads else {"streams": cores.available()}
    with qedge.load(bundle, **options) as model:
        app_rate(model, video), bare_rate(interpreter)
        taken = [(app_rate(model, video), bare_rate(interpreter)) for _ in range(rounds)]
        described = model.describe()
    return {
        "app_streams": described["streams"],
        "app_threads": described["threads"],
        "bare_threads": bare_threads,
        "app_fps": float(np.median([app for app, _ in taken])),
        "bare_invoke_fps": float(np.median([bare for _, bare in taken])),
        "ratio": float(np.median([app / bare for app, bare in taken])),
    }


def status_kb(pid: int, key: str) -> int:
    """Return a line of ``/proc/PID/status``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def endure(bundle: Path, video: Path, frames: int) -> dict[str, Any]:
    """Run the app over ``frames`` frames; return what it cost from frame 1,000 on."""
    command = [sys.executable, str(APP), str(bundle), str(video), "--json", "--loop", "--frames", str(frames)]
    latency: dict[str, list[float]] = {}
    app = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert app.stdout is not None
    warm = min(WARM_UP, frames // 2)
    before = cpu = began = grown = 0.0
    for number, line in enumerate(app.stdout, 1):
        for stage, ms in json.loads(line)["latency_ms"].items():
            latency.setdefault(stage, []).append(ms)
        if number == warm:
            before, cpu, began = status_kb(app.pid, "VmRSS"), cpu_seconds(app.pid), time.monotonic()
        if number == frames - 1:  # the process is about to end
            grown, peak = status_kb(app.pid, "VmRSS") - before, status_kb(app.pid, "VmHWM")
            cpu, seconds = cpu_seconds(app.pid) - cpu, time.monotonic() - began
    if app.wait() or number != frames:
        sys.exit(f"the app ended with {app.returncode} after {number} of {frames} frames")
    return {
        "frames": frames,
        "fps": (frames - warm) / seconds,
        "rss_growth_mb": grown / 1024,
        "peak_rss_mb": peak / 1024,
        "cpu_ms_per_frame": 1000 * cpu / (frames - warm),
        "cpu_percent_of_a_core_at_30_fps": 100 * cpu / (frames - warm) * 30,
        "latency_ms": {stage: float(np.median(values[warm:])) for stage, values in latency.items()},
    }


def page_cpu(bundle: Path, video: Path, seconds: float = 8) -> dict[str, float]:
    """Return the CPU, in percent of a core, of the app with its page on a video of 30 frames a second."""
    from websockets.sync.client import connect

    command = [sys.executable, str(APP), str(bundle), str(video), "--web", "127.0.0.1:0"]
    app = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert app.stderr is not None
    url = next(line.split()[1] for line in app.stderr if line.startswith("open "))
    time.sleep(2)
    found: dict[str, float] = {}

    def spent(name: str, body: Any) -> None:
        cpu, began = cpu_seconds(app.pid), time.monotonic()
        while time.monotonic() < began + seconds:
            body()
        found[name] = 100 * (cpu_seconds(app.pid) - cpu) / (time.monotonic() - began)

    spent("percent_when_nobody_looks", lambda: time.sleep(seconds))
    with connect(url.replace("http", "ws") + "stream", compression=None) as viewer:

        def take() -> None:
            if isinstance(viewer.recv(timeout=20), bytes):
                viewer.send("ready")

        take()
        spent("percent_with_a_viewer", take)
    app.terminate()
    app.communicate()
    return found


def start_seconds(bundle: Path, video: Path, runs: int) -> dict[str, float]:
    """Return the seconds from the start of the process to the first line of JSON."""
    taken = []
    for _ in range(runs):
        began = time.monotonic()
        command = [sys.executable, str(APP), str(bundle), str(video), "--json", "--frames", "1"]
        app = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert app.stdout is not None
        app.stdout.readline()
        taken.append(time.monotonic() - began)
        app.communicate()
    return {"median": float(np.median(taken)), "max": max(taken)}


def page_boxes(bundle: Path, photos: list[Path]) -> bool:
    """Print the boxes of each photo on the app's page and from Python; return whether they are the same."""
    from PIL import Image, ImageColor
    from playwright.sync_api import sync_playwright

    from qedge.processing.detect import in_pixels

    right = True
    browser_path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    with sync_playwright() as playwright, qedge.load(bundle) as model:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for photo in photos:
            with Image.open(photo) as opened:
                width, height = opened.size
            wanted = in_pixels(model(photo).value, model.preprocess, height, width)
            command = [sys.executable, str(APP), str(bundle), str(photo), "--web", "127.0.0.1:0"]
            app = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            assert app.stderr is not None
            try:
                window = browser.new_page()
                window.goto(next(line.split()[1] for line in app.stderr if line.startswith("open ")))
                window.wait_for_selector("body[data-state=live]", timeout=60_000)
                shown = window.evaluate("seen.boxes")
                drawn = 0
                for box in shown:
                    colour = ImageColor.getrgb(window.evaluate("label => tint(label)", box["label"]))
                    left, top, _, bottom = box["box"]
                    at = [max(left, 1) / width, (top + bottom) / 2 / height]
                    around = window.evaluate(AROUND, at)
                    drawn += any(max(abs(a - b) for a, b in zip(pixel, colour)) < 40 for pixel in around)
                window.close()
            finally:
                app.terminate()
                app.communicate()
            corners = [[d.box[1], d.box[0], d.box[3], d.box[2]] for d in wanted]
            same = [b["label"] for b in shown] == [d.label for d in wanted] and np.allclose(
                np.reshape([b["box"] for b in shown], (-1, 4)), np.reshape(corners, (-1, 4)), atol=0.06
            )
            right &= same
            told = ", ".join(
                f"{b['label']} {b['score']:.2f} at {' '.join(f'{v:.0f}' for v in b['box'])}" for b in shown
            )
            print(
                f"{photo.name} ({width}x{height}): {'same' if same else 'OTHERS'} as in Python, {drawn} of {len(shown)}"
                f" seen on the canvas: {told or 'nothing'}"
            )
        browser.close()
    return right


AROUND = """([x, y]) => {
    const copy = new OffscreenCanvas(9, 9).getContext("2d", {willReadFrequently: true});
    copy.drawImage(canvas, 4 - Math.floor(x * canvas.width), 4 - Math.floor(y * canvas.height));
    const data = copy.getImageData(0, 0, 9, 9).data;
    return [...Array(81).keys()].map((k) => [...data.slice(4 * k, 4 * k + 3)]);
}"""
"""The pixels around a place of the page's canvas; x and y from 0 to 1."""


def measure(frames: int, rounds: int) -> dict[str, Any]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle, video = write_model(Path(scratch, "bundle")), write_video(Path(scratch, "video.mp4"))
        found: dict[str, Any] = {"start_s": start_seconds(bundle, video, 5), "page": page_cpu(bundle, video)}
        if rounds:
            found["one_thread"] = rates(bundle, video, rounds, 1, 1)
            found["all_cores"] = rates(bundle, video, rounds, None, cores.available())
        return {**found, "endurance": endure(bundle, video, frames)} if frames else found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000, help="of the long run; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=15, help="turns of the rates; 0 leaves them out")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--boxes", nargs="+", type=Path, metavar="PATH", help="a detector's bundle, and photos"
    )
    options = parser.parse_args()
    if options.boxes:
        sys.exit(not page_boxes(options.boxes[0], options.boxes[1:]))
    found = measure(options.frames, options.rounds)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        shown = {**figures, **figures.get("latency_ms", {})}
        print(
            f"{name:12} " + "  ".join(f"{k} {v:.2f}" for k, v in shown.items() if isinstance(v, (int, float)))
        )
    print("goals: ratio at least 0.8, rss_growth_mb flat (below 2), start_s below 2")


if __name__ == "__main__":
    main()
