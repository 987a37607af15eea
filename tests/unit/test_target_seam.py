"""The seam between qedge and its targets: core names none, and a fault in one names it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundles import make_bundle, tiny_model

import qedge
from qedge.errors import IntegrityError, PluginError, ToolError, UsageError
from qedge.findings import Finding
from qedge.graph import Graph
from qedge.runtime.bench import bench_bundle
from qedge.runtime.plugins import Origin, blaming, origin_of
from qedge.runtime.twin import load_twin
from qedge.target import (
    CheckReport,
    Column,
    Compiled,
    Option,
    Placement,
    Target,
    TargetInfo,
    VerifyReport,
    answers,
    default_name,
    execute_twin,
    names,
    registry,
    resolve,
    target_of,
    verify_twin,
)
from qedge.target.guard import Guarded
from qedge.testing.requests import request

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def strings_outside_docstrings(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def test_core_names_no_target(project: Path) -> None:
    """Texts, hints and defaults in the code of qedge/; docstrings may give examples."""
    entries = tomllib.loads((project / "pyproject.toml").read_text())["project"]["entry-points"]
    ours = list(entries["qedge.targets"])
    assert "rpi" in ours
    word = re.compile(rf"\b(qedge_)?({'|'.join(ours)})\b", re.IGNORECASE)
    naming = [
        f"{path.relative_to(project)}:{line}: {text[:60]!r}"
        for path in sorted((project / "qedge").rglob("*.py"))
        for line, text in strings_outside_docstrings(path)
        if word.search(text)
    ]
    assert naming == []


class Plain(Target):
    """A target that answers as it should; tests change one answer."""

    info = TargetInfo("plain", "Plain", "For tests.", has_runtime=False)
    report: Any = None
    compiled: Any = Compiled({})
    verdict: Any = VerifyReport(True, True, "itself", "nothing", 1)

    def check(self, request: Any) -> Any:
        places = tuple(Placement(op.index, op.op, "cpu", "always") for op in request.graph.operators)
        return CheckReport((), places) if self.report is None else self.report(places)

    def compile(self, request: Any) -> Any:
        return self.compiled

    def verify(self, bundle: Path, samples: Any, options: Any) -> Any:
        return self.verdict


THEIRS = Origin("acme-qedge", "1.2")


def guarded(**changed: Any) -> Guarded:
    return Guarded(type("Changed", (Plain,), changed)(), THEIRS)


def test_a_guarded_target_passes_answers_on(tmp_path: Path) -> None:
    target = guarded()
    report = target.check(request(tiny_model()))
    assert [p.placement for p in report.operators] == ["cpu"] * len(report.operators)
    assert target.compile(request(tiny_model())) is Plain.compiled
    assert target.verify(tmp_path, None, {}) is Plain.verdict
    assert target.bench(tmp_path, {}) is None
    assert target.golden_outputs(b"", []) is None
    assert target.doctor() == []


def test_every_call_of_the_contract_is_guarded() -> None:
    calls = {name for name in vars(Target) if not name.startswith("_") and name != "info"}
    assert calls == {name for name in vars(Guarded) if not name.startswith("_")}


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"report": lambda s, p: 1}, "check", "returned int, expected a CheckReport"),
    ({"report": lambda s, p: CheckReport((), p[:-1])}, "check", "expected one for each of"),
    ({"report": lambda s, p: CheckReport((), p, {"ms": float("nan")})}, "check", "no JSON"),
    ({"report": lambda s, p: CheckReport((), p, {"ms": np.float32("nan")})}, "check", "no JSON"),
    (
        {"report": lambda s, p: CheckReport((), p, {"a": [{"estimate": True}]})},
        "check",
        r"a\[0\]: an estimate",
    ),
    ({"report": lambda s, p: CheckReport(("bad",), p)}, "check", "no Finding"),
    (
        {
            "report": lambda s, p: CheckReport(
                (), tuple(Placement(x.index, x.op, "unsupported", "no") for x in p)
            )
        },
        "check",
        "as unsupported, and no finding",
    ),
    ({"report": lambda s, p: 1 // 0}, "check", "failed in check: ZeroDivisionError"),
    ({"report": lambda s, p: sys.exit(3)}, "check", "failed in check: SystemExit"),
    ({"compiled": Compiled({"../x": b""})}, "compile", "outside the bundle"),
    ({"compiled": Compiled({"golden/x": b""})}, "compile", "not its own: golden/x"),
    ({"compiled": Compiled({"model.tflite": b""})}, "compile", "not its own: model.tflite"),
    ({"compiled": Compiled({"x": "text"})}, "compile", "str as the contents of x"),
    ({"compiled": Compiled({}, {"x": Path("/")})}, "compile", "extra that is no JSON"),
    ({"compiled": Compiled({}, model="x")}, "compile", "str as the model"),
    ({"verdict": None}, "verify", "NoneType, expected a VerifyReport"),
    ({"verdict": VerifyReport(True, True, "x", "y", 0)}, "verify", "passed, with 0 samples"),
    ({"verdict": VerifyReport(False, False, "x", "y", 1)}, "verify", "no mismatch in words"),
    ({"verdict": VerifyReport(True, True, "", "y", 1)}, "verify", "no word on what ran"),
    ({"verdict": VerifyReport(True, True, "x", "y", "3")}, "verify", "str as the samples, expected int"),
    ({"report": lambda s, p: CheckReport((), p, figures=(("RAM", 3),))}, "check", "int among the figures"),
    ({"report": lambda s, p: CheckReport((), p, figures=("RAM",))}, "check", "str among the figures"),
    (
        {"report": lambda s, p: CheckReport((Finding("grave", "a", "m"),), p)},
        "check",
        "'grave' as the severity",
    ),
    ({"bench": lambda s, b, o, **k: [1]}, "bench", "list, expected dict|list, expected a dict"),
    ({"bench": lambda s, b, o, **k: {"layers": {"a": 1}}}, "bench", "dict as layers"),
    ({"doctor": lambda s: [("python", True)]}, "doctor", "tuple among the answers, no Requirement"),
    ({"figures": lambda s, d: {"RAM": "3"}}, "figures", "dict, expected a tuple"),
    ({"golden_outputs": lambda s, m, x: [[1.0]]}, "golden_outputs", "float among"),
    ({"golden_outputs": lambda s, m, x: []}, "golden_outputs", "outputs of 0 samples, expected 1"),
    (
        {"golden_outputs": lambda s, m, x: [[np.zeros(3, np.int8)]]},
        "golden_outputs",
        "for sample 0, expected",
    ),
]

CALLS: dict[str, Any] = {
    "verify": lambda target, folder: target.verify(folder, None, {}),
    "bench": lambda target, folder: target.bench(folder, {}),
    "doctor": lambda target, folder: target.doctor(),
    "figures": lambda target, folder: target.figures({}),
    "golden_outputs": lambda target, folder: target.golden_outputs(tiny_model(), [[]]),
    "check": lambda target, folder: target.check(request(tiny_model())),
    "compile": lambda target, folder: target.compile(request(tiny_model())),
}


@pytest.mark.parametrize(("changed", "act", "words"), FAULTS)
def test_a_fault_names_the_target_and_whose_it_is(changed, act, words, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=words) as caught:
        CALLS[act](guarded(**changed), tmp_path)
    assert caught.value.exit_code == 1
    assert "'plain'" in caught.value.message
    assert "acme-qedge 1.2, not of qedge" in caught.value.hint


def test_what_compile_writes_passes_the_targets_own_validator() -> None:
    def validate(self: Any, data: Any) -> None:
        data.object(("stages",))

    with pytest.raises(PluginError, match=r"\$\.target_data\.stages: missing"):
        guarded(validate_target_data=validate).compile(request(tiny_model()))


def test_a_bug_of_our_own_is_called_one() -> None:
    with (
        pytest.raises(PluginError, match="'x' failed in check: KeyError") as caught,
        blaming("target", "x", Origin("qedge", "1"), "check"),
    ):
        {}["a"]
    assert "a bug in qedge" in caught.value.hint
    with pytest.raises(UsageError, match="theirs"), blaming("target", "x", THEIRS, "check"):
        raise UsageError("theirs")


def install(folder: Path, name: str, module: str, code: str, metadata: str = "") -> None:
    """Install a distribution ``acme-NAME`` with one target, as pip leaves it."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"acme_{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.2\n{metadata}")
    (info / "entry_points.txt").write_text(f"[qedge.targets]\n{name} = {module}:TARGET\n")


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def run(*arguments: str) -> None:
        install(tmp_path, *arguments)
        registry._found.cache_clear()
        registry.resolve.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield run
    monkeypatch.undo()
    registry._found.cache_clear()
    registry.resolve.cache_clear()


LACKING = "import acme_sdk_that_nobody_has\n"
LOADING = [
    (
        "import acme_sdk_that_nobody_has\n",
        "Provides-Extra: alpha\n",
        "No module named",
        'pip install "acme-alpha[alpha]"',
    ),
    (
        "import acme_sdk_that_nobody_has\n",
        "",
        "No module named",
        'pip install --force-reinstall "acme-alpha"',
    ),
    ("1 // 0\n", "", "ZeroDivisionError", "acme-alpha 1.2, not of qedge"),
    ("TARGET = 3\n", "", "is no qedge.target.Target", "acme-alpha 1.2"),
    (
        "from test_target_seam import Plain\nTARGET = Plain()\n",
        "",
        "its info is 'plain', expected a TargetInfo of that name",
        "acme-alpha 1.2",
    ),
]


@pytest.mark.parametrize(("code", "metadata", "words", "hint"), LOADING)
def test_a_target_that_cannot_be_loaded_says_whose_it_is(plug, code, metadata, words, hint) -> None:
    plug("alpha", "acme_alpha_module", code, metadata)
    sys.modules.pop("acme_alpha_module", None)
    with pytest.raises(ToolError, match=words) as caught:
        resolve("alpha")
    assert hint in caught.value.hint
    assert "qedge[" not in caught.value.hint


def test_nobody_takes_the_name_of_one_of_ours(plug) -> None:
    plug("rpi", "acme_rpi_module", "TARGET = 3\n")
    assert resolve("rpi").info.title == "Raspberry Pi"
    assert names().count("rpi") == 1
    assert default_name() == "rpi"
    assert origin_of(registry.GROUP, "rpi").requirement == "qedge[rpi]"


def test_an_option_that_is_a_flag_of_qedge_stays_qedges(plug, monkeypatch: pytest.MonkeyPatch) -> None:
    from qedge.cli._app import build_app

    code = (
        "from qedge.target import Option, TargetInfo\nfrom test_target_seam import Plain\n"
        "class Greedy(Plain):\n    info = TargetInfo('greedy', 'G', 'S', options=(Option('data', 'mine'),))\n"
        "TARGET = Greedy()\n"
    )
    plug("greedy", "acme_greedy_module", code)
    assert resolve("greedy").info.options == (Option("data", "mine"),)
    assert build_app() is not None


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A bundle for a target that is not installed here."""
    return make_bundle(tmp_path / "bundle", tiny_model(), target="nowhere")


def test_the_twin_runs_any_bundle(nowhere: Path) -> None:
    with pytest.raises(UsageError, match="'nowhere'"):
        qedge.load(nowhere)
    with load_twin(nowhere) as model:
        golden = model.bundle.golden()
        for inputs, outputs in golden:
            assert all(np.array_equal(a, b) for a, b in zip(model.run(inputs), outputs))
    found = execute_twin(nowhere, [inputs for inputs, _ in golden])
    assert len(found) == len(golden) > 0
    report = verify_twin(nowhere, metrics={"cycles": 7}, findings=[Finding("info", "note", "x")])
    assert report.passed
    assert report.core.endswith("(CPU twin)")
    assert (report.metrics["cycles"], report.findings[0].rule) == (7, "note")
    samples = [golden[0][0]]
    assert verify_twin(nowhere, samples).samples == 1


def test_bench_of_the_twin_says_that_it_is_one(nowhere: Path) -> None:
    found = bench_bundle(nowhere, runs=3, threads=1, cold_starts=1, twin=True)
    assert found["runtime"]["twin"] is True
    assert found["cold_start_ms"]["load"] > 0


@pytest.mark.parametrize("name", ["mcu", "coral", "rpi"])
def test_what_a_target_did_not_write_is_refused(tmp_path: Path, name: str) -> None:
    from qedge.bundle import read_bundle

    wrong = {"engine": 3, "accelerator": "none", "stages": 1}
    place = make_bundle(tmp_path / name, tiny_model(), target=name, target_data=wrong)
    with read_bundle(place) as bundle, pytest.raises(IntegrityError, match=r"\$\.target_data"):
        target_of(bundle)


def test_columns_sum_parts_and_skip_what_is_not_there() -> None:
    assert Column("RAM", "ram_bytes").value({"ram_bytes": {"arena": 5, "stack": 2, "by": "hand"}}) == 7
    assert Column("cycles", "cycles").value({"cycles": 9}) == 9
    assert Column("cycles", "cycles").value({"cycles": {"estimate": True, "value": 8}}) == 8
    assert Column("cycles", "cycles").value({}) is None


def test_answers_of_our_targets_keep_the_contract(tmp_path: Path) -> None:
    graph = Graph.from_bytes(tiny_model())
    for name in names():
        assert answers.faults_of_check(resolve(name).check(request(graph, tmp_path)), graph) == []


@pytest.mark.parametrize("name", ["mcu", "coral", "ethosu", "rpi"])
def test_every_option_that_a_target_reads_is_declared(project: Path, name: str) -> None:
    declared = {option.name for option in resolve(name).info.options}
    read = set()
    for path in sorted((project / f"targets/qedge_{name}").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                given = [
                    a.arg for a in node.args.args if a.annotation and ast.unparse(a.annotation) == "Options"
                ]
                read |= {key for inner in ast.walk(node) for key in keys_read(inner, given)}
    assert read <= declared


def keys_read(node: ast.AST, names: list[str]) -> list[str]:
    """Return the keys of ``names`` that a call of ``get`` or a subscript asks for."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and node.args
    ):
        holder, key = node.func.value, node.args[0]
    elif isinstance(node, ast.Subscript):
        holder, key = node.value, node.slice
    else:
        return []
    known = isinstance(holder, ast.Name) and holder.id in names and isinstance(key, ast.Constant)
    return [str(key.value)] if known else []
