"""Lowers a graph to TFLite operators: which tensor holds each value, and in which order."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.emit import Writer, stored, stored_dtype
from qedge.frontends.onnx.layout import Order, Shape
from qedge.frontends.onnx.net import Net, Node, Unsupported

Array = npt.NDArray[Any]
Handler = Callable[["Lowering", Node], None]

MOST_JOINED = 10
"""Inputs of one CONCATENATION."""
NONE, RELU, RELU6 = 0, 1, 3
"""Fused activation functions of TFLite's schema."""

_CHANNELS_FIRST = {
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization",
    "InstanceNormalization", "GroupNormalization", "Resize", "Upsample", "DepthToSpace", "SpaceToDepth", "LRN",
}  # fmt: skip
_PASSES = {
    "Add", "Sub", "Mul", "Div", "Pow", "Cast", "Clip", "Pad", "Slice", "Concat", "Identity", "Split", "Relu",
    "LeakyRelu", "Sigmoid", "Tanh", "Abs", "Sqrt", "Neg", "Min", "Max", "PRelu", "HardSwish", "Where", "Gather",
    "QuantizeLinear", "DequantizeLinear",
    "Dropout", "Tile", "Gelu", "Elu", "Exp", "Log", "Softmax", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum",
}  # fmt: skip


