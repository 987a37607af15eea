"""The engine of every runtime that holds interpreters: checks what a call brings, and lends it a free one."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.bundle.manifest import TensorSpec
from qedge.errors import DataError, ToolError, UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    # What one inference needs of one interpreter: set_tensor, invoke, get_tensor.
    Slot = tuple[Callable[[int, Array], None], Callable[[], None], Callable[[int], Array]]


class _Alone:
    """The pool of one slot: a lock, as every start would notice the import of a queue."""

    def __init__(self, slot: Slot) -> None:
        self._slot: Slot | None = slot
        self._taken = allocate_lock()

    def get(self) -> Slot | None:
        """Return the slot, once it is free; None when the pool is closed."""
        self._taken.acquire()
        return self._slot

    def put(self, slot: Slot | None) -> None:
        """Give back what :meth:`get` returned, or None for it."""
        self._slot = slot
        self._taken.release()

    def close(self) -> None:
        """Drop the slot, unless somebody has it."""
        if self._taken.acquire(False):
            self.put(None)


class _Several:
    """The pool of several slots."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        from queue import SimpleQueue

        self._free: SimpleQueue[Slot | None] = SimpleQueue()
        self.get, self.put = self._free.get, self._free.put
        for slot in slots:
            self.put(slot)

    def close(self) -> None:
        """Drop the slots that nobody has; who waits for one gets None."""
        while not self._free.empty():
            self.get()
        self.put(None)


class PooledEngine:
    """A pool of interpreters of one model; each stream that runs at the same time takes one of them.

    Args:
        interpreters: each with ``set_tensor``, ``invoke``, ``get_tensor`` and the indices of its inputs and outputs, as
            TFLite's bindings have them.
        inputs, outputs: in the interpreters' order.
        described: what :meth:`describe` returns.
    """

    def __init__(
        self,
        interpreters: Sequence[Any],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        described: dict[str, Any],
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._described = described
        self._closed = False
        first = interpreters[0]
        self._wanted = tuple(
            (detail["index"], np.dtype(spec.dtype), spec.shape)
            for detail, spec in zip(first.get_input_details(), inputs)
        )
        self._results = tuple(detail["index"] for detail in first.get_output_details())
        self._result = self._results[0] if len(self._results) == 1 else None
        slots = [(i.set_tensor, i.invoke, i.get_tensor) for i in interpreters]
        self._free = _Alone(slots[0]) if len(slots) == 1 else _Several(slots)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs for the inputs; see :class:`qedge.runtime.engine.Engine`."""
        wanted = self._wanted
        if len(arrays) != len(wanted):
            raise DataError(f"found {len(arrays)} arrays, expected {len(wanted)}: {listed(self.inputs)}")
        for array, (_, dtype, shape) in zip(arrays, wanted):
            if not isinstance(array, np.ndarray) or array.shape != shape:
                raise self._mismatch(arrays)
            # numpy has one object a type, so the comparison (which is slow) is hardly ever made.
            if array.dtype is not dtype and array.dtype != dtype:
                raise self._mismatch(arrays)
        if self._closed:
            raise UsageError("the model is closed", hint="load it again, or run it inside the with block")
        slot = self._free.get()
        if slot is None or self._closed:
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
            self._free.put(None if self._closed else slot)

    def describe(self) -> dict[str, Any]:
        """Return binding, device, threads and streams."""
        return dict(self._described)

    def close(self) -> None:
        """Free the interpreters; those in use are freed when their call returns."""
        self._closed = True
        self._free.close()

    def _mismatch(self, arrays: Sequence[Any]) -> DataError:
        found = ", ".join(
            f"{a.dtype} {list(a.shape)}" if isinstance(a, np.ndarray) else type(a).__name__ for a in arrays
        )
        return DataError(
            f"found {found}, expected {listed(self.inputs)}",
            hint="model.run takes the model's own types; model(sample) converts",
        )


def listed(specs: Sequence[TensorSpec]) -> str:
    """Return types and shapes in words: ``int8 [1, 4], int8 [1, 2]``."""
    return ", ".join(f"{s.dtype} {list(s.shape)}" for s in specs)
