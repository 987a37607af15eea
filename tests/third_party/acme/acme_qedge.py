"""A third party's front end and target, in one module: what a plug-in of qedge needs at least."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from qedge.frontends.candidate import Candidate
from qedge.frontends.protocol import Converted, FrontEnd, FrontEndInfo, Job, Match, Names, Refusal
from qedge.graph.edit import Editor
from qedge.target import CheckReport, Compiled, Placement, Target, TargetInfo, VerifyReport

MAGIC = b"ACME1\n"


class AcmeFrontEnd(FrontEnd):
    """Dense layers in a text file: ``ACME1``, then ``{"layers": [{"name", "kernel", "bias"}]}``."""

    info = FrontEndInfo(name="acme", title="Acme", takes="an .acme file")

    def detect(self, candidate: Candidate) -> Match:
        return Match.CONTENT if candidate.head.startswith(MAGIC) else Match.NO

    def convert(self, job: Job) -> Converted:
        layers = json.loads(job.path.read_bytes().removeprefix(MAGIC))["layers"]
        if not layers:
            raise Refusal("it has no layers", "add one")
        editor = Editor.empty("acme")
        x = editor.tensor("x", (1, len(layers[0]["kernel"])), "float32")
        editor.inputs = [x]
        for layer in layers:
            kernel = np.asarray(layer["kernel"], np.float32)
            weights = editor.constant(kernel.T.copy(), f"{layer['name']}/weights")
            bias = editor.constant(np.asarray(layer["bias"], np.float32), f"{layer['name']}/bias")
            y = editor.tensor(layer["name"], (1, kernel.shape[1]), "float32")
            editor.append(editor.operator("FULLY_CONNECTED", [x, weights, bias], [y]))
            x = y
        editor.outputs = [x]
        editor.sweep(share=True)
        return Converted(editor.pack(), Names(("x",), (layers[-1]["name"],)))


class AnvilTarget(Target):
    """A device that runs everything, and gets the model's size beside the model."""

    info = TargetInfo("anvil", "Acme Anvil", "For tests.", has_runtime=False)

    def check(self, request: Any) -> CheckReport:
        return CheckReport(
            (), tuple(Placement(op.index, op.op, "cpu", "always") for op in request.graph.operators)
        )

    def compile(self, request: Any) -> Compiled:
        return Compiled({"anvil.txt": f"{len(request.graph.operators)} operators\n".encode()})

    def verify(self, bundle: Path, samples: Any, options: Any) -> VerifyReport:
        return VerifyReport(True, True, "itself", "anvil", 1)


FRONT_END, TARGET = AcmeFrontEnd(), AnvilTarget()
