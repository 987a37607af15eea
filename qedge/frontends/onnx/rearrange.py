"""Puts together what only moves values: channel and pixel shuffles, and space to depth in slices."""

from __future__ import annotations

import math

import numpy as np

from qedge.frontends.onnx.net import Array, Net, Node, Unsupported


def _chain(net: Net, first: Node) -> tuple[Node, Node] | None:
    """Return the Transpose and the Reshape that follow a Reshape, each the only reader."""
    second = net.sole_user(first.output, "Transpose")
    third = net.sole_user(second.output, "Reshape", "Flatten") if second is not None else None
    return (second, third) if second is not None and third is not None else None


def shuffle(net: Net) -> bool:
    """Put channel shuffles and pixel shuffles together: Reshape, Transpose, Reshape."""
    changed = False
    for node in list(net.nodes):
        if node.op != "Reshape" or (found := _chain(net, node)) is None:
            continue
        turn, last = found
        x, y = node.inputs[0], last.output
        old, new, middle = net.shape(x), net.shape(y), net.shape(node.output)
        if len(old) not in (3, 4) or len(new) != len(old):
            continue
        perm = [int(p) for p in turn.get("perm", range(len(middle))[::-1])]
        made = _as_lookup(old, new, middle, perm) or (
            _as_blocks(old, new, middle, perm) if len(old) == 4 else None
        )
        if made is None:
            continue
        op, attributes, index = made
        inputs = [x] if index is None else [x, net.add_constant(index, node.name)]
        net.nodes = [n for n in net.nodes if n is not node and n is not turn]
        net.replace(last, [Node(op, last.name, inputs, [y], attributes)])
        changed = True
    return changed


_Made = tuple[str, dict[str, object], "Array | None"]


def _as_lookup(
    old: tuple[int, ...], new: tuple[int, ...], middle: tuple[int, ...], perm: list[int]
) -> _Made | None:
    """Return the Gather that does the same if only the channels change places."""
    if old != new or math.prod(old[1:]) == old[1]:
        return None
    extra = len(middle) - len(old)
    if extra < 1 or middle[0] != old[0] or middle[2 + extra :] != old[2:]:
        return None
    if math.prod(middle[1 : 2 + extra]) != old[1] or perm[0] != 0:
        return None
    if perm[2 + extra :] != list(range(2 + extra, len(middle))):
        return None
    inner = [p - 1 for p in perm[1 : 2 + extra]]
    index = np.arange(old[1]).reshape(middle[1 : 2 + extra]).transpose(inner).ravel()
    return "Gather", {"axis": 1}, index


def _as_blocks(
    old: tuple[int, ...], new: tuple[int, ...], middle: tuple[int, ...], perm: list[int]
) -> _Made | None:
    """Return the DepthToSpace or SpaceToDepth that does the same."""
    n, c, h, w = old
    if len(middle) != 6 or new[0] != n:
        return None
    if new[2] > h and new[2] % h == 0 and new[2] // h == new[3] / w and c % (new[2] // h) ** 2 == 0:
        b = new[2] // h
        if middle == (n, c // (b * b), b, b, h, w) and perm == [0, 1, 4, 2, 5, 3]:
            return "DepthToSpace", {"blocksize": b, "mode": "CRD"}, None
        if middle == (n, b, b, c // (b * b), h, w) and perm == [0, 3, 4, 1, 5, 2]:
            return "DepthToSpace", {"blocksize": b, "mode": "DCR"}, None
    if new[2] < h and h % new[2] == 0 and h // new[2] == w / new[3]:
        b = h // new[2]
        if middle == (n, c, h // b, b, w // b, b):
            if perm == [0, 3, 5, 1, 2, 4]:
                return "SpaceToDepth", {"blocksize": b}, None
            if perm == [0, 1, 3, 5, 2, 4]:
                return "SpaceToDepth", {"blocksize": b, "mode": "CRD"}, None
    return None


def _phase(net: Net, name: str) -> tuple[str, tuple[int, int]] | None:
    """Return the image and the offset of which a value holds every second row and column."""
    offsets = {2: 0, 3: 0}
    seen: set[int] = set()
    for _ in range(2):
        node = net.makers.get(name)
        if node is None or node.op != "Slice":
            break
        try:
            starts, ends = net.integers(node, 1, "starts"), net.integers(node, 2, "ends")
            axes = net.integers(node, 3, "axes") or list(range(len(starts or [])))
            steps = net.integers(node, 4, "steps") or [1] * len(axes)
        except Unsupported:
            return None
        shape = net.shape(node.inputs[0])
        for axis, start, end, step in zip(axes, starts or [], ends or [], steps):
            a = axis % len(shape)
            if step == 1 and start == 0 and end >= shape[a]:
                continue
            if a not in (2, 3) or a in seen or step != 2 or start not in (0, 1) or end < shape[a] - 1:
                return None
            offsets[a] = start
            seen.add(a)
        name = node.inputs[0]
    return (name, (offsets[2], offsets[3])) if seen == {2, 3} else None


def focus(net: Net) -> bool:
    """Put SpaceToDepth together: four slices of every second row and column, joined along the channels."""
    changed = False
    for node in list(net.nodes):
        if node.op != "Concat" or net.rank(node.output) != 4 or int(node.get("axis", 0)) % 4 != 1:
            continue
        found = [_phase(net, n) for n in node.inputs]
        if len(found) != 4 or any(f is None for f in found):
            continue
        parts = [f for f in found if f is not None]
        sources = {f[0] for f in parts}
        if len(sources) != 1 or len({f[1] for f in parts}) != 4:
            continue
        x = sources.pop()
        channels, height, width = net.shape(x)[1:]
        if height % 2 or width % 2:
            continue
        blocks = [2 * i + j for _, (i, j) in parts]
        new = Node("SpaceToDepth", node.name, [x], [node.output], {"blocksize": 2})
        made = [new]
        if blocks != [0, 1, 2, 3]:
            middle = net.add_value(net.shape(node.output), net.dtypes[node.output], node.output)
            new.outputs = [middle]
            index = np.concatenate([np.arange(channels) + b * channels for b in blocks])
            made.append(
                Node("Gather", node.name, [middle, net.add_constant(index)], [node.output], {"axis": 1})
            )
        net.replace(node, made)
        changed = True
    return changed
