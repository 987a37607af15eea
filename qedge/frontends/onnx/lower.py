"""Lowers a graph to TFLite operators: which tensor holds each value, and in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.frontends.onnx import layout
from qedge.frontends.onnx.algebra import NONE, RELU, RELU6, Algebra
from qedge.frontends.onnx.emit import Writer, stored, stored_dtype
from qedge.frontends.onnx.layout import Order
from qedge.frontends.onnx.net import Net, Node, Unsupported

Array = npt.NDArray[Any]
Handler = Callable[["Lowering", Node], None]

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


_BATCHES = {"Squeeze", "Unsqueeze", "Gather"}
"""What takes an image out of a batch of one and puts it back, as torchvision's detectors do."""
IMAGE = 3
"""Dimensions of an image without its batch."""


class Lowering(Algebra):
    """Turns the nodes of a :class:`Net` into operators of a :class:`Writer`, one handler a node.

    Args:
        net: is read, and simplified before.
        handlers: by operator.
    """

    def __init__(self, net: Net, handlers: dict[str, Handler]) -> None:
        super().__init__(Writer())
        self.net, self.handlers = net, handlers
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
        for node in self.net.users.get(name, []):
            if node.op in _CHANNELS_FIRST:
                return True
            if any(
                self._passes(node, name, o) and self._wants_channels_last(o, seen) for o in node.outputs if o
            ):
                return True
        return False

    def _passes(self, node: Node, name: str, output: str) -> bool:
        """Return whether an output has the dimensions of an input; of images those behind the batch."""
        before, after = self.net.shape(name), self.net.shape(output)
        if node.op in _BATCHES and len(before) != len(after):
            return min(len(before), len(after)) == IMAGE and before[-IMAGE:] == after[-IMAGE:]
        return node.op in _PASSES and len(before) == len(after)

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
