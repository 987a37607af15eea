"""The front end of TFLite: the file is the model, and nothing of it runs."""

from __future__ import annotations

from typing import ClassVar

from qedge.frontends.candidate import Candidate
from qedge.frontends.protocol import Converted, FrontEnd, FrontEndInfo, Job, Match, Need
from qedge.installing import install_command


class TFLiteFrontEnd(FrontEnd):
    """Float and full-integer ``.tflite`` files."""

    info: ClassVar[FrontEndInfo] = FrontEndInfo(
        name="tflite",
        title="TFLite",
        takes="a .tflite file",
        needs=(Need("ai_edge_litert", "ai-edge-litert", "calibrating and running .tflite models"),),
        install=install_command("host"),
        isolated=False,
    )

    def detect(self, candidate: Candidate) -> Match:
        """By the identifier at byte 4."""
        return Match.CONTENT if candidate.head[4:8] == b"TFL3" else Match.NO

    def convert(self, job: Job) -> Converted:
        """Return the file's bytes; its shapes are settled with those of all others."""
        return Converted(job.path.read_bytes(), shapes_applied=False)


FRONT_END = TFLiteFrontEnd()
