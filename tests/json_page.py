"""Holds what a command prints against docs/json.md."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "json.md"


def check(command: str, document: object, part: str = "") -> None:
    """Assert that every path of a command's table is in ``document``, with its type.

    Args:
        part: whose extra table ("For a microcontroller also:") must hold as well.
    """
    section = PAGE.read_text().split(f"\n## {command}\n")[1].split("\n## ")[0]
    words = re.split(r"\nFor an? ([^\n]*) also:\n", section)
    tables = {"": words[0], **dict(zip(words[1::2], words[2::2]))}
    for path, kind in (row for name in {"", part} for row in _rows(tables[name])):
        for value in _values(document, path):
            assert type(value).__name__ in _names(kind), f"{command}: {path} is {value!r}, not {kind}"


def _rows(table: str) -> list[tuple[str, str]]:
    cells = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    assert cells
    return [(c[1].strip(" `"), c[2].strip()) for c in cells]


def _names(kind: str) -> set[str]:
    names = {k.strip() for k in kind.split(" or ")}
    names = {"NoneType" if n == "null" else n for n in names}
    return names | {"int"} if "float" in names else names


def _values(document: object, path: str) -> list[object]:
    found: list[object] = [document]
    for part in path.split("."):
        each = part.endswith("[]")
        key = part.removesuffix("[]")
        if key == "<t>":
            found = [v for d in found for v in d.values()]  # type: ignore[attr-defined]
            continue
        assert all(key in d for d in found), f"{path}: {key} is missing"  # type: ignore[operator]
        found = [d[key] for d in found]  # type: ignore[index]
        if each:
            found = [v for d in found for v in d]  # type: ignore[attr-defined]
    assert found, path
    return found
