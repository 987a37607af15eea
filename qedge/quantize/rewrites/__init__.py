"""Rewrites of the float model that compute the same and quantise better, or quantise at all: one module each."""

from __future__ import annotations

from qedge.quantize.model import FloatModel
from qedge.quantize.rewrites.computed_weights import multiply_activations
from qedge.quantize.rewrites.kernels import use_kernels
from qedge.quantize.rewrites.normalisation import fold_normalisation
from qedge.quantize.rewrites.trained_ranges import keep_trained_ranges

__all__ = ["rewrite"]


def rewrite(model: FloatModel) -> FloatModel:
    """Return the model after every rewrite that needs no samples."""
    for step in (keep_trained_ranges, use_kernels, multiply_activations, fold_normalisation):
        model = step(model)
    return model
