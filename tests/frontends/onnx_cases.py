"""One small ``.onnx`` a case: every operator's handler, with the forms that exporters write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

RNG = np.random.default_rng(7)


def f(*shape: int) -> Any:
    """Return constant weights."""
    return RNG.standard_normal(shape).astype(np.float32)


def i(*values: int) -> Any:
    """Return a constant of int64."""
    return np.array(values, np.int64)


class Case(NamedTuple):
    """Nodes as (operator, inputs, outputs, attributes); inputs by shape; arrays are constants."""

    name: str
    nodes: Sequence[tuple[str, list[str], list[str], dict[str, Any]]]
    inputs: dict[str, Any]
    constants: dict[str, Any]
    outputs: list[str]
    opset: int = 17
    domain: str = ""
    expect: dict[str, int] | None = None


def one(
    op: str,
    *operands: Any,
    name: str = "",
    opset: int = 17,
    outputs: int = 1,
    expect: dict[str, int] | None = None,
    domain: str = "",
    **attributes: Any,
) -> Case:
    """Return a case of one node: a tuple is an input's shape, an array a constant, None is left out."""
    inputs, constants, names = {}, {}, []
    for k, operand in enumerate(operands):
        if operand is None:
            names.append("")
            continue
        names.append(f"x{k}")
        if isinstance(operand, tuple):
            inputs[names[-1]] = operand
        else:
            constants[names[-1]] = np.asarray(operand)
    made = [f"y{k}" for k in range(outputs)]
    title = f"{op}{'-' + name if name else ''}"
    return Case(title, [(op, names, made, attributes)], inputs, constants, made, opset, domain, expect)


def chain(
    name: str, nodes: Sequence[Any], inputs: dict[str, Any], constants: dict[str, Any] | None = None,
    outputs: Sequence[str] = ("y",), opset: int = 17, expect: dict[str, int] | None = None,
) -> Case:  # fmt: skip
    """Return a case of several nodes; one without attributes may leave them out."""
    full = [(n[0], list(n[1]), list(n[2]), n[3] if len(n) > 3 else {}) for n in nodes]
    return Case(name, full, inputs, constants or {}, list(outputs), opset, "", expect)


IMAGE = (1, 4, 6, 5)
BN = [np.abs(f(4)) + 0.5, f(4), f(4), np.abs(f(4)) + 0.5]


def _elementwise() -> list[Case]:
    cases = []
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"):
        base = np.abs(f(4, 1, 1)) + 0.5
        cases += [one(op, IMAGE, base, name="channel"), one(op, IMAGE, base[:1], name="scalar")]
    cases += [one(op, IMAGE, IMAGE, name="two") for op in ("Add", "Sub", "Mul", "Max", "Min")]
    cases += [
        one("Add", IMAGE, (5,), name="lower-rank"),
        one("Add", (3,), (2, 3), name="left-lower"),
        one("Mul", (2, 1, 3, 4, 5), (2, 1, 1, 4, 5), name="five"),
        one("Sub", f(4, 1, 1), IMAGE, name="constant-first"),
        one("Sum", IMAGE, IMAGE, IMAGE),
        one("Mean", IMAGE, IMAGE, IMAGE),
        one("Mod", IMAGE, np.float32(1.5), name="fmod", fmod=1),
        one("Pow", IMAGE, np.float32(2), name="square"),
        one("Pow", IMAGE, np.float32(3), name="cube"),
        chain("Sqrt-Div", [("Abs", ["x"], ["a"]), ("Add", ["a", "c"], ["b"]), ("Sqrt", ["b"], ["r"]),
              ("Div", ["x", "r"], ["y"])], {"x": IMAGE}, {"c": np.float32(0.1)}, expect={"RSQRT": 1, "DIV": 0}),
        chain("Reciprocal", [("Abs", ["x"], ["a"]), ("Add", ["a", "c"], ["b"]), ("Reciprocal", ["b"], ["y"])],
              {"x": IMAGE}, {"c": np.float32(0.5)}),
        chain("Where", [("Greater", ["x", "c"], ["b"]), ("Where", ["b", "x", "z"], ["y"])], {"x": IMAGE},
              {"c": np.float32(0.1), "z": f(4, 1, 1)}),
        chain("logic", [("Greater", ["x", "c"], ["a"]), ("Less", ["x", "d"], ["b"]), ("Or", ["a", "b"], ["e"]),
              ("And", ["a", "e"], ["g"]), ("Xor", ["g", "b"], ["h"]), ("Not", ["h"], ["k"]),
              ("Cast", ["k"], ["y"], {"to": 1})], {"x": IMAGE}, {"c": np.float32(0), "d": np.float32(-0.3)}),
        chain("compare", [("GreaterOrEqual", ["x", "c"], ["a"]), ("LessOrEqual", ["x", "c"], ["b"]),
              ("Equal", ["a", "b"], ["e"]), ("Cast", ["e"], ["y"], {"to": 1})], {"x": (3, 4)}, {"c": f(4)}),
        chain("Cast", [("Cast", ["x"], ["a"], {"to": 6}), ("Cast", ["a"], ["b"], {"to": 9}),
              ("Cast", ["b"], ["y"], {"to": 1})], {"x": (3, 4)}),
        chain("Clip-computed", [("Abs", ["l"], ["h"]), ("Clip", ["x", "", "h"], ["y"])], {"x": (3, 4), "l": ()}),
    ]  # fmt: skip
    return cases


