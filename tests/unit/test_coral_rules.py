"""Each rule of the Edge TPU's mapping: one operator that keeps it and one that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qedge.graph import Graph
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op
from qedge_coral import constraints, partition, statuses
from qedge_coral.parts import choose
from qedge_coral.predict import predict

Q = {"scale": 0.05, "zero_point": -3}
CONV = {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
POOL = {"padding": "VALID", "stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2}


def t(*shape: int, **changed: Any) -> Spec:
    return Spec(shape, **{**Q, **changed})


def weights(*shape: int, dtype: str = "int8") -> Spec:
    return constant(np.ones(shape, np.int8), dtype, scale=0.01)


def bias(size: int) -> Spec:
    return constant(np.zeros(size, np.int32), "int32", scale=0.0005)


def conv(**options: Any) -> bytes:
    given = [t(1, 8, 8, 4), weights(8, 3, 3, 4), bias(8)]
    return single_op("CONV_2D", given, [t(1, 8, 8, 8)], {**CONV, **options}, version=3)


def computed_weights() -> bytes:
    given = [t(1, 8, 8, 4), Spec((8, 3, 3, 4), scale=0.01), bias(8)]
    return single_op("CONV_2D", given, [t(1, 8, 8, 8)], CONV, version=3)


def small_weights() -> bytes:
    given = [t(1, 8, 8, 4), constant(np.ones((8, 3, 3, 4), np.int8), "int4", scale=0.01), bias(8)]
    return single_op("CONV_2D", given, [t(1, 8, 8, 8)], CONV, version=3)


def dense(*rows: int, **options: Any) -> bytes:
    given = [t(*rows, 8), weights(4, 8), bias(4)]
    return single_op("FULLY_CONNECTED", given, [t(*rows, 4)], options, version=4)


def pool(*batch: int, **options: Any) -> bytes:
    return single_op(
        "MAX_POOL_2D", [t(*batch, 4, 4, 8)], [t(*batch, 2, 2, 8)], {**POOL, **options}, version=2
    )


def concat(*extra: Spec) -> bytes:
    given = [t(1, 4, 4, 8), *extra]
    channels = sum(s.shape[-1] for s in given)
    return single_op("CONCATENATION", given, [t(1, 4, 4, channels)], {"axis": 3}, version=2)


def padding(value: int) -> Spec:
    return Spec((1, 4, 4, 8), **Q, data=np.full((1, 4, 4, 8), value))


def reduce(axes: list[int], *shape: int) -> bytes:
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape))
    return single_op("MEAN", [t(*shape), constant(axes)], [t(*kept)], {"keep_dims": True}, version=2)


def resize(source: int, result: int) -> bytes:
    given = [t(1, source, source, 8), constant([result, result])]
    return single_op(
        "RESIZE_BILINEAR", given, [t(1, result, result, 8)], {"half_pixel_centers": True}, version=3
    )


def prelu(*slopes: int) -> bytes:
    return single_op("PRELU", [t(1, 4, 4, 8), weights(*slopes)], [t(1, 4, 4, 8)])


def strided(stride: int, **options: Any) -> bytes:
    ends = [constant([0, 0, 0, 0]), constant([1, 4, 4, 8]), constant([1, 1, 1, stride])]
    return single_op("STRIDED_SLICE", [t(1, 4, 4, 8), *ends], [t(1, 4, 4, 8 // stride)], options, version=2)


def quantize(dtype: str) -> bytes:
    source = Spec((1, 8), dtype) if dtype == "float32" else Spec((1, 8), dtype, **Q)
    return single_op("QUANTIZE", [source], [t(1, 8)])


def unary(op: str, *shape: int, version: int = 2, **changed: Any) -> bytes:
    return single_op(op, [t(*shape, **changed)], [t(*shape, **changed)], version=version)


def softmax(*shape: int) -> bytes:
    return single_op(
        "SOFTMAX", [t(*shape)], [t(*shape, scale=1 / 256, zero_point=-128)], {"beta": 1.0}, version=2
    )


def tile(version: int) -> bytes:
    return single_op("TILE", [t(1, 1, 1, 8), constant([1, 4, 4, 1])], [t(1, 4, 4, 8)], version=version)


def add(version: int) -> bytes:
    return single_op("ADD", [t(1, 4, 4, 8), t(1, 4, 4, 8)], [t(1, 4, 4, 8)], version=version)


def transpose(height: int) -> bytes:
    given = [t(1, height, 255), constant([0, 2, 1])]
    return single_op("TRANSPOSE", given, [t(1, 255, height)], version=2)


def transposed(channels: int) -> bytes:
    kernel = Spec((channels, 2, 2, 4), "int8", 0.01, data=np.ones((channels, 2, 2, 4), np.int8))
    given = [constant([1, 4, 4, channels]), kernel, t(1, 2, 2, 4)]
    options = {"padding": "SAME", "stride_w": 2, "stride_h": 2}
    return single_op("TRANSPOSE_CONV", given, [t(1, 4, 4, channels)], options, version=2)


CASES: dict[Callable[..., Any], tuple[bytes, bytes, str]] = {
    # rule: (kept, broken, words of the offending fact)
    constraints.quantize_from_8_bit: (quantize("uint8"), quantize("float32"), "float32[1, 8]"),
    constraints.eight_bit: (unary("TANH", 1, 8), unary("TANH", 1, 8, dtype="int16"), "int16"),
    constraints.known_operator: (unary("LOGISTIC", 1, 8), unary("HARD_SWISH", 1, 8), "HARD_SWISH"),
    constraints.tile_version: (tile(1), tile(2), "version 2"),
    constraints.add_version: (add(3), add(4), "version 4"),
    constraints.quantised: (unary("RELU", 1, 8), unary("RELU", 1, 8, scale=None), "no scale"),
    constraints.three_innermost: (pool(1), pool(2), "[2, 4, 4, 8]"),
    constraints.constant_parameters: (conv(), computed_weights(), "input 1"),
    constraints.eight_bit_weights: (conv(), small_weights(), "int4"),
    constraints.no_fused_activation: (pool(1), pool(1, fused_activation_function="RELU"), "RELU"),
    constraints.concatenated_constant_is_zero_padding: (
        concat(padding(-3)),
        concat(padding(5)),
        "not all zeros",
    ),
    constraints.same_dilation: (conv(), conv(dilation_w_factor=2), "1x2"),
    constraints.default_weights_format: (dense(1), dense(1, weights_format="SHUFFLED4x16INT8"), "SHUFFLED"),
    constraints.one_row: (dense(1), dense(5), "5 rows"),
    constraints.softmax_size: (softmax(1, 16_384), softmax(1, 20_000), "20000 elements"),
    constraints.not_along_batch: (reduce([1, 2], 1, 4, 4, 8), reduce([0], 1, 4, 4, 8), "axis 0"),
    constraints.reduced_depth_is_multiple_of_4: (
        reduce([3], 1, 4, 4, 8),
        reduce([3], 1, 4, 4, 6),
        "6 channels",
    ),
    constraints.one_slope_a_channel: (prelu(1, 1, 8), prelu(4, 4, 8), "[4, 4, 8]"),
    constraints.resize_keeps_precision: (resize(4, 32), resize(4, 36), "9 times"),
    constraints.small_transpose: (transpose(196), transpose(784), "199920 values"),
    constraints.small_transposed_convolution: (transposed(8), transposed(150_000), "2400000 weights"),
    constraints.plain_slice: (strided(1), strided(2), "strides [1, 1, 1, 2]"),
}


def test_every_rule_has_a_case() -> None:
    assert {r.check for r in constraints.RULES} == set(CASES)


@pytest.mark.parametrize("check", CASES, ids=lambda c: str(c.__name__))
def test_rule(check: Callable[..., Any]) -> None:
    kept, broken, fact = CASES[check]
    good, bad = Graph.from_bytes(kept), Graph.from_bytes(broken)
    rule = next(r for r in constraints.RULES if r.check is check)
    assert constraints.violation(good, good.operators[0]) is None
    found = constraints.violation(bad, bad.operators[0])
    assert found is not None
    assert found.status == rule.status
    assert fact in found.fact
    assert found.hint


@pytest.mark.parametrize(
    "model",
    [resize(1, 8), resize(128, 1024), concat(padding(-3), t(1, 4, 4, 8)), strided(1, new_axis_mask=1)],
)
def test_more_that_breaks_a_rule(model: bytes) -> None:
    graph = Graph.from_bytes(model)
    assert constraints.violation(graph, graph.operators[0]) is not None


def column(taps: tuple[int, int], **dilation: int) -> bytes:
    """A convolution over 8 rows and one column, as a one-dimensional one is written."""
    given = [t(1, 8, 1, 4), weights(8, *taps, 4), bias(8)]
    return single_op("CONV_2D", given, [t(1, 8, 1, 8)], {**CONV, **dilation}, version=3)


def split(*shape: int) -> bytes:
    given = [constant(0), t(*shape)]
    outputs = [t(1, *shape[1:])] * shape[0]
    return single_op("SPLIT", given, outputs, {"num_splits": shape[0]}, version=2)


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        (
            column((3, 1), dilation_h_factor=4),
            True,
        ),  # along the one axis on which the filter is larger than 1
        (column((1, 1), dilation_w_factor=4), True),
        (column((3, 3), dilation_h_factor=4), False),
        (split(1, 4, 4, 8), True),  # an identity
        (split(2, 4, 4, 8), False),
    ],
)
def test_what_changes_nothing_is_no_limit(model: bytes, kept: bool) -> None:
    graph = Graph.from_bytes(model)
    assert (constraints.violation(graph, graph.operators[0]) is None) == kept


def custom(name: str, follows: bool) -> bytes:
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y, z = g.input(t(1, 8)), g.tensor(t(1, 8)), g.tensor(t(1, 8))
    g.custom(name, [x], [y], b"")
    if follows:
        g.operator("RELU", [y], [z], version=2)
    g.output(z if follows else y)
    return builder.pack()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (resize(4, 36), "in steps of at most 8"),
        (resize(128, 1024), "end the model at 128x128 and enlarge its output outside it"),
        (resize(1, 8), "broadcasts it"),
        (softmax(4, 16), "only one row is mapped"),
        (dense(5), "1x1 convolution"),
        (custom("PosenetDecoderOp", False), "end the model before it"),
        (custom("PosenetDecoderOp", True), "what follows it stays on the CPU too"),
        (custom("TFLite_Detection_PostProcess", False), "leave it"),
        (unary("HARD_SWISH", 1, 8), "support table"),
    ],
)
def test_a_hint_fits_the_cause(model: bytes, words: str) -> None:
    graph = Graph.from_bytes(model)
    found = constraints.violation(graph, graph.operators[0])
    assert found is not None
    assert words in found.hint


def test_statuses_are_the_compilers() -> None:
    assert {r.status for r in constraints.RULES} <= set(statuses.ALL)
    assert set(statuses.HINTS) == set(statuses.ALL) - {statuses.MAPPED}


def branches() -> Graph:
    """0 LOGISTIC, 1 HARD_SWISH on its result, 2 TANH on 1, 3 RELU on 0, 4 ADD of 2 and 3."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(t(1, 8))
    a, b, c, d, e = (g.tensor(t(1, 8)) for _ in range(5))
    g.operator("LOGISTIC", [x], [a], version=2)
    g.operator("HARD_SWISH", [a], [b])
    g.operator("TANH", [b], [c], version=2)
    g.operator("RELU", [a], [d], version=2)
    g.operator("ADD", [c, d], [e], version=2)
    g.output(e)
    return Graph.from_bytes(builder.pack())