class Lowering:
    """Turns the nodes of a :class:`Net` into operators of a :class:`Writer`, one handler a node.

    Args:
        net: is read, and simplified before.
        handlers: by operator.
    """

    def __init__(self, net: Net, handlers: dict[str, Handler]) -> None:
        self.net, self.handlers = net, handlers
        self.writer = Writer()
        self.places: dict[str, dict[Order, int]] = {}
        self.columns: dict[str, tuple[int, Array]] = {}
        self._deferred: dict[str, Callable[[], None]] = {}
        self._done: set[int] = set()

    def lower(self) -> tuple[dict[str, int], dict[str, int], dict[str, Order]]:
        """Emit everything; return the tensors of inputs and outputs, and the order of each.

        Raises:
            UnsupportedNodes: some nodes have no form in TFLite.
        """
        net, writer = self.net, self.writer
        inputs, orders = {}, {}
        for name in net.inputs:
            order = self._input_order(name)
            shape = layout.arranged(net.shape(name), order)
            inputs[name] = writer.tensor(name, shape or (1,), net.dtypes[name])
            orders[name] = order
            self.places[name] = {order: writer.reshape(inputs[name], shape)}
        problems = []
        for node in net.nodes:
            if id(node) in self._done:
                continue
            writer.layer = label(node)
            handler = self.handlers.get(node.op)
            try:
                if handler is None:
                    raise Unsupported("no such operator here")
                handler(self, node)
            except Unsupported as problem:
                problems.append((node.label, str(problem)))
                self._stand_in(node)
            except (LookupError, TypeError, ValueError, ArithmeticError, AssertionError) as problem:
                what = " ".join(str(problem).split())[:160]
                problems.append((node.label, f"it contradicts its inputs ({type(problem).__name__}: {what})"))
                self._stand_in(node)
        if problems:
            raise UnsupportedNodes(problems)
        outputs: dict[str, int] = {}
        for name in net.outputs:
            order = layout.identity(net.rank(name)) if net.is_constant(name) else self._output_order(name)
            tensor = self.get(name, order)
            if tensor in (*inputs.values(), *outputs.values()) or writer.is_constant(tensor):
                tensor = self._copy(tensor, name)
            outputs[name], orders[name] = tensor, order
        return inputs, outputs, orders

    def _stand_in(self, node: Node) -> None:
        """Put something where a node that cannot be lowered would write, so that all such nodes are found."""
        for name in filter(None, node.outputs):
            self.put(name, self.writer.tensor(name, self.net.shape(name), self.net.dtypes[name]))

    def _copy(self, tensor: int, name: str) -> int:
        """Return the same values in a tensor of their own: an output that is an input, a constant or twice there."""
        self.writer.layer = name
        shape = self.writer.shape(tensor)
        new = np.asarray(shape, np.int32)
        return self.writer.op("RESHAPE", [tensor, self.writer.constant(new)], shape, new_shape=new)

    def _input_order(self, name: str) -> Order:
        rank = self.net.rank(name)
        if rank in (3, 4, 5) and self._wants_channels_last(name, set()):
            return layout.channels_last(rank)
        return layout.identity(rank)

    def _wants_channels_last(self, name: str, seen: set[str]) -> bool:
        if name in seen or len(seen) > 64:
            return False
        seen.add(name)
        rank = self.net.rank(name)
        for node in self.net.users.get(name, []):
            if node.op in _CHANNELS_FIRST:
                return True
            if node.op in _PASSES and any(
                self.net.rank(o) == rank and self._wants_channels_last(o, seen) for o in node.outputs if o
            ):
                return True
        return False

    def _output_order(self, name: str) -> Order:
        """Return the order in which an output is handed over: as it lies if that is usual, else the author's."""
        rank = self.net.rank(name)
        order = self.order(name)
        usual = (layout.identity(rank), layout.channels_last(rank))
        if order in usual:
            return order
        shape = self.net.shape(name)
        return next((u for u in usual if layout.is_free(shape, order, u)), usual[0])

    # --- where values lie

    def order(self, name: str) -> Order:
        """Return the order in which a value lies; for a constant ONNX's own."""
        if self.net.is_constant(name):
            return layout.identity(self.net.rank(name))
        self._settle(name)
        return next(iter(self.places[name]))

    def get(self, name: str, order: Order | None = None) -> int:
        """Return the tensor of a value in an order, ONNX's own unless stated; turned at most once."""
        wanted = layout.identity(self.net.rank(name)) if order is None else order
        if self.net.is_constant(name):
            values = self.net.constants[name]
            return self.writer.constant(values.transpose(wanted) if values.ndim else values)
        self._settle(name)
        places = self.places[name]
        if wanted not in places:
            shape = self.net.shape(name)
            held = next((o for o in places if layout.is_free(shape, o, wanted)), next(iter(places)))
            places[wanted] = self.writer.transpose(places[held], layout.turn(held, wanted))
        return places[wanted]

    def has_place(self, name: str) -> bool:
        """Return whether a value lies somewhere already, and is not only promised."""
        return name in self.places

    def has(self, name: str, order: Order) -> bool:
        """Return whether a value can be had in an order without a TRANSPOSE."""
        if self.net.is_constant(name):
            return True
        self._settle(name)
        shape = self.net.shape(name)
        return any(layout.is_free(shape, held, order) for held in self.places[name])

    def _settle(self, name: str) -> None:
        later = self._deferred.pop(name, None)
        if later is not None:
            later()

    def put(self, name: str, tensor: int, order: Order | None = None) -> None:
        """Say which tensor holds a value, in which order (ONNX's own unless stated)."""
        order = layout.identity(self.net.rank(name)) if order is None else tuple(order)
        expected = layout.arranged(self.net.shape(name), order)
        if self.writer.shape(tensor) != expected:
            raise AssertionError(
                f"{name}: a tensor of {self.writer.shape(tensor)} for {expected}"
            )  # a handler's bug, not the model's
        self.places[name] = {order: tensor}

    def alias(self, name: str, source: str) -> None:
        """Let a value lie where another of the same shape does."""
        if self.net.is_constant(source):
            self.put(name, self.get(source))
            return
        self._settle(source)
        self.places[name] = dict(self.places[source])

    def defer(self, name: str, later: Callable[[], None]) -> None:
        """Say how a value is made once somebody needs it as it is."""
        self._deferred[name] = later

    def common_order(self, names: Sequence[str], rank: int) -> Order:
        """Return the order in which values of this rank meet with the fewest numbers turned."""
        net = self.net
        full = [n for n in names if not net.is_constant(n) and net.rank(n) == rank]
        if not full:
            return layout.identity(rank)
        candidates: dict[Order, int] = {}
        for name in full:
            for order in (self.order(name), *self.places[name]):
                candidates.setdefault(order, 0)
        for order in candidates:
            for name in full:
                if not self.has(name, order):
                    candidates[order] += int(np.prod(net.shape(name)))
        return min(candidates, key=lambda o: candidates[o])

    # --- fusing

    def activation(self, node: Node) -> tuple[int, str]:
        """Return the activation that can be fused behind a node, and the value that is written then."""
        output = node.output
        user = self.net.sole_user(output, "Relu", "Clip", "Relu6")
        if user is not None:
            kind = RELU if user.op == "Relu" else RELU6 if clip_limits(self.net, user) == (0.0, 6.0) else NONE
            if kind != NONE:
                self._done.add(id(user))
                return kind, user.output
        return NONE, output

    def skip(self, node: Node) -> None:
        """Do not lower a node: another one does its work."""
        self._done.add(id(node))

    # --- operators of more than one kind of node

    def operand(self, name: str, rank: int, order: Order) -> int:
        """Return a value as an operand of an elementwise operator whose result has ``rank`` and ``order``."""
        net = self.net
        own = net.rank(name)
        if net.is_constant(name):
            values = net.constants[name]
            if values.size == 1:
                return self.writer.constant(values.reshape(()))
            turned = values.reshape((1,) * (rank - own) + values.shape).transpose(order)
            while turned.ndim > 1 and turned.shape[0] == 1:
                turned = turned[0]
            return self.writer.constant(turned)
        offset = rank - own
        wanted = tuple(d - offset for d in order if d >= offset)
        tensor = self.get(name, wanted)
        if offset == 0:
            return tensor
        shape = net.shape(name)
        return self.writer.reshape(tensor, [shape[d - offset] if d >= offset else 1 for d in order])

    def pointwise(self, op: str, tensors: Sequence[int], dtype: Any = None, **fields: Any) -> int:
        """Return an operator that broadcasts, on at most 4 dimensions where they can be joined."""
        writer = self.writer
        shapes = [writer.shape(t) for t in tensors]
        result = tuple(int(d) for d in np.broadcast_shapes(*shapes))
        if dtype is None:
            dtype = writer.dtype(tensors[-1])
        if len(result) > 4:
            padded: list[Shape] = [(1,) * (len(result) - len(s)) + s for s in shapes]
            joined = layout.collapse([*padded, result])
            flat = [writer.reshape(t, s) for t, s in zip(tensors, joined)]
            made = writer.op(op, flat, joined[-1], dtype, **fields)
            return writer.reshape(made, result)
        return writer.op(op, tensors, result, dtype, **fields)

    def elementwise(
        self,
        op: str,
        names: Sequence[str],
        output: str,
        dtype: Any = None,
        **fields: Any,
    ) -> None:
        """Lower an operator that broadcasts its inputs, in the order that suits them best."""
        order, tensors = self.operands(names, output)
        made = self.pointwise(op, tensors, dtype, **fields)
        self.put(output, self.writer.reshape(made, layout.arranged(self.net.shape(output), order)), order)

    def operands(self, names: Sequence[str], output: str) -> tuple[Order, list[int]]:
        """Return a common order and the tensors of values that are broadcast to ``output``."""
        rank = self.net.rank(output)
        order = self.common_order(names, rank)
        return order, [self.operand(n, rank, order) for n in names]

    def unary(self, node: Node, op: str, dtype: Any = None, **fields: Any) -> None:
        """Lower an operator of one input that keeps its shape."""
        order = self.order(node.inputs[0])
        source = self.get(node.inputs[0], order)
        made = self.writer.op(op, [source], self.writer.shape(source), dtype, **fields)
        self.put(node.output, made, order)

    def number(self, value: float) -> int:
        """Return a float32 constant without dimensions."""
        return self.writer.constant(np.float32(value))

    def add(self, a: int, b: int, activation: int = NONE) -> int:
        """Return ``a + b``."""
        return self.pointwise("ADD", [a, b], fused_activation_function=activation)

    def sub(self, a: int, b: int) -> int:
        """Return ``a - b``."""
        return self.pointwise("SUB", [a, b])

    def mul(self, a: int, b: int) -> int:
        """Return ``a * b``."""
        return self.pointwise("MUL", [a, b])

    def div(self, a: int, b: int) -> int:
        """Return ``a / b``."""
        return self.pointwise("DIV", [a, b])

    def one(self, op: str, a: int, **fields: Any) -> int:
        """Return an operator of one tensor that keeps shape and type."""
        return self.writer.op(op, [a], self.writer.shape(a), **fields)

    def integers(self, values: Sequence[int]) -> int:
        """Return an int32 constant: axes, sizes, paddings."""
        return self.writer.constant(np.asarray(values, np.int32))

    def slice(self, tensor: int, begin: Sequence[int], size: Sequence[int]) -> int:
        """Return a part of a tensor; where that is one of the tensors that were joined to it, that one."""
        writer = self.writer
        if writer.shape(tensor) == tuple(size):
            return tensor
        whole = self._joined_part(tensor, begin, size)
        if whole is not None:
            return whole
        return writer.op("SLICE", [tensor, self.integers(begin), self.integers(size)], tuple(size))

    def _joined_part(self, tensor: int, begin: Sequence[int], size: Sequence[int]) -> int | None:
        """Return which of the tensors that were joined one after the other a slice is, None if it is none."""
        writer = self.writer
        shape = writer.shape(tensor)
        first = next((d for d, s in enumerate(size) if s != 1), len(size))
        if tuple(size[first + 1 :]) != shape[first + 1 :]:
            return None  # its numbers do not lie in a row
        start = 0
        for s, b in zip(shape, begin):
            start = start * s + b
        count = math.prod(size)
        source = writer.source(tensor)
        while source is not None and source[0] == "RESHAPE":
            tensor = source[1][0]
            source = writer.source(tensor)
        if source is None or source[0] != "CONCATENATION":
            return None
        axis = int(writer.options(tensor).axis)
        if math.prod(writer.shape(tensor)[:axis]) != 1:
            return None
        for part in source[1]:
            length = math.prod(writer.shape(part))
            if start == 0 and length == count:
                return writer.reshape(part, size)
            if start < length:
                return self._joined_part(
                    part, _place(start, writer.shape(part)), _run(count, writer.shape(part))
                )
            start -= length
        return None

    def concat(self, tensors: Sequence[int], axis: int) -> int:
        """Return tensors joined along an axis, at most ten at a time: more TensorFlow Lite Micro does not take."""
        if len(tensors) == 1:
            return tensors[0]
        if len(tensors) > MOST_JOINED:
            step = MOST_JOINED
            parts = [self.concat(tensors[k : k + step], axis) for k in range(0, len(tensors), step)]
            return self.concat(parts, axis)
        shape = list(self.writer.shape(tensors[0]))
        shape[axis] = sum(self.writer.shape(t)[axis] for t in tensors)
        return self.writer.op("CONCATENATION", tensors, shape, axis=axis)

    def reduce(self, op: str, tensor: int, axes: Sequence[int], keep: bool = True) -> int:
        """Return a reduction over axes of a tensor."""
        shape = self.writer.shape(tensor)
        axes = sorted(axes)
        if keep:
            result = [1 if d in axes else s for d, s in enumerate(shape)]
        else:
            result = [s for d, s in enumerate(shape) if d not in axes]
        return self.writer.op(op, [tensor, self.integers(axes)], result, keep_dims=keep)


