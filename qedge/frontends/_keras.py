"""Keras models in the child process: load, make static, trace."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qedge.frontends._keras_ops import simplify
from qedge.frontends._recurrent import unroll
from qedge.frontends._shapes import check_numeric, static_shapes
from qedge.frontends.protocol import Refusal, require


def traced(
    path: Path, kind: str, shapes: Mapping[str, Sequence[int]], trusted: bool = False
) -> tuple[Any, Any, list[str], list[str]]:
    """Return a Keras file's concrete function with batch 1, its model, and its input and output names.

    ``trusted`` lets Lambda layers run; the file has been looked through for them before.
    """
    tf = require("tensorflow", "TensorFlow")
    keras = _keras_for(path, kind)
    if not trusted:
        _forbid_code(keras)
    simplify(keras)
    model = keras.models.load_model(str(path), compile=False, **({"safe_mode": False} if trusted else {}))
    if not getattr(model, "inputs", None):
        raise Refusal("it has no defined inputs", "call the model once on data before you save it")
    _prepare(model)
    names = _input_names(model)
    for name, tensor in zip(names, model.inputs):
        check_numeric(name, tensor.dtype)
    settled = static_shapes([(n, tuple(t.shape)) for n, t in zip(names, model.inputs)], shapes)
    specs = [
        tf.TensorSpec(shape, tensor.dtype, f"input_{i:03d}")
        for i, (shape, tensor) in enumerate(zip(settled, model.inputs))
    ]
    outputs = _output_names(model)

    def call(*arrays: Any) -> dict[str, Any]:
        flat = tf.nest.flatten(_call(model, arrays))
        return {f"output_{i:03d}": tf.identity(t) for i, t in enumerate(flat)}

    function = tf.function(call, autograph=False).get_concrete_function(*specs)
    return function, model, names, outputs


def _keras_for(path: Path, kind: str) -> Any:
    """Return the Keras that can read a file: Keras 3, or tf-keras for what Keras 1 and 2 wrote."""
    version = _version(path, kind)
    if version.startswith(("1.", "2.")) or (kind != "keras" and not version):
        return require("tf_keras", "tf-keras (it was saved by Keras 2)")
    return require("keras", "Keras")


def _forbid_code(keras: Any) -> None:
    """Make loading a Lambda fail, whatever file it is in: tf-keras runs those of ``.h5`` files and SavedModels."""

    def refuse(cls: Any, *_given: Any, **_named: Any) -> Any:
        raise Refusal("it has a Lambda layer, which holds Python code that is not run for safety")

    keras.layers.Lambda.from_config = classmethod(refuse)


def is_recurrent_folder(path: Path) -> bool:
    """Return whether a SavedModel was written by Keras 2 and has recurrent layers.

    Its graph has loops in their place; tf-keras restores the layers, which can be unrolled.
    """
    metadata = path / "keras_metadata.pb"
    names = rb'"class_name": "(?:LSTM|GRU|SimpleRNN|RNN|Bidirectional)"'
    return metadata.is_file() and re.search(names, metadata.read_bytes()) is not None


def _version(path: Path, kind: str) -> str:
    """Return the version of Keras that wrote a file, ``""`` when it does not say."""
    if kind == "savedmodel":
        return ""
    if kind == "keras":
        with zipfile.ZipFile(path) as archive:
            if "metadata.json" not in archive.namelist():
                return ""
            return str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
    h5py = require("h5py", "h5py")
    try:
        with h5py.File(path, "r") as file:
            version = file.attrs.get("keras_version", "")
            if "model_config" not in file.attrs:
                raise Refusal(
                    "it holds weights only, no model"
                    if "layer_names" in file or len(file)
                    else "it is empty",
                    "save the whole model: model.save('model.keras')",
                )
    except OSError as error:
        raise Refusal(f"the file is damaged or truncated ({error})", "save or copy it again") from error
    return version.decode() if isinstance(version, bytes) else str(version)


def _call(model: Any, arrays: Sequence[Any]) -> Any:
    """Call a model for inference with its inputs in the structure that it wants."""
    structure = getattr(model, "_inputs_struct", None)
    if structure is None:
        structure = getattr(model, "_nested_inputs", None)
    if isinstance(structure, Mapping):
        return model(dict(zip(structure, _by_key(structure, model, arrays))), training=False)
    return model(arrays[0] if len(arrays) == 1 else list(arrays), training=False)


def _by_key(structure: Mapping[str, Any], model: Any, arrays: Sequence[Any]) -> list[Any]:
    place = {id(tensor): i for i, tensor in enumerate(model.inputs)}
    return [arrays[place[id(tensor)]] for tensor in structure.values()]


def _prepare(model: Any) -> None:
    """Make layers fit for a static float graph: recurrences unrolled, half precision made float32, masks named."""
    _name_masks(model)
    for layer in _layers(model):
        if getattr(layer, "stateful", False):
            raise Refusal(
                f"the layer {layer.name!r} keeps its state between calls (stateful=True)",
                "give the state as an input and an output of the model, or use stateful=False",
            )
        unroll(layer)
        policy = getattr(layer, "dtype_policy", None)
        if getattr(policy, "compute_dtype", "float32") in ("float16", "bfloat16"):
            # Keras 3 has a property, tf-keras a method.
            set_policy = getattr(layer, "_set_dtype_policy", None)
            if set_policy is None:
                layer.dtype_policy = "float32"
            else:
                set_policy("float32")


def _name_masks(model: Any) -> None:
    """Let the operations that compute a layer's mask carry the layer's name: Keras 3 has them beside its layers."""
    tf = require("tensorflow", "TensorFlow")
    named: set[int] = set()

    def scoped(call: Any, name: str) -> Any:
        def within(*given: Any, **options: Any) -> Any:
            around = tf.compat.v1.get_default_graph().get_name_scope()
            # With a slash at the end a scope is entered again, not numbered anew.
            with tf.name_scope(f"{around}/{name}/" if around else f"{name}/"):
                return call(*given, **options)

        return within

    nodes = [(layer, n) for layer in _layers(model) for n in getattr(layer, "_inbound_nodes", ())]
    nodes = [(layer, n) for layer, n in nodes if hasattr(n, "input_tensors") and hasattr(n, "arguments")]
    reads = {id(t): layer for layer, n in nodes for t in n.input_tensors if _makes_masks(layer)}
    for _, node in nodes:
        for key, mask in node.arguments.kwargs.items():
            if not key.endswith("mask") or not hasattr(mask, "_keras_history"):
                continue
            operations, sources = _up_to_layers(mask)
            names = [reads[id(t)].name for t in sources if id(t) in reads]
            for operation in operations if names else ():
                if id(operation) not in named:
                    named.add(id(operation))
                    # Keras opens a layer's scope to build and to call it; a trace has the number of the latter.
                    operation.call = scoped(operation.call, f"{names[0]}_1")


def _makes_masks(layer: Any) -> bool:
    """Whether a layer computes a mask from what it reads: Masking and Embedding do, others hand theirs on."""
    return hasattr(layer, "mask_value") or bool(getattr(layer, "mask_zero", False))


def _up_to_layers(tensor: Any) -> tuple[list[Any], list[Any]]:
    """Return the operations of Keras that are no layers behind a tensor, and what the first of them read."""
    operations, sources, reached = [], [], [tensor]
    while reached:
        found = reached.pop()
        maker, position, _ = found._keras_history
        if hasattr(maker, "compute_mask"):
            sources.append(found)
        else:
            operations.append(maker)
            reached += maker._inbound_nodes[position].input_tensors
    return operations, sources


def _layers(model: Any) -> Iterator[Any]:
    yield from model._flatten_layers()


def _input_names(model: Any) -> list[str]:
    names = getattr(model, "input_names", None)
    if not names or len(names) != len(model.inputs):
        names = [t.name for t in model.inputs]
    return unique([str(n).split(":")[0] for n in names])


def _output_names(model: Any) -> list[str]:
    structure = getattr(model, "_outputs_struct", None)
    if structure is None:  # no "or": a single KerasTensor has no truth value
        structure = getattr(model, "_nested_outputs", None)
    if isinstance(structure, Mapping) and len(structure) == len(model.outputs):
        return sorted(structure)  # a nest is flattened in the order of its sorted keys
    names = []
    for i, tensor in enumerate(model.outputs):
        history = getattr(tensor, "_keras_history", None)
        operation = getattr(history, "operation", None) or getattr(history, "layer", None)
        names.append(str(getattr(operation, "name", f"output_{i}")))
    return unique(names)


def unique(names: Sequence[str]) -> list[str]:
    """Return the names with a number behind those that came before."""
    result: list[str] = []
    for name in names:
        candidate, n = name, 1
        while candidate in result:
            candidate, n = f"{name}_{n}", n + 1
        result.append(candidate)
    return result
