"""The pictures of the documentation show what the apps do today."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_voice_app_still_prints_what_its_picture_shows() -> None:
    make = script("make_voice_picture")
    steps = make.drawings()
    assert [re.sub(r"\x1b\[\d*m", "", step[-1]).split() for step in steps][-1] == ["heard", *make.WORDS]
    drawn, kept = make.picture(steps), make.PICTURE.read_text(encoding="utf-8")
    words = [re.findall(r"<text.*?</text>", picture) for picture in (drawn, kept)]
    assert words[0] == words[1], (
        "run: python docs/make_voice_picture.py"
    )  # bars may differ by one step elsewhere
    assert len(kept) < 100_000
    assert "docs/pictures/voice.svg" in (DOCS.parent / "sample_apps" / "voice" / "README.md").read_text()


def test_the_camera_app_still_sees_what_its_picture_shows(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    make = script("make_camera_picture")
    make.film(tmp_path / "ship.mp4", count=4)
    command = [sys.executable, DOCS.parent / "sample_apps" / "camera", tmp_path / "ship.mp4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    best = [json.loads(line)["labels"][0] for line in done.stdout.splitlines()]
    assert [entry["label"] for entry in best] == ["ship"] * 4
    assert make.PICTURE.stat().st_size < 200_000
    with Image.open(make.PICTURE) as picture:
        assert picture.width > 1000
    assert "docs/pictures/camera.jpg" in (DOCS.parent / "sample_apps" / "camera" / "README.md").read_text()
