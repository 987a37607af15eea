"""The front end of Keras files: ``.keras`` of Keras 3 and 2, ``.h5`` of Keras 1, 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from qedge.errors import ModelError
from qedge.frontends._tensorflow import ENVIRONMENT, NOISE
from qedge.frontends.candidate import Candidate
from qedge.frontends.protocol import Converted, FrontEnd, FrontEndInfo, Job, Match, Names, Need, Refusal
from qedge.frontends.trust import Hazard, check_archive
from qedge.installing import install_command

_HDF5 = b"\x89HDF\r\n\x1a\n"
_MEMBERS = {"config.json", "model.weights.h5"}


class KerasFrontEnd(FrontEnd):
    """Whole models as Keras saves them in one file."""

    info: ClassVar[FrontEndInfo] = FrontEndInfo(
        name="keras",
        title="Keras",
        takes="a .keras or .h5 file",
        needs=(
            Need("tensorflow", "tensorflow", "Keras input"),
            Need("tf_keras", "tf-keras", "files that Keras 1 and 2 saved", optional=True),
        ),
        install=install_command("keras"),
        environment=ENVIRONMENT,
        noise=NOISE,
    )

    def detect(self, candidate: Candidate) -> Match:
        """By HDF5's first bytes or the archive's members; a broken ``.keras`` is told by its name."""
        if candidate.kind != "file":
            return Match.NO
        if candidate.head.startswith(_HDF5) or candidate.members.keys() >= _MEMBERS:
            return Match.CONTENT
        named = candidate.suffix == ".keras" and candidate.is_zip
        return Match.NAME if named or _MEMBERS & candidate.members.keys() else Match.NO

    def examine(self, candidate: Candidate) -> None:
        """Refuse archives that are damaged or lack a part."""
        if not candidate.is_zip:
            return
        check_archive(candidate.path, ".keras file")
        gone = _MEMBERS - candidate.members.keys()
        if gone:
            raise ModelError(
                f"{candidate.given} is a zip file, but no .keras model: it has no"
                f" {' and no '.join(sorted(gone))}",
                hint="save the whole model again: model.save('model.keras')",
            )

    def hazards(self, job: Job) -> Sequence[Hazard]:
        """Return Lambda layers and other objects that are code, by the configuration that the file holds."""
        from qedge.frontends import _keras_hazards

        return _keras_hazards.find(job.path)

    def convert(self, job: Job) -> Converted:
        """Load the model with the Keras that wrote it, and trace it with batch 1."""
        from qedge.frontends import _keras, _tensorflow

        kind = "h5" if job.path.read_bytes()[:8] == _HDF5 else "keras"
        function, owner, inputs, outputs = _keras.traced(job.path, kind, job.input_shapes, job.trusted)
        layers = [str(layer.name) for layer in owner._flatten_layers()]
        data = _tensorflow.to_tflite(function, owner)
        return Converted(data, Names(tuple(inputs), tuple(outputs), tuple(layers)))

    def explain(self, error: BaseException) -> Refusal:
        """Return Keras' or TensorFlow's error in words that help."""
        from qedge.frontends import _tensorflow

        return _tensorflow.explain(error)


FRONT_END = KerasFrontEnd()