def _place(start: int, shape: Sequence[int]) -> list[int]:
    """Return the indices of a place in a flattened tensor."""
    return [int(i) for i in np.unravel_index(start, tuple(shape))]


def _run(count: int, shape: Sequence[int]) -> list[int]:
    """Return the sizes of ``count`` numbers in a row, if they are whole rows of a tensor; else sizes of none."""
    sizes = [1] * len(shape)
    for d in reversed(range(len(shape))):
        if count % shape[d]:
            sizes[d] = count
            return sizes
        sizes[d], count = shape[d], count // shape[d]
    return sizes


class UnsupportedNodes(Exception):
    """Every node that has no form in TFLite, as (node, why)."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(f"{len(problems)} nodes")
        self.problems = list(problems)


def clip_limits(net: Net, node: Node) -> tuple[float | None, float | None]:
    """Return the limits of a Clip, None where it has none."""
    if node.op == "Relu6":
        return 0.0, 6.0
    return net.scalar(node, 1, "min"), net.scalar(node, 2, "max")


def label(node: Node) -> str:
    """Return a short name for what a node becomes: ``layer1.0/conv1`` of ``/layer1/layer1.0/conv1/Conv``.

    PyTorch repeats the path of a module in each of its parts.
    """
    parts = [p for p in re.split(r"/+", node.name) if p]
    kept: list[str] = []
    for part in parts:
        if kept and (part == kept[-1] or part.startswith(f"{kept[-1]}.")):
            kept.pop()
        kept.append(part)
    text = "/".join(kept) or node.op.rpartition(".")[2].lower()
    return re.sub(r"_output_0$", "", text)[-60:]


__all__ = ["NONE", "RELU", "RELU6", "Handler", "Lowering", "UnsupportedNodes", "clip_limits", "label", "stored",
           "stored_dtype"]  # fmt: skip
