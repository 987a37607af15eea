"""What TFLite's own kernels give on ARM: those of tflite-runtime, which takes XNNPACK for floats only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.errors import ModelError
from qedge.graph.pieces import pieces
from qedge.runtime.litert import BUILTIN, REFERENCE, open_engine, tensor_specs

Array = npt.NDArray[Any]

# LiteRT carries tflite-runtime's kernels, and gives the same bytes with them everywhere. Only CONV_2D's
# optimised kernel rounds by machine; on ARM tflite-runtime's gives what the reference kernel gives everywhere.
ROUNDS_BY_MACHINE = "CONV_2D"


def builtin_outputs(model: bytes, samples: Sequence[Sequence[Array]]) -> list[list[Array]] | None:
    """Return what tflite-runtime gives on ARM for consecutive samples, or None where this cannot be told.

    Works on any machine: LiteRT runs CONV_2D with its reference kernel and all the rest with the built-in ones.
    """
    try:
        cut = pieces(model, lambda op: op == ROUNDS_BY_MACHINE)
    except ModelError:
        return None
    engines = [
        open_engine(
            piece.data, *tensor_specs(piece.data), threads=1, kernels=REFERENCE if piece.apart else BUILTIN
        )
        for piece in cut
    ]
    (whole,) = pieces(model, lambda op: False)
    results = []
    for sample in samples:
        values = dict(zip(whole.inputs, sample))
        for piece, engine in zip(cut, engines):
            values.update(zip(piece.outputs, engine.run([values[t] for t in piece.inputs])))
        results.append([np.array(values[t]) for t in whole.outputs])
    for engine in engines:
        engine.close()
    return results
