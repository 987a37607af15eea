"""AVERAGE_POOL_2D, MAX_POOL_2D."""

from __future__ import annotations

from qedge.testing.cases import Case
from tests.ops.building import q


def case(
    op: str,
    name: str,
    shape: tuple[int, int, int],
    filter: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: str = "SAME",
    activation: str = "NONE",
    scale: float = 0.05,
    zero: int = 3,
) -> Case:
    """Return a case; ``shape`` is (height, width, channels)."""
    out = []
    for size, taps, step in zip(shape[:2], filter, stride):
        out.append(-(-(size if padding == "SAME" else size - taps + 1) // step))
    options = {
        "padding": padding,
        "filter_height": filter[0],
        "filter_width": filter[1],
        "stride_h": stride[0],
        "stride_w": stride[1],
        "fused_activation_function": activation,
    }
    return Case(
        f"{op}-{name}", op, [q((1, *shape), scale, zero)], [q((1, *out, shape[2]), scale, zero)], options
    )


CASES = [
    one
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D")
    for one in (
        case(op, "2x2", (6, 8, 8), (2, 2), (2, 2)),
        case(op, "2x2-odd", (5, 7, 3), (2, 2), (2, 2), zero=-128),
        case(op, "2x2-odd-valid", (5, 7, 3), (2, 2), (2, 2), "VALID", zero=127),
        case(op, "3x3", (5, 7, 5), (3, 3)),
        case(op, "3x3-stride", (7, 9, 4), (3, 3), (2, 2)),
        case(op, "3x2-stride-1-3", (5, 7, 4), (3, 2), (1, 3)),
        case(op, "global", (5, 5, 9), (5, 5), (5, 5), "VALID"),
        case(op, "global-tall", (25, 5, 4), (25, 5), (25, 5), "VALID"),
        case(op, "larger-than-input", (2, 3, 4), (4, 4)),
        case(op, "relu", (5, 5, 4), (2, 2), activation="RELU"),
        case(op, "relu6", (5, 5, 4), (2, 2), activation="RELU6"),
        case(op, "long", (1, 700, 3), (1, 301), (1, 280)),
        case(op, "one-channel", (5, 5, 1), (3, 3)),
    )
]
