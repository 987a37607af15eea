"""The segments of a model that several Edge TPUs share, as the bundle describes them."""

from __future__ import annotations

from typing import Any

from qedge.bundle.manifest import TensorSpec
from qedge.bundle.read import Bundle


def stage_specs(
    bundle: Bundle, described: dict[str, Any]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return (inputs, outputs) of one segment; of the whole model those of the manifest."""
    if "inputs" not in described:
        return bundle.manifest.inputs, bundle.manifest.outputs
    found = [
        tuple(TensorSpec(t["name"], tuple(t["shape"]), t["dtype"], t["scale"], t["zero_point"]) for t in side)
        for side in (described["inputs"], described["outputs"])
    ]
    return found[0], found[1]
