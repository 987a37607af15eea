"""The read-only view of a TFLite model that every check, target and report works on."""

from qedge.graph.view import Graph, Operator, Quantization, Tensor

__all__ = ["Graph", "Operator", "Quantization", "Tensor"]
