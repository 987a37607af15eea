"""What pytest loads wherever qedge is installed: the options of the conformance kit, and the kit when one is given.

Installed as the module ``_qedge_pytest``, so that a pytest run that has nothing to do with qedge imports none of it.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the kit."""
    group = parser.getgroup("qedge", "conformance kit of qedge")
    group.addoption("--qedge-target", metavar="NAME", help="hold this installed target to qedge's contract")
    group.addoption(
        "--qedge-option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="option of that target, as in qedge.toml; repeatable",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the kit where a target was named."""
    if config.getoption("--qedge-target") is not None:
        config.pluginmanager.import_plugin("qedge.testing.plugin")
