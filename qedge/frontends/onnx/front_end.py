"""The front end of ONNX, which PyTorch and most other frameworks export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from qedge.errors import ModelError
from qedge.findings import Finding
from qedge.frontends.candidate import Candidate
from qedge.frontends.protocol import Converted, FrontEnd, FrontEndInfo, Job, Match, Need

_FIELDS = frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA})
"""First bytes of ModelProto's further fields: producer, domain, version, text, graph, opsets, metadata, functions."""
NEWEST_IR = 32


class OnnxFrontEnd(FrontEnd):
    """``.onnx`` files, with external data in their folder."""

    info: ClassVar[FrontEndInfo] = FrontEndInfo(
        name="onnx",
        title="ONNX",
        takes="an .onnx file",
        needs=(
            Need("onnx", "onnx", "reading .onnx files"),
            Need("onnxruntime", "onnxruntime", "folding constants and proving the conversion of .onnx files"),
            Need("ai_edge_litert", "ai-edge-litert", "running what .onnx files are converted to"),
        ),
        proves=True,
        install='pip install "qedge[onnx]"',
        noise=r"^\s*$|^INFO: |XNNPACK delegate|onnxruntime:Default",
    )

    def detect(self, candidate: Candidate) -> Match:
        """By the name and the first two fields of a message that has no magic number; by one of the two less surely."""
        head = candidate.head
        if candidate.kind != "file" or candidate.is_zip or head[4:8] == b"TFL3":
            return Match.NO
        begins = len(head) > 2 and head[0] == 0x08 and 0 < head[1] <= NEWEST_IR and head[2] in _FIELDS
        named = candidate.suffix == ".onnx"
        return Match.CONTENT if begins and named else Match.NAME if begins or named else Match.NO

    def examine(self, candidate: Candidate) -> None:
        """Refuse an empty file."""
        if candidate.size == 0:
            raise ModelError(f"{candidate.given} is empty", hint="export or copy it again")

    def convert(self, job: Job) -> Converted:
        """Emit a ``.tflite`` and compare it with onnxruntime; what does not agree is refused."""
        from qedge.frontends.onnx import convert

        made = convert(job.path, job.input_shapes, job.input_values)
        return made.for_registry()

    def prove(self, job: Job, samples: Sequence[Sequence[Any]]) -> Sequence[Finding]:
        """Compare with onnxruntime on the user's samples."""
        from qedge.frontends.onnx import compare

        return compare(job.path, samples, job.input_shapes, job.input_values)


FRONT_END = OnnxFrontEnd()
