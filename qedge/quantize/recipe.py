"""Which methods make a quantised model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qedge.errors import UsageError, unknown
from qedge.quantize.methods.ranges import RANGES

MODIFIERS = ("equalize", "headroom", "last-layer", "round")
HEADROOM = 0.2
METHODS = (*RANGES, *MODIFIERS)


@dataclass(frozen=True)
class Recipe:
    """One combination of methods.

    Args:
        ranges: range method of activations.
        equalize: share of the activations in the factors of equalisation, or None for none.
        rounding: whether weights are rounded jointly, biases corrected with them.
        last_layer: whether the layers that end the model are fitted to what the quantised layers ahead of them give.
        dense_per_channel: whether FULLY_CONNECTED weights have a scale for each output.
        headroom: share of the ranges that is added beyond what the samples show.
        mixed: (operator index, ``int16`` or ``float``) of the operators that are not int8.
        narrow: indices of the operators whose weights are int4.
        tuned: whether weights, scales and ranges are those that were learned from here on.
    """

    ranges: str = "minmax"
    equalize: float | None = None
    rounding: bool = False
    last_layer: bool = False
    dense_per_channel: bool = False
    headroom: float = 0.0
    mixed: tuple[tuple[int, str], ...] = ()
    narrow: tuple[int, ...] = ()
    tuned: bool = False

    @property
    def name(self) -> str:
        """The methods joined by ``+``: ``mse+equalize+round``."""
        parts = [self.ranges]
        if self.equalize is not None:
            parts.append(f"equalize{self.equalize:g}")
        if self.rounding:
            parts.append("round")
        if self.last_layer:
            parts.append("last-layer")
        if self.dense_per_channel:
            parts.append("dense-per-channel")
        if self.headroom:
            parts.append("headroom")
        if self.narrow:
            parts.append(f"{len(self.narrow)}xint4")
        if self.tuned:
            parts.append("tune")
        for kind in ("int16", "float"):
            count = sum(mode == kind for _, mode in self.mixed)
            if count:
                parts.append(f"{count}x{kind}")
        return "+".join(parts)

    @property
    def untuned(self) -> Recipe:
        """What learning started from."""
        return replace(self, tuned=False, mixed=())

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Return the recipe of ``--method``: a range method and modifiers, joined by ``+``.

        >>> Recipe.parse("mse+round").name
        'mse+round'

        Raises:
            UsageError: an unknown method, or two range methods.
        """
        recipe = cls()
        ranges: list[str] = []
        values: dict[str, object] = {}
        for part in text.split("+"):
            if part in RANGES:
                ranges.append(part)
            elif part == "round":
                values["rounding"] = True
            elif part == "last-layer":
                values["last_layer"] = True
            elif part == "dense-per-channel":
                values["dense_per_channel"] = True
            elif part == "headroom":
                values["headroom"] = HEADROOM
            elif part.startswith("equalize") and _share(part[8:]) is not None:
                values["equalize"] = _share(part[8:])
            else:
                raise unknown("method", part, ("auto", *METHODS))
        if len(ranges) > 1:
            raise UsageError(
                f"found the range methods {' and '.join(ranges)}, expected one",
                hint="pass --method mse+round",
            )
        return cls(ranges[0] if ranges else recipe.ranges, **values)  # type: ignore[arg-type]


def _share(text: str) -> float | None:
    """Return the number behind ``equalize``: 0.5 by default, None for anything else than 0 to 1."""
    if not text:
        return 0.5
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
