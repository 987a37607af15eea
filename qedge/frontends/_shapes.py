"""Static shapes for inputs whose model leaves dimensions open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qedge.frontends.protocol import Refusal

Open = Sequence["int | None"]


def static_shapes(
    inputs: Sequence[tuple[str, Open | None]], given: Mapping[str, Sequence[int]]
) -> list[tuple[int, ...]]:
    """Return every input's shape with batch 1; refuse what stays dynamic, all at once.

    Args:
        inputs: names and shapes as the model declares them, None where dynamic; None when even the rank is unknown.
        given: what the user states, by name; ``""`` is the only input.

    Raises:
        Refusal: a name that no input has, a shape that does not fit, or dimensions that nobody states.
    """
    names = [name for name, _ in inputs]
    unknown = [name for name in given if name not in names and not (name == "" and len(names) == 1)]
    if unknown:
        what = f"input {unknown[0]!r}" if unknown[0] else f"only input: it has {len(names)}"
        raise Refusal(
            f"it has no {what}; --input-shape names one",
            "its inputs: " + ", ".join(f"{name} {show(shape)}" for name, shape in inputs),
        )
    found = [_static(name, shape, given.get(name, given.get(""))) for name, shape in inputs]
    open_ones = [(name, shape) for (name, shape), settled in zip(inputs, found) if settled is None]
    if open_ones:
        said = "; ".join(
            f"the input {name!r} has the shape {show(shape)}"
            + (
                f": dimension{_plural(places)} not fixed"
                if (places := _open(shape))
                else ": its rank is not fixed"
            )
            for name, shape in open_ones
        )
        flags = " ".join(f"--input-shape {name}={_example(shape)}" for name, shape in open_ones)
        raise Refusal(said, f"state the shape, for instance: {flags}")
    return [shape for shape in found if shape is not None]


def _static(name: str, shape: Open | None, stated: Sequence[int] | None) -> tuple[int, ...] | None:
    """Return one input's static shape, None where it is not settled."""
    if stated is None:
        settled = None if shape is None else [1 if i == 0 and d is None else d for i, d in enumerate(shape)]
        return None if settled is None or None in settled else tuple(int(d) for d in settled if d is not None)
    declared: Open = list(stated) if shape is None else list(shape)
    if len(declared) == len(stated) + 1 and declared[0] in (None, 1):
        stated = [1, *stated]
    if len(stated) != len(declared) or any(d not in (None, s) for d, s in zip(declared, stated)):
        raise Refusal(
            f"the input {name!r} has the shape {show(shape)}, which {show(stated)} does not fit",
            "give every dimension, the batch of 1 included",
        )
    return tuple(int(d) for d in stated)


def _open(shape: Open | None) -> list[int]:
    return [] if shape is None else [i for i, d in enumerate(shape) if d is None and i > 0]


def _plural(places: Sequence[int]) -> str:
    return (
        f"{'s' if len(places) > 1 else ''} {', '.join(map(str, places))} {'are' if len(places) > 1 else 'is'}"
    )


def _example(shape: Open | None) -> str:
    """Return a shape that could be meant: pictures are 224 wide, sequences 100 long."""
    if shape is None:
        return "1,224,224,3"
    usual = 224 if len(shape) == 4 else 100
    return ",".join(str(d or (usual if i else 1)) for i, d in enumerate(shape))


def show(shape: Open | None) -> str:
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
