"""RESIZE_BILINEAR."""

from qedge.testing.cases import Case
from tests.ops.building import ints, q

SIZES = (
    ((3, 5), (6, 10), -128),
    ((3, 5), (7, 11), 127),
    ((7, 9), (3, 4), 0),
    ((1, 3), (5, 1), 3),
    ((5, 5), (33, 33), 3),
)
CASES = [
    Case(
        f"{size}-{out}-{flags}",
        "RESIZE_BILINEAR",
        [q((1, *size, 3), 0.1, zero), ints(*out)],
        [q((1, *out, 3), 0.1, zero)],
        dict.fromkeys(flags, True),
    )
    for size, out, zero in SIZES
    for flags in ((), ("align_corners",), ("half_pixel_centers",))
]
