"""Resizing: exactly as ONNX defines it, in whatever form TFLite has for that."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.lower import Handler, Lowering
from qedge.frontends.onnx.net import Node, Unsupported, axis_of
from qedge.frontends.onnx.ops.matrix import product
from qedge.frontends.onnx.ops.move import gather

Matrix = npt.NDArray[np.float64]


def places(node: Node, source: int, result: int, scale: float, roi: tuple[float, float]) -> Matrix:
    """Return where each of ``result`` values lies in the source, as ONNX's coordinate transformation says."""
    mode = node.get("coordinate_transformation_mode", "half_pixel" if node.op == "Resize" else "asymmetric")
    x = np.arange(result, dtype=np.float64)
    if mode == "asymmetric":
        return x / scale
    if mode == "align_corners":
        return x * (source - 1) / (result - 1) if result > 1 else x * 0
    if mode == "pytorch_half_pixel" and result == 1:
        return x * 0
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return (x + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        centre = source / 2 * (1 - result / (scale * source))
        return centre + (x + 0.5) / scale - 0.5
    if mode == "tf_half_pixel_for_nn":
        return (x + 0.5) / scale
    raise Unsupported(f"coordinate_transformation_mode {mode!r}")


def _nearest(at: Matrix, node: Node) -> npt.NDArray[np.int64]:
    mode = node.get("nearest_mode", "round_prefer_floor" if node.op == "Resize" else "floor")
    if mode == "floor":
        found = np.floor(at)
    elif mode == "ceil":
        found = np.ceil(at)
    elif mode == "round_prefer_ceil":
        found = np.floor(at + 0.5)
    else:
        found = np.ceil(at - 0.5)
    return found.astype(np.int64)


def _cubic(t: Matrix, a: float) -> Matrix:
    t = np.abs(t)
    inner = (a + 2) * t**3 - (a + 3) * t**2 + 1
    outer = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    result: Matrix = np.where(t <= 1, inner, np.where(t < 2, outer, 0.0))
    return result


def weights(node: Node, at: Matrix, source: int, scale: float) -> Matrix:
    """Return the matrix (result, source) of a linear or cubic resize along one axis."""
    mode = node.get("mode", "nearest")
    if node.get("antialias", 0) and scale < 1:
        return _measured(node, source, scale)
    reach = 1 if mode == "linear" else 2
    matrix = np.zeros((len(at), source))
    outside = bool(node.get("exclude_outside", 0))
    for row, x in enumerate(at):
        taps = np.arange(np.floor(x - reach), np.floor(x + reach) + 2)
        t = x - taps
        if mode == "linear":
            w = np.maximum(0.0, 1 - np.abs(t))
        else:
            w = _cubic(t, float(node.get("cubic_coeff_a", -0.75)))
        if outside:
            w = np.where((taps < 0) | (taps >= source), 0.0, w)
            w = w / w.sum()
        for tap, weight in zip(taps, w):
            matrix[row, min(max(int(tap), 0), source - 1)] += weight
    return matrix


def _measured(node: Node, source: int, scale: float) -> Matrix:
    """Return the matrix of an antialiased resize along one axis: what onnxruntime makes of unit vectors."""
    from onnx import TensorProto, helper

    from qedge.frontends.onnx.session import run

    keep = {k: v for k, v in node.attrs.items() if k not in ("axes", "keep_aspect_ratio_policy")}
    made = helper.make_node("Resize", ["x", "", "s"], ["y"], **keep)
    graph = helper.make_graph(
        [made], "resize", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, source, source, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("s", TensorProto.FLOAT, [4], [1, 1, scale, 1])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    found = run(model, {"x": np.eye(source, dtype=np.float32)[None, :, :, None]}, ["y"])[0]
    return np.asarray(found[0, :, :, 0].T, np.float64)


@lru_cache(maxsize=256)
def _ours(kind: str, source: int, result: int) -> Any:
    """Return what TFLite's kernel does along one axis: an index (nearest) or a matrix (bilinear)."""
    name, _, flag = kind.partition(":")
    x = np.arange(result, dtype=np.float64)
    scale = np.float64(np.float32(source) / np.float32(result))
    if flag == "align" and result > 1:
        scale = np.float64(np.float32(source - 1) / np.float32(result - 1))
    if name == "nearest":
        offset = 0.5 if flag == "half" else 0.0
        value = (x.astype(np.float32) + np.float32(offset)) * np.float32(scale)
        found = np.floor(value + 0.5) if flag == "align" else np.floor(value)
        return np.clip(found.astype(np.int64), 0, source - 1)
    at = (x + 0.5) * scale - 0.5 if flag == "half" else x * scale
    low = np.clip(np.floor(at), 0, source - 1).astype(int)
    high = np.clip(low + 1, 0, source - 1)
    t = np.clip(at, 0, None) - low
    matrix = np.zeros((result, source))
    for row in range(result):
        matrix[row, low[row]] += 1 - t[row]
        matrix[row, high[row]] += t[row]
    return matrix


def _resize(g: Lowering, node: Node) -> None:
    net = g.net
    x, rank = node.inputs[0], net.rank(node.inputs[0])
    old, new = net.shape(x), net.shape(node.output)
    scales = _scales(g, node, old, new)
    changed = [d for d in range(rank) if old[d] != new[d]]
    if not changed and all(s == 1 for s in scales):
        g.alias(node.output, x)
        return
    if node.get("coordinate_transformation_mode", "") == "tf_crop_and_resize":
        raise Unsupported("coordinate_transformation_mode 'tf_crop_and_resize'")
    image = rank == 4 and set(changed) <= {2, 3}
    order = layout.channels_last(4) if image else g.order(x)
    tensor = g.get(x, order)
    axes = (2, 3) if image else tuple(changed)
    at = {d: places(node, old[d], new[d], scales[d], (0.0, 1.0)) for d in axes}
    mode = node.get("mode", "nearest")
    result = layout.arranged(new, order)
    if mode == "nearest":
        index = {d: np.clip(_nearest(at[d], node), 0, old[d] - 1) for d in axes}
        made = None
        if image:
            made = _builtin(
                g, tensor, result, "nearest", lambda d, ours: np.array_equal(ours, index[d]), old, new
            )
        if made is None:
            made = tensor
            for d in axes:
                if old[d] != new[d] or not np.array_equal(index[d], np.arange(new[d])):
                    made = gather(g, made, index[d], order.index(d))
        g.put(node.output, made, order)
        return
    if mode not in ("linear", "cubic"):
        raise Unsupported(f"mode {mode!r}")
    matrices = {d: weights(node, at[d], old[d], scales[d]) for d in axes}
    made = None
    if image and mode == "linear":
        made = _builtin(
            g, tensor, result, "bilinear", lambda d, ours: np.allclose(ours, matrices[d], atol=2e-6), old, new
        )
    if made is None:
        made = tensor
        for d in axes:
            if not np.allclose(matrices[d], np.eye(new[d], old[d])):
                made = _apply(g, made, order.index(d), matrices[d].astype(np.float32))
    g.put(node.output, made, order)


def _builtin(
    g: Lowering, tensor: int, result: tuple[int, ...], kind: str, same: Any, old: Any, new: Any
) -> int | None:
    """Return TFLite's own resize with the flags that agree with ONNX on both axes, None if there are none."""
    for flag, align, half in (("half", False, True), ("", False, False), ("align", True, False)):
        if all(same(d, _ours(f"{kind}:{flag}", old[d], new[d])) for d in (2, 3)):
            op = "RESIZE_NEAREST_NEIGHBOR" if kind == "nearest" else "RESIZE_BILINEAR"
            version = 3 if half else 1
            return g.writer.ops(
                op, [tensor, g.integers(result[1:3])], [result], version=version,
                align_corners=align, half_pixel_centers=half,
            )[0]  # fmt: skip
    return None


def _apply(g: Lowering, tensor: int, axis: int, matrix: npt.NDArray[np.float32]) -> int:
    """Return a matrix applied along one axis of a tensor."""
    writer = g.writer
    shape = writer.shape(tensor)
    before, after = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    flat = writer.reshape(tensor, (before, shape[axis], after))
    made = product(g, writer.constant(np.broadcast_to(matrix, (1, *matrix.shape))), flat)
    return writer.reshape(made, (*shape[:axis], matrix.shape[0], *shape[axis + 1 :]))


def _scales(g: Lowering, node: Node, old: tuple[int, ...], new: tuple[int, ...]) -> list[float]:
    net = g.net
    rank = len(old)
    if node.op == "Upsample" or len(node.inputs) <= 2:
        stated = node.get("scales") if "scales" in node.attrs else net.optional(node, 1, "scales")
        sizes = None
    else:
        stated, sizes = net.optional(node, 2, "scales"), net.optional(node, 3, "sizes")
    axes = [axis_of(int(a), rank) for a in node.get("axes", range(rank))]
    found = [n / o for o, n in zip(old, new)]
    if sizes is None and stated is not None and len(stated) == len(axes):
        for a, s in zip(axes, stated):
            found[a] = float(s)
    return found


HANDLERS: dict[str, Handler] = {"Resize": _resize, "Upsample": _resize}