def _unary() -> list[Case]:
    plain = [
        "Abs", "Neg", "Exp", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Floor", "Ceil", "Round", "Sign", "Erf", "Tanh",
        "Sigmoid", "Relu", "Elu", "Selu", "Celu", "Softplus", "Softsign", "HardSigmoid", "HardSwish", "LeakyRelu",
        "ThresholdedRelu", "Shrink", "Identity", "Dropout",
    ]  # fmt: skip
    cases = [one(op, IMAGE) for op in plain]
    cases += [
        one("Mish", IMAGE, opset=18),
        one("Gelu", IMAGE, opset=20),
        one("Gelu", IMAGE, opset=20, approximate="tanh", name="tanh"),
        one("Elu", IMAGE, alpha=0.5, name="half"),
        one("HardSigmoid", IMAGE, alpha=1 / 6, beta=0.5, name="sixth", expect={"MUL": 1}),
        one("Shrink", IMAGE, lambd=0.3, bias=0.1, name="bias"),
        one("Clip", IMAGE, np.float32(0), np.float32(6), name="six", expect={"RELU6": 1}),
        one("Clip", IMAGE, np.float32(-0.5), np.float32(0.5)),
        one("Clip", IMAGE, np.float32(0), name="low", expect={"RELU": 1}),
        one("Clip", IMAGE, opset=9, min=-0.1, max=0.7, name="attributes"),
        one("PRelu", IMAGE, f(4, 1, 1), expect={"PRELU": 1}),
        one("PRelu", IMAGE, f(1), name="one", expect={"LEAKY_RELU": 1}),
        one("PRelu", (3, 4), f(4), name="flat"),
        one("Softmax", (1, 7), expect={"SOFTMAX": 1, "TRANSPOSE": 0}),
        one("Softmax", IMAGE, axis=1, name="channels"),
        one("Softmax", (2, 3, 4), opset=11, axis=1, name="flattens"),
        one("Softmax", (1, 2, 3, 4, 5), axis=-1, name="five"),
        one("LogSoftmax", (2, 7)),
        one("Hardmax", (3, 7)),
        chain("Log", [("Abs", ["x"], ["a"]), ("Add", ["a", "c"], ["b"]), ("Log", ["b"], ["y"])], {"x": IMAGE},
              {"c": np.float32(0.5)}),
        chain("Sqrt", [("Abs", ["x"], ["a"]), ("Sqrt", ["a"], ["y"])], {"x": IMAGE}),
        chain("IsNaN", [("IsNaN", ["x"], ["a"]), ("Cast", ["a"], ["y"], {"to": 1})], {"x": (3, 4)}),
        chain("IsInf", [("IsInf", ["x"], ["a"]), ("Cast", ["a"], ["y"], {"to": 1})], {"x": (3, 4)}),
        chain("Gelu-pieces", [("Div", ["x", "r"], ["a"]), ("Erf", ["a"], ["b"]), ("Add", ["b", "o"], ["c"]),
              ("Mul", ["x", "c"], ["d"]), ("Mul", ["d", "h"], ["y"])], {"x": IMAGE},
              {"r": np.float32(2**0.5), "o": np.float32(1), "h": np.float32(0.5)}, expect={"GELU": 1, "MUL": 0}),
        chain("Gelu-pieces-tanh", [("Pow", ["x", "t"], ["a"]), ("Mul", ["a", "k"], ["b"]), ("Add", ["x", "b"], ["c"]),
              ("Mul", ["c", "s"], ["d"]), ("Tanh", ["d"], ["e"]), ("Add", ["e", "o"], ["g"]),
              ("Mul", ["x", "h"], ["i"]), ("Mul", ["i", "g"], ["y"])], {"x": IMAGE},
              {"t": np.float32(3), "k": np.float32(0.044715), "s": np.float32((2 / np.pi) ** 0.5),
               "o": np.float32(1), "h": np.float32(0.5)}, expect={"GELU": 1, "TANH": 0}),
        chain("HardSwish-pieces", [("Add", ["x", "t"], ["a"]), ("Clip", ["a", "z", "s"], ["b"]),
              ("Mul", ["x", "b"], ["c"]), ("Div", ["c", "s"], ["y"])], {"x": IMAGE},
              {"t": np.float32(3), "z": np.float32(0), "s": np.float32(6)}, expect={"HARD_SWISH": 1, "MUL": 0}),
        chain("HardSwish-sigmoid", [("HardSigmoid", ["x"], ["a"], {"alpha": 1 / 6, "beta": 0.5}),
              ("Mul", ["a", "x"], ["y"])], {"x": IMAGE}, expect={"HARD_SWISH": 1}),
        chain("Relu6-pieces", [("Min", ["x", "s"], ["a"]), ("Max", ["a", "z"], ["y"])], {"x": IMAGE},
              {"z": np.float32(0), "s": np.float32(6)}, expect={"RELU6": 1}),
        chain("Silu", [("Sigmoid", ["x"], ["a"]), ("Mul", ["x", "a"], ["y"])], {"x": IMAGE}),
    ]  # fmt: skip
    return cases


