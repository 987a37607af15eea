"""What importing qedge may load, proven in fresh interpreters."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bundles import make_bundle, tiny_model

from qedge.processing.audio import AudioPreprocess
from qedge.processing.classify import Classify
from qedge.processing.image import ImagePreprocess

HEAVY = {
    "PIL", "ai_edge_litert", "ai_edge_quantizer", "flatbuffers", "hypothesis", "keras", "onnx", "rich",
    "scipy",
    "tensorflow", "tflite_micro", "tflite_runtime", "torch", "typer", "unicorn", "ziglang",
}  # fmt: skip
HOST = {
    "qedge.cli", "qedge.datasets", "qedge.emulate", "qedge.frontends", "qedge.graph", "qedge.pipeline",
    "qedge.quantize", "qedge.report", "qedge.target", "qedge.testing", "qedge.oracle",
}  # fmt: skip
DEVICE_RING = (
    "import qedge; import qedge.runtime; qedge.load; import qedge.bundle.read, qedge.bundle.write",
    "import qedge.processing.image, qedge.processing.audio, qedge.processing.classify",
    "import qedge_rpi.runtime",
    "import qedge.runtime.litert, qedge.runtime.stream, qedge.runtime.stages",
)


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Return the names of all modules that ``code`` loads in a fresh interpreter."""
    script = f"{code}\nimport sys, json; print('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("code", DEVICE_RING)
def test_the_device_ring_loads_numpy_and_nothing_heavier(code) -> None:
    modules = loaded_by(code)
    assert not packages(modules) & HEAVY
    assert not {m for m in modules if any(m == h or m.startswith(h + ".") for h in HOST)}
    extra = loaded_by("import numpy") | modules
    third = {
        p
        for p in packages(extra)
        if p not in sys.stdlib_module_names and not p.startswith(("_", "sitecustomize", "qedge"))
    }
    assert third <= {"numpy", "cython_runtime"} | _from_site()


def test_import_qedge_loads_only_itself() -> None:
    modules = loaded_by("import qedge") - loaded_by("pass")
    assert {m for m in modules if m.startswith("qedge")} == {"qedge", "qedge._version"}
    assert "numpy" not in modules


def test_running_a_bundle_loads_one_binding_and_no_metadata_reader(tmp_path) -> None:
    place = make_bundle(tmp_path / "b")
    code = (
        "import sys, numpy, qedge\n"
        "model = qedge.load(sys.argv[1])\n"
        "print(model(numpy.zeros((8, 8, 3), numpy.uint8)).raw[0].shape)"
    )
    modules = loaded_by(code, str(place))
    assert packages(modules) & HEAVY <= {"ai_edge_litert", "tflite_runtime"}
    # Each of these takes as long to import as a small model takes to load.
    assert not {"importlib.metadata", "zipfile", "tempfile", "asyncio"} & (modules - _binding_modules())


@pytest.mark.parametrize(
    "preprocess",
    [ImagePreprocess(8, 8), AudioPreprocess(features="waveform", samples=192, channel_axis=False)],
)
def test_loading_a_bundle_imports_nothing_slow(tmp_path, preprocess) -> None:
    """Each of these takes as long to import as a small model takes to load."""
    place = make_bundle(tmp_path / "b", tiny_model(), preprocess=preprocess, postprocess=Classify())
    code = "import sys, numpy\nbefore = set(sys.modules)\nfrom ai_edge_litert import interpreter\n"
    code += f"before |= set(sys.modules)\nimport qedge\nqedge.load({str(place)!r})\n"
    code += "print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"dataclasses", "copy", "json.decoder", "pathlib", "numpy.typing", "typing_extensions", "zipfile"}
    assert not slow & set(done.stdout.split())


def _from_site() -> set[str]:
    """Return what the interpreter loads by itself (``.pth`` files of editable installs)."""
    return packages(loaded_by("pass"))


def _binding_modules() -> set[str]:
    return loaded_by("from qedge.runtime.litert import find_binding; find_binding()")


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Return (module, whether it is imported at the top level) of one file; TYPE_CHECKING blocks excluded."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.level == 0:
                found.append((child.module or "", top))
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            else:
                inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
                visit(child, top and not inside)

    visit(ast.parse(path.read_text()), True)
    return found


def test_on_the_device_one_module_imports_a_binding(project) -> None:
    ring = [
        p for part in ("processing", "bundle", "runtime") for p in (project / "qedge" / part).rglob("*.py")
    ]
    ring += (project / "targets").glob("qedge_*/runtime.py")
    homes = {
        str(path.relative_to(project))
        for path in ring
        if "ai_edge_litert.interpreter" in path.read_text() or "tflite_runtime" in path.read_text()
    }
    assert homes == {"qedge/runtime/litert.py"}


def test_on_the_host_the_binding_has_one_home_a_part(project) -> None:
    homes = [
        str(path.relative_to(project))
        for path in [*(project / "qedge").rglob("*.py"), *(project / "targets").rglob("*.py")]
        if any(name.partition(".")[0] == "ai_edge_litert" for name, _ in imports_of(path))
    ]
    parts = [home.rpartition("/")[0] for home in homes]
    assert sorted(parts) == sorted(set(parts))


def test_no_framework_is_imported_at_the_top_of_a_module(project) -> None:
    wrong = [
        (str(path.relative_to(project)), name)
        for path in [*(project / "qedge").rglob("*.py"), *(project / "targets").rglob("*.py")]
        for name, top in imports_of(path)
        if top and name.partition(".")[0] in {"tensorflow", "PIL", "onnx", "torch", "keras"}
    ]
    assert wrong == []


def test_core_never_names_a_target(project) -> None:
    wrong = [
        (str(path.relative_to(project)), name)
        for path in (project / "qedge").rglob("*.py")
        for name, _ in imports_of(path)
        if name.partition(".")[0].startswith("qedge_")
    ]
    assert wrong == []


def test_no_target_imports_another(project) -> None:
    folders = [p for p in (project / "targets").iterdir() if p.is_dir() and p.name.startswith("qedge_")]
    assert len(folders) >= 3
    wrong = [
        (str(path.relative_to(project)), name)
        for folder in folders
        for path in folder.rglob("*.py")
        for name, _ in imports_of(path)
        if name.startswith("qedge_") and name.partition(".")[0] != folder.name
    ]
    assert wrong == []


def test_the_agent_that_runs_on_a_device_imports_what_is_sent_with_it(project) -> None:
    from qedge.ship.agent import SENT

    paths = list((project / "qedge/ship/agent").glob("*.py"))
    assert len(paths) > 5
    paths += [project / f"{name.replace('.', '/')}.py" for name in SENT]
    names = {name for path in paths for name, _ in imports_of(path)}
    sent = {*SENT, "qedge.bundle", "qedge.trust"}  # the packages that they are in
    outside = {name for name in names if name not in sent and not name.startswith("qedge.ship.agent")}
    assert {name.partition(".")[0] for name in outside} - {"__future__"} <= set(sys.stdlib_module_names)
