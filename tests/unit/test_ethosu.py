"""The Ethos-U target: what Vela says is what is told, and what is packed is what Vela made."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qedge.bundle import read_bundle, write_bundle
from qedge.emulate import check_c
from qedge.errors import CapacityError, IntegrityError, QedgeError, ToolError, UnsupportedError, UsageError
from qedge.fields import Field
from qedge.graph import Graph
from qedge.pipeline import BuildRequest, build, raise_for
from qedge.target import target_of
from qedge.testing.models import UNKNOWN_OPERATOR, small_classifier, unknown_operator
from qedge.testing.opmodels import ModelBuilder, Spec, constant
from qedge.testing.requests import request
from qedge_ethosu import vela
from qedge_ethosu.configurations import ACCELERATORS, FAMILIES, configuration, peers
from qedge_ethosu.cpu import KERNELS, registration
from qedge_ethosu.example import COMPILED, array_bytes
from qedge_ethosu.placement import distinct_names
from qedge_ethosu.target import TARGET

needs_vela = pytest.mark.skipif(vela.installed_version() is None, reason="ethos-u-vela is not installed")
WINDOW = {"stride_h": 1, "stride_w": 1, "padding": "SAME", "dilation_h_factor": 1, "dilation_w_factor": 1}


def mixed(names: bool = True) -> bytes:
    """Return a model whose middle Vela leaves to the CPU: CONV_2D, DEQUANTIZE, SIN, QUANTIZE, CONV_2D."""
    rng = np.random.default_rng(1)
    builder = ModelBuilder()
    g = builder.subgraph()

    def named(name: str, dtype: str = "int8", scale: float | None = 0.1) -> int:
        return g.tensor(Spec((1, 8, 8, 4), dtype, scale, name=name if names else "same"))

    def convolve(source: int, target: int) -> None:
        weights = g.tensor(constant(rng.integers(-90, 91, (4, 3, 3, 4)), "int8", 0.01))
        bias = g.tensor(constant(rng.integers(-90, 91, 4), "int32", 0.001))
        g.operator("CONV_2D", [source, weights, bias], [target], WINDOW, version=3)

    image = g.input(Spec((1, 8, 8, 4), "int8", 0.1, name="image"))
    first, floats, waves = named("first"), named("floats", "float32", None), named("waves", "float32", None)
    back, last = named("back"), named("last")
    convolve(image, first)
    g.operator("DEQUANTIZE", [first], [floats], version=2)
    g.operator("SIN", [floats], [waves])
    g.operator("QUANTIZE", [waves], [back])
    convolve(back, last)
    g.output(last)
    return builder.pack()


def int4() -> bytes:
    """Return a dense layer with int4 weights, of which Vela dies."""
    rng = np.random.default_rng(2)
    builder = ModelBuilder()
    g = builder.subgraph()
    image = g.input(Spec((1, 16), "int8", 0.1))
    weights = g.tensor(Spec((8, 16), "int4", 0.01, data=rng.integers(-7, 8, (8, 16)), name="narrow"))
    bias = g.tensor(constant(rng.integers(-90, 91, 8), "int32", 0.001))
    out = g.tensor(Spec((1, 8), "int8", 0.2))
    g.operator("FULLY_CONNECTED", [image, weights, bias], [out], version=4)
    g.output(out)
    return builder.pack()


def wide_layer() -> bytes:
    """Return a dense layer of 1 MB, which waits for the memory that its weights come from."""
    rng = np.random.default_rng(3)
    builder = ModelBuilder()
    g = builder.subgraph()
    image = g.input(Spec((1, 1024), "int8", 0.01))
    weights = g.tensor(constant(rng.integers(-127, 128, (1024, 1024)), "int8", 0.01))
    bias = g.tensor(constant(rng.integers(-90, 91, 1024), "int32", 0.0001))
    out = g.tensor(Spec((1, 1024), "int8", 0.1))
    g.operator("FULLY_CONNECTED", [image, weights, bias], [out], version=4)
    g.output(out)
    return builder.pack()


def test_vela_knows_every_configuration_by_these_names() -> None:
    assert len(set(ACCELERATORS)) == len(ACCELERATORS) == sum(len(f.macs) for f in FAMILIES.values())
    for name in ACCELERATORS:
        wanted = configuration({"accelerator": name})
        assert wanted.family.memory_mode == wanted.memory_mode
        for other in peers(wanted):
            assert other.family is not wanted.family
            assert int(other.accelerator.rpartition("-")[2]) <= int(name.rpartition("-")[2])
    stated = configuration(
        {"accelerator": "ethos-u55-64", "memory_mode": "Sram_Only", "system_config": "Mine"}
    )
    assert (stated.memory_mode, stated.system_config, stated.has_fast_memory) == ("Sram_Only", "Mine", False)


@needs_vela
def test_vela_takes_these_names(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ethosu.vela", "--help"], capture_output=True, text=True, check=True
    )
    listed = re.search(r"--accelerator-config \{([^}]*)\}", done.stdout)
    assert listed is not None
    assert sorted(re.sub(r"\s", "", listed[1]).split(",")) == sorted(ACCELERATORS)


def test_refusals_are_read_by_the_operators_output() -> None:
    log = (
        "Warning: something else\n\n"
        "Warning (supported operators) operator: QUANTIZE, ofm: 'a, b'\n"
        "Reason: Operation has tensor with unsupported DataType Float32 (sin)\n"
        "Feature-map dataTypes must be one of {INT8}\n\n"
        "Warning (supported operators) operator: CUSTOM, ofm: 'c'\nReason: Unsupported opType\n\nNetwork summary\n"
    )
    found = vela.refusals(log)
    assert list(found) == ["a, b", "c"]
    assert found["a, b"].reason.endswith("Float32 (sin); Feature-map dataTypes must be one of {INT8}")
    assert found["c"] == vela.Refusal("CUSTOM", "Unsupported opType")


def test_registrations_are_those_of_tflite_micro() -> None:
    assert {registration(op) for op in KERNELS} >= {
        "AddConv2D",
        "AddPadV2",
        "AddSplitV",
        "AddReverseV2",
        "AddLogSoftmax",
    }
    assert registration("CUSTOM", "TFLite_Detection_PostProcess") == "AddDetectionPostprocess"


def test_int4_is_refused_before_vela_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("Vela was started"))
    report = TARGET.check(request(int4()))
    assert [f.rule for f in report.findings] == ["dtype"]
    assert "'narrow' is int4" in report.findings[0].message
    assert [p.placement for p in report.operators] == ["unsupported"]
    with pytest.raises(UnsupportedError, match="int4"):
        raise_for("ethosu", report)


def test_without_vela_check_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vela, "installed_version", lambda: None)
    report = TARGET.check(request(small_classifier(), tmp_path))
    with pytest.raises(ToolError, match="ethos-u-vela is not installed") as caught:
        raise_for("ethosu", report)
    assert caught.value.exit_code == 8
    assert caught.value.hint == vela.INSTALL
    with pytest.raises(ToolError, match="not installed"):
        TARGET.compile(request(small_classifier(), tmp_path))
    monkeypatch.setattr("qedge_ethosu.target.installed_version", lambda: None)
    (requirement,) = TARGET.doctor()
    assert (requirement.ok, requirement.install) == (False, vela.INSTALL)


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (136, "", "died with SIGFPE"),
        (-11, "", "died with SIGSEGV"),
        (1, "Error: Invalid tflite file.\nmore", "Error: Invalid tflite file."),
        (2, "", "status 2: nothing"),
    ],
)
def test_a_vela_that_fails_says_why(
    code: int, said: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vela, "installed_version", lambda: "5.2.0")
    done = subprocess.CompletedProcess([], code, said, "")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: done)
    report = TARGET.check(request(small_classifier(), tmp_path))
    assert [f.rule for f in report.findings] == ["unsupported-op"]
    assert words in report.findings[0].message
    assert not list(tmp_path.glob("*/vela.log")), "a failure must not be read again"


CLI_ERROR = (
    "ethosu.vela.errors.CliOptionError: 'Error: Incorrect argument --memory-mode=Mine: Section not found'"
)
CONFIG_ERROR = (
    "ethosu.vela.errors.ConfigOptionError: 'Error: Invalid configuration of arena_mem_area=OffChipFlash'"
)


@pytest.mark.parametrize(("said", "words"), [(CLI_ERROR, "Mine: Section"), (CONFIG_ERROR, "arena_mem_area")])
def test_a_configuration_that_is_not_there_is_a_usage_error(
    said: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vela, "installed_version", lambda: "5.2.0")
    done = subprocess.CompletedProcess([], 1, "Traceback ...\n", said + "\n")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: done)
    with pytest.raises(UsageError, match=words) as caught:
        TARGET.check(request(small_classifier(), tmp_path, memory_mode="Mine"))
    assert not caught.value.message.endswith("'")
    with pytest.raises(UsageError, match="no Vela configuration at"):
        TARGET.check(request(small_classifier(), tmp_path, vela_config=str(tmp_path / "none.ini")))


def own_run(model: bytes, folder: Path, accelerator: str) -> dict[str, str]:
    """Return the summary of Vela's own run with its defaults."""
    folder.mkdir()
    (folder / "plain.tflite").write_bytes(model)
    line = [sys.executable, "-m", "ethosu.vela", "plain.tflite", "--output-dir", "."]
    subprocess.run([*line, "--accelerator-config", accelerator], cwd=folder, capture_output=True, check=True)
    with next(folder.glob("*_summary_*.csv")).open() as file:
        return dict(next(csv.DictReader(file)))