def _convolutions() -> list[Case]:
    w = f(6, 4, 3, 3)
    b = f(6)
    cases = [
        one("Conv", IMAGE, w, b, name="valid", expect={"CONV_2D": 1, "PAD": 0, "TRANSPOSE": 0}),
        one("Conv", IMAGE, w, b, pads=[1, 1, 1, 1], name="same", expect={"PAD": 0}),
        one("Conv", IMAGE, w, pads=[1, 1, 1, 1], strides=[2, 2], name="stride"),
        one("Conv", IMAGE, w, b, auto_pad="SAME_UPPER", strides=[2, 2], name="upper", expect={"PAD": 0}),
        one("Conv", IMAGE, w, b, auto_pad="SAME_LOWER", strides=[2, 1], name="lower"),
        one("Conv", IMAGE, w, b, auto_pad="VALID", name="auto-valid"),
        one("Conv", IMAGE, w, b, pads=[0, 1, 2, 0], name="uneven"),
        one("Conv", (1, 4, 9, 9), w, b, dilations=[2, 2], pads=[2, 2, 2, 2], name="dilated"),
        one("Conv", IMAGE, f(4, 1, 3, 3), f(4), group=4, pads=[1, 1, 1, 1], name="depthwise",
            expect={"DEPTHWISE_CONV_2D": 1}),
        one("Conv", IMAGE, f(8, 1, 3, 3), f(8), group=4, name="depthwise-two"),
        one("Conv", (1, 4, 9, 9), f(4, 1, 3, 3), group=4, dilations=[2, 2], name="depthwise-dilated"),
        one("Conv", IMAGE, f(6, 2, 3, 3), f(6), group=2, name="grouped", expect={"SPLIT": 1}),
        one("Conv", (1, 4, 12), f(6, 4, 3), f(6), pads=[1, 1], name="one-dimensional"),
        one("Conv", (1, 4, 12), f(4, 1, 3), f(4), group=4, dilations=[2], pads=[4, 0], name="causal"),
        one("Conv", (2, 4, 5, 5), w, b, name="batch"),
        one("ConvTranspose", IMAGE, f(4, 3, 2, 2), f(3), strides=[2, 2]),
        one("ConvTranspose", IMAGE, f(4, 3, 3, 3), f(3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1],
            name="padding"),
        one("ConvTranspose", IMAGE, f(4, 3, 3, 3), strides=[2, 1], pads=[1, 0, 0, 1], name="uneven"),
        one("ConvTranspose", IMAGE, f(4, 2, 3, 3), f(4), group=2, strides=[2, 2], name="grouped"),
        one("ConvTranspose", IMAGE, f(4, 3, 3, 3), f(3), dilations=[2, 2], name="dilated"),
        one("ConvTranspose", IMAGE, f(4, 3, 2, 2), f(3), strides=[3, 3], output_padding=[1, 2], name="gap"),
        one("ConvTranspose", IMAGE, f(4, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2], name="upper"),
        one("ConvTranspose", (1, 4, 9), f(4, 3, 4), f(3), strides=[2], pads=[1, 1], name="one-dimensional"),
        chain("Conv-BatchNorm-Relu", [("Conv", ["x", "w", "b"], ["a"]),
              ("BatchNormalization", ["a", "s", "t", "m", "v"], ["c"]), ("Relu", ["c"], ["y"])], {"x": IMAGE},
              {"w": f(4, 4, 3, 3), "b": f(4), **dict(zip("stmv", BN))}, expect={"CONV_2D": 1, "MUL": 0, "RELU": 0}),
        chain("ConvTranspose-BatchNorm", [("ConvTranspose", ["x", "w"], ["a"], {"strides": [2, 2], "group": 2}),
              ("BatchNormalization", ["a", "s", "t", "m", "v"], ["y"])], {"x": IMAGE},
              {"w": f(4, 2, 2, 2), **dict(zip("stmv", BN))}, expect={"MUL": 0}),
        chain("Conv-Mul-Add", [("Conv", ["x", "w"], ["a"]), ("Mul", ["a", "k"], ["c"]), ("Add", ["c", "d"], ["y"])],
              {"x": IMAGE}, {"w": f(6, 4, 1, 1), "k": f(6, 1, 1), "d": f(1, 6, 1, 1)}, expect={"MUL": 0, "ADD": 0}),
        chain("Pad-Conv", [("Pad", ["x", "p"], ["a"]), ("Conv", ["a", "w"], ["y"])], {"x": IMAGE},
              {"w": w, "p": i(0, 0, 1, 1, 0, 0, 1, 1)}, expect={"PAD": 0}),
        chain("Conv-Relu6", [("Conv", ["x", "w"], ["a"]), ("Clip", ["a", "z", "s"], ["y"])], {"x": IMAGE},
              {"w": w, "z": np.float32(0), "s": np.float32(6)}, expect={"RELU6": 0}),
    ]  # fmt: skip
    return cases


