"""Rewrites that bring operators back onto the Edge TPU without changing the result.

Each rewrite is a module with ``TITLE`` and ``apply(graph) -> Draft``: what it would change, with one line for
each place. They run in the order of :data:`REWRITES`, each on the graph that the one before left, until none
finds anything. A file is made once, at the end, and only for who asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from qedge.graph import Graph
from qedge_coral.rewrite import (
    dense_rows,
    drop_quantize,
    fold_shapes,
    hard_swish,
    leaky_relu,
    lower_versions,
    nearest_upsampling,
    shuffles,
    unfuse_activation,
    unparsed,
)
from qedge_coral.rewrite.draft import Draft
from qedge_coral.rewrite.write import write

Apply = Callable[[Graph], Draft]


@dataclass(frozen=True)
class Rewrite:
    """One rewrite: its name in reports, and what it does."""

    name: str
    title: str
    apply: Apply


@dataclass(frozen=True)
class Rewritten:
    """A model after the rewrites, and what each one changed: pairs of rewrite name and line.

    Args:
        given: the graph before them.
        drafted: the graph after them; tensors that nothing refers to any more are still in it.
    """

    given: Graph = field(repr=False)
    drafted: Graph = field(repr=False)
    changes: tuple[tuple[str, str], ...]

    @cached_property
    def model(self) -> bytes:
        """The bytes of the model; those that were given when nothing was changed."""
        return write(self.given, self.drafted) if self.changes else self.given.data


REWRITES: tuple[Rewrite, ...] = tuple(
    Rewrite(module.__name__.rpartition(".")[2].replace("_", "-"), module.TITLE, module.apply)
    for module in (
        fold_shapes,
        drop_quantize,
        nearest_upsampling,
        shuffles,
        unfuse_activation,
        leaky_relu,
        hard_swish,
        dense_rows,
        lower_versions,
        unparsed,
    )
)
MAX_ROUNDS = 8


def rewrite(given: Graph | bytes) -> Rewritten:
    """Return a model with all rewrites applied."""
    first = graph = Graph.from_bytes(given) if isinstance(given, bytes) else given
    changes: list[tuple[str, str]] = []
    for _ in range(MAX_ROUNDS):
        before = len(changes)
        for one in REWRITES:
            draft = one.apply(graph)
            graph = draft.finish()
            changes += [(one.name, line) for line in draft.lines]
        if len(changes) == before:
            break
    return Rewritten(first, graph, tuple(changes))
