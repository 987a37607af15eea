"""The recipe file: methods pinned by hand, everywhere and by operator.

::

    method = "mse+round"              # as --method; "auto" leaves the choice to the search

    [[layer]]
    match = "*depthwise*"             # name of an output, type of an operator (SOFTMAX) or position (#3)
    ranges = "percentile"             # range method of its outputs ...
    range = [-4.0, 4.0]               # ... or the range itself
    type = "int16"                    # int8, int16 (16x8) or float
    per_channel = false               # of its weights
    weights = "int4"                  # int8 or int4: the type of its weights

A later entry wins over an earlier one, key by key.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from qedge.errors import UsageError, unknown
from qedge.graph import Graph, Operator
from qedge.quantize.affine import STEPS
from qedge.quantize.methods.ranges import RANGES
from qedge.quantize.recipe import Recipe

MODES = ("int8", "int16", "float")
_KEYS = ("match", "ranges", "range", "type", "per_channel", "weights")


@dataclass(frozen=True)
class Pin:
    """What a recipe file says about the operators that ``match`` names; None leaves a choice open."""

    match: str
    ranges: str | None = None
    range: tuple[float, float] | None = None
    mode: str | None = None
    per_channel: bool | None = None
    weights: str | None = None

    def matches(self, graph: Graph, op: Operator) -> bool:
        """Whether the operator is meant: by an output's name, its type or its position."""
        names = [graph.tensors[t].name for t in op.outputs]
        return any(fnmatchcase(name, self.match) for name in (*names, op.op, f"#{op.index}"))


@dataclass(frozen=True)
class RecipeFile:
    """A recipe file that was read."""

    method: str = "auto"
    pins: tuple[Pin, ...] = ()


def read_recipe(path: Path) -> RecipeFile:
    """Return what a recipe file says.

    Raises:
        UsageError: it cannot be read, or a key or value in it is unknown; the message names ``$.path``.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read the recipe {path}: {error.strerror}", hint="check the path given to --recipe"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the recipe {path} is no TOML: {error}", hint="see docs/models_and_data.md"
        ) from error
    for key in found:
        if key not in ("method", "layer"):
            raise unknown(f"key of {path} $", key, ("method", "layer"))
    method = found.get("method", "auto")
    if not isinstance(method, str):
        raise _wrong(path, "$.method", method, "a string")
    if method != "auto":
        Recipe.parse(method)
    layers = found.get("layer", [])
    if not isinstance(layers, list):
        raise _wrong(path, "$.layer", layers, "[[layer]] tables")
    return RecipeFile(method, tuple(_pin(path, f"$.layer[{i}]", entry) for i, entry in enumerate(layers)))


def _pin(path: Path, where: str, entry: Any) -> Pin:
    if not isinstance(entry, Mapping):
        raise _wrong(path, where, entry, "a table")
    for key in entry:
        if key not in _KEYS:
            raise unknown(f"key of {path} {where}", key, _KEYS)
    match, ranges, mode = entry.get("match"), entry.get("ranges"), entry.get("type")
    if not isinstance(match, str) or not match:
        raise _wrong(path, f"{where}.match", match, "a pattern such as *conv*")
    if ranges is not None and ranges not in RANGES:
        raise unknown(f"range method of {path} {where}", str(ranges), tuple(RANGES))
    if mode is not None and mode not in MODES:
        raise unknown(f"type of {path} {where}", str(mode), MODES)
    limits = entry.get("range")
    if limits is not None:
        if not isinstance(limits, Sequence) or len(limits) != 2 or not all(_number(v) for v in limits):
            raise _wrong(path, f"{where}.range", limits, "two numbers")
        if not limits[0] < limits[1]:
            raise _wrong(path, f"{where}.range", limits, "the smaller one first")
        limits = float(limits[0]), float(limits[1])
    per_channel = entry.get("per_channel")
    if per_channel is not None and not isinstance(per_channel, bool):
        raise _wrong(path, f"{where}.per_channel", per_channel, "true or false")
    weights = entry.get("weights")
    if weights is not None and weights not in STEPS:
        raise unknown(f"type of weights of {path} {where}", str(weights), tuple(STEPS))
    return Pin(match, ranges, limits, mode, per_channel, weights)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _wrong(path: Path, where: str, found: Any, expected: str) -> UsageError:
    return UsageError(f"{path} {where}: found {found!r}, expected {expected}")


def unmatched(graph: Graph, pins: Sequence[Pin]) -> list[str]:
    """Return the patterns that no operator matches."""
    return [p.match for p in pins if not any(p.matches(graph, op) for op in graph.operators)]
