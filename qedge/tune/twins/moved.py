"""Twins of what moves values about."""

from __future__ import annotations

import math
from collections.abc import Callable

from qedge.tune.twins.call import Call, Value


def as_it_is(c: Call) -> Value:
    """Return the twin of what only gives values another shape."""
    return c.shaped(c.values[0])


def transpose(c: Call) -> Value:
    """Return TRANSPOSE's twin."""
    return c.tf.transpose(c.values[0], [0, *(int(p) + 1 for p in c.constant(1).reshape(-1))])


def strided_slice(c: Call) -> Value:
    """Return STRIDED_SLICE's twin."""
    o = c.op.options
    begin, end, step = ([int(v) for v in c.constant(s).reshape(-1)] for s in (1, 2, 3))
    masks = {k: int(o.get(k) or 0) << 1 for k in ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")}
    found = c.tf.strided_slice(
        c.values[0],
        [0, *begin],
        [0, *end],
        [1, *step],
        begin_mask=int(o.get("begin_mask") or 0) << 1 | 1,
        end_mask=int(o.get("end_mask") or 0) << 1 | 1,
        **masks,
    )
    return c.shaped(found)


def slice(c: Call) -> Value:
    """Return SLICE's twin."""
    begin, size = ([int(v) for v in c.constant(s).reshape(-1)] for s in (1, 2))
    return c.tf.slice(c.values[0], [0, *begin], [-1, *size])


def split(c: Call) -> list[Value]:
    """Return SPLIT's twin."""
    axis = int(c.constant(0).reshape(-1)[0]) % len(c.shape(1)) + 1
    return list(c.tf.split(c.values[1], len(c.op.outputs), axis))


def split_v(c: Call) -> list[Value]:
    """Return SPLIT_V's twin."""
    axis = int(c.constant(2).reshape(-1)[0]) % len(c.shape(0)) + 1
    sizes = [c.graph.tensors[t].shape[axis - 1] for t in c.op.outputs]
    return list(c.tf.split(c.values[0], sizes, axis))


def unpack(c: Call) -> list[Value]:
    """Return UNPACK's twin."""
    return list(c.tf.unstack(c.values[0], axis=c.axis("axis", len(c.shape(0)))))


def pack(c: Call) -> Value:
    """Return PACK's twin."""
    return c.tf.stack(c.spread(range(len(c.values))), c.axis("axis", len(c.result)))


def concatenation(c: Call) -> Value:
    """Return CONCATENATION's twin."""
    return c.activated(c.tf.concat(c.spread(range(len(c.values))), c.axis("axis", len(c.result))))


def pad(c: Call) -> Value:
    """Return PAD's twin."""
    value = 0.0
    if len(c.values) > 2 and c.values[2] is not None:
        value = c.tf.reshape(c.values[2], (-1,))[0]
    pads = c.constant(1).reshape(-1, 2).tolist()
    return c.tf.pad(c.values[0], [[0, 0], *pads], constant_values=value)


def mirror_pad(c: Call) -> Value:
    """Return MIRROR_PAD's twin."""
    pads = c.constant(1).reshape(-1, 2).tolist()
    return c.tf.pad(c.values[0], [[0, 0], *pads], mode=str(c.op.options.get("mode", "REFLECT")))


def gather(c: Call) -> Value:
    """Return GATHER's twin."""
    tf, rank = c.tf, len(c.shape(0))
    axis, batch = c.axis("axis", rank), int(c.op.options.get("batch_dims") or 0)
    if c.graph.tensors[c.op.inputs[1]].is_constant and not batch:
        return c.shaped(tf.gather(c.values[0], c.constant(1), axis=axis))
    if c.graph.tensors[c.op.inputs[0]].is_constant and axis == 1 and not batch:
        return c.shaped(tf.gather(c.values[0][0], c.values[1], axis=0))
    source, index = c.spread((0, 1))
    return c.shaped(tf.gather(source, index, axis=axis, batch_dims=batch + 1))


def tile(c: Call) -> Value:
    """Return TILE's twin."""
    return c.tf.tile(c.values[0], [1, *(int(v) for v in c.constant(1).reshape(-1))])


def broadcast_to(c: Call) -> Value:
    """Return BROADCAST_TO's twin."""
    rank = len(c.result)
    x = c.tf.reshape(c.values[0], (-1, *(1,) * (rank - len(c.shape(0))), *c.shape(0)))
    return c.tf.broadcast_to(x, c.tf.concat([[c.tf.shape(x)[0]], c.result], 0))


def reverse(c: Call) -> Value:
    """Return REVERSE's twin."""
    return c.tf.reverse(c.values[0], c.axes(1))


def resized(name: str) -> Callable[[Call], Value]:
    """Return the twin of a resize, by its name in TensorFlow 1."""

    def twin(c: Call) -> Value:
        o = c.op.options
        resize = getattr(c.tf.compat.v1.image, name)
        corners, half = bool(o.get("align_corners")), bool(o.get("half_pixel_centers"))
        size = [int(v) for v in c.constant(1).reshape(-1)]
        return c.shaped(resize(c.flat(0), size, align_corners=corners, half_pixel_centers=half))

    return twin


def depth_to_space(c: Call) -> Value:
    """Return DEPTH_TO_SPACE's twin."""
    return c.shaped(c.tf.nn.depth_to_space(c.flat(0), int(c.op.options["block_size"])))


def space_to_depth(c: Call) -> Value:
    """Return SPACE_TO_DEPTH's twin."""
    return c.shaped(c.tf.nn.space_to_depth(c.flat(0), int(c.op.options["block_size"])))


def space_to_batch(c: Call) -> Value:
    """Return SPACE_TO_BATCH's twin."""
    tf, block = c.tf, c.constant(1).reshape(-1)
    found = tf.space_to_batch(c.flat(0), block, c.constant(2))
    parted = tf.reshape(found, (math.prod(block), -1, c.shape(0)[0], *c.result[1:]))
    return c.shaped(tf.transpose(parted, (1, 0, *range(2, len(c.result) + 2))))


def batch_to_space(c: Call) -> Value:
    """Return BATCH_TO_SPACE's twin."""
    tf, block = c.tf, c.constant(1).reshape(-1)
    parted = tf.reshape(c.values[0], (-1, math.prod(block), c.result[0], *c.shape(0)[1:]))
    turned = tf.transpose(parted, (1, 0, *range(2, len(c.shape(0)) + 2)))
    return c.shaped(tf.batch_to_space(tf.reshape(turned, (-1, *c.shape(0)[1:])), block, c.constant(2)))
