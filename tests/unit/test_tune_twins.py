"""Every operator of the quantiser's rules has a twin in TensorFlow, and a student says what LiteRT says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qedge.graph import Graph
from qedge.quantize.build import Builder
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel
from qedge.quantize.recipe import Recipe
from qedge.quantize.rules import RULES
from qedge.quantize.tables import EACH_VALUE
from qedge.testing.opmodels import Spec, constant, single_op
from qedge.tune.job import Settings, job_of, start_of
from qedge.tune.twins import TWINS
from tests.unit.quantize_models import ArrayDataset, f32

RNG = np.random.default_rng(0)


def _c(*shape: int, scale: float = 0.4) -> Spec:
    return constant((scale * RNG.normal(size=shape)).astype(np.float32), "float32")


def _i(values: npt.ArrayLike) -> Spec:
    return constant(np.asarray(values, np.int32), "int32")


@dataclass(frozen=True)
class Case:
    """One operator; ``steps`` is how many steps of the output's grid the two may differ by."""

    op: str
    inputs: Sequence[Spec | None]
    outputs: Sequence[Spec]
    options: Mapping[str, Any] = field(default_factory=dict)
    positive: bool = False
    steps: int = 1
    label: str = ""
    version: int = 1


WINDOW = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
POOL = {"padding": "SAME", "stride_h": 2, "stride_w": 3, "filter_height": 3, "filter_width": 2}
X = f32(1, 6, 5, 4)


def _same(op: str, shape: tuple[int, ...] = (1, 3, 8), **options: Any) -> Case:
    return Case(op, [f32(*shape)], [f32(*shape)], options)


def _pair(op: str, **options: Any) -> Case:
    return Case(op, [f32(1, 3, 8), _c(8)], [f32(1, 3, 8)], options)


def _reduced(op: str) -> Case:
    return Case(op, [X, _i([1, 2])], [f32(1, 4)], {"keep_dims": False})


