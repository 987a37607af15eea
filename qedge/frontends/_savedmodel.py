"""SavedModels in the child process: load whatever saved them, make static, trace."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qedge.frontends._savedmodel_hazards import read
from qedge.frontends._shapes import check_numeric, static_shapes
from qedge.frontends._tensorflow import layers_of
from qedge.frontends.protocol import Refusal, require

_LOOPS = ("While", "StatelessWhile", "TensorListReserve", "Enter", "CudnnRNNV3")


def traced(
    path: Path, folder: Path, shapes: Mapping[str, Sequence[int]]
) -> tuple[Any, Any, list[str], list[str]]:
    """Return a SavedModel's signature with batch 1, its owner, and its input and output names."""
    tf = require("tensorflow", "TensorFlow")
    owner = tf.saved_model.load(str(_without_slots(path, folder)))
    signature = _signature(owner)
    declared = signature.structured_input_signature[1]
    names = list(declared)
    for name in names:
        check_numeric(name, declared[name].dtype)
    settled = static_shapes([(name, _dims(declared[name].shape)) for name in names], shapes)
    specs = [
        tf.TensorSpec(shape, declared[name].dtype, f"input_{i:03d}")
        for i, (name, shape) in enumerate(zip(names, settled))
    ]
    outputs = list(signature.structured_outputs)

    def call(*arrays: Any) -> dict[str, Any]:
        found = signature(**dict(zip(names, arrays)))
        return {f"output_{i:03d}": tf.identity(found[name]) for i, name in enumerate(outputs)}

    function = tf.function(call, autograph=False).get_concrete_function(*specs)
    _refuse_loops(function)
    return function, owner, names, outputs


def _dims(shape: Any) -> list[int | None] | None:
    return None if shape.rank is None else list(shape.as_list())


def _signature(owner: Any) -> Any:
    known = {k: v for k, v in owner.signatures.items() if not k.startswith("__")}
    if "serving_default" in known:
        return known["serving_default"]
    if len(known) == 1:
        return next(iter(known.values()))
    raise Refusal(
        f"it has {len(known)} signatures ({', '.join(known) or 'none'}) and none is serving_default",
        "save it with the signature to use as serving_default",
    )


def _without_slots(path: Path, folder: Path) -> Path:
    """Return a copy without the optimiser's slot variables, which Keras 2 saved and nothing else can load.

    The large files are linked, not copied.
    """
    model = read(path)
    found = False
    for graph in model.meta_graphs:
        for node in graph.object_graph_def.nodes:
            found |= bool(node.slot_variables)
            del node.slot_variables[:]
    if not found:
        return path
    copy = folder / "saved_model"
    copy.mkdir()
    (copy / "saved_model.pb").write_bytes(model.SerializeToString(deterministic=True))
    for name in ("variables", "assets"):
        if (path / name).is_dir():
            os.symlink(path / name, copy / name, target_is_directory=True)
    return copy


def _refuse_loops(function: Any) -> None:
    """Refuse recurrent layers, which a SavedModel holds as loops that no target runs.

    Raises:
        Refusal: there is a loop.
    """
    layers = [name for op in _LOOPS for name in layers_of(function, op)]
    if layers:
        named = ", ".join(map(repr, dict.fromkeys(layers)))
        raise Refusal(
            f"it holds a loop in place of each recurrent layer ({named}), which no target runs",
            "pass the .keras file: qedge unrolls its recurrent layers; or export the model from layers made with"
            " unroll=True",
        )
