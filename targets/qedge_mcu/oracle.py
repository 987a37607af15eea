"""TFLite Micro as the oracle of every model that can be generated, also where its kernels lack something.

What it lacks is written in operators that it has, which compute the same bytes: a table of a function as CAST, ADD and
GATHER, slices and turns of many dimensions as GATHER, TILE as concatenations, weights of 4 bits as those of 8, the
padding of SPACE_TO_BATCH_ND, which it leaves to chance, as PAD, a choice of int32 (the places of an embedding) as a sum
of products, a bias of 32 bits that it would read as one of 64 as that, a CAST from uint8 as DEQUANTIZE, a quotient of
int32 rounded down as one that is truncated, less one where that is too much, moves of types that it does not move as
moves of float32 (``carriers.py``). All tensors keep their index. The tables themselves are held to the functions by
tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor, Node, affine
from qedge.oracle import tflm
from qedge_mcu.carriers import carried, needs_carrier
from qedge_mcu.cores import core
from qedge_mcu.ops import OpContext, find
from qedge_mcu.ops.base import Array, constant
from qedge_mcu.ops.functions import FUNCTIONS
from qedge_mcu.ops.strided_slice import block

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
BIAS = {"TRANSPOSE_CONV": 3, "DEPTHWISE_CONV_2D": 2}
"""Where the bias is of the operators whose bias TFLite Micro takes for one of 64 bits beside 16-bit activations."""
MOST_DIMENSIONS = {"STRIDED_SLICE": 4, "TRANSPOSE": 5}
"""What TFLite Micro takes."""
_LACKING = frozenset(FUNCTIONS) - {"ELU"}


def run(model: bytes, samples: Sequence[Sequence[Array]], *, inner: bool = False) -> list[tflm.Run]:
    """Return what TFLite Micro gives; see `qedge.oracle.tflm.run`."""
    runs = tflm.run(rewrite(model)[0], samples, inner=inner)
    if not inner:
        return runs
    known = len(Graph.from_bytes(model).tensors)
    return [tflm.Run(r.outputs, {t: v for t, v in r.tensors.items() if t < known}) for r in runs]


def describe(model: bytes) -> str:
    """Return the oracle's name and version, with the operators that it runs in another form."""
    replaced = rewrite(model)[1]
    form = f", {', '.join(replaced)} written in its operators" if replaced else ""
    return f"{tflm.DISTRIBUTION} {tflm.version()}{form}"