@pytest.mark.long
@needs_vela
@pytest.mark.parametrize("accelerator", ["ethos-u55-128", "ethos-u65-256"])
def test_figures_are_those_of_velas_own_run(tmp_path: Path, accelerator: str) -> None:
    model = small_classifier()
    found = TARGET.check(request(model, tmp_path, accelerator=accelerator)).metrics
    row = own_run(model, tmp_path / "own", accelerator)
    assert found["cycles"]["value"] == float(row["cycles_total"])
    assert found["ram_bytes"]["sram"] == 1024 * float(row["sram_memory_used"])
    assert found["latency_ms"]["median"] == pytest.approx(1000 * float(row["inference_time"]), abs=1e-6)
    for figure in ("cycles", "npu_cycles", "latency_ms"):
        assert found[figure]["estimate"] is True
        assert found[figure]["model"].startswith("Vela 5.")


@needs_vela
@pytest.mark.parametrize("names", [True, pytest.param(False, marks=pytest.mark.long)])
def test_operators_are_placed_with_velas_reason(tmp_path: Path, names: bool) -> None:
    report = TARGET.check(request(mixed(names), tmp_path))
    assert [p.placement for p in report.operators] == ["ethosu", "cpu", "cpu", "cpu", "ethosu"]
    assert "Unsupported opType" in report.operators[2].reason
    assert "Float32" in report.operators[3].reason
    assert report.metrics["mapped_percent"] == 40.0
    assert {f.rule for f in report.findings} == {"cpu-operator"}


