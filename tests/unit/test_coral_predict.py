"""What is predicted of the Edge TPU compiler, against models as it was given and returned them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qedge.errors import ModelError
from qedge.graph import Graph
from qedge_coral.package import read_compiled
from qedge_coral.predict import predict

MORE = ("yolov10n", "yamnet_spectra_in", "lane_nav", "tcn", "padding_256x256x3")
PAIRS = (
    "deeplab_mobilenet_edgetpu_slim_cityscapes_quant",
    "deeplabv3_mnv2_dm05_pascal_quant",
    "keras_lstm_mnist_ptq",
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v1_0.5_160_quant",
    "mobilenet_v1_1.0_224_quant_embedding_extractor",
    "movenet_single_pose_lightning_ptq",
    "posenet_mobilenet_v1_075_353_481_16_quant_decoder",
    "split_concat",
)


def folder(shared: Path, name: str) -> Path:
    return shared / "coral" / ("pairs_more" if name in MORE else "pairs")


def truth(shared: Path, name: str) -> dict[str, Any]:
    entries = json.loads((folder(shared, name) / "ground_truth.json").read_text())
    return next(e for e in entries if e["source"] == f"{name}.tflite")


@pytest.mark.shared
@pytest.mark.parametrize("name", [*PAIRS, *MORE])
def test_placement_is_the_compilers(shared: Path, name: str) -> None:
    found = predict(Graph.from_file(folder(shared, name) / f"{name}.tflite"))
    assert list(found.mapped) == truth(shared, name)["delegated_indices"]


@pytest.mark.shared
@pytest.mark.parametrize("name", PAIRS)
def test_package_of_a_compiled_file(shared: Path, name: str) -> None:
    expected = truth(shared, name)["package"]
    read = read_compiled(Graph.from_file(shared / f"coral/pairs/{name}_edgetpu.tflite")).to_json()
    assert read["edgetpu_subgraphs"] == expected["n_custom_ops"]
    assert read["cached_parameter_bytes"] == expected["on_chip_cached_param_bytes"]
    assert read["streamed_parameter_bytes"] == expected["off_chip_streamed_param_bytes"]
    assert read["instruction_bytes"] == expected["instruction_bytes"]
    assert read["scratch_bytes"] == expected["scratch_bytes"]
    assert read["compiler_versions"] == expected["compiler_version"]
    assert [read["min_runtime"]] == expected["min_runtime"]
    cycles = {e["kind"]: e["estimated_cycles"] for e in read["executables"]}
    assert cycles == expected["estimated_cycles"]
    assert len(read["cpu_operators"]) == len(truth(shared, name)["cpu_ops"])


@pytest.mark.shared
def test_a_model_that_was_never_compiled_has_no_package(shared: Path) -> None:
    graph = Graph.from_file(shared / "coral/pairs/split_concat.tflite")
    with pytest.raises(ModelError, match="no edgetpu-custom-op"):
        read_compiled(graph)


@pytest.mark.shared
def test_benchmark_keeps_what_it_promises(shared: Path, project: Path) -> None:
    line = [sys.executable, str(project / "benchmarks/coral.py"), "--json", "--shared", str(shared)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment)
    found = json.loads(done.stdout)
    for pair in found["pairs"]:
        assert pair["wrong_placements"] == 0
        assert abs(pair["bytes_error_percent"]) <= 3
    (detector,) = found["rewritten"]
    assert detector["mapped_percent"] >= 50
    assert detector["largest_difference"] <= 1
    lane = next(p for p in found["pairs"] if p["model"] == "lane_nav")
    assert lane["predicted_cached"] == pytest.approx(lane["cached"], rel=0.1)
    assert lane["predicted_streamed"] == pytest.approx(lane["streamed"], rel=0.1)
