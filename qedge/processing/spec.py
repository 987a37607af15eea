"""What pre- and post-processing have in common: a frozen description that travels as JSON.

A description is stated once, by flags or ``qedge.toml``, and kept in the manifest. ``kind`` says which
class it is; the classes are imported when they are needed, so that an audio model never loads image code.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from qedge.errors import QedgeError, UsageError
from qedge.fields import Field, Record

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


S = TypeVar("S", bound="Spec")

PREPROCESS_KINDS: Mapping[str, str] = {
    "image": "qedge.processing.image:ImagePreprocess",
    "audio": "qedge.processing.audio:AudioPreprocess",
}

POSTPROCESS_KINDS: Mapping[str, str] = {
    "classify": "qedge.processing.classify:Classify",
    "detect": "qedge.processing.detect:Detect",
    "embedding": "qedge.processing.regression:Embedding",
    "keypoints": "qedge.processing.keypoints:Keypoints",
    "regression": "qedge.processing.regression:Regression",
    "segment": "qedge.processing.segment:Segment",
}


class Spec(Record, ABC):
    """A record that is written as one flat JSON object.

    A subclass declares ``kind``, its fields (``str``, ``int``, ``float``, ``bool``, ``None``, or tuples of
    these) and checks them in ``__post_init__`` with :func:`require`.
    """

    kind: ClassVar[str]

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check the fields; a subclass raises UsageError."""

    def to_json(self) -> dict[str, Any]:
        """Return ``kind`` and every field as JSON; tuples become lists."""
        fields = dict(zip(self._fields, self._values()))
        return {"kind": self.kind, **{k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}}

    @classmethod
    def from_json(cls: type[S], data: Any, path: str = "$", error: type[QedgeError] = UsageError) -> S:
        """Return the description that :meth:`to_json` wrote; absent fields keep their default.

        Raises:
            QedgeError: of class ``error``, naming the ``path`` of the wrong field.
        """
        required = [name for name in cls._fields if not hasattr(cls, name)]
        optional = [name for name in cls._fields if hasattr(cls, name)]
        entry = Field(data, path, error).object(required, ["kind", *optional])
        given = {key: member.value for key, member in entry.members() if key != "kind"}
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
        for name, declared in cls._fields.items():
            if isinstance(values.get(name), tuple) and "tuple" not in declared:
                raise entry[name].fail("one value")
        try:
            return cls(**values)
        except (UsageError, TypeError) as problem:
            message = problem.message if isinstance(problem, UsageError) else str(problem)
            hint = problem.hint if isinstance(problem, UsageError) else None
            raise error(f"{path}.{message}", hint=hint) from None


def require(ok: bool, name: str, found: object, expected: str) -> None:
    """Raise the error for a field that is not what it must be.

    Raises:
        UsageError: ``name: found ..., expected ...``.
    """
    if not ok:
        raise UsageError(f"{name}: found {found!r}, expected {expected}")


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite int or float.

    >>> is_number(1.5), is_number(True), is_number(float("nan"))
    (True, False, False)
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def is_int(value: object) -> bool:
    """Whether ``value`` is an int and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


class Preprocess(Spec):
    """Turns what a person has (an image, a clip) into one model input."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of what :meth:`apply` returns, batch 1 first."""

    @abstractmethod
    def apply(self, sample: Any) -> npt.NDArray[np.float32]:
        """Return the model input in the float model's own units: float32, batch 1.

        Raises:
            DataError: a sample that cannot be used; says what was found and what was expected.
        """

    @abstractmethod
    def example(self) -> Any:
        """Return some sample that :meth:`apply` takes without any resizing, for warm-up and measurements."""

    def encode(self, sample: Any, scale: float, zero_point: int, dtype: Any) -> Array:
        """Return :meth:`apply` quantised to ``dtype``, batch 1; a subclass may know a shorter way to the
        same bytes."""
        return quantize_in_place(self.apply(sample), scale, zero_point, dtype)


def preprocess_from_json(
    data: Any, path: str = "$", error: type[QedgeError] = UsageError
) -> Preprocess | None:
    """Return the pre-processing that ``data`` describes; None for None.

    Raises:
        QedgeError: of class ``error``, naming the ``path`` of the wrong field.
    """
    if data is None:
        return None
    found = _class_of(data, PREPROCESS_KINDS, path, error).from_json(data, path, error)
    assert isinstance(found, Preprocess)
    return found


class Postprocess(Spec):
    """Turns the model's dequantised outputs into what a person asked for."""

    @abstractmethod
    def apply(self, outputs: Sequence[npt.NDArray[np.float32]], labels: Sequence[str]) -> Any:
        """Return the task's own result for the model's outputs (float32, batch 1, in the model's order)."""

    def scores(self, outputs: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32] | None:
        """Return one score a class, float32 (classes,), or None where the task has no such thing."""
        return None


def postprocess_from_json(
    data: Any, path: str = "$", error: type[QedgeError] = UsageError
) -> Postprocess | None:
    """Return the post-processing that ``data`` describes; None for None.

    Raises:
        QedgeError: of class ``error``, naming the ``path`` of the wrong field.
    """
    if data is None:
        return None
    found = _class_of(data, POSTPROCESS_KINDS, path, error).from_json(data, path, error)
    assert isinstance(found, Postprocess)
    return found


def _class_of(data: Any, kinds: Mapping[str, str], path: str, error: type[QedgeError]) -> type[Spec]:
    entry = Field(data, path, error).object(["kind"], None)
    kind = entry["kind"].string(tuple(kinds))
    module, _, name = kinds[kind].partition(":")
    found: type[Spec] = getattr(importlib.import_module(module), name)
    return found


def quantize_in_place(
    real: npt.NDArray[np.float32], scale: float, zero_point: int, dtype: Any
) -> npt.NDArray[Any]:
    """Return what :func:`qedge.quantmath.quantize` returns, using ``real`` (float32) as scratch space.

    Raises:
        DataError: ``real`` holds a NaN.
    """
    info = np.iinfo(dtype)
    np.divide(real, np.float32(scale), out=real)
    np.rint(real, out=real)
    real += np.float32(zero_point)
    np.maximum(real, np.float32(info.min), out=real)
    np.minimum(real, np.float32(info.max), out=real)
    if np.isnan(np.add.reduce(real, axis=None)):
        from qedge.errors import DataError

        raise DataError("the input holds NaN, expected finite numbers", hint="check where the sample is from")
    return real.astype(dtype)


def per_channel(value: Sequence[float] | float, channels: int) -> tuple[float, ...]:
    """Return ``channels`` numbers from one or from one a channel.

    >>> per_channel((0.5,), 3)
    (0.5, 0.5, 0.5)
    """
    values = (value,) if isinstance(value, (int, float)) else tuple(value)
    return values * channels if len(values) == 1 else values
