"""The engine that is a shared library in the bundle: the model's own C, called through ctypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.errors import IntegrityError, ToolError
from qedge.fields import Field, Record
from qedge.runtime import cores
from qedge.runtime.machines import ARCHITECTURES, loadable
from qedge.runtime.pool import PooledEngine

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.bundle.manifest import TensorSpec
    from qedge.bundle.read import Bundle

    Array = npt.NDArray[Any]

KEY = "c"
"""The part of ``target_data`` that :class:`Layout` is read from."""
MICRO = "micro"
"""The kernels' name, and that of their golden outputs: TFLite Micro's arithmetic, to the last bit."""
ALIGN = 64
_MOST_BYTES = 1 << 31


class Layout(Record):
    """What calling the libraries needs.

    Args:
        context_bytes: memory of one instance.
        inputs, outputs: where each tensor lies in it, in bytes.
        libraries: architecture to file in the bundle.
        compiler: what compiled them.
    """

    context_bytes: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    libraries: Mapping[str, str]
    compiler: str

    def to_json(self) -> dict[str, Any]:
        """Return the layout as a JSON object."""
        return {
            "context_bytes": self.context_bytes,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "libraries": dict(self.libraries),
            "compiler": self.compiler,
        }


def read_layout(data: Field) -> Layout:
    """Return the layout that :meth:`Layout.to_json` wrote; raise the field's error where it is none."""
    data.object(tuple(Layout._fields))
    size = data["context_bytes"].integer(1, _MOST_BYTES)
    libraries = {}
    for name, path in data["libraries"].members():
        if name not in ARCHITECTURES:
            raise path.error(f"{path.path}: unknown architecture", hint=f"known: {', '.join(ARCHITECTURES)}")
        libraries[name] = path.string()
    inputs, outputs = (
        tuple(entry.integer(0, size) for entry in data[kind].items()) for kind in ("inputs", "outputs")
    )
    return Layout(size, inputs, outputs, libraries, data["compiler"].string())


def layout_of(bundle: Bundle) -> Layout | None:
    """Return the layout of a bundle's libraries, None where it has none."""
    data = bundle.manifest.target_data.get(KEY)
    if data is None:
        return None
    return read_layout(Field(data, f"{bundle.origin}: $.target_data.{KEY}", IntegrityError))


def open_c_engine(bundle: Bundle, *, threads: int | None = None, streams: int = 1) -> PooledEngine:
    """Return an engine for the bundle's library of this machine; every stream has its own memory, and one thread.

    Raises:
        ToolError: the bundle has none for this machine, or it cannot be loaded here.
        IntegrityError: the library is not what the manifest says.
    """
    layout = layout_of(bundle)
    machines = loadable()
    name = next((m for m in machines if layout is not None and m in layout.libraries), None)
    if layout is None or name is None:
        found = "no C library" if layout is None else f"C libraries for {', '.join(layout.libraries)}"
        here = machines[0] if machines else "this machine"
        hint = f"build it with: qedge build MODEL -t {bundle.manifest.target} --engine c; or install a TFLite binding"
        raise ToolError(f"{bundle.origin}: has {found}, expected one for {here}", hint=hint)
    cores.check(threads, streams)  # the C has one thread
    library = _load(bundle.place(layout.libraries[name]))
    manifest = bundle.manifest
    instances = [_Instance(library, layout, manifest.inputs, manifest.outputs) for _ in range(streams)]
    described = {
        "binding": f"C library ({name})",
        "kernels": MICRO,
        "device": "cpu",
        "threads": 1,
        "streams": streams,
    }
    return PooledEngine(instances, manifest.inputs, manifest.outputs, described)


def _load(path: str) -> Any:
    import ctypes

    try:
        library = ctypes.CDLL(path)
        functions = library.qedge_init, library.qedge_run
    except (OSError, AttributeError) as problem:
        raise ToolError(
            f"the C library cannot be loaded: {problem}",
            hint="the bundle must lie on a file system that programs may run from",
        ) from None
    for function in functions:
        function.restype, function.argtypes = ctypes.c_int, (ctypes.c_void_p,)
    return library


class _Instance:
    """One context of the model, with the functions of a TFLite interpreter that the engine needs."""

    def __init__(
        self, library: Any, layout: Layout, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> None:
        memory = np.zeros(layout.context_bytes + ALIGN, np.uint8)
        start = -memory.ctypes.data % ALIGN
        self._context = memory[start : start + layout.context_bytes]
        self._address = self._context.ctypes.data
        if (len(layout.inputs), len(layout.outputs)) != (len(inputs), len(outputs)):
            raise IntegrityError("the C library has other inputs and outputs than the manifest")
        self._views = [
            self._view(place, spec)
            for place, spec in zip((*layout.inputs, *layout.outputs), (*inputs, *outputs))
        ]
        self._inputs = len(inputs)
        self._run = library.qedge_run
        if library.qedge_init(self._address) != 0:
            raise ToolError("the C library does not start")

    def _view(self, place: int, spec: TensorSpec) -> Array:
        try:
            return np.ndarray(spec.shape, spec.dtype, self._context.data, place)
        except (TypeError, ValueError) as problem:
            raise IntegrityError(f"tensor {spec.name!r} does not lie in the context: {problem}") from None

    def get_input_details(self) -> list[dict[str, int]]:
        return [{"index": k} for k in range(self._inputs)]

    def get_output_details(self) -> list[dict[str, int]]:
        return [{"index": k} for k in range(self._inputs, len(self._views))]

    def set_tensor(self, index: int, array: Array) -> None:
        self._views[index][...] = array

    def get_tensor(self, index: int) -> Array:
        return self._views[index].copy()

    def invoke(self) -> None:
        status = self._run(self._address)
        if status != 0:
            raise RuntimeError(f"the C library returned {status}")
