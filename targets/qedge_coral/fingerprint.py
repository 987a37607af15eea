"""Whether a compiled file was made from a model: its boundary, and the model's weights among its parameters.

The compiler stores the weights of a convolution or dense layer 64 output channels and 4 input channels at a time, the
outputs one after another, int8 as uint8 with 128 added; a depthwise convolution's 4 channels at a time, as
the diagonal of a 4 x 4 square of zero points. The first piece of each layer is looked for. Read off 85 compiled
models beside their sources (compilers 1 to 16), in which every such piece is found. A model without a layer of
this kind is compared by how often each byte occurs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qedge.errors import ModelError
from qedge.graph import Graph, Operator, Tensor
from qedge_coral.layout import COLUMNS, LINE, ROWS
from qedge_coral.package import CUSTOM_OP, Package

LEAST_BYTES = 16
"""A piece below this length may be there by chance."""
LINES = 64
"""Lines of a dense layer of few outputs that are compared."""
WEIGHTED = ("CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
HINT = "compile the model.tflite of this bundle, the one beside COMPILE.md, and pass what comes of it"


def check_boundary(graph: Graph, compiled: Graph) -> None:
    """Raise unless a compiled file has the inputs and outputs of the model: names, types, shapes, scales.

    Raises:
        ModelError: it was compiled from another model; the message says in what they differ.
    """
    for what, wanted, found in (
        ("input", graph.inputs, compiled.inputs),
        ("output", graph.outputs, compiled.outputs),
    ):
        if len(wanted) != len(found):
            raise ModelError(
                f"the compiled model is of another model: it has {len(found)} {what}s, expected {len(wanted)}",
                hint=HINT,
            )
        names = {compiled.tensors[t].name: compiled.tensors[t] for t in found}
        for place, index in enumerate(wanted):
            mine = graph.tensors[index]
            other = names.get(mine.name, compiled.tensors[found[place]])
            differs = _differences(mine, other)
            if differs:
                raise ModelError(
                    f"the compiled model is of another model: {what} {place} differs in {'; '.join(differs)}",
                    hint=HINT,
                )


def _differences(mine: Tensor, other: Tensor) -> list[str]:
    """Return in what two tensors differ, what was found first."""
    found = []
    if mine.name != other.name:
        found.append(f"its name, {other.name!r}, expected {mine.name!r}")
    if (mine.dtype, mine.shape) != (other.dtype, other.shape):
        here, there = f"{other.dtype}{list(other.shape)}", f"{mine.dtype}{list(mine.shape)}"
        found.append(f"its type and shape, {here}, expected {there}")
    for what, one, two in zip(("scale", "zero point"), _affine(mine), _affine(other)):
        if one != two:
            found.append(f"its {what}, {two}, expected {one}")
    return found


def _affine(tensor: Tensor) -> tuple[str, str]:
    """Return scale and zero point as text that tells any two apart."""
    if tensor.quantization is None:
        return "none", "none"
    scale, zero = tensor.quantization.scale, tensor.quantization.zero_point
    return ", ".join(f"{float(s)!r}" for s in scale), ", ".join(str(int(z)) for z in zero)


def check_weights(graph: Graph, compiled: Sequence[Graph], packages: Sequence[Package]) -> None:
    """Raise unless the weights of the model are those of the compiled files.

    Raises:
        ModelError: a layer's weights are not there: the file was made before the model was trained again.
    """
    held = [e.parameters for p in packages for e in p.executables]
    if not any(held):
        return
    cpu = {_raw(t) for g in compiled for op in g if op.custom_name != CUSTOM_OP for t in _weights(g, op)}
    layers = [op for op in graph if _weights(graph, op) and _raw(_weights(graph, op)[0]) not in cpu]
    absent, looked_for = missing(graph, layers, held)
    if absent:
        names = ", ".join(op.label for op in absent[:3])
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise ModelError(
            f"the compiled model has other weights: those of {names}{more} are not in it"
            f" ({len(absent)} of {looked_for} layers looked for)",
            hint=f"the model changed after it was compiled: {HINT}",
        )
    if not looked_for and (value := unlike(graph, layers, held)) is not None:
        raise ModelError(
            f"the compiled model has other weights: the value {value} occurs less often in its parameters than"
            " in the model's weights",
            hint=f"the model changed after it was compiled: {HINT}",
        )


def missing(graph: Graph, layers: Sequence[Operator], held: Sequence[bytes]) -> tuple[list[Operator], int]:
    """Return the layers whose weights are not in the parameters, and how many layers could be looked for."""
    everything = b"\0".join(held)
    wanted = [(op, found) for op in layers if (found := piece(graph, op)) is not None]
    absent = [op for op, found in wanted if found not in everything and not _as_given(graph, op, everything)]
    narrow = [op for op in layers if _is_narrow(graph, op)]
    absent += [
        op
        for op in narrow
        if not any(_has_narrow(graph, op, one) for one in held) and not _as_given(graph, op, everything)
    ]
    return absent, len(wanted) + len(narrow)


def _as_given(graph: Graph, op: Operator, held: bytes) -> bool:
    """Whether a layer's weights are held in the order of the model: a layout that is not known here."""
    raw = _raw(_weights(graph, op)[0])
    return len(raw) >= LEAST_BYTES and raw in held


