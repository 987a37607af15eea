"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Third-party models and data that lie beside the project, or a skip."""
    folder = PROJECT.parent / "shared"
    if not (folder / "models").is_dir():
        folder = PROJECT.parent.parent / "shared"
    if not (folder / "models").is_dir():
        pytest.skip("needs the third-party models and data beside the project")
    return folder
