"""STRIDED_SLICE: masks, negative strides, bounds outside the input."""

from qedge.testing.cases import Case
from tests.ops.building import ints, q


def case(
    name: str, shape: tuple[int, ...], first, last, step, out: tuple[int, ...], zero: int = 3, **masks: int
) -> Case:  # type: ignore[no-untyped-def]
    """Return a case with the masks given."""
    options = {f"{key}_mask": value for key, value in masks.items()}
    inputs = [q(shape, 0.1, zero), ints(*first), ints(*last), ints(*step)]
    return Case(name, "STRIDED_SLICE", inputs, [q(out, 0.1, zero)], options)


CASES = [
    case("every-second", (1, 7, 9, 3), (0, 0, 0, 0), (1, 7, 9, 3), (1, 2, 2, 1), (1, 4, 5, 3), -128),
    case("backwards", (1, 7, 9, 3), (0, 6, 8, 2), (1, 0, 0, 0), (1, -1, -3, -2), (1, 6, 3, 1), 127),
    case("negative-bounds", (1, 7, 9), (0, -5, -100), (1, -1, 100), (1, 1, 1), (1, 4, 9)),
    case("masks", (1, 7, 9), (5, 2, 3), (0, 3, 4), (1, 1, 1), (1, 7, 6), begin=0b011, end=0b111),
    case("reversed-whole", (1, 7, 9), (0, 0, 0), (1, 0, 0), (1, -1, 1), (1, 7, 9), begin=0b110, end=0b110),
    case("one-row", (1, 7, 9), (0, 3, 0), (1, 4, 9), (1, 1, 1), (1, 9), shrink_axis=0b010),
    case(
        "last-row",
        (1, 7, 9),
        (0, -1, 0),
        (0, 0, 0),
        (1, 1, 1),
        (1, 9),
        shrink_axis=0b010,
        begin=0b101,
        end=0b101,
    ),
    case("one-value", (9,), (4,), (5,), (1,), (), shrink_axis=1),
]
