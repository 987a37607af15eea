"""The contract between qedge and a target; targets see the graph, never Keras or TensorFlow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qedge.errors import UsageError
from qedge.findings import Finding
from qedge.target.request import Request

Arrays = Sequence[npt.NDArray[Any]]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Option:
    """One option of a target; the CLI makes a flag of it, ``qedge.toml`` a key of ``[target.<name>]``.

    Args:
        name: in snake case, ``min_mapped``; the flag is ``--min-mapped``. Two targets may share a name
            when it means the same in both.
        help: one line.
        kind: ``str``, ``int``, ``float``, ``bytes`` (``64K``), ``percent`` (``95%``), ``flag`` or ``path``.
        default: value when it is not given.
        choices: allowed values, or empty.
        commands: the commands that take it.
    """

    name: str
    help: str
    kind: str = "str"
    default: Any = None
    choices: tuple[str, ...] = ()
    commands: tuple[str, ...] = ("build", "check")


@dataclass(frozen=True)
class TargetInfo:
    """Frozen description of a target.

    Args:
        name: as in ``--target``.
        title: for tables: ``Coral Edge TPU``.
        summary: one sentence.
        io_types: input and output types that it runs, the preferred one first.
        options: what a user can set.
        accelerator: placement name of the accelerator (``edgetpu``), or None; ``cpu`` otherwise.
        has_runtime: whether ``qedge.load`` runs its bundles in Python on the device.
    """

    name: str
    title: str
    summary: str
    io_types: tuple[str, ...] = ("int8", "uint8", "float32")
    options: tuple[Option, ...] = ()
    accelerator: str | None = None
    has_runtime: bool = True


@dataclass(frozen=True)
class Placement:
    """Where one operator runs: ``cpu``, the accelerator's name, ``mcu`` or ``unsupported``, and why."""

    index: int
    op: str
    placement: str
    reason: str
    hint: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the five fields as a JSON object."""
        return {
            "index": self.index,
            "op": self.op,
            "placement": self.placement,
            "reason": self.reason,
            "hint": self.hint,
        }


@dataclass(frozen=True)
class CheckReport:
    """What a target says about a model before anything is compiled.

    Args:
        findings: all of them; an ``error`` stops the build (rules ``unsupported-op`` and ``dtype``: exit 4,
            rule ``capacity``: exit 5).
        operators: one entry an operator of the main graph, in order.
        metrics: figures for tables and JSON; ``mapped_percent`` where there is an accelerator;
            estimates are objects with ``"estimate": true`` and the model of the estimate.
        predicted: whether the placements are a prediction rather than a compiler's own words.
    """

    findings: tuple[Finding, ...]
    operators: tuple[Placement, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    predicted: bool = False


@dataclass(frozen=True)
class Compiled:
    """What a target adds to its bundle.

    Args:
        files: path in the bundle (POSIX, relative) to contents.
        extra: goes into the manifest as ``target_data``; JSON, no time stamps, no paths of this machine.
        metrics: figures for the table and report, for instance ``flash_bytes``, ``ram_bytes``.
        findings: what turned up while compiling.
        model: the model that the bundle carries, when the target had to rewrite it; None keeps the waist's.
    """

    files: Mapping[str, bytes]
    extra: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    model: bytes | None = None


@dataclass(frozen=True)
class VerifyReport:
    """The result of running a bundle against its oracle.

    Args:
        bit_exact: whether every compared byte was equal.
        passed: whether the differences stay within what the target promises.
        oracle: what the outputs were compared with: ``tflite-micro 0.dev...``, ``golden vectors``.
        core: what ran it: ``cortex-m4 (unicorn 2.1)``, ``x86_64 ai-edge-litert 2.3``.
        samples: number of inputs that were run.
        mismatches: the first differences, in words.
        metrics: at least, for a microcontroller: ``instructions``, ``flash_bytes`` {code, data},
            ``ram_bytes`` {arena, stack}.
    """

    bit_exact: bool
    passed: bool
    oracle: str
    core: str
    samples: int
    mismatches: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Requirement:
    """One thing that ``qedge doctor`` looks at.

    Args:
        ok: True, False, or None when it is optional and absent.
        install: the command that installs or mends it, or None.
    """

    name: str
    ok: bool | None
    detail: str
    install: str | None = None


@dataclass(frozen=True)
class Budget:
    """Bytes that a user has: ``--ram 64K --flash 256K``; None is no limit."""

    ram_bytes: int | None = None
    flash_bytes: int | None = None


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
        """Return raw outputs for raw inputs, for targets without a Python runtime (emulated)."""
        raise UsageError(
            f"target {self.info.name!r} has no emulator that could run a bundle here",
            hint="run it on the device with qedge.load(bundle)",
        )

    def golden_outputs(self, model: bytes, samples: Sequence[Arrays]) -> list[list[npt.NDArray[Any]]] | None:
        """Return what the target's own oracle gives for golden inputs; None lets LiteRT on this machine say."""
        return None

    def bench(
        self, bundle: Path, options: Options, *, runs: int = 100, threads: int | None = None
    ) -> dict[str, Any] | None:
        """Return the target's own benchmark as JSON, or None where the runtime's latency is the benchmark.

        ``runs`` are counted, on ``threads`` of one interpreter, where time is measured rather than counted.
        """
        return None

    def doctor(self) -> list[Requirement]:
        """Return what the target needs, and whether it is here."""
        return []


def as_int_bytes(value: Any, *, what: str) -> int:
    """Return a number of bytes from ``65536``, ``"64K"``, ``"1M"`` or ``"64 KB"`` (1024-based).

    Raises:
        UsageError: anything else.

    >>> as_int_bytes("64K", what="--ram")
    65536
    """
    text = str(value).strip().upper().removesuffix("IB").removesuffix("B").strip()
    factor = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1:], 1)
    digits = text[:-1].strip() if factor > 1 else text
    try:
        number = float(digits) * factor
    except ValueError:
        number = -1.0
    if not (np.isfinite(number) and number > 0):
        raise UsageError(f"{what}: found {value!r}, expected a size", hint="write it as 65536, 64K or 1M")
    return int(number)
