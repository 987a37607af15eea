"""Driving the Edge TPU compiler: a stand-in that speaks its command line and log, and logs as published."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coral_doubles as doubles
import numpy as np
import pytest

from qedge.errors import ModelError, ToolError, UnsupportedError, UsageError
from qedge.graph import Graph, schema
from qedge.target import Requirement
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op
from qedge.testing.requests import request
from qedge_coral import compile as driver
from qedge_coral import compiler_log, doctor, statuses, system
from qedge_coral.package import read_compiled
from qedge_coral.recipe import compile_md
from qedge_coral.target import COMPILED, GUIDE, TARGET

Compile = Callable[..., Any]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(doubles.build_compiler(tmp_path_factory.mktemp("compiler")))


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compile:
    monkeypatch.delenv(driver.VARIABLE, raising=False)

    def run(model: bytes | None = None, **options: Any) -> Any:
        model = model or doubles.small_model()
        return TARGET.compile(request(model, tmp_path / "work", **options))

    return run


def test_without_the_compiler_the_bundle_says_how(build: Compile) -> None:
    made = build()
    assert set(made.files) == {GUIDE}
    assert made.extra["command"] == "edgetpu_compiler -s -t 180 model.tflite"
    assert made.extra["command"] in made.files[GUIDE].decode()
    assert made.extra["stages"] == []
    assert "not-compiled" in {f.rule for f in made.findings}


def test_recipe_has_container_and_the_way_back() -> None:
    text = compile_md({"segments": 2, "all_subgraphs": True})
    assert "edgetpu_compiler -s -t 180 -n 2 -a model.tflite" in text
    assert "FROM --platform=linux/amd64" in text
    assert "--compiled model_segment_0_of_2_edgetpu.tflite --segments 2" in text


def test_with_the_compiler(build: Compile, program: str, tmp_path: Path) -> None:
    made = build(compiler=program)
    assert COMPILED in made.files
    read = read_compiled(Graph.from_bytes(made.files[COMPILED]))
    assert read.cpu_operators == ()
    assert made.metrics["mapped_percent"] == 100
    assert made.extra["compiler_log"]["version"] == "16.0.384591198"
    assert "prediction-differs" not in {f.rule for f in made.findings}
    again = build(compiler=program)
    assert again.files == made.files
    assert again.extra == made.extra


def test_compiler_by_environment(build: Compile, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(driver.VARIABLE, program)
    assert COMPILED in build().files


def test_difference_from_the_prediction_is_reported(
    build: Compile, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETPU_DOUBLE_CPU", "LOGISTIC")
    made = build(compiler=program)
    finding = next(f for f in made.findings if f.rule == "prediction-differs")
    assert "1 of 3 operators to the CPU (1 LOGISTIC), predicted were 0 (none)" in finding.message
    assert made.metrics["mapped_percent"] == pytest.approx(66.67)


@pytest.fixture(scope="module")
def in_parts() -> bytes:
    """Return a convolution, a function that stays on the CPU, and two more convolutions."""
    rng = np.random.default_rng(3)
    builder = ModelBuilder()
    graph = builder.subgraph()
    shape = (1, 16, 16, 128)
    last = graph.input(Spec(shape, scale=0.05, zero_point=3, name="in"))
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1}
    options |= {"dilation_h_factor": 1, "dilation_w_factor": 1}
    for k, kind in enumerate(("CONV_2D", "ABS", "CONV_2D", "CONV_2D")):
        out = graph.tensor(Spec(shape, scale=0.05, zero_point=-4, name=f"t{k}"))
        if kind == "CONV_2D":
            weights = graph.tensor(constant(rng.integers(-90, 90, (128, 3, 3, 128)), "int8", scale=0.01))
            bias = graph.tensor(constant(rng.integers(-400, 400, 128), "int32", scale=0.0005))
            graph.operator(kind, [last, weights, bias], [out], options, version=3)
        else:
            graph.operator(kind, [last], [out])
        last = out
    graph.output(last)
    return builder.pack()


def test_every_part_is_compiled_where_that_is_faster(build: Compile, program: str, in_parts: bytes) -> None:
    made = build(in_parts, compiler=program)
    assert made.metrics["mapped_percent"] == 75
    assert "-a" in made.extra["command"].split()
    assert read_compiled(Graph.from_bytes(made.files[COMPILED])).cpu_operators == ("ABS",)
    assert not {"prediction-differs", "all-subgraphs"} & {f.rule for f in made.findings}
    first = build(in_parts, compiler=program, all_subgraphs=False)
    assert first.metrics["mapped_percent"] == 25
    assert "-a" not in first.extra["command"].split()


def test_the_first_part_is_compiled_where_all_cannot_be(
    build: Compile, program: str, in_parts: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETPU_DOUBLE_COMPILER", "parts")
    made = build(in_parts, compiler=program)
    assert made.metrics["mapped_percent"] == 25
    assert "-a" not in made.extra["command"].split()
    (said,) = [f for f in made.findings if f.rule == "all-subgraphs"]
    assert "Internal compiler error" in said.message
    assert "1 of 4 operators" in said.message
    with pytest.raises(ToolError):
        build(in_parts, compiler=program, all_subgraphs=True)


def test_a_file_with_the_first_part_alone_is_taken_as_such(
    build: Compile, program: str, in_parts: bytes, tmp_path: Path
) -> None:
    model = build(in_parts, compiler=program, all_subgraphs=False).files[COMPILED]
    (tmp_path / "elsewhere.tflite").write_bytes(model)
    made = build(in_parts, compiled=str(tmp_path / "elsewhere.tflite"))
    assert made.metrics["mapped_percent"] == 25
    assert "prediction-differs" not in {f.rule for f in made.findings}


def test_segments(build: Compile, program: str) -> None:
    made = build(doubles.small_model(3), compiler=program, segments=2)
    names = [s["file"] for s in made.extra["stages"]]
    assert names == [f"model_segment_{i}_of_2_edgetpu.tflite" for i in range(2)]
    assert set(names) < set(made.files)
    first, second = made.extra["stages"]
    assert [t["name"] for t in first["outputs"]] == [t["name"] for t in second["inputs"]]


def test_compiled_elsewhere(build: Compile, program: str, tmp_path: Path) -> None:
    model = build(compiler=program).files[COMPILED]
    (tmp_path / "elsewhere.tflite").write_bytes(model)
    made = build(compiled=str(tmp_path / "elsewhere.tflite"))
    assert made.files[COMPILED] == model
    assert "compiler_log" not in made.extra


def test_compiled_elsewhere_must_be_compiled(build: Compile, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(doubles.small_model())
    with pytest.raises(ModelError, match="no edgetpu-custom-op"):
        build(compiled=str(tmp_path / "m.tflite"))
    with pytest.raises(ModelError, match="expected the first of 2 segments"):
        build(compiled=str(tmp_path / "m.tflite"), segments=2)


def test_package_of_unknown_layout_is_taken_with_a_warning(
    build: Compile, program: str, tmp_path: Path
) -> None:
    tree = schema.unpack(build(compiler=program).files[COMPILED])
    tree.subgraphs[0].operators[0].customOptions = list(b"from elsewhere")
    (tmp_path / "m.tflite").write_bytes(schema.pack(tree))
    made = build(compiled=str(tmp_path / "m.tflite"))
    assert "unknown-package" in {f.rule for f in made.findings}
    assert made.extra["compiler"][0]["compiler_versions"] == ["unknown"]


@pytest.mark.parametrize("at", [10, 200, 900])
def test_damaged_package_is_refused(at: int, build: Compile, program: str, tmp_path: Path) -> None:
    tree = schema.unpack(build(compiler=program).files[COMPILED])
    options = bytearray(tree.subgraphs[0].operators[0].customOptions)
    cut = options[:-at] + b"DWN1"
    tree.subgraphs[0].operators[0].customOptions = list(cut)
    (tmp_path / "m.tflite").write_bytes(schema.pack(tree))
    with pytest.raises(ModelError, match="is damaged"):
        build(compiled=str(tmp_path / "m.tflite"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, program: str) -> dict[tuple[int, bool], Path]:
    """Five networks of one architecture with random weights and five with trained-looking ones, compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    found = {}
    for seed in range(5):
        for trained in (False, True):
            options = {"compiler": program}
            asked = request(doubles.network(seed, trained), folder / f"{seed}{trained}", **options)
            found[seed, trained] = folder / f"{seed}{trained}.tflite"
            found[seed, trained].write_bytes(TARGET.compile(asked).files[COMPILED])
    return found


