"""Streaming models: state in place; and real models from TFLite Micro's projects, exact to the inner tensors."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from qedge.graph import Graph
from qedge.oracle import tflm
from qedge.pipeline import BuildRequest
from qedge.pipeline import build as journey
from qedge.target import resolve_all
from qedge.testing.cases import merge
from qedge.testing.opmodels import Spec, constant, single_op
from qedge_mcu.cores import core
from qedge_mcu.emit import emit
from qedge_mcu.library import Library, describe
from qedge_mcu.program import Program, build
from qedge_mcu.verify import compare_layers
from tests.ops.cases import variable


def program(name: str) -> Program:
    (case,) = (c for c in variable.CASES if c.name == name)
    return build(Graph.from_bytes(merge([case]).data), core("cortex-m4"), "model", tries=0)


@pytest.mark.parametrize("name", ["stream", "stream-many", "stream-middle", "stream-more-new-than-kept"])
def test_the_joined_tensor_is_the_state(name: str) -> None:
    built = program(name)
    (state,) = built.states
    joined = next(op.outputs[0] for op in built.graph if op.op == "CONCATENATION")
    assert state.nbytes == built.graph.tensors[joined].nbytes
    assert built.places[joined].offset == 0
    functions = [s.emitted.function for s in built.steps if s.emitted.function]
    assert functions.count("qe_move") == 1
    assert "qe_concatenation" not in functions
    assert "qe_copy" not in functions


@pytest.mark.parametrize(("name", "moves"), [("cut-first", 1), ("cut-first-many", 1), ("cut-first-early", 2)])
def test_what_is_cut_and_joined_again_stays_in_the_state(name: str, moves: int) -> None:
    built = program(name)
    (state,) = built.states
    joined = next(op.outputs[0] for op in built.graph if op.op == "CONCATENATION")
    assert state.nbytes == built.graph.tensors[joined].nbytes
    functions = [s.emitted.function for s in built.steps if s.emitted.function]
    assert functions.count("qe_move") == moves  # rows that are made ahead of the cut are copied behind it
    assert not {"qe_concatenation", "qe_copy"} & set(functions)


def test_a_state_is_written_after_everything_that_reads_it() -> None:
    built = program("recurrent")
    order = [s.op.op for s in built.steps]
    assert order.index("ASSIGN_VARIABLE") == len(order) - 1


@pytest.mark.parametrize("tries", [0, 4])
def test_variables_that_are_all_read_first_are_shifted_after_their_readers(
    tries: int, tmp_path: Path
) -> None:
    (case,) = (c for c in variable.CASES if c.name == "layers")
    built = build(Graph.from_bytes(merge([case]).data), core("cortex-m4"), "model", tries=tries)
    order = [s.op for s in built.steps]
    assert "READ_VARIABLE" not in {order[run.start].op for run in built.runs}, "what makes no code is no loop"
    shifted = [i for i, op in enumerate(order) if op.op == "ASSIGN_VARIABLE"]
    joined = [op.outputs[0] for op in order if op.op == "CONCATENATION"]
    read = [max(i for i, op in enumerate(order) if tensor in op.inputs) for tensor in joined]
    assert len(shifted) == 5
    assert all(last < at for last, at in zip(read, shifted))
    if tflm.available():
        generated = emit(built)
        generated.write(tmp_path)
        library = Library(tmp_path, describe(built, generated.sources))
        rng = np.random.default_rng(0)
        samples = [[rng.integers(-128, 128, (1, 1, 4), np.int8)] for _ in range(4)]
        runs = tflm.run(built.graph.data, samples, inner=True)
        assert compare_layers(library, samples, [r.tensors for r in runs]) == []


def test_a_stream_makes_the_whole_journey(tmp_path: Path) -> None:
    (case,) = (c for c in variable.CASES if c.name == "stream")
    (tmp_path / "stream.tflite").write_bytes(merge([case]).data)
    made = journey(
        BuildRequest(tmp_path / "stream.tflite", resolve_all(["mcu"]), tmp_path / "out"), lambda *_: None
    )
    files = {p.name for p in made.bundles["mcu"].rglob("*") if p.is_file()}
    assert {"manifest.json", "stream.h", "stream.c"} <= files


def test_a_stream_can_begin_anew() -> None:
    files = emit(program("stream")).files
    assert "int model_reset_state(model_context *context);" in files["src/model.h"].decode()
    init = re.search(r"int model_init\(.*?\n\}", files["src/model.c"].decode(), re.DOTALL)
    assert init is not None
    assert "return model_reset_state(context);" in init[0]


@pytest.mark.shared
@pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")
@pytest.mark.parametrize(
    ("name", "runs"), [("hey_jarvis", 6), ("person_detect", 1), ("keyword_scrambled_8bit", 4)]
)
def test_real_models_are_exact(shared: Path, tmp_path: Path, name: str, runs: int) -> None:
    graph = Graph.from_file(shared / f"models/mcu/{name}.tflite")
    built = build(graph, core("cortex-m4"), name, tries=0)
    generated = emit(built)
    generated.write(tmp_path)
    rng = np.random.default_rng(5)
    inputs = [graph.tensors[t] for t in graph.inputs]
    samples = [[rng.integers(-128, 128, t.shape).astype(t.dtype) for t in inputs] for _ in range(runs)]
    expected = tflm.run(graph.data, samples, inner=True)
    library = Library(tmp_path, describe(built, generated.sources))
    assert compare_layers(library, samples, [r.tensors for r in expected]) == []
    written = {t.index for s in library.description.steps for t in s.tensors}
    assert len(written) >= 15


@pytest.mark.shared
def test_what_a_streaming_model_takes(shared: Path) -> None:
    """Copied at each step, the model took 3,872 bytes of arena and 2,840 of state."""
    graph = Graph.from_file(shared / "models/mcu/hey_jarvis.tflite")
    built = build(graph, core("cortex-m4"), "hey_jarvis")
    assert built.context_bytes <= 0.65 * (3872 + 2840)


@pytest.mark.shared
@pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")
def test_operators_with_16_bit_activations_are_exact(shared: Path, tmp_path: Path) -> None:
    """All single operators of TFLite Micro's int16x8 integration tests, in one library each."""
    files = sorted((shared / "models/mcu/int16x8").glob("*.tflite"))
    assert len(files) >= 14
    for file in files:
        graph = Graph.from_file(file)
        built = build(graph, core("cortex-m4"), "model", tries=0)
        generated = emit(built)
        folder = tmp_path / file.stem
        generated.write(folder)
        rng = np.random.default_rng(5)
        sample = [
            rng.integers(-30000, 30000, graph.tensors[t].shape).astype(graph.tensors[t].dtype)
            for t in graph.inputs
        ]
        (expected,) = tflm.run(graph.data, [sample], inner=True)
        library = Library(folder, describe(built, generated.sources))
        assert compare_layers(library, [sample], [expected.tensors]) == [], file.name