CASES = [
    Case("CONV_2D", [X, _c(3, 3, 2, 4), _c(3)], [f32(1, 3, 3, 3)], {**WINDOW, "stride_h": 2, "stride_w": 2}),
    Case(
        "CONV_2D",
        [X, _c(3, 2, 2, 4), _c(3)],
        [f32(1, 6, 5, 3)],
        {**WINDOW, "dilation_w_factor": 2},
        label="dilated",
    ),
    Case(
        "CONV_2D",
        [X, _c(4, 3, 3, 2), _c(4)],
        [f32(1, 6, 5, 4)],
        {**WINDOW, "fused_activation_function": "RELU"},
        label="groups",
    ),
    Case(
        "CONV_2D",
        [f32(1, 1, 40, 1), _c(3, 1, 9, 1), _c(3)],
        [f32(1, 1, 10, 3)],
        {**WINDOW, "stride_w": 4},
        label="waveform",
    ),
    Case(
        "DEPTHWISE_CONV_2D",
        [X, _c(1, 3, 3, 8), _c(8)],
        [f32(1, 3, 5, 8)],
        {**WINDOW, "stride_h": 2, "depth_multiplier": 2},
    ),
    Case(
        "DEPTHWISE_CONV_2D",
        [X, _c(1, 2, 2, 4), _c(4)],
        [f32(1, 6, 5, 4)],
        {**WINDOW, "dilation_h_factor": 2, "depth_multiplier": 1},
        label="dilated",
    ),
    Case(
        "DEPTHWISE_CONV_2D",
        [f32(1, 1, 20, 4), _c(1, 1, 5, 4), _c(4)],
        [f32(1, 1, 5, 4)],
        {**WINDOW, "stride_w": 4, "depth_multiplier": 1},
        label="flat",
    ),
    Case(
        "FULLY_CONNECTED", [f32(1, 12), _c(5, 12), _c(5)], [f32(1, 5)], {"fused_activation_function": "RELU6"}
    ),
    Case(
        "TRANSPOSE_CONV",
        [_i([1, 12, 10, 3]), _c(3, 3, 3, 4), X, _c(3)],
        [f32(1, 12, 10, 3)],
        {"padding": "SAME", "stride_h": 2, "stride_w": 2},
    ),
    Case("SOFTMAX", [f32(1, 8)], [f32(1, 8)], {"beta": 1.0}),
    _same("LOGISTIC"),
    _same("TANH"),
    _same("L2_NORMALIZATION"),
    _same("LOG_SOFTMAX"),
    Case("AVERAGE_POOL_2D", [X], [f32(1, 3, 2, 4)], POOL),
    Case("MAX_POOL_2D", [X], [f32(1, 3, 2, 4)], POOL),
    Case("RESHAPE", [X, _i([1, 30, 4])], [f32(1, 30, 4)]),
    Case("SQUEEZE", [f32(1, 1, 8)], [f32(1, 8)], {"squeeze_dims": [1]}),
    Case("EXPAND_DIMS", [f32(1, 8), _i(1)], [f32(1, 1, 8)]),
    Case("TRANSPOSE", [X, _i([0, 3, 1, 2])], [f32(1, 4, 6, 5)]),
    Case(
        "STRIDED_SLICE",
        [X, _i([0, 5, 1, 0]), _i([1, 0, 5, 4]), _i([1, -2, 2, 1])],
        [f32(1, 3, 2, 4)],
        {"begin_mask": 0, "end_mask": 2},
    ),
    Case("SLICE", [X, _i([0, 1, 0, 2]), _i([1, 3, -1, 2])], [f32(1, 3, 5, 2)]),
    Case("SPLIT", [_i(3), X], [f32(1, 6, 5, 2), f32(1, 6, 5, 2)], {"num_splits": 2}),
    Case("SPLIT_V", [X, _i([1, 3]), _i(3)], [f32(1, 6, 5, 1), f32(1, 6, 5, 3)], {"num_splits": 2}),
    Case("UNPACK", [f32(1, 2, 8)], [f32(1, 8), f32(1, 8)], {"num": 2, "axis": 1}),
    Case("PACK", [f32(1, 8), f32(1, 8)], [f32(1, 2, 8)], {"values_count": 2, "axis": 1}),
    Case("CONCATENATION", [f32(1, 3, 8), _c(1, 2, 8), f32(1, 1, 8)], [f32(1, 6, 8)], {"axis": 1}),
    Case("PAD", [X, _i([[0, 0], [1, 2], [0, 1], [0, 0]])], [f32(1, 9, 6, 4)]),
    Case(
        "PADV2",
        [X, _i([[0, 0], [1, 2], [0, 1], [0, 0]]), constant(np.float32(0.5), "float32")],
        [f32(1, 9, 6, 4)],
    ),
    Case("MIRROR_PAD", [X, _i([[0, 0], [1, 2], [0, 1], [0, 0]])], [f32(1, 9, 6, 4)], {"mode": "REFLECT"}),
    Case("GATHER", [X, _i([3, 0])], [f32(1, 6, 5, 2)], {"axis": 3}),
    Case("TILE", [f32(1, 3, 8), _i([1, 2, 1])], [f32(1, 6, 8)]),
    Case("BROADCAST_TO", [f32(1, 1, 8), _i([1, 3, 8])], [f32(1, 3, 8)], version=2),
    Case("REVERSE_V2", [f32(1, 3, 8), _i([1])], [f32(1, 3, 8)]),
    Case("RESIZE_BILINEAR", [X, _i([12, 10])], [f32(1, 12, 10, 4)], {"half_pixel_centers": True}),
    Case("RESIZE_NEAREST_NEIGHBOR", [X, _i([12, 10])], [f32(1, 12, 10, 4)]),
    Case("DEPTH_TO_SPACE", [X], [f32(1, 12, 10, 1)], {"block_size": 2}),
    Case("SPACE_TO_DEPTH", [f32(1, 6, 4, 2)], [f32(1, 3, 2, 8)], {"block_size": 2}),
    Case("SPACE_TO_BATCH_ND", [X, _i([2, 1]), _i([[0, 0], [0, 0]])], [f32(2, 3, 5, 4)]),
    Case("BATCH_TO_SPACE_ND", [f32(2, 3, 5, 4), _i([2, 1]), _i([[0, 0], [0, 1]])], [f32(1, 6, 4, 4)]),
    _reduced("REDUCE_MAX"),
    _reduced("REDUCE_MIN"),
    _reduced("MEAN"),
    _reduced("SUM"),
    _pair("MAXIMUM"),
    _pair("MINIMUM"),
    _pair("ADD", fused_activation_function="RELU"),
    _pair("SUB"),
    _pair("MUL"),
    _pair("SQUARED_DIFFERENCE"),
    Case("RSQRT", [f32(1, 3, 8)], [f32(1, 3, 8)], positive=True),
    _same("ABS"),
    Case("BATCH_MATMUL", [f32(1, 2, 3, 8), f32(1, 2, 5, 8)], [f32(1, 2, 3, 5)], {"adj_y": True}),
    _same("RELU"),
    _same("RELU6"),
    _same("LEAKY_RELU", alpha=0.1),
    _same("HARD_SWISH"),
    _same("GELU", approximate=False),
    Case("PRELU", [f32(1, 3, 8), _c(1, 8)], [f32(1, 3, 8)]),
    _same("ELU"),
    _same("EXP"),
    Case("LOG", [f32(1, 3, 8)], [f32(1, 3, 8)], positive=True),
]
ELSEWHERE = {
    "SELECT", "SELECT_V2", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "ARG_MAX", "ARG_MIN",
}  # fmt: skip
"""Operators of the rules whose integer or bool values have a test of their own."""


