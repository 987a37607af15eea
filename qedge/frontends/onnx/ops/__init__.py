"""Node handlers: one module a group of operators, each with a table from ONNX's operator to its handler."""

from __future__ import annotations

from functools import lru_cache

from qedge.frontends.onnx.lower import Handler


@lru_cache(maxsize=1)
def table() -> dict[str, Handler]:
    """Return the handler of every operator."""
    from qedge.frontends.onnx.ops import (
        activation,
        convolution,
        elementwise,
        index,
        matrix,
        move,
        norm,
        pool,
        quantised,
        recurrent,
        reduce,
        resize,
    )

    groups = (
        elementwise, activation, convolution, pool, reduce, move, index, matrix, norm, recurrent, resize, quantised
    )  # fmt: skip
    found: dict[str, Handler] = {}
    for group in groups:
        found.update(group.HANDLERS)
    return found