def test_a_model_without_code_is_verified_too(tmp_path: Path) -> None:
    specs = [Spec((1, 4, 6), "int8", 0.1, 3), constant([1, 24])]
    graph = Graph.from_bytes(single_op("RESHAPE", specs, [Spec((1, 24), "int8", 0.1, 3)]))
    built = build(graph, core("cortex-m4"), "model", tries=0)
    generated = emit(built)
    generated.write(tmp_path)
    library = Library(tmp_path, describe(built, generated.sources))
    sample = [np.arange(24, dtype=np.int8).reshape(1, 4, 6)]
    assert library.trace([sample]) == [{}]
    assert library.run([sample])[0][0].tolist() == list(range(24))


def test_memory_grows_with_the_model(tmp_path: Path) -> None:
    shape = (1, 1200, 1200, 4)
    graph = Graph.from_bytes(single_op("RELU", [Spec(shape, "int8", 0.1, 0)], [Spec(shape, "int8", 0.1, 0)]))
    built = build(graph, core("cortex-m4"), "model", tries=0)
    assert built.context_bytes > 5 << 20
    generated = emit(built)
    generated.write(tmp_path)
    library = Library(tmp_path, describe(built, generated.sources))
    sample = [np.full(shape, -5, np.int8)]
    (found,) = library.trace([sample])
    assert not found[graph.outputs[0]].any()
