"""Where what is seen goes: lines for people and programs, snapshots, the page, a window."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol, TextIO

from newest import Newest
from PIL import Image
from sources import Frame
from task import Seen, Task

from qedge.errors import ToolError, UsageError

WIDEST = 1280  # of what goes to the page


def drifted(seen: Seen) -> str:
    """Return what is no longer as it was when the model was calibrated, in words."""
    return f"  {' and '.join(seen['changed'])} changed" if seen.get("changed") else ""


class View(Protocol):
    """Takes every frame that was looked at, in order."""

    def show(self, frame: Frame, seen: Seen) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One JSON object a frame."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out

    def show(self, frame: Frame, seen: Seen) -> None:
        print(json.dumps(seen), file=self._out, flush=True)

    def close(self) -> None:
        """Leave nothing behind."""


class PlainLines:
    """A line when something else is seen, at most one a second of the source."""

    def __init__(self, task: Task, out: TextIO = sys.stdout) -> None:
        self._task, self._out = task, out
        self._last: tuple[str, float] | None = None

    def show(self, frame: Frame, seen: Seen) -> None:
        name = self._task.name(seen)
        if self._last and (name == self._last[0] or frame.seconds - self._last[1] < 1):
            return
        self._last = name, frame.seconds
        line = f"{frame.seconds:9.2f} s  {seen['fps']:6.1f} fps  {self._task.text(seen)}{drifted(seen)}"
        print(line, file=self._out, flush=True)

    def close(self) -> None:
        """Leave nothing behind."""


class StatusLine:
    """One line of a terminal, written over and over ten times a second."""

    def __init__(self, task: Task, out: TextIO = sys.stdout) -> None:
        self._task, self._out = task, out
        self._next = 0.0

    def show(self, frame: Frame, seen: Seen) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.1
        ms = seen["latency_ms"]
        dropped = f"  {seen['dropped']} dropped" if seen["dropped"] else ""
        text = (
            f"{seen['fps']:5.1f} fps  {ms['invoke']:5.1f} ms{dropped}{drifted(seen)}  {self._task.text(seen)}"
        )
        print(
            f"\r\x1b[2K{text[: shutil.get_terminal_size().columns - 1]}", end="", file=self._out, flush=True
        )

    def close(self) -> None:
        """End the line."""
        print(file=self._out, flush=True)


class Snapshots:
    """Pictures with what is seen in them, when something else is seen, at most one a second, the newest ``keep``."""

    NAME = re.compile(r"\d{8}-\d{6}_\d{6,}_.*\.jpg")

    def __init__(self, folder: Path, keep: int, task: Task) -> None:
        self._folder, self._keep, self._task = folder, keep, task
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._kept = sorted(path for path in folder.iterdir() if self.NAME.fullmatch(path.name))
        except OSError as problem:
            raise UsageError(
                f"--snapshots {folder}: {problem.strerror}", hint="name a folder to write to"
            ) from None
        self._last = ("", -1.0)

    def show(self, frame: Frame, seen: Seen) -> None:
        name = self._task.name(seen)
        if name == self._last[0] or frame.seconds - self._last[1] < 1:
            return
        self._last = name, frame.seconds
        if name:
            try:
                seen["snapshot"] = str(self._write(frame, seen, name))
            except OSError as problem:  # a full card is no reason to stop looking
                print(f"snapshot not kept: {problem}", file=sys.stderr, flush=True)

    def _write(self, frame: Frame, seen: Seen, name: str) -> Path:
        from draw import overlay

        words = re.sub(r"[^\w.+-]+", "_", name)[:60]
        path = self._folder / f"{time.strftime('%Y%m%d-%H%M%S')}_{frame.number:06d}_{words}.jpg"
        drawn = overlay(Image.fromarray(frame.image), seen, self._task.edges, self._task.threshold)
        unfinished = path.with_suffix(".part")
        drawn.save(unfinished, "JPEG", quality=88)
        unfinished.replace(path)
        self._kept.append(path)
        while len(self._kept) > self._keep:
            self._kept.pop(0).unlink(missing_ok=True)
        return path

    def close(self) -> None:
        """Leave the pictures there."""


class Watched:
    """The page: a thread encodes the newest frame when somebody looks, and never holds up the model."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._newest: Newest[tuple[Frame, Seen]] = Newest()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def show(self, frame: Frame, seen: Seen) -> None:
        self._newest.put((frame, seen))

    def _run(self) -> None:
        while self._open:
            found = self._newest.take(0.5)
            if found is not None and self._page.watched():
                frame, seen = found
                self._page.show(jpeg(frame.image), seen)

    def close(self) -> None:
        self._open = False
        self._newest.close()
        self._thread.join(timeout=2)
        self._page.close()


def jpeg(image: Any) -> bytes:
    """Return a JPEG of RGB uint8 (height, width, 3), at most 1280 wide."""
    picture = Image.fromarray(image)
    if picture.width > WIDEST:
        picture.thumbnail((WIDEST, picture.height), Image.Resampling.BILINEAR)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=80)
    return encoded.getvalue()


class Window:
    """The newest frame in a window; only for the main thread, but for :meth:`show`."""

    def __init__(self, title: str, task: Task) -> None:
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError as problem:
            raise ToolError(
                f"a window needs {problem.name}",
                hint="apt-get install python3-tk python3-pil.imagetk, or --web",
            ) from None
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as problem:
            raise ToolError(f"no window: {problem}", hint="look through the page: --web") from None
        self._photo_of, self._task = ImageTk.PhotoImage, task
        self._newest: Newest[tuple[Frame, Seen]] = Newest()
        self._root.title(title)
        self._root.protocol("WM_DELETE_WINDOW", self._leave)
        for key in ("<Escape>", "q"):
            self._root.bind(key, self._leave)
        self._label = tkinter.Label(self._root, background="black", borderwidth=0)
        self._label.pack(fill="both", expand=True)
        self._left = False
        self._photo: Any = None

    def show(self, frame: Frame, seen: Seen) -> None:
        self._newest.put((frame, seen))

    def run(self, thread: threading.Thread) -> None:
        """Draw until the window is closed or ``thread`` ends."""
        while thread.is_alive() and not self._left:
            found = self._newest.take(0.02)
            if found is not None:
                self._draw(*found)
            self._root.update()

    def _draw(self, frame: Frame, seen: Seen) -> None:
        from draw import overlay

        picture = overlay(Image.fromarray(frame.image), seen, self._task.edges, self._task.threshold)
        size = (self._root.winfo_screenwidth() * 9 // 10, self._root.winfo_screenheight() * 9 // 10)
        picture.thumbnail(size, Image.Resampling.BILINEAR)
        self._photo = self._photo_of(picture)
        self._label.configure(image=self._photo)

    def _leave(self, event: Any = None) -> None:
        self._left = True

    def close(self) -> None:
        """Take the window away; only in the main thread."""
        self._root.destroy()
