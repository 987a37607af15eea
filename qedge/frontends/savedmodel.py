"""The front end of TensorFlow's SavedModel folders, whoever wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from qedge.errors import ModelError
from qedge.frontends._tensorflow import ENVIRONMENT, NOISE
from qedge.frontends.candidate import Candidate
from qedge.frontends.protocol import Converted, FrontEnd, FrontEndInfo, Job, Match, Names, Need, Refusal
from qedge.frontends.trust import Hazard
from qedge.installing import install_command

_FILE = "saved_model.pb"


class SavedModelFrontEnd(FrontEnd):
    """Folders with a ``saved_model.pb``."""

    info: ClassVar[FrontEndInfo] = FrontEndInfo(
        name="savedmodel",
        title="TensorFlow",
        takes="a SavedModel folder",
        needs=(
            Need("tensorflow", "tensorflow", "SavedModel input"),
            Need("tf_keras", "tf-keras", "SavedModels of recurrent layers that Keras 2 wrote", optional=True),
        ),
        install=install_command("keras"),
        environment=ENVIRONMENT,
        noise=NOISE,
    )

    def detect(self, candidate: Candidate) -> Match:
        """By the file that every SavedModel has."""
        if _FILE in candidate.members and candidate.kind == "folder":
            return Match.CONTENT
        return Match.CONTENT if candidate.path.name == _FILE and candidate.kind == "file" else Match.NO

    def examine(self, candidate: Candidate) -> None:
        """Refuse the file that is only a part of it."""
        if candidate.kind == "file":
            raise ModelError(
                f"{candidate.given} is one file of a SavedModel",
                hint=f"give its folder: {candidate.path.parent}",
            )

    def hazards(self, job: Job) -> Sequence[Hazard]:
        """Return operators that reach files or Python, and Lambda layers where Keras would load them."""
        from qedge.frontends import _savedmodel_hazards

        return _savedmodel_hazards.find(job.path)

    def convert(self, job: Job) -> Converted:
        """Trace the signature with batch 1; recurrent layers of Keras 2 are restored and unrolled."""
        from qedge.frontends import _keras, _savedmodel, _tensorflow

        layers: list[str] = []
        if _keras.is_recurrent_folder(job.path):
            function, owner, inputs, outputs = _keras.traced(
                job.path, "savedmodel", job.input_shapes, job.trusted
            )
            layers = [str(layer.name) for layer in owner._flatten_layers()]
        else:
            function, owner, inputs, outputs = _savedmodel.traced(job.path, job.folder, job.input_shapes)
        data = _tensorflow.to_tflite(function, owner)
        return Converted(data, Names(tuple(inputs), tuple(outputs), tuple(layers)))

    def explain(self, error: BaseException) -> Refusal:
        """Return TensorFlow's error in words that help."""
        from qedge.frontends import _tensorflow

        return _tensorflow.explain(error)


FRONT_END = SavedModelFrontEnd()
