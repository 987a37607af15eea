"""The conformance kit in pytest: ``pytest --qedge-target NAME`` holds an installed target to the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from qedge.testing.subject import Subject

KIT = Path(__file__).resolve().parent / "conformance"


def pytest_configure(config: pytest.Config) -> None:
    """Run the kit, and beside it only paths that were named on the command line."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    config.args = [*(config.args if named else []), str(KIT)]


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The target under test, with what the kit makes of it once."""
    options = dict(entry.partition("=")[::2] for entry in request.config.getoption("--qedge-option"))
    name = str(request.config.getoption("--qedge-target"))
    return Subject.of(name, options, tmp_path_factory.mktemp("qedge"))
