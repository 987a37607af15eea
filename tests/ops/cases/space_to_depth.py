"""SPACE_TO_DEPTH, DEPTH_TO_SPACE."""

from qedge.testing.cases import Case
from tests.ops.building import q

CASES = [
    case
    for block, height, width, depth, zero in ((2, 3, 5, 3, -128), (3, 1, 2, 1, 127), (2, 1, 1, 5, 3))
    for fine, coarse in [
        ((1, height * block, width * block, depth), (1, height, width, depth * block * block))
    ]
    for case in (
        Case(
            f"to-depth-{fine}-{block}",
            "SPACE_TO_DEPTH",
            [q(fine, 0.1, zero)],
            [q(coarse, 0.1, zero)],
            {"block_size": block},
        ),
        Case(
            f"to-space-{fine}-{block}",
            "DEPTH_TO_SPACE",
            [q(coarse, 0.1, zero)],
            [q(fine, 0.1, zero)],
            {"block_size": block},
        ),
    )
]
