"""The microcontroller target from a model to a verified bundle."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from mcu_models import bundle_of, compile_model, residual_network

from qedge.bundle import read_bundle
from qedge.emulate import CORES, check_c, host_compiler
from qedge.emulate.toolchain import WARNINGS
from qedge.errors import CapacityError, ToolError, UnsupportedError, UsageError
from qedge.graph import Graph
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op
from qedge.testing.requests import request
from qedge_mcu.target import TARGET


@pytest.fixture(scope="module")
def model() -> bytes:
    return residual_network()


@pytest.fixture(scope="module")
def bundle(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(model, tmp_path_factory.mktemp("mcu"))


def test_check_places_every_operator(model: bytes) -> None:
    found = TARGET.check(request(Graph.from_bytes(model)))
    assert not found.findings
    assert [p.placement for p in found.operators] == ["mcu"] * 8
    assert found.metrics["ram_bytes"]["arena"] < 9 * 7 * 8 * 2 + 500


def test_check_names_everything_that_is_unsupported(tmp_path: Path) -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    g.add("FLOOR", [Spec((1, 4), "float32")], [Spec((1, 4), "float32")])
    g.add("RELU", [Spec((1, 4), "float32")], [Spec((1, 4), "float32")])
    graph = Graph.from_bytes(builder.pack())
    found = TARGET.check(request(graph))
    assert [p.placement for p in found.operators] == ["unsupported", "unsupported"]
    assert {f.op for f in found.findings} == {"#0 FLOOR", "#1 RELU"}
    with pytest.raises(UnsupportedError) as caught:
        TARGET.compile(request(graph, tmp_path))
    assert len(caught.value.findings) == len(found.findings)


def test_the_older_kind_of_quantisation_is_one_reason_with_a_way_out() -> None:
    row = Spec((1, 4), "uint8", 0.1, 128)
    weights = constant(np.full((4, 4), 130, np.uint8), "uint8", 0.1, 128)
    dense = single_op("FULLY_CONNECTED", [row, weights, None], [row], {"weights_format": "SHUFFLED4x16INT8"})
    types, other = TARGET.check(request(Graph.from_bytes(dense))).findings
    assert types.message == "uint8 tensors (the older kind of quantisation), expected int8"
    assert "-t rpi" in str(types.hint)
    assert "SHUFFLED" in other.message
    lone = single_op("ADD", [row, row], [row])
    with pytest.raises(UnsupportedError) as caught:
        TARGET.compile(request(Graph.from_bytes(lone)))
    assert caught.value.hint == types.hint
    assert len(caught.value.findings) == 1


def test_an_answer_of_64_bits_is_refused_with_the_word_that_gives_32() -> None:
    row, answer = Spec((1, 4), "int8", 0.1), Spec((1,), "int64")
    model = single_op("ARG_MAX", [row, constant([1])], [answer], {"output_type": "INT64"})
    (found,) = TARGET.check(request(Graph.from_bytes(model))).findings
    assert found.message == "the output is int64, expected int32"
    assert "output_type=tf.int32" in str(found.hint)


def test_a_constant_output_is_refused() -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    g.add("RELU", [Spec((1, 4), "int8", 0.1)], [Spec((1, 4), "int8", 0.1)])
    g.output(g.tensor(constant([1, 2], "int8", 0.1)))
    (found,) = TARGET.check(request(Graph.from_bytes(builder.pack()))).findings
    assert "is a constant" in found.message


@pytest.mark.parametrize("name", ["string", "qe_common", "golden"])
def test_no_header_of_the_c_library_is_hidden(model: bytes, tmp_path: Path, name: str) -> None:
    assert f"c/src/{name}_model.h" in compile_model(model, tmp_path, name=name).files


def test_verify_is_bit_exact(bundle: Path) -> None:
    report = TARGET.verify(bundle, None, {})
    assert report.mismatches == ()
    assert report.bit_exact
    assert report.passed
    assert report.samples == 3
    assert report.metrics["instructions"] > 50_000
    assert 0 < report.metrics["ram_bytes"]["stack"] <= 800
    assert 0 < report.metrics["flash_bytes"]["code"] < 14_000


def test_verify_takes_samples_of_the_caller(bundle: Path) -> None:
    edges = [[np.full((1, 9, 7, 3), v, np.int8)] for v in (-128, 127)]
    report = TARGET.verify(bundle, edges, {})
    assert report.bit_exact
    assert report.samples == 2


@pytest.mark.parametrize("core", ["cortex-m4", "riscv32"])
def test_verify_takes_the_users_own_gcc(bundle: Path, core: str) -> None:
    gcc = CORES[core].gcc_name
    if shutil.which(gcc) is None:
        pytest.skip(f"{gcc} is not installed")
    report = TARGET.verify(bundle, None, {"core": core, "cc": f"{gcc} -Os"})
    assert report.bit_exact
    assert f"{core} (unicorn" in report.core
    assert f"{gcc} " in report.core
    with pytest.raises(ToolError, match="'no-gcc' is not installed"):
        TARGET.verify(bundle, None, {"cc": "no-gcc"})


def test_verify_names_the_first_layer_that_differs(model: bytes, tmp_path: Path) -> None:
    path = "c/src/tiny_weights.c"
    text = compile_model(model, tmp_path).files[path].decode()
    start = text.index("#1 DEPTHWISE_CONV_2D: requantize")
    changed = text[:start] + re.sub(r"\{\n    \d+u?,", "{\n    9999999u,", text[start:], count=1)
    report = TARGET.verify(bundle_of(model, tmp_path, {path: changed.encode()}), None, {})
    assert not report.bit_exact
    assert not report.passed
    assert "#1 DEPTHWISE_CONV_2D 'second'" in report.mismatches[0]


def test_execute_gives_the_golden_outputs(bundle: Path) -> None:
    with read_bundle(bundle) as opened:
        golden = opened.golden()
    outputs = TARGET.execute(bundle, [inputs for inputs, _ in golden], {})
    for got, (_, want) in zip(outputs, golden):
        np.testing.assert_array_equal(got[0], want[0])


def test_bench_counts_layers_and_labels_estimates(bundle: Path) -> None:
    found = TARGET.bench(bundle, {})
    layers = found["layers"]
    assert [row["op"] for row in layers][:2] == ["#0 CONV_2D", "#1 DEPTHWISE_CONV_2D"]
    assert 0.9 * found["instructions"] < sum(row["instructions"] for row in layers) < found["instructions"]
    assert layers[0]["macs"] == 9 * 7 * 8 * 27
    assert found["latency_ms"]["estimate"] is True
    assert found["latency_ms"]["median"] > 0


def test_the_same_model_gives_the_same_files(model: bytes, tmp_path: Path) -> None:
    assert compile_model(model, tmp_path).files == compile_model(model, tmp_path).files


def test_a_budget_says_what_would_have_to_go(model: bytes, tmp_path: Path) -> None:
    with pytest.raises(CapacityError, match=r"bytes of ram, .* over the 512 given") as caught:
        compile_model(model, tmp_path, ram="512")
    assert "'first'" in str(caught.value.hint)
    with pytest.raises(CapacityError, match="of flash") as caught:
        compile_model(model, tmp_path, flash="1K")
    assert "CONV_2D" in str(caught.value.hint)
    findings = TARGET.check(request(Graph.from_bytes(model), ram="512")).findings
    assert [f.rule for f in findings] == ["capacity"]


def test_an_unknown_core_is_named(model: bytes) -> None:
    with pytest.raises(UsageError, match="cortex-m9"):
        TARGET.check(request(Graph.from_bytes(model), core="cortex-m9"))


@pytest.fixture(scope="module")
def sources(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models generated side by side."""
    folder = tmp_path_factory.mktemp("sources")
    for name, data in (("tiny", model), ("other", residual_network(classes=3, seed=8, activation="RELU6"))):
        for path, contents in compile_model(data, folder, name=name).files.items():
            place = folder / name / Path(path).relative_to("c")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(contents)
    return folder


