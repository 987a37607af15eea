"""Decoders of detectors: one module a family, each from a model's outputs to boxes, classes and scores."""
