"""The case tables, found by looking into ``cases/``: one a module of ``targets/qedge_mcu/ops``."""

from __future__ import annotations

import importlib
import pkgutil

import tests.ops.cases
from qedge.testing.cases import Case

TABLES: dict[str, list[Case]] = {
    entry.name: importlib.import_module(f"tests.ops.cases.{entry.name}").CASES
    for entry in pkgutil.iter_modules(tests.ops.cases.__path__)
}
