"""ONNX to a float, channels-last ``.tflite``, by our own emitter, proved against onnxruntime."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qedge.findings import Finding
from qedge.frontends import protocol
from qedge.frontends.exported import MOST_CHARACTERS
from qedge.frontends.onnx.layout import Order
from qedge.frontends.protocol import Refusal

RUNTIME_DOMAINS = ("com.microsoft", "ai.onnx.ml")
"""Domains of operators that onnxruntime has beside ONNX's own."""


@dataclass(frozen=True)
class Converted:
    """A converted model.

    Args:
        data: the ``.tflite``.
        inputs, outputs: by the author's names, in their order: dimension i of the tensor is the author's
            dimension ``order[i]``.
        error: largest difference from onnxruntime, relative to the output's largest value.
        prover: compares further samples.
        notes: the file's own metadata, and what is noted of what was left out.
        findings: what was left out.
    """

    data: bytes
    inputs: Mapping[str, Order]
    outputs: Mapping[str, Order]
    error: float
    prover: Any
    notes: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def for_registry(self) -> protocol.Converted:
        """Return it as the registry of front ends takes it."""
        orders = {**self.inputs, **self.outputs}
        proof = Finding(
            "info", "compared", f"compared with onnxruntime: differs by {self.error:.1g} of the largest value"
        )
        return protocol.Converted(
            self.data,
            orders={name: order for name, order in orders.items() if order != tuple(range(len(order)))},
            findings=(*self.findings, proof),
            notes=self.notes,
        )


def convert(
    path: Path,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    input_values: Mapping[str, Sequence[float]] | None = None,
    samples: int = 2,
) -> Converted:
    """Return the ``.tflite`` of an ``.onnx`` file, compared with onnxruntime on random inputs.

    Args:
        path: of the file; it is only read, and external data only from its folder.
        input_shapes: shape by input name, for dynamic dimensions; ``""`` is the only input.
        input_values: value by input name, for inputs that become constants.
        samples: how many random inputs are compared.

    Raises:
        Refusal: it cannot be read, a node has no form in TFLite, or the results differ.
    """
    from qedge.frontends.onnx.reading import read_model

    return convert_proto(read_model(Path(path)), input_shapes or {}, input_values or {}, samples)


def compare(
    path: Path,
    samples: Sequence[Sequence[Any]],
    input_shapes: Mapping[str, Sequence[int]],
    input_values: Mapping[str, Sequence[float]],
) -> list[Finding]:
    """Return what comparing the conversion with onnxruntime on samples found; the same file is the same conversion.

    Args:
        samples: one array an input, as the ``.tflite`` takes them.

    Raises:
        Refusal: they differ; the first value that does is named.
    """
    import numpy as np

    from qedge.frontends.onnx.reading import read_model

    made = convert_proto(read_model(Path(path)), input_shapes, input_values, samples=0)
    dtypes = made.prover.model.dtypes
    fed = []
    for sample in samples:
        named = {}
        for (name, order), values in zip(made.inputs.items(), sample):
            turned = values.transpose(np.argsort(order)) if order else values.reshape(())
            named[name] = np.ascontiguousarray(turned).astype(dtypes[name]).reshape(turned.shape)
        fed.append(named)
    proof = made.prover.compare(fed, "your samples")
    told = f"compared with onnxruntime on {len(samples)} of your samples: differs by {proof.error:.1g}"
    return [Finding("info", "compared", f"{told} of the largest value")]


def convert_proto(
    proto: Any,
    input_shapes: Mapping[str, Sequence[int]],
    input_values: Mapping[str, Sequence[float]],
    samples: int = 2,
) -> Converted:
    """Return the ``.tflite`` of a ``ModelProto``, which is changed; see :func:`convert`."""
    try:
        return _convert(proto, input_shapes, input_values, samples)
    except (LookupError, TypeError, ValueError, ArithmeticError, AssertionError, AttributeError) as error:
        told = " ".join(str(error).split())[:200]
        raise Refusal(
            f"its graph contradicts itself ({type(error).__name__}: {told})",
            "check it with onnx.checker.check_model(path, full_check=True), and export it again",
        ) from error


def _convert(
    proto: Any,
    input_shapes: Mapping[str, Sequence[int]],
    input_values: Mapping[str, Sequence[float]],
    samples: int,
) -> Converted:
    from qedge.frontends.onnx.lower import Lowering, UnsupportedNodes
    from qedge.frontends.onnx.ops import table
    from qedge.frontends.onnx.prove import Prover
    from qedge.frontends.onnx.shapes import Model, unsupported
    from qedge.frontends.onnx.simplify import simplify
    from qedge.frontends.onnx.suppression import leave_out

    notes = {entry.key: entry.value for entry in proto.metadata_props if len(entry.value) <= MOST_CHARACTERS}
    _refuse_foreign(proto, table())
    left_out = leave_out(proto)
    notes |= left_out.notes if left_out else {}
    model = Model(proto, input_shapes, input_values)
    net = model.net()
    if not net.inputs:
        raise Refusal("it has no inputs", "an input that was fixed to a value is none any more")
    simplify(net)
    lowering = Lowering(net, table())
    try:
        inputs, outputs, orders = lowering.lower()
    except UnsupportedNodes as found:
        raise unsupported(found.problems) from None
    data = lowering.writer.pack(inputs, outputs)
    names = lowering.writer.names
    values = {
        name: (names[tensor], order)
        for name, places in lowering.places.items()
        for order, tensor in list(places.items())[:1]
        if tensor in names
    }
    prover = Prover(model, data, {n: orders[n] for n in inputs}, {n: orders[n] for n in outputs}, values)
    proof = prover.random(samples)
    findings = (left_out.finding,) if left_out else ()
    return Converted(data, prover.inputs, prover.outputs, proof.error, prover, notes, findings)


def _refuse_foreign(proto: Any, handlers: Collection[str]) -> None:
    """Refuse nodes that nobody here knows, so that nothing could say what they give.

    Raises:
        Refusal: all of them, by name.
    """
    from qedge.frontends.onnx.reading import graphs, op_name, opset_of
    from qedge.frontends.onnx.shapes import unsupported

    onnx = protocol.require("onnx", "ONNX")
    opset, found = opset_of(proto), []
    for node in (node for graph in graphs(proto.graph) for node in graph.node):
        name = op_name(node)
        if name in handlers or node.domain in RUNTIME_DOMAINS:
            continue
        if node.domain not in ("", "ai.onnx"):
            why = f"an operator of {node.domain!r}, which is no part of ONNX"
        elif not onnx.defs.has(node.op_type, min(opset, onnx.defs.onnx_opset_version())):
            why = f"no operator of ONNX's opset {opset}"
        else:
            continue
        found.append((f"{name} {node.name or next(iter(node.output), '')!r}", why))
    if found:
        raise unsupported(found)
