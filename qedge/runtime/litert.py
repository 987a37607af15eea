"""The only import of a TFLite binding: ai-edge-litert, tflite-runtime or tensorflow, whichever works."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.bundle.manifest import TensorSpec
from qedge.errors import DataError, ModelError, ToolError, UsageError, unknown
from qedge.runtime import cores

try:
    # queue.SimpleQueue itself, without the modules that the rest of queue needs: they would slow every start.
    from _queue import SimpleQueue
except ImportError:
    from queue import SimpleQueue

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    # What one inference needs of one interpreter: set_tensor, invoke, get_tensor.
    Slot = tuple[Callable[[int, Array], None], Callable[[], None], Callable[[int], Array]]


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
        hint="pip install ai-edge-litert (32-bit Arm: tflite-runtime)",
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


class LiteRTEngine:
    """A pool of interpreters of one model; each stream that runs at the same time takes one of them."""

    def __init__(
        self,
        binding: Binding,
        interpreters: Sequence[Any],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        described: dict[str, Any],
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._described = described
        self._closed = False
        self._free: SimpleQueue[Slot | None] = SimpleQueue()
        first = interpreters[0]
        self._wanted = tuple(
            (detail["index"], np.dtype(spec.dtype), spec.shape)
            for detail, spec in zip(first.get_input_details(), inputs)
        )
        self._results = tuple(detail["index"] for detail in first.get_output_details())
        self._result = self._results[0] if len(self._results) == 1 else None
        for interpreter in interpreters:
            self._free.put((interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor))

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs for the inputs; see :class:`qedge.runtime.engine.Engine`."""
        wanted = self._wanted
        if len(arrays) != len(wanted):
            raise DataError(f"found {len(arrays)} arrays, expected {len(wanted)}: {_listed(self.inputs)}")
        for array, (_, dtype, shape) in zip(arrays, wanted):
            if not isinstance(array, np.ndarray) or array.shape != shape:
                raise self._mismatch(arrays)
            # numpy has one object a type, so the comparison (which is slow) is hardly ever made.
            if array.dtype is not dtype and array.dtype != dtype:
                raise self._mismatch(arrays)
        if self._closed:
            raise UsageError("the model is closed", hint="load it again, or run it inside the with block")
        slot = self._free.get()
        if slot is None:
            self._free.put(None)
            raise UsageError("the model was closed while this call waited for it")
        set_tensor, invoke, get_tensor = slot
        try:
            for array, (index, _, _) in zip(arrays, wanted):
                set_tensor(index, array)
            invoke()
            if self._result is not None:
                return [get_tensor(self._result)]
            return [get_tensor(index) for index in self._results]
        except (RuntimeError, ValueError) as problem:
            raise ToolError(f"the inference failed: {problem}") from problem
        finally:
            self._free.put(slot)

    def describe(self) -> dict[str, Any]:
        """Return binding, device, threads and streams."""
        return dict(self._described)

    def close(self) -> None:
        """Free the interpreters; those in use are freed when their call returns."""
        self._closed = True
        while not self._free.empty():
            self._free.get()
        self._free.put(None)

    def _mismatch(self, arrays: Sequence[Any]) -> DataError:
        found = ", ".join(
            f"{a.dtype} {list(a.shape)}" if isinstance(a, np.ndarray) else type(a).__name__ for a in arrays
        )
        return DataError(
            f"found {found}, expected {_listed(self.inputs)}",
            hint="model.run takes the model's own types; model(sample) converts",
        )


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
) -> LiteRTEngine:
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
    return LiteRTEngine(found, interpreters, inputs, outputs, described)


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
            f"the model's {kind}s are {[f[:2] for f in found]}, the manifest says {_listed(specs)}",
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


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{s.dtype} {list(s.shape)}" for s in specs)
