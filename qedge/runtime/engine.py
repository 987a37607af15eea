"""What a target's runtime half returns: something that turns input arrays into output arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from qedge.bundle.manifest import TensorSpec

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class Engine(Protocol):
    """One loaded model. ``run`` may be called from several threads at once."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` takes."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` returns."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs for the inputs, all in the model's own types and shapes.

        Raises:
            DataError: another number, type or shape of arrays; the engine stays usable.
        """

    def describe(self) -> dict[str, Any]:
        """Return what runs the model, as JSON: at least ``binding``, ``device``, ``threads``."""

    def close(self) -> None:
        """Free the model; a later :meth:`run` raises UsageError."""