@pytest.mark.parametrize("standard", ["-std=c11", "-xc++ -std=c++17"])
def test_the_host_compiler_has_nothing_to_say(sources: Path, tmp_path: Path, standard: str) -> None:
    for source in sorted((sources / "tiny" / "src").glob("*.c")):
        command = [
            *host_compiler().command,
            *standard.split(),
            *WARNINGS,
            "-Werror",
            "-O2",
            "-c",
            str(source),
        ]
        done = subprocess.run(
            [*command, "-o", str(tmp_path / "o")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_clang_has_nothing_to_say(sources: Path) -> None:
    check_c(sorted((sources / "tiny" / "src").glob("*.c")), "cortex-m4")


def test_two_models_fit_in_one_image(sources: Path, tmp_path: Path) -> None:
    main = tmp_path / "main.c"
    main.write_text(
        """
#include "tiny.h"
#include "other.h"
static tiny_context a;
static other_context b;
int main(void) { return tiny_init(&a) + other_init(&b) + tiny_run(&a) + other_run(&b) + tiny_run(NULL) + 1; }
"""
    )
    program = tmp_path / "both"
    everything = [str(s) for s in sorted(sources.glob("*/src/*.c"))]
    command = [
        *host_compiler().command,
        "-std=c11",
        *everything,
        str(main),
        f"-I{sources}/tiny/src",
        f"-I{sources}/other/src",
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True)
    assert subprocess.run([str(program)], check=False).returncode == 0


def test_only_three_headers_of_the_c_library(sources: Path) -> None:
    included = {
        line
        for source in sources.glob("*/src/*.[ch]")
        for line in re.findall(r"#include <([^>]+)>", source.read_text())
    }
    # arm_acle.h is the compiler's own: the instructions of the DSP extension.
    assert included <= {"stdint.h", "stddef.h", "string.h", "arm_acle.h"}


def test_a_model_of_one_operator(tmp_path: Path) -> None:
    data = single_op(
        "SOFTMAX", [Spec((1, 4), "int8", 0.1)], [Spec((1, 4), "int8", 1 / 256, -128)], {"beta": 1.0}
    )
    assert TARGET.verify(bundle_of(data, tmp_path), None, {}).bit_exact


def wide_branches() -> bytes:
    """Return a model with two branches, written side by side, that are wide first and narrow at their end."""
    builder = ModelBuilder()
    g = builder.subgraph()
    rng = np.random.default_rng(4)
    window = {
        "stride_h": 1,
        "stride_w": 1,
        "padding": "VALID",
        "dilation_h_factor": 1,
        "dilation_w_factor": 1,
    }

    def conv(source: int, inputs: int, outputs: int) -> int:
        weights = constant(rng.integers(-127, 128, (outputs, 1, 1, inputs)), "int8", [0.01] * outputs)
        result = g.tensor(Spec((1, 6, 6, outputs), "int8", 0.1, 3))
        bias = constant(rng.integers(-99, 99, outputs), "int32")
        g.operator("CONV_2D", [source, g.tensor(weights), g.tensor(bias)], [result], window)
        return result

    x = g.input(Spec((1, 6, 6, 2), "int8", 0.1, 0))
    a, b = conv(x, 2, 40), conv(x, 2, 40)
    a, b = conv(a, 40, 2), conv(b, 40, 2)
    y = g.tensor(Spec((1, 6, 6, 2), "int8", 0.2, 0))
    g.operator("ADD", [a, b], [y], {})
    g.output(y)
    return builder.pack()


def test_operators_run_in_the_order_that_needs_least_memory(tmp_path: Path) -> None:
    path = bundle_of(wide_branches(), tmp_path)
    with read_bundle(path) as opened:
        steps = [s["op"] for s in opened.manifest.target_data["library"]["steps"]]
    assert sorted(steps) == list(range(5))
    assert steps != list(range(5))
    report = TARGET.verify(path, None, {})
    assert report.bit_exact
    assert report.metrics["ram_bytes"]["arena"] < 6 * 6 * 40 * 2
    assert {row["op"] for row in TARGET.bench(path, {})["layers"]} >= {"#4 ADD"}
