"""What LiteRT cannot run on a CPU: operators that are in no build of it."""

from __future__ import annotations

from qedge.graph.view import Operator

# Custom operators that every TFLite binding registers by itself.
BUILT_IN_CUSTOM = frozenset({"TFLite_Detection_PostProcess"})


def no_kernel(op: Operator) -> str | None:
    """Custom operators need a kernel that TFLite bindings have; Flex operators need TensorFlow itself."""
    if op.custom_name is None or op.custom_name in BUILT_IN_CUSTOM:
        return None
    if op.custom_name.startswith("Flex"):
        return f"{op.custom_name} needs TensorFlow's own kernels, which no TFLite binding for a Pi has"
    return f"custom operator {op.custom_name!r} has no kernel in the TFLite bindings"
