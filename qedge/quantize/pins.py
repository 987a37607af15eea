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

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from qedge.fields import Field
from qedge.graph import Graph, Operator
from qedge.quantize.affine import STEPS
from qedge.quantize.methods.ranges import RANGES
from qedge.quantize.recipe import Recipe
from qedge.toml import read_toml

MODES = ("int8", "int16", "float")
_KEYS = ("ranges", "range", "type", "per_channel", "weights")


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
    root = read_toml(path, hint="--recipe takes a TOML file: see docs/models_and_data.md")
    root.object(optional=("method", "layer"))
    method = "auto" if root["method"].value is None else root["method"].string()
    if method != "auto":
        Recipe.parse(method)
    layers = () if root["layer"].value is None else tuple(_pin(entry) for entry in root["layer"].items())
    return RecipeFile(method, layers)


def _pin(entry: Field) -> Pin:
    entry.object(("match",), _KEYS)
    if not entry["match"].string():
        raise entry["match"].fail("a pattern such as *conv*")
    given = {key for key, field in entry.members()}
    return Pin(
        entry["match"].string(),
        entry["ranges"].string(tuple(RANGES)) if "ranges" in given else None,
        _limits(entry["range"]) if "range" in given else None,
        entry["type"].string(MODES) if "type" in given else None,
        entry["per_channel"].boolean() if "per_channel" in given else None,
        entry["weights"].string(tuple(STEPS)) if "weights" in given else None,
    )


def _limits(field: Field) -> tuple[float, float]:
    values = [value.number() for value in field.items()]
    if len(values) != 2 or not values[0] < values[1]:
        raise field.fail("two numbers, the smaller one first")
    return values[0], values[1]


def unmatched(graph: Graph, pins: Sequence[Pin]) -> list[str]:
    """Return the patterns that no operator matches."""
    return [p.match for p in pins if not any(p.matches(graph, op) for op in graph.operators)]
