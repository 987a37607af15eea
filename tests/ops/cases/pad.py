"""PAD, PADV2."""

from qedge.testing.cases import Case
from qedge.testing.opmodels import constant
from tests.ops.building import ints, q


def case(
    name: str, shape: tuple[int, ...], pads, scale: float = 0.1, zero: int = 3, value: int | None = None
) -> Case:  # type: ignore[no-untyped-def]
    """Return a case; ``value`` makes it PADV2."""
    out = tuple(size + before + after for size, (before, after) in zip(shape, pads))
    inputs = [q(shape, scale, zero), ints(*pads)]
    if value is not None:
        inputs.append(constant([value], "int8", scale, zero))
    return Case(name, "PAD" if value is None else "PADV2", inputs, [q(out, scale, zero)])


SIDES = ((0, 0), (1, 2), (2, 1), (0, 0))
CASES = [
    case("sides", (1, 3, 5, 7), SIDES),
    case("low-end", (1, 3, 5, 7), SIDES, zero=-128),
    case("high-end", (1, 3, 5, 7), SIDES, zero=127),
    case("channels", (1, 3, 5, 7), ((0, 0), (0, 0), (0, 0), (3, 1))),
    case("everywhere", (1, 3, 5, 7), ((1, 0), (0, 1), (2, 0), (0, 3))),
    case("nothing", (1, 3, 5, 7), ((0, 0),) * 4),
    case("vector", (5,), ((1, 2),)),
    case("rank-3", (1, 5, 3), ((0, 0), (3, 0), (0, 0))),
    case("value", (1, 3, 5, 7), SIDES, value=-77),
    case("value-128", (1, 3, 5, 1), SIDES, zero=-128, value=-128),
    case("value-127", (1, 3, 5, 1), SIDES, zero=127, value=127),
]
