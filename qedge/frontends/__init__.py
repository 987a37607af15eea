"""Front ends: Keras files, SavedModels and ``.tflite`` files to a static float ``.tflite`` of batch 1."""

from qedge.frontends.load import load_model, prove
from qedge.frontends.source import SourceModel

__all__ = ["SourceModel", "load_model", "prove"]
