"""Float ``.tflite`` in, full-integer ``.tflite`` out, and the truth about what it cost."""

from qedge.quantize.check import prove_full_integer
from qedge.quantize.compare import Comparison, compare
from qedge.quantize.layers import LayerError, layer_errors
from qedge.quantize.options import Candidate, Quantized, QuantizeOptions
from qedge.quantize.quantizer import quantize, raise_precision
from qedge.quantize.recipe import METHODS, Recipe

__all__ = [
    "METHODS",
    "Candidate",
    "Comparison",
    "LayerError",
    "QuantizeOptions",
    "Quantized",
    "Recipe",
    "compare",
    "layer_errors",
    "prove_full_integer",
    "quantize",
    "raise_precision",
]