def test_names_that_vela_could_not_tell_apart_are_made_distinct() -> None:
    given = Graph.from_bytes(mixed(False))
    made = Graph.from_bytes(distinct_names(given))
    names = [t.name for t in made.tensors]
    assert len(set(names)) == len(names)
    assert [op.op for op in made.operators] == [op.op for op in given.operators]
    assert distinct_names(made) is made.data


@needs_vela
def test_what_nothing_runs_is_refused(tmp_path: Path) -> None:
    report = TARGET.check(request(unknown_operator(), tmp_path))
    assert [p.placement for p in report.operators] == ["ethosu", "unsupported", "ethosu"]
    assert report.operators[1].op == UNKNOWN_OPERATOR
    with pytest.raises(UnsupportedError, match="TFLite Micro has no kernel"):
        TARGET.compile(request(unknown_operator(), tmp_path))


@needs_vela
def test_budgets_are_kept_and_vela_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_classifier()
    needs = TARGET.check(request(model, tmp_path)).metrics
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("Vela was started again"))
    sram, flash = needs["ram_bytes"]["sram"], needs["flash_bytes"]["model"]
    assert not TARGET.check(request(model, tmp_path, ram=sram, flash=flash)).findings
    for option, limit, memory in (("ram", sram - 1, "SRAM"), ("flash", flash - 1, "flash")):
        report = TARGET.check(request(model, tmp_path, **{option: limit}))
        assert [f.rule for f in report.findings] == ["capacity"]
        assert f"bytes of {memory}, 1 over" in report.findings[0].message
        with pytest.raises(CapacityError) as caught:
            TARGET.compile(request(model, tmp_path, **{option: limit}))
        assert caught.value.exit_code == 5


