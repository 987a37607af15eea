"""The front end of PyTorch: exported programs (``.pt2``), and modules that a function returns.

Both go through ``torch.export`` and PyTorch's own ONNX exporter, and from there the way of an ``.onnx`` file.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from qedge.archives import zip_faults
from qedge.errors import ModelError
from qedge.frontends.candidate import Candidate
from qedge.frontends.protocol import Converted, FrontEnd, FrontEndInfo, Job, Match, Need
from qedge.frontends.source import model_name
from qedge.frontends.trust import Hazard, check_archive

WAY_OUT = (
    "in Python, where the model is: program = torch.export.export(model.eval(), (torch.zeros(1, 3, 224, 224),));"
    " torch.export.save(program, 'model.pt2'); then qedge build model.pt2"
)
ULTRALYTICS_WAY_OUT = (
    "yolo export model={given} format=onnx (with the package ultralytics), then qedge build {onnx}"
)
MOST_PICKLE = 1 << 20
"""Bytes of a pickle that are looked at for the names of its classes."""
_FACTORY = re.compile(r"[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


class TorchFrontEnd(FrontEnd):
    """``.pt2`` files, and ``package.module:factory``."""

    info: ClassVar[FrontEndInfo] = FrontEndInfo(
        name="torch",
        title="PyTorch",
        takes="a .pt2 file or package.module:factory (PyTorch)",
        needs=(
            Need("torch", "torch", "PyTorch models"),
            Need("onnxscript", "onnxscript", "exporting PyTorch models"),
            Need("onnx", "onnx", "PyTorch models, by way of ONNX"),
            Need("onnxruntime", "onnxruntime", "proving the conversion of PyTorch models"),
        ),
        install='pip install "qedge[torch]"',
        environment={
            "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
            "CUDA_VISIBLE_DEVICES": "-1",
            "HOME": "{folder}",
            "TORCHINDUCTOR_CACHE_DIR": "{folder}",
        },
        noise=r"^\s*$|^INFO: |XNNPACK delegate|\[torch.onnx\]|Warning:|warnings\.warn|^  warn|deprecated",
    )

    def detect(self, candidate: Candidate) -> Match:
        """By the members of the archive, or the first bytes of a pickle; ``module:factory`` by its form."""
        if candidate.kind == "nothing":
            return Match.NAME if _FACTORY.fullmatch(candidate.given) else Match.NO
        if candidate.kind == "folder":
            return Match.NO
        if is_program(candidate) or _is_pickle(candidate):
            return Match.CONTENT
        return Match.NAME if candidate.suffix in (".pt2", ".pt", ".pth") else Match.NO

    def examine(self, candidate: Candidate) -> None:
        """Refuse pickles and TorchScript, which run code when they are read, and cut archives."""
        if candidate.kind == "nothing":
            return
        if _is_pickle(candidate):
            what = "TorchScript" if _has(candidate, "code/") else "a pickle of weights or of a module"
            raise ModelError(
                f"{candidate.given} is {what}, which can run code when it is read, and is no exported program",
                hint=_way_out(candidate),
            )
        if not candidate.is_zip:
            raise ModelError(
                f"{candidate.given} is no exported program: found {candidate.describe()}", hint=WAY_OUT
            )
        check_archive(candidate.path, ".pt2 file")
        if not is_program(candidate):
            raise ModelError(
                f"{candidate.given} is no exported program: found {candidate.describe()}", hint=WAY_OUT
            )

    def name_of(self, candidate: Candidate) -> str:
        """Return the file's name, or that of the factory."""
        if candidate.kind == "nothing":
            return model_name(Path(candidate.given.rpartition(":")[2].replace(".", "_")))
        return super().name_of(candidate)

    def hazards(self, job: Job) -> Sequence[Hazard]:
        """Return pickles inside an exported program that would do more than build tensors."""
        from qedge.frontends import _torch_hazards

        return _torch_hazards.find(job.path) if job.path.is_file() else ()

    def convert(self, job: Job) -> Converted:
        """Export to ONNX, convert that, and compare the whole with PyTorch."""
        from qedge.frontends import _torch

        return _torch.convert(job)


def is_program(candidate: Candidate) -> bool:
    """Return whether an archive is an exported program: of PyTorch 2.8 and newer, or of older ones."""
    return (_has(candidate, "archive_format") and _has(candidate, "models/")) or _has(
        candidate, "serialized_exported_program.json"
    )


def _has(candidate: Candidate, part: str) -> bool:
    """Return whether an archive has a member or folder of this name, at its top or in its only folder."""
    return any(name.startswith(part) or f"/{part}" in name for name in candidate.members)


def _is_pickle(candidate: Candidate) -> bool:
    """Return whether a file is what ``torch.save`` or ``torch.jit.save`` writes."""
    if candidate.is_zip:
        return not is_program(candidate) and _has(candidate, "data.pkl")
    return candidate.suffix in (".pt", ".pth", ".pkl", ".bin") and candidate.head[:1] == b"\x80"


def _way_out(candidate: Candidate) -> str:
    """Return how the owner of a pickle comes to a model that can be read; nothing in it is run."""
    name = next((name for name in candidate.members if name.endswith("data.pkl")), None)
    if name is None:
        return WAY_OUT
    try:
        with zipfile.ZipFile(candidate.path) as archive, archive.open(name) as pickle:
            found = b"ultralytics" in pickle.read(MOST_PICKLE)
    except zip_faults():
        return WAY_OUT
    onnx = candidate.path.with_suffix(".onnx")
    return ULTRALYTICS_WAY_OUT.format(given=candidate.given, onnx=onnx) if found else WAY_OUT


FRONT_END = TorchFrontEnd()