def test_partition_takes_later_operators_that_are_ready() -> None:
    graph = branches()
    assert partition.subgraphs(graph, [0, 2, 3, 4]) == [[0, 3], [2, 4]]


def test_partition_says_what_cut_the_graph() -> None:
    first = predict(branches())
    assert [p.placement for p in first.placements] == ["edgetpu", "cpu", "cpu", "edgetpu", "cpu"]
    assert first.placements[4].reason == f"{statuses.OTHER_SUBGRAPH}: after #1 HARD_SWISH"
    every = predict(branches(), all_subgraphs=True)
    assert [p.placement for p in every.placements] == ["edgetpu", "cpu", "edgetpu", "edgetpu", "edgetpu"]


def layers(side: int, deep: int) -> Graph:
    """Return a convolution, a function that stays on the CPU, and four more convolutions."""
    builder = ModelBuilder()
    g = builder.subgraph()
    shape = (1, side, side, deep)
    at = g.input(t(*shape))
    kernel, offsets = g.tensor(weights(deep, 3, 3, deep)), g.tensor(bias(deep))
    for k in range(6):
        made = g.tensor(t(*shape))
        if k == 1:
            g.operator("HARD_SWISH", [at], [made])
        else:
            g.operator("CONV_2D", [at, kernel, offsets], [made], CONV, version=3)
        at = made
    g.output(at)
    return Graph.from_bytes(builder.pack())