def _pools() -> list[Case]:
    positive = [("Relu", ["x"], ["r"])]
    return [
        one("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 2]),
        one("MaxPool", (1, 4, 8, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], name="padded"),
        one("MaxPool", (1, 4, 8, 8), kernel_shape=[5, 5], pads=[2, 2, 2, 2], name="same", expect={"MIRROR_PAD": 0}),
        one("MaxPool", (1, 4, 7, 7), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, name="ceil"),
        one("MaxPool", (1, 4, 6, 6), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, name="ceil-over"),
        one("MaxPool", (1, 4, 9, 9), kernel_shape=[2, 2], dilations=[2, 2], name="dilated"),
        one("MaxPool", (1, 4, 12), kernel_shape=[3], strides=[2], pads=[1, 1], name="one-dimensional"),
        chain("MaxPool-Relu", [*positive, ("MaxPool", ["r"], ["y"], {"kernel_shape": [3, 3], "strides": [2, 2],
              "pads": [1, 1, 1, 1]})], {"x": (1, 4, 8, 8)}, expect={"PAD": 1, "MIRROR_PAD": 0}),
        chain("MaxPool-Silu", [("Sigmoid", ["x"], ["s"]), ("Mul", ["x", "s"], ["r"]), ("MaxPool", ["r"], ["y"],
              {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})], {"x": (1, 4, 8, 8)},
              expect={"PADV2": 1}),
        one("AveragePool", IMAGE, kernel_shape=[2, 2], strides=[2, 2]),
        one("AveragePool", (1, 4, 8, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], name="padded"),
        one("AveragePool", (1, 4, 8, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
            count_include_pad=1, name="include"),
        one("AveragePool", (1, 4, 8, 8), kernel_shape=[3, 3], pads=[1, 1, 1, 1], name="same", expect={"PAD": 0}),
        one("AveragePool", (1, 4, 6, 6), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, opset=19, name="ceil"),
        one("AveragePool", (1, 4, 6, 6), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1,
            pads=[1, 1, 1, 1], opset=19, name="ceil-include"),
        one("AveragePool", (1, 4, 12), kernel_shape=[4], strides=[4], name="one-dimensional"),
        one("AveragePool", (1, 4, 7, 7), kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER", name="lower"),
        one("GlobalAveragePool", IMAGE, expect={"MEAN": 1, "TRANSPOSE": 0}),
        one("GlobalMaxPool", IMAGE),
    ]  # fmt: skip


def _reductions() -> list[Case]:
    cases = []
    for op in ("Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp"):
        cases.append(one(f"Reduce{op}", IMAGE, axes=[1], name="channel"))
        cases.append(one(f"Reduce{op}", IMAGE, axes=[2, 3], keepdims=0, name="image"))
    cases += [
        one("ReduceSum", IMAGE, i(1), keepdims=0),
        one("ReduceSum", IMAGE, i(-1), name="last"),
        one("ReduceSum", IMAGE, None, noop_with_empty_axes=1, name="none"),
        one("ReduceMean", IMAGE, name="all", keepdims=0),
        one("ReduceMean", IMAGE, i(1, 2), opset=18, name="newer"),
        chain(
            "ReduceLogSum",
            [("Abs", ["x"], ["a"]), ("ReduceLogSum", ["a"], ["y"], {"axes": [1]})],
            {"x": IMAGE},
        ),
        one("ArgMax", IMAGE, axis=1),
        one("ArgMax", IMAGE, axis=1, keepdims=0, name="drop"),
        one("ArgMin", IMAGE, axis=3),
    ]
    return cases


def _moves() -> list[Case]:
    cases = [
        one("Transpose", (2, 3, 4), perm=[1, 0, 2]),
        one("Transpose", (2, 3, 4), name="default"),
        one("Transpose", (1, 3, 4, 5), perm=[0, 2, 3, 1], name="nhwc"),
        one("Reshape", IMAGE, i(1, -1)),
        one("Reshape", IMAGE, i(0, 2, 2, -1, 5), name="five"),
        one("Flatten", IMAGE),
        one("Flatten", (2, 3, 4), axis=2, name="two"),
        one("Squeeze", (1, 4, 1, 5), i(0, 2)),
        one("Squeeze", (1, 4, 1, 5), opset=11, axes=[2], name="older"),
        one("Unsqueeze", (4, 5), i(0, 3)),
        one("Unsqueeze", (4, 5), opset=11, axes=[1], name="older"),
        one("Concat", IMAGE, IMAGE, axis=1),
        one("Concat", (2, 3), f(2, 2), axis=-1, name="constant"),
        one("Split", IMAGE, i(2, 2), outputs=2, axis=1, expect={"SPLIT": 1}),
        one("Split", IMAGE, i(1, 3), outputs=2, axis=1, name="unequal", expect={"SPLIT_V": 0}),
        one("Split", IMAGE, opset=11, outputs=2, axis=2, split=[2, 4], name="older"),
        one("Split", (6, 4), opset=18, outputs=3, num_outputs=3, name="count"),
        one("Slice", IMAGE, i(1, 0), i(3, 4), i(1, 2)),
        one("Slice", IMAGE, i(0), i(9223372036854775807), i(3), i(2), name="step"),
        one("Slice", IMAGE, i(-1), i(-9223372036854775807), i(2), i(-1), name="back"),
        one("Slice", (1, 3, 9), i(-2), i(0), i(2), i(-3), name="back-step"),
        one("Slice", IMAGE, opset=9, starts=[0, 1], ends=[1, 3], axes=[0, 1], name="older"),
        one("Pad", IMAGE, i(0, 0, 1, 2, 0, 0, 0, 1)),
        one("Pad", IMAGE, i(0, 1, 0, 0, 0, 1, 0, 0), np.float32(0.5), name="value"),
        one("Pad", IMAGE, i(0, 0, 2, 1, 0, 0, 1, 2), mode="reflect", name="reflect"),
        one("Pad", IMAGE, i(0, 0, 1, 1, 0, 0, 1, 1), mode="edge", name="edge", expect={"MIRROR_PAD": 1}),
        one("Pad", IMAGE, i(0, 0, 2, 3, 0, 0, 1, 1), mode="edge", name="edge-wide"),
        one("Pad", IMAGE, i(0, 0, 2, 1, 0, 0, 1, 1), mode="wrap", opset=19, name="wrap"),
        one("Pad", IMAGE, i(0, 0, -1, 1, 0, 0, 0, -1), name="negative"),
        one("Pad", IMAGE, i(1, 2, 1, 0), None, i(2, 3), opset=18, name="axes"),
        one("Pad", IMAGE, opset=10, pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.0, name="older"),
        one("Expand", (1, 4, 1, 5), i(1, 4, 6, 5)),
        one("Expand", (4, 1), i(2, 4, 3), name="rank"),
        one("Tile", (2, 3), i(2, 2)),
        one("DepthToSpace", (1, 12, 3, 2), blocksize=2),
        one("DepthToSpace", (1, 12, 3, 2), blocksize=2, mode="CRD", name="crd"),
        one("SpaceToDepth", (1, 3, 4, 6), blocksize=2),
        one("Trilu", (4, 5), upper=1),
        one("Trilu", (1, 4, 4), i(-1), upper=0, name="lower"),
        one("ReverseSequence", (5, 2, 3), i(5, 5), batch_axis=1, time_axis=0),
        chain("shuffle", [("Reshape", ["x", "a"], ["b"]), ("Transpose", ["b"], ["c"], {"perm": [0, 2, 1, 3, 4]}),
              ("Reshape", ["c", "d"], ["e"]), ("Conv", ["e", "w"], ["y"])], {"x": (1, 6, 4, 4)},
              {"a": i(1, 2, 3, 4, 4), "d": i(1, 6, 4, 4), "w": f(3, 6, 1, 1)}, expect={"TRANSPOSE": 0}),
        chain("pixel-shuffle", [("Reshape", ["x", "a"], ["b"]), ("Transpose", ["b"], ["c"],
              {"perm": [0, 1, 4, 2, 5, 3]}), ("Reshape", ["c", "d"], ["y"])], {"x": (1, 12, 3, 4)},
              {"a": i(1, 3, 2, 2, 3, 4), "d": i(1, 3, 6, 8)}, expect={"DEPTH_TO_SPACE": 1}),
        chain("pixel-unshuffle", [("Reshape", ["x", "a"], ["b"]), ("Transpose", ["b"], ["c"],
              {"perm": [0, 1, 3, 5, 2, 4]}), ("Reshape", ["c", "d"], ["e"]), ("Conv", ["e", "w"], ["y"])],
              {"x": (1, 3, 6, 8)}, {"a": i(1, 3, 3, 2, 4, 2), "d": i(1, 12, 3, 4), "w": f(2, 12, 1, 1)},
              expect={"SPACE_TO_DEPTH": 1}),
        chain("focus", [
            *[("Slice", ["x", f"s{k}", "e", "h", "t"], [f"a{k}"]) for k in (0, 1)],
            *[("Slice", [f"a{k % 2}", f"s{k // 2}", "e", "v", "t"], [f"b{k}"]) for k in range(4)],
            ("Concat", ["b0", "b1", "b2", "b3"], ["c"], {"axis": 1}), ("Conv", ["c", "w"], ["y"])],
            {"x": (1, 3, 6, 8)}, {"s0": i(0), "s1": i(1), "e": i(99), "h": i(2), "v": i(3), "t": i(2),
            "w": f(2, 12, 1, 1)}, expect={"SPACE_TO_DEPTH": 1, "STRIDED_SLICE": 0}),
        chain("Expand-Add", [("Expand", ["x", "s"], ["a"]), ("Add", ["a", "z"], ["y"])],
              {"x": (1, 4, 1, 1), "z": IMAGE}, {"s": i(1, 4, 6, 5)}, expect={"TILE": 0}),
        chain("flatten-dense", [("Conv", ["x", "k"], ["a"]), ("Flatten", ["a"], ["b"]), ("Gemm", ["b", "w", "c"],
              ["y"], {"transB": 1})], {"x": IMAGE}, {"k": f(3, 4, 3, 3), "w": f(7, 36), "c": f(7)},
              expect={"TRANSPOSE": 0}),
        chain("same-input-out", [("Identity", ["x"], ["y"]), ("Relu", ["x"], ["z"])], {"x": IMAGE}, {}, ("y", "z")),
        chain("constant-out", [("Relu", ["x"], ["y"]), ("Add", ["c", "c"], ["z"])], {"x": (1, 3)},
              {"c": f(1, 3)}, ("y", "z")),
    ]  # fmt: skip
    return cases


def _index() -> list[Case]:
    cases = [
        one("Gather", IMAGE, i(0, 2, 3), axis=1),
        one("Gather", IMAGE, np.array(2), axis=1, name="scalar"),
        one("Gather", IMAGE, i(3, 1, 2), axis=2, name="order"),
        one("Gather", (5, 4), np.array([[0, 1], [4, -1]]), axis=0, name="matrix"),
        one("GatherElements", (3, 4), np.array([[0, 1, 2, 0]]), axis=0),
        one("GatherND", (2, 3, 4), np.array([[0, 1], [1, 2]])),
        one("ScatterElements", (3, 4), np.array([[1, 0, 2, 0]]), f(1, 4), axis=0),
        one("ScatterND", (4, 5), np.array([[1], [3]]), (2, 5)),
        one("TopK", (2, 9), i(3), outputs=2),
        one("TopK", (9, 2), i(3), outputs=2, largest=0, axis=0, name="smallest"),
        one("CumSum", (2, 5), np.array(1)),
        one("CumSum", (2, 5), np.array(0), exclusive=1, reverse=1, name="reverse"),
        chain("embedding", [("Gather", ["w", "x"], ["y"])], {"x": ((1, 3), np.int64)}, {"w": f(5, 4)}),
        chain("OneHot", [("OneHot", ["x", "d", "v"], ["y"])], {"x": ((1, 3), np.int64)},
              {"d": np.array(5), "v": np.array([0, 1], np.float32)}),
        chain("OneHot-axis", [("OneHot", ["x", "d", "v"], ["y"], {"axis": 1})], {"x": ((2, 3), np.int64)},
              {"d": np.array(5), "v": np.array([0, 1], np.float32)}),
        chain("top-boxes", [("ReduceMax", ["s"], ["m"], {"axes": [2], "keepdims": 0}), ("TopK", ["m", "k"], ["v", "i"]),
              ("Unsqueeze", ["i", "a"], ["u"]), ("Expand", ["u", "e"], ["g"]),
              ("GatherElements", ["b", "g"], ["y"], {"axis": 1})], {"s": (1, 9, 3), "b": (1, 9, 4)},
              {"k": i(3), "a": i(2), "e": i(1, 3, 4)}, expect={"GATHER": 1, "GATHER_ND": 0}),
        chain("GatherElements-computed", [("ArgMax", ["s"], ["i"], {"axis": 1}),
              ("GatherElements", ["s", "i"], ["y"], {"axis": 1})], {"s": (3, 4)}),
        chain("slice-assign", [("ScatterND", ["x", "i", "u"], ["y"])], {"x": (4, 5), "u": (1, 5)},
              {"i": np.array([[2]])}),
    ]  # fmt: skip
    return cases


def _matrices() -> list[Case]:
    return [
        one("Gemm", (1, 8), f(8, 3), f(3), expect={"FULLY_CONNECTED": 1}),
        one("Gemm", (4, 8), f(3, 8), f(3), transB=1, alpha=0.5, beta=2.0, name="scaled", expect={"CONV_2D": 1}),
        one("Gemm", (8, 4), f(8, 3), transA=1, name="turned"),
        one("Gemm", (4, 8), (8, 3), (3,), name="values"),
        one("Gemm", (4, 8), f(8, 3), f(4, 1), name="row-bias"),
        one("MatMul", (1, 8), f(8, 3)),
        one("MatMul", (2, 5, 8), f(8, 3), name="three"),
        one("MatMul", (2, 5, 8), (2, 8, 3), name="batch"),
        one("MatMul", (1, 2, 5, 8), (1, 2, 8, 3), name="heads"),
        one("MatMul", (2, 3, 5, 8), (1, 3, 8, 3), name="broadcast"),
        one("MatMul", f(3, 5), (5, 4), name="constant-left"),
        one("MatMul", (8,), f(8, 3), name="vector"),
        one("MatMul", (2, 8), (8,), name="right-vector"),
        one("MatMul", (1, 2, 3, 5, 8), (1, 2, 3, 8, 4), name="five"),
        one("Einsum", (2, 3, 4), (2, 4, 5), equation="bij,bjk->bik"),
        one("Einsum", (1, 4, 3, 5), (1, 6, 3, 5), equation="bqhd,bkhd->bhqk", name="attention"),
        one("Einsum", (3, 4), equation="ij->ji", name="turn"),
        one("Einsum", (3, 4), (4,), equation="ij,j->i", name="vector"),
        one("Einsum", (1, 3, 4), f(4, 5), f(5, 2), equation="bij,jk,kl->bil", name="three"),
        one("Einsum", (2, 3, 4), f(4, 5), equation="...j,jk->...k", name="dots"),
        one("Einsum", (2, 3, 4), (4, 3), equation="...ij,ji", name="dots-implicit"),
        one("Einsum", (2, 4, 4), equation="bii->bi", name="diagonal"),
        one("Einsum", (3, 3), equation="ii", name="trace"),
        chain("MatMul-Add-Relu", [("MatMul", ["x", "w"], ["a"]), ("Add", ["b", "a"], ["c"]), ("Relu", ["c"], ["y"])],
              {"x": (1, 4, 8)}, {"w": f(8, 3), "b": f(3)}, expect={"ADD": 0, "RELU": 0}),
        chain("attention", [
            ("MatMul", ["x", "q"], ["a"]), ("Reshape", ["a", "h"], ["b"]),
            ("Transpose", ["b"], ["c"], {"perm": [0, 2, 1, 3]}),
            ("MatMul", ["x", "k"], ["d"]), ("Reshape", ["d", "h"], ["e"]),
            ("Transpose", ["e"], ["g"], {"perm": [0, 2, 3, 1]}),
            ("MatMul", ["c", "g"], ["s"]), ("Mul", ["s", "n"], ["t"]), ("Softmax", ["t"], ["p"], {"axis": -1}),
            ("MatMul", ["p", "c"], ["o"]), ("Transpose", ["o"], ["r"], {"perm": [0, 2, 1, 3]}),
            ("Reshape", ["r", "z"], ["y"])],
            {"x": (1, 6, 8)}, {"q": f(8, 8), "k": f(8, 8), "h": i(1, 6, 2, 4), "n": np.float32(0.5), "z": i(1, 6, 8)}),
        chain("Softmax-pieces", [("ReduceMax", ["x"], ["m"], {"axes": [-1]}), ("Sub", ["x", "m"], ["d"]),
              ("Exp", ["d"], ["e"]), ("ReduceSum", ["e", "a"], ["s"]), ("Div", ["e", "s"], ["y"])],
              {"x": (2, 9)}, {"a": i(-1)}, expect={"SOFTMAX": 1, "DIV": 0, "EXP": 0}),
        chain("Softmax-bare", [("Exp", ["x"], ["e"]), ("ReduceSum", ["e", "a"], ["s"]), ("Div", ["e", "s"], ["y"])],
              {"x": (1, 4, 5)}, {"a": i(1)}, expect={"SOFTMAX": 1, "DIV": 0}),
        chain("Gemm-BatchNorm", [("Gemm", ["x", "w", "b"], ["a"], {"transB": 1}),
              ("BatchNormalization", ["a", "s", "t", "m", "v"], ["y"])], {"x": (1, 8)},
              {"w": f(4, 8), "b": f(4), **dict(zip("stmv", BN))}, expect={"MUL": 0, "ADD": 0}),
    ]  # fmt: skip


def _spectra() -> list[Case]:
    power = [("Mul", ["c", "c"], ["d"]), ("ReduceSum", ["d", "last"], ["y"], {"keepdims": 0})]
    return [
        one("DFT", (1, 12, 1), axis=1, opset=17),
        one("DFT", (2, 12, 1), axis=1, onesided=1, opset=17, name="onesided"),
        one("DFT", (1, 3, 10, 2), None, i(2)[0], opset=20, name="complex"),
        one("DFT", (1, 10, 3, 2), None, i(1)[0], inverse=1, opset=20, name="inverse"),
        one("DFT", (1, 12, 1), i(16)[0], axis=1, opset=17, name="padded"),
        one("DFT", (1, 12, 1), i(8)[0], axis=1, opset=17, name="cut"),
        one("STFT", (1, 64, 1), i(8)[0], f(16), opset=17),
        one("STFT", (1, 64, 1), i(8)[0], None, i(20)[0], onesided=0, opset=17, name="whole"),
        chain("STFT-power", [("STFT", ["x", "step", "w"], ["c"]), *power], {"x": (1, 64, 1)},
              {"step": i(8)[0], "w": f(16), "last": i(-1)}, expect={"CONV_2D": 1}),
    ]  # fmt: skip


def _norms() -> list[Case]:
    return [
        one("BatchNormalization", IMAGE, *BN),
        one("BatchNormalization", (2, 4), *BN, name="flat"),
        one("InstanceNormalization", IMAGE, f(4), f(4)),
        one("InstanceNormalization", (1, 4, 9), f(4), f(4), name="one-dimensional"),
        one("LayerNormalization", (1, 5, 8), f(8), f(8)),
        one("LayerNormalization", IMAGE, f(4, 6, 5), f(4, 6, 5), axis=1, name="wide"),
        one("GroupNormalization", IMAGE, f(4), f(4), num_groups=2, opset=21),
        one("LpNormalization", (2, 7), axis=-1),
        one("LpNormalization", IMAGE, axis=1, p=1, name="one"),
        one("LRN", IMAGE, size=3, alpha=0.1, beta=0.7),
        one("MeanVarianceNormalization", IMAGE, axes=[0, 2, 3]),
        chain("GroupNorm-pieces", [("Reshape", ["x", "a"], ["b"]), ("InstanceNormalization", ["b", "s", "t"], ["c"]),
              ("Reshape", ["c", "d"], ["e"]), ("Mul", ["e", "g"], ["h"]), ("Add", ["h", "o"], ["y"])], {"x": IMAGE},
              {"a": i(1, 2, -1), "s": np.ones(2, np.float32), "t": np.zeros(2, np.float32), "d": i(*IMAGE),
               "g": f(4, 1, 1), "o": f(4, 1, 1)}, expect={"TRANSPOSE": 0}),
    ]  # fmt: skip


def _recurrent() -> list[Case]:
    cases = []
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for direction, d in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            outputs = 3 if op == "LSTM" else 2
            cases.append(
                one(op, (4, 1, 5), f(d, gates * 3, 5), f(d, gates * 3, 3), f(d, 2 * gates * 3), hidden_size=3,
                    direction=direction, outputs=outputs, name=direction,
                    **({"linear_before_reset": 1} if op == "GRU" else {}))
            )  # fmt: skip
    cases += [
        one("GRU", (4, 1, 5), f(1, 9, 5), f(1, 9, 3), f(1, 18), hidden_size=3, outputs=2, name="reset-first"),
        one("LSTM", (3, 2, 5), f(1, 12, 5), f(1, 12, 3), None, None, (1, 2, 3), (1, 2, 3), hidden_size=3, outputs=3,
            name="state"),
    ]  # fmt: skip
    return cases


def _resizes() -> list[Case]:
    cases = []
    none = np.zeros(0, np.float32)
    up, down, odd = (np.array([1, 1, *s], np.float32) for s in ((2, 2), (0.5, 0.5), (1.7, 2.3)))
    modes = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    for mode in ("nearest", "linear", "cubic"):
        for where in modes:
            for size, scale in (("up", up), ("down", down), ("odd", odd)):
                cases.append(
                    one("Resize", IMAGE, none, scale, mode=mode, coordinate_transformation_mode=where,
                        name=f"{mode}-{where}-{size}")
                )  # fmt: skip
    cases += [
        one("Resize", IMAGE, none, up, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric", name="floor",
            expect={"RESIZE_NEAREST_NEIGHBOR": 1, "TRANSPOSE": 0}),
        one("Resize", IMAGE, none, up, mode="linear", name="bilinear", expect={"RESIZE_BILINEAR": 1}),
        one("Resize", IMAGE, none, none, i(1, 4, 9, 7), mode="linear", name="sizes"),
        one("Resize", IMAGE, none, up, mode="nearest", nearest_mode="ceil", name="ceil"),
        one("Resize", IMAGE, none, down, mode="linear", antialias=1, opset=18, name="antialias"),
        one("Resize", (1, 4, 9), none, np.array([1, 1, 2], np.float32), mode="linear", name="one-dimensional"),
        one("Upsample", IMAGE, up, opset=9, mode="nearest"),
        one("Upsample", IMAGE, up, opset=9, mode="linear", name="linear"),
    ]  # fmt: skip
    return cases


def _contributed() -> list[Case]:
    ms = "com.microsoft"
    return [
        one("Gelu", IMAGE, domain=ms, name="contributed"),
        one("FastGelu", (2, 5), f(5), domain=ms),
        one("BiasGelu", (2, 5), f(5), domain=ms),
        one("QuickGelu", (2, 5), domain=ms),
        one("FusedMatMul", (2, 5), (3, 5), transB=1, alpha=0.5, domain=ms),
        one("SkipLayerNormalization", (1, 4, 8), (1, 4, 8), f(8), f(8), domain=ms),
        one("FusedConv", IMAGE, f(3, 4, 3, 3), f(3), activation="Relu", domain=ms),
    ]


def _quantised() -> list[Case]:
    weights = np.random.default_rng(3).integers(-127, 128, (5, 3, 3, 3)).astype(np.int8)
    scales = np.linspace(0.002, 0.005, 5, dtype=np.float32)
    found = []
    for name, zero in (("int8", np.int8(-3)), ("uint8", np.uint8(120))):
        nodes = [
            ("QuantizeLinear", ["x", "scale", "zero"], ["codes"], {}),
            ("DequantizeLinear", ["codes", "scale", "zero"], ["held"], {}),
            ("DequantizeLinear", ["weights", "scales"], ["w"], {"axis": 0}),
            ("Conv", ["held", "w"], ["y"], {"pads": [1, 1, 1, 1]}),
        ]
        constants = {"scale": np.float32(0.02), "zero": zero, "weights": weights, "scales": scales}
        found.append(
            Case(f"qdq-{name}", nodes, {"x": (1, 3, 6, 5)}, constants, ["y"], expect={"FAKE_QUANT": 1})
        )
    return found


_GROUPS: Sequence[Callable[[], list[Case]]] = (
    _elementwise, _unary, _convolutions, _pools, _reductions, _moves, _index, _matrices, _spectra, _norms,
    _recurrent, _resizes, _contributed, _quantised,
)  # fmt: skip


def cases() -> list[Case]:
    """Return every case."""
    return [case for group in _GROUPS for case in group()]


def model_of(case: Case) -> bytes:
    """Return the ``.onnx`` of a case."""
    import onnx
    from onnx import helper, numpy_helper

    inputs = []
    for name, given in case.inputs.items():
        shape, dtype = given if given and isinstance(given[0], tuple) else (given, np.float32)
        inputs.append(
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
        )
    nodes = [
        helper.make_node(op, used, made, name=f"{op}_{k}", domain=case.domain, **attributes)
        for k, (op, used, made, attributes) in enumerate(case.nodes)
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in case.outputs]
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in case.constants.items()]
    graph = helper.make_graph(nodes, "case", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", case.opset)] + (
        [helper.make_opsetid(case.domain, 1)] if case.domain else []
    )
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(model.SerializeToString())
