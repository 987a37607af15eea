"""What a detector's outputs are read as where no decoding of its own proves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qedge.processing.detect import Detect

SIDES = 4


@dataclass(frozen=True)
class Reading:
    """What a model's outputs are, by their shapes and numbers.

    Args:
        what: in words.
        postprocess: what they mean; None where nothing tells all of it.
        data: the model, whose outputs are those that ``postprocess`` reads.
        proved: whether the model says it itself.
        hint: how to state what they mean.
        told_by: what was looked at.
    """

    what: str
    postprocess: Detect | None
    data: bytes
    proved: bool = False
    hint: str = "see the boxes of a photo or two; [postprocess] states another meaning"
    told_by: str = "by their shapes alone"


def listed(numbers: Sequence[int]) -> str:
    """Return numbers as people list them.

    >>> listed((8, 16))
    '8, 16'
    """
    return ", ".join(map(str, numbers))
