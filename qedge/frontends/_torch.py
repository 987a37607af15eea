"""PyTorch in the child process: an exported program or a module, to ONNX, to ``.tflite``, compared with PyTorch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qedge.frontends.protocol import Converted, Job, Refusal, require

_OPSET = 18
_EXPORT_HINT = (
    "make sure that torch.export.export(model, example_inputs) takes the model: control flow that depends"
)
_EXPORT_HINT += " on data, and code that is no tensor operation, cannot be exported"


def convert(job: Job) -> Converted:
    """Return the ``.tflite`` of an exported program, or of the module that a function returns.

    Raises:
        Refusal: it cannot be read, exported or converted, or what comes out differs from PyTorch.
    """
    torch = require("torch", "PyTorch")
    require("onnxscript", "onnxscript")
    torch.set_num_threads(1)
    if job.path.is_file():
        try:
            program = torch.export.load(str(job.path))
        except Exception as error:
            raise Refusal(
                f"PyTorch {torch.__version__} cannot read it: {_first(error)}",
                "export it again with the PyTorch that is installed here",
            ) from error
        return _from_program(program, job)
    module, inputs = made_by(job)
    return _from_module(module, inputs, job)


def made_by(job: Job) -> tuple[Any, tuple[Any, ...]]:
    """Return the module that ``package.module:factory`` gives, in inference mode, and example inputs for it.

    Raises:
        Refusal: nothing can be imported, it fails, or it returns no module.
    """
    torch = require("torch", "PyTorch")
    where, _, name = job.given.partition(":")
    sys.path.insert(0, str(job.started_in))
    try:
        found: Any = importlib.import_module(where)
        for part in name.split("."):
            found = getattr(found, part)
        made = found() if callable(found) and not isinstance(found, torch.nn.Module) else found
    except Exception as error:
        raise Refusal(
            f"{name} of {where} fails: {_first(error)}",
            f"run from the folder where {where.partition('.')[0]} lies, and check the name",
        ) from error
    examples: Sequence[Any] = ()
    if isinstance(made, tuple) and len(made) == 2:
        made, examples = made
    if not isinstance(made, torch.nn.Module):
        raise Refusal(
            f"{job.given} gives {type(made).__name__}, expected a torch.nn.Module, or one with example inputs"
        )
    return made.eval(), _examples(made, examples, job.input_shapes)


def _examples(module: Any, given: Any, shapes: Mapping[str, Sequence[int]]) -> tuple[Any, ...]:
    """Return example inputs: those given, else random ones of the stated shapes, in the order of ``forward``."""
    import inspect

    torch = require("torch", "PyTorch")
    if isinstance(given, torch.Tensor):
        return (given,)
    if len(given):
        return tuple(given)
    generator = torch.Generator().manual_seed(0)

    def random(shape: Sequence[int]) -> Any:
        return torch.randn([int(d) for d in shape], generator=generator)

    if set(shapes) == {""}:
        return (random(shapes[""]),)
    names = list(inspect.signature(module.forward).parameters)
    unknown = sorted(set(shapes) - set(names))
    if not shapes or unknown:
        found = f"no input {unknown[0]!r}" if unknown else "no example inputs"
        raise Refusal(
            f"it has {found}; forward takes {', '.join(names)}",
            f"state the shape: --input-shape {names[0] if len(names) > 1 else '1,3,224,224'}"
            + ("=1,3,224,224, once an input" if len(names) > 1 else ""),
        )
    return tuple(random(shapes[n]) for n in names if n in shapes)


def _from_module(module: Any, inputs: tuple[Any, ...], job: Job) -> Converted:
    torch = require("torch", "PyTorch")
    try:
        program = torch.export.export(module, inputs)
    except Exception as error:
        return _by_tracing(module, inputs, job, error)
    return _from_program(program, job)


def _by_tracing(module: Any, inputs: tuple[Any, ...], job: Job, first: Exception) -> Converted:
    """Export with the older exporter, which traces: some models go that way only."""
    torch = require("torch", "PyTorch")
    place = job.folder / "traced.onnx"
    try:
        torch.onnx.export(module, inputs, str(place), dynamo=False, opset_version=17)
    except Exception:
        raise Refusal(f"torch.export cannot export it: {_first(first)}", _EXPORT_HINT) from first
    from qedge.frontends.onnx.reading import read_model

    return _finish(read_model(place), _outputs(module, inputs), inputs, job)


def _from_program(program: Any, job: Job) -> Converted:
    from qedge.frontends.onnx.reading import proto_of

    torch = require("torch", "PyTorch")
    try:
        exported = torch.onnx.export(program, dynamo=True, external_data=False, verbose=False)
    except Exception as error:
        raise Refusal(f"PyTorch's ONNX exporter cannot export it: {_first(error)}", _EXPORT_HINT) from error
    proto = proto_of(exported.model_proto.SerializeToString())
    _name_outputs(proto, program)
    inputs = program.example_inputs
    examples = tuple(inputs[0]) if inputs is not None and not inputs[1] else ()
    expected = _outputs(program.module(), examples) if examples else None
    return _finish(proto, expected, examples, job)


def _name_outputs(proto: Any, program: Any) -> None:
    """Name outputs after the keys of the dictionary that the module returns, else ``output``, ``output_1`` ..."""
    keys = _keys(program)
    count = len(proto.graph.output)
    if keys is None or len(keys) != count:
        keys = ["output" if k == 0 else f"output_{k}" for k in range(count)]
    taken = {i.name for i in proto.graph.input} | {o for n in proto.graph.node for o in n.output}
    if taken & set(keys):
        return
    for value, key in zip(proto.graph.output, keys):
        old = value.name
        made = type(proto.graph.node[0])() if proto.graph.node else None
        if made is None:
            return
        made.op_type, made.name = "Identity", f"{key}"
        made.input.append(old)
        made.output.append(key)
        proto.graph.node.append(made)
        value.name = key


def _keys(program: Any) -> list[str] | None:
    """Return the keys of a returned dictionary of tensors, None where something else is returned."""
    try:
        spec = program.call_spec.out_spec
        if spec.type in (dict,) and all(child.is_leaf() for child in spec.children()):
            return [str(key) for key in spec.context]
    except Exception:
        return None
    return None


def _outputs(module: Any, inputs: tuple[Any, ...]) -> list[Any] | None:
    """Return what PyTorch gives for example inputs, as arrays; None where it cannot be run."""
    torch = require("torch", "PyTorch")
    try:
        with torch.no_grad():
            made = module(*inputs)
        flat = torch.utils._pytree.tree_leaves(made)
        return [t.detach().float().numpy() if t.is_floating_point() else t.numpy() for t in flat]
    except Exception:
        return None


def _finish(proto: Any, expected: list[Any] | None, examples: tuple[Any, ...], job: Job) -> Converted:
    """Convert the ONNX model, and compare the whole with what PyTorch gave for the example inputs."""
    from qedge.frontends.onnx import convert_proto
    from qedge.frontends.onnx.prove import agrees, difference
    from qedge.frontends.onnx.session import Session

    shapes, stored = dict(job.input_shapes), {t.name for t in proto.graph.initializer}
    inputs = [i for i in proto.graph.input if i.name not in stored]
    if all(d.dim_value > 0 for i in inputs for d in i.type.tensor_type.shape.dim):
        shapes = {}  # the program has them already
    made = convert_proto(proto, shapes, job.input_values)
    names = list(made.inputs)
    if expected is not None and len(examples) == len(names) and len(expected) == len(made.outputs):
        feeds = {
            n: np.asarray(e.detach().float() if e.is_floating_point() else e) for n, e in zip(names, examples)
        }
        if all(feeds[n].shape == made.prover.model.shapes[n] for n in names):
            feeds = {n: v.astype(made.prover.model.dtypes[n]) for n, v in feeds.items()}
            given = Session(made.prover.model.runnable(), list(made.outputs)).run(feeds)
            for name, ours, theirs in zip(made.outputs, given, expected):
                if ours.shape != theirs.shape or not agrees(ours, theirs.astype(ours.dtype)):
                    far = f"by {difference(ours, theirs):.2g}" if ours.shape == theirs.shape else "in shape"
                    raise Refusal(
                        f"PyTorch's ONNX exporter gave a model whose output {name!r} differs from PyTorch {far}",
                        "make sure that the module is deterministic in eval mode, or export it to .onnx yourself",
                    )
    return made.for_registry()


def _first(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:300]}"


def save_program(module: Any, example_inputs: Any, path: Path) -> None:
    """Write a module as an exported program, in this process, where PyTorch is loaded already.

    Raises:
        ModelError: it cannot be exported.
    """
    from qedge.errors import ModelError

    torch = require("torch", "PyTorch")
    inputs = (example_inputs,) if isinstance(example_inputs, torch.Tensor) else tuple(example_inputs)
    was_training = module.training
    module.eval()
    try:
        torch.export.save(torch.export.export(module, inputs), str(path))
    except Exception as error:
        raise ModelError(
            f"torch.export cannot export the module: {_first(error)}", hint=_EXPORT_HINT
        ) from error
    finally:
        module.train(was_training)
