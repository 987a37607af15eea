"""Vela in a child process: what it wrote, what it counted, what it left to the CPU and why."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import math
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from qedge.errors import ToolError, UsageError
from qedge_ethosu.configurations import VELA_INI, Configuration

DISTRIBUTION = "ethos-u-vela"
INSTALL = 'pip install "qedge[ethosu]"'
TIMEOUT_S = 600
STEM = "model"
LOG = "vela.log"
_REFUSAL = re.compile(
    r"^Warning \(supported operators\) operator: (?P<op>\S+), ofm: '(?P<tensor>.*)'\n(?P<reason>(?:\S.*\n?)+)",
    re.MULTILINE,
)


_OPTION = re.compile(r"(?:ConfigOptionError|CliOptionError): \W*Error: (.*?)'?$", re.MULTILINE)


class Refusal(NamedTuple):
    """Why Vela left one operator to the CPU, in its words, by the operator's output tensor."""

    op: str
    reason: str


class Compilation(NamedTuple):
    """What Vela made of a model.

    Args:
        model: the ``.tflite`` with the NPU's command streams.
        cycles: of one inference, Vela's estimate; ``npu_cycles`` those of the NPU without waiting for memory.
        inference_s: the same in seconds at ``clock_hz``.
        sram_bytes, dram_bytes, flash_bytes: what Vela allocated in each memory.
        refusals: by name of the output tensor.
    """

    configuration: Configuration
    version: str
    model: bytes
    cycles: int
    npu_cycles: int
    inference_s: float
    clock_hz: float
    sram_bytes: int
    dram_bytes: int
    flash_bytes: int
    macs: int
    refusals: Mapping[str, Refusal]

    @property
    def estimate(self) -> str:
        """What the estimates are from, for labels."""
        c = self.configuration
        return f"Vela {self.version}, {c.accelerator}, {c.system_config}, {c.memory_mode}"


class VelaFailed(ToolError):
    """Vela is here and does not compile this model."""


def installed_version() -> str | None:
    """Return Vela's version, or None where it is not installed."""
    try:
        return version(DISTRIBUTION) if importlib.util.find_spec("ethosu") is not None else None
    except PackageNotFoundError:
        return None


def required_version() -> str:
    """Return Vela's version.

    Raises:
        ToolError: it is not installed.
    """
    found = installed_version()
    if found is None:
        raise ToolError(f"{DISTRIBUTION} is not installed, and it compiles for the NPU", hint=INSTALL)
    return found


def compile_with_vela(
    model: bytes, wanted: Configuration, workdir: Path, timeout_s: float = TIMEOUT_S
) -> Compilation:
    """Return what Vela makes of a model; what ``workdir`` has of the same question is read again.

    Raises:
        ToolError: Vela is not installed.
        UsageError: there is no such configuration, or the NPU cannot have it.
        VelaFailed: it refuses the model, dies of it, or takes longer than ``timeout_s``.
    """
    found = required_version()
    if wanted.config != VELA_INI and not Path(wanted.config).is_file():
        raise UsageError(f"no Vela configuration at {wanted.config}", hint="--vela-config takes an .ini file")
    key = hashlib.sha256(b"\0".join([*(part.encode() for part in wanted), model])).hexdigest()[:20]
    folder = (workdir / f"vela-{key}").resolve()
    if not (folder / LOG).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        text = _run(model, wanted, folder, timeout_s)
        (folder / LOG).write_text(text)
    return _read(folder, wanted, found)


def _run(model: bytes, wanted: Configuration, folder: Path, timeout_s: float) -> str:
    source = folder / f"{STEM}.tflite"
    source.write_bytes(model)
    line = [sys.executable, "-m", "ethosu.vela", str(source), "--output-dir", str(folder)]
    line += ["--accelerator-config", wanted.accelerator, "--config", _config(wanted)]
    line += ["--system-config", wanted.system_config, "--memory-mode", wanted.memory_mode]
    line += ["--show-cpu-operations"]
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=timeout_s, errors="replace", cwd=folder
        )
    except subprocess.TimeoutExpired:
        raise VelaFailed(
            f"Vela did not end within {timeout_s:g} s", hint="raise --timeout, or take a smaller model"
        ) from None
    text = done.stdout + done.stderr
    option = _OPTION.search(text) if done.returncode else None
    if option is not None:
        raise UsageError(
            f"Vela does not take the configuration: {option[1].strip()}",
            hint="--system-config and --memory-mode name sections of --vela-config; see: vela --list-configs",
        )
    if done.returncode or not (folder / f"{STEM}_vela.tflite").is_file():
        raise VelaFailed(
            _cause(done.returncode, text), hint=f"run it by hand: vela --verbose-all {STEM}.tflite"
        )
    return text


def _config(wanted: Configuration) -> str:
    return wanted.config if wanted.config == VELA_INI else str(Path(wanted.config).resolve())


def _cause(code: int, text: str) -> str:
    number = -code if code < 0 else code - 128
    if code < 0 or 128 < code < 160:
        try:
            return f"Vela died with {signal.Signals(number).name} while compiling"
        except ValueError:
            pass
    said = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in said if line.lower().startswith("error")]
    return f"Vela ended with status {code}: {(errors or said or ['nothing'])[-1]}"


def _read(folder: Path, wanted: Configuration, found: str) -> Compilation:
    summary = next(iter(sorted(folder.glob(f"{STEM}_summary_*.csv"))), None)
    if summary is None:
        raise VelaFailed("Vela wrote no summary", hint=f"expected {DISTRIBUTION} 5: {INSTALL}")
    with summary.open(newline="") as file:
        row = next(csv.DictReader(file), {})
    try:
        return Compilation(
            configuration=wanted,
            version=found,
            model=(folder / f"{STEM}_vela.tflite").read_bytes(),
            cycles=round(float(row["cycles_total"])),
            npu_cycles=round(float(row["cycles_npu"])),
            inference_s=float(row["inference_time"]),
            clock_hz=float(row["core_clock"]),
            sram_bytes=_bytes(row["sram_memory_used"]),
            dram_bytes=_bytes(row["dram_memory_used"]),
            flash_bytes=_bytes(row["on_chip_flash_memory_used"]) + _bytes(row["off_chip_flash_memory_used"]),
            macs=round(float(row["nn_macs"])),
            refusals=refusals((folder / LOG).read_text()),
        )
    except (KeyError, ValueError) as problem:
        raise VelaFailed(
            f"Vela's summary is not as expected: {problem}", hint=f"expected {DISTRIBUTION} 5: {INSTALL}"
        ) from None


def _bytes(kibibytes: str) -> int:
    return math.ceil(float(kibibytes) * 1024)


def refusals(text: str) -> dict[str, Refusal]:
    r"""Return what Vela's log says of operators that it left to the CPU, by their output tensor.

    >>> refusals("Warning (supported operators) operator: SIN, ofm: 'a'\nReason: Unsupported opType\n\n")
    {'a': Refusal(op='SIN', reason='Unsupported opType')}
    """
    found = {}
    for match in _REFUSAL.finditer(text):
        reason = "; ".join(line.strip().removeprefix("Reason: ") for line in match["reason"].splitlines())
        found[match["tensor"]] = Refusal(match["op"], reason)
    return found
