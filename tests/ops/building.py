"""Short forms for case tables."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qedge.testing.cases import Case
from qedge.testing.opmodels import Spec, constant

EVERY = (-128, 127)
"""Limits of an int8 input without limits."""

PLAIN = (0.1, 3)
"""A scale and zero point where neither matters."""


def q(shape: Sequence[int], scale: float = 0.1, zero_point: int = 3) -> Spec:
    """Return an int8 tensor."""
    return Spec(tuple(shape), "int8", scale, zero_point)


def bools(shape: Sequence[int]) -> Spec:
    """Return a bool tensor."""
    return Spec(tuple(shape), "bool")


def ints(*values: Any) -> Spec:
    """Return an int32 constant: an axis, a permutation, a shape."""
    return constant(np.array(values, np.int32))


def scalar(value: int) -> Spec:
    """Return an int32 constant without dimensions."""
    return constant(np.array(value, np.int32))


def random_int8(name: str, shape: Sequence[int], low: int = -127, high: int = 127) -> Any:
    """Return int8 values that depend on ``name`` only."""
    return np.random.default_rng(zlib.crc32(name.encode())).integers(
        low, high, shape, np.int64, endpoint=True
    )


def unary(
    name: str,
    op: str,
    quantized_in: tuple[float, int],
    quantized_out: tuple[float, int],
    options: Mapping[str, Any] | None = None,
    limits: tuple[int, int] = EVERY,
    shape: tuple[int, ...] = (1, 3, 5, 51),
) -> Case:
    """Return a case with 765 values unless said otherwise, so that nearly every int8 value is an input."""
    return Case(name, op, [q(shape, *quantized_in)], [q(shape, *quantized_out)], options or {}, limits=limits)


def binary(
    op: str,
    name: str,
    a: Spec,
    b: Spec,
    out: tuple[float, int] = PLAIN,
    options: Mapping[str, Any] | None = None,
    limits: tuple[int, int] = EVERY,
) -> Case:
    """Return a case of two inputs that broadcast."""
    outputs = [q(np.broadcast_shapes(a.shape, b.shape), *out)]
    return Case(f"{op.lower()}-{name}", op, [a, b], outputs, options or {}, limits=limits)
