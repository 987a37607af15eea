"""``Model``: a loaded bundle."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from qedge.bundle.manifest import TensorSpec
from qedge.bundle.read import Bundle
from qedge.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from qedge.processing.affine import InputStep
    from qedge.runtime.engine import Engine
    from qedge.runtime.result import Result

    Array = npt.NDArray[Any]
    Prepared = tuple[list[Array], float, Any]  # the model's inputs, milliseconds that it took, and of what


class Model:
    """A bundle that runs; use it in a ``with``, or :meth:`close` it. Several threads may share it."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self.bundle = bundle
        self.engine = engine
        manifest = bundle.manifest
        self.name = manifest.name
        self.target = manifest.target
        self.labels = manifest.labels
        self.preprocess = manifest.preprocess
        self.postprocess = manifest.postprocess
        self.inputs = engine.inputs
        finishes = [spec.finish for spec in manifest.outputs]
        self.outputs = engine.outputs
        if any(finishes):
            self.outputs = tuple(s.replace(finish=f) for s, f in zip(engine.outputs, finishes))
        self._provenance: dict[str, Any] = {}
        self._steps = [spec.step for spec in manifest.inputs]
        self._one_output = len(engine.outputs) == 1
        self._run = engine.run

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The bundle's ``name``, ``target`` and ``digest``; with ``load(trusted=...)`` also ``signer`` and
        ``serial``."""
        if not self._provenance:
            digest = self.bundle.manifest.to_json()["digest"]
            self._provenance = {"name": self.name, "target": self.target, "digest": digest}
        return self._provenance

    def run(self, inputs: Array | Sequence[Array]) -> Any:
        """Return the raw outputs for raw inputs, in the model's own types and shapes: no processing.

        A single array is the only input, and gives back the only output, where there is but one.

        Raises:
            DataError: another number, type or shape of arrays.
        """
        if inputs.__class__ is np.ndarray:
            outputs = self._run((inputs,))
            return outputs[0] if self._one_output else outputs
        if isinstance(inputs, np.ndarray):
            return self.run(np.asarray(inputs))
        if not isinstance(inputs, (list, tuple)):
            raise DataError(f"found {type(inputs).__name__}, expected an array or a list of arrays")
        return self._run(inputs)

    def __call__(self, sample: Any) -> Result:
        """Return the result for one sample: an image, a clip, a path, or arrays in the model's own units.

        With pre-processing in the bundle, ``sample`` is what it takes. Without, it is one array (or a list,
        or a mapping by name, for several inputs): float in the model's own units, or in the model's type, in the
        layout of the model's author (NCHW for most ``.onnx`` files; ``TensorSpec.order`` says where it differs).

        Raises:
            DataError: the sample cannot be used; the model stays usable.
        """
        return self._result(self._run(self.encode(sample)), sample)

    def encode(self, sample: Any) -> list[Array]:
        """Return the model's inputs for one sample, in the model's own types; see :meth:`__call__`."""
        if self.preprocess is None:
            return self._plain(sample)
        spec = self.inputs[0]
        rest: list[Array] = []
        if len(self.inputs) > 1:
            if not isinstance(sample, (list, tuple)) or len(sample) != len(self.inputs):
                raise DataError(f"expected a list of {len(self.inputs)}: the sample, then the other inputs")
            others = zip(sample[1:], self.inputs[1:], self._steps[1:])
            rest = [as_input(array, other, step) for array, other, step in others]
            sample = sample[0]
        if self._steps[0] is not None:
            return [as_input(self.preprocess.apply(sample), spec, self._steps[0]), *rest]
        if spec.scale is not None and spec.zero_point is not None:
            return [self.preprocess.encode(sample, spec.scale, spec.zero_point, spec.dtype), *rest]
        if np.dtype(spec.dtype).kind in "iu":  # integers in steps of one: the levels of an image as they are
            return [self.preprocess.encode(sample, 1.0, 0, spec.dtype), *rest]
        return [self.preprocess.apply(sample), *rest]

    def stream(
        self, source: Iterable[Any], *, sample: Callable[[Any], Any] | None = None, depth: int = 2
    ) -> Generator[Result, None, None]:
        """Yield the result of every item of ``source``, in order.

        A second thread takes the items and pre-processes the next ones while the model runs; a model that was
        loaded with several ``streams`` works on as many items at the same time. A result carries its item
        (``result.item``) and the milliseconds of its stages (``result.ms``: ``pre``, ``invoke``).

        Args:
            sample: returns what the model takes of an item, in another thread; None: the item itself.
            depth: items that are taken ahead, at least 1; with 1 a live source is looked at as late as can be.
                Several streams take as many more as there are of them.

        Raises:
            UsageError: a ``depth`` below 1.
        """
        from qedge.runtime.stream import ahead

        if depth < 1:
            raise UsageError(f"depth: found {depth}, expected an integer of at least 1")

        def prepare(item: Any) -> Prepared:
            taken = item if sample is None else sample(item)
            began = time.perf_counter()
            return self.encode(taken), 1000 * (time.perf_counter() - began), taken

        streams = int(self.engine.describe().get("streams", 1))
        if streams == 1:
            return self._each(ahead(prepare, source, depth), self._finish)
        finished = ahead(lambda item: self._finish(item, prepare(item)), source, depth + streams, streams)
        return self._each(finished, lambda item, result: result)

    def _each(
        self, pairs: Generator[tuple[Any, Any], None, None], finish: Callable[[Any, Any], Result]
    ) -> Generator[Result, None, None]:
        with closing(pairs):
            for item, worked_out in pairs:
                yield finish(item, worked_out)

    def _finish(self, item: Any, prepared: Prepared) -> Result:
        inputs, pre_ms, sample = prepared
        began = time.perf_counter()
        result = self._result(self._run(inputs), sample)
        result.ms = {"pre": pre_ms, "invoke": 1000 * (time.perf_counter() - began)}
        result.item = item
        return result

    def warm_up(self, runs: int = 1) -> None:
        """Run on zeros, so that the first real sample does not pay for what is set up on first use."""
        zeros = [np.zeros(spec.shape, spec.dtype) for spec in self.inputs]
        for _ in range(runs):
            self._run(zeros)

    def profile(self, sample: Any = None, runs: int = 50) -> dict[str, Any]:
        """Return where the time of a call goes; see :func:`qedge.runtime.stages.profile`."""
        from qedge.runtime.stages import profile

        return profile(self, sample, runs)

    def describe(self) -> dict[str, Any]:
        """Return what runs the model, as JSON."""
        return {"name": self.name, "target": self.target, **self.engine.describe()}

    def close(self) -> None:
        """Free the model and what a ``.zip`` unpacked."""
        self.engine.close()
        self.bundle.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<qedge model {self.name!r} for {self.target}>"

    def _result(self, raw: list[Array], sample: Any = None) -> Result:
        from qedge.runtime.result import Result

        result = Result(raw, self.outputs, self.labels, self.postprocess)
        result._model = self
        if sample is not None and self.postprocess is not None and self.postprocess.kind == "detect":
            from qedge.runtime.objects import remembered

            result._size = remembered(sample, self.preprocess)
        return result

    def _plain(self, sample: Any) -> list[Array]:
        """Return the inputs for samples that need no pre-processing."""
        if isinstance(sample, (str, os.PathLike)):
            from qedge.runtime.samples import read_npy

            sample = read_npy(os.fspath(sample))
        if isinstance(sample, Mapping):
            names = [spec.name for spec in self.inputs]
            if set(sample) != set(names):
                raise DataError(f"found inputs {sorted(map(str, sample))}, expected {sorted(names)}")
            sample = [sample[name] for name in names]
        if not isinstance(sample, (list, tuple)) or (len(self.inputs) == 1 and len(sample) != 1):
            sample = [sample]
        if len(sample) != len(self.inputs):
            raise DataError(f"found {len(sample)} inputs, expected {len(self.inputs)}")
        return [as_input(array, spec, step) for array, spec, step in zip(sample, self.inputs, self._steps)]


def as_input(value: Any, spec: TensorSpec, step: InputStep | None = None) -> Array:
    """Return ``value`` in the type and layout of the input: as it is where it has those, else quantised or turned.

    ``step`` is done first to values in the author's units.

    Raises:
        DataError: another shape (the batch of 1 may be left out), or values that are no finite numbers.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as problem:
        raise DataError(f"{spec.name}: no array of numbers: {problem}") from None
    if spec.order is not None and array.shape in (spec.author_shape, spec.author_shape[1:]):
        array = np.ascontiguousarray(array.reshape(spec.author_shape).transpose(spec.order))
    if array.shape == spec.shape[1:]:
        array = array[None]
    if array.shape != spec.shape or array.dtype.kind not in "fiub":
        raise DataError(
            f"{spec.name}: found {array.dtype} {list(array.shape)}, expected {list(spec.author_shape)}",
            hint="one sample, as float in the model's own units" if array.ndim == len(spec.shape) else None,
        )
    if array.dtype == np.dtype(spec.dtype) and (step is None or array.dtype.kind != "f"):
        return array
    if spec.scale is None or spec.zero_point is None:
        return (array if step is None else step.apply(array)).astype(spec.dtype)
    if (
        array.dtype == np.int8
    ):  # somebody's raw values, but not this model's: guessing would be wrong in silence
        raise DataError(
            f"{spec.name}: found {array.dtype}, expected numbers in the model's own units, or {spec.dtype} as it is"
        )
    found = array.astype(np.float32) if step is None else step.apply(array)
    _refuse_other_units(found, spec)
    from qedge.processing.spec import quantize_in_place

    return quantize_in_place(found, spec.scale, spec.zero_point, spec.dtype)


def _refuse_other_units(array: Array, spec: TensorSpec) -> None:
    """Raise where most values lie so far outside the input's range that they are in other units.

    A value or two beyond the range saturates, as it must; when more than half lie beyond it by its own width, the
    array was scaled otherwise than the samples of the build.
    """
    assert spec.scale is not None
    assert spec.zero_point is not None
    info = np.iinfo(np.dtype(spec.dtype))
    low, high = ((bound - spec.zero_point) * spec.scale for bound in (info.min, info.max))
    width = high - low
    if not array.size or (array.min() >= low - width and array.max() <= high + width):
        return
    outside = (array < low - width) | (array > high + width)
    if 2 * np.count_nonzero(outside) > array.size:
        raise DataError(
            f"{spec.name}: found values from {array.min():g} to {array.max():g}, expected {low:g} to {high:g}",
            hint="hand over the sample in the units that the model was built with",
        )
