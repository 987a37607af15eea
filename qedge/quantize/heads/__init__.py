"""Detectors' heads: where the decoding begins, what it is, and the model without it."""

from qedge.quantize.heads.cut import Cut, cut_head, joined

__all__ = ["Cut", "cut_head", "joined"]