def _dataset(graph: Graph, positive: bool = False, count: int = 12) -> ArrayDataset:
    rng = np.random.default_rng(1)
    shapes = [graph.tensors[t].shape for t in graph.inputs]
    arrays = [rng.normal(size=(count, *s[1:])) if s[0] == 1 else rng.normal(size=(count, *s)) for s in shapes]
    return _Whole(*(0.3 + np.abs(a) if positive else a for a in arrays), shapes=shapes)


class _Whole(ArrayDataset):
    """Samples in the model's own shape, whatever its batch is."""

    def __init__(self, *arrays: npt.NDArray[Any], shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__(*arrays)
        self.shapes = shapes

    def __getitem__(self, i: int) -> list[npt.NDArray[np.float32]]:
        return [np.asarray(a[i], np.float32).reshape(s) for a, s in zip(self.arrays, self.shapes)]


@pytest.fixture(scope="module")
def student() -> Callable[[bytes, ArrayDataset], list[npt.NDArray[Any]]]:
    pytest.importorskip("tensorflow", reason="the twins are TensorFlow's")
    from qedge.tune.child_main import tensorflow
    from qedge.tune.network import Network

    tf = tensorflow(1)

    def run(builder: Builder, recipe: Recipe = Recipe()) -> list[npt.NDArray[Any]]:  # noqa: B008
        model, plan = builder.plan(recipe)
        job = job_of(model.graph, plan, Settings())
        network = Network(tf, model.graph, job, start_of(model.graph, plan, job, {}, {}))
        samples = [builder.dataset[i] for i in range(len(builder.dataset))]
        inputs = [np.stack([s[k] for s in samples]) for k in range(len(samples[0]))]
        values = network.run(inputs, student=True)
        return [values[t].numpy() for t in model.graph.outputs]

    return run


def test_every_rule_has_a_twin_and_a_case() -> None:
    assert set(RULES) <= set(TWINS)
    assert set(EACH_VALUE) <= set(TWINS)
    assert set(RULES) - {case.op for case in CASES} == ELSEWHERE


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.op}{'-' if c.label else ''}{c.label}")
def test_a_student_says_what_litert_says(case: Case, student: Callable[..., Any]) -> None:
    graph = Graph.from_bytes(
        single_op(case.op, case.inputs, case.outputs, case.options, version=case.version)
    )
    dataset = _dataset(graph, case.positive)
    builder = Builder(FloatModel.from_bytes(graph.data), dataset, range(len(dataset)), threads=1)
    runner = Runner(builder.build(Recipe()), threads=1)
    found = student(builder)
    for k, detail in enumerate(runner.outputs):
        scale = float(detail["quantization"][0])
        said = np.stack([runner.predict(dataset[i])[k] for i in range(len(dataset))])
        steps = np.abs(found[k] - said) / scale
        assert steps.max() <= case.steps + 1e-3, (case.op, float(steps.max()))
        assert (steps < 0.5).mean() > 0.8


def test_a_choice_between_values_has_a_twin(student: Callable[..., Any]) -> None:
    from qedge.testing.opmodels import ModelBuilder

    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 8), "float32", name="x"))
    above = g.tensor(Spec((1, 8), "bool"))
    g.operator("GREATER", [x, g.tensor(constant(np.float32(0.1), "float32"))], [above])
    chosen = g.tensor(Spec((1, 8), "float32", name="chosen"))
    g.operator("SELECT_V2", [above, x, g.tensor(_c(1, 8))], [chosen])
    g.output(chosen)
    index = g.tensor(Spec((1,), "int32", name="index"))
    g.operator("ARG_MAX", [chosen, g.tensor(_i(1))], [index], {"output_type": "INT32"})
    g.output(index)
    model = FloatModel.from_bytes(builder.pack())
    dataset = _dataset(model.graph)
    quantiser = Builder(model, dataset, range(len(dataset)), threads=1)
    runner = Runner(quantiser.build(Recipe()), threads=1)
    values, places = student(quantiser)
    said = [runner.predict(dataset[i]) for i in range(len(dataset))]
    scale = float(runner.outputs[0]["quantization"][0])
    assert np.abs(values - np.stack([s[0] for s in said])).max() <= scale * 1.01
    assert (places.reshape(-1) == np.stack([s[1] for s in said]).reshape(-1)).all()
