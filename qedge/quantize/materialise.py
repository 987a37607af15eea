"""Writes the quantised flatbuffer that a plan describes.

Names of activations are kept, so that the layers of both models can be told apart by name. Constants get short
ones: other readers (OpenVINO, tf2onnx) look tensors up by name, and one of up to three letters takes no more
room than none. No two tensors share a name; constants with the same bytes are stored once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, product
from string import ascii_lowercase
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge._version import __version__
from qedge.graph import Operator, schema
from qedge.graph.edit import Editor, pack_int4
from qedge.graph.view import Tensor
from qedge.processing.affine import INPUTS_KEY, OUTPUTS_KEY
from qedge.quantize.affine import FLOAT, Affine
from qedge.quantize.model import STEPS_KEY, FloatModel, encode_steps
from qedge.quantize.plan import Plan, data_slots, weight_slots
from qedge.quantize.rules import RULES
from qedge.quantize.tables import Table, entries, find_tables

Array = npt.NDArray[Any]
Codes = Mapping[int, npt.NDArray[np.int8]]
Biases = Mapping[int, npt.NDArray[np.float32]]

_CARRIED = (
    "builtinOptionsType",
    "builtinOptions",
    "builtinOptions2Type",
    "builtinOptions2",
    "customOptions",
)


def materialise(
    model: FloatModel,
    source: Editor,
    plan: Plan,
    *,
    io: str = "auto",
    codes: Codes | None = None,
    biases: Biases | None = None,
) -> bytes:
    """Return the quantised ``.tflite``; the same arguments give the same bytes.

    Args:
        model: the float model.
        source: an editor of it, left as it is.
        plan: type, scale and zero point of every tensor.
        io: type of the model's inputs and outputs, see :class:`qedge.quantize.options.QuantizeOptions`.
        codes: int8 weights, by tensor, in place of the nearest ones.
        biases: biases in real numbers, by tensor, in place of the float model's.
    """
    return _Writer(model, source, plan, codes or {}, biases or {}).write(io)


class _Writer:
    def __init__(self, model: FloatModel, source: Editor, plan: Plan, codes: Codes, biases: Biases) -> None:
        self.graph, self.steps = model.graph, model.steps
        self.source, self.plan, self.codes, self.biases = source, plan, codes, biases
        self.editor = Editor.empty(f"qedge {__version__}")
        self.vectors: dict[bytes, int] = {}
        self.native: dict[int, int] = {}
        self.converted: dict[tuple[int, Affine], int] = {}
        self.constants: dict[tuple[int, Affine | None], int] = {}
        # Names of the float model are not given away: its activations keep them.
        self.tables = {table.operators[-1]: table for table in find_tables(self.graph)}
        self.kept = {t.name for t in self.graph.tensors if not t.is_constant}
        self.named: set[str] = set()
        self.short = _short_names()

    def write(self, io: str) -> bytes:
        inputs = [self._input(t, io) for t in self.graph.inputs]
        for op in self.graph.operators:
            self._operator(op)
        outputs = [self._output(t, io) for t in self.graph.outputs]
        editor = self.editor
        editor.inputs, editor.outputs = inputs, outputs
        editor.sign(list(zip(self.graph.input_names, inputs)), list(zip(self.graph.output_names, outputs)))
        if self.steps:
            self._note_equalisation()
        for key in (INPUTS_KEY, OUTPUTS_KEY):
            if key in self.graph.metadata:
                editor.add_metadata(key, self.graph.metadata[key])
        editor.sweep(share=True)
        return editor.pack()

    def _note_equalisation(self) -> None:
        """Store the metadata by which the layers of both models can still be compared."""
        names = {self.graph.tensors[t].name: index for t, index in self.native.items()}
        steps = {names[name]: values for name, values in self.steps.items() if name in names}
        self.editor.add_metadata(STEPS_KEY, encode_steps(steps))

    # Tensors

    def _tensor(
        self, name: str, shape: tuple[int, ...], dtype: str, affine: Affine | None, data: bytes = b""
    ) -> int:
        if not name or name in self.named:
            name = next(n for n in self.short if n not in self.kept)
        self.named.add(name)
        quantised = affine is not None and affine.dtype != "float32"
        quantization = _Quantization(affine, self.vectors) if affine is not None and quantised else None
        return self.editor.tensor(name, shape, dtype, data=data, quantization=quantization)

    def _activation(self, t: int, affine: Affine, name: str | None = None) -> int:
        tensor = self.graph.tensors[t]
        return self._tensor(name or tensor.name, tensor.shape, affine.dtype, affine)

    def _constant(self, t: int, affine: Affine | None) -> int:
        """Return a constant stored as ``affine``, or as it is (None)."""
        key = t, affine
        if key not in self.constants:
            tensor = self.graph.tensors[t]
            assert tensor.data is not None
            if affine is None or affine.dtype == tensor.dtype:
                stored, dtype, affine = tensor.data, tensor.dtype, None
            else:
                stored, dtype = affine.codes(self.biases.get(t, tensor.data)), affine.dtype
                if t in self.codes:
                    stored = self.codes[t]
            raw = pack_int4(stored) if dtype == "int4" else np.ascontiguousarray(stored).tobytes()
            self.constants[key] = self._tensor("", tensor.shape, dtype, affine, raw)
        return self.constants[key]

    def _read(self, t: int, affine: Affine) -> int:
        """Return tensor ``t`` as ``affine``, converted once where its producer writes something else."""
        if self.graph.tensors[t].is_constant:
            return self._constant(t, affine)
        if self.plan.tensors[t] == affine:
            return self.native[t]
        key = t, affine
        if key not in self.converted:
            source = self.native[t]
            name = f"{self.graph.tensors[t].name}/{affine.dtype}"
            self.converted[key] = self._activation(t, affine, name)
            self._convert(source, self.plan.tensors[t], self.converted[key], affine)
        return self.converted[key]

    def _convert(self, source: int, given: Affine, destination: int, wanted: Affine) -> None:
        if wanted.dtype == "float32":
            version = 3 if given.dtype == "int16" else 2
            self._emit("DEQUANTIZE", version, [source], [destination])
        else:
            version = 1 if given.dtype == "float32" and wanted.dtype != "int16" else 2
            self._emit("QUANTIZE", version, [source], [destination])

    # Inputs and outputs

    def _outside(self, t: int, io: str) -> Affine:
        """Return how a model input or output looks from outside."""
        if io == "float32":
            return FLOAT
        native = self.plan.tensors[t]
        if native.dtype == "int16" and io in ("auto", "int16"):
            return native
        if io == "int16" or (io == "auto" and native == FLOAT):
            return self.plan.wide[t]
        inside = self.plan.outside.get(t, native)
        if io == "uint8":
            return Affine("uint8", inside.scale, inside.zero_point + 128)
        return inside

    def _input(self, t: int, io: str) -> int:
        tensor = self.graph.tensors[t]
        if tensor.dtype != "float32":
            self.native[t] = self._plain(tensor)
            return self.native[t]
        inside, outside = self.plan.tensors[t], self._outside(t, io)
        if inside == outside:
            self.native[t] = self._activation(t, inside)
            return self.native[t]
        entry = self._activation(t, outside)
        readers = self.graph.consumers[t]
        if outside == FLOAT and all(self.plan.modes[op.index] == "float" for op in readers):
            self.native[t] = entry
            self.converted[t, FLOAT] = entry
            return entry
        self.native[t] = self._activation(t, inside, f"{tensor.name}/{inside.dtype}")
        self._convert(entry, outside, self.native[t], inside)
        if outside == FLOAT:
            self.converted[t, FLOAT] = entry
        return entry

    def _output(self, t: int, io: str) -> int:
        if t not in self.plan.tensors:
            return self.native[t]
        return self._read(t, self._outside(t, io))

    def _plain(self, tensor: Tensor) -> int:
        return self._tensor(tensor.name, tensor.shape, tensor.dtype, None)

    # Operators

    def _emit(
        self,
        name: str,
        version: int,
        inputs: list[int],
        outputs: list[int],
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.editor.append(self.editor.operator(name, inputs, outputs, options, version=version))

    def _operator(self, op: Operator) -> None:
        mode = self.plan.modes[op.index]
        if mode == "table":
            table = self.tables.get(op.index)
            if table is not None:
                self._table(table)
            return
        rule = RULES.get(op.op)
        inputs = []
        data = set(data_slots(self.graph, op))
        for slot, t in enumerate(op.inputs):
            if t < 0:
                inputs.append(-1)
            elif slot in data:
                inputs.append(self._read(t, FLOAT if mode == "float" else self.plan.reads(op, slot)))
            elif mode != "float" and rule is not None and rule.kind == "weights" and slot == rule.weight:
                inputs.append(self._constant(t, self.plan.tensors[t]))
            elif mode != "float" and rule is not None and rule.kind == "weights" and slot == rule.bias:
                inputs.append(self._bias(op, t))
            elif self.graph.tensors[t].is_constant:
                inputs.append(self._constant(t, None))
            elif self.graph.tensors[t].dtype == "float32":
                inputs.append(self._read(t, FLOAT))
            else:
                inputs.append(self.native[t])
        outputs = []
        for t in op.outputs:
            tensor = self.graph.tensors[t]
            affine = self.plan.tensors.get(t)
            index = self._plain(tensor) if affine is None else self._activation(t, affine)
            self.native[t] = index
            outputs.append(index)
        if op.op == "SQUARED_DIFFERENCE" and mode == "int16":
            self._square_of_difference(op, inputs, outputs[0])
            return
        original, version = self.source.node(op.index), self._version(op, mode)
        node = self.editor.operator(op.op, inputs, outputs, version=version, custom=op.custom_name)
        for key in _CARRIED:
            setattr(node, key, getattr(original, key))
        self.editor.append(node)

    def _square_of_difference(self, op: Operator, inputs: list[int], output: int) -> None:
        """Write a squared difference as SUB and MUL: it has no int16 kernel, and they have.

        Its own range says how far the difference goes.
        """
        (t,) = op.outputs
        largest = 32767 * self.plan.tensors[t].scale[0]
        affine = Affine("int16", (float(np.float32(np.sqrt(largest) / 32767)),))
        difference = self._activation(t, affine, f"{self.graph.tensors[t].name}/difference")
        plain = {"fused_activation_function": "NONE"}
        self._emit("SUB", RULES["SUB"].version_int16 or 0, inputs, [difference], plain)
        self._emit("MUL", RULES["MUL"].version_int16 or 0, [difference, difference], [output], plain)

    def _table(self, table: Table) -> None:
        """Write a function as CAST, ADD and GATHER; all between its input and its output is gone."""
        given, wanted = self.plan.tensors[table.source], self.plan.tensors[table.result]
        coded = self.plan.coded.get(table.source, given)
        shape = self.graph.tensors[table.source].shape
        source = self._read(table.source, coded)
        number, index = (self._tensor("", shape, "int32", None) for _ in range(2))
        first = self._tensor("", (), "int32", None, np.int32(128).tobytes())
        codes = entries(self.source, self.graph, table, coded, wanted)
        values = self._tensor("", (256,), "int8", wanted, codes.tobytes())
        self.native[table.result] = self._activation(table.result, wanted)
        self._emit("CAST", 1, [source], [number], {"in_data_type": "INT8", "out_data_type": "INT32"})
        self._emit("ADD", 1, [number, first], [index], {"fused_activation_function": "NONE"})
        self._emit("GATHER", 2, [values, index], [self.native[table.result]], {"axis": 0})

    def _version(self, op: Operator, mode: str) -> int:
        rule = RULES.get(op.op)
        if rule is None or mode in ("float", "plain"):
            return op.version
        needed = rule.version if mode == "int8" else rule.version_int16 or rule.version
        if rule.kind == "weights" and self.plan.tensors[weight_slots(self.graph, op)[0]].dtype == "int4":
            return rule.version_int4
        if op.op == "FULLY_CONNECTED":
            weight, bias = weight_slots(self.graph, op)
            if len(self.plan.tensors[weight].scale) > 1:
                needed = max(needed, 12)
            if op.options.get("keep_num_dims"):
                needed = max(needed, 5)
            if bias < 0:
                needed = max(needed, 6)
            return needed
        if op.op in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            return max(needed, op.version if mode == "int8" and op.version > 3 else needed)
        return max(needed, op.version)

    def _bias(self, op: Operator, t: int) -> int:
        weight, _ = weight_slots(self.graph, op)
        scales = self.plan.tensors[weight].scale
        read = self.plan.reads(op, data_slots(self.graph, op)[0])
        product = tuple(float(np.float32(read.scale[0]) * np.float32(s)) for s in scales)
        if read.dtype == "int16":
            return self._constant(t, Affine("int64", product))
        return self._constant(t, Affine("int32", product))


def _short_names() -> Iterator[str]:
    """Yield ``a``, ``b`` ... ``z``, ``aa``, ``ab`` and so on."""
    for length in count(1):
        for letters in product(ascii_lowercase, repeat=length):
            yield "".join(letters)


class _Quantization:
    """Packs as ``QuantizationParametersT``; equal vectors of the whole model, zeros above all, are stored once."""

    def __init__(self, affine: Affine, vectors: dict[bytes, int]) -> None:
        self.affine, self.vectors = affine, vectors

    def Pack(self, builder: Any) -> int:
        s, affine = schema.generated(), self.affine
        scale = self._vector(builder, np.array(affine.scale, np.float32))
        zero = self._vector(builder, np.full(len(affine.scale), affine.zero_point, np.int64))
        s.QuantizationParametersStart(builder)
        s.QuantizationParametersAddScale(builder, scale)
        s.QuantizationParametersAddZeroPoint(builder, zero)
        s.QuantizationParametersAddQuantizedDimension(builder, affine.axis if len(affine.scale) > 1 else 0)
        return int(s.QuantizationParametersEnd(builder))

    def _vector(self, builder: Any, values: Array) -> int:
        key = values.dtype.str.encode() + values.tobytes()
        if key not in self.vectors:
            self.vectors[key] = int(builder.CreateNumpyVector(values))
        return self.vectors[key]
