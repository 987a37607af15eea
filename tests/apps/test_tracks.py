"""The camera app's tracker: numbers stay with their objects, lines and zones count them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_models import square_bundle
from PIL import Image

APP = Path(__file__).parents[2] / "sample_apps" / "camera"
sys.path.insert(0, str(APP))

from tracks import LOST, Counts, Tracker  # noqa: E402


def at(x: float, y: float, side: float = 40, label: str = "cat") -> dict[str, Any]:
    return {"label": label, "score": 0.9, "box": [x - side / 2, y - side / 2, x + side / 2, y + side / 2]}


def test_two_that_pass_each_other_keep_their_numbers() -> None:
    """Where they overlap, each is nearest to where it was going."""
    tracker = Tracker()
    for step in range(30):
        boxes = [at(100 + 10 * step, 100), at(400 - 10 * step, 112)]
        if step % 2:
            boxes.reverse()
        numbers = [track.number for track in tracker.update(boxes)]
        assert numbers == ([2, 1] if step % 2 else [1, 2]), step


def test_one_that_is_not_found_for_a_while_is_the_same_later() -> None:
    tracker = Tracker()
    for step in range(10):
        tracker.update([at(50 + 8 * step, 60)])
    for _ in range(LOST - 1):
        assert tracker.update([]) == []
    (again,) = tracker.update([at(50 + 8 * (9 + LOST), 60)])
    assert again.number == 1
    for _ in range(LOST + 1):
        tracker.update([])
    (other,) = tracker.update([at(250, 60)])
    assert other.number == 2


def test_another_label_and_another_place_are_others() -> None:
    tracker = Tracker()
    tracker.update([at(100, 100)])
    numbers = [t.number for t in tracker.update([at(100, 100, label="dog"), at(300, 100), at(102, 100)])]
    assert numbers == [2, 3, 1]


def test_a_fast_one_that_no_longer_overlaps_is_followed() -> None:
    tracker = Tracker()
    for step in range(6):
        (track,) = tracker.update([at(50 + 28 * step, 60)])
        assert track.number == 1


@pytest.mark.parametrize(
    ("path", "left", "right"), [((0.1, 0.9), 0, 1), ((0.9, 0.1), 1, 0), ((0.1, 0.4), 0, 0)]
)
def test_a_line_counts_each_object_once_and_the_side_that_it_goes_to(
    path: tuple[float, float], left: int, right: int
) -> None:
    tracker, counts, said = Tracker(), Counts(lines=[(0.5, 1, 0.5, 0)], zones=[(0.5, 0, 1, 1)]), {}
    for x in np.linspace(*path, 40):
        said = counts.update(tracker.update([at(640 * x, 240)]), 480, 640)
    assert said["lines"] == [
        {"left": {"cat": left} if left else {}, "right": {"cat": right} if right else {}}
    ]
    assert said["zones"] == [{"cat": 1} if path[1] >= 0.5 else {}]


def test_who_stands_on_a_line_crosses_it_once() -> None:
    """A box trembles; only one that has left the line on the other side has crossed it."""
    rng = np.random.default_rng(0)
    tracker, counts = Tracker(), Counts(lines=[(0.5, 1, 0.5, 0)])
    for x in (250, 290, *(320 + rng.normal(0, 1.5, 100)), 345, 360):
        said = counts.update(tracker.update([at(x, 240, 80)]), 480, 640)
    assert said["lines"] == [{"left": {}, "right": {"cat": 1}}]
    for x in (345, *(320 + rng.normal(0, 1.5, 100)), 345, 360):  # and one that turns round has not
        said = counts.update(tracker.update([at(x, 240, 80)]), 480, 640)
    assert said["lines"] == [{"left": {}, "right": {"cat": 1}}]


def test_who_walks_round_the_end_of_a_line_does_not_cross_it() -> None:
    tracker, counts = Tracker(), Counts(lines=[(0.5, 1, 0.5, 0.5)])
    around = [(250, 300), (270, 240), (300, 210), (320, 200), (340, 210), (370, 240), (390, 300)]
    for x, y in around:
        said = counts.update(tracker.update([at(x, y)]), 480, 640)
    assert said["lines"] == [{"left": {}, "right": {}}]


def test_the_app_numbers_and_counts_what_it_finds(tmp_path: Path) -> None:
    """A bright square goes from cell to cell of the detector's grid, over a line."""
    (tmp_path / "frames").mkdir()
    for k in range(4):
        image = np.zeros((320, 320, 3), np.uint8)
        image[80:160, 80 * k : 80 * k + 80] = 255
        Image.fromarray(image).save(tmp_path / "frames" / f"{k}.png")
    command = [
        sys.executable,
        str(APP),
        str(square_bundle(tmp_path / "b")),
        str(tmp_path / "frames"),
        "--json",
    ]
    done = subprocess.run(
        [*command, "--line", "0.5,1,0.5,0", "--zone", "0,0,0.5,1"], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [[box["track"] for box in line["boxes"]] for line in lines] == [[1]] * 4
    assert [line["zones"] for line in lines] == [[{"square": 1}], [{"square": 1}], [{}], [{}]]
    assert [line["lines"][0]["right"] for line in lines] == [{}, {}, {"square": 1}, {"square": 1}]


def test_more_boxes_than_the_bundle_s_limit_are_shown_when_asked_for(tmp_path: Path) -> None:
    import qedge

    image = np.zeros((320, 320, 3), np.uint8)
    for k in range(4):
        image[80 * k : 80 * k + 80, 80 * k : 80 * k + 80] = 255
    Image.fromarray(image).save(tmp_path / "four.png")
    with qedge.load(square_bundle(tmp_path / "whole")) as model:
        limited = model.postprocess.replace(limit=2)
    bundle = square_bundle(tmp_path / "b", postprocess=limited)
    command = [sys.executable, str(APP), str(bundle), str(tmp_path / "four.png"), "--json", "--top"]
    for top, shown in (("3", 3), ("9", 4)):
        done = subprocess.run([*command, top], capture_output=True, text=True, check=True)
        assert len(json.loads(done.stdout)["boxes"]) == shown


@pytest.mark.parametrize("zone", [(0.5, 0, 1, 1), (1, 1, 0.5, 0), (0.5, 1, 1, 0)])
def test_a_zone_is_named_by_any_two_opposite_corners(zone: tuple[float, float, float, float]) -> None:
    tracks = Tracker().update([at(400, 100), at(100, 100)])
    assert Counts(zones=[zone]).update(tracks, 480, 640)["zones"] == [{"cat": 1}]


def test_a_line_for_a_model_without_boxes_is_refused(tmp_path: Path) -> None:
    from camera_models import color_bundle

    command = [
        sys.executable,
        str(APP),
        str(color_bundle(tmp_path / "b")),
        "test",
        "--json",
        "--line",
        "0,0,1,1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--line" in done.stderr
    done = subprocess.run([*command[:-1], "0,0,1"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "0,0,1" in done.stderr
