"""Write what the Edge TPU compiler writes: a custom operator whose package holds the model it stands for."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers

from qedge.graph import Graph, schema

CUSTOM_OP = b"edgetpu-custom-op"
STAND_ALONE = 0


def package_bytes(model: bytes, min_runtime: int = 13) -> bytes:
    """Return the options of an Edge TPU operator; the model it runs lies before its parameters."""
    executable = _executable(model + parameters(model))
    builder = flatbuffers.Builder(len(executable) + 1024)
    one = builder.CreateByteVector(executable)
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(one)
    programs = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, programs, 0)
    builder.Finish(builder.EndObject())
    multi = bytes(builder.Output())

    builder = flatbuffers.Builder(len(multi) + 1024)
    inner, version = builder.CreateByteVector(multi), builder.CreateString("stand-in")
    builder.StartObject(8)
    builder.PrependInt32Slot(0, min_runtime, 0)
    builder.PrependUOffsetTRelativeSlot(1, inner, 0)
    builder.PrependUOffsetTRelativeSlot(4, version, 0)
    builder.Finish(builder.EndObject(), b"DWN1")
    flex = flexbuffers.Builder()
    with flex.Map():
        flex.Key("1")
        flex.Int(1)
        flex.Key("4")
        flex.Blob(bytes(builder.Output()))
    return bytes(flex.Finish())


def parameters(model: bytes) -> bytes:
    """Return the weights of a model as the compiler lays them out: in lines, uint8, 64 outputs by 4 inputs a piece."""
    found = []
    for op in (graph := Graph.from_bytes(model)):
        if op.op not in ("CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D"):
            continue
        w = graph.tensors[op.inputs[1]]
        values = (np.asarray(w.data).astype(np.int16) + (128 if w.dtype == "int8" else 0)).astype(np.uint8)
        zero = int(w.quantization.zero_point[0]) + (128 if w.dtype == "int8" else 0)
        if op.op == "DEPTHWISE_CONV_2D":
            taps = values.reshape(-1, values.shape[-1])
            taps = np.pad(taps, ((0, 0), (0, -taps.shape[1] % 4)), constant_values=zero)
            squares = np.full((taps.shape[1] // 4, len(taps), 4, 4), zero, np.uint8)
            squares[:, :, range(4), range(4)] = taps.reshape(len(taps), -1, 4).transpose(1, 0, 2)
            found.append(squares.tobytes())
            continue
        deep = values.reshape(values.shape[0], -1, values.shape[-1])
        deep = np.pad(deep, ((0, 0), (0, 0), (0, -deep.shape[2] % 4)), constant_values=zero)
        for first in range(0, len(deep), 64):
            part = deep[first : first + 64]
            pieces = part.reshape(len(part), -1, 4).transpose(1, 0, 2).reshape(-1, len(part) * 4)
            found.append(np.pad(pieces, ((0, 0), (0, -pieces.shape[1] % 64))).tobytes())
    return bytes(-len(model) % 64) + b"".join(found)


def _executable(model: bytes) -> bytes:
    builder = flatbuffers.Builder(len(model) + 1024)
    parameters, bits = builder.CreateByteVector(model), builder.CreateByteVector(bytes(64))
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, bits, 0)
    chunk = builder.EndObject()
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(chunk)
    chunks = builder.EndVector()
    builder.StartObject(17)
    builder.PrependUOffsetTRelativeSlot(5, chunks, 0)
    builder.PrependUOffsetTRelativeSlot(6, parameters, 0)
    builder.PrependInt16Slot(13, STAND_ALONE, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def fold(model: bytes, members: list[int]) -> bytes:
    """Return the model with the operators ``members`` folded into one Edge TPU operator."""
    tree = schema.unpack(model)
    graph = tree.subgraphs[0]
    operators = list(graph.operators)
    inside = set(members)
    made = {int(t) for i in members for t in operators[i].outputs}
    constant = {i for i, t in enumerate(graph.tensors) if tree.buffers[t.buffer].data is not None}
    read = [int(t) for i in members for t in operators[i].inputs if t >= 0]
    needed = {int(t) for i, o in enumerate(operators) if i not in inside for t in o.inputs}
    needed |= {int(t) for t in graph.outputs}
    variable = {i for i, t in enumerate(graph.tensors) if t.isVariable}
    inputs = [t for t in dict.fromkeys(read) if t not in made and t not in constant and t not in variable]
    outputs = [t for t in dict.fromkeys(int(t) for i in members for t in operators[i].outputs) if t in needed]
    part = cut(model, members, inputs, outputs)

    generated = schema.generated()
    code = generated.OperatorCodeT()
    code.deprecatedBuiltinCode = code.builtinCode = 32
    code.customCode, code.version = CUSTOM_OP, 1
    tree.operatorCodes.append(code)
    op = generated.OperatorT()
    op.opcodeIndex, op.inputs, op.outputs = len(tree.operatorCodes) - 1, inputs, outputs
    op.customOptions = np.frombuffer(package_bytes(part), np.uint8)
    rest = [o for i, o in enumerate(operators) if i not in inside]
    before = [o for o in rest if all(int(t) not in made for t in _all_inputs(o, rest, made))]
    graph.operators = [*before, op, *[o for o in rest if o not in before]]
    return schema.pack(tree)


def _all_inputs(op: Any, rest: list[Any], made: set[int]) -> list[int]:
    """Return the tensors that an operator depends on, through the other operators that stay outside."""
    found: set[int] = set()
    queue = [int(t) for t in op.inputs]
    producers = {int(t): o for o in rest for t in o.outputs}
    while queue:
        t = queue.pop()
        if t in found:
            continue
        found.add(t)
        if t not in made and t in producers:
            queue += [int(i) for i in producers[t].inputs]
    return sorted(found)


def cut(model: bytes, members: list[int], inputs: list[int], outputs: list[int]) -> bytes:
    """Return a model of the operators ``members`` alone."""
    tree = schema.unpack(model)
    graph = tree.subgraphs[0]
    graph.operators = [graph.operators[i] for i in members]
    graph.inputs, graph.outputs = inputs, outputs
    tree.signatureDefs, tree.metadata = None, None
    return schema.pack(tree)
