"""Operators of a float model that no target can ever run, named with their layers before anything is calibrated."""

from __future__ import annotations

from collections.abc import Iterator

from qedge.errors import UnsupportedError
from qedge.findings import Finding
from qedge.graph import Graph, Operator
from qedge.graph.layers import kinds_with_layers, listed

LOG_MEL = (
    "leave the spectrogram out of the model and train on its values: qedge computes log-mel features of sound itself,"
    " on every target (--pre kind=log_mel)"
)
_SPECTRA = frozenset(
    {"RFFT2D", "AudioSpectrogram", "Mfcc", "FlexRFFT", "FlexDecodeWav", "FlexAudioSpectrogram"}
)
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
    findings = [
        Finding("error", "unsupported-op", listed(name, layers), _hint(name), op=name)
        for name, layers in kinds_with_layers(graph, found).items()
    ]
    said = "; ".join(f.message for f in findings)
    raise UnsupportedError(
        f"{origin} has operators that no target runs: {said}", hint=findings[0].hint, findings=findings[1:]
    )


def _unrunnable(graph: Graph) -> Iterator[tuple[str, Operator]]:
    for op in graph:
        if op.op in _SPECTRA or (op.custom_name is not None and op.custom_name not in _BUILT_IN):
            yield op.custom_name or op.op, op


def _hint(name: str) -> str:
    if name in _SPECTRA:
        return LOG_MEL
    if name.startswith("Flex"):
        return (
            "they are TensorFlow's own (SELECT_TF_OPS): replace them in the model, and convert it with TFLITE_BUILTINS"
            " only"
        )
    return "their kernels are not part of TFLite: replace them in the model, or end the model ahead of them"
