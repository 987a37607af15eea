"""Runs a ``.tflite`` on this machine: the only module here that imports LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.errors import DataError, ModelError, ToolError
from qedge.graph.outputs import metadata_of
from qedge.installing import install_command
from qedge.processing.affine import (
    INPUTS_KEY,
    OUTPUTS_KEY,
    apply_steps,
    finish,
    finishes_in,
    steps_in,
)

Array = npt.NDArray[Any]


class Runner:
    """A model that is loaded and runs one sample a call.

    Args:
        data: the ``.tflite``.
        threads: of XNNPACK.
        reference: LiteRT's reference kernels in place of XNNPACK and the optimised ones.
        keep_all: keep every tensor readable after a run (no XNNPACK).
    """

    def __init__(
        self, data: bytes, *, threads: int = 2, reference: bool = False, keep_all: bool = False
    ) -> None:
        try:
            from ai_edge_litert import interpreter as litert
        except ImportError as error:
            raise ToolError(
                "calibration needs ai-edge-litert, which is not installed", hint=install_command("host")
            ) from error
        kind = litert.OpResolverType
        resolver = kind.BUILTIN_REF if reference else kind.AUTO
        if keep_all and not reference:
            resolver = kind.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._interpreter = litert.Interpreter(
                model_content=data,
                num_threads=threads,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=keep_all,
            )
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"LiteRT cannot load the model: {str(error).strip()}",
                hint="check that it has only TFLite builtin operators and a static shape",
            ) from error
        self._finishes = finishes_in(metadata_of(data, OUTPUTS_KEY))
        self._steps = steps_in(metadata_of(data, INPUTS_KEY))
        self.inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self.outputs: list[dict[str, Any]] = self._interpreter.get_output_details()

    def stepped(self, sample: Sequence[Array]) -> list[Array]:
        """Return a sample with what is noted of its inputs done: what the first layer reads."""
        return apply_steps([self._steps.get(k) for k in range(len(sample))], sample)

    def run(self, sample: Sequence[Array]) -> None:
        """Run one sample of float arrays in the author's units, one an input; they are quantised as the model asks.

        Raises:
            DataError: another number of arrays or another shape than the model's.
        """
        if len(sample) != len(self.inputs):
            raise DataError(
                f"a sample has {len(sample)} arrays, expected {len(self.inputs)}: one for each input",
                hint="name the arrays of an .npz like the model's inputs",
            )
        for k, (detail, value) in enumerate(zip(self.inputs, sample)):
            expected = tuple(int(d) for d in detail["shape"])
            if value.shape != expected:
                raise DataError(
                    f"a sample has the shape {value.shape} for input {detail['name']!r}, expected {expected}",
                    hint="check the pre-processing: size, channels and layout",
                )
            step = self._steps.get(k)
            given = value if step is None else step.apply(value)
            self._interpreter.set_tensor(detail["index"], _encode(given, detail))
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"LiteRT cannot run the model: {str(error).strip()}") from error

    def view(self, index: int) -> Array:
        """Return the tensor's memory without a copy; use it before the next run and let it go."""
        result: Array = self._interpreter.tensor(index)()
        return result

    def read(self, index: int) -> Array:
        """Return a copy of a tensor as it is stored."""
        result: Array = self._interpreter.get_tensor(index)
        return result

    def output(self, k: int) -> Array:
        """Return output ``k`` of the last run in real numbers, float32 (integers stay as they are)."""
        detail = self.outputs[k]
        found = decode(self._interpreter.get_tensor(detail["index"]), detail)
        return finish(found, self._finishes.get(k))

    def predict(self, sample: Sequence[Array]) -> list[Array]:
        """Run one sample and return all outputs in real numbers."""
        self.run(sample)
        return [self.output(k) for k in range(len(self.outputs))]

    def tensors(self) -> list[dict[str, Any]]:
        """Return LiteRT's details of every tensor."""
        result: list[dict[str, Any]] = self._interpreter.get_tensor_details()
        return result


def _encode(value: Array, detail: dict[str, Any]) -> Array:
    dtype = np.dtype(detail["dtype"])
    scale, zero = detail["quantization"]
    if dtype.kind != "f" and scale:
        info = np.iinfo(dtype)
        codes = np.rint(value.astype(np.float32) / np.float32(scale)) + zero
        result: Array = np.clip(codes, info.min, info.max).astype(dtype)
        return result
    return np.ascontiguousarray(value, dtype)


def decode(value: Array, detail: dict[str, Any]) -> Array:
    """Return real numbers for the codes of a tensor with LiteRT's ``detail``."""
    scale, zero = detail["quantization"]
    if value.dtype.kind == "f" or not scale:
        return value
    result: Array = (value.astype(np.float32) - zero) * np.float32(scale)
    return result