def _is_narrow(graph: Graph, op: Operator) -> bool:
    """Whether a layer is a dense one of fewer than 4 outputs and enough inputs to be told by them."""
    weights = _weights(graph, op)
    if op.op != "FULLY_CONNECTED" or not weights:
        return False
    outputs, inputs = weights[0].shape
    flat = len(graph.tensors[op.inputs[0]].shape) != 4
    return (
        outputs < COLUMNS
        and inputs >= LEAST_BYTES
        and flat
        and len(np.unique(np.asarray(weights[0].data))) > 2
    )


def _has_narrow(graph: Graph, op: Operator, held: bytes) -> bool:
    """Whether lines that follow each other start with 4 inputs each of the few outputs of a dense layer."""
    values = _unsigned(np.asarray(_weights(graph, op)[0].data))
    outputs, steps = values.shape[0], min(values.shape[1] // COLUMNS, LINES)
    lines = np.frombuffer(held, np.uint8)[: len(held) // LINE * LINE].reshape(-1, LINE)[
        :, : outputs * COLUMNS
    ]
    cut = values[:, : steps * COLUMNS].reshape(outputs, steps, COLUMNS).transpose(1, 0, 2).reshape(steps, -1)
    starts = np.flatnonzero((lines == cut[0]).all(axis=1))
    return any(np.array_equal(lines[i : i + steps], cut) for i in starts)


def unlike(graph: Graph, layers: Sequence[Operator], held: Sequence[bytes]) -> int | None:
    """Return a byte, as stored, that the weights have more often than the parameters; None where there is none.

    Zero points do not count: the compiler leaves whole pieces of them out.
    """
    there = np.bincount(np.frombuffer(b"".join(held), np.uint8), minlength=256)
    wanted = np.zeros(256, np.int64)
    for op in layers:
        for tensor in _weights(graph, op):
            values = np.asarray(tensor.data)
            counts = np.bincount(_unsigned(values).reshape(-1), minlength=256)
            counts[_zero(tensor)] = 0
            wanted += counts
    short = np.flatnonzero(wanted > there)
    return int(short[0]) if short.size else None


def _weights(graph: Graph, op: Operator) -> list[Tensor]:
    """Return the 8-bit constant weights of a layer; empty for other operators."""
    if op.op not in WEIGHTED or len(op.inputs) < 2:
        return []
    tensor = graph.tensors[op.inputs[1]]
    known = tensor.data is not None and tensor.dtype in ("int8", "uint8") and tensor.quantization is not None
    return [tensor] if known else []


def _raw(tensor: Tensor) -> bytes:
    return np.asarray(tensor.data).tobytes()


def _zero(tensor: Tensor) -> int:
    assert tensor.quantization is not None
    return int(tensor.quantization.zero_point[0]) + (128 if tensor.dtype == "int8" else 0)


def piece(graph: Graph, op: Operator) -> bytes | None:
    """Return the first bytes of a layer's weights as the compiler stores them; None where that is not known."""
    weights = _weights(graph, op)
    if not weights or op.op == "TRANSPOSE_CONV":
        return None
    values, source = _unsigned(np.asarray(weights[0].data)), graph.tensors[op.inputs[0]]
    if op.op == "DEPTHWISE_CONV_2D":
        single = source.shape[-1] == 1
        found = _column(values, _zero(weights[0])) if single else _diagonal(values, _zero(weights[0]))
    elif op.op == "FULLY_CONNECTED" and len(source.shape) == 4 and source.shape[-1] % COLUMNS:
        found = None
    else:
        found = _rows(values)
    return found if found is not None and len(found) >= LEAST_BYTES and len(set(found)) > 1 else None


def _unsigned(values: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Return 8-bit weights as they are stored: int8 with 128 added."""
    raw = np.ascontiguousarray(values).view(np.uint8)
    return raw ^ np.uint8(0x80) if values.dtype == np.int8 else raw


def _rows(values: npt.NDArray[np.uint8]) -> bytes | None:
    """Return the first 4 input channels of up to 64 outputs, one output after another."""
    if values.shape[-1] < COLUMNS:
        return None
    flat = values.reshape(values.shape[0], -1, values.shape[-1])
    return np.ascontiguousarray(flat[:ROWS, 0, :COLUMNS]).tobytes()


def _column(values: npt.NDArray[np.uint8], zero: int) -> bytes | None:
    """Return the first tap of up to 64 outputs of a depthwise convolution on one channel, 3 zero points after each."""
    taps = values.reshape(-1, values.shape[-1])
    square = np.full((min(taps.shape[1], ROWS), COLUMNS), zero, np.uint8)
    square[:, 0] = taps[0, :ROWS]
    return square.tobytes()


def _diagonal(values: npt.NDArray[np.uint8], zero: int) -> bytes | None:
    """Return the first tap of the first 4 channels as a square whose diagonal they are."""
    taps = values.reshape(-1, values.shape[-1])
    if taps.shape[0] == 1 or taps.shape[1] < COLUMNS:
        return None
    square = np.full((COLUMNS, COLUMNS), zero, np.uint8)
    np.fill_diagonal(square, taps[0, :COLUMNS])
    return square.tobytes()
