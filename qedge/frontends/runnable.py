"""Operators of a float model that no target can ever run, named with their layers before anything is calibrated."""

from __future__ import annotations

from collections.abc import Iterator

from qedge.errors import UnsupportedError
from qedge.findings import Finding
from qedge.graph import Graph, Operator
from qedge.graph.custom_names import SPECTRA, way_out
from qedge.graph.layers import kinds_with_layers, listed

_BUILT_IN = frozenset({"TFLite_Detection_PostProcess"})
"""Custom operators whose kernels come with every TFLite runtime."""


def require_runnable(graph: Graph, origin: str) -> None:
    """Raise where a float model has custom operators, TensorFlow's own, or a spectrogram.

    Raises:
        UnsupportedError: all of them, each kind with the layers that it is in.
    """
    found = list(_unrunnable(graph))
    if not found:
        return
    findings: list[Finding] = []
    for name, layers in kinds_with_layers(graph, found).items():
        way = way_out(name)
        told = way in {f.hint for f in findings}
        findings.append(
            Finding("error", "unsupported-op", listed(name, layers), None if told else way, op=name)
        )
    said = "; ".join(f.message for f in findings)
    raise UnsupportedError(
        f"{origin} has operators that no target runs: {said}", hint=findings[0].hint, findings=findings[1:]
    )


def _unrunnable(graph: Graph) -> Iterator[tuple[str, Operator]]:
    for op in graph:
        if op.op in SPECTRA or (op.custom_name is not None and op.custom_name not in _BUILT_IN):
            yield op.custom_name or op.op, op
