"""Other outputs for a ``.tflite`` without taking it apart: what a run is to show, not what a file is to hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qedge.graph import schema

_OUTPUTS = 8  # of SubGraph's fields in its vtable: tensors, inputs, outputs (schema.fbs)


def with_outputs(data: bytes, tensors: Sequence[int]) -> bytes:
    """Return the model with these outputs of its main subgraph, its signature left as it was.

    The new vector goes to the end, where the subgraph's table is pointed to: offsets of a flatbuffer only run
    forwards, so nothing else moves.
    """
    root = schema.generated().Model.GetRootAs(data, 0)
    table = root.Subgraphs(0)._tab
    place = table.Pos + table.Offset(_OUTPUTS)
    if place == table.Pos:
        raise ValueError("the model has no outputs")
    held = bytearray(data)
    held += bytes(-len(held) % 4)
    end = len(held)
    held += np.array([len(tensors), *tensors], "<u4").tobytes()
    held[place : place + 4] = np.array([end - place], "<u4").tobytes()
    return bytes(held)


def tensor_named(data: bytes, name: str) -> int:
    """Return the index of the main subgraph's tensor of this name; KeyError where there is none."""
    subgraph, wanted = schema.generated().Model.GetRootAs(data, 0).Subgraphs(0), name.encode()
    for index in range(subgraph.TensorsLength()):
        if subgraph.Tensors(index).Name() == wanted:
            return index
    raise KeyError(name)


def outputs_of(data: bytes) -> tuple[int, ...]:
    """Return the tensor indices of the main subgraph's outputs."""
    return tuple(int(t) for t in schema.generated().Model.GetRootAs(data, 0).Subgraphs(0).OutputsAsNumpy())


def metadata_of(data: bytes, name: str) -> bytes:
    """Return what a model holds beside its graph under a name, ``b""`` where there is nothing."""
    root, wanted = schema.generated().Model.GetRootAs(data, 0), name.encode()
    for index in range(root.MetadataLength()):
        entry = root.Metadata(index)
        if entry.Name() == wanted:
            return bytes(root.Buffers(entry.Buffer()).DataAsNumpy())
    return b""
