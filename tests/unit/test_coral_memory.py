"""Bytes on the Edge TPU, against small tables of what compiled models hold; each row names its source.

LIB: ricardodeazambuja/LibrEdgeTPU, TCN: fredriktegnell/edgetpu-tcn, LANE: ddchung/TSF-2025-Car,
GC: google-coral/test_data, STUDY: iwatake2222/EdgeTPU_Analysis (parameters read from the compiled files there),
LOGS: published compiler logs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from qedge.graph import Graph
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op
from qedge_coral import layout, memory
from qedge_coral.predict import predict
from qedge_coral.risks import risks

CONV = {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}


def act(*shape: int, dtype: str = "int8") -> Spec:
    return Spec(shape, dtype, 0.05, 3)


def weights(*shape: int, dtype: str = "int8", channels: int = 0, axis: int = 0) -> Spec:
    scale: float | list[float] = [0.01 + 0.001 * k for k in range(channels)] if channels else 0.01
    zero = [0] * channels if channels else 0
    return constant(np.ones(shape, dtype), dtype, scale, zero, axis)


def bias(size: int) -> Spec:
    return constant(np.zeros(size, np.int32), "int32", 0.0005)


def dense(inputs: int, outputs: int, dtype: str = "int8", channels: bool = False) -> bytes:
    w = weights(outputs, inputs, dtype=dtype, channels=outputs if channels else 0)
    given = [act(1, inputs, dtype=dtype), w, bias(outputs)]
    return single_op("FULLY_CONNECTED", given, [act(1, outputs, dtype=dtype)], version=4)


def conv(height: int, width: int, taps: tuple[int, int], inputs: int, outputs: int, **kw: object) -> bytes:
    dtype = str(kw.get("dtype", "int8"))
    w = weights(outputs, *taps, inputs, dtype=dtype, channels=outputs if kw.get("channels") else 0)
    given = [act(1, height, width, inputs, dtype=dtype), w, bias(outputs)]
    return single_op("CONV_2D", given, [act(1, height, width, outputs, dtype=dtype)], CONV, version=3)


def depthwise(taps: int, inputs: int, outputs: int, dtype: str = "int8") -> bytes:
    given = [
        act(1, 8, 8, inputs, dtype=dtype), weights(1, taps, taps, outputs, dtype=dtype), bias(outputs),
    ]  # fmt: skip
    options = {**CONV, "depth_multiplier": outputs // inputs}
    return single_op("DEPTHWISE_CONV_2D", given, [act(1, 8, 8, outputs, dtype=dtype)], options, version=3)


def softmax(elements: int, dtype: str) -> bytes:
    return single_op("SOFTMAX", [act(1, elements, dtype=dtype)], [act(1, elements, dtype=dtype)], version=2)


def concatenation(depth: int) -> bytes:
    shape = (1, 8, 8, depth)
    return single_op("CONCATENATION", [act(*shape)] * 2, [act(1, 8, 8, 2 * depth)], {"axis": 3}, version=2)


def chain(op: str, count: int) -> bytes:
    builder = ModelBuilder()
    g = builder.subgraph()
    last = g.input(act(1, 8))
    for _ in range(count):
        made = g.tensor(act(1, 8))
        g.operator(op, [last, last], [made], version=2)
        last = made
    g.output(last)
    return builder.pack()


LAYOUT: dict[str, tuple[Callable[[], bytes], int]] = {
    # layer as it was compiled, source: (model, bytes in the compiled file)
    "dense 256 to 256, a scale a channel, LIB": (lambda: dense(256, 256, channels=True), 67_584),
    "dense 1024 to 1024, a scale a channel, LIB": (lambda: dense(1024, 1024, channels=True), 1_056_768),
    "dense 14400 to 100, one scale, LANE": (lambda: dense(14_400, 100), 1_843_712),
    "dense 94400 to 1, a scale a channel, TCN": (lambda: dense(94_400, 1, channels=True), 1_510_464),
    "dense 100 to 100, uint8, STUDY": (lambda: dense(100, 100, "uint8"), 13_312),
    "dense 150 to 150, uint8, STUDY": (lambda: dense(150, 150, "uint8"), 29_952),
    "convolution 3x1, 8 to 8, a scale a channel, TCN": (
        lambda: conv(16, 1, (3, 1), 8, 8, channels=True),
        576,
    ),
    "convolution 7x7, 32 to 32, uint8, STUDY": (lambda: conv(8, 8, (7, 7), 32, 32, dtype="uint8"), 50_304),
    "convolution 3x3, 16 to 32, one scale, YOLOv10n of edward62740/EdgeTPU-MOT": (
        lambda: conv(8, 8, (3, 3), 16, 32),
        4_736,
    ),
    "depthwise 7x7 from one channel to 8, LIB": (lambda: depthwise(7, 1, 8), 3_200),
    "softmax of 1001, uint8, GC": (lambda: softmax(1001, "uint8"), 48_256),
    "softmax of 16384, int8, LIB": (lambda: softmax(16_384, "int8"), 0),
    "concatenation of single channels, GC": (lambda: concatenation(1), 64),
    "concatenation of whole fours, GC": (lambda: concatenation(8), 0),
    "addition, STUDY": (lambda: chain("ADD", 1), 0),
}


@pytest.mark.parametrize("name", LAYOUT)
def test_bytes_of_a_layer_are_those_of_the_compiled_file(name: str) -> None:
    make, size = LAYOUT[name]
    graph = Graph.from_bytes(make())
    assert layout.operator_bytes(graph, graph.operators[0]) == size


def test_a_depthwise_1x1_takes_12_bytes_a_channel() -> None:
    graph = Graph.from_bytes(depthwise(1, 24, 24))
    assert layout.operator_bytes(graph, graph.operators[0]) == 24 * 12


def test_an_lstm_takes_what_one_compiled_model_holds() -> None:
    """GC, keras_lstm_mnist_ptq: 44,544 bytes, of which its dense layer of 560 to 10 takes 9,024."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y = g.input(act(1, 28, 28)), g.tensor(act(1, 28, 20))
    matrices = [g.tensor(weights(20, n)) for n in (28,) * 4 + (20,) * 4]
    state = [g.tensor(Spec((1, 20), t, 0.01, variable=True)) for t in ("int8", "int16")]
    g.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, *matrices, *[-1] * 9, *state], [y], version=3)
    g.output(y)
    graph = Graph.from_bytes(builder.pack())
    assert layout.operator_bytes(graph, graph.operators[0]) == pytest.approx(44_544 - 9_024, rel=0.02)