@pytest.mark.parametrize("trained", [False, True])
def test_the_right_compiled_file_is_taken_and_a_stale_one_refused(
    build: Compile, compiled: dict[tuple[int, bool], Path], trained: bool
) -> None:
    for seed in range(5):
        model = doubles.network(seed, trained)
        made = build(model, compiled=str(compiled[seed, trained]))
        assert made.files[COMPILED] == compiled[seed, trained].read_bytes()
        with pytest.raises(
            ModelError, match=r"other weights: those of #0 CONV_2D, .* \(4 of 4 layers"
        ) as stale:
            build(model, compiled=str(compiled[(seed + 1) % 5, trained]))
        assert "changed after it was compiled" in str(stale.value.hint)


def test_one_layer_trained_again_is_seen(build: Compile, compiled: dict[tuple[int, bool], Path]) -> None:
    tree = schema.unpack(doubles.network(0, True))
    last = tree.subgraphs[0].operators[-1].inputs[1]
    buffer = tree.buffers[tree.subgraphs[0].tensors[last].buffer]
    buffer.data = buffer.data[::-1].copy()
    with pytest.raises(ModelError, match=r"those of #4 FULLY_CONNECTED are not in it \(1 of 4"):
        build(schema.pack(tree), compiled=str(compiled[0, True]))


CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    # what is changed in the model: (change of its first output, words of the refusal)
    "name": (lambda t: setattr(t, "name", b"probability"), "its name, 'out1', expected 'probability'"),
    "scale": (lambda t: setattr(t.quantization, "scale", [0.25]), "its scale, 0.5, expected 0.25"),
    "zero point": (lambda t: setattr(t.quantization, "zeroPoint", [7]), "its zero point, 0, expected 7"),
    "shape": (
        lambda t: setattr(t, "shape", [1, 1, 1]),
        r"its type and shape, int8\[1, 1\], expected int8\[1, 1, 1\]",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_refusal_says_what_differs(
    what: str, build: Compile, compiled: dict[tuple[int, bool], Path]
) -> None:
    change, words = CHANGES[what]
    tree = schema.unpack(doubles.network(0, True))
    change(tree.subgraphs[0].tensors[tree.subgraphs[0].outputs[0]])
    with pytest.raises(ModelError, match=f"output 0 differs in {words}"):
        build(schema.pack(tree), compiled=str(compiled[0, True]))


def test_compiled_from_another_model_is_refused(build: Compile, program: str, tmp_path: Path) -> None:
    other = build(
        single_op("TANH", [Spec((1, 9), scale=0.1)], [Spec((1, 9), scale=0.1)], version=2), compiler=program
    )
    (tmp_path / "other.tflite").write_bytes(other.files[COMPILED])
    with pytest.raises(ModelError, match="another model: input 0 differs in its name"):
        build(compiled=str(tmp_path / "other.tflite"))


FAILURES = {
    # way to fail: (words of the message, words of the hint)
    "unquantised": (statuses.NOT_QUANTIZED, "quantise it first"),
    "unparsed": ("could not be parsed: CONV_2D version 6", "versions are newer"),
    "large": ("large activation tensors", "--search"),
    "crash": ("Internal compiler error", "run it again"),
    "slow": ("ran out of time", "--timeout"),
    "silent": ("wrote no model_edgetpu.tflite", "by hand"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_failure_of_the_compiler(
    how: str, build: Compile, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETPU_DOUBLE_COMPILER", how)
    message, hint = FAILURES[how]
    with pytest.raises(ToolError) as caught:
        build(compiler=program)
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_compiler_that_hangs(build: Compile, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETPU_DOUBLE_COMPILER", "hang")
    monkeypatch.setattr(driver, "MARGIN_S", 1)
    with pytest.raises(ToolError, match="did not end within 1 s"):
        build(compiler=program, timeout=1)


def test_compiler_that_is_not_there(build: Compile) -> None:
    with pytest.raises(ToolError, match="not there") as caught:
        build(compiler="/nowhere/edgetpu_compiler")
    assert driver.VARIABLE in str(caught.value.hint)


def test_segments_must_be_a_number_of_devices(build: Compile) -> None:
    with pytest.raises(UsageError, match="expected 1 or more"):
        build(segments=-1)


def half_mapped() -> bytes:
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y, z = (Spec((1, 8), scale=0.05) for _ in range(3))
    a, b, c = g.input(x), g.tensor(y), g.tensor(z)
    g.operator("RELU", [a], [b], version=2)
    g.operator("ELU", [b], [c])
    g.output(c)
    return builder.pack()


@pytest.mark.parametrize("wanted", ["95%", 95, 95.0, "60"])
def test_gate(wanted: Any, build: Compile) -> None:
    graph = Graph.from_bytes(half_mapped())
    report = TARGET.check(request(graph, min_mapped=wanted))
    assert [f.rule for f in report.findings if f.severity == "error"] == ["unsupported-op"]
    with pytest.raises(UnsupportedError, match=r"50\.0 % of the operators"):
        build(half_mapped(), min_mapped=wanted)
    passed = TARGET.check(request(graph, min_mapped="50%"))
    assert not [f for f in passed.findings if f.severity == "error"]


def test_check_of_a_compiled_model_predicts_nothing(build: Compile, program: str) -> None:
    report = TARGET.check(request(Graph.from_bytes(build(compiler=program).files[COMPILED])))
    assert not report.predicted
    assert [p.placement for p in report.operators] == ["edgetpu"]


def test_every_estimate_is_labelled(build: Compile) -> None:
    report = TARGET.check(request(Graph.from_bytes(doubles.small_model())))
    assert report.predicted
    assert report.metrics["parameter_bytes"]["estimate"] is True
    assert report.metrics["latency_ms"]["estimate"] is True
    low, usual, high = report.metrics["parameter_bytes"]["cached"]
    assert low <= usual <= high <= report.metrics["parameter_bytes"]["total"]


# As published in google-coral/edgetpu #671 and #512.
LOG = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 3438 ms.

Input model: yolov5s-int8.tflite
Input size: 7.31MiB
Output model: yolov5s-int8_edgetpu.tflite
Output size: 7.52MiB
On-chip memory used for caching model parameters: 6.89MiB
On-chip memory remaining for caching model parameters: 1.00KiB
Off-chip memory used for streaming uncached model parameters: 175.00KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 229
Operation log: yolov5s-int8_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU.
Number of operations that will run on Edge TPU: 222
Number of operations that will run on CPU: 7

Operator                       Count      Status

LOGISTIC                       1          More than one subgraph is not supported
LOGISTIC                       61         Mapped to Edge TPU
TRANSPOSE                      3          Operation is otherwise supported, but not mapped due to some unspecified limitation
Compilation child process completed within timeout period.
Compilation succeeded!
"""  # noqa: E501


def test_log_as_published() -> None:
    log = compiler_log.parse(LOG)
    assert log.succeeded
    assert log.version == "16.0.384591198"
    assert log.figures["cached_bytes"] == round(6.89 * 1024**2)
    assert log.figures["remaining_bytes"] == 1024
    assert log.figures["streamed_bytes"] == 175 * 1024
    assert (log.figures["edgetpu_operations"], log.figures["cpu_operations"]) == (222, 7)
    assert log.counts() == {statuses.OTHER_SUBGRAPH: 1, statuses.MAPPED: 61, statuses.LIMITATION: 3}
    assert log.findings == ()


def test_log_of_nothing() -> None:
    log = compiler_log.parse("")
    assert not log.succeeded
    assert log.to_json() == {"version": None, "operators": []}


def named(rows: list[Requirement]) -> dict[str, Requirement]:
    return {r.name: r for r in rows}


def test_doctor_without_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(driver.VARIABLE, raising=False)
    monkeypatch.delenv(system.VARIABLE, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    rows = named(doctor.requirements(tmp_path))
    assert rows["libedgetpu"].ok is None
    assert "apt install" in str(rows["libedgetpu"].install)
    assert rows["edgetpu_compiler"].ok is None
    assert "none is plugged in" in rows["Edge TPU"].detail


def test_doctor_of_a_pi_with_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_coral_runtime import plugged

    plugged(tmp_path, usb=1, pci=1)
    (tmp_path / "sys/bus/usb/devices/2-0/speed").write_text("480\n")
    monkeypatch.setattr(system, "page_bytes", lambda: 16384)
    rows = named(doctor.requirements(tmp_path))
    assert rows["Edge TPU usb:0"].ok
    assert "48.8 degrees" in rows["Edge TPU pci:0"].detail
    assert rows["udev rule"].ok is False
    assert "udevadm" in str(rows["udev rule"].install)
    assert rows["kernel module apex"].ok is False
    assert rows["page size"].ok is False
    assert "kernel8.img" in str(rows["page size"].install)
    assert "480 Mbit/s" in rows["USB 3"].detail


def test_doctor_knows_versions_that_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(system.VARIABLE, "/usr/lib/libedgetpu.so.1")
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    for version, ok in (("16.0", False), ("16.0tf2.19.1-1.bookworm", True), ("17.0", None)):
        status.write_text(f"Package: libedgetpu1-std\nStatus: install ok installed\nVersion: {version}\n")
        monkeypatch.setattr(system, "binding", lambda: ("ai-edge-litert", "2.2.0"))
        assert named(doctor.requirements(tmp_path))["versions together"].ok is ok


def test_golden_outputs_of_the_bundle_are_the_twins(tmp_path: Path, program: str) -> None:
    folder = doubles.write(tmp_path / "b", doubles.small_model(), {"compiler": program}, tmp_path / "w")
    found = np.load(folder / "golden/output_0.npy")
    assert np.array_equal(found[0], doubles.expected(doubles.small_model(), doubles.samples())[0][0])


def late_activation() -> bytes:
    """A convolution, a LEAKY_RELU that the build rewrites, a ELU that stays on the CPU."""
    builder = ModelBuilder()
    g = builder.subgraph()
    a, b, c = (Spec((1, 4, 4, 8), scale=0.05, zero_point=-3) for _ in range(3))
    x, y, z = g.input(a), g.tensor(b), g.tensor(c)
    g.operator("LEAKY_RELU", [x], [y], {"alpha": 0.2}, version=2)
    g.operator("ELU", [y], [z])
    g.output(z)
    return builder.pack()


def test_check_places_what_ships_after_the_rewrites() -> None:
    report = TARGET.check(request(Graph.from_bytes(late_activation())))
    assert report.rewritten
    assert report.predicted
    assert [(p.op, p.placement) for p in report.operators] == [("PRELU", "edgetpu"), ("ELU", "cpu")]
    assert report.metrics["given"] == {"mapped_percent": 0.0, "operators": 2, "mapped": []}
    same = TARGET.check(request(Graph.from_bytes(doubles.small_model())))
    assert not same.rewritten


def test_figures_say_in_words_what_the_metrics_have() -> None:
    report = TARGET.check(request(Graph.from_bytes(late_activation())))
    said = dict(report.figures)
    assert said["on the Edge TPU"] == "1 of 2 operators (50.0 %), predicted"
    assert said["parameters"].startswith("64 B cached")
    assert "0 B streamed" in said["parameters"]
    assert said["runtime"] == "14 or newer"
    assert "16.0.384591198" in said["compiler"]
    for link in report.metrics["latency_ms"]["links"].values():
        assert said[link["title"]].startswith(f"{link['ms']} ms ({link['low_ms']} to {link['high_ms']}")


def test_after_compiling_the_compiled_file_speaks(
    build: Compile, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    foretold = build()
    assert foretold.operators is None
    assert dict(TARGET.figures(foretold.extra))["compiler"].endswith("(predicted; it has not run)")
    monkeypatch.setenv("EDGETPU_DOUBLE_CPU", "LOGISTIC")
    made = build(compiler=program)
    assert [(p.op, p.placement) for p in made.operators] == [
        ("edgetpu-custom-op", "edgetpu"),
        ("LOGISTIC", "cpu"),
    ]
    said = dict(TARGET.figures(made.extra))
    assert said["left to the CPU"] == "1 operators (1 LOGISTIC)"
    assert said["parameters"].endswith("as compiled")
    assert said["compiler"] == "stand-in"
    assert said["runtime"] == "13 or newer, as compiled"
    assert said["USB 3, PC"].endswith("estimate")
    again = TARGET.check(request(Graph.from_bytes(made.files[COMPILED])))
    assert dict(again.figures)["parameters"] == said["parameters"]
    assert not again.predicted


def detector(decoding: int) -> bytes:
    """A convolution, and behind it as many operators that the Edge TPU does not have."""
    conv = {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
    builder = ModelBuilder()
    g = builder.subgraph()
    x, last = g.input(Spec((1, 8, 8, 16), scale=0.05)), g.tensor(Spec((1, 8, 8, 16), scale=0.05, name="maps"))
    w = g.tensor(constant(np.ones((16, 3, 3, 16)), "int8", scale=0.01))
    g.operator("CONV_2D", [x, w, g.tensor(constant(np.zeros(16), scale=0.0005))], [last], conv, version=3)
    for _ in range(decoding):
        made = g.tensor(Spec((1, 8, 8, 16), scale=0.05))
        g.operator("ELU", [last], [made])
        last = made
    g.output(last)
    return builder.pack()


def test_where_a_detector_ends_on_the_edge_tpu_is_named() -> None:
    def said(model: bytes) -> list[str]:
        report = TARGET.check(request(Graph.from_bytes(model)))
        return [f.message for f in report.findings if f.rule == "head-on-cpu"]

    (message,) = said(detector(4))
    assert message.startswith("the last 4 operators decode on the CPU, from 'maps' on: ")
    assert "estimate" in message
    assert said(detector(2)) == []
    assert said(doubles.small_model()) == []
