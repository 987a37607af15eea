"""Look through a camera with a model: ``python sample_apps/camera [BUNDLE] [SOURCE]``."""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":
    # Packages take a moment to load. Until main() takes over nothing is open: who stops us then is obeyed at once.
    for early in (signal.SIGINT, signal.SIGTERM):
        signal.signal(early, lambda *_: os._exit(0))

import argparse
import contextlib
import secrets
import sys
import threading
import time
from collections import deque
from typing import Any

from options import parse, settle
from sources import Source, always, is_camera, open_source
from task import Task
from tracks import Counts, Tracker
from view import JsonLines, PlainLines, Snapshots, StatusLine, View, Watched, Window

import qedge
from qedge.bundle import read_bundle
from qedge.errors import ToolError, UsageError
from qedge.runtime.cores import available

LOCALHOST = ("127.0.0.1", "localhost", "::1")


class Stop(Exception):
    """Somebody asked us to stop."""


def load(options: argparse.Namespace) -> qedge.Model:
    """Open the bundle: for most frames a second from a file, otherwise for the least delay."""
    fast = not options.realtime and not is_camera(options.source) and options.threads is None
    bundle = read_bundle(options.bundle)
    if fast and bundle.manifest.target == "rpi":
        return qedge.load(bundle, streams=available())
    # A core is left to what reads and pre-processes the next frame.
    return qedge.load(bundle, threads=options.threads or -1)


def open_page(options: argparse.Namespace, about: dict[str, Any]) -> Any:
    """Serve the page; say where.

    Raises:
        ToolError: a package is missing.
        UsageError: the port is taken.
    """
    host, port = options.web
    token = options.token or (None if host in LOCALHOST else secrets.token_urlsafe(9))
    try:
        from web import Page
    except ImportError as problem:
        raise ToolError(f"the page needs the package {problem.name}", hint="pip install websockets") from None
    page = Page(host, port, token, about)
    print(f"open {page.url}", file=sys.stderr, flush=True)
    if not token:
        print("hint: others see it with --web 0.0.0.0", file=sys.stderr, flush=True)
    return page


class Pace:
    """Frames a second, over the last second or two frames; 0 while it is too early to say."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def tick(self) -> float:
        now = time.perf_counter()
        self._times.append(now)
        while len(self._times) > 2 and now - self._times[0] > 1:
            self._times.popleft()
        passed = now - self._times[0]
        return (len(self._times) - 1) / passed if passed > 0.1 else 0.0


class Follow:
    """Numbers the boxes of each frame, and counts those that cross lines or are within zones.

    Raises:
        UsageError: the model finds no boxes.
    """

    def __init__(self, options: argparse.Namespace, task: Task) -> None:
        asked = [f"--{word}" for word in ("line", "zone", "track") if getattr(options, word)]
        if asked and task.kind != "detect":
            raise UsageError(
                f"{asked[0]}: the model's post-processing is {task.kind}, which has no boxes to follow",
                hint="it is for a bundle that detects",
            )
        self._tracker = Tracker() if asked else None
        self._counts = Counts(options.line, options.zone)

    def add(self, seen: dict[str, Any]) -> None:
        """Put ``track`` into every box of what was seen, and ``lines`` and ``zones`` beside them."""
        if self._tracker is None:
            return
        tracks = self._tracker.update(seen["boxes"])
        for box, track in zip(seen["boxes"], tracks):
            box["track"] = track.number
        seen.update(self._counts.update(tracks, seen["height"], seen["width"]))


def look(
    model: qedge.Model,
    source: Source,
    task: Task,
    views: list[View],
    frames: int | None,
    follow: Follow | None = None,
    drift: qedge.drift.Monitor | None = None,
) -> None:
    """Run the model on the frames of ``source``; the next one is read and pre-processed meanwhile."""
    pace = Pace()
    # A live frame is taken when the model is about to need it, so that it is fresh.
    results = model.stream(source.frames(), sample=lambda frame: frame.image, depth=1 if source.live else 2)
    with contextlib.closing(results), contextlib.closing(source):
        for done, result in enumerate(results, 1):
            frame, began = result.item, time.perf_counter()
            height, width = frame.image.shape[:2]
            found = task.read(result, height, width)
            post = 1000 * (time.perf_counter() - began)
            latency = {"read": frame.read_ms, **result.ms, "post": post}
            seen = {
                "frame": frame.number,
                "seconds": round(frame.seconds, 3),
                "width": width,
                "height": height,
                "fps": round(pace.tick(), 1),
                "dropped": frame.dropped,
                "latency_ms": {stage: round(ms, 2) for stage, ms in latency.items()},
                **found,
            }
            if follow is not None:
                follow.add(seen)
            if drift is not None and drift.windows:
                seen["changed"] = drift.changed
            for view in views:
                view.show(frame, seen)
            if done == frames:
                return


def watch_drift(model: qedge.Model) -> qedge.drift.Monitor | None:
    """Return what compares a frame a second with the model's calibration; None where its bundle does not say that."""
    try:
        return qedge.monitor(model, every_s=1)
    except UsageError:
        return None


def look_in_window(window: Window, source: Source, work: Any) -> None:
    """Run ``work`` in a thread and the window in this one; stop both when either ends."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run, name="look", daemon=True)
    thread.start()
    try:
        window.run(thread)
    finally:
        source.close()
        thread.join(timeout=3)
    if problems:
        raise problems[0]


def watch(options: argparse.Namespace) -> None:
    settle(options)
    with contextlib.ExitStack() as open_things:
        model = open_things.enter_context(load(options))
        task = Task(model, options.top, options.threshold)
        follow, drift = Follow(options, task), watch_drift(model)
        page = None
        alone = not (options.window or options.json or options.snapshots)

        def wanted(seconds: float) -> bool:
            return page is None or page.wait(seconds)

        source = open_source(
            options.source,
            size=options.size,
            realtime=options.realtime,
            loop=options.loop,
            wanted=wanted if alone else always,
        )
        open_things.callback(source.close)
        views: list[View] = []
        if options.snapshots:
            views.append(Snapshots(options.snapshots, options.keep, task))
        if options.json:
            views.append(JsonLines())
        else:
            views.append(StatusLine(task) if sys.stdout.isatty() else PlainLines(task))
        if options.web is not None:
            page = open_page(options, about(model, task, source))
            views.append(Watched(page))
        window = None
        if options.window:
            window = Window(f"{model.name}: {source.name}", task)
            views.append(window)
        for view in views:
            open_things.callback(view.close)
        if window:
            look_in_window(
                window, source, lambda: look(model, source, task, views, options.frames, follow, drift)
            )
        else:
            look(model, source, task, views, options.frames, follow, drift)


def about(model: qedge.Model, task: Task, source: Source) -> dict[str, Any]:
    """Return what the page says once."""
    described = model.describe()
    cores = described.get("streams", 1) * described.get("threads", 1)
    return {
        "model": model.name,
        "target": model.target,
        "task": task.kind,
        "engine": f"{described['binding']}, {described['device']}, {cores} thread{'s' * (cores > 1)}",
        "source": source.name,
        "input": list(model.inputs[0].shape[1:3]),
        "edges": [list(edge) for edge in task.edges],
        "threshold": task.threshold,
    }


def main() -> int:
    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once
        raise Stop

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        watch(parse())
    except Stop:
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except qedge.QedgeError as error:
        print(f"error: {error}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    return 0


def leave(code: int) -> None:
    """End the process, also where a driver holds a thread that Python cannot end in peace."""
    if any(thread.daemon for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
