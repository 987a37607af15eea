"""The contract between qedge and a target; targets see the graph, never Keras or TensorFlow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt

from qedge.errors import UsageError
from qedge.fields import Field
from qedge.price import Price
from qedge.target.info import TargetInfo
from qedge.target.reports import (
    Arrays,
    CheckReport,
    Compiled,
    Options,
    Requirement,
    VerifyReport,
)
from qedge.target.request import Request
from qedge.target.twin import execute_twin

Progress = Callable[[str, float], None]


class Target(ABC):
    """A device class that a bundle can be built for.

    The four calls of the contract are :attr:`info`, :meth:`check`, :meth:`compile` and :meth:`verify`;
    the rest has a default that says the target does not offer it.
    """

    info: ClassVar[TargetInfo]

    @abstractmethod
    def check(self, request: Request) -> CheckReport:
        """Say where every operator runs and everything that stands in the way; never raise for a model."""

    @abstractmethod
    def compile(self, request: Request) -> Compiled:
        """Return the files that the bundle needs beyond the model; ``request.found`` is what `check` said.

        Raises:
            UnsupportedError: operators that the target cannot run, all of them in ``findings``.
            CapacityError: over the RAM or flash budget.
            ToolError: the target's compiler fails.
        """

    @abstractmethod
    def verify(self, bundle: Path, samples: Sequence[Arrays] | None, options: Options) -> VerifyReport:
        """Run the bundle and compare; ``samples`` are inputs (each a list of arrays in the model's input
        types), None the golden vectors of the bundle."""

    def execute(
        self, bundle: Path, samples: Sequence[Arrays], options: Options
    ) -> list[list[npt.NDArray[Any]]]:
        """Return raw outputs for raw inputs, for targets without a Python runtime: those of the CPU twin.

        A target that runs the device's own code here overrides this and says so: ``info.emulated``.
        """
        return execute_twin(bundle, samples)

    def golden_outputs(self, model: bytes, samples: Sequence[Arrays]) -> list[list[npt.NDArray[Any]]] | None:
        """Return what the target's own oracle gives for golden inputs; None lets LiteRT on this machine say."""
        return None

    def bench(
        self, bundle: Path, options: Options, *, runs: int = 100, threads: int | None = None
    ) -> dict[str, Any] | None:
        """Return the target's own benchmark as JSON; None lets core measure the runtime, or the CPU twin.

        ``runs`` are counted, on ``threads`` of one interpreter, where time is measured rather than counted.
        """
        return None

    def preflight(self, options: Options) -> None:
        """Raise for what can be told of the options before a model is read: a tool that they name and that is not here.

        That files exist which options of kind ``path`` name is looked at for every target.

        Raises:
            ToolError, UsageError: what is missing, and the way out.
        """
        return None

    def warm_up(self, options: Options) -> None:
        """Do what `compile` will need whatever the model is, such as building a compiler's own library, into a cache.

        It runs beside the reading of the model, and what it raises is not shown: `compile` meets it again.
        """
        return None

    def validate_target_data(self, data: Field) -> None:
        """Raise ``data``'s error unless it is what `compile` gave as ``extra``; ``$.target_data`` of a manifest.

        The default takes any object.
        """
        data.object(optional=None)

    def figures(self, data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """Return what of a bundle's ``target_data`` a person wants to read: pairs of a name and a value in words."""
        return ()

    def price(self, request: Request) -> Price | None:
        """Return what a model takes on the device, exactly, beside the limits that the options state.

        Where the request has a memory, it may be written and read instead of measuring a part again that another
        candidate had: the choice of a search is priced once more, without one.

        None: the target has no such figures, or the options no limits, or an operator of the model does not run.
        """
        return None

    def calibration(self, bundle: Path, milliseconds: float, millijoules: float | None, known: str) -> str:
        """Return the text of a file that narrows the target's estimates by what a user measured on a device.

        Args:
            bundle: that was measured.
            milliseconds, millijoules: of one inference.
            known: the text of the file so far, or "".

        Raises:
            UsageError: the target estimates nothing of this bundle.
        """
        raise UsageError(
            f"target {self.info.name} has no estimates to narrow", hint="qedge bench measures its runtime"
        )

    def doctor(self) -> list[Requirement]:
        """Return what the target needs, and whether it is here."""
        return []
