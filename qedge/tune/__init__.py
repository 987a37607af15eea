"""Tuning: a quantised model learns from its float model, without labels."""

from qedge.tune.child import require_tensorflow
from qedge.tune.job import Settings
from qedge.tune.refine import Tuner, tuner_of

__all__ = ["Settings", "Tuner", "require_tensorflow", "tuner_of"]
