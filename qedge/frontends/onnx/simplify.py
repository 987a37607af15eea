"""Rewrites of the ONNX graph before it is lowered: what exporters write out is put together again."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from qedge.frontends.onnx.functions import recognise
from qedge.frontends.onnx.net import Array, Net, Node, Unsupported
from qedge.frontends.onnx.ops.norm import coefficients

_PLAIN = {"Add", "Sub", "Mul", "Div", "Pow", "Where", "Max", "Min", "Sum", "Equal", "Greater", "Less", "And", "Or",
          "GreaterOrEqual", "LessOrEqual", "Mod", "Mean", "Xor"}  # fmt: skip


def simplify(net: Net) -> None:
    """Rewrite a graph in place; what it computes stays the same but for rounding."""
    for rewrite in (
        _split_einsum, _fold_pad, _fold_affine, _group_norm, _roots, _focus, _shuffle, _drop_expand,
    ):  # fmt: skip
        if rewrite(net):
            net.sweep()
    if recognise(net):
        net.sweep()


def _replace(net: Net, old: Node, new: list[Node]) -> None:
    """Put nodes in the place of one."""
    at = net.nodes.index(old)
    net.nodes[at : at + 1] = new
    net.index()


def _channels(net: Net, name: str, like: str, axis: int = 1) -> Array | None:
    """Return a constant operand as a vector along the channels of ``like``, None where it is no such thing."""
    values = net.constants.get(name)
    shape = net.shape(like)
    if values is None or len(shape) <= axis or values.dtype.kind != "f" or values.ndim > len(shape):
        return None
    if values.size == 1:
        return np.broadcast_to(values.reshape(()), (shape[axis],))
    padded = (1,) * (len(shape) - values.ndim) + values.shape
    if values.size != shape[axis] or padded[axis] != shape[axis]:
        return None
    return values.reshape(-1)


def _affine_of(net: Net, node: Node, source: str) -> tuple[Array, Array] | None:
    """Return factor and summand a channel if a node does only that to ``source``."""
    count = net.shape(source)[1] if net.rank(source) > 1 else 0
    one, zero = np.ones(count, np.float32), np.zeros(count, np.float32)
    if node.op == "BatchNormalization" and node.inputs[0] == source:
        parameters = [net.constants.get(n) for n in node.inputs[1:5]]
        if len([o for o in node.outputs if o]) == 1 and all(p is not None for p in parameters):
            scale, shift, mean, variance = (p for p in parameters if p is not None)
            return coefficients(scale, shift, mean, variance, node)
        return None
    if node.op not in ("Add", "Mul", "Sub", "Div") or net.shape(node.output) != net.shape(source):
        return None
    first = node.inputs[0] == source
    values = _channels(net, node.inputs[1 if first else 0], source)
    if values is None or (not first and node.op == "Div"):
        return None
    if node.op == "Add":
        return one, values
    if node.op == "Mul":
        return values, zero
    if node.op == "Sub":
        return (one, -values) if first else (-one, values)
    return (1 / values, zero) if np.all(values != 0) else None


def _fold_affine(net: Net) -> bool:
    """Fold what follows a convolution or a dense layer channel by channel into its weights and bias."""
    changed = False
    for node in list(net.nodes):
        if node.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or net.rank(node.output) < 2:
            continue
        if node.op == "MatMul" and net.rank(node.output) != 2:
            continue
        weights = net.constants.get(node.input(1))
        bias = net.constants.get(node.input(2)) if node.input(2) else None
        if weights is None or (node.input(2) and bias is None) or net.is_constant(node.inputs[0]):
            continue
        if node.op == "MatMul" and weights.ndim != 2:
            continue
        total = None
        last = node
        user = net.sole_user(node.output)
        while user is not None and (step := _affine_of(net, user, last.output)) is not None:
            factor, shift = total or (np.float64(1), np.float64(0))
            total = (factor * step[0], shift * step[0] + step[1])
            last = user
            user = net.sole_user(last.output)
        if total is None:
            continue
        factor, shift = total
        if node.op == "MatMul" and np.all(factor == 1):
            continue  # the handler takes a bias by itself
        _scale_weights(net, node, weights, bias, np.asarray(factor), np.asarray(shift))
        dead = node.output
        node.outputs = [last.output]
        gone, at = [], dead
        while at != last.output:
            one = net.users[at][0]
            gone.append(one)
            at = one.output
        net.nodes = [n for n in net.nodes if not any(n is g for g in gone)]
        net.index()
        changed = True
    return changed


def _scale_weights(
    net: Net, node: Node, weights: Array, bias: Array | None, factor: Array, shift: Array
) -> None:
    count = net.shape(node.output)[1]
    factor = np.broadcast_to(factor, (count,)).astype(np.float64)
    old = np.zeros(count) if bias is None else np.broadcast_to(bias, (count,)) * 1.0
    if node.op == "Conv":
        new = weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))
    elif node.op == "ConvTranspose":
        groups = int(node.get("group", 1))
        per = factor.reshape(groups, 1, -1, *(1,) * (weights.ndim - 2))
        new = (weights.reshape(groups, -1, *weights.shape[1:]) * per).reshape(weights.shape)
    elif node.op == "Gemm":
        alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
        plain = weights if node.get("transB", 0) else weights.T
        new = (plain * alpha) * factor[:, None]
        old = old * beta
        node.attrs = {"transA": node.get("transA", 0), "transB": 1}
    else:
        new = (weights * factor).T
        node.op, node.attrs = "Gemm", {"transB": 1}
    first = net.add_constant(new.astype(np.float32), node.inputs[1])
    second = net.add_constant((old * factor + shift).astype(np.float32), node.inputs[1])
    node.inputs = [node.inputs[0], first, second]


def _fold_pad(net: Net) -> bool:
    """Fold a Pad with zeros around an image into the convolution behind it."""
    changed = False
    for node in list(net.nodes):
        pad = net.makers.get(node.inputs[0]) if node.op == "Conv" else None
        if pad is None or pad.op != "Pad" or net.sole_user(pad.output) is not node:
            continue
        rank = net.rank(node.inputs[0])
        try:
            stated = net.integers(pad, 1, "pads")
            value = net.scalar(pad, 2, "value") or 0.0
        except Unsupported:
            continue
        plain = pad.get("mode", "constant") == "constant" and value == 0 and not pad.input(3)
        if not plain or stated is None or len(stated) != 2 * rank or min(stated) < 0:
            continue
        if any(stated[d] or stated[rank + d] for d in (0, 1)) or node.get("auto_pad", "NOTSET") not in (
            "NOTSET", "VALID",
        ):  # fmt: skip
            continue
        own = node.get("pads", [0] * (2 * (rank - 2)))
        if node.get("auto_pad", "NOTSET") == "VALID":
            own = [0] * (2 * (rank - 2))
        more = [*stated[2:rank], *stated[rank + 2 :]]
        node.attrs = {**node.attrs, "pads": [int(a + b) for a, b in zip(own, more)], "auto_pad": "NOTSET"}
        node.inputs = [pad.inputs[0], *node.inputs[1:]]
        net.index()
        changed = True
    return changed


def _roots(net: Net) -> bool:
    """Divide by a root by multiplying with RSQRT: every target has it, and few have SQRT and DIV."""
    changed = False
    for node in list(net.nodes):
        if node.op not in ("Div", "Reciprocal"):
            continue
        below = net.makers.get(node.inputs[-1])
        if below is None or below.op != "Sqrt" or net.is_constant(node.inputs[-1]):
            continue
        top = node.inputs[0]
        if node.op == "Reciprocal":
            node.op, node.inputs = "Rsqrt", [below.inputs[0]]
        else:
            root = net.add_value(net.shape(below.output), net.dtypes[below.output], below.output)
            made = Node("Rsqrt", below.name, [below.inputs[0]], [root])
            _replace(net, node, [made, Node("Mul", node.name, [top, root], [node.output])])
        net.index()
        changed = True
    return changed


def _group_norm(net: Net) -> bool:
    """Put GroupNormalization together: Reshape to groups, InstanceNormalization, Reshape back."""
    changed = False
    for node in list(net.nodes):
        if node.op != "InstanceNormalization":
            continue
        before, after = net.makers.get(node.inputs[0]), net.sole_user(node.output, "Reshape")
        if before is None or before.op != "Reshape" or after is None or net.rank(node.output) != 3:
            continue
        x = before.inputs[0]
        scale, shift = net.constants.get(node.inputs[1]), net.constants.get(node.inputs[2])
        groups = net.shape(node.output)[1]
        if net.shape(after.output) != net.shape(x) or net.rank(x) < 3 or net.shape(x)[1] % groups:
            continue
        if scale is None or shift is None or net.shape(node.inputs[0])[0] != net.shape(x)[0]:
            continue
        if not (np.all(scale == scale[0]) and np.all(shift == shift[0])):
            continue
        count = net.shape(x)[1]
        names = [net.add_constant(np.full(count, v[0], np.float32), node.name) for v in (scale, shift)]
        attributes = {"num_groups": groups, "epsilon": node.get("epsilon", 1e-5)}
        new = Node("GroupNormalization", node.name, [x, *names], [after.output], attributes)
        net.nodes = [n for n in net.nodes if n is not node]
        _replace(net, after, [new])
        changed = True
    return changed


def _chain(net: Net, first: Node) -> tuple[Node, Node] | None:
    """Return the Transpose and the Reshape that follow a Reshape, each the only reader."""
    second = net.sole_user(first.output, "Transpose")
    third = net.sole_user(second.output, "Reshape", "Flatten") if second is not None else None
    return (second, third) if second is not None and third is not None else None


def _shuffle(net: Net) -> bool:
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
        _replace(net, last, [Node(op, last.name, inputs, [y], attributes)])
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


def _focus(net: Net) -> bool:
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
        _replace(net, node, made)
        changed = True
    return changed


def _drop_expand(net: Net) -> bool:
    """Read what an Expand reads, where the reader broadcasts by itself."""
    changed = False
    for node in list(net.nodes):
        if node.op not in _PLAIN:
            continue
        for k, name in enumerate(node.inputs):
            maker = net.makers.get(name)
            if maker is None or maker.op != "Expand" or net.is_constant(maker.inputs[0]):
                continue
            shapes = [net.shape(maker.inputs[0] if j == k else n) for j, n in enumerate(node.inputs)]
            try:
                same = np.broadcast_shapes(*shapes) == net.shape(node.output)
            except ValueError:
                continue
            if same:
                node.inputs[k] = maker.inputs[0]
                changed = True
    return changed


def _split_einsum(net: Net) -> bool:
    """Write an Einsum of one or two values as products, sums and turns."""
    changed = False
    for node in list(net.nodes):
        if node.op == "Einsum" and (made := _einsum(net, node)) is not None:
            _replace(net, node, made)
            changed = True
    return changed


def _einsum(net: Net, node: Node) -> list[Node] | None:
    """Return the nodes of an Einsum, None where it cannot be written so."""
    equation = str(node.get("equation", "")).replace(" ", "")
    if "." in equation or len(node.inputs) > 2:
        return None
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if not arrow:
        joined = "".join(terms)
        right = "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    if len(terms) != len(node.inputs) or any(len(set(t)) != len(t) for t in terms):
        return None
    size = {c: s for t, n in zip(terms, node.inputs) for c, s in zip(t, net.shape(n))}
    made: list[Node] = []
    dtype = net.dtypes[node.output]

    def step(op: str, inputs: list[str], labels: str, attributes: dict[str, object], shape: list[int]) -> str:
        name = net.add_value(shape, dtype, node.output)
        made.append(Node(op, node.name, inputs, [name], attributes))
        return name

    def turned(name: str, labels: str, wanted: str) -> str:
        if labels == wanted:
            return name
        return step(
            "Transpose",
            [name],
            wanted,
            {"perm": [labels.index(c) for c in wanted]},
            [size[c] for c in wanted],
        )

    def shaped(name: str, shape: list[int]) -> str:
        target = net.add_constant(np.array(shape, np.int64))
        return step("Reshape", [name, target], "", {}, shape)

    def summed(name: str, labels: str, keep: Callable[[str], bool]) -> tuple[str, str]:
        gone = [i for i, c in enumerate(labels) if not keep(c)]
        if not gone:
            return name, labels
        rest = "".join(c for c in labels if keep(c))
        axes = net.add_constant(np.array(gone, np.int64))
        shape = [size[c] for c in rest]
        return step("ReduceSum", [name, axes], rest, {"keepdims": 0}, shape), rest

    if len(terms) == 1:
        name, labels = summed(node.inputs[0], terms[0], lambda c: c in right)
        result = turned(name, labels, right)
    else:
        a, ta = summed(node.inputs[0], terms[0], lambda c: c in right or c in terms[1])
        b, tb = summed(node.inputs[1], terms[1], lambda c: c in right or c in terms[0])
        batch = "".join(c for c in right if c in ta and c in tb)
        shared = "".join(c for c in ta if c in tb and c not in batch)
        rows = "".join(c for c in right if c in ta and c not in tb)
        columns = "".join(c for c in right if c in tb and c not in ta)

        def count(labels: str) -> int:
            return math.prod(size[c] for c in labels)

        outer = [size[c] for c in batch]
        x = shaped(turned(a, ta, batch + rows + shared), [*outer, count(rows), count(shared)])
        y = shaped(turned(b, tb, batch + shared + columns), [*outer, count(shared), count(columns)])
        z = step("MatMul", [x, y], "", {}, [*outer, count(rows), count(columns)])
        labels = batch + rows + columns
        result = turned(shaped(z, [size[c] for c in labels]), labels, right)
    made.append(Node("Identity", node.name, [result], [node.output]))
    return made
