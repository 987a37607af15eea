"""Exact shapes and every constant of a model: ONNX's shape inference, and onnxruntime for what it leaves open.

Nothing is computed twice, and no activation is kept: constants are folded by running only the nodes that no input
reaches, and a shape that inference cannot tell comes from a run that asks for the values in question.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.findings import Finding
from qedge.frontends.onnx.control import captured, choose, unfold
from qedge.frontends.onnx.inputs import check_size, fix_shapes, fixed_values, static_type
from qedge.frontends.onnx.net import Net, Node
from qedge.frontends.onnx.reading import op_name, opset_of
from qedge.frontends.onnx.session import random_inputs, run, short
from qedge.frontends.protocol import Refusal, require

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_RANDOM = {
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
}
_DATA_DEPENDENT = {"NonZero", "NonMaxSuppression", "Unique", "Compress", "If", "Loop", "Scan", "RoiAlign"}
_SMALL = 1 << 12
"""Constants of at most this many values are shown to shape inference."""


class Model:
    """A ``ModelProto`` made static, with what is known about its values.

    Args:
        proto: is changed in place: inputs fixed, control flow written in line, constants folded.
        input_shapes: shape by input name; ``""`` is the only input.
        input_values: value by input name: the input becomes a constant.
    """

    def __init__(
        self,
        proto: Any,
        input_shapes: Mapping[str, Sequence[int]],
        input_values: Mapping[str, Sequence[float]],
    ) -> None:
        self.onnx = require("onnx", "ONNX")
        self.proto, self.graph, self.opset = proto, proto.graph, opset_of(proto)
        self.constants: dict[str, Array] = {}
        self.shapes: dict[str, Shape] = {}
        self.dtypes: dict[str, np.dtype[Any]] = {}
        self._pairs: list[tuple[str, str]] = []
        self._drop_types()
        for tensor in self.graph.initializer:
            if tensor.data_type != self.onnx.TensorProto.STRING:
                self._keep(tensor.name, self.onnx.numpy_helper.to_array(tensor))
        stored = {t.name for t in self.graph.initializer}
        inputs = [i for i in self.graph.input if i.name not in stored]
        for name, array in fixed_values(inputs, input_values, self.onnx).items():
            self._keep(name, array)
            self.graph.initializer.append(self.onnx.numpy_helper.from_array(array, name))
        left = [i for i in inputs if i.name not in self.constants]
        fix_shapes(left, input_shapes, {p.key: p.value for p in proto.metadata_props})
        for value in left:
            shape, dtype = static_type(value, self.onnx)
            self.shapes[value.name], self.dtypes[value.name] = shape, dtype
        kept = [i for i in self.graph.input if i.name not in self.constants]
        copies = [type(i).FromString(i.SerializeToString()) for i in kept]
        del self.graph.input[:]
        self.graph.input.extend(copies)
        self._settle()

    def _drop_types(self) -> None:
        """Forget stated types, which may be wrong; ONNX's inference takes an STFT that says nothing for two-sided."""
        for node in self.graph.node:
            if node.op_type == "STFT" and not any(a.name == "onesided" for a in node.attribute):
                node.attribute.append(self.onnx.helper.make_attribute("onesided", 1))
        del self.graph.value_info[:]
        for output in self.graph.output:
            if output.type.tensor_type.HasField("shape"):
                output.type.tensor_type.ClearField("shape")

    def _keep(self, name: str, values: Array) -> None:
        self.constants[name] = values
        self.shapes[name], self.dtypes[name] = tuple(values.shape), values.dtype

    def _settle(self) -> None:
        """Fold constants, infer shapes and take out control flow, until nothing changes."""
        for _ in range(64):
            self._fold()
            self._infer()
            changed = self._name_shapes()
            changed |= unfold(self.graph, self.constants, self.shapes.get, self.opset)
            if changed:
                for tensor in self.graph.initializer:  # unrolled loops bring constants of their own
                    if tensor.name not in self.constants:
                        self._keep(tensor.name, self.onnx.numpy_helper.to_array(tensor))
                continue
            if self._fold():
                continue
            unknown = [o for n in self.graph.node for o in n.output if o and (o not in self.shapes)]
            if not unknown and not any(n.op_type in ("If", "Loop", "Scan") for n in self.graph.node):
                self._check_pairs()
                return
            if any(n.op_type == "If" for n in self.graph.node):
                self._pairs += choose(self.graph, self.opset)
                continue
            self._refuse_data_dependent()
            self._ask(unknown)
        raise Refusal("its shapes do not settle", "export it with static shapes")

    def _check_pairs(self) -> None:
        """Refuse a choice between branches whose results have different shapes."""
        for yes, no in self._pairs:
            if self.shapes.get(yes) != self.shapes.get(no):
                raise unsupported([(f"If that gives {yes!r} or {no!r}", _why_dynamic("If"))])

    def _fold(self) -> bool:
        """Compute what no input reaches, and make it constants; return whether there was any."""
        known = set(self.constants) | {""}
        ready: list[Any] = []
        rest: list[Any] = []
        for node in self.graph.node:
            steady = node.op_type not in _RANDOM and all(i in known for i in (*node.input, *captured(node)))
            (ready if steady else rest).append(node)
            if steady:
                known.update(node.output)
        if not ready:
            return False
        outputs = [o for n in ready for o in n.output if o]
        self._compute(ready, outputs)
        kept = [type(n).FromString(n.SerializeToString()) for n in rest]
        del self.graph.node[:]
        self.graph.node.extend(kept)
        return True

    def _compute(self, nodes: Sequence[Any], outputs: Sequence[str]) -> None:
        plain = []
        for node in nodes:
            if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
                self._keep(node.output[0], self.onnx.numpy_helper.to_array(node.attribute[0].t))
            elif node.op_type == "Identity" and node.input[0] in self.constants:
                self._keep(node.output[0], self.constants[node.input[0]])
            else:
                plain.append(node)
        if not plain:
            return
        read = {i for n in plain for i in (*n.input, *captured(n))}
        graph = self.onnx.GraphProto(name="constants")
        graph.node.extend(plain)
        for name in sorted(read & set(self.constants)):
            graph.initializer.append(self.onnx.numpy_helper.from_array(self.constants[name], name))
        wanted = [o for n in plain for o in n.output if o]
        for name in wanted:
            graph.output.append(self.onnx.ValueInfoProto(name=name))
        self._check_folded(graph)
        for name, values in zip(wanted, run(self._wrap(graph), {}, wanted)):
            if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
                self._keep(name, values)
            else:
                raise Refusal(f"the value {name!r} is no tensor of numbers", "remove it from the model")

    def _check_folded(self, graph: Any) -> None:
        """Refuse constants that would unfold to more than is ever allocated."""
        for name, shape, dtype in self._inferred(graph):
            check_size(name, shape, dtype)

    def _wrap(self, graph: Any) -> Any:
        model = self.onnx.ModelProto()
        model.ir_version = min(int(self.proto.ir_version) or 8, 10)
        model.opset_import.extend(self.proto.opset_import)
        model.graph.CopyFrom(graph)
        return model

    def _inferred(self, graph: Any) -> list[tuple[str, Shape, np.dtype[Any]]]:
        """Return the static shapes that ONNX's inference finds; large constants become inputs for it."""
        light = self.onnx.GraphProto(name="shapes")
        light.node.extend(graph.node)
        light.input.extend(graph.input)
        light.output.extend(graph.output)
        helper = self.onnx.helper
        read = {i for n in graph.node for i in (*n.input, *captured(n))}
        for name in sorted(read & set(self.constants)):
            values = self.constants[name]
            if values.size <= _SMALL:
                light.initializer.append(self.onnx.numpy_helper.from_array(values, name))
            else:
                kind = helper.np_dtype_to_tensor_dtype(values.dtype)
                light.input.append(helper.make_tensor_value_info(name, kind, values.shape))
        try:
            done = self.onnx.shape_inference.infer_shapes(self._wrap(light), data_prop=True).graph
        except Exception as error:
            raise Refusal(f"its shapes contradict each other: {short(error)}") from None
        found = []
        for value in (*done.value_info, *done.output):
            kind = value.type.tensor_type
            if not kind.HasField("shape") or any(not d.HasField("dim_value") for d in kind.shape.dim):
                continue
            try:
                dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
            except (KeyError, TypeError):
                continue
            found.append((value.name, tuple(int(d.dim_value) for d in kind.shape.dim), dtype))
        return found

    def _infer(self) -> None:
        for name, shape, dtype in self._inferred(self.graph):
            if name not in self.constants:
                check_size(name, shape, dtype)
                self.shapes[name], self.dtypes[name] = shape, dtype

    def _name_shapes(self) -> bool:
        """Make constants of Shape and Size where the shape is known; return whether there was any."""
        rest, found = [], False
        for node in self.graph.node:
            shape = self.shapes.get(node.input[0]) if node.op_type in ("Shape", "Size") else None
            if shape is None:
                rest.append(node)
                continue
            found = True
            if node.op_type == "Size":
                self._keep(node.output[0], np.array(math.prod(shape), np.int64))
                continue
            attributes = {a.name: int(a.i) for a in node.attribute}
            part = shape[attributes.get("start", 0) : attributes.get("end", len(shape))]
            self._keep(node.output[0], np.array(part, np.int64).reshape(len(part)))
        if found:
            kept = [type(n).FromString(n.SerializeToString()) for n in rest]
            del self.graph.node[:]
            self.graph.node.extend(kept)
        return found

    def _refuse_data_dependent(self) -> None:
        found = [n for n in self.graph.node if n.op_type in _DATA_DEPENDENT]
        if found:
            raise unsupported(
                [(f"{op_name(n)} {n.name or n.output[0]!r}", _why_dynamic(n.op_type)) for n in found]
            )

    def _ask(self, names: Sequence[str]) -> None:
        """Get the shapes of values from a run."""
        results = run(self.runnable(names), random_inputs(self.graph, self.shapes, self.dtypes, 0), names)
        for name, values in zip(names, results):
            if not isinstance(values, np.ndarray):
                node = next(n for n in self.graph.node if name in n.output)
                label = f"{op_name(node)} {node.name or name!r}"
                raise unsupported([(label, f"what it gives, {name!r}, is no tensor but a sequence or a map")])
            self.shapes[name], self.dtypes[name] = tuple(values.shape), values.dtype

    def runnable(self, outputs: Sequence[str] = ()) -> Any:
        """Return a complete model for onnxruntime, with further values as outputs."""
        graph = self.onnx.GraphProto(name="model")
        graph.node.extend(self.graph.node)
        graph.input.extend(self.graph.input)
        read = {i for n in graph.node for i in (*n.input, *captured(n))} | {o.name for o in self.graph.output}
        for name in sorted(read & set(self.constants)):
            graph.initializer.append(self.onnx.numpy_helper.from_array(self.constants[name], name))
        for name in outputs or [o.name for o in self.graph.output]:
            graph.output.append(self.onnx.ValueInfoProto(name=name))
        return self._wrap(graph)

    def net(self) -> Net:
        """Return the graph for the emitter."""
        helper = self.onnx.helper
        nodes = []
        for node in self.graph.node:
            attributes = {}
            for a in node.attribute:
                value = helper.get_attribute_value(a)
                if isinstance(value, bytes):
                    value = value.decode("utf-8", "replace")
                elif isinstance(value, self.onnx.TensorProto):
                    value = self.onnx.numpy_helper.to_array(value)
                elif isinstance(value, (list, tuple)) and value and isinstance(value[0], bytes):
                    value = [v.decode("utf-8", "replace") for v in value]
                attributes[a.name] = value
            first = next((o for o in node.output if o), "")
            nodes.append(
                Node(op_name(node), node.name or first, list(node.input), list(node.output), attributes)
            )
        net = Net(
            nodes,
            [i.name for i in self.graph.input],
            [o.name for o in self.graph.output],
            dict(self.constants),
            dict(self.shapes),
            dict(self.dtypes),
            self.opset,
        )
        net.sweep()
        return net


