"""What stays on the Edge TPU and what is sent again at each inference: all or nothing a layer, by tile.

The chip has 16 tiles. A convolution's parameters are spread over all of them; a dense layer's lie in as many as it
has groups of 64 outputs, yet every tile keeps that room, so that a hundred layers of 100 x 100 fill the chip with
1 MB of 8. A layer is cached or streamed as a whole. Bytes are those of :mod:`qedge_coral.layout`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from qedge.graph import Graph
from qedge_coral.layout import TILES, Layer, layer

LEAST_ROOM, USUAL_ROOM, MOST_ROOM = 1_142_000, 7_392_000, 8_441_000
"""Bytes for parameters, of the 8 MiB on chip, that the compiler leaves: it places activations first. Least,
median and most of what published logs show as used and remaining."""
DENSE_TILE_LIMIT = 262_144
"""Bytes a tile from which on a dense layer was always seen streamed (16384 -> 1); 66,048 were seen cached."""


@dataclass(frozen=True)
class Memory:
    """Estimated parameter bytes of the mapped operators.

    Args:
        total_bytes: padded.
        cached_low_bytes, cached_bytes, cached_high_bytes: what stays on chip at the least, usually, at the
            most; the rest is streamed.
    """

    total_bytes: int
    cached_low_bytes: int
    cached_bytes: int
    cached_high_bytes: int

    @property
    def streamed_low_bytes(self) -> int:
        """Least that is streamed at each inference."""
        return self.total_bytes - self.cached_high_bytes

    @property
    def streamed_bytes(self) -> int:
        """What is usually streamed at each inference."""
        return self.total_bytes - self.cached_bytes

    @property
    def streamed_high_bytes(self) -> int:
        """Most that is streamed at each inference."""
        return self.total_bytes - self.cached_low_bytes


def estimate(graph: Graph, mapped: Collection[int]) -> Memory:
    """Return the memory of the operators in ``mapped`` (indices)."""
    layers = [layer(graph, graph.operators[i]) for i in mapped]
    total = sum(one.padded_bytes for one in layers)
    least, usual, most = (cached(layers, room) for room in (LEAST_ROOM, USUAL_ROOM, MOST_ROOM))
    return Memory(total, least, usual, most)


def cached(layers: Sequence[Layer], room: int) -> int:
    """Return the bytes that stay on chip: layer after layer, each where it fits into what is left of the tiles."""
    left, kept = room // TILES, 0
    for one in layers:
        if one.tile_bytes <= left and not (one.dense and one.tile_bytes >= DENSE_TILE_LIMIT):
            left -= one.tile_bytes
            kept += one.padded_bytes
    return kept
