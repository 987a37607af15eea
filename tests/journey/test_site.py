"""The site: every link and reference leads somewhere, all options and keys are on it, and it needs no network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="needs qedge[docs]")

from qedge.config import SECTIONS
from qedge.target import names, resolve

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "docs" / "site"))


def test_the_reference_has_every_option_key_and_field() -> None:
    from reference import pages

    made = pages()
    for name in names():
        for option in resolve(name).info.options:
            assert f"`--{option.name.replace('_', '-')}`" in made["commands.md"], option.name
            assert f"| `{option.name}` |" in made["qedge_toml.md"]
    for keys in SECTIONS.values():
        for key, (_, text) in keys.items():
            row = next(line for line in made["qedge_toml.md"].splitlines() if line.startswith(f"| `{key}` |"))
            assert len(row) > len(key) + 20, text
    undocumented = re.findall(r"^\| `(\w+)` \|[^|]*\|\s*\|$", made["processing.md"], re.M)
    assert undocumented == []
    for word in ("image", "audio", "classify", "detect"):
        assert f"### `{word}`" in made["processing.md"]


def test_every_row_about_wheels_can_be_asked_again() -> None:
    sys.path.insert(0, str(PROJECT / "docs"))
    from ask_facts import rows

    text = (PROJECT / "docs/devices.md").read_text()
    table = text.split("| packages |\n")[1].split("\n\n")[0].splitlines()[1:]
    found = rows(text)
    assert len(found) == len([line for line in table if "too old" not in line]) >= 8
    assert {row.arch for row in found} >= {"aarch64", "armv7l", "x86_64"}


@pytest.mark.long
def test_the_site_is_built_without_a_warning_and_reads_offline(tmp_path: Path) -> None:
    command = [sys.executable, str(PROJECT / "docs/site/build.py"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text())
        assert loaded == [], page.name
    api = (tmp_path / "site/reference/api.html").read_text()
    for word in ("qedge.build", "qedge.load", "max_drop", "qedge.Result"):
        assert word in api