def layers(*models: bytes) -> list[layout.Layer]:
    graphs = [Graph.from_bytes(m) for m in models]
    return [layout.layer(g, g.operators[0]) for g in graphs]


CACHED = [
    # layers in order, room in bytes, bytes kept; STUDY: a hundred layers, all tiles for parameters (8.02 MiB)
    ([dense(100, 100, "uint8")] * 99, 8_409_088, 78 * 13_312),
    ([dense(150, 150, "uint8")] * 99, 8_409_088, 52 * 29_952),
    # STUDY: 75 convolutions 7x7 of 32 channels, 5.01 MiB for parameters
    ([conv(8, 8, (7, 7), 32, 32, dtype="uint8")] * 75, 5_253_366, 52 * 50_304),
]


@pytest.mark.parametrize(("models", "room", "kept"), CACHED)
def test_what_stays_on_chip_is_whole_layers_by_tile(models: Sequence[bytes], room: int, kept: int) -> None:
    found = layers(models[0]) * len(models)
    assert memory.cached(found, room) == kept


def test_a_dense_layer_above_its_share_of_a_tile_is_streamed() -> None:
    """LIB: 16384 to 1 was streamed, 4096 to 1 and 1024 to 1024 were cached; LANE: 14400 to 100 was streamed."""
    for model, stays in (
        (dense(16_384, 1), False),
        (dense(4096, 1), True),
        (dense(1024, 1024), True),
        (dense(14_400, 100), False),
    ):
        graph = Graph.from_bytes(model)
        found = memory.estimate(graph, [0])
        assert (found.streamed_bytes == 0) == stays
        assert found.cached_bytes + found.streamed_bytes == found.total_bytes


