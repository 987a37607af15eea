"""Inference in a child process over shared memory: a device that aborts takes only the child with it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from qedge.bundle.manifest import TensorSpec
from qedge.bundle.read import Bundle
from qedge.errors import DataError, ToolError, UsageError
from qedge.runtime.litert import Binding
from qedge_coral import failures, system
from qedge_coral.delegate import Library
from qedge_coral.stages import stage_specs

Array = npt.NDArray[Any]

START_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 30.0
RESTARTS = 1
"""Times that one call restarts its child before it gives up."""


def layout(specs: Sequence[TensorSpec], start: int = 0) -> list[tuple[int, int]]:
    """Return (offset, bytes) of each tensor in the shared memory, every offset a multiple of 64."""
    places = []
    for spec in specs:
        size = int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
        places.append((start, size))
        start += -(-size // 64) * 64
    return places


def views(memory: mmap.mmap, specs: Sequence[TensorSpec], places: Sequence[tuple[int, int]]) -> list[Array]:
    """Return one array a tensor that lies in the shared memory."""
    return [
        np.frombuffer(memory, spec.dtype, int(np.prod(spec.shape, dtype=np.int64)), offset).reshape(
            spec.shape
        )
        for spec, (offset, _) in zip(specs, places)
    ]


class Child:
    """One child process with a compiled model open on a device."""

    def __init__(self, arguments: dict[str, Any], memory: Path | None, timeout_s: float) -> None:
        if not hasattr(os, "fork"):
            raise ToolError(
                "an Edge TPU in a process of its own needs a POSIX system: pipes that a child inherits",
                hint="run it on Linux or macOS",
            )
        reading, writing = os.pipe()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        line = [
            sys.executable,
            "-m",
            "qedge_coral.child",
            str(writing),
            str(memory or ""),
            json.dumps(arguments),
        ]
        try:
            self._process = subprocess.Popen(
                line, stdin=subprocess.PIPE, stdout=self._said, stderr=self._said, env=environment,
                pass_fds=(writing,),
            )  # fmt: skip
        finally:
            os.close(writing)
        self._answers = os.fdopen(reading, "rb")
        self._timeout_s = timeout_s
        try:
            self._answer(START_TIMEOUT_S, "the child that opens the Edge TPU")
        except BaseException:
            self.close()
            raise

    def run(self) -> None:
        """Run one inference on what lies in the shared memory.

        Raises:
            EdgeTpuError: rule ``crashed`` where the child died, else what the child says.
        """
        what = "the child that runs the Edge TPU"
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(b"r")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self._died(what) from None
        self._answer(self._timeout_s, what)

    def _answer(self, timeout_s: float, what: str) -> None:
        if not select.select([self._answers], [], [], timeout_s)[0]:
            self._process.kill()
            self._process.wait()
            raise failures.failure(
                "crashed", f"{what} gave no answer within {timeout_s:g} s", failures.REPLUG
            )
        line = self._answers.readline()
        if not line:
            raise self._died(what)
        answer = json.loads(line)
        if "error" in answer:
            error = answer["error"]
            raise failures.failure(error["rule"], error["message"], error["hint"])

    def _died(self, what: str) -> failures.EdgeTpuError:
        self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return failures.from_crash(what, self._process.returncode, lines[-1] if lines else "")

    def close(self) -> None:
        """End the child."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._said.close()


