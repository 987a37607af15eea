"""A small model, the stand-in Edge TPU and compiler, and bundles for them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from qedge.bundle import Manifest, golden_files, write_bundle
from qedge.oracle.builtin import builtin_outputs
from qedge.runtime.litert import open_engine, tensor_specs
from qedge.testing.opmodels import ModelBuilder, Spec, constant
from qedge.testing.requests import request
from qedge_coral.target import TARGET

DOUBLES = Path(__file__).resolve().parent.parent / "hardware_doubles"


def c_compiler() -> list[str]:
    """Return the C compiler of this system, or the one that pip installed."""
    return ["cc"] if shutil.which("cc") else [sys.executable, "-m", "ziglang", "cc"]


def build_library(folder: Path) -> Path:
    """Return the stand-in ``libedgetpu.so.1``, built with one call of the C compiler."""
    library = folder / "libedgetpu.so.1"
    source = DOUBLES / "libedgetpu.c"
    line = [*c_compiler(), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(source)]
    subprocess.run(line, check=True)
    return library


def build_compiler(folder: Path) -> Path:
    """Return the stand-in ``edgetpu_compiler`` as an executable."""
    program = folder / "edgetpu_compiler"
    script = shlex.join([sys.executable, str(DOUBLES / "edgetpu_compiler.py")])
    path = shlex.quote(os.pathsep.join(p for p in sys.path if p))
    program.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {script} "$@"\n')
    program.chmod(0o755)
    return program


def helper() -> str:
    """Return the command line of the process that computes for the stand-in device."""
    return shlex.join([sys.executable, str(DOUBLES / "device.py")])


def small_model(layers: int = 2) -> bytes:
    """Return an int8 model: ``layers`` dense layers of 12 and a logistic function."""
    rng = np.random.default_rng(5)
    builder = ModelBuilder()
    graph = builder.subgraph()
    last = graph.input(Spec((1, 12), scale=0.05, zero_point=3, name="in"))
    for k in range(layers):
        weights = graph.tensor(constant(rng.integers(-90, 90, (12, 12)), "int8", scale=0.01))
        bias = graph.tensor(constant(rng.integers(-400, 400, 12), "int32", scale=0.0005))
        out = graph.tensor(Spec((1, 12), scale=0.05, zero_point=-4 + 7 * (k % 2), name=f"dense{k}"))
        graph.operator("FULLY_CONNECTED", [last, weights, bias], [out], version=4)
        last = out
    out = graph.tensor(Spec((1, 12), scale=1 / 256, zero_point=-128, name="out"))
    graph.operator("LOGISTIC", [last], [out], version=2)
    graph.output(out)
    return builder.pack()


def network(seed: int, trained: bool) -> bytes:
    """Return an int8 network: a convolution, a depthwise one, a dense layer of 1 output and one of 10.

    Args:
        seed: of the weights; everything else is the same for every seed, names, shapes and scales included.
        trained: whether the weights look trained: bell-shaped, a few channels much larger, half of them small.
    """
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> Any:
        if not trained:
            return rng.integers(-127, 128, shape)
        size = np.where(rng.random(shape[-1]) < 0.1, 60, 12)
        return np.clip(np.round(rng.normal(0, size, shape)), -127, 127).astype(int)

    conv = {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 6, 6, 8), scale=0.05, zero_point=3, name="in"))
    a, b = (g.tensor(Spec((1, 6, 6, 16), scale=0.05, zero_point=-4, name=n)) for n in ("a", "b"))
    w = g.tensor(constant(weights(16, 3, 3, 8), "int8", scale=0.01))
    g.operator(
        "CONV_2D", [x, w, g.tensor(constant(np.zeros(16), "int32", scale=0.0005))], [a], conv, version=3
    )
    w = g.tensor(constant(weights(1, 3, 3, 16), "int8", scale=0.01))
    bias = g.tensor(constant(np.zeros(16), "int32", scale=0.0005))
    g.operator("DEPTHWISE_CONV_2D", [a, w, bias], [b], {**conv, "depth_multiplier": 1}, version=3)
    flat = g.tensor(Spec((1, 576), scale=0.05, zero_point=-4, name="flat"))
    g.operator("RESHAPE", [b, g.tensor(constant([1, 576]))], [flat])
    for outputs in (1, 10):
        w = g.tensor(constant(weights(outputs, 576), "int8", scale=0.01))
        bias = g.tensor(constant(np.zeros(outputs), "int32", scale=0.0005))
        y = g.tensor(Spec((1, outputs), scale=0.5, zero_point=0, name=f"out{outputs}"))
        g.operator("FULLY_CONNECTED", [flat, w, bias], [y], version=4)
        g.output(y)
    return builder.pack()


def samples(count: int = 3) -> list[list[Any]]:
    """Return inputs for :func:`small_model`."""
    rng = np.random.default_rng(9)
    return [[rng.integers(-128, 128, (1, 12)).astype(np.int8)] for _ in range(count)]


def expected(model: bytes, inputs: list[list[Any]]) -> list[list[Any]]:
    """Return what the CPU makes of the inputs."""
    specs = tensor_specs(model)
    engine = open_engine(model, *specs, threads=1)
    found = [engine.run(x) for x in inputs]
    engine.close()
    return found


def write(folder: Path, model: bytes, options: dict[str, Any], workdir: Path) -> Path:
    """Compile the model for the Edge TPU as the options say and write its bundle."""
    compiled = TARGET.compile(request(model, workdir, **options))
    shipped = compiled.model or model
    given, taken = tensor_specs(shipped)
    inputs = samples()
    manifest = Manifest("small", "0" * 64, "coral", given, taken, target_data=compiled.extra)
    golden = golden_files(inputs, expected(shipped, inputs), {"builtin": builtin_outputs(shipped, inputs)})
    files = {**compiled.files, "model.tflite": shipped, **golden}
    write_bundle(folder, manifest, files)
    return folder