@pytest.mark.long
@needs_vela
def test_another_configuration_that_is_far_faster_is_named(tmp_path: Path) -> None:
    found = TARGET.check(request(wide_layer(), tmp_path, accelerator="ethos-u55-256"))
    slower = [f.message for f in found.findings if f.rule == "other-configuration"]
    assert any("on ethos-u65-256" in message for message in slower), slower
    quick = TARGET.check(request(wide_layer(), tmp_path, accelerator="ethos-u65-256"))
    assert not [f for f in quick.findings if f.rule == "other-configuration"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the model with operators on both sides, as ``qedge build`` writes it."""
    if vela.installed_version() is None:
        pytest.skip("ethos-u-vela is not installed")
    folder = tmp_path_factory.mktemp("ethosu")
    (folder / "mixed.tflite").write_bytes(mixed())
    asked = BuildRequest(folder / "mixed.tflite", [(TARGET, {})], folder / "build")
    return build(asked, lambda stage, fraction: None).bundles["ethosu"]


def test_the_bundle_has_velas_model_as_an_aligned_array(bundle: Path) -> None:
    compiled = (bundle / COMPILED).read_bytes()
    source = (bundle / "c/mixed_vela.c").read_text()
    assert array_bytes(source) == compiled
    assert "QEDGE_ALIGNED(16)\nconst uint8_t mixed_vela[MIXED_VELA_BYTES]" in source
    assert f"#define MIXED_VELA_BYTES {len(compiled)}\n" in (bundle / "c/mixed_vela.h").read_text()
    with read_bundle(bundle) as opened:
        ((inputs, outputs), *_) = opened.golden()
        assert target_of(opened).info.name == "ethosu"
    golden = (bundle / "c/mixed_golden.c").read_text().split("golden_output")
    assert array_bytes(golden[0]) == inputs[0].tobytes()
    assert array_bytes(golden[1]) == outputs[0].tobytes()
    main = (bundle / "c/main.cc").read_text()
    assert re.findall(r"resolver\.(\w+)\(\);", main) == [
        "AddDequantize",
        "AddEthosU",
        "AddQuantize",
        "AddSin",
    ]
    assert "MicroMutableOpResolver<4>" in main
    assert not re.search(r"@\w+@", main)


def test_its_c_compiles_for_the_core_beside_the_npu(bundle: Path, tmp_path: Path, project: Path) -> None:
    sources = [bundle / "c/mixed_vela.c", bundle / "c/mixed_golden.c"]
    check_c(sources, "cortex-m55", includes=[bundle / "c"])
    doubles = project / "tests/hardware_doubles/ethosu"
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler to read main.cc with")
    line = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    done = subprocess.run(
        [*line, f"-I{doubles}", f"-I{bundle / 'c'}", str(bundle / "c/main.cc")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_verify_is_the_twin_and_the_placement_and_says_so(bundle: Path, tmp_path: Path) -> None:
    report = TARGET.verify(bundle, None, {})
    assert report.passed
    assert "the NPU was not run" in report.core
    assert [f.rule for f in report.findings] == ["not-on-npu"]
    assert report.metrics["placement"] == {"npu": 2, "operators": 5}
    assert report.metrics["compiled_again"] is True
    own = rewritten(bundle, tmp_path / "own", lambda files: None, own_config=True)
    assert TARGET.verify(own, None, {}).metrics["compiled_again"] is False
    found = TARGET.bench(bundle, {})
    assert found["cycles"]["estimate"] is True
    assert found["cycles"]["value"] > 0


def rewritten(bundle: Path, place: Path, change: Any, **data: Any) -> Path:
    with read_bundle(bundle) as opened:
        files = {name: opened.read(name) for name in opened.manifest.files}
        manifest = opened.manifest.replace(target_data={**opened.manifest.target_data, **data})
    change(files)
    write_bundle(place, manifest, files)
    return place


@pytest.mark.long
@pytest.mark.parametrize("again", [True, False])
def test_a_compiled_model_of_other_weights_or_shape_is_noticed(
    bundle: Path, tmp_path: Path, again: bool
) -> None:
    data = {} if again else {"vela": "4.0.0"}

    def weights(files: dict[str, bytes]) -> None:
        model = Graph.from_bytes(mixed())
        conv = model.tensors[model.operators[0].inputs[1]]
        files["model.tflite"] = mixed().replace(conv.data.tobytes(), np.flip(conv.data).tobytes())

    def other(files: dict[str, bytes]) -> None:
        files[COMPILED] = vela.compile_with_vela(small_classifier(), configuration({}), tmp_path / "w").model

    def array(files: dict[str, bytes]) -> None:
        files["c/mixed_vela.c"] = (
            files["c/mixed_vela.c"].replace(b"0x", b"0x", 1).replace(b"0x01", b"0x02", 1)
        )

    report = TARGET.verify(rewritten(bundle, tmp_path / "a", array, **data), None, {})
    assert report.mismatches == ("c/mixed_vela.c: the array is not model_vela.tflite",)
    report = TARGET.verify(rewritten(bundle, tmp_path / "o", other, **data), None, {})
    assert not report.passed
    assert any("its inputs are" in line for line in report.mismatches)
    report = TARGET.verify(rewritten(bundle, tmp_path / "x", weights, **data), None, {})
    assert any("makes another file" in line for line in report.mismatches) == again
    assert report.metrics["compiled_again"] == again


def test_target_data_is_validated(bundle: Path) -> None:
    good = json.loads((bundle / "manifest.json").read_text())["target_data"]
    TARGET.validate_target_data(Field(good, "$.target_data", IntegrityError))
    for key, wrong in (
        ("accelerator", "ethos-u99"),
        ("cycles", -1),
        ("placement", {"npu": 6, "operators": 5}),
        ("cpu_operators", "all"),
        ("new", 1),
    ):
        with pytest.raises(QedgeError, match=rf"\$\.target_data\.{key}"):
            TARGET.validate_target_data(Field({**good, key: wrong}, "$.target_data", IntegrityError))
