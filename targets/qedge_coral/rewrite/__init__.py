"""Rewrites that bring operators back onto the Edge TPU without changing the result.

Each rewrite is a module with ``TITLE`` and ``apply(tree, graph) -> list[str]``: it edits the flatbuffer
object tree in place and returns one line for each place it changed. They run in the order of
:data:`REWRITES`, each on the graph that the one before left, until none finds anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qedge.graph import Graph, schema
from qedge_coral.rewrite import (
    dense_rows,
    drop_quantize,
    fold_shapes,
    leaky_relu,
    lower_versions,
    nearest_upsampling,
    unfuse_activation,
)

Apply = Callable[[Any, Graph], "list[str]"]


@dataclass(frozen=True)
class Rewrite:
    """One rewrite: its name in reports, and what it does."""

    name: str
    title: str
    apply: Apply


@dataclass(frozen=True)
class Rewritten:
    """A model after the rewrites, and what each one changed: pairs of rewrite name and line."""

    model: bytes
    changes: tuple[tuple[str, str], ...]


REWRITES: tuple[Rewrite, ...] = tuple(
    Rewrite(module.__name__.rpartition(".")[2].replace("_", "-"), module.TITLE, module.apply)
    for module in (
        fold_shapes,
        drop_quantize,
        nearest_upsampling,
        unfuse_activation,
        leaky_relu,
        dense_rows,
        lower_versions,
    )
)
MAX_ROUNDS = 8


def rewrite(model: bytes) -> Rewritten:
    """Return the model with all rewrites applied; the same bytes when there is nothing to change."""
    changes: list[tuple[str, str]] = []
    for _ in range(MAX_ROUNDS):
        before = len(changes)
        for one in REWRITES:
            tree = schema.unpack(model)
            lines = one.apply(tree, Graph.from_bytes(model))
            if lines:
                model = schema.pack(tree)
                changes += [(one.name, line) for line in lines]
        if len(changes) == before:
            break
    return Rewritten(model, tuple(changes))
