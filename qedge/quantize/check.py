"""Proof that a model is full-integer and static; nothing is run for it."""

from __future__ import annotations

from qedge.findings import Finding
from qedge.graph import Graph, Operator

INTEGERS = {"int8", "uint8", "int16", "int32", "int64", "bool", "int4", "uint32", "uint16"}
FLOATS = {"float32", "float16", "float64", "bfloat16", "complex64"}


def prove_full_integer(graph: Graph, io: str = "auto") -> list[Finding]:
    """Return why the model is not full-integer and static; nothing when it is.

    Args:
        io: type that its inputs and outputs have; ``auto``: int8 or int16; with ``float32`` one
            QUANTIZE behind each input and one DEQUANTIZE before each output may touch floats.
    """
    findings = []
    edges = {*graph.inputs, *graph.outputs} if io == "float32" else set()
    for tensor in graph.tensors:
        used = tensor.index in graph.producer or graph.consumers[tensor.index] or tensor.index in graph.inputs
        if not used:
            continue
        if tensor.dtype in FLOATS and tensor.index not in edges:
            findings.append(
                Finding(
                    "error",
                    "float-tensor",
                    f"tensor {tensor.name!r} is {tensor.dtype}, expected an integer",
                    "quantise the float model again; operators without int8 kernels stay float",
                    op=_user(graph, tensor.index),
                    tensor=tensor.name,
                )
            )
        if not tensor.is_static:
            findings.append(
                Finding(
                    "error",
                    "dynamic-shape",
                    f"tensor {tensor.name!r} has the shape {list(tensor.shape_signature)}, expected no -1",
                    "convert the model with a fixed batch of 1",
                    op=_user(graph, tensor.index),
                    tensor=tensor.name,
                )
            )
        if tensor.dtype in ("int8", "uint8") and tensor.quantization is None:
            findings.append(
                Finding(
                    "error",
                    "no-scale",
                    f"tensor {tensor.name!r} is {tensor.dtype} without a scale",
                    "quantise the float model again",
                    op=_user(graph, tensor.index),
                    tensor=tensor.name,
                )
            )
    for op in graph.operators:
        findings += _operator(graph, op, edges)
    if len(graph.subgraphs) > 1:
        findings.append(
            Finding(
                "error",
                "subgraphs",
                f"the model has {len(graph.subgraphs)} subgraphs, expected one",
                "unroll loops before the conversion (Keras: unroll=True)",
            )
        )
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for t in tensors:
            found = graph.tensors[t].dtype
            # Indices in (embeddings) and out (ARG_MAX) are integers by nature.
            expected = ("int8", "int16") if io == "auto" else (io,)
            if found not in (*expected, "int32", "int64", "bool"):
                findings.append(
                    Finding(
                        "error",
                        "io-type",
                        f"{kind} {graph.tensors[t].name!r} is {found}, expected {' or '.join(expected)}",
                        f"build with --io {found}, or quantise again with --io {io}",
                        tensor=graph.tensors[t].name,
                    )
                )
    return findings


def _operator(graph: Graph, op: Operator, edges: set[int]) -> list[Finding]:
    allowed = {"QUANTIZE", "DEQUANTIZE"} if edges else set()
    touched = [graph.tensors[t] for t in (*op.inputs, *op.outputs) if t >= 0]
    if op.op in allowed or not any(t.dtype in FLOATS for t in touched):
        return []
    layer = graph.tensors[op.outputs[0]].label if op.outputs else op.label
    return [
        Finding(
            "error",
            "float-operator",
            f"{op.op} computes in float, in {layer!r}",
            f"it has no int8 form: replace what computes {layer!r} in the model (the names are those of its layers),"
            " or end the model ahead of it",
            op=op.label,
        )
    ]


def _user(graph: Graph, tensor: int) -> str | None:
    maker = graph.producer.get(tensor)
    if maker is not None:
        return maker.label
    readers = graph.consumers[tensor]
    return readers[0].label if readers else None
