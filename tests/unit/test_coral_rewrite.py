"""Rewrites bring operators onto the Edge TPU and leave the result as it was."""

from __future__ import annotations

import itertools
from pathlib import Path

import coral_doubles as doubles
import numpy as np
import pytest

from qedge.graph import Graph, schema
from qedge.runtime.litert import open_engine, tensor_specs
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op
from qedge.testing.requests import request
from qedge_coral import compile as driver
from qedge_coral import rewrite, versions
from qedge_coral.predict import predict
from qedge_coral.target import TARGET

ACTIVATION = {"scale": 0.05, "zero_point": -3}


def values(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(3).integers(-128, 128, shape).astype(np.int8)


def spec(*shape: int, **changed: object) -> Spec:
    return Spec(shape, **{**ACTIVATION, **changed})


def upsampling() -> bytes:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(spec(1, 4, 3, 8))
    one = g.tensor(spec(1, 4, 1, 3, 8))
    g.operator("EXPAND_DIMS", [x, g.tensor(constant(2))], [one])
    two = g.tensor(spec(1, 4, 2, 3, 8))
    g.operator("TILE", [one, g.tensor(constant([1, 1, 2, 1, 1]))], [two], version=3)
    three = g.tensor(spec(1, 8, 3, 8))
    g.operator("RESHAPE", [two, g.tensor(constant([1, 8, 3, 8]))], [three])
    four = g.tensor(spec(1, 8, 3, 1, 8))
    g.operator("RESHAPE", [three, g.tensor(constant([1, 8, 3, 1, 8]))], [four])
    five = g.tensor(spec(1, 8, 3, 2, 8))
    g.operator("TILE", [four, g.tensor(constant([1, 1, 1, 2, 1]))], [five], version=3)
    six = g.tensor(spec(1, 8, 6, 8))
    g.operator("RESHAPE", [five, g.tensor(constant([1, 8, 6, 8]))], [six])
    g.output(six)
    return builder.pack()


def shapes() -> bytes:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(spec(1, 2, 2, 8))
    size, batch = g.tensor(Spec((4,), "int32")), g.tensor(Spec((), "int32"))
    g.operator("SHAPE", [x], [size], {"out_type": 2})
    ends = [g.tensor(constant([v])) for v in (0, 1, 1)]
    g.operator("STRIDED_SLICE", [size, *ends], [batch], {"shrink_axis_mask": 1})
    target = g.tensor(Spec((2,), "int32"))
    g.operator("PACK", [batch, g.tensor(constant(32))], [target], {"values_count": 2, "axis": 0})
    y = g.tensor(spec(1, 32))
    g.operator("RESHAPE", [x, target], [y])
    g.output(y)
    return builder.pack()


def fused() -> bytes:
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y = g.input(spec(1, 4, 4, 8)), g.tensor(spec(1, 2, 2, 8))
    options = {
        "padding": "VALID", "stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2,
        "fused_activation_function": "RELU",
    }  # fmt: skip
    g.operator("MAX_POOL_2D", [x], [y], options, version=2)
    g.output(y)
    return builder.pack()


def leaky() -> bytes:
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y = g.input(spec(1, 4, 4, 8)), g.tensor(spec(1, 4, 4, 8, scale=0.04))
    g.operator("LEAKY_RELU", [x], [y], {"alpha": 0.2}, version=2)
    g.output(y)
    return builder.pack()


def rows(channels: int = 12) -> bytes:
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y = g.input(spec(1, 5, channels)), g.tensor(spec(1, 5, 6))
    rng = np.random.default_rng(1)
    weights = g.tensor(constant(rng.integers(-127, 128, (6, channels)), "int8", scale=0.01))
    bias = g.tensor(constant(rng.integers(-900, 900, 6), "int32", scale=0.0005))
    g.operator("FULLY_CONNECTED", [x, weights, bias], [y], {"keep_num_dims": True}, version=5)
    g.output(y)
    return builder.pack()


def idle() -> bytes:
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y, z = g.input(spec(1, 8)), g.tensor(spec(1, 8)), g.tensor(spec(1, 8, scale=1 / 256, zero_point=-128))
    g.operator("QUANTIZE", [x], [y])
    g.operator("LOGISTIC", [y], [z], version=2)
    g.output(z)
    return builder.pack()


def too_new() -> bytes:
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y = g.input(spec(1, 4, 4, 4)), g.tensor(spec(1, 4, 4, 8))
    rng = np.random.default_rng(1)
    weights = g.tensor(constant(rng.integers(-127, 128, (8, 1, 1, 4)), "int8", scale=0.01))
    bias = g.tensor(constant(rng.integers(-900, 900, 8), "int32", scale=0.0005))
    options = {
        "padding": "SAME",
        "stride_w": 1,
        "stride_h": 1,
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
    }
    g.operator("CONV_2D", [x, weights, bias], [y], options, version=6)
    g.output(y)
    return builder.pack()


def gelu() -> bytes:
    given, made = spec(1, 256, scale=0.03, zero_point=0), spec(1, 256, scale=0.03, zero_point=-100)
    return single_op("GELU", [given], [made], {"approximate": False}, version=2)


def hard_swish(low: float = -4.0, high: float = 6.0) -> bytes:
    ends = [min(low, 0.0), max(high, 0.0)]
    scale = (ends[1] - ends[0]) / 255
    grid = np.linspace(*ends, 1000)
    out = grid * np.clip(grid + 3, 0, 6) / 6
    to = float(out.max() - out.min()) / 255
    given = spec(1, 256, scale=scale, zero_point=round(-128 - ends[0] / scale))
    made = spec(1, 256, scale=to, zero_point=round(-128 - float(out.min()) / to))
    return single_op("HARD_SWISH", [given], [made])


def picked() -> bytes:
    """Channels in another order, and one of them twice."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y = g.input(spec(1, 3, 4, 6)), g.tensor(spec(1, 3, 4, 7))
    g.operator("GATHER", [x, g.tensor(constant([5, 0, 3, 1, 4, 2, 2]))], [y], {"axis": 3}, version=2)
    g.output(y)
    return builder.pack()


def shuffled(groups: int = 3, height: int = 4) -> bytes:
    """A channel shuffle as ShuffleNet writes it: five dimensions between two of four."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y = g.input(spec(1, height, 5, 12)), g.tensor(spec(1, height, 5, 12))
    a = g.tensor(spec(1, height, 5, groups, 12 // groups))
    b = g.tensor(spec(1, height, 5, 12 // groups, groups))
    g.operator("RESHAPE", [x, g.tensor(constant([1, height, 5, groups, 12 // groups]))], [a])
    g.operator("TRANSPOSE", [a, g.tensor(constant([0, 1, 2, 4, 3]))], [b], version=4)
    g.operator("RESHAPE", [b, g.tensor(constant([1, height, 5, 12]))], [y])
    g.output(y)
    return builder.pack()


MODELS = {
    # rewrite: (model, operators after, largest difference)
    "nearest-upsampling": (upsampling, ["RESIZE_NEAREST_NEIGHBOR"], 0),
    "fold-shapes": (shapes, ["RESHAPE"], 0),
    "unfuse-activation": (fused, ["MAX_POOL_2D", "RELU"], 0),
    "leaky-relu": (leaky, ["PRELU"], 1),
    "hard-swish": (hard_swish, ["MUL", "ADD", "MUL"], 1),
    "dense-rows": (rows, ["RESHAPE", "CONV_2D", "RESHAPE"], 1),
    "drop-quantize": (idle, ["LOGISTIC"], 0),
    "lower-versions": (too_new, ["CONV_2D"], 0),
    "unparsed": (gelu, ["MUL", "LOGISTIC", "MUL"], 1),
    "shuffles": (shuffled, ["CONV_2D"], 0),
}


def test_every_rewrite_has_a_model() -> None:
    assert set(MODELS) == {r.name for r in rewrite.REWRITES}


@pytest.mark.parametrize("name", MODELS)
def test_rewrite(name: str) -> None:
    make, operators, allowed = MODELS[name]
    model = make()
    after = rewrite.rewrite(model)
    graph = Graph.from_bytes(after.model)
    assert name in {n for n, _ in after.changes}
    assert [op.op for op in graph] == operators
    assert predict(graph).mapped_percent == 100
    first = open_engine(model, *tensor_specs(model), threads=1)
    second = open_engine(after.model, *tensor_specs(after.model), threads=1)
    assert [(t.name, t.shape, t.dtype) for t in first.inputs] == [
        (t.name, t.shape, t.dtype) for t in second.inputs
    ]
    x = [values(t.shape) for t in first.inputs]
    for one, other in zip(first.run(x), second.run(x), strict=True):
        assert int(np.abs(one.astype(int) - other.astype(int)).max()) <= allowed


@pytest.mark.parametrize("name", MODELS)
def test_rewriting_again_changes_nothing(name: str) -> None:
    once = rewrite.rewrite(MODELS[name][0]()).model
    twice = rewrite.rewrite(once)
    assert twice.model == once
    assert twice.changes == ()


@pytest.mark.parametrize(("low", "high"), [(-1.0, 0.5), (-8.0, 1.0), (-3.5, 30.0), (0.0, 2.0), (-0.1, 6.0)])
def test_a_hard_swish_is_a_gate_for_any_range(low: float, high: float) -> None:
    model = hard_swish(low, high)
    after = rewrite.rewrite(model)
    assert [op.op for op in Graph.from_bytes(after.model)] == ["MUL", "ADD", "MUL"]
    codes = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    wanted, found = (run(m, [codes])[0] for m in (model, after.model))
    assert int(np.abs(wanted.astype(int) - found.astype(int)).max()) <= 1


def test_channels_that_only_change_places_stay_what_they_are() -> None:
    model = picked()
    after = rewrite.rewrite(model).model
    assert [op.op for op in Graph.from_bytes(after)] == ["CONV_2D"]
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (1, 3, 4, 6)).astype(np.int8)
    assert np.array_equal(run(after, [x])[0], x[..., [5, 0, 3, 1, 4, 2, 2]])


def test_versions_of_the_rewritten_convolution() -> None:
    graph = Graph.from_bytes(rewrite.rewrite(too_new()).model)
    assert [op.version for op in graph] == [3]


def run(model: bytes, given: list[np.ndarray]) -> list[np.ndarray]:
    engine = open_engine(model, *tensor_specs(model), threads=1)
    try:
        return engine.run(given)
    finally:
        engine.close()


EVERY = np.arange(-128, 128).astype(np.int8).reshape(1, 256)


@pytest.mark.parametrize(
    ("model", "operators"),
    [
        # no form that maps is within 1 step at this scale: a table on the CPU
        (
            single_op(
                "GELU",
                [spec(1, 256, scale=0.02, zero_point=0)],
                [spec(1, 256, scale=0.002, zero_point=-40)],
                {"approximate": False},
                version=2,
            ),
            ["DEQUANTIZE", "MUL", "ADD", "CAST", "GATHER"],
        ),
        (
            single_op("EXP", [spec(1, 256, scale=0.02)], [spec(1, 256, zero_point=-128)], version=2),
            ["DEQUANTIZE", "EXP", "QUANTIZE"],
        ),
    ],
)
def test_what_the_compiler_cannot_parse_stays_on_the_cpu_with_its_values(
    model: bytes, operators: list[str]
) -> None:
    assert predict(Graph.from_bytes(model)).failures
    after = rewrite.rewrite(model).model
    found = predict(Graph.from_bytes(after))
    assert [p.op for p in found.placements] == operators
    assert not found.failures
    assert all(p.reason and p.placement == "cpu" for p in found.placements)
    assert np.array_equal(run(model, [EVERY])[0], run(after, [EVERY])[0])


@pytest.mark.parametrize(
    "model",
    [
        single_op("QUANTIZE", [spec(1, 8, dtype="int16", zero_point=0)], [spec(1, 8)], version=3),
        single_op("STABLEHLO_LOGISTIC", [spec(1, 8)], [spec(1, 8)]),
        single_op("SIGN", [spec(1, 8)], [spec(1, 8)], version=2),
    ],
)
def test_what_has_no_other_form_stays_as_it_is(model: bytes) -> None:
    assert rewrite.rewrite(model).changes == ()
    (failure,) = predict(Graph.from_bytes(model)).failures
    assert failure.rule == "operator-version"


def windows(order: list[int]) -> bytes:
    """Windows of 2 x 2 cut out of a map: six dimensions, as vision transformers and pixel shuffles write it."""
    shape = (1, 3, 2, 4, 2, 5)
    turned = tuple(shape[axis] for axis in order)
    builder = ModelBuilder()
    g = builder.subgraph()
    x, a, b, y = (
        g.input(spec(1, 6, 8, 5)),
        g.tensor(spec(*shape)),
        g.tensor(spec(*turned)),
        g.tensor(spec(1, 12, 20)),
    )
    g.operator("RESHAPE", [x, g.tensor(constant(list(shape)))], [a])
    g.operator("TRANSPOSE", [a, g.tensor(constant(order))], [b], version=4)
    g.operator("RESHAPE", [b, g.tensor(constant([1, 12, 20]))], [y])
    g.output(y)
    return builder.pack()


@pytest.mark.parametrize(
    ("order", "operators"),
    [
        ([0, 1, 3, 2, 4, 5], ["RESHAPE", "TRANSPOSE", "RESHAPE"]),
        ([0, 1, 2, 3, 4, 5], ["RESHAPE"]),
        ([0, 5, 1, 2, 3, 4], ["RESHAPE", "TRANSPOSE", "RESHAPE"]),
        ([0, 5, 4, 3, 2, 1], ["RESHAPE", "TRANSPOSE", "RESHAPE"]),  # five axes, none together
    ],
)
def test_transposes_come_under_four_dimensions_where_they_can(order: list[int], operators: list[str]) -> None:
    model = windows(order)
    after = rewrite.rewrite(model).model
    graph = Graph.from_bytes(after)
    assert [op.op for op in graph] == operators
    ranks = [len(t.shape) for op in graph for t in graph.output_tensors(op)]
    assert (max(ranks) > 4) == (order == [0, 5, 4, 3, 2, 1])
    given = [values((1, 6, 8, 5))]
    assert np.array_equal(run(model, given)[0], run(after, given)[0])


def test_a_shuffle_that_other_operators_read_from_is_left_alone() -> None:
    tree = schema.unpack(shuffled())
    tree.subgraphs[0].outputs = [*tree.subgraphs[0].outputs, tree.subgraphs[0].operators[0].outputs[0]]
    after = Graph.from_bytes(rewrite.rewrite(schema.pack(tree)).model)
    assert [op.op for op in after] == ["RESHAPE", "TRANSPOSE", "RESHAPE"]


def one_code() -> bytes:
    """ADD of int8 and ADD of int64 with one operator code, at the version of the wider one."""
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y = g.input(spec(1, 4)), g.tensor(spec(1, 4))
    count, more = g.input(Spec((1,), "int64")), g.tensor(Spec((1,), "int64"))
    g.operator("ADD", [x, x], [y], version=4)
    g.operator("ADD", [count, count], [more], version=4)
    g.output(y)
    g.output(more)
    return builder.pack()


def test_an_operator_on_int8_gets_a_code_of_its_own() -> None:
    given = one_code()
    after = rewrite.rewrite(given).model
    assert [(op.op, op.version) for op in Graph.from_bytes(after)] == [("ADD", 2), ("ADD", 4)]
    assert predict(Graph.from_bytes(given)).mapped == ()
    assert predict(Graph.from_bytes(after)).mapped == (0,)
    first, second = (open_engine(m, *tensor_specs(m), threads=1) for m in (given, after))
    x = [values((1, 4)), np.asarray([7], np.int64)]
    for one, other in zip(first.run(x), second.run(x), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("model", "version"),
    [
        (single_op("MUL", [spec(1, 4, scale=2.0)] * 2, [spec(1, 4, scale=1.0)], version=5), 3),
        (single_op("MUL", [spec(1, 4)] * 2, [spec(1, 4)], version=5), 2),
        (single_op("SUB", [spec(1, 4)] * 2, [spec(1, 4)], version=4), 2),
        (single_op("SUB", [spec(1, 1, 1, 1, 4)] * 2, [spec(1, 1, 1, 1, 4)], version=4), 4),
        (single_op("ADD", [spec(1, 4, dtype="uint8")] * 2, [spec(1, 4, dtype="uint8")], version=4), 1),
        (single_op("ADD", [spec(1, 4, dtype="int16")] * 2, [spec(1, 4, dtype="int16")], version=4), 4),
    ],
)
def test_the_oldest_version_that_says_the_same(model: bytes, version: int) -> None:
    graph = Graph.from_bytes(model)
    assert versions.lowered_version(graph, graph.operators[0]) == version


def test_looking_at_a_model_makes_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a function of one value gives, the interpreter says, and that takes a file of one operator.
    graphs = [
        Graph.from_bytes(make())
        for name, (make, _, _) in MODELS.items()
        if name not in ("unparsed", "hard-swish")
    ]

    def never(*_: object) -> None:
        raise AssertionError("a file was read or written")

    monkeypatch.setattr(schema, "unpack", never)
    monkeypatch.setattr(schema, "pack", never)
    for graph in graphs:
        assert TARGET.check(request(graph)).metrics["rewrites"]


@pytest.mark.shared
def test_a_detector_whose_additions_share_a_code_is_mapped_by_half(
    shared: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """YOLOv10n: 19 operators were compiled as it came, and the stand-in compiler takes those 19 too."""
    given = (shared / "coral/pairs_more/yolov10n.tflite").read_bytes()
    after = rewrite.rewrite(given).model
    assert len(predict(Graph.from_bytes(given)).mapped) == 19
    found = predict(Graph.from_bytes(after))
    assert found.mapped_percent >= 50
    program = doubles.build_compiler(tmp_path_factory.mktemp("compiler"))
    for name, model in (("given", given), ("after", after)):
        log = driver.run(program, model, {}, tmp_path / name).log
        assert log.figures["edgetpu_operations"] == len(predict(Graph.from_bytes(model)).mapped)
    x = [values(t.shape) for t in tensor_specs(given)[0]]
    for one, other in zip(run(given, x), run(after, x), strict=True):
        assert np.abs(one.astype(float) - other.astype(float)).max() <= 1


def merged() -> bytes:
    """Up-sampling by 2 with the two reshapes in its middle as one, from five dimensions to five."""
    builder = ModelBuilder()
    g = builder.subgraph()
    shapes = [(1, 4, 3, 8), (1, 4, 1, 3, 8), (1, 4, 2, 3, 8), (1, 8, 3, 1, 8), (1, 8, 3, 2, 8), (1, 8, 6, 8)]
    last = g.input(spec(*shapes[0]))
    for before, shape in itertools.pairwise(shapes):
        made = g.tensor(spec(*shape))
        if np.prod(before) == np.prod(shape):
            g.operator("RESHAPE", [last, g.tensor(constant(list(shape)))], [made])
        else:
            times = [b // a for a, b in zip(before, shape)]
            g.operator("TILE", [last, g.tensor(constant(times))], [made], version=2)
        last = made
    g.output(last)
    return builder.pack()


def test_upsampling_whose_reshapes_were_merged() -> None:
    after = rewrite.rewrite(merged()).model
    assert [op.op for op in Graph.from_bytes(after)] == ["RESIZE_NEAREST_NEIGHBOR"]
    first, second = (open_engine(m, *tensor_specs(m), threads=1) for m in (merged(), after))
    x = [values((1, 4, 3, 8))]
    assert np.array_equal(first.run(x)[0], second.run(x)[0])


@pytest.mark.parametrize("multiples", [[1, 1, 1, 2, 1], [1, 1, 1, 1, 2], [1, 2, 1, 1, 1]])
def test_other_tiles_are_left_alone(multiples: list[int]) -> None:
    """Tiling the whole, or the channels, is no repetition of rows: [1, 4, 1, 3, 8] tiled but for axis 2."""
    shape = tuple(d * m for d, m in zip((1, 4, 1, 3, 8), multiples))
    builder = ModelBuilder()
    g = builder.subgraph()
    x, y, z = g.input(spec(1, 4, 3, 8)), g.tensor(spec(1, 4, 1, 3, 8)), g.tensor(spec(*shape))
    flat = (1, shape[1], shape[2] * shape[3], shape[4])
    out = g.tensor(spec(*flat))
    g.operator("RESHAPE", [x, g.tensor(constant([1, 4, 1, 3, 8]))], [y])
    g.operator("TILE", [y, g.tensor(constant(multiples))], [z], version=2)
    g.operator("RESHAPE", [z, g.tensor(constant(list(flat)))], [out])
    g.output(out)
    after = Graph.from_bytes(rewrite.rewrite(builder.pack()).model)
    assert "TILE" in [op.op for op in after]