def rewrite(model: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a model that TFLite Micro runs, and the names of the operators that were replaced."""
    replaced: set[str] = set()
    while True:  # what one form is written in may need another
        graph = Graph.from_bytes(model)
        chosen = [(op, form) for op in graph if (form := _form(graph, op)) is not None]
        if not chosen:
            return model, tuple(sorted(replaced))
        editor = Editor.from_bytes(model)
        for op, form in chosen:
            editor.replace([editor.node(op.index)], form(editor, OpContext(graph, op, core("host"))))
        replaced |= {op.op for op, _ in chosen}
        model = editor.pack()


def _form(graph: Graph, op: Operator) -> Callable[[Editor, OpContext], list[Node]] | None:
    if op.op in _LACKING and graph.tensors[op.outputs[0]].dtype == "int8":
        return _table
    if op.op == "SELECT_V2" and graph.tensors[op.outputs[0]].dtype == "int32":
        return _weighed
    if op.op == "SPACE_TO_BATCH_ND" and np.any(constant(graph.tensors[op.inputs[2]])):
        return _padded
    if op.op in MOST_DIMENSIONS and len(graph.tensors[op.inputs[0]].shape) > MOST_DIMENSIONS[op.op]:
        return _gathered
    if op.op in WEIGHTED and graph.tensors[op.inputs[1]].dtype == "int4":
        return _wide
    if op.op == "FLOOR_DIV" and graph.tensors[op.outputs[0]].dtype == "int32":
        return _floor_div
    if op.op == "CAST" and graph.tensors[op.inputs[0]].dtype == "uint8":
        return _from_uint8
    if op.op in BIAS and graph.tensors[op.outputs[0]].dtype == "int16":
        bias = op.inputs[BIAS[op.op]] if len(op.inputs) > BIAS[op.op] else -1
        return _long_bias if bias >= 0 and graph.tensors[bias].dtype == "int32" else None
    if op.op == "EXPAND_DIMS" and graph.tensors[op.outputs[0]].dtype == "uint8":
        return _reshaped
    if needs_carrier(graph, op):
        return carried
    return _FORMS.get(op.op)


def _reshaped(editor: Editor, c: OpContext) -> list[Node]:
    shape = editor.constant(np.array(c.output.shape, np.int32))
    return [editor.operator("RESHAPE", [c.op.inputs[0], shape], list(c.op.outputs))]


def _long_bias(editor: Editor, c: OpContext) -> list[Node]:
    """Return the operator with its bias of 32 bits as one of 64."""
    place, made = BIAS[c.op.op], copy(editor.node(c.op.index))
    quantization = editor.tensors[c.op.inputs[place]].quantization
    made.inputs = np.array(c.op.inputs, np.int32)
    made.inputs[place] = editor.constant(constant(c.input(place)).astype(np.int64), quantization=quantization)
    return [made]


def _from_uint8(editor: Editor, c: OpContext) -> list[Node]:
    """Return a CAST from uint8 as DEQUANTIZE with the scale 1, and CASTs to what is wanted."""
    shape, label = c.output.shape, c.op.label
    codes = editor.tensor(f"{label} codes", shape, "uint8", quantization=affine(1.0))
    flat = editor.constant(np.array(shape, np.int32))
    nodes = [editor.operator("RESHAPE", [c.op.inputs[0], flat], [codes])]
    between = {"float32": [], "int32": ["float32"]}.get(c.output.dtype, ["float32", "int32"])
    made = [editor.tensor(f"{label} {t}", shape, t) for t in between]
    steps = [codes, *made, c.op.outputs[0]]
    kinds = ["DEQUANTIZE", *["CAST"] * len(made)]
    return [*nodes, *(editor.operator(k, [a], [b]) for k, a, b in zip(kinds, steps, steps[1:]))]


def _floor_div(editor: Editor, c: OpContext) -> list[Node]:
    """Return a quotient of int32 rounded down, of divisors that are not 0."""
    (a, b), result, shape = c.op.inputs, c.op.outputs[0], c.output.shape
    zero = editor.constant(np.array(0, np.int32))

    def made(name: str, like: Sequence[int] = shape, dtype: str = "int32") -> int:
        return editor.tensor(f"{c.op.label} {name}", like, dtype)

    quotient, product, rest, one = (made(n) for n in ("quotient", "product", "rest", "one"))
    signs = [made("sign of the rest"), made("sign of the divisor", c.input(1).shape)]
    below = [made("rest below", shape, "bool"), made("divisor below", c.input(1).shape, "bool")]
    some, left, differ = made("some", shape, "bool"), made("left"), made("differ")
    return [
        editor.operator("DIV", [a, b], [quotient]),
        editor.operator("MUL", [quotient, b], [product]),
        editor.operator("SUB", [a, product], [rest]),
        *(editor.operator("LESS", [x, zero], [y]) for x, y in zip((rest, b), below)),
        *(editor.operator("CAST", [x], [y]) for x, y in zip(below, signs)),
        editor.operator("SQUARED_DIFFERENCE", signs, [differ]),
        editor.operator("NOT_EQUAL", [rest, zero], [some]),
        editor.operator("CAST", [some], [left]),
        editor.operator("MUL", [left, differ], [one]),
        editor.operator("SUB", [quotient, one], [result]),
    ]


def _wide(editor: Editor, c: OpContext) -> list[Node]:
    """Return the operator with its int4 weights as int8: the same numbers mean the same."""
    weights, node = c.op.inputs[1], editor.node(c.op.index)
    quantization = editor.tensors[weights].quantization
    wide = editor.constant(constant(c.input(1)), quantization=quantization)
    made = copy(node)
    made.inputs = np.array([wide if t == weights else t for t in c.op.inputs], np.int32)
    return [made]


def _table(editor: Editor, c: OpContext) -> list[Node]:
    module = find(c)
    assert module is not None
    (array,) = module.emit(c).arrays
    shape = c.output.shape
    wide, index = (editor.tensor(f"{c.op.label} {what}", shape, "int32") for what in ("wide", "index"))
    quantization = editor.tensors[c.op.outputs[0]].quantization
    table = editor.constant(array.values, quantization=quantization)
    return [
        editor.operator("CAST", [c.op.inputs[0]], [wide]),
        editor.operator("ADD", [wide, editor.constant(np.array(128, np.int32))], [index]),
        editor.operator("GATHER", [table, index], [c.op.outputs[0]], {"axis": 0}),
    ]


def _weighed(editor: Editor, c: OpContext) -> list[Node]:
    """Return a choice between int32 values as the sum of both, one times 1 and the other times 0."""
    condition, *values = c.op.inputs
    label, shape = c.op.label, c.input(0).shape
    wholes = [np.broadcast_shapes(shape, c.input(k).shape) for k in (1, 2)]
    other = editor.tensor(f"{label} not", shape, "bool")
    factors = [editor.tensor(f"{label} factor {k}", shape, "int32") for k in range(2)]
    parts = [editor.tensor(f"{label} part {k}", whole, "int32") for k, whole in enumerate(wholes)]
    return [
        editor.operator("LOGICAL_NOT", [condition], [other]),
        *(editor.operator("CAST", [given], [made]) for given, made in zip((condition, other), factors)),
        *(editor.operator("MUL", [f, v], [made]) for f, v, made in zip(factors, values, parts)),
        editor.operator("ADD", parts, list(c.op.outputs)),
    ]


def _tile(editor: Editor, c: OpContext) -> list[Node]:
    source, shape = c.op.inputs[0], list(c.input(0).shape)
    counts = [int(n) for n in constant(c.input(1)).reshape(-1)]
    wanted = [axis for axis, count in enumerate(counts) if count != 1]
    nodes = []
    for axis in wanted or [0]:
        shape[axis] *= counts[axis]
        last = axis == (wanted or [0])[-1]
        joined = c.op.outputs[0] if last else editor.tensor_like(source, f"{c.op.label} {axis}", shape)
        nodes.append(editor.operator("CONCATENATION", [source] * counts[axis], [joined], {"axis": axis}))
        source = joined
    return nodes


def _places(c: OpContext) -> npt.NDArray[np.int32]:
    """Return for each value of the output its place in the input, of an operator that moves values."""
    if c.op.op == "TRANSPOSE":
        order = constant(c.input(1)).reshape(-1).tolist()
        return np.arange(c.input(0).elements, dtype=np.int32).reshape(c.input(0).shape).transpose(order)
    sizes, steps, start = block(c)
    places = np.full(sizes, start, np.int32)
    for axis, (size, step) in enumerate(zip(sizes, steps)):
        along = [-1 if k == axis else 1 for k in range(len(sizes))]
        places += (np.arange(size) * step).reshape(along).astype(np.int32)
    return places


def _gathered(editor: Editor, c: OpContext) -> list[Node]:
    """Return an operator that moves values, of many dimensions, as the values at their places."""
    places = _places(c)
    flat = editor.tensor_like(c.op.inputs[0], f"{c.op.label} flat", [c.input(0).elements])
    taken = editor.tensor_like(c.op.outputs[0], f"{c.op.label} taken", [places.size])
    shapes = [editor.constant(np.array(shape, np.int32)) for shape in ([c.input(0).elements], c.output.shape)]
    return [
        editor.operator("RESHAPE", [c.op.inputs[0], shapes[0]], [flat]),
        editor.operator("GATHER", [flat, editor.constant(places.reshape(-1))], [taken], {"axis": 0}),
        editor.operator("RESHAPE", [taken, shapes[1]], list(c.op.outputs)),
    ]


def _padded(editor: Editor, c: OpContext) -> list[Node]:
    pads = constant(c.input(2)).reshape(-1, 2).astype(np.int32)
    around = np.zeros((len(c.input(0).shape), 2), np.int32)
    around[1 : 1 + len(pads)] = pads
    shape = [n + int(p.sum()) for n, p in zip(c.input(0).shape, around)]
    padded = editor.tensor_like(c.op.inputs[0], f"{c.op.label} padded", shape)
    rest = [c.op.inputs[1], editor.constant(np.zeros_like(pads))]
    return [
        editor.operator("PAD", [c.op.inputs[0], editor.constant(around)], [padded]),
        editor.operator("SPACE_TO_BATCH_ND", [padded, *rest], list(c.op.outputs)),
    ]


_FORMS: Mapping[str, Callable[[Editor, OpContext], list[Node]]] = {"TILE": _tile}
