"""A bundle that its target executes here, emulated or by its CPU twin, behind the interface of a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from qedge.bundle.read import Bundle
from qedge.target.protocol import Target
from qedge.target.reports import Arrays, Options


class ExecutedEngine:
    """See :class:`qedge.runtime.engine.Engine`; every run starts what the target executes anew."""

    def __init__(self, bundle: Bundle, target: Target, options: Options) -> None:
        self.inputs = bundle.manifest.inputs
        self.outputs = bundle.manifest.outputs
        self._bundle, self._target, self._options = bundle, target, options

    def run(self, arrays: Arrays) -> list[npt.NDArray[Any]]:
        """Return the outputs for one sample's inputs."""
        return self.run_all([arrays])[0]

    def run_all(self, samples: Sequence[Arrays]) -> list[list[npt.NDArray[Any]]]:
        """Return the outputs for many samples, started once."""
        return self._target.execute(self._bundle.root, samples, self._options)

    def describe(self) -> dict[str, Any]:
        """Return what executes the bundle."""
        by = "emulated" if self._target.info.emulated else "CPU twin"
        return {"binding": self._target.info.title, "device": by, "threads": 1}

    def close(self) -> None:
        """Nothing is held between runs."""
