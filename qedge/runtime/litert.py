"""The only import of a TFLite binding: ai-edge-litert, tflite-runtime or tensorflow, whichever works."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.bundle.manifest import TensorSpec
from qedge.errors import ModelError, ToolError, unknown
from qedge.runtime import cores
from qedge.runtime.pool import PooledEngine, listed

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


BINDINGS: Mapping[str, tuple[str, str]] = {
    "ai-edge-litert": ("ai_edge_litert", "ai_edge_litert.interpreter"),
    "tflite-runtime": ("tflite_runtime", "tflite_runtime.interpreter"),
    "tensorflow": ("tensorflow", "tensorflow.lite.python.interpreter"),
}
# Sets of kernels, which round differently: what a binding takes by itself for int8, and what LiteRT can be told.
XNNPACK, BUILTIN, REFERENCE = "xnnpack", "builtin", "reference"
_RESOLVERS = {BUILTIN: "BUILTIN_WITHOUT_DEFAULT_DELEGATES", REFERENCE: "BUILTIN_REF"}


class Binding:
    """A TFLite binding that could be imported."""

    def __init__(self, name: str, version: str, module: Any) -> None:
        self.name, self.version, self.module = name, version, module

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def kernels(self) -> str:
        """The set of kernels that runs int8 models: tflite-runtime never takes XNNPACK for them."""
        return BUILTIN if self.name == "tflite-runtime" else XNNPACK

    def load_delegate(self, library: str, options: Mapping[str, str] | None = None) -> Any:
        """Return the delegate of a shared library.

        Raises:
            ToolError: the library cannot be loaded, or makes no delegate.
        """
        try:
            return self.module.load_delegate(library, dict(options or {}))
        except (OSError, ValueError, RuntimeError) as problem:
            raise ToolError(f"{library}: {problem}") from None


_found: dict[str | None, Binding] = {}


def find_binding(name: str | None = None) -> Binding:
    """Return the first binding that imports and works, or the one called ``name``.

    Raises:
        ToolError: none works; says for each why.
        UsageError: no binding has that name.
    """
    if name in _found:
        return _found[name]
    if name is not None and name not in BINDINGS:
        raise unknown("binding", name, list(BINDINGS))
    reasons = []
    for candidate in BINDINGS if name is None else [name]:
        found = _try(candidate)
        if isinstance(found, Binding):
            _found[name] = found
            return found
        reasons.append(f"{candidate}: {found}")
    raise ToolError(
        "no TFLite binding works here; " + "; ".join(reasons),
        hint="pip install ai-edge-litert (32-bit Arm: tflite-runtime); where neither has wheels, build the bundle "
        "with --engine c",
    )


def _try(name: str) -> Binding | str:
    """Return the binding, or why it does not work."""
    package, module = BINDINGS[name]
    try:
        version = str(getattr(importlib.import_module(package), "__version__", "unknown"))
        if package == "tflite_runtime" and _built_for_numpy_1(version):
            return (
                f"version {version} was built for numpy 1 and numpy {np.__version__} is installed: "
                'pip install "numpy<2"'
            )
        return Binding(name, version, importlib.import_module(module))
    except ModuleNotFoundError as problem:
        return "not installed" if problem.name == package else f"lacks {problem.name}"
    except (ImportError, AttributeError, OSError, RuntimeError, TypeError) as problem:
        sys.modules.pop(module, None)
        return str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__


def _built_for_numpy_1(version: str) -> bool:
    """Whether numpy 2 is installed and this tflite-runtime is the last official one (2.14) or older.

    Importing it would print a page of warnings and then fail with ``_ARRAY_API not found``.
    """
    numbers = version.split(".")
    old = len(numbers) > 1 and numbers[0] == "2" and numbers[1].isdigit() and int(numbers[1]) <= 14
    return old and int(np.__version__.split(".")[0]) >= 2


def open_engine(
    model: bytes,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    *,
    threads: int | None = None,
    streams: int = 1,
    binding: str | None = None,
    delegates: Sequence[Any] = (),
    kernels: str | None = None,
) -> PooledEngine:
    """Return an engine for a ``.tflite``.

    Args:
        inputs: what the manifest says; compared with the model itself.
        threads: of each interpreter; None chooses, see :func:`qedge.runtime.cores.share`.
        streams: interpreters, so calls that can run at the same time.
        binding: name of the binding to use; None takes the first that works.
        delegates: from :meth:`Binding.load_delegate`.
        kernels: ``BUILTIN`` or ``REFERENCE`` in place of those that the binding takes.

    Raises:
        ModelError: the binding does not take the model, or the model is not what the manifest says.
        ToolError: no binding works.
    """
    found = find_binding(binding)
    count = cores.share(threads, streams, len(model))
    interpreters = [_interpreter(found, model, count, delegates, kernels) for _ in range(streams)]
    _compare("input", interpreters[0].get_input_details(), inputs)
    _compare("output", interpreters[0].get_output_details(), outputs)
    described = {
        "binding": str(found),
        "kernels": kernels or found.kernels,
        "device": "cpu",
        "threads": count,
        "streams": streams,
    }
    return PooledEngine(interpreters, inputs, outputs, described)


def _interpreter(
    binding: Binding, model: bytes, threads: int, delegates: Sequence[Any], kernels: str | None = None
) -> Any:
    options = {}
    if kernels is not None:
        resolver = getattr(binding.module.OpResolverType, _RESOLVERS[kernels])
        options["experimental_op_resolver_type"] = resolver
    try:
        made = binding.module.Interpreter(
            model_content=model,
            num_threads=threads,
            experimental_delegates=list(delegates) or None,
            **options,
        )
        made.allocate_tensors()
    except (ValueError, RuntimeError) as problem:
        reason = " ".join(str(problem).split())
        raise ModelError(f"{binding} cannot run this model: {reason}") from None
    return made


def _compare(kind: str, details: Sequence[Mapping[str, Any]], specs: Sequence[TensorSpec]) -> None:
    """Raise unless the model's own tensors are those of the manifest."""
    found = tuple(
        (
            np.dtype(d["dtype"]).name,
            tuple(int(n) for n in d["shape"]),
            np.float32(d["quantization"][0]),
            int(d["quantization"][1]),
        )
        for d in details
    )
    stated = tuple((s.dtype, s.shape, np.float32(s.scale or 0), s.zero_point or 0) for s in specs)
    if found != stated:
        raise ModelError(
            f"the model's {kind}s are {[f[:2] for f in found]}, the manifest says {listed(specs)}",
            hint="build the bundle again",
        )


def tensor_specs(model: bytes, binding: str | None = None) -> tuple[tuple[TensorSpec, ...], ...]:
    """Return (inputs, outputs) of a ``.tflite`` as a manifest states them.

    Raises:
        ModelError: the binding does not take the model.
    """
    made = _interpreter(find_binding(binding), model, 1, ())
    return tuple(
        tuple(_spec(detail) for detail in details)
        for details in (made.get_input_details(), made.get_output_details())
    )


def _spec(detail: Mapping[str, Any]) -> TensorSpec:
    scale, zero_point = detail["quantization"]
    return TensorSpec(
        name=str(detail["name"]),
        shape=tuple(int(n) for n in detail["shape"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scale) if scale else None,
        zero_point=int(zero_point) if scale else None,
    )
