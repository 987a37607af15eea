"""What a target says: of a model, of what it compiled, of a bundle that it ran, of what it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from qedge.findings import Finding

Arrays = Sequence[npt.NDArray[Any]]
Options = Mapping[str, Any]


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
            rule ``capacity``: exit 5,
            ``model``: 3, ``tool``: 8).
        operators: one entry an operator of the main graph, in order.
        metrics: figures for tables and JSON; ``mapped_percent`` where there is an accelerator;
            estimates are objects with ``"estimate": true`` and the model of the estimate.
        predicted: whether the placements are a prediction rather than a compiler's own words.
        rewritten: whether ``operators`` are those of the model that ships, which the target rewrites, and
            not those of the model that was given.
        figures: what of ``metrics`` a person wants to read, as pairs of a name and a value in words.
    """

    findings: tuple[Finding, ...]
    operators: tuple[Placement, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    predicted: bool = False
    rewritten: bool = False
    figures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Compiled:
    """What a target adds to its bundle.

    Args:
        files: path in the bundle (POSIX, relative) to contents.
        extra: goes into the manifest as ``target_data``; JSON, no time stamps, no paths of this machine.
        metrics: figures for the table and report, for instance ``flash_bytes``, ``ram_bytes``.
        findings: what turned up while compiling.
        model: the model that the bundle carries, when the target had to rewrite it; None keeps the waist's.
        operators: where each operator runs as a compiler placed it, instead of what `check` foretold; None
            where no compiler ran.
        golden: further outputs for the golden inputs, by the name of the kernels that give them: ``{"micro": ...}``
            makes ``golden/micro_<k>.npy``.
    """

    files: Mapping[str, bytes]
    extra: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    model: bytes | None = None
    operators: tuple[Placement, ...] | None = None
    golden: Mapping[str, Sequence[Arrays]] = field(default_factory=dict)


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
