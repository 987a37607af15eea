"""Dilated convolutions over interleaved images of a batch become one operator, with the same values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from qedge.frontends import load_model
from qedge.graph import Graph
from qedge.testing.opmodels import ModelBuilder, Spec, constant

CHANNELS = 4
SCALES = {"int8": 0.25, "float32": None}


def convolution(
    op: str = "CONV_2D",
    dtype: str = "int8",
    size: tuple[int, int] = (9, 8),
    taps: tuple[int, int] = (3, 2),
    blocks: tuple[int, int] = (2, 3),
    pads: tuple[tuple[int, int], tuple[int, int]] = ((2, 1), (1, 3)),
    crops: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    padding: str = "VALID",
    stride: int = 1,
    line: bool = False,
    unit: float = 1.0,
    reread: bool = False,
) -> bytes:
    """Return a model of one split convolution; with ``line`` its rows are taken for a one-dimensional signal."""
    generator, graph = np.random.default_rng(5), (builder := ModelBuilder()).subgraph()
    scale = SCALES[dtype]

    def weights(shape: tuple[int, ...], kind: str, step: float | None) -> int:
        values = generator.integers(-90, 90, shape) if dtype == "int8" else generator.normal(size=shape)
        return graph.tensor(Spec(shape, kind, step, data=values))

    def tensor(*shape: int, factor: float = 1.0) -> Spec:
        return Spec(shape, dtype, None if scale is None else scale * factor, 0 if scale is None else -7)

    def lift(given: int, *shape: int) -> int:
        made = graph.tensor(tensor(*shape))
        graph.operator("RESHAPE", [given, graph.tensor(constant(shape))], [made])
        return made

    first = 1 if line else 0
    inner = [n + sum(p) for n, p in zip(size, pads)][first:]
    count = int(np.prod(blocks[first:]))
    apart = [n // b for n, b in zip(inner, blocks[first:])]
    own = [(k - 1) * (padding == "VALID") for k in taps][first:]
    made = [(n - o - 1) // stride + 1 for n, o in zip(apart, own)]
    joined = [n * b - sum(c) for n, b, c in zip(made, blocks[first:], crops[first:])]
    given = graph.input(tensor(1, *size[first:], CHANNELS))
    spread = graph.tensor(tensor(count, *apart, CHANNELS, factor=unit))
    tables = [graph.tensor(constant(v[first:])) for v in (blocks, pads, crops)]
    graph.operator("SPACE_TO_BATCH_ND", [given, *tables[:2]], [spread], version=3)
    out = CHANNELS if op == "DEPTHWISE_CONV_2D" else 3
    result = graph.tensor(tensor(1, *joined, out, factor=8.0))
    made_shape = [count, *([1] if line else []), *made, out]
    convolved = graph.tensor(tensor(*made_shape, factor=8.0))
    filters = (1, *taps, out) if op == "DEPTHWISE_CONV_2D" else (out, *taps, CHANNELS)
    read = lift(spread, count, 1, *apart, CHANNELS) if line else spread
    kinds = ("int8", 0.02, "int32", 0.005) if dtype == "int8" else ("float32", None, "float32", None)
    options = {
        "padding": padding,
        "stride_h": stride,
        "stride_w": stride,
        "fused_activation_function": "RELU",
    }
    if op == "DEPTHWISE_CONV_2D":
        options["depth_multiplier"] = 1
    operands = [read, weights(filters, *kinds[:2]), weights((out,), *kinds[2:])]
    graph.operator(op, operands, [convolved], options, version=3)
    gathered = convolved
    if line:
        gathered = graph.tensor(tensor(count, *made, out, factor=8.0))
        graph.operator("RESHAPE", [convolved, graph.tensor(constant((count, *made, out)))], [gathered])
    graph.operator("BATCH_TO_SPACE_ND", [gathered, tables[0], tables[2]], [result], version=3)
    graph.output(result)
    if reread:
        graph.output(gathered)
    return builder.pack()


def loaded(data: bytes, folder: Path) -> Graph:
    place = folder / "m.tflite"
    place.write_bytes(data)
    return Graph.from_bytes(load_model(place, workdir=folder).data)


def outputs(data: bytes) -> np.ndarray:
    reference = OpResolverType.BUILTIN_REF
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=reference)
    interpreter.allocate_tensors()
    (given,), result = interpreter.get_input_details(), interpreter.get_output_details()[0]
    generator, rows = np.random.default_rng(7), []
    for _ in range(3):
        sample = generator.integers(-128, 128, given["shape"])
        interpreter.set_tensor(given["index"], sample.astype(given["dtype"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(result["index"]))
    return np.stack(rows)


EVERY = {
    "valid": {"pads": ((0, 1), (0, 1)), "crops": ((0, 1), (0, 1))},
    "same": {"size": (9, 9), "taps": (3, 3), "blocks": (2, 2), "pads": ((2, 3), (2, 3)), "crops": ((0, 1), (0, 1))},
    "neither": {},
    "one_block": {"blocks": (1, 3), "pads": ((0, 0), (3, 4))},
    "padded_inside": {"padding": "SAME", "pads": ((0, 1), (0, 1)), "crops": ((0, 0), (0, 0))},
    "cropped_before": {"pads": ((3, 2), (3, 1)), "crops": ((1, 1), (2, 0))},
    "line": {"line": True, "taps": (1, 3), "pads": ((0, 0), (4, 0)), "crops": ((0, 0), (0, 0))},
    "line_same": {"line": True, "taps": (1, 3), "pads": ((0, 0), (3, 4)), "crops": ((0, 0), (0, 1))},
}  # fmt: skip
FORMS = {"valid": "VALID", "same": "SAME", "line_same": "SAME", "neither": "PAD", "line": "PAD"}


@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("case", EVERY)
def test_the_three_operators_become_one_of_the_same_values(tmp_path, case, op, dtype) -> None:
    data = convolution(op, dtype, **EVERY[case])
    graph = loaded(data, tmp_path)
    ops = [o.op for o in graph]
    assert op in ops
    assert not {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"} & set(ops)
    assert all(t.shape[:1] != (6,) for t in graph.tensors if not t.is_constant)
    if case in FORMS:
        made = next(o for o in graph if o.op == op)
        assert ("PAD" in ops) == (FORMS[case] == "PAD")
        assert made.options["padding"] == ("SAME" if FORMS[case] == "SAME" else "VALID")
    expected, found = outputs(data), outputs(graph.data)
    assert expected.std() > 1
    if dtype == "int8":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"stride": 2},
        {"crops": ((1, 1), (2, 0))},  # of more than was padded
        {"unit": 2.0},  # codes of another meaning
        {"reread": True},
    ],
)
def test_what_is_no_dilated_convolution_stays_as_it_is(tmp_path, change) -> None:
    data = convolution(**{"pads": ((2, 1), (1, 3)), **change})
    assert loaded(data, tmp_path).data == data
