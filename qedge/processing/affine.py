"""A model's own first step, taken off it: what is done to an input in float before it is quantised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Float = npt.NDArray[np.float32]

INPUTS_KEY = "qedge.inputs"
"""Name of the note in a model's metadata."""
OUTPUTS_KEY = "qedge.outputs"
"""The same for what is left to be done to outputs."""
FINISHES = ("softmax",)


class InputStep(NamedTuple):
    """``(x - offset) * factor`` in float32, one value of each a channel of the last axis, or one for all.

    A caller goes on passing ``x``. A subtraction and a product round the same everywhere: no compiler joins them
    to one instruction, so a C function of the same two lines gives the same codes.
    """

    offset: tuple[float, ...]
    factor: tuple[float, ...]

    def apply(self, values: npt.NDArray[Any]) -> Float:
        """Return what the model takes for an input in the author's units, float32, the same shape."""
        offset, factor = (np.asarray(v, np.float32) for v in (self.offset, self.factor))
        result: Float = (np.asarray(values, np.float32) - offset) * factor
        return result

    def real(self, values: npt.NDArray[Any]) -> Float:
        """Return the author's units for what the model takes: :meth:`apply` backwards, up to rounding."""
        offset, factor = (np.asarray(v, np.float32) for v in (self.offset, self.factor))
        result: Float = np.asarray(values, np.float32) / factor + offset
        return result

    def to_json(self) -> dict[str, Any]:
        """Return both lists; float32 values survive the journey."""
        return {"offset": list(self.offset), "factor": list(self.factor)}

    @classmethod
    def of(cls, offset: npt.ArrayLike, factor: npt.ArrayLike) -> InputStep:
        """Return the step with these values rounded to float32; equal ones for every channel become one."""
        columns = np.broadcast_arrays(*(np.asarray(v, np.float32).reshape(-1) for v in (offset, factor)))
        if all((c == c[0]).all() for c in columns):
            columns = tuple(c[:1] for c in columns)
        first, second = (tuple(float(v) for v in c) for c in columns)
        return cls(first, second)


def note_of(steps: Mapping[int, InputStep]) -> bytes:
    """Return the steps of inputs, by position, as a model holds them beside its graph."""
    import json

    notes = {str(k): step.to_json() for k, step in sorted(steps.items())}
    return json.dumps(notes, separators=(",", ":")).encode()


def steps_in(metadata: bytes) -> dict[int, InputStep]:
    """Return what :func:`note_of` wrote; nothing for ``b""``."""
    import json

    notes = json.loads(metadata or b"{}")
    return {int(k): InputStep(tuple(note["offset"]), tuple(note["factor"])) for k, note in notes.items()}


def finishes_note(finishes: Mapping[int, str]) -> bytes:
    """Return what is left to be done to outputs, by position, as a model holds it beside its graph."""
    import json

    return json.dumps({str(k): name for k, name in sorted(finishes.items())}, separators=(",", ":")).encode()


def finishes_in(metadata: bytes) -> dict[int, str]:
    """Return what :func:`finishes_note` wrote; nothing for ``b""``."""
    import json

    return {int(k): str(name) for k, name in json.loads(metadata or b"{}").items()}


def finish(values: Float, name: str | None) -> Float:
    """Return an output in real numbers with what was left to be done to it done: ``softmax`` or None."""
    if name is None:
        return values
    from qedge.processing.classify import softmax

    return softmax(values)


def apply_steps(steps: Sequence[InputStep | None], sample: Sequence[npt.NDArray[Any]]) -> list[Any]:
    """Return a sample with the step of each input done; None leaves an input as it is."""
    return [values if step is None else step.apply(values) for step, values in zip(steps, sample)]
