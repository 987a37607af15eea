"""A model's own first step, taken off it: what is done to an input in float before it is quantised."""

# Annotations are no strings here: NamedTuple would compile each of them, at every start on a device.

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

    def apply(self, values: "npt.NDArray[Any]") -> "Float":
        """Return what the model takes for an input in the author's units, float32, the same shape."""
        offset, factor = (np.asarray(v, np.float32) for v in (self.offset, self.factor))
        result: Float = (np.asarray(values, np.float32) - offset) * factor
        return result

    def real(self, values: "npt.NDArray[Any]") -> "Float":
        """Return the author's units for what the model takes: :meth:`apply` backwards, up to rounding."""
        offset, factor = (np.asarray(v, np.float32) for v in (self.offset, self.factor))
        result: Float = np.asarray(values, np.float32) / factor + offset
        return result

    def to_json(self) -> dict[str, Any]:
        """Return both lists; float32 values survive the journey."""
        return {"offset": list(self.offset), "factor": list(self.factor)}

    @classmethod
    def of(cls, offset: "npt.ArrayLike", factor: "npt.ArrayLike") -> "InputStep":
        """Return the step with these values rounded to float32; equal ones for every channel become one."""
        columns = np.broadcast_arrays(*(np.asarray(v, np.float32).reshape(-1) for v in (offset, factor)))
        if all((c == c[0]).all() for c in columns):
            columns = tuple(c[:1] for c in columns)
        first, second = (tuple(float(v) for v in c) for c in columns)
        return cls(first, second)


class OutputStep(NamedTuple):
    """``y * factor + offset`` in float32, one value of each a column of an output, or one for all.

    What the author's model gives, of what the quantised one gives in real numbers.
    """

    factor: tuple[float, ...]
    offset: tuple[float, ...]

    def apply(self, values: "npt.NDArray[Any]") -> "Float":
        """Return the author's units, float32, the same shape."""
        factor, offset = (np.asarray(v, np.float32) for v in (self.factor, self.offset))
        result: Float = np.asarray(values, np.float32) * factor + offset
        return result

    def to_json(self) -> dict[str, Any]:
        """Return both lists; float32 values survive the journey."""
        return {"factor": list(self.factor), "offset": list(self.offset)}

    @classmethod
    def of(cls, factor: "npt.ArrayLike", offset: "npt.ArrayLike") -> "OutputStep":
        """Return the step with these values rounded to float32."""
        columns = (np.asarray(v, np.float32).reshape(-1) for v in (factor, offset))
        first, second = (tuple(float(v) for v in c) for c in columns)
        return cls(first, second)


Finish = str | OutputStep
"""What is left to be done to an output: one of :data:`FINISHES`, or a step."""


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


def finishes_note(finishes: Mapping[int, Finish]) -> bytes:
    """Return what is left to be done to outputs, by position, as a model holds it beside its graph."""
    import json

    notes = {str(k): v if isinstance(v, str) else v.to_json() for k, v in sorted(finishes.items())}
    return json.dumps(notes, separators=(",", ":")).encode()


def finishes_in(metadata: bytes) -> dict[int, Finish]:
    """Return what :func:`finishes_note` wrote; nothing for ``b""``."""
    import json

    def read(note: Any) -> Finish:
        return note if isinstance(note, str) else OutputStep(tuple(note["factor"]), tuple(note["offset"]))

    return {int(k): read(note) for k, note in json.loads(metadata or b"{}").items()}


def finish(values: "Float", left: "Finish | None") -> "Float":
    """Return an output in real numbers with what was left to be done to it done: ``softmax``, a step or None."""
    if left is None:
        return values
    if isinstance(left, OutputStep):
        return left.apply(values)
    from qedge.processing.classify import softmax

    return softmax(values)


def apply_steps(steps: Sequence[InputStep | None], sample: "Sequence[npt.NDArray[Any]]") -> list[Any]:
    """Return a sample with the step of each input done; None leaves an input as it is."""
    return [values if step is None else step.apply(values) for step, values in zip(steps, sample)]
