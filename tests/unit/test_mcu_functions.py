"""Tables of functions without an int8 kernel in TFLite Micro: the function rounded, LiteRT's where it has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qedge.emulate import CORES, qemu_available
from qedge.graph import Graph
from qedge.oracle import tflm
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op
from qedge_mcu.cores import core
from qedge_mcu.emit import emit
from qedge_mcu.library import Library
from qedge_mcu.library import describe as describe_library
from qedge_mcu.ops import OpContext, find
from qedge_mcu.ops.functions import FUNCTIONS
from qedge_mcu.oracle import describe, rewrite, run
from qedge_mcu.program import build, check
from qedge_mcu.verify import compare_layers, layer_table

# where each is defined and finite on the whole int8 range
RANGES = {"LOG": (0.05, -128), "SQRT": (0.05, -128)}


def table(op: str, source: tuple[float, int], target: tuple[float, int], **options: object) -> np.ndarray:  # type: ignore[type-arg]
    spec = Spec((1, 256), "int8", *source)
    graph = Graph.from_bytes(single_op(op, [spec], [Spec((1, 256), "int8", *target)], options or None))
    c = OpContext(graph, graph.operators[0], core("cortex-m4"))
    module = find(c)
    assert module is not None
    assert module.check(c) == []
    (array,) = module.emit(c).arrays
    return array.values


@pytest.mark.parametrize("op", sorted(FUNCTIONS))
def test_a_table_is_the_function_to_half_a_step(op: str) -> None:
    scale, zero = RANGES.get(op, (0.02, 3))
    found = table(op, (scale, zero), (0.03, -4)).astype(np.float64)
    real = np.array([FUNCTIONS[op](scale * (q - zero)) for q in range(-128, 128)])
    inside = np.isfinite(real) & (np.abs(real / 0.03 - 4) < 120)
    assert inside.sum() > 60
    assert np.abs(0.03 * (found + 4) - real)[inside].max() <= 0.03 * 0.501


def test_a_value_outside_the_domain_is_the_least_one() -> None:
    assert table("LOG", (0.1, 0), (0.05, 0))[:129].tolist() == [-128] * 129
    assert table("SQRT", (0.1, 0), (0.05, 0))[:128].tolist() == [-128] * 128


@pytest.mark.parametrize("op", ["EXP", "LOG", "GELU"])
def test_tables_are_those_of_litert(op: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    source, target = ((0.05, -128) if op == "LOG" else (0.03, 5)), (0.04, -7)
    data = single_op(
        op, [Spec((1, 256), "int8", *source)], [Spec((1, 256), "int8", *target)], {} if op != "LOG" else None
    )
    values = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    start = 1 if op == "LOG" else 0
    assert np.abs(table(op, source, target)[start:].astype(int) - expected.reshape(-1)[start:]).max() <= 0


def test_loops_and_branches_are_refused_by_name() -> None:
    builder = ModelBuilder()
    main = builder.subgraph()
    body = builder.subgraph("body")
    body.output(body.input(Spec((1, 4), "int8", 0.1)))
    x = main.input(Spec((1, 4), "int8", 0.1))
    condition = main.tensor(constant(True, "bool"))
    y = main.tensor(Spec((1, 4), "int8", 0.1))
    main.operator("IF", [condition, x], [y], {"then_subgraph_index": 1, "else_subgraph_index": 1})
    main.output(y)
    _, findings = check(Graph.from_bytes(builder.pack()), core("cortex-m4"))
    assert [f.op for f in findings] == ["#0 IF"]
    assert "runs other parts of the model" in findings[0].message
    assert findings[0].hint is not None
    assert "unroll" in findings[0].hint


def test_the_oracle_runs_what_tflite_micro_lacks_in_its_own_operators(tmp_path: Path) -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 4, 6), "int8", 0.03, 5))
    for op, scale in (("EXP", 0.05), ("SQRT", 0.02), ("GELU", 0.02)):
        y = g.tensor(Spec((1, 4, 6), "int8", scale, -128))
        g.operator(op, [x], [y])
        x = y
    tiled = g.tensor(Spec((1, 8, 12), "int8", 0.02, -128))
    g.operator("TILE", [x, g.tensor(constant([1, 2, 2]))], [tiled])
    spread = g.tensor(Spec((2, 5, 12), "int8", 0.02, -128))
    g.operator("SPACE_TO_BATCH_ND", [tiled, g.tensor(constant([2])), g.tensor(constant([[1, 1]]))], [spread])
    g.output(spread)
    data = builder.pack()
    rewritten, replaced = rewrite(data)
    assert replaced == ("EXP", "GELU", "SPACE_TO_BATCH_ND", "SQRT", "TILE")
    before, after = Graph.from_bytes(data), Graph.from_bytes(rewritten)
    assert [t.name for t in after.tensors[: len(before.tensors)]] == [t.name for t in before.tensors]
    assert "EXP" in describe(data)
    if not tflm.available():
        pytest.skip("the tflite-micro wheel is not installed")
    built = build(before, core("cortex-m4"), "model", tries=0)
    generated = emit(built)
    generated.write(tmp_path)
    library = Library(tmp_path, describe_library(built, generated.sources))
    sample = [np.random.default_rng(0).integers(-128, 128, (1, 4, 6), np.int8)]
    (expected,) = run(data, [sample], inner=True)
    assert compare_layers(library, [sample], [expected.tensors]) == []
    assert len(expected.tensors) == 5


def written_table(*, read_twice: bool = False, offset: int = 128, size: int = 256) -> bytes:
    """Return a function as CAST, ADD and GATHER between two layers; ``read_twice``: the places are seen elsewhere."""
    rng = np.random.default_rng(4)
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 6, 4), "int8", 0.1, -3, name="x"))
    wide, index = (g.tensor(Spec((1, 6, 4), "int32", name=name)) for name in ("wide", "index"))
    out = g.tensor(Spec((1, 6, 4), "int8", 0.05, 7, name="out"))
    entries = g.tensor(constant(rng.integers(-128, 128, size), "int8", 0.05, 7))
    g.operator("CAST", [x], [wide], {"in_data_type": "INT8", "out_data_type": "INT32"})
    g.operator("ADD", [g.tensor(constant(offset)), wide], [index], {"fused_activation_function": "NONE"})
    g.operator("GATHER", [entries, index], [out], {"axis": 0}, version=2)
    final = g.tensor(Spec((1, 6, 4), "int8", 0.2, 1, name="final"))
    g.operator("ADD", [out, x], [final], {"fused_activation_function": "NONE"}, version=2)
    g.output(final)
    if read_twice:
        g.output(index)
    return builder.pack()


@pytest.mark.parametrize("name", ["cortex-m4", "riscv32"])
def test_a_written_table_is_one_lookup(name: str, tmp_path: Path) -> None:
    if CORES[name].unicorn is None and not qemu_available(name):
        pytest.skip(f"no QEMU for {name} is installed")
    model = written_table()
    program = build(Graph.from_bytes(model), core(name), "model")
    functions = [s.emitted.function for s in program.steps if s.emitted.function]
    assert functions[0] == "qe_lookup_s8"
    assert len(functions) == 2
    assert program.arena_bytes <= 3 * 24
    generated = emit(program)
    assert "qe_gather.c" not in " ".join(generated.sources)
    if not tflm.available():
        pytest.skip("the tflite-micro wheel is not installed")
    generated.write(tmp_path)
    library = Library(tmp_path, describe_library(program, generated.sources))
    samples = [[np.random.default_rng(k).integers(-128, 128, (1, 6, 4), np.int8)] for k in range(3)]
    runs = tflm.run(model, samples, inner=True)
    assert compare_layers(library, samples, [r.tensors for r in runs]) == []
    assert layer_table(Graph.from_bytes(model), library, library.measure(samples[0]).layers)


def test_a_table_whose_places_are_seen_elsewhere_stays_and_others_take_the_nearest_entry() -> None:
    seen = build(Graph.from_bytes(written_table(read_twice=True)), core("cortex-m4"), "model")
    assert "qe_gather" in {s.emitted.function for s in seen.steps}
    short = build(Graph.from_bytes(written_table(offset=3, size=5)), core("cortex-m4"), "model")
    (array,) = next(s for s in short.steps if s.emitted.function == "qe_lookup_s8").emitted.arrays
    entries = np.random.default_rng(4).integers(-128, 128, 5)
    assert (array.values[:125] == entries[0]).all()
    assert array.values[125:130].tolist() == entries.tolist()
    assert (array.values[130:] == entries[-1]).all()


@pytest.mark.skipif(not tflm.available(), reason="the tflite-micro wheel is not installed")
@pytest.mark.parametrize("op", ["STRIDED_SLICE", "TRANSPOSE"])
def test_many_dimensions_are_exact_to_the_oracle_s_gather(op: str, tmp_path: Path) -> None:
    value = np.random.default_rng(0).integers(-128, 128, (1, 6, 5, 5, 3), np.int8)
    begin, end, steps = (constant(values) for values in ([0, 3, 0, 4, 0], [1, 4, 5, 0, 3], [1, 1, 2, -2, 1]))
    rest, wanted, options = [begin, end, steps], value[:, 3, 0:5:2, 4:0:-2, 0:3], {"shrink_axis_mask": 2}
    if op == "TRANSPOSE":
        value = value.reshape(1, 2, 3, 5, 5, 3)
        rest, wanted, options = [constant([0, 3, 1, 4, 2, 5])], value.transpose(0, 3, 1, 4, 2, 5), {}
    specs = [Spec(v.shape, "int8", 0.1, 2) for v in (value, wanted)]
    model = single_op(op, [specs[0], *rest], [specs[1]], options or None)
    assert rewrite(model)[1] == (op,)
    program = build(Graph.from_bytes(model), core("cortex-m4"), "model")
    generated = emit(program)
    generated.write(tmp_path)
    library = Library(tmp_path, describe_library(program, generated.sources))
    (found,) = run(model, [[value]])
    assert np.array_equal(found.outputs[0], wanted)
    assert compare_layers(library, [[value]], [r.tensors for r in run(model, [[value]], inner=True)]) == []