def test_the_limit_of_a_tile_is_the_least_share_that_was_seen_streamed() -> None:
    """LIB: 16384 to 1, whose bias of 64 bytes stayed on chip."""
    assert layers(dense(16_384, 1))[0].tile_bytes - 64 == memory.DENSE_TILE_LIMIT


LOGS = [
    # used and remaining KiB of on-chip memory, one model a compilation (LOGS)
    (604.5, 511.5), (1966.08, 1.75), (85.75, 7956.48), (7331.84, 2.25), (80, 6184.96), (7055.36, 1),
    (6225.92, 0), (4597.76, 3082.24), (6133.76, 74), (60, 8151.04), (6164.48, 1044.48), (0, 8171.52),
    (7024.64, 7.75), (6041.6, 1187.84), (66, 7854.08), (0, 8069.12), (5867.52, 1300.48), (0, 8243.2),
]  # fmt: skip


def test_room_for_parameters_is_that_of_published_logs() -> None:
    room = [1024 * (used + left) for used, left in LOGS]
    assert min(room) == pytest.approx(memory.LEAST_ROOM, rel=0.01)
    assert np.median(room) == pytest.approx(memory.USUAL_ROOM, rel=0.01)
    assert max(room) == pytest.approx(memory.MOST_ROOM, rel=0.01)


def test_minimum_runtime_is_what_compiler_16_writes() -> None:
    """TCN, LANE, LIB and EdgeTPU-MOT, compiled by version 16 without -m: 14 whatever the operators."""
    assert predict(Graph.from_bytes(dense(8, 8))).min_runtime == 14


def pad(height: int, width: int) -> bytes:
    given = [act(1, 2, 2, 3), constant([[0, 0], [0, height - 2], [0, width - 2], [0, 0]])]
    return single_op("PAD", given, [act(1, height, width, 3)], version=2)


def cut(height: int, width: int) -> bytes:
    ends = [constant(v) for v in ([0, 0, 0, 0], [1, 1, 1, 3], [1, 1, 1, 1])]
    return single_op("STRIDED_SLICE", [act(1, height, width, 3), *ends], [act(1, 1, 1, 3)], version=2)


def tall(values: int) -> bytes:
    return single_op("RELU", [act(1, values, 1, 1)], [act(1, values, 1, 1)], version=2)


def detector(side: int, weights_of: int) -> bytes:
    """A hundred small operators and a concatenation behind a convolution of so many weights."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x, last = g.input(act(1, side, side, 3)), g.tensor(act(1, 1, 1, 256))
    w = g.tensor(weights(256, 1, 1, weights_of // 256))
    g.operator("CONV_2D", [x, w, g.tensor(bias(256))], [last], CONV, version=3)
    for _ in range(100):
        made = g.tensor(act(1, 1, 1, 256))
        g.operator("RELU", [last], [made], version=2)
        last = made
    both = g.tensor(act(1, 1, 1, 512))
    g.operator("CONCATENATION", [last, last], [both], {"axis": 3}, version=2)
    g.output(both)
    return builder.pack()


@pytest.mark.parametrize(
    ("below", "failed"),
    [
        (pad(512, 511), pad(512, 512)),
        (cut(512, 511), cut(512, 512)),
        (chain("MUL", 500), chain("MUL", 501)),
        (chain("ADD", 501), chain("MUL", 501)),
        (tall(1024 * 512 * 96 - 1), tall(1024 * 512 * 96)),
        (detector(351, 7_010_000), detector(352, 7_010_000)),
        (detector(352, 6_900_000), detector(352, 7_010_000)),
    ],
)
def test_sizes_of_which_no_compiled_form_is_public_are_a_warning(below: bytes, failed: bytes) -> None:
    for model, rules in ((below, []), (failed, ["compiler-may-fail"])):
        graph = Graph.from_bytes(model)
        found = risks(graph, predict(graph).mapped)
        assert [f.rule for f in found] == rules
        assert all(f.severity == "warning" and f.hint and "(" in f.message for f in found)
