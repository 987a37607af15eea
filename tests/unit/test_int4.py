"""Weights of 4 bits: what LiteRT reads, what a recipe file pins, how many layers a budget allows, what C unpacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qedge.findings import errors
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.quantize import Quantized, QuantizeOptions, prove_full_integer, quantize
from qedge.quantize.methods.narrow import best_limits
from qedge.runtime.litert import BUILTIN
from qedge.target import Request, resolve
from qedge_mcu.cores import core
from qedge_mcu.ops import OpContext, find
from qedge_mcu.ops.base import Array, ConstArray, Emitted, Params, Ref
from qedge_mcu.ops.unpack import unpacked
from tests.unit.quantize_models import cnn, images

LAYERS = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "FULLY_CONNECTED": 10}
"""Operators with int4 kernels, and the version that says so."""


def _built(**options: object) -> Quantized:
    return quantize(cnn(), images(24), QuantizeOptions(**options))  # type: ignore[arg-type]


def _weights(data: bytes) -> dict[str, str]:
    graph = Graph.from_bytes(data)
    return {op.label: graph.tensors[op.inputs[1]].dtype for op in graph if op.op in LAYERS}


def test_all_three_kinds_of_layers_are_narrow_and_per_channel() -> None:
    graph = Graph.from_bytes(_built(method="mse+round", weights="int4").data)
    assert not prove_full_integer(graph)
    for op in graph:
        if op.op not in LAYERS:
            continue
        weights = graph.tensors[op.inputs[1]]
        assert (weights.dtype, op.version) == ("int4", LAYERS[op.op])
        assert weights.quantization is not None
        assert weights.data is not None
        assert weights.quantization.scale.size == graph.tensors[op.outputs[0]].shape[-1]
        assert weights.data.min() >= -7
        assert weights.data.max() <= 7
        read, written = (graph.tensors[t].quantization for t in (op.inputs[0], op.outputs[0]))
        assert read is not None
        assert written is not None
        # Kernels for signal processors shift to the right.
        assert (read.scale[0] * weights.quantization.scale / written.scale[0]).max() < 0.5


def test_litert_reads_them_as_it_reads_the_same_codes_in_8_bits() -> None:
    import ai_edge_litert.interpreter as litert

    narrow = _built(method="mse", weights="int4").data
    graph, editor = Graph.from_bytes(narrow), Editor.from_bytes(narrow)
    for op in graph:
        if op.op in LAYERS:
            tensor = graph.tensors[op.inputs[1]]
            wide = editor.constant(tensor.data, quantization=editor.tensors[tensor.index].quantization)
            node = editor.node(op.index)
            node.inputs = np.array([wide if t == tensor.index else t for t in op.inputs], np.int32)
    said = []
    for model in (narrow, editor.pack()):
        interpreter = litert.Interpreter(
            model_content=model,
            experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        given = interpreter.get_input_details()[0]
        codes = np.random.default_rng(0).integers(-128, 128, given["shape"]).astype(given["dtype"])
        interpreter.set_tensor(given["index"], codes)
        interpreter.invoke()
        said.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert np.array_equal(*said)
    assert BUILTIN


def test_a_recipe_file_pins_single_layers(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('method = "minmax"\n[[layer]]\nmatch = "CONV_2D"\nweights = "int4"\n')
    found = _weights(_built(recipe=recipe).data)
    assert {label: dtype for label, dtype in found.items() if dtype == "int4"}.keys() == {
        label for label in found if label.endswith(" CONV_2D")
    }
    recipe.write_text('method = "minmax"\n[[layer]]\nmatch = "CONV_2D"\nweights = "int2"\n')
    with pytest.raises(Exception, match=r"\$.layer\[0\].weights: found .int2., expected one of"):
        _built(recipe=recipe)


def test_joint_rounding_holds_more_of_them_than_the_nearest_codes() -> None:
    assert _built(method="mse+round", weights="int4").sqnr_db > _built(method="mse", weights="int4").sqnr_db


@pytest.mark.parametrize(("least", "expected"), [(8.0, 4), (60.0, 0)])
def test_a_budget_decides_how_many_layers_are_narrow(least: float, expected: int) -> None:
    options = QuantizeOptions(method="mse", weights="mixed", min_sqnr=least, mixed=False)
    if expected == 0:
        with pytest.raises(Exception, match="budget is missed"):
            quantize(cnn(), images(24), options)
        return
    found = quantize(cnn(), images(24), options)
    assert list(_weights(found.data).values()).count("int4") == expected
    assert found.sqnr_db >= least
    assert "int4-weights" in [f.rule for f in found.findings]


def test_some_layers_stay_where_all_would_miss_the_budget() -> None:
    every = _built(method="mse+round", weights="int4").sqnr_db
    none = _built(method="mse+round").sqnr_db
    found = _built(method="mse", weights="mixed", min_sqnr=(every + none) / 2, mixed=False)
    count = list(_weights(found.data).values()).count("int4")
    assert 0 < count < 4
    assert found.sqnr_db >= (every + none) / 2


def test_limits_cut_off_what_costs_least() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 50))
    weights[1, 0] = 20.0
    limits = best_limits(weights, 0)
    largest = np.abs(weights).max(axis=1)
    assert (limits <= largest).all()

    def error(limit: float, row: int) -> float:
        scale = limit / 7
        return float(np.square(weights[row] - np.clip(np.rint(weights[row] / scale), -7, 7) * scale).sum())

    assert all(error(limits[k], k) <= error(largest[k], k) for k in range(3))


def _in_c(packed: Array, groups: int, pairs: int, plain: int, guard: int) -> Array:
    """Return what ``qe_unpack_s4`` writes, word by word."""
    words, place = [], 0
    for _ in range(groups):
        for word in packed[place : place + pairs].tolist():
            for half in (word, word >> 4):
                codes = half & 0x0F0F0F0F
                words.append(((codes | guard) - 0x08080808 & 0xFFFFFFFF) ^ guard)
        place += pairs
        words += packed[place : place + plain].tolist()
        place += plain
    return np.array(words, np.uint32)


@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_what_is_packed_unpacks_to_what_the_kernels_read(quads: int, pairs: int, seed: int) -> None:
    from qedge.testing.opmodels import constant, single_op
    from qedge_mcu.ops import dsp
    from tests.ops.building import q

    depth, outputs = 4 * quads, 2 * pairs
    weights = np.random.default_rng(seed).integers(-8, 8, (outputs, depth))
    model = single_op(
        "FULLY_CONNECTED", [q((1, depth)), constant(weights, "int4", 0.1), None], [q((1, outputs))]
    )
    graph = Graph.from_bytes(model)
    c = OpContext(graph, graph.operators[0], core("cortex-m4"))
    words = np.arange(2 * outputs, dtype=np.uint32).reshape(outputs, 2)
    stream = dsp.pair_stream(weights.astype(np.int8), words)
    assert stream is not None
    for array, guard in (
        (ConstArray("weights", stream, lanes=(depth // 2, 4)), 0x80008000),
        (ConstArray("weights", weights.astype(np.int8).reshape(-1)), 0x80808080),
    ):
        call = Emitted(
            "f", params=Params("p", (("weights", Ref("weights")),)), arrays=(array,), scratch_bytes=5
        )
        found = unpacked(c, call)
        assert found.unpack is not None
        u = found.unpack
        read = _in_c(found.arrays[0].values, u.groups, u.pairs, u.plain, guard).tobytes()
        assert read[: array.values.nbytes] == array.values.tobytes()
        assert (u.offset, found.scratch_bytes) == (8, 8 + len(read))
        assert found.params is not None
        assert found.params.members == (("weights", None),)
    assert find(c) is not None


@pytest.mark.parametrize("target", ["coral", "ethosu"])
def test_accelerators_of_8_bits_refuse_with_the_reason(target: str, tmp_path: Path) -> None:
    graph = Graph.from_bytes(_built(method="mse", weights="int4").data)
    report = resolve(target).check(Request(graph, "narrow", tmp_path, {}))
    found = errors(report.findings)
    assert any("int4" in f"{f.message} {f.hint}" for f in found), found
