"""The pages about the Edge TPU say what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from qedge_coral import failures, runtime
from qedge_coral.target import TARGET


def test_support_table_is_the_rules(project: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "make_coral_operators", project / "docs/make_coral_operators.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (project / "docs/coral_operators.md").read_text(encoding="utf-8")
    assert page == module.page(), "run: python docs/make_coral_operators.py"


def test_every_failure_is_in_the_guide(project: Path) -> None:
    guide = (project / "docs/coral.md").read_text(encoding="utf-8")
    table = guide.split("| rule | cause |")[1].split("##")[0]
    named = set(
        re.findall(r"`([a-z-]+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    )
    source = "".join(
        (Path(failures.__file__).parent / name).read_text(encoding="utf-8")
        for name in ("failures.py", "delegate.py", "runtime.py", "isolate.py")
    )
    raised = set(re.findall(r'failure\(\s*"([a-z-]+)"', source))
    assert raised == named


def test_options_of_the_guide_exist(project: Path) -> None:
    guide = (project / "docs/coral.md").read_text(encoding="utf-8")
    flags = set(re.findall(r"--(?:no-)?([a-z][a-z-]+)", guide)) - {"data", "range", "target", "json"}
    assert flags <= {o.name.replace("_", "-") for o in TARGET.info.options}
    for name in runtime.OPTIONS:
        if name != "streams":
            assert f"`{name}`" in guide or f"{name}=" in guide
