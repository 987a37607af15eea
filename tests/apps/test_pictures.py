"""The pictures of the documentation show what the apps do today."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

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
