"""Operators that have no integer form, named with their layers before anything is calibrated."""

from __future__ import annotations

from collections.abc import Iterator

from qedge.errors import UnsupportedError
from qedge.graph import Graph, Operator
from qedge.graph.layers import kinds_with_layers, listed
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import default_modes
from qedge.quantize.rewrites import rewrite

_MASK = (
    "a mask passes steps over while the model runs, which takes floats: leave the mask out (Masking, or mask_zero of an"
    " Embedding) and train on sequences of one length, filled up with zeros"
)
_OTHER = (
    "replace what computes it in the model (the names are those of its layers), or end the model ahead of it"
)


_STEPS = frozenset({"ADD", "SUB", "MUL", "DIV", "CAST"})


class WithoutIntegerForm(UnsupportedError):
    """What a target of integers alone says of a model; ``kinds`` are the operators that have no integer form."""

    kinds: frozenset[str] = frozenset()


def without_integer_form(float_model: bytes, origin: str) -> WithoutIntegerForm | None:
    """Return what a target of integers alone says of a model with operators that have no integer form in any runtime.

    All of them, each kind once with its layers, whatever the samples are; None where each has one.

    Args:
        float_model: a float ``.tflite``.
        origin: path, for the message.
    """
    graph = rewrite(FloatModel.from_bytes(float_model)).graph
    found = list(_without(graph))
    if not found:
        return None
    kinds = kinds_with_layers(graph, found)
    hint = _MASK if "NOT_EQUAL" in kinds and _has_select(graph) else _OTHER
    said = "; ".join(listed(name, layers) for name, layers in kinds.items())
    error = WithoutIntegerForm(f"{origin} has operators that no int8 form exists of: {said}", hint=hint)
    error.kinds = frozenset(kinds)
    return error


def _without(graph: Graph) -> Iterator[tuple[str, Operator]]:
    given = set(graph.inputs)  # and what steps on an input alone give: those may leave the model
    for op, mode in zip(graph.operators, default_modes(graph)):
        read = [t for t in op.inputs if t >= 0 and not graph.tensors[t].is_constant]
        if op.op in _STEPS and all(t in given for t in read):
            given |= set(op.outputs)
            continue
        touched = [graph.tensors[t].dtype for t in (*op.inputs, *op.outputs) if t >= 0]
        if mode == "float" and any(dtype in ("float32", "complex64") for dtype in touched):
            yield op.custom_name or op.op, op


def _has_select(graph: Graph) -> bool:
    return any(op.op in ("SELECT", "SELECT_V2") for op in graph)