def test_all_parts_are_compiled_where_they_are_expected_to_be_faster() -> None:
    found = choose(layers(16, 128), {})
    assert found.every
    assert len(found.prediction.mapped) == 5
    assert found.finding is not None
    assert "2 of them: 5 of 6 operators predicted on the Edge TPU in place of 1" in found.finding.message
    assert found.finding.hint is not None
    assert "--no-all-subgraphs" in found.finding.hint


def test_the_first_part_alone_is_compiled_where_that_is_asked_for_or_faster() -> None:
    kept = choose(layers(16, 128), {"all_subgraphs": False})
    assert (kept.every, len(kept.prediction.mapped)) == (False, 1)
    assert kept.finding is not None
    assert str(kept.finding.hint).startswith("--all-subgraphs ")
    small = choose(branches(), {})  # the way over the bus costs more than two small operators
    assert (small.every, len(small.prediction.mapped)) == (False, 2)
    assert small.finding is not None
    assert "no faster" in small.finding.message
    wide = choose(layers(64, 32), {})  # much to send for little to compute
    assert wide.every is False
    assert wide.finding is not None
    assert wide.finding.message.endswith("no faster over USB 3, Raspberry Pi 5")
    assert choose(layers(16, 128), {"segments": 2}).every is False
    asked = choose(branches(), {"all_subgraphs": True})
    assert (asked.every, len(asked.prediction.mapped), asked.finding) == (True, 4, None)


def test_a_float_model_is_refused_as_a_whole() -> None:
    graph = Graph.from_bytes(single_op("RELU", [Spec((1, 8), "float32")], [Spec((1, 8), "float32")]))
    found = predict(graph)
    assert found.mapped == ()
    assert [f.rule for f in found.failures] == ["dtype"]
    assert found.failures[0].message.startswith(statuses.NOT_QUANTIZED)


def test_a_version_that_cannot_be_written_down_is_refused() -> None:
    graph = Graph.from_bytes(single_op("EXP", [t(1, 8)], [t(1, 8)], version=2))
    assert [f.rule for f in predict(graph).failures] == ["operator-version"]
