"""Static shapes for inputs whose model leaves dimensions open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qedge.frontends.protocol import Refusal


def static_shape(
    name: str, shape: Sequence[int | None] | None, given: Mapping[str, Sequence[int]], only: bool
) -> list[int]:
    """Return an input's shape with batch 1; refuse dimensions that stay dynamic.

    Args:
        name: of the input.
        shape: as the model declares it, None where dynamic; None when even the rank is unknown.
        given: what the user states, by name; ``""`` is the only input.
        only: whether the model has this input alone.
    """
    stated = given.get(name, given.get("") if only else None)
    if stated is not None:
        declared = list(stated) if shape is None else list(shape)
        if len(declared) == len(stated) + 1 and declared[0] in (None, 1):
            stated = [1, *stated]
        if len(stated) != len(declared) or any(d not in (None, s) for d, s in zip(declared, stated)):
            raise Refusal(
                f"the input {name!r} has the shape {show(shape)}, which {show(stated)} does not fit",
                "give every dimension, the batch of 1 included",
            )
        return [int(d) for d in stated]
    if shape is None:
        raise Refusal(f"the input {name!r} has no fixed rank", f"state its shape: --input-shape {name}=1,...")
    result = [1 if i == 0 and d is None else d for i, d in enumerate(shape)]
    dynamic = [i for i, d in enumerate(result) if d is None]
    if dynamic:
        example = ",".join("?" if d is None else str(d) for d in result)
        raise Refusal(
            f"the input {name!r} has the shape {show(shape)}: dimension"
            f"{'s' if len(dynamic) > 1 else ''} {', '.join(map(str, dynamic))} is not fixed",
            f"state the shape: --input-shape {name}={example} with numbers for the question marks",
        )
    return [int(d) for d in result if d is not None]


def show(shape: Sequence[int | None] | None) -> str:
    """Return a shape for messages: ``[?, 32, 32, 3]``."""
    return "[...]" if shape is None else "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"


def check_numeric(name: str, dtype: Any) -> None:
    """Refuse an input of strings or another type that no device takes."""
    text = getattr(dtype, "name", str(dtype))
    if text in ("string", "variant", "resource", "complex64", "complex128"):
        raise Refusal(
            f"the input {name!r} is of type {text}, expected numbers",
            "move text preprocessing (StringLookup, TextVectorization) out of the model and feed its result",
        )