def _why_dynamic(op: str) -> str:
    return {
        "NonMaxSuppression": "how much it gives depends on the data: export the model without it, and let the"
        " post-processing drop overlapping boxes",
        "If": "which branch runs depends on the data: fix the input that decides with --input-value NAME=VALUE",
        "Loop": "how often it runs depends on the data",
    }.get(op, "the shape of what it gives depends on the data")


PLAIN = "replace them in the model, or cut it before them and do the rest in your program"
WAYS_OUT = {
    "GridSample": "deformable attention (RT-DETR, D-FINE) reads pixels at places that it computes: take"
    " a detector of convolutions (YOLO, SSD, RTMDet), or of plain attention (DETR)",
    "RoiAlign": "a detector of two stages (Faster R-CNN) looks again at what its first one finds: take one of a single"
    " stage (SSD, RetinaNet, YOLO)",
}
"""What to do without an operator that a whole family of models is built on."""


def unsupported(problems: Sequence[tuple[str, str]]) -> Refusal:
    """Return the refusal that names every node that has no form in TFLite."""
    told = "; ".join(f"{node}: {why}" for node, why in problems[:20])
    more = f"; and {len(problems) - 20} more" if len(problems) > 20 else ""
    count = "1 node has" if len(problems) == 1 else f"{len(problems)} nodes have"
    return Refusal(
        f"{count} no form in TFLite: {told}{more}",
        next(
            (way for op, way in WAYS_OUT.items() if any(node.split()[0] == op for node, _ in problems)), PLAIN
        ),
        kind="unsupported",
        findings=[Finding("error", "onnx-operator", why, op=node) for node, why in problems],
    )
