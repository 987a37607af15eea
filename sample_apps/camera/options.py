"""What the app is asked to do: its arguments, and what follows from those that were left out."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from sources import HINT, is_camera, is_source

from qedge.errors import DataError, UsageError

OWN_BUNDLE = Path(__file__).resolve().parent / "bundle"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="camera", description="Look through a camera with a model: classify, detect, find key points."
    )
    parser.add_argument(
        "bundle", nargs="?", help="a bundle of qedge build; none: the one beside this program"
    )
    parser.add_argument(
        "source",
        nargs="?",
        help="0 or /dev/video0, a video, a folder of images, or test; none: the first camera",
    )
    views = parser.add_argument_group("views (none: a window, or the page where there is no display)")
    views.add_argument(
        "--web",
        nargs="?",
        const="127.0.0.1:8000",
        type=address,
        metavar="HOST:PORT",
        help="the page: 127.0.0.1:8000",
    )
    views.add_argument("--token", help="what a viewer must know; made up for any HOST but this machine")
    views.add_argument("--window", action="store_true", help="a window")
    views.add_argument("--json", action="store_true", help="one JSON object a line for every frame")
    views.add_argument(
        "--snapshots", type=Path, metavar="DIR", help="keep a picture when something else is seen"
    )
    views.add_argument("--keep", type=count, default=100, metavar="N", help="snapshots that are kept: 100")
    parser.add_argument("--size", type=size, metavar="WxH", help="of a camera or the test pattern: 640x480")
    parser.add_argument("--top", type=count, metavar="K", help="most labels: 3, or boxes: 20")
    parser.add_argument(
        "--threshold", type=share, metavar="SCORE", help="least score of what is shown, 0 to 1"
    )
    parser.add_argument("--threads", type=count, metavar="N", help="of the model: all cores but one")
    boxes = parser.add_argument_group(
        "boxes (X and Y from 0 to 1 of the picture; each may be given several times)"
    )
    boxes.add_argument("--track", action="store_true", help="number them: the same object, the same number")
    boxes.add_argument(
        "--line", action="append", default=[], type=ends, metavar="X,Y,X,Y", help="count what crosses it"
    )
    boxes.add_argument(
        "--zone", action="append", default=[], type=corners, metavar="X,Y,X,Y", help="count what is in it"
    )
    files = parser.add_argument_group(
        "files (in a window or on the page: --realtime --loop; otherwise: --fast)"
    )
    files.add_argument("--realtime", action="store_true", default=None, help="at their own rate")
    files.add_argument(
        "--fast", dest="realtime", action="store_false", help="every frame, as fast as it goes"
    )
    files.add_argument("--loop", action=argparse.BooleanOptionalAction, help="over and over")
    parser.add_argument("--frames", type=count, metavar="N", help="stop after so many")
    return parser.parse_args()


def address(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([A-Za-z][\w.-]*|\d+(?:\.\d+){3}|))(?::?(\d{1,5}))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected HOST:PORT, such as 0.0.0.0:8000 or :8000")
    return found[1] or found[2] or "127.0.0.1", int(found[3] or 8000)


def size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    if not found or int(found[1]) % 2 or int(found[2]) % 2:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected two even numbers such as 640x480")
    return int(found[1]), int(found[2])


def count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of at least 1")
    return int(text)


def share(text: str) -> float:
    if not re.fullmatch(r"[01]?\.?\d*", text) or text in ("", ".") or not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from 0 to 1")
    return float(text)


def corners(text: str) -> tuple[float, float, float, float]:
    found = [share(part) for part in text.split(",")]
    if len(found) != 4:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected four numbers from 0 to 1: 0.5,1,0.5,0")
    return found[0], found[1], found[2], found[3]


def ends(text: str) -> tuple[float, float, float, float]:
    found = corners(text)
    if found[:2] == found[2:]:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected two ends that are not the same: 0.5,1,0.5,0"
        )
    return found


def settle(options: argparse.Namespace) -> None:
    """Fill in what was left open: whose bundle, which view, how files are played."""
    if options.source is None and options.bundle is not None and not is_bundle(options.bundle):
        if not is_source(options.bundle):
            raise DataError(f"{options.bundle}: neither a bundle nor something to look at", hint=HINT)
        options.bundle, options.source = None, options.bundle
    options.bundle = options.bundle or str(OWN_BUNDLE)
    if options.size and not is_camera(options.source) and options.source != "test":
        raise UsageError(
            f"--size: {options.source} has a size of its own", hint="it is for cameras and the test pattern"
        )
    if options.web is None and not (options.window or options.json or options.snapshots):
        options.window = has_display()
        options.web = None if options.window else ("127.0.0.1", 8000)
    watched = options.window or options.web is not None
    options.realtime = watched if options.realtime is None else options.realtime
    options.loop = watched if options.loop is None else options.loop


def is_bundle(path: str) -> bool:
    return path.endswith(".zip") or os.path.exists(os.path.join(path, "manifest.json"))


def has_display() -> bool:
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        import tkinter
    except ImportError:
        return False
    try:
        tkinter.Tk().destroy()
    except tkinter.TclError:
        return False
    return True
