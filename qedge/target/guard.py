"""A target behind a guard: a fault in its code, or an answer of the wrong kind, names the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from qedge.bundle.read import read_bundle
from qedge.errors import PluginError
from qedge.fields import Field
from qedge.graph import Graph
from qedge.price import Price
from qedge.runtime.plugins import Origin, blaming, bug_hint
from qedge.target.answers import (
    faults_of_bench,
    faults_of_check,
    faults_of_compiled,
    faults_of_doctor,
    faults_of_figures,
    faults_of_outputs,
    faults_of_price,
    faults_of_verify,
)
from qedge.target.kinds import misfits
from qedge.target.protocol import Target
from qedge.target.reports import Arrays, CheckReport, Compiled, Options, Requirement, VerifyReport
from qedge.target.request import Request


class Guarded(Target):
    """Passes every call on to ``target``.

    Raises:
        PluginError: from any call that raises something other than qedge's errors, or whose answer breaks
            the contract (see :mod:`qedge.target.answers`).
    """

    def __init__(self, target: Target, origin: Origin) -> None:
        self.info = target.info  # type: ignore[misc]
        self.origin = origin
        self._target = target

    def preflight(self, options: Options) -> None:
        """See :meth:`Target.preflight`."""
        with self._blaming("preflight"):
            self._target.preflight(options)

    def warm_up(self, options: Options) -> None:
        """See :meth:`Target.warm_up`."""
        with self._blaming("warm_up"):
            self._target.warm_up(options)

    def check(self, request: Request) -> CheckReport:
        """See :meth:`Target.check`."""
        with self._blaming("check"):
            report = self._target.check(request)
        self._refuse("check", faults_of_check(report, request.graph))
        return report

    def compile(self, request: Request) -> Compiled:
        """See :meth:`Target.compile`."""
        with self._blaming("compile"):
            compiled = self._target.compile(request)
        self._refuse("compile", faults_of_compiled(compiled))
        self.validate_target_data(Field(dict(compiled.extra), "$.target_data", PluginError))
        return compiled

    def verify(self, bundle: Path, samples: Sequence[Arrays] | None, options: Options) -> VerifyReport:
        """See :meth:`Target.verify`."""
        with self._blaming("verify"):
            report = self._target.verify(bundle, samples, options)
        self._refuse("verify", faults_of_verify(report))
        return report

    def execute(
        self, bundle: Path, samples: Sequence[Arrays], options: Options
    ) -> list[list[npt.NDArray[Any]]]:
        """See :meth:`Target.execute`."""
        with self._blaming("execute"):
            outputs = self._target.execute(bundle, samples, options)
        specs = read_bundle(bundle).manifest.outputs
        self._refuse("execute", faults_of_outputs(outputs, len(samples), [(s.shape, s.dtype) for s in specs]))
        return outputs

    def golden_outputs(self, model: bytes, samples: Sequence[Arrays]) -> list[list[npt.NDArray[Any]]] | None:
        """See :meth:`Target.golden_outputs`."""
        with self._blaming("golden_outputs"):
            outputs = self._target.golden_outputs(model, samples)
        if outputs is not None:
            graph = Graph.from_bytes(model)
            specs = [(graph.tensors[t].shape, graph.tensors[t].dtype) for t in graph.outputs]
            self._refuse("golden_outputs", faults_of_outputs(outputs, len(samples), specs))
        return outputs

    def bench(
        self, bundle: Path, options: Options, *, runs: int = 100, threads: int | None = None
    ) -> dict[str, Any] | None:
        """See :meth:`Target.bench`."""
        with self._blaming("bench"):
            document = self._target.bench(bundle, options, runs=runs, threads=threads)
        self._refuse("bench", faults_of_bench(document))
        return document

    def validate_target_data(self, data: Field) -> None:
        """See :meth:`Target.validate_target_data`."""
        with self._blaming("validate_target_data"):
            self._target.validate_target_data(data)

    def figures(self, data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """See :meth:`Target.figures`."""
        with self._blaming("figures"):
            found = self._target.figures(data)
        self._refuse("figures", faults_of_figures(found))
        return found

    def price(self, request: Request) -> Price | None:
        """See :meth:`Target.price`."""
        with self._blaming("price"):
            found = self._target.price(request)
        if found is not None:
            self._refuse("price", faults_of_price(found))
        return found

    def calibration(self, bundle: Path, milliseconds: float, millijoules: float | None, known: str) -> str:
        """See :meth:`Target.calibration`."""
        with self._blaming("calibration"):
            text = self._target.calibration(bundle, milliseconds, millijoules, known)
        self._refuse("calibration", list(misfits(text, str)))
        return text

    def doctor(self) -> list[Requirement]:
        """See :meth:`Target.doctor`."""
        with self._blaming("doctor"):
            found = self._target.doctor()
        self._refuse("doctor", faults_of_doctor(found))
        return found

    def _blaming(self, act: str) -> Any:
        return blaming("target", self.info.name, self.origin, act)

    def _refuse(self, act: str, faults: Sequence[str]) -> None:
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise PluginError(
                f"target {self.info.name!r}: {act} returned {faults[0]}{more}", hint=bug_hint(self.origin)
            )
