"""Models in uint8, the older kind of quantisation: their int8 form says what they say, and is made where needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qedge.cli._app import run
from qedge.errors import UnsupportedError
from qedge.graph import Graph
from qedge.oracle.golden import golden_samples, reference_outputs
from qedge.quantize.check import prove_full_integer
from qedge.quantize.signed import in_int8, is_unsigned
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op

Codes = npt.NDArray[Any]
WINDOW = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}


def u8(shape: Sequence[int], scale: float, zero: int, name: str = "") -> Spec:
    return Spec(tuple(shape), "uint8", scale, zero, name=name)


def network(zero: int = 128, low: int = 1, high: int = 255, seed: int = 0) -> bytes:
    """Return a uint8 network of the kind that TensorFlow 1 wrote: weights have a zero point, concatenations rescale."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()
    g = builder.subgraph()

    def weights(*shape: int) -> int:
        return g.tensor(constant(rng.integers(low, high + 1, shape), "uint8", 0.01, zero))

    def bias(count: int, scale: float) -> int:
        return g.tensor(constant(rng.integers(-300, 300, count), "int32", scale))

    def layer(op: str, inputs: Sequence[int], spec: Spec, options: dict[str, Any], version: int = 1) -> int:
        made = g.tensor(spec)
        g.operator(op, inputs, [made], options, version=version)
        return made

    relu = {"fused_activation_function": "RELU6"}
    x = g.input(u8((1, 8, 8, 3), 1 / 128, 128, "x"))
    a = layer(
        "CONV_2D", [x, weights(6, 3, 3, 3), bias(6, 0.01 / 128)], u8((1, 8, 8, 6), 6 / 255, 0), WINDOW | relu
    )
    options = WINDOW | relu | {"depth_multiplier": 1}
    bias_scale = 0.01 * 6 / 255
    b = layer(
        "DEPTHWISE_CONV_2D",
        [a, weights(1, 3, 3, 6), bias(6, bias_scale)],
        u8((1, 8, 8, 6), 0.05, 11),
        options,
    )
    both = layer("CONCATENATION", [a, b], u8((1, 8, 8, 12), 0.04, 9), {"axis": 3})
    pool = {"padding": "VALID", "stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2}
    c = layer("AVERAGE_POOL_2D", [both], u8((1, 4, 4, 12), 0.04, 9), pool)
    other = g.tensor(constant(rng.integers(0, 256, (1, 1, 1, 12)), "uint8", 0.02, 100))
    d = layer("ADD", [c, other], u8((1, 4, 4, 12), 0.06, 77), {"fused_activation_function": "NONE"})
    shape = g.tensor(constant([1, 192]))
    flat = layer("RESHAPE", [d, shape], u8((1, 192), 0.06, 77), {"new_shape": [1, 192]})
    logits = layer("FULLY_CONNECTED", [flat, weights(5, 192), bias(5, 0.0006)], u8((1, 5), 0.4, 120), {})
    g.output(logits)
    g.output(layer("SOFTMAX", [logits], u8((1, 5), 1 / 256, 0, "scores"), {"beta": 1.0}))
    g.output(layer("LOGISTIC", [logits], u8((1, 5), 1 / 256, 0, "each"), {}))
    return builder.pack()


def differences(model: bytes, signed: bytes, count: int = 6) -> Codes:
    """Return by how many codes the first outputs differ, both run by LiteRT."""
    samples = golden_samples(Graph.from_bytes(model), None, count)
    lowered = [[(v.astype(np.int16) - 128).astype(np.int8) for v in row] for row in samples]
    theirs, ours = reference_outputs(model, samples), reference_outputs(signed, lowered)
    pairs = [(a[0].astype(int) - 128, b[0].astype(int)) for a, b in zip(theirs, ours)]
    return np.concatenate([(a - b).reshape(-1) for a, b in pairs])


def test_weights_within_127_of_their_zero_point_are_exact() -> None:
    model = network()
    found = in_int8(model)
    assert found.exact == found.channels == 17
    graph = Graph.from_bytes(found.data)
    assert not is_unsigned(graph)
    assert prove_full_integer(graph, io="int8") == []
    assert {t.dtype for t in graph.tensors} == {"int8", "int32"}
    apart = differences(model, found.data)
    assert np.abs(apart).max() <= 3  # what is left: how both kinds of kernels round between layers
    assert (apart == 0).mean() > 0.4


@settings(max_examples=8, deadline=None)
@given(zero=st.integers(0, 255), seed=st.integers(0, 1000))
def test_any_zero_point_is_held_within_the_rounding_of_its_weights(zero: int, seed: int) -> None:
    model = network(zero, 0, 255, seed)
    found = in_int8(model)
    old, new = Graph.from_bytes(model), Graph.from_bytes(found.data)
    for op in (o for o in new if o.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")):
        before = next(o for o in old if o.op == op.op)
        (a, b), (c, d) = ([g.tensors[t] for t in o.inputs[1:3]] for g, o in ((old, before), (new, op)))
        wanted = (a.data.astype(float) - a.quantization.scalar[1]) * a.quantization.scalar[0]
        shape = [-1 if k == c.quantization.axis else 1 for k in range(c.data.ndim)]
        scale = c.quantization.scale.astype(float).reshape(shape)
        assert np.abs(c.data * scale - wanted).max() <= scale.max() / 2 * 1.001
        assert np.abs(c.data).max() <= 127
        given_bias = b.data * b.quantization.scalar[0]
        assert np.allclose(d.data * d.quantization.scale, given_bias, atol=d.quantization.scale.max())


def test_names_scales_and_activations_stay() -> None:
    old, new = (Graph.from_bytes(m) for m in (network(90), in_int8(network(90)).data))
    by_name = {t.name: t for t in new.tensors}
    for op in old:
        for t in old.output_tensors(op):
            found = by_name[t.name]
            assert found.quantization.scale == t.quantization.scale
            assert found.quantization.zero_point == t.quantization.zero_point - 128
    assert [op.op for op in new].count("QUANTIZE") == 2  # what the concatenation rescaled
    assert new.input_names == old.input_names


def test_an_operator_without_an_int8_form_is_named() -> None:
    model = single_op("DENSIFY", [u8((1, 4), 0.1, 3)], [u8((1, 4), 0.1, 3)])
    with pytest.raises(UnsupportedError, match="DENSIFY"):
        in_int8(model)


@pytest.mark.parametrize("targets", [["mcu"], ["rpi"], ["rpi", "mcu"]])
def test_a_build_writes_int8_where_a_target_needs_it(
    targets: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.tflite").write_bytes(network(90, 0, 255))
    words = [w for t in targets for w in ("-t", t)]
    assert run(["build", str(tmp_path / "old.tflite"), *words, "-o", str(tmp_path / "b")]) == 0
    said = capsys.readouterr()
    for target in targets:
        bundle = tmp_path / "b" / "old" / target
        dtype = "int8" if target == "mcu" else "uint8"
        graph = Graph.from_bytes((bundle / "model.tflite").read_bytes())
        assert graph.tensors[graph.inputs[0]].dtype == dtype
        found = [
            f
            for f in json.loads((bundle / "report.json").read_text())["findings"]
            if f["rule"] == "uint8-in-int8"
        ]
        assert len(found) == (target == "mcu")
        for finding in found:
            assert "channels of its weights keep their codes" in finding["message"]
    assert ("written in int8" in said.out + said.err) == ("mcu" in targets)


@pytest.mark.shared
@pytest.mark.long
def test_a_public_uint8_model_is_verified_as_c(shared: Path, tmp_path: Path) -> None:
    model = shared / "models/coral/mobilenet_v1_0.25_128_quant.tflite"
    found = in_int8(model.read_bytes())
    assert found.exact > 0.98 * found.channels
    assert np.abs(differences(model.read_bytes(), found.data, 2)).max() <= 8
    assert run(["build", str(model), "-t", "mcu", "-o", str(tmp_path)]) == 0
    assert run(["verify", str(next(tmp_path.glob("*/mcu")))]) == 0


_X, RNG = (1, 4, 6, 8), np.random.default_rng(0)


def _u(shape: Sequence[int], scale: float = 0.1, zero: int = 120) -> Spec:
    return u8(shape, scale, zero)


def _c(values: npt.ArrayLike) -> Spec:
    return constant(values)


OPERATORS: dict[str, tuple[list[Spec], list[Spec], dict[str, Any]]] = {
    "MEAN": ([_u(_X), _c([1, 2])], [_u((1, 8), 0.07, 99)], {"keep_dims": False}),
    "PAD": ([_u(_X), _c([[0, 0], [1, 2], [0, 1], [0, 0]])], [_u((1, 7, 7, 8))], {}),
    "RESIZE_BILINEAR": ([_u(_X), _c([8, 12])], [_u((1, 8, 12, 8))], {"half_pixel_centers": True}),
    "RESIZE_NEAREST_NEIGHBOR": ([_u(_X), _c([8, 12])], [_u((1, 8, 12, 8))], {}),
    "MUL": ([_u(_X), _u(_X, 0.05, 3)], [_u(_X, 0.2, 130)], {}),
    "SUB": ([_u(_X), _u(_X, 0.05, 3)], [_u(_X, 0.2, 130)], {}),
    "MAXIMUM": ([_u(_X), _u(_X)], [_u(_X)], {}),
    "MAX_POOL_2D": (
        [_u(_X)],
        [_u((1, 2, 3, 8))],
        {"padding": "VALID", "stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2},
    ),
    "TRANSPOSE": ([_u(_X), _c([0, 2, 1, 3])], [_u((1, 6, 4, 8))], {}),
    "STRIDED_SLICE": ([_u(_X), _c([0, 0, 0, 0]), _c([1, 4, 6, 8]), _c([1, 2, 2, 1])], [_u((1, 2, 3, 8))], {}),
    "SLICE": ([_u(_X), _c([0, 1, 1, 0]), _c([1, 2, 3, 8])], [_u((1, 2, 3, 8))], {}),
    "TANH": ([_u(_X, 0.03)], [_u(_X, 1 / 128, 128)], {}),
    "LOGISTIC": ([_u(_X, 0.03)], [_u(_X, 1 / 256, 0)], {}),
    "L2_NORMALIZATION": ([_u((1, 8))], [_u((1, 8), 1 / 128, 128)], {}),
    "RELU": ([_u(_X)], [_u(_X, 0.06, 0)], {}),
    "RELU6": ([_u(_X)], [_u(_X, 0.03, 0)], {}),
    "LEAKY_RELU": ([_u(_X)], [_u(_X, 0.08, 100)], {"alpha": 0.1}),
    "PRELU": (
        [_u(_X), constant(RNG.integers(0, 255, (1, 1, 8)), "uint8", 0.01, 100)],
        [_u(_X, 0.09, 90)],
        {},
    ),
    "HARD_SWISH": ([_u(_X, 0.05)], [_u(_X, 0.04, 20)], {}),
    "SPACE_TO_DEPTH": ([_u(_X)], [_u((1, 2, 3, 32))], {"block_size": 2}),
    "DEPTH_TO_SPACE": ([_u(_X)], [_u((1, 8, 12, 2))], {"block_size": 2}),
    "ARG_MAX": ([_u((1, 8)), _c([1])], [Spec((1,), "int32")], {"output_type": "INT32"}),
    "TRANSPOSE_CONV": (
        [_c([1, 8, 12, 4]), constant(RNG.integers(0, 256, (4, 3, 3, 8)), "uint8", 0.02, 117), _u(_X)],
        [_u((1, 8, 12, 4), 0.3, 128)],
        {"padding": "SAME", "stride_h": 2, "stride_w": 2},
    ),
    "SUM": ([_u(_X), _c([1, 2])], [_u((1, 8), 0.9, 99)], {"keep_dims": False}),
    "GATHER": ([_u(_X), _c([0, 2, 1])], [_u((1, 4, 6, 3))], {"axis": 3}),
    "TILE": ([_u((1, 4)), _c([1, 3])], [_u((1, 12))], {}),
    "MINIMUM": ([_u(_X), _u(_X)], [_u(_X)], {}),
    "DEQUANTIZE": ([_u(_X)], [Spec(_X, "float32")], {}),
    "PACK": ([_u((1, 4)), _u((1, 4))], [_u((2, 1, 4))], {"values_count": 2, "axis": 0}),
    "SPLIT": ([_c(3), _u(_X)], [_u((1, 4, 6, 4)), _u((1, 4, 6, 4))], {"num_splits": 2}),
    "ADD": ([_u(_X), _u((1, 1, 1, 8), 0.05, 3)], [_u(_X, 0.2, 130)], {}),
}


@pytest.mark.parametrize("op", OPERATORS)
def test_an_operator_gives_the_same_codes(op: str) -> None:
    inputs, outputs, options = OPERATORS[op]
    version = 2 if op in ("RESIZE_BILINEAR", "TRANSPOSE_CONV") else 1
    model = single_op(op, inputs, outputs, options or None, version=version)
    samples = golden_samples(Graph.from_bytes(model), None, 4)
    lowered = [[(v.astype(np.int16) - 128).astype(np.int8) for v in row] for row in samples]
    theirs, ours = reference_outputs(model, samples), reference_outputs(in_int8(model).data, lowered)
    for before, after in zip(theirs, ours):
        for a, b in zip(before, after):
            shift = 128 if a.dtype == np.uint8 else 0
            # a rounding of L2_NORMALIZATION, and the weights of TRANSPOSE_CONV on a coarser step
            most = {"L2_NORMALIZATION": 1, "TRANSPOSE_CONV": 4}.get(op, 0)
            assert np.abs(a.astype(np.float64) - shift - b).max() <= most