class IsolatedEngine:
    """A model on an Edge TPU in a child process; see :class:`qedge.runtime.engine.Engine`."""

    def __init__(self, bundle: Bundle, stage: int, device: str, options: dict[str, Any]) -> None:
        """Start the child and open the device in it.

        Raises:
            EdgeTpuError: what stands in the way of the Edge TPU.
        """
        self.inputs, self.outputs = stage_specs(bundle, bundle.manifest.target_data["stages"][stage])
        self._arguments = _arguments(bundle, stage, device, options)
        self._timeout_s = float(options.get("timeout_s") or RUN_TIMEOUT_S)
        given = layout(self.inputs)
        taken = layout(self.outputs, sum(-(-size // 64) * 64 for _, size in given))
        total = max(1, sum(-(-size // 64) * 64 for _, size in [*given, *taken]))
        folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        handle, name = tempfile.mkstemp(prefix="qedge-coral-", dir=folder)
        self._file = Path(name)
        try:
            os.ftruncate(handle, total)
            self._memory = mmap.mmap(handle, total)
        finally:
            os.close(handle)
        self._to_child = views(self._memory, self.inputs, given)
        self._from_child = views(self._memory, self.outputs, taken)
        self._lock = threading.Lock()
        self._restarts, self._closed = 0, False
        self._child: Child | None = None
        try:
            self._child = self._start()
        except BaseException:
            self._file.unlink(missing_ok=True)
            raise

    def _start(self) -> Child:
        return Child(self._arguments, self._file, self._timeout_s)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs; a child that dies is restarted once and the inference repeated.

        Raises:
            EdgeTpuError: the second child died as well, or the device is gone.
        """
        if len(arrays) != len(self.inputs):
            raise DataError(f"found {len(arrays)} arrays, expected {len(self.inputs)}")
        for array, place, spec in zip(arrays, self._to_child, self.inputs):
            if array.shape != place.shape or array.dtype != place.dtype:
                raise DataError(
                    f"{spec.name}: found {array.dtype} {list(array.shape)},"
                    f" expected {spec.dtype} {list(spec.shape)}"
                )
        with self._lock:
            if self._closed:
                raise UsageError("the model is closed", hint="load it again, or run it inside the with block")
            for array, place in zip(arrays, self._to_child):
                np.copyto(place, array)
            for attempt in range(RESTARTS + 1):
                try:
                    if self._child is None:
                        self._restarts += 1
                        self._child = self._start()
                    self._child.run()
                    return [result.copy() for result in self._from_child]
                except failures.EdgeTpuError:
                    if self._child is not None:
                        self._child.close()
                        self._child = None
                    if attempt == RESTARTS:
                        raise
        raise AssertionError("unreachable")

    def describe(self) -> dict[str, Any]:
        """Return what runs the model and how often its child was restarted."""
        device = self._arguments["device"]
        return {
            "binding": self._arguments["options"].get("binding") or "child process",
            "device": f"edgetpu {device}".strip(),
            "threads": 1,
            "streams": 1,
            "isolated": True,
            "restarts": self._restarts,
        }

    def close(self) -> None:
        """End the child and free the shared memory."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.close()
                self._child = None
            self._file.unlink(missing_ok=True)


def _arguments(bundle: Bundle, stage: int, device: str, options: dict[str, Any]) -> dict[str, Any]:
    passed = {k: str(v) for k, v in options.items() if k in ("binding", "library", "performance", "root")}
    return {"bundle": str(bundle.root), "stage": stage, "device": device, "options": passed}


def probe(
    bundle: Bundle, stage: int, device: str, options: dict[str, Any], library: Library, binding: Binding
) -> None:
    """Try an unknown combination of binding and library in a child first, as it may crash the process.

    A combination that passed is remembered in the user's cache folder.

    Raises:
        EdgeTpuError: rule ``versions`` where the child was killed by a signal.
    """
    if system.is_known_good((binding.name, binding.version), system.package_version()):
        return
    remembered = _remembered(library, binding)
    if remembered.exists():
        return
    try:
        Child(_arguments(bundle, stage, device, options), None, RUN_TIMEOUT_S).close()
    except failures.EdgeTpuError as problem:
        if problem.rule != "crashed":
            raise
        raise failures.incompatible(f"{binding} and {library.path}", problem.message) from None
    try:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        remembered.write_text(f"{binding} {library.path} {library.label}\n", encoding="utf-8")
    except OSError:
        pass


def _remembered(library: Library, binding: Binding) -> Path:
    """Return the file that says that a combination passed the probe."""
    try:
        stamp = os.stat(library.path).st_mtime_ns
    except OSError:
        stamp = 0
    text = f"{library.path} {stamp} {library.label} {binding} {sys.version_info[:2]}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "qedge" / f"coral-probe-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
